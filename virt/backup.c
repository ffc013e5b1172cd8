/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/url.h"

#define PREFIX "hostler-backup-"

static const char *const state_names[] = {
    [BACKUP_NONE] = "none",         [BACKUP_BEGINNING] = "beginning", [BACKUP_RUNNING] = "running",
    [BACKUP_SERVED] = "served",     [BACKUP_DONE] = "done",           [BACKUP_FAILED] = "failed",
    [BACKUP_CANCELED] = "canceled",
};

void
backup_free(struct backup *backup)
{
    if (!backup)
        return;
    for (size_t i = 0; i < backup->disk_count; i++) {
        free(backup->disks[i].target);
        free(backup->disks[i].image);
        free(backup->disks[i].base);
    }
    free(backup->disks);
    free(backup->task);
    free(backup->checkpoint);
    free(backup->since);
    free(backup->repository);
    free(backup->folder);
    free(backup->error);
    free(backup);
}

bool
backup_is_open(const struct backup *backup)
{
    return backup->state == BACKUP_BEGINNING || backup->state == BACKUP_RUNNING ||
           backup->state == BACKUP_SERVED;
}

const char *
backup_state_name(enum backup_state state)
{
    return state_names[state];
}

struct backup_disk *
backup_add_disk(struct backup *backup, const char *target)
{
    struct backup_disk *disk;

    backup->disks = xrealloc(backup->disks, (backup->disk_count + 1) * sizeof(backup->disks[0]));
    disk = &backup->disks[backup->disk_count++];
    *disk = (struct backup_disk){ .target = xstrdup(target) };
    return disk;
}

/* ---- names ---- */

char *
backup_socket(const struct backup *backup)
{
    return xprintf("%s/" PREFIX "%s.sock", backup->folder, backup->id);
}

char *
backup_scratch(const struct backup *backup, const struct backup_disk *disk)
{
    return xprintf("%s/" PREFIX "%s-%s", backup->folder, backup->id, disk->target);
}

char *
backup_url(const struct backup *backup, const struct backup_disk *disk)
{
    _cleanup_free_ char *path = backup_socket(backup);

    return url_of_socket(disk->target, path);
}

char *
backup_bitmap(const struct backup_disk *disk)
{
    return xprintf("backup-%s", disk->target);
}

/* ---- the metadata ---- */

static void
put_flag(struct xml_writer *writer, const char *name, bool value)
{
    xml_attr(writer, name, value ? "yes" : NULL);
}

static void
put_time(struct xml_writer *writer, const char *name, int64_t time_ns)
{
    if (time_ns)
        xml_attr_number(writer, name, (uint64_t)time_ns);
}

/* XML has no way to say other control characters, and QEMU's words go over several lines at times. */
static char *
printable(const char *text)
{
    char *copy = text ? xstrdup(text) : NULL;

    for (char *at = copy; at && *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    return copy;
}

char *
backup_describe(const struct backup *backup)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();
    _cleanup_free_ char *task = printable(backup->task), *error = printable(backup->error);

    xml_element(writer, "backup");
    xml_attr(writer, "id", backup->id);
    xml_attr(writer, "state", backup_state_name(backup->state));
    xml_attr(writer, "host", backup->host);
    xml_attr(writer, "task", task);
    xml_attr(writer, "checkpoint", backup->checkpoint);
    xml_attr(writer, "since", backup->since);
    xml_attr(writer, "repository", backup->repository);
    xml_attr(writer, "repositoryUuid", backup->repository_uuid[0] ? backup->repository_uuid : NULL);
    xml_attr(writer, "folder", backup->folder);
    put_flag(writer, "resume", backup->resume);
    put_flag(writer, "frozen", backup->frozen);
    xml_attr_number(writer, "rate", backup->rate);
    put_time(writer, "begun", backup->begun_ns);
    put_time(writer, "ended", backup->ended_ns);
    put_time(writer, "until", backup->until_ns);
    for (size_t i = 0; i < backup->disk_count; i++) {
        const struct backup_disk *disk = &backup->disks[i];

        xml_element(writer, "disk");
        xml_attr(writer, "target", disk->target);
        xml_attr(writer, "image", disk->image);
        xml_attr(writer, "base", disk->base);
        xml_attr_number(writer, "size", disk->size);
        xml_element_end(writer);
    }
    xml_leaf(writer, "error", error);
    xml_element_end(writer);
    return xml_writer_take(writer);
}

static void
get_time(const struct xml_node *node, const char *name, int64_t *ret_ns)
{
    uint64_t value;

    if (xml_attribute_number(node, name, &value) && value <= INT64_MAX)
        *ret_ns = (int64_t)value;
}

static bool
get_state(const struct xml_node *node, enum backup_state *ret_state)
{
    _cleanup_free_ char *name = xml_attribute(node, "state");

    for (size_t i = 0; name && i < ARRAY_COUNT(state_names); i++)
        if (strcmp(name, state_names[i]) == 0) {
            *ret_state = (enum backup_state)i;
            return true;
        }
    return false;
}

static bool
get_uuid(const struct xml_node *node, const char *name, char ret_uuid[UUID_TEXT_SIZE])
{
    _cleanup_free_ char *text = xml_attribute(node, name);

    if (!text || strlen(text) != UUID_TEXT_SIZE - 1 ||
        strspn(text, "0123456789abcdef-") != UUID_TEXT_SIZE - 1)
        return false;
    memcpy(ret_uuid, text, UUID_TEXT_SIZE);
    return true;
}

/* What becomes part of a path. */
static bool
is_plain(const char *target)
{
    return target && *target && !strchr(target, '/') && strlen(target) < 64;
}

static bool
get_disks(const struct xml_node *root, struct backup *backup)
{
    for (XML_EACH(node, root, "disk")) {
        _cleanup_free_ char *target = xml_attribute(node, "target");
        struct backup_disk *disk;

        if (!is_plain(target))
            return false;
        disk = backup_add_disk(backup, target);
        disk->image = xml_attribute(node, "image");
        disk->base = xml_attribute(node, "base");
        (void)xml_attribute_number(node, "size", &disk->size);
        if (disk->image && !name_valid(disk->image))
            return false;
    }
    return true;
}

static bool
parse(const struct xml_node *root, struct backup *backup)
{
    if (strcmp(xml_name(root), "backup") != 0 || !get_uuid(root, "id", backup->id) ||
        !get_state(root, &backup->state) || !get_uuid(root, "host", backup->host) ||
        !get_disks(root, backup))
        return false;
    (void)get_uuid(root, "repositoryUuid", backup->repository_uuid);
    backup->task = xml_attribute(root, "task");
    backup->checkpoint = xml_attribute(root, "checkpoint");
    backup->since = xml_attribute(root, "since");
    backup->repository = xml_attribute(root, "repository");
    backup->folder = xml_attribute(root, "folder");
    backup->resume = xml_attribute_is(root, "resume", "yes");
    backup->frozen = xml_attribute_is(root, "frozen", "yes");
    (void)xml_attribute_number(root, "rate", &backup->rate);
    get_time(root, "begun", &backup->begun_ns);
    get_time(root, "ended", &backup->ended_ns);
    get_time(root, "until", &backup->until_ns);
    if (xml_child(root, "error"))
        backup->error = xstrdup(xml_text(root, "error"));
    return backup->folder && backup->folder[0] == '/';
}

bool
backup_parse(const char *xml, struct backup **ret_backup, struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(backup_freep) struct backup *backup = xalloc(sizeof(*backup));

    if (!xml_parse("libvirt", xml, strlen(xml), &document, err))
        return error_wrap(err, "cannot read what is noted of the last backup");
    if (!parse(xml_root(document), backup)) {
        error_set(err, ERROR_BACKEND_FAILED,
                  "what is noted of the last backup in the metadata of "
                  "the VM was not written by an agent");
        return error_data_text(err, "backend", "libvirt");
    }
    *ret_backup = TAKE(backup);
    return true;
}

/* ---- libvirt's documents ---- */

static const struct backup_disk *
find_disk(const struct backup *backup, const char *target)
{
    for (size_t i = 0; i < backup->disk_count; i++)
        if (strcmp(backup->disks[i].target, target) == 0)
            return &backup->disks[i];
    return NULL;
}

static void
write_job_disk(struct xml_writer *writer, const struct backup *backup,
               const struct backup_disk *disk)
{
    _cleanup_free_ char *scratch = backup_scratch(backup, disk), *bitmap = backup_bitmap(disk);

    xml_attr(writer, "backup", "yes");
    xml_attr(writer, "type", "file");
    xml_attr(writer, "exportname", disk->target);
    xml_attr(writer, "exportbitmap", backup->since ? bitmap : NULL);
    xml_flag(writer, "scratch", "file", scratch);
}

char *
backup_job_xml(const struct backup *backup, const struct vm *vm)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();
    _cleanup_free_ char *path = backup_socket(backup);

    xml_element(writer, "domainbackup");
    xml_attr(writer, "mode", "pull");
    xml_leaf(writer, "incremental", backup->since);
    xml_element(writer, "server");
    xml_attr(writer, "transport", "unix");
    xml_attr(writer, "socket", path);
    xml_element_end(writer);
    xml_element(writer, "disks");
    for (size_t i = 0; i < vm->disk_count; i++) {
        const struct backup_disk *disk = find_disk(backup, vm->disks[i].target);

        xml_element(writer, "disk");
        xml_attr(writer, "name", vm->disks[i].target);
        if (disk)
            write_job_disk(writer, backup, disk);
        else
            xml_attr(writer, "backup", "no");
        xml_element_end(writer);
    }
    xml_element_end(writer);
    xml_element_end(writer);
    return xml_writer_take(writer);
}

char *
backup_checkpoint_xml(const struct backup *backup, const struct vm *vm)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();

    xml_element(writer, "domaincheckpoint");
    xml_leaf(writer, "name", backup->checkpoint);
    xml_element(writer, "disks");
    for (size_t i = 0; i < vm->disk_count; i++) {
        const char *target = vm->disks[i].target;

        xml_element(writer, "disk");
        xml_attr(writer, "name", target);
        xml_attr(writer, "checkpoint", find_disk(backup, target) ? "bitmap" : "no");
        xml_element_end(writer);
    }
    xml_element_end(writer);
    xml_element_end(writer);
    return xml_writer_take(writer);
}

/* ---- what is shown ---- */

#define TEXT_OR_NULL "{\"type\":[\"string\",\"null\"]}"

const struct shape backup_shape = {
    .name = "Backup",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"uuid\",\"state\",\"owner\",\"active\"],\"properties\":{"
        "\"vm\":{\"type\":\"string\"},\"uuid\":{\"type\":\"string\"},"
        "\"state\":{\"enum\":[\"none\",\"beginning\",\"running\",\"served\",\"done\",\"failed\",\"canceled\"]},"
        "\"owner\":{\"enum\":[\"agent\",\"other\",null]},\"active\":{\"type\":\"boolean\"},"
        "\"job\":{\"type\":\"boolean\"},\"backup\":{\"type\":\"string\"},\"host\":{\"type\":\"string\"},"
        "\"task\":" TEXT_OR_NULL ",\"checkpoint\":" TEXT_OR_NULL ",\"since\":" TEXT_OR_NULL
        ",\"nextSince\":" TEXT_OR_NULL ",\"repository\":" TEXT_OR_NULL
        ",\"frozen\":{\"type\":\"boolean\"},\"onCrash\":{\"enum\":[\"leave\",\"resume\"]},"
        "\"begun\":" TEXT_OR_NULL ",\"ended\":" TEXT_OR_NULL ",\"until\":" TEXT_OR_NULL
        ",\"error\":" TEXT_OR_NULL ",\"scratchUsed\":{\"type\":\"integer\"},"
        "\"progress\":{\"type\":\"object\",\"required\":[\"done\",\"total\"],\"properties\":{"
        "\"done\":{\"type\":\"integer\"},\"total\":{\"type\":\"integer\"}}},"
        "\"disks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"disk\",\"size\"],"
        "\"properties\":{\"disk\":{\"type\":\"string\"},\"size\":{\"type\":\"integer\"},\"image\":" TEXT_OR_NULL
        ",\"base\":" TEXT_OR_NULL
        ",\"uri\":{\"type\":\"string\"},\"bitmap\":{\"type\":\"string\"}}}}}}",
};

static void
write_disk(const struct backup *backup, const struct backup_disk *disk, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "disk", disk->target);
    writer_member_unsigned(writer, "size", disk->size);
    writer_member_string(writer, "image", disk->image);
    writer_member_string(writer, "base", disk->base);
    if (backup->state == BACKUP_SERVED) {
        _cleanup_free_ char *url = backup_url(backup, disk), *bitmap = backup_bitmap(disk);

        writer_member_string(writer, "uri", url);
        if (backup->since) {
            writer_key(writer, "bitmap");
            writer_printf(writer, "qemu:dirty-bitmap:%s", bitmap);
        }
    }
    writer_end_object(writer);
}

/* The one that the next incremental backup can be since: only a complete one has moved it on. */
static const char *
next_since(const struct backup *backup)
{
    return backup->state == BACKUP_DONE && backup->checkpoint ? backup->checkpoint : backup->since;
}

static void
write_known(const struct backup_view *view, struct writer *writer)
{
    const struct backup *backup = view->backup;

    writer_member_string(writer, "backup", backup->id);
    writer_member_string(writer, "host", backup->host);
    writer_member_string(writer, "task", view->task ? view->task : backup->task);
    writer_member_string(writer, "checkpoint", backup->checkpoint);
    writer_member_string(writer, "since", backup->since);
    writer_member_string(writer, "nextSince", next_since(backup));
    writer_member_string(writer, "repository", backup->repository);
    writer_member_bool(writer, "frozen", backup->frozen);
    writer_member_string(writer, "onCrash", backup->resume ? "resume" : "leave");
    writer_member_time(writer, "begun", backup->begun_ns);
    writer_member_time(writer, "ended", backup->ended_ns);
    writer_member_time(writer, "until", backup->until_ns);
    writer_key(writer, "disks");
    writer_array(writer);
    for (size_t i = 0; i < backup->disk_count; i++)
        write_disk(backup, &backup->disks[i], writer);
    writer_end_array(writer);
}

/* An open one without its job, that nobody works on, has come to its end, and is noted so soon. */
static bool
is_lost(const struct backup_view *view)
{
    return view->backup && backup_is_open(view->backup) && view->job && !view->job->ours &&
           !view->task;
}

void
backup_write(const struct backup_view *view, struct writer *writer)
{
    const struct backup *backup = view->backup;
    bool of_another = view->job && view->job->running && !view->job->ours && !view->task;
    bool shown = backup && !of_another;

    writer_object(writer);
    writer_member_string(writer, "vm", view->vm);
    writer_member_string(writer, "uuid", view->uuid);
    writer_member_string(writer, "state",
                         of_another      ? "running"
                         : !shown        ? "none"
                         : is_lost(view) ? "failed"
                                         : backup_state_name(backup->state));
    writer_member_string(writer, "owner", of_another ? "other" : shown ? "agent" : NULL);
    writer_member_bool(writer, "active", view->task != NULL);
    if (view->job)
        writer_member_bool(writer, "job", view->job->running);
    if (shown) {
        write_known(view, writer);
        writer_member_string(writer, "error",
                             is_lost(view) ? "its job has ended before it was complete"
                                           : backup->error);
    }
    if (view->job && view->job->scratch)
        writer_member_unsigned(writer, "scratchUsed", view->job->scratch);
    if (view->total) {
        writer_key(writer, "progress");
        writer_object(writer);
        writer_member_unsigned(writer, "done", view->done);
        writer_member_unsigned(writer, "total", view->total);
        writer_end_object(writer);
    }
    writer_end_object(writer);
}
