/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/follow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static json_t *
json_of(const char *text)
{
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

    if (!value)
        fail_msg("no JSON: %s", text);
    return value;
}

static json_t *
make_follow(void)
{
    return json_of(
        "{\"query\":\"volume.operations\",\"param\":\"volume\",\"items\":\"operations\","
        "\"key\":\"operation\",\"status\":\"status\",\"running\":[\"running\",\"pending\"],"
        "\"done\":[\"completed\"],\"progress\":\"files\",\"left\":\"timeLeftSeconds\"}");
}

static void
only_what_was_begun_is_followed(void **state)
{
    json_t *follow = make_follow(), *begun = json_of("{\"operation\":\"one\"}");
    json_t *all_done = json_of("{\"operation\":null}");
    const struct command with = { .follow = follow }, without = { 0 };

    (void)state;
    assert_true(follow_is_needed(&with, begun));
    assert_false(follow_is_needed(&with, all_done));
    assert_false(follow_is_needed(&with, NULL));
    assert_false(follow_is_needed(&without, begun));
    json_decref(all_done);
    json_decref(begun);
    json_decref(follow);
}

static void
the_verbs_own_words_tell_the_end(void **state)
{
    json_t *follow = make_follow();

    (void)state;
    assert_int_equal(follow_judge(follow, "running"), FOLLOW_GOES_ON);
    assert_int_equal(follow_judge(follow, "pending"), FOLLOW_GOES_ON);
    assert_int_equal(follow_judge(follow, "completed"), FOLLOW_DONE);
    assert_int_equal(follow_judge(follow, "stopped"), FOLLOW_FAILED);
    assert_int_equal(follow_judge(follow, ""), FOLLOW_FAILED);
    json_decref(follow);
}

static void
the_item_is_the_one_that_was_begun(void **state)
{
    json_t *follow = make_follow(), *answer = json_of("{\"volume\":\"gv0\",\"operation\":\"two\"}");
    json_t *result = json_of("{\"operations\":[{\"operation\":\"one\",\"files\":1},"
                             "{\"operation\":\"two\",\"files\":2}]}");
    json_t *other = json_of("{\"operations\":[{\"operation\":\"one\",\"files\":1}]}");

    (void)state;
    assert_int_equal(
        json_integer_value(json_object_get(follow_find(follow, result, answer), "files")), 2);
    assert_null(follow_find(follow, other, answer));
    assert_null(follow_find(follow, answer, answer));
    json_decref(other);
    json_decref(result);
    json_decref(answer);
    json_decref(follow);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_begun_is_followed),
        cmocka_unit_test(the_verbs_own_words_tell_the_end),
        cmocka_unit_test(the_item_is_the_one_that_was_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
