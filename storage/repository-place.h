/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a repository is: its kind, and what the kind needs to find it.
 *
 * repository.connect's parameters, a [repository NAME] section and the run-time directory's list of
 * connections all say the same: they become one of these, which the one table of kinds (in
 * repository-place.c) checks.  A kind is added there, and nowhere else.
 */
#ifndef STORAGE_REPOSITORY_PLACE_H
#define STORAGE_REPOSITORY_PLACE_H

#include <jansson.h>
#include <stdbool.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"

struct repository_place {
    const char *kind; /* "dir"; static text */
    char *path;       /* dir: the directory; gluster: the one in the volume.  All owned, or NULL */
    char *server, *export, *options; /* nfs */
    char *volume;                    /* gluster */
    char **servers;                  /* gluster; NULL-terminated */
};

void repository_place_done(struct repository_place *place);
void repository_place_copy(const struct repository_place *place,
                           struct repository_place *ret_place);
/* Whether all that its kind needs is there, well-formed, and nothing of another kind.
   Errors: InvalidParams (with the parameter), BackendUnavailable (no such kind in this version). */
bool repository_place_check(const struct repository_place *place, struct error **err) _must_check_;
/* Whether both lead to the same. */
bool repository_place_same(const struct repository_place *one,
                           const struct repository_place *other);
/* Whether it is in a Gluster volume: no path of this host leads to it. */
bool repository_place_is_in_volume(const struct repository_place *place);
/* For people: "/srv/fast"; to be freed.  Of one that was checked. */
char *repository_place_text(const struct repository_place *place);

/* Whether the agent mounts it, and so has to unmount it. */
bool repository_place_is_mounted(const struct repository_place *place);
/* The directory here of the repository 'name'; to be freed. */
char *repository_place_folder(const struct repository_place *place, const char *name);
/* Worker.  Sees to it that 'folder' leads there.  Errors: RepositoryUnavailable, BackendUnavailable. */
bool repository_place_attach(const struct repository_place *place, const char *folder,
                             struct error **err) _must_check_;

/* Sets one of them, by the name of its parameter ("kind" too), from text as in a configuration file:
   several servers are separated by blanks.  InvalidParams: there is none of that name. */
bool repository_place_set(struct repository_place *place, const char *key, const char *value,
                          struct error **err) _must_check_;
/* Writes the members that are set, "kind" first, into the object that is open. */
void repository_place_write(const struct repository_place *place, struct writer *writer);
/* What repository_place_write() wrote; what is unknown in it is left out. */
void repository_place_read(const json_t *object, struct repository_place *ret_place);

#endif
