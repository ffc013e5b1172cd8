/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <fcntl.h>
#include <string.h>

#include "agent/base/durable.h"
#include "agent/config.h"
#include "agent/task.h"
#include "storage/image-steps.h"
#include "storage/repository-check.h"
#include "storage/repository-verbs.h"
#include "storage/unmount.h"

#define UNMOUNT_WAIT_MS 3000
#define LOOK_WAIT_MS 10000

static const struct shape repository_status_shape = {
    .name = "RepositoryStatus",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"repository\",\"kind\",\"path\",\"uuid\","
        "\"capacity\",\"free\",\"images\",\"readLatencyMs\",\"readOnly\",\"health\",\"reason\",\"warnings\"],\"properties\":{"
        "\"repository\":{\"type\":\"string\"},\"kind\":{\"enum\":[\"dir\",\"nfs\",\"gluster\"]},"
        "\"path\":{\"type\":\"string\"},\"server\":{\"type\":\"string\"},\"export\":{\"type\":\"string\"},"
        "\"options\":{\"type\":\"string\"},\"volume\":{\"type\":\"string\"},"
        "\"servers\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"uuid\":{\"type\":[\"string\",\"null\"]},"
        "\"capacity\":{\"type\":[\"integer\",\"null\"]},\"free\":{\"type\":[\"integer\",\"null\"]},"
        "\"images\":{\"type\":[\"integer\",\"null\"]},\"readLatencyMs\":{\"type\":[\"number\",\"null\"]},"
        "\"readOnly\":{\"type\":\"boolean\"},\"health\":{\"enum\":[\"connecting\",\"ok\",\"unavailable\"]},"
        "\"reason\":{\"type\":[\"string\",\"null\"]},\"warnings\":{\"type\":\"array\",\"items\":{\"enum\":"
        "[\"lowSpace\",\"almostFull\",\"slow\"]}}}}",
};

static const struct shape repository_list_shape = {
    .name = "RepositoryList",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"repositories\"],\"properties\":{"
        "\"repositories\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/RepositoryStatus\"}}}}",
};

static const struct shape problem_list_shape = {
    .name = "ProblemList",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"problems\"],\"properties\":{"
        "\"problems\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"problem\",\"image\","
        "\"kind\",\"text\",\"fix\"],\"properties\":{\"kind\":{\"enum\":[\"clean\",\"mend\",\"optimize\","
        "\"merge\"]},\"fix\":{\"type\":\"object\"}}}},\"more\":{\"const\":true}}}",
};

static const struct shape fix_shape = {
    .name = "FixResult",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"task\":{\"type\":\"string\"}}}",
};

static const char *const kind_choices[] = { "dir", "nfs", "gluster", NULL };

/* ---- connect ---- */

struct connect_state {
    struct repository *there;  /* a reference: connected already */
    struct repository *opened; /* owned: what is to be entered */
    bool reserved;
    bool keep; /* its entry was there before, or is of the start: it stays when this fails */
    struct text remembered; /* what the run-time directory is to hold */
};

static enum outcome
connect_reserve(struct call *call)
{
    const struct connect_args *args = call->args;
    struct connect_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    struct storage *storage = call->context;
    struct repository *there;

    if (!repository_place_check(&args->place, &error))
        return call_fail(call, TAKE(error));
    if (!repository_table_reserve(storage, args->repository, &args->place, &there, &error))
        return call_fail(call, TAKE(error));
    if (there) {
        state->there = repository_ref(there);
        repository_write_status(there, &there->look, call_result(call));
        return call_complete(call, "it is connected already");
    }
    state->reserved = true;
    there = repository_table_get(storage, args->repository);
    state->keep = args->keep || there->configured || there->remembered;
    there->configured |= args->configured;
    there->remembered |= !there->configured;
    return call_complete(call, NULL);
}

static bool
connect_is_done(const struct call *call)
{
    const struct connect_state *state = call->state;

    return state->there != NULL;
}

static enum outcome
connect_open(struct call *call)
{
    const struct connect_args *args = call->args;
    struct connect_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!repository_open(args->repository, &args->place, args->create, &state->opened, &error))
        return call_fail(call, TAKE(error));
    state->opened->storage = call->context; /* so that it is closed on a worker, whatever comes */
    return call_complete(call, "UUID %s", state->opened->uuid);
}

static enum outcome
connect_enter(struct call *call)
{
    struct connect_state *state = call->state;
    struct repository *opened = state->opened;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!repository_table_enter_take(call->context, TAKE(state->opened), &error))
        return call_fail(call, TAKE(error));
    state->reserved = false;
    repository_table_write(call->context, &state->remembered);
    repository_write_status(opened, &opened->look, call_result(call));
    call_set_lane(call, POOL_REPOSITORY, &((struct storage *)call->context)->remember_lane);
    return call_complete(call, NULL);
}

static bool
write_remembered(const struct call *call, const struct text *text, struct error **err)
{
    _cleanup_close_ int fd = open(call->agent->config->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_set(err, ERROR_INTERNAL, "cannot open the run-time directory");
    return durable_replace(fd, REMEMBERED_FILE, text->bytes, text->length, err);
}

static enum outcome
connect_remember(struct call *call)
{
    struct connect_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    /* The repository is connected: that it will not be after a restart is worth a line, no more. */
    if (!write_remembered(call, &state->remembered, &error))
        return call_complete(call, "not remembered for after a restart: %s", error->message);
    return call_complete(call, NULL);
}

static void
forget(struct storage *storage, struct repository *repository, bool force)
{
    if (repository_place_is_mounted(&repository->place))
        unmount_begin(storage, repository->name, force);
    repository_table_remove(storage, repository);
}

/* A configured one, or one of before the restart, stays in the table: health looks try it again. */
static enum outcome
connect_forget(struct call *call)
{
    const struct connect_args *args = call->args;
    struct connect_state *state = call->state;
    struct storage *storage = call->context;
    struct repository *place = repository_table_get(storage, args->repository);

    if (!state->reserved || !place)
        return call_complete(call, NULL);
    if (state->keep)
        repository_change_health(place, "unavailable", call_error(call)->message);
    else
        forget(storage, place, false);
    return call_complete(call, NULL);
}

static void
connect_done(struct call *call)
{
    struct connect_state *state = call->state;

    repository_unref(TAKE(state->there));
    repository_unref(TAKE(state->opened));
    text_done(&state->remembered);
}

/* ---- disconnect ---- */

struct name_args {
    char *repository;
    char *fix;
    bool force;
};

struct disconnect_state {
    struct text remembered;
};

static enum outcome
disconnect_leave(struct call *call)
{
    const struct name_args *args = call->args;
    struct disconnect_state *state = call->state;
    struct storage *storage = call->context;
    struct repository *repository = repository_table_get(storage, args->repository);
    _cleanup_(error_freep) struct error *error = NULL;
    struct writer *writer;

    if (!repository) {
        error_set(&error, ERROR_REPOSITORY_NOT_FOUND, "there is no repository '%s'",
                  args->repository);
        return call_fail(call, TAKE(error));
    }
    if (!repository_require_idle(repository, args->force, &error))
        return call_fail(call, TAKE(error));
    repository_publish(repository, "repository.disconnected");
    /* Tasks that use it keep what they have open, and fail at the next thing that they ask for. */
    if (args->force)
        atomic_store(&repository->shut, true);
    forget(storage, repository, args->force);
    repository_table_write(storage, &state->remembered);
    call_set_lane(call, POOL_REPOSITORY, &storage->remember_lane);
    writer = call_result(call);
    writer_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

static enum outcome
disconnect_remember(struct call *call)
{
    struct disconnect_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!write_remembered(call, &state->remembered, &error))
        return call_complete(call, "comes back after a restart: %s", error->message);
    return call_complete(call, NULL);
}

/* The name is free again when this has answered, unless the server is in the way. */
static enum outcome
disconnect_wait(struct call *call)
{
    const struct name_args *args = call->args;
    _cleanup_free_ char *key = xprintf("unmounted %s", args->repository);

    if (!unmount_is_under_way(call->context, args->repository))
        return call_complete(call, NULL);
    if (call_elapsed_ms(call) >= UNMOUNT_WAIT_MS)
        return call_complete(call, "its server is waited for in the background");
    return call_wait(call, key, UNMOUNT_WAIT_MS, "being unmounted");
}

static void
disconnect_done(struct call *call)
{
    text_done(&((struct disconnect_state *)call->state)->remembered);
}

/* ---- list, status ---- */

static enum outcome
list_run(struct call *call)
{
    const struct storage *storage = call->context;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_key(writer, "repositories");
    writer_array(writer);
    for (const struct repository *repository = storage->first; repository;
         repository = repository->next)
        repository_write_status(repository, &repository->look, writer);
    writer_end_array(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

struct status_state {
    struct repository *repository; /* a reference */
    unsigned before;               /* number of the last look that was begun before the call */
};

static enum outcome
status_find(struct call *call)
{
    const struct name_args *args = call->args;
    struct status_state *state = call->state;
    struct repository *repository = repository_table_get(call->context, args->repository);
    _cleanup_(error_freep) struct error *error = NULL;

    if (!repository) {
        error_set(&error, ERROR_REPOSITORY_NOT_FOUND,
                  "there is no repository '%s': repository.list shows all", args->repository);
        return call_fail(call, TAKE(error));
    }
    state->repository = repository_ref(repository);
    state->before = repository->looks_begun;
    return call_complete(call, NULL);
}

/* Of one that is not well, the last look and the reason are all that there is to tell. */
static bool
is_well(const struct call *call)
{
    const struct status_state *state = call->state;

    return strcmp(state->repository->health, "ok") == 0;
}

/* Waits for a look that was begun after the call; many calls share one.  It holds no worker, and does not
   wait for a file system that does not answer. */
static enum outcome
status_look(struct call *call)
{
    const struct status_state *state = call->state;
    struct repository *repository = state->repository;
    _cleanup_free_ char *key = xprintf("looked %s", repository->name);
    int64_t left_ms = LOOK_WAIT_MS - call_elapsed_ms(call);

    if (repository->looks_ended > state->before)
        return call_complete(call, "looked");
    if (left_ms <= 0) {
        repository_judge_age(repository);
        return call_complete(call, "it does not answer");
    }
    if (!repository_begin_look(repository))
        return call_complete(call, "it has too much to do");
    return call_wait(call, key, (uint64_t)left_ms, "looking");
}

static enum outcome
status_write(struct call *call)
{
    const struct status_state *state = call->state;

    repository_write_status(state->repository, &state->repository->look, call_result(call));
    return call_complete(call, NULL);
}

static void
status_done(struct call *call)
{
    repository_unref(TAKE(((struct status_state *)call->state)->repository));
}

/* ---- check, fix ---- */

struct fix_state {
    struct image_state common;
    struct fix fix;
};

static enum outcome
check_run(struct call *call)
{
    struct image_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_writer_ struct writer problems = WRITER_INIT;
    struct writer *writer;
    bool more;

    if (!repository_check(state->repository, &problems, &more, &error))
        return call_fail(call, TAKE(error));
    writer = call_result(call);
    writer_object(writer);
    writer_key(writer, "problems");
    writer_json(writer, problems.text.bytes, problems.text.length);
    if (more) /* check again when these are mended */
        writer_member_bool(writer, "more", true);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

static enum outcome
fix_parse(struct call *call)
{
    const struct name_args *args = call->args;
    struct fix_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!repository_fix_parse(args->fix, &state->fix, &error))
        return call_fail(call, TAKE(error));
    return image_find_repository(call);
}

static bool
is_resume(const struct call *call)
{
    return repository_fix_verb(&((const struct fix_state *)call->state)->fix) != NULL;
}

/* A copy goes on as a copy, a merge as a merge: by a task that the answer names. */
static enum outcome
fix_resume(struct call *call)
{
    struct fix_state *state = call->state;
    char task[UUID_TEXT_SIZE];
    struct writer *writer = call_result(call);

    uuid_make(task);
    storage_resume(call->context, repository_fix_verb(&state->fix), state->common.repository->name,
                   state->fix.name, task);
    writer_object(writer);
    writer_member_string(writer, "task", task);
    writer_end_object(writer);
    return call_complete(call, "continued by task %s", task);
}

static enum outcome
fix_apply(struct call *call)
{
    struct fix_state *state = call->state;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_free_ char *holder = image_holder(call);
    struct image *removed = NULL;
    struct writer *writer;

    if (!repository_fix_apply(state->common.repository, &state->fix, holder, &removed, &error))
        return call_fail(call, TAKE(error));
    if (removed) {
        image_tell_removed(call, state->common.repository, state->fix.name);
        image_discard(removed);
    }
    writer = call_result(call);
    writer_object(writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

/* Where both ways meet: one step answers. */
static enum outcome
fix_answer(struct call *call)
{
    return call_complete(call, NULL);
}

static void
fix_state_done(struct call *call)
{
    fix_done(&((struct fix_state *)call->state)->fix);
    image_state_done(call);
}

static void
name_repository(const void *args, struct object_name *ret_object)
{
    const struct name_args *name = args;

    *ret_object = (struct object_name){ "repository", NULL, name->repository };
}

#define REPOSITORY_PARAM(args_type)                                                                \
    PARAM(args_type, repository, "repository", .type = PARAM_NAME, .required = true,               \
          .about = "The repository.")

const struct verb repository_verbs[] = {
    {
        .name = "repository.connect",
        .summary = "Connect a repository under a name of your choosing.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct connect_args),
        .params = PARAMS(
            PARAM(connect_args, repository, "repository", .type = PARAM_NAME, .required = true,
                  .about = "Its name here; lasts as long as the connection."),
            PARAM(connect_args, place.kind, "kind", .type = PARAM_CHOICE, .required = true,
                  .choices = kind_choices,
                  .about = "What it is: a local directory (dir, needs path), an export that the "
                           "agent mounts (nfs, needs server and export), a directory of a Gluster "
                           "volume (gluster, needs volume and servers)."),
            PARAM(connect_args, place.path, "path", .type = PARAM_PATH,
                  .about = "dir: the directory. gluster: the directory in the volume (absent: "
                           "its root)."),
            PARAM(connect_args, place.server, "server", .type = PARAM_TEXT,
                  .about = "nfs: the server's name or address."),
            PARAM(connect_args, place.export, "export", .type = PARAM_PATH,
                  .about = "nfs: the directory that it exports."),
            PARAM(connect_args, place.options, "options", .type = PARAM_TEXT,
                  .about = "nfs: mount options beside the agent's own, separated by commas: ro, "
                           "vers, sec, port, proto, rsize, wsize, timeo, retrans, nconnect, "
                           "noresvport, nosharecache, noatime."),
            PARAM(connect_args, place.volume, "volume", .type = PARAM_TEXT,
                  .about = "gluster: the volume."),
            PARAM(connect_args, place.servers, "servers", .type = PARAM_TEXTS,
                  .about = "gluster: servers of its pool, the first that answers is asked."),
            PARAM(connect_args, create, "create", .type = PARAM_BOOL,
                  .about = "Make it a repository if it is an empty directory, or absent.")),
        .result = &repository_status_shape,
        .errors = ERRORS(ERROR_REPOSITORY_EXISTS, ERROR_REPOSITORY_UNAVAILABLE,
                         ERROR_BACKEND_UNAVAILABLE),
        .steps =
            STEPS({ "take the name", connect_reserve, .pool = POOL_LOOP },
                  { "open", connect_open, .pool = POOL_REPOSITORY, .break_if = connect_is_done },
                  { "enter", connect_enter, .pool = POOL_LOOP },
                  { "remember", connect_remember, .pool = POOL_REPOSITORY },
                  { "give the name back", connect_forget, .pool = POOL_LOOP, .when = ON_FAILURE }),
        .state_size = sizeof(struct connect_state),
        .state_done = connect_done,
        .object = name_repository,
    },
    {
        .name = "repository.disconnect",
        .summary = "Forget a repository; what is in it stays.",
        .role = ROLE_OPERATOR,
        .kind = VERB_CHANGES,
        .args_size = sizeof(struct name_args),
        .params = PARAMS(REPOSITORY_PARAM(name_args),
                         PARAM(name_args, force, "force", .type = PARAM_BOOL,
                               .about = "Even while tasks use it: they fail, as soon as they ask "
                                        "more of it; or running VMs, whose disks stay open.")),
        .result = &empty_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_WRONG_STATE),
        .steps = STEPS({ "forget", disconnect_leave, .pool = POOL_LOOP },
                       { "remember", disconnect_remember, .pool = POOL_REPOSITORY },
                       { "unmount", disconnect_wait, .pool = POOL_LOOP }),
        .state_size = sizeof(struct disconnect_state),
        .state_done = disconnect_done,
        .object = name_repository,
    },
    {
        .name = "repository.list",
        .summary = "List the connected repositories as they were last seen.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .result = &repository_list_shape,
        .steps = STEPS({ "list", list_run, .pool = POOL_LOOP }),
    },
    {
        .name = "repository.status",
        .summary = "Look at a repository: capacity, free space, images, health.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct name_args),
        .params = PARAMS(REPOSITORY_PARAM(name_args)),
        .result = &repository_status_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND),
        .steps = STEPS({ "find repository", status_find, .pool = POOL_LOOP },
                       { "look", status_look, .pool = POOL_LOOP, .only_if = is_well },
                       { "tell", status_write, .pool = POOL_LOOP }),
        .state_size = sizeof(struct status_state),
        .state_done = status_done,
    },
    {
        .name = "repository.check",
        .summary = "List what a crash or a lost source left behind, and what would mend it.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS_LONG,
        .args_size = sizeof(struct name_args),
        .params = PARAMS(REPOSITORY_PARAM(name_args)),
        .result = &problem_list_shape,
        .errors = ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE),
        .steps = STEPS({ "find repository", image_find_repository, .pool = POOL_LOOP },
                       { "check", check_run, .pool = POOL_REPOSITORY, .responds = true }),
        .state_size = sizeof(struct image_state),
        .state_done = image_state_done,
        .object = name_repository,
    },
    {
        .name = "repository.fix",
        .summary = "Mend one problem that repository.check found, if it is still there.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct name_args),
        .params = PARAMS(REPOSITORY_PARAM(name_args),
                         PARAM(name_args, fix, "fix", .type = PARAM_OBJECT, .required = true,
                               .about = "The problem's 'fix', unchanged.")),
        .result = &fix_shape,
        .errors =
            ERRORS(ERROR_REPOSITORY_NOT_FOUND, ERROR_REPOSITORY_UNAVAILABLE, ERROR_IMAGE_IN_USE,
                   ERROR_IMAGE_NOT_FOUND, ERROR_CONFLICT, ERROR_IMAGE_HAS_DEPENDENTS),
        .steps = STEPS({ "read the fix", fix_parse, .pool = POOL_LOOP },
                       { "look again, and mend", fix_apply, .pool = POOL_REPOSITORY },
                       { "go on with it", fix_resume, .pool = POOL_LOOP, .only_if = is_resume },
                       { "answer", fix_answer, .pool = POOL_LOOP, .responds = true }),
        .state_size = sizeof(struct fix_state),
        .state_done = fix_state_done,
        .object = name_repository,
    },
    { 0 },
};
