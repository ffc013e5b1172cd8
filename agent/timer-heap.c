/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/timer-heap.h"

#include <assert.h>

void
timer_heap_done(struct timer_heap *heap)
{
    free(heap->timers);
    *heap = (struct timer_heap){ 0 };
}

struct timer *
timer_heap_first(const struct timer_heap *heap)
{
    return heap->count ? heap->timers[1] : NULL;
}

static void
put(struct timer_heap *heap, size_t place, struct timer *timer)
{
    heap->timers[place] = timer;
    timer->place = place;
}

static void
move_up(struct timer_heap *heap, size_t place, struct timer *timer)
{
    for (; place > 1 && heap->timers[place / 2]->due_ns > timer->due_ns; place /= 2)
        put(heap, place, heap->timers[place / 2]);
    put(heap, place, timer);
}

static void
move_down(struct timer_heap *heap, size_t place, struct timer *timer)
{
    for (;;) {
        size_t child = place * 2;

        if (child > heap->count)
            break;
        if (child < heap->count && heap->timers[child + 1]->due_ns < heap->timers[child]->due_ns)
            child++;
        if (heap->timers[child]->due_ns >= timer->due_ns)
            break;
        put(heap, place, heap->timers[child]);
        place = child;
    }
    put(heap, place, timer);
}

void
timer_heap_add(struct timer_heap *heap, struct timer *timer)
{
    if (heap->count + 2 > heap->capacity) {
        heap->capacity = heap->capacity ? heap->capacity * 2 : 16;
        heap->timers = xrealloc(heap->timers, heap->capacity * sizeof(heap->timers[0]));
    }
    heap->count++;
    move_up(heap, heap->count, timer);
}

void
timer_heap_remove(struct timer_heap *heap, struct timer *timer)
{
    size_t place = timer->place;
    struct timer *last = heap->timers[heap->count];

    assert(place >= 1 && place <= heap->count && heap->timers[place] == timer);
    heap->count--;
    timer->place = 0;
    if (last == timer)
        return;
    if (place > 1 && heap->timers[place / 2]->due_ns > last->due_ns)
        move_up(heap, place, last);
    else
        move_down(heap, place, last);
}
