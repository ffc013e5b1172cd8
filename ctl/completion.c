/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/completion.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ctl/local.h"
#include "ctl/output.h"

/* The words so far, understood. */
struct place {
    const struct verbs *verbs;
    const char *resource;
    const struct command *command;
    bool helps;              /* 'help' came first: no flags follow */
    const struct flag *flag; /* whose value is to come; or NULL */
};

/* Asks the program itself, so it cannot be out of date.  bash breaks words at '=', which is undone. */
static const char bash_script[] =
    "# bash completion for hostler; made by 'hostler completion bash'.\n"
    "_hostler()\n"
    "{\n"
    "    local -a words=()\n"
    "    local word index joined='' current=${COMP_WORDS[COMP_CWORD]}\n"
    "    for ((index = 1; index <= COMP_CWORD; index++)); do\n"
    "        word=${COMP_WORDS[index]}\n"
    "        if [[ $word == '=' && ${#words[@]} -gt 0 && ${words[-1]} == --* ]]; then\n"
    "            words[-1]+='='\n"
    "            joined=yes\n"
    "        elif [[ -n $joined ]]; then\n"
    "            words[-1]+=$word\n"
    "            joined=''\n"
    "        else\n"
    "            words+=(\"$word\")\n"
    "        fi\n"
    "    done\n"
    "    [[ $current == '=' ]] && current=''\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r word; do\n"
    "        if [[ $word == ':files' ]]; then\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- \"$current\")\n"
    "        else\n"
    "            COMPREPLY+=(\"$word\")\n"
    "        fi\n"
    "    done < <(\"${COMP_WORDS[0]}\" --complete \"${words[@]}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _hostler hostler\n";

static void
offer(struct text *text, const char *partial, const char *prefix, const char *word)
{
    size_t length = strlen(partial), prefix_length = strlen(prefix);

    /* Resources in any case: the candidate takes over what was typed. */
    if (strncasecmp(partial, prefix, length < prefix_length ? length : prefix_length) != 0)
        return;
    if (length > prefix_length &&
        strncasecmp(partial + prefix_length, word, length - prefix_length) != 0)
        return;
    text_printf(text, "%s%s\n", prefix, word);
}

static const struct flag *
flag_named(const struct place *place, const char *name)
{
    const struct flag *flag = place->command ? command_flag(place->command, name) : NULL;

    return flag ? flag : common_flag(name);
}

static void
understand(struct place *place, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *word = words[i];

        if (strncmp(word, "--", 2) == 0) {
            const struct flag *flag = strchr(word, '=') ? NULL : flag_named(place, word + 2);

            if (flag && flag->type != FLAG_BOOL && ++i >= count)
                place->flag = flag;
        } else if (!place->resource && !place->helps && strcmp(word, "help") == 0) {
            place->helps = true;
        } else if (!place->resource) {
            place->resource = verbs_resource(place->verbs, word);
            if (place->resource)
                place->command = verbs_find(place->verbs, place->resource, "");
        } else if (!place->command) {
            place->command = verbs_find(place->verbs, place->resource, word);
        }
    }
}

/* Values that can be told beforehand. */
static void
offer_values(const struct flag *flag, const char *partial, struct text *text, bool *ret_files)
{
    const struct flag *common = common_flag(flag->name);

    for (size_t i = 0; flag->choices && flag->choices[i]; i++)
        offer(text, partial, "", flag->choices[i]);
    if (common && common != flag) /* image create --format: the common one's, too */
        for (size_t i = 0; common->choices && common->choices[i]; i++)
            offer(text, partial, "", common->choices[i]);
    if (flag->type == FLAG_BOOL) {
        offer(text, partial, "", "true");
        offer(text, partial, "", "false");
    }
    *ret_files = flag->type == FLAG_PATH;
}

static void
offer_flags(const struct place *place, const char *partial, struct text *text)
{
    const struct command *command = place->command;

    for (size_t i = 0; command && i < command->flag_count; i++)
        offer(text, partial, "--", command->flags[i].name);
    for (const struct flag *flag = common_flags; flag->name; flag++)
        if (!command || !command_flag(command, flag->name))
            offer(text, partial, "--", flag->name);
}

static void
offer_words(const struct place *place, const char *partial, struct text *text)
{
    const struct command *command;

    if (!place->resource) {
        for (size_t i = 0; verbs_resource_at(place->verbs, i); i++)
            offer(text, partial, "", verbs_resource_at(place->verbs, i));
        if (!place->helps)
            offer(text, partial, "", "help");
        return;
    }
    for (size_t i = 0; (command = verbs_at(place->verbs, i)); i++)
        if (strcmp(command->resource, place->resource) == 0)
            offer(text, partial, "", command->name);
}

void
completion_candidates(const struct verbs *verbs, const char *const *words, size_t count,
                      const char *partial, struct text *text, bool *ret_files)
{
    struct place place = { .verbs = verbs };
    const char *equals = strchr(partial, '=');

    *ret_files = false;
    understand(&place, words, count);
    if (place.flag) {
        offer_values(place.flag, partial, text, ret_files);
    } else if (strncmp(partial, "--", 2) == 0 && equals) {
        _cleanup_free_ char *name = xstrndup(partial + 2, (size_t)(equals - partial - 2));
        const struct flag *flag = flag_named(&place, name);

        if (flag)
            offer_values(flag, equals + 1, text, ret_files);
    } else if (partial[0] == '-' || (place.command && !place.helps)) {
        if (!place.helps)
            offer_flags(&place, partial, text);
    } else if (!place.command) {
        offer_words(&place, partial, text);
    }
}

void
completion_answer(const struct verbs *verbs, const char *const *words, size_t count)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    const char *partial = count > 0 ? words[count - 1] : "";
    bool files = false;

    completion_candidates(verbs, words, count > 0 ? count - 1 : 0, partial, &text, &files);
    if (text.length > 0)
        (void)fputs(text.bytes, stdout);
    if (files)
        (void)puts(":files");
}

enum status
completion_run(struct session *session, const struct invocation *invocation)
{
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)session;
    text_append_string(&text, bash_script);
    if (output_text(&invocation->settings, &text, &error))
        return STATUS_DONE;
    output_error(error);
    return STATUS_USAGE;
}
