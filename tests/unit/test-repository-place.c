/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "storage/mount.h"
#include "storage/repository-place.h"

static void
set(struct repository_place *place, const char *key, const char *value)
{
    struct error *error = NULL;

    if (!repository_place_set(place, key, value, &error))
        fail_msg("%s = %s: %s", key, value, error->message);
}

static void
assert_refused(const struct repository_place *place, enum error_code code, const char *part)
{
    struct error *error = NULL;

    if (repository_place_check(place, &error))
        fail_msg("it passed, and had to fail with '%s'", part);
    if (error->code != code || !strstr(error->message, part))
        fail_msg("%s: %s, not '%s'", error_code_name(error->code), error->message, part);
    error_free(error);
}

static void
what_a_kind_needs_is_named_when_it_is_missing(void **state)
{
    struct repository_place place = { 0 };

    (void)state;
    assert_refused(&place, ERROR_INVALID_PARAMS, "'kind' is missing");
    set(&place, "kind", "dir");
    assert_refused(&place, ERROR_INVALID_PARAMS, "'path' is missing: kind 'dir' needs 'path'");
    set(&place, "path", "relative");
    assert_refused(&place, ERROR_INVALID_PARAMS, "must be an absolute path");
    repository_place_done(&place);
}

static void
what_belongs_to_another_kind_is_refused(void **state)
{
    struct repository_place place = { 0 };

    (void)state;
    set(&place, "kind", "dir");
    set(&place, "path", "/srv/fast");
    set(&place, "volume", "gv0");
    assert_refused(&place, ERROR_INVALID_PARAMS, "'volume' is not for kind 'dir'");
    repository_place_done(&place);
}

static void
a_kind_that_is_mounted_needs_to_know_what_and_is_found_below_the_run_time_directory(void **state)
{
    struct repository_place place = { 0 };

    (void)state;
    set(&place, "kind", "nfs");
    assert_refused(&place, ERROR_INVALID_PARAMS,
                   "'server' is missing: kind 'nfs' needs 'server' and 'export'");
    set(&place, "server", "nas1");
    assert_refused(&place, ERROR_INVALID_PARAMS, "'export' is missing");
    set(&place, "export", "/export");
    set(&place, "path", "/srv/fast");
    assert_refused(&place, ERROR_INVALID_PARAMS, "'path' is not for kind 'nfs'");
    free(TAKE(place.path));
    set(&place, "options", "exec");
    assert_refused(&place, ERROR_INVALID_PARAMS, "'options' has 'exec'");
    set(&place, "options", "ro");
    mount_use_folder("/run/hostler/mnt");
    _cleanup_free_ char *folder = repository_place_folder(&place, "fast");
    _cleanup_free_ char *text = repository_place_text(&place);
    struct error *error = NULL;

    assert_true(repository_place_check(&place, &error));
    assert_true(repository_place_is_mounted(&place));
    assert_string_equal(folder, "/run/hostler/mnt/fast");
    assert_string_equal(text, "nas1:/export");
    repository_place_done(&place);
}

static void
an_unknown_kind_and_an_unknown_key_are_named(void **state)
{
    struct repository_place place = { .kind = "tape" };
    struct error *error = NULL;

    (void)state;
    assert_refused(&place, ERROR_BACKEND_UNAVAILABLE, "kind 'tape': it knows 'dir', 'nfs'");
    assert_false(repository_place_set(&place, "kind", "tape", &error));
    assert_int_equal(error->code, ERROR_BACKEND_UNAVAILABLE);
    error_free(TAKE(error));
    assert_false(repository_place_set(&place, "colour", "blue", &error));
    assert_int_equal(error->code, ERROR_INVALID_PARAMS);
    assert_non_null(strstr(error->message, "no 'colour': there are 'kind', 'path', 'server'"));
    error_free(error);
}

static void
what_was_written_is_read_again(void **state)
{
    struct repository_place place = { 0 }, again, copy;
    struct writer writer = WRITER_INIT;
    json_t *object;

    (void)state;
    set(&place, "kind", "dir");
    set(&place, "path", "/srv/\"fast\"");
    set(&place, "servers", " one  two\tthree ");
    writer_object(&writer);
    repository_place_write(&place, &writer);
    writer_end_object(&writer);
    object = json_loadb(writer.text.bytes, writer.text.length, 0, NULL);
    assert_non_null(object);
    repository_place_read(object, &again);
    json_decref(object);
    writer_done(&writer);
    assert_true(repository_place_same(&place, &again));
    assert_string_equal(again.servers[2], "three");
    assert_null(again.servers[3]);
    repository_place_copy(&again, &copy);
    repository_place_done(&again);
    assert_true(repository_place_same(&place, &copy));
    repository_place_done(&copy);
    repository_place_done(&place);
}

static void
places_are_the_same_only_with_all_that_they_have(void **state)
{
    struct repository_place one = { 0 }, other = { 0 };

    (void)state;
    set(&one, "kind", "dir");
    set(&one, "path", "/srv/fast//");
    set(&other, "kind", "dir");
    set(&other, "path", "/srv/fast");
    assert_true(repository_place_same(&one, &other));
    set(&other, "path", "/srv/faster");
    assert_false(repository_place_same(&one, &other));
    set(&other, "path", "/srv/fast");
    set(&other, "servers", "a");
    assert_false(repository_place_same(&one, &other));
    set(&one, "servers", "a b");
    assert_false(repository_place_same(&one, &other));
    set(&other, "servers", "b");
    assert_true(repository_place_same(&one, &other));
    set(&one, "server", "here");
    assert_false(repository_place_same(&one, &other));
    repository_place_done(&one);
    repository_place_done(&other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_kind_needs_is_named_when_it_is_missing),
        cmocka_unit_test(what_belongs_to_another_kind_is_refused),
        cmocka_unit_test(
            a_kind_that_is_mounted_needs_to_know_what_and_is_found_below_the_run_time_directory),
        cmocka_unit_test(an_unknown_kind_and_an_unknown_key_are_named),
        cmocka_unit_test(what_was_written_is_read_again),
        cmocka_unit_test(places_are_the_same_only_with_all_that_they_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
