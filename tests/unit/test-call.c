/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/unit/agent-fixture.h"

static void
a_call_has_no_rate_until_one_is_said(void **state)
{
    struct task task = { 0 };

    (void)state;
    assert_int_equal(call_rate(&task.call), 0);
    call_begin_rate(&task.call, 7);
    assert_int_equal(call_rate(&task.call), 7);
}

/* A resumed copy finds its recorded rate on a worker, some steps after it can be throttled. */
static void
what_a_throttle_says_stands_whenever_it_comes(void **state)
{
    static const uint64_t said[] = { 0, 5 };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(said); i++) {
        struct task before = { 0 }, after = { 0 };

        call_throttle(&before.call, said[i]);
        call_begin_rate(&before.call, 7);
        assert_int_equal(call_rate(&before.call), said[i]);
        call_begin_rate(&after.call, 7);
        call_throttle(&after.call, said[i]);
        assert_int_equal(call_rate(&after.call), said[i]);
    }
}

static void
a_throttle_can_be_changed_and_lifted_again(void **state)
{
    struct task task = { 0 };

    (void)state;
    call_throttle(&task.call, 9);
    call_throttle(&task.call, 0);
    assert_int_equal(call_rate(&task.call), 0);
    call_throttle(&task.call, 3);
    assert_int_equal(call_rate(&task.call), 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_has_no_rate_until_one_is_said),
        cmocka_unit_test(what_a_throttle_says_stands_whenever_it_comes),
        cmocka_unit_test(a_throttle_can_be_changed_and_lifted_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
