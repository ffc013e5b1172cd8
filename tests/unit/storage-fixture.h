/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real agent with the storage verbs and two repositories, 'slow' and 'fast', in a folder of its own:
 * calls as rpc/ makes them, without a socket.  One for all tests of a program.
 */
#ifndef TESTS_STORAGE_FIXTURE_H
#define TESTS_STORAGE_FIXTURE_H

#include "tests/unit/agent-fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/base/durable.h"
#include "agent/base/thread.h"
#include "rpc/args.h"
#include "storage/storage.h"

static char storage_folder[] = "/tmp/hostler-verbs-XXXXXX";
static struct storage *storage;
static bool storage_settled;

static inline void
note_settled(void *context)
{
    (void)context;
    storage_settled = true;
}

static inline const struct verb *
verb_called(const char *name)
{
    const struct verb *const tables[] = {
        repository_verbs,     image_verbs,          image_copy_verbs,  image_export_verbs,
        image_check_verbs,    image_snapshot_verbs, image_serve_verbs, image_resize_verbs,
        image_optimize_verbs, image_merge_verbs,    ticket_verbs,      image_release_verbs
    };

    for (size_t i = 0; i < ARRAY_COUNT(tables); i++)
        for (const struct verb *verb = tables[i]; verb->name; verb++)
            if (strcmp(verb->name, name) == 0)
                return verb;
    fail_msg("there is no verb '%s'", name);
    return NULL;
}

/* Starts a call under 'id'; 'params' is JSON. */
static inline void
begin_call(const char *id, const char *method, const char *params, struct answered *answered)
{
    struct task_request request = { .verb = verb_called(method),
                                    .context = storage,
                                    .key = { .text = id, .length = strlen(id) },
                                    .caller = "uid:0",
                                    .role = ROLE_ADMIN,
                                    .answer = fixture_answer,
                                    .ended = fixture_ended,
                                    .answer_context = answered };
    struct common_args common = { 0 };
    struct error *error = NULL;

    *answered = (struct answered){ 0 };
    if (!args_fill(request.verb, (struct slice){ params, strlen(params) }, &request.args, &common,
                   &error))
        fail_msg("%s: %s", method, error->message);
    common_args_done(&common);
    task_start(&fixture, &request);
}

static inline void
wait_for_answer(const struct answered *answered)
{
    while (answered->answers == 0)
        loop_turn(fixture.loop, true);
}

/* Runs a call to its end.  What it was answered; owned by the caller. */
static inline char *
run_call(const char *method, const char *params)
{
    struct answered answered;

    begin_call("call", method, params, &answered);
    fixture_wait(&answered);
    if (answered.error)
        fail_msg("%s %s: %s", method, params, answered.error->message);
    return answered.result;
}

static inline void
run_quietly(const char *method, const char *params)
{
    free(run_call(method, params));
}

/* The call is refused with 'code', in words that have 'part' in them. */
static inline void
assert_call_refused(const char *method, const char *params, enum error_code code, const char *part)
{
    struct answered answered;

    begin_call("call", method, params, &answered);
    fixture_wait(&answered);
    if (!answered.error)
        fail_msg("%s %s was done: %s", method, params, answered.result);
    if (answered.error->code != code || !strstr(answered.error->message, part))
        fail_msg("%s %s: %s: %s", method, params, error_code_name(answered.error->code),
                 answered.error->message);
    answered_done(&answered);
}

static inline void
assert_answer_has(const char *method, const char *params, const char *wanted)
{
    char *result = run_call(method, params);

    if (!strstr(result, wanted))
        fail_msg("'%s' is not in %s", wanted, result);
    free(result);
}

static inline char *
path_of(const char *below)
{
    return xprintf("%s/%s", storage_folder, below);
}

/* 'size' times 'fill' at the beginning of a file below the folder. */
static inline void
write_bytes(const char *below, char fill, size_t size)
{
    _cleanup_free_ char *path = path_of(below), *bytes = xalloc(size);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

    memset(bytes, fill, size);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, 0), size);
}

static inline void
read_text(const char *below, struct text *ret_text)
{
    _cleanup_free_ char *path = path_of(below);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        fail_msg("there is no '%s'", path);
    while ((got = read(fd, text_reserve(ret_text, 65536), 65536)) > 0)
        text_grow(ret_text, (size_t)got);
}

static inline bool
is_there(const char *below)
{
    _cleanup_free_ char *path = path_of(below);
    struct stat status;

    return lstat(path, &status) == 0;
}

static inline void
connect_repository(const char *name)
{
    _cleanup_free_ char *params =
        xprintf("{\"repository\":\"%s\",\"kind\":\"dir\",\"path\":\"%s/%s\",\"create\":true}", name,
                storage_folder, name);

    run_quietly("repository.connect", params);
}

static inline int
open_storage(void **state)
{
    struct error *error = NULL;

    (void)state;
    if (!mkdtemp(storage_folder))
        return -1;
    fixture_config.run_dir = storage_folder;
    fixture_config.name = (char *)(uintptr_t) "unit";
    fixture_config.workers = 4;
    fixture_config.limits.copies = 2;
    fixture_open(600, 1000);
    uuid_make(fixture.host_id);
    storage = storage_new();
    assert_true(storage_open(storage, &fixture, note_settled, NULL, &error));
    while (!storage_settled)
        loop_turn(fixture.loop, true);
    connect_repository("slow");
    connect_repository("fast");
    return 0;
}

static inline int
close_storage(void **state)
{
    int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct error *error = NULL;

    (void)state;
    fixture_close();
    thread_mark(THREAD_UNMARKED);
    if (!durable_remove_tree(parent, strrchr(storage_folder, '/') + 1, &error))
        fail_msg("%s", error->message);
    (void)close(parent);
    return 0;
}

#endif
