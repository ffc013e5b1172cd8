/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <ctype.h>
#include <string.h>

#include "gluster/brick.h"
#include "gluster/gluster.h"
#include "gluster/heal.h"
#include "gluster/volume-verbs.h"

/* ---- volume.healInfo ---- */

struct info_args {
    char *volume;
    bool split_brain, fresh;
    int64_t limit;
};

static const struct shape heal_info_shape = {
    .name = "HealInfo",
    .parts = SHAPES(&heal_brick_shape),
    .schema = GLUSTER_ANSWER_SCHEMA("bricks", "{\"$ref\":\"#/components/schemas/HealBrick\"}"),
};

static enum outcome
info_answer(struct call *call)
{
    const struct info_args *args = call->args;
    _cleanup_free_ char *subject =
        heal_subject(args->volume, (size_t)args->limit, args->split_brain);

    return gluster_answer(call, &heal_question, subject, NULL, args->fresh, call->state);
}

/* ---- volume.heal ---- */

struct heal_args {
    char *volume;
    bool full;
    const char *resolve; /* or NULL */
    char *file, *brick;  /* or NULL */
};

static const struct shape heal_begun_shape = {
    .name = "HealBegun",
    .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"resolved\"],"
              "\"properties\":{\"resolved\":{\"type\":[\"integer\",\"null\"]}}}",
};

/* "/a/path" within the volume, or "gfid:UUID". */
static bool
is_file(const char *file)
{
    if (strncmp(file, "gfid:", 5) == 0)
        return strspn(file + 5, "0123456789abcdefABCDEF-") == 36 && file[41] == '\0';
    for (const char *at = file; *at; at++)
        if (iscntrl((unsigned char)*at))
            return false;
    return file[0] == '/' && file[1] != '\0';
}

static bool
check_resolve(const struct heal_args *args, struct error **err)
{
    bool by_brick = args->resolve && strcmp(args->resolve, "source-brick") == 0;

    if (!args->resolve) {
        if (args->file || args->brick)
            return error_param(err, args->file ? "file" : "brick", "is for 'resolve' only");
        return true;
    }
    if (args->full)
        return error_param(err, "full", "and 'resolve' are two things: ask for one of them");
    if (by_brick && !args->brick)
        return error_param(err, "brick", "is missing: 'source-brick' takes the contents from it");
    if (!by_brick && args->brick)
        return error_param(err, "brick", "is for 'source-brick', not for '%s'", args->resolve);
    if (!by_brick && !args->file)
        return error_param(err, "file", "is missing: '%s' decides about one file", args->resolve);
    if (args->file && !is_file(args->file))
        return error_param(err, "file", "must be '/PATH' in the volume, or 'gfid:UUID', not '%s'",
                           args->file);
    return !args->brick || brick_check("brick", args->brick, err);
}

static bool
check_volume(const struct heal_args *args, const struct volume *volume, struct error **err)
{
    size_t index;

    if (!heal_check(volume, err))
        return false;
    if (args->resolve && !volume->replica)
        return error_param(err, "resolve",
                           "is for replicated volumes only: '%s' is of type '%s', which knows no "
                           "split-brain",
                           volume->name, volume->type);
    return !args->brick || volume_brick_require(volume, args->brick, &index, err);
}

static enum outcome
heal_find(struct call *call)
{
    const struct heal_args *args = call->args;
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct error *error = NULL;

    if (check_resolve(args, &error) &&
        volumes_ask(args->volume, call_abort_flag(call), &volumes, &error) &&
        check_volume(args, &volumes.all[0], &error))
        return call_complete(call, "%s", volumes.all[0].type);
    return gluster_command_fail(call, error);
}

static void
write_resolved(struct call *call, const struct heal_args *args, const char *words)
{
    static const char count[] = "Number of healed entries: ";
    const char *found = strstr(words, count);
    struct writer *writer = call_result(call);

    writer_object(writer);
    if (args->resolve && found)
        writer_member_unsigned(writer, "resolved", strtoull(found + strlen(count), NULL, 10));
    else if (args->resolve && args->file && strstr(words, "Healed "))
        writer_member_unsigned(writer, "resolved", 1); /* of one file there is no count */
    else
        writer_member_null(writer, "resolved");
    writer_end_object(writer);
}

static enum outcome
heal_run(struct call *call)
{
    const struct heal_args *args = call->args;
    const char *arguments[8] = { "volume", "heal", args->volume };
    const struct gluster_command command = {
        .arguments = arguments,
        .kind = args->resolve ? "file" : "volume",
        .id = args->resolve ? args->file : args->volume,
        .abort = call_abort_flag(call),
    };
    _cleanup_text_ struct text words = TEXT_INIT;
    struct error *error = NULL;
    size_t count = 3;

    if (args->full)
        arguments[count++] = "full";
    if (args->resolve) {
        arguments[count++] = "split-brain";
        arguments[count++] = args->resolve;
        if (args->brick)
            arguments[count++] = args->brick;
        arguments[count] = args->file;
    }
    if (!gluster_command_run_words(&command, &words, &error))
        return gluster_command_fail(call, error);
    write_resolved(call, args, words.length ? words.bytes : "");
    return call_complete(call, NULL);
}

const struct verb heal_verbs[] = {
    {
        .name = "volume.healInfo",
        .summary = "Tell what the bricks of a replicated or dispersed volume have yet to heal.",
        .description =
            "Of each brick: how many entries (files and folders) it lists that other bricks lack, how many "
            "of them wait, are in split-brain, or are just being healed, and the first of their names. "
            "Numbers are null where they cannot be had: of a brick that is not connected, and all but "
            "'entries' when there are so many that looking at each would take more than a minute. A name "
            "is null where a brick knows the gfid only; 'truncated' tells that there are more than are "
            "listed.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct info_args),
        .params = PARAMS(VOLUME_PARAM(info_args),
                         PARAM(info_args, split_brain, "splitBrain", .type = PARAM_BOOL,
                               .about = "List only what is in split-brain."),
                         PARAM(info_args, limit, "limit", .type = PARAM_INTEGER, .minimum = 0,
                               .maximum = 1000, .fallback = "20",
                               .about = "How many entries of a brick to list at most."),
                         GLUSTER_FRESH_PARAM(info_args)),
        .result = &heal_info_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "answer", info_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct gluster_wish),
        .object = volume_name_object,
    },
    {
        .name = "volume.heal",
        .summary = "Heal a replicated or dispersed volume now, or resolve a split-brain of it.",
        .description =
            "Without 'resolve', the self-heal daemons begin to heal what the bricks list, or with 'full' "
            "all files; it answers when they have begun, volume.healInfo and volume.operations follow it. "
            "With 'resolve' it answers when the files are as decided, and how many there were. Both may "
            "be sent again: healing goes on, and a file that is not in split-brain any more answers "
            "WrongState.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct heal_args),
        .params = PARAMS(
            VOLUME_PARAM(heal_args),
            PARAM(heal_args, full, "full", .type = PARAM_BOOL,
                  .about =
                      "Look at every file, not only at those that bricks list: after a brick was "
                      "emptied."),
            PARAM(heal_args, resolve, "resolve", .type = PARAM_CHOICE,
                  .choices = CHOICES("bigger-file", "latest-mtime", "source-brick"),
                  .about = "Which copy wins where they contradict each other."),
            PARAM(
                heal_args, file, "file", .type = PARAM_TEXT, .minimum = 1,
                .about =
                    "The file to resolve: its path in the volume, or gfid:UUID; with source-brick "
                    "it may be left out, for all that are in split-brain."),
            PARAM(heal_args, brick, "brick", .type = PARAM_TEXT, .minimum = 1,
                  .about = "The brick that wins, HOST:/PATH: for source-brick.")),
        .result = &heal_begun_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "find volume", heal_find, .pool = POOL_GLUSTER },
                       { "heal", heal_run, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    { 0 },
};
