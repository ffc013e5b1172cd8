/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.undefine: first libvirt forgets the VM, then its images' records of it go.
 */
#include <config.h>

#include <string.h>

#include "virt/virt.h"
#include "virt/vm-disks.h"
#include "virt/vm-steps.h"

#define GONE_WITHIN_MS 5000

struct undefine_args {
    struct vm_args vm;
    bool managed_save, snapshots, checkpoints, keep_running;
    const char *nvram;
};

struct undefine_state {
    struct vm_use use;
    struct vm_disks disks;
    bool runs; /* and goes on, as a transient one */
};

static void
undefine_done(struct call *call)
{
    struct undefine_state *state = call->state;

    vm_disks_done(&state->disks);
    vm_state_done(call);
}

static enum outcome
undefine_find(struct call *call)
{
    struct undefine_state *state = call->state;
    enum outcome outcome = vm_find(call);

    if (outcome != OUTCOME_COMPLETE)
        return outcome;
    vm_disks_add_named(&state->disks, call->context, state->use.entry->vm);
    vm_disks_set_lane(&state->disks, call);
    return outcome;
}

static bool
refuse(const char *vm, const char *has, const char *needs, struct error **err)
{
    error_set(err, ERROR_WRONG_STATE, "VM '%s' has %s: pass %s", vm, has, needs);
    error_data_text(err, "state", "it has %s", has);
    return error_data_text(err, "needs", "%s", needs);
}

/* Libvirt refuses these as well, but in words of its own, one after the other. */
static bool
check_keeping(const struct undefine_args *args, const struct vm *vm, virDomainPtr domain,
              struct error **err)
{
    if (!vm->persistent)
        return vm_refuse_state(vm, "a VM that is defined: vm.destroy ends it", err);
    if (vm->id >= 0 && !args->keep_running)
        return vm_refuse_state(vm, "a VM that is off, or 'keepRunning'", err);
    if (vm->saved && !args->managed_save)
        return refuse(vm->name, "its memory saved", "'managedSave' to drop it", err);
    if (!args->snapshots && virDomainSnapshotNum(domain, 0) > 0)
        return refuse(vm->name, "snapshots", "'snapshots' to forget them", err);
    if (!args->checkpoints && virDomainListAllCheckpoints(domain, NULL, 0) > 0)
        return refuse(vm->name, "checkpoints", "'checkpoints' to forget them", err);
    if (!args->nvram && strcmp(vm->firmware, "efi") == 0)
        return refuse(vm->name, "EFI variables", "'nvram': keep or remove", err);
    return true;
}

static unsigned
flags_of(const struct undefine_args *args)
{
    unsigned nvram = !args->nvram                         ? 0
                     : strcmp(args->nvram, "remove") == 0 ? VIR_DOMAIN_UNDEFINE_NVRAM
                                                          : VIR_DOMAIN_UNDEFINE_KEEP_NVRAM;

    return nvram | (args->managed_save ? VIR_DOMAIN_UNDEFINE_MANAGED_SAVE : 0) |
           (args->snapshots ? VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA : 0) |
           (args->checkpoints ? VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA : 0);
}

static enum outcome
undefine_run(struct call *call)
{
    const struct undefine_args *args = call->args;
    struct undefine_state *state = call->state;
    _cleanup_(vm_freep) struct vm *vm = NULL;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error) || !vm_now(call, &vm, &error) ||
        !check_keeping(args, vm, domain, &error))
        return call_fail(call, error);
    state->runs = vm->id >= 0;
    if (virDomainUndefineFlags(domain, flags_of(args)) < 0) {
        (void)virt_fail(&error, domain, "cannot undefine '%s'", args->vm.vm);
        return vm_fail(call, error);
    }
    return call_complete(call, state->runs ? "it runs on, until it ends" : NULL);
}

static bool
has_images_to_release(const struct call *call)
{
    const struct undefine_state *state = call->state;

    return state->disks.count > 0 && !state->runs;
}

static enum outcome
undefine_release(struct call *call)
{
    const struct undefine_state *state = call->state;

    vm_disks_release(&state->disks, call, state->use.uuid, NULL);
    return call_complete(call, "%zu image%s", state->disks.count,
                         state->disks.count == 1 ? "" : "s");
}

static enum outcome
undefine_answer(struct call *call)
{
    const struct undefine_state *state = call->state;
    const struct vm_entry *entry = state->use.entry;
    _cleanup_free_ char *key = vm_table_key(state->use.uuid);
    bool told = state->runs ? !entry->vm->persistent : entry->gone;
    struct writer *writer;

    if (!told && call_elapsed_ms(call) < GONE_WITHIN_MS)
        return call_wait(call, key, GONE_WITHIN_MS, "libvirt's event");
    writer = call_result(call);
    writer_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

#define FORGETS(member, name, text)                                                                \
    PARAM(undefine_args, member, name, .type = PARAM_BOOL, .about = text)

const struct verb vm_undefine_verbs[] = {
    {
        .name = "vm.undefine",
        .summary = "Let libvirt forget the description of a virtual machine.",
        .description =
            "Its images stay, and are nobody's disks any more. What would be lost with it has to be named: "
            "else it is WrongState.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct undefine_args),
        .params = PARAMS(VM_PARAM(undefine_args),
                         FORGETS(managed_save, "managedSave", "Drop its saved memory."),
                         FORGETS(snapshots, "snapshots",
                                 "Forget its snapshots; what they hold stays in images."),
                         FORGETS(checkpoints, "checkpoints",
                                 "Forget its checkpoints: the next backup is a full one."),
                         PARAM(undefine_args, nvram, "nvram", .type = PARAM_CHOICE,
                               .choices = CHOICES("keep", "remove"),
                               .about = "What is done with its EFI variables."),
                         FORGETS(keep_running, "keepRunning",
                                 "One that runs goes on, and is forgotten when it ends.")),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,
                         ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS({ "find VM", undefine_find, .pool = POOL_LOOP },
                       { "undefine", undefine_run, .pool = POOL_VIRT },
                       { "release images", undefine_release, .pool = POOL_REPOSITORY,
                         .only_if = has_images_to_release },
                       { "tell", undefine_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct undefine_state),
        .state_done = undefine_done,
        .object = vm_name_object,
    },
    { 0 },
};
