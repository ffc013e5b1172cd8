/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.define, vm.create.
 *
 * What lasts is libvirt's definition and the records beside the images (virt/vm-disks.h), in this order:
 * the records first, then the definition; to undefine (virt/vm-undefine-verbs.c), the reverse.  So at each
 * moment every image that a definition names says so itself, and a kill leaves at most a record too many,
 * which is judged.
 */
#include <config.h>

#include <libvirt/virterror.h>
#include <string.h>

#include "virt/domain-xml.h"
#include "virt/virt.h"
#include "virt/vm-make.h"

#define XML_SIZE_MAX (256 * 1024)
#define TOLD_WITHIN_MS 5000

#define DEFINE_ERRORS                                                                              \
    ERRORS(ERROR_ALREADY_EXISTS, ERROR_FORBIDDEN, ERROR_REPOSITORY_NOT_FOUND,                      \
           ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE,                \
           ERROR_IMAGE_IMMUTABLE, ERROR_IMAGE_BROKEN, ERROR_WRONG_STATE, ERROR_NO_SPACE,           \
           ERROR_BUSY, ERROR_TIMEOUT, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED)

struct define_args {
    struct make_args make;
    bool replace, autostart;
};

struct create_args {
    struct make_args make;
    bool paused;
};

static void
make_done(struct call *call)
{
    struct make_state *state = call->state;

    vm_disks_done(&state->disks);
    vm_disks_done(&state->old);
    disk_places_free(TAKE(state->places));
    platform_done(&state->platform);
    vm_free(TAKE(state->made));
    free(TAKE(state->name));
    vm_state_done(call);
}

static void
name_object(const void *args, struct object_name *ret_object)
{
    const struct make_args *make = args;

    *ret_object = (struct object_name){ .kind = "vm", .id = make->description.name };
}

/* ---- what it is to be ---- */

static bool
find_disks(const struct call *call, struct error **err)
{
    const struct make_args *args = call->args;
    const struct disk_description *descriptions = args->description.disks.all;
    struct make_state *state = call->state;
    struct virt *virt = call->context;

    if (args->xml)
        state->places = disk_places_new(virt->storage);
    for (size_t i = 0; i < args->description.disks.count; i++)
        if (!vm_disks_add(&state->disks, virt, descriptions[i].repository, descriptions[i].image,
                          disk_description_access(&descriptions[i]), err))
            return error_wrap(err, "disk %zu of VM '%s'", i, state->name);
    if (state->use.entry && state->use.entry->vm->state == VM_SHUTOFF)
        vm_disks_add_named(&state->old, virt, state->use.entry->vm);
    return true;
}

static enum outcome
prepare(struct call *call, bool replace)
{
    struct make_state *state = call->state;
    struct virt *virt = call->context;
    struct error *error = NULL;

    if (!make_identify(call, replace, &error) ||
        !virt_connection_get(virt, &state->use.connect, &error) || !find_disks(call, &error))
        return call_fail(call, error);
    if (!state->use.uuid[0])
        uuid_make(state->use.uuid);
    call_set_lane(call, POOL_VIRT, state->use.entry ? &state->use.entry->lane : &virt->others);
    vm_disks_set_lane(&state->disks, call);
    return call_complete(call, "%s", state->use.uuid);
}

static enum outcome
define_prepare(struct call *call)
{
    const struct define_args *args = call->args;

    return prepare(call, args->replace);
}

static enum outcome
create_prepare(struct call *call)
{
    return prepare(call, false);
}

/* ---- its images ---- */

static bool
is_typed(const struct call *call)
{
    const struct make_args *args = call->args;

    return !args->xml;
}

static bool
may_have_disks(const struct call *call)
{
    const struct make_state *state = call->state;

    return state->places || state->disks.count > 0;
}

static bool
has_images(const struct call *call)
{
    const struct make_state *state = call->state;

    return state->disks.count > 0 || state->old.count > 0;
}

static bool
find_disks_of_xml(const struct call *call, struct error **err)
{
    const struct make_args *args = call->args;
    struct make_state *state = call->state;
    _cleanup_(vm_freep) struct vm *vm = NULL;

    if (!vm_parse(args->xml, &vm, err))
        return false;
    vm_disks_add_found(&state->disks, state->places, vm);
    return true;
}

static enum outcome
make_claim(struct call *call)
{
    const struct make_args *args = call->args;
    struct make_state *state = call->state;
    struct error *error = NULL;

    if ((args->xml && !find_disks_of_xml(call, &error)) ||
        !vm_disks_claim(&state->disks, call, state->use.uuid, state->name, &error))
        return call_fail(call, error);
    return call_complete(call, "%zu image%s", state->disks.count,
                         state->disks.count == 1 ? "" : "s");
}

/* Whichever way it ended. */
static enum outcome
make_settle(struct call *call)
{
    struct make_state *state = call->state;

    const char *word = vm_disks_settle(&state->disks, state->may_be_known);

    if (state->may_be_known && !call_error(call))
        vm_disks_release(&state->old, call, state->use.uuid, &state->disks);
    return call_complete(call, "%s", word);
}

/* ---- libvirt ---- */

static enum outcome
make_look(struct call *call)
{
    const struct make_args *args = call->args;
    struct make_state *state = call->state;
    struct error *error = NULL;

    if (!platform_read(state->use.connect, &args->description, &state->platform, &error))
        return call_fail(call, error);
    return call_complete(call, "%s, %s", state->platform.virtualization,
                         state->platform.machine ? state->platform.machine : "no machine type");
}

static bool
check_cache(const struct disk_device *disk, size_t n, struct error **err)
{
    _cleanup_free_ char *place = xprintf("disks[%zu]", n);

    return disk_device_check(disk, place, err);
}

static bool
place_disks(const struct call *call, struct disk_device *devices, struct error **err)
{
    const struct make_args *args = call->args;
    const struct make_state *state = call->state;
    const struct disk_description *descriptions = args->description.disks.all;

    for (size_t i = 0; i < args->description.disks.count; i++) {
        disk_device_init(&devices[i], &descriptions[i]);
        devices[i].source = vm_disks_source(&state->disks, i);
        devices[i].direct = devices[i].source && disk_source_is_direct(devices[i].source);
        if (!check_cache(&devices[i], i, err))
            return false;
    }
    return disk_devices_choose_targets(devices, args->description.disks.count, err);
}

/* To be freed. */
static bool
build_xml(const struct call *call, char **ret_xml, struct error **err)
{
    const struct make_args *args = call->args;
    const struct vm_description *description = &args->description;
    const struct network_description *cards = description->networks.all;
    const struct make_state *state = call->state;
    size_t disk_count = description->disks.count, network_count = description->networks.count;
    _cleanup_free_ struct disk_device *disks = xalloc((disk_count + 1) * sizeof(*disks));
    _cleanup_free_ struct network_device *networks =
        xalloc((network_count + 1) * sizeof(*networks));
    struct domain_plan plan = { .description = description,
                                .platform = &state->platform,
                                .uuid = state->use.uuid,
                                .disks = disks,
                                .networks = networks,
                                .disk_count = disk_count,
                                .network_count = network_count };
    char random[UUID_TEXT_SIZE];

    if (!place_disks(call, disks, err))
        return false;
    for (size_t i = 0; i < network_count; i++)
        network_device_init(&networks[i], &cards[i]);
    network_devices_choose_macs(networks, network_count, state->use.uuid);
    devices_choose_boot_orders(disks, disk_count, networks, network_count);
    disk_devices_spread(disks, disk_count,
                        description->tuning ? description->tuning->io_threads : 0);
    uuid_make(random);
    memcpy(plan.console_password, random, CONSOLE_PASSWORD_SIZE - 1);
    *ret_xml = domain_xml(&plan);
    return true;
}

/* Two calls of one UUID may both have found none: libvirt would take the second as a change of the first. */
static bool
require_absent(const struct make_state *state, struct error **err)
{
    virDomainPtr present = virDomainLookupByUUIDString(state->use.connect, state->use.uuid);

    if (!present)
        return true;
    (void)virDomainFree(present);
    error_set(err, ERROR_ALREADY_EXISTS, "there is a VM with the UUID %s", state->use.uuid);
    error_data_text(err, "kind", "vm");
    return error_data_text(err, "id", "%s", state->use.uuid);
}

static bool
get_xml(const struct call *call, char **ret_xml, struct error **err)
{
    const struct make_args *args = call->args;
    const struct make_state *state = call->state;

    if (!state->use.entry && !require_absent(state, err))
        return false;
    if (!args->xml)
        return build_xml(call, ret_xml, err);
    *ret_xml = xstrdup(args->xml);
    return true;
}

/* The caller's own mistake, and no failure of libvirt's. */
static bool
is_fault_of_xml(const struct call *call)
{
    const struct make_args *args = call->args;
    int code = virGetLastErrorCode();

    return args->xml && (code == VIR_ERR_XML_ERROR || code == VIR_ERR_XML_DETAIL ||
                         code == VIR_ERR_XML_INVALID_SCHEMA);
}

/* Not told by libvirt that it has refused, it may have taken it. */
static enum outcome
refused(struct call *call, const char *doing)
{
    struct make_state *state = call->state;
    struct error *error = NULL;

    if (is_fault_of_xml(call))
        error_param(&error, "xml", "is refused by libvirt: %s", virt_words());
    else
        virt_fail_connect(&error, state->use.connect, "cannot %s VM '%s'", doing, state->name);
    state->may_be_known = state->use.entry || error->code == ERROR_BACKEND_UNAVAILABLE ||
                          error->code == ERROR_TIMEOUT;
    return vm_fail(call, error);
}

static enum outcome
made(struct call *call)
{
    struct make_state *state = call->state;
    _cleanup_(error_freep) struct error *ignored = NULL;

    state->may_be_known = true;
    if (!vm_read(state->use.domain, &state->made, &ignored))
        return call_complete(call, "%s", ignored->message);
    return call_complete(call, NULL);
}

static enum outcome
define_run(struct call *call)
{
    const struct define_args *args = call->args;
    struct make_state *state = call->state;
    _cleanup_free_ char *xml = NULL;
    struct error *error = NULL;

    if (!get_xml(call, &xml, &error))
        return call_fail(call, error);
    state->use.domain = virDomainDefineXMLFlags(state->use.connect, xml,
                                                args->make.xml ? VIR_DOMAIN_DEFINE_VALIDATE : 0);
    if (!state->use.domain)
        return refused(call, "define");
    state->may_be_known = true;
    if (virDomainSetAutostart(state->use.domain, args->autostart) < 0 && args->autostart) {
        (void)virt_fail(&error, state->use.domain,
                        "VM '%s' is defined, but is not started with the host", state->name);
        return call_fail(call, error);
    }
    return made(call);
}

static enum outcome
create_run(struct call *call)
{
    const struct create_args *args = call->args;
    struct make_state *state = call->state;
    unsigned flags = (args->paused ? VIR_DOMAIN_START_PAUSED : 0) |
                     (args->make.xml ? VIR_DOMAIN_START_VALIDATE : 0);
    _cleanup_free_ char *xml = NULL;
    struct error *error = NULL;

    if (!get_xml(call, &xml, &error))
        return call_fail(call, error);
    state->use.domain = virDomainCreateXML(state->use.connect, xml, flags);
    return state->use.domain ? made(call) : refused(call, "create");
}

/* ---- answering ---- */

/* Until libvirt's event has brought it into the table.  One that has ended before anybody looked is answered as
   it was read. */
static bool
is_told(struct call *call)
{
    struct make_state *state = call->state;
    struct vm_entry *entry = state->use.entry;

    if (!entry && (entry = vm_table_find_uuid(call->context, state->use.uuid)))
        state->use.entry = vm_entry_ref(entry);
    return entry != NULL;
}

static enum outcome
wait_until_told(struct call *call)
{
    const struct make_state *state = call->state;
    _cleanup_free_ char *key = vm_table_key(state->use.uuid);
    struct error *error = NULL;

    if (call_elapsed_ms(call) < TOLD_WITHIN_MS)
        return call_wait(call, key, TOLD_WITHIN_MS, "libvirt's event");
    if (state->made) {
        vm_write(state->made, NULL, call_result(call));
        return call_complete(call, "as it was");
    }
    error_set(&error, ERROR_BACKEND_FAILED, "libvirt has taken VM '%s', but does not tell of it",
              state->name);
    error_data_text(&error, "backend", "libvirt");
    return call_fail(call, error);
}

static enum outcome
define_answer(struct call *call)
{
    return is_told(call) ? vm_answer_fresh(call) : wait_until_told(call);
}

static enum outcome
create_answer(struct call *call)
{
    const struct create_args *args = call->args;

    return is_told(call)
               ? vm_answer_state(call, args->paused ? VM_BIT(VM_PAUSED)
                                                    : VM_BIT(VM_RUNNING) | VM_BIT(VM_CRASHED))
               : wait_until_told(call);
}

#define XML_PARAM(args_type)                                                                       \
    PARAM(args_type, make.xml, "xml", .type = PARAM_TEXT, .minimum = 1, .maximum = XML_SIZE_MAX,   \
          .about = "All of it as libvirt's XML, with <name> and <uuid>, in place of the "          \
                   "parameters above (admin).")

const struct verb vm_define_verbs[] = {
    {
        .name = "vm.define",
        .summary = "Describe a virtual machine, to be started whenever it is wanted.",
        .description =
            "Its images say from then on whose disks they are, and cannot be changed, removed or given to "
            "another VM. What is not given is chosen so that guests of today run well. Sent again, it is "
            "AlreadyExists, unless 'replace' is given; one that runs goes on as it is until it is started "
            "anew.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct define_args),
        .params =
            PARAMS(VM_DESCRIPTION_PARAMS(define_args, make.description), XML_PARAM(define_args),
                   PARAM(define_args, replace, "replace", .type = PARAM_BOOL,
                         .about = "Take the place of the VM of this name, if there is one."),
                   PARAM(define_args, autostart, "autostart", .type = PARAM_BOOL,
                         .about = "Start it with the host.")),
        .result = &vm_shape,
        .errors = DEFINE_ERRORS,
        .steps = STEPS(
            { "check", define_prepare, .pool = POOL_LOOP },
            { "see what the host can do", make_look, .pool = POOL_VIRT, .only_if = is_typed },
            { "claim images", make_claim, .pool = POOL_REPOSITORY, .only_if = may_have_disks },
            { "define", define_run, .pool = POOL_VIRT },
            { "let go of images", make_settle, .pool = POOL_REPOSITORY, .when = ALWAYS,
              .only_if = has_images },
            { "tell", define_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct make_state),
        .state_done = make_done,
        .object = name_object,
    },
    {
        .name = "vm.create",
        .summary = "Start a virtual machine that is forgotten when it ends.",
        .description =
            "As vm.define and vm.start, but libvirt keeps no description of it: its images are "
            "free again when it has ended.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct create_args),
        .params =
            PARAMS(VM_DESCRIPTION_PARAMS(create_args, make.description), XML_PARAM(create_args),
                   PARAM(create_args, paused, "paused", .type = PARAM_BOOL,
                         .about = "Let its CPUs wait for vm.resume.")),
        .result = &vm_shape,
        .errors = DEFINE_ERRORS,
        .steps = STEPS(
            { "check", create_prepare, .pool = POOL_LOOP },
            { "see what the host can do", make_look, .pool = POOL_VIRT, .only_if = is_typed },
            { "claim images", make_claim, .pool = POOL_REPOSITORY, .only_if = may_have_disks },
            { "start", create_run, .pool = POOL_VIRT },
            { "let go of images", make_settle, .pool = POOL_REPOSITORY, .when = ALWAYS,
              .only_if = has_images },
            { "tell", create_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct make_state),
        .state_done = make_done,
        .object = name_object,
    },
    { 0 },
};
