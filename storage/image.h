/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: their directory, their record, their status; nothing of JSON-RPC here.
 *
 * An image is made under a name that no listing shows and appears by one rename; it goes by one
 * rename and is freed after.  Its state is derived from the disk and its lock, never from a task.
 * Worker threads, all of it.
 */
#ifndef STORAGE_IMAGE_H
#define STORAGE_IMAGE_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "storage/folder.h"
#include "storage/format.h"
#include "storage/image-lock.h"
#include "storage/repository.h"

struct image {
    struct repository *repository; /* borrowed: the task holds the reference */
    char *id;                      /* owned */
    char *hidden;                  /* its name while it is made or freed; owned, or NULL */
    struct folder *folder;         /* its directory; owned */
    struct image_record record;    /* as read last */
    struct image_lock *lock;       /* owned, or NULL */
    bool settled;                  /* the work is done: the status does not show our own lock */
};

void image_close(struct image *image); /* releases the lock; NULL is fine */
DEFINE_CLEANUP(struct image, image_close)

/* Opens and reads it, without a lock.  Errors: ImageNotFound, ImageBroken (unreadable image.json),
   RepositoryUnavailable. */
bool image_open(struct repository *repository, const char *id, struct image **ret_image,
                struct error **err) _must_check_;
/* As image_open, then locks it, then reads the record again. */
bool image_open_locked(struct repository *repository, const char *id, enum image_lock_mode mode,
                       const char *holder, struct image **ret_image, struct error **err)
    _must_check_;

/* As image_open, but reads no record; takes no lock either. */
bool image_open_directory(struct repository *repository, const char *id, struct image **ret_image,
                          struct error **err) _must_check_;
/* As image_open_locked, but reads no record: for what must also work on a broken one. */
bool image_lock_directory(struct repository *repository, const char *id, enum image_lock_mode mode,
                          const char *holder, struct image **ret_image, struct error **err)
    _must_check_;

/* Reads the record again.  Errors: ImageNotFound (removed meanwhile), ImageBroken. */
bool image_read_record(struct image *image, struct error **err) _must_check_;
/* When its data was last written to, as text that is only compared; to be freed.  The lock keeps agents
   away, but a guest that runs on a mutable image shows in this only.  Error: ImageBroken. */
bool image_data_time(const struct image *image, char **ret_time, struct error **err) _must_check_;
/* Whether it has a checksum, and that is of what the data is now: of a mutable image's, not of what it
   was before somebody wrote to it. */
bool image_checksum_is_current(const struct image *image);
/* In the record only: image_write_record() makes it last. */
void image_forget_checksum(struct image *image);
/* Whether its name still leads to the directory that is open. */
bool image_is_named(const struct image *image);
/* Whether its base, if it has one, is in the repository, as far as can be told. */
bool image_base_is_there(const struct image *image);
/* ImageBroken unless it is complete and undamaged, and its base is there; RepositoryUnavailable when that
   cannot be told this time. */
bool image_require_usable(const struct image *image, struct error **err) _must_check_;
/* The same, but it may be a base that is being folded into another image, or an unfinished snapshot. */
bool image_require_sound(const struct image *image, struct error **err) _must_check_;
/* Only that its data and its base are there, whatever is in them. */
bool image_require_data(const struct image *image, struct error **err) _must_check_;
/* Conflict {generation} unless 'wanted' (if given) is the record's. */
bool image_require_generation(const struct image *image, bool given, uint64_t wanted,
                              struct error **err) _must_check_;
/* ImageHasDependents {dependents} when an image of the repository has it as base. */
bool image_require_no_dependents(const struct image *image, struct error **err) _must_check_;
/* When one beside 'known' has. */
bool image_require_no_other_dependents(const struct image *image, const char *known,
                                       struct error **err) _must_check_;

/*
 * Makes a hidden directory with 'lock' (held exclusively), 'record' and, when given, 'copy' in it;
 * the caller puts the data in, then image_publish() shows it.  Dropped before that, nothing of it
 * is ever seen.  Errors: NoSpace, RepositoryUnavailable.
 */
bool image_make(struct repository *repository, const char *id, const struct image_record *record,
                const struct copy_record *copy, const char *holder, struct image **ret_image,
                struct error **err) _must_check_;
/* fsync of the data and the directory, then the rename.  Error: ImageExists. */
bool image_publish(struct image *image, struct error **err) _must_check_;
/* Closes it, and frees what image_make() made and image_publish() did not show, or image_hide() hid. */
void image_discard(struct image *image);

/* Replaces image.json by image->record, durably. */
bool image_write_record(struct image *image, struct error **err) _must_check_;
/* Removes it: one durable rename to a hidden name; image_discard() then frees what it held.  The lock
   must be held exclusively. */
bool image_hide(struct image *image, struct error **err) _must_check_;

/* Reads copy.json.  Errors: NothingToResume when there is none, ImageBroken. */
bool image_read_copy(const struct image *image, struct copy_record *ret_copy, struct error **err)
    _must_check_;
bool image_write_copy(const struct image *image, const struct copy_record *copy, struct error **err)
    _must_check_;

/*
 * The status object of api.md.  It never fails for a damaged image: what cannot be read is
 * 'broken', with the reason.  ImageNotFound and RepositoryUnavailable remain.
 */
bool image_write_status(struct repository *repository, const char *id, struct writer *writer,
                        struct error **err) _must_check_;
/* The same for an image that is open; what is shown of its lock includes our own. */
void image_write_status_of(const struct image *image, struct writer *writer);
/* Ids of all images after 'after' (NULL: from the first), sorted, at most 'limit' (0: all);
   NULL-terminated, strings_free()'s. */
bool image_list(struct repository *repository, const char *after, size_t limit, char ***ret_ids,
                size_t *ret_count, struct error **err) _must_check_;

#endif
