/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of each write here is argued in doc/formats.md.
 */
#include <config.h>

#include "storage/image.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/durable.h"
#include "agent/base/thread.h"
#include "storage/image-serve-record.h"
#include "storage/image-data.h"

/* A guest's QEMU, which runs as another user, finds its files in it; what else is there only we list. */
#define FOLDER_MODE 0711
#define REMOVE_TRIES 3
#define DEPENDENTS_MAX 100 /* named in an error */

static bool
open_image_folder(struct repository *repository, const char *id, struct folder **ret_folder,
                  struct error **err)
{
    if (folder_open(repository->images, id, FOLDER_SAME_SYSTEM, ret_folder))
        return true;
    if (errno == ENOENT)
        return error_set(err, ERROR_IMAGE_NOT_FOUND, "there is no image '%s' in repository '%s'",
                         id, repository->name);
    if (errno == ELOOP || errno == ENOTDIR || errno == EXDEV)
        return error_set(
            err, ERROR_IMAGE_BROKEN,
            "'%s' in repository '%s' is no directory of its own but a link, a file or a mount: it is not "
            "followed; repository.check tells what can be done",
            id, repository->name);
    return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                       "cannot open image '%s' of repository '%s'", id, repository->name);
}

bool
image_is_named(const struct image *image)
{
    return folder_is_named(image->repository->images, image->id, image->folder);
}

static bool
just_removed(const struct image *image, struct error **err)
{
    return error_set(err, ERROR_IMAGE_NOT_FOUND,
                     "image '%s' of repository '%s' has just been removed", image->id,
                     image->repository->name);
}

bool
image_read_record(struct image *image, struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    struct image_record record;

    if (!folder_read(image->folder, FORMAT_IMAGE_FILE, FORMAT_FILE_SIZE_MAX, &text, err)) {
        /* One that is being removed loses its files one by one: it is not broken, it is gone. */
        if (!image_is_named(image)) {
            error_free(TAKE(*err));
            return just_removed(image, err);
        }
        /* A server that is away says nothing of the image. */
        if ((*err)->code == ERROR_REPOSITORY_UNAVAILABLE)
            return error_wrap(err, "cannot read image '%s'", image->id);
        (*err)->code = ERROR_IMAGE_BROKEN;
        return error_wrap(err, "image '%s' is broken", image->id);
    }
    if (!image_record_parse(text.bytes, text.length, &record, err)) {
        (*err)->code = ERROR_IMAGE_BROKEN; /* also of a newer version: it must not be used here */
        return error_wrap(err, "image '%s' is broken", image->id);
    }
    image_record_done(&image->record);
    image->record = record;
    return true;
}

void
image_close(struct image *image)
{
    if (!image)
        return;
    image_lock_release(image->lock);
    folder_close(image->folder);
    image_record_done(&image->record);
    free(image->hidden);
    free(image->id);
    free(image);
}

/* Takes ownership of 'folder', which may be NULL. */
static struct image *
image_new_take(struct repository *repository, const char *id, struct folder *folder)
{
    struct image *image = xalloc(sizeof(*image));

    image->repository = repository;
    image->id = xstrdup(id);
    image->folder = folder;
    return image;
}

bool
image_open_directory(struct repository *repository, const char *id, struct image **ret_image,
                     struct error **err)
{
    struct folder *folder = NULL;

    WORKER_ONLY();
    if (!open_image_folder(repository, id, &folder, err))
        return false;
    *ret_image = image_new_take(repository, id, folder);
    return true;
}

bool
image_open(struct repository *repository, const char *id, struct image **ret_image,
           struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;

    if (!image_open_directory(repository, id, &image, err) || !image_read_record(image, err))
        return false;
    *ret_image = TAKE(image);
    return true;
}

/* Who serves it himself need not wait: he can end that. */
static bool
explain_use(const struct image *image, struct error **err)
{
    _cleanup_free_ char *reason = (*err)->code == ERROR_IMAGE_IN_USE
                                      ? serve_reason(image->repository->uuid, image->id)
                                      : NULL;
    char *data;

    if (!reason)
        return false;
    data = TAKE((*err)->data);
    error_free(TAKE(*err));
    error_set(err, ERROR_IMAGE_IN_USE, "image '%s' is %s: end that first (image.unserve)",
              image->id, reason);
    (*err)->data = data;
    return false;
}

bool
image_lock_directory(struct repository *repository, const char *id, enum image_lock_mode mode,
                     const char *holder, struct image **ret_image, struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;
    struct folder *folder = NULL;

    WORKER_ONLY();
    if (mode == IMAGE_LOCK_EXCLUSIVE && repository->read_only)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE, "repository '%s' is read-only",
                         repository->name);
    if (!open_image_folder(repository, id, &folder, err))
        return false;
    image = image_new_take(repository, id, folder);
    if (!image_lock_acquire(image->folder, mode, id, holder, &image->lock, err)) {
        if (image_is_named(image))
            return explain_use(image, err);
        error_free(TAKE(*err)); /* the lock is that of its remover, or went with it */
        return just_removed(image, err);
    }
    /* Between opening and locking, somebody may have removed it and made another of that name. */
    if (!image_is_named(image))
        return just_removed(image, err);
    *ret_image = TAKE(image);
    return true;
}

bool
image_open_locked(struct repository *repository, const char *id, enum image_lock_mode mode,
                  const char *holder, struct image **ret_image, struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;

    if (!image_lock_directory(repository, id, mode, holder, &image, err) ||
        !image_read_record(image, err))
        return false;
    *ret_image = TAKE(image);
    return true;
}

bool
image_data_time(const struct image *image, char **ret_time, struct error **err)
{
    struct stat status;

    if (!folder_stat(image->folder, image_record_data(&image->record), &status))
        return error_errno(err, ERROR_IMAGE_BROKEN, errno, "cannot look at the data of image '%s'",
                           image->id);
    *ret_time =
        xprintf("modified %lld.%09ld", (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    return true;
}

bool
image_checksum_is_current(const struct image *image)
{
    const struct image_record *record = &image->record;
    _cleanup_(error_freep) struct error *ignored =
        NULL; /* what cannot be looked at is not current */
    _cleanup_free_ char *time = NULL;

    if (!record->checksum || !record->mutable)
        return record->checksum != NULL;
    return record->checksum_of && image_data_time(image, &time, &ignored) &&
           strcmp(record->checksum_of, time) == 0;
}

void
image_forget_checksum(struct image *image)
{
    struct image_record *record = &image->record;

    free(TAKE(record->checksum));
    free(TAKE(record->checksum_of));
    record->checksum_ns = 0;
}

bool
image_require_usable(const struct image *image, struct error **err)
{
    return image_require_sound(image, err) && image_require_settled(image, err);
}

bool
image_require_sound(const struct image *image, struct error **err)
{
    if (image->record.damage)
        return error_set(err, ERROR_IMAGE_BROKEN, "image '%s' is damaged: %s", image->id,
                         image->record.damage);
    if (image->record.upload)
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "an upload into image '%s' has not finished: go on with it, or remove it",
                         image->id);
    if (!image->record.complete)
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "image '%s' is an incomplete copy: resume it, or remove it", image->id);
    return image_require_data(image, err);
}

bool
image_require_data(const struct image *image, struct error **err)
{
    struct stat status;
    bool missing;

    missing = !folder_stat(image->folder, image_record_data(&image->record), &status);
    if (missing && errno != ENOENT)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot look at the data of image '%s'", image->id);
    if (missing || !S_ISREG(status.st_mode))
        return error_set(err, ERROR_IMAGE_BROKEN, "image '%s' has no data file", image->id);
    if (image->record.format == IMAGE_RAW && (uint64_t)status.st_size < image->record.size)
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "the data of image '%s' ends at byte %lld of %llu", image->id,
                         (long long)status.st_size, (unsigned long long)image->record.size);
    if (!image_base_is_there(image))
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "the base '%s' of image '%s' is not in the repository", image->record.base,
                         image->id);
    return true;
}

bool
image_base_is_there(const struct image *image)
{
    struct stat status;

    if (!image->record.base)
        return true;
    /* One that cannot be looked at this time is not missing for that: opening it tells more. */
    if (!folder_stat(image->repository->images, image->record.base, &status))
        return errno != ENOENT;
    return S_ISDIR(status.st_mode);
}

bool
image_require_generation(const struct image *image, bool given, uint64_t wanted, struct error **err)
{
    if (!given || wanted == image->record.generation)
        return true;
    error_set(err, ERROR_CONFLICT, "image '%s' is at generation %llu, not %llu: read it again",
              image->id, (unsigned long long)image->record.generation, (unsigned long long)wanted);
    return error_data_number(err, "generation", (int64_t)image->record.generation);
}

/*
 * Whether the image 'id' stands on 'base'.  A record that does not contain the base's name need not
 * be parsed, which makes a search among ten thousand ten times faster; one with an escape in it may
 * spell the name in another way.  What is damaged depends on nothing: one broken image must not keep
 * all others from being removed.  What cannot be read this time may depend on it: that is an error.
 */
static bool
depends_on(struct repository *repository, const char *id, const char *base, bool *ret_depends,
           struct error **err)
{
    _cleanup_(folder_closep) struct folder *folder = NULL;
    _cleanup_(image_record_done) struct image_record record = { 0 };
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_text_ struct text text = TEXT_INIT;

    *ret_depends = false;
    if (!folder_open(repository->images, id, FOLDER_SAME_SYSTEM, &folder))
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV ||
               error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot open image '%s'", id);
    if (!folder_read(folder, FORMAT_IMAGE_FILE, FORMAT_FILE_SIZE_MAX, &text, &error)) {
        if (durable_error_is_certain(error))
            return true;
        *err = TAKE(error);
        return error_wrap(err, "image '%s'", id);
    }
    if (!strstr(text.bytes, base) && !strchr(text.bytes, '\\'))
        return true;
    if (image_record_parse(text.bytes, text.length, &record, &error))
        *ret_depends = record.base && strcmp(record.base, base) == 0;
    else /* a newer agent's may say it in a member that is not known here */
        *ret_depends = error->code == ERROR_REPOSITORY_UNAVAILABLE;
    return true;
}

bool
image_require_no_dependents(const struct image *image, struct error **err)
{
    return image_require_no_other_dependents(image, image->id, err);
}

bool
image_require_no_other_dependents(const struct image *image, const char *known_id,
                                  struct error **err)
{
    _cleanup_writer_ struct writer dependents = WRITER_INIT;
    char **ids;
    size_t count, found = 0;
    bool depends, known = true;

    if (!image_list(image->repository, NULL, 0, &ids, &count, err))
        return false;
    writer_array(&dependents);
    for (size_t i = 0; known && i < count && found < DEPENDENTS_MAX; i++) {
        if (strcmp(ids[i], image->id) == 0 || strcmp(ids[i], known_id) == 0)
            continue;
        known = depends_on(image->repository, ids[i], image->id, &depends, err);
        if (known && depends) {
            writer_string(&dependents, ids[i]);
            found++;
        }
    }
    strings_free(ids);
    if (!known)
        return error_wrap(err, "cannot tell what stands on image '%s'", image->id);
    if (found == 0)
        return true;
    writer_end_array(&dependents);
    error_set(err, ERROR_IMAGE_HAS_DEPENDENTS, "image '%s' is the base of %zu other%s", image->id,
              found, found == 1 ? "" : "s");
    return error_data_json(err, "dependents", dependents.text.bytes);
}

/* ---- making and removing ---- */

static char *
hidden_name(const char *prefix)
{
    char uuid[UUID_TEXT_SIZE];

    uuid_make(uuid);
    return xprintf("%s%s", prefix, uuid);
}

static bool
write_records(struct image *image, const struct copy_record *copy, struct error **err)
{
    return image_write_record(image, err) && (!copy || image_write_copy(image, copy, err));
}

bool
image_make(struct repository *repository, const char *id, const struct image_record *record,
           const struct copy_record *copy, const char *holder, struct image **ret_image,
           struct error **err)
{
    struct image *image;
    struct stat status;

    WORKER_ONLY();
    if (repository->read_only)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE, "repository '%s' is read-only",
                         repository->name);
    /* Only to say it early: what decides is the rename of image_publish(). */
    if (folder_stat(repository->images, id, &status))
        return error_set(err, ERROR_IMAGE_EXISTS,
                         "there is an image '%s' in repository '%s' already", id, repository->name);
    image = image_new_take(repository, id, NULL);
    image->hidden = hidden_name(FORMAT_NEW_PREFIX);
    if (!folder_make(repository->images, image->hidden, FOLDER_MODE)) {
        error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                    "cannot make image '%s' in repository '%s'", id, repository->name);
        free(TAKE(image->hidden));
        image_close(image);
        return false;
    }
    (void)image_record_copy(record, &image->record);
    if (!folder_open(repository->images, image->hidden, FOLDER_SAME_SYSTEM, &image->folder)) {
        error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                    "cannot make image '%s' in repository '%s'", id, repository->name);
    } else if (image_lock_acquire(image->folder, IMAGE_LOCK_EXCLUSIVE, id, holder, &image->lock,
                                  err) &&
               write_records(image, copy, err)) {
        *ret_image = image;
        return true;
    }
    image_discard(image);
    return false;
}

bool
image_publish(struct image *image, struct error **err)
{
    struct folder *images = image->repository->images;

    WORKER_ONLY();
    if (!folder_sync_file(image->folder, image_record_data(&image->record), err) ||
        !folder_sync(image->folder, err))
        return error_wrap(err, "cannot show image '%s'", image->id);
    if (!folder_rename(images, image->hidden, images, image->id, err)) {
        if ((*err)->code == ERROR_ALREADY_EXISTS)
            (*err)->code = ERROR_IMAGE_EXISTS;
        if ((*err)->code == ERROR_NOT_FOUND)
            (*err)->code = ERROR_REPOSITORY_UNAVAILABLE;
        return error_wrap(err, "cannot show image '%s' in repository '%s'", image->id,
                          image->repository->name);
    }
    free(TAKE(image->hidden));
    return true;
}

void
image_discard(struct image *image)
{
    _cleanup_(error_freep) struct error *ignored = NULL; /* repository.check finds what is left */

    if (!image)
        return;
    /* NFS keeps a file that is open when it is removed, under another name in the same directory. */
    image_lock_release(TAKE(image->lock));
    /* Who came too late may have made a lock file in it meanwhile. */
    for (unsigned tries = 0; image->hidden && tries < REMOVE_TRIES; tries++) {
        if (folder_remove_tree(image->repository->images, image->hidden, &ignored))
            break;
        error_free(TAKE(ignored));
    }
    free(TAKE(image->hidden));
    image_close(image);
}

bool
image_write_record(struct image *image, struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    image_record_write(&image->record, &text);
    return folder_replace(image->folder, FORMAT_IMAGE_FILE, text.bytes, text.length, err) ||
           error_wrap(err, "cannot change image '%s'", image->id);
}

bool
image_hide(struct image *image, struct error **err)
{
    char *gone = hidden_name(FORMAT_GONE_PREFIX);
    struct folder *images = image->repository->images;

    WORKER_ONLY();
    if (!folder_rename(images, image->id, images, gone, err)) {
        free(gone);
        if ((*err)->code == ERROR_NOT_FOUND)
            (*err)->code = ERROR_IMAGE_NOT_FOUND;
        return error_wrap(err, "cannot remove image '%s'", image->id);
    }
    image->hidden = gone;
    return true;
}

bool
image_read_copy(const struct image *image, struct copy_record *ret_copy, struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    if (!folder_read(image->folder, FORMAT_COPY_FILE, FORMAT_FILE_SIZE_MAX, &text, err)) {
        if ((*err)->code == ERROR_NOT_FOUND) {
            (*err)->code = ERROR_NOTHING_TO_RESUME;
            return error_wrap(err, "image '%s' has no record of a copy", image->id);
        }
        (*err)->code = ERROR_IMAGE_BROKEN;
        return error_wrap(err, "image '%s'", image->id);
    }
    return copy_record_parse(text.bytes, text.length, ret_copy, err) ||
           error_wrap(err, "image '%s'", image->id);
}

bool
image_write_copy(const struct image *image, const struct copy_record *copy, struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    copy_record_write(copy, &text);
    return folder_replace(image->folder, FORMAT_COPY_FILE, text.bytes, text.length, err) ||
           error_wrap(err, "cannot record the copy into image '%s'", image->id);
}

/* ---- listing ---- */

static int
compare_ids(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

struct listing {
    const char *after; /* borrowed, or NULL */
    char **ids;        /* owned; room for one more than 'count' */
    size_t count, room;
};

/* Those that pass for an image's name, and come after 'after'. */
static bool
list_entry(const char *name, void *context)
{
    struct listing *listing = context;

    if (!name_valid(name) || (listing->after && strcmp(name, listing->after) <= 0))
        return true;
    if (listing->count + 1 >= listing->room) {
        listing->room = listing->room * 2 + 64;
        listing->ids = xrealloc(listing->ids, listing->room * sizeof(*listing->ids));
    }
    listing->ids[listing->count++] = xstrdup(name);
    return true;
}

bool
image_list(struct repository *repository, const char *after, size_t limit, char ***ret_ids,
           size_t *ret_count, struct error **err)
{
    struct listing listing = { .after = after, .ids = xalloc(sizeof(*listing.ids)), .room = 1 };
    char **ids;
    size_t count;

    WORKER_ONLY();
    /* A list that is short in silence would tell that nothing depends on a base. */
    if (!folder_each(repository->images, list_entry, &listing)) {
        error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot list repository '%s'",
                    repository->name);
        listing.ids[listing.count] = NULL;
        strings_free(listing.ids);
        return false;
    }
    ids = listing.ids;
    count = listing.count;
    qsort(ids, count, sizeof(*ids), compare_ids);
    while (limit && count > limit)
        free(ids[--count]);
    ids[count] = NULL;
    *ret_ids = ids;
    *ret_count = count;
    return true;
}
