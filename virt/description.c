/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/description.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "agent/base/text.h"
#include "agent/base/xml.h"

#define SERIAL_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-"

/* ---- tables ---- */

#define BYTES_A_SECOND(member, name, what)                                                         \
    PARAM(disk_tuning, member, name, .type = PARAM_SIZE, .maximum = INT64_C(1) << 50,              \
          .about = "Most bytes a second that are " what "; 0 means no bound.")
#define OPERATIONS_A_SECOND(member, name, what)                                                    \
    PARAM(disk_tuning, member, name, .type = PARAM_INTEGER, .maximum = 1000000000,                 \
          .about = "Most requests a second that " what "; 0 means no bound.")

static const struct param disk_tuning_members[] = {
    BYTES_A_SECOND(bytes, "bytesPerSecond", "read and written"),
    BYTES_A_SECOND(read_bytes, "readBytesPerSecond", "read"),
    BYTES_A_SECOND(write_bytes, "writeBytesPerSecond", "written"),
    OPERATIONS_A_SECOND(iops, "iops", "read or write"),
    OPERATIONS_A_SECOND(read_iops, "readIops", "read"),
    OPERATIONS_A_SECOND(write_iops, "writeIops", "write"),
    { 0 },
};

const struct param disk_members[] = {
    PARAM(disk_description, repository, "repository", .type = PARAM_NAME,
          .about = "Repository that holds the image."),
    PARAM(disk_description, image, "image", .type = PARAM_NAME,
          .about = "The image; a cdrom without one is an empty drive."),
    PARAM(disk_description, device, "device", .type = PARAM_CHOICE,
          .choices = CHOICES("disk", "cdrom"), .fallback = "\"disk\"",
          .about = "What the guest sees: a disk, or a drive with the image as its medium."),
    PARAM(disk_description, bus, "bus", .type = PARAM_CHOICE,
          .choices = CHOICES("virtio", "scsi", "sata", "usb"),
          .about = "Where it is plugged in; without this, virtio for a disk, sata for a cdrom."),
    PARAM(disk_description, target, "target", .type = PARAM_TEXT, .minimum = 3, .maximum = 4,
          .one_line = true,
          .about = "Its name, by which other calls find it: vda, sdb; without this, the first that "
                   "is free."),
    PARAM(disk_description, read_only, "readonly", .type = PARAM_BOOL,
          .about = "The guest cannot write to it; always so of a cdrom."),
    PARAM(disk_description, shareable, "shareable", .type = PARAM_BOOL,
          .about = "Several VMs write to it at once, which their file system must be made for."),
    PARAM(disk_description, boot_order, "bootOrder", .type = PARAM_INTEGER, .minimum = 1,
          .maximum = 1000,
          .about = "Its place among what is started from; given for none, disks come first, then "
                   "cdroms, then networks."),
    PARAM(disk_description, cache, "cache", .type = PARAM_CHOICE,
          .choices = CHOICES("none", "writeback", "writethrough", "directsync", "unsafe"),
          .about = "How the host caches it; without this, none where its storage has direct I/O, "
                   "else writeback."),
    PARAM(disk_description, io, "io", .type = PARAM_CHOICE,
          .choices = CHOICES("native", "threads", "io_uring"),
          .about = "How QEMU reads and writes a file; without this, native with direct I/O, else "
                   "threads."),
    PARAM(disk_description, discard, "discard", .type = PARAM_CHOICE,
          .choices = CHOICES("unmap", "ignore"), .fallback = "\"unmap\"",
          .about = "Whether space that the guest frees is freed in the image."),
    PARAM(disk_description, serial, "serial", .type = PARAM_TEXT, .minimum = 1, .maximum = 20,
          .one_line = true, .about = "Serial number that the guest sees."),
    PARAM(disk_description, tuning, "tuning", .type = PARAM_RECORD, .members = disk_tuning_members,
          .member_size = sizeof(struct disk_tuning), .about = "Bounds of its speed."),
    { 0 },
};

const struct param network_members[] = {
    PARAM(network_description, kind, "kind", .type = PARAM_CHOICE,
          .choices = CHOICES("network", "bridge", "user"), .fallback = "\"network\"",
          .about = "A network of libvirt's, a bridge of the host's, or QEMU's own translation of "
                   "addresses, which needs neither."),
    PARAM(network_description, source, "source", .type = PARAM_TEXT, .minimum = 1, .maximum = 256,
          .one_line = true, .about = "Name of the network or the bridge."),
    PARAM(network_description, port_group, "portGroup", .type = PARAM_TEXT, .minimum = 1,
          .maximum = 256, .one_line = true, .about = "Port group of the network."),
    PARAM(network_description, filter, "filter", .type = PARAM_TEXT, .minimum = 1, .maximum = 256,
          .one_line = true, .about = "Network filter of libvirt's: clean-traffic."),
    PARAM(network_description, model, "model", .type = PARAM_CHOICE,
          .choices = CHOICES("virtio", "e1000e", "e1000", "rtl8139"), .fallback = "\"virtio\"",
          .about = "The card that the guest sees."),
    PARAM(network_description, mac, "mac", .type = PARAM_TEXT, .minimum = 17, .maximum = 17,
          .one_line = true,
          .about = "Its address; without this, one made of the VM's UUID and the card's place."),
    PARAM(network_description, boot_order, "bootOrder", .type = PARAM_INTEGER, .minimum = 1,
          .maximum = 1000, .about = "As a disk's."),
    PARAM(network_description, mtu, "mtu", .type = PARAM_INTEGER, .minimum = 68, .maximum = 65535,
          .about = "Largest packet, in bytes."),
    PARAM(network_description, queues, "queues", .type = PARAM_INTEGER, .minimum = 1,
          .maximum = 256, .about = "Pairs of queues of a virtio card."),
    PARAM(network_description, connected, "connected", .type = PARAM_BOOL, .fallback = "true",
          .about = "Whether its cable is plugged in."),
    { 0 },
};

const struct param console_members[] = {
    PARAM(console_description, kind, "kind", .type = PARAM_CHOICE,
          .choices = CHOICES("vnc", "spice", "none"), .fallback = "\"vnc\"",
          .about = "By what it is seen."),
    PARAM(console_description, listen, "listen", .type = PARAM_TEXT, .minimum = 1, .maximum = 64,
          .one_line = true, .about = "IP address to listen on; without this, 127.0.0.1."),
    PARAM(console_description, port, "port", .type = PARAM_INTEGER, .minimum = 5900,
          .maximum = 65535, .about = "Port to listen on; without this, one that is free."),
    PARAM(console_description, open, "open", .type = PARAM_BOOL,
          .about = "Whoever reaches the port gets in; else only with a ticket (vm.consoleTicket)."),
    PARAM(console_description, keymap, "keymap", .type = PARAM_TEXT, .minimum = 2, .maximum = 16,
          .one_line = true, .about = "Layout of the keyboard: en-us, de."),
    { 0 },
};

const struct param serial_members[] = {
    PARAM(serial_description, kind, "kind", .type = PARAM_CHOICE,
          .choices = CHOICES("pty", "file", "none"), .fallback = "\"pty\"",
          .about = "Where it leads."),
    PARAM(serial_description, path, "path", .type = PARAM_PATH,
          .about = "File that gets what the guest writes to it (admin)."),
    { 0 },
};

const struct param boot_members[] = {
    PARAM(boot_description, kernel, "kernel", .type = PARAM_PATH, .required = true,
          .about = "The kernel, a file of the host's."),
    PARAM(boot_description, initrd, "initrd", .type = PARAM_PATH,
          .about = "Its initial file system, likewise."),
    PARAM(boot_description, command_line, "commandLine", .type = PARAM_TEXT, .one_line = true,
          .about = "What it is told."),
    { 0 },
};

#define TOPOLOGY(member)                                                                           \
    PARAM(topology_description, member, #member, .type = PARAM_INTEGER, .minimum = 1,              \
          .maximum = 4096, .fallback = "1", .about = "How many there are in what is around them.")

const struct param topology_members[] = {
    TOPOLOGY(sockets), TOPOLOGY(dies), TOPOLOGY(cores), TOPOLOGY(threads), { 0 },
};

const struct param vm_tuning_members[] = {
    PARAM(vm_tuning, cpu_shares, "cpuShares", .type = PARAM_INTEGER, .minimum = 1,
          .maximum = 262144, .about = "Its weight against others where CPUs are scarce."),
    PARAM(vm_tuning, cpu_period, "cpuPeriod", .type = PARAM_INTEGER, .minimum = 1000,
          .maximum = 1000000, .about = "Microseconds in which each CPU may run for 'cpuQuota'."),
    PARAM(vm_tuning, cpu_quota, "cpuQuota", .type = PARAM_INTEGER, .minimum = 1000,
          .maximum = INT64_C(17592186044415), .about = "Microseconds of each 'cpuPeriod'."),
    PARAM(vm_tuning, io_threads, "ioThreads", .type = PARAM_INTEGER, .minimum = 1, .maximum = 64,
          .about = "Threads of their own for its virtio disks, spread over them."),
    { 0 },
};

/* The same tables as one, for what is asked of all members. */
struct whole {
    struct vm_description all;
};
static const struct param whole_params[] = { VM_DESCRIPTION_PARAMS(whole, all), { 0 } };

/* ---- texts ---- */

static char *
place_in(const char *place, const char *name)
{
    return place ? xprintf("%s.%s", place, name) : xstrdup(name);
}

static bool
check_member(const struct param *param, const void *member, const char *place, struct error **err)
{
    const struct records *records = member;

    switch (param->type) {
    case PARAM_TEXT:
    case PARAM_PATH:
    case PARAM_OBJECT: {
        const char *text = *(char *const *)member;

        return !text || xml_text_valid(text) ||
               error_param(err, place,
                           "must hold no control characters but tabs and line ends, and no U+FFFE "
                           "or U+FFFF: XML has no way to say them");
    }
    case PARAM_RECORD:
        return description_check_texts(param->members, *(void *const *)member, place, err);
    case PARAM_RECORDS:
        for (size_t i = 0; i < records->count; i++) {
            _cleanup_free_ char *one = xprintf("%s[%zu]", place, i);

            if (!description_check_texts(
                    param->members, (const char *)records->all + i * param->member_size, one, err))
                return false;
        }
        return true;
    default: return true;
    }
}

bool
description_check_texts(const struct param *params, const void *args, const char *place,
                        struct error **err)
{
    for (const struct param *param = params; args && param->name; param++) {
        _cleanup_free_ char *inner = place_in(place, param->name);

        if (!check_member(param, (const char *)args + param->offset, inner, err))
            return false;
    }
    return true;
}

static bool
fault(struct error **err, const char *place, const char *member, const char *reason)
{
    _cleanup_free_ char *inner = place_in(place, member);

    return error_param(err, inner, "%s", reason);
}

/* ---- disks ---- */

static bool
is_cdrom(const struct disk_description *disk)
{
    return strcmp(disk->device, "cdrom") == 0;
}

static bool
check_target(const struct disk_description *disk, const char *place, struct error **err)
{
    const char *target = disk->target;
    const char *bus = disk->bus ? disk->bus : is_cdrom(disk) ? "sata" : "virtio";
    const char *prefix = strcmp(bus, "virtio") == 0 ? "vd" : "sd";

    if (!target)
        return true;
    if (strncmp(target, prefix, 2) == 0 && target[2] &&
        strspn(target + 2, "abcdefghijklmnopqrstuvwxyz") == strlen(target + 2))
        return true;
    return fault(err, place, "target",
                 *prefix == 'v' ? "must be vd and one or two letters on this bus: vda"
                                : "must be sd and one or two letters on this bus: sda");
}

static bool
check_tuning(const struct disk_tuning *tuning, const char *place, struct error **err)
{
    if (tuning && tuning->bytes && (tuning->read_bytes || tuning->write_bytes))
        return fault(err, place, "tuning.bytesPerSecond",
                     "bounds both together: it cannot stand beside a bound of one of them");
    if (tuning && tuning->iops && (tuning->read_iops || tuning->write_iops))
        return fault(err, place, "tuning.iops",
                     "bounds both together: it cannot stand beside a bound of one of them");
    return true;
}

static bool
check_cache(const struct disk_description *disk, const char *place, struct error **err)
{
    bool direct =
        !disk->cache || strcmp(disk->cache, "none") == 0 || strcmp(disk->cache, "directsync") == 0;

    return !disk->io || strcmp(disk->io, "native") != 0 || direct ||
           fault(err, place, "io", "can be 'native' only with the cache 'none' or 'directsync'");
}

bool
disk_description_check(const struct disk_description *disk, const char *place, struct error **err)
{
    if (!disk->image && !is_cdrom(disk))
        return fault(err, place, "image", "is missing: only a cdrom can be without one");
    if (!disk->image != !disk->repository)
        return fault(err, place, disk->image ? "repository" : "image",
                     "is missing: an image is told by both");
    if (disk->bus && is_cdrom(disk) && strcmp(disk->bus, "virtio") == 0)
        return fault(err, place, "bus", "must be 'scsi', 'sata' or 'usb' for a cdrom");
    if (disk->shareable && (disk->read_only || is_cdrom(disk)))
        return fault(err, place, "shareable", "is for disks that are written to");
    if (disk->serial && strspn(disk->serial, SERIAL_CHARACTERS) != strlen(disk->serial))
        return fault(err, place, "serial", "must hold letters, digits, '_', '.', '+' and '-' only");
    return check_target(disk, place, err) && check_cache(disk, place, err) &&
           check_tuning(disk->tuning, place, err);
}

/* ---- networks ---- */

bool
mac_parse(const char *text, char ret_mac[18])
{
    unsigned bytes[6];
    int end = 0;

    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3],
               &bytes[4], &bytes[5], &end) != 6 ||
        end != 17 || text[end] || strspn(text, "0123456789abcdefABCDEF:") != 17)
        return false;
    (void)snprintf(ret_mac, 18, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2],
                   bytes[3], bytes[4], bytes[5]);
    return (bytes[0] & 1) == 0 && strcmp(ret_mac, "00:00:00:00:00:00") != 0;
}

bool
network_description_check(const struct network_description *network, const char *place,
                          struct error **err)
{
    bool user = strcmp(network->kind, "user") == 0, named = strcmp(network->kind, "network") == 0;
    char mac[18];

    if (user && network->source)
        return fault(err, place, "source", "does not go with the kind 'user'");
    if (!user && !network->source)
        return fault(err, place, "source", "is missing: the network's or the bridge's name");
    if (network->port_group && !named)
        return fault(err, place, "portGroup", "is for the kind 'network' only");
    if (network->filter && user)
        return fault(err, place, "filter", "does not go with the kind 'user'");
    if (network->queues && (user || strcmp(network->model, "virtio") != 0))
        return fault(err, place, "queues", "are for virtio cards of a network or a bridge only");
    if (network->mac && !mac_parse(network->mac, mac))
        return fault(err, place, "mac",
                     "must be six bytes of two hexadecimal digits, the first an even one: "
                     "52:54:00:12:34:56");
    return true;
}

/* ---- the whole ---- */

static bool
check_basics(const struct vm_description *description, struct error **err)
{
    const char *missing = !description->name     ? "name"
                          : !description->memory ? "memory"
                          : !description->cpus   ? "cpus"
                                                 : NULL;
    uuid_t uuid;

    if (missing)
        return error_param(err, missing, "is missing: a VM is described by it, or by 'xml'");
    if (description->uuid && uuid_parse(description->uuid, uuid) < 0)
        return error_param(err, "uuid", "must be a UUID: 32 hexadecimal digits as 8-4-4-4-12");
    if (description->max_memory && description->max_memory < description->memory)
        return error_param(err, "maxMemory", "must be at least 'memory', %" PRIu64,
                           description->memory);
    if (description->max_cpus && description->max_cpus < description->cpus)
        return error_param(err, "maxCpus", "must be at least 'cpus', %" PRId64, description->cpus);
    return true;
}

static bool
check_cpus(const struct vm_description *description, struct error **err)
{
    const struct topology_description *topology = description->topology;
    int64_t most = description->max_cpus ? description->max_cpus : description->cpus;
    const char *model = description->cpu_model;

    /* Four factors of at most 4,096: no overflow. */
    if (topology &&
        topology->sockets * topology->dies * topology->cores * topology->threads != most)
        return error_param(err, "topology",
                           "must make %" PRId64 " CPUs in all (sockets × dies × cores × threads), "
                           "as many as the VM can have",
                           most);
    if (model && strspn(model, SERIAL_CHARACTERS) != strlen(model))
        return error_param(err, "cpuModel",
                           "must hold letters, digits, '_', '.', '+' and '-' only");
    if (model && strcmp(model, "host-passthrough") == 0 && description->virtualization &&
        strcmp(description->virtualization, "qemu") == 0)
        return error_param(err, "cpuModel", "can be 'host-passthrough' only with KVM");
    return true;
}

static bool
check_firmware(const struct vm_description *description, struct error **err)
{
    if (description->secure_boot && strcmp(description->firmware, "efi") != 0)
        return error_param(err, "secureBoot", "needs the firmware 'efi'");
    if (description->machine &&
        strspn(description->machine, SERIAL_CHARACTERS) != strlen(description->machine))
        return error_param(err, "machine", "must hold letters, digits, '_', '.', '+' and '-' only");
    return true;
}

static bool
check_console(const struct console_description *console, struct error **err)
{
    struct in6_addr address;

    if (console && console->listen && inet_pton(AF_INET, console->listen, &address) != 1 &&
        inet_pton(AF_INET6, console->listen, &address) != 1)
        return error_param(err, "console.listen", "must be an IP address: 127.0.0.1, ::1, 0.0.0.0");
    /* QEMU takes a path as well: of whatever it may read on this host. */
    if (console && console->keymap &&
        strspn(console->keymap, SERIAL_CHARACTERS) != strlen(console->keymap))
        return error_param(err, "console.keymap",
                           "must hold letters, digits, '_', '.', '+' and '-' only: en-us");
    return true;
}

static bool
check_ports(const struct vm_description *description, struct error **err)
{
    const struct serial_description *serial = description->serial;
    bool file = serial && strcmp(serial->kind, "file") == 0;

    if (serial && file != (serial->path != NULL))
        return error_param(err, "serial.path",
                           file ? "is missing: where the file is to be" : "is for the kind 'file'");
    return true;
}

static bool
check_vm_tuning(const struct vm_tuning *tuning, struct error **err)
{
    if (tuning && tuning->cpu_period && !tuning->cpu_quota)
        return error_param(err, "tuning.cpuPeriod", "means nothing without 'cpuQuota'");
    return true;
}

static bool
check_disks(const struct vm_description *description, struct error **err)
{
    const struct disk_description *disks = description->disks.all;

    for (size_t i = 0; i < description->disks.count; i++) {
        _cleanup_free_ char *place = xprintf("disks[%zu]", i);

        if (!disk_description_check(&disks[i], place, err))
            return false;
        for (size_t j = 0; j < i; j++) {
            if (disks[i].target && disks[j].target && strcmp(disks[i].target, disks[j].target) == 0)
                return fault(err, place, "target", "is another disk's already");
            if (disks[i].image && disks[j].image && strcmp(disks[i].image, disks[j].image) == 0 &&
                strcmp(disks[i].repository, disks[j].repository) == 0)
                return fault(err, place, "image", "is another disk's already");
        }
    }
    return true;
}

static bool
check_networks(const struct vm_description *description, struct error **err)
{
    const struct network_description *networks = description->networks.all;

    for (size_t i = 0; i < description->networks.count; i++) {
        _cleanup_free_ char *place = xprintf("networks[%zu]", i);

        if (!network_description_check(&networks[i], place, err))
            return false;
        for (size_t j = 0; j < i; j++)
            if (networks[i].mac && networks[j].mac &&
                strcasecmp(networks[i].mac, networks[j].mac) == 0)
                return fault(err, place, "mac", "is another card's already");
    }
    return true;
}

/* libvirt refuses it as well, but names no place. */
static bool
check_boot_orders(const struct vm_description *description, struct error **err)
{
    const struct disk_description *disks = description->disks.all;
    const struct network_description *networks = description->networks.all;
    size_t count = description->disks.count + description->networks.count;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) {
            size_t n = i - description->disks.count; /* wraps, and is not used, for a disk */
            int64_t order =
                i < description->disks.count ? disks[i].boot_order : networks[n].boot_order;
            int64_t other = j < description->disks.count
                                ? disks[j].boot_order
                                : networks[j - description->disks.count].boot_order;
            _cleanup_free_ char *place = NULL;

            if (order == 0 || order != other)
                continue;
            place = i < description->disks.count ? xprintf("disks[%zu]", i)
                                                 : xprintf("networks[%zu]", n);
            return fault(err, place, "bootOrder", "is another device's already");
        }
    return true;
}

bool
description_check(const struct vm_description *description, struct error **err)
{
    return description_check_texts(whole_params, description, NULL, err) &&
           check_basics(description, err) && check_cpus(description, err) &&
           check_firmware(description, err) && check_console(description->console, err) &&
           check_ports(description, err) && check_vm_tuning(description->tuning, err) &&
           check_disks(description, err) && check_networks(description, err) &&
           check_boot_orders(description, err);
}

static bool
is_given(const struct param *param, const void *member)
{
    switch (param->type) {
    case PARAM_BOOL: return *(const bool *)member;
    case PARAM_SIZE:
    case PARAM_INTEGER: return *(const uint64_t *)member != 0;
    case PARAM_RECORDS: return ((const struct records *)member)->count > 0;
    default: return *(const void *const *)member != NULL;
    }
}

const char *
description_first_given(const struct vm_description *description)
{
    for (const struct param *param = whole_params; param->name; param++)
        if (!param->fallback && is_given(param, (const char *)description + param->offset))
            return param->name;
    return NULL;
}

const char *
description_needs_admin(const struct vm_description *description)
{
    if (description->boot)
        return "boot";
    if (description->serial && description->serial->path)
        return "serial.path";
    return NULL;
}
