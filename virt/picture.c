/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/picture.h"

#include <ctype.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 3

void
picture_done(struct picture *picture)
{
    free(picture->pixels);
    *picture = (struct picture){ 0 };
}

static bool
refuse(const char *reason, struct error **err)
{
    error_set(err, ERROR_BACKEND_FAILED, "libvirt's picture of the screen cannot be read: %s",
              reason);
    error_data_text(err, "backend", "libvirt");
    return error_data_text(err, "text", "%s", reason);
}

static bool
have_room(struct picture *picture, struct error **err)
{
    if (picture->width == 0 || picture->height == 0 || picture->width > PICTURE_SIDE_MAX ||
        picture->height > PICTURE_SIDE_MAX)
        return refuse("it has no size that a screen can have", err);
    picture->pixels = malloc((size_t)picture->width * picture->height * SAMPLES);
    return picture->pixels ? true : refuse("there is no memory for it", err);
}

/* ---- PPM: "P6 WIDTH HEIGHT 255", one white space, then the pixels ---- */

struct cursor {
    const char *bytes;
    size_t length, at;
};

static void
skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->length) {
        if (cursor->bytes[cursor->at] == '#')
            while (cursor->at < cursor->length && cursor->bytes[cursor->at] != '\n')
                cursor->at++;
        else if (isspace((unsigned char)cursor->bytes[cursor->at]))
            cursor->at++;
        else
            return;
    }
}

/* 0: none, or one beyond what is bounded anyway. */
static unsigned
take_number(struct cursor *cursor)
{
    unsigned number = 0;

    skip_space(cursor);
    while (cursor->at < cursor->length && isdigit((unsigned char)cursor->bytes[cursor->at])) {
        if (number > PICTURE_SIDE_MAX)
            return 0;
        number = number * 10 + (unsigned)(cursor->bytes[cursor->at++] - '0');
    }
    return number;
}

static bool
read_ppm(const struct text *bytes, struct picture *picture, struct error **err)
{
    struct cursor cursor = { bytes->bytes, bytes->length, 2 };
    size_t size;

    if (bytes->length < 2 || memcmp(bytes->bytes, "P6", 2) != 0)
        return refuse("it is no PPM of pixels in bytes", err);
    picture->width = take_number(&cursor);
    picture->height = take_number(&cursor);
    if (take_number(&cursor) != 255)
        return refuse("it has not 256 shades of each color", err);
    cursor.at++; /* the one white space */
    if (!have_room(picture, err))
        return false;
    size = (size_t)picture->width * picture->height * SAMPLES;
    if (cursor.at > cursor.length || cursor.length - cursor.at < size)
        return refuse("it is cut short", err);
    memcpy(picture->pixels, bytes->bytes + cursor.at, size);
    return true;
}

/* ---- PNG ---- */

static bool
read_png(const struct text *bytes, struct picture *picture, struct error **err)
{
    static const png_color black = { 0, 0, 0 };
    png_image image = { .version = PNG_IMAGE_VERSION };
    bool done;

    if (!png_image_begin_read_from_memory(&image, bytes->bytes, bytes->length))
        return refuse(image.message, err);
    image.format = PNG_FORMAT_RGB;
    picture->width = image.width;
    picture->height = image.height;
    if (!have_room(picture, err)) {
        png_image_free(&image);
        return false;
    }
    done = png_image_finish_read(&image, &black, picture->pixels, 0, NULL) != 0;
    return done ? true : refuse(image.message, err);
}

static bool
write_png(const struct picture *picture, struct text *png, struct error **err)
{
    png_image image = { .version = PNG_IMAGE_VERSION,
                        .width = picture->width,
                        .height = picture->height,
                        .format = PNG_FORMAT_RGB };
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);

    text_clear(png);
    if (!png_image_write_to_memory(&image, text_reserve(png, size), &size, 0, picture->pixels, 0,
                                   NULL))
        return refuse(image.message, err);
    text_grow(png, size);
    return true;
}

bool
picture_read(const char *mime_type, const struct text *bytes, struct picture *ret_picture,
             struct error **err)
{
    struct picture picture = { 0 };
    bool done = strcmp(mime_type, "image/png") == 0 ? read_png(bytes, &picture, err)
                                                    : read_ppm(bytes, &picture, err);

    if (!done) {
        picture_done(&picture);
        return false;
    }
    *ret_picture = picture;
    return true;
}

/* ---- making it smaller ---- */

static unsigned char
mean(const struct picture *picture, unsigned left, unsigned top, unsigned side, unsigned sample)
{
    unsigned sum = 0;

    for (unsigned y = top; y < top + side; y++)
        for (unsigned x = left; x < left + side; x++)
            sum += picture->pixels[((size_t)y * picture->width + x) * SAMPLES + sample];
    return (unsigned char)(sum / (side * side));
}

/* Each square of 'side' pixels becomes one; what is left over at the right and below goes. */
static bool
shrink(const struct picture *picture, unsigned side, struct picture *ret_small, struct error **err)
{
    struct picture small = { .width = picture->width / side, .height = picture->height / side };
    unsigned char *out;

    if (!have_room(&small, err))
        return false;
    out = small.pixels;
    for (unsigned y = 0; y < small.height; y++)
        for (unsigned x = 0; x < small.width; x++)
            for (unsigned sample = 0; sample < SAMPLES; sample++)
                *out++ = mean(picture, x * side, y * side, side, sample);
    *ret_small = small;
    return true;
}

bool
picture_write_png(struct picture *picture, size_t size_max, struct text *ret_png,
                  unsigned *ret_scale, struct error **err)
{
    _cleanup_text_ struct text png = TEXT_INIT;
    struct picture small = { 0 };
    unsigned scale = 1;
    bool done = write_png(picture, &png, err);

    while (done && png.length > size_max) {
        picture_done(&small);
        done = shrink(picture, ++scale, &small, err) && write_png(&small, &png, err);
    }
    if (small.pixels && done) {
        picture_done(picture);
        *picture = small;
    } else
        picture_done(&small);
    if (!done)
        return false;
    *ret_scale = scale;
    *ret_png = png;
    png = TEXT_INIT;
    return true;
}
