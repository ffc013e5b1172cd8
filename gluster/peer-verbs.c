/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "gluster/brick.h"
#include "gluster/command.h"
#include "gluster/gluster.h"
#include "gluster/peer.h"
#include "gluster/volume-verbs.h"

/* How long a new peer may take to be one of the pool: a second, mostly. */
#define JOINED_WITHIN_MS 15000
#define JOINED_POLL_MS 300

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

struct probe_args {
    char *host;
};

struct probe_state {
    bool here; /* glusterd says that the host is this one */
};

struct detach_args {
    char *host;
    bool force;
};

static void
host_object(const void *args, struct object_name *ret_object)
{
    const struct probe_args *named = args; /* those of both begin with 'host' */

    *ret_object = (struct object_name){ .kind = "peer", .id = named->host };
}

static enum outcome
probe_run(struct call *call)
{
    const struct probe_args *args = call->args;
    struct probe_state *state = call->state;
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("peer", "probe", args->host),
        .kind = "peer",
        .id = args->host,
        .abort = call_abort_flag(call),
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    struct error *error = NULL;

    if (!host_check("host", args->host, &error) ||
        !gluster_command_run(&command, &document, &error))
        return gluster_command_fail(call, error);
    /* "Probe on localhost not needed", "Host ... already in peer list", "success" */
    state->here = strstr(xml_text(xml_root(document), "output"), "localhost") != NULL;
    return call_complete(call, "%s", xml_text(xml_root(document), "output"));
}

static enum outcome
probe_answer(struct call *call)
{
    const struct probe_args *args = call->args;
    const struct probe_state *state = call->state;
    _cleanup_peers_ struct peers peers = { 0 };
    const struct peer *peer;
    struct error *error = NULL;

    if (!peers_ask(call_abort_flag(call), &peers, &error))
        return gluster_command_fail(call, error);
    peer = peers_find(&peers, state->here ? "localhost" : args->host);
    if ((!peer || !peer_is_well(peer)) && call_elapsed_ms(call) < JOINED_WITHIN_MS)
        return call_retry(call, JOINED_POLL_MS, "%s", peer ? peer->state : "not in the pool yet");
    if (!peer) {
        error_set(&error, ERROR_BACKEND_FAILED,
                  "glusterd took '%s' for one of the pool, but lists no such host: see peer.list",
                  args->host);
        return call_fail(call, error);
    }
    peer_write(peer, call_result(call));
    return call_complete(call, "%s", peer->state);
}

static enum outcome
detach_run(struct call *call)
{
    const struct detach_args *args = call->args;
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("peer", "detach", args->host, args->force ? "force" : NULL),
        .kind = "peer",
        .id = args->host,
        .abort = call_abort_flag(call),
    };
    struct writer *writer;
    struct error *error = NULL;

    if (!host_check("host", args->host, &error) || !gluster_command_run(&command, NULL, &error))
        return gluster_command_fail(call, error);
    writer = call_result(call);
    writer_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
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
    {
        .name = "peer.probe",
        .summary = "Take a host into the pool.",
        .description =
            "Answers the peer as peer.list shows it, once it is one of the pool and connected; if that takes "
            "longer than 15 s, as it is then. A host that is in the pool already, this one too, is answered "
            "likewise: the call may be sent again. WrongState: no glusterd answers there, or it is in another "
            "pool, or has volumes.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct probe_args),
        .params = PARAMS(PARAM(probe_args, host, "host", .type = PARAM_TEXT, .required = true,
                               .minimum = 1,
                               .about = "The host's name or address, for all of the pool.")),
        .result = &peer_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps =
            STEPS({ "probe", probe_run, .pool = POOL_GLUSTER },
                  { "see it joined", probe_answer, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct probe_state),
        .object = host_object,
    },
    {
        .name = "peer.detach",
        .summary = "Put a host out of the pool.",
        .description =
            "WrongState: it has bricks, it is the host that was asked (ask another), or some other peer is "
            "down and 'force' is not given. Sent again, it answers NotFound.",
        .role = ROLE_ADMIN,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct detach_args),
        .params =
            PARAMS(PARAM(detach_args, host, "host", .type = PARAM_TEXT, .required = true,
                         .minimum = 1, .about = "The host, by a name that peer.list shows."),
                   PARAM(detach_args, force, "force", .type = PARAM_BOOL,
                         .about = "Also while some peers are down: these take part in it later.")),
        .result = &empty_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "detach", detach_run, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = host_object,
    },
    { 0 },
};
