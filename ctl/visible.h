/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text as a terminal may show it.
 *
 * What the agent sends is data of other people (names, user data, messages of programs): no
 * control character of it ever reaches a terminal, so that no image's name can move the cursor,
 * change the title or paste a command.  Also widths in columns, and sizes and times for people.
 */
#ifndef CTL_VISIBLE_H
#define CTL_VISIBLE_H

#include <stdint.h>

#include "agent/base/text.h"

#define VISIBLE_SIZE_TEXT 24 /* bytes that visible_size() and visible_duration() need at most */

enum colour { COLOUR_NONE, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_BLUE, COLOUR_BOLD };

/* Once: widths of characters as in UTF-8, whatever the user's locale is. */
void visible_open(void);

/* Appends 'bytes' with control characters (C0, DEL, C1), direction overrides and bytes that are
   not UTF-8 written as \x1b or \u202e; 'newlines' lets line feeds pass. */
void visible_append(struct text *text, const char *bytes, size_t size, bool newlines);
void visible_append_string(struct text *text, const char *string);
/* Columns that 'string' (already visible) takes on a terminal. */
size_t visible_width(const char *string);
/* Appends as much of 'string' (already visible) as fits into 'width' columns; '…' marks a cut. */
void visible_append_cut(struct text *text, const char *string, size_t width);
/* JSON text, made safe in place: what visible_append() hides becomes \uXXXX, still the same JSON. */
void visible_append_json(struct text *text, const char *json);

/* The escape sequence that begins 'colour', or "" when !wanted. */
const char *visible_colour(enum colour colour, bool wanted);
const char *visible_plain(bool wanted);

/* 1536 → "1.5 KiB". */
void visible_size(uint64_t bytes, char ret_text[VISIBLE_SIZE_TEXT]);
/* 3725 → "1:02:05", 65 → "1:05". */
void visible_duration(uint64_t seconds, char ret_text[VISIBLE_SIZE_TEXT]);

#endif
