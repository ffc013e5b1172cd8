/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --wait for what no task stands behind: an operation of a backend, which the agent's document of its
 * verbs says how to follow ("x-follow"): by asking for the list that it stands in.
 */
#ifndef CTL_FOLLOW_H
#define CTL_FOLLOW_H

#include <jansson.h>

#include "ctl/arguments.h"
#include "ctl/progress.h"
#include "ctl/session.h"

/* Whether 'answer' names something to be followed: the call may have done it all. */
bool follow_is_needed(const struct command *command, const json_t *answer);
/*
 * Asks once a second until it has ended, and prints how.  'what' names the call in the progress; 'until_ns' as
 * in clock_monotonic_ns(), 0: no limit.  STATUS_TASK_FAILED for a bad end, and for one that nobody tells.
 */
enum status follow_run(struct session *session, const struct invocation *invocation,
                       const json_t *answer, const char *what, int64_t until_ns,
                       struct progress_display *display);

/* For tests.  What 'status' means to who follows. */
enum follow_end { FOLLOW_GOES_ON, FOLLOW_DONE, FOLLOW_FAILED };
enum follow_end follow_judge(const json_t *follow, const char *status);
/* The item of 'result' that 'answer' names; NULL: it is not there. */
json_t *follow_find(const json_t *follow, const json_t *result, const json_t *answer);

#endif
