/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner against a program of the test's own that stands in for gluster: what it printed, and with
 * which status, is what matters here.  Real answers are read in the tests of each object.
 */
#include <config.h>

#include "gluster/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/recorded-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static char folder[] = "/tmp/hostler-test-gluster-XXXXXX";
static char *path;

/* What "gluster" does from now on: a shell script. */
static void
make_gluster(const char *script)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fprintf(file, "#!/bin/sh\n%s\n", script) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

static struct error *
failure_of(const char *script, enum error_code code)
{
    const struct gluster_command command = { .arguments = GLUSTER_ARGUMENTS("volume", "info"),
                                             .kind = "volume",
                                             .id = "gv0",
                                             .timeout_s = 30 };
    struct xml_document *document = NULL;
    struct error *err = NULL;

    make_gluster(script);
    assert_false(gluster_command_run(&command, &document, &err));
    assert_null(document);
    if (err->code != code)
        fail_msg("%s (%s) instead of %s", error_code_name(err->code), err->message,
                 error_code_name(code));
    return err;
}

#define FAILED(number, words)                                                                      \
    "echo '<?xml version=\"1.0\"?><cliOutput><opRet>-1</opRet><opErrno>" #number                   \
    "</opErrno><opErrstr>" words "</opErrstr></cliOutput>'; exit 1"

static void
arguments_arrive_and_the_answer_is_read(void **unused)
{
    const struct gluster_command command = { .arguments =
                                                 GLUSTER_ARGUMENTS("volume", "set", "a b", "$x") };
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(error_freep) struct error *err = NULL;

    (void)unused;
    make_gluster("printf '<cliOutput><opRet>0</opRet><words>'; printf '%s|' \"$@\"; "
                 "echo '</words></cliOutput>'");
    assert_true(gluster_command_run(&command, &document, &err));
    assert_string_equal(xml_text(xml_root(document), "words"),
                        "--mode=script|--xml|--timeout=120|volume|set|a b|$x|");
    assert_true(gluster_command_run(&command, NULL, &err));
}

static void
glusterds_words_and_number_are_told(void **unused)
{
    _cleanup_(error_freep) struct error *err =
        failure_of(FAILED(30800, "Something  went\n wrong."), ERROR_BACKEND_FAILED);

    (void)unused;
    assert_string_equal(err->message, "glusterd refused: Something went wrong");
    assert_string_equal(err->data,
                        "\"backend\":\"gluster\",\"code\":30800,\"text\":\"Something went wrong\"");
}

static void
common_refusals_get_names_of_our_own(void **unused)
{
    static const struct {
        const char *script;
        enum error_code code;
        const char *data;
    } table[] = {
        { FAILED(30806, "Volume gv0 does not exist"), ERROR_NOT_FOUND,
          "\"kind\":\"volume\",\"id\":\"gv0\"" },
        { FAILED(30800, "Volume gv0 already exists"), ERROR_ALREADY_EXISTS, "\"id\":\"gv0\"" },
        { FAILED(30800, "Volume gv0 already started"), ERROR_WRONG_STATE,
          "\"state\":\"started\",\"needs\":\"stopped\"" },
        { FAILED(30800, "Volume gv0 is not started"), ERROR_WRONG_STATE, "\"needs\":\"started\"" },
        { FAILED(30803, "One or more bricks are not running"), ERROR_WRONG_STATE,
          "\"needs\":\"all bricks online\"" },
        { FAILED(30805, "has reached the effective maximum limit of 7, for the volume (gv0)"),
          ERROR_LIMIT_EXCEEDED, "\"limit\":\"snapshots of a volume\",\"max\":7" },
        { FAILED(30800, "Rebalance on gv0 is already started"), ERROR_WRONG_STATE,
          "\"state\":\"rebalancing\"" },
        { FAILED(30800, "Rebalance is in progress. Please retry after completion"),
          ERROR_WRONG_STATE, "\"state\":\"rebalancing\"" },
        { FAILED(30800, "Rebalance not started for volume gv0."), ERROR_WRONG_STATE,
          "\"state\":\"idle\"" },
        { FAILED(30800, "An earlier remove-brick task exists for volume gv0. Either commit it"),
          ERROR_WRONG_STATE, "\"state\":\"removing bricks\"" },
        { FAILED(30800, "A remove-brick task on volume gv0 is not yet committed."),
          ERROR_WRONG_STATE, "\"state\":\"removing bricks\"" },
        { FAILED(30800, "use 'force' option as migration is in progress"), ERROR_WRONG_STATE,
          "\"needs\":\"waitingForCommit\"" },
        { FAILED(30800, "Host node of the brick h:/b is down"), ERROR_WRONG_STATE,
          "\"state\":\"host down\"" },
        { FAILED(22, "Snapshot s1 is already activated."), ERROR_WRONG_STATE,
          "\"state\":\"active\",\"needs\":\"inactive\"" },
        { FAILED(30800, "/bricks/0 is already part of a volume"), ERROR_WRONG_STATE,
          "\"state\":\"part of a volume\"" },
        { FAILED(30800, "option : a.b does not exist Did you mean a.c?"), ERROR_BACKEND_FAILED,
          "\"text\":\"option : a.b" },
        { FAILED(30800, "Another transaction is in progress for gv0. Please try again"), ERROR_BUSY,
          "\"retryAfterMs\":2000" },
        { FAILED(30800, "Error : Request timed out"), ERROR_TIMEOUT, "\"backend\":\"gluster\"" },
        { "echo 'Connection failed. Please check if gluster daemon is operational.'; exit 1",
          ERROR_BACKEND_UNAVAILABLE, "\"reason\":\"Connection failed" },
        { "echo 'Usage: volume info'; exit 1", ERROR_BACKEND_FAILED, "\"text\":\"Usage: volume" },
        { "exit 1", ERROR_BACKEND_FAILED, "it printed nothing" },
        { "echo '<a/>'", ERROR_BACKEND_FAILED, "no opRet" },
        { "echo '<cliOutput><opRet>0</opRet>'", ERROR_BACKEND_FAILED, "\"text\":" },
        { "kill -9 $$", ERROR_BACKEND_FAILED, "\"code\":-9" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(error_freep) struct error *err = failure_of(table[i].script, table[i].code);

        if (!strstr(err->data, table[i].data))
            fail_msg("%s has no %s", err->data, table[i].data);
    }
}

static void
a_value_that_glusterd_refuses_is_told_with_its_parameter(void **unused)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "set", "gv0", "a", "b"), .param = "options"
    };
    static const struct {
        const char *script, *data;
    } table[] = {
        { FAILED(30800, "option : a.b does not existDid you mean a.c?"),
          "\"param\":\"options\",\"reason\":\"option : a.b does not exist: Did you mean a.c?\"" },
        { FAILED(30800, "Option a.b does not exist\nDid you mean a.c?"),
          "\"reason\":\"Option a.b does not exist: Did you mean a.c?\"" },
        { FAILED(30800, "Error, Validation Failed"),
          "\"reason\":\"Error, Validation Failed: a value is none that its option takes\"" },
        { FAILED(30800,
                 "&apos;9&apos; in &apos;option thread-count 9&apos; is out of range [1 - 8]"),
          "is out of range" },
        { FAILED(30800, "invalid number format \"green\" in option \"cache-size\""), "green" },
        { "printf 'Please provide a valid hostname other than this\n\nUsage:\nvolume create' >&2; "
          "exit 1",
          "\"reason\":\"Please provide a valid hostname other than this\"" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(error_freep) struct error *err = NULL;

        make_gluster(table[i].script);
        assert_false(gluster_command_run(&command, NULL, &err));
        if (err->code != ERROR_INVALID_PARAMS || !strstr(err->data, table[i].data))
            fail_msg("%s: %s has no %s", error_code_name(err->code), err->data, table[i].data);
    }
}

static void
what_glusterd_was_heard_to_say_of_volumes_has_a_name(void **unused)
{
    static const struct {
        const char *file;
        enum error_code code;
    } table[] = {
        { "add-brick-exists.xml", ERROR_WRONG_STATE },
        { "add-brick-in-use.xml", ERROR_WRONG_STATE },
        { "add-brick-no-folder.xml", ERROR_INVALID_PARAMS },
        { "add-brick-rebalancing.xml", ERROR_WRONG_STATE },
        { "add-brick-unknown-volume.xml", ERROR_NOT_FOUND },
        { "replace-brick-distribute.xml", ERROR_WRONG_STATE },
        { "replace-brick-in-use.xml", ERROR_WRONG_STATE },
        { "replace-brick-stopped.xml", ERROR_WRONG_STATE },
        { "replace-brick-unknown-volume.xml", ERROR_NOT_FOUND },
        { "reset-brick-commit-not-started.xml", ERROR_WRONG_STATE },
        { "reset-brick-commit.xml", ERROR_WRONG_STATE },
        { "volume-create-brick-in-use.xml", ERROR_WRONG_STATE },
        { "volume-create-brick-was-in-use.xml", ERROR_WRONG_STATE },
        { "volume-create-brick-within-brick.xml", ERROR_WRONG_STATE },
        { "volume-create-exists.xml", ERROR_ALREADY_EXISTS },
        { "volume-create-no-folder.xml", ERROR_INVALID_PARAMS },
        { "volume-create-not-in-pool.xml", ERROR_INVALID_PARAMS },
        { "volume-create-same-host.xml", ERROR_INVALID_PARAMS },
        { "volume-create-unknown-host.xml", ERROR_INVALID_PARAMS },
        { "volume-delete-down-peer.xml", ERROR_WRONG_STATE },
        { "volume-delete-started.xml", ERROR_WRONG_STATE },
        { "volume-delete-unknown.xml", ERROR_NOT_FOUND },
        { "volume-get-unknown-volume.xml", ERROR_NOT_FOUND },
        { "volume-reset-unknown-option.xml", ERROR_INVALID_PARAMS },
        { "volume-reset-unknown-volume.xml", ERROR_NOT_FOUND },
        { "volume-set-all-bad.xml", ERROR_INVALID_PARAMS },
        { "volume-set-bad-boolean.xml", ERROR_INVALID_PARAMS },
        { "volume-set-bad-value.xml", ERROR_INVALID_PARAMS },
        { "volume-set-nearly.xml", ERROR_INVALID_PARAMS },
        { "volume-set-unknown-option.xml", ERROR_INVALID_PARAMS },
        { "volume-set-unknown-volume.xml", ERROR_NOT_FOUND },
        { "volume-start-started.xml", ERROR_WRONG_STATE },
        { "volume-start-unknown.xml", ERROR_NOT_FOUND },
        { "volume-stop-not-started.xml", ERROR_WRONG_STATE },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(xml_freep) struct xml_document *document = recorded_document(table[i].file);
        const struct xml_node *root = xml_root(document);
        const struct gluster_failure *failure =
            gluster_failure_find((int)xml_count(root, "opErrno"), xml_text(root, "opErrstr"));

        if (!failure || failure->code != table[i].code)
            fail_msg("%s: '%s' is %s", table[i].file, xml_text(root, "opErrstr"),
                     failure ? error_code_name(failure->code) : "unknown");
    }
}

static void
what_was_to_be_made_exists_and_what_it_is_about_does_not(void **unused)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("snapshot", "create", "s1", "gv0"),
        .kind = "volume",
        .id = "gv0",
        .made_kind = "snapshot",
        .made_id = "s1",
    };
    static const struct {
        const char *script;
        enum error_code code;
        const char *data;
    } table[] = {
        { FAILED(30812, "Snapshot s1 already exists"), ERROR_ALREADY_EXISTS,
          "\"kind\":\"snapshot\",\"id\":\"s1\"" },
        { FAILED(30806, "Volume (gv0) does not exist"), ERROR_NOT_FOUND,
          "\"kind\":\"volume\",\"id\":\"gv0\"" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(error_freep) struct error *err = NULL;

        make_gluster(table[i].script);
        assert_false(gluster_command_run(&command, NULL, &err));
        assert_int_equal(err->code, table[i].code);
        if (!strstr(err->data, table[i].data))
            fail_msg("%s has no %s", err->data, table[i].data);
    }
}

static void
no_word_becomes_an_option_of_gluster(void **unused)
{
    const struct gluster_command command = { .arguments = GLUSTER_ARGUMENTS("snapshot", "create",
                                                                            "--remote-host=far") };
    _cleanup_(error_freep) struct error *err = NULL;

    (void)unused;
    make_gluster("printf '<cliOutput><opRet>0</opRet></cliOutput>'");
    assert_false(gluster_command_run(&command, NULL, &err));
    assert_int_equal(err->code, ERROR_INVALID_PARAMS);
}

static void
output_without_end_is_cut_off(void **unused)
{
    (void)unused;
    error_free(failure_of("exec yes '<a>'", ERROR_LIMIT_EXCEEDED));
}

static void
an_abort_ends_it(void **unused)
{
    atomic_bool abort = true;
    const struct gluster_command command = { .arguments = GLUSTER_ARGUMENTS("volume", "info"),
                                             .abort = &abort };
    _cleanup_(error_freep) struct error *err = NULL;

    (void)unused;
    make_gluster("exec sleep 1000");
    assert_false(gluster_command_run(&command, NULL, &err));
    assert_int_equal(err->code, ERROR_TASK_ABORTED);
}

static void
nothing_is_asked_when_it_is_switched_off(void **unused)
{
    (void)unused;
    gluster_command_refuse("switched off");
    error_free(
        failure_of("echo '<cliOutput><opRet>0</opRet></cliOutput>'", ERROR_BACKEND_UNAVAILABLE));
    gluster_command_refuse(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_arrive_and_the_answer_is_read),
        cmocka_unit_test(glusterds_words_and_number_are_told),
        cmocka_unit_test(common_refusals_get_names_of_our_own),
        cmocka_unit_test(a_value_that_glusterd_refuses_is_told_with_its_parameter),
        cmocka_unit_test(what_glusterd_was_heard_to_say_of_volumes_has_a_name),
        cmocka_unit_test(what_was_to_be_made_exists_and_what_it_is_about_does_not),
        cmocka_unit_test(no_word_becomes_an_option_of_gluster),
        cmocka_unit_test(output_without_end_is_cut_off),
        cmocka_unit_test(an_abort_ends_it),
        cmocka_unit_test(nothing_is_asked_when_it_is_switched_off),
    };
    _cleanup_free_ char *search = NULL;
    int failures;

    xml_prepare();
    if (!mkdtemp(folder))
        return 1;
    path = xprintf("%s/gluster", folder);
    search = xprintf("%s:/usr/bin:/bin", folder);
    if (setenv("PATH", search, 1) < 0)
        return 1;
    failures = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    (void)rmdir(folder);
    free(path);
    return failures;
}
