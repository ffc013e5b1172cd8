/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all running VMs use: one question to libvirt for all of them, sampled while somebody asks.
 *
 * libvirt is told not to wait for a VM whose QEMU is busy with another job; such a VM's figures are marked
 * 'stale', the others' are not held up.  A QEMU that does not answer at all holds up the question that
 * met it first (libvirt 9.0 has no limit there): after three seconds another is asked beside it, which
 * skips that VM, for the first is the job that it is busy with.  The questions have a connection of their own, of
 * which libvirtd takes five calls at a time: each QEMU that hangs holds one question, so that with three no other is begun
 * (each holds one of libvirtd's 20 workers, too), and what is told is the last sample.
 */
#ifndef VIRT_VM_STATS_H
#define VIRT_VM_STATS_H

#include "agent/facts.h"
#include "agent/sampling.h"
#include "virt/virt-internal.h"
#include "virt/vm-figures.h"

struct vm_stats {
    struct virt *virt;
    struct lane lane;
    struct sampling sampling;
    struct facts facts; /* "virt" of host.stats */
};

/* The data of a sample. */
struct vm_sample {
    struct vm_figures *all; /* of running VMs, by UUID; owned */
    size_t count;
};

/* NULL: it did not run then. */
const struct vm_figures *vm_sample_find(const struct vm_sample *sample, const char *uuid);
/* Makes the JSON of all; 'before' and 'names' (by UUID) may be NULL.  Takes ownership of nothing. */
void vm_sample_write(struct vm_sample *sample, const struct vm_sample *before, int64_t interval_ns,
                     const struct vm_names *names, size_t name_count);

/* Loop. */
void vm_stats_open(struct virt *virt);

#endif
