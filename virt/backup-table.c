/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/backup-table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "virt/backup.h"
#include "virt/connection.h"
#include "virt/vm-steps.h"

#define MS INT64_C(1000000)
#define AGAIN_S 30

/* One whose caller reads it, or that was left. */
struct watched {
    char uuid[UUID_TEXT_SIZE];
    char *name;            /* owned */
    int64_t until_ns;      /* 0: never */
    struct backup *traces; /* owned: no more of it than backup_sweep() needs for its socket */
    struct watched *next;
};

struct backup_table {
    struct virt *virt;
    struct backup_hold *holds;
    struct watched *watched;
    struct timer deadline;
    struct virt_listener listener;
};

/* ---- holds ---- */

struct backup_hold *
backup_hold_of(struct virt *virt, const char *uuid)
{
    struct backup_hold *hold = virt->backups->holds;

    LOOP_ONLY();
    while (hold && strcmp(hold->uuid, uuid) != 0)
        hold = hold->next;
    return hold;
}

bool
backup_hold_take(struct virt *virt, const struct vm_entry *entry, const char *task,
                 struct backup_hold **ret_hold, struct error **err)
{
    struct backup_hold *hold = backup_hold_of(virt, entry->vm->uuid);

    if (hold) {
        error_set(err, ERROR_WRONG_STATE,
                  "task '%s' works on a backup of '%s': one at a time; vm.backupStatus tells of it",
                  hold->task, entry->vm->name);
        error_data_text(err, "state", "a backup is under way");
        error_data_text(err, "needs", "no backup of this VM");
        return error_data_text(err, "task", "%s", hold->task);
    }
    hold = xalloc(sizeof(*hold));
    memcpy(hold->uuid, entry->vm->uuid, sizeof(hold->uuid));
    hold->task = xstrdup(task);
    hold->next = virt->backups->holds;
    virt->backups->holds = hold;
    *ret_hold = hold;
    return true;
}

void
backup_hold_give(struct virt *virt, struct backup_hold *hold)
{
    struct backup_hold **at = &virt->backups->holds;
    _cleanup_free_ char *key = NULL;

    LOOP_ONLY();
    if (!hold)
        return;
    while (*at != hold)
        at = &(*at)->next;
    *at = hold->next;
    key = vm_table_key(hold->uuid);
    free(hold->task);
    free(hold);
    task_wake(virt->agent, key);
}

/* ---- tasks of the agent's own ---- */

static void
start_task(struct virt *virt, const char *verb_name, const char *uuid)
{
    struct vm_args *args;
    struct task_request request = { .caller = "agent", .role = ROLE_ADMIN };

    request.verb = verb_find(virt->agent->verbs, verb_name, strlen(verb_name), &request.context);
    args = xalloc(request.verb->args_size);
    args->vm = xstrdup(uuid);
    request.args = args;
    task_start(virt->agent, &request);
}

/* ---- deadlines ---- */

static void
arm(struct backup_table *table)
{
    int64_t now_ns = clock_wall_ns(), first_ns = INT64_MAX;

    for (const struct watched *watched = table->watched; watched; watched = watched->next)
        if (watched->until_ns && watched->until_ns < first_ns)
            first_ns = watched->until_ns;
    if (first_ns == INT64_MAX)
        timer_disarm(table->virt->agent->loop, &table->deadline);
    else
        timer_arm(table->virt->agent->loop, &table->deadline,
                  first_ns > now_ns ? (uint64_t)((first_ns - now_ns) / MS + 1) : 0);
}

static struct watched **
place_of(struct backup_table *table, const char *uuid)
{
    struct watched **at = &table->watched;

    while (*at && strcmp((*at)->uuid, uuid) != 0)
        at = &(*at)->next;
    return at;
}

static void
drop(struct watched **at)
{
    struct watched *watched = *at;

    *at = watched->next;
    free(watched->name);
    backup_free(watched->traces);
    free(watched);
}

static void
forget(struct backup_table *table, const char *uuid)
{
    struct watched **at = place_of(table, uuid);

    if (*at)
        drop(at);
}

static void
deadline_came(struct timer *timer)
{
    struct backup_table *table = CONTAINER_OF(timer, struct backup_table, deadline);
    int64_t now_ns = clock_wall_ns();

    for (struct watched *watched = table->watched; watched; watched = watched->next)
        if (watched->until_ns && watched->until_ns <= now_ns) {
            log_warning("the backup of '%s' was served until its deadline: ending it",
                        watched->name);
            watched->until_ns = now_ns + AGAIN_S * NS_PER_S; /* should that fail */
            start_task(table->virt, "vm.cancelBackup", watched->uuid);
        }
    arm(table);
}

static struct backup *
traces_of(const struct backup *backup)
{
    struct backup *traces = xalloc(sizeof(*traces));

    memcpy(traces->id, backup->id, sizeof(traces->id));
    traces->folder = xstrdup(backup->folder);
    return traces;
}

void
backup_table_watch(struct virt *virt, const char *uuid, const char *name,
                   const struct backup *backup)
{
    struct watched *watched = xalloc(sizeof(*watched));
    int64_t now_ns = clock_wall_ns(), until_ns = backup->until_ns;

    LOOP_ONLY();
    forget(virt->backups, uuid);
    (void)snprintf(watched->uuid, sizeof(watched->uuid), "%s", uuid);
    watched->name = xstrdup(name);
    watched->traces = traces_of(backup);
    /* One that could not be ended at its deadline is not tried all the time. */
    watched->until_ns = until_ns && until_ns < now_ns ? now_ns + AGAIN_S * NS_PER_S : until_ns;
    watched->next = virt->backups->watched;
    virt->backups->watched = watched;
    arm(virt->backups);
}

void
backup_table_forget(struct virt *virt, const char *uuid)
{
    LOOP_ONLY();
    forget(virt->backups, uuid);
    arm(virt->backups);
}

/* ---- finding what nobody works on ---- */

struct found {
    char uuid[UUID_TEXT_SIZE];
    char *name;            /* owned */
    struct backup *backup; /* owned, or NULL: there is none of the agent's */
    struct backup_job job;
};

/* Whoever holds it but for a moment does not bring it to its end. */
static bool
is_at_work(struct virt *virt, const char *uuid)
{
    const struct backup_hold *hold = backup_hold_of(virt, uuid);

    return hold && !hold->brief;
}

struct search {
    struct job job;
    struct virt *virt;
    virConnectPtr connect; /* a reference */
    bool ended; /* libvirt has told that a job has, which it may still show for a moment */
    struct found *all;
    size_t count;
};

static bool
look_patiently(virDomainPtr domain, struct found *found, bool ended, struct error **err)
{
    const struct timespec pause = { .tv_nsec = 20 * NS_PER_MS };

    if (!backup_look(domain, found->backup, &found->job, err))
        return false;
    for (unsigned i = 0; ended && found->job.ours && i < 100; i++) {
        (void)nanosleep(&pause, NULL);
        if (!backup_look(domain, found->backup, &found->job, err))
            return false;
    }
    return true;
}

static void
look_at(virConnectPtr connect, bool ended, struct found *found)
{
    _cleanup_(error_freep) struct error *error = NULL;
    virDomainPtr domain = virDomainLookupByUUIDString(connect, found->uuid);

    if (!domain)
        return;
    if (!backup_read(domain, &found->backup, &error) ||
        (found->backup && !look_patiently(domain, found, ended, &error))) {
        log_warning("cannot tell how the backup of '%s' stands: %s, going on", found->name,
                    error->message);
        backup_free(TAKE(found->backup));
    }
    (void)virDomainFree(domain);
}

static void
look(struct job *job)
{
    struct search *search = CONTAINER_OF(job, struct search, job);

    for (size_t i = 0; i < search->count; i++)
        look_at(search->connect, search->ended, &search->all[i]);
}

static void
take_up(struct virt *virt, const struct found *found)
{
    const struct backup *backup = found->backup;

    if (!backup || strcmp(backup->host, virt->agent->host_id) != 0 || is_at_work(virt, found->uuid))
        return;
    if (backup->state == BACKUP_SERVED && found->job.ours && backup->until_ns > clock_wall_ns()) {
        backup_table_watch(virt, found->uuid, found->name, backup);
    } else if (backup->state == BACKUP_RUNNING && found->job.ours) {
        log_info("the backup of '%s' was left by an agent: %s", found->name,
                 backup->resume ? "going on with it" : "vm.resumeBackup goes on with it");
        backup_table_watch(virt, found->uuid, found->name, backup);
        if (backup->resume)
            start_task(virt, "vm.resumeBackup", found->uuid);
    } else if (backup_is_open(backup) || found->job.ours) {
        log_info("the backup of '%s' was left by an agent: bringing it to its end", found->name);
        start_task(virt, "vm.cancelBackup", found->uuid);
    }
}

static void
looked(struct job *job)
{
    struct search *search = CONTAINER_OF(job, struct search, job);

    for (size_t i = 0; i < search->count; i++) {
        take_up(search->virt, &search->all[i]);
        backup_free(search->all[i].backup);
        free(search->all[i].name);
    }
    (void)virConnectClose(search->connect);
    free(search->all);
    free(search);
}

/* 'only' (or NULL: all) is a VM's. */
static void
begin_search(struct virt *virt, const char *only)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct search *search;

    if (!virt->connect || virConnectRef(virt->connect) < 0)
        return;
    search = xalloc(sizeof(*search));
    search->job =
        (struct job){ .run = look, .finished = looked, .lane = &virt->others, .pool = POOL_VIRT };
    search->virt = virt;
    search->connect = virt->connect;
    search->ended = only != NULL;
    search->all = xalloc((virt->entry_count + 1) * sizeof(search->all[0]));
    for (size_t i = 0; i < virt->entry_count; i++) {
        const struct vm *vm = virt->entries[i]->vm;

        if ((only && strcmp(only, vm->uuid) != 0) || is_at_work(virt, vm->uuid))
            continue;
        memcpy(search->all[search->count].uuid, vm->uuid, UUID_TEXT_SIZE);
        search->all[search->count++].name = xstrdup(vm->name);
    }
    if (workers_submit(virt->agent->workers, &search->job, &error))
        return;
    log_warning("cannot look for backups: %s, going on", error->message);
    search->count = 0;
    looked(&search->job);
}

struct sweep {
    struct job job;
    struct backup *traces; /* owned */
};

static void
sweep(struct job *job)
{
    backup_sweep(CONTAINER_OF(job, struct sweep, job)->traces, false);
}

static void
swept(struct job *job)
{
    struct sweep *sweep = CONTAINER_OF(job, struct sweep, job);

    backup_free(sweep->traces);
    free(sweep);
}

static void
begin_sweep(struct virt *virt, struct backup *traces_take)
{
    _cleanup_(error_freep) struct error *ignored = NULL; /* a socket that nobody listens at stays */
    struct sweep *sweeping = xalloc(sizeof(*sweeping));

    sweeping->job =
        (struct job){ .run = sweep, .finished = swept, .lane = &virt->others, .pool = POOL_VIRT };
    sweeping->traces = traces_take;
    if (!workers_submit(virt->agent->workers, &sweeping->job, &ignored))
        swept(&sweeping->job);
}

/* A transient VM takes its notes along when it ends: then there is nothing to be brought to its end, but what QEMU
   has left.  Whoever is told nothing of that would try again at each deadline, for ever. */
static void
forget_gone(struct backup_table *table)
{
    struct watched **at = &table->watched;

    while (*at)
        if (vm_table_find_uuid(table->virt, (*at)->uuid)) {
            at = &(*at)->next;
        } else {
            begin_sweep(table->virt, TAKE((*at)->traces));
            drop(at);
        }
    arm(table);
}

/* A job that has ended by itself, or with its VM, leaves its notes as they were. */
static void
told(void *context, const struct vm_news *news)
{
    struct backup_table *table = context;

    if (news->gone || news->kind == VM_NEWS_ALL)
        forget_gone(table);
    if (news->kind == VM_NEWS_ALL && !news->error)
        begin_search(table->virt, NULL);
    else if ((news->kind == VM_NEWS_JOB_COMPLETED ||
              (news->kind == VM_NEWS_LIFE && news->event == VIR_DOMAIN_EVENT_STOPPED)) &&
             *place_of(table, news->uuid))
        begin_search(table->virt, news->uuid);
}

void
backup_table_open(struct virt *virt)
{
    struct backup_table *table = xalloc(sizeof(*table));

    LOOP_ONLY();
    table->virt = virt;
    table->deadline.fire = deadline_came;
    table->listener = (struct virt_listener){ .told = told, .context = table };
    virt->backups = table;
    virt_listen(virt, &table->listener);
}
