/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw files of a Gluster volume, by libgfapi.
 */
#include <config.h>

#include "storage/endpoint-kind.h"

#ifdef HAVE_GFAPI

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/folder-gluster.h"

#define ZEROS_SIZE (256 * 1024)
#define ZERO_STEP (UINT64_C(1) << 30) /* bytes of one discard: a brick answers it within a moment */
#define QCOW2_INCOMPATIBLE_LAST 79    /* the last byte of the incompatible features */
#define QCOW2_DATA_FILE_BIT 4

struct flight;

struct gluster_endpoint {
    struct endpoint endpoint;
    struct gluster_volume *volume;   /* a reference */
    glfs_fd_t *fd;                   /* owned */
    bool seek_data;                  /* whether the bricks tell holes from data */
    bool discard, zerofill;          /* whether they make holes; zero without being sent zeros */
    unsigned under_way;              /* requests */
    uint64_t sent, heard;            /* what gfapi was given, and has told of */
    int wake;                        /* an eventfd, owned: counts what gfapi has told of */
    _Atomic(struct flight *) landed; /* a stack; put onto by threads of gfapi */
};

static struct gluster_endpoint *
gluster_of(struct endpoint *endpoint)
{
    return CONTAINER_OF(endpoint, struct gluster_endpoint, endpoint);
}

static glfs_fd_t *
fd_of(struct endpoint *endpoint)
{
    return gluster_of(endpoint)->fd;
}

static bool
fail(const struct endpoint *endpoint, const char *what, uint64_t offset, struct error **err)
{
    _cleanup_free_ char *place = xprintf("%s at byte %llu of", what, (unsigned long long)offset);

    return gluster_fail(err, errno, place, endpoint->name);
}

static bool
gluster_extent(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
               uint64_t *ret_end, struct error **err)
{
    struct gluster_endpoint *gluster = gluster_of(endpoint);
    off_t data, hole;

    *ret_zero = false;
    *ret_end = end;
    if (!gluster->seek_data)
        return true;
    data = glfs_lseek(gluster->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) { /* a hole up to the end, or a file that was cut */
        struct stat status;

        if (glfs_fstat(gluster->fd, &status) == 0 && (uint64_t)status.st_size < endpoint->size)
            return error_set(err, ERROR_BACKEND_FAILED,
                             "'%s' was cut to %lld bytes while it was read", endpoint->name,
                             (long long)status.st_size);
        *ret_zero = true;
        return true;
    }
    if (data < 0 && (errno == EINVAL || errno == ENOTSUP || errno == ENOSYS)) {
        gluster->seek_data = false;
        return true;
    }
    if (data < 0)
        return fail(endpoint, "find data", offset, err);
    if ((uint64_t)data > offset) {
        *ret_zero = true;
        *ret_end = (uint64_t)data < end ? (uint64_t)data : end;
        return true;
    }
    hole = glfs_lseek(gluster->fd, (off_t)offset, SEEK_HOLE);
    if (hole > (off_t)offset && (uint64_t)hole < end)
        *ret_end = (uint64_t)hole;
    return true;
}

static bool
gluster_read(struct endpoint *endpoint, uint64_t offset, void *ret_bytes, size_t size,
             struct error **err)
{
    char *place = ret_bytes;

    while (size > 0) {
        ssize_t got = glfs_pread(fd_of(endpoint), place, size, (off_t)offset, 0, NULL);

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
gluster_write(struct endpoint *endpoint, uint64_t offset, const void *bytes, size_t size,
              struct error **err)
{
    const char *place = bytes;

    while (size > 0) {
        ssize_t written = glfs_pwrite(fd_of(endpoint), place, size, (off_t)offset, 0, NULL, NULL);

        if (written < 0)
            return fail(endpoint, "write", offset, err);
        place += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
    }
    return true;
}

static bool
is_unsupported(int errnum)
{
    return errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == EINVAL;
}

/* Whether the bricks did it without being sent zeros; not '*ret_failed': they cannot. */
static bool
zero_remotely(struct gluster_endpoint *gluster, uint64_t offset, uint64_t size, bool *ret_failed)
{
    *ret_failed = false;
    if (gluster->discard) {
        if (glfs_discard(gluster->fd, (off_t)offset, size) == 0)
            return true;
        gluster->discard = !is_unsupported(errno);
    }
    if (gluster->zerofill) {
        if (glfs_zerofill(gluster->fd, (off_t)offset, (off_t)size) == 0)
            return true;
        gluster->zerofill = !is_unsupported(errno);
    }
    *ret_failed = gluster->discard || gluster->zerofill;
    return false;
}

static bool
write_zeros(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err)
{
    static const char zeros[ZEROS_SIZE];

    while (size > 0) {
        size_t step = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);

        if (!gluster_write(endpoint, offset, zeros, step, err))
            return false;
        offset += step;
        size -= step;
    }
    return true;
}

static bool
gluster_zero(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err)
{
    while (size > 0) {
        uint64_t step = size < ZERO_STEP ? size : ZERO_STEP;
        bool failed;

        if (!zero_remotely(gluster_of(endpoint), offset, step, &failed)) {
            if (failed)
                return fail(endpoint, "zero", offset, err);
            return write_zeros(endpoint, offset, size, err);
        }
        offset += step;
        size -= step;
    }
    return true;
}

static bool
gluster_flush(struct endpoint *endpoint, struct error **err)
{
    return glfs_fsync(fd_of(endpoint), NULL, NULL) == 0 ||
           fail(endpoint, "make durable", endpoint->size, err);
}

/*
 * ---- several at a time ----
 *
 * gfapi tells of an end on a thread of its own, which only puts it onto a stack without locks and wakes
 * whoever waits; all else is done by the copy's thread.
 */

struct flight {
    struct gluster_endpoint *gluster;
    struct endpoint_request *request;
    size_t moved;         /* bytes that were read or written before, when it came in pieces */
    ssize_t result;       /* of the last piece; -1 with 'errnum' */
    int errnum;           /* both are written before it is landed, and read after */
    struct flight *below; /* on the stack */
};

static void
land(glfs_fd_t *fd, ssize_t result, struct glfs_stat *before, struct glfs_stat *after, void *data)
{
    struct flight *flight = data;
    struct gluster_endpoint *gluster = flight->gluster;
    const uint64_t one = 1;
    ssize_t written;

    (void)fd;
    (void)before;
    (void)after;
    flight->errnum = errno;
    flight->result = result;
    flight->below = atomic_load(&gluster->landed);
    while (!atomic_compare_exchange_weak(&gluster->landed, &flight->below, flight))
        ;
    /* The last that is done to the endpoint here: who has heard of all may close it.  It cannot fail. */
    written = write(gluster->wake, &one, sizeof(one));
    assert(written == sizeof(one));
}

/* Whether it has begun; false and errno. */
static bool
take_off(struct flight *flight)
{
    struct endpoint_request *request = flight->request;
    char *bytes = request->bytes ? request->bytes + flight->moved : NULL;
    size_t size = request->size - flight->moved;
    off_t offset = (off_t)(request->offset + flight->moved);
    glfs_fd_t *fd = flight->gluster->fd;

    switch (request->act) {
    case ENDPOINT_DO_READ: return glfs_pread_async(fd, bytes, size, offset, 0, land, flight) == 0;
    case ENDPOINT_DO_WRITE:
        return glfs_pwrite_async(fd, bytes, (int)size, offset, 0, land, flight) == 0;
    case ENDPOINT_DO_FLUSH: return glfs_fsync_async(fd, land, flight) == 0;
    }
    errno = EINVAL;
    return false;
}

/* Frees 'flight'. */
static void
end_flight(struct flight *flight)
{
    static const char *const acts[] = { [ENDPOINT_DO_READ] = "read",
                                        [ENDPOINT_DO_WRITE] = "write",
                                        [ENDPOINT_DO_FLUSH] = "make durable" };
    struct endpoint_request *request = flight->request;
    const struct endpoint *endpoint = &flight->gluster->endpoint;

    if (flight->result < 0) {
        errno = flight->errnum;
        fail(endpoint, acts[request->act], request->offset + flight->moved, &request->error);
    } else if (request->act != ENDPOINT_DO_FLUSH && flight->moved < request->size) {
        error_set(&request->error, ERROR_BACKEND_FAILED,
                  "'%s' ends at byte %llu: it was cut while it was read", endpoint->name,
                  (unsigned long long)(request->offset + flight->moved));
    }
    request->done = true;
    flight->gluster->under_way--;
    free(flight);
}

static void
go_on(struct flight *flight)
{
    if (take_off(flight)) {
        flight->gluster->sent++;
        return;
    }
    flight->result = -1;
    flight->errnum = errno;
    end_flight(flight);
}

static void
gluster_begin(struct endpoint *endpoint, struct endpoint_request *request)
{
    struct flight *flight = xalloc(sizeof(*flight));

    flight->gluster = gluster_of(endpoint);
    flight->request = request;
    flight->gluster->under_way++;
    go_on(flight);
}

static void
gluster_poll(struct endpoint *endpoint, struct pollfd *ret_poll)
{
    struct gluster_endpoint *gluster = gluster_of(endpoint);

    ret_poll->fd = gluster->under_way ? gluster->wake : -1;
    ret_poll->events = POLLIN;
}

static void
gluster_advance(struct endpoint *endpoint, short events)
{
    struct gluster_endpoint *gluster = gluster_of(endpoint);
    struct flight *flight, *below;
    uint64_t count;

    /* First the wake-up is taken, then what it was for: in the other order one could be missed. */
    if (events == 0 || read(gluster->wake, &count, sizeof(count)) < 0)
        return;
    gluster->heard += count;
    for (flight = atomic_exchange(&gluster->landed, NULL); flight; flight = below) {
        bool moves = flight->request->act != ENDPOINT_DO_FLUSH;

        below = flight->below;
        if (moves && flight->result > 0)
            flight->moved += (size_t)flight->result;
        if (moves && flight->result > 0 && flight->moved < flight->request->size)
            go_on(flight); /* a piece of it: the rest is still to come */
        else
            end_flight(flight);
    }
}

/* What is under way cannot be called back: it is waited for, up to the volume's ping-timeout. */
static void
gluster_cancel(struct endpoint *endpoint)
{
    const struct gluster_endpoint *gluster = gluster_of(endpoint);

    while (gluster->heard < gluster->sent) {
        struct pollfd wait = { .fd = gluster->wake, .events = POLLIN };

        if (poll(&wait, 1, -1) > 0)
            gluster_advance(endpoint, wait.revents);
    }
}

static void
gluster_close(struct endpoint *endpoint)
{
    struct gluster_endpoint *gluster = gluster_of(endpoint);

    gluster_cancel(endpoint);
    if (gluster->fd)
        (void)glfs_close(gluster->fd);
    cleanup_close_fd(&gluster->wake);
    gluster_volume_unref(gluster->volume);
    free(endpoint->name);
    free(gluster);
}

static const struct endpoint_kind gluster_kind = { .extent = gluster_extent,
                                                   .read = gluster_read,
                                                   .write = gluster_write,
                                                   .zero = gluster_zero,
                                                   .flush = gluster_flush,
                                                   .begin = gluster_begin,
                                                   .poll = gluster_poll,
                                                   .advance = gluster_advance,
                                                   .cancel = gluster_cancel,
                                                   .close = gluster_close };

/* ---- opening and making ---- */

static bool
open_data(struct gluster_endpoint *gluster, struct folder *folder, enum endpoint_mode mode,
          struct error **err)
{
    const char *name = gluster->endpoint.name;
    struct stat status;
    glfs_object_t *object =
        glfs_h_lookupat(gluster->volume->fs, folder_gluster_object(folder), name, &status, 0);

    if (!object)
        return fail(&gluster->endpoint, "open", 0, err);
    if (S_ISREG(status.st_mode))
        gluster->fd =
            glfs_h_open(gluster->volume->fs, object, mode == ENDPOINT_READ ? O_RDONLY : O_RDWR);
    if (!S_ISREG(status.st_mode))
        error_set(err, ERROR_BACKEND_FAILED,
                  S_ISLNK(status.st_mode) ? "'%s' is a symbolic link: name the file itself"
                                          : "'%s' is not a file",
                  name);
    else if (!gluster->fd)
        fail(&gluster->endpoint, "open", 0, err);
    (void)glfs_h_close(object);
    gluster->endpoint.size = (uint64_t)status.st_size;
    return gluster->fd != NULL;
}

bool
endpoint_open_gluster(struct folder *folder, const char *name, enum endpoint_mode mode,
                      struct endpoint **ret_endpoint, struct error **err)
{
    struct gluster_endpoint *gluster = xalloc(sizeof(*gluster));

    gluster->endpoint.kind = &gluster_kind;
    gluster->endpoint.method = "libgfapi";
    gluster->endpoint.name = xstrdup(name);
    gluster->volume = gluster_volume_ref(folder_gluster_volume(folder));
    gluster->seek_data = gluster->discard = gluster->zerofill = true;
    gluster->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (gluster->wake < 0) {
        error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot open '%s'", name);
    } else if (open_data(gluster, folder, mode, err)) {
        *ret_endpoint = &gluster->endpoint;
        return true;
    }
    gluster_close(&gluster->endpoint);
    return false;
}

/* One bit of the header, which QEMU has kept in its place since version 3 of the format. */
static bool
require_own_data(struct endpoint *file, struct error **err)
{
    unsigned char header[QCOW2_INCOMPATIBLE_LAST + 1];

    if (file->size < sizeof(header))
        return error_set(err, ERROR_BACKEND_FAILED, "'%s' is no qcow2: it is too short",
                         file->name);
    if (!gluster_read(file, 0, header, sizeof(header), err))
        return false;
    return (header[QCOW2_INCOMPATIBLE_LAST] & QCOW2_DATA_FILE_BIT) == 0 ||
           error_set(err, ERROR_CONFLICT,
                     "'%s' names another file that holds its data: that is not followed",
                     file->name);
}

bool
endpoint_name_on_volume(struct folder *folder, const char *name, bool allow_base, char **ret_file,
                        struct error **err)
{
    _cleanup_(endpoint_closep) struct endpoint *endpoint = NULL;
    _cleanup_free_ char *file = NULL;
    int dirfd;

    /* First as a plain file: no link, and there at all. */
    if (!endpoint_open_gluster(folder, name, ENDPOINT_READ, &endpoint, err) ||
        (!allow_base && !require_own_data(endpoint, err)))
        return false;
    /* A directory of a volume has no descriptor that QEMU could be given: it is told a path. */
    file = folder_program_name(folder, name, &dirfd);
    *ret_file = allow_base ? xstrdup(file)
                           : xprintf("json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":"
                                     "{\"driver\":\"gluster\",\"filename\":\"%s\"}}",
                                     file);
    return true;
}

#else

bool
endpoint_open_gluster(struct folder *folder, const char *name, enum endpoint_mode mode,
                      struct endpoint **ret_endpoint, struct error **err)
{
    (void)folder;
    (void)mode;
    (void)ret_endpoint;
    return error_set(err, ERROR_INTERNAL, "'%s' is on a volume, without libgfapi", name);
}

bool
endpoint_name_on_volume(struct folder *folder, const char *name, bool allow_base, char **ret_file,
                        struct error **err)
{
    (void)folder;
    (void)allow_base;
    (void)ret_file;
    return error_set(err, ERROR_INTERNAL, "'%s' is on a volume, without libgfapi", name);
}

#endif
