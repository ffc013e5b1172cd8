/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a running VM has used: libvirt's typed parameters, as JSON with rates.
 *
 * Pure: parameters in, text out.  libvirt tells what it could find out, and leaves out the rest: so
 * does this, by null.  Names: virConnectGetAllDomainStats() in libvirt's manual.
 */
#ifndef VIRT_VM_FIGURES_H
#define VIRT_VM_FIGURES_H

#include <libvirt/libvirt.h>
#include <stdint.h>

#include "agent/base/name.h"
#include "agent/base/text.h"

/* Numbers of one kind of thing: those whose bit is set in 'known' were told. */
enum cpu_figure { CPU_FIGURE_TIME, CPU_FIGURE_USER, CPU_FIGURE_SYSTEM, CPU_FIGURES }; /* ns */
enum memory_figure {
    MEMORY_CURRENT, /* KiB, but for faults and the time */
    MEMORY_MAXIMUM,
    MEMORY_AVAILABLE,
    MEMORY_USABLE,
    MEMORY_UNUSED,
    MEMORY_CACHES,
    MEMORY_RESIDENT, /* of QEMU; told only after it could be asked */
    MEMORY_SWAP_IN,
    MEMORY_SWAP_OUT,
    MEMORY_MAJOR_FAULTS,
    MEMORY_MINOR_FAULTS,
    MEMORY_UPDATED, /* seconds since 1970: when the guest told */
    MEMORY_FIGURES
};
enum vcpu_figure { VCPU_STATE, VCPU_TIME, VCPU_WAIT, VCPU_DELAY, VCPU_FIGURES }; /* ns */
enum disk_figure {
    DISK_READS,
    DISK_READ_BYTES,
    DISK_READ_TIME, /* ns */
    DISK_WRITES,
    DISK_WRITE_BYTES,
    DISK_WRITE_TIME,
    DISK_FLUSHES,
    DISK_FLUSH_TIME,
    DISK_ALLOCATION, /* the highest byte that was written to */
    DISK_CAPACITY,
    DISK_PHYSICAL, /* what it takes where it is */
    DISK_FIGURES
};
enum network_figure {
    NETWORK_RECEIVED_BYTES,
    NETWORK_RECEIVED_PACKETS,
    NETWORK_RECEIVED_ERRORS,
    NETWORK_RECEIVED_DROPS,
    NETWORK_SENT_BYTES,
    NETWORK_SENT_PACKETS,
    NETWORK_SENT_ERRORS,
    NETWORK_SENT_DROPS,
    NETWORK_FIGURES
};

/* A vcpu, a disk or an interface; or the cpu or memory of the whole. */
struct figures {
    unsigned index;    /* libvirt's number */
    char *name, *path; /* owned; a disk's target and source, an interface's tap; or NULL */
    uint64_t values[MEMORY_FIGURES]; /* the most that any kind has */
    unsigned known;
};

struct figures_list {
    struct figures *all; /* owned */
    size_t count;
};

/* Members of a VM in vm.stats. */
enum vm_part {
    VM_PART_CPU,
    VM_PART_VCPUS,
    VM_PART_MEMORY,
    VM_PART_DISKS,
    VM_PART_NETWORKS,
    VM_PARTS
};

struct vm_figures {
    char uuid[UUID_TEXT_SIZE];
    unsigned id; /* of its run: another after a restart */
    bool stale;  /* QEMU could not be asked: what only it knows is not known */
    struct figures cpu, memory;
    struct figures_list vcpus, disks, networks;
    struct text parts[VM_PARTS]; /* JSON values */
};

/* A disk's or an interface's name in libvirt's figures, and what the agent knows of it. */
struct vm_name {
    char *name;               /* owned, as all below; a disk's target, an interface's tap */
    char *repository, *image; /* or NULL */
    char *mac;                /* or NULL */
};
struct vm_names {
    char uuid[UUID_TEXT_SIZE];
    struct vm_name *disks, *networks; /* owned */
    size_t disk_count, network_count;
};
void vm_names_done(struct vm_names *names);

/* Takes in what libvirt told.  'figures' has its uuid and id, and is zeroed otherwise. */
void vm_figures_read(struct vm_figures *figures, const virTypedParameter params[], size_t count);
/* Writes the parts; 'before' (of the same VM, 'interval_ns' ago) may be NULL, and so may 'names', which tells
   whose image a disk is and which address an interface has. */
void vm_figures_write(struct vm_figures *figures, const struct vm_figures *before,
                      int64_t interval_ns, const struct vm_names *names);
void vm_figures_done(struct vm_figures *figures);
const char *vm_part_name(enum vm_part part);
/* Whether the value of a part without figures is an empty list, and not null. */
bool vm_part_is_list(enum vm_part part);

#endif
