/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "ctl/result.h"

static struct table *
sample(void)
{
    struct table *table = table_new();

    table_column(table, "NAME", false, true);
    table_column(table, "SIZE", true, false);
    table_cell(table, "web", COLOUR_NONE);
    table_cell(table, "1 GiB", COLOUR_NONE);
    table_cell(table, "a-very-long-name", COLOUR_GREEN);
    table_cell(table, "7", COLOUR_NONE);
    return table;
}

static void
columns_are_aligned_numbers_to_the_right(void **state)
{
    _cleanup_(table_freep) struct table *table = sample();
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    table_write(table, 0, 0, false, &text);
    assert_string_equal(text.bytes, "NAME               SIZE\n"
                                    "web               1 GiB\n"
                                    "a-very-long-name      7\n");
}

static void
a_narrow_terminal_cuts_what_may_be_cut(void **state)
{
    _cleanup_(table_freep) struct table *table = sample();
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    table_write(table, 17, 1, false, &text);
    assert_string_equal(text.bytes, " NAME        SIZE\n"
                                    " web        1 GiB\n"
                                    " a-very-l…      7\n");
    text_clear(&text);
    table_write(table, 3, 0, false, &text);
    assert_non_null(strstr(text.bytes, "a-very-…")); /* never below what can be told apart */
}

static void
colours_do_not_change_the_alignment(void **state)
{
    _cleanup_(table_freep) struct table *table = sample();
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    table_write(table, 0, 0, true, &text);
    assert_non_null(strstr(text.bytes, "\033[32ma-very-long-name\033[0m      7\n"));
}

static void
control_characters_of_the_agent_never_reach_the_terminal(void **state)
{
    static const char hostile[] = "a\033[31mb\r\n\x7f\xc2\x9b"
                                  "c\xe2\x80\xae"
                                  "d\xff";
    _cleanup_(table_freep) struct table *table = table_new();
    _cleanup_text_ struct text text = TEXT_INIT, json = TEXT_INIT;

    (void)state;
    table_column(table, "X", false, true);
    table_cell(table, hostile, COLOUR_NONE);
    table_write(table, 0, 0, false, &text);
    assert_string_equal(text.bytes, "X\na\\x1b[31mb\\x0d\\x0a\\x7f\\x9bc\\u202ed\\xff\n");
    visible_append_json(&json, "{\n  \"a\": \"\x7f\xc2\x9b\xe2\x80\xae\xc3\xa4\"\n}");
    assert_string_equal(json.bytes, "{\n  \"a\": \"\\u007f\\u009b\\u202e\xc3\xa4\"\n}");
}

static void
wide_characters_take_two_columns(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    assert_int_equal(visible_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
    assert_int_equal(visible_width("\xc3\xa4"), 1);
    visible_append_cut(&text, "\xe6\x97\xa5\xe6\x9c\xac", 3);
    assert_string_equal(text.bytes, "\xe6\x97\xa5…");
}

static void
sizes_and_durations_are_for_people(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {
        { 0, "0 B" },
        { 1023, "1023 B" },
        { 1024, "1 KiB" },
        { 1536, "1.5 KiB" },
        { 1048575, "1 MiB" },
        { 4294967296, "4 GiB" },
        { UINT64_MAX, "16 EiB" },
    };
    char text[VISIBLE_SIZE_TEXT];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        visible_size(sizes[i].bytes, text);
        assert_string_equal(text, sizes[i].text);
    }
    visible_duration(65, text);
    assert_string_equal(text, "1:05");
    visible_duration(3725, text);
    assert_string_equal(text, "1:02:05");
}

static void
assert_shown(const char *result, const char *expected)
{
    json_t *value = json_loads(result, JSON_DECODE_ANY, NULL);
    _cleanup_text_ struct text text = TEXT_INIT;

    result_write(value, 0, false, &text);
    json_decref(value);
    assert_string_equal(text.bytes, expected);
}

static void
lists_are_tables_and_objects_are_lines(void **state)
{
    (void)state;
    assert_shown("{}", "done\n");
    assert_shown("{\"images\":[]}", "no images\n");
    assert_shown("{\"images\":[{\"image\":\"a\",\"state\":\"broken\",\"base\":null,\"size\":2048}],"
                 "\"next\":\"a\"}",
                 "IMAGE  STATE    SIZE\n"
                 "a      broken  2 KiB\n"
                 "There is more: --after a\n");
    assert_shown("{\"image\":\"a\",\"size\":2048,\"copy\":{\"active\":true,"
                 "\"source\":{\"repository\":\"r\",\"image\":\"i\"}}}",
                 "image:       a\n"
                 "size:        2 KiB (2048)\n"
                 "copy.active: yes\n"
                 "copy.source: r/i\n");
    assert_shown("{\"things\":[{\"x\":1,\"y\":\"z\"}]}", "X  Y\n1  z\n");
    assert_shown(
        "{\"a\":1,\"b\":2,\"c\":3,\"e\":4,\"steps\":[{\"name\":\"copy\",\"outcome\":\"fail\"}]}",
        "a: 1\nb: 2\nc: 3\ne: 4\nsteps:\n  NAME  OUTCOME\n  copy  fail\n");
    assert_shown("{\"error\":{\"code\":1,\"message\":\"m\",\"data\":{\"name\":\"NoSpace\"}}}",
                 "error: NoSpace: m\n");
}

static void
lists_of_what_holds_lists_are_blocks(void **state)
{
    (void)state;
    assert_shown(
        "{\"volume\":\"v\",\"bricks\":["
        "{\"brick\":\"h:/1\",\"now\":{\"seconds\":5,\"calls\":[{\"call\":\"READ\",\"hits\":7}]}},"
        "{\"brick\":\"h:/2\",\"now\":{\"seconds\":6,\"calls\":[]}}]}",
        "brick: h:/1\n"
        "now:\n"
        "  seconds: 5\n"
        "  calls:\n"
        "    CALL  HITS\n"
        "    READ     7\n"
        "\n"
        "brick:       h:/2\n"
        "now.seconds: 6\n"
        "now.calls:   -\n");
    assert_shown("{\"things\":[{\"a\":{\"b\":1}},{\"a\":{\"b\":2}}]}", "a.b: 1\n\na.b: 2\n");
    assert_shown("{\"a\":1,\"b\":2,\"c\":3,\"e\":4,\"outer\":[{\"x\":1,\"inner\":[{\"y\":2}]}]}",
                 "a: 1\nb: 2\nc: 3\ne: 4\nouter:\n  x: 1\n  inner:\n    Y\n    2\n");
}

static void
lists_of_one_name_are_told_apart_by_what_their_rows_have(void **state)
{
    (void)state;
    assert_shown("{\"volumes\":[{\"volume\":\"v\",\"type\":\"disperse\",\"state\":\"started\","
                 "\"transport\":\"tcp\",\"bricks\":[{\"brick\":\"h:/1\"}]}]}",
                 "VOLUME  TYPE      STATE\nv       disperse  started\n");
    assert_shown(
        "{\"volumes\":[{\"volume\":\"v\",\"state\":\"started\",\"bricks\":[{\"peer\":\"u\","
        "\"brick\":\"h:/1\",\"online\":false,\"port\":null,\"free\":2048}],"
        "\"tasks\":[{\"task\":\"t\",\"kind\":\"rebalance\",\"state\":\"completed\"}]}],"
        "\"ageMs\":5}",
        "volume: v\n"
        "state:  started\n"
        "bricks:\n"
        "  BRICK  ONLINE   FREE\n"
        "  h:/1   no      2 KiB\n"
        "tasks:\n"
        "  TASK  KIND       STATE\n"
        "  t     rebalance  completed\n");
    assert_shown("{\"volumes\":[]}", "no volumes\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_aligned_numbers_to_the_right),
        cmocka_unit_test(a_narrow_terminal_cuts_what_may_be_cut),
        cmocka_unit_test(colours_do_not_change_the_alignment),
        cmocka_unit_test(control_characters_of_the_agent_never_reach_the_terminal),
        cmocka_unit_test(wide_characters_take_two_columns),
        cmocka_unit_test(sizes_and_durations_are_for_people),
        cmocka_unit_test(lists_are_tables_and_objects_are_lines),
        cmocka_unit_test(lists_of_what_holds_lists_are_blocks),
        cmocka_unit_test(lists_of_one_name_are_told_apart_by_what_their_rows_have),
    };

    visible_open();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
