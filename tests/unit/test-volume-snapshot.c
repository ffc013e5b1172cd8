/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that glusterd 10.3 gave (tests/unit/gluster/README-snapshots.md). */
#include <config.h>

#include "gluster/snapshot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "gluster/command.h"

static struct xml_document *
parse(const char *text)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct xml_document *document = NULL;

    if (!xml_parse("gluster", text, strlen(text), &document, &err))
        fail_msg("%s: %s", text, err->message);
    return document;
}

static struct xml_document *
recorded(const char *name)
{
    const char *source = getenv("HOSTLER_SOURCE");
    _cleanup_free_ char *path =
        xprintf("%s/tests/unit/gluster/snapshot-%s.xml", source ? source : ".", name);
    _cleanup_text_ struct text text = TEXT_INIT;
    FILE *file = fopen(path, "r");
    size_t size;

    if (!file)
        fail_msg("%s cannot be read", path);
    while ((size = fread(text_reserve(&text, 4096), 1, 4096, file)) > 0)
        text_grow(&text, size);
    (void)fclose(file);
    return parse(text.bytes);
}

static struct volume_snapshots
snapshots_of(const char *info, const char *status)
{
    _cleanup_(xml_freep) struct xml_document *infos = recorded(info);
    _cleanup_(xml_freep) struct xml_document *statuses = status ? recorded(status) : NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    struct volume_snapshots snapshots = { 0 };

    if (!volume_snapshots_read(infos, statuses, &snapshots, &err))
        fail_msg("%s: %s", info, err->message);
    return snapshots;
}

static const struct volume_snapshot *
snapshot_named(const struct volume_snapshots *snapshots, const char *name)
{
    for (size_t i = 0; i < snapshots->count; i++)
        if (strcmp(snapshots->all[i].name, name) == 0)
            return &snapshots->all[i];
    fail_msg("no snapshot '%s'", name);
    return NULL;
}

static void
snapshots_of_all_volumes_are_told_with_their_bricks(void **unused)
{
    _cleanup_snapshots_ struct volume_snapshots snapshots = snapshots_of("info", "status");
    const struct volume_snapshot *first = snapshot_named(&snapshots, "s1");
    const struct volume_snapshot *second = snapshot_named(&snapshots, "s2");

    (void)unused;
    assert_int_equal(snapshots.count, 3);
    assert_string_equal(first->volume, "one");
    assert_string_equal(first->description, "before <the> \"upgrade\" & é");
    assert_true(first->active);
    assert_int_equal(first->remaining, 254);
    assert_int_equal(first->brick_count, 1);
    assert_true(first->bricks[0].online);
    assert_true(first->bricks[0].pid > 0);
    assert_string_equal(first->bricks[0].volume_group, "vg");
    assert_true(first->bricks[0].data_percent > 0 && first->bricks[0].data_percent < 100);
    assert_int_equal(first->bricks[0].size, 400 << 20);
    assert_string_equal(second->volume, "two");
    assert_string_equal(second->description, "");
    assert_false(second->active);
    assert_int_equal(second->brick_count, 2);
    assert_non_null(strstr(second->bricks[1].name, "10.77.1.1:/run/gluster/snaps/"));
    assert_false(second->bricks[1].online);
    assert_null(second->bricks[1].volume_group);
    assert_int_equal(second->bricks[1].pid, 0);
    assert_int_equal(second->bricks[1].size, 0);
    assert_true(isnan(second->bricks[1].data_percent));
}

static void
those_of_one_volume_have_its_name(void **unused)
{
    _cleanup_snapshots_ struct volume_snapshots snapshots = snapshots_of("info-volume", NULL);

    (void)unused;
    assert_int_equal(snapshots.count, 2);
    for (size_t i = 0; i < snapshots.count; i++) {
        assert_string_equal(snapshots.all[i].volume, "one");
        assert_int_equal(snapshots.all[i].remaining, 254);
        assert_int_equal(snapshots.all[i].brick_count, 0);
    }
}

static void
no_snapshots_are_an_empty_list(void **unused)
{
    _cleanup_snapshots_ struct volume_snapshots snapshots =
        snapshots_of("info-none", "status-none");

    (void)unused;
    assert_int_equal(snapshots.count, 0);
}

#define INFO(time)                                                                                 \
    "<cliOutput><snapInfo><snapshots><snapshot><uuid>u</uuid><createTime>" time                    \
    "</createTime></snapshot></snapshots></snapInfo></cliOutput>"
#define STATUS(size, percent)                                                                            \
    "<cliOutput><snapStatus><snapshots><snapshot><uuid>u</uuid><volume><brick><data_percentage>" percent \
    "</data_percentage><lvSize>" size                                                                    \
    "</lvSize></brick></volume></snapshot></snapshots></snapStatus></cliOutput>"

static void
times_are_read_in_any_zone(void **unused)
{
    static const struct {
        const char *info;
        int64_t seconds;
    } table[] = {
        { INFO("2026-11-21 15:11:26 +0000"), 1795273886 },
        { INFO("2026-11-21 16:11:26 +0100"), 1795273886 },
        { INFO("2026-11-21 05:41:26 -0930"), 1795273886 },
        { INFO("2026-11-21 15:11:26"), 1795273886 },
        { INFO("yesterday"), 0 },
        { INFO(""), 0 },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(xml_freep) struct xml_document *info = parse(table[i].info);
        _cleanup_snapshots_ struct volume_snapshots snapshots = { 0 };
        _cleanup_(error_freep) struct error *err = NULL;

        assert_true(volume_snapshots_read(info, NULL, &snapshots, &err));
        if (snapshots.all[0].created_ns != table[i].seconds * NS_PER_S)
            fail_msg("%s: %lld ns", table[i].info, (long long)snapshots.all[0].created_ns);
    }
}

static void
sizes_are_lvms_and_what_is_none_is_unknown(void **unused)
{
    static const struct {
        const char *status;
        uint64_t size;
        bool known;
    } table[] = {
        { STATUS("1.00g", "6.36"), 1ULL << 30, true },
        { STATUS("&lt;1.50t", "0.00"), 3ULL << 39, true },
        { STATUS("512.00b", "100.00"), 512, true },
        { STATUS("4.00m", " 7.1"), 4 << 20, true },
        { STATUS("9.00e", "inf"), 0, false },
        { STATUS("-1.00g", "N/A"), 0, false },
        { STATUS("1.00x", ""), 0, false },
        { STATUS("1.00", "6.36%"), 0, false },
        { STATUS("1.00gg", "nan"), 0, false },
        { STATUS("g", "x"), 0, false },
        { STATUS("N/A", "-"), 0, false },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(xml_freep) struct xml_document *info = parse(INFO(""));
        _cleanup_(xml_freep) struct xml_document *status = parse(table[i].status);
        _cleanup_snapshots_ struct volume_snapshots snapshots = { 0 };
        _cleanup_(error_freep) struct error *err = NULL;

        assert_true(volume_snapshots_read(info, status, &snapshots, &err));
        assert_int_equal(snapshots.all[0].brick_count, 1);
        if (snapshots.all[0].bricks[0].size != table[i].size)
            fail_msg("%s: %llu", table[i].status,
                     (unsigned long long)snapshots.all[0].bricks[0].size);
        if (isnan(snapshots.all[0].bricks[0].data_percent) == table[i].known)
            fail_msg("%s: %f", table[i].status, snapshots.all[0].bricks[0].data_percent);
    }
}

static void
another_answer_is_refused(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *info = recorded("status");
    struct volume_snapshots snapshots = { 0 };
    _cleanup_(error_freep) struct error *err = NULL;

    (void)unused;
    assert_false(volume_snapshots_read(info, NULL, &snapshots, &err));
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
}

static void
what_is_told_is_the_whole_snapshot(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *info = parse(INFO("2026-11-21 15:11:26 +0000"));
    _cleanup_(xml_freep) struct xml_document *status = parse(STATUS("1.00g", "6.25"));
    _cleanup_snapshots_ struct volume_snapshots snapshots = { 0 };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)unused;
    assert_true(volume_snapshots_read(info, status, &snapshots, &err));
    volume_snapshot_write(&snapshots.all[0], &writer);
    assert_string_equal(
        writer.text.bytes,
        "{\"snapshot\":\"\",\"uuid\":\"u\",\"volume\":\"\",\"description\":\"\","
        "\"created\":\"2026-11-21T15:11:26.000Z\",\"state\":\"inactive\",\"remaining\":0,"
        "\"bricks\":[{\"brick\":\"\",\"online\":false,\"dataPercent\":6.25,\"size\":1073741824}]}");
}

/* Each refusal as it was recorded, and the name of ours that it gets. */
static void
refusals_of_glusterd_have_names(void **unused)
{
    static const struct {
        const char *name;
        enum error_code code;
        const char *state;
    } table[] = {
        { "create-exists", ERROR_ALREADY_EXISTS, NULL },
        { "create-unknown-volume", ERROR_NOT_FOUND, NULL },
        { "create-stopped", ERROR_WRONG_STATE, "stopped" },
        { "create-hard-limit", ERROR_LIMIT_EXCEEDED, "snapshots of a volume" },
        { "create-not-thin", ERROR_NONE, NULL },
        { "create-empty-description", ERROR_NONE, NULL },
        { "info-unknown", ERROR_NOT_FOUND, NULL },
        { "info-unknown-volume", ERROR_NOT_FOUND, NULL },
        { "activate-unknown", ERROR_NOT_FOUND, NULL },
        { "activate-active", ERROR_WRONG_STATE, "active" },
        { "deactivate-unknown", ERROR_NOT_FOUND, NULL },
        { "deactivate-inactive", ERROR_WRONG_STATE, "inactive" },
        { "clone-unknown", ERROR_NOT_FOUND, NULL },
        { "clone-inactive", ERROR_WRONG_STATE, "inactive" },
        { "clone-exists", ERROR_ALREADY_EXISTS, NULL },
        { "restore-unknown", ERROR_NOT_FOUND, NULL },
        { "restore-started", ERROR_WRONG_STATE, "started" },
        { "delete-unknown", ERROR_NOT_FOUND, NULL },
        { "volume-delete-with-snapshots", ERROR_WRONG_STATE, "has snapshots" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(xml_freep) struct xml_document *document = recorded(table[i].name);
        const struct xml_node *root = xml_root(document);
        const struct gluster_failure *failure =
            gluster_failure_find((int)xml_count(root, "opErrno"), xml_text(root, "opErrstr"));
        enum error_code code = failure ? failure->code : ERROR_NONE;

        assert_string_equal(xml_text(root, "opRet"), "-1");
        if (code != table[i].code)
            fail_msg("%s: %s", table[i].name, error_code_name(code));
        if (table[i].state)
            assert_string_equal(failure->state, table[i].state);
    }
}

static void
names_are_those_that_glusterd_takes(void **unused)
{
    static const char *const good[] = { "a", "A-b_9", "all2", "volumes", "0" };
    static const char *const bad[] = { "", "a.b", "-a", "a b", "all", "volume", "é", "a/b" };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        _cleanup_(error_freep) struct error *err = NULL;

        if (!volume_snapshot_name_check("snapshot", good[i], &err))
            fail_msg("%s: %s", good[i], err->message);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        _cleanup_(error_freep) struct error *err = NULL;

        if (volume_snapshot_name_check("snapshot", bad[i], &err))
            fail_msg("%s is taken", bad[i]);
        assert_int_equal(err->code, ERROR_INVALID_PARAMS);
        assert_non_null(strstr(err->data, "\"param\":\"snapshot\""));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_of_all_volumes_are_told_with_their_bricks),
        cmocka_unit_test(those_of_one_volume_have_its_name),
        cmocka_unit_test(no_snapshots_are_an_empty_list),
        cmocka_unit_test(times_are_read_in_any_zone),
        cmocka_unit_test(sizes_are_lvms_and_what_is_none_is_unknown),
        cmocka_unit_test(another_answer_is_refused),
        cmocka_unit_test(what_is_told_is_the_whole_snapshot),
        cmocka_unit_test(refusals_of_glusterd_have_names),
        cmocka_unit_test(names_are_those_that_glusterd_takes),
    };

    xml_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
