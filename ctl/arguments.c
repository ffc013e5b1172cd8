/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/arguments.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "agent/base/text.h"
#include "ctl/address.h"
#include "ctl/record.h"
#include "ctl/suggestion.h"
#include "ctl/values.h"

enum {
    URL,
    TOKEN_FILE,
    TLS_CA,
    TLS_CERT,
    TLS_KEY,
    ID,
    ONCE,
    IF_INSTANCE,
    WAIT,
    FORMAT,
    OUTPUT,
    TIMEOUT,
    HELP,
    VERSION_FLAG
};

const struct flag common_flags[] = {
    [URL] = { .name = "url",
              .value = "URL",
              .type = FLAG_TEXT,
              .about = "Where the agent is: unix:PATH, ws://HOST:PORT or wss://HOST:PORT; default "
                       "HOSTLER_URL, else " ADDRESS_DEFAULT_URL "." },
    [TOKEN_FILE] = { .name = "token-file",
                     .value = "FILE",
                     .type = FLAG_PATH,
                     .about =
                         "Holds the token for ws:// ('ROLE TOKEN' or the token alone); default "
                         "HOSTLER_TOKEN_FILE." },
    [TLS_CA] = { .name = "tls-ca",
                 .value = "FILE",
                 .type = FLAG_PATH,
                 .about = "Certificate of the authority that signed the agent's, for wss://." },
    [TLS_CERT] = { .name = "tls-cert",
                   .value = "FILE",
                   .type = FLAG_PATH,
                   .about = "Our certificate, for wss://." },
    [TLS_KEY] = { .name = "tls-key",
                  .value = "FILE",
                  .type = FLAG_PATH,
                  .about = "Its key, for wss://." },
    [ID] = { .name = "id",
             .value = "TASK",
             .type = FLAG_TEXT,
             .about = "The task's id, chosen by you; default a fresh UUID." },
    [ONCE] = { .name = "once",
               .type = FLAG_BOOL,
               .about =
                   "If a task of this id runs or has ended, take its answer instead of running "
                   "again." },
    [IF_INSTANCE] = { .name = "if-instance",
                      .value = "INSTANCE",
                      .type = FLAG_TEXT,
                      .about = "Refuse if the agent has restarted since it was this instance." },
    [WAIT] = { .name = "wait",
               .type = FLAG_BOOL,
               .about = "Stay until the task has ended and show its progress." },
    [FORMAT] = { .name = "format",
                 .type = FLAG_CHOICE,
                 .fallback = "table",
                 .choices = (const char *const[]){ "table", "json", NULL },
                 .about = "For people or for scripts." },
    [OUTPUT] = { .name = "output",
                 .value = "FILE",
                 .type = FLAG_PATH,
                 .about =
                     "Write the result there, whole or not at all, instead of standard output." },
    [TIMEOUT] = { .name = "timeout",
                  .value = "SECONDS",
                  .type = FLAG_TEXT,
                  .about = "Wait no longer; the task goes on without us." },
    [HELP] = { .name = "help", .type = FLAG_BOOL, .about = "This text." },
    [VERSION_FLAG] = { .name = "version", .type = FLAG_BOOL, .about = "Print the version." },
    { 0 },
};

struct parser {
    const struct verbs *verbs;
    const char *const *words;
    size_t count, at;
    unsigned seen; /* bit per common flag */
    struct invocation *invocation;
};

static bool parse_flag(struct parser *parser, struct error **err);
static bool parse_word(struct parser *parser, const char *word, struct error **err);
static bool finish(struct parser *parser, struct error **err);

const struct flag *
common_flag(const char *name)
{
    for (const struct flag *flag = common_flags; flag->name; flag++)
        if (strcmp(flag->name, name) == 0)
            return flag;
    return NULL;
}

void
settings_init(struct settings *settings)
{
    const char *url = getenv("HOSTLER_URL"), *token_file = getenv("HOSTLER_TOKEN_FILE");

    *settings = (struct settings){ 0 };
    settings->url = url && *url ? url : ADDRESS_DEFAULT_URL;
    settings->token_file = token_file && *token_file ? token_file : NULL;
}

bool
arguments_parse(const struct verbs *verbs, const struct settings *defaults,
                const char *const *words, size_t count, struct invocation *ret_invocation,
                struct error **err)
{
    struct parser parser = {
        .verbs = verbs, .words = words, .count = count, .invocation = ret_invocation
    };

    *ret_invocation = (struct invocation){ .settings = *defaults, .params = json_object() };
    assert(ret_invocation->params);
    for (parser.at = 0; parser.at < count;) {
        const char *word = words[parser.at];

        if (strncmp(word, "--", 2) == 0 && word[2]) {
            if (!parse_flag(&parser, err))
                return false;
            continue;
        }
        parser.at++;
        if (strcmp(word, "-h") == 0)
            ret_invocation->help = true;
        else if (!parse_word(&parser, word, err))
            return false;
    }
    return finish(&parser, err);
}

void
invocation_done(struct invocation *invocation)
{
    json_decref(invocation->params);
    *invocation = (struct invocation){ 0 };
}

static bool
refuse_resource(const struct parser *parser, const char *word, struct error **err)
{
    struct suggestion suggestion = SUGGESTION_FOR(word);
    _cleanup_text_ struct text all = TEXT_INIT;

    suggestion_offer(&suggestion, "help");
    for (size_t i = 0; verbs_resource_at(parser->verbs, i); i++) {
        suggestion_offer(&suggestion, verbs_resource_at(parser->verbs, i));
        text_printf(&all, "%s%s", i ? ", " : "", verbs_resource_at(parser->verbs, i));
    }
    if (suggestion.nearest)
        return error_set(err, ERROR_INVALID_PARAMS, "there is no resource '%s': did you mean '%s'?",
                         word, suggestion.nearest);
    return error_set(err, ERROR_INVALID_PARAMS, "there is no resource '%s': there are %s", word,
                     all.bytes);
}

static bool
refuse_command(const struct parser *parser, const char *word, struct error **err)
{
    const char *resource = parser->invocation->resource;
    struct suggestion suggestion = SUGGESTION_FOR(word);
    const struct command *command;

    for (size_t i = 0; (command = verbs_at(parser->verbs, i)); i++)
        if (strcmp(command->resource, resource) == 0)
            suggestion_offer(&suggestion, command->name);
    if (suggestion.nearest)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' has no command '%s': did you mean '%s'?",
                         resource, word, suggestion.nearest);
    return error_set(err, ERROR_INVALID_PARAMS, "'%s' has no command '%s'", resource, word);
}

static bool
refuse_extra(const struct parser *parser, const char *word, struct error **err)
{
    const struct command *command = parser->invocation->command;
    const struct flag *meant = NULL;

    /* 'hostler image status web1', and 'image copy --verify true'. */
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' stands alone: write it as --flag=%s",
                         word, word);
    for (size_t i = 0; i < command->flag_count; i++) {
        const struct flag *flag = &command->flags[i];

        if (flag->required && !json_object_get(parser->invocation->params, flag->param) &&
            (!meant || strcmp(flag->name, command->resource) == 0))
            meant = flag;
    }
    if (meant)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "'%s' stands alone, but every argument is a flag: did you mean --%s %s?",
                         word, meant->name, word);
    return error_set(err, ERROR_INVALID_PARAMS,
                     "'%s' stands alone: every argument is written --FLAG VALUE", word);
}

/* A word that is no flag: the resource, then the command. */
static bool
parse_word(struct parser *parser, const char *word, struct error **err)
{
    struct invocation *invocation = parser->invocation;

    if (word[0] == '-' && word[1] && invocation->command)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' is no flag: flags begin with '--'", word);
    if (!invocation->resource && !invocation->help && strcmp(word, "help") == 0) {
        invocation->help = true;
        return true;
    }
    if (!invocation->resource) {
        invocation->resource = verbs_resource(parser->verbs, word);
        if (!invocation->resource)
            return refuse_resource(parser, word, err);
        invocation->command = verbs_find(parser->verbs, invocation->resource, "");
        return true;
    }
    if (!invocation->command) {
        invocation->command = verbs_find(parser->verbs, invocation->resource, word);
        return invocation->command || refuse_command(parser, word, err);
    }
    return refuse_extra(parser, word, err);
}

static bool
refuse_flag(const struct parser *parser, const char *name, struct error **err)
{
    const struct command *command = parser->invocation->command;
    struct suggestion suggestion = SUGGESTION_FOR(name);

    for (size_t i = 0; command && i < command->flag_count; i++)
        suggestion_offer(&suggestion, command->flags[i].name);
    for (const struct flag *flag = common_flags; flag->name; flag++)
        suggestion_offer(&suggestion, flag->name);
    if (suggestion.nearest)
        return error_set(err, ERROR_INVALID_PARAMS, "there is no flag '--%s': did you mean '--%s'?",
                         name, suggestion.nearest);
    if (!command)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "there is no common flag '--%s': a command's own flags stand behind it",
                         name);
    return error_set(err, ERROR_INVALID_PARAMS, "'%s %s' has no flag '--%s'", command->resource,
                     command->name, name);
}

static bool
set_timeout(struct settings *settings, const char *value, struct error **err)
{
    char *end = NULL;

    settings->timeout_s = strtod(value, &end);
    if (end == value || *end || !isfinite(settings->timeout_s) || settings->timeout_s <= 0 ||
        settings->timeout_s > 1e8)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "--timeout: '%s' is not a number of seconds above 0", value);
    return true;
}

static bool
set_common(struct parser *parser, size_t which, const char *value, struct error **err)
{
    struct invocation *invocation = parser->invocation;
    struct settings *settings = &invocation->settings;
    const char **const strings[] = {
        [URL] = &settings->url,         [TOKEN_FILE] = &settings->token_file,
        [TLS_CA] = &settings->tls_ca,   [TLS_CERT] = &settings->tls_certificate,
        [TLS_KEY] = &settings->tls_key, [ID] = &settings->id,
        [OUTPUT] = &settings->output,   [IF_INSTANCE] = &settings->instance,
        [VERSION_FLAG] = NULL,
    };
    bool *const switches[] = {
        [ONCE] = &settings->once,
        [WAIT] = &settings->wait,
        [HELP] = &invocation->help,
        [VERSION_FLAG] = &invocation->version,
    };
    json_t *checked = NULL;

    if (parser->seen & 1U << which)
        return error_set(err, ERROR_INVALID_PARAMS, "--%s is given twice",
                         common_flags[which].name);
    parser->seen |= 1U << which;
    if (which == TIMEOUT)
        return set_timeout(settings, value, err);
    if (!value_parse(&common_flags[which], value, &checked, err))
        return false;
    json_decref(checked);
    if (strings[which] && !*value)
        return error_set(err, ERROR_INVALID_PARAMS, "--%s is empty", common_flags[which].name);
    if (which == FORMAT)
        settings->json = strcmp(value, "json") == 0;
    else if (strings[which])
        *strings[which] = value;
    else
        *switches[which] = value[0] == 't';
    return true;
}

/* Only memory can lack here. */
static void
must(int result)
{
    if (result != 0)
        abort();
}

/* --options a.b=1: one member of an object, whose other members may come by the same flag. */
static bool
set_member(struct parser *parser, const struct flag *flag, const char *text, struct error **err)
{
    json_t *params = parser->invocation->params, *object = json_object_get(params, flag->param);
    const char *equals = strchr(text, '=');
    _cleanup_free_ char *name = equals ? xstrndup(text, (size_t)(equals - text)) : NULL;
    json_t *value;

    if (!name || !*name)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "--%s: '%s' is neither NAME=VALUE nor a JSON object, as in "
                         "'{\"key\":\"value\"}'",
                         flag->name, text);
    if (json_object_get(object, name))
        return error_set(err, ERROR_INVALID_PARAMS, "--%s gives '%s' twice", flag->name, name);
    value = json_string(equals + 1);
    if (!value)
        return error_set(err, ERROR_INVALID_PARAMS, "--%s: the value of '%s' is not UTF-8",
                         flag->name, name);
    if (!object) {
        object = json_object();
        must(json_object_set_new(params, flag->param, object));
    }
    if (json_object_set_new(object, name, value) == 0)
        return true;
    return error_set(err, ERROR_INVALID_PARAMS, "--%s: a name is not UTF-8", flag->name);
}

static bool
set_record(struct parser *parser, const struct flag *flag, const char *text, struct error **err)
{
    json_t *params = parser->invocation->params;
    json_t *record = json_incref(json_object_get(params, flag->param));
    bool added = record_add(flag, text, &record, err);

    if (record)
        must(json_object_set_new(params, flag->param, record));
    return added;
}

static bool
set_param(struct parser *parser, const struct flag *flag, const char *text, struct error **err)
{
    json_t *params = parser->invocation->params, *present = json_object_get(params, flag->param);
    json_t *value = NULL;

    if (flag->type == FLAG_OBJECT && !strchr("{[", text[strspn(text, " \t\n")]))
        return set_member(parser, flag, text, err);
    if (flag->type == FLAG_RECORD || flag->type == FLAG_RECORDS)
        return set_record(parser, flag, text, err);
    if (present && flag->type != FLAG_TEXTS)
        return error_set(err, ERROR_INVALID_PARAMS, "--%s is given twice", flag->name);
    if (!value_parse(flag, text, &value, err))
        return false;
    if (flag->type == FLAG_TEXTS) {
        if (!present) {
            present = json_array();
            must(json_object_set_new(params, flag->param, present));
        }
        must(json_array_append_new(present, value));
    } else {
        must(json_object_set_new(params, flag->param, value));
    }
    return true;
}

/* Words behind the first value of a flag that takes several, up to the next flag: --bricks A B C. */
static bool
set_more(struct parser *parser, const struct flag *flag, struct error **err)
{
    if (flag->type != FLAG_TEXTS && flag->type != FLAG_OBJECT && flag->type != FLAG_RECORD &&
        flag->type != FLAG_RECORDS)
        return true;
    while (parser->at < parser->count && strncmp(parser->words[parser->at], "--", 2) != 0)
        if (!set_param(parser, flag, parser->words[parser->at++], err))
            return false;
    return true;
}

/* Where a command's own flag has the name of a common one: whether only the common one takes this. */
static bool
is_common_value(const struct flag *own, const struct flag *common, const char *value)
{
    static const char *const schemes[] = { "unix:", "ws://", "wss://" };

    if (common->type == FLAG_CHOICE)
        return value_is_choice(common, value) && !value_is_choice(own, value);
    /* image import --url: what http, https and nbd serve. */
    for (size_t i = 0; common == &common_flags[URL] && i < ARRAY_COUNT(schemes); i++)
        if (strncmp(value, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

/* --flag VALUE, --flag=VALUE, or --flag alone for a switch. */
static bool
parse_flag(struct parser *parser, struct error **err)
{
    const struct command *command = parser->invocation->command;
    const char *word = parser->words[parser->at++] + 2, *equals = strchr(word, '=');
    _cleanup_free_ char *name = equals ? xstrndup(word, (size_t)(equals - word)) : xstrdup(word);
    const struct flag *own = command ? command_flag(command, name) : NULL;
    const struct flag *common = common_flag(name), *flag = own ? own : common;
    const char *value = equals ? equals + 1 : "true";

    if (!flag)
        return refuse_flag(parser, name, err);
    if (!equals && flag->type != FLAG_BOOL) {
        if (parser->at >= parser->count || strncmp(parser->words[parser->at], "--", 2) == 0)
            return error_set(err, ERROR_INVALID_PARAMS, "--%s needs a value%s", name,
                             parser->at < parser->count
                                 ? "; one that begins with '--' is written --flag=VALUE"
                                 : "");
        value = parser->words[parser->at++];
    }
    if (own && common && is_common_value(own, common, value))
        own = NULL;
    return own ? set_param(parser, own, value, err) && (equals || set_more(parser, own, err))
               : set_common(parser, (size_t)(common - common_flags), value, err);
}

static void resolve_members(const struct flag *flag, json_t *record);

/* The values of 'flags' that stand in 'values'. */
static void
resolve_values(const struct flag *flags, size_t count, json_t *values)
{
    for (size_t i = 0; i < count; i++) {
        const struct flag *flag = &flags[i];
        json_t *value = json_object_get(values, flag->param);
        const char *text = flag->type == FLAG_PATH ? json_string_value(value) : NULL;

        if (text && *text) {
            _cleanup_free_ char *path = value_absolute_path(text);
            json_t *absolute = json_string(path);

            if (!absolute) /* the folder's name is not UTF-8: the agent will say what it wants */
                continue;
            must(json_object_set_new(values, flag->param, absolute));
        }
        resolve_members(flag, value);
    }
}

static void
resolve_members(const struct flag *flag, json_t *record)
{
    if (flag->type == FLAG_RECORD)
        resolve_values(flag->members, flag->member_count, record);
    for (size_t i = 0; flag->type == FLAG_RECORDS && i < json_array_size(record); i++)
        resolve_values(flag->members, flag->member_count, json_array_get(record, i));
}

static void
resolve_paths(struct invocation *invocation)
{
    const struct command *command = invocation->command;

    if (command->kind != COMMAND_LOCAL && address_is_here(invocation->settings.url))
        resolve_values(command->flags, command->flag_count, invocation->params);
}

static bool
finish(struct parser *parser, struct error **err)
{
    struct invocation *invocation = parser->invocation;
    const struct command *command = invocation->command;
    _cleanup_text_ struct text missing = TEXT_INIT;

    if (invocation->help || invocation->version || !command)
        return true;
    for (size_t i = 0; i < command->flag_count; i++) {
        const struct flag *flag = &command->flags[i];

        if (flag->required && !json_object_get(invocation->params, flag->param))
            text_printf(&missing, "%s--%s", missing.length ? ", " : "", flag->name);
    }
    if (missing.length > 0)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s %s' needs %s", command->resource,
                         command->name, missing.bytes);
    resolve_paths(invocation);
    return true;
}
