/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw files and block devices.
 *
 * Several requests at a time go past the page cache (O_DIRECT) through io_uring: that is fastest for
 * what is not in the cache, and keeps a copy from pushing out what others have there.  What is in the
 * cache already is read from there, chunk by chunk as mincore() tells; what no O_DIRECT takes (tmpfs,
 * the end of a file that is no block's) is read and written as ever.  doc/copy.md has the figures.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "storage/copy.h"
#include "storage/endpoint-kind.h"
#include "storage/qemu-lock.h"
#include "storage/uring.h"

#ifndef RWF_DONTCACHE /* Debian 12's headers are older than the kernels that take it */
#define RWF_DONTCACHE 0x00000080
#endif

#define ZEROS_SIZE (256 * 1024)
#define ALIGNMENT 4096 /* bytes: of what goes past the page cache; no device has larger sectors */

struct file_endpoint {
    struct endpoint endpoint;
    int fd;
    bool seek_data;  /* whether the file system tells holes from data */
    bool punch_hole; /* whether it makes holes */
    bool zero_range; /* whether it can zero without being sent zeros */
    int direct_fd;   /* the same with O_DIRECT, when the first request is begun; or -1 */
    bool tried_direct, direct_refused;
    bool drops_pages;               /* whether it takes RWF_DONTCACHE */
    bool went_direct, went_plainly; /* by what requests were done so far */
    struct uring *uring; /* owned; NULL: none was needed, or is to be had, or it is another's */
    struct file_endpoint *ring_owner; /* whose is used: its own, or another's that outlives it */
    void *map;                        /* all of a file that is read, only for mincore(); or NULL */
    size_t map_size;
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

/* ---- several at a time ---- */

static bool
has_direct(int fd)
{
    struct statfs kind;
    struct stat status;

    /* Of a device the file system is that of its name, mostly a tmpfs. */
    if (fstat(fd, &status) < 0 || fstatfs(fd, &kind) < 0 || !S_ISREG(status.st_mode))
        return S_ISBLK(status.st_mode);
    /* Newer kernels take O_DIRECT there, and then copy all the same. */
    return kind.f_type != TMPFS_MAGIC && kind.f_type != RAMFS_MAGIC;
}

/* Opens the same file once more, by its descriptor: its name may lead elsewhere by now. */
static void
try_direct(struct file_endpoint *file)
{
    int access = fcntl(file->fd, F_GETFL);
    char path[64];

    file->tried_direct = true;
    if (access < 0 || !has_direct(file->fd))
        return;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
    if (!file->ring_owner->uring)
        file->ring_owner->uring = uring_new();
    if (file->ring_owner->uring)
        file->direct_fd = open(path, (access & O_ACCMODE) | O_DIRECT | O_CLOEXEC);
    if ((access & O_ACCMODE) == O_RDONLY && file->direct_fd >= 0) {
        file->map_size = file->endpoint.size;
        file->map = mmap(NULL, file->map_size, PROT_READ, MAP_SHARED, file->fd, 0);
        if (file->map == MAP_FAILED)
            file->map = NULL;
    }
}

/* Whether all of it is in the page cache. */
static bool
is_cached(const struct file_endpoint *file, uint64_t offset, size_t size)
{
    unsigned char pages[COPY_CHUNK_SIZE / ALIGNMENT];
    size_t count = size / (size_t)sysconf(_SC_PAGESIZE);

    if (!file->map || count > sizeof(pages) || mincore((char *)file->map + offset, size, pages) < 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!(pages[i] & 1))
            return false;
    return true;
}

static bool
goes_direct(const struct file_endpoint *file, const struct endpoint_request *request)
{
    if (file->direct_fd < 0 || file->direct_refused)
        return false;
    if (request->act == ENDPOINT_DO_FLUSH)
        return true;
    return request->offset % ALIGNMENT == 0 && request->size % ALIGNMENT == 0 &&
           (uintptr_t)request->bytes % ALIGNMENT == 0 &&
           (request->act == ENDPOINT_DO_WRITE || !is_cached(file, request->offset, request->size));
}

/*
 * Through the page cache, but so that what is written goes to the device at once and does not stay:
 * where nothing is read from a device, the kernel's own writing is faster than O_DIRECT, which fills a
 * hole of the file with each request.  Linux 6.14 and later.
 */
static bool
write_through_cache(struct file_endpoint *file, struct endpoint_request *request)
{
    struct iovec bytes = { request->bytes, request->size };
    ssize_t written;

    if (request->act != ENDPOINT_DO_WRITE || !request->from_cache || !file->drops_pages)
        return false;
    written = pwritev2(file->fd, &bytes, 1, (off_t)request->offset, RWF_DONTCACHE);
    file->drops_pages = written == (ssize_t)request->size;
    file->went_plainly |= file->drops_pages;
    /* Whatever was in its way, the usual way meets it too, and tells of it. */
    request->done = file->drops_pages;
    return request->done;
}

/* From byte 'begin' of the request on, through the page cache. */
static void
do_plainly(struct file_endpoint *file, struct endpoint_request *request, size_t begin)
{
    struct endpoint *endpoint = &file->endpoint;
    uint64_t offset = request->offset + begin;
    size_t size = request->size - begin;

    if (request->act == ENDPOINT_DO_READ)
        (void)!file_read(endpoint, offset, request->bytes + begin, size, &request->error);
    else if (request->act == ENDPOINT_DO_WRITE)
        (void)!file_write(endpoint, offset, request->bytes + begin, size, &request->error);
    else
        (void)!file_flush(endpoint, &request->error);
    request->done = true;
}

static void
file_begin(struct endpoint *endpoint, struct endpoint_request *request)
{
    struct file_endpoint *file = file_of(endpoint);

    if (!file->tried_direct)
        try_direct(file);
    if (request->act == ENDPOINT_DO_READ)
        request->from_cache =
            file->direct_fd < 0 || is_cached(file, request->offset, request->size);
    else if (write_through_cache(file, request))
        return;
    if (goes_direct(file, request) &&
        uring_begin(file->ring_owner->uring, file->direct_fd, request)) {
        file->went_direct |= request->act != ENDPOINT_DO_FLUSH;
        return;
    }
    file->went_plainly |= request->act != ENDPOINT_DO_FLUSH;
    do_plainly(file, request, 0);
}

static void
file_poll(struct endpoint *endpoint, struct pollfd *ret_poll)
{
    struct file_endpoint *file = file_of(endpoint);

    ret_poll->fd = file->uring ? uring_poll(file->uring) : -1;
    ret_poll->events = POLLIN;
}

static void
settle(struct file_endpoint *file, struct endpoint_request *request, int result)
{
    struct endpoint *endpoint = &file->endpoint;

    if (result == -EAGAIN || result == -EINTR || result == -EINVAL) {
        file->direct_refused |= result == -EINVAL; /* whatever it wants aligned in another way */
        do_plainly(file, request, 0);
    } else if (result < 0) {
        errno = -result;
        fail(endpoint, endpoint_act_name(request->act), request->offset, &request->error);
        request->done = true;
    } else if (request->act != ENDPOINT_DO_FLUSH && (size_t)result < request->size) {
        do_plainly(file, request, (size_t)result);
    } else {
        request->done = true;
    }
}

static void
file_advance(struct endpoint *endpoint, short events)
{
    struct file_endpoint *file = file_of(endpoint);
    struct endpoint_request *request;
    int result;

    (void)events; /* asking it costs nothing */
    while ((request = uring_next(file->uring, &result)))
        settle(file_of(request->endpoint), request, result);
}

/* The kernel holds the memory until it has ended. */
static void
file_cancel(struct endpoint *endpoint)
{
    struct file_endpoint *file = file_of(endpoint);

    while (file->uring && uring_wait(file->uring))
        file_advance(endpoint, 0);
}

static void
file_close(struct endpoint *endpoint)
{
    struct file_endpoint *file = file_of(endpoint);

    uring_free(file->uring);
    if (file->map)
        (void)munmap(file->map, file->map_size);
    if (file->direct_fd >= 0)
        (void)close(file->direct_fd);
    if (file->fd >= 0)
        (void)close(file->fd);
    free(endpoint->name);
    free(file);
}

static void
file_tell_method(const struct endpoint *endpoint, struct text *text)
{
    const struct file_endpoint *file = CONTAINER_OF(endpoint, const struct file_endpoint, endpoint);

    text_append_string(text, file->went_direct ? "O_DIRECT" : "");
    text_append_string(text, file->went_direct && file->went_plainly ? " and " : "");
    text_append_string(text, file->went_plainly || !file->went_direct ? "the page cache" : "");
}

static const struct endpoint_kind file_kind = { .extent = file_extent,
                                                .read = file_read,
                                                .write = file_write,
                                                .zero = file_zero,
                                                .flush = file_flush,
                                                .clone = file_clone,
                                                .begin = file_begin,
                                                .poll = file_poll,
                                                .advance = file_advance,
                                                .cancel = file_cancel,
                                                .close = file_close,
                                                .tell_method = file_tell_method };

void
endpoint_file_share_ring(struct endpoint *file, struct endpoint *owner)
{
    file_of(file)->ring_owner = file_of(owner);
}

int
endpoint_file_fd(const struct endpoint *file)
{
    return CONTAINER_OF(file, const struct file_endpoint, endpoint)->fd;
}

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
    file->direct_fd = -1;
    file->ring_owner = file;
    file->endpoint.name = xstrdup(name);
    file->seek_data = file->punch_hole = file->zero_range = file->drops_pages = true;
    /* Not blocking: a name that is a pipe must not hold the worker. */
    file->fd =
        openat(dirfd, name,
               (mode == ENDPOINT_READ ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file->fd < 0) {
        if (errno == ELOOP)
            error_set(err, ERROR_BACKEND_FAILED, "'%s' is a symbolic link: name the file itself",
                      name);
        else
            fail(&file->endpoint, "open", 0, err);
    } else if (measure(file, err) &&
               (mode != ENDPOINT_READ || qemu_lock_out_writers(file->fd, name, err))) {
        if (mode == ENDPOINT_READ)
            (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        *ret_endpoint = &file->endpoint;
        return true;
    }
    file_close(&file->endpoint);
    return false;
}
