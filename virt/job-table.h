/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs of virtual machines: what libvirt and QEMU do by themselves, and go on with when the agent is killed.
 *
 * libvirt tells what runs (virt/job-look.h), and an event when a job has ended; then it forgets it.  Here
 * the end is remembered, with how and why, for the last 500.  What must last longer is in the images' records.
 * Loop only, all of it.
 */
#ifndef VIRT_JOB_TABLE_H
#define VIRT_JOB_TABLE_H

#include "agent/verb.h"
#include "virt/job-look.h"
#include "virt/virt-internal.h"

struct job_table;

/* Once, before any event: it listens to them. */
struct job_table *job_table_new(struct virt *virt);

/*
 * A task of ours begins one, or goes on with one that an agent before has begun; and it has ended: 'error' is
 * NULL for 'done', TaskAborted for 'canceled', else what it has failed with; where libvirt is away (BackendUnavailable)
 * it may run on.
 */
void job_table_begin(struct job_table *table, const char *uuid, const char *name, const char *disk,
                     const char *kind, const char *task);
void job_table_end(struct job_table *table, const char *uuid, const char *disk,
                   const struct error *error);

/* Whether a task of this agent is at it. */
bool job_table_has_task(const struct job_table *table, const char *uuid, const char *disk);

/* What libvirt said of the VMs that 'looks' has, when it was asked after 'asked_ns' (wall clock). */
void job_table_update(struct job_table *table, const struct job_looks *looks, int64_t asked_ns);

/* vm.jobs's answer: those of that VM, or of all (NULL): running ones first, the youngest first. */
void job_table_write(const struct job_table *table, const char *uuid, struct writer *writer);
extern const struct shape vm_jobs_shape;

/* Who waits for a job on a VM's disk waits for this key; to be freed. */
char *job_key(const char *uuid, const char *disk);

#endif
