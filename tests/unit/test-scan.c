/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/scan.h"

#include <jansson.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static bool
accepts(const char *text, size_t size, unsigned depth_max)
{
    struct slice slice;
    struct scan scan;

    scan_init(&scan, text, size, depth_max);
    return scan_value(&scan, &slice) && scan_at_end(&scan);
}

/* The oracle says so too. */
static void
assert_verdict(const char *text, bool expected)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    if (accepts(text, strlen(text), 64) != expected || !value == expected)
        fail_msg("'%s': %s by the scanner, %s by jansson, %s expected", text,
                 accepts(text, strlen(text), 64) ? "good" : "bad", value ? "good" : "bad",
                 expected ? "good" : "bad");
    json_decref(value);
}

static void
json_is_accepted(void **state)
{
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "1.5",
        "0.5",
        "-1.5e-5",
        "1E+5",
        "1e05",
        " [ ] ",
        "{}",
        "[1,\"a\",null,true,{},[],-1.5e3]",
        "{\"a\":{\"b\":[{}]}}",
        "\"\"",
        "\"x\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0041\\u00E9\\ud83d\\uDE00\\u0000\"",
        "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
        "\"\x7f\"",
        "\t\r\n {\"a\" : 1 , \"b\" : [ 1 , 2 ] } \n",
        "{\"\":1}",
        "{\"a\":1,\"a\":2}",
        "\"abcdefg\"",
        "\"abcdefgh\"",
        "\"abcdefghi\"",
        "\"abcdefghijklmnopqrstuvwx\"",
        "9223372036854775807",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_verdict(texts[i], true);
}

static void
what_is_not_json_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "nul",
        "nullx",
        "True",
        "+1",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "1 2",
        "NaN",
        "Infinity",
        "-Infinity",
        "\"",
        "\"x",
        "'x'",
        "\"\t\"",
        "\"\\x\"",
        "\"\\",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\xc0\xaf\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xe2\x82\"",
        "\"\xe2\x82",
        "\"\x80\"",
        "\"\xff\"",
        "\"\xf8\x88\x80\x80\x80\"",
        "\"\xe0\x80\x80\"",
        "\"abcdefgh\x01\"",
        "[",
        "]",
        "[1",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "[1,,2]",
        "[1x",
        "[[1]x",
        "[[1]x]",
        "{",
        "}",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":}",
        "{\"a\" 1}",
        "{\"a\":1",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "{a:1}",
        "{\"a\":1]",
        "{\"a\":1 \"b\":2}",
        "{\"a\"x:1}",
        "{} {}",
        "{}x",
        "\xef\xbb\xbf{}",
        "\xc2\xa0{}",
        "\x0c{}",
        "{}//x",
        "/**/{}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_verdict(texts[i], false);
}

static void
nul_is_never_json(void **state)
{
    (void)state;
    assert_false(accepts("\0", 1, 64));
    assert_false(accepts("123\0", 4, 64));
    assert_false(accepts("{}\0", 3, 64));
    assert_false(accepts("\"a\0b\"", 5, 64));
    assert_false(accepts("\"\\\0\"", 4, 64));
}

static void
every_part_of_a_message_is_refused(void **state)
{
    static const char text[] =
        "{\"a\\u00e9\":[1.5e3,true,{\"b\":null}],\"\xc3\xa9\":\"\\ud83d\\ude00\"}";

    (void)state;
    assert_true(accepts(text, strlen(text), 64));
    for (size_t size = 0; size < strlen(text); size++) {
        char *part = xstrndup(text, size); /* of just that size, for the sanitizer */

        assert_false(accepts(part, size, 64));
        free(part);
    }
}

static void
nesting_is_bounded(void **state)
{
    struct slice slice;
    struct scan scan;

    (void)state;
    assert_true(accepts("[[{\"a\":[]}]]", 12, 4));
    scan_init(&scan, "[[{\"a\":[]}]]", 12, 3);
    assert_false(scan_value(&scan, &slice));
    assert_true(scan.too_deep);
    assert_true(accepts("[[],[],[[]],[]]", 15, 3)); /* depth, not count */
    scan_init(&scan, "[[],{]", 6, 3);
    assert_false(scan_value(&scan, &slice));
    assert_false(scan.too_deep);
}

static void
fault_is_located(void **state)
{
    static const char text[] = "{\"a\":[1,2,x]}";
    struct slice slice;
    struct scan scan;

    (void)state;
    scan_init(&scan, text, strlen(text), 64);
    assert_false(scan_value(&scan, &slice));
    assert_int_equal(scan.at - text, 10);
}

static void
members_are_walked_in_order(void **state)
{
    static const char text[] = " { \"a\" : 1 , \"b\\n\":[ 2, 3 ],\"c\":{} } ";
    static const char *const keys[] = { "\"a\"", "\"b\\n\"", "\"c\"" };
    static const char *const values[] = { "1", "[ 2, 3 ]", "{}" };
    struct slice whole, key, value;
    struct scan scan;
    size_t count = 0;

    (void)state;
    scan_init(&scan, text, strlen(text), 64);
    assert_true(scan_value(&scan, &whole));
    scan_inside(&scan, whole);
    while (scan_member(&scan, &key, &value)) {
        assert_int_equal(key.size, strlen(keys[count]));
        assert_memory_equal(key.text, keys[count], key.size);
        assert_int_equal(value.size, strlen(values[count]));
        assert_memory_equal(value.text, values[count], value.size);
        count++;
    }
    assert_int_equal(count, 3);
}

static void
elements_are_walked_in_order(void **state)
{
    static const char text[] = "[ [] ,\"]\", 3 ]";
    static const char kinds[] = "[\"3";
    struct slice value;
    struct scan scan;
    size_t count = 0;

    (void)state;
    scan_inside(&scan, (struct slice){ text, strlen(text) });
    while (scan_element(&scan, &value))
        assert_int_equal(*value.text, kinds[count++]);
    assert_int_equal(count, 3);
    scan_inside(&scan, (struct slice){ "[ ]", 3 });
    assert_false(scan_element(&scan, &value));
}

static void
assert_content(const char *json, const char *expected, size_t size)
{
    struct slice slice = { json, strlen(json) };
    _cleanup_free_ char *owned = NULL;
    const char *text;
    size_t text_size;

    slice_string(slice, &text, &text_size, &owned);
    assert_int_equal(text_size, size);
    assert_memory_equal(text, expected, size);
    assert_true(slice_is_string(slice, expected, size));
    assert_false(slice_is_string(slice, "other", 5));
}

static void
strings_are_decoded(void **state)
{
    (void)state;
    assert_content("\"\"", "", 0);
    assert_content("\"x\xc3\xa9\"", "x\xc3\xa9", 3);
    assert_content("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    assert_content("\"\\u0041\\u00E9\\u20ac\\ud83d\\uDE00\"",
                   "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10);
    assert_content("\"a\\u0000b\"", "a\0b", 3);
    assert_content("\"\\uffff\\u07ff\\u0800\"", "\xef\xbf\xbf\xdf\xbf\xe0\xa0\x80", 8);
}

static void
strings_are_the_same_however_they_are_written(void **state)
{
    struct slice plain = { "\"id\"", 4 }, escaped = { "\"\\u0069d\"", 9 }, other = { "\"ie\"", 4 };

    (void)state;
    assert_true(slice_same_string(plain, escaped));
    assert_true(slice_same_string(escaped, plain));
    assert_false(slice_same_string(escaped, other));
}

static void
kinds_are_told_with_their_article(void **state)
{
    static const char *const kinds[][2] = {
        { "\"x\"", "a string" }, { "{}", "an object" },    { "[]", "an array" },
        { "true", "a boolean" }, { "false", "a boolean" }, { "null", "null" },
        { "-1", "a number" },    { "7", "a number" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct slice slice = { kinds[i][0], strlen(kinds[i][0]) };

        assert_string_equal(slice_kind(slice), kinds[i][1]);
        assert_int_equal(slice_is_number(slice), strcmp(kinds[i][1], "a number") == 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_accepted),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(nul_is_never_json),
        cmocka_unit_test(every_part_of_a_message_is_refused),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(fault_is_located),
        cmocka_unit_test(members_are_walked_in_order),
        cmocka_unit_test(elements_are_walked_in_order),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(strings_are_the_same_however_they_are_written),
        cmocka_unit_test(kinds_are_told_with_their_article),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
