/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's errors, as ours.
 *
 * The one place that knows its numbers.  Its words are kept: they say what QEMU said.  Worker threads.
 */
#ifndef VIRT_FAILURE_H
#define VIRT_FAILURE_H

#include <libvirt/libvirt.h>

#include "agent/base/error.h"

/*
 * What the last libvirt call of this thread failed with, behind "FORMAT: "; returns false.
 * BackendUnavailable when the connection is dead; else by the table in failure.c: NotFound and AlreadyExists {kind}
 * with 'id' of a VM, with 'vm' of what is within one ('id' is its caller's to add); WrongState {state, needs}, Busy
 * {retryAfterMs}, Timeout, BackendUnavailable of another host's libvirtd, TaskAborted; or BackendFailed.  All of them
 * {code, text} as libvirt has them.
 * 'domain' may be NULL: what the call was about.
 *
 * Macros, because each call of libvirt forgets the failure of the one before, virDomainGetName() among the arguments
 * too: it is kept before they are evaluated.
 */
#define virt_fail(err, domain, ...)                                                                \
    (virt_failure_keep(), virt_fail_as_kept((err), NULL, (domain), __VA_ARGS__))
/* The same where no domain is: 'connect' tells whether libvirt is there; may be NULL. */
#define virt_fail_connect(err, connect, ...)                                                       \
    (virt_failure_keep(), virt_fail_as_kept((err), (connect), NULL, __VA_ARGS__))

/* For these two: of this thread, until it is told. */
void virt_failure_keep(void);
bool virt_fail_as_kept(struct error **err, virConnectPtr connect, virDomainPtr domain,
                       const char *format, ...) _printf_(4, 5);

/* NotFound {kind "vm", id}; returns false. */
bool virt_missing(struct error **err, const char *vm);
/* NotFound {kind, id}: of a device of a VM ('kind' disk, network); returns false. */
bool virt_missing_device(struct error **err, const char *vm, const char *kind, const char *id);
/* BackendUnavailable {backend, reason}; returns false. */
bool virt_unavailable(struct error **err, const char *reason);

/* libvirt's words of the last failure of this thread, for a report; never NULL. */
const char *virt_words(void);

#endif
