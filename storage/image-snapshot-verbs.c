/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot: what an image is now becomes another, immutable one, and the image goes on as a layer
 * over it.  No contents are copied: the snapshot gets a second name for the data file, the image a
 * new one.  Its record's replacement is the moment; doc/formats.md tells what a kill leaves.
 */
#include <config.h>

#include <string.h>

#include "agent/base/clock.h"
#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/image-steps.h"
#include "storage/image-use.h"
#include "storage/qemu-lock.h"
#include "storage/storage.h"
#include "storage/transfer.h"

#define LAYER_SIZE (256 * 1024) /* bytes: about what an empty one takes */

struct snapshot_args {
    char *repository, *image, *snapshot;
    int64_t if_generation;
    bool has_generation;
};

struct snapshot_state {
    struct image_state common;
    struct image *base;       /* of the image, locked shared; NULL: it has none */
    struct image *snapshot;   /* locked exclusively; hidden until it is published */
    char *layer;              /* the new data file; owned, NULL until it is begun */
    bool published;           /* the snapshot, by this call */
    bool committed;           /* or it cannot be told whether */
    bool checksum_is_current; /* of the image, before */
};

static void
snapshot_done(struct call *call)
{
    struct snapshot_state *state = call->state;

    image_discard(TAKE(state->snapshot)); /* a published one is only closed */
    image_close(TAKE(state->base));
    free(TAKE(state->layer));
    image_state_done(call);
}

/* ---- what it is taken of ---- */

static bool
require_mutable(const struct image *image, struct error **err)
{
    return image->record.mutable ||
           error_set(err, ERROR_IMAGE_IMMUTABLE,
                     "image '%s' is a snapshot itself: make an overlay over it (image.create)",
                     image->id);
}

/*
 * Its base is locked too.  Whoever wants to remove that one looks for what stands on it, image by
 * image: the image before its change, or the snapshot after it, but between two looks it could miss
 * both.
 */
static bool
lock_image(struct call *call, struct error **err)
{
    const struct snapshot_args *args = call->args;
    struct snapshot_state *state = call->state;
    struct image_state *common = &state->common;
    _cleanup_free_ char *holder = image_holder(call);

    if (strcmp(args->image, args->snapshot) == 0)
        return error_param(err, "snapshot", "must be another id than the image's");
    if (!image_open_locked(common->repository, args->image, IMAGE_LOCK_EXCLUSIVE, holder,
                           &common->image, err) ||
        !image_require_generation(common->image, args->has_generation,
                                  (uint64_t)args->if_generation, err) ||
        !image_require_usable(common->image, err) || !require_mutable(common->image, err) ||
        !image_require_finished(common->image, err) ||
        !image_require_no_dependents(common->image, err) ||
        !image_require_unused(common->image, NULL, "take a snapshot of it with vm.snapshot", err) ||
        !qemu_lock_require_free(common->image->folder, image_record_data(&common->image->record),
                                call_abort_flag(call), err))
        return false;
    state->checksum_is_current = image_checksum_is_current(common->image);
    return (!common->image->record.base ||
            (image_open_locked(common->repository, common->image->record.base, IMAGE_LOCK_SHARED,
                               NULL, &state->base, err) &&
             image_require_settled(state->base, err))) &&
           image_drop_left_over_data(common->image, err);
}

static enum outcome
snapshot_lock(struct call *call)
{
    const struct snapshot_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!lock_image(call, &error))
        return call_fail(call, TAKE(error));
    return call_complete(call, "generation %llu",
                         (unsigned long long)state->common.image->record.generation);
}

/* ---- the snapshot ---- */

/* Without a checksum: until the image has left them, the contents are not the snapshot's alone. */
static void
describe(const struct image *image, struct image_record *ret_record)
{
    const struct image_record *record = &image->record;

    *ret_record =
        (struct image_record){ .format = record->format,
                               .size = record->size,
                               .complete = true,
                               .base = record->base ? xstrdup(record->base) : NULL,
                               .generation = 1,
                               .created_ns = clock_wall_ns(),
                               .user_data = record->user_data ? xstrdup(record->user_data) : NULL,
                               .snapshot_of = xstrdup(image->id) };
}

static bool
make_anew(struct call *call, const struct image_record *record, struct error **err)
{
    const struct snapshot_args *args = call->args;
    struct snapshot_state *state = call->state;
    const struct image *image = state->common.image;
    _cleanup_free_ char *holder = image_holder(call);

    if (!image_make(state->common.repository, args->snapshot, record, NULL, holder,
                    &state->snapshot, err) ||
        !folder_link(image->folder, image_record_data(&image->record), state->snapshot->folder,
                     image_record_data(record), err) ||
        !image_publish(state->snapshot, err))
        return false;
    state->published = true;
    return true;
}

static bool
is_ours_to_finish(const struct image *found, const char *image)
{
    return found->record.snapshot_of && strcmp(found->record.snapshot_of, image) == 0 &&
           image_is_unfinished_snapshot(found);
}

static bool
exists_already(const struct snapshot_args *args, struct error **err)
{
    error_free(TAKE(*err));
    return error_set(err, ERROR_IMAGE_EXISTS, "there is an image '%s' in repository '%s' already",
                     args->snapshot, args->repository);
}

/* Whether there is one to finish.  Anything else of that name, be it broken, is in the way. */
static bool
look_for_unfinished(struct call *call, bool *ret_found, struct error **err)
{
    const struct snapshot_args *args = call->args;
    const struct snapshot_state *state = call->state;
    _cleanup_(image_closep) struct image *found = NULL;

    *ret_found = image_open(state->common.repository, args->snapshot, &found, err);
    if (*ret_found)
        return is_ours_to_finish(found, args->image) || exists_already(args, err);
    if ((*err)->code == ERROR_IMAGE_NOT_FOUND) {
        error_free(TAKE(*err));
        return true;
    }
    return (*err)->code == ERROR_IMAGE_BROKEN ? exists_already(args, err) : false;
}

/* One of this image that a kill has left unfinished is finished: the image may have been written to
   since, so it is described again. */
static bool
take_over(struct call *call, struct image_record *record, bool *ret_taken, struct error **err)
{
    const struct snapshot_args *args = call->args;
    struct snapshot_state *state = call->state;
    _cleanup_free_ char *holder = image_holder(call);
    _cleanup_(image_closep) struct image *found = NULL;

    if (!look_for_unfinished(call, ret_taken, err))
        return false;
    if (!*ret_taken)
        return true;
    if (!image_open_locked(state->common.repository, args->snapshot, IMAGE_LOCK_EXCLUSIVE, holder,
                           &found, err))
        return false;
    if (!is_ours_to_finish(found, args->image))
        return exists_already(args, err);
    record->generation = found->record.generation;
    record->created_ns = found->record.created_ns;
    image_record_done(&found->record);
    (void)image_record_copy(record, &found->record);
    if (!image_write_record(found, err))
        return false;
    state->snapshot = TAKE(found);
    return true;
}

static enum outcome
snapshot_make(struct call *call)
{
    struct snapshot_state *state = call->state;
    _cleanup_(image_record_done) struct image_record record = { 0 };
    _cleanup_(error_freep) struct error *error = NULL;
    bool taken;

    describe(state->common.image, &record);
    if (!take_over(call, &record, &taken, &error) || (!taken && !make_anew(call, &record, &error)))
        return call_fail(call, TAKE(error));
    return call_complete(call, taken ? "goes on with an unfinished one" : NULL);
}

/* ---- the layer, and the moment ---- */

static enum outcome
snapshot_make_layer(struct call *call)
{
    struct snapshot_state *state = call->state;
    struct image *image = state->common.image;
    _cleanup_free_ char *backing = image_backing_name(state->snapshot);
    _cleanup_(error_freep) struct error *error = NULL;

    state->layer = image_new_data_name();
    if (endpoint_create(image->folder, state->layer, IMAGE_QCOW2,
                        image_format_size(IMAGE_QCOW2, image->record.size), ENDPOINT_THIN, backing,
                        state->snapshot->record.format, call_abort_flag(call), &error) &&
        folder_sync_file(image->folder, state->layer, &error) && folder_sync(image->folder, &error))
        return call_complete(call, "%s", state->layer);
    transfer_explain_space(image->folder, LAYER_SIZE, &error);
    return call_fail(call, TAKE(error));
}

/* Now that its contents are its own it may have their checksum.  It is whole without. */
static void
finish_snapshot(struct snapshot_state *state, const struct image_record *before)
{
    struct image_record *record = &state->snapshot->record;
    _cleanup_(error_freep) struct error *ignored = NULL;

    free(TAKE(record->snapshot_of));
    if (state->checksum_is_current &&
        image_data_time(state->snapshot, &record->checksum_of, &ignored)) {
        record->checksum = xstrdup(before->checksum);
        record->checksum_ns = before->checksum_ns;
    }
    (void)!image_write_record(state->snapshot, &ignored);
}

static enum outcome
snapshot_switch(struct call *call)
{
    struct snapshot_state *state = call->state;
    struct image *image = state->common.image;
    _cleanup_(image_record_done) struct image_record before = { 0 };
    _cleanup_(error_freep) struct error *error = NULL, *ignored = NULL;
    /* The same contents, but for the rest of a last sector that was none. */
    const struct image_contents contents = { .format = IMAGE_QCOW2,
                                             .size =
                                                 image_format_size(IMAGE_QCOW2, image->record.size),
                                             .base = state->snapshot->id,
                                             .data = state->layer,
                                             .checksum_is_valid = state->checksum_is_current };

    (void)image_record_copy(&image->record, &before);
    state->committed = true;
    if (!image_go_over(image, &contents, &error))
        return call_fail(call, TAKE(error));
    (void)!folder_unlink(image->folder, image_record_data(&before), &ignored);
    finish_snapshot(state, &before);
    image_settle(call, state->snapshot, NULL);
    image_settle(call, image, call_result(call));
    return call_complete(call, "generation %llu", (unsigned long long)image->record.generation);
}

/* Whether the image has gone over cannot be told of a write that failed: both ways are whole then, and
   what is left over is found by repository.check. */
static enum outcome
snapshot_undo(struct call *call)
{
    struct snapshot_state *state = call->state;
    struct image *image = state->common.image;
    _cleanup_(error_freep) struct error *error = NULL;

    if (state->committed) {
        if (image_read_record(image, &error))
            image_settle(call, image, NULL);
        image_settle(call, state->snapshot, NULL);
        return call_complete(call, "whether the image has gone over is told by its status");
    }
    if (state->layer)
        (void)!folder_unlink(image->folder, state->layer, &error);
    error_free(TAKE(error));
    if (!state->published)
        return call_complete(call, "nothing was shown of it");
    if (!image_hide(state->snapshot, &error))
        return call_complete(call, "the snapshot stays, unfinished: %s", error->message);
    image_tell_removed(call, state->common.repository, state->snapshot->id);
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
