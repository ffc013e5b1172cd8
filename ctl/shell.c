/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostler shell: the same commands line by line, over one connection.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "agent/base/text.h"
#include "ctl/completion.h"
#include "ctl/interrupt.h"
#include "ctl/local.h"
#include "ctl/output.h"
#include "ctl/words.h"

#define HISTORY_LINES 1000

/* readline's hooks have no context of their own. */
static struct session *shell_session;

static char **complete(const char *partial, int start, int end);
static int keep_alive(void);
static int watch_interrupt(void);

/* $XDG_STATE_HOME/hostler/history, made with its folders; NULL: there is no place for it. */
static char *
history_file(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    _cleanup_free_ char *folder = NULL;

    if (state && state[0] == '/')
        folder = xprintf("%s/hostler", state);
    else if (home && home[0] == '/')
        folder = xprintf("%s/.local/state/hostler", home);
    else
        return NULL;
    for (char *slash = strchr(folder + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
            return NULL;
        if (!slash)
            break;
        *slash = '/';
    }
    return xprintf("%s/history", folder);
}

/* One line; false: leave. */
static bool
run_line(struct session *session, const struct settings *defaults, const char *line,
         enum status *ret_status)
{
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_(words_done) struct words words = { 0 };
    struct invocation invocation = { 0 };

    if (!words_split(line, &words, &error)) {
        output_error(error);
        *ret_status = STATUS_USAGE;
        return true;
    }
    if (words.count == 0)
        return true;
    if (words.count == 1 &&
        (strcmp(words.all[0], "exit") == 0 || strcmp(words.all[0], "quit") == 0))
        return false;
    interrupt_forget();
    if (!arguments_parse(session->verbs, defaults, (const char *const *)words.all, words.count,
                         &invocation, &error)) {
        output_error(error);
        *ret_status = STATUS_USAGE;
    } else if (invocation.command && invocation.command->run == shell_run && !invocation.help) {
        output_complain("this is the shell already");
        *ret_status = STATUS_USAGE;
    } else if (strcmp(invocation.settings.url, defaults->url) != 0) {
        output_complain("the shell keeps to one agent: leave it, and give --url to the next");
        *ret_status = STATUS_USAGE;
    } else {
        *ret_status = local_dispatch(session, &invocation);
    }
    (void)fflush(stdout);
    invocation_done(&invocation);
    interrupt_forget();
    return true;
}

static enum status
read_terminal(struct session *session, const struct settings *defaults)
{
    _cleanup_free_ char *history = history_file();
    enum status status = STATUS_DONE;
    bool goes_on = true;

    rl_readline_name = "hostler";
    rl_attempted_completion_function = complete;
    rl_basic_word_break_characters = " \t\n";
    rl_completer_word_break_characters = " \t\n";
    rl_event_hook = keep_alive;
    rl_signal_event_hook = watch_interrupt;
    rl_catch_signals = 0; /* Control-C only drops the line */
    using_history();
    stifle_history(HISTORY_LINES);
    if (history)
        (void)read_history(history);
    while (goes_on) {
        _cleanup_free_ char *line = NULL;

        interrupt_forget();
        line = readline("hostler> ");
        if (!line)
            break;
        if (interrupt_seen()) {
            (void)putchar('\n');
            continue;
        }
        if (line[strspn(line, " \t")])
            add_history(line);
        goes_on = run_line(session, defaults, line, &status);
    }
    if (history)
        (void)write_history(history);
    return status;
}

/* A script: the first line that fails ends it, as its exit status. */
static enum status
read_script(struct session *session, const struct settings *defaults)
{
    _cleanup_free_ char *line = NULL;
    size_t capacity = 0;
    enum status status = STATUS_DONE;

    while (status == STATUS_DONE && getline(&line, &capacity, stdin) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        if (line[strspn(line, " \t")] == '#')
            continue;
        if (!run_line(session, defaults, line, &status))
            break;
    }
    return status;
}

enum status
shell_run(struct session *session, const struct invocation *invocation)
{
    struct settings defaults = invocation->settings;
    _cleanup_(error_freep) struct error *error = NULL;
    enum status status;

    if (defaults.id || defaults.output) {
        output_complain("--%s belongs to the commands inside the shell",
                        defaults.id ? "id" : "output");
        return STATUS_USAGE;
    }
    if (!session_connect(session, &defaults, &error)) {
        output_error(error);
        return session_status(error);
    }
    session->kept = true;
    shell_session = session;
    status = output_is_terminal(STDIN_FILENO) ? read_terminal(session, &defaults)
                                              : read_script(session, &defaults);
    shell_session = NULL;
    session->kept = false;
    return status;
}

/* Ten times a second at the prompt: the agent's pings want answers. */
static int
keep_alive(void)
{
    if (shell_session && shell_session->client)
        client_service(shell_session->client);
    return watch_interrupt();
}

static int
watch_interrupt(void)
{
    if (interrupt_seen()) {
        rl_replace_line("", 0);
        rl_done = 1;
    }
    return 0;
}

/* The n-th line of the candidates, as readline asks for them one by one. */
static struct text candidates;
static char *candidates_rest;

static char *
next_candidate(const char *partial, int state)
{
    char *line;

    (void)partial;
    line = strtok_r(state == 0 ? candidates.bytes : NULL, "\n", &candidates_rest);
    /* readline frees it with free(). */
    return line ? xstrdup(line) : NULL;
}

static char **
complete(const char *partial, int start, int end)
{
    _cleanup_free_ char *before = xstrndup(rl_line_buffer, (size_t)start);
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_(words_done) struct words words = { 0 };
    const char *equals = strncmp(partial, "--", 2) == 0 ? strchr(partial, '=') : NULL;
    bool files = false;

    (void)end;
    rl_attempted_completion_over = 1;
    text_clear(&candidates);
    if (!words_split(before, &words, &error))
        return NULL;
    completion_candidates(shell_session->verbs, (const char *const *)words.all, words.count,
                          partial, &candidates, &files);
    if (candidates.length > 0 && equals) {
        /* To readline the whole of --format=js is the word. */
        _cleanup_text_ struct text values = candidates;
        char *rest = NULL;

        candidates = TEXT_INIT;
        for (char *value = strtok_r(values.bytes, "\n", &rest); value;
             value = strtok_r(NULL, "\n", &rest))
            text_printf(&candidates, "%.*s%s\n", (int)(equals - partial + 1), partial, value);
    }
    if (candidates.length > 0)
        return rl_completion_matches(partial, next_candidate);
    rl_attempted_completion_over = !files;
    return NULL;
}
