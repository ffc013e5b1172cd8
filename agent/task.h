/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task table: who runs under which id, and, for a while, who ran.
 *
 * Memory only: a restart forgets it.  Active tasks are structs in a hash table; ended ones are
 * packed records in agent/history.c.  Loop only, all of it.
 */
#ifndef AGENT_TASK_H
#define AGENT_TASK_H

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "agent/verb.h"

struct agent;
struct task;
struct task_table;

/*
 * A task's name.  A string id is host-wide (connection 0); a number id is private to its
 * connection and shown as CONNECTION:NUMBER.  The two kinds never meet: "7" is not 7.
 */
struct task_key {
    uint64_t connection; /* 0: a string id */
    const char *text;    /* borrowed; the string's content, or the number's own characters */
    size_t length;
};

/* What a call is answered: exactly one of the two is set. */
struct task_answer {
    const char *result; /* one JSON value, borrowed */
    size_t result_size;
    const struct error *error; /* borrowed */
};

struct task_request {
    const struct verb *verb;
    void *context;       /* of the verb's table */
    struct task_key key; /* {0}: a fresh UUID is made */
    void *args;          /* ownership is taken, whatever happens */
    const char *caller;  /* "uid:0"; copied */
    enum role role;
    uint64_t connection; /* who asks; 0: the agent itself */
    bool once;
    /* Called once, possibly before task_start() returns, never after 'ended'.  NULL: nobody asks. */
    void (*answer)(void *answer_context, const struct task_answer *answer);
    /* Called once, when the task is over (also when it never began), as the last thing.  Or NULL. */
    void (*ended)(void *answer_context);
    void *answer_context;
};

struct task_table *task_table_new(struct agent *agent, unsigned retention_s,
                                  unsigned history_count);
void task_table_free(struct task_table *table);
DEFINE_CLEANUP(struct task_table, task_table_free)

/* Runs it, or answers why not (TaskIdInUse with the holder's status; Busy; LimitExceeded).  With
   'once', joins the running task of this id, or repeats the answer of the remembered one. */
void task_start(struct agent *agent, const struct task_request *request);

/* Runs again the steps that wait for 'key'. */
void task_wake(struct agent *agent, const char *key);

/* Counts for host.info, metrics and limits. */
size_t task_count_active(const struct agent *agent);
size_t task_count_remembered(const struct agent *agent);
uint64_t task_count_started(const struct agent *agent);

/* Writes the status objects of all active tasks that leave history, one call each: for snapshots. */
void task_each_active(struct agent *agent,
                      void (*each)(void *context, const char *id, const struct text *status),
                      void *context);

/* task.list, task.status, task.wait, task.abort, task.throttle. */
extern const struct verb task_verbs[];

#endif
