/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's agent tells of its guest, as one JSON object.
 *
 * libvirt hands it over as a flat list ("if.0.addr.1.prefix"), of which a tree is made.  A guest is nobody to
 * be trusted: what is too much of it is refused, what is no text is left out.
 */
#ifndef VIRT_GUEST_INFO_H
#define VIRT_GUEST_INFO_H

#include <libvirt/libvirt.h>

#include "agent/base/error.h"

/* '*ret_json' is the caller's.  Error: LimitExceeded.  Any thread. */
bool guest_info_json(const virTypedParameter *params, int count, char **ret_json,
                     struct error **err) _must_check_;

#endif
