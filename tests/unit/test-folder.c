/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/unit/endpoint-fixture.h"

#include <errno.h>

#include "storage/folder.h"

static struct folder *
must_open_folder(const char *name)
{
    struct folder *opened = NULL;

    if (!folder_open(place, name, FOLDER_SAME_SYSTEM, &opened))
        fail_msg("'%s': %s", name, strerror(errno));
    return opened;
}

static void
assert_no_folder(struct folder *parent, const char *name, int errnum)
{
    struct folder *opened = NULL;

    assert_false(folder_open(parent, name, FOLDER_SAME_SYSTEM, &opened));
    assert_int_equal(errno, errnum);
    assert_false(folder_open(parent, name, FOLDER_ANY_SYSTEM, &opened));
    assert_int_equal(errno, errnum);
    assert_null(opened);
}

static void
only_directories_are_opened(void **state)
{
    (void)state;
    create("file", IMAGE_RAW, 1);
    assert_int_equal(symlinkat("/tmp", base, "link"), 0);
    assert_no_folder(place, "none", ENOENT);
    assert_no_folder(place, "file", ENOTDIR);
    {
        struct folder *opened = NULL;

        assert_false(folder_open(place, "link", FOLDER_SAME_SYSTEM, &opened));
        assert_true(errno == ELOOP || errno == ENOTDIR);
        assert_false(folder_open(place, "link", FOLDER_ANY_SYSTEM, &opened));
        assert_true(errno == ELOOP || errno == ENOTDIR);
    }
}

static void
while_the_gate_is_shut_nothing_is_asked_for(void **state)
{
    _cleanup_(folder_closep) struct folder *parent = NULL, *child = NULL, *other = NULL;
    atomic_bool shut = false;
    struct error *error = NULL;
    struct stat status;

    (void)state;
    assert_true(folder_make(place, "parent", 0755));
    parent = must_open_folder("parent");
    folder_set_gate(parent, &shut);
    assert_true(folder_make(parent, "child", 0755));
    assert_true(folder_open(parent, "child", FOLDER_SAME_SYSTEM, &child));
    assert_true(folder_replace(child, "file", "old", 3, &error));
    atomic_store(&shut, true);
    assert_false(folder_open(parent, "child", FOLDER_SAME_SYSTEM, &other));
    assert_int_equal(errno, ETIMEDOUT);
    assert_false(folder_stat(child, "file", &status));
    assert_int_equal(errno, ETIMEDOUT);
    assert_false(folder_replace(child, "file", "new", 3, &error));
    assert_int_equal(error->code, ERROR_REPOSITORY_UNAVAILABLE);
    error_free(TAKE(error));
    assert_false(folder_unlink(child, "file", &error));
    error_free(TAKE(error));
    assert_true(folder_stat(place, "parent", &status)); /* what is above is not concerned */
    atomic_store(&shut, false);
    assert_true(folder_stat(child, "file", &status));
    assert_true(folder_open(parent, "child", FOLDER_SAME_SYSTEM, &other));
}

static void
what_is_mounted_there_is_opened_only_when_asked_for(void **state)
{
    _cleanup_(folder_closep) struct folder *root = NULL, *opened = NULL;

    (void)state;
    assert_true(folder_open_path("/", &root));
    assert_false(folder_open(root, "proc", FOLDER_SAME_SYSTEM, &opened));
    assert_int_equal(errno, EXDEV);
    assert_true(folder_open(root, "proc", FOLDER_ANY_SYSTEM, &opened));
}

static void
a_folder_is_the_directory_not_its_name(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_(folder_closep) struct folder *first = NULL, *second = NULL, *again = NULL;

    (void)state;
    assert_true(folder_make(place, "here", 0700));
    first = must_open_folder("here");
    assert_true(folder_is_named(place, "here", first));
    assert_true(folder_rename(place, "here", place, "there", &err));
    assert_false(folder_is_named(place, "here", first));
    assert_true(folder_is_named(place, "there", first));
    assert_true(folder_make(place, "here", 0700));
    second = must_open_folder("here");
    again = must_open_folder("here");
    assert_false(folder_is_same(first, second));
    assert_true(folder_is_same(second, again));
}

static void
a_rename_replaces_nothing(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    assert_true(folder_make(place, "one", 0700));
    assert_true(folder_make(place, "other", 0700));
    assert_false(folder_rename(place, "one", place, "other", &err));
    assert_int_equal(err->code, ERROR_ALREADY_EXISTS);
}

struct seen {
    size_t count, limit;
};

static bool
see(const char *name, void *context)
{
    struct seen *seen = context, inner = { 0, SIZE_MAX };

    assert_true(*name != '.');
    seen->count++;
    /* One listing does not disturb the other. */
    if (seen->limit == SIZE_MAX - 1) {
        assert_true(folder_each(place, see, &inner));
        assert_int_equal(inner.count, 3);
    }
    return seen->count < seen->limit;
}

static void
every_entry_is_listed_until_it_is_enough(void **state)
{
    struct seen all = { 0, SIZE_MAX - 1 }, two = { 0, 2 };

    (void)state;
    create("a", IMAGE_RAW, 1);
    create("b", IMAGE_RAW, 1);
    create("c", IMAGE_RAW, 1);
    assert_true(folder_each(place, see, &all));
    assert_int_equal(all.count, 3);
    assert_true(folder_each(place, see, &two));
    assert_int_equal(two.count, 2);
}

static void
a_missing_file_needs_no_sync(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    assert_true(folder_sync_file(place, "none", &err));
    assert_int_equal(symlinkat("/dev/null", base, "link"), 0);
    assert_false(folder_sync_file(place, "link", &err));
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
}

static void
a_file_gets_a_second_name_and_another_size(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL, *again = NULL;
    _cleanup_(folder_closep) struct folder *inner = NULL;
    struct stat one, other;

    (void)state;
    create("file", IMAGE_RAW, 4096);
    assert_true(folder_make(place, "inner", 0700));
    inner = must_open_folder("inner");
    assert_true(folder_link(place, "file", inner, "other", &err));
    assert_true(folder_set_size(place, "file", 100));
    assert_true(folder_stat(place, "file", &one) && folder_stat(inner, "other", &other));
    assert_true(one.st_ino == other.st_ino && one.st_nlink == 2 && other.st_size == 100);
    assert_false(folder_link(place, "file", inner, "other", &again));
    assert_int_equal(again->code, ERROR_ALREADY_EXISTS);
    assert_false(folder_set_size(place, "none", 1));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(symlinkat("file", base, "link"), 0);
    assert_false(folder_set_size(place, "link", 1));
    assert_int_equal(errno, ELOOP);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_directories_are_opened, begin, end),
        cmocka_unit_test_setup_teardown(while_the_gate_is_shut_nothing_is_asked_for, begin, end),
        cmocka_unit_test_setup_teardown(what_is_mounted_there_is_opened_only_when_asked_for, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_folder_is_the_directory_not_its_name, begin, end),
        cmocka_unit_test_setup_teardown(a_file_gets_a_second_name_and_another_size, begin, end),
        cmocka_unit_test_setup_teardown(a_rename_replaces_nothing, begin, end),
        cmocka_unit_test_setup_teardown(every_entry_is_listed_until_it_is_enough, begin, end),
        cmocka_unit_test_setup_teardown(a_missing_file_needs_no_sync, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
