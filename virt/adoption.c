/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/adoption.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "events/ring.h"
#include "storage/disk.h"
#include "virt/stale-uses.h"
#include "virt/virt-internal.h"
#include "virt/vm-table.h"

#define AGAIN_MS 5000 /* for who works on the image to end, or the repository to be well */
#define ATTEMPTS_MAX 60

/* One disk of one VM. */
struct adoption {
    struct job job;
    struct virt *virt;
    char vm[UUID_TEXT_SIZE];
    char *name, *place, *image;    /* of the VM, the repository, the image; owned */
    struct repository *repository; /* a reference, while it runs */
    enum use_access access;
    unsigned attempts;
    bool running;
    bool waits;           /* for the timer, before another attempt */
    bool claimed;         /* by this */
    struct writer status; /* of the image, then */
    struct error *error;  /* owned */
    struct adoption *next;
};

static void run_next(struct virt *virt);

static void
adoption_free(struct adoption *adoption)
{
    repository_unref(adoption->repository);
    error_free(adoption->error);
    writer_done(&adoption->status);
    free(adoption->name);
    free(adoption->place);
    free(adoption->image);
    free(adoption);
}

/* ---- on a worker ---- */

static bool
has_record(const struct adoption *adoption, bool *ret_has, struct error **err)
{
    const char *host = adoption->virt->agent->host_id;
    _cleanup_(image_closep) struct image *image = NULL;
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };

    *ret_has = false;
    if (!image_open_directory(adoption->repository, adoption->image, &image, err) ||
        !image_read_uses(image, &uses, err))
        return false;
    for (size_t i = 0; i < uses.count; i++)
        if (strcmp(uses.items[i].record.vm, adoption->vm) == 0 &&
            strcmp(uses.items[i].record.host, host) == 0)
            *ret_has = true;
    return true;
}

/* It runs already, or may at any time: a record of it on the host that it came from may stand beside. */
static bool
claim(struct adoption *adoption, struct error **err)
{
    const char *host = adoption->virt->agent->host_id;
    const struct disk_user user = {
        .vm = adoption->vm, .name = adoption->name, .host = host, .migrating = true
    };
    _cleanup_free_ char *holder = xprintf("%s " IMAGE_LOCK_FOR_A_MOMENT, host);
    struct disk_claim *made;

    if (!disk_claim(adoption->repository, adoption->image, &user, adoption->access, holder, &made,
                    err))
        return false;
    adoption->claimed = true;
    image_write_status_of(made->image, &adoption->status);
    disk_claim_keep(made);
    return true;
}

static void
adopt(struct job *job)
{
    struct adoption *adoption = CONTAINER_OF(job, struct adoption, job);
    bool has;

    WORKER_ONLY();
    if (has_record(adoption, &has, &adoption->error) && !has)
        (void)!claim(adoption, &adoption->error);
}

/* ---- on the loop ---- */

static void
take_out(struct adoption *adoption)
{
    struct adoption **place = &adoption->virt->adoptions;

    while (*place != adoption)
        place = &(*place)->next;
    *place = adoption->next;
}

/* A task works on the image, and soon does no more; or the repository does not answer, as long as that takes. */
static bool
is_worth_another(const struct adoption *adoption)
{
    const struct error *error = adoption->error;

    if (error && error->code == ERROR_REPOSITORY_UNAVAILABLE)
        return !adoption->repository->read_only;
    return error && error->code == ERROR_IMAGE_IN_USE && adoption->attempts < ATTEMPTS_MAX &&
           !(error->data && strstr(error->data, "\"vm\""));
}

static bool
is_had(const struct adoption *adoption)
{
    const struct vm_entry *entry = vm_table_find_uuid(adoption->virt, adoption->vm);

    for (size_t i = 0; entry && i < entry->vm->disk_count; i++) {
        const struct vm_disk *disk = &entry->vm->disks[i];

        if (disk->image && strcmp(disk->image, adoption->image) == 0 &&
            strcmp(disk->repository, adoption->place) == 0)
            return true;
    }
    return false;
}

static void
tell(struct adoption *adoption)
{
    _cleanup_free_ char *subject = xprintf("%s/%s", adoption->place, adoption->image);

    (void)ring_publish(adoption->virt->agent->ring, "image.changed", subject,
                       adoption->status.text.bytes, adoption->status.text.length);
}

static void
adopted(struct job *job)
{
    struct adoption *adoption = CONTAINER_OF(job, struct adoption, job);
    struct virt *virt = adoption->virt;
    bool again = is_worth_another(adoption);

    LOOP_ONLY();
    adoption->running = false;
    repository_unref(TAKE(adoption->repository));
    if (again) {
        error_free(TAKE(adoption->error));
        adoption->waits = true;
        timer_arm(virt->agent->loop, &virt->adoption_timer, AGAIN_MS);
        run_next(virt);
        return;
    }
    if (adoption->claimed)
        tell(adoption);
    /* It may have gone while its record was being made, as one whose migration was canceled. */
    if (adoption->claimed && !is_had(adoption))
        stale_uses_look_at(virt, adoption->place, adoption->image);
    if (adoption->error && adoption->error->code != ERROR_IMAGE_NOT_FOUND)
        log_warning("VM '%s' has image '%s' of repository '%s', and no record of that can be made: "
                    "%s, going on",
                    adoption->name, adoption->image, adoption->place, adoption->error->message);
    take_out(adoption);
    adoption_free(adoption);
    run_next(virt);
}

static bool
is_busy(const struct virt *virt, const char *place)
{
    for (const struct adoption *other = virt->adoptions; other; other = other->next)
        if (other->running && strcmp(other->place, place) == 0)
            return true;
    return false;
}

static bool
start(struct adoption *adoption, struct error **err)
{
    struct virt *virt = adoption->virt;

    if (!repository_find(virt->storage, adoption->place, &adoption->repository, err))
        return false;
    adoption->job = (struct job){ .run = adopt,
                                  .finished = adopted,
                                  .lane = &adoption->repository->lane,
                                  .pool = POOL_REPOSITORY };
    adoption->running = workers_submit(virt->agent->workers, &adoption->job, err);
    if (!adoption->running)
        repository_unref(TAKE(adoption->repository));
    adoption->attempts++;
    return adoption->running;
}

/* One at a time of each repository.  When one is connected that is not there now, the VMs are told anew. */
static void
run_next(struct virt *virt)
{
    struct adoption *adoption, *next;

    for (adoption = virt->adoptions; adoption; adoption = next) {
        _cleanup_(error_freep) struct error *error = NULL;

        next = adoption->next;
        if (!adoption->running && !is_had(adoption)) {
            take_out(adoption);
            adoption_free(adoption);
            continue;
        }
        if (adoption->running || adoption->waits || is_busy(virt, adoption->place) ||
            start(adoption, &error))
            continue;
        if (error->code != ERROR_REPOSITORY_NOT_FOUND) {
            timer_arm(virt->agent->loop, &virt->adoption_timer, AGAIN_MS);
            continue;
        }
        take_out(adoption);
        adoption_free(adoption);
    }
}

static bool
is_wanted(const struct virt *virt, const char *vm, const struct vm_disk *disk)
{
    for (const struct adoption *other = virt->adoptions; other; other = other->next)
        if (strcmp(other->vm, vm) == 0 && strcmp(other->place, disk->repository) == 0 &&
            strcmp(other->image, disk->image) == 0)
            return true;
    return false;
}

static void
want(struct virt *virt, const struct vm *vm)
{
    for (size_t i = 0; i < vm->disk_count; i++) {
        const struct vm_disk *disk = &vm->disks[i];
        struct adoption *adoption;

        if (!disk->image || is_wanted(virt, vm->uuid, disk))
            continue;
        adoption = xalloc(sizeof(*adoption));
        adoption->virt = virt;
        memcpy(adoption->vm, vm->uuid, sizeof(adoption->vm));
        adoption->name = xstrdup(vm->name);
        adoption->place = xstrdup(disk->repository);
        adoption->image = xstrdup(disk->image);
        adoption->access = disk->readonly    ? USE_READ_ONLY
                           : disk->shareable ? USE_SHAREABLE
                                             : USE_WRITABLE;
        adoption->next = virt->adoptions;
        virt->adoptions = adoption;
    }
}

/* Whether it may have disks after it that it had not before. */
static bool
may_bring_disks(const struct vm_news *news)
{
    return news->kind == VM_NEWS_REFRESH || news->kind == VM_NEWS_DISK_CHANGE ||
           news->kind == VM_NEWS_DEVICE_ADDED ||
           (news->kind == VM_NEWS_LIFE &&
            (news->event == VIR_DOMAIN_EVENT_DEFINED || news->event == VIR_DOMAIN_EVENT_STARTED));
}

static void
heard(void *context, const struct vm_news *news)
{
    struct virt *virt = context;
    const struct vm_entry *entry;

    LOOP_ONLY();
    if (news->kind == VM_NEWS_ALL && virt->current) {
        for (size_t i = 0; i < virt->entry_count; i++)
            want(virt, virt->entries[i]->vm);
        stale_uses_look_at_all(virt);
    } else if (may_bring_disks(news) && (entry = vm_table_find_uuid(virt, news->uuid)))
        want(virt, entry->vm);
    run_next(virt);
}

static void
try_again(struct timer *timer)
{
    struct virt *virt = CONTAINER_OF(timer, struct virt, adoption_timer);

    for (struct adoption *adoption = virt->adoptions; adoption; adoption = adoption->next)
        adoption->waits = false;
    run_next(virt);
}

void
adoption_open(struct virt *virt)
{
    LOOP_ONLY();
    virt->adoption_timer.fire = try_again;
    virt->adoption_listener = (struct virt_listener){ .told = heard, .context = virt };
    virt_listen(virt, &virt->adoption_listener);
}
