/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/text.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>

#define CAPACITY_FIRST 64

void
text_done(struct text *text)
{
    free(text->bytes);
    *text = TEXT_INIT;
}

void
text_clear(struct text *text)
{
    text->length = 0;
    if (text->bytes)
        text->bytes[0] = '\0';
}

char *
text_reserve(struct text *text, size_t size)
{
    size_t needed = text->length + size + 1;

    assert(size < SIZE_MAX / 4 && text->length < SIZE_MAX / 4);
    if (needed > text->capacity) {
        size_t capacity = text->capacity ? text->capacity : CAPACITY_FIRST;

        while (capacity < needed)
            capacity *= 2;
        text->bytes = xrealloc(text->bytes, capacity);
        text->bytes[text->length] = '\0'; /* a string even when nothing comes */
        text->capacity = capacity;
    }
    return text->bytes + text->length;
}

void
text_grow(struct text *text, size_t size)
{
    assert(text->bytes && size < text->capacity - text->length);
    text->length += size;
    text->bytes[text->length] = '\0';
}

void
text_append(struct text *text, const void *bytes, size_t size)
{
    char *place = text_reserve(text, size);

    if (size)
        memcpy(place, bytes, size);
    text_grow(text, size);
}

void
text_append_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void
text_append_char(struct text *text, char character)
{
    text_append(text, &character, 1);
}

void
text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    text_vprintf(text, format, arguments);
    va_end(arguments);
}

void
text_vprintf(struct text *text, const char *format, va_list arguments)
{
    va_list again;
    int length;
    size_t room;

    va_copy(again, arguments);
    (void)text_reserve(text, CAPACITY_FIRST - 1);
    room = text->capacity - text->length;
    length = vsnprintf(text->bytes + text->length, room, format, arguments);
    assert(length >= 0); /* only a wrong format of ours fails, or 2 GiB, which nobody may append */
    if ((size_t)length >= room) {
        (void)text_reserve(text, (size_t)length);
        (void)vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
    }
    va_end(again);
    text_grow(text, (size_t)length);
}

char *
text_take(struct text *text)
{
    char *bytes = text->bytes ? text->bytes : xalloc(1);

    *text = TEXT_INIT;
    return bytes;
}
