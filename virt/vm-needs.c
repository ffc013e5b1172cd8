/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm-needs.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "storage/image-steps.h"
#include "storage/repository-table.h"
#include "virt/connection.h"
#include "virt/failure.h"
#include "virt/places.h"
#include "virt/virt-internal.h"

#define IN_USE_FOR_MS 5000
#define IN_USE_DELAY_MS 50

const struct vm_disk *
vm_disk_of_image(const struct vm *vm, const char *repository, const char *image)
{
    for (size_t i = 0; vm && i < vm->disk_count; i++) {
        const struct vm_disk *disk = &vm->disks[i];

        if (disk->image && strcmp(disk->image, image) == 0 &&
            strcmp(disk->repository, repository) == 0)
            return disk;
    }
    return NULL;
}

bool
vm_needs_init(struct vm_needs *needs, struct virt *virt, const char *uuid, const char *repository,
              const char *image, struct error **err)
{
    LOOP_ONLY();
    (void)snprintf(needs->uuid, sizeof(needs->uuid), "%s", uuid);
    needs->image = xstrdup(image);
    needs->places = disk_places_new(virt->storage);
    return virt_connection_get(virt, &needs->connect, err) &&
           repository_find(virt->storage, repository, &needs->repository, err);
}

void
vm_needs_done(struct vm_needs *needs)
{
    if (needs->connect)
        (void)virConnectClose(needs->connect);
    disk_places_free(needs->places);
    repository_unref(needs->repository);
    free(needs->image);
    *needs = (struct vm_needs){ 0 };
}

static bool
has_image(const struct vm_needs *needs, virDomainPtr domain, unsigned flags, bool *ret_has,
          struct error **err)
{
    _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, flags);
    _cleanup_(vm_freep) struct vm *vm = NULL;

    if (!xml)
        return virt_fail(err, domain, "cannot read the description of a VM");
    if (!vm_parse(xml, &vm, err))
        return false;
    places_name(needs->places, vm);
    *ret_has = *ret_has || vm_disk_of_image(vm, needs->repository->name, needs->image);
    return true;
}

static bool
is_needed(const struct vm_needs *needs, bool *ret_needed, struct error **err)
{
    virDomainPtr domain = virDomainLookupByUUIDString(needs->connect, needs->uuid);
    bool done;

    *ret_needed = false;
    if (!domain)
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ||
               virt_fail_connect(err, needs->connect, "cannot find VM '%s'", needs->uuid);
    done = has_image(needs, domain, 0, ret_needed, err) &&
           has_image(needs, domain, VIR_DOMAIN_XML_INACTIVE, ret_needed, err);
    (void)virDomainFree(domain);
    return done;
}

static bool
release(const struct vm_needs *needs, const char *host, struct error **err)
{
    bool needed;

    return is_needed(needs, &needed, err) &&
           (needed || disk_release(needs->repository, needs->image, needs->uuid, host, err));
}

bool
vm_needs_release(const struct vm_needs *needs, const char *host, const char *holder,
                 struct error **err)
{
    _cleanup_(image_closep) struct image *image = NULL;

    WORKER_ONLY();
    if (image_lock_directory(needs->repository, needs->image, IMAGE_LOCK_EXCLUSIVE, holder, &image,
                             err))
        return release(needs, host, err) ||
               error_wrap(err, "image '%s' is not released", needs->image);
    if ((*err)->code != ERROR_IMAGE_NOT_FOUND)
        return error_wrap(err, "image '%s' is not released", needs->image);
    error_free(TAKE(*err));
    return true;
}

enum outcome
vm_needs_release_step(struct call *call, const struct vm_needs *needs)
{
    _cleanup_free_ char *holder = image_holder(call);
    _cleanup_(error_freep) struct error *error = NULL;

    if (vm_needs_release(needs, call->agent->host_id, holder, &error))
        return call_complete(call, NULL);
    if (error->code == ERROR_IMAGE_IN_USE && call_elapsed_ms(call) < IN_USE_FOR_MS &&
        !call_aborted(call))
        return call_retry(call, IN_USE_DELAY_MS, "somebody works on the image");
    log_warning("%s; its record is dropped when it is in somebody's way", error->message);
    return call_complete(call, "%s", error->message);
}
