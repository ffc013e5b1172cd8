/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's own locks on a disk file: whether a guest, or any other program of QEMU, has it open.
 *
 * A guest that the agent knows nothing of holds no lock of ours.  QEMU takes open-file-description
 * locks on bytes 100 and up for what it does with a file, and on 200 and up for what others may not
 * do (block/file-posix.c, since 2.10; a change of them would break each other's versions).
 */
#ifndef STORAGE_QEMU_LOCK_H
#define STORAGE_QEMU_LOCK_H

#include <stdatomic.h>

#include "agent/base/error.h"
#include "storage/folder.h"

/*
 * ImageInUse when a program of QEMU has the file open, to read or to write; waits a second for one
 * that may just be ending, as the qemu-nbd of an agent that was killed.  Where a folder has no
 * descriptors (storage/folder.h) QEMU takes no locks, and nothing can be told.  'abort' may be NULL.
 * Other errors: RepositoryUnavailable, ImageBroken (it is not there).  Worker thread.
 */
bool qemu_lock_require_free(struct folder *folder, const char *name, const atomic_bool *abort,
                            struct error **err) _must_check_;

/* The same of one that has it open to write: readers are let be. */
bool qemu_lock_require_no_writers(struct folder *folder, const char *name, const atomic_bool *abort,
                                  struct error **err) _must_check_;

/*
 * Keeps programs of QEMU from writing to the file that 'fd' has open (to read), for as long as it is open:
 * a guest is refused meanwhile, as by another guest.  ImageInUse when one has it open to write.  Where
 * the file system knows no locks nothing can be told, and it is done all the same.
 */
bool qemu_lock_out_writers(int fd, const char *name, struct error **err) _must_check_;

#endif
