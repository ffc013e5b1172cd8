/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/host-sample.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/json-writer.h"
#include "agent/base/thread.h"
#include "agent/host-read.h"

#define STAT_LIMIT (4 * 1024 * 1024) /* thousands of CPUs, and a count of each interrupt */
#define TABLE_LIMIT (2 * 1024 * 1024)

/* What a sample is being made of. */
struct look {
    const char *root;
    struct host_sample *sample;
    const struct host_sample *before; /* or NULL */
    int64_t interval_ns;              /* 0: there is none before */
};

void
rate_write(struct writer *writer, const char *member, uint64_t before, uint64_t now,
           int64_t interval_ns)
{
    writer_key(writer, member);
    if (interval_ns <= 0 || now < before)
        writer_null(writer);
    else
        writer_real(writer, round((double)(now - before) * 1e10 / (double)interval_ns) / 10);
}

void
share_write(struct writer *writer, const char *member, bool known, double share)
{
    writer_key(writer, member);
    writer_real(writer, known ? round(share * 1e4) / 1e4 : (double)NAN);
}

/* ---- CPUs ---- */

static void
write_shares(struct writer *writer, const struct cpu_times *before, const struct cpu_times *now)
{
    static const char *const names[CPU_TIMES] = {
        [CPU_USER] = "user", [CPU_SYSTEM] = "system",  [CPU_GUEST] = "guest",
        [CPU_IDLE] = "idle", [CPU_IO_WAIT] = "ioWait", [CPU_STEAL] = "steal",
    };
    double shares[CPU_TIMES] = { 0 };
    bool known = before && cpu_shares(before, now, shares);

    for (unsigned i = 0; i < CPU_TIMES; i++)
        share_write(writer, names[i], known, shares[i]);
}

static void
write_cpu(const struct look *look, struct writer *writer)
{
    const struct cpu_table *now = &look->sample->cpus;
    uint64_t ms = 1000 / (uint64_t)sysconf(_SC_CLK_TCK), all = 0;

    for (unsigned i = 0; i < CPU_TIMES; i++)
        all += now->total.ticks[i];
    writer_object(writer);
    writer_member_unsigned(writer, "online", now->count);
    write_shares(writer, look->before ? &look->before->cpus.total : NULL, &now->total);
    writer_member_unsigned(writer, "busyMs",
                           (all - now->total.ticks[CPU_IDLE] - now->total.ticks[CPU_IO_WAIT]) * ms);
    writer_member_unsigned(writer, "totalMs", all * ms);
    writer_end_object(writer);
}

static void
write_cpus(const struct look *look, struct writer *writer)
{
    const struct cpu_table *now = &look->sample->cpus;

    writer_array(writer);
    for (size_t i = 0; i < now->count && i < HOST_CPUS_MAX; i++) {
        writer_object(writer);
        writer_member_unsigned(writer, "cpu", now->all[i].cpu);
        write_shares(writer,
                     look->before ? cpu_table_find(&look->before->cpus, now->all[i].cpu) : NULL,
                     &now->all[i]);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

/* Of the CPUs of a node that are there both times: one that came in between has no time before. */
static void
add_node_times(const struct look *look, const char *list, struct cpu_times *before,
               struct cpu_times *now)
{
    for (size_t i = 0; i < look->sample->cpus.count; i++) {
        const struct cpu_times *cpu = &look->sample->cpus.all[i];
        const struct cpu_times *then =
            look->before ? cpu_table_find(&look->before->cpus, cpu->cpu) : NULL;

        if (!then || !cpu_list_has(list, cpu->cpu))
            continue;
        for (unsigned kind = 0; kind < CPU_TIMES; kind++) {
            before->ticks[kind] += then->ticks[kind];
            now->ticks[kind] += cpu->ticks[kind];
        }
    }
}

static void
write_node(const struct look *look, unsigned node, struct writer *writer)
{
    _cleanup_free_ char *list =
        host_read_line(look->root, "/sys/devices/system/node/node%u/cpulist", node);
    _cleanup_free_ char *meminfo =
        host_read(look->root, TABLE_LIMIT, "/sys/devices/system/node/node%u/meminfo", node);
    _cleanup_free_ char *total_name = xprintf("Node %u MemTotal:", node);
    _cleanup_free_ char *free_name = xprintf("Node %u MemFree:", node);
    struct cpu_times before = { 0 }, now = { 0 };

    add_node_times(look, list, &before, &now);
    writer_object(writer);
    writer_member_unsigned(writer, "node", node);
    host_write_kib(writer, "memory", meminfo, total_name);
    host_write_kib(writer, "memoryFree", meminfo, free_name);
    write_shares(writer, &before, &now);
    writer_end_object(writer);
}

static void
write_numa(const struct look *look, struct writer *writer)
{
    _cleanup_free_ char *online = host_read_line(look->root, "/sys/devices/system/node/online");
    const char *at = online;
    unsigned first, last;

    writer_array(writer);
    while (at && cpu_list_next(&at, &first, &last))
        for (unsigned node = first; node <= last && node < HOST_CPUS_MAX; node++)
            write_node(look, node, writer);
    writer_end_array(writer);
}

static void
write_load(const struct look *look, struct writer *writer)
{
    _cleanup_free_ char *line = host_read_line(look->root, "/proc/loadavg");
    double one, five, fifteen;
    uint64_t runnable, threads;

    if (!line || sscanf(line, "%lf %lf %lf %" SCNu64 "/%" SCNu64, &one, &five, &fifteen, &runnable,
                        &threads) != 5) {
        writer_null(writer);
        return;
    }
    writer_object(writer);
    writer_member_real(writer, "one", one);
    writer_member_real(writer, "five", five);
    writer_member_real(writer, "fifteen", fifteen);
    writer_member_unsigned(writer, "runnable", runnable);
    writer_member_unsigned(writer, "threads", threads);
    writer_end_object(writer);
}

/* ---- memory and pressure ---- */

static void
write_memory(const struct look *look, struct writer *writer)
{
    host_memory_write(look->root, look->sample, look->before, look->interval_ns, writer);
}

static void
write_pressure(const struct look *look, struct writer *writer)
{
    host_pressure_write(look->root, writer);
}

/* ---- interfaces ---- */

static void
write_flow(struct writer *writer, const char *member, const struct flow *before,
           const struct flow *now, int64_t interval_ns)
{
    writer_key(writer, member);
    writer_object(writer);
    writer_member_unsigned(writer, "bytes", now->bytes);
    writer_member_unsigned(writer, "packets", now->packets);
    writer_member_unsigned(writer, "errors", now->errors);
    writer_member_unsigned(writer, "drops", now->drops);
    rate_write(writer, "bytesPerSecond", before->bytes, now->bytes, interval_ns);
    rate_write(writer, "packetsPerSecond", before->packets, now->packets, interval_ns);
    writer_end_object(writer);
}

static void
write_interface(const struct look *look, size_t n, struct writer *writer)
{
    static const struct interface_counters none = { .name = "" };
    const struct interface_counters *now = &look->sample->interfaces.all[n];
    const struct interface_counters *before =
        look->before ? interface_table_find(&look->before->interfaces, now->name, n) : NULL;
    /* New since: its rates are not known, for it may have come a moment ago. */
    int64_t interval_ns = before ? look->interval_ns : 0;

    before = before ? before : &none;
    writer_object(writer);
    writer_member_string(writer, "name", now->name);
    host_write_line(writer, "state", look->root, "/sys/class/net/%s/operstate", now->name);
    write_flow(writer, "received", &before->received, &now->received, interval_ns);
    write_flow(writer, "sent", &before->sent, &now->sent, interval_ns);
    writer_end_object(writer);
}

static void
write_network(const struct look *look, struct writer *writer)
{
    const struct interface_table *table = &look->sample->interfaces;

    writer_array(writer);
    for (size_t i = 0; i < table->count && i < HOST_INTERFACES_MAX; i++)
        write_interface(look, i, writer);
    writer_end_array(writer);
    if (table->count > HOST_INTERFACES_MAX)
        look->sample->interfaces_left_out = table->count - HOST_INTERFACES_MAX;
}

/* ---- disks ---- */

/* The mean time of one, of those that ended in between; null when none did. */
static void
write_latency(struct writer *writer, const char *member, uint64_t count, uint64_t ms)
{
    share_write(writer, member, count > 0, count > 0 ? (double)ms / (double)count : 0);
}

static void
write_disk_rates(struct writer *writer, const struct disk_counters *before,
                 const struct disk_counters *now, int64_t interval_ns)
{
    bool known = interval_ns > 0 && now->reads >= before->reads && now->writes >= before->writes &&
                 now->read_ms >= before->read_ms && now->write_ms >= before->write_ms &&
                 now->busy_ms >= before->busy_ms;
    double busy =
        known ? (double)(now->busy_ms - before->busy_ms) * (double)NS_PER_MS / (double)interval_ns
              : 0;

    rate_write(writer, "readsPerSecond", before->reads, now->reads, interval_ns);
    rate_write(writer, "writesPerSecond", before->writes, now->writes, interval_ns);
    rate_write(writer, "readBytesPerSecond", before->read_bytes, now->read_bytes, interval_ns);
    rate_write(writer, "writeBytesPerSecond", before->write_bytes, now->write_bytes, interval_ns);
    /* The kernel rounds to its clock's ticks. */
    share_write(writer, "busy", known, busy > 1 ? 1 : busy);
    write_latency(writer, "readLatencyMs", known ? now->reads - before->reads : 0,
                  now->read_ms - before->read_ms);
    write_latency(writer, "writeLatencyMs", known ? now->writes - before->writes : 0,
                  now->write_ms - before->write_ms);
}

static void
write_disk(const struct look *look, size_t n, struct writer *writer)
{
    static const struct disk_counters none = { .name = "" };
    const struct disk_counters *now = &look->sample->disks.all[n];
    const struct disk_counters *before =
        look->before ? disk_table_find(&look->before->disks, now->name, n) : NULL;

    writer_object(writer);
    writer_member_string(writer, "name", now->name);
    writer_member_unsigned(writer, "reads", now->reads);
    writer_member_unsigned(writer, "readBytes", now->read_bytes);
    writer_member_unsigned(writer, "readMs", now->read_ms);
    writer_member_unsigned(writer, "writes", now->writes);
    writer_member_unsigned(writer, "writeBytes", now->write_bytes);
    writer_member_unsigned(writer, "writeMs", now->write_ms);
    writer_member_unsigned(writer, "discardBytes", now->discard_bytes);
    writer_member_unsigned(writer, "flushes", now->flushes);
    writer_member_unsigned(writer, "pending", now->in_flight);
    writer_member_unsigned(writer, "busyMs", now->busy_ms);
    write_disk_rates(writer, before ? before : &none, now, before ? look->interval_ns : 0);
    writer_end_object(writer);
}

/* Whole devices, by what /sys/block lists ('/' is '!' there), that anything was ever asked of. */
static bool
is_told(const struct look *look, const struct disk_counters *disk)
{
    char name[sizeof(disk->name)];

    if (disk->reads + disk->writes + disk->discards + disk->flushes == 0)
        return false;
    memcpy(name, disk->name, sizeof(name));
    for (char *at = name; (at = strchr(at, '/'));)
        *at = '!';
    return host_exists(look->root, "/sys/block/%s", name);
}

static void
write_disks(const struct look *look, struct writer *writer)
{
    size_t told = 0;

    writer_array(writer);
    for (size_t i = 0; i < look->sample->disks.count; i++) {
        if (!is_told(look, &look->sample->disks.all[i]))
            continue;
        if (told++ < HOST_DISKS_MAX)
            write_disk(look, i, writer);
        else
            look->sample->disks_left_out++;
    }
    writer_end_array(writer);
}

/* ---- the agent ---- */

/* "PID (NAME) S PPID ...": a name may have any sign in it, so from the last ')' on. */
static void
look_at_agent(const struct look *look)
{
    _cleanup_free_ char *stat = host_read_line(look->root, "/proc/self/stat");
    const char *at = stat ? strrchr(stat, ')') : NULL;
    _cleanup_(strings_freep) char **descriptors = host_list(look->root, "/proc/self/fd");
    struct host_sample *sample = look->sample;
    uint64_t user, system, threads, pages;

    while (descriptors[sample->agent.descriptors])
        sample->agent.descriptors++;
    sample->agent_cpu_share = (double)NAN;
    if (!at || sscanf(at + 1,
                      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                      " %*d %*d %*d %*d %" SCNu64 " %*d %*u %*u %" SCNu64,
                      &user, &system, &threads, &pages) != 4)
        return;
    sample->agent.cpu_ms = (user + system) * (1000 / (uint64_t)sysconf(_SC_CLK_TCK));
    sample->agent.threads = threads;
    sample->agent.resident = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    if (look->interval_ns > 0 && sample->agent.cpu_ms >= look->before->agent.cpu_ms)
        sample->agent_cpu_share = (double)(sample->agent.cpu_ms - look->before->agent.cpu_ms) *
                                  (double)NS_PER_MS / (double)look->interval_ns;
}

/* ---- all of it ---- */

static const struct {
    const char *name;
    void (*write)(const struct look *look, struct writer *writer);
} parts[HOST_PARTS] = {
    [HOST_CPU] = { "cpu", write_cpu },
    [HOST_CPUS] = { "cpus", write_cpus },
    [HOST_LOAD] = { "load", write_load },
    [HOST_MEMORY] = { "memory", write_memory },
    [HOST_NUMA] = { "numa", write_numa },
    [HOST_PRESSURE] = { "pressure", write_pressure },
    [HOST_NETWORK] = { "network", write_network },
    [HOST_DISKS] = { "disks", write_disks },
};

const char *
host_part_name(enum host_part part)
{
    return parts[part].name;
}

static void
read_tables(const struct look *look)
{
    _cleanup_free_ char *network = host_read(look->root, TABLE_LIMIT, "/proc/net/dev");
    _cleanup_free_ char *disks = host_read(look->root, TABLE_LIMIT, "/proc/diskstats");
    _cleanup_free_ char *uptime = host_read_line(look->root, "/proc/uptime");
    double seconds;

    if (network)
        interface_table_parse(network, &look->sample->interfaces);
    if (disks)
        disk_table_parse(disks, &look->sample->disks);
    if (uptime && sscanf(uptime, "%lf", &seconds) == 1 && seconds >= 0 && seconds < 1e12)
        look->sample->uptime_ms = (uint64_t)(seconds * 1000);
}

bool
host_sample_take(const char *root, const struct host_sample *before, int64_t interval_ns,
                 struct host_sample **ret_sample, struct error **err)
{
    _cleanup_free_ char *stat = host_read(root, STAT_LIMIT, "/proc/stat");
    _cleanup_(host_sample_freep) struct host_sample *sample = xalloc(sizeof(*sample));
    struct look look = {
        .root = root, .sample = sample, .before = before, .interval_ns = before ? interval_ns : 0
    };

    WORKER_ONLY();
    if (!stat || !cpu_table_parse(stat, &sample->cpus))
        return error_set(err, ERROR_BACKEND_FAILED, "cannot read '%s/proc/stat': is /proc mounted?",
                         root);
    read_tables(&look);
    look_at_agent(&look);
    for (unsigned i = 0; i < HOST_PARTS; i++) {
        struct writer writer = WRITER_INIT;

        parts[i].write(&look, &writer);
        sample->parts[i] = writer.text;
    }
    *ret_sample = TAKE(sample);
    return true;
}

void
host_sample_free(struct host_sample *sample)
{
    if (!sample)
        return;
    cpu_table_done(&sample->cpus);
    interface_table_done(&sample->interfaces);
    disk_table_done(&sample->disks);
    for (unsigned i = 0; i < HOST_PARTS; i++)
        text_done(&sample->parts[i]);
    free(sample);
}
