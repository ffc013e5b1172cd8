/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw files of a Gluster volume, by libgfapi.
 */
#include <config.h>

#include "storage/endpoint-kind.h"

#ifdef HAVE_GFAPI

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/folder-gluster.h"

#define ZEROS_SIZE (256 * 1024)
#define ZERO_STEP (UINT64_C(1) << 30) /* bytes of one discard: a brick answers it within a moment */
#define UPLOAD_SIZE (1024 * 1024)
#define SECTOR_SIZE 512
#define DATA_MODE 0600             /* a disk holds its guest's secrets */
#define QCOW2_INCOMPATIBLE_LAST 79 /* the last byte of the incompatible features */
#define QCOW2_DATA_FILE_BIT 4

struct gluster_endpoint {
    struct endpoint endpoint;
    struct gluster_volume *volume; /* a reference */
    glfs_fd_t *fd;                 /* owned */
    bool seek_data;                /* whether the bricks tell holes from data */
    bool discard, zerofill;        /* whether they make holes; zero without being sent zeros */
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

static void
gluster_close(struct endpoint *endpoint)
{
    struct gluster_endpoint *gluster = gluster_of(endpoint);

    if (gluster->fd)
        (void)glfs_close(gluster->fd);
    gluster_volume_unref(gluster->volume);
    free(endpoint->name);
    free(gluster);
}

static const struct endpoint_kind gluster_kind = { .extent = gluster_extent,
                                                   .read = gluster_read,
                                                   .write = gluster_write,
                                                   .zero = gluster_zero,
                                                   .flush = gluster_flush,
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
            glfs_h_open(gluster->volume->fs, object, mode == ENDPOINT_WRITE ? O_RDWR : O_RDONLY);
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
    gluster->endpoint.name = xstrdup(name);
    gluster->volume = gluster_volume_ref(folder_gluster_volume(folder));
    gluster->seek_data = gluster->discard = gluster->zerofill = true;
    if (open_data(gluster, folder, mode, err)) {
        *ret_endpoint = &gluster->endpoint;
        return true;
    }
    gluster_close(&gluster->endpoint);
    return false;
}

/* QEMU's gluster driver takes a last sector that is not whole for a fault.  What lies behind an image's
   end is not shown. */
static uint64_t
whole_sectors(uint64_t size)
{
    return (size + SECTOR_SIZE - 1) / SECTOR_SIZE * SECTOR_SIZE;
}

static bool
size_raw(glfs_fd_t *fd, const char *name, uint64_t size, bool preallocate, struct error **err)
{
    if (glfs_ftruncate(fd, (off_t)whole_sectors(size), NULL, NULL) < 0) {
        if (errno == EFBIG || errno == EINVAL)
            return error_param(
                err, "size", "is more than the volume holds in one file: %" PRIu64 " bytes", size);
        return gluster_fail(err, errno, "make", name);
    }
    return !preallocate || glfs_fallocate(fd, 0, 0, size) == 0 ||
           gluster_fail(err, errno, "reserve the space of", name);
}

/* The few hundred kilobytes that a new qcow2 consists of. */
static bool
upload(int from, glfs_fd_t *to, const char *name, struct error **err)
{
    _cleanup_free_ char *bytes = xalloc(UPLOAD_SIZE);
    off_t offset = 0;
    struct stat status;
    ssize_t got;

    if (fstat(from, &status) < 0 ||
        ftruncate(from, (off_t)whole_sectors((uint64_t)status.st_size)) < 0)
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot look at what qemu-img made");
    while ((got = pread(from, bytes, UPLOAD_SIZE, offset)) > 0) {
        for (ssize_t done = 0, count; done < got; done += count) {
            count =
                glfs_pwrite(to, bytes + done, (size_t)(got - done), offset + done, 0, NULL, NULL);
            if (count < 0)
                return gluster_fail(err, errno, "write", name);
        }
        offset += got;
    }
    return got == 0 ||
           error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot read what qemu-img has made");
}

/* QEMU's programs end a connection to a volume with glfs_fini(), ten seconds each time: so qemu-img
   makes the file in memory, and it is written from here. */
static bool
make_qcow2(glfs_fd_t *fd, const char *name, uint64_t size, const char *base_name,
           enum image_format base_format, const atomic_bool *abort, struct error **err)
{
    _cleanup_close_ int memory = memfd_create("qcow2", MFD_CLOEXEC);
    _cleanup_free_ char *file = xprintf("/proc/%d/fd/%d", (int)getpid(), memory);
    const struct qcow2_making making = { .file = file,
                                         .dirfd = -1,
                                         .size = size,
                                         .base_name = base_name,
                                         .base_format = base_format,
                                         .base_unseen = true };

    if (memory < 0)
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot make '%s'", name);
    return endpoint_make_qcow2(&making, abort, err) && upload(memory, fd, name, err);
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

bool
endpoint_create_gluster(struct folder *folder, const char *name, enum image_format format,
                        uint64_t size, enum endpoint_room room, const char *base_name,
                        enum image_format base_format, const atomic_bool *abort, struct error **err)
{
    const bool preallocate = room == ENDPOINT_RESERVED;
    glfs_fd_t *fd = gluster_create_file(folder, name, DATA_MODE);
    bool done;

    if (!fd)
        return gluster_fail(err, errno, "make", name);
    if (format == IMAGE_RAW)
        done = size_raw(fd, name, size, preallocate, err);
    else
        done = preallocate || make_qcow2(fd, name, size, base_name, base_format, abort, err);
    /* What write-behind has not sent yet can fail as late as this. */
    if (done && glfs_fsync(fd, NULL, NULL) < 0)
        done = gluster_fail(err, errno, "make", name);
    (void)glfs_close(fd);
    if (!done || format == IMAGE_RAW || !preallocate)
        return done;
    {
        /* Its tables are written in full, and all of its space is reserved: QEMU's own driver can. */
        struct qcow2_making making = {
            .size = size, .room = room, .base_name = base_name, .base_format = base_format
        };
        _cleanup_free_ char *file = folder_program_name(folder, name, &making.dirfd);

        making.file = file;
        return endpoint_make_qcow2(&making, abort, err);
    }
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

bool
endpoint_create_gluster(struct folder *folder, const char *name, enum image_format format,
                        uint64_t size, enum endpoint_room room, const char *base_name,
                        enum image_format base_format, const atomic_bool *abort, struct error **err)
{
    (void)folder;
    (void)format;
    (void)size;
    (void)room;
    (void)base_name;
    (void)base_format;
    (void)abort;
    return error_set(err, ERROR_INTERNAL, "'%s' is on a volume, without libgfapi", name);
}

#endif
