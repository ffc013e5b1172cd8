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
 * BackendUnavailable when the connection is dead; else by the table in failure.c: NotFound {kind, id},
 * AlreadyExists, WrongState, Busy, Timeout, Forbidden, InvalidParams, or BackendFailed {backend, code, text}.
 * 'domain' may be NULL: what the call was about.
 */
bool virt_fail(struct error **err, virDomainPtr domain, const char *format, ...) _printf_(3, 4);
/* The same where no domain is: 'connect' tells whether libvirt is there; may be NULL. */
bool virt_fail_connect(struct error **err, virConnectPtr connect, const char *format, ...)
    _printf_(3, 4);

/* NotFound {kind "vm", id}; returns false. */
bool virt_missing(struct error **err, const char *vm);
/* BackendUnavailable {backend, reason}; returns false. */
bool virt_unavailable(struct error **err, const char *reason);

/* libvirt's words of the last failure of this thread, for a report; never NULL. */
const char *virt_words(void);

#endif
