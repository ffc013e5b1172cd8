/* SPDX-License-Identifier: Apache-2.0 */
/* When the watch asks, what it takes for a change, and what it takes for a hint. */
#include <config.h>

#include "gluster/watch.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/clock.h"

#define MS(count) ((int64_t)(count)*NS_PER_MS)

static void
nothing_is_asked_without_a_reason(void **state)
{
    struct watched watched = { .asked_ns = MS(5000) };

    (void)state;
    assert_true(watched_due_ns(&watched, false, false) == INT64_MAX);
    assert_true(watched_due_ns(&watched, true, false) == INT64_MAX);
    assert_true(watched_due_ns(&watched, false, true) == INT64_MAX);
    assert_true(watched_due_ns(&watched, true, true) == MS(5000 + WATCH_DEAF_MS));
}

static void
a_hint_is_followed_when_it_has_settled_and_not_too_often(void **state)
{
    struct watched watched = { .hinted_ns = MS(20000) };

    (void)state;
    assert_true(watched_due_ns(&watched, false, false) == MS(20000 + WATCH_SETTLE_MS));
    watched.asked_ns = MS(19900);
    assert_true(watched_due_ns(&watched, false, false) == MS(19900 + WATCH_BOUND_MS));
    watched.asked_ns = MS(1000);
    assert_true(watched_due_ns(&watched, false, false) == MS(20000 + WATCH_SETTLE_MS));
    watched.asking = true; /* it is followed after the answer */
    assert_true(watched_due_ns(&watched, true, true) == INT64_MAX);
}

static void
what_goes_on_is_asked_for_by_who_listens_and_what_it_costs(void **state)
{
    struct watched watched = { .active = true, .asked_ns = MS(1000), .took_ns = MS(10) };

    (void)state;
    assert_true(watched_due_ns(&watched, true, false) == MS(1000 + WATCH_ACTIVE_MS));
    assert_true(watched_due_ns(&watched, false, false) == MS(1000 + WATCH_ALONE_MS));
    watched.took_ns = MS(4000);
    assert_true(watched_due_ns(&watched, true, false) == MS(1000 + WATCH_SHARE * 4000));
    watched.hinted_ns = MS(1500); /* its end is told at once nevertheless */
    assert_true(watched_due_ns(&watched, true, false) == MS(1000 + WATCH_BOUND_MS));
}

static void
note(void *context, const struct gluster_item *before, const struct gluster_item *now)
{
    text_printf(context, "%s%s%s", before ? "-" : "+", now ? now->id : before->id,
                now ? " " : "! ");
}

static void
a_change_is_a_new_one_a_gone_one_or_another_essence(void **state)
{
    struct gluster_item old[] = { { .id = "a", .json = "{1}" },
                                  { .id = "b", .json = "{1}", .essence = "[]" },
                                  { .id = "c", .json = "{1}", .essence = "[]" },
                                  { .id = "gone", .json = "{1}" },
                                  { .id = "same", .json = "{1}" } };
    struct gluster_item new[] = { { .id = "same", .json = "{1}" },
                                  { .id = "a", .json = "{2}" },
                                  { .id = "b", .json = "{2}", .essence = "[]" },
                                  { .id = "c", .json = "{1}", .essence = "[1]" },
                                  { .id = "new", .json = "{1}" } };
    const struct gluster_items before = { old, ARRAY_COUNT(old) }, now = { new, ARRAY_COUNT(new) };
    _cleanup_text_ struct text told = TEXT_INIT;

    (void)state;
    watched_compare(&before, &now, note, &told);
    assert_string_equal(told.bytes, "-gone! -a -c +new ");
}

static void
assert_datagram(const char *text, unsigned expected)
{
    unsigned hints = hint_of_datagram(text, strlen(text));

    if (hints != expected)
        fail_msg("'%s' hints at %u, not %u", text, hints, expected);
}

/* As glusterd 10.3 sends them. */
static void
datagrams_hint_by_their_type(void **state)
{
    (void)state;
    assert_datagram("1795274888 76 peer=10.77.2.11;volume=gv0;brick=/bricks/gv0-0", HINT_STATUS);
    assert_datagram("1795274892 66 svc_name=glustershd", HINT_STATUS);
    assert_datagram("1795274895 71 peer=10.77.2.13;uuid=52482207;state=Peer in Cluster",
                    HINT_PEERS | HINT_STATUS);
    assert_datagram("1795274882 6 name=gv0;options=,network.ping-timeout,8",
                    HINT_VOLUMES | HINT_STATUS);
    assert_datagram("1795275840 137 volume=d1", HINT_VOLUMES | HINT_OPERATIONS);
    assert_datagram("1795274885 97 client_uid=CTX_ID:165270e7", 0);
    assert_datagram("1 999 of a version to come", HINT_ALL);
    assert_datagram("", 0);
    assert_datagram("76", 0);
    assert_datagram("1 ", 0);
    assert_datagram(" 1 76 x", 0);
    assert_datagram("x 76 x", 0);
    assert_datagram("1 99999999999999999999999 x", HINT_ALL);
}

static void
files_hint_by_their_place_and_name(void **state)
{
    (void)state;
    assert_int_equal(hint_of_name(PLACE_VOLUME, "info"), HINT_VOLUMES | HINT_STATUS);
    assert_int_equal(hint_of_name(PLACE_VOLUME, "node_state.info"), HINT_OPERATIONS);
    assert_int_equal(hint_of_name(PLACE_VOLUME, "info.tmp"), 0);
    assert_int_equal(hint_of_name(PLACE_VOLUME, "gv0.tcp-fuse.vol"), 0);
    assert_int_equal(hint_of_name(PLACE_VOLUMES, "gv0"), HINT_VOLUMES | HINT_STATUS);
    assert_int_equal(hint_of_name(PLACE_PEERS, "52482207-b2ed"), HINT_PEERS);
    assert_int_equal(hint_of_name(PLACE_PEERS, "52482207-b2ed.tmp"), 0);
    assert_int_equal(hint_of_name(PLACE_SNAPSHOTS, "missed_snaps_list"), 0);
    assert_int_equal(hint_of_name(PLACE_SNAPSHOTS, "before"), HINT_VOLUMES);
    assert_int_equal(hint_of_name(PLACE_RUN, "glusterd.socket"), HINT_SERVER);
    assert_int_equal(hint_of_name(PLACE_RUN, "utmp"), 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_asked_without_a_reason),
        cmocka_unit_test(a_hint_is_followed_when_it_has_settled_and_not_too_often),
        cmocka_unit_test(what_goes_on_is_asked_for_by_who_listens_and_what_it_costs),
        cmocka_unit_test(a_change_is_a_new_one_a_gone_one_or_another_essence),
        cmocka_unit_test(datagrams_hint_by_their_type),
        cmocka_unit_test(files_hint_by_their_place_and_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
