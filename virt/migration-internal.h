/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by migration-watch.c, which keeps the list and asks, and migration-find.c, which finds those that
 * somebody else has begun.  Loop only.
 */
#ifndef VIRT_MIGRATION_INTERNAL_H
#define VIRT_MIGRATION_INTERNAL_H

#include "virt/migration-watch.h"
#include "virt/virt-internal.h"

struct migrations {
    struct virt *virt;
    struct migration_entry *first; /* owned; the newest first; one of a VM at most */
    size_t count;
    uint64_t last_serial;
    struct virt_listener listener;
    struct snapshot_provider provider;
    struct lane finder; /* one at a time */
    bool finding;
    bool find_again;
};

/* Puts a new one in, in the place of that VM's last.  Ownership of what 'migration' holds is taken. */
struct migration_entry *migrations_enter_take(struct migrations *migrations,
                                              struct migration *migration);
/* Told if it is another than was told last. */
void migration_publish(struct migration_entry *entry);
/* It ends so, now; 'error' is taken, or NULL. */
void migration_end(struct migration_entry *entry, enum migration_state state, struct error *error);
/* Looks at it now; again, if a look is under way. */
void migration_tick(struct migration_entry *entry);

/* Looks at all VMs, for what is not in the list. */
void migrations_find_others(struct migrations *migrations);
/* For the virt_listener. */
void migrations_told(void *context, const struct vm_news *news);
/* What stands in a VM's metadata, as a newborn agent finds it. */
void migration_adopt_record(struct migration *migration, struct migration *record);

#endif
