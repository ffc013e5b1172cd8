/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of an agent's verb, from its arguments to the exit status; with --wait until its task
 * has ended, through a broken connection if need be.
 */
#ifndef CTL_CALL_H
#define CTL_CALL_H

#include "ctl/session.h"

enum status call_run(struct session *session, const struct invocation *invocation);

#endif
