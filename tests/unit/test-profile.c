/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded: files of 16, 32 and 48 KiB were written and read by 16 KiB, and one of a byte written twice. */
#include <config.h>

#include "gluster/profile.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>
#include <jansson.h>

#include "gluster/command.h"
#include "tests/unit/recorded-fixture.h"

static struct profile
profile_of(const char *name)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(name);
    struct profile profile;
    struct error *error = NULL;

    if (!profile_read(document, &profile, &error))
        fail_msg("%s: %s", name, error->message);
    return profile;
}

static const struct profile_operation *
find_operation(const struct profile_figures *figures, const char *name)
{
    for (size_t i = 0; i < figures->operation_count; i++)
        if (strcmp(figures->operations[i].name, name) == 0)
            return &figures->operations[i];
    fail_msg("no operation %s", name);
    return NULL;
}

static void
what_each_brick_was_asked_for_is_read(void **unused)
{
    _cleanup_profile_ struct profile profile = profile_of("volume-profile-info.xml");
    const struct profile_figures *figures = &profile.bricks[0].cumulative;
    const struct profile_operation *writes;

    (void)unused;
    assert_int_equal(profile.brick_count, 3);
    assert_string_equal(profile.bricks[0].name, "10.77.2.11:/bricks/gv0-0");
    assert_true(figures->known);
    assert_int_equal(figures->bytes_written, 6 * 16384 + 2);
    assert_int_equal(figures->bytes_read, 6 * 16384);
    writes = find_operation(figures, "WRITE");
    assert_int_equal(writes->hits, 6 + 2);
    assert_true(writes->minimum_ns > 0 && writes->minimum_ns <= writes->average_ns);
    assert_true(writes->average_ns <= writes->maximum_ns && writes->maximum_ns < 10000000000);
    assert_int_equal(find_operation(figures, "READ")->hits, 6);
}

static void
sizes_that_never_occurred_are_left_out(void **unused)
{
    _cleanup_profile_ struct profile profile = profile_of("volume-profile-info.xml");
    const struct profile_figures *figures = &profile.bricks[0].cumulative;

    (void)unused;
    assert_int_equal(figures->block_count, 2);
    assert_int_equal(figures->blocks[0].size, 1);
    assert_int_equal(figures->blocks[0].writes, 2);
    assert_int_equal(figures->blocks[1].size, 16384);
    assert_int_equal(figures->blocks[1].writes, 6);
    assert_int_equal(figures->blocks[1].reads, 6);
}

static void
what_took_longest_altogether_comes_first(void **unused)
{
    _cleanup_profile_ struct profile profile = profile_of("volume-profile-info.xml");
    const struct profile_figures *figures = &profile.bricks[0].cumulative;

    (void)unused;
    assert_true(figures->operation_count > 5);
    for (size_t i = 1; i < figures->operation_count; i++) {
        const struct profile_operation *before = &figures->operations[i - 1],
                                       *now = &figures->operations[i];

        assert_true(before->hits * before->average_ns >= now->hits * now->average_ns);
    }
}

static void
figures_that_were_not_asked_for_are_not_told(void **unused)
{
    static const struct {
        const char *name;
        bool cumulative, interval;
        size_t bricks;
    } table[] = {
        { "volume-profile-info.xml", true, true, 3 },
        { "volume-profile-info-incremental.xml", false, true, 3 },
        { "volume-profile-info-cumulative.xml", true, false, 3 },
        { "volume-profile-info-dead-brick.xml", true, false, 2 },
        { "volume-profile-info-clear.xml", false, false, 2 },
        { "volume-profile-start.xml", false, false, 0 },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_profile_ struct profile profile = profile_of(table[i].name);
        _cleanup_writer_ struct writer writer = WRITER_INIT;
        json_t *bricks;

        profile_write(&profile, &writer);
        bricks = json_loads(writer.text.bytes, 0, NULL);
        assert_int_equal(json_array_size(bricks), table[i].bricks);
        for (size_t n = 0; n < json_array_size(bricks); n++) {
            const json_t *brick = json_array_get(bricks, n);

            assert_int_equal(json_object_get(brick, "cumulative") != NULL, table[i].cumulative);
            assert_int_equal(json_object_get(brick, "interval") != NULL, table[i].interval);
        }
        json_decref(bricks);
    }
}

static void
parts_of_the_time_make_a_hundred(void **unused)
{
    _cleanup_profile_ struct profile profile = profile_of("volume-profile-info.xml");
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    json_t *bricks;
    const json_t *operations;
    double sum = 0;

    (void)unused;
    profile_write(&profile, &writer);
    bricks = json_loads(writer.text.bytes, 0, NULL);
    operations =
        json_object_get(json_object_get(json_array_get(bricks, 0), "cumulative"), "operations");
    for (size_t i = 0; i < json_array_size(operations); i++)
        sum += json_number_value(json_object_get(json_array_get(operations, i), "percent"));
    json_decref(bricks);
    assert_true(sum > 99.5 && sum < 100.5);
}

static void
another_answer_is_refused(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document("pool-list.xml");
    _cleanup_(error_freep) struct error *error = NULL;
    struct profile profile;

    (void)unused;
    assert_false(profile_read(document, &profile, &error));
    assert_int_equal(error->code, ERROR_BACKEND_FAILED);
}

static void
a_profile_that_is_so_already_is_told_apart(void **unused)
{
    static const char *const table[][2] = {
        { "volume-profile-start-again.xml", "started" },
        { "volume-profile-info-off.xml", "stopped" },
        { "volume-profile-stop-off.xml", "stopped" },
        { "rebalance-start-running.xml", "rebalancing" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(xml_freep) struct xml_document *document = recorded_document(table[i][0]);
        const struct gluster_failure *failure =
            gluster_failure_find(30800, xml_text(xml_root(document), "opErrstr"));

        if (!failure || failure->code != ERROR_WRONG_STATE ||
            strcmp(failure->state, table[i][1]) != 0)
            fail_msg("%s is %s", table[i][0], failure ? failure->state : "BackendFailed");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_each_brick_was_asked_for_is_read),
        cmocka_unit_test(sizes_that_never_occurred_are_left_out),
        cmocka_unit_test(what_took_longest_altogether_comes_first),
        cmocka_unit_test(figures_that_were_not_asked_for_are_not_told),
        cmocka_unit_test(parts_of_the_time_make_a_hundred),
        cmocka_unit_test(another_answer_is_refused),
        cmocka_unit_test(a_profile_that_is_so_already_is_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
