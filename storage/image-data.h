/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that hold an image's bits: which one counts, and what stands beside it.
 *
 * image.json names its data file, so that its replacement is the one moment at which contents and
 * record change together.  A data file that it does not name is a left-over of something that was
 * interrupted: whoever holds the lock exclusively may unlink it.  doc/formats.md has the argument.
 * Worker threads, all of it.
 */
#ifndef STORAGE_IMAGE_DATA_H
#define STORAGE_IMAGE_DATA_H

#include "storage/endpoint.h"
#include "storage/image.h"

/* A fresh "data-UUID"; to be freed. */
char *image_new_data_name(void);
/* How the qcow2 header of an overlay names the data of its base: "../BASE/DATA"; to be freed. */
char *image_backing_name(const struct image *base);

/* What an image goes on with. */
struct image_contents {
    enum image_format format;
    uint64_t size;          /* bytes that it shows */
    const char *base;       /* borrowed, or NULL */
    const char *data;       /* the file, in the image's directory; borrowed */
    bool checksum_is_valid; /* it shows what the recorded checksum is of */
};

/*
 * Replaces its record by one that names other contents, and raises its generation: the moment of
 * each change of contents.  They must be durable.  After an error the image may have gone over all the same:
 * then nothing may be removed, neither of the old nor of the new.
 */
bool image_go_over(struct image *image, const struct image_contents *contents, struct error **err)
    _must_check_;

/* Opens its contents: of data that goes on behind the image's end (a resize was interrupted) only
   what the image shows.  Errors: those of endpoint_open(). */
bool image_open_data(const struct image *image, enum endpoint_mode mode, const atomic_bool *abort,
                     struct endpoint **ret_endpoint, struct error **err) _must_check_;

/* Whether there are data files that its record does not name.  Error: RepositoryUnavailable. */
bool image_has_left_over_data(const struct image *image, bool *ret_found, struct error **err)
    _must_check_;
/* Unlinks them.  The lock must be held exclusively, and the record be the one on disk. */
bool image_drop_left_over_data(const struct image *image, struct error **err) _must_check_;

/* Whether it is a snapshot that has not finished: its data are still those of the image that it is
   made from, and change with it. */
bool image_is_unfinished_snapshot(const struct image *image);
/* ImageBroken for one, and for a base that is being folded into another image. */
bool image_require_settled(const struct image *image, struct error **err) _must_check_;
/* WrongState when its data file has a second name: whoever changes it in place would change an unfinished
   snapshot too. */
bool image_require_own_data(const struct image *image, struct error **err) _must_check_;
/* WrongState when a resize or a merge of it was interrupted: it shows what it should, but its data file is
   not yet what the next change of it could build upon. */
bool image_require_finished(const struct image *image, struct error **err) _must_check_;
/* The one and the other alone. */
bool image_require_resized(const struct image *image, struct error **err) _must_check_;
bool image_require_merged(const struct image *image, struct error **err) _must_check_;
/* Whether two images have one data file. */
bool image_shares_data(const struct image *image, const struct image *other);

/* The data file in the image's folder, other than its record's, that is a second name of the data of 'base'; to be
   freed.  NULL: there is none. */
bool image_find_own_name(const struct image *image, const struct image *base, char **ret_name,
                         struct error **err) _must_check_;
/* Unlinks those that the record does not name and that are not in 'kept' (paths, NULL-terminated). */
bool image_drop_left_over_data_but(const struct image *image, const char *const *kept,
                                   struct error **err) _must_check_;

#endif
