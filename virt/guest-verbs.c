/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of the guest itself, through its agent.
 */
#include <config.h>

#include <string.h>

#include "agent/base/clock.h"
#include "virt/freeze.h"
#include "virt/guest-info.h"
#include "virt/vm-steps.h"

#define INFO_LIMIT_S 10
#define TURN_MS 200
#define SECOND INT64_C(1000000000)

#define GUEST_ERRORS                                                                               \
    ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT, ERROR_LIMIT_EXCEEDED,    \
           ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED)

/* ---- vm.guestInfo ---- */

static const struct shape guest_info_shape = {
    .name = "GuestInfo",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"guest\"],\"properties\":{\"vm\":{\"type\":\"string\"},"
        "\"guest\":{\"type\":\"object\",\"properties\":{\"hostname\":{\"type\":\"string\"},\"os\":{\"type\":\"object\"},"
        "\"timezone\":{\"type\":\"object\"},\"users\":{\"type\":\"array\"},\"fileSystems\":{\"type\":\"array\"},"
        "\"interfaces\":{\"type\":\"array\"},\"disks\":{\"type\":\"array\"}}}}}",
};

static enum outcome
info_run(struct call *call)
{
    const struct vm_args *args = call->args;
    virTypedParameterPtr params = NULL;
    _cleanup_free_ char *json = NULL;
    struct error *error = NULL;
    struct writer *writer;
    virDomainPtr domain;
    int count = 0;
    bool good;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    guest_limit(domain, INFO_LIMIT_S);
    if (virDomainGetGuestInfo(domain, 0, &params, &count, 0) < 0) {
        (void)virt_fail(&error, domain, "cannot ask the guest '%s'", args->vm);
        return vm_fail(call, error);
    }
    good = guest_info_json(params, count, &json, &error);
    virTypedParamsFree(params, count);
    if (!good)
        return call_fail(call, error);
    writer = call_result(call);
    writer_object(writer);
    writer_member_string(writer, "vm", virDomainGetName(domain));
    writer_member_json(writer, "guest", json);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

/* ---- vm.freeze ---- */

struct freeze_args {
    struct vm_args vm;
    char **mount_points;
    int64_t timeout_s;
};

struct freeze_use {
    struct vm_use vm;
    bool mine;  /* nobody else freezes or thaws it */
    bool noted; /* the deadline is */
    uint64_t count;
    int64_t until_ns;
};

static const struct shape freeze_shape = {
    .name = "Frozen",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"fileSystems\",\"frozenUntil\"],\"properties\":{\"vm\":{"
        "\"type\":\"string\"},\"fileSystems\":{\"type\":\"integer\"},\"frozenUntil\":{\"type\":[\"string\","
        "\"null\"]}}}",
};

/* A thaw beside a freeze could forget the deadline of what is just being frozen. */
static enum outcome
wait_for_turn(struct call *call)
{
    const struct vm_use *use = call->state;
    _cleanup_free_ char *key = vm_table_key(use->uuid);

    return call_wait(call, key, TURN_MS, "another call is at its guest");
}

static enum outcome
freeze_begin(struct call *call)
{
    const struct freeze_args *args = call->args;
    struct freeze_use *use = call->state;
    struct vm_entry *entry = use->vm.entry;
    struct error *error = NULL;

    if (entry->vm->state != VM_RUNNING) {
        (void)vm_refuse_state(entry->vm, "a running VM", &error);
        return call_fail(call, error);
    }
    if (entry->thawing)
        return wait_for_turn(call);
    if (entry->freezing || entry->vm->frozen_until_ns) {
        (void)freeze_refuse(args->vm.vm, &error);
        return call_fail(call, error);
    }
    entry->freezing = use->mine = true;
    use->until_ns = clock_wall_ns() + args->timeout_s * SECOND;
    return call_complete(call, NULL);
}

static enum outcome
freeze_note_deadline(struct call *call)
{
    struct freeze_use *use = call->state;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    if (!freeze_prepare(domain, use->until_ns, &error))
        return vm_fail(call, error);
    use->noted = true;
    return call_complete(call, NULL);
}

static enum outcome
freeze_run(struct call *call)
{
    const struct freeze_args *args = call->args;
    struct freeze_use *use = call->state;
    struct error *error = NULL;
    unsigned point_count = 0;
    virDomainPtr domain;
    int count;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    while (args->mount_points && args->mount_points[point_count])
        point_count++;
    count = virDomainFSFreeze(domain, (const char **)args->mount_points, point_count, 0);
    if (count < 0) {
        (void)virt_fail(&error, domain, "cannot freeze the guest '%s'", args->vm.vm);
        return vm_fail(call, error);
    }
    use->count = (uint64_t)count;
    return call_complete(call, "%d file systems", count);
}

static bool
is_noted(const struct call *call)
{
    const struct freeze_use *use = call->state;

    return use->noted;
}

/* What it has frozen before it failed, as after a time-out, must not stay so. */
static enum outcome
freeze_undo(struct call *call)
{
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    /* One that does not answer now keeps its deadline: it may be frozen. */
    return freeze_thaw(domain, NULL, &error) ? call_complete(call, NULL) : call_fail(call, error);
}

static enum outcome
freeze_end(struct call *call)
{
    struct freeze_use *use = call->state;

    if (use->mine)
        use->vm.entry->freezing = false;
    freeze_look(call->context);
    return call_complete(call, NULL);
}

static void
write_frozen(struct call *call, uint64_t count, int64_t until_ns)
{
    const struct vm_use *use = call->state;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "vm", use->entry->vm->name);
    writer_member_unsigned(writer, "fileSystems", count);
    writer_member_time(writer, "frozenUntil", until_ns);
    writer_end_object(writer);
}

/* Once the table shows the deadline, or shows it no more: vm.status says the same from now on. */
static enum outcome
wait_until_shown(struct call *call, bool frozen)
{
    struct vm_use *use = call->state;
    _cleanup_free_ char *key = vm_table_key(use->uuid);

    if (!use->refresh)
        use->refresh = news_refresh(call->context, use->uuid, false);
    if (use->entry->gone || !use->entry->vm->frozen_until_ns == !frozen ||
        use->entry->refreshed >= use->refresh || call_elapsed_ms(call) > 5000)
        return call_complete(call, NULL);
    return call_wait(call, key, 1000, "its description");
}

static enum outcome
freeze_show(struct call *call)
{
    return wait_until_shown(call, true);
}

static enum outcome
freeze_answer(struct call *call)
{
    const struct freeze_use *use = call->state;

    write_frozen(call, use->count, use->until_ns);
    return call_complete(call, NULL);
}

/* ---- vm.thaw ---- */

struct thaw_use {
    struct vm_use vm;
    bool mine; /* as above */
    uint64_t count;
};

static enum outcome
thaw_begin(struct call *call)
{
    struct thaw_use *use = call->state;
    struct vm_entry *entry = use->vm.entry;
    struct error *error = NULL;

    if (entry->vm->state != VM_RUNNING) {
        (void)vm_refuse_state(entry->vm, "a running VM", &error);
        return call_fail(call, error);
    }
    if (entry->freezing || entry->thawing)
        return wait_for_turn(call);
    entry->thawing = use->mine = true;
    return call_complete(call, NULL);
}

static enum outcome
thaw_run(struct call *call)
{
    struct thaw_use *use = call->state;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    if (!freeze_thaw(domain, &use->count, &error))
        return vm_fail(call, error);
    return call_complete(call, "%llu file systems", (unsigned long long)use->count);
}

static enum outcome
thaw_show(struct call *call)
{
    return wait_until_shown(call, false);
}

static enum outcome
thaw_end(struct call *call)
{
    struct thaw_use *use = call->state;

    if (use->mine)
        use->vm.entry->thawing = false;
    freeze_look(call->context);
    return call_complete(call, NULL);
}

static enum outcome
thaw_answer(struct call *call)
{
    const struct thaw_use *use = call->state;

    write_frozen(call, use->count, 0);
    return call_complete(call, NULL);
}

/* ---- vm.setPassword ---- */

struct password_args {
    struct vm_args vm;
    char *user, *password;
    bool encrypted;
};

static enum outcome
password_run(struct call *call)
{
    const struct password_args *args = call->args;
    struct error *error = NULL;
    struct writer *writer;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    guest_limit(domain, INFO_LIMIT_S);
    if (virDomainSetUserPassword(domain, args->user, args->password,
                                 args->encrypted ? VIR_DOMAIN_PASSWORD_ENCRYPTED : 0) < 0) {
        (void)virt_fail(&error, domain, "cannot set the password of '%s' in '%s'", args->user,
                        args->vm.vm);
        return vm_fail(call, error);
    }
    writer = call_result(call);
    writer_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

const struct verb guest_verbs[] = {
    {
        .name = "vm.guestInfo",
        .summary =
            "Show what the guest's agent tells: its name, system, users, addresses, file systems.",
        .description =
            "What the guest says of itself, and no more to be trusted than the guest. What its agent "
            "cannot tell is absent.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &guest_info_shape,
        .errors = GUEST_ERRORS,
        .state_size = sizeof(struct vm_use),
        .state_done = vm_state_done,
        .object = vm_name_object,
        .steps = STEPS(VM_FIND_STEP, { "ask the guest", info_run, .pool = POOL_VIRT }),
    },
    {
        .name = "vm.freeze",
        .summary =
            "Let the guest write out its file systems and write nothing more, until vm.thaw.",
        .description =
            "It is thawed when 'timeout' is over in any case, also by an agent that has just started. "
            "Of one that is frozen it is WrongState.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct freeze_args),
        .params = PARAMS(
            VM_PARAM(freeze_args),
            PARAM(freeze_args, mount_points, "mountPoints", .type = PARAM_TEXTS,
                  .about = "Only these file systems, by where the guest has mounted them."),
            PARAM(freeze_args, timeout_s, "timeout", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = 3600, .fallback = "60", .about = "Seconds after which it is thawed.")),
        .result = &freeze_shape,
        .errors = GUEST_ERRORS,
        .state_size = sizeof(struct freeze_use),
        .state_done = vm_state_done,
        .object = vm_name_object,
        .steps = STEPS(
            VM_FIND_STEP, { "have it alone", freeze_begin, .pool = POOL_LOOP },
            { "note the deadline", freeze_note_deadline, .pool = POOL_VIRT },
            { "freeze", freeze_run, .pool = POOL_VIRT },
            { "undo", freeze_undo, .pool = POOL_VIRT, .when = ON_FAILURE, .only_if = is_noted },
            { "show", freeze_show, .pool = POOL_LOOP },
            { "let go", freeze_end, .pool = POOL_LOOP, .when = ALWAYS },
            { "tell", freeze_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.thaw",
        .summary = "Let a frozen guest write again.",
        .description = "Of one that is not frozen it does nothing.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &freeze_shape,
        .errors = GUEST_ERRORS,
        .state_size = sizeof(struct thaw_use),
        .state_done = vm_state_done,
        .object = vm_name_object,
        .steps =
            STEPS(VM_FIND_STEP, { "have it alone", thaw_begin, .pool = POOL_LOOP },
                  { "thaw", thaw_run, .pool = POOL_VIRT }, { "show", thaw_show, .pool = POOL_LOOP },
                  { "let go", thaw_end, .pool = POOL_LOOP, .when = ALWAYS },
                  { "tell", thaw_answer, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.setPassword",
        .summary = "Set the password of one of the guest's users, through its agent.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct password_args),
        .params = PARAMS(
            VM_PARAM(password_args),
            PARAM(password_args, user, "user", .type = PARAM_TEXT, .required = true, .minimum = 1,
                  .maximum = 255, .about = "The user, who must exist."),
            PARAM(password_args, password, "password", .type = PARAM_TEXT, .required = true,
                  .minimum = 1, .maximum = 1024, .about = "The new password; it is kept nowhere."),
            PARAM(password_args, encrypted, "encrypted", .type = PARAM_BOOL,
                  .about = "It is given as the guest stores it: a hash of its own kind.")),
        .result = &empty_shape,
        .errors = GUEST_ERRORS,
        .state_size = sizeof(struct vm_use),
        .state_done = vm_state_done,
        .object = vm_name_object,
        .steps = STEPS(VM_FIND_STEP, { "ask the guest", password_run, .pool = POOL_VIRT }),
    },
    { 0 },
};
