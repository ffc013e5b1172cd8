/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cloning.  glusterd clones activated snapshots only; to clone a volume, a snapshot of it is taken, activated,
 * cloned and removed.
 *
 * Killed anywhere between, what is left is one snapshot, and perhaps the clone.  The snapshot's name says
 * what it was for: "hostler-clone-CLONE-XXXXXXXX", the end of it random.  So the call that comes
 * again finds it: with no clone, it takes a new snapshot, of the volume as it is now, and removes the old
 * one; with the clone, the work was done but for removing the snapshot, which it does, and answers
 * as the first call would have.  A volume that is there under the clone's name and is none is never taken
 * for it: the bricks of a clone lie below a folder that has its UUID for a name (glusterd 10.3).
 */
#include <config.h>

#include <string.h>

#include "agent/base/name.h"
#include "gluster/gluster.h"
#include "gluster/snapshot.h"
#include "gluster/volume-verbs.h"
#include "gluster/volume.h"

#define PREFIX "hostler-clone-"
#define RANDOM_LENGTH 8

struct clone_args {
    char *clone, *snapshot, *volume;
};

struct clone_state {
    char *snapshot; /* owned; what is cloned */
    bool left;      /* an earlier call left a snapshot */
    bool made;      /* the clone is there */
};

static const struct shape clone_shape = {
    .name = "VolumeRef",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\",\"uuid\"],"
        "\"properties\":{\"volume\":{\"type\":\"string\"},\"uuid\":{\"type\":\"string\"}}}",
};

static void
clone_object(const void *args, struct object_name *ret_object)
{
    const struct clone_args *named = args;

    *ret_object = (struct object_name){ .kind = "volume", .id = named->clone };
}

static void
clone_done(struct call *call)
{
    struct clone_state *state = call->state;

    free(state->snapshot);
}

static void
write_ref(struct call *call, const char *name, const char *uuid)
{
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "volume", name);
    writer_member_string(writer, "uuid", uuid);
    writer_end_object(writer);
}

/* ---- what an earlier call left ---- */

/* Whether 'name' is a snapshot that was taken to make 'clone': of "a-b" none of "a". */
static bool
is_for(const char *name, const char *clone)
{
    size_t prefix = strlen(PREFIX), length = strlen(clone);
    const char *random;

    if (strncmp(name, PREFIX, prefix) != 0 || strncmp(name + prefix, clone, length) != 0 ||
        name[prefix + length] != '-')
        return false;
    random = name + prefix + length + 1;
    return strlen(random) == RANDOM_LENGTH && strspn(random, "0123456789abcdef") == RANDOM_LENGTH;
}

static char *
name_snapshot(const char *clone)
{
    char uuid[UUID_TEXT_SIZE];

    uuid_make(uuid);
    return xprintf(PREFIX "%s-%.*s", clone, RANDOM_LENGTH, uuid);
}

static bool
is_clone(const struct volume *volume)
{
    _cleanup_text_ struct text folder = TEXT_INIT;

    text_append_string(&folder, "/snaps/");
    for (const char *at = volume->uuid; *at; at++)
        if (*at != '-')
            text_append_char(&folder, *at);
    text_append_char(&folder, '/');
    for (size_t i = 0; i < volume->brick_count; i++)
        if (!strstr(volume->bricks[i].name, folder.bytes))
            return false;
    return volume->brick_count > 0;
}

/* The volume under the clone's name, if there is one. */
static bool
find_clone(struct call *call, struct volumes *ret_volumes, struct error **err)
{
    const struct clone_args *args = call->args;

    if (volumes_ask(args->clone, call_abort_flag(call), ret_volumes, err))
        return true;
    if ((*err)->code != ERROR_NOT_FOUND)
        return false;
    error_free(TAKE(*err));
    return true;
}

static bool
find_left(struct call *call, bool *ret_left, struct error **err)
{
    const struct clone_args *args = call->args;
    _cleanup_snapshots_ struct volume_snapshots snapshots = { 0 };

    if (!volume_snapshots_ask(args->volume, false, call_abort_flag(call), &snapshots, err))
        return false;
    *ret_left = false;
    for (size_t i = 0; i < snapshots.count; i++)
        *ret_left |= is_for(snapshots.all[i].name, args->clone);
    return true;
}

static bool
check_args(const struct clone_args *args, struct error **err)
{
    if (!args->snapshot && !args->volume)
        return error_param(err, "snapshot", "must be given, or 'volume'");
    if (args->snapshot && args->volume)
        return error_param(err, "volume", "must not be given together with 'snapshot'");
    return volume_snapshot_name_check("clone", args->clone, err) &&
           (!args->snapshot || volume_snapshot_name_check("snapshot", args->snapshot, err));
}

static bool
look(struct call *call, struct error **err)
{
    const struct clone_args *args = call->args;
    struct clone_state *state = call->state;
    _cleanup_volumes_ struct volumes found = { 0 };

    if (!check_args(args, err))
        return false;
    if (args->snapshot) {
        state->snapshot = xstrdup(args->snapshot);
        return true;
    }
    if (!find_left(call, &state->left, err) || !find_clone(call, &found, err))
        return false;
    if (!found.count) {
        state->snapshot = name_snapshot(args->clone);
        return true;
    }
    if (state->left && is_clone(&found.all[0])) {
        state->made = true;
        write_ref(call, found.all[0].name, found.all[0].uuid);
        return true;
    }
    error_set(err, ERROR_ALREADY_EXISTS, "there is a volume '%s' already", args->clone);
    error_data_text(err, "kind", "volume");
    return error_data_text(err, "id", "%s", args->clone);
}

static enum outcome
clone_look(struct call *call)
{
    struct clone_state *state = call->state;
    struct error *error = NULL;

    if (!look(call, &error))
        return gluster_command_fail(call, error);
    return call_complete(call, "%s",
                         state->made   ? "an earlier call made it, and left its snapshot"
                         : state->left ? "an earlier call left its snapshot"
                                       : "there is none yet");
}

/* ---- steps ---- */

static bool
of_volume(const struct call *call)
{
    return ((const struct clone_args *)call->args)->volume != NULL;
}

static bool
is_to_be_made(const struct call *call)
{
    return !((const struct clone_state *)call->state)->made;
}

static bool
is_to_be_taken(const struct call *call)
{
    return of_volume(call) && is_to_be_made(call);
}

static bool
is_left(const struct call *call)
{
    return ((const struct clone_state *)call->state)->left && is_to_be_made(call);
}

/* "snapshot WORD..."; true also when it fails with 'survived'. */
static bool
run(const char *const *arguments, const struct clone_args *args, const char *snapshot,
    const atomic_bool *abort, enum error_code survived, struct xml_document **ret_document,
    struct error **err)
{
    bool takes = strcmp(arguments[1], "create") == 0;
    const struct gluster_command command = {
        .arguments = arguments,
        .kind = takes ? "volume" : "snapshot",
        .id = takes ? args->volume : snapshot,
        .made_kind = takes ? "snapshot" : "volume",
        .made_id = takes ? snapshot : args->clone,
        .abort = abort,
    };

    if (gluster_command_run(&command, ret_document, err))
        return true;
    if ((*err)->code != survived)
        return false;
    error_free(TAKE(*err));
    return true;
}

static enum outcome
clone_take(struct call *call)
{
    const struct clone_args *args = call->args;
    const struct clone_state *state = call->state;
    _cleanup_free_ char *description =
        xprintf("taken by hostler to clone %s as %s", args->volume, args->clone);
    struct error *error = NULL;

    if (!run(GLUSTER_ARGUMENTS("snapshot", "create", state->snapshot, args->volume, "no-timestamp",
                               "description", description),
             args, state->snapshot, call_abort_flag(call), ERROR_NONE, NULL, &error))
        return gluster_command_fail(call, error);
    return call_complete(call, "%s", state->snapshot);
}

/* It may have been born active: activate-on-create is one of glusterd's options. */
static enum outcome
clone_activate(struct call *call)
{
    const struct clone_state *state = call->state;
    struct error *error = NULL;

    if (!run(GLUSTER_ARGUMENTS("snapshot", "activate", state->snapshot), call->args,
             state->snapshot, call_abort_flag(call), ERROR_WRONG_STATE, NULL, &error))
        return gluster_command_fail(call, error);
    return call_complete(call, NULL);
}

static enum outcome
clone_make(struct call *call)
{
    const struct clone_args *args = call->args;
    struct clone_state *state = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    const struct xml_node *made;
    struct error *error = NULL;

    if (!run(GLUSTER_ARGUMENTS("snapshot", "clone", args->clone, state->snapshot), args,
             state->snapshot, call_abort_flag(call), ERROR_NONE, &document, &error))
        return gluster_command_fail(call, error);
    made = xml_child(xml_child(xml_root(document), "CloneCreate"), "volume");
    write_ref(call, args->clone, xml_text(made, "uuid"));
    return call_complete(call, NULL);
}

/* All that were taken for this clone: what the gluster of a killed agent had begun may have come to be since
   it was looked for. */
static enum outcome
clone_sweep(struct call *call)
{
    const struct clone_args *args = call->args;
    _cleanup_snapshots_ struct volume_snapshots snapshots = { 0 };
    struct error *error = NULL;
    unsigned removed = 0;

    if (!volume_snapshots_ask(args->volume, false, call_abort_flag(call), &snapshots, &error))
        return gluster_command_fail(call, error);
    for (size_t i = 0; i < snapshots.count; i++) {
        const char *name = snapshots.all[i].name;

        if (!is_for(name, args->clone))
            continue;
        if (!run(GLUSTER_ARGUMENTS("snapshot", "delete", name), args, name, call_abort_flag(call),
                 ERROR_NOT_FOUND, NULL, &error))
            return gluster_command_fail(call, error);
        removed++;
    }
    return call_complete(call, "%u removed", removed);
}

/* Whatever has failed: the one of this call, if it got as far. */
static enum outcome
clone_undo(struct call *call)
{
    const struct clone_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!state->snapshot)
        return call_complete(call, "it was not begun");
    if (run(GLUSTER_ARGUMENTS("snapshot", "delete", state->snapshot), call->args, state->snapshot,
            NULL, ERROR_NOT_FOUND, NULL, &error))
        return call_complete(call, NULL);
    if (error->code == ERROR_BUSY)
        return gluster_command_fail(call, TAKE(error));
    return call_complete(call, "snapshot '%s' may be left: %s", state->snapshot, error->message);
}

const struct verb clone_verbs[] = {
    {
        .name = "volume.clone",
        .summary = "Make a new volume that begins with what a snapshot, or a volume, holds.",
        .description =
            "Of a snapshot, which must be active; or of a started volume as it is now: then a snapshot is "
            "taken and removed again, and a call that was cut short can simply be made again. The "
            "clone shares its blocks with what it was made of until either is written to, and must be started.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct clone_args),
        .params = PARAMS(PARAM(clone_args, clone, "clone", .type = PARAM_NAME, .required = true,
                               .about = "The new volume's name."),
                         PARAM(clone_args, snapshot, "snapshot", .type = PARAM_NAME,
                               .about = "The snapshot to clone."),
                         PARAM(clone_args, volume, "volume", .type = PARAM_NAME,
                               .about = "The volume to clone, instead of a snapshot.")),
        .result = &clone_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_ALREADY_EXISTS, ERROR_WRONG_STATE,
                         ERROR_LIMIT_EXCEEDED, GLUSTER_ERRORS),
        .steps = STEPS(
            { "look", clone_look, .pool = POOL_GLUSTER },
            { "remove what was left", clone_sweep, .pool = POOL_GLUSTER, .only_if = is_left },
            { "take a snapshot", clone_take, .pool = POOL_GLUSTER, .only_if = is_to_be_taken },
            { "activate it", clone_activate, .pool = POOL_GLUSTER, .only_if = is_to_be_taken },
            { "clone it", clone_make, .pool = POOL_GLUSTER, .only_if = is_to_be_made },
            { "remove the snapshot", clone_sweep, .pool = POOL_GLUSTER, .only_if = of_volume },
            { "remove the snapshot after a failure", clone_undo, .pool = POOL_GLUSTER,
              .when = ON_FAILURE, .only_if = of_volume },
            GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct clone_state),
        .state_done = clone_done,
        .object = clone_object,
    },
    { 0 },
};
