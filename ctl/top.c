/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostler task top: the running tasks, live.  Events keep the list; now and then it is asked for
 * anew, so that an answer that an event overtook does not stay for ever.
 */
#include <config.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ctl/interrupt.h"
#include "ctl/local.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/result.h"
#include "ctl/table.h"

#define TICK_MS 200
#define DRAW_NS (500 * NS_PER_MS)
#define REFRESH_NS (10 * NS_PER_S)
#define RECENT_MAX 5 /* ended tasks that stay on the screen */
#define BAR_WIDTH 20

struct top {
    struct session *session;
    const struct settings *settings;
    json_t *running; /* id → status */
    json_t *recent;  /* statuses of ended ones, oldest first */
    bool lost;       /* events were lost: ask anew */
    bool live;
    const char *note; /* shown in the heading; or NULL */
};

static enum status show_once(struct top *top);
static enum status show_live(struct top *top);

enum status
top_run(struct session *session, const struct invocation *invocation)
{
    struct top top = {
        .session = session,
        .settings = &invocation->settings,
        .running = json_object(),
        .recent = json_array(),
        .live = output_is_terminal(STDOUT_FILENO) && output_is_terminal(STDIN_FILENO) &&
                !invocation->settings.json && !invocation->settings.output,
    };
    enum status status = top.live ? show_live(&top) : show_once(&top);

    if (top.live)
        session_disconnect(session); /* and its subscription with it */
    json_decref(top.running);
    json_decref(top.recent);
    return status;
}

static void
take_status(struct top *top, json_t *status)
{
    const char *id = json_string_value(json_object_get(status, "task"));
    const char *word = json_string_value(json_object_get(status, "status"));

    if (!id || !word)
        return;
    if (strcmp(word, "pending") == 0 || strcmp(word, "running") == 0 ||
        strcmp(word, "aborting") == 0) {
        (void)json_object_set(top->running, id, status);
        return;
    }
    if (json_object_del(top->running, id) != 0)
        return;
    (void)json_array_append(top->recent, status);
    while (json_array_size(top->recent) > RECENT_MAX)
        (void)json_array_remove(top->recent, 0);
}

static void
take_message(void *context, json_t *message)
{
    struct top *top = context;
    const char *method = json_string_value(json_object_get(message, "method"));

    if (!method)
        return;
    if (strcmp(method, "event") == 0)
        take_status(top, json_object_get(json_object_get(message, "params"), "data"));
    else if (strcmp(method, "event.gap") == 0)
        top->lost = true;
}

/* Asks for the tasks of one status; the list comes in pages. */
static bool
list(struct top *top, const char *status, struct error **err)
{
    json_t *params = json_pack("{sssi}", "status", status, "limit", 1000), *result = NULL;
    bool more = true;

    while (more) {
        json_t *task, *next;
        size_t i;

        if (!session_ask(top->session, "task.list", params, take_message, top, &result, err))
            break;
        json_array_foreach(json_object_get(result, "tasks"), i, task)
        {
            take_status(top, task);
        }
        next = json_object_get(result, "next");
        more = next && json_object_set(params, "after", next) == 0;
        json_decref(result);
    }
    json_decref(params);
    return !*err;
}

static bool
refresh(struct top *top, struct error **err)
{
    top->lost = false;
    (void)json_object_clear(top->running);
    return list(top, "pending", err) && list(top, "running", err) && list(top, "aborting", err);
}

static bool
begin(struct top *top, struct error **err)
{
    json_t *params, *result = NULL;
    bool done;

    if (!session_connect(top->session, top->settings, err))
        return false;
    if (top->live) {
        params = json_pack("{s[s]}", "topics", "task.*");
        done =
            session_ask(top->session, "event.subscribe", params, take_message, top, &result, err);
        json_decref(params);
        json_decref(result);
        if (!done)
            return false;
    }
    return refresh(top, err);
}

static void
add_row(struct table *table, const json_t *status)
{
    static const char *const keys[] = { "task", "method", "object", "status" };
    struct progress progress;
    _cleanup_text_ struct text bar = TEXT_INIT;
    int percent;

    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        const json_t *value = json_object_get(status, keys[i]);
        _cleanup_text_ struct text text = TEXT_INIT;

        if (value && !json_is_null(value))
            result_value(keys[i], value, false, &text);
        table_cell(table, text.bytes ? text.bytes : "",
                   value ? result_colour(keys[i], value) : COLOUR_NONE);
    }
    progress_read(status, &progress);
    table_cell(table, progress.step, COLOUR_NONE);
    percent = progress_percent(&progress);
    if (percent >= 0) {
        text_append_char(&bar, '[');
        for (int i = 0; i < BAR_WIDTH; i++)
            text_append_char(&bar, i < percent * BAR_WIDTH / 100 ? '#' : '.');
        text_append_string(&bar, "] ");
    }
    progress_line(&progress, &bar);
    table_cell(table, bar.bytes ? bar.bytes : "", COLOUR_NONE);
}

static void
append_tasks(const struct top *top, size_t rows, size_t width, bool colours, struct text *text)
{
    _cleanup_(table_freep) struct table *table = table_new();
    const char *headings[] = { "TASK", "METHOD", "OBJECT", "STATUS", "STEP", "PROGRESS" };
    const char *id;
    json_t *status;
    size_t i;

    for (i = 0; i < ARRAY_COUNT(headings); i++)
        table_column(table, headings[i], false, i != 1 && i != 3);
    json_object_foreach(top->running, id, status)
    {
        if (rows == 0 || table_row_count(table) < rows)
            add_row(table, status);
    }
    json_array_foreach(top->recent, i, status)
    {
        if (rows == 0 || table_row_count(table) < rows)
            add_row(table, status);
    }
    if (table_row_count(table) > 0)
        table_write(table, width, 0, colours, text);
    else
        text_append_string(text, "no tasks run\n");
}

static enum status
fail(const struct top *top, const struct error *error)
{
    output_error(error);
    if (interrupt_seen())
        return STATUS_INTERRUPTED;
    return !top->session->client                      ? session_status(error)
           : error->code == ERROR_BACKEND_UNAVAILABLE ? STATUS_NO_CONNECTION
                                                      : STATUS_ERROR_ANSWERED;
}

static enum status
show_once(struct top *top)
{
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_text_ struct text text = TEXT_INIT;

    if (!begin(top, &error))
        return fail(top, error);
    if (top->settings->json) {
        json_t *tasks = json_array(), *result, *status;
        const char *id;

        json_object_foreach(top->running, id, status)
        {
            (void)json_array_append(tasks, status);
        }
        result = json_pack("{so}", "tasks", tasks);
        output_json(result, true, &text);
        json_decref(result);
    } else {
        append_tasks(top, 0, top->settings->output ? 0 : output_width(STDOUT_FILENO),
                     !top->settings->output && output_colours(STDOUT_FILENO), &text);
    }
    if (output_text(top->settings, &text, &error))
        return STATUS_DONE;
    output_error(error);
    return STATUS_USAGE;
}

static void
draw(const struct top *top)
{
    size_t width = output_width(STDOUT_FILENO), height = output_height(STDOUT_FILENO);
    bool colours = output_colours(STDOUT_FILENO);
    _cleanup_text_ struct text text = TEXT_INIT, heading = TEXT_INIT, screen = TEXT_INIT;
    char *rest = NULL;

    text_printf(&heading, "hostler task top  %s  %zu running%s%s  (q quits)", top->settings->url,
                json_object_size(top->running), top->note ? "  " : "", top->note ? top->note : "");
    visible_append_string(&text, heading.bytes);
    text_append_string(&screen, "\033[H");
    visible_append_cut(&screen, text.bytes, width);
    text_append_string(&screen, "\033[K\r\n\033[K\r\n");
    text_clear(&text);
    append_tasks(top, height > 5 ? height - 4 : 1, width, colours, &text);
    for (char *line = strtok_r(text.bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        text_printf(&screen, "%s\033[K\r\n", line);
    text_append_string(&screen, "\033[J");
    (void)fputs(screen.bytes, stdout);
    (void)fflush(stdout);
}

static bool
wants_to_quit(void)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    char key = 0;

    if (poll(&input, 1, 0) <= 0)
        return false;
    return read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q' || key == 4;
}

/* The agent went away: the screen says so and it is tried again. */
static void
connect_again(struct top *top)
{
    _cleanup_(error_freep) struct error *error = NULL;

    top->note = "no connection, trying again";
    (void)json_object_clear(top->running);
    draw(top);
    session_disconnect(top->session);
    session_pause(500);
    if (begin(top, &error))
        top->note = NULL;
}

static bool
step(struct top *top, int64_t *refreshed_ns)
{
    _cleanup_(error_freep) struct error *error = NULL;
    json_t *message = NULL;
    int64_t now_ns = clock_monotonic_ns();

    if (!top->session->client) {
        connect_again(top);
        return true;
    }
    if (top->lost || now_ns - *refreshed_ns > REFRESH_NS) {
        *refreshed_ns = now_ns;
        if (!refresh(top, &error))
            session_disconnect(top->session);
        return true;
    }
    switch (client_next(top->session->client, TICK_MS, &message)) {
    case CLIENT_MESSAGE:
        take_message(top, message);
        json_decref(message);
        return true;
    case CLIENT_CLOSED: session_disconnect(top->session); return true;
    case CLIENT_NOTHING: return false;
    }
    return false;
}

static enum status
show_live(struct top *top)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct termios before, raw;
    int64_t drawn_ns = 0, refreshed_ns = clock_monotonic_ns();

    if (!begin(top, &error))
        return fail(top, error);
    if (tcgetattr(STDIN_FILENO, &before) < 0) {
        output_complain("this terminal cannot be set up: try 'hostler task list'");
        return STATUS_USAGE;
    }
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    interrupt_catch_ends();
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    (void)fputs("\033[?1049h\033[?25l\033[2J", stdout);
    while (!interrupt_seen() && !wants_to_quit()) {
        bool quiet = !step(top, &refreshed_ns);
        int64_t now_ns = clock_monotonic_ns();

        if (now_ns - drawn_ns >= DRAW_NS || (quiet && drawn_ns == 0)) {
            draw(top);
            drawn_ns = now_ns;
        }
    }
    (void)fputs("\033[?25h\033[?1049l", stdout);
    (void)fflush(stdout);
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    interrupt_forget(); /* Control-C is as good a way out as q */
    return STATUS_DONE;
}
