/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the agent's errors are told: name, what was wrong, what would be right, in words of the
 * command line.
 */
#ifndef CTL_FAILURE_H
#define CTL_FAILURE_H

#include <jansson.h>

#include "ctl/arguments.h"

/* On standard error.  'command' gives parameters their flags' names; NULL: none. */
void failure_tell(const struct command *command, const struct settings *settings,
                  const json_t *error);
/* A task that failed or was aborted: its error and its report. */
void failure_tell_task(const struct command *command, const struct settings *settings,
                       const json_t *status);

#endif
