/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client: a WebSocket, or one HTTP request (POST /rpc), with what it may do and what it is owed.
 *
 * The transport (the files that include rpc/transport.h: they alone know libwebsockets) makes
 * connections, joins frames and hands each whole message to
 * request_receive(); everything else talks to a connection through the functions below.  Frames
 * are gathered in 'out' and written in one go when the socket takes them: one write for many
 * answers is worth three times the throughput (shared measurements: 8.3 against 3.3 µs a request).
 * Loop only.
 */
#ifndef RPC_CONNECTION_H
#define RPC_CONNECTION_H

#include <stddef.h>
#include <stdint.h>

#include "agent/base/text.h"
#include "agent/verb.h"

struct rpc;
struct reply;
struct subscriber;

struct connection {
    uint64_t number; /* from 1, never used twice in an instance */
    struct rpc *rpc;
    enum role role;
    char *caller;      /* "uid:0", "token:admin:1" (line of the token file), "cert:NAME"; owned */
    bool http;         /* one POST: 'out' holds the body, no frames, no subscriptions */
    bool closed;       /* the client is gone; only replies() still point here */
    struct text out;   /* frames (or the body) that wait to be written */
    size_t tasks;      /* in flight: started here and not over; limited */
    size_t unanswered; /* messages and batches that are still to be answered */
    size_t gathered;   /* bytes of answers that unfinished batches hold */
    struct reply *replies;              /* rpc/request.c's: calls that are not over yet */
    size_t subscriptions;               /* limited */
    struct subscriber *subscriber;      /* rpc/subscription.c's, or NULL */
    void *transport;                    /* the transport's own */
    struct connection *next, *previous; /* of rpc->connections */
};

/* The open connection of that number, or NULL. */
struct connection *connection_find(struct rpc *rpc, uint64_t number);
/* Queues one text message (copied, framed) and asks for a turn to write.  Not when closed.  HTTP:
   appends to the body. */
void connection_send(struct connection *connection, const char *json, size_t size);
/* Asks for a turn to write: the transport then calls subscription_fill() and writes 'out'. */
void connection_wake(struct connection *connection);
/* An HTTP request has all its answers: send the body (empty: 204). */
void connection_finish(struct connection *connection);
/* Closes with a WebSocket status once what is queued was written: 1009, 1008, 1013 ... */
void connection_close(struct connection *connection, unsigned status, const char *reason);

/* Called by the transport. */

/* One whole message (text or binary frame joined, or the body of a POST). 'bytes' is borrowed and
   may be changed.  UTF-8 was checked. */
void request_receive(struct connection *connection, char *bytes, size_t size);
/* The client has gone: forget its replies (their tasks run on) and its subscriptions. */
void request_forget(struct connection *connection);
void subscription_forget(struct connection *connection);
/* Appends frames of events that 'connection' is due to connection->out, at most about 'size' bytes;
   true: there are more. */
bool subscription_fill(struct connection *connection, size_t size);

#endif
