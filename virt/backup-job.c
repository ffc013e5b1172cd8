/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a backup is asked of libvirt: its notes, its job, its checkpoint.  Measured with libvirt 9.0, QEMU
 * 7.2, emulated: to begin takes 0.1 s, to end 0.03 s.
 */
#include <config.h>

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "virt/backup.h"
#include "virt/failure.h"

#define END_PAUSE_MS 10
#define END_PATIENCE_MS                                                                            \
    120000 /* where the disk is busy QEMU has been seen to take more than 15 s */

bool
backup_read(virDomainPtr domain, struct backup **ret_backup, struct error **err)
{
    _cleanup_free_ char *xml = NULL;

    WORKER_ONLY();
    *ret_backup = NULL;
    xml = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, BACKUP_METADATA_URI,
                               VIR_DOMAIN_AFFECT_CURRENT);
    if (xml)
        return backup_parse(xml, ret_backup, err);
    return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_METADATA ||
           virt_fail(err, domain, "cannot read what is noted of the last backup of '%s'",
                     virDomainGetName(domain));
}

bool
backup_note(virDomainPtr domain, const struct backup *backup, struct error **err)
{
    _cleanup_free_ char *xml = backup_describe(backup);
    unsigned flags = 0;

    WORKER_ONLY();
    if (virDomainIsActive(domain) == 1)
        flags |= VIR_DOMAIN_AFFECT_LIVE;
    if (virDomainIsPersistent(domain) == 1)
        flags |= VIR_DOMAIN_AFFECT_CONFIG;
    return virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml, "backup",
                                BACKUP_METADATA_URI, flags) == 0 ||
           virt_fail(err, domain, "cannot note the backup of '%s'", virDomainGetName(domain));
}

static bool
is_of(const char *job_xml, const struct backup *backup, bool *ret_ours, struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_free_ char *path = backup_socket(backup), *found = NULL;

    if (!xml_parse("libvirt", job_xml, strlen(job_xml), &document, err))
        return false;
    found = xml_attribute(xml_child(xml_root(document), "server"), "socket");
    *ret_ours = found && strcmp(found, path) == 0;
    return true;
}

bool
backup_look(virDomainPtr domain, const struct backup *backup, struct backup_job *ret_job,
            struct error **err)
{
    _cleanup_free_ char *xml = virDomainBackupGetXMLDesc(domain, 0);
    int code = xml ? 0 : virGetLastErrorCode();

    WORKER_ONLY();
    *ret_job = (struct backup_job){ .running = xml != NULL };
    if (xml)
        return !backup || is_of(xml, backup, &ret_job->ours, err);
    /* The test driver knows of no backups at all. */
    return code == VIR_ERR_NO_DOMAIN_BACKUP || code == VIR_ERR_NO_SUPPORT ||
           virt_fail(err, domain, "cannot ask for a backup of '%s'", virDomainGetName(domain));
}

bool
backup_view_read(virDomainPtr domain, struct backup_view *view, struct backup **ret_backup,
                 struct backup_job *ret_job, struct error **err)
{
    WORKER_ONLY();
    if (!backup_read(domain, ret_backup, err) || !backup_look(domain, *ret_backup, ret_job, err))
        return false;
    /* A task that has not noted its own yet works on another than what stands there. */
    if (*ret_backup && view->task && !backup_is_open(*ret_backup))
        view->task = NULL;
    view->backup = *ret_backup;
    view->job = ret_job;
    return true;
}

uint64_t
backup_scratch_used(virDomainPtr domain)
{
    virTypedParameterPtr params = NULL;
    unsigned long long used = 0;
    int count = 0, type;

    WORKER_ONLY();
    if (virDomainGetJobStats(domain, &type, &params, &count, 0) < 0)
        return 0;
    (void)virTypedParamsGetULLong(params, count, VIR_DOMAIN_JOB_DISK_TEMP_USED, &used);
    virTypedParamsFree(params, count);
    return used;
}

static bool
is_there(virDomainPtr domain)
{
    _cleanup_free_ char *xml = virDomainBackupGetXMLDesc(domain, 0);

    return xml != NULL;
}

/* libvirt only tells QEMU to end it, and removes the scratch files when it has: 0.02 s later, as a rule. */
static bool
wait_for_end(virDomainPtr domain, struct error **err)
{
    const struct timespec pause = { .tv_nsec = END_PAUSE_MS * NS_PER_MS };
    int64_t since_ns = clock_monotonic_ns();

    while (is_there(domain)) {
        if (clock_monotonic_ns() - since_ns > END_PATIENCE_MS * NS_PER_MS)
            return error_set(err, ERROR_TIMEOUT,
                             "the backup of '%s' was told to end, and has not within %d s",
                             virDomainGetName(domain), END_PATIENCE_MS / 1000);
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

bool
backup_end_job(virDomainPtr domain, struct error **err)
{
    WORKER_ONLY();
    if (virDomainAbortJob(domain) < 0) {
        virt_fail(err, domain, "cannot end the backup of '%s'", virDomainGetName(domain));
        if ((*err)->code == ERROR_BACKEND_UNAVAILABLE || is_there(domain))
            return false;
        error_free(TAKE(*err));
    }
    return wait_for_end(domain, err);
}

/* Of one whose bitmap is lost, or of a VM that is off, only what libvirt remembers can be removed. */
static bool
drop(virDomainPtr domain, virDomainCheckpointPtr checkpoint, const char *name, struct error **err)
{
    if (virDomainCheckpointDelete(checkpoint, 0) == 0)
        return true;
    virt_fail(err, domain, "cannot remove checkpoint '%s'", name);
    if (virDomainIsActive(domain) == 1 && !strstr((*err)->message, "not found"))
        return false;
    if (virDomainCheckpointDelete(checkpoint, VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY) < 0)
        return false;
    error_free(TAKE(*err));
    return true;
}

bool
backup_drop_checkpoint(virDomainPtr domain, const char *name, bool *ret_dropped, struct error **err)
{
    virDomainCheckpointPtr checkpoint = virDomainCheckpointLookupByName(domain, name, 0);
    bool dropped;

    WORKER_ONLY();
    *ret_dropped = false;
    if (!checkpoint)
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_CHECKPOINT ||
               virt_fail(err, domain, "cannot find checkpoint '%s'", name);
    dropped = drop(domain, checkpoint, name, err);
    (void)virDomainCheckpointFree(checkpoint);
    *ret_dropped = dropped;
    return dropped;
}

/* libvirt 9.0 removes the scratch files also when QEMU was killed, but then not the socket. */
void
backup_sweep(const struct backup *backup, bool scratch_too)
{
    _cleanup_free_ char *path = backup_socket(backup);

    WORKER_ONLY();
    (void)unlink(path);
    for (size_t i = 0; scratch_too && i < backup->disk_count; i++) {
        _cleanup_free_ char *scratch = backup_scratch(backup, &backup->disks[i]);

        (void)unlink(scratch);
    }
}

/* What could not be noted stays open: it is watched, and whoever repeats this has it to do. */
static bool
note_end(virDomainPtr domain, struct backup *backup, enum backup_state state, const char *why,
         struct error **err)
{
    struct backup ended = *backup;

    if (!backup_is_open(backup))
        return true;
    ended.state = state;
    ended.ended_ns = clock_wall_ns();
    ended.error = (char *)(uintptr_t)why;
    if (!backup_note(domain, &ended, err))
        return false;
    backup->state = state;
    backup->ended_ns = ended.ended_ns;
    free(backup->error);
    backup->error = why ? xstrdup(why) : NULL;
    return true;
}

bool
backup_settle(virDomainPtr domain, struct backup *backup, enum backup_state state, const char *why,
              struct error **err)
{
    struct backup_job job;
    bool dropped;

    if (state == BACKUP_DONE && !note_end(domain, backup, state, NULL, err))
        return false;
    if (!backup_look(domain, backup, &job, err) || (job.ours && !backup_end_job(domain, err)))
        return false;
    backup_sweep(backup, !job.ours);
    if (state == BACKUP_DONE)
        return true;
    return (!backup->checkpoint ||
            backup_drop_checkpoint(domain, backup->checkpoint, &dropped, err)) &&
           note_end(domain, backup, state, why, err);
}
