/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/durable.h"
#include "agent/base/thread.h"
#include "storage/format.h"
#include "storage/repository-table.h"

#define TEMPORARY FORMAT_REPOSITORY_FILE ".new-" /* with its UUID behind; and ".tmp-" before it */

struct repository *
repository_ref(struct repository *repository)
{
    LOOP_ONLY();
    atomic_fetch_add(&repository->references, 1);
    return repository;
}

static void
repository_free(struct repository *repository)
{
    if (repository->directory_fd >= 0)
        (void)close(repository->directory_fd);
    if (repository->images_fd >= 0)
        (void)close(repository->images_fd);
    free(repository->name);
    free(repository->kind);
    free(repository->path);
    free(repository->reason);
    free(repository);
}

/* The job that gave back the last reference may still be counted in its lane: its own message comes
   behind this one. */
static void
free_when_idle(struct message *message)
{
    struct repository *repository = CONTAINER_OF(message, struct repository, freed);

    if (repository->lane.running > 0 || repository->lane.waiting > 0 ||
        repository->copies.running > 0 || repository->copies.waiting > 0)
        loop_post(repository->storage->agent->loop, message);
    else
        repository_free(repository);
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
repository_placeholder(const char *name, const char *path)
{
    struct repository *repository = xalloc(sizeof(*repository));

    repository->name = xstrdup(name);
    repository->kind = xstrdup("dir");
    repository->path = xstrdup(path);
    repository->directory_fd = repository->images_fd = -1;
    atomic_init(&repository->references, 1);
    repository->health = "connecting";
    repository->lane.name = repository->copies.name = repository->name;
    /* Copies wait their turn as long as it takes: a busy copy is no stuck one. */
    repository->copies.stuck_ms = UINT32_MAX;
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

/* Calls 'each' with the name of every entry; stops when it says no. */
static bool
each_entry(int fd, bool (*each)(const char *name, void *context), void *context)
{
    int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = listed < 0 ? NULL : fdopendir(listed);
    struct dirent *entry;
    int fault;

    if (!directory) {
        if (listed >= 0)
            (void)close(listed);
        return false;
    }
    for (errno = 0; (entry = readdir(directory)); errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !each(entry->d_name, context)) {
            errno = 0;
            break;
        }
    fault = errno;
    (void)closedir(directory);
    errno = fault;
    return fault == 0;
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
is_empty(int fd, const char *path, bool *ret_empty, struct error **err)
{
    _cleanup_close_ int images_fd =
        openat(fd, FORMAT_IMAGES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    *ret_empty = images_fd >= 0 || errno == ENOENT;
    if (*ret_empty && each_entry(fd, is_start_of_repository, ret_empty) &&
        (!*ret_empty || images_fd < 0 || each_entry(images_fd, is_nothing, ret_empty)))
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
make_repository(int fd, const char *path, struct error **err)
{
    struct repository_record record = { .created_ns = clock_wall_ns() };
    _cleanup_text_ struct text text = TEXT_INIT;
    _cleanup_free_ char *temporary = NULL;
    bool empty;

    if (!is_empty(fd, path, &empty, err))
        return false;
    if (!empty)
        return unavailable(err, path,
                           "is not empty and no repository: choose an empty directory to make one");
    if (mkdirat(fd, FORMAT_IMAGES, 0755) < 0 && errno != EEXIST)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot make a repository of '%s'", path);
    uuid_make(record.uuid);
    temporary = xprintf(TEMPORARY "%s", record.uuid);
    repository_record_write(&record, &text);
    if (durable_replace(fd, temporary, text.bytes, text.length, err) &&
        durable_rename(fd, temporary, fd, FORMAT_REPOSITORY_FILE, err))
        return true;
    (void)unlinkat(fd, temporary, 0);
    if ((*err)->code != ERROR_ALREADY_EXISTS)
        return error_wrap(err, "cannot make a repository of '%s'", path);
    error_free(TAKE(*err));
    return true;
}

static bool
read_repository_record(int fd, const char *path, struct repository_record *ret_record,
                       struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    if (!durable_read(fd, FORMAT_REPOSITORY_FILE, FORMAT_FILE_SIZE_MAX, &text, err)) {
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
open_root(const char *path, bool create, int *ret_fd, struct error **err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), parent = -1;

    if (fd < 0 && errno == ENOENT && create && mkdir(path, 0755) == 0) {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        parent = fd < 0 ? -1 : openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent >= 0 && !durable_sync_directory(parent, err))
            return error_wrap(err, "cannot make '%s'", path);
    }
    if (fd < 0)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot open '%s'", path);
    *ret_fd = TAKE_FD(fd);
    return true;
}

static bool
read_or_make(int fd, const char *path, bool create, struct repository_record *ret_record,
             struct error **err)
{
    _cleanup_(error_freep) struct error *why_not = NULL, *ignored = NULL;

    if (read_repository_record(fd, path, ret_record, err))
        return true;
    if ((*err)->code != ERROR_NOT_FOUND)
        return false;
    error_free(TAKE(*err));
    if (!create)
        return unavailable(err, path,
                           "is no repository: there is no " FORMAT_REPOSITORY_FILE
                           " in it; 'create' makes one of an empty directory");
    if (make_repository(fd, path, &why_not))
        return read_repository_record(fd, path, ret_record, err);
    /* It was not empty, for somebody has made a repository of it at this moment: good. */
    if (read_repository_record(fd, path, ret_record, &ignored))
        return true;
    *err = TAKE(why_not);
    return false;
}

bool
repository_open(const char *name, const char *path, bool create, struct repository **ret_repository,
                struct error **err)
{
    _cleanup_(repository_unrefp) struct repository *repository = repository_placeholder(name, path);
    struct repository_record record;
    struct statvfs space;

    WORKER_ONLY();
    if (!open_root(path, create, &repository->directory_fd, err))
        return false;
    if (!read_or_make(repository->directory_fd, path, create, &record, err))
        return false;
    memcpy(repository->uuid, record.uuid, sizeof(record.uuid));
    repository->created_ns = record.created_ns;
    repository->images_fd = openat(repository->directory_fd, FORMAT_IMAGES,
                                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (repository->images_fd < 0)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot open '%s/" FORMAT_IMAGES "'", path);
    if (fstatvfs(repository->directory_fd, &space) == 0)
        repository->read_only = space.f_flag & ST_RDONLY;
    if (!repository_look(repository, &repository->look, err))
        return false;
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

static bool
is_same(int fd, int other_fd)
{
    struct stat one, other;

    return fstat(fd, &one) == 0 && fstat(other_fd, &other) == 0 && one.st_ino == other.st_ino &&
           one.st_dev == other.st_dev;
}

/* Whether the path still leads to the directories that are open. */
static bool
require_same(const struct repository *repository, int fd, struct error **err)
{
    _cleanup_close_ int images_fd =
        openat(fd, FORMAT_IMAGES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (images_fd < 0)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno,
                           "cannot open '%s/" FORMAT_IMAGES "'", repository->path);
    return (is_same(fd, repository->directory_fd) && is_same(images_fd, repository->images_fd)) ||
           unavailable(err, repository->path,
                       "is another directory by now: disconnect and connect it");
}

bool
repository_look(const struct repository *repository, struct repository_look *ret_look,
                struct error **err)
{
    _cleanup_close_ int fd = open(repository->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t begun = clock_monotonic_ns();
    struct repository_look look = { 0 };
    struct repository_record record;
    struct statvfs space;

    WORKER_ONLY();
    if (fd < 0)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot open '%s'",
                           repository->path);
    if (!read_repository_record(fd, repository->path, &record, err)) {
        (*err)->code = ERROR_REPOSITORY_UNAVAILABLE;
        return false;
    }
    look.latency_ns = clock_monotonic_ns() - begun;
    if (strcmp(record.uuid, repository->uuid) != 0)
        return unavailable(err, repository->path,
                           "is another repository by now: disconnect and connect it");
    if (!require_same(repository, fd, err))
        return false;
    if (fstatvfs(fd, &space) < 0)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot measure '%s'",
                           repository->path);
    look.capacity = (uint64_t)space.f_blocks * space.f_frsize;
    look.free = (uint64_t)space.f_bavail * space.f_frsize;
    if (!each_entry(repository->images_fd, count_image, &look.image_count))
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot list '%s'",
                           repository->path);
    *ret_look = look;
    return true;
}

void
repository_write_status(const struct repository *repository, const struct repository_look *look,
                        struct writer *writer)
{
    bool known = repository->images_fd >= 0;

    writer_object(writer);
    writer_member_string(writer, "repository", repository->name);
    writer_member_string(writer, "kind", repository->kind);
    writer_member_string(writer, "path", repository->path);
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
    writer_member_string(writer, "reason", repository->reason);
    writer_end_object(writer);
}
