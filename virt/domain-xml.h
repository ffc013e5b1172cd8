/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's XML of a virtual machine, from its description.  Nothing is checked here: that was.
 */
#ifndef VIRT_DOMAIN_XML_H
#define VIRT_DOMAIN_XML_H

#include "virt/device.h"
#include "virt/platform.h"

#define CONSOLE_PASSWORD_SIZE 9 /* VNC takes eight characters */

struct domain_plan {
    const struct vm_description *description;
    const struct platform *platform;
    const char *uuid;
    const struct disk_device *disks;
    const struct network_device *networks;
    size_t disk_count, network_count;
    /* Nobody's: it has expired before it is used, but QEMU takes one later only if there was one. */
    char console_password[CONSOLE_PASSWORD_SIZE];
};

/* The whole; to be freed.  Any thread. */
char *domain_xml(const struct domain_plan *plan);

#endif
