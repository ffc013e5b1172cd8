/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
known_moments_are_written_as_known(void **state)
{
    static const struct {
        int64_t time_ns;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 1, "1970-01-01T00:00:00.000Z" },
        { -1, "1969-12-31T23:59:59.999Z" },
        { INT64_C(951782400) * NS_PER_S, "2000-02-29T00:00:00.000Z" },
        { INT64_C(1795209303120999999), "2026-11-20T21:15:03.120Z" },
        { INT64_MAX, "2262-04-11T23:47:16.854Z" },
        { INT64_MIN, "1677-09-21T00:12:43.145Z" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[CLOCK_TEXT_SIZE];

        assert_int_equal(clock_format(cases[i].time_ns, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
}

static void
each_day_of_five_centuries_agrees_with_gmtime(void **state)
{
    (void)state;
    for (int64_t day = -106000; day < 106000; day++) {
        int64_t second = day * 86400 + (day % 2 ? 86399 : 0), back;
        time_t time = (time_t)second;
        char text[CLOCK_TEXT_SIZE], expected[CLOCK_TEXT_SIZE];
        struct tm parts;

        assert_non_null(gmtime_r(&time, &parts));
        assert_true(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &parts) > 0);
        (void)clock_format(second * NS_PER_S, text);
        if (strcmp(text, expected) != 0)
            fail_msg("%s is not %s", text, expected);
        if (!clock_parse(text, &back) || back != second * NS_PER_S)
            fail_msg("%s was not read as written", text);
    }
}

static void
zones_and_fractions_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t time_ns;
    } cases[] = {
        { "1970-01-01T00:00:01Z", NS_PER_S },
        { "1970-01-01T00:00:00.5Z", 500 * NS_PER_MS },
        { "1970-01-01T00:00:00.000000001Z", 1 },
        { "1970-01-01T00:00:00.0000000019Z", 1 },
        { "1970-01-01T01:30:00+01:30", 0 },
        { "1969-12-31T23:00:00-01:00", 0 },
        { "1970-12-31T23:59:60Z", 365 * INT64_C(86400) * NS_PER_S },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t time_ns = -5;

        if (!clock_parse(cases[i].text, &time_ns))
            fail_msg("'%s' was refused", cases[i].text);
        assert_int_equal(time_ns, cases[i].time_ns);
    }
}

static void
what_is_no_time_is_refused_and_nothing_is_set(void **state)
{
    static const char *const wrong[] = {
        "",
        "2026",
        "2026-11-20",
        "2026-11-20T21:15:03",
        "2026-11-20 21:15:03Z",
        "2026-11-20T21:15:03z",
        "2026-11-20T21:15:03.Z",
        "2026-11-20T21:15:03Z ",
        " 2026-11-20T21:15:03Z",
        "2026-11-20T21:15:03+1:00",
        "2026-11-20T21:15:03+24:00",
        "2026-11-20T21:15:03+",
        "2026-13-20T21:15:03Z",
        "2026-00-20T21:15:03Z",
        "2026-02-29T21:15:03Z",
        "1900-02-29T00:00:00Z",
        "2026-11-31T21:15:03Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T21:60:00Z",
        "2026-11-20T21:15:61Z",
        "+026-11-20T21:15:03Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z", /* before what 64 bits hold */
        "9999-12-31T23:59:59Z", /* after it */
        "2262-04-11T23:47:17Z",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int64_t time_ns = 4711;

        if (clock_parse(wrong[i], &time_ns))
            fail_msg("'%s' was taken", wrong[i]);
        assert_int_equal(time_ns, 4711);
    }
}

static void
clocks_go_forwards_and_tell_about_now(void **state)
{
    int64_t before = clock_monotonic_ns();

    (void)state;
    assert_true(clock_monotonic_ns() >= before);
    assert_true(clock_wall_ns() / NS_PER_S - (int64_t)time(NULL) <= 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_moments_are_written_as_known),
        cmocka_unit_test(each_day_of_five_centuries_agrees_with_gmtime),
        cmocka_unit_test(zones_and_fractions_are_read),
        cmocka_unit_test(what_is_no_time_is_refused_and_nothing_is_set),
        cmocka_unit_test(clocks_go_forwards_and_tell_about_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
