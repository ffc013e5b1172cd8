/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/quota.h"

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

static void
add(struct quota *quota, const char *name)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(name);
    struct error *error = NULL;

    if (!quota_read(document, quota, &error))
        fail_msg("%s: %s", name, error->message);
}

static void
limits_of_both_kinds_are_joined_by_their_folder(void **unused)
{
    _cleanup_quota_ struct quota quota = { 0 };
    const struct quota_limit *root, *odd, *dir;

    (void)unused;
    add(&quota, "volume-quota-list.xml");
    add(&quota, "volume-quota-list-objects.xml");
    assert_int_equal(quota.limit_count, 3);
    root = &quota.limits[0];
    odd = &quota.limits[1];
    dir = &quota.limits[2];
    assert_string_equal(root->path, "/");
    assert_false(root->size.known);
    assert_true(root->objects.limited && root->objects.hard == 5 && root->objects.soft == 4);
    assert_true(root->objects.hard_exceeded && root->objects.available == 0);
    assert_int_equal(root->files, 4);
    assert_int_equal(root->folders, 4);
    assert_string_equal(odd->path, "/a<b&c");
    assert_true(odd->size.limited && odd->size.hard == 100000 && odd->size.soft == 60000);
    assert_int_equal(odd->size.soft_percent, 60);
    assert_false(odd->objects.known);
    assert_string_equal(dir->path, "/dir");
    assert_true(dir->size.limited && dir->size.hard == 10485760 && !dir->size.hard_exceeded);
    assert_int_equal(dir->size.available, 10485760);
    assert_true(dir->objects.limited && dir->objects.soft_percent == 30);
    assert_int_equal(dir->objects.available, 99);
}

static void
a_limit_that_is_exceeded_says_so(void **unused)
{
    _cleanup_quota_ struct quota quota = { 0 };

    (void)unused;
    add(&quota, "volume-quota-list-exceeded.xml");
    assert_true(quota.limits[0].size.hard_exceeded && quota.limits[0].size.soft_exceeded);
    assert_int_equal(quota.limits[0].used, 512);
    assert_false(quota.limits[1].size.hard_exceeded || quota.limits[1].size.soft_exceeded);
}

static void
a_folder_without_a_limit_tells_what_is_used(void **unused)
{
    _cleanup_quota_ struct quota quota = { 0 };
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    json_t *limit;

    (void)unused;
    add(&quota, "volume-quota-list-path-no-limit.xml");
    assert_int_equal(quota.limit_count, 1);
    assert_true(quota.limits[0].size.known && !quota.limits[0].size.limited);
    writer_object(&writer);
    quota_limit_write(&quota.limits[0], &writer);
    writer_end_object(&writer);
    limit = json_loads(writer.text.bytes, 0, NULL);
    assert_true(json_is_null(json_object_get(limit, "size")));
    assert_true(json_is_null(json_object_get(limit, "state")));
    assert_true(json_is_null(json_object_get(limit, "files")));
    assert_int_equal(json_integer_value(json_object_get(limit, "used")), quota.limits[0].used);
    assert_true(quota.limits[0].used > 0);
    json_decref(limit);
}

static void
a_folder_that_is_not_there_is_in_no_list(void **unused)
{
    _cleanup_quota_ struct quota quota = { 0 };

    (void)unused;
    add(&quota, "volume-quota-list-unknown-path.xml");
    assert_int_equal(quota.limit_count, 0);
}

static void
another_answer_is_refused(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document("pool-list.xml");
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_quota_ struct quota quota = { 0 };

    (void)unused;
    assert_false(quota_read(document, &quota, &error));
    assert_int_equal(error->code, ERROR_BACKEND_FAILED);
}

static void
paths_begin_at_the_volumes_top_and_are_plain(void **unused)
{
    static const char *const good[] = { "/", "/a", "/a b/c.d", "/..a/b..", "/a<b&c", "/\xc3\xa4" };
    static const char *const bad[] = { "",     "a",     "//",    "/a/",   "/a//b", "/.",
                                       "/a/.", "/a/..", "/../a", "/a\nb", "/a\x7f" };
    struct error *error = NULL;

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        if (!quota_path_check("path", good[i], &error))
            fail_msg("%s: %s", good[i], error->message);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (quota_path_check("path", bad[i], &error))
            fail_msg("'%s' is taken", bad[i]);
        assert_int_equal(error->code, ERROR_INVALID_PARAMS);
        error_free(TAKE(error));
    }
}

static const char *
words_of(const struct xml_document *document)
{
    return xml_text(xml_root(document), "opErrstr");
}

static void
refusals_get_names_of_ours(void **unused)
{
    static const struct {
        const char *name;
        enum error_code code;
        const char *state;
    } table[] = {
        { "volume-quota-list-off.xml", ERROR_WRONG_STATE, "quota disabled" },
        { "volume-quota-limit-off.xml", ERROR_WRONG_STATE, "quota disabled" },
        { "volume-quota-disable-off.xml", ERROR_WRONG_STATE, "quota disabled" },
        { "volume-quota-list-disabled.xml", ERROR_WRONG_STATE, "quota disabled" },
        { "volume-quota-enable-again.xml", ERROR_WRONG_STATE, "quota enabled" },
        { "volume-quota-stopped-volume.xml", ERROR_WRONG_STATE, "stopped" },
        { "volume-quota-unknown.xml", ERROR_NOT_FOUND, NULL },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(xml_freep) struct xml_document *document = recorded_document(table[i].name);
        const struct gluster_failure *failure = gluster_failure_find(30800, words_of(document));

        if (!failure || failure->code != table[i].code)
            fail_msg("%s is %s", table[i].name,
                     failure ? error_code_name(failure->code) : "BackendFailed");
        if (table[i].state)
            assert_string_equal(failure->state, table[i].state);
    }
}

static void
what_is_not_there_is_told_a_folder_or_a_limit(void **unused)
{
    static const char *const table[][2] = {
        { "volume-quota-limit-usage-unknown-path.xml", "\"kind\":\"folder\"" },
        { "volume-quota-limit-usage-file.xml", "\"kind\":\"folder\"" },
        { "volume-quota-remove-unknown-path.xml", "\"kind\":\"folder\"" },
        { "volume-quota-remove-again.xml", "\"kind\":\"limit\"" },
        { "volume-quota-remove-objects-none.xml", "\"kind\":\"limit\"" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        _cleanup_(xml_freep) struct xml_document *document = recorded_document(table[i][0]);
        _cleanup_(error_freep) struct error *error = NULL;

        error_set(&error, ERROR_BACKEND_FAILED, "glusterd refused: %s", words_of(document));
        quota_explain("/somewhere", &error);
        if (error->code != ERROR_NOT_FOUND || !strstr(error->data, table[i][1]) ||
            !strstr(error->data, "\"id\":\"/somewhere\""))
            fail_msg("%s: %s {%s}", table[i][0], error->message, error->data ? error->data : "");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_of_both_kinds_are_joined_by_their_folder),
        cmocka_unit_test(a_limit_that_is_exceeded_says_so),
        cmocka_unit_test(a_folder_without_a_limit_tells_what_is_used),
        cmocka_unit_test(a_folder_that_is_not_there_is_in_no_list),
        cmocka_unit_test(another_answer_is_refused),
        cmocka_unit_test(paths_begin_at_the_volumes_top_and_are_plain),
        cmocka_unit_test(refusals_get_names_of_ours),
        cmocka_unit_test(what_is_not_there_is_told_a_folder_or_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
