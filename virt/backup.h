/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of the last backup of a virtual machine, and how libvirt is told to make it.
 *
 * The backup itself is libvirt's job and QEMU's NBD server, which both outlive the agent.  What only the
 * agent knows of it, which images it fills and whether it was complete, stands in the domain's own
 * <metadata>, where it goes with the domain: so any agent that starts finds it, and an ended backup keeps
 * its end.  It is written before the job is begun, and at the end of a complete one before the job is
 * ended, of any other one after: killed in between, the agent that starts next does the rest.
 *
 * Pull mode only: a pushed increment names the live disk as its backing file, and cannot be throttled,
 * resumed or read by two.
 */
#ifndef VIRT_BACKUP_H
#define VIRT_BACKUP_H

#include <libvirt/libvirt.h>
#include <stdint.h>

#include "agent/base/json-writer.h"
#include "agent/base/name.h"
#include "agent/verb.h"
#include "virt/vm.h"

/* The namespace of its element in a domain's <metadata>: one of its own, for libvirt replaces them whole. */
#define BACKUP_METADATA_URI "https://hostler.org/backup/1"

/* Where the scratch files and the socket are, unless told: not in /run, which is memory. */
#define BACKUP_FOLDER "/var/tmp"
/* Bytes: the path of the socket in it must fit where the kernel takes it. */
#define BACKUP_FOLDER_MAX 50

enum backup_state {
    BACKUP_NONE,
    BACKUP_BEGINNING, /* the job may be there or not, and no image is shown */
    BACKUP_RUNNING,   /* into images */
    BACKUP_SERVED,    /* its caller reads it */
    BACKUP_DONE,
    BACKUP_FAILED,
    BACKUP_CANCELED
};

struct backup_disk {
    char *target; /* "vda": the name of its export, too */
    char *image;  /* in the backup's repository; NULL when it is served */
    char *base;   /* the image that it is laid over, or NULL */
    uint64_t size;
};

struct backup {
    char id[UUID_TEXT_SIZE];
    enum backup_state state;
    char host[UUID_TEXT_SIZE]; /* whose agent made it */
    char *task;
    char *checkpoint, *since; /* the one it makes, the one it is the difference from; or NULL */
    char *repository;         /* its name at that time; NULL when it is served */
    char repository_uuid[UUID_TEXT_SIZE];
    char *folder;  /* of its socket and its scratch files */
    char *error;   /* why it has failed, or NULL */
    bool resume;   /* onCrash: "resume" */
    bool frozen;   /* the guest's file systems were frozen when it was begun */
    uint64_t rate; /* bytes a second; 0: no bound */
    int64_t begun_ns, ended_ns, until_ns; /* wall clock; 0: not yet; none */
    struct backup_disk *disks;            /* owned */
    size_t disk_count;
};

void backup_free(struct backup *backup);
DEFINE_CLEANUP(struct backup, backup_free)

/* Whether it is one that has not come to its end. */
bool backup_is_open(const struct backup *backup);
const char *backup_state_name(enum backup_state state);
struct backup_disk *backup_add_disk(struct backup *backup, const char *target);

/* To be freed, all of these. */
char *backup_socket(const struct backup *backup);
char *backup_scratch(const struct backup *backup, const struct backup_disk *disk);
char *backup_url(const struct backup *backup, const struct backup_disk *disk);
/* The name of the bitmap that an incremental one's export shows. */
char *backup_bitmap(const struct backup_disk *disk);

/* What stands in the metadata. */
char *backup_describe(const struct backup *backup);
/* Error: BackendFailed; libvirt gives back what was written, but others may have written too. */
bool backup_parse(const char *xml, struct backup **ret_backup, struct error **err) _must_check_;

/* libvirt's <domainbackup> and <domaincheckpoint>; each names all disks of 'vm', for libvirt would take those
   that it does not name. */
char *backup_job_xml(const struct backup *backup, const struct vm *vm);
char *backup_checkpoint_xml(const struct backup *backup, const struct vm *vm);

/* What is there of a job of libvirt's. */
struct backup_job {
    bool running;
    bool ours;        /* the one that the backup tells of */
    uint64_t scratch; /* bytes that its scratch files take; 0: not asked */
};

/* On workers. */

/* What the domain's metadata tell; '*ret_backup' is NULL when they tell of none. */
bool backup_read(virDomainPtr domain, struct backup **ret_backup, struct error **err) _must_check_;
/* Writes it there. */
bool backup_note(virDomainPtr domain, const struct backup *backup, struct error **err) _must_check_;
/* 'backup' may be NULL.  Asks libvirtd alone, never QEMU. */
bool backup_look(virDomainPtr domain, const struct backup *backup, struct backup_job *ret_job,
                 struct error **err) _must_check_;
/* Bytes that its scratch files take; 0 where libvirt does not tell. */
uint64_t backup_scratch_used(virDomainPtr domain);
/* Ends the job, whosever it is; that there is none is fine. */
bool backup_end_job(virDomainPtr domain, struct error **err) _must_check_;
/* Removes a checkpoint, also one whose bitmap is lost; that there is none is fine. */
bool backup_drop_checkpoint(virDomainPtr domain, const char *name, bool *ret_dropped,
                            struct error **err) _must_check_;
/* Unlinks what a killed QEMU has left of it; the scratch files only where libvirt does not, in a moment. */
void backup_sweep(const struct backup *backup, bool scratch_too);
/*
 * Brings it to its end: with BACKUP_DONE its checkpoint stays, else that is removed.  Does what is still to
 * be done, so may be repeated.  'why' (may be NULL) is kept.
 */
bool backup_settle(virDomainPtr domain, struct backup *backup, enum backup_state state,
                   const char *why, struct error **err) _must_check_;

/* The object of vm.backupStatus and of the event vm.backup. */
struct backup_view {
    const char *vm, *uuid;
    const struct backup *backup;  /* or NULL */
    const struct backup_job *job; /* or NULL: not looked at */
    const char *task;             /* of this agent's, that works on it; or NULL */
    uint64_t done, total;         /* bytes; of that task */
};
/* Worker: reads what 'view' shows of a VM; the VM and the task are given.  '*ret_backup' (NULL: none, not even one
   that has ended) and '*ret_job' are the caller's, and the view borrows them. */
bool backup_view_read(virDomainPtr domain, struct backup_view *view, struct backup **ret_backup,
                      struct backup_job *ret_job, struct error **err) _must_check_;
void backup_write(const struct backup_view *view, struct writer *writer);
extern const struct shape backup_shape;

#endif
