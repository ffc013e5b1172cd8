/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume as glusterd describes it: what it is made of, not how it is doing (gluster/status.h).
 */
#ifndef GLUSTER_VOLUME_H
#define GLUSTER_VOLUME_H

#include "agent/base/error.h"
#include "agent/verb.h"
#include "gluster/question.h"
#include "agent/base/xml.h"

struct brick {
    char *name;      /* "HOST:/PATH": how glusterd names it, and our verbs too; owned, as all */
    char *host_uuid; /* of its peer */
    bool arbiter;
};

struct volume_option {
    char *name, *value; /* owned */
};

struct volume {
    char *name, *uuid;
    char *type;  /* "distribute", "replicate", "distributed-replicate", "disperse", ... */
    char *state; /* "created", "started", "stopped" */
    char *transport;
    uint64_t brick_count;
    uint64_t replica, arbiter; /* bricks of a set, arbiters among them; 0: it is no replica */
    uint64_t disperse, redundancy;
    uint64_t distribute; /* sets */
    uint64_t snapshots;
    struct brick *bricks; /* brick_count of them; owned */
    struct volume_option *options;
    size_t option_count;
};

struct volumes {
    struct volume *all; /* owned */
    size_t count;
};

/* Asks for one, which is then the only one, or for all ('name' NULL).  NotFound when there is none of that
   name.  Worker. */
bool volumes_ask(const char *name, const atomic_bool *abort, struct volumes *ret_volumes,
                 struct error **err) _must_check_;
/* What an answer to "volume info" says.  Any thread. */
bool volumes_read(const struct xml_document *document, struct volumes *ret_volumes,
                  struct error **err) _must_check_;
/* The one of that name, or NULL. */
const struct volume *volumes_find(const struct volumes *volumes, const char *name);
void volumes_done(struct volumes *volumes);
#define _cleanup_volumes_ _cleanup_(volumes_done)

/* NotFound {kind, id}: returns false. */
bool volume_missing(const char *name, struct error **err);
/* Where 'brick' stands among the volume's, or -1. */
int64_t volume_brick_find(const struct volume *volume, const char *brick);
/* The same; NotFound {kind, id} when it is none of them. */
bool volume_brick_require(const struct volume *volume, const char *brick, size_t *ret_index,
                          struct error **err) _must_check_;

/* The object of volume.list and of volume.changed. */
void volume_write(const struct volume *volume, struct writer *writer);
extern const struct shape volume_shape;

/* Item: a volume. */
extern const struct gluster_question volume_question;

#endif
