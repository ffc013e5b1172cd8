/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image.h"

#include "tests/unit/repository-fixture.h"

/* ---- making ---- */

static void
an_image_is_seen_only_when_it_is_published(void **state)
{
    struct image_record record = sample_record(4096);
    struct image *image = NULL, *seen = NULL;
    struct error *error = NULL;
    struct stat status;
    char **ids;
    size_t count;

    (void)state;
    succeed(image_make(repository, "web1", &record, NULL, HOLDER, &image, &error), error);
    put_data(image, 4096);
    assert_non_null(image->hidden);
    assert_int_equal(strncmp(image->hidden, FORMAT_NEW_PREFIX, strlen(FORMAT_NEW_PREFIX)), 0);
    assert_int_equal(fstat(folder_fd(image->folder), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0711);
    refused(image_open(repository, "web1", &seen, &error), &error, ERROR_IMAGE_NOT_FOUND);
    succeed(image_list(repository, NULL, 0, &ids, &count, &error), error);
    assert_int_equal(count, 0);
    strings_free(ids);
    succeed(image_publish(image, &error), error);
    assert_null(image->hidden);
    assert_status_has("web1", "\"state\":\"optimized\",\"reason\":null");
    /* Its maker holds it until it is closed. */
    refused(image_open_locked(repository, "web1", IMAGE_LOCK_SHARED, NULL, &seen, &error), &error,
            ERROR_IMAGE_IN_USE);
    image_close(image);
    succeed(image_open_locked(repository, "web1", IMAGE_LOCK_SHARED, NULL, &seen, &error), error);
    image_close(seen);
}

static void
what_is_discarded_leaves_nothing(void **state)
{
    struct image_record record = sample_record(4096);
    struct image *image = NULL;
    struct error *error = NULL;
    _cleanup_free_ char *hidden = NULL;

    (void)state;
    succeed(image_make(repository, "web1", &record, NULL, HOLDER, &image, &error), error);
    put_data(image, 4096);
    hidden = xstrdup(image->hidden);
    assert_true(there_is(hidden));
    image_discard(image);
    assert_false(there_is(hidden));
    assert_false(there_is("web1"));
    image_discard(NULL);
}

static void
of_two_makers_of_one_id_the_second_is_told(void **state)
{
    struct image_record record = sample_record(4096);
    struct image *first = NULL, *second = NULL, *third = NULL;
    struct error *error = NULL;

    (void)state;
    succeed(image_make(repository, "web1", &record, NULL, HOLDER, &first, &error), error);
    succeed(image_make(repository, "web1", &record, NULL, HOLDER, &second, &error), error);
    put_data(first, 4096);
    put_data(second, 4096);
    succeed(image_publish(first, &error), error);
    refused(image_publish(second, &error), &error, ERROR_IMAGE_EXISTS);
    image_discard(second);
    refused(image_make(repository, "web1", &record, NULL, HOLDER, &third, &error), &error,
            ERROR_IMAGE_EXISTS);
    image_close(first);
    assert_status_has("web1", "\"state\":\"optimized\"");
}

static void
a_read_only_repository_is_read_and_not_changed(void **state)
{
    struct image_record record = sample_record(4096);
    struct image *image = NULL;
    struct error *error = NULL;

    (void)state;
    make_image("web1");
    repository->read_only = true;
    refused(image_make(repository, "web2", &record, NULL, HOLDER, &image, &error), &error,
            ERROR_REPOSITORY_UNAVAILABLE);
    refused(image_open_locked(repository, "web1", IMAGE_LOCK_EXCLUSIVE, HOLDER, &image, &error),
            &error, ERROR_REPOSITORY_UNAVAILABLE);
    succeed(image_open_locked(repository, "web1", IMAGE_LOCK_SHARED, NULL, &image, &error), error);
    image_close(image);
    assert_status_has("web1", "\"state\":\"optimized\"");
}

/* ---- opening ---- */

static void
a_planted_link_or_file_is_not_followed(void **state)
{
    struct image *image = NULL;
    struct error *error = NULL;

    (void)state;
    make_image("web1");
    assert_int_equal(symlinkat("web1", folder_fd(repository->images), "link"), 0);
    assert_int_equal(symlinkat("/etc", folder_fd(repository->images), "outside"), 0);
    put_file("file", "x");
    refused(image_open(repository, "link", &image, &error), &error, ERROR_IMAGE_BROKEN);
    refused(image_open(repository, "outside", &image, &error), &error, ERROR_IMAGE_BROKEN);
    refused(image_open(repository, "file", &image, &error), &error, ERROR_IMAGE_BROKEN);
    refused(image_open_locked(repository, "link", IMAGE_LOCK_EXCLUSIVE, HOLDER, &image, &error),
            &error, ERROR_IMAGE_BROKEN);
    assert_status_has("outside", "\"state\":\"broken\",\"reason\":\"'outside'");
}

static void
a_linked_record_or_data_is_not_followed(void **state)
{
    (void)state;
    make_image("web1");
    make_image("web2");
    drop_file("web1/data");
    assert_int_equal(symlinkat("../web2/data", folder_fd(repository->images), "web1/data"), 0);
    assert_status_has("web1", "\"state\":\"broken\",\"reason\":\"its data file is missing\"");
    drop_file("web2/image.json");
    assert_int_equal(
        symlinkat("../web1/image.json", folder_fd(repository->images), "web2/image.json"), 0);
    assert_status_has("web2", "\"state\":\"broken\",\"reason\":\"image 'web2' is broken");
}

static void
a_removed_image_is_not_confused_with_its_successor(void **state)
{
    struct image *old = NULL, *locked = NULL;
    struct error *error = NULL;

    (void)state;
    make_image("web1");
    succeed(image_open(repository, "web1", &old, &error), error);
    succeed(image_lock_directory(repository, "web1", IMAGE_LOCK_EXCLUSIVE, HOLDER, &locked, &error),
            error);
    assert_true(image_is_named(old));
    succeed(image_hide(locked, &error), error);
    image_discard(locked);
    make_image("web1");
    assert_false(image_is_named(old));
    refused(image_read_record(old, &error), &error, ERROR_IMAGE_NOT_FOUND);
    image_close(old);
    assert_status_has("web1", "\"state\":\"optimized\"");
}

static void
a_generation_that_has_moved_on_is_a_conflict(void **state)
{
    struct image *image = NULL;
    struct error *error = NULL;

    (void)state;
    make_image("web1");
    succeed(image_open(repository, "web1", &image, &error), error);
    succeed(image_require_generation(image, false, 99, &error), error);
    succeed(image_require_generation(image, true, 1, &error), error);
    assert_false(image_require_generation(image, true, 2, &error));
    assert_has(error->data, "\"generation\":1");
    refused(false, &error, ERROR_CONFLICT);
    image_close(image);
}

/* ---- changing ---- */

static void
a_record_is_replaced_whole(void **state)
{
    struct image *image = NULL;
    struct error *error = NULL;

    (void)state;
    make_image("web1");
    succeed(image_open_locked(repository, "web1", IMAGE_LOCK_EXCLUSIVE, HOLDER, &image, &error),
            error);
    image->record.generation++;
    free(image->record.user_data);
    image->record.user_data = xstrdup("{\"state\":\"broken\"}");
    succeed(image_write_record(image, &error), error);
    image_close(image);
    assert_status_has("web1", "\"generation\":2,\"userData\":{\"state\":\"broken\"}");
    assert_false(there_is("web1/.tmp-image.json"));
}

static void
a_removed_image_is_gone_before_it_is_freed(void **state)
{
    struct image *image = NULL, *other = NULL;
    struct error *error = NULL;
    _cleanup_free_ char *gone = NULL;

    (void)state;
    make_image("web1");
    succeed(image_lock_directory(repository, "web1", IMAGE_LOCK_EXCLUSIVE, HOLDER, &image, &error),
            error);
    succeed(image_hide(image, &error), error);
    gone = xstrdup(image->hidden);
    assert_false(there_is("web1"));
    assert_true(there_is(gone));
    refused(image_open(repository, "web1", &other, &error), &error, ERROR_IMAGE_NOT_FOUND);
    image_discard(image);
    assert_false(there_is(gone));
}

static void
a_base_is_kept_while_others_stand_on_it(void **state)
{
    struct image *base = NULL;
    struct error *error = NULL;

    (void)state;
    make_image("base");
    make_image("base2"); /* its name contains the base's, as do its own data */
    make_overlay("one", "base");
    make_overlay("two", "base");
    make_overlay("other", "base2");
    put_file("other/image.json",
             "{\"version\":1,\"format\":\"qcow2\",\"size\":4096,\"mutable\":true,\"complete\":true,"
             "\"base\":\"\\u0062ase\",\"generation\":1,\"created\":\"2026-11-20T21:15:03.120Z\"}");
    succeed(image_open(repository, "base", &base, &error), error);
    assert_false(image_require_no_dependents(base, &error));
    assert_has(error->data, "\"dependents\":[\"one\",\"other\",\"two\"]");
    refused(false, &error, ERROR_IMAGE_HAS_DEPENDENTS);
    image_close(base);
    succeed(image_open(repository, "base2", &base, &error), error);
    put_file("one/image.json", "{"); /* what cannot be read depends on nothing */
    succeed(image_require_no_dependents(base, &error), error);
    image_close(base);
}

/* ---- status ---- */

static void
damage_of_every_kind_is_broken_with_its_reason(void **state)
{
    struct image_record record = sample_record(4096);
    int fd;

    (void)state;
    make_image("short");
    fd = openat(folder_fd(repository->images), "short/data", O_RDWR | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 100), 0);
    (void)close(fd);
    assert_status_has("short", "\"reason\":\"its data ends at byte 100 of 4096\"");
    record.damage = (char *)(uintptr_t) "block 7 differs";
    image_close(make_with("verified", &record, NULL));
    assert_status_has("verified", "\"reason\":\"damaged: block 7 differs\"");
    make_overlay("overlay", "nobody");
    assert_status_has("overlay", "\"reason\":\"its base 'nobody' is not in the repository\"");
    make_image("unread");
    put_file("unread/image.json", "");
    assert_status_has("unread", "\"state\":\"broken\",\"reason\":\"image 'unread' is broken");
    assert_status_has("unread", "\"generation\":null");
    put_folder("empty");
    assert_status_has("empty", "\"state\":\"broken\"");
}

static void
what_is_damaged_may_not_be_used(void **state)
{
    struct image_record record = sample_record(4096);
    struct image *image = NULL;
    struct error *error = NULL;

    (void)state;
    make_incomplete("part");
    succeed(image_open(repository, "part", &image, &error), error);
    refused(image_require_usable(image, &error), &error, ERROR_IMAGE_BROKEN);
    image_close(image);
    record.damage = (char *)(uintptr_t) "x";
    image_close(make_with("damaged", &record, NULL));
    succeed(image_open(repository, "damaged", &image, &error), error);
    refused(image_require_usable(image, &error), &error, ERROR_IMAGE_BROKEN);
    image_close(image);
    make_overlay("overlay", "nobody");
    succeed(image_open(repository, "overlay", &image, &error), error);
    refused(image_require_usable(image, &error), &error, ERROR_IMAGE_BROKEN);
    image_close(image);
}

static void
a_copy_is_active_while_its_lock_is_held(void **state)
{
    struct image_record record = sample_record(4096);
    struct copy_record copy = sample_copy();
    struct writer own = WRITER_INIT;
    struct image *image;

    (void)state;
    record.complete = false;
    record.generation = 0;
    copy.resume_on_crash = true;
    image = make_with("part", &record, &copy);
    assert_status_has("part", "\"state\":\"broken\",\"reason\":\"copy under way\"");
    assert_status_has(
        "part", "\"copy\":{\"source\":{\"path\":\"/srv/web1.raw\"},\"done\":1024,\"total\":4096,"
                "\"host\":\"11111111-1111-4111-8111-111111111111\",\"task\":\"task-1\","
                "\"active\":true,");
    assert_status_has("part", "\"onCrash\":\"resume\"");
    image->settled = true; /* what its holder tells at the end is how it leaves it */
    image_write_status_of(image, &own);
    assert_has(own.text.bytes, "\"active\":false");
    writer_done(&own);
    image_close(image);
    assert_status_has("part", "\"reason\":\"copy abandoned: resume it, or remove the image\"");
    assert_status_has("part", "\"active\":false");
}

static void
a_complete_image_with_a_left_over_copy_record_is_complete(void **state)
{
    struct image_record record = sample_record(4096);
    struct copy_record copy = sample_copy();

    (void)state;
    image_close(make_with("web1", &record, &copy));
    assert_true(there_is("web1/copy.json"));
    assert_status_has("web1", "\"state\":\"optimized\",\"reason\":null");
    assert_status_has("web1", "\"copy\":null");
}

static void
an_incomplete_image_without_a_readable_copy_record_says_why(void **state)
{
    (void)state;
    make_incomplete("part");
    put_file("part/copy.json", "{\"version\":1,\"done\":");
    assert_status_has("part", "\"reason\":\"incomplete, and how far it is cannot be read");
    drop_file("part/copy.json");
    assert_status_has("part", "\"state\":\"broken\",\"reason\":\"incomplete");
    assert_status_has("part", "\"copy\":null");
}

static void
a_checksum_is_shown_with_its_algorithm_and_time(void **state)
{
    struct image_record record = sample_record(4096);

    (void)state;
    record.checksum = (char *)(uintptr_t) "00ff";
    record.checksum_ns = INT64_C(1795000001000000000);
    record.mutable = false;
    image_close(make_with("web1", &record, NULL));
    assert_status_has("web1", "\"value\":\"00ff\",\"time\":\"2026-");
    assert_status_has("web1", "\"checksum\":{\"algorithm\":\"");
}

static void
a_checksum_is_a_mutable_images_only_until_somebody_writes_to_it(void **state)
{
    struct image_record record = sample_record(4096);
    struct image *image = make_with("web1", &record, NULL);
    struct error *error = NULL;

    (void)state;
    assert_false(image_checksum_is_current(image));
    image->record.checksum = xstrdup("00ff");
    assert_false(image_checksum_is_current(image)); /* it does not say of what */
    succeed(image_data_time(image, &image->record.checksum_of, &error), error);
    assert_true(image_checksum_is_current(image));
    succeed(image_write_record(image, &error), error);
    assert_status_has("web1", "\"value\":\"00ff\"");
    assert_int_equal(utimensat(folder_fd(image->folder), FORMAT_DATA,
                               (struct timespec[2]){ { 1, 2 }, { 3, 4 } }, 0),
                     0);
    assert_false(image_checksum_is_current(image));
    assert_status_has("web1", "\"checksum\":null");
    image->record.mutable = false;
    assert_true(image_checksum_is_current(image)); /* nobody may: then it is damage */
    image_forget_checksum(image);
    assert_false(image_checksum_is_current(image));
    image_close(image);
}

static void
a_base_is_kept_while_it_cannot_be_told_what_stands_on_it(void **state)
{
    struct image *base = NULL;
    struct error *error = NULL;

    (void)state;
    make_image("base");
    make_overlay("overlay", "base");
    make_image("zzz");
    succeed(image_open(repository, "base", &base, &error), error);
    allow_descriptors(1); /* for the directory of an image, and not for its record */
    if (image_require_no_dependents(base, &error))
        fail_msg("'base' was found to have no dependents");
    allow_descriptors(SIZE_MAX);
    assert_int_equal(error->code, ERROR_BACKEND_FAILED);
    error_free(TAKE(error));
    refused(image_require_no_dependents(base, &error), &error, ERROR_IMAGE_HAS_DEPENDENTS);
    put_file("overlay/image.json", "{\"base\":\"base\""); /* damaged: it stands on nothing */
    succeed(image_require_no_dependents(base, &error), error);
    put_file("overlay/image.json", "{\"version\":99,\"base\":\"base\"}"); /* a newer agent's */
    refused(image_require_no_dependents(base, &error), &error, ERROR_IMAGE_HAS_DEPENDENTS);
    image_close(base);
}

/* ---- listing ---- */

static void
images_are_listed_by_id_and_in_pages(void **state)
{
    static const char *const names[] = { "b", "a", "C", "a-1", "a.b", "a_b", "0" };
    struct error *error = NULL;
    char **ids;
    size_t count;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        put_folder(names[i]);
    put_folder(".new-x");
    put_folder("no name");
    succeed(image_list(repository, NULL, 0, &ids, &count, &error), error);
    assert_int_equal(count, ARRAY_COUNT(names));
    for (size_t i = 1; i < count; i++)
        assert_true(strcmp(ids[i - 1], ids[i]) < 0);
    assert_null(ids[count]);
    strings_free(ids);
    succeed(image_list(repository, "a", 2, &ids, &count, &error), error);
    assert_int_equal(count, 2);
    assert_string_equal(ids[0], "a-1");
    assert_string_equal(ids[1], "a.b");
    strings_free(ids);
    succeed(image_list(repository, "b", 2, &ids, &count, &error), error);
    assert_int_equal(count, 0);
    strings_free(ids);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_image_is_seen_only_when_it_is_published),
        TEST(what_is_discarded_leaves_nothing),
        TEST(of_two_makers_of_one_id_the_second_is_told),
        TEST(a_read_only_repository_is_read_and_not_changed),
        TEST(a_planted_link_or_file_is_not_followed),
        TEST(a_linked_record_or_data_is_not_followed),
        TEST(a_removed_image_is_not_confused_with_its_successor),
        TEST(a_generation_that_has_moved_on_is_a_conflict),
        TEST(a_record_is_replaced_whole),
        TEST(a_removed_image_is_gone_before_it_is_freed),
        TEST(a_base_is_kept_while_others_stand_on_it),
        TEST(damage_of_every_kind_is_broken_with_its_reason),
        TEST(what_is_damaged_may_not_be_used),
        TEST(a_copy_is_active_while_its_lock_is_held),
        TEST(a_complete_image_with_a_left_over_copy_record_is_complete),
        TEST(an_incomplete_image_without_a_readable_copy_record_says_why),
        TEST(a_checksum_is_shown_with_its_algorithm_and_time),
        TEST(a_checksum_is_a_mutable_images_only_until_somebody_writes_to_it),
        TEST(a_base_is_kept_while_it_cannot_be_told_what_stands_on_it),
        TEST(images_are_listed_by_id_and_in_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
