/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/intern.h"
#include "tests/unit/agent-fixture.h"

static void
a_backend_is_told_of_when_it_changes_and_only_then(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    const struct event *event;

    (void)state;
    backend_set(&fixture, "libvirt", false, NULL, "not installed");
    backend_set(&fixture, "libvirt", false, NULL, "not installed");
    assert_int_equal(ring_newest(fixture.ring), 1);
    backend_set(&fixture, "libvirt", false, NULL, "not running");
    backend_set(&fixture, "libvirt", true, "9.0", NULL);
    backend_set(&fixture, "libvirt", true, "9.0", NULL);
    assert_int_equal(ring_newest(fixture.ring), 3);
    event = ring_get(fixture.ring, 3);
    assert_string_equal(event->topic, "host.backend");
    assert_string_equal(event->subject, "libvirt");
    backend_set(&fixture, "etcd", false, NULL, "none named");
    backends_write(&fixture, &writer);
    assert_non_null(strstr(writer.text.bytes, "{\"backend\":\"libvirt\",\"state\":\"available\","
                                              "\"version\":\"9.0\",\"reason\":null,"));
    assert_non_null(strstr(writer.text.bytes, "{\"backend\":\"etcd\",\"state\":\"unavailable\","
                                              "\"version\":null,\"reason\":\"none named\","));
}

static void
providers_of_snapshots_come_in_the_order_of_their_registration(void **state)
{
    static const struct snapshot_provider first = { .topic = "a" }, second = { .topic = "b" };

    (void)state;
    assert_null(snapshot_provider_at(&fixture, 0));
    snapshot_register(&fixture, &first);
    snapshot_register(&fixture, &second);
    assert_ptr_equal(snapshot_provider_at(&fixture, 0), &first);
    assert_ptr_equal(snapshot_provider_at(&fixture, 1), &second);
    assert_null(snapshot_provider_at(&fixture, 2));
}

static void
a_text_has_one_number_and_there_is_room_for_some(void **state)
{
    struct intern table = { 0 };
    uint64_t first = intern_number(&table, "uid:0"), last = 0;

    (void)state;
    assert_true(first > 0);
    assert_int_equal(intern_number(&table, "uid:0"), first);
    assert_true(intern_number(&table, "uid:1") != first);
    assert_int_equal(intern_number(&table, NULL), 0);
    assert_null(intern_text(&table, 0));
    for (unsigned i = 0; i < 10000; i++) {
        _cleanup_free_ char *text = xprintf("cert:%u", i);

        last = intern_number(&table, text);
        if (last)
            assert_string_equal(intern_text(&table, last), text);
    }
    assert_int_equal(last, 0); /* callers choose names: no more than so many are kept */
    assert_string_equal(intern_text(&table, first), "uid:0");
    intern_done(&table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_backend_is_told_of_when_it_changes_and_only_then,
                                        fixture_begin, fixture_end),
        cmocka_unit_test_setup_teardown(
            providers_of_snapshots_come_in_the_order_of_their_registration, fixture_begin,
            fixture_end),
        cmocka_unit_test(a_text_has_one_number_and_there_is_room_for_some),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
