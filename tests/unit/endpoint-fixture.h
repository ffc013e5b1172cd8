/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of endpoints share: a folder of their own, and short words for what they do in it.
 */
#ifndef TESTS_UNIT_ENDPOINT_FIXTURE_H
#define TESTS_UNIT_ENDPOINT_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/child.h"
#include "agent/base/durable.h"
#include "agent/base/text.h"
#include "storage/endpoint.h"

#define MIB (UINT64_C(1) << 20)

static char folder[64];
static struct folder *place; /* the folder, open */
static int base = -1;        /* its descriptor */

static inline int
begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/hostler-endpoint-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    if (!folder_open_path(folder, &place))
        return -1;
    base = folder_fd(place);
    return 0;
}

static inline int
end(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_close_ int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    folder_close(TAKE(place));
    return durable_remove_tree(parent, strrchr(folder, '/') + 1, &err) ? 0 : -1;
}

static inline void
need_qemu(void)
{
#ifdef HAVE_LIBNBD
    if (!child_exists("qemu-img") || !child_exists("qemu-nbd"))
        skip();
#else
    skip();
#endif
}

/* To be freed. */
static inline char *
path_of(const char *name)
{
    return xprintf("%s/%s", folder, name);
}

static inline void
create(const char *name, enum image_format format, uint64_t size)
{
    _cleanup_(error_freep) struct error *err = NULL;

    if (!endpoint_create(place, name, format, size, ENDPOINT_THIN, NULL, IMAGE_RAW, NULL, &err))
        fail_msg("%s", err->message);
}

static inline struct endpoint *
must_open(struct folder *holder, const char *name, enum image_format format,
          enum endpoint_mode mode, bool allow_base)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct endpoint *endpoint = NULL;

    if (!endpoint_open(holder, name, format, mode, allow_base, NULL, &endpoint, &err))
        fail_msg("%s", err->message);
    return endpoint;
}

/* The error of an opening that fails; to be freed. */
static inline struct error *
cannot_open(struct folder *holder, const char *name, enum image_format format,
            const atomic_bool *abort)
{
    struct endpoint *endpoint = NULL;
    struct error *err = NULL;

    assert_false(
        endpoint_open(holder, name, format, ENDPOINT_WRITE, false, abort, &endpoint, &err));
    assert_null(endpoint);
    return err;
}

static inline void
put(struct endpoint *endpoint, uint64_t offset, char letter, size_t size)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *bytes = malloc(size);

    assert_non_null(bytes);
    memset(bytes, letter, size);
    if (!endpoint_write(endpoint, offset, bytes, size, &err))
        fail_msg("%s", err->message);
}

static inline void
zero(struct endpoint *endpoint, uint64_t offset, uint64_t size)
{
    _cleanup_(error_freep) struct error *err = NULL;

    if (!endpoint_zero(endpoint, offset, size, &err))
        fail_msg("%s", err->message);
}

static inline void
flush(struct endpoint *endpoint)
{
    _cleanup_(error_freep) struct error *err = NULL;

    if (!endpoint_flush(endpoint, &err))
        fail_msg("%s", err->message);
}

/* That 'size' bytes from 'offset' on are all 'letter'. */
static inline void
assert_shows(struct endpoint *endpoint, uint64_t offset, char letter, size_t size)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *bytes = malloc(size);

    assert_non_null(bytes);
    if (!endpoint_read(endpoint, offset, bytes, size, &err))
        fail_msg("%s", err->message);
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != letter)
            fail_msg("byte %llu is %d, not %d", (unsigned long long)(offset + i), bytes[i], letter);
}

/* That from 'offset' on there are 'size' bytes that are known to be zero, or not. */
static inline void
assert_extent(struct endpoint *endpoint, uint64_t offset, uint64_t size, bool zeros)
{
    uint64_t end = offset + size, at = offset;

    while (at < end) {
        _cleanup_(error_freep) struct error *err = NULL;
        uint64_t next = 0;
        bool is_zero;

        if (!endpoint_extent(endpoint, at, end, &is_zero, &next, &err))
            fail_msg("%s", err->message);
        assert_int_equal(is_zero, zeros);
        assert_true(next > at && next <= end);
        at = next;
    }
}

static inline uint64_t
allocated(const char *name)
{
    struct stat status;

    assert_int_equal(fstatat(base, name, &status, AT_SYMLINK_NOFOLLOW), 0);
    return (uint64_t)status.st_blocks * 512;
}

static inline void
run(const char *const argv[])
{
    const struct child_limits limits = { .timeout_ms = 60000, .output_size = 1 << 20 };
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    if (!child_run(argv, base, &limits, &output, &err))
        fail_msg("%s", err->message);
}

/* "over", a qcow2 on "under", which holds 'u' in its first MiB, by qemu-img itself. */
static inline void
make_overlay(void)
{
    const char *const make[] = { "qemu-img",   "create", "-q",  "-f",   "qcow2", "-b",
                                 "under/data", "-F",     "raw", "over", NULL };
    struct endpoint *endpoint;

    assert_int_equal(mkdirat(base, "under", 0700), 0);
    create("under/data", IMAGE_RAW, 4 * MIB);
    endpoint = must_open(place, "under/data", IMAGE_RAW, ENDPOINT_WRITE, false);
    put(endpoint, 0, 'u', MIB);
    endpoint_close(endpoint);
    run(make);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
