/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one object of this folder.  Loop only, all of it.
 */
#ifndef GLUSTER_GLUSTER_INTERNAL_H
#define GLUSTER_GLUSTER_INTERNAL_H

#include "agent/gauge.h"
#include "agent/worker.h"
#include "gluster/gluster.h"
#include "gluster/question.h"

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
    int64_t forgotten_ns; /* answers to what was asked before are old; monotonic */
    uint64_t asked, answered;
};

/* Frees what is known; none is asked.  For tests: the agent dies. */
void gluster_questions_done(struct gluster *gluster);

#endif
