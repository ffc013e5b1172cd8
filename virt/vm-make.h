/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a virtual machine is that vm.define or vm.create is to make: what they were given, and what they find
 * before anything is done.
 */
#ifndef VIRT_VM_MAKE_H
#define VIRT_VM_MAKE_H

#include "virt/platform.h"
#include "virt/vm-disks.h"
#include "virt/vm-steps.h"

/* The args of both begin with these. */
struct make_args {
    struct vm_description description;
    char *xml;
};

struct make_state {
    struct vm_use use;          /* its entry is NULL until libvirt has told of the VM */
    char *name;                 /* owned */
    struct disk_places *places; /* of raw XML; owned */
    struct vm_disks disks;
    struct vm_disks old; /* of the VM that is replaced, if it is off */
    struct platform platform;
    struct vm *made;   /* as it was read right after; owned */
    bool may_be_known; /* libvirt has taken it, or that cannot be told */
};

/*
 * Loop.  Name and UUID (left empty for a fresh one), of the typed description, which is checked, or of the XML,
 * which an admin may give; and with 'replace' the VM whose place it takes, in state->use.
 * Errors: InvalidParams, Forbidden, AlreadyExists, WrongState.
 */
bool make_identify(const struct call *call, bool replace, struct error **err) _must_check_;

#endif
