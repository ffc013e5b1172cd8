/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "virt/disk-work.h"

#define LIFE_ERRORS                                                                                \
    ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,                          \
           ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED)

/* What most of these verbs are. */
#define LIFE_VERB LIFE_VERB_OF(struct vm_use, vm_state_done)
#define LIFE_VERB_OF(state, done)                                                                  \
    .role = ROLE_OPERATOR, .kind = VERB_CHANGES, .result = &vm_shape, .errors = LIFE_ERRORS,       \
    .state_size = sizeof(state), .state_done = done, .object = vm_name_object

/* One call of libvirt about one VM: 'done' says whether it went well. */
static enum outcome
conclude(struct call *call, virDomainPtr domain, int status, const char *doing)
{
    const struct vm_args *args = call->args;
    struct error *error = NULL;

    if (status >= 0)
        return call_complete(call, NULL);
    (void)virt_fail(&error, domain, "cannot %s '%s'", doing, args->vm);
    return vm_fail(call, error);
}

/* ---- vm.start ---- */

struct start_args {
    struct vm_args vm;
    bool paused;
};

static enum outcome
start_run(struct call *call)
{
    const struct start_args *args = call->args;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    return conclude(call, domain,
                    virDomainCreateWithFlags(domain, args->paused ? VIR_DOMAIN_START_PAUSED : 0),
                    "start");
}

static enum outcome
start_answer(struct call *call)
{
    const struct start_args *args = call->args;

    return vm_answer_state(call, args->paused ? VM_BIT(VM_PAUSED)
                                              : VM_BIT(VM_RUNNING) | VM_BIT(VM_CRASHED));
}

/* ---- vm.shutdown, vm.reboot ---- */

static const char *const modes[] = { "auto", "acpi", "agent", NULL };

struct shutdown_args {
    struct vm_args vm;
    const char *mode;
    int64_t timeout_s;
    bool force;
};

static unsigned
shutdown_flags(const char *mode)
{
    return strcmp(mode, "acpi") == 0    ? VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
           : strcmp(mode, "agent") == 0 ? VIR_DOMAIN_SHUTDOWN_GUEST_AGENT
                                        : VIR_DOMAIN_SHUTDOWN_DEFAULT;
}

static enum outcome
shutdown_run(struct call *call)
{
    const struct shutdown_args *args = call->args;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    return conclude(call, domain, virDomainShutdownFlags(domain, shutdown_flags(args->mode)),
                    "shut down");
}

static bool
is_waited_for(const struct call *call)
{
    const struct shutdown_args *args = call->args;

    return args->timeout_s > 0;
}

static bool
is_off(const struct vm_entry *entry)
{
    return entry->gone || entry->vm->state == VM_SHUTOFF || entry->vm->state == VM_CRASHED;
}

static enum outcome
shutdown_wait(struct call *call)
{
    const struct shutdown_args *args = call->args;
    const struct vm_use *state = call->state;
    int64_t left_ms = args->timeout_s * 1000 - call_elapsed_ms(call);
    _cleanup_free_ char *key = vm_table_key(state->uuid);
    struct error *error = NULL;

    if (is_off(state->entry))
        return call_complete(call, "it is off");
    if (call_aborted(call)) {
        error_set(&error, ERROR_TASK_ABORTED, "'%s' was told to shut down, and not waited for",
                  args->vm.vm);
        return call_fail(call, error);
    }
    if (left_ms > 0)
        return call_wait(call, key, (uint64_t)left_ms, "it shuts down");
    if (args->force)
        return call_complete(call, "it did not shut down in time");
    error_set(&error, ERROR_TIMEOUT,
              "'%s' did not shut down within %lld seconds: it may yet, or pass 'force'",
              args->vm.vm, (long long)args->timeout_s);
    return call_fail(call, error);
}

static bool
is_to_be_forced(const struct call *call)
{
    const struct shutdown_args *args = call->args;
    const struct vm_use *state = call->state;

    return args->timeout_s > 0 && args->force && !is_off(state->entry);
}

static enum outcome
force_run(struct call *call)
{
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    return conclude(call, domain, virDomainDestroy(domain), "end");
}

/* One that has shut down in this very moment is what was wanted. */
static enum outcome
shutdown_force(struct call *call)
{
    const struct vm_args *args = call->args;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    if (virDomainDestroy(domain) == 0)
        return call_complete(call, NULL);
    (void)virt_fail(&error, domain, "cannot end '%s'", args->vm);
    if (error->code != ERROR_NOT_FOUND && virDomainIsActive(domain) != 0)
        return vm_fail(call, error);
    error_free(error);
    return call_complete(call, "it is off");
}

static enum outcome
shutdown_answer(struct call *call)
{
    const struct shutdown_args *args = call->args;

    /* Not waited for, any state is a good answer: the guest may even refuse. */
    return vm_answer_state(call,
                           args->timeout_s > 0 ? VM_BIT(VM_SHUTOFF) | VM_BIT(VM_CRASHED) : ~0U);
}

struct reboot_args {
    struct vm_args vm;
    const char *mode;
};

static enum outcome
reboot_run(struct call *call)
{
    const struct reboot_args *args = call->args;
    struct error *error = NULL;
    virDomainPtr domain;
    unsigned flags = strcmp(args->mode, "acpi") == 0    ? VIR_DOMAIN_REBOOT_ACPI_POWER_BTN
                     : strcmp(args->mode, "agent") == 0 ? VIR_DOMAIN_REBOOT_GUEST_AGENT
                                                        : VIR_DOMAIN_REBOOT_DEFAULT;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    return conclude(call, domain, virDomainReboot(domain, flags), "reboot");
}

static enum outcome
any_answer(struct call *call)
{
    return vm_answer_state(call, ~0U);
}

/* ---- vm.reset, vm.destroy, vm.pause, vm.resume ---- */

static enum outcome
reset_run(struct call *call)
{
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    return conclude(call, domain, virDomainReset(domain, 0), "reset");
}

static enum outcome
destroy_answer(struct call *call)
{
    return vm_answer_state(call, VM_BIT(VM_SHUTOFF));
}

static enum outcome
pause_run(struct call *call)
{
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    return conclude(call, domain, virDomainSuspend(domain), "pause");
}

static enum outcome
pause_answer(struct call *call)
{
    return vm_answer_state(call, VM_BIT(VM_PAUSED));
}

/* One that its guest has sent to sleep is woken. */
static enum outcome
resume_run(struct call *call)
{
    struct error *error = NULL;
    virDomainPtr domain;
    int state, reason;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        return conclude(call, domain, -1, "resume");
    if (state == VIR_DOMAIN_RUNNING)
        return call_complete(call, "it runs");
    if (state == VIR_DOMAIN_PMSUSPENDED)
        return conclude(call, domain, virDomainPMWakeup(domain, 0), "wake");
    return conclude(call, domain, virDomainResume(domain), "resume");
}

static enum outcome
resume_answer(struct call *call)
{
    return vm_answer_state(call, VM_BIT(VM_RUNNING));
}

const struct verb vm_life_verbs[] = {
    {
        .name = "vm.start",
        .summary =
            "Start a virtual machine that is defined; from its saved memory, if it has some.",
        .description = "Of one that runs it is WrongState.",
        LIFE_VERB_OF(struct disk_work, disk_work_done),
        .args_size = sizeof(struct start_args),
        .params =
            PARAMS(VM_PARAM(start_args), PARAM(start_args, paused, "paused", .type = PARAM_BOOL,
                                               .about = "Let its cpus wait for vm.resume.")),
        .steps = STEPS(
            DISK_WORK_FIND_STEP, { "look at its disks", disk_work_renew, .pool = POOL_VIRT },
            { "start", start_run, .pool = POOL_VIRT }, { "tell", start_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.shutdown",
        .summary = "Ask the guest to shut down.",
        .description =
            "A guest may take its time, or not listen: with 'timeout' its end is waited for, and "
            "with 'force' it comes to its end then in any case. Aborting the task ends the waiting only.",
        LIFE_VERB,
        .args_size = sizeof(struct shutdown_args),
        .params = PARAMS(
            VM_PARAM(shutdown_args),
            PARAM(shutdown_args, mode, "mode", .type = PARAM_CHOICE, .choices = modes,
                  .fallback = "\"auto\"",
                  .about = "How it is asked: by its power button (acpi) or by its guest agent."),
            PARAM(shutdown_args, timeout_s, "timeout", .type = PARAM_INTEGER, .minimum = 0,
                  .maximum = 86400, .fallback = "0",
                  .about = "Wait so many seconds for it to be off; 0: do not wait."),
            PARAM(shutdown_args, force, "force", .type = PARAM_BOOL,
                  .about = "When 'timeout' is over, end it as vm.destroy does.")),
        .steps = STEPS(
            VM_FIND_STEP, { "ask the guest", shutdown_run, .pool = POOL_VIRT },
            { "wait for its end", shutdown_wait, .pool = POOL_LOOP, .only_if = is_waited_for },
            { "end it", shutdown_force, .pool = POOL_VIRT, .only_if = is_to_be_forced },
            { "tell", shutdown_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.reboot",
        .summary = "Ask the guest to reboot.",
        LIFE_VERB,
        .args_size = sizeof(struct reboot_args),
        .params = PARAMS(
            VM_PARAM(reboot_args),
            PARAM(reboot_args, mode, "mode", .type = PARAM_CHOICE, .choices = modes,
                  .fallback = "\"auto\"",
                  .about = "How it is asked: by its power button (acpi) or by its guest agent.")),
        .steps = STEPS(VM_FIND_STEP, { "ask the guest", reboot_run, .pool = POOL_VIRT },
                       { "tell", any_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.reset",
        .summary = "Reset the virtual machine at once, as by its reset button.",
        LIFE_VERB,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .steps = STEPS(VM_FIND_STEP, { "reset", reset_run, .pool = POOL_VIRT },
                       { "tell", any_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.destroy",
        .summary = "End a virtual machine at once, as by pulling its plug.",
        .description =
            "What its guest has not written is lost. One that is defined stays so; a transient one is gone.",
        LIFE_VERB,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .steps = STEPS(VM_FIND_STEP, { "end it", force_run, .pool = POOL_VIRT },
                       { "tell", destroy_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.pause",
        .summary = "Stop the cpus of a virtual machine, which keeps its memory.",
        .description = "Of one that is paused it does nothing.",
        LIFE_VERB,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .steps = STEPS(VM_FIND_STEP, { "pause", pause_run, .pool = POOL_VIRT },
                       { "tell", pause_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.resume",
        .summary = "Let a paused virtual machine go on, or wake one that its guest has suspended.",
        .description = "Of one that runs it does nothing.",
        LIFE_VERB,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .steps = STEPS(VM_FIND_STEP, { "resume", resume_run, .pool = POOL_VIRT },
                       { "tell", resume_answer, .pool = POOL_LOOP }),
    },
    { 0 },
};
