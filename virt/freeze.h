/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frozen guests: each has a deadline, after which it is thawed by whichever agent lives then.
 *
 * The deadline is written into the running domain's <metadata> before its guest is asked to freeze, so an
 * agent that has just started finds it (virt/vm.c reads it), and there is no frozen guest without one.
 * libvirt keeps that as long as the guest runs.
 */
#ifndef VIRT_FREEZE_H
#define VIRT_FREEZE_H

#include <libvirt/libvirt.h>
#include <stdint.h>

#include "agent/base/error.h"

struct virt;

/* Loop: begins to watch for deadlines. */
void freeze_open(struct virt *virt);
/* Loop: a deadline may have come or gone. */
void freeze_look(struct virt *virt);

/* The deadline of a guest that is frozen for the moment in which something else is begun. */
#define FREEZE_MOMENT_NS (INT64_C(120) * 1000000000)

/* Worker, before a guest is asked to freeze: notes the deadline (wall clock), once its agent has answered.
   WrongState: it is frozen already, whose deadline stands; or it has no agent that answers. */
bool freeze_prepare(virDomainPtr domain, int64_t until_ns, struct error **err) _must_check_;
/* WrongState {state "frozen", needs}; returns false. */
bool freeze_refuse(const char *vm, struct error **err);
/* Worker: thaws all of its file systems, and forgets the deadline; after a failure that stands, for what did not
   answer may be frozen.  '*ret_count' (may be NULL): how many were frozen, as the guest says. */
bool freeze_thaw(virDomainPtr domain, uint64_t *ret_count, struct error **err) _must_check_;
/* Worker: how long the guest's agent may take for a command; where libvirt can be told. */
void guest_limit(virDomainPtr domain, int64_t seconds);

#endif
