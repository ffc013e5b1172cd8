/* SPDX-License-Identifier: Apache-2.0 */
/*
 * optimize: what the image shows is written anew into one file that stands on nothing and holds no
 * more than it must, beside the old one; the image's record then names the new one.
 */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "storage/copy.h"
#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/image-steps.h"
#include "storage/image-use.h"
#include "storage/qemu-lock.h"
#include "storage/repository-verbs.h"
#include "storage/storage.h"
#include "storage/transfer.h"

struct optimize_state {
    struct image_state common;
    char *data;               /* the new file; owned, NULL until it is begun */
    char *data_time;          /* when the old one was last written to; owned */
    bool committed;           /* or it cannot be told whether */
    bool checksum_is_current; /* before */
};

static void
optimize_done(struct call *call)
{
    struct optimize_state *state = call->state;

    free(TAKE(state->data));
    free(TAKE(state->data_time));
    image_state_done(call);
}

static bool
lock_image(struct call *call, struct error **err)
{
    const struct resume_args *args = call->args;
    struct optimize_state *state = call->state;
    struct image_state *common = &state->common;
    _cleanup_free_ char *holder = image_holder(call);

    if (!image_open_locked(common->repository, args->image, IMAGE_LOCK_EXCLUSIVE, holder,
                           &common->image, err) ||
        !image_require_generation(common->image, args->has_generation,
                                  (uint64_t)args->if_generation, err) ||
        !image_require_usable(common->image, err) || !image_require_finished(common->image, err) ||
        !image_require_no_dependents(common->image, err) ||
        !image_require_unused(common->image, NULL, "undefine that first (vm.undefine)", err) ||
        !qemu_lock_require_free(common->image->folder, image_record_data(&common->image->record),
                                call_abort_flag(call), err))
        return false;
    state->checksum_is_current = image_checksum_is_current(common->image);
    return image_data_time(common->image, &state->data_time, err) &&
           image_drop_left_over_data(common->image, err);
}

static enum outcome
optimize_lock(struct call *call)
{
    const struct resume_args *args = call->args;
    const struct optimize_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!lock_image(call, &error))
        return call_fail(call, TAKE(error));
    image_write_reference(call, args->repository, args->image);
    return call_complete(call, "generation %" PRIu64, state->common.image->record.generation);
}

/* Nothing is recorded: what is interrupted is begun again. */
static bool
run_copy(struct call *call, struct error **err)
{
    struct optimize_state *state = call->state;
    const struct image *image = state->common.image;
    const struct image_record *record = &image->record;
    _cleanup_(endpoint_closep) struct endpoint *source = NULL, *target = NULL;
    struct copy copy;

    if (!endpoint_create(image->folder, state->data, record->format, record->size, ENDPOINT_TO_FILL,
                         NULL, IMAGE_RAW, call_abort_flag(call), err) ||
        !image_open_data(image, ENDPOINT_READ, call_abort_flag(call), &source, err) ||
        !endpoint_open(image->folder, state->data, record->format, ENDPOINT_FILL, false,
                       call_abort_flag(call), &target, err))
        return false;
    endpoint_limit(target, record->size); /* in a volume a file is of whole sectors */
    if (endpoint_size(source) != record->size || endpoint_size(target) != record->size)
        return error_set(err, ERROR_BACKEND_FAILED,
                         "the data show %" PRIu64 " bytes, and are to show %" PRIu64,
                         endpoint_size(source), record->size);
    transfer_prepare(call, &copy);
    copy.source = source;
    copy.target = target;
    copy.target_is_zero = true;
    copy.compact = true;
    return copy_run(&copy, err);
}

/* A guest does not ask for our lock, but what it writes shows. */
static bool
require_unchanged(const struct optimize_state *state, struct error **err)
{
    _cleanup_free_ char *now = NULL;

    return image_data_time(state->common.image, &now, err) &&
           (strcmp(now, state->data_time) == 0 ||
            error_set(err, ERROR_CONFLICT, "image '%s' was written to while it was copied",
                      state->common.image->id));
}

static enum outcome
optimize_copy(struct call *call)
{
    struct optimize_state *state = call->state;
    const struct image *image = state->common.image;
    _cleanup_(error_freep) struct error *error = NULL;

    state->data = image_new_data_name();
    if (run_copy(call, &error) && require_unchanged(state, &error) &&
        folder_sync_file(image->folder, state->data, &error) && folder_sync(image->folder, &error))
        return call_complete(call, "%" PRIu64 " bytes", image->record.size);
    transfer_explain_space(image->folder, image->record.size, &error);
    return call_fail(call, TAKE(error));
}

static enum outcome
optimize_switch(struct call *call)
{
    struct optimize_state *state = call->state;
    struct image *image = state->common.image;
    _cleanup_free_ char *before = xstrdup(image_record_data(&image->record));
    _cleanup_(error_freep) struct error *error = NULL, *ignored = NULL;
    const struct image_contents contents = { .format = image->record.format,
                                             .size = image->record.size,
                                             .data = state->data,
                                             .checksum_is_valid = state->checksum_is_current };

    state->committed = true;
    if (!image_go_over(image, &contents, &error))
        return call_fail(call, TAKE(error));
    (void)!folder_unlink(image->folder, before, &ignored); /* else repository.check finds it */
    image_settle(call, image, NULL);
    return call_complete(call, "generation %" PRIu64, image->record.generation);
}

static enum outcome
optimize_undo(struct call *call)
{
    struct optimize_state *state = call->state;
    struct image *image = state->common.image;
    _cleanup_(error_freep) struct error *error = NULL;

    if (state->committed) {
        if (image_read_record(image, &error))
            image_settle(call, image, NULL);
        return call_complete(call, "whether the image has gone over is told by its status");
    }
    if (state->data && !folder_unlink(image->folder, state->data, &error))
        return call_complete(call, "the image is as it was; a left-over stays: %s", error->message);
    return call_complete(call, "the image is as it was");
}

const struct verb image_optimize_verbs[] = {
    {
        .name = "image.optimize",
        .summary = "Make an image stand alone, without a base, and hold no more than it must.",
        .description =
            "Answers when it begins.  Its contents, format and checksum stay; nobody else uses it meanwhile.  "
            "Needs room for the new data beside the old until it ends; what is interrupted leaves the image "
            "as it was.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct resume_args),
        .params = PARAMS(IMAGE_PARAMS(resume_args), GENERATION_PARAM(resume_args)),
        .result = &image_reference_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN,
                         ERROR_IMAGE_HAS_DEPENDENTS, ERROR_WRONG_STATE, ERROR_CONFLICT,
                         ERROR_NO_SPACE, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps =
            STEPS({ "find repository", image_find_repository, .pool = POOL_LOOP },
                  { "lock image", optimize_lock, .pool = POOL_REPOSITORY, .responds = true },
                  { "copy", optimize_copy, .pool = POOL_COPY },
                  { "go over to the copy", optimize_switch, .pool = POOL_REPOSITORY },
                  { "drop the copy", optimize_undo, .pool = POOL_REPOSITORY, .when = ON_FAILURE }),
        .state_size = sizeof(struct optimize_state),
        .state_done = optimize_done,
        .object = image_name_object,
    },
    { 0 },
};
