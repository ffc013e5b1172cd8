/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audiences: subscribers who want the same events, and are therefore sent the same bytes.
 *
 * What a subscriber wants is a set of wishes.  Subscribers with equal sets share one audience:
 * whether new events concern them is looked at once for all of them, and what is gathered for one
 * at some place in the ring is kept for the others at the same place.  So a thousand subscribers
 * cost one gathering and a thousand copies of a ready buffer.  Idea: uWebSockets' topic tree,
 * drained once a turn of the loop.  Loop only.
 */
#ifndef RPC_AUDIENCE_H
#define RPC_AUDIENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/text.h"
#include "events/ring.h"

struct subscriber;

/* Some events, in one of two forms. */
struct wish {
    uint64_t topics;     /* a bit for each, as topic_mask() makes them */
    const char *subject; /* this one alone; NULL: any */
    bool by_topic;       /* as rpc.on has it: the method is the topic; else the method is "event" */
};

/* The forms in which an event is wanted, together. */
enum form { FORM_EVENT = 1, FORM_BY_TOPIC = 2 };

struct audience {
    uint64_t topics;     /* of all wishes together */
    struct wish *wishes; /* sorted; no two overlap needlessly; subjects owned */
    size_t wish_count;
    struct subscriber *first; /* rpc/subscription.c's */
    size_t subscriber_count;
    struct audience *next, *previous; /* of audiences->first */
    struct audience *next_in_slot;
    uint64_t hash;
};

#define AUDIENCE_SLOTS 1024
#define GATHERED_COUNT 4

/* What was gathered for an audience from one place in the ring, for those who come there next. */
struct gathered {
    const struct audience *audience; /* NULL: unused */
    uint64_t from, newest;           /* the ring's newest at the time */
    size_t size;                     /* the bound that was asked for */
    uint64_t next;                   /* the reader's place afterwards */
    uint64_t count;                  /* events in it */
    struct text text;
};

struct audiences {
    struct audience *first;
    struct audience *slots[AUDIENCE_SLOTS];
    struct gathered gathered[GATHERED_COUNT];
    unsigned gathered_next; /* used next, in turn */
};

/* The audience of those wishes, made if need be; one subscriber more is in it.  Reorders and merges
   'wishes', whose subjects are copied. */
struct audience *audience_join(struct audiences *audiences, struct wish *wishes, size_t wish_count);
/* One subscriber less; the last one takes the audience away. */
void audience_leave(struct audiences *audiences, struct audience *audience);

/* The forms in which it is wanted; 0: not at all. */
unsigned wish_match(const struct wish *wish, const struct event *event);
unsigned audience_match(const struct audience *audience, const struct event *event);

/* Appends the event's frames in these forms; returns how many. */
unsigned event_append(struct text *out, const struct event *event, unsigned forms);
/* Appends one frame of any JSON text. */
void frame_append(struct text *out, const char *json, size_t size);

/*
 * Appends what 'audience' wants from '*cursor' on until about 'size' bytes are there or the newest
 * is behind, and moves '*cursor'.  '*cursor' is in the ring.  Returns the number of frames.
 */
uint64_t audience_gather(struct audiences *audiences, const struct audience *audience,
                         const struct ring *ring, uint64_t *cursor, size_t size, struct text *out);

#endif
