/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/qemu-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "agent/base/cleanup.h"
#include "agent/base/clock.h"
#include "agent/base/thread.h"

#define FIRST_BYTE 100 /* RAW_LOCK_PERM_BASE; RAW_LOCK_SHARED_BASE is 200 */
#define BYTE_COUNT 200 /* up to the end of the second group */
/* A reader holds the first, and by the second says that nobody may write; a writer holds the third. */
#define BYTE_READS 100
#define BYTE_NO_WRITERS 201
#define BYTE_WRITES 101
#define PATIENCE_MS 1000
#define PAUSE_MS 50

static bool
look(int fd, const char *name, off_t first, off_t count, bool *ret_held, struct error **err)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = first, .l_len = count
    };

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot tell whether a guest uses '%s'", name);
    *ret_held = lock.l_type != F_UNLCK;
    return true;
}

/* Waits a moment for nobody to hold any of the bytes. */
static bool
require_free(struct folder *folder, const char *name, off_t first, off_t count,
             const atomic_bool *abort, struct error **err)
{
    const struct timespec pause = { .tv_nsec = PAUSE_MS * NS_PER_MS };
    int64_t since_ns = clock_monotonic_ns();
    _cleanup_close_ int fd = -1;
    bool held;

    WORKER_ONLY();
    if (folder_fd(folder) < 0)
        return true;
    /* Not blocking: what lies there may be a pipe. */
    fd = openat(folder_fd(folder), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERROR_IMAGE_BROKEN, errno, "cannot open '%s'", name);
    for (;;) {
        if (!look(fd, name, first, count, &held, err))
            return false;
        if (!held)
            return true;
        if ((abort && atomic_load(abort)) ||
            clock_monotonic_ns() - since_ns > PATIENCE_MS * NS_PER_MS)
            return error_set(err, ERROR_IMAGE_IN_USE,
                             "a guest, or another program of QEMU, has '%s' open: shut it down, or "
                             "try again later",
                             name);
        (void)nanosleep(&pause, NULL);
    }
}

bool
qemu_lock_require_free(struct folder *folder, const char *name, const atomic_bool *abort,
                       struct error **err)
{
    return require_free(folder, name, FIRST_BYTE, BYTE_COUNT, abort, err);
}

bool
qemu_lock_require_no_writers(struct folder *folder, const char *name, const atomic_bool *abort,
                             struct error **err)
{
    return require_free(folder, name, BYTE_WRITES, 1, abort, err);
}

static bool
share_byte(int fd, off_t byte)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool
qemu_lock_out_writers(int fd, const char *name, struct error **err)
{
    struct flock writer = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BYTE_WRITES, .l_len = 1
    };

    if (!share_byte(fd, BYTE_READS) || !share_byte(fd, BYTE_NO_WRITERS) ||
        fcntl(fd, F_OFD_GETLK, &writer) < 0 || writer.l_type == F_UNLCK)
        return true;
    return error_set(err, ERROR_IMAGE_IN_USE,
                     "a guest, or another program of QEMU, writes to '%s': shut it down, or try "
                     "again later",
                     name);
}
