/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts of NFS exports, made and undone by the agent, below one folder of its run-time directory.
 *
 * A mount outlives the agent that made it: the next one finds it in the kernel's list and goes on
 * with it, or puts another in its place.  That list is the only record.  doc/repositories.md argues
 * the options.  Worker threads, but for the first two.
 */
#ifndef STORAGE_MOUNT_H
#define STORAGE_MOUNT_H

#include <stdbool.h>

#include "agent/base/error.h"
#include "storage/repository-place.h"

/* Once, before any of the others.  'folder' need not be there yet. */
void mount_use_folder(const char *folder);
/* Where the repository 'name' is mounted; to be freed. */
char *mount_point(const char *name);

/* Whether server, export and options are well-formed, and no option takes away what the agent relies
   on.  Error: InvalidParams. */
bool mount_check(const struct repository_place *place, struct error **err) _must_check_;
/* "server:/export", as the kernel lists it; to be freed. */
char *mount_source(const struct repository_place *place);

/* Sees to it that 'point' is 'place', mounted as it should be, and that its server answers.
   Errors: RepositoryUnavailable, BackendUnavailable (no mount.nfs); within a minute and a half. */
bool mount_attach(const struct repository_place *place, const char *point, struct error **err)
    _must_check_;
/* Takes away whatever is mounted there, also when its server is dead: what is open in it stays open.
   With 'force' what waits for the server just now fails.  No error when there is nothing.
   Error: BackendFailed. */
bool mount_detach(const char *point, bool force, struct error **err) _must_check_;
/* Names of the repositories that are mounted below the folder; NULL-terminated, to be freed with its
   strings.  Error: BackendFailed. */
bool mount_list(char ***ret_names, struct error **err) _must_check_;

/* ---- for mount_attach(), and tests ---- */

/* The arguments of '-o': ours, and the operator's; to be freed.  Of a place that was checked. */
char *mount_options(const struct repository_place *place);

struct mount_entry {
    char *point, *type, *source, *options; /* owned; options of the mount and of its file system */
};

void mount_entry_done(struct mount_entry *entry);
/* Of what /proc/self/mountinfo says ('text'), the mount that is on top at 'point'; false: there is none. */
bool mount_find(const char *text, const char *point, struct mount_entry *ret_entry) _must_check_;
/* Whether it is what mount_attach() would make. */
bool mount_is_as_wanted(const struct mount_entry *entry, const struct repository_place *place);

#endif
