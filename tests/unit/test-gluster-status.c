/* SPDX-License-Identifier: Apache-2.0 */
/* By what a real glusterd printed: tests/unit/gluster. */
#include <config.h>

#include "gluster/status.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "tests/unit/recorded-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

/* What 'info', and up to two answers of "volume status", say together. */
static struct statuses
statuses_of(const char *info, const char *first, const char *second)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(info);
    const char *const files[] = { first, second };
    struct statuses statuses = { 0 };
    struct volumes volumes = { 0 };
    struct error *error = NULL;

    if (!volumes_read(document, &volumes, &error))
        fail_msg("%s: %s", info, error->message);
    statuses_begin(&statuses, &volumes);
    for (size_t i = 0; i < ARRAY_COUNT(files) && files[i]; i++) {
        _cleanup_(xml_freep) struct xml_document *status = recorded_document(files[i]);

        if (!statuses_read(&statuses, status, &error))
            fail_msg("%s: %s", files[i], error->message);
    }
    return statuses;
}

static const struct volume_status *
find(const struct statuses *statuses, const char *name)
{
    for (size_t i = 0; i < statuses->volumes.count; i++)
        if (strcmp(statuses->all[i].volume->name, name) == 0)
            return &statuses->all[i];
    fail_msg("no volume '%s'", name);
    return NULL;
}

static json_t *
object_of(const struct volume_status *status)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    json_t *object;

    volume_status_write(status, &writer);
    object = json_loadb(writer.text.bytes, writer.text.length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    return object;
}

static void
assert_missing(const struct volume_status *status, const char *expected)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    volume_status_write_missing(status, &writer);
    assert_string_equal(writer.text.bytes, expected);
}

static void
a_healthy_volume_has_all_its_bricks_services_and_space(void **state)
{
    _cleanup_statuses_ struct statuses statuses =
        statuses_of("volume-info.xml", "volume-status-all.xml", "volume-status-all-detail.xml");
    const struct volume_status *status = find(&statuses, "replica");

    (void)state;
    assert_true(status->told);
    assert_int_equal(status->volume->brick_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct brick_status *brick = &status->bricks[i];

        assert_int_equal(brick->online, ONLINE_YES);
        assert_true(brick->port > 1024 && brick->process > 0);
        assert_true(brick->capacity >= brick->free && brick->free > 0);
        assert_true(brick->inodes >= brick->free_inodes && brick->free_inodes > 0);
        assert_string_equal(brick->file_system, "tmpfs");
        assert_non_null(strstr(brick->mounted, "rw"));
    }
    assert_int_equal(status->service_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(status->services[i].service, "selfHeal");
        assert_true(status->services[i].online && status->services[i].process > 0);
        assert_int_equal(status->services[i].port, 0);
    }
    assert_missing(status, "[]");
}

static void
space_is_that_of_the_sets_by_their_type(void **state)
{
    _cleanup_statuses_ struct statuses statuses =
        statuses_of("volume-info.xml", "volume-status-all.xml", "volume-status-all-detail.xml");
    uint64_t one = find(&statuses, "replica")->bricks[0].capacity, capacity, free_size;
    static const struct {
        const char *name;
        uint64_t bricks; /* of data, each on a host of its own */
    } kinds[] = { { "replica", 1 }, { "arbiter", 1 }, { "disperse", 2 }, { "distribute", 3 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        const struct volume_status *status = find(&statuses, kinds[i].name);

        assert_true(volume_status_space(status, &capacity, &free_size));
        if (capacity != kinds[i].bricks * one)
            fail_msg("%s: %" PRIu64 ", not %" PRIu64 " of %" PRIu64, kinds[i].name, capacity,
                     kinds[i].bricks, one);
        assert_true(free_size <= capacity && free_size > capacity / 2);
    }
    /* Two sets, whose bricks are two to a host, on one file system: together no more than one. */
    assert_true(
        volume_status_space(find(&statuses, "distributed-replicate"), &capacity, &free_size));
    assert_int_equal(capacity, one / 2 * 2);
}

static void
a_dead_brick_is_offline_and_lends_no_space(void **state)
{
    _cleanup_statuses_ struct statuses statuses = statuses_of(
        "volume-info.xml", "volume-status-dead-brick.xml", "volume-status-dead-brick-detail.xml");
    const struct volume_status *status = find(&statuses, "replica");
    uint64_t capacity, free_size;
    size_t offline = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        if (status->bricks[i].online == ONLINE_YES)
            continue;
        assert_int_equal(status->bricks[i].online, ONLINE_NO);
        assert_int_equal(status->bricks[i].port, 0);
        assert_int_equal(status->bricks[i].process, 0);
        offline++;
    }
    assert_int_equal(offline, 1);
    assert_true(volume_status_space(status, &capacity, &free_size));
    for (size_t i = 0; i < 3; i++)
        status->bricks[i].online = ONLINE_NO;
    assert_false(volume_status_space(status, &capacity, &free_size));
}

static void
what_glusterd_leaves_out_is_unknown(void **state)
{
    _cleanup_statuses_ struct statuses statuses =
        statuses_of("volume-info-down-peer.xml", "volume-status-down-peer.xml",
                    "volume-status-down-peer-detail.xml");
    const struct volume_status *status = find(&statuses, "replica");
    json_t *object = object_of(status), *brick;
    size_t i, unknown = 0;

    (void)state;
    json_array_foreach(json_object_get(object, "bricks"), i, brick)
    {
        if (!json_is_null(json_object_get(brick, "online")))
            continue;
        assert_true(json_is_null(json_object_get(brick, "pid")));
        assert_true(json_is_null(json_object_get(brick, "capacity")));
        assert_true(json_is_null(json_object_get(brick, "device")));
        unknown++;
    }
    assert_int_equal(unknown, 1);
    assert_true(json_is_integer(json_object_get(object, "capacity")));
    assert_int_equal(json_array_size(json_object_get(object, "services")), 2);
    assert_missing(status, "[\"10.77.2.13:/bricks/replica-2\"]");
    json_decref(object);
}

static void
a_stopped_volume_is_no_error_and_misses_nothing(void **state)
{
    _cleanup_statuses_ struct statuses statuses =
        statuses_of("volume-info-stopped.xml", "volume-status-none.xml", NULL);
    const struct volume_status *status = &statuses.all[0];
    json_t *object = object_of(status);

    (void)state;
    assert_int_equal(statuses.volumes.count, 1);
    assert_string_equal(json_string_value(json_object_get(object, "state")), "stopped");
    for (uint64_t i = 0; i < status->volume->brick_count; i++)
        assert_int_equal(status->bricks[i].online, ONLINE_NO);
    assert_true(json_is_null(json_object_get(object, "capacity")));
    assert_missing(status, "[]");
    json_decref(object);
}

static void
services_and_tasks_have_their_line(void **state)
{
    _cleanup_statuses_ struct statuses statuses =
        statuses_of("status-services-info.xml", "status-services.xml", NULL);
    const struct volume_status *status = find(&statuses, "services");
    static const char *const services[] = { "snapshot", "quota", "bitrot", "scrubber" };

    (void)state;
    assert_int_equal(status->task_count, 1);
    assert_string_equal(status->tasks[0].kind, "rebalance");
    assert_string_equal(status->tasks[0].state, "completed");
    assert_int_equal(strlen(status->tasks[0].id), 36);
    assert_int_equal(status->service_count, 3 * ARRAY_COUNT(services));
    for (size_t i = 0; i < ARRAY_COUNT(services); i++) {
        assert_string_equal(status->services[i].service, services[i]);
        /* Told by the host that was asked, which glusterd calls "localhost". */
        assert_string_equal(status->services[i].host, "10.77.2.11");
    }
    assert_true(status->services[0].port > 1024); /* snapd's */
}

static void
another_answer_is_refused(void **state)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document("pool-list.xml");
    _cleanup_(error_freep) struct error *error = NULL;
    struct statuses statuses = { 0 };

    (void)state;
    assert_false(statuses_read(&statuses, document, &error));
    assert_int_equal(error->code, ERROR_BACKEND_FAILED);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_volume_has_all_its_bricks_services_and_space),
        cmocka_unit_test(space_is_that_of_the_sets_by_their_type),
        cmocka_unit_test(a_dead_brick_is_offline_and_lends_no_space),
        cmocka_unit_test(what_glusterd_leaves_out_is_unknown),
        cmocka_unit_test(a_stopped_volume_is_no_error_and_misses_nothing),
        cmocka_unit_test(services_and_tasks_have_their_line),
        cmocka_unit_test(another_answer_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
