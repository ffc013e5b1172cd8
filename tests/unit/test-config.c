/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/config.h"

static char file[] = "/tmp/hostler-test-config-XXXXXX";

static void
write_file(const char *text)
{
    FILE *stream = fopen(file, "we");

    assert_non_null(stream);
    assert_true(fputs(text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

static bool
load(const char *text, const char *first, const char *second, struct config **ret_config,
     struct error **err)
{
    char *argv[] = { (char *)(uintptr_t) "hostlerd", (char *)(uintptr_t) "--config", file,
                     (char *)(uintptr_t)first,       (char *)(uintptr_t)second,      NULL };
    int leave;

    write_file(text);
    return config_load(first ? second ? 5 : 4 : 3, argv, ret_config, &leave, err);
}

static void
assert_refused(const char *text, const char *flag, const char *value, const char *wanted)
{
    struct config *config = NULL;
    struct error *error = NULL;

    assert_false(load(text, flag, value, &config, &error));
    if (!strstr(error->message, wanted))
        fail_msg("'%s' is not in '%s'", wanted, error->message);
    error_free(error);
}

static void
an_empty_file_leaves_the_defaults(void **state)
{
    struct config *config = NULL;
    struct error *error = NULL;

    (void)state;
    assert_true(load("", NULL, NULL, &config, &error));
    assert_string_equal(config->run_dir, "/run/hostler");
    assert_string_equal(config->socket_path, "/run/hostler/hostlerd.sock");
    assert_int_equal(config->workers, 8);
    assert_int_equal(config->task_retention_s, 600);
    assert_int_equal(config->task_history, 100000);
    assert_int_equal(config->limits.frame_size, 4 << 20);
    assert_null(config->repositories);
    config_free(config);
}

static void
the_file_is_read_and_the_command_line_wins(void **state)
{
    struct config *config = NULL;
    struct error *error = NULL;

    (void)state;
    assert_true(load(
        "name = file\nworkers = 3\nlisten = 127.0.0.1:1\nlisten = [::1]:2\n; a comment\n"
        "[limits]\ncopies = 2\n[repository fast]\nkind = dir\npath = /srv/fast\n[repository slow]\n"
        "path = /srv/slow\nkind = dir\n",
        "--name", "line", &config, &error));
    assert_string_equal(config->name, "line");
    assert_int_equal(config->workers, 3);
    assert_string_equal(config->listen[0], "127.0.0.1:1");
    assert_string_equal(config->listen[1], "[::1]:2");
    assert_null(config->listen[2]);
    assert_int_equal(config->limits.copies, 2);
    assert_string_equal(config->repositories->name, "fast");
    assert_int_equal(config->repositories->number, 9);
    assert_int_equal(config->repositories->next->line_count, 2);
    assert_string_equal(config->repositories->next->lines[0].key, "path");
    assert_string_equal(config->repositories->next->lines[0].value, "/srv/slow");
    assert_int_equal(config->repositories->next->lines[0].number, 12);
    config_free(config);
}

static void
what_is_wrong_in_the_file_is_named_with_its_line(void **state)
{
    (void)state;
    assert_refused("name = a\nnonsense = 1\n", NULL, NULL, ":2: there is no setting 'nonsense'");
    assert_refused("workers = many\n", NULL, NULL, ":1: 'many' of 'workers'");
    assert_refused("workers = 0\n", NULL, NULL, "a number from 1 to 256");
    assert_refused("[limits]\nframes = 1\n", NULL, NULL, ":2: [limits] has no 'frames'");
    assert_refused("[what]\na = 1\n", NULL, NULL, "there is no section [what]");
    assert_refused("[repository a/b]\nkind = dir\n", NULL, NULL, "parameter 'repository' must be");
    assert_refused("[repository a]\nkind = dir\n[repository a]\nkind = dir\n", NULL, NULL,
                   ":4: [repository a] has two 'kind'");
    assert_refused("just words\n", NULL, NULL, ":1: ");
    assert_refused("log-level = loud\n", NULL, NULL, "'loud' is no log level");
}

static void
what_is_wrong_on_the_command_line_says_what_would_be_right(void **state)
{
    (void)state;
    assert_refused("", "--nonsense", NULL, "there is no flag '--nonsense': try --help");
    assert_refused("", "--workers", NULL, "'--workers' needs a value");
    assert_refused("", "positional", NULL, "'positional' is no flag");
    assert_refused("", "--listen", "0.0.0.0:1", "use --tls-listen");
    assert_refused("", "--listen", "127.0.0.1", "must be ADDRESS:PORT");
    assert_refused("", "--listen", "localhost:1", "no numeric address");
    assert_refused("", "--tls-listen", "0.0.0.0:1", "needs --tls-cert, --tls-key and --tls-ca");
    assert_refused("", "--gluster", "maybe", "must be auto or none");
}

static void
a_file_that_was_named_must_be_there(void **state)
{
    char *argv[] = { (char *)(uintptr_t) "hostlerd", (char *)(uintptr_t) "--config",
                     (char *)(uintptr_t) "/nowhere/hostlerd.conf", NULL };
    struct config *config = NULL;
    struct error *error = NULL;
    int leave;

    (void)state;
    assert_false(config_load(3, argv, &config, &leave, &error));
    assert_non_null(strstr(error->message, "/nowhere/hostlerd.conf"));
    error_free(error);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_leaves_the_defaults),
        cmocka_unit_test(the_file_is_read_and_the_command_line_wins),
        cmocka_unit_test(what_is_wrong_in_the_file_is_named_with_its_line),
        cmocka_unit_test(what_is_wrong_on_the_command_line_says_what_would_be_right),
        cmocka_unit_test(a_file_that_was_named_must_be_there),
    };
    int fd = mkstemp(file), failed;

    if (fd < 0)
        return 99;
    (void)close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(file);
    return failed;
}
