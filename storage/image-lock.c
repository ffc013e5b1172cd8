/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/text.h"
#include "agent/base/thread.h"
#include "storage/format.h"

#define HOLDER_SIZE_MAX 512

struct image_lock {
    int fd;
};

/* What the file says of its holder, or NULL. */
static char *
read_holder(int fd)
{
    char text[HOLDER_SIZE_MAX + 1];
    ssize_t size = pread(fd, text, HOLDER_SIZE_MAX, 0);

    if (size <= 0)
        return NULL;
    text[size] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return *text ? xstrdup(text) : NULL;
}

/* A writer is named; readers leave no name, and what the file says is of a writer before them. */
static bool
in_use(int fd, const char *image, struct error **err)
{
    struct flock writer = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    bool named = fcntl(fd, F_OFD_GETLK, &writer) == 0 && writer.l_type == F_WRLCK;
    _cleanup_free_ char *holder = named ? read_holder(fd) : NULL;

    error_set(err, ERROR_IMAGE_IN_USE, "image '%s' is in use%s%s: wait for it, or try again later",
              image, holder ? " by " : "", holder ? holder : "");
    return holder ? error_data_text(err, "holder", "%s", holder) : false;
}

/* A hint: when it cannot be written, the lock is held all the same. */
static void
write_holder(int fd, const char *holder)
{
    ssize_t written = -1;

    if (ftruncate(fd, 0) == 0)
        written = pwrite(fd, holder, strnlen(holder, HOLDER_SIZE_MAX), 0);
    (void)written;
}

static bool
open_lock(int image_fd, int access, const char *image, int *ret_fd, struct error **err)
{
    /* O_NONBLOCK: a pipe planted here would keep the worker for ever. */
    const int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    _cleanup_close_ int fd = openat(image_fd, FORMAT_LOCK, access | flags);
    struct stat status;

    /* An image that was made by hand, or lost its lock file, can still be worked on. */
    if (fd < 0 && errno == ENOENT)
        fd = openat(image_fd, FORMAT_LOCK, O_RDWR | O_CREAT | flags, 0644);
    if (fd < 0 && errno == EROFS)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                         "cannot lock image '%s': the file system is read-only", image);
    if (fd < 0 && errno != ELOOP && errno != EISDIR && errno != ENXIO)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot lock image '%s'",
                           image);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(err, ERROR_IMAGE_BROKEN,
                         "the lock of image '%s' is not a regular file: make it one, or remove it",
                         image);
    *ret_fd = TAKE_FD(fd);
    return true;
}

bool
image_lock_acquire(int image_fd, enum image_lock_mode mode, const char *image, const char *holder,
                   struct image_lock **ret_lock, struct error **err)
{
    bool exclusive = mode == IMAGE_LOCK_EXCLUSIVE;
    _cleanup_close_ int fd = -1;
    struct flock lock = { .l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };

    WORKER_ONLY();
    if (!open_lock(image_fd, exclusive ? O_RDWR : O_RDONLY, image, &fd, err))
        return false;
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        if (errno == EAGAIN || errno == EACCES)
            return in_use(fd, image, err);
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot lock image '%s'",
                           image);
    }
    if (exclusive && holder)
        write_holder(fd, holder);
    *ret_lock = xalloc(sizeof(**ret_lock));
    (*ret_lock)->fd = TAKE_FD(fd);
    return true;
}

void
image_lock_release(struct image_lock *lock)
{
    if (!lock)
        return;
    (void)close(lock->fd);
    free(lock);
}

bool
image_lock_is_held(int image_fd, bool *ret_held, char **ret_holder, struct error **err)
{
    _cleanup_close_ int fd =
        openat(image_fd, FORMAT_LOCK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

    *ret_held = false;
    if (ret_holder)
        *ret_holder = NULL;
    if (fd < 0 && (errno == ENOENT || errno == ELOOP))
        return true;
    if (fd < 0)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot look at an image's lock");
    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot look at an image's lock");
    *ret_held = lock.l_type != F_UNLCK;
    if (*ret_held && ret_holder)
        *ret_holder = read_holder(fd);
    return true;
}
