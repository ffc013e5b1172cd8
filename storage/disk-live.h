/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks whose data change under a machine that runs: what is true after a crash, and moves into another
 * repository.
 *
 * A snapshot, a merge or a move of a running machine's disk is done by QEMU, in its own time, and the image's
 * record follows.  An agent that is killed in between leaves a record that is behind the truth; the truth
 * is what the machine's XML says that QEMU has open.  So virt/ settles each disk with an image when it finds a
 * machine (at the start, when libvirt is back, before it starts one), and before it begins such work.
 * Worker threads, all of it.
 */
#ifndef STORAGE_DISK_LIVE_H
#define STORAGE_DISK_LIVE_H

#include "storage/disk.h"
#include "storage/image-merge.h"
#include "storage/image-resize.h"
#include "storage/image-snapshot.h"

enum disk_found {
    DISK_AS_RECORDED, /* the machine has what the image's record names */
    DISK_WENT_OVER,   /* QEMU had gone over to other data: the record now names them, too */
    DISK_OUTDATED /* the machine, which does not run, names data that the image has left: define it
                         with what disk_describe() says before it is started */
};

struct disk_settled {
    enum disk_found found;
    char *snapshot; /* the snapshot that is finished by this; owned, or NULL */
    char *removed;  /* the base that is gone by this; owned, or NULL */
};

void disk_settled_done(struct disk_settled *settled);
/*
 * 'path' is the disk's top file as the machine has it (of the live XML where it runs, 'wish->running'),
 * 'kept' are all paths of that disk in its live and its inactive XML (NULL-terminated): as
 * disk_describe() gives them.  What neither names, and the record does not, is freed.
 * A block commit or a resize that is under way, or was interrupted, is left as it is.
 * Errors: ImageInUse (a task works on it: it settles that itself), Conflict (QEMU has open what is no data
 * of this image), ImageNotFound, ImageBroken, RepositoryUnavailable.
 */
bool disk_settle(struct repository *repository, const char *image, const struct image_wish *wish,
                 const char *path, const char *const *kept, struct disk_settled *ret_settled,
                 struct error **err) _must_check_;

/*
 * ---- a move into another repository ----
 *
 * The target is an image that is incomplete, and 'broken', until QEMU has gone over to it (a block copy with
 * a pivot, not a shallow one: it stands alone).  The machine's record keeps it meanwhile from being removed.
 *
 *     disk_move_begin    QEMU copies into source.layers[0]; disk_claim_keep() may let the lock go
 *     disk_move_open     after that, or after a crash: by what the machine's XML names as mirror
 *     pivot, then disk_move_finish; the old image is released
 *     or disk_move_cancel, when QEMU has not gone over
 */
struct disk_target {
    enum image_format format;
    uint64_t size;         /* of the source, as disk_describe() has it */
    const char *user_data; /* JSON, or NULL */
};

/* Errors: ImageExists, NoSpace, RepositoryUnavailable. */
bool disk_move_begin(struct repository *repository, const char *image,
                     const struct disk_target *target, const struct disk_user *user,
                     const struct image_wish *wish, struct disk_claim **ret_claim,
                     struct error **err) _must_check_;
/* One that was begun for this machine.  WrongState: it has finished, or is none. */
bool disk_move_open(struct repository *repository, const char *image, const struct disk_user *user,
                    const struct image_wish *wish, struct disk_claim **ret_claim,
                    struct error **err) _must_check_;
/* After the pivot: the image is whole.  The claim stays the caller's, to be kept, after an error too. */
bool disk_move_finish(struct disk_claim *claim, struct error **err) _must_check_;
/* The target goes, and the claim. */
bool disk_move_cancel(struct disk_claim *claim, struct error **err) _must_check_;

#endif
