/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/quota.h"

#include <string.h>

#include "gluster/command.h"

#define COUNT "{\"type\":[\"integer\",\"null\"]}"
#define STATE "{\"enum\":[\"ok\",\"softLimitExceeded\",\"limitExceeded\",null]}"

const struct shape quota_limit_shape = {
    .name = "QuotaLimit",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\",\"path\","
        "\"size\",\"softLimitPercent\",\"softLimitSize\",\"used\",\"available\",\"state\","
        "\"objects\",\"objectsSoftLimitPercent\",\"objectsSoftLimit\",\"files\",\"folders\","
        "\"objectsAvailable\",\"objectsState\"],"
        "\"properties\":{\"volume\":{\"type\":\"string\"},\"path\":{\"type\":\"string\"},"
        "\"size\":" COUNT ","
        "\"softLimitPercent\":" COUNT ","
        "\"softLimitSize\":" COUNT ","
        "\"used\":" COUNT ","
        "\"available\":" COUNT ","
        "\"objects\":" COUNT ","
        "\"objectsSoftLimitPercent\":" COUNT ","
        "\"objectsSoftLimit\":" COUNT ","
        "\"files\":" COUNT ","
        "\"folders\":" COUNT ","
        "\"objectsAvailable\":" COUNT ","
        "\"state\":" STATE ","
        "\"objectsState\":" STATE "}}",
};

void
quota_done(struct quota *quota)
{
    for (size_t i = 0; i < quota->limit_count; i++)
        free(quota->limits[i].path);
    free(quota->limits);
    *quota = (struct quota){ 0 };
}

static bool
is_yes(const struct xml_node *node, const char *name)
{
    return strcmp(xml_text(node, name), "Yes") == 0;
}

/* Of a folder without a limit all members are "N/A". */
static struct quota_bound
read_bound(const struct xml_node *node, const char *available)
{
    struct quota_bound bound = { .known = true };

    if (!xml_number(node, "hard_limit", &bound.hard))
        return bound;
    bound.limited = true;
    bound.soft = xml_count(node, "soft_limit_value");
    bound.soft_percent = strtoul(xml_text(node, "soft_limit_percent"), NULL, 10); /* "80%" */
    bound.available = xml_count(node, available);
    bound.soft_exceeded = is_yes(node, "sl_exceeded");
    bound.hard_exceeded = is_yes(node, "hl_exceeded");
    return bound;
}

static void
read_limit(const struct xml_node *node, struct quota_limit *limit)
{
    *limit = (struct quota_limit){ .path = xstrdup(xml_text(node, "path")) };
    if (xml_child(node, "file_count")) {
        limit->objects = read_bound(node, "available");
        limit->files = xml_count(node, "file_count");
        limit->folders = xml_count(node, "dir_count");
    } else {
        limit->size = read_bound(node, "avail_space");
        limit->used = xml_count(node, "used_space");
    }
}

static int
compare_paths(const void *a, const void *b)
{
    const struct quota_limit *first = a, *second = b;

    return strcmp(first->path, second->path);
}

/* What the other list says of the same folder. */
static void
join(struct quota_limit *limit, const struct quota_limit *other)
{
    if (other->size.known) {
        limit->size = other->size;
        limit->used = other->used;
    }
    if (other->objects.known) {
        limit->objects = other->objects;
        limit->files = other->files;
        limit->folders = other->folders;
    }
}

static void
join_neighbours(struct quota *quota)
{
    size_t count = 0;

    for (size_t i = 0; i < quota->limit_count; i++) {
        struct quota_limit *limit = &quota->limits[i];

        if (count > 0 && compare_paths(&quota->limits[count - 1], limit) == 0) {
            join(&quota->limits[count - 1], limit);
            free(limit->path);
        } else {
            quota->limits[count++] = *limit;
        }
    }
    quota->limit_count = count;
}

bool
quota_read(const struct xml_document *document, struct quota *quota, struct error **err)
{
    const struct xml_node *parent = xml_child(xml_root(document), "volQuota");
    size_t count = quota->limit_count + xml_children(parent, "limit");

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer has no list of limits");
    if (count == quota->limit_count)
        return true;
    quota->limits = xrealloc(quota->limits, count * sizeof(quota->limits[0]));
    for (XML_EACH(node, parent, "limit"))
        read_limit(node, &quota->limits[quota->limit_count++]);
    qsort(quota->limits, count, sizeof(quota->limits[0]), compare_paths);
    join_neighbours(quota);
    return true;
}

bool
quota_path_check(const char *param, const char *path, struct error **err)
{
    bool plain = path[0] == '/';

    for (const char *at = path; *at; at++)
        plain = plain && (unsigned char)*at >= ' ' && *at != 0x7f;
    for (const char *element = path; plain && path[1] && *element;) {
        size_t length = strcspn(++element, "/");

        plain = length > 0 && !(length == 1 && element[0] == '.') &&
                !(length == 2 && strncmp(element, "..", 2) == 0);
        element += length;
    }
    return plain ||
           error_param(err, param,
                       "must be a path from the volume's top, such as '/' or '/a/b', not '%s'",
                       path);
}

void
quota_explain(const char *path, struct error **error)
{
    bool no_folder = strstr((*error)->message, "trusted.gfid attribute on path") &&
                     strstr((*error)->message, "No such file");
    bool no_limit = strstr((*error)->message, "removexattr failed") &&
                    strstr((*error)->message, "No data available");

    if ((*error)->code != ERROR_BACKEND_FAILED || (!no_folder && !no_limit))
        return;
    error_free(TAKE(*error));
    error_set(error, ERROR_NOT_FOUND,
              no_folder ? "the volume has no folder '%s'" : "folder '%s' has no such limit", path);
    error_data_text(error, "kind", "%s", no_folder ? "folder" : "limit");
    error_data_text(error, "id", "%s", path);
}

/* That there are none is a refusal, and not so for us. */
static bool
forgive_none(struct error **err)
{
    if ((*err)->code != ERROR_BACKEND_FAILED || !strstr((*err)->message, "quota configured on"))
        return false;
    error_free(TAKE(*err));
    return true;
}

static bool
ask(const char *volume, const char *list, const char *path, struct quota *quota, struct error **err)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "quota", volume, list, path),
        .kind = "volume",
        .id = volume,
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    bool done = gluster_command_run(&command, &document, err);

    /* Where the bricks were dead since the last list gluster 10.3 gives up without a word, once. */
    if (!done && (*err)->code == ERROR_BACKEND_FAILED &&
        strstr((*err)->message, "printed nothing")) {
        error_free(TAKE(*err));
        done = gluster_command_run(&command, &document, err);
    }
    return done ? quota_read(document, quota, err) : forgive_none(err);
}

/* Of what is no folder gluster 10.3 tells in words, in front of the XML or instead of it. */
static bool
no_folder(const char *volume, const char *path, struct error **err)
{
    error_set(err, ERROR_NOT_FOUND, "volume '%s' has no folder '%s'", volume, path);
    error_data_text(err, "kind", "folder");
    return error_data_text(err, "id", "%s", path);
}

bool
quota_ask(const char *volume, const char *path, struct quota *ret_quota, struct error **err)
{
    _cleanup_quota_ struct quota quota = { 0 };

    if (!ask(volume, "list", path, &quota, err) ||
        !ask(volume, "list-objects", path, &quota, err)) {
        if (!path || (*err)->code != ERROR_BACKEND_FAILED || !strstr((*err)->message, " N/A "))
            return false;
        error_free(TAKE(*err));
        return no_folder(volume, path, err);
    }
    if (path && quota.limit_count == 0)
        return no_folder(volume, path, err);
    *ret_quota = quota;
    quota = (struct quota){ 0 };
    return true;
}

static void
write_count(struct writer *writer, const char *key, bool known, uint64_t value)
{
    if (known)
        writer_member_unsigned(writer, key, value);
    else
        writer_member_null(writer, key);
}

static void
write_state(struct writer *writer, const char *key, const struct quota_bound *bound)
{
    writer_member_string(writer, key,
                         !bound->limited        ? NULL
                         : bound->hard_exceeded ? "limitExceeded"
                         : bound->soft_exceeded ? "softLimitExceeded"
                                                : "ok");
}

void
quota_limit_write(const struct quota_limit *limit, struct writer *writer)
{
    const struct quota_bound *size = &limit->size, *objects = &limit->objects;

    writer_member_string(writer, "path", limit->path);
    write_count(writer, "size", size->limited, size->hard);
    write_count(writer, "softLimitPercent", size->limited, size->soft_percent);
    write_count(writer, "softLimitSize", size->limited, size->soft);
    write_count(writer, "used", size->known, limit->used);
    write_count(writer, "available", size->limited, size->available);
    write_state(writer, "state", size);
    write_count(writer, "objects", objects->limited, objects->hard);
    write_count(writer, "objectsSoftLimitPercent", objects->limited, objects->soft_percent);
    write_count(writer, "objectsSoftLimit", objects->limited, objects->soft);
    write_count(writer, "files", objects->known, limit->files);
    write_count(writer, "folders", objects->known, limit->folders);
    write_count(writer, "objectsAvailable", objects->limited, objects->available);
    write_state(writer, "objectsState", objects);
}

static bool
ask_limits(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    size_t length = strcspn(subject, "/");
    _cleanup_free_ char *volume = xstrndup(subject, length);
    _cleanup_quota_ struct quota quota = { 0 };

    if (!quota_ask(volume, subject[length] ? subject + length : NULL, &quota, err))
        return false;
    for (size_t i = 0; i < quota.limit_count; i++) {
        struct gluster_item *item = gluster_items_add(ret_items);
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        writer_object(&writer);
        writer_member_string(&writer, "volume", volume);
        quota_limit_write(&quota.limits[i], &writer);
        writer_end_object(&writer);
        item->id = xstrdup(quota.limits[i].path);
        item->volume = xstrdup(volume);
        item->json = text_take(&writer.text);
    }
    return true;
}

const struct gluster_question quota_question = {
    .name = "quota",
    .member = "limits",
    .ask = ask_limits,
    .slow = true, /* gluster mounts the volume for it */
};
