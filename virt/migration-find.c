/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migrations that this agent has not begun: those of others, of an agent before this one, and incoming ones.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "virt/connection.h"
#include "virt/migration-internal.h"
#include "virt/vm-table.h"

#define STUCK_MS 60000

void
migration_adopt_record(struct migration *migration, struct migration *record)
{
    migration->id = TAKE(record->id);
    migration->task = TAKE(record->task);
    migration->source = TAKE(record->source);
    migration->source_host = TAKE(record->source_host);
    migration->target = TAKE(record->target);
    migration->on_timeout = TAKE(record->on_timeout);
    migration->begun_ns = record->begun_ns;
    migration->postcopy = record->postcopy;
    migration->postcopy_after = record->postcopy_after;
    migration->timeout_s = record->timeout_s;
}

/* ---- by libvirt's events ---- */

static struct migration_entry *
begin_incoming(struct migrations *migrations, const struct vm_news *news)
{
    const struct vm_entry *vm = vm_table_find_uuid(migrations->virt, news->uuid);
    struct migration migration = { .state = MIGRATION_RUNNING,
                                   .incoming = true,
                                   .begun_ns = clock_wall_ns() };
    struct migration_entry *entry;

    memcpy(migration.vm_uuid, news->uuid, sizeof(migration.vm_uuid));
    migration.vm = xstrdup(vm ? vm->vm->name : news->name ? news->name : news->uuid);
    entry = migrations_enter_take(migrations, &migration);
    migration_publish(entry);
    return entry;
}

/* The VM is off, and 'why' says how that came. */
static void
have_stopped(struct migration_entry *entry, int why)
{
    struct migration *migration = &entry->migration;
    struct error *error = NULL;

    if (why == VIR_DOMAIN_EVENT_STOPPED_MIGRATED && !migration->incoming) {
        /* So it is there, whatever else libvirt could not do (making it persistent there, as one). */
        if (entry->call_error) {
            free(migration->note);
            migration->note = xstrdup(entry->call_error->message);
            error_free(TAKE(entry->call_error));
        }
        entry->left_ns = clock_monotonic_ns();
        if (!entry->calling)
            migration_tick(entry);
        return;
    }
    if (entry->calling)
        return; /* its answer says why */
    if (entry->call_error)
        error = TAKE(entry->call_error);
    else {
        (void)error_set(&error, ERROR_BACKEND_FAILED,
                        migration->incoming ? "the VM did not come: the source host tells why"
                                            : "the VM has ended before it was through");
        (void)error_data_text(&error, "backend", "libvirt");
    }
    migration_end(entry, entry->cancelled ? MIGRATION_ABORTED : MIGRATION_FAILED, error);
}

static void
take_final_figures(struct migration_entry *entry, const struct vm_news *news)
{
    int operation;

    if (virTypedParamsGetInt(news->params, news->param_count, VIR_DOMAIN_JOB_OPERATION,
                             &operation) != 1 ||
        operation != VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT || entry->migration.incoming)
        return;
    migration_figures_read(news->params, news->param_count, &entry->migration.figures);
    entry->final = true;
    if (entry->left_ns && !entry->calling)
        migration_end(entry, MIGRATION_DONE, NULL);
    migration_publish(entry);
}

static void
hear_life(struct migrations *migrations, struct migration_entry *entry, const struct vm_news *news)
{
    if (news->event == VIR_DOMAIN_EVENT_STARTED &&
        news->detail == VIR_DOMAIN_EVENT_STARTED_MIGRATED)
        entry = begin_incoming(migrations, news);
    if (!entry || migration_is_over(entry->migration.state))
        return;
    if (news->event == VIR_DOMAIN_EVENT_STOPPED || news->event == VIR_DOMAIN_EVENT_CRASHED)
        have_stopped(entry, news->detail);
    else
        migration_tick(entry);
}

/* Of what was under way when the connection was lost, events may have been missed. */
static void
look_again_at_all(struct migrations *migrations)
{
    for (struct migration_entry *entry = migrations->first; entry; entry = entry->next)
        if (!migration_is_over(entry->migration.state)) {
            entry->late = true;
            migration_tick(entry);
        }
}

void
migrations_told(void *context, const struct vm_news *news)
{
    struct migrations *migrations = context;
    struct migration_entry *entry;

    LOOP_ONLY();
    if (news->kind == VM_NEWS_ALL) {
        if (!news->error) {
            look_again_at_all(migrations);
            migrations_find_others(migrations);
        }
        return;
    }
    entry = migrations_find(migrations->virt, news->uuid);
    if (news->kind == VM_NEWS_LIFE)
        hear_life(migrations, entry, news);
    else if (news->kind == VM_NEWS_JOB_COMPLETED && entry &&
             (!migration_is_over(entry->migration.state) ||
              (entry->migration.state == MIGRATION_DONE && !entry->final)))
        take_final_figures(entry, news);
    else if (news->kind == VM_NEWS_MIGRATION_ITERATION) {
        if (!entry || migration_is_over(entry->migration.state) || entry->migration.incoming)
            migrations_find_others(migrations); /* somebody else has just begun one */
        else if (!entry->switched && entry->migration.postcopy_after > 0 &&
                 news->event > entry->migration.postcopy_after)
            migration_tick(entry);
    }
}

/* ---- by looking at all ---- */

struct found {
    char uuid[UUID_TEXT_SIZE];
    char *name; /* owned */
    struct migration_news news;
};

struct finding {
    struct job job;
    struct migrations *migrations;
    virConnectPtr connect; /* a reference */
    struct found *all;     /* owned */
    size_t count;
};

static void
find(struct job *job)
{
    struct finding *finding = CONTAINER_OF(job, struct finding, job);
    const struct migration_wish wish = { .want_record = true, .want_ended = true };

    for (size_t i = 0; i < finding->count; i++)
        if (!migration_ask(finding->connect, finding->all[i].uuid, &wish, &finding->all[i].news))
            return;
}

/* A VM that was to go, and is here; or that has come.  '*ret_told': its end stands in the record already. */
static bool
make_of_record(struct migrations *migrations, const struct found *found,
               struct migration *ret_migration, bool *ret_told)
{
    const struct migration_look *look = &found->news.look;

    if (!found->news.record ||
        !migration_record_read(found->news.record, migrations->virt->agent->host_id, ret_migration))
        return false;
    /* What is off and was migrated is no more what its record says: libvirt's own figures follow. */
    if (look->state == VIR_DOMAIN_SHUTOFF || look->state == VIR_DOMAIN_CRASHED) {
        migration_done(ret_migration);
        return false;
    }
    *ret_told = migration_is_over(ret_migration->state);
    if (*ret_told)
        return true;
    ret_migration->state = migration_judge(ret_migration, look, true);
    if (ret_migration->state == MIGRATION_FAILED) {
        (void)error_set(&ret_migration->error, ERROR_BACKEND_FAILED,
                        "the VM is still here, and libvirt does not tell any more why");
        (void)error_data_text(&ret_migration->error, "backend", "libvirt");
    }
    return true;
}

/* What libvirt remembers by itself. */
static bool
make_of_look(const struct migration_look *look, struct migration *ret_migration)
{
    struct migration made = { .state = MIGRATION_DONE, .incoming = look->completed_in };

    if (!look->completed &&
        !(look->state == VIR_DOMAIN_SHUTOFF && look->reason == VIR_DOMAIN_SHUTOFF_MIGRATED))
        return false;
    if (look->completed)
        made.figures = look->ended;
    *ret_migration = made;
    return true;
}

static void
begin_found(struct migrations *migrations, const struct found *found, struct migration *migration,
            bool to_be_written)
{
    struct migration_entry *entry;

    memcpy(migration->vm_uuid, found->uuid, sizeof(migration->vm_uuid));
    migration->vm = xstrdup(found->name);
    entry = migrations_enter_take(migrations, migration);
    if (to_be_written)
        entry->wish.record = migration_record_write(&entry->migration);
    migration_publish(entry);
    if (to_be_written || !migration_is_over(entry->migration.state))
        migration_tick(entry);
}

static void
take_running(struct migrations *migrations, const struct found *found)
{
    const struct migration_look *look = &found->news.look;
    struct migration migration = { 0 }, record;
    const struct migration_entry *entry = migrations_find(migrations->virt, found->uuid);

    if (entry && !migration_is_over(entry->migration.state))
        return; /* its own looks tell */
    migration.incoming = look->incoming;
    migration.state = MIGRATION_RUNNING;
    migration.state = migration_judge(&migration, look, false);
    migration.figures = look->figures;
    if (found->news.record &&
        migration_record_read(found->news.record, migrations->virt->agent->host_id, &record)) {
        if (record.incoming == migration.incoming && !migration_is_over(record.state))
            migration_adopt_record(&migration, &record);
        migration_done(&record);
    }
    if (migration.begun_ns == 0 && look->outgoing)
        migration.begun_ns =
            clock_wall_ns() -
            (int64_t)migration_figure(&look->figures, VIR_DOMAIN_JOB_TIME_ELAPSED) * 1000000;
    log_info("VM '%s' is being migrated, %s%s%s", found->name,
             migration.incoming ? "incoming" : "outgoing", migration.task ? ", by task " : "",
             migration.task ? migration.task : "");
    begin_found(migrations, found, &migration, false);
}

static void
take_found(struct migrations *migrations, const struct found *found)
{
    const struct migration_look *look = &found->news.look;
    struct migration migration;
    bool told;

    if (found->news.failed || look->gone)
        return;
    if (look->outgoing || look->incoming) {
        take_running(migrations, found);
        return;
    }
    if (migrations_find(migrations->virt, found->uuid))
        return; /* this agent has seen it itself */
    if (make_of_record(migrations, found, &migration, &told)) {
        if (!told && migration.state == MIGRATION_DONE && look->completed)
            migration.figures = look->ended;
        begin_found(migrations, found, &migration, !told);
    } else if (make_of_look(look, &migration))
        begin_found(migrations, found, &migration, false);
}

static void
have_found(struct job *job)
{
    struct finding *finding = CONTAINER_OF(job, struct finding, job);
    struct migrations *migrations = finding->migrations;

    migrations->finding = false;
    for (size_t i = 0; i < finding->count; i++) {
        struct found *found = &finding->all[i];

        take_found(migrations, found);
        free(found->name);
        migration_news_done(&found->news);
    }
    free(finding->all);
    (void)virConnectClose(finding->connect);
    free(finding);
    if (migrations->find_again)
        migrations_find_others(migrations);
}

void
migrations_find_others(struct migrations *migrations)
{
    struct virt *virt = migrations->virt;
    _cleanup_(error_freep) struct error *error = NULL;
    struct finding *finding;
    virConnectPtr connect;

    LOOP_ONLY();
    if (migrations->finding) {
        migrations->find_again = true;
        return;
    }
    migrations->find_again = false;
    if (!virt_connection_get(virt, &connect, &error))
        return; /* the next connection begins with this */
    finding = xalloc(sizeof(*finding));
    finding->job = (struct job){
        .run = find, .finished = have_found, .lane = &migrations->finder, .pool = POOL_VIRT
    };
    finding->migrations = migrations;
    finding->connect = connect;
    finding->all = xalloc((virt->entry_count + 1) * sizeof(finding->all[0]));
    for (size_t i = 0; i < virt->entry_count; i++) {
        struct found *found = &finding->all[finding->count++];

        memcpy(found->uuid, virt->entries[i]->vm->uuid, sizeof(found->uuid));
        found->name = xstrdup(virt->entries[i]->vm->name);
    }
    migrations->finding = true;
    if (workers_submit(virt->agent->workers, &finding->job, &error))
        return;
    log_warning("cannot look for migrations: %s", error->message);
    finding->count = 0;
    have_found(&finding->job);
}

/* ---- the present state, for event.subscribe ---- */

static void *
begin_snapshot(void *context)
{
    const struct migrations *migrations = context;
    struct snapshot_texts *texts = snapshot_texts_new("vm.migration");

    for (const struct migration_entry *entry = migrations->first; entry; entry = entry->next)
        snapshot_texts_add(texts, entry->migration.vm, entry->json);
    return texts;
}

struct migrations *
migrations_open(struct virt *virt)
{
    struct migrations *migrations = xalloc(sizeof(*migrations));

    LOOP_ONLY();
    migrations->virt = virt;
    migrations->finder = (struct lane){ .name = "libvirt", .limit = 1, .stuck_ms = STUCK_MS };
    migrations->listener = (struct virt_listener){ .told = migrations_told, .context = migrations };
    virt_listen(virt, &migrations->listener);
    migrations->provider = (struct snapshot_provider){
        .topic = "vm.migration",
        .pool = POOL_LOOP,
        .begin = begin_snapshot,
        .write = snapshot_texts_write,
        .end = snapshot_texts_free,
        .provider_context = migrations,
    };
    snapshot_register(virt->agent, &migrations->provider);
    return migrations;
}
