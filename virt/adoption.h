/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records for VMs that others have defined: by virsh, by an agent before this one, or on another host, from where
 * they were migrated.
 *
 * What vm.define and its kin write before libvirt knows of a VM (storage/disk.h) is written here after, as soon as
 * libvirt tells of it.  Until then, and where an image cannot be claimed (another VM has it: that is
 * logged), only QEMU's own locks keep it.  What such a VM no longer needs is judged when it is in the way.
 */
#ifndef VIRT_ADOPTION_H
#define VIRT_ADOPTION_H

struct virt;

/* Loop: begins to listen. */
void adoption_open(struct virt *virt);

#endif
