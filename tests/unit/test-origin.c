/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
pages_of_the_server_itself_may_connect(void **state)
{
    (void)state;
    assert_true(origin_allowed("http://localhost:54321", "localhost:54321", NULL));
    assert_true(origin_allowed("https://host.example", "host.example", NULL));
    assert_true(origin_allowed("https://Host.Example", "host.example", NULL));
    assert_true(origin_allowed("https://host.example", "host.example:443", NULL));
    assert_true(origin_allowed("http://host.example:80", "host.example", NULL));
    assert_true(origin_allowed("http://[::1]:54321", "[::1]:54321", NULL));
    assert_true(origin_allowed("http://[::1]", "[::1]:80", NULL));
}

static void
pages_from_elsewhere_may_not(void **state)
{
    const char *const wrong[] = {
        "http://evil.example",
        "http://localhost:54322",
        "http://localhost",
        "http://localhost:54321.evil.example",
        "http://evil.example:54321",
        "http://localhost:54321/",
        "http://evil.example/http://localhost:54321",
        "ftp://localhost:54321",
        "file://",
        "null",
        "localhost:54321",
        "http://",
        "",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (origin_allowed(wrong[i], "localhost:54321", NULL))
            fail_msg("'%s' was let in", wrong[i]);
    assert_false(origin_allowed("http://", "", NULL));
    assert_false(origin_allowed("http://localhost", NULL, NULL));
}

static void
named_origins_may_connect_from_anywhere(void **state)
{
    char first[] = "https://console.example", second[] = "null";
    char *allowed[] = { first, second, NULL };

    (void)state;
    assert_true(origin_allowed("https://console.example", "localhost:54321", allowed));
    assert_true(origin_allowed("https://CONSOLE.example", NULL, allowed));
    assert_true(origin_allowed("null", NULL, allowed));
    assert_false(origin_allowed("http://console.example", "localhost:54321", allowed));
    assert_false(origin_allowed("https://console.example:444", "localhost:54321", allowed));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_the_server_itself_may_connect),
        cmocka_unit_test(pages_from_elsewhere_may_not),
        cmocka_unit_test(named_origins_may_connect_from_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
