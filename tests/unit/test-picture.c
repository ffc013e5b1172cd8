/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/picture.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
add_pixels(struct text *text, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count * 3; i++) {
        seed = seed * 1103515245U + 12345U;
        text_append_char(text, (char)(seed >> 16));
    }
}

static void
a_ppm_is_read(void **unused)
{
    _cleanup_text_ struct text ppm = TEXT_INIT;
    _cleanup_(picture_done) struct picture picture = { 0 };
    struct error *error = NULL;

    (void)unused;
    text_append_string(&ppm, "P6\n# by hand\n2 1\n255\n\x01\x02\x03\x0a\x20\x7f");
    assert_true(picture_read("image/x-portable-pixmap", &ppm, &picture, &error));
    assert_int_equal(picture.width, 2);
    assert_int_equal(picture.height, 1);
    assert_memory_equal(picture.pixels, "\x01\x02\x03\x0a\x20\x7f", 6);
}

static void
what_is_no_picture_is_refused(void **unused)
{
    static const char *const bad[] = { "",
                                       "P",
                                       "P5\n2 1\n255\n123456",
                                       "P6",
                                       "P6\n2 1\n",
                                       "P6\n2 1\n255",
                                       "P6\n2 1\n255\n",
                                       "P6\n2 1\n255\n12345",
                                       "P6\n2 1\n65535\n123456",
                                       "P6\n0 1\n255\n",
                                       "P6\n-2 1\n255\n123456",
                                       "P6\n99999999999999999999 1\n255\n123456",
                                       "P6\n8193 1\n255\n123456",
                                       "P6\n#" };

    (void)unused;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        for (unsigned png = 0; png < 2; png++) {
            _cleanup_text_ struct text bytes = TEXT_INIT;
            _cleanup_(error_freep) struct error *error = NULL;
            struct picture picture = { 0 };

            text_append_string(&bytes, bad[i]);
            assert_false(picture_read(png ? "image/png" : "image/x-portable-pixmap", &bytes,
                                      &picture, &error));
            assert_int_equal(error->code, ERROR_BACKEND_FAILED);
            assert_null(picture.pixels);
        }
    }
}

static void
a_png_holds_what_was_drawn(void **unused)
{
    _cleanup_text_ struct text ppm = TEXT_INIT;
    _cleanup_text_ struct text png = TEXT_INIT;
    _cleanup_(picture_done) struct picture drawn = { 0 };
    _cleanup_(picture_done) struct picture read = { 0 };
    struct error *error = NULL;
    unsigned scale;

    (void)unused;
    text_append_string(&ppm, "P6 40 30 255\n");
    add_pixels(&ppm, 40 * 30, 1);
    assert_true(picture_read("image/x-portable-pixmap", &ppm, &drawn, &error));
    assert_true(picture_write_png(&drawn, 100000, &png, &scale, &error));
    assert_int_equal(scale, 1);
    assert_true(picture_read("image/png", &png, &read, &error));
    assert_int_equal(read.width, 40);
    assert_int_equal(read.height, 30);
    assert_memory_equal(read.pixels, drawn.pixels, 40 * 30 * 3);
}

/* Noise cannot be compressed: only a smaller one fits. */
static void
what_does_not_fit_is_made_smaller(void **unused)
{
    _cleanup_text_ struct text ppm = TEXT_INIT;
    _cleanup_text_ struct text png = TEXT_INIT;
    _cleanup_(picture_done) struct picture picture = { 0 };
    struct error *error = NULL;
    unsigned scale, corner = 0;

    (void)unused;
    text_append_string(&ppm, "P6 101 67 255\n");
    add_pixels(&ppm, (size_t)101 * 67, 7);
    assert_true(picture_read("image/x-portable-pixmap", &ppm, &picture, &error));
    for (size_t y = 0; y < 3; y++)
        for (size_t x = 0; x < 3; x++)
            corner += picture.pixels[(y * 101 + x) * 3];
    assert_true(picture_write_png(&picture, 3000, &png, &scale, &error));
    assert_int_equal(scale, 3);
    assert_int_equal(picture.width, 33);
    assert_int_equal(picture.height, 22);
    assert_int_equal(picture.pixels[0], corner / 9);
    assert_true(png.length <= 3000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ppm_is_read),
        cmocka_unit_test(what_is_no_picture_is_refused),
        cmocka_unit_test(a_png_holds_what_was_drawn),
        cmocka_unit_test(what_does_not_fit_is_made_smaller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
