/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where what we say goes: results to standard output or --output, all else to standard error.
 */
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <jansson.h>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "ctl/arguments.h"

bool output_is_terminal(int fd);
/* A terminal, and NO_COLOR is unset (or empty). */
bool output_colours(int fd);
/* Columns of the terminal; 80 when it does not tell; 0 when 'fd' is none. */
size_t output_width(int fd);
size_t output_height(int fd);

/* A result, as --format and --output have it.  Error: the file cannot be written. */
bool output_result(const struct settings *settings, const json_t *result, struct error **err)
    _must_check_;
/* Text as it stands, to standard output or --output. */
bool output_text(const struct settings *settings, const struct text *text, struct error **err)
    _must_check_;
/* 'indented' pretty JSON and a line feed, no control characters in it; appended. */
void output_json(const json_t *value, bool indented, struct text *text);

/* "hostler: TEXT" on standard error, control characters neutralised. */
void output_complain(const char *format, ...) _printf_(1, 2);
/* As it stands above, for one of our own errors. */
void output_error(const struct error *error);

#endif
