/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may come next: for bash, which asks the program each time, and for the shell.
 */
#ifndef CTL_COMPLETION_H
#define CTL_COMPLETION_H

#include "agent/base/text.h"
#include "ctl/verbs.h"

/*
 * Appends, a line each, the words that may stand for 'partial' behind 'words': resources, commands,
 * flags, choices.  '*ret_files': file names may stand there instead.
 */
void completion_candidates(const struct verbs *verbs, const char *const *words, size_t count,
                           const char *partial, struct text *text, bool *ret_files);
/* The hidden 'hostler --complete WORD…', the last being the partial one: prints the candidates,
   then a line ':files' if file names may stand there. */
void completion_answer(const struct verbs *verbs, const char *const *words, size_t count);

#endif
