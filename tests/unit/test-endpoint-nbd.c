/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU's formats are about: bases, names, locks, damage.  Skipped where there is no QEMU.
 */
#include <config.h>

#include "tests/unit/endpoint-fixture.h"

static void
an_overlay_shows_its_base_where_that_is_allowed(void **state)
{
    struct endpoint *endpoint;

    (void)state;
    need_qemu();
    make_overlay();
    endpoint = must_open(place, "over", IMAGE_QCOW2, ENDPOINT_WRITE, true);
    assert_shows(endpoint, 0, 'u', MIB);
    put(endpoint, MIB, 'o', MIB);
    flush(endpoint);
    endpoint_close(endpoint);
    endpoint = must_open(place, "over", IMAGE_QCOW2, ENDPOINT_READ, true);
    assert_shows(endpoint, 0, 'u', MIB);
    assert_shows(endpoint, MIB, 'o', MIB);
    endpoint_close(endpoint);
    endpoint = must_open(place, "under/data", IMAGE_RAW, ENDPOINT_READ, false);
    assert_shows(endpoint, MIB, '\0', MIB);
    endpoint_close(endpoint);
}

static void
a_base_beside_the_folder_is_found_after_the_folder_was_renamed(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_(folder_closep) struct folder *over = NULL;
    struct endpoint *endpoint;

    (void)state;
    need_qemu();
    assert_int_equal(mkdirat(base, "under", 0700), 0);
    assert_int_equal(mkdirat(base, ".new-over", 0700), 0);
    create("under/data", IMAGE_RAW, 4 * MIB);
    endpoint = must_open(place, "under/data", IMAGE_RAW, ENDPOINT_WRITE, false);
    put(endpoint, 0, 'u', MIB);
    endpoint_close(endpoint);
    assert_true(folder_open(place, ".new-over", FOLDER_SAME_SYSTEM, &over));
    if (!endpoint_create(over, "data", IMAGE_QCOW2, 4 * MIB, ENDPOINT_THIN, "../under/data",
                         IMAGE_RAW, NULL, &err))
        fail_msg("%s", err->message);
    assert_int_equal(renameat(base, ".new-over", base, "over"), 0);
    assert_int_equal(symlinkat("/dev", base, ".new-over"), 0); /* a trap where it was */
    endpoint = must_open(over, "data", IMAGE_QCOW2, ENDPOINT_WRITE, true);
    assert_shows(endpoint, 0, 'u', MIB);
    endpoint_close(endpoint);
}

static void
a_backing_file_that_is_not_allowed_is_not_read(void **state)
{
    _cleanup_free_ char *path = NULL;
    _cleanup_(error_freep) struct error *err = NULL;
    struct endpoint *endpoint;

    (void)state;
    need_qemu();
    make_overlay();
    endpoint = must_open(place, "over", IMAGE_QCOW2, ENDPOINT_READ, false);
    assert_shows(endpoint, 0, '\0', 4 * MIB);
    endpoint_close(endpoint);
    path = path_of("over");
    err = cannot_open(NULL, path, IMAGE_QCOW2, NULL); /* a foreign file is refused */
    assert_non_null(strstr(err->message, "backing file"));
}

/* As when the header is written anew after the file was inspected. */
static void
a_data_file_that_qemu_has_opened_is_not_read(void **state)
{
    const struct child_limits limits = { .timeout_ms = 60000, .output_size = 4096 };
    _cleanup_free_ char *option = xprintf("data_file=%s/outside,data_file_raw=on", folder);
    const char *const argv[] = { "qemu-img", "create", "-q",    "-f", "qcow2",
                                 "-o",       option,   "named", "1M", NULL };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    (void)state;
    need_qemu();
    if (!child_run(argv, base, &limits, &output, &err))
        fail_msg("%s", err->message);
    err = cannot_open(place, "named", IMAGE_QCOW2, NULL);
    if (err->code != ERROR_CONFLICT || !strstr(err->message, "another file"))
        fail_msg("%s", err->message);
}

static void
names_that_qemu_takes_for_protocols_are_files(void **state)
{
    struct endpoint *endpoint;

    (void)state;
    need_qemu();
    create("nbd:unix:socket", IMAGE_QCOW2, MIB);
    create("json:{}", IMAGE_QCOW2, MIB);
    endpoint = must_open(place, "json:{}", IMAGE_QCOW2, ENDPOINT_READ, false);
    assert_int_equal(endpoint_size(endpoint), MIB);
    endpoint_close(endpoint);
}

static void
a_file_that_is_no_qcow2_says_so_in_qemus_words(void **state)
{
    struct error *err;

    (void)state;
    need_qemu();
    create("noise", IMAGE_RAW, MIB);
    err = cannot_open(place, "noise", IMAGE_QCOW2, NULL);
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    assert_non_null(strstr(err->message, "Image is not in qcow2 format"));
    error_free(err);
}

static void
a_file_that_another_program_writes_to_is_in_use(void **state)
{
    _cleanup_(endpoint_closep) struct endpoint *holder = NULL;
    struct error *err;

    (void)state;
    need_qemu();
    create("data", IMAGE_QCOW2, MIB);
    holder = must_open(place, "data", IMAGE_QCOW2, ENDPOINT_WRITE, false);
    err = cannot_open(place, "data", IMAGE_QCOW2, NULL);
    assert_int_equal(err->code, ERROR_IMAGE_IN_USE);
    assert_non_null(strstr(err->message, "lock"));
    error_free(err);
    err = NULL;
    assert_false(endpoint_check(place, "data", false, NULL, &err));
    assert_int_equal(err->code, ERROR_IMAGE_IN_USE);
    error_free(err);
}

static void
an_abort_ends_the_wait(void **state)
{
    _cleanup_(endpoint_closep) struct endpoint *endpoint = NULL;
    _cleanup_(error_freep) struct error *at_open = NULL, *later = NULL;
    atomic_bool abort = true;
    char byte;

    (void)state;
    need_qemu();
    create("data", IMAGE_QCOW2, MIB);
    at_open = cannot_open(place, "data", IMAGE_QCOW2, &abort);
    assert_int_equal(at_open->code, ERROR_TASK_ABORTED);
    atomic_store(&abort, false);
    endpoint = NULL;
    {
        _cleanup_(error_freep) struct error *err = NULL;

        if (!endpoint_open(place, "data", IMAGE_QCOW2, ENDPOINT_WRITE, false, &abort, &endpoint,
                           &err))
            fail_msg("%s", err->message);
    }
    atomic_store(&abort, true);
    assert_false(endpoint_read(endpoint, 0, &byte, 1, &later));
    assert_int_equal(later->code, ERROR_TASK_ABORTED);
}

static void
damage_is_found_and_leaks_are_not_damage(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_close_ int fd = -1;
    const unsigned char nowhere[8] = { 0, 0, 0, 0, 0, 0, 0, 7 };
    const char leaked[2] = { 0, 1 };
    struct endpoint *endpoint;

    (void)state;
    need_qemu();
    create("data", IMAGE_QCOW2, 4 * MIB);
    endpoint = must_open(place, "data", IMAGE_QCOW2, ENDPOINT_WRITE, false);
    put(endpoint, 0, 'a', MIB);
    flush(endpoint);
    endpoint_close(endpoint);
    assert_true(endpoint_check(place, "data", false, NULL, &err));
    fd = openat(base, "data", O_RDWR | O_CLOEXEC);
    /* The refcount block is the third cluster of what qemu-img makes: a cluster far behind leaks. */
    assert_int_equal(pwrite(fd, leaked, 2, 2 * 65536 + 2 * 100), 2);
    assert_true(endpoint_check(place, "data", false, NULL, &err));
    assert_true(endpoint_check(place, "data", true, NULL, &err));
    assert_int_equal(pwrite(fd, nowhere, 8, 40), 8); /* where its first table is */
    assert_false(endpoint_check(place, "data", false, NULL, &err));
    assert_int_equal(err->code, ERROR_VERIFY_FAILED);
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

/* What is shown from 0 on, as runs of MiB: "U3" three that have not changed, "C" and "Z" changed and zeros. */
static void
assert_map(struct endpoint *endpoint, const char *wanted)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text map = TEXT_INIT;
    uint64_t size = endpoint_size(endpoint), next;

    for (uint64_t at = 0; at < size; at = next) {
        uint64_t end;
        bool changed, zero = false;

        assert_true(endpoint_changed(endpoint, at, size, &changed, &end, &err));
        next = end;
        if (changed)
            assert_true(endpoint_extent(endpoint, at, end, &zero, &next, &err));
        text_printf(&map, "%c%d", !changed ? 'U' : zero ? 'Z' : 'C', (int)((next - at) / MIB));
    }
    assert_string_equal(map.bytes, wanted);
}

static void
an_export_tells_what_its_bitmap_holds(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL, *none = NULL;
    _cleanup_free_ char *data = path_of("data"), *socket = path_of("socket"), *pid = path_of("pid"),
                        *pid_file = xprintf("--pid-file=%s", pid),
                        *socket_is = xprintf("--socket=%s", socket);
    _cleanup_(endpoint_closep) struct endpoint *endpoint = NULL;
    struct endpoint *missing = NULL;

    (void)state;
    need_qemu();
    create("data", IMAGE_QCOW2, 16 * MIB);
    RUN("qemu-io", "-c", "write -P 1 0 8M", data);
    RUN("qemu-img", "bitmap", "--add", data, "since");
    RUN("qemu-io", "-c", "write -P 2 3M 2M", "-c", "discard 7M 1M", "-c", "write -P 3 15M 1M",
        data);
    RUN("qemu-nbd", "--fork", "--read-only", "--export-name=vda", "--bitmap=since", socket_is,
        pid_file, data);
    if (!endpoint_open_export(socket, "vda", "since", NULL, &endpoint, &err))
        fail_msg("%s", err->message);
    assert_int_equal(endpoint_size(endpoint), 16 * MIB);
    assert_map(endpoint, "U3C2U2Z1U7C1");
    assert_map(endpoint, "U3C2U2Z1U7C1");
    assert_shows(endpoint, 3 * MIB, 2, MIB);
    endpoint_close(TAKE(endpoint));
    /* qemu-nbd serves one client, and has ended. */
    assert_false(endpoint_open_export(socket, "vda", "since", NULL, &missing, &none));
    assert_null(missing);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_overlay_shows_its_base_where_that_is_allowed),
        TEST(a_base_beside_the_folder_is_found_after_the_folder_was_renamed),
        TEST(a_backing_file_that_is_not_allowed_is_not_read),
        TEST(a_data_file_that_qemu_has_opened_is_not_read),
        TEST(names_that_qemu_takes_for_protocols_are_files),
        TEST(a_file_that_is_no_qcow2_says_so_in_qemus_words),
        TEST(a_file_that_another_program_writes_to_is_in_use),
        TEST(an_abort_ends_the_wait),
        TEST(damage_is_found_and_leaks_are_not_damage),
        TEST(an_export_tells_what_its_bitmap_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
