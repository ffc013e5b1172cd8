/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/host-sample.h"

#include "agent/base/clock.h"
#include "tests/unit/host-fixture.h"

/* Two nodes of one CPU each, an interface, a disk with a partition, swap, and no pressure. */
static void
two_nodes(void)
{
    host_file("/proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\n"
                            "cpu0 100 0 0 400 0 0 0 0 0 0\ncpu1 0 0 100 400 0 0 0 0 0 0\n"
                            "btime 1700000000\n");
    host_file("/proc/loadavg", "0.09 1.50 12.00 3/120 3000\n");
    host_file("/proc/uptime", "123.45 200.00\n");
    host_file("/proc/meminfo", "MemTotal:  8 kB\nMemFree: 4 kB\nMemAvailable:   6 kB\n"
                               "Buffers: 1 kB\nCached: 2 kB\nSwapTotal: 16 kB\nSwapFree: 8 kB\n"
                               "Shmem: 3 kB\nAnonHugePages: 5 kB\n");
    host_file("/proc/vmstat", "pswpin 2\npswpout 4\n");
    host_file("/proc/net/dev", "head\nhead\neth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n");
    host_file("/sys/class/net/eth0/operstate", "up\n");
    host_file("/proc/diskstats", " 8 0 sda 10 0 8 100 20 0 16 300 1 50 0\n"
                                 " 8 1 sda1 10 0 8 100 20 0 16 300 1 50 0\n"
                                 " 7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n");
    host_file("/sys/block/sda/size", "8\n");
    host_file("/sys/block/loop0/size", "0\n");
    host_file("/sys/devices/system/node/online", "0-1\n");
    host_file("/sys/devices/system/node/node0/cpulist", "0\n");
    host_file("/sys/devices/system/node/node0/meminfo",
              "Node 0 MemTotal:   4 kB\nNode 0 MemFree:  2 kB\n");
    host_file("/sys/devices/system/node/node1/cpulist", "1\n");
    host_file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "10\n");
    host_file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "7\n");
    host_file("/proc/self/stat",
              "77 (a) b) S 1 2 3 4 5 6 7 8 9 10 50 25 0 0 20 0 6 0 100 9999 12 1\n");
    host_file("/proc/self/fd/0", "");
}

/* What it is two seconds later. */
static void
later(void)
{
    host_file("/proc/stat", "cpu  150 0 150 900 0 0 0 0 0 0\n"
                            "cpu0 150 0 0 450 0 0 0 0 0 0\ncpu1 0 0 150 450 0 0 0 0 0 0\n"
                            "btime 1700000000\n");
    host_file("/proc/vmstat", "pswpin 4\npswpout 4\n");
    host_file("/proc/net/dev", "head\nhead\neth0: 5000 30 1 2 0 0 0 0 2000 10 3 4 0 0 0 0\n"
                               "tap1: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n");
    host_file("/proc/diskstats", " 8 0 sda 30 0 48 200 20 0 16 300 0 1050 0\n");
    host_file("/proc/self/stat",
              "77 (a) b) S 1 2 3 4 5 6 7 8 9 10 60 35 0 0 20 0 6 0 100 9999 12 1\n");
}

static struct host_sample *
take(const struct host_sample *before)
{
    struct host_sample *sample;
    struct error *error = NULL;

    assert_true(host_sample_take(host_root, before, before ? 2 * NS_PER_S : 0, &sample, &error));
    return sample;
}

static void
assert_has(const struct host_sample *sample, enum host_part part, const char *wanted)
{
    assert_text_has(sample->parts[part].bytes, wanted);
}

static void
the_first_sample_has_totals_and_no_rates(void **state)
{
    _cleanup_(host_sample_freep) struct host_sample *sample = NULL;

    (void)state;
    two_nodes();
    sample = take(NULL);
    assert_has(sample, HOST_CPU,
               "{\"online\":2,\"user\":null,\"system\":null,\"guest\":null,\"idle\":null,"
               "\"ioWait\":null,\"steal\":null,\"busyMs\":2000,\"totalMs\":10000}");
    assert_has(sample, HOST_LOAD,
               "{\"one\":0.09,\"five\":1.5,\"fifteen\":12,\"runnable\":3,\"threads\":120}");
    assert_has(sample, HOST_MEMORY,
               "{\"total\":8192,\"free\":4096,\"available\":6144,\"buffers\":1024,\"cached\":2048,"
               "\"shared\":3072,\"reclaimable\":null,\"dirty\":null,\"committed\":null,"
               "\"anonymousHuge\":5120,\"hugePages\":[{\"size\":2097152,\"total\":10,\"free\":7,"
               "\"reserved\":null}],\"swap\":{\"total\":16384,\"free\":8192,");
    assert_has(sample, HOST_MEMORY, "\"inPerSecond\":null,\"outPerSecond\":null},\"ksm\":null}");
    assert_has(sample, HOST_NETWORK,
               "[{\"name\":\"eth0\",\"state\":\"up\",\"received\":{\"bytes\":1000,\"packets\":10,"
               "\"errors\":1,\"drops\":2,\"bytesPerSecond\":null,\"packetsPerSecond\":null},"
               "\"sent\":{\"bytes\":2000,\"packets\":20,\"errors\":3,\"drops\":4,");
    assert_string_equal(sample->parts[HOST_PRESSURE].bytes,
                        "{\"cpu\":null,\"io\":null,\"memory\":null}");
    assert_int_equal(sample->uptime_ms, 123450);
    assert_int_equal(sample->agent.threads, 6);
    assert_int_equal(sample->agent.cpu_ms, 750);
    assert_int_equal(sample->agent.resident, 12 * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_int_equal(sample->agent.descriptors, 1);
}

static void
partitions_and_unused_disks_are_left_out(void **state)
{
    _cleanup_(host_sample_freep) struct host_sample *sample = NULL;

    (void)state;
    two_nodes();
    sample = take(NULL);
    assert_has(sample, HOST_DISKS,
               "[{\"name\":\"sda\",\"reads\":10,\"readBytes\":4096,\"readMs\":100,\"writes\":20,"
               "\"writeBytes\":8192,\"writeMs\":300,\"discardBytes\":0,\"flushes\":0,"
               "\"pending\":1,\"busyMs\":50,\"readsPerSecond\":null,");
    assert_null(strstr(sample->parts[HOST_DISKS].bytes, "sda1"));
    assert_null(strstr(sample->parts[HOST_DISKS].bytes, "loop0"));
}

static void
the_second_has_rates_of_the_time_between(void **state)
{
    _cleanup_(host_sample_freep) struct host_sample *before = NULL, *now = NULL;

    (void)state;
    two_nodes();
    before = take(NULL);
    later();
    now = take(before);
    assert_has(now, HOST_CPU, "\"user\":0.25,\"system\":0.25,\"guest\":0,\"idle\":0.5,");
    assert_has(now, HOST_CPUS, "[{\"cpu\":0,\"user\":0.5,\"system\":0,");
    assert_has(now, HOST_NUMA,
               "[{\"node\":0,\"memory\":4096,\"memoryFree\":2048,\"user\":0.5,\"system\":0,");
    assert_has(now, HOST_NUMA,
               "{\"node\":1,\"memory\":null,\"memoryFree\":null,\"user\":0,\"system\":0.5,");
    assert_has(now, HOST_NETWORK, "\"bytesPerSecond\":2000,\"packetsPerSecond\":10}");
    assert_has(now, HOST_DISKS,
               "\"readsPerSecond\":10,\"writesPerSecond\":0,\"readBytesPerSecond\":10240,"
               "\"writeBytesPerSecond\":0,\"busy\":0.5,\"readLatencyMs\":5,"
               "\"writeLatencyMs\":null}]");
    assert_true(now->agent_cpu_share == 0.1);
}

static void
what_went_back_or_has_just_come_has_no_rate(void **state)
{
    _cleanup_(host_sample_freep) struct host_sample *before = NULL, *now = NULL;

    (void)state;
    two_nodes();
    before = take(NULL);
    later();
    now = take(before);
    /* 20 packets sent before, 10 now: it was made anew. */
    assert_has(now, HOST_NETWORK, "\"drops\":4,\"bytesPerSecond\":0,\"packetsPerSecond\":null}");
    assert_has(now, HOST_NETWORK,
               "{\"name\":\"tap1\",\"state\":null,\"received\":{\"bytes\":9,\"packets\":9,"
               "\"errors\":0,\"drops\":0,\"bytesPerSecond\":null,\"packetsPerSecond\":null}");
}

static void
a_large_host_fits_into_an_answer(void **state)
{
    _cleanup_(host_sample_freep) struct host_sample *before = NULL, *now = NULL;
    _cleanup_text_ struct text cpus = TEXT_INIT, links = TEXT_INIT, disks = TEXT_INIT;
    size_t size = 0;

    (void)state;
    text_append_string(&cpus, "cpu  1 1 1 1 1 1 1 1 1 1\n");
    for (unsigned i = 0; i < 3000; i++) {
        _cleanup_free_ char *block = xprintf("/sys/block/disk%u/size", i);

        text_printf(&cpus, "cpu%u 99%u 1 1 1 1 1 1 1 1 1\n", i, i);
        text_printf(&links,
                    "virtualtap%u: 18446744073709551615 18446744073709551615 1 1 1 1 1 1 "
                    "18446744073709551615 18446744073709551615 1 1 1 1 1 1\n",
                    i);
        text_printf(&disks,
                    "8 0 disk%u 9999999999 0 99999999999 4294967295 9999999999 0 "
                    "99999999999 4294967295 0 4294967295 4294967295\n",
                    i);
        if (i < 1000)
            host_file(block, "1\n");
    }
    host_file("/proc/stat", cpus.bytes);
    host_file("/proc/net/dev", links.bytes);
    host_file("/proc/diskstats", disks.bytes);
    before = take(NULL);
    now = take(before);
    for (unsigned i = 0; i < HOST_PARTS; i++)
        size += now->parts[i].length;
    assert_in_range(size, 500000, 1000000);
    assert_int_equal(now->cpus.count, 3000);
    assert_int_equal(now->interfaces_left_out, 2000);
    assert_int_equal(now->disks_left_out, 200);
}

static void
pressure_is_in_shares_and_a_kernel_need_not_tell_all_of_it(void **state)
{
    (void)state;
    host_file("/proc/pressure/io", "some avg10=12.50 avg60=1.00 avg300=0.04 total=978594563\n"
                                   "full avg10=0.00 avg60=0.00 avg300=0.00 total=1999\n");
    host_file("/proc/pressure/cpu", "some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n");
    assert_part_is(host_pressure_write,
                   "{\"cpu\":{\"some\":{\"share10\":0.01,\"share60\":0,\"share300\":0,"
                   "\"totalMs\":0},\"full\":null},\"io\":{\"some\":{\"share10\":0.125,"
                   "\"share60\":0.01,\"share300\":0.0004,\"totalMs\":978594},"
                   "\"full\":{\"share10\":0,\"share60\":0,\"share300\":0,\"totalMs\":1}},"
                   "\"memory\":null}");
}

static void
without_proc_it_says_so(void **state)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct host_sample *sample;

    (void)state;
    assert_false(host_sample_take(host_root, NULL, 0, &sample, &error));
    assert_int_equal(error->code, ERROR_BACKEND_FAILED);
    assert_text_has(error->message, "/proc/stat");
}

#define HOST_TEST(test) cmocka_unit_test_setup_teardown(test, host_begin, host_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(the_first_sample_has_totals_and_no_rates),
        HOST_TEST(partitions_and_unused_disks_are_left_out),
        HOST_TEST(the_second_has_rates_of_the_time_between),
        HOST_TEST(what_went_back_or_has_just_come_has_no_rate),
        HOST_TEST(a_large_host_fits_into_an_answer),
        HOST_TEST(pressure_is_in_shares_and_a_kernel_need_not_tell_all_of_it),
        HOST_TEST(without_proc_it_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
