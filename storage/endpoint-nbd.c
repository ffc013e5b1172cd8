/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bits that an NBD server has, through libnbd: most often qemu-nbd, which knows qcow2, bases included.
 * How the server is come by is in endpoint-nbd-open.c.
 */
#include <config.h>

#ifdef HAVE_LIBNBD

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "storage/endpoint-nbd.h"

#define REQUEST_MAX (32u << 20) /* bytes: what every NBD server takes */
#define EXTENTS_MAX (1u << 30)  /* bytes that one question asks of */
#define STATE_DIRTY 1u          /* of what a context "qemu:dirty-bitmap:NAME" tells */
#define POLL_MS 50              /* how often 'abort' is looked at */
#define SILENCE_MAX_MS 120000   /* without any answer from qemu-nbd */

struct nbd_endpoint *
nbd_of(struct endpoint *endpoint)
{
    return CONTAINER_OF(endpoint, struct nbd_endpoint, endpoint);
}

bool
nbd_fail(const struct endpoint *endpoint, const char *what, uint64_t offset, struct error **err)
{
    int errnum = nbd_get_errno();
    const char *text = nbd_get_error(); /* NULL where the state alone tells that it is over */

    error_set(err, errnum == ENOSPC || errnum == EDQUOT ? ERROR_NO_SPACE : ERROR_BACKEND_FAILED,
              "cannot %s '%s' at byte %llu: %s", what, endpoint->name, (unsigned long long)offset,
              text ? text : "its server has ended");
    return error_data_text(err, "backend", "%s",
                           CONTAINER_OF(endpoint, const struct nbd_endpoint, endpoint)->program);
}

/* Lets libnbd work for a moment.  'since_ns' is when the silence began. */
bool
nbd_run(struct nbd_endpoint *nbd, int64_t since_ns, const char *what, uint64_t offset,
        struct error **err)
{
    if (nbd_poll(nbd->handle, POLL_MS) < 0)
        return nbd_fail(&nbd->endpoint, what, offset, err);
    if (nbd->abort && atomic_load(nbd->abort))
        return error_set(err, ERROR_TASK_ABORTED, "aborted while %s was to %s '%s'", nbd->program,
                         what, nbd->endpoint.name);
    if (clock_monotonic_ns() - since_ns > SILENCE_MAX_MS * NS_PER_MS)
        return error_set(err, ERROR_TIMEOUT,
                         "%s has not answered for %d s: cannot %s '%s' at byte %llu", nbd->program,
                         SILENCE_MAX_MS / 1000, what, nbd->endpoint.name,
                         (unsigned long long)offset);
    return true;
}

/* Waits for one command. */
static bool
finish(struct endpoint *endpoint, int64_t cookie, const char *what, uint64_t offset,
       struct error **err)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);
    int64_t since_ns = clock_monotonic_ns();

    if (cookie < 0)
        return nbd_fail(endpoint, what, offset, err);
    for (;;) {
        int done = nbd_aio_command_completed(nbd->handle, (uint64_t)cookie);

        if (done < 0)
            return nbd_fail(endpoint, what, offset, err);
        if (done > 0)
            return true;
        if (!nbd_run(nbd, since_ns, what, offset, err)) {
            nbd->abandoned = true;
            return false;
        }
    }
}

struct extent_answer {
    struct nbd_endpoint *nbd;
    bool got;
};

/* Neighbours that are alike are one. */
static void
keep_runs(struct nbd_map *map, uint64_t offset, const uint32_t *entries, size_t count,
          uint32_t flag)
{
    map->from = offset;
    map->count = map->at = 0;
    map->runs = xrealloc(map->runs, (count / 2 + 1) * sizeof(map->runs[0]));
    for (size_t i = 0; i + 1 < count; i += 2) {
        bool set = entries[i + 1] & flag;

        offset += entries[i];
        if (map->count == 0 || map->runs[map->count - 1].set != set)
            map->runs[map->count++].set = set;
        map->runs[map->count - 1].end = offset;
    }
}

static int
take_extents(void *context, const char *meta, uint64_t offset, uint32_t *entries, size_t count,
             int *error)
{
    struct extent_answer *answer = context;
    struct nbd_endpoint *nbd = answer->nbd;

    (void)error;
    if (strcmp(meta, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0) {
        keep_runs(&nbd->zeros, offset, entries, count, LIBNBD_STATE_ZERO);
        answer->got = nbd->zeros.count > 0;
    } else if (nbd->bitmap && strcmp(meta, nbd->bitmap) == 0)
        keep_runs(&nbd->changes, offset, entries, count, STATE_DIRTY);
    return 0;
}

static void
forget_maps(struct nbd_endpoint *nbd)
{
    nbd->zeros.count = nbd->changes.count = 0;
}

/* The run that 'offset' is in; NULL: it is in none. */
static const struct nbd_run *
find_run(struct nbd_map *map, uint64_t offset)
{
    if (offset < map->from)
        return NULL;
    if (map->at > 0 && offset < map->runs[map->at - 1].end)
        map->at = 0;
    while (map->at < map->count && offset >= map->runs[map->at].end)
        map->at++;
    return map->at < map->count ? &map->runs[map->at] : NULL;
}

static bool
ask_extents(struct nbd_endpoint *nbd, uint64_t offset, bool *ret_got, struct error **err)
{
    struct endpoint *endpoint = &nbd->endpoint;
    struct extent_answer answer = { .nbd = nbd };
    uint64_t length = endpoint->size - offset < EXTENTS_MAX ? endpoint->size - offset : EXTENTS_MAX;
    nbd_extent_callback callback = { .callback = take_extents, .user_data = &answer };
    int64_t cookie;

    forget_maps(nbd);
    cookie = nbd_aio_block_status(nbd->handle, length, offset, callback, NBD_NULL_COMPLETION, 0);
    if (!finish(endpoint, cookie, "map", offset, err))
        return false;
    *ret_got = answer.got;
    return true;
}

static bool
nbd_extent(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
           uint64_t *ret_end, struct error **err)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);
    const struct nbd_run *run;
    bool got = true;

    *ret_zero = false;
    *ret_end = end;
    if (!nbd->zeros.known)
        return true;
    run = find_run(&nbd->zeros, offset);
    if (!run && !ask_extents(nbd, offset, &got, err))
        return false;
    if (!run)
        run = find_run(&nbd->zeros, offset);
    nbd->zeros.known = got;
    if (!run)
        return true;
    *ret_zero = run->set;
    *ret_end = run->end < end ? run->end : end;
    return true;
}

/* A server that told of it at the beginning and does not any more is not to be believed at all. */
static bool
nbd_changed(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_changed,
            uint64_t *ret_end, struct error **err)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);
    const struct nbd_run *run = find_run(&nbd->changes, offset);
    bool got;

    if (!run && !ask_extents(nbd, offset, &got, err))
        return false;
    if (!run)
        run = find_run(&nbd->changes, offset);
    if (!run) {
        error_set(err, ERROR_BACKEND_FAILED, "'%s' does not tell what has changed at byte %llu",
                  endpoint->name, (unsigned long long)offset);
        return error_data_text(err, "backend", "%s", nbd->program);
    }
    *ret_changed = run->set;
    *ret_end = run->end < end ? run->end : end;
    return true;
}

static bool
nbd_read(struct endpoint *endpoint, uint64_t offset, void *ret_bytes, size_t size,
         struct error **err)
{
    struct nbd_handle *handle = nbd_of(endpoint)->handle;
    int64_t cookie = nbd_aio_pread(handle, ret_bytes, size, offset, NBD_NULL_COMPLETION, 0);

    return finish(endpoint, cookie, "read", offset, err);
}

static bool
nbd_write(struct endpoint *endpoint, uint64_t offset, const void *bytes, size_t size,
          struct error **err)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);
    int64_t cookie = nbd_aio_pwrite(nbd->handle, bytes, size, offset, NBD_NULL_COMPLETION, 0);

    forget_maps(nbd);
    return finish(endpoint, cookie, "write", offset, err);
}

static bool
nbd_zero_range(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);

    forget_maps(nbd);
    while (size > 0) {
        uint64_t step = size < REQUEST_MAX ? size : REQUEST_MAX;
        int64_t cookie = nbd_aio_zero(nbd->handle, step, offset, NBD_NULL_COMPLETION, 0);

        if (!finish(endpoint, cookie, "zero", offset, err))
            return false;
        offset += step;
        size -= step;
    }
    return true;
}

static bool
nbd_flush_all(struct endpoint *endpoint, struct error **err)
{
    int64_t cookie = nbd_aio_flush(nbd_of(endpoint)->handle, NBD_NULL_COMPLETION, 0);

    return finish(endpoint, cookie, "make durable", endpoint->size, err);
}

/* ---- several at a time ---- */

static int
request_ended(void *context, int *error)
{
    struct endpoint_request *request = context;
    struct nbd_endpoint *nbd = nbd_of(request->endpoint);

    nbd->under_way--;
    nbd->answered_ns = clock_monotonic_ns();
    if (*error && nbd->abort && atomic_load(nbd->abort)) {
        error_set(&request->error, ERROR_TASK_ABORTED, "aborted while %s had '%s' open",
                  nbd->program, request->endpoint->name);
    } else if (*error) {
        error_errno(&request->error, ERROR_BACKEND_FAILED, *error,
                    "%s has failed with '%s' at byte %llu", nbd->program, request->endpoint->name,
                    (unsigned long long)request->offset);
        error_data_text(&request->error, "backend", "%s", nbd->program);
    }
    request->done = true;
    return 1; /* libnbd need not remember it */
}

static void
nbd_begin(struct endpoint *endpoint, struct endpoint_request *request)
{
    const nbd_completion_callback ended = { .callback = request_ended, .user_data = request };
    struct nbd_endpoint *nbd = nbd_of(endpoint);
    int64_t cookie = -1;

    if (nbd->under_way++ == 0)
        nbd->answered_ns = clock_monotonic_ns();
    switch (request->act) {
    case ENDPOINT_DO_READ:
        cookie =
            nbd_aio_pread(nbd->handle, request->bytes, request->size, request->offset, ended, 0);
        break;
    case ENDPOINT_DO_WRITE:
        forget_maps(nbd);
        cookie =
            nbd_aio_pwrite(nbd->handle, request->bytes, request->size, request->offset, ended, 0);
        break;
    case ENDPOINT_DO_FLUSH: cookie = nbd_aio_flush(nbd->handle, ended, 0); break;
    }
    if (cookie >= 0)
        return;
    nbd->under_way--;
    nbd_fail(endpoint, endpoint_act_name(request->act), request->offset, &request->error);
    request->done = true;
}

static void
nbd_poll_for(struct endpoint *endpoint, struct pollfd *ret_poll)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);
    unsigned direction = nbd_aio_get_direction(nbd->handle);

    ret_poll->fd = nbd->under_way ? nbd_aio_get_fd(nbd->handle) : -1;
    ret_poll->events = (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                               (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
}

/* The server's end, or else that of the connection to one that is not ours, ends what is under way. */
static void
break_off(struct nbd_endpoint *nbd)
{
    if (nbd->server)
        child_server_end(TAKE(nbd->server), 0, NULL);
    else
        (void)shutdown(nbd_aio_get_fd(nbd->handle), SHUT_RDWR);
}

static void
nbd_advance(struct endpoint *endpoint, short events)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);

    /* A failure ends all that is under way, and each tells of it. */
    if (events != 0)
        (void)nbd_poll(nbd->handle, 0);
    else if ((nbd->abort && atomic_load(nbd->abort)) ||
             clock_monotonic_ns() - nbd->answered_ns > SILENCE_MAX_MS * NS_PER_MS)
        break_off(nbd);
}

/* Closing it lets go of their memory. */
static void
nbd_cancel(struct endpoint *endpoint)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);

    if (nbd->under_way == 0)
        return;
    nbd->abandoned = true;
    nbd_close(TAKE(nbd->handle));
}

/* Politely, so that qemu-nbd closes the file in order. */
static void
disconnect(struct nbd_endpoint *nbd)
{
    int64_t since_ns = clock_monotonic_ns();

    if (nbd_aio_disconnect(nbd->handle, 0) < 0)
        return;
    while (!nbd_aio_is_closed(nbd->handle) && !nbd_aio_is_dead(nbd->handle) &&
           clock_monotonic_ns() - since_ns < NBD_END_PATIENCE_MS * NS_PER_MS)
        if (nbd_poll(nbd->handle, POLL_MS) < 0)
            return;
}

/* Back to where nothing was started.  '*ret_errors' (may be NULL) gets qemu-nbd's last words. */
void
nbd_stop(struct nbd_endpoint *nbd, unsigned patience_ms, struct text *ret_errors)
{
    if (nbd->handle)
        nbd_close(nbd->handle);
    nbd->handle = NULL;
    if (nbd->server)
        child_server_end(nbd->server, patience_ms, ret_errors);
    nbd->server = NULL;
}

void
nbd_end(struct endpoint *endpoint)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);

    if (nbd->handle && !nbd->abandoned)
        disconnect(nbd);
    nbd_stop(nbd, nbd->abandoned || nbd->lasting || nbd->slow_to_end ? 0 : NBD_END_PATIENCE_MS,
             NULL);
    nbd_bridge_close(nbd->bridge, NULL);
    free(nbd->zeros.runs);
    free(nbd->changes.runs);
    free(nbd->bitmap);
    if (nbd->file >= 0)
        (void)close(nbd->file);
    free(endpoint->name);
    free(nbd);
}

const struct endpoint_kind nbd_kind = { .extent = nbd_extent,
                                        .changed = nbd_changed,
                                        .read = nbd_read,
                                        .write = nbd_write,
                                        .zero = nbd_zero_range,
                                        .flush = nbd_flush_all,
                                        .begin = nbd_begin,
                                        .poll = nbd_poll_for,
                                        .advance = nbd_advance,
                                        .cancel = nbd_cancel,
                                        .close = nbd_end };

#endif
