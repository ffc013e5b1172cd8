/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-data.h"

#include <errno.h>
#include <string.h>

#include "agent/base/thread.h"
#include "storage/image-use.h"

char *
image_new_data_name(void)
{
    char uuid[UUID_TEXT_SIZE];

    uuid_make(uuid);
    return xprintf(FORMAT_DATA_PREFIX "%s", uuid);
}

char *
image_backing_name(const struct image *base)
{
    return xprintf("../%s/%s", base->id, image_record_data(&base->record));
}

static void
replace_text(char **text, const char *with)
{
    free(*text);
    *text = with ? xstrdup(with) : NULL;
}

bool
image_go_over(struct image *image, const struct image_contents *contents, struct error **err)
{
    struct image_record *record = &image->record;

    if (!contents->checksum_is_valid || contents->size != record->size)
        image_forget_checksum(image);
    record->format = contents->format;
    record->size = contents->size;
    replace_text(&record->base, contents->base);
    replace_text(&record->data, contents->data);
    if (record->checksum) {
        free(TAKE(record->checksum_of));
        if (!image_data_time(image, &record->checksum_of, err))
            return false;
    }
    record->generation++;
    return image_write_record(image, err);
}

bool
image_open_data(const struct image *image, enum endpoint_mode mode, const atomic_bool *abort,
                struct endpoint **ret_endpoint, struct error **err)
{
    const struct image_record *record = &image->record;

    if (mode == ENDPOINT_READ && !image_require_quiet(image, err))
        return false;
    if (!endpoint_open(image->folder, image_record_data(record), record->format, mode,
                       record->base != NULL, abort, ret_endpoint, err))
        return false;
    endpoint_limit(*ret_endpoint, record->size);
    return true;
}

/* ---- left-over files ---- */

struct look {
    const char *data;        /* the file that counts; borrowed */
    const char *const *kept; /* paths whose last parts count too; NULL-terminated, or NULL */
    char *found;             /* owned, or NULL */
};

static bool
is_kept(const struct look *look, const char *name)
{
    for (const char *const *path = look->kept; path && *path; path++) {
        const char *last = strrchr(*path, '/');

        if (strcmp(last ? last + 1 : *path, name) == 0)
            return true;
    }
    return strcmp(name, look->data) == 0;
}

static bool
look_at_entry(const char *name, void *context)
{
    struct look *look = context;

    if (!format_names_data(name) || is_kept(look, name))
        return true;
    look->found = xstrdup(name);
    return false;
}

/* The first entry that is a data file and not the record's; to be freed.  NULL: there is none. */
static bool
find_left_over(const struct image *image, const char *const *kept, char **ret_name,
               struct error **err)
{
    struct look look = { .data = image_record_data(&image->record), .kept = kept };

    if (!folder_each(image->folder, look_at_entry, &look)) {
        error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot list image '%s'", image->id);
        free(look.found);
        return false;
    }
    *ret_name = look.found;
    return true;
}

bool
image_has_left_over_data(const struct image *image, bool *ret_found, struct error **err)
{
    _cleanup_free_ char *name = NULL;

    WORKER_ONLY();
    if (!find_left_over(image, NULL, &name, err))
        return false;
    *ret_found = name != NULL;
    return true;
}

bool
image_drop_left_over_data(const struct image *image, struct error **err)
{
    return image_drop_left_over_data_but(image, NULL, err);
}

bool
image_drop_left_over_data_but(const struct image *image, const char *const *kept,
                              struct error **err)
{
    for (;;) {
        _cleanup_free_ char *name = NULL;

        if (!find_left_over(image, kept, &name, err))
            return false;
        if (!name)
            return true;
        if (!folder_unlink(image->folder, name, err))
            return error_wrap(err, "cannot free a left-over of image '%s'", image->id);
    }
}

/* ---- what is under way ---- */

bool
image_is_unfinished_snapshot(const struct image *image)
{
    const struct image_record *record = &image->record;
    _cleanup_(image_closep) struct image *origin = NULL;
    _cleanup_(error_freep) struct error *error = NULL;
    struct stat ours, theirs;

    if (!record->snapshot_of)
        return false;
    if (!image_open(image->repository, record->snapshot_of, &origin, &error))
        return error->code != ERROR_IMAGE_NOT_FOUND; /* what cannot be told is not taken for done */
    if (!folder_stat(image->folder, image_record_data(record), &ours))
        return false; /* it has no data at all: others tell of that */
    if (!folder_stat(origin->folder, image_record_data(&origin->record), &theirs))
        return errno != ENOENT;
    return ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

bool
image_shares_data(const struct image *image, const struct image *other)
{
    struct stat ours, theirs;

    return folder_stat(image->folder, image_record_data(&image->record), &ours) &&
           folder_stat(other->folder, image_record_data(&other->record), &theirs) &&
           ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

bool
image_require_settled(const struct image *image, struct error **err)
{
    const struct image_record *record = &image->record;

    if (record->merged_into)
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "image '%s' is being merged into '%s': run image.merge on that again, or "
                         "remove this one when nothing stands on it",
                         image->id, record->merged_into);
    return !image_is_unfinished_snapshot(image) ||
           error_set(err, ERROR_IMAGE_BROKEN,
                     "the snapshot '%s' of '%s' has not finished: take it again, or remove it",
                     image->id, record->snapshot_of);
}

bool
image_require_own_data(const struct image *image, struct error **err)
{
    struct stat status;

    if (!folder_stat(image->folder, image_record_data(&image->record), &status))
        return error_errno(err, ERROR_IMAGE_BROKEN, errno, "cannot look at the data of image '%s'",
                           image->id);
    if (status.st_nlink <= 1)
        return true;
    error_set(err, ERROR_WRONG_STATE,
              "the data of image '%s' have a second name, for a snapshot of it has not finished: "
              "take that again, or remove it (repository.check tells which)",
              image->id);
    error_data_text(err, "state", "shared");
    return error_data_text(err, "needs", "of its own");
}

static bool
require_again(const struct image *image, bool interrupted, const char *verb, const char *state,
              const char *needs, struct error **err)
{
    if (!interrupted)
        return true;
    error_set(err, ERROR_WRONG_STATE, "a change of image '%s' was interrupted: run %s again first",
              image->id, verb);
    error_data_text(err, "state", "%s", state);
    return error_data_text(err, "needs", "%s", needs);
}

bool
image_require_finished(const struct image *image, struct error **err)
{
    return image_require_merged(image, err) && image_require_resized(image, err);
}

bool
image_require_resized(const struct image *image, struct error **err)
{
    return require_again(image, image->record.resizing, "image.resize", "resizing", "resized", err);
}

bool
image_require_merged(const struct image *image, struct error **err)
{
    return require_again(image, image->record.merging != NULL, "image.merge", "merging", "merged",
                         err);
}

struct second {
    const struct image *image, *base;
    char *found; /* owned, or NULL */
};

static bool
look_for_second(const char *name, void *context)
{
    struct second *second = context;
    const struct image *image = second->image, *base = second->base;
    struct stat one, other;

    if (!format_names_data(name) || strcmp(name, image_record_data(&image->record)) == 0 ||
        !folder_stat(image->folder, name, &one) ||
        !folder_stat(base->folder, image_record_data(&base->record), &other) ||
        one.st_ino != other.st_ino || one.st_dev != other.st_dev)
        return true;
    second->found = xstrdup(name);
    return false;
}

bool
image_find_own_name(const struct image *image, const struct image *base, char **ret_name,
                    struct error **err)
{
    struct second second = { image, base, NULL };

    WORKER_ONLY();
    if (!folder_each(image->folder, look_for_second, &second)) {
        free(second.found);
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot list image '%s'",
                           image->id);
    }
    *ret_name = second.found;
    return true;
}
