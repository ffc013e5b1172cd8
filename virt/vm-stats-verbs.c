/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "virt/failure.h"
#include "virt/vm-stats.h"
#include "virt/vm-steps.h"

/* An answer stays below the 1 MiB of a frame. */
#define PAGE_SIZE_MAX (768 * 1024)

struct stats_args {
    char *vm;
    int64_t limit;
    char *after;
    bool fresh;
};

#define OBJECT_OR_NULL "{\"type\":[\"object\",\"null\"]}"
static const struct shape vm_stats_shape = {
    .name = "VmStats",
    .schema =
        "{\"type\":\"object\",\"required\":[\"sampled\",\"intervalMs\",\"vms\"],\"properties\":{" SAMPLING_SCHEMA
        ",\"next\":{\"type\":\"string\"},\"vms\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
        "\"required\":[\"vm\",\"uuid\",\"state\",\"reason\",\"stale\",\"cpu\",\"vcpus\",\"memory\","
        "\"disks\",\"networks\"],\"properties\":{\"vm\":{\"type\":\"string\"},\"uuid\":{\"type\":"
        "\"string\"},\"state\":{\"type\":\"string\"},\"reason\":{\"type\":[\"string\",\"null\"]},"
        "\"stale\":{\"type\":\"boolean\"},\"cpu\":" OBJECT_OR_NULL ",\"memory\":" OBJECT_OR_NULL
        ",\"vcpus\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"vcpu\","
        "\"state\",\"timeMs\",\"busy\"]}},\"disks\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
        "\"required\":[\"target\",\"repository\",\"image\",\"reads\",\"writes\",\"readBytes\","
        "\"writeBytes\",\"allocation\",\"capacity\",\"physical\",\"readsPerSecond\"]}},"
        "\"networks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\","
        "\"mac\",\"received\",\"sent\"]}}}}}}}",
};

static void
write_vm(const struct vm *vm, const struct vm_figures *figures, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "vm", vm->name);
    writer_member_string(writer, "uuid", vm->uuid);
    writer_member_string(writer, "state", vm_state_name(vm->state));
    writer_member_string(writer, "reason", vm->reason);
    writer_member_bool(writer, "stale", figures && figures->stale);
    for (enum vm_part part = 0; part < VM_PARTS; part++) {
        writer_key(writer, vm_part_name(part));
        if (figures)
            writer_json(writer, figures->parts[part].bytes, figures->parts[part].length);
        else
            writer_json(writer, vm_part_is_list(part) ? "[]" : "null",
                        vm_part_is_list(part) ? 2 : 4);
    }
    writer_end_object(writer);
}

/*
 * One that has begun another run since has no figures of this one.  Which run it is, is known as soon as its
 * description has been read, which may be after the event that says that it runs (libvirt tells that it goes
 * on before it tells that it was started).
 */
static const struct vm_figures *
figures_of(const struct sample *sample, const struct vm *vm)
{
    const struct vm_figures *figures =
        vm->state == VM_SHUTOFF ? NULL : vm_sample_find(sample->data, vm->uuid);
    bool is_same =
        figures && (vm->id >= 0 ? (int64_t)figures->id == vm->id : sample->wall_ns >= vm->since_ns);

    return is_same ? figures : NULL;
}

static void
write_page(const struct virt *virt, const struct stats_args *args, const struct sample *sample,
           struct writer *writer)
{
    const char *last = NULL;
    int64_t count = 0;
    bool more = false;

    writer_key(writer, "vms");
    writer_array(writer);
    for (size_t i = 0; i < virt->entry_count; i++) {
        const struct vm *vm = virt->entries[i]->vm;

        if (args->after && strcmp(vm->name, args->after) <= 0)
            continue;
        more = count == args->limit || (count > 0 && writer->text.length > PAGE_SIZE_MAX);
        if (more)
            break;
        write_vm(vm, figures_of(sample, vm), writer);
        last = vm->name;
        count++;
    }
    writer_end_array(writer);
    if (more)
        writer_member_string(writer, "next", last);
}

static enum outcome
write_stats(struct call *call, const struct sample *now)
{
    const struct stats_args *args = call->args;
    struct virt *virt = call->context;
    const struct vm_entry *entry = args->vm ? vm_table_find(virt, args->vm) : NULL;
    struct writer *writer = call_result(call);

    if (args->vm && !entry) {
        struct error *error = NULL;

        (void)virt_missing(&error, args->vm);
        return call_fail(call, error);
    }
    writer_object(writer);
    sampling_write(now, writer);
    if (entry) {
        writer_key(writer, "vms");
        writer_array(writer);
        write_vm(entry->vm, figures_of(now, entry->vm), writer);
        writer_end_array(writer);
    } else
        write_page(virt, args, now, writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

static enum outcome
stats_answer(struct call *call)
{
    const struct stats_args *args = call->args;
    struct virt *virt = call->context;

    return sampling_answer(call, &virt->stats->sampling, call->state, args->fresh, write_stats);
}

static void
name_object(const void *args, struct object_name *ret_object)
{
    const struct stats_args *named = args;

    *ret_object = (struct object_name){ .kind = "vm", .id = named->vm };
}

const struct verb vm_stats_verbs[] = {
    {
        .name = "vm.stats",
        .summary = "Show what virtual machines use: CPU, memory, disks and networks.",
        .description =
            "Totals are since the VM was started; rates are those between the last two samples, "
            "'intervalMs' apart, and null while there is but one, or after a restart. Sampled every 5 s "
            "while somebody asks (less often where that takes libvirt long), by one question for all VMs. "
            "'cpusUsed' 2 is two CPUs all of the time. Of a VM that does not run there are no figures. "
            "'stale': its QEMU could not be asked, so what only it knows is null.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct stats_args),
        .params = PARAMS(
            PARAM(stats_args, vm, "vm", .type = PARAM_TEXT, .minimum = 1, .maximum = VM_NAME_MAX,
                  .about = "Only this VM, by its name or its UUID."),
            PARAM(stats_args, limit, "limit", .type = PARAM_INTEGER, .minimum = 1, .maximum = 1000,
                  .fallback = "500", .about = "At most so many; large ones make shorter pages."),
            PARAM(stats_args, after, "after", .type = PARAM_TEXT, .maximum = VM_NAME_MAX,
                  .about = "The 'next' of the page before."),
            PARAM(stats_args, fresh, "fresh", .type = PARAM_BOOL,
                  .about = "From a sample that is taken now.")),
        .result = &vm_stats_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED,
                         ERROR_BUSY, ERROR_TIMEOUT),
        .steps = STEPS({ "answer", stats_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct sampling_wish),
        .object = name_object,
    },
    { 0 },
};
