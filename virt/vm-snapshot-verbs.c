/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.snapshot: disks of a VM are kept as they are at one moment, each as an immutable image; the VM goes on.
 *
 * storage/ makes the layers, libvirt lets QEMU go over to all of them at once, then the records follow.  Killed
 * between the two, what QEMU has open tells which is true (storage/disk-live.h).
 */
#include <config.h>

#include <string.h>

#include "agent/base/clock.h"
#include "storage/image-steps.h"
#include "virt/disk-work.h"
#include "virt/freeze.h"
#include "virt/virt-internal.h"

#define DISKS_MAX 64

struct wanted_disk {
    char *disk, *snapshot;
};

struct snapshot_args {
    struct vm_args vm;
    struct records disks; /* struct wanted_disk */
    bool freeze;
};

struct snapshot_item {
    char *disk;                    /* target; owned */
    char *id;                      /* of the snapshot; owned */
    struct repository *repository; /* borrowed */
    char *image;                   /* owned */
    struct image_snapshot steps;
    bool locked;
    char *path; /* of the layer; owned */
};

struct snapshot_state {
    struct disk_work work;
    struct snapshot_item *items;
    size_t count;
    bool gone_over; /* QEMU has, or it cannot be told whether */
};

static void
snapshot_done(struct call *call)
{
    struct snapshot_state *state = call->state;

    for (size_t i = 0; i < state->count; i++) {
        struct snapshot_item *item = &state->items[i];

        if (item->locked)
            image_snapshot_done(&item->steps);
        free(item->disk);
        free(item->id);
        free(item->image);
        free(item->path);
    }
    free(TAKE(state->items));
    disk_work_done(call);
}

/* ---- which disks ---- */

static bool
check_item(const struct snapshot_state *state, const struct disk_chain *chain, struct error **err)
{
    for (size_t i = 0; i < state->count; i++)
        if (strcmp(state->items[i].disk, chain->target) == 0)
            return error_param(err, "disks", "must name each disk once");
    if (!chain->job)
        return true;
    error_set(err, ERROR_WRONG_STATE, "a job is at disk '%s': see vm.jobs", chain->target);
    error_data_text(err, "state", "%s", chain->job);
    return error_data_text(err, "needs", "no job on that disk");
}

static bool
add_item(struct call *call, const struct xml_document *document, const char *disk,
         const char *snapshot, struct error **err)
{
    struct snapshot_state *state = call->state;
    struct snapshot_item item = { 0 };
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    char uuid[UUID_TEXT_SIZE];

    if (!disk_work_open(call, document, disk, &chain, &item.repository, &item.image, err))
        return false;
    if (!check_item(state, &chain, err)) {
        free(item.image);
        return false;
    }
    uuid_make(uuid);
    item.disk = xstrdup(chain.target);
    item.id = xstrdup(snapshot ? snapshot : uuid);
    state->items[state->count++] = item;
    return true;
}

static bool
find_wanted(struct call *call, const struct xml_document *document, struct error **err)
{
    const struct snapshot_args *args = call->args;
    const struct wanted_disk *wanted = args->disks.all;

    for (size_t i = 0; i < args->disks.count; i++)
        if (!add_item(call, document, wanted[i].disk, wanted[i].snapshot, err))
            return false;
    return true;
}

/* All that the guest can write to. */
static bool
find_all(struct call *call, const struct xml_document *document, struct error **err)
{
    struct snapshot_state *state = call->state;
    const struct xml_node *devices = xml_child(xml_root(document), "devices");

    for (XML_EACH(node, devices, "disk")) {
        _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };

        disk_chain_read(node, &chain);
        if (!chain.writable || !chain.target)
            continue;
        if (state->count == DISKS_MAX)
            return error_param(err, "disks", "must name at most 64 of them at a time");
        if (!add_item(call, document, chain.target, NULL, err))
            return error_wrap(err, "name the disks that are to be kept ('disks')");
    }
    if (state->count)
        return true;
    error_set(err, ERROR_WRONG_STATE, "VM '%s' has no disk that it writes to", state->work.name);
    error_data_text(err, "state", "no disk");
    return error_data_text(err, "needs", "a disk");
}

static bool
refuse_freeze(const struct call *call, struct error **err)
{
    const struct snapshot_args *args = call->args;
    const struct snapshot_state *state = call->state;

    if (!args->freeze || state->work.running)
        return true;
    error_set(err, ERROR_WRONG_STATE, "VM '%s' is off: leave 'freeze' away", state->work.name);
    error_data_text(err, "state", "shutoff");
    return error_data_text(err, "needs", "a running VM");
}

static enum outcome
snapshot_find(struct call *call)
{
    const struct snapshot_args *args = call->args;
    struct snapshot_state *state = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(error_freep) struct error *error = NULL;

    state->items = xalloc(DISKS_MAX * sizeof(*state->items));
    if (!disk_work_read(call, &document, &error) || !refuse_freeze(call, &error) ||
        !(args->disks.count ? find_wanted(call, document, &error)
                            : find_all(call, document, &error)))
        return call_fail(call, TAKE(error));
    return call_complete(call, "%zu disks", state->count);
}

/* ---- the layers ---- */

static bool
make(struct call *call, struct snapshot_item *item, struct error **err)
{
    const struct image_wish wish = disk_work_wish(call);

    item->locked = image_snapshot_lock(item->repository, item->image, &wish, &item->steps, err);
    if (!item->locked || !image_snapshot_make(&item->steps, item->id, &wish, err) ||
        !image_snapshot_make_layer(&item->steps, &wish, err))
        return error_wrap(err, "cannot keep disk '%s'", item->disk);
    item->path = image_snapshot_path(&item->steps);
    return true;
}

static enum outcome
snapshot_make(struct call *call)
{
    struct snapshot_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    for (size_t i = 0; i < state->count; i++)
        if (!make(call, &state->items[i], &error))
            return call_fail(call, TAKE(error));
    return call_complete(call, NULL);
}

/* ---- QEMU ---- */

static bool
is_item(const struct snapshot_state *state, const char *disk)
{
    for (size_t i = 0; i < state->count; i++)
        if (strcmp(state->items[i].disk, disk) == 0)
            return true;
    return false;
}

/* A disk that is not mentioned would get an overlay that libvirt names. */
static char *
snapshot_xml(const struct snapshot_state *state, const struct xml_document *document)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();

    xml_element(writer, "domainsnapshot");
    xml_element(writer, "disks");
    for (size_t i = 0; i < state->count; i++) {
        const struct snapshot_item *item = &state->items[i];
        const struct repository_place *place = &item->repository->place;
        const bool in_volume = repository_place_is_in_volume(place);
        const struct disk_file file = { .path = item->path,
                                        .volume = in_volume ? place->volume : NULL,
                                        .format = (char *)(uintptr_t) "qcow2" };

        xml_element(writer, "disk");
        xml_attr(writer, "name", item->disk);
        xml_attr(writer, "snapshot", "external");
        disk_xml_file(writer, &file, in_volume ? place->servers : NULL);
        xml_element_end(writer);
    }
    for (XML_EACH(node, xml_child(xml_root(document), "devices"), "disk")) {
        _cleanup_free_ char *target = xml_attribute(xml_child(node, "target"), "dev");

        if (!target || is_item(state, target))
            continue;
        xml_element(writer, "disk");
        xml_attr(writer, "name", target);
        xml_attr(writer, "snapshot", "no");
        xml_element_end(writer);
    }
    xml_element_end(writer);
    xml_element_end(writer);
    return xml_writer_take(writer);
}

static bool
create(struct call *call, virDomainPtr domain, const char *xml, struct error **err)
{
    const struct snapshot_args *args = call->args;
    virDomainSnapshotPtr snapshot;
    unsigned flags = VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
                     VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC |
                     (args->freeze ? VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE : 0U);

    if (args->freeze && !freeze_prepare(domain, clock_wall_ns() + FREEZE_MOMENT_NS, err))
        return false;
    snapshot = virDomainSnapshotCreateXML(domain, xml, flags);
    if (!snapshot)
        virt_fail(err, domain, "cannot take a snapshot of '%s'", virDomainGetName(domain));
    else
        (void)virDomainSnapshotFree(snapshot);
    /* libvirt leaves frozen what was before a freeze failed, and says nothing where it got no turn to thaw. */
    if (args->freeze) {
        _cleanup_(error_freep) struct error *ignored = NULL; /* it has its deadline */

        (void)!freeze_thaw(domain, NULL, &ignored);
    }
    return snapshot != NULL;
}

static bool
is_running(const struct call *call)
{
    return ((const struct snapshot_state *)call->state)->work.running;
}

/* After a failure: whether QEMU has gone over all the same; where libvirt is away it cannot be told. */
static bool
look_whether_gone_over(struct call *call)
{
    const struct snapshot_state *state = call->state;
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    _cleanup_(error_freep) struct error *error = NULL;

    if (!disk_work_look(call, state->items[0].disk, &chain, &error))
        return error->code != ERROR_NOT_FOUND;
    return chain.count > 0 && strcmp(chain.files[0].path, state->items[0].path) == 0;
}

static enum outcome
snapshot_go_over(struct call *call)
{
    struct snapshot_state *state = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_free_ char *xml = NULL;
    virDomainPtr domain;

    if (!disk_work_read(call, &document, &error) || !vm_domain(call, &domain, &error))
        return call_fail(call, TAKE(error));
    if (!state->work.running) {
        error_set(&error, ERROR_WRONG_STATE, "VM '%s' has stopped: take it again",
                  state->work.name);
        return call_fail(call, TAKE(error));
    }
    xml = snapshot_xml(state, document);
    if (create(call, domain, xml, &error)) {
        state->gone_over = true;
        return call_complete(call, NULL);
    }
    state->gone_over = look_whether_gone_over(call);
    return call_fail(call, TAKE(error));
}

/* ---- the records ---- */

static bool
record(struct call *call, struct error **err)
{
    struct snapshot_state *state = call->state;

    for (size_t i = 0; i < state->count; i++) {
        struct image_snapshot *steps = &state->items[i].steps;

        if (!image_snapshot_switch(steps, err))
            return error_wrap(err, "cannot record the snapshot of disk '%s'", state->items[i].disk);
        image_settle(call, steps->snapshot, NULL);
        image_settle(call, steps->image, NULL);
    }
    return true;
}

static void
write_answer(struct call *call)
{
    const struct snapshot_state *state = call->state;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "vm", state->work.name);
    writer_key(writer, "snapshots");
    writer_array(writer);
    for (size_t i = 0; i < state->count; i++) {
        writer_object(writer);
        writer_member_string(writer, "disk", state->items[i].disk);
        writer_member_string(writer, "repository", state->items[i].repository->name);
        writer_member_string(writer, "image", state->items[i].image);
        writer_member_string(writer, "snapshot", state->items[i].id);
        writer_end_object(writer);
    }
    writer_end_array(writer);
    writer_end_object(writer);
}

static enum outcome
snapshot_record(struct call *call)
{
    struct snapshot_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    size_t i;

    state->gone_over = true;
    if (!record(call, &error))
        return call_fail(call, TAKE(error));
    for (i = 0; !state->work.running && i < state->count; i++)
        if (!disk_work_redefine(call, state->items[i].disk, state->items[i].repository,
                                state->items[i].image, &error))
            error_free(TAKE(error)); /* vm.start asks again which files they are */
    write_answer(call);
    return call_complete(call, NULL);
}

static bool
undo(struct call *call, struct snapshot_item *item)
{
    _cleanup_(error_freep) struct error *error = NULL;
    bool removed = false, undone;

    if (!item->locked || item->steps.committed)
        return true;
    undone = image_snapshot_undo(&item->steps, &removed, &error);
    if (removed)
        image_tell_removed(call, item->repository, item->id);
    return undone;
}

static enum outcome
snapshot_undo(struct call *call)
{
    struct snapshot_state *state = call->state;
    bool undone = true;

    if (state->gone_over)
        return call_complete(call, "what QEMU has open tells which is true: see vm.settle");
    for (size_t i = 0; i < state->count; i++)
        undone = undo(call, &state->items[i]) && undone;
    return call_complete(call, undone
                                   ? "the disks are as they were"
                                   : "a snapshot stays, unfinished: remove it, or take it again");
}

static const struct shape vm_snapshots_shape = {
    .name = "VmSnapshots",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"snapshots\"],\"properties\":{\"vm\":{\"type\":\"string\"},"
        "\"snapshots\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"disk\",\"repository\","
        "\"image\",\"snapshot\"],\"properties\":{\"disk\":{\"type\":\"string\"},\"repository\":{\"type\":\"string\"},"
        "\"image\":{\"type\":\"string\"},\"snapshot\":{\"type\":\"string\"}}}}}}",
};

const struct verb vm_snapshot_verbs[] = {
    {
        .name = "vm.snapshot",
        .summary =
            "Keep disks of a virtual machine as they are at one moment, each as an immutable image.",
        .description =
            "Of one that runs, without stopping it: all disks at the same moment. Each image goes on as a layer "
            "over its snapshot; vm.mergeDisk folds the two together again. With 'freeze' the guest agent "
            "writes out the guest's file systems first, else a snapshot is what a power cut leaves.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct snapshot_args),
        .params = PARAMS(
            VM_PARAM(snapshot_args),
            PARAM(snapshot_args, disks, "disks", .type = PARAM_RECORDS, .maximum = DISKS_MAX,
                  .members =
                      PARAMS(PARAM(wanted_disk, disk, "disk", .type = PARAM_TEXT, .required = true,
                                   .minimum = 1, .maximum = 64, .about = "The disk: vda."),
                             PARAM(wanted_disk, snapshot, "snapshot", .type = PARAM_NAME,
                                   .about = "The snapshot's id; a fresh UUID when absent.")),
                  .member_size = sizeof(struct wanted_disk),
                  .about = "Which disks; all that the guest can write to when absent."),
            PARAM(snapshot_args, freeze, "freeze", .type = PARAM_BOOL,
                  .about =
                      "Have the guest agent freeze the guest's file systems for that moment.")),
        .result = &vm_snapshots_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,
                         ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_EXISTS,
                         ERROR_IMAGE_IN_USE, ERROR_IMAGE_IMMUTABLE, ERROR_IMAGE_BROKEN,
                         ERROR_IMAGE_HAS_DEPENDENTS, ERROR_CONFLICT, ERROR_NO_SPACE,
                         ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps =
            STEPS(DISK_WORK_FIND_STEP, { "find disks", snapshot_find, .pool = POOL_VIRT },
                  { "make layers", snapshot_make, .pool = POOL_VIRT },
                  { "go over to them", snapshot_go_over, .pool = POOL_VIRT, .only_if = is_running },
                  { "record it", snapshot_record, .pool = POOL_VIRT },
                  { "leave it truthful", snapshot_undo, .pool = POOL_VIRT, .when = ON_FAILURE }),
        .state_size = sizeof(struct snapshot_state),
        .state_done = snapshot_done,
        .object = vm_name_object,
    },
    { 0 },
};
