/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/volume.h"

#include <ctype.h>
#include <string.h>

#include "gluster/command.h"

const struct shape volume_shape = {
    .name = "Volume",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\",\"uuid\",\"type\",\"state\","
        "\"transport\",\"distribute\",\"replica\",\"arbiter\",\"disperse\",\"redundancy\",\"snapshots\","
        "\"bricks\",\"options\"],\"properties\":{\"volume\":{\"type\":\"string\"},"
        "\"uuid\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},"
        "\"state\":{\"enum\":[\"created\",\"started\",\"stopped\"]},\"transport\":{\"type\":\"string\"},"
        "\"distribute\":{\"type\":\"integer\"},\"replica\":{\"type\":\"integer\"},"
        "\"arbiter\":{\"type\":\"integer\"},\"disperse\":{\"type\":\"integer\"},"
        "\"redundancy\":{\"type\":\"integer\"},\"snapshots\":{\"type\":\"integer\"},"
        "\"bricks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
        "\"required\":[\"brick\",\"peer\",\"arbiter\"],\"properties\":{\"brick\":{\"type\":\"string\"},"
        "\"peer\":{\"type\":\"string\"},\"arbiter\":{\"type\":\"boolean\"}}}},"
        "\"options\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}}}",
};

static void
volume_done(struct volume *volume)
{
    for (size_t i = 0; volume->bricks && i < volume->brick_count; i++) {
        free(volume->bricks[i].name);
        free(volume->bricks[i].host_uuid);
    }
    for (size_t i = 0; i < volume->option_count; i++) {
        free(volume->options[i].name);
        free(volume->options[i].value);
    }
    free(volume->bricks);
    free(volume->options);
    free(volume->name);
    free(volume->uuid);
    free(volume->type);
    free(volume->state);
    free(volume->transport);
}

void
volumes_done(struct volumes *volumes)
{
    for (size_t i = 0; i < volumes->count; i++)
        volume_done(&volumes->all[i]);
    free(volumes->all);
    *volumes = (struct volumes){ 0 };
}

const struct volume *
volumes_find(const struct volumes *volumes, const char *name)
{
    for (size_t i = 0; i < volumes->count; i++)
        if (strcmp(volumes->all[i].name, name) == 0)
            return &volumes->all[i];
    return NULL;
}

/* "Distributed-Replicate" as we write it. */
static char *
lower(const char *text)
{
    char *copy = xstrdup(text);

    for (char *at = copy; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return copy;
}

static void
read_bricks(const struct xml_node *parent, struct volume *volume)
{
    size_t n = 0;

    volume->brick_count = xml_children(parent, "brick");
    volume->bricks = xalloc((volume->brick_count + 1) * sizeof(volume->bricks[0]));
    for (XML_EACH(node, parent, "brick")) {
        const char *name = xml_text(node, "name");

        volume->bricks[n++] = (struct brick){
            .name = xstrdup(*name ? name : xml_content(node)),
            .host_uuid = xstrdup(xml_text(node, "hostUuid")),
            .arbiter = xml_count(node, "isArbiter") != 0,
        };
    }
}

static void
read_options(const struct xml_node *parent, struct volume *volume)
{
    size_t n = 0;

    volume->option_count = xml_children(parent, "option");
    volume->options = xalloc((volume->option_count + 1) * sizeof(volume->options[0]));
    for (XML_EACH(node, parent, "option"))
        volume->options[n++] = (struct volume_option){
            .name = xstrdup(xml_text(node, "name")),
            .value = xstrdup(xml_text(node, "value")),
        };
}

static void
read_volume(const struct xml_node *node, struct volume *volume)
{
    const char *transport = xml_text(node, "transport");

    *volume = (struct volume){
        .name = xstrdup(xml_text(node, "name")),
        .uuid = xstrdup(xml_text(node, "id")),
        .type = lower(xml_text(node, "typeStr")),
        .state = lower(xml_text(node, "statusStr")),
        .transport = xstrdup(strcmp(transport, "1") == 0   ? "rdma"
                             : strcmp(transport, "2") == 0 ? "tcp,rdma"
                                                           : "tcp"),
        .replica = xml_count(node, "replicaCount"),
        .arbiter = xml_count(node, "arbiterCount"),
        .disperse = xml_count(node, "disperseCount"),
        .redundancy = xml_count(node, "redundancyCount"),
        .distribute = xml_count(node, "distCount"),
        .snapshots = xml_count(node, "snapshotCount"),
    };
    if (volume->replica == 1)
        volume->replica = 0; /* glusterd's way to say that there is none */
    read_bricks(xml_child(node, "bricks"), volume);
    read_options(xml_child(node, "options"), volume);
}

bool
volumes_read(const struct xml_document *document, struct volumes *ret_volumes, struct error **err)
{
    const struct xml_node *parent = xml_child(xml_child(xml_root(document), "volInfo"), "volumes");
    struct volumes volumes = { .count = xml_children(parent, "volume") };
    size_t n = 0;

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer describes no volumes");
    volumes.all = xalloc((volumes.count + 1) * sizeof(volumes.all[0]));
    for (XML_EACH(node, parent, "volume"))
        read_volume(node, &volumes.all[n++]);
    *ret_volumes = volumes;
    return true;
}

bool
volumes_ask(const char *name, const atomic_bool *abort, struct volumes *ret_volumes,
            struct error **err)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "info", name ? name : "all"),
        .kind = "volume",
        .id = name,
        .abort = abort,
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_volumes_ struct volumes volumes = { 0 };

    if (!gluster_command_run(&command, &document, err) || !volumes_read(document, &volumes, err))
        return false;
    /* To glusterd "all" is every volume; to a caller who names one it is one that is not there. */
    if (name && (volumes.count != 1 || strcmp(volumes.all[0].name, name) != 0))
        return volume_missing(name, err);
    *ret_volumes = volumes;
    volumes = (struct volumes){ 0 };
    return true;
}

bool
volume_missing(const char *name, struct error **err)
{
    error_set(err, ERROR_NOT_FOUND, "there is no volume '%s': volume.list tells which there are",
              name);
    error_data_text(err, "kind", "volume");
    return error_data_text(err, "id", "%s", name);
}

int64_t
volume_brick_find(const struct volume *volume, const char *brick)
{
    for (size_t i = 0; i < volume->brick_count; i++)
        if (strcmp(volume->bricks[i].name, brick) == 0)
            return (int64_t)i;
    return -1;
}

bool
volume_brick_require(const struct volume *volume, const char *brick, size_t *ret_index,
                     struct error **err)
{
    int64_t index = volume_brick_find(volume, brick);

    if (index >= 0) {
        *ret_index = (size_t)index;
        return true;
    }
    error_set(err, ERROR_NOT_FOUND, "volume '%s' has no brick '%s': volume.list tells its bricks",
              volume->name, brick);
    error_data_text(err, "kind", "brick");
    return error_data_text(err, "id", "%s", brick);
}

static void
write_bricks(const struct volume *volume, struct writer *writer)
{
    writer_array(writer);
    for (size_t i = 0; i < volume->brick_count; i++) {
        const struct brick *brick = &volume->bricks[i];

        writer_object(writer);
        writer_member_string(writer, "brick", brick->name);
        writer_member_string(writer, "peer", brick->host_uuid);
        writer_member_bool(writer, "arbiter", brick->arbiter);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

void
volume_write(const struct volume *volume, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "volume", volume->name);
    writer_member_string(writer, "uuid", volume->uuid);
    writer_member_string(writer, "type", volume->type);
    writer_member_string(writer, "state", volume->state);
    writer_member_string(writer, "transport", volume->transport);
    writer_member_unsigned(writer, "distribute", volume->distribute);
    writer_member_unsigned(writer, "replica", volume->replica);
    writer_member_unsigned(writer, "arbiter", volume->arbiter);
    writer_member_unsigned(writer, "disperse", volume->disperse);
    writer_member_unsigned(writer, "redundancy", volume->redundancy);
    writer_member_unsigned(writer, "snapshots", volume->snapshots);
    writer_key(writer, "bricks");
    write_bricks(volume, writer);
    writer_key(writer, "options");
    writer_object(writer);
    for (size_t i = 0; i < volume->option_count; i++)
        writer_member_string(writer, volume->options[i].name, volume->options[i].value);
    writer_end_object(writer);
    writer_end_object(writer);
}

static bool
ask_volumes(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    _cleanup_volumes_ struct volumes volumes = { 0 };

    if (!volumes_ask(subject, NULL, &volumes, err))
        return false;
    for (size_t i = 0; i < volumes.count; i++) {
        struct gluster_item *item = gluster_items_add(ret_items);
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        volume_write(&volumes.all[i], &writer);
        item->id = xstrdup(volumes.all[i].name);
        item->volume = xstrdup(volumes.all[i].name);
        item->json = text_take(&writer.text);
    }
    return true;
}

const struct gluster_question volume_question = {
    .name = "volumes",
    .member = "volumes",
    .ask = ask_volumes,
};
