/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <inttypes.h>

#include "gluster/brick-offline.h"
#include "gluster/brick.h"
#include "gluster/command.h"
#include "gluster/gluster.h"
#include "gluster/heal.h"
#include "gluster/removal.h"
#include "gluster/volume-verbs.h"

#define RACES_MAX 10 /* looks in a row that something else overtook */
#define LOOK_FIRST_MS 500
#define LOOK_LONGEST_MS 10000
#define RACE_MS 200
#define SILENCE_MS 60000

struct offline_args {
    char *volume;
    char **bricks;
    int64_t replica;
    bool offline;
};

struct offline_state {
    enum brick_state state; /* when looked at last */
    bool copies;            /* fewer of them are to be: no file moves */
    uint64_t seen;          /* what the hosts told in all; it grows while their processes live */
    int64_t seen_ms;        /* when that grew, of the step's time */
};

static const struct shape brick_offline_shape = {
    .name = "BrickOffline",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\",\"bricks\",\"offline\","
        "\"state\",\"operation\"],\"properties\":{\"volume\":{\"type\":\"string\"},\"bricks\":{\"type\":"
        "\"array\",\"items\":{\"type\":\"string\"}},\"offline\":{\"type\":\"boolean\"},\"state\":{\"enum\":["
        "\"absent\",\"serving\",\"removing\",\"removed\"]},\"operation\":{\"type\":[\"string\",\"null\"]}}}",
};

static enum outcome
offline_check(struct call *call)
{
    const struct offline_args *args = call->args;
    struct error *error = NULL;
    size_t count;

    return bricks_check("bricks", args->bricks, &count, &error) ? call_complete(call, NULL)
                                                                : call_fail(call, error);
}

static void
write_state(struct call *call, enum brick_state state, const char *operation)
{
    const struct offline_args *args = call->args;
    struct offline_state *own = call->state;
    struct writer *writer = call_result(call);

    own->state = state;
    writer_object(writer);
    writer_member_string(writer, "volume", args->volume);
    writer_key(writer, "bricks");
    writer_array(writer);
    for (char **brick = args->bricks; *brick; brick++)
        writer_string(writer, *brick);
    writer_end_array(writer);
    writer_member_bool(writer, "offline", args->offline);
    writer_member_string(writer, "state", brick_state_name(state));
    writer_member_string(writer, "operation", operation);
    writer_end_object(writer);
}

static bool
look(struct call *call, struct volume_work *ret_work, enum brick_state *ret_state,
     struct error **err)
{
    const struct offline_args *args = call->args;

    return volume_work_ask(args->volume, call_abort_flag(call), ret_work, err) &&
           brick_offline_look(ret_work, args->bricks, args->offline, ret_state, err);
}

/* "start" of all that are there, what ends the removal, or "force" to have fewer copies. */
static bool
act(struct call *call, const struct volume_work *work, int64_t replica, const char *action,
    struct xml_document **ret_document, struct error **err)
{
    const struct offline_args *args = call->args;
    _cleanup_free_ char **present = bricks_present(work->volume, args->bricks);
    char *const *bricks = removal_is(work->operation) ? work->operation->bricks : present;
    _cleanup_arguments_ struct arguments arguments = { 0 };
    struct gluster_command command = {
        .kind = "volume", .id = args->volume, .param = "bricks", .abort = call_abort_flag(call)
    };

    removal_arguments(&arguments, args->volume, replica, bricks, action);
    command.arguments = arguments_list(&arguments);
    return gluster_command_run(&command, ret_document, err);
}

/* The state has changed between look and act: the next look tells to what. */
static enum outcome
look_again(struct call *call, struct error *error)
{
    enum outcome outcome;

    if (error->code != ERROR_WRONG_STATE || call_attempts(call) >= RACES_MAX)
        return gluster_command_fail(call, error);
    outcome = call_retry(call, RACE_MS, "looks again: %s", error->message);
    error_free(error);
    return outcome;
}

/* 'replica' as now means whole sets. */
static bool
check_copies(struct call *call, const struct volume_work *work, struct error **err)
{
    const struct offline_args *args = call->args;
    struct offline_state *own = call->state;
    _cleanup_free_ char **present = bricks_present(work->volume, args->bricks);

    own->copies = args->replica > 0 && (uint64_t)args->replica < work->volume->replica;
    return removal_check_begin(work->volume, NULL, present, args->replica, true, err);
}

static enum outcome
begin(struct call *call, const struct volume_work *work)
{
    const struct offline_state *own = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    struct error *error = NULL;

    if (!check_copies(call, work, &error))
        return call_fail(call, error);
    if (own->copies) {
        write_state(call, BRICKS_SERVING, NULL);
        return call_complete(call, "copies are taken away when all are healed");
    }
    if (!act(call, work, 0, "start", &document, &error))
        return look_again(call, error);
    write_state(call, BRICKS_REMOVING,
                xml_text(xml_child(xml_root(document), "volRemoveBrick"), "task-id"));
    return call_complete(call, "a removal is begun");
}

static enum outcome
cancel(struct call *call, const struct volume_work *work)
{
    struct error *error = NULL;

    if (!act(call, work, 0, "stop", NULL, &error))
        return look_again(call, error);
    write_state(call, BRICKS_SERVING, work->operation->id);
    return call_complete(call, "the removal is cancelled");
}

static enum outcome
offline_register(struct call *call)
{
    const struct offline_args *args = call->args;
    _cleanup_volume_work_ struct volume_work work = { 0 };
    struct error *error = NULL;
    enum brick_state state;

    if (!look(call, &work, &state, &error))
        return gluster_command_fail(call, error);
    switch (brick_offline_move(state, args->offline)) {
    case MOVE_START: return begin(call, &work);
    case MOVE_CANCEL: return cancel(call, &work);
    case MOVE_WAIT:
    case MOVE_COMMIT: write_state(call, state, work.operation->id); break;
    case MOVE_NONE:
    case MOVE_REFUSE: write_state(call, state, NULL); break;
    }
    return call_complete(call, "found %s", brick_state_name(state));
}

/* ---- what goes on behind the answer; another host's call may do the same at the same time ---- */

static bool
goes_on(const struct call *call)
{
    const struct offline_state *own = call->state;

    return own->state == BRICKS_REMOVING || own->state == BRICKS_REMOVED || own->copies;
}

/* A glusterd that is killed, restarts or is busy is no end: it has the removal, and goes on with it. */
static enum outcome
bear(struct call *call, uint64_t delay_ms, struct error *error)
{
    enum outcome outcome;

    if (error->code != ERROR_BUSY && error->code != ERROR_TIMEOUT &&
        error->code != ERROR_BACKEND_UNAVAILABLE)
        return call_fail(call, error);
    outcome = call_retry(call, delay_ms, "looks again: %s", error->message);
    error_free(error);
    return outcome;
}

static uint64_t
look_delay_ms(const struct call *call)
{
    uint64_t tenth_ms = (uint64_t)call_elapsed_ms(call) / 10;

    return tenth_ms < LOOK_FIRST_MS     ? LOOK_FIRST_MS
           : tenth_ms > LOOK_LONGEST_MS ? LOOK_LONGEST_MS
                                        : tenth_ms;
}

static enum outcome
fail_cancelled(struct call *call)
{
    const struct offline_args *args = call->args;
    struct error *error = NULL;

    error_set(&error, ERROR_WRONG_STATE,
              "somebody has cancelled the removal: the bricks of volume '%s' serve as before",
              args->volume);
    error_data_text(&error, "state", "%s", brick_state_name(BRICKS_SERVING));
    error_data_text(&error, "needs", "%s", brick_state_name(BRICKS_REMOVING));
    return call_fail(call, error);
}

/*
 * A process that ends in the seconds in which its glusterd is away, or has just come back, tells nobody:
 * glusterd 10.3 calls it running for ever then, and begins it anew only when it is started again.
 */
static bool
is_silent(struct call *call, const struct operation *removal)
{
    struct offline_state *own = call->state;
    uint64_t seen = 0;

    for (size_t i = 0; i < removal->host_count; i++)
        seen += removal->hosts[i].figures.run_time_s + removal->hosts[i].figures.scanned;
    if (seen != own->seen || removal->status != OPERATION_RUNNING)
        own->seen_ms = call_elapsed_ms(call);
    own->seen = seen;
    return call_elapsed_ms(call) - own->seen_ms > SILENCE_MS;
}

static const struct operation_host *
find_running(const struct operation *removal)
{
    for (size_t i = 0; i < removal->host_count; i++)
        if (removal->hosts[i].status == OPERATION_RUNNING)
            return &removal->hosts[i];
    return NULL;
}

static enum outcome
wait(struct call *call, const struct operation *removal)
{
    const struct operation_host *running = find_running(removal);

    call_progress(call, removal->total.files, 0, "files");
    if (is_silent(call, removal) && running)
        return call_retry(
            call, LOOK_LONGEST_MS,
            "host '%s' tells nothing new: if no rebalance process lives there, a restart "
            "of its glusterd begins it anew",
            running->host);
    return call_retry(
        call, look_delay_ms(call), "%s: %" PRIu64 " files moved, %" PRIu64 " looked at",
        operation_status_name(removal->status), removal->total.files, removal->total.scanned);
}

/* A copy may be the only good one until all are healed, which glusterd does not look at. */
static enum outcome
wait_for_heals(struct call *call, const struct volume *volume)
{
    _cleanup_heal_info_ struct heal_info info = { 0 };
    struct error *error = NULL;
    uint64_t entries;
    bool complete;

    if (!heal_check(volume, &error) || !heal_info_ask(volume, call_abort_flag(call), &info, &error))
        return bear(call, look_delay_ms(call), error);
    entries = heal_info_total(&info, volume, &complete);
    if (complete && entries == 0)
        return call_complete(call, "all copies are healed");
    return call_retry(call, look_delay_ms(call), "%" PRIu64 " entries are to be healed first%s",
                      entries, complete ? "" : ", and a brick does not answer");
}

static enum outcome
take_copies_away(struct call *call, const struct volume_work *work)
{
    const struct offline_args *args = call->args;
    struct error *error = NULL;

    if (!act(call, work, args->replica, "force", NULL, &error))
        return error->code == ERROR_WRONG_STATE ? look_again(call, error)
                                                : bear(call, look_delay_ms(call), error);
    write_state(call, BRICKS_ABSENT, NULL);
    return call_complete(call, NULL);
}

static enum outcome
offline_drain(struct call *call)
{
    const struct offline_state *own = call->state;
    _cleanup_volume_work_ struct volume_work work = { 0 };
    struct error *error = NULL;
    enum brick_state state;

    if (!look(call, &work, &state, &error))
        return bear(call, look_delay_ms(call), error);
    switch (brick_offline_move(state, true)) {
    case MOVE_WAIT: return wait(call, work.operation);
    case MOVE_START: return own->copies ? wait_for_heals(call, work.volume) : fail_cancelled(call);
    case MOVE_COMMIT:
        call_progress(call, work.operation->total.files, work.operation->total.files, "files");
        write_state(call, state, work.operation->id);
        return call_complete(call, "%" PRIu64 " files moved", work.operation->total.files);
    case MOVE_NONE:
    case MOVE_CANCEL:
    case MOVE_REFUSE: break;
    }
    write_state(call, state, NULL);
    return call_complete(call, "somebody else has committed the removal");
}

static enum outcome
offline_commit(struct call *call)
{
    const struct offline_state *own = call->state;
    _cleanup_volume_work_ struct volume_work work = { 0 };
    struct error *error = NULL;
    enum brick_state state;

    if (!look(call, &work, &state, &error))
        return bear(call, look_delay_ms(call), error);
    switch (brick_offline_move(state, true)) {
    case MOVE_WAIT: return wait(call, work.operation);
    case MOVE_START: return own->copies ? take_copies_away(call, &work) : fail_cancelled(call);
    case MOVE_COMMIT:
        if (!act(call, &work, 0, "commit", NULL, &error))
            return error->code == ERROR_WRONG_STATE ? look_again(call, error)
                                                    : bear(call, look_delay_ms(call), error);
        write_state(call, BRICKS_ABSENT, work.operation->id);
        return call_complete(call, NULL);
    case MOVE_NONE:
    case MOVE_CANCEL:
    case MOVE_REFUSE: break;
    }
    write_state(call, state, NULL);
    return call_complete(call, "somebody else has done it");
}

const struct verb brick_offline_verbs[] = {
    {
        .name = "brick.setOffline",
        .summary =
            "Declare that bricks are to leave their volume, with all files kept, or to stay in it.",
        .description =
            "Does what leads there from whatever state it finds: begins a removal, waits until all files "
            "have moved, and commits it; or cancels it.  Answers when glusterd has registered the removal, "
            "and goes on as a task.  Everything is glusterd's, so after a kill of the agent the same call "
            "goes on where it stood, on any host of the pool; an aborted task leaves the removal as it is.  "
            "If files could not be moved the task fails and says on which hosts; the removal stays, to be "
            "cancelled by 'offline' false, or committed by brick.commit with 'force'.  Bricks that have "
            "left cannot be declared online again: WrongState, for brick.add takes them as new ones.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct offline_args),
        .params = PARAMS(
            VOLUME_PARAM(offline_args),
            BRICKS_PARAM(offline_args, "The bricks, as HOST:/PATH: whole sets of copies, unless "
                                       "'replica' is given."),
            PARAM(offline_args, offline, "offline", .type = PARAM_BOOL, .required = true,
                  .about = "True: they are to leave; false: they are to stay."),
            PARAM(
                offline_args, replica, "replica", .type = PARAM_INTEGER, .minimum = 1,
                .maximum = 1000,
                .about =
                    "How many copies there are to be from then on: 'bricks' then names the others "
                    "of each set.  No file moves; they leave when all copies are healed.")),
        .result = &brick_offline_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, GLUSTER_ERRORS),
        .steps =
            STEPS({ "check", offline_check, .pool = POOL_LOOP },
                  { "register", offline_register, .pool = POOL_GLUSTER, .responds = true },
                  { "forget what was known", gluster_forget_step, .pool = POOL_LOOP },
                  { "move the files", offline_drain, .pool = POOL_GLUSTER, .only_if = goes_on },
                  { "commit", offline_commit, .pool = POOL_GLUSTER, .only_if = goes_on },
                  GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct offline_state),
        .object = volume_name_object,
    },
    { 0 },
};
