/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/job-table.h"

#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "virt/job-adopt.h"
#include "virt/vm-table.h"

#define ENDED_MAX 500
#define LATE_NS INT64_C(15000000000)
#define MISSED "it ended while libvirt could not tell the agent how"

struct vm_job {
    char id[UUID_TEXT_SIZE];
    char uuid[UUID_TEXT_SIZE]; /* of the VM */
    char *name;                /* likewise, at that time; owned */
    char *disk;                /* target; owned; NULL: the domain's own */
    char *task;                /* owned; NULL: no task of this agent stands behind it */
    const char *kind, *state;  /* static texts */
    uint64_t done, total, bound, per_second;
    int64_t begun_ns, ended_ns, looked_ns; /* wall clock */
    char *error;                           /* owned, or NULL */
    bool heard;                            /* libvirt has told of its end, too */
    struct vm_job *next;
};

struct job_table {
    struct virt *virt;
    struct virt_listener listener;
    struct vm_job *running, *ended; /* owned; the youngest first */
    size_t ended_count;
};

static void
job_free(struct vm_job *job)
{
    free(job->name);
    free(job->disk);
    free(job->task);
    free(job->error);
    free(job);
}

char *
job_key(const char *uuid, const char *disk)
{
    return xprintf("job %s %s", uuid, disk);
}

/* ---- what runs, and what has ended ---- */

static bool
is_of_disk(const struct vm_job *job, const char *disk)
{
    return disk && job->disk ? strcmp(job->disk, disk) == 0 : !disk && !job->disk;
}

static struct vm_job *
find_running(const struct job_table *table, const char *uuid, const char *disk)
{
    for (struct vm_job *job = table->running; job; job = job->next)
        if (strcmp(job->uuid, uuid) == 0 && is_of_disk(job, disk))
            return job;
    return NULL;
}

static struct vm_job *
add_running(struct job_table *table, const char *uuid, const char *name, const char *disk,
            const char *kind)
{
    struct vm_job *job = xalloc(sizeof(*job));

    uuid_make(job->id);
    memcpy(job->uuid, uuid, sizeof(job->uuid));
    job->name = xstrdup(name);
    job->disk = disk ? xstrdup(disk) : NULL;
    job->kind = kind;
    job->state = "running";
    job->begun_ns = job->looked_ns = clock_wall_ns();
    job->next = table->running;
    table->running = job;
    return job;
}

static void
forget_oldest(struct job_table *table)
{
    struct vm_job **place = &table->ended;

    while ((*place)->next)
        place = &(*place)->next;
    job_free(*place);
    *place = NULL;
    table->ended_count--;
}

static void
end(struct job_table *table, struct vm_job *job, const char *state, const char *why)
{
    struct vm_job **place = &table->running;

    while (*place != job)
        place = &(*place)->next;
    *place = job->next;
    job->state = state;
    job->error = why ? xstrdup(why) : NULL;
    job->ended_ns = clock_wall_ns();
    if (strcmp(state, "done") == 0)
        job->done = job->total;
    job->next = table->ended;
    table->ended = job;
    if (++table->ended_count > ENDED_MAX)
        forget_oldest(table);
}

/* ---- tasks of ours ---- */

void
job_table_begin(struct job_table *table, const char *uuid, const char *name, const char *disk,
                const char *kind, const char *task)
{
    struct vm_job *job = find_running(table, uuid, disk);

    LOOP_ONLY();
    if (!job)
        job = add_running(table, uuid, name, disk, kind);
    job->kind = kind;
    free(job->task);
    job->task = xstrdup(task);
}

void
job_table_end(struct job_table *table, const char *uuid, const char *disk,
              const struct error *error)
{
    struct vm_job *job = find_running(table, uuid, disk);

    LOOP_ONLY();
    if (job && error && error->code == ERROR_BACKEND_UNAVAILABLE) {
        free(TAKE(job->task));
        job_adopt_soon(table->virt);
    } else if (job)
        end(table, job,
            !error                              ? "done"
            : error->code == ERROR_TASK_ABORTED ? "canceled"
                                                : "failed",
            error ? error->message : NULL);
}

bool
job_table_has_task(const struct job_table *table, const char *uuid, const char *disk)
{
    const struct vm_job *job = find_running(table, uuid, disk);

    LOOP_ONLY();
    return job && job->task;
}

/* ---- what libvirt says ---- */

static void
take_look(struct job_table *table, const struct job_looks_of *of, const struct job_look *look)
{
    struct vm_job *job = find_running(table, of->uuid, look->disk);
    int64_t now_ns = clock_wall_ns();

    if (!job)
        job = add_running(table, of->uuid, of->name, look->disk, look->kind);
    if (look->per_second)
        job->per_second = look->per_second;
    else if (look->done > job->done && now_ns - job->looked_ns > 100000000)
        job->per_second =
            (uint64_t)((double)(look->done - job->done) * 1e9 / (double)(now_ns - job->looked_ns));
    job->looked_ns = now_ns;
    job->done = look->done;
    job->total = look->total;
    job->bound = look->bound;
}

static bool
is_seen(const struct job_looks_of *of, const struct vm_job *job)
{
    for (size_t i = 0; i < of->count; i++)
        if (is_of_disk(job, of->items[i].disk))
            return true;
    return false;
}

/* Of a VM that came and is there, it is known how, whatever was missed. */
static void
end_unseen(struct job_table *table, const struct job_looks_of *of, struct vm_job *job)
{
    if (strcmp(job->kind, JOB_KIND_INCOMING) == 0 && !of->gone)
        end(table, job, "done", NULL);
    else
        end(table, job, "unknown", MISSED);
}

/* Of VMs that are off, or gone, libvirt is not asked: the event that told how their jobs ended was missed. */
static void
end_missed(struct job_table *table, int64_t asked_ns)
{
    struct vm_job *next;

    for (struct vm_job *job = table->running; job; job = next) {
        const struct vm_entry *entry = vm_table_find_uuid(table->virt, job->uuid);
        bool is_on = entry && entry->vm->state != VM_SHUTOFF && entry->vm->state != VM_CRASHED;

        next = job->next;
        if (!is_on && !job->task && job->looked_ns + LATE_NS < asked_ns)
            end(table, job, "unknown", MISSED);
    }
}

void
job_table_update(struct job_table *table, const struct job_looks *looks, int64_t asked_ns)
{
    LOOP_ONLY();
    for (size_t i = 0; i < looks->count; i++) {
        const struct job_looks_of *of = &looks->vms[i];
        struct vm_job *next;

        if (!of->known)
            continue;
        for (size_t n = 0; n < of->count; n++)
            take_look(table, of, &of->items[n]);
        for (struct vm_job *job = table->running; job; job = next) {
            next = job->next;
            /* One whose end an event has told is not here any more; a task of ours tells of its own. */
            if (strcmp(job->uuid, of->uuid) == 0 && !job->task && job->looked_ns < asked_ns &&
                !is_seen(of, job))
                end_unseen(table, of, job);
        }
    }
    end_missed(table, asked_ns);
}

/* ---- libvirt's events ---- */

static void
tell(struct virt *virt, const char *uuid, const char *event, const char *state, const char *disk)
{
    struct vm_entry *entry = vm_table_find_uuid(virt, uuid);
    const struct vm_change change = { .event = event, .reason = state, .device = disk };

    if (entry)
        vm_table_tell(entry, &change);
}

static const char *
vm_name(struct virt *virt, const struct vm_news *news)
{
    const struct vm_entry *entry = vm_table_find_uuid(virt, news->uuid);

    return entry ? entry->vm->name : news->name ? news->name : news->uuid;
}

/* A task may have seen the end of its job a little before libvirt tells of it. */
static struct vm_job *
find_unheard(const struct job_table *table, const char *uuid, const char *disk)
{
    int64_t since_ns = clock_wall_ns() - LATE_NS;

    for (struct vm_job *job = table->ended; job && job->ended_ns > since_ns; job = job->next)
        if (job->task && !job->heard && job->disk && strcmp(job->disk, disk) == 0 &&
            strcmp(job->uuid, uuid) == 0)
            return job;
    return NULL;
}

static void
hear_block_job(struct job_table *table, const struct vm_news *news)
{
    const char *kind = job_kind_of_block(news->event), *state;
    struct vm_job *job = find_running(table, news->uuid, news->device);
    struct vm_job *unheard = NULL;
    _cleanup_free_ char *key = NULL;

    if (!kind || !news->device)
        return;
    key = job_key(news->uuid, news->device);
    task_wake(table->virt->agent, key);
    if (!job)
        unheard = find_unheard(table, news->uuid, news->device);
    if (!job && !unheard)
        job = add_running(table, news->uuid, vm_name(table->virt, news), news->device, kind);
    if (news->detail == VIR_DOMAIN_BLOCK_JOB_READY) {
        if (unheard)
            return;
        job->state = "ready";
        tell(table->virt, news->uuid, "job-ready", job->kind, news->device);
        return;
    }
    state = news->detail == VIR_DOMAIN_BLOCK_JOB_COMPLETED  ? "done"
            : news->detail == VIR_DOMAIN_BLOCK_JOB_CANCELED ? "canceled"
                                                            : "failed";
    tell(table->virt, news->uuid, "job-ended", state, news->device);
    /* A task of ours has more to do, and says itself when it is over. */
    if (unheard || job->task)
        (unheard ? unheard : job)->heard = true;
    else
        end(table, job, state,
            strcmp(state, "failed") == 0 ? "QEMU could not do it: its log tells why" : NULL);
}

static uint64_t
figure(const struct vm_news *news, const char *name)
{
    unsigned long long value = 0;

    (void)virTypedParamsGetULLong(news->params, news->param_count, name, &value);
    return value;
}

static void
hear_domain_job(struct job_table *table, const struct vm_news *news)
{
    struct vm_job *job = find_running(table, news->uuid, NULL);
    int operation = 0, success = 1;
    const char *why = NULL;

    (void)virTypedParamsGetInt(news->params, news->param_count, VIR_DOMAIN_JOB_OPERATION,
                               &operation);
    (void)virTypedParamsGetBoolean(news->params, news->param_count, VIR_DOMAIN_JOB_SUCCESS,
                                   &success);
    (void)virTypedParamsGetString(news->params, news->param_count, VIR_DOMAIN_JOB_ERRMSG, &why);
    if (!job) {
        job = add_running(table, news->uuid, vm_name(table->virt, news), NULL,
                          job_kind_of_domain(operation));
        job->begun_ns -= (int64_t)figure(news, VIR_DOMAIN_JOB_TIME_ELAPSED) * 1000000;
    }
    job->done = figure(news, VIR_DOMAIN_JOB_DATA_PROCESSED);
    job->total = figure(news, VIR_DOMAIN_JOB_DATA_TOTAL);
    /* A backup by NBD ends well by being canceled, and has that as its words. */
    end(table, job,
        success                            ? "done"
        : why && strcasestr(why, "cancel") ? "canceled"
                                           : "failed",
        success ? NULL
        : why   ? why
                : "libvirt does not say why");
}

/* libvirt tells of the end of a job only where the VM has come from. */
static void
hear_arrival(struct job_table *table, const struct vm_news *news)
{
    struct vm_job *job = find_running(table, news->uuid, NULL);
    bool came = (news->event == VIR_DOMAIN_EVENT_RESUMED &&
                 news->detail == VIR_DOMAIN_EVENT_RESUMED_MIGRATED) ||
                (news->event == VIR_DOMAIN_EVENT_SUSPENDED &&
                 news->detail == VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);

    if (job && came && strcmp(job->kind, JOB_KIND_INCOMING) == 0)
        end(table, job, "done", NULL);
}

/* With QEMU all its jobs have ended. */
static void
hear_life(struct job_table *table, const struct vm_news *news)
{
    struct vm_job *next;

    hear_arrival(table, news);
    if (news->event != VIR_DOMAIN_EVENT_STOPPED && news->event != VIR_DOMAIN_EVENT_CRASHED)
        return;
    for (struct vm_job *job = table->running; job; job = next) {
        _cleanup_free_ char *key = job->disk ? job_key(job->uuid, job->disk) : NULL;

        next = job->next;
        if (strcmp(job->uuid, news->uuid) != 0)
            continue;
        if (key)
            task_wake(table->virt->agent, key);
        if (!job->task && job->disk)
            end(table, job, "failed", "the VM has stopped");
        else if (strcmp(job->kind, JOB_KIND_INCOMING) == 0)
            end(table, job, "failed", "the VM did not come: the source host tells why");
    }
}

static void
told(void *context, const struct vm_news *news)
{
    struct job_table *table = context;

    switch (news->kind) {
    case VM_NEWS_BLOCK_JOB: hear_block_job(table, news); break;
    case VM_NEWS_JOB_COMPLETED: hear_domain_job(table, news); break;
    case VM_NEWS_LIFE: hear_life(table, news); break;
    default: break;
    }
}

struct job_table *
job_table_new(struct virt *virt)
{
    struct job_table *table = xalloc(sizeof(*table));

    LOOP_ONLY();
    table->virt = virt;
    table->listener = (struct virt_listener){ .told = told, .context = table };
    virt_listen(virt, &table->listener);
    return table;
}

/* ---- showing ---- */

static void
write_job(const struct vm_job *job, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "job", job->id);
    writer_member_string(writer, "vm", job->name);
    writer_member_string(writer, "uuid", job->uuid);
    writer_member_string(writer, "kind", job->kind);
    writer_member_string(writer, "disk", job->disk);
    writer_member_string(writer, "state", job->state);
    writer_member_unsigned(writer, "done", job->done);
    writer_member_unsigned(writer, "total", job->total);
    writer_member_unsigned(writer, "perSecond", job->per_second);
    writer_member_unsigned(writer, "bytesPerSecond", job->bound);
    writer_member_string(writer, "task", job->task);
    writer_member_time(writer, "began", job->begun_ns);
    writer_member_time(writer, "ended", job->ended_ns);
    writer_member_string(writer, "error", job->error);
    writer_end_object(writer);
}

static void
write_jobs(const struct vm_job *job, const char *uuid, struct writer *writer)
{
    for (; job; job = job->next)
        if (!uuid || strcmp(job->uuid, uuid) == 0)
            write_job(job, writer);
}

void
job_table_write(const struct job_table *table, const char *uuid, struct writer *writer)
{
    LOOP_ONLY();
    writer_object(writer);
    writer_key(writer, "jobs");
    writer_array(writer);
    write_jobs(table->running, uuid, writer);
    write_jobs(table->ended, uuid, writer);
    writer_end_array(writer);
    writer_end_object(writer);
}

const struct shape vm_jobs_shape = {
    .name = "VmJobs",
    .schema =
        "{\"type\":\"object\",\"required\":[\"jobs\"],\"properties\":{\"jobs\":{\"type\":\"array\",\"items\":"
        "{\"type\":\"object\",\"required\":[\"job\",\"vm\",\"uuid\",\"kind\",\"disk\",\"state\",\"done\","
        "\"total\",\"perSecond\",\"bytesPerSecond\",\"task\",\"began\",\"ended\",\"error\"],\"properties\":{"
        "\"job\":{\"type\":\"string\"},\"vm\":{\"type\":\"string\"},\"uuid\":{\"type\":\"string\"},"
        "\"kind\":{\"enum\":[\"merge\",\"move\",\"pull\",\"copy\",\"commit\",\"start\",\"save\",\"restore\","
        "\"migration-in\",\"migration-out\",\"snapshot\",\"snapshot-revert\",\"dump\",\"backup\",\"unknown\"]},"
        "\"disk\":{\"type\":[\"string\",\"null\"]},"
        "\"state\":{\"enum\":[\"running\",\"ready\",\"done\",\"failed\",\"canceled\",\"unknown\"]},"
        "\"done\":{\"type\":\"integer\"},\"total\":{\"type\":\"integer\"},"
        "\"perSecond\":{\"type\":\"integer\"},\"bytesPerSecond\":{\"type\":\"integer\"},"
        "\"task\":{\"type\":[\"string\",\"null\"]},\"began\":{\"type\":\"string\"},"
        "\"ended\":{\"type\":[\"string\",\"null\"]},\"error\":{\"type\":[\"string\",\"null\"]}}}}}}",
};
