/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/varint.h"

static void
numbers_come_back_as_they_went(void **state)
{
    static const struct {
        uint64_t value;
        size_t size;
    } numbers[] = { { 0, 1 },      { 0x7f, 1 },   { 0x80, 2 },
                    { 0x3fff, 2 }, { 0x4000, 3 }, { UINT64_MAX, 10 } };
    _cleanup_text_ struct text text = TEXT_INIT;
    const unsigned char *at;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        size_t before = text.length;

        varint_put(&text, numbers[i].value);
        assert_int_equal(text.length - before, numbers[i].size);
    }
    at = (const unsigned char *)text.bytes;
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        assert_true(varint_get(&at) == numbers[i].value);
    assert_ptr_equal(at, text.bytes + text.length);
}

static void
an_empty_string_is_not_none(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    const unsigned char *at;
    const char *string;
    size_t length;

    (void)state;
    varint_put_string(&text, "", 0);
    varint_put_string(&text, NULL, 0);
    varint_put_string(&text, "a\0b", 3);
    at = (const unsigned char *)text.bytes;
    assert_non_null(varint_get_string(&at, &length));
    assert_int_equal(length, 0);
    assert_null(varint_get_string(&at, &length));
    string = varint_get_string(&at, &length);
    assert_int_equal(length, 3);
    assert_memory_equal(string, "a\0b", 3);
    assert_ptr_equal(at, text.bytes + text.length);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back_as_they_went),
        cmocka_unit_test(an_empty_string_is_not_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
