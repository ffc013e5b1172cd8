/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's XML of a virtual machine's disks and networks, from their descriptions.
 *
 * The same for a VM that is defined and for what is plugged in later:
 *     disk_description_check(description, "disk", err)    what its table could not tell
 *     disk_device_init(&disk, description)                what it is
 *     disk_device_choose_target(&disk, taken, vm)         which name is free
 *     disk.source, disk.direct                            virt/vm-disks.h: what QEMU opens, and how
 *     device_xml_disk_text(&disk)
 * and likewise network_description_check(), network_device_init(), network_device_choose_mac(),
 * device_xml_network_text().  Nothing is checked here.  Any thread.
 */
#ifndef VIRT_DEVICE_XML_H
#define VIRT_DEVICE_XML_H

#include "agent/base/xml.h"
#include "virt/device.h"

/* One element, with all that is in it. */
void device_xml_disk(struct xml_writer *writer, const struct disk_device *disk);
void device_xml_network(struct xml_writer *writer, const struct network_device *network);
/* As text of its own, which is what libvirt's calls for devices take; to be freed. */
char *device_xml_disk_text(const struct disk_device *disk);
char *device_xml_network_text(const struct network_device *network);

/* Only <source> and <backingStore> of a disk: for chains that have changed. */
void device_xml_source(struct xml_writer *writer, const struct disk_source *source);
/* A disk as libvirt describes it ('disk'), over other files, or without a medium ('source' NULL): for libvirt
   refuses a change of one that differs in anything else.  To be freed. */
char *device_xml_disk_over(const struct xml_node *disk, const struct disk_source *source);

#endif
