/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's answers for people: lists as tables, single objects as 'key: value' lines.
 *
 * Nothing here knows single verbs but for the choice of a list's columns; an answer of a newer
 * agent is shown by its own names.
 */
#ifndef CTL_RESULT_H
#define CTL_RESULT_H

#include <jansson.h>

#include "agent/base/text.h"
#include "ctl/visible.h"

/* 'width' 0: as wide as it is. */
void result_write(const json_t *result, size_t width, bool colours, struct text *text);
/* One value as it stands in a cell or behind a key: sizes for people, objects by their names.
   Not yet neutralised.  'with_bytes': a size is followed by its exact number. */
void result_value(const char *key, const json_t *value, bool with_bytes, struct text *text);
/* States and outcomes have colours. */
enum colour result_colour(const char *key, const json_t *value);
/* The report of a task: a table of its steps. */
void result_steps(const json_t *steps, size_t width, size_t indent, bool colours,
                  struct text *text);

#endif
