/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/stale-uses.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "events/ring.h"
#include "storage/disk.h"

#define AGAIN_MS 5000 /* for who works on an image to end */
#define ATTEMPTS_MAX 60
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

static bool
is_stale(struct repository *repository, const char *id)
{
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(error_freep) struct error *ignored = NULL;

    return image_open_directory(repository, id, &image, &ignored) && image_has_stale_uses(image);
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
        return error->code != ERROR_IMAGE_IN_USE;
    if (!image_drop_stale_uses(image, &error))
        return true; /* who is in its way tells of that */
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

    look->all = false;
    if (!image_list(look->repository, look->after, PART, &ids, &count, &ignored))
        return;
    for (size_t i = 0; i < count; i++)
        if (is_stale(look->repository, ids[i]))
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

        if (!is_stale(look->repository, id) || drop(look, id))
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
finished(struct job *job)
{
    struct stale_look *look = CONTAINER_OF(job, struct stale_look, job);

    LOOP_ONLY();
    repository_unref(TAKE(look->repository));
    tell(look);
    if (look->all)
        begin(look);
    else if (look->images.count > 0 && look->attempts < ATTEMPTS_MAX)
        timer_arm(look->virt->agent->loop, &look->again, AGAIN_MS);
    else
        look_free(look);
}

static void
try_again(struct timer *timer)
{
    begin(CONTAINER_OF(timer, struct stale_look, again));
}

/* One whose repository is not there now is looked at when it comes back, with all of them. */
static void
begin(struct stale_look *look)
{
    struct virt *virt = look->virt;
    _cleanup_(error_freep) struct error *error = NULL;

    if (!repository_find(virt->storage, look->place, &look->repository, &error)) {
        look_free(look);
        return;
    }
    look->attempts += !look->all;
    look->job = (struct job){
        .run = run, .finished = finished, .lane = &look->repository->lane, .pool = POOL_REPOSITORY
    };
    if (workers_submit(virt->agent->workers, &look->job, &error))
        return;
    repository_unref(TAKE(look->repository));
    if (look->attempts < ATTEMPTS_MAX)
        timer_arm(virt->agent->loop, &look->again, AGAIN_MS);
    else
        look_free(look);
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

/* Whether it was looked at since libvirt was connected; it is, from now on. */
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
