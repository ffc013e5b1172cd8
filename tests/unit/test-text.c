/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
what_is_appended_is_there_and_terminated(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    text_append(&text, "ab\0c", 4);
    text_append_char(&text, 'd');
    text_append_string(&text, "ef");
    assert_int_equal(text.length, 7);
    assert_memory_equal(text.bytes, "ab\0cdef", 8);
}

static void
nothing_appended_is_no_memory_yet_a_string_when_taken(void **state)
{
    struct text text = TEXT_INIT;
    _cleanup_free_ char *taken = NULL;

    (void)state;
    assert_null(text.bytes);
    taken = text_take(&text);
    assert_string_equal(taken, "");
}

static void
appending_nothing_makes_an_empty_string(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    text_append(&text, NULL, 0);
    assert_string_equal(text.bytes, "");
}

static void
formatted_text_longer_than_the_room_is_whole(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    for (int length = 0; length < 300; length++) {
        text_clear(&text);
        text_append_string(&text, "begin ");
        text_printf(&text, "%0*d", length, 7);
        assert_int_equal(text.length, 6 + (length > 1 ? length : 1));
        assert_int_equal(strlen(text.bytes), text.length);
        assert_int_equal(text.bytes[text.length - 1], '7');
    }
}

static void
clearing_keeps_the_memory(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    size_t capacity;

    (void)state;
    for (int i = 0; i < 1000; i++)
        text_append_string(&text, "0123456789");
    capacity = text.capacity;
    text_clear(&text);
    assert_int_equal(text.length, 0);
    assert_string_equal(text.bytes, "");
    assert_int_equal(text.capacity, capacity);
}

static void
reserved_room_counts_after_growing(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    char *place;

    (void)state;
    text_append_string(&text, "one");
    place = text_reserve(&text, 5000);
    memset(place, 'x', 5000);
    text_grow(&text, 4);
    assert_string_equal(text.bytes, "onexxxx");
    assert_true(text.capacity > 5003);
}

static void
taking_leaves_it_empty(void **state)
{
    struct text text = TEXT_INIT;
    _cleanup_free_ char *taken = NULL;

    (void)state;
    text_append_string(&text, "value");
    taken = text_take(&text);
    assert_string_equal(taken, "value");
    assert_null(text.bytes);
    assert_int_equal(text.length, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_appended_is_there_and_terminated),
        cmocka_unit_test(nothing_appended_is_no_memory_yet_a_string_when_taken),
        cmocka_unit_test(appending_nothing_makes_an_empty_string),
        cmocka_unit_test(formatted_text_longer_than_the_room_is_whole),
        cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(reserved_room_counts_after_growing),
        cmocka_unit_test(taking_leaves_it_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
