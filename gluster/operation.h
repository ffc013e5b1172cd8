/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations that run for hours: glusterd's own, told from any host of the pool.
 *
 * glusterd keeps one rebalance or brick removal a volume, the running or the last one, with an id of
 * its own; nothing of it is kept here.  Each host that has bricks of the volume, or of those that are
 * removed, works by itself, so the whole is told from its hosts: glusterd's own summary leaves out
 * hosts that do not answer, and calls "completed" what the others have completed.
 */
#ifndef GLUSTER_OPERATION_H
#define GLUSTER_OPERATION_H

#include "agent/base/error.h"
#include "agent/verb.h"
#include "gluster/peer.h"
#include "gluster/question.h"
#include "gluster/volume.h"
#include "agent/base/xml.h"

enum operation_kind {
    OPERATION_REBALANCE,
    OPERATION_FIX_LAYOUT,
    OPERATION_REMOVAL,
    OPERATION_HEAL
};

/* Of a host, and of the whole; in the order in which one host's decides for the whole. */
enum operation_status {
    OPERATION_RUNNING,
    OPERATION_UNKNOWN, /* the host does not answer */
    OPERATION_PENDING, /* glusterd knows of it, and no process of it runs */
    OPERATION_FAILED,
    OPERATION_STOPPED,
    OPERATION_WAITING_FOR_COMMIT, /* only of a whole removal: all files have left the bricks */
    OPERATION_COMPLETED
};

struct operation_figures {
    uint64_t files, bytes; /* moved */
    uint64_t scanned;      /* files looked at */
    uint64_t failures, skipped;
    uint64_t run_time_s;
};

struct operation_host {
    char *peer, *host; /* its UUID and its name in the names of bricks; owned */
    enum operation_status status;
    struct operation_figures figures;
};

struct operation {
    char *id, *volume; /* owned, as all */
    enum operation_kind kind;
    enum operation_status status;
    struct operation_figures total; /* sums; of the run time the longest */
    bool has_time_left;             /* glusterd has an estimate */
    uint64_t time_left_s;
    bool has_remaining; /* of a heal: how many entries there are still */
    uint64_t remaining;
    struct operation_host *hosts; /* by UUID: whichever host was asked, the order is the same */
    size_t host_count;
    char **bricks; /* of a removal: which; NULL-terminated, or NULL */
};

struct operations {
    struct operation *all; /* owned */
    size_t count;
};

const char *operation_kind_name(enum operation_kind kind);
const char *operation_status_name(enum operation_status status);
/* It moves files, or may do so again without anybody's call. */
bool operation_is_under_way(const struct operation *operation);

/* Those of one volume, or of all (NULL).  NotFound when there is none of that name; those of stopped
   volumes glusterd does not tell.  Worker. */
bool operations_ask(const char *volume, const atomic_bool *abort, struct operations *ret_operations,
                    struct error **err) _must_check_;
/* The figures of one, afresh.  '*ret_known' is false when glusterd has another by now, or none.  Worker. */
bool operation_ask_figures(struct operation *operation, const struct volume *volume,
                           const atomic_bool *abort, bool *ret_known, struct error **err)
    _must_check_;
/* Takes the n-th out. */
void operations_drop(struct operations *operations, size_t n);
void operations_done(struct operations *operations);
#define _cleanup_operations_ _cleanup_(operations_done)

/* A volume, and what glusterd does or has done to it last. */
struct volume_work {
    struct volumes volumes; /* the one; owned */
    struct operations operations;
    const struct volume *volume;
    struct operation *operation; /* or NULL; a stopped volume's is not told */
};
/* NotFound, too.  Worker. */
bool volume_work_ask(const char *volume, const atomic_bool *abort, struct volume_work *ret_work,
                     struct error **err) _must_check_;
void volume_work_done(struct volume_work *work);
#define _cleanup_volume_work_ _cleanup_(volume_work_done)

/* What those above are made of; any thread. */

/* What "volume status ... tasks" says: ids, kinds and bricks, appended; figures are still to be asked.
   '*ret_told' is whether it says anything of 'volume' (NULL: of any). */
bool operations_read(const struct xml_document *document, const char *volume,
                     struct operations *operations, bool *ret_told, struct error **err)
    _must_check_;
/* What "volume rebalance|remove-brick ... status" says of each host. */
bool operation_read_figures(struct operation *operation, const struct xml_document *document,
                            bool *ret_known, struct error **err) _must_check_;
/* Whether a host with bricks of it is missing, so that 'peers' are of use below. */
bool operation_is_incomplete(const struct operation *operation, const struct volume *volume);
/* Names the hosts, adds those of 'volume' that do not answer, and tells the whole. */
void operation_settle(struct operation *operation, const struct volume *volume,
                      const struct peers *peers);
/* The estimate in what "volume rebalance ... status" says without --xml, whose XML has none. */
bool operation_read_time_left(const char *text, uint64_t *ret_time_left_s);

/* The object of volume.operations and of volume.operation. */
void operation_write(const struct operation *operation, struct writer *writer);
/* What was written of one that was under way, and that glusterd has forgotten since, as it does of one that
   was stopped: the same, stopped.  Owned by the caller. */
char *operation_json_stopped(const char *json);
extern const struct shape operation_shape;

/* For an item each. */
void operations_add_items(const struct operations *operations, struct gluster_items *items);

/* Item: an operation.  Heals are told beside it. */
extern const struct gluster_question operation_question;

#endif
