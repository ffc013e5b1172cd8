/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/disk-work.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "agent/base/thread.h"
#include "storage/image-data.h"
#include "storage/image-steps.h"
#include "virt/virt-internal.h"

#define NOTE_URI "https://hostler.org/job/1/"

enum outcome
disk_work_find(struct call *call)
{
    const struct virt *virt = call->context;
    struct disk_work *work = call->state;
    enum outcome outcome = vm_find(call);

    if (outcome != OUTCOME_COMPLETE)
        return outcome;
    work->places = disk_places_new(virt->storage);
    work->holder = image_holder(call);
    work->name = xstrdup(work->use.entry->vm->name);
    return outcome;
}

enum outcome
disk_work_end(struct call *call)
{
    return call_complete(call, NULL);
}

void
disk_work_done(struct call *call)
{
    struct disk_work *work = call->state;

    disk_places_free(TAKE(work->places));
    free(TAKE(work->holder));
    free(TAKE(work->name));
    vm_state_done(call);
}

static bool
read_description(virDomainPtr domain, unsigned flags, struct xml_document **ret_document,
                 struct error **err)
{
    _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, flags);

    if (!xml)
        return virt_fail(err, domain, "cannot read the description of '%s'",
                         virDomainGetName(domain));
    return xml_parse("libvirt", xml, strlen(xml), ret_document, err);
}

bool
disk_work_read(struct call *call, struct xml_document **ret_document, struct error **err)
{
    struct disk_work *work = call->state;
    virDomainPtr domain;
    int active, persistent;

    WORKER_ONLY();
    if (!vm_domain(call, &domain, err))
        return false;
    active = virDomainIsActive(domain);
    persistent = virDomainIsPersistent(domain);
    if (active < 0 || persistent < 0)
        return virt_fail(err, domain, "cannot ask whether '%s' runs", work->name);
    work->running = active == 1;
    work->persistent = persistent == 1;
    return read_description(domain, 0, ret_document, err);
}

struct image_wish
disk_work_wish(struct call *call)
{
    const struct disk_work *work = call->state;

    return (struct image_wish){ .holder = work->holder,
                                .vm = work->use.uuid,
                                .running = work->running,
                                .abort = call_abort_flag(call) };
}

/* ---- which image it is ---- */

/* A disk that QEMU has gone over to the base of, by that one's own name, is the image that took it. */
bool
disk_work_follow_merge(struct repository *repository, char **image, struct error **err)
{
    _cleanup_(image_closep) struct image *found = NULL;

    if (!image_open(repository, *image, &found, err))
        return false;
    if (found->record.merged_into) {
        free(*image);
        *image = xstrdup(found->record.merged_into);
    }
    return true;
}

static size_t
add_paths(const struct disk_chain *chain, char ***paths, size_t count)
{
    *paths = xrealloc(*paths, (count + chain->count + 2) * sizeof(**paths));
    for (size_t i = 0; i < chain->count; i++)
        (*paths)[count++] = xstrdup(chain->files[i].path);
    if (chain->other.path)
        (*paths)[count++] = xstrdup(chain->other.path);
    (*paths)[count] = NULL;
    return count;
}

static bool
add_described(struct call *call, unsigned flags, const char *disk, char ***paths, size_t *count,
              struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    const struct xml_node *node;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, err) || !read_description(domain, flags, &document, err)) {
        if ((*err)->code != ERROR_NOT_FOUND)
            return false;
        error_free(TAKE(*err)); /* it is gone, and has none any more */
        return true;
    }
    node = disk_node_find(xml_root(document), disk);
    if (!node)
        return true;
    disk_chain_read(node, &chain);
    *count = add_paths(&chain, paths, *count);
    return true;
}

bool
disk_work_paths(struct call *call, const char *disk, char ***ret_paths, struct error **err)
{
    char **paths = xalloc(sizeof(*paths));
    size_t count = 0;

    if (!add_described(call, 0, disk, &paths, &count, err) ||
        !add_described(call, VIR_DOMAIN_XML_INACTIVE, disk, &paths, &count, err)) {
        strings_free(paths);
        return false;
    }
    *ret_paths = paths;
    return true;
}

static void
tell_settled(struct call *call, struct repository *repository, const char *image,
             const struct disk_settled *settled)
{
    _cleanup_(error_freep) struct error *ignored = NULL, *unread = NULL;

    if (settled->found == DISK_WENT_OVER)
        (void)!image_tell_status(call, repository, image, NULL, &ignored);
    if (settled->snapshot)
        (void)!image_tell_status(call, repository, settled->snapshot, NULL, &unread);
    if (settled->removed)
        image_tell_removed(call, repository, settled->removed);
}

bool
disk_work_settle(struct call *call, const struct disk_chain *chain, struct repository *repository,
                 const char *image, enum disk_found *ret_found, struct error **err)
{
    const struct image_wish wish = disk_work_wish(call);
    char **paths = NULL;
    struct disk_settled settled = { 0 };
    bool done = disk_work_paths(call, chain->target, &paths, err) &&
                disk_settle(repository, image, &wish, chain->files[0].path,
                            (const char *const *)paths, &settled, err);

    strings_free(paths);
    if (!done)
        return error_wrap(err, "cannot settle disk '%s'", chain->target);
    *ret_found = settled.found;
    tell_settled(call, repository, image, &settled);
    disk_settled_done(&settled);
    return true;
}

bool
disk_work_open(struct call *call, const struct xml_document *document, const char *disk,
               struct disk_chain *ret_chain, struct repository **ret_repository, char **ret_image,
               struct error **err)
{
    struct disk_work *work = call->state;
    _cleanup_(disk_chain_done) struct disk_chain chain = { 0 };
    _cleanup_free_ char *image = NULL;
    enum disk_found found;

    if (!vm_require_unsaved(work->use.domain, err) ||
        !disk_chain_find(xml_root(document), work->name, disk, &chain, err) ||
        !disk_chain_image(&chain, work->places, ret_repository, &image, err) ||
        !disk_work_follow_merge(*ret_repository, &image, err) ||
        !disk_work_settle(call, &chain, *ret_repository, image, &found, err))
        return false;
    work->went_over = found == DISK_WENT_OVER;
    *ret_chain = chain;
    chain = (struct disk_chain){ 0 };
    *ret_image = TAKE(image);
    return true;
}

bool
disk_work_look(struct call *call, const char *disk, struct disk_chain *ret_chain,
               struct error **err)
{
    const struct disk_work *work = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    return disk_work_read(call, &document, err) &&
           disk_chain_find(xml_root(document), work->name, disk, ret_chain, err);
}

bool
disk_work_is_unsettled(const struct disk_places *places, const struct disk_chain *chain,
                       bool running)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(error_freep) struct error *ignored = NULL;
    _cleanup_free_ char *id = NULL, *recorded = NULL;
    struct repository *repository;
    bool left_over = false;

    if (!chain->count || !chain->writable || chain->job ||
        !disk_chain_image(chain, places, &repository, &id, &ignored) ||
        !image_open(repository, id, &image, &ignored))
        return false;
    recorded = disk_data_path(image, image_record_data(&image->record));
    if (strcmp(recorded, chain->files[0].path) != 0 || image->record.merging ||
        image->record.merged_into)
        return true;
    return !running && image_has_left_over_data(image, &left_over, &ignored) && left_over;
}

const struct shape vm_disk_work_shape = {
    .name = "VmDiskWork",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"disk\",\"repository\",\"image\"],\"properties\":{\"vm\":{"
        "\"type\":\"string\"},\"disk\":{\"type\":\"string\"},\"repository\":{\"type\":\"string\"},\"image\":{"
        "\"type\":\"string\"}}}",
};

/* ---- notes ---- */

void
disk_note_done(struct disk_note *note)
{
    free(note->kind);
    free(note->disk);
    free(note->repository);
    free(note->image);
    free(note->source_repository);
    free(note->source_image);
    *note = (struct disk_note){ 0 };
}

static char *
write_note(const struct disk_note *note)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();

    xml_element(writer, "job");
    xml_attr(writer, "kind", note->kind);
    xml_attr(writer, "disk", note->disk);
    xml_attr(writer, "repository", note->repository);
    xml_attr(writer, "image", note->image);
    xml_attr(writer, "sourceRepository", note->source_repository);
    xml_attr(writer, "sourceImage", note->source_image);
    if (note->source_created)
        xml_attr_number(writer, "sourceCreated", note->source_created);
    xml_attr(writer, "keepSource", note->keep_source ? "yes" : NULL);
    xml_element_end(writer);
    return xml_writer_take(writer);
}

static unsigned
where(virDomainPtr domain)
{
    return (virDomainIsActive(domain) == 1 ? VIR_DOMAIN_AFFECT_LIVE : 0U) |
           (virDomainIsPersistent(domain) == 1 ? VIR_DOMAIN_AFFECT_CONFIG : 0U);
}

bool
disk_note_write(virDomainPtr domain, const struct disk_note *note, struct error **err)
{
    _cleanup_free_ char *xml = write_note(note), *uri = xprintf(NOTE_URI "%s", note->disk);

    WORKER_ONLY();
    return virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml, "job", uri,
                                where(domain)) == 0 ||
           virt_fail(err, domain, "cannot note the job on disk '%s' of '%s'", note->disk,
                     virDomainGetName(domain));
}

/* One that stays is found to tell of nothing, and is removed then. */
void
disk_note_remove(virDomainPtr domain, const char *disk)
{
    _cleanup_free_ char *uri = xprintf(NOTE_URI "%s", disk);
    static const unsigned flags[] = { VIR_DOMAIN_AFFECT_LIVE, VIR_DOMAIN_AFFECT_CONFIG };
    unsigned wanted = where(domain);

    WORKER_ONLY();
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        if (wanted & flags[i])
            (void)virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, NULL, NULL, uri,
                                       flags[i]);
}

bool
disk_note_read(const struct xml_node *domain, const char *disk, struct disk_note *ret_note)
{
    /* libvirt gives each its prefix, libxml2 tells names without. */
    for (XML_EACH(node, xml_child(domain, "metadata"), "job")) {
        if (!xml_attribute_is(node, "disk", disk))
            continue;
        *ret_note = (struct disk_note){
            .kind = xml_attribute(node, "kind"),
            .disk = xstrdup(disk),
            .repository = xml_attribute(node, "repository"),
            .image = xml_attribute(node, "image"),
            .source_repository = xml_attribute(node, "sourceRepository"),
            .source_image = xml_attribute(node, "sourceImage"),
            .keep_source = xml_attribute_is(node, "keepSource", "yes"),
        };
        if (!xml_attribute_number(node, "sourceCreated", &ret_note->source_created))
            ret_note->source_created = 0;
        return true;
    }
    return false;
}
