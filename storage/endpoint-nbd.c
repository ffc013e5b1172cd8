/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 through qemu-nbd and libnbd: QEMU knows its format, bases included.
 *
 * Each endpoint has a qemu-nbd of its own, on a socket that has no name any more when it starts.  If
 * the agent dies, qemu-nbd is killed; until it is gone QEMU's own lock keeps the next one from
 * opening the file, so opening is tried again for some seconds.
 *
 * QEMU is never told a name that could lead elsewhere by the time it opens it, but a descriptor of
 * ours: the file itself, where its header's backing file is not to be followed; else its directory,
 * because a base is named "../BASE/data" and must still be found.
 */
#include <config.h>

#include "storage/endpoint-kind.h"

#ifdef HAVE_LIBNBD

#include <errno.h>
#include <fcntl.h>
#include <libnbd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/child.h"
#include "agent/base/clock.h"
#include "storage/nbd-socket.h"

#define REQUEST_MAX (32u << 20) /* bytes: what every NBD server takes */
#define EXTENTS_MAX (1u << 30)  /* bytes that one question asks of */
#define OPEN_PATIENCE_MS 5000   /* with a file that is locked */
#define OPEN_PAUSE_MS 100
#define POLL_MS 50            /* how often 'abort' is looked at */
#define SILENCE_MAX_MS 120000 /* without any answer from qemu-nbd */
#define END_PATIENCE_MS 5000  /* what it wrote is flushed by then, or was not asked to last */

struct nbd_endpoint {
    struct endpoint endpoint;
    const char *program;         /* the server's; static text */
    struct child_server *server; /* owned, or NULL */
    bool lasting;                /* the server does not end when its connection does */
    struct nbd_bridge *bridge;   /* owned: what the server reads from; or NULL */
    struct nbd_handle *handle;   /* owned, or NULL */
    int file;                    /* owned: what QEMU opens by our descriptor; or -1 */
    const atomic_bool *abort;    /* borrowed, or NULL */
    /* A command was given up on, whose buffer may be gone: the handle must not be run any more. */
    bool abandoned;
    bool
        slow_to_end; /* on a Gluster volume, ten seconds: what was flushed is safe, so it is killed */
    bool has_extents;
    unsigned under_way;  /* requests */
    int64_t answered_ns; /* when one of them ended, or the first was begun; monotonic */
    /* The extents of the last question, kept because one answer tells of many. */
    uint64_t known_from, known_to;
    bool known_zero;
};

static struct nbd_endpoint *
nbd_of(struct endpoint *endpoint)
{
    return CONTAINER_OF(endpoint, struct nbd_endpoint, endpoint);
}

static bool
fail(const struct endpoint *endpoint, const char *what, uint64_t offset, struct error **err)
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
static bool
run_handle(struct nbd_endpoint *nbd, int64_t since_ns, const char *what, uint64_t offset,
           struct error **err)
{
    if (nbd_poll(nbd->handle, POLL_MS) < 0)
        return fail(&nbd->endpoint, what, offset, err);
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
        return fail(endpoint, what, offset, err);
    for (;;) {
        int done = nbd_aio_command_completed(nbd->handle, (uint64_t)cookie);

        if (done < 0)
            return fail(endpoint, what, offset, err);
        if (done > 0)
            return true;
        if (!run_handle(nbd, since_ns, what, offset, err)) {
            nbd->abandoned = true;
            return false;
        }
    }
}

struct extent_answer {
    struct nbd_endpoint *nbd;
    bool got;
};

/* Takes the first run of extents that are alike. */
static int
take_extents(void *context, const char *meta, uint64_t offset, uint32_t *entries, size_t count,
             int *error)
{
    struct extent_answer *answer = context;
    struct nbd_endpoint *nbd = answer->nbd;

    (void)error;
    if (strcmp(meta, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
        return 0;
    nbd->known_from = nbd->known_to = offset;
    for (size_t i = 0; i + 1 < count; i += 2) {
        bool zero = entries[i + 1] & LIBNBD_STATE_ZERO;

        if (i > 0 && zero != nbd->known_zero)
            break;
        nbd->known_zero = zero;
        nbd->known_to += entries[i];
        answer->got = true;
    }
    return 0;
}

static bool
nbd_extent(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
           uint64_t *ret_end, struct error **err)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);

    *ret_zero = false;
    *ret_end = end;
    if (!nbd->has_extents)
        return true;
    if (offset < nbd->known_from || offset >= nbd->known_to) {
        struct extent_answer answer = { .nbd = nbd };
        uint64_t length =
            endpoint->size - offset < EXTENTS_MAX ? endpoint->size - offset : EXTENTS_MAX;
        nbd_extent_callback callback = { .callback = take_extents, .user_data = &answer };
        int64_t cookie =
            nbd_aio_block_status(nbd->handle, length, offset, callback, NBD_NULL_COMPLETION, 0);

        if (!finish(endpoint, cookie, "map", offset, err))
            return false;
        if (!answer.got) {
            nbd->has_extents = false;
            return true;
        }
    }
    *ret_zero = nbd->known_zero;
    *ret_end = nbd->known_to < end ? nbd->known_to : end;
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

    nbd->known_to = nbd->known_from = 0;
    return finish(endpoint, cookie, "write", offset, err);
}

static bool
nbd_zero_range(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);

    nbd->known_to = nbd->known_from = 0;
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
        nbd->known_to = nbd->known_from = 0;
        cookie =
            nbd_aio_pwrite(nbd->handle, request->bytes, request->size, request->offset, ended, 0);
        break;
    case ENDPOINT_DO_FLUSH: cookie = nbd_aio_flush(nbd->handle, ended, 0); break;
    }
    if (cookie >= 0)
        return;
    nbd->under_way--;
    fail(endpoint, endpoint_act_name(request->act), request->offset, &request->error);
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

static void
nbd_advance(struct endpoint *endpoint, short events)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);

    /* A failure ends all that is under way, and each tells of it. */
    if (events != 0)
        (void)nbd_poll(nbd->handle, 0);
    else if (nbd->server && ((nbd->abort && atomic_load(nbd->abort)) ||
                             clock_monotonic_ns() - nbd->answered_ns > SILENCE_MAX_MS * NS_PER_MS))
        child_server_end(TAKE(nbd->server), 0, NULL);
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
           clock_monotonic_ns() - since_ns < END_PATIENCE_MS * NS_PER_MS)
        if (nbd_poll(nbd->handle, POLL_MS) < 0)
            return;
}

/* Back to where nothing was started.  '*ret_errors' (may be NULL) gets qemu-nbd's last words. */
static void
stop(struct nbd_endpoint *nbd, unsigned patience_ms, struct text *ret_errors)
{
    if (nbd->handle)
        nbd_close(nbd->handle);
    nbd->handle = NULL;
    if (nbd->server)
        child_server_end(nbd->server, patience_ms, ret_errors);
    nbd->server = NULL;
}

static void
nbd_end(struct endpoint *endpoint)
{
    struct nbd_endpoint *nbd = nbd_of(endpoint);

    if (nbd->handle && !nbd->abandoned)
        disconnect(nbd);
    stop(nbd, nbd->abandoned || nbd->lasting || nbd->slow_to_end ? 0 : END_PATIENCE_MS, NULL);
    nbd_bridge_close(nbd->bridge, NULL);
    if (nbd->file >= 0)
        (void)close(nbd->file);
    free(endpoint->name);
    free(nbd);
}

static const struct endpoint_kind nbd_kind = { .extent = nbd_extent,
                                               .read = nbd_read,
                                               .write = nbd_write,
                                               .zero = nbd_zero_range,
                                               .flush = nbd_flush_all,
                                               .begin = nbd_begin,
                                               .poll = nbd_poll_for,
                                               .advance = nbd_advance,
                                               .cancel = nbd_cancel,
                                               .close = nbd_end };

/* ---- opening ---- */

static bool
start_server(struct nbd_endpoint *nbd, const char *const argv[], int *ret_connection,
             struct error **err)
{
    _cleanup_close_ int listener = -1, connection = -1;

    if (!nbd_socket_make(&listener, &connection, err) ||
        !child_serve(argv, listener, &nbd->server, err))
        return false;
    *ret_connection = TAKE_FD(connection);
    return true;
}

/* One error of what went wrong and of what qemu-nbd had to say to it. */
static bool
blame_server(struct nbd_endpoint *nbd, struct error **err)
{
    _cleanup_text_ struct text words = TEXT_INIT;
    const char *said;

    if ((*err)->code != ERROR_BACKEND_FAILED) {
        stop(nbd, 0, NULL);
        return false;
    }
    stop(nbd, nbd->lasting ? 0 : END_PATIENCE_MS, &words);
    while (words.length > 0 && words.bytes[words.length - 1] == '\n')
        words.bytes[--words.length] = '\0';
    if (words.length == 0)
        return false;
    for (size_t i = 0; i < words.length; i++)
        if (words.bytes[i] == '\n')
            words.bytes[i] = ' ';
    /* Before them is the log of libgfapi, which QEMU sends to the same place. */
    said = nbd->slow_to_end ? strstr(words.bytes, "qemu-nbd: ") : NULL;
    if (!said)
        said = words.bytes;
    error_free(TAKE(*err));
    error_set(err, endpoint_text_tells_lock(said) ? ERROR_IMAGE_IN_USE : ERROR_BACKEND_FAILED,
              "cannot open '%s': %s", nbd->endpoint.name, said);
    error_data_text(err, "backend", "%s", nbd->program);
    return error_data_text(err, "text", "%s", said);
}

static bool
shake_hands(struct nbd_endpoint *nbd, int connection, struct error **err)
{
    int64_t since_ns = clock_monotonic_ns();

    nbd->handle = nbd_create();
    if (!nbd->handle || nbd_add_meta_context(nbd->handle, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
        nbd_aio_connect_socket(nbd->handle, connection) < 0) {
        (void)close(connection);
        return fail(&nbd->endpoint, "open", 0, err);
    }
    while (nbd_aio_is_connecting(nbd->handle))
        if (!run_handle(nbd, since_ns, "open", 0, err))
            return false;
    return nbd_aio_is_ready(nbd->handle) || fail(&nbd->endpoint, "open", 0, err);
}

static bool
try_open(struct nbd_endpoint *nbd, const char *const argv[], struct error **err)
{
    int connection = -1;
    int64_t size;

    if (!start_server(nbd, argv, &connection, err))
        return false;
    if (!shake_hands(nbd, connection, err))
        return blame_server(nbd, err);
    /* Whatever was inspected before: this is what QEMU has made of its header. */
    if ((nbd->file >= 0 || nbd->bridge) && !child_server_holds_only(nbd->server, nbd->file)) {
        error_set(err, ERROR_CONFLICT,
                  "'%s' names another file that holds its data: that is not followed",
                  nbd->endpoint.name);
        return blame_server(nbd, err);
    }
    size = nbd_get_size(nbd->handle);
    if (size < 0) {
        fail(&nbd->endpoint, "measure", 0, err);
        return blame_server(nbd, err);
    }
    nbd->endpoint.size = (uint64_t)size;
    nbd->has_extents = nbd_can_meta_context(nbd->handle, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    return true;
}

/* As long as only a lock is in the way: that of a qemu-nbd whose agent has just died. */
static bool
open_patiently(struct nbd_endpoint *nbd, const char *const argv[], struct error **err)
{
    const struct timespec pause = { .tv_nsec = OPEN_PAUSE_MS * NS_PER_MS };
    int64_t since_ns = clock_monotonic_ns();

    while (!try_open(nbd, argv, err)) {
        if ((*err)->code != ERROR_IMAGE_IN_USE || (nbd->abort && atomic_load(nbd->abort)) ||
            clock_monotonic_ns() - since_ns > OPEN_PATIENCE_MS * NS_PER_MS)
            return false;
        error_free(TAKE(*err));
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static bool
check_kind(const char *name, int result, const struct stat *status, struct error **err)
{
    if (result < 0)
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot open '%s'", name);
    return S_ISREG(status->st_mode) || S_ISBLK(status->st_mode) ||
           error_set(err, ERROR_BACKEND_FAILED, "'%s' is neither a file nor a block device", name);
}

/* The name under which QEMU is to open it. */
static bool
name_for_qemu(struct nbd_endpoint *nbd, struct folder *folder, const char *name, bool allow_base,
              char **ret_file, struct error **err)
{
    int dirfd = folder ? folder_fd(folder) : -1;
    struct stat status;

    if (folder && dirfd < 0) {
        nbd->slow_to_end = true;
        return endpoint_name_on_volume(folder, name, allow_base, ret_file, err);
    }
    if (allow_base) {
        if (!check_kind(name, fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW), &status, err))
            return false;
        *ret_file = xprintf("/proc/%d/fd/%d/%s", (int)getpid(), dirfd, name);
        return true;
    }
    /* Not blocking: a name that is a pipe must not hold the worker. */
    nbd->file =
        openat(dirfd >= 0 ? dirfd : AT_FDCWD, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (!check_kind(name, nbd->file < 0 ? -1 : fstat(nbd->file, &status), &status, err))
        return false;
    if (dirfd < 0) { /* a foreign file, which may have changed since it was inspected */
        _cleanup_free_ char *file = xprintf("/proc/%d/fd/%d", (int)getpid(), nbd->file);
        uint64_t size;

        if (!endpoint_inspect_qcow2(file, name, UINT64_MAX, &size, err))
            return false;
    }
    *ret_file = xprintf("json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":"
                        "{\"driver\":\"%s\",\"filename\":\"/proc/%d/fd/%d\"}}",
                        S_ISBLK(status.st_mode) ? "host_device" : "file", (int)getpid(), nbd->file);
    return true;
}

static struct nbd_endpoint *
nbd_new(const char *program, const char *name, const atomic_bool *abort)
{
    struct nbd_endpoint *nbd = xalloc(sizeof(*nbd));

    *nbd = (struct nbd_endpoint){ .endpoint = { &nbd_kind, 0, xstrdup(name), program },
                                  .program = program,
                                  .file = -1,
                                  .abort = abort };
    return nbd;
}

/* Takes ownership of 'nbd'. */
static bool
finish_opening(struct nbd_endpoint *nbd_take, const char *const argv[],
               struct endpoint **ret_endpoint, struct error **err)
{
    if (open_patiently(nbd_take, argv, err)) {
        *ret_endpoint = &nbd_take->endpoint;
        return true;
    }
    nbd_end(&nbd_take->endpoint);
    return false;
}

bool
endpoint_open_nbd(struct folder *folder, const char *name, enum endpoint_mode mode, bool allow_base,
                  const atomic_bool *abort, struct endpoint **ret_endpoint, struct error **err)
{
    struct nbd_endpoint *nbd = nbd_new("qemu-nbd", name, abort);
    /* What is durable is decided by flush, which the copy calls before each record. */
    const char *argv[10] = { "qemu-nbd", "--cache=writeback", "--discard=unmap",
                             "--detect-zeroes=off" };
    size_t n = 4;
    _cleanup_free_ char *file = NULL;

    if (!name_for_qemu(nbd, folder, name, allow_base, &file, err)) {
        nbd_end(&nbd->endpoint);
        return false;
    }
    if (mode == ENDPOINT_READ)
        argv[n++] = "--read-only";
    if (strncmp(file, "json:", 5) != 0) /* which says it too */
        argv[n++] = "--format=qcow2";
    argv[n++] = "--";
    argv[n++] = file;
    return finish_opening(nbd, argv, ret_endpoint, err);
}

bool
endpoint_open_server(const char *const argv[], const char *program, const char *name,
                     struct nbd_bridge *bridge_take, const atomic_bool *abort,
                     struct endpoint **ret_endpoint, struct error **err)
{
    struct nbd_endpoint *nbd = nbd_new(program, name, abort);

    nbd->bridge = bridge_take;
    nbd->lasting = true;
    return finish_opening(nbd, argv, ret_endpoint, err);
}

#else

bool
endpoint_open_nbd(struct folder *folder, const char *name, enum endpoint_mode mode, bool allow_base,
                  const atomic_bool *abort, struct endpoint **ret_endpoint, struct error **err)
{
    (void)folder;
    (void)name;
    (void)mode;
    (void)allow_base;
    (void)abort;
    (void)ret_endpoint;
    error_set(err, ERROR_BACKEND_UNAVAILABLE,
              "the contents of qcow2 images need libnbd, and this agent was built without");
    error_data_text(err, "backend", "libnbd");
    return error_data_text(err, "reason", "built without libnbd");
}

#endif
