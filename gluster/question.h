/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What glusterd said last, and asking it again: however many clients poll, one question at a time.
 *
 * A question is asked of glusterd by a function on a worker; its answer is a list of items, each the
 * JSON of one object, made once.  A step that wants it takes what is known if that is young
 * enough, else waits for the one question that everybody waits for.  So glusterd is asked each
 * question once a second at most, whoever polls, and every answer says how old it is.
 *
 * What the last answer differs in from the one before goes to whoever watches: so a change is an
 * event whoever has asked.
 */
#ifndef GLUSTER_QUESTION_H
#define GLUSTER_QUESTION_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "agent/call.h"

struct gluster;

/* One object of an answer. */
struct gluster_item {
    char *id;      /* owned; unlike those of the others */
    char *volume;  /* owned; which volume it belongs to, or NULL */
    char *json;    /* owned; the object */
    bool active;   /* it goes on by itself: whoever watches asks again soon */
    char *essence; /* owned; what of it counts as a change when it differs; NULL: all of it */
};

struct gluster_items {
    struct gluster_item *all; /* owned */
    size_t count;
};

/* Appends one and returns it, its members NULL. */
struct gluster_item *gluster_items_add(struct gluster_items *items);
void gluster_items_done(struct gluster_items *items);
#define _cleanup_items_ _cleanup_(gluster_items_done)

/* Static; its address is what tells it from others. */
struct gluster_question {
    const char *name;    /* "volume list": in logs and figures */
    const char *member;  /* what the array of items is called in an answer */
    bool of_each_volume; /* every volume has an item: one without is not there */
    /* Asks.  'subject' is what it is about (a volume), or NULL: all.  Worker. */
    bool (*ask)(const char *subject, struct gluster_items *ret_items, struct error **err);
    bool slow; /* it may take a minute: the others are not to wait for it */
    /* Whose items, of all volumes, are told behind its own as they were answered last: it is asked
       in the background, for a tenth of the time at most.  Or NULL. */
    const struct gluster_question *beside;
};

/* What of a call a reading step needs; part of its state, zeroed. */
struct gluster_wish {
    uint64_t known, serial; /* private */
};

/* How old an answer may be that was not asked for afresh. */
#define GLUSTER_ANSWER_AGE_MS 1000

/*
 * The whole of a reading step on POOL_LOOP: return it.  The result is
 *     {"MEMBER": [item, ...], "asked": "time", "ageMs": number}
 * with the items of 'volume' only, unless that is NULL.  'fresh': asked after this call has begun.  While
 * another transaction holds glusterd, the question is asked again for some seconds.
 */
enum outcome gluster_answer(struct call *call, const struct gluster_question *question,
                            const char *subject, const char *volume, bool fresh,
                            struct gluster_wish *wish);

/* Loop.  After a change: what is known is not to be taken for new any more. */
void gluster_forget(struct gluster *gluster);
/* An ALWAYS step for verbs that change something: {"forget what was known", gluster_forget_step,
   .pool = POOL_LOOP, .when = ALWAYS}. */
enum outcome gluster_forget_step(struct call *call);

/* Loop.  Asks as soon as nothing else is asked; 'answered' as below.  For whoever watches. */
void gluster_ask(struct gluster *gluster, const struct gluster_question *question,
                 const char *subject);

/* For whoever watches: called on the loop after each answer, with the one before (NULL: there is
   none), which may be compared.  An error leaves what was known. */
struct gluster_watcher {
    void (*answered)(void *context, const struct gluster_question *question, const char *subject,
                     const struct gluster_items *before, const struct gluster_items *now);
    void (*failed)(void *context, const struct gluster_question *question,
                   const struct error *error);
    void *context;
    struct gluster_watcher *next; /* private */
};
void gluster_watch(struct gluster *gluster, struct gluster_watcher *watcher); /* borrowed */

/* Questions that were asked of glusterd since the start, and answers given from them. */
void gluster_question_counts(const struct gluster *gluster, uint64_t *ret_asked,
                             uint64_t *ret_answered);

#define GLUSTER_FRESH_PARAM(args)                                                                  \
    PARAM(args, fresh, "fresh", .type = PARAM_BOOL,                                                \
          .about = "Ask glusterd now, rather than tell what it said within the last second.")

/* The members that every such answer has, for its shape: MEMBER is an array of ITEM. */
#define GLUSTER_ANSWER_SCHEMA(member, item)                                                        \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"" member                  \
    "\",\"asked\",\"ageMs\"],\"properties\":{\"" member "\":{\"type\":\"array\",\"items\":" item   \
    "},\"asked\":{\"type\":\"string\"},\"ageMs\":{"                                                \
    "\"type\":\"integer\"}}}"

#endif
