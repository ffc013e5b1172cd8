/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters that the kernel only ever raises, parsed from its own texts: of CPUs, interfaces, disks.
 *
 * Pure: texts in, tables out.  A line that is cut short or no such line at all is left out.  Formats:
 * the kernel's Documentation/filesystems/proc.rst and admin-guide/iostats.rst.
 */
#ifndef AGENT_HOST_COUNTERS_H
#define AGENT_HOST_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What CPU time went to, in ticks; each moment counts once. */
enum cpu_time {
    CPU_USER,    /* of processes, nice ones too, but not of guests */
    CPU_SYSTEM,  /* interrupts too */
    CPU_GUEST,   /* of guests by KVM */
    CPU_IDLE,    /* with nothing to wait for */
    CPU_IO_WAIT, /* idle while some task waited for a disk */
    CPU_STEAL,   /* wanted, but the hypervisor below ran others */
    CPU_TIMES
};
struct cpu_times {
    unsigned cpu;
    uint64_t ticks[CPU_TIMES];
};
struct cpu_table {
    struct cpu_times total;
    struct cpu_times *all; /* owned; those online, by their number */
    size_t count;
    uint64_t boot_s; /* since 1970 */
};

struct flow {
    uint64_t bytes, packets, errors, drops;
};
struct interface_counters {
    char name[16]; /* IFNAMSIZ, with the NUL */
    struct flow received, sent;
};
struct interface_table {
    struct interface_counters *all; /* owned; in the kernel's order */
    size_t count;
};

struct disk_counters {
    char name[32]; /* as in /dev: the kernel's DISK_NAME_LEN */
    uint64_t reads, read_bytes, read_ms, writes, write_bytes, write_ms;
    uint64_t discards, discard_bytes,
        flushes; /* 0 where the kernel is too old to tell (4.18, 5.5) */
    uint64_t in_flight, busy_ms;
};
struct disk_table {
    struct disk_counters *all; /* owned; in the kernel's order; partitions too */
    size_t count;
};

/* /proc/stat; false: it has no line of all CPUs. */
bool cpu_table_parse(const char *text, struct cpu_table *ret_table);
void cpu_table_done(struct cpu_table *table);
/* NULL: it is not in it. */
const struct cpu_times *cpu_table_find(const struct cpu_table *table, unsigned cpu);
/* The share (0 to 1) that each kind has of the time between two; false: none has passed, or counters
   went back by more than idle times may. */
bool cpu_shares(const struct cpu_times *before, const struct cpu_times *now,
                double ret_shares[CPU_TIMES]);

/* /proc/net/dev */
void interface_table_parse(const char *text, struct interface_table *ret_table);
void interface_table_done(struct interface_table *table);
/* 'hint': where it was in the other table, mostly. */
const struct interface_counters *interface_table_find(const struct interface_table *table,
                                                      const char *name, size_t hint);

/* /proc/diskstats */
void disk_table_parse(const char *text, struct disk_table *ret_table);
void disk_table_done(struct disk_table *table);
const struct disk_counters *disk_table_find(const struct disk_table *table, const char *name,
                                            size_t hint);

#endif
