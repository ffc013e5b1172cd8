/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to libvirt: a thread that runs libvirt's event loop, and connects again for ever.
 *
 * It is three of libvirt's, which come and go together: libvirtd works on five calls of a connection at a time
 * (max_client_requests), and a QEMU that hangs holds each call that meets it.  So what is read to keep the
 * table current has one that no such call is made on, and the questions for figures of all VMs, which meet every
 * QEMU that hangs, take none from the others.
 *
 * Calls are made by workers, on references of the same connection, and their answers are read by
 * whoever waits; what this thread alone does is to notice that libvirtd is gone (its socket closes, or its
 * keep-alive is not answered for some 15 s), which ends every call that waits.  Meanwhile calls are
 * refused at once.
 */
#ifndef VIRT_CONNECTION_H
#define VIRT_CONNECTION_H

#include "virt/virt-internal.h"

/* Loop.  'uri' is borrowed, for ever. */
struct virt_connection *virt_connection_open(struct virt *virt, const char *uri);

/* Loop: a reference for a worker, which gives it back by virConnectClose(); or BackendUnavailable at once. */
bool virt_connection_get(struct virt *virt, virConnectPtr *ret_connect, struct error **err)
    _must_check_;
/* The same for the figures of all VMs. */
bool virt_connection_get_figures(struct virt *virt, virConnectPtr *ret_connect, struct error **err)
    _must_check_;
/* Loop: the table is filled: it may be told that libvirt is there. */
void virt_connection_settled(struct virt *virt);

#endif
