/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of this host whose VM is gone, or has the image no more: dropped without being asked.
 *
 * A record that is in nobody's way on this host may be in another's, who cannot judge it: a VM that ended here
 * is to be started there.  So when libvirt tells that a VM has gone or lost a disk, its images are looked
 * at, and all images of a repository once for each connection to libvirt, and when it is connected itself.  What somebody
 * works on, and what cannot be told now, is looked at again until it is told.  Loop only.
 */
#ifndef VIRT_STALE_USES_H
#define VIRT_STALE_USES_H

#include "virt/virt-internal.h"
#include "virt/vm.h"

/* What 'before' had and 'now' (NULL: it is gone) has no more. */
void stale_uses_look(struct virt *virt, const struct vm *before, const struct vm *now);
/* That one image. */
void stale_uses_look_at(struct virt *virt, const char *repository, const char *image);
/* All VMs are known: those repositories that were not looked at since they and libvirt were connected. */
void stale_uses_look_at_all(struct virt *virt);

#endif
