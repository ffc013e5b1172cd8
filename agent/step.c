/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step runner: which step comes next, where it runs, what its outcome means.
 *
 *   normal:  ON_SUCCESS and ALWAYS steps in order
 *   failing: from the step that failed (or where the abort was seen) on, ON_FAILURE and ALWAYS ones
 *   broken off (break_if): only ALWAYS ones
 *
 * While a step runs on a worker the loop touches nothing of the call but its atomics.
 */
#include <config.h>

#include <assert.h>
#include <stdio.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task-internal.h"

static const struct step *
step_at(const struct task *task, size_t n)
{
    return &task->call.verb->steps[n];
}

static bool
applies(const struct task *task, const struct step *step)
{
    if (step->when == ALWAYS)
        return true;
    if (task->broke)
        return false;
    return task->failing ? step->when == ON_FAILURE : step->when == ON_SUCCESS;
}

/* Whether any step behind the present one could still run if its outcome were this. */
static bool
more_to_come(const struct task *task, bool failing)
{
    for (size_t n = task->step + 1; n < task->step_count; n++) {
        const struct step *step = step_at(task, n);

        if (step->when == ALWAYS || step->when == (failing ? ON_FAILURE : ON_SUCCESS))
            return true;
    }
    return false;
}

static void
set_error(struct task *task, struct error *error)
{
    if (task->error)
        error_free(error); /* the first one is the reason; the report has this one's text */
    else
        task->error = error;
    task->failing = true;
}

static void
set_aborted(struct task *task)
{
    struct error *error = NULL;

    error_set(&error, ERROR_TASK_ABORTED, "the task was aborted");
    set_error(task, error);
}

static void
report(struct task *task, enum report_outcome outcome, char *message)
{
    struct step_report *line = &task->reports[task->step];

    line->outcome = outcome;
    line->elapsed_ms = (uint32_t)((clock_monotonic_ns() - task->step_begun_ns) / NS_PER_MS);
    free((char *)(uintptr_t)line->message);
    line->message = message;
    line->message_size = message ? strlen(message) : 0;
}

/* What the step wrote as the result becomes what is shown, and answered. */
static void
take_result(struct task *task)
{
    if (task->writer.text.length == 0)
        return;
    assert(task->writer.depth == 0 && "a step left its result unfinished");
    text_done(&task->result);
    task->result = task->writer.text;
    task->writer = WRITER_INIT;
}

static void
release(struct task *task)
{
    if (task->released)
        return;
    task->released = true;
    if (task->call.verb->state_done)
        task->call.verb->state_done(&task->call);
}

static void
finish_after_release(struct job *job)
{
    task_end(CONTAINER_OF(job, struct task, job));
}

static void
release_on_worker(struct job *job)
{
    release(CONTAINER_OF(job, struct task, job));
}

static void retry_release(struct timer *timer);

static void
finish(struct task *task)
{
    _cleanup_(error_freep) struct error *error = NULL;

    if (task->released || !task->call.verb->state_done || !task->worker_ran) {
        release(task);
        task_end(task);
        return;
    }
    task->job = (struct job){ .run = release_on_worker,
                              .finished = finish_after_release,
                              .lane = task->job.lane,
                              .pool = task->job.pool };
    if (workers_submit(task->call.agent->workers, &task->job, &error))
        return;
    /* What the task holds must be let go, however long that takes. */
    task->timer.fire = retry_release;
    timer_arm(task->call.agent->loop, &task->timer, 1000);
}

static void
retry_release(struct timer *timer)
{
    finish(CONTAINER_OF(timer, struct task, timer));
}

static void
run_on_worker(struct job *job)
{
    struct task *task = CONTAINER_OF(job, struct task, job);
    const struct step *step = step_at(task, task->step);

    task->outcome = step->run(&task->call);
    /* Unlocking and closing belong to the worker; done here it costs no second trip. */
    if (task->outcome == OUTCOME_COMPLETE || task->outcome == OUTCOME_FAIL) {
        bool failing = task->failing || task->outcome == OUTCOME_FAIL;

        if (!more_to_come(task, failing))
            release(task);
    }
}

static bool handle_outcome(struct task *task);

static void
back_on_loop(struct job *job)
{
    struct task *task = CONTAINER_OF(job, struct task, job);

    task->held = TASK_IDLE;
    if (handle_outcome(task))
        task_run(task);
}

static void
time_over(struct timer *timer)
{
    struct task *task = CONTAINER_OF(timer, struct task, timer);

    task_resume_waiting(task);
    task_run(task);
}

/* Puts the task where it waits, holding no thread. */
static void
hold(struct task *task, bool for_key)
{
    struct task_table *table = task->call.agent->tasks;
    struct task **bucket;

    task_keep(task);
    task->timer.fire = time_over;
    if (!for_key) {
        task->held = TASK_RETRYING;
        timer_arm(table->agent->loop, &task->timer, task->delay_ms);
        return;
    }
    task->held = TASK_WAITING;
    bucket = &table->waiting[task_key_hash(&(struct task_key){ .text = task->wait_key,
                                                               .length = strlen(task->wait_key) }) %
                             WAIT_BUCKETS];
    task->waiting_previous = NULL;
    task->waiting_next = *bucket;
    if (*bucket)
        (*bucket)->waiting_previous = task;
    *bucket = task;
    table->waiting_count++;
    if (task->delay_ms)
        timer_arm(table->agent->loop, &task->timer, task->delay_ms);
}

/* False: the task waits, and will be run again. */
static bool
handle_outcome(struct task *task)
{
    const struct step *step = step_at(task, task->step);
    char *message = TAKE(task->message);
    struct error *error = TAKE(task->step_error);

    log_debug(task->kept ? task->key.text : NULL, "step '%s': %s%s%s", step->name,
              task->outcome == OUTCOME_COMPLETE ? "complete"
              : task->outcome == OUTCOME_FAIL   ? "failed"
              : task->outcome == OUTCOME_RETRY  ? "retry"
                                                : "wait",
              message || error ? ": " : "",
              message ? message
              : error ? error->message
                      : "");
    switch (task->outcome) {
    case OUTCOME_COMPLETE:
        report(task, REPORT_COMPLETE, message);
        take_result(task);
        if (step->responds && !task->responded && !task->failing)
            task_answer(task);
        task->step++;
        return true;
    case OUTCOME_FAIL:
        free(message);
        report(task, REPORT_FAILED, xstrdup(error->message));
        set_error(task, error);
        task->step++;
        return true;
    case OUTCOME_RETRY:
    case OUTCOME_WAIT:
        if (atomic_load(&task->aborted) && !task->failing) {
            free(message);
            report(task, REPORT_FAILED, xstrdup("aborted"));
            set_aborted(task);
            task->step++;
            return true;
        }
        report(task, task->outcome == OUTCOME_WAIT ? REPORT_WAITING : REPORT_RETRYING, message);
        if (task->responded)
            take_result(task); /* what an operation that runs on shows meanwhile */
        hold(task, task->outcome == OUTCOME_WAIT);
        return false;
    }
    assert(!"a step returned no outcome");
    return false;
}

/* False: it was refused, and nothing ran. */
static bool
submit(struct task *task, const struct step *step)
{
    struct task_table *table = task->call.agent->tasks;
    struct error *error = NULL;

    task_keep(task);
    task->job = (struct job){ .run = run_on_worker,
                              .finished = back_on_loop,
                              .lane = task->lanes[step->pool] ? task->lanes[step->pool]
                                                              : &table->lanes[step->pool],
                              .pool = step->pool };
    if (workers_submit(task->call.agent->workers, &task->job, &error)) {
        task->held = TASK_QUEUED;
        task->worker_ran = true;
        return true;
    }
    if (!task->worker_ran && !task->failing) { /* nothing was begun: the caller may try again */
        task->outcome = call_fail(&task->call, error);
        return false;
    }
    task->outcome = call_retry(&task->call, 500, "%s", error->message);
    error_free(error);
    return false;
}

/* Reports the steps that do not apply, and stands at the next one that does.  False: none. */
static bool
find_step(struct task *task)
{
    for (; task->step < task->step_count; task->step++) {
        const struct step *step = step_at(task, task->step);
        struct step_report *line = &task->reports[task->step];

        if (line->attempts > 0)
            return true; /* it was begun: a retry, or the end of a wait */
        /* Only what would be cut short: when the last main step is complete, the task is done. */
        if (step->when == ON_SUCCESS && applies(task, step) && atomic_load(&task->aborted))
            set_aborted(task);
        if (!applies(task, step)) {
            line->outcome =
                step->when == ON_FAILURE && !task->failing ? REPORT_SKIPPED : REPORT_NOT_RUN;
            continue;
        }
        if (!task->failing && !task->broke && step->break_if && step->break_if(&task->call)) {
            task->broke = true;
            task->step--; /* look at this one again: it may be an ALWAYS one */
            continue;
        }
        if (step->only_if && !step->only_if(&task->call)) {
            line->outcome = REPORT_SKIPPED;
            continue;
        }
        return true;
    }
    return false;
}

void
task_run(struct task *task)
{
    LOOP_ONLY();
    while (find_step(task)) {
        const struct step *step = step_at(task, task->step);
        struct step_report *line = &task->reports[task->step];

        if (line->attempts++ == 0)
            task->step_begun_ns = clock_monotonic_ns();
        line->outcome = REPORT_RUNNING;
        if (step->pool != POOL_LOOP) {
            if (submit(task, step))
                return;
        } else {
            task->outcome = step->run(&task->call);
        }
        if (!handle_outcome(task))
            return;
    }
    finish(task);
}

void
task_abort(struct task *task)
{
    LOOP_ONLY();
    atomic_store(&task->aborted, true);
    task->status = TASK_ABORTING;
    if (task->failing)
        return; /* it is on its way out */
    if (task->held == TASK_QUEUED && !workers_cancel(task->call.agent->workers, &task->job))
        return; /* the step runs: it looks at the flag */
    if (task->held == TASK_IDLE)
        return; /* its loop step is running right now and calls us */
    if (task->held != TASK_QUEUED)
        task_resume_waiting(task);
    task->held = TASK_IDLE;
    report(task, REPORT_FAILED, xstrdup("aborted"));
    set_aborted(task);
    task->step++;
    task_run(task);
}
