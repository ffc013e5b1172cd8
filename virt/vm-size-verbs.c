/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory and how many cpus a VM has: now, and at most.  The most is fixed while it runs.
 */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "virt/vm-change.h"
#include "virt/virt.h"

#define MEMORY_MIN (INT64_C(1) << 20)
#define MEMORY_MAX (INT64_C(1) << 50)
#define KIB 1024
#define CPUS_MAX 4096
/* A guest's kernel finds a new cpu some 10 ms later, an emulated one on a busy host in a second. */
#define GUEST_SEES_WITHIN_MS 10000
#define GUEST_LOOKS_EACH_MS 100

/* The most is given, which only a definition takes. */
static bool
require_config(const struct call *call, struct error **err)
{
    const struct change_args *args = call->args;
    const struct change_use *state = call->state;

    if (state->config)
        return true;
    error_set(err, ERROR_WRONG_STATE,
              "'%s' cannot be given another maximum while it runs: change its definition, if it "
              "has one, with scope config",
              args->vm.vm);
    error_data_text(err, "state", "running");
    return error_data_text(err, "needs", "a VM that is defined, and scope config or both");
}

/* ---- vm.setMemory ---- */

struct memory_args {
    struct change_args change;
    uint64_t memory, max_memory;
    bool has_memory, has_max_memory;
};

static bool
check_memory_against(const struct memory_args *args, const struct vm *vm, uint64_t max,
                     const char *which, struct error **err)
{
    if (!vm || !args->has_memory || args->memory <= max)
        return true;
    error_param(err, "memory", "is more than the %" PRIu64 " bytes that %s may have at most", max,
                which);
    return error_data_number(err, "max", (int64_t)max);
}

static bool
check_memory_args(const struct memory_args *args, struct error **err)
{
    if (!args->has_memory && !args->has_max_memory)
        return error_param(err, "memory", "is missing: give it, or 'maxMemory', or both");
    if (args->memory % KIB)
        return error_param(err, "memory", "must be a multiple of 1024 bytes");
    if (args->max_memory % KIB)
        return error_param(err, "maxMemory", "must be a multiple of 1024 bytes");
    return true;
}

static bool
look_memory(struct call *call, virDomainPtr *ret_domain, struct error **err)
{
    const struct memory_args *args = call->args;
    struct change_use *state = call->state;
    _cleanup_(vm_freep) struct vm *live = NULL;
    _cleanup_(vm_freep) struct vm *config = NULL;

    if (!check_memory_args(args, err) || !change_look(call, ret_domain, err))
        return false;
    if (args->has_max_memory && !require_config(call, err))
        return false;
    state->live = state->live && args->has_memory;
    if (!change_read(call, NULL, &live, &config, err))
        return false;
    return check_memory_against(args, live, live ? live->memory_max : 0, "the VM as it runs",
                                err) &&
           check_memory_against(args, config,
                                args->has_max_memory ? args->max_memory
                                : config             ? config->memory_max
                                                     : 0,
                                "its definition", err);
}

static bool
apply_memory(struct call *call, virDomainPtr domain, unsigned affect, struct error **err)
{
    const struct memory_args *args = call->args;
    const char *vm = args->change.vm.vm;

    if (affect == VIR_DOMAIN_AFFECT_CONFIG && args->has_max_memory &&
        virDomainSetMemoryFlags(domain, args->max_memory / KIB, affect | VIR_DOMAIN_MEM_MAXIMUM) <
            0)
        return virt_fail(err, domain, "cannot set the maximum memory of '%s'", vm);
    if (args->has_memory && virDomainSetMemoryFlags(domain, args->memory / KIB, affect) < 0)
        return virt_fail(err, domain, "cannot set the memory of '%s'", vm);
    return true;
}

static enum outcome
memory_run(struct call *call)
{
    struct error *error = NULL;
    virDomainPtr domain;

    if (!look_memory(call, &domain, &error) || !change_apply(call, domain, apply_memory, &error))
        return vm_fail(call, error);
    return call_complete(call, NULL);
}

/* ---- vm.setCpus ---- */

struct cpus_args {
    struct change_args change;
    int64_t cpus, max_cpus; /* 0: not given */
    bool online;
};

static bool
check_cpus_against(const struct cpus_args *args, const struct vm *vm, uint64_t max,
                   const char *which, struct error **err)
{
    if (!vm || (uint64_t)args->cpus <= max)
        return true;
    error_param(err, "cpus", "is more than the %" PRIu64 " that %s may have at most", max, which);
    return error_data_number(err, "max", (int64_t)max);
}

static bool
look_cpus(struct call *call, virDomainPtr *ret_domain, struct error **err)
{
    const struct cpus_args *args = call->args;
    struct change_use *state = call->state;
    _cleanup_(vm_freep) struct vm *live = NULL;
    _cleanup_(vm_freep) struct vm *config = NULL;

    if (!args->cpus && !args->max_cpus)
        return error_param(err, "cpus", "is missing: give it, or 'maxCpus', or both");
    if (!change_look(call, ret_domain, err))
        return false;
    if (args->max_cpus && !require_config(call, err))
        return false;
    state->live = state->live && args->cpus;
    if (!change_read(call, NULL, &live, &config, err))
        return false;
    return check_cpus_against(args, live, live ? live->cpus_max : 0, "the VM as it runs", err) &&
           check_cpus_against(args, config,
                              args->max_cpus ? (uint64_t)args->max_cpus
                              : config       ? config->cpus_max
                                             : 0,
                              "its definition", err);
}

static bool
apply_cpus(struct call *call, virDomainPtr domain, unsigned affect, struct error **err)
{
    const struct cpus_args *args = call->args;
    const char *vm = args->change.vm.vm;

    if (affect == VIR_DOMAIN_AFFECT_CONFIG && args->max_cpus &&
        virDomainSetVcpusFlags(domain, (unsigned)args->max_cpus, affect | VIR_DOMAIN_VCPU_MAXIMUM) <
            0)
        return virt_fail(err, domain, "cannot set the maximum number of cpus of '%s'", vm);
    if (args->cpus && virDomainSetVcpusFlags(domain, (unsigned)args->cpus, affect) < 0)
        return virt_fail(err, domain, "cannot set the number of cpus of '%s'", vm);
    return true;
}

static enum outcome
cpus_run(struct call *call)
{
    struct error *error = NULL;
    virDomainPtr domain;

    if (!look_cpus(call, &domain, &error) || !change_apply(call, domain, apply_cpus, &error))
        return vm_fail(call, error);
    return call_complete(call, NULL);
}

static bool
is_to_be_online(const struct call *call)
{
    const struct cpus_args *args = call->args;
    const struct change_use *state = call->state;

    return args->online && args->cpus && state->live_done;
}

/* A guest may leave new ones idle until somebody tells it to use them. */
static enum outcome
online_run(struct call *call)
{
    const struct cpus_args *args = call->args;
    const struct change_use *state = call->state;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return vm_fail(call, error);
    if (virDomainSetVcpusFlags(domain, (unsigned)args->cpus,
                               VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_VCPU_GUEST) >= 0)
        return call_complete(call, NULL);
    (void)virt_fail(&error, domain, "the VM has its cpus, but its guest was not told to use them");
    if (!strstr(error->message, "less cpu than requested") ||
        call_elapsed_ms(call) > GUEST_SEES_WITHIN_MS || call_aborted(call)) {
        if (error->code != ERROR_BUSY)
            (void)error_data_json(&error, "done",
                                  state->config_done ? "[\"live\",\"config\"]" : "[\"live\"]");
        return vm_fail(call, error);
    }
    error_free(error);
    return call_retry(call, GUEST_LOOKS_EACH_MS, "the guest has not seen its new cpus yet");
}

const struct verb vm_size_verbs[] = {
    {
        .name = "vm.setMemory",
        .summary = "Change how much memory a virtual machine has, or may have at most.",
        .description =
            "Of a VM that runs 'memory' is what its balloon driver leaves to the guest: the guest follows "
            "at its leisure, and vm.status tells how far it is. 'maxMemory' takes effect at the next start.",
        CHANGE_VERB,
        .errors = ERRORS(CHANGE_ERRORS),
        .args_size = sizeof(struct memory_args),
        .state_size = sizeof(struct change_use),
        .params = PARAMS(
            CHANGE_PARAMS(memory_args),
            PARAM(memory_args, memory, "memory", .type = PARAM_SIZE, .minimum = MEMORY_MIN,
                  .maximum = MEMORY_MAX, .present = PRESENT(memory_args, has_memory),
                  .about = "What the guest is to have, in bytes; a multiple of 1024."),
            PARAM(memory_args, max_memory, "maxMemory", .type = PARAM_SIZE, .minimum = MEMORY_MIN,
                  .maximum = MEMORY_MAX, .present = PRESENT(memory_args, has_max_memory),
                  .about = "What it may have at most, in bytes, from its next start on.")),
        .steps = STEPS(VM_FIND_STEP, { "set the memory", memory_run, .pool = POOL_VIRT },
                       { "tell", change_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.setCpus",
        .summary = "Change how many cpus a virtual machine has, or may have at most.",
        .description =
            "More cpus are plugged into a VM that runs at once; fewer need a guest that lets them go, and can only be "
            "those that were plugged in while it ran. 'maxCpus' takes effect at the next start.",
        CHANGE_VERB,
        .errors = ERRORS(CHANGE_ERRORS),
        .args_size = sizeof(struct cpus_args),
        .state_size = sizeof(struct change_use),
        .params = PARAMS(
            CHANGE_PARAMS(cpus_args),
            PARAM(cpus_args, cpus, "cpus", .type = PARAM_INTEGER, .minimum = 1, .maximum = CPUS_MAX,
                  .about = "How many it is to have."),
            PARAM(cpus_args, max_cpus, "maxCpus", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = CPUS_MAX,
                  .about = "How many it may have at most, from its next start on."),
            PARAM(cpus_args, online, "online", .type = PARAM_BOOL,
                  .about = "Also have the guest agent of a VM that runs put them to use, which "
                           "some guests do not do by themselves.")),
        .steps =
            STEPS(VM_FIND_STEP, { "set the cpus", cpus_run, .pool = POOL_VIRT },
                  { "tell the guest", online_run, .pool = POOL_VIRT, .only_if = is_to_be_online },
                  { "tell", change_answer, .pool = POOL_LOOP }),
    },
    { 0 },
};
