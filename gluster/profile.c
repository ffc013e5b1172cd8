/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/profile.h"

#define FIGURES                                                                                    \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"seconds\",\"bytesRead\"," \
    "\"bytesWritten\",\"operations\",\"blocks\"],\"properties\":{"                                 \
    "\"seconds\":{\"type\":\"integer\"},\"bytesRead\":{\"type\":\"integer\"},"                     \
    "\"bytesWritten\":{\"type\":\"integer\"},\"operations\":{\"type\":\"array\",\"items\":"        \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"operation\",\"hits\","    \
    "\"averageNs\",\"minimumNs\",\"maximumNs\",\"percent\"],\"properties\":{"                      \
    "\"operation\":{\"type\":\"string\"},\"hits\":{\"type\":\"integer\"},"                         \
    "\"percent\":{\"type\":\"number\"},\"averageNs\":{\"type\":\"integer\"},"                      \
    "\"minimumNs\":{\"type\":\"integer\"},\"maximumNs\":{\"type\":\"integer\"}}}},"                \
    "\"blocks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":"      \
    "false,\"required\":[\"size\",\"reads\",\"writes\"],\"properties\":{"                          \
    "\"size\":{\"type\":\"integer\"},\"reads\":{\"type\":\"integer\"},"                            \
    "\"writes\":{\"type\":\"integer\"}}}}}}"

const struct shape profile_shape = {
    .name = "VolumeProfile",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\",\"running\"],"
        "\"properties\":{\"volume\":{\"type\":\"string\"},\"running\":{\"type\":\"boolean\"},"
        "\"bricks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
        "\"required\":[\"brick\"],\"properties\":{\"brick\":{\"type\":\"string\"},"
        "\"cumulative\":" FIGURES ",\"interval\":" FIGURES "}}}}}",
};

static void
figures_done(struct profile_figures *figures)
{
    for (size_t i = 0; i < figures->operation_count; i++)
        free(figures->operations[i].name);
    free(figures->operations);
    free(figures->blocks);
}

void
profile_done(struct profile *profile)
{
    for (size_t i = 0; i < profile->brick_count; i++) {
        free(profile->bricks[i].name);
        figures_done(&profile->bricks[i].cumulative);
        figures_done(&profile->bricks[i].interval);
    }
    free(profile->bricks);
    *profile = (struct profile){ 0 };
}

/* What the bricks took for it altogether. */
static double
took_ns(const struct profile_operation *operation)
{
    return (double)operation->hits * (double)operation->average_ns;
}

static int
compare_took(const void *a, const void *b)
{
    double first = took_ns(a), second = took_ns(b);

    return first < second ? 1 : first > second ? -1 : 0;
}

/* Nanoseconds, with glusterfs 10; its decimals say nothing. */
static void
read_operations(const struct xml_node *parent, struct profile_figures *figures)
{
    size_t count = xml_children(parent, "fop");

    figures->operations = xalloc((count + 1) * sizeof(figures->operations[0]));
    for (XML_EACH(node, parent, "fop"))
        figures->operations[figures->operation_count++] = (struct profile_operation){
            .name = xstrdup(xml_text(node, "name")),
            .hits = xml_count(node, "hits"),
            .average_ns = xml_whole(node, "avgLatency"),
            .minimum_ns = xml_whole(node, "minLatency"),
            .maximum_ns = xml_whole(node, "maxLatency"),
        };
    qsort(figures->operations, count, sizeof(figures->operations[0]), compare_took);
}

/* glusterd tells of all 32 sizes, most of which never occur. */
static void
read_blocks(const struct xml_node *parent, struct profile_figures *figures)
{
    figures->blocks = xalloc((xml_children(parent, "block") + 1) * sizeof(figures->blocks[0]));
    for (XML_EACH(node, parent, "block")) {
        const struct profile_block block = { .size = xml_count(node, "size"),
                                             .reads = xml_count(node, "reads"),
                                             .writes = xml_count(node, "writes") };

        if (block.reads || block.writes)
            figures->blocks[figures->block_count++] = block;
    }
}

static void
read_figures(const struct xml_node *node, struct profile_figures *figures)
{
    if (!node)
        return;
    *figures = (struct profile_figures){
        .known = true,
        .seconds = xml_count(node, "duration"),
        .bytes_read = xml_count(node, "totalRead"),
        .bytes_written = xml_count(node, "totalWrite"),
    };
    read_operations(xml_child(node, "fopStats"), figures);
    read_blocks(xml_child(node, "blockStats"), figures);
}

bool
profile_read(const struct xml_document *document, struct profile *ret_profile, struct error **err)
{
    const struct xml_node *parent = xml_child(xml_root(document), "volProfile");
    struct profile profile = { 0 };

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer describes no profile");
    profile.bricks = xalloc((xml_children(parent, "brick") + 1) * sizeof(profile.bricks[0]));
    for (XML_EACH(node, parent, "brick")) {
        struct profile_brick *brick = &profile.bricks[profile.brick_count++];

        brick->name = xstrdup(xml_text(node, "brickName"));
        read_figures(xml_child(node, "cumulativeStats"), &brick->cumulative);
        read_figures(xml_child(node, "intervalStats"), &brick->interval);
    }
    *ret_profile = profile;
    return true;
}

static void
write_operations(const struct profile_figures *figures, struct writer *writer)
{
    double all_ns = 0;

    for (size_t i = 0; i < figures->operation_count; i++)
        all_ns += took_ns(&figures->operations[i]);
    writer_array(writer);
    for (size_t i = 0; i < figures->operation_count; i++) {
        const struct profile_operation *operation = &figures->operations[i];
        double part = all_ns > 0 ? took_ns(operation) / all_ns : 0;

        writer_object(writer);
        writer_member_string(writer, "operation", operation->name);
        writer_member_unsigned(writer, "hits", operation->hits);
        writer_member_real(writer, "percent", (double)(uint64_t)(part * 10000 + 0.5) / 100);
        writer_member_unsigned(writer, "averageNs", operation->average_ns);
        writer_member_unsigned(writer, "minimumNs", operation->minimum_ns);
        writer_member_unsigned(writer, "maximumNs", operation->maximum_ns);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

static void
write_figures(const char *key, const struct profile_figures *figures, struct writer *writer)
{
    if (!figures->known)
        return;
    writer_key(writer, key);
    writer_object(writer);
    writer_member_unsigned(writer, "seconds", figures->seconds);
    writer_member_unsigned(writer, "bytesRead", figures->bytes_read);
    writer_member_unsigned(writer, "bytesWritten", figures->bytes_written);
    writer_key(writer, "operations");
    write_operations(figures, writer);
    writer_key(writer, "blocks");
    writer_array(writer);
    for (size_t i = 0; i < figures->block_count; i++) {
        writer_object(writer);
        writer_member_unsigned(writer, "size", figures->blocks[i].size);
        writer_member_unsigned(writer, "reads", figures->blocks[i].reads);
        writer_member_unsigned(writer, "writes", figures->blocks[i].writes);
        writer_end_object(writer);
    }
    writer_end_array(writer);
    writer_end_object(writer);
}

void
profile_write(const struct profile *profile, struct writer *writer)
{
    writer_array(writer);
    for (size_t i = 0; i < profile->brick_count; i++) {
        const struct profile_brick *brick = &profile->bricks[i];

        writer_object(writer);
        writer_member_string(writer, "brick", brick->name);
        write_figures("cumulative", &brick->cumulative, writer);
        write_figures("interval", &brick->interval, writer);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}
