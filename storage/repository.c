/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "storage/format.h"
#include "storage/gluster-volume.h"
#include "storage/repository-table.h"

#define TICKET_THREADS 4                         /* at once for all tickets of a repository */
#define TICKET_STUCK_MS 60000                    /* making an upload durable may take as long */
#define TEMPORARY FORMAT_REPOSITORY_FILE ".new-" /* with its UUID behind; and ".tmp-" before it */

struct repository *
repository_ref(struct repository *repository)
{
    LOOP_ONLY();
    atomic_fetch_add(&repository->references, 1);
    return repository;
}

static void
close_folders(struct repository *repository)
{
    folder_close(TAKE(repository->images));
    folder_close(TAKE(repository->folder));
}

static void
repository_free(struct repository *repository)
{
    close_folders(repository);
    free(repository->name);
    repository_place_done(&repository->place);
    free(repository->path);
    free(repository->reason);
    free(repository);
}

static void
close_job(struct job *job)
{
    close_folders(CONTAINER_OF(job, struct repository, closing));
}

static void
close_job_finished(struct job *job)
{
    repository_free(CONTAINER_OF(job, struct repository, closing));
}

/* With the last descriptor of a file system that was unmounted its server is left, which takes long
   when that is dead: not on the loop. */
static void
close_and_free(struct repository *repository)
{
    _cleanup_(error_freep) struct error *ignored = NULL;

    repository->closing = (struct job){ .run = close_job,
                                        .finished = close_job_finished,
                                        .lane = &repository->lane,
                                        .pool = POOL_REPOSITORY };
    if (!repository->folder ||
        !workers_submit(repository->storage->agent->workers, &repository->closing, &ignored))
        repository_free(repository);
}

/* The job that gave back the last reference may still be counted in its lane: its own message comes
   behind this one. */
static void
free_when_idle(struct message *message)
{
    struct repository *repository = CONTAINER_OF(message, struct repository, freed);

    if (repository->lane.running > 0 || repository->lane.waiting > 0 ||
        repository->copies.running > 0 || repository->copies.waiting > 0 ||
        repository->tickets.running > 0 || repository->tickets.waiting > 0)
        loop_post(repository->storage->agent->loop, message);
    else
        close_and_free(repository);
}

void
repository_drop(struct storage *storage, struct repository *repository)
{
    LOOP_ONLY();
    if (repository)
        repository->storage = storage;
    repository_unref(repository);
}

void
repository_unref(struct repository *repository)
{
    if (!repository || atomic_fetch_sub(&repository->references, 1) > 1)
        return;
    if (!repository->storage) { /* never entered into the table, so no job has run in its lanes */
        repository_free(repository);
        return;
    }
    repository->freed.deliver = free_when_idle;
    loop_post(repository->storage->agent->loop, &repository->freed);
}

struct repository *
repository_placeholder(const char *name, const struct repository_place *place)
{
    struct repository *repository = xalloc(sizeof(*repository));

    repository->name = xstrdup(name);
    repository_place_copy(place, &repository->place);
    repository->path = repository_place_is_in_volume(place) ? repository_place_text(place)
                                                            : repository_place_folder(place, name);
    atomic_init(&repository->references, 1);
    repository->health = "connecting";
    repository->lane.name = repository->copies.name = repository->tickets.name = repository->name;
    /* Copies wait their turn as long as it takes: a busy copy is no stuck one. */
    repository->copies.stuck_ms = UINT32_MAX;
    repository->tickets.limit = TICKET_THREADS;
    repository->tickets.stuck_ms = TICKET_STUCK_MS;
    return repository;
}

void
repository_set_health(struct repository *repository, const char *health, const char *reason)
{
    free(repository->reason);
    repository->health = health;
    repository->reason = reason ? xstrdup(reason) : NULL;
}

static bool
unavailable(struct error **err, const char *path, const char *why)
{
    return error_set(err, ERROR_REPOSITORY_UNAVAILABLE, "'%s' %s", path, why);
}

static bool
is_start_of_repository(const char *name, void *context)
{
    bool *only = context;

    if (strncmp(name, ".tmp-", strlen(".tmp-")) == 0)
        name += strlen(".tmp-");
    *only = strcmp(name, FORMAT_IMAGES) == 0 || strncmp(name, TEMPORARY, strlen(TEMPORARY)) == 0;
    return *only;
}

static bool
is_nothing(const char *name, void *context)
{
    bool *empty = context;

    (void)name;
    *empty = false;
    return false;
}

/* Whether nothing is in it, or only what an interrupted making left: then it may become one. */
static bool
is_empty(struct folder *folder, const char *path, bool *ret_empty, struct error **err)
{
    _cleanup_(folder_closep) struct folder *images = NULL;

    *ret_empty = folder_open(folder, FORMAT_IMAGES, FOLDER_ANY_SYSTEM, &images) || errno == ENOENT;
    if (*ret_empty && folder_each(folder, is_start_of_repository, ret_empty) &&
        (!*ret_empty || !images || folder_each(images, is_nothing, ret_empty)))
        return true;
    return !*ret_empty ||
           error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot list '%s'", path);
}

/*
 * images/ first, hostler.json last: only with it is the directory a repository.  It appears by a
 * rename that replaces nothing, for two agents may do this at the same time: whoever comes second
 * reads what the first has made.
 */
static bool
make_repository(struct folder *folder, const char *path, struct error **err)
{
    struct repository_record record = { .created_ns = clock_wall_ns() };
    _cleanup_text_ struct text text = TEXT_INIT;
    _cleanup_free_ char *temporary = NULL;
    bool empty;

    if (!is_empty(folder, path, &empty, err))
        return false;
    if (!empty)
        return unavailable(err, path,
                           "is not empty and no repository: choose an empty directory to make one");
    if (!folder_make(folder, FORMAT_IMAGES, 0755) && errno != EEXIST)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot make a repository of '%s'", path);
    uuid_make(record.uuid);
    temporary = xprintf(TEMPORARY "%s", record.uuid);
    repository_record_write(&record, &text);
    if (folder_replace(folder, temporary, text.bytes, text.length, err) &&
        folder_rename(folder, temporary, folder, FORMAT_REPOSITORY_FILE, err))
        return true;
    (void)!folder_drop(folder, temporary);
    if ((*err)->code != ERROR_ALREADY_EXISTS)
        return error_wrap(err, "cannot make a repository of '%s'", path);
    error_free(TAKE(*err));
    return true;
}

static bool
read_repository_record(struct folder *folder, const char *path,
                       struct repository_record *ret_record, struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    if (!folder_read(folder, FORMAT_REPOSITORY_FILE, FORMAT_FILE_SIZE_MAX, &text, err)) {
        if ((*err)->code != ERROR_NOT_FOUND)
            (*err)->code = ERROR_REPOSITORY_UNAVAILABLE;
        return error_wrap(err, "cannot read the repository '%s'", path);
    }
    return repository_record_parse(text.bytes, text.length, ret_record, err) ||
           error_wrap(err, "repository '%s'", path);
}

/* The directory, made if it is absent and 'create' says so: durably, or a power failure takes away
   what was answered to be there. */
static bool
open_root(const struct repository *repository, bool create, struct folder **ret_folder,
          struct error **err)
{
    const char *path = repository->path;
    _cleanup_(folder_closep) struct folder *folder = NULL, *parent = NULL;
    _cleanup_free_ char *above = xprintf("%s/..", path);

    if (repository_place_is_in_volume(&repository->place))
        return gluster_open_root(&repository->place, create, ret_folder, err);
    if (!folder_open_path(path, &folder) && errno == ENOENT && create && mkdir(path, 0755) == 0 &&
        folder_open_path(path, &folder) && folder_open_path(above, &parent) &&
        !folder_sync(parent, err))
        return error_wrap(err, "cannot make '%s'", path);
    if (!folder)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot open '%s'", path);
    *ret_folder = TAKE(folder);
    return true;
}

static bool
read_or_make(struct folder *folder, const char *path, bool create,
             struct repository_record *ret_record, struct error **err)
{
    _cleanup_(error_freep) struct error *why_not = NULL, *ignored = NULL;

    if (read_repository_record(folder, path, ret_record, err))
        return true;
    if ((*err)->code != ERROR_NOT_FOUND)
        return false;
    error_free(TAKE(*err));
    if (!create)
        return unavailable(err, path,
                           "is no repository: there is no " FORMAT_REPOSITORY_FILE
                           " in it; 'create' makes one of an empty directory");
    if (make_repository(folder, path, &why_not))
        return read_repository_record(folder, path, ret_record, err);
    /* It was not empty, for somebody has made a repository of it at this moment: good. */
    if (read_repository_record(folder, path, ret_record, &ignored))
        return true;
    *err = TAKE(why_not);
    return false;
}

bool
repository_open(const char *name, const struct repository_place *place, bool create,
                struct repository **ret_repository, struct error **err)
{
    _cleanup_(repository_unrefp) struct repository *repository =
        repository_placeholder(name, place);
    const char *path = repository->path;
    struct repository_record record;
    struct statvfs space;

    WORKER_ONLY();
    if (!repository_place_attach(place, path, err))
        return false;
    if (!open_root(repository, create, &repository->folder, err))
        return false;
    if (!read_or_make(repository->folder, path, create, &record, err))
        return false;
    memcpy(repository->uuid, record.uuid, sizeof(record.uuid));
    repository->created_ns = record.created_ns;
    if (!folder_open(repository->folder, FORMAT_IMAGES, FOLDER_ANY_SYSTEM, &repository->images))
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot open '%s/" FORMAT_IMAGES "'", path);
    if (folder_space(repository->folder, &space))
        repository->read_only = space.f_flag & ST_RDONLY;
    if (!repository_look(repository, &repository->look, err))
        return false;
    folder_set_gate(repository->folder, &repository->shut);
    folder_set_gate(repository->images, &repository->shut);
    repository->health = "ok";
    *ret_repository = TAKE(repository);
    return true;
}

static bool
count_image(const char *name, void *context)
{
    uint64_t *count = context;

    *count += name_valid(name);
    return true;
}

/* Whether the path still leads to the directories that are open. */
static bool
require_same(const struct repository *repository, struct folder *folder, struct folder **ret_images,
             struct error **err)
{
    _cleanup_(folder_closep) struct folder *images = NULL;

    if (!folder_open(folder, FORMAT_IMAGES, FOLDER_ANY_SYSTEM, &images))
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot open '%s/" FORMAT_IMAGES "'", repository->path);
    if (!folder_is_same(folder, repository->folder) || !folder_is_same(images, repository->images))
        return unavailable(err, repository->path,
                           "is another directory by now: disconnect and connect it");
    *ret_images = TAKE(images);
    return true;
}

bool
repository_look(const struct repository *repository, struct repository_look *ret_look,
                struct error **err)
{
    /* Opened anew: the gate of the others is not in the way of those who look whether it answers. */
    _cleanup_(folder_closep) struct folder *folder = NULL, *images = NULL;
    struct repository_look look = { 0 };
    int64_t begun;
    struct repository_record record;
    struct statvfs space;

    WORKER_ONLY();
    if (!open_root(repository, false, &folder, err))
        return false;
    begun = clock_monotonic_ns();
    if (!read_repository_record(folder, repository->path, &record, err)) {
        (*err)->code = ERROR_REPOSITORY_UNAVAILABLE;
        return false;
    }
    look.latency_ns = clock_monotonic_ns() - begun;
    if (strcmp(record.uuid, repository->uuid) != 0)
        return unavailable(err, repository->path,
                           "is another repository by now: disconnect and connect it");
    if (!require_same(repository, folder, &images, err))
        return false;
    if (!folder_space(folder, &space))
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot measure '%s'",
                           repository->path);
    look.capacity = (uint64_t)space.f_blocks * space.f_frsize;
    look.free = (uint64_t)space.f_bavail * space.f_frsize;
    if (!folder_each(images, count_image, &look.image_count))
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot list '%s'",
                           repository->path);
    *ret_look = look;
    return true;
}

void
repository_write_status(const struct repository *repository, const struct repository_look *look,
                        struct writer *writer)
{
    bool known = repository->images != NULL, well = strcmp(repository->health, "ok") == 0;
    /* Of one that does not answer it is not known how it is. */
    const struct repository_warnings none = { 0 }, *warnings = well ? &repository->warnings : &none;
    _cleanup_free_ char *warned = repository_warnings_text(warnings);
    const char *reason = repository->reason ? repository->reason : warned;

    writer_object(writer);
    writer_member_string(writer, "repository", repository->name);
    repository_place_write(&repository->place, writer);
    if (!repository->place.path)
        writer_member_string(writer, "path",
                             repository_place_is_in_volume(&repository->place) ? "/"
                                                                               : repository->path);
    writer_member_string(writer, "uuid", known ? repository->uuid : NULL);
    writer_key(writer, "capacity");
    known ? writer_unsigned(writer, look->capacity) : writer_null(writer);
    writer_key(writer, "free");
    known ? writer_unsigned(writer, look->free) : writer_null(writer);
    writer_key(writer, "images");
    known ? writer_unsigned(writer, look->image_count) : writer_null(writer);
    writer_key(writer, "readLatencyMs");
    known ? writer_real(writer, (double)(look->latency_ns / 1000) / 1000) : writer_null(writer);
    writer_member_bool(writer, "readOnly", repository->read_only);
    writer_member_string(writer, "health", repository->health);
    writer_member_string(writer, "reason", reason);
    writer_key(writer, "warnings");
    repository_warnings_write(warnings, writer);
    writer_end_object(writer);
}
