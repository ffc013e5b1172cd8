/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.detachDisk, vm.detachNetwork.
 *
 * The definition is changed first, which is done at once; then the guest is asked, which may take its time.  The
 * image's record goes when neither names it any more, be it after the call has given up waiting (virt/unplug.h).
 */
#include <config.h>

#include <libvirt/virterror.h>
#include <string.h>

#include "virt/places.h"
#include "virt/unplug.h"
#include "virt/virt.h"
#include "virt/vm-change.h"
#include "virt/vm-needs.h"

#define LOOK_EACH_MS 1000

struct detach_args {
    struct change_args change;
    char *device; /* as the caller names it; NULL: by the next two */
    char *repository, *image;
    int64_t timeout_s;
};

struct detach_state {
    struct change_use change;
    struct disk_places *places; /* owned */
    char *alias;                /* of what runs; owned, or NULL */
    char *config_xml;           /* of the definition; owned, or NULL */
    char *repository, *image;   /* of a disk that is one; owned, or NULL */
    struct unplug *unplug;      /* loop only */
    struct vm_needs needs;
    bool asked, let_go; /* the guest was, and has */
    bool knows_needs;   /* 'needs' is there */
};

static void
detach_done(struct call *call)
{
    struct detach_state *state = call->state;

    disk_places_free(TAKE(state->places));
    if (state->knows_needs)
        vm_needs_done(&state->needs);
    free(TAKE(state->alias));
    free(TAKE(state->config_xml));
    free(TAKE(state->repository));
    free(TAKE(state->image));
    change_state_done(call);
}

static enum outcome
detach_find(struct call *call)
{
    struct detach_state *state = call->state;
    const struct virt *virt = call->context;

    state->places = disk_places_new(virt->storage);
    return vm_find(call);
}

/* ---- what it is ---- */

static bool
check_names(const struct detach_args *args, struct error **err)
{
    if (args->device && !args->repository && !args->image)
        return true;
    if (!args->device && args->repository && args->image)
        return true;
    return error_param(err, "disk", "or 'repository' and 'image' must be given, not both");
}

static const struct vm_disk *
find_disk(const struct detach_args *args, const struct vm *vm)
{
    if (!vm)
        return NULL;
    return args->device ? vm_disk_find(vm, args->device)
                        : vm_disk_of_image(vm, args->repository, args->image);
}

static bool
is_missing(const struct detach_args *args, const char *kind, struct error **err)
{
    return virt_missing_device(err, args->change.vm.vm, kind,
                               args->device ? args->device : args->image);
}

/* Which is what libvirt is told to take out by; of drivers other than QEMU's not all give one. */
static bool
take_alias(struct detach_state *state, const char *alias, struct error **err)
{
    if (alias) {
        state->alias = xstrdup(alias);
        return true;
    }
    error_set(err, ERROR_WRONG_STATE,
              "libvirt has no alias for '%s' as it runs, to take it out by: take it from the "
              "definition, with scope config",
              state->change.device);
    error_data_text(err, "state", "running");
    return error_data_text(err, "needs", "a VM that is off, or scope config");
}

static bool
take_config_xml(virDomainPtr domain, struct detach_state *state, const struct device_key *key,
                struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    const struct xml_node *node;

    if (!change_find_device(domain, VIR_DOMAIN_XML_INACTIVE, key, &document, &node, err))
        return false;
    state->config_xml = xml_dump(node);
    return true;
}

static bool
look_for_disk(struct call *call, virDomainPtr domain, const struct vm *live,
              const struct vm *config, struct error **err)
{
    const struct detach_args *args = call->args;
    struct detach_state *state = call->state;
    const struct vm_disk *running = find_disk(args, live);
    /* The definition does not know aliases. */
    const struct vm_disk *defined = running && args->device && config
                                        ? vm_disk_find(config, running->target)
                                        : find_disk(args, config);
    const struct vm_disk *disk = running ? running : defined;
    struct device_key key = { "disk", "target", "dev", NULL };

    if (!disk)
        return is_missing(args, "disk", err);
    if (!vm_require_unsaved(domain, err))
        return false;
    state->change.live = running != NULL;
    state->change.config = defined != NULL;
    state->change.device = xstrdup(disk->target);
    if (running && !take_alias(state, running->alias, err))
        return false;
    if (disk->image) {
        state->repository = xstrdup(disk->repository);
        state->image = xstrdup(disk->image);
    }
    key.value = defined ? defined->target : NULL;
    return !defined || take_config_xml(domain, state, &key, err);
}

static bool
look_for_network(struct call *call, virDomainPtr domain, const struct vm *live,
                 const struct vm *config, struct error **err)
{
    const struct detach_args *args = call->args;
    struct detach_state *state = call->state;
    const struct vm_network *running = live ? vm_network_find(live, args->device) : NULL;
    /* The definition does not know vnet0. */
    const struct vm_network *defined =
        config ? vm_network_find(config, running ? running->mac : args->device) : NULL;
    const struct vm_network *network = running ? running : defined;
    struct device_key key = { "interface", "mac", "address", NULL };

    if (!network)
        return is_missing(args, "network", err);
    state->change.live = running != NULL;
    state->change.config = defined != NULL;
    state->change.device = xstrdup(network->mac);
    if (running && !take_alias(state, running->alias, err))
        return false;
    key.value = defined ? defined->mac : NULL;
    return !defined || take_config_xml(domain, state, &key, err);
}

typedef bool (*look_for)(struct call *call, virDomainPtr domain, const struct vm *live,
                         const struct vm *config, struct error **err);

static enum outcome
look(struct call *call, look_for find)
{
    const struct detach_state *state = call->state;
    _cleanup_(vm_freep) struct vm *live = NULL;
    _cleanup_(vm_freep) struct vm *config = NULL;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!change_look(call, &domain, &error) ||
        !change_read(call, state->places, &live, &config, &error))
        return vm_fail(call, error);
    if (!find(call, domain, live, config, &error))
        return call_fail(call, error);
    return call_complete(call, "%s", state->change.device);
}

static enum outcome
look_disk(struct call *call)
{
    struct error *error = NULL;

    return check_names(call->args, &error) ? look(call, look_for_disk) : call_fail(call, error);
}

static enum outcome
look_network(struct call *call)
{
    return look(call, look_for_network);
}

/* ---- listening ---- */

static enum outcome
detach_listen(struct call *call)
{
    struct detach_state *state = call->state;
    struct virt *virt = call->context;
    struct error *error = NULL;

    if (state->alias)
        state->unplug = unplug_begin(virt, state->change.use.uuid, state->alias);
    if (!state->image)
        return call_complete(call, NULL);
    state->knows_needs = true;
    if (!vm_needs_init(&state->needs, virt, state->change.use.uuid, state->repository, state->image,
                       &error))
        return call_fail(call, error);
    call_set_lane(call, POOL_REPOSITORY, &state->needs.repository->lane);
    return call_complete(call, NULL);
}

static enum outcome
detach_end(struct call *call)
{
    struct detach_state *state = call->state;

    unplug_end(TAKE(state->unplug), state->asked && !state->let_go, state->repository,
               state->image);
    return call_complete(call, NULL);
}

/* ---- taking it out ---- */

static bool
is_of_config(const struct call *call)
{
    const struct detach_state *state = call->state;

    return state->change.config;
}

static bool
is_of_live(const struct call *call)
{
    const struct detach_state *state = call->state;

    return state->change.live;
}

static enum outcome
detach_config(struct call *call)
{
    const struct detach_args *args = call->args;
    struct detach_state *state = call->state;
    virDomainPtr domain = state->change.use.domain;
    struct error *error = NULL;

    if (virDomainDetachDeviceFlags(domain, state->config_xml, VIR_DOMAIN_AFFECT_CONFIG) < 0) {
        (void)virt_fail(&error, domain, "cannot take '%s' from the definition of '%s'",
                        state->change.device, args->change.vm.vm);
        return vm_fail(call, error);
    }
    state->change.config_done = true;
    return call_complete(call, NULL);
}

/* Of a caller that must not think that nothing has happened. */
static enum outcome
fail_half(struct call *call, struct error *error)
{
    const struct detach_state *state = call->state;

    if (state->change.config_done && error->code != ERROR_BUSY)
        (void)error_data_json(&error, "done", "[\"config\"]");
    return vm_fail(call, error);
}

static enum outcome
detach_live(struct call *call)
{
    const struct detach_args *args = call->args;
    struct detach_state *state = call->state;
    virDomainPtr domain = state->change.use.domain;
    struct error *error = NULL;

    state->asked = true;
    if (virDomainDetachDeviceAlias(domain, state->alias, VIR_DOMAIN_AFFECT_LIVE) == 0)
        return call_complete(call, NULL);
    if (virGetLastErrorCode() == VIR_ERR_DEVICE_MISSING)
        return call_complete(call, "it is gone");
    /* QEMU's words; its answer to the first has no limit in time. */
    if (strstr(virt_words(), "already in the process of unplug"))
        return call_complete(call, "it has been asked before");
    state->asked = false;
    (void)virt_fail(&error, domain, "cannot take '%s' out of '%s'", state->change.device,
                    args->change.vm.vm);
    return fail_half(call, error);
}

static bool
has_alias(const struct vm *vm, const char *alias)
{
    for (size_t i = 0; i < vm->disk_count; i++)
        if (vm->disks[i].alias && strcmp(vm->disks[i].alias, alias) == 0)
            return true;
    for (size_t i = 0; i < vm->network_count; i++)
        if (vm->networks[i].alias && strcmp(vm->networks[i].alias, alias) == 0)
            return true;
    return false;
}

/* Nor is it there when the VM is not, or is off: its definition is what is read then, which has aliases too, those
   that a caller of libvirt's gave. */
static bool
look_whether_gone(struct call *call, bool *ret_gone, struct error **err)
{
    const struct detach_state *state = call->state;
    virDomainPtr domain = state->change.use.domain;
    _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, 0);
    _cleanup_(vm_freep) struct vm *vm = NULL;

    if (!xml && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN) {
        *ret_gone = true;
        return true;
    }
    if (!xml)
        return virt_fail(err, domain, "cannot read the description of a VM");
    if (!vm_parse(xml, &vm, err))
        return false;
    *ret_gone = vm->id < 0 || !has_alias(vm, state->alias);
    return true;
}

static void
refuse(const struct detach_state *state, struct error **error)
{
    error_set(error, ERROR_WRONG_STATE, "the guest does not let go of '%s'", state->change.device);
    error_data_text(error, "state", "the guest has refused");
    error_data_text(error, "needs", "a guest that lets go of it, or a VM that is off");
}

static enum outcome
detach_wait(struct call *call)
{
    const struct detach_args *args = call->args;
    struct detach_state *state = call->state;
    int64_t left_ms = args->timeout_s * 1000 - call_elapsed_ms(call);
    _cleanup_free_ char *key = vm_table_key(state->change.use.uuid);
    struct error *error = NULL;
    bool gone = false;

    if (!look_whether_gone(call, &gone, &error))
        return fail_half(call, error);
    if (gone) {
        state->let_go = state->change.live_done = true;
        return call_complete(call, NULL);
    }
    if (atomic_load(&state->unplug->refused)) {
        state->let_go = true; /* nothing will come of it */
        refuse(state, &error);
        return fail_half(call, error);
    }
    if (call_aborted(call)) {
        error_set(&error, ERROR_TASK_ABORTED, "the guest was asked to let go of '%s', and may yet",
                  state->change.device);
        return fail_half(call, error);
    }
    if (left_ms > 0)
        return call_wait(call, key, (uint64_t)(left_ms < LOOK_EACH_MS ? left_ms : LOOK_EACH_MS),
                         "the guest");
    error_set(&error, ERROR_TIMEOUT,
              "the guest has not let go of '%s' within %lld seconds: it may yet, and vm.changed "
              "tells (device-removed)",
              state->change.device, (long long)args->timeout_s);
    return fail_half(call, error);
}

/* ---- the image's record ---- */

static bool
has_image(const struct call *call)
{
    const struct detach_state *state = call->state;

    return state->knows_needs;
}

static enum outcome
detach_release(struct call *call)
{
    const struct detach_state *state = call->state;

    return vm_needs_release_step(call, &state->needs);
}

#define TIMEOUT_PARAM                                                                              \
    PARAM(detach_args, timeout_s, "timeout", .type = PARAM_INTEGER, .minimum = 1, .maximum = 3600, \
          .fallback = "20",                                                                        \
          .about = "Seconds that a running guest has to let go of it. After a Timeout it may "     \
                   "yet.")
#define DETACH_VERB                                                                                \
    .role = ROLE_OPERATOR, .kind = VERB_CHANGES, .result = &vm_changed_shape,                      \
    .object = vm_name_object, .state_done = detach_done, .args_size = sizeof(struct detach_args),  \
    .state_size = sizeof(struct detach_state)

const struct verb vm_detach_verbs[] = {
    {
        .name = "vm.detachDisk",
        .summary = "Take a disk out of a virtual machine, by its target or its image.",
        .description =
            "The definition is changed at once; what runs when the guest lets go of the disk, which is waited for. "
            "The image can be used otherwise when neither has it.",
        DETACH_VERB,
        .errors = ERRORS(CHANGE_ERRORS, ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE),
        .params = PARAMS(
            CHANGE_PARAMS(detach_args),
            PARAM(detach_args, device, "disk", .type = PARAM_TEXT, .minimum = 1, .maximum = 255,
                  .about = "Its target (vdb), serial number or libvirt's alias."),
            PARAM(detach_args, repository, "repository", .type = PARAM_NAME,
                  .about = "Instead of 'disk', with 'image': the repository of its image."),
            PARAM(detach_args, image, "image", .type = PARAM_NAME,
                  .about = "Instead of 'disk', with 'repository': its image."),
            TIMEOUT_PARAM),
        .steps = STEPS(
            { "find VM", detach_find, .pool = POOL_LOOP }, { "look", look_disk, .pool = POOL_VIRT },
            { "listen", detach_listen, .pool = POOL_LOOP },
            { "change the definition", detach_config, .pool = POOL_VIRT, .only_if = is_of_config },
            { "ask the guest", detach_live, .pool = POOL_VIRT, .only_if = is_of_live },
            { "wait for the guest", detach_wait, .pool = POOL_VIRT, .only_if = is_of_live },
            { "release the image", detach_release, .pool = POOL_REPOSITORY, .only_if = has_image },
            { "stop listening", detach_end, .pool = POOL_LOOP, .when = ALWAYS },
            { "tell", change_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.detachNetwork",
        .summary = "Take a network card out of a virtual machine.",
        DETACH_VERB,
        .errors = ERRORS(CHANGE_ERRORS),
        .params = PARAMS(CHANGE_PARAMS(detach_args),
                         PARAM(detach_args, device, "network", .type = PARAM_TEXT, .required = true,
                               .minimum = 1, .maximum = 255,
                               .about = "Its MAC address, or its device on this host (vnet0)."),
                         TIMEOUT_PARAM),
        .steps = STEPS(
            { "find VM", detach_find, .pool = POOL_LOOP },
            { "look", look_network, .pool = POOL_VIRT },
            { "listen", detach_listen, .pool = POOL_LOOP },
            { "change the definition", detach_config, .pool = POOL_VIRT, .only_if = is_of_config },
            { "ask the guest", detach_live, .pool = POOL_VIRT, .only_if = is_of_live },
            { "wait for the guest", detach_wait, .pool = POOL_VIRT, .only_if = is_of_live },
            { "stop listening", detach_end, .pool = POOL_LOOP, .when = ALWAYS },
            { "tell", change_answer, .pool = POOL_LOOP }),
    },
    { 0 },
};
