/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resize: thin steps over storage/image-resize.c.
 */
#include <config.h>

#include "storage/image-resize.h"
#include "storage/image-steps.h"
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
    struct image_state common; /* the repository only */
    struct image_resize work;
    char *holder;
};

static void
resize_done(struct call *call)
{
    struct resize_state *state = call->state;

    image_resize_done(&state->work);
    free(TAKE(state->holder));
    image_state_done(call);
}

static struct image_wish
wish_of(struct call *call)
{
    const struct resize_verb_args *args = call->args;
    struct resize_state *state = call->state;

    if (!state->holder)
        state->holder = image_holder(call);
    return (struct image_wish){ .holder = state->holder,
                                .has_generation = args->has_generation,
                                .if_generation = (uint64_t)args->if_generation,
                                .abort = call_abort_flag(call) };
}

static enum outcome
resize_lock(struct call *call)
{
    const struct resize_verb_args *args = call->args;
    struct resize_state *state = call->state;
    const struct image_wish wish = wish_of(call);
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_resize_lock(state->common.repository, args->image, args->size, args->force, &wish,
                           &state->work, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, "of %llu bytes", (unsigned long long)state->work.before);
}

static enum outcome
resize_mark(struct call *call)
{
    struct resize_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    return image_resize_mark(&state->work, &error) ? call_complete(call, NULL)
                                                   : call_fail(call, TAKE(error));
}

static enum outcome
resize_data(struct call *call)
{
    struct resize_state *state = call->state;
    struct image_resize *work = &state->work;
    const struct image_wish wish = wish_of(call);
    _cleanup_(error_freep) struct error *error = NULL;

    if (image_resize_data(work, &wish, &error))
        return call_complete(call, "%llu bytes", (unsigned long long)work->size);
    transfer_explain_space(work->image->folder,
                           work->size > work->before ? work->size - work->before : 0, &error);
    return call_fail(call, TAKE(error));
}

static enum outcome
resize_record(struct call *call)
{
    struct resize_state *state = call->state;
    struct image *image = state->work.image;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_resize_record(&state->work, &error))
        return call_fail(call, TAKE(error));
    image_settle(call, image, call_result(call));
    return call_complete(call, "generation %llu", (unsigned long long)image->record.generation);
}

static enum outcome
resize_undo(struct call *call)
{
    struct resize_state *state = call->state;
    struct image *image = state->work.image;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!state->work.marked)
        return call_complete(call, "nothing was changed");
    if (!image_resize_undo(&state->work, &error))
        return call_complete(call, "run image.resize again: %s", error->message);
    image_settle(call, image, NULL);
    return call_complete(call,
                         image->record.resizing
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
        .state_done = resize_done,
        .object = image_name_object,
    },
    { 0 },
};
