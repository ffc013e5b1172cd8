/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/backup-steps.h"

#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"

#define BRIEF_FOR_MS 30000
#define BRIEF_EVERY_MS 1000
#define REACH_EVERY_MS 500
#define REACH_FOR_MS (10 * 60 * 1000)
#define TELL_EVERY_NS (500 * NS_PER_MS)

enum outcome
backup_hold(struct call *call)
{
    struct backup_use *use = call->state;
    const struct backup_hold *other = backup_hold_of(call->context, use->vm.uuid);
    _cleanup_free_ char *key = vm_table_key(use->vm.uuid);
    struct error *error = NULL;

    if (other && other->brief && call_elapsed_ms(call) < BRIEF_FOR_MS)
        return call_wait(call, key, BRIEF_EVERY_MS, "task '%s' is at it for a moment", other->task);
    if (!backup_hold_take(call->context, use->vm.entry, call_task(call), &use->hold, &error))
        return call_fail(call, error);
    use->name = xstrdup(use->vm.entry->vm->name);
    return call_complete(call, NULL);
}

enum outcome
backup_hold_briefly(struct call *call)
{
    struct backup_use *use = call->state;
    enum outcome outcome = backup_hold(call);

    if (use->hold)
        use->hold->brief = true;
    return outcome;
}

enum outcome
backup_hold_if_free(struct call *call)
{
    const struct backup_use *use = call->state;

    return backup_hold_of(call->context, use->vm.uuid) ? call_complete(call, "somebody else has it")
                                                       : backup_hold_briefly(call);
}

bool
backup_find(struct call *call, struct error **err)
{
    struct backup_use *use = call->state;
    virDomainPtr domain;

    backup_free(TAKE(use->backup));
    return vm_domain(call, &domain, err) && backup_read(domain, &use->backup, err) &&
           backup_look(domain, use->backup, &use->job, err);
}

bool
backup_refuse(const char *state, const char *needs, struct error **err, const char *text)
{
    error_set(err, ERROR_WRONG_STATE, "%s", text);
    error_data_text(err, "state", "%s", state);
    return error_data_text(err, "needs", "%s", needs);
}

void
backup_plan(struct call *call)
{
    struct backup_use *use = call->state;
    const struct backup *backup = use->backup;
    uint64_t total = 0;

    use->transfers = xalloc(backup->disk_count * sizeof(use->transfers[0]));
    for (size_t i = 0; i < backup->disk_count; i++) {
        struct transfer *transfer = &use->transfers[i];

        transfer->call = call;
        transfer->target_repository = use->repository; /* the reference is the use's */
        transfer->export_socket = backup_socket(backup);
        transfer->export_name = xstrdup(backup->disks[i].target);
        transfer->export_bitmap = backup->since ? backup_bitmap(&backup->disks[i]) : NULL;
        transfer->done_before = total;
        transfer->canceled = &use->hold->canceled;
        total += backup->disks[i].size;
    }
    for (size_t i = 0; i < backup->disk_count; i++)
        use->transfers[i].total_of_all = total;
    atomic_store(&use->hold->total, total);
}

void
backup_tell(struct call *call, bool result)
{
    struct backup_use *use = call->state;
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    const struct backup_view view = {
        .vm = use->name,
        .uuid = use->vm.uuid,
        .backup = use->backup,
        .task = use->backup && backup_is_open(use->backup) && !use->left ? call_task(call) : NULL,
        .done = use->hold ? atomic_load(&use->hold->done) : 0,
        .total = use->hold ? atomic_load(&use->hold->total) : 0,
    };

    backup_write(&view, &writer);
    call_event(call, "vm.backup", use->name, &writer.text);
    if (result)
        writer_json(call_result(call), writer.text.bytes, writer.text.length);
}

/* ---- the copy ---- */

static void
on_told(struct call *call, uint64_t done, uint64_t total)
{
    struct backup_use *use = call->state;
    int64_t now_ns = clock_monotonic_ns();

    (void)total;
    atomic_store(&use->hold->done, done);
    if (now_ns - use->told_ns < TELL_EVERY_NS)
        return;
    use->told_ns = now_ns;
    backup_tell(call, false);
}

static bool
copy_one(struct call *call, struct transfer *transfer, struct text *ret_how, struct error **err)
{
    transfer->told = on_told;
    if (!transfer_run(transfer, ret_how, err) || !transfer_complete(transfer, err))
        return error_wrap(err, "disk '%s'", transfer->export_name);
    image_settle(call, transfer->target, NULL);
    return true;
}

enum outcome
backup_copy(struct call *call)
{
    struct backup_use *use = call->state;
    _cleanup_text_ struct text how = TEXT_INIT;
    struct error *error = NULL;

    for (size_t i = 0; i < use->backup->disk_count; i++) {
        struct transfer *transfer = &use->transfers[i];

        text_clear(&how);
        if (!transfer->target->record.complete && !copy_one(call, transfer, &how, &error))
            return call_fail(call, error);
    }
    atomic_store(&use->hold->done, atomic_load(&use->hold->total));
    use->complete = true;
    return call_complete(call, "%s", how.length ? how.bytes : "all was there");
}

/* ---- the end ---- */

bool
backup_has_to_end(const struct call *call)
{
    const struct backup_use *use = call->state;

    return use->open && !use->left;
}

enum outcome
backup_reach(struct call *call)
{
    struct backup_use *use = call->state;
    struct error *error = NULL;

    if (use->vm.domain)
        (void)virDomainFree(TAKE(use->vm.domain));
    if (use->vm.connect)
        (void)virConnectClose(TAKE(use->vm.connect));
    if (virt_connection_get(call->context, &use->vm.connect, &error))
        return call_complete(call, NULL);
    if (call_elapsed_ms(call) > REACH_FOR_MS)
        return call_fail(call, error);
    error_free(error);
    return call_retry(call, REACH_EVERY_MS, "libvirt is away");
}

/* What is shown of each image that was not completed. */
static void
settle_images(struct call *call)
{
    const struct backup_use *use = call->state;

    for (size_t i = 0; use->transfers && i < use->backup->disk_count; i++) {
        struct image *target = use->transfers[i].target;

        if (target && !target->hidden && !target->record.complete && image_is_named(target))
            image_settle(call, target, NULL);
    }
}

static bool
is_canceled(const struct call *call)
{
    const struct backup_use *use = call->state;

    return call_aborted(call) || (use->hold && atomic_load(&use->hold->canceled));
}

enum outcome
backup_end(struct call *call)
{
    struct backup_use *use = call->state;
    const struct error *reason = call_error(call);
    enum backup_state state = use->complete       ? BACKUP_DONE
                              : is_canceled(call) ? BACKUP_CANCELED
                                                  : BACKUP_FAILED;
    struct error *error = NULL;
    virDomainPtr domain;
    bool settled;

    settle_images(call);
    if (use->vm.domain) /* libvirt may have come back since it was looked up */
        (void)virDomainFree(TAKE(use->vm.domain));
    settled = use->vm.connect && vm_domain(call, &domain, &error) &&
              backup_settle(domain, use->backup, state,
                            state == BACKUP_FAILED && reason ? reason->message : NULL, &error);
    /* A transient one that is gone has taken all of it along. */
    if (!settled && error && error->code == ERROR_NOT_FOUND) {
        error_free(TAKE(error));
        backup_sweep(use->backup, true);
        use->backup->state = state;
        settled = true;
    }
    if (!settled && !error)
        (void)virt_unavailable(&error, "it is still away");
    if (!settled)
        return call_fail(call, error);
    backup_tell(call, true);
    return call_complete(call, "%s", backup_state_name(state));
}

static void
watch_or_forget(struct call *call)
{
    const struct backup_use *use = call->state;

    if (backup_is_open(use->backup))
        backup_table_watch(call->context, use->vm.uuid, use->name, use->backup);
    else
        backup_table_forget(call->context, use->vm.uuid);
}

enum outcome
backup_let_go(struct call *call)
{
    struct backup_use *use = call->state;

    /* One that was never noted is no concern of anybody's. */
    if (use->hold && use->backup && (use->open || use->backup->state != BACKUP_BEGINNING))
        watch_or_forget(call);
    backup_hold_give(call->context, TAKE(use->hold));
    return call_complete(call, NULL);
}

void
backup_use_done(struct call *call)
{
    struct backup_use *use = call->state;

    for (size_t i = 0; use->transfers && i < use->backup->disk_count; i++) {
        use->transfers[i].target_repository = NULL;
        transfer_release(&use->transfers[i]);
    }
    free(TAKE(use->transfers));
    backup_free(TAKE(use->backup));
    free(TAKE(use->name));
    repository_unref(TAKE(use->repository));
    vm_state_done(call);
}
