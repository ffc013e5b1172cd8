/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent for the tests of rpc/: connections that keep what they are sent, and tasks that end when
 * the test says so.  It stands in for the transport (connection_...) and for task_start().
 */
#ifndef TESTS_FAKE_AGENT_H
#define TESTS_FAKE_AGENT_H

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/config.h"
#include "agent/task.h"
#include "rpc/rpc.h"

#define FAKE_CONNECTIONS 2
#define FAKE_TASKS_MAX 512
#define FAKE_INSTANCE "0b5a7cf0-0000-4000-8000-000000000001"

struct fake_task {
    struct task_request request; /* its key's text is a copy */
    char key[512];
    bool answered;
};

struct fake_agent {
    struct config config;
    struct agent agent;
    struct rpc rpc;
    struct connection connections[FAKE_CONNECTIONS];
    struct text sent[FAKE_CONNECTIONS]; /* messages, each with a line feed behind */
    unsigned finished[FAKE_CONNECTIONS];
    struct fake_task tasks[FAKE_TASKS_MAX]; /* begun and not ended: 'hold' and 'early' */
    size_t task_count;
    unsigned started_count; /* of all */
    char last_key[512];     /* of the task that was started last; "" for a fresh one */
    uint64_t last_connection;
    bool last_once;
};

static struct fake_agent *fake;

/* ---- the transport ---- */

void
connection_send(struct connection *connection, const char *json, size_t size)
{
    struct text *sent = &fake->sent[connection - fake->connections];

    assert(!connection->closed);
    text_append(sent, json, size);
    if (!connection->http) /* its body grows */
        text_append_char(sent, '\n');
}

void
connection_finish(struct connection *connection)
{
    size_t n = (size_t)(connection - fake->connections);

    fake->finished[n]++;
    if (fake->sent[n].length)
        text_append_char(&fake->sent[n], '\n');
}

/* ---- verbs ---- */

struct numbers_args {
    int64_t numbers[5];
};

struct inner_record {
    uint64_t rate;
    char *note;
};

struct part_record {
    char *name;
    const char *bus;
    int64_t order;
    bool has_order;
    struct inner_record *inner;
    char **tags;
};

struct every_args {
    char *name, *text, *path;
    struct task_reference task;
    uint64_t size;
    int64_t integer, any;
    bool flag;
    const char *choice;
    char *object;
    char **texts;
    struct inner_record *record;
    struct records parts; /* struct part_record */
    bool has_size;
};

static const struct shape fake_shape = { .name = "Fake", .schema = "{}" };

#define FAKE_VERB(fake_name, fake_role, fake_kind)                                                 \
    .name = (fake_name), .summary = "A verb of tests.", .role = (fake_role), .kind = (fake_kind),  \
    .result = &fake_shape
#define NUMBER(n, number_name, ...)                                                                \
    PARAM(numbers_args, numbers[n], number_name, .type = PARAM_INTEGER, .about = "A number.",      \
          __VA_ARGS__)
#define EVERY(member, param_name, ...)                                                             \
    PARAM(every_args, member, param_name, .about = "A parameter.", __VA_ARGS__)

static const struct param inner_members[] = {
    PARAM(inner_record, rate, "rate", .type = PARAM_SIZE, .maximum = 1000, .about = "In bytes."),
    PARAM(inner_record, note, "note", .type = PARAM_TEXT, .one_line = true, .about = "A line."),
    { 0 },
};
static const struct param part_members[] = {
    PARAM(part_record, name, "name", .type = PARAM_NAME, .required = true, .about = "A name."),
    PARAM(part_record, bus, "bus", .type = PARAM_CHOICE, .choices = CHOICES("virtio", "scsi"),
          .fallback = "\"virtio\"", .about = "A bus."),
    PARAM(part_record, order, "order", .type = PARAM_INTEGER, .minimum = 1, .maximum = 9,
          .present = PRESENT(part_record, has_order), .about = "An order."),
    PARAM(part_record, inner, "inner", .type = PARAM_RECORD, .members = inner_members,
          .member_size = sizeof(struct inner_record), .about = "A record within."),
    PARAM(part_record, tags, "tags", .type = PARAM_TEXTS, .about = "Tags."),
    { 0 },
};

static const struct verb fake_verbs[] = {
    { FAKE_VERB("subtract", ROLE_VIEWER, VERB_READS), .args_size = sizeof(struct numbers_args),
      .params = PARAMS(NUMBER(0, "minuend", .required = true),
                       NUMBER(1, "subtrahend", .required = true)) },
    { FAKE_VERB("sum", ROLE_VIEWER, VERB_READS), .args_size = sizeof(struct numbers_args),
      .params = PARAMS(NUMBER(0, "a"), NUMBER(1, "b"), NUMBER(2, "c")) },
    { FAKE_VERB("update", ROLE_VIEWER, VERB_READS), .args_size = sizeof(struct numbers_args),
      .params =
          PARAMS(NUMBER(0, "a"), NUMBER(1, "b"), NUMBER(2, "c"), NUMBER(3, "d"), NUMBER(4, "e")) },
    { FAKE_VERB("notify_hello", ROLE_VIEWER, VERB_READS), .args_size = sizeof(struct numbers_args),
      .params = PARAMS(NUMBER(0, "n")) },
    { FAKE_VERB("get_data", ROLE_VIEWER, VERB_READS), .aliases = "getData data" },
    { FAKE_VERB("large", ROLE_VIEWER, VERB_READS) },
    { FAKE_VERB("fail", ROLE_VIEWER, VERB_READS) },
    { FAKE_VERB("hold", ROLE_VIEWER, VERB_READS) },
    { FAKE_VERB("early", ROLE_OPERATOR, VERB_ANSWERS_EARLY) },
    { FAKE_VERB("change", ROLE_OPERATOR, VERB_CHANGES) },
    { FAKE_VERB("rule", ROLE_ADMIN, VERB_CHANGES) },
    { FAKE_VERB("every", ROLE_VIEWER, VERB_READS), .args_size = sizeof(struct every_args),
      .params =
          PARAMS(EVERY(name, "name", .type = PARAM_NAME, .make_uuid = true),
                 EVERY(text, "text", .type = PARAM_TEXT, .minimum = 2, .maximum = 8),
                 EVERY(path, "path", .type = PARAM_PATH), EVERY(task, "task", .type = PARAM_TASK),
                 EVERY(size, "size", .type = PARAM_SIZE, .minimum = 1, .fallback = "512",
                       .present = PRESENT(every_args, has_size)),
                 EVERY(integer, "integer", .type = PARAM_INTEGER, .minimum = -5, .maximum = 5),
                 EVERY(any, "any", .type = PARAM_INTEGER), EVERY(flag, "flag", .type = PARAM_BOOL),
                 EVERY(choice, "choice", .type = PARAM_CHOICE,
                       .choices = CHOICES("red", "green", "blue"), .fallback = "\"green\""),
                 EVERY(object, "object", .type = PARAM_OBJECT, .maximum = 64),
                 EVERY(texts, "texts", .type = PARAM_TEXTS),
                 EVERY(record, "record", .type = PARAM_RECORD, .members = inner_members,
                       .member_size = sizeof(struct inner_record)),
                 EVERY(parts, "parts", .type = PARAM_RECORDS, .members = part_members,
                       .member_size = sizeof(struct part_record), .maximum = 4)) },
    { 0 },
};

/* ---- tasks ---- */

static inline void
fake_answer_json(const struct task_request *request, const char *json)
{
    struct task_answer answer = { .result = json, .result_size = strlen(json) };

    request->answer(request->answer_context, &answer);
}

static inline void
fake_fail(const struct task_request *request, enum error_code code, const char *message)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct task_answer answer = { 0 };

    error_set(&error, code, "%s", message);
    answer.error = error;
    request->answer(request->answer_context, &answer);
}

static inline void
fake_run(const struct task_request *request)
{
    const int64_t *numbers = request->args ? ((struct numbers_args *)request->args)->numbers : NULL;
    _cleanup_text_ struct text result = TEXT_INIT;

    if (strcmp(request->verb->name, "subtract") == 0)
        text_printf(&result, "%" PRId64, (int64_t)((uint64_t)numbers[0] - (uint64_t)numbers[1]));
    else if (strcmp(request->verb->name, "sum") == 0)
        text_printf(&result, "%" PRId64,
                    (int64_t)((uint64_t)numbers[0] + (uint64_t)numbers[1] + (uint64_t)numbers[2]));
    else if (strcmp(request->verb->name, "get_data") == 0)
        text_append_string(&result, "[\"hello\",5]");
    else if (strcmp(request->verb->name, "large") == 0)
        text_printf(&result, "\"%0500000d\"", 0);
    else
        text_append_string(&result, "{}");
    if (strcmp(request->verb->name, "fail") == 0)
        fake_fail(request, ERROR_CONFLICT, "it was changed");
    else
        fake_answer_json(request, result.bytes);
}

void
task_start(struct agent *agent, const struct task_request *request)
{
    struct fake_task *task = &fake->tasks[fake->task_count];
    bool hold = strcmp(request->verb->name, "hold") == 0;
    bool early = strcmp(request->verb->name, "early") == 0;

    (void)agent;
    fake->started_count++;
    assert(request->key.length < sizeof(fake->last_key));
    memcpy(fake->last_key, request->key.text ? request->key.text : "", request->key.length);
    fake->last_key[request->key.length] = '\0';
    fake->last_connection = request->key.connection;
    fake->last_once = request->once;
    if (!hold)
        fake_run(request);
    if (!hold && !early) {
        request->ended(request->answer_context);
        verb_args_free(request->verb, request->args);
        return;
    }
    assert(fake->task_count < FAKE_TASKS_MAX);
    *task = (struct fake_task){ .request = *request, .answered = early };
    (void)snprintf(task->key, sizeof(task->key), "%s", fake->last_key);
    fake->task_count++;
}

static inline void
fake_end_at(size_t n)
{
    struct fake_task task = fake->tasks[n];

    assert(n < fake->task_count);
    fake->tasks[n] = fake->tasks[--fake->task_count];
    if (!task.answered)
        fake_answer_json(&task.request, "\"held\"");
    task.request.ended(task.request.answer_context);
    verb_args_free(task.request.verb, task.request.args);
}

/* The task of that key answers, unless it has, and is over. */
static inline void
fake_end(const char *key)
{
    for (size_t n = 0; n < fake->task_count; n++)
        if (strcmp(fake->tasks[n].key, key) == 0) {
            fake_end_at(n);
            return;
        }
    assert(!"there is no such task");
}

/* ---- the whole ---- */

static inline void
fake_open(void)
{
    static const struct verb_table tables[] = { { fake_verbs, NULL } };

    fake = xalloc(sizeof(*fake));
    fake->config.limits.json_depth = 16;
    fake->config.limits.batch_count = 8;
    fake->config.limits.connection_tasks = 6;
    fake->config.limits.caller_rate = 1000000;
    fake->agent.config = &fake->config;
    fake->agent.verbs = verb_index_new(tables, ARRAY_COUNT(tables));
    (void)snprintf(fake->agent.instance, sizeof(fake->agent.instance), "%s", FAKE_INSTANCE);
    fake->rpc.agent = &fake->agent;
    rates_open(&fake->rpc);
    for (size_t i = 0; i < FAKE_CONNECTIONS; i++) {
        struct connection *connection = &fake->connections[i];

        connection->number = i + 7;
        connection->rpc = &fake->rpc;
        connection->role = ROLE_OPERATOR;
        connection->caller = xprintf("uid:%zu", i);
    }
}

/* Ends the tasks that are left. */
static inline void
fake_close(void)
{
    for (size_t i = 0; i < FAKE_CONNECTIONS; i++)
        request_forget(&fake->connections[i]);
    while (fake->task_count)
        fake_end_at(0);
    for (size_t i = 0; i < FAKE_CONNECTIONS; i++) {
        assert(fake->connections[i].tasks == 0);
        free(fake->connections[i].caller);
        text_done(&fake->sent[i]);
    }
    verb_index_free((struct verb_index *)(uintptr_t)fake->agent.verbs);
    free(fake->rpc.rates);
    free(fake);
    fake = NULL;
}

/* 'message' is read from memory of just its size, so that a sanitizer sees each byte too many. */
static inline void
fake_receive_sized(size_t n, const void *message, size_t size)
{
    char *bytes = xalloc(size ? size : 1);

    if (size)
        memcpy(bytes, message, size);
    request_receive(&fake->connections[n], bytes, size);
    free(bytes);
}

/* What the connection has been sent since the last look; "" for nothing. */
static inline const char *
fake_sent(size_t n)
{
    static struct text last;

    text_clear(&last);
    text_append(&last, fake->sent[n].bytes, fake->sent[n].length);
    text_clear(&fake->sent[n]);
    if (last.length)
        last.bytes[--last.length] = '\0'; /* the last line feed */
    return last.bytes;
}

/* What a message is answered at once. */
static inline const char *
fake_ask(size_t n, const char *message)
{
    fake_receive_sized(n, message, strlen(message));
    return fake_sent(n);
}

#endif
