/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/clock.h"
#include "storage/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UUID "11111111-1111-4111-8111-111111111111"
#define CREATED "\"created\":\"2026-11-20T21:15:03.120Z\""

static const char image_text[] =
    "{\"version\":1,\"format\":\"raw\",\"size\":4096,\"mutable\":true,\"complete\":true,\"base\":null,"
    "\"generation\":3," CREATED ",\"userData\":{\"a\":[1,2.5,\"\\u00e9\"]},\"checksum\":null,"
    "\"checksumTaken\":null,\"checksumOf\":null,\"damage\":null}";

static const char copy_text[] =
    "{\"version\":1,\"sourceRepository\":\"slow\",\"sourceUuid\":\"" UUID
    "\",\"sourceImage\":\"web1\",\"sourcePath\":null,\"sourceFormat\":\"qcow2\","
    "\"sourceIdentity\":\"generation 3\",\"done\":10,\"total\":20,\"host\":\"" UUID
    "\",\"task\":\"nightly-7\",\"updated\":\"2026-11-20T21:15:03.120Z\",\"bytesPerSecond\":0,"
    "\"verify\":false,\"resumeOnCrash\":true}";

/* 'text' with the first 'from' replaced by 'to'; the caller's. */
static char *
replaced(const char *text, const char *from, const char *to)
{
    const char *place = strstr(text, from);

    assert_non_null(place);
    return xprintf("%.*s%s%s", (int)(place - text), text, to, place + strlen(from));
}

static void
assert_error(struct error **error, enum error_code code, const char *wanted)
{
    assert_non_null(*error);
    if ((*error)->code != code || !strstr((*error)->message, wanted))
        fail_msg("%s: %s; wanted %s with '%s'", error_code_name((*error)->code), (*error)->message,
                 error_code_name(code), wanted);
    error_free(TAKE(*error));
}

static void
an_image_record_is_read_as_it_was_written(void **state)
{
    struct image_record written = { .format = IMAGE_QCOW2,
                                    .size = UINT64_C(9223372036854775807),
                                    .complete = true,
                                    .base = (char *)(uintptr_t) "golden",
                                    .generation = 7,
                                    .created_ns = INT64_C(1795000000123000000),
                                    .user_data = (char *)(uintptr_t) "{\"a\":\"\\n\\\"\"}",
                                    .checksum = (char *)(uintptr_t) "00ff",
                                    .checksum_ns = INT64_C(1795000001000000000),
                                    .checksum_of = (char *)(uintptr_t) "modified 7.000000001",
                                    .damage = (char *)(uintptr_t) "a hole at 7" };
    _cleanup_(image_record_done) struct image_record read = { 0 };
    _cleanup_text_ struct text text = TEXT_INIT;
    struct error *error = NULL;

    (void)state;
    image_record_write(&written, &text);
    if (!image_record_parse(text.bytes, text.length, &read, &error))
        fail_msg("%s", error->message);
    assert_int_equal(read.format, IMAGE_QCOW2);
    assert_true(read.size == written.size && read.generation == 7);
    assert_false(read.mutable);
    assert_true(read.complete);
    assert_string_equal(read.base, "golden");
    assert_true(read.created_ns == written.created_ns && read.checksum_ns == written.checksum_ns);
    assert_string_equal(read.user_data, written.user_data);
    assert_string_equal(read.checksum, "00ff");
    assert_string_equal(read.checksum_of, "modified 7.000000001");
    assert_string_equal(read.damage, "a hole at 7");
}

/* So an older agent reads all that it can use, and refuses the rest. */
static void
only_a_record_with_newer_members_has_the_newer_version(void **state)
{
    char *const name = (char *)(uintptr_t) "data-1", *const other = (char *)(uintptr_t) "other";
    struct image_record plain = { .created_ns = 1000000 };
    struct image_record newer[] = { plain, plain, plain, plain, plain };

    (void)state;
    newer[0].data = name;
    newer[4].resizing = true;
    newer[1].snapshot_of = newer[2].merging = newer[3].merged_into = other;
    for (size_t i = 0; i <= ARRAY_COUNT(newer); i++) {
        const struct image_record *written = i < ARRAY_COUNT(newer) ? &newer[i] : &plain;
        _cleanup_(image_record_done) struct image_record first = { 0 }, read = { 0 };
        _cleanup_text_ struct text text = TEXT_INIT;
        struct error *error = NULL;

        image_record_write(written, &text);
        assert_non_null(
            strstr(text.bytes, written == &plain ? "\"version\":1," : "\"version\":2,"));
        assert_int_equal(strstr(text.bytes, "\"data\"") == NULL, written == &plain);
        assert_true(image_record_parse(text.bytes, text.length, &first, &error));
        assert_true(image_record_copy(&first, &read));
        assert_string_equal(image_record_data(&read), written->data ? name : "data");
        assert_true(!read.data == !written->data);
        assert_true(!read.snapshot_of == !written->snapshot_of);
        assert_true(!read.merging == !written->merging && read.resizing == written->resizing);
        assert_true(!read.merged_into == !written->merged_into);
    }
}

static void
a_data_file_has_only_a_name_of_its_own(void **state)
{
    static const char *const bad[] = {
        "7", "\"\"", "\"lock\"", "\"image.json\"", "\"database\"", "\"data-/x\"", "\"../data\""
    };
    static const char *const members[] = { "snapshotOf", "merging", "mergedInto" };
    _cleanup_free_ char *second = replaced(image_text, "\"version\":1", "\"version\":2");
    struct image_record record;
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        _cleanup_free_ char *member = xprintf("{\"data\":%s,", bad[i]);
        _cleanup_free_ char *text = replaced(second, "{", member);

        assert_false(image_record_parse(text, strlen(text), &record, &error));
        assert_error(&error, ERROR_IMAGE_BROKEN, "'data'");
    }
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        _cleanup_free_ char *member = xprintf("{\"%s\":\"../x\",", members[i]);
        _cleanup_free_ char *text = replaced(second, "{", member);

        assert_false(image_record_parse(text, strlen(text), &record, &error));
        assert_error(&error, ERROR_IMAGE_BROKEN, members[i]);
    }
}

/* An agent that knows only version 1 does not see it: both must go by the same file. */
static void
a_record_of_version_1_names_no_data_file(void **state)
{
    _cleanup_free_ char *text = replaced(image_text, "{", "{\"data\":\"data-1\",");
    _cleanup_(image_record_done) struct image_record record = { 0 };
    struct error *error = NULL;

    (void)state;
    assert_true(image_record_parse(text, strlen(text), &record, &error));
    assert_string_equal(image_record_data(&record), "data");
}

static void
a_copy_record_is_read_as_it_was_written(void **state)
{
    _cleanup_(copy_record_done) struct copy_record first = { 0 }, second = { 0 };
    _cleanup_text_ struct text text = TEXT_INIT;
    struct error *error = NULL;

    (void)state;
    assert_true(copy_record_parse(copy_text, strlen(copy_text), &first, &error));
    copy_record_write(&first, &text);
    assert_true(copy_record_parse(text.bytes, text.length, &second, &error));
    assert_string_equal(second.source_repository, "slow");
    assert_string_equal(second.source_uuid, UUID);
    assert_string_equal(second.source_image, "web1");
    assert_null(second.source_path);
    assert_int_equal(second.source_format, IMAGE_QCOW2);
    assert_string_equal(second.source_identity, "generation 3");
    assert_true(second.done == 10 && second.total == 20 && second.bytes_per_second == 0);
    assert_string_equal(second.host, UUID);
    assert_string_equal(second.task, "nightly-7");
    assert_true(second.updated_ns == first.updated_ns && second.updated_ns > 0);
    assert_true(second.resume_on_crash && !second.verify);
}

static void
a_repository_record_is_read_as_it_was_written(void **state)
{
    struct repository_record written = { .uuid = UUID, .created_ns = 1000000 }, read;
    _cleanup_text_ struct text text = TEXT_INIT;
    struct error *error = NULL;

    (void)state;
    repository_record_write(&written, &text);
    assert_true(repository_record_parse(text.bytes, text.length, &read, &error));
    assert_string_equal(read.uuid, UUID);
    assert_true(read.created_ns == 1000000);
}

static void
a_newer_version_is_refused_and_named(void **state)
{
    _cleanup_free_ char *image = replaced(image_text, "\"version\":1", "\"version\":3");
    _cleanup_free_ char *copy = replaced(copy_text, "\"version\":1", "\"version\":9");
    const char repository[] = "{\"hostler\":\"repository\",\"version\":2,\"other\":1}";
    struct repository_record repository_record;
    struct image_record image_record;
    struct copy_record copy_record;
    struct error *error = NULL;

    (void)state;
    assert_false(image_record_parse(image, strlen(image), &image_record, &error));
    assert_error(&error, ERROR_REPOSITORY_UNAVAILABLE, "version 3");
    assert_false(copy_record_parse(copy, strlen(copy), &copy_record, &error));
    assert_error(&error, ERROR_REPOSITORY_UNAVAILABLE, "version 9");
    assert_false(
        repository_record_parse(repository, strlen(repository), &repository_record, &error));
    assert_error(&error, ERROR_REPOSITORY_UNAVAILABLE, "version 2");
}

static void
each_wrong_member_of_an_image_record_is_named(void **state)
{
    static const char *const faults[][3] = {
        { "\"version\":1", "\"version\":0", "version" },
        { "\"version\":1", "\"version\":\"1\"", "version" },
        { "\"raw\"", "\"vmdk\"", "format" },
        { "\"raw\"", "7", "format" },
        { "4096", "-1", "size" },
        { "4096", "4096.5", "size" },
        { "\"mutable\":true", "\"mutable\":1", "mutable" },
        { "\"complete\":true", "\"complete\":null", "complete" },
        { "\"base\":null", "\"base\":\"../x\"", "base" },
        { "\"base\":null", "\"base\":\"\"", "base" },
        { "\"base\":null", "\"base\":7", "base" },
        { "\"generation\":3", "\"generation\":\"3\"", "generation" },
        { CREATED, "\"created\":\"yesterday\"", "created" },
        { CREATED, "\"created\":null", "created" },
        { "{\"a\":[1,2.5,\"\\u00e9\"]}", "[1]", "userData" },
        { "\"checksum\":null", "\"checksum\":{}", "checksum" },
        { "\"checksumTaken\":null", "\"checksumTaken\":5", "checksumTaken" },
        { "\"checksumOf\":null", "\"checksumOf\":5", "checksumOf" },
        { "\"damage\":null", "\"damage\":false", "damage" },
    };
    struct image_record record;
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
        _cleanup_free_ char *text = replaced(image_text, faults[i][0], faults[i][1]);

        assert_false(image_record_parse(text, strlen(text), &record, &error));
        assert_error(&error, ERROR_IMAGE_BROKEN, faults[i][2]);
    }
}

static void
each_wrong_member_of_a_copy_record_is_named(void **state)
{
    static const char *const faults[][3] = {
        { "\"slow\"", "\"../slow\"", "sourceRepository" },
        { "\"sourceUuid\":\"" UUID, "\"sourceUuid\":\"1111", "sourceUuid" },
        { "\"web1\"", "\"a/b\"", "sourceImage" },
        { "\"web1\"", "null", "sourceImage" },
        { "\"sourcePath\":null", "\"sourcePath\":\"/x\"", "sourceImage" },
        { "\"qcow2\"", "\"ext4\"", "sourceFormat" },
        { "\"generation 3\"", "null", "sourceIdentity" },
        { "\"done\":10", "\"done\":21", "done" },
        { "\"done\":10", "\"done\":-1", "done" },
        { "\"total\":20", "\"total\":null", "total" },
        { "\"host\":\"" UUID "\"", "\"host\":\"me\"", "host" },
        { "\"nightly-7\"", "7", "task" },
        { "\"updated\":\"2026", "\"updated\":\"x", "updated" },
        { "\"bytesPerSecond\":0", "\"bytesPerSecond\":0.5", "bytesPerSecond" },
        { "\"verify\":false", "\"verify\":0", "verify" },
        { "\"resumeOnCrash\":true", "\"resumeOnCrash\":\"resume\"", "resumeOnCrash" },
    };
    struct copy_record record;
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
        _cleanup_free_ char *text = replaced(copy_text, faults[i][0], faults[i][1]);

        assert_false(copy_record_parse(text, strlen(text), &record, &error));
        assert_error(&error, ERROR_IMAGE_BROKEN, faults[i][2]);
    }
}

static void
what_is_not_json_is_refused_wherever_it_is_cut(void **state)
{
    static const char *const texts[] = { "",  "{",    "[]",  "null",
                                         "7", "\xff", "{}x", "{\"version\":1,\"version\":1}" };
    struct image_record record;
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_false(image_record_parse(texts[i], strlen(texts[i]), &record, &error));
        assert_error(&error, ERROR_IMAGE_BROKEN, "image.json");
    }
    for (size_t length = 0; length < strlen(image_text); length++) {
        assert_false(image_record_parse(image_text, length, &record, &error));
        assert_error(&error, ERROR_IMAGE_BROKEN, "image.json");
    }
    for (size_t length = 0; length < strlen(copy_text); length++) {
        struct copy_record copy;

        assert_false(copy_record_parse(copy_text, length, &copy, &error));
        assert_error(&error, ERROR_IMAGE_BROKEN, "copy.json");
    }
}

static void
a_file_of_another_program_is_no_repository(void **state)
{
    static const char *const texts[] = {
        "{\"version\":1}", "{\"version\":1,\"hostler\":7}",
        "{\"version\":1,\"hostler\":\"x\",\"uuid\":\"" UUID "\"}",
        "{\"version\":1,\"hostler\":\"repository\"}",
        "{\"version\":1,\"hostler\":\"repository\",\"uuid\":\"1\"}"
    };
    struct repository_record record;
    struct error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_false(repository_record_parse(texts[i], strlen(texts[i]), &record, &error));
        assert_error(&error, ERROR_REPOSITORY_UNAVAILABLE, "hostler.json");
    }
}

static void
a_copied_record_shares_nothing(void **state)
{
    _cleanup_(image_record_done) struct image_record copy = { 0 };
    struct image_record record = { 0 };
    struct error *error = NULL;

    (void)state;
    assert_true(image_record_parse(image_text, strlen(image_text), &record, &error));
    assert_true(image_record_copy(&record, &copy));
    image_record_done(&record);
    assert_non_null(strstr(copy.user_data, "2.5"));
    assert_true(copy.generation == 3);
    assert_null(copy.base);
}

static void
a_qcow2_is_of_whole_sectors(void **state)
{
    (void)state;
    assert_true(image_format_size(IMAGE_RAW, 1) == 1);
    assert_true(image_format_size(IMAGE_QCOW2, 1) == 512);
    assert_true(image_format_size(IMAGE_QCOW2, 1024) == 1024);
}

static void
formats_have_names(void **state)
{
    enum image_format format = IMAGE_RAW;

    (void)state;
    assert_true(image_format_parse("qcow2", &format) && format == IMAGE_QCOW2);
    assert_false(image_format_parse("QCOW2", &format));
    assert_string_equal(image_format_name(IMAGE_RAW), "raw");
}

static void
numbers_of_the_callers_data_stay_as_they_were_written(void **state)
{
    static const char *const kept[] = {
        "0.1", "0.30000000000000004", "1e-7", "-2.5", "3", "1e300"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        _cleanup_free_ char *user_data = xprintf("{\"n\":%s}", kept[i]);
        _cleanup_(image_record_done) struct image_record read = { 0 };
        struct image_record written = {
            .size = 1, .created_ns = NS_PER_S, .generation = 1, .user_data = user_data
        };
        _cleanup_text_ struct text text = TEXT_INIT;
        struct error *error = NULL;
        char *end;

        image_record_write(&written, &text);
        if (!image_record_parse(text.bytes, text.length, &read, &error))
            fail_msg("%s", error->message);
        /* "1e-07" is as good; a digit more or less is not. */
        assert_true(strtod(strchr(read.user_data, ':') + 1, &end) == strtod(kept[i], NULL));
        assert_true(strlen(read.user_data) <= strlen(user_data) + 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_the_callers_data_stay_as_they_were_written),
        cmocka_unit_test(an_image_record_is_read_as_it_was_written),
        cmocka_unit_test(a_copy_record_is_read_as_it_was_written),
        cmocka_unit_test(a_repository_record_is_read_as_it_was_written),
        cmocka_unit_test(only_a_record_with_newer_members_has_the_newer_version),
        cmocka_unit_test(a_data_file_has_only_a_name_of_its_own),
        cmocka_unit_test(a_record_of_version_1_names_no_data_file),
        cmocka_unit_test(a_newer_version_is_refused_and_named),
        cmocka_unit_test(each_wrong_member_of_an_image_record_is_named),
        cmocka_unit_test(each_wrong_member_of_a_copy_record_is_named),
        cmocka_unit_test(what_is_not_json_is_refused_wherever_it_is_cut),
        cmocka_unit_test(a_file_of_another_program_is_no_repository),
        cmocka_unit_test(a_copied_record_shares_nothing),
        cmocka_unit_test(a_qcow2_is_of_whole_sectors),
        cmocka_unit_test(formats_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
