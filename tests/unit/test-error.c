/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/error.h"

#include <errno.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
setting_returns_false_and_carries_code_and_text(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    assert_false(error_set(&err, ERROR_IMAGE_IN_USE, "image '%s' is held by %d", "a", 7));
    assert_int_equal(err->code, ERROR_IMAGE_IN_USE);
    assert_string_equal(err->message, "image 'a' is held by 7");
    assert_null(err->data);
}

static void
error_numbers_are_told_in_words(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_(error_freep) struct error *strange = NULL;

    (void)state;
    assert_false(error_errno(&err, ERROR_BACKEND_FAILED, EIO, "cannot read '%s'", "x"));
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    assert_string_equal(err->message, "cannot read 'x': Input/output error");
    assert_false(error_errno(&strange, ERROR_BACKEND_FAILED, 99999, "cannot"));
    assert_string_equal(strange->message, "cannot: error number 99999");
}

static void
a_full_disk_or_quota_is_no_space_whatever_was_asked(void **state)
{
    const int full[] = { ENOSPC, EDQUOT };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(full); i++) {
        _cleanup_(error_freep) struct error *err = NULL;

        assert_false(error_errno(&err, ERROR_BACKEND_FAILED, full[i], "cannot write"));
        assert_int_equal(err->code, ERROR_NO_SPACE);
    }
}

static void
a_file_server_that_is_away_is_an_unavailable_repository(void **state)
{
    const int away[] = { ETIMEDOUT, ESTALE };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(away); i++) {
        _cleanup_(error_freep) struct error *err = NULL, *other = NULL;

        assert_false(error_errno(&err, ERROR_BACKEND_FAILED, away[i], "cannot write"));
        assert_int_equal(err->code, ERROR_REPOSITORY_UNAVAILABLE);
        assert_false(error_errno(&other, ERROR_IMAGE_BROKEN, away[i], "cannot read"));
        assert_int_equal(other->code, ERROR_IMAGE_BROKEN);
    }
}

static void
wrapping_puts_text_in_front_and_keeps_code_and_data(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    error_set(&err, ERROR_NOT_FOUND, "there is no 'b'");
    error_data_text(&err, "name", "b");
    assert_false(error_wrap(&err, "cannot copy '%s'", "a"));
    assert_int_equal(err->code, ERROR_NOT_FOUND);
    assert_string_equal(err->message, "cannot copy 'a': there is no 'b'");
    assert_string_equal(err->data, "\"name\":\"b\"");
}

static void
data_members_are_json_in_the_order_they_came(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    error_set(&err, ERROR_BACKEND_FAILED, "it failed");
    assert_false(error_data_text(&err, "text", "a \"quoted\"\n%s", "line\xff"));
    assert_false(error_data_number(&err, "code", INT64_MIN));
    assert_false(error_data_json(&err, "holder", "{\"host\":[1,2]}"));
    assert_false(error_data_json(&err, "nobody", NULL));
    assert_string_equal(err->data, "\"text\":\"a \\\"quoted\\\"\\nline\xef\xbf\xbd\","
                                   "\"code\":-9223372036854775808,"
                                   "\"holder\":{\"host\":[1,2]},\"nobody\":null");
}

static void
a_wrong_parameter_is_named_in_text_and_data(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    assert_false(error_param(&err, "size", "must be at most %d", 10));
    assert_int_equal(err->code, ERROR_INVALID_PARAMS);
    assert_string_equal(err->message, "parameter 'size' must be at most 10");
    assert_string_equal(err->data, "\"param\":\"size\",\"reason\":\"must be at most 10\"");
}

static void
a_copy_shares_nothing(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_(error_freep) struct error *copy = NULL;

    (void)state;
    error_set(&err, ERROR_TIMEOUT, "late");
    error_data_number(&err, "ms", 5);
    copy = error_copy(err);
    error_wrap(&err, "too");
    assert_int_equal(copy->code, ERROR_TIMEOUT);
    assert_string_equal(copy->message, "late");
    assert_string_equal(copy->data, "\"ms\":5");
}

static void
codes_and_names_of_the_table_are_unique(void **state)
{
    unsigned count = 0;

    (void)state;
    while (error_code_at(count) != ERROR_NONE)
        count++;
    assert_true(count > 30);
    for (unsigned i = 0; i < count; i++) {
        assert_true(strlen(error_code_meaning(error_code_at(i))) > 0);
        for (unsigned k = 0; k < i; k++) {
            assert_int_not_equal(error_code_at(i), error_code_at(k));
            assert_string_not_equal(error_code_name(error_code_at(i)),
                                    error_code_name(error_code_at(k)));
        }
    }
    assert_int_equal(error_code_at(count + 1000), ERROR_NONE);
}

static void
a_code_that_is_not_in_the_table_is_an_internal_error(void **state)
{
    (void)state;
    assert_string_equal(error_code_name((enum error_code)4711), "InternalError");
    assert_non_null(error_code_meaning((enum error_code)4711));
    assert_string_equal(error_code_name(ERROR_PARSE), "ParseError");
}

static void
freeing_nothing_is_allowed(void **state)
{
    (void)state;
    error_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_returns_false_and_carries_code_and_text),
        cmocka_unit_test(error_numbers_are_told_in_words),
        cmocka_unit_test(a_full_disk_or_quota_is_no_space_whatever_was_asked),
        cmocka_unit_test(a_file_server_that_is_away_is_an_unavailable_repository),
        cmocka_unit_test(wrapping_puts_text_in_front_and_keeps_code_and_data),
        cmocka_unit_test(data_members_are_json_in_the_order_they_came),
        cmocka_unit_test(a_wrong_parameter_is_named_in_text_and_data),
        cmocka_unit_test(a_copy_shares_nothing),
        cmocka_unit_test(codes_and_names_of_the_table_are_unique),
        cmocka_unit_test(a_code_that_is_not_in_the_table_is_an_internal_error),
        cmocka_unit_test(freeing_nothing_is_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
