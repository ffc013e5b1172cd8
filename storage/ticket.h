/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tickets: leave to read or write one image by HTTP, for whoever knows the ticket's text.
 *
 * A ticket is this agent's alone and lasts until it is closed, or is not used for a while.  It holds
 * the image's lock, and the open image; what is done through it is done one piece after the other,
 * on a worker, in the order it was asked for.  Before the first write the image is durably marked
 * as the target of an upload that has not finished: only image.closeTicket, after a flush, says that
 * it has.  An agent that dies, or a ticket that fades, leaves the mark.  doc/tickets.md.
 */
#ifndef STORAGE_TICKET_H
#define STORAGE_TICKET_H

#include <stdatomic.h>

#include "agent/resource.h"
#include "storage/endpoint.h"
#include "storage/image.h"
#include "storage/repository-table.h"

#define TICKET_ID_LENGTH 16     /* of the text: names it, and gives leave to nothing */
#define TICKET_SECRET_LENGTH 32 /* behind it: 128 random bits */
#define TICKET_TEXT_SIZE (TICKET_ID_LENGTH + TICKET_SECRET_LENGTH + 1)
#define TICKETS_MAX 1000

struct ticket_use;

enum ticket_kind { TICKET_READ, TICKET_WRITE, TICKET_ZERO, TICKET_FLUSH, TICKET_EXTENTS };

/* A run of extents that are alike, while they are told. */
struct ticket_extents {
    uint64_t position; /* how far they were asked for */
    uint64_t start;    /* of the run; it ends at 'position' */
    bool zero, begun;  /* begun: there is a run, or was one */
    bool over;         /* all are told */
};

/* One piece of work: the worker's from ticket_submit() to 'done'. */
struct ticket_work {
    enum ticket_kind kind;
    uint64_t offset, size;                  /* bytes; TICKET_ZERO, TICKET_READ, TICKET_WRITE */
    bool flush;                             /* afterwards */
    struct chunk *chunk;                    /* of bytes, or of JSON; owned by the use */
    struct ticket_extents extents;          /* TICKET_EXTENTS */
    struct error *error;                    /* what came of it; owned by the use */
    void (*done)(struct ticket_work *work); /* loop */
    struct ticket_work *next;
};

struct ticket {
    struct storage *storage;
    struct repository *repository; /* a reference */
    struct image *image;           /* locked; a worker's while one is at work, as the next three */
    struct endpoint *endpoint;
    bool unsound;        /* a flush has failed: what was written may be lost */
    struct text changed; /* the image's status, when it has become another */
    char text[TICKET_TEXT_SIZE];
    char id[TICKET_ID_LENGTH + 1];
    char *image_id;     /* owned */
    bool reads, writes; /* what was asked for; who may write may read */
    uint64_t size;
    enum image_format format;
    unsigned timeout_s;
    int64_t used_ns;                  /* wall clock */
    uint64_t read_size, written_size; /* bytes that have passed */
    struct timer expiry;
    atomic_bool abort;                /* ends what waits for qemu-nbd */
    bool closing;                     /* nothing more is begun */
    struct ticket_work *first, *last; /* waiting */
    struct ticket_work *running;
    struct job job;
    struct ticket_use *uses; /* ticket-use.c's */
    struct ticket *next;
};

struct tickets {
    struct ticket *first; /* the newest first */
    size_t count;
    _Atomic unsigned opening; /* on their way: they count */
    struct resource resource;
};

/* Loop, as all that follows but for what says otherwise. */
void tickets_open(struct storage *storage);
/* LimitExceeded when there are too many.  Done, it counts until ticket_opened(), which any thread calls. */
bool ticket_begin_opening(struct storage *storage, struct error **err) _must_check_;
void ticket_opened(struct storage *storage);

/* Takes ownership of all four; gives it its text, and a place in the table. */
struct ticket *ticket_issue(struct storage *storage, struct repository *repository,
                            struct image *image, struct endpoint *endpoint, struct ticket *ticket);
/* By its whole text, or, with 'by_id', by its id too; as long for one as for the other.  NULL: none. */
struct ticket *ticket_find(struct storage *storage, const char *text, bool by_id);
/* It lives on for its time. */
void ticket_touch(struct ticket *ticket);
/* False (Busy, NotFound): 'done' is not called. */
bool ticket_submit(struct ticket *ticket, struct ticket_work *work, struct error **err)
    _must_check_;
bool ticket_is_busy(const struct ticket *ticket);
/* Nothing more is begun, what waits fails, exchanges are answered or cut off.  When ticket_is_busy() does
   not hold any more, task_wake() is called for ticket_key().  With 'abort' what runs is given up, where
   it can be, and nothing may be done any more but to close it. */
void ticket_stop(struct ticket *ticket, bool abort);
char *ticket_key(const struct ticket *ticket); /* to be freed */
/* Takes it out of the table, and frees it; it has been stopped and closed, and is not busy. */
void ticket_remove(struct ticket *ticket);
void ticket_write(const struct ticket *ticket, struct writer *writer); /* members of an object */

/* Worker: of a ticket that was stopped.  Flushes, and marks the image complete, if anything was written
   to it.  '*ret_generation' gets its generation. */
bool ticket_complete(struct ticket *ticket, struct error **err) _must_check_;
/* Worker: closes what is open. */
void ticket_close(struct ticket *ticket);

/* ticket-work.c.  Worker: does a piece of work, and leaves what came of it in it. */
void ticket_work_run(struct ticket *ticket, struct ticket_work *work);

/* ticket-exchange.c */
extern const struct resource ticket_resource;

/* ticket-use.c */
/* Of a ticket that is stopped. */
void ticket_end_uses(struct ticket *ticket);
void ticket_forget_uses(struct ticket *ticket);
/* Whether an upload through it is under way. */
bool ticket_is_written_through(const struct ticket *ticket);
size_t ticket_count_uses(const struct ticket *ticket);

#endif
