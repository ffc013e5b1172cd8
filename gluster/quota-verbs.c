/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gluster/gluster.h"
#include "gluster/quota.h"
#include "gluster/volume-verbs.h"

#define LIMIT_MAX INT64_MAX

struct list_args {
    char *volume, *path;
    bool fresh;
};

struct volume_args {
    char *volume;
};

struct limit_args {
    char *volume, *path;
    uint64_t size;
    int64_t objects, soft_percent;
    bool soft_given;
};

struct remove_args {
    char *volume, *path;
    const char *limit;
};

/* Of a removal: what is gone by now, since one of two limits may be missing. */
struct remove_state {
    bool removed;
};

static const struct shape list_shape = {
    .name = "QuotaLimitList",
    .schema = GLUSTER_ANSWER_SCHEMA("limits", "{\"$ref\":\"#/components/schemas/QuotaLimit\"}"),
    .parts = SHAPES(&quota_limit_shape),
};

static enum outcome
list_answer(struct call *call)
{
    const struct list_args *args = call->args;
    _cleanup_free_ char *subject = xprintf("%s%s", args->volume, args->path ? args->path : "");
    struct error *error = NULL;

    if (args->path && !quota_path_check("path", args->path, &error))
        return call_fail(call, error);
    return gluster_answer(call, &quota_question, subject, NULL, args->fresh, call->state);
}

static enum outcome
enable_run(struct call *call)
{
    const struct volume_args *args = call->args;

    return volume_command_step(call, args->volume,
                               GLUSTER_ARGUMENTS("volume", "quota", args->volume, "enable"));
}

static enum outcome
disable_run(struct call *call)
{
    const struct volume_args *args = call->args;

    return volume_command_step(call, args->volume,
                               GLUSTER_ARGUMENTS("volume", "quota", args->volume, "disable"));
}

static bool
run(struct call *call, const char *volume, const char *path, const char *const *arguments,
    struct error **err)
{
    const struct gluster_command command = {
        .arguments = arguments, .kind = "volume", .id = volume, .abort = call_abort_flag(call)
    };

    if (gluster_command_run(&command, NULL, err))
        return true;
    quota_explain(path, err);
    return false;
}

static bool
set_limit(struct call *call, const char *kind, uint64_t value, struct error **err)
{
    const struct limit_args *args = call->args;
    _cleanup_free_ char *limit = xprintf("%" PRIu64, value);
    _cleanup_free_ char *percent = xprintf("%" PRIi64, args->soft_percent);

    return run(call, args->volume, args->path,
               GLUSTER_ARGUMENTS("volume", "quota", args->volume, kind, args->path, limit,
                                 args->soft_given ? percent : NULL),
               err);
}

static enum outcome
limit_check(struct call *call)
{
    const struct limit_args *args = call->args;
    struct error *error = NULL;

    if (!args->size && !args->objects)
        (void)error_param(&error, "size", "or 'objects' must be given, or both");
    else if (quota_path_check("path", args->path, &error))
        return call_complete(call, NULL);
    return call_fail(call, error);
}

static bool
has_size(const struct call *call)
{
    const struct limit_args *args = call->args;

    return args->size > 0;
}

static bool
has_objects(const struct call *call)
{
    const struct limit_args *args = call->args;

    return args->objects > 0;
}

static enum outcome
limit_size(struct call *call)
{
    const struct limit_args *args = call->args;
    struct error *error = NULL;

    return set_limit(call, "limit-usage", args->size, &error) ? call_complete(call, NULL)
                                                              : gluster_command_fail(call, error);
}

static enum outcome
limit_objects(struct call *call)
{
    const struct limit_args *args = call->args;
    struct error *error = NULL;

    return set_limit(call, "limit-objects", (uint64_t)args->objects, &error)
               ? call_complete(call, NULL)
               : gluster_command_fail(call, error);
}

static bool
removes(const struct call *call, const char *limit)
{
    const struct remove_args *args = call->args;

    return strcmp(args->limit, "both") == 0 || strcmp(args->limit, limit) == 0;
}

static bool
removes_size(const struct call *call)
{
    return removes(call, "size");
}

static bool
removes_objects(const struct call *call)
{
    return removes(call, "objects");
}

static bool
is_no_limit(const struct error *error)
{
    return error->code == ERROR_NOT_FOUND && strstr(error->data, "\"kind\":\"limit\"");
}

/* 'last': there is none behind it that might be there. */
static enum outcome
remove_limit(struct call *call, const char *word, bool last)
{
    const struct remove_args *args = call->args;
    struct remove_state *state = call->state;
    struct error *error = NULL;

    if (run(call, args->volume, args->path,
            GLUSTER_ARGUMENTS("volume", "quota", args->volume, word, args->path), &error)) {
        state->removed = true;
        return call_complete(call, NULL);
    }
    if (is_no_limit(error) && (!last || state->removed)) {
        error_free(error);
        return call_complete(call, "there is none");
    }
    return gluster_command_fail(call, error);
}

static enum outcome
remove_size(struct call *call)
{
    return remove_limit(call, "remove", !removes_objects(call));
}

static enum outcome
remove_objects(struct call *call)
{
    return remove_limit(call, "remove-objects", true);
}

static enum outcome
remove_check(struct call *call)
{
    const struct remove_args *args = call->args;
    struct error *error = NULL;

    return quota_path_check("path", args->path, &error) ? call_complete(call, NULL)
                                                        : call_fail(call, error);
}

#define PATH_PARAM(args, needed, text)                                                             \
    PARAM(args, path, "path", .type = PARAM_PATH, .required = needed, .about = text)
#define FOLDER "The folder, as a path from the volume's top; '/' is all of the volume."

const struct verb quota_verbs[] = {
    {
        .name = "volume.quota",
        .summary = "List the limits of a volume's folders, and what is used of them.",
        .description = "With a path: what is used in this folder, limited or not. Answers "
                       "WrongState while quotas are not enabled.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct list_args),
        .params = PARAMS(VOLUME_PARAM(list_args), PATH_PARAM(list_args, false, FOLDER),
                         GLUSTER_FRESH_PARAM(list_args)),
        .result = &list_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "answer", list_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct gluster_wish),
        .object = volume_name_object,
    },
    {
        .name = "volume.quotaEnable",
        .summary = "Enable quotas: what is used in each folder is counted from now on.",
        .description = "What is there already is counted in the background. Answers WrongState "
                       "where they are enabled already.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct volume_args),
        .params = PARAMS(VOLUME_PARAM(volume_args)),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "ask glusterd", enable_run, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "volume.quotaDisable",
        .summary = "Disable quotas, which removes every limit of the volume for good.",
        .description = "Answers WrongState where they are disabled already.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct volume_args),
        .params = PARAMS(VOLUME_PARAM(volume_args)),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "ask glusterd", disable_run, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "volume.quotaLimit",
        .summary = "Limit the space or the number of objects of a folder and all below it.",
        .description =
            "The folder must be there. A limit that was there is replaced, so the call can be sent "
            "again; that of the other kind stays. Bricks enforce a limit by and by: a fast writer "
            "may exceed it.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct limit_args),
        .params = PARAMS(
            VOLUME_PARAM(limit_args), PATH_PARAM(limit_args, true, FOLDER),
            PARAM(limit_args, size, "size", .type = PARAM_SIZE, .minimum = 1, .maximum = LIMIT_MAX,
                  .about = "At most so many bytes."),
            PARAM(limit_args, objects, "objects", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = LIMIT_MAX,
                  .about = "At most so many files and folders, itself among "
                           "them."),
            PARAM(limit_args, soft_percent, "softLimitPercent", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = 100, .present = PRESENT(limit_args, soft_given),
                  .about = "From this part of a limit on bricks log that it is close. Default: the "
                           "volume's own, 80 unless features.default-soft-limit is set.")),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps =
            STEPS({ "check parameters", limit_check, .pool = POOL_LOOP },
                  { "limit size", limit_size, .pool = POOL_GLUSTER, .only_if = has_size },
                  { "limit objects", limit_objects, .pool = POOL_GLUSTER, .only_if = has_objects },
                  GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "volume.quotaRemove",
        .summary = "Remove a folder's limit.",
        .description = "Answers NotFound (kind limit) where there is none.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct remove_args),
        .params =
            PARAMS(VOLUME_PARAM(remove_args), PATH_PARAM(remove_args, true, FOLDER),
                   PARAM(remove_args, limit, "limit", .type = PARAM_CHOICE, .fallback = "\"both\"",
                         .choices = CHOICES("both", "size", "objects"), .about = "Which of them.")),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS(
            { "check parameters", remove_check, .pool = POOL_LOOP },
            { "remove limit of size", remove_size, .pool = POOL_GLUSTER, .only_if = removes_size },
            { "remove limit of objects", remove_objects, .pool = POOL_GLUSTER,
              .only_if = removes_objects },
            GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct remove_state),
        .object = volume_name_object,
    },
    { 0 },
};
