/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ended tasks, packed: at most some 240 bytes for one with a 160-byte result.
 *
 * An append-only arena of chunks, in the order in which tasks ended, and an open-addressing index
 * of 8 bytes an entry by key.  Records are variable-length: varints, interned callers and kinds, a
 * UUID as its 16 bytes.  The oldest fade from the front, so there are no links.  Loop only.
 */
#ifndef AGENT_HISTORY_H
#define AGENT_HISTORY_H

#include "agent/task.h"

enum task_status {
    TASK_PENDING,
    TASK_RUNNING,
    TASK_ABORTING,
    TASK_DONE,
    TASK_FAILED,
    TASK_ABORTED
};

enum report_outcome {
    REPORT_NOT_RUN,
    REPORT_SKIPPED,
    REPORT_PENDING,
    REPORT_RUNNING,
    REPORT_WAITING,
    REPORT_RETRYING,
    REPORT_COMPLETE,
    REPORT_FAILED
};

struct step_report {
    enum report_outcome outcome;
    unsigned attempts;
    uint32_t elapsed_ms;
    const char *message; /* NULL or text; owned by the task, or within the history's memory */
    size_t message_size;
};

/* A task as its status shows it, active or ended; everything is borrowed. */
struct task_view {
    struct task_key key;
    const struct verb *verb;
    enum task_status status;
    const char *caller;
    const char *object_kind, *object_repository, *object_id; /* or NULL */
    int64_t created_ns, started_ns, ended_ns;
    uint64_t sequence;
    bool responded;
    bool has_progress;
    uint64_t progress_done, progress_total;
    const char *progress_unit;
    double per_second;           /* of an active one; negative: unknown */
    struct step_report *reports; /* one a step of the verb */
    size_t report_count;
    const char *result; /* JSON, or NULL */
    size_t result_size;
    const struct error *error; /* or NULL */
};

struct history;
struct history *history_new(unsigned retention_s, unsigned count);
void history_free(struct history *history);
DEFINE_CLEANUP(struct history, history_free)

/* Remembers it; an older record of the same key is forgotten. */
void history_add(struct history *history, const struct task_view *view);
void history_forget(struct history *history, const struct task_key *key);
/* False: not there.  The view is valid until the next call of the history. */
bool history_find(struct history *history, const struct task_key *key, struct task_view *ret_view);
/* Lets go what is older than the retention, or over the count. */
void history_fade(struct history *history, int64_t now_ns);
size_t history_count(const struct history *history);
/* Bytes of memory it holds. */
size_t history_size(const struct history *history);

/* Walks from the newest, or from 'place' on, to the oldest, until 'each' returns false.  A record's
   place stays what it is as long as the record is there, and newer ones have higher places. */
void history_walk(struct history *history, uint64_t place,
                  bool (*each)(void *context, uint64_t place, const struct task_view *view),
                  void *context);
/* Beyond every record that there is now: those to come are at this place or behind it. */
uint64_t history_end(const struct history *history);

#endif
