/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of tasks, for agent/task.c, step.c, task-status.c, history.c and task-verbs.c only.
 */
#ifndef AGENT_TASK_INTERNAL_H
#define AGENT_TASK_INTERNAL_H

#include "agent/agent.h"
#include "agent/call.h"
#include "agent/history.h"
#include "agent/loop.h"
#include "agent/task.h"
#include "agent/worker.h"

#define REPORTS_INLINE 4
#define KEY_TEXT_MAX 255

/* Somebody who is owed the answer of a task: the caller, or one who joined it with 'once'. */
struct asker {
    void (*answer)(void *context, const struct task_answer *answer);
    void (*ended)(void *context);
    void *context;
    struct asker *next;
};

struct task {
    struct call call; /* what the steps see */
    struct task_key key;
    const char *caller;
    enum role role;
    uint64_t connection;
    bool kept;          /* key and caller are copies, and the task is in the table */
    struct asker asker; /* the caller; joiners are in asker.next */
    enum task_status status;
    bool responded, failing, broke, released, worker_ran;
    size_t step; /* that runs, waits or comes next */
    size_t step_count;
    struct step_report *reports; /* step_count of them: 'inline_reports' or owned */
    struct step_report inline_reports[REPORTS_INLINE];
    uint64_t sequence;                                 /* of creation */
    int64_t created_ns, started_ns, ended_ns;          /* wall clock */
    int64_t step_begun_ns;                             /* monotonic: of the first attempt */
    char *object_kind, *object_repository, *object_id; /* owned, or NULL */
    struct text result;  /* what was written when a step last came back */
    struct error *error; /* the first */

    /* Written by the step (its thread), read by the loop when it has come back. */
    struct writer writer; /* call_result() */
    enum outcome outcome;
    char *message; /* for the report; owned */
    struct error *step_error;
    uint64_t delay_ms; /* of a retry, or a wait's time limit */
    char *wait_key;    /* owned */

    /* Shared while a step runs. */
    atomic_bool aborted;
    _Atomic uint64_t progress_done, progress_total;
    _Atomic uint64_t rate;             /* agent/call.c's */
    const char *_Atomic progress_unit; /* static text; NULL: no progress yet */
    int64_t progress_posted_ns;        /* the step's thread only */

    /* Loop only. */
    uint64_t seen_done; /* for the rate of progress */
    int64_t seen_ns;
    double per_second;
    struct lane *lanes[POOL_COUNT]; /* NULL: the table's own */
    struct job job;
    enum { TASK_IDLE, TASK_QUEUED, TASK_WAITING, TASK_RETRYING } held;
    struct timer timer;
    struct task *waiting_next, *waiting_previous; /* of a bucket of waiting tasks */
    struct task *hash_next;
    struct task *next, *previous; /* active tasks that leave history, oldest first */
};

static inline struct task *
task_of(const struct call *call)
{
    return CONTAINER_OF(call, struct task, call);
}

#define WAIT_BUCKETS 256

struct task_table {
    struct agent *agent;
    struct task **buckets; /* of all kept tasks, by key */
    size_t bucket_count, kept_count;
    struct task *first, *last; /* active ones that leave history, by creation */
    size_t active_count;       /* all that are not over */
    size_t joined_count;       /* callers that wait for another's */
    uint64_t started_count, sequence;
    struct task *waiting[WAIT_BUCKETS];
    size_t waiting_count;
    struct task *spare; /* free structs, by hash_next */
    size_t spare_count;
    struct lane lanes[POOL_COUNT]; /* of steps whose call has set none */
    struct history *history;
    struct timer fade;
    unsigned retention_s, history_count;
};

/* task.c */
uint64_t task_key_hash(const struct task_key *key);
struct task *task_find(const struct task_table *table, const struct task_key *key);
/* Copies what was borrowed and enters it into the table: it outlives the call of task_start(). */
void task_keep(struct task *task);
void task_answer(struct task *task);
void task_end(struct task *task);
void task_publish(struct task *task, const char *topic);
bool task_leaves_history(const struct task *task);
/* What the status shows as the id: TEXT, or CONNECTION:NUMBER. */
void task_key_shown(const struct task_key *key, struct text *ret_text);
/* The key that a 'task' parameter means, as found among active and remembered ones; false: none. */
bool task_resolve(struct agent *agent, const struct task_reference *reference, uint64_t connection,
                  struct task **ret_task, struct task_view *ret_view, struct error **err)
    _must_check_;

/* step.c */
void task_run(struct task *task);
void task_abort(struct task *task);
void task_resume_waiting(struct task *task);

/* task-status.c */
void task_view_of(const struct task *task, struct task_view *ret_view);
void task_view_write(const struct agent *agent, const struct task_view *view,
                     struct writer *writer);

#endif
