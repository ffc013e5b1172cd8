/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/result.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/progress.h"
#include "ctl/table.h"

#define COLUMNS_MAX 10
#define DEPTH_MAX 6 /* of dotted keys; deeper objects are shown as JSON */

/* The columns that matter, of the lists that we know by their member's name. */
static const struct listing {
    const char *member;
    const char *columns[COLUMNS_MAX + 1];
    const char *none; /* what is said of an empty one */
    const char *next; /* the flag that goes on behind a page */
    const char *of;   /* rows that lack this are of another list of the same name; NULL: all */
} listings[] = {
    { "tasks",
      { "task", "method", "status", "object", "progress", "created" },
      "no tasks",
      "after",
      "method" },
    { "images",
      { "image", "state", "reason", "format", "size", "allocated", "base", "generation" },
      "no images",
      "after",
      NULL },
    { "repositories",
      { "repository", "kind", "health", "capacity", "free", "images", "path", "reason" },
      "no repositories: connect one with 'hostler repository connect'",
      "after",
      NULL },
    { "events", { "seq", "time", "topic", "subject" }, "no events", "since", NULL },
    { "volumes",
      { "volume", "type", "state", "distribute", "replica", "arbiter", "disperse", "redundancy",
        "snapshots" },
      "no volumes",
      "after",
      "transport" },
    { "bricks",
      { "brick", "online", "port", "pid", "capacity", "free", "freeInodes", "fileSystem",
        "device" },
      "no bricks",
      "after",
      "online" },
    { "limits",
      { "path", "size", "used", "available", "state", "objects", "files", "folders",
        "objectsState" },
      "no limits",
      "after",
      NULL },
    { "vms",
      { "vm", "state", "reason", "memory", "cpus", "guestAgent", "uuid" },
      "no virtual machines",
      "after",
      "maxMemory" },
    { "jobs",
      { "vm", "kind", "disk", "state", "done", "total", "perSecond", "ended", "error" },
      "no jobs",
      "after",
      "kind" },
    { "problems", { "image", "kind", "problem", "text", "fix" }, "no problems", "after", NULL },
};

static const struct listing *find_listing(const json_t *result, const json_t **ret_rows);
static void write_list(const struct listing *listing, const json_t *rows, size_t width,
                       size_t indent, bool colours, struct text *text);
static void write_object(const json_t *object, unsigned depth, size_t width, size_t indent,
                         bool colours, struct text *text);

void
result_write(const json_t *result, size_t width, bool colours, struct text *text)
{
    const json_t *rows = NULL;
    const struct listing *listing;

    if (json_is_object(result) && json_object_size(result) == 0) {
        text_append_string(text, "done\n");
        return;
    }
    if (!json_is_object(result)) {
        _cleanup_text_ struct text value = TEXT_INIT;

        result_value("", result, false, &value);
        visible_append(text, value.bytes ? value.bytes : "", value.length, true);
        text_append_char(text, '\n');
        return;
    }
    listing = find_listing(result, &rows);
    if (!rows) {
        write_object(result, 0, width, 0, colours, text);
        return;
    }
    if (json_array_size(rows) == 0)
        text_printf(text, "%s\n", listing ? listing->none : "nothing");
    else
        write_list(listing, rows, width, 0, colours, text);
    if (json_is_false(json_object_get(result, "current")) &&
        json_is_string(json_object_get(result, "asOf"))) {
        text_append_string(text, "As of ");
        visible_append_string(text, json_string_value(json_object_get(result, "asOf")));
        text_append_string(text, ": nobody can be asked now, 'hostler host info' tells why\n");
    }
    if (json_object_get(result, "next")) {
        _cleanup_text_ struct text next = TEXT_INIT;

        result_value("next", json_object_get(result, "next"), false, &next);
        text_printf(text, "There is more: --%s ", listing ? listing->next : "after");
        visible_append_string(text, next.bytes ? next.bytes : "");
        text_append_char(text, '\n');
    }
}

static const struct listing *
find_columns(const char *member, const json_t *rows)
{
    const json_t *first = json_array_get(rows, 0);

    for (size_t i = 0; i < ARRAY_COUNT(listings); i++)
        if (strcmp(listings[i].member, member) == 0 &&
            (!first || !listings[i].of || json_object_get(first, listings[i].of)))
            return &listings[i];
    return NULL;
}

/* A result is a list when one member is an array of objects and the rest is small. */
static const struct listing *
find_listing(const json_t *result, const json_t **ret_rows)
{
    const struct listing *listing;
    const char *key;
    json_t *value;

    *ret_rows = NULL;
    if (json_object_size(result) > 4)
        return NULL;
    json_object_foreach((json_t *)result, key, value)
    {
        if (!json_is_array(value))
            continue;
        listing = find_columns(key, value);
        if (listing) {
            *ret_rows = value;
            return listing;
        }
        if (json_array_size(value) == 0 || json_is_object(json_array_get(value, 0)))
            *ret_rows = value;
    }
    return NULL;
}

static bool
is_size(const char *key)
{
    static const char *const names[] = {
        "size",  "allocated",      "capacity", "free",  "used",      "available", "needed",
        "bytes", "bytesPerSecond", "done",     "total", "perSecond", "memory",    "maxMemory",
    };
    const char *dot = strrchr(key, '.');
    const char *last = dot ? dot + 1 : key;
    size_t length = strlen(last);

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(names[i], last) == 0)
            return true;
    return length > 5 && (strcmp(last + length - 5, "Bytes") == 0 ||
                          (length > 4 && strcmp(last + length - 4, "Size") == 0));
}

static void
append_object(const char *key, const json_t *object, struct text *text)
{
    const char *kind = json_string_value(json_object_get(object, "kind"));
    const char *repository = json_string_value(json_object_get(object, "repository"));
    const char *id = json_string_value(json_object_get(object, "id"));
    const char *message = json_string_value(json_object_get(object, "message"));
    _cleanup_free_ char *json = NULL;

    if (!id)
        id = json_string_value(json_object_get(object, "image"));
    if (repository && id && json_object_size(object) <= 3) {
        text_printf(text, "%s%s%s/%s", kind ? kind : "", kind ? " " : "", repository, id);
        return;
    }
    if (kind && (id || repository) && json_object_size(object) <= 3) {
        text_printf(text, "%s %s", kind, id ? id : repository);
        return;
    }
    if (message && json_object_get(object, "code")) {
        json_t *name = json_object_get(json_object_get(object, "data"), "name");

        text_printf(text, "%s: %s", json_is_string(name) ? json_string_value(name) : "error",
                    message);
        return;
    }
    if (strcmp(key, "progress") == 0) {
        json_t *status = json_pack("{sO}", "progress", object);
        struct progress progress;

        progress_read(status, &progress);
        progress_line(&progress, text);
        json_decref(status);
        return;
    }
    json = json_dumps(object, JSON_COMPACT | JSON_ENCODE_ANY);
    text_append_string(text, json ? json : "");
}

static void
append_integer(const char *key, json_int_t value, bool with_bytes, struct text *text)
{
    char size[VISIBLE_SIZE_TEXT];

    if (value < 0 || !is_size(key)) {
        text_printf(text, "%" JSON_INTEGER_FORMAT, value);
        return;
    }
    visible_size((uint64_t)value, size);
    text_append_string(text, size);
    if (with_bytes && value >= 1024)
        text_printf(text, " (%" JSON_INTEGER_FORMAT ")", value);
}

void
result_value(const char *key, const json_t *value, bool with_bytes, struct text *text)
{
    const json_t *item;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_NULL: text_append_char(text, '-'); break;
    case JSON_TRUE:
    case JSON_FALSE: text_append_string(text, json_is_true(value) ? "yes" : "no"); break;
    case JSON_INTEGER: append_integer(key, json_integer_value(value), with_bytes, text); break;
    case JSON_REAL: text_printf(text, "%.6g", json_real_value(value)); break;
    case JSON_STRING: text_append(text, json_string_value(value), json_string_length(value)); break;
    case JSON_ARRAY:
        json_array_foreach(value, i, item)
        {
            text_append_string(text, i ? ", " : "");
            result_value(key, item, false, text);
        }
        if (json_array_size(value) == 0)
            text_append_char(text, '-');
        break;
    case JSON_OBJECT: append_object(key, value, text); break;
    }
}

enum colour
result_colour(const char *key, const json_t *value)
{
    static const struct {
        const char *word;
        enum colour colour;
    } words[] = {
        { "done", COLOUR_GREEN },      { "failed", COLOUR_RED },
        { "aborted", COLOUR_YELLOW },  { "aborting", COLOUR_YELLOW },
        { "running", COLOUR_BLUE },    { "optimized", COLOUR_GREEN },
        { "degraded", COLOUR_YELLOW }, { "broken", COLOUR_RED },
        { "ok", COLOUR_GREEN },        { "available", COLOUR_GREEN },
        { "unavailable", COLOUR_RED }, { "fail", COLOUR_RED },
        { "complete", COLOUR_GREEN },  { "connecting", COLOUR_YELLOW },
    };
    const char *text = json_string_value(value);

    if (strcmp(key, "error") == 0 && json_is_object(value))
        return COLOUR_RED;
    if (strcmp(key, "online") == 0)
        return json_is_true(value) ? COLOUR_GREEN : COLOUR_RED;
    if (!text || (strcmp(key, "status") != 0 && strcmp(key, "state") != 0 &&
                  strcmp(key, "health") != 0 && strcmp(key, "outcome") != 0))
        return COLOUR_NONE;
    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        if (strcmp(words[i].word, text) == 0)
            return words[i].colour;
    return COLOUR_NONE;
}

static bool
any_row_has(const json_t *rows, const char *key)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        const json_t *value = json_object_get(row, key);

        if (value && !json_is_null(value))
            return true;
    }
    return false;
}

/* The columns to show: the known ones that some row has; of unknown lists, what the first row has. */
static size_t
choose_columns(const struct listing *listing, const json_t *rows, const char *ret_keys[COLUMNS_MAX])
{
    size_t count = 0;
    const char *key;
    json_t *value;

    for (size_t i = 0; listing && listing->columns[i]; i++)
        if (any_row_has(rows, listing->columns[i]))
            ret_keys[count++] = listing->columns[i];
    if (count > 0)
        return count;
    json_object_foreach(json_array_get(rows, 0), key, value)
    {
        if (count < COLUMNS_MAX && any_row_has(rows, key))
            ret_keys[count++] = key;
    }
    return count;
}

static void
add_heading(struct table *table, const char *key, const json_t *rows)
{
    _cleanup_text_ struct text heading = TEXT_INIT;
    static const char *const whole[] = { "time", "created", "status", "state", "health", "fix" };
    const json_t *first = json_object_get(json_array_get(rows, 0), key);
    bool shrinks = !json_is_number(first);

    for (const char *at = key; *at; at++) {
        if (*at >= 'A' && *at <= 'Z')
            text_append_char(&heading, ' ');
        text_append_char(&heading, (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at));
    }
    /* Times and states are of one length; a fix is there to be copied whole. */
    for (size_t i = 0; i < ARRAY_COUNT(whole); i++)
        shrinks = shrinks && strcmp(whole[i], key) != 0;
    table_column(table, heading.bytes ? heading.bytes : "", json_is_number(first), shrinks);
}

static void
add_cell(struct table *table, const char *key, const json_t *value)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    if (value)
        result_value(key, value, false, &text);
    table_cell(table, text.bytes ? text.bytes : "",
               value ? result_colour(key, value) : COLOUR_NONE);
}

static bool
is_rows(const json_t *value)
{
    return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

/* One that append_object() has words for. */
static bool
has_words(const char *key, const json_t *object)
{
    return (json_object_get(object, "repository") && json_object_size(object) <= 3) ||
           (json_object_get(object, "code") && json_object_get(object, "message")) ||
           strcmp(key, "progress") == 0 || strcmp(key, "userData") == 0 ||
           json_object_size(object) == 0;
}

static bool
is_inner(const char *key, const json_t *value, unsigned depth)
{
    return json_is_object(value) && !has_words(key, value) && depth < DEPTH_MAX;
}

static bool
holds_rows(const json_t *object, unsigned depth)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        if (is_rows(value) || (is_inner(key, value, depth) && holds_rows(value, depth + 1)))
            return true;
    }
    return false;
}

/* Rows that hold objects or rows of their own do not fit a line. */
static void
write_blocks(const json_t *rows, size_t width, size_t indent, bool colours, struct text *text)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        if (i > 0)
            text_append_char(text, '\n');
        write_object(row, 0, width, indent, colours, text);
    }
}

static bool
any_row_is_deep(const json_t *rows)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)row, key, value)
        {
            if (is_rows(value) || is_inner(key, value, 0))
                return true;
        }
    }
    return false;
}

static void
write_list(const struct listing *listing, const json_t *rows, size_t width, size_t indent,
           bool colours, struct text *text)
{
    _cleanup_(table_freep) struct table *table = table_new();
    const char *keys[COLUMNS_MAX];
    size_t count = choose_columns(listing, rows, keys), i;
    const json_t *row;

    if (!listing && any_row_is_deep(rows)) {
        write_blocks(rows, width, indent, colours, text);
        return;
    }
    for (size_t column = 0; column < count; column++)
        add_heading(table, keys[column], rows);
    json_array_foreach(rows, i, row)
    {
        for (size_t column = 0; column < count; column++)
            add_cell(table, keys[column], json_object_get(row, keys[column]));
    }
    if (count > 0)
        table_write(table, width, indent, colours, text);
}

void
result_steps(const json_t *steps, size_t width, size_t indent, bool colours, struct text *text)
{
    static const struct listing columns = {
        "steps", { "name", "outcome", "attempts", "elapsedMs", "message" }, "", "", NULL
    };

    if (json_array_size(steps) > 0)
        write_list(&columns, steps, width, indent, colours, text);
}

/* Keys first, to learn how wide they are; then with 'key_width' the lines themselves. */
static void
write_members(const json_t *object, const char *prefix, unsigned depth, size_t indent, bool colours,
              size_t *key_width, struct text *text)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        _cleanup_free_ char *path = xprintf("%s%s%s", prefix, *prefix ? "." : "", key);
        _cleanup_text_ struct text shown_key = TEXT_INIT, shown = TEXT_INIT;
        enum colour colour = result_colour(key, value);
        size_t width;

        if (is_rows(value))
            continue;
        if (is_inner(key, value, depth)) {
            if (holds_rows(value, depth + 1))
                continue;
            write_members(value, path, depth + 1, indent, colours, key_width, text);
            continue;
        }
        visible_append_string(&shown_key, path);
        width = visible_width(shown_key.bytes ? shown_key.bytes : "");
        if (!text) {
            *key_width = width > *key_width ? width : *key_width;
            continue;
        }
        result_value(path, value, true, &shown);
        text_printf(text, "%*s%s:%*s ", (int)indent, "", shown_key.bytes ? shown_key.bytes : "",
                    (int)(*key_width - width), "");
        text_append_string(text, visible_colour(colour, colours));
        visible_append(text, shown.bytes ? shown.bytes : "", shown.length, false);
        text_append_string(text, visible_plain(colours && colour != COLOUR_NONE));
        text_append_char(text, '\n');
    }
}

/* The lists in it, and what holds lists, each behind its key. */
static void
write_rows(const json_t *object, unsigned depth, size_t width, size_t indent, bool colours,
           struct text *text)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        bool inner = is_inner(key, value, depth) && holds_rows(value, depth + 1);

        if (!inner && !is_rows(value))
            continue;
        text_printf(text, "%*s", (int)indent, "");
        visible_append_string(text, key);
        text_append_string(text, ":\n");
        if (inner)
            write_object(value, depth + 1, width, indent + 2, colours, text);
        else if (strcmp(key, "steps") == 0)
            result_steps(value, width, indent + 2, colours, text);
        else
            write_list(find_columns(key, value), value, width, indent + 2, colours, text);
    }
}

static void
write_object(const json_t *object, unsigned depth, size_t width, size_t indent, bool colours,
             struct text *text)
{
    size_t key_width = 0;

    write_members(object, "", depth, indent, colours, &key_width, NULL);
    write_members(object, "", depth, indent, colours, &key_width, text);
    write_rows(object, depth, width, indent, colours, text);
}
