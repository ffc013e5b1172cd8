/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/completion.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ctl/local.h"
#include "ctl/output.h"
#include "ctl/record.h"

/* The words so far, understood. */
struct place {
    const struct verbs *verbs;
    const char *resource;
    const struct command *command;
    bool helps;              /* 'help' came first: no flags follow */
    const struct flag *flag; /* whose value is to come; or NULL */
    const struct flag *more; /* a record's, which may go on; or NULL */
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
    "        if [[ $word == '=' && ${#words[@]} -gt 0 ]]; then\n"
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
    "    joined=${words[-1]%\"$current\"}\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r word; do\n"
    "        if [[ $word == ':files' ]]; then\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- \"$current\")\n"
    "        else\n"
    "            [[ $word == *= ]] && compopt -o nospace 2>/dev/null\n"
    "            COMPREPLY+=(\"${word#\"$joined\"}\")\n"
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

            place->more = NULL;
            if (!flag || flag->type == FLAG_BOOL)
                continue;
            if (++i >= count)
                place->flag = flag;
            else if (flag->type == FLAG_RECORD || flag->type == FLAG_RECORDS)
                place->more = flag;
        } else if (place->more) {
            continue;
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

/* A member of a record that is being written. */
struct member_place {
    const char *prefix; /* the word up to the member */
    const char *item;   /* what there is of the member */
    size_t name_length; /* of the item's, when its '=' is there */
    struct text *text;
};

static void
offer_member_value(struct member_place *place, const char *name, const struct flag *member)
{
    const char *value = place->item + place->name_length + 1;
    _cleanup_free_ char *before = xprintf("%s%s=", place->prefix, name);
    _cleanup_free_ char *word = xprintf("%s%s", before, value);

    for (size_t i = 0; member->choices && member->choices[i]; i++)
        offer(place->text, word, before, member->choices[i]);
    if (member->type == FLAG_BOOL) {
        offer(place->text, word, before, "true");
        offer(place->text, word, before, "false");
    }
}

static void
offer_member(void *context, const char *name, const struct flag *member)
{
    struct member_place *place = context;
    _cleanup_free_ char *word = xprintf("%s%s", place->prefix, place->item);
    _cleanup_free_ char *candidate = xprintf("%s%s", name, member->type == FLAG_BOOL ? "" : "=");

    if (place->item[place->name_length] != '=')
        offer(place->text, word, place->prefix, candidate);
    else if (strlen(name) == place->name_length &&
             strncmp(name, place->item, place->name_length) == 0)
        offer_member_value(place, name, member);
}

/* --disks repository=fast,boot-or: whole words, so that bash and readline can each cut where they break. */
static void
offer_members(const struct flag *flag, const char *partial, struct text *text)
{
    const char *comma = strrchr(partial, ',');
    const char *item = comma ? comma + 1 : partial;
    _cleanup_free_ char *prefix = xstrndup(partial, (size_t)(item - partial));
    struct member_place place = {
        .prefix = prefix, .item = item, .name_length = strcspn(item, "="), .text = text
    };

    record_members(flag, offer_member, &place);
}

/* Values that can be told beforehand. */
static void
offer_values(const struct flag *flag, const char *partial, struct text *text, bool *ret_files)
{
    const struct flag *common = common_flag(flag->name);

    if (flag->type == FLAG_RECORD || flag->type == FLAG_RECORDS)
        offer_members(flag, partial, text);
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
    if (place.flag || (place.more && partial[0] != '-')) {
        offer_values(place.flag ? place.flag : place.more, partial, text, ret_files);
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
