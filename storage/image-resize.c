/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-resize.h"

#include "agent/base/thread.h"
#include "storage/endpoint.h"
#include "storage/image-data.h"
#include "storage/qemu-lock.h"

void
image_resize_done(struct image_resize *resize)
{
    image_close(TAKE(resize->image));
}

static bool
is_shrinking(const struct image_resize *resize)
{
    return resize->size < resize->before;
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
check_size(struct image_resize *resize, uint64_t size, bool force, struct error **err)
{
    const struct image *image = resize->image;

    resize->before = image->record.size;
    resize->size = image_format_size(image->record.format, size);
    if (!is_shrinking(resize))
        return true;
    if (resize->running)
        return error_param(err, "size",
                           "is less than the disk's %llu bytes: while the VM runs it only grows",
                           (unsigned long long)resize->before);
    if (!force)
        return error_param(err, "size",
                           "is less than the image's %llu bytes, and what lies behind would be "
                           "lost: say so with force",
                           (unsigned long long)resize->before);
    return require_not_below_base(image, resize->size, err);
}

static bool
require_mutable(const struct image *image, struct error **err)
{
    return image->record.mutable ||
           error_set(err, ERROR_IMAGE_IMMUTABLE, "image '%s' is a snapshot: its size is fixed",
                     image->id);
}

static bool
require_free(const struct image *image, const struct image_wish *wish, struct error **err)
{
    return wish->running ||
           (image_require_own_data(image, err) &&
            qemu_lock_require_free(image->folder, image_record_data(&image->record), wish->abort,
                                   err));
}

bool
image_resize_lock(struct repository *repository, const char *id, uint64_t size, bool force,
                  const struct image_wish *wish, struct image_resize *ret_resize,
                  struct error **err)
{
    struct image_resize resize = { .running = wish->running };
    const struct image *image;

    WORKER_ONLY();
    if (!image_open_locked(repository, id, IMAGE_LOCK_EXCLUSIVE, wish->holder, &resize.image, err))
        return false;
    image = resize.image;
    if (image_require_generation(image, wish->has_generation, wish->if_generation, err) &&
        image_require_usable(image, err) && require_mutable(image, err) &&
        image_require_merged(image, err) && check_size(&resize, size, force, err) &&
        image_require_no_dependents(image, err) &&
        image_require_unused(image, wish->vm, "resize it with vm.resizeDisk", err) &&
        require_free(image, wish, err)) {
        *ret_resize = resize;
        return true;
    }
    image_resize_done(&resize);
    return false;
}

bool
image_resize_mark(struct image_resize *resize, struct error **err)
{
    struct image *image = resize->image;

    WORKER_ONLY();
    image->record.resizing = true;
    if (is_shrinking(resize)) {
        image->record.size = resize->size;
        image->record.generation++;
        image_forget_checksum(image);
    }
    resize->marked = true; /* an error may come after the rename */
    return image_write_record(image, err);
}

bool
image_resize_data(struct image_resize *resize, const struct image_wish *wish, struct error **err)
{
    const struct image *image = resize->image;
    uint64_t kept = is_shrinking(resize) ? resize->size : resize->before;

    WORKER_ONLY();
    return endpoint_resize(image->folder, image_record_data(&image->record), image->record.format,
                           kept, resize->size, wish->abort, err);
}

bool
image_resize_record(struct image_resize *resize, struct error **err)
{
    struct image *image = resize->image;
    struct image_record *record = &image->record;

    WORKER_ONLY();
    if (!is_shrinking(resize)) {
        if (resize->size != resize->before)
            image_forget_checksum(image);
        record->size = resize->size;
        record->generation++;
    }
    record->resizing = false;
    return image_write_record(image, err);
}

bool
image_resize_undo(struct image_resize *resize, struct error **err)
{
    struct image *image = resize->image;

    WORKER_ONLY();
    if (!image_read_record(image, err))
        return false;
    if (is_shrinking(resize) || !image->record.resizing)
        return true;
    if (!resize->running &&
        !endpoint_resize(image->folder, image_record_data(&image->record), image->record.format,
                         resize->before, resize->before, NULL, err))
        return false;
    image->record.resizing = false;
    return image_write_record(image, err);
}
