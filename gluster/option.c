/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/option.h"

#include <stdlib.h>
#include <string.h>

#include "gluster/command.h"
#include "gluster/volume.h"

#define DEFAULT_MARK " (DEFAULT)" /* behind a value that nobody has set */

const struct shape option_shape = {
    .name = "Option",
    .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"option\","
              "\"value\",\"set\",\"default\",\"description\"],\"properties\":{"
              "\"option\":{\"type\":\"string\"},\"value\":{\"type\":[\"string\",\"null\"]},"
              "\"set\":{\"type\":\"boolean\"},\"default\":{\"type\":[\"string\",\"null\"]},"
              "\"description\":{\"type\":[\"string\",\"null\"]}}}",
};

void
options_done(struct gluster_options *options)
{
    for (size_t i = 0; i < options->count; i++) {
        free(options->all[i].name);
        free(options->all[i].value);
        free(options->all[i].default_value);
        free(options->all[i].description);
    }
    free(options->all);
    *options = (struct gluster_options){ 0 };
}

/* glusterd writes C's NULL for what has no value. */
static char *
value_copy(const char *text, size_t length)
{
    if (length == 0 || (length == strlen("(null)") && strncmp(text, "(null)", length) == 0))
        return NULL;
    return xstrndup(text, length);
}

static char *
text_copy(const char *text)
{
    return value_copy(text, strlen(text));
}

static struct gluster_option *
add(struct gluster_options *options, const char *name)
{
    options->all = xrealloc(options->all, (options->count + 1) * sizeof(options->all[0]));
    options->all[options->count] = (struct gluster_option){ .name = xstrdup(name) };
    return &options->all[options->count++];
}

static struct gluster_option *
find(const struct gluster_options *options, const char *name)
{
    for (size_t i = 0; i < options->count; i++)
        if (strcmp(options->all[i].name, name) == 0)
            return &options->all[i];
    return NULL;
}

const struct gluster_option *
options_find(const struct gluster_options *options, const char *name)
{
    return find(options, name);
}

/* A name comes twice where two translators have it (10.3: features.ctime): the first counts. */
static void
read_help(const struct xml_document *help, struct gluster_options *options)
{
    for (XML_EACH(node, xml_root(help), "option")) {
        const char *name = xml_text(node, "name");
        struct gluster_option *option;

        if (!*name || find(options, name))
            continue;
        option = add(options, name);
        option->default_value = text_copy(xml_text(node, "defaultValue"));
        option->description = text_copy(xml_text(node, "description"));
    }
}

static void
read_value(struct gluster_option *option, const char *text)
{
    size_t length = strlen(text), mark = strlen(DEFAULT_MARK);

    option->set = length < mark || strcmp(text + length - mark, DEFAULT_MARK) != 0;
    option->value = value_copy(text, option->set ? length : length - mark);
    if (!option->set && !option->default_value && option->value)
        option->default_value = xstrdup(option->value);
}

/* Options of the pool have no help (10.3), and some in the help belong to no volume: these are left out. */
static bool
read_values(const struct xml_document *values, const struct gluster_options *help,
            struct gluster_options *options, struct error **err)
{
    const struct xml_node *parent = xml_child(xml_root(values), "volGetopts");

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer describes no options");
    for (XML_EACH(node, parent, "Opt")) {
        const char *name = xml_text(node, "Option");
        const struct gluster_option *known = find(help, name);
        struct gluster_option *option;

        if (!*name || find(options, name))
            continue;
        option = add(options, name);
        if (known && known->default_value)
            option->default_value = xstrdup(known->default_value);
        if (known && known->description)
            option->description = xstrdup(known->description);
        read_value(option, xml_text(node, "Value"));
    }
    return true;
}

/*
 * The volume's own record decides what is set: "volume get" (10.3) leaves out options of users' own, and the
 * mark of a default behind some values that nobody has set (auth.allow).
 */
static void
read_set(const struct volume *volume, struct gluster_options *options)
{
    for (size_t i = 0; i < options->count; i++) {
        struct gluster_option *option = &options->all[i];

        option->set = false;
        for (size_t j = 0; j < volume->option_count; j++)
            option->set |= strcmp(volume->options[j].name, option->name) == 0;
        if (!option->set && !option->default_value && option->value)
            option->default_value = xstrdup(option->value);
    }
    for (size_t i = 0; i < volume->option_count; i++) {
        struct gluster_option *option = find(options, volume->options[i].name);

        if (!option)
            option = add(options, volume->options[i].name);
        option->set = true;
        free(option->value);
        option->value = xstrdup(volume->options[i].value);
    }
}

static int
by_name(const void *one, const void *other)
{
    return strcmp(((const struct gluster_option *)one)->name,
                  ((const struct gluster_option *)other)->name);
}

bool
options_read(const struct xml_document *help, const struct xml_document *values,
             const struct volume *volume, struct gluster_options *ret_options, struct error **err)
{
    _cleanup_options_ struct gluster_options known = { 0 }, options = { 0 };

    read_help(help, &known);
    if (known.count == 0)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's help describes no options");
    if (values && !read_values(values, &known, &options, err))
        return false;
    if (volume)
        read_set(volume, &options);
    *ret_options = values ? options : known;
    *(values ? &options : &known) = (struct gluster_options){ 0 };
    if (ret_options->count)
        qsort(ret_options->all, ret_options->count, sizeof(ret_options->all[0]), by_name);
    return true;
}

static bool
ask_one(const char *const *arguments, const char *volume, const atomic_bool *abort,
        struct xml_document **ret_document, struct error **err)
{
    const struct gluster_command command = {
        .arguments = arguments, .kind = "volume", .id = volume, .abort = abort
    };

    return gluster_command_run(&command, ret_document, err);
}

bool
options_ask(const char *volume, const atomic_bool *abort, struct gluster_options *ret_options,
            struct error **err)
{
    _cleanup_(xml_freep) struct xml_document *help = NULL, *values = NULL;
    _cleanup_volumes_ struct volumes volumes = { 0 };
    bool of_volume = volume && strcmp(volume, OPTIONS_OF_POOL) != 0;

    if (!ask_one(GLUSTER_ARGUMENTS("volume", "set", "help-xml"), volume, abort, &help, err))
        return false;
    if (volume &&
        !ask_one(GLUSTER_ARGUMENTS("volume", "get", volume, "all"), volume, abort, &values, err))
        return false;
    if (of_volume && !volumes_ask(volume, abort, &volumes, err))
        return false;
    return options_read(help, values, volumes.count ? &volumes.all[0] : NULL, ret_options, err);
}

static void
write_option(const struct gluster_option *option, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "option", option->name);
    writer_member_string(writer, "value", option->value);
    writer_member_bool(writer, "set", option->set);
    writer_member_string(writer, "default", option->default_value);
    writer_member_string(writer, "description", option->description);
    writer_end_object(writer);
}

void
options_write_set(const struct gluster_options *options, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "volume", OPTIONS_OF_POOL);
    writer_key(writer, "options");
    writer_object(writer);
    for (size_t i = 0; i < options->count; i++)
        if (options->all[i].set && options->all[i].value)
            writer_member_string(writer, options->all[i].name, options->all[i].value);
    writer_end_object(writer);
    writer_end_object(writer);
}

static bool
ask_options(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    _cleanup_options_ struct gluster_options options = { 0 };

    if (!options_ask(subject, NULL, &options, err))
        return false;
    for (size_t i = 0; i < options.count; i++) {
        struct gluster_item *item = gluster_items_add(ret_items);
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        write_option(&options.all[i], &writer);
        item->id = xstrdup(options.all[i].name);
        item->volume = subject ? xstrdup(subject) : NULL;
        item->json = text_take(&writer.text);
    }
    return true;
}

const struct gluster_question option_question = {
    .name = "options",
    .member = "options",
    .ask = ask_options,
};
