/* SPDX-License-Identifier: Apache-2.0 */
/* By what a real glusterd printed: tests/unit/gluster. */
#include <config.h>

#include "gluster/brick-spare.h"

#include <string.h>

#include "tests/unit/recorded-fixture.h"

/* Of volume "replica", whose second brick is dead in that recording. */
static void
statuses_of(const char *status, struct statuses *ret_statuses)
{
    _cleanup_(xml_freep) struct xml_document *info = recorded_document("volume-info-one.xml");
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(status);
    struct volumes volumes = { 0 };
    struct error *error = NULL;

    assert_true(volumes_read(info, &volumes, &error));
    assert_int_equal(volumes.count, 1);
    assert_int_equal(volumes.all[0].brick_count, 3);
    statuses_begin(ret_statuses, &volumes);
    assert_true(statuses_read(ret_statuses, document, &error));
}

static void
any_brick_can_be_spared_while_all_are_online(void **unused)
{
    _cleanup_statuses_ struct statuses statuses = { 0 };

    (void)unused;
    statuses_of("volume-status.xml", &statuses);
    for (size_t i = 0; i < 3; i++) {
        _cleanup_(error_freep) struct error *err = NULL;

        assert_true(brick_spare_check_online(&statuses.all[0], i, &err));
        assert_true(bricks_check_online(&statuses.all[0], &err));
    }
}

static void
while_one_is_offline_only_that_one_can_be_spared(void **unused)
{
    _cleanup_statuses_ struct statuses statuses = { 0 };

    (void)unused;
    statuses_of("volume-status-dead-brick.xml", &statuses);
    for (size_t i = 0; i < 3; i++) {
        _cleanup_(error_freep) struct error *err = NULL;

        if (brick_spare_check_online(&statuses.all[0], i, &err) != (i == 1))
            fail_msg("brick %zu: %s", i, err ? err->message : "can be spared");
        if (i == 1)
            continue;
        assert_int_equal(err->code, ERROR_WRONG_STATE);
        assert_non_null(strstr(err->data, "\"state\":\"copies offline\""));
        assert_non_null(strstr(err->data, statuses.all[0].volume->bricks[1].name));
    }
    {
        _cleanup_(error_freep) struct error *err = NULL;

        assert_false(bricks_check_online(&statuses.all[0], &err));
        assert_non_null(strstr(err->data, "\"state\":\"bricks down\""));
        assert_non_null(strstr(err->data, statuses.all[0].volume->bricks[1].name));
    }
}

/* Its host is down: nobody tells of it. */
static void
an_unknown_brick_is_not_relied_upon(void **unused)
{
    _cleanup_statuses_ struct statuses statuses = { 0 };
    _cleanup_(error_freep) struct error *err = NULL, *fine = NULL;

    (void)unused;
    statuses_of("volume-status-down-peer.xml", &statuses);
    assert_int_equal(statuses.all[0].bricks[2].online, ONLINE_UNKNOWN);
    assert_false(brick_spare_check_online(&statuses.all[0], 0, &err));
    assert_true(brick_spare_check_online(&statuses.all[0], 2, &fine));
}

static void
what_is_to_be_healed_from_a_brick_keeps_it(void **unused)
{
    static char one[] = "h:/1", two[] = "h:/2";
    struct heal_brick bricks[] = { { .name = one, .connected = true, .entries = 5 },
                                   { .name = two, .connected = true } };
    const struct heal_info info = { .bricks = bricks, .count = 2 };
    _cleanup_(error_freep) struct error *err = NULL, *fine = NULL;

    (void)unused;
    assert_false(brick_spare_check_healed(&info, one, &err));
    assert_int_equal(err->code, ERROR_WRONG_STATE);
    assert_non_null(strstr(err->data, "\"entries\":5"));
    assert_true(brick_spare_check_healed(&info, two, &fine));
}

static void
a_brick_that_does_not_tell_what_is_to_be_healed_is_kept(void **unused)
{
    static char one[] = "h:/1", two[] = "h:/2";
    struct heal_brick bricks[] = { { .name = one, .connected = false },
                                   { .name = two, .connected = true } };
    const struct heal_info info = { .bricks = bricks, .count = 2 };
    static const char *const kept[] = { "h:/1", "h:/3" };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        _cleanup_(error_freep) struct error *err = NULL;

        assert_false(brick_spare_check_healed(&info, kept[i], &err));
        assert_int_equal(err->code, ERROR_WRONG_STATE);
        assert_non_null(strstr(err->data, "\"state\":\"unknown\""));
    }
}

static void
a_single_copy_cannot_be_spared(void **unused)
{
    static char name[] = "gv0";
    const struct volume alone = { .name = name, .brick_count = 3 };
    const struct volume copies = { .name = name, .brick_count = 3, .replica = 3 };
    const struct volume dispersed = { .name = name, .brick_count = 3, .disperse = 3 };
    _cleanup_(error_freep) struct error *err = NULL, *fine = NULL;

    (void)unused;
    assert_false(brick_spare_check_copies(&alone, &err));
    assert_int_equal(err->code, ERROR_WRONG_STATE);
    assert_true(brick_spare_check_copies(&copies, &fine));
    assert_true(brick_spare_check_copies(&dispersed, &fine));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_brick_can_be_spared_while_all_are_online),
        cmocka_unit_test(while_one_is_offline_only_that_one_can_be_spared),
        cmocka_unit_test(an_unknown_brick_is_not_relied_upon),
        cmocka_unit_test(what_is_to_be_healed_from_a_brick_keeps_it),
        cmocka_unit_test(a_brick_that_does_not_tell_what_is_to_be_healed_is_kept),
        cmocka_unit_test(a_single_copy_cannot_be_spared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
