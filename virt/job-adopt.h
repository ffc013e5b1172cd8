/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes on without the agent is looked for when it has found its VMs, and when one stops: jobs that an agent
 * before has begun are concluded, by tasks that nobody owns, and records that a kill has left behind are put right.
 */
#ifndef VIRT_JOB_ADOPT_H
#define VIRT_JOB_ADOPT_H

struct virt;

/* Loop, once. */
void job_adopt_open(struct virt *virt);
/* Loop: a task has lost libvirt, and its job may go on: it is looked for in a moment. */
void job_adopt_soon(struct virt *virt);

#endif
