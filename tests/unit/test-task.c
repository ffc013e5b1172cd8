/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/unit/agent-fixture.h"

static const struct shape any_shape = { .name = "Any", .schema = "{}" };
static unsigned runs;

static enum outcome
wait_once(struct call *call)
{
    if (call_attempts(call) == 1)
        return call_wait(call, "go", 0, "for go");
    runs++;
    writer_string(call_result(call), "went");
    return call_complete(call, NULL);
}

static enum outcome
run_now(struct call *call)
{
    runs++;
    writer_string(call_result(call), "now");
    return call_complete(call, NULL);
}

static const struct verb waits = { .name = "test.waits",
                                   .kind = VERB_CHANGES,
                                   .role = ROLE_VIEWER,
                                   .result = &any_shape,
                                   .steps = STEPS({ "wait", wait_once, .pool = POOL_LOOP }) };
static const struct verb changes = { .name = "test.changes",
                                     .kind = VERB_CHANGES,
                                     .role = ROLE_VIEWER,
                                     .result = &any_shape,
                                     .steps = STEPS({ "run", run_now, .pool = POOL_LOOP }) };
static enum outcome
fail_then(struct call *call)
{
    struct error *error = NULL;

    error_set(&error, ERROR_NO_SPACE, "full");
    return call_fail(call, error);
}

static const struct verb half = { .name = "test.half",
                                  .kind = VERB_CHANGES,
                                  .role = ROLE_VIEWER,
                                  .result = &any_shape,
                                  .steps = STEPS({ "run", run_now, .pool = POOL_LOOP },
                                                 { "fail", fail_then, .pool = POOL_LOOP }) };
static const struct verb reads = { .name = "test.reads",
                                   .kind = VERB_READS,
                                   .role = ROLE_VIEWER,
                                   .result = &any_shape,
                                   .steps = STEPS({ "run", run_now, .pool = POOL_LOOP }) };

static int
open_all(void **state)
{
    runs = 0;
    return fixture_begin(state);
}

static void
an_id_in_use_is_refused_with_its_holder_and_nothing_is_done(void **state)
{
    struct answered first = { 0 }, second = { 0 };

    (void)state;
    fixture_start(&waits, "id", NULL, false, &first);
    fixture_start(&changes, "id", NULL, false, &second);
    assert_int_equal(second.error->code, ERROR_TASK_ID_IN_USE);
    assert_non_null(strstr(second.error->data, "\"task\":{\"task\":\"id\""));
    assert_int_equal(second.ends, 1);
    assert_int_equal(runs, 0);
    task_wake(&fixture, "go");
    assert_string_equal(first.result, "\"went\"");
    answered_done(&first);
    answered_done(&second);
}

static void
a_read_conflicts_too_but_leaves_no_trace(void **state)
{
    struct answered first = { 0 }, second = { 0 }, third = { 0 };
    uint64_t newest;

    (void)state;
    fixture_start(&waits, "id", NULL, false, &first);
    newest = ring_newest(fixture.ring);
    fixture_start(&reads, "id", NULL, false, &second);
    assert_int_equal(second.error->code, ERROR_TASK_ID_IN_USE);
    fixture_start(&reads, "other", NULL, false, &third);
    assert_string_equal(third.result, "\"now\"");
    assert_int_equal(ring_newest(fixture.ring), newest);
    assert_int_equal(task_count_remembered(&fixture), 0);
    task_wake(&fixture, "go");
    answered_done(&first);
    answered_done(&second);
    answered_done(&third);
}

static void
an_id_is_free_when_its_task_has_ended_and_names_the_newer_one(void **state)
{
    struct answered first = { 0 }, second = { 0 };

    (void)state;
    fixture_start(&changes, "id", NULL, false, &first);
    fixture_start(&changes, "id", NULL, false, &second);
    assert_string_equal(second.result, "\"now\"");
    assert_int_equal(task_count_remembered(&fixture), 1);
    assert_int_equal(runs, 2);
    answered_done(&first);
    answered_done(&second);
}

static void
once_joins_a_running_task_and_repeats_an_ended_one(void **state)
{
    struct answered first = { 0 }, second = { 0 }, third = { 0 };

    (void)state;
    fixture_start(&waits, "id", NULL, true, &first);
    fixture_start(&waits, "id", NULL, true, &second);
    assert_int_equal(second.answers, 0);
    task_wake(&fixture, "go");
    assert_int_equal(first.answers, 1);
    assert_string_equal(second.result, "\"went\"");
    assert_int_equal(second.ends, 1);
    fixture_start(&waits, "id", NULL, true, &third);
    assert_string_equal(third.result, "\"went\"");
    assert_int_equal(runs, 1);
    answered_done(&first);
    answered_done(&second);
    answered_done(&third);
}

static void
a_number_of_one_connection_is_not_that_of_another(void **state)
{
    struct answered answered[2] = { 0 };

    (void)state;
    for (uint64_t i = 0; i < 2; i++) {
        struct task_request request = { .verb = &waits,
                                        .key = { .connection = i + 1, .text = "7", .length = 1 },
                                        .caller = "uid:0",
                                        .answer = fixture_answer,
                                        .ended = fixture_ended,
                                        .answer_context = &answered[i] };

        task_start(&fixture, &request);
    }
    assert_int_equal(task_count_active(&fixture), 2);
    assert_status_has("1:7", "\"task\":\"1:7\"");
    assert_status_has("2:7", "\"task\":\"2:7\"");
    task_wake(&fixture, "go");
    assert_int_equal(answered[0].ends + answered[1].ends, 2);
    answered_done(&answered[0]);
    answered_done(&answered[1]);
}

static void
who_joins_counts_as_one_that_runs(void **state)
{
    struct answered first = { 0 }, second = { 0 }, third = { 0 }, fourth = { 0 };

    (void)state;
    fixture_config.limits.active_tasks = 2;
    fixture_start(&waits, "a", NULL, false, &first);
    fixture_start(&waits, "a", NULL, true, &second);
    fixture_start(&waits, "a", NULL, true, &third);
    assert_int_equal(third.error->code, ERROR_LIMIT_EXCEEDED);
    assert_non_null(strstr(third.error->data, "\"limit\":\"activeTasks\",\"max\":2"));
    task_wake(&fixture, "go");
    assert_string_equal(second.result, "\"went\"");
    fixture_start(&waits, "b", NULL, false, &fourth);
    assert_null(fourth.error);
    task_wake(&fixture, "go");
    answered_done(&first);
    answered_done(&second);
    answered_done(&third);
    answered_done(&fourth);
}

static void
too_many_tasks_are_refused_with_the_limit(void **state)
{
    struct answered first = { 0 }, second = { 0 };

    (void)state;
    fixture_config.limits.active_tasks = 1;
    fixture_start(&waits, "a", NULL, false, &first);
    fixture_start(&waits, "b", NULL, false, &second);
    assert_int_equal(second.error->code, ERROR_LIMIT_EXCEEDED);
    task_wake(&fixture, "go");
    answered_done(&first);
    answered_done(&second);
}

static void
a_task_without_a_name_gets_a_fresh_uuid(void **state)
{
    struct answered answered = { 0 };
    const struct event *event;

    (void)state;
    fixture_start(&changes, NULL, NULL, false, &answered);
    event = ring_get(fixture.ring, 1);
    assert_int_equal(strlen(event->subject), UUID_TEXT_SIZE - 1);
    answered_done(&answered);
}

/* What a ping costs beside its transport: printed, not asserted. */
static void
a_read_that_never_waits_is_cheap(void **state)
{
    struct answered answered = { 0 };
    int64_t begun = clock_monotonic_ns();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        struct task_request request = { .verb = &reads,
                                        .key = { .text = "ping", .length = 4 },
                                        .caller = "uid:0",
                                        .ended = fixture_ended,
                                        .answer_context = &answered };

        task_start(&fixture, &request);
    }
    print_message("%lld ns a read\n", (long long)(clock_monotonic_ns() - begun) / 100000);
    assert_int_equal(answered.ends, 100000);
}

static void
a_failed_call_has_no_result_and_once_repeats_its_error(void **state)
{
    struct answered first = { 0 }, again = { 0 };

    (void)state;
    fixture_start(&half, "id", NULL, false, &first);
    assert_int_equal(first.error->code, ERROR_NO_SPACE);
    assert_status_has("id", "\"result\":null");
    fixture_start(&half, "id", NULL, true, &again);
    assert_null(again.result);
    assert_int_equal(again.error->code, ERROR_NO_SPACE);
    assert_int_equal(runs, 1);
    answered_done(&first);
    answered_done(&again);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_id_in_use_is_refused_with_its_holder_and_nothing_is_done,
                                        open_all, fixture_end),
        cmocka_unit_test_setup_teardown(a_read_conflicts_too_but_leaves_no_trace, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(
            an_id_is_free_when_its_task_has_ended_and_names_the_newer_one, open_all, fixture_end),
        cmocka_unit_test_setup_teardown(a_failed_call_has_no_result_and_once_repeats_its_error,
                                        open_all, fixture_end),
        cmocka_unit_test_setup_teardown(once_joins_a_running_task_and_repeats_an_ended_one,
                                        open_all, fixture_end),
        cmocka_unit_test_setup_teardown(a_number_of_one_connection_is_not_that_of_another, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(who_joins_counts_as_one_that_runs, open_all, fixture_end),
        cmocka_unit_test_setup_teardown(too_many_tasks_are_refused_with_the_limit, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(a_task_without_a_name_gets_a_fresh_uuid, open_all,
                                        fixture_end),
        cmocka_unit_test_setup_teardown(a_read_that_never_waits_is_cheap, open_all, fixture_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
