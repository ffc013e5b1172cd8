/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/volume-verbs.h"

#include "gluster/gluster.h"
#include "gluster/volume.h"

struct volume_args {
    char *volume;
};

void
volume_name_object(const void *args, struct object_name *ret_object)
{
    const struct volume_args *named = args;

    *ret_object = (struct object_name){ .kind = "volume", .id = named->volume };
}

enum outcome
volume_command_step(struct call *call, const char *volume, const char *const *arguments)
{
    const struct gluster_command command = {
        .arguments = arguments, .kind = "volume", .id = volume, .abort = call_abort_flag(call)
    };
    struct error *error = NULL;

    return gluster_command_run(&command, NULL, &error) ? call_complete(call, NULL)
                                                       : gluster_command_fail(call, error);
}

enum outcome
volume_answer_step(struct call *call, const char *volume)
{
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct error *error = NULL;

    if (!volumes_ask(volume, call_abort_flag(call), &volumes, &error))
        return gluster_command_fail(call, error);
    volume_write(&volumes.all[0], call_result(call));
    return call_complete(call, NULL);
}

struct list_args {
    bool fresh;
};

static const struct shape volume_list_shape = {
    .name = "VolumeList",
    .schema = GLUSTER_ANSWER_SCHEMA("volumes", "{\"$ref\":\"#/components/schemas/Volume\"}"),
    .parts = SHAPES(&volume_shape),
};

static enum outcome
list_answer(struct call *call)
{
    const struct list_args *args = call->args;

    return gluster_answer(call, &volume_question, NULL, NULL, args->fresh, call->state);
}

const struct verb volume_verbs[] = {
    {
        .name = "volume.list",
        .summary = "List the pool's volumes: what they are made of, and their options.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct list_args),
        .params = PARAMS(GLUSTER_FRESH_PARAM(list_args)),
        .result = &volume_list_shape,
        .errors = ERRORS(GLUSTER_ERRORS),
        .steps = STEPS({ "answer", list_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct gluster_wish),
    },
    { 0 },
};
