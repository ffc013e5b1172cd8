/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repositories: directories that hold images, under names that last as long as the connection.
 *
 * The table of connected ones is control state (loop only).  What steps on
 * workers use of a struct repository does not change after it is connected; they hold a reference.
 */
#ifndef STORAGE_REPOSITORY_H
#define STORAGE_REPOSITORY_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "agent/base/name.h"
#include "agent/worker.h"
#include "storage/folder.h"
#include "storage/repository-health.h"
#include "storage/repository-place.h"

struct agent;
struct storage;

/* What one look at a repository tells. */
struct repository_look {
    uint64_t capacity, free; /* bytes */
    uint64_t image_count;
    int64_t latency_ns; /* of reading its record */
};

struct repository {
    char *name;                    /* owned; nothing changes after connecting, up to 'read_only' */
    struct repository_place place; /* where it is; owned */
    char *path; /* of its directory here, absolute; in a volume: the place as text */
    char uuid[UUID_TEXT_SIZE];
    int64_t created_ns;
    struct folder *folder, *images; /* owned; NULL: not open (yet) */
    bool read_only;                 /* of its file system, when it was connected */
    _Atomic unsigned
        references; /* raised on the loop only, let go on any thread; the table has one */
    atomic_bool
        shut; /* nothing more is asked of its folders: it does not answer, or has to be left */
    _Atomic int64_t look_started_ns; /* when a worker began to look (monotonic); 0: not yet */
    struct message freed;            /* private */
    struct storage *storage;         /* loop only, as all below */
    struct job closing;              /* private */
    struct lane lane;                /* bounds the workers that this repository may hold */
    struct lane copies;              /* likewise of the copy threads */
    struct lane tickets;             /* likewise, by what is done through tickets */
    const char *health;              /* "connecting", "ok", "unavailable"; static text */
    char *reason;                    /* why not ok, owned, or NULL */
    struct repository_look look;     /* the last one */
    struct repository_warnings warnings;
    bool judging;                      /* the look that ends next is that of every ten seconds */
    unsigned looks_begun, looks_ended; /* numbers of the last; one is under way at a time */
    bool looking;                      /* a look is under way, or waits for a worker */
    bool configured;                   /* from the configuration file: always there */
    bool remembered;                   /* connected by call: written to the run-time directory */
    struct repository *next;
};

/* Loop.  Gives back one that was opened, and does not get into the table. */
void repository_drop(struct storage *storage, struct repository *repository); /* NULL is fine */
/* Loop.  A reference to a connected one that is well.
   Errors: RepositoryNotFound, RepositoryUnavailable (connecting, or not well: with the reason). */
bool repository_find(struct storage *storage, const char *name, struct repository **ret_repository,
                     struct error **err) _must_check_;
/* Loop.  The connected one with this uuid: a copy's source, whatever it is called now. */
bool repository_find_uuid(struct storage *storage, const char *uuid,
                          struct repository **ret_repository, struct error **err) _must_check_;
struct repository *repository_ref(struct repository *repository); /* loop */
void repository_unref(struct repository *repository);             /* any thread; NULL is fine */
DEFINE_CLEANUP(struct repository, repository_unref)

/* Worker.  Opens what is at 'place' (checked): reads hostler.json, or with 'create' makes it a
   repository if the directory is empty (or absent, its parent being there).  Durable when it returns;
   of several that make one at the same time, all open the same.
   Errors: RepositoryUnavailable, NoSpace. */
bool repository_open(const char *name, const struct repository_place *place, bool create,
                     struct repository **ret_repository, struct error **err) _must_check_;

/* Worker.  Reads its record and counts: RepositoryUnavailable when the path leads elsewhere by now,
   or cannot be read. */
bool repository_look(const struct repository *repository, struct repository_look *ret_look,
                     struct error **err) _must_check_;

/* An entry without folders: the name is taken while it is being connected. */
struct repository *repository_placeholder(const char *name, const struct repository_place *place);
void repository_set_health(struct repository *repository, const char *health, const char *reason);

/* The status object; 'look' is the last or a fresh one. */
void repository_write_status(const struct repository *repository,
                             const struct repository_look *look, struct writer *writer);

#endif
