/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume's life.  Each step is one transaction of glusterd's, which ends by itself whatever becomes of the
 * agent that asked: what has come of it is told by volume.list, on any host.
 */
#include <config.h>

#include "gluster/arguments.h"
#include "gluster/brick.h"
#include "gluster/command.h"
#include "gluster/gluster.h"
#include "gluster/volume-layout.h"
#include "gluster/volume-verbs.h"
#include "gluster/volume.h"

/* ---- create ---- */

struct create_args {
    char *volume;
    char **bricks;
    int64_t replica, arbiter, disperse, redundancy;
    const char *transport;
    bool force, start;
};

static enum outcome
create_check(struct call *call)
{
    const struct create_args *args = call->args;
    struct volume_layout *layout = call->state;
    struct error *error = NULL;
    const char *advice;

    *layout = (struct volume_layout){ .replica = args->replica,
                                      .arbiter = args->arbiter,
                                      .disperse = args->disperse,
                                      .redundancy = args->redundancy,
                                      .bricks = args->bricks,
                                      .force = args->force };
    if (!volume_name_check(args->volume, &error) || !volume_layout_check(layout, &error))
        return call_fail(call, error);
    advice = volume_layout_advice(layout);
    return advice ? call_complete(call, "%s", advice) : call_complete(call, NULL);
}

static enum outcome
create_run(struct call *call)
{
    const struct create_args *args = call->args;
    const struct volume_layout *layout = call->state;
    _cleanup_arguments_ struct arguments words = { 0 };
    struct gluster_command command = {
        .kind = "volume", .id = args->volume, .param = "bricks", .abort = call_abort_flag(call)
    };
    struct error *error = NULL;

    arguments_add_all(&words, GLUSTER_ARGUMENTS("volume", "create", args->volume));
    arguments_add_count(&words, "replica", layout->replica);
    arguments_add_count(&words, "arbiter", layout->arbiter);
    arguments_add_count(&words, "disperse", layout->disperse);
    arguments_add_count(&words, "redundancy", layout->redundancy);
    arguments_add_all(&words, GLUSTER_ARGUMENTS("transport", args->transport));
    arguments_add_all(&words, (const char *const *)args->bricks);
    if (args->force)
        arguments_add(&words, "force");
    command.arguments = arguments_list(&words);
    return gluster_command_run(&command, NULL, &error) ? call_complete(call, NULL)
                                                       : gluster_command_fail(call, error);
}

static bool
create_starts(const struct call *call)
{
    return ((const struct create_args *)call->args)->start;
}

static enum outcome
create_start(struct call *call)
{
    const struct create_args *args = call->args;

    return volume_command_step(call, args->volume,
                               GLUSTER_ARGUMENTS("volume", "start", args->volume));
}

static enum outcome
create_answer(struct call *call)
{
    return volume_answer_step(call, ((const struct create_args *)call->args)->volume);
}

/* ---- start, stop, delete ---- */

struct state_args {
    char *volume;
    bool force;
};

/* "volume WHAT NAME [force]" */
static enum outcome
run_state(struct call *call, const char *what)
{
    const struct state_args *args = call->args;

    return volume_command_step(
        call, args->volume,
        GLUSTER_ARGUMENTS("volume", what, args->volume, args->force ? "force" : NULL));
}

static enum outcome
start_run(struct call *call)
{
    return run_state(call, "start");
}

static enum outcome
stop_run(struct call *call)
{
    return run_state(call, "stop");
}

static enum outcome
state_answer(struct call *call)
{
    return volume_answer_step(call, ((const struct state_args *)call->args)->volume);
}

struct delete_args {
    char *volume;
};

static enum outcome
delete_run(struct call *call)
{
    const struct delete_args *args = call->args;

    return volume_command_step(call, args->volume,
                               GLUSTER_ARGUMENTS("volume", "delete", args->volume));
}

const struct verb volume_life_verbs[] = {
    {
        .name = "volume.create",
        .summary = "Make a volume of bricks.",
        .description =
            "Without counts it is a distributed volume. More bricks than a set has make several "
            "sets, in the order of the bricks. A second call answers AlreadyExists once the volume "
            "is there, also when the first was cut short: volume.list tells what it is made of. A "
            "folder that was a brick before, even of a volume.create that failed or of a volume "
            "that was deleted, answers WrongState unless forced.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct create_args),
        .params = PARAMS(
            VOLUME_PARAM(create_args),
            BRICKS_PARAM(create_args, "Its bricks, each HOST:/PATH, whose last folder is made; "
                                      "those of a set follow each other."),
            PARAM(create_args, replica, "replica", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = BRICKS_MAX,
                  .about = "How many bricks have each file; none: every file is on one brick."),
            PARAM(create_args, arbiter, "arbiter", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = BRICKS_MAX,
                  .about =
                      "1: the third brick of each set has names only, no data; replica is 3 then "
                      "(2 means the same, as with gluster)."),
            PARAM(create_args, disperse, "disperse", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = BRICKS_MAX,
                  .about =
                      "How many bricks each file is spread over, with redundancy; with only the "
                      "latter, over all."),
            PARAM(create_args, redundancy, "redundancy", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = BRICKS_MAX,
                  .about =
                      "How many bricks of a dispersed set may be lost; less than half. As many "
                      "as leave a power of two, else 1."),
            PARAM(create_args, transport, "transport", .type = PARAM_CHOICE,
                  .choices = CHOICES("tcp"), .fallback = "\"tcp\"",
                  .about =
                      "How clients reach the bricks; glusterd starts no rdma since version 8."),
            PARAM(create_args, force, "force", .type = PARAM_BOOL,
                  .about =
                      "Take bricks of a set on one host, on the root disk, and folders that were "
                      "bricks before."),
            PARAM(create_args, start, "start", .type = PARAM_BOOL, .about = "Start it too.")),
        .result = &volume_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_ALREADY_EXISTS, ERROR_WRONG_STATE, ERROR_NOT_FOUND),
        .steps = STEPS({ "check", create_check, .pool = POOL_LOOP },
                       { "create", create_run, .pool = POOL_GLUSTER },
                       { "start", create_start, .pool = POOL_GLUSTER, .only_if = create_starts },
                       { "look", create_answer, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct volume_layout),
        .object = volume_name_object,
    },
    {
        .name = "volume.start",
        .summary = "Start a volume's bricks.",
        .description = "A second call answers WrongState, as the volume is started.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct state_args),
        .params = PARAMS(VOLUME_PARAM(state_args),
                         PARAM(state_args, force, "force", .type = PARAM_BOOL,
                               .about = "Start bricks that have died in a started volume, too.")),
        .result = &volume_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "start", start_run, .pool = POOL_GLUSTER },
                       { "look", state_answer, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "volume.stop",
        .summary = "Stop a volume: its data can no longer be reached.",
        .description = "A second call answers WrongState, as the volume is stopped.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct state_args),
        .params =
            PARAMS(VOLUME_PARAM(state_args),
                   PARAM(state_args, force, "force", .type = PARAM_BOOL,
                         .about = "Even when something still works on it, a rebalance for one.")),
        .result = &volume_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "stop", stop_run, .pool = POOL_GLUSTER },
                       { "look", state_answer, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "volume.delete",
        .summary = "Delete a stopped volume; what is on its bricks stays.",
        .description = "A second call answers NotFound.",
        .role = ROLE_ADMIN,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct delete_args),
        .params = PARAMS(VOLUME_PARAM(delete_args)),
        .result = &empty_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "delete", delete_run, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    { 0 },
};
