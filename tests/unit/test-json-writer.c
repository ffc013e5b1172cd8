/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/json-writer.h"

#include <float.h>
#include <jansson.h>
#include <math.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
commas_and_colons_are_put_where_they_belong(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    writer_object(&writer);
    writer_member_string(&writer, "a", "x");
    writer_member_null(&writer, "b");
    writer_key(&writer, "c");
    writer_array(&writer);
    writer_unsigned(&writer, 1);
    writer_array(&writer);
    writer_end_array(&writer);
    writer_object(&writer);
    writer_end_object(&writer);
    writer_bool(&writer, true);
    writer_end_array(&writer);
    writer_member_bool(&writer, "d", false);
    writer_member_string(&writer, "e", NULL);
    writer_end_object(&writer);
    assert_string_equal(writer.text.bytes,
                        "{\"a\":\"x\",\"b\":null,\"c\":[1,[],{},true],\"d\":false,\"e\":null}");
    assert_int_equal(writer.depth, 0);
}

static void
each_byte_comes_back_as_it_was(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    char all[127];
    json_error_t problem;
    json_t *parsed;

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)(i + 1);
    writer_array(&writer);
    writer_string_sized(&writer, all, sizeof(all));
    writer_end_array(&writer);
    parsed = json_loadb(writer.text.bytes, writer.text.length, 0, &problem);
    assert_non_null(parsed);
    assert_int_equal(json_string_length(json_array_get(parsed, 0)), sizeof(all));
    assert_memory_equal(json_string_value(json_array_get(parsed, 0)), all, sizeof(all));
    json_decref(parsed);
}

static void
control_characters_are_escaped_in_the_short_form_where_there_is_one(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    writer_string_sized(&writer, "\0\b\t\n\v\f\r\x1f\"\\/\x7f", 12);
    assert_string_equal(writer.text.bytes,
                        "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\/\\u007f\"");
}

static void
characters_beyond_ascii_stand_as_they_are(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    writer_string(&writer, "Gr\xc3\xb6\xc3\x9f"
                           "e \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf");
    assert_string_equal(writer.text.bytes, "\"Gr\xc3\xb6\xc3\x9f"
                                           "e \xe2\x82\xac \xf0\x9f\x98\x80 "
                                           "\xf4\x8f\xbf\xbf\"");
}

static void
each_bad_byte_becomes_a_replacement_character(void **state)
{
#define BAD "\xef\xbf\xbd"
    static const struct {
        const char *bytes, *written;
    } cases[] = {
        { "\xff", BAD },
        { "a\x80z", "a" BAD "z" },
        { "\xc3", BAD },                         /* cut */
        { "\xe2\x82", BAD BAD },                 /* cut */
        { "\xc0\xaf", BAD BAD },                 /* overlong */
        { "\xe0\x80\xaf", BAD BAD BAD },         /* overlong */
        { "\xf0\x80\x80\xaf", BAD BAD BAD BAD }, /* overlong */
        { "\xed\xa0\x80", BAD BAD BAD },         /* surrogate */
        { "\xf4\x90\x80\x80", BAD BAD BAD BAD }, /* beyond U+10FFFF */
        { "\xc3\xb6\xc3", "\xc3\xb6" BAD },
        { "\xe2\x82\"", BAD BAD "\\\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        _cleanup_writer_ struct writer writer = WRITER_INIT;
        _cleanup_text_ struct text expected = TEXT_INIT;

        text_printf(&expected, "\"%s\"", cases[i].written);
        writer_string(&writer, cases[i].bytes);
        assert_string_equal(writer.text.bytes, expected.bytes);
    }
#undef BAD
}

static void
whole_numbers_are_exact_at_both_ends(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    writer_array(&writer);
    writer_unsigned(&writer, 0);
    writer_unsigned(&writer, UINT64_MAX);
    writer_integer(&writer, INT64_MIN);
    writer_integer(&writer, INT64_MAX);
    writer_integer(&writer, -1);
    writer_end_array(&writer);
    assert_string_equal(writer.text.bytes,
                        "[0,18446744073709551615,-9223372036854775808,9223372036854775807,-1]");
}

static void
real_numbers_come_back_as_they_were(void **state)
{
    const double values[] = { 0.1, 1.0 / 3, DBL_MAX, DBL_MIN, -2.5e-300, 123456789.123456789 };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        writer_real(&writer, values[i]);
        assert_true(strtod(writer.text.bytes, NULL) == values[i]);
    }
}

static void
what_is_no_number_is_null(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    writer_array(&writer);
    writer_real(&writer, 0.1);
    writer_real(&writer, NAN);
    writer_real(&writer, -INFINITY);
    writer_end_array(&writer);
    assert_string_equal(writer.text.bytes, "[0.1,null,null]");
}

static void
json_is_put_in_as_it_stands(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    writer_object(&writer);
    writer_member_json(&writer, "a", "[1, 2]");
    writer_member_json(&writer, "b", "");
    writer_member_json(&writer, "c", NULL);
    writer_end_object(&writer);
    assert_string_equal(writer.text.bytes, "{\"a\":[1, 2],\"b\":null,\"c\":null}");
}

static void
times_are_rfc_3339_and_0_is_null(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    writer_object(&writer);
    writer_member_time(&writer, "a", INT64_C(1795209303120999999));
    writer_member_time(&writer, "b", 0);
    writer_end_object(&writer);
    assert_string_equal(writer.text.bytes, "{\"a\":\"2026-11-20T21:15:03.120Z\",\"b\":null}");
}

static void
formatted_strings_are_escaped(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    writer_array(&writer);
    writer_printf(&writer, "%s\n%d", "\"", 5);
    writer_printf(&writer, "%s", "");
    writer_end_array(&writer);
    assert_string_equal(writer.text.bytes, "[\"\\\"\\n5\",\"\"]");
}

static void
sixty_four_levels_keep_their_commas(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    json_error_t problem;
    json_t *parsed;

    (void)state;
    for (int i = 0; i < 64; i++) {
        if (i > 0 && i % 2 == 0)
            writer_key(&writer, "k");
        if (i % 2) {
            writer_object(&writer);
            writer_member_unsigned(&writer, "n", (uint64_t)i);
        } else {
            writer_array(&writer);
            writer_unsigned(&writer, (uint64_t)i);
        }
    }
    for (int i = 63; i >= 0; i--) {
        if (i % 2) {
            writer_member_integer(&writer, "m", -i);
            writer_end_object(&writer);
        } else {
            writer_unsigned(&writer, (uint64_t)i);
            writer_end_array(&writer);
        }
    }
    parsed = json_loadb(writer.text.bytes, writer.text.length, 0, &problem);
    assert_non_null(parsed);
    assert_int_equal(json_array_size(parsed), 3);
    json_decref(parsed);
}

static void
clearing_begins_anew(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    writer_array(&writer);
    writer_unsigned(&writer, 1);
    writer_clear(&writer);
    writer_object(&writer);
    writer_member_real(&writer, "a", 2);
    writer_end_object(&writer);
    assert_string_equal(writer.text.bytes, "{\"a\":2}");
}

static void
long_strings_with_escapes_anywhere_are_whole(void **state)
{
    char value[200];

    (void)state;
    for (size_t place = 0; place < sizeof(value); place++) {
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        memset(value, 'v', sizeof(value));
        value[place] = '\n';
        writer_string_sized(&writer, value, sizeof(value));
        assert_int_equal(writer.text.length, sizeof(value) + 3);
        assert_memory_equal(writer.text.bytes + 1 + place, "\\n", 2);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_and_colons_are_put_where_they_belong),
        cmocka_unit_test(each_byte_comes_back_as_it_was),
        cmocka_unit_test(control_characters_are_escaped_in_the_short_form_where_there_is_one),
        cmocka_unit_test(characters_beyond_ascii_stand_as_they_are),
        cmocka_unit_test(each_bad_byte_becomes_a_replacement_character),
        cmocka_unit_test(whole_numbers_are_exact_at_both_ends),
        cmocka_unit_test(real_numbers_come_back_as_they_were),
        cmocka_unit_test(what_is_no_number_is_null),
        cmocka_unit_test(json_is_put_in_as_it_stands),
        cmocka_unit_test(times_are_rfc_3339_and_0_is_null),
        cmocka_unit_test(formatted_strings_are_escaped),
        cmocka_unit_test(sixty_four_levels_keep_their_commas),
        cmocka_unit_test(clearing_begins_anew),
        cmocka_unit_test(long_strings_with_escapes_anywhere_are_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
