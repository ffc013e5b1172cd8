/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The images that a virtual machine is to have as disks: found, claimed before libvirt knows of the
 * machine, and kept or dropped by whether it then does; or given back when it knows it no more.
 *
 *     loop:    vm_disks_add() each, vm_disks_set_lane()
 *     worker:  vm_disks_claim()         each image's record names the VM, and its lock is held
 *              virDomainDefineXML()
 *     worker:  vm_disks_settle(), whichever way libvirt has taken it
 *     any:     vm_disks_done()
 *
 * Killed in between, a record stands whose VM libvirt does not know: it is judged when it is in somebody's
 * way (storage/image-use.h).
 */
#ifndef VIRT_VM_DISKS_H
#define VIRT_VM_DISKS_H

#include "agent/call.h"
#include "storage/disk.h"
#include "virt/device.h"
#include "virt/vm.h"

struct virt;

struct vm_disk_claim {
    struct repository *repository; /* NULL: a drive without a medium */
    bool referenced;               /* 'repository' is a reference; else borrowed from the places */
    char *image;                   /* owned */
    enum use_access access;
    struct disk_claim *claim; /* owned, until it is kept or dropped */
};

struct vm_disks {
    struct vm_disk_claim *items; /* owned */
    size_t count;
};

enum use_access disk_description_access(const struct disk_description *description);

/* Loop.  RepositoryNotFound, RepositoryUnavailable. */
bool vm_disks_add(struct vm_disks *disks, struct virt *virt, const char *repository,
                  const char *image, enum use_access access, struct error **err) _must_check_;
/* Loop: those that are named, by vm.status; a repository that is not there now is left out. */
void vm_disks_add_named(struct vm_disks *disks, struct virt *virt, const struct vm *vm);
/* Worker: those of its sources that lie in one of 'places', which must live as long. */
void vm_disks_add_found(struct vm_disks *disks, const struct disk_places *places,
                        const struct vm *vm);
/* Whether it is among them. */
bool vm_disks_have(const struct vm_disks *disks, const struct vm_disk_claim *claim);
/* Loop: steps that follow count as work on their repository, if it is one. */
void vm_disks_set_lane(const struct vm_disks *disks, struct call *call);

/* Worker.  All of them, or none.  Errors: disk_claim()'s. */
bool vm_disks_claim(struct vm_disks *disks, const struct call *call, const char *uuid,
                    const char *name, struct error **err) _must_check_;
/* Worker.  Keeps the claims where libvirt may know of the VM, or of the disk, else drops them; returns which,
   as a word. */
const char *vm_disks_settle(struct vm_disks *disks, bool may_be_known);
/* Worker.  It knows it no more: but for 'others' (or NULL), which it still has.  What cannot be released
   now is judged later, and logged. */
void vm_disks_release(const struct vm_disks *disks, const struct call *call, const char *uuid,
                      const struct vm_disks *others);
/* Any thread. */
void vm_disks_done(struct vm_disks *disks);

/* What QEMU opens of the n-th; NULL: no medium.  Borrowed from the claim. */
const struct disk_source *vm_disks_source(const struct vm_disks *disks, size_t n);
/* Whether its storage has direct I/O, without which QEMU does not start with the cache 'none'.  Worker. */
bool disk_source_is_direct(const struct disk_source *source);

#endif
