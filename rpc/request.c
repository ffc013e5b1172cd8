/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a message to calls, and from their answers back to one message.
 *
 *      connection ──replies──► reply ◄──answer_context── task (agent/)
 *                                │
 *                              batch: the answers of several calls, gathered
 *
 * A reply stands between a task and the connection that asked.  Tasks outlive connections, so a
 * task knows its reply only, and one whose connection has gone sends to nobody.  It lives until its
 * task is over, long after the answer where a verb answers early: only then is the call no longer
 * in flight on its connection.
 */
#include <config.h>

#include <assert.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "agent/task.h"
#include "rpc/answer.h"
#include "rpc/connection.h"
#include "rpc/dispatch.h"
#include "rpc/envelope.h"
#include "rpc/rpc.h"

#define ID_INLINE_SIZE 64               /* ids up to this size need no memory of their own */
#define SPARE_MAX 1024                  /* replies kept for the next calls */
#define BATCH_TEXT_MAX (900 * 1024)     /* our own frames stay under 1 MiB */
#define GATHERED_MAX (64 * 1024 * 1024) /* bytes in all unfinished batches together */
#define SCRATCH_KEPT_MAX (256 * 1024)   /* a larger buffer is given back */

struct batch {
    struct connection *connection; /* NULL: gone */
    struct text text;              /* "[answer,answer"; HTTP: nothing, the body holds it */
    bool begun;                    /* the array is open */
    size_t pending;                /* calls that are not answered yet, and the reading itself */
};

struct reply {
    struct connection *connection; /* NULL: gone */
    struct batch *batch;           /* until it is answered; NULL: a call by itself */
    struct slice id;               /* a copy as it was written; absent: a notification */
    bool awaited;                  /* not answered yet, and somebody wants to know */
    struct reply *next, *previous; /* of the connection; or the next spare one */
    char inline_id[ID_INLINE_SIZE];
};

static struct reply *spare_replies; /* loop only, like all here */
static size_t spare_count;
static struct text scratch;  /* the answer that is being written */
static size_t gathered_size; /* bytes in all batches */

static struct reply *
reply_new(struct connection *connection, struct batch *batch, struct slice id)
{
    struct reply *reply = spare_replies;

    if (reply) {
        spare_replies = reply->next;
        spare_count--;
    } else {
        reply = xalloc(sizeof(*reply));
    }
    reply->connection = connection;
    reply->batch = batch;
    reply->id = id;
    if (id.text) {
        char *copy = id.size <= ID_INLINE_SIZE ? reply->inline_id : xalloc(id.size);

        memcpy(copy, id.text, id.size);
        reply->id.text = copy;
    }
    reply->awaited = id.text != NULL;
    reply->previous = NULL;
    reply->next = connection->replies;
    if (reply->next)
        reply->next->previous = reply;
    connection->replies = reply;
    connection->tasks++;
    return reply;
}

static void
leave_connection(struct reply *reply)
{
    if (!reply->connection)
        return;
    reply->connection->tasks--;
    if (reply->previous)
        reply->previous->next = reply->next;
    else
        reply->connection->replies = reply->next;
    if (reply->next)
        reply->next->previous = reply->previous;
}

static void
reply_free(struct reply *reply)
{
    leave_connection(reply);
    if (reply->id.text != reply->inline_id)
        free((char *)(uintptr_t)reply->id.text);
    if (spare_count >= SPARE_MAX) {
        free(reply);
        return;
    }
    reply->next = spare_replies;
    spare_replies = reply;
    spare_count++;
}

/* One message of the connection, or one call of it, has all that it will get. */
static void
message_answered(struct connection *connection)
{
    assert(connection->unanswered > 0);
    connection->unanswered--;
    if (connection->http && connection->unanswered == 0)
        connection_finish(connection);
}

static void
batch_forget_text(struct batch *batch)
{
    if (batch->connection)
        batch->connection->gathered -= batch->text.length;
    gathered_size -= batch->text.length;
    text_done(&batch->text);
    batch->begun = false;
}

static void
batch_flush(struct batch *batch)
{
    struct connection *connection = batch->connection;

    if (!batch->begun)
        return; /* notifications only */
    if (connection->http) {
        connection_send(connection, "]", 1);
        return;
    }
    text_append_char(&batch->text, ']');
    connection->gathered++;
    gathered_size++;
    connection_send(connection, batch->text.bytes, batch->text.length);
    batch_forget_text(batch);
}

/*
 * Puts what is in 'scratch' into the batch.  HTTP has one body, whose size connection_send()
 * bounds, so the array grows there.  Over a WebSocket answers that would make the frame too large
 * go ahead in an array of their own, and so do those that unfinished batches (of this connection,
 * or of all) would hold too much of: a call may take hours, and the others of its batch with it.
 */
static void
batch_add(struct batch *batch)
{
    struct connection *connection = batch->connection;

    if (!connection->http && batch->text.length + scratch.length > BATCH_TEXT_MAX)
        batch_flush(batch);
    if (connection->http) {
        connection_send(connection, batch->begun ? "," : "[", 1);
        connection_send(connection, scratch.bytes, scratch.length);
        batch->begun = true;
        return;
    }
    text_append_char(&batch->text, batch->begun ? ',' : '[');
    text_append(&batch->text, scratch.bytes, scratch.length);
    batch->begun = true;
    connection->gathered += 1 + scratch.length;
    gathered_size += 1 + scratch.length;
    if (connection->gathered > BATCH_TEXT_MAX || gathered_size > GATHERED_MAX)
        batch_flush(batch);
}

static void
batch_unref(struct batch *batch)
{
    if (--batch->pending > 0)
        return;
    if (batch->connection) {
        batch_flush(batch);
        message_answered(batch->connection);
    }
    batch_forget_text(batch);
    free(batch);
}

/* Sends what is in 'scratch', or puts it into the batch. */
static void
deliver(struct connection *connection, struct batch *batch)
{
    if (batch)
        batch_add(batch);
    else
        connection_send(connection, scratch.bytes, scratch.length);
    text_clear(&scratch);
    if (scratch.capacity > SCRATCH_KEPT_MAX)
        text_done(&scratch);
}

static void
deliver_error(struct connection *connection, struct batch *batch, struct slice id,
              const struct error *error)
{
    answer_error(&scratch, id, error);
    deliver(connection, batch);
}

/* task_request.answer */
static void
answer_reply(void *context, const struct task_answer *answer)
{
    struct reply *reply = context;
    struct connection *connection = reply->connection;

    LOOP_ONLY();
    if (connection && answer->error)
        connection->rpc->error_count++;
    if (!reply->awaited)
        return;
    reply->awaited = false;
    if (connection) {
        if (answer->error)
            answer_error(&scratch, reply->id, answer->error);
        else
            answer_result(&scratch, reply->id, answer->result, answer->result_size);
        deliver(connection, reply->batch);
    }
    if (reply->batch)
        batch_unref(TAKE(reply->batch));
    else if (connection)
        message_answered(connection);
}

/* task_request.ended */
static void
end_reply(void *context)
{
    struct reply *reply = context;

    LOOP_ONLY();
    assert(!reply->awaited && "a task ended without an answer");
    reply_free(reply);
}

static void
start_call(struct connection *connection, struct batch *batch, const struct envelope *envelope,
           struct dispatched *dispatched)
{
    bool awaited = envelope->id.text != NULL;
    struct reply *reply = reply_new(connection, awaited ? batch : NULL, envelope->id);

    if (awaited && batch)
        batch->pending++;
    else if (awaited)
        connection->unanswered++;
    dispatched->request.answer = answer_reply;
    dispatched->request.ended = end_reply;
    dispatched->request.answer_context = reply;
    task_start(connection->rpc->agent, &dispatched->request);
    dispatch_done(dispatched);
}

/* One request, by itself or of a batch. */
static void
handle_request(struct connection *connection, struct batch *batch, const struct envelope *envelope)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct dispatched dispatched;

    if (envelope_is_response(envelope))
        return;
    connection->rpc->request_count++;
    if (!envelope_check(envelope, &error)) {
        connection->rpc->error_count++;
        deliver_error(connection, batch, envelope_answer_id(envelope), error);
        return;
    }
    if (dispatch_prepare(connection, envelope, &dispatched, &error)) {
        start_call(connection, batch, envelope, &dispatched);
        return;
    }
    connection->rpc->error_count++;
    log_debug(NULL, "%s is refused a call: %s", connection->caller, error->message);
    if (envelope->id.text)
        deliver_error(connection, batch, envelope->id, error);
}

static bool
check_count(const struct connection *connection, struct slice batch, struct error **err)
{
    uint64_t max = connection->rpc->agent->config->limits.batch_count;
    struct slice element;
    struct scan scan;
    size_t count = 0;

    scan_inside(&scan, batch);
    while (scan_element(&scan, &element))
        count++;
    if (count == 0)
        return error_set(err, ERROR_INVALID_REQUEST, "an empty batch asks for nothing");
    if (count <= max)
        return true;
    error_set(err, ERROR_LIMIT_EXCEEDED, "the batch has %zu requests: send at most %llu at once",
              count, (unsigned long long)max);
    error_data_text(err, "limit", "batchCount");
    return error_data_number(err, "max", (int64_t)max);
}

/* 'value' is an array that was found valid: nothing of a batch runs before all of it is read. */
static void
handle_batch(struct connection *connection, struct slice value)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct envelope envelope;
    struct batch *batch;
    struct scan scan;

    if (!check_count(connection, value, &error)) {
        connection->rpc->error_count++;
        deliver_error(connection, NULL, (struct slice){ 0 }, error);
        return;
    }
    batch = xalloc(sizeof(*batch));
    batch->connection = connection;
    batch->pending = 1; /* until all of it is read, for answers may come at once */
    connection->unanswered++;
    scan_inside(&scan, value);
    do {
        bool good = envelope_scan(&scan, &envelope);

        assert(good);
        handle_request(connection, batch, &envelope);
        scan_space(&scan);
    } while (scan.at++ < scan.end); /* past the comma */
    batch_unref(batch);
}

static void
refuse_message(struct connection *connection, const struct scan *scan, const char *bytes)
{
    uint64_t max = connection->rpc->agent->config->limits.json_depth;
    _cleanup_(error_freep) struct error *error = NULL;

    if (scan->too_deep) {
        error_set(&error, ERROR_LIMIT_EXCEEDED, "the message is nested more than %llu deep",
                  (unsigned long long)max);
        error_data_text(&error, "limit", "jsonDepth");
        error_data_number(&error, "max", (int64_t)max);
    } else {
        size_t offset = (size_t)(scan->at - bytes);

        error_set(&error, ERROR_PARSE, "the message is not JSON: it is wrong at byte %zu", offset);
        error_data_number(&error, "offset", (int64_t)offset);
    }
    connection->rpc->error_count++;
    deliver_error(connection, NULL, (struct slice){ 0 }, error);
}

void
request_receive(struct connection *connection, char *bytes, size_t size)
{
    unsigned depth_max = (unsigned)connection->rpc->agent->config->limits.json_depth;
    struct envelope envelope;
    struct scan scan;

    LOOP_ONLY();
    connection->unanswered++; /* the message itself, until it is read */
    scan_init(&scan, bytes, size, depth_max);
    if (!envelope_scan(&scan, &envelope) || !scan_at_end(&scan))
        refuse_message(connection, &scan, bytes);
    else if (*envelope.whole.text == '[')
        handle_batch(connection, envelope.whole);
    else
        handle_request(connection, NULL, &envelope);
    message_answered(connection);
}

void
request_forget(struct connection *connection)
{
    LOOP_ONLY();
    while (connection->replies) {
        struct reply *reply = connection->replies;

        /* What it holds is for nobody any more, and its calls may take hours. */
        if (reply->batch && reply->batch->connection) {
            batch_forget_text(reply->batch);
            reply->batch->connection = NULL;
        }
        leave_connection(reply);
        reply->connection = NULL;
    }
}
