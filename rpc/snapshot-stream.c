/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/snapshot-stream.h"

#include <assert.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/snapshot.h"
#include "agent/task.h"
#include "events/topic.h"

#define RESULT_SIZE_MAX (256 * 1024 * 1024)  /* bytes of one provider's items */
#define RESULTS_SIZE_MAX (512 * 1024 * 1024) /* bytes of all that are kept: then LimitExceeded */
#define SHARED_NS NS_PER_S /* how old a result may be that another subscriber gets too */

/* In a result's text, each followed by the subject with its NUL, and the JSON text. */
struct item_head {
    unsigned topic_index;
    uint32_t subject_size; /* with the NUL */
    uint32_t json_size;
};

/* What one provider told, shared by all who asked at about the same time. */
struct snapshot_result {
    struct job job;
    struct rpc_subscriptions *subscriptions;
    const struct snapshot_provider *provider;
    void *begun; /* the provider's own, between begin() and end() */
    char instance[UUID_TEXT_SIZE];
    uint64_t base;             /* the newest event when it began */
    int64_t time_ns, begun_ns; /* wall clock, monotonic */
    struct text items;         /* the worker's until 'ready' */
    struct writer writer;      /* likewise */
    struct error *error;       /* why items are missing, or NULL */
    bool too_large;
    bool ready;
    size_t references;            /* one a stream, and one while it runs */
    struct snapshot_result *next; /* of subscriptions->results */
};

struct snapshot_stream {
    struct subscriber *subscriber;
    struct filter *filter;
    uint64_t missed_next, missed_last;
    struct snapshot_result **results;
    size_t result_count;
    size_t result_at, item_at; /* what is sent next: byte 'item_at' of results[result_at] */
    bool released;             /* all results are ready; the two below are set */
    uint64_t replay_next, replay_last;
    struct snapshot_stream *next; /* of the subscriber, in the order of the calls */
    struct snapshot_stream *next_of_all, *previous_of_all; /* of subscriptions->streams */
};

/* Running tasks, from the table that the loop owns. */

struct task_items {
    snapshot_item *item;
    void *context;
};

static void
tell_task(void *context, const char *id, const struct text *status)
{
    const struct task_items *items = context;

    items->item(items->context, "task.started", id, status);
}

static bool
tell_tasks(void *begun, snapshot_item *item, void *item_context, struct error **err)
{
    struct task_items items = { item, item_context };

    (void)err; /* nothing here can fail */
    task_each_active(begun, tell_task, &items);
    return true;
}

static void *
begin_tasks(void *context)
{
    const struct rpc *rpc = context;

    return rpc->agent;
}

void
snapshot_streams_open(struct rpc *rpc)
{
    struct snapshot_provider *provider = xalloc(sizeof(*provider)); /* the registry borrows it */

    *provider = (struct snapshot_provider){
        .topic = "task.started",
        .pool = POOL_LOOP,
        .begin = begin_tasks,
        .write = tell_tasks,
        .provider_context = rpc,
    };
    snapshot_register(rpc->agent, provider);
}

/* Results. */

static void
result_unref(struct snapshot_result *result)
{
    struct snapshot_result **place = &result->subscriptions->results;

    assert(result->references > 0);
    if (--result->references > 0)
        return;
    while (*place != result)
        place = &(*place)->next;
    *place = result->next;
    result->subscriptions->result_size -= result->items.length;
    text_done(&result->items);
    writer_done(&result->writer);
    error_free(result->error);
    free(result);
}

/* On the provider's thread. */
static void
add_item(void *context, const char *topic, const char *subject, const struct text *data)
{
    struct snapshot_result *result = context;
    struct item_head head = { .topic_index = topic_index(topic) };

    if (result->too_large)
        return;
    if (!subject)
        subject = "";
    writer_clear(&result->writer);
    event_write(&result->writer, result->instance, result->base, result->time_ns, topic, subject,
                data->bytes, data->length, true);
    head.subject_size = (uint32_t)strlen(subject) + 1;
    head.json_size = (uint32_t)result->writer.text.length;
    if (result->items.length + sizeof(head) + head.subject_size + head.json_size >
        RESULT_SIZE_MAX) {
        result->too_large = true;
        return;
    }
    text_append(&result->items, &head, sizeof(head));
    text_append(&result->items, subject, head.subject_size);
    text_append(&result->items, result->writer.text.bytes, head.json_size);
}

static void
run_provider(struct job *job)
{
    struct snapshot_result *result = CONTAINER_OF(job, struct snapshot_result, job);

    if (!result->provider->write(result->begun, add_item, result, &result->error))
        return;
    if (result->too_large)
        error_set(&result->error, ERROR_LIMIT_EXCEEDED,
                  "the snapshot of '%s' is larger than %d bytes", result->provider->topic,
                  RESULT_SIZE_MAX);
}

static void release_ready(struct rpc_subscriptions *subscriptions);

static void
provider_finished(struct job *job)
{
    struct snapshot_result *result = CONTAINER_OF(job, struct snapshot_result, job);
    struct rpc_subscriptions *subscriptions = result->subscriptions;

    LOOP_ONLY();
    if (result->provider->end)
        result->provider->end(result->begun);
    writer_done(&result->writer);
    if (result->error)
        log_warning("a snapshot of '%s' is incomplete, going on: %s", result->provider->topic,
                    result->error->message);
    result->ready = true;
    subscriptions->result_size += result->items.length;
    release_ready(subscriptions);
    result_unref(result);
}

/* One that somebody asked for just now, while the ring still knows all that happened since. */
static struct snapshot_result *
find_result(const struct rpc_subscriptions *subscriptions, const struct snapshot_provider *provider)
{
    int64_t now = clock_monotonic_ns();

    for (struct snapshot_result *result = subscriptions->results; result; result = result->next)
        if (result->provider == provider && now - result->begun_ns < SHARED_NS &&
            result->base + 1 >= ring_oldest(subscriptions->ring))
            return result;
    return NULL;
}

static bool
start_result(struct rpc_subscriptions *subscriptions, const struct snapshot_provider *provider,
             struct snapshot_result **ret_result, struct error **err)
{
    struct agent *agent = subscriptions->rpc->agent;
    struct snapshot_result *result = xalloc(sizeof(*result));

    result->subscriptions = subscriptions;
    result->provider = provider;
    result->base = ring_newest(subscriptions->ring);
    (void)snprintf(result->instance, sizeof(result->instance), "%s", agent->instance);
    result->time_ns = clock_wall_ns();
    result->begun_ns = clock_monotonic_ns();
    result->references = 2; /* the caller's, and its own while it runs */
    result->next = subscriptions->results;
    subscriptions->results = result;
    result->job.run = run_provider;
    result->job.finished = provider_finished;
    result->job.lane = &subscriptions->lanes[provider->pool];
    result->job.pool = provider->pool;
    if (provider->begin)
        result->begun = provider->begin(provider->provider_context);
    else
        result->begun = provider->provider_context;
    if (provider->pool == POOL_LOOP) {
        run_provider(&result->job);
        provider_finished(&result->job);
    } else if (!workers_submit(agent->workers, &result->job, err)) {
        if (provider->end)
            provider->end(result->begun);
        result_unref(result);
        result_unref(result);
        return false;
    }
    *ret_result = result;
    return true;
}

static bool
take_result(struct rpc_subscriptions *subscriptions, const struct snapshot_provider *provider,
            struct snapshot_result **ret_result, struct error **err)
{
    struct snapshot_result *result = find_result(subscriptions, provider);

    if (!result)
        return start_result(subscriptions, provider, ret_result, err);
    result->references++;
    *ret_result = result;
    return true;
}

/* Streams. */

static void
stream_free(struct snapshot_stream *stream)
{
    struct rpc_subscriptions *subscriptions = stream->subscriber->connection->rpc->subscriptions;

    for (size_t i = 0; i < stream->result_count; i++)
        result_unref(stream->results[i]);
    free(stream->results);
    if (stream->previous_of_all)
        stream->previous_of_all->next_of_all = stream->next_of_all;
    else if (subscriptions->streams == stream)
        subscriptions->streams = stream->next_of_all;
    if (stream->next_of_all)
        stream->next_of_all->previous_of_all = stream->previous_of_all;
    free(stream);
}

static void
link_stream(struct rpc_subscriptions *subscriptions, struct snapshot_stream *stream)
{
    struct snapshot_stream **place = &stream->subscriber->streams;

    while (*place)
        place = &(*place)->next;
    *place = stream;
    stream->next_of_all = subscriptions->streams;
    if (stream->next_of_all)
        stream->next_of_all->previous_of_all = stream;
    subscriptions->streams = stream;
}

/* When all its providers are done: fixes the end, from where on the filter counts. */
static void
release_if_ready(struct snapshot_stream *stream)
{
    const struct ring *ring = stream->subscriber->connection->rpc->subscriptions->ring;

    if (stream->released)
        return;
    for (size_t i = 0; i < stream->result_count; i++)
        if (!stream->results[i]->ready)
            return;
    stream->released = true;
    stream->replay_last = ring_newest(ring);
    stream->replay_next = stream->replay_last + 1;
    for (size_t i = 0; i < stream->result_count; i++)
        if (stream->results[i]->base + 1 < stream->replay_next)
            stream->replay_next = stream->results[i]->base + 1;
    /* The call came after all that is missed; what lies between is told by the snapshot. */
    subscription_release(stream->subscriber, stream->filter, stream->replay_last + 1);
    connection_wake(stream->subscriber->connection);
}

static void
release_ready(struct rpc_subscriptions *subscriptions)
{
    for (struct snapshot_stream *stream = subscriptions->streams; stream;
         stream = stream->next_of_all)
        release_if_ready(stream);
}

bool
snapshot_stream_open(struct subscriber *subscriber, struct filter *filter, uint64_t missed,
                     struct error **err)
{
    struct rpc_subscriptions *subscriptions = subscriber->connection->rpc->subscriptions;
    const struct snapshot_provider *provider;
    struct snapshot_stream *stream;

    LOOP_ONLY();
    if (subscriptions->result_size > RESULTS_SIZE_MAX) {
        error_set(err, ERROR_LIMIT_EXCEEDED,
                  "snapshots hold %zu bytes for subscribers that do not read them: ask again later",
                  subscriptions->result_size);
        error_data_text(err, "limit", "snapshotBytes");
        return error_data_number(err, "max", RESULTS_SIZE_MAX);
    }
    stream = xalloc(sizeof(*stream));
    stream->subscriber = subscriber;
    stream->filter = filter;
    stream->missed_next = missed;
    stream->missed_last = ring_newest(subscriptions->ring);
    for (size_t n = 0; (provider = snapshot_provider_at(subscriptions->rpc->agent, n)); n++) {
        if (!(filter->wish.topics >> topic_index(provider->topic) & 1))
            continue;
        stream->results =
            xrealloc(stream->results, (stream->result_count + 1) * sizeof(stream->results[0]));
        if (!take_result(subscriptions, provider, &stream->results[stream->result_count], err)) {
            stream_free(stream);
            return false;
        }
        /* What came after an item was read comes after the item: it is replayed. */
        if (stream->results[stream->result_count]->base < stream->missed_last)
            stream->missed_last = stream->results[stream->result_count]->base;
        stream->result_count++;
    }
    link_stream(subscriptions, stream);
    release_if_ready(stream);
    connection_wake(subscriber->connection);
    return true;
}

void
snapshot_stream_forget(struct subscriber *subscriber, const struct filter *filter)
{
    struct snapshot_stream **place = &subscriber->streams;

    while (*place && (*place)->filter != filter)
        place = &(*place)->next;
    if (*place) {
        struct snapshot_stream *stream = *place;

        *place = stream->next;
        stream_free(stream);
    }
}

/* An event as a part of the snapshot: "snapshot":true before the two closing braces. */
static void
append_marked(struct text *out, const struct event *event)
{
    static const char mark[] = ",\"snapshot\":true}}";
    unsigned char header[10];

    text_append(out, header, frame_header(header, event->json_size - 2 + sizeof(mark) - 1));
    text_append(out, event->json, event->json_size - 2);
    text_append(out, mark, sizeof(mark) - 1);
}

/* Events '*next' to 'last' from the ring; true: out is full. */
static bool
fill_replay(struct snapshot_stream *stream, uint64_t *next, uint64_t last, bool marked, size_t end)
{
    struct connection *connection = stream->subscriber->connection;
    const struct ring *ring = connection->rpc->subscriptions->ring;

    while (*next <= last) {
        const struct event *event;

        if (connection->out.length >= end)
            return true;
        event = ring_get(ring, *next);
        if (!event) {
            uint64_t lost = ring_oldest(ring) - 1 < last ? ring_oldest(ring) - 1 : last;

            gap_append(&connection->out, ring, *next, lost);
            *next = lost + 1;
            continue;
        }
        (*next)++;
        if (!wish_match(&stream->filter->wish, event))
            continue;
        if (marked)
            append_marked(&connection->out, event);
        else
            (void)event_append(&connection->out, event, FORM_EVENT);
        connection->rpc->event_count++;
    }
    return false;
}

static bool
fill_items(struct snapshot_stream *stream, size_t end)
{
    struct connection *connection = stream->subscriber->connection;

    for (; stream->result_at < stream->result_count; stream->result_at++, stream->item_at = 0) {
        const struct text *items = &stream->results[stream->result_at]->items;

        while (stream->item_at < items->length) {
            const char *subject = items->bytes + stream->item_at + sizeof(struct item_head);
            struct event event;
            struct item_head head;

            if (connection->out.length >= end)
                return true;
            memcpy(&head, items->bytes + stream->item_at, sizeof(head));
            stream->item_at += sizeof(head) + head.subject_size + head.json_size;
            event = (struct event){ .topic_index = head.topic_index, .subject = subject };
            if (!wish_match(&stream->filter->wish, &event))
                continue;
            frame_append(&connection->out, subject + head.subject_size, head.json_size);
            connection->rpc->event_count++;
        }
    }
    return false;
}

/* event.synced {instance, seq}; where a provider failed also "incomplete", the topics that it
   could not tell. */
static void
append_synced(const struct snapshot_stream *stream)
{
    struct connection *connection = stream->subscriber->connection;
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    bool incomplete = false;

    writer_object(&writer);
    writer_member_string(&writer, "jsonrpc", "2.0");
    writer_member_string(&writer, "method", "event.synced");
    writer_key(&writer, "params");
    writer_object(&writer);
    writer_member_string(&writer, "instance", connection->rpc->agent->instance);
    writer_member_unsigned(&writer, "seq", stream->replay_last);
    for (size_t i = 0; i < stream->result_count; i++) {
        if (!stream->results[i]->error)
            continue;
        if (!incomplete) {
            incomplete = true;
            writer_key(&writer, "incomplete");
            writer_array(&writer);
        }
        writer_string(&writer, stream->results[i]->provider->topic);
    }
    if (incomplete)
        writer_end_array(&writer);
    writer_end_object(&writer);
    writer_end_object(&writer);
    frame_append(&connection->out, writer.text.bytes, writer.text.length);
}

bool
snapshot_stream_fill(struct subscriber *subscriber, size_t end)
{
    struct snapshot_stream **place = &subscriber->streams;

    while (*place) {
        struct snapshot_stream *stream = *place;

        if (fill_replay(stream, &stream->missed_next, stream->missed_last, false, end))
            return true;
        if (!stream->released) {
            place = &stream->next; /* its providers wake us; newer events need not wait for it */
            continue;
        }
        if (fill_items(stream, end) ||
            fill_replay(stream, &stream->replay_next, stream->replay_last, true, end))
            return true;
        append_synced(stream);
        *place = stream->next;
        stream_free(stream);
    }
    return false;
}
