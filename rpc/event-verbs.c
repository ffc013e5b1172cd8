/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.*, rpc.on and rpc.off.  All run on the loop at once, so that an answer is queued before the
 * first event of what it answers.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include "agent/agent.h"
#include "events/ring.h"
#include "events/topic.h"
#include "rpc/rpc.h"
#include "rpc/snapshot-stream.h"
#include "rpc/subscription.h"

#define HISTORY_SIZE_MAX (500 * 1024) /* bytes of one page's events; a single one may be larger */

#define SEQ_SCHEMA "{\"type\":\"integer\",\"minimum\":0}"

static const struct shape subscription_shape = {
    .name = "Subscription",
    .schema = "{\"type\":\"object\",\"required\":[\"subscription\",\"instance\",\"seq\",\"oldest\","
              "\"resync\"],\"additionalProperties\":false,\"properties\":{"
              "\"subscription\":{\"type\":\"string\"},\"instance\":{\"type\":\"string\"},"
              "\"seq\":" SEQ_SCHEMA ",\"oldest\":" SEQ_SCHEMA ","
              "\"resync\":{\"type\":\"boolean\"}}}",
};

static const struct shape history_shape = {
    .name = "EventHistory",
    .schema = "{\"type\":\"object\",\"required\":[\"instance\",\"events\"],"
              "\"additionalProperties\":false,\"properties\":{\"instance\":{\"type\":\"string\"},"
              "\"events\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":["
              "\"instance\",\"seq\",\"time\",\"topic\",\"subject\",\"data\"],"
              "\"additionalProperties\":false,\"properties\":{\"instance\":{\"type\":\"string\"},"
              "\"seq\":" SEQ_SCHEMA ",\"time\":{\"type\":\"string\"},"
              "\"topic\":{\"type\":\"string\"},\"subject\":{\"type\":[\"string\",\"null\"]},"
              "\"data\":{}}}},\"next\":" SEQ_SCHEMA "}}",
};

static const struct shape topics_shape = {
    .name = "TopicOutcomes",
    .schema = "{\"type\":\"object\",\"additionalProperties\":{\"const\":\"ok\"}}",
};

struct subscribe_args {
    char **topics;
    char *subject, *instance;
    int64_t since;
    bool has_since;
    bool snapshot;
};

struct unsubscribe_args {
    char *subscription;
};

struct history_args {
    char **topics;
    int64_t since, limit;
};

struct topics_args {
    char **topics;
};

/* The connection that asks, where events can be sent to. */
static bool
find_listener(const struct call *call, struct connection **ret_connection, struct error **err)
{
    struct connection *connection = connection_find(call->context, call_connection(call));

    if (connection && !connection->http && !connection->closed) {
        *ret_connection = connection;
        return true;
    }
    error_set(err, ERROR_WRONG_STATE,
              "events are sent over a WebSocket: call '%s' over one, or poll 'event.history'",
              call->verb->name);
    error_data_text(err, "state", "http");
    return error_data_text(err, "needs", "websocket");
}

/* No topics at all mean every topic. */
static bool
read_topics(char *const *topics, uint64_t *ret_mask, struct error **err)
{
    uint64_t mask = topics ? 0 : UINT64_MAX;

    if (topics && !*topics)
        return error_param(err, "topics", "must name at least one topic: leave it out for all");
    for (; topics && *topics; topics++) {
        if (!topic_pattern_check(*topics, err))
            return false;
        mask |= topic_mask(*topics);
    }
    *ret_mask = mask;
    return true;
}

/* Whether all that came after 'since' is still there, of this instance. */
static bool
can_resume(const struct ring *ring, const struct subscribe_args *args)
{
    return args->has_since && args->instance && strcmp(args->instance, ring_instance(ring)) == 0 &&
           (uint64_t)args->since <= ring_newest(ring) &&
           (uint64_t)args->since + 1 >= ring_oldest(ring);
}

static bool
subscribe(struct connection *connection, const struct subscribe_args *args, uint64_t topics,
          bool resumed, struct filter **ret_filter, struct error **err)
{
    const struct ring *ring = connection->rpc->agent->ring;
    struct wish wish = { .topics = topics, .subject = args->subject };
    uint64_t from = resumed ? (uint64_t)args->since + 1 : ring_newest(ring) + 1;

    if (!subscription_add(connection, &wish, args->snapshot ? FROM_HELD : from, NULL, ret_filter,
                          err))
        return false;
    if (!args->snapshot || snapshot_stream_open(connection->subscriber, *ret_filter, from, err))
        return true;
    subscription_remove(connection, *ret_filter);
    return false;
}

static enum outcome
run_subscribe(struct call *call)
{
    const struct subscribe_args *args = call->args;
    const struct ring *ring = call->agent->ring;
    bool resumed = can_resume(ring, args);
    struct writer *writer = call_result(call);
    struct connection *connection;
    struct error *error = NULL;
    struct filter *filter;
    uint64_t topics;

    if (!find_listener(call, &connection, &error) || !read_topics(args->topics, &topics, &error) ||
        !subscribe(connection, args, topics, resumed, &filter, &error))
        return call_fail(call, TAKE(error));
    writer_object(writer);
    writer_key(writer, "subscription");
    writer_printf(writer, "s%" PRIu64, filter->number);
    writer_member_string(writer, "instance", ring_instance(ring));
    writer_member_unsigned(writer, "seq", ring_newest(ring));
    writer_member_unsigned(writer, "oldest", ring_oldest(ring));
    writer_member_bool(writer, "resync", args->has_since && !resumed);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

static bool
unsubscribe(struct connection *connection, const char *name, struct error **err)
{
    struct filter *filter = NULL;
    char digits[20];
    int length = 0;

    /* Digits alone: a number may begin with a blank or a sign. */
    if (sscanf(name, "s%19[0-9]%n", digits, &length) == 1 && name[length] == '\0')
        filter = subscription_find(connection, strtoull(digits, NULL, 10), NULL);
    if (!filter) {
        error_set(err, ERROR_NOT_FOUND, "this connection has no subscription '%s'", name);
        error_data_text(err, "kind", "subscription");
        return error_data_text(err, "id", "%s", name);
    }
    subscription_remove(connection, filter);
    return true;
}

static enum outcome
run_unsubscribe(struct call *call)
{
    const struct unsubscribe_args *args = call->args;
    struct writer *writer = call_result(call);
    struct connection *connection;
    struct error *error = NULL;

    if (!find_listener(call, &connection, &error) ||
        !unsubscribe(connection, args->subscription, &error))
        return call_fail(call, TAKE(error));
    writer_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

/* The next event from 'seq' on that is of these topics; NULL: none. */
static const struct event *
find_event(const struct ring *ring, uint64_t seq, uint64_t topics)
{
    const struct event *event;

    for (; (event = ring_get(ring, seq)); seq++)
        if (topics >> event->topic_index & 1)
            return event;
    return NULL;
}

static enum outcome
run_history(struct call *call)
{
    const struct history_args *args = call->args;
    const struct ring *ring = call->agent->ring;
    struct writer *writer = call_result(call);
    const struct event *event;
    struct error *error = NULL;
    uint64_t topics, seq = (uint64_t)args->since + 1;
    int64_t count = 0;

    if (!read_topics(args->topics, &topics, &error))
        return call_fail(call, TAKE(error));
    if (seq < ring_oldest(ring))
        seq = ring_oldest(ring);
    writer_object(writer);
    writer_member_string(writer, "instance", ring_instance(ring));
    writer_key(writer, "events");
    writer_array(writer);
    while ((event = find_event(ring, seq, topics)) && count < args->limit &&
           (count == 0 || writer->text.length + event->params_size < HISTORY_SIZE_MAX)) {
        writer_json(writer, event->params, event->params_size);
        seq = event->seq + 1;
        count++;
    }
    writer_end_array(writer);
    if (event)
        writer_member_unsigned(writer, "next", seq - 1);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

/* The n-th of 'topics' was named before. */
static bool
is_repeated(char *const *topics, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(topics[i], topics[n]) == 0)
            return true;
    return false;
}

static void
write_outcomes(char *const *topics, struct writer *writer)
{
    writer_object(writer);
    for (size_t i = 0; topics[i]; i++)
        if (!is_repeated(topics, i))
            writer_member_string(writer, topics[i], "ok");
    writer_end_object(writer);
}

/* All of them or none. */
static bool
subscribe_topics(struct connection *connection, char *const *topics, struct error **err)
{
    uint64_t from = ring_newest(connection->rpc->agent->ring) + 1;
    _cleanup_free_ struct filter **added = NULL;
    struct filter *filter;
    size_t count = 0;

    while (topics[count])
        count++;
    added = xalloc((count + 1) * sizeof(struct filter *));
    count = 0;
    for (size_t i = 0; topics[i]; i++) {
        struct wish wish = { .topics = topic_mask(topics[i]), .by_topic = true };

        if (subscription_find(connection, 0, topics[i]))
            continue;
        if (!subscription_add(connection, &wish, from, topics[i], &filter, err)) {
            while (count > 0)
                subscription_remove(connection, added[--count]);
            return false;
        }
        added[count++] = filter;
    }
    return true;
}

static enum outcome
run_on(struct call *call)
{
    const struct topics_args *args = call->args;
    struct connection *connection;
    struct error *error = NULL;
    uint64_t topics;

    if (!find_listener(call, &connection, &error) || !read_topics(args->topics, &topics, &error) ||
        !subscribe_topics(connection, args->topics, &error))
        return call_fail(call, TAKE(error));
    write_outcomes(args->topics, call_result(call));
    return call_complete(call, NULL);
}

static enum outcome
run_off(struct call *call)
{
    const struct topics_args *args = call->args;
    struct connection *connection;
    struct error *error = NULL;
    uint64_t topics;

    if (!find_listener(call, &connection, &error) || !read_topics(args->topics, &topics, &error))
        return call_fail(call, TAKE(error));
    for (size_t i = 0; args->topics[i]; i++) {
        struct filter *filter = subscription_find(connection, 0, args->topics[i]);

        if (filter)
            subscription_remove(connection, filter);
    }
    write_outcomes(args->topics, call_result(call));
    return call_complete(call, NULL);
}

#define TOPICS_ABOUT                                                                               \
    "Topics: names or patterns such as 'task.*', 'image.changed' or '*'; all when it is left out."

const struct verb event_verbs[] = {
    {
        .name = "event.subscribe",
        .summary = "Be sent events over this connection from now on, or from a point in the past.",
        .description =
            "Each event is a notification 'event'; one that several subscriptions of a connection "
            "want is sent once. With 'since' and 'instance' as last seen, what was missed follows "
            "first; where that is not possible the answer's 'resync' is true. With 'snapshot', the "
            "present state follows as events marked so, closed by 'event.synced'.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct subscribe_args),
        .params = PARAMS(
            PARAM(subscribe_args, topics, "topics", .type = PARAM_TEXTS, .about = TOPICS_ABOUT),
            PARAM(subscribe_args, subject, "subject", .type = PARAM_TEXT,
                  .about = "Only events about this subject, such as a task's id."),
            PARAM(subscribe_args, instance, "instance", .type = PARAM_TEXT,
                  .about = "The instance that 'since' is of."),
            PARAM(subscribe_args, since, "since", .type = PARAM_INTEGER, .minimum = 0,
                  .maximum = INT64_MAX, .present = PRESENT(subscribe_args, has_since),
                  .about = "The number of the last event seen: those after it are sent first."),
            PARAM(subscribe_args, snapshot, "snapshot", .type = PARAM_BOOL, .fallback = "false",
                  .about = "Whether the present state of what the topics cover is sent first.")),
        .result = &subscription_shape,
        .errors = ERRORS(ERROR_BUSY, ERROR_LIMIT_EXCEEDED, ERROR_WRONG_STATE),
        .steps = STEPS({ "subscribe", run_subscribe, .pool = POOL_LOOP }),
    },
    {
        .name = "event.unsubscribe",
        .summary = "End a subscription of this connection.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct unsubscribe_args),
        .params = PARAMS(PARAM(unsubscribe_args, subscription, "subscription", .type = PARAM_TEXT,
                               .required = true,
                               .about = "The subscription, as event.subscribe answered it.")),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "unsubscribe", run_unsubscribe, .pool = POOL_LOOP }),
    },
    {
        .name = "event.history",
        .summary = "List the events that are still remembered, oldest first.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct history_args),
        .params = PARAMS(
            PARAM(history_args, topics, "topics", .type = PARAM_TEXTS, .about = TOPICS_ABOUT),
            PARAM(history_args, since, "since", .type = PARAM_INTEGER, .minimum = 0,
                  .maximum = INT64_MAX - 1,
                  .about = "Only events after this number; an answer's 'next' goes on there."),
            PARAM(history_args, limit, "limit", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = 1000, .fallback = "100", .about = "How many events at most.")),
        .result = &history_shape,
        .steps = STEPS({ "list", run_history, .pool = POOL_LOOP }),
    },
    {
        .name = "rpc.on",
        .summary = "Be sent events as notifications whose method is the topic.",
        .description = "For clients such as the npm package rpc-websockets: the parameters are the "
                       "topics, by position, and the answer says 'ok' for each.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct topics_args),
        .params = PARAMS(PARAM(topics_args, topics, "topics", .type = PARAM_TEXTS, .required = true,
                               .about = "Topics, or patterns of them.")),
        .result = &topics_shape,
        .errors = ERRORS(ERROR_LIMIT_EXCEEDED, ERROR_WRONG_STATE),
        .steps = STEPS({ "subscribe", run_on, .pool = POOL_LOOP }),
    },
    {
        .name = "rpc.off",
        .summary = "End what rpc.on began, by the same topics.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct topics_args),
        .params = PARAMS(PARAM(topics_args, topics, "topics", .type = PARAM_TEXTS, .required = true,
                               .about = "Topics, or patterns of them, as given to rpc.on.")),
        .result = &topics_shape,
        .errors = ERRORS(ERROR_WRONG_STATE),
        .steps = STEPS({ "unsubscribe", run_off, .pool = POOL_LOOP }),
    },
    { 0 },
};
