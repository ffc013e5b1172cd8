/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What exchange.c and exchange-request.c share; of nobody else.
 */
#ifndef RPC_EXCHANGE_H
#define RPC_EXCHANGE_H

#include "agent/base/text.h"
#include "agent/resource.h"
#include "rpc/transport.h"

#define EXCHANGE_HEADER_SIZE_MAX 1024

struct queue {
    struct chunk *first, **last; /* last: where the next goes */
};

struct http_exchange {
    struct exchange exchange; /* what the backend sees */
    struct session *session;
    struct timer patience;
    char *origin; /* of the page that asks; owned, or NULL */
    bool old;     /* HTTP/1.0: knows no chunked answers */
    bool head_only, preflight;

    uint64_t body_left; /* bytes that are in no chunk yet */
    struct queue empty; /* chunks to be filled */
    bool expects;       /* 100 Continue, which was not sent */
    bool deaf;          /* libwebsockets does not read */
    bool progressed;    /* something came or went since the last turn */

    bool answered, unknown_size, ended, close, broken;
    uint64_t answer_left; /* bytes that are not sent yet */
    struct text lines;    /* head, or what stands around a chunk: goes out before the next chunk */
    size_t lines_sent;
    struct queue out;
    size_t chunk_sent; /* of the first of 'out' */
    bool framed;       /* its length is in 'lines' */
    bool sent_any;     /* of an answer of unknown size */
    bool terminated;   /* its end is in 'lines' */
    bool lingers;      /* refused and answered: what still comes of the body is dropped */
};

/* exchange.c */
struct http_exchange *exchange_new(struct session *session);
/* libwebsockets leaves the socket alone, whatever comes. */
void exchange_make_deaf(struct http_exchange *exchange);
bool exchange_is_from_store(struct session *session);

#endif
