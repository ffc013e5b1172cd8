/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static char folder[] = "/tmp/hostler-durable-XXXXXX";
static int base = -1; /* the folder, open */

static int
begin(void **state)
{
    (void)state;
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    if (!mkdtemp(folder))
        return -1;
    base = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return base < 0 ? -1 : 0;
}

static int
end(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_close_ int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    (void)close(base);
    return durable_remove_tree(parent, strrchr(folder, '/') + 1, &err) ? 0 : -1;
}

static void
make_folder(const char *name)
{
    assert_int_equal(mkdirat(base, name, 0755), 0);
}

static void
make_file(const char *name, const char *contents)
{
    _cleanup_close_ int fd = openat(base, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, contents, strlen(contents)), strlen(contents));
}

static bool
there_is(const char *name)
{
    struct stat status;

    return fstatat(base, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
assert_contents(const char *name, const char *contents)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text text = TEXT_INIT;

    if (!durable_read(base, name, 1 << 20, &text, &err))
        fail_msg("%s", err->message);
    assert_string_equal(text.bytes, contents);
}

static void
assert_code(struct error *err, enum error_code code)
{
    assert_non_null(err);
    if (err->code != code)
        fail_msg("%s (%s) instead of %s", error_code_name(err->code), err->message,
                 error_code_name(code));
}

static void
a_file_is_made_and_replaced(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    assert_true(durable_replace(base, "a", "one", 3, &err));
    assert_contents("a", "one");
    assert_true(durable_replace(base, "a", "second", 6, &err));
    assert_contents("a", "second");
    assert_true(durable_replace(base, "a", NULL, 0, &err));
    assert_contents("a", "");
    assert_false(there_is(".tmp-a"));
}

static void
a_temporary_left_by_a_kill_is_replaced(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    make_file(".tmp-a", "half of something longer");
    assert_true(durable_replace(base, "a", "one", 3, &err));
    assert_contents("a", "one");
    assert_false(there_is(".tmp-a"));
}

static void
a_planted_temporary_does_not_reach_another_file(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    make_file("soft", "soft");
    make_file("hard", "hard");
    assert_int_equal(symlinkat("soft", base, ".tmp-a"), 0);
    assert_int_equal(linkat(base, "hard", base, ".tmp-b", 0), 0);
    assert_true(durable_replace(base, "a", "one", 3, &err));
    assert_true(durable_replace(base, "b", "two", 3, &err));
    assert_contents("soft", "soft");
    assert_contents("hard", "hard");
    assert_contents("a", "one");
    assert_contents("b", "two");
}

static void
a_name_of_several_components_is_refused(void **state)
{
    const char *const wrong[] = { "", ".", "..", "a/b", "/a", "a/" };

    (void)state;
    make_folder("a");
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        _cleanup_(error_freep) struct error *replace = NULL;
        _cleanup_(error_freep) struct error *tree = NULL;

        assert_false(durable_replace(base, wrong[i], "x", 1, &replace));
        assert_code(replace, ERROR_INTERNAL);
        assert_false(durable_remove_tree(base, wrong[i], &tree));
        assert_code(tree, ERROR_INTERNAL);
    }
}

static void
a_replacement_that_fails_leaves_the_old_and_no_temporary(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    make_folder("a");
    make_file("a/inside", "kept");
    assert_false(durable_replace(base, "a", "x", 1, &err));
    assert_code(err, ERROR_BACKEND_FAILED);
    assert_contents("a/inside", "kept");
    assert_false(there_is(".tmp-a"));
}

static void
a_file_is_read_up_to_its_limit(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    make_file("a", "12345");
    assert_true(durable_read(base, "a", 5, &text, &err));
    assert_int_equal(text.length, 5);
    assert_false(durable_read(base, "a", 4, &text, &err));
    assert_code(err, ERROR_LIMIT_EXCEEDED);
    assert_string_equal(text.bytes, "12345");
}

static void
large_files_are_read_whole(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text written = TEXT_INIT, text = TEXT_INIT;

    (void)state;
    for (unsigned i = 0; i < 100000; i++)
        text_printf(&written, "%u ", i);
    assert_true(durable_replace(base, "a", written.bytes, written.length, &err));
    assert_true(durable_read(base, "a", written.length, &text, &err));
    assert_int_equal(text.length, written.length);
    assert_memory_equal(text.bytes, written.bytes, text.length);
}

static void
what_is_not_there_is_not_found(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    assert_false(durable_read(base, "a", 5, &text, &err));
    assert_code(err, ERROR_NOT_FOUND);
    assert_null(text.bytes);
}

static void
no_link_pipe_or_folder_is_read(void **state)
{
    static const struct {
        const char *name;
        bool certain; /* that it is not what it must be, whenever it is read */
    } wrong[] = { { "link", true },   { "through/a", false }, { "pipe", true },
                  { "folder", true }, { "nothing", true },    { "../../etc/passwd", false } };

    (void)state;
    make_folder("folder");
    make_file("folder/a", "secret");
    assert_int_equal(symlinkat("folder/a", base, "link"), 0);
    assert_int_equal(symlinkat("folder", base, "through"), 0);
    assert_int_equal(mkfifoat(base, "pipe", 0644), 0);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        _cleanup_(error_freep) struct error *err = NULL;
        _cleanup_text_ struct text text = TEXT_INIT;

        assert_false(durable_read(base, wrong[i].name, 4096, &text, &err));
        assert_int_equal(durable_error_is_certain(err), wrong[i].certain);
    }
    assert_contents("folder/a", "secret");
}

static void
a_rename_moves_between_folders(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_close_ int to = -1;

    (void)state;
    make_folder("to");
    make_file("a", "contents");
    to = openat(base, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(durable_rename(base, "a", to, "b", &err));
    assert_contents("to/b", "contents");
    assert_false(there_is("a"));
}

static void
a_rename_replaces_nothing(void **state)
{
    _cleanup_(error_freep) struct error *file = NULL;
    _cleanup_(error_freep) struct error *directory = NULL;
    _cleanup_(error_freep) struct error *missing = NULL;

    (void)state;
    make_file("a", "a");
    make_file("b", "b");
    make_folder("c");
    make_folder("d");
    assert_false(durable_rename(base, "a", base, "b", &file));
    assert_code(file, ERROR_ALREADY_EXISTS);
    assert_contents("b", "b");
    assert_false(durable_rename(base, "c", base, "d", &directory));
    assert_code(directory, ERROR_ALREADY_EXISTS);
    assert_false(durable_rename(base, "x", base, "y", &missing));
    assert_code(missing, ERROR_NOT_FOUND);
}

static void
a_second_name_leads_to_the_same_file(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL, *taken = NULL, *missing = NULL;
    _cleanup_close_ int to = -1;
    struct stat one, other;

    (void)state;
    make_folder("to");
    make_file("a", "contents");
    to = openat(base, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(durable_link(base, "a", to, "b", &err));
    assert_int_equal(fstatat(base, "a", &one, 0), 0);
    assert_int_equal(fstatat(to, "b", &other, 0), 0);
    assert_true(one.st_ino == other.st_ino && one.st_nlink == 2);
    assert_false(durable_link(base, "a", to, "b", &taken));
    assert_code(taken, ERROR_ALREADY_EXISTS);
    assert_false(durable_link(base, "x", to, "c", &missing));
    assert_code(missing, ERROR_NOT_FOUND);
}

static void
unlinking_twice_is_no_error(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    make_file("a", "a");
    assert_true(durable_unlink(base, "a", &err));
    assert_false(there_is("a"));
    assert_true(durable_unlink(base, "a", &err));
}

static void
a_tree_is_removed_with_its_links_but_not_what_they_name(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    make_folder("kept");
    make_file("kept/a", "kept");
    make_folder("tree");
    make_folder("tree/inner");
    make_folder("tree/inner/.hidden");
    assert_int_equal(symlinkat("../../kept", base, "tree/inner/link"), 0);
    assert_int_equal(symlinkat("nowhere", base, "tree/dangling"), 0);
    for (unsigned i = 0; i < 500; i++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "tree/inner/file-%u", i);
        make_file(name, "x");
    }
    assert_true(durable_remove_tree(base, "tree", &err));
    assert_false(there_is("tree"));
    assert_contents("kept/a", "kept");
    assert_true(durable_remove_tree(base, "tree", &err));
}

static void
a_link_in_the_place_of_a_tree_is_not_followed(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    make_folder("kept");
    make_file("kept/a", "kept");
    assert_int_equal(symlinkat("kept", base, "tree"), 0);
    assert_false(durable_remove_tree(base, "tree", &err));
    assert_code(err, ERROR_BACKEND_FAILED);
    assert_contents("kept/a", "kept");
}

static void
a_tree_nested_too_deep_is_an_error(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text name = TEXT_INIT;

    (void)state;
    text_append_string(&name, "tree");
    make_folder(name.bytes);
    for (unsigned i = 0; i < 20; i++) {
        text_append_string(&name, "/d");
        make_folder(name.bytes);
    }
    assert_false(durable_remove_tree(base, "tree", &err));
    assert_code(err, ERROR_LIMIT_EXCEEDED);
    /* So that the folder can be removed: the upper half is nested less deep than the whole. */
    assert_int_equal(renameat(base, "tree/d/d/d/d/d/d/d/d/d/d", base, "lower"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_made_and_replaced, begin, end),
        cmocka_unit_test_setup_teardown(a_temporary_left_by_a_kill_is_replaced, begin, end),
        cmocka_unit_test_setup_teardown(a_planted_temporary_does_not_reach_another_file, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_name_of_several_components_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_replacement_that_fails_leaves_the_old_and_no_temporary,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_file_is_read_up_to_its_limit, begin, end),
        cmocka_unit_test_setup_teardown(large_files_are_read_whole, begin, end),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_not_found, begin, end),
        cmocka_unit_test_setup_teardown(no_link_pipe_or_folder_is_read, begin, end),
        cmocka_unit_test_setup_teardown(a_rename_moves_between_folders, begin, end),
        cmocka_unit_test_setup_teardown(a_second_name_leads_to_the_same_file, begin, end),
        cmocka_unit_test_setup_teardown(a_rename_replaces_nothing, begin, end),
        cmocka_unit_test_setup_teardown(unlinking_twice_is_no_error, begin, end),
        cmocka_unit_test_setup_teardown(a_tree_is_removed_with_its_links_but_not_what_they_name,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_link_in_the_place_of_a_tree_is_not_followed, begin, end),
        cmocka_unit_test_setup_teardown(a_tree_nested_too_deep_is_an_error, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
