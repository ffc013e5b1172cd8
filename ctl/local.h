/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's own commands: what is no single call of a verb.
 */
#ifndef CTL_LOCAL_H
#define CTL_LOCAL_H

#include "ctl/session.h"

/* All of them, for verbs_new(). */
extern const struct command local_commands[];
extern const size_t local_command_count;

enum status watch_run(struct session *session, const struct invocation *invocation);
enum status top_run(struct session *session, const struct invocation *invocation);
enum status shell_run(struct session *session, const struct invocation *invocation);
enum status completion_run(struct session *session, const struct invocation *invocation);

/* One command of either kind: what main() and the shell do with an invocation. */
enum status local_dispatch(struct session *session, const struct invocation *invocation);

#endif
