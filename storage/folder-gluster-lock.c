/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lock files in a Gluster volume: POSIX locks of the bricks, each with an owner of its own.
 */
#include <config.h>

#ifdef HAVE_GFAPI

#include <errno.h>
#include <fcntl.h>

#include "agent/base/name.h"
#include "storage/folder-gluster.h"

struct gluster_lock {
    struct folder_lock lock;
    struct gluster_volume *volume; /* a reference */
    glfs_fd_t *fd;                 /* owned */
};

static glfs_fd_t *
lock_fd(const struct folder_lock *lock)
{
    return CONTAINER_OF(lock, const struct gluster_lock, lock)->fd;
}

static glfs_fd_t *
open_lock_file(struct folder *folder, const char *name, enum folder_lock_use use)
{
    int flags = use == FOLDER_LOCK_EXCLUSIVE ? O_RDWR : O_RDONLY;
    struct stat status;
    glfs_fd_t *fd = gluster_open_file(folder, name, flags, &status);

    if (!fd && errno == ENOENT && use != FOLDER_LOCK_LOOK) {
        fd = gluster_create_file(folder, name, GLUSTER_FILE_MODE);
        if (!fd && errno == EEXIST)
            fd = gluster_open_file(folder, name, flags, &status);
    }
    if (!fd && errno == ELOOP)
        errno = ENOTSUP;
    return fd;
}

bool
gluster_lock_open(struct folder *folder, const char *name, enum folder_lock_use use,
                  struct folder_lock **ret_lock)
{
    _cleanup_glfd_ glfs_fd_t *fd = open_lock_file(folder, name, use);
    struct gluster_lock *lock;
    char owner[UUID_TEXT_SIZE];

    if (!fd)
        return false;
    /* Else all locks of one connection have one owner, and do not exclude each other. */
    uuid_make(owner);
    if (glfs_fd_set_lkowner(fd, owner, sizeof(owner)) < 0)
        return false;
    lock = xalloc(sizeof(*lock));
    lock->lock.kind = folder->kind;
    lock->lock.use = use;
    lock->volume = gluster_volume_ref(folder_gluster_volume(folder));
    lock->fd = TAKE(fd);
    *ret_lock = &lock->lock;
    return true;
}

bool
gluster_lock_take(struct folder_lock *lock)
{
    struct flock range = { .l_type = lock->use == FOLDER_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK,
                           .l_whence = SEEK_SET };

    if (glfs_posix_lock(lock_fd(lock), F_SETLK, &range) == 0)
        return true;
    if (errno == EACCES)
        errno = EAGAIN;
    return false;
}

bool
gluster_lock_look(struct folder_lock *lock, bool *ret_held)
{
    struct flock range = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

    if (glfs_posix_lock(lock_fd(lock), F_GETLK, &range) < 0)
        return false;
    *ret_held = range.l_type != F_UNLCK;
    return true;
}

size_t
gluster_lock_read(struct folder_lock *lock, char *ret_bytes, size_t size)
{
    ssize_t got = glfs_pread(lock_fd(lock), ret_bytes, size, 0, 0, NULL);

    return got > 0 ? (size_t)got : 0;
}

bool
gluster_lock_write(struct folder_lock *lock, const char *bytes, size_t size)
{
    return glfs_ftruncate(lock_fd(lock), 0, NULL, NULL) == 0 &&
           glfs_pwrite(lock_fd(lock), bytes, size, 0, 0, NULL, NULL) == (ssize_t)size;
}

void
gluster_lock_close(struct folder_lock *lock)
{
    struct gluster_lock *gluster = CONTAINER_OF(lock, struct gluster_lock, lock);

    (void)glfs_close(gluster->fd); /* the bricks drop what its owner holds */
    gluster_volume_unref(gluster->volume);
    free(gluster);
}

#endif
