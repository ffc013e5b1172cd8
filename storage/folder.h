/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders: an open directory that holds a repository's or an image's files, whatever keeps it.
 *
 * All that is done to such files goes through here, so that a repository may lie on what no path
 * leads to.  A folder is the directory itself, not its name: renamed meanwhile, it is still the same.
 * What is in it was written by others: no link is followed, nothing outside is reached.
 * The first group tells by errno why something could not be done, as the system calls do whose place
 * it takes: what that means for an image is its caller's to say.  Worker threads, all of it.
 */
#ifndef STORAGE_FOLDER_H
#define STORAGE_FOLDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "agent/base/error.h"
#include "agent/base/text.h"

struct folder;
struct folder_lock;

enum folder_reach {
    FOLDER_SAME_SYSTEM, /* refuse (EXDEV) what is mounted there: it is somebody else's */
    FOLDER_ANY_SYSTEM
};

/* The local directory 'path', links and all: where an operator says it is. */
bool folder_open_path(const char *path, struct folder **ret_folder) _must_check_;
/* A directory right below 'parent'; ELOOP or ENOTDIR when it is none. */
bool folder_open(struct folder *parent, const char *name, enum folder_reach reach,
                 struct folder **ret_folder) _must_check_;
void folder_close(struct folder *folder); /* NULL is fine */
/* While '*shut', nothing more is asked of it, nor of what is opened from it later on: ETIMEDOUT, or
   RepositoryUnavailable.  For a server that does not answer: whoever asks it may wait for very long.
   Borrowed; outlives them all. */
void folder_set_gate(struct folder *folder, const atomic_bool *shut);
DEFINE_CLEANUP(struct folder, folder_close)

bool folder_make(struct folder *parent, const char *name, mode_t mode) _must_check_;
/* Of an entry, or of one of a folder below ("web1/data"); a link in the last place is not followed. */
bool folder_stat(struct folder *folder, const char *name, struct stat *ret_status) _must_check_;
/* Whether two are one directory; false also when that cannot be told. */
bool folder_is_same(struct folder *one, struct folder *other) _must_check_;
/* Whether 'name' in 'parent' still leads to 'folder'. */
bool folder_is_named(struct folder *parent, const char *name, struct folder *folder) _must_check_;
/* Calls 'each' with the name of every entry, in no order, until it says false. */
bool folder_each(struct folder *folder, bool (*each)(const char *name, void *context),
                 void *context) _must_check_;
/* Makes a file as long as 'size', cut or with a hole at its end; not durably. */
bool folder_set_size(struct folder *folder, const char *name, uint64_t size) _must_check_;
bool folder_space(struct folder *folder, struct statvfs *ret_space) _must_check_;
/* Not durably: what is left of it after a crash is known by its name. */
bool folder_drop(struct folder *folder, const char *name) _must_check_;

/* As those of agent/base/durable.h, which has their contract. */
bool folder_replace(struct folder *folder, const char *name, const void *bytes, size_t size,
                    struct error **err) _must_check_;
bool folder_read(struct folder *folder, const char *name, size_t limit, struct text *ret_text,
                 struct error **err) _must_check_;
/* Both are of one repository. */
bool folder_rename(struct folder *from_folder, const char *from, struct folder *to_folder,
                   const char *to, struct error **err) _must_check_;
/* A second name for a file, durably; both folders are of one repository.  Errors: AlreadyExists, NotFound,
   NoSpace, BackendFailed (the file system knows no hard links). */
bool folder_link(struct folder *from_folder, const char *from, struct folder *to_folder,
                 const char *to, struct error **err) _must_check_;
bool folder_unlink(struct folder *folder, const char *name, struct error **err) _must_check_;
bool folder_remove_tree(struct folder *folder, const char *name, struct error **err) _must_check_;
bool folder_sync(struct folder *folder, struct error **err) _must_check_;
/* Makes what was written to a file durable; no error when there is none.  Error: BackendFailed. */
bool folder_sync_file(struct folder *folder, const char *name, struct error **err) _must_check_;

/*
 * Lock files, for storage/image-lock.c.  Opening makes the file when it is missing, but for looking.
 * ENOTSUP: it is no regular file.  A lock is dropped by closing it, and by the death of its holder.
 */
enum folder_lock_use { FOLDER_LOCK_LOOK, FOLDER_LOCK_SHARED, FOLDER_LOCK_EXCLUSIVE };

bool folder_lock_open(struct folder *folder, const char *name, enum folder_lock_use use,
                      struct folder_lock **ret_lock) _must_check_;
/* As it was opened for, at once or not at all: EAGAIN when somebody is in the way. */
bool folder_lock_take(struct folder_lock *lock) _must_check_;
/* Whether somebody else (also this process) has taken it exclusively. */
bool folder_lock_look(struct folder_lock *lock, bool *ret_held) _must_check_;
/* What the file says: at most 'size' bytes; 0 when there is nothing or it cannot be read. */
size_t folder_lock_read(struct folder_lock *lock, char *ret_bytes, size_t size);
bool folder_lock_write(struct folder_lock *lock, const char *bytes, size_t size) _must_check_;
/* The descriptor whose open file description has the lock, for a program that is to hold it too, and from then on
   after folder_lock_close(); -1: there is none. */
int folder_lock_fd(struct folder_lock *lock);
void folder_lock_close(struct folder_lock *lock); /* NULL is fine */
DEFINE_CLEANUP(struct folder_lock, folder_lock_close)

/* The descriptor of a local directory; -1: there is none, for it is reached in another way. */
int folder_fd(const struct folder *folder);
/* How QEMU's programs are told of a file in it, and where they are to run ('*ret_dirfd'; -1: anywhere):
   a name that they do not take for a protocol or an option.  To be freed. */
char *folder_program_name(const struct folder *folder, const char *name, int *ret_dirfd);

#endif
