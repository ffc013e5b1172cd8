/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of a command whose number is known only when it is made: for gluster_command.arguments.
 */
#ifndef GLUSTER_ARGUMENTS_H
#define GLUSTER_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/cleanup.h"

struct arguments {
    char **all; /* owned, NULL-terminated; NULL: none yet */
    size_t count;
};

void arguments_done(struct arguments *arguments);
#define _cleanup_arguments_ _cleanup_(arguments_done)

/* Appends a copy. */
void arguments_add(struct arguments *arguments, const char *word);
/* Appends each of a NULL-terminated array; NULL is fine. */
void arguments_add_all(struct arguments *arguments, const char *const *words);
/* Appends both, unless the number is 0: "replica 3". */
void arguments_add_count(struct arguments *arguments, const char *word, int64_t count);
/* For gluster_command.arguments; lives as long as 'arguments' does and nothing is appended. */
const char *const *arguments_list(const struct arguments *arguments);

/* Of NULL-terminated arrays; NULL has none. */
size_t texts_count(char *const *texts);
bool texts_have(char *const *texts, const char *text);

#endif
