/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm-figures.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/json-writer.h"
#include "agent/host-sample.h"

#define THINGS_MAX                                                                                 \
    1024 /* vcpus, disks, interfaces of one VM: what libvirt tells beyond is none of them */

/* ---- names of libvirt's ---- */

struct field {
    const char *name; /* behind "block.0." */
    unsigned figure;
};

static const struct field cpu_fields[] = {
    { "time", CPU_FIGURE_TIME }, { "user", CPU_FIGURE_USER }, { "system", CPU_FIGURE_SYSTEM }, { 0 }
};
static const struct field memory_fields[] = {
    { "current", MEMORY_CURRENT },
    { "maximum", MEMORY_MAXIMUM },
    { "available", MEMORY_AVAILABLE },
    { "usable", MEMORY_USABLE },
    { "unused", MEMORY_UNUSED },
    { "disk_caches", MEMORY_CACHES },
    { "rss", MEMORY_RESIDENT },
    { "swap_in", MEMORY_SWAP_IN },
    { "swap_out", MEMORY_SWAP_OUT },
    { "major_fault", MEMORY_MAJOR_FAULTS },
    { "minor_fault", MEMORY_MINOR_FAULTS },
    { "last-update", MEMORY_UPDATED },
    { 0 },
};
static const struct field vcpu_fields[] = {
    { "state", VCPU_STATE },
    { "time", VCPU_TIME },
    { "wait", VCPU_WAIT },
    { "delay", VCPU_DELAY },
    { 0 },
};
static const struct field disk_fields[] = {
    { "rd.reqs", DISK_READS },         { "rd.bytes", DISK_READ_BYTES },
    { "rd.times", DISK_READ_TIME },    { "wr.reqs", DISK_WRITES },
    { "wr.bytes", DISK_WRITE_BYTES },  { "wr.times", DISK_WRITE_TIME },
    { "fl.reqs", DISK_FLUSHES },       { "fl.times", DISK_FLUSH_TIME },
    { "allocation", DISK_ALLOCATION }, { "capacity", DISK_CAPACITY },
    { "physical", DISK_PHYSICAL },     { 0 },
};
static const struct field network_fields[] = {
    { "rx.bytes", NETWORK_RECEIVED_BYTES },
    { "rx.pkts", NETWORK_RECEIVED_PACKETS },
    { "rx.errs", NETWORK_RECEIVED_ERRORS },
    { "rx.drop", NETWORK_RECEIVED_DROPS },
    { "tx.bytes", NETWORK_SENT_BYTES },
    { "tx.pkts", NETWORK_SENT_PACKETS },
    { "tx.errs", NETWORK_SENT_ERRORS },
    { "tx.drop", NETWORK_SENT_DROPS },
    { 0 },
};

/* ---- reading ---- */

/* Some drivers tell -1 for what they do not know. */
static bool
number_of(const virTypedParameter *param, uint64_t *ret_value)
{
    long long value;

    switch (param->type) {
    case VIR_TYPED_PARAM_ULLONG: *ret_value = param->value.ul; return true;
    case VIR_TYPED_PARAM_UINT: *ret_value = param->value.ui; return true;
    case VIR_TYPED_PARAM_LLONG: value = param->value.l; break;
    case VIR_TYPED_PARAM_INT: value = param->value.i; break;
    default: return false;
    }
    *ret_value = (uint64_t)value;
    return value >= 0;
}

static void
read_field(struct figures *figures, const struct field *fields, const char *name,
           const virTypedParameter *param)
{
    uint64_t value;

    if (strcmp(name, "name") == 0 && param->type == VIR_TYPED_PARAM_STRING && !figures->name)
        figures->name = xstrdup(param->value.s);
    if (strcmp(name, "path") == 0 && param->type == VIR_TYPED_PARAM_STRING && !figures->path)
        figures->path = xstrdup(param->value.s);
    for (const struct field *field = fields; field->name; field++)
        if (strcmp(field->name, name) == 0 && number_of(param, &value)) {
            figures->values[field->figure] = value;
            figures->known |= 1U << field->figure;
        }
}

/* The last is that of the parameter before, mostly; numbers of vcpus may have holes. */
static struct figures *
find_or_add(struct figures_list *list, unsigned index)
{
    for (size_t i = list->count; i > 0; i--)
        if (list->all[i - 1].index == index)
            return &list->all[i - 1];
    if (list->count == THINGS_MAX)
        return NULL;
    list->all = xrealloc(list->all, (list->count + 1) * sizeof(list->all[0]));
    list->all[list->count] = (struct figures){ .index = index };
    return &list->all[list->count++];
}

/* "block.12.rd.reqs"; "block.count" is none. */
static void
read_thing(struct figures_list *list, const struct field *fields, const char *name,
           const virTypedParameter *param)
{
    unsigned index = 0;
    struct figures *figures;

    if (!isdigit((unsigned char)*name))
        return;
    for (; isdigit((unsigned char)*name) && index <= THINGS_MAX; name++)
        index = index * 10 + (unsigned)(*name - '0');
    if (*name != '.' || index > THINGS_MAX)
        return;
    figures = find_or_add(list, index);
    if (figures)
        read_field(figures, fields, name + 1, param);
}

static const char *
behind(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(name, prefix, length) == 0 ? name + length : NULL;
}

static bool
is_known(const struct figures *figures, unsigned figure)
{
    return figures->known & (1U << figure);
}

void
vm_figures_read(struct vm_figures *figures, const virTypedParameter params[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const virTypedParameter *param = &params[i];
        const char *name;

        if ((name = behind(param->field, "cpu.")))
            read_field(&figures->cpu, cpu_fields, name, param);
        else if ((name = behind(param->field, "balloon.")))
            read_field(&figures->memory, memory_fields, name, param);
        else if ((name = behind(param->field, "vcpu.")))
            read_thing(&figures->vcpus, vcpu_fields, name, param);
        else if ((name = behind(param->field, "block.")))
            read_thing(&figures->disks, disk_fields, name, param);
        else if ((name = behind(param->field, "net.")))
            read_thing(&figures->networks, network_fields, name, param);
    }
    /* libvirt 9.0 tells the balloon's size in any case, and QEMU's memory only when it may ask QEMU. */
    figures->stale =
        is_known(&figures->memory, MEMORY_CURRENT) && !is_known(&figures->memory, MEMORY_RESIDENT);
}

/* ---- writing ---- */

struct difference {
    const struct figures *before, *now; /* 'before' NULL: there is none */
    int64_t interval_ns;
};

static void
write_number(struct writer *writer, const char *member, const struct figures *figures,
             unsigned figure, uint64_t times, uint64_t divided)
{
    writer_member_if_known(writer, member, is_known(figures, figure),
                           figures->values[figure] * times / divided);
}

/* By how much it has grown; false: not known, or it went back. */
static bool
grown(const struct difference *difference, unsigned figure, uint64_t *ret_more)
{
    const struct figures *before = difference->before, *now = difference->now;

    if (!before || !is_known(before, figure) || !is_known(now, figure) ||
        now->values[figure] < before->values[figure] || difference->interval_ns <= 0)
        return false;
    *ret_more = now->values[figure] - before->values[figure];
    return true;
}

static void
write_rate(struct writer *writer, const char *member, const struct difference *difference,
           unsigned figure)
{
    uint64_t more = 0;
    bool known = grown(difference, figure, &more);

    rate_write(writer, member, 0, more, known ? difference->interval_ns : 0);
}

/* Nanoseconds of time in that between. */
static void
write_share(struct writer *writer, const char *member, const struct difference *difference,
            unsigned figure)
{
    uint64_t more = 0;
    bool known = grown(difference, figure, &more);

    share_write(writer, member, known, known ? (double)more / (double)difference->interval_ns : 0);
}

/* The mean of those that ended in between. */
static void
write_latency(struct writer *writer, const char *member, const struct difference *difference,
              unsigned count_figure, unsigned time_figure)
{
    uint64_t count = 0, time_ns = 0;
    bool known = grown(difference, count_figure, &count) &&
                 grown(difference, time_figure, &time_ns) && count > 0;

    share_write(writer, member, known,
                known ? (double)time_ns / (double)NS_PER_MS / (double)count : 0);
}

static void
write_cpu(const struct difference *difference, struct writer *writer)
{
    const struct figures *cpu = difference->now;

    if (!cpu->known) {
        writer_null(writer);
        return;
    }
    writer_object(writer);
    write_number(writer, "timeMs", cpu, CPU_FIGURE_TIME, 1, NS_PER_MS);
    write_number(writer, "userMs", cpu, CPU_FIGURE_USER, 1, NS_PER_MS);
    write_number(writer, "systemMs", cpu, CPU_FIGURE_SYSTEM, 1, NS_PER_MS);
    write_share(writer, "cpusUsed", difference, CPU_FIGURE_TIME);
    write_share(writer, "cpusUser", difference, CPU_FIGURE_USER);
    write_share(writer, "cpusSystem", difference, CPU_FIGURE_SYSTEM);
    writer_end_object(writer);
}

static void
write_vcpu(const struct difference *difference, const struct vm_name *name, struct writer *writer)
{
    static const char *const states[] = { "offline", "running", "blocked" };
    const struct figures *vcpu = difference->now;
    uint64_t state = vcpu->values[VCPU_STATE];

    (void)name;
    writer_object(writer);
    writer_member_unsigned(writer, "vcpu", vcpu->index);
    writer_member_string(writer, "state",
                         is_known(vcpu, VCPU_STATE) && state < ARRAY_COUNT(states) ? states[state]
                                                                                   : NULL);
    write_number(writer, "timeMs", vcpu, VCPU_TIME, 1, NS_PER_MS);
    write_number(writer, "waitMs", vcpu, VCPU_WAIT, 1, NS_PER_MS);
    write_number(writer, "delayMs", vcpu, VCPU_DELAY, 1, NS_PER_MS);
    write_share(writer, "busy", difference, VCPU_TIME);
    write_share(writer, "delayed", difference, VCPU_DELAY);
    writer_end_object(writer);
}

static void
write_memory(const struct figures *memory, struct writer *writer)
{
    static const struct {
        const char *member;
        enum memory_figure figure;
    } sizes[] = {
        { "current", MEMORY_CURRENT },     { "maximum", MEMORY_MAXIMUM },
        { "available", MEMORY_AVAILABLE }, { "usable", MEMORY_USABLE },
        { "unused", MEMORY_UNUSED },       { "caches", MEMORY_CACHES },
        { "resident", MEMORY_RESIDENT },   { "swapIn", MEMORY_SWAP_IN },
        { "swapOut", MEMORY_SWAP_OUT },
    };

    if (!memory->known) {
        writer_null(writer);
        return;
    }
    writer_object(writer);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        write_number(writer, sizes[i].member, memory, sizes[i].figure, 1024, 1);
    write_number(writer, "majorFaults", memory, MEMORY_MAJOR_FAULTS, 1, 1);
    write_number(writer, "minorFaults", memory, MEMORY_MINOR_FAULTS, 1, 1);
    writer_member_time(writer, "updated", (int64_t)memory->values[MEMORY_UPDATED] * NS_PER_S);
    writer_end_object(writer);
}

static const struct vm_name *
find_name(const struct vm_name *names, size_t count, const char *name)
{
    static const struct vm_name none = { 0 };

    for (size_t i = 0; name && i < count; i++)
        if (names[i].name && strcmp(names[i].name, name) == 0)
            return &names[i];
    return &none;
}

static void
write_disk(const struct difference *difference, const struct vm_name *name, struct writer *writer)
{
    static const struct {
        const char *member;
        enum disk_figure figure;
        uint64_t divided;
    } numbers[] = {
        { "reads", DISK_READS, 1 },
        { "readBytes", DISK_READ_BYTES, 1 },
        { "readMs", DISK_READ_TIME, NS_PER_MS },
        { "writes", DISK_WRITES, 1 },
        { "writeBytes", DISK_WRITE_BYTES, 1 },
        { "writeMs", DISK_WRITE_TIME, NS_PER_MS },
        { "flushes", DISK_FLUSHES, 1 },
        { "flushMs", DISK_FLUSH_TIME, NS_PER_MS },
        { "allocation", DISK_ALLOCATION, 1 },
        { "capacity", DISK_CAPACITY, 1 },
        { "physical", DISK_PHYSICAL, 1 },
    };
    const struct figures *disk = difference->now;

    writer_object(writer);
    writer_member_string(writer, "target", disk->name);
    writer_member_string(writer, "source", disk->path);
    writer_member_string(writer, "repository", name->repository);
    writer_member_string(writer, "image", name->image);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        write_number(writer, numbers[i].member, disk, numbers[i].figure, 1, numbers[i].divided);
    write_rate(writer, "readsPerSecond", difference, DISK_READS);
    write_rate(writer, "writesPerSecond", difference, DISK_WRITES);
    write_rate(writer, "readBytesPerSecond", difference, DISK_READ_BYTES);
    write_rate(writer, "writeBytesPerSecond", difference, DISK_WRITE_BYTES);
    write_latency(writer, "readLatencyMs", difference, DISK_READS, DISK_READ_TIME);
    write_latency(writer, "writeLatencyMs", difference, DISK_WRITES, DISK_WRITE_TIME);
    write_latency(writer, "flushLatencyMs", difference, DISK_FLUSHES, DISK_FLUSH_TIME);
    writer_end_object(writer);
}

static void
write_flow(const struct difference *difference, const char *member, enum network_figure first,
           struct writer *writer)
{
    writer_key(writer, member);
    writer_object(writer);
    write_number(writer, "bytes", difference->now, first, 1, 1);
    write_number(writer, "packets", difference->now, first + 1, 1, 1);
    write_number(writer, "errors", difference->now, first + 2, 1, 1);
    write_number(writer, "drops", difference->now, first + 3, 1, 1);
    write_rate(writer, "bytesPerSecond", difference, first);
    write_rate(writer, "packetsPerSecond", difference, first + 1);
    writer_end_object(writer);
}

static void
write_network(const struct difference *difference, const struct vm_name *name,
              struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "name", difference->now->name);
    writer_member_string(writer, "mac", name->mac);
    write_flow(difference, "received", NETWORK_RECEIVED_BYTES, writer);
    write_flow(difference, "sent", NETWORK_SENT_BYTES, writer);
    writer_end_object(writer);
}

/* The same thing before: by number, if it is still called the same. */
static const struct figures *
find_before(const struct figures_list *before, const struct figures *now)
{
    for (size_t i = 0; before && i < before->count; i++) {
        const struct figures *then = &before->all[i];

        if (then->index == now->index && !then->name == !now->name &&
            (!now->name || strcmp(then->name, now->name) == 0))
            return then;
    }
    return NULL;
}

struct list_difference {
    const struct figures_list *before, *now; /* 'before' NULL: there is none */
    int64_t interval_ns;
    const struct vm_name *names;
    size_t name_count;
};

static struct text
write_list(const struct list_difference *lists,
           void (*write)(const struct difference *difference, const struct vm_name *name,
                         struct writer *writer))
{
    struct writer writer = WRITER_INIT;

    writer_array(&writer);
    for (size_t i = 0; i < lists->now->count; i++) {
        const struct figures *now = &lists->now->all[i];
        const struct difference difference = { .before = find_before(lists->before, now),
                                               .now = now,
                                               .interval_ns = lists->interval_ns };

        write(&difference, find_name(lists->names, lists->name_count, now->name), &writer);
    }
    writer_end_array(&writer);
    return writer.text;
}

static void
write_lists(struct vm_figures *figures, const struct vm_figures *before, int64_t interval_ns,
            const struct vm_names *names)
{
    const struct list_difference vcpus = { .before = before ? &before->vcpus : NULL,
                                           .now = &figures->vcpus,
                                           .interval_ns = interval_ns };
    const struct list_difference disks = { .before = before ? &before->disks : NULL,
                                           .now = &figures->disks,
                                           .interval_ns = interval_ns,
                                           .names = names ? names->disks : NULL,
                                           .name_count = names ? names->disk_count : 0 };
    const struct list_difference networks = { .before = before ? &before->networks : NULL,
                                              .now = &figures->networks,
                                              .interval_ns = interval_ns,
                                              .names = names ? names->networks : NULL,
                                              .name_count = names ? names->network_count : 0 };

    figures->parts[VM_PART_VCPUS] = write_list(&vcpus, write_vcpu);
    figures->parts[VM_PART_DISKS] = write_list(&disks, write_disk);
    figures->parts[VM_PART_NETWORKS] = write_list(&networks, write_network);
}

void
vm_figures_write(struct vm_figures *figures, const struct vm_figures *before, int64_t interval_ns,
                 const struct vm_names *names)
{
    struct writer cpu = WRITER_INIT, memory = WRITER_INIT;
    struct difference difference;

    /* Another run of it has begun at zero. */
    if (before && before->id != figures->id)
        before = NULL;
    difference = (struct difference){ .before = before ? &before->cpu : NULL,
                                      .now = &figures->cpu,
                                      .interval_ns = interval_ns };
    write_cpu(&difference, &cpu);
    figures->parts[VM_PART_CPU] = cpu.text;
    write_memory(&figures->memory, &memory);
    figures->parts[VM_PART_MEMORY] = memory.text;
    write_lists(figures, before, interval_ns, names);
}

/* ---- done with ---- */

static void
list_done(struct figures_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->all[i].name);
        free(list->all[i].path);
    }
    free(list->all);
}

void
vm_figures_done(struct vm_figures *figures)
{
    list_done(&figures->vcpus);
    list_done(&figures->disks);
    list_done(&figures->networks);
    for (unsigned i = 0; i < VM_PARTS; i++)
        text_done(&figures->parts[i]);
}

static void
free_names(struct vm_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(names[i].name);
        free(names[i].repository);
        free(names[i].image);
        free(names[i].mac);
    }
    free(names);
}

void
vm_names_done(struct vm_names *names)
{
    free_names(names->disks, names->disk_count);
    free_names(names->networks, names->network_count);
}

const char *
vm_part_name(enum vm_part part)
{
    static const char *const names[VM_PARTS] = { [VM_PART_CPU] = "cpu",
                                                 [VM_PART_VCPUS] = "vcpus",
                                                 [VM_PART_MEMORY] = "memory",
                                                 [VM_PART_DISKS] = "disks",
                                                 [VM_PART_NETWORKS] = "networks" };

    return names[part];
}

bool
vm_part_is_list(enum vm_part part)
{
    return part != VM_PART_CPU && part != VM_PART_MEMORY;
}
