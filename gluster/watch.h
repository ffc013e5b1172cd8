/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glusterd's events, made ours: volume.changed, volume.operation, peer.changed.
 *
 * Every answer of glusterd, whoever has asked, is compared with what was published last, and what differs
 * is published.  The watch itself asks
 *   - after a hint (gluster/hint.h), a tenth of a second later and at most once a second,
 *   - while something goes on by itself (a rebalance), every second while somebody subscribes, else every
 *     five, and never more than a quarter of the time,
 *   - while somebody subscribes and this host does not hear of everything (bricks of other hosts that die
 *     are told there only), every ten seconds,
 * and else never: nothing is asked while nothing happens.  Loop only.
 */
#ifndef GLUSTER_WATCH_H
#define GLUSTER_WATCH_H

#include "agent/snapshot.h"
#include "events/ring.h"
#include "gluster/hint.h"
#include "gluster/question.h"

struct agent;

#define WATCH_SETTLE_MS 100  /* a change is told by several files and datagrams */
#define WATCH_BOUND_MS 1000  /* between two askings of one question for hints */
#define WATCH_ACTIVE_MS 1000 /* of what goes on, while somebody subscribes */
#define WATCH_ALONE_MS 5000  /* and while nobody does */
#define WATCH_DEAF_MS 5000   /* of what no hint tells, while somebody subscribes */
#define WATCH_LATER_MS                                                                             \
    3000              /* bricks of a host that has come back need some time, and are not told */
#define WATCH_SHARE 4 /* of the time at most one part in so many */

/* A question that is watched. */
struct watched {
    const struct gluster_question *question;
    const char *topic;
    unsigned hints;            /* those that concern it */
    bool known;                /* it was answered since glusterd came */
    bool active;               /* something in the answer goes on */
    bool asking;               /* by the watch */
    int64_t hinted_ns;         /* the first hint since it was asked; 0: none; monotonic, as all */
    int64_t asked_ns, took_ns; /* for the last answer; 0: never */
    struct gluster_items seen; /* what was published, or began as known */
};

struct gluster_watch;

struct watch_provider {
    struct snapshot_provider provider;
    const struct gluster_watch *watch;
    size_t watched; /* its place in 'all' */
};

struct gluster_watch {
    struct gluster *gluster;
    struct watched *all;
    size_t count;
    struct gluster_watcher watcher;
    struct ring_wish_watcher wishes;
    struct watch_provider *providers; /* for each of 'all' */
    struct timer timer;
    bool alive;  /* glusterd answers */
    bool wanted; /* somebody subscribes to one of the topics */
    bool lonely; /* this host is the whole pool */
};

void gluster_watch_open(struct gluster_watch *watch, struct gluster *gluster);
/* Something may have changed: HINT_*. */
void gluster_watch_hint(struct gluster_watch *watch, unsigned hints);
/* glusterd has come, or gone. */
void gluster_watch_alive(struct gluster_watch *watch, bool alive);

/* When to ask it next, or INT64_MAX; 'deaf': not everything is hinted at.  For tests. */
int64_t watched_due_ns(const struct watched *watched, bool wanted, bool deaf);
/* Calls 'differ' for each item whose essence differs between the two, is new, or is gone (NULL).  For tests. */
void watched_compare(const struct gluster_items *before, const struct gluster_items *now,
                     void (*differ)(void *context, const struct gluster_item *before,
                                    const struct gluster_item *now),
                     void *context);

#endif
