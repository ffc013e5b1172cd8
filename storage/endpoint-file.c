/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw files and block devices.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/endpoint-kind.h"

#define ZEROS_SIZE (256 * 1024)

struct file_endpoint {
    struct endpoint endpoint;
    int fd;
    bool seek_data;  /* whether the file system tells holes from data */
    bool punch_hole; /* whether it makes holes */
    bool zero_range; /* whether it can zero without being sent zeros */
};

static struct file_endpoint *
file_of(struct endpoint *endpoint)
{
    return CONTAINER_OF(endpoint, struct file_endpoint, endpoint);
}

static bool
fail(const struct endpoint *endpoint, const char *what, uint64_t offset, struct error **err)
{
    return error_errno(
        err,
        errno == ESTALE || errno == EROFS ? ERROR_REPOSITORY_UNAVAILABLE : ERROR_BACKEND_FAILED,
        errno, "cannot %s '%s' at byte %llu", what, endpoint->name, (unsigned long long)offset);
}

static bool
file_extent(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
            uint64_t *ret_end, struct error **err)
{
    struct file_endpoint *file = file_of(endpoint);
    off_t data, hole;

    *ret_zero = false;
    *ret_end = end;
    if (!file->seek_data)
        return true;
    data = lseek(file->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 &&
        errno == ENXIO) { /* no data behind: a hole up to the end, or a file that was cut */
        struct stat status;

        if (fstat(file->fd, &status) == 0 && S_ISREG(status.st_mode) &&
            (uint64_t)status.st_size < endpoint->size)
            return error_set(err, ERROR_BACKEND_FAILED,
                             "'%s' was cut to %lld bytes while it was read", endpoint->name,
                             (long long)status.st_size);
        *ret_zero = true;
        return true;
    }
    if (data < 0) {
        file->seek_data = false;
        return true;
    }
    if ((uint64_t)data > offset) {
        *ret_zero = true;
        *ret_end = (uint64_t)data < end ? (uint64_t)data : end;
        return true;
    }
    hole = lseek(file->fd, (off_t)offset, SEEK_HOLE);
    if (hole > 0 && (uint64_t)hole < end)
        *ret_end = (uint64_t)hole;
    return true;
}

static bool
file_read(struct endpoint *endpoint, uint64_t offset, void *ret_bytes, size_t size,
          struct error **err)
{
    char *place = ret_bytes;

    while (size > 0) {
        ssize_t got = pread(file_of(endpoint)->fd, place, size, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(endpoint, "read", offset, err);
        if (got == 0)
            return error_set(err, ERROR_BACKEND_FAILED,
                             "'%s' ends at byte %llu: it was cut while it was read", endpoint->name,
                             (unsigned long long)offset);
        place += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

static bool
file_write(struct endpoint *endpoint, uint64_t offset, const void *bytes, size_t size,
           struct error **err)
{
    const char *place = bytes;

    while (size > 0) {
        ssize_t written = pwrite(file_of(endpoint)->fd, place, size, (off_t)offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail(endpoint, "write", offset, err);
        place += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
    }
    return true;
}

/* Whether 'mode' did it; '*supported' becomes false when it never will. */
static bool
allocate(int fd, int mode, uint64_t offset, uint64_t size, bool *supported)
{
    int status;

    do
        status = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
    while (status < 0 && errno == EINTR);
    /* A block device refuses (EINVAL) what does not begin and end with a sector, and only that. */
    if (status < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV))
        *supported = false;
    return status == 0;
}

static bool
file_zero(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err)
{
    static const char zeros[ZEROS_SIZE];
    struct file_endpoint *file = file_of(endpoint);

    if (size == 0 ||
        (file->punch_hole &&
         allocate(file->fd, FALLOC_FL_PUNCH_HOLE, offset, size, &file->punch_hole)) ||
        (file->zero_range &&
         allocate(file->fd, FALLOC_FL_ZERO_RANGE, offset, size, &file->zero_range)))
        return true;
    while (size > 0) {
        size_t step = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);

        if (!file_write(endpoint, offset, zeros, step, err))
            return false;
        offset += step;
        size -= step;
    }
    return true;
}

static bool
file_flush(struct endpoint *endpoint, struct error **err)
{
    return fdatasync(file_of(endpoint)->fd) == 0 ||
           fail(endpoint, "make durable", endpoint->size, err);
}

/* Whatever is in the way (another file system, one without reflinks, an end that is no block's): what
   is then copied tells of a real fault itself. */
static bool
file_clone(struct endpoint *target, const struct endpoint *source, uint64_t offset, uint64_t size)
{
    struct file_clone_range range = {
        .src_fd = CONTAINER_OF(source, const struct file_endpoint, endpoint)->fd,
        .src_offset = offset,
        .src_length = size,
        .dest_offset = offset
    };

    return ioctl(file_of(target)->fd, FICLONERANGE, &range) == 0;
}

static void
file_close(struct endpoint *endpoint)
{
    struct file_endpoint *file = file_of(endpoint);

    if (file->fd >= 0)
        (void)close(file->fd);
    free(endpoint->name);
    free(file);
}

static const struct endpoint_kind file_kind = { file_extent, file_read,  file_write, file_zero,
                                                file_flush,  file_clone, file_close };

static bool
measure(struct file_endpoint *file, struct error **err)
{
    struct stat status;

    if (fstat(file->fd, &status) < 0)
        return fail(&file->endpoint, "look at", 0, err);
    if (S_ISREG(status.st_mode)) {
        file->endpoint.size = (uint64_t)status.st_size;
        return true;
    }
    if (S_ISBLK(status.st_mode)) {
        file->seek_data = false;
        return ioctl(file->fd, BLKGETSIZE64, &file->endpoint.size) == 0 ||
               fail(&file->endpoint, "measure", 0, err);
    }
    return error_set(err, ERROR_BACKEND_FAILED, "'%s' is neither a file nor a block device",
                     file->endpoint.name);
}

bool
endpoint_open_file(int dirfd, const char *name, enum endpoint_mode mode,
                   struct endpoint **ret_endpoint, struct error **err)
{
    struct file_endpoint *file = xalloc(sizeof(*file));

    file->endpoint.kind = &file_kind;
    file->endpoint.name = xstrdup(name);
    file->seek_data = file->punch_hole = file->zero_range = true;
    /* Not blocking: a name that is a pipe must not hold the worker. */
    file->fd =
        openat(dirfd, name,
               (mode == ENDPOINT_WRITE ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file->fd < 0) {
        if (errno == ELOOP)
            error_set(err, ERROR_BACKEND_FAILED, "'%s' is a symbolic link: name the file itself",
                      name);
        else
            fail(&file->endpoint, "open", 0, err);
    } else if (measure(file, err)) {
        if (mode == ENDPOINT_READ)
            (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        *ret_endpoint = &file->endpoint;
        return true;
    }
    file_close(&file->endpoint);
    return false;
}
