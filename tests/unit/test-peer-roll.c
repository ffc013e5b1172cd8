/* SPDX-License-Identifier: Apache-2.0 */
/* The decisions; tests/real/test_peer_roll.py has the hosts. */
#include <config.h>

#include "gluster/peer-roll.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "gluster/pool-health.h"
#include "tests/unit/recorded-fixture.h"

static void
each_phase_has_one_way_on(void **unused)
{
    static const struct {
        enum roll_phase phase;
        bool gone, healthy;
        enum roll_phase next;
    } table[] = {
        { ROLL_WAITING, false, true, ROLL_CHECKING },
        { ROLL_WAITING, false, false, ROLL_CHECKING },
        { ROLL_CHECKING, false, false, ROLL_CHECKING },
        { ROLL_CHECKING, false, true, ROLL_RESTARTING },
        /* It was due, then something else failed, and then it happened all the same. */
        { ROLL_CHECKING, true, false, ROLL_SETTLING },
        { ROLL_CHECKING, true, true, ROLL_SETTLING },
        { ROLL_RESTARTING, false, true, ROLL_RESTARTING },
        { ROLL_RESTARTING, false, false, ROLL_CHECKING },
        { ROLL_RESTARTING, true, false, ROLL_SETTLING },
        { ROLL_RESTARTING, true, true, ROLL_SETTLING },
        { ROLL_SETTLING, false, false, ROLL_SETTLING },
        { ROLL_SETTLING, false, true, ROLL_DONE },
        { ROLL_DONE, false, false, ROLL_DONE },
        { ROLL_DONE, false, true, ROLL_DONE },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        const struct roll_view view = { .gone = table[i].gone, .healthy = table[i].healthy };
        enum roll_phase next = roll_next(table[i].phase, &view);

        if (next != table[i].next)
            fail_msg("%s, %s, %s: %s instead of %s", roll_phase_name(table[i].phase),
                     view.gone ? "gone" : "there", view.healthy ? "healthy" : "not healthy",
                     roll_phase_name(next), roll_phase_name(table[i].next));
    }
}

/* Whatever is seen, and in whatever order: a peer is due only after a look at a healthy pool, and no two
   are at it at once. */
static void
never_are_two_down(void **unused)
{
    (void)unused;
    for (unsigned seed = 0; seed < 4096; seed++) {
        struct roll_peer peers[3] = { 0 };
        struct roll roll = { .peers = peers, .count = 3 };

        for (unsigned step = 0, bits = seed * 2654435761U; step < 200; step++) {
            struct roll_peer *peer = roll_current(&roll);
            const struct roll_view view = { .healthy = bits & 1, .gone = bits & 2 };
            unsigned busy = 0;

            bits = bits * 1664525U + 1013904223U;
            bits ^= bits >> 15;
            if (!peer)
                break;
            peer->phase = roll_next(peer->phase, &view);
            if (peer->phase == ROLL_RESTARTING)
                assert_true(view.healthy);
            for (size_t i = 0; i < 3; i++)
                busy += peers[i].phase == ROLL_RESTARTING || peers[i].phase == ROLL_SETTLING;
            assert_true(busy <= 1);
        }
        assert_int_equal(roll_done_count(&roll), 3);
    }
}

static struct peers
pool(const char *name)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(name);
    _cleanup_(error_freep) struct error *err = NULL;
    struct peers peers = { 0 };

    if (!peers_read(document, &peers, &err))
        fail_msg("%s: %s", name, err->message);
    return peers;
}

static void
peers_are_taken_in_the_callers_order(void **unused)
{
    _cleanup_peers_ struct peers peers = pool("pool-list.xml");
    char here[] = "localhost", last[] = "10.77.2.13", nobody[] = "10.77.2.99";
    char *const two[] = { here, last, NULL }, *const twice[] = { last, peers.all[1].uuid, NULL },
                *const unknown[] = { nobody, NULL }, *const none[] = { NULL };
    static const enum error_code codes[] = { ERROR_INVALID_PARAMS, ERROR_NOT_FOUND,
                                             ERROR_INVALID_PARAMS };
    char *const *const wrong[] = { twice, unknown, none };
    _cleanup_(error_freep) struct error *err = NULL;
    struct roll roll = { 0 };

    (void)unused;
    assert_true(roll_begin(&roll, &peers, two, &err));
    assert_int_equal(roll.count, 2);
    assert_true(roll.peers[0].here && !roll.peers[1].here);
    assert_string_equal(roll.peers[1].uuid, peers.all[1].uuid);
    roll_done(&roll);
    assert_true(roll_begin(&roll, &peers, NULL, &err));
    assert_int_equal(roll.count, 3);
    roll_done(&roll);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        _cleanup_(error_freep) struct error *error = NULL;

        assert_false(roll_begin(&roll, &peers, wrong[i], &error));
        assert_int_equal(error->code, codes[i]);
        roll_done(&roll);
    }
}

/* '*ret_statuses' is the caller's, as is what is returned. */
static char *
status_problem(const char *info, const char *status, struct statuses *ret_statuses)
{
    _cleanup_(xml_freep) struct xml_document *volumes_document = recorded_document(info);
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(status);
    _cleanup_volumes_ struct volumes volumes = { 0 };
    _cleanup_(error_freep) struct error *err = NULL;

    if (!volumes_read(volumes_document, &volumes, &err))
        fail_msg("%s: %s", info, err->message);
    statuses_begin(ret_statuses, &volumes);
    if (!statuses_read(ret_statuses, document, &err))
        fail_msg("%s: %s", status, err->message);
    return pool_status_problem(ret_statuses);
}

static void
what_is_not_well_is_named(void **unused)
{
    _cleanup_peers_ struct peers well = pool("pool-list.xml"), down = pool("pool-list-down.xml");
    _cleanup_free_ char *lost = pool_peers_problem(&down);
    _cleanup_statuses_ struct statuses dead = { 0 };
    _cleanup_free_ char *brick =
        status_problem("volume-info-down-peer.xml", "volume-status-dead-brick.xml", &dead);

    (void)unused;
    assert_null(pool_peers_problem(&well));
    assert_string_equal(lost, "peer '10.77.2.12' is not connected");
    assert_non_null(brick);
    assert_non_null(strstr(brick, "' is not online"));
}

static void
healing_is_named_with_its_count(void **unused)
{
    char one[] = "a:/0", two[] = "b:/0", name[] = "gv0";
    struct brick bricks[] = { { .name = one }, { .name = two } };
    struct heal_brick heals[] = { { .name = one, .connected = true },
                                  { .name = two, .connected = true } };
    const struct volume volume = { .name = name, .replica = 2, .brick_count = 2, .bricks = bricks };
    const struct heal_info info = { .bricks = heals, .count = 2 };
    char *problem = pool_heal_problem(&volume, &info);

    (void)unused;
    assert_null(problem);
    heals[0].entries = 7;
    problem = pool_heal_problem(&volume, &info);
    assert_string_equal(problem, "volume 'gv0' has 7 entries to heal");
    free(problem);
    heals[1].connected = false;
    problem = pool_heal_problem(&volume, &info);
    assert_string_equal(problem, "not every brick of volume 'gv0' tells what it has to heal");
    free(problem);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_phase_has_one_way_on),
        cmocka_unit_test(never_are_two_down),
        cmocka_unit_test(peers_are_taken_in_the_callers_order),
        cmocka_unit_test(what_is_not_well_is_named),
        cmocka_unit_test(healing_is_named_with_its_count),
    };

    xml_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
