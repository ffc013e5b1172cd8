/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who works on the backup of which VM, and what becomes of those that nobody works on.
 *
 * libvirt lets a second backup wait for 30 s before it is refused: here it is refused at once.  And an agent
 * that connects to libvirt looks at the notes of each VM: a backup of its own is gone on with, or brought to
 * its end, or has a deadline to be watched.  Loop only, all of it.
 */
#ifndef VIRT_BACKUP_TABLE_H
#define VIRT_BACKUP_TABLE_H

#include <stdatomic.h>

#include "agent/call.h"
#include "virt/vm-table.h"

struct backup;

struct backup_hold {
    char uuid[UUID_TEXT_SIZE];
    char *task;                       /* who holds it; owned */
    bool brief;                       /* for a moment, not to make a backup; loop only */
    atomic_bool canceled;             /* it is to end; any thread */
    atomic_uint_fast64_t done, total; /* bytes; any thread */
    struct backup_hold *next;
};

void backup_table_open(struct virt *virt);

/* The only one of this VM.  WrongState {state, needs, task} when another task has it. */
bool backup_hold_take(struct virt *virt, const struct vm_entry *entry, const char *task,
                      struct backup_hold **ret_hold, struct error **err) _must_check_;
/* Frees it, and wakes who waits for the VM.  NULL is fine. */
void backup_hold_give(struct virt *virt, struct backup_hold *hold);
/* Or NULL. */
struct backup_hold *backup_hold_of(struct virt *virt, const char *uuid);

/* Nobody works on 'backup', which is borrowed for the call: should its job end by itself, or with its VM, that is to
   be noted; and at its 'until_ns' it is to be ended. */
void backup_table_watch(struct virt *virt, const char *uuid, const char *name,
                        const struct backup *backup);
void backup_table_forget(struct virt *virt, const char *uuid);

#endif
