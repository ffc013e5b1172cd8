/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static const struct child_limits roomy = { .timeout_ms = 60000, .output_size = 4 << 20 };

/* Runs a shell script: the tests' children, never the agent's. */
static bool
run_script(const char *script, const struct child_limits *limits, struct text *ret_output,
           struct error **err)
{
    const char *const argv[] = { "sh", "-c", script, NULL };

    return child_run(argv, -1, limits, ret_output, err);
}

static void
assert_output(const char *script, const struct child_limits *limits, const char *expected)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    if (!run_script(script, limits, &output, &err))
        fail_msg("%s", err->message);
    assert_string_equal(output.bytes, expected);
}

static void
a_variable_more_is_had_for_the_asking(void **state)
{
    const char *const argv[] = { "sh", "-c", "echo $MORE", NULL };
    struct child_limits limits = roomy;
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    (void)state;
    limits.variable = "MORE=a b";
    assert_true(child_run(argv, -1, &limits, &output, &err));
    assert_string_equal(output.bytes, "a b\n");
}

/* The error of a script that fails, with nothing touched; to be freed. */
static struct error *
failure_of(const char *script, const struct child_limits *limits, enum error_code code)
{
    _cleanup_text_ struct text output = TEXT_INIT;
    struct error *err = NULL;

    assert_false(run_script(script, limits, &output, &err));
    assert_null(output.bytes);
    if (err->code != code)
        fail_msg("%s (%s) instead of %s", error_code_name(err->code), err->message,
                 error_code_name(code));
    return err;
}

static void
standard_output_comes_back_and_standard_error_does_not(void **state)
{
    (void)state;
    assert_output("echo one; echo two >&2; echo three", &roomy, "one\nthree\n");
    assert_output(":", &roomy, "");
}

static void
a_program_that_is_asked_may_have_any_status(void **state)
{
    const char *const argv[] = { "sh", "-c", "echo one; echo two >&2; exit 3", NULL };
    const char *const killed[] = { "sh", "-c", "kill -9 $$", NULL };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT, errors = TEXT_INIT;
    int status = -1;

    (void)state;
    assert_true(child_ask(argv, -1, &roomy, &output, &errors, &status, &err));
    assert_string_equal(output.bytes, "one\n");
    assert_string_equal(errors.bytes, "two\n");
    assert_int_equal(status, 3);
    assert_false(child_ask(killed, -1, &roomy, &output, &errors, &status, &err));
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    assert_int_equal(status, 3);
}

static void
arguments_arrive_as_they_are(void **state)
{
    const char *const argv[] = { "printf", "%s|", "a b", "$HOME", "*", "", "\"'\n", NULL };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    (void)state;
    assert_true(child_run(argv, -1, &roomy, &output, &err));
    assert_string_equal(output.bytes, "a b|$HOME|*||\"'\n|");
}

static void
the_environment_is_three_variables(void **state)
{
    const char *const argv[] = { "env", NULL };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *expected = xprintf("PATH=%s\nLC_ALL=C\nHOME=/\n", getenv("PATH"));
    _cleanup_text_ struct text output = TEXT_INIT;

    (void)state;
    assert_int_equal(setenv("SECRET_TOKEN", "x", 1), 0);
    assert_true(child_run(argv, -1, &roomy, &output, &err));
    assert_string_equal(output.bytes, expected);
}

static void
it_runs_in_the_folder_asked_for_with_no_input(void **state)
{
    const char *const argv[] = { "sh", "-c", "cat; pwd", NULL };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;
    _cleanup_close_ int fd = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    assert_true(child_run(argv, fd, &roomy, &output, &err));
    assert_string_equal(output.bytes, "/usr\n");
}

static void
it_gets_no_descriptor_but_the_first_three(void **state)
{
    _cleanup_close_ int leaked = fcntl(STDOUT_FILENO, F_DUPFD, 77); /* as a library may */

    (void)state;
    assert_true(leaked >= 77);
    assert_output(
        "for fd in 0 1 2 3 4 5 6 7 8 9 77; do [ -e /proc/$$/fd/$fd ] && echo $fd; done; :", &roomy,
        "0\n1\n2\n");
}

static void
no_signal_is_blocked_or_ignored_in_it(void **state)
{
    sigset_t blocked;
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);

    (void)state;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0);
    /* Without 32 and 33, which are glibc's own and cannot be set. */
    assert_output("while read -r name mask; do case $name in SigBlk: | SigIgn:)"
                  "  echo $((0x$mask & ~0x180000000)) ;; esac; done </proc/self/status",
                  &roomy, "0\n0\n");
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &blocked, NULL), 0);
    (void)signal(SIGPIPE, before);
}

static void
its_limits_are_those_asked_for(void **state)
{
    struct child_limits limits = roomy;

    (void)state;
    limits.memory_size = UINT64_C(1) << 30;
    limits.file_size = 1 << 20;
    limits.cpu_s = 7;
    assert_output("ulimit -v; ulimit -f; ulimit -t; ulimit -c", &limits, "1048576\n2048\n7\n0\n");
}

static void
a_failure_has_status_and_last_words_as_data(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    err =
        failure_of("echo first >&2; echo 'no \"disk\"' >&2; exit 3", &roomy, ERROR_BACKEND_FAILED);
    assert_string_equal(err->message, "'sh' failed with status 3: no \"disk\"");
    assert_string_equal(err->data,
                        "\"backend\":\"sh\",\"code\":3,\"text\":\"first\\nno \\\"disk\\\"\"");
}

static void
a_silent_failure_says_its_status(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    err = failure_of("exit 1", &roomy, ERROR_BACKEND_FAILED);
    assert_string_equal(err->message, "'sh' failed with status 1");
    assert_string_equal(err->data, "\"backend\":\"sh\",\"code\":1,\"text\":\"\"");
}

static void
a_death_by_signal_is_a_failure(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    err = failure_of("kill -9 $$", &roomy, ERROR_BACKEND_FAILED);
    assert_string_equal(err->message, "'sh' was ended by signal 9");
    assert_non_null(strstr(err->data, "\"code\":-9"));
}

static void
of_many_errors_the_last_four_kilobytes_are_kept(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    err = failure_of("head -c 1000000 /dev/zero | tr '\\0' e >&2; echo END >&2; exit 1", &roomy,
                     ERROR_BACKEND_FAILED);
    assert_non_null(strstr(err->data, "eEND\""));
    assert_int_equal(strlen(strstr(err->data, "\"text\":")), 4096 - 1 + strlen("\"text\":\"\""));
}

static void
large_output_on_both_pipes_blocks_nobody(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    (void)state;
    assert_true(run_script("head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero;"
                           "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero",
                           &roomy, &output, &err));
    assert_int_equal(output.length, 2000000);
}

static void
more_output_than_allowed_is_an_error(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct child_limits limits = roomy;

    (void)state;
    limits.output_size = 4;
    assert_output("printf 1234", &limits, "1234");
    err = failure_of("printf 12345", &limits, ERROR_LIMIT_EXCEEDED);
    error_free(TAKE(err));
    err = failure_of("yes", &limits, ERROR_LIMIT_EXCEEDED);
}

static void
a_program_that_is_not_there_is_unavailable(void **state)
{
    const char *const missing[] = { "hostler-no-such-program", NULL };
    const char *const no_program[] = { "/etc/passwd", NULL };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    (void)state;
    assert_false(child_run(missing, -1, &roomy, &output, &err));
    assert_int_equal(err->code, ERROR_BACKEND_UNAVAILABLE);
    assert_non_null(strstr(err->data, "\"backend\":\"hostler-no-such-program\",\"reason\":\""));
    error_free(TAKE(err));
    assert_false(child_run(no_program, -1, &roomy, &output, &err));
    assert_int_equal(err->code, ERROR_BACKEND_UNAVAILABLE);
}

static void
a_program_that_cannot_be_executed_is_an_error(void **state)
{
    char path[] = "/tmp/hostler-child-XXXXXX";
    const char *const argv[] = { path, NULL };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;
    int fd;

    (void)state;
    if (getenv("HOSTLER_VALGRIND"))
        skip(); /* valgrind ends the child itself where execve() fails behind its back */
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "#!/no/such/interpreter\n", 23), 23);
    assert_int_equal(fchmod(fd, 0755) | close(fd), 0);
    assert_false(child_run(argv, -1, &roomy, &output, &err));
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    assert_non_null(strstr(err->message, "No such file"));
    assert_int_equal(unlink(path), 0);
}

static void
programs_are_found_in_absolute_folders_of_path_only(void **state)
{
    _cleanup_free_ char *before = xstrdup(getenv("PATH"));
    _cleanup_close_ int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    assert_true(child_exists("sh"));
    assert_true(child_exists("/bin/sh"));
    assert_false(child_exists("hostler-no-such-program"));
    assert_false(child_exists("/bin"));
    assert_false(child_exists(""));
    assert_int_equal(chdir("/bin"), 0);
    assert_int_equal(setenv("PATH", ".::/no-such-folder", 1), 0);
    assert_false(child_exists("sh"));
    assert_int_equal(setenv("PATH", ":.:/bin:", 1), 0);
    assert_true(child_exists("sh"));
    assert_int_equal(unsetenv("PATH"), 0);
    assert_true(child_exists("sh"));
    assert_int_equal(setenv("PATH", before, 1), 0);
    assert_int_equal(fchdir(here), 0);
}

static void
what_takes_too_long_is_killed(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct child_limits limits = roomy;

    (void)state;
    limits.timeout_ms = 50;
    err = failure_of("trap '' TERM; sleep 1000", &limits, ERROR_TIMEOUT);
    assert_string_equal(err->message, "'sh' took longer than 50 ms");
    error_free(TAKE(err));
    err = failure_of("exec >&- 2>&-; sleep 1000", &limits, ERROR_TIMEOUT);
    error_free(TAKE(err));
    err = failure_of("exec yes >&2", &limits, ERROR_TIMEOUT);
}

static void
an_abort_kills_it(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    atomic_bool abort = true;
    struct child_limits limits = roomy;

    (void)state;
    limits.abort = &abort;
    err = failure_of("sleep 1000", &limits, ERROR_TASK_ABORTED);
}

static bool
is_running(const char *pid)
{
    _cleanup_free_ char *path = xprintf("/proc/%.*s/stat", (int)strcspn(pid, "\n"), pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    char line[256] = "";
    const char *end;

    if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0)
        return false;
    end = strrchr(line, ')'); /* "PID (NAME) STATE": Z until its new parent has asked */
    return end && end[2] != 'Z';
}

static void
what_it_left_running_is_killed_and_not_waited_for(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    (void)state;
    assert_true(run_script("sleep 1000 & echo $!", &roomy, &output, &err));
    while (is_running(output.bytes)) /* the kill was sent; it ends when it is scheduled */
        sched_yield();
}

static void *
run_many(void *context)
{
    (void)context;
    for (unsigned i = 0; i < 20; i++) {
        _cleanup_(error_freep) struct error *err = NULL;
        _cleanup_text_ struct text output = TEXT_INIT;
        _cleanup_free_ char *number = xprintf("%u", i);
        const char *const argv[] = { "printf", "%s", number, NULL };

        if (!child_run(argv, -1, &roomy, &output, &err) || strcmp(output.bytes, number) != 0)
            return err ? err->message : number;
    }
    return NULL;
}

static void
threads_run_children_at_the_same_time(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_many, NULL), 0);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++) {
        void *wrong;

        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

/* Serves with a shell script, ends it, and gives its standard error. */
static char *
serve(const char *script, unsigned patience_ms)
{
    const char *const argv[] = { "sh", "-c", script, NULL };
    _cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_(error_freep) struct error *err = NULL;
    struct child_server *server = NULL;
    struct text errors = TEXT_INIT;

    assert_true(listener >= 0);
    if (!child_serve(argv, listener, &server, &err))
        fail_msg("%s", err->message);
    child_server_end(server, patience_ms, &errors);
    return text_take(&errors);
}

static void
a_server_has_its_socket_as_descriptor_three_and_no_other(void **state)
{
    /* The shell looks by itself: a pipeline of it would have descriptors of its own for a moment. */
    _cleanup_free_ char *errors = serve(
        "test \"$LISTEN_FDS $LISTEN_PID\" = \"1 $$\" && readlink /proc/$$/fd/3 >&2;"
        "for n in 4 5 6 7 8 9 10 11 12; do test -e /proc/$$/fd/$n && echo also $n >&2; done; :",
        60000);

    (void)state;
    if (strncmp(errors, "socket:[", 8) != 0 || strstr(errors, "also"))
        fail_msg("%s", errors);
}

static void
a_server_that_does_not_end_is_killed(void **state)
{
    _cleanup_free_ char *errors = serve("while :; do sleep 1000; done", 0);

    (void)state;
    assert_string_equal(errors, "");
}

static void
a_server_that_prints_much_is_not_held_up(void **state)
{
    _cleanup_free_ char *errors =
        serve("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo >/dev/null end", 60000);

    (void)state;
    assert_true(strlen(errors) > 0);
}

static void
a_server_that_is_not_there_is_unavailable(void **state)
{
    const char *const argv[] = { "no-such-server", NULL };
    _cleanup_(error_freep) struct error *err = NULL;
    struct child_server *server = NULL;

    (void)state;
    assert_false(child_serve(argv, STDIN_FILENO, &server, &err));
    assert_int_equal(err->code, ERROR_BACKEND_UNAVAILABLE);
    assert_null(server);
}

static void
a_daemon_holds_what_it_was_given_and_outlives_its_start(void **state)
{
    /* It waits until it is told, by which time what has started it is gone. */
    static const char script[] = "export folder=$1; setsid --fork sh -c '"
                                 "readlink /proc/$$/fd/3 | grep -q ^socket: && mkdir $folder/begun;"
                                 "until test -e $folder/go; do sleep 0.01; done; printf d >&4' &"
                                 "until test -e $folder/begun; do sleep 0.01; done";
    char folder[] = "/tmp/hostler-child-XXXXXX";
    const char *const argv[] = { "sh", "-c", script, "sh", folder, NULL };
    const struct child_limits limits = { .timeout_ms = 60000 };
    _cleanup_free_ char *begun = NULL, *go = NULL;
    _cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_(error_freep) struct error *err = NULL;
    int ends[2];
    char byte;

    (void)state;
    assert_non_null(mkdtemp(folder));
    begun = xprintf("%s/begun", folder);
    go = xprintf("%s/go", folder);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    if (!child_leave_daemon(argv, listener, ends[1], &limits, &err))
        fail_msg("%s", err->message);
    (void)close(ends[1]); /* the daemon alone keeps it open now */
    assert_int_equal(mkdir(go, 0700), 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'd');
    assert_int_equal(read(ends[0], &byte, 1), 0);
    (void)close(ends[0]);
    assert_int_equal(rmdir(begun), 0);
    assert_int_equal(rmdir(go), 0);
    assert_int_equal(rmdir(folder), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_output_comes_back_and_standard_error_does_not),
        cmocka_unit_test(a_program_that_is_asked_may_have_any_status),
        cmocka_unit_test(arguments_arrive_as_they_are),
        cmocka_unit_test(the_environment_is_three_variables),
        cmocka_unit_test(a_variable_more_is_had_for_the_asking),
        cmocka_unit_test(it_runs_in_the_folder_asked_for_with_no_input),
        cmocka_unit_test(it_gets_no_descriptor_but_the_first_three),
        cmocka_unit_test(no_signal_is_blocked_or_ignored_in_it),
        cmocka_unit_test(its_limits_are_those_asked_for),
        cmocka_unit_test(a_failure_has_status_and_last_words_as_data),
        cmocka_unit_test(a_silent_failure_says_its_status),
        cmocka_unit_test(a_death_by_signal_is_a_failure),
        cmocka_unit_test(of_many_errors_the_last_four_kilobytes_are_kept),
        cmocka_unit_test(large_output_on_both_pipes_blocks_nobody),
        cmocka_unit_test(more_output_than_allowed_is_an_error),
        cmocka_unit_test(a_program_that_is_not_there_is_unavailable),
        cmocka_unit_test(a_program_that_cannot_be_executed_is_an_error),
        cmocka_unit_test(programs_are_found_in_absolute_folders_of_path_only),
        cmocka_unit_test(what_takes_too_long_is_killed),
        cmocka_unit_test(an_abort_kills_it),
        cmocka_unit_test(what_it_left_running_is_killed_and_not_waited_for),
        cmocka_unit_test(threads_run_children_at_the_same_time),
        cmocka_unit_test(a_server_has_its_socket_as_descriptor_three_and_no_other),
        cmocka_unit_test(a_server_that_does_not_end_is_killed),
        cmocka_unit_test(a_server_that_prints_much_is_not_held_up),
        cmocka_unit_test(a_server_that_is_not_there_is_unavailable),
        cmocka_unit_test(a_daemon_holds_what_it_was_given_and_outlives_its_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
