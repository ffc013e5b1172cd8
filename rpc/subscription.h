/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is told of which events.
 *
 * A connection that subscribed has one subscriber: a cursor into the ring and a set of filters, one
 * for each event.subscribe and each topic of rpc.on.  An event that several of its filters want is
 * sent once (once in each of the two forms), for the notification does not say whose it is.  A
 * filter counts from its 'from' on.  One that begins in the past ('since') takes the cursor back,
 * and the others' 'from' up to where it was, so that they repeat nothing.
 *
 * A subscriber is either behind (its cursor is the next event to look at, and it has a turn to
 * write coming) or it is not: then nothing up to the last flush concerns it, wherever its cursor
 * stands, so that rare events cost nothing and an idle subscriber is never overtaken.  Publishing
 * only marks; before the loop sleeps, flush() looks at what is new, once for each audience, and
 * wakes whom it concerns.  A subscriber whom the ring overtakes is told by one event.gap.
 * Loop only.
 */
#ifndef RPC_SUBSCRIPTION_H
#define RPC_SUBSCRIPTION_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/base/error.h"
#include "agent/loop.h"
#include "agent/worker.h"
#include "rpc/audience.h"
#include "rpc/rpc.h"

struct snapshot_result;
struct snapshot_stream;

/* A filter's 'from' while its snapshot is being taken. */
#define FROM_HELD UINT64_MAX

struct filter {
    struct filter *next;
    uint64_t number;  /* of event.subscribe, within the instance; 0: made by rpc.on */
    char *pattern;    /* rpc.on's topic; NULL: made by event.subscribe */
    struct wish wish; /* its subject is owned */
    uint64_t from;    /* the first event that it is due */
};

struct subscriber {
    struct connection *connection;
    struct filter *filters;
    struct audience *audience;          /* of all filters that are not held; NULL: all are */
    struct subscriber *next, *previous; /* of audience->first */
    struct snapshot_stream *streams;    /* snapshots under way, oldest first */
    uint64_t cursor;
    uint64_t settled; /* from here on no filter's 'from' matters: the audience suffices */
    bool behind;
    uint8_t quiet_ticks; /* since it was last told anything */
};

struct rpc_subscriptions {
    struct rpc *rpc;
    struct ring *ring;
    struct audiences audiences;
    uv_prepare_t flush;   /* active while something was published since the last flush */
    uint64_t flushed;     /* the newest event at the last flush */
    uint64_t last_number; /* of event.subscribe */
    size_t filter_count;
    struct timer tick;               /* for bookmarks; armed while there are filters */
    struct snapshot_result *results; /* rpc/snapshot-stream.c's, as all below */
    struct snapshot_stream *streams;
    size_t result_size;            /* bytes in all results */
    struct lane lanes[POOL_COUNT]; /* of the providers, each pool its own */
};

/*
 * Adds a filter: 'wish' (its subject is copied) from event 'from' on; 'pattern' (copied) for
 * rpc.on, NULL for event.subscribe, which gets a number.
 * Error: LimitExceeded {limit, max}.
 */
bool subscription_add(struct connection *connection, const struct wish *wish, uint64_t from,
                      const char *pattern, struct filter **ret_filter, struct error **err)
    _must_check_;
/* The filter of this number, or of this pattern (when not NULL); NULL: there is none. */
struct filter *subscription_find(const struct connection *connection, uint64_t number,
                                 const char *pattern);
/* Frees the filter, its snapshot, and the subscriber with its last one. */
void subscription_remove(struct connection *connection, struct filter *filter);
/* A held filter counts from 'from' on. */
void subscription_release(struct subscriber *subscriber, struct filter *filter, uint64_t from);

/* Appends an event.gap: the ring has forgotten the events 'from' to 'to'. */
void gap_append(struct text *out, const struct ring *ring, uint64_t from, uint64_t to);

#endif
