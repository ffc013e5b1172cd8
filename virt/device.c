/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/device.h"

#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#define TARGETS_MAX (26 + 26 * 26) /* a to zz */

static bool
is_virtio(const struct disk_device *disk)
{
    return strcmp(disk->bus, "virtio") == 0;
}

static bool
is_cdrom(const struct disk_device *disk)
{
    return strcmp(disk->description->device, "cdrom") == 0;
}

/* ---- disks ---- */

void
disk_device_init(struct disk_device *disk, const struct disk_description *description)
{
    *disk = (struct disk_device){ .description = description,
                                  .bus = description->bus,
                                  .boot_order = description->boot_order };
    if (!disk->bus)
        disk->bus = is_cdrom(disk) ? "sata" : "virtio";
    if (description->target)
        (void)snprintf(disk->target, sizeof(disk->target), "%s", description->target);
}

bool
disk_device_check(const struct disk_device *disk, const char *place, struct error **err)
{
    const char *cache = disk->description->cache, *io = disk->description->io;
    _cleanup_free_ char *member = NULL;

    if (!disk->source || disk->direct)
        return true;
    if (cache && (strcmp(cache, "none") == 0 || strcmp(cache, "directsync") == 0)) {
        member = xprintf("%s.cache", place);
        return error_param(err, member,
                           "must not be '%s': the file system of its repository has no direct I/O",
                           cache);
    }
    if (!io || strcmp(io, "native") != 0)
        return true;
    member = xprintf("%s.io", place);
    return error_param(err, member,
                       "must not be 'native': the file system of its repository has "
                       "no direct I/O");
}

static void
write_target(const struct disk_device *disk, unsigned n, char ret_target[TARGET_SIZE])
{
    const char *prefix = is_virtio(disk) ? "vd" : "sd";

    if (n < 26)
        (void)snprintf(ret_target, TARGET_SIZE, "%s%c", prefix, 'a' + n);
    else
        (void)snprintf(ret_target, TARGET_SIZE, "%s%c%c", prefix, 'a' + (n / 26 - 1) % 26,
                       'a' + n % 26);
}

bool
disk_device_choose_target(struct disk_device *disk, device_taken taken, const void *context)
{
    char target[TARGET_SIZE];

    if (disk->target[0])
        return true;
    for (unsigned n = 0; n < TARGETS_MAX; n++) {
        write_target(disk, n, target);
        if (taken(context, target))
            continue;
        memcpy(disk->target, target, sizeof(target));
        return true;
    }
    return false;
}

struct disk_list {
    const struct disk_device *disks;
    size_t count;
};

static bool
is_target_of(const void *context, const char *target)
{
    const struct disk_list *list = context;

    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->disks[i].target, target) == 0)
            return true;
    return false;
}

bool
disk_devices_choose_targets(struct disk_device *disks, size_t count, struct error **err)
{
    const struct disk_list list = { disks, count };

    for (size_t i = 0; i < count; i++)
        if (!disk_device_choose_target(&disks[i], is_target_of, &list))
            return error_param(err, "disks", "are too many for the bus '%s'", disks[i].bus);
    return true;
}

void
disk_devices_spread(struct disk_device *disks, size_t disk_count, int64_t count)
{
    unsigned n = 0;

    for (size_t i = 0; count > 0 && i < disk_count; i++)
        if (is_virtio(&disks[i]))
            disks[i].io_thread = n++ % (unsigned)count + 1;
}

/* ---- networks ---- */

void
network_device_init(struct network_device *network, const struct network_description *description)
{
    *network = (struct network_device){ .description = description,
                                        .boot_order = description->boot_order };
    if (description->mac && !mac_parse(description->mac, network->mac))
        network->mac[0] = '\0'; /* it was checked before */
}

/* The same VM has the same addresses wherever it is defined, and two have the same with the odds of one
   in 16 million for each pair of cards, as with libvirt's own. */
static void
derive_mac(const char *uuid, unsigned number, char ret_mac[MAC_SIZE])
{
    uuid_t space, derived;
    char name[32];

    if (uuid_parse(uuid, space) < 0)
        memset(space, 0, sizeof(space));
    (void)snprintf(name, sizeof(name), "network %u", number);
    uuid_generate_sha1(derived, space, name, strlen(name));
    (void)snprintf(ret_mac, MAC_SIZE, "52:54:00:%02x:%02x:%02x", derived[0], derived[1],
                   derived[2]);
}

void
network_device_choose_mac(struct network_device *network, const char *uuid, unsigned number,
                          device_taken taken, const void *context)
{
    char mac[MAC_SIZE];

    if (network->mac[0])
        return;
    do
        derive_mac(uuid, number++, mac);
    while (taken(context, mac));
    memcpy(network->mac, mac, sizeof(mac));
}

struct network_list {
    const struct network_device *networks;
    size_t count;
};

static bool
is_mac_of(const void *context, const char *mac)
{
    const struct network_list *list = context;

    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->networks[i].mac, mac) == 0)
            return true;
    return false;
}

void
network_devices_choose_macs(struct network_device *networks, size_t count, const char *uuid)
{
    const struct network_list list = { networks, count };

    for (size_t i = 0; i < count; i++)
        network_device_choose_mac(&networks[i], uuid, (unsigned)i, is_mac_of, &list);
}

/* ---- what is started from ---- */

void
devices_choose_boot_orders(struct disk_device *disks, size_t disk_count,
                           struct network_device *networks, size_t network_count)
{
    int64_t order = 0;

    for (size_t i = 0; i < disk_count; i++)
        if (disks[i].boot_order)
            return;
    for (size_t i = 0; i < network_count; i++)
        if (networks[i].boot_order)
            return;
    for (size_t i = 0; i < disk_count; i++)
        if (!is_cdrom(&disks[i]))
            disks[i].boot_order = ++order;
    for (size_t i = 0; i < disk_count; i++)
        if (is_cdrom(&disks[i]))
            disks[i].boot_order = ++order;
    for (size_t i = 0; i < network_count; i++)
        networks[i].boot_order = ++order;
}
