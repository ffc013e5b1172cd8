/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/migration-args.h"

#include <string.h>

#include "virt/migration-target.h"

#define MIB (UINT64_C(1) << 20)
/* What libvirt takes for no bound: the most that it can say (QEMU_DOMAIN_MIG_BANDWIDTH_MAX). */
#define SPEED_MAX (INT64_MAX / (INT64_C(1) << 20))
#define URI_MAX 512

static const char *const storages[] = { "none", "full", "incremental", NULL };
static const char *const definitions[] = { "move", "copy", "leave", NULL };
static const char *const ends[] = { "abort", "pause", "postcopy", NULL };

const struct param migration_params[] = {
    VM_PARAM(migration_args),
    PARAM(migration_args, target, "target", .type = PARAM_TEXT, .required = true, .minimum = 1,
          .maximum = URI_MAX, .one_line = true,
          .about = "The target's libvirt, as this host's libvirtd is to reach it: "
                   "qemu+tls://HOST[:PORT]/system, qemu+tcp://HOST[:PORT]/system or "
                   "qemu+ssh://[USER@]HOST[:PORT]/system."),
    PARAM(migration_args, route, "migrateUri", .type = PARAM_TEXT, .minimum = 1, .maximum = URI_MAX,
          .one_line = true,
          .about = "Where this host's QEMU is to send the memory: tcp://HOST[:PORT]; else the "
                   "target's libvirtd says where."),
    PARAM(migration_args, listen_address, "listenAddress", .type = PARAM_TEXT, .minimum = 1,
          .maximum = 64, .one_line = true,
          .about = "The address on which the target's QEMU is to listen; else all of them."),
    PARAM(migration_args, storage, "storage", .type = PARAM_CHOICE, .choices = storages,
          .fallback = "\"none\"",
          .about = "Which disks are copied too: none, for both hosts see them; full, with all that "
                   "is below them; incremental, only the topmost layer of each."),
    PARAM(migration_args, disks, "disks", .type = PARAM_TEXTS,
          .about =
              "With 'storage': only these disks, by target (vda); else all that can be written "
              "to and are not shared."),
    PARAM(migration_args, disks_port, "disksPort", .type = PARAM_INTEGER, .minimum = 0,
          .maximum = 65535, .fallback = "0",
          .about = "With 'storage': the port of the target that disks are copied to; 0: libvirtd "
                   "picks one."),
    PARAM(migration_args, tls, "tls", .type = PARAM_BOOL,
          .about =
              "Encrypt memory and disks on their way, by the certificates of both hosts' QEMU."),
    PARAM(migration_args, tls_host, "tlsHost", .type = PARAM_TEXT, .minimum = 1, .maximum = 253,
          .one_line = true,
          .about = "With 'tls': the name in the target's certificate, where it is not its host's."),
    PARAM(migration_args, postcopy, "postcopy", .type = PARAM_BOOL,
          .about = "Allow that the VM goes over before all of its memory has: it then depends on "
                   "both hosts until it is through."),
    PARAM(migration_args, postcopy_after, "postcopyAfter", .type = PARAM_INTEGER, .minimum = 0,
          .maximum = 1000000, .fallback = "0",
          .about = "With 'postcopy': let it go over after so many passes over its memory; 0: only "
                   "by 'onTimeout'."),
    PARAM(migration_args, rate, "bytesPerSecond", .type = PARAM_SIZE, .fallback = "0",
          .about = "Upper bound in bytes a second, rounded up to MiB; 0 means none. task.throttle "
                   "changes it."),
    PARAM(migration_args, postcopy_rate, "postcopyBytesPerSecond", .type = PARAM_SIZE,
          .fallback = "0",
          .about =
              "Upper bound in bytes a second once it has gone over by post-copy; 0 means none."),
    PARAM(migration_args, auto_converge, "autoConverge", .type = PARAM_BOOL,
          .about =
              "Slow the guest's cpus down, more and more, where it writes faster than is sent."),
    PARAM(migration_args, converge_first, "autoConvergeFirst", .type = PARAM_INTEGER, .minimum = 0,
          .maximum = 99, .fallback = "0",
          .about = "With 'autoConverge': percent of the first step; 0: QEMU's own, 20."),
    PARAM(migration_args, converge_step, "autoConvergeStep", .type = PARAM_INTEGER, .minimum = 0,
          .maximum = 99, .fallback = "0",
          .about = "With 'autoConverge': percent of each further step; 0: QEMU's own, 10."),
    PARAM(migration_args, compress, "compress", .type = PARAM_BOOL,
          .about = "Send only what has changed in pages that were sent before (xbzrle)."),
    PARAM(migration_args, connections, "connections", .type = PARAM_INTEGER, .minimum = 0,
          .maximum = 255, .fallback = "0",
          .about = "Send memory over so many connections at once; 0: one, in the plain way."),
    PARAM(migration_args, definition, "definition", .type = PARAM_CHOICE, .choices = definitions,
          .fallback = "\"move\"",
          .about = "Of a VM that is defined here: define it there and undefine it here (move), "
                   "define it on both (copy), or keep it defined here only (leave)."),
    PARAM(migration_args, paused, "paused", .type = PARAM_BOOL,
          .about = "Leave it paused on the target."),
    PARAM(migration_args, downtime_ms, "maxDowntimeMs", .type = PARAM_INTEGER, .minimum = 0,
          .maximum = 2000000, .fallback = "0",
          .about = "How long it may stand still at the end; 0: as QEMU has it, 300 ms."),
    PARAM(migration_args, timeout_s, "timeout", .type = PARAM_INTEGER, .minimum = 0,
          .maximum = 604800, .fallback = "0",
          .about = "Seconds, after which 'onTimeout' is done; 0: never."),
    PARAM(migration_args, on_timeout, "onTimeout", .type = PARAM_CHOICE, .choices = ends,
          .fallback = "\"abort\"",
          .about =
              "Abort the migration; pause the VM until it is on the target, so that it comes to an "
              "end; or let it go over by post-copy, if 'postcopy' allows it."),
    PARAM(migration_args, abort_on_error, "abortOnIoError", .type = PARAM_BOOL,
          .about = "Abort it when a disk fails meanwhile."),
    PARAM(migration_args, unsafe, "unsafe", .type = PARAM_BOOL,
          .about = "Migrate although libvirt holds the disks' caching for unsafe."),
    PARAM(migration_args, recover, "recover", .type = PARAM_BOOL,
          .about =
              "Go on with a post-copy that was interrupted, as by a broken connection: 'target' as "
              "before."),
    { 0 },
};

static bool
check_needs(const struct migration_args *args, struct error **err)
{
    if (args->postcopy_after > 0 && !args->postcopy)
        return error_param(err, "postcopyAfter", "needs 'postcopy'");
    if (strcmp(args->on_timeout, "postcopy") == 0 && !args->postcopy)
        return error_param(err, "onTimeout", "can be 'postcopy' only with 'postcopy'");
    if (args->tls_host && !args->tls)
        return error_param(err, "tlsHost", "needs 'tls'");
    if ((args->converge_first > 0 || args->converge_step > 0) && !args->auto_converge)
        return error_param(err, args->converge_first > 0 ? "autoConvergeFirst" : "autoConvergeStep",
                           "needs 'autoConverge'");
    if (strcmp(args->storage, "none") != 0)
        return true;
    if (args->disks)
        return error_param(err, "disks", "needs 'storage'");
    if (args->disks_port > 0)
        return error_param(err, "disksPort", "needs 'storage'");
    return true;
}

static bool
check_disks(const struct migration_args *args, const struct vm *vm, struct error **err)
{
    for (size_t i = 0; args->disks && args->disks[i]; i++) {
        bool found = false;

        for (size_t j = 0; j < vm->disk_count && !found; j++)
            found = strcmp(vm->disks[j].target, args->disks[i]) == 0;
        if (!found)
            return error_param(err, "disks", "must be targets of disks of '%s': '%s' is none",
                               vm->name, args->disks[i]);
    }
    return true;
}

bool
migration_args_check(const struct migration_args *args, const struct vm *vm, struct error **err)
{
    return migration_target_check("target", args->target, err) &&
           (!args->route || migration_route_check("migrateUri", args->route, err)) &&
           (!args->listen_address ||
            migration_address_check("listenAddress", args->listen_address, err)) &&
           check_needs(args, err) && check_disks(args, vm, err);
}

static unsigned
storage_flags(const char *storage)
{
    return strcmp(storage, "full") == 0          ? VIR_MIGRATE_NON_SHARED_DISK
           : strcmp(storage, "incremental") == 0 ? VIR_MIGRATE_NON_SHARED_INC
                                                 : 0;
}

static unsigned
definition_flags(const char *definition, bool persistent)
{
    if (!persistent || strcmp(definition, "leave") == 0)
        return 0;
    return VIR_MIGRATE_PERSIST_DEST |
           (strcmp(definition, "move") == 0 ? VIR_MIGRATE_UNDEFINE_SOURCE : 0);
}

unsigned
migration_flags(const struct migration_args *args, bool persistent)
{
    return VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | storage_flags(args->storage) |
           definition_flags(args->definition, persistent) | (args->tls ? VIR_MIGRATE_TLS : 0) |
           (args->postcopy || args->recover ? VIR_MIGRATE_POSTCOPY : 0) |
           (args->auto_converge ? VIR_MIGRATE_AUTO_CONVERGE : 0) |
           (args->compress ? VIR_MIGRATE_COMPRESSED : 0) |
           (args->connections > 0 ? VIR_MIGRATE_PARALLEL : 0) |
           (args->paused ? VIR_MIGRATE_PAUSED : 0) |
           (args->abort_on_error ? VIR_MIGRATE_ABORT_ON_ERROR : 0) |
           (args->unsafe ? VIR_MIGRATE_UNSAFE : 0) |
           (args->recover ? VIR_MIGRATE_POSTCOPY_RESUME : 0);
}

uint64_t
migration_speed(uint64_t bytes_per_second)
{
    uint64_t speed = bytes_per_second / MIB + (bytes_per_second % MIB ? 1 : 0);

    return bytes_per_second == 0 || speed > (uint64_t)SPEED_MAX ? (uint64_t)SPEED_MAX : speed;
}

/* What is being put together; 'failed': virError says why. */
struct params {
    virTypedParameterPtr all;
    int count, room;
    bool failed;
};

static void
add_text(struct params *params, const char *name, const char *value)
{
    if (value &&
        virTypedParamsAddString(&params->all, &params->count, &params->room, name, value) < 0)
        params->failed = true;
}

static void
add_size(struct params *params, const char *name, uint64_t value)
{
    if (virTypedParamsAddULLong(&params->all, &params->count, &params->room, name, value) < 0)
        params->failed = true;
}

/* 0: it is left to libvirt. */
static void
add_number(struct params *params, const char *name, int64_t value)
{
    if (value > 0 &&
        virTypedParamsAddInt(&params->all, &params->count, &params->room, name, (int)value) < 0)
        params->failed = true;
}

bool
migration_typed_params(const struct migration_args *args, virTypedParameterPtr *ret_params,
                       int *ret_count, struct error **err)
{
    struct params params = { 0 };

    add_text(&params, VIR_MIGRATE_PARAM_URI, args->route);
    add_text(&params, VIR_MIGRATE_PARAM_LISTEN_ADDRESS, args->listen_address);
    add_text(&params, VIR_MIGRATE_PARAM_TLS_DESTINATION, args->tls_host);
    /* Always: without it libvirt takes what the VM had in its last migration. */
    add_size(&params, VIR_MIGRATE_PARAM_BANDWIDTH, migration_speed(args->rate));
    if (args->postcopy_rate > 0)
        add_size(&params, VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY,
                 migration_speed(args->postcopy_rate));
    add_number(&params, VIR_MIGRATE_PARAM_DISKS_PORT, args->disks_port);
    add_number(&params, VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL, args->converge_first);
    add_number(&params, VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT, args->converge_step);
    add_number(&params, VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, args->connections);
    if (args->compress)
        add_text(&params, VIR_MIGRATE_PARAM_COMPRESSION, "xbzrle");
    for (size_t i = 0; args->disks && args->disks[i]; i++)
        add_text(&params, VIR_MIGRATE_PARAM_MIGRATE_DISKS, args->disks[i]);
    if (params.failed) {
        virTypedParamsFree(params.all, params.count);
        return virt_fail_connect(err, NULL, "cannot ask libvirt to migrate '%s'", args->vm.vm);
    }
    *ret_params = params.all;
    *ret_count = params.count;
    return true;
}
