/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: the moments since which QEMU counts what changes, each by a bitmap in a qcow2 disk.
 */
#include <config.h>

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "virt/backup-steps.h"

/* ---- vm.checkpoints ---- */

static const struct shape checkpoints_shape = {
    .name = "Checkpoints",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"checkpoints\"],\"properties\":{\"vm\":{\"type\":\"string\"},"
        "\"checkpoints\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\",\"parent\","
        "\"created\",\"state\",\"disks\"],\"properties\":{\"name\":{\"type\":\"string\"},"
        "\"parent\":{\"type\":[\"string\",\"null\"]},\"created\":{\"type\":[\"string\",\"null\"]},"
        "\"state\":{\"enum\":[\"ok\",\"broken\",\"unknown\"]},\"description\":{\"type\":\"string\"},"
        "\"disks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"disk\"],\"properties\":{"
        "\"disk\":{\"type\":\"string\"},\"bitmap\":{\"type\":\"string\"},\"size\":{\"type\":\"integer\"}}}}}}}}}",
};

static void
write_disks(const struct xml_node *disks, struct writer *writer)
{
    writer_key(writer, "disks");
    writer_array(writer);
    for (XML_EACH(disk, disks, "disk")) {
        _cleanup_free_ char *target = xml_attribute(disk, "name");
        _cleanup_free_ char *bitmap = xml_attribute(disk, "bitmap");
        uint64_t size;

        if (!xml_attribute_is(disk, "checkpoint", "bitmap"))
            continue;
        writer_object(writer);
        writer_member_string(writer, "disk", target);
        if (bitmap)
            writer_member_string(writer, "bitmap", bitmap);
        if (xml_attribute_number(disk, "size", &size))
            writer_member_unsigned(writer, "size", size);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

/* libvirt 9.0 leaves out the size of a bitmap that is not there. */
static const char *
state_of(const struct xml_node *disks, bool measured)
{
    if (!measured)
        return "unknown";
    for (XML_EACH(disk, disks, "disk"))
        if (xml_attribute_is(disk, "checkpoint", "bitmap")) {
            _cleanup_free_ char *size = xml_attribute(disk, "size");

            if (!size)
                return "broken";
        }
    return "ok";
}

static void
write_checkpoint(const struct xml_node *root, bool measured, struct writer *writer)
{
    const struct xml_node *disks = xml_child(root, "disks");
    const struct xml_node *parent = xml_child(root, "parent");
    int64_t created_s = (int64_t)xml_count(root, "creationTime");

    writer_object(writer);
    writer_member_string(writer, "name", xml_text(root, "name"));
    writer_member_string(writer, "parent", parent ? xml_text(parent, "name") : NULL);
    writer_member_time(writer, "created", created_s * INT64_C(1000000000));
    writer_member_string(writer, "state", state_of(disks, measured));
    if (xml_child(root, "description"))
        writer_member_string(writer, "description", xml_text(root, "description"));
    write_disks(disks, writer);
    writer_end_object(writer);
}

/*
 * Sizes only where QEMU can be asked: of a VM that runs, and while nobody of us removes a checkpoint.  libvirt 9.0
 * finds the checkpoint, waits for the removal, and then uses what has been freed: libvirtd dies of it.
 */
static bool
tell_checkpoint(virDomainCheckpointPtr checkpoint, bool measure, struct writer *writer,
                struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_free_ char *xml = NULL;
    bool measured;

    if (measure)
        xml = virDomainCheckpointGetXMLDesc(checkpoint, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN |
                                                            VIR_DOMAIN_CHECKPOINT_XML_SIZE);
    measured = xml != NULL;
    if (!xml)
        xml = virDomainCheckpointGetXMLDesc(checkpoint, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN);
    if (!xml) /* removed since it was listed */
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_CHECKPOINT ||
               virt_fail(err, NULL, "cannot read a checkpoint");
    if (!xml_parse("libvirt", xml, strlen(xml), &document, err))
        return false;
    write_checkpoint(xml_root(document), measured, writer);
    return true;
}

static bool
tell_all(virDomainPtr domain, bool measure, struct writer *writer, struct error **err)
{
    virDomainCheckpointPtr *all = NULL;
    int count = virDomainListAllCheckpoints(domain, &all, VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL);
    bool told =
        count >= 0 || virGetLastErrorCode() == VIR_ERR_NO_SUPPORT ||
        virt_fail(err, domain, "cannot list the checkpoints of '%s'", virDomainGetName(domain));

    for (int i = 0; i < count; i++) {
        told = told && tell_checkpoint(all[i], measure, writer, err);
        (void)virDomainCheckpointFree(all[i]);
    }
    free(all);
    return told;
}

static enum outcome
list_run(struct call *call)
{
    const struct backup_use *use = call->state;
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    writer_object(&writer);
    writer_member_string(&writer, "vm", virDomainGetName(domain));
    writer_key(&writer, "checkpoints");
    writer_array(&writer);
    if (!tell_all(domain, use->hold != NULL, &writer, &error)) {
        writer_clear(&writer);
        return call_fail(call, error);
    }
    writer_end_array(&writer);
    writer_end_object(&writer);
    writer_json(call_result(call), writer.text.bytes, writer.text.length);
    return call_complete(call, NULL);
}

/* ---- vm.removeCheckpoint ---- */

struct remove_args {
    struct vm_args vm;
    char *checkpoint;
};

static bool
remove_one(struct call *call, struct error **err)
{
    const struct remove_args *args = call->args;
    struct backup_use *use = call->state;
    virDomainPtr domain;
    bool dropped;

    if (!backup_find(call, err) || !vm_domain(call, &domain, err))
        return false;
    /* libvirt 9.0 would remove it under the backup. */
    if (use->job.running)
        return backup_refuse("a backup is under way", "no backup of this VM", err,
                             "a backup is under way, which may need the checkpoint");
    if (!backup_drop_checkpoint(domain, args->checkpoint, &dropped, err))
        return false;
    if (dropped)
        return true;
    error_set(err, ERROR_NOT_FOUND, "'%s' has no checkpoint '%s'", virDomainGetName(domain),
              args->checkpoint);
    error_data_text(err, "kind", "checkpoint");
    return error_data_text(err, "id", "%s", args->checkpoint);
}

static enum outcome
remove_run(struct call *call)
{
    struct error *error = NULL;
    struct writer *writer;

    if (!remove_one(call, &error))
        return vm_fail(call, error);
    writer = call_result(call);
    writer_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

/* ---- vm.redefineCheckpoints ---- */

struct bitmap_args {
    char *disk, *bitmap;
    uint64_t size;
};

struct checkpoint_args {
    char *name, *parent, *created, *state, *description;
    struct records disks; /* of struct bitmap_args */
};

struct redefine_args {
    struct vm_args vm;
    struct records checkpoints; /* of struct checkpoint_args */
};

static bool
is_among(const struct checkpoint_args *args, const char *target)
{
    const struct bitmap_args *all = args->disks.all;

    for (size_t i = 0; i < args->disks.count; i++)
        if (strcmp(all[i].disk, target) == 0)
            return true;
    return false;
}

static char *
redefinition(const struct checkpoint_args *args, const struct vm *vm, int64_t created_s)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();
    const struct bitmap_args *all = args->disks.all;

    xml_element(writer, "domaincheckpoint");
    xml_leaf(writer, "name", args->name);
    xml_leaf(writer, "description", args->description);
    if (args->parent) {
        xml_element(writer, "parent");
        xml_leaf(writer, "name", args->parent);
        xml_element_end(writer);
    }
    xml_leaf_number(writer, "creationTime", (uint64_t)created_s);
    xml_element(writer, "disks");
    for (size_t i = 0; i < args->disks.count; i++) {
        xml_element(writer, "disk");
        xml_attr(writer, "name", all[i].disk);
        xml_attr(writer, "checkpoint", "bitmap");
        xml_attr(writer, "bitmap", all[i].bitmap ? all[i].bitmap : args->name);
        xml_element_end(writer);
    }
    for (size_t i = 0; i < vm->disk_count; i++)
        if (!is_among(args, vm->disks[i].target)) {
            xml_element(writer, "disk");
            xml_attr(writer, "name", vm->disks[i].target);
            xml_attr(writer, "checkpoint", "no");
            xml_element_end(writer);
        }
    xml_element_end(writer);
    xml_element_end(writer);
    return xml_writer_take(writer);
}

static bool
redefine_one(virDomainPtr domain, const struct vm *vm, const struct checkpoint_args *args,
             struct error **err)
{
    unsigned flags = VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE;
    virDomainCheckpointPtr checkpoint;
    _cleanup_free_ char *xml = NULL;
    int64_t created_ns;

    if (!clock_parse(args->created, &created_ns))
        return error_param(err, "checkpoints", "has no time in 'created' of '%s'", args->name);
    /* What is not so would show as an increment that lacks something: QEMU is asked, where it runs. */
    if (vm->state == VM_RUNNING || vm->state == VM_PAUSED)
        flags |= VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE;
    xml = redefinition(args, vm, created_ns / INT64_C(1000000000));
    checkpoint = virDomainCheckpointCreateXML(domain, xml, flags);
    if (!checkpoint)
        return virt_fail(err, domain, "cannot redefine checkpoint '%s'", args->name);
    (void)virDomainCheckpointFree(checkpoint);
    return true;
}

static bool
redefine(struct call *call, struct error **err)
{
    const struct redefine_args *args = call->args;
    const struct checkpoint_args *all = args->checkpoints.all;
    _cleanup_(vm_freep) struct vm *vm = NULL;
    virDomainPtr domain;

    if (!vm_now(call, &vm, err) || !vm_domain(call, &domain, err))
        return false;
    for (size_t i = 0; i < args->checkpoints.count; i++)
        if (!redefine_one(domain, vm, &all[i], err))
            return false;
    return true;
}

static enum outcome
redefine_run(struct call *call)
{
    struct error *error = NULL;

    return redefine(call, &error) ? list_run(call) : vm_fail(call, error);
}

const struct verb checkpoint_verbs[] = {
    {
        .name = "vm.checkpoints",
        .summary = "List the checkpoints of a virtual machine, parents first.",
        .description =
            "With how much has changed since each, while it runs. One that is 'broken' has lost its "
            "bitmap, as after a crash of QEMU: no incremental backup can be since it, nor since one "
            "before it. Of a VM that is off, or while it is backed up, that is unknown.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &checkpoints_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(VM_FIND_STEP, { "hold", backup_hold_if_free, .pool = POOL_LOOP },
                       { "list", list_run, .pool = POOL_VIRT },
                       { "let go", backup_let_go, .pool = POOL_LOOP, .when = ALWAYS }),
        .state_size = sizeof(struct backup_use),
        .state_done = backup_use_done,
        .object = vm_name_object,
    },
    {
        .name = "vm.removeCheckpoint",
        .summary = "Remove a checkpoint: what it counted is added to the one before.",
        .description =
            "One that has lost its bitmap, or whose VM is off, is only forgotten: then its "
            "bitmap, if there is one, stays in the disk.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct remove_args),
        .params = PARAMS(VM_PARAM(remove_args),
                         PARAM(remove_args, checkpoint, "checkpoint", .type = PARAM_TEXT,
                               .required = true, .minimum = 1, .maximum = 255, .one_line = true,
                               .about = "Its name.")),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,
                         ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(VM_FIND_STEP, { "hold", backup_hold_briefly, .pool = POOL_LOOP },
                       { "remove", remove_run, .pool = POOL_VIRT },
                       { "let go", backup_let_go, .pool = POOL_LOOP, .when = ALWAYS }),
        .state_size = sizeof(struct backup_use),
        .state_done = backup_use_done,
        .object = vm_name_object,
    },
    {
        .name = "vm.redefineCheckpoints",
        .summary =
            "Tell libvirt again of checkpoints whose bitmaps are in a virtual machine's disks.",
        .description =
            "For a transient VM that is created again, and for one that is defined on another host: libvirt "
            "forgets its checkpoints, the disks keep the bitmaps. Takes what vm.checkpoints has told, parents "
            "first. Of a VM that runs a bitmap that is not there is WrongState.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct redefine_args),
        .params = PARAMS(
            VM_PARAM(redefine_args),
            PARAM(
                redefine_args, checkpoints, "checkpoints", .type = PARAM_RECORDS, .required = true,
                .minimum = 1, .maximum = 1000, .about = "The checkpoints.",
                .member_size = sizeof(struct checkpoint_args),
                .members = PARAMS(
                    PARAM(checkpoint_args, name, "name", .type = PARAM_TEXT, .required = true,
                          .minimum = 1, .maximum = 255, .one_line = true, .about = "Its name."),
                    PARAM(checkpoint_args, parent, "parent", .type = PARAM_TEXT, .minimum = 1,
                          .maximum = 255, .one_line = true, .about = "The one before it."),
                    PARAM(checkpoint_args, created, "created", .type = PARAM_TEXT, .required = true,
                          .one_line = true, .about = "When it was made."),
                    PARAM(checkpoint_args, state, "state", .type = PARAM_TEXT, .one_line = true,
                          .about = "Of no account."),
                    PARAM(checkpoint_args, description, "description", .type = PARAM_TEXT,
                          .one_line = true, .about = "Whatever its maker said of it."),
                    PARAM(checkpoint_args, disks, "disks", .type = PARAM_RECORDS, .required = true,
                          .minimum = 1, .maximum = 100, .about = "The disks it is of.",
                          .member_size = sizeof(struct bitmap_args),
                          .members = PARAMS(
                              PARAM(bitmap_args, disk, "disk", .type = PARAM_TEXT,
                                    .required = true, .minimum = 1, .maximum = 64, .one_line = true,
                                    .about = "The disk, by target."),
                              PARAM(bitmap_args, bitmap, "bitmap", .type = PARAM_TEXT, .minimum = 1,
                                    .maximum = 255, .one_line = true,
                                    .about = "Its bitmap; named as the checkpoint when absent."),
                              PARAM(bitmap_args, size, "size", .type = PARAM_SIZE,
                                    .about = "Of no account; bytes.")))))),
        .result = &checkpoints_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_ALREADY_EXISTS, ERROR_WRONG_STATE, ERROR_BUSY,
                         ERROR_TIMEOUT, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(VM_FIND_STEP, { "hold", backup_hold_briefly, .pool = POOL_LOOP },
                       { "redefine", redefine_run, .pool = POOL_VIRT },
                       { "let go", backup_let_go, .pool = POOL_LOOP, .when = ALWAYS }),
        .state_size = sizeof(struct backup_use),
        .state_done = backup_use_done,
        .object = vm_name_object,
    },
    { 0 },
};
