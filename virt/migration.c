/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/migration.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/xml.h"
#include "agent/error-json.h"

static const char *const states[] = {
    [MIGRATION_PREPARING] = "preparing", [MIGRATION_RUNNING] = "running",
    [MIGRATION_POSTCOPY] = "postcopy",   [MIGRATION_INTERRUPTED] = "interrupted",
    [MIGRATION_DONE] = "done",           [MIGRATION_FAILED] = "failed",
    [MIGRATION_ABORTED] = "aborted",     [MIGRATION_UNKNOWN] = "unknown",
};

bool
migration_is_over(enum migration_state state)
{
    return state >= MIGRATION_DONE;
}

const char *
migration_state_name(enum migration_state state)
{
    return states[state];
}

void
migration_done(struct migration *migration)
{
    free(migration->vm);
    free(migration->id);
    free(migration->task);
    free(migration->source);
    free(migration->source_host);
    free(migration->target);
    free(migration->note);
    free(migration->on_timeout);
    error_free(migration->error);
    *migration = (struct migration){ 0 };
}

/* ---- figures ---- */

/* In the order in which they are told: those of one group stand together. */
static const struct figure {
    const char *libvirt;
    const char *group; /* NULL: the object itself */
    const char *name;
} figures[MIGRATION_FIGURES] = {
    { VIR_DOMAIN_JOB_TIME_ELAPSED, NULL, "elapsedMs" },
    { VIR_DOMAIN_JOB_TIME_REMAINING, NULL, "remainingMs" },
    { VIR_DOMAIN_JOB_DOWNTIME, NULL, "downtimeMs" },
    { VIR_DOMAIN_JOB_SETUP_TIME, NULL, "setupMs" },
    { VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, NULL, "throttlePercent" },
    { VIR_DOMAIN_JOB_DATA_TOTAL, "data", "total" },
    { VIR_DOMAIN_JOB_DATA_PROCESSED, "data", "processed" },
    { VIR_DOMAIN_JOB_DATA_REMAINING, "data", "remaining" },
    { VIR_DOMAIN_JOB_MEMORY_TOTAL, "memory", "total" },
    { VIR_DOMAIN_JOB_MEMORY_PROCESSED, "memory", "processed" },
    { VIR_DOMAIN_JOB_MEMORY_REMAINING, "memory", "remaining" },
    { VIR_DOMAIN_JOB_MEMORY_BPS, "memory", "bytesPerSecond" },
    { VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, "memory", "dirtyPagesPerSecond" },
    { VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, "memory", "pageSize" },
    { VIR_DOMAIN_JOB_MEMORY_ITERATION, "memory", "iteration" },
    { VIR_DOMAIN_JOB_MEMORY_CONSTANT, "memory", "constantPages" },
    { VIR_DOMAIN_JOB_MEMORY_NORMAL, "memory", "normalPages" },
    { VIR_DOMAIN_JOB_MEMORY_NORMAL_BYTES, "memory", "normalBytes" },
    { VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS, "memory", "postcopyRequests" },
    { VIR_DOMAIN_JOB_DISK_TOTAL, "disk", "total" },
    { VIR_DOMAIN_JOB_DISK_PROCESSED, "disk", "processed" },
    { VIR_DOMAIN_JOB_DISK_REMAINING, "disk", "remaining" },
    { VIR_DOMAIN_JOB_DISK_BPS, "disk", "bytesPerSecond" },
    { VIR_DOMAIN_JOB_COMPRESSION_CACHE, "compression", "cache" },
    { VIR_DOMAIN_JOB_COMPRESSION_BYTES, "compression", "bytes" },
    { VIR_DOMAIN_JOB_COMPRESSION_PAGES, "compression", "pages" },
    { VIR_DOMAIN_JOB_COMPRESSION_CACHE_MISSES, "compression", "cacheMisses" },
    { VIR_DOMAIN_JOB_COMPRESSION_OVERFLOW, "compression", "overflow" },
    { VIR_DOMAIN_JOB_TIME_ELAPSED_NET, NULL, "elapsedNetMs" },
};

static bool
number_of(const virTypedParameter *param, uint64_t *ret_value)
{
    switch (param->type) {
    case VIR_TYPED_PARAM_ULLONG: *ret_value = param->value.ul; return true;
    case VIR_TYPED_PARAM_UINT: *ret_value = param->value.ui; return true;
    case VIR_TYPED_PARAM_LLONG: *ret_value = (uint64_t)param->value.l; return param->value.l >= 0;
    case VIR_TYPED_PARAM_INT: *ret_value = (uint64_t)param->value.i; return param->value.i >= 0;
    default: return false;
    }
}

void
migration_figures_read(virTypedParameterPtr params, int count,
                       struct migration_figures *ret_figures)
{
    struct migration_figures read = { 0 };

    for (int i = 0; i < count; i++)
        for (size_t j = 0; j < MIGRATION_FIGURES; j++)
            if (strcmp(params[i].field, figures[j].libvirt) == 0)
                read.known[j] = number_of(&params[i], &read.values[j]);
    *ret_figures = read;
}

uint64_t
migration_figure(const struct migration_figures *read, const char *name)
{
    for (size_t i = 0; i < MIGRATION_FIGURES; i++)
        if (strcmp(figures[i].libvirt, name) == 0)
            return read->known[i] ? read->values[i] : 0;
    return 0;
}

bool
migration_figures_moved(const struct migration_figures *read)
{
    return migration_figure(read, VIR_DOMAIN_JOB_DATA_TOTAL) > 0 ||
           migration_figure(read, VIR_DOMAIN_JOB_DISK_TOTAL) > 0 ||
           migration_figure(read, VIR_DOMAIN_JOB_MEMORY_ITERATION) > 0;
}

/* ---- judging ---- */

static bool
is_active(const struct migration_look *look)
{
    return !look->gone && look->state != VIR_DOMAIN_SHUTOFF && look->state != VIR_DOMAIN_CRASHED;
}

static bool
is_in_postcopy(const struct migration_look *look)
{
    return (look->state == VIR_DOMAIN_PAUSED && look->reason == VIR_DOMAIN_PAUSED_POSTCOPY) ||
           (look->state == VIR_DOMAIN_RUNNING && look->reason == VIR_DOMAIN_RUNNING_POSTCOPY);
}

static bool
is_interrupted(const struct migration_look *look)
{
    return (look->state == VIR_DOMAIN_PAUSED &&
            look->reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED) ||
           (look->state == VIR_DOMAIN_RUNNING &&
            look->reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED);
}

static enum migration_state
judge_outgoing(const struct migration *migration, const struct migration_look *look, bool late)
{
    if (is_active(look) && is_interrupted(look))
        return MIGRATION_INTERRUPTED;
    if (look->outgoing && is_in_postcopy(look))
        return MIGRATION_POSTCOPY;
    if (look->outgoing)
        return migration->state == MIGRATION_PREPARING && !migration_figures_moved(&look->figures)
                   ? MIGRATION_PREPARING
                   : MIGRATION_RUNNING;
    if (is_active(look))
        /* Paused for its last part, and no job: libvirtd is about to let it go on. */
        return look->reason == VIR_DOMAIN_PAUSED_MIGRATION && look->state == VIR_DOMAIN_PAUSED &&
                       !late
                   ? migration->state
                   : MIGRATION_FAILED;
    if (!late)
        return migration->state;
    if (!look->gone && look->state == VIR_DOMAIN_SHUTOFF &&
        (look->reason == VIR_DOMAIN_SHUTOFF_MIGRATED || (look->completed && !look->completed_in)))
        return MIGRATION_DONE;
    return MIGRATION_UNKNOWN;
}

static enum migration_state
judge_incoming(const struct migration *migration, const struct migration_look *look, bool late)
{
    if (is_active(look) && is_interrupted(look))
        return MIGRATION_INTERRUPTED;
    if (look->incoming)
        return is_in_postcopy(look) ? MIGRATION_POSTCOPY : MIGRATION_RUNNING;
    if (is_active(look))
        return MIGRATION_DONE;
    return late ? MIGRATION_FAILED : migration->state;
}

enum migration_state
migration_judge(const struct migration *migration, const struct migration_look *look, bool late)
{
    return migration->incoming ? judge_incoming(migration, look, late)
                               : judge_outgoing(migration, look, late);
}

/* ---- the record ---- */

char *
migration_record_write(const struct migration *migration)
{
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();

    xml_element(writer, "migration");
    xml_attr(writer, "id", migration->id);
    xml_attr(writer, "task", migration->task);
    xml_attr(writer, "source", migration->source);
    xml_attr(writer, "sourceHost", migration->source_host);
    xml_attr(writer, "target", migration->target);
    xml_attr_number(writer, "begun", (uint64_t)migration->begun_ns);
    if (migration->postcopy)
        xml_attr(writer, "postcopy", "yes");
    if (migration->postcopy_after > 0)
        xml_attr_number(writer, "postcopyAfter", (uint64_t)migration->postcopy_after);
    if (migration->timeout_s > 0) {
        xml_attr_number(writer, "timeout", (uint64_t)migration->timeout_s);
        xml_attr(writer, "onTimeout", migration->on_timeout);
    }
    if (migration_is_over(migration->state)) {
        xml_attr(writer, "state", migration_state_name(migration->state));
        xml_attr_number(writer, "ended", (uint64_t)migration->ended_ns);
        for (size_t i = 0; i < MIGRATION_FIGURES; i++)
            if (migration->figures.known[i])
                xml_attr_number(writer, figures[i].libvirt, migration->figures.values[i]);
        if (migration->error)
            xml_leaf(writer, "error", migration->error->message);
    }
    xml_element_end(writer);
    return xml_writer_take(writer);
}

/* What it says of its end, if it was told. */
static void
read_end(const struct xml_node *node, struct migration *migration)
{
    _cleanup_free_ char *state = xml_attribute(node, "state");
    const char *error = xml_text(node, "error");
    uint64_t ended_ns;

    if (!state || !xml_attribute_number(node, "ended", &ended_ns))
        return;
    for (size_t i = MIGRATION_DONE; i < ARRAY_COUNT(states); i++)
        if (strcmp(state, states[i]) == 0)
            migration->state = (enum migration_state)i;
    migration->ended_ns = (int64_t)ended_ns;
    for (size_t i = 0; i < MIGRATION_FIGURES; i++)
        migration->figures.known[i] =
            xml_attribute_number(node, figures[i].libvirt, &migration->figures.values[i]);
    if (*error)
        (void)error_set(&migration->error, ERROR_BACKEND_FAILED, "%s", error);
}

static int64_t
number_or_zero(const struct xml_node *node, const char *name)
{
    uint64_t value;

    return xml_attribute_number(node, name, &value) && value <= INT64_MAX ? (int64_t)value : 0;
}

bool
migration_record_read(const char *xml, const char *host, struct migration *ret_migration)
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(error_freep) struct error *ignored = NULL;
    const struct xml_node *node;
    struct migration read = { 0 };

    if (!xml_parse("libvirt", xml, strlen(xml), &document, &ignored))
        return false;
    node = xml_root(document);
    read.id = xml_attribute(node, "id");
    read.source_host = xml_attribute(node, "sourceHost");
    read.target = xml_attribute(node, "target");
    if (!read.id || !read.source_host || !read.target) {
        migration_done(&read);
        return false;
    }
    read.task = xml_attribute(node, "task");
    read.source = xml_attribute(node, "source");
    read.begun_ns = number_or_zero(node, "begun");
    read.postcopy = xml_attribute_is(node, "postcopy", "yes");
    read.postcopy_after = number_or_zero(node, "postcopyAfter");
    read.timeout_s = number_or_zero(node, "timeout");
    read.on_timeout = xml_attribute(node, "onTimeout");
    read.incoming = strcmp(read.source_host, host) != 0;
    read_end(node, &read);
    *ret_migration = read;
    return true;
}

/* ---- the wire ---- */

static bool
group_is_known(const struct migration_figures *read, const char *group)
{
    for (size_t i = 0; i < MIGRATION_FIGURES; i++)
        if (figures[i].group && strcmp(figures[i].group, group) == 0 && read->known[i])
            return true;
    return false;
}

static void
write_group(const struct migration_figures *read, const char *group, struct writer *writer)
{
    writer_key(writer, group);
    if (!group_is_known(read, group)) {
        writer_null(writer);
        return;
    }
    writer_object(writer);
    for (size_t i = 0; i < MIGRATION_FIGURES; i++)
        if (figures[i].group && strcmp(figures[i].group, group) == 0)
            writer_member_if_known(writer, figures[i].name, read->known[i], read->values[i]);
    writer_end_object(writer);
}

static void
write_figures(const struct migration_figures *read, struct writer *writer)
{
    for (size_t i = 0; i < MIGRATION_FIGURES; i++)
        if (!figures[i].group)
            writer_member_if_known(writer, figures[i].name, read->known[i], read->values[i]);
    write_group(read, "data", writer);
    write_group(read, "memory", writer);
    write_group(read, "disk", writer);
    write_group(read, "compression", writer);
}

void
migration_write(const struct migration *migration, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "vm", migration->vm);
    writer_member_string(writer, "uuid", migration->vm_uuid);
    writer_member_string(writer, "state", migration_state_name(migration->state));
    writer_member_string(writer, "direction", migration->incoming ? "incoming" : "outgoing");
    writer_member_string(writer, "id", migration->id);
    writer_member_string(writer, "task", migration->task);
    writer_member_string(writer, "source", migration->source);
    writer_member_string(writer, "target", migration->target);
    writer_member_time(writer, "begun", migration->begun_ns);
    writer_member_time(writer, "ended", migration->ended_ns);
    writer_member_string(writer, "note", migration->note);
    writer_key(writer, "error");
    if (migration->error)
        error_write(writer, migration->error);
    else
        writer_null(writer);
    write_figures(&migration->figures, writer);
    writer_end_object(writer);
}

#define NUMBER "{\"type\":[\"integer\",\"null\"]}"
#define TEXT "{\"type\":[\"string\",\"null\"]}"

const struct shape migration_shape = {
    .name = "Migration",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"uuid\",\"state\",\"direction\",\"id\",\"task\",\"source\","
        "\"target\",\"begun\",\"ended\",\"note\",\"error\",\"elapsedMs\",\"remainingMs\",\"downtimeMs\","
        "\"data\",\"memory\",\"disk\",\"compression\"],\"properties\":{"
        "\"vm\":{\"type\":\"string\"},\"uuid\":{\"type\":\"string\"},"
        "\"state\":{\"enum\":[\"preparing\",\"running\",\"postcopy\",\"interrupted\",\"done\",\"failed\","
        "\"aborted\",\"unknown\"]},\"direction\":{\"enum\":[\"incoming\",\"outgoing\"]},"
        "\"id\":" TEXT ",\"task\":" TEXT ",\"source\":" TEXT ",\"target\":" TEXT ",\"begun\":" TEXT
        ",\"ended\":" TEXT ",\"note\":" TEXT ",\"error\":{\"type\":[\"object\",\"null\"]},"
        "\"elapsedMs\":" NUMBER ",\"remainingMs\":" NUMBER ",\"downtimeMs\":" NUMBER
        ",\"setupMs\":" NUMBER ",\"throttlePercent\":" NUMBER ",\"elapsedNetMs\":" NUMBER
        ",\"data\":{\"type\":[\"object\",\"null\"]},\"memory\":{\"type\":[\"object\",\"null\"]},"
        "\"disk\":{\"type\":[\"object\",\"null\"]},\"compression\":{\"type\":[\"object\",\"null\"]}}}",
};
