/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/loop.h"

#include <uv.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/timer-heap.h"

struct loop {
    uv_loop_t uv;
    uv_async_t wake;  /* another thread posted */
    uv_timer_t clock; /* armed for the earliest timer of 'heap' */
    struct post_queue queue;
    struct timer_heap heap;
    int64_t clock_due_ns; /* what 'clock' is armed for; 0: not armed */
};

/* Any thread: the one libuv call that is. */
static void
wake_loop(void *context)
{
    struct loop *loop = context;

    (void)uv_async_send(&loop->wake);
}

static void
deliver(uv_async_t *wake)
{
    struct loop *loop = wake->data;

    post_deliver(&loop->queue);
}

static void set_clock(struct loop *loop);

static void
fire_due(uv_timer_t *clock)
{
    struct loop *loop = clock->data;
    int64_t now = clock_monotonic_ns();
    struct timer *timer;

    loop->clock_due_ns = 0;
    while ((timer = timer_heap_first(&loop->heap)) && timer->due_ns <= now) {
        timer_heap_remove(&loop->heap, timer);
        timer->fire(timer);
    }
    set_clock(loop);
}

/* One libuv timer for all of ours: a uv_timer_t must outlive its asynchronous close, ours need not. */
static void
set_clock(struct loop *loop)
{
    struct timer *first = timer_heap_first(&loop->heap);
    int64_t delay_ns;

    if (!first) {
        (void)uv_timer_stop(&loop->clock);
        loop->clock_due_ns = 0;
        return;
    }
    if (first->due_ns == loop->clock_due_ns)
        return;
    loop->clock_due_ns = first->due_ns;
    delay_ns = first->due_ns - clock_monotonic_ns();
    uv_update_time(&loop->uv);
    (void)uv_timer_start(&loop->clock, fire_due,
                         delay_ns > 0 ? (uint64_t)((delay_ns + NS_PER_MS - 1) / NS_PER_MS) : 0, 0);
}

bool
loop_new(struct loop **ret_loop, struct error **err)
{
    struct loop *loop = xalloc(sizeof(*loop));
    int status = uv_loop_init(&loop->uv);

    if (status == 0)
        status = uv_async_init(&loop->uv, &loop->wake, deliver);
    if (status == 0)
        status = uv_timer_init(&loop->uv, &loop->clock);
    if (status != 0) {
        free(loop);
        return error_errno(err, ERROR_INTERNAL, -status, "cannot make the event loop");
    }
    loop->wake.data = loop;
    loop->clock.data = loop;
    post_queue_init(&loop->queue, wake_loop, loop);
    *ret_loop = loop;
    return true;
}

static void
close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void
loop_free(struct loop *loop)
{
    if (!loop)
        return;
    post_deliver(&loop->queue);
    uv_walk(&loop->uv, close_handle, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop->uv);
    timer_heap_done(&loop->heap);
    free(loop);
}

void
loop_run(struct loop *loop)
{
    thread_mark(THREAD_LOOP);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void
loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

void
loop_turn(struct loop *loop, bool wait)
{
    thread_mark(THREAD_LOOP);
    (void)uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

struct uv_loop_s *
loop_uv(struct loop *loop)
{
    return &loop->uv;
}

void
loop_post(struct loop *loop, struct message *message)
{
    post(&loop->queue, message);
}

void
timer_arm(struct loop *loop, struct timer *timer, uint64_t delay_ms)
{
    LOOP_ONLY();
    if (delay_ms > UINT32_MAX)
        delay_ms = UINT32_MAX; /* 49 days: longer waits ask again */
    if (timer->place)
        timer_heap_remove(&loop->heap, timer);
    timer->due_ns = clock_monotonic_ns() + (int64_t)delay_ms * NS_PER_MS;
    timer_heap_add(&loop->heap, timer);
    set_clock(loop);
}

void
timer_disarm(struct loop *loop, struct timer *timer)
{
    LOOP_ONLY();
    if (!timer->place)
        return;
    timer_heap_remove(&loop->heap, timer);
    set_clock(loop);
}
