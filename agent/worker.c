/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes are the loop's: it decides what may start.  A pool's queue holds only jobs that a thread is
 * there for, and is all that the mutex here guards.
 *
 * A pool runs 'limit' jobs at once.  What does not fit waits in its lane, and the lane in the pool's
 * list, whose lanes take turns.  The only job of a lane never waits, so that however many lanes are
 * stuck, the others go on: a pool has at most 'limit' threads and one for each lane.
 */
#include <config.h>

#include "agent/worker.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"

#define QUEUE_LIMIT 1000
#define STUCK_MS 10000

struct pool_threads {
    struct workers *workers;
    pthread_mutex_t mutex; /* of the five below */
    pthread_cond_t work;
    struct job *first, *last; /* may run: taken by the next idle thread */
    unsigned idle, queued;
    bool ending;
    unsigned limit, running;               /* jobs at once, and now; loop only, as all below */
    struct lane *first_ready, *last_ready; /* have a job that waits, and room for it */
    unsigned count;                        /* threads there are */
    pthread_t *threads;                    /* owned */
};

struct workers {
    struct loop *loop;
    struct pool_threads pools[POOL_COUNT];
};

static bool start_thread(struct pool_threads *pool, struct error **err) _must_check_;

/* Gives the pool a job that may run at once. */
static bool
hand_over(struct pool_threads *pool, struct job *job, struct error **err)
{
    bool start;

    pthread_mutex_lock(&pool->mutex);
    /* An idle thread that was woken still counts as idle, so what is queued counts against it. */
    start = pool->idle <= pool->queued;
    pthread_mutex_unlock(&pool->mutex);
    if (start && !start_thread(pool, err))
        return false;
    job->lane->running++;
    job->lane->moved_ns = clock_monotonic_ns();
    pool->running++;
    pthread_mutex_lock(&pool->mutex);
    if (pool->last)
        pool->last->next = job;
    else
        pool->first = job;
    pool->last = job;
    pool->queued++;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    return true;
}

/* ---- lanes that wait ---- */

static unsigned
lane_limit(const struct pool_threads *pool, const struct lane *lane)
{
    return lane->limit ? lane->limit : pool->limit;
}

static bool
may_start(const struct pool_threads *pool, const struct lane *lane)
{
    return lane->running == 0 ||
           (pool->running < pool->limit && lane->running < lane_limit(pool, lane));
}

/* Puts it at the end of the list if it belongs there. */
static void
enter_list(struct pool_threads *pool, struct lane *lane)
{
    if (lane->ready || !lane->first || lane->running >= lane_limit(pool, lane))
        return;
    lane->ready = true;
    lane->next_ready = NULL;
    if (pool->last_ready)
        pool->last_ready->next_ready = lane;
    else
        pool->first_ready = lane;
    pool->last_ready = lane;
}

static void
leave_list(struct pool_threads *pool, struct lane *lane)
{
    struct lane **place = &pool->first_ready, *before = NULL;

    if (!lane->ready)
        return;
    for (; *place != lane; place = &before->next_ready)
        before = *place;
    *place = lane->next_ready;
    if (pool->last_ready == lane)
        pool->last_ready = before;
    lane->ready = false;
}

static struct job *
take_waiting(struct lane *lane)
{
    struct job *job = lane->first;

    lane->first = job->next;
    if (!lane->first)
        lane->last = NULL;
    lane->waiting--;
    job->next = NULL;
    return job;
}

static void
start_waiting(struct pool_threads *pool, struct lane *lane)
{
    _cleanup_(error_freep) struct error *error = NULL;

    leave_list(pool, lane);
    /* The pool has a thread at least: it runs this when it is through with the others. */
    if (!hand_over(pool, take_waiting(lane), &error))
        assert(!"a pool that has run jobs has threads");
    enter_list(pool, lane);
}

static void
job_came_back(struct message *message)
{
    struct job *job = CONTAINER_OF(message, struct job, message);
    struct pool_threads *pool = &job->workers->pools[job->pool];
    struct lane *lane = job->lane;

    LOOP_ONLY();
    assert(lane->running > 0 && pool->running > 0);
    lane->running--;
    pool->running--;
    lane->moved_ns = clock_monotonic_ns();
    if (lane->first && lane->running == 0)
        start_waiting(pool, lane);
    else
        enter_list(pool, lane);
    while (pool->first_ready && may_start(pool, pool->first_ready))
        start_waiting(pool, pool->first_ready);
    job->finished(job); /* may free the job */
}

/* ---- threads ---- */

static void *
work(void *argument)
{
    struct pool_threads *pool = argument;

    thread_mark(THREAD_WORKER);
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        struct job *job;

        while (!pool->first && !pool->ending) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->mutex);
            pool->idle--;
        }
        job = pool->first;
        if (!job)
            break;
        pool->first = job->next;
        if (!pool->first)
            pool->last = NULL;
        pool->queued--;
        pthread_mutex_unlock(&pool->mutex);
        job->next = NULL;
        job->run(job);
        job->message.deliver = job_came_back;
        loop_post(pool->workers->loop, &job->message);
        pthread_mutex_lock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

struct workers *
workers_new(struct loop *loop, unsigned threads, unsigned copy_threads)
{
    struct workers *workers = xalloc(sizeof(*workers));

    workers->loop = loop;
    workers->pools[POOL_REPOSITORY].limit = threads;
    workers->pools[POOL_COPY].limit = copy_threads;
    workers->pools[POOL_GLUSTER].limit = GLUSTER_THREADS;
    workers->pools[POOL_VIRT].limit = VIRT_THREADS;
    for (size_t i = 0; i < POOL_COUNT; i++) {
        struct pool_threads *pool = &workers->pools[i];

        pool->workers = workers;
        (void)pthread_mutex_init(&pool->mutex, NULL);
        (void)pthread_cond_init(&pool->work, NULL);
    }
    return workers;
}

void
workers_free(struct workers *workers)
{
    if (!workers)
        return;
    for (size_t i = 0; i < POOL_COUNT; i++) {
        struct pool_threads *pool = &workers->pools[i];

        pthread_mutex_lock(&pool->mutex);
        pool->ending = true;
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->mutex);
        for (unsigned n = 0; n < pool->count; n++)
            (void)pthread_join(pool->threads[n], NULL);
        (void)pthread_cond_destroy(&pool->work);
        (void)pthread_mutex_destroy(&pool->mutex);
        free(pool->threads);
    }
    free(workers);
}

/* A pool without any thread could run nothing, so the first failure is the caller's; later ones
   only mean fewer threads. */
static bool
start_thread(struct pool_threads *pool, struct error **err)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int status;

    pool->threads = xrealloc(pool->threads, (pool->count + 1) * sizeof(pool->threads[0]));
    (void)sigfillset(&all);
    (void)pthread_attr_init(&attributes);
    /* Steps keep their buffers on the heap; a fixed, small stack keeps many threads cheap. */
    (void)pthread_attr_setstacksize(&attributes, 512 * 1024);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(&pool->threads[pool->count], &attributes, work, pool);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (status == 0) {
        pool->count++;
        return true;
    }
    if (pool->count > 0) {
        log_warning("cannot start another worker thread, going on with %u", pool->count);
        return true;
    }
    return error_errno(err, ERROR_BUSY, status, "cannot start a worker thread");
}

static bool
lane_has_room(const struct lane *lane, struct error **err)
{
    unsigned queue_limit = lane->queue_limit ? lane->queue_limit : QUEUE_LIMIT;
    int64_t stuck_ns = (lane->stuck_ms ? lane->stuck_ms : STUCK_MS) * NS_PER_MS;
    bool stuck = clock_monotonic_ns() - lane->moved_ns > stuck_ns;

    if (lane->waiting < queue_limit && !stuck)
        return true;
    error_set(err, ERROR_BUSY,
              stuck ? "the workers of '%s' are stuck: look at it, or try again later"
                    : "too many calls wait for '%s': try again later",
              lane->name);
    error_data_text(err, "backend", "%s", lane->name);
    return error_data_number(err, "retryAfterMs", stuck ? 10000 : 1000);
}

bool
workers_submit(struct workers *workers, struct job *job, struct error **err)
{
    struct pool_threads *pool = &workers->pools[job->pool];
    struct lane *lane = job->lane;

    LOOP_ONLY();
    assert(job->pool > POOL_LOOP && job->pool < POOL_COUNT && lane);
    assert((lane->running == 0 && lane->waiting == 0) || lane->pool == job->pool);
    lane->pool = job->pool;
    job->workers = workers;
    job->next = NULL;
    if (!lane->first && may_start(pool, lane))
        return hand_over(pool, job, err);
    if (!lane_has_room(lane, err))
        return false;
    if (lane->last)
        lane->last->next = job;
    else
        lane->first = job;
    lane->last = job;
    lane->waiting++;
    enter_list(pool, lane);
    return true;
}

bool
workers_cancel(struct workers *workers, struct job *job)
{
    struct lane *lane = job->lane;
    struct job **place = &lane->first, *before = NULL;

    LOOP_ONLY();
    for (; *place; before = *place, place = &(*place)->next)
        if (*place == job) {
            *place = job->next;
            if (lane->last == job)
                lane->last = before;
            lane->waiting--;
            job->next = NULL;
            if (!lane->first)
                leave_list(&workers->pools[job->pool], lane);
            return true;
        }
    return false;
}
