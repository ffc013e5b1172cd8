/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/disk-job.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "agent/base/thread.h"
#include "virt/job-table.h"

#define LOOK_MS 500

static bool
is_over(const struct disk_chain *chain, const struct disk_file *where)
{
    return !chain->job && disk_chain_is_at(chain, where);
}

bool
disk_job_look(struct call *call, const char *disk, const struct disk_file *where,
              enum disk_job_stage *ret_stage, uint64_t *ret_done, uint64_t *ret_total,
              struct error **err)
{
    const struct disk_work *work = call->state;
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    virDomainBlockJobInfo info = { 0 };
    virDomainPtr domain;
    int found = 0;

    *ret_done = *ret_total = 0;
    if (!disk_work_look(call, disk, &chain, err) || !vm_domain(call, &domain, err))
        return false;
    if (is_over(&chain, where)) {
        *ret_stage = DISK_JOB_OVER;
        return true;
    }
    if (work->running) {
        found = virDomainGetBlockJobInfo(domain, disk, &info, 0);
        if (found < 0 && virGetLastErrorCode() != VIR_ERR_OPERATION_INVALID)
            return virt_fail(err, domain, "cannot ask for the job of disk '%s'", disk);
    }
    *ret_done = info.cur;
    *ret_total = info.end;
    *ret_stage = found <= 0 && !chain.job ? DISK_JOB_GONE
                 : chain.ready            ? DISK_JOB_READY
                                          : DISK_JOB_RUNS;
    return true;
}

static void
keep_rate(struct call *call, const char *disk, uint64_t *rate)
{
    uint64_t wanted = call_rate(call);
    struct error *error = NULL;
    virDomainPtr domain;

    if (wanted == *rate)
        return;
    if (vm_domain(call, &domain, &error) &&
        virDomainBlockJobSetSpeed(domain, disk, wanted,
                                  VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES) == 0)
        *rate = wanted;
    error_free(error);
}

uint64_t
disk_job_take_rate(struct call *call, const char *disk)
{
    _cleanup_(error_freep) struct error *ignored = NULL;
    virDomainBlockJobInfo info = { 0 };
    virDomainPtr domain;

    WORKER_ONLY();
    if (vm_domain(call, &domain, &ignored) &&
        virDomainGetBlockJobInfo(domain, disk, &info, VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES) >
            0)
        call_begin_rate(call, info.bandwidth);
    return info.bandwidth;
}

/* Somebody else has ended it, or QEMU could not go on: an event has told which, and is gone. */
static bool
was_ended(const struct disk_work *work, const char *disk, struct error **err)
{
    if (!work->running) {
        error_set(err, ERROR_WRONG_STATE, "VM '%s' has stopped, and with it the job on disk '%s'",
                  work->name, disk);
        error_data_text(err, "state", "shutoff");
        return error_data_text(err, "needs", "a running VM");
    }
    error_set(
        err, ERROR_BACKEND_FAILED,
        "the job on disk '%s' of '%s' has ended without going over: somebody has canceled it, "
        "or QEMU could not write (its log, and vm.jobs, tell)",
        disk, work->name);
    return error_data_text(err, "backend", "libvirt");
}

enum outcome
disk_job_follow(struct call *call, const char *disk, const struct disk_file *where, uint64_t *rate,
                enum disk_job_stage *ret_stage)
{
    const struct disk_work *work = call->state;
    _cleanup_free_ char *key = job_key(work->use.uuid, disk);
    struct error *error = NULL;
    uint64_t done, total;

    if (!disk_job_look(call, disk, where, ret_stage, &done, &total, &error)) {
        /* However long libvirt is busy with the VM, its job goes on. */
        if ((error->code != ERROR_BUSY && error->code != ERROR_TIMEOUT) || call_aborted(call))
            return call_fail(call, error);
        error_free(error);
        return call_wait(call, key, LOOK_MS, "libvirt is busy with another call for it");
    }
    if (call_aborted(call) && *ret_stage != DISK_JOB_OVER) {
        if (disk_job_cancel(call, disk, &error))
            error_set(&error, ERROR_TASK_ABORTED, "the job on disk '%s' was canceled", disk);
        return call_fail(call, error);
    }
    if (*ret_stage == DISK_JOB_GONE) {
        (void)was_ended(work, disk, &error);
        return call_fail(call, error);
    }
    if (*ret_stage != DISK_JOB_RUNS)
        return call_complete(call, NULL);
    call_progress(call, done, total, "bytes");
    keep_rate(call, disk, rate);
    return call_wait(call, key, LOOK_MS, "QEMU writes");
}

bool
disk_job_pivot(struct call *call, const char *disk, const struct disk_file *where,
               struct error **err)
{
    enum disk_job_stage stage = DISK_JOB_READY;
    struct error *failure = NULL;
    uint64_t done, total;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, err))
        return false;
    if (virDomainBlockJobAbort(domain, disk, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) < 0)
        (void)virt_fail(&failure, domain, "QEMU does not go over to the other side of disk '%s'",
                        disk);
    /* It may have gone over all the same. */
    if (!disk_job_look(call, disk, where, &stage, &done, &total, err)) {
        error_free(failure);
        return false;
    }
    if (stage == DISK_JOB_OVER) {
        error_free(failure);
        return true;
    }
    if (!failure)
        return was_ended(call->state, disk, err);
    *err = failure;
    return false;
}

bool
disk_job_cancel(struct call *call, const char *disk, struct error **err)
{
    virDomainPtr domain;

    if (!vm_domain(call, &domain, err))
        return false;
    if (virDomainBlockJobAbort(domain, disk, 0) == 0 ||
        virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID ||
        virGetLastErrorCode() == VIR_ERR_INVALID_ARG)
        return true;
    return virt_fail(err, domain, "cannot cancel the job on disk '%s'", disk);
}
