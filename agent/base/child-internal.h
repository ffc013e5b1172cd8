/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agent/base/child.c and child-server.c share: one child process.
 */
#ifndef AGENT_BASE_CHILD_INTERNAL_H
#define AGENT_BASE_CHILD_INTERNAL_H

#include <sys/types.h>

#include "agent/base/child.h"

#define CHILD_LOOK_INTERVAL_MS 100 /* how often 'abort' is looked at */

struct child {
    const char *name; /* argv[0]; borrowed */
    const struct child_limits *limits;
    int64_t deadline_ns; /* monotonic; 0: none */
    pid_t pid;
    int pidfd;  /* owned; -1 where the kernel has none: then the child is looked at instead */
    int output; /* read ends of its pipes; owned, -1 when it has closed them */
    int errors;
    struct text output_text;
    struct text error_text;
};

/* 'listener' is -1, or a listening socket for it; 'held' is -1, or with a listener what it is to hold. */
bool child_start(struct child *child, const char *const argv[], int dirfd, int listener, int held,
                 struct error **err) _must_check_;
/* Whether it has ended; it is not reaped.  False only when it cannot be told, as where SIGCHLD is ignored,
   which loses the status. */
bool child_look(const struct child *child, bool *ret_ended);
void child_reap(pid_t pid, int *ret_status);
/* What it printed on standard error, of which the last is kept. */
void child_drain_errors(struct child *child);
void child_done(struct child *child);

#endif
