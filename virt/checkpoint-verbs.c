/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: the moments since which QEMU counts what changes, each by a bitmap in a qcow2 disk.
 */
#include <config.h>

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

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

/* Sizes only where QEMU can be asked: of a VM that runs. */
static bool
tell_checkpoint(virDomainCheckpointPtr checkpoint, struct writer *writer, struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_free_ char *xml = virDomainCheckpointGetXMLDesc(
        checkpoint, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN | VIR_DOMAIN_CHECKPOINT_XML_SIZE);
    bool measured = xml != NULL;

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
tell_all(virDomainPtr domain, struct writer *writer, struct error **err)
{
    virDomainCheckpointPtr *all = NULL;
    int count = virDomainListAllCheckpoints(domain, &all, VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL);
    bool told =
        count >= 0 || virGetLastErrorCode() == VIR_ERR_NO_SUPPORT ||
        virt_fail(err, domain, "cannot list the checkpoints of '%s'", virDomainGetName(domain));

    for (int i = 0; i < count; i++) {
        told = told && tell_checkpoint(all[i], writer, err);
        (void)virDomainCheckpointFree(all[i]);
    }
    free(all);
    return told;
}

static enum outcome
list_run(struct call *call)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct error *error = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, &error))
        return call_fail(call, error);
    writer_object(&writer);
    writer_member_string(&writer, "vm", virDomainGetName(domain));
    writer_key(&writer, "checkpoints");
    writer_array(&writer);
    if (!tell_all(domain, &writer, &error)) {
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

const struct verb checkpoint_verbs[] = {
    {
        .name = "vm.checkpoints",
        .summary = "List the checkpoints of a virtual machine, parents first.",
        .description =
            "With how much has changed since each, while it runs. One that is 'broken' has lost its "
            "bitmap, as after a crash of QEMU: no incremental backup can be since it, nor since one "
            "before it. Of a VM that is off that is unknown.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &checkpoints_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(VM_FIND_STEP, { "list", list_run, .pool = POOL_VIRT }),
        .state_size = sizeof(struct vm_use),
        .state_done = vm_state_done,
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
    { 0 },
};
