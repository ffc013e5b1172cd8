/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a Gluster folder share; for folder-gluster*.c and endpoint-gluster.c only, and only
 * with libgfapi.
 */
#ifndef STORAGE_FOLDER_GLUSTER_H
#define STORAGE_FOLDER_GLUSTER_H

#include <errno.h>

#include "storage/folder-kind.h"
#include "storage/gluster-volume.h"

#define GLUSTER_FILE_MODE 0644

/* What a folder of this kind is made of; borrowed. */
struct gluster_volume *folder_gluster_volume(const struct folder *folder);
glfs_object_t *folder_gluster_object(const struct folder *folder);

/* Opens a regular file; ELOOP: it is a link, ENOTSUP: something else.  NULL and errno. */
glfs_fd_t *gluster_open_file(const struct folder *folder, const char *name, int flags,
                             struct stat *ret_status);
/* Makes a file that was not there, and opens it to read and write.  NULL and errno. */
glfs_fd_t *gluster_create_file(const struct folder *folder, const char *name, mode_t mode);

/* QEMU's gluster driver takes a last sector that is not whole for a fault, so a data file consists of
   whole ones.  What lies behind an image's end is not shown. */
static inline uint64_t
gluster_whole_sectors(uint64_t size)
{
    const uint64_t sector = 512;

    return (size + sector - 1) / sector * sector;
}

bool gluster_lock_open(struct folder *folder, const char *name, enum folder_lock_use use,
                       struct folder_lock **ret_lock);
bool gluster_lock_take(struct folder_lock *lock);
bool gluster_lock_look(struct folder_lock *lock, bool *ret_held);
size_t gluster_lock_read(struct folder_lock *lock, char *ret_bytes, size_t size);
bool gluster_lock_write(struct folder_lock *lock, const char *bytes, size_t size);
void gluster_lock_close(struct folder_lock *lock);

/* Both leave errno as it is: it tells of what was done before. */
static inline void
gluster_object_closep(glfs_object_t **object)
{
    int errnum = errno;

    if (*object)
        (void)glfs_h_close(*object);
    errno = errnum;
}

static inline void
gluster_fd_closep(glfs_fd_t **fd)
{
    int errnum = errno;

    if (*fd)
        (void)glfs_close(*fd);
    errno = errnum;
}

#define _cleanup_object_ _cleanup_(gluster_object_closep)
#define _cleanup_glfd_ _cleanup_(gluster_fd_closep)

#endif
