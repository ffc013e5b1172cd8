/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/georep.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>
#include <jansson.h>

#include "gluster/command.h"
#include "tests/unit/recorded-fixture.h"

static struct georep_sessions
sessions_of(const char *name)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(name);
    struct georep_sessions sessions;
    struct error *error = NULL;

    if (!georep_read(document, &sessions, &error))
        fail_msg("%s: %s", name, error->message);
    assert_int_equal(sessions.count, 1);
    assert_string_equal(sessions.all[0].volume, "near");
    assert_string_equal(sessions.all[0].target, "10.77.2.14::far");
    return sessions;
}

static const struct georep_worker *
worker_with(const struct georep_sessions *sessions, const char *status)
{
    for (size_t i = 0; i < sessions->all[0].worker_count; i++)
        if (strcmp(sessions->all[0].workers[i].status, status) == 0)
            return &sessions->all[0].workers[i];
    fail_msg("no worker is %s", status);
    return NULL;
}

static void
one_of_the_bricks_with_the_same_files_is_active(void **unused)
{
    _cleanup_georep_sessions_ struct georep_sessions sessions =
        sessions_of("georep-status-detail.xml");
    const struct georep_worker *active = worker_with(&sessions, "active");
    const struct georep_worker *passive = worker_with(&sessions, "passive");

    (void)unused;
    assert_int_equal(sessions.all[0].worker_count, 3);
    assert_string_equal(active->crawl, "changelog crawl");
    assert_memory_equal(active->brick, "10.77.2.1", 9);
    assert_string_equal(strchr(active->brick, ':'), ":/bricks/near-0");
    assert_int_equal(strlen(active->peer), 36);
    assert_true(active->counts);
    assert_int_equal(active->entries + active->data + active->metadata + active->failures, 0);
    assert_true(active->synced_ns > INT64_C(1700000000) * 1000000000);
    assert_null(passive->crawl);
    assert_false(passive->counts);
    assert_int_equal(passive->synced_ns, 0);
}

static void
a_sessions_state_is_that_of_its_workers(void **unused)
{
    static const char *const table[][2] = {
        { "georep-status-created.xml", "created" },
        { "georep-status-initializing.xml", "initializing" },
        { "georep-status-active.xml", "active" },
        { "georep-status-all.xml", "active" },
        { "georep-status-volume.xml", "active" },
        { "georep-status-elsewhere.xml", "active" },
        { "georep-status-paused.xml", "paused" },
        { "georep-status-resumed.xml", "active" },
        { "georep-status-faulty.xml", "faulty" },
        { "georep-status-down-peer.xml", "active" },
        { "georep-status-stopped.xml", "stopped" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_georep_sessions_ struct georep_sessions sessions = sessions_of(table[i][0]);

        if (strcmp(georep_state(&sessions.all[0]), table[i][1]) != 0)
            fail_msg("%s is %s", table[i][0], georep_state(&sessions.all[0]));
    }
}

static void
state_of(const char *first, const char *second, const char *third, const char *expected)
{
    struct georep_worker workers[] = { { .status = (char *)(uintptr_t)first },
                                       { .status = (char *)(uintptr_t)second },
                                       { .status = (char *)(uintptr_t)third } };
    const struct georep_session session = { .workers = workers, .worker_count = 3 };

    assert_string_equal(georep_state(&session), expected);
}

static void
a_faulty_worker_is_never_hidden(void **unused)
{
    (void)unused;
    state_of("active", "passive", "faulty", "faulty");
    state_of("faulty", "active", "passive", "faulty");
    state_of("passive", "active", "passive", "active");
    state_of("active", "initializing", "passive", "active");
    state_of("passive", "passive", "initializing", "initializing");
    state_of("passive", "passive", "passive", "passive");
}

static void
a_checkpoint_is_told_with_its_time(void **unused)
{
    _cleanup_georep_sessions_ struct georep_sessions sessions =
        sessions_of("georep-status-checkpoint.xml");
    const struct georep_worker *active = worker_with(&sessions, "active");
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    json_t *session;

    (void)unused;
    assert_true(active->checkpoint_ns >= active->synced_ns);
    assert_int_equal(active->checkpoint_done_ns, 0);
    georep_session_write(&sessions.all[0], &writer);
    session = json_loads(writer.text.bytes, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(session, "state")), "active");
    assert_int_equal(json_array_size(json_object_get(session, "workers")), 3);
    json_decref(session);
}

/* glusterd tells each volume twice: once with the workers of the host that was asked, once with the others. */
static void
workers_of_a_session_are_put_together(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document("georep-status-two.xml");
    _cleanup_georep_sessions_ struct georep_sessions sessions = { 0 };
    struct error *error = NULL;

    (void)unused;
    assert_true(georep_read(document, &sessions, &error));
    assert_int_equal(sessions.count, 2);
    assert_string_equal(sessions.all[0].volume, "near");
    assert_string_equal(sessions.all[0].target, "10.77.2.14::far");
    assert_int_equal(sessions.all[0].worker_count, 3);
    assert_string_equal(georep_state(&sessions.all[0]), "stopped");
    assert_string_equal(sessions.all[1].volume, "near2");
    assert_string_equal(sessions.all[1].target, "10.77.2.14::far2");
    assert_int_equal(sessions.all[1].worker_count, 2);
    assert_string_equal(georep_state(&sessions.all[1]), "active");
}

static void
hosts_that_are_down_are_missing(void **unused)
{
    _cleanup_georep_sessions_ struct georep_sessions sessions =
        sessions_of("georep-status-down-peer.xml");

    (void)unused;
    assert_int_equal(sessions.all[0].worker_count, 2);
}

static void
another_answer_is_refused(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document("pool-list.xml");
    _cleanup_(error_freep) struct error *error = NULL;
    struct georep_sessions sessions;

    (void)unused;
    assert_false(georep_read(document, &sessions, &error));
    assert_int_equal(error->code, ERROR_BACKEND_FAILED);
}

static void
targets_are_a_user_a_host_and_a_volume(void **unused)
{
    static const char *const good[] = { "h::v", "root@h::v", "geo-user@10.0.0.1::far_1",
                                        "fe80::1::v", "a.example::v" };
    static const char *const bad[] = { "",        "h",         "h:v",    "h::",      "::v",
                                       "h::v/",   "h::-v",     "@h::v",  "-o@h::v",  "u@::v",
                                       "u@-h::v", "u v@h::v",  "h::v w", "u@w@h::v", "--xml::v",
                                       "h;id::v", "$(id)@h::v" };
    struct error *error = NULL;

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        if (!georep_target_check("target", good[i], &error))
            fail_msg("%s: %s", good[i], error->message);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (georep_target_check("target", bad[i], &error))
            fail_msg("'%s' is taken", bad[i]);
        assert_int_equal(error->code, ERROR_INVALID_PARAMS);
        error_free(TAKE(error));
    }
    assert_string_equal(georep_target_plain("root@h::v"), "h::v");
    assert_string_equal(georep_target_plain("geo@h::v"), "geo@h::v");
}

static void
refusals_get_names_of_ours(void **unused)
{
    static const struct {
        const char *name;
        enum error_code code;
        const char *state;
    } table[] = {
        { "georep-start-none.xml", ERROR_NOT_FOUND, NULL },
        { "georep-create-unknown-volume.xml", ERROR_NOT_FOUND, NULL },
        { "georep-create-exists.xml", ERROR_ALREADY_EXISTS, NULL },
        { "georep-create-far-stopped.xml", ERROR_WRONG_STATE, "target volume missing or stopped" },
        { "georep-create-far-unknown.xml", ERROR_WRONG_STATE, "target volume missing or stopped" },
        { "georep-create-stopped.xml", ERROR_WRONG_STATE, "stopped" },
        { "georep-create-unreachable.xml", ERROR_WRONG_STATE, "target unreachable" },
        { "georep-start-started.xml", ERROR_WRONG_STATE, "started" },
        { "georep-pause-paused.xml", ERROR_WRONG_STATE, "paused" },
        { "georep-resume-not-paused.xml", ERROR_WRONG_STATE, "not paused" },
        { "georep-delete-started.xml", ERROR_WRONG_STATE, "started" },
        { "georep-stop-down-peer.xml", ERROR_WRONG_STATE, "a peer is down" },
        { "georep-config-unknown.xml", ERROR_INVALID_PARAMS, NULL },
        { "georep-config-bad-value.xml", ERROR_INVALID_PARAMS, NULL },
        { "volume-stop-georep.xml", ERROR_WRONG_STATE, "replicated" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(xml_freep) struct xml_document *document = recorded_document(table[i].name);
        const struct gluster_failure *failure =
            gluster_failure_find(30800, xml_text(xml_root(document), "opErrstr"));

        if (!failure || failure->code != table[i].code)
            fail_msg("%s is %s", table[i].name,
                     failure ? error_code_name(failure->code) : "BackendFailed");
        if (table[i].state)
            assert_string_equal(failure->state, table[i].state);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_the_bricks_with_the_same_files_is_active),
        cmocka_unit_test(a_sessions_state_is_that_of_its_workers),
        cmocka_unit_test(a_faulty_worker_is_never_hidden),
        cmocka_unit_test(a_checkpoint_is_told_with_its_time),
        cmocka_unit_test(workers_of_a_session_are_put_together),
        cmocka_unit_test(hosts_that_are_down_are_missing),
        cmocka_unit_test(another_answer_is_refused),
        cmocka_unit_test(targets_are_a_user_a_host_and_a_volume),
        cmocka_unit_test(refusals_get_names_of_ours),
    };

    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
