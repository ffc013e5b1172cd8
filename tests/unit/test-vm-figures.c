/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm-figures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "agent/base/clock.h"
#include "virt/vm-stats.h"

/* As libvirt 9.0 told of a guest of QEMU 7.2, cut. */
struct told {
    virTypedParameter params[64];
    size_t count;
};

static void
tell(struct told *told, const char *field, unsigned long long value)
{
    virTypedParameter *param = &told->params[told->count++];

    assert_in_range(told->count, 1, 64);
    (void)strncpy(param->field, field, sizeof(param->field) - 1);
    param->type = VIR_TYPED_PARAM_ULLONG;
    param->value.ul = value;
}

static void
tell_text(struct told *told, const char *field, char *value)
{
    tell(told, field, 0);
    told->params[told->count - 1].type = VIR_TYPED_PARAM_STRING;
    told->params[told->count - 1].value.s = value;
}

static void
tell_negative(struct told *told, const char *field)
{
    tell(told, field, 0);
    told->params[told->count - 1].type = VIR_TYPED_PARAM_LLONG;
    told->params[told->count - 1].value.l = -1;
}

static char vda[] = "vda", path[] = "/r/images/web1/data", vnet0[] = "vnet0";

/* 'n' of everything has happened. */
static void
tell_all(struct told *told, unsigned long long n)
{
    *told = (struct told){ .count = 0 };
    tell(told, "state.state", 1);
    tell(told, "cpu.time", 2000000000 * n);
    tell(told, "cpu.user", 1000000000 * n);
    tell(told, "cpu.cache.monitor.count", 0);
    tell(told, "balloon.current", 131072);
    tell(told, "balloon.maximum", 262144);
    tell(told, "balloon.rss", 1024);
    tell(told, "balloon.last-update", 1795286606);
    tell(told, "vcpu.current", 1);
    tell(told, "vcpu.0.state", 1);
    tell(told, "vcpu.0.time", 1500000000 * n);
    tell(told, "vcpu.0.delay", 500000000 * n);
    tell(told, "vcpu.3.state", 0);
    tell(told, "net.count", 1);
    tell_text(told, "net.0.name", vnet0);
    tell(told, "net.0.rx.bytes", 1000 * n);
    tell(told, "net.0.rx.pkts", 10 * n);
    tell(told, "net.0.tx.bytes", 2000 * n);
    tell(told, "block.count", 1);
    tell_text(told, "block.0.name", vda);
    tell_text(told, "block.0.path", path);
    tell(told, "block.0.rd.reqs", 100 * n);
    tell(told, "block.0.rd.bytes", 409600 * n);
    tell(told, "block.0.rd.times", 50000000 * n);
    tell(told, "block.0.wr.reqs", 7);
    tell_negative(told, "block.0.wr.bytes");
    tell(told, "block.0.allocation", 4096);
    tell(told, "block.0.capacity", 8192);
    tell(told, "block.0.physical", 512);
}

static struct vm_figures
figures_of(const struct told *told, unsigned id)
{
    struct vm_figures figures = { .uuid = "a", .id = id };

    vm_figures_read(&figures, told->params, told->count);
    return figures;
}

static void
assert_part_has(const struct vm_figures *figures, enum vm_part part, const char *wanted)
{
    if (!strstr(figures->parts[part].bytes, wanted))
        fail_msg("'%s' is not in %s", wanted, figures->parts[part].bytes);
}

static void
the_first_figures_are_totals_without_rates(void **state)
{
    struct told told;
    struct vm_figures figures;

    (void)state;
    tell_all(&told, 1);
    figures = figures_of(&told, 1);
    vm_figures_write(&figures, NULL, 0, NULL);
    assert_false(figures.stale);
    assert_string_equal(figures.parts[VM_PART_CPU].bytes,
                        "{\"timeMs\":2000,\"userMs\":1000,\"systemMs\":null,\"cpusUsed\":null,"
                        "\"cpusUser\":null,\"cpusSystem\":null}");
    assert_part_has(&figures, VM_PART_MEMORY,
                    "{\"current\":134217728,\"maximum\":268435456,\"available\":null,");
    assert_part_has(&figures, VM_PART_MEMORY,
                    "\"resident\":1048576,\"swapIn\":null,\"swapOut\":null,\"majorFaults\":null,"
                    "\"minorFaults\":null,\"updated\":\"2026-11-21T18:43:26.000Z\"}");
    assert_string_equal(figures.parts[VM_PART_VCPUS].bytes,
                        "[{\"vcpu\":0,\"state\":\"running\",\"timeMs\":1500,\"waitMs\":null,"
                        "\"delayMs\":500,\"busy\":null,\"delayed\":null},"
                        "{\"vcpu\":3,\"state\":\"offline\",\"timeMs\":null,\"waitMs\":null,"
                        "\"delayMs\":null,\"busy\":null,\"delayed\":null}]");
    assert_part_has(&figures, VM_PART_DISKS,
                    "[{\"target\":\"vda\",\"source\":\"/r/images/web1/data\",\"repository\":null,"
                    "\"image\":null,\"reads\":100,\"readBytes\":409600,\"readMs\":50,\"writes\":7,"
                    "\"writeBytes\":null,\"writeMs\":null,\"flushes\":null,\"flushMs\":null,"
                    "\"allocation\":4096,\"capacity\":8192,\"physical\":512,"
                    "\"readsPerSecond\":null,");
    vm_figures_done(&figures);
}

static void
rates_are_of_the_time_between(void **state)
{
    struct told told;
    struct vm_figures before, now;

    (void)state;
    tell_all(&told, 1);
    before = figures_of(&told, 1);
    tell_all(&told, 2);
    now = figures_of(&told, 1);
    vm_figures_write(&now, &before, 4 * NS_PER_S, NULL);
    assert_part_has(&now, VM_PART_CPU, "\"cpusUsed\":0.5,\"cpusUser\":0.25,\"cpusSystem\":null}");
    assert_part_has(&now, VM_PART_VCPUS, "\"busy\":0.375,\"delayed\":0.125}");
    assert_part_has(&now, VM_PART_DISKS,
                    "\"readsPerSecond\":25,\"writesPerSecond\":0,\"readBytesPerSecond\":102400,"
                    "\"writeBytesPerSecond\":null,\"readLatencyMs\":0.5,\"writeLatencyMs\":null,"
                    "\"flushLatencyMs\":null}]");
    assert_part_has(&now, VM_PART_NETWORKS,
                    "[{\"name\":\"vnet0\",\"mac\":null,\"received\":{\"bytes\":2000,\"packets\":20,"
                    "\"errors\":null,\"drops\":null,\"bytesPerSecond\":250,"
                    "\"packetsPerSecond\":2.5},\"sent\":{\"bytes\":4000,\"packets\":null,");
    vm_figures_done(&before);
    vm_figures_done(&now);
}

static void
a_vm_that_was_started_again_has_no_rates(void **state)
{
    struct told told;
    struct vm_figures before, now;

    (void)state;
    tell_all(&told, 1);
    before = figures_of(&told, 1);
    tell_all(&told, 2); /* even where its counters have grown beyond those of the run before */
    now = figures_of(&told, 2);
    vm_figures_write(&now, &before, NS_PER_S, NULL);
    assert_part_has(&now, VM_PART_CPU, "\"cpusUsed\":null");
    assert_part_has(&now, VM_PART_DISKS, "\"readsPerSecond\":null");
    vm_figures_done(&before);
    vm_figures_done(&now);
}

static void
counters_that_went_back_have_no_rates(void **state)
{
    struct told told;
    struct vm_figures before, now;

    (void)state;
    tell_all(&told, 2);
    before = figures_of(&told, 1);
    tell_all(&told, 1);
    now = figures_of(&told, 1);
    vm_figures_write(&now, &before, NS_PER_S, NULL);
    assert_part_has(&now, VM_PART_CPU, "\"cpusUsed\":null");
    assert_part_has(&now, VM_PART_DISKS, "\"readsPerSecond\":null,\"writesPerSecond\":0");
    vm_figures_done(&before);
    vm_figures_done(&now);
}

static void
what_qemu_could_not_be_asked_is_null_and_marked(void **state)
{
    struct told told = { .count = 0 };
    struct vm_figures figures;

    (void)state;
    tell(&told, "cpu.time", 5000000);
    tell(&told, "balloon.current", 131072);
    tell(&told, "balloon.maximum", 131072);
    tell_text(&told, "block.0.name", vda);
    figures = figures_of(&told, 1);
    vm_figures_write(&figures, NULL, 0, NULL);
    assert_true(figures.stale);
    assert_part_has(&figures, VM_PART_CPU, "{\"timeMs\":5,");
    assert_part_has(&figures, VM_PART_DISKS, "{\"target\":\"vda\",\"source\":null,");
    assert_part_has(&figures, VM_PART_DISKS, "\"reads\":null,");
    vm_figures_done(&figures);
}

static void
a_driver_that_tells_nothing_is_answered_with_nothing(void **state)
{
    struct told told = { .count = 0 };
    struct vm_figures figures;

    (void)state;
    tell(&told, "state.state", 1);
    tell(&told, "block.x", 1);
    tell(&told, "block.99999999999999999999.rd.reqs", 1);
    tell(&told, "block.5", 1);
    figures = figures_of(&told, 1);
    vm_figures_write(&figures, NULL, 0, NULL);
    assert_false(figures.stale);
    assert_string_equal(figures.parts[VM_PART_CPU].bytes, "null");
    assert_string_equal(figures.parts[VM_PART_MEMORY].bytes, "null");
    assert_string_equal(figures.parts[VM_PART_DISKS].bytes, "[]");
    vm_figures_done(&figures);
}

static void
disks_and_interfaces_are_named_as_the_agent_knows_them(void **state)
{
    static char web1[] = "web1", fast[] = "fast", mac[] = "52:54:00:00:00:01", other[] = "vdb";
    struct vm_name disks[] = { { .name = other },
                               { .name = vda, .repository = fast, .image = web1 } };
    struct vm_name networks[] = { { .name = vnet0, .mac = mac } };
    struct vm_names names[] = {
        { .uuid = "0" },
        { .uuid = "a", .disks = disks, .disk_count = 2, .networks = networks, .network_count = 1 },
    };
    struct vm_figures all[2];
    struct vm_sample sample = { .all = all, .count = 2 };
    struct told told;

    (void)state;
    tell_all(&told, 1);
    all[0] = figures_of(&told, 1);
    all[1] = figures_of(&told, 1);
    memcpy(all[0].uuid, "b", 2); /* not in order */
    vm_sample_write(&sample, NULL, 0, names, 2);
    assert_ptr_equal(vm_sample_find(&sample, "a"), &all[0]);
    assert_ptr_equal(vm_sample_find(&sample, "b"), &all[1]);
    assert_null(vm_sample_find(&sample, "c"));
    assert_part_has(&all[0], VM_PART_DISKS, "\"repository\":\"fast\",\"image\":\"web1\",");
    assert_part_has(&all[0], VM_PART_NETWORKS, "\"mac\":\"52:54:00:00:00:01\",");
    assert_part_has(&all[1], VM_PART_DISKS, "\"repository\":null,\"image\":null,");
    vm_figures_done(&all[0]);
    vm_figures_done(&all[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_figures_are_totals_without_rates),
        cmocka_unit_test(rates_are_of_the_time_between),
        cmocka_unit_test(a_vm_that_was_started_again_has_no_rates),
        cmocka_unit_test(counters_that_went_back_have_no_rates),
        cmocka_unit_test(what_qemu_could_not_be_asked_is_null_and_marked),
        cmocka_unit_test(a_driver_that_tells_nothing_is_answered_with_nothing),
        cmocka_unit_test(disks_and_interfaces_are_named_as_the_agent_knows_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
