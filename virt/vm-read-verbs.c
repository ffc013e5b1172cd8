/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "virt/vm-steps.h"

/* An answer stays below the 1 MiB of a frame. */
#define PAGE_SIZE_MAX (768 * 1024)

/* ---- vm.list ---- */

struct list_args {
    const char *state;
    int64_t limit;
    char *after;
};

static const struct shape vm_list_shape = {
    .name = "VmList",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vms\",\"current\",\"asOf\"],\"properties\":{\"vms\":{\"type\":"
        "\"array\",\"items\":{\"$ref\":\"#/components/schemas/Vm\"}},\"current\":{\"type\":\"boolean\"},"
        "\"asOf\":{\"type\":\"string\"},\"next\":{\"type\":\"string\"}}}",
    .parts = SHAPES(&vm_shape),
};

static bool
is_wanted(const struct list_args *args, const struct vm *vm)
{
    if (args->after && strcmp(vm->name, args->after) <= 0)
        return false;
    return !args->state || strcmp(args->state, vm_state_name(vm->state)) == 0;
}

static void
write_page(const struct virt *virt, const struct list_args *args, struct writer *writer)
{
    const char *last = NULL;
    bool more = false;
    int64_t count = 0;

    writer_key(writer, "vms");
    writer_array(writer);
    for (size_t i = 0; i < virt->entry_count && !more; i++) {
        const struct vm_entry *entry = virt->entries[i];

        if (!is_wanted(args, entry->vm))
            continue;
        more = count == args->limit || (count > 0 && writer->text.length > PAGE_SIZE_MAX);
        if (more)
            break;
        writer_json(writer, entry->json, strlen(entry->json));
        last = entry->vm->name;
        count++;
    }
    writer_end_array(writer);
    if (more)
        writer_member_string(writer, "next", last);
}

static enum outcome
list_run(struct call *call)
{
    const struct virt *virt = call->context;
    struct writer *writer = call_result(call);
    struct error *error = NULL;

    if (!virt->known) {
        (void)virt_unavailable(&error, virt->reason ? virt->reason
                                                    : "the agent has not connected to it yet");
        return call_fail(call, error);
    }
    writer_object(writer);
    write_page(virt, call->args, writer);
    writer_member_bool(writer, "current", virt->current);
    writer_member_time(writer, "asOf", virt->current ? clock_wall_ns() : virt->lost_ns);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

/* ---- vm.status ---- */

static enum outcome
status_run(struct call *call)
{
    struct virt *virt = call->context;
    const struct vm_args *args = call->args;
    const struct vm_entry *entry;
    struct error *error = NULL;

    if (!virt->current) {
        (void)virt_unavailable(&error, virt->reason ? virt->reason
                                                    : "the agent has not connected to it yet");
        return call_fail(call, error);
    }
    entry = vm_table_find(virt, args->vm);
    if (!entry) {
        (void)virt_missing(&error, args->vm);
        return call_fail(call, error);
    }
    writer_json(call_result(call), entry->json, strlen(entry->json));
    return call_complete(call, NULL);
}

/* ---- vm.xml ---- */

struct xml_args {
    struct vm_args vm;
    bool inactive;
};

static const struct shape vm_xml_shape = {
    .name = "VmXml",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"xml\"],\"properties\":{\"vm\":{\"type\":\"string\"},"
        "\"xml\":{\"type\":\"string\"}}}",
};

static enum outcome
xml_run(struct call *call)
{
    const struct xml_args *args = call->args;
    struct writer *writer = call_result(call);
    _cleanup_free_ char *xml = NULL;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    xml = virDomainGetXMLDesc(domain, args->inactive ? VIR_DOMAIN_XML_INACTIVE : 0);
    if (!xml) {
        (void)virt_fail(&error, domain, "cannot read the description of '%s'", args->vm.vm);
        return call_fail(call, error);
    }
    writer_object(writer);
    writer_member_string(writer, "vm", virDomainGetName(domain));
    writer_member_string(writer, "xml", xml);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

const struct verb vm_read_verbs[] = {
    {
        .name = "vm.list",
        .summary = "List the virtual machines, by name.",
        .description =
            "Answered from what libvirt's events keep current, at no cost for libvirt. While libvirt "
            "is away the list is as it was last ('current' is false, 'asOf' says when).",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct list_args),
        .params = PARAMS(PARAM(list_args, state, "state", .type = PARAM_CHOICE,
                               .choices = vm_state_choices, .about = "Only those in this state."),
                         PARAM(list_args, limit, "limit", .type = PARAM_INTEGER, .minimum = 1,
                               .maximum = 1000, .fallback = "500",
                               .about = "At most so many; large ones make shorter pages."),
                         PARAM(list_args, after, "after", .type = PARAM_TEXT,
                               .maximum = VM_NAME_MAX, .about = "The 'next' of the page before.")),
        .result = &vm_list_shape,
        .errors = ERRORS(ERROR_BACKEND_UNAVAILABLE),
        .steps = STEPS({ "look", list_run, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.status",
        .summary = "Show a virtual machine: its state, why, its memory, cpus and devices.",
        .description = "Answered from what libvirt's events keep current, at no cost for libvirt.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &vm_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_BACKEND_UNAVAILABLE),
        .object = vm_name_object,
        .steps = STEPS({ "look", status_run, .pool = POOL_LOOP }),
    },
    {
        .name = "vm.xml",
        .summary = "Show libvirt's own description of a virtual machine, without its secrets.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct xml_args),
        .params =
            PARAMS(VM_PARAM(xml_args), PARAM(xml_args, inactive, "inactive", .type = PARAM_BOOL,
                                             .about = "What it will be at its next start.")),
        .result = &vm_xml_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .state_size = sizeof(struct vm_use),
        .state_done = vm_state_done,
        .object = vm_name_object,
        .steps = STEPS(VM_FIND_STEP, { "read", xml_run, .pool = POOL_VIRT }),
    },
    { 0 },
};
