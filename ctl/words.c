/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/words.h"

#include <string.h>

#include "agent/base/text.h"

static void
add(struct words *words, struct text *word)
{
    words->all = xrealloc(words->all, (words->count + 2) * sizeof(char *));
    words->all[words->count++] = text_take(word);
    words->all[words->count] = NULL;
}

/* Reads one word from '*at' on. */
static bool
read_word(const char **at, struct text *word, struct error **err)
{
    char quote = '\0';

    for (; **at && (quote || !strchr(" \t\r\n", **at)); (*at)++) {
        if (**at == '\\' && quote != '\'' && (*at)[1]) {
            (*at)++;
            text_append_char(word, **at);
        } else if (quote ? **at == quote : **at == '\'' || **at == '"') {
            quote = quote ? '\0' : **at;
        } else {
            text_append_char(word, **at);
        }
    }
    if (quote)
        return error_set(err, ERROR_INVALID_PARAMS, "a quote %c is not closed", quote);
    return true;
}

bool
words_split(const char *line, struct words *ret_words, struct error **err)
{
    _cleanup_(words_done) struct words words = { 0 };

    for (const char *at = line + strspn(line, " \t\r\n"); *at; at += strspn(at, " \t\r\n")) {
        _cleanup_text_ struct text word = TEXT_INIT;

        if (!read_word(&at, &word, err))
            return false;
        add(&words, &word);
    }
    *ret_words = words;
    words = (struct words){ 0 };
    return true;
}

void
words_done(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->all[i]);
    free(words->all);
    *words = (struct words){ 0 };
}
