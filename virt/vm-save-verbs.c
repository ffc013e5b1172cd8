/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.save, vm.restore: the guest's memory, kept by libvirt while the VM is off.
 *
 * Both are libvirt's own jobs: killed, the agent leaves them to go on, and what they come to is seen of
 * the VM ('saved', its state).  libvirt's call for saving answers only when all is written, so it is made by a
 * job beside the task, which meanwhile tells of its progress and ends it when it is to be aborted.
 */
#include <config.h>

#include <stdatomic.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/task.h"
#include "virt/virt.h"
#include "virt/vm-steps.h"

#define PROGRESS_MS 500
#define AGAIN_MS 20

struct save_args {
    struct vm_args vm;
    const char *state;
    bool bypass_cache;
};

/* libvirt's call, on a worker of its own. */
struct saving {
    struct job job;
    struct agent *agent; /* loop only */
    char *key;           /* owned; who waits for its end waits for this */
    virDomainPtr domain; /* a reference */
    unsigned flags;
    char *name;          /* owned */
    struct error *error; /* owned; of the call */
    atomic_bool begun, ended;
};

struct save_state {
    struct vm_use use;
    struct saving saving;
};

static void
save_done(struct call *call)
{
    struct save_state *state = call->state;
    struct saving *saving = &state->saving;

    if (saving->domain)
        (void)virDomainFree(TAKE(saving->domain));
    free(TAKE(saving->key));
    free(TAKE(saving->name));
    error_free(TAKE(saving->error));
    vm_state_done(call);
}

/* ---- vm.save ---- */

static enum outcome
save_look(struct call *call)
{
    struct save_state *state = call->state;
    const struct save_args *args = call->args;
    _cleanup_(vm_freep) struct vm *vm = NULL;
    struct error *error = NULL;

    if (!vm_now(call, &vm, &error))
        return call_fail(call, error);
    if (vm->id < 0) {
        (void)vm_refuse_state(vm, "a VM that runs", &error);
        return call_fail(call, error);
    }
    if (!vm->persistent) {
        error_set(&error, ERROR_WRONG_STATE,
                  "VM '%s' is transient: its memory is kept with its description, which "
                  "vm.define makes",
                  vm->name);
        error_data_text(&error, "state", "transient");
        error_data_text(&error, "needs", "a VM that is defined");
        return call_fail(call, error);
    }
    state->saving.domain = state->use.domain;
    (void)virDomainRef(state->use.domain);
    state->saving.name = xstrdup(vm->name);
    state->saving.flags = (args->bypass_cache ? VIR_DOMAIN_SAVE_BYPASS_CACHE : 0) |
                          (!args->state                          ? 0
                           : strcmp(args->state, "running") == 0 ? VIR_DOMAIN_SAVE_RUNNING
                                                                 : VIR_DOMAIN_SAVE_PAUSED);
    return call_complete(call, NULL);
}

/* As vm.status has it, which names the images of its disks. */
static enum outcome
save_tell(struct call *call)
{
    return vm_answer_state(call, ~VM_BIT(VM_SHUTOFF));
}

static void
run_saving(struct job *job)
{
    struct saving *saving = CONTAINER_OF(job, struct saving, job);

    if (virDomainManagedSave(saving->domain, saving->flags) < 0)
        (void)virt_fail(&saving->error, saving->domain, "cannot save VM '%s'", saving->name);
}

static void
end_saving(struct job *job)
{
    struct saving *saving = CONTAINER_OF(job, struct saving, job);
    /* Told that it has ended, the task may go, and this with it. */
    _cleanup_free_ char *key = xstrdup(saving->key);
    struct agent *agent = saving->agent;

    atomic_store(&saving->ended, true);
    task_wake(agent, key);
}

static enum outcome
save_begin(struct call *call)
{
    struct save_state *state = call->state;
    struct saving *saving = &state->saving;
    struct error *error = NULL;

    saving->agent = call->agent;
    saving->key = xprintf("saving %s", call_task(call));
    saving->job = (struct job){ .run = run_saving,
                                .finished = end_saving,
                                .lane = &state->use.entry->lane,
                                .pool = POOL_VIRT };
    if (!workers_submit(call->agent->workers, &saving->job, &error))
        return call_fail(call, error);
    atomic_store(&saving->begun, true);
    return call_complete(call, NULL);
}

/* What libvirt tells meanwhile; that it tells nothing (it begins, or has ended) is no failure. */
static void
tell_progress(struct call *call, virDomainPtr domain)
{
    virTypedParameterPtr params = NULL;
    unsigned long long done = 0, total = 0;
    int type, count = 0;

    if (virDomainGetJobStats(domain, &type, &params, &count, 0) < 0)
        return;
    if (virTypedParamsGetULLong(params, count, VIR_DOMAIN_JOB_DATA_PROCESSED, &done) == 1 &&
        virTypedParamsGetULLong(params, count, VIR_DOMAIN_JOB_DATA_TOTAL, &total) == 1 && total > 0)
        call_progress(call, done, total, "bytes");
    virTypedParamsFree(params, count);
}

static enum outcome
save_follow(struct call *call)
{
    struct save_state *state = call->state;
    struct saving *saving = &state->saving;

    if (!atomic_load(&saving->ended)) {
        tell_progress(call, saving->domain);
        return call_wait(call, saving->key, PROGRESS_MS, "libvirt saves it");
    }
    return saving->error ? call_fail(call, TAKE(saving->error)) : call_complete(call, NULL);
}

static bool
is_saving(const struct call *call)
{
    const struct save_state *state = call->state;

    return atomic_load(&state->saving.begun) && !atomic_load(&state->saving.ended);
}

static const char *
how_it_ended(const struct saving *saving)
{
    if (!saving->error)
        return "it was saved already";
    /* Of a libvirt that went away it cannot be told. */
    return saving->error->code == ERROR_BACKEND_UNAVAILABLE ? saving->error->message
                                                            : "it goes on as it was";
}

/* Again until it has ended: before QEMU has begun to write, libvirt 9.0 takes the request and nothing comes of
   it; and at its end it is too late. */
static enum outcome
save_stop(struct call *call)
{
    struct save_state *state = call->state;
    struct saving *saving = &state->saving;

    if (atomic_load(&saving->ended))
        return call_complete(call, "%s", how_it_ended(saving));
    (void)virDomainAbortJob(saving->domain);
    return call_wait(call, saving->key, AGAIN_MS, "libvirt stops saving");
}

static enum outcome
save_answer(struct call *call)
{
    return vm_answer_state(call, VM_BIT(VM_SHUTOFF));
}

/* ---- vm.restore ---- */

struct restore_args {
    struct vm_args vm;
    bool paused, bypass_cache;
};

static enum outcome
restore_look(struct call *call)
{
    _cleanup_(vm_freep) struct vm *vm = NULL;
    struct error *error = NULL;

    if (!vm_now(call, &vm, &error))
        return call_fail(call, error);
    if (vm->id >= 0) {
        (void)vm_refuse_state(vm, "a VM that is off", &error);
        return call_fail(call, error);
    }
    if (!vm->saved) {
        error_set(&error, ERROR_WRONG_STATE,
                  "VM '%s' has no saved memory: vm.start starts it, vm.save saves it", vm->name);
        error_data_text(&error, "state", "not saved");
        error_data_text(&error, "needs", "saved memory");
        return call_fail(call, error);
    }
    return call_complete(call, NULL);
}

static enum outcome
restore_tell(struct call *call)
{
    return vm_answer_state(call, VM_BIT(VM_SHUTOFF) | VM_BIT(VM_CRASHED));
}

static enum outcome
restore_run(struct call *call)
{
    const struct restore_args *args = call->args;
    unsigned flags = (args->paused ? VIR_DOMAIN_START_PAUSED : 0) |
                     (args->bypass_cache ? VIR_DOMAIN_START_BYPASS_CACHE : 0);
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    if (virDomainCreateWithFlags(domain, flags) == 0)
        return call_complete(call, NULL);
    (void)virt_fail(&error, domain, "cannot restore VM '%s'", args->vm.vm);
    return vm_fail(call, error);
}

static enum outcome
restore_answer(struct call *call)
{
    const struct restore_args *args = call->args;

    return vm_answer_state(call, args->paused ? VM_BIT(VM_PAUSED)
                                              : VM_BIT(VM_RUNNING) | VM_BIT(VM_PAUSED));
}

#define SAVE_ERRORS                                                                                \
    ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,                          \
           ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED)
#define SAVE_VERB                                                                                  \
    .role = ROLE_OPERATOR, .kind = VERB_ANSWERS_EARLY, .result = &vm_shape, .errors = SAVE_ERRORS, \
    .object = vm_name_object

const struct verb vm_save_verbs[] = {
    {
        .name = "vm.save",
        .summary = "Keep a virtual machine's memory on the host's disk, and turn it off.",
        .description =
            "Answers once it is known to run, and runs on until all is written; its cpus stand still "
            "meanwhile. vm.start or vm.restore lets it go on where it was. Aborted in time it goes on "
            "running; too late it is saved, as its status tells. If the agent is killed, libvirt ends what it has begun: 'saved' tells.",
        SAVE_VERB,
        .args_size = sizeof(struct save_args),
        .params =
            PARAMS(VM_PARAM(save_args),
                   PARAM(save_args, state, "state", .type = PARAM_CHOICE,
                         .choices = CHOICES("running", "paused"),
                         .about = "How it is to go on later; without this, as it is now."),
                   PARAM(save_args, bypass_cache, "bypassCache", .type = PARAM_BOOL,
                         .about = "Write past the host's cache, which then keeps what is in it.")),
        .steps = STEPS(VM_FIND_STEP, { "look at it", save_look, .pool = POOL_VIRT },
                       { "tell what it is", save_tell, .pool = POOL_LOOP, .responds = true },
                       { "begin", save_begin, .pool = POOL_LOOP },
                       { "save", save_follow, .pool = POOL_VIRT },
                       { "stop saving", save_stop, .pool = POOL_VIRT, .when = ON_FAILURE,
                         .only_if = is_saving },
                       { "tell", save_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct save_state),
        .state_done = save_done,
    },
    {
        .name = "vm.restore",
        .summary = "Let a virtual machine go on where vm.save has stopped it.",
        .description =
            "Answers once its memory is known to be there, and runs on until it is read. Unlike vm.start it "
            "never starts the guest anew: without saved memory it is WrongState. It cannot be aborted.",
        SAVE_VERB,
        .args_size = sizeof(struct restore_args),
        .params = PARAMS(VM_PARAM(restore_args),
                         PARAM(restore_args, paused, "paused", .type = PARAM_BOOL,
                               .about = "Let its cpus wait for vm.resume."),
                         PARAM(restore_args, bypass_cache, "bypassCache", .type = PARAM_BOOL,
                               .about = "Read past the host's cache.")),
        .steps = STEPS(VM_FIND_STEP, { "look at it", restore_look, .pool = POOL_VIRT },
                       { "tell what it is", restore_tell, .pool = POOL_LOOP, .responds = true },
                       { "restore", restore_run, .pool = POOL_VIRT },
                       { "tell", restore_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct vm_use),
        .state_done = vm_state_done,
    },
    { 0 },
};
