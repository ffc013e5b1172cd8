/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "gluster/command.h"
#include "gluster/gluster.h"
#include "gluster/operation-verbs.h"
#include "gluster/removal.h"
#include "gluster/volume-verbs.h"

struct rebalance_args {
    char *volume;
    bool fix_layout, force;
};

struct stop_args {
    char *volume;
};

struct operations_args {
    char *volume;
    bool fresh;
};

const struct shape operation_begun_shape = {
    .name = "OperationBegun",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\",\"operation\","
        "\"kind\"],\"properties\":{\"volume\":{\"type\":\"string\"},\"operation\":{\"type\":[\"string\","
        "\"null\"]},\"kind\":{\"enum\":[\"rebalance\",\"fixLayout\",\"removal\"]}}}",
};

const struct follow operation_follow = {
    .query = "volume.operations",
    .param = "volume",
    .items = "operations",
    .key = "operation",
    .status = "status",
    .running = CHOICES("running", "pending", "unknown"),
    .done = CHOICES("completed", "waitingForCommit"),
    .progress = "files",
    .left = "timeLeftSeconds",
};

static const struct shape operation_list_shape = {
    .name = "OperationList",
    .schema = GLUSTER_ANSWER_SCHEMA("operations", "{\"$ref\":\"#/components/schemas/Operation\"}"),
    .parts = SHAPES(&operation_shape),
};

void
operation_begun_write(struct call *call, const char *volume, const char *operation,
                      enum operation_kind kind)
{
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "volume", volume);
    writer_member_string(writer, "operation", operation);
    writer_member_string(writer, "kind", operation_kind_name(kind));
    writer_end_object(writer);
}

enum outcome
operation_refused(struct call *call, const char *volume, struct error *error)
{
    _cleanup_volume_work_ struct volume_work work = { 0 };
    _cleanup_(error_freep) struct error *ignored = NULL;

    if (error->code == ERROR_WRONG_STATE &&
        volume_work_ask(volume, call_abort_flag(call), &work, &ignored) && work.operation &&
        (removal_is(work.operation) || operation_is_under_way(work.operation))) {
        error_data_text(&error, "operation", "%s", work.operation->id);
        error_data_text(&error, "kind", "%s", operation_kind_name(work.operation->kind));
    }
    return gluster_command_fail(call, error);
}

static enum outcome
rebalance_check(struct call *call)
{
    const struct rebalance_args *args = call->args;
    struct error *error = NULL;

    if (!args->fix_layout || !args->force)
        return call_complete(call, NULL);
    error_param(&error, "force", "is nothing that a fix of the layout knows");
    return call_fail(call, error);
}

static enum outcome
rebalance_start(struct call *call)
{
    const struct rebalance_args *args = call->args;
    const struct gluster_command command = {
        .arguments =
            args->fix_layout
                ? GLUSTER_ARGUMENTS("volume", "rebalance", args->volume, "fix-layout", "start")
            : args->force ? GLUSTER_ARGUMENTS("volume", "rebalance", args->volume, "start", "force")
                          : GLUSTER_ARGUMENTS("volume", "rebalance", args->volume, "start"),
        .kind = "volume",
        .id = args->volume,
        .abort = call_abort_flag(call),
    };
    _cleanup_volume_work_ struct volume_work work = { 0 };
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    struct error *error = NULL;

    /* A glusterd whose own share has ended would begin another while the other hosts still work. */
    if (!volume_work_ask(args->volume, call_abort_flag(call), &work, &error))
        return gluster_command_fail(call, error);
    if (work.operation && work.operation->status == OPERATION_RUNNING) {
        operation_refuse(work.operation, "no operation on the volume", &error,
                         "operation '%s' runs on volume '%s': wait for its end, or end it",
                         work.operation->id, args->volume);
        return call_fail(call, error);
    }
    if (!gluster_command_run(&command, &document, &error))
        return operation_refused(call, args->volume, error);
    operation_begun_write(call, args->volume,
                          xml_text(xml_child(xml_root(document), "volRebalance"), "task-id"),
                          args->fix_layout ? OPERATION_FIX_LAYOUT : OPERATION_REBALANCE);
    return call_complete(call, NULL);
}

/* Of what glusterd forgets by it: "stop" answers the last figures. */
static bool
stop(struct operation *operation, const struct volume *volume, const atomic_bool *abort,
     struct error **err)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "rebalance", volume->name, "stop"),
        .kind = "volume",
        .id = volume->name,
        .abort = abort,
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    bool known;

    if (!gluster_command_run(&command, &document, err) ||
        !operation_read_figures(operation, document, &known, err))
        return false;
    if (!known)
        return operation_refuse(operation, "running", err,
                                "operation '%s' has ended, and another that began since is stopped",
                                operation->id);
    operation_settle(operation, volume, NULL);
    /* A host tells its process as running until that has let go of its file: the whole is stopped. */
    if (operation_is_under_way(operation))
        operation->status = OPERATION_STOPPED;
    return true;
}

static enum outcome
rebalance_stop(struct call *call)
{
    const struct stop_args *args = call->args;
    _cleanup_volume_work_ struct volume_work work = { 0 };
    struct error *error = NULL;

    if (!volume_work_ask(args->volume, call_abort_flag(call), &work, &error))
        return gluster_command_fail(call, error);
    if (!work.operation || removal_is(work.operation)) {
        operation_refuse(work.operation, "rebalancing", &error,
                         "volume '%s' is not being rebalanced", args->volume);
        return call_fail(call, error);
    }
    if (operation_is_under_way(work.operation) &&
        !stop(work.operation, work.volume, call_abort_flag(call), &error))
        return gluster_command_fail(call, error);
    operation_write(work.operation, call_result(call));
    return call_complete(call, "%s", operation_status_name(work.operation->status));
}

static enum outcome
operations_answer(struct call *call)
{
    const struct operations_args *args = call->args;

    return gluster_answer(call, &operation_question, NULL, args->volume, args->fresh, call->state);
}

const struct verb rebalance_verbs[] = {
    {
        .name = "volume.rebalance",
        .aliases = "gluster.startVolumeRebalance",
        .summary = "Spread a volume's files over its bricks, after bricks were added.",
        .description =
            "Answers when glusterd has registered it, with glusterd's id, after some 10 seconds: glusterd "
            "takes that long.  volume.operations follows it, on any host of the pool.  Called again while "
            "it runs: WrongState, with the running one's id.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct rebalance_args),
        .params = PARAMS(
            VOLUME_PARAM(rebalance_args),
            PARAM(rebalance_args, fix_layout, "fixLayout", .type = PARAM_BOOL,
                  .about = "Only let new files go to new bricks, and move none that is there."),
            PARAM(rebalance_args, force, "force", .type = PARAM_BOOL,
                  .about = "Move files also to bricks that have less space left than theirs.")),
        .result = &operation_begun_shape,
        .follow = &operation_follow,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "check", rebalance_check, .pool = POOL_LOOP },
                       { "register", rebalance_start, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "volume.stopRebalance",
        .summary = "Stop the rebalance of a volume, also one that only fixes the layout.",
        .description =
            "Answers the operation as it ended: glusterd forgets one that was stopped, so volume.operations "
            "tells it no more, and a second call is WrongState.  One that had ended by itself is answered, "
            "and kept.  Files that were moved stay where they are.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct stop_args),
        .params = PARAMS(VOLUME_PARAM(stop_args)),
        .result = &operation_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "stop", rebalance_stop, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "volume.operations",
        .aliases = "gluster.getOperationStatuses",
        .summary = "List the pool's rebalances, removals of bricks and heals, running and ended.",
        .description =
            "Everything is glusterd's: the answer is the same on each host of the pool, and an ended "
            "operation is told until the next one of its volume begins, or a removal is committed or "
            "cancelled.  Those of stopped volumes glusterd does not tell.  A heal has no id of glusterd's: it is "
            "'heal-VOLUME' while there is something to heal, as counted last: in the background, every 10 "
            "seconds at most, also with 'fresh'.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct operations_args),
        .params = PARAMS(PARAM(operations_args, volume, "volume", .type = PARAM_NAME,
                               .about = "Only those of this volume."),
                         GLUSTER_FRESH_PARAM(operations_args)),
        .result = &operation_list_shape,
        .errors = ERRORS(GLUSTER_ERRORS),
        .steps = STEPS({ "answer", operations_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct gluster_wish),
    },
    { 0 },
};
