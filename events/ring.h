/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of the last events.
 *
 * Each event is serialised once, with the header of its WebSocket frame in front: server frames are
 * not masked, so the bytes are the same for every subscriber.  Sequence numbers are contiguous
 * within an instance, from 1.  A subscriber is a filter and a cursor (a sequence number) elsewhere;
 * the ring knows none of them, so a slow one costs nothing.  Loop only.
 */
#ifndef EVENTS_RING_H
#define EVENTS_RING_H

#include <stddef.h>
#include <stdint.h>

#include "agent/base/cleanup.h"
#include "agent/base/json-writer.h"
#include "agent/base/text.h"

struct ring;

struct event {
    uint64_t seq;
    int64_t time_ns;
    unsigned topic_index; /* topic_index() of the next */
    const char *topic;    /* NUL-terminated, within the event's memory, as all below */
    const char *subject;  /* NUL-terminated; "" when it has none */
    const char *data;     /* the data member, one JSON value */
    size_t data_size;
    const unsigned char *frame; /* header and JSON text of the 'event' notification */
    size_t frame_size;
    const char *json; /* the text within the frame */
    size_t json_size;
    const char *params; /* the params object within the text: what event.history lists */
    size_t params_size;
};

/* Holds up to 'count' events and 'size' bytes, whichever comes first, but always the newest.
   'instance' is copied. */
struct ring *ring_new(const char *instance, size_t count, size_t size);
void ring_free(struct ring *ring);
DEFINE_CLEANUP(struct ring, ring_free)

/* Returns its number.  'data' is one JSON value; 'subject' may be NULL.  Data that would make the
   frame larger than EVENT_FRAME_MAX is told as null: ask for the object then. */
uint64_t ring_publish(struct ring *ring, const char *topic, const char *subject, const char *data,
                      size_t data_size);
/* The event, or NULL when it is overtaken or yet to come.  Valid until the next publish. */
const struct event *ring_get(const struct ring *ring, uint64_t seq);
uint64_t ring_newest(const struct ring *ring); /* 0: none yet */
uint64_t ring_oldest(const struct ring *ring); /* the oldest still there; newest + 1 when empty */
const char *ring_instance(const struct ring *ring);
size_t ring_size(const struct ring *ring); /* bytes held */

/* 'published' is called after each ring_publish(); one watcher (rpc/), NULL: none. */
void ring_watch(struct ring *ring, void (*published)(void *context), void *context);

/*
 * Which topics somebody subscribes to, as bits of topic_mask(): rpc/ tells when a subscription begins
 * (+1) and ends (-1).  A backend that must look for itself to know of changes does so while there is one.
 */
void ring_want(struct ring *ring, uint64_t topics, int change);
uint64_t ring_wanted(const struct ring *ring);
struct ring_wish_watcher {
    void (*changed)(void *context); /* ring_wanted() has */
    void *context;
    struct ring_wish_watcher *next; /* private */
};
void ring_watch_wishes(struct ring *ring, struct ring_wish_watcher *watcher); /* borrowed */

/* What every client takes, even within an answer: python3-websockets closes above 1 MiB. */
#define EVENT_FRAME_MAX (960 * 1024)

/* Writes the text of an 'event' notification: what ring_publish() does, and what snapshots are made
   of (whose items have "snapshot": true in their params).  Any thread. */
void event_write(struct writer *writer, const char *instance, uint64_t seq, int64_t time_ns,
                 const char *topic, const char *subject, const char *data, size_t data_size,
                 bool snapshot);

/* Writes an unmasked text frame's header for 'size' bytes of payload; returns its length (2-10). */
size_t frame_header(unsigned char ret_header[10], size_t size);

#endif
