/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport's side of agent/resource.h: one HTTP request for a resource, and its answer.
 *
 * libwebsockets parses the head and hands over the body; answers are written to the socket here.
 * It cannot do that part: what its writing does not get rid of it copies and keeps, and while a
 * socket is full it must be left to poll it, where 4.1 spins as soon as the next request, or the
 * client's end, comes before the answer is out.  So while an exchange does not read, libwebsockets
 * is made deaf: by its flow control, so that it leaves alone what it has read already, and by
 * stopping its poll handle, for with something read already it asks for a writeable socket and
 * then, being under flow control, does not act on it: again and again.  The stopped handle serves to
 * wait for room in the socket.  When the answer is out it is as if libwebsockets had written it.
 *
 * What the backend calls is only noted; all that follows from it happens in exchange_flush(), once
 * a turn of the loop (rpc/session.c).
 */
#include <config.h>

#include "rpc/exchange.h"

#include <assert.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "rpc/rpc.h"

#define PATIENCE_MS 60000 /* with a client that neither sends what it told nor takes what it gets */
#define LINGER_MS 5000
#define DROPPED_MAX_SIZE (64 * 1024 * 1024)
#define TLS_WRITE_SIZE                                                                             \
    (64 * 1024) /* at once; what OpenSSL did not take must be offered again whole */

static struct http_exchange *
exchange_of(struct exchange *exchange)
{
    return CONTAINER_OF(exchange, struct http_exchange, exchange);
}

static void
append_chunk(struct queue *queue, struct chunk *chunk)
{
    *(queue->first ? queue->last : &queue->first) = chunk;
    queue->last = &chunk->next;
}

static struct chunk *
take_chunk(struct queue *queue)
{
    struct chunk *chunk = queue->first;

    queue->first = chunk->next;
    chunk->next = NULL;
    return chunk;
}

/* ---- making libwebsockets deaf ---- */

struct search {
    int fd;
    uv_poll_t *found;
};

static void
match_watcher(uv_handle_t *handle, void *context)
{
    struct search *search = context;
    uv_os_fd_t fd;

    if (uv_handle_get_type(handle) == UV_POLL && !uv_is_closing(handle) &&
        uv_fileno(handle, &fd) == 0 && fd == search->fd)
        search->found = (uv_poll_t *)handle;
}

/* Once a socket; 4.1 has no function that tells it. */
static void
find_watcher(struct session *session)
{
    struct search search = { .fd = lws_get_socket_fd(session->wsi) };

    if (session->watcher)
        return;
    uv_walk(loop_uv(session->transport->rpc->agent->loop), match_watcher, &search);
    session->watcher = search.found;
}

void
exchange_make_deaf(struct http_exchange *exchange)
{
    struct session *session = exchange->session;

    if (exchange->deaf)
        return;
    exchange->deaf = true;
    find_watcher(session);
    (void)lws_rx_flow_control(session->wsi, 0);
    if (session->watcher)
        (void)uv_poll_stop(session->watcher);
}

/*
 * Whether libwebsockets parses a head that it had read before.  4.1 then takes that head for the first
 * bytes of its own body, so such a body must not be believed.  Only its flow control tells: with
 * something in store it asks for a writeable socket, which it does at no other time here.
 */
bool
exchange_is_from_store(struct session *session)
{
    bool stored;

    find_watcher(session);
    (void)lws_rx_flow_control(session->wsi, 0);
    stored = session->watcher && uv_is_active((uv_handle_t *)session->watcher);
    (void)lws_rx_flow_control(session->wsi, 1);
    return stored;
}

static void
let_hear(struct http_exchange *exchange)
{
    struct session *session = exchange->session;

    if (!exchange->deaf)
        return;
    exchange->deaf = false;
    session->blocked = false;
    if (session->watcher)
        (void)uv_poll_stop(session->watcher);
    (void)lws_rx_flow_control(session->wsi, 1); /* which starts it again, with its own callback */
}

static void
room_there(uv_poll_t *watcher, int status, int events)
{
    struct session *session = lws_get_opaque_user_data(watcher->data);

    LOOP_ONLY();
    (void)status; /* writing tells it again */
    (void)events;
    (void)uv_poll_stop(watcher);
    session->blocked = false;
    session_wake(session);
}

/* ---- the end ---- */

void
exchange_drop(struct session *session)
{
    struct http_exchange *exchange = session->exchange;

    if (!exchange)
        return;
    session->exchange = NULL;
    session_forget_joined(session);
    timer_disarm(session->transport->rpc->agent->loop, &exchange->patience);
    if (exchange->exchange.resource)
        exchange->exchange.resource->ended(&exchange->exchange);
    chunks_free(exchange->empty.first);
    chunks_free(exchange->out.first);
    text_done(&exchange->lines);
    free(exchange->origin);
    free(exchange);
}

/* Not session_kill(): what was written is still to be read.  libwebsockets closes it when it calls
   because the socket is writeable. */
static void
close_session(struct http_exchange *exchange)
{
    struct session *session = exchange->session;

    let_hear(exchange);
    exchange_drop(session);
    session->closing = session->dead = true;
    (void)lws_callback_on_writable(session->wsi);
}

/* What was sent must not look whole. */
static void
cut_off(struct http_exchange *exchange)
{
    (void)shutdown(lws_get_socket_fd(exchange->session->wsi), SHUT_RDWR);
    close_session(exchange);
}

static void
patience_ends(struct timer *timer)
{
    struct http_exchange *exchange = CONTAINER_OF(timer, struct http_exchange, patience);

    if (exchange->lingers) {
        close_session(exchange);
        return;
    }
    log_debug(NULL, "a client of a resource has stalled for %d s", PATIENCE_MS / 1000);
    cut_off(exchange);
}

/* The answer is out.  Of a body that was refused the rest is read and dropped for a while, because a
   socket that is closed with something unread takes the answer with it. */
static void
finish(struct http_exchange *exchange)
{
    struct session *session = exchange->session;

    if (exchange->body_left > session->in.length) {
        exchange->lingers = true;
        session_forget_joined(session);
        let_hear(exchange);
        timer_arm(session->transport->rpc->agent->loop, &exchange->patience, LINGER_MS);
    } else if (exchange->close) {
        close_session(exchange);
    } else {
        let_hear(exchange);
        if (lws_http_transaction_completed(session->wsi))
            close_session(exchange);
        else
            exchange_drop(session);
    }
}

/* ---- the answer ---- */

/* Bytes that the socket took; 0: it is full, and room_there() is called; -1: it has failed. */
static ssize_t
write_tls(struct session *session, const char *bytes, size_t size, int *ret_events)
{
    SSL *ssl = lws_get_ssl(session->wsi);
    int written = SSL_write(ssl, bytes, (int)(size < TLS_WRITE_SIZE ? size : TLS_WRITE_SIZE));

    if (written > 0)
        return written;
    switch (SSL_get_error(ssl, written)) {
    case SSL_ERROR_WANT_WRITE: *ret_events = UV_WRITABLE; return 0;
    case SSL_ERROR_WANT_READ: *ret_events = UV_READABLE; return 0;
    default: return -1;
    }
}

static ssize_t
write_plain(struct session *session, const char *bytes, size_t size, bool more, int *ret_events)
{
    ssize_t written;

    do
        written = send(lws_get_socket_fd(session->wsi), bytes, size,
                       MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    while (written < 0 && errno == EINTR);
    if (written >= 0)
        return written;
    *ret_events = UV_WRITABLE;
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
}

/* False: not all of it is gone; the socket is full or has failed. */
static bool
write_some(struct http_exchange *exchange, const char *bytes, size_t size, bool more, size_t *sent)
{
    struct session *session = exchange->session;

    while (*sent < size) {
        int events = 0;
        ssize_t written = session->endpoint == ENDPOINT_TLS
                              ? write_tls(session, bytes + *sent, size - *sent, &events)
                              : write_plain(session, bytes + *sent, size - *sent, more, &events);

        if (written < 0)
            exchange->broken = true;
        if (written == 0 && session->watcher) {
            exchange_make_deaf(exchange);
            session->blocked = true;
            (void)uv_poll_start(session->watcher, events, room_there);
        }
        if (written <= 0)
            return false;
        exchange->progressed = true;
        *sent += (size_t)written;
    }
    return true;
}

static void
frame_chunk(struct http_exchange *exchange)
{
    exchange->framed = true;
    if (!exchange->unknown_size || exchange->old)
        return;
    text_printf(&exchange->lines, exchange->sent_any ? "\r\n%zx\r\n" : "%zx\r\n",
                exchange->out.first->size);
    exchange->sent_any = true;
}

static void
frame_end(struct http_exchange *exchange)
{
    if (!exchange->ended || !exchange->unknown_size || exchange->old || exchange->terminated)
        return;
    exchange->terminated = true;
    text_append_string(&exchange->lines, exchange->sent_any ? "\r\n0\r\n\r\n" : "0\r\n\r\n");
}

static void
chunk_sent(struct http_exchange *exchange)
{
    struct chunk *chunk = take_chunk(&exchange->out);

    exchange->framed = false;
    exchange->chunk_sent = 0;
    if (!exchange->unknown_size)
        exchange->answer_left -= chunk->size;
    if (exchange->unknown_size || exchange->answer_left > 0)
        exchange->exchange.resource->sent(&exchange->exchange, chunk);
    else
        chunks_free(chunk);
}

/* Writes what there is; true: all of it is gone. */
static bool
write_queue(struct http_exchange *exchange)
{
    for (;;) {
        struct chunk *chunk = exchange->out.first;

        if (chunk && !exchange->framed)
            frame_chunk(exchange);
        if (!chunk)
            frame_end(exchange);
        if (!write_some(exchange, exchange->lines.bytes, exchange->lines.length, chunk != NULL,
                        &exchange->lines_sent))
            return false;
        text_clear(&exchange->lines);
        exchange->lines_sent = 0;
        if (!chunk)
            return true;
        if (!write_some(exchange, chunk->bytes, chunk->size, false, &exchange->chunk_sent))
            return false;
        chunk_sent(exchange);
    }
}

static bool
is_complete(const struct http_exchange *exchange)
{
    if (!exchange->answered)
        return false;
    return exchange->unknown_size ? exchange->ended : exchange->answer_left == 0;
}

/* ---- the body ---- */

/* Puts as much as fits where it belongs; bytes that were taken. */
static size_t
fill_chunks(struct http_exchange *exchange, const char *bytes, size_t size)
{
    size_t taken = 0;

    while (taken < size && exchange->empty.first) {
        struct chunk *chunk = exchange->empty.first;
        size_t room = chunk->capacity - chunk->size;
        size_t piece = size - taken < room ? size - taken : room;

        memcpy(chunk->bytes + chunk->size, bytes + taken, piece);
        chunk->size += piece;
        taken += piece;
        exchange->body_left -= piece;
        if (chunk->size < chunk->capacity && exchange->body_left > 0)
            continue;
        (void)take_chunk(&exchange->empty);
        exchange->exchange.resource->received(&exchange->exchange, chunk, exchange->body_left == 0);
    }
    return taken;
}

static void
feed_joined(struct http_exchange *exchange)
{
    struct session *session = exchange->session;
    size_t taken = fill_chunks(exchange, session->in.bytes, session->in.length);

    if (taken == session->in.length) {
        session_forget_joined(session);
        return;
    }
    memmove(session->in.bytes, session->in.bytes + taken, session->in.length - taken);
    session->in.length -= taken;
    session->transport->joined_size -= taken;
}

bool
exchange_lingers(const struct session *session)
{
    return session->exchange->lingers;
}

int
exchange_take(struct session *session, const char *bytes, size_t size)
{
    struct http_exchange *exchange = session->exchange;
    size_t taken = 0;

    if (exchange->lingers) {
        session->dropped += size;
        return session->dropped > DROPPED_MAX_SIZE ? -1 : 0;
    }
    exchange->progressed = true;
    if (session->in.length == 0 && !exchange->answered)
        taken = fill_chunks(exchange, bytes, size);
    if (taken < size && !session_join(session, bytes + taken, size - taken))
        return -1;
    session_wake(session); /* also to take back the time limit that libwebsockets sets now */
    return 0;
}

/* ---- one turn ---- */

static bool
wants_body(const struct http_exchange *exchange)
{
    return exchange->body_left > 0 && exchange->empty.first && !exchange->answered;
}

/* The client is waited for when it has something to send, or to take. */
static void
be_patient(struct http_exchange *exchange)
{
    struct session *session = exchange->session;
    struct loop *loop = session->transport->rpc->agent->loop;

    if (!wants_body(exchange) && !session->blocked)
        timer_disarm(loop, &exchange->patience);
    else if (exchange->progressed || exchange->patience.place == 0)
        timer_arm(loop, &exchange->patience, PATIENCE_MS);
    exchange->progressed = false;
}

bool
exchange_flush(struct session *session)
{
    struct http_exchange *exchange = session->exchange;

    LOOP_ONLY();
    if (session->dead || session->blocked || exchange->lingers)
        return false;
    lws_set_timeout(session->wsi, NO_PENDING_TIMEOUT, 0);
    if (session->in.length > 0 && !exchange->answered)
        feed_joined(exchange);
    if (!wants_body(exchange) || session->in.length > 0)
        exchange_make_deaf(exchange);
    if (!exchange->broken && write_queue(exchange) && is_complete(exchange)) {
        finish(exchange);
        return false;
    }
    if (exchange->broken) {
        cut_off(exchange);
        return false;
    }
    if (wants_body(exchange) && session->in.length == 0 && !session->blocked)
        let_hear(exchange);
    be_patient(exchange);
    return false;
}

/* ---- what the backend calls ---- */

static void
receive(struct exchange *lent, struct chunk *chunk)
{
    struct http_exchange *exchange = exchange_of(lent);

    append_chunk(&exchange->empty, chunk);
    if (exchange->expects)
        text_append_string(&exchange->lines, "HTTP/1.1 100 Continue\r\n\r\n");
    exchange->expects = false;
    session_wake(exchange->session);
}

/* What lets a page of another origin see the answer. */
static void
write_origin(const struct http_exchange *exchange, struct text *lines)
{
    if (!exchange->origin)
        return;
    text_printf(lines,
                "access-control-allow-origin: %s\r\nvary: origin\r\n"
                "access-control-expose-headers: content-range, content-length, accept-ranges, "
                "content-disposition, allow\r\n",
                exchange->origin);
    if (exchange->preflight)
        text_append_string(lines,
                           "access-control-allow-methods: GET, HEAD, PUT, PATCH, OPTIONS\r\n"
                           "access-control-allow-headers: range, content-range, content-type\r\n"
                           "access-control-max-age: 600\r\n");
}

static void
answer(struct exchange *answered, const struct resource_answer *head)
{
    struct http_exchange *exchange = exchange_of(answered);
    struct text *lines = &exchange->lines;

    assert(!exchange->answered);
    exchange->answered = true;
    exchange->unknown_size = head->size == RESOURCE_LENGTH_UNKNOWN && !exchange->head_only;
    exchange->answer_left = exchange->head_only ? 0 : head->size;
    /* A body that did not come whole ends what the socket is good for; so does an end that only
       closing it tells. */
    exchange->close =
        head->close || exchange->body_left > 0 || (exchange->unknown_size && exchange->old);
    text_printf(lines, "HTTP/1.1 %u %s\r\nserver: hostlerd\r\ncache-control: no-store\r\n",
                head->status, http_status_text(head->status));
    write_origin(exchange, lines);
    text_append_string(lines, head->headers ? head->headers : "");
    if (head->type)
        text_printf(lines, "content-type: %s\r\n", head->type);
    if (head->size != RESOURCE_LENGTH_UNKNOWN)
        text_printf(lines, "content-length: %llu\r\n", (unsigned long long)head->size);
    else if (!exchange->old)
        text_append_string(lines, "transfer-encoding: chunked\r\n");
    text_append_string(lines, exchange->close ? "connection: close\r\n\r\n" : "\r\n");
    session_wake(exchange->session);
}

static void
send_chunk(struct exchange *answered, struct chunk *chunk)
{
    struct http_exchange *exchange = exchange_of(answered);

    assert(exchange->answered && !exchange->ended);
    if (exchange->head_only) {
        chunks_free(chunk);
        return;
    }
    append_chunk(&exchange->out, chunk);
    session_wake(exchange->session);
}

static void
end(struct exchange *answered)
{
    struct http_exchange *exchange = exchange_of(answered);

    exchange->ended = true;
    session_wake(exchange->session);
}

static void
break_off(struct exchange *answered)
{
    struct http_exchange *exchange = exchange_of(answered);

    exchange->broken = true;
    exchange->session->blocked = false;
    session_wake(exchange->session);
}

static const struct exchange_transport transport_calls = { receive, answer, send_chunk, end,
                                                           break_off };

struct http_exchange *
exchange_new(struct session *session)
{
    struct http_exchange *exchange = xalloc(sizeof(*exchange));
    char version[16];

    exchange->exchange.transport = &transport_calls;
    exchange->session = session;
    exchange->patience.fire = patience_ends;
    exchange->old = header_copy(session->wsi, WSI_TOKEN_HTTP, version, sizeof(version)) &&
                    strcmp(version, "HTTP/1.0") == 0;
    exchange->expects = lws_hdr_total_length(session->wsi, WSI_TOKEN_HTTP_EXPECT) > 0;
    session->exchange = exchange;
    return exchange;
}
