/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request to a task: the verb, the caller's role and rate, the parameters, the task's key.
 *
 * What fails here is answered at once and never becomes a task.  Loop only.
 */
#ifndef RPC_DISPATCH_H
#define RPC_DISPATCH_H

#include "agent/base/error.h"
#include "agent/task.h"
#include "rpc/connection.h"
#include "rpc/envelope.h"

struct dispatched {
    struct task_request request; /* all but the answer's members; task_start() takes its args */
    char *owned_key;             /* the text of its key where that is not the envelope's, or NULL */
};

/* 'envelope' passed envelope_check(); '*ret_dispatched' borrows from it and from 'connection'.
   Errors: MethodNotFound, Forbidden, LimitExceeded, RateLimited, InvalidParams, WrongInstance. */
bool dispatch_prepare(struct connection *connection, const struct envelope *envelope,
                      struct dispatched *ret_dispatched, struct error **err) _must_check_;
/* After task_start(). */
void dispatch_done(struct dispatched *dispatched);

#endif
