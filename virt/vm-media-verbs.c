/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.changeMedia: another medium for a cdrom drive, or none.
 *
 * libvirt takes the whole description of the drive and refuses one that differs in anything but the medium, so
 * it is the one that it has, with another source.
 */
#include <config.h>

#include <string.h>

#include "agent/base/log.h"
#include "virt/device-xml.h"
#include "virt/places.h"
#include "virt/virt.h"
#include "virt/vm-change.h"
#include "virt/vm-disks.h"
#include "virt/vm-needs.h"

struct media_args {
    struct change_args change;
    char *drive; /* NULL: the first cdrom */
    char *repository, *image;
    bool force;
};

struct media_state {
    struct change_use change;
    struct disk_places *places; /* owned */
    struct vm_disks disks;
    char *repository, *image; /* what was in it; owned, or NULL */
    struct vm_needs needs;
    bool knows_needs; /* 'needs' is there */
    bool may_be_known;
};

static void
media_done(struct call *call)
{
    struct media_state *state = call->state;

    vm_disks_done(&state->disks);
    disk_places_free(TAKE(state->places));
    if (state->knows_needs)
        vm_needs_done(&state->needs);
    free(TAKE(state->repository));
    free(TAKE(state->image));
    change_state_done(call);
}

static enum outcome
media_find(struct call *call)
{
    const struct media_args *args = call->args;
    struct media_state *state = call->state;
    struct virt *virt = call->context;
    struct error *error = NULL;

    if (!args->repository != !args->image) {
        (void)error_param(&error, args->image ? "repository" : "image",
                          "is missing: give both to insert the image, or none to eject");
        return call_fail(call, error);
    }
    if (args->image &&
        !vm_disks_add(&state->disks, virt, args->repository, args->image, USE_READ_ONLY, &error))
        return call_fail(call, error);
    vm_disks_set_lane(&state->disks, call);
    state->places = disk_places_new(virt->storage);
    return vm_find(call);
}

/* ---- the drive ---- */

static bool
is_drive(const struct vm_disk *disk)
{
    return strcmp(disk->device, "cdrom") == 0 || strcmp(disk->device, "floppy") == 0;
}

static const struct vm_disk *
find_drive(const struct media_args *args, const struct vm *vm)
{
    if (vm && args->drive)
        return vm_disk_find(vm, args->drive);
    for (size_t i = 0; vm && i < vm->disk_count; i++)
        if (strcmp(vm->disks[i].device, "cdrom") == 0)
            return &vm->disks[i];
    return NULL;
}

static bool
check_drive(const struct media_args *args, const struct vm_disk *drive, struct error **err)
{
    if (!drive) {
        error_set(err, ERROR_NOT_FOUND, "VM '%s' has no drive '%s': vm.status tells which it has",
                  args->change.vm.vm, args->drive ? args->drive : "cdrom");
        error_data_text(err, "kind", "disk");
        return error_data_text(err, "id", "%s", args->drive ? args->drive : "cdrom");
    }
    if (!is_drive(drive))
        return error_param(err, "disk",
                           "is no drive whose medium can be changed, but a disk: "
                           "vm.detachDisk takes it out");
    return true;
}

static bool
find_in_both(struct call *call, const struct vm *live, const struct vm *config, struct error **err)
{
    const struct media_args *args = call->args;
    struct media_state *state = call->state;
    const struct vm_disk *running = find_drive(args, live);
    /* The definition does not know aliases. */
    const struct vm_disk *defined =
        running && config ? vm_disk_find(config, running->target) : find_drive(args, config);
    const struct vm_disk *drive = running ? running : defined;

    if (!check_drive(args, drive, err))
        return false;
    state->change.live = running != NULL;
    state->change.config = defined != NULL;
    state->change.device = xstrdup(drive->target);
    if (!drive->image && defined)
        drive = defined;
    if (drive->image) {
        state->repository = xstrdup(drive->repository);
        state->image = xstrdup(drive->image);
    }
    return true;
}

static enum outcome
media_look(struct call *call)
{
    struct media_state *state = call->state;
    _cleanup_(vm_freep) struct vm *live = NULL;
    _cleanup_(vm_freep) struct vm *config = NULL;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!change_look(call, &domain, &error) || !vm_require_unsaved(domain, &error) ||
        !change_read(call, state->places, &live, &config, &error))
        return vm_fail(call, error);
    if (!find_in_both(call, live, config, &error))
        return call_fail(call, error);
    return call_complete(call, "%s", state->change.device);
}

/* ---- its images ---- */

static bool
inserts(const struct call *call)
{
    const struct media_args *args = call->args;

    return args->image != NULL;
}

static enum outcome
media_claim(struct call *call)
{
    struct media_state *state = call->state;
    struct error *error = NULL;

    if (!vm_disks_claim(&state->disks, call, state->change.use.uuid,
                        virDomainGetName(state->change.use.domain), &error))
        return call_fail(call, error);
    return call_complete(call, NULL);
}

/* Whichever way it ended. */
static enum outcome
media_settle(struct call *call)
{
    struct media_state *state = call->state;

    return call_complete(call, "%s", vm_disks_settle(&state->disks, state->may_be_known));
}

static bool
replaces(const struct call *call)
{
    const struct media_state *state = call->state;

    return state->image != NULL;
}

static enum outcome
media_find_old(struct call *call)
{
    struct media_state *state = call->state;
    struct error *error = NULL;

    state->knows_needs = true;
    if (!vm_needs_init(&state->needs, call->context, state->change.use.uuid, state->repository,
                       state->image, &error)) {
        log_info("image '%s' is not released: %s", state->image, error->message);
        error_free(error);
        return call_complete(call, "it is not there now");
    }
    call_set_lane(call, POOL_REPOSITORY, &state->needs.repository->lane);
    return call_complete(call, NULL);
}

static enum outcome
media_release_old(struct call *call)
{
    const struct media_state *state = call->state;

    return state->needs.repository ? vm_needs_release_step(call, &state->needs)
                                   : call_complete(call, NULL);
}

/* ---- the change ---- */

static bool
change_one_drive(struct call *call, virDomainPtr domain, unsigned affect, struct error **err)
{
    const struct media_args *args = call->args;
    struct media_state *state = call->state;
    const struct device_key key = { "disk", "target", "dev", state->change.device };
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_free_ char *xml = NULL;
    const struct xml_node *node;

    if (!change_find_device(domain,
                            affect == VIR_DOMAIN_AFFECT_CONFIG ? VIR_DOMAIN_XML_INACTIVE : 0, &key,
                            &document, &node, err))
        return false;
    xml = device_xml_disk_over(node, args->image ? vm_disks_source(&state->disks, 0) : NULL);
    if (args->force)
        affect |= VIR_DOMAIN_DEVICE_MODIFY_FORCE;
    if (virDomainUpdateDeviceFlags(domain, xml, affect) == 0) {
        state->may_be_known = true;
        return true;
    }
    virt_fail(err, domain, "cannot change the medium of '%s' of '%s'", state->change.device,
              args->change.vm.vm);
    if ((*err)->code == ERROR_BACKEND_UNAVAILABLE || (*err)->code == ERROR_TIMEOUT)
        state->may_be_known = true;
    return false;
}

static enum outcome
media_run(struct call *call)
{
    const struct media_state *state = call->state;
    struct error *error = NULL;

    if (!change_apply(call, state->change.use.domain, change_one_drive, &error))
        return vm_fail(call, error);
    return call_complete(call, NULL);
}

const struct verb vm_media_verbs[] = {
    {
        .name = "vm.changeMedia",
        .summary =
            "Put an image into a drive of a virtual machine, or take out the one that is in it.",
        .description =
            "With 'repository' and 'image' that image is its medium, to be read only; without them the drive is "
            "emptied. A guest that has locked the tray is asked to open it, and may refuse: then the call fails, "
            "unless 'force' takes the medium out all the same.",
        CHANGE_VERB_OF,
        .state_done = media_done,
        .errors =
            ERRORS(CHANGE_ERRORS, ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                   ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN, ERROR_NO_SPACE),
        .args_size = sizeof(struct media_args),
        .state_size = sizeof(struct media_state),
        .params = PARAMS(
            CHANGE_PARAMS(media_args),
            PARAM(media_args, drive, "disk", .type = PARAM_TEXT, .minimum = 1, .maximum = 255,
                  .about = "The drive, by its target (sda); without this, the first cdrom."),
            PARAM(media_args, repository, "repository", .type = PARAM_NAME,
                  .about = "The repository that holds the image."),
            PARAM(media_args, image, "image", .type = PARAM_NAME,
                  .about = "What to insert; without this, the drive is emptied."),
            PARAM(media_args, force, "force", .type = PARAM_BOOL,
                  .about = "Also against the guest, if it has locked the tray.")),
        .steps =
            STEPS({ "find VM and repository", media_find, .pool = POOL_LOOP },
                  { "look", media_look, .pool = POOL_VIRT },
                  { "claim the image", media_claim, .pool = POOL_REPOSITORY, .only_if = inserts },
                  { "change the medium", media_run, .pool = POOL_VIRT },
                  { "settle the image", media_settle, .pool = POOL_REPOSITORY, .only_if = inserts,
                    .when = ALWAYS },
                  { "find the old image", media_find_old, .pool = POOL_LOOP, .only_if = replaces },
                  { "release it", media_release_old, .pool = POOL_REPOSITORY, .only_if = replaces },
                  { "tell", change_answer, .pool = POOL_LOOP }),
    },
    { 0 },
};
