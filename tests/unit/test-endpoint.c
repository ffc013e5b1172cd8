/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints on real files.  Those that need qemu-img and qemu-nbd are skipped where there are none.
 */
#include <config.h>

#include "tests/unit/endpoint-fixture.h"

/* What both kinds do alike. */
static void
check_all(enum image_format format)
{
    struct endpoint *endpoint;

    create("data", format, 8 * MIB);
    endpoint = must_open(place, "data", format, ENDPOINT_WRITE, false);
    assert_int_equal(endpoint_size(endpoint), 8 * MIB);
    assert_extent(endpoint, 0, 8 * MIB, true);
    put(endpoint, 2 * MIB, 'a', MIB);
    put(endpoint, 8 * MIB - 10, 'b', 10);
    flush(endpoint);
    assert_extent(endpoint, 0, 2 * MIB, true);
    assert_extent(endpoint, 2 * MIB, MIB, false);
    assert_shows(endpoint, 2 * MIB - 100, '\0', 100);
    assert_shows(endpoint, 2 * MIB, 'a', MIB);
    assert_shows(endpoint, 8 * MIB - 10, 'b', 10);
    zero(endpoint, 2 * MIB + 128 * 1024, 128 * 1024);
    assert_extent(endpoint, 2 * MIB + 128 * 1024, 128 * 1024, true);
    zero(endpoint, 2 * MIB + 1, 10); /* of no block's size */
    assert_shows(endpoint, 2 * MIB, 'a', 1);
    assert_shows(endpoint, 2 * MIB + 1, '\0', 10);
    assert_shows(endpoint, 2 * MIB + 11, 'a', 100);
    flush(endpoint);
    endpoint_close(endpoint);
    endpoint = must_open(place, "data", format, ENDPOINT_READ, false);
    assert_shows(endpoint, 2 * MIB + 256 * 1024, 'a', MIB - 256 * 1024);
    assert_shows(endpoint, 2 * MIB + 128 * 1024, '\0', 128 * 1024);
    endpoint_close(endpoint);
}

static void
a_raw_file_keeps_what_is_written_and_tells_its_holes(void **state)
{
    (void)state;
    check_all(IMAGE_RAW);
}

static void
a_qcow2_keeps_what_is_written_and_tells_its_holes(void **state)
{
    (void)state;
    need_qemu();
    check_all(IMAGE_QCOW2);
}

static void
zeroing_gives_space_back(void **state)
{
    struct endpoint *endpoint;

    (void)state;
    create("data", IMAGE_RAW, 8 * MIB);
    endpoint = must_open(place, "data", IMAGE_RAW, ENDPOINT_WRITE, false);
    put(endpoint, 0, 'a', 4 * MIB);
    flush(endpoint);
    assert_true(allocated("data") >= 4 * MIB);
    zero(endpoint, 0, 4 * MIB);
    flush(endpoint);
    assert_true(allocated("data") < MIB);
    endpoint_close(endpoint);
}

static void
data_is_for_its_owner_only_and_never_made_over_another(void **state)
{
    (void)state;
    for (int format = IMAGE_RAW; format <= IMAGE_QCOW2; format++) {
        _cleanup_(error_freep) struct error *err = NULL;
        const char *name = image_format_name((enum image_format)format);
        struct stat status;

        if (format == IMAGE_QCOW2)
            need_qemu();
        create(name, (enum image_format)format, MIB);
        assert_int_equal(fstatat(base, name, &status, 0), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
        assert_false(endpoint_create(place, name, (enum image_format)format, MIB, ENDPOINT_THIN,
                                     NULL, IMAGE_RAW, NULL, &err));
        assert_non_null(strstr(err->message, "File exists"));
    }
}

static void
a_size_that_no_file_has_is_refused(void **state)
{
    (void)state;
    for (int format = IMAGE_RAW; format <= IMAGE_QCOW2; format++) {
        _cleanup_(error_freep) struct error *err = NULL;

        if (format == IMAGE_QCOW2)
            need_qemu();
        assert_false(endpoint_create(place, image_format_name((enum image_format)format),
                                     (enum image_format)format, INT64_MAX, ENDPOINT_THIN, NULL,
                                     IMAGE_RAW, NULL, &err));
        assert_true(err->message[0]);
    }
}

static void
preallocated_space_is_there(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;

    (void)state;
    assert_true(endpoint_create(place, "raw", IMAGE_RAW, 4 * MIB, ENDPOINT_RESERVED, NULL,
                                IMAGE_RAW, NULL, &err));
    assert_true(allocated("raw") >= 4 * MIB);
    need_qemu();
    assert_true(endpoint_create(place, "qcow2", IMAGE_QCOW2, 4 * MIB, ENDPOINT_RESERVED, NULL,
                                IMAGE_RAW, NULL, &err));
    assert_true(allocated("qcow2") >= 4 * MIB);
}

static void
links_pipes_and_folders_are_not_opened(void **state)
{
    (void)state;
    create("data", IMAGE_RAW, MIB);
    assert_int_equal(symlinkat("data", base, "link"), 0);
    assert_int_equal(mkfifoat(base, "pipe", 0600), 0);
    assert_int_equal(mkdirat(base, "folder", 0700), 0);
    for (int format = IMAGE_RAW; format <= IMAGE_QCOW2; format++) {
        const char *const names[] = { "link", "pipe", "folder", "nothing" };

        if (format == IMAGE_QCOW2)
            need_qemu();
        for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
            _cleanup_free_ char *path = path_of(names[i]);
            struct error *err = cannot_open(place, names[i], (enum image_format)format, NULL);

            assert_int_equal(err->code, ERROR_BACKEND_FAILED);
            error_free(err);
            err = cannot_open(NULL, path, (enum image_format)format, NULL);
            error_free(err);
        }
    }
}

static void
a_source_that_is_cut_is_an_error_and_not_zeros(void **state)
{
    struct endpoint *endpoint;

    (void)state;
    for (int holes = 0; holes < 2; holes++) {
        _cleanup_(error_freep) struct error *err = NULL, *no_extent = NULL;
        _cleanup_free_ char *path = path_of("data"), *bytes = malloc(MIB);
        uint64_t next;
        bool is_zero;

        create("data", IMAGE_RAW, 4 * MIB);
        endpoint = must_open(place, "data", IMAGE_RAW, ENDPOINT_WRITE, false);
        if (!holes)
            put(endpoint, 0, 'a', 4 * MIB);
        assert_int_equal(truncate(path, MIB), 0);
        assert_false(endpoint_read(endpoint, MIB / 2, bytes, MIB, &err));
        assert_int_equal(err->code, ERROR_BACKEND_FAILED);
        assert_false(endpoint_extent(endpoint, 2 * MIB, 4 * MIB, &is_zero, &next, &no_extent));
        endpoint_close(endpoint);
        assert_int_equal(unlink(path), 0);
    }
}

/* ---- what others made ---- */

static struct error *
inspect_fails(const char *name, enum image_format format, uint64_t size_max)
{
    _cleanup_free_ char *path = path_of(name);
    struct error *err = NULL;
    uint64_t size;

    assert_false(endpoint_inspect(path, format, size_max, &size, &err));
    return err;
}

static void
a_foreign_file_is_measured(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *raw = path_of("raw"), *qcow2 = path_of("qcow2");
    uint64_t size = 0;

    (void)state;
    create("raw", IMAGE_RAW, 4097);
    assert_true(endpoint_inspect(raw, IMAGE_RAW, MIB, &size, &err));
    assert_int_equal(size, 4097);
    need_qemu();
    create("qcow2", IMAGE_QCOW2, 3 * MIB);
    assert_true(endpoint_inspect(qcow2, IMAGE_QCOW2, 3 * MIB, &size, &err));
    assert_int_equal(size, 3 * MIB);
}

static void
a_foreign_file_that_is_empty_or_too_large_is_refused(void **state)
{
    struct error *err;

    (void)state;
    create("empty", IMAGE_RAW, 0);
    err = inspect_fails("empty", IMAGE_RAW, MIB);
    assert_int_equal(err->code, ERROR_INVALID_PARAMS);
    error_free(err);
    create("large", IMAGE_RAW, MIB + 1);
    err = inspect_fails("large", IMAGE_RAW, MIB);
    assert_non_null(strstr(err->message, "1048576"));
    error_free(err);
    need_qemu();
    create("bomb", IMAGE_QCOW2, UINT64_C(1) << 50);
    err = inspect_fails("bomb", IMAGE_QCOW2, UINT64_C(64) << 40);
    assert_int_equal(err->code, ERROR_INVALID_PARAMS);
    error_free(err);
}

static void
a_foreign_file_that_needs_others_or_a_key_is_refused(void **state)
{
    const char *const data_file[] = {
        "qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=outside,data_file_raw=on",
        "split",    "1M",     NULL
    };
    const char *const locked[] = { "qemu-img",
                                   "create",
                                   "-q",
                                   "--object",
                                   "secret,id=key,data=abc",
                                   "-f",
                                   "qcow2",
                                   "-o",
                                   "encrypt.format=aes,encrypt.key-secret=key",
                                   "locked",
                                   "1M",
                                   NULL };
    const char *const names[] = { "over", "split", "locked" }, *const words[] = { "backing file",
                                                                                  "data file",
                                                                                  "encrypted" };

    (void)state;
    need_qemu();
    make_overlay();
    run(data_file);
    run(locked);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        _cleanup_(error_freep) struct error *err =
            inspect_fails(names[i], IMAGE_QCOW2, UINT64_C(64) << 40);

        assert_int_equal(err->code, ERROR_INVALID_PARAMS);
        assert_non_null(strstr(err->message, words[i]));
    }
}

/* ---- another size, and writing down into the base ---- */

static void
resize(enum image_format format, uint64_t kept, uint64_t size)
{
    struct error *err = NULL;
    struct endpoint *endpoint;

    if (!endpoint_resize(place, "data", format, kept, size, NULL, &err))
        fail_msg("%s", err->message);
    endpoint = must_open(place, "data", format, ENDPOINT_READ, false);
    assert_int_equal(endpoint_size(endpoint), size);
    endpoint_close(endpoint);
}

static void
what_was_behind_the_end_is_not_there_when_it_grows(void **state)
{
    (void)state;
    for (int i = IMAGE_RAW; i <= IMAGE_QCOW2; i++) {
        enum image_format format = (enum image_format)i;
        struct endpoint *endpoint;

        if (format == IMAGE_QCOW2)
            need_qemu();
        create("data", format, 4 * MIB);
        endpoint = must_open(place, "data", format, ENDPOINT_WRITE, false);
        put(endpoint, 0, 'a', 4 * MIB);
        flush(endpoint);
        endpoint_close(endpoint);
        resize(format, 2 * MIB, 8 * MIB);
        endpoint = must_open(place, "data", format, ENDPOINT_READ, false);
        assert_shows(endpoint, 0, 'a', 2 * MIB);
        assert_shows(endpoint, 2 * MIB, '\0', 6 * MIB);
        endpoint_close(endpoint);
        resize(format, MIB, MIB);
        resize(format, MIB, MIB);
        assert_int_equal(unlinkat(base, "data", 0), 0);
    }
}

static void
a_size_that_no_file_can_get_is_refused(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL, *missing = NULL;

    (void)state;
    create("data", IMAGE_RAW, MIB);
    assert_false(endpoint_resize(place, "data", IMAGE_RAW, MIB, UINT64_C(1) << 62, NULL, &err));
    assert_int_equal(err->code, ERROR_INVALID_PARAMS);
    assert_false(endpoint_resize(place, "none", IMAGE_RAW, MIB, MIB, NULL, &missing));
    assert_int_equal(missing->code, ERROR_BACKEND_FAILED);
}

static void
what_a_limit_hides_is_not_shown(void **state)
{
    struct endpoint *endpoint;
    bool zeros;
    uint64_t end = 0;
    struct error *err = NULL;

    (void)state;
    create("data", IMAGE_RAW, 4 * MIB);
    endpoint = must_open(place, "data", IMAGE_RAW, ENDPOINT_READ, false);
    endpoint_limit(endpoint, 8 * MIB);
    assert_int_equal(endpoint_size(endpoint), 4 * MIB);
    endpoint_limit(endpoint, MIB);
    assert_int_equal(endpoint_size(endpoint), MIB);
    assert_true(endpoint_extent(endpoint, 0, MIB, &zeros, &end, &err));
    assert_true(zeros && end == MIB);
    endpoint_close(endpoint);
}

static void
an_overlay_is_written_into_the_base_that_it_is_to_stand_on(void **state)
{
    _cleanup_(error_freep) struct error *wrong = NULL, *alone = NULL, *err = NULL;
    const char *const make[] = { "qemu-img", "create", "-q",  "-f",   "qcow2", "-b",
                                 "low",      "-F",     "raw", "over", "4M",    NULL };
    struct endpoint *endpoint;

    (void)state;
    need_qemu();
    create("low", IMAGE_RAW, 4 * MIB);
    run(make);
    endpoint = must_open(place, "over", IMAGE_QCOW2, ENDPOINT_WRITE, true);
    put(endpoint, MIB, 'o', MIB);
    flush(endpoint);
    endpoint_close(endpoint);
    assert_false(endpoint_commit(place, "over", "other", NULL, &wrong));
    assert_int_equal(wrong->code, ERROR_CONFLICT);
    endpoint = must_open(place, "low", IMAGE_RAW, ENDPOINT_READ, false);
    assert_shows(endpoint, MIB, '\0', MIB);
    endpoint_close(endpoint);
    for (int again = 0; again < 2; again++) {
        if (!endpoint_commit(place, "over", "low", NULL, &err))
            fail_msg("%s", err->message);
        endpoint = must_open(place, "low", IMAGE_RAW, ENDPOINT_READ, false);
        assert_shows(endpoint, MIB, 'o', MIB);
        assert_shows(endpoint, 0, '\0', MIB);
        endpoint_close(endpoint);
    }
    create("alone", IMAGE_QCOW2, MIB);
    assert_false(endpoint_commit(place, "alone", "low", NULL, &alone));
    assert_int_equal(alone->code, ERROR_CONFLICT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_raw_file_keeps_what_is_written_and_tells_its_holes),
        TEST(a_qcow2_keeps_what_is_written_and_tells_its_holes),
        TEST(zeroing_gives_space_back),
        TEST(data_is_for_its_owner_only_and_never_made_over_another),
        TEST(a_size_that_no_file_has_is_refused),
        TEST(preallocated_space_is_there),
        TEST(links_pipes_and_folders_are_not_opened),
        TEST(a_source_that_is_cut_is_an_error_and_not_zeros),
        TEST(a_foreign_file_is_measured),
        TEST(a_foreign_file_that_is_empty_or_too_large_is_refused),
        TEST(a_foreign_file_that_needs_others_or_a_key_is_refused),
        TEST(what_was_behind_the_end_is_not_there_when_it_grows),
        TEST(a_size_that_no_file_can_get_is_refused),
        TEST(what_a_limit_hides_is_not_shown),
        TEST(an_overlay_is_written_into_the_base_that_it_is_to_stand_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
