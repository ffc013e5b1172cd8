/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/folder.h"

#include <assert.h>
#include <errno.h>

#include "agent/base/thread.h"
#include "storage/folder-kind.h"

void
folder_set_gate(struct folder *folder, const atomic_bool *shut)
{
    folder->shut = shut;
}

static bool
is_shut(const struct folder *folder)
{
    if (!folder->shut || !atomic_load(folder->shut))
        return false;
    errno = ETIMEDOUT;
    return true;
}

static bool
require_open(const struct folder *folder, struct error **err)
{
    return !is_shut(folder) || error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                                         "the repository does not answer, or was disconnected");
}

bool
folder_open(struct folder *parent, const char *name, enum folder_reach reach,
            struct folder **ret_folder)
{
    WORKER_ONLY();
    if (is_shut(parent) || !parent->kind->open(parent, name, reach, ret_folder))
        return false;
    (*ret_folder)->shut = parent->shut;
    return true;
}

void
folder_close(struct folder *folder)
{
    if (folder)
        folder->kind->close(folder);
}

bool
folder_make(struct folder *parent, const char *name, mode_t mode)
{
    WORKER_ONLY();
    return !is_shut(parent) && parent->kind->make(parent, name, mode);
}

bool
folder_stat(struct folder *folder, const char *name, struct stat *ret_status)
{
    WORKER_ONLY();
    return !is_shut(folder) && folder->kind->stat(folder, name, ret_status);
}

static bool
is_status_same(const struct stat *one, const struct stat *other)
{
    return one->st_ino == other->st_ino && one->st_dev == other->st_dev;
}

bool
folder_is_same(struct folder *one, struct folder *other)
{
    struct stat status, other_status;

    WORKER_ONLY();
    return one->kind == other->kind && one->kind->stat_self(one, &status) &&
           other->kind->stat_self(other, &other_status) && is_status_same(&status, &other_status);
}

bool
folder_is_named(struct folder *parent, const char *name, struct folder *folder)
{
    struct stat ours, named;

    WORKER_ONLY();
    return folder->kind->stat_self(folder, &ours) && parent->kind->stat(parent, name, &named) &&
           is_status_same(&ours, &named);
}

bool
folder_each(struct folder *folder, bool (*each)(const char *name, void *context), void *context)
{
    WORKER_ONLY();
    return !is_shut(folder) && folder->kind->each(folder, each, context);
}

bool
folder_set_size(struct folder *folder, const char *name, uint64_t size)
{
    WORKER_ONLY();
    return !is_shut(folder) && folder->kind->set_size(folder, name, size);
}

bool
folder_space(struct folder *folder, struct statvfs *ret_space)
{
    WORKER_ONLY();
    return folder->kind->space(folder, ret_space);
}

bool
folder_drop(struct folder *folder, const char *name)
{
    WORKER_ONLY();
    return !is_shut(folder) && folder->kind->drop(folder, name);
}

bool
folder_replace(struct folder *folder, const char *name, const void *bytes, size_t size,
               struct error **err)
{
    WORKER_ONLY();
    return require_open(folder, err) && folder->kind->replace(folder, name, bytes, size, err);
}

bool
folder_read(struct folder *folder, const char *name, size_t limit, struct text *ret_text,
            struct error **err)
{
    WORKER_ONLY();
    return require_open(folder, err) && folder->kind->read(folder, name, limit, ret_text, err);
}

bool
folder_rename(struct folder *from_folder, const char *from, struct folder *to_folder,
              const char *to, struct error **err)
{
    WORKER_ONLY();
    assert(from_folder->kind == to_folder->kind);
    return require_open(from_folder, err) &&
           from_folder->kind->rename(from_folder, from, to_folder, to, err);
}

bool
folder_link(struct folder *from_folder, const char *from, struct folder *to_folder, const char *to,
            struct error **err)
{
    WORKER_ONLY();
    assert(from_folder->kind == to_folder->kind);
    return require_open(from_folder, err) &&
           from_folder->kind->link(from_folder, from, to_folder, to, err);
}

bool
folder_unlink(struct folder *folder, const char *name, struct error **err)
{
    WORKER_ONLY();
    return require_open(folder, err) && folder->kind->unlink(folder, name, err);
}

bool
folder_remove_tree(struct folder *folder, const char *name, struct error **err)
{
    WORKER_ONLY();
    return require_open(folder, err) && folder->kind->remove_tree(folder, name, err);
}

bool
folder_sync(struct folder *folder, struct error **err)
{
    WORKER_ONLY();
    return require_open(folder, err) && folder->kind->sync(folder, err);
}

bool
folder_sync_file(struct folder *folder, const char *name, struct error **err)
{
    WORKER_ONLY();
    return require_open(folder, err) && folder->kind->sync_file(folder, name, err);
}

bool
folder_lock_open(struct folder *folder, const char *name, enum folder_lock_use use,
                 struct folder_lock **ret_lock)
{
    WORKER_ONLY();
    return !is_shut(folder) && folder->kind->lock_open(folder, name, use, ret_lock);
}

bool
folder_lock_take(struct folder_lock *lock)
{
    assert(lock->use != FOLDER_LOCK_LOOK);
    return lock->kind->lock_take(lock);
}

bool
folder_lock_look(struct folder_lock *lock, bool *ret_held)
{
    return lock->kind->lock_look(lock, ret_held);
}

size_t
folder_lock_read(struct folder_lock *lock, char *ret_bytes, size_t size)
{
    return lock->kind->lock_read(lock, ret_bytes, size);
}

bool
folder_lock_write(struct folder_lock *lock, const char *bytes, size_t size)
{
    return lock->kind->lock_write(lock, bytes, size);
}

int
folder_lock_fd(struct folder_lock *lock)
{
    lock->inherited = true;
    return lock->kind->lock_fd ? lock->kind->lock_fd(lock) : -1;
}

void
folder_lock_close(struct folder_lock *lock)
{
    if (lock)
        lock->kind->lock_close(lock);
}

int
folder_fd(const struct folder *folder)
{
    return folder->kind->fd(folder);
}

char *
folder_program_name(const struct folder *folder, const char *name, int *ret_dirfd)
{
    return folder->kind->program_name(folder, name, ret_dirfd);
}
