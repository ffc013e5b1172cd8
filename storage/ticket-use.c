/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/ticket-use.h"

#include <inttypes.h>
#include <string.h>

#include "agent/base/thread.h"

#define CHUNK_SIZE ((size_t)1 << 20)
#define ZERO_SIZE (UINT64_C(1) << 28) /* bytes of one piece */

static size_t use_count; /* of all tickets */

/* ---- uses ---- */

static void
use_free(struct ticket_use *use)
{
    struct ticket_use **place = use->ticket ? &use->ticket->uses : NULL;

    while (place && *place != use)
        place = &(*place)->next;
    if (place)
        *place = use->next;
    use_count--;
    chunks_free(use->chunks);
    chunks_free(use->work.chunk);
    error_free(use->work.error);
    text_done(&use->head);
    free(use);
}

void
ticket_use_keep(struct ticket_use *use, struct chunk *chunk)
{
    struct chunk **place = &use->chunks;

    while (*place)
        place = &(*place)->next;
    *place = chunk;
}

struct chunk *
ticket_use_take(struct ticket_use *use)
{
    struct chunk *chunk = use->chunks;

    use->chunks = chunk->next;
    chunk->next = NULL;
    return chunk;
}

/* ---- answers ---- */

static unsigned
status_of(enum error_code code)
{
    switch (code) {
    case ERROR_INVALID_PARAMS: return 400;
    case ERROR_FORBIDDEN: return 403;
    case ERROR_NOT_FOUND: return 404;
    case ERROR_IMAGE_IN_USE: return 409;
    case ERROR_BUSY:
    case ERROR_LIMIT_EXCEEDED:
    case ERROR_BACKEND_UNAVAILABLE:
    case ERROR_REPOSITORY_UNAVAILABLE: return 503;
    case ERROR_TIMEOUT: return 504;
    case ERROR_NO_SPACE: return 507;
    default: return 500;
    }
}

void
ticket_answer_words(struct exchange *exchange, unsigned status, const char *name,
                    const char *message, const char *headers, bool close)
{
    struct resource_answer answer = {
        .status = status, .type = "application/json", .headers = headers, .close = close
    };
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_unsigned(&writer, "status", status);
    if (name)
        writer_member_string(&writer, "name", name);
    writer_member_string(&writer, "message", message);
    writer_end_object(&writer);
    text_append_char(&writer.text, '\n');
    exchange_answer_text(exchange, &answer, writer.text.bytes, writer.text.length);
}

static void
answer_error(struct exchange *exchange, const struct error *error)
{
    ticket_answer_words(exchange, status_of(error->code), error_code_name(error->code),
                        error->message, NULL, true);
}

void
ticket_use_fail(struct ticket_use *use, const struct error *error)
{
    if (!use->exchange || use->whole)
        return;
    if (use->answered)
        exchange_break_off(use->exchange);
    else
        answer_error(use->exchange, error);
    use->answered = use->whole = true;
}

void
ticket_use_refuse(struct ticket_use *use, unsigned status, const char *message, const char *headers,
                  bool close)
{
    use->answered = use->whole = true;
    ticket_answer_words(use->exchange, status, NULL, message, headers, close);
}

void
ticket_use_done(struct ticket_use *use)
{
    use->answered = use->whole = true;
    exchange_answer(use->exchange, &(struct resource_answer){ .status = 200, .close = use->close });
}

void
ticket_use_answer(struct ticket_use *use, unsigned status, const char *type, uint64_t size)
{
    use->answered = true;
    exchange_answer(use->exchange, &(struct resource_answer){ .status = status,
                                                              .type = type,
                                                              .size = size,
                                                              .headers = use->head.bytes,
                                                              .close = use->close });
}

/* ---- one piece after the other ---- */

static void
submit(struct ticket_use *use, enum ticket_kind kind, uint64_t size)
{
    _cleanup_(error_freep) struct error *error = NULL;

    use->work.kind = kind;
    use->work.offset = use->offset;
    use->work.size = size;
    use->working = true;
    if (ticket_submit(use->ticket, &use->work, &error))
        return;
    use->working = false;
    ticket_use_fail(use, error);
}

static void
was_read(struct ticket_use *use)
{
    struct chunk *chunk = TAKE(use->work.chunk);

    use->ticket->read_size += use->work.size;
    if (!use->answered)
        ticket_use_answer(use, use->ranged ? 206 : 200, "application/octet-stream", use->total);
    exchange_send(use->exchange, chunk);
}

/* It is done when all of the body is where it belongs; else the chunk takes more of it, if any is to come. */
static void
was_written(struct ticket_use *use)
{
    struct chunk *chunk = TAKE(use->work.chunk);

    use->ticket->written_size += use->work.size;
    if (use->offset == use->end) {
        chunks_free(chunk);
        ticket_use_done(use);
    } else if (use->lent < use->total) {
        use->lent += chunk->capacity;
        exchange_receive(use->exchange, chunk);
    } else {
        chunks_free(chunk);
    }
}

static void
extents_told(struct ticket_use *use)
{
    struct chunk *chunk = TAKE(use->work.chunk);
    bool over = use->work.extents.over;

    if (chunk->size == 0) { /* one long run so far */
        ticket_use_keep(use, chunk);
        return;
    }
    if (!use->answered)
        ticket_use_answer(use, 200, "application/json",
                          over ? chunk->size : RESOURCE_LENGTH_UNKNOWN);
    use->total = over && use->total == 0 ? chunk->size : RESOURCE_LENGTH_UNKNOWN;
    exchange_send(use->exchange, chunk);
    if (over && use->total == RESOURCE_LENGTH_UNKNOWN)
        exchange_end(use->exchange);
}

static void
work_done(struct ticket_work *work)
{
    struct ticket_use *use = CONTAINER_OF(work, struct ticket_use, work);
    _cleanup_(error_freep) struct error *error = TAKE(work->error);

    use->working = false;
    if (!use->exchange) {
        use_free(use);
        return;
    }
    if (error || use->stopped) {
        chunks_free(TAKE(work->chunk));
        if (error)
            ticket_use_fail(use, error);
        return;
    }
    use->offset += work->kind == TICKET_EXTENTS || work->kind == TICKET_FLUSH ? 0 : work->size;
    switch (work->kind) {
    case TICKET_READ: was_read(use); break;
    case TICKET_WRITE: was_written(use); break;
    case TICKET_EXTENTS: extents_told(use); break;
    case TICKET_ZERO:
        if (use->offset == use->end)
            ticket_use_done(use);
        break;
    case TICKET_FLUSH: ticket_use_done(use); break;
    }
    ticket_use_go_on(use);
}

static void
go_on_writing(struct ticket_use *use)
{
    struct chunk *chunk = ticket_use_take(use);

    use->work.chunk = chunk;
    use->work.flush = use->flush && use->offset + chunk->size == use->end;
    submit(use, TICKET_WRITE, chunk->size);
}

static void
go_on_reading(struct ticket_use *use)
{
    uint64_t left = use->end - use->offset;

    use->work.chunk = ticket_use_take(use);
    submit(use, TICKET_READ, left < use->work.chunk->capacity ? left : use->work.chunk->capacity);
}

static void
go_on_zeroing(struct ticket_use *use)
{
    uint64_t left = use->end - use->offset, size = left < ZERO_SIZE ? left : ZERO_SIZE;

    use->work.flush = use->flush && size == left;
    submit(use, TICKET_ZERO, size);
}

void
ticket_use_go_on(struct ticket_use *use)
{
    if (use->working || !use->exchange || use->stopped)
        return;
    switch (use->work.kind) {
    case TICKET_READ:
        if (use->chunks && use->offset < use->end)
            go_on_reading(use);
        break;
    case TICKET_WRITE:
        if (use->chunks && !use->answered)
            go_on_writing(use);
        break;
    case TICKET_ZERO:
        if (!use->answered)
            go_on_zeroing(use);
        break;
    case TICKET_EXTENTS:
        if (use->chunks && !use->work.extents.over) {
            use->work.chunk = ticket_use_take(use);
            use->work.chunk->size = 0;
            submit(use, TICKET_EXTENTS, 0);
        }
        break;
    case TICKET_FLUSH:
        if (!use->answered)
            submit(use, TICKET_FLUSH, 0);
        break;
    }
}

void
ticket_use_refuse_range(struct ticket_use *use)
{
    _cleanup_free_ char *message = xprintf(
        "the range goes beyond the image, which is of %" PRIu64 " bytes", use->ticket->size);
    _cleanup_free_ char *header =
        xprintf("content-range: bytes */%" PRIu64 "\r\n", use->ticket->size);

    ticket_use_refuse(use, 416, message, header, false);
}

struct ticket_use *
ticket_use_new(struct ticket *ticket, struct exchange *exchange,
               const struct resource_request *request)
{
    struct ticket_use *use = xalloc(sizeof(*use));
    const char *close = resource_argument(request, "close");

    use->ticket = ticket;
    use->exchange = exchange;
    use->method = request->method;
    use->close = close && strcmp(close, "y") == 0; /* what oVirt's pages ask for */
    use->work.done = work_done;
    use->next = ticket->uses;
    ticket->uses = use;
    use_count++;
    exchange->user = use;
    ticket_touch(ticket);
    return use;
}

void
ticket_use_add_chunks(struct ticket_use *use)
{
    uint64_t size = use->end - use->offset;

    ticket_use_keep(use, chunk_new(size < CHUNK_SIZE ? (size_t)size : CHUNK_SIZE));
    if (size > CHUNK_SIZE)
        ticket_use_keep(use, chunk_new(size - CHUNK_SIZE < CHUNK_SIZE ? (size_t)(size - CHUNK_SIZE)
                                                                      : CHUNK_SIZE));
}

/* ---- what rpc/ tells ---- */

void
ticket_use_sent(struct exchange *exchange, struct chunk *chunk)
{
    struct ticket_use *use = exchange->user;

    ticket_use_keep(use, chunk);
    ticket_use_go_on(use);
}

void
ticket_use_ended(struct exchange *exchange)
{
    struct ticket_use *use = exchange->user;

    if (!use) /* it was refused */
        return;
    use->exchange = NULL;
    if (!use->working)
        use_free(use);
}

/* ---- what the ticket asks ---- */

void
ticket_end_uses(struct ticket *ticket)
{
    _cleanup_(error_freep) struct error *error = NULL;

    error_set(&error, ERROR_NOT_FOUND, "the ticket is closed");
    for (struct ticket_use *use = ticket->uses; use; use = use->next) {
        use->stopped = true;
        ticket_use_fail(use, error);
    }
}

void
ticket_forget_uses(struct ticket *ticket)
{
    for (struct ticket_use *use = ticket->uses; use; use = use->next)
        use->ticket = NULL; /* it goes when its exchange has ended */
    ticket->uses = NULL;
}

bool
ticket_is_written_through(const struct ticket *ticket)
{
    for (const struct ticket_use *use = ticket->uses; use; use = use->next)
        if (use->changes && !use->answered)
            return true;
    return false;
}

size_t
ticket_count_uses(const struct ticket *ticket)
{
    size_t count = 0;

    for (const struct ticket_use *use = ticket->uses; use; use = use->next)
        count++;
    return count;
}

size_t
ticket_use_count(void)
{
    return use_count;
}
