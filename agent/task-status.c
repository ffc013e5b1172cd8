/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task's status as api.md has it, from an active task or a remembered one alike.
 */
#include <config.h>

#include "agent/error-json.h"
#include "agent/task-internal.h"

static const char *const status_names[] = {
    [TASK_PENDING] = "pending", [TASK_RUNNING] = "running", [TASK_ABORTING] = "aborting",
    [TASK_DONE] = "done",       [TASK_FAILED] = "failed",   [TASK_ABORTED] = "aborted",
};

static const char *const outcome_names[] = {
    [REPORT_NOT_RUN] = "not run",   [REPORT_SKIPPED] = "skipped", [REPORT_PENDING] = "pending",
    [REPORT_RUNNING] = "running",   [REPORT_WAITING] = "wait",    [REPORT_RETRYING] = "retry",
    [REPORT_COMPLETE] = "complete", [REPORT_FAILED] = "fail",
};

void
task_view_of(const struct task *task, struct task_view *ret_view)
{
    const char *unit = atomic_load(&task->progress_unit);

    *ret_view = (struct task_view){
        .key = task->key,
        .verb = task->call.verb,
        .status = task->status,
        .caller = task->caller,
        .object_kind = task->object_kind,
        .object_repository = task->object_repository,
        .object_id = task->object_id,
        .created_ns = task->created_ns,
        .started_ns = task->started_ns,
        .ended_ns = task->ended_ns,
        .sequence = task->sequence,
        .responded = task->responded,
        .has_progress = unit != NULL,
        .progress_done = atomic_load(&task->progress_done),
        .progress_total = atomic_load(&task->progress_total),
        .progress_unit = unit,
        .per_second = task->per_second,
        .reports = task->reports,
        .report_count = task->step_count,
        .result = task->result.length ? task->result.bytes : NULL,
        .result_size = task->result.length,
        .error = task->error,
    };
}

static void
write_progress(const struct task_view *view, struct writer *writer)
{
    bool active = view->status <= TASK_ABORTING && view->per_second >= 0;

    writer_object(writer);
    writer_member_unsigned(writer, "done", view->progress_done);
    writer_member_unsigned(writer, "total", view->progress_total);
    writer_member_string(writer, "unit", view->progress_unit);
    if (active) {
        writer_member_unsigned(writer, "perSecond", (uint64_t)view->per_second);
        writer_key(writer, "etaSeconds");
        if (view->per_second >= 1 && view->progress_total >= view->progress_done)
            writer_unsigned(writer,
                            (uint64_t)((double)(view->progress_total - view->progress_done) /
                                       view->per_second));
        else
            writer_null(writer);
    } else {
        writer_member_null(writer, "perSecond");
        writer_member_null(writer, "etaSeconds");
    }
    writer_end_object(writer);
}

static void
write_steps(const struct task_view *view, struct writer *writer)
{
    bool active = view->status <= TASK_ABORTING;

    writer_array(writer);
    for (size_t i = 0; i < view->report_count; i++) {
        const struct step_report *report = &view->reports[i];
        enum report_outcome outcome = report->outcome;

        if (active && outcome == REPORT_NOT_RUN)
            outcome = REPORT_PENDING;
        writer_object(writer);
        writer_member_string(writer, "name", view->verb->steps[i].name);
        writer_member_string(writer, "outcome", outcome_names[outcome]);
        if (report->message) {
            writer_key(writer, "message");
            writer_string_sized(writer, report->message, report->message_size);
        }
        if (report->attempts > 0) {
            writer_member_unsigned(writer, "attempts", report->attempts);
            if (outcome != REPORT_RUNNING)
                writer_member_unsigned(writer, "elapsedMs", report->elapsed_ms);
        }
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

void
task_view_write(const struct agent *agent, const struct task_view *view, struct writer *writer)
{
    _cleanup_text_ struct text shown = TEXT_INIT;

    task_key_shown(&view->key, &shown);
    writer_object(writer);
    writer_key(writer, "task");
    writer_string_sized(writer, shown.bytes, shown.length);
    writer_member_string(writer, "instance", agent->instance);
    writer_member_string(writer, "method", view->verb->name);
    writer_member_string(writer, "status", status_names[view->status]);
    writer_member_string(writer, "caller", view->caller);
    writer_key(writer, "object");
    if (view->object_kind) {
        writer_object(writer);
        writer_member_string(writer, "kind", view->object_kind);
        if (view->object_repository)
            writer_member_string(writer, "repository", view->object_repository);
        if (view->object_id)
            writer_member_string(writer, "id", view->object_id);
        writer_end_object(writer);
    } else {
        writer_null(writer);
    }
    writer_member_time(writer, "created", view->created_ns);
    writer_member_time(writer, "started", view->started_ns);
    writer_member_time(writer, "ended", view->ended_ns);
    writer_member_bool(writer, "responded", view->responded);
    writer_key(writer, "progress");
    if (view->has_progress)
        write_progress(view, writer);
    else
        writer_null(writer);
    writer_key(writer, "steps");
    write_steps(view, writer);
    writer_key(writer, "result");
    writer_json(writer, view->result, view->result_size);
    writer_key(writer, "error");
    if (view->error)
        error_write(writer, view->error);
    else
        writer_null(writer);
    writer_end_object(writer);
}
