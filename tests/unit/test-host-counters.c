/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/host-counters.h"

#include "tests/unit/host-fixture.h"

/* Of Linux 6.1 on a machine of one socket. */
static const char one_socket[] =
    "cpu  1000 200 300 40000 500 60 70 80 90 10\n"
    "cpu0 600 100 200 20000 300 30 40 50 60 5\n"
    "cpu1 400 100 100 20000 200 30 30 30 30 5\n"
    "intr 53185009 0 0 12\nctxt 267660021\nbtime 1795176140\nprocesses 9\nprocs_running 2\n";

static void
cpu_time_is_counted_once_whatever_it_went_to(void **state)
{
    struct cpu_table table;

    (void)state;
    assert_true(cpu_table_parse(one_socket, &table));
    assert_int_equal(table.count, 2);
    assert_int_equal(table.boot_s, 1795176140);
    assert_int_equal(table.total.ticks[CPU_USER], 1000 + 200 - 90 - 10);
    assert_int_equal(table.total.ticks[CPU_GUEST], 100);
    assert_int_equal(table.total.ticks[CPU_SYSTEM], 300 + 60 + 70);
    assert_int_equal(table.total.ticks[CPU_IDLE], 40000);
    assert_int_equal(table.total.ticks[CPU_IO_WAIT], 500);
    assert_int_equal(table.total.ticks[CPU_STEAL], 80);
    assert_int_equal(cpu_table_find(&table, 1)->ticks[CPU_SYSTEM], 160);
    assert_null(cpu_table_find(&table, 2));
    cpu_table_done(&table);
}

static void
hundreds_of_cpus_of_which_some_are_offline_are_found_by_number(void **state)
{
    struct text text = TEXT_INIT;
    struct cpu_table table;

    (void)state;
    text_append_string(&text, "cpu  1 1 1 1 1 1 1 1 1 1\n");
    for (unsigned cpu = 0; cpu < 512; cpu += 2)
        text_printf(&text, "cpu%u %u 0 0 9 0 0 0 0 0 0\n", cpu, cpu + 1);
    assert_true(cpu_table_parse(text.bytes, &table));
    assert_int_equal(table.count, 256);
    for (unsigned cpu = 0; cpu < 512; cpu++) {
        const struct cpu_times *times = cpu_table_find(&table, cpu);

        assert_int_equal(!times, cpu % 2);
        if (times)
            assert_int_equal(times->ticks[CPU_USER], cpu + 1);
    }
    cpu_table_done(&table);
    text_done(&text);
}

static void
a_text_that_is_none_of_cpus_is_refused(void **state)
{
    struct cpu_table table;

    (void)state;
    assert_false(cpu_table_parse("", &table));
    assert_false(cpu_table_parse("cpu 1 2\ncpu0 1 2 3 4\n", &table));
    assert_false(cpu_table_parse("cpufreq 1 2 3 4\n", &table));
}

static void
shares_are_of_the_time_between_and_idle_time_may_go_back(void **state)
{
    struct cpu_times before = { .ticks = { 100, 100, 0, 1000, 50, 0 } };
    struct cpu_times now = { .ticks = { 130, 110, 20, 1030, 40, 10 } };
    double shares[CPU_TIMES];

    (void)state;
    assert_true(cpu_shares(&before, &now, shares));
    assert_true(shares[CPU_USER] == 0.3 && shares[CPU_SYSTEM] == 0.1 && shares[CPU_GUEST] == 0.2);
    assert_true(shares[CPU_IDLE] == 0.3 && shares[CPU_IO_WAIT] == 0 && shares[CPU_STEAL] == 0.1);
    assert_false(cpu_shares(&now, &now, shares));
    before.ticks[CPU_SYSTEM] = 500; /* another CPU of that number */
    assert_false(cpu_shares(&before, &now, shares));
}

static void
interfaces_are_read_with_and_without_a_blank_behind_the_colon(void **state)
{
    static const char text[] =
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
        "drop fifo colls carrier compressed\n"
        "    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
        "enp1s0f0np0.100:18446744073709551615 22 0 0 0 0 0 0 99 1 0 5 0 0 0 0\n"
        " cut: 1 2 3\n";
    struct interface_table table;
    const struct interface_counters *found;

    (void)state;
    interface_table_parse(text, &table);
    assert_int_equal(table.count, 2);
    found = interface_table_find(&table, "lo", 0);
    assert_true(found->received.bytes == 1 && found->received.packets == 2);
    assert_true(found->received.errors == 3 && found->received.drops == 4);
    assert_true(found->sent.bytes == 9 && found->sent.packets == 10);
    assert_true(found->sent.errors == 11 && found->sent.drops == 12);
    found = interface_table_find(&table, "enp1s0f0np0.100", 0);
    assert_true(found->received.bytes == UINT64_MAX && found->sent.drops == 5);
    assert_null(interface_table_find(&table, "cut", 9));
    interface_table_done(&table);
}

/* 14 fields before Linux 4.18, 18 since, 20 since 5.5. */
static void
disks_are_read_as_kernels_of_all_ages_write_them(void **state)
{
    static const char text[] =
        "   8       0 sda 10 1 20 30 40 2 50 60 1 70 80\n"
        " 259       0 nvme0n1 100 0 800 7 200 0 1600 9 0 15 16 5 0 80 1 33 2\n"
        " 253       0 dm-0 1 0 8 1 2 0 16 2 0 3 3 0 0 0 0\n"
        " 253       1 cut 1 0 8\n";
    struct disk_table table;
    const struct disk_counters *disk;

    (void)state;
    disk_table_parse(text, &table);
    assert_int_equal(table.count, 3);
    disk = disk_table_find(&table, "sda", 2);
    assert_true(disk->reads == 10 && disk->read_bytes == 20 * 512 && disk->read_ms == 30);
    assert_true(disk->writes == 40 && disk->write_bytes == 50 * 512 && disk->write_ms == 60);
    assert_true(disk->in_flight == 1 && disk->busy_ms == 70);
    assert_true(disk->discards == 0 && disk->flushes == 0);
    disk = disk_table_find(&table, "nvme0n1", 1);
    assert_true(disk->discards == 5 && disk->discard_bytes == 80 * 512 && disk->flushes == 33);
    assert_null(disk_table_find(&table, "cut", 0));
    disk_table_done(&table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_time_is_counted_once_whatever_it_went_to),
        cmocka_unit_test(hundreds_of_cpus_of_which_some_are_offline_are_found_by_number),
        cmocka_unit_test(a_text_that_is_none_of_cpus_is_refused),
        cmocka_unit_test(shares_are_of_the_time_between_and_idle_time_may_go_back),
        cmocka_unit_test(interfaces_are_read_with_and_without_a_blank_behind_the_colon),
        cmocka_unit_test(disks_are_read_as_kernels_of_all_ages_write_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
