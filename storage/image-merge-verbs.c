/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge: thin steps over storage/image-merge.c.
 */
#include <config.h>

#include "storage/image-merge.h"
#include "storage/image-steps.h"
#include "storage/repository-verbs.h"
#include "storage/storage.h"
#include "storage/transfer.h"

struct merge_state {
    struct image_state common; /* the repository only */
    struct image_merge work;
    char *holder;
};

static void
merge_done(struct call *call)
{
    struct merge_state *state = call->state;

    image_merge_done(&state->work);
    free(TAKE(state->holder));
    image_state_done(call);
}

static bool
is_pending(const struct call *call)
{
    return !((const struct merge_state *)call->state)->work.has_happened;
}

static struct image_wish
wish_of(struct call *call)
{
    const struct resume_args *args = call->args;
    struct merge_state *state = call->state;

    if (!state->holder)
        state->holder = image_holder(call);
    return (struct image_wish){ .holder = state->holder,
                                .has_generation = args->has_generation,
                                .if_generation = (uint64_t)args->if_generation,
                                .abort = call_abort_flag(call) };
}

static enum outcome
merge_lock(struct call *call)
{
    const struct resume_args *args = call->args;
    struct merge_state *state = call->state;
    const struct image_wish wish = wish_of(call);
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_merge_lock(state->common.repository, args->image, &wish, &state->work, &error))
        return call_fail(call, TAKE(error));
    image_write_reference(call, args->repository, args->image);
    if (state->work.has_happened)
        return call_complete(call, "was done before, but for the removal of the base");
    return call_complete(call, "with '%s'%s", state->work.base->id,
                         state->work.was_marked ? ", goes on with what was interrupted" : "");
}

static enum outcome
merge_mark(struct call *call)
{
    struct merge_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_merge_mark(&state->work, &error))
        return call_fail(call, TAKE(error));
    image_tell(call, state->work.base, NULL);
    image_tell(call, state->work.image, NULL);
    return call_complete(call, NULL);
}

static enum outcome
merge_fold(struct call *call)
{
    struct merge_state *state = call->state;
    const struct image_wish wish = wish_of(call);
    const struct image *image = state->work.image;
    _cleanup_(error_freep) struct error *error = NULL;

    if (image_merge_fold(&state->work, &wish, &error))
        return call_complete(call, "into '%s'", state->work.base->id);
    transfer_explain_space(image->folder, image->record.size, &error);
    return call_fail(call, TAKE(error));
}

static enum outcome
merge_switch(struct call *call)
{
    struct merge_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_merge_switch(&state->work, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, "generation %llu",
                         (unsigned long long)state->work.image->record.generation);
}

static enum outcome
merge_remove_base(struct call *call)
{
    struct merge_state *state = call->state;
    struct image_merge *work = &state->work;
    _cleanup_(error_freep) struct error *error = NULL;
    bool done = image_merge_remove_base(work, NULL, &error);

    if (image_merge_removed(work)) {
        image_tell_removed(call, state->common.repository, work->base->id);
        image_discard(TAKE(work->base));
    }
    if (!done)
        return call_fail(call, TAKE(error));
    image_settle(call, work->image, NULL);
    return call_complete(call, NULL);
}

static enum outcome
merge_undo(struct call *call)
{
    struct merge_state *state = call->state;
    struct image_merge *work = &state->work;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!work->image)
        return call_complete(call, "nothing was changed");
    if (!image_merge_undo(work, &error)) /* then image.merge does, or goes on */
        error_free(TAKE(error));
    if (!work->marked && !work->has_happened)
        return call_complete(call, "nothing was changed");
    if (!image_read_record(work->image, &error))
        return call_complete(call, "%s", error->message);
    if (work->base)
        image_settle(call, work->base, NULL);
    image_settle(call, work->image, NULL);
    return call_complete(call, work->image->record.merging
                                   ? "the image shows what it did: run image.merge again"
                                   : "the images are as they were");
}

const struct verb image_merge_verbs[] = {
    {
        .name = "image.merge",
        .summary = "Fold an image and its base into one, which goes on under the image's id.",
        .description =
            "Answers when it begins.  The image's contents stay; it then stands on what its base stood on, in the "
            "base's format, and the base is removed: nothing else may stand on it.  An image whose merge was "
            "interrupted is 'degraded' and shows what it did; the same call again goes on.",
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
                  { "lock images", merge_lock, .pool = POOL_REPOSITORY, .responds = true },
                  { "mark images", merge_mark, .pool = POOL_REPOSITORY, .only_if = is_pending },
                  { "write into the base", merge_fold, .pool = POOL_COPY, .only_if = is_pending },
                  { "go over to it", merge_switch, .pool = POOL_REPOSITORY, .only_if = is_pending },
                  { "remove the base", merge_remove_base, .pool = POOL_REPOSITORY },
                  { "leave it truthful", merge_undo, .pool = POOL_REPOSITORY, .when = ON_FAILURE }),
        .state_size = sizeof(struct merge_state),
        .state_done = merge_done,
        .object = image_name_object,
    },
    { 0 },
};
