/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at what this host does: CPUs, memory, interfaces, disks, pressure, and the agent itself.
 *
 * Taken on a worker from /proc and /sys below 'root' ("" but in tests), and written as JSON there and
 * then; rates are those since the sample before.  The loop only copies.
 */
#ifndef AGENT_HOST_SAMPLE_H
#define AGENT_HOST_SAMPLE_H

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/host-counters.h"

struct writer;

/* Members of host.stats, in this order. */
enum host_part {
    HOST_CPU,
    HOST_CPUS, /* each CPU: only for who asks */
    HOST_LOAD,
    HOST_MEMORY,
    HOST_NUMA,
    HOST_PRESSURE,
    HOST_NETWORK,
    HOST_DISKS,
    HOST_PARTS
};

struct host_sample {
    struct cpu_table cpus;
    struct interface_table interfaces;
    struct disk_table disks;
    size_t interfaces_left_out, disks_left_out; /* of the lists */
    uint64_t swap_in, swap_out;                 /* bytes since the start of the host */
    struct text parts[HOST_PARTS];              /* JSON values */
    uint64_t uptime_ms;
    struct {
        uint64_t resident, cpu_ms, threads, descriptors; /* 0: not known */
    } agent;
    double agent_cpu_share; /* of one CPU; NaN: not known */
};

/* Lists are no longer than this, for a frame is less than 1 MiB. */
#define HOST_CPUS_MAX 2048
#define HOST_INTERFACES_MAX 1000
#define HOST_DISKS_MAX 800

/* 'before' NULL: rates are null; 'interval_ns' is since it.  Worker.  Error: BackendFailed (no /proc). */
bool host_sample_take(const char *root, const struct host_sample *before, int64_t interval_ns,
                      struct host_sample **ret_sample, struct error **err) _must_check_;
void host_sample_free(struct host_sample *sample);
DEFINE_CLEANUP(struct host_sample, host_sample_free)
const char *host_part_name(enum host_part part);

/* In host-memory.c: "memory" and "pressure". */
void host_memory_write(const char *root, struct host_sample *sample,
                       const struct host_sample *before, int64_t interval_ns,
                       struct writer *writer);
/* Sizes of huge pages and how many there are: an array. */
void host_huge_pages_write(const char *root, struct writer *writer);
void host_pressure_write(const char *root, struct writer *writer);

/* A rate by the second: null without 'interval_ns', and where the counter went back. */
void rate_write(struct writer *writer, const char *member, uint64_t before, uint64_t now,
                int64_t interval_ns);
/* A share of 1, or another small figure: four digits behind the point; null when 'known' is false. */
void share_write(struct writer *writer, const char *member, bool known, double share);

#endif
