/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that glusterd 10.3 gave (tests/unit/gluster/README.md). */
#include <config.h>

#include "gluster/peer.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "gluster/command.h"
#include "tests/unit/recorded-fixture.h"

static struct peers
peers_of(const char *name)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(name);
    _cleanup_(error_freep) struct error *err = NULL;
    struct peers peers = { 0 };

    if (!peers_read(document, &peers, &err))
        fail_msg("%s: %s", name, err->message);
    return peers;
}

static void
a_pool_lists_this_host_and_the_others(void **unused)
{
    _cleanup_peers_ struct peers peers = peers_of("pool-list.xml");
    _cleanup_peers_ struct peers alone = peers_of("pool-list-one-alone.xml");

    (void)unused;
    assert_int_equal(peers.count, 3);
    assert_string_equal(peers.all[0].host, "10.77.2.12");
    assert_int_equal(peers.all[0].name_count, 1);
    assert_string_equal(peers.all[0].names[0], "10.77.2.12");
    assert_string_equal(peers.all[0].state, "peer in cluster");
    assert_false(peers.all[0].here);
    assert_true(peers.all[2].here);
    assert_int_equal(peers.all[2].name_count, 0);
    for (size_t i = 0; i < 3; i++)
        assert_true(peer_is_well(&peers.all[i]));
    assert_int_equal(alone.count, 1);
    assert_true(alone.all[0].here && peer_is_well(&alone.all[0]));
}

static void
a_lost_peer_is_not_well(void **unused)
{
    _cleanup_peers_ struct peers peers = peers_of("pool-list-down.xml");

    (void)unused;
    assert_false(peers.all[0].connected);
    assert_false(peer_is_well(&peers.all[0]));
    assert_true(peer_is_well(&peers.all[1]));
}

static void
a_rejected_peer_is_not_well(void **unused)
{
    char state[] = "peer rejected";
    const struct peer peer = { .state = state, .connected = true };

    (void)unused;
    assert_false(peer_is_well(&peer));
}

static void
a_peer_is_found_by_each_of_its_names(void **unused)
{
    _cleanup_peers_ struct peers peers = peers_of("pool-list.xml");
    char other[] = "Node2.example";
    char *saved = peers.all[1].names[0];

    (void)unused;
    peers.all[1].names[0] = other;
    assert_ptr_equal(peers_find(&peers, "node2.EXAMPLE"), &peers.all[1]);
    peers.all[1].names[0] = saved;
    assert_ptr_equal(peers_find(&peers, "10.77.2.13"), &peers.all[1]);
    assert_ptr_equal(peers_find(&peers, peers.all[0].uuid), &peers.all[0]);
    assert_ptr_equal(peers_find(&peers, "localhost"), &peers.all[2]);
    assert_null(peers_find(&peers, "10.77.2.1"));
}

static void
each_refusal_has_a_name_of_our_own(void **unused)
{
    static const struct {
        const char *name;
        enum error_code code;
        const char *state;
    } table[] = {
        { "peer-probe-has-volumes.xml", ERROR_WRONG_STATE, "in another pool, or with volumes" },
        { "peer-probe-no-glusterd.xml", ERROR_WRONG_STATE, "unreachable" },
        { "peer-probe-unknown-name.xml", ERROR_WRONG_STATE, "unreachable" },
        { "peer-probe-unreachable.xml", ERROR_WRONG_STATE, "unreachable" },
        { "peer-detach-localhost.xml", ERROR_WRONG_STATE, "the host that was asked" },
        { "peer-detach-unknown.xml", ERROR_NOT_FOUND, NULL },
        { "peer-detach-while-one-is-down.xml", ERROR_WRONG_STATE, "a peer is down" },
        { "peer-detach-with-bricks.xml", ERROR_WRONG_STATE, "with bricks" },
        { "peer-detach-with-bricks-force.xml", ERROR_WRONG_STATE, "with bricks" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(xml_freep) struct xml_document *document = recorded_document(table[i].name);
        const struct xml_node *root = xml_root(document);
        const struct gluster_failure *failure =
            gluster_failure_find((int)xml_count(root, "opErrno"), xml_text(root, "opErrstr"));

        if (!failure || failure->code != table[i].code)
            fail_msg("%s is %s", table[i].name,
                     failure ? error_code_name(failure->code) : "BackendFailed");
        if (table[i].state)
            assert_string_equal(failure->state, table[i].state);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_lists_this_host_and_the_others),
        cmocka_unit_test(a_lost_peer_is_not_well),
        cmocka_unit_test(a_rejected_peer_is_not_well),
        cmocka_unit_test(a_peer_is_found_by_each_of_its_names),
        cmocka_unit_test(each_refusal_has_a_name_of_our_own),
    };

    xml_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
