/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/failure.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"
#include "ctl/output.h"
#include "ctl/result.h"
#include "ctl/visible.h"

/* What to try next, by the error's name. */
static const struct hint {
    const char *name, *text;
} hints[] = {
    { "TaskIdInUse", "choose another --id, or give --once to take the answer of the task that "
                     "holds this one" },
    { "TaskNotFound", "ended tasks fade after a while and a restart forgets them: look at the "
                      "object itself" },
    { "MethodNotFound", "the agent is of another version than this hostler" },
    { "ImageBroken", "an incomplete copy goes on with 'hostler image resume'; a damaged image can "
                     "only be removed" },
    { "Forbidden", "become root or a member of group 'hostler', or use another token or "
                   "certificate" },
    { "RepositoryNotFound", "'hostler repository list' shows what is connected" },
};

static const char *
name_of(const json_t *error)
{
    json_t *name = json_object_get(json_object_get(error, "data"), "name");

    if (json_is_string(name))
        return json_string_value(name);
    return error_code_name((enum error_code)json_integer_value(json_object_get(error, "code")));
}

/* "--size must be at least 1" rather than "parameter 'size' …". */
static bool
append_flag(const struct command *command, const json_t *data, struct text *text)
{
    const char *param = json_string_value(json_object_get(data, "param"));
    const char *reason = json_string_value(json_object_get(data, "reason"));
    const struct flag *flag = NULL;

    if (!param)
        return false;
    if (command)
        flag = command_param(command, param);
    if (!flag && (strcmp(param, "taskId") == 0 || strcmp(param, "id") == 0))
        flag = common_flag("id");
    if (!flag && strcmp(param, "ifInstance") == 0)
        flag = common_flag("if-instance");
    if (!flag || !reason)
        return false;
    text_printf(text, "--%s %s", flag->name, reason);
    return true;
}

static void
append_line(struct text *text, const char *key, const char *value)
{
    text_append_string(text, "\n  ");
    visible_append_string(text, key);
    text_append_string(text, ": ");
    visible_append_string(text, value);
}

static void
append_holder(struct text *text, const json_t *task)
{
    const char *members[] = { "task", "method", "status", "caller", "created" };

    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        const char *value = json_string_value(json_object_get(task, members[i]));

        if (value)
            append_line(text, members[i], value);
    }
}

static void
append_data(struct text *text, const json_t *data, bool flag_told)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)data, key, value)
    {
        _cleanup_text_ struct text shown = TEXT_INIT;

        if (strcmp(key, "name") == 0 || (flag_told && strcmp(key, "param") == 0) ||
            (flag_told && strcmp(key, "reason") == 0))
            continue;
        if (strcmp(key, "task") == 0 && json_is_object(value)) {
            append_holder(text, value);
            continue;
        }
        result_value(key, value, true, &shown);
        append_line(text, key, shown.bytes ? shown.bytes : "");
    }
}

static void
append_hint(struct text *text, const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(hints); i++)
        if (strcmp(hints[i].name, name) == 0)
            append_line(text, "try", hints[i].text);
}

/* Red the name, then what happened. */
static void
tell_text(const struct command *command, const json_t *error)
{
    bool colours = output_colours(STDERR_FILENO), flag_told;
    const json_t *data = json_object_get(error, "data");
    const char *message = json_string_value(json_object_get(error, "message"));
    _cleanup_text_ struct text raw = TEXT_INIT, text = TEXT_INIT;

    text_printf(&text, "hostler: %s", visible_colour(COLOUR_RED, colours));
    visible_append_string(&text, name_of(error));
    text_printf(&text, "%s: ", visible_plain(colours));
    flag_told = append_flag(command, data, &raw);
    if (!flag_told)
        text_append_string(&raw, message ? message : "the agent gave no message");
    visible_append_string(&text, raw.bytes);
    append_data(&text, data, flag_told);
    append_hint(&text, name_of(error));
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s\n", text.bytes);
}

void
failure_tell(const struct command *command, const struct settings *settings, const json_t *error)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    json_t *wrapped;

    if (!settings->json) {
        tell_text(command, error);
        return;
    }
    wrapped = json_pack("{sO}", "error", error);
    output_json(wrapped, true, &text);
    json_decref(wrapped);
    (void)fputs(text.bytes, stderr);
}

void
failure_tell_task(const struct command *command, const struct settings *settings,
                  const json_t *status)
{
    const json_t *error = json_object_get(status, "error");
    _cleanup_text_ struct text text = TEXT_INIT;

    if (json_is_object(error))
        failure_tell(command, settings, error);
    else
        output_complain("the task ended without saying why");
    if (settings->json)
        return;
    result_steps(json_object_get(status, "steps"), output_width(STDERR_FILENO), 2,
                 output_colours(STDERR_FILENO), &text);
    if (text.length > 0)
        (void)fputs(text.bytes, stderr);
}
