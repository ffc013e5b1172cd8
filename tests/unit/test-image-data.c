/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-data.h"

#include "tests/unit/repository-fixture.h"

static struct image *
open_it(const char *id)
{
    struct error *error = NULL;
    struct image *image;

    succeed(image_open(repository, id, &image, &error), error);
    return image;
}

/* Shows 'record' as 'id' without data of its own. */
static struct image *
make_without_data(const char *id, const struct image_record *record)
{
    struct error *error = NULL;
    struct image *image;

    succeed(image_make(repository, id, record, NULL, HOLDER, &image, &error), error);
    succeed(image_publish(image, &error), error);
    return image;
}

static void
a_fresh_name_is_a_data_files(void **state)
{
    _cleanup_free_ char *one = image_new_data_name(), *other = image_new_data_name();

    (void)state;
    assert_true(format_names_data(one) && format_names_data(other) && format_names_data("data"));
    assert_string_not_equal(one, other);
    assert_false(format_names_data("lock") || format_names_data("image.json") ||
                 format_names_data("data-/x"));
}

static void
an_overlay_is_told_the_data_file_that_counts(void **state)
{
    struct image_record record = sample_record(4096);
    struct image *image;
    char *name;

    (void)state;
    image = make_with("old", &record, NULL);
    name = image_backing_name(image);
    assert_string_equal(name, "../old/data");
    free(name);
    image_close(image);
    record.data = (char *)(uintptr_t) "data-7";
    image = make_with("new", &record, NULL);
    name = image_backing_name(image);
    assert_string_equal(name, "../new/data-7");
    free(name);
    image_close(image);
    assert_status_has("new", "\"state\":\"optimized\"");
}

static void
what_lies_behind_the_end_is_not_shown(void **state)
{
    struct image_record record = sample_record(4096);
    struct endpoint *endpoint;
    struct error *error = NULL;
    struct image *image = make_with("web1", &record, NULL);

    (void)state;
    assert_status_has("web1", "\"state\":\"optimized\"");
    put_data(image, 8192);
    image->record.resizing = true;
    succeed(image_write_record(image, &error), error);
    assert_status_has("web1", "resize under way");
    refused(image_require_finished(image, &error), &error, ERROR_WRONG_STATE);
    succeed(image_require_merged(image, &error), error);
    image_close(image);
    assert_status_has("web1", "\"state\":\"degraded\"");
    assert_status_has("web1", "resize was interrupted");
    assert_status_has("web1", "\"size\":4096");
    image = open_it("web1");
    succeed(image_open_data(image, ENDPOINT_READ, NULL, &endpoint, &error), error);
    assert_int_equal(endpoint_size(endpoint), 4096);
    endpoint_close(endpoint);
    image_close(image);
}

static void
a_snapshot_is_broken_while_it_shares_its_data(void **state)
{
    struct image_record record = sample_record(4096);
    struct error *error = NULL;
    struct image *snapshot;

    (void)state;
    make_image("web1");
    record.mutable = false;
    record.snapshot_of = (char *)(uintptr_t) "web1";
    snapshot = make_without_data("snap", &record);
    assert_int_equal(
        linkat(folder_fd(repository->images), "web1/data", folder_fd(snapshot->folder), "data", 0),
        0);
    assert_status_has("snap", "\"state\":\"broken\"");
    assert_status_has("snap", "has not finished");
    assert_status_has("web1", "\"state\":\"optimized\"");
    refused(image_require_usable(snapshot, &error), &error, ERROR_IMAGE_BROKEN);
    put_file("web1/image.json", "{}");
    assert_true(image_is_unfinished_snapshot(snapshot)); /* it cannot be told */
    drop_file("web1/image.json");
    drop_file("web1/data");
    drop_file("web1/lock");
    assert_int_equal(unlinkat(folder_fd(repository->images), "web1", AT_REMOVEDIR), 0);
    assert_status_has("snap", "\"state\":\"optimized\"");
    make_image("web1"); /* another one */
    assert_status_has("snap", "\"state\":\"optimized\"");
    succeed(image_require_usable(snapshot, &error), error);
    image_close(snapshot);
}

static void
an_interrupted_merge_shows_in_both_images(void **state)
{
    struct image_record record = sample_record(4096);
    struct image *base, *image;
    struct error *error = NULL;

    (void)state;
    record.mutable = false;
    record.merged_into = (char *)(uintptr_t) "web1";
    base = make_with("base", &record, NULL);
    record = sample_record(4096);
    record.format = IMAGE_QCOW2;
    record.base = record.merging = (char *)(uintptr_t) "base";
    image = make_with("web1", &record, NULL);
    assert_status_has("web1", "merge under way");
    assert_status_has("base", "\"state\":\"broken\"");
    refused(image_require_usable(base, &error), &error, ERROR_IMAGE_BROKEN);
    succeed(image_require_usable(image, &error), error);
    refused(image_require_finished(image, &error), &error, ERROR_WRONG_STATE);
    refused(image_require_merged(image, &error), &error, ERROR_WRONG_STATE);
    image_close(image);
    image_close(base);
    assert_status_has("web1", "\"state\":\"degraded\"");
    assert_status_has("web1", "interrupted");
}

static void
only_data_that_do_not_count_are_dropped(void **state)
{
    struct image_record record = sample_record(4096);
    struct image *image = make_with("web1", &record, NULL);
    struct error *error = NULL;
    bool found = true;

    (void)state;
    succeed(image_has_left_over_data(image, &found, &error), error);
    assert_false(found);
    put_file("web1/data-1", "x");
    put_file("web1/data-2", "x");
    put_file("web1/database", "x");
    succeed(image_has_left_over_data(image, &found, &error), error);
    assert_true(found);
    succeed(image_drop_left_over_data(image, &error), error);
    assert_true(there_is("web1/data") && there_is("web1/database"));
    assert_false(there_is("web1/data-1") || there_is("web1/data-2"));
    image_close(image);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fresh_name_is_a_data_files),
        TEST(an_overlay_is_told_the_data_file_that_counts),
        TEST(what_lies_behind_the_end_is_not_shown),
        TEST(a_snapshot_is_broken_while_it_shares_its_data),
        TEST(an_interrupted_merge_shows_in_both_images),
        TEST(only_data_that_do_not_count_are_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
