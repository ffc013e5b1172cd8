/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/subscription.h"

#include <assert.h>
#include <inttypes.h>

#include "agent/base/thread.h"
#include "agent/config.h"
#include "rpc/snapshot-stream.h"

/* Bookmarks: one timer for all.  A subscriber that was told nothing in three ticks gets one, so the
   first comes 10 to 15 s after the last event, and then one every 15 s. */
#define TICK_MS 5000
#define QUIET_TICKS 3

static void published(void *context);
static void tick(struct timer *timer);

void
subscriptions_open(struct rpc *rpc)
{
    struct rpc_subscriptions *subscriptions = xalloc(sizeof(*subscriptions));

    subscriptions->rpc = rpc;
    subscriptions->ring = rpc->agent->ring;
    subscriptions->flushed = ring_newest(subscriptions->ring);
    subscriptions->tick.fire = tick;
    for (size_t i = 0; i < ARRAY_COUNT(subscriptions->lanes); i++)
        subscriptions->lanes[i] = (struct lane){ .name = "snapshots", .limit = 2 };
    (void)uv_prepare_init(loop_uv(rpc->agent->loop), &subscriptions->flush); /* cannot fail */
    subscriptions->flush.data = subscriptions;
    rpc->subscriptions = subscriptions;
    snapshot_streams_open(rpc);
    ring_watch(subscriptions->ring, published, subscriptions);
}

static void
leave_audience(struct rpc_subscriptions *subscriptions, struct subscriber *subscriber)
{
    struct audience *audience = subscriber->audience;

    if (!audience)
        return;
    if (subscriber->previous)
        subscriber->previous->next = subscriber->next;
    else
        audience->first = subscriber->next;
    if (subscriber->next)
        subscriber->next->previous = subscriber->previous;
    subscriber->next = subscriber->previous = NULL;
    subscriber->audience = NULL;
    audience_leave(&subscriptions->audiences, audience);
}

/* Before the filters change.  Nothing up to the last flush concerns one that is not behind, but its
   cursor may stand far back, at events that the new filters would want. */
static void
bring_forward(const struct rpc_subscriptions *subscriptions, struct subscriber *subscriber)
{
    if (!subscriber->behind && subscriber->cursor <= subscriptions->flushed)
        subscriber->cursor = subscriptions->flushed + 1;
}

/* After the filters have changed. */
static void
rejoin_audience(struct rpc_subscriptions *subscriptions, struct subscriber *subscriber)
{
    _cleanup_free_ struct wish *wishes = NULL;
    size_t count = 0, room = 0;

    for (struct filter *filter = subscriber->filters; filter; filter = filter->next)
        room++;
    wishes = xalloc((room + 1) * sizeof(wishes[0]));
    for (struct filter *filter = subscriber->filters; filter; filter = filter->next)
        if (filter->from != FROM_HELD)
            wishes[count++] = filter->wish;
    leave_audience(subscriptions, subscriber);
    if (count == 0) {
        subscriber->behind = false;
        return;
    }
    subscriber->audience = audience_join(&subscriptions->audiences, wishes, count);
    subscriber->next = subscriber->audience->first;
    if (subscriber->next)
        subscriber->next->previous = subscriber;
    subscriber->audience->first = subscriber;
}

void
subscription_release(struct subscriber *subscriber, struct filter *filter, uint64_t from)
{
    struct rpc_subscriptions *subscriptions = subscriber->connection->rpc->subscriptions;

    bring_forward(subscriptions, subscriber);
    if (!subscriber->audience) {
        subscriber->cursor = subscriber->settled = from;
    } else if (from < subscriber->cursor) {
        for (struct filter *other = subscriber->filters; other; other = other->next)
            if (other->from < subscriber->cursor)
                other->from = subscriber->cursor;
        if (subscriber->settled < subscriber->cursor)
            subscriber->settled = subscriber->cursor;
        subscriber->cursor = from;
    } else if (from > subscriber->settled) {
        subscriber->settled = from;
    }
    filter->from = from;
    if (from <= ring_newest(subscriptions->ring))
        subscriber->behind = true;
    rejoin_audience(subscriptions, subscriber);
    if (subscriber->behind)
        connection_wake(subscriber->connection);
}

bool
subscription_add(struct connection *connection, const struct wish *wish, uint64_t from,
                 const char *pattern, struct filter **ret_filter, struct error **err)
{
    struct rpc_subscriptions *subscriptions = connection->rpc->subscriptions;
    uint64_t limit = connection->rpc->agent->config->limits.connection_subscriptions;
    struct subscriber *subscriber = connection->subscriber;
    struct filter *filter;

    LOOP_ONLY();
    if (connection->subscriptions >= limit) {
        error_set(err, ERROR_LIMIT_EXCEEDED,
                  "the connection has %zu subscriptions: end one of them, or widen its topics",
                  connection->subscriptions);
        error_data_text(err, "limit", "connectionSubscriptions");
        return error_data_number(err, "max", (int64_t)limit);
    }
    if (!subscriber) {
        subscriber = xalloc(sizeof(*subscriber));
        subscriber->connection = connection;
        connection->subscriber = subscriber;
    }
    filter = xalloc(sizeof(*filter));
    filter->wish = *wish;
    filter->wish.subject = wish->subject ? xstrdup(wish->subject) : NULL;
    filter->pattern = pattern ? xstrdup(pattern) : NULL;
    filter->number = pattern ? 0 : ++subscriptions->last_number;
    filter->from = FROM_HELD;
    filter->next = subscriber->filters;
    subscriber->filters = filter;
    connection->subscriptions++;
    ring_want(subscriptions->ring, wish->topics, 1);
    if (subscriptions->filter_count++ == 0)
        timer_arm(connection->rpc->agent->loop, &subscriptions->tick, TICK_MS);
    if (from != FROM_HELD)
        subscription_release(subscriber, filter, from);
    *ret_filter = filter;
    return true;
}

struct filter *
subscription_find(const struct connection *connection, uint64_t number, const char *pattern)
{
    struct filter *filter = connection->subscriber ? connection->subscriber->filters : NULL;

    while (filter && (pattern ? !filter->pattern || strcmp(filter->pattern, pattern) != 0
                              : filter->pattern || filter->number != number))
        filter = filter->next;
    return filter;
}

static void
free_filter(struct rpc_subscriptions *subscriptions, struct filter *filter)
{
    ring_want(subscriptions->ring, filter->wish.topics, -1);
    free((char *)(uintptr_t)filter->wish.subject);
    free(filter->pattern);
    free(filter);
    if (--subscriptions->filter_count == 0)
        timer_disarm(subscriptions->rpc->agent->loop, &subscriptions->tick);
}

void
subscription_remove(struct connection *connection, struct filter *filter)
{
    struct rpc_subscriptions *subscriptions = connection->rpc->subscriptions;
    struct subscriber *subscriber = connection->subscriber;
    struct filter **place = &subscriber->filters;

    LOOP_ONLY();
    bring_forward(subscriptions, subscriber);
    while (*place != filter)
        place = &(*place)->next;
    *place = filter->next;
    snapshot_stream_forget(subscriber, filter);
    free_filter(subscriptions, filter);
    connection->subscriptions--;
    rejoin_audience(subscriptions, subscriber);
    if (subscriber->filters)
        return;
    connection->subscriber = NULL;
    free(subscriber);
}

void
subscription_forget(struct connection *connection)
{
    struct subscriber *subscriber = connection->subscriber;

    LOOP_ONLY();
    if (!subscriber)
        return;
    leave_audience(connection->rpc->subscriptions, subscriber);
    while (subscriber->filters) {
        struct filter *filter = subscriber->filters;

        subscriber->filters = filter->next;
        snapshot_stream_forget(subscriber, filter);
        free_filter(connection->rpc->subscriptions, filter);
    }
    connection->subscriptions = 0;
    connection->subscriber = NULL;
    free(subscriber);
}

/* The first and last events after 'flushed' that an audience wants; false: none. */
static bool
find_wanted(const struct audience *audience, const struct ring *ring, uint64_t flushed,
            uint64_t *ret_first, uint64_t *ret_last)
{
    uint64_t first = 0, last = 0;

    for (uint64_t seq = flushed + 1; seq <= ring_newest(ring); seq++) {
        const struct event *event = ring_get(ring, seq);

        /* Overtaken within one turn of the loop: it may have been wanted, so they get their gap. */
        if (event && !audience_match(audience, event))
            continue;
        first = first ? first : seq;
        last = seq;
    }
    *ret_first = first;
    *ret_last = last;
    return first != 0;
}

/* Wakes those whom the events since the last flush concern. */
static void
flush_published(struct rpc_subscriptions *subscriptions)
{
    const struct ring *ring = subscriptions->ring;
    uint64_t flushed = subscriptions->flushed, first, last, topics = 0;

    (void)uv_prepare_stop(&subscriptions->flush);
    if (flushed + 1 < ring_oldest(ring))
        topics = UINT64_MAX;
    for (uint64_t seq = flushed + 1; topics != UINT64_MAX && seq <= ring_newest(ring); seq++)
        topics |= UINT64_C(1) << ring_get(ring, seq)->topic_index;
    for (struct audience *audience = subscriptions->audiences.first; audience;
         audience = audience->next) {
        if (!(audience->topics & topics) || !find_wanted(audience, ring, flushed, &first, &last))
            continue;
        for (struct subscriber *subscriber = audience->first; subscriber;
             subscriber = subscriber->next) {
            if (subscriber->behind || subscriber->cursor > last)
                continue;
            if (subscriber->cursor < first)
                subscriber->cursor = first;
            subscriber->behind = true;
            connection_wake(subscriber->connection);
        }
    }
    subscriptions->flushed = ring_newest(ring);
}

static void
flush(uv_prepare_t *handle)
{
    flush_published(handle->data);
}

/*
 * Why a prepare handle: libuv runs these after everything that may publish (timers, posted
 * messages, readable sockets) and before it sleeps, so what one turn publishes is one waking.
 */
static void
published(void *context)
{
    struct rpc_subscriptions *subscriptions = context;

    if (!uv_is_active((uv_handle_t *)&subscriptions->flush))
        (void)uv_prepare_start(&subscriptions->flush, flush);
}

void
gap_append(struct text *out, const struct ring *ring, uint64_t from, uint64_t to)
{
    char json[256];
    int size = snprintf(json, sizeof(json),
                        "{\"jsonrpc\":\"2.0\",\"method\":\"event.gap\",\"params\":{\"instance\":"
                        "\"%s\",\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}}",
                        ring_instance(ring), from, to);

    assert(size > 0 && (size_t)size < sizeof(json));
    frame_append(out, json, (size_t)size);
}

/* Where filters begin at different places, each is asked for itself. */
static unsigned
match_unsettled(const struct subscriber *subscriber, const struct event *event)
{
    unsigned forms = 0;

    for (const struct filter *filter = subscriber->filters; filter; filter = filter->next)
        if (filter->from <= event->seq)
            forms |= wish_match(&filter->wish, event);
    return forms;
}

static uint64_t
fill_unsettled(struct subscriber *subscriber, const struct ring *ring, size_t end)
{
    struct text *out = &subscriber->connection->out;
    uint64_t count = 0;

    while (subscriber->cursor < subscriber->settled && subscriber->cursor <= ring_newest(ring) &&
           out->length < end) {
        const struct event *event = ring_get(ring, subscriber->cursor++);
        unsigned forms = match_unsettled(subscriber, event);

        if (forms)
            count += event_append(out, event, forms);
    }
    return count;
}

/* What is in the ring from the cursor on; true: there is more. */
static bool
fill_events(struct subscriber *subscriber, size_t end)
{
    struct connection *connection = subscriber->connection;
    struct rpc_subscriptions *subscriptions = connection->rpc->subscriptions;
    const struct ring *ring = subscriptions->ring;
    struct text *out = &connection->out;

    if (!subscriber->behind)
        return false;
    while (subscriber->cursor <= ring_newest(ring)) {
        if (out->length >= end)
            return true;
        if (subscriber->cursor < ring_oldest(ring)) {
            gap_append(out, ring, subscriber->cursor, ring_oldest(ring) - 1);
            subscriber->cursor = ring_oldest(ring);
        } else if (subscriber->cursor < subscriber->settled) {
            connection->rpc->event_count += fill_unsettled(subscriber, ring, end);
        } else {
            connection->rpc->event_count +=
                audience_gather(&subscriptions->audiences, subscriber->audience, ring,
                                &subscriber->cursor, end - out->length, out);
        }
    }
    subscriber->behind = false;
    return false;
}

bool
subscription_fill(struct connection *connection, size_t size)
{
    struct subscriber *subscriber = connection->subscriber;
    size_t before = connection->out.length;
    bool more;

    LOOP_ONLY();
    if (!subscriber)
        return false;
    more =
        snapshot_stream_fill(subscriber, before + size) || fill_events(subscriber, before + size);
    if (connection->out.length > before)
        subscriber->quiet_ticks = 0;
    return more;
}

static bool
wants_bookmarks(const struct subscriber *subscriber)
{
    const struct filter *filter = subscriber->filters;

    /* Who used rpc.on alone cannot resume, and would take it for an event of that name. */
    while (filter && filter->pattern)
        filter = filter->next;
    return filter != NULL;
}

static void
tick(struct timer *timer)
{
    struct rpc_subscriptions *subscriptions = CONTAINER_OF(timer, struct rpc_subscriptions, tick);
    char json[256];
    int size;

    flush_published(subscriptions);
    size = snprintf(json, sizeof(json),
                    "{\"jsonrpc\":\"2.0\",\"method\":\"event.bookmark\",\"params\":{\"instance\":"
                    "\"%s\",\"seq\":%" PRIu64 "}}",
                    ring_instance(subscriptions->ring), subscriptions->flushed);
    assert(size > 0 && (size_t)size < sizeof(json));
    for (struct audience *audience = subscriptions->audiences.first; audience;
         audience = audience->next)
        for (struct subscriber *subscriber = audience->first; subscriber;
             subscriber = subscriber->next) {
            /* One that does not read what it was sent is not idle. */
            if (subscriber->behind || subscriber->streams || subscriber->connection->out.length)
                continue;
            if (++subscriber->quiet_ticks < QUIET_TICKS || !wants_bookmarks(subscriber))
                continue;
            subscriber->quiet_ticks = 0;
            connection_send(subscriber->connection, json, (size_t)size);
        }
    timer_arm(subscriptions->rpc->agent->loop, timer, TICK_MS);
}
