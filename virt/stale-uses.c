/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/stale-uses.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "events/ring.h"
#include "storage/disk.h"

/* For who works on an image to end, libvirt to answer, the repository to be well: soon, then seldom. */
#define SOON_MS 5000
#define SOON_ATTEMPTS 60
#define LATER_MS 60000
#define PART 500 /* images */

struct texts {
    char **items; /* owned, as they are */
    size_t count;
};

/* Images of one repository. */
struct stale_look {
    struct job job;
    struct timer again;
    struct virt *virt;
    char *place;                   /* the repository's name; owned */
    struct repository *repository; /* a reference, while it runs */
    struct texts images;           /* those that are to be looked at */
    bool all;                      /* more are to be found: all that there are */
    bool held;                     /* they could not be listed */
    char *after;                   /* those behind this one; owned, or NULL */
    unsigned attempts;
    struct texts changed, statuses; /* the images that were, and what they are now */
};

/* A repository that was looked at. */
struct stale_seen {
    char uuid[UUID_TEXT_SIZE];
    uint64_t epoch; /* of the connection to libvirt */
    struct stale_seen *next;
};

static void begin(struct stale_look *look);

static void
add_text(struct texts *texts, char *text_take)
{
    texts->items = xrealloc(texts->items, (texts->count + 1) * sizeof(*texts->items));
    texts->items[texts->count++] = text_take;
}

static void
texts_done(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->items[i]);
    free(texts->items);
    *texts = (struct texts){ 0 };
}

static void
look_free(struct stale_look *look)
{
    texts_done(&look->images);
    texts_done(&look->changed);
    texts_done(&look->statuses);
    repository_unref(look->repository);
    free(look->after);
    free(look->place);
    free(look);
}

/* ---- on a worker ---- */

enum finding { FOUND_NOTHING, FOUND_STALE, FOUND_UNCERTAIN };

/* Uncertain while the repository, or libvirt, does not tell. */
static enum finding
look_at(const struct stale_look *look, const char *id)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };
    _cleanup_(error_freep) struct error *error = NULL;
    enum finding found = FOUND_NOTHING;

    if (!image_open_directory(look->repository, id, &image, &error))
        return error->code == ERROR_IMAGE_NOT_FOUND ? FOUND_NOTHING : FOUND_UNCERTAIN;
    if (!image_read_uses(image, &uses, &error))
        return FOUND_UNCERTAIN;
    for (size_t i = 0; i < uses.count; i++) {
        enum use_verdict verdict;

        if (strcmp(uses.items[i].record.host, look->virt->agent->host_id) != 0)
            continue;
        verdict = image_judge_use(image, &uses.items[i]);
        if (verdict == USE_GONE)
            return FOUND_STALE;
        if (verdict == USE_UNKNOWN)
            found = FOUND_UNCERTAIN;
    }
    return found;
}

/* Under the image's lock it is judged again: a VM that is just being defined holds that.  False: it is to
   be looked at again. */
static bool
drop(struct stale_look *look, const char *id)
{
    _cleanup_free_ char *holder =
        xprintf("%s " IMAGE_LOCK_FOR_A_MOMENT, look->virt->agent->host_id);
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_writer_ struct writer status = WRITER_INIT;

    if (!image_lock_directory(look->repository, id, IMAGE_LOCK_EXCLUSIVE, holder, &image, &error))
        return error->code == ERROR_IMAGE_NOT_FOUND || look->repository->read_only;
    if (!image_drop_stale_uses(image, &error))
        return false;
    image_close(TAKE(image));
    if (image_write_status(look->repository, id, &status, &error)) {
        add_text(&look->changed, xstrdup(id));
        add_text(&look->statuses, text_take(&status.text));
    }
    return true;
}

/* A part of them: a thread is not held for all of a large repository. */
static void
list_images(struct stale_look *look)
{
    _cleanup_(error_freep) struct error *ignored = NULL;
    char **ids;
    size_t count;

    look->held = !image_list(look->repository, look->after, PART, &ids, &count, &ignored);
    if (look->held)
        return;
    for (size_t i = 0; i < count; i++)
        if (look_at(look, ids[i]) != FOUND_NOTHING)
            add_text(&look->images, xstrdup(ids[i]));
    look->all = count == PART;
    if (count > 0) {
        free(look->after);
        look->after = xstrdup(ids[count - 1]);
    }
    strings_free(ids);
}

static void
run(struct job *job)
{
    struct stale_look *look = CONTAINER_OF(job, struct stale_look, job);
    size_t left = 0;

    WORKER_ONLY();
    if (look->all)
        list_images(look);
    for (size_t i = 0; i < look->images.count; i++) {
        char *id = look->images.items[i];
        enum finding found = look_at(look, id);

        if (found == FOUND_NOTHING || (found == FOUND_STALE && drop(look, id)))
            free(id);
        else
            look->images.items[left++] = id;
    }
    look->images.count = left;
}

/* ---- on the loop ---- */

static void
tell(struct stale_look *look)
{
    for (size_t i = 0; i < look->changed.count; i++) {
        _cleanup_free_ char *subject = xprintf("%s/%s", look->place, look->changed.items[i]);
        const char *status = look->statuses.items[i];

        (void)ring_publish(look->virt->agent->ring, "image.changed", subject, status,
                           strlen(status));
    }
    texts_done(&look->changed);
    texts_done(&look->statuses);
}

static void
again(struct stale_look *look)
{
    timer_arm(look->virt->agent->loop, &look->again,
              look->attempts < SOON_ATTEMPTS ? SOON_MS : LATER_MS);
}

static void
finished(struct job *job)
{
    struct stale_look *look = CONTAINER_OF(job, struct stale_look, job);

    LOOP_ONLY();
    repository_unref(TAKE(look->repository));
    tell(look);
    if (look->all && !look->held)
        begin(look);
    else if (look->all || look->images.count > 0)
        again(look);
    else
        look_free(look);
}

static void
try_again(struct timer *timer)
{
    begin(CONTAINER_OF(timer, struct stale_look, again));
}

/* One whose repository is disconnected is looked at when that is connected, with all of them. */
static void
begin(struct stale_look *look)
{
    struct virt *virt = look->virt;
    _cleanup_(error_freep) struct error *error = NULL;

    look->attempts += !look->all || look->held;
    if (repository_find(virt->storage, look->place, &look->repository, &error)) {
        look->job = (struct job){ .run = run,
                                  .finished = finished,
                                  .lane = &look->repository->lane,
                                  .pool = POOL_REPOSITORY };
        if (workers_submit(virt->agent->workers, &look->job, &error))
            return;
        repository_unref(TAKE(look->repository));
    }
    if (error->code == ERROR_REPOSITORY_NOT_FOUND)
        look_free(look);
    else
        again(look);
}

static struct stale_look *
look_new(struct virt *virt, const char *place)
{
    struct stale_look *look = xalloc(sizeof(*look));

    look->virt = virt;
    look->place = xstrdup(place);
    look->again.fire = try_again;
    return look;
}

static bool
has_image(const struct vm *vm, const struct vm_disk *disk)
{
    for (size_t i = 0; vm && i < vm->disk_count; i++)
        if (vm->disks[i].image && strcmp(vm->disks[i].image, disk->image) == 0 &&
            strcmp(vm->disks[i].repository, disk->repository) == 0)
            return true;
    return false;
}

void
stale_uses_look_at(struct virt *virt, const char *repository, const char *image)
{
    struct stale_look *look = look_new(virt, repository);

    LOOP_ONLY();
    add_text(&look->images, xstrdup(image));
    begin(look);
}

void
stale_uses_look(struct virt *virt, const struct vm *before, const struct vm *now)
{
    LOOP_ONLY();
    for (size_t i = 0; i < before->disk_count; i++) {
        const struct vm_disk *disk = &before->disks[i];

        if (disk->image && !has_image(now, disk))
            stale_uses_look_at(virt, disk->repository, disk->image);
    }
}

/* Of those that are connected no more, nothing is known of what has become of them. */
static void
forget_disconnected(struct virt *virt)
{
    struct stale_seen **place = &virt->stale_seen;

    while (*place) {
        struct stale_seen *seen = *place;
        const struct repository *repository = virt->storage->first;

        while (repository && strcmp(repository->uuid, seen->uuid) != 0)
            repository = repository->next;
        if (repository) {
            place = &seen->next;
        } else {
            *place = seen->next;
            free(seen);
        }
    }
}

/* Whether it was looked at since it and libvirt were connected; it is, from now on. */
static bool
was_seen(struct virt *virt, const char *uuid)
{
    struct stale_seen *seen = virt->stale_seen;
    bool before;

    while (seen && strcmp(seen->uuid, uuid) != 0)
        seen = seen->next;
    if (!seen) {
        seen = xalloc(sizeof(*seen));
        memcpy(seen->uuid, uuid, sizeof(seen->uuid));
        seen->next = virt->stale_seen;
        virt->stale_seen = seen;
    }
    before = seen->epoch == virt->epoch;
    seen->epoch = virt->epoch;
    return before;
}

void
stale_uses_look_at_all(struct virt *virt)
{
    struct repository *repository;

    LOOP_ONLY();
    forget_disconnected(virt);
    for (repository = virt->storage->first; repository; repository = repository->next) {
        struct stale_look *look;

        if (strcmp(repository->health, "ok") != 0 || repository->read_only ||
            was_seen(virt, repository->uuid))
            continue;
        look = look_new(virt, repository->name);
        look->all = true;
        begin(look);
    }
}
