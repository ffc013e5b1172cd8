/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A use: one exchange through a ticket.  What it is to read or write becomes pieces of work, and what
 * comes of them an answer.
 *
 * It has two chunks at most, so that one is read or written while the other is on the network, and
 * one piece of work at a time, so that they keep their order.  Loop only.
 */
#ifndef STORAGE_TICKET_USE_H
#define STORAGE_TICKET_USE_H

#include "storage/ticket.h"

struct ticket_use {
    struct ticket *ticket;     /* NULL: it is gone */
    struct exchange *exchange; /* NULL: the client has gone, or has its answer */
    struct ticket_work work;
    bool working;
    bool answered; /* the head of the answer is given, */
    bool whole;    /* and all of the rest: nothing can go wrong any more */
    bool stopped;  /* the ticket is closed */
    enum resource_method method;
    bool changes;         /* it writes */
    bool flush, close;    /* close: the client wants the socket closed */
    uint64_t offset, end; /* what is still to be worked on; bytes of the image */
    bool ranged;          /* a part of the image was asked for */
    uint64_t total;       /* size of the answer */
    uint64_t lent;        /* bytes of the body that chunks were lent for */
    struct chunk *chunks; /* idle (reading), or full and waiting (writing) */
    struct text head;     /* header lines of the answer */
    struct ticket_use *next;
};

struct ticket_use *ticket_use_new(struct ticket *ticket, struct exchange *exchange,
                                  const struct resource_request *request);
/* How many there are, of all tickets. */
size_t ticket_use_count(void);
/* Puts a chunk behind those that it has.  Takes ownership. */
void ticket_use_keep(struct ticket_use *use, struct chunk *chunk);
struct chunk *ticket_use_take(struct ticket_use *use);
/* Room for what is on its way: one chunk when that is all, else two. */
void ticket_use_add_chunks(struct ticket_use *use);
/* Begins the next piece, if there is one and nothing is in its way. */
void ticket_use_go_on(struct ticket_use *use);

/* Answers: an error with a JSON body, ... */
void ticket_answer_words(struct exchange *exchange, unsigned status, const char *name,
                         const char *message, const char *headers, bool close);
/* ... the same of a use, ... */
void ticket_use_refuse(struct ticket_use *use, unsigned status, const char *message,
                       const char *headers, bool close);
void ticket_use_refuse_range(struct ticket_use *use);
/* (what is being sent already cannot become an error: it is cut off) */
void ticket_use_fail(struct ticket_use *use, const struct error *error);
/* ... that it is done, and the head of what is sent. */
void ticket_use_done(struct ticket_use *use);
void ticket_use_answer(struct ticket_use *use, unsigned status, const char *type, uint64_t size);

/* What rpc/ tells: struct resource. */
void ticket_use_sent(struct exchange *exchange, struct chunk *chunk);
void ticket_use_ended(struct exchange *exchange);

#endif
