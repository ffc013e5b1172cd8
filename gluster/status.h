/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How volumes are doing: their bricks' processes and space, their services, in one answer.
 *
 * glusterd tells it in pieces: "volume status" of processes, "volume status ... detail" of space, both
 * only of started volumes and of bricks whose hosts it reaches.  What it leaves out is put in from "volume
 * info": the bricks of a stopped volume are offline, those that nobody tells of are unknown.
 */
#ifndef GLUSTER_STATUS_H
#define GLUSTER_STATUS_H

#include "gluster/question.h"
#include "gluster/volume.h"

enum online { ONLINE_UNKNOWN, ONLINE_NO, ONLINE_YES };

struct brick_status {
    enum online online;
    uint64_t port, process;               /* 0: it has none */
    uint64_t capacity, free;              /* bytes of its file system; capacity 0: not told */
    uint64_t inodes, free_inodes;         /* likewise */
    char *device, *file_system, *mounted; /* owned, or NULL; 'mounted' are the mount's options */
};

/* A process beside the bricks. */
struct service_status {
    const char *service; /* static: "selfHeal", ... */
    char *host, *peer;   /* owned */
    bool online;
    uint64_t port, process;
};

/* What glusterd calls a task: the short line; gluster/operation.h has the whole. */
struct volume_task {
    char *id, *kind, *state; /* owned */
};

struct volume_status {
    const struct volume *volume; /* of struct statuses' */
    bool told;                   /* glusterd told of it */
    struct brick_status *bricks; /* as many as the volume's, in their order; owned, as all below */
    struct service_status *services;
    size_t service_count;
    struct volume_task *tasks;
    size_t task_count;
};

struct statuses {
    struct volumes volumes;    /* owned */
    struct volume_status *all; /* as many, in their order; owned */
};

/* Takes ownership of what is in 'volumes', and knows no more yet. */
void statuses_begin(struct statuses *statuses, struct volumes *volumes);
/* Adds what an answer to "volume status" says, with or without "detail".  Any thread. */
bool statuses_read(struct statuses *statuses, const struct xml_document *document,
                   struct error **err) _must_check_;
void statuses_done(struct statuses *statuses);
#define _cleanup_statuses_ _cleanup_(statuses_done)

/*
 * Bytes that the volume holds, and that are free, if each set of bricks is as large as the smallest
 * online brick of it that holds data; bricks on one file system share it.  False: some set has no such
 * brick, so that it would be a guess.
 */
bool volume_status_space(const struct volume_status *status, uint64_t *ret_capacity,
                         uint64_t *ret_free);

/* The object of volume.status. */
void volume_status_write(const struct volume_status *status, struct writer *writer);
/* The names of bricks that a started volume lacks, offline or unknown: [name, ...]. */
void volume_status_write_missing(const struct volume_status *status, struct writer *writer);
extern const struct shape volume_status_shape;

/* Item: a volume's status; its essence is which bricks are missing. */
extern const struct gluster_question status_question;

#endif
