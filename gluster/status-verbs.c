/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/command.h"
#include "gluster/gluster.h"
#include "gluster/status.h"
#include "gluster/volume-verbs.h"

struct status_args {
    char *volume;
    bool fresh;
};

static const struct shape volume_status_list_shape = {
    .name = "VolumeStatusList",
    .schema = GLUSTER_ANSWER_SCHEMA("volumes", "{\"$ref\":\"#/components/schemas/VolumeStatus\"}"),
    .parts = SHAPES(&volume_status_shape),
};

static enum outcome
status_answer(struct call *call)
{
    const struct status_args *args = call->args;

    return gluster_answer(call, &status_question, NULL, args->volume, args->fresh, call->state);
}

const struct verb status_verbs[] = {
    {
        .name = "volume.status",
        .summary = "Show how volumes are doing: bricks, space, services and tasks.",
        .description =
            "One volume, or all. Capacity and free space of a volume are reckoned from its online bricks: "
            "a set of bricks is as large as the smallest of them. They are null where a set has no online "
            "brick. Whether a brick is online is null where glusterd does not tell, because its host is "
            "down.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct status_args),
        .params = PARAMS(PARAM(status_args, volume, "volume", .type = PARAM_NAME,
                               .about = "The volume's name; all volumes when it is absent."),
                         GLUSTER_FRESH_PARAM(status_args)),
        .result = &volume_status_list_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, GLUSTER_ERRORS),
        .steps = STEPS({ "answer", status_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct gluster_wish),
    },
    { 0 },
};
