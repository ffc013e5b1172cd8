/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a caller may change things: a token bucket each, filled with limits.caller_rate tokens
 * a second, holding twice as many.
 *
 * The table is of fixed size.  Where callers crowd each other out of it, the one whose bucket is
 * fullest makes room: it forgets least.  Loop only.
 */
#ifndef RPC_RATE_H
#define RPC_RATE_H

#include "agent/base/error.h"

struct rpc;

/* Takes a token.  Error: RateLimited {retryAfterMs}. */
bool rate_take(struct rpc *rpc, const char *caller, struct error **err) _must_check_;

#endif
