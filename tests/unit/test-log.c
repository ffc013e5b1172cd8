/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static int reading = -1; /* end of the pipe that is standard error while a test runs */
static int saved_stderr = -1;

static int
begin(void **state)
{
    int ends[2];

    (void)state;
    if (unsetenv("JOURNAL_STREAM") < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    saved_stderr = dup(STDERR_FILENO);
    if (saved_stderr < 0 || dup2(ends[1], STDERR_FILENO) < 0)
        return -1;
    reading = ends[0];
    return close(ends[1]);
}

static int
end(void **state)
{
    (void)state;
    if (dup2(saved_stderr, STDERR_FILENO) < 0)
        return -1;
    return close(saved_stderr) | close(reading);
}

/* What was written, by one read(2): one write(2) of the log each time. */
static const char *
written(void)
{
    static char text[8192];
    ssize_t got = read(reading, text, sizeof(text) - 1);

    text[got > 0 ? got : 0] = '\0';
    return text;
}

static void
a_line_has_time_level_and_text(void **state)
{
    const char *line;

    (void)state;
    log_open(LOG_LEVEL_INFO);
    log_warning("disk '%s' is %d %% full", "a", 99);
    line = written();
    assert_int_equal(strspn(line, "0123456789-T:.Z"), 24);
    assert_string_equal(line + 24, " warning: disk 'a' is 99 % full\n");
}

static void
a_line_about_a_task_names_it(void **state)
{
    (void)state;
    log_open(LOG_LEVEL_DEBUG);
    log_write(LOG_LEVEL_INFO, "copy-1", "begun");
    assert_non_null(strstr(written(), " info: task=copy-1 begun\n"));
    log_debug("copy-2", "%s", "looked");
    assert_non_null(strstr(written(), " debug: task=copy-2 looked\n"));
}

static void
lines_below_the_threshold_are_not_written(void **state)
{
    (void)state;
    log_open(LOG_LEVEL_WARNING);
    log_notice("no");
    log_debug(NULL, "no");
    assert_string_equal(written(), "");
    assert_false(log_enabled(LOG_LEVEL_NOTICE));
    assert_true(log_enabled(LOG_LEVEL_ERROR));
    log_error("yes");
    assert_non_null(strstr(written(), " error: yes\n"));
}

static void
one_event_is_one_line_without_control_characters(void **state)
{
    (void)state;
    log_open(LOG_LEVEL_INFO);
    log_write(LOG_LEVEL_INFO, "id\n2", "a\nforged: line\x1b[2J\x7f");
    assert_non_null(strstr(written(), " info: task=id?2 a?forged: line?[2J?\n"));
}

static void
each_level_is_known_by_its_name(void **state)
{
    static const struct {
        const char *name;
        enum log_level level;
    } cases[] = { { "error", LOG_LEVEL_ERROR },
                  { "warning", LOG_LEVEL_WARNING },
                  { "notice", LOG_LEVEL_NOTICE },
                  { "info", LOG_LEVEL_INFO },
                  { "debug", LOG_LEVEL_DEBUG } };
    enum log_level level = LOG_LEVEL_NOTICE;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_true(log_level_parse(cases[i].name, &level));
        assert_int_equal(level, cases[i].level);
    }
    level = LOG_LEVEL_NOTICE;
    assert_false(log_level_parse("loud", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_LEVEL_NOTICE);
}

static void
name_stream(int more)
{
    struct stat status;
    char stream[64];

    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    (void)snprintf(stream, sizeof(stream), "%lu:%lu", (unsigned long)status.st_dev,
                   (unsigned long)status.st_ino + (unsigned)more);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
}

static void
another_stream_than_the_journals_gets_plain_lines(void **state)
{
    (void)state;
    name_stream(1);
    log_open(LOG_LEVEL_INFO);
    log_info("here");
    assert_non_null(strstr(written(), " info: here\n"));
}

static void
the_journals_stream_without_its_socket_gets_priorities(void **state)
{
    (void)state;
    if (access("/run/systemd/journal/socket", F_OK) == 0)
        skip(); /* the line would go there */
    name_stream(0);
    log_open(LOG_LEVEL_INFO);
    log_write(LOG_LEVEL_WARNING, "t", "here");
    assert_string_equal(written(), "<4>task=t here\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_time_level_and_text, begin, end),
        cmocka_unit_test_setup_teardown(a_line_about_a_task_names_it, begin, end),
        cmocka_unit_test_setup_teardown(lines_below_the_threshold_are_not_written, begin, end),
        cmocka_unit_test_setup_teardown(one_event_is_one_line_without_control_characters, begin,
                                        end),
        cmocka_unit_test_setup_teardown(each_level_is_known_by_its_name, begin, end),
        cmocka_unit_test_setup_teardown(another_stream_than_the_journals_gets_plain_lines, begin,
                                        end),
        cmocka_unit_test_setup_teardown(the_journals_stream_without_its_socket_gets_priorities,
                                        begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
