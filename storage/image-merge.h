/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A merge of an image with its base, step by step: for image.merge, and for vm.mergeDisk, which does it to
 * disks that a machine has, be it running.
 *
 * What the image holds is written into the data of its base, in place, which the image then takes over,
 * and the base is gone.  In place is safe because the image shows the same whatever part of it was written: where it
 * holds data it shows its own.  Nobody else may see the base meanwhile, so its record says first what
 * happens to it.
 *
 *     at rest, or of a machine that is shut off    of one that runs (wish.running)
 *     lock, mark                                   lock, mark
 *     fold                                         QEMU writes: an active block commit of the disk's top
 *                                                  into image_merge_path(), then the pivot to it
 *     switch: the record's replacement             switch: the record's replacement
 *     remove_base                                  remove_base, or later: see there
 *     (the machine is defined again: its disk has another path)
 *
 * A block commit outlives the agent, and the locks do not: the marks, and the machine's record, keep others
 * away then.  So lock may be called again at any time and says where the merge stands.  Worker threads, all
 * of it.
 */
#ifndef STORAGE_IMAGE_MERGE_H
#define STORAGE_IMAGE_MERGE_H

#include "storage/image-snapshot.h"

struct image_merge {
    struct image *image; /* locked exclusively; owned */
    struct image *base;  /* locked exclusively; owned; NULL: it is gone already */
    struct image *below; /* what the base stands on, locked shared; owned; NULL: nothing */
    char *data;          /* the name of the base's data in the image; owned; NULL: not yet */
    bool running;
    bool linked;       /* that name was made by this call */
    bool has_happened; /* before: only the base is to be removed */
    bool was_marked;   /* by a call before, which may have written */
    bool marked;       /* by this one */
    bool written;      /* something was, perhaps; of a block commit: set it when it is begun */
    bool checksum_is_current; /* before */
};

/* Lets all locks go. */
void image_merge_done(struct image_merge *merge);

/* Errors: those of image_open_locked() and the image_require_...(); ImageHasDependents, WrongState
   (there is no base, or a resize was interrupted). */
bool image_merge_lock(struct repository *repository, const char *image,
                      const struct image_wish *wish, struct image_merge *ret_merge,
                      struct error **err) _must_check_;
/* Both records say what happens; the base is nobody else's from then on. */
bool image_merge_mark(struct image_merge *merge, struct error **err) _must_check_;
/* At rest.  What the image holds is written into the base. */
bool image_merge_fold(struct image_merge *merge, const struct image_wish *wish, struct error **err)
    _must_check_;
/*
 * After mark.  The path by which QEMU is to know the base's data, as image_snapshot_path(): that of a name in
 * the image's own folder.  A machine that was started before that name was there knows it by the base's own
 * (disk_describe() prefers this one), and pivots to that: then the base cannot be removed until it stops.
 */
char *image_merge_path(const struct image_merge *merge);
/* The moment: of one that runs, after the pivot. */
bool image_merge_switch(struct image_merge *merge, struct error **err) _must_check_;
/*
 * The base goes, and the merge has ended.  image_merge_removed() says whether it did by this call: tell
 * of it, also after an error.  'kept' (NULL-terminated, or NULL) are paths that the machine has: WrongState
 * while the base's own is one of them, and the image stays 'degraded', whole, until this is called again.
 */
bool image_merge_remove_base(struct image_merge *merge, const char *const *kept, struct error **err)
    _must_check_;
bool image_merge_removed(const struct image_merge *merge);
/* The merge was not done.  Takes the marks back if nothing can have been written. */
bool image_merge_undo(struct image_merge *merge, struct error **err) _must_check_;

#endif
