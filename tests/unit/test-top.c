/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded: files of 16, 32 and 48 KiB were written and read by 16 KiB, and one of a byte written twice, and held open. */
#include <config.h>

#include "gluster/top.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>
#include <jansson.h>

#include "gluster/moment.h"
#include "tests/unit/recorded-fixture.h"

static struct top
top_of(const char *name)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document(name);
    struct top top;
    struct error *error = NULL;

    if (!top_read(document, &top, &error))
        fail_msg("%s: %s", name, error->message);
    return top;
}

static const struct top_brick *
find_brick(const struct top *top, const char *name)
{
    for (size_t i = 0; i < top->brick_count; i++)
        if (strcmp(top->bricks[i].name, name) == 0)
            return &top->bricks[i];
    fail_msg("no brick %s", name);
    return NULL;
}

static void
each_brick_has_its_files_the_busiest_first(void **unused)
{
    _cleanup_top_ struct top top = top_of("volume-top-write.xml");
    const struct top_brick *brick = find_brick(&top, "10.77.2.11:/bricks/gv0-0");

    (void)unused;
    assert_int_equal(top.brick_count, 3);
    assert_int_equal(brick->file_count, 4);
    assert_string_equal(brick->files[0].path, "/file3");
    assert_int_equal(brick->files[0].count, 3);
    assert_int_equal(brick->files[0].at_ns, 0);
    assert_false(brick->counts_open);
    assert_int_equal(brick->took_us, 0);
    for (size_t i = 1; i < brick->file_count; i++)
        assert_true(brick->files[i - 1].count >= brick->files[i].count);
}

static void
names_are_told_as_they_are(void **unused)
{
    _cleanup_top_ struct top top = top_of("volume-top-write.xml");
    const struct top_brick *brick = find_brick(&top, "10.77.2.11:/bricks/gv0-0");
    bool found = false;

    (void)unused;
    for (size_t i = 0; i < brick->file_count; i++)
        found = found || strcmp(brick->files[i].path, "/a<b&c/d e") == 0;
    assert_true(found);
}

static void
open_files_are_counted(void **unused)
{
    _cleanup_top_ struct top top = top_of("volume-top-open.xml");
    const struct top_brick *brick = find_brick(&top, "10.77.2.11:/bricks/gv0-0");

    (void)unused;
    assert_true(brick->counts_open);
    assert_int_equal(brick->open, 1);
    assert_true(brick->most_open >= 1);
    assert_true(brick->most_open_ns > INT64_C(1700000000) * 1000000000);
}

static void
a_measured_brick_tells_its_speed(void **unused)
{
    _cleanup_top_ struct top top = top_of("volume-top-write-measured.xml");
    const struct top_brick *brick = find_brick(&top, "10.77.2.11:/bricks/gv0-0");
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    const json_t *first, *file;
    json_t *bricks;

    (void)unused;
    assert_true(brick->took_us > 0);
    assert_true(brick->files[0].at_ns > INT64_C(1700000000) * 1000000000);
    top_write(&top, true, 4096 * 100, &writer);
    bricks = json_loads(writer.text.bytes, 0, NULL);
    first = json_array_get(bricks, 0);
    assert_int_equal(json_integer_value(json_object_get(first, "bytesPerSecond")),
                     UINT64_C(409600) * 1000000 / top.bricks[0].took_us);
    file = json_array_get(json_object_get(first, "files"), 0);
    assert_non_null(json_object_get(file, "bytesPerSecond"));
    assert_non_null(json_object_get(file, "at"));
    assert_null(json_object_get(file, "count"));
    json_decref(bricks);
}

static void
another_answer_is_refused(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *document = recorded_document("pool-list.xml");
    _cleanup_(error_freep) struct error *error = NULL;
    struct top top;

    (void)unused;
    assert_false(top_read(document, &top, &error));
    assert_int_equal(error->code, ERROR_BACKEND_FAILED);
}

static void
times_are_read_with_their_fraction_and_offset(void **unused)
{
    (void)unused;
    assert_int_equal(moment_read("2026-11-21 15:28:27.595343 +0000"), INT64_C(1795274907595343000));
    assert_int_equal(moment_read("2026-11-21 16:58:27.5 +0130"), INT64_C(1795274907500000000));
    assert_int_equal(setenv("TZ", "XXX-2", 1), 0);
    tzset();
    assert_int_equal(moment_read("2026-11-21 17:28:27"), INT64_C(1795274907000000000));
    assert_int_equal(moment_read("2026-11-21 15:28:27.0 +0000"), INT64_C(1795274907000000000));
    assert_int_equal(moment_read("N/A"), 0);
    assert_int_equal(moment_read(""), 0);
    assert_int_equal(moment_read("2026-11-21 15:28:27 soon"), 0);
    assert_int_equal(moment_read("2026-11-21 15:28:27.1234567890123 +0000"),
                     INT64_C(1795274907123456789));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_brick_has_its_files_the_busiest_first),
        cmocka_unit_test(names_are_told_as_they_are),
        cmocka_unit_test(open_files_are_counted),
        cmocka_unit_test(a_measured_brick_tells_its_speed),
        cmocka_unit_test(another_answer_is_refused),
        cmocka_unit_test(times_are_read_with_their_fraction_and_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
