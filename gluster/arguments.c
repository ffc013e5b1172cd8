/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/arguments.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void
arguments_done(struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++)
        free(arguments->all[i]);
    free(arguments->all);
    *arguments = (struct arguments){ 0 };
}

void
arguments_add(struct arguments *arguments, const char *word)
{
    arguments->all = xrealloc(arguments->all, (arguments->count + 2) * sizeof(char *));
    arguments->all[arguments->count++] = xstrdup(word);
    arguments->all[arguments->count] = NULL;
}

void
arguments_add_all(struct arguments *arguments, const char *const *words)
{
    for (size_t i = 0; words && words[i]; i++)
        arguments_add(arguments, words[i]);
}

void
arguments_add_count(struct arguments *arguments, const char *word, int64_t count)
{
    _cleanup_free_ char *number = count ? xprintf("%" PRId64, count) : NULL;

    if (!number)
        return;
    arguments_add(arguments, word);
    arguments_add(arguments, number);
}

const char *const *
arguments_list(const struct arguments *arguments)
{
    static const char *const none[] = { NULL };

    return arguments->all ? (const char *const *)arguments->all : none;
}

size_t
texts_count(char *const *texts)
{
    size_t count = 0;

    while (texts && texts[count])
        count++;
    return count;
}

bool
texts_have(char *const *texts, const char *text)
{
    for (; texts && *texts; texts++)
        if (strcmp(*texts, text) == 0)
            return true;
    return false;
}
