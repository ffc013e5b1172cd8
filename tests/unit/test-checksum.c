/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expected values: python3 -c with hashlib, by the description in storage/checksum.h.
 */
#include <config.h>

#include "storage/checksum.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "storage/reader.h"

#define MIB (1024 * 1024)

static char path[64];
static int file = -1; /* open at 'path' */

static int
begin(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/hostler-checksum-XXXXXX");
    file = mkstemp(path);
    return file < 0 ? -1 : 0;
}

static int
end(void **state)
{
    (void)state;
    return close(file) | unlink(path);
}

struct watch {
    uint64_t done, total;
    unsigned looks, abort_at;
};

static void
on_progress(void *context, uint64_t done, uint64_t total)
{
    struct watch *watch = context;

    assert_true(done > watch->done);
    watch->done = done;
    watch->total = total;
}

static bool
on_aborted(void *context)
{
    struct watch *watch = context;

    return ++watch->looks == watch->abort_at;
}

static bool
take(struct watch *watch, char ret_checksum[CHECKSUM_TEXT_SIZE], struct error **err)
{
    _cleanup_(endpoint_closep) struct endpoint *source = NULL;

    return endpoint_open(NULL, path, IMAGE_RAW, ENDPOINT_READ, false, NULL, &source, err) &&
           checksum_run(source, watch ? on_progress : NULL, watch ? on_aborted : NULL, watch,
                        ret_checksum, err);
}

static void
assert_checksum(const char *expected)
{
    _cleanup_(error_freep) struct error *err = NULL;
    char checksum[CHECKSUM_TEXT_SIZE];

    if (!take(NULL, checksum, &err))
        fail_msg("%s", err->message);
    assert_string_equal(checksum, expected);
}

static void
put(uint64_t offset, char letter, size_t size)
{
    _cleanup_free_ char *bytes = malloc(size);

    assert_non_null(bytes);
    memset(bytes, letter, size);
    assert_int_equal(pwrite(file, bytes, size, (off_t)offset), size);
}

static void
nothing_has_a_checksum_too(void **state)
{
    (void)state;
    assert_checksum("af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc");
}

static void
a_few_bytes_have_the_value_of_the_description(void **state)
{
    (void)state;
    assert_int_equal(pwrite(file, "hostler", 7, 0), 7);
    assert_checksum("3334928db288e6b7c0b5bfd4fa57d9b94a2e2cb01e7c6b8e0b5830258cf05ce8");
}

static void
two_leaves_and_a_half_have_the_value_of_the_description(void **state)
{
    (void)state;
    put(0, 'a', MIB);
    put(MIB, 'b', MIB);
    put(2 * MIB, 'c', MIB / 2);
    assert_checksum("8df2ad3d6553fcb166a90f314a5826db6d29e889a7011d63b855accc5b620b1a");
}

static void
a_hole_counts_as_the_zeros_that_it_shows(void **state)
{
    (void)state;
    assert_int_equal(ftruncate(file, 5 * MIB + 100), 0);
    put(3 * MIB + 5, 'x', 10);
    assert_checksum("639d51095fae34a42a08a5e0e6e6937abb88b34f4b607485379507000c2682ce");
    put(0, '\0', 2 * MIB); /* the same contents, more of it written */
    put(5 * MIB, '\0', 100);
    assert_checksum("639d51095fae34a42a08a5e0e6e6937abb88b34f4b607485379507000c2682ce");
}

static void
another_size_is_another_checksum(void **state)
{
    (void)state;
    assert_int_equal(ftruncate(file, MIB), 0);
    assert_checksum("2753a41447d0e9a3f2c235363c0a4d3f3c14f2f2708b69a4b32add7bc10127b9");
    assert_int_equal(ftruncate(file, 2 * MIB), 0);
    assert_checksum("ddc15dbee86aaf25b36ae498e71fcf73e882a32f2b0e77c256ce644058d61d65");
}

static void
progress_ends_at_the_size(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct watch watch = { 0 };
    char checksum[CHECKSUM_TEXT_SIZE];

    (void)state;
    put(0, 'x', 2 * MIB + 1);
    assert_true(take(&watch, checksum, &err));
    assert_int_equal(watch.done, 2 * MIB + 1);
    assert_int_equal(watch.total, 2 * MIB + 1);
}

static void
an_abort_ends_it_between_two_batches(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct watch watch = { .abort_at = 2 };
    char checksum[CHECKSUM_TEXT_SIZE];

    (void)state;
    put(0, 'x', 40 * MIB);
    assert_false(take(&watch, checksum, &err));
    assert_int_equal(err->code, ERROR_TASK_ABORTED);
    assert_true(watch.done >= MIB && watch.done <= READER_LEAVES_MAX * MIB);
}

static void
cut(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    (void)total;
    (void)done;
    assert_int_equal(ftruncate(file, MIB + 10), 0);
}

static void
what_is_cut_meanwhile_is_an_error_that_names_the_place(void **state)
{
    _cleanup_(endpoint_closep) struct endpoint *source = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    char checksum[CHECKSUM_TEXT_SIZE];

    (void)state;
    put(0, 'x', 40 * MIB); /* more than is read ahead */
    assert_true(endpoint_open(NULL, path, IMAGE_RAW, ENDPOINT_READ, false, NULL, &source, &err));
    assert_false(checksum_run(source, cut, NULL, NULL, checksum, &err));
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    assert_non_null(strstr(err->data, "\"offset\":"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_has_a_checksum_too, begin, end),
        cmocka_unit_test_setup_teardown(a_few_bytes_have_the_value_of_the_description, begin, end),
        cmocka_unit_test_setup_teardown(two_leaves_and_a_half_have_the_value_of_the_description,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_hole_counts_as_the_zeros_that_it_shows, begin, end),
        cmocka_unit_test_setup_teardown(another_size_is_another_checksum, begin, end),
        cmocka_unit_test_setup_teardown(progress_ends_at_the_size, begin, end),
        cmocka_unit_test_setup_teardown(an_abort_ends_it_between_two_batches, begin, end),
        cmocka_unit_test_setup_teardown(what_is_cut_meanwhile_is_an_error_that_names_the_place,
                                        begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
