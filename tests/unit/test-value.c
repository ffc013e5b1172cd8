/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each type of parameter: what it takes, and what it says of what it does not take.
 */
#include <config.h>

#include "rpc/value.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static const char *reason; /* of the last refusal */

static bool
take(const struct param *param, const char *json, void *member)
{
    static char kept[512];
    _cleanup_(error_freep) struct error *error = NULL;
    char *copy = xstrndup(json, strlen(json)); /* a sanitizer sees reads beyond it, but for one */
    bool taken = value_take(param, (struct slice){ copy, strlen(json) }, member, &error);
    char *found;

    free(copy);
    reason = NULL;
    if (taken)
        return true;
    assert_int_equal(error->code, ERROR_INVALID_PARAMS);
    assert_non_null(strstr(error->data, "\"param\":\"p\""));
    found = strstr(error->data, "\"reason\":\"");
    assert_non_null(found);
    (void)snprintf(kept, sizeof(kept), "%s", found + strlen("\"reason\":\""));
    kept[strlen(kept) - 1] = '\0';
    reason = kept;
    return false;
}

static void
assert_refused(const struct param *param, const char *json, const char *expected)
{
    void *members[4] = { NULL };

    if (take(param, json, members))
        fail_msg("'%s' was taken", json);
    if (!strstr(reason, expected))
        fail_msg("'%s' was refused as '%s', not as '%s'", json, reason, expected);
    assert_null(members[0]);
}

static void
assert_text(const struct param *param, const char *json, const char *expected)
{
    char *text = NULL;

    if (!take(param, json, &text))
        fail_msg("'%s': %s", json, reason);
    assert_string_equal(text, expected);
    free(text);
}

static void
names_are_checked(void **state)
{
    const struct param name = { .name = "p", .type = PARAM_NAME };
    static const char *const wrong[] = { "\"\"",    "\"a/b\"", "\"..\"",      "\".a\"",
                                         "\"a b\"", "\"-a\"",  "\"\xc3\xa9\"" };
    struct text longest = TEXT_INIT;

    (void)state;
    assert_text(&name, "\"web1\"", "web1");
    assert_text(&name, "\"w\\u0065b1\"", "web1");
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        assert_refused(&name, wrong[i], "");
    assert_refused(&name, "\"a\\u0000b\"", "must hold no NUL character");
    assert_refused(&name, "7", "must be a string, not a number");
    assert_refused(&name, "null", "must be a string, not null");
    text_printf(&longest, "\"%0128d\"", 1);
    assert_int_equal(longest.length, 130);
    text_clear(&longest);
    text_printf(&longest, "\"%0129d\"", 1);
    assert_refused(&name, longest.bytes, "");
    text_done(&longest);
}

static void
texts_have_bounds_in_bytes(void **state)
{
    const struct param text = { .name = "p", .type = PARAM_TEXT, .minimum = 2, .maximum = 4 };
    const struct param one = { .name = "p", .type = PARAM_TEXT, .minimum = 1 };

    (void)state;
    assert_text(&text, "\"ab\"", "ab");
    assert_text(&text, "\"\xc3\xa9\\u00e9\"", "\xc3\xa9\xc3\xa9");
    assert_refused(&text, "\"a\"", "must be at least 2 bytes long");
    assert_refused(&text, "\"abcde\"", "must be at most 4 bytes long");
    assert_refused(&text, "{}", "must be a string, not an object");
    assert_refused(&one, "\"\"", "must be at least 1 byte long");
}

static void
text_has_4096_bytes_at_most_where_the_table_says_nothing(void **state)
{
    const struct param param = { .name = "p", .type = PARAM_TEXT };
    struct text text = TEXT_INIT;
    char *member = NULL;

    (void)state;
    text_printf(&text, "\"%04096d\"", 1);
    assert_true(take(&param, text.bytes, &member));
    assert_int_equal(strlen(member), 4096);
    free(member);
    text_clear(&text);
    text_printf(&text, "\"%04097d\"", 1);
    assert_refused(&param, text.bytes, "must be at most 4096 bytes long");
    text_done(&text);
}

static void
paths_are_absolute(void **state)
{
    const struct param path = { .name = "p", .type = PARAM_PATH };
    struct text text = TEXT_INIT;

    (void)state;
    assert_text(&path, "\"/a b\"", "/a b");
    assert_text(&path, "\"\\/a\"", "/a");
    assert_refused(&path, "\"a\"", "must be an absolute path");
    assert_refused(&path, "\"\"", "must be an absolute path");
    assert_refused(&path, "\"/a\\u0000\"", "NUL");
    text_printf(&text, "\"/%04095d\"", 1);
    assert_refused(&path, text.bytes, "must be at most 4095 bytes long");
    text_done(&text);
}

static void
tasks_are_strings_or_numbers(void **state)
{
    const struct param task = { .name = "p", .type = PARAM_TASK };
    struct task_reference reference = { 0 };

    (void)state;
    assert_true(take(&task, "\"7\"", &reference));
    assert_string_equal(reference.text, "7");
    assert_false(reference.number);
    free(reference.text);
    assert_true(take(&task, "1.50", &reference));
    assert_string_equal(reference.text, "1.50");
    assert_true(reference.number);
    free(reference.text);
    assert_refused(&task, "{}", "must be a task's id: a string or a number, not an object");
    assert_refused(&task, "null", "not null");
}

static void
sizes_are_integers_of_bytes_in_range(void **state)
{
    const struct param size = { .name = "p", .type = PARAM_SIZE, .minimum = 1 };
    const struct param small = { .name = "p", .type = PARAM_SIZE, .maximum = 10 };
    uint64_t value = 0;

    (void)state;
    assert_true(take(&size, "9223372036854775807", &value));
    assert_true(value == INT64_MAX);
    assert_true(take(&small, "-0", &value));
    assert_true(value == 0);
    assert_refused(&size, "0", "must be at least 1");
    assert_refused(&size, "-1", "must be at least 1");
    assert_refused(&size, "9223372036854775808", "must be at most 9223372036854775807");
    assert_refused(&size, "99999999999999999999999999999999",
                   "must be at most 9223372036854775807");
    assert_refused(&size, "-99999999999999999999999999999999", "must be at least 1");
    assert_refused(&small, "11", "must be at most 10");
    assert_refused(&size, "\"10G\"", "must be an integer of bytes, not a string");
    assert_refused(&size, "1.0", "must be an integer of bytes, written without a point");
    assert_refused(&size, "1e3", "without a point or an exponent");
    assert_refused(&size, "true", "must be an integer of bytes, not a boolean");
}

static void
integers_are_in_range(void **state)
{
    const struct param any = { .name = "p", .type = PARAM_INTEGER };
    const struct param bounded = {
        .name = "p", .type = PARAM_INTEGER, .minimum = -5, .maximum = 5
    };
    int64_t value = 0;

    (void)state;
    assert_true(take(&any, "-9223372036854775808", &value));
    assert_true(value == INT64_MIN);
    assert_true(take(&bounded, "-5", &value));
    assert_true(value == -5);
    assert_refused(&any, "-9223372036854775809", "must be at least -9223372036854775808");
    assert_refused(&bounded, "-6", "must be at least -5");
    assert_refused(&bounded, "6", "must be at most 5");
    assert_refused(&bounded, "[]", "must be an integer, not an array");
}

static void
booleans_are_no_numbers(void **state)
{
    const struct param flag = { .name = "p", .type = PARAM_BOOL };
    bool value = false;

    (void)state;
    assert_true(take(&flag, "true", &value));
    assert_true(value);
    assert_true(take(&flag, "false", &value));
    assert_false(value);
    assert_refused(&flag, "1", "must be true or false, not a number");
    assert_refused(&flag, "\"true\"", "must be true or false, not a string");
}

static void
choices_are_told(void **state)
{
    static const char *const choices[] = { "raw", "qcow2", "auto", NULL };
    const struct param choice = { .name = "p", .type = PARAM_CHOICE, .choices = choices };
    const char *value = NULL;

    (void)state;
    assert_true(take(&choice, "\"qcow2\"", &value));
    assert_ptr_equal(value, choices[1]);
    assert_refused(&choice, "\"vmdk\"", "must be 'raw', 'qcow2' or 'auto'");
    assert_refused(&choice, "\"\"", "must be 'raw', 'qcow2' or 'auto'");
    assert_refused(&choice, "0", "must be a string, not a number");
}

static void
objects_are_kept_as_they_were_written(void **state)
{
    const struct param object = { .name = "p", .type = PARAM_OBJECT };

    (void)state;
    assert_text(&object, "{}", "{}");
    assert_text(&object, "{ \"a b\" : [ 1.10 , \"x \\\" y\" ] ,\n\"c\":{\t} }",
                "{\"a b\":[1.10,\"x \\\" y\"],\"c\":{}}");
    assert_refused(&object, "[]", "must be an object, not an array");
    assert_refused(&object, "{\"a\":1,\"a\":2}", "must hold no key twice");
    assert_refused(&object, "{\"a\":{\"b\":1,\"\\u0062\":2}}", "must hold no key twice");
    assert_refused(&object, "{\"a\":123456789012345678901}", "must hold no number beyond 64 bits");
    assert_refused(&object, "{\"a\":\"\\u0000\"}", "must hold no NUL character");
    assert_refused(&object, "{\"\\u0000\":1}", "must hold no NUL character");
}

static void
objects_have_a_bound_without_their_white_space(void **state)
{
    const struct param object = { .name = "p", .type = PARAM_OBJECT, .maximum = 9 };

    (void)state;
    assert_text(&object, "{   \"a\" :   \"b\"    }", "{\"a\":\"b\"}");
    assert_refused(&object, "{\"a\":\"bc\"}", "must be at most 9 bytes of JSON");
}

static void
lists_hold_strings_only(void **state)
{
    const struct param list = { .name = "p", .type = PARAM_TEXTS };
    struct text many = TEXT_INIT;
    char **texts = NULL;

    (void)state;
    assert_true(take(&list, "[ \"a\" , \"\" ]", &texts));
    assert_string_equal(texts[0], "a");
    assert_string_equal(texts[1], "");
    assert_null(texts[2]);
    free(texts[0]);
    free(texts[1]);
    free(texts);
    assert_true(take(&list, "[]", &texts));
    assert_null(texts[0]);
    free(texts);
    assert_refused(&list, "\"a\"", "must be an array of strings, not a string");
    assert_refused(&list, "[\"a\",1]", "must be a string, not a number");
    assert_refused(&list, "[\"a\",\"\\u0000\"]", "NUL");
    text_append_string(&many, "[\"x\"");
    for (int i = 0; i < 1000; i++)
        text_append_string(&many, ",\"x\"");
    text_append_char(&many, ']');
    assert_refused(&list, many.bytes, "must hold at most 1000 strings");
    text_done(&many);
}

static void
defaults_are_the_tables(void **state)
{
    const struct param size = { .name = "p", .type = PARAM_SIZE, .fallback = "512" };
    const struct param name = { .name = "p", .type = PARAM_NAME, .make_uuid = true };
    const struct param flag = { .name = "p", .type = PARAM_BOOL };
    struct error *error = NULL;
    uint64_t value = 0;
    char *uuid = NULL;
    bool set = false;

    (void)state;
    assert_true(value_default(&size, &value, &error));
    assert_int_equal(value, 512);
    assert_true(value_default(&name, &uuid, &error));
    assert_int_equal(strlen(uuid), 36);
    free(uuid);
    assert_true(value_default(&flag, &set, &error));
    assert_false(set);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(texts_have_bounds_in_bytes),
        cmocka_unit_test(text_has_4096_bytes_at_most_where_the_table_says_nothing),
        cmocka_unit_test(paths_are_absolute),
        cmocka_unit_test(tasks_are_strings_or_numbers),
        cmocka_unit_test(sizes_are_integers_of_bytes_in_range),
        cmocka_unit_test(integers_are_in_range),
        cmocka_unit_test(booleans_are_no_numbers),
        cmocka_unit_test(choices_are_told),
        cmocka_unit_test(objects_are_kept_as_they_were_written),
        cmocka_unit_test(objects_have_a_bound_without_their_white_space),
        cmocka_unit_test(lists_hold_strings_only),
        cmocka_unit_test(defaults_are_the_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
