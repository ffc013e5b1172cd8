/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte string, always NUL-terminated once something was appended.
 *
 * { } or TEXT_INIT is an empty one.  Memory is had by xrealloc (dies when there is none), so
 * whoever appends input bounds it first.
 */
#ifndef AGENT_BASE_TEXT_H
#define AGENT_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "agent/base/cleanup.h"

struct text {
    char *bytes;     /* owned; NULL while nothing was appended */
    size_t length;   /* without the NUL */
    size_t capacity; /* bytes allocated */
};

#define TEXT_INIT ((struct text){ NULL, 0, 0 })
#define _cleanup_text_ _cleanup_(text_done)

void text_done(struct text *text);
/* Empties it but keeps the memory. */
void text_clear(struct text *text);
/* Room for 'size' more bytes and the NUL; returns where they go.  text_grow() makes them count. */
char *text_reserve(struct text *text, size_t size);
void text_grow(struct text *text, size_t size);
void text_append(struct text *text, const void *bytes, size_t size);
void text_append_string(struct text *text, const char *string);
void text_append_char(struct text *text, char character);
void text_printf(struct text *text, const char *format, ...) _printf_(2, 3);
void text_vprintf(struct text *text, const char *format, va_list arguments) _printf_(2, 0);
/* Hands the string out (never NULL, to be freed by the caller) and leaves 'text' empty. */
char *text_take(struct text *text);

#endif
