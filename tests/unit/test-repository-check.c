/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository-check.h"

#include <jansson.h>

#include "tests/unit/repository-fixture.h"

#define NEW ".new-22222222-2222-4222-8222-222222222222"
#define GONE ".gone-33333333-3333-4333-8333-333333333333"

/* All that the check finds; the caller's. */
static json_t *
check(void)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct error *error = NULL;
    bool more = true;
    json_t *problems;

    succeed(repository_check(repository, &writer, &more, &error), error);
    assert_false(more);
    problems = json_loads(writer.text.bytes, 0, NULL);
    assert_true(json_is_array(problems));
    return problems;
}

/* The fix of the one problem that there is, which must be of this name and kind; the caller's. */
static char *
only_problem(const char *problem, const char *kind)
{
    json_t *problems = check();
    const json_t *only = json_array_get(problems, 0);
    char *fix;

    if (json_array_size(problems) != 1)
        fail_msg("%zu problems, not one", json_array_size(problems));
    assert_string_equal(json_string_value(json_object_get(only, "problem")), problem);
    assert_string_equal(json_string_value(json_object_get(only, "kind")), kind);
    assert_true(*json_string_value(json_object_get(only, "text")));
    fix = json_dumps(json_object_get(only, "fix"), JSON_COMPACT);
    json_decref(problems);
    return fix;
}

static void
assert_well(void)
{
    json_t *problems = check();

    assert_int_equal(json_array_size(problems), 0);
    json_decref(problems);
}

static bool
apply(const char *json, struct error **err)
{
    struct image *removed = NULL;
    struct fix fix;
    bool done;

    if (!repository_fix_parse(json, &fix, err))
        return false;
    done = repository_fix_apply(repository, &fix, HOLDER, &removed, err);
    assert_true(done || !removed);
    image_discard(removed);
    fix_done(&fix);
    return done;
}

/* The problem is found, mended, and then neither there nor mended again. */
static void
is_mended_once(const char *problem, const char *kind, enum error_code second)
{
    _cleanup_free_ char *fix = only_problem(problem, kind);
    struct error *error = NULL;

    succeed(apply(fix, &error), error);
    assert_well();
    refused(apply(fix, &error), &error, second);
}

static void
a_sound_repository_has_no_problems(void **state)
{
    (void)state;
    assert_well();
    make_image("web1");
    make_image("base");
    make_overlay("layer", "base");
    assert_well();
}

static void
abandoned_hidden_directories_are_freed(void **state)
{
    (void)state;
    put_folder(NEW);
    put_file(NEW "/data", "x");
    is_mended_once("abandoned creation", "clean", ERROR_CONFLICT);
    put_folder(GONE);
    put_file(GONE "/lock", "");
    is_mended_once("removed image", "clean", ERROR_CONFLICT);
}

static void
hidden_directories_that_somebody_works_on_are_left(void **state)
{
    _cleanup_free_ char *fix = NULL;
    struct image_record record = sample_record(4096);
    struct error *error = NULL;
    struct image *image = NULL;

    (void)state;
    succeed(image_make(repository, "web1", &record, NULL, HOLDER, &image, &error), error);
    assert_well();
    fix = xprintf("{\"action\":\"free\",\"name\":\"%s\"}", image->hidden);
    refused(apply(fix, &error), &error, ERROR_IMAGE_IN_USE);
    put_data(image, 4096);
    succeed(image_publish(image, &error), error);
    image_close(image);
    assert_status_has("web1", "\"state\":\"optimized\"");
}

static void
an_image_whose_hidden_directory_was_freed_is_never_shown(void **state)
{
    _cleanup_free_ char *fix = NULL;
    struct image_record record = sample_record(4096);
    struct error *error = NULL;
    struct image *image = NULL;

    (void)state;
    succeed(image_make(repository, "web1", &record, NULL, HOLDER, &image, &error), error);
    fix = xprintf("{\"action\":\"free\",\"name\":\"%s\"}", image->hidden);
    image_lock_release(TAKE(image->lock)); /* as if its maker had lost it */
    succeed(apply(fix, &error), error);
    refused(image_publish(image, &error), &error, ERROR_REPOSITORY_UNAVAILABLE);
    image_discard(image);
    assert_false(there_is("web1"));
    assert_well();
}

static void
stray_files_are_unlinked_and_links_not_followed(void **state)
{
    char outside[64];
    struct stat status;

    (void)state;
    (void)snprintf(outside, sizeof(outside), "%s/precious", folder);
    assert_int_equal(mkdir(outside, 0755), 0);
    put_file("disk.iso", "x");
    is_mended_once("stray file", "clean", ERROR_CONFLICT);
    put_file("a name with spaces", "x");
    is_mended_once("stray file", "clean", ERROR_CONFLICT);
    assert_int_equal(symlinkat(outside, folder_fd(repository->images), "trap"), 0);
    is_mended_once("stray file", "clean", ERROR_CONFLICT);
    assert_int_equal(stat(outside, &status), 0);
    put_file(".nfs000001", "x");
    assert_well();
}

static void
a_directory_is_no_stray_file(void **state)
{
    struct error *error = NULL;

    (void)state;
    make_image("web1");
    refused(apply("{\"action\":\"unlinkStray\",\"name\":\"web1\"}", &error), &error,
            ERROR_CONFLICT);
    assert_status_has("web1", "\"state\":\"optimized\"");
}

static void
left_over_records_are_cleaned(void **state)
{
    struct image_record record = sample_record(4096);
    struct copy_record copy = sample_copy();

    (void)state;
    image_close(make_with("web1", &record, &copy));
    is_mended_once("left-over copy record", "clean", ERROR_CONFLICT);
    put_file("web1/.tmp-image.json", "{");
    is_mended_once("left-over temporary file", "clean", ERROR_CONFLICT);
    put_file("web1/.tmp-copy.json", "{");
    is_mended_once("left-over temporary file", "clean", ERROR_CONFLICT);
    assert_status_has("web1", "\"state\":\"optimized\"");
}

static void
data_that_the_record_does_not_name_are_cleaned(void **state)
{
    _cleanup_free_ char *fix = NULL;
    struct image_record record = sample_record(4096);
    struct error *error = NULL;
    struct image *image;

    (void)state;
    record.data = (char *)(uintptr_t) "data-2";
    succeed(image_make(repository, "web1", &record, NULL, HOLDER, &image, &error), error);
    put_data(image, 4096);
    succeed(image_publish(image, &error), error);
    image_close(image);
    put_file("web1/data", "what was there before");
    put_file("web1/data-1", "what was not finished");
    put_file("web1/notes", "not ours");
    fix = only_problem("left-over data", "clean");
    succeed(apply(fix, &error), error);
    assert_true(there_is("web1/data-2") && there_is("web1/notes"));
    assert_false(there_is("web1/data") || there_is("web1/data-1"));
    assert_well();
    refused(apply(fix, &error), &error, ERROR_CONFLICT);
}

static void
the_record_of_a_copy_that_goes_on_is_not_cleaned(void **state)
{
    struct error *error = NULL;

    (void)state;
    make_incomplete("part");
    refused(apply("{\"action\":\"unlinkCopy\",\"name\":\"part\"}", &error), &error, ERROR_CONFLICT);
    assert_true(there_is("part/copy.json"));
}

static void
an_abandoned_copy_is_to_be_resumed_and_never_removed(void **state)
{
    _cleanup_free_ char *fix = NULL;
    struct image *image = NULL;
    struct error *error = NULL;

    (void)state;
    make_incomplete("part");
    fix = only_problem("incomplete copy", "mend");
    assert_has(fix, "resume");
    succeed(apply(fix, &error), error); /* only looks: the copy is a task's */
    refused(apply("{\"action\":\"remove\",\"name\":\"part\"}", &error), &error, ERROR_CONFLICT);
    succeed(image_open_locked(repository, "part", IMAGE_LOCK_EXCLUSIVE, HOLDER, &image, &error),
            error);
    assert_well(); /* somebody works on it */
    refused(apply(fix, &error), &error, ERROR_IMAGE_IN_USE);
    image->record.complete = true;
    succeed(image_write_record(image, &error), error);
    image_close(image);
    refused(apply(fix, &error), &error, ERROR_CONFLICT);
}

static void
broken_images_are_removed(void **state)
{
    struct image_record record = sample_record(4096);

    (void)state;
    make_incomplete("part");
    drop_file("part/copy.json");
    is_mended_once("incomplete copy", "mend", ERROR_IMAGE_NOT_FOUND);
    make_image("unread");
    put_file("unread/image.json", "{");
    is_mended_once("unreadable image", "mend", ERROR_IMAGE_NOT_FOUND);
    put_folder("empty");
    is_mended_once("unreadable image", "mend", ERROR_IMAGE_NOT_FOUND);
    make_image("no-data");
    drop_file("no-data/data");
    is_mended_once("damaged image", "mend", ERROR_IMAGE_NOT_FOUND);
    make_image("short");
    put_file("short/data", "x");
    is_mended_once("damaged image", "mend", ERROR_IMAGE_NOT_FOUND);
    record.damage = (char *)(uintptr_t) "x";
    image_close(make_with("verified", &record, NULL));
    is_mended_once("damaged image", "mend", ERROR_IMAGE_NOT_FOUND);
    make_overlay("layer", "nobody");
    is_mended_once("base missing", "mend", ERROR_IMAGE_NOT_FOUND);
}

static void
what_is_well_again_is_not_removed(void **state)
{
    _cleanup_text_ struct text good = TEXT_INIT;
    _cleanup_free_ char *fix = NULL;
    struct error *error = NULL;

    (void)state;
    make_image("web1");
    get_file("web1/image.json", &good);
    put_file("web1/image.json", "{");
    fix = only_problem("unreadable image", "mend");
    put_file("web1/image.json", good.bytes);
    refused(apply(fix, &error), &error, ERROR_CONFLICT);
    assert_status_has("web1", "\"state\":\"optimized\"");
}

static void
a_broken_base_is_kept_while_others_stand_on_it(void **state)
{
    _cleanup_free_ char *fix = NULL;
    struct error *error = NULL;

    (void)state;
    make_image("base");
    make_overlay("layer", "base");
    drop_file("base/data");
    fix = only_problem("damaged image", "mend");
    refused(apply(fix, &error), &error, ERROR_IMAGE_HAS_DEPENDENTS);
    assert_true(there_is("base"));
}

static void
what_a_newer_agent_made_is_left_alone(void **state)
{
    struct error *error = NULL;

    (void)state;
    make_image("newer");
    put_file("newer/image.json", "{\"version\":9}");
    make_incomplete("part");
    put_file("part/copy.json", "{\"version\":9}");
    assert_status_has("newer", "\"state\":\"broken\"");
    assert_well();
    refused(apply("{\"action\":\"remove\",\"name\":\"newer\"}", &error), &error, ERROR_CONFLICT);
    refused(apply("{\"action\":\"remove\",\"name\":\"part\"}", &error), &error, ERROR_CONFLICT);
}

static void
nothing_is_mended_in_a_read_only_repository(void **state)
{
    _cleanup_free_ char *fix = NULL;
    struct error *error = NULL;

    (void)state;
    put_folder(NEW);
    repository->read_only = true;
    fix = only_problem("abandoned creation", "clean");
    refused(apply(fix, &error), &error, ERROR_REPOSITORY_UNAVAILABLE);
    assert_true(there_is(NEW));
}

static void
a_fix_that_no_check_wrote_is_refused(void **state)
{
    static const char *const fixes[] = {
        "",
        "{}",
        "[]",
        "7",
        "{\"action\":\"free\"}",
        "{\"action\":\"free\",\"name\":7}",
        "{\"action\":\"free\",\"name\":\"web1\"}",
        "{\"action\":\"free\",\"name\":\"../..\"}",
        "{\"action\":\"free\",\"name\":\".new-/../../x\"}",
        "{\"action\":\"free\",\"name\":\".\"}",
        "{\"action\":\"burn\",\"name\":\"web1\"}",
        "{\"action\":\"remove\",\"name\":\"a/b\"}",
        "{\"action\":\"remove\",\"name\":\"" NEW "\"}",
        "{\"action\":\"resume\",\"name\":\"\"}",
        "{\"action\":\"unlinkStray\",\"name\":\"../x\"}",
        "{\"action\":\"unlinkStray\",\"name\":\"..\"}",
        "{\"action\":\"unlinkStray\",\"name\":\".\"}",
        "{\"action\":\"unlinkStray\",\"name\":\"\"}",
        "{\"action\":\"unlinkCopy\",\"name\":\"..\"}",
    };
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(fixes); i++)
        refused(apply(fixes[i], &error), &error, ERROR_INVALID_PARAMS);
}

static void
a_list_that_is_too_long_says_that_there_is_more(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct error *error = NULL;
    bool more = false;

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        _cleanup_free_ char *name = xprintf("stray%04u", i);

        put_file(name, "");
    }
    succeed(repository_check(repository, &writer, &more, &error), error);
    assert_true(more);
    assert_true(writer.text.length < 512 * 1024);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void
what_cannot_be_read_this_time_is_not_offered_for_removal(void **state)
{
    (void)state;
    make_image("web1");
    make_incomplete("part");
    for (size_t count = 1; count <= 2; count++) {
        json_t *problems, *problem;
        size_t n;

        allow_descriptors(count); /* for a directory, and not or hardly for a file in it */
        problems = check();
        allow_descriptors(SIZE_MAX);
        json_array_foreach(problems, n, problem) assert_string_not_equal(
            json_string_value(json_object_get(json_object_get(problem, "fix"), "action")),
            "remove");
        json_decref(problems);
    }
}

static void
what_cannot_be_read_this_time_is_not_removed(void **state)
{
    struct error *error = NULL;

    (void)state;
    make_image("web1");
    for (size_t count = 1; count <= 4; count++) {
        allow_descriptors(count);
        if (apply("{\"action\":\"remove\",\"name\":\"web1\"}", &error))
            fail_msg("a sound image was removed when %zu descriptors were left", count);
        allow_descriptors(SIZE_MAX);
        error_free(TAKE(error));
        assert_status_has("web1", "\"state\":\"optimized\"");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sound_repository_has_no_problems),
        TEST(abandoned_hidden_directories_are_freed),
        TEST(hidden_directories_that_somebody_works_on_are_left),
        TEST(an_image_whose_hidden_directory_was_freed_is_never_shown),
        TEST(stray_files_are_unlinked_and_links_not_followed),
        TEST(a_directory_is_no_stray_file),
        TEST(left_over_records_are_cleaned),
        TEST(data_that_the_record_does_not_name_are_cleaned),
        TEST(the_record_of_a_copy_that_goes_on_is_not_cleaned),
        TEST(an_abandoned_copy_is_to_be_resumed_and_never_removed),
        TEST(broken_images_are_removed),
        TEST(what_is_well_again_is_not_removed),
        TEST(what_cannot_be_read_this_time_is_not_offered_for_removal),
        TEST(what_cannot_be_read_this_time_is_not_removed),
        TEST(a_broken_base_is_kept_while_others_stand_on_it),
        TEST(what_a_newer_agent_made_is_left_alone),
        TEST(nothing_is_mended_in_a_read_only_repository),
        TEST(a_fix_that_no_check_wrote_is_refused),
        TEST(a_list_that_is_too_long_says_that_there_is_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
