/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /images/TICKET: what HTTP asks of a ticket.
 *
 * The interface is that of ovirt-imageio, whose clients are to work as they are.
 */
#include <config.h>

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/base/thread.h"
#include "storage/ticket-use.h"

#define EXTENTS_CHUNK_SIZE ((size_t)1 << 18)
#define PATCH_SIZE_MAX 4096
#define USES_MAX 64   /* exchanges of all tickets that hold chunks: 128 MiB */
#define CONNECTIONS 8 /* that a client may use at once with profit */

/* ---- PATCH ---- */

static bool
patch_number(const json_t *object, const char *member, bool required, uint64_t *ret_number,
             struct error **err)
{
    json_t *value = json_object_get(object, member);

    *ret_number = 0;
    if (!value && !required)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' must be a number of bytes", member);
    *ret_number = (uint64_t)json_integer_value(value);
    return true;
}

static bool
read_patch(struct ticket_use *use, const json_t *object, struct error **err)
{
    const char *op = json_string_value(json_object_get(object, "op"));
    json_t *flush = json_object_get(object, "flush");
    uint64_t size;

    if (op && strcmp(op, "flush") == 0) {
        use->work.kind = TICKET_FLUSH;
        return true;
    }
    if (!op || strcmp(op, "zero") != 0)
        return error_set(err, ERROR_INVALID_PARAMS, "'op' must be 'zero' or 'flush'");
    use->work.kind = TICKET_ZERO;
    if (flush && !json_is_boolean(flush))
        return error_set(err, ERROR_INVALID_PARAMS, "'flush' must be true or false");
    use->flush = json_is_true(flush);
    if (!patch_number(object, "size", true, &size, err) ||
        !patch_number(object, "offset", false, &use->offset, err))
        return false;
    use->end = use->offset + size; /* of two signed 64-bit numbers: it does not wrap */
    return true;
}

static void
begin_patch(struct ticket_use *use, const struct chunk *body)
{
    _cleanup_(error_freep) struct error *error = NULL;
    json_t *object = json_loadb(body->bytes, body->size, JSON_REJECT_DUPLICATES, NULL);
    bool good = json_is_object(object)
                    ? read_patch(use, object, &error)
                    : error_set(&error, ERROR_INVALID_PARAMS, "the body must be a JSON object");

    json_decref(object);
    if (!good)
        ticket_use_fail(use, error);
    else if (use->work.kind == TICKET_ZERO && use->end > use->ticket->size)
        ticket_use_refuse_range(use);
    else if (use->work.kind == TICKET_ZERO && use->end == use->offset)
        ticket_use_done(use);
    else
        ticket_use_go_on(use);
}

/* ---- what rpc/ calls ---- */

static void
received(struct exchange *exchange, struct chunk *chunk, bool last)
{
    (void)last; /* as many bytes as were told make it whole */
    struct ticket_use *use = exchange->user;

    if (use->answered) { /* it has failed */
        chunks_free(chunk);
        return;
    }
    ticket_touch(use->ticket);
    if (use->method == RESOURCE_PATCH) {
        begin_patch(use, chunk);
        chunks_free(chunk);
        return;
    }
    ticket_use_keep(use, chunk);
    ticket_use_go_on(use);
}

/* Which bytes are asked for; false: none of them is there. */
static bool
find_range(struct ticket_use *use, const struct resource_range *range)
{
    uint64_t size = use->ticket->size;

    use->offset = 0;
    use->end = size;
    if (!range->given)
        return true;
    if (range->suffix)
        use->offset = range->first < size ? size - range->first : 0;
    else
        use->offset = range->first;
    if (range->last < size)
        use->end = range->last + 1;
    return use->offset < size;
}

static void
begin_get(struct ticket_use *use, const struct resource_request *request)
{
    if (!find_range(use, &request->range)) {
        ticket_use_refuse_range(use);
        return;
    }
    use->work.kind = TICKET_READ;
    use->ranged = request->range.given;
    use->total = use->end - use->offset;
    text_printf(&use->head,
                "accept-ranges: bytes\r\ncontent-disposition: attachment; filename=\"%s.raw\"\r\n",
                use->ticket->image_id);
    if (use->ranged)
        text_printf(&use->head, "content-range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
                    use->offset, use->end - 1, use->ticket->size);
    if (request->method == RESOURCE_HEAD) {
        ticket_use_answer(use, use->ranged ? 206 : 200, "application/octet-stream", use->total);
        return;
    }
    ticket_use_add_chunks(use);
    ticket_use_go_on(use);
}

static void
begin_extents(struct ticket_use *use, const struct resource_request *request)
{
    const char *context = resource_argument(request, "context");
    bool dirty = context && strcmp(context, "dirty") == 0;

    if (request->method != RESOURCE_GET)
        ticket_use_refuse(use, 405, "extents are read by GET", "allow: GET\r\n", true);
    else if (dirty)
        ticket_use_refuse(use, 404, "nothing is known of what has changed: ask for context=zero",
                          NULL, false);
    else if (context && strcmp(context, "zero") != 0)
        ticket_use_refuse(use, 400, "'context' must be 'zero' or 'dirty'", NULL, false);
    else {
        use->work.kind = TICKET_EXTENTS;
        ticket_use_keep(use, chunk_new(EXTENTS_CHUNK_SIZE));
        ticket_use_go_on(use);
    }
}

static void
begin_put(struct ticket_use *use, const struct resource_request *request)
{
    const char *flush = resource_argument(request, "flush");

    use->work.kind = TICKET_WRITE;
    use->flush = !flush || strcmp(flush, "y") == 0;
    use->offset = request->content_range.given ? request->content_range.first : 0;
    use->total = request->body_size;
    use->end = use->offset + use->total;
    if (!use->flush && strcmp(flush, "n") != 0) {
        ticket_use_refuse(use, 400, "'flush' must be 'y' or 'n'", NULL, false);
        return;
    }
    if (use->total > use->ticket->size || use->end > use->ticket->size) {
        ticket_use_refuse_range(use);
        return;
    }
    if (use->total == 0) {
        ticket_use_done(use);
        return;
    }
    ticket_use_add_chunks(use);
    while (use->chunks) {
        struct chunk *chunk = ticket_use_take(use);

        use->lent += chunk->capacity;
        exchange_receive(use->exchange, chunk);
    }
}

static void
begin_body_of_patch(struct ticket_use *use, const struct resource_request *request)
{
    if (request->body_size == 0 || request->body_size > PATCH_SIZE_MAX) {
        ticket_use_refuse(use, request->body_size ? 413 : 400,
                          "the body must be a small JSON object", NULL, true);
        return;
    }
    exchange_receive(use->exchange, chunk_new((size_t)request->body_size));
}

/* ---- OPTIONS ---- */

static void
answer_options(const struct agent *agent, struct exchange *exchange, const struct ticket *ticket)
{
    bool writes = !ticket || ticket->writes;
    struct resource_answer answer = { .status = 200,
                                      .type = "application/json",
                                      .headers = writes ? "allow: OPTIONS,GET,HEAD,PUT,PATCH\r\n"
                                                        : "allow: OPTIONS,GET,HEAD\r\n" };
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_key(&writer, "features");
    writer_array(&writer);
    writer_string(&writer, "extents");
    if (writes) {
        writer_string(&writer, "zero");
        writer_string(&writer, "flush");
    }
    writer_end_array(&writer);
    if (resource_unix_path(agent)) /* clients on this host may take it */
        writer_member_string(&writer, "unix_socket", resource_unix_path(agent));
    writer_member_unsigned(&writer, "max_readers", CONNECTIONS);
    writer_member_unsigned(&writer, "max_writers", CONNECTIONS);
    if (ticket) {
        writer_member_string(&writer, "transfer_format", "raw");
        writer_member_unsigned(&writer, "virtual_size", ticket->size);
    }
    writer_end_object(&writer);
    text_append_char(&writer.text, '\n');
    exchange_answer_text(exchange, &answer, writer.text.bytes, writer.text.length);
}

/* ---- which ticket, and for what ---- */

static bool
changes(enum resource_method method)
{
    return method == RESOURCE_PUT || method == RESOURCE_PATCH;
}

static void
begin_use(struct ticket *ticket, struct exchange *exchange, const struct resource_request *request,
          bool extents)
{
    struct ticket_use *use = ticket_use_new(ticket, exchange, request);

    use->changes = changes(request->method);

    if (extents)
        begin_extents(use, request);
    else if (request->method == RESOURCE_PUT)
        begin_put(use, request);
    else if (request->method == RESOURCE_PATCH)
        begin_body_of_patch(use, request);
    else
        begin_get(use, request);
}

static bool
is_known(enum resource_method method)
{
    return method != RESOURCE_POST && method != RESOURCE_DELETE;
}

static void
begin(void *context, struct exchange *exchange, const struct resource_request *request)
{
    size_t length = strcspn(request->path, "/");
    _cleanup_free_ char *text = xstrndup(request->path, length);
    bool extents = strcmp(request->path + length, "/extents") == 0;
    const struct storage *storage = context;
    struct ticket *ticket = ticket_find(context, text, false);

    LOOP_ONLY();
    if (request->method == RESOURCE_OPTIONS && strcmp(request->path, "*") == 0)
        answer_options(storage->agent, exchange, NULL);
    else if (!ticket || ticket->closing || (request->path[length] && !extents))
        ticket_answer_words(exchange, 404, NULL,
                            "there is no such ticket: it may be closed, or have faded", NULL, true);
    else if (!is_known(request->method))
        ticket_answer_words(exchange, 405, NULL, "GET, HEAD, PUT, PATCH and OPTIONS are served",
                            "allow: OPTIONS,GET,HEAD,PUT,PATCH\r\n", true);
    else if (request->method == RESOURCE_OPTIONS) {
        ticket_touch(ticket);
        answer_options(storage->agent, exchange, ticket);
    } else if (changes(request->method) && !ticket->writes)
        ticket_answer_words(exchange, 403, NULL, "the ticket is for reading only", NULL, true);
    else if (ticket_use_count() >= USES_MAX)
        ticket_answer_words(exchange, 503, NULL,
                            "too many transfers are under way: try again later",
                            "retry-after: 1\r\n", true);
    else
        begin_use(ticket, exchange, request, extents);
}

const struct resource ticket_resource = { .prefix = "/images/",
                                          .begin = begin,
                                          .received = received,
                                          .sent = ticket_use_sent,
                                          .ended = ticket_use_ended };
