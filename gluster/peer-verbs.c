/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/command.h"
#include "gluster/gluster.h"
#include "gluster/peer.h"

struct list_args {
    bool fresh;
};

static const struct shape peer_list_shape = {
    .name = "PeerList",
    .schema = GLUSTER_ANSWER_SCHEMA("peers", "{\"$ref\":\"#/components/schemas/Peer\"}"),
    .parts = SHAPES(&peer_shape),
};

static enum outcome
list_answer(struct call *call)
{
    const struct list_args *args = call->args;

    return gluster_answer(call, &peer_question, NULL, NULL, args->fresh, call->state);
}

const struct verb peer_verbs[] = {
    {
        .name = "peer.list",
        .summary = "List the hosts of the pool, this one among them.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct list_args),
        .params = PARAMS(GLUSTER_FRESH_PARAM(list_args)),
        .result = &peer_list_shape,
        .errors = ERRORS(GLUSTER_ERRORS),
        .steps = STEPS({ "answer", list_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct gluster_wish),
    },
    { 0 },
};
