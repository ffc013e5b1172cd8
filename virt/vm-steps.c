/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/vm-steps.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/thread.h"

#define EVENT_WITHIN_MS 1000
#define ANSWER_WITHIN_MS 5000
#define BUSY_FOR_MS 30000
#define BUSY_DELAY_MS 250

enum outcome
vm_find(struct call *call)
{
    struct virt *virt = call->context;
    const struct vm_args *args = call->args;
    struct vm_use *state = call->state;
    struct error *error = NULL;
    struct vm_entry *entry;

    if (!virt_connection_get(virt, &state->connect, &error))
        return call_fail(call, error);
    entry = vm_table_find(virt, args->vm);
    if (!entry) {
        (void)virt_missing(&error, args->vm);
        return call_fail(call, error);
    }
    state->entry = vm_entry_ref(entry);
    memcpy(state->uuid, entry->vm->uuid, sizeof(state->uuid));
    call_set_lane(call, POOL_VIRT, &entry->lane);
    return call_complete(call, NULL);
}

enum outcome
vm_connect(struct call *call)
{
    struct virt *virt = call->context;
    struct vm_use *state = call->state;
    struct error *error = NULL;

    if (!virt_connection_get(virt, &state->connect, &error))
        return call_fail(call, error);
    call_set_lane(call, POOL_VIRT, &virt->others);
    return call_complete(call, NULL);
}

void
vm_state_done(struct call *call)
{
    struct vm_use *state = call->state;

    if (state->domain)
        (void)virDomainFree(TAKE(state->domain));
    if (state->connect)
        (void)virConnectClose(TAKE(state->connect));
    vm_entry_unref(TAKE(state->entry));
}

void
vm_name_object(const void *args, struct object_name *ret_object)
{
    const struct vm_args *named = args;

    *ret_object = (struct object_name){ .kind = "vm", .id = named->vm };
}

bool
vm_domain(struct call *call, virDomainPtr *ret_domain, struct error **err)
{
    struct vm_use *state = call->state;
    const struct vm_args *args = call->args;

    WORKER_ONLY();
    if (!state->domain)
        state->domain = virDomainLookupByUUIDString(state->connect, state->uuid);
    if (!state->domain) {
        virt_fail_connect(err, state->connect, "cannot find VM '%s'", args->vm);
        return (*err)->code == ERROR_NOT_FOUND ? error_data_text(err, "id", "%s", args->vm) : false;
    }
    *ret_domain = state->domain;
    return true;
}

bool
vm_now(struct call *call, struct vm **ret_vm, struct error **err)
{
    virDomainPtr domain;

    return vm_domain(call, &domain, err) && vm_read(domain, ret_vm, err);
}

/* ---- answering ---- */

static enum outcome
answer(struct call *call)
{
    const struct vm_use *state = call->state;
    const struct vm_entry *entry = state->entry;

    writer_json(call_result(call), entry->json, strlen(entry->json));
    return call_complete(call, "%s", vm_state_name(entry->vm->state));
}

static enum outcome
wait_for(struct call *call, uint64_t timeout_ms, const char *what)
{
    const struct vm_use *state = call->state;
    _cleanup_free_ char *key = vm_table_key(state->uuid);

    return call_wait(call, key, timeout_ms, "%s", what);
}

/* Of one that is being started libvirt tells that its cpus run before it tells that it was started: until
   then it is described as it was when it was off. */
static bool
is_shown(const struct vm *vm, unsigned states)
{
    bool is_on = vm->state == VM_RUNNING || vm->state == VM_PAUSED;

    return (states & VM_BIT(vm->state)) && (!is_on || vm->id >= 0);
}

enum outcome
vm_answer_state(struct call *call, unsigned states)
{
    struct vm_use *state = call->state;
    struct vm_entry *entry = state->entry;
    int64_t elapsed_ms = call_elapsed_ms(call);

    if (entry->gone || is_shown(entry->vm, states) || elapsed_ms > ANSWER_WITHIN_MS)
        return answer(call);
    if (elapsed_ms > EVENT_WITHIN_MS && !state->refresh)
        state->refresh = news_refresh(call->context, state->uuid, true);
    return wait_for(call, EVENT_WITHIN_MS, "libvirt's event");
}

bool
vm_is_fresh(struct call *call)
{
    struct vm_use *state = call->state;
    const struct vm_entry *entry = state->entry;

    if (!state->refresh)
        state->refresh = news_refresh(call->context, state->uuid, false);
    return entry->gone || entry->refreshed >= state->refresh ||
           call_elapsed_ms(call) > ANSWER_WITHIN_MS;
}

enum outcome
vm_wait_fresh(struct call *call)
{
    return wait_for(call, EVENT_WITHIN_MS, "its description");
}

enum outcome
vm_answer_fresh(struct call *call)
{
    return vm_is_fresh(call) ? answer(call) : vm_wait_fresh(call);
}

bool
vm_require_unsaved(virDomainPtr domain, struct error **err)
{
    int active = virDomainIsActive(domain);
    int saved = active == 0 ? virDomainHasManagedSaveImage(domain, 0) : active < 0 ? -1 : 0;

    WORKER_ONLY();
    if (saved < 0)
        return virt_fail(err, domain, "cannot ask whether '%s' is saved", virDomainGetName(domain));
    if (saved == 0)
        return true;
    error_set(err, ERROR_WRONG_STATE,
              "VM '%s' has saved memory, which goes on with its disks as they are: let it go on "
              "first (vm.start)",
              virDomainGetName(domain));
    error_data_text(err, "state", "saved");
    return error_data_text(err, "needs", "a VM without saved memory");
}

bool
vm_refuse_state(const struct vm *vm, const char *needs, struct error **err)
{
    error_set(err, ERROR_WRONG_STATE, "VM '%s' is %s: this needs %s", vm->name,
              vm_state_name(vm->state), needs);
    error_data_text(err, "state", "%s", vm_state_name(vm->state));
    return error_data_text(err, "needs", "%s", needs);
}

enum outcome
vm_fail(struct call *call, struct error *error)
{
    if (error->code != ERROR_BUSY || call_elapsed_ms(call) > BUSY_FOR_MS || call_aborted(call))
        return call_fail(call, error);
    error_free(error);
    return call_retry(call, BUSY_DELAY_MS, "libvirt is busy with another call for it");
}
