/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/unit/endpoint-fixture.h"

#include "storage/endpoint-kind.h"

#define SIZE (8 * MIB)
#define CLUSTER 65536

/* A qcow2 whose clusters lie in no order, with holes, and zeros that are said to be zeros. */
static void
make_scattered(const char *name)
{
    struct endpoint *endpoint;

    create(name, IMAGE_QCOW2, SIZE);
    endpoint = must_open(place, name, IMAGE_QCOW2, ENDPOINT_WRITE, false);
    for (unsigned i = 0; i < 64; i++) {
        unsigned cluster = i * 37 % 64; /* each of the first 4 MiB once, in leaps */

        if (cluster % 5 != 0)
            put(endpoint, cluster * CLUSTER, (char)('A' + cluster % 50), CLUSTER);
    }
    put(endpoint, 5 * MIB + 100, 'y', 2 * MIB);
    zero(endpoint, 6 * MIB, 3 * CLUSTER);
    flush(endpoint);
    endpoint_close(endpoint);
}

static struct endpoint *
open_map(const char *name)
{
    struct endpoint *endpoint = NULL;

    if (!endpoint_open_map(base, name, ENDPOINT_READ, false, NULL, &endpoint))
        fail_msg("'%s' cannot be read by its map", name);
    return endpoint;
}

static void
assert_no_map(const char *name)
{
    struct endpoint *endpoint = NULL;

    assert_false(endpoint_open_map(base, name, ENDPOINT_READ, false, NULL, &endpoint));
    assert_null(endpoint);
}

static void
run_qemu_img(const char *const argv[])
{
    const struct child_limits limits = { .output_size = 65536 };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    if (!child_run(argv, base, &limits, &output, &err))
        fail_msg("%s %s", err->message, err->data);
}

static void
it_shows_what_qemu_shows(void **state)
{
    _cleanup_(endpoint_closep) struct endpoint *map = NULL, *nbd = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *one = malloc(SIZE), *other = malloc(SIZE);

    (void)state;
    need_qemu();
    make_scattered("data");
    map = open_map("data");
    if (!endpoint_open_nbd(place, "data", ENDPOINT_READ, false, NULL, &nbd, &err))
        fail_msg("%s", err->message);
    assert_int_equal(endpoint_size(map), SIZE);
    assert_true(one && other);
    assert_true(endpoint_read(map, 0, one, SIZE, &err));
    assert_true(endpoint_read(nbd, 0, other, SIZE, &err));
    assert_memory_equal(one, other, SIZE);
}

/* Requests that begin and end anywhere, many at a time. */
static void
requests_over_many_pieces_are_put_together(void **state)
{
    enum { COUNT = 24, LENGTH = 300001 };
    _cleanup_(endpoint_closep) struct endpoint *map = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *whole = malloc(SIZE), *pieces = malloc(COUNT * LENGTH);
    struct endpoint_request requests[COUNT] = { 0 };

    (void)state;
    need_qemu();
    make_scattered("data");
    map = open_map("data");
    assert_true(whole && pieces && endpoint_read(map, 0, whole, SIZE, &err));
    for (size_t i = 0; i < COUNT; i++) {
        requests[i] = (struct endpoint_request){ .act = ENDPOINT_DO_READ,
                                                 .offset = i * LENGTH,
                                                 .bytes = pieces + i * LENGTH,
                                                 .size = LENGTH };
        endpoint_begin(map, &requests[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        while (!requests[i].done)
            endpoint_wait(map, NULL, 1000);
        assert_null(requests[i].error);
    }
    assert_memory_equal(pieces, whole, COUNT * LENGTH);
}

static void
aligned_requests_that_go_past_the_cache_show_the_same(void **state)
{
    _cleanup_(endpoint_closep) struct endpoint *map = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *whole = malloc(SIZE);
    void *buffer = NULL;
    int fd;

    (void)state;
    need_qemu();
    make_scattered("data");
    fd = openat(base, "data", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    (void)close(fd);
    map = open_map("data");
    assert_int_equal(posix_memalign(&buffer, 4096, MIB), 0);
    assert_non_null(whole);
    for (uint64_t offset = 0; offset < SIZE; offset += MIB) {
        struct endpoint_request request = {
            .act = ENDPOINT_DO_READ, .offset = offset, .bytes = buffer, .size = MIB
        };

        endpoint_begin(map, &request);
        while (!request.done)
            endpoint_wait(map, NULL, 1000);
        assert_null(request.error);
        memcpy(whole + offset, buffer, MIB);
    }
    free(buffer);
    buffer = malloc(SIZE);
    assert_true(buffer && endpoint_read(map, 0, buffer, SIZE, &err));
    assert_memory_equal(whole, buffer, SIZE);
    free(buffer);
}

static void
extents_of_one_kind_are_one_wherever_they_lie(void **state)
{
    _cleanup_(endpoint_closep) struct endpoint *map = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    uint64_t end;
    bool is_zero;

    (void)state;
    need_qemu();
    make_scattered("data");
    map = open_map("data");
    assert_true(endpoint_extent(map, 0, SIZE, &is_zero, &end, &err));
    assert_true(is_zero);
    assert_int_equal(end, CLUSTER);
    assert_true(endpoint_extent(map, CLUSTER, SIZE, &is_zero, &end, &err));
    assert_false(is_zero);
    assert_int_equal(end, 5 * CLUSTER);
    assert_true(endpoint_extent(map, 6 * MIB, SIZE, &is_zero, &end, &err));
    assert_true(is_zero);
    assert_int_equal(end, 6 * MIB + 3 * CLUSTER);
}

static void
what_is_compressed_or_has_a_backing_file_is_for_qemu(void **state)
{
    static const char *const compress[] = { "qemu-img", "convert", "-c",   "-f",       "qcow2",
                                            "-O",       "qcow2",   "data", "squeezed", NULL };
    static const char *const overlay[] = { "qemu-img", "create", "-q",    "-f",   "qcow2", "-b",
                                           "data",     "-F",     "qcow2", "over", NULL };

    (void)state;
    need_qemu();
    make_scattered("data");
    run_qemu_img(compress);
    assert_no_map("squeezed");
    run_qemu_img(overlay);
    assert_no_map("over");
    assert_no_map("none");
}

static void
a_data_file_beside_it_is_for_qemu(void **state)
{
    static const char *const make[] = {
        "qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=elsewhere,data_file_raw=on",
        "split",    "1M",     NULL
    };

    (void)state;
    need_qemu();
    run_qemu_img(make);
    assert_no_map("split");
}

/* A qcow2 as endpoint_create() makes it to be filled. */
static struct endpoint *
open_fill(const char *name, enum endpoint_room room)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct endpoint *endpoint = NULL;

    if (!endpoint_create(place, name, IMAGE_QCOW2, SIZE, room, NULL, IMAGE_RAW, NULL, &err))
        fail_msg("%s", err->message);
    (void)!endpoint_open_map(base, name, ENDPOINT_FILL, false, NULL, &endpoint);
    return endpoint;
}

static void
what_is_filled_is_what_qemu_shows(void **state)
{
    _cleanup_(endpoint_closep) struct endpoint *nbd = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    struct endpoint *map;

    (void)state;
    need_qemu();
    map = open_fill("data", ENDPOINT_TO_FILL);
    assert_non_null(map);
    put(map, 0, 'a', 100);
    put(map, 3 * MIB - 7, 'b', 70000);
    put(map, SIZE - 5, 'c', 5);
    put(map, 5 * MIB, 'd', MIB);
    zero(map, 5 * MIB + CLUSTER, 2 * CLUSTER);
    flush(map);
    assert_shows(map, 5 * MIB, 'd', CLUSTER);
    endpoint_close(map);
    assert_true(endpoint_check(place, "data", false, NULL, &err));
    if (!endpoint_open_nbd(place, "data", ENDPOINT_READ, false, NULL, &nbd, &err))
        fail_msg("%s", err->message);
    assert_shows(nbd, 0, 'a', 100);
    assert_shows(nbd, 100, 0, 2 * MIB);
    assert_shows(nbd, 3 * MIB - 7, 'b', 70000);
    assert_shows(nbd, 5 * MIB, 'd', CLUSTER);
    assert_shows(nbd, 5 * MIB + CLUSTER, 0, 2 * CLUSTER);
    assert_shows(nbd, 5 * MIB + 3 * CLUSTER, 'd', CLUSTER);
    assert_shows(nbd, SIZE - 5, 'c', 5);
}

static void
what_is_being_filled_tells_what_is_still_zero(void **state)
{
    _cleanup_(endpoint_closep) struct endpoint *map = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    uint64_t end;
    bool is_zero;

    (void)state;
    need_qemu();
    map = open_fill("data", ENDPOINT_TO_FILL);
    assert_non_null(map);
    put(map, 2 * MIB, 'a', MIB);
    flush(map);
    assert_true(endpoint_extent(map, 0, SIZE, &is_zero, &end, &err));
    assert_true(is_zero);
    assert_int_equal(end, 2 * MIB);
    assert_true(endpoint_extent(map, 2 * MIB, SIZE, &is_zero, &end, &err));
    assert_false(is_zero);
    assert_int_equal(end, 3 * MIB);
}

static void
what_has_no_place_for_each_byte_is_not_filled(void **state)
{
    (void)state;
    need_qemu();
    assert_null(open_fill("data", ENDPOINT_THIN));
    make_scattered("scattered");
    {
        struct endpoint *endpoint = NULL;

        assert_false(endpoint_open_map(base, "scattered", ENDPOINT_FILL, false, NULL, &endpoint));
    }
}

/* "top/data" over "middle/data" (qcow2) over "low/data" (raw and shorter), each with a part of its own. */
static struct folder *
make_chain(void)
{
    static const char *const names[] = { "low", "middle", "top" };
    _cleanup_(error_freep) struct error *err = NULL;
    struct folder *image = NULL;

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        _cleanup_free_ char *backing = i ? xprintf("../%s/data", names[i - 1]) : NULL;
        enum image_format format = i ? IMAGE_QCOW2 : IMAGE_RAW;
        struct endpoint *endpoint;

        folder_close(TAKE(image));
        assert_int_equal(mkdirat(base, names[i], 0700), 0);
        assert_true(folder_open(place, names[i], FOLDER_SAME_SYSTEM, &image));
        if (!endpoint_create(image, "data", format, i ? SIZE : SIZE / 2, ENDPOINT_THIN, backing,
                             i == 1 ? IMAGE_RAW : IMAGE_QCOW2, NULL, &err))
            fail_msg("%s", err->message);
        endpoint = must_open(image, "data", format, ENDPOINT_WRITE, i > 0);
        put(endpoint, i * MIB, (char)('1' + i), 2 * MIB);
        if (i == 2)
            zero(endpoint, 0, 3 * CLUSTER);
        flush(endpoint);
        endpoint_close(endpoint);
    }
    return image;
}

static void
a_chain_is_read_in_all_of_its_files(void **state)
{
    _cleanup_(folder_closep) struct folder *top = NULL;
    _cleanup_(endpoint_closep) struct endpoint *map = NULL, *nbd = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *one = malloc(SIZE), *other = malloc(SIZE);

    (void)state;
    need_qemu();
    top = make_chain();
    assert_true(endpoint_open_map(folder_fd(top), "data", ENDPOINT_READ, true, NULL, &map));
    if (!endpoint_open_nbd(top, "data", ENDPOINT_READ, true, NULL, &nbd, &err))
        fail_msg("%s", err->message);
    assert_int_equal(endpoint_size(map), SIZE);
    assert_true(one && other);
    for (uint64_t offset = 0; offset < SIZE; offset += MIB) {
        struct endpoint_request request = {
            .act = ENDPOINT_DO_READ, .offset = offset, .bytes = one + offset, .size = MIB
        };

        endpoint_begin(map, &request);
        while (!request.done)
            endpoint_wait(map, NULL, 1000);
        assert_null(request.error);
    }
    assert_true(endpoint_read(nbd, 0, other, SIZE, &err));
    assert_memory_equal(one, other, SIZE);
    assert_int_equal(one[0], 0);
    assert_int_equal(one[3 * CLUSTER], '1');
    assert_int_equal(one[MIB], '2');
    assert_int_equal(one[4 * MIB - 1], '3');
}

static void
a_base_that_is_no_image_beside_it_is_for_qemu(void **state)
{
    static const char *const elsewhere[] = { "qemu-img", "create",   "-q",          "-f",
                                             "qcow2",    "-b",       "../low/data", "-F",
                                             "raw",      "top/data", NULL };
    static const char *const backings[] = { "../../low/data", "low/data",     "/low/data",
                                            "../low/../data", "../.low/data", "../low/lock" };
    _cleanup_(folder_closep) struct folder *top = NULL;
    struct endpoint *endpoint = NULL;

    (void)state;
    need_qemu();
    assert_int_equal(mkdirat(base, "low", 0700), 0);
    assert_int_equal(mkdirat(base, "top", 0700), 0);
    create("low/data", IMAGE_RAW, MIB);
    run_qemu_img(elsewhere);
    assert_true(folder_open(place, "top", FOLDER_SAME_SYSTEM, &top));
    assert_true(endpoint_open_map(folder_fd(top), "data", ENDPOINT_READ, true, NULL, &endpoint));
    endpoint_close(TAKE(endpoint));
    for (size_t i = 0; i < ARRAY_COUNT(backings); i++) {
        const char *const rebase[] = { "qemu-img",  "rebase", "-u",  "-f",       "qcow2", "-b",
                                       backings[i], "-F",     "raw", "top/data", NULL };

        run_qemu_img(rebase);
        assert_false(
            endpoint_open_map(folder_fd(top), "data", ENDPOINT_READ, true, NULL, &endpoint));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_shows_what_qemu_shows),
        TEST(requests_over_many_pieces_are_put_together),
        TEST(aligned_requests_that_go_past_the_cache_show_the_same),
        TEST(extents_of_one_kind_are_one_wherever_they_lie),
        TEST(what_is_compressed_or_has_a_backing_file_is_for_qemu),
        TEST(a_data_file_beside_it_is_for_qemu),
        TEST(a_chain_is_read_in_all_of_its_files),
        TEST(a_base_that_is_no_image_beside_it_is_for_qemu),
        TEST(what_is_filled_is_what_qemu_shows),
        TEST(what_is_being_filled_tells_what_is_still_zero),
        TEST(what_has_no_place_for_each_byte_is_not_filled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
