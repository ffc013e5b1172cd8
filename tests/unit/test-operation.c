/* SPDX-License-Identifier: Apache-2.0 */
/* By what a real glusterd printed of a rebalance and a removal: tests/unit/gluster. */
#include <config.h>

#include "gluster/operation.h"

#include <jansson.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "tests/unit/recorded-fixture.h"

static void
read_volumes(struct volumes *volumes)
{
    _cleanup_(xml_freep) struct xml_document *document =
        recorded_document("volume-info-added-brick.xml");
    struct error *error = NULL;

    assert_true(volumes_read(document, volumes, &error));
    assert_int_equal(volumes->count, 1);
    assert_int_equal(volumes->all[0].brick_count, 3);
}

static void
read_tasks(const char *file, struct operations *operations)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(file);
    struct error *error = NULL;
    bool told = false;

    assert_true(operations_read(document, "dist", operations, &told, &error));
    assert_true(told);
}

/* The one operation of 'tasks', with what 'figures' tells of it. */
static struct operation *
operation_of(const char *tasks, const char *figures, struct operations *operations)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(figures);
    struct error *error = NULL;
    bool known = false;

    read_tasks(tasks, operations);
    assert_int_equal(operations->count, 1);
    if (!operation_read_figures(&operations->all[0], document, &known, &error))
        fail_msg("%s: %s", figures, error->message);
    assert_true(known);
    return &operations->all[0];
}

static const char *
host_status(const struct operation *operation, const char *host)
{
    for (size_t i = 0; i < operation->host_count; i++)
        if (strcmp(operation->hosts[i].host, host) == 0)
            return operation_status_name(operation->hosts[i].status);
    return "none";
}

static void
a_rebalance_is_told_the_same_whichever_host_is_asked(void **state)
{
    _cleanup_operations_ struct operations here = { 0 }, elsewhere = { 0 };
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct operation *one, *other;

    (void)state;
    read_volumes(&volumes);
    one = operation_of("volume-status-tasks-rebalance.xml", "rebalance-status-running.xml", &here);
    other = operation_of("volume-status-tasks-rebalance.xml",
                         "rebalance-status-running-elsewhere.xml", &elsewhere);
    operation_settle(one, &volumes.all[0], NULL);
    operation_settle(other, &volumes.all[0], NULL);
    assert_int_equal(one->kind, OPERATION_REBALANCE);
    assert_int_equal(one->status, OPERATION_RUNNING);
    assert_int_equal(one->host_count, 3);
    assert_null(one->bricks);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(one->hosts[i].host, other->hosts[i].host);
        assert_string_equal(one->hosts[i].peer, other->hosts[i].peer);
        assert_non_null(strstr(one->hosts[i].host, "10.77.2."));
    }
}

static void
totals_are_sums_and_the_longest_run_time(void **state)
{
    _cleanup_operations_ struct operations operations = { 0 };
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct operation *operation;
    uint64_t files = 0, bytes = 0, longest = 0;

    (void)state;
    read_volumes(&volumes);
    operation = operation_of("volume-status-tasks-rebalance.xml", "rebalance-status-running.xml",
                             &operations);
    operation_settle(operation, &volumes.all[0], NULL);
    for (size_t i = 0; i < operation->host_count; i++) {
        const struct operation_figures *figures = &operation->hosts[i].figures;

        files += figures->files;
        bytes += figures->bytes;
        longest = figures->run_time_s > longest ? figures->run_time_s : longest;
    }
    assert_true(files > 0 && bytes > 0 && longest > 0);
    assert_int_equal(operation->total.files, files);
    assert_int_equal(operation->total.bytes, bytes);
    assert_int_equal(operation->total.run_time_s, longest);
}

static void
a_fix_of_the_layout_is_known_by_its_hosts(void **state)
{
    _cleanup_operations_ struct operations operations = { 0 };
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct operation *operation;

    (void)state;
    read_volumes(&volumes);
    operation = operation_of("volume-status-tasks-fix-layout.xml",
                             "rebalance-status-fix-layout.xml", &operations);
    operation_settle(operation, &volumes.all[0], NULL);
    assert_int_equal(operation->kind, OPERATION_FIX_LAYOUT);
}

/* The third host of the volume, as the only one of the pool. */
static struct peers
third_host(const struct volumes *volumes, struct peer *peer, bool connected)
{
    *peer = (struct peer){ .uuid = volumes->all[0].bricks[2].host_uuid, .connected = connected };
    return (struct peers){ .all = peer, .count = 1 };
}

static void
a_host_that_does_not_answer_is_unknown_and_so_is_the_whole(void **state)
{
    _cleanup_operations_ struct operations operations = { 0 };
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct operation *operation;
    struct peers peers;
    struct peer peer;

    (void)state;
    read_volumes(&volumes);
    peers = third_host(&volumes, &peer, false);
    operation = operation_of("volume-status-tasks-rebalance-down-peer.xml",
                             "rebalance-status-down-peer.xml", &operations);
    assert_int_equal(operation->host_count, 2); /* glusterd says no more */
    assert_true(operation_is_incomplete(operation, &volumes.all[0]));
    operation->hosts[0].status = operation->hosts[1].status = OPERATION_COMPLETED;
    operation_settle(operation, &volumes.all[0], &peers);
    assert_int_equal(operation->host_count, 3);
    assert_string_equal(host_status(operation, "10.77.2.13"), "unknown");
    assert_string_equal(host_status(operation, "10.77.2.11"), "completed");
    assert_int_equal(operation->status, OPERATION_UNKNOWN);
    assert_true(operation_is_under_way(operation));
}

static void
a_host_that_joined_after_a_rebalance_leaves_it_completed(void **state)
{
    _cleanup_operations_ struct operations operations = { 0 };
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct operation *operation;
    struct peers peers;
    struct peer peer;

    (void)state;
    read_volumes(&volumes);
    peers = third_host(&volumes, &peer, true); /* it answers, and had nothing to tell */
    operation = operation_of("volume-status-tasks-rebalance-down-peer.xml",
                             "rebalance-status-down-peer.xml", &operations);
    operation->hosts[0].status = operation->hosts[1].status = OPERATION_COMPLETED;
    operation_settle(operation, &volumes.all[0], &peers);
    assert_int_equal(operation->host_count, 2);
    assert_int_equal(operation->status, OPERATION_COMPLETED);
}

static void
a_removal_names_its_bricks_and_is_told_by_their_hosts_only(void **state)
{
    _cleanup_operations_ struct operations operations = { 0 };
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct operation *operation;

    (void)state;
    read_volumes(&volumes);
    operation = operation_of("volume-status-tasks-removing.xml", "remove-brick-status-running.xml",
                             &operations);
    assert_false(operation_is_incomplete(operation, &volumes.all[0]));
    operation_settle(operation, &volumes.all[0], NULL);
    assert_int_equal(operation->kind, OPERATION_REMOVAL);
    assert_int_equal(operation->status, OPERATION_RUNNING);
    assert_int_equal(operation->host_count, 1);
    assert_string_equal(operation->bricks[0], volumes.all[0].bricks[2].name);
    assert_null(operation->bricks[1]);
}

static void
a_removal_whose_host_is_away_is_not_completed(void **state)
{
    _cleanup_operations_ struct operations operations = { 0 };
    _cleanup_volumes_ struct volumes volumes = { 0 };

    (void)state;
    read_volumes(&volumes);
    read_tasks("volume-status-tasks-removing.xml", &operations);
    /* glusterd then tells of no host at all. */
    assert_true(operation_is_incomplete(&operations.all[0], &volumes.all[0]));
    operation_settle(&operations.all[0], &volumes.all[0], NULL);
    assert_int_equal(operations.all[0].status, OPERATION_UNKNOWN);
    assert_string_equal(host_status(&operations.all[0], "10.77.2.13"), "unknown");
}

static void
figures_of_another_operation_are_not_taken(void **state)
{
    _cleanup_(xml_freep) struct xml_document *later =
        recorded_document("remove-brick-status-completed.xml");
    _cleanup_operations_ struct operations operations = { 0 };
    struct error *error = NULL;
    bool known = true;

    (void)state;
    read_tasks("volume-status-tasks-removing.xml", &operations);
    assert_true(operation_read_figures(&operations.all[0], later, &known, &error));
    assert_false(known);
    assert_int_equal(operations.all[0].host_count, 0);
}

/* The host statuses that glusterd tells, and what they make of a removal and of a rebalance. */
static void
the_worst_host_decides_for_the_whole(void **state)
{
    static const struct {
        enum operation_status hosts[2];
        uint64_t failures, skipped;
        enum operation_status removal, rebalance;
    } cases[] = {
        { { OPERATION_COMPLETED, OPERATION_COMPLETED },
          0,
          0,
          OPERATION_WAITING_FOR_COMMIT,
          OPERATION_COMPLETED },
        { { OPERATION_COMPLETED, OPERATION_COMPLETED },
          1,
          0,
          OPERATION_FAILED,
          OPERATION_COMPLETED },
        { { OPERATION_COMPLETED, OPERATION_COMPLETED },
          0,
          1,
          OPERATION_FAILED,
          OPERATION_COMPLETED },
        { { OPERATION_COMPLETED, OPERATION_RUNNING }, 0, 0, OPERATION_RUNNING, OPERATION_RUNNING },
        { { OPERATION_FAILED, OPERATION_RUNNING }, 1, 0, OPERATION_RUNNING, OPERATION_RUNNING },
        { { OPERATION_UNKNOWN, OPERATION_RUNNING }, 0, 0, OPERATION_RUNNING, OPERATION_RUNNING },
        { { OPERATION_UNKNOWN, OPERATION_COMPLETED }, 0, 0, OPERATION_UNKNOWN, OPERATION_UNKNOWN },
        { { OPERATION_PENDING, OPERATION_COMPLETED }, 0, 0, OPERATION_PENDING, OPERATION_PENDING },
        { { OPERATION_PENDING, OPERATION_FAILED }, 0, 0, OPERATION_PENDING, OPERATION_PENDING },
        { { OPERATION_FAILED, OPERATION_COMPLETED }, 0, 0, OPERATION_FAILED, OPERATION_FAILED },
        { { OPERATION_STOPPED, OPERATION_COMPLETED }, 0, 0, OPERATION_STOPPED, OPERATION_STOPPED },
        { { OPERATION_STOPPED, OPERATION_FAILED }, 0, 0, OPERATION_FAILED, OPERATION_FAILED },
    };
    const struct volume volume = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (int removal = 0; removal <= 1; removal++) {
            char first[] = "a", second[] = "b";
            struct operation_host hosts[] = {
                { .peer = first,
                  .status = cases[i].hosts[0],
                  .figures = { .failures = cases[i].failures } },
                { .peer = second,
                  .status = cases[i].hosts[1],
                  .figures = { .skipped = cases[i].skipped } },
            };
            struct operation operation = { .kind =
                                               removal ? OPERATION_REMOVAL : OPERATION_REBALANCE,
                                           .hosts = hosts,
                                           .host_count = 2 };
            enum operation_status wanted = removal ? cases[i].removal : cases[i].rebalance;

            operation_settle(&operation, &volume, NULL);
            if (operation.status != wanted)
                fail_msg("case %zu removal %d: %s, not %s", i, removal,
                         operation_status_name(operation.status), operation_status_name(wanted));
        }
}

static void
a_volume_that_is_left_out_is_not_one_without_operations(void **state)
{
    _cleanup_(xml_freep) struct xml_document *busy =
        recorded_document("busy-here-status-tasks.xml");
    _cleanup_(xml_freep) struct xml_document *idle =
        recorded_document("volume-status-tasks-rebalance-stopped.xml");
    _cleanup_(xml_freep) struct xml_document *other = recorded_document("volume-list.xml");
    _cleanup_operations_ struct operations operations = { 0 };
    struct error *error = NULL;
    bool told;

    (void)state;
    assert_true(operations_read(busy, "gv0", &operations, &told, &error));
    assert_false(told);
    assert_true(operations_read(idle, "dist", &operations, &told, &error));
    assert_true(told);
    assert_int_equal(operations.count, 0);
    assert_false(operations_read(other, "dist", &operations, &told, &error));
    assert_int_equal(error->code, ERROR_BACKEND_FAILED);
    error_free(error);
}

static void
the_estimate_is_read_where_glusterd_has_one(void **state)
{
    _cleanup_text_ struct text words = TEXT_INIT;
    uint64_t seconds = 0;

    (void)state;
    recorded_read("rebalance-status-ten-minutes.txt", &words);
    assert_true(operation_read_time_left(words.bytes, &seconds));
    assert_int_equal(seconds, 2085 * 3600 + 38 * 60 + 58);
    assert_false(operation_read_time_left(
        "The estimated time for rebalance to complete will be unavailable for the first 10 "
        "minutes.\nvolume rebalance: gv0: success\n",
        &seconds));
    assert_false(operation_read_time_left(
        "Estimated time left for rebalance to complete : > 2 months. Please try again later.\n",
        &seconds));
}

static void
an_operation_is_written_with_all_its_hosts(void **state)
{
    _cleanup_operations_ struct operations operations = { 0 };
    _cleanup_volumes_ struct volumes volumes = { 0 };
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct operation *operation;
    json_t *object, *host;

    (void)state;
    read_volumes(&volumes);
    operation = operation_of("volume-status-tasks-removing.xml", "remove-brick-status-running.xml",
                             &operations);
    operation_settle(operation, &volumes.all[0], NULL);
    operation_write(operation, &writer);
    object = json_loadb(writer.text.bytes, writer.text.length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "kind")), "removal");
    assert_string_equal(json_string_value(json_object_get(object, "status")), "running");
    assert_true(json_is_null(json_object_get(object, "timeLeftSeconds")));
    assert_int_equal(json_array_size(json_object_get(object, "bricks")), 1);
    host = json_array_get(json_object_get(object, "hosts"), 0);
    assert_string_equal(json_string_value(json_object_get(host, "host")), "10.77.2.13");
    assert_true(json_integer_value(json_object_get(host, "scanned")) > 0);
    json_decref(object);
}

static void
one_that_is_forgotten_was_stopped(void **unused)
{
    _cleanup_free_ char *stopped = operation_json_stopped(
        "{\"id\":\"x\",\"status\":\"running\",\"files\":3,\"hosts\":[{\"status\":\"running\"}]}");

    (void)unused;
    assert_string_equal(stopped, "{\"id\":\"x\",\"status\":\"stopped\",\"files\":3,\"hosts\":[{"
                                 "\"status\":\"running\"}]}");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rebalance_is_told_the_same_whichever_host_is_asked),
        cmocka_unit_test(totals_are_sums_and_the_longest_run_time),
        cmocka_unit_test(a_fix_of_the_layout_is_known_by_its_hosts),
        cmocka_unit_test(a_host_that_does_not_answer_is_unknown_and_so_is_the_whole),
        cmocka_unit_test(a_host_that_joined_after_a_rebalance_leaves_it_completed),
        cmocka_unit_test(a_removal_names_its_bricks_and_is_told_by_their_hosts_only),
        cmocka_unit_test(a_removal_whose_host_is_away_is_not_completed),
        cmocka_unit_test(figures_of_another_operation_are_not_taken),
        cmocka_unit_test(the_worst_host_decides_for_the_whole),
        cmocka_unit_test(a_volume_that_is_left_out_is_not_one_without_operations),
        cmocka_unit_test(the_estimate_is_read_where_glusterd_has_one),
        cmocka_unit_test(an_operation_is_written_with_all_its_hosts),
        cmocka_unit_test(one_that_is_forgotten_was_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
