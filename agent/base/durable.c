/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever is opened here lies in a folder that others may write to, so nothing is believed of it:
 * no link is followed, no device or pipe is waited for, nothing outside the folder is reached.
 */
#include <config.h>

#include "agent/base/durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/base/thread.h"

#define TREE_DEPTH_MAX 16
#define READ_SIZE 4096

/* A read-only file system is worth its own words: the operator's next step is another one. */
static bool
fail(struct error **err, int errnum, const char *what, const char *name)
{
    if (errnum == EROFS)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                         "cannot %s '%s': the file system is read-only", what, name);
    return error_errno(err, ERROR_BACKEND_FAILED, errnum, "cannot %s '%s'", what, name);
}

static bool
is_component(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool
check_component(const char *name, struct error **err)
{
    return is_component(name) ||
           error_set(err, ERROR_INTERNAL, "'%s' is not one name: it must have no '/'", name);
}

/*
 * openat() that stays below 'dirfd' and follows no link, wherever in 'name' it stands.  Walked by
 * hand: openat2() can do it in one call, but is missing under valgrind and old containers, and
 * nearly all names are one component.
 */
static int
open_beneath(int dirfd, const char *name, int flags, unsigned mode)
{
    _cleanup_close_ int folder = -1; /* of the component before; at first it is 'dirfd' */
    const char *slash;

    while ((slash = strchr(name, '/')) != NULL) {
        _cleanup_free_ char *component = xstrndup(name, (size_t)(slash - name));
        int next;

        if (!is_component(component)) {
            errno = EINVAL;
            return -1;
        }
        next = openat(folder >= 0 ? folder : dirfd, component,
                      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        cleanup_close_fd(&folder);
        folder = next;
        if (folder < 0)
            return -1;
        name = slash + 1;
    }
    return openat(folder >= 0 ? folder : dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
}

static int
sync_fd(int fd)
{
    int result;

    do
        result = fsync(fd);
    while (result < 0 && errno == EINTR);
    return result;
}

static bool
write_all(int fd, const char *name, const char *bytes, size_t size, struct error **err)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail(err, errno, "write", name);
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

static bool
write_temporary(int dirfd, const char *temporary, const void *bytes, size_t size,
                struct error **err)
{
    _cleanup_close_ int fd = -1;

    /* Made anew, never written over: what lies there may be a link to somebody's file. */
    if (unlinkat(dirfd, temporary, 0) < 0 && errno != ENOENT)
        return fail(err, errno, "remove", temporary);
    fd = open_beneath(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0)
        return fail(err, errno, "create", temporary);
    if (!write_all(fd, temporary, bytes, size, err))
        return false;
    if (sync_fd(fd) < 0)
        return fail(err, errno, "make durable", temporary);
    /* NFS tells of a full disk as late as this. */
    if (close(TAKE_FD(fd)) < 0 && errno != EINTR)
        return fail(err, errno, "close", temporary);
    return true;
}

bool
durable_replace(int dirfd, const char *name, const void *bytes, size_t size, struct error **err)
{
    _cleanup_free_ char *temporary = xprintf(".tmp-%s", name);

    WORKER_ONLY();
    if (!check_component(name, err))
        return false;
    if (!write_temporary(dirfd, temporary, bytes, size, err) ||
        (renameat(dirfd, temporary, dirfd, name) < 0 && !fail(err, errno, "replace", name))) {
        /* Of no use any more; where this fails too, the next call tries again. */
        (void)unlinkat(dirfd, temporary, 0);
        return false;
    }
    return durable_sync_directory(dirfd, err);
}

bool
durable_read(int dirfd, const char *name, size_t limit, struct text *ret_text, struct error **err)
{
    /* Without O_NONBLOCK the open of a pipe would wait for its writer. */
    _cleanup_close_ int fd = open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    _cleanup_text_ struct text text = TEXT_INIT;
    struct stat status;
    ssize_t got;

    WORKER_ONLY();
    if (fd < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "there is no '%s'", name);
    if (fd < 0 && errno == ELOOP)
        return error_set(err, ERROR_WRONG_STATE, "'%s' is a symbolic link: it must be a file",
                         name);
    if (fd < 0 || fstat(fd, &status) < 0)
        return fail(err, errno, "open", name);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_WRONG_STATE, "'%s' is not a regular file", name);
    do {
        got = read(fd, text_reserve(&text, READ_SIZE), READ_SIZE);
        if (got < 0 && errno != EINTR)
            return fail(err, errno, "read", name);
        text_grow(&text, got > 0 ? (size_t)got : 0);
        if (text.length > limit)
            return error_set(err, ERROR_LIMIT_EXCEEDED, "'%s' is larger than %zu bytes", name,
                             limit);
    } while (got != 0);
    text_done(ret_text);
    *ret_text = text;
    text = TEXT_INIT;
    return true;
}

bool
durable_error_is_certain(const struct error *error)
{
    return error->code == ERROR_NOT_FOUND || error->code == ERROR_WRONG_STATE ||
           error->code == ERROR_LIMIT_EXCEEDED;
}

/*
 * For file systems that know no RENAME_NOREPLACE (NFS).  A directory that is not empty is never
 * replaced by rename(); a file is linked under its second name, which fails when there is one.
 */
static int
rename_without_flag(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
    struct stat status;

    if (fstatat(from_dirfd, from, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (!S_ISDIR(status.st_mode))
        return linkat(from_dirfd, from, to_dirfd, to, 0) < 0 ? -1 : unlinkat(from_dirfd, from, 0);
    if (fstatat(to_dirfd, to, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? renameat(from_dirfd, from, to_dirfd, to) : -1;
}

bool
durable_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error **err)
{
    int result = renameat2(from_dirfd, from, to_dirfd, to, RENAME_NOREPLACE);

    WORKER_ONLY();
    if (result < 0 && (errno == EINVAL || errno == ENOSYS))
        result = rename_without_flag(from_dirfd, from, to_dirfd, to);
    if (result < 0 && (errno == EEXIST || errno == ENOTEMPTY))
        return error_set(err, ERROR_ALREADY_EXISTS, "there is a '%s' already", to);
    if (result < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "there is no '%s'", from);
    if (result < 0)
        return fail(err, errno, "rename", from);
    /* First where it is now: lost from both is worse than found in both. */
    if (!durable_sync_directory(to_dirfd, err))
        return false;
    return from_dirfd == to_dirfd || durable_sync_directory(from_dirfd, err);
}

bool
durable_link(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error **err)
{
    WORKER_ONLY();
    if (linkat(from_dirfd, from, to_dirfd, to, 0) == 0)
        return durable_sync_directory(to_dirfd, err);
    if (errno == EEXIST)
        return error_set(err, ERROR_ALREADY_EXISTS, "there is a '%s' already", to);
    if (errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "there is no '%s'", from);
    return fail(err, errno, "give a second name to", from);
}

bool
durable_unlink(int dirfd, const char *name, struct error **err)
{
    WORKER_ONLY();
    if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
        return fail(err, errno, "remove", name);
    return durable_sync_directory(dirfd, err);
}

bool
durable_sync_directory(int dirfd, struct error **err)
{
    WORKER_ONLY();
    if (sync_fd(dirfd) < 0)
        return fail(err, errno, "make durable", "the directory");
    return true;
}

static bool remove_entries(int fd, dev_t device, unsigned depth, struct error **err);

/* Takes ownership of 'fd', the open directory 'name' of 'dirfd'. */
static bool
remove_directory(int dirfd, const char *name, int fd, dev_t device, unsigned depth,
                 struct error **err)
{
    struct stat status;

    if (fstat(fd, &status) < 0) {
        fail(err, errno, "look at", name);
        (void)close(fd);
        return false;
    }
    /* Whatever is mounted below is somebody else's. */
    if (status.st_dev != device) {
        (void)close(fd);
        return error_set(err, ERROR_BACKEND_FAILED,
                         "'%s' is on another file system: unmount it first", name);
    }
    if (!remove_entries(fd, device, depth + 1, err))
        return false;
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return fail(err, errno, "remove", name);
    return true;
}

static bool
remove_entry(int dirfd, const char *name, dev_t device, unsigned depth, struct error **err)
{
    int fd;

    /* Most are files; a directory is known by the answer, whatever the file system lists it as. */
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return fail(err, errno, "remove", name);
    fd = open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return errno == ENOENT || fail(err, errno, "remove", name);
    return remove_directory(dirfd, name, fd, device, depth, err);
}

/* Takes ownership of 'fd'. */
static bool
remove_entries(int fd, dev_t device, unsigned depth, struct error **err)
{
    DIR *directory = fdopendir(fd);
    bool done = depth <= TREE_DEPTH_MAX;

    if (!directory) {
        fail(err, errno, "list", "a directory");
        (void)close(fd);
        return false;
    }
    if (!done)
        error_set(err, ERROR_LIMIT_EXCEEDED, "directories are nested more than %d deep",
                  TREE_DEPTH_MAX);
    while (done) {
        struct dirent *entry;

        errno = 0;
        entry = readdir(directory);
        if (!entry) {
            done = errno == 0 || fail(err, errno, "list", "a directory");
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            done = remove_entry(dirfd(directory), entry->d_name, device, depth, err);
    }
    (void)closedir(directory);
    return done;
}

bool
durable_remove_tree(int dirfd, const char *name, struct error **err)
{
    struct stat status;
    int fd;

    WORKER_ONLY();
    if (!check_component(name, err))
        return false;
    if (fstat(dirfd, &status) < 0)
        return fail(err, errno, "look at the directory of", name);
    fd = open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return errno == ENOENT || fail(err, errno, "remove", name);
    return remove_directory(dirfd, name, fd, status.st_dev, 0, err);
}
