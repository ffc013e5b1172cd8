/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a VM may be sent: the addresses that a caller may name.
 *
 * libvirt's own URIs can make libvirtd run programs (?command=), open sockets and files (?socket=,
 * ?pkipath=, ?keyfile=) and hand options to ssh (a host or user that begins with '-').  So what may be
 * given is spelt out here, and all else is refused.  Any thread.
 */
#ifndef VIRT_MIGRATION_TARGET_H
#define VIRT_MIGRATION_TARGET_H

#include "agent/base/error.h"

/* qemu+TRANSPORT://HOST[:PORT]/system: tls (also with no transport named), tcp, or ssh, which may have a
   USER@ in front of HOST. */
bool migration_target_check(const char *param, const char *uri, struct error **err) _must_check_;
/* tcp://HOST[:PORT], as the source's QEMU is to see the target's. */
bool migration_route_check(const char *param, const char *uri, struct error **err) _must_check_;
/* A numeric address, IPv4 or IPv6. */
bool migration_address_check(const char *param, const char *address, struct error **err)
    _must_check_;

#endif
