/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-serve-table.h"

#include <string.h>
#include <uv.h>

#include "agent/agent.h"
#include "agent/base/log.h"
#include "agent/base/thread.h"
#include "agent/task.h"
#include "events/ring.h"
#include "storage/image-serve.h"
#include "storage/image.h"

/* What a worker does when a server has ended by itself. */
struct cleaning {
    struct job job;
    struct serving *serving;       /* loop only but for its record, which does not change */
    struct repository *repository; /* a reference; NULL: it is not connected, or not well */
    struct writer status;          /* of the image then */
};

char *
serving_key(const char *repository, const char *image)
{
    return xprintf("serve %s/%s", repository, image);
}

struct serving *
serving_find(struct storage *storage, const char *repository, const char *image)
{
    struct serving *serving = storage->servings;

    LOOP_ONLY();
    while (serving && (strcmp(serving->record.repository, repository) != 0 ||
                       strcmp(serving->record.image, image) != 0))
        serving = serving->next;
    return serving;
}

bool
serving_uses(const struct storage *storage, const char *repository)
{
    const struct serving *serving = storage->servings;

    LOOP_ONLY();
    while (serving && strcmp(serving->record.repository, repository) != 0)
        serving = serving->next;
    return serving != NULL;
}

struct serving *
serving_add(struct storage *storage, const char *repository, const char *image)
{
    struct serving *serving = xalloc(sizeof(*serving));

    LOOP_ONLY();
    *serving = (struct serving){ .storage = storage,
                                 .pidfd = -1,
                                 .busy = true,
                                 .record = { .image = xstrdup(image) },
                                 .next = storage->servings };
    memcpy(serving->record.repository, repository, UUID_TEXT_SIZE);
    storage->servings = serving;
    return serving;
}

/* ---- watching ---- */

static void
close_watch(uv_handle_t *handle)
{
    free(handle);
}

static void
stop_watching(struct serving *serving)
{
    if (serving->watch)
        uv_close((uv_handle_t *)TAKE(serving->watch), close_watch);
    cleanup_close_fd(&serving->pidfd);
    serving->pidfd = -1;
}

static void
wake(struct serving *serving)
{
    _cleanup_free_ char *key = serving_key(serving->record.repository, serving->record.image);

    task_wake(serving->storage->agent, key);
}

void
serving_drop(struct serving *serving)
{
    struct serving **place = &serving->storage->servings;

    LOOP_ONLY();
    while (*place != serving)
        place = &(*place)->next;
    *place = serving->next;
    stop_watching(serving);
    wake(serving);
    serve_record_done(&serving->record);
    free(serving);
}

static void
clean(struct job *job)
{
    struct cleaning *cleaning = CONTAINER_OF(job, struct cleaning, job);
    const struct serve_record *record = &cleaning->serving->record;
    _cleanup_(error_freep) struct error *error = NULL, *ignored = NULL;

    if (!serve_record_remove(record, &error))
        log_warning("%s, going on", error->message);
    if (cleaning->repository)
        (void)!image_write_status(cleaning->repository, record->image, &cleaning->status, &ignored);
}

static void
cleaned(struct job *job)
{
    struct cleaning *cleaning = CONTAINER_OF(job, struct cleaning, job);
    struct serving *serving = cleaning->serving;
    const struct text *status = &cleaning->status.text;

    if (cleaning->repository && status->length > 0) {
        _cleanup_free_ char *subject =
            xprintf("%s/%s", cleaning->repository->name, serving->record.image);

        (void)ring_publish(serving->storage->agent->ring, "image.changed", subject, status->bytes,
                           status->length);
    }
    serving_drop(serving);
    repository_unref(cleaning->repository);
    writer_done(&cleaning->status);
    free(cleaning);
}

static bool
submit(struct cleaning *cleaning, struct lane *lane)
{
    _cleanup_(error_freep) struct error *error = NULL;

    cleaning->job =
        (struct job){ .run = clean, .finished = cleaned, .lane = lane, .pool = POOL_REPOSITORY };
    if (workers_submit(cleaning->serving->storage->agent->workers, &cleaning->job, &error))
        return true;
    log_warning("image '%s' is served no more, and its change is not told: %s, going on",
                cleaning->serving->record.image, error->message);
    return false;
}

static void
begin_cleaning(struct serving *serving)
{
    struct storage *storage = serving->storage;
    _cleanup_(error_freep) struct error *ignored = NULL; /* there is nobody to tell then */
    struct cleaning *cleaning = xalloc(sizeof(*cleaning));

    serving->busy = true;
    *cleaning = (struct cleaning){ .serving = serving, .status = WRITER_INIT };
    (void)!repository_find_uuid(storage, serving->record.repository, &cleaning->repository,
                                &ignored);
    if (cleaning->repository && submit(cleaning, &cleaning->repository->lane))
        return;
    repository_unref(TAKE(cleaning->repository)); /* only what is on this host, then */
    if (!submit(cleaning, &storage->serve_lane))
        cleaned(&cleaning->job); /* the next start removes the files */
}

static void
server_ended(uv_poll_t *watch, int status, int events)
{
    struct serving *serving = watch->data;

    (void)status;
    (void)events;
    (void)uv_poll_stop(watch);
    serving->ended = true;
    if (serving->busy)
        return; /* by the call that is at it, or else serving_release() sees to it */
    log_warning("the qemu-nbd that served image '%s' has ended by itself", serving->record.image);
    begin_cleaning(serving);
}

void
serving_release(struct serving *serving)
{
    LOOP_ONLY();
    if (serving->ended) {
        begin_cleaning(serving);
        return;
    }
    serving->busy = false;
    wake(serving);
}

void
serving_enter_take(struct serving *serving, struct serve_record *record, int pidfd)
{
    struct uv_loop_s *loop = loop_uv(serving->storage->agent->loop);
    uv_poll_t *watch = xalloc(sizeof(*watch));

    LOOP_ONLY();
    serve_record_done(&serving->record);
    serving->record = *record;
    *record = (struct serve_record){ 0 };
    serving->pidfd = pidfd;
    watch->data = serving;
    if (uv_poll_init(loop, watch, pidfd) == 0) {
        serving->watch = watch;
        (void)uv_poll_start(watch, UV_READABLE, server_ended);
    } else {
        log_warning("cannot watch the qemu-nbd of image '%s', going on", serving->record.image);
        free(watch);
    }
    serving_release(serving);
}

/* ---- the start ---- */

void
serving_open(struct storage *storage)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct serve_record *records = NULL;
    size_t count = 0;

    storage->serve_lane = (struct lane){ .name = "qemu-nbd", .limit = 1 };
    if (!serve_open_folder(storage->agent->config->run_dir, &error) ||
        !serve_record_list(&records, &count, &error)) {
        log_warning("no image can be served: %s, going on", error->message);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct serve_record *record = &records[i];
        _cleanup_(error_freep) struct error *failure = NULL;
        int pidfd;

        if (serve_adopt(record, &pidfd)) {
            log_info("image '%s' is served still, by process %d", record->image, (int)record->pid);
            serving_enter_take(serving_add(storage, record->repository, record->image), record,
                               pidfd);
            continue;
        }
        log_info("image '%s' is served no more: its qemu-nbd has ended", record->image);
        if (!serve_record_remove(record, &failure))
            log_warning("%s, going on", failure->message);
        serve_record_done(record);
    }
    free(records);
}
