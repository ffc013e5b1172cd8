/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real agent without endpoints, for the tests of agent/: its loop, workers, tasks and events.
 */
#ifndef TESTS_AGENT_FIXTURE_H
#define TESTS_AGENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/backend.h"
#include "agent/base/clock.h"
#include "agent/config.h"
#include "agent/loop.h"
#include "agent/sampling.h"
#include "agent/snapshot.h"
#include "agent/task-internal.h"
#include "agent/task.h"
#include "agent/worker.h"
#include "events/ring.h"

struct answered {
    unsigned answers, ends;
    char *result;        /* owned, or NULL */
    struct error *error; /* owned, or NULL */
};

static struct agent fixture;
static struct config fixture_config;

static inline void
fixture_open(unsigned retention_s, unsigned history_count)
{
    struct error *error = NULL;

    fixture =
        (struct agent){ .instance = "instance", .host_id = "host", .config = &fixture_config };
    fixture_config.limits.active_tasks = 1000;
    assert_true(loop_new(&fixture.loop, &error));
    fixture.ring = ring_new("instance", 4096, 16 << 20);
    fixture.workers = workers_new(fixture.loop, 2, 1);
    fixture.backends = backends_new(&fixture);
    fixture.snapshots = snapshots_new();
    fixture.samplings = samplings_new(&fixture);
    fixture.tasks = task_table_new(&fixture, retention_s, history_count);
}

static inline void
fixture_close(void)
{
    workers_free(fixture.workers);
    samplings_free(fixture.samplings);
    task_table_free(fixture.tasks);
    backends_free(fixture.backends);
    snapshots_free(fixture.snapshots);
    loop_free(fixture.loop);
    ring_free(fixture.ring);
}

/* For cmocka: around a test. */
static inline int
fixture_begin(void **state)
{
    (void)state;
    fixture_open(600, 100);
    return 0;
}

static inline int
fixture_end(void **state)
{
    (void)state;
    fixture_close();
    return 0;
}

static inline void
fixture_answer(void *context, const struct task_answer *answer)
{
    struct answered *answered = context;

    assert_int_equal(answered->ends, 0);
    answered->answers++;
    if (answer->error)
        answered->error = error_copy(answer->error);
    else
        answered->result = xstrndup(answer->result, answer->result_size);
}

static inline void
fixture_ended(void *context)
{
    ((struct answered *)context)->ends++;
}

static inline void
answered_done(struct answered *answered)
{
    free(answered->result);
    error_free(answered->error);
}

/* Starts 'verb' under the string id 'id' (NULL: a fresh one); args are taken. */
static inline void
fixture_start(const struct verb *verb, const char *id, void *args, bool once,
              struct answered *answered)
{
    struct task_request request = { .verb = verb,
                                    .args = args,
                                    .caller = "uid:0",
                                    .role = ROLE_ADMIN,
                                    .connection = 7,
                                    .once = once,
                                    .answer = fixture_answer,
                                    .ended = fixture_ended,
                                    .answer_context = answered };

    if (id)
        request.key = (struct task_key){ .text = id, .length = strlen(id) };
    task_start(&fixture, &request);
}

/* Turns the loop until the task is over. */
static inline void
fixture_wait(const struct answered *answered)
{
    int64_t deadline = clock_monotonic_ns() + 60 * NS_PER_S;

    while (answered->ends == 0) {
        assert_true(clock_monotonic_ns() < deadline);
        loop_turn(fixture.loop, true);
    }
}

/* The status of a task as JSON; the caller's. */
static inline char *
fixture_status(const char *id)
{
    struct task_reference reference = { .text = (char *)(uintptr_t)id };
    struct writer writer = WRITER_INIT;
    struct error *error = NULL;
    struct task_view view;
    struct task *task;

    assert_true(task_resolve(&fixture, &reference, 0, &task, &view, &error));
    if (task)
        task_view_of(task, &view);
    task_view_write(&fixture, &view, &writer);
    return text_take(&writer.text);
}

static inline void
assert_status_has(const char *id, const char *wanted)
{
    char *status = fixture_status(id);

    if (!strstr(status, wanted))
        fail_msg("'%s' is not in %s", wanted, status);
    free(status);
}

#endif
