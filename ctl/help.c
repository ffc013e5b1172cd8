/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/help.h"

#include <string.h>

#include "ctl/output.h"
#include "ctl/record.h"
#include "ctl/visible.h"

#define WIDTH_MAX 100
#define FLAG_INDENT 6
#define MEMBER_INDENT 10

static void write_program(const struct verbs *verbs, size_t width, struct text *text);
static void write_resource(const struct verbs *verbs, const char *resource, size_t width,
                           struct text *text);
static void write_command(const struct command *command, size_t width, struct text *text);

void
help_print(const struct verbs *verbs, const struct invocation *invocation, FILE *file)
{
    size_t width = output_width(fileno(file));
    _cleanup_text_ struct text text = TEXT_INIT;

    help_write(verbs, invocation, width == 0 ? 80 : width > WIDTH_MAX ? WIDTH_MAX : width, &text);
    (void)fputs(text.bytes, file);
}

void
help_write(const struct verbs *verbs, const struct invocation *invocation, size_t width,
           struct text *text)
{
    if (invocation->command)
        write_command(invocation->command, width, text);
    else if (invocation->resource)
        write_resource(verbs, invocation->resource, width, text);
    else
        write_program(verbs, width, text);
}

static void
spaces(struct text *text, size_t count)
{
    while (count-- > 0)
        text_append_char(text, ' ');
}

/* Words of 'string' from column 'at' on, further lines at 'indent'; ends the line. */
static void
wrap(struct text *text, const char *string, size_t at, size_t indent, size_t width)
{
    const char *word = string;
    bool first = true; /* of its line */

    while (*word) {
        size_t length = strcspn(word, " \n");
        _cleanup_free_ char *piece = xstrndup(word, length);
        size_t columns = visible_width(piece);

        if (!first && at + 1 + columns > width) {
            text_append_char(text, '\n');
            spaces(text, at = indent);
            first = true;
        }
        text_printf(text, "%s%s", first ? "" : " ", piece);
        at += columns + (first ? 0 : 1);
        first = false;
        word += length;
        word += strspn(word, " \n");
    }
    text_append_char(text, '\n');
}

/* A term in its column, what it means in the next. */
static void
write_pair(struct text *text, const char *term, const char *meaning, size_t column, size_t width)
{
    size_t used = 2 + visible_width(term);

    text_printf(text, "  %s", term);
    if (used + 2 > column) {
        text_append_char(text, '\n');
        used = 0;
    }
    spaces(text, column - used);
    wrap(text, meaning, column, column, width);
}

static void
describe(const struct flag *flag, struct text *about)
{
    text_append_string(about, flag->about);
    if (flag->type == FLAG_SIZE)
        text_append_string(about, " K, M, G, T (of 1024) may follow.");
    if (flag->fallback && flag->type != FLAG_BOOL && flag->fallback[0])
        text_printf(about, " Default %s.", flag->fallback);
}

struct members {
    struct text *text;
    size_t width;
};

static void
write_member(void *context, const char *name, const struct flag *member)
{
    struct members *members = context;
    _cleanup_text_ struct text about = TEXT_INIT;

    spaces(members->text, FLAG_INDENT);
    text_append_string(members->text, name);
    if (member->type != FLAG_BOOL) {
        text_append_char(members->text, '=');
        flag_append_value(member, members->text);
    }
    if (member->required)
        text_append_string(members->text, "   (needed)");
    text_append_char(members->text, '\n');
    describe(member, &about);
    spaces(members->text, MEMBER_INDENT);
    wrap(members->text, about.bytes, MEMBER_INDENT, MEMBER_INDENT, members->width);
}

static void
write_flag(const struct flag *flag, size_t width, struct text *text)
{
    static const char *const more[] = {
        [FLAG_TEXTS] = "...",
        [FLAG_OBJECT] = " | NAME=VALUE...",
        [FLAG_RECORD] = " | JSON",
        [FLAG_RECORDS] = "... | JSON",
    };
    struct members members = { text, width };
    _cleanup_text_ struct text about = TEXT_INIT;

    text_printf(text, "  --%s", flag->name);
    if (flag->type != FLAG_BOOL) {
        text_append_char(text, ' ');
        flag_append_value(flag, text);
    }
    if (more[flag->type])
        text_append_string(text, more[flag->type]);
    if (flag->required)
        text_append_string(text, "   (needed)");
    text_append_char(text, '\n');
    describe(flag, &about);
    spaces(text, FLAG_INDENT);
    wrap(text, about.bytes, FLAG_INDENT, FLAG_INDENT, width);
    record_members(flag, write_member, &members);
}

static void
write_common_flags(size_t width, struct text *text)
{
    text_append_string(text, "\nCommon flags:\n");
    for (const struct flag *flag = common_flags; flag->name; flag++)
        write_flag(flag, width, text);
}

static void
write_program(const struct verbs *verbs, size_t width, struct text *text)
{
    const char *resource;

    text_append_string(text, "Usage: hostler RESOURCE COMMAND [--FLAG VALUE]...\n\n");
    wrap(text,
         "Drives hostlerd, the agent of a virtualization and storage host. Every argument is "
         "a flag, written --flag VALUE or --flag=VALUE; a resource may be written in any "
         "case.",
         0, 0, width);
    text_append_string(text, "\nResources and their commands:\n");
    for (size_t i = 0; (resource = verbs_resource_at(verbs, i)); i++) {
        _cleanup_text_ struct text names = TEXT_INIT;
        const struct command *command;

        for (size_t j = 0; (command = verbs_at(verbs, j)); j++) {
            if (strcmp(command->resource, resource) != 0)
                continue;
            if (command->name[0])
                text_printf(&names, "%s%s", names.length ? ", " : "", command->name);
            else
                text_append_string(&names, command->summary);
        }
        write_pair(text, resource, names.bytes, 15, width);
    }
    write_pair(text, "help", "This text; 'help RESOURCE', 'help RESOURCE COMMAND'.", 15, width);
    write_common_flags(width, text);
    text_append_string(text, "\nExit status:\n");
    write_pair(text, "0", "done", 7, width);
    write_pair(text, "1", "the agent answered an error", 7, width);
    write_pair(text, "2", "wrong usage", 7, width);
    write_pair(text, "3", "no connection, or it broke, or no answer came in time", 7, width);
    write_pair(text, "4", "with --wait: the task failed or was aborted after its answer", 7, width);
    text_append_string(
        text, "\nExamples:\n"
              "  hostler repository list\n"
              "  hostler image import --repository slow --path a.qcow2 --source-format qcow2\n"
              "  hostler event watch --topics 'task.*'\n"
              "  hostler help image copy\n");
}

static void
write_resource(const struct verbs *verbs, const char *resource, size_t width, struct text *text)
{
    const struct command *command;
    size_t column = 0;

    for (size_t i = 0; (command = verbs_at(verbs, i)); i++)
        if (strcmp(command->resource, resource) == 0 && strlen(command->name) + 4 > column)
            column = strlen(command->name) + 4;
    text_printf(text, "Usage: hostler %s COMMAND [--FLAG VALUE]...\n\nCommands:\n", resource);
    for (size_t i = 0; (command = verbs_at(verbs, i)); i++)
        if (strcmp(command->resource, resource) == 0)
            write_pair(text, command->name[0] ? command->name : resource, command->summary, column,
                       width);
    text_printf(text,
                "\n'hostler %s COMMAND --help' tells a command's flags, 'hostler --help' the "
                "common ones.\n",
                resource);
}

static void
write_usage(const struct command *command, size_t width, struct text *text)
{
    _cleanup_text_ struct text usage = TEXT_INIT;

    text_printf(&usage, "hostler %s%s%s", command->resource, command->name[0] ? " " : "",
                command->name);
    for (size_t i = 0; i < command->flag_count; i++) {
        if (!command->flags[i].required)
            continue;
        text_printf(&usage, " --%s\1", command->flags[i].name);
        flag_append_value(&command->flags[i], &usage);
    }
    text_append_string(&usage, " [--FLAG\1VALUE]...");
    text_append_string(text, "Usage: ");
    {
        size_t start = text->length;

        wrap(text, usage.bytes, 7, 15, width);
        /* A flag and its value stay on one line: \1 was no place to break. */
        for (size_t i = start; i < text->length; i++)
            if (text->bytes[i] == '\1')
                text->bytes[i] = ' ';
    }
}

static void
write_notes(const struct command *command, size_t width, struct text *text)
{
    const char *word = command->kind == COMMAND_EARLY || command->kind == COMMAND_READS_LONG
                           ? "Answers early and runs on: --wait stays until its task has ended."
                           : NULL;

    if (word || command->role || command->aliases || (command->errors && command->errors[0]))
        text_append_char(text, '\n');
    if (word)
        wrap(text, word, 0, 0, width);
    if (command->role)
        text_printf(text, "Needs the role '%s'.\n", command->role);
    if (command->method)
        text_printf(text, "On the wire: %s%s%s%s\n", command->method,
                    command->aliases ? " (also " : "", command->aliases ? command->aliases : "",
                    command->aliases ? ")" : "");
    if (command->errors && command->errors[0]) {
        _cleanup_text_ struct text errors = TEXT_INIT;

        for (size_t i = 0; command->errors[i]; i++)
            text_printf(&errors, "%s%s", i ? ", " : "Errors of its own: ", command->errors[i]);
        wrap(text, errors.bytes, 0, 2, width);
    }
}

static void
write_command(const struct command *command, size_t width, struct text *text)
{
    _cleanup_text_ struct text common = TEXT_INIT;

    write_usage(command, width, text);
    text_append_char(text, '\n');
    wrap(text, command->summary, 0, 0, width);
    if (command->description && command->description[0]) {
        text_append_char(text, '\n');
        wrap(text, command->description, 0, 0, width);
    }
    if (command->flag_count > 0)
        text_append_string(text, "\nFlags:\n");
    for (int needed = 1; needed >= 0; needed--)
        for (size_t i = 0; i < command->flag_count; i++)
            if (command->flags[i].required == (needed == 1))
                write_flag(&command->flags[i], width, text);
    write_notes(command, width, text);
    text_append_string(&common,
                       "Common flags ('hostler --help' tells them): --url --id --once --wait "
                       "--format --output --timeout …");
    for (const struct flag *flag = common_flags; flag->name; flag++)
        if (command_flag(command, flag->name))
            text_printf(&common, "; --%s is the common one with %s", flag->name,
                        flag->type == FLAG_CHOICE ? "table or json" : "unix:, ws:// or wss://");
    text_append_char(text, '\n');
    wrap(text, common.bytes, 0, 2, width);
}
