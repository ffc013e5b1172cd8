/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a VM still needs an image, as it runs or as it is defined; and the record's end if not.
 */
#ifndef VIRT_VM_NEEDS_H
#define VIRT_VM_NEEDS_H

#include <libvirt/libvirt.h>

#include "agent/call.h"
#include "storage/disk.h"
#include "virt/vm.h"

struct virt;

struct vm_needs {
    virConnectPtr connect;         /* a reference */
    struct disk_places *places;    /* owned */
    struct repository *repository; /* a reference */
    char *image;                   /* owned */
    char uuid[UUID_TEXT_SIZE];
};

/* Loop.  BackendUnavailable, RepositoryNotFound, RepositoryUnavailable. */
bool vm_needs_init(struct vm_needs *needs, struct virt *virt, const char *uuid,
                   const char *repository, const char *image, struct error **err) _must_check_;
/* Any thread. */
void vm_needs_done(struct vm_needs *needs);
/* Worker.  Drops the record of this host's VM, unless the VM has the image or cannot be asked.  The image is locked
   for this long ('holder' is image_holder()'s): so nobody is just giving it back to the VM, who has made the
   record anew and libvirt not told yet.  Errors: ImageInUse, BackendUnavailable, RepositoryUnavailable. */
bool vm_needs_release(const struct vm_needs *needs, const char *host, const char *holder,
                      struct error **err) _must_check_;
/* Of a step, whose VM has done its part in any case: tries again for some seconds while somebody works on the
   image, then leaves the record to be judged, and says so. */
enum outcome vm_needs_release_step(struct call *call, const struct vm_needs *needs);

/* The disk that is this image; NULL: none.  places_name() has named them. */
const struct vm_disk *vm_disk_of_image(const struct vm *vm, const char *repository,
                                       const char *image);

#endif
