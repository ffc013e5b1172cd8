/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of volumes, and of the pool where a volume's name would stand.
 *
 * glusterd judges all options of one "volume set" before it takes the first, so a call is done as a whole or
 * not at all.  A "volume reset" takes one name only: names are judged here first, then reset one by one, which does
 * no harm when it is done twice.
 */
#include <config.h>

#include <jansson.h>
#include <string.h>

#include "gluster/arguments.h"
#include "gluster/command.h"
#include "gluster/gluster.h"
#include "gluster/option.h"
#include "gluster/volume-verbs.h"
#include "gluster/volume.h"

#define OPTION_VOLUME_PARAM(args)                                                                  \
    PARAM(args, volume, "volume", .type = PARAM_NAME, .required = true,                            \
          .about = "The volume's name; all: the options of the pool itself.")

/* ---- options ---- */

struct options_args {
    char *volume;
    bool fresh;
};

static const struct shape option_list_shape = {
    .name = "OptionList",
    .schema = GLUSTER_ANSWER_SCHEMA("options", "{\"$ref\":\"#/components/schemas/Option\"}"),
    .parts = SHAPES(&option_shape),
};

static enum outcome
options_answer(struct call *call)
{
    const struct options_args *args = call->args;

    return gluster_answer(call, &option_question, args->volume, args->volume, args->fresh,
                          call->state);
}

/* ---- set ---- */

struct set_args {
    char *volume;
    char *options; /* a JSON object */
};

/* {"volume": "all", ...} for the pool, which is no volume. */
static const struct shape set_shape = {
    .name = "VolumeOrPool",
    .schema = "{\"anyOf\":[{\"$ref\":\"#/components/schemas/Volume\"},{\"type\":\"object\","
              "\"additionalProperties\":false,\"required\":[\"volume\",\"options\"],"
              "\"properties\":{\"volume\":{\"const\":\"all\"},\"options\":{\"type\":\"object\","
              "\"additionalProperties\":{\"type\":\"string\"}}}}]}",
    .parts = SHAPES(&volume_shape),
};

struct set_state {
    struct arguments words;
};

static void
set_done(struct call *call)
{
    arguments_done(&((struct set_state *)call->state)->words);
}

/* As glusterd writes it; NULL: it takes none like this. */
static char *
option_text(const json_t *value)
{
    if (json_is_string(value) && json_string_length(value))
        return xstrdup(json_string_value(value));
    if (json_is_boolean(value))
        return xstrdup(json_is_true(value) ? "on" : "off");
    if (json_is_integer(value))
        return xprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return NULL;
}

static bool
add_options(struct arguments *words, const json_t *object, struct error **err)
{
    const char *name;
    json_t *value;

    if (json_object_size(object) == 0)
        return error_param(err, "options", "must name an option at least, as {\"NAME\":\"VALUE\"}");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        _cleanup_free_ char *text = option_text(value);

        if (!*name)
            return error_param(err, "options", "has an option without a name");
        if (!text)
            return error_param(err, "options",
                               "gives '%s' no value that glusterd takes: it must be text that is "
                               "not empty, a whole number, true or false; volume.reset takes a "
                               "value away",
                               name);
        if (strncmp(name, "--", 2) == 0 || strncmp(text, "--", 2) == 0)
            return error_param(err, "options",
                               "has '%s %s': gluster takes what begins with '--' for an option of "
                               "its own",
                               name, text);
        arguments_add(words, name);
        arguments_add(words, text);
    }
    return true;
}

static enum outcome
set_check(struct call *call)
{
    const struct set_args *args = call->args;
    struct set_state *state = call->state;
    json_t *object = json_loads(args->options, 0, NULL);
    struct error *error = NULL;
    bool good;

    arguments_add_all(&state->words, GLUSTER_ARGUMENTS("volume", "set", args->volume));
    good = object ? add_options(&state->words, object, &error)
                  : error_param(&error, "options", "cannot be read");
    json_decref(object);
    return good ? call_complete(call, NULL) : call_fail(call, error);
}

static enum outcome
set_run(struct call *call)
{
    const struct set_args *args = call->args;
    const struct set_state *state = call->state;
    const struct gluster_command command = { .arguments = arguments_list(&state->words),
                                             .kind = "volume",
                                             .id = args->volume,
                                             .param = "options",
                                             .abort = call_abort_flag(call) };
    struct error *error = NULL;

    return gluster_command_run(&command, NULL, &error) ? call_complete(call, NULL)
                                                       : gluster_command_fail(call, error);
}

static enum outcome
answer(struct call *call, const char *volume)
{
    _cleanup_options_ struct gluster_options options = { 0 };
    struct error *error = NULL;

    if (strcmp(volume, OPTIONS_OF_POOL) != 0)
        return volume_answer_step(call, volume);
    if (!options_ask(volume, call_abort_flag(call), &options, &error))
        return gluster_command_fail(call, error);
    options_write_set(&options, call_result(call));
    return call_complete(call, NULL);
}

static enum outcome
set_answer(struct call *call)
{
    return answer(call, ((const struct set_args *)call->args)->volume);
}

/* ---- reset ---- */

struct reset_args {
    char *volume;
    char **options; /* NULL: all */
    bool force;
};

struct reset_state {
    size_t done; /* names that were reset */
};

/* "user.NAME", but not "user.cifs" and the like: glusterd 10.3 resets no single one of these. */
static bool
is_users_own(const char *name, const struct gluster_option *option)
{
    return strncmp(name, "user.", 5) == 0 && (!option || !option->default_value);
}

static bool
check_names(char *const *names, const struct gluster_options *options, struct error **err)
{
    if (!names[0])
        return error_param(err, "options", "names none: leave it out to reset all");
    for (size_t i = 0; names[i]; i++) {
        const struct gluster_option *option = options_find(options, names[i]);

        if (is_users_own(names[i], option))
            return error_param(err, "options",
                               "names '%s': glusterd takes options of users' own away all "
                               "together only, without 'options'",
                               names[i]);
        if (!option)
            return error_param(err, "options",
                               "names '%s', which is no option: volume.options lists them",
                               names[i]);
    }
    return true;
}

static enum outcome
reset_check(struct call *call)
{
    const struct reset_args *args = call->args;
    _cleanup_options_ struct gluster_options options = { 0 };
    struct error *error = NULL;

    if (!options_ask(args->volume, call_abort_flag(call), &options, &error))
        return gluster_command_fail(call, error);
    return check_names(args->options, &options, &error) ? call_complete(call, NULL)
                                                        : call_fail(call, error);
}

static bool
reset_names(const struct call *call)
{
    return ((const struct reset_args *)call->args)->options != NULL;
}

/* "volume reset NAME [OPTION] [force]" */
static bool
reset_one(const struct call *call, const char *option, struct error **err)
{
    const struct reset_args *args = call->args;
    const char *force = args->force ? "force" : NULL;
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "reset", args->volume, option ? option : force,
                                       option ? force : NULL),
        .kind = "volume",
        .id = args->volume,
        .param = "options",
        .abort = call_abort_flag(call),
    };

    return gluster_command_run(&command, NULL, err);
}

static enum outcome
reset_run(struct call *call)
{
    const struct reset_args *args = call->args;
    struct reset_state *state = call->state;
    struct error *error = NULL;

    if (!args->options)
        return reset_one(call, NULL, &error) ? call_complete(call, NULL)
                                             : gluster_command_fail(call, error);
    for (; args->options[state->done]; state->done++)
        if (!reset_one(call, args->options[state->done], &error))
            return gluster_command_fail(call, error);
    return call_complete(call, NULL);
}

static enum outcome
reset_answer(struct call *call)
{
    return answer(call, ((const struct reset_args *)call->args)->volume);
}

const struct verb option_verbs[] = {
    {
        .name = "volume.options",
        .summary = "List options: the value in force, the default, what they mean.",
        .description = "As glusterd lists them. Where 'set' is false the value is the default.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct options_args),
        .params =
            PARAMS(PARAM(options_args, volume, "volume", .type = PARAM_NAME,
                         .about = "Values of this volume; all: of the pool itself; none: what "
                                  "options there are, without values."),
                   GLUSTER_FRESH_PARAM(options_args)),
        .result = &option_list_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND),
        .steps = STEPS({ "answer", options_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct gluster_wish),
    },
    {
        .name = "volume.set",
        .summary = "Set options of a volume: all of them, or none when one is refused.",
        .description = "May be sent again. Clients of the volume follow within seconds.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct set_args),
        .params = PARAMS(OPTION_VOLUME_PARAM(set_args),
                         PARAM(set_args, options, "options", .type = PARAM_OBJECT, .required = true,
                               .about = "Values by name; true and false are on and off.")),
        .result = &set_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "check", set_check, .pool = POOL_LOOP },
                       { "set", set_run, .pool = POOL_GLUSTER },
                       { "look", set_answer, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct set_state),
        .state_done = set_done,
        .object = volume_name_object,
    },
    {
        .name = "volume.reset",
        .summary = "Give options their defaults again.",
        .description =
            "Names are judged before the first is reset, and then reset one by one. May be "
            "sent again.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct reset_args),
        .params = PARAMS(OPTION_VOLUME_PARAM(reset_args),
                         PARAM(reset_args, options, "options", .type = PARAM_TEXTS,
                               .about = "Names of options; none: all that are set."),
                         PARAM(reset_args, force, "force", .type = PARAM_BOOL,
                               .about = "Those that glusterd protects, too.")),
        .result = &set_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "check", reset_check, .pool = POOL_GLUSTER, .only_if = reset_names },
                       { "reset", reset_run, .pool = POOL_GLUSTER },
                       { "look", reset_answer, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct reset_state),
        .object = volume_name_object,
    },
    { 0 },
};
