/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one object of this folder.  Loop only, all of it.
 */
#ifndef GLUSTER_GLUSTER_INTERNAL_H
#define GLUSTER_GLUSTER_INTERNAL_H

#include "agent/facts.h"
#include "agent/gauge.h"
#include "agent/worker.h"
#include "gluster/gluster.h"
#include "gluster/hint.h"
#include "gluster/link.h"
#include "gluster/question.h"
#include "gluster/watch.h"

struct known; /* gluster/question.c: a question about a subject, and its last answer */

struct gluster {
    struct agent *agent; /* set by gluster_open() */
    struct known *first; /* owned */
    size_t known_count;
    uint64_t last_known;                   /* number of the one made last */
    struct lane questions, slow_questions; /* one of each at a time */
    struct gluster_watcher *watchers;
    struct gluster_watcher availability;
    struct gauges figures;
    struct facts facts;
    const struct call *roller; /* the peer.roll that is under way, or NULL; borrowed */
    int64_t forgotten_ns;      /* answers to what was asked before are old; monotonic */
    uint64_t asked, answered;
    char *version; /* owned, or NULL */
    struct gluster_link link;
    bool was_linked; /* it has been alive */
    struct gluster_hints hints;
    struct gluster_watch watch;
    struct timer again; /* glusterd is there, and does not answer yet */
    unsigned doubts;    /* how often it did not */
};

/* Frees what is known; none is asked.  For tests: the agent dies. */
void gluster_questions_done(struct gluster *gluster);

#endif
