/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rolling operation over the pool's hosts: which of them is where, and what comes next.
 *
 * One at a time, and each only while the pool is well (gluster/pool-health.h).  What happens to a host is
 * that its glusterd is restarted, by us on this host, by somebody else on the others; a restart is told
 * by a connection that ends (gluster/peer-watch.h).
 * Nothing of it lasts: a roll that was killed leaves hosts that were restarted, and hosts that were not.
 */
#ifndef GLUSTER_PEER_ROLL_H
#define GLUSTER_PEER_ROLL_H

#include "agent/base/error.h"
#include "agent/verb.h"
#include "gluster/peer.h"

enum roll_phase {
    ROLL_WAITING,    /* for its turn */
    ROLL_CHECKING,   /* its turn has come: the pool must be well first */
    ROLL_RESTARTING, /* now: by us, or whoever is told to */
    ROLL_SETTLING,   /* it has ended; the pool must be well again */
    ROLL_DONE
};

/* What is seen of the pool. */
struct roll_view {
    bool healthy;
    bool gone; /* the glusterd that was there when the restart was due is there no more */
};

struct roll_peer {
    char *uuid, *host; /* owned */
    bool here;
    enum roll_phase phase;
};

struct roll {
    struct roll_peer *peers; /* owned */
    size_t count, current;   /* current == count: all are done */
    char *problem;           /* what the pool lacks, as seen last; NULL: it is well; owned */
};

/* The phase that follows, the same one if nothing has changed.  No restart is due, nor stays due, while
   anything else is not well; but one that is seen counts, if it was due before. */
enum roll_phase roll_next(enum roll_phase phase, const struct roll_view *view);
const char *roll_phase_name(enum roll_phase phase);

/* Which peers, in which order: those that 'names' (NULL-terminated UUIDs or names) says, or all of the pool.
   InvalidParams when one is there twice, NotFound when one is not of the pool. */
bool roll_begin(struct roll *roll, const struct peers *peers, char *const *names,
                struct error **err) _must_check_;
void roll_done(struct roll *roll);
/* The one whose turn it is; moves on past those that are done.  NULL: none is left. */
struct roll_peer *roll_current(struct roll *roll);
size_t roll_done_count(const struct roll *roll);

/* The result of peer.roll, and the data of the event peer.roll. */
void roll_write(const struct roll *roll, struct writer *writer);
void roll_peer_write(const struct roll_peer *peer, struct writer *writer);
extern const struct shape roll_shape;

#endif
