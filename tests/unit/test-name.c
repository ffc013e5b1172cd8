/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/name.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
letters_digits_and_three_marks_make_a_name(void **state)
{
    char longest[NAME_LENGTH_MAX + 1];

    (void)state;
    memset(longest, 'n', NAME_LENGTH_MAX);
    longest[NAME_LENGTH_MAX] = '\0';
    assert_true(name_valid("a"));
    assert_true(name_valid("0"));
    assert_true(name_valid("Web-1.raw_2"));
    assert_true(name_valid("a..b"));
    assert_true(name_valid(longest));
}

static void
what_could_leave_a_folder_is_no_name(void **state)
{
    char too_long[NAME_LENGTH_MAX + 2];
    const char *const wrong[] = {
        "",    ".",   "..",   ".hidden", "-option",  "_x",        "a/b",   "/",     "../a",
        "a b", "a\n", "a\\b", "a:b",     "\xc3\xb6", "a\xc3\xb6", "a\x7f", "a\x01", too_long,
    };

    (void)state;
    memset(too_long, 'n', NAME_LENGTH_MAX + 1);
    too_long[NAME_LENGTH_MAX + 1] = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        if (name_valid(wrong[i]))
            fail_msg("'%s' passed", wrong[i]);
    assert_false(name_valid(NULL));
}

static void
a_wrong_name_is_an_error_that_names_its_parameter(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    assert_true(name_check("image", "web1", &err));
    assert_null(err);
    assert_false(name_check("image", "../etc", &err));
    assert_int_equal(err->code, ERROR_INVALID_PARAMS);
    assert_non_null(strstr(err->message, "parameter 'image' "));
    assert_non_null(strstr(err->data, "\"param\":\"image\""));
}

static void
assert_is_uuid(const char *text)
{
    assert_int_equal(strlen(text), UUID_TEXT_SIZE - 1);
    for (size_t i = 0; i < UUID_TEXT_SIZE - 1; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(text[i], '-');
        else
            assert_non_null(strchr("0123456789abcdef", text[i]));
}

static void
fresh_ids_differ(void **state)
{
    char one[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

    (void)state;
    uuid_make(one);
    uuid_make(other);
    assert_is_uuid(one);
    assert_is_uuid(other);
    assert_int_equal(one[14], '4');
    assert_string_not_equal(one, other);
}

static void
a_host_keeps_its_id_and_each_name_has_its_own(void **state)
{
    char one[UUID_TEXT_SIZE], again[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

    (void)state;
    uuid_of_host("a", one);
    uuid_of_host("a", again);
    uuid_of_host("b", other);
    assert_is_uuid(one);
    assert_int_equal(one[14], '5');
    assert_string_equal(one, again);
    assert_string_not_equal(one, other);
}

static void
utf8_is_told_from_what_is_none(void **state)
{
    static const struct {
        const char *bytes;
        bool valid;
    } cases[] = {
        { "", true },
        { "plain", true },
        { "sixteen letters.", true },
        { "sixteen letters\xff", false },
        { "sixteen l\xfftters.", false },
        { "\xc3\xb6", true },
        { "12345678\xe2\x82\xac", true },
        { "\xe2\x82\xac", true },
        { "\xf0\x9f\x98\x80", true },
        { "\xf4\x8f\xbf\xbf", true },
        { "\xed\x9f\xbf\xee\x80\x80", true },
        { "\x80", false },
        { "\xc3", false },
        { "\xe2\x82", false },
        { "\xf0\x9f\x98", false },
        { "\xc0\x80", false },
        { "\xc1\xbf", false },
        { "\xe0\x9f\xbf", false },
        { "\xf0\x8f\xbf\xbf", false },
        { "\xed\xa0\x80", false },
        { "\xed\xbf\xbf", false },
        { "\xf4\x90\x80\x80", false },
        { "\xf5\x80\x80\x80", false },
        { "\xc3(", false },
        { "\xe2(\xac", false },
        { "\xe2\x82(", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        if (utf8_valid(cases[i].bytes, strlen(cases[i].bytes)) != cases[i].valid)
            fail_msg("case %zu: '%s'", i, cases[i].bytes);
    assert_true(utf8_valid("a\0b", 3));
    assert_false(utf8_valid("\xe2\x82\xac", 2));
}

static void
the_first_character_is_measured(void **state)
{
    (void)state;
    assert_int_equal(utf8_character_size("", 0), 0);
    assert_int_equal(utf8_character_size("ab", 2), 1);
    assert_int_equal(utf8_character_size("\xc3\xb6z", 3), 2);
    assert_int_equal(utf8_character_size("\xe2\x82\xac", 3), 3);
    assert_int_equal(utf8_character_size("\xf0\x9f\x98\x80", 4), 4);
    assert_int_equal(utf8_character_size("\xf0\x9f\x98\x80", 3), 0);
    assert_int_equal(utf8_character_size("\xb6", 1), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_digits_and_three_marks_make_a_name),
        cmocka_unit_test(what_could_leave_a_folder_is_no_name),
        cmocka_unit_test(a_wrong_name_is_an_error_that_names_its_parameter),
        cmocka_unit_test(fresh_ids_differ),
        cmocka_unit_test(a_host_keeps_its_id_and_each_name_has_its_own),
        cmocka_unit_test(utf8_is_told_from_what_is_none),
        cmocka_unit_test(the_first_character_is_measured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
