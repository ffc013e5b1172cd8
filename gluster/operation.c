/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/operation.h"

#include <inttypes.h>
#include <stdio.h>
#include <jansson.h>
#include <string.h>

static const char *const kind_names[] = { [OPERATION_REBALANCE] = "rebalance",
                                          [OPERATION_FIX_LAYOUT] = "fixLayout",
                                          [OPERATION_REMOVAL] = "removal",
                                          [OPERATION_HEAL] = "heal" };
static const char *const status_names[] = {
    [OPERATION_RUNNING] = "running",    [OPERATION_UNKNOWN] = "unknown",
    [OPERATION_PENDING] = "pending",    [OPERATION_FAILED] = "failed",
    [OPERATION_STOPPED] = "stopped",    [OPERATION_WAITING_FOR_COMMIT] = "waitingForCommit",
    [OPERATION_COMPLETED] = "completed"
};

#define FIGURES_REQUIRED                                                                           \
    "\"files\",\"bytes\",\"scanned\",\"failures\",\"skipped\",\"runTimeSeconds\""
#define FIGURES_PROPERTIES                                                                         \
    "\"files\":{\"type\":\"integer\"},\"bytes\":{\"type\":\"integer\"},\"scanned\":{\"type\":"     \
    "\"integer\"},\"failures\":{\"type\":\"integer\"},\"skipped\":{\"type\":\"integer\"},"         \
    "\"runTimeSeconds\":{\"type\":\"integer\"}"

const struct shape operation_shape = {
    .name = "Operation",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"operation\",\"volume\","
        "\"kind\",\"status\",\"timeLeftSeconds\",\"remaining\",\"bricks\",\"hosts\"," FIGURES_REQUIRED
        "],"
        "\"properties\":{\"operation\":{\"type\":\"string\"},\"volume\":{\"type\":\"string\"},"
        "\"kind\":{\"enum\":[\"rebalance\",\"fixLayout\",\"removal\",\"heal\"]},"
        "\"status\":{\"enum\":[\"running\",\"pending\",\"unknown\",\"waitingForCommit\",\"completed\","
        "\"failed\",\"stopped\"]},\"timeLeftSeconds\":{\"type\":[\"integer\",\"null\"]},"
        "\"remaining\":{\"type\":[\"integer\",\"null\"]}," FIGURES_PROPERTIES
        ",\"bricks\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
        "\"hosts\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
        "\"required\":[\"host\",\"peer\",\"status\"," FIGURES_REQUIRED
        "],\"properties\":{\"host\":{\"type\":"
        "\"string\"},\"peer\":{\"type\":\"string\"},\"status\":{\"enum\":[\"running\",\"pending\","
        "\"unknown\",\"completed\",\"failed\",\"stopped\"]}," FIGURES_PROPERTIES "}}}}}",
};

const char *
operation_kind_name(enum operation_kind kind)
{
    return kind_names[kind];
}

const char *
operation_status_name(enum operation_status status)
{
    return status_names[status];
}

bool
operation_is_under_way(const struct operation *operation)
{
    return operation->status == OPERATION_RUNNING || operation->status == OPERATION_PENDING ||
           operation->status == OPERATION_UNKNOWN;
}

static void
hosts_done(struct operation *operation)
{
    for (size_t i = 0; i < operation->host_count; i++) {
        free(operation->hosts[i].peer);
        free(operation->hosts[i].host);
    }
    free(operation->hosts);
    operation->hosts = NULL;
    operation->host_count = 0;
}

static void
operation_done(struct operation *operation)
{
    hosts_done(operation);
    strings_free(operation->bricks);
    free(operation->id);
    free(operation->volume);
}

void
operations_done(struct operations *operations)
{
    for (size_t i = 0; i < operations->count; i++)
        operation_done(&operations->all[i]);
    free(operations->all);
    *operations = (struct operations){ 0 };
}

void
operations_drop(struct operations *operations, size_t n)
{
    operation_done(&operations->all[n]);
    operations->count--;
    memmove(&operations->all[n], &operations->all[n + 1],
            (operations->count - n) * sizeof(operations->all[0]));
}

/* ---- reading ---- */

static char **
read_bricks(const struct xml_node *parent)
{
    size_t count = 0;
    char **bricks;

    for (XML_EACH(node, parent, "brick"))
        count++;
    if (count == 0)
        return NULL;
    bricks = xalloc((count + 1) * sizeof(bricks[0]));
    count = 0;
    for (XML_EACH(node, parent, "brick"))
        bricks[count++] = xstrdup(xml_content(node));
    return bricks;
}

/* glusterd's gf_defrag_status; 5 to 8 are 1 to 4 of a fix-layout, which "tasks" mostly calls by the others. */
static bool
is_of_layout(uint64_t number)
{
    return number >= 5 && number <= 8;
}

static enum operation_status
status_of(uint64_t number)
{
    switch (number) {
    case 1:
    case 5: return OPERATION_RUNNING;
    case 2:
    case 6: return OPERATION_STOPPED;
    case 3:
    case 7: return OPERATION_COMPLETED;
    case 4:
    case 8: return OPERATION_FAILED;
    default: return OPERATION_PENDING;
    }
}

static void
read_task(const struct xml_node *node, const char *volume, struct operations *operations)
{
    uint64_t status = xml_count(node, "status");
    struct operation *operation;
    bool removal = strcmp(xml_text(node, "type"), "Remove brick") == 0;

    operations->all =
        xrealloc(operations->all, (operations->count + 1) * sizeof(operations->all[0]));
    operation = &operations->all[operations->count++];
    *operation = (struct operation){
        .id = xstrdup(xml_text(node, "id")),
        .volume = xstrdup(volume),
        .kind = removal                ? OPERATION_REMOVAL
                : is_of_layout(status) ? OPERATION_FIX_LAYOUT
                                       : OPERATION_REBALANCE,
        .status = status_of(status),
        .bricks = read_bricks(xml_child(node, "params")),
    };
}

bool
operations_read(const struct xml_document *document, const char *volume,
                struct operations *operations, bool *ret_told, struct error **err)
{
    const struct xml_node *parent =
        xml_child(xml_child(xml_root(document), "volStatus"), "volumes");
    bool told = false;

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer describes no tasks");
    for (XML_EACH(node, parent, "volume")) {
        const char *name = xml_text(node, "volName");

        if (volume && strcmp(name, volume) != 0)
            continue;
        told = true;
        for (XML_EACH(task, xml_child(node, "tasks"), "task"))
            read_task(task, name, operations);
    }
    *ret_told = told;
    return true;
}

static struct operation_host *
add_host(struct operation *operation, const char *peer, const char *host)
{
    struct operation_host *added;

    operation->hosts =
        xrealloc(operation->hosts, (operation->host_count + 1) * sizeof(operation->hosts[0]));
    added = &operation->hosts[operation->host_count++];
    *added = (struct operation_host){ .peer = xstrdup(peer), .host = xstrdup(host) };
    return added;
}

/* "15.00" is 15. */
static uint64_t
read_seconds(const struct xml_node *node)
{
    return strtoull(xml_text(node, "runtime"), NULL, 10);
}

static void
read_host(const struct xml_node *node, struct operation *operation)
{
    uint64_t status = xml_count(node, "status");
    struct operation_host *host =
        add_host(operation, xml_text(node, "id"), xml_text(node, "nodeName"));

    host->status = status_of(status);
    host->figures = (struct operation_figures){
        .files = xml_count(node, "files"),
        .bytes = xml_count(node, "size"),
        .scanned = xml_count(node, "lookups"),
        .failures = xml_count(node, "failures"),
        .skipped = xml_count(node, "skipped"),
        .run_time_s = read_seconds(node),
    };
    if (operation->kind == OPERATION_REBALANCE && is_of_layout(status))
        operation->kind = OPERATION_FIX_LAYOUT;
}

bool
operation_read_figures(struct operation *operation, const struct xml_document *document,
                       bool *ret_known, struct error **err)
{
    const struct xml_node *parent =
        xml_child(xml_root(document),
                  operation->kind == OPERATION_REMOVAL ? "volRemoveBrick" : "volRebalance");

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer describes no operation");
    *ret_known = strcmp(xml_text(parent, "task-id"), operation->id) == 0;
    if (!*ret_known)
        return true;
    hosts_done(operation);
    for (XML_EACH(node, parent, "node"))
        read_host(node, operation);
    return true;
}

bool
operation_read_time_left(const char *text, uint64_t *ret_time_left_s)
{
    static const char words[] = "Estimated time left for rebalance to complete :";
    const char *found = strstr(text, words);
    uint64_t hours;
    unsigned minutes, seconds;

    if (!found ||
        sscanf(found + strlen(words), "%" SCNu64 ":%u:%u", &hours, &minutes, &seconds) != 3)
        return false;
    *ret_time_left_s = hours * 3600 + minutes * 60 + seconds;
    return true;
}

/* ---- the whole ---- */

static struct operation_host *
find_host(const struct operation *operation, const char *peer)
{
    for (size_t i = 0; i < operation->host_count; i++)
        if (strcmp(operation->hosts[i].peer, peer) == 0)
            return &operation->hosts[i];
    return NULL;
}

/* Whether the brick's host works at the operation: at a rebalance all do. */
static bool
concerns(const struct operation *operation, const struct brick *brick)
{
    if (operation->kind != OPERATION_REMOVAL)
        return true;
    for (char **removed = operation->bricks; removed && *removed; removed++)
        if (strcmp(*removed, brick->name) == 0)
            return true;
    return false;
}

bool
operation_is_incomplete(const struct operation *operation, const struct volume *volume)
{
    for (size_t i = 0; i < volume->brick_count; i++)
        if (concerns(operation, &volume->bricks[i]) &&
            !find_host(operation, volume->bricks[i].host_uuid))
            return true;
    return false;
}

static bool
is_connected(const struct peers *peers, const char *uuid)
{
    for (size_t i = 0; peers && i < peers->count; i++)
        if (strcmp(peers->all[i].uuid, uuid) == 0)
            return peers->all[i].connected;
    return false;
}

/* A host that answers and tells nothing of a rebalance had no brick yet when that began. */
static void
add_missing_hosts(struct operation *operation, const struct volume *volume,
                  const struct peers *peers)
{
    for (size_t i = 0; i < volume->brick_count; i++) {
        const struct brick *brick = &volume->bricks[i];

        if (!concerns(operation, brick) || find_host(operation, brick->host_uuid) ||
            (operation->kind != OPERATION_REMOVAL && is_connected(peers, brick->host_uuid)))
            continue;
        add_host(operation, brick->host_uuid, "")->status = OPERATION_UNKNOWN;
    }
}

/* The host that was asked calls itself "localhost": so each goes by what the bricks call it. */
static void
name_hosts(struct operation *operation, const struct volume *volume)
{
    for (size_t i = 0; i < volume->brick_count; i++) {
        const struct brick *brick = &volume->bricks[i];
        struct operation_host *host = find_host(operation, brick->host_uuid);
        const char *path = strstr(brick->name, ":/");

        if (!host || !path)
            continue;
        free(host->host);
        host->host = xstrndup(brick->name, (size_t)(path - brick->name));
    }
}

static int
compare_hosts(const void *a, const void *b)
{
    const struct operation_host *one = a, *other = b;

    return strcmp(one->peer, other->peer);
}

static void
add_up(struct operation *operation)
{
    struct operation_figures *total = &operation->total;

    *total = (struct operation_figures){ 0 };
    operation->status = operation->host_count ? OPERATION_COMPLETED : OPERATION_UNKNOWN;
    for (size_t i = 0; i < operation->host_count; i++) {
        const struct operation_host *host = &operation->hosts[i];

        total->files += host->figures.files;
        total->bytes += host->figures.bytes;
        total->scanned += host->figures.scanned;
        total->failures += host->figures.failures;
        total->skipped += host->figures.skipped;
        if (host->figures.run_time_s > total->run_time_s)
            total->run_time_s = host->figures.run_time_s;
        if (host->status < operation->status)
            operation->status = host->status;
    }
}

void
operation_settle(struct operation *operation, const struct volume *volume,
                 const struct peers *peers)
{
    add_missing_hosts(operation, volume, peers);
    name_hosts(operation, volume);
    qsort(operation->hosts, operation->host_count, sizeof(operation->hosts[0]), compare_hosts);
    add_up(operation);
    if (operation->kind != OPERATION_REMOVAL || operation->status != OPERATION_COMPLETED)
        return;
    /* glusterd calls it completed all the same, and a commit would lose the files left behind. */
    operation->status = operation->total.failures || operation->total.skipped
                            ? OPERATION_FAILED
                            : OPERATION_WAITING_FOR_COMMIT;
}

/* ---- writing ---- */

static void
write_figures(const struct operation_figures *figures, struct writer *writer)
{
    writer_member_unsigned(writer, "files", figures->files);
    writer_member_unsigned(writer, "bytes", figures->bytes);
    writer_member_unsigned(writer, "scanned", figures->scanned);
    writer_member_unsigned(writer, "failures", figures->failures);
    writer_member_unsigned(writer, "skipped", figures->skipped);
    writer_member_unsigned(writer, "runTimeSeconds", figures->run_time_s);
}

static void
write_host(const struct operation_host *host, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "host", host->host);
    writer_member_string(writer, "peer", host->peer);
    writer_member_string(writer, "status", status_names[host->status]);
    write_figures(&host->figures, writer);
    writer_end_object(writer);
}

void
operation_write(const struct operation *operation, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "operation", operation->id);
    writer_member_string(writer, "volume", operation->volume);
    writer_member_string(writer, "kind", kind_names[operation->kind]);
    writer_member_string(writer, "status", status_names[operation->status]);
    write_figures(&operation->total, writer);
    writer_member_if_known(writer, "timeLeftSeconds", operation->has_time_left,
                           operation->time_left_s);
    writer_member_if_known(writer, "remaining", operation->has_remaining, operation->remaining);
    writer_key(writer, "bricks");
    writer_array(writer);
    for (char **brick = operation->bricks; brick && *brick; brick++)
        writer_string(writer, *brick);
    writer_end_array(writer);
    writer_key(writer, "hosts");
    writer_array(writer);
    for (size_t i = 0; i < operation->host_count; i++)
        write_host(&operation->hosts[i], writer);
    writer_end_array(writer);
    writer_end_object(writer);
}

char *
operation_json_stopped(const char *json)
{
    json_t *object = json_loads(json, 0, NULL);
    char *stopped = NULL, *copy;

    if (object &&
        json_object_set_new(object, "status", json_string(status_names[OPERATION_STOPPED])) == 0)
        stopped = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    copy = xstrdup(stopped ? stopped : json);
    free(stopped);
    return copy;
}
