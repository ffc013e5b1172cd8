/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words to an invocation: hostler [RESOURCE] [COMMAND] [FLAGS], no positional arguments.
 *
 * A command's own flag hides a common one of the same name, but for values that only the common
 * one takes: 'image create --format raw' is the image's, '--format json' is the output's;
 * 'image import --url https://…' is the image's, '--url unix:…' is the agent's.
 */
#ifndef CTL_ARGUMENTS_H
#define CTL_ARGUMENTS_H

#include <jansson.h>

#include "agent/base/error.h"
#include "ctl/verbs.h"

/* What the common flags say; all strings borrowed from the words or the environment. */
struct settings {
    const char *url, *token_file, *tls_ca, *tls_certificate, *tls_key;
    const char *id;       /* the task's; NULL: a fresh UUID */
    const char *instance; /* --if-instance */
    const char *output;   /* a file; NULL: standard output */
    double timeout_s;     /* 0: none */
    bool once, wait, json;
};

struct invocation {
    struct settings settings;
    bool help, version;
    const char *resource;          /* borrowed from the verbs; NULL: none was named */
    const struct command *command; /* NULL: none was named */
    json_t *params;                /* owned; an object */
};

/* The flags that every command has; ends with an empty one. */
extern const struct flag common_flags[];
const struct flag *common_flag(const char *name);

/* From HOSTLER_URL, HOSTLER_TOKEN_FILE. */
void settings_init(struct settings *settings);
/* 'words' without the program's name.  'defaults' hold where no flag says otherwise.  Error:
   InvalidParams, with what was probably meant; '*ret_invocation' then still tells the resource and
   command as far as they were understood. */
bool arguments_parse(const struct verbs *verbs, const struct settings *defaults,
                     const char *const *words, size_t count, struct invocation *ret_invocation,
                     struct error **err) _must_check_;
void invocation_done(struct invocation *invocation);

#endif
