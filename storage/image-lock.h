/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image locks: who works on an image, across processes and hosts.
 *
 * A lock on the image's 'lock' file, of the kind that its folder has (the data file itself may be replaced,
 * and belongs to QEMU's own locks).  It dies with its holder, so an abandoned copy is told from a
 * running one with no lock service.  Readers share it, a writer has it alone.  The writer leaves
 * who it is in the file: a hint for error messages, never a decision.
 */
#ifndef STORAGE_IMAGE_LOCK_H
#define STORAGE_IMAGE_LOCK_H

#include "agent/base/error.h"
#include "storage/folder.h"

struct image_lock;
enum image_lock_mode { IMAGE_LOCK_SHARED, IMAGE_LOCK_EXCLUSIVE };

/* At the end of a holder's text: it looks after the image, and has done in milliseconds, which is waited for
   (two seconds at most). */
#define IMAGE_LOCK_FOR_A_MOMENT "for a moment"

/*
 * Locks the image in 'folder', in a moment or not at all.  'holder' (host id and task, as
 * one line of text) is left in the file by a writer.  '*ret_lock' is the caller's.
 * Errors: ImageInUse (data: holder where known), RepositoryUnavailable (read-only file system).
 * Worker thread; blocks as long as the file server does.
 */
bool image_lock_acquire(struct folder *folder, enum image_lock_mode mode, const char *image,
                        const char *holder, struct image_lock **ret_lock, struct error **err)
    _must_check_;
/* NULL is fine.  Worker thread. */
void image_lock_release(struct image_lock *lock);
DEFINE_CLEANUP(struct image_lock, image_lock_release)

/* Whether it is still held: a file server that was away may have forgotten it.  Error: RepositoryUnavailable
   ("lost").  Worker thread. */
bool image_lock_confirm(struct image_lock *lock, const char *image, struct error **err)
    _must_check_;
/* The descriptor that it is on: a program that inherits it holds the lock too, also when it is released here.  Borrowed; -1: it is on
   none. */
int image_lock_descriptor(struct image_lock *lock);
/* The lock on a descriptor that was taken over from such a program; ownership of 'fd' is taken. */
struct image_lock *image_lock_of(int fd);

/* Whether somebody (also this process) holds it exclusively; asks only, takes nothing.
   '*ret_holder' (may be NULL) gets what the file says of them, or NULL. */
bool image_lock_is_held(struct folder *folder, bool *ret_held, char **ret_holder,
                        struct error **err) _must_check_;

#endif
