/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the transport share: server.c, session.c, listener.c, admission.c,
 * websocket.c and http.c.  Nothing else of rpc/ knows libwebsockets.
 *
 * A session is one accepted socket, from its accept to its end; it hangs on libwebsockets' own
 * struct as opaque data.  It has a connection (rpc/connection.h) once its caller was let in: one
 * for the whole life of a WebSocket, or one for each POST of a kept-alive HTTP socket.
 *
 *     listener ── accept ──► session ── admission ──► connection ── request_receive() ──► tasks
 *                               ▲                          │ out
 *                               └────── flush, once a turn ┘
 */
#ifndef RPC_TRANSPORT_H
#define RPC_TRANSPORT_H

#include <libwebsockets.h>
#include <uv.h>

#include "agent/base/error.h"
#include "agent/loop.h"
#include "rpc/auth.h"
#include "rpc/connection.h"

#define WRITE_SIZE (256 * 1024)          /* about as much goes out in one write */
#define OUT_PAUSE_SIZE (4 * 1024 * 1024) /* unread answers at which we stop reading requests */
#define OUT_MAX_SIZE (32 * 1024 * 1024)  /* and at which the client is given up */
#define OUT_ALL_SIZE (256 * 1024 * 1024) /* unread answers of all together: from then on ... */
#define OUT_SHARE_SIZE (64 * 1024)       /* ... clients with more than this unread are given up */
#define JOINED_MAX_SIZE (256 * 1024 * 1024) /* unfinished messages of all clients together */
#define SPARE_COUNT 8

enum endpoint { ENDPOINT_UNIX, ENDPOINT_TCP, ENDPOINT_TLS };

struct http_exchange;
struct listener;
struct resource;
struct session;

struct rpc_transport {
    struct rpc *rpc;
    struct lws_context *context;
    struct lws_vhost *plain, *tls; /* tls: NULL without --tls-listen */
    struct tokens *tokens;         /* NULL: nobody comes in by TCP */
    unsigned admin_group;          /* its members are admins on the unix socket */
    bool tls_hardened;
    struct listener *listeners;
    int reserve_fd; /* given up for a moment when descriptors run out */
    size_t session_count, session_max;
    size_t joined_size; /* bytes of all 'in' together */
    size_t out_size;    /* bytes that wait to be read by clients, all together */

    struct session **by_number; /* hash of those with a connection; chained */
    size_t slot_count;          /* a power of two */

    struct session *first_woken, *last_woken; /* they may have something to write */
    uv_prepare_t flush;                       /* writes for the woken, once a turn of the loop */
    uv_idle_t restless;                       /* active: some have more to write, so no sleep */

    struct timer patrol;          /* looks for dead clients; armed while there are any */
    struct connection *patrolled; /* the next to be looked at; NULL: the first */

    struct text spares[SPARE_COUNT]; /* empty buffers: an idle connection keeps none */
    size_t spare_count;
};

struct session {
    struct rpc_transport *transport;
    struct lws *wsi;
    struct connection *connection;
    struct http_exchange *exchange; /* exchange.c's: a request for a resource, or NULL */
    uv_poll_t *watcher;             /* exchange.c's: libwebsockets' own of this socket, or NULL */
    struct text in;                 /* the pieces so far of a message that did not come whole */
    size_t written; /* bytes of connection->out, whole frames, that libwebsockets has */
    size_t kept;    /* bytes at most that libwebsockets keeps for a full socket */
    size_t counted; /* of transport->out_size */
    size_t dropped; /* HTTP: bytes of a refused body */
    struct session *next_woken, *previous_woken, *next_of_slot;
    char *close_reason; /* HTTP: why the answer is not given; owned, or NULL */
    uint32_t heard_s;   /* when it last showed life, in seconds of the loop's clock */
    uint8_t repeats;    /* HTTP: how often the end of one body was told again */
    enum endpoint endpoint : 8;
    bool adopting : 1; /* within session_accept(), which frees it if it is over by then */
    bool over : 1;
    bool woken : 1;     /* it is in the list */
    bool blocked : 1;   /* the socket is full: libwebsockets will call */
    bool throttled : 1; /* reading is paused until the client reads its answers */
    bool closing : 1;   /* nothing more is taken from it, nothing more is queued for it */
    bool ended : 1;     /* it has sent its close frame: nothing may be written any more */
    bool dead : 1;      /* shut down: only libwebsockets does not know yet */
    bool pinged : 1;    /* since it was heard last */
    bool websocket : 1;
    bool received : 1; /* HTTP: the body is there, and its answer is not written */
    bool finished : 1; /* HTTP: all answers of the request are there */
};

/* session.c.  Takes ownership of 'fd'. */
void session_accept(struct rpc_transport *transport, enum endpoint endpoint, int fd);
void session_free(struct session *session);
void sessions_open(struct rpc_transport *transport);
/* Gives the session a connection, whose caller is taken from 'identity'. */
void session_connect(struct session *session, struct identity *identity, bool http);
void session_disconnect(struct session *session);
/* Puts a piece of a message into 'in'.  False: the agent holds too many pieces already. */
bool session_join(struct session *session, const char *bytes, size_t size);
void session_forget_joined(struct session *session);
/* 'out' gets a buffer where it has none; an empty one is given back, for most are idle. */
void session_take_buffer(struct session *session);
void session_return_buffer(struct session *session);
/* What of 'out' was written makes room. */
void session_drop_written(struct session *session);
/* Brings transport->out_size up to date, after 'out', 'written' or 'kept' has changed. */
void session_count_out(struct session *session);
void session_wake(struct session *session);
/* Ends it without a word: a socket that failed, or a client that is gone. */
void session_kill(struct session *session);
void session_heard(struct session *session);

/* admission.c: who a caller is and whether it may come in; the reply to refuse with otherwise. */
struct refusal {
    unsigned status;
    const char *words, *header; /* header: NULL or a whole line with its CR LF */
};
/* Whether the page that asks, if one does, may. */
bool admission_origin(struct session *session) _must_check_;
bool admission_check(struct session *session, struct identity *ret_identity,
                     struct refusal *ret_refusal) _must_check_;
/* A header as a string; false: there is none, or it does not fit. */
bool header_copy(struct lws *wsi, enum lws_token_indexes token, char *ret_text, size_t size);

/* websocket.c */
int websocket_confirm(struct session *session);
int websocket_event(struct session *session, enum lws_callback_reasons reason, char *bytes,
                    size_t size);
/* Writes what is ready; true: there is more, and the socket takes it. */
bool websocket_flush(struct session *session);

/* http.c */
int http_event(struct session *session, enum lws_callback_reasons reason, char *bytes, size_t size);
/* A number of bytes in Content-Length; false: there is none, or it is none. */
bool http_content_length(struct session *session, uint64_t *ret_length) _must_check_;
const char *http_status_text(unsigned status);
/* Writes a short reply and says that the socket will be closed: which is the caller's to do. */
void http_refuse(struct session *session, const struct refusal *refusal);

/* exchange.c: requests for what agent/resource.h is about. */
/* 'path' is what stands behind the resource's prefix. */
int exchange_begin(struct session *session, const struct resource *resource, const char *path);
/* A piece of its body. */
int exchange_take(struct session *session, const char *bytes, size_t size);
/* It is answered, and only what still comes of its body is waited for. */
bool exchange_lingers(const struct session *session);
/* What it waits for can be done; true: there is more to do at once. */
bool exchange_flush(struct session *session);
/* The socket is gone, and with it the exchange; also where there is none. */
void exchange_drop(struct session *session);

#endif
