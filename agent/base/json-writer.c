/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/json-writer.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "agent/base/clock.h"
#include "agent/base/name.h"

#define DEPTH_MAX 64
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void
writer_done(struct writer *writer)
{
    text_done(&writer->text);
    *writer = WRITER_INIT;
}

void
writer_clear(struct writer *writer)
{
    text_clear(&writer->text);
    writer->filled = 0;
    writer->objects = 0;
    writer->depth = 0;
    writer->after_key = false;
}

static uint64_t
level_bit(const struct writer *writer)
{
    return UINT64_C(1) << (writer->depth - 1);
}

static bool
in_object(const struct writer *writer)
{
    return writer->depth > 0 && (writer->objects & level_bit(writer));
}

static void
begin_entry(struct writer *writer)
{
    if (writer->depth == 0)
        return;
    if (writer->filled & level_bit(writer))
        text_append_char(&writer->text, ',');
    writer->filled |= level_bit(writer);
}

/* What stands before a value: nothing behind its key, else a comma unless it is the first. */
static void
begin_value(struct writer *writer)
{
    if (writer->after_key) {
        writer->after_key = false;
        return;
    }
    assert(!in_object(writer));
    begin_entry(writer);
}

static void
open_level(struct writer *writer, char bracket)
{
    begin_value(writer);
    assert(writer->depth < DEPTH_MAX);
    writer->depth++;
    writer->filled &= ~level_bit(writer);
    if (bracket == '{')
        writer->objects |= level_bit(writer);
    else
        writer->objects &= ~level_bit(writer);
    text_append_char(&writer->text, bracket);
}

static void
close_level(struct writer *writer, char bracket)
{
    assert(writer->depth > 0 && !writer->after_key && in_object(writer) == (bracket == '}'));
    writer->depth--;
    text_append_char(&writer->text, bracket);
}

void
writer_object(struct writer *writer)
{
    open_level(writer, '{');
}

void
writer_array(struct writer *writer)
{
    open_level(writer, '[');
}

void
writer_end_object(struct writer *writer)
{
    close_level(writer, '}');
}

void
writer_end_array(struct writer *writer)
{
    close_level(writer, ']');
}

/* What each byte is in a string: itself (0), the letter behind a backslash, 'u' (\u00XX), or the
   beginning of something beyond ASCII. */
#define BEYOND_ASCII 1
static const unsigned char escapes[256] = {
    [0x00 ... 0x07] = 'u', ['\b'] = 'b',  ['\t'] = 't', ['\n'] = 'n',
    [0x0b] = 'u',          ['\f'] = 'f',  ['\r'] = 'r', [0x0e ... 0x1f] = 'u',
    ['"'] = '"',           ['\\'] = '\\', [0x7f] = 'u', [0x80 ... 0xff] = BEYOND_ASCII,
};

/* How many of the bytes at 'value' stand in a string as they are. */
static size_t
plain_length(const char *value, size_t length)
{
    size_t i = 0;

    while (i < length) {
        unsigned char escape = escapes[(unsigned char)value[i]];
        size_t size = escape == BEYOND_ASCII ? utf8_character_size(value + i, length - i) : !escape;

        if (size == 0)
            break;
        i += size;
    }
    return i;
}

static void
append_escaped(struct text *text, unsigned char character)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char escape = escapes[character];

    if (escape == BEYOND_ASCII) {
        text_append(text, REPLACEMENT, sizeof(REPLACEMENT) - 1);
    } else if (escape == 'u') {
        const char code[6] = {
            '\\', 'u', '0', '0', digits[character >> 4], digits[character & 15]
        };

        text_append(text, code, sizeof(code));
    } else {
        const char pair[2] = { '\\', (char)escape };

        text_append(text, pair, sizeof(pair));
    }
}

static void
append_string(struct text *text, const char *value, size_t length)
{
    size_t plain = plain_length(value, length);
    char *place = text_reserve(text, length + 2);

    *place++ = '"';
    if (plain)
        memcpy(place, value, plain);
    if (plain == length) { /* nearly always */
        place[plain] = '"';
        text_grow(text, length + 2);
        return;
    }
    text_grow(text, plain + 1);
    while (plain < length) {
        size_t run;

        append_escaped(text, (unsigned char)value[plain++]);
        run = plain_length(value + plain, length - plain);
        text_append(text, value + plain, run);
        plain += run;
    }
    text_append_char(text, '"');
}

void
writer_key(struct writer *writer, const char *key)
{
    assert(in_object(writer) && !writer->after_key);
    begin_entry(writer);
    append_string(&writer->text, key, strlen(key));
    text_append_char(&writer->text, ':');
    writer->after_key = true;
}

void
writer_string_sized(struct writer *writer, const char *value, size_t length)
{
    begin_value(writer);
    append_string(&writer->text, value, length);
}

void
writer_string(struct writer *writer, const char *value)
{
    if (value)
        writer_string_sized(writer, value, strlen(value));
    else
        writer_null(writer);
}

void
writer_printf(struct writer *writer, const char *format, ...)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    va_list arguments;

    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    writer_string_sized(writer, text.bytes, text.length);
}

static void
append_digits(struct text *text, bool negative, uint64_t value)
{
    char digits[21];
    size_t place = sizeof(digits);

    do {
        digits[--place] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    if (negative)
        digits[--place] = '-';
    text_append(text, digits + place, sizeof(digits) - place);
}

void
writer_unsigned(struct writer *writer, uint64_t value)
{
    begin_value(writer);
    append_digits(&writer->text, false, value);
}

void
writer_integer(struct writer *writer, int64_t value)
{
    begin_value(writer);
    append_digits(&writer->text, value < 0, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void
writer_real(struct writer *writer, double value)
{
    char number[32];
    int length;

    if (!isfinite(value)) {
        writer_null(writer);
        return;
    }
    begin_value(writer);
    /* 15 digits read best (0.1), 17 always give the same number back. */
    length = snprintf(number, sizeof(number), "%.15g", value);
    if (strtod(number, NULL) != value)
        length = snprintf(number, sizeof(number), "%.17g", value);
    for (int i = 0; i < length; i++) /* readline's user may have a locale with another point */
        if (number[i] == ',')
            number[i] = '.';
    text_append(&writer->text, number, (size_t)length);
}

void
writer_bool(struct writer *writer, bool value)
{
    begin_value(writer);
    text_append_string(&writer->text, value ? "true" : "false");
}

void
writer_null(struct writer *writer)
{
    begin_value(writer);
    text_append(&writer->text, "null", 4);
}

void
writer_json(struct writer *writer, const char *json, size_t length)
{
    if (!json || length == 0) {
        writer_null(writer);
        return;
    }
    begin_value(writer);
    text_append(&writer->text, json, length);
}

void
writer_time(struct writer *writer, int64_t time_ns)
{
    char text[CLOCK_TEXT_SIZE];

    if (time_ns == 0) {
        writer_null(writer);
        return;
    }
    writer_string_sized(writer, text, clock_format(time_ns, text));
}

void
writer_member_string(struct writer *writer, const char *key, const char *value)
{
    writer_key(writer, key);
    writer_string(writer, value);
}

void
writer_member_unsigned(struct writer *writer, const char *key, uint64_t value)
{
    writer_key(writer, key);
    writer_unsigned(writer, value);
}

void
writer_member_if_known(struct writer *writer, const char *key, bool known, uint64_t value)
{
    if (known)
        writer_member_unsigned(writer, key, value);
    else
        writer_member_null(writer, key);
}

void
writer_member_integer(struct writer *writer, const char *key, int64_t value)
{
    writer_key(writer, key);
    writer_integer(writer, value);
}

void
writer_member_real(struct writer *writer, const char *key, double value)
{
    writer_key(writer, key);
    writer_real(writer, value);
}

void
writer_member_bool(struct writer *writer, const char *key, bool value)
{
    writer_key(writer, key);
    writer_bool(writer, value);
}

void
writer_member_null(struct writer *writer, const char *key)
{
    writer_key(writer, key);
    writer_null(writer);
}

void
writer_member_json(struct writer *writer, const char *key, const char *json)
{
    writer_key(writer, key);
    writer_json(writer, json, json ? strlen(json) : 0);
}

void
writer_member_time(struct writer *writer, const char *key, int64_t time_ns)
{
    writer_key(writer, key);
    writer_time(writer, time_ns);
}
