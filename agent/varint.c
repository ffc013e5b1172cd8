/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/varint.h"

void
varint_put(struct text *text, uint64_t value)
{
    while (value >= 0x80) {
        text_append_char(text, (char)(value | 0x80));
        value >>= 7;
    }
    text_append_char(text, (char)value);
}

void
varint_put_string(struct text *text, const char *string, size_t length)
{
    varint_put(text, string ? length + 1 : 0);
    text_append(text, string, string ? length : 0);
}

uint64_t
varint_get(const unsigned char **at)
{
    uint64_t value = 0;

    for (unsigned shift = 0;; shift += 7) {
        unsigned char byte = *(*at)++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

const char *
varint_get_string(const unsigned char **at, size_t *ret_length)
{
    uint64_t length = varint_get(at);
    const char *string = (const char *)*at;

    if (length == 0) {
        *ret_length = 0;
        return NULL;
    }
    *ret_length = length - 1;
    *at += length - 1;
    return string;
}
