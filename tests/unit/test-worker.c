/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/unit/agent-fixture.h"

struct counted {
    struct job job;
    _Atomic bool *gate; /* the job runs until it is open */
    bool came_back;
};

static _Atomic unsigned running, most_running;

static void
run(struct job *job)
{
    struct counted *counted = CONTAINER_OF(job, struct counted, job);
    unsigned now = atomic_fetch_add(&running, 1) + 1, most = atomic_load(&most_running);

    while (now > most && !atomic_compare_exchange_weak(&most_running, &most, now))
        ;
    while (counted->gate && !atomic_load(counted->gate))
        ;
    atomic_fetch_sub(&running, 1);
}

static void
finished(struct job *job)
{
    CONTAINER_OF(job, struct counted, job)->came_back = true;
}

static void
prepare(struct counted *counted, struct lane *lane, _Atomic bool *gate)
{
    *counted = (struct counted){
        .job = { .run = run, .finished = finished, .lane = lane, .pool = POOL_REPOSITORY },
        .gate = gate
    };
}

static void
wait_for(const struct counted *counted)
{
    while (!counted->came_back)
        loop_turn(fixture.loop, true);
}

static int
open_all(void **state)
{
    atomic_store(&running, 0);
    atomic_store(&most_running, 0);
    return fixture_begin(state);
}

static void
a_lane_never_holds_more_threads_than_its_limit(void **state)
{
    struct lane lane = { .name = "narrow", .limit = 1 };
    struct counted jobs[50];
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++) {
        prepare(&jobs[i], &lane, NULL);
        assert_true(workers_submit(fixture.workers, &jobs[i].job, &error));
    }
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++)
        wait_for(&jobs[i]);
    assert_int_equal(atomic_load(&most_running), 1);
    assert_int_equal(lane.running, 0);
    assert_int_equal(lane.waiting, 0);
}

static void
two_lanes_run_beside_each_other(void **state)
{
    struct lane stuck = { .name = "stuck", .limit = 1 }, well = { .name = "well", .limit = 1 };
    _Atomic bool gate = false;
    struct counted holder, other;
    struct error *error = NULL;

    (void)state;
    prepare(&holder, &stuck, &gate);
    prepare(&other, &well, NULL);
    assert_true(workers_submit(fixture.workers, &holder.job, &error));
    assert_true(workers_submit(fixture.workers, &other.job, &error));
    wait_for(&other);
    assert_false(holder.came_back);
    atomic_store(&gate, true);
    wait_for(&holder);
}

/* More stuck lanes than the pool has threads; each wants two. */
static void
however_many_lanes_are_stuck_another_goes_on(void **state)
{
    struct lane stuck[6], well = { .name = "well", .limit = 2 };
    struct counted holders[2 * ARRAY_COUNT(stuck)], others[2];
    _Atomic bool gate = false;
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(holders); i++) {
        stuck[i / 2] = i % 2 ? stuck[i / 2] : (struct lane){ .name = "stuck", .limit = 2 };
        prepare(&holders[i], &stuck[i / 2], &gate);
        assert_true(workers_submit(fixture.workers, &holders[i].job, &error));
    }
    /* Whatever thread comes free goes on to what waits in the queue, and is held as well. */
    for (unsigned round = 0; round < 2 * ARRAY_COUNT(holders); round++) {
        for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
            prepare(&others[i], &well, NULL);
            assert_true(workers_submit(fixture.workers, &others[i].job, &error));
        }
        for (size_t i = 0; i < ARRAY_COUNT(others); i++)
            wait_for(&others[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(holders); i++)
        assert_false(holders[i].came_back);
    atomic_store(&gate, true);
    for (size_t i = 0; i < ARRAY_COUNT(holders); i++)
        wait_for(&holders[i]);
}

static void
a_full_lane_answers_busy_with_when_to_come_back(void **state)
{
    struct lane lane = { .name = "small", .limit = 1, .queue_limit = 1 };
    _Atomic bool gate = false;
    struct counted jobs[3];
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        prepare(&jobs[i], &lane, &gate);
    assert_true(workers_submit(fixture.workers, &jobs[0].job, &error));
    assert_true(workers_submit(fixture.workers, &jobs[1].job, &error));
    assert_false(workers_submit(fixture.workers, &jobs[2].job, &error));
    assert_int_equal(error->code, ERROR_BUSY);
    assert_non_null(strstr(error->data, "\"backend\":\"small\",\"retryAfterMs\":"));
    error_free(error);
    atomic_store(&gate, true);
    wait_for(&jobs[0]);
    wait_for(&jobs[1]);
}

static void
a_stuck_lane_answers_busy_at_once(void **state)
{
    struct lane lane = { .name = "stuck", .limit = 1, .stuck_ms = 1 };
    _Atomic bool gate = false;
    struct counted holder, other;
    struct error *error = NULL;

    (void)state;
    prepare(&holder, &lane, &gate);
    prepare(&other, &lane, NULL);
    assert_true(workers_submit(fixture.workers, &holder.job, &error));
    lane.moved_ns -= NS_PER_S;
    assert_false(workers_submit(fixture.workers, &other.job, &error));
    assert_int_equal(error->code, ERROR_BUSY);
    error_free(error);
    atomic_store(&gate, true);
    wait_for(&holder);
}

static void
a_waiting_job_can_be_taken_back_a_running_one_cannot(void **state)
{
    struct lane lane = { .name = "narrow", .limit = 1 };
    _Atomic bool gate = false;
    struct counted holder, other;
    struct error *error = NULL;

    (void)state;
    prepare(&holder, &lane, &gate);
    prepare(&other, &lane, NULL);
    assert_true(workers_submit(fixture.workers, &holder.job, &error));
    assert_true(workers_submit(fixture.workers, &other.job, &error));
    assert_true(workers_cancel(fixture.workers, &other.job));
    assert_false(workers_cancel(fixture.workers, &holder.job));
    atomic_store(&gate, true);
    wait_for(&holder);
    assert_false(other.came_back);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lane_never_holds_more_threads_than_its_limit, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(two_lanes_run_beside_each_other, open_all, fixture_end),
        cmocka_unit_test_setup_teardown(however_many_lanes_are_stuck_another_goes_on, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(a_full_lane_answers_busy_with_when_to_come_back, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(a_stuck_lane_answers_busy_at_once, open_all, fixture_end),
        cmocka_unit_test_setup_teardown(a_waiting_job_can_be_taken_back_a_running_one_cannot,
                                        open_all, fixture_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
