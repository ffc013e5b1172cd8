/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/range.h"

#include <string.h>
#include <strings.h>

#define DIGITS_MAX 18 /* all that these say fits a signed 64-bit number, and so do sums of two */

/* Digits alone: strtoull() takes signs and blanks as well. */
static bool
take_number(const char **place, uint64_t *ret_number)
{
    size_t length = strspn(*place, "0123456789");
    uint64_t number = 0;

    if (length == 0 || length > DIGITS_MAX)
        return false;
    for (; length > 0; length--)
        number = number * 10 + (uint64_t)(*(*place)++ - '0');
    *ret_number = number;
    return true;
}

static bool
take_text(const char **place, const char *text)
{
    size_t length = strlen(text);

    if (strncasecmp(*place, text, length) != 0)
        return false;
    *place += length;
    return true;
}

static void
skip_blanks(const char **place)
{
    *place += strspn(*place, " \t");
}

enum range_kind
range_parse(const char *header, struct resource_range *ret_range)
{
    struct resource_range range = { .given = true, .last = UINT64_MAX };

    skip_blanks(&header);
    if (!take_text(&header, "bytes="))
        return RANGE_WRONG;
    skip_blanks(&header);
    range.suffix = *header == '-';
    if (range.suffix)
        header++;
    if (!take_number(&header, &range.first))
        return RANGE_WRONG;
    if (!range.suffix) {
        if (!take_text(&header, "-"))
            return RANGE_WRONG;
        if (strspn(header, "0123456789") > 0 &&
            (!take_number(&header, &range.last) || range.last < range.first))
            return RANGE_WRONG;
    }
    skip_blanks(&header);
    if (*header == ',')
        return RANGE_SEVERAL;
    if (*header)
        return RANGE_WRONG;
    *ret_range = range;
    return RANGE_GOOD;
}

bool
content_range_parse(const char *header, struct resource_range *ret_range)
{
    struct resource_range range = { .given = true };
    uint64_t size;

    skip_blanks(&header);
    if (!take_text(&header, "bytes") || (*header != ' ' && *header != '\t'))
        return false;
    skip_blanks(&header);
    if (!take_number(&header, &range.first) || !take_text(&header, "-") ||
        !take_number(&header, &range.last) || range.last < range.first || !take_text(&header, "/"))
        return false;
    if (*header == '*')
        header++;
    else if (!take_number(&header, &size) || size <= range.last)
        return false;
    skip_blanks(&header);
    if (*header)
        return false;
    *ret_range = range;
    return true;
}
