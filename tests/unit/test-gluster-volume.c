/* SPDX-License-Identifier: Apache-2.0 */
/* What can be told without a volume; tests/real has the rest. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "storage/folder-kind.h"
#include "storage/gluster-volume.h"
#include "storage/repository-place.h"

static void
set(struct repository_place *place, const char *key, const char *value)
{
    struct error *error = NULL;

    if (!repository_place_set(place, key, value, &error))
        fail_msg("%s = %s: %s", key, value, error->message);
}

static void
begin_place(struct repository_place *place)
{
    *place = (struct repository_place){ 0 };
    set(place, "kind", "gluster");
    set(place, "volume", "gv0");
    set(place, "servers", "node1 10.0.0.2 fe80::1");
}

static void
assert_refused(const struct repository_place *place, const char *part)
{
    struct error *error = NULL;

    if (repository_place_check(place, &error))
        fail_msg("it passed, and had to fail with '%s'", part);
    if (error->code != ERROR_INVALID_PARAMS || !strstr(error->message, part))
        fail_msg("%s: %s, not '%s'", error_code_name(error->code), error->message, part);
    error_free(error);
}

static void
a_volume_and_a_server_are_needed_and_well_formed(void **state)
{
    static const char *const paths[] = { "relative", "/a/../b", "/a/.." };
    struct repository_place place;

    (void)state;
    begin_place(&place);
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        set(&place, "path", paths[i]);
        assert_refused(&place, "'path'");
    }
    set(&place, "path", "/disks");
    set(&place, "volume", "no/volume");
    assert_refused(&place, "'volume'");
    set(&place, "volume", "gv0");
    set(&place, "servers", "no/server");
    assert_refused(&place, "no/server");
    repository_place_done(&place);
    set(&place, "kind", "gluster");
    assert_refused(&place, "'volume' is missing: kind 'gluster' needs 'volume' and 'servers'");
}

static void
without_libgfapi_it_is_said_so(void **state)
{
    struct repository_place place;
    struct error *error = NULL;
    _cleanup_free_ char *text = NULL;

    (void)state;
    begin_place(&place);
#ifdef HAVE_GFAPI
    assert_true(repository_place_check(&place, &error));
#else
    assert_false(repository_place_check(&place, &error));
    assert_int_equal(error->code, ERROR_BACKEND_UNAVAILABLE);
    assert_non_null(strstr(error->data, "built without libgfapi"));
    error_free(error);
#endif
    text = repository_place_text(&place);
    assert_string_equal(text, "node1:gv0/");
    assert_true(repository_place_is_in_volume(&place));
    repository_place_done(&place);
}

/* One that is forgotten would be called all the same. */
static void
a_folder_of_a_volume_can_all_that_folders_can(void **state)
{
#ifdef HAVE_GFAPI
    struct folder *folder = folder_gluster_take(NULL, NULL);
    void (*const *functions)(void) = (void (*const *)(void))(const void *)folder->kind;

    for (size_t i = 0; i < sizeof(*folder->kind) / sizeof(*functions); i++)
        if (i != offsetof(struct folder_kind, lock_fd) / sizeof(*functions) && !functions[i])
            fail_msg("number %zu of struct folder_kind is missing", i);
    free(folder);
#endif
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_and_a_server_are_needed_and_well_formed),
        cmocka_unit_test(without_libgfapi_it_is_said_so),
        cmocka_unit_test(a_folder_of_a_volume_can_all_that_folders_can),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
