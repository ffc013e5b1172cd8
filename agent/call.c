/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What steps call.  Much of it runs on a worker while the step does: it touches what is the step's
 * own, and the atomics; whatever concerns the loop is posted.
 */
#include <config.h>

#include "agent/call.h"

#include <assert.h>
#include <stdio.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/task-internal.h"
#include "events/ring.h"

#define PROGRESS_INTERVAL_NS (500 * NS_PER_MS)
#define RATE_LIFTED UINT64_MAX /* somebody has said that there is none; 0: nobody has said one */

static void set_message(struct task *task, const char *format, va_list arguments) _printf_(2, 0);

static void
set_message(struct task *task, const char *format, va_list arguments)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    free(task->message);
    task->message = NULL;
    if (!format)
        return;
    text_vprintf(&text, format, arguments);
    task->message = text_take(&text);
}

enum outcome
call_complete(struct call *call, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    set_message(task_of(call), format, arguments);
    va_end(arguments);
    return OUTCOME_COMPLETE;
}

enum outcome
call_fail(struct call *call, struct error *error)
{
    struct task *task = task_of(call);

    assert(error);
    error_free(task->step_error);
    task->step_error = error;
    return OUTCOME_FAIL;
}

enum outcome
call_retry(struct call *call, uint64_t delay_ms, const char *format, ...)
{
    struct task *task = task_of(call);
    va_list arguments;

    va_start(arguments, format);
    set_message(task, format, arguments);
    va_end(arguments);
    task->delay_ms = delay_ms;
    return OUTCOME_RETRY;
}

enum outcome
call_wait(struct call *call, const char *key, uint64_t timeout_ms, const char *format, ...)
{
    struct task *task = task_of(call);
    va_list arguments;

    va_start(arguments, format);
    set_message(task, format, arguments);
    va_end(arguments);
    free(task->wait_key);
    task->wait_key = xstrdup(key);
    task->delay_ms = timeout_ms;
    return OUTCOME_WAIT;
}

unsigned
call_attempts(const struct call *call)
{
    const struct task *task = task_of(call);

    return task->reports[task->step].attempts;
}

int64_t
call_elapsed_ms(const struct call *call)
{
    return (clock_monotonic_ns() - task_of(call)->step_begun_ns) / NS_PER_MS;
}

struct writer *
call_result(struct call *call)
{
    struct task *task = task_of(call);

    writer_clear(&task->writer);
    return &task->writer;
}

const struct error *
call_error(const struct call *call)
{
    return task_of(call)->error;
}

bool
call_aborted(const struct call *call)
{
    return atomic_load_explicit(&task_of(call)->aborted, memory_order_relaxed);
}

const atomic_bool *
call_abort_flag(const struct call *call)
{
    return &task_of(call)->aborted;
}

uint64_t
call_rate(const struct call *call)
{
    uint64_t rate = atomic_load_explicit(&task_of(call)->rate, memory_order_relaxed);

    return rate == RATE_LIFTED ? 0 : rate;
}

void
call_begin_rate(struct call *call, uint64_t bytes_per_second)
{
    uint64_t unsaid = 0;

    (void)atomic_compare_exchange_strong(&task_of(call)->rate, &unsaid, bytes_per_second);
}

void
call_throttle(struct call *call, uint64_t bytes_per_second)
{
    atomic_store(&task_of(call)->rate, bytes_per_second ? bytes_per_second : RATE_LIFTED);
}

void
call_set_lane(struct call *call, enum pool pool, struct lane *lane)
{
    LOOP_ONLY();
    task_of(call)->lanes[pool] = lane;
}

const char *
call_task(const struct call *call)
{
    return task_of(call)->key.text;
}

const char *
call_caller(const struct call *call)
{
    return task_of(call)->caller;
}

bool
call_is_admin(const struct call *call)
{
    return task_of(call)->role >= ROLE_ADMIN;
}

uint64_t
call_connection(const struct call *call)
{
    return task_of(call)->connection;
}

struct progress_message {
    struct message message;
    struct task
        *task; /* lives: the step that posts has not come back yet, and posts are in order */
};

static void
show_progress(struct task *task)
{
    int64_t now = clock_monotonic_ns();
    uint64_t done = atomic_load(&task->progress_done);
    double seconds = (double)(now - task->seen_ns) / NS_PER_S;

    if (task->seen_ns && done >= task->seen_done && seconds > 0) {
        double rate = (double)(done - task->seen_done) / seconds;

        task->per_second = task->per_second < 0 ? rate : task->per_second * 0.7 + rate * 0.3;
    }
    task->seen_done = done;
    task->seen_ns = now;
    task_publish(task, "task.progress");
}

static void
deliver_progress(struct message *message)
{
    struct progress_message *progress = CONTAINER_OF(message, struct progress_message, message);

    show_progress(progress->task);
    free(progress);
}

void
call_progress(struct call *call, uint64_t done, uint64_t total, const char *unit)
{
    struct task *task = task_of(call);
    int64_t now = clock_monotonic_ns();
    bool first = !atomic_load(&task->progress_unit);
    struct progress_message *progress;

    atomic_store(&task->progress_done, done);
    atomic_store(&task->progress_total, total);
    atomic_store(&task->progress_unit, unit);
    if (!first && now - task->progress_posted_ns < PROGRESS_INTERVAL_NS)
        return;
    task->progress_posted_ns = now;
    if (thread_kind() != THREAD_WORKER) {
        show_progress(task);
        return;
    }
    progress = xalloc(sizeof(*progress));
    progress->message.deliver = deliver_progress;
    progress->task = task;
    loop_post(call->agent->loop, &progress->message);
}

struct event_message {
    struct message message;
    struct ring *ring;
    char *topic, *subject;
    struct text data;
};

static void
deliver_event(struct message *message)
{
    struct event_message *event = CONTAINER_OF(message, struct event_message, message);

    (void)ring_publish(event->ring, event->topic, event->subject, event->data.bytes,
                       event->data.length);
    free(event->topic);
    free(event->subject);
    text_done(&event->data);
    free(event);
}

void
call_event(struct call *call, const char *topic, const char *subject, const struct text *data)
{
    struct event_message *event;

    if (thread_kind() != THREAD_WORKER) {
        (void)ring_publish(call->agent->ring, topic, subject, data->bytes, data->length);
        return;
    }
    event = xalloc(sizeof(*event));
    event->message.deliver = deliver_event;
    event->ring = call->agent->ring;
    event->topic = xstrdup(topic);
    event->subject = subject ? xstrdup(subject) : NULL;
    text_append(&event->data, data->bytes, data->length);
    loop_post(call->agent->loop, &event->message);
}
