/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP beside the WebSockets: POST /rpc, GET /healthz, GET /metrics; what backends serve themselves
 * is exchange.c's.
 *
 * Replies are written here, header and all, in one go.  A POST has a connection of its own, which
 * lives until all its calls have answered; the socket may then carry the next.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "agent/base/name.h"
#include "agent/config.h"
#include "agent/resource.h"
#include "rpc/metrics.h"
#include "rpc/rpc.h"
#include "rpc/transport.h"

#define LINGER_S 5
#define REPEATS_MAX 100 /* turns of the loop that a small answer waits for its socket, at most */
#define DROPPED_MAX_SIZE (64 * 1024 * 1024)
#define READ_S 60             /* that a client has to read an answer, */
#define READ_RATE (16 * 1024) /* and one more for each so many bytes */

struct response {
    unsigned status;
    const char *type, *header; /* header: NULL or a whole line with its CR LF */
    const char *body;
    size_t size;
    bool close;
};

const char *
http_status_text(unsigned status)
{
    switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 416: return "Range Not Satisfiable";
    case 426: return "Upgrade Required";
    case 500: return "Internal Server Error";
    case 504: return "Gateway Timeout";
    case 507: return "Insufficient Storage";
    default: return "Service Unavailable";
    }
}

/* False: the socket has failed. */
static bool
respond(struct session *session, const struct response *response)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    bool head = lws_hdr_total_length(session->wsi, WSI_TOKEN_HEAD_URI) > 0;

    /* libwebsockets asks for room in front of what it writes. */
    text_grow(&text, (text_reserve(&text, LWS_PRE + 512), LWS_PRE));
    text_printf(&text, "HTTP/1.1 %u %s\r\nserver: hostlerd\r\ncache-control: no-store\r\n%s",
                response->status, http_status_text(response->status),
                response->header ? response->header : "");
    if (response->status != 204)
        text_printf(&text, "content-type: %s\r\ncontent-length: %zu\r\n", response->type,
                    response->size);
    text_append_string(&text, response->close ? "connection: close\r\n\r\n" : "\r\n");
    if (!head)
        text_append(&text, response->body, response->size);
    if (lws_write(session->wsi, (unsigned char *)text.bytes + LWS_PRE, text.length - LWS_PRE,
                  LWS_WRITE_HTTP_FINAL) < 0)
        return false;
    if (lws_partial_buffered(session->wsi)) {
        session->kept = text.length;
        lws_set_timeout(session->wsi, PENDING_TIMEOUT_HTTP_CONTENT,
                        READ_S + (int)(text.length / READ_RATE));
    }
    return true;
}

void
http_refuse(struct session *session, const struct refusal *refusal)
{
    _cleanup_free_ char *body = xprintf("%s\n", refusal->words);
    struct response response = { .status = refusal->status,
                                 .type = "text/plain; charset=utf-8",
                                 .header = refusal->header,
                                 .body = body,
                                 .size = strlen(body),
                                 .close = true };

    (void)respond(session, &response); /* it is closed either way */
}

static int
refuse(struct session *session, unsigned status, const char *words, const char *header)
{
    struct refusal refusal = { status, words, header };

    http_refuse(session, &refusal);
    return -1;
}

/* For a request whose body is still to come: it is read and dropped for a while, because a socket
   that is closed with something unread takes the reply with it. */
static int
refuse_body(struct session *session, const struct refusal *refusal)
{
    http_refuse(session, refusal);
    session_disconnect(session);
    session->closing = true;
    lws_set_timeout(session->wsi, PENDING_TIMEOUT_HTTP_CONTENT, LINGER_S);
    return 0;
}

/* What libwebsockets' callback answers when a reply was written: -1 closes the socket. */
static int
completed(struct session *session, bool written)
{
    session_disconnect(session);
    return !written || lws_http_transaction_completed(session->wsi) ? -1 : 0;
}

static int
respond_text(struct session *session, const char *type, const char *body, size_t size)
{
    struct response response = { .status = 200, .type = type, .body = body, .size = size };

    return completed(session, respond(session, &response));
}

static int
serve_get(struct session *session, const char *path)
{
    _cleanup_(identity_done) struct identity identity = { 0 };
    _cleanup_text_ struct text text = TEXT_INIT;
    struct refusal refusal;

    if (strcmp(path, "/healthz") == 0)
        return respond_text(session, "text/plain; charset=utf-8", "ok\n", 3);
    if (strcmp(path, "/rpc") == 0)
        return refuse(session, 426, "upgrade to a WebSocket, or POST", "upgrade: websocket\r\n");
    if (strcmp(path, "/metrics") != 0)
        return refuse(session, 404, "there are /rpc, /healthz and /metrics", NULL);
    if (!admission_check(session, &identity, &refusal)) {
        http_refuse(session, &refusal);
        return -1;
    }
    metrics_write(session->transport->rpc, &text);
    return respond_text(session, "text/plain; version=0.0.4; charset=utf-8", text.bytes,
                        text.length);
}

bool
http_content_length(struct session *session, uint64_t *ret_length)
{
    char text[24], *end;

    /* No more than digits: strtoull() takes signs and blanks as well. */
    if (!header_copy(session->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof(text)) ||
        strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    *ret_length = strtoull(text, &end, 10);
    return errno == 0;
}

static int
begin_post(struct session *session, struct identity *identity)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    unsigned char buffer[LWS_PRE + sizeof(go_on)];

    session_connect(session, identity, true);
    if (lws_hdr_total_length(session->wsi, WSI_TOKEN_HTTP_EXPECT) <= 0)
        return 0;
    memcpy(buffer + LWS_PRE, go_on, sizeof(go_on));
    return lws_write(session->wsi, buffer + LWS_PRE, sizeof(go_on) - 1, LWS_WRITE_HTTP) < 0 ? -1
                                                                                            : 0;
}

static bool
check_post(struct session *session, const char *path, struct identity *ret_identity,
           struct refusal *ret_refusal)
{
    uint64_t length;

    if (strcmp(path, "/rpc") == 0 && !admission_check(session, ret_identity, ret_refusal))
        return false;
    if (strcmp(path, "/rpc") != 0)
        *ret_refusal = (struct refusal){ 404, "POST is for /rpc", NULL };
    else if (lws_hdr_total_length(session->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0 ||
             !http_content_length(session, &length))
        *ret_refusal =
            (struct refusal){ 411, "send the message with its Content-Length, not in chunks",
                              NULL };
    else if (length > session->transport->rpc->agent->config->limits.frame_size)
        *ret_refusal = (struct refusal){ 413, "the message is over the limit", NULL };
    else if (length == 0)
        *ret_refusal = (struct refusal){ 400, "the message is empty", NULL };
    else
        return true;
    return false;
}

static int
serve_post(struct session *session, const char *path)
{
    _cleanup_(identity_done) struct identity identity = { 0 };
    struct refusal refusal;

    if (!check_post(session, path, &identity, &refusal))
        return refuse_body(session, &refusal);
    return begin_post(session, &identity);
}

static int
begin(struct session *session, const char *path)
{
    static const enum lws_token_indexes gets[] = { WSI_TOKEN_GET_URI, WSI_TOKEN_HEAD_URI };
    const struct resource *resource;

    if (session->closing)
        return -1;
    session->kept = 0;
    session_disconnect(session); /* of a request before it that ended early */
    if (session->exchange)
        return -1;
    resource = resource_find(session->transport->rpc->agent, path);
    if (resource)
        return exchange_begin(session, resource, path + strlen(resource->prefix));
    for (size_t i = 0; i < ARRAY_COUNT(gets); i++)
        if (lws_hdr_total_length(session->wsi, gets[i]) > 0)
            return serve_get(session, path);
    if (lws_hdr_total_length(session->wsi, WSI_TOKEN_POST_URI) > 0)
        return serve_post(session, path);
    return refuse_body(session, &(struct refusal){ 405, "GET, HEAD and POST are served",
                                                   "allow: GET, HEAD, POST\r\n" });
}

static int
take_body(struct session *session, const char *bytes, size_t size)
{
    size_t limit = session->transport->rpc->agent->config->limits.frame_size;

    if (session->closing) {
        session->dropped += size;
        return session->dropped > DROPPED_MAX_SIZE ? -1 : 0;
    }
    if (session->exchange)
        return exchange_take(session, bytes, size);
    if (!session->connection)
        return -1;
    if (session->in.length + size > limit)
        return refuse_body(session,
                           &(struct refusal){ 413, "the message is over the limit", NULL });
    if (!session_join(session, bytes, size))
        return refuse_body(session, &(struct refusal){ 503, "too many unfinished messages", NULL });
    return 0;
}

static int
complete_body(struct session *session)
{
    struct text message = session->in;

    if (session->exchange)
        return exchange_lingers(session) ? -1 : 0; /* its answer comes when it comes */
    if (!session->connection)
        return -1;
    /* The next request came before the answer to this one: libwebsockets 4.1 takes it for the end
       of this one's body, in each turn of the loop until the answer is written.  It cannot be made
       to wait (what stops its reading stops its writing), so it may not wait for long.  And a body that
       it had to keep until the request before was answered it never comes back from, in the same turn:
       its head it takes for its first bytes. */
    if (session->received)
        return session->finished && ++session->repeats < REPEATS_MAX ? 0 : -1;
    session->received = true;
    session->in = TEXT_INIT;
    session->transport->joined_size -= message.length;
    if (!utf8_valid(message.bytes, message.length)) {
        text_done(&message);
        return refuse(session, 400, "the message is not UTF-8", NULL);
    }
    /* It may take hours, and the client is free to wait. */
    lws_set_timeout(session->wsi, NO_PENDING_TIMEOUT, 0);
    request_receive(session->connection, message.bytes, message.length);
    text_done(&message);
    return 0;
}

static int
writeable(struct session *session)
{
    struct connection *connection = session->connection;
    struct response response = { .status = 200, .type = "application/json" };

    if (session->dead)
        return -1;
    if (!connection || !session->finished)
        return 0;
    if (session->close_reason) /* rpc/ gave it up */
        return refuse(session, 503, session->close_reason, NULL);
    response.body = connection->out.bytes;
    response.size = connection->out.length;
    if (response.size == 0)
        response.status = 204;
    return completed(session, respond(session, &response));
}

int
http_event(struct session *session, enum lws_callback_reasons reason, char *bytes, size_t size)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP: return begin(session, bytes);
    case LWS_CALLBACK_HTTP_BODY: return take_body(session, bytes, size);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION: return complete_body(session);
    case LWS_CALLBACK_HTTP_WRITEABLE: return writeable(session);
    default: /* LWS_CALLBACK_CLOSED_HTTP */
        session_disconnect(session);
        exchange_drop(session);
        return 0;
    }
}
