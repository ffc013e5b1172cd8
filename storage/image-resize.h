/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another size of an image, step by step: for image.resize, and for vm.resizeDisk, which gives it to disks
 * that a machine has, be it running.
 *
 * The image's data may be larger than the image, never smaller.  So data grow before the record and are
 * cut after it, between a first record that says so and a last one that does not.
 *
 *     at rest, or of a machine that is shut off    of one that runs (wish.running; it only grows)
 *     lock, mark                                   lock, mark
 *     data                                         virDomainBlockResize() to 'size'
 *     record                                       record
 *
 * Killed in between the image is 'degraded' and whole, and the same call again completes it.  Worker threads,
 * all of it.
 */
#ifndef STORAGE_IMAGE_RESIZE_H
#define STORAGE_IMAGE_RESIZE_H

#include "storage/image-snapshot.h"

struct image_resize {
    struct image *image;   /* locked exclusively; owned */
    uint64_t before, size; /* bytes; 'size' is whole sectors where the format has only these */
    bool running;
    bool marked; /* the record says that its data are being changed, by this call */
};

/* Lets the lock go. */
void image_resize_done(struct image_resize *resize);
/* Errors: those of image_open_locked() and the image_require_...(); ImageImmutable, ImageHasDependents;
   InvalidParams (param "size"): smaller without 'force', below the base, or while the machine runs. */
bool image_resize_lock(struct repository *repository, const char *image, uint64_t size, bool force,
                       const struct image_wish *wish, struct image_resize *ret_resize,
                       struct error **err) _must_check_;
/* Of a smaller one this is the moment. */
bool image_resize_mark(struct image_resize *resize, struct error **err) _must_check_;
/* At rest. */
bool image_resize_data(struct image_resize *resize, const struct image_wish *wish,
                       struct error **err) _must_check_;
/* Of one that is not smaller this is the moment. */
bool image_resize_record(struct image_resize *resize, struct error **err) _must_check_;
/* What has not grown is cut to what it was; what is to be smaller stays so, and is cut by the same call
   again.  Of one that runs: QEMU has certainly not made it larger (else leave it, and call again later). */
bool image_resize_undo(struct image_resize *resize, struct error **err) _must_check_;

#endif
