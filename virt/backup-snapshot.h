/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What event.subscribe's 'snapshot' tells of backups: of each VM that has one, or had one last, what vm.backupStatus
 * would.
 */
#ifndef VIRT_BACKUP_SNAPSHOT_H
#define VIRT_BACKUP_SNAPSHOT_H

#include "virt/virt-internal.h"

/* Loop, once. */
void backup_snapshot_open(struct virt *virt);

#endif
