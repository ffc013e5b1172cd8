/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable changes of small files and of names: the only way metadata is written.
 *
 * Killed at any line of it, the old file or the new one is there, whole, and possibly a ".tmp-…"
 * beside it that the next durable_replace() of the same name replaces.  doc/formats.md has the
 * argument.  All of these block: worker threads.
 */
#ifndef AGENT_BASE_DURABLE_H
#define AGENT_BASE_DURABLE_H

#include "agent/base/error.h"
#include "agent/base/text.h"

/* write to ".tmp-NAME", fsync, rename over 'name', fsync the directory.  'name' is one component. */
bool durable_replace(int dirfd, const char *name, const void *bytes, size_t size,
                     struct error **err) _must_check_;
/* Reads a whole file of at most 'limit' bytes; no symbolic link is followed.
   Errors: NotFound, WrongState (a link, a directory ...), LimitExceeded (larger); and those that say
   nothing of the file, for it could not be read this time: BackendFailed, RepositoryUnavailable. */
bool durable_read(int dirfd, const char *name, size_t limit, struct text *ret_text,
                  struct error **err) _must_check_;
/* Of an error of durable_read(): whether the file itself is not what it must be.  Else trying again may
   find it sound (a server that is away, no descriptor left), so nothing may be removed for it. */
bool durable_error_is_certain(const struct error *error);
/* renameat2(RENAME_NOREPLACE), then fsync of the directory (both, when they differ).
   Errors: AlreadyExists, NotFound, NoSpace, BackendFailed. */
bool durable_rename(int from_dirfd, const char *from, int to_dirfd, const char *to,
                    struct error **err) _must_check_;
/* A second name for a file (a symbolic link is not followed), then fsync of the second's directory.
   Errors: as durable_rename(). */
bool durable_link(int from_dirfd, const char *from, int to_dirfd, const char *to,
                  struct error **err) _must_check_;
/* unlink (no error when it is not there), then fsync of the directory. */
bool durable_unlink(int dirfd, const char *name, struct error **err) _must_check_;
bool durable_sync_directory(int dirfd, struct error **err) _must_check_;
/* Removes directory 'name' below 'dirfd' with all that is in it, following no link and staying on
   the file system; no error when there is none.  No fsync: what is left after a crash is found by
   its name.  Errors: BackendFailed, LimitExceeded (nested over 16 deep). */
bool durable_remove_tree(int dirfd, const char *name, struct error **err) _must_check_;

#endif
