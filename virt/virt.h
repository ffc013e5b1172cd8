/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agent/hostlerd.c sees of libvirt: one object, its start, and its verb tables.
 *
 * Virtual machines are libvirt's, and so are the jobs that run on them: nothing of them is kept here but
 * what libvirt told last (virt/vm-table.h), so killing the agent loses nothing.
 */
#ifndef VIRT_VIRT_H
#define VIRT_VIRT_H

#include "agent/verb.h"

struct agent;
struct storage;
struct virt;

/* The context of the tables below.  'storage' is borrowed: whose images are disks. */
struct virt *virt_new(struct storage *storage);

/* Loop.  Connects in the background, and again for ever, unless --libvirt is none. */
void virt_open(struct virt *virt, struct agent *agent);

extern const struct verb guest_verbs[];       /* vm.guestInfo freeze thaw setPassword */
extern const struct verb vm_read_verbs[];     /* vm.list status xml */
extern const struct verb vm_define_verbs[];   /* vm.define create */
extern const struct verb vm_undefine_verbs[]; /* vm.undefine */
extern const struct verb vm_life_verbs[];  /* vm.start shutdown reboot reset destroy pause resume */
extern const struct verb vm_stats_verbs[]; /* vm.stats */
extern const struct verb vm_jobs_verbs[];  /* vm.jobs */
extern const struct verb vm_merge_verbs[]; /* vm.mergeDisk */
extern const struct verb vm_move_verbs[];  /* vm.moveDisk */
extern const struct verb vm_settle_verbs[];   /* vm.settle */
extern const struct verb vm_snapshot_verbs[]; /* vm.snapshot */
extern const struct verb
    backup_left_verbs[]; /* vm.resumeBackup backupStatus cancelBackup finishBackup */
extern const struct verb backup_verbs[]; /* vm.backup */
/* vm.checkpoints removeCheckpoint redefineCheckpoints */
extern const struct verb checkpoint_verbs[];
extern const struct verb vm_save_verbs[]; /* vm.save restore */
/* vm.migrate cancelMigration migration */
extern const struct verb migration_verbs[];
extern const struct verb vm_attach_verbs[];     /* vm.attachDisk attachNetwork */
extern const struct verb vm_detach_verbs[];     /* vm.detachDisk detachNetwork */
extern const struct verb vm_media_verbs[];      /* vm.changeMedia */
extern const struct verb vm_resize_verbs[];     /* vm.resizeDisk */
extern const struct verb vm_tune_verbs[];       /* vm.tune */
extern const struct verb vm_console_verbs[];    /* vm.consoleTicket */
extern const struct verb vm_screenshot_verbs[]; /* vm.screenshot */
extern const struct verb vm_size_verbs[];       /* vm.setMemory setCpus */

#endif
