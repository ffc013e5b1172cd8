/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a caller of vm.backup wants, and whether that can be.
 */
#ifndef VIRT_BACKUP_WISH_H
#define VIRT_BACKUP_WISH_H

#include "virt/backup.h"
#include "virt/vm-steps.h"

struct backup_args {
    struct vm_args vm;
    char *repository, *image, *base;
    char **disks;
    char *checkpoint, *since;
    const char *format, *freeze, *on_crash;
    bool serve;
    int64_t timeout_s;
    char *scratch;
    uint64_t bytes_per_second;
};

/* That they fit together: InvalidParams. */
bool backup_check_args(const struct backup_args *args, struct error **err) _must_check_;
/* Fills in the backup's disks, and what their images are called.  Errors: NotFound {kind "disk", id},
   InvalidParams, WrongState. */
bool backup_choose(struct backup *backup, const struct backup_args *args, const struct vm *vm,
                   struct error **err) _must_check_;
/* Worker: that the checkpoints are as wanted, and no disk has a block job; fills in the disks' sizes. */
bool backup_check(virDomainPtr domain, struct backup *backup, const struct backup_args *args,
                  struct error **err) _must_check_;

#endif
