/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the steps of the backup verbs share: holding the VM's backup, copying, bringing it to its end.
 *
 * The copying needs no libvirt: QEMU serves the bits, also while libvirtd is away.  So the connection is
 * taken anew before the end, and waited for.
 */
#ifndef VIRT_BACKUP_STEPS_H
#define VIRT_BACKUP_STEPS_H

#include "storage/transfer.h"
#include "virt/backup-table.h"
#include "virt/backup.h"
#include "virt/vm-steps.h"

struct backup_use {
    struct vm_use vm;
    char *name;               /* of the VM; owned */
    struct backup *backup;    /* owned, or NULL */
    struct backup_job job;    /* as looked at last */
    struct backup_hold *hold; /* until backup_let_go(); its atomics any thread's, else loop only */
    struct repository *repository; /* a reference, or NULL */
    struct transfer *transfers;    /* one for each of the backup's disks; or NULL */
    bool open;                     /* there is something to be brought to its end */
    bool complete;                 /* and that is a good one */
    bool left;                     /* it is to go on without us */
    bool waited;                   /* another task was waited for, which has ended it */
    int64_t told_ns;               /* of the last event; monotonic */
};

/* POOL_LOOP, after vm_find(): the only one that works on a backup of this VM; WrongState. */
enum outcome backup_hold(struct call *call);
/* The same for what does not make one. */
enum outcome backup_hold_briefly(struct call *call);
/* The same where nobody has it; else use->hold stays NULL. */
enum outcome backup_hold_if_free(struct call *call);
/* POOL_VIRT: what is noted of the last one, and what job there is. */
bool backup_find(struct call *call, struct error **err) _must_check_;
/* WrongState {state, needs} with 'text'; returns false. */
bool backup_refuse(const char *state, const char *needs, struct error **err, const char *text);
/* Before the transfers are prepared: one for each disk, with their sources. */
void backup_plan(struct call *call);
/* Publishes vm.backup; with 'result' it is the result, too.  Any thread. */
void backup_tell(struct call *call, bool result);

/* POOL_COPY: each image that is not complete. */
enum outcome backup_copy(struct call *call);
/* The last steps. */
enum outcome backup_reach(struct call *call);  /* POOL_LOOP, ALWAYS: libvirt */
enum outcome backup_end(struct call *call);    /* POOL_VIRT, ALWAYS */
enum outcome backup_let_go(struct call *call); /* POOL_LOOP, ALWAYS */
bool backup_has_to_end(const struct call *call);
#define BACKUP_LAST_STEPS                                                                          \
    { "reach libvirt", backup_reach, .pool = POOL_LOOP, .when = ALWAYS,                            \
      .only_if = backup_has_to_end },                                                              \
        { "end the job", backup_end, .pool = POOL_VIRT, .when = ALWAYS,                            \
          .only_if = backup_has_to_end },                                                          \
    {                                                                                              \
        "let go", backup_let_go, .pool = POOL_LOOP, .when = ALWAYS                                 \
    }

/* For .state_done. */
void backup_use_done(struct call *call);

#define BACKUP_ERRORS                                                                              \
    ERROR_NOT_FOUND, ERROR_ALREADY_EXISTS, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,           \
        ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,           \
        ERROR_IMAGE_EXISTS, ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN, ERROR_CONFLICT,                \
        ERROR_NO_SPACE, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED

#endif
