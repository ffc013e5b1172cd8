/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot: thin steps over storage/image-snapshot.c.
 */
#include <config.h>

#include "storage/image-snapshot.h"
#include "storage/image-steps.h"
#include "storage/storage.h"
#include "storage/transfer.h"

#define LAYER_SIZE (256 * 1024) /* bytes: about what an empty one takes */

struct snapshot_args {
    char *repository, *image, *snapshot;
    int64_t if_generation;
    bool has_generation;
};

struct snapshot_state {
    struct image_state common; /* the repository only */
    struct image_snapshot work;
    char *holder;
};

static void
snapshot_done(struct call *call)
{
    struct snapshot_state *state = call->state;

    image_snapshot_done(&state->work);
    free(TAKE(state->holder));
    image_state_done(call);
}

static struct image_wish
wish_of(struct call *call)
{
    const struct snapshot_args *args = call->args;
    struct snapshot_state *state = call->state;

    if (!state->holder)
        state->holder = image_holder(call);
    return (struct image_wish){ .holder = state->holder,
                                .has_generation = args->has_generation,
                                .if_generation = (uint64_t)args->if_generation,
                                .abort = call_abort_flag(call) };
}

static enum outcome
snapshot_lock(struct call *call)
{
    const struct snapshot_args *args = call->args;
    struct snapshot_state *state = call->state;
    const struct image_wish wish = wish_of(call);
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_snapshot_lock(state->common.repository, args->image, &wish, &state->work, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, "generation %llu",
                         (unsigned long long)state->work.image->record.generation);
}

static enum outcome
snapshot_make(struct call *call)
{
    const struct snapshot_args *args = call->args;
    struct snapshot_state *state = call->state;
    const struct image_wish wish = wish_of(call);
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_snapshot_make(&state->work, args->snapshot, &wish, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, state->work.taken_over ? "goes on with an unfinished one" : NULL);
}

static enum outcome
snapshot_make_layer(struct call *call)
{
    struct snapshot_state *state = call->state;
    const struct image_wish wish = wish_of(call);
    _cleanup_(error_freep) struct error *error = NULL;

    if (image_snapshot_make_layer(&state->work, &wish, &error))
        return call_complete(call, "%s", state->work.layer);
    transfer_explain_space(state->work.image->folder, LAYER_SIZE, &error);
    return call_fail(call, TAKE(error));
}

static enum outcome
snapshot_switch(struct call *call)
{
    struct snapshot_state *state = call->state;
    struct image_snapshot *work = &state->work;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_snapshot_switch(work, &error))
        return call_fail(call, TAKE(error));
    image_settle(call, work->snapshot, NULL);
    image_settle(call, work->image, call_result(call));
    return call_complete(call, "generation %llu",
                         (unsigned long long)work->image->record.generation);
}

/* Whether the image has gone over cannot be told of a write that failed: both ways are whole then, and
   what is left over is found by repository.check. */
static enum outcome
snapshot_undo(struct call *call)
{
    struct snapshot_state *state = call->state;
    struct image_snapshot *work = &state->work;
    _cleanup_(error_freep) struct error *error = NULL;
    bool removed;

    if (!work->image)
        return call_complete(call, "nothing was changed");
    if (work->committed) {
        if (image_read_record(work->image, &error))
            image_settle(call, work->image, NULL);
        image_settle(call, work->snapshot, NULL);
        return call_complete(call, "whether the image has gone over is told by its status");
    }
    if (!image_snapshot_undo(work, &removed, &error))
        return call_complete(call, "the snapshot stays, unfinished: %s", error->message);
    if (!removed)
        return call_complete(call, "nothing was shown of it");
    image_tell_removed(call, state->common.repository, work->snapshot->id);
    return call_complete(call, "the snapshot was removed");
}

const struct verb image_snapshot_verbs[] = {
    {
        .name = "image.snapshot",
        .summary =
            "Keep an image as it is now, as an immutable one; the image goes on as a layer over it.",
        .description =
            "Takes no longer for a large image.  One that was interrupted is finished by the same call with "
            "the same snapshot.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct snapshot_args),
        .params =
            PARAMS(IMAGE_PARAMS(snapshot_args),
                   PARAM(snapshot_args, snapshot, "snapshot", .type = PARAM_NAME, .make_uuid = true,
                         .about = "The snapshot's id; a fresh UUID when absent."),
                   GENERATION_PARAM(snapshot_args)),
        .result = &image_status_shape,
        .errors =
            ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,
                   ERROR_IMAGE_EXISTS, ERROR_IMAGE_IN_USE, ERROR_IMAGE_IMMUTABLE,
                   ERROR_IMAGE_BROKEN, ERROR_IMAGE_HAS_DEPENDENTS, ERROR_WRONG_STATE,
                   ERROR_CONFLICT, ERROR_NO_SPACE, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps =
            STEPS({ "find repository", image_find_repository, .pool = POOL_LOOP },
                  { "lock image", snapshot_lock, .pool = POOL_REPOSITORY },
                  { "make snapshot", snapshot_make, .pool = POOL_REPOSITORY },
                  { "make layer", snapshot_make_layer, .pool = POOL_REPOSITORY },
                  { "go over to the layer", snapshot_switch, .pool = POOL_REPOSITORY },
                  { "take it back", snapshot_undo, .pool = POOL_REPOSITORY, .when = ON_FAILURE }),
        .state_size = sizeof(struct snapshot_state),
        .state_done = snapshot_done,
        .object = image_name_object,
    },
    { 0 },
};
