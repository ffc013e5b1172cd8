/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one virtual machine: libvirt's description of it, and where it stands.
 *
 * libvirt keeps it; nothing of it is ours.  A struct vm is read as a whole on a worker and never changed
 * after the loop has it, but for its state, which libvirt's events tell, and the end of its freeze.
 */
#ifndef VIRT_VM_H
#define VIRT_VM_H

#include <libvirt/libvirt.h>
#include <stdint.h>

#include "agent/base/json-writer.h"
#include "agent/base/name.h"
#include "agent/base/xml.h"
#include "agent/verb.h"

enum vm_state {
    VM_UNKNOWN,
    VM_RUNNING,
    VM_PAUSED,
    VM_STOPPING, /* the guest has been told to shut down, and has begun */
    VM_SHUTOFF,
    VM_CRASHED,
    VM_SUSPENDED /* by the guest: to memory or to disk */
};

struct vm_disk {
    char *target;             /* "vda": what tells it from the VM's others */
    char *device;             /* disk, cdrom, floppy, lun */
    char *bus;                /* virtio, scsi, sata, ...; or NULL */
    char *kind;               /* of its source: file, block, network, volume, ... */
    char *source;             /* path, or "VOLUME/PATH" of a network disk; NULL: no medium */
    char *protocol;           /* of a network disk: gluster, nbd; or NULL */
    char *format;             /* raw, qcow2, ...; or NULL */
    char *serial, *alias;     /* or NULL */
    char *repository, *image; /* which image that is, where it is known; or NULL */
    bool readonly, shareable;
};

struct vm_network {
    char *mac, *kind, *source, *model, *target, *alias; /* each but 'kind' may be NULL */
    bool linked;
};

struct vm_graphics {
    char *kind, *listen;
    int64_t port, tls_port; /* -1: none (yet) */
};

struct vm {
    char uuid[UUID_TEXT_SIZE];
    char *name;
    char *title, *description; /* or NULL */
    enum vm_state state;
    const char *reason; /* static text, or NULL */
    int64_t since_ns;   /* wall clock; when the state was entered; 0: before the agent saw it */
    int64_t id;         /* of its process, as libvirt counts; -1: it does not run */
    bool persistent, autostart, saved;
    uint64_t memory, memory_max; /* bytes */
    uint64_t cpus, cpus_max;
    char *virtualization, *architecture, *machine, *firmware, *emulator, *console; /* or NULL */
    char *agent_channel;     /* "connected", "disconnected"; NULL: it has none */
    char *user_data;         /* JSON, as the caller gave it; or NULL */
    char *unread;            /* why no more than its name and uuid is known; NULL: all is */
    int64_t frozen_until_ns; /* wall clock; 0: its guest is not frozen, as far as the agent knows */
    struct vm_disk *disks;
    struct vm_network *networks;
    struct vm_graphics *graphics;
    size_t disk_count, network_count, graphics_count;
};

/* The namespace of what the agent writes into a domain's <metadata>. */
#define VM_METADATA_URI "https://hostler.org/vm/1"
#define VM_METADATA_PREFIX "hostler"
/* Of the deadline of a frozen guest: virt/freeze.h. */
#define VM_FREEZE_URI "https://hostler.org/freeze/1"

void vm_free(struct vm *vm);
DEFINE_CLEANUP(struct vm, vm_free)

/* Asks libvirt for all of it.  Errors: NotFound {kind "vm", id}, BackendFailed.  Worker. */
bool vm_read(virDomainPtr domain, struct vm **ret_vm, struct error **err) _must_check_;
/* What a domain's XML says; state and the like are left.  Any thread. */
bool vm_parse(const char *xml, struct vm **ret_vm, struct error **err) _must_check_;

/* By target, else by alias, else by serial, which may be any text; NULL: it has no such disk. */
const struct vm_disk *vm_disk_find(const struct vm *vm, const char *name);
/* By MAC address, or its device on the host (vnet0), which only what runs has; NULL: it has no such card. */
const struct vm_network *vm_network_find(const struct vm *vm, const char *name);

const char *vm_state_name(enum vm_state state);
extern const char *const vm_state_choices[]; /* NULL-terminated */
/* By libvirt's numbers; "unknown" for what it has not told yet. */
enum vm_state vm_state_of(int state);
const char *vm_reason_of(int state, int reason);

/* What has happened to it, for an event: static texts, and what is borrowed. */
struct vm_change {
    const char *event;  /* "started" */
    const char *reason; /* "migrated"; or NULL */
    const char *device; /* which of its devices it is about; or NULL */
};

/* The object of vm.status; with 'change' the one of vm.changed. */
void vm_write(const struct vm *vm, const struct vm_change *change, struct writer *writer);
extern const struct shape vm_shape;

#endif
