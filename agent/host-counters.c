/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/host-counters.h"

#include <ctype.h>
#include <string.h>

#include "agent/base/cleanup.h"
#include "agent/host-read.h"

#define SECTOR_SIZE 512 /* of /proc/diskstats, whatever the disk's */

/* Room for one more of 'count' items: twice as much whenever it is a power of two. */
static void *
room_for(void *all, size_t count, size_t size)
{
    if (count == 0)
        return xalloc(size);
    return (count & (count - 1)) == 0 ? xrealloc(all, 2 * count * size) : all;
}

/* Up to 'max' numbers, until the line ends.  Not sscanf(), which reads on in the next line, and looks for
   the end of the whole text each time. */
static size_t
scan_numbers(const char *at, uint64_t ret_numbers[], size_t max)
{
    size_t count = 0;

    while (count < max) {
        at += strspn(at, " \t");
        if (!isdigit((unsigned char)*at))
            break;
        ret_numbers[count] = 0;
        while (isdigit((unsigned char)*at))
            ret_numbers[count] = ret_numbers[count] * 10 + (uint64_t)(*at++ - '0');
        count++;
    }
    return count;
}

/* A word of less than 'size' bytes that ends at a blank or at 'end'; NULL, or what stands behind it. */
static const char *
scan_word(const char *at, char end, char *ret_word, size_t size)
{
    const char stops[] = { ' ', '\t', '\n', end, '\0' };
    size_t length;

    at += strspn(at, " \t");
    length = strcspn(at, stops);
    if (length == 0 || length >= size)
        return NULL;
    memcpy(ret_word, at, length);
    ret_word[length] = '\0';
    return at + length;
}

/* ---- CPUs ---- */

enum {
    STAT_USER,
    STAT_NICE,
    STAT_SYSTEM,
    STAT_IDLE,
    STAT_IO_WAIT,
    STAT_IRQ,
    STAT_SOFT,
    STAT_STEAL,
    STAT_GUEST,
    STAT_GUEST_NICE,
    STAT_FIELDS
};

static bool
parse_cpu(const char *fields, struct cpu_times *times)
{
    uint64_t stat[STAT_FIELDS] = { 0 }, guest;

    if (scan_numbers(fields, stat, STAT_FIELDS) <= STAT_IDLE)
        return false;
    /* The guests' time is in that of users as well. */
    guest = stat[STAT_GUEST] + stat[STAT_GUEST_NICE];
    times->ticks[CPU_GUEST] = guest;
    times->ticks[CPU_USER] =
        stat[STAT_USER] + stat[STAT_NICE] > guest ? stat[STAT_USER] + stat[STAT_NICE] - guest : 0;
    times->ticks[CPU_SYSTEM] = stat[STAT_SYSTEM] + stat[STAT_IRQ] + stat[STAT_SOFT];
    times->ticks[CPU_IDLE] = stat[STAT_IDLE];
    times->ticks[CPU_IO_WAIT] = stat[STAT_IO_WAIT];
    times->ticks[CPU_STEAL] = stat[STAT_STEAL];
    return true;
}

bool
cpu_table_parse(const char *text, struct cpu_table *ret_table)
{
    struct cpu_table table = { 0 };
    bool found = false;

    for (const char *line = text; line; line = text_next_line(line)) {
        struct cpu_times times = { 0 };
        uint64_t number;

        if (strncmp(line, "cpu ", 4) == 0)
            found = parse_cpu(line + 4, &table.total);
        else if (strncmp(line, "cpu", 3) == 0 && scan_numbers(line + 3, &number, 1) == 1 &&
                 parse_cpu(line + 3 + strspn(line + 3, "0123456789"), &times)) {
            times.cpu = (unsigned)number;
            table.all = room_for(table.all, table.count, sizeof(table.all[0]));
            table.all[table.count++] = times;
        } else if (strncmp(line, "btime ", 6) == 0)
            (void)text_number_after(line, "btime", &table.boot_s);
    }
    if (found)
        *ret_table = table;
    else
        cpu_table_done(&table);
    return found;
}

void
cpu_table_done(struct cpu_table *table)
{
    free(table->all);
    *table = (struct cpu_table){ 0 };
}

const struct cpu_times *
cpu_table_find(const struct cpu_table *table, unsigned cpu)
{
    size_t first = 0, last = table->count;

    while (first < last) {
        size_t middle = first + (last - first) / 2;

        if (table->all[middle].cpu == cpu)
            return &table->all[middle];
        if (table->all[middle].cpu < cpu)
            first = middle + 1;
        else
            last = middle;
    }
    return NULL;
}

bool
cpu_shares(const struct cpu_times *before, const struct cpu_times *now,
           double ret_shares[CPU_TIMES])
{
    uint64_t passed[CPU_TIMES], sum = 0;

    for (unsigned i = 0; i < CPU_TIMES; i++) {
        bool back = now->ticks[i] < before->ticks[i];

        /* The kernel's idle and iowait go back a little at times, and a guest's share of the users' may
           be counted first; what else does is another CPU of that number. */
        if (back && i != CPU_IDLE && i != CPU_IO_WAIT && i != CPU_USER)
            return false;
        passed[i] = back ? 0 : now->ticks[i] - before->ticks[i];
        sum += passed[i];
    }
    for (unsigned i = 0; sum > 0 && i < CPU_TIMES; i++)
        ret_shares[i] = (double)passed[i] / (double)sum;
    return sum > 0;
}

/* ---- interfaces ---- */

void
interface_table_parse(const char *text, struct interface_table *ret_table)
{
    struct interface_table table = { 0 };

    for (const char *line = text; line; line = text_next_line(line)) {
        struct interface_counters counters = { 0 };
        uint64_t fields[12];
        const char *at = scan_word(line, ':', counters.name, sizeof(counters.name));

        /* No blank need stand behind the colon. */
        if (!at || *at != ':' || scan_numbers(at + 1, fields, ARRAY_COUNT(fields)) < 12)
            continue;
        counters.received = (struct flow){ fields[0], fields[1], fields[2], fields[3] };
        counters.sent = (struct flow){ fields[8], fields[9], fields[10], fields[11] };
        table.all = room_for(table.all, table.count, sizeof(table.all[0]));
        table.all[table.count++] = counters;
    }
    *ret_table = table;
}

void
interface_table_done(struct interface_table *table)
{
    free(table->all);
    *table = (struct interface_table){ 0 };
}

const struct interface_counters *
interface_table_find(const struct interface_table *table, const char *name, size_t hint)
{
    if (hint < table->count && strcmp(table->all[hint].name, name) == 0)
        return &table->all[hint];
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->all[i].name, name) == 0)
            return &table->all[i];
    return NULL;
}

/* ---- disks ---- */

void
disk_table_parse(const char *text, struct disk_table *ret_table)
{
    struct disk_table table = { 0 };

    for (const char *line = text; line; line = text_next_line(line)) {
        struct disk_counters disk = { 0 };
        uint64_t fields[16] = { 0 };
        const char *at = line + strspn(line, " 0123456789"); /* major and minor number */

        at = scan_word(at, ' ', disk.name, sizeof(disk.name));
        if (!at || scan_numbers(at, fields, ARRAY_COUNT(fields)) < 11)
            continue;
        disk.reads = fields[0];
        disk.read_bytes = fields[2] * SECTOR_SIZE;
        disk.read_ms = fields[3];
        disk.writes = fields[4];
        disk.write_bytes = fields[6] * SECTOR_SIZE;
        disk.write_ms = fields[7];
        disk.in_flight = fields[8];
        disk.busy_ms = fields[9];
        disk.discards = fields[11];
        disk.discard_bytes = fields[13] * SECTOR_SIZE;
        disk.flushes = fields[15];
        table.all = room_for(table.all, table.count, sizeof(table.all[0]));
        table.all[table.count++] = disk;
    }
    *ret_table = table;
}

void
disk_table_done(struct disk_table *table)
{
    free(table->all);
    *table = (struct disk_table){ 0 };
}

const struct disk_counters *
disk_table_find(const struct disk_table *table, const char *name, size_t hint)
{
    if (hint < table->count && strcmp(table->all[hint].name, name) == 0)
        return &table->all[hint];
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->all[i].name, name) == 0)
            return &table->all[i];
    return NULL;
}
