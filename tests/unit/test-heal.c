/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that glusterd 10.3 gave (tests/unit/gluster/README-heals.md). */
#include <config.h>

#include "gluster/heal.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "gluster/command.h"
#include "tests/unit/recorded-fixture.h"

#define ALL 1000

static char *
recorded(const char *name)
{
    _cleanup_free_ char *path = xprintf("heal-%s", name);
    struct text text = TEXT_INIT;

    recorded_read(path, &text);
    return text_take(&text);
}

static struct heal_info
info_of(const char *name, size_t limit, size_t size)
{
    _cleanup_free_ char *text = recorded(name);
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    struct heal_info info = { 0 };

    if (!xml_parse("gluster", text, strlen(text), &document, &err) ||
        !heal_info_read(document, limit, size, &info, &err))
        fail_msg("%s: %s", name, err->message);
    return info;
}

static struct heal_info
counts_of(const char *name)
{
    _cleanup_free_ char *text = recorded(name);
    _cleanup_(error_freep) struct error *err = NULL;
    struct heal_info info = { 0 };

    if (!heal_info_read_counts(text, &info, &err))
        fail_msg("%s: %s", name, err->message);
    return info;
}

static void
assert_brick(const struct heal_brick *brick, uint64_t pending, uint64_t split_brain)
{
    assert_true(brick->connected && brick->split_known);
    assert_int_equal(brick->entries, pending + split_brain);
    assert_int_equal(brick->pending, pending);
    assert_int_equal(brick->split_brain, split_brain);
    assert_int_equal(brick->healing, 0);
}

static void
a_summary_counts_what_each_brick_has_to_heal(void **unused)
{
    _cleanup_heal_info_ struct heal_info idle = info_of("summary-none.xml", 0, 0);
    _cleanup_heal_info_ struct heal_info info = info_of("summary.xml", 0, 0);
    _cleanup_heal_info_ struct heal_info split = info_of("split-brain-summary.xml", 0, 0);

    (void)unused;
    assert_int_equal(idle.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_brick(&idle.bricks[i], 0, 0);
    assert_int_equal(info.count, 3);
    assert_string_equal(info.bricks[0].name, "10.77.2.11:/bricks/replica-0");
    assert_brick(&info.bricks[0], 4, 0); /* three files, and the folder they are in */
    assert_brick(&info.bricks[1], 4, 0);
    assert_string_equal(info.bricks[2].name, "10.77.2.13:/bricks/replica-0");
    assert_false(info.bricks[2].connected);
    assert_int_equal(split.count, 2);
    assert_brick(&split.bricks[0], 0, 2);
    assert_brick(&split.bricks[1], 0, 2);
}

static void
a_list_names_the_first_of_them(void **unused)
{
    _cleanup_heal_info_ struct heal_info all = info_of("info.xml", ALL, ALL);
    _cleanup_heal_info_ struct heal_info two = info_of("info.xml", 2, ALL);
    _cleanup_heal_info_ struct heal_info few = info_of("info.xml", ALL, strlen("/three/one") + 1);

    (void)unused;
    assert_false(all.bricks[0].split_known);
    assert_int_equal(all.bricks[0].entries, 4);
    assert_int_equal(all.bricks[0].file_count, 4);
    assert_string_equal(all.bricks[0].files[0].path, "/three");
    assert_int_equal(strlen(all.bricks[0].files[0].gfid), 36);
    assert_int_equal(all.bricks[2].file_count, 0);
    assert_int_equal(two.bricks[0].file_count, 2);
    assert_int_equal(two.bricks[0].entries, 4);
    assert_int_equal(two.bricks[1].file_count, 2);
    /* so many bytes of names in all */
    assert_true(few.bricks[0].file_count > 0 && few.bricks[0].file_count < 4);
    assert_int_equal(few.bricks[1].file_count, 0);
}

static void
a_file_that_a_brick_knows_by_its_gfid_has_no_path(void **unused)
{
    _cleanup_heal_info_ struct heal_info info = info_of("split-brain.xml", ALL, ALL);
    size_t with = 0, without = 0;

    (void)unused;
    for (size_t i = 0; i < info.count; i++)
        for (size_t j = 0; j < info.bricks[i].file_count; j++) {
            assert_int_equal(strlen(info.bricks[i].files[j].gfid), 36);
            if (info.bricks[i].files[j].path)
                with++;
            else
                without++;
        }
    assert_int_equal(with + without, 4);
}

static void
the_daemons_count_is_read(void **unused)
{
    _cleanup_heal_info_ struct heal_info info = counts_of("count.txt");
    _cleanup_heal_info_ struct heal_info idle = counts_of("count-none.txt");
    _cleanup_(error_freep) struct error *err = NULL;
    struct heal_info none;

    (void)unused;
    assert_int_equal(info.count, 3);
    assert_string_equal(info.bricks[1].name, "10.77.2.12:/bricks/replica-0");
    assert_true(info.bricks[1].connected && !info.bricks[1].split_known);
    assert_int_equal(info.bricks[1].entries, 4);
    assert_false(info.bricks[2].connected);
    assert_int_equal(idle.count, 3);
    assert_true(idle.bricks[2].connected);
    assert_int_equal(idle.bricks[2].entries, 0);
    assert_false(heal_info_read_counts("all is well\n", &none, &err));
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
}

/* Two sets of three. */
static void
copies_are_counted_once(void **unused)
{
    static char *names[] = { "a:/0", "b:/0", "c:/0", "a:/1", "b:/1", "c:/1" };
    struct brick bricks[6] = { 0 };
    struct heal_brick heals[6] = { 0 };
    const struct volume volume = {
        .replica = 3, .distribute = 2, .brick_count = 6, .bricks = bricks
    };
    struct heal_info info = { .bricks = heals, .count = 6 };
    static const uint64_t entries[] = { 5, 7, 0, 0, 0, 2 };
    bool complete;

    (void)unused;
    for (size_t i = 0; i < 6; i++) {
        bricks[i].name = names[i];
        heals[i] =
            (struct heal_brick){ .name = names[i], .connected = true, .entries = entries[i] };
    }
    assert_int_equal(heal_info_total(&info, &volume, &complete), 9);
    assert_true(complete);
    heals[1].connected = false;
    assert_int_equal(heal_info_total(&info, &volume, &complete), 7);
    assert_false(complete);
    heals[1].connected = true;
    info.count = 5; /* one that glusterd did not tell of */
    assert_int_equal(heal_info_total(&info, &volume, &complete), 7);
    assert_false(complete);
}

static void
only_started_volumes_with_copies_are_healed(void **unused)
{
    static const struct {
        const char *state, *needle;
        uint64_t replica, disperse;
        enum error_code code;
    } table[] = {
        { "started", NULL, 3, 0, ERROR_NONE },
        { "started", NULL, 0, 3, ERROR_NONE },
        { "started", "\"param\":\"volume\"", 0, 0, ERROR_INVALID_PARAMS },
        { "stopped", "\"state\":\"stopped\",\"needs\":\"started\"", 3, 0, ERROR_WRONG_STATE },
        { "created", "\"state\":\"created\",\"needs\":\"started\"", 0, 3, ERROR_WRONG_STATE },
    };
    char name[] = "gv0", type[] = "some";

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_free_ char *state = xstrdup(table[i].state);
        const struct volume volume = { .name = name,
                                       .type = type,
                                       .state = state,
                                       .replica = table[i].replica,
                                       .disperse = table[i].disperse };
        _cleanup_(error_freep) struct error *err = NULL;

        assert_int_equal(heal_check(&volume, &err), table[i].code == ERROR_NONE);
        if (err) {
            assert_int_equal(err->code, table[i].code);
            assert_non_null(strstr(err->data, table[i].needle));
        }
    }
}

/* Their words and numbers, as gluster_command_run() finds them. */
static void
refusals_have_names_of_our_own(void **unused)
{
    static const struct {
        const char *name;
        enum error_code code;
    } table[] = {
        { "stopped-info.xml", ERROR_WRONG_STATE },
        { "nosuch-info.xml", ERROR_NOT_FOUND },
        { "resolve-again.txt", ERROR_WRONG_STATE },
        { "resolve-unknown.txt", ERROR_NOT_FOUND },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_free_ char *text = recorded(table[i].name);
        const struct gluster_failure *failure = gluster_failure_find(1, text);

        if (!failure || failure->code != table[i].code)
            fail_msg("%s is %s", table[i].name,
                     failure ? error_code_name(failure->code) : "BackendFailed");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_summary_counts_what_each_brick_has_to_heal),
        cmocka_unit_test(a_list_names_the_first_of_them),
        cmocka_unit_test(a_file_that_a_brick_knows_by_its_gfid_has_no_path),
        cmocka_unit_test(the_daemons_count_is_read),
        cmocka_unit_test(copies_are_counted_once),
        cmocka_unit_test(only_started_volumes_with_copies_are_healed),
        cmocka_unit_test(refusals_have_names_of_our_own),
    };

    xml_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
