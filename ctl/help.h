/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --help at each level, and the command reference of hostler(1), from the verbs.
 */
#ifndef CTL_HELP_H
#define CTL_HELP_H

#include <stdio.h>

#include "agent/base/text.h"
#include "ctl/arguments.h"

/* Of the program, a resource or a command, as far as 'invocation' names them. */
void help_print(const struct verbs *verbs, const struct invocation *invocation, FILE *file);
/* The same, appended; 'width' columns. */
void help_write(const struct verbs *verbs, const struct invocation *invocation, size_t width,
                struct text *text);
/* roff: the sections COMMANDS and COMMON FLAGS of hostler(1). */
void manual_write(const struct verbs *verbs, struct text *text);

#endif
