/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures that are sampled: by one timer for all of them, off the loop, and only while somebody asks.
 *
 * A sampling takes a sample every five seconds: engines ask every 15 s and graphs every 5 or 10, so
 * an answer is never older than a third of what the usual poller waits, and a burst of some seconds
 * shows.  One whose samples take long takes them less often, so that no more than a twentieth of the
 * time goes there.  When nobody has asked for a minute it rests, and then costs nothing; the
 * next question begins it again, and its first rates are those since the last sample, which every
 * answer tells.  However many clients poll, a sample is taken once: what they get is made with it,
 * on the worker, and only copied on the loop.
 */
#ifndef AGENT_SAMPLING_H
#define AGENT_SAMPLING_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/call.h"
#include "agent/loop.h"
#include "agent/worker.h"

struct agent;

#define SAMPLING_INTERVAL_MS 5000
#define SAMPLING_LEASE_MS 60000 /* it goes on so long after the last question */
#define SAMPLING_SHARE 20       /* 1/20 of the time at most */
#define SAMPLING_APART_MS 1000  /* rates are of samples that are at least so far apart */
#define SAMPLING_STUCK_MS                                                                          \
    3000 /* after that another is begun, where more than one may be under way */
#define SAMPLING_PATIENCE_MS                                                                       \
    10000 /* that a call waits for a sample, before it takes an older one */

struct sample {
    void *data;           /* of who takes them */
    int64_t monotonic_ns; /* when it was begun */
    int64_t wall_ns;
    int64_t interval_ns; /* that its rates are of; 0: there are none */
    struct sampling *sampling;
    unsigned references; /* loop */
};

/* Embedded in its owner.  Loop only, but for take(). */
struct sampling {
    const char *name; /* static text: what calls wait for, and what logs say */
    struct lane *lane;
    enum pool pool;
    /* So many may be under way: more than one where one may be stuck and the next need not be.  0: one. */
    unsigned at_once;
    /* Loop, before and after take(): what that needs, NULL after an error.  Or NULL: nothing is needed. */
    void *(*prepare)(void *context, struct error **err);
    void (*release)(void *prepared);
    /* Worker.  Takes one; its rates are to be those since 'before', 'interval_ns' ago (NULL: there is none
       to compare with, and rates are not known).  NULL after an error. */
    void *(*take)(void *context, void *prepared, const void *before, int64_t interval_ns,
                  struct error **err);
    void (*free)(void *data); /* any thread */
    void *context;
    struct agent *agent; /* private, as all below */
    char *key;
    struct sample *marks[2];    /* newest first, SAMPLING_APART_MS apart at least; or NULL */
    struct sample *extra;       /* newer than both, and too near to be one; or NULL */
    struct error *error;        /* of the last, or NULL */
    uint64_t begun, ended;      /* numbers of the newest; equal: none is waited for */
    unsigned under_way;         /* those that are stuck among them */
    int64_t begun_ns, ended_ns; /* the newest; monotonic */
    int64_t asked_ns;           /* when somebody asked last */
    bool again;                 /* somebody wants one that begins after the one under way */
    struct sampling *next;
};

struct samplings;
struct samplings *samplings_new(struct agent *agent);
/* Frees what the samplings hold; workers are gone.  For tests. */
void samplings_free(struct samplings *samplings);
void sampling_register(struct agent *agent, struct sampling *sampling); /* borrowed */

/* What of a call a reading step needs; part of its state, zeroed. */
struct sampling_wish {
    bool asked; /* private, as the next */
    uint64_t serial;
};

/*
 * The whole of a reading step on POOL_LOOP: return it.  'write' writes the result.  'fresh': from a sample that
 * begins after this call.
 */
enum outcome sampling_answer(struct call *call, struct sampling *sampling,
                             struct sampling_wish *wish, bool fresh,
                             enum outcome (*write)(struct call *call, const struct sample *now));
/* Members "sampled" (time) and "intervalMs" (null: no rates yet) of an answer. */
void sampling_write(const struct sample *now, struct writer *writer);

#define SAMPLING_SCHEMA                                                                            \
    "\"sampled\":{\"type\":\"string\"},\"intervalMs\":{\"type\":[\"integer\",\"null\"]}"

#endif
