/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With --wait we subscribe to the task's events before the call, on the same connection, so none
 * can be missed.  A broken connection is made again; the agent's instance tells whether it is the
 * one that knows our task.  A call whose answer was lost is sent again with 'once', which can only
 * find the first one's answer, never run twice.
 */
#include <config.h>

#include "ctl/call.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/name.h"
#include "agent/base/text.h"
#include "ctl/failure.h"
#include "ctl/follow.h"
#include "ctl/interrupt.h"
#include "ctl/output.h"
#include "ctl/progress.h"

#define ENDS_WITHIN_MS 30
#define FORGOTTEN_NS NS_PER_S
#define LOOK_MS 250 /* how often a quiet wait looks at its time limit */

struct call {
    struct session *session;
    const struct invocation *invocation; /* borrowed */
    const struct command *command;
    const struct settings *settings;
    json_t *params; /* borrowed */
    const char *id; /* of the task */
    char made_id[UUID_TEXT_SIZE];
    char *what;           /* "image copy", for progress */
    bool waits;           /* --wait */
    json_t *answer;       /* the result that came, or NULL */
    json_t *error;        /* the error that came, or NULL */
    json_t *ended;        /* the task's last status, once it has ended, or NULL */
    int64_t forgotten_ns; /* when the agent said that it remembers the task no more; 0: never */
    json_int_t asked;     /* number of our task.status request; 0: none is under way */
    char *instance;       /* of the agent, when it waits */
    json_int_t seq;       /* of the last event */
    json_t *subscription; /* or NULL */
    int64_t until_ns;     /* monotonic; 0: no limit */
    struct progress_display display;
};

static enum status run(struct call *call);
static enum status follow(struct call *call);
static enum status conclude(struct call *call);
static void unsubscribe(struct call *call);

enum status
call_run(struct session *session, const struct invocation *invocation)
{
    const struct settings *settings = &invocation->settings;
    struct call call = {
        .session = session,
        .invocation = invocation,
        .command = invocation->command,
        .settings = settings,
        .params = invocation->params,
        .id = settings->id,
        .waits = settings->wait && invocation->command->kind != COMMAND_READS,
    };
    enum status status;

    if (settings->timeout_s > 0)
        call.until_ns = clock_monotonic_ns() + (int64_t)(settings->timeout_s * (double)NS_PER_S);
    if (!call.id) {
        uuid_make(call.made_id);
        call.id = call.made_id;
    }
    call.what = xprintf("%s %s", call.command->resource, call.command->name);
    progress_display_init(&call.display);
    status = run(&call);
    unsubscribe(&call);
    json_decref(call.answer);
    json_decref(call.error);
    json_decref(call.ended);
    json_decref(call.subscription);
    free(call.instance);
    free(call.what);
    return status;
}

/* Whether the answer is only the beginning. */
static bool
runs_on(const struct call *call)
{
    return call->command->kind == COMMAND_EARLY || call->command->kind == COMMAND_READS_LONG;
}

/* How to look at what the call changes, when the task cannot tell; false: it names no image. */
static bool
append_object_hint(const struct call *call, struct text *text)
{
    const json_t *of =
        call->answer && json_object_get(call->answer, "image") ? call->answer : call->params;
    const char *repository = json_string_value(json_object_get(of, "targetRepository"));
    const char *image = json_string_value(json_object_get(of, "targetImage"));

    if (!repository)
        repository = json_string_value(json_object_get(of, "repository"));
    if (!image)
        image = json_string_value(json_object_get(of, "image"));
    if (strcmp(call->command->resource, "image") != 0 || !repository || !image)
        return false;
    text_printf(text, "hostler image status --repository %s --image %s", repository, image);
    return true;
}

/* What is known of the agent when we leave before the end. */
enum fate { AGENT_LIVES, AGENT_UNKNOWN, AGENT_RESTARTED };

static void
complain_lost(const struct call *call, const char *what_happened, enum fate fate)
{
    _cleanup_text_ struct text look = TEXT_INIT, text = TEXT_INIT;

    text_append_string(&text, what_happened);
    if (call->command->kind == COMMAND_READS) {
        output_complain("%s", text.bytes);
        return;
    }
    if (!append_object_hint(call, &look))
        text_append_string(&look, "the status of what it works on");
    if (fate != AGENT_RESTARTED)
        text_printf(&text, "\n  %stask '%s' goes on: hostler task status --task %s",
                    fate == AGENT_UNKNOWN ? "if the agent lives, " : "", call->id, call->id);
    if (fate != AGENT_LIVES)
        text_printf(&text, "\n  %sthe object tells how far it came: %s",
                    fate == AGENT_UNKNOWN ? "if it has ended, its tasks are forgotten; " : "",
                    look.bytes);
    if (fate != AGENT_LIVES && runs_on(call) && strcmp(call->command->resource, "image") == 0)
        text_append_string(&text, "\n  an incomplete copy goes on with: hostler image resume");
    output_complain("%s", text.bytes);
}

static bool
send_call(struct call *call, bool again, struct error **err)
{
    const char *instance = again ? call->instance : call->settings->instance;
    json_t *params = json_copy(call->params);
    bool sent;

    if ((again || call->settings->once) && json_object_set_new(params, "once", json_true()) != 0)
        abort();
    if (instance && json_object_set_new(params, "ifInstance", json_string(instance)) != 0) {
        json_decref(params);
        return error_set(err, ERROR_INVALID_PARAMS, "--if-instance is not UTF-8");
    }
    sent = session_send(call->session, json_string(call->id), call->command->method, params, err);
    json_decref(params);
    return sent;
}

static bool
ask_status(struct call *call, struct error **err)
{
    json_t *id = session_number(call->session);
    json_t *params = json_pack("{ss}", "task", call->id);
    bool sent;

    call->asked = json_integer_value(id);
    sent = session_send(call->session, id, "task.status", params, err);
    json_decref(params);
    return sent;
}

static bool
has_ended(const json_t *status)
{
    const char *word = json_string_value(json_object_get(status, "status"));

    return word && (strcmp(word, "done") == 0 || strcmp(word, "failed") == 0 ||
                    strcmp(word, "aborted") == 0);
}

static void
take_status(struct call *call, json_t *status)
{
    if (has_ended(status)) {
        json_decref(call->ended);
        call->ended = json_incref(status);
    } else if (call->waits) {
        progress_display_update(&call->display, status, call->what);
    }
}

static void
take_notification(struct call *call, const json_t *message)
{
    const char *method = json_string_value(json_object_get(message, "method"));
    json_t *params = json_object_get(message, "params");
    const char *subject = json_string_value(json_object_get(params, "subject"));
    json_t *seq = json_object_get(params, "seq");

    if (!method)
        return;
    if (json_is_integer(seq))
        call->seq = json_integer_value(seq);
    if (strcmp(method, "event") == 0 && subject && strcmp(subject, call->id) == 0)
        take_status(call, json_object_get(params, "data"));
    else if (strcmp(method, "event.gap") == 0)
        call->asked = -1; /* the end may be among what was lost */
}

static void
take_message(void *context, json_t *message)
{
    struct call *call = context;
    json_t *id = json_object_get(message, "id");
    json_t *error = json_object_get(message, "error"), *result = json_object_get(message, "result");

    if (json_object_get(message, "method")) {
        take_notification(call, message);
    } else if (json_is_string(id) && strcmp(json_string_value(id), call->id) == 0) {
        json_decref(call->answer);
        json_decref(call->error);
        call->answer = error ? NULL : json_incref(result);
        call->error = json_incref(error);
        /* With --once the task may have ended before we subscribed: one look settles it. */
        if (call->answer && call->waits && call->settings->once && runs_on(call) && !call->ended)
            call->asked = -1;
    } else if (call->asked > 0 && json_is_integer(id) && json_integer_value(id) == call->asked) {
        call->asked = 0;
        if (result)
            take_status(call, result);
        else
            call->forgotten_ns = clock_monotonic_ns();
    }
}

static bool
subscribe(struct call *call, struct error **err)
{
    json_t *params = json_pack("{s[sss]ss}", "topics", "task.started", "task.progress",
                               "task.ended", "subject", call->id);
    json_t *result = NULL;
    const char *instance;
    bool subscribed;

    if (params && call->instance &&
        json_object_update_new(
            params, json_pack("{sssI}", "instance", call->instance, "since", call->seq)) != 0)
        abort();
    subscribed =
        session_ask(call->session, "event.subscribe", params, take_message, call, &result, err);
    json_decref(params);
    if (!subscribed)
        return false;
    instance = json_string_value(json_object_get(result, "instance"));
    if (!call->instance) {
        call->instance = xstrdup(instance ? instance : "");
        call->seq = json_integer_value(json_object_get(result, "seq"));
    } else if (instance && strcmp(instance, call->instance) != 0) {
        error_set(err, ERROR_WRONG_INSTANCE, "the agent has restarted");
    } else if (json_is_true(json_object_get(result, "resync"))) {
        call->asked = -1;
    }
    json_decref(call->subscription);
    call->subscription = json_incref(json_object_get(result, "subscription"));
    json_decref(result);
    return !*err;
}

/* For the shell, whose connection is kept and has room for few subscriptions. */
static void
unsubscribe(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;
    json_t *params, *result = NULL;

    if (!call->session->kept || !call->subscription || !call->session->client)
        return;
    params = json_pack("{sO}", "subscription", call->subscription);
    /* A connection too broken for it has no subscription left either. */
    if (!session_ask(call->session, "event.unsubscribe", params, NULL, NULL, &result, &error))
        session_disconnect(call->session);
    json_decref(params);
    json_decref(result);
}

static enum status
fail_to_begin(const struct error *error)
{
    output_error(error);
    if (interrupt_seen())
        return STATUS_INTERRUPTED;
    return error->code == ERROR_BACKEND_UNAVAILABLE ? STATUS_NO_CONNECTION : STATUS_ERROR_ANSWERED;
}

static enum status
run(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;

    if (!session_connect(call->session, call->settings, &error)) {
        output_error(error);
        return session_status(error);
    }
    if ((call->waits && !subscribe(call, &error)) || !send_call(call, false, &error))
        return fail_to_begin(error);
    return follow(call);
}

static bool
is_over(const struct call *call)
{
    if (call->error)
        return true;
    if (!call->answer)
        return false;
    if (!call->waits || !runs_on(call) || call->ended)
        return true;
    /* The event that ended it may still be on its way. */
    return call->forgotten_ns && clock_monotonic_ns() - call->forgotten_ns > FORGOTTEN_NS;
}

static enum status
leave_interrupted(struct call *call)
{
    progress_display_clear(&call->display);
    session_disconnect(call->session); /* a late answer must not meet the shell's next line */
    if (call->command->kind == COMMAND_READS)
        output_complain("interrupted");
    else
        output_complain("interrupted; task '%s' runs on\n"
                        "  follow it: hostler task status --task %s\n"
                        "  end it:    hostler task abort --task %s",
                        call->id, call->id, call->id);
    return STATUS_INTERRUPTED;
}

static enum status
leave_late(struct call *call)
{
    _cleanup_free_ char *happened =
        xprintf("%s within %g s", call->answer ? "the task has not ended" : "no answer",
                call->settings->timeout_s);

    progress_display_clear(&call->display);
    session_disconnect(call->session);
    complain_lost(call, happened, AGENT_LIVES);
    return STATUS_NO_CONNECTION;
}

/* Tries for some seconds: enough for an agent that restarts under systemd. */
static bool
connect_again(struct call *call, struct error **err)
{
    static const unsigned pauses_ms[] = { 100, 300, 600, 1000, 1500 };

    for (size_t i = 0; i < ARRAY_COUNT(pauses_ms) && !interrupt_seen(); i++) {
        session_pause(pauses_ms[i]);
        error_free(TAKE(*err));
        if (!session_connect(call->session, call->settings, err))
            continue;
        if (!subscribe(call, err)) {
            if ((*err)->code != ERROR_BACKEND_UNAVAILABLE)
                return false;
            continue;
        }
        call->asked = 0;
        if (call->answer ? ask_status(call, err) : send_call(call, true, err))
            return true;
    }
    if (!*err)
        error_set(err, ERROR_BACKEND_UNAVAILABLE, "interrupted");
    return false;
}

/* 0: go on. */
static enum status
mend_connection(struct call *call)
{
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_free_ char *reason = xstrdup(client_reason(call->session->client));
    _cleanup_free_ char *happened = NULL;

    progress_display_clear(&call->display);
    session_disconnect(call->session);
    if (!call->waits) {
        happened = xprintf("the connection broke before the answer: %s", reason);
        complain_lost(call, happened, AGENT_UNKNOWN);
        return STATUS_NO_CONNECTION;
    }
    output_complain("the connection broke (%s), trying again", reason);
    if (connect_again(call, &error))
        return STATUS_DONE;
    if (interrupt_seen())
        return leave_interrupted(call);
    if (error->code == ERROR_WRONG_INSTANCE)
        complain_lost(call, "the agent has restarted, and its tasks are forgotten",
                      AGENT_RESTARTED);
    else
        complain_lost(call, error->message, AGENT_UNKNOWN);
    return STATUS_NO_CONNECTION;
}

static unsigned
time_to_look(const struct call *call)
{
    int64_t left_ms = (call->until_ns - clock_monotonic_ns()) / NS_PER_MS + 1;

    return !call->until_ns || left_ms > LOOK_MS ? LOOK_MS : left_ms < 1 ? 1 : (unsigned)left_ms;
}

static enum status
follow(struct call *call)
{
    while (!is_over(call)) {
        json_t *message = NULL;
        enum client_outcome outcome =
            client_next(call->session->client, time_to_look(call), &message);
        enum status broken;

        if (outcome == CLIENT_MESSAGE) {
            _cleanup_(error_freep) struct error *error = NULL;

            take_message(call, message);
            json_decref(message);
            /* What cannot be sent now is asked again when the connection is mended. */
            if (call->asked < 0 && !is_over(call))
                (void)!ask_status(call, &error);
            continue;
        }
        if (interrupt_seen())
            return leave_interrupted(call);
        if (call->until_ns && clock_monotonic_ns() >= call->until_ns)
            return leave_late(call);
        if (outcome == CLIENT_CLOSED && (broken = mend_connection(call)) != STATUS_DONE)
            return broken;
    }
    return conclude(call);
}

static enum status
print_result(struct call *call, const json_t *result)
{
    _cleanup_(error_freep) struct error *error = NULL;

    if (output_result(call->settings, result, &error))
        return STATUS_DONE;
    output_error(error);
    return STATUS_USAGE;
}

/* Some verbs have little left to do when they answer: then there is nothing to look at. */
static bool
ends_soon(struct call *call)
{
    _cleanup_(error_freep) struct error *ignored = NULL;
    json_t *params = json_pack("{sssi}", "task", call->id, "timeoutMs", ENDS_WITHIN_MS);
    json_t *result = NULL;
    bool ended =
        session_ask(call->session, "task.wait", params, take_message, call, &result, &ignored);

    json_decref(params);
    json_decref(result);
    return ended;
}

static enum status
conclude(struct call *call)
{
    const char *word = json_string_value(json_object_get(call->ended, "status"));
    const json_t *last = json_object_get(call->ended, "result");

    if (call->error) {
        progress_display_clear(&call->display);
        failure_tell(call->command, call->settings, call->error);
        return STATUS_ERROR_ANSWERED;
    }
    if (call->waits && runs_on(call) && !call->ended) {
        progress_display_clear(&call->display);
        complain_lost(call, "the task has ended, but the agent remembers no more how",
                      AGENT_RESTARTED);
        return STATUS_NO_CONNECTION;
    }
    if (call->waits && runs_on(call) && word && strcmp(word, "done") != 0) {
        progress_display_clear(&call->display);
        if (!call->settings->json)
            output_complain("task '%s' %s", call->id, word);
        failure_tell_task(call->command, call->settings, call->ended);
        return STATUS_TASK_FAILED;
    }
    if (call->waits && follow_is_needed(call->command, call->answer))
        return follow_run(call->session, call->invocation, call->answer, call->what, call->until_ns,
                          &call->display);
    progress_display_finish(&call->display, call->ended, call->what);
    if (call->command->kind == COMMAND_EARLY && !call->waits && !call->settings->json &&
        !ends_soon(call))
        output_complain("task '%s' runs on: hostler task status --task %s", call->id, call->id);
    return print_result(call, last && !json_is_null(last) ? last : call->answer);
}
