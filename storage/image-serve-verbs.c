/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve, unserve: thin steps over storage/image-serve.c and the table of what is served.
 */
#include <config.h>

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"
#include "storage/image-data.h"
#include "storage/image-serve-table.h"
#include "storage/image-serve.h"
#include "storage/image-steps.h"
#include "storage/image-use.h"
#include "storage/qemu-lock.h"
#include "storage/storage.h"

#define RELOCK_PATIENCE_MS 5000
#define RELOCK_PAUSE_MS 100

static const struct shape served_shape = {
    .name = "ServedImage",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"repository\",\"image\",\"uri\","
        "\"writable\",\"tls\"],\"properties\":{\"repository\":{\"type\":\"string\"},\"image\":{\"type\":\"string\"},"
        "\"uri\":{\"type\":\"string\"},\"writable\":{\"type\":\"boolean\"},\"tls\":{\"type\":\"boolean\"}}}",
};

struct serve_args {
    char *repository, *image;
    bool writable, tls;
    int64_t if_generation;
    bool has_generation;
};

struct serve_state {
    struct image_state common;
    struct serving *serving;    /* busy for us; loop only */
    struct serve_record record; /* of what was started, or a part of what is to be ended */
    int pidfd;                  /* of what was started, owned; else the table's, or -1 */
    bool running;               /* it was started, and not ended again */
    bool settled;               /* nothing is to be done: it is served already */
    bool ended;
};

static void
serve_done(struct call *call)
{
    struct serve_state *state = call->state;

    serve_record_done(&state->record);
    image_state_done(call);
}

/* Finds the entry when no other call is at it: true, or '*ret_wait' is to be returned. */
static bool
await_entry(struct call *call, enum outcome *ret_wait)
{
    const struct serve_args *args = call->args;
    struct serve_state *state = call->state;
    const char *uuid = state->common.repository->uuid;
    _cleanup_free_ char *key = serving_key(uuid, args->image);

    state->serving = serving_find(call->context, uuid, args->image);
    if (!state->serving || !state->serving->busy)
        return true;
    state->serving = NULL;
    *ret_wait = call_wait(call, key, 0, "another call serves it, or ends that");
    return false;
}

/* ---- serve ---- */

/* qemu-nbd would find out too, and say so in words of its own. */
static bool
require_free_of_guests(struct call *call, struct error **err)
{
    const struct serve_args *args = call->args;
    const struct image *image = ((const struct serve_state *)call->state)->common.image;
    const char *data = image_record_data(&image->record);

    return args->writable
               ? qemu_lock_require_free(image->folder, data, call_abort_flag(call), err)
               : qemu_lock_require_no_writers(image->folder, data, call_abort_flag(call), err);
}

static void
write_served(struct call *call, const struct serve_record *record)
{
    const struct serve_args *args = call->args;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "repository", args->repository);
    writer_member_string(writer, "image", args->image);
    writer_member_string(writer, "uri", record->uri);
    writer_member_bool(writer, "writable", record->writable);
    writer_member_bool(writer, "tls", record->tls);
    writer_end_object(writer);
}

static enum outcome
answer_again(struct call *call, const struct serve_record *record)
{
    const struct serve_args *args = call->args;
    struct serve_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    const char *how = record->writable ? "for writing" : "read-only";
    const char *by = record->tls ? " by TLS" : "";

    state->serving = NULL; /* it goes on, whatever becomes of this call */
    if (record->writable == args->writable && record->tls == args->tls) {
        state->settled = true;
        write_served(call, record);
        return call_complete(call, "it is served already");
    }
    error_set(&error, ERROR_WRONG_STATE,
              "image '%s' is served %s%s at %s: end that first (image.unserve)", args->image, how,
              by, record->uri);
    error_data_text(&error, "state", "served %s%s", how, by);
    error_data_text(&error, "needs", "not served");
    return call_fail(call, TAKE(error));
}

static enum outcome
serve_claim(struct call *call)
{
    const struct serve_args *args = call->args;
    struct serve_state *state = call->state;
    enum outcome wait;

    state->pidfd = -1;
    if (!await_entry(call, &wait))
        return wait;
    if (state->serving)
        return answer_again(call, &state->serving->record);
    state->serving = serving_add(call->context, state->common.repository->uuid, args->image);
    return call_complete(call, NULL);
}

static bool
is_unsettled(const struct call *call)
{
    return !((const struct serve_state *)call->state)->settled;
}

static bool
start_server(struct call *call, struct error **err)
{
    const struct serve_args *args = call->args;
    struct serve_state *state = call->state;
    struct repository *repository = state->common.repository;
    const struct serve_options options = { .writable = args->writable,
                                           .tls = args->tls,
                                           .config = call->agent->config };
    _cleanup_free_ char *holder = xprintf("%s image.serve", call->agent->host_id);

    if (!image_open_locked(repository, args->image,
                           args->writable ? IMAGE_LOCK_EXCLUSIVE : IMAGE_LOCK_SHARED, holder,
                           &state->common.image, err) ||
        !image_require_generation(state->common.image, args->has_generation,
                                  (uint64_t)args->if_generation, err) ||
        !image_require_usable(state->common.image, err) ||
        !image_require_resized(state->common.image, err))
        return false;
    if (args->writable &&
        !image_require_unused(state->common.image, NULL,
                              "serve it read-only, or undefine that first (vm.undefine)", err))
        return false;
    if (args->writable && !state->common.image->record.mutable)
        return error_set(err, ERROR_IMAGE_IMMUTABLE,
                         "image '%s' is immutable: serve it read-only, or a new image over it",
                         args->image);
    return require_free_of_guests(call, err) &&
           serve_start(state->common.image, &options, call_abort_flag(call), &state->record,
                       &state->pidfd, err);
}

static enum outcome
serve_run(struct call *call)
{
    struct serve_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!start_server(call, &error))
        return call_fail(call, TAKE(error));
    state->running = true;
    write_served(call, &state->record);
    image_tell(call, state->common.image, NULL);
    return call_complete(call, "%s", state->record.uri);
}

/* Aborted between its start and its answer: nobody would know of it. */
static enum outcome
serve_undo(struct call *call)
{
    struct serve_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!state->running)
        return call_complete(call, "it was not begun");
    if (!serve_end(state->pidfd, &error) || !serve_record_remove(&state->record, &error))
        return call_complete(call, "it is served: %s", error->message);
    state->running = false;
    image_settle(call, state->common.image, NULL);
    return call_complete(call, "it is served no more");
}

static enum outcome
serve_settle(struct call *call)
{
    struct serve_state *state = call->state;

    if (!state->serving)
        return call_complete(call, NULL);
    if (state->running) {
        serving_enter_take(TAKE(state->serving), &state->record, state->pidfd);
    } else {
        cleanup_close_fd(&state->pidfd);
        serving_drop(TAKE(state->serving));
    }
    state->pidfd = -1;
    return call_complete(call, NULL);
}

/* ---- unserve ---- */

static enum outcome
unserve_claim(struct call *call)
{
    struct serve_state *state = call->state;
    enum outcome wait;

    state->pidfd = -1;
    if (!await_entry(call, &wait))
        return wait;
    if (!state->serving)
        return call_complete(call, "it is not served");
    state->serving->busy = true;
    state->pidfd = state->serving->pidfd;
    /* What ending it needs, on a worker. */
    memcpy(&state->record, &state->serving->record, sizeof(state->record));
    state->record.image = xstrdup(state->record.image);
    state->record.uri = xstrdup(state->record.uri);
    return call_complete(call, "by process %d at %s", (int)state->record.pid, state->record.uri);
}

static enum outcome
unserve_look(struct call *call)
{
    const struct serve_args *args = call->args;
    struct serve_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!image_open(state->common.repository, args->image, &state->common.image, &error)) {
        if (!state->serving || args->has_generation)
            return call_fail(call, TAKE(error));
        return call_complete(call, "%s, going on", error->message); /* it is to end all the same */
    }
    if (!image_require_generation(state->common.image, args->has_generation,
                                  (uint64_t)args->if_generation, &error))
        return call_fail(call, TAKE(error));
    if (state->serving)
        return call_complete(call, NULL);
    error_set(&error, ERROR_WRONG_STATE, "image '%s' is not served by this agent", args->image);
    error_data_text(&error, "state", "not served");
    error_data_text(&error, "needs", "served");
    return call_fail(call, TAKE(error));
}

/* The lock is taken over from qemu-nbd, or taken again now that it has ended. */
static bool
lock_again(struct call *call, struct image_lock *lock_take, struct error **err)
{
    const struct serve_args *args = call->args;
    struct serve_state *state = call->state;
    const struct timespec pause = { .tv_nsec = RELOCK_PAUSE_MS * NS_PER_MS };
    int64_t since_ns = clock_monotonic_ns();
    _cleanup_free_ char *holder = image_holder(call);

    if (lock_take) {
        state->common.image->lock = lock_take;
        return image_read_record(state->common.image, err);
    }
    image_close(TAKE(state->common.image));
    while (!image_open_locked(state->common.repository, args->image, IMAGE_LOCK_EXCLUSIVE, holder,
                              &state->common.image, err)) {
        if ((*err)->code != ERROR_IMAGE_IN_USE ||
            clock_monotonic_ns() - since_ns > RELOCK_PATIENCE_MS * NS_PER_MS)
            return false;
        error_free(TAKE(*err));
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

/* What was written through it is one completed operation on the image: data first, then the record. */
static bool
raise_generation(struct image *image, struct error **err)
{
    if (!folder_sync_file(image->folder, image_record_data(&image->record), err))
        return false;
    image_forget_checksum(image);
    image->record.generation++;
    return image_write_record(image, err);
}

/* In one step: who aborts the call finds it served, or ended and told of. */
static enum outcome
unserve_run(struct call *call)
{
    struct serve_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_(image_lock_releasep) struct image_lock *lock = NULL;

    if (state->record.writable && state->common.image)
        lock = serve_take_lock(state->pidfd);
    if (!serve_end(state->pidfd, &error))
        return call_fail(call, TAKE(error));
    state->ended = true;
    if (!state->record.writable || !state->common.image)
        return call_complete(call, NULL);
    if (!lock_again(call, TAKE(lock), &error) || !raise_generation(state->common.image, &error)) {
        error_wrap(&error, "it is served no more, but its generation was not raised");
        return call_fail(call, TAKE(error));
    }
    return call_complete(call, "generation %" PRIu64, state->common.image->record.generation);
}

static enum outcome
unserve_tell(struct call *call)
{
    const struct serve_args *args = call->args;
    struct serve_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!state->ended)
        return call_complete(call, "it is served still, or never was");
    if (!serve_record_remove(&state->record, &error))
        return call_fail(call, TAKE(error));
    if (state->common.image) {
        image_settle(call, state->common.image, call_error(call) ? NULL : call_result(call));
        return call_complete(call, NULL);
    }
    if (call_error(call))
        return call_complete(call, NULL);
    error_set(&error, ERROR_IMAGE_NOT_FOUND,
              "image '%s' is served no more, and it cannot be read: removed or damaged meanwhile",
              args->image);
    return call_fail(call, TAKE(error));
}

static enum outcome
unserve_settle(struct call *call)
{
    struct serve_state *state = call->state;

    if (state->serving && state->ended)
        serving_drop(TAKE(state->serving));
    else if (state->serving)
        serving_release(TAKE(state->serving));
    return call_complete(call, NULL);
}

const struct verb image_serve_verbs[] = {
    {
        .name = "image.serve",
        .summary = "Show an image to NBD clients, until image.unserve; answers the URI.",
        .description =
            "The image's contents, whatever its format, by a qemu-nbd that outlives the agent and holds the "
            "image's lock.  Served as it is already, the same URI is answered again.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct serve_args),
        .params = PARAMS(
            IMAGE_PARAMS(serve_args),
            PARAM(serve_args, writable, "writable", .type = PARAM_BOOL,
                  .about = "For one client that reads and writes; else for any number of readers."),
            PARAM(
                serve_args, tls, "tls", .type = PARAM_BOOL,
                .about =
                    "By TCP at the agent's TLS address, to clients whose certificate names an operator or "
                    "an admin; else by a unix socket of this host."),
            GENERATION_PARAM(serve_args)),
        .result = &served_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE, ERROR_IMAGE_IMMUTABLE,
                         ERROR_IMAGE_BROKEN, ERROR_WRONG_STATE, ERROR_CONFLICT,
                         ERROR_LIMIT_EXCEEDED, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .steps =
            STEPS({ "find repository", image_find_repository, .pool = POOL_LOOP },
                  { "claim", serve_claim, .pool = POOL_LOOP },
                  { "start qemu-nbd", serve_run, .pool = POOL_REPOSITORY, .only_if = is_unsettled },
                  { "leave it truthful", serve_undo, .pool = POOL_REPOSITORY, .when = ON_FAILURE },
                  { "watch", serve_settle, .pool = POOL_LOOP, .when = ALWAYS }),
        .state_size = sizeof(struct serve_state),
        .state_done = serve_done,
        .object = image_name_object,
    },
    {
        .name = "image.unserve",
        .summary = "Show an image to NBD clients no more; those that are connected are cut off.",
        .description = "What was served for writing is a completed change: its generation rises.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct serve_args),
        .params = PARAMS(IMAGE_PARAMS(serve_args), GENERATION_PARAM(serve_args)),
        .result = &image_status_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_IMAGE_NOT_FOUND, ERROR_IMAGE_IN_USE, ERROR_IMAGE_BROKEN,
                         ERROR_WRONG_STATE, ERROR_CONFLICT, ERROR_NO_SPACE, ERROR_BACKEND_FAILED),
        .steps = STEPS({ "find repository", image_find_repository, .pool = POOL_LOOP },
                       { "claim", unserve_claim, .pool = POOL_LOOP },
                       { "look", unserve_look, .pool = POOL_REPOSITORY },
                       { "end qemu-nbd", unserve_run, .pool = POOL_REPOSITORY },
                       { "tell", unserve_tell, .pool = POOL_REPOSITORY, .when = ALWAYS },
                       { "let go", unserve_settle, .pool = POOL_LOOP, .when = ALWAYS }),
        .state_size = sizeof(struct serve_state),
        .state_done = serve_done,
        .object = image_name_object,
    },
    { 0 },
};
