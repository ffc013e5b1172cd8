/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/unit/agent-fixture.h"

static const struct shape any_shape = { .name = "Any", .schema = "{}" };

/* What the steps of these tests do, and did. */
struct script {
    enum outcome outcomes[8]; /* of the first step, by attempt */
    char trace[256];          /* letters of the steps, in the order in which they ran */
    unsigned released;
    bool spin; /* the worker's step waits for an abort */
    bool skip, leave;
    bool hold; /* the last step waits once, and shows so */
    _Atomic bool running;
};

static struct script script;

static void
trace(const char *letter)
{
    strncat(script.trace, letter, sizeof(script.trace) - strlen(script.trace) - 1);
}

static enum outcome
first(struct call *call)
{
    struct error *error = NULL;

    trace("1");
    switch (script.outcomes[call_attempts(call) - 1]) {
    case OUTCOME_FAIL: error_set(&error, ERROR_NO_SPACE, "full"); return call_fail(call, error);
    case OUTCOME_RETRY: return call_retry(call, 1, "once more");
    case OUTCOME_WAIT: return call_wait(call, "key", 0, "for the key");
    default: return call_complete(call, "made %d", 1);
    }
}

static enum outcome
second(struct call *call)
{
    trace("2");
    writer_string(call_result(call), "early");
    return call_complete(call, NULL);
}

static enum outcome
third(struct call *call)
{
    struct error *error = NULL;

    trace("3");
    if (script.hold && call_attempts(call) == 1) {
        writer_string(call_result(call), "under way");
        return call_wait(call, "key", 0, "for the key");
    }
    atomic_store(&script.running, true);
    while (script.spin && !call_aborted(call))
        ;
    if (call_aborted(call)) {
        error_set(&error, ERROR_TASK_ABORTED, "stopped");
        return call_fail(call, error);
    }
    call_progress(call, 5, 10, "bytes");
    writer_string(call_result(call), "late");
    return call_complete(call, NULL);
}

static enum outcome
mend(struct call *call)
{
    trace(call_error(call) ? "F" : "?");
    return call_complete(call, NULL);
}

static enum outcome
always(struct call *call)
{
    trace("A");
    return call_complete(call, NULL);
}

static bool
do_not_skip(const struct call *call)
{
    (void)call;
    return !script.skip;
}

static bool
leaves(const struct call *call)
{
    (void)call;
    return script.leave;
}

static void
released(struct call *call)
{
    (void)call;
    script.released++;
}

#define LONG_VERB(pool_of_steps)                                                                   \
    {                                                                                              \
        .name = "test.long", .summary = "A test.", .role = ROLE_VIEWER,                            \
        .kind = VERB_ANSWERS_EARLY, .result = &any_shape, .state_size = 8, .state_done = released, \
        .steps = STEPS({ "first", first, .pool = (pool_of_steps) },                                \
                       { "second", second, .pool = (pool_of_steps), .responds = true,              \
                         .only_if = do_not_skip },                                                 \
                       { "third", third, .pool = (pool_of_steps), .break_if = leaves },            \
                       { "mend", mend, .pool = (pool_of_steps), .when = ON_FAILURE },              \
                       { "always", always, .pool = (pool_of_steps), .when = ALWAYS })              \
    }

static const struct verb on_loop = LONG_VERB(POOL_LOOP);
static const struct verb on_worker = LONG_VERB(POOL_REPOSITORY);

static int
open_all(void **state)
{
    memset(&script, 0, sizeof(script));
    for (size_t i = 0; i < ARRAY_COUNT(script.outcomes); i++)
        script.outcomes[i] = OUTCOME_COMPLETE;
    return fixture_begin(state);
}

static void
check_good_run(const struct verb *verb)
{
    struct answered answered = { 0 };

    fixture_start(verb, "t", NULL, false, &answered);
    fixture_wait(&answered);
    assert_string_equal(script.trace, "123A");
    assert_string_equal(answered.result, "\"early\"");
    assert_int_equal(answered.answers, 1);
    assert_int_equal(script.released, 1);
    assert_status_has("t", "\"status\":\"done\"");
    assert_status_has(
        "t", "{\"name\":\"first\",\"outcome\":\"complete\",\"message\":\"made 1\",\"attempts\":1");
    assert_status_has("t", "{\"name\":\"mend\",\"outcome\":\"skipped\"}");
    assert_status_has("t", "\"result\":\"late\"");
    answered_done(&answered);
}

static void
steps_run_in_order_and_the_marked_one_answers(void **state)
{
    (void)state;
    check_good_run(&on_loop);
}

static void
steps_on_workers_run_in_order_and_the_marked_one_answers(void **state)
{
    (void)state;
    check_good_run(&on_worker);
}

static void
check_failure(const struct verb *verb)
{
    struct answered answered = { 0 };

    script.outcomes[0] = OUTCOME_FAIL;
    fixture_start(verb, "t", NULL, false, &answered);
    fixture_wait(&answered);
    assert_string_equal(script.trace, "1FA");
    assert_int_equal(answered.error->code, ERROR_NO_SPACE);
    assert_int_equal(script.released, 1);
    assert_status_has("t", "\"status\":\"failed\"");
    assert_status_has("t", "{\"name\":\"second\",\"outcome\":\"not run\"}");
    answered_done(&answered);
}

static void
a_failure_runs_the_failure_steps_only_and_is_answered(void **state)
{
    (void)state;
    check_failure(&on_loop);
}

static void
a_failure_on_a_worker_runs_the_failure_steps_only_and_is_answered(void **state)
{
    (void)state;
    check_failure(&on_worker);
}

static void
a_retry_runs_the_step_again_after_its_delay(void **state)
{
    struct answered answered = { 0 };

    (void)state;
    script.outcomes[0] = script.outcomes[1] = OUTCOME_RETRY;
    fixture_start(&on_worker, "t", NULL, false, &answered);
    fixture_wait(&answered);
    assert_string_equal(script.trace, "11123A");
    assert_status_has("t", "\"attempts\":3");
    answered_done(&answered);
}

static void
a_waiting_step_runs_again_when_its_key_is_woken(void **state)
{
    struct answered answered = { 0 };

    (void)state;
    script.outcomes[0] = OUTCOME_WAIT;
    fixture_start(&on_loop, "t", NULL, false, &answered);
    assert_int_equal(answered.ends, 0);
    assert_status_has("t", "{\"name\":\"first\",\"outcome\":\"wait\",\"message\":\"for the key\"");
    task_wake(&fixture, "another");
    assert_string_equal(script.trace, "1");
    task_wake(&fixture, "key");
    assert_string_equal(script.trace, "1123A");
    assert_int_equal(answered.ends, 1);
    answered_done(&answered);
}

static void
what_a_step_shows_while_it_waits_behind_the_answer_is_told(void **state)
{
    struct answered answered = { 0 };

    (void)state;
    script.hold = true;
    fixture_start(&on_loop, "t", NULL, false, &answered);
    assert_string_equal(answered.result, "\"early\"");
    assert_status_has("t", "\"result\":\"under way\"");
    task_wake(&fixture, "key");
    fixture_wait(&answered);
    assert_string_equal(script.trace, "1233A");
    assert_status_has("t", "\"result\":\"late\"");
    answered_done(&answered);
}

static void
a_step_whose_condition_fails_is_reported_as_skipped(void **state)
{
    struct answered answered = { 0 };

    (void)state;
    script.skip = true;
    fixture_start(&on_loop, "t", NULL, false, &answered);
    fixture_wait(&answered);
    assert_string_equal(script.trace, "13A");
    assert_string_equal(answered.result, "\"late\"");
    assert_status_has("t", "{\"name\":\"second\",\"outcome\":\"skipped\"}");
    answered_done(&answered);
}

static void
a_run_that_breaks_off_is_done_and_still_runs_what_always_runs(void **state)
{
    struct answered answered = { 0 };

    (void)state;
    script.leave = true;
    fixture_start(&on_worker, "t", NULL, false, &answered);
    fixture_wait(&answered);
    assert_string_equal(script.trace, "12A");
    assert_status_has("t", "\"status\":\"done\"");
    assert_status_has("t", "{\"name\":\"third\",\"outcome\":\"not run\"}");
    answered_done(&answered);
}

static struct task *
find(const char *id)
{
    return task_find(fixture.tasks, &(struct task_key){ .text = id, .length = strlen(id) });
}

static void
an_aborted_waiting_task_ends_at_once_through_its_failure_steps(void **state)
{
    struct answered answered = { 0 };

    (void)state;
    script.outcomes[0] = OUTCOME_WAIT;
    fixture_start(&on_loop, "t", NULL, false, &answered);
    task_abort(find("t"));
    assert_int_equal(answered.ends, 1);
    assert_string_equal(script.trace, "1FA");
    assert_int_equal(answered.error->code, ERROR_TASK_ABORTED);
    assert_status_has("t", "\"status\":\"aborted\"");
    answered_done(&answered);
}

static void
an_aborted_retrying_task_does_not_run_the_step_again(void **state)
{
    struct answered answered = { 0 };

    (void)state;
    script.outcomes[0] = OUTCOME_RETRY;
    fixture_start(&on_loop, "t", NULL, false, &answered);
    task_abort(find("t"));
    assert_int_equal(answered.ends, 1);
    assert_string_equal(script.trace, "1FA");
    answered_done(&answered);
}

static void
an_aborted_running_step_is_told_and_the_task_was_answered_before(void **state)
{
    struct answered answered = { 0 };

    (void)state;
    script.spin = true;
    fixture_start(&on_worker, "t", NULL, false, &answered);
    while (!atomic_load(&script.running))
        loop_turn(fixture.loop, false);
    assert_int_equal(answered.answers, 1);
    task_abort(find("t"));
    assert_status_has("t", "\"status\":\"aborting\"");
    fixture_wait(&answered);
    assert_string_equal(script.trace, "123FA");
    assert_status_has("t", "\"status\":\"aborted\"");
    assert_int_equal(script.released, 1);
    answered_done(&answered);
}

static void
events_tell_the_start_the_progress_and_the_end_in_order(void **state)
{
    struct answered answered = { 0 };
    uint64_t seq = 1;

    (void)state;
    fixture_start(&on_worker, "t", NULL, false, &answered);
    fixture_wait(&answered);
    assert_string_equal(ring_get(fixture.ring, seq)->topic, "task.started");
    assert_string_equal(ring_get(fixture.ring, seq + 1)->topic, "task.progress");
    assert_string_equal(ring_get(fixture.ring, seq + 2)->topic, "task.ended");
    assert_string_equal(ring_get(fixture.ring, seq + 2)->subject, "t");
    assert_int_equal(ring_newest(fixture.ring), 3);
    answered_done(&answered);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_run_in_order_and_the_marked_one_answers, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(steps_on_workers_run_in_order_and_the_marked_one_answers,
                                        open_all, fixture_end),
        cmocka_unit_test_setup_teardown(a_failure_runs_the_failure_steps_only_and_is_answered,
                                        open_all, fixture_end),
        cmocka_unit_test_setup_teardown(
            a_failure_on_a_worker_runs_the_failure_steps_only_and_is_answered, open_all,
            fixture_end),
        cmocka_unit_test_setup_teardown(a_retry_runs_the_step_again_after_its_delay, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(a_waiting_step_runs_again_when_its_key_is_woken, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(what_a_step_shows_while_it_waits_behind_the_answer_is_told,
                                        open_all, fixture_end),
        cmocka_unit_test_setup_teardown(a_step_whose_condition_fails_is_reported_as_skipped,
                                        open_all, fixture_end),
        cmocka_unit_test_setup_teardown(
            a_run_that_breaks_off_is_done_and_still_runs_what_always_runs, open_all, fixture_end),
        cmocka_unit_test_setup_teardown(
            an_aborted_waiting_task_ends_at_once_through_its_failure_steps, open_all, fixture_end),
        cmocka_unit_test_setup_teardown(an_aborted_retrying_task_does_not_run_the_step_again,
                                        open_all, fixture_end),
        cmocka_unit_test_setup_teardown(
            an_aborted_running_step_is_told_and_the_task_was_answered_before, open_all,
            fixture_end),
        cmocka_unit_test_setup_teardown(events_tell_the_start_the_progress_and_the_end_in_order,
                                        open_all, fixture_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
