/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bricks that come and take each other's place.  Each verb looks at the volume, judges, and gives glusterd one
 * command: what has become of it is told by the volume's bricks, on any host.
 */
#include <config.h>

#include <string.h>

#include "gluster/arguments.h"
#include "gluster/brick-spare.h"
#include "gluster/brick.h"
#include "gluster/command.h"
#include "gluster/gluster.h"
#include "gluster/volume-layout.h"
#include "gluster/volume-verbs.h"
#include "gluster/volume.h"

static enum outcome
run(struct call *call, const char *volume, const char *param, const struct arguments *words)
{
    const struct gluster_command command = { .arguments = arguments_list(words),
                                             .kind = "volume",
                                             .id = volume,
                                             .param = param,
                                             .abort = call_abort_flag(call) };
    struct error *error = NULL;

    if (gluster_command_run(&command, NULL, &error))
        return call_complete(call, NULL);
    /* All that 10.3 says of a host that is in no pool; only glusterd knows a peer's other names. */
    if (strcasestr(error->message, "pre-validation failed on localhost"))
        error_wrap(&error, "a brick's host may be no peer, which peer.list would show");
    return gluster_command_fail(call, error);
}

/* ---- add ---- */

struct add_args {
    char *volume;
    char **bricks;
    int64_t replica, arbiter;
    bool force;
};

struct add_state {
    int64_t replica, arbiter; /* what sets are to be from now on; 0: as they are */
};

/*
 * Directories of a volume with one set have no mark of which brick holds their modes, and clients of 10.3 then
 * take them from the new, empty set: within seconds they are 000 everywhere, for good, and some are not listed
 * (gluster/glusterfs issues 3064 and 1513; seen with every kind of volume, mounted or not).  With two
 * sets and more it does not happen.
 */
static bool
check_growth(const struct add_args *args, const struct volume *volume, struct error **err)
{
    if (args->force || volume->distribute > 1 || strcmp(volume->state, "created") == 0)
        return true;
    error_set(
        err, ERROR_WRONG_STATE,
        "volume '%s' has one set of bricks: with a second one the clients of glusterfs 10 clear "
        "the modes of its directories; make a new volume of several sets, or pass 'force' and "
        "set the modes again",
        volume->name);
    error_data_text(err, "state", "one set of bricks");
    return error_data_text(err, "needs",
                           "a volume of several sets, or one never started, or force");
}

static enum outcome
add_check(struct call *call)
{
    const struct add_args *args = call->args;
    struct add_state *state = call->state;
    struct volume_layout layout = { .replica = args->replica,
                                    .arbiter = args->arbiter,
                                    .bricks = args->bricks,
                                    .force = args->force };
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct error *error = NULL;
    bool good;

    if (!volumes_ask(args->volume, call_abort_flag(call), &volumes, &error))
        return gluster_command_fail(call, error);
    if (!volume_layout_check_added(&layout, &volumes.all[0], &error))
        return call_fail(call, error);
    *state = (struct add_state){ 0 };
    if (layout.replica == (int64_t)volumes.all[0].replica) {
        good = check_growth(args, &volumes.all[0], &error);
    } else {
        /* Forced or not: glusterd looks only when it is not, and copies would be made of nothing. */
        *state = (struct add_state){ layout.replica, layout.arbiter };
        good = bricks_ask_online(&volumes, call_abort_flag(call), &error);
    }
    return good ? call_complete(call, NULL) : gluster_command_fail(call, error);
}

static enum outcome
add_run(struct call *call)
{
    const struct add_args *args = call->args;
    const struct add_state *state = call->state;
    _cleanup_arguments_ struct arguments words = { 0 };

    arguments_add_all(&words, GLUSTER_ARGUMENTS("volume", "add-brick", args->volume));
    arguments_add_count(&words, "replica", state->replica);
    arguments_add_count(&words, "arbiter", state->arbiter);
    arguments_add_all(&words, (const char *const *)args->bricks);
    if (args->force)
        arguments_add(&words, "force");
    return run(call, args->volume, "bricks", &words);
}

static enum outcome
add_answer(struct call *call)
{
    return volume_answer_step(call, ((const struct add_args *)call->args)->volume);
}

/* ---- replace ---- */

struct replace_args {
    char *volume;
    char *brick, *new_brick;
    bool force;
};

/* The new brick is none of the volume's, and does not share a set's host unless forced. */
static bool
check_new_brick(const struct volume *volume, size_t index, const struct replace_args *args,
                struct error **err)
{
    size_t size = volume_set_size(volume), first = index / size * size;
    size_t host = (size_t)(strstr(args->new_brick, ":/") - args->new_brick) + 1;

    for (size_t i = first; !args->force && i < first + size && i < volume->brick_count; i++)
        if (i != index && strncasecmp(volume->bricks[i].name, args->new_brick, host) == 0)
            return error_param(err, "newBrick",
                               "'%s' is on the host of '%s', which is of the same set: take "
                               "another host, or pass 'force'",
                               args->new_brick, volume->bricks[i].name);
    return true;
}

static bool
check_replace(struct call *call, struct volumes *volumes, struct error **err)
{
    const struct replace_args *args = call->args;
    const struct volume *volume = &volumes->all[0];
    size_t index = 0;

    if (volume_brick_find(volume, args->new_brick) >= 0) {
        error_set(err, ERROR_ALREADY_EXISTS, "volume '%s' has brick '%s' already", volume->name,
                  args->new_brick);
        error_data_text(err, "kind", "brick");
        return error_data_text(err, "id", "%s", args->new_brick);
    }
    if (!volume_brick_require(volume, args->brick, &index, err) ||
        !check_new_brick(volume, index, args, err))
        return false;
    if (!brick_spare_check_copies(volume, err)) /* forced or not: glusterd refuses it too */
        return false;
    return args->force || brick_spare_check(volumes, index, call_abort_flag(call), err);
}

static enum outcome
replace_check(struct call *call)
{
    const struct replace_args *args = call->args;
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct error *error = NULL;

    if (!brick_check("brick", args->brick, &error) ||
        !brick_check("newBrick", args->new_brick, &error))
        return call_fail(call, error);
    return volumes_ask(args->volume, call_abort_flag(call), &volumes, &error) &&
                   check_replace(call, &volumes, &error)
               ? call_complete(call, NULL)
               : gluster_command_fail(call, error);
}

static enum outcome
replace_run(struct call *call)
{
    const struct replace_args *args = call->args;
    _cleanup_arguments_ struct arguments words = { 0 };

    /* "commit force" is all there is since version 3.7. */
    arguments_add_all(&words, GLUSTER_ARGUMENTS("volume", "replace-brick", args->volume,
                                                args->brick, args->new_brick, "commit", "force"));
    return run(call, args->volume, "newBrick", &words);
}

static enum outcome
replace_answer(struct call *call)
{
    return volume_answer_step(call, ((const struct replace_args *)call->args)->volume);
}

/* ---- reset ---- */

struct reset_args {
    char *volume;
    char *brick, *new_brick;
    const char *action; /* "start" or "commit" */
    bool force;
};

static bool
is_start(const struct reset_args *args)
{
    return strcmp(args->action, "start") == 0;
}

static bool
check_reset_names(const struct reset_args *args, struct error **err)
{
    if (!brick_check("brick", args->brick, err))
        return false;
    if (!args->new_brick)
        return true;
    if (is_start(args))
        return error_param(err, "newBrick", "is for 'action' commit only");
    if (!brick_check("newBrick", args->new_brick, err))
        return false;
    return strcmp(strstr(args->brick, ":/"), strstr(args->new_brick, ":/")) == 0 ||
           error_param(err, "newBrick",
                       "must have the path of '%s', as the same brick by another name of its "
                       "host: brick.replace takes another one",
                       args->brick);
}

static enum outcome
reset_check(struct call *call)
{
    const struct reset_args *args = call->args;
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct error *error = NULL;
    size_t index = 0;

    if (!check_reset_names(args, &error))
        return call_fail(call, error);
    if (!volumes_ask(args->volume, call_abort_flag(call), &volumes, &error) ||
        !volume_brick_require(&volumes.all[0], args->brick, &index, &error))
        return gluster_command_fail(call, error);
    if (!is_start(args) || args->force)
        return call_complete(call, NULL);
    return brick_spare_check(&volumes, index, call_abort_flag(call), &error)
               ? call_complete(call, NULL)
               : gluster_command_fail(call, error);
}

static enum outcome
reset_run(struct call *call)
{
    const struct reset_args *args = call->args;
    _cleanup_arguments_ struct arguments words = { 0 };

    arguments_add_all(&words,
                      GLUSTER_ARGUMENTS("volume", "reset-brick", args->volume, args->brick));
    if (is_start(args))
        arguments_add(&words, "start");
    else
        arguments_add_all(&words, GLUSTER_ARGUMENTS(args->new_brick ? args->new_brick : args->brick,
                                                    "commit", args->force ? "force" : NULL));
    return run(call, args->volume, args->new_brick ? "newBrick" : "brick", &words);
}

static enum outcome
reset_answer(struct call *call)
{
    return volume_answer_step(call, ((const struct reset_args *)call->args)->volume);
}

#define BRICK_PARAM(args)                                                                          \
    PARAM(args, brick, "brick", .type = PARAM_TEXT, .required = true,                              \
          .about = "The brick, as volume.list names it.")

const struct verb brick_verbs[] = {
    {
        .name = "brick.add",
        .summary = "Add bricks to a volume: more sets, or more replicas in each.",
        .description =
            "Without 'replica' whole sets are added, as those that the volume has; old files move to "
            "them with volume.rebalance only. A volume of one set gets a second one when forced only, as "
            "directories lose their modes. A larger 'replica' adds bricks to each set, in the order "
            "of the sets, and they are healed from the others. A second call answers AlreadyExists.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct add_args),
        .params = PARAMS(
            VOLUME_PARAM(add_args),
            BRICKS_PARAM(add_args, "The new bricks, each HOST:/PATH, whose last folder is made."),
            PARAM(add_args, replica, "replica", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = BRICKS_MAX,
                  .about = "How many bricks are to have each file; none: as many as have it."),
            PARAM(add_args, arbiter, "arbiter", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = BRICKS_MAX,
                  .about = "1: those added to a volume of two replicas become arbiters; replica is "
                           "3 then."),
            PARAM(add_args, force, "force", .type = PARAM_BOOL,
                  .about =
                      "Take bricks of a set on one host, on the root disk, and folders that were "
                      "bricks before.")),
        .result = &volume_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_ALREADY_EXISTS, ERROR_WRONG_STATE),
        .steps = STEPS({ "check", add_check, .pool = POOL_GLUSTER },
                       { "add", add_run, .pool = POOL_GLUSTER },
                       { "look", add_answer, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct add_state),
        .object = volume_name_object,
    },
    {
        .name = "brick.replace",
        .summary = "Put a new brick in the place of another, and heal it from the rest of its set.",
        .description =
            "Refused when the rest of the set lacks anything: a brick of it is offline, or is still "
            "to be healed from the one that goes. A second call answers AlreadyExists, as the volume "
            "has the new brick.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct replace_args),
        .params = PARAMS(
            VOLUME_PARAM(replace_args), BRICK_PARAM(replace_args),
            PARAM(replace_args, new_brick, "newBrick", .type = PARAM_TEXT, .required = true,
                  .about = "What takes its place, HOST:/PATH; its last folder is made."),
            PARAM(replace_args, force, "force", .type = PARAM_BOOL,
                  .about = "Even when data is lost with the brick, or when it shares a host.")),
        .result = &volume_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_ALREADY_EXISTS, ERROR_WRONG_STATE),
        .steps = STEPS({ "check", replace_check, .pool = POOL_GLUSTER },
                       { "replace", replace_run, .pool = POOL_GLUSTER },
                       { "look", replace_answer, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "brick.reset",
        .summary = "Take a brick offline to renew its disk, and take it in again under its name.",
        .description =
            "'start' takes it offline; then its folder is made anew, and 'commit' takes it in again "
            "and heals it. Until then volume.status tells that it is offline. 'start' may be sent "
            "again; a second 'commit' answers WrongState, as the brick is online.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct reset_args),
        .params = PARAMS(
            VOLUME_PARAM(reset_args), BRICK_PARAM(reset_args),
            PARAM(reset_args, action, "action", .type = PARAM_CHOICE, .required = true,
                  .choices = CHOICES("start", "commit"),
                  .about = "start: take it offline; commit: take it in again."),
            PARAM(reset_args, new_brick, "newBrick", .type = PARAM_TEXT,
                  .about = "With commit: the same brick by another name or address of its host."),
            PARAM(reset_args, force, "force", .type = PARAM_BOOL,
                  .about =
                      "start: even when the rest of its set lacks something. commit: with what is "
                      "in its folder.")),
        .result = &volume_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "check", reset_check, .pool = POOL_GLUSTER },
                       { "reset", reset_run, .pool = POOL_GLUSTER },
                       { "look", reset_answer, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    { 0 },
};
