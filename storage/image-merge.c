/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of each write here is argued in doc/formats.md.
 */
#include <config.h>

#include "storage/image-merge.h"

#include <string.h>

#include "agent/base/thread.h"
#include "storage/disk.h"
#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/qemu-lock.h"

void
image_merge_done(struct image_merge *merge)
{
    image_discard(TAKE(merge->base)); /* one that is not hidden is only closed */
    image_close(TAKE(merge->below));
    image_close(TAKE(merge->image));
    free(TAKE(merge->data));
}

/* ---- what is merged ---- */

static bool
require_free(const struct image *image, const struct image_wish *wish, struct error **err)
{
    return wish->running || qemu_lock_require_free(image->folder, image_record_data(&image->record),
                                                   wish->abort, err);
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
check_image(struct image_merge *merge, const struct image_wish *wish, struct error **err)
{
    const struct image *image = merge->image;

    if (!image_require_usable(image, err) || !image_require_resized(image, err) ||
        !require_base(image, err) || !image_require_no_dependents(image, err) ||
        !image_require_unused(image, wish->vm, "merge it with vm.mergeDisk", err) ||
        !require_free(image, wish, err) ||
        !(wish->running || image_drop_left_over_data(image, err)))
        return false;
    merge->checksum_is_current = !wish->running && image_checksum_is_current(image);
    return true;
}

/* The image itself may have one, and no other: who writes into the file writes into all of its names. */
static bool
find_own_name(struct image_merge *merge, struct error **err)
{
    const struct image *base = merge->base;
    struct stat status;

    if (!image_find_own_name(merge->image, base, &merge->data, err))
        return false;
    if (merge->data && folder_stat(base->folder, image_record_data(&base->record), &status) &&
        status.st_nlink == 2)
        return true;
    return image_require_own_data(base, err);
}

static bool
check_base(struct image_merge *merge, const struct image_wish *wish, struct error **err)
{
    const struct image *base = merge->base;

    merge->was_marked = base->record.merged_into != NULL;
    return image_require_sound(base, err) &&
           (merge->was_marked || image_require_settled(base, err)) &&
           image_require_finished(base, err) &&
           image_require_no_other_dependents(base, merge->image->id, err) &&
           image_require_unused(base, NULL, "undefine that first (vm.undefine)", err) &&
           find_own_name(merge, err) && require_free(base, wish, err);
}

/* What is below is locked too: whoever wants to remove it could miss both the base, before it goes, and
   the image, after it has gone over. */
static bool
lock_base(struct image_merge *merge, const struct image_wish *wish, struct error **err)
{
    const struct image *image = merge->image;

    if (!image_open_locked(image->repository, image->record.base, IMAGE_LOCK_EXCLUSIVE,
                           wish->holder, &merge->base, err) ||
        !check_base(merge, wish, err))
        return error_wrap(err, "cannot merge into the base");
    return !merge->base->record.base ||
           image_open_locked(image->repository, merge->base->record.base, IMAGE_LOCK_SHARED, NULL,
                             &merge->below, err);
}

/* A call before has got past the moment.  What bears the base's name by now is only removed if it is
   that base. */
static bool
lock_what_is_left(struct image_merge *merge, const struct image_wish *wish, struct error **err)
{
    const struct image *image = merge->image;
    _cleanup_(image_closep) struct image *base = NULL;

    if (!image_require_unused(image, wish->vm, "merge it with vm.mergeDisk", err))
        return false;
    if (!image_open_locked(image->repository, image->record.merging, IMAGE_LOCK_EXCLUSIVE,
                           wish->holder, &base, err)) {
        if ((*err)->code != ERROR_IMAGE_NOT_FOUND)
            return false;
        error_free(TAKE(*err));
        return true;
    }
    if (base->record.merged_into && strcmp(base->record.merged_into, image->id) == 0 &&
        image_shares_data(base, image))
        merge->base = TAKE(base);
    return true;
}

static bool
lock_images(struct image_merge *merge, struct repository *repository, const char *id,
            const struct image_wish *wish, struct error **err)
{
    const struct image_record *record;

    if (!image_open_locked(repository, id, IMAGE_LOCK_EXCLUSIVE, wish->holder, &merge->image,
                           err) ||
        !image_require_generation(merge->image, wish->has_generation, wish->if_generation, err))
        return false;
    record = &merge->image->record;
    merge->has_happened =
        record->merging && (!record->base || strcmp(record->merging, record->base) != 0);
    if (merge->has_happened)
        return lock_what_is_left(merge, wish, err);
    return check_image(merge, wish, err) && lock_base(merge, wish, err);
}

bool
image_merge_lock(struct repository *repository, const char *id, const struct image_wish *wish,
                 struct image_merge *ret_merge, struct error **err)
{
    struct image_merge merge = { .running = wish->running };

    WORKER_ONLY();
    if (lock_images(&merge, repository, id, wish, err)) {
        *ret_merge = merge;
        return true;
    }
    image_merge_done(&merge);
    return false;
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
bool
image_merge_mark(struct image_merge *merge, struct error **err)
{
    struct image *image = merge->image, *base = merge->base;

    WORKER_ONLY();
    if (!merge->data) {
        _cleanup_free_ char *data = image_new_data_name();

        if (!folder_link(base->folder, image_record_data(&base->record), image->folder, data, err))
            return false;
        merge->data = TAKE(data);
        merge->linked = true;
    }
    merge->marked = true;
    return write_mark(base, &base->record.merged_into, image->id, err) &&
           write_mark(image, &image->record.merging, base->id, err);
}

char *
image_merge_path(const struct image_merge *merge)
{
    return disk_data_path(merge->image, merge->data);
}

/* ---- the merge ---- */

/* Whatever the base's size was: what lies behind the image's end is not seen through it. */
bool
image_merge_fold(struct image_merge *merge, const struct image_wish *wish, struct error **err)
{
    const struct image *image = merge->image, *base = merge->base;
    _cleanup_free_ char *backing = image_backing_name(base);
    bool written = merge->written;

    WORKER_ONLY();
    merge->written = true;
    if (!endpoint_commit(image->folder, image_record_data(&image->record), backing, wish->abort,
                         err)) {
        /* Who could not begin has written nothing. */
        if ((*err)->code == ERROR_IMAGE_IN_USE || (*err)->code == ERROR_CONFLICT ||
            (*err)->code == ERROR_BACKEND_UNAVAILABLE)
            merge->written = written;
        return false;
    }
    return endpoint_resize(base->folder, image_record_data(&base->record), base->record.format,
                           image->record.size, image->record.size, wish->abort, err);
}

bool
image_merge_switch(struct image_merge *merge, struct error **err)
{
    struct image *image = merge->image;
    const struct image *base = merge->base;
    _cleanup_free_ char *before = xstrdup(image_record_data(&image->record));
    _cleanup_(error_freep) struct error *ignored = NULL;
    const struct image_contents contents = { .format = base->record.format,
                                             .size = image->record.size,
                                             .base = base->record.base,
                                             .data = merge->data,
                                             .checksum_is_valid = merge->checksum_is_current };

    WORKER_ONLY();
    if (!image_go_over(image, &contents, err))
        return false;
    (void)!folder_unlink(image->folder, before, &ignored); /* else repository.check finds it */
    return true;
}

/* ---- the base goes ---- */

static bool
require_not_kept(const struct image *base, const char *const *kept, struct error **err)
{
    _cleanup_free_ char *path = disk_data_path(base, image_record_data(&base->record));

    for (; kept && *kept; kept++)
        if (strcmp(*kept, path) == 0) {
            error_set(err, ERROR_WRONG_STATE,
                      "image '%s' cannot go as long as the VM runs, which has its data open by "
                      "that name",
                      base->id);
            error_data_text(err, "state", "open");
            return error_data_text(err, "needs", "closed");
        }
    return true;
}

/* The image's record tells that there is something to remove, until there is not. */
bool
image_merge_remove_base(struct image_merge *merge, const char *const *kept, struct error **err)
{
    struct image *image = merge->image;

    WORKER_ONLY();
    if (merge->base &&
        (!require_not_kept(merge->base, kept, err) ||
         !image_require_no_dependents(merge->base, err) || !image_hide(merge->base, err)))
        return false;
    return (merge->running || image_drop_left_over_data(image, err)) &&
           write_mark(image, &image->record.merging, NULL, err);
}

bool
image_merge_removed(const struct image_merge *merge)
{
    return merge->base && merge->base->hidden;
}

/* ---- what could not be done ---- */

/* In the other order: as long as the image says so, the base does. */
static bool
take_marks_back(struct image_merge *merge, struct error **err)
{
    return write_mark(merge->image, &merge->image->record.merging, NULL, err) &&
           write_mark(merge->base, &merge->base->record.merged_into, NULL, err);
}

bool
image_merge_undo(struct image_merge *merge, struct error **err)
{
    _cleanup_(error_freep) struct error *ignored = NULL;

    WORKER_ONLY();
    if (merge->linked && !merge->written)
        (void)!folder_unlink(merge->image->folder, merge->data, &ignored);
    return !merge->marked || merge->was_marked || merge->written || take_marks_back(merge, err);
}
