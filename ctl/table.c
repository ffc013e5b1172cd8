/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/table.h"

#include <assert.h>

#define GAP 2          /* spaces between columns */
#define SHRUNK_WIDTH 8 /* no column is cut below this */

struct column {
    char *heading;
    bool right, shrinks;
    size_t width; /* of its widest cell */
};

struct cell {
    char *text; /* visible */
    enum colour colour;
};

struct table {
    struct column *columns;
    size_t column_count;
    struct cell *cells;
    size_t cell_count, cell_capacity;
};

struct table *
table_new(void)
{
    return xalloc(sizeof(struct table));
}

void
table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->column_count; i++)
        free(table->columns[i].heading);
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i].text);
    free(table->columns);
    free(table->cells);
    free(table);
}

void
table_column(struct table *table, const char *heading, bool right, bool shrinks)
{
    assert(table->cell_count == 0);
    table->columns = xrealloc(table->columns, (table->column_count + 1) * sizeof(*table->columns));
    table->columns[table->column_count++] = (struct column){
        .heading = xstrdup(heading),
        .right = right,
        .shrinks = shrinks,
        .width = visible_width(heading),
    };
}

void
table_cell(struct table *table, const char *text, enum colour colour)
{
    struct column *column = &table->columns[table->cell_count % table->column_count];
    _cleanup_text_ struct text shown = TEXT_INIT;
    size_t width;

    visible_append_string(&shown, text);
    if (table->cell_count == table->cell_capacity) {
        table->cell_capacity = table->cell_capacity ? 2 * table->cell_capacity : 64;
        table->cells = xrealloc(table->cells, table->cell_capacity * sizeof(*table->cells));
    }
    table->cells[table->cell_count] = (struct cell){ .text = text_take(&shown), .colour = colour };
    width = visible_width(table->cells[table->cell_count++].text);
    if (width > column->width)
        column->width = width;
}

size_t
table_row_count(const struct table *table)
{
    return table->column_count ? table->cell_count / table->column_count : 0;
}

/* Takes from the widest that shrinks, one column of the terminal at a time. */
static void
shrink(const struct table *table, size_t *widths, size_t room)
{
    size_t total = table->column_count ? (table->column_count - 1) * GAP : 0;

    for (size_t i = 0; i < table->column_count; i++)
        total += widths[i];
    while (total > room) {
        size_t widest = SIZE_MAX;

        for (size_t i = 0; i < table->column_count; i++)
            if (table->columns[i].shrinks && widths[i] > SHRUNK_WIDTH &&
                (widest == SIZE_MAX || widths[i] > widths[widest]))
                widest = i;
        if (widest == SIZE_MAX)
            return;
        widths[widest]--;
        total--;
    }
}

static void
spaces(struct text *text, size_t count)
{
    while (count-- > 0)
        text_append_char(text, ' ');
}

static void
write_cell(const struct column *column, size_t width, const char *shown, enum colour colour,
           bool colours, bool last, struct text *text)
{
    _cleanup_text_ struct text cut = TEXT_INIT;
    size_t used;

    visible_append_cut(&cut, shown, width);
    used = cut.bytes ? visible_width(cut.bytes) : 0;
    if (column->right)
        spaces(text, width - used);
    text_printf(text, "%s%s%s", visible_colour(colour, colours), cut.bytes ? cut.bytes : "",
                visible_plain(colours && colour != COLOUR_NONE));
    if (!last)
        spaces(text, (column->right ? 0 : width - used) + GAP);
}

void
table_write(const struct table *table, size_t width, size_t indent, bool colours,
            struct text *ret_text)
{
    size_t *widths = xalloc((table->column_count + 1) * sizeof(*widths));
    size_t rows = table_row_count(table);

    for (size_t i = 0; i < table->column_count; i++)
        widths[i] = table->columns[i].width;
    if (width > 0)
        shrink(table, widths, width > indent ? width - indent : 1);
    for (size_t row = 0; row <= rows; row++) {
        spaces(ret_text, indent);
        for (size_t i = 0; i < table->column_count; i++) {
            const struct column *column = &table->columns[i];
            const struct cell *cell =
                row ? &table->cells[(row - 1) * table->column_count + i] : NULL;

            write_cell(column, widths[i], cell ? cell->text : column->heading,
                       cell ? cell->colour : COLOUR_BOLD, colours, i + 1 == table->column_count,
                       ret_text);
        }
        while (ret_text->length > 0 && ret_text->bytes[ret_text->length - 1] == ' ')
            ret_text->bytes[--ret_text->length] = '\0';
        text_append_char(ret_text, '\n');
    }
    free(widths);
}
