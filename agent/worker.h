/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads for what blocks, bounded per backend.
 *
 * A job runs on a thread of its pool and comes back to the loop.  A lane is a bound: a repository,
 * a backend.  A stuck lane holds at most 'limit' threads; its further jobs wait, at most
 * 'queue_limit' of them, and none while the lane has been stuck for 'stuck_ms': then Busy, not silence.
 * A lane that holds no thread always gets one, whatever the others hold.  All jobs of a lane are of
 * one pool.
 */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/loop.h"

enum pool {
    POOL_LOOP,       /* no thread: runs on the loop at once; must not block */
    POOL_REPOSITORY, /* short blocking steps on files; --workers threads, shared by all lanes, and
                        one more for a lane that finds them all held */
    POOL_COPY,       /* long ones: copies, checksums; threads of their own, likewise */
    POOL_GLUSTER,    /* questions to glusterd, which may take minutes: few at once, for it locks */
    POOL_VIRT,       /* calls of libvirt, which may wait for a guest: a lane for each VM */
    POOL_COUNT
};

/* Loop only, all of it.  Embedded in the backend it bounds; {.name, .limit} suffices. */
struct lane {
    const char *name;     /* 'backend' of a Busy answer; borrowed, outlives the lane */
    unsigned limit;       /* threads at once; 0: as many as the pool has */
    unsigned queue_limit; /* waiting jobs; 0: 1,000 */
    unsigned stuck_ms;    /* no job came back for so long with all threads taken; 0: 10,000 */
    unsigned running, waiting;
    struct job *first, *last; /* waiting, oldest first */
    enum pool pool;           /* private: of the jobs that it has */
    bool ready;               /* private, as the next: in its pool's list */
    struct lane *next_ready;
    int64_t moved_ns; /* when a job last started or came back; monotonic */
};

struct job {
    void (*run)(struct job *job);      /* on a worker */
    void (*finished)(struct job *job); /* on the loop, afterwards; may free the job */
    struct lane *lane;
    enum pool pool;
    struct job *next; /* private, as all below */
    struct workers *workers;
    struct message message;
};

struct workers;
/* At once, of POOL_GLUSTER. */
#define GLUSTER_THREADS 4
/* Of POOL_VIRT; a VM that none is free for gets one of its own. */
#define VIRT_THREADS 8

/* 'threads': of POOL_REPOSITORY; 'copy_threads': of POOL_COPY.  Started when first needed. */
struct workers *workers_new(struct loop *loop, unsigned threads, unsigned copy_threads);
/* Ends the threads when they are idle, and waits for them.  For tests. */
void workers_free(struct workers *workers);
DEFINE_CLEANUP(struct workers, workers_free)

/* Loop.  'job' is the caller's memory until 'finished'.  Error: Busy {backend, retryAfterMs}. */
bool workers_submit(struct workers *workers, struct job *job, struct error **err) _must_check_;
/* Loop.  Takes back a job that still waits; false: it runs already or has run. */
bool workers_cancel(struct workers *workers, struct job *job);

#endif
