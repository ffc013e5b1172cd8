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
#define SAMPLING_PATIENCE_MS                                                                       \
    10000 /* that a call waits for a sample, before it takes an older one */

struct sample {
    void *data;           /* owned by the sampling; NULL: there is none */
    int64_t monotonic_ns; /* when it was begun */
    int64_t wall_ns;
};

/* Embedded in its owner.  Loop only, but for take(). */
struct sampling {
    const char *name; /* static text: what calls wait for, and what logs say */
    struct lane *lane;
    enum pool pool;
    /* Worker.  Takes one that was begun at 'monotonic_ns'; its rates are to be those since 'before' (data
       NULL: there is none to compare with, and rates are not known).  NULL after an error. */
    void *(*take)(void *context, int64_t monotonic_ns, const struct sample *before,
                  struct error **err);
    void (*free)(void *data); /* any thread */
    void *context;
    struct agent *agent; /* private, as all below */
    char *key;
    struct sample marks[2];     /* newest first, SAMPLING_APART_MS apart at least */
    struct sample extra;        /* newer than both, and too near to be one */
    struct error *error;        /* of the last, or NULL */
    uint64_t begun, ended;      /* samples; equal: none is under way */
    int64_t begun_ns, ended_ns; /* the last; monotonic */
    int64_t asked_ns;           /* when somebody asked last */
    bool again;                 /* somebody wants one that begins after the one under way */
    struct job job;
    struct sample fresh, base; /* the worker's, while one is under way */
    struct error *fresh_error;
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
 * The whole of a reading step on POOL_LOOP: return it.  'write' writes the result from 'now';
 * 'before' is what its rates are relative to (data NULL: none).  'fresh': from a sample that begins
 * after this call.
 */
enum outcome sampling_answer(struct call *call, struct sampling *sampling,
                             struct sampling_wish *wish, bool fresh,
                             enum outcome (*write)(struct call *call, const struct sample *now,
                                                   const struct sample *before));
/* Members "sampled" (time) and "intervalMs" (null: no rates yet) of an answer. */
void sampling_write(const struct sample *now, const struct sample *before, struct writer *writer);
/* The last sample (data NULL: none), for who needs no fresh one: metrics.  Does not count as asking. */
const struct sample *sampling_last(const struct sampling *sampling);

#define SAMPLING_SCHEMA                                                                            \
    "\"sampled\":{\"type\":\"string\"},\"intervalMs\":{\"type\":[\"integer\",\"null\"]}"

#endif
