/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WebSocket's life: the handshake's checks, joined messages in, gathered frames out.
 *
 * libwebsockets 4.1 checks neither path, version, key, origin nor caller, and knows no limit to a
 * message: all of that is done here.  What it hides stays as it is: frames that are not masked are
 * taken, and of several pings that come at once only the first is answered.
 */
#include <config.h>

#include <string.h>
#include <strings.h>

#include "agent/base/name.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "rpc/rpc.h"
#include "rpc/transport.h"

#define KEY_LENGTH 24 /* base64 of 16 bytes */
#define FILL_SIZE (64 * 1024)
#define WRITES_AT_ONCE 4

/* ---- the handshake ---- */

static bool
list_names(const char *list, const char *name)
{
    while (*list) {
        size_t length;

        list += strspn(list, ", \t");
        length = strcspn(list, ", \t");
        if (length == strlen(name) && strncasecmp(list, name, length) == 0)
            return true;
        list += length;
    }
    return false;
}

static bool
check_handshake(struct lws *wsi, struct refusal *ret_refusal)
{
    char text[256];

    if (!header_copy(wsi, WSI_TOKEN_GET_URI, text, sizeof(text)) || strcmp(text, "/rpc") != 0)
        *ret_refusal = (struct refusal){ 404, "WebSockets are served by GET /rpc alone", NULL };
    else if (!header_copy(wsi, WSI_TOKEN_VERSION, text, sizeof(text)) || strcmp(text, "13") != 0)
        *ret_refusal = (struct refusal){ 426, "only version 13 of WebSocket is spoken",
                                         "sec-websocket-version: 13\r\n" };
    else if (!header_copy(wsi, WSI_TOKEN_CONNECTION, text, sizeof(text)) ||
             !list_names(text, "upgrade"))
        *ret_refusal = (struct refusal){ 400, "Connection must be Upgrade", NULL };
    else if (!header_copy(wsi, WSI_TOKEN_KEY, text, sizeof(text)) || strlen(text) != KEY_LENGTH)
        *ret_refusal =
            (struct refusal){ 400, "Sec-WebSocket-Key must be 16 bytes in base64", NULL };
    else if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) > 0 &&
             (!header_copy(wsi, WSI_TOKEN_PROTOCOL, text, sizeof(text)) ||
              !list_names(text, "jsonrpc")))
        *ret_refusal = (struct refusal){ 400, "the only subprotocol is jsonrpc", NULL };
    else
        return true;
    return false;
}

int
websocket_confirm(struct session *session)
{
    _cleanup_(identity_done) struct identity identity = { 0 };
    struct refusal refusal;
    char upgrade[32];

    /* The callback's own argument is not looked at: for an upgrade that libwebsockets does not know
       it points to memory that was freed.  That one was also answered, with 403. */
    if (!header_copy(session->wsi, WSI_TOKEN_UPGRADE, upgrade, sizeof(upgrade)))
        return -1;
    if (strcasecmp(upgrade, "websocket") != 0) {
        refusal = (struct refusal){ 400, "the only upgrade is websocket", NULL };
        if (strcasecmp(upgrade, "h2c") == 0)
            http_refuse(session, &refusal);
        return -1;
    }
    if (!check_handshake(session->wsi, &refusal) ||
        !admission_check(session, &identity, &refusal)) {
        http_refuse(session, &refusal);
        return -1;
    }
    session_disconnect(session); /* of a request before it that ended early */
    session_connect(session, &identity, false);
    return 0;
}

/* ---- messages in ---- */

static void
take_message(struct session *session, char *bytes, size_t size)
{
    if (utf8_valid(bytes, size))
        request_receive(session->connection, bytes, size);
    else
        connection_close(session->connection, 1007, "the message is not UTF-8");
}

static void
receive(struct session *session, char *bytes, size_t size)
{
    struct connection *connection = session->connection;
    const struct limits *limits = &connection->rpc->agent->config->limits;
    size_t expected = lws_remaining_packet_payload(session->wsi);
    bool whole = expected == 0 && lws_is_final_fragment(session->wsi);

    /* What a frame announces counts, so nobody makes us gather what will be refused. */
    if (expected > limits->frame_size ||
        session->in.length + size + expected > limits->frame_size) {
        connection_close(connection, 1009, "the message is over the limit");
        return;
    }
    if (whole && session->in.length == 0) {
        take_message(session, bytes, size);
    } else if (!session_join(session, bytes, size)) {
        connection_close(connection, 1013, "too many unfinished messages");
        return;
    } else if (whole) {
        struct text message = session->in;

        session->in = TEXT_INIT;
        session->transport->joined_size -= message.length;
        take_message(session, message.bytes, message.length);
        text_done(&message);
    }
    if (!session->throttled && connection->out.length - session->written > OUT_PAUSE_SIZE) {
        session->throttled = true;
        (void)lws_rx_flow_control(session->wsi, 0);
    }
}

/* ---- frames out ---- */

static size_t
frame_size(const unsigned char *frame)
{
    uint64_t size = 0;

    if (frame[1] < 126)
        return 2 + (size_t)frame[1];
    if (frame[1] == 126)
        return 4 + ((size_t)frame[2] << 8 | frame[3]);
    for (int i = 2; i < 10; i++)
        size = size << 8 | frame[i];
    return 10 + (size_t)size;
}

/* How much goes out in one write: whole frames, for libwebsockets may put a pong between two
   writes; at least one. */
static size_t
whole_frames(const char *bytes, size_t size)
{
    size_t taken = 0;

    if (size <= WRITE_SIZE)
        return size;
    while (taken < size) {
        size_t next = frame_size((const unsigned char *)bytes + taken);

        if (taken > 0 && taken + next > WRITE_SIZE)
            break;
        taken += next;
    }
    return taken;
}

static void
resume_reading(struct session *session)
{
    if (!session->throttled || session->dead)
        return;
    session->throttled = false;
    (void)lws_rx_flow_control(session->wsi, 1);
    /* What it has read already is looked at only when the socket calls: make it call. */
    (void)lws_callback_on_writable(session->wsi);
}

bool
websocket_flush(struct session *session)
{
    struct connection *connection = session->connection;
    struct text *out = connection ? &connection->out : NULL;
    bool more = false;

    LOOP_ONLY();
    if (!connection || !session->websocket || session->dead || session->blocked)
        return false;
    if (session->ended)
        return false;
    session_take_buffer(session);
    for (int i = 0; i < WRITES_AT_ONCE; i++) {
        size_t waiting = out->length - session->written, size;

        more = !session->closing && waiting < FILL_SIZE &&
               subscription_fill(connection, FILL_SIZE - waiting);
        size = whole_frames(out->bytes + session->written, out->length - session->written);
        if (size == 0)
            break;
        /* As they stand: a raw write, for the frames have their headers. */
        if (lws_write(session->wsi, (unsigned char *)out->bytes + session->written, size,
                      LWS_WRITE_HTTP) < (int)size) {
            session_kill(session);
            return false;
        }
        session->written += size;
        session->blocked = lws_partial_buffered(session->wsi);
        session->kept = session->blocked ? size : 0;
        if (session->blocked)
            break;
    }
    if (out->length - session->written < OUT_PAUSE_SIZE / 2)
        resume_reading(session);
    if (out->length == session->written)
        session_return_buffer(session);
    else
        session_drop_written(session);
    session_count_out(session);
    if (session->blocked)
        (void)lws_callback_on_writable(session->wsi);
    return !session->blocked && (more || out->length > session->written);
}

/* libwebsockets has written what it kept, and the socket takes more. */
static int
writeable(struct session *session)
{
    if (session->dead)
        return -1;
    if (session->blocked) {
        session->blocked = false;
        session->kept = 0;
        session_heard(session); /* it reads: it lives */
    }
    session_wake(session);
    return 0;
}

/* It is answered with what it says; what nobody may say is not repeated. */
static int
peer_closes(struct session *session, const char *bytes, size_t size)
{
    bool answers = session->closing; /* our own close frame went out first */
    bool sound = size == 0 || (size >= 2 && utf8_valid(bytes + 2, size - 2));

    session->closing = session->ended = true;
    session_forget_joined(session);
    if (sound && !answers)
        return 0;
    if (!answers)
        lws_close_reason(session->wsi, LWS_CLOSE_STATUS_PROTOCOL_ERR, NULL, 0);
    return -1;
}

int
websocket_event(struct session *session, enum lws_callback_reasons reason, char *bytes, size_t size)
{
    if (!session->connection)
        return reason == LWS_CALLBACK_CLOSED ? 0 : -1;
    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return 0; /* it has a connection: websocket_confirm() let it in */
    case LWS_CALLBACK_ESTABLISHED:
        session->websocket = true;
        session_heard(session);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        if (session->closing)
            return 0;
        session_heard(session);
        receive(session, bytes, size);
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        if (!session->closing)
            session_heard(session);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE: return writeable(session);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: return peer_closes(session, bytes, size);
    case LWS_CALLBACK_CLOSED: session_disconnect(session); return 0;
    default: return 0;
    }
}
