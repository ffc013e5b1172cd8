/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/json-writer.h"
#include "agent/host-read.h"
#include "agent/host-sample.h"

#define KIB 1024
#define TEXT_LIMIT (256 * 1024)

void
host_huge_pages_write(const char *root, struct writer *writer)
{
    _cleanup_(strings_freep) char **names = host_list(root, "/sys/kernel/mm/hugepages");

    writer_array(writer);
    for (char **name = names; *name; name++) {
        const char *folder = *name;
        uint64_t size;

        if (sscanf(folder, "hugepages-%" SCNu64 "kB", &size) != 1)
            continue;
        writer_object(writer);
        writer_member_unsigned(writer, "size", size * KIB);
        host_write_number(writer, "total", root, "/sys/kernel/mm/hugepages/%s/nr_hugepages",
                          folder);
        host_write_number(writer, "free", root, "/sys/kernel/mm/hugepages/%s/free_hugepages",
                          folder);
        host_write_number(writer, "reserved", root, "/sys/kernel/mm/hugepages/%s/resv_hugepages",
                          folder);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

static void
write_swap(const char *root, const char *meminfo, struct host_sample *sample,
           const struct host_sample *before, int64_t interval_ns, struct writer *writer)
{
    _cleanup_free_ char *vmstat = host_read(root, TEXT_LIMIT, "/proc/vmstat");
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE), in = 0, out = 0;
    bool known = vmstat && text_number_after(vmstat, "pswpin ", &in) &&
                 text_number_after(vmstat, "pswpout ", &out);

    sample->swap_in = in * page_size;
    sample->swap_out = out * page_size;
    writer_object(writer);
    host_write_kib(writer, "total", meminfo, "SwapTotal:");
    host_write_kib(writer, "free", meminfo, "SwapFree:");
    writer_member_if_known(writer, "in", known, sample->swap_in);
    writer_member_if_known(writer, "out", known, sample->swap_out);
    if (!before || !known)
        interval_ns = 0;
    rate_write(writer, "inPerSecond", before ? before->swap_in : 0, sample->swap_in, interval_ns);
    rate_write(writer, "outPerSecond", before ? before->swap_out : 0, sample->swap_out,
               interval_ns);
    writer_end_object(writer);
}

static void
write_pages(struct writer *writer, const char *member, const char *root, const char *file)
{
    uint64_t pages = 0;
    bool known = host_read_number(root, &pages, "/sys/kernel/mm/ksm/%s", file);

    writer_member_if_known(writer, member, known, pages * (uint64_t)sysconf(_SC_PAGESIZE));
}

static void
write_ksm(const char *root, struct writer *writer)
{
    uint64_t run;

    if (!host_read_number(root, &run, "/sys/kernel/mm/ksm/run")) {
        writer_null(writer);
        return;
    }
    writer_object(writer);
    writer_member_bool(writer, "running", run == 1);
    write_pages(writer, "shared", root, "pages_shared");
    write_pages(writer, "sharing", root, "pages_sharing");
    host_write_number(writer, "pagesToScan", root, "/sys/kernel/mm/ksm/pages_to_scan");
    host_write_number(writer, "sleepMs", root, "/sys/kernel/mm/ksm/sleep_millisecs");
    writer_end_object(writer);
}

void
host_memory_write(const char *root, struct host_sample *sample, const struct host_sample *before,
                  int64_t interval_ns, struct writer *writer)
{
    static const struct {
        const char *member, *name;
    } fields[] = {
        { "total", "MemTotal:" },
        { "free", "MemFree:" },
        { "available", "MemAvailable:" },
        { "buffers", "Buffers:" },
        { "cached", "Cached:" },
        { "shared", "Shmem:" },
        { "reclaimable", "SReclaimable:" },
        { "dirty", "Dirty:" },
        { "committed", "Committed_AS:" },
        { "anonymousHuge", "AnonHugePages:" },
    };
    _cleanup_free_ char *meminfo = host_read(root, TEXT_LIMIT, "/proc/meminfo");

    writer_object(writer);
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        host_write_kib(writer, fields[i].member, meminfo, fields[i].name);
    writer_key(writer, "hugePages");
    host_huge_pages_write(root, writer);
    writer_key(writer, "swap");
    write_swap(root, meminfo, sample, before, interval_ns, writer);
    writer_key(writer, "ksm");
    write_ksm(root, writer);
    writer_end_object(writer);
}

/* "some avg10=0.12 avg60=0.05 avg300=0.01 total=12345": per cents, and microseconds. */
static void
write_pressure_line(struct writer *writer, const char *text, const char *kind)
{
    const char *at = text_after(text, kind);
    double ten, sixty, three_hundred;
    uint64_t total;

    if (!at || sscanf(at, "avg10=%lf avg60=%lf avg300=%lf total=%" SCNu64, &ten, &sixty,
                      &three_hundred, &total) != 4) {
        writer_member_null(writer, kind);
        return;
    }
    writer_key(writer, kind);
    writer_object(writer);
    share_write(writer, "share10", true, ten / 100);
    share_write(writer, "share60", true, sixty / 100);
    share_write(writer, "share300", true, three_hundred / 100);
    writer_member_unsigned(writer, "totalMs", total / 1000);
    writer_end_object(writer);
}

void
host_pressure_write(const char *root, struct writer *writer)
{
    static const char *const kinds[] = { "cpu", "io", "memory" };

    writer_object(writer);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        /* A kernel without it, or with psi=0: no file, or one that cannot be read. */
        _cleanup_free_ char *text = host_read(root, 4096, "/proc/pressure/%s", kinds[i]);

        writer_key(writer, kinds[i]);
        if (!text || !*text) {
            writer_null(writer);
            continue;
        }
        writer_object(writer);
        write_pressure_line(writer, text, "some");
        write_pressure_line(writer, text, "full");
        writer_end_object(writer);
    }
    writer_end_object(writer);
}
