/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libwebsockets on the agent's own loop.
 *
 * Its context is never destroyed: 4.1 has its uses after free there, and the agent ends by dying.
 */
#include <config.h>

#include "rpc/server.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "agent/base/log.h"
#include "agent/config.h"
#include "rpc/listener.h"
#include "rpc/rpc.h"
#include "rpc/tls.h"
#include "rpc/transport.h"

#define HEADERS_SIZE_MAX 8192
#define READ_SIZE (64 * 1024)   /* one buffer for all, and the most of an HTTP body at once */
#define RECEIVE_SIZE 2048       /* a buffer for each WebSocket; it reads as much at once */
#define SEND_SIZE (1024 * 1024) /* less makes large answers many small sends */
#define HANDSHAKE_S 20
#define KEEP_ALIVE_S 30
#define DESCRIPTORS_MAX 1048576 /* libwebsockets makes tables of this many entries */
#define DESCRIPTORS_ELSE 512    /* that the agent needs for other things than clients */

struct rpc *
rpc_new(void)
{
    return xalloc(sizeof(struct rpc));
}

static struct rpc_transport *
transport_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* ---- libwebsockets' callback ---- */

static int
harden(struct lws *wsi, SSL_CTX *context)
{
    struct rpc_transport *transport = transport_of(wsi);

    transport->tls_hardened = tls_harden(context, transport->rpc->agent->config->tls_ca);
    return transport->tls_hardened ? 0 : -1;
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
    struct session *session;

    /* These two come without a session. */
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
        return harden(wsi, user);
    /* libwebsockets takes our word for it, whatever OpenSSL found, which is in 'size'. */
    if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION)
        return size ? 0 : 1;
    session = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    if (!session)
        return 0;
    session->wsi = wsi;
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return websocket_confirm(session);
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_CLOSED_HTTP: return http_event(session, reason, in, size);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_RECEIVE_PONG:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_CLOSED: return websocket_event(session, reason, in, size);
    case LWS_CALLBACK_WSI_DESTROY:
        if (session->adopting)
            session->over = true;
        else
            session_free(session);
        return 0;
    default: return 0;
    }
}

/* The first is what a client without a subprotocol gets.  No extension is registered: a compressed
   frame could not be shared, and a raw write would break it. */
static const struct lws_protocols protocols[] = {
    { .name = "jsonrpc",
      .callback = callback,
      .rx_buffer_size = RECEIVE_SIZE,
      .tx_packet_size = SEND_SIZE },
    { 0 },
};

/* ---- opening ---- */

static char last_complaint[256];

/* Most of its lines are about what a client did wrong; why a start fails is in the last of them. */
static void
hear_complaint(int level, const char *line)
{
    (void)level;
    (void)snprintf(last_complaint, sizeof(last_complaint), "%.*s", (int)strcspn(line, "\n"), line);
    log_debug(NULL, "libwebsockets: %s", last_complaint);
}

/* Above ten million descriptors it silently makes do with 2,560; containers often allow more. */
static void
bound_descriptors(struct rpc_transport *transport)
{
    const struct limits *limits = &transport->rpc->agent->config->limits;
    struct rlimit files = { .rlim_cur = 1024 };
    size_t available;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > DESCRIPTORS_MAX) {
        files.rlim_cur = DESCRIPTORS_MAX;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    available = files.rlim_cur > 2 * DESCRIPTORS_ELSE ? files.rlim_cur - DESCRIPTORS_ELSE
                                                      : files.rlim_cur / 2;
    transport->session_max = limits->connections;
    if (available >= limits->connections)
        return;
    transport->session_max = available;
    log_warning("only %zu connections can be served, not %llu: %llu descriptors are allowed "
                "(LimitNOFILE=), going on",
                available, (unsigned long long)limits->connections,
                (unsigned long long)files.rlim_cur);
}

/* Otherwise every connection has a timer in one sorted list: session.c's patrol is all there is. */
static const lws_retry_bo_t no_idle_policy = { .secs_since_valid_ping = 0,
                                               .secs_since_valid_hangup = 0 };

static bool
make_context(struct rpc_transport *transport, struct error **err)
{
    const struct config *config = transport->rpc->agent->config;
    void *loops[] = { loop_uv(transport->rpc->agent->loop) };
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_LIBUV |
                   (config->tls_listen ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
        .foreign_loops = loops,
        .user = transport,
        .pt_serv_buf_size = READ_SIZE,
        .max_http_header_data = HEADERS_SIZE_MAX,
        .retry_and_idle_policy = &no_idle_policy,
        .timeout_secs = HANDSHAKE_S,
    };

    lws_set_log_level(LLL_ERR | LLL_WARN, hear_complaint);
    transport->context = lws_create_context(&info);
    if (transport->context)
        return true;
    return error_set(err, ERROR_INTERNAL,
                     "cannot start libwebsockets (%s): is its libuv plugin there, the package "
                     "libwebsockets-evlib-uv?",
                     last_complaint);
}

static bool
make_vhosts(struct rpc_transport *transport, struct error **err)
{
    const struct config *config = transport->rpc->agent->config;
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .vhost_name = "plain",
        .protocols = protocols,
        .retry_and_idle_policy = &no_idle_policy,
        .timeout_secs = HANDSHAKE_S,
        .keepalive_timeout = KEEP_ALIVE_S,
    };

    transport->plain = lws_create_vhost(transport->context, &info);
    if (!transport->plain)
        return error_set(err, ERROR_INTERNAL, "cannot start libwebsockets (%s)", last_complaint);
    if (!config->tls_listen)
        return true;
    if (!tls_check(config, err))
        return false;
    info.vhost_name = "tls";
    info.options =
        LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT;
    info.ssl_cert_filepath = config->tls_cert;
    info.ssl_private_key_filepath = config->tls_key;
    info.ssl_ca_filepath = config->tls_ca;
    info.alpn = "http/1.1";
    transport->tls = lws_create_vhost(transport->context, &info);
    if (!transport->tls || !transport->tls_hardened)
        return error_set(err, ERROR_INVALID_PARAMS, "cannot serve TLS (%s)", last_complaint);
    return true;
}

static bool
load_tokens(struct rpc_transport *transport, struct error **err)
{
    const struct config *config = transport->rpc->agent->config;

    if (config->token_file)
        return tokens_read(config->token_file, &transport->tokens, err);
    return !listeners_need_tokens(transport) ||
           tokens_make(config->run_dir, &transport->tokens, err);
}

bool
rpc_open(struct rpc *rpc, struct agent *agent, struct error **err)
{
    struct rpc_transport *transport = xalloc(sizeof(*transport));

    rpc->agent = agent;
    rpc->transport = transport;
    transport->rpc = rpc;
    transport->admin_group = peer_admin_group();
    rates_open(rpc);
    subscriptions_open(rpc);
    metrics_open(rpc);
    sessions_open(transport);
    bound_descriptors(transport);
    return load_tokens(transport, err) && make_context(transport, err) &&
           make_vhosts(transport, err) && listeners_open(transport, err);
}

void
rpc_ready(struct rpc *rpc)
{
    listeners_print(rpc->transport);
#ifdef HAVE_SYSTEMD
    (void)sd_notify(false, "READY=1");
#endif
}
