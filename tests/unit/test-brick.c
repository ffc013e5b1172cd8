/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/brick.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
assert_brick(const char *brick, bool good)
{
    _cleanup_(error_freep) struct error *err = NULL;

    if (brick_check("bricks", brick, &err) != good)
        fail_msg("'%s' is %s: %s", brick, good ? "refused" : "taken", err ? err->message : "");
    if (!good)
        assert_int_equal(err->code, ERROR_INVALID_PARAMS);
}

static void
bricks_are_a_host_and_a_plain_path(void **unused)
{
    static const char *const good[] = { "h:/b", "10.77.0.1:/bricks/a b/c.d", "fe80::1:/b/..c",
                                        "host-1.example:/b/c..", "h_1:/\xc3\xa4" };
    static const char *const bad[] = { "",        "h",        "/b",       ":/b",     "h:b",
                                       "h:/",     "h://b",    "h:/b/",    "h:/b//c", "h:/b/./c",
                                       "h:/b/..", "-h:/b",    "--xml:/b", "h h:/b",  "h;x:/b",
                                       "h:/b\nc", "$(id):/b", "h:/b\x7f" };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_brick(good[i], true);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_brick(bad[i], false);
}

static void
a_list_has_one_at_least_and_none_twice(void **unused)
{
    static char one[] = "h:/1", two[] = "h:/2", bad[] = "h";
    char *const none[] = { NULL }, *const both[] = { one, two, NULL };
    char *const twice[] = { one, two, one, NULL }, *const wrong[] = { one, bad, NULL };
    char *const *const refused[] = { none, twice, wrong };
    size_t count = 0;

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        _cleanup_(error_freep) struct error *err = NULL;

        assert_false(bricks_check("bricks", refused[i], &count, &err));
        assert_int_equal(err->code, ERROR_INVALID_PARAMS);
        assert_int_equal(count, 0);
    }
    {
        _cleanup_(error_freep) struct error *err = NULL;

        assert_true(bricks_check("bricks", both, &count, &err));
        assert_int_equal(count, 2);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bricks_are_a_host_and_a_plain_path),
        cmocka_unit_test(a_list_has_one_at_least_and_none_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
