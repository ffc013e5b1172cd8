/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/client.h"

#include <errno.h>
#include <libwebsockets.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ctl/interrupt.h"

/* The agent's frames stay under 1 MiB; far beyond that, something else speaks. */
#define MESSAGE_SIZE_MAX (64U << 20)
/* A signal that comes between looking at its flag and poll() is noticed after this time. */
#define TICK_US 200000

struct queued {
    struct queued *next;
    size_t size;
    unsigned char bytes[]; /* LWS_PRE for the frame's header, then the message */
};

struct received {
    struct received *next;
    json_t *message;
};

struct client {
    struct lws_context *context;
    struct lws *socket;            /* NULL: not connected, or closed */
    const struct address *address; /* while connecting */
    char *token;
    struct queued *first_out, **last_out;
    struct received *first_in, **last_in;
    struct text partial; /* of a message in several pieces */
    lws_sorted_usec_list_t tick;
    bool established, failed;
    unsigned http_status; /* of a refused upgrade; 0: none came */
    char *reason;
};

static int on_event(struct lws *socket, enum lws_callback_reasons what, void *user, void *in,
                    size_t length);
static bool context_make(struct client *client, struct error **err);
static bool explain(const struct client *client, const struct address *address, struct error **err);

static const struct lws_protocols protocols[] = {
    { .name = "jsonrpc", .callback = on_event, .rx_buffer_size = 65536 },
    { 0 },
};
/* A peer that vanished without a word is noticed by its missing pongs. */
static const lws_retry_bo_t idle_policy = {
    .secs_since_valid_ping = 20,
    .secs_since_valid_hangup = 40,
};

/* The time may be over before lws_service() comes to its poll(), which would then sleep until the
   next thing that libwebsockets has to do: so it is woken in any case. */
static void
tick_is_over(lws_sorted_usec_list_t *tick)
{
    lws_cancel_service(CONTAINER_OF(tick, struct client, tick)->context);
}

static void
service_once(struct client *client, int64_t until_ns)
{
    int64_t left_us = (until_ns - clock_monotonic_ns()) / 1000;
    lws_usec_t wait_us = left_us < 1 ? 1 : left_us > TICK_US ? TICK_US : left_us;

    lws_sul_schedule(client->context, 0, &client->tick, tick_is_over, wait_us);
    (void)lws_service(client->context, 0);
    lws_sul_schedule(client->context, 0, &client->tick, tick_is_over, LWS_SET_TIMER_USEC_CANCEL);
}

bool
client_open(const struct address *address, unsigned timeout_ms, struct client **ret_client,
            struct error **err)
{
    _cleanup_(client_closep) struct client *client = xalloc(sizeof(*client));
    _cleanup_free_ char *unix_address = address->socket ? xprintf("+%s", address->socket) : NULL;
    int64_t until_ns = clock_monotonic_ns() + (int64_t)timeout_ms * NS_PER_MS;
    struct lws_client_connect_info info = { 0 };

    client->address = address;
    client->last_out = &client->first_out;
    client->last_in = &client->first_in;
    client->token = address->token ? xstrdup(address->token) : NULL;
    if (!context_make(client, err))
        return false;
    info.context = client->context;
    info.address = unix_address ? unix_address : address->host;
    info.port = address->socket ? 0 : address->port;
    info.path = address->path;
    info.host = address->socket ? "localhost" : address->host;
    info.local_protocol_name = protocols[0].name;
    info.ietf_version_or_minus_one = -1;
    info.ssl_connection = address->tls ? LCCSCF_USE_SSL : 0;
    info.retry_and_idle_policy = &idle_policy;
    info.opaque_user_data = client;
    info.pwsi = &client->socket;
    if (!lws_client_connect_via_info(&info))
        client->failed = true;
    while (!client->established && !client->failed && !interrupt_seen() &&
           clock_monotonic_ns() < until_ns)
        service_once(client, until_ns);
    client->address = NULL;
    if (!client->established)
        return explain(client, address, err);
    *ret_client = TAKE(client);
    return true;
}

void
client_close(struct client *client)
{
    if (!client)
        return;
    if (client->context)
        lws_context_destroy(client->context);
    while (client->first_out) {
        struct queued *queued = client->first_out;

        client->first_out = queued->next;
        free(queued);
    }
    while (client->first_in) {
        struct received *received = client->first_in;

        client->first_in = received->next;
        json_decref(received->message);
        free(received);
    }
    text_done(&client->partial);
    free(client->token);
    free(client->reason);
    free(client);
}

bool
client_send(struct client *client, const json_t *message, struct error **err)
{
    _cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);
    struct queued *queued;
    size_t size;

    if (!text)
        return error_set(err, ERROR_INVALID_PARAMS, "the request cannot be written as JSON");
    if (!client->socket)
        return error_set(err, ERROR_BACKEND_UNAVAILABLE, "%s", client_reason(client));
    size = strlen(text);
    queued = xalloc(sizeof(*queued) + LWS_PRE + size);
    queued->size = size;
    memcpy(queued->bytes + LWS_PRE, text, size);
    *client->last_out = queued;
    client->last_out = &queued->next;
    lws_callback_on_writable(client->socket);
    return true;
}

enum client_outcome
client_next(struct client *client, unsigned wait_ms, json_t **ret_message)
{
    int64_t until_ns = clock_monotonic_ns() + (int64_t)wait_ms * NS_PER_MS;

    for (;;) {
        struct received *received = client->first_in;

        if (received) {
            client->first_in = received->next;
            if (!client->first_in)
                client->last_in = &client->first_in;
            *ret_message = received->message;
            free(received);
            return CLIENT_MESSAGE;
        }
        if (!client->socket)
            return CLIENT_CLOSED;
        if (interrupt_seen() || clock_monotonic_ns() >= until_ns)
            return CLIENT_NOTHING;
        service_once(client, until_ns);
    }
}

void
client_service(struct client *client)
{
    json_t *message = NULL;

    if (client->socket)
        service_once(client, clock_monotonic_ns());
    while (client->first_in && client_next(client, 0, &message) == CLIENT_MESSAGE)
        json_decref(message);
}

bool
client_is_open(const struct client *client)
{
    return client->socket || client->first_in;
}

const char *
client_reason(const struct client *client)
{
    return client->reason ? client->reason : "the connection is closed";
}

static bool
context_make(struct client *client, struct error **err)
{
    const struct address *address = client->address;
    struct lws_context_creation_info info = { 0 };

    lws_set_log_level(0, NULL); /* what it would say, explain() says better */
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = protocols;
    info.gid = (gid_t)-1;
    info.uid = (uid_t)-1;
    info.fd_limit_per_thread = 1024; /* not a table for all that the system allows */
    info.pt_serv_buf_size = 65536;
    info.user = client;
    if (address->tls) {
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.client_ssl_ca_filepath = address->tls_ca;
        info.client_ssl_cert_filepath = address->tls_certificate;
        info.client_ssl_private_key_filepath = address->tls_key;
    }
    client->context = lws_create_context(&info);
    if (!client->context)
        return error_set(err, ERROR_BACKEND_UNAVAILABLE, "cannot set up libwebsockets%s",
                         address->tls ? ": are --tls-ca, --tls-cert and --tls-key PEM files that "
                                        "can be read?"
                                      : "");
    return true;
}

static void
set_reason_take(struct client *client, char *reason)
{
    free(client->reason);
    client->reason = reason;
}

/* Why a unix socket does not answer, in the words of connect(2). */
static bool
explain_socket(const char *path, struct error **err)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un name = { .sun_family = AF_UNIX };

    memcpy(name.sun_path, path, strlen(path));
    if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
        return error_set(err, ERROR_BACKEND_UNAVAILABLE,
                         "something listens there that does not speak as the agent does");
    if (errno == ENOENT)
        return error_set(err, ERROR_BACKEND_UNAVAILABLE,
                         "there is no such socket: start hostlerd, or name its socket with --url "
                         "unix:PATH or HOSTLER_URL");
    if (errno == ECONNREFUSED)
        return error_set(err, ERROR_BACKEND_UNAVAILABLE,
                         "no agent serves this socket: it has ended; start hostlerd again");
    if (errno == EACCES)
        return error_set(err, ERROR_BACKEND_UNAVAILABLE,
                         "this user may not open the socket: become root or a member of group "
                         "'hostler'");
    return error_errno(err, ERROR_BACKEND_UNAVAILABLE, errno, "connect");
}

static bool
explain(const struct client *client, const struct address *address, struct error **err)
{
    if (interrupt_seen())
        error_set(err, ERROR_BACKEND_UNAVAILABLE, "interrupted");
    else if (client->http_status == 401 || client->http_status == 403)
        error_set(err, ERROR_BACKEND_UNAVAILABLE, "the agent refuses us (HTTP %u): %s",
                  client->http_status,
                  address->tls ? "give a certificate that it knows with --tls-cert and --tls-key"
                  : address->token
                      ? "the token is not one of its own; name its file with --token-file"
                      : "name the file of a token with --token-file or HOSTLER_TOKEN_FILE");
    else if (client->http_status)
        error_set(err, ERROR_BACKEND_UNAVAILABLE,
                  "what listens there does not serve WebSocket at '%s' (HTTP %u)", address->path,
                  client->http_status);
    else if (!client->failed)
        error_set(err, ERROR_BACKEND_UNAVAILABLE, "no answer in time: is the address right?");
    else if (address->socket)
        explain_socket(address->socket, err);
    else
        error_set(err, ERROR_BACKEND_UNAVAILABLE, "%s: %s",
                  client->reason ? client->reason : "connection refused",
                  address->tls ? "does hostlerd listen there (--tls-listen), did --tls-ca sign its "
                                 "certificate, and does it know ours (--tls-cert, --tls-key)?"
                               : "does hostlerd listen there (--listen)?");
    return error_wrap(err, "no connection to '%s'", address->url);
}

/* One piece of a message has come. */
static bool
take_piece(struct client *client, struct lws *socket, const char *bytes, size_t size)
{
    struct received *received;
    json_t *message;

    if (client->partial.length + size > MESSAGE_SIZE_MAX) {
        set_reason_take(client, xstrdup("the agent sent a message that is too large"));
        return false;
    }
    text_append(&client->partial, bytes, size);
    if (lws_remaining_packet_payload(socket) > 0 || !lws_is_final_fragment(socket))
        return true;
    message = json_loadb(client->partial.bytes, client->partial.length, 0, NULL);
    text_clear(&client->partial);
    if (!message) {
        set_reason_take(client, xstrdup("what listens there sent something that is not JSON"));
        return false;
    }
    received = xalloc(sizeof(*received));
    received->message = message;
    *client->last_in = received;
    client->last_in = &received->next;
    return true;
}

static bool
write_next(struct client *client, struct lws *socket)
{
    struct queued *queued = client->first_out;
    int written;

    if (!queued)
        return true;
    written = lws_write(socket, queued->bytes + LWS_PRE, queued->size, LWS_WRITE_TEXT);
    client->first_out = queued->next;
    if (!client->first_out)
        client->last_out = &client->first_out;
    else
        lws_callback_on_writable(socket);
    free(queued);
    return written >= 0;
}

static int
add_token(const struct client *client, struct lws *socket, unsigned char **place, size_t size)
{
    _cleanup_free_ char *value = client->token ? xprintf("Bearer %s", client->token) : NULL;

    if (!value)
        return 0;
    return lws_add_http_header_by_token(socket, WSI_TOKEN_HTTP_AUTHORIZATION,
                                        (const unsigned char *)value, (int)strlen(value), place,
                                        *place + size);
}

static void
note_closed(struct client *client)
{
    client->socket = NULL;
    if (!client->reason)
        client->reason = xstrdup("the agent closed the connection, or has ended");
}

static int
on_event(struct lws *socket, enum lws_callback_reasons what, void *user, void *in, size_t length)
{
    struct client *client = socket ? lws_get_opaque_user_data(socket) : NULL;

    (void)user;
    if (!client)
        return 0;
    switch (what) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return add_token(client, socket, in, length);
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH: break;
    case LWS_CALLBACK_CLIENT_ESTABLISHED: client->established = true; break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        client->http_status = lws_http_client_http_response(socket);
        if (client->http_status == 101)
            client->http_status = 0;
        client->failed = true;
        client->socket = NULL;
        if (in)
            set_reason_take(client, xstrndup(in, length));
        break;
    case LWS_CALLBACK_CLIENT_RECEIVE: return take_piece(client, socket, in, length) ? 0 : -1;
    case LWS_CALLBACK_CLIENT_WRITEABLE: return write_next(client, socket) ? 0 : -1;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (length > 2) { /* a code of two bytes, then text */
            _cleanup_free_ char *text = xstrndup((const char *)in + 2, length - 2);

            set_reason_take(client, xprintf("the agent closed the connection: %s", text));
        }
        break;
    case LWS_CALLBACK_CLIENT_CLOSED: note_closed(client); break;
    default: break;
    }
    return 0;
}
