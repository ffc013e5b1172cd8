/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/backup-table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "virt/backup.h"
#include "virt/connection.h"
#include "virt/vm-steps.h"

#define MS INT64_C(1000000)

/* One whose caller reads it. */
struct served {
    char uuid[UUID_TEXT_SIZE];
    char *name; /* owned */
    int64_t until_ns;
    struct served *next;
};

struct backup_table {
    struct virt *virt;
    struct backup_hold *holds;
    struct served *served;
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

    for (const struct served *served = table->served; served; served = served->next)
        if (served->until_ns < first_ns)
            first_ns = served->until_ns;
    if (first_ns == INT64_MAX)
        timer_disarm(table->virt->agent->loop, &table->deadline);
    else
        timer_arm(table->virt->agent->loop, &table->deadline,
                  first_ns > now_ns ? (uint64_t)((first_ns - now_ns) / MS + 1) : 0);
}

static void
forget(struct backup_table *table, const char *uuid)
{
    struct served **at = &table->served;

    while (*at) {
        struct served *served = *at;

        if (strcmp(served->uuid, uuid) == 0) {
            *at = served->next;
            free(served->name);
            free(served);
        } else
            at = &served->next;
    }
}

static void
deadline_came(struct timer *timer)
{
    struct backup_table *table = CONTAINER_OF(timer, struct backup_table, deadline);
    int64_t now_ns = clock_wall_ns();
    struct served *served = table->served;

    while (served) {
        struct served *next = served->next;

        if (served->until_ns <= now_ns) {
            log_warning("the backup of '%s' was served until its deadline: canceled", served->name);
            start_task(table->virt, "vm.cancelBackup", served->uuid);
            forget(table, served->uuid);
        }
        served = next;
    }
    arm(table);
}

void
backup_table_serve(struct virt *virt, const char *uuid, const char *name, int64_t until_ns)
{
    struct served *served = xalloc(sizeof(*served));

    LOOP_ONLY();
    forget(virt->backups, uuid);
    (void)snprintf(served->uuid, sizeof(served->uuid), "%s", uuid);
    served->name = xstrdup(name);
    served->until_ns = until_ns;
    served->next = virt->backups->served;
    virt->backups->served = served;
    arm(virt->backups);
}

void
backup_table_unserve(struct virt *virt, const char *uuid)
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

struct search {
    struct job job;
    struct virt *virt;
    virConnectPtr connect; /* a reference */
    struct found *all;
    size_t count;
};

static void
look_at(virConnectPtr connect, struct found *found)
{
    _cleanup_(error_freep) struct error *error = NULL;
    virDomainPtr domain = virDomainLookupByUUIDString(connect, found->uuid);

    if (!domain)
        return;
    if (!backup_read(domain, &found->backup, &error) ||
        (found->backup && !backup_look(domain, found->backup, &found->job, &error))) {
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
        look_at(search->connect, &search->all[i]);
}

static void
take_up(struct virt *virt, const struct found *found)
{
    const struct backup *backup = found->backup;

    if (!backup || strcmp(backup->host, virt->agent->host_id) != 0 ||
        backup_hold_of(virt, found->uuid))
        return;
    if (backup->state == BACKUP_SERVED && found->job.ours) {
        backup_table_serve(virt, found->uuid, found->name, backup->until_ns);
    } else if (backup->state == BACKUP_RUNNING && found->job.ours) {
        log_info("the backup of '%s' was left by an agent: %s", found->name,
                 backup->resume ? "going on with it" : "vm.resumeBackup goes on with it");
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
    search->all = xalloc((virt->entry_count + 1) * sizeof(search->all[0]));
    for (size_t i = 0; i < virt->entry_count; i++) {
        const struct vm *vm = virt->entries[i]->vm;

        if ((only && strcmp(only, vm->uuid) != 0) || backup_hold_of(virt, vm->uuid))
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

/* A job that has ended by itself, or with its VM, leaves its notes as they were. */
static void
told(void *context, const struct vm_news *news)
{
    struct backup_table *table = context;

    if (news->kind == VM_NEWS_ALL && !news->error)
        begin_search(table->virt, NULL);
    else if (news->kind == VM_NEWS_JOB_COMPLETED ||
             (news->kind == VM_NEWS_LIFE && news->event == VIR_DOMAIN_EVENT_STOPPED))
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
