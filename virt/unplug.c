/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/unplug.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "storage/disk.h"
#include "virt/virt-internal.h"
#include "virt/vm-needs.h"

/* More than any host has under way; the oldest is then left to be judged. */
#define LATE_MAX 1000

static void
unplug_free(struct unplug *unplug)
{
    free(unplug->alias);
    free(unplug->repository);
    free(unplug->image);
    free(unplug);
}

static void
take_out(struct unplug *unplug)
{
    struct unplug **place = &unplug->virt->unplugs;

    while (*place != unplug)
        place = &(*place)->next;
    *place = unplug->next;
}

/* ---- letting the image go, after all ---- */

struct release {
    struct job job;
    struct vm_needs needs;
    char *host; /* owned */
};

static void
release_run(struct job *job)
{
    struct release *release = CONTAINER_OF(job, struct release, job);
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_free_ char *holder = xprintf("%s vm.detachDisk", release->host);

    if (!vm_needs_release(&release->needs, release->host, holder, &error))
        log_warning("%s; its record is dropped when it is in somebody's way", error->message);
}

static void
release_free(struct release *release)
{
    vm_needs_done(&release->needs);
    free(release->host);
    free(release);
}

static void
release_finished(struct job *job)
{
    release_free(CONTAINER_OF(job, struct release, job));
}

static void
release_image(const struct unplug *unplug)
{
    struct virt *virt = unplug->virt;
    struct release *release = xalloc(sizeof(*release));
    _cleanup_(error_freep) struct error *error = NULL;

    release->host = xstrdup(virt->agent->host_id);
    if (!vm_needs_init(&release->needs, virt, unplug->uuid, unplug->repository, unplug->image,
                       &error)) {
        log_info("image '%s' is not released: %s", unplug->image, error->message);
        release_free(release);
        return;
    }
    release->job = (struct job){ .run = release_run,
                                 .finished = release_finished,
                                 .lane = &release->needs.repository->lane,
                                 .pool = POOL_REPOSITORY };
    if (workers_submit(virt->agent->workers, &release->job, &error))
        return;
    log_info("image '%s' is not released: %s", unplug->image, error->message);
    release_free(release);
}

/* ---- listening ---- */

static bool
is_end(const struct vm_news *news)
{
    return news->kind == VM_NEWS_LIFE && news->event == VIR_DOMAIN_EVENT_STOPPED;
}

static bool
is_removal(const struct unplug *unplug, const struct vm_news *news)
{
    return is_end(news) || (news->kind == VM_NEWS_DEVICE_REMOVED && news->device &&
                            strcmp(news->device, unplug->alias) == 0);
}

static bool
is_refusal(const struct unplug *unplug, const struct vm_news *news)
{
    return news->kind == VM_NEWS_DEVICE_REMOVAL_FAILED && news->device &&
           strcmp(news->device, unplug->alias) == 0;
}

static void
told(void *context, const struct vm_news *news)
{
    struct virt *virt = context;
    struct unplug *next;

    for (struct unplug *unplug = virt->unplugs; unplug; unplug = next) {
        next = unplug->next;
        if (strcmp(unplug->uuid, news->uuid) != 0)
            continue;
        if (is_refusal(unplug, news))
            atomic_store(&unplug->refused, true);
        if (!unplug->late || !is_removal(unplug, news))
            continue;
        take_out(unplug);
        release_image(unplug);
        unplug_free(unplug);
    }
}

void
unplug_open(struct virt *virt)
{
    LOOP_ONLY();
    virt->unplug_listener = (struct virt_listener){ .told = told, .context = virt };
    virt_listen(virt, &virt->unplug_listener);
}

struct unplug *
unplug_begin(struct virt *virt, const char *uuid, const char *alias)
{
    struct unplug *unplug = xalloc(sizeof(*unplug));

    LOOP_ONLY();
    unplug->virt = virt;
    (void)snprintf(unplug->uuid, sizeof(unplug->uuid), "%s", uuid);
    unplug->alias = xstrdup(alias);
    unplug->next = virt->unplugs;
    virt->unplugs = unplug;
    return unplug;
}

/* They are put in at the front. */
static void
forget_oldest(struct virt *virt)
{
    struct unplug *oldest = NULL;
    size_t count = 0;

    for (struct unplug *unplug = virt->unplugs; unplug; unplug = unplug->next)
        if (unplug->late) {
            oldest = unplug;
            count++;
        }
    if (count <= LATE_MAX)
        return;
    take_out(oldest);
    unplug_free(oldest);
}

void
unplug_end(struct unplug *unplug, bool late, const char *repository, const char *image)
{
    struct virt *virt;

    LOOP_ONLY();
    if (!unplug)
        return;
    virt = unplug->virt;
    if (!late || !repository || !image) {
        take_out(unplug);
        unplug_free(unplug);
        return;
    }
    unplug->late = true;
    unplug->repository = xstrdup(repository);
    unplug->image = xstrdup(image);
    release_image(unplug); /* it may have let go since somebody looked */
    forget_oldest(virt);
}
