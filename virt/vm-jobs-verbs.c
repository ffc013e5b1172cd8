/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.jobs: what libvirt does by itself on virtual machines, and how what has ended did.
 */
#include <config.h>

#include <string.h>

#include "agent/base/clock.h"
#include "virt/job-table.h"
#include "virt/vm-steps.h"

struct jobs_args {
    struct vm_args vm;
};

struct jobs_state {
    struct vm_use use;
    struct job_looks looks;
    int64_t asked_ns;
};

static void
jobs_done(struct call *call)
{
    struct jobs_state *state = call->state;

    job_looks_done(&state->looks);
    vm_state_done(call);
}

static bool
runs(const struct vm_entry *entry)
{
    return entry->vm->id >= 0 || entry->vm->state == VM_RUNNING || entry->vm->state == VM_PAUSED;
}

/* Which are asked for: those that run; a VM that is off has none. */
static enum outcome
jobs_find(struct call *call)
{
    struct virt *virt = call->context;
    const struct jobs_args *args = call->args;
    struct jobs_state *state = call->state;
    enum outcome outcome = args->vm.vm ? vm_find(call) : vm_connect(call);

    if (outcome != OUTCOME_COMPLETE)
        return outcome;
    state->asked_ns = clock_wall_ns();
    for (size_t i = 0; i < virt->entry_count; i++)
        if (runs(virt->entries[i]) && (!args->vm.vm || virt->entries[i] == state->use.entry))
            job_looks_add(&state->looks, virt->entries[i]->vm);
    return outcome;
}

static enum outcome
jobs_ask(struct call *call)
{
    struct jobs_state *state = call->state;
    struct error *error = NULL;

    if (!job_looks_ask(&state->looks, state->use.connect, &error))
        return vm_fail(call, error);
    return call_complete(call, NULL);
}

static enum outcome
jobs_answer(struct call *call)
{
    const struct virt *virt = call->context;
    const struct jobs_args *args = call->args;
    const struct jobs_state *state = call->state;

    job_table_update(virt->jobs, &state->looks, state->asked_ns);
    job_table_write(virt->jobs, args->vm.vm ? state->use.uuid : NULL, call_result(call));
    return call_complete(call, NULL);
}

const struct verb vm_jobs_verbs[] = {
    {
        .name = "vm.jobs",
        .summary =
            "List the jobs that libvirt runs on virtual machines, and how those that have ended did.",
        .description =
            "Merges and moves of disks, copies, backups, migrations, memory that is saved: whoever has begun "
            "them. One that has ended stays in the list (the last 500) with its end: done, failed or "
            "canceled, and why. 'perSecond' is how fast it is, 'bytesPerSecond' its bound (0: none).",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct jobs_args),
        .params =
            PARAMS(PARAM(jobs_args, vm.vm, "vm", .type = PARAM_TEXT, .minimum = 1,
                         .maximum = VM_NAME_MAX, .about = "Only those of this VM (name or UUID).")),
        .result = &vm_jobs_shape,
        .errors =
            ERRORS(ERROR_NOT_FOUND, ERROR_BUSY, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .state_size = sizeof(struct jobs_state),
        .state_done = jobs_done,
        .object = vm_name_object,
        .steps = STEPS({ "find VMs", jobs_find, .pool = POOL_LOOP },
                       { "ask libvirt", jobs_ask, .pool = POOL_VIRT },
                       { "tell", jobs_answer, .pool = POOL_LOOP }),
    },
    { 0 },
};
