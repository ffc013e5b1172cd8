/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks and images: which image of which repository a VM's disk is, and whether a VM that an image's
 * record names (storage/image-use.h) still needs it.
 */
#ifndef VIRT_PLACES_H
#define VIRT_PLACES_H

#include "storage/disk.h"
#include "virt/vm.h"

struct virt;

/* Loop: begins to judge records, and to name images. */
void places_open(struct virt *virt);

/* Fills in 'repository' and 'image' of each disk, by its path alone.  Any thread. */
void places_name(const struct disk_places *places, struct vm *vm);
/* The Gluster volume of a disk ("gv0" of "gv0/images/a/data"; to be freed), '*ret_path' what is behind
   it; NULL: it is in none, and '*ret_path' is its source. */
char *places_volume(const struct vm_disk *disk, const char **ret_path);

#endif
