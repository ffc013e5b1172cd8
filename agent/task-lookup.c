/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding tasks, active or remembered, by what a caller says; and counting them.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "agent/task-internal.h"

bool
task_resolve(struct agent *agent, const struct task_reference *reference, uint64_t connection,
             struct task **ret_task, struct task_view *ret_view, struct error **err)
{
    struct task_table *table = agent->tasks;
    struct task_key key = { .text = reference->text, .length = strlen(reference->text) };
    const char *colon = strchr(reference->text, ':');
    char *end = NULL;

    if (reference->number)
        key.connection = connection;
    *ret_task = task_find(table, &key);
    if (*ret_task || history_find(table->history, &key, ret_view))
        return true;
    /* No string id of that text: it may be a number id as a status shows it. */
    if (!reference->number && colon && colon > reference->text) {
        key.connection = strtoull(reference->text, &end, 10);
        key.text = colon + 1;
        key.length = strlen(key.text);
        if (end == colon && key.connection != 0) {
            *ret_task = task_find(table, &key);
            if (*ret_task || history_find(table->history, &key, ret_view))
                return true;
        }
    }
    return error_set(err, ERROR_TASK_NOT_FOUND,
                     "there is no task '%s': it never ran on this instance, or has faded",
                     reference->text);
}

size_t
task_count_active(const struct agent *agent)
{
    return agent->tasks->active_count;
}

size_t
task_count_remembered(const struct agent *agent)
{
    return history_count(agent->tasks->history);
}

uint64_t
task_count_started(const struct agent *agent)
{
    return agent->tasks->started_count;
}

void
task_each_active(struct agent *agent,
                 void (*each)(void *context, const char *id, const struct text *status),
                 void *context)
{
    for (struct task *task = agent->tasks->first; task; task = task->next) {
        _cleanup_writer_ struct writer writer = WRITER_INIT;
        _cleanup_text_ struct text shown = TEXT_INIT;
        struct task_view view;

        task_view_of(task, &view);
        task_view_write(agent, &view, &writer);
        task_key_shown(&task->key, &shown);
        each(context, shown.bytes, &writer.text);
    }
}
