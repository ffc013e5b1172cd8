/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call that only reads and never waits runs to its end within task_start(): its key and caller
 * stay borrowed and it never enters the table.  Whatever goes on after that is 'kept'.
 */
#include <config.h>

#include "agent/task-internal.h"

#include <assert.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "agent/error-json.h"
#include "events/ring.h"

#define SPARE_MAX 1024

uint64_t
task_key_hash(const struct task_key *key)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ key->connection;

    for (size_t i = 0; i < key->length; i++)
        hash = (hash ^ (unsigned char)key->text[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 32;
}

static bool
keys_equal(const struct task_key *one, const struct task_key *other)
{
    return one->connection == other->connection && one->length == other->length &&
           memcmp(one->text, other->text, one->length) == 0;
}

static struct task **
bucket_of(const struct task_table *table, const struct task_key *key)
{
    return &table->buckets[task_key_hash(key) & (table->bucket_count - 1)];
}

struct task *
task_find(const struct task_table *table, const struct task_key *key)
{
    struct task *task = *bucket_of(table, key);

    while (task && !keys_equal(&task->key, key))
        task = task->hash_next;
    return task;
}

static void
grow_buckets(struct task_table *table)
{
    struct task **old = table->buckets;
    size_t old_count = table->bucket_count;

    if (table->kept_count < old_count)
        return;
    table->bucket_count = old_count * 2;
    table->buckets = xalloc(table->bucket_count * sizeof(table->buckets[0]));
    for (size_t i = 0; i < old_count; i++)
        while (old[i]) {
            struct task *task = old[i], **bucket = bucket_of(table, &task->key);

            old[i] = task->hash_next;
            task->hash_next = *bucket;
            *bucket = task;
        }
    free(old);
}

bool
task_leaves_history(const struct task *task)
{
    return task->call.verb->kind != VERB_READS;
}

void
task_keep(struct task *task)
{
    struct task_table *table = task->call.agent->tasks;
    struct task **bucket;

    if (task->kept)
        return;
    task->key.text = xstrndup(task->key.text, task->key.length);
    task->caller = xstrdup(task->caller);
    grow_buckets(table);
    bucket = bucket_of(table, &task->key);
    task->hash_next = *bucket;
    *bucket = task;
    table->kept_count++;
    task->kept = true;
    if (!task_leaves_history(task))
        return;
    task->previous = table->last;
    if (table->last)
        table->last->next = task;
    else
        table->first = task;
    table->last = task;
}

/* Out of the table, so that its id is free. */
static void
leave_table(struct task *task)
{
    struct task_table *table = task->call.agent->tasks;
    struct task **place;

    if (!task->kept)
        return;
    for (place = bucket_of(table, &task->key); *place != task; place = &(*place)->hash_next)
        ;
    *place = task->hash_next;
    table->kept_count--;
    if (!task_leaves_history(task))
        return;
    if (task->previous)
        task->previous->next = task->next;
    else
        table->first = task->next;
    if (task->next)
        task->next->previous = task->previous;
    else
        table->last = task->previous;
}

static void
fade(struct timer *timer)
{
    struct task_table *table = CONTAINER_OF(timer, struct task_table, fade);

    history_fade(table->history, clock_wall_ns());
    timer_arm(table->agent->loop, &table->fade, 1000);
}

struct task_table *
task_table_new(struct agent *agent, unsigned retention_s, unsigned history_count_max)
{
    struct task_table *table = xalloc(sizeof(*table));

    table->agent = agent;
    table->retention_s = retention_s;
    table->history_count = history_count_max;
    table->bucket_count = 64;
    table->buckets = xalloc(table->bucket_count * sizeof(table->buckets[0]));
    table->history = history_new(retention_s, history_count_max);
    table->lanes[POOL_REPOSITORY].name = "workers";
    /* What is being connected may be stuck as well: half of the threads are for the others. */
    table->lanes[POOL_REPOSITORY].limit = agent->config->workers / 2;
    table->lanes[POOL_COPY].name = "copy workers";
    /* Copies wait their turn as long as it takes: a busy copy is no stuck one. */
    table->lanes[POOL_COPY].stuck_ms = UINT32_MAX;
    table->lanes[POOL_GLUSTER].name = "gluster";
    /* glusterd takes ten seconds to begin a rebalance: a few of them are no stuck glusterd. */
    table->lanes[POOL_GLUSTER].stuck_ms = 30000;
    table->lanes[POOL_VIRT].name = "libvirt";
    table->lanes[POOL_VIRT].stuck_ms = 30000;
    table->fade.fire = fade;
    timer_arm(agent->loop, &table->fade, 1000);
    return table;
}

static struct task *
take_spare(struct task_table *table)
{
    struct task *task = table->spare;

    if (!task)
        return xalloc(sizeof(*task));
    table->spare = task->hash_next;
    table->spare_count--;
    memset(task, 0, sizeof(*task));
    return task;
}

static void
free_task(struct task *task)
{
    struct task_table *table = task->call.agent->tasks;

    if (task->kept) {
        free((char *)(uintptr_t)task->key.text);
        free((char *)(uintptr_t)task->caller);
    }
    while (task->asker.next) {
        struct asker *joiner = task->asker.next;

        task->asker.next = joiner->next;
        free(joiner);
        table->joined_count--;
    }
    if (task->reports)
        for (size_t i = 0; i < task->step_count; i++)
            free((char *)(uintptr_t)task->reports[i].message);
    if (task->reports != task->inline_reports)
        free(task->reports);
    verb_args_free(task->call.verb, (void *)(uintptr_t)task->call.args);
    free(task->call.state);
    free(task->object_kind);
    free(task->object_repository);
    free(task->object_id);
    text_done(&task->result);
    writer_done(&task->writer);
    error_free(task->error);
    error_free(task->step_error);
    free(task->message);
    free(task->wait_key);
    if (table->spare_count >= SPARE_MAX) {
        free(task);
        return;
    }
    task->hash_next = table->spare;
    table->spare = task;
    table->spare_count++;
}

/* For tests only: an agent never ends its table.  Tasks that still run are left alone. */
void
task_table_free(struct task_table *table)
{
    if (!table)
        return;
    timer_disarm(table->agent->loop, &table->fade);
    while (table->spare) {
        struct task *task = table->spare;

        table->spare = task->hash_next;
        free(task);
    }
    history_free(table->history);
    free(table->buckets);
    free(table);
}

void
task_key_shown(const struct task_key *key, struct text *ret_text)
{
    if (key->connection)
        text_printf(ret_text, "%llu:", (unsigned long long)key->connection);
    text_append(ret_text, key->text, key->length);
}

void
task_publish(struct task *task, const char *topic)
{
    struct agent *agent = task->call.agent;
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    _cleanup_text_ struct text shown = TEXT_INIT;
    struct task_view view;

    if (!task_leaves_history(task) || !agent->ring)
        return;
    task_view_of(task, &view);
    task_view_write(agent, &view, &writer);
    task_key_shown(&task->key, &shown);
    (void)ring_publish(agent->ring, topic, shown.bytes, writer.text.bytes, writer.text.length);
}

static void
refuse(const struct task_request *request, struct error *error)
{
    struct task_answer answer = { .error = error };

    if (request->answer)
        request->answer(request->answer_context, &answer);
    if (request->ended)
        request->ended(request->answer_context);
    verb_args_free(request->verb, request->args);
    error_free(error);
}

static void
refuse_in_use(struct agent *agent, const struct task_request *request, const struct task *holder)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    _cleanup_text_ struct text shown = TEXT_INIT;
    struct task_view view;
    struct error *error = NULL;

    task_view_of(holder, &view);
    task_view_write(agent, &view, &writer);
    task_key_shown(&holder->key, &shown);
    error_set(&error, ERROR_TASK_ID_IN_USE,
              "the id '%s' is in use by a running '%s': wait for it, or choose another",
              shown.bytes, holder->call.verb->name);
    error_data_json(&error, "task", writer.text.bytes);
    refuse(request, error);
}

/* What was answered, or is to be now: what comes after an early answer changes nothing of it. */
static struct task_answer
answer_of(const struct task *task)
{
    if (task->error && !task->responded)
        return (struct task_answer){ .error = task->error };
    if (!task->result.bytes)
        return (struct task_answer){ .result = "{}", .result_size = 2 };
    return (struct task_answer){ .result = task->result.bytes, .result_size = task->result.length };
}

/* 'once' and somebody runs under the id: their answer is ours too. */
static void
join(struct task *task, const struct task_request *request)
{
    struct asker *joiner;

    verb_args_free(request->verb, request->args);
    joiner = xalloc(sizeof(*joiner));
    joiner->answer = request->answer;
    joiner->ended = request->ended;
    joiner->context = request->answer_context;
    if (task->responded && joiner->answer) {
        struct task_answer answer = answer_of(task);

        joiner->answer(joiner->context, &answer);
        joiner->answer = NULL;
    }
    joiner->next = task->asker.next;
    task->asker.next = joiner;
    task->call.agent->tasks->joined_count++;
}

static bool
repeat_remembered(struct task_table *table, const struct task_request *request)
{
    struct task_answer answer = { 0 };
    struct task_view view;

    if (!history_find(table->history, &request->key, &view))
        return false;
    if (view.error && !(view.responded && view.result))
        answer.error = view.error;
    else {
        answer.result = view.result ? view.result : "{}";
        answer.result_size = view.result ? view.result_size : 2;
    }
    if (request->answer)
        request->answer(request->answer_context, &answer);
    if (request->ended)
        request->ended(request->answer_context);
    verb_args_free(request->verb, request->args);
    return true;
}

static void
set_object(struct task *task)
{
    struct object_name name = { 0 };

    if (!task->call.verb->object)
        return;
    task->call.verb->object(task->call.args, &name);
    task->object_kind = name.kind ? xstrdup(name.kind) : NULL;
    task->object_repository = name.repository ? xstrdup(name.repository) : NULL;
    task->object_id = name.id ? xstrdup(name.id) : NULL;
}

static struct task *
make_task(struct agent *agent, const struct task_request *request, const struct task_key *key)
{
    struct task_table *table = agent->tasks;
    struct task *task = take_spare(table);
    const struct verb *verb = request->verb;

    task->call = (struct call){
        .verb = verb, .agent = agent, .context = request->context, .args = request->args
    };
    if (verb->state_size)
        task->call.state = xalloc(verb->state_size);
    task->key = *key;
    task->caller = request->caller ? request->caller : "agent";
    task->role = request->role;
    task->connection = request->connection;
    task->asker = (struct asker){ request->answer, request->ended, request->answer_context, NULL };
    task->sequence = ++table->sequence;
    task->created_ns = clock_wall_ns();
    task->status = TASK_PENDING;
    task->per_second = -1;
    while (verb->steps[task->step_count].name)
        task->step_count++;
    task->reports = task->step_count <= REPORTS_INLINE
                        ? task->inline_reports
                        : xalloc(task->step_count * sizeof(task->reports[0]));
    table->active_count++;
    table->started_count++;
    return task;
}

/* Who joins a task takes memory as one that runs does. */
static bool
is_full(const struct task_table *table)
{
    return table->active_count + table->joined_count >= table->agent->config->limits.active_tasks;
}

static void
refuse_for_limit(const struct agent *agent, const struct task_request *request)
{
    struct error *error = NULL;

    error_set(&error, ERROR_LIMIT_EXCEEDED, "too many tasks run: try again when some have ended");
    error_data_text(&error, "limit", "activeTasks");
    error_data_number(&error, "max", (int64_t)agent->config->limits.active_tasks);
    refuse(request, error);
}

void
task_start(struct agent *agent, const struct task_request *request)
{
    struct task_table *table = agent->tasks;
    struct task_key key = request->key;
    char fresh[UUID_TEXT_SIZE];
    struct task *task;

    LOOP_ONLY();
    if (!key.text) {
        uuid_make(fresh);
        key = (struct task_key){ .text = fresh, .length = UUID_TEXT_SIZE - 1 };
    } else if ((task = task_find(table, &key))) {
        if (!request->once)
            refuse_in_use(agent, request, task);
        else if (is_full(table))
            refuse_for_limit(agent, request);
        else
            join(task, request);
        return;
    } else if (request->once && repeat_remembered(table, request)) {
        return;
    }
    if (is_full(table)) {
        refuse_for_limit(agent, request);
        return;
    }
    task = make_task(agent, request, &key);
    if (task_leaves_history(task)) {
        set_object(task);
        history_forget(table->history, &key);
        task_keep(task);
        log_debug(task->key.text, "task %s entered by %s", task->call.verb->name, task->caller);
        task->status = TASK_RUNNING;
        task->started_ns = task->created_ns;
        task_publish(task, "task.started");
    } else {
        task->status = TASK_RUNNING;
        task->started_ns = task->created_ns;
    }
    task_run(task);
}

void
task_answer(struct task *task)
{
    struct task_answer answer = answer_of(task);

    task->responded = true;
    log_debug(task->kept ? task->key.text : NULL, "%s answered", task->call.verb->name);
    for (struct asker *asker = &task->asker; asker; asker = asker->next)
        if (asker->answer) {
            asker->answer(asker->context, &answer);
            asker->answer = NULL;
        }
}

static void
wake_waiters_for(struct task *task)
{
    _cleanup_text_ struct text key = TEXT_INIT;

    if (!task->kept || task->call.agent->tasks->waiting_count == 0)
        return;
    text_append_string(&key, "task:");
    task_key_shown(&task->key, &key);
    task_wake(task->call.agent, key.bytes);
}

void
task_end(struct task *task)
{
    struct task_table *table = task->call.agent->tasks;

    if (!task->error) {
        task->status = TASK_DONE;
    } else if (atomic_load(&task->aborted)) {
        if (task->error->code != ERROR_TASK_ABORTED) {
            _cleanup_free_ char *reason = xstrdup(task->error->message);

            error_free(task->error);
            task->error = NULL;
            error_set(&task->error, ERROR_TASK_ABORTED, "the task was aborted: %s", reason);
        }
        task->status = TASK_ABORTED;
    } else {
        task->status = TASK_FAILED;
    }
    /* What the first steps wrote is the result of nothing: nobody was, or will be, told. */
    if (task->error && !task->responded)
        text_done(&task->result);
    task->ended_ns = clock_wall_ns();
    leave_table(task);
    table->active_count--;
    if (task_leaves_history(task)) {
        struct task_view view;
        bool responded = task->responded;

        task->responded = true; /* the answer goes out below: what is remembered says so */
        task_view_of(task, &view);
        history_add(table->history, &view);
        task_publish(task, "task.ended");
        task->responded = responded;
        log_debug(task->key.text, "task ended: %s", task->error ? task->error->message : "done");
    }
    wake_waiters_for(task);
    if (!task->responded)
        task_answer(task);
    for (struct asker *asker = &task->asker; asker; asker = asker->next)
        if (asker->ended)
            asker->ended(asker->context);
    free_task(task);
}

static size_t
wait_bucket(const char *key)
{
    struct task_key as_key = { .text = key, .length = strlen(key) };

    return task_key_hash(&as_key) % WAIT_BUCKETS;
}

void
task_wake(struct agent *agent, const char *key)
{
    struct task_table *table = agent->tasks;
    struct task *woken = NULL;

    LOOP_ONLY();
    /* First take them out, then run them: a step may wait for the same key again. */
    for (struct task *task = table->waiting[wait_bucket(key)], *next; task; task = next) {
        next = task->waiting_next;
        if (strcmp(task->wait_key, key) != 0)
            continue;
        task_resume_waiting(task);
        task->waiting_next = woken;
        woken = task;
    }
    while (woken) {
        struct task *task = woken;

        woken = task->waiting_next;
        task->waiting_next = NULL;
        task_run(task);
    }
}

void
task_resume_waiting(struct task *task)
{
    struct task_table *table = task->call.agent->tasks;

    timer_disarm(table->agent->loop, &task->timer);
    if (task->held == TASK_WAITING) {
        if (task->waiting_previous)
            task->waiting_previous->waiting_next = task->waiting_next;
        else
            table->waiting[wait_bucket(task->wait_key)] = task->waiting_next;
        if (task->waiting_next)
            task->waiting_next->waiting_previous = task->waiting_previous;
        task->waiting_next = task->waiting_previous = NULL;
        table->waiting_count--;
    }
    task->held = TASK_IDLE;
}
