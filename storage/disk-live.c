/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/disk-live.h"

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "storage/endpoint.h"
#include "storage/image-data.h"

void
disk_settled_done(struct disk_settled *settled)
{
    free(TAKE(settled->snapshot));
    free(TAKE(settled->removed));
}

/* ---- where the path leads ---- */

static bool
is_recorded(const struct image *image, const char *path)
{
    _cleanup_free_ char *recorded = disk_data_path(image, image_record_data(&image->record));

    return strcmp(path, recorded) == 0;
}

/* The file in the image's folder that the path leads to, or NULL; within 'path'. */
static const char *
name_in_folder(const struct image *image, const char *path)
{
    _cleanup_free_ char *folder = disk_data_path(image, "");
    size_t length = strlen(folder);

    return strncmp(path, folder, length) == 0 && format_names_data(path + length) ? path + length
                                                                                  : NULL;
}

static bool
is_there(const struct image *image, const char *name)
{
    struct stat status;

    return folder_stat(image->folder, name, &status) && S_ISREG(status.st_mode);
}

static bool
unknown_path(const struct image *image, const char *path, struct error **err)
{
    error_set(err, ERROR_CONFLICT,
              "the VM has '%s' open, and the data of image '%s' is '%s': nothing that this agent "
              "began explains it",
              path, image->id, image_record_data(&image->record));
    return error_data_text(err, "path", "%s", path);
}

/* ---- settling ---- */

/* The base stays while the machine has it by its own name: the next look finds it again. */
static bool
remove_base(struct image_merge *merge, const char *const *kept, struct disk_settled *settled,
            struct error **err)
{
    bool done = image_merge_remove_base(merge, kept, err);

    if (image_merge_removed(merge))
        settled->removed = xstrdup(merge->base->id);
    if (done || (*err)->code != ERROR_WRONG_STATE)
        return done;
    error_free(TAKE(*err));
    return true;
}

static bool
is_merge_done(const struct image_record *record)
{
    return record->merging && (!record->base || strcmp(record->merging, record->base) != 0);
}

/* QEMU has all of the image in its base, and writes there. */
static bool
finish_merge(struct repository *repository, const char *id, const struct image_wish *wish,
             const char *const *kept, struct disk_settled *settled, struct error **err)
{
    struct image_merge merge;
    bool done;

    if (!image_merge_lock(repository, id, wish, &merge, err))
        return false;
    done = merge.has_happened || (image_merge_mark(&merge, err) && image_merge_switch(&merge, err));
    if (done && !merge.has_happened)
        settled->found = DISK_WENT_OVER;
    done = done && remove_base(&merge, kept, settled, err);
    image_merge_done(&merge);
    return done;
}

static bool
finish_snapshot(struct repository *repository, const char *id, const struct image_wish *wish,
                const char *layer, struct disk_settled *settled, struct error **err)
{
    struct image_snapshot snapshot;
    bool done;

    if (!image_snapshot_lock(repository, id, wish, &snapshot, err))
        return false;
    done =
        image_snapshot_find(&snapshot, layer, wish, err) && image_snapshot_switch(&snapshot, err);
    if (done) {
        settled->found = DISK_WENT_OVER;
        settled->snapshot = xstrdup(snapshot.snapshot->id);
    }
    image_snapshot_done(&snapshot);
    return done;
}

/* Whether it leads to the data of the base that is being folded into the image: in the image's own folder,
   or by the base's name. */
static bool
leads_to_base(const struct image *image, const char *path, bool *ret_leads, struct error **err)
{
    _cleanup_(image_closep) struct image *base = NULL;
    _cleanup_free_ char *own = NULL;
    const char *name = name_in_folder(image, path);

    *ret_leads = false;
    if (!image->record.merging)
        return true;
    if (!image_open(image->repository, image->record.merging, &base, err)) {
        if ((*err)->code != ERROR_IMAGE_NOT_FOUND)
            return false;
        error_free(TAKE(*err));
        return true;
    }
    if (!image_find_own_name(image, base, &own, err))
        return false;
    *ret_leads = (name && own && strcmp(name, own) == 0) || is_recorded(base, path);
    return true;
}

enum next { NEXT_NOTHING, NEXT_MERGE, NEXT_SNAPSHOT };

/* Under the image's lock: what is to be finished. */
static bool
look_at_disk(const struct image *image, const struct image_wish *wish, const char *path,
             const char *const *kept, enum next *ret_next, struct disk_settled *settled,
             struct error **err)
{
    const char *name = name_in_folder(image, path);
    bool leads_there;

    *ret_next = NEXT_NOTHING;
    if (!image_require_unused(image, wish->vm, "it is that one's", err))
        return false;
    if (is_recorded(image, path)) {
        *ret_next = is_merge_done(&image->record) ? NEXT_MERGE : NEXT_NOTHING;
        return image->record.merging || image_drop_left_over_data_but(image, kept, err);
    }
    if (!leads_to_base(image, path, &leads_there, err))
        return false;
    if (leads_there)
        *ret_next = NEXT_MERGE;
    else if (name && is_there(image, name) && !image->record.merging)
        *ret_next = NEXT_SNAPSHOT;
    else if (wish->running)
        return unknown_path(image, path, err);
    else
        settled->found = DISK_OUTDATED;
    return true;
}

static bool
settle(struct repository *repository, const char *id, const struct image_wish *wish,
       const char *path, const char *const *kept, struct disk_settled *settled, struct error **err)
{
    /* What the machine has may not be freed, whether it runs or not. */
    struct image_wish as_running = *wish;
    struct image *image = NULL;
    enum next next = NEXT_NOTHING;
    const char *slash = strrchr(path, '/');
    bool looked;

    as_running.running = true;
    looked = image_open_locked(repository, id, IMAGE_LOCK_EXCLUSIVE, wish->holder, &image, err) &&
             look_at_disk(image, wish, path, kept, &next, settled, err);
    image_close(image);
    if (!looked || next == NEXT_NOTHING)
        return looked;
    if (next == NEXT_MERGE)
        return finish_merge(repository, id, &as_running, kept, settled, err);
    return finish_snapshot(repository, id, &as_running, slash ? slash + 1 : path, settled, err);
}

bool
disk_settle(struct repository *repository, const char *id, const struct image_wish *wish,
            const char *path, const char *const *kept, struct disk_settled *ret_settled,
            struct error **err)
{
    struct disk_settled settled = { .found = DISK_AS_RECORDED };

    WORKER_ONLY();
    if (settle(repository, id, wish, path, kept, &settled, err)) {
        *ret_settled = settled;
        return true;
    }
    disk_settled_done(&settled);
    return false;
}

/* ---- a move ---- */

static bool
make_target(struct repository *repository, const char *id, const struct disk_target *target,
            const struct image_wish *wish, struct image **ret_image, struct error **err)
{
    _cleanup_(image_record_done) struct image_record record = {
        .format = target->format,
        .size = image_format_size(IMAGE_QCOW2, target->size),
        .mutable = true,
        .created_ns = clock_wall_ns(),
        .user_data = target->user_data ? xstrdup(target->user_data) : NULL
    };
    struct image *image;

    if (!image_make(repository, id, &record, NULL, wish->holder, &image, err))
        return false;
    if (endpoint_create(image->folder, image_record_data(&record), record.format, record.size,
                        ENDPOINT_THIN, NULL, IMAGE_RAW, wish->abort, err)) {
        *ret_image = image;
        return true;
    }
    image_discard(image);
    return false;
}

bool
disk_move_begin(struct repository *repository, const char *id, const struct disk_target *target,
                const struct disk_user *user, const struct image_wish *wish,
                struct disk_claim **ret_claim, struct error **err)
{
    struct image *image;
    struct disk_claim *claim;

    WORKER_ONLY();
    if (!make_target(repository, id, target, wish, &image, err))
        return false;
    if (!disk_claim_image(image, user, USE_WRITABLE, &claim, err)) {
        image_discard(image);
        return false;
    }
    if (image_publish(image, err)) {
        *ret_claim = claim;
        return true;
    }
    claim->image = NULL;
    image_discard(image);
    disk_claim_keep(claim);
    return false;
}

static bool
is_target(const struct image *image)
{
    struct stat status;

    return !image->record.complete && !image->record.upload &&
           !folder_stat(image->folder, FORMAT_COPY_FILE, &status) && errno == ENOENT;
}

static bool
require_target(const struct image *image, const struct disk_user *user, struct error **err)
{
    if (!image_require_unused(image, user->vm, "it is that one's", err))
        return false;
    if (is_target(image))
        return true;
    error_set(err, ERROR_WRONG_STATE, "image '%s' is not one that a disk is being moved to",
              image->id);
    error_data_text(err, "state", image->record.complete ? "complete" : "incomplete");
    return error_data_text(err, "needs", "a move under way");
}

bool
disk_move_open(struct repository *repository, const char *id, const struct disk_user *user,
               const struct image_wish *wish, struct disk_claim **ret_claim, struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;

    WORKER_ONLY();
    if (!image_open_locked(repository, id, IMAGE_LOCK_EXCLUSIVE, wish->holder, &image, err) ||
        !require_target(image, user, err) ||
        !disk_claim_image(image, user, USE_WRITABLE, ret_claim, err))
        return false;
    (void)TAKE(image);
    return true;
}

bool
disk_move_finish(struct disk_claim *claim, struct error **err)
{
    struct image *image = claim->image;
    bool done;

    WORKER_ONLY();
    image->record.complete = true;
    image->record.generation++;
    done = image_write_record(image, err);
    image->settled = true;
    return done;
}

bool
disk_move_cancel(struct disk_claim *claim, struct error **err)
{
    struct image *image = TAKE(claim->image);
    bool hidden = image_hide(image, err);

    WORKER_ONLY();
    image_discard(image);
    disk_claim_keep(claim);
    return hidden;
}
