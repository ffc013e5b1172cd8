/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host's libvirt and QEMU offer to a virtual machine that is to be described.
 */
#ifndef VIRT_PLATFORM_H
#define VIRT_PLATFORM_H

#include <libvirt/libvirt.h>

#include "agent/base/error.h"
#include "virt/description.h"

struct platform {
    char *virtualization; /* libvirt's type of domain: kvm, qemu, ... */
    char *architecture, *emulator;
    char *machine; /* NULL: libvirt's own choice */
    bool x86, q35;
    bool efi, secure_boot, tpm, vnc, spice, virtio_video, maximum_cpu;
};

void platform_done(struct platform *platform);

/*
 * Asks 'connect'; what 'description' wants decides among what there is.  Worker.
 * Errors: InvalidParams when the host lacks what it wants, and what to do; BackendFailed.
 */
bool platform_read(virConnectPtr connect, const struct vm_description *description,
                   struct platform *ret_platform, struct error **err) _must_check_;

/* The same from the texts that libvirt answers; for tests.  'domain_capabilities' NULL: the driver has none to
   tell (test:///), and refuses nothing. */
bool platform_choose(const char *capabilities, const struct vm_description *description,
                     struct platform *ret_platform, struct error **err) _must_check_;
bool platform_judge(struct platform *platform, const char *domain_capabilities,
                    const struct vm_description *description, struct error **err) _must_check_;

#endif
