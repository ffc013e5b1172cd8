/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of a virtual machine: what follows from their descriptions, and is decided the same way each
 * time: which disk is vda, what is started from first, which address a card has.
 */
#ifndef VIRT_DEVICE_H
#define VIRT_DEVICE_H

#include "agent/base/name.h"
#include "storage/disk.h"
#include "virt/description.h"

#define TARGET_SIZE 5 /* "vdzz" and the NUL */
#define MAC_SIZE 18   /* "52:54:00:12:34:56" and the NUL */

struct disk_device {
    const struct disk_description *description; /* borrowed */
    const struct disk_source *source;           /* borrowed; NULL: no medium */
    char target[TARGET_SIZE];
    const char *bus;    /* static text */
    int64_t boot_order; /* 0: none */
    unsigned io_thread; /* 0: none of its own */
    bool direct;        /* its storage has direct I/O */
};

struct network_device {
    const struct network_description *description; /* borrowed */
    char mac[MAC_SIZE];
    int64_t boot_order; /* 0: none */
};

/* Whether something else has that name or address already. */
typedef bool (*device_taken)(const void *context, const char *name);

/* By its description alone; the target is "" unless it was given. */
void disk_device_init(struct disk_device *disk, const struct disk_description *description);
/* With its source: InvalidParams when that has no direct I/O, and the description wants it. */
bool disk_device_check(const struct disk_device *disk, const char *place, struct error **err)
    _must_check_;
/* The first target of its bus that is not taken, where none was given; false: all are. */
bool disk_device_choose_target(struct disk_device *disk, device_taken taken, const void *context)
    _must_check_;
/* Of all of a VM: InvalidParams when there are too many for their bus. */
bool disk_devices_choose_targets(struct disk_device *disks, size_t count, struct error **err)
    _must_check_;

void network_device_init(struct network_device *network,
                         const struct network_description *description);
/* As it was given, or made of the VM's UUID and the first number from 'number' on whose is not taken. */
void network_device_choose_mac(struct network_device *network, const char *uuid, unsigned number,
                               device_taken taken, const void *context);
void network_devices_choose_macs(struct network_device *networks, size_t count, const char *uuid);

/* As given; where none is: disks, then cdroms, then networks. */
void devices_choose_boot_orders(struct disk_device *disks, size_t disk_count,
                                struct network_device *networks, size_t network_count);
/* 'count' threads, spread over the virtio disks. */
void disk_devices_spread(struct disk_device *disks, size_t disk_count, int64_t count);

#endif
