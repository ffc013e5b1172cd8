/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: from an accepted socket to its end, when each may write, and whether it still lives.
 *
 * Writing is not left to libwebsockets' writeable callback: asking for one costs four epoll_ctl()
 * and another turn of the loop for every answer.  Instead whoever has something to write is woken,
 * and once a turn, when all that came in has been handled and just before the loop would sleep,
 * each of the woken writes all that it has gathered in one go.  Only for a socket that is full does
 * libwebsockets wait, and call.  (50 clients, one call at a time each: 4.4 µs of CPU a call;
 * 12 with the callback.)
 *
 * Dead clients are found by a patrol of our own: libwebsockets 4.1 keeps a timer for each
 * connection in one sorted list, so every pong would cost a walk over all the others.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "events/ring.h"
#include "rpc/rpc.h"
#include "rpc/transport.h"

#define FLUSHED_AT_ONCE 512 /* sessions; then those that came in have their turn */
#define PATROL_MS 1000
#define PING_AFTER_S 30       /* of silence */
#define DEAD_AFTER_S 60       /* of silence, or of not taking a byte */
#define CLOSE_AFTER_S 10      /* that a client has to read what is left before a close */
#define PATROLLED_AT_LEAST 64 /* connections a tick; or a sixteenth of all */
#define SPARE_SIZE_MAX (64 * 1024)
#define SLOT_COUNT_FIRST 64
#define CONTROL_SIZE_MAX 125 /* payload of a close or ping frame */

static uint32_t
now_s(const struct rpc_transport *transport)
{
    return (uint32_t)(uv_now(loop_uv(transport->rpc->agent->loop)) / 1000);
}

void
session_accept(struct rpc_transport *transport, enum endpoint endpoint, int fd)
{
    struct session *session = xalloc(sizeof(*session));
    lws_adopt_desc_t adopted = {
        .vh = endpoint == ENDPOINT_TLS ? transport->tls : transport->plain,
        .type = LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
        .fd.sockfd = fd,
        .opaque = session,
    };

    LOOP_ONLY();
    session->transport = transport;
    session->endpoint = endpoint;
    session_heard(session);
    transport->session_count++;
    session->adopting = true;
    if (!lws_adopt_descriptor_vhost_via_info(&adopted) && (session->over || !session->wsi))
        session_free(session); /* else it ends as others do: the socket is being closed */
    else
        session->adopting = false;
}

static void
unwake(struct session *session)
{
    struct rpc_transport *transport = session->transport;

    if (!session->woken)
        return;
    session->woken = false;
    if (session->previous_woken)
        session->previous_woken->next_woken = session->next_woken;
    else
        transport->first_woken = session->next_woken;
    if (session->next_woken)
        session->next_woken->previous_woken = session->previous_woken;
    else
        transport->last_woken = session->previous_woken;
    session->next_woken = session->previous_woken = NULL;
}

void
session_free(struct session *session)
{
    session->kept = 0;
    session_disconnect(session);
    exchange_drop(session);
    unwake(session);
    session->transport->session_count--;
    free(session->close_reason);
    free(session);
}

/* ---- pieces ---- */

bool
session_join(struct session *session, const char *bytes, size_t size)
{
    struct rpc_transport *transport = session->transport;

    if (transport->joined_size + size > JOINED_MAX_SIZE)
        return false;
    text_append(&session->in, bytes, size);
    transport->joined_size += size;
    return true;
}

void
session_forget_joined(struct session *session)
{
    session->transport->joined_size -= session->in.length;
    text_done(&session->in);
}

/* ---- connections by number ---- */

static struct session **
slot_of(struct rpc_transport *transport, uint64_t number)
{
    return &transport->by_number[number & (transport->slot_count - 1)];
}

static void
grow_slots(struct rpc_transport *transport)
{
    struct session **old = transport->by_number;
    size_t old_count = transport->slot_count;

    transport->slot_count = old_count ? old_count * 2 : SLOT_COUNT_FIRST;
    transport->by_number = xalloc(transport->slot_count * sizeof(struct session *));
    for (size_t i = 0; i < old_count; i++)
        while (old[i]) {
            struct session *session = old[i], **slot;

            old[i] = session->next_of_slot;
            slot = slot_of(transport, session->connection->number);
            session->next_of_slot = *slot;
            *slot = session;
        }
    free(old);
}

struct connection *
connection_find(struct rpc *rpc, uint64_t number)
{
    struct session *session = *slot_of(rpc->transport, number);

    LOOP_ONLY();
    while (session && session->connection->number != number)
        session = session->next_of_slot;
    return session ? session->connection : NULL;
}

void
session_connect(struct session *session, struct identity *identity, bool http)
{
    struct rpc_transport *transport = session->transport;
    struct rpc *rpc = transport->rpc;
    struct connection *connection = xalloc(sizeof(*connection));
    struct session **slot;

    LOOP_ONLY();
    connection->number = ++rpc->last_number;
    connection->rpc = rpc;
    connection->role = identity->role;
    connection->caller = TAKE(identity->caller);
    connection->http = http;
    connection->transport = session;
    connection->next = rpc->connections;
    if (connection->next)
        connection->next->previous = connection;
    rpc->connections = connection;
    if (++rpc->connection_count > transport->slot_count)
        grow_slots(transport);
    session->connection = connection;
    slot = slot_of(transport, connection->number);
    session->next_of_slot = *slot;
    *slot = session;
    if (transport->patrol.place == 0)
        timer_arm(rpc->agent->loop, &transport->patrol, PATROL_MS);
    log_debug(NULL, "connection %llu: '%s' as %s, by %s", (unsigned long long)connection->number,
              connection->caller, role_name(connection->role), http ? "POST" : "WebSocket");
}

void
session_disconnect(struct session *session)
{
    struct rpc_transport *transport = session->transport;
    struct connection *connection = session->connection;
    struct rpc *rpc = transport->rpc;
    struct session **place;

    session_forget_joined(session);
    session->written = 0;
    session->received = session->finished = false;
    session->repeats = 0;
    if (!connection) {
        session_count_out(session);
        return;
    }
    connection->closed = true;
    request_forget(connection);
    subscription_forget(connection);
    for (place = slot_of(transport, connection->number); *place != session;
         place = &(*place)->next_of_slot)
        continue;
    *place = session->next_of_slot;
    if (transport->patrolled == connection)
        transport->patrolled = connection->next;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        rpc->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    rpc->connection_count--;
    log_debug(NULL, "connection %llu: closed", (unsigned long long)connection->number);
    text_done(&connection->out);
    free(connection->caller);
    free(connection);
    session->connection = NULL;
    session_count_out(session);
}

/* ---- writing ---- */

void
session_take_buffer(struct session *session)
{
    struct rpc_transport *transport = session->transport;
    struct text *out = &session->connection->out;

    if (!out->bytes && transport->spare_count > 0)
        *out = transport->spares[--transport->spare_count];
}

void
session_return_buffer(struct session *session)
{
    struct rpc_transport *transport = session->transport;
    struct text *out = &session->connection->out;

    session->written = 0;
    if (out->bytes && out->capacity <= SPARE_SIZE_MAX && transport->spare_count < SPARE_COUNT) {
        text_clear(out);
        transport->spares[transport->spare_count++] = *out;
        *out = TEXT_INIT;
    } else {
        text_done(out);
    }
}

/* Without it a client that reads steadily, but never all that waits, would make us keep all that
   it ever read.  At most as much is moved as was written. */
void
session_drop_written(struct session *session)
{
    struct text *out = &session->connection->out;
    size_t waiting = out->length - session->written;

    if (session->written < waiting)
        return;
    memmove(out->bytes, out->bytes + session->written, waiting);
    out->length = waiting;
    session->written = 0;
}

void
session_count_out(struct session *session)
{
    const struct connection *connection = session->connection;
    size_t size = session->kept;

    if (connection)
        size += connection->out.length - session->written;
    session->transport->out_size += size - session->counted;
    session->counted = size;
}

void
session_wake(struct session *session)
{
    struct rpc_transport *transport = session->transport;

    if (session->woken || session->blocked || session->dead)
        return;
    session->woken = true;
    session->previous_woken = transport->last_woken;
    if (transport->last_woken)
        transport->last_woken->next_woken = session;
    else
        transport->first_woken = session;
    transport->last_woken = session;
}

void
session_kill(struct session *session)
{
    LOOP_ONLY();
    if (session->dead)
        return;
    session->closing = session->dead = true;
    unwake(session);
    /* The loop finds the socket at its end, and writeable: either makes libwebsockets close it. */
    (void)shutdown(lws_get_socket_fd(session->wsi), SHUT_RDWR);
    (void)lws_callback_on_writable(session->wsi);
}

/* That it is active is all there is to it: the loop does not sleep. */
static void
keep_awake(uv_idle_t *restless)
{
    (void)restless;
}

static void
flush_woken(uv_prepare_t *flush)
{
    struct rpc_transport *transport = flush->data;

    for (int i = 0; transport->first_woken && i < FLUSHED_AT_ONCE; i++) {
        struct session *session = transport->first_woken;

        unwake(session);
        if (session->exchange ? exchange_flush(session) : websocket_flush(session))
            session_wake(session);
    }
    /* Both do nothing when it is so already. */
    if (transport->first_woken)
        (void)uv_idle_start(&transport->restless, keep_awake);
    else
        (void)uv_idle_stop(&transport->restless);
}

/* ---- the patrol ---- */

void
session_heard(struct session *session)
{
    session->heard_s = now_s(session->transport);
    session->pinged = false;
}

static void
look_at(struct session *session)
{
    /* With a payload: libwebsockets 4.1 says nothing of a pong without one. */
    static const char ping[] = { (char)0x89, 4, 'i', 'd', 'l', 'e' };
    uint32_t silent_s = now_s(session->transport) - session->heard_s;

    if (!session->websocket || session->dead)
        return;
    /* Nobody is dead who was not asked: it may be we who slept. */
    if (session->closing ? silent_s >= CLOSE_AFTER_S
                         : silent_s >= DEAD_AFTER_S && session->pinged) {
        log_debug(NULL, "connection %llu: silent for %u s",
                  (unsigned long long)session->connection->number, (unsigned)silent_s);
        session_kill(session);
    } else if (silent_s >= PING_AFTER_S && !session->pinged && !session->closing) {
        session->pinged = true;
        text_append(&session->connection->out, ping, sizeof(ping));
        session_wake(session);
    }
}

/* Some at a time, so that ten thousand idle clients are not all pinged in one turn of the loop. */
static void
patrol(struct timer *timer)
{
    struct rpc_transport *transport = CONTAINER_OF(timer, struct rpc_transport, patrol);
    struct rpc *rpc = transport->rpc;
    size_t count = rpc->connection_count / 16 + PATROLLED_AT_LEAST;

    if (count > rpc->connection_count)
        count = rpc->connection_count;
    while (count-- > 0) {
        struct connection *connection =
            transport->patrolled ? transport->patrolled : rpc->connections;

        transport->patrolled = connection->next;
        look_at(connection->transport);
    }
    if (rpc->connection_count > 0)
        timer_arm(rpc->agent->loop, &transport->patrol, PATROL_MS);
}

void
sessions_open(struct rpc_transport *transport)
{
    struct uv_loop_s *uv = loop_uv(transport->rpc->agent->loop);

    grow_slots(transport);
    transport->patrol.fire = patrol;
    transport->flush.data = transport;
    (void)uv_idle_init(uv, &transport->restless);
    (void)uv_prepare_init(uv, &transport->flush);
    (void)uv_prepare_start(&transport->flush, flush_woken);
}

/* ---- what the rest of rpc/ calls ---- */

/* Why the client cannot be sent 'size' bytes more, after what it has left unread; NULL: it can. */
static const char *
why_too_much(const struct session *session, size_t size)
{
    size_t waiting = session->connection->out.length - session->written;

    if (waiting + size > OUT_MAX_SIZE)
        return session->connection->http ? "the answers are too large together"
                                         : "answers are not read";
    if (waiting > OUT_SHARE_SIZE && session->transport->out_size > OUT_ALL_SIZE)
        return "too many answers are not read by all clients together";
    return NULL;
}

void
connection_send(struct connection *connection, const char *json, size_t size)
{
    struct session *session = connection->transport;
    unsigned char header[10];
    const char *too_much;

    LOOP_ONLY();
    if (session->closing)
        return;
    too_much = why_too_much(session, size);
    if (too_much) {
        connection->out.length = session->written;
        connection_close(connection, 1013, too_much);
        return;
    }
    session_take_buffer(session);
    if (!connection->http)
        text_append(&connection->out, header, frame_header(header, size));
    text_append(&connection->out, json, size);
    session_count_out(session);
    if (!connection->http)
        session_wake(session);
}

void
connection_wake(struct connection *connection)
{
    if (!connection->http)
        session_wake(connection->transport);
}

void
connection_finish(struct connection *connection)
{
    struct session *session = connection->transport;

    LOOP_ONLY();
    session->finished = true;
    (void)lws_callback_on_writable(session->wsi);
}

static void
append_close(struct text *out, unsigned status, const char *reason)
{
    size_t length = strnlen(reason, CONTROL_SIZE_MAX - 2);
    unsigned char head[4] = { 0x88, (unsigned char)(length + 2), (unsigned char)(status >> 8),
                              (unsigned char)status };

    text_append(out, head, sizeof(head));
    text_append(out, reason, length);
}

void
connection_close(struct connection *connection, unsigned status, const char *reason)
{
    struct session *session = connection->transport;

    LOOP_ONLY();
    if (session->closing)
        return;
    session_forget_joined(session);
    session_heard(session); /* from now on it has CLOSE_AFTER_S */
    session->closing = true;
    if (connection->http) {
        session->close_reason = xstrdup(reason);
        connection_finish(connection);
        return;
    }
    /* A frame like others, behind those that wait.  libwebsockets 4.1 sends none when the close is
       begun in its writeable callback, and none of its own may stand between ours. */
    session_take_buffer(session);
    append_close(&connection->out, status, reason);
    session_wake(session);
}
