/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: the one thread that owns all control state, its timers, and the way into it.
 *
 * libuv underneath (libwebsockets' own poll loop is linear in descriptors: 3 ms a request at 5,000
 * connections, measured; libuv 18 µs at 10,000).  rpc/ gives libwebsockets the same uv loop.
 */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/post.h"

struct loop;
struct uv_loop_s;

bool loop_new(struct loop **ret_loop, struct error **err) _must_check_;
void loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop, loop_free)

/* Runs until loop_stop(); marks the thread as the loop's.  The agent itself never stops: it dies. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Runs what is ready, and returns; with 'wait', sleeps until something is.  For tests. */
void loop_turn(struct loop *loop, bool wait);
/* Borrowed; loop only. */
struct uv_loop_s *loop_uv(struct loop *loop);
/* Any thread.  Takes ownership of 'message', delivered on the loop. */
void loop_post(struct loop *loop, struct message *message);

/* A timer is embedded in what it serves and zeroed before first use; one heap for all.  Loop only. */
struct timer {
    void (*fire)(struct timer *timer); /* set by the owner; called once, disarmed */
    int64_t due_ns;                    /* monotonic */
    size_t place;                      /* in the heap, from 1; 0: not armed */
};

/* (Re-)arms it to fire in 'delay_ms'. */
void timer_arm(struct loop *loop, struct timer *timer, uint64_t delay_ms);
void timer_disarm(struct loop *loop, struct timer *timer);

#endif
