/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary heap of timers, the earliest first; each timer knows its place, so it can leave early.
 * For agent/loop.c only.
 */
#ifndef AGENT_TIMER_HEAP_H
#define AGENT_TIMER_HEAP_H

#include "agent/loop.h"

struct timer_heap {
    struct timer **timers; /* borrowed; [0] is unused, places count from 1 */
    size_t count, capacity;
};

void timer_heap_done(struct timer_heap *heap);
/* NULL when there is none. */
struct timer *timer_heap_first(const struct timer_heap *heap);
void timer_heap_add(struct timer_heap *heap, struct timer *timer);
void timer_heap_remove(struct timer_heap *heap, struct timer *timer);

#endif
