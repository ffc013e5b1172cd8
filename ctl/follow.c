/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/follow.h"

#include <string.h>

#include "agent/base/clock.h"
#include "ctl/interrupt.h"
#include "ctl/output.h"

#define ASK_EVERY_MS 1000
#define RECONNECTS_MAX 10

static const char *
text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text ? text : "";
}

bool
follow_is_needed(const struct command *command, const json_t *answer)
{
    return command->follow &&
           json_is_string(json_object_get(answer, text_of(command->follow, "key")));
}

static bool
has_word(const json_t *list, const char *word)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), word) == 0)
            return true;
    return false;
}

enum follow_end
follow_judge(const json_t *follow, const char *status)
{
    if (has_word(json_object_get(follow, "running"), status))
        return FOLLOW_GOES_ON;
    return has_word(json_object_get(follow, "done"), status) ? FOLLOW_DONE : FOLLOW_FAILED;
}

json_t *
follow_find(const json_t *follow, const json_t *result, const json_t *answer)
{
    json_t *items = json_object_get(result, text_of(follow, "items"));
    const char *key = text_of(follow, "key");

    for (size_t i = 0; i < json_array_size(items); i++)
        if (json_equal(json_object_get(json_array_get(items, i), key),
                       json_object_get(answer, key)))
            return json_array_get(items, i);
    return NULL;
}

/* What a task's status would be, for the same bar. */
static json_t *
progress_of(const json_t *follow, const json_t *item)
{
    const char *counted = text_of(follow, "progress");
    json_t *left = json_object_get(item, text_of(follow, "left"));
    json_t *status = json_pack("{s{sIsssO*}s[{ssss}]}", "progress", "done",
                               json_integer_value(json_object_get(item, counted)), "unit", counted,
                               "etaSeconds", json_is_integer(left) ? left : NULL, "steps", "name",
                               text_of(item, text_of(follow, "status")), "outcome", "running");

    if (!status)
        abort();
    return status;
}

/* "hostler volume operations --volume gv0" */
static void
append_look(const json_t *follow, const json_t *answer, struct text *text)
{
    const char *query = text_of(follow, "query"), *param = text_of(follow, "param");
    const char *dot = strchr(query, '.');
    _cleanup_free_ char *name = dot ? verbs_kebab(dot + 1) : NULL;
    _cleanup_free_ char *flag = verbs_kebab(param);

    if (dot)
        text_printf(text, "hostler %.*s %s --%s %s", (int)(dot - query), query, name, flag,
                    text_of(answer, param));
}

static enum status
leave(const json_t *follow, const json_t *answer, const char *happened, enum status status,
      struct progress_display *display)
{
    _cleanup_text_ struct text look = TEXT_INIT;
    const char *key = text_of(follow, "key");

    progress_display_clear(display);
    append_look(follow, answer, &look);
    output_complain("%s; %s '%s' goes on without us\n  follow it: %s", happened, key,
                    text_of(answer, key), look.length ? look.bytes : text_of(follow, "query"));
    return status;
}

static enum status
end(const struct invocation *invocation, const json_t *item, const char *what,
    struct progress_display *display)
{
    const json_t *follow = invocation->command->follow;
    const char *status = text_of(item, text_of(follow, "status"));
    bool failed = follow_judge(follow, status) == FOLLOW_FAILED;
    _cleanup_(error_freep) struct error *error = NULL;
    json_t *last = progress_of(follow, item);

    if (failed)
        progress_display_clear(display);
    else
        progress_display_finish(display, last, what);
    json_decref(last);
    if (!output_result(&invocation->settings, item, &error)) {
        output_error(error);
        return STATUS_USAGE;
    }
    if (!failed)
        return STATUS_DONE;
    output_complain("%s '%s' %s", text_of(follow, "key"), text_of(item, text_of(follow, "key")),
                    status);
    return STATUS_TASK_FAILED;
}

static enum status
lost(const json_t *follow, const json_t *answer, struct progress_display *display)
{
    const char *key = text_of(follow, "key");

    progress_display_clear(display);
    output_complain("%s '%s' is told no more: somebody has stopped or ended it", key,
                    text_of(answer, key));
    return STATUS_TASK_FAILED;
}

/* The connection broke: any agent that answers there will do, for none of them owns the operation. */
static bool
reconnect(struct session *session, const struct invocation *invocation, struct error **err)
{
    session_disconnect(session);
    for (unsigned i = 0; i < RECONNECTS_MAX && !interrupt_seen(); i++) {
        error_free(TAKE(*err));
        if (session_connect(session, &invocation->settings, err))
            return true;
        session_pause(ASK_EVERY_MS);
    }
    return false;
}

/* What the agent could not tell just now: its backend restarts, or is busy. */
static bool
is_passing(const struct error *error)
{
    return error->code == ERROR_BUSY || error->code == ERROR_TIMEOUT ||
           error->code == ERROR_BACKEND_UNAVAILABLE || error->code == ERROR_RATE_LIMITED;
}

static bool
ask(struct session *session, const struct invocation *invocation, const json_t *answer,
    json_t **ret_result, struct error **err)
{
    const json_t *follow = invocation->command->follow;
    const char *param = text_of(follow, "param");
    json_t *params = json_pack("{sO}", param, json_object_get(answer, param));
    bool asked =
        session_ask(session, text_of(follow, "query"), params, NULL, NULL, ret_result, err);

    json_decref(params);
    return asked;
}

enum status
follow_run(struct session *session, const struct invocation *invocation, const json_t *answer,
           const char *what, int64_t until_ns, struct progress_display *display)
{
    const json_t *follow = invocation->command->follow;

    for (;; session_pause(ASK_EVERY_MS)) {
        _cleanup_(error_freep) struct error *error = NULL;
        json_t *result = NULL, *item, *shown;
        enum status status;

        if (interrupt_seen())
            return leave(follow, answer, "interrupted", STATUS_INTERRUPTED, display);
        if (until_ns && clock_monotonic_ns() >= until_ns)
            return leave(follow, answer, "it has not ended in time", STATUS_NO_CONNECTION, display);
        if (!ask(session, invocation, answer, &result, &error)) {
            bool open = session->client && client_is_open(session->client);

            if (open && is_passing(error))
                continue;
            if (!open && reconnect(session, invocation, &error))
                continue;
            if (interrupt_seen())
                return leave(follow, answer, "interrupted", STATUS_INTERRUPTED, display);
            return leave(follow, answer, error->message,
                         open ? STATUS_ERROR_ANSWERED : STATUS_NO_CONNECTION, display);
        }
        item = follow_find(follow, result, answer);
        if (item &&
            follow_judge(follow, text_of(item, text_of(follow, "status"))) == FOLLOW_GOES_ON) {
            shown = progress_of(follow, item);
            progress_display_update(display, shown, what);
            json_decref(shown);
            json_decref(result);
            continue;
        }
        status = item ? end(invocation, item, what, display) : lost(follow, answer, display);
        json_decref(result);
        return status;
    }
}
