/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenRPC document of every verb: what the command line, the manual and doc/protocol.md are
 * made of.  Members that begin with "x-" are ours:
 *
 *   of a method     x-role (viewer, operator, admin), x-kind (reads, changes, answersEarly,
 *                   readsLong), x-aliases
 *   of a parameter  x-type (name, text, path, task, size, integer, bool, choice, object, texts,
 *                   record, records); in the schema for a member of a record
 *   of the whole    x-common-params (of every method), x-errors (all there are), x-topics
 */
#include <config.h>

#include <string.h>

#include "agent/agent.h"
#include "events/topic.h"
#include "rpc/args.h"
#include "rpc/server.h"

#define OPENRPC_VERSION "1.2.6"

static const char *const kind_names[] = {
    [VERB_READS] = "reads",
    [VERB_CHANGES] = "changes",
    [VERB_ANSWERS_EARLY] = "answersEarly",
    [VERB_READS_LONG] = "readsLong",
};

static const char *const type_names[] = {
    [PARAM_NAME] = "name",   [PARAM_TEXT] = "text",     [PARAM_PATH] = "path",
    [PARAM_TASK] = "task",   [PARAM_SIZE] = "size",     [PARAM_INTEGER] = "integer",
    [PARAM_BOOL] = "bool",   [PARAM_CHOICE] = "choice", [PARAM_OBJECT] = "object",
    [PARAM_TEXTS] = "texts", [PARAM_RECORD] = "record", [PARAM_RECORDS] = "records",
};

static void write_param_schema(const struct param *param, struct writer *writer);

static void
write_string_schema(const char *pattern, struct writer *writer)
{
    writer_member_string(writer, "type", "string");
    if (pattern)
        writer_member_string(writer, "pattern", pattern);
}

/* JSON Schema counts characters where we count bytes: an upper bound holds for both, a lower one
   only for the first. */
static void
write_text_schema(const struct param *param, struct writer *writer)
{
    write_string_schema(NULL, writer);
    if (param->minimum > 0)
        writer_member_integer(writer, "minLength", 1);
    if (param->maximum > 0)
        writer_member_integer(writer, "maxLength", param->maximum);
}

static void
write_integer_schema(const struct param *param, struct writer *writer)
{
    writer_member_string(writer, "type", "integer");
    if (param->type == PARAM_SIZE || param->minimum || param->maximum)
        writer_member_integer(writer, "minimum", param->minimum);
    if (param->maximum)
        writer_member_integer(writer, "maximum", param->maximum);
}

static void
write_strings(const char *key, const char *const *strings, struct writer *writer)
{
    writer_key(writer, key);
    writer_array(writer);
    for (; *strings; strings++)
        writer_string(writer, *strings);
    writer_end_array(writer);
}

static void
write_required(const struct param *members, struct writer *writer)
{
    writer_key(writer, "required");
    writer_array(writer);
    for (const struct param *member = members; member->name; member++)
        if (member->required)
            writer_string(writer, member->name);
    writer_end_array(writer);
}

static void
write_record_schema(const struct param *members, struct writer *writer)
{
    writer_member_string(writer, "type", "object");
    writer_key(writer, "properties");
    writer_object(writer);
    for (const struct param *member = members; member->name; member++) {
        writer_key(writer, member->name);
        writer_object(writer);
        writer_member_string(writer, "description", member->about);
        write_param_schema(member, writer);
        writer_member_string(writer, "x-type", type_names[member->type]);
        writer_end_object(writer);
    }
    writer_end_object(writer);
    write_required(members, writer);
    writer_member_bool(writer, "additionalProperties", false);
}

static void
write_records_schema(const struct param *param, struct writer *writer)
{
    writer_member_string(writer, "type", "array");
    writer_member_integer(writer, "minItems", param->minimum);
    writer_member_integer(writer, "maxItems", param->maximum);
    writer_key(writer, "items");
    writer_object(writer);
    write_record_schema(param->members, writer);
    writer_end_object(writer);
}

static void
write_type_schema(const struct param *param, struct writer *writer)
{
    switch (param->type) {
    case PARAM_NAME: write_string_schema("^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", writer); break;
    case PARAM_PATH: write_string_schema("^/", writer); break;
    case PARAM_TEXT: write_text_schema(param, writer); break;
    case PARAM_TASK: write_strings("type", CHOICES("string", "number"), writer); break;
    case PARAM_SIZE:
    case PARAM_INTEGER: write_integer_schema(param, writer); break;
    case PARAM_BOOL: writer_member_string(writer, "type", "boolean"); break;
    case PARAM_CHOICE:
        write_string_schema(NULL, writer);
        write_strings("enum", param->choices, writer);
        break;
    case PARAM_OBJECT: writer_member_string(writer, "type", "object"); break;
    case PARAM_TEXTS:
        writer_member_string(writer, "type", "array");
        writer_key(writer, "items");
        writer_object(writer);
        write_string_schema(NULL, writer);
        writer_end_object(writer);
        break;
    case PARAM_RECORD: write_record_schema(param->members, writer); break;
    case PARAM_RECORDS: write_records_schema(param, writer); break;
    case PARAM_TYPE_UNSET: break;
    }
}

static void
write_param_schema(const struct param *param, struct writer *writer)
{
    write_type_schema(param, writer);
    if (param->fallback)
        writer_member_json(writer, "default", param->fallback);
}

static void
write_params(const struct param *params, struct writer *writer)
{
    writer_array(writer);
    for (const struct param *param = params; param && param->name; param++) {
        writer_object(writer);
        writer_member_string(writer, "name", param->name);
        writer_member_string(writer, "description", param->about);
        writer_member_bool(writer, "required", param->required);
        writer_key(writer, "schema");
        writer_object(writer);
        write_param_schema(param, writer);
        writer_end_object(writer);
        writer_member_string(writer, "x-type", type_names[param->type]);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

static void
write_error_entries(const struct verb *verb, struct writer *writer)
{
    writer_array(writer);
    for (const enum error_code *code = verb->errors; code && *code != ERROR_NONE; code++) {
        writer_object(writer);
        writer_member_integer(writer, "code", *code);
        writer_member_string(writer, "message", error_code_meaning(*code));
        writer_key(writer, "data");
        writer_object(writer);
        writer_member_string(writer, "name", error_code_name(*code));
        writer_end_object(writer);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

static void
write_aliases(const struct verb *verb, struct writer *writer)
{
    const char *alias = verb->aliases;

    writer_array(writer);
    while (alias && *alias) {
        size_t length = strcspn(alias, " ");

        writer_string_sized(writer, alias, length);
        alias += length + (alias[length] == ' ');
    }
    writer_end_array(writer);
}

/* The resource: "image" of "image.copy". */
static void
write_tags(const struct verb *verb, struct writer *writer)
{
    writer_array(writer);
    writer_object(writer);
    writer_key(writer, "name");
    writer_string_sized(writer, verb->name, strcspn(verb->name, "."));
    writer_end_object(writer);
    writer_end_array(writer);
}

static void
write_result(const struct verb *verb, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "name", verb->result->name);
    writer_key(writer, "schema");
    writer_object(writer);
    writer_key(writer, "$ref");
    writer_printf(writer, "#/components/schemas/%s", verb->result->name);
    writer_end_object(writer);
    writer_end_object(writer);
}

static void
write_follow(const struct follow *follow, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "query", follow->query);
    writer_member_string(writer, "param", follow->param);
    writer_member_string(writer, "items", follow->items);
    writer_member_string(writer, "key", follow->key);
    writer_member_string(writer, "status", follow->status);
    write_strings("running", follow->running, writer);
    write_strings("done", follow->done, writer);
    writer_member_string(writer, "progress", follow->progress);
    writer_member_string(writer, "left", follow->left);
    writer_end_object(writer);
}

static void
write_method(const struct verb *verb, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "name", verb->name);
    writer_member_string(writer, "summary", verb->summary);
    if (verb->description)
        writer_member_string(writer, "description", verb->description);
    writer_key(writer, "tags");
    write_tags(verb, writer);
    writer_member_string(writer, "paramStructure", "either");
    writer_key(writer, "params");
    write_params(verb->params, writer);
    writer_key(writer, "result");
    write_result(verb, writer);
    writer_key(writer, "errors");
    write_error_entries(verb, writer);
    writer_member_string(writer, "x-role", role_name(verb->role));
    writer_member_string(writer, "x-kind", kind_names[verb->kind]);
    writer_key(writer, "x-aliases");
    write_aliases(verb, writer);
    if (verb->follow) {
        writer_key(writer, "x-follow");
        write_follow(verb->follow, writer);
    }
    writer_end_object(writer);
}

static void
write_info(struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "title", "Hostler");
    writer_member_string(writer, "description",
                         "A crash-only agent for one virtualization and storage host.");
    writer_member_string(writer, "version", PACKAGE_VERSION);
    writer_end_object(writer);
}

struct shape_list {
    const struct shape **all; /* borrowed */
    size_t count;
};

/* With its parts; the same name is the same shape. */
static void
add_shape(struct shape_list *list, const struct shape *shape)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->all[i]->name, shape->name) == 0)
            return;
    list->all = xrealloc(list->all, (list->count + 1) * sizeof(list->all[0]));
    list->all[list->count++] = shape;
    for (size_t i = 0; shape->parts && shape->parts[i]; i++)
        add_shape(list, shape->parts[i]);
}

static void
write_components(const struct verb_index *index, struct writer *writer)
{
    struct shape_list list = { 0 };

    for (size_t i = 0; verb_at(index, i); i++)
        add_shape(&list, verb_at(index, i)->result);
    writer_object(writer);
    writer_key(writer, "schemas");
    writer_object(writer);
    for (size_t i = 0; i < list.count; i++)
        writer_member_json(writer, list.all[i]->name, list.all[i]->schema);
    writer_end_object(writer);
    writer_end_object(writer);
    free(list.all);
}

/* Every error there is, also those that any verb may answer. */
static void
write_errors(struct writer *writer)
{
    writer_array(writer);
    for (unsigned i = 0; error_code_at(i) != ERROR_NONE; i++) {
        writer_object(writer);
        writer_member_integer(writer, "code", error_code_at(i));
        writer_member_string(writer, "name", error_code_name(error_code_at(i)));
        writer_member_string(writer, "meaning", error_code_meaning(error_code_at(i)));
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

void
discover_write(const struct verb_index *index, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "openrpc", OPENRPC_VERSION);
    writer_key(writer, "info");
    write_info(writer);
    writer_key(writer, "methods");
    writer_array(writer);
    for (size_t i = 0; verb_at(index, i); i++)
        write_method(verb_at(index, i), writer);
    writer_end_array(writer);
    writer_key(writer, "components");
    write_components(index, writer);
    writer_key(writer, "x-common-params");
    write_params(common_params, writer);
    writer_key(writer, "x-errors");
    write_errors(writer);
    write_strings("x-topics", topic_names, writer);
    writer_end_object(writer);
}
