/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/sampling.h"

#include <assert.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"

struct samplings {
    struct agent *agent;
    struct sampling *first;
    struct timer timer; /* armed for the sampling that is due first; not armed: all rest */
};

static bool
is_under_way(const struct sampling *sampling)
{
    return sampling->begun > sampling->ended;
}

/* From the begin of a sample to that of the next. */
static int64_t
period_ns(const struct sampling *sampling)
{
    int64_t took_ns = sampling->ended_ns - sampling->begun_ns;
    int64_t interval_ns = SAMPLING_INTERVAL_MS * NS_PER_MS;

    if (is_under_way(sampling) || took_ns * SAMPLING_SHARE < interval_ns)
        return interval_ns;
    return took_ns * SAMPLING_SHARE;
}

static bool
is_wanted(const struct sampling *sampling, int64_t now_ns)
{
    return sampling->asked_ns > 0 && now_ns - sampling->asked_ns < SAMPLING_LEASE_MS * NS_PER_MS;
}

/* ---- the timer ---- */

static void
arm(struct samplings *samplings)
{
    int64_t now_ns = clock_monotonic_ns(), due_ns = INT64_MAX;

    for (struct sampling *sampling = samplings->first; sampling; sampling = sampling->next)
        if (!is_under_way(sampling) && is_wanted(sampling, now_ns) &&
            sampling->begun_ns + period_ns(sampling) < due_ns)
            due_ns = sampling->begun_ns + period_ns(sampling);
    timer_disarm(samplings->agent->loop, &samplings->timer);
    if (due_ns == INT64_MAX)
        return;
    /* Rounded up: it is not to come before it is due. */
    timer_arm(samplings->agent->loop, &samplings->timer,
              due_ns > now_ns ? (uint64_t)((due_ns - now_ns) / NS_PER_MS) + 1 : 0);
}

/* ---- taking ---- */

static void
take_on_worker(struct job *job)
{
    struct sampling *sampling = CONTAINER_OF(job, struct sampling, job);
    struct sample *fresh = &sampling->fresh;

    fresh->monotonic_ns = clock_monotonic_ns();
    fresh->wall_ns = clock_wall_ns();
    sampling->base = sampling->marks[0];
    if (fresh->monotonic_ns - sampling->base.monotonic_ns < SAMPLING_APART_MS * NS_PER_MS)
        sampling->base = sampling->marks[1];
    fresh->data = sampling->take(sampling->context, fresh->monotonic_ns, &sampling->base,
                                 &sampling->fresh_error);
}

static void
drop(struct sampling *sampling, struct sample *sample)
{
    if (sample->data)
        sampling->free(sample->data);
    *sample = (struct sample){ 0 };
}

/* After it marks[1] is what its rates are relative to, whether it became a mark or not. */
static void
enter(struct sampling *sampling)
{
    const struct sample *last = &sampling->marks[0];
    struct sample fresh = sampling->fresh;

    drop(sampling, &sampling->extra);
    sampling->fresh = (struct sample){ 0 };
    if (last->data && fresh.monotonic_ns - last->monotonic_ns < SAMPLING_APART_MS * NS_PER_MS) {
        sampling->extra = fresh;
        return;
    }
    drop(sampling, &sampling->marks[1]);
    sampling->marks[1] = sampling->marks[0];
    sampling->marks[0] = fresh;
}

static void begin(struct sampling *sampling);

static void
finish(struct sampling *sampling)
{
    sampling->ended = sampling->begun;
    sampling->ended_ns = clock_monotonic_ns();
    error_free(sampling->error);
    sampling->error = TAKE(sampling->fresh_error);
    if (!sampling->error)
        enter(sampling);
    log_debug(NULL, "%s: sampled in %lld us: %s", sampling->name,
              (long long)((sampling->ended_ns - sampling->begun_ns) / 1000),
              sampling->error ? sampling->error->message : "done");
    if (sampling->again)
        begin(sampling);
    arm(sampling->agent->samplings);
    task_wake(sampling->agent, sampling->key);
}

static void
taken(struct job *job)
{
    finish(CONTAINER_OF(job, struct sampling, job));
}

static void
begin(struct sampling *sampling)
{
    sampling->again = false;
    sampling->begun++;
    sampling->begun_ns = clock_monotonic_ns();
    sampling->job = (struct job){
        .run = take_on_worker, .finished = taken, .lane = sampling->lane, .pool = sampling->pool
    };
    if (!workers_submit(sampling->agent->workers, &sampling->job, &sampling->fresh_error))
        finish(sampling);
}

static void
fire(struct timer *timer)
{
    struct samplings *samplings = CONTAINER_OF(timer, struct samplings, timer);
    int64_t now_ns = clock_monotonic_ns();

    for (struct sampling *sampling = samplings->first; sampling; sampling = sampling->next)
        if (!is_under_way(sampling) && is_wanted(sampling, now_ns) &&
            now_ns - sampling->begun_ns >= period_ns(sampling))
            begin(sampling);
    arm(samplings);
}

/* ---- made and registered ---- */

struct samplings *
samplings_new(struct agent *agent)
{
    struct samplings *samplings = xalloc(sizeof(*samplings));

    samplings->agent = agent;
    samplings->timer.fire = fire;
    return samplings;
}

void
samplings_free(struct samplings *samplings)
{
    if (!samplings)
        return;
    timer_disarm(samplings->agent->loop, &samplings->timer);
    for (struct sampling *sampling = samplings->first; sampling; sampling = sampling->next) {
        drop(sampling, &sampling->marks[0]);
        drop(sampling, &sampling->marks[1]);
        drop(sampling, &sampling->extra);
        drop(sampling, &sampling->fresh);
        error_free(TAKE(sampling->error));
        error_free(TAKE(sampling->fresh_error));
        free(TAKE(sampling->key));
    }
    free(samplings);
}

void
sampling_register(struct agent *agent, struct sampling *sampling)
{
    LOOP_ONLY();
    assert(!sampling->key);
    sampling->agent = agent;
    sampling->key = xprintf("sampling/%s", sampling->name);
    sampling->next = agent->samplings->first;
    agent->samplings->first = sampling;
}

/* ---- answering ---- */

const struct sample *
sampling_last(const struct sampling *sampling)
{
    LOOP_ONLY();
    return sampling->extra.data ? &sampling->extra : &sampling->marks[0];
}

/* While it goes on, the timer keeps it young; one that has rested is young for one interval. */
static bool
is_young(const struct sampling *sampling, bool goes_on)
{
    const struct sample *last = sampling_last(sampling);

    return last->data && !sampling->error &&
           clock_monotonic_ns() - last->monotonic_ns <
               period_ns(sampling) * (goes_on || is_under_way(sampling) ? 2 : 1);
}

/* The sample that will do; 0: what is known does. */
static uint64_t
wanted(struct sampling *sampling, bool fresh, bool goes_on)
{
    if (!fresh && is_young(sampling, goes_on))
        return 0;
    if (!is_under_way(sampling))
        begin(sampling);
    else if (fresh)
        sampling->again = true;
    return sampling->begun + sampling->again;
}

enum outcome
sampling_answer(struct call *call, struct sampling *sampling, struct sampling_wish *wish,
                bool fresh,
                enum outcome (*write)(struct call *call, const struct sample *now,
                                      const struct sample *before))
{
    const struct sample *last;
    bool waited;

    LOOP_ONLY();
    if (!wish->asked) {
        int64_t now_ns = clock_monotonic_ns();
        bool goes_on = is_wanted(sampling, now_ns);

        wish->asked = true;
        sampling->asked_ns = now_ns;
        wish->serial = wanted(sampling, fresh, goes_on);
        arm(sampling->agent->samplings);
    }
    waited = call_elapsed_ms(call) >= SAMPLING_PATIENCE_MS;
    if (sampling->ended < wish->serial && !waited)
        return call_wait(call, sampling->key,
                         SAMPLING_PATIENCE_MS - (uint64_t)call_elapsed_ms(call),
                         "waiting for a sample");
    if (sampling->error && sampling->ended >= wish->serial)
        return call_fail(call, error_copy(sampling->error));
    last = sampling_last(sampling);
    if (!last->data || (fresh && sampling->ended < wish->serial)) {
        struct error *error = NULL;

        error_set(&error, ERROR_TIMEOUT, "no sample could be taken within %d s",
                  SAMPLING_PATIENCE_MS / 1000);
        return call_fail(call, error);
    }
    return write(call, last, &sampling->marks[1]);
}

void
sampling_write(const struct sample *now, const struct sample *before, struct writer *writer)
{
    writer_member_time(writer, "sampled", now->wall_ns);
    writer_key(writer, "intervalMs");
    if (before->data)
        writer_integer(writer, (now->monotonic_ns - before->monotonic_ns) / NS_PER_MS);
    else
        writer_null(writer);
}
