/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start: what was connected is connected again, and copies that this host was making, and that
 * were to go on after a crash, go on.  All of it by tasks of the agent's own, so that it can be seen
 * like any other work.
 */
#include <config.h>

#include "storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/backend.h"
#include "agent/base/child.h"
#include "agent/base/durable.h"
#include "agent/base/log.h"
#include "agent/config.h"
#include "agent/task.h"
#include "storage/endpoint.h"
#include "storage/image-serve-table.h"
#include "storage/image-use.h"
#include "storage/image.h"
#include "storage/mount.h"
#include "storage/repository-verbs.h"
#include "storage/ticket.h"
#include "storage/unmount.h"

#define SETTLE_LIMIT_MS 1000
#define RESUME_DELAY_MS 1000
#define TOOLS_INTERVAL_MS 30000
#define SOCKET_FOLDER "nbd"
#define MOUNT_FOLDER "mnt"
#define REMEMBERED_SIZE_MAX (4 * 1024 * 1024)

struct storage *
storage_new(void)
{
    return xalloc(sizeof(struct storage));
}

static bool
configure(const struct config_repository *repository, struct repository_place *place,
          const struct config *config, struct error **err)
{
    for (size_t i = 0; i < repository->line_count; i++) {
        const struct config_line *line = &repository->lines[i];

        if (!repository_place_set(place, line->key, line->value, err))
            return error_wrap(err, "%s:%d: [repository %s]", config->config_path, line->number,
                              repository->name);
    }
    return repository_place_check(place, err) ||
           error_wrap(err, "%s:%d: [repository %s]", config->config_path, repository->number,
                      repository->name);
}

bool
storage_configure(struct storage *storage, const struct config *config, struct error **err)
{
    struct configured **end = &storage->configured;

    for (const struct config_repository *repository = config->repositories; repository;
         repository = repository->next) {
        *end = xalloc(sizeof(**end));
        (*end)->name = xstrdup(repository->name);
        if (!configure(repository, &(*end)->place, config, err))
            return false;
        end = &(*end)->next;
    }
    return true;
}

static void
start_task(struct storage *storage, const char *verb_name, void *args, const char *id,
           void (*ended)(void *context), void *context)
{
    struct task_request request = { .args = args,
                                    .caller = "agent",
                                    .role = ROLE_ADMIN,
                                    .ended = ended,
                                    .answer_context = context };

    request.verb = verb_find(storage->agent->verbs, verb_name, strlen(verb_name), &request.context);
    if (id)
        request.key = (struct task_key){ .text = id, .length = strlen(id) };
    task_start(storage->agent, &request);
}

void
storage_resume(struct storage *storage, const char *verb, const char *repository, const char *image,
               const char *task)
{
    struct resume_args *args = xalloc(sizeof(*args));

    args->repository = xstrdup(repository);
    args->image = xstrdup(image);
    start_task(storage, verb, args, task, NULL, NULL);
}

/*
 * ---- copies to go on with ----
 *
 * Once when all repositories of the start are there (a copy needs its source's too), and again when
 * one is connected later: then only what was last worked on before this start, for what has stopped
 * since then was aborted, or failed.
 */

struct search {
    struct job job;
    int64_t before_ns; /* only copies that were last written before; wall clock */
    struct storage *storage;
    struct repository *repository; /* a reference */
    char **found;                  /* ids; NULL-terminated */
    size_t count;
};

static bool
is_ours_to_resume(struct search *search, const char *id)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(copy_record_done) struct copy_record copy = { 0 };
    _cleanup_(error_freep) struct error *ignored = NULL; /* what cannot be read cannot be resumed */
    bool held = true;

    if (!image_open(search->repository, id, &image, &ignored) || image->record.complete ||
        !image_read_copy(image, &copy, &ignored))
        return false;
    return copy.resume_on_crash && strcmp(copy.host, search->storage->agent->host_id) == 0 &&
           copy.updated_ns < search->before_ns &&
           image_lock_is_held(image->folder, &held, NULL, &ignored) && !held;
}

static void
search_copies(struct job *job)
{
    struct search *search = CONTAINER_OF(job, struct search, job);
    _cleanup_(error_freep) struct error *ignored = NULL; /* the health look tells of it */
    char **ids;
    size_t count;

    if (!image_list(search->repository, NULL, 0, &ids, &count, &ignored))
        return;
    search->found = xalloc((count + 1) * sizeof(*search->found));
    for (size_t i = 0; i < count; i++) {
        _cleanup_free_ char *copy_file = xprintf("%s/" FORMAT_COPY_FILE, ids[i]);
        struct stat status;

        /* One system call for each image that has no copy under way: ten thousand are soon seen. */
        if (folder_stat(search->repository->images, copy_file, &status) &&
            is_ours_to_resume(search, ids[i]))
            search->found[search->count++] = xstrdup(ids[i]);
    }
    strings_free(ids);
}

static void
resume_found(struct job *job)
{
    struct search *search = CONTAINER_OF(job, struct search, job);

    for (size_t i = 0; i < search->count; i++) {
        char task[UUID_TEXT_SIZE];

        uuid_make(task);
        log_info("continuing the copy into '%s/%s' as task %s", search->repository->name,
                 search->found[i], task);
        storage_resume(search->storage, "image.resume", search->repository->name, search->found[i],
                       task);
    }
    strings_free(search->found);
    repository_unref(search->repository);
    free(search);
}

static void
resume_all(struct storage *storage, int64_t before_ns)
{
    for (struct repository *repository = storage->first; repository;
         repository = repository->next) {
        _cleanup_(error_freep) struct error *error = NULL;
        struct search *search;

        if (strcmp(repository->health, "ok") != 0)
            continue;
        search = xalloc(sizeof(*search));
        search->storage = storage;
        search->before_ns = before_ns;
        search->repository = repository_ref(repository);
        search->job = (struct job){ .run = search_copies,
                                    .finished = resume_found,
                                    .lane = &repository->lane,
                                    .pool = POOL_REPOSITORY };
        if (workers_submit(storage->agent->workers, &search->job, &error))
            continue;
        log_warning("copies of '%s' are not continued: %s", repository->name, error->message);
        repository_unref(repository);
        free(search);
    }
}

static void
resume_late(struct timer *timer)
{
    struct storage *storage = CONTAINER_OF(timer, struct storage, resume);

    resume_all(storage, storage->agent->started_ns);
}

void
storage_resume_soon(struct storage *storage)
{
    /* Not at once: who connects one repository often connects others right after it. */
    if (storage->resume.fire)
        timer_arm(storage->agent->loop, &storage->resume, RESUME_DELAY_MS);
}

/* ---- connections of the start ---- */

static void
settle(struct storage *storage)
{
    void (*settled)(void *context) = TAKE(storage->settled);

    if (storage->resume.fire)
        return; /* it was late, and has gone on without this one */
    timer_disarm(storage->agent->loop, &storage->settle_limit);
    storage->resume.fire = resume_late;
    resume_all(storage, INT64_MAX);
    unmount_what_is_left(storage);
    if (settled)
        settled(storage->settled_context);
}

static void
settle_late(struct timer *timer)
{
    settle(CONTAINER_OF(timer, struct storage, settle_limit));
}

static void
connected(void *context)
{
    struct storage *storage = context;

    if (--storage->settling == 0)
        settle(storage);
}

static void
connect_at_start(struct storage *storage, const char *name, const struct repository_place *place,
                 bool configured)
{
    struct connect_args *args;

    if (repository_table_get(storage, name))
        return; /* the configuration file wins over what was connected by call */
    args = xalloc(sizeof(*args));
    args->repository = xstrdup(name);
    repository_place_copy(place, &args->place);
    args->configured = configured;
    args->keep = true;
    storage->settling++;
    start_task(storage, "repository.connect", args, NULL, connected, storage);
}

/* Read on the loop, once, before it serves anybody: a small file of our own. */
static void
connect_remembered(struct storage *storage)
{
    _cleanup_close_ int fd =
        open(storage->agent->config->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_text_ struct text text = TEXT_INIT;
    json_t *root, *entry;
    size_t i;

    if (fd < 0 || !durable_read(fd, REMEMBERED_FILE, REMEMBERED_SIZE_MAX, &text, &error)) {
        if (error && error->code != ERROR_NOT_FOUND)
            log_warning("connections made by call are forgotten: %s, going on", error->message);
        return;
    }
    root = json_loadb(text.bytes, text.length, JSON_REJECT_DUPLICATES, NULL);
    if (!root)
        log_warning("connections made by call are forgotten: '%s' is damaged, going on",
                    REMEMBERED_FILE);
    json_array_foreach(json_object_get(root, "repositories"), i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "repository"));
        _cleanup_(error_freep) struct error *wrong = NULL;
        struct repository_place place;

        repository_place_read(entry, &place);
        if (!name || !name_valid(name))
            log_warning("a connection made by call has no name, going on without it");
        else if (!repository_place_check(&place, &wrong))
            log_warning("the connection of '%s' is forgotten: %s, going on", name, wrong->message);
        else
            connect_at_start(storage, name, &place, false);
        repository_place_done(&place);
    }
    json_decref(root);
}

/* What a kill has left of the sockets of qemu-nbd is in here: the folder is made anew. */
static void
make_socket_folder(const struct config *config)
{
    _cleanup_free_ char *path = xprintf("%s/" SOCKET_FOLDER, config->run_dir);
    _cleanup_close_ int fd = open(config->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(error_freep) struct error *error = NULL;

    if (fd < 0 || !durable_remove_tree(fd, SOCKET_FOLDER, &error) ||
        mkdirat(fd, SOCKET_FOLDER, 0700) < 0) {
        log_warning("cannot make '%s': %s, going on with /tmp", path,
                    error ? error->message : strerror(errno));
        return;
    }
    endpoint_use_folder(path);
}

/* ---- what the storage leans on ---- */

struct tools_job {
    struct job job;
    struct storage *storage;
    bool img, nbd, kit;
    bool first; /* whoever calls first is to be told what there is */
};

/* The folders of PATH may be on a file system that hangs: not on the loop. */
static void
look_for_tools(struct job *job)
{
    struct tools_job *looking = CONTAINER_OF(job, struct tools_job, job);

    looking->img = child_exists("qemu-img");
    looking->nbd = child_exists("qemu-nbd");
    looking->kit = child_exists("nbdkit");
}

static void
tools_found(struct job *job)
{
    struct tools_job *looking = CONTAINER_OF(job, struct tools_job, job);
    struct storage *storage = looking->storage;
    const char *reason = NULL;

#ifndef HAVE_LIBNBD
    reason = "built without libnbd: qcow2 images can be made, not copied";
#endif
    if (!looking->img || !looking->nbd)
        reason = !looking->img ? "qemu-img is not installed" : "qemu-nbd is not installed";
    backend_set(storage->agent, "qemu", !reason, NULL, reason);
    reason = looking->kit ? NULL : "nbdkit is not installed";
#ifndef HAVE_LIBNBD
    reason = "built without libnbd: nothing can be imported from URLs";
#elif !defined(HAVE_LIBCURL)
    reason = reason ? reason : "built without libcurl: nothing can be imported by http";
#endif
    backend_set(storage->agent, "nbdkit", !reason, NULL, reason);
    timer_arm(storage->agent->loop, &storage->tools, TOOLS_INTERVAL_MS);
    if (looking->first)
        connected(storage);
    free(looking);
}

static void
begin_tools(struct timer *timer)
{
    struct storage *storage = CONTAINER_OF(timer, struct storage, tools);
    _cleanup_(error_freep) struct error *error = NULL;
    struct tools_job *looking = xalloc(sizeof(*looking));

    looking->storage = storage;
    looking->first = !storage->tools.fire;
    storage->tools.fire = begin_tools;
    looking->job = (struct job){ .run = look_for_tools,
                                 .finished = tools_found,
                                 .lane = &storage->tools_lane,
                                 .pool = POOL_REPOSITORY };
    storage->settling += looking->first;
    if (workers_submit(storage->agent->workers, &looking->job, &error))
        return;
    storage->settling -= looking->first;
    log_warning("cannot look for qemu: %s, going on", error->message);
    timer_arm(storage->agent->loop, &storage->tools, TOOLS_INTERVAL_MS);
    free(looking);
}

/* ---- snapshots for subscribers ---- */

struct snapshot {
    struct repository **repositories; /* references; NULL-terminated */
    struct text *statuses;            /* of each */
    bool *well;                       /* of each */
    size_t count;
};

static void *
snapshot_begin(void *context)
{
    struct storage *storage = context;
    struct snapshot *snapshot = xalloc(sizeof(*snapshot));
    size_t count = 0;

    for (struct repository *repository = storage->first; repository; repository = repository->next)
        count++;
    snapshot->repositories = xalloc((count + 1) * sizeof(snapshot->repositories[0]));
    snapshot->statuses = xalloc((count + 1) * sizeof(snapshot->statuses[0]));
    snapshot->well = xalloc((count + 1) * sizeof(snapshot->well[0]));
    for (struct repository *repository = storage->first; repository;
         repository = repository->next) {
        struct writer writer = WRITER_INIT;

        repository_write_status(repository, &repository->look, &writer);
        snapshot->repositories[snapshot->count] = repository_ref(repository);
        snapshot->well[snapshot->count] = strcmp(repository->health, "ok") == 0;
        snapshot->statuses[snapshot->count++] = writer.text;
    }
    return snapshot;
}

static bool
snapshot_repositories(void *begun, snapshot_item *item, void *item_context, struct error **err)
{
    const struct snapshot *snapshot = begun;

    (void)err;
    for (size_t i = 0; i < snapshot->count; i++)
        item(item_context, "repository.connected", snapshot->repositories[i]->name,
             &snapshot->statuses[i]);
    return true;
}

static bool
snapshot_images(void *begun, snapshot_item *item, void *item_context, struct error **err)
{
    const struct snapshot *snapshot = begun;

    for (size_t i = 0; i < snapshot->count; i++) {
        struct repository *repository = snapshot->repositories[i];
        char **ids;
        size_t count;

        if (!snapshot->well[i])
            continue; /* what cannot be read now is told by the health of its repository */
        if (!image_list(repository, NULL, 0, &ids, &count, err))
            return false;
        for (char **id = ids; *id; id++) {
            _cleanup_(error_freep) struct error *ignored = NULL; /* removed since it was listed */
            _cleanup_writer_ struct writer writer = WRITER_INIT;
            _cleanup_free_ char *subject = xprintf("%s/%s", repository->name, *id);

            if (image_write_status(repository, *id, &writer, &ignored))
                item(item_context, "image.changed", subject, &writer.text);
        }
        strings_free(ids);
    }
    return true;
}

static void
snapshot_end(void *begun)
{
    struct snapshot *snapshot = begun;

    for (size_t i = 0; i < snapshot->count; i++) {
        repository_unref(snapshot->repositories[i]);
        text_done(&snapshot->statuses[i]);
    }
    free(snapshot->repositories);
    free(snapshot->statuses);
    free(snapshot->well);
    free(snapshot);
}

bool
storage_open(struct storage *storage, struct agent *agent, void (*settled)(void *context),
             void *settled_context, struct error **err)
{
    const struct configured *configured = storage->configured;
    _cleanup_free_ char *mounts = xprintf("%s/" MOUNT_FOLDER, agent->config->run_dir);

    (void)err;
    storage->agent = agent;
    storage->settled = settled;
    storage->settled_context = settled_context;
    image_use_open(agent->host_id);
    make_socket_folder(agent->config);
    mount_use_folder(mounts);
    storage->remember_lane = (struct lane){ .name = "run-time directory", .limit = 1 };
    storage->repository_provider = (struct snapshot_provider){ .topic = "repository.connected",
                                                               .pool = POOL_LOOP,
                                                               .begin = snapshot_begin,
                                                               .write = snapshot_repositories,
                                                               .end = snapshot_end,
                                                               .provider_context = storage };
    storage->image_provider = (struct snapshot_provider){ .topic = "image.changed",
                                                          .pool = POOL_REPOSITORY,
                                                          .begin = snapshot_begin,
                                                          .write = snapshot_images,
                                                          .end = snapshot_end,
                                                          .provider_context = storage };
    snapshot_register(agent, &storage->repository_provider);
    snapshot_register(agent, &storage->image_provider);
    storage->tools_lane = (struct lane){ .name = "qemu", .limit = 1 };
    storage->url_lane = (struct lane){ .name = "nbdkit", .limit = 4 };
    serving_open(storage);
    health_open(storage);
    tickets_open(storage);
    storage->settle_limit.fire = settle_late;
    timer_arm(agent->loop, &storage->settle_limit, SETTLE_LIMIT_MS);
    storage->settling = 1; /* until all are begun */
    begin_tools(&storage->tools);
    for (; configured; configured = configured->next)
        connect_at_start(storage, configured->name, &configured->place, true);
    connect_remembered(storage);
    connected(storage);
    return true;
}
