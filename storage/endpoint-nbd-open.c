/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an NBD endpoint is come by: a qemu-nbd of its own, another program, or a server that runs already.
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
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "storage/endpoint-nbd.h"
#include "storage/nbd-socket.h"

#define OPEN_PATIENCE_MS 5000 /* with a file that is locked */
#define OPEN_PAUSE_MS 100

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
        nbd_stop(nbd, 0, NULL);
        return false;
    }
    nbd_stop(nbd, nbd->lasting ? 0 : NBD_END_PATIENCE_MS, &words);
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
        return nbd_fail(&nbd->endpoint, "open", 0, err);
    }
    while (nbd_aio_is_connecting(nbd->handle))
        if (!nbd_run(nbd, since_ns, "open", 0, err))
            return false;
    return nbd_aio_is_ready(nbd->handle) || nbd_fail(&nbd->endpoint, "open", 0, err);
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
        nbd_fail(&nbd->endpoint, "measure", 0, err);
        return blame_server(nbd, err);
    }
    nbd->endpoint.size = (uint64_t)size;
    nbd->zeros.known = nbd_can_meta_context(nbd->handle, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
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

static bool
connect_to(struct nbd_endpoint *nbd, const char *socket_path, const char *export_name,
           struct error **err)
{
    int64_t since_ns = clock_monotonic_ns(), size;

    nbd->handle = nbd_create();
    if (!nbd->handle || nbd_set_export_name(nbd->handle, export_name) < 0 ||
        nbd_add_meta_context(nbd->handle, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
        (nbd->bitmap && nbd_add_meta_context(nbd->handle, nbd->bitmap) < 0) ||
        nbd_aio_connect_unix(nbd->handle, socket_path) < 0)
        return nbd_fail(&nbd->endpoint, "open", 0, err);
    while (nbd_aio_is_connecting(nbd->handle))
        if (!nbd_run(nbd, since_ns, "open", 0, err))
            return false;
    if (!nbd_aio_is_ready(nbd->handle))
        return nbd_fail(&nbd->endpoint, "open", 0, err);
    size = nbd_get_size(nbd->handle);
    if (size < 0)
        return nbd_fail(&nbd->endpoint, "measure", 0, err);
    nbd->endpoint.size = (uint64_t)size;
    nbd->zeros.known = nbd_can_meta_context(nbd->handle, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    nbd->changes.known = nbd->bitmap && nbd_can_meta_context(nbd->handle, nbd->bitmap) == 1;
    if (!nbd->bitmap || nbd->changes.known)
        return true;
    error_set(err, ERROR_BACKEND_FAILED, "'%s' does not tell what has changed: it has no '%s'",
              nbd->endpoint.name, nbd->bitmap);
    return error_data_text(err, "backend", "%s", nbd->program);
}

bool
endpoint_open_export(const char *socket_path, const char *export_name, const char *bitmap,
                     const atomic_bool *abort, struct endpoint **ret_endpoint, struct error **err)
{
    struct nbd_endpoint *nbd = nbd_new("QEMU", export_name, abort);

    nbd->bitmap = bitmap ? xprintf("qemu:dirty-bitmap:%s", bitmap) : NULL;
    if (connect_to(nbd, socket_path, export_name, err)) {
        *ret_endpoint = &nbd->endpoint;
        return true;
    }
    nbd_end(&nbd->endpoint);
    return false;
}

#else

static bool
fail_without(const char *what, struct error **err)
{
    error_set(err, ERROR_BACKEND_UNAVAILABLE, "%s libnbd, and this agent was built without", what);
    error_data_text(err, "backend", "libnbd");
    return error_data_text(err, "reason", "built without libnbd");
}

bool
endpoint_open_export(const char *socket_path, const char *export_name, const char *bitmap,
                     const atomic_bool *abort, struct endpoint **ret_endpoint, struct error **err)
{
    (void)socket_path;
    (void)export_name;
    (void)bitmap;
    (void)abort;
    (void)ret_endpoint;
    return fail_without("backups need", err);
}

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
    return fail_without("the contents of qcow2 images need", err);
}

#endif
