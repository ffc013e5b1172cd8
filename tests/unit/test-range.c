/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/cleanup.h"

static void
a_range_is_read_as_it_stands(void **state)
{
    static const struct {
        const char *header;
        bool suffix;
        uint64_t first, last;
    } good[] = {
        { "bytes=0-0", false, 0, 0 },
        { "bytes=5-9", false, 5, 9 },
        { "Bytes=5-", false, 5, UINT64_MAX },
        { " bytes= 4096-999999999999999999 ", false, 4096, 999999999999999999 },
        { "bytes=-1", true, 1, UINT64_MAX },
        { "bytes=-0", true, 0, UINT64_MAX },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        struct resource_range range = { 0 };

        if (range_parse(good[i].header, &range) != RANGE_GOOD)
            fail_msg("'%s' is refused", good[i].header);
        assert_true(range.given);
        assert_int_equal(range.suffix, good[i].suffix);
        assert_int_equal(range.first, good[i].first);
        assert_true(range.last == good[i].last);
    }
}

static void
a_wrong_range_is_refused_and_nothing_is_set(void **state)
{
    static const char *const wrong[] = {
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=9-5",
        "bytes=+1-2",
        "bytes=1--2",
        "bytes=1-2x",
        "bytes=1",
        "lines=1-2",
        "bytes 1-2",
        "bytes=-1-2",
        "bytes=1- 2",
        "bytes=0-18446744073709551616",
        "bytes=1000000000000000000-",
        "bytes=0x1-0x2",
    };
    struct resource_range range = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        if (range_parse(wrong[i], &range) != RANGE_WRONG)
            fail_msg("'%s' is taken", wrong[i]);
    assert_int_equal(range_parse("bytes=0-1,4-5", &range), RANGE_SEVERAL);
    assert_int_equal(range_parse("bytes=0-1 , 4-5", &range), RANGE_SEVERAL);
    assert_int_equal(range_parse("bytes=-5,0-1", &range), RANGE_SEVERAL);
    assert_false(range.given);
}

static void
a_content_range_is_read_as_it_stands(void **state)
{
    static const char *const wrong[] = {
        "",           "bytes",          "bytes 0-1",     "bytes 0-/2",    "bytes -1/2",
        "bytes */2",  "bytes=0-1/2",    "bytes 1-0/2",   "bytes 0-1/x",   "bytes 0-1/",
        "bytes0-1/2", "bytes 0-1/1",    "bytes 0-1/* x", "bytes 0 - 1/*", "bytes 0-1/-5",
        "bits 0-1/*", "bytes 0-1/2, 3", "bytes 0-1/*1",
    };
    struct resource_range range = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        if (content_range_parse(wrong[i], &range))
            fail_msg("'%s' is taken", wrong[i]);
    assert_false(range.given);
    assert_true(content_range_parse("bytes 4096-8191/*", &range));
    assert_true(range.given);
    assert_int_equal(range.first, 4096);
    assert_int_equal(range.last, 8191);
    assert_true(content_range_parse(" BYTES\t0-1/2 ", &range));
    assert_int_equal(range.last, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_read_as_it_stands),
        cmocka_unit_test(a_wrong_range_is_refused_and_nothing_is_set),
        cmocka_unit_test(a_content_range_is_read_as_it_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
