/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: each verb is one command of glusterd's, which tells in "volume.snapshots" what came of it if
 * nobody was there any more to hear the answer.
 */
#include <config.h>

#include "gluster/gluster.h"
#include "gluster/snapshot.h"
#include "gluster/volume-verbs.h"

struct take_args {
    char *volume, *snapshot, *description;
};

struct list_args {
    char *volume;
    bool fresh;
};

/* Of all verbs about one snapshot. */
struct snapshot_args {
    char *snapshot;
};

static const struct shape snapshot_ref_shape = {
    .name = "VolumeSnapshotRef",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"snapshot\",\"uuid\"],"
        "\"properties\":{\"snapshot\":{\"type\":\"string\"},\"uuid\":{\"type\":\"string\"}}}",
};

#define BRICK_SCHEMA                                                                               \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"brick\",\"online\"],"     \
    "\"properties\":{\"brick\":{\"type\":\"string\"},\"online\":{\"type\":\"boolean\"},"           \
    "\"pid\":{\"type\":\"integer\"},\"volumeGroup\":{\"type\":\"string\"},"                        \
    "\"dataPercent\":{\"type\":\"number\"},\"size\":{\"type\":\"integer\"}}}"
#define SNAPSHOT_SCHEMA                                                                            \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"snapshot\",\"uuid\","     \
    "\"volume\",\"description\",\"created\",\"state\",\"remaining\",\"bricks\"],\"properties\":{"  \
    "\"snapshot\":{\"type\":\"string\"},\"uuid\":{\"type\":\"string\"},"                           \
    "\"volume\":{\"type\":\"string\"},\"description\":{\"type\":\"string\"},"                      \
    "\"created\":{\"type\":[\"string\",\"null\"]},\"state\":{\"enum\":[\"active\",\"inactive\"]}," \
    "\"remaining\":{\"type\":\"integer\",\"description\":\"how many more the volume may have\"},"  \
    "\"bricks\":{\"type\":\"array\",\"items\":" BRICK_SCHEMA "}}}"

static const struct shape snapshot_list_shape = {
    .name = "VolumeSnapshotList",
    .schema = GLUSTER_ANSWER_SCHEMA("snapshots", SNAPSHOT_SCHEMA),
};

static const struct shape restored_shape = {
    .name = "VolumeRestored",
    .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\","
              "\"snapshot\"],\"properties\":{\"volume\":{\"type\":\"string\"},"
              "\"snapshot\":{\"type\":\"string\"}}}",
};

static void
snapshot_object(const void *args, struct object_name *ret_object)
{
    const struct snapshot_args *named = args;

    *ret_object = (struct object_name){ .kind = "snapshot", .id = named->snapshot };
}

/* The command, whose answer 'write' reads, or NULL where it says nothing; return it. */
static enum outcome
ask(struct call *call, const struct gluster_command *command,
    void (*write)(struct call *call, const struct xml_node *root))
{
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    struct error *error = NULL;

    if (!gluster_command_run(command, &document, &error))
        return gluster_command_fail(call, error);
    if (write)
        write(call, xml_root(document));
    return call_complete(call, NULL);
}

/* The element that holds the answer is named after the command; there is one. */
static const struct xml_node *
answered_snapshot(const struct xml_node *root)
{
    static const char *const names[] = { "snapCreate", "snapActivate", "snapDeactivate",
                                         "snapRestore" };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (xml_child(root, names[i]))
            return xml_child(xml_child(root, names[i]), "snapshot");
    return NULL;
}

static void
write_ref(struct call *call, const struct xml_node *root)
{
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "snapshot", xml_text(answered_snapshot(root), "name"));
    writer_member_string(writer, "uuid", xml_text(answered_snapshot(root), "uuid"));
    writer_end_object(writer);
}

static void
write_restored(struct call *call, const struct xml_node *root)
{
    const struct xml_node *restored = xml_child(root, "snapRestore");
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "volume", xml_text(xml_child(restored, "volume"), "name"));
    writer_member_string(writer, "snapshot", xml_text(answered_snapshot(root), "name"));
    writer_end_object(writer);
}

static enum outcome
take(struct call *call)
{
    const struct take_args *args = call->args;
    const struct gluster_command command = {
        .arguments =
            GLUSTER_ARGUMENTS("snapshot", "create", args->snapshot, args->volume, "no-timestamp",
                              args->description ? "description" : NULL, args->description),
        .kind = "volume",
        .id = args->volume,
        .made_kind = "snapshot",
        .made_id = args->snapshot,
        .abort = call_abort_flag(call),
    };
    struct error *error = NULL;

    if (!volume_snapshot_name_check("snapshot", args->snapshot, &error))
        return call_fail(call, error);
    return ask(call, &command, write_ref);
}

static enum outcome
list_answer(struct call *call)
{
    const struct list_args *args = call->args;

    return gluster_answer(call, &snapshot_question, args->volume, NULL, args->fresh, call->state);
}

/* "snapshot VERB NAME".  Never with "force": on an active snapshot that fails, and glusterd then knows nothing of
   its bricks any more until it is deactivated (10.3). */
static enum outcome
change(struct call *call, const char *verb,
       void (*write)(struct call *call, const struct xml_node *root))
{
    const struct snapshot_args *args = call->args;
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("snapshot", verb, args->snapshot),
        .kind = "snapshot",
        .id = args->snapshot,
        .abort = call_abort_flag(call),
    };
    struct error *error = NULL;

    if (!volume_snapshot_name_check("snapshot", args->snapshot, &error))
        return call_fail(call, error);
    return ask(call, &command, write);
}

static enum outcome
activate(struct call *call)
{
    return change(call, "activate", write_ref);
}

static enum outcome
deactivate(struct call *call)
{
    return change(call, "deactivate", write_ref);
}

static enum outcome
restore(struct call *call)
{
    return change(call, "restore", write_restored);
}

static enum outcome
remove_snapshot(struct call *call)
{
    return change(call, "delete", NULL);
}

#define SNAPSHOT_PARAM                                                                             \
    PARAM(snapshot_args, snapshot, "snapshot", .type = PARAM_NAME, .required = true,               \
          .about = "The snapshot's name.")

const struct verb snapshot_verbs[] = {
    {
        .name = "volume.snapshot",
        .summary = "Take a snapshot of a started volume.",
        .description =
            "Every brick must be online and lie on a thin logical volume of its own. The snapshot "
            "is inactive: activate it to read or clone it.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct take_args),
        .params = PARAMS(
            VOLUME_PARAM(take_args),
            PARAM(
                take_args, snapshot, "snapshot", .type = PARAM_NAME, .make_uuid = true,
                .about =
                    "Its name, unlike that of any other volume's snapshot too; else a fresh UUID."),
            PARAM(take_args, description, "description", .type = PARAM_TEXT, .minimum = 1,
                  .maximum = 1024, .about = "What it is for; must not begin with two dashes.")),
        .result = &snapshot_ref_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_ALREADY_EXISTS, ERROR_WRONG_STATE,
                         ERROR_LIMIT_EXCEEDED, GLUSTER_ERRORS),
        .steps = STEPS({ "take it", take, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = volume_name_object,
    },
    {
        .name = "volume.snapshots",
        .summary = "List snapshots of volumes, with their bricks.",
        .description =
            "Of a brick's logical volume glusterd tells only while the snapshot is active; its "
            "size is to two decimals of the unit that LVM shows.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct list_args),
        .params = PARAMS(PARAM(list_args, volume, "volume", .type = PARAM_NAME,
                               .about = "Only the snapshots of this volume."),
                         GLUSTER_FRESH_PARAM(list_args)),
        .result = &snapshot_list_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, GLUSTER_ERRORS),
        .steps = STEPS({ "answer", list_answer, .pool = POOL_LOOP }),
        .state_size = sizeof(struct gluster_wish),
    },
    {
        .name = "volume.restore",
        .summary =
            "Set a stopped volume back to what a snapshot holds, which uses the snapshot up.",
        .description =
            "What was written since is lost to the volume: its bricks are now the snapshot's own "
            "logical volumes, and the old ones stay, no part of any volume. To be able to come "
            "back once more, take a snapshot of the restored volume.",
        .role = ROLE_ADMIN,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct snapshot_args),
        .params = PARAMS(SNAPSHOT_PARAM),
        .result = &restored_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "restore", restore, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = snapshot_object,
    },
    {
        .name = "volume.activate",
        .summary = "Start a snapshot, so that it can be read and cloned.",
        .description =
            "One of which a brick has died is started again by volume.deactivate and this.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct snapshot_args),
        .params = PARAMS(SNAPSHOT_PARAM),
        .result = &snapshot_ref_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "activate", activate, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = snapshot_object,
    },
    {
        .name = "volume.deactivate",
        .summary = "Stop a snapshot; what it holds stays.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct snapshot_args),
        .params = PARAMS(SNAPSHOT_PARAM),
        .result = &snapshot_ref_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps = STEPS({ "deactivate", deactivate, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = snapshot_object,
    },
    {
        .name = "volume.removeSnapshot",
        .summary = "Remove a snapshot, active or not; clones of it live on.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct snapshot_args),
        .params = PARAMS(SNAPSHOT_PARAM),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, GLUSTER_ERRORS),
        .steps = STEPS({ "remove", remove_snapshot, .pool = POOL_GLUSTER }, GLUSTER_FORGET_STEP),
        .object = snapshot_object,
    },
    { 0 },
};
