/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/migration.h"

#include <libvirt/libvirt.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/xml.h"
#include "virt/migration-args.h"
#include "virt/migration-target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define HERE "11111111-1111-4111-8111-111111111111"
#define THERE "22222222-2222-4222-8222-222222222222"

static void
expect_target(const char *uri, bool good)
{
    _cleanup_(error_freep) struct error *err = NULL;

    if (migration_target_check("target", uri, &err) == good)
        return;
    fail_msg("'%s' is %s: %s", uri, good ? "refused" : "let through", err ? err->message : "");
}

static void
only_a_remote_libvirt_is_a_target(void **unused)
{
    static const char *const good[] = {
        "qemu://host2/system",          "qemu+tls://host2.example.org/system",
        "qemu+tcp://10.0.0.7/system",   "qemu+tcp://10.0.0.7:16509/system",
        "qemu+tls://[fd00::7]/system",  "qemu+tcp://[fd00::7]:1234/system",
        "qemu+ssh://root@host2/system", "qemu+ssh://host2:2222/system",
        "qemu+ssh://a_b@host_2/system",
    };
    static const char *const bad[] = {
        "",
        "qemu:///system",
        "qemu+tcp:///system",
        "qemu+unix://host2/system",
        "qemu+ext://host2/system?command=/tmp/x",
        "qemu+tcp://host2/system?command=/tmp/x",
        "qemu+ssh://host2/system?keyfile=/root/.ssh/id&command=x",
        "qemu+tls://host2/system?pkipath=/tmp",
        "qemu+tcp://host2/system#x",
        "qemu+tcp://host2/session",
        "qemu+tcp://host2/system/",
        "qemu+tcp://host2",
        "qemu+tcp://host2?socket=/tmp/x/system",
        "qemu+tcp://host2/embed?root=/tmp",
        "qemu+ssh://-oProxyCommand=touch/system",
        "qemu+ssh://root@-oProxyCommand=x/system",
        "qemu+ssh://-l@host2/system",
        "qemu+ssh://a b@host2/system",
        "qemu+ssh://@host2/system",
        "qemu+tcp://root@host2/system",
        "qemu+tcp://host2:0/system",
        "qemu+tcp://host2:65536/system",
        "qemu+tcp://host2:12a/system",
        "qemu+tcp://host2:/system",
        "qemu+tcp://[fd00::7/system",
        "qemu+tcp://[host2]/system",
        "qemu+tcp://[]/system",
        "qemu+tcp://host%2d/system",
        "xen+tcp://host2/system",
        "test+tcp://host2/default",
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        expect_target(good[i], true);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        expect_target(bad[i], false);
}

static void
memory_goes_by_tcp_to_a_place(void **unused)
{
    static const char *const good[] = { "tcp://host2", "tcp://10.0.0.7:49152",
                                        "tcp://[fd00::7]:49152" };
    static const char *const bad[] = { "unix:///tmp/x",    "tcp:host2", "tcp://",
                                       "tcp://host2/",     "rdma://h",  "tcp://host2?x",
                                       "exec:touch /tmp/x" };
    struct error *err = NULL;

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_true(migration_route_check("migrateUri", good[i], &err));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(migration_route_check("migrateUri", bad[i], &err));
        assert_int_equal(err->code, ERROR_INVALID_PARAMS);
        error_free(TAKE(err));
    }
    assert_true(migration_address_check("listenAddress", "10.0.0.7", &err));
    assert_true(migration_address_check("listenAddress", "fd00::7", &err));
    assert_false(migration_address_check("listenAddress", "host2", &err));
    error_free(TAKE(err));
}

static struct migration_args
plain_args(void)
{
    return (struct migration_args){ .vm = { .vm = (char *)"web1" },
                                    .target = (char *)"qemu+tls://host2/system",
                                    .storage = "none",
                                    .definition = "move",
                                    .on_timeout = "abort" };
}

static void
what_is_asked_for_becomes_flags(void **unused)
{
    struct migration_args args = plain_args();
    const unsigned always = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER;

    (void)unused;
    assert_int_equal(migration_flags(&args, false), always);
    assert_int_equal(migration_flags(&args, true),
                     always | VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE);
    args.definition = "copy";
    assert_int_equal(migration_flags(&args, true), always | VIR_MIGRATE_PERSIST_DEST);
    args.definition = "leave";
    assert_int_equal(migration_flags(&args, true), always);
    args.storage = "full";
    args.tls = args.postcopy = args.auto_converge = args.compress = true;
    args.paused = args.abort_on_error = args.unsafe = true;
    args.connections = 4;
    assert_int_equal(migration_flags(&args, true),
                     always | VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_TLS | VIR_MIGRATE_POSTCOPY |
                         VIR_MIGRATE_AUTO_CONVERGE | VIR_MIGRATE_COMPRESSED | VIR_MIGRATE_PAUSED |
                         VIR_MIGRATE_ABORT_ON_ERROR | VIR_MIGRATE_UNSAFE | VIR_MIGRATE_PARALLEL);
    args = plain_args();
    args.storage = "incremental";
    args.recover = true;
    assert_int_equal(migration_flags(&args, false), always | VIR_MIGRATE_NON_SHARED_INC |
                                                        VIR_MIGRATE_POSTCOPY |
                                                        VIR_MIGRATE_POSTCOPY_RESUME);
}

static void
a_bound_is_told_in_mib_and_always(void **unused)
{
    struct migration_args args = plain_args();
    virTypedParameterPtr params = NULL;
    int count = 0;
    unsigned long long speed = 0;
    struct error *err = NULL;

    (void)unused;
    assert_int_equal(migration_speed(1), 1);
    assert_int_equal(migration_speed(1 << 20), 1);
    assert_int_equal(migration_speed((1 << 20) + 1), 2);
    assert_int_equal(migration_speed(0), INT64_MAX >> 20);
    assert_int_equal(migration_speed(UINT64_MAX), INT64_MAX >> 20);
    assert_true(migration_typed_params(&args, &params, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(virTypedParamsGetULLong(params, count, VIR_MIGRATE_PARAM_BANDWIDTH, &speed),
                     1);
    assert_int_equal(speed, INT64_MAX >> 20);
    virTypedParamsFree(params, count);
}

static void
chosen_disks_and_the_rest_become_parameters(void **unused)
{
    char *disks[] = { (char *)"vda", (char *)"vdb", NULL };
    struct migration_args args = plain_args();
    virTypedParameterPtr params = NULL;
    const char *text = NULL;
    int count = 0, port = 0, disk_count = 0;
    struct error *err = NULL;

    (void)unused;
    args.storage = "full";
    args.disks = disks;
    args.disks_port = 49200;
    args.route = (char *)"tcp://10.0.0.7";
    args.compress = true;
    assert_true(migration_typed_params(&args, &params, &count, &err));
    for (int i = 0; i < count; i++)
        if (strcmp(params[i].field, VIR_MIGRATE_PARAM_MIGRATE_DISKS) == 0)
            assert_string_equal(params[i].value.s, disks[disk_count++]);
    assert_int_equal(disk_count, 2);
    assert_int_equal(virTypedParamsGetInt(params, count, VIR_MIGRATE_PARAM_DISKS_PORT, &port), 1);
    assert_int_equal(port, 49200);
    assert_int_equal(virTypedParamsGetString(params, count, VIR_MIGRATE_PARAM_URI, &text), 1);
    assert_string_equal(text, "tcp://10.0.0.7");
    assert_int_equal(virTypedParamsGetString(params, count, VIR_MIGRATE_PARAM_COMPRESSION, &text),
                     1);
    virTypedParamsFree(params, count);
}

static enum migration_state
judge(enum migration_state state, bool incoming, struct migration_look look, bool late)
{
    const struct migration migration = { .state = state, .incoming = incoming };

    return migration_judge(&migration, &look, late);
}

#define RUNS .state = VIR_DOMAIN_RUNNING, .reason = VIR_DOMAIN_RUNNING_BOOTED
#define OFF(why) .state = VIR_DOMAIN_SHUTOFF, .reason = (why)
#define LOOK(...) ((struct migration_look){ __VA_ARGS__ })

static void
the_source_is_judged_by_what_is_there(void **unused)
{
    struct migration_look moved = LOOK(.outgoing = true, RUNS);

    (void)unused;
    assert_int_equal(judge(MIGRATION_PREPARING, false, moved, false), MIGRATION_PREPARING);
    for (size_t i = 0; i < MIGRATION_FIGURES; i++)
        moved.figures.known[i] = true, moved.figures.values[i] = 1;
    assert_int_equal(judge(MIGRATION_PREPARING, false, moved, false), MIGRATION_RUNNING);
    moved.state = VIR_DOMAIN_PAUSED;
    moved.reason = VIR_DOMAIN_PAUSED_POSTCOPY;
    assert_int_equal(judge(MIGRATION_RUNNING, false, moved, false), MIGRATION_POSTCOPY);
    moved.reason = VIR_DOMAIN_PAUSED_POSTCOPY_FAILED;
    assert_int_equal(judge(MIGRATION_POSTCOPY, false, moved, false), MIGRATION_INTERRUPTED);
    /* It runs here, and nothing moves it: it did not go. */
    assert_int_equal(judge(MIGRATION_RUNNING, false, LOOK(RUNS), false), MIGRATION_FAILED);
    /* libvirt's event is about to say why it is off, or gone. */
    assert_int_equal(judge(MIGRATION_RUNNING, false, LOOK(.gone = true), false), MIGRATION_RUNNING);
    assert_int_equal(
        judge(MIGRATION_RUNNING, false, LOOK(OFF(VIR_DOMAIN_SHUTOFF_DESTROYED)), false),
        MIGRATION_RUNNING);
    /* It never will: only what is certain is told. */
    assert_int_equal(judge(MIGRATION_RUNNING, false, LOOK(.gone = true), true), MIGRATION_UNKNOWN);
    assert_int_equal(judge(MIGRATION_RUNNING, false, LOOK(OFF(VIR_DOMAIN_SHUTOFF_MIGRATED)), true),
                     MIGRATION_DONE);
    assert_int_equal(judge(MIGRATION_RUNNING, false, LOOK(OFF(VIR_DOMAIN_SHUTOFF_SHUTDOWN)), true),
                     MIGRATION_UNKNOWN);
    assert_int_equal(
        judge(MIGRATION_RUNNING, false,
              LOOK(OFF(VIR_DOMAIN_SHUTOFF_UNKNOWN), .completed = true, .completed_in = true), true),
        MIGRATION_UNKNOWN);
}

static void
the_target_is_judged_by_what_is_there(void **unused)
{
    (void)unused;
    assert_int_equal(judge(MIGRATION_RUNNING, true,
                           LOOK(.incoming = true, .state = VIR_DOMAIN_PAUSED,
                                .reason = VIR_DOMAIN_PAUSED_MIGRATION),
                           false),
                     MIGRATION_RUNNING);
    assert_int_equal(judge(MIGRATION_RUNNING, true,
                           LOOK(.incoming = true, .state = VIR_DOMAIN_RUNNING,
                                .reason = VIR_DOMAIN_RUNNING_POSTCOPY),
                           false),
                     MIGRATION_POSTCOPY);
    assert_int_equal(judge(MIGRATION_RUNNING, true, LOOK(RUNS), false), MIGRATION_DONE);
    assert_int_equal(judge(MIGRATION_RUNNING, true, LOOK(.gone = true), false), MIGRATION_RUNNING);
    assert_int_equal(judge(MIGRATION_RUNNING, true, LOOK(.gone = true), true), MIGRATION_FAILED);
}

static void
a_record_tells_both_hosts_what_it_is(void **unused)
{
    const struct migration written = {
        .state = MIGRATION_RUNNING,
        .id = (char *)THERE,
        .task = (char *)"nightly <7>",
        .source = (char *)"host1",
        .source_host = (char *)HERE,
        .target = (char *)"qemu+tls://host2/system",
        .begun_ns = INT64_C(1700000000000000000),
        .postcopy = true,
        .postcopy_after = 2,
        .timeout_s = 30,
        .on_timeout = (char *)"postcopy",
    };
    _cleanup_free_ char *xml = migration_record_write(&written);
    struct migration read;

    (void)unused;
    assert_true(migration_record_read(xml, HERE, &read));
    assert_false(read.incoming);
    assert_string_equal(read.id, THERE);
    assert_string_equal(read.task, "nightly <7>");
    assert_string_equal(read.on_timeout, "postcopy");
    assert_true(read.postcopy && read.postcopy_after == 2 && read.timeout_s == 30);
    assert_true(read.begun_ns == written.begun_ns && !migration_is_over(read.state));
    migration_done(&read);
    assert_true(migration_record_read(xml, THERE, &read));
    assert_true(read.incoming);
    migration_done(&read);
    assert_false(migration_record_read("<migration id='x'/>", HERE, &read));
    assert_false(migration_record_read("no xml", HERE, &read));
}

static void
a_record_keeps_how_it_ended(void **unused)
{
    struct error *err = NULL;
    struct migration written = {
        .state = MIGRATION_FAILED,
        .id = (char *)THERE,
        .source_host = (char *)HERE,
        .target = (char *)"qemu+tls://host2/system",
        .ended_ns = 7,
    }, read;
    char *xml;

    (void)unused;
    (void)error_set(&err, ERROR_BACKEND_FAILED, "it <broke>");
    written.error = err;
    written.figures.known[0] = true;
    written.figures.values[0] = 1234;
    xml = migration_record_write(&written);
    assert_true(migration_record_read(xml, HERE, &read));
    assert_int_equal(read.state, MIGRATION_FAILED);
    assert_string_equal(read.error->message, "it <broke>");
    assert_int_equal(migration_figure(&read.figures, VIR_DOMAIN_JOB_TIME_ELAPSED), 1234);
    assert_false(read.figures.known[1]);
    assert_int_equal(read.ended_ns, 7);
    migration_done(&read);
    free(xml);
    error_free(err);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_remote_libvirt_is_a_target),
        cmocka_unit_test(memory_goes_by_tcp_to_a_place),
        cmocka_unit_test(what_is_asked_for_becomes_flags),
        cmocka_unit_test(a_bound_is_told_in_mib_and_always),
        cmocka_unit_test(chosen_disks_and_the_rest_become_parameters),
        cmocka_unit_test(the_source_is_judged_by_what_is_there),
        cmocka_unit_test(the_target_is_judged_by_what_is_there),
        cmocka_unit_test(a_record_tells_both_hosts_what_it_is),
        cmocka_unit_test(a_record_keeps_how_it_ended),
    };

    xml_prepare();
    if (virInitialize() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
