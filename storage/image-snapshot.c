/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-snapshot.h"

#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "storage/disk.h"
#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/qemu-lock.h"

void
image_snapshot_done(struct image_snapshot *snapshot)
{
    image_discard(TAKE(snapshot->snapshot)); /* a published one is only closed */
    image_close(TAKE(snapshot->base));
    image_close(TAKE(snapshot->image));
    free(TAKE(snapshot->layer));
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

/* Of a machine that runs, QEMU has the image open, and perhaps files of it that its record does not name. */
static bool
require_free(const struct image *image, const struct image_wish *wish, struct error **err)
{
    return wish->running ||
           (qemu_lock_require_free(image->folder, image_record_data(&image->record), wish->abort,
                                   err) &&
            image_drop_left_over_data(image, err));
}

static bool
check_image(const struct image *image, const struct image_wish *wish, struct error **err)
{
    return image_require_generation(image, wish->has_generation, wish->if_generation, err) &&
           image_require_usable(image, err) && require_mutable(image, err) &&
           image_require_finished(image, err) && image_require_no_dependents(image, err) &&
           image_require_unused(image, wish->vm, "take a snapshot of it with vm.snapshot", err) &&
           require_free(image, wish, err);
}

/*
 * Its base is locked too.  Whoever wants to remove that one looks for what stands on it, image by
 * image: the image before its change, or the snapshot after it, but between two looks it could miss
 * both.
 */
static bool
lock_base(struct image_snapshot *snapshot, struct error **err)
{
    const struct image *image = snapshot->image;

    return !image->record.base ||
           (image_open_locked(image->repository, image->record.base, IMAGE_LOCK_SHARED, NULL,
                              &snapshot->base, err) &&
            image_require_settled(snapshot->base, err));
}

bool
image_snapshot_lock(struct repository *repository, const char *id, const struct image_wish *wish,
                    struct image_snapshot *ret_snapshot, struct error **err)
{
    struct image_snapshot snapshot = { .running = wish->running };

    WORKER_ONLY();
    if (image_open_locked(repository, id, IMAGE_LOCK_EXCLUSIVE, wish->holder, &snapshot.image,
                          err) &&
        check_image(snapshot.image, wish, err) && lock_base(&snapshot, err)) {
        /* What a machine writes meanwhile is part of the snapshot. */
        snapshot.checksum_is_current = !wish->running && image_checksum_is_current(snapshot.image);
        *ret_snapshot = snapshot;
        return true;
    }
    image_snapshot_done(&snapshot);
    return false;
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
make_anew(struct image_snapshot *snapshot, const char *id, const struct image_record *record,
          const struct image_wish *wish, struct error **err)
{
    const struct image *image = snapshot->image;

    if (!image_make(image->repository, id, record, NULL, wish->holder, &snapshot->snapshot, err) ||
        !folder_link(image->folder, image_record_data(&image->record), snapshot->snapshot->folder,
                     image_record_data(record), err) ||
        !image_publish(snapshot->snapshot, err))
        return false;
    snapshot->published = true;
    return true;
}

static bool
is_ours_to_finish(const struct image *found, const char *image)
{
    return found->record.snapshot_of && strcmp(found->record.snapshot_of, image) == 0 &&
           image_is_unfinished_snapshot(found);
}

static bool
exists_already(const struct repository *repository, const char *id, struct error **err)
{
    error_free(TAKE(*err));
    return error_set(err, ERROR_IMAGE_EXISTS, "there is an image '%s' in repository '%s' already",
                     id, repository->name);
}

/* Whether there is one to finish.  Anything else of that name, be it broken, is in the way. */
static bool
look_for_unfinished(const struct image *image, const char *id, bool *ret_found, struct error **err)
{
    _cleanup_(image_closep) struct image *found = NULL;

    *ret_found = image_open(image->repository, id, &found, err);
    if (*ret_found)
        return is_ours_to_finish(found, image->id) || exists_already(image->repository, id, err);
    if ((*err)->code == ERROR_IMAGE_NOT_FOUND) {
        error_free(TAKE(*err));
        return true;
    }
    return (*err)->code == ERROR_IMAGE_BROKEN ? exists_already(image->repository, id, err) : false;
}

/* One of this image that a kill has left unfinished is finished: the image may have been written to
   since, so it is described again. */
static bool
take_over(struct image_snapshot *snapshot, const char *id, struct image_record *record,
          const struct image_wish *wish, struct error **err)
{
    const struct image *image = snapshot->image;
    _cleanup_(image_closep) struct image *found = NULL;

    if (!look_for_unfinished(image, id, &snapshot->taken_over, err))
        return false;
    if (!snapshot->taken_over)
        return true;
    if (!image_open_locked(image->repository, id, IMAGE_LOCK_EXCLUSIVE, wish->holder, &found, err))
        return false;
    if (!is_ours_to_finish(found, image->id))
        return exists_already(image->repository, id, err);
    record->generation = found->record.generation;
    record->created_ns = found->record.created_ns;
    image_record_done(&found->record);
    (void)image_record_copy(record, &found->record);
    if (!image_write_record(found, err))
        return false;
    snapshot->snapshot = TAKE(found);
    return true;
}

bool
image_snapshot_make(struct image_snapshot *snapshot, const char *id, const struct image_wish *wish,
                    struct error **err)
{
    _cleanup_(image_record_done) struct image_record record = { 0 };

    WORKER_ONLY();
    if (strcmp(snapshot->image->id, id) == 0)
        return error_param(err, "snapshot", "must be another id than the image's");
    describe(snapshot->image, &record);
    return take_over(snapshot, id, &record, wish, err) &&
           (snapshot->taken_over || make_anew(snapshot, id, &record, wish, err));
}

/* ---- the layer, and the moment ---- */

bool
image_snapshot_make_layer(struct image_snapshot *snapshot, const struct image_wish *wish,
                          struct error **err)
{
    const struct image *image = snapshot->image;
    _cleanup_free_ char *backing = image_backing_name(snapshot->snapshot);

    WORKER_ONLY();
    snapshot->layer = image_new_data_name();
    return endpoint_create_layer(image->folder, snapshot->layer,
                                 image_format_size(IMAGE_QCOW2, image->record.size), backing,
                                 snapshot->snapshot->record.format, wish->abort, err) &&
           folder_sync_file(image->folder, snapshot->layer, err) && folder_sync(image->folder, err);
}

/* The image that the header of the layer names: "../SNAPSHOT/data".  To be freed, or NULL. */
static char *
named_image(const char *base_name)
{
    const char *name = base_name && strncmp(base_name, "../", 3) == 0 ? base_name + 3 : "";
    const char *slash = strchr(name, '/');
    _cleanup_free_ char *image = slash ? xprintf("%.*s", (int)(slash - name), name) : NULL;

    return image && name_valid(image) ? TAKE(image) : NULL;
}

bool
image_snapshot_find(struct image_snapshot *snapshot, const char *layer,
                    const struct image_wish *wish, struct error **err)
{
    const struct image *image = snapshot->image;
    _cleanup_free_ char *base_name = NULL, *id = NULL;
    _cleanup_(image_closep) struct image *found = NULL;

    WORKER_ONLY();
    if (!endpoint_base_name(image->folder, layer, wish->abort, &base_name, err))
        return false;
    id = named_image(base_name);
    if (!id)
        return error_set(err, ERROR_CONFLICT, "'%s' of image '%s' is no layer over a snapshot",
                         layer, image->id);
    if (!image_open_locked(image->repository, id, IMAGE_LOCK_EXCLUSIVE, wish->holder, &found, err))
        return false;
    if (!is_ours_to_finish(found, image->id))
        return error_set(err, ERROR_CONFLICT,
                         "'%s' of image '%s' stands on '%s', no snapshot of it", layer, image->id,
                         id);
    snapshot->layer = xstrdup(layer);
    snapshot->snapshot = TAKE(found);
    return true;
}

char *
image_snapshot_path(const struct image_snapshot *snapshot)
{
    return disk_data_path(snapshot->image, snapshot->layer);
}

/* Now that its contents are its own it may have their checksum.  It is whole without. */
static void
finish_snapshot(struct image_snapshot *snapshot, const struct image_record *before)
{
    struct image_record *record = &snapshot->snapshot->record;
    _cleanup_(error_freep) struct error *ignored = NULL;

    free(TAKE(record->snapshot_of));
    if (snapshot->checksum_is_current &&
        image_data_time(snapshot->snapshot, &record->checksum_of, &ignored)) {
        record->checksum = xstrdup(before->checksum);
        record->checksum_ns = before->checksum_ns;
    }
    (void)!image_write_record(snapshot->snapshot, &ignored);
}

bool
image_snapshot_switch(struct image_snapshot *snapshot, struct error **err)
{
    struct image *image = snapshot->image;
    _cleanup_(image_record_done) struct image_record before = { 0 };
    _cleanup_(error_freep) struct error *ignored = NULL;
    /* The same contents, but for the rest of a last sector that was none. */
    const struct image_contents contents = { .format = IMAGE_QCOW2,
                                             .size =
                                                 image_format_size(IMAGE_QCOW2, image->record.size),
                                             .base = snapshot->snapshot->id,
                                             .data = snapshot->layer,
                                             .checksum_is_valid = snapshot->checksum_is_current };

    WORKER_ONLY();
    (void)image_record_copy(&image->record, &before);
    snapshot->committed = true;
    if (!image_go_over(image, &contents, err))
        return false;
    if (!snapshot->running)
        (void)!folder_unlink(image->folder, image_record_data(&before), &ignored);
    finish_snapshot(snapshot, &before);
    return true;
}

bool
image_snapshot_undo(struct image_snapshot *snapshot, bool *ret_removed, struct error **err)
{
    _cleanup_(error_freep) struct error *ignored =
        NULL; /* a left-over, which repository.check finds */

    *ret_removed = false;
    if (snapshot->layer)
        (void)!folder_unlink(snapshot->image->folder, snapshot->layer, &ignored);
    if (!snapshot->published)
        return true;
    if (!image_hide(snapshot->snapshot, err))
        return false;
    *ret_removed = true;
    return true;
}
