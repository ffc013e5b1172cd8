/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host's libvirt and QEMU offer to guests: "virt" of host.capabilities.
 *
 * Asked in the background each time a connection is made, for a libvirtd that has just come asks each QEMU for
 * what it can do: 0.4 s mostly, 40 s were seen.  Until it is known the answer says 'pending'.
 */
#ifndef VIRT_OFFER_H
#define VIRT_OFFER_H

#include "agent/facts.h"
#include "virt/virt-internal.h"

/* What libvirt said. */
struct offer_texts {
    char *capabilities;        /* owned, as all */
    char *domain_capabilities; /* NULL: the driver has none to tell */
    char *kvm_refusal;         /* why KVM cannot be used; NULL: it can */
    char *hypervisor;          /* "QEMU" */
    char *version;             /* of that; NULL: not known */
};

struct virt_offer {
    struct virt *virt;
    struct facts facts;
    struct lane lane;
    struct timer again;
    char *json;   /* owned; NULL: not known yet */
    char *reason; /* owned; why not, or NULL */
    bool asking;
    /* The worker's while it asks. */
    struct job job;
    virConnectPtr connect;
    char *fresh;
    struct error *error;
};

/* Loop. */
void virt_offer_open(struct virt *virt);
/* Loop: a connection has been made. */
void virt_offer_ask(struct virt *virt);

/* One object from what libvirt said.  Any thread. */
bool offer_write(const struct offer_texts *texts, struct writer *writer, struct error **err)
    _must_check_;

#endif
