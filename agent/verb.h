/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs: each declared once, in a static table, from which parameter checking, rpc.discover, the
 * command line, completion and the manual all come.  Here rpc/ and the backends meet.
 *
 * A table is an array of verbs that ends with an empty one, listed in agent/hostlerd.c.
 */
#ifndef AGENT_VERB_H
#define AGENT_VERB_H

#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/call.h"
#include "agent/worker.h"

enum role { ROLE_UNSET, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };

enum verb_kind {
    VERB_KIND_UNSET,
    VERB_READS,         /* q: no history, no events */
    VERB_CHANGES,       /* answers when it is done */
    VERB_ANSWERS_EARLY, /* L: answers at the step that .responds, then runs on */
    VERB_READS_LONG     /* L q: a long read: history and events like L */
};

enum param_type {
    PARAM_TYPE_UNSET,
    PARAM_NAME, /* char *: an id that passes name_check() */
    PARAM_TEXT, /* char *: UTF-8 without NUL, at most .maximum bytes (0: 4,096), at least .minimum */
    PARAM_PATH, /* char *: an absolute path, at most 4,095 bytes, no NUL */
    PARAM_TASK, /* struct task_reference: a task's id: a string, or a number of this connection */
    PARAM_SIZE, /* uint64_t: bytes; a JSON integer from .minimum to .maximum (0: 2^63-1) */
    PARAM_INTEGER, /* int64_t: from .minimum to .maximum (both 0: any) */
    PARAM_BOOL,    /* bool */
    PARAM_CHOICE,  /* const char *: one of .choices; points into the table */
    PARAM_OBJECT,  /* char *: a JSON object as compact text, at most .maximum bytes (0: 65,536) */
    PARAM_TEXTS,   /* char **: NULL-terminated array of strings; at most 1,000 */
    PARAM_RECORD,  /* void *: an object of .members, whose struct has .member_size; NULL: absent */
    PARAM_RECORDS  /* struct records: a list of those, from .minimum to .maximum of them */
};

struct task_reference {
    char *text;  /* owned; a string id, or a number as it was written */
    bool number; /* of the calling connection */
};

/* A list of records: all[i] of the member's own struct, one behind the other. */
struct records {
    void *all; /* owned; NULL when there are none */
    size_t count;
};

struct param {
    const char *name;  /* camelCase, as on the wire */
    const char *about; /* a sentence; a size's says its unit */
    enum param_type type;
    bool required;
    bool make_uuid;       /* PARAM_NAME: a fresh UUID when it is absent */
    bool one_line;        /* PARAM_TEXT: no control characters */
    size_t offset;        /* of the member in the args struct */
    size_t present;       /* offset + 1 of a bool set when the caller gave it; 0: none */
    const char *fallback; /* JSON of the value when absent; NULL: the member stays zero */
    int64_t minimum, maximum;
    const char *const *choices;  /* PARAM_CHOICE: NULL-terminated */
    const struct param *members; /* PARAM_RECORD and PARAM_RECORDS: ends with an empty one */
    size_t member_size;          /* likewise: of the struct that .members' offsets are of */
};

/* What a verb answers, for discovery and for the tests that check each reply against it. */
struct shape {
    const char *name; /* TitleCase; the same name is the same shape */
    const char *
        schema; /* JSON Schema (draft 7) as text; "$ref":"#/components/schemas/NAME" may name others */
    const struct shape *const
        *parts; /* those others, NULL-terminated, unless verbs answer them; or NULL */
};

/* {}: for verbs that have nothing to tell but that it is done. */
extern const struct shape empty_shape;

/*
 * How to follow what a verb has begun to its end, where no task of ours stands behind it: by asking for
 * the item of a list that tells of it.  From it 'hostler --wait' knows all it needs.
 */
struct follow {
    const char *query;          /* the verb that lists: "volume.operations" */
    const char *param;          /* its parameter, which the result has too: "volume" */
    const char *items;          /* the list in its answer: "operations" */
    const char *key;            /* what the item and the result have in common: "operation" */
    const char *status;         /* the item's member that tells where it stands */
    const char *const *running; /* what that is while it goes on; NULL-terminated */
    const char *const *done;    /* what it is after a good end; all else is a failure */
    const char *progress;       /* the item's member that counts what is done: "files" */
    const char *left;           /* and that tells the seconds left, or null */
};

enum step_when {
    ON_SUCCESS, /* while nothing has failed and nobody aborted */
    ON_FAILURE, /* after a failure or an abort: leaves the object truthful */
    ALWAYS
};

struct step {
    const char *name; /* the line of the report: lower case, imperative */
    enum outcome (*run)(struct call *call);
    enum pool pool; /* POOL_LOOP runs on the loop at once */
    enum step_when when;
    bool (*only_if)(const struct call *call);  /* loop; false: the step is reported as skipped */
    bool (*break_if)(const struct call *call); /* loop, before the step: the run ends here, done */
    bool responds; /* its completion sends the answer: call_result() as it stands then */
};

/* What the task's status names as its object; members borrowed from the args, or NULL. */
struct object_name {
    const char *kind, *repository, *id;
};

struct verb {
    const char *name;        /* "image.copy" */
    const char *aliases;     /* other names, separated by one space, or NULL */
    const char *summary;     /* a sentence */
    const char *description; /* more, or NULL */
    enum role role;
    enum verb_kind kind;
    size_t args_size;
    const struct param *params; /* ends with an empty one; NULL: none */
    const struct shape *result;
    const struct follow *follow; /* or NULL */
    const enum error_code
        *errors;              /* ends with ERROR_NONE; beside those that every verb may answer */
    const struct step *steps; /* ends with an empty one */
    size_t state_size;        /* zeroed memory for the steps: call->state */
    void (*state_done)(
        struct call *call); /* frees what is in call->state; worker thread if the last
                                              step that ran was a worker's, else the loop; before the
                                              task ends */
    void (*object)(const void *args, struct object_name *ret_object); /* or NULL */
};

#define PARAMS(...) ((const struct param[]){ __VA_ARGS__, { 0 } })
#define PARAM(args, member, wire_name, ...)                                                        \
    {                                                                                              \
        .name = (wire_name), .offset = offsetof(struct args, member), __VA_ARGS__                  \
    }
/* For .present: the bool 'member' of struct args. */
#define PRESENT(args, member) (offsetof(struct args, member) + 1)
#define SHAPES(...) ((const struct shape *const[]){ __VA_ARGS__, NULL })
#define STEPS(...) ((const struct step[]){ __VA_ARGS__, { 0 } })
#define ERRORS(...) ((const enum error_code[]){ __VA_ARGS__, ERROR_NONE })
#define CHOICES(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* A table and what its steps get as call->context (the backend's own state), or NULL. */
struct verb_table {
    const struct verb *verbs;
    void *context;
};

/* All verbs by name and alias; built once, then read only, any thread. */
struct verb_index;
struct verb_index *verb_index_new(const struct verb_table *tables, size_t table_count);
void verb_index_free(struct verb_index *index);
DEFINE_CLEANUP(struct verb_index, verb_index_free)
/* NULL when there is none.  '*ret_context' gets the table's context. */
const struct verb *verb_find(const struct verb_index *index, const char *name, size_t length,
                             void **ret_context);
/* The n-th verb in the order of the tables, or NULL past the end. */
const struct verb *verb_at(const struct verb_index *index, size_t n);

/* Frees what the members of the struct own that a table filled, but not the struct. */
void params_done(const struct param *params, void *args);
/* Frees an args struct that rpc/args.c filled, and what its members own.  NULL is fine. */
void verb_args_free(const struct verb *verb, void *args);
const char *role_name(enum role role);
bool role_parse(const char *name, enum role *ret_role) _must_check_;

#endif
