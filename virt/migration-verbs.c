/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "virt/migration-args.h"
#include "virt/migration-watch.h"

#define LOOK_AGAIN_MS 5000
#define GONE_WITHIN_NS (INT64_C(3) * 1000000000)

/* Of vm.migrate and vm.cancelMigration. */
struct migration_use {
    struct vm_use use;
    uint64_t serial;
    char *key, *gone_key; /* owned */
};

static void
migration_use_done(struct call *call)
{
    struct migration_use *state = call->state;

    free(TAKE(state->key));
    free(TAKE(state->gone_key));
    vm_state_done(call);
}

/* NULL: another migration of the VM has taken its place. */
static struct migration_entry *
entry_of(struct call *call)
{
    const struct migration_use *state = call->state;

    return migrations_find_serial(call->context, state->serial);
}

static void
have_serial(struct call *call, const struct migration_entry *entry)
{
    struct migration_use *state = call->state;

    state->serial = entry->serial;
    state->key = migration_key(entry->migration.vm_uuid);
    state->gone_key = vm_table_key(entry->migration.vm_uuid);
}

static void
answer(struct call *call, const struct migration_entry *entry)
{
    struct writer *writer = call_result(call);

    writer_clear(writer);
    writer_json(writer, entry->json, strlen(entry->json));
}

static enum outcome
fail_with(struct call *call, const struct error *error)
{
    return call_fail(call, error_copy(error));
}

static enum outcome
refuse(struct call *call, const char *is, const char *needs, const char *text)
{
    struct error *error = NULL;

    (void)error_set(&error, ERROR_WRONG_STATE, "%s", text);
    (void)error_data_text(&error, "state", "%s", is);
    (void)error_data_text(&error, "needs", "%s", needs);
    return call_fail(call, error);
}

/* ---- vm.migrate ---- */

static bool
may_begin(const struct migration_args *args, const struct vm *vm,
          const struct migration_entry *before, struct error **err)
{
    bool is_interrupted =
        before && !before->migration.incoming && before->migration.state == MIGRATION_INTERRUPTED;

    if (args->recover && !is_interrupted) {
        error_set(err, ERROR_WRONG_STATE,
                  "VM '%s' has no interrupted post-copy to go on with: leave 'recover' out",
                  vm->name);
        error_data_text(err, "state", "%s",
                        before ? migration_state_name(before->migration.state) : "none");
        return error_data_text(err, "needs", "interrupted");
    }
    if (before && !migration_is_over(before->migration.state) && !args->recover) {
        error_set(err, ERROR_WRONG_STATE, "VM '%s' is being migrated: vm.migration tells how far%s",
                  vm->name, is_interrupted ? ", and 'recover' goes on with it" : "");
        error_data_text(err, "state", "%s", migration_state_name(before->migration.state));
        return error_data_text(err, "needs", "no migration under way");
    }
    if (!args->recover && vm->state != VM_RUNNING && vm->state != VM_PAUSED &&
        vm->state != VM_SUSPENDED)
        return vm_refuse_state(vm, "a VM that runs or is paused", err);
    return true;
}

static char *
own_name(void)
{
    char name[256] = "";

    return gethostname(name, sizeof(name) - 1) == 0 ? xstrdup(name) : NULL;
}

static void
describe(struct call *call, const struct vm *vm, const struct migration_entry *before,
         struct migration *ret_migration)
{
    const struct migration_args *args = call->args;
    char id[UUID_TEXT_SIZE];

    uuid_make(id);
    if (args->recover && before->migration.id) /* it is the same one, on both hosts */
        (void)snprintf(id, sizeof(id), "%s", before->migration.id);
    *ret_migration = (struct migration){
        .vm = xstrdup(vm->name),
        .id = xstrdup(id),
        .task = xstrdup(call_task(call)),
        .source = own_name(),
        .source_host = xstrdup(call->agent->host_id),
        .target = xstrdup(args->target),
        .begun_ns = clock_wall_ns(),
        .postcopy = args->postcopy,
        .postcopy_after = args->postcopy_after,
        .timeout_s = args->timeout_s,
        .on_timeout = args->timeout_s > 0 ? xstrdup(args->on_timeout) : NULL,
    };
    memcpy(ret_migration->vm_uuid, vm->uuid, sizeof(ret_migration->vm_uuid));
}

static bool
make_order(const struct migration_args *args, const struct vm *vm,
           const struct migration *migration, struct migration_order *ret_order, struct error **err)
{
    struct migration_order order = {
        .flags = migration_flags(args, vm->persistent),
        .downtime_ms = args->downtime_ms,
    };

    if (!migration_typed_params(args, &order.params, &order.param_count, err))
        return false;
    order.vm = xstrdup(vm->name);
    order.target = xstrdup(args->target);
    /* A VM whose post-copy was interrupted cannot be changed, and has its record. */
    order.record = args->recover ? NULL : migration_record_write(migration);
    *ret_order = order;
    return true;
}

static enum outcome
migrate_begin(struct call *call)
{
    const struct migration_args *args = call->args;
    const struct migration_use *state = call->state;
    const struct vm *vm = state->use.entry->vm;
    struct migration_entry *entry = migrations_find(call->context, vm->uuid);
    struct migration_order order;
    struct migration migration;
    struct error *error = NULL;

    if (!migration_args_check(args, vm, &error) || !may_begin(args, vm, entry, &error))
        return call_fail(call, error);
    describe(call, vm, entry, &migration);
    if (!make_order(args, vm, &migration, &order, &error)) {
        migration_done(&migration);
        return call_fail(call, error);
    }
    call_begin_rate(call, args->rate);
    entry = migrations_begin_take(call->context, &migration, &order);
    entry->rate = args->rate;
    have_serial(call, entry);
    return call_complete(call, NULL);
}

/* What the end of it is for the task. */
static enum outcome
conclude(struct call *call, const struct migration_entry *entry)
{
    const struct migration *migration = &entry->migration;
    struct error *error = NULL;

    answer(call, entry);
    if (migration->state == MIGRATION_DONE)
        return call_complete(
            call, "done, downtime %llu ms",
            (unsigned long long)migration_figure(&migration->figures, VIR_DOMAIN_JOB_DOWNTIME));
    if (migration->error)
        return fail_with(call, migration->error);
    (void)error_set(&error,
                    migration->state == MIGRATION_ABORTED ? ERROR_TASK_ABORTED
                                                          : ERROR_BACKEND_UNAVAILABLE,
                    migration->state == MIGRATION_ABORTED
                        ? "the migration of '%s' was aborted"
                        : "it was not seen how the migration of '%s' ended: the target host tells",
                    migration->vm);
    if (migration->state == MIGRATION_UNKNOWN) {
        (void)error_data_text(&error, "backend", "libvirt");
        (void)error_data_text(&error, "reason", "its connection was lost meanwhile");
    }
    return call_fail(call, error);
}

static enum outcome
replaced(struct call *call)
{
    struct error *error = NULL;

    (void)error_set(&error, ERROR_CONFLICT, "another migration of the VM has begun since");
    return call_fail(call, error);
}

/* libvirt no longer answers, or the post-copy broke: the task has no more to tell, the migration has. */
static const struct error *
loss(const struct migration_entry *entry)
{
    return entry->lost ? entry->call_error : NULL;
}

static enum outcome
migrate_wait(struct call *call)
{
    const struct migration_use *state = call->state;
    struct migration_entry *entry = entry_of(call);

    if (!entry)
        return replaced(call);
    if (loss(entry))
        return fail_with(call, loss(entry));
    if (migration_is_over(entry->migration.state) && entry->migration.state != MIGRATION_DONE)
        return conclude(call, entry);
    if (entry->migration.state == MIGRATION_PREPARING)
        return call_wait(call, state->key, LOOK_AGAIN_MS, "libvirt prepares it on both hosts");
    answer(call, entry);
    return call_complete(call, "to %s", entry->migration.target);
}

static void
tell_progress(struct call *call, const struct migration_figures *figures)
{
    uint64_t total = migration_figure(figures, VIR_DOMAIN_JOB_DATA_TOTAL);
    uint64_t left = migration_figure(figures, VIR_DOMAIN_JOB_DATA_REMAINING);

    if (total > 0)
        call_progress(call, left < total ? total - left : 0, total, "bytes");
}

/* Whoever hears of its end finds in vm.list what follows from it: libvirt's own events tell that, a little
   later. */
static bool
is_told_as_gone(struct call *call, const struct migration *migration)
{
    const struct migration_args *args = call->args;
    const struct migration_use *state = call->state;
    const struct vm_entry *vm = state->use.entry;
    bool stays = vm->vm->persistent && strcmp(args->definition, "move") != 0;

    return migration->state != MIGRATION_DONE || vm->gone ||
           (stays && vm->vm->state == VM_SHUTOFF) ||
           clock_wall_ns() - migration->ended_ns > GONE_WITHIN_NS;
}

static enum outcome
migrate_follow(struct call *call)
{
    const struct migration_use *state = call->state;
    struct migration_entry *entry = entry_of(call);
    const struct migration *migration;
    struct error *error = NULL;

    if (!entry)
        return replaced(call);
    migration = &entry->migration;
    if (loss(entry))
        return fail_with(call, loss(entry));
    if (migration_is_over(migration->state) && !is_told_as_gone(call, migration))
        return call_wait(call, state->gone_key, LOOK_AGAIN_MS / 10, "libvirt's events");
    if (migration_is_over(migration->state))
        return conclude(call, entry);
    answer(call, entry);
    if (migration->state == MIGRATION_INTERRUPTED) {
        (void)error_set(
            &error, ERROR_BACKEND_FAILED,
            "the post-copy of '%s' was interrupted: %s; vm.migrate with 'recover' goes on "
            "with it",
            migration->vm, migration->note ? migration->note : "the connection broke");
        (void)error_data_text(&error, "backend", "libvirt");
        return call_fail(call, error);
    }
    tell_progress(call, &migration->figures);
    migration_set_rate(entry, call_rate(call));
    return call_wait(call, state->key, LOOK_AGAIN_MS, "%s", migration_state_name(migration->state));
}

/* Only whoever aborted the task wants it to end. */
static bool
is_to_be_cancelled(const struct call *call)
{
    const struct migration_use *state = call->state;
    const struct migration_entry *entry = migrations_find_serial(call->context, state->serial);

    return call_aborted(call) && entry && !migration_is_over(entry->migration.state);
}

static enum outcome
cancel_wait(struct call *call)
{
    const struct migration_use *state = call->state;
    struct migration_entry *entry = entry_of(call);

    if (!entry)
        return call_complete(call, "another migration of the VM has begun since");
    if (migration_is_over(entry->migration.state)) {
        answer(call, entry);
        return call_complete(call, "%s", migration_state_name(entry->migration.state));
    }
    if (call_attempts(call) == 1)
        migration_cancel(entry);
    else if (entry->cancel_error)
        return call_complete(call, "it goes on: %s", entry->cancel_error->message);
    if (!entry->calling && call_elapsed_ms(call) > LOOK_AGAIN_MS)
        return call_complete(call,
                             "libvirt does not answer: vm.migration tells what becomes of it");
    return call_wait(call, state->key, LOOK_AGAIN_MS, "libvirt aborts it");
}

/* ---- vm.cancelMigration ---- */

static struct migration_entry *
find_or_refuse(struct call *call, enum outcome *ret_refusal)
{
    const struct vm_args *args = call->args;
    struct virt *virt = call->context;
    struct migration_entry *entry = migrations_find(virt, args->vm);
    struct error *error = NULL;

    if (entry)
        return entry;
    if (vm_table_find(virt, args->vm)) {
        *ret_refusal = refuse(call, "none", "a migration under way",
                              "the VM is not being migrated: there is nothing to cancel");
    } else {
        (void)virt_missing(&error, args->vm);
        *ret_refusal = call_fail(call, error);
    }
    return NULL;
}

static enum outcome
cancel_begin(struct call *call)
{
    enum outcome refusal;
    struct migration_use *state = call->state;
    struct error *error = NULL;
    struct migration_entry *entry;
    enum migration_state now;

    if (!virt_connection_get(call->context, &state->use.connect, &error))
        return call_fail(call, error);
    entry = find_or_refuse(call, &refusal);
    if (!entry)
        return refusal;
    now = entry->migration.state;
    if (migration_is_over(now))
        return refuse(call, migration_state_name(now), "a migration under way",
                      "the migration is over: there is nothing to cancel");
    if (entry->migration.incoming)
        return refuse(call, "incoming", "the source host",
                      "the VM is on its way to this host: only the source host can cancel that");
    if (now == MIGRATION_POSTCOPY || now == MIGRATION_INTERRUPTED)
        return refuse(
            call, migration_state_name(now), "running",
            "a post-copy cannot be cancelled: the VM is on the target already, and some of its "
            "memory is here");
    have_serial(call, entry);
    migration_cancel(entry);
    return call_complete(call, NULL);
}

static enum outcome
cancel_follow(struct call *call)
{
    const struct migration_use *state = call->state;
    struct migration_entry *entry = entry_of(call);

    if (!entry)
        return replaced(call);
    if (entry->cancel_error)
        return fail_with(call, entry->cancel_error);
    if (entry->migration.state == MIGRATION_DONE)
        return refuse(call, "done", "a migration under way",
                      "the migration was done before it could be cancelled");
    if (!migration_is_over(entry->migration.state))
        return call_wait(call, state->key, LOOK_AGAIN_MS, "libvirt aborts it");
    answer(call, entry);
    return call_complete(call, "%s", migration_state_name(entry->migration.state));
}

/* ---- vm.migration ---- */

static const struct shape migrations_shape = {
    .name = "Migrations",
    .schema =
        "{\"type\":\"object\",\"required\":[\"migrations\",\"current\"],\"properties\":{\"migrations\":{"
        "\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Migration\"}},"
        "\"current\":{\"type\":\"boolean\"},\"next\":{\"type\":\"string\"}}}",
    .parts = SHAPES(&migration_shape),
};

struct list_args {
    struct vm_args vm;
    bool running;
    int64_t limit;
    char *after;
};

/* Those that follow 'after', which is the id of a place in the list: the newest first. */
static void
write_list(const struct list_args *args, const struct migration_entry *entry, struct writer *writer)
{
    uint64_t after = args->after ? strtoull(args->after, NULL, 10) : UINT64_MAX, last = 0;
    int64_t count = 0;

    for (; entry && count < args->limit; entry = entry->next) {
        if (entry->serial >= after || (args->running && migration_is_over(entry->migration.state)))
            continue;
        writer_json(writer, entry->json, strlen(entry->json));
        last = entry->serial;
        count++;
    }
    writer_end_array(writer);
    if (entry) {
        writer_key(writer, "next");
        writer_printf(writer, "%llu", (unsigned long long)last);
    }
}

static enum outcome
list_run(struct call *call)
{
    const struct list_args *args = call->args;
    struct virt *virt = call->context;
    struct writer *writer = call_result(call);
    const struct migration_entry *entry;
    struct error *error = NULL;

    if (!virt->known) {
        (void)virt_unavailable(&error, virt->reason ? virt->reason
                                                    : "the agent has not connected to it yet");
        return call_fail(call, error);
    }
    entry = args->vm.vm ? migrations_find(virt, args->vm.vm) : NULL;
    if (args->vm.vm && !entry && !vm_table_find(virt, args->vm.vm)) {
        (void)error_set(
            &error, ERROR_NOT_FOUND,
            "there is no VM '%s' here, and this agent has seen no migration of it: if it was "
            "migrated, the host that it went to tells",
            args->vm.vm);
        (void)error_data_text(&error, "kind", "vm");
        (void)error_data_text(&error, "id", "%s", args->vm.vm);
        return call_fail(call, error);
    }
    writer_object(writer);
    writer_key(writer, "migrations");
    writer_array(writer);
    if (!args->vm.vm)
        write_list(args, migrations_first(virt), writer);
    else if (entry && !(args->running && migration_is_over(entry->migration.state)))
        writer_json(writer, entry->json, strlen(entry->json));
    if (args->vm.vm)
        writer_end_array(writer);
    writer_member_bool(writer, "current", virt->current);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

const struct verb migration_verbs[] = {
    {
        .name = "vm.migrate",
        .summary = "Move a running virtual machine to another host, while it runs.",
        .description =
            "The migration is libvirt's own, from libvirtd to libvirtd: it goes on when the agent dies. "
            "Answers when its memory or disks are on their way; vm.migration tells how it goes, on "
            "both hosts. Disks must be at the same place on both hosts; those that 'storage' copies must "
            "be there already, of the same size (image.create makes them), unless libvirt makes them in a "
            "pool of its own. Aborting the task aborts the migration, unless it is in post-copy.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct migration_args),
        .params = migration_params,
        .result = &migration_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,
                         ERROR_CONFLICT, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .state_size = sizeof(struct migration_use),
        .state_done = migration_use_done,
        .object = vm_name_object,
        .steps = STEPS(VM_FIND_STEP, { "begin", migrate_begin, .pool = POOL_LOOP },
                       { "prepare", migrate_wait, .pool = POOL_LOOP, .responds = true },
                       { "migrate", migrate_follow, .pool = POOL_LOOP },
                       { "cancel", cancel_wait, .pool = POOL_LOOP, .when = ON_FAILURE,
                         .only_if = is_to_be_cancelled }),
    },
    {
        .name = "vm.cancelMigration",
        .summary = "Abort the migration of a virtual machine, whoever began it: it stays here.",
        .description =
            "On the source host only. Answers when libvirt has ended it. A post-copy cannot be cancelled.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &migration_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_CONFLICT,
                         ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .state_size = sizeof(struct migration_use),
        .state_done = migration_use_done,
        .object = vm_name_object,
        .steps = STEPS({ "ask libvirt", cancel_begin, .pool = POOL_LOOP },
                       { "wait for its end", cancel_follow, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.migration",
        .summary = "Show migrations that are under way, and how the last one of each VM ended.",
        .description =
            "On the source and on the target host, whoever began it. Figures of one under way are told by the "
            "source host alone. The end is kept in the VM itself, where it is then; what a source host knew of "
            "a VM that is gone from it, it forgets with the agent: the target host tells.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct list_args),
        .params =
            PARAMS({ .name = "vm",
                     .offset = offsetof(struct list_args, vm.vm),
                     .type = PARAM_TEXT,
                     .minimum = 1,
                     .maximum = VM_NAME_MAX,
                     .about = "Only of this VM, by its name or its UUID, also where it is gone." },
                   PARAM(list_args, running, "running", .type = PARAM_BOOL,
                         .about = "Only those that are under way."),
                   PARAM(list_args, limit, "limit", .type = PARAM_INTEGER, .minimum = 1,
                         .maximum = 500, .fallback = "100", .about = "At most so many."),
                   PARAM(list_args, after, "after", .type = PARAM_TEXT, .maximum = 32,
                         .one_line = true, .about = "The 'next' of the page before.")),
        .result = &migrations_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_BACKEND_UNAVAILABLE),
        .steps = STEPS({ "look", list_run, .pool = POOL_LOOP }),
    },
    { 0 },
};
