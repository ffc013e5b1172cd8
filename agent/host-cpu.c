/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/host-parts.h"
#include "agent/host-read.h"

#define CPU "/sys/devices/system/cpu"
#define NODE "/sys/devices/system/node"
/* Of the first CPU.  The whole file is half a megabyte on a large host, and asks each CPU its frequency. */
#define CPUINFO_LIMIT 16384

/* The value behind one of two names: of x86, and of others. */
static char *
find_field(const char *text, const char *name, const char *other)
{
    for (const char *line = text; line; line = text_next_line(line)) {
        size_t length = strcspn(line, ":\n");
        const char *end = line + length;

        if (line[length] != ':')
            continue;
        while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t'))
            length--;
        if ((strlen(name) == length && strncmp(line, name, length) == 0) ||
            (other && strlen(other) == length && strncmp(line, other, length) == 0))
            return text_rest(end + 1);
    }
    return NULL;
}

static void
write_field(struct writer *writer, const char *member, const char *text, const char *name,
            const char *other)
{
    _cleanup_free_ char *value = text ? find_field(text, name, other) : NULL;

    writer_member_string(writer, member, value && *value ? value : NULL);
}

static void
write_number_field(struct writer *writer, const char *member, const char *text, const char *name)
{
    _cleanup_free_ char *value = text ? find_field(text, name, NULL) : NULL;
    double number;

    writer_key(writer, member);
    if (value && sscanf(value, "%lf", &number) == 1)
        writer_real(writer, number);
    else
        writer_null(writer);
}

static void
write_flags(struct writer *writer, const char *text)
{
    _cleanup_free_ char *flags = text ? find_field(text, "flags", "Features") : NULL;

    writer_key(writer, "flags");
    writer_array(writer);
    for (const char *at = flags ? flags : ""; *(at += strspn(at, " "));) {
        size_t length = strcspn(at, " ");

        writer_string_sized(writer, at, length);
        at += length;
    }
    writer_end_array(writer);
}

/* ---- topology ---- */

struct place {
    uint64_t socket, die, core;
    bool known;
};

static bool
is_same_core(const struct place *one, const struct place *other)
{
    return one->socket == other->socket && one->die == other->die && one->core == other->core;
}

/* Numbers of cores and dies start anew in each socket; none of them need be consecutive. */
static void
count_place(const struct place *places, size_t n, uint64_t *sockets, uint64_t *cores)
{
    bool new_socket = true, new_core = true;

    for (size_t i = 0; i < n && new_core; i++) {
        new_socket = new_socket && places[i].socket != places[n].socket;
        new_core = !is_same_core(&places[i], &places[n]);
    }
    *sockets += new_socket && new_core;
    *cores += new_core;
}

static struct place
find_place(const char *root, unsigned cpu)
{
    struct place place = { 0 };

    place.known =
        host_read_number(root, &place.socket, CPU "/cpu%u/topology/physical_package_id", cpu) &&
        host_read_number(root, &place.core, CPU "/cpu%u/topology/core_id", cpu);
    (void)host_read_number(root, &place.die, CPU "/cpu%u/topology/die_id", cpu);
    return place;
}

static void
write_topology(const char *root, const char *online, struct writer *writer)
{
    _cleanup_free_ struct place *places = xalloc(HOST_TOPOLOGY_MAX * sizeof(*places));
    uint64_t sockets = 0, cores = 0, threads = 0;
    const char *at = online;
    unsigned first, last;
    size_t count = 0;

    writer_key(writer, "topology");
    writer_array(writer);
    while (at && cpu_list_next(&at, &first, &last))
        for (unsigned cpu = first; cpu <= last && threads < HOST_TOPOLOGY_MAX; cpu++, threads++) {
            struct place place = find_place(root, cpu);

            if (!place.known)
                continue;
            places[count] = place;
            count_place(places, count++, &sockets, &cores);
            writer_object(writer);
            writer_member_unsigned(writer, "cpu", cpu);
            writer_member_unsigned(writer, "socket", place.socket);
            writer_member_unsigned(writer, "die", place.die);
            writer_member_unsigned(writer, "core", place.core);
            writer_end_object(writer);
        }
    writer_end_array(writer);
    writer_member_if_known(writer, "sockets", count > 0, sockets);
    writer_member_if_known(writer, "cores", count > 0, cores);
    writer_member_unsigned(writer, "threads", cpu_list_count(online));
}

/* What the kernel does about flaws of the CPU: engines choose the guests' CPU by it. */
static void
write_vulnerabilities(const char *root, struct writer *writer)
{
    _cleanup_(strings_freep) char **names = host_list(root, CPU "/vulnerabilities");

    writer_key(writer, "vulnerabilities");
    writer_object(writer);
    for (char **name = names; *name; name++)
        host_write_line(writer, *name, root, CPU "/vulnerabilities/%s", *name);
    writer_end_object(writer);
}

void
host_cpu_write(const char *root, struct writer *writer)
{
    _cleanup_free_ char *text = host_read(root, CPUINFO_LIMIT, "/proc/cpuinfo");
    _cleanup_free_ char *online = host_read_line(root, CPU "/online");
    _cleanup_free_ char *vendor = text ? find_field(text, "vendor_id", "CPU implementer") : NULL;
    uint64_t khz = 0;
    bool has_maximum = host_read_number(root, &khz, "%s", CPU "/cpu0/cpufreq/cpuinfo_max_freq");

    writer_object(writer);
    writer_member_string(writer, "vendor", vendor);
    write_field(writer, "model", text, "model name", "cpu model");
    write_number_field(writer, "family", text, "cpu family");
    write_number_field(writer, "modelNumber", text, "model");
    write_number_field(writer, "stepping", text, "stepping");
    write_field(writer, "microcode", text, "microcode", NULL);
    write_number_field(writer, "mhz", text, "cpu MHz");
    writer_member_if_known(writer, "maximumMhz", has_maximum, khz / 1000);
    writer_member_string(writer, "online", online);
    host_write_line(writer, "isolated", root, CPU "/isolated");
    write_topology(root, online, writer);
    write_flags(writer, text);
    write_vulnerabilities(root, writer);
    writer_end_object(writer);
}

/* ---- NUMA ---- */

static void
write_distances(const char *root, unsigned node, struct writer *writer)
{
    _cleanup_free_ char *line = host_read_line(root, NODE "/node%u/distance", node);
    const char *at = line;
    unsigned distance, same;

    writer_key(writer, "distances");
    writer_array(writer);
    while (at && cpu_list_next(&at, &distance, &same))
        writer_unsigned(writer, distance);
    writer_end_array(writer);
}

static void
write_node(const char *root, unsigned node, struct writer *writer)
{
    _cleanup_free_ char *meminfo = host_read(root, 65536, NODE "/node%u/meminfo", node);
    _cleanup_free_ char *name = xprintf("Node %u MemTotal:", node);

    writer_object(writer);
    writer_member_unsigned(writer, "node", node);
    host_write_line(writer, "cpus", root, NODE "/node%u/cpulist", node);
    host_write_kib(writer, "memory", meminfo, name);
    write_distances(root, node, writer);
    writer_end_object(writer);
}

void
host_numa_write(const char *root, struct writer *writer)
{
    _cleanup_free_ char *online = host_read_line(root, NODE "/online");
    const char *at = online;
    unsigned first, last;

    writer_array(writer);
    while (at && cpu_list_next(&at, &first, &last))
        for (unsigned node = first; node <= last && node < HOST_TOPOLOGY_MAX; node++)
            write_node(root, node, writer);
    writer_end_array(writer);
}
