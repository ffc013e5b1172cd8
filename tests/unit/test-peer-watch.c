/* SPDX-License-Identifier: Apache-2.0 */
/* tests/real/test_peer_roll.py has the glusterds. */
#include <config.h>

#include "gluster/peer-watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
/* cmocka.h needs the first four. */
#include <cmocka.h>

static void
a_connection_ends_with_the_other_side(void **unused)
{
    int ends[2];

    (void)unused;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_false(peer_watch_ended(ends[0]));
    assert_int_equal(write(ends[1], "?", 1), 1); /* whatever it says, it lives */
    assert_false(peer_watch_ended(ends[0]));
    assert_int_equal(write(ends[1], "!", 1), 1);
    assert_int_equal(close(ends[1]), 0);
    assert_true(peer_watch_ended(ends[0]));
    assert_true(peer_watch_ended(ends[0]));
    assert_int_equal(close(ends[0]), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_ends_with_the_other_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
