/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.tune: bounds of a VM's disks, networks and cpus.
 *
 * Only what is given changes.  libvirt takes several bounds at a time and forgets those of them that are left
 * out, so what stands is read first, and written again with what is new.
 */
#include <config.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "virt/virt.h"
#include "virt/vm-change.h"

#define BOUND_MAX (INT64_C(1) << 50)
#define NETWORK_BOUND_MAX (INT64_C(1000) * UINT32_MAX) /* libvirt has 32 bits for each thousand */
#define PARAMS_MAX 32
#define NETWORK_PARAMS_MAX 16 /* libvirt 9.0 refuses to be asked for more */

/* ---- what the caller gives ---- */

struct bound {
    uint64_t value; /* 0: none */
    bool given;
};

struct disk_bounds {
    char *disk;
    struct bound bytes, read_bytes, write_bytes, iops, read_iops, write_iops;
    struct bound bytes_burst, read_bytes_burst, write_bytes_burst;
    struct bound iops_burst, read_iops_burst, write_iops_burst;
};

struct network_bounds {
    char *network;
    struct bound in, in_peak, in_burst, out, out_peak, out_burst;
};

struct tune_args {
    struct change_args change;
    struct records disks, networks;
    struct bound cpu_shares, cpu_period, cpu_quota;
};

#define BOUND_UP_TO(most, record, member, wire_name, text)                                         \
    PARAM(record, member.value, wire_name, .type = PARAM_SIZE, .maximum = (most),                  \
          .present = PRESENT(record, member.given), .about = (text))
#define BOUND(...) BOUND_UP_TO(BOUND_MAX, __VA_ARGS__)
#define NETWORK_BOUND(...) BOUND_UP_TO(NETWORK_BOUND_MAX, network_bounds, __VA_ARGS__)

#define BOUND_COUNT(record, member, wire_name, text)                                               \
    PARAM(record, member.value, wire_name, .type = PARAM_INTEGER, .minimum = 0,                    \
          .maximum = BOUND_MAX, .present = PRESENT(record, member.given), .about = (text))

static const struct param disk_bound_members[] = {
    PARAM(disk_bounds, disk, "disk", .type = PARAM_TEXT, .required = true, .minimum = 1,
          .maximum = 255, .about = "Its target (vda), serial number or libvirt's alias."),
    BOUND(disk_bounds, bytes, "bytes",
          "Read and written together, in bytes a second; 0: no bound."),
    BOUND(disk_bounds, read_bytes, "readBytes", "Read, in bytes a second; 0: no bound."),
    BOUND(disk_bounds, write_bytes, "writeBytes", "Written, in bytes a second; 0: no bound."),
    BOUND_COUNT(disk_bounds, iops, "iops", "Requests a second; 0: no bound."),
    BOUND_COUNT(disk_bounds, read_iops, "readIops", "Reads a second; 0: no bound."),
    BOUND_COUNT(disk_bounds, write_iops, "writeIops", "Writes a second; 0: no bound."),
    BOUND(disk_bounds, bytes_burst, "bytesBurst",
          "As 'bytes', in bytes in each second of a burst; 0: none."),
    BOUND(disk_bounds, read_bytes_burst, "readBytesBurst",
          "As 'readBytes', in bytes in each second of a burst; 0: none."),
    BOUND(disk_bounds, write_bytes_burst, "writeBytesBurst",
          "As 'writeBytes', in bytes in each second of a burst; 0: none."),
    BOUND_COUNT(disk_bounds, iops_burst, "iopsBurst",
                "Requests in one second of a burst; 0: none."),
    BOUND_COUNT(disk_bounds, read_iops_burst, "readIopsBurst",
                "Reads in one second of a burst; 0: none."),
    BOUND_COUNT(disk_bounds, write_iops_burst, "writeIopsBurst",
                "Writes in one second of a burst; 0: none."),
    { 0 },
};

static const struct param network_bound_members[] = {
    PARAM(network_bounds, network, "network", .type = PARAM_TEXT, .required = true, .minimum = 1,
          .maximum = 255, .about = "Its MAC address, or its device on this host (vnet0)."),
    NETWORK_BOUND(
        in, "receive",
        "What the guest receives, in bytes a second, whole thousands of them; 0: no bound."),
    NETWORK_BOUND(
        in_peak, "receivePeak",
        "The same while it bursts, in bytes a second, whole thousands of them; 0: as 'receive'."),
    NETWORK_BOUND(in_burst, "receiveBurst",
                  "What it may receive at the peak, in bytes, a multiple of 1024; 0: none."),
    NETWORK_BOUND(out, "send",
                  "What the guest sends, in bytes a second, whole thousands of them; 0: no bound."),
    NETWORK_BOUND(
        out_peak, "sendPeak",
        "The same while it bursts, in bytes a second, whole thousands of them; 0: as 'send'."),
    NETWORK_BOUND(out_burst, "sendBurst",
                  "What it may send at the peak, in bytes, a multiple of 1024; 0: none."),
    { 0 },
};

/* ---- libvirt's list of parameters ---- */

struct list {
    virTypedParameter items[PARAMS_MAX];
    int count;
};

static virTypedParameterPtr
find_item(struct list *list, const char *field)
{
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->items[i].field, field) == 0)
            return &list->items[i];
    return NULL;
}

/* Takes the place of what is there. */
static void
put(struct list *list, const char *field, int type, uint64_t value)
{
    virTypedParameterPtr item = find_item(list, field);

    if (!item) {
        assert(list->count < PARAMS_MAX);
        item = &list->items[list->count++];
        (void)snprintf(item->field, sizeof(item->field), "%s", field);
    }
    item->type = type;
    if (type == VIR_TYPED_PARAM_UINT)
        item->value.ui = (unsigned)value;
    else
        item->value.ul = value;
}

/* A bound as libvirt has it. */
struct field {
    const char *name;
    size_t offset; /* of the struct bound */
    unsigned unit; /* libvirt counts in these */
};

#define FIELD(record, member, name, unit)                                                          \
    {                                                                                              \
        name, offsetof(struct record, member), unit                                                \
    }

static const struct bound *
bound_of(const void *bounds, const struct field *field)
{
    return (const struct bound *)(const void *)((const char *)bounds + field->offset);
}

/* What the caller calls it, of whose record 'members' are. */
static const char *
wire_name(const struct param *members, const struct field *field)
{
    while (members->offset != field->offset)
        members++;
    return members->name;
}

/* What stands, but for what is given. */
static void
merge(const struct field *fields, size_t count, int type, const void *bounds, struct list *now,
      struct list *ret_wanted)
{
    *ret_wanted = (struct list){ .count = 0 };
    for (size_t i = 0; i < count; i++) {
        const struct bound *bound = bound_of(bounds, &fields[i]);
        const virTypedParameter *item = find_item(now, fields[i].name);
        uint64_t stands = !item                                ? 0
                          : item->type == VIR_TYPED_PARAM_UINT ? item->value.ui
                                                               : item->value.ul;

        put(ret_wanted, fields[i].name, type,
            bound->given ? bound->value / fields[i].unit : stands);
    }
}

/* ---- disks ---- */

static const struct field disk_fields[] = {
    FIELD(disk_bounds, bytes, VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC, 1),
    FIELD(disk_bounds, read_bytes, VIR_DOMAIN_BLOCK_IOTUNE_READ_BYTES_SEC, 1),
    FIELD(disk_bounds, write_bytes, VIR_DOMAIN_BLOCK_IOTUNE_WRITE_BYTES_SEC, 1),
    FIELD(disk_bounds, iops, VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC, 1),
    FIELD(disk_bounds, read_iops, VIR_DOMAIN_BLOCK_IOTUNE_READ_IOPS_SEC, 1),
    FIELD(disk_bounds, write_iops, VIR_DOMAIN_BLOCK_IOTUNE_WRITE_IOPS_SEC, 1),
    FIELD(disk_bounds, bytes_burst, VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC_MAX, 1),
    FIELD(disk_bounds, read_bytes_burst, VIR_DOMAIN_BLOCK_IOTUNE_READ_BYTES_SEC_MAX, 1),
    FIELD(disk_bounds, write_bytes_burst, VIR_DOMAIN_BLOCK_IOTUNE_WRITE_BYTES_SEC_MAX, 1),
    FIELD(disk_bounds, iops_burst, VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC_MAX, 1),
    FIELD(disk_bounds, read_iops_burst, VIR_DOMAIN_BLOCK_IOTUNE_READ_IOPS_SEC_MAX, 1),
    FIELD(disk_bounds, write_iops_burst, VIR_DOMAIN_BLOCK_IOTUNE_WRITE_IOPS_SEC_MAX, 1),
};

/* QEMU's rules.  disk_fields are in threes, of all, of reads and of writes; the first half are bounds, the
   others bursts, each as far behind its bound. */
static bool
check_disk(const struct list *wanted, const char *disk, struct error **err)
{
    const virTypedParameter *items = wanted->items;

    for (size_t i = 0; i < ARRAY_COUNT(disk_fields); i += 3)
        if (items[i].value.ul && (items[i + 1].value.ul || items[i + 2].value.ul))
            return error_param(err, "disks",
                               "would have '%s' both a bound of all ('%s') and one of reads or "
                               "writes: pass 0 for what it has",
                               disk, wire_name(disk_bound_members, &disk_fields[i]));
    for (size_t i = 0; i < ARRAY_COUNT(disk_fields) / 2; i++) {
        uint64_t burst = items[i + ARRAY_COUNT(disk_fields) / 2].value.ul;

        if (burst && (!items[i].value.ul || burst < items[i].value.ul))
            return error_param(err, "disks",
                               "would have '%s' a burst without a bound ('%s') that is no larger",
                               disk, wire_name(disk_bound_members, &disk_fields[i]));
    }
    return true;
}

static bool
tune_disk(virDomainPtr domain, const struct disk_bounds *bounds, const char *target,
          unsigned affect, struct error **err)
{
    struct list now = { .count = PARAMS_MAX }, wanted;

    if (virDomainGetBlockIoTune(domain, target, now.items, &now.count, affect) < 0)
        return virt_fail(err, domain, "cannot read the bounds of disk '%s'", bounds->disk);
    merge(disk_fields, ARRAY_COUNT(disk_fields), VIR_TYPED_PARAM_ULLONG, bounds, &now, &wanted);
    virTypedParamsClear(now.items, now.count);
    if (!check_disk(&wanted, bounds->disk, err))
        return false;
    return virDomainSetBlockIoTune(domain, target, wanted.items, wanted.count, affect) == 0 ||
           virt_fail(err, domain, "cannot set the bounds of disk '%s'", bounds->disk);
}

/* ---- networks ---- */

/* Kilobytes a second are of 1,000 for tc, which libvirt hands them to, and a burst's of 1,024. */
static const struct field network_fields[] = {
    FIELD(network_bounds, in, VIR_DOMAIN_BANDWIDTH_IN_AVERAGE, 1000),
    FIELD(network_bounds, in_peak, VIR_DOMAIN_BANDWIDTH_IN_PEAK, 1000),
    FIELD(network_bounds, in_burst, VIR_DOMAIN_BANDWIDTH_IN_BURST, 1024),
    FIELD(network_bounds, out, VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE, 1000),
    FIELD(network_bounds, out_peak, VIR_DOMAIN_BANDWIDTH_OUT_PEAK, 1000),
    FIELD(network_bounds, out_burst, VIR_DOMAIN_BANDWIDTH_OUT_BURST, 1024),
};

static bool
check_network(const struct network_bounds *bounds, size_t n, struct error **err)
{
    for (size_t i = 0; i < ARRAY_COUNT(network_fields); i++) {
        const struct field *field = &network_fields[i];
        _cleanup_free_ char *place =
            xprintf("networks[%zu].%s", n, wire_name(network_bound_members, field));

        if (bound_of(bounds, field)->value % field->unit)
            return error_param(err, place, "must be a multiple of %u bytes", field->unit);
    }
    return true;
}

static bool
tune_network(virDomainPtr domain, const struct network_bounds *bounds, const char *mac,
             unsigned affect, struct error **err)
{
    struct list now = { .count = NETWORK_PARAMS_MAX }, wanted;

    if (virDomainGetInterfaceParameters(domain, mac, now.items, &now.count, affect) < 0)
        return virt_fail(err, domain, "cannot read the bounds of network '%s'", bounds->network);
    merge(network_fields, ARRAY_COUNT(network_fields), VIR_TYPED_PARAM_UINT, bounds, &now, &wanted);
    virTypedParamsClear(now.items, now.count);
    return virDomainSetInterfaceParameters(domain, mac, wanted.items, wanted.count, affect) == 0 ||
           virt_fail(err, domain, "cannot set the bounds of network '%s'", bounds->network);
}

/* ---- cpus ---- */

static bool
tune_cpus(virDomainPtr domain, const struct tune_args *args, unsigned affect, struct error **err)
{
    struct list wanted = { .count = 0 };

    if (args->cpu_shares.given)
        put(&wanted, VIR_DOMAIN_SCHEDULER_CPU_SHARES, VIR_TYPED_PARAM_ULLONG,
            args->cpu_shares.value);
    if (args->cpu_period.given)
        put(&wanted, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, VIR_TYPED_PARAM_ULLONG,
            args->cpu_period.value);
    if (args->cpu_quota.given) {
        /* libvirt's -1 is no bound, and its 0 no change. */
        put(&wanted, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, VIR_TYPED_PARAM_LLONG, 0);
        wanted.items[wanted.count - 1].value.l =
            args->cpu_quota.value ? (long long)args->cpu_quota.value : -1;
    }
    return wanted.count == 0 ||
           virDomainSetSchedulerParametersFlags(domain, wanted.items, wanted.count, affect) == 0 ||
           virt_fail(err, domain, "cannot set the share of the host's cpus");
}

/* ---- all of it ---- */

static bool
is_missing(const char *kind, const char *id, const char *side, struct error **err)
{
    error_set(err, ERROR_NOT_FOUND, "%s has no %s '%s': nothing was changed", side, kind, id);
    error_data_text(err, "kind", "%s", kind);
    return error_data_text(err, "id", "%s", id);
}

/* What the definition calls a device may be another word than what runs does: vnet0 is of the latter only. */
struct tune_state {
    struct change_use change;
    struct vm *live, *config; /* owned, or NULL */
};

static void
tune_done(struct call *call)
{
    struct tune_state *state = call->state;

    vm_free(TAKE(state->live));
    vm_free(TAKE(state->config));
    change_state_done(call);
}

static const char *
mac_of(const struct tune_state *state, const char *name)
{
    const struct vm_network *network = state->live ? vm_network_find(state->live, name) : NULL;

    if (!network && state->config)
        network = vm_network_find(state->config, name);
    return network ? network->mac : name;
}

static const char *
target_of(const struct tune_state *state, const char *name)
{
    const struct vm_disk *disk = state->live ? vm_disk_find(state->live, name) : NULL;

    if (!disk && state->config)
        disk = vm_disk_find(state->config, name);
    return disk ? disk->target : name;
}

static bool
require_devices(const struct tune_args *args, const struct tune_state *state, const struct vm *vm,
                const char *side, struct error **err)
{
    const struct disk_bounds *disks = args->disks.all;
    const struct network_bounds *networks = args->networks.all;

    for (size_t i = 0; vm && i < args->disks.count; i++)
        if (!vm_disk_find(vm, target_of(state, disks[i].disk)))
            return is_missing("disk", disks[i].disk, side, err);
    for (size_t i = 0; vm && i < args->networks.count; i++)
        if (!vm_network_find(vm, mac_of(state, networks[i].network)))
            return is_missing("network", networks[i].network, side, err);
    return true;
}

static bool
tune_one(struct call *call, virDomainPtr domain, unsigned affect, struct error **err)
{
    const struct tune_args *args = call->args;
    const struct tune_state *state = call->state;
    const struct disk_bounds *disks = args->disks.all;
    const struct network_bounds *networks = args->networks.all;

    /* What a host may not be able to do at all comes first. */
    if (!tune_cpus(domain, args, affect, err))
        return false;
    for (size_t i = 0; i < args->disks.count; i++)
        if (!tune_disk(domain, &disks[i], target_of(state, disks[i].disk), affect, err))
            return false;
    for (size_t i = 0; i < args->networks.count; i++)
        if (!tune_network(domain, &networks[i], mac_of(state, networks[i].network), affect, err))
            return false;
    return true;
}

static bool
check_args(const struct tune_args *args, struct error **err)
{
    const struct network_bounds *networks = args->networks.all;

    if (args->disks.count == 0 && args->networks.count == 0 && !args->cpu_shares.given &&
        !args->cpu_period.given && !args->cpu_quota.given)
        return error_param(err, "disks", "or another bound must be given");
    if (args->cpu_quota.value && args->cpu_quota.value < 1000)
        return error_param(err, "cpuQuota", "must be 0, or at least 1000 microseconds");
    for (size_t i = 0; i < args->networks.count; i++)
        if (!check_network(&networks[i], i, err))
            return false;
    return true;
}

static bool
look(struct call *call, virDomainPtr *ret_domain, struct error **err)
{
    const struct tune_args *args = call->args;
    struct tune_state *state = call->state;

    if (!check_args(args, err) || !change_look(call, ret_domain, err))
        return false;
    if (!state->live && !state->config &&
        !change_read(call, NULL, &state->live, &state->config, err))
        return false;
    return require_devices(args, state, state->live, "the VM as it runs", err) &&
           require_devices(args, state, state->config, "the definition of the VM", err);
}

static enum outcome
tune_run(struct call *call)
{
    struct error *error = NULL;
    virDomainPtr domain;

    if (!look(call, &domain, &error) || !change_apply(call, domain, tune_one, &error))
        return vm_fail(call, error);
    return call_complete(call, NULL);
}

const struct verb vm_tune_verbs[] = {
    {
        .name = "vm.tune",
        .summary = "Bound what a virtual machine may take of its host.",
        .description =
            "Of disks, networks and cpus; only what is given changes. A disk has either a bound of all requests or "
            "bounds of reads and writes. Bounds of cpus need a host that lets libvirt use its control groups.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .result = &vm_changed_shape,
        .object = vm_name_object,
        .state_done = tune_done,
        .errors = ERRORS(CHANGE_ERRORS),
        .args_size = sizeof(struct tune_args),
        .state_size = sizeof(struct tune_state),
        .params = PARAMS(
            CHANGE_PARAMS(tune_args),
            PARAM(tune_args, disks, "disks", .type = PARAM_RECORDS, .members = disk_bound_members,
                  .member_size = sizeof(struct disk_bounds), .maximum = 64,
                  .about = "Bounds of its disks."),
            PARAM(tune_args, networks, "networks", .type = PARAM_RECORDS,
                  .members = network_bound_members, .member_size = sizeof(struct network_bounds),
                  .maximum = 32, .about = "Bounds of its networks."),
            PARAM(tune_args, cpu_shares.value, "cpuShares", .type = PARAM_INTEGER, .minimum = 2,
                  .maximum = 262144, .present = PRESENT(tune_args, cpu_shares.given),
                  .about = "Its weight against other VMs when cpus are short; 1024 is libvirt's "
                           "own, or 100 with cgroup v2."),
            PARAM(tune_args, cpu_period.value, "cpuPeriod", .type = PARAM_INTEGER, .minimum = 1000,
                  .maximum = 1000000, .present = PRESENT(tune_args, cpu_period.given),
                  .about = "Microseconds in which each of its cpus may run for 'cpuQuota'."),
            PARAM(tune_args, cpu_quota.value, "cpuQuota", .type = PARAM_INTEGER, .minimum = 0,
                  .maximum = INT64_C(17592186044415),
                  .present = PRESENT(tune_args, cpu_quota.given),
                  .about = "Microseconds that each of its cpus may run in a period; 0: no bound.")),
        .steps = STEPS(VM_FIND_STEP, { "set the bounds", tune_run, .pool = POOL_VIRT },
                       { "tell", change_answer, .pool = POOL_LOOP }),
    },
    { 0 },
};
