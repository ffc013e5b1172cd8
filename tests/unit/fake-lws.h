/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libwebsockets as the tests of the transport need it: it keeps what is written, its socket is full
 * when the test says so, and headers and the time are what the test sets.  A program's own
 * functions go before those of a shared library, so the transport calls these.
 */
#ifndef TESTS_FAKE_LWS_H
#define TESTS_FAKE_LWS_H

#include <assert.h>
#include <libwebsockets.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/resource.h"
#include "events/ring.h"
#include "rpc/rpc.h"
#include "rpc/transport.h"

#define FAKE_FRAME_SIZE (64 * 1024) /* limits.frame_size */

struct lws {
    int fd, peer;                 /* a pair of sockets */
    struct text written;          /* all that lws_write() was given */
    size_t writes, largest;       /* how often, and the most at once */
    bool fills;                   /* each write fills the socket, */
    bool full;                    /* and the rest is kept until fake_drain() */
    bool fails;                   /* lws_write() does */
    bool reading;                 /* lws_rx_flow_control() */
    unsigned wishes;              /* lws_callback_on_writable() */
    int timeout_s;                /* lws_set_timeout(); 0: none */
    bool completed;               /* lws_http_transaction_completed() */
    enum lws_close_status status; /* lws_close_reason() */
    size_t remaining;             /* of the frame that is being read */
    bool final;                   /* it is the message's last */
    const char *headers[WSI_TOKEN_COUNT];
    const char *argument; /* of the address: token=... */
    struct session *session;
    struct lws *next; /* of all_lws */
};

struct fake_transport {
    struct config config;
    struct agent agent;
    struct rpc rpc;
    struct rpc_transport transport;
    struct text received; /* what request_receive() was given, each with a line feed behind */
    size_t due;           /* bytes of events that subscription_fill() has for whoever asks */
};

static struct fake_transport *fake;
static uint64_t fake_now_ms;
static struct lws *all_lws;

/* ---- libwebsockets and libuv's clock ---- */

uint64_t
uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return fake_now_ms;
}

struct lws *
lws_adopt_descriptor_vhost_via_info(const lws_adopt_desc_t *info)
{
    struct lws *wsi = xalloc(sizeof(*wsi));

    wsi->fd = info->fd.sockfd;
    wsi->reading = wsi->final = true;
    wsi->session = info->opaque;
    wsi->session->wsi = wsi;
    wsi->next = all_lws;
    all_lws = wsi;
    return wsi;
}

lws_sockfd_type
lws_get_socket_fd(struct lws *wsi)
{
    return wsi->fd;
}

int
lws_callback_on_writable(struct lws *wsi)
{
    wsi->wishes++;
    return 1;
}

int
lws_write(struct lws *wsi, unsigned char *buf, size_t len, enum lws_write_protocol protocol)
{
    (void)protocol;
    assert(!wsi->full || !"a full socket is written to");
    if (wsi->fails)
        return -1;
    wsi->full = wsi->fills;
    wsi->writes++;
    wsi->largest = len > wsi->largest ? len : wsi->largest;
    text_append(&wsi->written, buf, len);
    return (int)len;
}

int
lws_partial_buffered(struct lws *wsi)
{
    return wsi->full;
}

int
lws_rx_flow_control(struct lws *wsi, int enable)
{
    wsi->reading = enable;
    return 0;
}

size_t
lws_remaining_packet_payload(struct lws *wsi)
{
    return wsi->remaining;
}

int
lws_is_final_fragment(struct lws *wsi)
{
    return wsi->final;
}

void
lws_close_reason(struct lws *wsi, enum lws_close_status status, unsigned char *buf, size_t len)
{
    (void)buf;
    (void)len;
    wsi->status = status;
}

void
lws_set_timeout(struct lws *wsi, enum pending_timeout reason, int secs)
{
    (void)reason;
    wsi->timeout_s = secs;
}

int
lws_http_transaction_completed(struct lws *wsi)
{
    wsi->completed = true;
    return 0;
}

int
lws_hdr_total_length(struct lws *wsi, enum lws_token_indexes h)
{
    return wsi->headers[h] ? (int)strlen(wsi->headers[h]) : 0;
}

int
lws_hdr_copy(struct lws *wsi, char *dest, int len, enum lws_token_indexes h)
{
    int length = lws_hdr_total_length(wsi, h);

    if (length >= len)
        return -1;
    memcpy(dest, wsi->headers[h] ? wsi->headers[h] : "", (size_t)length + 1);
    return length;
}

const char *
lws_get_urlarg_by_name(struct lws *wsi, const char *name, char *buf, int len)
{
    size_t size = strlen(name);

    if (!wsi->argument || strncmp(wsi->argument, name, size) != 0 ||
        strlen(wsi->argument) >= (size_t)len)
        return NULL;
    memcpy(buf, wsi->argument, strlen(wsi->argument) + 1);
    return buf + size;
}

/* One argument at most. */
int
lws_hdr_copy_fragment(struct lws *wsi, char *dest, int len, enum lws_token_indexes h, int frag_idx)
{
    assert(h == WSI_TOKEN_HTTP_URI_ARGS);
    if (!wsi->argument || frag_idx > 0 || strlen(wsi->argument) >= (size_t)len)
        return -1;
    memcpy(dest, wsi->argument, strlen(wsi->argument) + 1);
    return (int)strlen(wsi->argument);
}

void *
lws_get_opaque_user_data(const struct lws *wsi)
{
    return wsi->session;
}

SSL *
lws_get_ssl(struct lws *wsi)
{
    (void)wsi;
    return NULL;
}

void
lws_explicit_bzero(void *p, size_t len)
{
    memset(p, 0, len);
}

/* ---- the rest of rpc/ ---- */

void
request_receive(struct connection *connection, char *bytes, size_t size)
{
    (void)connection;
    text_append(&fake->received, bytes, size);
    text_append_char(&fake->received, '\n');
}

void
request_forget(struct connection *connection)
{
    assert(connection->closed);
}

void
subscription_forget(struct connection *connection)
{
    assert(connection->closed);
}

bool
subscription_fill(struct connection *connection, size_t size)
{
    size_t taken = fake->due < size ? fake->due : size;
    _cleanup_free_ char *bytes = xalloc(taken + 1);

    text_append(&connection->out, bytes, taken);
    fake->due -= taken;
    return fake->due > 0;
}

/* ---- the whole ---- */

static inline void
fake_open(void)
{
    struct error *error = NULL;

    fake = xalloc(sizeof(*fake));
    fake_now_ms = 1000000;
    fake->config.limits.frame_size = FAKE_FRAME_SIZE;
    fake->agent.config = &fake->config;
    if (!loop_new(&fake->agent.loop, &error))
        abort();
    fake->rpc.agent = &fake->agent;
    fake->rpc.transport = &fake->transport;
    fake->transport.rpc = &fake->rpc;
    fake->transport.admin_group = NO_GROUP;
    sessions_open(&fake->transport);
}

static inline void
fake_end_session(struct session *session)
{
    struct lws *wsi = session->wsi, **place = &all_lws;

    session_free(session);
    while (*place != wsi)
        place = &(*place)->next;
    *place = wsi->next;
    (void)close(wsi->fd);
    (void)close(wsi->peer);
    text_done(&wsi->written);
    free(wsi);
}

/* Ends the sessions that are left: nothing may be left of them. */
static inline void
fake_close(void)
{
    while (all_lws)
        fake_end_session(all_lws->session);
    assert(fake->transport.session_count == 0 && fake->rpc.connection_count == 0);
    assert(fake->transport.out_size == 0 && fake->transport.joined_size == 0);
    timer_disarm(fake->agent.loop, &fake->transport.patrol);
    while (fake->transport.spare_count)
        text_done(&fake->transport.spares[--fake->transport.spare_count]);
    free(fake->transport.by_number);
    resources_free(fake->agent.resources);
    text_done(&fake->received);
    loop_free(fake->agent.loop);
    free(fake);
    fake = NULL;
}

static inline struct session *
fake_session(enum endpoint endpoint)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    session_accept(&fake->transport, endpoint, pair[0]);
    all_lws->peer = pair[1];
    return all_lws->session;
}

/* One whose handshake is done. */
static inline struct session *
fake_websocket(void)
{
    struct session *session = fake_session(ENDPOINT_UNIX);
    struct identity identity = { ROLE_VIEWER, xstrdup("uid:1") };

    session_connect(session, &identity, false);
    (void)websocket_event(session, LWS_CALLBACK_ESTABLISHED, NULL, 0);
    return session;
}

/* What the loop does before it sleeps: the woken write. */
static inline void
fake_turn(void)
{
    timer_disarm(fake->agent.loop, &fake->transport.patrol); /* the test says when */
    loop_turn(fake->agent.loop, false);
}

/* The socket takes more, and libwebsockets has written what it kept. */
static inline void
fake_drain(struct session *session)
{
    session->wsi->full = false;
    (void)websocket_event(session, LWS_CALLBACK_SERVER_WRITEABLE, NULL, 0);
}

#endif
