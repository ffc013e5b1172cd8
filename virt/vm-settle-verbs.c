/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.settle: what QEMU has open of a VM's disks is held against the images' records, and those put right.
 *
 * The agent does it by itself wherever a kill may have left a record behind (virt/job-adopt.h), and before it
 * starts a VM.
 */
#include <config.h>

#include <string.h>

#include "virt/disk-work.h"

static const char *
found_name(enum disk_found found)
{
    return found == DISK_AS_RECORDED ? "as-recorded"
           : found == DISK_WENT_OVER ? "went-over"
                                     : "outdated";
}

static void
tell(struct writer *writer, const char *disk, const struct repository *repository,
     const char *image, const char *found)
{
    writer_object(writer);
    writer_member_string(writer, "disk", disk);
    writer_member_string(writer, "repository", repository->name);
    writer_member_string(writer, "image", image);
    writer_member_string(writer, "found", found);
    writer_end_object(writer);
}

/* A VM that is off is to know the files that the image is now.  What it knew before can go then. */
static bool
renew(struct call *call, const struct disk_chain *chain, struct repository *repository,
      const char *image, enum disk_found *found, struct error **err)
{
    _cleanup_(disk_source_done) struct disk_source source = { 0 };
    _cleanup_(disk_chain_done) struct disk_chain renewed = { 0 };
    enum disk_found again;

    if (!disk_describe(repository, image, &source, err))
        return false;
    if (strcmp(source.layers[0].path, chain->files[0].path) == 0)
        return true;
    if (*found == DISK_AS_RECORDED)
        *found = DISK_OUTDATED;
    return disk_work_redefine(call, chain->target, repository, image, err) &&
           disk_work_look(call, chain->target, &renewed, err) &&
           disk_work_settle(call, &renewed, repository, image, &again, err);
}

static bool
settle_image(struct call *call, const struct disk_chain *chain, struct repository *repository,
             char **image, struct writer *writer, struct error **err)
{
    const struct disk_work *work = call->state;
    enum disk_found found;

    if (!disk_work_follow_merge(repository, image, err) ||
        !disk_work_settle(call, chain, repository, *image, &found, err)) {
        if ((*err)->code != ERROR_IMAGE_IN_USE)
            return false;
        error_free(TAKE(*err));
        tell(writer, chain->target, repository, *image, "in-use");
        return true;
    }
    if (!work->running && !renew(call, chain, repository, *image, &found, err))
        return false;
    tell(writer, chain->target, repository, *image, found_name(found));
    return true;
}

/* A merge whose job is not there any more tells of itself by the image's record. */
static void
drop_note(struct call *call, const struct xml_document *document, const struct disk_chain *chain)
{
    _cleanup_(disk_note_done) struct disk_note note = { 0 };
    _cleanup_(error_freep) struct error *ignored = NULL;
    virDomainPtr domain;

    if (!chain->job && disk_note_read(xml_root(document), chain->target, &note) && note.kind &&
        strcmp(note.kind, "merge") == 0 && vm_domain(call, &domain, &ignored))
        disk_note_remove(domain, chain->target);
}

static bool
settle_disk(struct call *call, const struct xml_document *document, const struct xml_node *node,
            struct writer *writer, struct error **err)
{
    const struct disk_work *work = call->state;
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    _cleanup_(error_freep) struct error *unknown = NULL;
    _cleanup_free_ char *image = NULL;
    struct repository *repository;

    disk_chain_read(node, &chain);
    if (!chain.writable || !chain.target || !chain.count ||
        !disk_chain_image(&chain, work->places, &repository, &image, &unknown))
        return true;
    drop_note(call, document, &chain);
    return settle_image(call, &chain, repository, &image, writer, err);
}

static bool
settle_all(struct call *call, const struct xml_document *document, struct writer *writer,
           struct error **err)
{
    for (XML_EACH(node, xml_child(xml_root(document), "devices"), "disk"))
        if (!settle_disk(call, document, node, writer, err))
            return false;
    return true;
}

static bool
is_unsettled(const struct disk_work *work, const struct xml_document *document)
{
    for (XML_EACH(node, xml_child(xml_root(document), "devices"), "disk")) {
        _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };

        disk_chain_read(node, &chain);
        if (disk_work_is_unsettled(work->places, &chain, work->running))
            return true;
    }
    return false;
}

enum outcome
disk_work_renew(struct call *call)
{
    const struct disk_work *work = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_writer_ struct writer found = WRITER_INIT;

    if (!disk_work_read(call, &document, &error))
        return call_complete(call, "%s", error->message);
    if (work->running || !is_unsettled(work, document))
        return call_complete(call, NULL);
    writer_array(&found);
    if (!vm_require_unsaved(work->use.domain, &error) ||
        !settle_all(call, document, &found, &error))
        return call_complete(call, "%s", error->message);
    writer_end_array(&found);
    return call_complete(call, "%s", found.text.bytes);
}

static enum outcome
settle_run(struct call *call)
{
    const struct disk_work *work = call->state;
    struct writer *writer = call_result(call);
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!disk_work_read(call, &document, &error) || !vm_require_unsaved(work->use.domain, &error))
        return call_fail(call, TAKE(error));
    writer_object(writer);
    writer_member_string(writer, "vm", work->name);
    writer_key(writer, "disks");
    writer_array(writer);
    if (!settle_all(call, document, writer, &error))
        return call_fail(call, TAKE(error));
    writer_end_array(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

static const struct shape vm_settled_shape = {
    .name = "VmSettled",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"disks\"],\"properties\":{\"vm\":{\"type\":\"string\"},"
        "\"disks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"disk\",\"repository\",\"image\","
        "\"found\"],\"properties\":{\"disk\":{\"type\":\"string\"},\"repository\":{\"type\":\"string\"},\"image\":{"
        "\"type\":\"string\"},\"found\":{\"enum\":[\"as-recorded\",\"went-over\",\"outdated\",\"in-use\"]}}}}}}",
};

const struct verb vm_settle_verbs[] = {
    {
        .name = "vm.settle",
        .summary =
            "Hold what QEMU has open of a virtual machine's disks against the images' records, and put those right.",
        .description =
            "The agent does this by itself when it starts, when libvirt is back, when a VM stops and before vm.start. For each disk it "
            "tells what was found: as-recorded, went-over (QEMU had; the record now says so), outdated (a VM that is "
            "off was described with files that the image has left; it is not any more), in-use (a task is at it).",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct vm_args),
        .params = PARAMS(VM_PARAM(vm_args)),
        .result = &vm_settled_shape,
        .errors =
            ERRORS(ERROR_NOT_FOUND, ERROR_BUSY, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND,
                   ERROR_IMAGE_BROKEN, ERROR_CONFLICT, ERROR_IMAGE_HAS_DEPENDENTS,
                   ERROR_WRONG_STATE, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps = STEPS(DISK_WORK_FIND_STEP, { "settle", settle_run, .pool = POOL_VIRT }),
        .state_size = sizeof(struct disk_work),
        .state_done = disk_work_done,
        .object = vm_name_object,
    },
    { 0 },
};
