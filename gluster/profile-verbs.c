/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "gluster/gluster.h"
#include "gluster/profile.h"
#include "gluster/volume-verbs.h"

struct profile_args {
    char *volume;
    const char *action, *figures;
    bool peek;
};

static bool
is(const char *choice, const char *word)
{
    return strcmp(choice, word) == 0;
}

static void
write_result(struct call *call, const struct profile *profile, bool running)
{
    const struct profile_args *args = call->args;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "volume", args->volume);
    writer_member_bool(writer, "running", running);
    if (is(args->action, "info")) {
        writer_key(writer, "bricks");
        profile_write(profile, writer);
    }
    writer_end_object(writer);
}

static bool
run(struct call *call, const char *const *arguments, struct xml_document **ret_document,
    struct error **err)
{
    const struct profile_args *args = call->args;
    const struct gluster_command command = {
        .arguments = arguments, .kind = "volume", .id = args->volume, .abort = call_abort_flag(call)
    };

    return gluster_command_run(&command, ret_document, err);
}

static bool
ask(struct call *call, struct profile *ret_profile, struct error **err)
{
    const struct profile_args *args = call->args;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    const char *words[3] = { 0 };
    size_t count = 0;

    /* glusterd's own word for the interval is another on its command line. */
    if (!is(args->figures, "both"))
        words[count++] = is(args->figures, "interval") ? "incremental" : "cumulative";
    if (args->peek && !is(args->figures, "cumulative"))
        words[count++] = "peek";
    return run(call,
               GLUSTER_ARGUMENTS("volume", "profile", args->volume, "info", words[0], words[1]),
               &document, err) &&
           profile_read(document, ret_profile, err);
}

static bool
changes(const struct call *call)
{
    const struct profile_args *args = call->args;

    return is(args->action, "start") || is(args->action, "stop");
}

static enum outcome
profile_run(struct call *call)
{
    const struct profile_args *args = call->args;
    _cleanup_profile_ struct profile profile = { 0 };
    struct error *error = NULL;
    bool done;

    if (is(args->action, "info"))
        done = ask(call, &profile, &error);
    else if (is(args->action, "clear"))
        done = run(call, GLUSTER_ARGUMENTS("volume", "profile", args->volume, "info", "clear"),
                   NULL, &error);
    else
        done = run(call, GLUSTER_ARGUMENTS("volume", "profile", args->volume, args->action), NULL,
                   &error);
    if (!done)
        return gluster_command_fail(call, error);
    write_result(call, &profile, !is(args->action, "stop"));
    return call_complete(call, NULL);
}

const struct verb profile_verbs[] = {
    {
        .name = "volume.profile",
        .summary = "Count what a volume's bricks are asked for, and how long they take.",
        .description =
            "start begins the counting and stop ends it: both answer WrongState where that is so "
            "already. info tells the figures of each brick that runs: since the start, and of the "
            "interval since they were last asked for; it begins a new interval, unless told to "
            "peek. clear sets all of them to zero. Counting costs each request a little.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct profile_args),
        .params = PARAMS(
            VOLUME_PARAM(profile_args),
            PARAM(profile_args, action, "action", .type = PARAM_CHOICE, .fallback = "\"info\"",
                  .choices = CHOICES("info", "start", "stop", "clear"), .about = "What to do."),
            PARAM(profile_args, figures, "figures", .type = PARAM_CHOICE, .fallback = "\"both\"",
                  .choices = CHOICES("both", "cumulative", "interval"),
                  .about = "Which of them info tells."),
            PARAM(profile_args, peek, "peek", .type = PARAM_BOOL,
                  .about = "Let the present interval go on.")),
        .result = &profile_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "ask glusterd", profile_run, .pool = POOL_GLUSTER },
                       { "forget what was known", gluster_forget_step, .pool = POOL_LOOP,
                         .when = ALWAYS, .only_if = changes }),
        .object = volume_name_object,
    },
    { 0 },
};
