/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "events/topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
a_pattern_matches_what_its_words_say(void **state)
{
    (void)state;
    assert_true(topic_matches("*", "task.ended"));
    assert_true(topic_matches("*", "a.b.c"));
    assert_true(topic_matches("task.ended", "task.ended"));
    assert_true(topic_matches("task.*", "task.ended"));
    assert_true(topic_matches("task.*", "task.a.b"));
    assert_true(topic_matches("*.changed", "image.changed"));
    assert_true(topic_matches("*.*", "image.changed"));
    assert_true(topic_matches("*.b.*", "a.b.c"));
}

static void
a_pattern_matches_nothing_else(void **state)
{
    static const char *const patterns[] = {
        "",     "task", "task.",        ".ended", "task.end",    "ended.*", "task.ended.",
        "tas*", "*.x",  "task.ended.*", "Task.*", "task..ended", "task.e*"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(patterns); i++)
        if (topic_matches(patterns[i], "task.ended"))
            fail_msg("'%s' matched", patterns[i]);
}

static void
a_mask_holds_each_topic_that_matches(void **state)
{
    uint64_t mask = topic_mask("task.*");

    (void)state;
    assert_int_equal(mask, UINT64_C(1) << topic_index("task.started") |
                               UINT64_C(1) << topic_index("task.progress") |
                               UINT64_C(1) << topic_index("task.ended"));
    assert_true(topic_mask("*") >> TOPIC_OTHER & 1);
    assert_int_equal(topic_mask("no.such"), 0);
    assert_int_equal(topic_index("no.such"), TOPIC_OTHER);
}

static void
every_topic_has_an_index_of_its_own(void **state)
{
    unsigned count = 0;

    (void)state;
    for (; topic_names[count]; count++)
        assert_int_equal(topic_index(topic_names[count]), count);
    assert_true(count >= 19 && count < TOPIC_OTHER);
}

static void
a_pattern_that_can_match_no_topic_is_refused(void **state)
{
    static const char *const patterns[] = {
        "", "task", "task.", "nothing.*", "*.*.*", "*.nothing"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(patterns); i++) {
        _cleanup_(error_freep) struct error *error = NULL;

        assert_false(topic_pattern_check(patterns[i], &error));
        assert_int_equal(error->code, ERROR_INVALID_PARAMS);
        assert_non_null(strstr(error->data, "\"topics\""));
    }
}

static void
a_pattern_that_can_match_is_accepted(void **state)
{
    static const char *const patterns[] = { "*", "task.*", "image.changed", "*.changed", "*.*" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(patterns); i++) {
        struct error *error = NULL;

        assert_true(topic_pattern_check(patterns[i], &error));
        assert_null(error);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_matches_what_its_words_say),
        cmocka_unit_test(a_pattern_matches_nothing_else),
        cmocka_unit_test(a_mask_holds_each_topic_that_matches),
        cmocka_unit_test(every_topic_has_an_index_of_its_own),
        cmocka_unit_test(a_pattern_that_can_match_no_topic_is_refused),
        cmocka_unit_test(a_pattern_that_can_match_is_accepted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
