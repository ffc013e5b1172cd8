/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be typed: the agent's verbs, from its OpenRPC document, and the program's own commands.
 *
 * image.copy's targetRepository becomes 'hostler image copy --target-repository'.  Arguments, help,
 * completion, the shell and the manual all come from here, so a new verb of the agent needs
 * nothing in ctl/.
 */
#ifndef CTL_VERBS_H
#define CTL_VERBS_H

#include <jansson.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "ctl/status.h"

struct invocation;
struct session;

enum flag_type {
    FLAG_TEXT, /* names, texts: a string as it stands */
    FLAG_TASK,
    FLAG_PATH, /* a relative one is made absolute when the agent is on this machine */
    FLAG_SIZE, /* bytes; K, M, G, T, P and KiB … accepted */
    FLAG_INTEGER,
    FLAG_BOOL, /* --verify, --verify=true, --verify=false */
    FLAG_CHOICE,
    FLAG_OBJECT, /* a JSON object */
    FLAG_TEXTS,  /* may be given several times */
    FLAG_RECORD, /* MEMBER=VALUE,… or a JSON object: ctl/record.h */
    FLAG_RECORDS /* those, several times */
};

struct flag {
    const char *name;  /* without its dashes: "target-repository" */
    const char *param; /* on the wire: "targetRepository" */
    const char *about; /* a sentence */
    const char *value; /* what help calls the value, "FILE"; NULL: by its type */
    enum flag_type type;
    bool required;
    bool bounded_below, bounded_above;
    int64_t minimum, maximum;   /* when bounded */
    const char *fallback;       /* what holds when it is absent, as JSON; or NULL */
    const char *const *choices; /* FLAG_CHOICE: NULL-terminated */
    const struct flag *members; /* FLAG_RECORD and FLAG_RECORDS */
    size_t member_count;
};

enum command_kind {
    COMMAND_LOCAL,
    COMMAND_READS,
    COMMAND_CHANGES,
    COMMAND_EARLY,
    COMMAND_READS_LONG
};

struct command {
    const char *resource;    /* "image" */
    const char *name;        /* "copy"; "" for a resource that is a command: 'hostler shell' */
    const char *method;      /* "image.copy"; NULL for the program's own */
    const char *summary;     /* a sentence */
    const char *description; /* more, or NULL */
    const char *role;        /* the least it needs, or NULL */
    const char *aliases;     /* other names on the wire, comma-separated, or NULL */
    enum command_kind kind;
    const struct flag *flags;
    size_t flag_count;
    const char *const *errors; /* names, NULL-terminated, or NULL */
    const json_t *follow;      /* the document's "x-follow": ctl/follow.h; or NULL */
    /* COMMAND_LOCAL only. */
    enum status (*run)(struct session *session, const struct invocation *invocation);
};

struct verbs;

/* 'own' are the program's own commands, borrowed.  Error: the document is not what it must be. */
bool verbs_new(const void *document, size_t size, const struct command *own, size_t own_count,
               struct verbs **ret_verbs, struct error **err) _must_check_;
void verbs_free(struct verbs *verbs);
DEFINE_CLEANUP(struct verbs, verbs_free)

/* The n-th command, those of one resource side by side, or NULL past the end. */
const struct command *verbs_at(const struct verbs *verbs, size_t n);
/* The n-th resource, or NULL past the end. */
const char *verbs_resource_at(const struct verbs *verbs, size_t n);
/* As the document writes it, whatever case 'word' is in; NULL: there is none. */
const char *verbs_resource(const struct verbs *verbs, const char *word);
const struct command *verbs_find(const struct verbs *verbs, const char *resource, const char *name);
const struct flag *command_flag(const struct command *command, const char *name);
/* The flag of a parameter, or NULL. */
const struct flag *command_param(const struct command *command, const char *param);

/* "targetRepository" → "target-repository". */
char *verbs_kebab(const char *camel);
/* What stands for the value in a usage line: "NAME", "raw|qcow2".  Appended to 'text'. */
struct text;
void flag_append_value(const struct flag *flag, struct text *text);

#endif
