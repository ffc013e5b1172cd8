/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge: the image's base becomes the image.  What the image holds is written into the data of its
 * base, in place, which the image then takes over, and the base is gone.
 *
 * In place is safe because the image shows the same whatever part of it was written: where it holds data
 * it shows its own.  Nobody else may see the base meanwhile, so its record says first what happens to
 * it.  doc/formats.md has the argument.
 */
#include <config.h>

#include <string.h>

#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/image-steps.h"
#include "storage/image-use.h"
#include "storage/qemu-lock.h"
#include "storage/repository-verbs.h"
#include "storage/storage.h"
#include "storage/transfer.h"

struct merge_state {
    struct image_state common;
    struct image *base;       /* locked exclusively; NULL: it is gone already */
    struct image *below;      /* what the base stands on, locked shared; NULL: nothing */
    char *data;               /* the name of the base's data in the image; owned */
    bool has_happened;        /* before: only the base is to be removed */
    bool was_marked;          /* by a call before, which may have written */
    bool marked;              /* by this one */
    bool written;             /* something was, perhaps */
    bool checksum_is_current; /* before */
};

static void
merge_done(struct call *call)
{
    struct merge_state *state = call->state;

    image_discard(TAKE(state->base)); /* one that is not hidden is only closed */
    image_close(TAKE(state->below));
    free(TAKE(state->data));
    image_state_done(call);
}

static bool
is_pending(const struct call *call)
{
    return !((const struct merge_state *)call->state)->has_happened;
}

/* ---- what is merged ---- */

static bool
require_free(struct call *call, const struct image *image, struct error **err)
{
    return qemu_lock_require_free(image->folder, image_record_data(&image->record),
                                  call_abort_flag(call), err);
}

static bool
require_base(const struct image *image, struct error **err)
{
    if (image->record.base)
        return true;
    error_set(err, ERROR_WRONG_STATE, "image '%s' has no base: there is nothing to merge",
              image->id);
    error_data_text(err, "state", "stands alone");
    return error_data_text(err, "needs", "a base");
}

static bool
check_image(struct call *call, struct error **err)
{
    struct merge_state *state = call->state;
    const struct image *image = state->common.image;

    if (!image_require_usable(image, err) || !image_require_resized(image, err) ||
        !require_base(image, err) || !image_require_no_dependents(image, err) ||
        !image_require_unused(image, NULL, "merge it with vm.mergeDisk", err) ||
        !require_free(call, image, err) || !image_drop_left_over_data(image, err))
        return false;
    state->checksum_is_current = image_checksum_is_current(image);
    return true;
}

static bool
check_base(struct call *call, struct error **err)
{
    struct merge_state *state = call->state;
    const struct image *base = state->base;

    state->was_marked = base->record.merged_into != NULL;
    return image_require_sound(base, err) &&
           (state->was_marked || image_require_settled(base, err)) &&
           image_require_finished(base, err) &&
           image_require_no_other_dependents(base, state->common.image->id, err) &&
           image_require_unused(base, NULL, "undefine that first (vm.undefine)", err) &&
           image_require_own_data(base, err) && require_free(call, base, err);
}

/* What is below is locked too: whoever wants to remove it could miss both the base, before it goes, and
   the image, after it has gone over. */
static bool
lock_base(struct call *call, struct error **err)
{
    struct merge_state *state = call->state;
    struct repository *repository = state->common.repository;
    _cleanup_free_ char *holder = image_holder(call);

    if (!image_open_locked(repository, state->common.image->record.base, IMAGE_LOCK_EXCLUSIVE,
                           holder, &state->base, err) ||
        !check_base(call, err))
        return error_wrap(err, "cannot merge into the base");
    return !state->base->record.base ||
           image_open_locked(repository, state->base->record.base, IMAGE_LOCK_SHARED, NULL,
                             &state->below, err);
}

/* A call before has got past the moment.  What bears the base's name by now is only removed if it is
   that base. */
static bool
lock_what_is_left(struct call *call, struct error **err)
{
    struct merge_state *state = call->state;
    const struct image *image = state->common.image;
    _cleanup_(image_closep) struct image *base = NULL;
    _cleanup_free_ char *holder = image_holder(call);

    if (!image_open_locked(image->repository, image->record.merging, IMAGE_LOCK_EXCLUSIVE, holder,
                           &base, err)) {
        if ((*err)->code != ERROR_IMAGE_NOT_FOUND)
            return false;
        error_free(TAKE(*err));
        return true;
    }
    if (base->record.merged_into && strcmp(base->record.merged_into, image->id) == 0 &&
        image_shares_data(base, image))
        state->base = TAKE(base);
    return true;
}

static bool
lock_images(struct call *call, struct error **err)
{
    const struct resume_args *args = call->args;
    struct merge_state *state = call->state;
    struct image_state *common = &state->common;
    const struct image_record *record;
    _cleanup_free_ char *holder = image_holder(call);

    if (!image_open_locked(common->repository, args->image, IMAGE_LOCK_EXCLUSIVE, holder,
                           &common->image, err) ||
        !image_require_generation(common->image, args->has_generation,
                                  (uint64_t)args->if_generation, err))
        return false;
    record = &common->image->record;
    state->has_happened =
        record->merging && (!record->base || strcmp(record->merging, record->base) != 0);
    if (state->has_happened)
        return lock_what_is_left(call, err);
    return check_image(call, err) && lock_base(call, err);
}

static enum outcome
merge_lock(struct call *call)
{
    const struct resume_args *args = call->args;
    const struct merge_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!lock_images(call, &error))
        return call_fail(call, TAKE(error));
    image_write_reference(call, args->repository, args->image);
    if (state->has_happened)
        return call_complete(call, "was done before, but for the removal of the base");
    return call_complete(call, "with '%s'%s", state->base->id,
                         state->was_marked ? ", goes on with what was interrupted" : "");
}

/* ---- the marks ---- */

static bool
write_mark(struct image *image, char **member, const char *id, struct error **err)
{
    free(*member);
    *member = id ? xstrdup(id) : NULL;
    return image_write_record(image, err);
}

/* The base's first: from then on nobody uses it.  Before that its data get their name in the image:
   where that cannot be, nothing must have been written. */
static enum outcome
merge_mark(struct call *call)
{
    struct merge_state *state = call->state;
    struct image *image = state->common.image, *base = state->base;
    _cleanup_(error_freep) struct error *error = NULL;

    state->data = image_new_data_name();
    if (!folder_link(base->folder, image_record_data(&base->record), image->folder, state->data,
                     &error))
        return call_fail(call, TAKE(error));
    state->marked = true;
    if (!write_mark(base, &base->record.merged_into, image->id, &error) ||
        !write_mark(image, &image->record.merging, base->id, &error))
        return call_fail(call, TAKE(error));
    image_tell(call, base, NULL);
    image_tell(call, image, NULL);
    return call_complete(call, NULL);
}

/* ---- the merge ---- */

/* Whatever the base's size was: what lies behind the image's end is not seen through it. */
static bool
fold(struct call *call, struct error **err)
{
    struct merge_state *state = call->state;
    const struct image *image = state->common.image, *base = state->base;
    const char *base_data = image_record_data(&base->record);
    _cleanup_free_ char *backing = image_backing_name(base);
    bool written = state->written;

    state->written = true;
    if (!endpoint_commit(image->folder, image_record_data(&image->record), backing,
                         call_abort_flag(call), err)) {
        /* Who could not begin has written nothing. */
        if ((*err)->code == ERROR_IMAGE_IN_USE || (*err)->code == ERROR_CONFLICT ||
            (*err)->code == ERROR_BACKEND_UNAVAILABLE)
            state->written = written;
        return false;
    }
    return endpoint_resize(base->folder, base_data, base->record.format, image->record.size,
                           image->record.size, call_abort_flag(call), err);
}

static enum outcome
merge_fold(struct call *call)
{
    struct merge_state *state = call->state;
    const struct image *image = state->common.image;
    _cleanup_(error_freep) struct error *error = NULL;

    if (fold(call, &error))
        return call_complete(call, "into '%s'", state->base->id);
    transfer_explain_space(image->folder, image->record.size, &error);
    return call_fail(call, TAKE(error));
}

static enum outcome
merge_switch(struct call *call)
{
    struct merge_state *state = call->state;
    struct image *image = state->common.image;
    const struct image *base = state->base;
    _cleanup_free_ char *before = xstrdup(image_record_data(&image->record));
    _cleanup_(error_freep) struct error *error = NULL, *ignored = NULL;
    const struct image_contents contents = { .format = base->record.format,
                                             .size = image->record.size,
                                             .base = base->record.base,
                                             .data = state->data,
                                             .checksum_is_valid = state->checksum_is_current };

    if (!image_go_over(image, &contents, &error))
        return call_fail(call, TAKE(error));
    (void)!folder_unlink(image->folder, before, &ignored); /* else repository.check finds it */
    return call_complete(call, "generation %llu", (unsigned long long)image->record.generation);
}

/* The image's record tells that there is something to remove, until there is not. */
static bool
remove_base(struct call *call, struct error **err)
{
    struct merge_state *state = call->state;
    struct image *image = state->common.image;

    if (state->base) {
        if (!image_require_no_dependents(state->base, err) || !image_hide(state->base, err))
            return false;
        image_tell_removed(call, state->common.repository, state->base->id);
        image_discard(TAKE(state->base));
    }
    return image_drop_left_over_data(image, err) &&
           write_mark(image, &image->record.merging, NULL, err);
}

static enum outcome
merge_remove_base(struct call *call)
{
    struct merge_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!remove_base(call, &error))
        return call_fail(call, TAKE(error));
    image_settle(call, state->common.image, NULL);
    return call_complete(call, NULL);
}

/* ---- what could not be done ---- */

/* In the other order: as long as the image says so, the base does. */
static bool
take_marks_back(struct merge_state *state, struct error **err)
{
    return write_mark(state->common.image, &state->common.image->record.merging, NULL, err) &&
           write_mark(state->base, &state->base->record.merged_into, NULL, err);
}

static enum outcome
merge_undo(struct call *call)
{
    struct merge_state *state = call->state;
    struct image *image = state->common.image;
    _cleanup_(error_freep) struct error *error = NULL, *ignored = NULL;

    if (state->data && !state->written)
        (void)!folder_unlink(image->folder, state->data, &ignored);
    if (!state->marked && !state->has_happened)
        return call_complete(call, "nothing was changed");
    if (state->marked && !state->was_marked && !state->written &&
        !take_marks_back(state, &error)) /* then image.merge does, or goes on */
        error_free(TAKE(error));
    if (!image_read_record(image, &error))
        return call_complete(call, "%s", error->message);
    if (state->base && !state->base->hidden)
        image_settle(call, state->base, NULL);
    image_settle(call, image, NULL);
    return call_complete(call, image->record.merging
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
