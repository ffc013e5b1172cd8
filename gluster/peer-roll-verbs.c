/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "agent/base/child.h"
#include "agent/base/clock.h"
#include "gluster/command.h"
#include "gluster/gluster-internal.h"
#include "gluster/peer-roll.h"
#include "gluster/peer-watch.h"
#include "gluster/pool-health.h"
#include "gluster/volume-verbs.h"

#define POLL_MS 200           /* while a restart is awaited: a look at a connection */
#define SETTLE_POLL_MS 500    /* while the pool gets well: questions to glusterd */
#define HEALTH_EVERY_MS 2000  /* while a restart is awaited: whether it may still happen */
#define RESTART_TIMEOUT_S 330 /* Debian's unit gives glusterd 300 s */
#define UNIT "glusterd.service"

struct roll_args {
    char **peers; /* or NULL */
    const char *action;
    int64_t timeout_ms;
};

struct roll_state {
    struct roll roll;
    bool watching;
    int watch;            /* while 'watching': a connection to the current peer's glusterd */
    int64_t begun_ns;     /* the current peer's turn; monotonic */
    int64_t looked_at_ns; /* when the pool's health was asked last; monotonic */
};

static bool
restarts(const struct roll_args *args, const struct roll_peer *peer)
{
    return peer->here && strcmp(args->action, "restart-glusterd") == 0;
}

/* One roll an agent: two could each find the pool well, and then take down two hosts. */
static enum outcome
roll_take_turn(struct call *call)
{
    struct gluster *gluster = call->context;
    struct error *error = NULL;

    if (!gluster->roller) {
        gluster->roller = call;
        return call_complete(call, NULL);
    }
    error_set(&error, ERROR_WRONG_STATE, "another peer.roll is under way: see task.list");
    error_data_text(&error, "state", "rolling");
    error_data_text(&error, "needs", "no other roll in the pool");
    return call_fail(call, error);
}

static enum outcome
roll_give_turn(struct call *call)
{
    struct gluster *gluster = call->context;

    if (gluster->roller == call)
        gluster->roller = NULL;
    return call_complete(call, NULL);
}

/* Where glusterd is not that unit's, a restart of it would start a second one. */
static bool
check_unit(const atomic_bool *abort, struct error **err)
{
    const char *const argv[] = { "systemctl", "is-active", "--quiet", UNIT, NULL };
    const struct child_limits limits = { .timeout_ms = 30000, .output_size = 4096, .abort = abort };
    _cleanup_text_ struct text output = TEXT_INIT;

    if (child_run(argv, -1, &limits, &output, err))
        return true;
    if ((*err)->code == ERROR_BACKEND_FAILED) {
        error_free(*err);
        *err = NULL;
        error_set(err, ERROR_BACKEND_UNAVAILABLE,
                  "systemd does not run " UNIT " here: restart glusterd yourself, with action "
                  "'confirm'");
        error_data_text(err, "backend", "systemd");
        error_data_text(err, "reason", UNIT " is not active");
    }
    return false;
}

static bool
check_pool(const atomic_bool *abort, struct roll *roll, struct error **err)
{
    if (!pool_health_ask(abort, &roll->problem, err))
        return false;
    if (!roll->problem)
        return true;
    error_set(err, ERROR_WRONG_STATE, "the pool is not well, and could not do without a peer: %s",
              roll->problem);
    error_data_text(err, "state", "%s", roll->problem);
    return error_data_text(err, "needs",
                           "all peers connected, all bricks online, nothing to heal, no rebalance "
                           "and no removal of bricks in progress");
}

static enum outcome
roll_check(struct call *call)
{
    const struct roll_args *args = call->args;
    struct roll_state *state = call->state;
    struct roll *roll = &state->roll;
    const atomic_bool *abort = call_abort_flag(call);
    _cleanup_peers_ struct peers peers = { 0 };
    struct error *error = NULL;

    roll_done(roll); /* of an attempt that found glusterd busy */
    if (!peers_ask(abort, &peers, &error) || !roll_begin(roll, &peers, args->peers, &error))
        return gluster_command_fail(call, error);
    for (size_t i = 0; i < roll->count; i++)
        if (restarts(args, &roll->peers[i]) && !check_unit(abort, &error))
            return call_fail(call, error);
    if (!check_pool(abort, roll, &error))
        return gluster_command_fail(call, error);
    roll_write(roll, call_result(call));
    return call_complete(call, "%zu peers", roll->count);
}

static void
stop_watching(struct roll_state *state)
{
    if (state->watching)
        (void)close(state->watch);
    state->watching = false;
}

/* Questions that fail, as they do while glusterd is down here, are a problem like others; while it is busy
   nothing is known, and what is due stays due. */
static bool
look(struct call *call, const struct roll_peer *peer, struct roll_view *ret_view,
     struct error **err)
{
    struct roll_state *state = call->state;
    _cleanup_free_ char *problem = NULL;
    struct error *error = NULL;
    int64_t now = clock_monotonic_ns();
    bool busy = false;

    *ret_view = (struct roll_view){ .healthy = true,
                                    .gone = state->watching && peer_watch_ended(state->watch) };
    if (peer->phase == ROLL_RESTARTING &&
        (ret_view->gone || now - state->looked_at_ns < HEALTH_EVERY_MS * NS_PER_MS))
        return true;
    if (!pool_health_ask(call_abort_flag(call), &problem, &error)) {
        if (error->code == ERROR_TASK_ABORTED) {
            *err = error;
            return false;
        }
        busy = error->code == ERROR_BUSY;
        problem = xstrdup(error->message);
        error_free(error);
    }
    state->looked_at_ns = clock_monotonic_ns();
    ret_view->healthy = !problem || (busy && peer->phase == ROLL_RESTARTING);
    /* Again: bricks that have just ended with their glusterd are no failure of others. */
    ret_view->gone = state->watching && peer_watch_ended(state->watch);
    free(state->roll.problem);
    state->roll.problem = TAKE(problem);
    return true;
}

static bool
restart_here(const struct call *call, struct error **err)
{
    const char *const argv[] = { "systemctl", "restart", UNIT, NULL };
    const struct child_limits limits = { .timeout_ms = RESTART_TIMEOUT_S * 1000,
                                         .output_size = 4096,
                                         .abort = call_abort_flag(call) };
    _cleanup_text_ struct text output = TEXT_INIT;

    return child_run(argv, -1, &limits, &output, err) ||
           error_wrap(err, "cannot restart glusterd here");
}

/* Before anybody is told that it is due: whoever hears of it may be quick.  False: it is not due, for the pool
   lacks a peer that answers. */
static bool
watch(struct roll_state *state, const struct roll_peer *peer)
{
    _cleanup_(error_freep) struct error *error = NULL;

    if (!state->watching)
        state->watching = peer_watch_open(peer->here ? NULL : peer->host, &state->watch, &error);
    if (!error)
        return true;
    free(state->roll.problem);
    state->roll.problem = xstrdup(error->message);
    return false;
}

static bool
enter(struct call *call, struct roll_peer *peer, enum roll_phase phase, struct error **err)
{
    struct roll_state *state = call->state;
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    if (peer->phase == ROLL_WAITING)
        state->begun_ns = clock_monotonic_ns();
    if (phase == ROLL_SETTLING)
        stop_watching(state);
    if (phase == ROLL_RESTARTING && !watch(state, peer))
        return true;
    peer->phase = phase;
    roll_peer_write(peer, &writer);
    call_event(call, "peer.roll", peer->uuid, &writer.text);
    return phase != ROLL_RESTARTING || !restarts(call->args, peer) || restart_here(call, err);
}

static enum outcome
time_is_over(struct call *call, const struct roll_peer *peer)
{
    const struct roll_args *args = call->args;
    const struct roll_state *state = call->state;
    struct error *error = NULL;

    error_set(&error, ERROR_TIMEOUT, "peer '%s' was %s for too long, more than %" PRId64 " ms: %s",
              peer->host, roll_phase_name(peer->phase), args->timeout_ms,
              state->roll.problem              ? state->roll.problem
              : peer->phase == ROLL_RESTARTING ? "nobody has restarted its glusterd"
                                               : "the pool is well now");
    return call_fail(call, error);
}

static enum outcome
show(struct call *call, const struct roll_peer *peer)
{
    const struct roll_state *state = call->state;
    const struct roll *roll = &state->roll;
    struct writer *writer = call_result(call);

    call_progress(call, roll_done_count(roll), roll->count, "peers");
    roll_write(roll, writer);
    if (!peer)
        return call_complete(call, "%zu peers", roll->count);
    return call_retry(call, peer->phase == ROLL_RESTARTING ? POLL_MS : SETTLE_POLL_MS,
                      "%zu of %zu done; '%s' is %s%s%s", roll_done_count(roll), roll->count,
                      peer->host, roll_phase_name(peer->phase), roll->problem ? ": " : "",
                      roll->problem ? roll->problem : "");
}

static enum outcome
roll_run(struct call *call)
{
    const struct roll_args *args = call->args;
    struct roll_state *state = call->state;
    struct roll_peer *peer = roll_current(&state->roll);
    struct error *error = NULL;
    struct roll_view view;
    enum roll_phase next;

    if (!peer)
        return show(call, NULL);
    if (peer->phase == ROLL_WAITING && !enter(call, peer, ROLL_CHECKING, &error))
        return call_fail(call, error);
    if (!look(call, peer, &view, &error))
        return call_fail(call, error);
    next = roll_next(peer->phase, &view);
    if (next != peer->phase && !enter(call, peer, next, &error))
        return call_fail(call, error);
    if (peer->phase != ROLL_DONE &&
        clock_monotonic_ns() - state->begun_ns > args->timeout_ms * NS_PER_MS)
        return time_is_over(call, peer);
    return show(call, roll_current(&state->roll));
}

static void
roll_state_done(struct call *call)
{
    struct roll_state *state = call->state;

    stop_watching(state);
    roll_done(&state->roll);
}

const struct verb roll_verbs[] = {
    {
        .name = "peer.roll",
        .summary = "Go over the pool's hosts one by one, each only while all the others are well.",
        .description =
            "For what restarts glusterd on each host: an update, a change of its settings. It answers when "
            "it has found the pool well (all peers connected, all bricks online, nothing to heal, no rebalance "
            "and no removal of bricks running; else WrongState) and then gives each peer its turn: it waits "
            "until the pool is well, until that peer's glusterd was restarted, and until the pool is well "
            "again. glusterd lets nobody restart another host's: with 'restart-glusterd' the agent restarts "
            "its own host's by systemd; of any other host, and with 'confirm' of all, it tells by the event "
            "peer.roll and by the task's result, state 'restarting', that it is to be restarted now, and "
            "sees it done. A restart before that does not count. Nothing of it outlives the agent: call again, "
            "with the peers that are left. Only one roll a pool at a time: the agent refuses a second of its "
            "own, it cannot know of other hosts'.",
        .role = ROLE_ADMIN,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct roll_args),
        .params = PARAMS(
            PARAM(roll_args, peers, "peers", .type = PARAM_TEXTS,
                  .about =
                      "Which, in this order, by UUID or a name that peer.list shows; else all."),
            PARAM(
                roll_args, action, "action", .type = PARAM_CHOICE, .required = true,
                .choices = CHOICES("restart-glusterd", "confirm"),
                .about =
                    "restart-glusterd: restart this host's, wait for others'; confirm: wait for each."),
            PARAM(roll_args, timeout_ms, "timeoutMs", .type = PARAM_INTEGER, .minimum = 1000,
                  .maximum = 604800000, .fallback = "3600000",
                  .about =
                      "How many milliseconds one peer may take, healing included; then Timeout.")),
        .result = &roll_shape,
        .errors = ERRORS(GLUSTER_ERRORS, ERROR_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "take the turn", roll_take_turn, .pool = POOL_LOOP },
                       { "check pool", roll_check, .pool = POOL_GLUSTER, .responds = true },
                       { "roll", roll_run, .pool = POOL_GLUSTER },
                       { "give the turn back", roll_give_turn, .pool = POOL_LOOP, .when = ALWAYS },
                       GLUSTER_FORGET_STEP),
        .state_size = sizeof(struct roll_state),
        .state_done = roll_state_done,
    },
    { 0 },
};
