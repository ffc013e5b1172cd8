/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of a Gluster volume: an object of gfapi, which stands for the directory itself (its gfid)
 * as a descriptor does, and the calls that name entries below one.
 *
 * Between looking a name up and opening what it led to, another agent may have replaced it: gfapi then
 * says ESTALE, where a local open() would have seen the one or the other.  Such calls are made again.
 */
#include <config.h>

#ifdef HAVE_GFAPI

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "agent/base/name.h"
#include "agent/base/thread.h"
#include "storage/folder-gluster.h"
#include "storage/format.h"

#define TREE_DEPTH_MAX 16
#define READ_SIZE 4096
#define STALE_TRIES 10
/* Made up by the bricks: a directory's present path. */
#define PATH_ATTRIBUTE "glusterfs.ancestry.path"
#define PATH_SIZE_MAX 4096

struct gluster_folder {
    struct folder folder;
    struct gluster_volume *volume; /* a reference */
    glfs_object_t *object;         /* owned */
};

static const struct folder_kind gluster_kind;

static const struct gluster_folder *
gluster_of(const struct folder *folder)
{
    return CONTAINER_OF(folder, const struct gluster_folder, folder);
}

static glfs_t *
fs_of(const struct folder *folder)
{
    return gluster_of(folder)->volume->fs;
}

static glfs_object_t *
object_of(const struct folder *folder)
{
    return gluster_of(folder)->object;
}

struct gluster_volume *
folder_gluster_volume(const struct folder *folder)
{
    return gluster_of(folder)->volume;
}

glfs_object_t *
folder_gluster_object(const struct folder *folder)
{
    return object_of(folder);
}

struct folder *
folder_gluster_take(struct gluster_volume *volume, glfs_object_t *object)
{
    struct gluster_folder *folder = xalloc(sizeof(*folder));

    folder->folder.kind = &gluster_kind;
    folder->volume = volume;
    folder->object = object;
    return &folder->folder;
}

/* ---- objects and open files ---- */

static glfs_object_t *
look_up(const struct folder *folder, const char *name, struct stat *ret_status)
{
    return glfs_h_lookupat(fs_of(folder), object_of(folder), name, ret_status, 0);
}

glfs_fd_t *
gluster_open_file(const struct folder *folder, const char *name, int flags, struct stat *ret_status)
{
    glfs_fd_t *fd = NULL;

    for (int tries = 0; !fd && tries < STALE_TRIES; tries++) {
        _cleanup_object_ glfs_object_t *object = look_up(folder, name, ret_status);

        if (object && !S_ISREG(ret_status->st_mode)) {
            errno = S_ISLNK(ret_status->st_mode) ? ELOOP : ENOTSUP;
            return NULL;
        }
        if (object)
            fd = glfs_h_open(fs_of(folder), object, flags);
        if (!fd && errno != ESTALE && !(object && errno == ENOENT))
            return NULL;
    }
    return fd;
}

glfs_fd_t *
gluster_create_file(const struct folder *folder, const char *name, mode_t mode)
{
    struct stat status;
    glfs_fd_t *fd = NULL;
    _cleanup_object_ glfs_object_t *object = glfs_h_creat_open(
        fs_of(folder), object_of(folder), name, O_RDWR | O_CREAT | O_EXCL, mode, &status, &fd);

    return object ? fd : NULL;
}

static int
unlink_entry(const struct folder *folder, const char *name)
{
    return glfs_h_unlink(fs_of(folder), object_of(folder), name);
}

/* ---- what tells by errno ---- */

static bool
gluster_open(struct folder *parent, const char *name, enum folder_reach reach,
             struct folder **ret_folder)
{
    struct stat status;
    glfs_object_t *object = look_up(parent, name, &status);

    (void)reach; /* nothing is mounted in a volume */
    if (!object)
        return false;
    if (!S_ISDIR(status.st_mode)) {
        (void)glfs_h_close(object);
        errno = S_ISLNK(status.st_mode) ? ELOOP : ENOTDIR;
        return false;
    }
    *ret_folder = folder_gluster_take(gluster_volume_ref(gluster_of(parent)->volume), object);
    return true;
}

static void
gluster_close(struct folder *folder)
{
    struct gluster_volume *volume = gluster_of(folder)->volume;

    /* Only memory: it asks no server. */
    (void)glfs_h_close(object_of(folder));
    free(CONTAINER_OF(folder, struct gluster_folder, folder));
    gluster_volume_unref(volume);
}

static bool
gluster_make(struct folder *parent, const char *name, mode_t mode)
{
    struct stat status;
    _cleanup_object_ glfs_object_t *made =
        glfs_h_mkdir(fs_of(parent), object_of(parent), name, mode, &status);

    return made != NULL;
}

static bool
gluster_stat(struct folder *folder, const char *name, struct stat *ret_status)
{
    _cleanup_object_ glfs_object_t *object = look_up(folder, name, ret_status);

    return object != NULL;
}

static bool
gluster_stat_self(struct folder *folder, struct stat *ret_status)
{
    return glfs_h_stat(fs_of(folder), object_of(folder), ret_status) == 0;
}

static bool
gluster_each(struct folder *folder, bool (*each)(const char *name, void *context), void *context)
{
    glfs_fd_t *fd = glfs_h_opendir(fs_of(folder), object_of(folder));
    struct dirent entry, *next = NULL;
    int fault = 0;

    if (!fd)
        return false;
    for (;;) {
        errno = 0;
        if (glfs_readdir_r(fd, &entry, &next) != 0) {
            fault = errno ? errno : EIO;
            break;
        }
        if (!next)
            break;
        if (strcmp(next->d_name, ".") != 0 && strcmp(next->d_name, "..") != 0 &&
            /* The volume's own, in its root. */
            strcmp(next->d_name, ".trashcan") != 0 && !each(next->d_name, context))
            break;
    }
    (void)glfs_closedir(fd);
    errno = fault;
    return fault == 0;
}

static bool
gluster_space(struct folder *folder, struct statvfs *ret_space)
{
    return glfs_h_statfs(fs_of(folder), object_of(folder), ret_space) == 0;
}

static bool
gluster_drop(struct folder *folder, const char *name)
{
    return unlink_entry(folder, name) == 0;
}

static bool
gluster_set_size(struct folder *folder, const char *name, uint64_t size)
{
    struct stat status;
    _cleanup_glfd_ glfs_fd_t *fd = gluster_open_file(folder, name, O_RDWR, &status);

    return fd && glfs_ftruncate(fd, (off_t)gluster_whole_sectors(size), NULL, NULL) == 0;
}

/* ---- durable changes: in the order of agent/base/durable.c, which has the argument ---- */

static bool
sync_directory(struct folder *folder)
{
    glfs_fd_t *fd = glfs_h_opendir(fs_of(folder), object_of(folder));
    bool done = fd && glfs_fsync(fd, NULL, NULL) == 0;
    int errnum = errno;

    if (fd)
        (void)glfs_closedir(fd);
    errno = errnum;
    return done;
}

/*
 * Where directories cannot be synced: a new file in it is.  A brick's file system writes its journal in
 * order, so with the making of that file all that was done to the directory before is on its disk.
 * What a crash leaves of it is named as a repository's left-over is.
 */
static bool
sync_by_file(struct folder *folder)
{
    char uuid[UUID_TEXT_SIZE];
    _cleanup_free_ char *name = NULL;
    _cleanup_glfd_ glfs_fd_t *fd = NULL;
    bool done;
    int errnum;

    uuid_make(uuid);
    name = xprintf(".tmp-" FORMAT_REPOSITORY_FILE ".new-%s", uuid);
    fd = gluster_create_file(folder, name, GLUSTER_FILE_MODE);
    if (!fd)
        return false;
    done = glfs_fsync(fd, NULL, NULL) == 0;
    errnum = errno;
    (void)unlink_entry(folder, name);
    errno = errnum;
    return done;
}

static bool
gluster_sync(struct folder *folder, struct error **err)
{
    struct gluster_volume *volume = gluster_of(folder)->volume;

    if (!atomic_load(&volume->has_no_sync)) {
        if (sync_directory(folder))
            return true;
        /* That of a sharded volume: its translator knows of no directory that could be synced. */
        if (errno != ENOMEM)
            return gluster_fail(err, errno, "make durable", "the directory");
        atomic_store(&volume->has_no_sync, true);
    }
    return sync_by_file(folder) || gluster_fail(err, errno, "make durable", "the directory");
}

static bool
write_all(glfs_fd_t *fd, const char *name, const char *bytes, size_t size, struct error **err)
{
    for (size_t written = 0; written < size;) {
        ssize_t count =
            glfs_pwrite(fd, bytes + written, size - written, (off_t)written, 0, NULL, NULL);

        if (count < 0)
            return gluster_fail(err, errno, "write", name);
        written += (size_t)count;
    }
    return true;
}

static bool
write_temporary(struct folder *folder, const char *temporary, const void *bytes, size_t size,
                struct error **err)
{
    _cleanup_glfd_ glfs_fd_t *fd = NULL;

    if (unlink_entry(folder, temporary) < 0 && errno != ENOENT)
        return gluster_fail(err, errno, "remove", temporary);
    fd = gluster_create_file(folder, temporary, GLUSTER_FILE_MODE);
    if (!fd)
        return gluster_fail(err, errno, "create", temporary);
    return write_all(fd, temporary, bytes, size, err) &&
           (glfs_fsync(fd, NULL, NULL) == 0 || gluster_fail(err, errno, "make durable", temporary));
}

static bool
gluster_replace(struct folder *folder, const char *name, const void *bytes, size_t size,
                struct error **err)
{
    _cleanup_free_ char *temporary = xprintf(".tmp-%s", name);

    if (!write_temporary(folder, temporary, bytes, size, err) ||
        (glfs_h_rename(fs_of(folder), object_of(folder), temporary, object_of(folder), name) < 0 &&
         !gluster_fail(err, errno, "replace", name))) {
        (void)unlink_entry(folder, temporary);
        return false;
    }
    return gluster_sync(folder, err);
}

static bool
gluster_read(struct folder *folder, const char *name, size_t limit, struct text *ret_text,
             struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    struct stat status;
    _cleanup_glfd_ glfs_fd_t *fd = gluster_open_file(folder, name, O_RDONLY, &status);
    ssize_t got;

    if (!fd && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "there is no '%s'", name);
    if (!fd && errno == ELOOP)
        return error_set(err, ERROR_WRONG_STATE, "'%s' is a symbolic link: it must be a file",
                         name);
    if (!fd && errno == ENOTSUP)
        return error_set(err, ERROR_WRONG_STATE, "'%s' is not a regular file", name);
    if (!fd)
        return gluster_fail(err, errno, "open", name);
    do {
        got =
            glfs_pread(fd, text_reserve(&text, READ_SIZE), READ_SIZE, (off_t)text.length, 0, NULL);
        if (got < 0)
            return gluster_fail(err, errno, "read", name);
        text_grow(&text, (size_t)got);
        if (text.length > limit)
            return error_set(err, ERROR_LIMIT_EXCEEDED, "'%s' is larger than %zu bytes", name,
                             limit);
    } while (got != 0);
    *ret_text = text;
    text = TEXT_INIT;
    return true;
}

/*
 * gfapi has no RENAME_NOREPLACE.  A directory that is not empty is never replaced, and an image's never
 * is; a file is linked under its second name, which fails when there is one.
 */
static int
rename_entry(struct folder *from_folder, const char *from, struct folder *to_folder, const char *to)
{
    struct stat status, there_status;
    _cleanup_object_ glfs_object_t *object = look_up(from_folder, from, &status), *there = NULL;

    if (!object)
        return -1;
    if (!S_ISDIR(status.st_mode))
        return glfs_h_link(fs_of(to_folder), object, object_of(to_folder), to) < 0
                   ? -1
                   : unlink_entry(from_folder, from);
    there = look_up(to_folder, to, &there_status);
    if (there) {
        errno = EEXIST;
        return -1;
    }
    return errno != ENOENT ? -1
                           : glfs_h_rename(fs_of(from_folder), object_of(from_folder), from,
                                           object_of(to_folder), to);
}

static bool
gluster_rename(struct folder *from_folder, const char *from, struct folder *to_folder,
               const char *to, struct error **err)
{
    int result = rename_entry(from_folder, from, to_folder, to);

    if (result < 0 && (errno == EEXIST || errno == ENOTEMPTY))
        return error_set(err, ERROR_ALREADY_EXISTS, "there is a '%s' already", to);
    if (result < 0 && (errno == ENOENT || errno == ESTALE))
        return error_set(err, ERROR_NOT_FOUND, "there is no '%s'", from);
    if (result < 0)
        return gluster_fail(err, errno, "rename", from);
    return gluster_sync(to_folder, err) &&
           (from_folder == to_folder || gluster_sync(from_folder, err));
}

static bool
gluster_link(struct folder *from_folder, const char *from, struct folder *to_folder, const char *to,
             struct error **err)
{
    struct stat status;
    _cleanup_object_ glfs_object_t *object = look_up(from_folder, from, &status);
    int result = object ? glfs_h_link(fs_of(to_folder), object, object_of(to_folder), to) : -1;

    if (result < 0 && errno == EEXIST)
        return error_set(err, ERROR_ALREADY_EXISTS, "there is a '%s' already", to);
    if (result < 0 && (errno == ENOENT || errno == ESTALE))
        return error_set(err, ERROR_NOT_FOUND, "there is no '%s'", from);
    if (result < 0)
        return gluster_fail(err, errno, "link", from);
    return gluster_sync(to_folder, err);
}

static bool
gluster_unlink(struct folder *folder, const char *name, struct error **err)
{
    if (unlink_entry(folder, name) < 0 && errno != ENOENT)
        return gluster_fail(err, errno, "remove", name);
    return gluster_sync(folder, err);
}

static bool remove_tree(struct folder *folder, const char *name, unsigned depth,
                        struct error **err);

struct removal {
    struct folder *folder;
    unsigned depth;
    struct error **err;
};

static bool
remove_entry(const char *name, void *context)
{
    const struct removal *removal = context;

    return remove_tree(removal->folder, name, removal->depth, removal->err);
}

/* An entry, and what is in it. */
static bool
remove_tree(struct folder *folder, const char *name, unsigned depth, struct error **err)
{
    _cleanup_(folder_closep) struct folder *below = NULL;
    struct removal removal = { .depth = depth + 1, .err = err };

    if (depth > TREE_DEPTH_MAX)
        return error_set(err, ERROR_LIMIT_EXCEEDED, "directories are nested more than %d deep",
                         TREE_DEPTH_MAX);
    if (gluster_open(folder, name, FOLDER_SAME_SYSTEM, &below)) {
        removal.folder = below;
        if (!gluster_each(below, remove_entry, &removal))
            return gluster_fail(err, errno, "list", name);
        if (*err)
            return false;
    } else if (errno != ELOOP && errno != ENOTDIR) {
        return errno == ENOENT || gluster_fail(err, errno, "remove", name);
    }
    return unlink_entry(folder, name) == 0 || errno == ENOENT ||
           gluster_fail(err, errno, "remove", name);
}

static bool
gluster_remove_tree(struct folder *folder, const char *name, struct error **err)
{
    return remove_tree(folder, name, 0, err);
}

static bool
gluster_sync_file(struct folder *folder, const char *name, struct error **err)
{
    struct stat status;
    _cleanup_glfd_ glfs_fd_t *fd = gluster_open_file(folder, name, O_RDWR, &status);

    if (!fd && errno == ENOENT)
        return true;
    return (fd && glfs_fsync(fd, NULL, NULL) == 0) ||
           gluster_fail(err, errno, "make durable", name);
}

/* ---- for programs ---- */

static int
gluster_fd(const struct folder *folder)
{
    (void)folder;
    return -1;
}

/* The directory may have been renamed since it was opened: the bricks know where it is now. */
static char *
gluster_program_name(const struct folder *folder, const char *name, int *ret_dirfd)
{
    const struct gluster_volume *volume = gluster_of(folder)->volume;
    char path[PATH_SIZE_MAX + 1];
    int length =
        glfs_h_getxattrs(fs_of(folder), object_of(folder), PATH_ATTRIBUTE, path, PATH_SIZE_MAX);

    *ret_dirfd = -1;
    if (length < 0)
        length = 0; /* its name is then "/…", which is not there, as QEMU will say */
    path[length] = '\0';
    return xprintf("gluster://%s/%s%s/%s", volume->servers[0], volume->name, path, name);
}

static const struct folder_kind gluster_kind = {
    .open = gluster_open,
    .close = gluster_close,
    .make = gluster_make,
    .stat = gluster_stat,
    .stat_self = gluster_stat_self,
    .each = gluster_each,
    .space = gluster_space,
    .drop = gluster_drop,
    .set_size = gluster_set_size,
    .replace = gluster_replace,
    .read = gluster_read,
    .rename = gluster_rename,
    .link = gluster_link,
    .unlink = gluster_unlink,
    .remove_tree = gluster_remove_tree,
    .sync = gluster_sync,
    .sync_file = gluster_sync_file,
    .lock_open = gluster_lock_open,
    .lock_take = gluster_lock_take,
    .lock_look = gluster_lock_look,
    .lock_read = gluster_lock_read,
    .lock_write = gluster_lock_write,
    .lock_close = gluster_lock_close,
    .fd = gluster_fd,
    .program_name = gluster_program_name,
};

#endif
