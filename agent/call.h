/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step sees of the task that it is part of.
 *
 * A step is a C function: it reads call->args, keeps what later steps need in call->state, and
 * returns one of four outcomes through the functions below.  While it runs, the call is its own:
 * the loop touches only the atomics behind call_aborted(), call_progress() and call_rate().
 * Idea: the task runner of TiDB Operator (complete, fail, retry, wait).
 */
#ifndef AGENT_CALL_H
#define AGENT_CALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "agent/worker.h"

struct agent;
struct verb;

/* Made by the functions below only. */
enum outcome { OUTCOME_COMPLETE = 1, OUTCOME_FAIL, OUTCOME_RETRY, OUTCOME_WAIT };

struct call {
    const struct verb *verb;
    struct agent *agent;
    void *context;    /* of the verb's table: the backend's own state */
    const void *args; /* filled by the verb's table */
    void *state;      /* verb->state_size bytes, zeroed at the start */
};

/* A line for the report, or NULL. */
enum outcome call_complete(struct call *call, const char *format, ...) _printf_(2, 3);
/* Takes ownership of 'error': return call_fail(call, TAKE(error)). */
enum outcome call_fail(struct call *call, struct error *error);
/* Runs the step again after 'delay_ms'; no thread is held meanwhile. */
enum outcome call_retry(struct call *call, uint64_t delay_ms, const char *format, ...)
    _printf_(3, 4);
/* Runs the step again when task_wake(key) is called, or after 'timeout_ms' (0: never by time). */
enum outcome call_wait(struct call *call, const char *key, uint64_t timeout_ms, const char *format,
                       ...) _printf_(4, 5);

/* How often this step was begun: 1 at first. */
unsigned call_attempts(const struct call *call);
/* Milliseconds since the step was begun first. */
int64_t call_elapsed_ms(const struct call *call);

/* The result, to be written once (one JSON value).  Written again after the answer was sent, it
   replaces what task.status shows, also by a step that then waits.  Owned by the call. */
struct writer *call_result(struct call *call);

/* In an ON_FAILURE step: what has failed.  Borrowed. */
const struct error *call_error(const struct call *call);

/* Whether somebody wants the task to end: look at it at least every 100 ms, clean up and
   return call_fail() with any error (ERROR_TASK_ABORTED suits).  Any thread. */
bool call_aborted(const struct call *call);
/* For child_run() and the like; lives as long as the call. */
const atomic_bool *call_abort_flag(const struct call *call);
/* Progress of a running step; becomes at most two events a second.  'unit' is static text. */
void call_progress(struct call *call, uint64_t done, uint64_t total, const char *unit);
/* The bound in bytes a second (0: none) that task.throttle may change at any time. */
uint64_t call_rate(const struct call *call);
/* The bound to begin with; without effect where task.throttle has come before.  Any thread. */
void call_begin_rate(struct call *call, uint64_t bytes_per_second);
/* What task.throttle does: it stands, whatever the verb begins with. */
void call_throttle(struct call *call, uint64_t bytes_per_second);

/* Publishes an event, in order with the task's own; 'data' is one JSON value.  Any thread. */
void call_event(struct call *call, const char *topic, const char *subject, const struct text *data);

/* Steps of 'pool' that follow run in 'lane' (loop steps only; the lane outlives the task). */
void call_set_lane(struct call *call, enum pool pool, struct lane *lane);
/* The task's id as the status shows it; the caller's name and role.  Borrowed. */
const char *call_task(const struct call *call);
const char *call_caller(const struct call *call);
/* Whether that role is admin: for parameters that need more than their verb. */
bool call_is_admin(const struct call *call);
/* The connection that asked, a number that only rpc/ understands; 0: none (the agent itself). */
uint64_t call_connection(const struct call *call);

#endif
