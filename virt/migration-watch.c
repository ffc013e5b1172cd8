/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry has one look under way at most; what is wished meanwhile is done by the next.  How it ended is
 * known from, in this order: libvirt's answer to our own call; libvirt's event; a look that finds no job.
 */
#include <config.h>

#include "virt/migration-watch.h"

#include <libvirt/libvirt.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "events/ring.h"
#include "virt/connection.h"
#include "virt/migration-args.h"
#include "virt/migration-internal.h"
#include "virt/vm-table.h"

#define LOOK_MS 500
/* libvirt has no figures of it: its events tell nearly all. */
#define LOOK_INCOMING_MS 1000
/* The figures of a job that has ended come by an event of their own, right behind. */
#define FINAL_WITHIN_NS (INT64_C(3) * 1000000000)
/* Of VMs that went away, and of those that are here; the oldest that are over are forgotten. */
#define KEPT 4096
#define STUCK_MS 20000

/* ---- the list ---- */

char *
migration_key(const char *vm_uuid)
{
    return xprintf("migration %s", vm_uuid);
}

struct migration_entry *
migrations_first(struct virt *virt)
{
    return virt->migrations->first;
}

struct migration_entry *
migrations_find(struct virt *virt, const char *vm)
{
    struct migration_entry *entry = virt->migrations->first;

    LOOP_ONLY();
    while (entry && strcmp(entry->migration.vm, vm) != 0 &&
           strcmp(entry->migration.vm_uuid, vm) != 0)
        entry = entry->next;
    return entry;
}

struct migration_entry *
migrations_find_serial(struct virt *virt, uint64_t serial)
{
    struct migration_entry *entry = virt->migrations->first;

    LOOP_ONLY();
    while (entry && entry->serial != serial)
        entry = entry->next;
    return entry;
}

static void
entry_free_when_idle(struct migration_entry *entry)
{
    if (entry->asking || entry->calling)
        return;
    migration_done(&entry->migration);
    migration_wish_done(&entry->wish);
    error_free(entry->call_error);
    error_free(entry->cancel_error);
    free(entry->json);
    free(entry);
}

static void
retire(struct migrations *migrations, struct migration_entry *entry)
{
    struct migration_entry **place = &migrations->first;

    while (*place != entry)
        place = &(*place)->next;
    *place = entry->next;
    migrations->count--;
    entry->retired = true;
    timer_disarm(migrations->virt->agent->loop, &entry->timer);
    entry_free_when_idle(entry);
}

static void
forget_the_oldest(struct migrations *migrations)
{
    struct migration_entry *oldest = NULL;

    if (migrations->count < KEPT)
        return;
    for (struct migration_entry *entry = migrations->first; entry; entry = entry->next)
        if (migration_is_over(entry->migration.state))
            oldest = entry;
    if (oldest)
        retire(migrations, oldest);
}

static void timer_fired(struct timer *timer);

struct migration_entry *
migrations_enter_take(struct migrations *migrations, struct migration *migration)
{
    struct migration_entry *entry = migrations_find(migrations->virt, migration->vm_uuid);

    if (entry)
        retire(migrations, entry);
    forget_the_oldest(migrations);
    entry = xalloc(sizeof(*entry));
    entry->migration = *migration;
    *migration = (struct migration){ 0 };
    entry->migrations = migrations;
    entry->serial = ++migrations->last_serial;
    entry->lane = (struct lane){ .name = "libvirt", .limit = 1, .stuck_ms = STUCK_MS };
    entry->call_lane = (struct lane){ .name = "libvirt", .limit = 1, .stuck_ms = UINT32_MAX };
    entry->timer.fire = timer_fired;
    entry->next = migrations->first;
    migrations->first = entry;
    migrations->count++;
    return entry;
}

/* ---- telling ---- */

void
migration_publish(struct migration_entry *entry)
{
    struct agent *agent = entry->migrations->virt->agent;
    _cleanup_free_ char *key = migration_key(entry->migration.vm_uuid);
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    LOOP_ONLY();
    if (entry->retired)
        return;
    migration_write(&entry->migration, &writer);
    if (!entry->json || strcmp(entry->json, writer.text.bytes) != 0) {
        (void)ring_publish(agent->ring, "vm.migration", entry->migration.vm, writer.text.bytes,
                           writer.text.length);
        free(entry->json);
        entry->json = text_take(&writer.text);
    }
    task_wake(agent, key);
}

static void
note(struct migration_entry *entry, char *text)
{
    free(entry->migration.note);
    entry->migration.note = text;
}

void
migration_end(struct migration_entry *entry, enum migration_state state, struct error *error)
{
    struct migration *migration = &entry->migration;

    if (migration_is_over(migration->state)) {
        error_free(error);
        return;
    }
    migration->state = state;
    migration->ended_ns = clock_wall_ns();
    error_free(migration->error);
    migration->error = error;
    migration_wish_done(&entry->wish);
    log_info("migration of VM '%s', %s: %s%s%s", migration->vm,
             migration->incoming ? "incoming" : "outgoing", migration_state_name(state),
             error ? ": " : "", error ? error->message : "");
    /* Where the VM is now: on the target it was done, on the source it was not. */
    if (migration->id && migration->incoming == (state == MIGRATION_DONE))
        entry->wish.record = migration_record_write(migration);
    migration_publish(entry);
}

/* ---- rules ---- */

static void
keep_postcopy_rule(struct migration_entry *entry)
{
    const struct migration *migration = &entry->migration;

    if (!migration->postcopy || migration->postcopy_after == 0 || entry->switched ||
        migration->state != MIGRATION_RUNNING ||
        migration_figure(&migration->figures, VIR_DOMAIN_JOB_MEMORY_ITERATION) <=
            (uint64_t)migration->postcopy_after)
        return;
    entry->switched = entry->wish.postcopy = entry->again = true;
}

static void
keep_timeout(struct migration_entry *entry)
{
    const struct migration *migration = &entry->migration;
    const char *end = migration->on_timeout ? migration->on_timeout : "abort";

    if (migration->timeout_s == 0 || entry->timed_out || migration->state != MIGRATION_RUNNING ||
        clock_wall_ns() - migration->begun_ns < migration->timeout_s * INT64_C(1000000000))
        return;
    entry->timed_out = entry->again = true;
    note(entry, xprintf("it took more than %lld s: %s", (long long)migration->timeout_s,
                        strcmp(end, "pause") == 0      ? "the VM was paused"
                        : strcmp(end, "postcopy") == 0 ? "post-copy was asked for"
                                                       : "it was to be aborted"));
    if (strcmp(end, "pause") == 0)
        entry->wish.pause = true;
    else if (strcmp(end, "postcopy") == 0 && !entry->switched)
        entry->switched = entry->wish.postcopy = true;
    else if (strcmp(end, "abort") == 0)
        entry->wish.cancel = true;
}

/* ---- looking ---- */

struct question {
    struct job job;
    struct migration_entry *entry;
    virConnectPtr connect;      /* a reference */
    struct migration_wish wish; /* owned */
    struct migration_news news; /* owned */
};

static void
look(struct job *job)
{
    struct question *question = CONTAINER_OF(job, struct question, job);

    (void)migration_ask(question->connect, question->entry->migration.vm_uuid, &question->wish,
                        &question->news);
}

/* libvirt can begin to abort only what has begun; it is tried again until then. */
static void
have_cancelled(struct migration_entry *entry, struct migration_news *news)
{
    error_free(TAKE(entry->cancel_error));
    if (!news->cancel_error) {
        entry->cancelled = true;
        return;
    }
    if (entry->calling && entry->migration.state == MIGRATION_PREPARING) {
        entry->wish.cancel = true;
        return;
    }
    entry->cancel_error = TAKE(news->cancel_error);
}

/* The VM could not be had: what was wished of it is wished of it still. */
static void
take_back(struct migration_entry *entry, struct migration_wish *wish)
{
    entry->wish.cancel |= wish->cancel;
    entry->wish.postcopy |= wish->postcopy;
    entry->wish.pause |= wish->pause;
    if (wish->set_speed && !entry->wish.set_speed) {
        entry->wish.set_speed = true;
        entry->wish.speed = wish->speed;
    }
    if (!entry->wish.record)
        entry->wish.record = TAKE(wish->record);
}

static void
take_record(struct migration_entry *entry, const char *text)
{
    struct migration record;

    if (!migration_record_read(text, entry->migrations->virt->agent->host_id, &record))
        return;
    /* One that has ended is of an earlier migration: what runs was begun by somebody else. */
    if (record.incoming == entry->migration.incoming && !migration_is_over(record.state))
        migration_adopt_record(&entry->migration, &record);
    migration_done(&record);
}

static struct error *
why_it_failed(struct migration_entry *entry)
{
    struct error *error = NULL;

    if (entry->call_error)
        return TAKE(entry->call_error);
    if (entry->migration.incoming)
        (void)error_set(&error, ERROR_BACKEND_FAILED,
                        "the VM did not come: the source host tells why");
    else
        (void)error_set(&error, ERROR_BACKEND_FAILED,
                        "the VM is still here, and libvirt does not tell any more why");
    (void)error_data_text(&error, "backend", "libvirt");
    return error;
}

/* What a look says is made of it, where our own call does not say it better. */
static void
settle(struct migration_entry *entry, const struct migration_look *found)
{
    struct migration *migration = &entry->migration;
    enum migration_state state;

    if (entry->left_ns) {
        if (found->completed)
            migration->figures = found->ended;
        else if (clock_monotonic_ns() - entry->left_ns < FINAL_WITHIN_NS)
            return;
        migration_end(entry, MIGRATION_DONE, NULL);
        return;
    }
    state = migration_judge(migration, found, entry->late || entry->call_error != NULL);
    if (entry->calling && (!found->outgoing || state == MIGRATION_INTERRUPTED))
        return;
    if (state == MIGRATION_UNKNOWN && entry->call_error) {
        /* It is gone: libvirt's event is about to say whether it has ended, or is on the target after all. */
        if (clock_monotonic_ns() - entry->failed_ns < FINAL_WITHIN_NS)
            return;
        state = MIGRATION_FAILED;
    }
    if (state == MIGRATION_FAILED && entry->cancelled)
        state = MIGRATION_ABORTED;
    if (found->outgoing)
        migration->figures = found->figures;
    if (state == MIGRATION_DONE && found->completed)
        migration->figures = found->ended;
    if (state == MIGRATION_INTERRUPTED && entry->call_error) {
        note(entry, xstrdup(entry->call_error->message));
        error_free(TAKE(entry->call_error));
    }
    if (migration_is_over(state))
        migration_end(entry, state,
                      state == MIGRATION_FAILED    ? why_it_failed(entry)
                      : state == MIGRATION_ABORTED ? TAKE(entry->call_error)
                                                   : NULL);
    else
        migration->state = state;
}

static void
have_looked(struct job *job)
{
    struct question *question = CONTAINER_OF(job, struct question, job);
    struct migration_entry *entry = question->entry;
    struct migration_news *news = &question->news;
    struct loop *loop = entry->migrations->virt->agent->loop;
    bool failed = news->failed;

    entry->asking = false;
    if (news->failed && !news->acted)
        take_back(entry, &question->wish);
    else if (question->wish.cancel && news->acted)
        have_cancelled(entry, news);
    if (news->other_error && !migration_is_over(entry->migration.state))
        note(entry, xstrdup(news->other_error->message));
    if (!news->failed && !migration_is_over(entry->migration.state)) {
        if (news->record)
            take_record(entry, news->record);
        settle(entry, &news->look);
        entry->late = false;
        if (!entry->migration.incoming) {
            keep_postcopy_rule(entry);
            keep_timeout(entry);
        }
    }
    migration_publish(entry);
    (void)virConnectClose(question->connect);
    migration_wish_done(&question->wish);
    migration_news_done(news);
    free(question);
    if (entry->retired)
        entry_free_when_idle(entry);
    else if (!failed && (entry->again || entry->wish.record))
        migration_tick(entry);
    else if (!migration_is_over(entry->migration.state) || entry->wish.record)
        timer_arm(loop, &entry->timer, entry->migration.incoming ? LOOK_INCOMING_MS : LOOK_MS);
}

static bool
ask(struct migration_entry *entry, struct error **err)
{
    struct virt *virt = entry->migrations->virt;
    struct question *question;
    virConnectPtr connect;

    if (!virt_connection_get(virt, &connect, err))
        return false;
    question = xalloc(sizeof(*question));
    question->job = (struct job){
        .run = look, .finished = have_looked, .lane = &entry->lane, .pool = POOL_VIRT
    };
    question->entry = entry;
    question->connect = connect;
    question->wish = entry->wish;
    question->wish.want_record = !entry->migration.id;
    question->wish.want_ended = true;
    question->wish.in_postcopy = entry->migration.state == MIGRATION_POSTCOPY;
    if (workers_submit(virt->agent->workers, &question->job, err)) {
        entry->wish = (struct migration_wish){ 0 };
        entry->asking = true;
        return true;
    }
    (void)virConnectClose(connect);
    free(question);
    return false;
}

void
migration_tick(struct migration_entry *entry)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct loop *loop = entry->migrations->virt->agent->loop;

    LOOP_ONLY();
    if (entry->asking) {
        entry->again = true;
        return;
    }
    timer_disarm(loop, &entry->timer);
    entry->again = false;
    if (!ask(entry, &error)) {
        log_debug(NULL, "cannot look at the migration of '%s': %s", entry->migration.vm,
                  error->message);
        timer_arm(loop, &entry->timer, LOOK_INCOMING_MS);
    }
}

static void
timer_fired(struct timer *timer)
{
    struct migration_entry *entry = CONTAINER_OF(timer, struct migration_entry, timer);

    if (!migration_is_over(entry->migration.state) || entry->wish.record)
        migration_tick(entry);
}

void
migration_cancel(struct migration_entry *entry)
{
    LOOP_ONLY();
    error_free(TAKE(entry->cancel_error));
    entry->wish.cancel = true;
    migration_tick(entry);
}

void
migration_set_rate(struct migration_entry *entry, uint64_t bytes_per_second)
{
    LOOP_ONLY();
    if (entry->rate == bytes_per_second)
        return;
    entry->rate = bytes_per_second;
    entry->wish.set_speed = true;
    entry->wish.speed = migration_speed(bytes_per_second);
    migration_tick(entry);
}

/* ---- beginning ---- */

struct calling {
    struct job job;
    struct migration_entry *entry;
    virConnectPtr connect; /* a reference */
    struct migration_order order;
    struct error *error; /* owned, or NULL */
    bool lost;
};

static void
run_call(struct job *job)
{
    struct calling *calling = CONTAINER_OF(job, struct calling, job);

    (void)!migration_call(calling->connect, calling->entry->migration.vm_uuid, &calling->order,
                          &calling->lost, &calling->error);
}

static void
call_came_back(struct job *job)
{
    struct calling *calling = CONTAINER_OF(job, struct calling, job);
    struct migration_entry *entry = calling->entry;
    struct error *error = TAKE(calling->error);

    entry->lost = calling->lost;
    (void)virConnectClose(calling->connect);
    migration_order_done(&calling->order);
    free(calling);
    entry->calling = false;
    if (entry->retired || migration_is_over(entry->migration.state)) {
        error_free(error);
    } else if (!error && entry->final) {
        migration_end(entry, MIGRATION_DONE, NULL);
    } else if (!error) {
        entry->left_ns = clock_monotonic_ns();
        timer_arm(entry->migrations->virt->agent->loop, &entry->timer, LOOK_MS);
    } else if (entry->left_ns) { /* it is there, but something else could not be done */
        note(entry, xstrdup(error->message));
        error_free(error);
        timer_arm(entry->migrations->virt->agent->loop, &entry->timer, LOOK_MS);
    } else if (error->code == ERROR_TASK_ABORTED) {
        migration_end(entry, MIGRATION_ABORTED, error);
    } else {
        /* Where the VM is now says what that means. */
        entry->call_error = error;
        entry->failed_ns = clock_monotonic_ns();
        migration_publish(entry);
        if (entry->lost) /* that was not its end */
            error_free(TAKE(entry->call_error));
        migration_tick(entry);
    }
    if (entry->retired)
        entry_free_when_idle(entry);
    else if (entry->wish.record)
        migration_tick(entry);
}

static void
begin(struct migration_entry *entry, struct migration_order *order)
{
    struct virt *virt = entry->migrations->virt;
    struct calling *calling = xalloc(sizeof(*calling));
    struct error *error = NULL;

    calling->job = (struct job){
        .run = run_call, .finished = call_came_back, .lane = &entry->call_lane, .pool = POOL_VIRT
    };
    calling->entry = entry;
    calling->order = *order;
    *order = (struct migration_order){ 0 };
    if (virt_connection_get(virt, &calling->connect, &error)) {
        if (workers_submit(virt->agent->workers, &calling->job, &error)) {
            entry->calling = true;
            return;
        }
        (void)virConnectClose(calling->connect);
    }
    migration_order_done(&calling->order);
    free(calling);
    migration_end(entry, MIGRATION_FAILED, error);
}

struct migration_entry *
migrations_begin_take(struct virt *virt, struct migration *migration, struct migration_order *order)
{
    struct migration_entry *entry;

    LOOP_ONLY();
    migration->state = MIGRATION_PREPARING;
    entry = migrations_enter_take(virt->migrations, migration);
    migration_publish(entry);
    begin(entry, order);
    if (!migration_is_over(entry->migration.state))
        timer_arm(virt->agent->loop, &entry->timer, LOOK_MS / 5);
    return entry;
}
