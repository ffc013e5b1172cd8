/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostler event watch: follows, through broken connections and restarts of the agent, and tells
 * what it may have missed.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ctl/interrupt.h"
#include "ctl/local.h"
#include "ctl/output.h"
#include "ctl/result.h"
#include "ctl/visible.h"

#define LOOK_MS 500
#define PAUSE_MAX_MS 5000

struct watch {
    struct session *session;
    const struct settings *settings;
    json_t *params;  /* as typed; borrowed */
    char *instance;  /* of the agent last seen; NULL: none yet */
    json_int_t seq;  /* last seen there */
    json_int_t left; /* events still to show; -1: no end */
    bool synced;     /* the snapshot has been shown, or none is wanted */
    bool over;       /* no more, or nobody reads */
    bool colours;
    size_t width;
    int64_t until_ns;
};

static bool connect_and_subscribe(struct watch *watch, struct error **err);
static enum status follow(struct watch *watch);

enum status
watch_run(struct session *session, const struct invocation *invocation)
{
    const struct settings *settings = &invocation->settings;
    json_t *count = json_object_get(invocation->params, "count");
    const char *instance = json_string_value(json_object_get(invocation->params, "instance"));
    struct watch watch = {
        .session = session,
        .settings = settings,
        .params = invocation->params,
        .left = count ? json_integer_value(count) : -1,
        .seq = json_integer_value(json_object_get(invocation->params, "since")),
        .colours = output_colours(STDOUT_FILENO),
        .width = output_width(STDOUT_FILENO),
    };
    _cleanup_(error_freep) struct error *error = NULL;
    enum status status;

    if (settings->output) {
        output_complain("--output cannot hold what never ends: redirect standard output instead");
        return STATUS_USAGE;
    }
    if (json_object_get(invocation->params, "since") && !instance) {
        output_complain("--since needs --instance: numbers begin anew in each instance");
        return STATUS_USAGE;
    }
    if (settings->timeout_s > 0)
        watch.until_ns = clock_monotonic_ns() + (int64_t)(settings->timeout_s * (double)NS_PER_S);
    watch.instance = instance ? xstrdup(instance) : NULL;
    if (connect_and_subscribe(&watch, &error)) {
        status = follow(&watch);
    } else {
        output_error(error);
        status = interrupt_seen()                           ? STATUS_INTERRUPTED
                 : error->code == ERROR_BACKEND_UNAVAILABLE ? STATUS_NO_CONNECTION
                 : session->client                          ? STATUS_ERROR_ANSWERED
                                                            : session_status(error);
    }
    session_disconnect(session); /* and its subscription with it */
    free(watch.instance);
    return status;
}

/* A line that is no event: in JSON beside the events, for people on standard error. */
static void
tell(struct watch *watch, const char *kind, json_t *what, const char *words)
{
    json_t *line;
    _cleanup_text_ struct text text = TEXT_INIT;

    if (!watch->settings->json) {
        output_complain("%s", words);
        return;
    }
    line = json_pack("{sO}", kind, what);
    output_json(line, false, &text);
    json_decref(line);
    (void)fputs(text.bytes, stdout);
    (void)fflush(stdout);
}

/* "copy running, 42 %, …": what an event's data says in a few words. */
static void
append_summary(const json_t *data, struct text *text)
{
    static const char *const members[] = { "method", "status",   "state", "health",
                                           "reason", "progress", "error" };
    size_t shown = 0;

    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        const json_t *value = json_object_get(data, members[i]);

        if (!value || json_is_null(value))
            continue;
        text_append_string(text, shown++ ? ", " : "");
        result_value(members[i], value, false, text);
    }
    if (shown == 0 && json_object_size(data) > 0)
        result_value("", data, false, text);
}

static void
show_line(const struct watch *watch, const json_t *event)
{
    const char *time = json_string_value(json_object_get(event, "time"));
    const char *topic = json_string_value(json_object_get(event, "topic"));
    const char *subject = json_string_value(json_object_get(event, "subject"));
    json_t *data = json_object_get(event, "data");
    _cleanup_text_ struct text raw = TEXT_INIT, shown = TEXT_INIT, line = TEXT_INIT;
    size_t indent;

    text_printf(&raw, "%s  %-18s  %s", time && strlen(time) > 19 ? time : "-", topic ? topic : "-",
                subject ? subject : "-");
    if (json_is_true(json_object_get(event, "snapshot")))
        text_append_string(&raw, " (present)");
    text_append_string(&raw, "  ");
    indent = raw.length;
    append_summary(data, &raw);
    if (raw.length == indent)
        raw.bytes[raw.length = indent - 2] = '\0';
    visible_append_string(&shown, raw.bytes);
    if (watch->width > 0)
        visible_append_cut(&line, shown.bytes, watch->width);
    else
        text_append(&line, shown.bytes, shown.length);
    (void)printf(
        "%s%s%s\n",
        visible_colour(result_colour("status", json_object_get(data, "status")), watch->colours),
        line.bytes, visible_plain(watch->colours));
}

static void
show_event(struct watch *watch, const json_t *event)
{
    if (watch->settings->json) {
        _cleanup_text_ struct text text = TEXT_INIT;

        output_json(event, false, &text);
        (void)fputs(text.bytes, stdout);
    } else {
        show_line(watch, event);
    }
    if (fflush(stdout) != 0)
        watch->over = true; /* nobody reads any more */
    if (watch->left > 0 && --watch->left == 0)
        watch->over = true;
}

static void
tell_gap(struct watch *watch, json_t *params)
{
    _cleanup_free_ char *words = xprintf("events %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT
                                         " were lost: list the objects "
                                         "again",
                                         json_integer_value(json_object_get(params, "from")),
                                         json_integer_value(json_object_get(params, "to")));

    tell(watch, "gap", params, words);
}

static void
take_message(void *context, json_t *message)
{
    struct watch *watch = context;
    const char *method = json_string_value(json_object_get(message, "method"));
    json_t *params = json_object_get(message, "params");
    json_t *seq = json_object_get(params, "seq");

    if (!method || watch->over)
        return;
    if (json_is_integer(seq) && !json_is_true(json_object_get(params, "snapshot")) &&
        json_integer_value(seq) > watch->seq)
        watch->seq = json_integer_value(seq);
    if (strcmp(method, "event") == 0)
        show_event(watch, params);
    else if (strcmp(method, "event.gap") == 0)
        tell_gap(watch, params);
    else if (strcmp(method, "event.synced") == 0)
        watch->synced = true;
}

static json_t *
subscription(const struct watch *watch)
{
    json_t *params = json_copy(watch->params);

    (void)json_object_del(params, "count");
    (void)json_object_del(params, "instance");
    (void)json_object_del(params, "since");
    /* A snapshot begins anew; with none, we go on behind what was last seen. */
    if (watch->synced)
        (void)json_object_del(params, "snapshot");
    if (watch->instance && !json_object_get(params, "snapshot") &&
        json_object_update_new(
            params, json_pack("{sssI}", "instance", watch->instance, "since", watch->seq)) != 0)
        abort();
    return params;
}

/* What the agent says of where we stand; false: not where we were. */
static bool
take_place(struct watch *watch, json_t *result)
{
    const char *instance = json_string_value(json_object_get(result, "instance"));
    bool restarted = watch->instance && instance && strcmp(watch->instance, instance) != 0;
    bool lost = watch->instance && (restarted || json_is_true(json_object_get(result, "resync")));

    if (lost)
        tell(watch, "resync", result,
             restarted ? "the agent has restarted: list the objects again"
                       : "events since then are no longer kept: list the objects again");
    if (lost || !watch->instance) {
        free(watch->instance);
        watch->instance = xstrdup(instance ? instance : "");
        watch->seq = json_integer_value(json_object_get(result, "seq"));
    }
    return !lost;
}

static bool
connect_and_subscribe(struct watch *watch, struct error **err)
{
    json_t *params, *result = NULL;
    bool subscribed, placed = true;

    if (!session_connect(watch->session, watch->settings, err))
        return false;
    params = subscription(watch);
    subscribed =
        session_ask(watch->session, "event.subscribe", params, take_message, watch, &result, err);
    json_decref(params);
    if (subscribed)
        placed = take_place(watch, result);
    json_decref(result);
    if (placed || !watch->synced || !json_is_true(json_object_get(watch->params, "snapshot")))
        return subscribed;
    session_disconnect(watch->session); /* the present state is wanted: once more, from there */
    watch->synced = false;
    return connect_and_subscribe(watch, err);
}

/* For ever, until it is there again; false: somebody wants to leave. */
static bool
connect_again(struct watch *watch)
{
    unsigned pause_ms = 100;
    _cleanup_free_ char *reason = xstrdup(client_reason(watch->session->client));

    output_complain("the connection broke (%s), trying again", reason);
    for (;;) {
        _cleanup_(error_freep) struct error *error = NULL;

        session_disconnect(watch->session);
        session_pause(pause_ms);
        if (interrupt_seen() || (watch->until_ns && clock_monotonic_ns() >= watch->until_ns))
            return false;
        if (connect_and_subscribe(watch, &error)) {
            output_complain("connected again");
            return true;
        }
        pause_ms = pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause_ms * 2;
    }
}

static enum status
follow(struct watch *watch)
{
    while (!watch->over) {
        json_t *message = NULL;
        int64_t left_ms =
            watch->until_ns ? (watch->until_ns - clock_monotonic_ns()) / NS_PER_MS + 1 : LOOK_MS;
        enum client_outcome outcome = client_next(watch->session->client,
                                                  left_ms < 1         ? 1
                                                  : left_ms > LOOK_MS ? LOOK_MS
                                                                      : (unsigned)left_ms,
                                                  &message);

        if (outcome == CLIENT_MESSAGE) {
            take_message(watch, message);
            json_decref(message);
            continue;
        }
        if (interrupt_seen())
            return STATUS_INTERRUPTED;
        if (watch->until_ns && clock_monotonic_ns() >= watch->until_ns)
            return STATUS_DONE;
        if (outcome == CLIENT_CLOSED && !connect_again(watch))
            return interrupt_seen() ? STATUS_INTERRUPTED : STATUS_DONE;
    }
    return STATUS_DONE;
}
