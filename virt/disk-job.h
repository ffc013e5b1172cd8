/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job of QEMU's on a disk that a task follows: it goes on without the agent, so it is found again.
 *
 * QEMU writes what there is, then goes on to write everything to both sides ("ready"), until it is told to
 * go over.  Then it has only the new one.
 */
#ifndef VIRT_DISK_JOB_H
#define VIRT_DISK_JOB_H

#include "virt/disk-work.h"

enum disk_job_stage {
    DISK_JOB_RUNS,
    DISK_JOB_READY,
    DISK_JOB_OVER, /* QEMU has gone over; also when the VM has stopped after that */
    DISK_JOB_GONE  /* there is none, and the disk is what it was */
};

/* 'where' to: path and volume.  '*ret_done' and '*ret_total' are QEMU's.  Worker. */
bool disk_job_look(struct call *call, const char *disk, const struct disk_file *where,
                   enum disk_job_stage *ret_stage, uint64_t *ret_done, uint64_t *ret_total,
                   struct error **err) _must_check_;

/*
 * A step that follows it: keeps the task's rate, and its progress, and comes again until the job is ready,
 * or over ('*ret_stage').  OUTCOME_COMPLETE only then.  Aborted, it cancels the job first.
 */
enum outcome disk_job_follow(struct call *call, const char *disk, const struct disk_file *where,
                             uint64_t *rate, enum disk_job_stage *ret_stage);
/* Of one that an agent before has begun: the bound that it has is the task's to begin with. */
uint64_t disk_job_take_rate(struct call *call, const char *disk);
/* Has QEMU go over, and waits for that.  DISK_JOB_OVER then.  Worker. */
bool disk_job_pivot(struct call *call, const char *disk, const struct disk_file *where,
                    struct error **err) _must_check_;
/* Ends it, if it is there, without going over: waits for its end. */
bool disk_job_cancel(struct call *call, const char *disk, struct error **err) _must_check_;

#endif
