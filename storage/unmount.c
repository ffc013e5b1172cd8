/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/unmount.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "storage/mount.h"
#include "storage/repository-table.h"

struct unmount {
    struct job job;
    struct lane lane; /* its own: one that is stuck is in nobody's way */
    struct storage *storage;
    char *name, *point; /* owned */
    bool force;
    struct error *error;
    struct unmount *next;
};

static void
detach(struct job *job)
{
    struct unmount *unmount = CONTAINER_OF(job, struct unmount, job);

    (void)!mount_detach(unmount->point, unmount->force, &unmount->error);
}

static void
end(struct unmount *unmount)
{
    struct unmount **place = &unmount->storage->unmounts;
    _cleanup_free_ char *key = xprintf("unmounted %s", unmount->name);

    while (*place != unmount)
        place = &(*place)->next;
    *place = unmount->next;
    if (unmount->error)
        log_warning("%s: it stays mounted, going on", unmount->error->message);
    task_wake(unmount->storage->agent, key);
    error_free(unmount->error);
    free(unmount->name);
    free(unmount->point);
    free(unmount);
}

static void
detached(struct job *job)
{
    end(CONTAINER_OF(job, struct unmount, job));
}

void
unmount_begin(struct storage *storage, const char *name, bool force)
{
    struct unmount *unmount;

    LOOP_ONLY();
    if (unmount_is_under_way(storage, name))
        return;
    unmount = xalloc(sizeof(*unmount));
    unmount->storage = storage;
    unmount->name = xstrdup(name);
    unmount->point = mount_point(name);
    unmount->force = force;
    unmount->lane = (struct lane){ .name = unmount->name, .limit = 1 };
    unmount->job = (struct job){
        .run = detach, .finished = detached, .lane = &unmount->lane, .pool = POOL_REPOSITORY
    };
    unmount->next = storage->unmounts;
    storage->unmounts = unmount;
    if (!workers_submit(storage->agent->workers, &unmount->job, &unmount->error))
        end(unmount);
}

bool
unmount_is_under_way(const struct storage *storage, const char *name)
{
    const struct unmount *unmount = storage->unmounts;

    LOOP_ONLY();
    while (unmount && strcmp(unmount->name, name) != 0)
        unmount = unmount->next;
    return unmount != NULL;
}

/* ---- what was left ---- */

struct search {
    struct job job;
    struct lane lane;
    struct storage *storage;
    char **names; /* owned; NULL-terminated, or NULL */
    struct error *error;
};

static void
search(struct job *job)
{
    struct search *search = CONTAINER_OF(job, struct search, job);

    (void)!mount_list(&search->names, &search->error);
}

static void
searched(struct job *job)
{
    struct search *search = CONTAINER_OF(job, struct search, job);

    if (search->error)
        log_warning("what is left of earlier mounts stays: %s, going on", search->error->message);
    for (char **name = search->names; name && *name; name++)
        if (!repository_table_get(search->storage, *name)) {
            log_notice("unmounting '%s', which an earlier agent has left", *name);
            unmount_begin(search->storage, *name, false);
        }
    strings_free(search->names);
    error_free(search->error);
    free(search);
}

void
unmount_what_is_left(struct storage *storage)
{
    struct search *begun = xalloc(sizeof(*begun));

    begun->storage = storage;
    begun->lane = (struct lane){ .name = "mounts", .limit = 1 };
    begun->job = (struct job){
        .run = search, .finished = searched, .lane = &begun->lane, .pool = POOL_REPOSITORY
    };
    if (workers_submit(storage->agent->workers, &begun->job, &begun->error))
        return;
    log_warning("what is left of earlier mounts stays: %s, going on", begun->error->message);
    error_free(begun->error);
    free(begun);
}
