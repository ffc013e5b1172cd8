/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to Gluster volumes through libgfapi: one for each volume, shared by all that use it.
 *
 * Making one takes milliseconds, ending one ten seconds (glfs_fini() waits for its own threads in whole
 * seconds), so it lasts as long as a repository uses it, and is ended where nobody waits.
 * doc/gluster.md has the rest.
 */
#ifndef STORAGE_GLUSTER_VOLUME_H
#define STORAGE_GLUSTER_VOLUME_H

#include <stdatomic.h>
#include <stdbool.h>

#include "agent/base/error.h"
#include "storage/folder.h"
#include "storage/repository-place.h"

/* Of a place that was checked: the name of its volume and the directory in it are well-formed. */
bool gluster_check_place(const struct repository_place *place, struct error **err) _must_check_;

/*
 * Opens the directory of the place (absent: the root of the volume), which with 'create' is made when
 * it is absent.  Errors: RepositoryUnavailable, BackendUnavailable (built without libgfapi).
 * Worker thread; blocks as long as the servers do, up to the volume's ping-timeout.
 */
bool gluster_open_root(const struct repository_place *place, bool create,
                       struct folder **ret_folder, struct error **err) _must_check_;

#ifdef HAVE_GFAPI

#include <glusterfs/api/glfs-handles.h>
#include <glusterfs/api/glfs.h>

enum volume_state { VOLUME_CONNECTING, VOLUME_CONNECTED, VOLUME_FAILED };

struct gluster_volume {
    enum volume_state state; /* under the mutex; changes once */
    int errnum;              /* why it has failed */
    glfs_t *fs;              /* of one that is connected */
    char *name;              /* of the volume; owned */
    char **servers;          /* NULL-terminated; owned */
    _Atomic unsigned references;
    atomic_bool has_no_sync;     /* of directories */
    bool listed;                 /* others find it; under the mutex */
    struct gluster_volume *next; /* under the mutex */
};

struct gluster_volume *gluster_volume_ref(struct gluster_volume *volume);
/* Any thread; NULL is fine.  With the last one it is ended, by a thread of its own. */
void gluster_volume_unref(struct gluster_volume *volume);

/* A folder of 'volume', whose reference it takes over with 'object'. */
struct folder *folder_gluster_take(struct gluster_volume *volume, glfs_object_t *object);

/* An error of gfapi's errno: servers that are away are RepositoryUnavailable.  Returns false. */
bool gluster_fail(struct error **err, int errnum, const char *what, const char *name);

#endif
#endif
