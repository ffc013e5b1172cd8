/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/top.h"

#include "agent/base/clock.h"
#include "gluster/moment.h"

#define BYTES_OF_COUNT 1000000 /* a megabyte a second is a byte a microsecond */

const struct shape top_shape = {
    .name = "VolumeTop",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\",\"what\",\"bricks\"],"
        "\"properties\":{\"volume\":{\"type\":\"string\"},\"what\":{\"type\":\"string\"},"
        "\"bricks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
        "\"required\":[\"brick\",\"files\"],\"properties\":{\"brick\":{\"type\":\"string\"},"
        "\"open\":{\"type\":\"integer\"},\"mostOpen\":{\"type\":\"integer\"},"
        "\"mostOpenAt\":{\"type\":[\"string\",\"null\"]},\"bytesPerSecond\":{\"type\":\"integer\"},"
        "\"tookUs\":{\"type\":\"integer\"},\"files\":{\"type\":\"array\",\"items\":"
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"path\"],\"properties\":{"
        "\"path\":{\"type\":\"string\"},\"count\":{\"type\":\"integer\"},"
        "\"bytesPerSecond\":{\"type\":\"integer\"},\"at\":{\"type\":[\"string\",\"null\"]}}}}}}}}}",
};

void
top_done(struct top *top)
{
    for (size_t i = 0; i < top->brick_count; i++) {
        struct top_brick *brick = &top->bricks[i];

        for (size_t n = 0; n < brick->file_count; n++)
            free(brick->files[n].path);
        free(brick->files);
        free(brick->name);
    }
    free(top->bricks);
    *top = (struct top){ 0 };
}

static void
read_brick(const struct xml_node *node, struct top_brick *brick)
{
    *brick = (struct top_brick){
        .name = xstrdup(xml_text(node, "name")),
        .counts_open = xml_child(node, "currentOpen"),
        .open = xml_count(node, "currentOpen"),
        .most_open = xml_count(node, "maxOpen"),
        .most_open_ns = moment_read(xml_text(node, "maxOpenTime")),
        .took_us = xml_whole(node, "timeTaken"),
        .files = xalloc((xml_children(node, "file") + 1) * sizeof(brick->files[0])),
    };
    for (XML_EACH(file, node, "file"))
        brick->files[brick->file_count++] = (struct top_file){
            .path = xstrdup(xml_text(file, "filename")),
            .count = xml_count(file, "count"),
            .at_ns = moment_read(xml_text(file, "time")),
        };
}

bool
top_read(const struct xml_document *document, struct top *ret_top, struct error **err)
{
    const struct xml_node *parent = xml_child(xml_root(document), "volTop");
    struct top top = { 0 };

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer has no list of files");
    top.bricks = xalloc((xml_children(parent, "brick") + 1) * sizeof(top.bricks[0]));
    for (XML_EACH(node, parent, "brick"))
        read_brick(node, &top.bricks[top.brick_count++]);
    *ret_top = top;
    return true;
}

static void
write_files(const struct top_brick *brick, bool perf, struct writer *writer)
{
    writer_array(writer);
    for (size_t i = 0; i < brick->file_count; i++) {
        const struct top_file *file = &brick->files[i];

        writer_object(writer);
        if (perf) {
            writer_member_unsigned(writer, "bytesPerSecond", file->count * BYTES_OF_COUNT);
            writer_member_time(writer, "at", file->at_ns);
        } else {
            writer_member_unsigned(writer, "count", file->count);
        }
        writer_member_string(writer, "path", file->path);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

void
top_write(const struct top *top, bool perf, uint64_t measured_size, struct writer *writer)
{
    writer_array(writer);
    for (size_t i = 0; i < top->brick_count; i++) {
        const struct top_brick *brick = &top->bricks[i];

        writer_object(writer);
        writer_member_string(writer, "brick", brick->name);
        if (brick->counts_open) {
            writer_member_unsigned(writer, "open", brick->open);
            writer_member_unsigned(writer, "mostOpen", brick->most_open);
            writer_member_time(writer, "mostOpenAt", brick->most_open_ns);
        }
        if (brick->took_us > 0) {
            writer_member_unsigned(writer, "tookUs", brick->took_us);
            writer_member_unsigned(writer, "bytesPerSecond",
                                   measured_size * BYTES_OF_COUNT / brick->took_us);
        }
        writer_key(writer, "files");
        write_files(brick, perf, writer);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}
