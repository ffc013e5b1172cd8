/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local directories: a descriptor, and agent/base/durable.h.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "agent/base/durable.h"
#include "agent/base/thread.h"
#include "storage/folder-kind.h"

#define LOCK_MODE 0644

struct posix_folder {
    struct folder folder;
    int fd; /* O_RDONLY, owned */
};

struct posix_lock {
    struct folder_lock lock;
    int fd; /* owned: the lock is its open file description's */
};

static const struct folder_kind posix_kind;

static int
fd_of(const struct folder *folder)
{
    return CONTAINER_OF(folder, const struct posix_folder, folder)->fd;
}

/* Takes ownership of 'fd'; false when there is none. */
static bool
folder_take(int fd, struct folder **ret_folder)
{
    struct posix_folder *folder;

    if (fd < 0)
        return false;
    folder = xalloc(sizeof(*folder));
    folder->folder.kind = &posix_kind;
    folder->fd = fd;
    *ret_folder = &folder->folder;
    return true;
}

bool
folder_open_path(const char *path, struct folder **ret_folder)
{
    WORKER_ONLY();
    return folder_take(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret_folder);
}

static int
open_directory(int dirfd, const char *name)
{
    return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* One component without openat2(): it may be no link, and no other file system's root. */
static int
open_directory_plainly(int dirfd, const char *name)
{
    int fd = open_directory(dirfd, name);
    struct stat parent, child;

    if (fd < 0 ||
        (fstat(dirfd, &parent) == 0 && fstat(fd, &child) == 0 && parent.st_dev == child.st_dev))
        return fd;
    (void)close(fd);
    errno = EXDEV;
    return -1;
}

/* A directory right below 'dirfd', following no link and leaving no tree. */
static int
open_directory_here(int dirfd, const char *name)
{
    struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                       RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };
    int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

    /* systemd's RestrictSUIDSGID= and some containers take the call away. */
    return fd < 0 && errno == ENOSYS ? open_directory_plainly(dirfd, name) : fd;
}

static bool
posix_open(struct folder *parent, const char *name, enum folder_reach reach,
           struct folder **ret_folder)
{
    return folder_take(reach == FOLDER_SAME_SYSTEM ? open_directory_here(fd_of(parent), name)
                                                   : open_directory(fd_of(parent), name),
                       ret_folder);
}

static void
posix_close(struct folder *folder)
{
    (void)close(fd_of(folder));
    free(CONTAINER_OF(folder, struct posix_folder, folder));
}

static bool
posix_make(struct folder *parent, const char *name, mode_t mode)
{
    return mkdirat(fd_of(parent), name, mode) == 0;
}

static bool
posix_stat(struct folder *folder, const char *name, struct stat *ret_status)
{
    return fstatat(fd_of(folder), name, ret_status, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool
posix_stat_self(struct folder *folder, struct stat *ret_status)
{
    return fstat(fd_of(folder), ret_status) == 0;
}

static bool
posix_each(struct folder *folder, bool (*each)(const char *name, void *context), void *context)
{
    /* Opened anew: a descriptor has one place in the list, and several may read it at a time. */
    int fd = openat(fd_of(folder), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int fault;

    if (!directory) {
        fault = errno;
        if (fd >= 0)
            (void)close(fd);
        errno = fault;
        return false;
    }
    for (errno = 0; (entry = readdir(directory)); errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !each(entry->d_name, context)) {
            errno = 0;
            break;
        }
    fault = errno;
    (void)closedir(directory);
    errno = fault;
    return fault == 0;
}

static bool
posix_set_size(struct folder *folder, const char *name, uint64_t size)
{
    _cleanup_close_ int fd =
        openat(fd_of(folder), name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd >= 0 && ftruncate(fd, (off_t)size) == 0;
}

static bool
posix_space(struct folder *folder, struct statvfs *ret_space)
{
    return fstatvfs(fd_of(folder), ret_space) == 0;
}

static bool
posix_drop(struct folder *folder, const char *name)
{
    return unlinkat(fd_of(folder), name, 0) == 0;
}

static bool
posix_replace(struct folder *folder, const char *name, const void *bytes, size_t size,
              struct error **err)
{
    return durable_replace(fd_of(folder), name, bytes, size, err);
}

static bool
posix_read(struct folder *folder, const char *name, size_t limit, struct text *ret_text,
           struct error **err)
{
    return durable_read(fd_of(folder), name, limit, ret_text, err);
}

static bool
posix_rename(struct folder *from_folder, const char *from, struct folder *to_folder, const char *to,
             struct error **err)
{
    return durable_rename(fd_of(from_folder), from, fd_of(to_folder), to, err);
}

static bool
posix_link(struct folder *from_folder, const char *from, struct folder *to_folder, const char *to,
           struct error **err)
{
    return durable_link(fd_of(from_folder), from, fd_of(to_folder), to, err);
}

static bool
posix_unlink(struct folder *folder, const char *name, struct error **err)
{
    return durable_unlink(fd_of(folder), name, err);
}

static bool
posix_remove_tree(struct folder *folder, const char *name, struct error **err)
{
    return durable_remove_tree(fd_of(folder), name, err);
}

static bool
posix_sync(struct folder *folder, struct error **err)
{
    return durable_sync_directory(fd_of(folder), err);
}

static bool
posix_sync_file(struct folder *folder, const char *name, struct error **err)
{
    _cleanup_close_ int fd = openat(fd_of(folder), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return true;
    return (fd >= 0 && fsync(fd) == 0) ||
           error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot make '%s' durable", name);
}

/* ---- lock files ---- */

static int
lock_fd(const struct folder_lock *lock)
{
    return CONTAINER_OF(lock, const struct posix_lock, lock)->fd;
}

static int
open_lock_file(int dirfd, const char *name, enum folder_lock_use use)
{
    /* O_NONBLOCK: a pipe planted here would keep the worker for ever. */
    const int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    int fd = openat(dirfd, name, (use == FOLDER_LOCK_EXCLUSIVE ? O_RDWR : O_RDONLY) | flags);

    /* A folder that was made by hand, or lost its lock file, can still be worked on. */
    if (fd < 0 && errno == ENOENT && use != FOLDER_LOCK_LOOK)
        fd = openat(dirfd, name, O_RDWR | O_CREAT | flags, LOCK_MODE);
    return fd;
}

static bool
posix_lock_open(struct folder *folder, const char *name, enum folder_lock_use use,
                struct folder_lock **ret_lock)
{
    _cleanup_close_ int fd = open_lock_file(fd_of(folder), name, use);
    struct posix_lock *lock;
    struct stat status;

    if (fd < 0 && errno != ELOOP && errno != EISDIR && errno != ENXIO)
        return false;
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        errno = ENOTSUP;
        return false;
    }
    lock = xalloc(sizeof(*lock));
    lock->lock.kind = &posix_kind;
    lock->lock.use = use;
    lock->fd = TAKE_FD(fd);
    *ret_lock = &lock->lock;
    return true;
}

static bool
posix_lock_take(struct folder_lock *lock)
{
    struct flock range = { .l_type = lock->use == FOLDER_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK,
                           .l_whence = SEEK_SET };

    if (fcntl(lock_fd(lock), F_OFD_SETLK, &range) == 0)
        return true;
    if (errno == EACCES)
        errno = EAGAIN;
    return false;
}

static bool
posix_lock_look(struct folder_lock *lock, bool *ret_held)
{
    struct flock range = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

    if (fcntl(lock_fd(lock), F_OFD_GETLK, &range) < 0)
        return false;
    *ret_held = range.l_type != F_UNLCK;
    return true;
}

static size_t
posix_lock_read(struct folder_lock *lock, char *ret_bytes, size_t size)
{
    ssize_t got = pread(lock_fd(lock), ret_bytes, size, 0);

    return got > 0 ? (size_t)got : 0;
}

static bool
posix_lock_write(struct folder_lock *lock, const char *bytes, size_t size)
{
    return ftruncate(lock_fd(lock), 0) == 0 &&
           pwrite(lock_fd(lock), bytes, size, 0) == (ssize_t)size;
}

static void
posix_lock_close(struct folder_lock *lock)
{
    struct flock range = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

    /* Said, for closing alone leaves it to any child that some other thread has just forked, until that is a
       program and the descriptor is gone there too. */
    if (!lock->inherited)
        (void)fcntl(lock_fd(lock), F_OFD_SETLK, &range);
    (void)close(lock_fd(lock));
    free(CONTAINER_OF(lock, struct posix_lock, lock));
}

/* QEMU takes "nbd:…" for a protocol, but nothing behind a slash. */
static char *
posix_program_name(const struct folder *folder, const char *name, int *ret_dirfd)
{
    *ret_dirfd = fd_of(folder);
    return xprintf("./%s", name);
}

static const struct folder_kind posix_kind = {
    .open = posix_open,
    .close = posix_close,
    .make = posix_make,
    .stat = posix_stat,
    .stat_self = posix_stat_self,
    .each = posix_each,
    .set_size = posix_set_size,
    .space = posix_space,
    .drop = posix_drop,
    .replace = posix_replace,
    .read = posix_read,
    .rename = posix_rename,
    .link = posix_link,
    .unlink = posix_unlink,
    .remove_tree = posix_remove_tree,
    .sync = posix_sync,
    .sync_file = posix_sync_file,
    .lock_open = posix_lock_open,
    .lock_take = posix_lock_take,
    .lock_look = posix_lock_look,
    .lock_read = posix_lock_read,
    .lock_write = posix_lock_write,
    .lock_fd = lock_fd,
    .lock_close = posix_lock_close,
    .fd = fd_of,
    .program_name = posix_program_name,
};
