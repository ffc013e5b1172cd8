/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done with a backup that is there: its status, going on with it, its end.
 */
#include <config.h>

#include <string.h>

#include "virt/backup-steps.h"

#define REPOSITORY_EVERY_MS 1000
#define REPOSITORY_FOR_MS 120000
#define CANCEL_FOR_MS 60000

/* ---- vm.resumeBackup ---- */

static bool
check_left(struct call *call, struct error **err)
{
    struct backup_use *use = call->state;

    if (!backup_find(call, err))
        return false;
    if (!use->backup || use->backup->state != BACKUP_RUNNING)
        return backup_refuse(use->backup ? backup_state_name(use->backup->state) : "none",
                             "a backup that was left", err,
                             "there is no backup of this VM that could be gone on with");
    if (strcmp(use->backup->host, call->agent->host_id) != 0)
        return backup_refuse("a backup of another host", "its own host", err,
                             "the backup of this VM was begun on another host");
    if (!use->job.ours)
        return backup_refuse(
            "its job has ended", "a new backup", err,
            "the job of the backup is not there any more, as after a crash of QEMU: remove its "
            "images and back up again");
    use->open = true;
    use->left = true; /* until we have its images */
    return true;
}

static enum outcome
look_left(struct call *call)
{
    struct backup_use *use = call->state;
    struct error *error = NULL;

    if (!check_left(call, &error))
        return vm_fail(call, error);
    call_begin_rate(call, use->backup->rate);
    return call_complete(call, "backup %s", use->backup->id);
}

/* After a start they are connected one after the other. */
static enum outcome
find_left_repository(struct call *call)
{
    struct backup_use *use = call->state;
    struct virt *virt = call->context;
    struct error *error = NULL;

    if (atomic_load(&use->hold->canceled)) {
        use->left = false;
        error_set(&error, ERROR_TASK_ABORTED, "canceled");
        return call_fail(call, error);
    }
    if (repository_find_uuid(virt->storage, use->backup->repository_uuid, &use->repository,
                             &error)) {
        image_set_lanes(call, use->repository);
        return call_complete(call, "%s", use->repository->name);
    }
    if (call_connection(call) != 0 || call_elapsed_ms(call) > REPOSITORY_FOR_MS) {
        error_wrap(&error, "the repository of the backup (it was called '%s') is needed",
                   use->backup->repository ? use->backup->repository : "");
        return call_fail(call, error);
    }
    error_free(error);
    return call_retry(call, REPOSITORY_EVERY_MS, "its repository is not connected yet");
}

static bool
open_image(struct call *call, size_t i, struct error **err)
{
    struct backup_use *use = call->state;
    struct transfer *transfer = &use->transfers[i];
    _cleanup_free_ char *holder = image_holder(call);

    if (!image_open_locked(use->repository, use->backup->disks[i].image, IMAGE_LOCK_EXCLUSIVE,
                           holder, &transfer->target, err))
        return false;
    if (transfer->target->record.complete)
        return true;
    if (transfer->target->record.base &&
        !image_open_base(use->repository, transfer->target->record.base,
                         transfer->target->record.size, &transfer->base, err))
        return false;
    transfer->resumed = true;
    if (!image_read_copy(transfer->target, &transfer->record, err))
        return false;
    transfer_sign_of(transfer);
    return image_write_copy(transfer->target, &transfer->record, err);
}

static enum outcome
open_images(struct call *call)
{
    struct backup_use *use = call->state;
    struct error *error = NULL;

    backup_plan(call);
    for (size_t i = 0; i < use->backup->disk_count; i++)
        if (!open_image(call, i, &error))
            return call_fail(call, error);
    use->left = false;
    for (size_t i = 0; i < use->backup->disk_count; i++)
        image_tell(call, use->transfers[i].target, NULL);
    backup_tell(call, true);
    return call_complete(call, NULL);
}

/* ---- vm.backupStatus ---- */

struct status_use {
    struct vm_use vm;
    char *name; /* owned */
    char *task; /* owned, or NULL */
    uint64_t done, total;
};

/* What the loop knows of it. */
static enum outcome
status_note(struct call *call)
{
    struct status_use *use = call->state;
    struct backup_hold *hold = backup_hold_of(call->context, use->vm.uuid);

    use->name = xstrdup(use->vm.entry->vm->name);
    if (!hold || hold->brief)
        return call_complete(call, NULL);
    use->task = xstrdup(hold->task);
    use->done = atomic_load(&hold->done);
    use->total = atomic_load(&hold->total);
    return call_complete(call, NULL);
}

static enum outcome
status_run(struct call *call)
{
    struct status_use *use = call->state;
    struct backup_view view = { .vm = use->name,
                                .uuid = use->vm.uuid,
                                .task = use->task,
                                .done = use->done,
                                .total = use->total };
    _cleanup_(backup_freep) struct backup *backup = NULL;
    struct backup_job job;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error) ||
        !backup_view_read(domain, &view, &backup, &job, &error))
        return call_fail(call, error);
    if (job.running)
        job.scratch = backup_scratch_used(domain);
    backup_write(&view, call_result(call));
    return call_complete(call, NULL);
}

static void
status_done(struct call *call)
{
    struct status_use *use = call->state;

    free(TAKE(use->name));
    free(TAKE(use->task));
    vm_state_done(call);
}

/* ---- vm.cancelBackup, vm.finishBackup ---- */

struct end_args {
    struct vm_args vm;
    bool force;
};

/* A task that works on it is told, and waited for. */
static enum outcome
cancel_hold(struct call *call)
{
    struct backup_use *use = call->state;
    struct backup_hold *hold = backup_hold_of(call->context, use->vm.uuid);
    _cleanup_free_ char *key = vm_table_key(use->vm.uuid);
    struct error *error = NULL;

    if (!hold)
        return backup_hold_briefly(call);
    use->waited = true;
    atomic_store(&hold->canceled, true);
    if (call_elapsed_ms(call) < CANCEL_FOR_MS)
        return call_wait(call, key, CANCEL_FOR_MS, "its task ends");
    error_set(&error, ERROR_TIMEOUT,
              "task '%s', which works on the backup, has not ended yet: it will", hold->task);
    return call_fail(call, error);
}

static enum outcome
answer(struct call *call)
{
    backup_tell(call, true);
    return call_complete(call, NULL);
}

static bool
cancel(struct call *call, virDomainPtr domain, struct error **err)
{
    const struct end_args *args = call->args;
    struct backup_use *use = call->state;
    bool by_agent = call_connection(call) == 0;

    if (use->job.running && !use->job.ours && !args->force)
        return backup_refuse(
            "a backup job", "force", err,
            "the backup that is under way is not the agent's: 'force' ends it too");
    if (use->job.running && !use->job.ours && !backup_end_job(domain, err))
        return false;
    if (use->backup && !backup_is_open(use->backup))
        /* Complete, or at its end, but its job was not ended yet. */
        return use->job.ours ? backup_end_job(domain, err)
               : use->job.running || use->waited || by_agent
                   ? true
                   : backup_refuse(backup_state_name(use->backup->state), "a backup under way", err,
                                   "there is no backup of this VM to cancel");
    if (!use->backup)
        return use->job.running || backup_refuse("none", "a backup under way", err,
                                                 "there is no backup of this VM to cancel");
    return backup_settle(
        domain, use->backup, use->job.ours && !by_agent ? BACKUP_CANCELED : BACKUP_FAILED,
        !use->job.ours ? "its job had ended before it was complete, as after a crash of QEMU"
        : by_agent     ? "its agent ended, or its deadline came, before it was complete"
                       : NULL,
        err);
}

static enum outcome
cancel_run(struct call *call)
{
    struct backup_use *use = call->state;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!backup_find(call, &error) || !vm_domain(call, &domain, &error) ||
        !cancel(call, domain, &error))
        return vm_fail(call, error);
    return call_complete(call, "%s",
                         use->backup ? backup_state_name(use->backup->state) : "not the agent's");
}

static bool
finish(struct call *call, virDomainPtr domain, struct error **err)
{
    struct backup_use *use = call->state;

    if (!use->backup || use->backup->state != BACKUP_SERVED || !use->job.ours)
        return backup_refuse(use->backup ? backup_state_name(use->backup->state) : "none",
                             "a backup that is served", err,
                             "there is no backup of this VM that is served");
    return backup_settle(domain, use->backup, BACKUP_DONE, NULL, err);
}

static enum outcome
finish_run(struct call *call)
{
    struct error *error = NULL;
    virDomainPtr domain;

    if (!backup_find(call, &error) || !vm_domain(call, &domain, &error) ||
        !finish(call, domain, &error))
        return vm_fail(call, error);
    return call_complete(call, NULL);
}

#define END_ERRORS                                                                                 \
    ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,                          \
           ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED)

const struct verb backup_left_verbs[] = {
    {
        .name = "vm.resumeBackup",
        .summary = "Go on with a backup that its agent has left, while its job still runs.",
        .description = "What was copied is kept. An agent that starts does it by itself where "
                       "'onCrash' was resume.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &backup_shape,
        .errors = ERRORS(BACKUP_ERRORS),
        .steps = STEPS(VM_FIND_STEP, { "hold", backup_hold, .pool = POOL_LOOP },
                       { "look", look_left, .pool = POOL_VIRT },
                       { "find repository", find_left_repository, .pool = POOL_LOOP },
                       { "open images", open_images, .pool = POOL_REPOSITORY, .responds = true },
                       { "copy", backup_copy, .pool = POOL_COPY }, BACKUP_LAST_STEPS),
        .state_size = sizeof(struct backup_use),
        .state_done = backup_use_done,
        .object = vm_name_object,
    },
    {
        .name = "vm.backupStatus",
        .summary =
            "Show the backup of a virtual machine that is under way, or how its last one ended.",
        .description =
            "As libvirt and the notes in the VM's own metadata tell it. A job that is not the agent's is "
            "told as such. What each image holds is shown by image.status.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &backup_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(VM_FIND_STEP, { "note", status_note, .pool = POOL_LOOP },
                       { "look", status_run, .pool = POOL_VIRT }),
        .state_size = sizeof(struct status_use),
        .state_done = status_done,
        .object = vm_name_object,
    },
    {
        .name = "vm.cancelBackup",
        .summary = "End the backup of a virtual machine that is under way, or left, or served.",
        .description =
            "Its checkpoint is removed; its images stay as they are, 'broken' unless they are complete.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct end_args),
        .params = PARAMS(VM_PARAM(end_args), PARAM(end_args, force, "force", .type = PARAM_BOOL,
                                                   .about = "Also one that is not the agent's.")),
        .result = &backup_shape,
        .errors = END_ERRORS,
        .steps = STEPS(VM_FIND_STEP, { "hold", cancel_hold, .pool = POOL_LOOP },
                       { "cancel", cancel_run, .pool = POOL_VIRT },
                       { "tell", answer, .pool = POOL_LOOP },
                       { "let go", backup_let_go, .pool = POOL_LOOP, .when = ALWAYS }),
        .state_size = sizeof(struct backup_use),
        .state_done = backup_use_done,
        .object = vm_name_object,
    },
    {
        .name = "vm.finishBackup",
        .summary = "End a backup that was served, and read by its caller: its checkpoint is valid.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &backup_shape,
        .errors = END_ERRORS,
        .steps = STEPS(VM_FIND_STEP, { "hold", backup_hold_briefly, .pool = POOL_LOOP },
                       { "finish", finish_run, .pool = POOL_VIRT },
                       { "tell", answer, .pool = POOL_LOOP },
                       { "let go", backup_let_go, .pool = POOL_LOOP, .when = ALWAYS }),
        .state_size = sizeof(struct backup_use),
        .state_done = backup_use_done,
        .object = vm_name_object,
    },
    { 0 },
};
