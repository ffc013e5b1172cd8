/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connected repositories: control state, loop only.
 */
#ifndef STORAGE_REPOSITORY_TABLE_H
#define STORAGE_REPOSITORY_TABLE_H

#include "agent/facts.h"
#include "agent/gauge.h"
#include "agent/loop.h"
#include "agent/snapshot.h"
#include "storage/repository.h"
#include "storage/storage.h"

/* A repository of the configuration file. */
struct configured {
    char *name;
    struct repository_place place;
    struct configured *next;
};

struct storage {
    struct agent *agent;
    struct configured *configured; /* in the order of the file; nothing changes after the start */
    struct repository *first;      /* sorted by name */
    struct timer health;           /* every ten seconds */
    struct timer tools;            /* whether qemu's programs are there */
    struct lane tools_lane;
    struct lane remember_lane; /* one at a time, so that what is written last was true last */
    struct serving *servings;  /* storage/image-serve-table.h */
    struct lane serve_lane;
    struct tickets *tickets;  /* storage/ticket.h */
    struct lane url_lane;     /* of copy threads that ask servers elsewhere */
    struct unmount *unmounts; /* under way */
    struct timer resume;      /* armed when a repository was entered after the start */
    unsigned settling;        /* connections of the start that are still under way */
    struct timer settle_limit;
    void (*settled)(void *context);
    void *settled_context;
    void (*places_changed)(void *context); /* storage/disk.h, as the next; or NULL */
    const char *(*machine_in)(void *context, const char *repository);
    void *places_context;
    struct snapshot_provider repository_provider, image_provider;
    struct gauges gauges;
    struct facts facts;
};

/* Any entry of that name, whatever its health, or NULL. */
struct repository *repository_table_get(struct storage *storage, const char *name);
/* Takes the name.  RepositoryExists, unless it is the same place: then '*ret_there' is that entry, or
   NULL when it could not be opened so far, and may be tried again. */
bool repository_table_reserve(struct storage *storage, const char *name,
                              const struct repository_place *place, struct repository **ret_there,
                              struct error **err) _must_check_;
/* Puts 'repository' (ownership is taken) in the place of the reserved entry.
   RepositoryExists when its UUID is connected under another name. */
bool repository_table_enter_take(struct storage *storage, struct repository *repository,
                                 struct error **err) _must_check_;
/* Forgets the name; the entry's memory goes with its last reference. */
void repository_table_remove(struct storage *storage, struct repository *repository);
/* What RUN-DIR/repositories.json is to hold: the connections made by call. */
void repository_table_write(const struct storage *storage, struct text *ret_text);
void repository_publish(struct repository *repository, const char *topic);
/* What a look every ten seconds has found: sets health and warnings, and tells of what has changed. */
void repository_change_look(struct repository *repository, const struct repository_look *look);
/* Sets it, and tells of it when it is another than before. */
void repository_change_health(struct repository *repository, const char *health,
                              const char *reason);
/* Whether tasks hold references to it, or it is being connected. */
bool repository_in_use(const struct repository *repository);

/* WrongState when it may not be disconnected: tasks use it, a virtual machine that runs has a disk in it
   (either unless 'force'), its images are served. */
bool repository_require_idle(const struct repository *repository, bool force, struct error **err)
    _must_check_;

/* Begins a look, unless one is under way; when it has ended it is 'looks_ended', and who waits for the
   key "looked NAME" is woken.  False: none can be begun now. */
bool repository_begin_look(struct repository *repository) _must_check_;
/* Unavailable, when the look that is under way has had no answer for ten seconds. */
void repository_judge_age(struct repository *repository);

void health_open(struct storage *storage);

/* In storage.c: looks, in a moment, for copies to go on with. */
void storage_resume_soon(struct storage *storage);

#endif
