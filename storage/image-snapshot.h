/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot of an image, step by step: for image.snapshot, and for vm.snapshot, which takes it of disks
 * that a machine has, be it running.
 *
 * What an image is now becomes another, immutable one, and the image goes on as a layer over it.  No
 * contents are copied: the snapshot gets a second name for the data file, the image a new one.
 *
 *     at rest, or of a machine that is shut off    of one that runs (wish.running)
 *     lock, make, make_layer                       lock, make, make_layer
 *                                                  QEMU goes over to image_snapshot_path() (an external
 *                                                  disk snapshot that uses the file that is there)
 *     switch: the record's replacement             switch: the record's replacement
 *     (the machine is defined again: its disk has another path)
 *
 * Of one that runs the old name of the data file stays in the image's folder, for QEMU and libvirt have it open by
 * that; so a merge goes back to it (storage/image-merge.h).  Killed before the switch, storage/disk-live.h
 * finds out which of both is true.  doc/formats.md tells what a kill leaves.  Worker threads, all of it.
 */
#ifndef STORAGE_IMAGE_SNAPSHOT_H
#define STORAGE_IMAGE_SNAPSHOT_H

#include "storage/image-use.h"

/* Who wants a change of an image. */
struct image_wish {
    const char *holder; /* image_holder()'s */
    const char *vm; /* on behalf of this machine of this host, which may use it; NULL: of nobody */
    bool running;   /* its QEMU has the image open, and does its part of the change */
    bool has_generation;
    uint64_t if_generation;
    const atomic_bool *abort; /* or NULL */
};

struct image_snapshot {
    struct image *image;    /* locked exclusively; owned */
    struct image *base;     /* of the image, locked shared; owned; NULL: it has none */
    struct image *snapshot; /* locked exclusively; hidden until it is published; owned */
    char *layer;            /* the new data file; owned, NULL until it is begun */
    bool running;
    bool taken_over;          /* the snapshot is one that a kill has left unfinished */
    bool published;           /* the snapshot, by this call */
    bool committed;           /* or it cannot be told whether */
    bool checksum_is_current; /* of the image, before */
};

/* Lets all locks go; what was not published is freed. */
void image_snapshot_done(struct image_snapshot *snapshot);

/* Errors: those of image_open_locked() and the image_require_...(); ImageImmutable, ImageHasDependents. */
bool image_snapshot_lock(struct repository *repository, const char *image,
                         const struct image_wish *wish, struct image_snapshot *ret_snapshot,
                         struct error **err) _must_check_;
/* The snapshot under 'id', or one of that name which a kill has left unfinished.  ImageExists, NoSpace. */
bool image_snapshot_make(struct image_snapshot *snapshot, const char *id,
                         const struct image_wish *wish, struct error **err) _must_check_;
/* The empty layer, durably. */
bool image_snapshot_make_layer(struct image_snapshot *snapshot, const struct image_wish *wish,
                               struct error **err) _must_check_;
/* Instead of the two: the snapshot and the layer of a call that was killed after QEMU had gone over to
   'layer', a file in the image's folder.  Conflict: it is no such layer. */
bool image_snapshot_find(struct image_snapshot *snapshot, const char *layer,
                         const struct image_wish *wish, struct error **err) _must_check_;
/* The layer's path, as QEMU opens it (see storage/disk.h); its format is qcow2.  To be freed. */
char *image_snapshot_path(const struct image_snapshot *snapshot);
/* The moment.  The generation has risen.  After an error it cannot be told whether it has come. */
bool image_snapshot_switch(struct image_snapshot *snapshot, struct error **err) _must_check_;

/* Before the switch was begun, and QEMU has not gone over: takes all of it back.  '*ret_removed': the snapshot was shown, and is gone: tell
   of it.  The image is as it was, also after an error. */
bool image_snapshot_undo(struct image_snapshot *snapshot, bool *ret_removed, struct error **err)
    _must_check_;

#endif
