/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "gluster/brick.h"
#include "gluster/command.h"
#include "gluster/gluster.h"
#include "gluster/operation-verbs.h"
#include "gluster/removal.h"
#include "gluster/volume-verbs.h"

struct remove_args {
    char *volume;
    char **bricks;
    int64_t replica;
    bool force;
};

struct end_args {
    char *volume;
    char **bricks;
    bool force;
};

static enum outcome
remove_check(struct call *call)
{
    const struct remove_args *args = call->args;
    struct error *error = NULL;
    size_t count;

    return bricks_check("bricks", args->bricks, &count, &error) ? call_complete(call, NULL)
                                                                : call_fail(call, error);
}

static bool
ask_removal(struct call *call, const char *volume, int64_t replica, char *const *bricks,
            const char *action, struct xml_document **ret_document, struct error **err)
{
    _cleanup_arguments_ struct arguments arguments = { 0 };
    struct gluster_command command = {
        .kind = "volume", .id = volume, .param = "bricks", .abort = call_abort_flag(call)
    };

    removal_arguments(&arguments, volume, replica, bricks, action);
    command.arguments = arguments_list(&arguments);
    return gluster_command_run(&command, ret_document, err);
}

static enum outcome
remove_begin(struct call *call)
{
    const struct remove_args *args = call->args;
    const char *action = args->force ? "force" : "start";
    _cleanup_volume_work_ struct volume_work work = { 0 };
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    struct error *error = NULL;

    if (!volume_work_ask(args->volume, call_abort_flag(call), &work, &error))
        return gluster_command_fail(call, error);
    if (!removal_check_begin(work.volume, work.operation, args->bricks, args->replica, args->force,
                             &error))
        return call_fail(call, error);
    if (!ask_removal(call, args->volume, args->replica, args->bricks, action, &document, &error))
        return operation_refused(call, args->volume, error);
    operation_begun_write(
        call, args->volume,
        args->force ? NULL : xml_text(xml_child(xml_root(document), "volRemoveBrick"), "task-id"),
        OPERATION_REMOVAL);
    return call_complete(call, args->force ? "the bricks are gone" : NULL);
}

static enum outcome
end_check(struct call *call)
{
    const struct end_args *args = call->args;
    struct error *error = NULL;
    size_t count;

    return !args->bricks || bricks_check("bricks", args->bricks, &count, &error)
               ? call_complete(call, NULL)
               : call_fail(call, error);
}

/* Whether none of the bricks is the volume's, or each is. */
static bool
all_are(const struct volume *volume, char *const *bricks, bool present)
{
    for (; *bricks; bricks++)
        if ((volume_brick_find(volume, *bricks) >= 0) != present)
            return false;
    return true;
}

static enum outcome
end(struct call *call, const struct volume_work *work, const char *action)
{
    const struct end_args *args = call->args;
    struct error *error = NULL;

    return ask_removal(call, args->volume, 0, work->operation->bricks, action, NULL, &error)
               ? call_complete(call, NULL)
               : operation_refused(call, args->volume, error);
}

static enum outcome
commit_act(struct call *call)
{
    const struct end_args *args = call->args;
    _cleanup_volume_work_ struct volume_work work = { 0 };
    struct error *error = NULL;

    if (!volume_work_ask(args->volume, call_abort_flag(call), &work, &error) ||
        !volume_check_started(work.volume, &error))
        return gluster_command_fail(call, error);
    if (args->bricks && !removal_is_of(work.operation, args->bricks) &&
        all_are(work.volume, args->bricks, false))
        return call_complete(call, "the bricks are gone already");
    if (!removal_check_commit(work.operation, args->bricks, args->force, &error))
        return call_fail(call, error);
    return end(call, &work, args->force ? "force" : "commit");
}

static enum outcome
cancel_act(struct call *call)
{
    const struct end_args *args = call->args;
    _cleanup_volume_work_ struct volume_work work = { 0 };
    struct error *error = NULL;

    if (!volume_work_ask(args->volume, call_abort_flag(call), &work, &error) ||
        !volume_check_started(work.volume, &error))
        return gluster_command_fail(call, error);
    if (args->bricks && !removal_is(work.operation) && all_are(work.volume, args->bricks, true))
        return call_complete(call, "the bricks are not being removed");
    if (!removal_check_cancel(work.operation, args->bricks, &error))
        return call_fail(call, error);
    return end(call, &work, "stop");
}

static enum outcome
end_tell(struct call *call)
{
    const struct end_args *args = call->args;

    return volume_answer_step(call, args->volume);
}

const struct verb removal_verbs[] = {
    {
        .name = "brick.remove",
        .summary = "Begin to take bricks out of a volume: their files move to the other bricks.",
        .description =
            "Answers when glusterd has registered it, with glusterd's id, after some 5 to 10 seconds: "
            "glusterd takes that long.  volume.operations follows it, on any host of the pool; when it "
            "waits for commit, brick.commit ends it, and brick.cancel does at any time.  brick.setOffline "
            "does all of that by itself.  Called again: WrongState, with the id of the one there is.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct remove_args),
        .params = PARAMS(
            VOLUME_PARAM(remove_args),
            BRICKS_PARAM(remove_args, "The bricks, as HOST:/PATH: whole sets of copies, unless "
                                      "'replica' is given."),
            PARAM(
                remove_args, replica, "replica", .type = PARAM_INTEGER, .minimum = 1,
                .maximum = 1000,
                .about =
                    "How many copies there are to be from then on: 'bricks' then names the others "
                    "of each set.  glusterd moves nothing for that, so it needs 'force'."),
            PARAM(
                remove_args, force, "force", .type = PARAM_BOOL,
                .about =
                    "Take the bricks out at once, and move nothing: files of which there is no copy "
                    "elsewhere are gone from the volume.")),
        .result = &operation_begun_shape,
        .follow = &operation_follow,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "check", remove_check, .pool = POOL_LOOP },
                       { "register", remove_begin, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "brick.commit",
        .summary = "End a removal of bricks that has moved all their files: the bricks are gone.",
        .description =
            "Answers the volume as it is then.  Refused while the removal runs, when it left files "
            "behind, and while a host of it does not answer: with 'force' those files are lost to the "
            "volume.  Called again with 'bricks': the same answer.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct end_args),
        .params = PARAMS(
            VOLUME_PARAM(end_args),
            PARAM(end_args, bricks, "bricks", .type = PARAM_TEXTS,
                  .about = "Refuse unless these are the bricks being removed.  May be left out."),
            PARAM(end_args, force, "force", .type = PARAM_BOOL,
                  .about = "Commit whatever is left on the bricks.")),
        .result = &volume_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "check", end_check, .pool = POOL_LOOP },
                       { "commit", commit_act, .pool = POOL_GLUSTER },
                       { "tell the volume", end_tell, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "brick.cancel",
        .summary = "Cancel a removal of bricks: they stay, and serve as before.",
        .description =
            "Answers the volume.  Works until the removal is committed.  Files that were moved stay where "
            "they are; a rebalance spreads them again.  Called again with 'bricks': the same answer.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct end_args),
        .params = PARAMS(
            VOLUME_PARAM(end_args),
            PARAM(end_args, bricks, "bricks", .type = PARAM_TEXTS,
                  .about = "Refuse unless these are the bricks being removed.  May be left out.")),
        .result = &volume_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "check", end_check, .pool = POOL_LOOP },
                       { "cancel", cancel_act, .pool = POOL_GLUSTER },
                       { "tell the volume", end_tell, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    { 0 },
};
