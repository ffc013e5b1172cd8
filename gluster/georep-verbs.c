/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "gluster/arguments.h"
#include "gluster/georep.h"
#include "gluster/gluster.h"
#include "gluster/volume-verbs.h"

/* The args of each begin with these two. */
struct session_args {
    char *volume, *target;
};

struct status_args {
    char *volume, *target;
    bool fresh;
};

struct create_args {
    char *volume, *target;
    bool push_pem, no_verify, force;
    int64_t ssh_port;
};

struct act_args {
    char *volume, *target;
    bool force;
};

struct delete_args {
    char *volume, *target;
    bool reset_sync_time;
};

struct configure_args {
    char *volume, *target;
    char *options; /* a JSON object, or NULL */
    char **reset;  /* or NULL */
};

/* Options and resets as the words of a command each, and how many are done. */
struct configure_state {
    struct arguments names, values;
    size_t done, reset_done;
};

static enum outcome
check_target(struct call *call)
{
    const struct session_args *args = call->args;
    struct error *error = NULL;

    return georep_target_check("target", args->target, &error) ? call_complete(call, NULL)
                                                               : call_fail(call, error);
}

static enum outcome
run(struct call *call, const char *const *words)
{
    const struct session_args *args = call->args;
    struct error *error = NULL;

    return georep_command(args->volume, args->target, words, call_abort_flag(call), NULL, &error)
               ? call_complete(call, NULL)
               : gluster_command_fail(call, error);
}

/* ---- status ---- */

static const struct shape status_shape = {
    .name = "GeorepStatus",
    .schema =
        GLUSTER_ANSWER_SCHEMA("sessions", "{\"$ref\":\"#/components/schemas/GeorepSession\"}"),
    .parts = SHAPES(&georep_session_shape),
};

static enum outcome
status_answer(struct call *call)
{
    const struct status_args *args = call->args;
    _cleanup_free_ char *subject = NULL;
    struct error *error = NULL;

    if (args->target && !args->volume) {
        (void)error_param(&error, "target", "needs 'volume' too");
        return call_fail(call, error);
    }
    if (args->target && !georep_target_check("target", args->target, &error))
        return call_fail(call, error);
    if (args->volume)
        subject = xprintf("%s%s%s", args->volume, args->target ? " " : "",
                          args->target ? georep_target_plain(args->target) : "");
    return gluster_answer(call, &georep_question, subject, NULL, args->fresh, call->state);
}

/* ---- create and delete ---- */

static bool
pushes_keys(const struct call *call)
{
    const struct create_args *args = call->args;

    return args->push_pem && !args->no_verify;
}

/* Makes those of each host that has none, and collects the public ones: sent again it does no harm. */
static enum outcome
create_keys(struct call *call)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("system::", "execute", "gsec_create"),
        .abort = call_abort_flag(call),
    };
    struct error *error = NULL;

    return gluster_command_run_words(&command, NULL, &error) ? call_complete(call, NULL)
                                                             : gluster_command_fail(call, error);
}

static enum outcome
create_run(struct call *call)
{
    const struct create_args *args = call->args;
    _cleanup_arguments_ struct arguments words = { 0 };

    arguments_add(&words, "create");
    arguments_add_count(&words, "ssh-port", args->ssh_port);
    if (pushes_keys(call))
        arguments_add(&words, "push-pem");
    else if (args->no_verify)
        arguments_add(&words, "no-verify");
    if (args->force)
        arguments_add(&words, "force");
    return run(call, arguments_list(&words));
}

static enum outcome
delete_run(struct call *call)
{
    const struct delete_args *args = call->args;

    return run(call, GLUSTER_ARGUMENTS("delete", args->reset_sync_time ? "reset-sync-time" : NULL));
}

/* ---- start, stop, pause, resume ---- */

static enum outcome
act(struct call *call, const char *word)
{
    const struct act_args *args = call->args;

    return run(call, GLUSTER_ARGUMENTS(word, args->force ? "force" : NULL));
}

static enum outcome
start_run(struct call *call)
{
    return act(call, "start");
}

static enum outcome
stop_run(struct call *call)
{
    return act(call, "stop");
}

static enum outcome
pause_run(struct call *call)
{
    return act(call, "pause");
}

static enum outcome
resume_run(struct call *call)
{
    return act(call, "resume");
}

/* ---- configure ---- */

static const struct shape configure_shape = {
    .name = "GeorepOptions",
    .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\","
              "\"target\",\"options\"],\"properties\":{\"volume\":{\"type\":\"string\"},"
              "\"target\":{\"type\":\"string\"},\"options\":{\"type\":\"object\","
              "\"additionalProperties\":{\"type\":\"string\"}}}}",
};

static bool
is_option(const char *name)
{
    if (!islower((unsigned char)name[0]))
        return false;
    for (const char *at = name; *at; at++)
        if (!islower((unsigned char)*at) && !isdigit((unsigned char)*at) && !strchr("-_", *at))
            return false;
    return true;
}

/* Whoever may set these lets root of each host run, or write, what he likes. */
static bool
names_what_root_runs(const char *name)
{
    static const char *const parts[] = { "command", "options", "params", "gsyncd",
                                         "dir",     "file",    "socket", "mnt" };

    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        if (strstr(name, parts[i]))
            return true;
    return false;
}

static char *
option_text(const json_t *value)
{
    const char *text = json_string_value(value);

    if (text && *text && text[0] != '-') {
        for (const char *at = text; *at; at++)
            if ((unsigned char)*at < ' ' || *at == 0x7f)
                return NULL;
        return xstrdup(text);
    }
    if (json_is_boolean(value))
        return xstrdup(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value))
        return xprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return NULL;
}

static bool
add_options(struct configure_state *state, const json_t *object, struct error **err)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        _cleanup_free_ char *text = option_text(value);

        if (!is_option(name))
            return error_param(err, "options", "names '%s', which is no option", name);
        if (names_what_root_runs(name))
            return error_param(err, "options",
                               "names '%s': a program, its flags or a path, which root of each "
                               "host would use: set it with gluster",
                               name);
        if (!text)
            return error_param(err, "options",
                               "gives '%s' no value that gluster takes: it must be text that does "
                               "not begin with '-', a whole number, true or false",
                               name);
        arguments_add(&state->names, name);
        arguments_add(&state->values, text);
    }
    return true;
}

static enum outcome
configure_check(struct call *call)
{
    const struct configure_args *args = call->args;
    json_t *object = args->options ? json_loads(args->options, 0, NULL) : NULL;
    struct error *error = NULL;
    bool good = georep_target_check("target", args->target, &error);

    if (good && args->options)
        good = object ? add_options(call->state, object, &error)
                      : error_param(&error, "options", "cannot be read");
    for (size_t i = 0; good && args->reset && args->reset[i]; i++)
        good = is_option(args->reset[i]) ||
               error_param(&error, "reset", "names '%s', which is no option", args->reset[i]);
    json_decref(object);
    return good ? call_complete(call, NULL) : call_fail(call, error);
}

static enum outcome
configure_set(struct call *call)
{
    const struct configure_args *args = call->args;
    struct configure_state *state = call->state;
    struct error *error = NULL;

    for (; state->done < state->names.count; state->done++)
        if (!georep_command(args->volume, args->target,
                            GLUSTER_ARGUMENTS("config", state->names.all[state->done],
                                              state->values.all[state->done]),
                            call_abort_flag(call), NULL, &error))
            return gluster_command_fail(call, error);
    return call_complete(call, "%zu options", state->done);
}

static enum outcome
configure_reset(struct call *call)
{
    const struct configure_args *args = call->args;
    struct configure_state *state = call->state;
    struct error *error = NULL;

    for (; args->reset && args->reset[state->reset_done]; state->reset_done++) {
        _cleanup_free_ char *word = xprintf("!%s", args->reset[state->reset_done]);

        if (!georep_command(args->volume, args->target, GLUSTER_ARGUMENTS("config", word),
                            call_abort_flag(call), NULL, &error))
            return gluster_command_fail(call, error);
    }
    return call_complete(call, "%zu options", state->reset_done);
}

/* gluster takes names with dashes or underscores; as elements of XML they have underscores. */
static void
write_options(const struct xml_document *document, struct writer *writer)
{
    const struct xml_node *parent = xml_child(xml_child(xml_root(document), "geoRep"), "config");

    writer_object(writer);
    for (const struct xml_node *node = xml_first(parent); node; node = xml_following(node)) {
        _cleanup_free_ char *name = xstrdup(xml_name(node));

        for (char *at = name; *at; at++)
            *at = *at == '_' ? '-' : *at;
        writer_member_string(writer, name, xml_content(node));
    }
    writer_end_object(writer);
}

static enum outcome
configure_list(struct call *call)
{
    const struct configure_args *args = call->args;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    struct writer *writer = call_result(call);
    struct error *error = NULL;

    if (!georep_command(args->volume, args->target, GLUSTER_ARGUMENTS("config"),
                        call_abort_flag(call), &document, &error))
        return gluster_command_fail(call, error);
    writer_object(writer);
    writer_member_string(writer, "volume", args->volume);
    writer_member_string(writer, "target", georep_target_plain(args->target));
    writer_key(writer, "options");
    write_options(document, writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

static void
configure_done(struct call *call)
{
    struct configure_state *state = call->state;

    arguments_done(&state->names);
    arguments_done(&state->values);
}

#define TARGET "The other end of the session, as [USER@]HOST::VOLUME; the user is root by default."
#define TARGET_PARAM(args)                                                                         \
    PARAM(args, target, "target", .type = PARAM_TEXT, .required = true, .about = TARGET)
#define SESSION_ERRORS ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS)
#define SESSION_STEPS(function)                                                                    \
    STEPS({ "check target", check_target, .pool = POOL_LOOP },                                     \
          { "ask glusterd", function, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP)
#define FORCE_PARAM(args)                                                                          \
    PARAM(args, force, "force", .type = PARAM_BOOL,                                                \
          .about = "Even while a host of the volume is down.")

#define ACT_VERB(wire_name, text, more, function)                                                  \
    {                                                                                              \
        .name = (wire_name), .summary = (text), .description = (more), .role = ROLE_OPERATOR,      \
        .kind = VERB_CHANGES, .args_size = sizeof(struct act_args),                                \
        .params = PARAMS(VOLUME_PARAM(act_args), TARGET_PARAM(act_args), FORCE_PARAM(act_args)),   \
        .result = &empty_shape, .errors = SESSION_ERRORS, .steps = SESSION_STEPS(function),        \
        .object = volume_name_object,                                                              \
    }

const struct verb georep_verbs[] = {
    {
        .name = "georep.status",
        .summary = "List the geo-replication sessions, and how each worker of them is doing.",
        .description = "All of the pool, or those of a volume, or one.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct status_args),
        .params = PARAMS(PARAM(status_args, volume, "volume", .type = PARAM_NAME,
                               .about = "Only those of this volume."),
                         PARAM(status_args, target, "target", .type = PARAM_TEXT,
                               .about = "Only that with this target."),
                         GLUSTER_FRESH_PARAM(status_args)),
        .result = &status_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, GLUSTER_ERRORS),
        .steps = STEPS({ "answer", status_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct gluster_wish),
    },
    {
        .name = "georep.create",
        .summary = "Create a session that replicates a volume to one of another pool.",
        .description =
            "Takes half a minute: glusterd mounts both volumes, compares them, and brings the keys "
            "of this pool's hosts to the target's, by ssh without a password from this host as the "
            "target's user. The target must be empty, unless forced. Nothing is replicated before "
            "georep.start. Answers AlreadyExists for a session that is there; with force it is "
            "made again, as after a host has come to the pool.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct create_args),
        .params = PARAMS(
            VOLUME_PARAM(create_args), TARGET_PARAM(create_args),
            PARAM(create_args, push_pem, "pushPem", .type = PARAM_BOOL, .fallback = "true",
                  .about =
                      "Make the keys of this pool and bring them to the target's hosts; false: "
                      "they are there."),
            PARAM(create_args, no_verify, "noVerify", .type = PARAM_BOOL,
                  .about = "Neither bring keys nor look whether the target can be reached."),
            PARAM(create_args, ssh_port, "sshPort", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = 65535, .about = "The port of the target's ssh servers, if not 22."),
            PARAM(create_args, force, "force", .type = PARAM_BOOL,
                  .about = "Even if the target holds files or is too small, a host is down, or the "
                           "session is there.")),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_ALREADY_EXISTS, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "check target", check_target, .pool = POOL_LOOP },
                       { "make keys", create_keys, .pool = POOL_GLUSTER, .only_if = pushes_keys },
                       { "ask glusterd", create_run, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    ACT_VERB("georep.start",
             "Start a session: what is in the volume is brought over, and what changes.",
             "Answers WrongState for one that is started.", start_run),
    ACT_VERB("georep.stop",
             "Stop a session: its workers end, and what changes waits for the next start.",
             "Answers WrongState for one that does not run.", stop_run),
    ACT_VERB("georep.pause", "Pause a session: its workers stay, and do nothing.",
             "Answers WrongState for one that does not run, or is paused.", pause_run),
    ACT_VERB("georep.resume", "Let a paused session go on.",
             "Answers WrongState for one that is not paused.", resume_run),
    {
        .name = "georep.configure",
        .summary = "Change options of a session, and list them all.",
        .description =
            "Options are set one by one, then those to be reset are; killed in between, some are, "
            "and the call may be sent again. Without either it only lists. Each change makes the "
            "workers start anew. Options that name programs, their flags or paths are left to "
            "gluster, as root of each host uses them. checkpoint 'now' marks the present moment, "
            "and georep.status tells when all before is there.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct configure_args),
        .params = PARAMS(VOLUME_PARAM(configure_args), TARGET_PARAM(configure_args),
                         PARAM(configure_args, options, "options", .type = PARAM_OBJECT,
                               .about = "Options to set, as {\"sync-jobs\":\"5\"}."),
                         PARAM(configure_args, reset, "reset", .type = PARAM_TEXTS,
                               .about = "Names of options that are to have their default again.")),
        .result = &configure_shape,
        .errors = SESSION_ERRORS,
        .steps =
            STEPS({ "check parameters", configure_check, .pool = POOL_LOOP },
                  { "set options", configure_set, .pool = POOL_GLUSTER },
                  { "reset options", configure_reset, .pool = POOL_GLUSTER },
                  { "list options", configure_list, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct configure_state),
        .state_done = configure_done,
        .object = volume_name_object,
    },
    {
        .name = "georep.delete",
        .summary = "Delete a session that is stopped; what was replicated stays.",
        .description = "Answers NotFound for one that is gone, WrongState for one that is started.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct delete_args),
        .params = PARAMS(VOLUME_PARAM(delete_args), TARGET_PARAM(delete_args),
                         PARAM(delete_args, reset_sync_time, "resetSyncTime", .type = PARAM_BOOL,
                               .about = "Forget how far it has come, so that a session created "
                                        "anew begins from the start.")),
        .result = &empty_shape,
        .errors = SESSION_ERRORS,
        .steps = SESSION_STEPS(delete_run),
        .object = volume_name_object,
    },
    { 0 },
};
