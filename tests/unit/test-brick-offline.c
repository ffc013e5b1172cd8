/* SPDX-License-Identifier: Apache-2.0 */
/* The table of brick-offline.h, cell by cell, and whose a removal is. */
#include <config.h>

#include "gluster/brick-offline.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "gluster/removal.h"

static char a[] = "h1:/b/a", b[] = "h2:/b/b", c[] = "h3:/b/c", gone[] = "h4:/b/d",
            gone_too[] = "h5:/b/e";
static char name[] = "gv0", started[] = "started", id[] = "the-operation", host[] = "h3";

/* A volume of a, b and c. */
struct scene {
    struct brick bricks[3];
    struct volume volume;
    char *removed[4];
    struct operation_host hosts[1];
    struct operation operation;
    struct volume_work work;
};

static void
set_up(struct scene *scene)
{
    *scene = (struct scene){ 0 };
    scene->bricks[0].name = a;
    scene->bricks[1].name = b;
    scene->bricks[2].name = c;
    scene->volume = (struct volume){
        .name = name, .state = started, .bricks = scene->bricks, .brick_count = 3, .replica = 3
    };
    scene->work.volume = &scene->volume;
}

static void
operate(struct scene *scene, enum operation_kind kind, enum operation_status status, char *first,
        char *second)
{
    scene->removed[0] = first;
    scene->removed[1] = second;
    scene->removed[2] = NULL;
    scene->hosts[0] = (struct operation_host){ .host = host, .figures = { .failures = 7 } };
    scene->hosts[0].status = status;
    scene->operation =
        (struct operation){ .id = id,
                            .volume = name,
                            .kind = kind,
                            .status = status,
                            .hosts = scene->hosts,
                            .host_count = 1,
                            .bricks = kind == OPERATION_REMOVAL ? scene->removed : NULL };
    scene->work.operation = &scene->operation;
}

#define BRICKS(...) ((char *[]){ __VA_ARGS__, NULL })

static const char *const move_names[] = { "none", "start", "cancel", "wait", "commit", "refuse" };

/* What is done for 'bricks', found in the state of that name; NULL: it is refused as WrongState. */
static void
assert_move(const struct scene *scene, char *const *bricks, bool offline, const char *state_name,
            const char *move_name)
{
    struct error *error = NULL;
    enum brick_state state = BRICKS_STUCK;

    if (!brick_offline_look(&scene->work, bricks, offline, &state, &error)) {
        if (move_name)
            fail_msg("refused: %s", error->message);
        assert_int_equal(error->code, ERROR_WRONG_STATE);
        if (!strstr(error->data, state_name))
            fail_msg("refused with %s, not '%s'", error->data, state_name);
        error_free(error);
        return;
    }
    assert_string_equal(brick_state_name(state), state_name);
    if (!move_name)
        fail_msg("not refused");
    assert_string_equal(move_names[brick_offline_move(state, offline)], move_name);
}

static void
each_cell_has_its_move(void **unused)
{
    char **bricks = BRICKS(b, c);
    struct scene scene;

    (void)unused;
    set_up(&scene);
    assert_move(&scene, BRICKS(gone, gone_too), true, "absent", "none");
    assert_move(&scene, BRICKS(gone, gone_too), false, "\"state\":\"absent\"", NULL);
    assert_move(&scene, bricks, true, "serving", "start");
    assert_move(&scene, bricks, false, "serving", "none");
    operate(&scene, OPERATION_REMOVAL, OPERATION_RUNNING, c, b); /* in any order */
    assert_move(&scene, bricks, true, "removing", "wait");
    assert_move(&scene, bricks, false, "removing", "cancel");
    operate(&scene, OPERATION_REMOVAL, OPERATION_WAITING_FOR_COMMIT, c, b);
    assert_move(&scene, bricks, true, "removed", "commit");
    assert_move(&scene, bricks, false, "removed", "cancel");
}

static void
what_is_not_surely_ended_is_waited_for(void **unused)
{
    struct scene scene;

    (void)unused;
    set_up(&scene);
    operate(&scene, OPERATION_REMOVAL, OPERATION_UNKNOWN, c, NULL);
    assert_move(&scene, BRICKS(c), true, "removing", "wait");
    operate(&scene, OPERATION_REMOVAL, OPERATION_PENDING, c, NULL);
    assert_move(&scene, BRICKS(c), true, "removing", "wait");
}

static void
a_failure_without_files_is_explained(void **unused)
{
    struct operation_host failed = { .host = host, .status = OPERATION_FAILED };
    const struct operation operation = { .hosts = &failed, .host_count = 1 };
    _cleanup_free_ char *none = removal_failures(&operation), *some = NULL;

    (void)unused;
    assert_string_equal(none, "h3: failed, 0 files failed, 0 skipped: its glusterd has lost sight "
                              "of the work, as one that is restarted meanwhile does");
    failed.figures.skipped = 1;
    some = removal_failures(&operation);
    assert_string_equal(some, "h3: failed, 0 files failed, 1 skipped");
}

static void
files_left_behind_are_told_by_host_and_may_be_cancelled(void **unused)
{
    struct error *error = NULL;
    enum brick_state state;
    struct scene scene;

    (void)unused;
    set_up(&scene);
    operate(&scene, OPERATION_REMOVAL, OPERATION_FAILED, c, NULL);
    assert_false(brick_offline_look(&scene.work, BRICKS(c), true, &state, &error));
    assert_non_null(strstr(error->message, "h3: failed, 7 files failed, 0 skipped"));
    assert_non_null(strstr(error->data, "\"state\":\"failed\""));
    assert_non_null(strstr(error->data, "\"operation\":\"the-operation\""));
    error_free(error);
    assert_move(&scene, BRICKS(c), false, "failed", "cancel");
    operate(&scene, OPERATION_REMOVAL, OPERATION_STOPPED, c, NULL);
    assert_move(&scene, BRICKS(c), true, "\"state\":\"stopped\"", NULL);
}

static void
what_somebody_else_does_is_not_touched(void **unused)
{
    struct scene scene;

    (void)unused;
    set_up(&scene);
    operate(&scene, OPERATION_REMOVAL, OPERATION_RUNNING, a, NULL);
    assert_move(&scene, BRICKS(c), true, "\"operation\":\"the-operation\"", NULL);
    assert_move(&scene, BRICKS(c), false, "serving", "none");
    assert_move(&scene, BRICKS(gone), true, "absent", "none");
    operate(&scene, OPERATION_REMOVAL, OPERATION_RUNNING, a, c); /* of more bricks than these */
    assert_move(&scene, BRICKS(c), true, "\"operation\":\"the-operation\"", NULL);
    assert_move(&scene, BRICKS(c), false, "\"operation\":\"the-operation\"", NULL);
    operate(&scene, OPERATION_REMOVAL, OPERATION_RUNNING, c, NULL); /* of fewer */
    assert_move(&scene, BRICKS(b, c), true, "a removal of all these bricks", NULL);
    assert_move(&scene, BRICKS(b, c), false, "removing", "cancel");
    operate(&scene, OPERATION_REBALANCE, OPERATION_RUNNING, NULL, NULL);
    assert_move(&scene, BRICKS(c), true, "\"kind\":\"rebalance\"", NULL);
    assert_move(&scene, BRICKS(c), false, "serving", "none");
    operate(&scene, OPERATION_REBALANCE, OPERATION_COMPLETED, NULL, NULL);
    assert_move(&scene, BRICKS(c), true, "serving", "start");
}

static void
those_that_have_left_do_not_hold_up_the_rest(void **unused)
{
    struct scene scene;

    (void)unused;
    set_up(&scene);
    assert_move(&scene, BRICKS(gone, c), true, "serving", "start");
    assert_move(&scene, BRICKS(gone, c), false, "\"state\":\"absent\"", NULL);
    operate(&scene, OPERATION_REMOVAL, OPERATION_WAITING_FOR_COMMIT, c, NULL);
    assert_move(&scene, BRICKS(gone, c), true, "removed", "commit");
}

static void
of_a_stopped_volume_nothing_is_known(void **unused)
{
    static char stopped[] = "stopped";
    struct scene scene;

    (void)unused;
    set_up(&scene);
    scene.volume.state = stopped;
    assert_move(&scene, BRICKS(c), true, "\"needs\":\"started\"", NULL);
    assert_move(&scene, BRICKS(c), false, "\"needs\":\"started\"", NULL);
    assert_move(&scene, BRICKS(gone), true, "absent", "none");
}

/* ---- the single moves ---- */

static void
assert_commit(const struct scene *scene, char *const *bricks, bool force, const char *refusal)
{
    struct error *error = NULL;

    if (removal_check_commit(scene->work.operation, bricks, force, &error)) {
        if (refusal)
            fail_msg("passed, instead of: %s", refusal);
        return;
    }
    assert_int_equal(error->code, ERROR_WRONG_STATE);
    if (!refusal || !strstr(error->message, refusal))
        fail_msg("'%s', not '%s'", error->message, refusal);
    error_free(error);
}

static void
a_commit_that_would_lose_files_is_refused_unless_forced(void **unused)
{
    struct scene scene;

    (void)unused;
    set_up(&scene);
    assert_commit(&scene, NULL, false, "no bricks of the volume are being removed");
    assert_commit(&scene, NULL, true, "no bricks of the volume are being removed");
    operate(&scene, OPERATION_REBALANCE, OPERATION_COMPLETED, NULL, NULL);
    assert_commit(&scene, NULL, true, "no bricks of the volume are being removed");
    operate(&scene, OPERATION_REMOVAL, OPERATION_RUNNING, c, NULL);
    assert_commit(&scene, NULL, false, "is running: files are still on the bricks");
    assert_commit(&scene, NULL, true, NULL);
    operate(&scene, OPERATION_REMOVAL, OPERATION_UNKNOWN, c, NULL);
    assert_commit(&scene, NULL, false, "is unknown");
    operate(&scene, OPERATION_REMOVAL, OPERATION_FAILED, c, NULL);
    assert_commit(&scene, NULL, false, "h3: failed, 7 files failed");
    assert_commit(&scene, BRICKS(c), true, NULL);
    assert_commit(&scene, BRICKS(b), true, "removes other bricks");
    operate(&scene, OPERATION_REMOVAL, OPERATION_WAITING_FOR_COMMIT, c, b);
    assert_commit(&scene, NULL, false, NULL);
    assert_commit(&scene, BRICKS(b, c), false, NULL);
    assert_commit(&scene, BRICKS(b), false, "removes other bricks");
}

static void
assert_begin(const struct scene *scene, char *const *bricks, int64_t replica, bool force,
             enum error_code code, const char *part)
{
    struct error *error = NULL;

    if (removal_check_begin(&scene->volume, scene->work.operation, bricks, replica, force,
                            &error)) {
        assert_int_equal(code, ERROR_NONE);
        return;
    }
    assert_int_equal(error->code, code);
    if (!strstr(error->message, part))
        fail_msg("'%s', not '%s'", error->message, part);
    error_free(error);
}

static void
a_removal_is_checked_before_glusterd_sees_it(void **unused)
{
    static char stopped[] = "stopped";
    struct scene scene;

    (void)unused;
    set_up(&scene);
    assert_begin(&scene, BRICKS(c), 0, false, ERROR_NONE, NULL);
    assert_begin(&scene, BRICKS(c), 3, false, ERROR_NONE, NULL);
    assert_begin(&scene, BRICKS(c), 2, true, ERROR_NONE, NULL);
    assert_begin(&scene, BRICKS(c), 2, false, ERROR_INVALID_PARAMS, "from 3 to 2: no file moves");
    assert_begin(&scene, BRICKS(c), 4, true, ERROR_INVALID_PARAMS, "above the 3");
    assert_begin(&scene, BRICKS(gone), 0, true, ERROR_NOT_FOUND, "no brick 'h4:/b/d'");
    operate(&scene, OPERATION_REMOVAL, OPERATION_WAITING_FOR_COMMIT, c, NULL);
    assert_begin(&scene, BRICKS(c), 0, true, ERROR_WRONG_STATE, "by operation 'the-operation'");
    operate(&scene, OPERATION_REBALANCE, OPERATION_RUNNING, NULL, NULL);
    assert_begin(&scene, BRICKS(c), 0, false, ERROR_WRONG_STATE, "is being rebalanced");
    operate(&scene, OPERATION_REBALANCE, OPERATION_STOPPED, NULL, NULL);
    assert_begin(&scene, BRICKS(c), 0, false, ERROR_NONE, NULL);
    scene.volume.state = stopped;
    assert_begin(&scene, BRICKS(c), 0, false, ERROR_WRONG_STATE, "start it first");
    scene.volume.state = started;
    scene.volume.replica = 0;
    assert_begin(&scene, BRICKS(c), 1, false, ERROR_NONE, NULL);
    assert_begin(&scene, BRICKS(c), 2, false, ERROR_INVALID_PARAMS, "above the 1");
}

static void
assert_words(int64_t replica, char *const *bricks, const char *action, const char *wanted)
{
    _cleanup_arguments_ struct arguments arguments = { 0 };
    _cleanup_text_ struct text text = TEXT_INIT;

    removal_arguments(&arguments, name, replica, bricks, action);
    for (size_t i = 0; i < arguments.count; i++)
        text_printf(&text, "%s%s", i ? " " : "", arguments.all[i]);
    assert_string_equal(text.bytes, wanted);
}

static void
the_command_names_copies_and_bricks(void **unused)
{
    (void)unused;
    assert_words(0, BRICKS(a), "start", "volume remove-brick gv0 h1:/b/a start");
    assert_words(2, BRICKS(a, b), "force",
                 "volume remove-brick gv0 replica 2 h1:/b/a h2:/b/b force");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cell_has_its_move),
        cmocka_unit_test(what_is_not_surely_ended_is_waited_for),
        cmocka_unit_test(a_failure_without_files_is_explained),
        cmocka_unit_test(files_left_behind_are_told_by_host_and_may_be_cancelled),
        cmocka_unit_test(what_somebody_else_does_is_not_touched),
        cmocka_unit_test(those_that_have_left_do_not_hold_up_the_rest),
        cmocka_unit_test(of_a_stopped_volume_nothing_is_known),
        cmocka_unit_test(a_commit_that_would_lose_files_is_refused_unless_forced),
        cmocka_unit_test(a_removal_is_checked_before_glusterd_sees_it),
        cmocka_unit_test(the_command_names_copies_and_bricks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
