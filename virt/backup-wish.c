/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/backup-wish.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "virt/backup-steps.h"

static bool
check_served(const struct backup_args *args, struct error **err)
{
    const char *of_images = args->repository ? "repository"
                            : args->image    ? "image"
                            : args->base     ? "base"
                                             : NULL;

    return !of_images || error_param(err, of_images,
                                     "is not to be given together with serve: the caller takes "
                                     "what is served");
}

bool
backup_check_args(const struct backup_args *args, struct error **err)
{
    if (args->scratch && strlen(args->scratch) > BACKUP_FOLDER_MAX)
        return error_param(err, "scratch",
                           "is too long for the path of a socket in it: at most %d bytes",
                           BACKUP_FOLDER_MAX);
    if (args->serve)
        return check_served(args, err);
    if (!args->repository)
        return error_param(err, "repository", "is missing: name one, or serve it");
    if (!args->image)
        return error_param(err, "image", "is missing: the images are called IMAGE-DISK");
    if (args->since && !args->base)
        return error_param(err, "base",
                           "is missing: an incremental backup is laid over the images of the one "
                           "before, BASE-DISK");
    return !args->base || args->since ||
           error_param(err, "since", "is missing: which checkpoint the images of 'base' hold");
}

static bool
needs_bitmaps(const struct backup_args *args)
{
    return args->checkpoint || args->since;
}

static bool
is_qcow2(const struct vm_disk *disk)
{
    return disk->format && strcmp(disk->format, "qcow2") == 0;
}

static bool
is_chosen(const struct backup *backup, const struct vm_disk *disk)
{
    for (size_t i = 0; i < backup->disk_count; i++)
        if (strcmp(backup->disks[i].target, disk->target) == 0)
            return true;
    return false;
}

static bool
choose_named(struct backup *backup, const struct backup_args *args, const struct vm *vm,
             struct error **err)
{
    for (char **name = args->disks; *name; name++) {
        const struct vm_disk *disk = vm_disk_find(vm, *name);

        if (!disk)
            return virt_missing_device(err, vm->name, "disk", *name);
        if (strcmp(disk->device, "disk") != 0 || !disk->source)
            return error_param(err, "disks", "names '%s', which is no disk with an image", *name);
        if (is_chosen(backup, disk))
            return error_param(err, "disks", "names '%s' twice", disk->target);
        if (needs_bitmaps(args) && !is_qcow2(disk))
            return error_param(
                err, "disks",
                "names '%s', which is %s: only a full backup without a checkpoint can be made "
                "of it, for it holds no bitmaps of changes as qcow2 does",
                *name, disk->format ? disk->format : "of no known format");
        (void)backup_add_disk(backup, disk->target);
    }
    return true;
}

static bool
choose_disks(struct backup *backup, const struct backup_args *args, const struct vm *vm,
             struct error **err)
{
    if (args->disks && *args->disks)
        return choose_named(backup, args, vm, err);
    for (size_t i = 0; i < vm->disk_count; i++) {
        const struct vm_disk *disk = &vm->disks[i];

        if (strcmp(disk->device, "disk") == 0 && disk->source && !disk->readonly &&
            (is_qcow2(disk) || !needs_bitmaps(args)))
            (void)backup_add_disk(backup, disk->target);
    }
    return backup->disk_count > 0 ||
           backup_refuse(
               "no disk that can be", "a qcow2 disk, or a full backup without a checkpoint", err,
               "the VM has no writable disk that this can be made of: raw ones hold no bitmaps of changes");
}

static bool
name_images(struct backup *backup, const struct backup_args *args, struct error **err)
{
    for (size_t i = 0; !args->serve && i < backup->disk_count; i++) {
        struct backup_disk *disk = &backup->disks[i];

        disk->image = xprintf("%s-%s", args->image, disk->target);
        disk->base = args->base ? xprintf("%s-%s", args->base, disk->target) : NULL;
        if (!name_check("image", disk->image, err))
            return false;
    }
    return true;
}

static bool
measure_disks(virDomainPtr domain, struct backup *backup, struct error **err)
{
    for (size_t i = 0; i < backup->disk_count; i++) {
        struct backup_disk *disk = &backup->disks[i];
        virDomainBlockInfo info;
        virDomainBlockJobInfo job;
        int status = virDomainGetBlockJobInfo(domain, disk->target, &job, 0);

        if (status > 0) {
            _cleanup_free_ char *text =
                xprintf("disk '%s' has a block job: vm.jobs tells of it", disk->target);

            return backup_refuse("a block job", "no block job on its disks", err, text);
        }
        if (status < 0 || virDomainGetBlockInfo(domain, disk->target, &info, 0) < 0)
            return virt_fail(err, domain, "cannot look at disk '%s'", disk->target);
        disk->size = info.capacity;
    }
    return true;
}

static bool
has_checkpoint(virDomainPtr domain, const char *name, bool *ret_has, struct error **err)
{
    virDomainCheckpointPtr found = virDomainCheckpointLookupByName(domain, name, 0);

    *ret_has = found != NULL;
    if (!found)
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_CHECKPOINT ||
               virt_fail(err, domain, "cannot look for checkpoint '%s'", name);
    (void)virDomainCheckpointFree(found);
    return true;
}

static bool
check_checkpoints(virDomainPtr domain, const struct backup_args *args, struct error **err)
{
    bool has = false;

    if (args->checkpoint && !has_checkpoint(domain, args->checkpoint, &has, err))
        return false;
    if (has) {
        error_set(err, ERROR_ALREADY_EXISTS, "'%s' has a checkpoint '%s' already",
                  virDomainGetName(domain), args->checkpoint);
        error_data_text(err, "kind", "checkpoint");
        return error_data_text(err, "id", "%s", args->checkpoint);
    }
    if (!args->since)
        return true;
    if (!has_checkpoint(domain, args->since, &has, err))
        return false;
    if (!has) {
        error_set(err, ERROR_NOT_FOUND, "'%s' has no checkpoint '%s': make a full backup",
                  virDomainGetName(domain), args->since);
        error_data_text(err, "kind", "checkpoint");
        return error_data_text(err, "id", "%s", args->since);
    }
    return true;
}

bool
backup_choose(struct backup *backup, const struct backup_args *args, const struct vm *vm,
              struct error **err)
{
    return choose_disks(backup, args, vm, err) && name_images(backup, args, err);
}

bool
backup_check(virDomainPtr domain, struct backup *backup, const struct backup_args *args,
             struct error **err)
{
    return check_checkpoints(domain, args, err) && measure_disks(domain, backup, err);
}
