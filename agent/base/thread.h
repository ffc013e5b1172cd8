/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which thread a function belongs to, asserted in its first line so that it cannot lie.
 */
#ifndef AGENT_BASE_THREAD_H
#define AGENT_BASE_THREAD_H

#include <assert.h>
#include <stdbool.h>

/* Of the calling thread: a thread is the loop, a worker, or (until it says so) unmarked: main()
   before the loop runs, and unit tests, which may call both kinds. */
enum thread_kind { THREAD_UNMARKED, THREAD_LOOP, THREAD_WORKER };

void thread_mark(enum thread_kind kind);
enum thread_kind thread_kind(void);

#define LOOP_ONLY() assert(thread_kind() != THREAD_WORKER)
#define WORKER_ONLY() assert(thread_kind() != THREAD_LOOP)

#endif
