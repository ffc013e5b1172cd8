/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/verbs.h"

#include <ctype.h>
#include <jansson.h>
#include <strings.h>

#include "agent/base/text.h"

/* The document is ours, but its size still is no reason to trust it blindly. */
#define METHODS_MAX 10000

struct verbs {
    struct command *commands; /* owned, as are the strings that are not the document's */
    size_t count;
    const char **resources; /* borrowed from the commands, in order of appearance */
    size_t resource_count;
    json_t *document; /* most strings point into it */
    char **strings;   /* what was made beside it */
    size_t string_count;
    void **blocks; /* arrays of flags, choices, errors */
    size_t block_count;
};

static bool read_method(struct verbs *verbs, json_t *method, struct command *command,
                        struct error **err);
static bool read_flag(struct verbs *verbs, const char *name, const char *type, json_t *schema,
                      json_t *holder, struct flag *flag, struct error **err);
static void sort_by_resource(struct verbs *verbs);

bool
verbs_new(const void *document, size_t size, const struct command *own, size_t own_count,
          struct verbs **ret_verbs, struct error **err)
{
    _cleanup_(verbs_freep) struct verbs *verbs = xalloc(sizeof(*verbs));
    json_error_t problem;
    json_t *methods;
    size_t count;

    verbs->document = json_loadb(document, size, 0, &problem);
    if (!verbs->document)
        return error_set(err, ERROR_PARSE, "the OpenRPC document is not JSON: %s", problem.text);
    methods = json_object_get(verbs->document, "methods");
    count = json_array_size(methods);
    if (!json_is_array(methods) || count > METHODS_MAX)
        return error_set(err, ERROR_PARSE, "the OpenRPC document has no list of methods");
    verbs->commands = xalloc((count + own_count + 1) * sizeof(*verbs->commands));
    for (size_t i = 0; i < count; i++) {
        if (!read_method(verbs, json_array_get(methods, i), &verbs->commands[verbs->count], err))
            return error_wrap(err, "method %zu of the OpenRPC document", i);
        verbs->count++;
    }
    for (size_t i = 0; i < own_count; i++)
        verbs->commands[verbs->count++] = own[i];
    sort_by_resource(verbs);
    *ret_verbs = TAKE(verbs);
    return true;
}

void
verbs_free(struct verbs *verbs)
{
    if (!verbs)
        return;
    for (size_t i = 0; i < verbs->string_count; i++)
        free(verbs->strings[i]);
    for (size_t i = 0; i < verbs->block_count; i++)
        free(verbs->blocks[i]);
    free(verbs->strings);
    free(verbs->blocks);
    free(verbs->commands);
    free(verbs->resources);
    json_decref(verbs->document);
    free(verbs);
}

const struct command *
verbs_at(const struct verbs *verbs, size_t n)
{
    return n < verbs->count ? &verbs->commands[n] : NULL;
}

const char *
verbs_resource_at(const struct verbs *verbs, size_t n)
{
    return n < verbs->resource_count ? verbs->resources[n] : NULL;
}

const char *
verbs_resource(const struct verbs *verbs, const char *word)
{
    for (size_t i = 0; i < verbs->resource_count; i++)
        if (strcasecmp(verbs->resources[i], word) == 0)
            return verbs->resources[i];
    return NULL;
}

const struct command *
verbs_find(const struct verbs *verbs, const char *resource, const char *name)
{
    for (size_t i = 0; i < verbs->count; i++) {
        const struct command *command = &verbs->commands[i];

        if (strcasecmp(command->resource, resource) == 0 && strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

const struct flag *
command_flag(const struct command *command, const char *name)
{
    for (size_t i = 0; i < command->flag_count; i++)
        if (strcmp(command->flags[i].name, name) == 0)
            return &command->flags[i];
    return NULL;
}

const struct flag *
command_param(const struct command *command, const char *param)
{
    for (size_t i = 0; i < command->flag_count; i++)
        if (strcmp(command->flags[i].param, param) == 0)
            return &command->flags[i];
    return NULL;
}

char *
verbs_kebab(const char *camel)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    for (const char *at = camel; *at; at++) {
        if (isupper((unsigned char)*at) && at > camel)
            text_append_char(&text, '-');
        text_append_char(&text, (char)tolower((unsigned char)*at));
    }
    return text_take(&text);
}

void
flag_append_value(const struct flag *flag, struct text *text)
{
    static const char *const by_type[] = {
        [FLAG_TEXT] = "TEXT",
        [FLAG_TASK] = "TASK",
        [FLAG_PATH] = "PATH",
        [FLAG_SIZE] = "SIZE",
        [FLAG_INTEGER] = "N",
        [FLAG_BOOL] = "true|false",
        [FLAG_CHOICE] = "CHOICE",
        [FLAG_OBJECT] = "JSON",
        [FLAG_TEXTS] = "TEXT",
        [FLAG_RECORD] = "MEMBER=VALUE[,...]",
        [FLAG_RECORDS] = "MEMBER=VALUE[,...]",
    };

    if (flag->type == FLAG_CHOICE && flag->choices && !flag->value) {
        for (size_t i = 0; flag->choices[i]; i++)
            text_printf(text, "%s%s", i ? "|" : "", flag->choices[i]);
        return;
    }
    text_append_string(text, flag->value ? flag->value : by_type[flag->type]);
}

/* The verbs' own keeper of what outlives the reading. */
static const char *
keep_string(struct verbs *verbs, char *string)
{
    verbs->strings = xrealloc(verbs->strings, (verbs->string_count + 1) * sizeof(char *));
    verbs->strings[verbs->string_count++] = string;
    return string;
}

static void *
keep_block(struct verbs *verbs, size_t size)
{
    verbs->blocks = xrealloc(verbs->blocks, (verbs->block_count + 1) * sizeof(void *));
    return verbs->blocks[verbs->block_count++] = xalloc(size);
}

static enum flag_type
flag_type_of(const char *name)
{
    static const struct {
        const char *name;
        enum flag_type type;
    } types[] = {
        { "task", FLAG_TASK },       { "path", FLAG_PATH },   { "size", FLAG_SIZE },
        { "integer", FLAG_INTEGER }, { "bool", FLAG_BOOL },   { "choice", FLAG_CHOICE },
        { "object", FLAG_OBJECT },   { "texts", FLAG_TEXTS }, { "record", FLAG_RECORD },
        { "records", FLAG_RECORDS },
    };

    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    return FLAG_TEXT;
}

static bool
has_text(json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *entry = json_string_value(json_array_get(list, i));

        if (entry && strcmp(entry, text) == 0)
            return true;
    }
    return false;
}

static const char *const *
read_choices(struct verbs *verbs, json_t *list)
{
    const char **choices = keep_block(verbs, (json_array_size(list) + 1) * sizeof(*choices));
    size_t count = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *choice = json_string_value(json_array_get(list, i));

        if (choice)
            choices[count++] = choice;
    }
    return choices;
}

static bool
read_members(struct verbs *verbs, json_t *schema, struct flag *flag, struct error **err)
{
    json_t *properties = json_object_get(schema, "properties");
    struct flag *members = keep_block(verbs, (json_object_size(properties) + 1) * sizeof(*members));
    const char *name;
    json_t *property;

    flag->members = members;
    json_object_foreach(properties, name, property)
    {
        struct flag *member = &members[flag->member_count++];
        const char *type = json_string_value(json_object_get(property, "x-type"));

        if (!type)
            return error_set(err, ERROR_PARSE, "its member '%s' lacks 'x-type'", name);
        member->required = has_text(json_object_get(schema, "required"), name);
        if (!read_flag(verbs, name, type, property, property, member, err))
            return false;
    }
    return true;
}

/* 'schema' tells what is right, 'holder' has the description: the same for a record's member. */
static bool
read_flag(struct verbs *verbs, const char *name, const char *type, json_t *schema, json_t *holder,
          struct flag *flag, struct error **err)
{
    json_t *minimum = json_object_get(schema, "minimum"),
           *maximum = json_object_get(schema, "maximum");
    json_t *fallback = json_object_get(schema, "default");
    const char *about = json_string_value(json_object_get(holder, "description"));

    flag->param = name;
    flag->name = keep_string(verbs, verbs_kebab(name));
    flag->about = about ? about : "";
    flag->type = flag_type_of(type);
    flag->value = strcmp(type, "name") == 0 ? "NAME" : NULL;
    flag->bounded_below = json_is_integer(minimum);
    flag->bounded_above = json_is_integer(maximum);
    flag->minimum = json_integer_value(minimum);
    flag->maximum = json_integer_value(maximum);
    if (flag->type == FLAG_CHOICE)
        flag->choices = read_choices(verbs, json_object_get(schema, "enum"));
    if (fallback && !json_is_null(fallback)) {
        char *text = json_is_string(fallback)
                         ? xstrdup(json_string_value(fallback))
                         : json_dumps(fallback, JSON_COMPACT | JSON_ENCODE_ANY);

        flag->fallback = text ? keep_string(verbs, text) : NULL;
    }
    if (flag->type == FLAG_RECORD || flag->type == FLAG_RECORDS)
        return read_members(verbs,
                            flag->type == FLAG_RECORD ? schema : json_object_get(schema, "items"),
                            flag, err);
    return true;
}

static bool
read_param(struct verbs *verbs, json_t *param, struct flag *flag, struct error **err)
{
    const char *name = json_string_value(json_object_get(param, "name"));
    const char *type = json_string_value(json_object_get(param, "x-type"));

    if (!name || !type)
        return error_set(err, ERROR_PARSE, "a parameter lacks 'name' or 'x-type'");
    flag->required = json_is_true(json_object_get(param, "required"));
    if (!read_flag(verbs, name, type, json_object_get(param, "schema"), param, flag, err))
        return error_wrap(err, "parameter '%s'", name);
    return true;
}

static const char *const *
read_errors(struct verbs *verbs, json_t *list)
{
    const char **errors = keep_block(verbs, (json_array_size(list) + 1) * sizeof(*errors));

    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *code = json_object_get(json_array_get(list, i), "code");

        errors[i] = error_code_name((enum error_code)json_integer_value(code));
    }
    return errors;
}

static const char *
read_aliases(struct verbs *verbs, json_t *list)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *alias = json_string_value(json_array_get(list, i));

        if (alias)
            text_printf(&text, "%s%s", text.length ? ", " : "", alias);
    }
    return text.length ? keep_string(verbs, text_take(&text)) : NULL;
}

static enum command_kind
kind_of(const char *name)
{
    if (!name || strcmp(name, "reads") == 0)
        return COMMAND_READS;
    if (strcmp(name, "answersEarly") == 0)
        return COMMAND_EARLY;
    if (strcmp(name, "readsLong") == 0)
        return COMMAND_READS_LONG;
    return COMMAND_CHANGES;
}

static bool
read_method(struct verbs *verbs, json_t *method, struct command *command, struct error **err)
{
    json_t *params = json_object_get(method, "params");
    const char *name = json_string_value(json_object_get(method, "name"));
    const char *summary = json_string_value(json_object_get(method, "summary"));
    const char *dot = name ? strchr(name, '.') : NULL;
    struct flag *flags;

    if (!name || !dot || dot == name || !dot[1])
        return error_set(err, ERROR_PARSE, "its name is not of the form 'resource.command'");
    command->method = name;
    command->resource = keep_string(verbs, xstrndup(name, (size_t)(dot - name)));
    command->name = keep_string(verbs, verbs_kebab(dot + 1));
    command->summary = summary ? summary : "";
    command->description = json_string_value(json_object_get(method, "description"));
    command->role = json_string_value(json_object_get(method, "x-role"));
    command->kind = kind_of(json_string_value(json_object_get(method, "x-kind")));
    command->aliases = read_aliases(verbs, json_object_get(method, "x-aliases"));
    command->errors = read_errors(verbs, json_object_get(method, "errors"));
    command->follow = json_object_get(method, "x-follow");
    flags = keep_block(verbs, (json_array_size(params) + 1) * sizeof(*flags));
    command->flags = flags;
    for (size_t i = 0; i < json_array_size(params); i++) {
        if (!read_param(verbs, json_array_get(params, i), &flags[i], err))
            return error_wrap(err, "'%s'", name);
        command->flag_count++;
    }
    return true;
}

/* Stable: resources in order of appearance, their commands in the order of the document. */
static void
sort_by_resource(struct verbs *verbs)
{
    struct command *sorted = xalloc((verbs->count + 1) * sizeof(*sorted));
    size_t count = 0;

    verbs->resources = xalloc((verbs->count + 1) * sizeof(*verbs->resources));
    for (size_t i = 0; i < verbs->count; i++) {
        const char *resource = verbs->commands[i].resource;

        if (verbs_resource(verbs, resource))
            continue;
        verbs->resources[verbs->resource_count++] = resource;
        for (size_t j = i; j < verbs->count; j++)
            if (strcasecmp(verbs->commands[j].resource, resource) == 0)
                sorted[count++] = verbs->commands[j];
    }
    free(verbs->commands);
    verbs->commands = sorted;
}
