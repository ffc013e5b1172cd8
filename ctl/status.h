/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hostler's exit status says.  Scripts rely on these numbers.
 */
#ifndef CTL_STATUS_H
#define CTL_STATUS_H

enum status {
    STATUS_DONE = 0,
    STATUS_ERROR_ANSWERED = 1, /* the agent answered an error */
    STATUS_USAGE = 2,
    STATUS_NO_CONNECTION = 3, /* none could be made, or it broke, or no answer came in time */
    STATUS_TASK_FAILED = 4,   /* after an early answer: the task failed or was aborted */
    STATUS_INTERRUPTED = 130  /* SIGINT, as shells have it */
};

#endif
