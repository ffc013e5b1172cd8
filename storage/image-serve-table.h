/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The served images: control state, loop only.
 *
 * Each qemu-nbd is watched by its pidfd, whether this agent started it or found it: when one ends by
 * itself, what is left of it is removed and image.changed tells of it.
 */
#ifndef STORAGE_IMAGE_SERVE_TABLE_H
#define STORAGE_IMAGE_SERVE_TABLE_H

#include "storage/image-serve-record.h"
#include "storage/repository-table.h"

struct serving {
    struct serve_record record;
    int pidfd;               /* owned; -1 while it is being started */
    bool busy;               /* a call is at it, or it is being cleaned up */
    bool ended;              /* by itself, while a call was at it */
    struct uv_poll_s *watch; /* owned by libuv's loop while it is open, or NULL */
    struct storage *storage;
    struct serving *next;
};

/* Adopts what the agent before has left, and removes what is left of what has died.  At the start. */
void serving_open(struct storage *storage);
/* The image of the repository of that uuid, or NULL. */
struct serving *serving_find(struct storage *storage, const char *repository, const char *image);
/* A busy entry without a server. */
struct serving *serving_add(struct storage *storage, const char *repository, const char *image);
/* Ownership of what 'record' and 'pidfd' hold is taken; watches it, and ends the busy time. */
void serving_enter_take(struct serving *serving, struct serve_record *record, int pidfd);
/* Ends the busy time of one that goes on, or has ended by itself meanwhile. */
void serving_release(struct serving *serving);
/* Forgets it: its server was ended, or never began. */
void serving_drop(struct serving *serving);
/* What steps wait for while it is busy: task_wake()'s key; to be freed. */
char *serving_key(const char *repository, const char *image);
/* Whether any image of the repository of that uuid is served. */
bool serving_uses(const struct storage *storage, const char *repository);

#endif
