/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/volume-layout.h"

#include <stdio.h>
#include <string.h>

#include "gluster/volume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define BRICKS_MAX 64

/* "a b c", each letter a host: a:/b0 b:/b1 c:/b2; or bricks as they stand. */
struct list {
    char *bricks[BRICKS_MAX + 1];
};

static void
list_init(struct list *list, const char *text)
{
    _cleanup_free_ char *copy = xstrdup(text);
    char *rest = copy;
    size_t count = 0;

    *list = (struct list){ { NULL } };
    for (char *word = strsep(&rest, " "); word && *word; word = strsep(&rest, " ")) {
        assert_true(count < BRICKS_MAX);
        list->bricks[count] = strchr(word, ':') ? xstrdup(word) : xprintf("%s:/b%zu", word, count);
        count++;
    }
}

static void
list_done(struct list *list)
{
    for (size_t i = 0; list->bricks[i]; i++)
        free(list->bricks[i]);
}

/* What it says of a volume of 'said' and 'bricks': the parameter and a part of the reason; NULL: it is fine. */
static void
assert_layout(struct volume_layout said, const char *bricks, const char *param, const char *reason)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *wanted = param ? xprintf("\"param\":\"%s\"", param) : NULL;
    struct list list;

    list_init(&list, bricks);
    said.bricks = list.bricks;
    if (volume_layout_check(&said, &err) != !param)
        fail_msg("'%s' is %s: %s", bricks, param ? "taken" : "refused", err ? err->message : "");
    if (param && (err->code != ERROR_INVALID_PARAMS || !strstr(err->data, wanted) ||
                  !strstr(err->data, reason)))
        fail_msg("'%s': %s says nothing of %s and '%s'", bricks, err->data, wanted, reason);
    list_done(&list);
}

static void
every_kind_of_volume_is_taken(void **unused)
{
    static const struct {
        struct volume_layout said;
        const char *bricks;
    } good[] = {
        { { 0 }, "a" },
        { { 0 }, "a a b" },
        { { .replica = 2 }, "a b" },
        { { .replica = 3 }, "a b c" },
        { { .replica = 3 }, "a b c a b c" },
        { { .replica = 3, .force = true }, "a a a" },
        { { .replica = 3, .arbiter = 1 }, "a b c" },
        { { .replica = 2, .arbiter = 1 }, "a b c a b c" },
        { { .replica = 4 }, "a b c d" },
        { { .disperse = 3 }, "a b c" },
        { { .disperse = 3, .redundancy = 1 }, "a b c c b a" },
        { { .disperse = 5, .redundancy = 2 }, "a b c d e" },
        { { .redundancy = 2 }, "a b c d e f" },
        { { .disperse = 6, .redundancy = 2, .force = true }, "a b c a b c" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_layout(good[i].said, good[i].bricks, NULL, NULL);
}

static void
what_makes_no_sense_is_refused_by_the_parameter_that_is_wrong(void **unused)
{
    static const struct {
        struct volume_layout said;
        const char *bricks, *param, *reason;
    } bad[] = {
        { { 0 }, "", "bricks", "a brick at least" },
        { { 0 }, "a:b", "bricks", "HOST:/PATH" },
        { { 0 }, "a:/b a:/b", "bricks", "twice" },
        { { .force = true }, "a:/b a:/b", "bricks", "twice" },
        { { .force = true }, "a:/b A:/b", "bricks", "which lies in" },
        { { .force = true }, "a:/b a:/b/c", "bricks", "'a:/b/c', which lies in 'a:/b'" },
        { { .force = true }, "a:/b/c/d b:/b a:/b", "bricks", "'a:/b/c/d', which lies in 'a:/b'" },
        { { .replica = 1 }, "a b", "replica", "must be 2 at least" },
        { { .replica = 3 }, "a b", "bricks", "name 1 more, or 2 fewer" },
        { { .replica = 3 }, "a b c a", "bricks", "name 2 more, or 1 fewer" },
        { { .replica = 3, .force = true }, "a b", "bricks", "sets of 3 replicas" },
        { { .replica = 3 }, "a b a", "bricks", "'a:/b0' and 'a:/b2' on one host" },
        { { .replica = 3 }, "a b c b c b", "bricks", "'b:/b3' and 'b:/b5' on one host" },
        { { .replica = 2 }, "a A", "bricks", "on one host" },
        { { .arbiter = 1 }, "a b c", "arbiter", "needs 'replica' to be 3" },
        { { .replica = 3, .arbiter = 2 }, "a b c", "arbiter", "must be 1" },
        { { .replica = 4, .arbiter = 1 }, "a b c d", "arbiter", "'replica' to be 3" },
        { { .replica = 2, .arbiter = 1 }, "a b", "bricks", "the third of each an arbiter" },
        { { .replica = 3, .disperse = 3 }, "a b c", "disperse", "one or the other" },
        { { .replica = 3, .redundancy = 1 }, "a b c", "disperse", "one or the other" },
        { { .disperse = 2 }, "a b", "disperse", "must be 3 at least" },
        { { .redundancy = 1 }, "a b", "disperse", "it is 2" },
        { { .disperse = 3, .redundancy = 2 }, "a b c", "redundancy", "at most 1 of 3" },
        { { .disperse = 4, .redundancy = 2 }, "a b c d", "redundancy", "at most 1 of 4" },
        { { .disperse = 5, .redundancy = 3 }, "a b c d e", "redundancy", "at most 2 of 5" },
        { { .disperse = 3 }, "a b c d", "bricks", "sets of 3, 1 of them redundancy" },
        { { .disperse = 3 }, "a b b", "bricks", "on one host" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_layout(bad[i].said, bad[i].bricks, bad[i].param, bad[i].reason);
}

/* Bricks whose names only begin alike. */
static void
neighbours_are_no_nests(void **unused)
{
    (void)unused;
    assert_layout((struct volume_layout){ 0 }, "a:/b a:/bc b:/b/c a:/bb/b", NULL, NULL);
}

/* All there are, against the rule written down once more. */
static void
counts_are_judged_alike_for_all_small_volumes(void **unused)
{
    static char hosts[BRICKS_MAX][16];
    char *bricks[BRICKS_MAX + 1] = { NULL };

    (void)unused;
    for (int64_t count = 1; count <= 13; count++) {
        (void)snprintf(hosts[count - 1], sizeof(hosts[0]), "h%d:/b", (int)count);
        bricks[count - 1] = hosts[count - 1];
        for (int64_t replica = 0; replica <= 5; replica++)
            for (int64_t arbiter = 0; arbiter <= 2; arbiter++)
                for (int64_t disperse = 0; disperse <= 7; disperse++)
                    for (int64_t redundancy = 0; redundancy <= 4; redundancy++) {
                        _cleanup_(error_freep) struct error *err = NULL;
                        struct volume_layout layout = { .replica = replica,
                                                        .arbiter = arbiter,
                                                        .disperse = disperse,
                                                        .redundancy = redundancy,
                                                        .bricks = bricks };
                        bool dispersed = disperse || redundancy;
                        int64_t n = disperse ? disperse : count;
                        int64_t set = dispersed ? n : arbiter ? 3 : replica ? replica : 1;
                        bool good =
                            count % set == 0 && !(dispersed && (replica || arbiter)) &&
                            replica != 1 &&
                            (!arbiter || (arbiter == 1 && (replica == 2 || replica == 3))) &&
                            (!dispersed || (n >= 3 && 2 * redundancy < n));

                        if (volume_layout_check(&layout, &err) != good)
                            fail_msg("%d bricks, replica %d arbiter %d disperse %d redundancy %d: "
                                     "%s",
                                     (int)count, (int)replica, (int)arbiter, (int)disperse,
                                     (int)redundancy, err ? err->message : "taken");
                    }
    }
}

static void
what_was_left_out_is_filled_in_as_gluster_does(void **unused)
{
    static const struct {
        int64_t disperse, redundancy;
    } best[] = { { 3, 1 }, { 4, 1 }, { 5, 1 },  { 6, 2 },  { 7, 3 },
                 { 8, 1 }, { 9, 1 }, { 10, 2 }, { 11, 3 }, { 12, 4 } };
    struct list list;

    (void)unused;
    list_init(&list, "a b c d e f g h i j k l");
    for (size_t i = 0; i < ARRAY_COUNT(best); i++) {
        _cleanup_(error_freep) struct error *err = NULL;
        struct volume_layout layout = { .disperse = best[i].disperse, .bricks = list.bricks };
        char *rest = list.bricks[best[i].disperse];

        list.bricks[best[i].disperse] = NULL;
        assert_true(volume_layout_check(&layout, &err));
        if (layout.redundancy != best[i].redundancy)
            fail_msg("redundancy %d of %d", (int)layout.redundancy, (int)best[i].disperse);
        layout = (struct volume_layout){ .redundancy = 1, .bricks = list.bricks };
        assert_true(volume_layout_check(&layout, &err));
        assert_int_equal(layout.disperse, best[i].disperse);
        list.bricks[best[i].disperse] = rest;
    }
    list_done(&list);
}

static void
advice_is_given_where_gluster_would_ask(void **unused)
{
    const struct volume_layout pair = { .replica = 2 }, three = { .replica = 3 };
    const struct volume_layout odd = { .disperse = 4, .redundancy = 1 },
                               even = { .disperse = 6, .redundancy = 2 };

    (void)unused;
    assert_non_null(strstr(volume_layout_advice(&pair), "split-brain"));
    assert_non_null(strstr(volume_layout_advice(&odd), "power of two"));
    assert_null(volume_layout_advice(&three));
    assert_null(volume_layout_advice(&even));
}

/* A volume of the same kind of list, as glusterd would tell it. */
static void
volume_init(struct volume *volume, struct list *list, const char *bricks, uint64_t replica,
            uint64_t arbiter, uint64_t disperse)
{
    static char name[] = "gv0";

    list_init(list, bricks);
    *volume = (struct volume){ .name = name,
                               .replica = replica,
                               .arbiter = arbiter,
                               .disperse = disperse,
                               .redundancy = disperse ? 1 : 0,
                               .bricks = xalloc(BRICKS_MAX * sizeof(struct brick)) };
    for (; list->bricks[volume->brick_count]; volume->brick_count++)
        volume->bricks[volume->brick_count].name = list->bricks[volume->brick_count];
}

static void
assert_added(const char *bricks, uint64_t replica, uint64_t arbiter, uint64_t disperse,
             struct volume_layout said, const char *added, const char *part)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct volume volume;
    struct list list, more;

    volume_init(&volume, &list, bricks, replica, arbiter, disperse);
    list_init(&more, added);
    said.bricks = more.bricks;
    if (volume_layout_check_added(&said, &volume, &err) != !part)
        fail_msg("'%s' and '%s' is %s: %s", bricks, added, part ? "taken" : "refused",
                 err ? err->message : "");
    if (part && !strstr(err->message, part))
        fail_msg("'%s' and '%s': '%s' says nothing of '%s'", bricks, added, err->message, part);
    list_done(&list);
    list_done(&more);
    free(volume.bricks);
}

#define SAID(...) ((struct volume_layout){ __VA_ARGS__ })

static void
bricks_are_added_in_sets(void **unused)
{
    (void)unused;
    assert_added("a", 0, 0, 0, SAID(0), "a:/x", NULL);
    assert_added("a b c", 3, 0, 0, SAID(0), "a:/x b:/x c:/x", NULL);
    assert_added("a b c", 3, 1, 0, SAID(0), "a:/x b:/x c:/x", NULL);
    assert_added("a b c", 3, 1, 0, SAID(.replica = 3, .arbiter = 1), "a:/x b:/x c:/x", NULL);
    assert_added("a b c", 0, 0, 3, SAID(0), "a:/x b:/x c:/x", NULL);
    assert_added("a b c", 3, 0, 0, SAID(0), "a:/x b:/x", "name 1 more, or 2 fewer");
    assert_added("a b c", 0, 0, 3, SAID(0), "a:/x", "name 2 more, or 1 fewer");
    assert_added("a b c", 3, 0, 0, SAID(0), "a:/x b:/x b:/y", "on one host");
    assert_added("a b c", 3, 0, 0, SAID(.force = true), "a:/x b:/x b:/y", NULL);
    assert_added("a b c", 3, 0, 0, SAID(0), "a:/x b:/b1 c:/x", "has brick 'b:/b1' already");
    assert_added("a b c", 0, 0, 0, SAID(.force = true), "b:/b1/x", "neither may lie in the other");
    assert_added("a:/x/y b", 0, 0, 0, SAID(.force = true), "a:/x", "neither may lie in the other");
    assert_added("a b c", 0, 0, 3, SAID(.replica = 2), "a:/x b:/x c:/x",
                 "'replica' cannot be said");
}

static void
replicas_are_raised_set_by_set(void **unused)
{
    (void)unused;
    assert_added("a b", 0, 0, 0, SAID(.replica = 2), "b:/x a:/x", NULL);
    assert_added("a b", 0, 0, 0, SAID(.replica = 2), "a:/x b:/x", "'a:/b0' and 'a:/x' on one host");
    assert_added("a b", 0, 0, 0, SAID(.replica = 2, .force = true), "a:/x b:/x", NULL);
    assert_added("a b", 0, 0, 0, SAID(.replica = 2), "b:/x", "must name 2 to raise 'replica'");
    assert_added("a b", 0, 0, 0, SAID(.replica = 3), "b:/x c:/x", "from 1 to 3, 2 for each");
    assert_added("a b b a", 2, 0, 0, SAID(.replica = 3), "c:/x c:/y", NULL);
    assert_added("a b b a", 2, 0, 0, SAID(.replica = 3, .arbiter = 1), "c:/x c:/y", NULL);
    assert_added("a b b a", 2, 0, 0, SAID(.replica = 2, .arbiter = 1), "c:/x c:/y", NULL);
    assert_added("a a", 2, 0, 0, SAID(.replica = 3), "c:/x", NULL);
    assert_added("a b c", 3, 0, 0, SAID(.replica = 2), "d:/x", "must be more than 3");
    assert_added("a b c", 3, 0, 0, SAID(.replica = 1), "d:/x", "must be 2 at least");
    assert_added("a b c", 3, 0, 0, SAID(.replica = 3, .arbiter = 1), "a:/x b:/x c:/x",
                 "replica 2 only");
    assert_added("a b c", 3, 1, 0, SAID(.replica = 4), "d:/x", "with an arbiter");
    assert_added("a b", 2, 0, 0, SAID(.arbiter = 1), "d:/x", "needs 'replica' to be 3");
}

static void
names_are_narrower_than_ids(void **unused)
{
    static const char *const bad[] = { "all", "a.b", "a/b", "a b" };
    _cleanup_(error_freep) struct error *err = NULL;

    (void)unused;
    assert_true(volume_name_check("gv0_a-B", &err));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        _cleanup_(error_freep) struct error *refusal = NULL;

        assert_false(volume_name_check(bad[i], &refusal));
        assert_int_equal(refusal->code, ERROR_INVALID_PARAMS);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_volume_is_taken),
        cmocka_unit_test(what_makes_no_sense_is_refused_by_the_parameter_that_is_wrong),
        cmocka_unit_test(neighbours_are_no_nests),
        cmocka_unit_test(counts_are_judged_alike_for_all_small_volumes),
        cmocka_unit_test(what_was_left_out_is_filled_in_as_gluster_does),
        cmocka_unit_test(advice_is_given_where_gluster_would_ask),
        cmocka_unit_test(bricks_are_added_in_sets),
        cmocka_unit_test(replicas_are_raised_set_by_set),
        cmocka_unit_test(names_are_narrower_than_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
