/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.resizeDisk: QEMU makes the image's data larger when it has them open, the agent when it has not; the
 * image's record says what is under way (storage/image-resize.h).
 */
#include <config.h>

#include <string.h>

#include "storage/image-resize.h"
#include "storage/image-steps.h"
#include "storage/transfer.h"
#include "virt/virt.h"
#include "virt/vm-change.h"

struct resize_args {
    struct change_args change; /* without a scope */
    char *disk;
    uint64_t size;
};

struct resize_state {
    struct change_use change;
    struct repository *repository; /* a reference */
    char *image, *holder;          /* owned */
    struct image_resize work;
    bool running;
    bool uncertain; /* it cannot be told what QEMU has done */
};

static void
resize_done(struct call *call)
{
    struct resize_state *state = call->state;

    image_resize_done(&state->work);
    repository_unref(TAKE(state->repository));
    free(TAKE(state->image));
    free(TAKE(state->holder));
    change_state_done(call);
}

static bool
find_disk(struct call *call, struct error **err)
{
    const struct resize_args *args = call->args;
    struct resize_state *state = call->state;
    const struct virt *virt = call->context;
    const struct vm *vm = state->change.use.entry->vm;
    const struct vm_disk *disk = vm_disk_find(vm, args->disk);

    if (!disk)
        return virt_missing_device(err, vm->name, "disk", args->disk);
    if (!disk->image) {
        error_set(err, ERROR_WRONG_STATE,
                  "disk '%s' of VM '%s' is no image of a repository that is connected", args->disk,
                  vm->name);
        error_data_text(err, "state", "no image");
        return error_data_text(err, "needs", "an image of a repository that is connected");
    }
    if (disk->readonly)
        return error_param(err, "disk", "is read only: a medium or a disk that cannot grow");
    if (!repository_find(virt->storage, disk->repository, &state->repository, err))
        return false;
    state->image = xstrdup(disk->image);
    state->change.device = xstrdup(disk->target);
    image_set_lanes(call, state->repository);
    return true;
}

static enum outcome
resize_find(struct call *call)
{
    struct error *error = NULL;
    enum outcome outcome = vm_find(call);

    if (outcome != OUTCOME_COMPLETE || find_disk(call, &error))
        return outcome;
    return call_fail(call, error);
}

static struct image_wish
wish_of(struct call *call)
{
    struct resize_state *state = call->state;

    if (!state->holder)
        state->holder = image_holder(call);
    return (struct image_wish){ .holder = state->holder,
                                .vm = state->change.use.uuid,
                                .running = state->running,
                                .abort = call_abort_flag(call) };
}

static enum outcome
resize_look(struct call *call)
{
    struct resize_state *state = call->state;
    struct error *error = NULL;
    virDomainPtr domain;
    int active;

    if (!vm_domain(call, &domain, &error))
        return vm_fail(call, error);
    active = virDomainIsActive(domain);
    if (active < 0) {
        (void)virt_fail(&error, domain, "cannot ask for the state of a VM");
        return vm_fail(call, error);
    }
    if (!vm_require_unsaved(domain, &error))
        return vm_fail(call, error);
    state->running = active > 0;
    return call_complete(call, state->running ? "it runs" : "it is off");
}

static enum outcome
resize_lock(struct call *call)
{
    const struct resize_args *args = call->args;
    struct resize_state *state = call->state;
    const struct image_wish wish = wish_of(call);
    struct error *error = NULL;

    if (!image_resize_lock(state->repository, state->image, args->size, false, &wish, &state->work,
                           &error) ||
        !image_resize_mark(&state->work, &error))
        return call_fail(call, error);
    return call_complete(call, "of %llu bytes", (unsigned long long)state->work.before);
}

static bool
is_running(const struct call *call)
{
    const struct resize_state *state = call->state;

    return state->running;
}

static bool
is_off(const struct call *call)
{
    return !is_running(call);
}

static enum outcome
resize_live(struct call *call)
{
    struct resize_state *state = call->state;
    virDomainPtr domain = state->change.use.domain;
    struct error *error = NULL;

    if (virDomainBlockResize(domain, state->change.device, state->work.size,
                             VIR_DOMAIN_BLOCK_RESIZE_BYTES) == 0) {
        state->change.live_done = true;
        return call_complete(call, "%llu bytes", (unsigned long long)state->work.size);
    }
    (void)virt_fail(&error, domain, "cannot make disk '%s' larger", state->change.device);
    state->uncertain = error->code == ERROR_BACKEND_UNAVAILABLE || error->code == ERROR_TIMEOUT;
    return vm_fail(call, error);
}

static enum outcome
resize_data(struct call *call)
{
    struct resize_state *state = call->state;
    struct image_resize *work = &state->work;
    const struct image_wish wish = wish_of(call);
    struct error *error = NULL;

    if (image_resize_data(work, &wish, &error)) {
        state->change.config_done = true;
        return call_complete(call, "%llu bytes", (unsigned long long)work->size);
    }
    transfer_explain_space(work->image->folder,
                           work->size > work->before ? work->size - work->before : 0, &error);
    return call_fail(call, error);
}

static enum outcome
resize_record(struct call *call)
{
    struct resize_state *state = call->state;
    struct image *image = state->work.image;
    struct error *error = NULL;

    if (!image_resize_record(&state->work, &error))
        return call_fail(call, error);
    image_settle(call, image, NULL);
    return call_complete(call, "generation %llu", (unsigned long long)image->record.generation);
}

static enum outcome
resize_undo(struct call *call)
{
    struct resize_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!state->work.marked)
        return call_complete(call, "nothing was changed");
    if (state->uncertain || state->change.live_done)
        return call_complete(call, "run vm.resizeDisk again");
    if (!image_resize_undo(&state->work, &error))
        return call_complete(call, "run vm.resizeDisk again: %s", error->message);
    image_settle(call, state->work.image, NULL);
    return call_complete(call, "the image is as it was");
}

const struct verb vm_resize_verbs[] = {
    {
        .name = "vm.resizeDisk",
        .summary = "Make a disk of a virtual machine larger, be it running or not.",
        .description =
            "The image grows, and a guest that runs sees its disk grow. What is new reads as zeros. One that was "
            "interrupted is completed by the same call again. A qcow2 is of whole sectors of 512 bytes: the size is "
            "rounded up.",
        CHANGE_VERB_OF,
        .state_done = resize_done,
        .errors = ERRORS(CHANGE_ERRORS, ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE, ERROR_IMAGE_IMMUTABLE,
                         ERROR_IMAGE_BROKEN, ERROR_IMAGE_HAS_DEPENDENTS, ERROR_NO_SPACE),
        .args_size = sizeof(struct resize_args),
        .state_size = sizeof(struct resize_state),
        .params = PARAMS(
            PARAM(resize_args, change.vm.vm, "vm", .type = PARAM_TEXT, .required = true,
                  .minimum = 1, .maximum = VM_NAME_MAX,
                  .about = "The VM, by its name or its UUID."),
            PARAM(resize_args, disk, "disk", .type = PARAM_TEXT, .required = true, .minimum = 1,
                  .maximum = 255, .about = "Its target (vda), serial number or libvirt's alias."),
            PARAM(resize_args, size, "size", .type = PARAM_SIZE, .required = true, .minimum = 1,
                  .about = "Its new size in bytes; no smaller than it is.")),
        .steps = STEPS(
            { "find VM and repository", resize_find, .pool = POOL_LOOP },
            { "look", resize_look, .pool = POOL_VIRT },
            { "lock and mark image", resize_lock, .pool = POOL_REPOSITORY },
            { "have QEMU change data", resize_live, .pool = POOL_VIRT, .only_if = is_running },
            { "change data", resize_data, .pool = POOL_REPOSITORY, .only_if = is_off },
            { "record", resize_record, .pool = POOL_REPOSITORY },
            { "take it back", resize_undo, .pool = POOL_REPOSITORY, .when = ON_FAILURE },
            { "tell", change_answer, .pool = POOL_LOOP }),
    },
    { 0 },
};
