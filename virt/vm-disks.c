/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm-disks.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "storage/image-steps.h"
#include "virt/places.h"
#include "virt/virt-internal.h"

enum use_access
disk_description_access(const struct disk_description *description)
{
    if (description->read_only || strcmp(description->device, "cdrom") == 0)
        return USE_READ_ONLY;
    return description->shareable ? USE_SHAREABLE : USE_WRITABLE;
}

static void
add(struct vm_disks *disks, const struct vm_disk_claim *item)
{
    disks->items = xrealloc(disks->items, (disks->count + 1) * sizeof(disks->items[0]));
    disks->items[disks->count++] = *item;
}

bool
vm_disks_add(struct vm_disks *disks, struct virt *virt, const char *repository, const char *image,
             enum use_access access, struct error **err)
{
    struct vm_disk_claim item = { .access = access, .referenced = true };

    LOOP_ONLY();
    if (repository && !repository_find(virt->storage, repository, &item.repository, err))
        return false;
    item.image = image ? xstrdup(image) : NULL;
    add(disks, &item);
    return true;
}

static enum use_access
access_of(const struct vm_disk *disk)
{
    return disk->readonly ? USE_READ_ONLY : disk->shareable ? USE_SHAREABLE : USE_WRITABLE;
}

void
vm_disks_add_named(struct vm_disks *disks, struct virt *virt, const struct vm *vm)
{
    for (size_t i = 0; i < vm->disk_count; i++) {
        const struct vm_disk *disk = &vm->disks[i];
        _cleanup_(error_freep) struct error *ignored = NULL;

        if (disk->image &&
            !vm_disks_add(disks, virt, disk->repository, disk->image, access_of(disk), &ignored))
            log_info("image '%s' of VM '%s' is not released: %s", disk->image, vm->name,
                     ignored->message);
    }
}

void
vm_disks_add_found(struct vm_disks *disks, const struct disk_places *places, const struct vm *vm)
{
    for (size_t i = 0; i < vm->disk_count; i++) {
        const struct vm_disk *disk = &vm->disks[i];
        struct vm_disk_claim item = { .access = access_of(disk) };
        const char *path;
        _cleanup_free_ char *volume = places_volume(disk, &path);

        if (path && (volume || *path == '/') &&
            disk_find(places, volume, NULL, path, &item.repository, &item.image))
            add(disks, &item);
    }
}

bool
vm_disks_have(const struct vm_disks *disks, const struct vm_disk_claim *claim)
{
    for (size_t i = 0; i < disks->count; i++)
        if (disks->items[i].repository == claim->repository && claim->image &&
            strcmp(disks->items[i].image, claim->image) == 0)
            return true;
    return false;
}

void
vm_disks_set_lane(const struct vm_disks *disks, struct call *call)
{
    struct repository *repository = NULL;

    for (size_t i = 0; i < disks->count; i++) {
        struct repository *other = disks->items[i].repository;

        if (repository && other && other != repository)
            return;
        repository = other ? other : repository;
    }
    if (repository)
        call_set_lane(call, POOL_REPOSITORY, &repository->lane);
}

bool
vm_disks_claim(struct vm_disks *disks, const struct call *call, const char *uuid, const char *name,
               struct error **err)
{
    _cleanup_free_ char *holder = image_holder(call);
    const struct disk_user user = { .vm = uuid, .name = name, .host = call->agent->host_id };

    WORKER_ONLY();
    for (size_t i = 0; i < disks->count; i++) {
        struct vm_disk_claim *item = &disks->items[i];

        if (!item->repository || disk_claim(item->repository, item->image, &user, item->access,
                                            holder, &item->claim, err))
            continue;
        (void)vm_disks_settle(disks, false);
        return false;
    }
    return true;
}

const char *
vm_disks_settle(struct vm_disks *disks, bool may_be_known)
{
    for (size_t i = 0; i < disks->count; i++) {
        if (may_be_known)
            disk_claim_keep(TAKE(disks->items[i].claim));
        else
            disk_claim_drop(TAKE(disks->items[i].claim));
    }
    return may_be_known ? "kept" : "dropped";
}

void
vm_disks_release(const struct vm_disks *disks, const struct call *call, const char *uuid,
                 const struct vm_disks *others)
{
    for (size_t i = 0; i < disks->count; i++) {
        const struct vm_disk_claim *item = &disks->items[i];
        _cleanup_(error_freep) struct error *error = NULL;

        if (!item->repository || (others && vm_disks_have(others, item)))
            continue;
        if (!disk_release(item->repository, item->image, uuid, call->agent->host_id, &error))
            log_warning("%s; its record is dropped when it is in somebody's way", error->message);
    }
}

void
vm_disks_done(struct vm_disks *disks)
{
    for (size_t i = 0; i < disks->count; i++) {
        assert(!disks->items[i].claim); /* a step has kept or dropped it */
        free(disks->items[i].image);
        if (disks->items[i].referenced)
            repository_unref(disks->items[i].repository);
    }
    free(disks->items);
    *disks = (struct vm_disks){ 0 };
}

const struct disk_source *
vm_disks_source(const struct vm_disks *disks, size_t n)
{
    return disks->items[n].claim ? &disks->items[n].claim->source : NULL;
}

bool
disk_source_is_direct(const struct disk_source *source)
{
    _cleanup_close_ int fd = -1;

    WORKER_ONLY();
    if (source->volume) /* Gluster's bricks have it, but for those on a tmpfs */
        return true;
    fd = open(source->layers[0].path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    return fd >= 0;
}
