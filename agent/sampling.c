/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/sampling.h"

#include <assert.h>
#include <inttypes.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/gauge.h"
#include "agent/task.h"

struct samplings {
    struct agent *agent;
    struct gauges gauges;
    struct sampling *first;
    struct timer timer; /* armed for the sampling that is due first; not armed: all rest */
};

/* One sample being taken: the worker's until it comes back. */
struct taking {
    struct job job;
    struct sampling *sampling;
    uint64_t number;
    void *prepared;
    struct sample *before; /* a reference, or NULL */
    struct sample *fresh;  /* owned */
    struct error *error;
};

/* ---- samples ---- */

static void
sample_unref(struct sample *sample)
{
    if (!sample || --sample->references > 0)
        return;
    if (sample->data)
        sample->sampling->free(sample->data);
    free(sample);
}

static struct sample *
sample_ref(struct sample *sample)
{
    if (sample)
        sample->references++;
    return sample;
}

static bool
is_apart(const struct sample *before, int64_t now_ns)
{
    return !before || now_ns - before->monotonic_ns >= SAMPLING_APART_MS * NS_PER_MS;
}

static const struct sample *
last_of(const struct sampling *sampling)
{
    return sampling->extra ? sampling->extra : sampling->marks[0];
}

/* ---- when ---- */

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

static bool
has_room(const struct sampling *sampling)
{
    return sampling->under_way < (sampling->at_once ? sampling->at_once : 1);
}

/* When the timer is to begin the next; INT64_MAX: not by time. */
static int64_t
due_of(const struct sampling *sampling, int64_t now_ns)
{
    if (!has_room(sampling) || !is_wanted(sampling, now_ns))
        return INT64_MAX;
    return sampling->begun_ns +
           (is_under_way(sampling) ? SAMPLING_STUCK_MS * NS_PER_MS : period_ns(sampling));
}

static void
arm(struct samplings *samplings)
{
    int64_t now_ns = clock_monotonic_ns(), due_ns = INT64_MAX;

    for (struct sampling *sampling = samplings->first; sampling; sampling = sampling->next)
        if (due_of(sampling, now_ns) < due_ns)
            due_ns = due_of(sampling, now_ns);
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
    struct taking *taking = CONTAINER_OF(job, struct taking, job);
    struct sampling *sampling = taking->sampling;
    const struct sample *before = taking->before;
    struct sample *fresh = taking->fresh;

    fresh->monotonic_ns = clock_monotonic_ns();
    fresh->wall_ns = clock_wall_ns();
    fresh->interval_ns = before ? fresh->monotonic_ns - before->monotonic_ns : 0;
    fresh->data = sampling->take(sampling->context, taking->prepared, before ? before->data : NULL,
                                 fresh->interval_ns, &taking->error);
}

/* Takes ownership of 'fresh'. */
static void
enter_take(struct sampling *sampling, struct sample *fresh)
{
    const struct sample *last = last_of(sampling);

    /* It was stuck meanwhile. */
    if (last && fresh->monotonic_ns < last->monotonic_ns) {
        sample_unref(fresh);
        return;
    }
    sample_unref(TAKE(sampling->extra));
    if (!is_apart(sampling->marks[0], fresh->monotonic_ns)) {
        sampling->extra = fresh;
        return;
    }
    sample_unref(sampling->marks[1]);
    sampling->marks[1] = sampling->marks[0];
    sampling->marks[0] = fresh;
}

static void begin(struct sampling *sampling);

static void
finish(struct taking *taking)
{
    struct sampling *sampling = taking->sampling;
    bool newest = taking->number > sampling->ended;

    if (newest) {
        sampling->ended = taking->number;
        sampling->ended_ns = clock_monotonic_ns();
        error_free(sampling->error);
        sampling->error = taking->error ? error_copy(taking->error) : NULL;
    }
    log_debug(NULL, "%s: sampled in %lld us: %s", sampling->name,
              (long long)((clock_monotonic_ns() - taking->fresh->monotonic_ns) / 1000),
              taking->error ? taking->error->message : "done");
    if (!taking->error)
        enter_take(sampling, TAKE(taking->fresh));
    if (taking->prepared)
        sampling->release(taking->prepared);
    sample_unref(taking->fresh);
    sample_unref(taking->before);
    error_free(taking->error);
    free(taking);
    sampling->under_way--;
    if (sampling->again && !is_under_way(sampling))
        begin(sampling);
    arm(sampling->agent->samplings);
    task_wake(sampling->agent, sampling->key);
}

static void
taken(struct job *job)
{
    finish(CONTAINER_OF(job, struct taking, job));
}

static void
begin(struct sampling *sampling)
{
    struct taking *taking = xalloc(sizeof(*taking));

    sampling->again = false;
    sampling->begun_ns = clock_monotonic_ns();
    sampling->under_way++;
    taking->sampling = sampling;
    taking->number = ++sampling->begun;
    taking->before =
        sample_ref(sampling->marks[is_apart(sampling->marks[0], sampling->begun_ns) ? 0 : 1]);
    taking->fresh = xalloc(sizeof(*taking->fresh));
    taking->fresh->sampling = sampling;
    taking->fresh->monotonic_ns = sampling->begun_ns;
    taking->fresh->references = 1;
    taking->job = (struct job){
        .run = take_on_worker, .finished = taken, .lane = sampling->lane, .pool = sampling->pool
    };
    if (sampling->prepare)
        taking->prepared = sampling->prepare(sampling->context, &taking->error);
    if (taking->error || !workers_submit(sampling->agent->workers, &taking->job, &taking->error))
        finish(taking);
}

static void
fire(struct timer *timer)
{
    struct samplings *samplings = CONTAINER_OF(timer, struct samplings, timer);
    int64_t now_ns = clock_monotonic_ns();

    for (struct sampling *sampling = samplings->first; sampling; sampling = sampling->next)
        if (due_of(sampling, now_ns) <= now_ns)
            begin(sampling);
    arm(samplings);
}

/* ---- made and registered ---- */

static void
write_gauges(void *context, struct text *text)
{
    const struct samplings *samplings = context;

    LOOP_ONLY();
    text_append_string(text, "# HELP hostler_samples_total Samples of figures taken.\n"
                             "# TYPE hostler_samples_total counter\n");
    for (const struct sampling *sampling = samplings->first; sampling; sampling = sampling->next)
        text_printf(text, "hostler_samples_total{of=\"%s\"} %" PRIu64 "\n", sampling->name,
                    sampling->ended);
}

struct samplings *
samplings_new(struct agent *agent)
{
    struct samplings *samplings = xalloc(sizeof(*samplings));

    samplings->agent = agent;
    samplings->timer.fire = fire;
    samplings->gauges = (struct gauges){ .write = write_gauges, .context = samplings };
    gauges_register(agent, &samplings->gauges);
    return samplings;
}

void
samplings_free(struct samplings *samplings)
{
    if (!samplings)
        return;
    timer_disarm(samplings->agent->loop, &samplings->timer);
    for (struct sampling *sampling = samplings->first; sampling; sampling = sampling->next) {
        sample_unref(TAKE(sampling->marks[0]));
        sample_unref(TAKE(sampling->marks[1]));
        sample_unref(TAKE(sampling->extra));
        error_free(TAKE(sampling->error));
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

/* All that may be under way do not come back: nobody waits for them any more. */
static bool
is_stuck(const struct sampling *sampling)
{
    return is_under_way(sampling) && !has_room(sampling) &&
           clock_monotonic_ns() - sampling->begun_ns >= SAMPLING_PATIENCE_MS * NS_PER_MS;
}

/* While it goes on, the timer keeps it young; one that has rested is young for one interval. */
static bool
is_young(const struct sampling *sampling, bool goes_on)
{
    const struct sample *last = last_of(sampling);

    return last && !sampling->error &&
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
                bool fresh, enum outcome (*write)(struct call *call, const struct sample *now))
{
    const struct sample *last;
    int64_t elapsed_ms;
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
    elapsed_ms = call_elapsed_ms(call);
    waited = elapsed_ms >= SAMPLING_PATIENCE_MS || is_stuck(sampling);
    if (sampling->ended < wish->serial && !waited)
        return call_wait(call, sampling->key, (uint64_t)(SAMPLING_PATIENCE_MS - elapsed_ms),
                         "waiting for a sample");
    if (sampling->error && sampling->ended >= wish->serial)
        return call_fail(call, error_copy(sampling->error));
    last = last_of(sampling);
    if (!last || (fresh && sampling->ended < wish->serial)) {
        struct error *error = NULL;

        error_set(&error, ERROR_TIMEOUT, "no sample could be taken within %d s",
                  SAMPLING_PATIENCE_MS / 1000);
        return call_fail(call, error);
    }
    return write(call, last);
}

void
sampling_write(const struct sample *now, struct writer *writer)
{
    writer_member_time(writer, "sampled", now->wall_ns);
    writer_member_if_known(writer, "intervalMs", now->interval_ns > 0,
                           (uint64_t)(now->interval_ns / NS_PER_MS));
}
