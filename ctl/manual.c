/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "ctl/help.h"
#include "ctl/record.h"

/* What roff would take for itself: a backslash, a hyphen that must stay one, a dot that begins a line. */
static void
escaped(struct text *text, const char *string)
{
    bool line_begins = text->length == 0 || text->bytes[text->length - 1] == '\n';

    for (const char *at = string; *at; at++) {
        if (line_begins && (*at == '.' || *at == '\''))
            text_append_string(text, "\\&");
        line_begins = *at == '\n';
        if (*at == '\\')
            text_append_string(text, "\\e");
        else if (*at == '-')
            text_append_string(text, "\\-");
        else if (*at == '\'')
            text_append_string(text, "\\(aq");
        else
            text_append_char(text, *at);
    }
}

static void
write_about(const struct flag *flag, struct text *text)
{
    escaped(text, flag->about);
    if (flag->fallback && flag->fallback[0] && flag->type != FLAG_BOOL) {
        text_append_string(text, " Default ");
        escaped(text, flag->fallback);
        text_append_char(text, '.');
    }
    text_append_char(text, '\n');
}

static void
write_value(const struct flag *flag, char before, struct text *text)
{
    if (flag->type != FLAG_BOOL) {
        _cleanup_text_ struct text value = TEXT_INIT;

        flag_append_value(flag, &value);
        text_append_char(text, before);
        text_append_string(text, "\\fI");
        escaped(text, value.bytes);
        text_append_string(text, "\\fR");
    }
    if (flag->required)
        text_append_string(text, " (needed)");
    text_append_char(text, '\n');
}

static void
write_member(void *context, const char *name, const struct flag *member)
{
    struct text *text = context;

    text_append_string(text, ".TP\n\\fB");
    escaped(text, name);
    text_append_string(text, "\\fR");
    write_value(member, '=', text);
    write_about(member, text);
}

static void
write_flag(const struct flag *flag, struct text *text)
{
    text_append_string(text, ".TP\n\\fB\\-\\-");
    escaped(text, flag->name);
    text_append_string(text, "\\fR");
    write_value(flag, ' ', text);
    write_about(flag, text);
    if (flag->member_count > 0) {
        text_append_string(text, ".RS\n");
        record_members(flag, write_member, text);
        text_append_string(text, ".RE\n");
    }
}

static void
write_command(const struct command *command, struct text *text)
{
    text_append_string(text, ".SS \"hostler ");
    escaped(text, command->resource);
    if (command->name[0]) {
        text_append_char(text, ' ');
        escaped(text, command->name);
    }
    text_append_string(text, "\"\n");
    escaped(text, command->summary);
    text_append_char(text, '\n');
    if (command->description && command->description[0]) {
        text_append_string(text, ".PP\n");
        escaped(text, command->description);
        text_append_char(text, '\n');
    }
    if (command->role) {
        text_append_string(text, ".PP\nNeeds the role ");
        escaped(text, command->role);
        text_append_string(text,
                           command->kind == COMMAND_EARLY || command->kind == COMMAND_READS_LONG
                               ? "; answers early and runs on.\n"
                               : ".\n");
    }
    for (size_t i = 0; i < command->flag_count; i++)
        write_flag(&command->flags[i], text);
}

void
manual_write(const struct verbs *verbs, struct text *text)
{
    const struct command *command;

    text_append_string(text, ".SH COMMANDS\n");
    for (size_t i = 0; (command = verbs_at(verbs, i)); i++)
        write_command(command, text);
    text_append_string(text, ".SH COMMON FLAGS\n");
    for (const struct flag *flag = common_flags; flag->name; flag++)
        write_flag(flag, text);
}
