/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings that many records share, by number: callers, kinds of objects, units.
 *
 * Never given back, and bounded: there are few of each.  Loop only.
 */
#ifndef AGENT_INTERN_H
#define AGENT_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct intern {
    char **texts; /* owned */
    size_t count, capacity;
};

void intern_done(struct intern *table);
/* The number of 'text', from 1; 0 stands for NULL, and for what there is no room for. */
uint64_t intern_number(struct intern *table, const char *text);
const char *intern_text(const struct intern *table, uint64_t number);

#endif
