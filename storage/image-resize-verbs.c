/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resize: the image's data may be larger than the image, never smaller.  So data grow before the
 * record and are cut after it, between a first record that says so and a last one that does not.
 */
#include <config.h>

#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/image-steps.h"
#include "storage/image-use.h"
#include "storage/qemu-lock.h"
#include "storage/storage.h"
#include "storage/transfer.h"

struct resize_verb_args {
    char *repository, *image;
    uint64_t size;
    bool force;
    int64_t if_generation;
    bool has_generation;
};

struct resize_state {
    struct image_state common;
    uint64_t before, size; /* bytes; 'size' is whole sectors where the format has only these */
    bool marked;           /* the record says that its data are being changed, by this call */
};

static bool
is_shrinking(const struct resize_state *state)
{
    return state->size < state->before;
}

/* The base's contents would show again where it is larger, if the image ever grew. */
static bool
require_not_below_base(const struct image *image, uint64_t size, struct error **err)
{
    _cleanup_(image_closep) struct image *base = NULL;

    if (!image->record.base)
        return true;
    if (!image_open(image->repository, image->record.base, &base, err))
        return false;
    return size >= base->record.size ||
           error_param(err, "size",
                       "is less than the %llu bytes of the base '%s': make the image stand alone "
                       "first (image.optimize)",
                       (unsigned long long)base->record.size, base->id);
}

static bool
check_size(struct call *call, struct error **err)
{
    const struct resize_verb_args *args = call->args;
    struct resize_state *state = call->state;
    const struct image *image = state->common.image;

    state->before = image->record.size;
    state->size = image_format_size(image->record.format, args->size);
    if (!is_shrinking(state))
        return true;
    if (!args->force)
        return error_param(err, "size",
                           "is less than the image's %llu bytes, and what lies behind would be "
                           "lost: say so with force",
                           (unsigned long long)state->before);
    return require_not_below_base(image, state->size, err);
}

static bool
require_mutable(const struct image *image, struct error **err)
{
    return image->record.mutable ||
           error_set(err, ERROR_IMAGE_IMMUTABLE, "image '%s' is a snapshot: its size is fixed",
                     image->id);
}

static bool
lock_image(struct call *call, struct error **err)
{
    const struct resize_verb_args *args = call->args;
    struct resize_state *state = call->state;
    struct image_state *common = &state->common;
    _cleanup_free_ char *holder = image_holder(call);

    return image_open_locked(common->repository, args->image, IMAGE_LOCK_EXCLUSIVE, holder,
                             &common->image, err) &&
           image_require_generation(common->image, args->has_generation,
                                    (uint64_t)args->if_generation, err) &&
           image_require_usable(common->image, err) && require_mutable(common->image, err) &&
           image_require_merged(common->image, err) && check_size(call, err) &&
           image_require_no_dependents(common->image, err) &&
           image_require_unused(common->image, NULL, "resize it with vm.resizeDisk", err) &&
           image_require_own_data(common->image, err) &&
           qemu_lock_require_free(common->image->folder, image_record_data(&common->image->record),
                                  call_abort_flag(call), err);
}

static enum outcome
resize_lock(struct call *call)
{
    const struct resize_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!lock_image(call, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, "of %llu bytes", (unsigned long long)state->before);
}

/* Of a smaller one this is the moment. */
static enum outcome
resize_mark(struct call *call)
{
    struct resize_state *state = call->state;
    struct image *image = state->common.image;
    _cleanup_(error_freep) struct error *error = NULL;

    image->record.resizing = true;
    if (is_shrinking(state)) {
        image->record.size = state->size;
        image->record.generation++;
        image_forget_checksum(image);
    }
    state->marked = true; /* an error may come after the rename */
    return image_write_record(image, &error) ? call_complete(call, NULL)
                                             : call_fail(call, TAKE(error));
}

static enum outcome
resize_data(struct call *call)
{
    struct resize_state *state = call->state;
    const struct image *image = state->common.image;
    uint64_t kept = is_shrinking(state) ? state->size : state->before;
    _cleanup_(error_freep) struct error *error = NULL;

    if (endpoint_resize(image->folder, image_record_data(&image->record), image->record.format,
                        kept, state->size, call_abort_flag(call), &error))
        return call_complete(call, "%llu bytes", (unsigned long long)state->size);
    transfer_explain_space(image->folder, state->size - kept, &error);
    return call_fail(call, TAKE(error));
}

/* Of one that is not smaller this is the moment. */
static enum outcome
resize_record(struct call *call)
{
    struct resize_state *state = call->state;
    struct image *image = state->common.image;
    struct image_record *record = &image->record;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!is_shrinking(state)) {
        if (state->size != state->before)
            image_forget_checksum(image);
        record->size = state->size;
        record->generation++;
    }
    record->resizing = false;
    if (!image_write_record(image, &error))
        return call_fail(call, TAKE(error));
    image_settle(call, image, call_result(call));
    return call_complete(call, "generation %llu", (unsigned long long)record->generation);
}

/* What has not grown is cut to what it was; what is to be smaller stays so, and is cut by the same call
   again. */
static bool
take_back(struct call *call, struct error **err)
{
    struct resize_state *state = call->state;
    struct image *image = state->common.image;

    if (!image_read_record(image, err))
        return false;
    if (is_shrinking(state) || !image->record.resizing)
        return true;
    if (!endpoint_resize(image->folder, image_record_data(&image->record), image->record.format,
                         state->before, state->before, NULL, err))
        return false;
    image->record.resizing = false;
    return image_write_record(image, err);
}

static enum outcome
resize_undo(struct call *call)
{
    struct resize_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!state->marked)
        return call_complete(call, "nothing was changed");
    if (!take_back(call, &error))
        return call_complete(call, "run image.resize again: %s", error->message);
    image_settle(call, state->common.image, NULL);
    return call_complete(call,
                         state->common.image->record.resizing
                             ? "the image is smaller, its data are not: run image.resize again"
                             : "the image is as it was");
}

const struct verb image_resize_verbs[] = {
    {
        .name = "image.resize",
        .summary = "Make an image larger, or with force smaller.",
        .description =
            "What is new reads as zeros.  One that was interrupted is completed by the same call again.  "
            "A qcow2 is of whole sectors of 512 bytes: the size is rounded up.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct resize_verb_args),
        .params = PARAMS(IMAGE_PARAMS(resize_verb_args),
                         PARAM(resize_verb_args, size, "size", .type = PARAM_SIZE, .required = true,
                               .minimum = 1, .about = "Its new size in bytes."),
                         PARAM(resize_verb_args, force, "force", .type = PARAM_BOOL,
                               .about = "Also make it smaller: what lies behind is lost."),
                         GENERATION_PARAM(resize_verb_args)),
        .result = &image_status_shape,
        .errors =
            ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,
                   ERROR_IMAGE_IN_USE, ERROR_IMAGE_IMMUTABLE, ERROR_IMAGE_BROKEN,
                   ERROR_IMAGE_HAS_DEPENDENTS, ERROR_WRONG_STATE, ERROR_CONFLICT, ERROR_NO_SPACE,
                   ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps =
            STEPS({ "find repository", image_find_repository, .pool = POOL_LOOP },
                  { "lock image", resize_lock, .pool = POOL_REPOSITORY },
                  { "mark image", resize_mark, .pool = POOL_REPOSITORY },
                  { "change data", resize_data, .pool = POOL_REPOSITORY },
                  { "record", resize_record, .pool = POOL_REPOSITORY },
                  { "take it back", resize_undo, .pool = POOL_REPOSITORY, .when = ON_FAILURE }),
        .state_size = sizeof(struct resize_state),
        .state_done = image_state_done,
        .object = image_name_object,
    },
    { 0 },
};
