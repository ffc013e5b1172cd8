/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of the shell as words: 'single', "double" and \ quote, as people know it from sh.
 */
#ifndef CTL_WORDS_H
#define CTL_WORDS_H

#include "agent/base/error.h"

struct words {
    char **all; /* owned */
    size_t count;
};

/* Error: InvalidParams for a quote that is not closed. */
bool words_split(const char *line, struct words *ret_words, struct error **err) _must_check_;
void words_done(struct words *words);

#endif
