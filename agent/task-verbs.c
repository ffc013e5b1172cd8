/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdio.h>

#include "agent/config.h"
#include "agent/task-internal.h"

#define PAGE_SIZE_MAX (384 * 1024) /* bytes of one page of task.list: frames stay under 1 MiB */

static const struct shape task_status_shape = {
    .name = "TaskStatus",
    .schema =
        "{\"type\":\"object\",\"required\":[\"task\",\"instance\",\"method\",\"status\",\"caller\",\"object\","
        "\"created\",\"started\",\"ended\",\"responded\",\"progress\",\"steps\",\"result\",\"error\"],"
        "\"additionalProperties\":false,\"properties\":{"
        "\"task\":{\"type\":\"string\"},\"instance\":{\"type\":\"string\"},\"method\":{\"type\":\"string\"},"
        "\"status\":{\"enum\":[\"pending\",\"running\",\"aborting\",\"done\",\"failed\",\"aborted\"]},"
        "\"caller\":{\"type\":\"string\"},"
        "\"object\":{\"type\":[\"object\",\"null\"],\"required\":[\"kind\"],\"properties\":{\"kind\":{\"type\":"
        "\"string\"},\"repository\":{\"type\":\"string\"},\"id\":{\"type\":\"string\"}}},"
        "\"created\":{\"type\":\"string\"},\"started\":{\"type\":[\"string\",\"null\"]},"
        "\"ended\":{\"type\":[\"string\",\"null\"]},\"responded\":{\"type\":\"boolean\"},"
        "\"progress\":{\"type\":[\"object\",\"null\"],\"required\":[\"done\",\"total\",\"unit\",\"perSecond\","
        "\"etaSeconds\"],\"properties\":{\"done\":{\"type\":\"integer\"},\"total\":{\"type\":\"integer\"},"
        "\"unit\":{\"type\":\"string\"},\"perSecond\":{\"type\":[\"integer\",\"null\"]},"
        "\"etaSeconds\":{\"type\":[\"integer\",\"null\"]}}},"
        "\"steps\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\",\"outcome\"],"
        "\"properties\":{\"name\":{\"type\":\"string\"},\"outcome\":{\"enum\":[\"not run\",\"skipped\",\"pending\","
        "\"running\",\"wait\",\"retry\",\"complete\",\"fail\"]},\"message\":{\"type\":\"string\"},"
        "\"attempts\":{\"type\":\"integer\"},\"elapsedMs\":{\"type\":\"integer\"}}}},"
        "\"result\":{},\"error\":{\"type\":[\"object\",\"null\"],\"required\":[\"code\",\"message\",\"data\"]}}}",
};

static const struct shape task_list_shape = {
    .name = "TaskList",
    .schema =
        "{\"type\":\"object\",\"required\":[\"tasks\"],\"additionalProperties\":false,\"properties\":{"
        "\"tasks\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/TaskStatus\"}},"
        "\"next\":{\"type\":\"string\"}}}",
};

struct task_args {
    struct task_reference task;
    int64_t timeout_ms;
    uint64_t bytes_per_second;
};

struct list_args {
    const char *status;
    char *method, *object, *id_prefix, *after;
    int64_t limit;
};

static const char *const status_choices[] = { "pending", "running", "aborting", "done",
                                              "failed",  "aborted", NULL };

static bool
find_task(struct call *call, struct task **ret_task, struct task_view *ret_view, struct error **err)
{
    const struct task_args *args = call->args;

    return task_resolve(call->agent, &args->task, call_connection(call), ret_task, ret_view, err);
}

static enum outcome
answer_status(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct task_view view;
    struct task *task;

    if (!find_task(call, &task, &view, &error))
        return call_fail(call, TAKE(error));
    if (task)
        task_view_of(task, &view);
    task_view_write(call->agent, &view, call_result(call));
    return call_complete(call, NULL);
}

static enum outcome
wait_for_end(struct call *call)
{
    const struct task_args *args = call->args;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_text_ struct text key = TEXT_INIT;
    int64_t left_ms = args->timeout_ms - call_elapsed_ms(call);
    struct task_view view;
    struct task *task;

    if (!find_task(call, &task, &view, &error))
        return call_fail(call, TAKE(error));
    if (!task) {
        task_view_write(call->agent, &view, call_result(call));
        return call_complete(call, NULL);
    }
    if (&task->call == call) {
        error_param(&error, "task", "must be another task's: this call would wait for itself");
        return call_fail(call, TAKE(error));
    }
    if (args->timeout_ms > 0 && left_ms <= 0) {
        error_set(&error, ERROR_TIMEOUT, "the task has not ended within %lld ms",
                  (long long)args->timeout_ms);
        return call_fail(call, TAKE(error));
    }
    text_append_string(&key, "task:");
    task_key_shown(&task->key, &key);
    return call_wait(call, key.bytes, args->timeout_ms > 0 ? (uint64_t)left_ms : 0,
                     "until the task ends");
}

static bool
require_active(struct call *call, struct task **ret_task, struct error **err)
{
    const struct task_args *args = call->args;
    struct task_view view;

    if (!find_task(call, ret_task, &view, err))
        return false;
    if (*ret_task)
        return true;
    return error_set(err, ERROR_TASK_NOT_ACTIVE, "task '%s' has ended already", args->task.text);
}

static enum outcome
abort_task(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct agent *agent = call->agent;
    struct task_view view;
    struct task *task, *still;
    struct task_key key;
    char text[KEY_TEXT_MAX + 1];

    if (!require_active(call, &task, &error))
        return call_fail(call, TAKE(error));
    key = task->key;
    memcpy(text, key.text, key.length);
    key.text = text;
    if (!task_leaves_history(task)) { /* a read: there is nothing to look at when it is over */
        task_view_of(task, &view);
        view.status = TASK_ABORTING;
        task_view_write(agent, &view, call_result(call));
        task_abort(task);
        return call_complete(call, NULL);
    }
    task_abort(task);
    /* It may be over by now, and its struct another's. */
    still = task_find(agent->tasks, &key);
    if (still)
        task_view_of(still, &view);
    else if (!history_find(agent->tasks->history, &key, &view)) /* --task-history 0 */
        return call_complete(call, NULL);
    task_view_write(agent, &view, call_result(call));
    return call_complete(call, NULL);
}

static enum outcome
throttle_task(struct call *call)
{
    const struct task_args *args = call->args;
    _cleanup_(error_freep) struct error *error = NULL;
    struct task_view view;
    struct task *task;

    if (!require_active(call, &task, &error))
        return call_fail(call, TAKE(error));
    call_throttle(&task->call, args->bytes_per_second);
    task_view_of(task, &view);
    task_view_write(call->agent, &view, call_result(call));
    return call_complete(call, NULL);
}

/* ---- task.list ---- */

struct listing {
    const struct agent *agent;
    const struct list_args *args;
    struct writer *writer;
    size_t count;
    uint64_t active_before;  /* active tasks of a lower sequence are still to come; 0: none are */
    uint64_t ended_at_begin; /* the history's end when the first page was asked for */
    uint64_t ended_before;   /* the place to go on from */
    uint64_t next_active, next_ended; /* where the next page begins; both 0: nowhere */
};

static bool
matches(const struct list_args *args, const struct task_view *view)
{
    _cleanup_text_ struct text shown = TEXT_INIT;

    if (args->status && strcmp(args->status, status_choices[view->status]) != 0)
        return false;
    if (args->method && strcmp(args->method, view->verb->name) != 0)
        return false;
    if (args->object) {
        _cleanup_free_ char *whole = NULL;

        if (!view->object_id)
            return false;
        whole = xprintf("%s/%s", view->object_repository ? view->object_repository : "",
                        view->object_id);
        if (strcmp(args->object, view->object_id) != 0 && strcmp(args->object, whole) != 0)
            return false;
    }
    if (!args->id_prefix)
        return true;
    task_key_shown(&view->key, &shown);
    return strncmp(shown.bytes, args->id_prefix, strlen(args->id_prefix)) == 0;
}

static bool
is_full(const struct listing *listing)
{
    return listing->count >= (size_t)listing->args->limit ||
           listing->writer->text.length > PAGE_SIZE_MAX;
}

static bool
list_ended(void *context, uint64_t place, const struct task_view *view)
{
    struct listing *listing = context;

    /* Ended since the first page: listed then as an active one, unless that page had not come to it. */
    if (place >= listing->ended_at_begin && view->sequence >= listing->active_before &&
        listing->active_before)
        return true;
    if (!matches(listing->args, view))
        return true;
    if (is_full(listing)) {
        listing->next_ended = place;
        return false;
    }
    task_view_write(listing->agent, view, listing->writer);
    listing->count++;
    return true;
}

static bool
parse_cursor(const char *after, struct listing *listing)
{
    unsigned long long active, begin, place;
    char rest;

    if (sscanf(after, "%llu.%llu.%llu%c", &active, &begin, &place, &rest) != 3)
        return false;
    listing->active_before = active;
    listing->ended_at_begin = begin;
    listing->ended_before = place;
    return true;
}

static void
list_active(struct listing *listing, const struct task_table *table)
{
    for (const struct task *task = table->last; task; task = task->previous) {
        struct task_view view;

        if (task->sequence >= listing->active_before)
            continue;
        task_view_of(task, &view);
        if (!matches(listing->args, &view))
            continue;
        if (is_full(listing)) {
            listing->next_active = task->sequence + 1;
            return;
        }
        task_view_write(listing->agent, &view, listing->writer);
        listing->count++;
    }
}

static enum outcome
list_tasks(struct call *call)
{
    const struct list_args *args = call->args;
    struct task_table *table = call->agent->tasks;
    struct listing listing = { .agent = call->agent,
                               .args = args,
                               .writer = call_result(call),
                               .active_before = table->sequence + 1,
                               .ended_at_begin = history_end(table->history) };

    if (args->after && !parse_cursor(args->after, &listing)) {
        struct error *error = NULL;

        error_param(&error, "after", "must be the 'next' of an earlier page");
        return call_fail(call, error);
    }
    writer_object(listing.writer);
    writer_key(listing.writer, "tasks");
    writer_array(listing.writer);
    if (listing.ended_before == 0)
        list_active(&listing, table);
    if (listing.next_active == 0)
        history_walk(table->history, listing.ended_before, list_ended, &listing);
    writer_end_array(listing.writer);
    if (listing.next_active || listing.next_ended) {
        writer_key(listing.writer, "next");
        writer_printf(
            listing.writer, "%llu.%llu.%llu",
            (unsigned long long)(listing.next_active ? listing.next_active : listing.active_before),
            (unsigned long long)listing.ended_at_begin, (unsigned long long)listing.next_ended);
    }
    writer_end_object(listing.writer);
    return call_complete(call, NULL);
}

static void
name_task(const void *args, struct object_name *ret_object)
{
    const struct task_args *task = args;

    ret_object->kind = "task";
    ret_object->id = task->task.text;
}

#define TASK_PARAM                                                                                 \
    PARAM(task_args, task, "task", .type = PARAM_TASK, .required = true,                           \
          .about = "The task: its id; a number is one of this connection's.")

const struct verb task_verbs[] = {
    {
        .name = "task.list",
        .summary =
            "List tasks, newest first: those that run, then those that ended and are remembered.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct list_args),
        .params = PARAMS(PARAM(list_args, status, "status", .type = PARAM_CHOICE,
                               .choices = status_choices, .about = "Only tasks of this status."),
                         PARAM(list_args, method, "method", .type = PARAM_TEXT,
                               .about = "Only calls of this verb."),
                         PARAM(list_args, object, "object", .type = PARAM_TEXT,
                               .about = "Only tasks on this object: its id, or REPOSITORY/ID."),
                         PARAM(list_args, id_prefix, "idPrefix", .type = PARAM_TEXT,
                               .about = "Only tasks whose id begins so."),
                         PARAM(list_args, limit, "limit", .type = PARAM_INTEGER, .minimum = 1,
                               .maximum = 1000, .fallback = "100",
                               .about = "At most so many; a page may hold fewer."),
                         PARAM(list_args, after, "after", .type = PARAM_TEXT,
                               .about = "The 'next' of the page before.")),
        .result = &task_list_shape,
        .errors = ERRORS(ERROR_INVALID_PARAMS),
        .steps = STEPS({ "list", list_tasks, .pool = POOL_LOOP }),
    },
    {
        .name = "task.status",
        .aliases = "getTaskStatus",
        .summary = "Show a task: its status, steps, progress, result and error.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct task_args),
        .params = PARAMS(TASK_PARAM),
        .result = &task_status_shape,
        .errors = ERRORS(ERROR_TASK_NOT_FOUND),
        .steps = STEPS({ "look", answer_status, .pool = POOL_LOOP }),
    },
    {
        .name = "task.wait",
        .summary = "Wait until a task has ended, and show it.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct task_args),
        .params =
            PARAMS(TASK_PARAM,
                   PARAM(task_args, timeout_ms, "timeoutMs", .type = PARAM_INTEGER, .minimum = 0,
                         .maximum = INT32_MAX, .fallback = "0",
                         .about = "Answer Timeout after so many milliseconds; 0: wait for ever.")),
        .result = &task_status_shape,
        .errors = ERRORS(ERROR_TASK_NOT_FOUND, ERROR_TIMEOUT),
        .steps = STEPS({ "wait", wait_for_end, .pool = POOL_LOOP }),
    },
    {
        .name = "task.abort",
        .summary = "End a task as soon as its present step allows; its object stays truthful.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct task_args),
        .params = PARAMS(TASK_PARAM),
        .result = &task_status_shape,
        .errors = ERRORS(ERROR_TASK_NOT_FOUND, ERROR_TASK_NOT_ACTIVE),
        .steps = STEPS({ "abort", abort_task, .pool = POOL_LOOP }),
        .object = name_task,
    },
    {
        .name = "task.throttle",
        .summary = "Change the bound on a running copy's rate.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct task_args),
        .params = PARAMS(TASK_PARAM, PARAM(task_args, bytes_per_second, "bytesPerSecond",
                                           .type = PARAM_SIZE, .required = true,
                                           .about = "Upper bound in bytes a second; 0: none.")),
        .result = &task_status_shape,
        .errors = ERRORS(ERROR_TASK_NOT_FOUND, ERROR_TASK_NOT_ACTIVE),
        .steps = STEPS({ "throttle", throttle_task, .pool = POOL_LOOP }),
        .object = name_task,
    },
    { 0 },
};
