/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/scan.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "agent/base/name.h"

static bool scan_any(struct scan *scan);

void
scan_init(struct scan *scan, const char *text, size_t size, unsigned depth_max)
{
    *scan = (struct scan){ .at = text, .end = text + size, .depth_max = depth_max };
}

void
scan_space(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
        scan->at++;
}

bool
scan_at_end(struct scan *scan)
{
    scan_space(scan);
    return scan->at == scan->end;
}

bool
scan_value(struct scan *scan, struct slice *ret_slice)
{
    scan_space(scan);
    ret_slice->text = scan->at;
    if (!scan_any(scan))
        return false;
    ret_slice->size = (size_t)(scan->at - ret_slice->text);
    return true;
}

static bool
scan_character(struct scan *scan, char character)
{
    if (scan->at == scan->end || *scan->at != character)
        return false;
    scan->at++;
    return true;
}

static bool
scan_digits(struct scan *scan)
{
    const char *begin = scan->at;

    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return scan->at > begin;
}

static bool
scan_number(struct scan *scan)
{
    (void)scan_character(scan, '-');
    if (!scan_character(scan, '0') && !scan_digits(scan))
        return false;
    if (scan_character(scan, '.') && !scan_digits(scan))
        return false;
    if (!scan_character(scan, 'e') && !scan_character(scan, 'E'))
        return true;
    if (!scan_character(scan, '+'))
        (void)scan_character(scan, '-');
    return scan_digits(scan);
}

static bool
scan_hex4(struct scan *scan, unsigned *ret_value)
{
    unsigned value = 0;

    for (int i = 0; i < 4; i++, scan->at++) {
        unsigned char c;

        if (scan->at == scan->end)
            return false;
        c = (unsigned char)*scan->at;
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            value = value * 16 + ((c | 0x20) - 'a' + 10u);
        else
            return false;
    }
    *ret_value = value;
    return true;
}

/* Behind "\u": one character, as two escapes when it is beyond the first 65,536. */
static bool
scan_unicode(struct scan *scan, unsigned *ret_character)
{
    unsigned first, second;

    if (!scan_hex4(scan, &first) || (first >= 0xdc00 && first <= 0xdfff))
        return false;
    *ret_character = first;
    if (first < 0xd800 || first > 0xdbff)
        return true;
    if (!scan_character(scan, '\\') || !scan_character(scan, 'u') || !scan_hex4(scan, &second) ||
        second < 0xdc00 || second > 0xdfff)
        return false;
    *ret_character = 0x10000 + ((first - 0xd800) << 10 | (second - 0xdc00));
    return true;
}

/* Behind a backslash. */
static bool
scan_escape(struct scan *scan, unsigned *ret_character)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter;

    if (scan_character(scan, 'u'))
        return scan_unicode(scan, ret_character);
    if (scan->at == scan->end || *scan->at == '\0')
        return false;
    letter = strchr(letters, *scan->at);
    if (!letter)
        return false;
    scan->at++;
    *ret_character = (unsigned char)meanings[letter - letters];
    return true;
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Eight bytes at once while none of them is a quote, a backslash, a control character or beyond
   ASCII: most of a long string is so. */
static void
skip_plain(struct scan *scan)
{
    while (scan->end - scan->at >= (ptrdiff_t)sizeof(uint64_t)) {
        uint64_t word, quote, backslash;

        memcpy(&word, scan->at, sizeof(word));
        quote = word ^ EACH_BYTE('"');
        backslash = word ^ EACH_BYTE('\\');
        if ((word | (word - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) |
             (backslash - EACH_BYTE(1))) &
            EACH_BYTE(0x80))
            return;
        scan->at += sizeof(word);
    }
}

/* At the opening quote. */
static bool
scan_string(struct scan *scan)
{
    scan->at++;
    skip_plain(scan);
    while (scan->at < scan->end) {
        unsigned char c = (unsigned char)*scan->at;
        unsigned character;

        if (c == '"') {
            scan->at++;
            return true;
        }
        if (c == '\\') {
            scan->at++;
            if (!scan_escape(scan, &character))
                return false;
        } else if (c < 0x20) {
            return false;
        } else if (c < 0x80) {
            scan->at++;
        } else {
            size_t size = utf8_character_size(scan->at, (size_t)(scan->end - scan->at));

            if (size == 0)
                return false;
            scan->at += size;
        }
    }
    return false;
}

static bool
scan_word(struct scan *scan, const char *word, size_t length)
{
    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
        return false;
    scan->at += length;
    return true;
}

static bool
enter(struct scan *scan)
{
    if (scan->depth == scan->depth_max) {
        scan->too_deep = true;
        return false;
    }
    scan->depth++;
    scan->at++;
    scan_space(scan);
    return true;
}

/* Behind a member or an element: whether one more follows; else '*ret_good' tells whether the
   container ends here, as it must. */
static bool
goes_on(struct scan *scan, char close, bool *ret_good)
{
    scan_space(scan);
    if (scan_character(scan, ',')) {
        scan_space(scan);
        return true;
    }
    *ret_good = scan_character(scan, close);
    scan->depth--;
    return false;
}

static bool
scan_key(struct scan *scan, struct slice *ret_key)
{
    ret_key->text = scan->at;
    if (scan->at == scan->end || *scan->at != '"' || !scan_string(scan))
        return false;
    ret_key->size = (size_t)(scan->at - ret_key->text);
    scan_space(scan);
    return scan_character(scan, ':');
}

bool
scan_object(struct scan *scan, void (*member)(void *context, struct slice key, struct slice value),
            void *context)
{
    struct slice key, value;
    bool good = false;

    scan_space(scan);
    if (scan->at == scan->end || *scan->at != '{' || !enter(scan))
        return false;
    if (scan_character(scan, '}')) {
        scan->depth--;
        return true;
    }
    do {
        if (!scan_key(scan, &key) || !scan_value(scan, &value))
            return false;
        if (member)
            member(context, key, value);
    } while (goes_on(scan, '}', &good));
    return good;
}

static bool
scan_array(struct scan *scan)
{
    struct slice value;
    bool good = false;

    if (!enter(scan))
        return false;
    if (scan_character(scan, ']')) {
        scan->depth--;
        return true;
    }
    do {
        if (!scan_value(scan, &value))
            return false;
    } while (goes_on(scan, ']', &good));
    return good;
}

/* At the value's first character.  The recursion goes no deeper than depth_max. */
static bool
scan_any(struct scan *scan)
{
    if (scan->at == scan->end)
        return false;
    switch (*scan->at) {
    case '"': return scan_string(scan);
    case '{': return scan_object(scan, NULL, NULL);
    case '[': return scan_array(scan);
    case 't': return scan_word(scan, "true", 4);
    case 'f': return scan_word(scan, "false", 5);
    case 'n': return scan_word(scan, "null", 4);
    default: return scan_number(scan);
    }
}

void
scan_inside(struct scan *scan, struct slice container)
{
    assert(container.size >= 2);
    /* What is inside was found valid, and is less deep than the whole. */
    scan_init(scan, container.text + 1, container.size - 2, UINT_MAX);
}

/* To the next value's first character. */
static bool
scan_next(struct scan *scan)
{
    scan_space(scan);
    if (scan_character(scan, ','))
        scan_space(scan);
    return scan->at < scan->end;
}

bool
scan_member(struct scan *scan, struct slice *ret_key, struct slice *ret_value)
{
    return scan_next(scan) && scan_key(scan, ret_key) && scan_value(scan, ret_value);
}

bool
scan_element(struct scan *scan, struct slice *ret_value)
{
    return scan_next(scan) && scan_value(scan, ret_value);
}

static char *
append_utf8(char *place, unsigned character)
{
    if (character < 0x80) {
        *place++ = (char)character;
        return place;
    }
    if (character < 0x800) {
        *place++ = (char)(0xc0 | character >> 6);
    } else {
        if (character < 0x10000) {
            *place++ = (char)(0xe0 | character >> 12);
        } else {
            *place++ = (char)(0xf0 | character >> 18);
            *place++ = (char)(0x80 | (character >> 12 & 0x3f));
        }
        *place++ = (char)(0x80 | (character >> 6 & 0x3f));
    }
    *place++ = (char)(0x80 | (character & 0x3f));
    return place;
}

void
slice_string(struct slice string, const char **ret_text, size_t *ret_size, char **ret_owned)
{
    struct scan scan;
    unsigned character;
    char *place;

    assert(string.size >= 2 && *string.text == '"');
    *ret_text = string.text + 1;
    *ret_size = string.size - 2;
    *ret_owned = NULL;
    if (!memchr(string.text, '\\', string.size))
        return;
    *ret_owned = place = xalloc(string.size); /* an escape is longer than what it stands for */
    scan_inside(&scan, string);
    while (scan.at < scan.end) {
        if (!scan_character(&scan, '\\'))
            *place++ = *scan.at++;
        else if (scan_escape(&scan, &character))
            place = append_utf8(place, character);
    }
    *ret_text = *ret_owned;
    *ret_size = (size_t)(place - *ret_owned);
}

bool
slice_is_string(struct slice string, const char *text, size_t size)
{
    _cleanup_free_ char *owned = NULL;
    const char *content;
    size_t content_size;

    slice_string(string, &content, &content_size, &owned);
    return content_size == size && memcmp(content, text, size) == 0;
}

bool
slice_same_string(struct slice one, struct slice other)
{
    _cleanup_free_ char *owned = NULL;
    const char *content;
    size_t size;

    slice_string(one, &content, &size, &owned);
    return slice_is_string(other, content, size);
}

bool
slice_is_number(struct slice value)
{
    return *value.text == '-' || (*value.text >= '0' && *value.text <= '9');
}

const char *
slice_kind(struct slice value)
{
    switch (*value.text) {
    case '"': return "a string";
    case '{': return "an object";
    case '[': return "an array";
    case 't':
    case 'f': return "a boolean";
    case 'n': return "null";
    default: return "a number";
    }
}
