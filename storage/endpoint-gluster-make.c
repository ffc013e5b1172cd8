/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data files of a Gluster volume: how they are made.
 */
#include <config.h>

#include "storage/endpoint-kind.h"

#ifdef HAVE_GFAPI

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/folder-gluster.h"

#define UPLOAD_SIZE (1024 * 1024)
#define DATA_MODE 0600 /* a disk holds its guest's secrets */

static bool
size_raw(glfs_fd_t *fd, const char *name, uint64_t size, bool preallocate, struct error **err)
{
    if (glfs_ftruncate(fd, (off_t)gluster_whole_sectors(size), NULL, NULL) < 0) {
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
        ftruncate(from, (off_t)gluster_whole_sectors((uint64_t)status.st_size)) < 0)
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
