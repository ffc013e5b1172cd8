/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.attachDisk, vm.attachNetwork.
 *
 * The record beside the image comes first, then what runs, then the definition.  A call that is sent again
 * finds what the first has done, and does only what is left: when nothing is, it answers AlreadyExists.
 */
#include <config.h>

#include <string.h>

#include "virt/device-xml.h"
#include "virt/places.h"
#include "virt/virt.h"
#include "virt/vm-change.h"
#include "virt/vm-disks.h"
#include "virt/vm-needs.h"

/* What a name must not be taken by. */
struct both {
    const struct vm *live, *config; /* or NULL */
};

static bool
already(const char *kind, const char *id, const char *vm, struct error **err)
{
    error_set(err, ERROR_ALREADY_EXISTS, "VM '%s' has that %s already: '%s'", vm, kind, id);
    error_data_text(err, "kind", "%s", kind);
    return error_data_text(err, "id", "%s", id);
}

/* Those sides that have it need no change; at least one must. */
static bool
leave_out(struct change_use *state, const struct both *both, bool in_live, bool in_config)
{
    state->live_done = in_live;
    state->config_done = in_config;
    return (both->live && !in_live) || (both->config && !in_config);
}

/* ---- vm.attachDisk ---- */

struct attach_disk_args {
    struct change_args change;
    struct disk_description *disk;
};

struct attach_disk_state {
    struct change_use change;
    struct disk_places *places; /* owned */
    struct vm_disks disks;
    struct disk_device device;
    bool may_be_known; /* libvirt has taken it, or that cannot be told */
};

static void
attach_disk_done(struct call *call)
{
    struct attach_disk_state *state = call->state;

    vm_disks_done(&state->disks);
    disk_places_free(TAKE(state->places));
    change_state_done(call);
}

static enum outcome
attach_disk_find(struct call *call)
{
    const struct attach_disk_args *args = call->args;
    struct attach_disk_state *state = call->state;
    struct virt *virt = call->context;
    struct error *error = NULL;

    if (!disk_description_check(args->disk, "disk", &error) ||
        !vm_disks_add(&state->disks, virt, args->disk->repository, args->disk->image,
                      disk_description_access(args->disk), &error))
        return call_fail(call, error);
    state->places = disk_places_new(virt->storage);
    vm_disks_set_lane(&state->disks, call);
    return vm_find(call);
}

static bool
has_target(const struct vm *vm, const char *target)
{
    for (size_t i = 0; vm && i < vm->disk_count; i++)
        if (vm->disks[i].target && strcmp(vm->disks[i].target, target) == 0)
            return true;
    return false;
}

static bool
is_target_taken(const void *context, const char *target)
{
    const struct both *both = context;

    return has_target(both->live, target) || has_target(both->config, target);
}

static bool
choose_target(struct disk_device *device, const struct both *both, struct error **err)
{
    if (device->target[0] && is_target_taken(both, device->target))
        return error_param(err, "disk.target",
                           "is another disk's: leave it out, for the first "
                           "that is free");
    return disk_device_choose_target(device, is_target_taken, both) ||
           error_param(err, "disk", "is one too many for the bus '%s'", device->bus);
}

/* Neither QEMU nor libvirt 9.0 says it so that it helps. */
static bool
check_hot_plug(const struct disk_device *device, const struct both *both, const char *vm,
               struct error **err)
{
    const char *what = strcmp(device->bus, "sata") == 0 ? "a disk of bus 'sata'"
                       : device->description->image     ? NULL
                                                        : "an empty drive";

    if (!both->live || !what)
        return true;
    error_set(err, ERROR_WRONG_STATE,
              "VM '%s' runs: %s can only be given to its definition, with scope config", vm, what);
    error_data_text(err, "state", "running");
    return error_data_text(err, "needs", "a VM that is off, or scope config");
}

/* The side that has it says which target it has on the other one. */
static bool
place_disk(struct call *call, const struct both *both, struct error **err)
{
    const struct attach_disk_args *args = call->args;
    const struct disk_description *description = args->disk;
    struct attach_disk_state *state = call->state;
    struct disk_device *device = &state->device;
    const struct vm_disk *live = NULL, *config = NULL, *there;

    disk_device_init(device, description);
    if (description->image) {
        live = vm_disk_of_image(both->live, description->repository, description->image);
        config = vm_disk_of_image(both->config, description->repository, description->image);
    }
    there = live ? live : config;
    if (!leave_out(&state->change, both, live != NULL, config != NULL))
        return already("disk", there->target, args->change.vm.vm, err);
    if (there && strlen(there->target) < sizeof(device->target))
        (void)snprintf(device->target, sizeof(device->target), "%s", there->target);
    if (!live && !check_hot_plug(device, both, args->change.vm.vm, err))
        return false;
    if (!there && !choose_target(device, both, err))
        return false;
    state->change.device = xstrdup(device->target);
    return true;
}

static enum outcome
attach_disk_look(struct call *call)
{
    struct attach_disk_state *state = call->state;
    _cleanup_(vm_freep) struct vm *live = NULL;
    _cleanup_(vm_freep) struct vm *config = NULL;
    struct both both;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!change_look(call, &domain, &error) ||
        !change_read(call, state->places, &live, &config, &error))
        return vm_fail(call, error);
    both = (struct both){ live, config };
    if (!place_disk(call, &both, &error))
        return call_fail(call, error);
    return call_complete(call, "%s", state->device.target);
}

static bool
has_image(const struct call *call)
{
    const struct attach_disk_args *args = call->args;

    return args->disk->image != NULL;
}

static enum outcome
attach_disk_claim(struct call *call)
{
    struct attach_disk_state *state = call->state;
    struct error *error = NULL;

    if (!vm_disks_claim(&state->disks, call, state->change.use.uuid,
                        virDomainGetName(state->change.use.domain), &error))
        return call_fail(call, error);
    return call_complete(call, NULL);
}

static bool
attach_one_disk(struct call *call, virDomainPtr domain, unsigned affect, struct error **err)
{
    const struct attach_disk_args *args = call->args;
    struct attach_disk_state *state = call->state;
    _cleanup_free_ char *xml = device_xml_disk_text(&state->device);

    if (virDomainAttachDeviceFlags(domain, xml, affect) == 0) {
        state->may_be_known = true;
        return true;
    }
    virt_fail(err, domain, "cannot give '%s' the disk '%s'", args->change.vm.vm,
              state->device.target);
    if ((*err)->code == ERROR_BACKEND_UNAVAILABLE || (*err)->code == ERROR_TIMEOUT)
        state->may_be_known = true;
    return false;
}

static enum outcome
attach_disk_run(struct call *call)
{
    struct attach_disk_state *state = call->state;
    struct disk_device *device = &state->device;
    struct error *error = NULL;

    device->source = vm_disks_source(&state->disks, 0);
    device->direct = device->source && disk_source_is_direct(device->source);
    if (!disk_device_check(device, "disk", &error) ||
        !change_apply(call, state->change.use.domain, attach_one_disk, &error))
        return vm_fail(call, error);
    return call_complete(call, NULL);
}

/* Whichever way it ended. */
static enum outcome
attach_disk_settle(struct call *call)
{
    struct attach_disk_state *state = call->state;

    return call_complete(call, "%s", vm_disks_settle(&state->disks, state->may_be_known));
}

/* ---- vm.attachNetwork ---- */

struct attach_network_args {
    struct change_args change;
    struct network_description *network;
};

struct attach_network_state {
    struct change_use change;
    struct network_device device;
};

static enum outcome
attach_network_find(struct call *call)
{
    const struct attach_network_args *args = call->args;
    struct error *error = NULL;

    return network_description_check(args->network, "network", &error) ? vm_find(call)
                                                                       : call_fail(call, error);
}

static bool
has_mac(const struct vm *vm, const char *mac)
{
    return vm && vm_network_find(vm, mac);
}

static bool
is_mac_taken(const void *context, const char *mac)
{
    const struct both *both = context;

    return has_mac(both->live, mac) || has_mac(both->config, mac);
}

static unsigned
count_networks(const struct both *both)
{
    const struct vm *vm = both->live ? both->live : both->config;

    return vm ? (unsigned)vm->network_count : 0;
}

static enum outcome
attach_network_look(struct call *call)
{
    const struct attach_network_args *args = call->args;
    struct attach_network_state *state = call->state;
    _cleanup_(vm_freep) struct vm *live = NULL;
    _cleanup_(vm_freep) struct vm *config = NULL;
    struct network_device *device = &state->device;
    struct both both;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!change_look(call, &domain, &error) || !change_read(call, NULL, &live, &config, &error))
        return vm_fail(call, error);
    both = (struct both){ live, config };
    network_device_init(device, args->network);
    network_device_choose_mac(device, state->change.use.uuid, count_networks(&both), is_mac_taken,
                              &both);
    if (!leave_out(&state->change, &both, has_mac(live, device->mac),
                   has_mac(config, device->mac))) {
        (void)already("network", device->mac, args->change.vm.vm, &error);
        return call_fail(call, error);
    }
    state->change.device = xstrdup(device->mac);
    return call_complete(call, "%s", device->mac);
}

static bool
attach_one_network(struct call *call, virDomainPtr domain, unsigned affect, struct error **err)
{
    const struct attach_network_args *args = call->args;
    const struct attach_network_state *state = call->state;
    _cleanup_free_ char *xml = device_xml_network_text(&state->device);

    return virDomainAttachDeviceFlags(domain, xml, affect) == 0 ||
           virt_fail(err, domain, "cannot give '%s' the network card '%s'", args->change.vm.vm,
                     state->device.mac);
}

static enum outcome
attach_network_run(struct call *call)
{
    const struct attach_network_state *state = call->state;
    struct error *error = NULL;

    if (!change_apply(call, state->change.use.domain, attach_one_network, &error))
        return vm_fail(call, error);
    return call_complete(call, NULL);
}

const struct verb vm_attach_verbs[] = {
    {
        .name = "vm.attachDisk",
        .summary = "Give a virtual machine an image as a disk.",
        .description =
            "The image is marked as the VM's first. An image that the VM has is AlreadyExists, which names its target "
            "('id'); one that only what runs or only the definition has gets to the other too.",
        CHANGE_VERB_OF,
        .state_done = attach_disk_done,
        .errors = ERRORS(CHANGE_ERRORS, ERROR_ALREADY_EXISTS, ERROR_REPOSITORY_NOT_FOUND,
                         ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE,
                         ERROR_IMAGE_IMMUTABLE, ERROR_IMAGE_BROKEN, ERROR_NO_SPACE),
        .args_size = sizeof(struct attach_disk_args),
        .state_size = sizeof(struct attach_disk_state),
        .params =
            PARAMS(CHANGE_PARAMS(attach_disk_args),
                   PARAM(attach_disk_args, disk, "disk", .type = PARAM_RECORD, .required = true,
                         .members = disk_members, .member_size = sizeof(struct disk_description),
                         .about = "What it gets, as vm.define has it.")),
        .steps = STEPS(
            { "find VM and repository", attach_disk_find, .pool = POOL_LOOP },
            { "look", attach_disk_look, .pool = POOL_VIRT },
            { "claim the image", attach_disk_claim, .pool = POOL_REPOSITORY, .only_if = has_image },
            { "plug it in", attach_disk_run, .pool = POOL_VIRT },
            { "settle the image", attach_disk_settle, .pool = POOL_REPOSITORY, .only_if = has_image,
              .when = ALWAYS },
            { "tell", change_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.attachNetwork",
        .summary = "Give a virtual machine a network card.",
        .description =
            "Give its 'mac', so that a call that is sent again is AlreadyExists, and not a second card.",
        CHANGE_VERB,
        .errors = ERRORS(CHANGE_ERRORS, ERROR_ALREADY_EXISTS),
        .args_size = sizeof(struct attach_network_args),
        .state_size = sizeof(struct attach_network_state),
        .params = PARAMS(CHANGE_PARAMS(attach_network_args),
                         PARAM(attach_network_args, network, "network", .type = PARAM_RECORD,
                               .required = true, .members = network_members,
                               .member_size = sizeof(struct network_description),
                               .about = "What it gets, as vm.define has it.")),
        .steps = STEPS({ "find VM", attach_network_find, .pool = POOL_LOOP },
                       { "look", attach_network_look, .pool = POOL_VIRT },
                       { "plug it in", attach_network_run, .pool = POOL_VIRT },
                       { "tell", change_answer, .pool = POOL_LOOP }),
    },
    { 0 },
};
