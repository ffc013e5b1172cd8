/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/intern.h"

#include <string.h>

#include "agent/base/cleanup.h"

#define INTERN_MAX 4096

void
intern_done(struct intern *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->texts[i]);
    free(table->texts);
    *table = (struct intern){ 0 };
}

uint64_t
intern_number(struct intern *table, const char *text)
{
    if (!text)
        return 0;
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->texts[i], text) == 0)
            return i + 1;
    if (table->count == INTERN_MAX)
        return 0;
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 8;
        table->texts = xrealloc(table->texts, table->capacity * sizeof(table->texts[0]));
    }
    table->texts[table->count] = xstrdup(text);
    return ++table->count;
}

const char *
intern_text(const struct intern *table, uint64_t number)
{
    return number ? table->texts[number - 1] : NULL;
}
