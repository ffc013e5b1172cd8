/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libvirt says of the jobs that run now: those on disks, and the one that a domain may have (a
 * migration, a backup, its memory being saved).
 */
#ifndef VIRT_JOB_LOOK_H
#define VIRT_JOB_LOOK_H

#include <libvirt/libvirt.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/name.h"

struct vm;

struct job_look {
    char *disk;           /* target; owned; NULL: the domain's */
    const char *kind;     /* static text */
    uint64_t done, total; /* bytes, or QEMU's own units */
    uint64_t bound;       /* bytes a second; 0: none */
    uint64_t per_second;  /* bytes, as libvirt says; 0: it does not */
};

/* Of one VM. */
struct job_looks_of {
    char uuid[UUID_TEXT_SIZE];
    char *name;   /* owned */
    char **disks; /* targets that are asked for; NULL-terminated, owned */
    bool known;   /* libvirt has answered */
    bool gone;    /* there is no such domain */
    struct job_look *items;
    size_t count;
};

struct job_looks {
    struct job_looks_of *vms;
    size_t count;
};

void job_looks_done(struct job_looks *looks);
/* Adds a VM to ask for. */
void job_looks_add(struct job_looks *looks, const struct vm *vm);
/* Asks for each.  Of one that cannot be asked 'known' stays false, and '*err' (if it is the only one) tells
   why.  Worker. */
bool job_looks_ask(struct job_looks *looks, virConnectPtr connect, struct error **err) _must_check_;

#define JOB_KIND_INCOMING "migration-in"
/* The words of vm.jobs for libvirt's numbers; NULL: none of a job that is told. */
const char *job_kind_of_block(int type);
const char *job_kind_of_domain(int operation);

#endif
