/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for people: columns aligned, the wide ones cut until a row fits the terminal.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/cleanup.h"
#include "ctl/visible.h"

struct table;

struct table *table_new(void);
void table_free(struct table *table);
DEFINE_CLEANUP(struct table, table_free)

/* All columns first.  'right': numbers; 'shrinks': may be cut when the terminal is narrow. */
void table_column(struct table *table, const char *heading, bool right, bool shrinks);
/* Row by row, from the left; 'text' is any text, control characters are neutralised here. */
void table_cell(struct table *table, const char *text, enum colour colour);
size_t table_row_count(const struct table *table);
/* 'width' columns at most where the shrinking ones allow it, 0: as wide as it is; each line begins
   with 'indent' spaces. */
void table_write(const struct table *table, size_t width, size_t indent, bool colours,
                 struct text *ret_text);

#endif
