/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository-table.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "agent/task.h"
#include "events/ring.h"
#include "storage/image-serve-table.h"
#include "storage/unmount.h"

#define HEALTH_INTERVAL_MS 10000
#define LANE_SHARE 2 /* a repository may hold this part of the workers */

struct repository *
repository_table_get(struct storage *storage, const char *name)
{
    struct repository *repository = storage->first;

    LOOP_ONLY();
    while (repository && strcmp(repository->name, name) != 0)
        repository = repository->next;
    return repository;
}

static bool
require_well(struct repository *repository, struct error **err)
{
    if (strcmp(repository->health, "ok") == 0)
        return true;
    error_set(err, ERROR_REPOSITORY_UNAVAILABLE, "repository '%s' is not available: %s",
              repository->name, repository->reason ? repository->reason : "it is being connected");
    return error_data_text(err, "repository", "%s", repository->name);
}

bool
repository_find(struct storage *storage, const char *name, struct repository **ret_repository,
                struct error **err)
{
    struct repository *repository = repository_table_get(storage, name);

    if (!repository)
        return error_set(err, ERROR_REPOSITORY_NOT_FOUND,
                         "there is no repository '%s': repository.list shows all", name);
    if (!require_well(repository, err))
        return false;
    *ret_repository = repository_ref(repository);
    return true;
}

bool
repository_find_uuid(struct storage *storage, const char *uuid, struct repository **ret_repository,
                     struct error **err)
{
    struct repository *repository = storage->first;

    LOOP_ONLY();
    while (repository && strcmp(repository->uuid, uuid) != 0)
        repository = repository->next;
    if (!repository)
        return error_set(err, ERROR_REPOSITORY_NOT_FOUND,
                         "the repository with UUID '%s' is not connected", uuid);
    if (!require_well(repository, err))
        return false;
    *ret_repository = repository_ref(repository);
    return true;
}

static bool
exists(struct error **err, const struct repository *repository, const char *what)
{
    _cleanup_free_ char *place = repository_place_text(&repository->place);

    error_set(err, ERROR_REPOSITORY_EXISTS, "%s: '%s' is connected to '%s'", what, repository->name,
              place);
    return error_data_text(err, "repository", "%s", repository->name);
}

static void
tell_places(struct storage *storage)
{
    if (storage->places_changed)
        storage->places_changed(storage->places_context);
}

static void
insert(struct storage *storage, struct repository *repository)
{
    struct repository **place = &storage->first;
    unsigned workers = storage->agent->config->workers;

    /* By name, whatever was connected first: lists look the same after each start. */
    while (*place && strcmp((*place)->name, repository->name) < 0)
        place = &(*place)->next;
    repository->next = *place;
    *place = repository;
    repository->storage = storage;
    repository->lane.limit = workers / LANE_SHARE ? workers / LANE_SHARE : 1;
}

bool
repository_table_reserve(struct storage *storage, const char *name,
                         const struct repository_place *place, struct repository **ret_there,
                         struct error **err)
{
    struct repository *there = repository_table_get(storage, name);

    if (!there && unmount_is_under_way(storage, name))
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                         "the repository that was called '%s' is being unmounted: try again in a "
                         "moment",
                         name);
    if (!there) {
        insert(storage, repository_placeholder(name, place));
        *ret_there = NULL;
        return true;
    }
    if (!repository_place_same(&there->place, place))
        return exists(err, there, "the name is taken");
    if (strcmp(there->health, "unavailable") == 0 && !there->images) {
        repository_set_health(there, "connecting", NULL);
        *ret_there = NULL;
        return true;
    }
    if (!require_well(there, err))
        return false;
    *ret_there = there;
    return true;
}

bool
repository_table_enter_take(struct storage *storage, struct repository *repository,
                            struct error **err)
{
    struct repository *place = repository_table_get(storage, repository->name);

    for (struct repository *other = storage->first; other; other = other->next)
        if (other != place && strcmp(other->uuid, repository->uuid) == 0) {
            exists(err, other, "the same repository has another name here");
            repository_drop(storage, repository);
            return false;
        }
    if (place) {
        repository->configured = place->configured;
        repository->remembered = place->remembered;
        repository_table_remove(storage, place);
    }
    insert(storage, repository);
    (void)repository_judge(&repository->warnings, &repository->look);
    repository_publish(repository, "repository.connected");
    tell_places(storage);
    storage_resume_soon(storage);
    return true;
}

void
repository_table_remove(struct storage *storage, struct repository *repository)
{
    struct repository **place = &storage->first;

    LOOP_ONLY();
    while (*place && *place != repository)
        place = &(*place)->next;
    if (!*place)
        return;
    *place = repository->next;
    repository->next = NULL;
    repository_unref(repository);
    tell_places(storage);
}

void
repository_table_write(const struct storage *storage, struct text *ret_text)
{
    struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_integer(&writer, "version", 1);
    writer_key(&writer, "repositories");
    writer_array(&writer);
    for (const struct repository *repository = storage->first; repository;
         repository = repository->next)
        if (repository->remembered) {
            writer_object(&writer);
            writer_member_string(&writer, "repository", repository->name);
            repository_place_write(&repository->place, &writer);
            writer_end_object(&writer);
        }
    writer_end_array(&writer);
    writer_end_object(&writer);
    text_done(ret_text);
    *ret_text = writer.text;
}

void
repository_publish(struct repository *repository, const char *topic)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    repository_write_status(repository, &repository->look, &writer);
    (void)ring_publish(repository->storage->agent->ring, topic, repository->name, writer.text.bytes,
                       writer.text.length);
}

/* ---- health ---- */

bool
repository_in_use(const struct repository *repository)
{
    /* One reference is the table's; a health look's is soon given back. */
    return atomic_load(&repository->references) > 1U + repository->looking ||
           strcmp(repository->health, "connecting") == 0;
}

static bool
refuse(char *text_take, const char *state, const char *needs, struct error **err)
{
    _cleanup_free_ char *text = text_take;

    error_set(err, ERROR_WRONG_STATE, "%s", text);
    error_data_text(err, "state", "%s", state);
    return error_data_text(err, "needs", "%s", needs);
}

bool
repository_require_idle(const struct repository *repository, bool force, struct error **err)
{
    struct storage *storage = repository->storage;
    const char *name = repository->name, *machine;

    LOOP_ONLY();
    if (repository_in_use(repository) && (!force || strcmp(repository->health, "connecting") == 0))
        return refuse(xprintf("tasks use repository '%s': wait for them, abort them, or use "
                              "'force'",
                              name),
                      "in use", "no running task", err);
    machine =
        storage->machine_in && !force ? storage->machine_in(storage->places_context, name) : NULL;
    if (machine)
        return refuse(xprintf("VM '%s' runs and has a disk in repository '%s': shut it down, move "
                              "it away, or use 'force'",
                              machine, name),
                      "in use", "no running VM", err);
    return !serving_uses(storage, repository->uuid) ||
           refuse(xprintf("images of repository '%s' are served: end that first (image.unserve)",
                          name),
                  "served", "no served image", err);
}

void
repository_change_health(struct repository *repository, const char *health, const char *reason)
{
    bool changed = strcmp(repository->health, health) != 0;

    LOOP_ONLY();
    repository_set_health(repository, health, reason);
    if (changed && repository_table_get(repository->storage, repository->name) == repository)
        repository_publish(repository, "repository.health");
}

void
repository_change_look(struct repository *repository, const struct repository_look *look)
{
    bool well = strcmp(repository->health, "ok") == 0;

    LOOP_ONLY();
    repository->look = *look;
    if (repository_judge(&repository->warnings, look) && well)
        repository_publish(repository, "repository.health");
    repository_change_health(repository, "ok", NULL);
}

struct look_job {
    struct job job;
    struct storage *storage;
    struct repository *repository; /* a reference */
    struct repository *opened;     /* it was not open, and now is */
    struct repository_look look;
    struct error *error;
};

static void
look(struct job *job)
{
    struct look_job *looking = CONTAINER_OF(job, struct look_job, job);
    struct repository *repository = looking->repository;

    atomic_store(&repository->look_started_ns, clock_monotonic_ns());
    if (!repository->images)
        (void)!repository_open(repository->name, &repository->place, false, &looking->opened,
                               &looking->error);
    else
        (void)!repository_look(repository, &looking->look, &looking->error);
}

static void
looked(struct job *job)
{
    struct look_job *looking = CONTAINER_OF(job, struct look_job, job);
    struct repository *repository = looking->repository;
    struct storage *storage = looking->storage;
    bool connected = repository_table_get(storage, repository->name) == repository;
    _cleanup_free_ char *key = xprintf("looked %s", repository->name);

    repository->looking = false;
    repository->looks_ended = repository->looks_begun;
    if (connected)
        atomic_store(&repository->shut, false);
    if (!connected || strcmp(repository->health, "connecting") == 0) {
        /* A call tries it just now: what comes of that is newer.  Or it was disconnected. */
        if (!repository_table_get(storage, repository->name) &&
            repository_place_is_mounted(&repository->place))
            unmount_begin(storage, repository->name, false);
        repository_drop(storage, looking->opened);
    } else if (looking->opened) {
        _cleanup_(error_freep) struct error *error = NULL;

        if (!repository_table_enter_take(storage, looking->opened, &error))
            repository_change_health(repository, "unavailable", error->message);
    } else if (looking->error) {
        repository_change_health(repository, "unavailable", looking->error->message);
    } else if (repository->judging) {
        repository->judging = false;
        repository_change_look(repository, &looking->look);
    } else { /* somebody asked: how often is no measure of how slow it is */
        repository->look = looking->look;
        repository_change_health(repository, "ok", NULL);
    }
    task_wake(storage->agent, key);
    error_free(looking->error);
    repository_unref(repository);
    free(looking);
}

/* Timers keep to milliseconds, so what is looked at every ten seconds may be a little less old. */
static bool
is_overdue(int64_t since_ns)
{
    return clock_monotonic_ns() - since_ns > (HEALTH_INTERVAL_MS - 100) * NS_PER_MS;
}

bool
repository_begin_look(struct repository *repository)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct look_job *looking;

    LOOP_ONLY();
    if (repository->looking)
        return true;
    looking = xalloc(sizeof(*looking));
    looking->job = (struct job){
        .run = look, .finished = looked, .lane = &repository->lane, .pool = POOL_REPOSITORY
    };
    looking->storage = repository->storage;
    looking->repository = repository_ref(repository);
    repository->looking = true;
    repository->looks_begun++;
    atomic_store(&repository->look_started_ns, 0);
    if (workers_submit(repository->storage->agent->workers, &looking->job, &error))
        return true;
    repository->looking = false;
    repository->looks_begun--;
    if (is_overdue(repository->lane.moved_ns)) /* else it has much to do, and that is well */
        repository_change_health(repository, "unavailable", error->message);
    repository_unref(repository);
    free(looking);
    return false;
}

void
repository_judge_age(struct repository *repository)
{
    int64_t started_ns = atomic_load(&repository->look_started_ns);

    if (!repository->looking)
        return;

    if (started_ns && is_overdue(started_ns)) {
        atomic_store(&repository->shut, true); /* what comes back must not go there again */
        repository_change_health(repository, "unavailable",
                                 "its file system has not answered for ten seconds");
    } else if (!started_ns && is_overdue(repository->lane.moved_ns))
        repository_change_health(repository, "unavailable",
                                 "all work on it has been stuck for ten seconds");
}

static void
look_at_all(struct timer *timer)
{
    struct storage *storage = CONTAINER_OF(timer, struct storage, health);

    for (struct repository *repository = storage->first, *next; repository; repository = next) {
        next = repository->next;
        if (strcmp(repository->health, "connecting") == 0)
            continue;
        repository->judging = true;
        if (repository->looking)
            repository_judge_age(repository);
        else
            (void)!repository_begin_look(repository);
    }
    timer_arm(storage->agent->loop, &storage->health, HEALTH_INTERVAL_MS);
}

void
health_open(struct storage *storage)
{
    repository_figures_open(storage);
    storage->health.fire = look_at_all;
    timer_arm(storage->agent->loop, &storage->health, HEALTH_INTERVAL_MS);
}
