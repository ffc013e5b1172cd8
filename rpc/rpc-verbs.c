/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/agent.h"
#include "rpc/server.h"

static const struct shape openrpc_shape = {
    .name = "OpenRpcDocument",
    .schema =
        "{\"type\":\"object\",\"required\":[\"openrpc\",\"info\",\"methods\",\"components\"]}",
};

static enum outcome
answer_document(struct call *call)
{
    discover_write(call->agent->verbs, call_result(call));
    return call_complete(call, NULL);
}

const struct verb rpc_verbs[] = {
    {
        .name = "rpc.discover",
        .summary = "Answer the OpenRPC document of every verb.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .result = &openrpc_shape,
        .steps = STEPS({ "write", answer_document, .pool = POOL_LOOP }),
    },
    { 0 },
};
