/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/visible.h"

#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <wchar.h>

/* One character of UTF-8 at 'bytes'; 0 when it is not one.  '*ret_code' gets its number. */
static size_t
character_at(const char *bytes, size_t size, uint32_t *ret_code)
{
    const unsigned char *at = (const unsigned char *)bytes;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t length = at[0] < 0x80             ? 1
                    : (at[0] & 0xe0) == 0xc0 ? 2
                    : (at[0] & 0xf0) == 0xe0 ? 3
                    : (at[0] & 0xf8) == 0xf0 ? 4
                                             : 0;
    uint32_t code;

    if (length == 0 || length > size)
        return 0;
    code = length == 1 ? at[0] : at[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fU);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return length;
}

/* Controls, and what turns the direction of writing or breaks lines unseen. */
static bool
is_hidden(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0x2028 || code == 0x2029 ||
           code == 0x200e || code == 0x200f || code == 0x061c || code == 0xfeff;
}

void
visible_open(void)
{
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
        (void)setlocale(LC_CTYPE, "C.UTF-8");
}

void
visible_append(struct text *text, const char *bytes, size_t size, bool newlines)
{
    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = character_at(bytes + i, size - i, &code);

        if (length == 0) {
            text_printf(text, "\\x%02x", (unsigned char)bytes[i]);
            length = 1;
        } else if (code == '\n' && newlines) {
            text_append_char(text, '\n');
        } else if (is_hidden(code)) {
            text_printf(text, code < 0x100 ? "\\x%02" PRIx32 : "\\u%04" PRIx32, code);
        } else {
            text_append(text, bytes + i, length);
        }
        i += length;
    }
}

void
visible_append_string(struct text *text, const char *string)
{
    visible_append(text, string, strlen(string), false);
}

static size_t
character_width(uint32_t code)
{
    int width = wcwidth((wchar_t)code);

    return width < 0 ? 1 : (size_t)width;
}

size_t
visible_width(const char *string)
{
    size_t size = strlen(string), width = 0;

    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = character_at(string + i, size - i, &code);

        width += length ? character_width(code) : 1;
        i += length ? length : 1;
    }
    return width;
}

void
visible_append_cut(struct text *text, const char *string, size_t width)
{
    size_t size = strlen(string), used = 0;

    if (visible_width(string) <= width) {
        text_append_string(text, string);
        return;
    }
    if (width == 0)
        return;
    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = character_at(string + i, size - i, &code);
        size_t columns = length ? character_width(code) : 1;

        if (used + columns > width - 1)
            break;
        length = length ? length : 1;
        text_append(text, string + i, length);
        used += columns;
        i += length;
    }
    text_append_string(text, "…");
}

void
visible_append_json(struct text *text, const char *json)
{
    size_t size = strlen(json);

    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = character_at(json + i, size - i, &code);

        /* Below 0x20 only layout is left: strings have theirs escaped by the writer. */
        if (length == 0)
            text_append_char(text, '?');
        else if (code >= 0x20 && is_hidden(code))
            text_printf(text, "\\u%04" PRIx32, code);
        else
            text_append(text, json + i, length);
        i += length ? length : 1;
    }
}

const char *
visible_colour(enum colour colour, bool wanted)
{
    static const char *const sequences[] = {
        [COLOUR_NONE] = "",           [COLOUR_RED] = "\033[31m",  [COLOUR_GREEN] = "\033[32m",
        [COLOUR_YELLOW] = "\033[33m", [COLOUR_BLUE] = "\033[36m", [COLOUR_BOLD] = "\033[1m",
    };

    return wanted ? sequences[colour] : "";
}

const char *
visible_plain(bool wanted)
{
    return wanted ? "\033[0m" : "";
}

void
visible_size(uint64_t bytes, char ret_text[VISIBLE_SIZE_TEXT])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double value = (double)bytes;
    size_t unit = 0;

    /* 1023.95 and more would be written as 1024.0. */
    while (value >= (unit ? 1023.95 : 1024) && unit + 1 < ARRAY_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    /* Tenths, but for whole numbers. */
    value = (double)(uint64_t)(value * 10 + 0.5) / 10;
    (void)snprintf(ret_text, VISIBLE_SIZE_TEXT,
                   value == (double)(uint64_t)value ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

void
visible_duration(uint64_t seconds, char ret_text[VISIBLE_SIZE_TEXT])
{
    uint64_t hours = seconds / 3600;

    if (hours > 99999)
        (void)snprintf(ret_text, VISIBLE_SIZE_TEXT, "a long time");
    else if (hours > 0)
        (void)snprintf(ret_text, VISIBLE_SIZE_TEXT, "%" PRIu64 ":%02u:%02u", hours,
                       (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
    else
        (void)snprintf(ret_text, VISIBLE_SIZE_TEXT, "%u:%02u", (unsigned)(seconds / 60),
                       (unsigned)(seconds % 60));
}
