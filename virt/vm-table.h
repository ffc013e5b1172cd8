/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every VM that libvirt has, as it told last: from here vm.list and vm.status are answered.
 *
 * Filled when the connection is made, kept current by libvirt's events (virt/news.h).  Each change is
 * an event of ours, vm.changed or vm.removed, which has the VM's whole state.  Loop only.
 */
#ifndef VIRT_VM_TABLE_H
#define VIRT_VM_TABLE_H

#include <stdatomic.h>

#include "agent/worker.h"
#include "virt/virt-internal.h"
#include "virt/vm.h"

struct vm_entry {
    struct virt *virt;
    struct vm *vm;          /* owned; replaced by each reading */
    char *json;             /* vm.status's object; owned */
    uint64_t refreshed;     /* what news_refresh() has returned of the last one that is done */
    bool freezing, thawing; /* a call is at its guest; or the deadline's job, which thaws */
    int64_t thaw_again_ns;  /* wall clock; when its deadline is looked at again */
    bool gone;              /* out of the table: only tasks hold it */
    struct lane lane;       /* of its calls; lives as long as somebody holds the entry */
    atomic_uint references;
    struct message freed; /* private */
};

/* By name or UUID; NULL: there is none.  Borrowed. */
struct vm_entry *vm_table_find(struct virt *virt, const char *name);
struct vm_entry *vm_table_find_uuid(struct virt *virt, const char *uuid);
struct vm_entry *vm_entry_ref(struct vm_entry *entry);
void vm_entry_unref(struct vm_entry *entry); /* any thread; NULL is fine */

/* What was read takes the place of what was known (ownership of 'vm' is taken), but for the state unless
   'any_state' or it is new.  Told with 'change' in any case, without one (NULL) if it differs. */
void vm_table_enter_take(struct virt *virt, struct vm *vm, bool any_state,
                         const struct vm_change *change);
/* Its state is another, as an event says; told. */
void vm_table_change(struct vm_entry *entry, enum vm_state state, const char *reason,
                     const struct vm_change *change);
/* Its guest is not frozen any more; not told. */
void vm_table_unfreeze(struct vm_entry *entry);
/* Tells of something that changes none of what is known. */
void vm_table_tell(struct vm_entry *entry, const struct vm_change *change);
void vm_table_remove(struct vm_entry *entry);

/* Who waits for a VM's changes waits for this key; to be freed. */
char *vm_table_key(const char *uuid);

/* Registers who tells of VMs to event.subscribe's 'snapshot'. */
void vm_table_open(struct virt *virt);

#endif
