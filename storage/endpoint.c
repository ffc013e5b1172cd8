/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/endpoint.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/child.h"
#include "agent/base/thread.h"
#include "storage/endpoint-kind.h"

#define QEMU_IMG_OUTPUT_MAX (1024 * 1024)
#define INSPECT_TIMEOUT_MS 10000
#define INSPECT_MEMORY_MAX (UINT64_C(1) << 30)
#define INSPECT_CPU_S 5
#define CODE_MEMBER "\"code\":" /* of the data of a failed child_run() */
#define CHECK_LEAKS 3           /* status of qemu-img check */
#define CREATE_TIMEOUT_MS 60000
/* Bytes of a qcow2 whose metadata are made at once: 16 MiB of them, in half a second. */
#define MAPPED_MAX (UINT64_C(100) << 30)
#define DATA_MODE 0600 /* a disk holds its guest's secrets */

bool
endpoint_open(struct folder *folder, const char *name, enum image_format format,
              enum endpoint_mode mode, bool allow_base, const atomic_bool *abort,
              struct endpoint **ret_endpoint, struct error **err)
{
    int dirfd = folder ? folder_fd(folder) : AT_FDCWD;

    WORKER_ONLY();
    if (format == IMAGE_RAW && dirfd == -1)
        return endpoint_open_gluster(folder, name, mode, ret_endpoint, err);
    if (format == IMAGE_RAW)
        return endpoint_open_file(dirfd, name, mode, ret_endpoint, err);
    /* What cannot be read like this is for QEMU, which also tells why. */
    if (mode != ENDPOINT_WRITE && dirfd != -1 &&
        endpoint_open_map(dirfd, name, mode, allow_base, abort, ret_endpoint))
        return true;
    return endpoint_open_nbd(folder, name, mode, allow_base, abort, ret_endpoint, err);
}

void
endpoint_close(struct endpoint *endpoint)
{
    if (endpoint)
        endpoint->kind->close(endpoint);
}

void
endpoint_tell_method(const struct endpoint *endpoint, struct text *text)
{
    if (endpoint->kind->tell_method)
        endpoint->kind->tell_method(endpoint, text);
    else if (endpoint->method)
        text_append_string(text, endpoint->method);
}

uint64_t
endpoint_size(const struct endpoint *endpoint)
{
    return endpoint->size;
}

void
endpoint_limit(struct endpoint *endpoint, uint64_t size)
{
    if (size < endpoint->size)
        endpoint->size = size;
}

bool
endpoint_extent(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_zero,
                uint64_t *ret_end, struct error **err)
{
    return endpoint->kind->extent(endpoint, offset, end, ret_zero, ret_end, err);
}

bool
endpoint_changed(struct endpoint *endpoint, uint64_t offset, uint64_t end, bool *ret_changed,
                 uint64_t *ret_end, struct error **err)
{
    assert(endpoint->kind->changed);
    return endpoint->kind->changed(endpoint, offset, end, ret_changed, ret_end, err);
}

bool
endpoint_read(struct endpoint *endpoint, uint64_t offset, void *ret_bytes, size_t size,
              struct error **err)
{
    return endpoint->kind->read(endpoint, offset, ret_bytes, size, err);
}

bool
endpoint_write(struct endpoint *endpoint, uint64_t offset, const void *bytes, size_t size,
               struct error **err)
{
    return endpoint->kind->write(endpoint, offset, bytes, size, err);
}

bool
endpoint_zero(struct endpoint *endpoint, uint64_t offset, uint64_t size, struct error **err)
{
    return endpoint->kind->zero(endpoint, offset, size, err);
}

bool
endpoint_flush(struct endpoint *endpoint, struct error **err)
{
    return endpoint->kind->flush(endpoint, err);
}

const char *
endpoint_act_name(enum endpoint_act act)
{
    static const char *const names[] = { "read", "write", "make durable" };

    return names[act];
}

/* On a kind that does one thing at a time. */
static void
do_at_once(struct endpoint *endpoint, struct endpoint_request *request)
{
    bool good = false;

    switch (request->act) {
    case ENDPOINT_DO_READ:
        good = endpoint_read(endpoint, request->offset, request->bytes, request->size,
                             &request->error);
        break;
    case ENDPOINT_DO_WRITE:
        good = endpoint_write(endpoint, request->offset, request->bytes, request->size,
                              &request->error);
        break;
    case ENDPOINT_DO_FLUSH: good = endpoint_flush(endpoint, &request->error); break;
    }
    assert(good == !request->error);
    request->done = true;
}

void
endpoint_begin(struct endpoint *endpoint, struct endpoint_request *request)
{
    request->endpoint = endpoint;
    request->done = false;
    request->error = NULL;
    if (endpoint->kind->begin)
        endpoint->kind->begin(endpoint, request);
    else
        do_at_once(endpoint, request);
}

void
endpoint_wait(struct endpoint *endpoint, struct endpoint *other, int timeout_ms)
{
    struct endpoint *const endpoints[] = { endpoint, other };
    struct pollfd polls[] = { { .fd = -1 }, { .fd = -1 } };

    for (size_t i = 0; i < ARRAY_COUNT(endpoints); i++)
        if (endpoints[i] && endpoints[i]->kind->poll)
            endpoints[i]->kind->poll(endpoints[i], &polls[i]);
    /* An interrupted wait is a short one. */
    if (poll(polls, ARRAY_COUNT(polls), timeout_ms) < 0)
        polls[0].revents = polls[1].revents = 0;
    for (size_t i = 0; i < ARRAY_COUNT(endpoints); i++)
        if (polls[i].fd >= 0)
            endpoints[i]->kind->advance(endpoints[i], polls[i].revents);
}

void
endpoint_cancel(struct endpoint *endpoint)
{
    if (endpoint->kind->cancel)
        endpoint->kind->cancel(endpoint);
}

bool
endpoint_clone(struct endpoint *target, const struct endpoint *source, uint64_t offset,
               uint64_t size)
{
    return target->kind == source->kind && target->kind->clone &&
           target->kind->clone(target, source, offset, size);
}

/* ---- making ---- */

/* An empty file that nobody else could have put there, or read meanwhile. */
static bool
make_file(int dirfd, const char *name, int *ret_fd, struct error **err)
{
    *ret_fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, DATA_MODE);
    return *ret_fd >= 0 || error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot make '%s'", name);
}

static bool
create_raw(int dirfd, const char *name, uint64_t size, bool reserve, struct error **err)
{
    _cleanup_close_ int fd = -1;
    int status = 0;

    if (!make_file(dirfd, name, &fd, err))
        return false;
    if (ftruncate(fd, (off_t)size) < 0) {
        if (errno == EFBIG || errno == EINVAL)
            return error_param(err, "size",
                               "is more than the file system holds in one file: %" PRIu64 " bytes",
                               size);
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot make '%s'", name);
    }
    if (reserve) {
        do
            status = posix_fallocate(fd, 0, (off_t)size);
        while (status == EINTR);
    }
    return status == 0 ||
           error_errno(err, ERROR_BACKEND_FAILED, status, "cannot reserve %" PRIu64 " bytes", size);
}

bool
endpoint_make_qcow2(const struct qcow2_making *making, const atomic_bool *abort, struct error **err)
{
    const struct child_limits limits = { .timeout_ms = CREATE_TIMEOUT_MS,
                                         .output_size = QEMU_IMG_OUTPUT_MAX,
                                         .abort = abort };
    _cleanup_free_ char *size_text = xprintf("%" PRIu64, making->size);
    const char *argv[16] = { "qemu-img", "create", "-q", "-f", "qcow2" };
    size_t n = 5;
    _cleanup_text_ struct text output = TEXT_INIT;

    if (making->base_unseen)
        argv[n++] = "-u";
    if (making->base_name) {
        argv[n++] = "-b";
        argv[n++] = making->base_name;
        argv[n++] = "-F";
        argv[n++] = image_format_name(making->base_format);
    }
    if (making->room == ENDPOINT_RESERVED ||
        (making->room == ENDPOINT_TO_FILL && !making->base_name && making->size <= MAPPED_MAX)) {
        argv[n++] = "-o";
        argv[n++] =
            making->room == ENDPOINT_RESERVED ? "preallocation=falloc" : "preallocation=metadata";
    }
    argv[n++] = "--";
    argv[n++] = making->file;
    argv[n++] = size_text;
    if (child_run(argv, making->dirfd, &limits, &output, err))
        return true;
    if ((*err)->code == ERROR_BACKEND_FAILED && strstr((*err)->message, strerror(ENOSPC)))
        (*err)->code = ERROR_NO_SPACE;
    return error_wrap(err, "cannot make a qcow2 of %" PRIu64 " bytes", making->size);
}

bool
endpoint_create(struct folder *folder, const char *name, enum image_format format, uint64_t size,
                enum endpoint_room room, const char *base_name, enum image_format base_format,
                const atomic_bool *abort, struct error **err)
{
    struct qcow2_making making = {
        .size = size, .room = room, .base_name = base_name, .base_format = base_format
    };
    _cleanup_free_ char *file = NULL;
    _cleanup_close_ int fd = -1;

    WORKER_ONLY();
    if (folder_fd(folder) < 0)
        return endpoint_create_gluster(folder, name, format, size, room, base_name, base_format,
                                       abort, err);
    if (format == IMAGE_RAW)
        return create_raw(folder_fd(folder), name, size, room == ENDPOINT_RESERVED, err);
    /* Over a file of ours: qemu-img keeps its mode. */
    making.file = file = folder_program_name(folder, name, &making.dirfd);
    return make_file(folder_fd(folder), name, &fd, err) && endpoint_make_qcow2(&making, abort, err);
}

bool
endpoint_create_layer(struct folder *folder, const char *name, uint64_t size, const char *base_name,
                      enum image_format base_format, const atomic_bool *abort, struct error **err)
{
    struct qcow2_making making = { .size = size,
                                   .room = ENDPOINT_THIN,
                                   .base_name = base_name,
                                   .base_format = base_format,
                                   .base_unseen = true };
    _cleanup_free_ char *file = NULL;
    _cleanup_close_ int fd = -1;

    WORKER_ONLY();
    if (folder_fd(folder) < 0) /* there it is never opened */
        return endpoint_create_gluster(folder, name, IMAGE_QCOW2, size, ENDPOINT_THIN, base_name,
                                       base_format, abort, err);
    making.file = file = folder_program_name(folder, name, &making.dirfd);
    return make_file(folder_fd(folder), name, &fd, err) && endpoint_make_qcow2(&making, abort, err);
}

/* ---- another size ---- */

static bool
resize_raw(struct folder *folder, const char *name, uint64_t size, struct error **err)
{
    if (folder_set_size(folder, name, size))
        return true;
    if (errno == EFBIG || errno == EINVAL)
        return error_param(
            err, "size", "is more than the file system holds in one file: %" PRIu64 " bytes", size);
    return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot resize '%s'", name);
}

/* It is told that it may cut, also where nothing is to be: so it is of that size for certain. */
static bool
resize_qcow2(struct folder *folder, const char *name, uint64_t size, const atomic_bool *abort,
             struct error **err)
{
    const struct child_limits limits = { .timeout_ms = CREATE_TIMEOUT_MS,
                                         .output_size = QEMU_IMG_OUTPUT_MAX,
                                         .abort = abort };
    int dirfd;
    _cleanup_free_ char *file = folder_program_name(folder, name, &dirfd);
    _cleanup_free_ char *size_text = xprintf("%" PRIu64, size);
    const char *const argv[] = { "qemu-img", "resize", "-q", "--shrink", "-f",
                                 "qcow2",    "--",     file, size_text,  NULL };
    _cleanup_text_ struct text output = TEXT_INIT;

    if (child_run(argv, dirfd, &limits, &output, err))
        return true;
    if ((*err)->code == ERROR_BACKEND_FAILED && strstr((*err)->message, strerror(ENOSPC)))
        (*err)->code = ERROR_NO_SPACE;
    if ((*err)->code == ERROR_BACKEND_FAILED && endpoint_text_tells_lock((*err)->data))
        (*err)->code = ERROR_IMAGE_IN_USE;
    return error_wrap(err, "cannot resize to %" PRIu64 " bytes", size);
}

bool
endpoint_resize(struct folder *folder, const char *name, enum image_format format, uint64_t kept,
                uint64_t size, const atomic_bool *abort, struct error **err)
{
    WORKER_ONLY();
    if (format == IMAGE_RAW)
        return (kept >= size || resize_raw(folder, name, kept, err)) &&
               resize_raw(folder, name, size, err) && folder_sync_file(folder, name, err);
    return (kept >= size || resize_qcow2(folder, name, kept, abort, err)) &&
           resize_qcow2(folder, name, size, abort, err) && folder_sync_file(folder, name, err);
}

/* ---- writing down into the base ---- */

bool
endpoint_base_name(struct folder *folder, const char *name, const atomic_bool *abort,
                   char **ret_base_name, struct error **err)
{
    const struct child_limits limits = { .timeout_ms = CREATE_TIMEOUT_MS,
                                         .output_size = QEMU_IMG_OUTPUT_MAX,
                                         .abort = abort };
    int dirfd;
    _cleanup_free_ char *file = folder_program_name(folder, name, &dirfd);
    const char *const argv[] = { "qemu-img", "info", "-U", "--output=json", "-f", "qcow2",
                                 "--",       file,   NULL };
    _cleanup_text_ struct text output = TEXT_INIT;
    const char *found;
    json_t *info;

    WORKER_ONLY();
    if (!child_run(argv, dirfd, &limits, &output, err))
        return error_wrap(err, "cannot tell what '%s' stands on", file);
    info = json_loadb(output.bytes, output.length, 0, NULL);
    found = json_string_value(json_object_get(info, "backing-filename"));
    *ret_base_name = found ? xstrdup(found) : NULL;
    json_decref(info);
    return true;
}

/* What it writes into is what the header says, so it must say what it is to. */
static bool
require_base(struct folder *folder, const char *name, const char *base_name,
             const atomic_bool *abort, struct error **err)
{
    _cleanup_free_ char *found = NULL;

    if (!endpoint_base_name(folder, name, abort, &found, err))
        return false;
    return (found && strcmp(found, base_name) == 0) ||
           error_set(err, ERROR_CONFLICT, "'%s' stands on '%s', and was to stand on '%s'", name,
                     found ? found : "nothing", base_name);
}

bool
endpoint_commit(struct folder *folder, const char *name, const char *base_name,
                const atomic_bool *abort, struct error **err)
{
    const struct child_limits limits = { .output_size = QEMU_IMG_OUTPUT_MAX, .abort = abort };
    int dirfd;
    _cleanup_free_ char *file = folder_program_name(folder, name, &dirfd);
    const char *const argv[] = {
        "qemu-img", "commit", "-q", "-d", "-f", "qcow2", "--", file, NULL
    };
    _cleanup_text_ struct text output = TEXT_INIT;

    WORKER_ONLY();
    if (!require_base(folder, name, base_name, abort, err))
        return false;
    if (child_run(argv, dirfd, &limits, &output, err))
        return true;
    if ((*err)->code == ERROR_BACKEND_FAILED && strstr((*err)->message, strerror(ENOSPC)))
        (*err)->code = ERROR_NO_SPACE;
    if ((*err)->code == ERROR_BACKEND_FAILED && endpoint_text_tells_lock((*err)->data))
        (*err)->code = ERROR_IMAGE_IN_USE;
    return error_wrap(err, "cannot write into the base");
}

/* ---- looking at what others made ---- */

static bool
judge_info(const char *path, json_t *info, uint64_t size_max, uint64_t *ret_size,
           struct error **err)
{
    json_t *specific = json_object_get(json_object_get(info, "format-specific"), "data");
    json_t *size = json_object_get(info, "virtual-size");

    if (json_object_get(info, "backing-filename") || json_object_get(info, "full-backing-filename"))
        return error_set(err, ERROR_INVALID_PARAMS,
                         "'%s' has a backing file: flatten it first (qemu-img convert)", path);
    if (json_object_get(specific, "data-file"))
        return error_set(err, ERROR_INVALID_PARAMS,
                         "'%s' has a data file of its own: convert it first", path);
    if (json_is_true(json_object_get(info, "encrypted")))
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' is encrypted: decrypt it first", path);
    if (!json_is_integer(size) || json_integer_value(size) <= 0)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' has no size", path);
    if ((uint64_t)json_integer_value(size) > size_max)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "'%s' says that it is of %lld bytes: at most %" PRIu64 " are taken", path,
                         (long long)json_integer_value(size), size_max);
    *ret_size = (uint64_t)json_integer_value(size);
    return true;
}

bool
endpoint_inspect_qcow2(const char *file, const char *shown, uint64_t size_max, uint64_t *ret_size,
                       struct error **err)
{
    /* A hostile file gets little memory, little time, and nothing to write. */
    const struct child_limits limits = { .timeout_ms = INSPECT_TIMEOUT_MS,
                                         .memory_size = INSPECT_MEMORY_MAX,
                                         .cpu_s = INSPECT_CPU_S,
                                         .file_size = 1,
                                         .output_size = QEMU_IMG_OUTPUT_MAX };
    const char *const argv[] = { "qemu-img", "info", "--output=json", "-U", "-f", "qcow2", "--",
                                 file,       NULL };
    _cleanup_text_ struct text output = TEXT_INIT;
    json_t *info;
    bool good;

    if (!child_run(argv, -1, &limits, &output, err))
        return error_wrap(err, "cannot take '%s' as qcow2", shown);
    info = json_loadb(output.bytes, output.length, 0, NULL);
    good = info ? judge_info(shown, info, size_max, ret_size, err)
                : error_set(err, ERROR_BACKEND_FAILED,
                            "qemu-img says nothing of '%s' that can be read", shown);
    json_decref(info);
    return good;
}

bool
endpoint_inspect(const char *path, enum image_format format, uint64_t size_max, uint64_t *ret_size,
                 struct error **err)
{
    _cleanup_(endpoint_closep) struct endpoint *file = NULL;

    WORKER_ONLY();
    /* First as a plain file: no link, no pipe, and readable at all. */
    if (!endpoint_open_file(AT_FDCWD, path, ENDPOINT_READ, &file, err))
        return false;
    if (format != IMAGE_RAW)
        return endpoint_inspect_qcow2(path, path, size_max, ret_size, err);
    if (endpoint_size(file) == 0 || endpoint_size(file) > size_max)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "'%s' is of %" PRIu64 " bytes: 1 to %" PRIu64 " are taken", path,
                         endpoint_size(file), size_max);
    *ret_size = endpoint_size(file);
    return true;
}

bool
endpoint_text_tells_lock(const char *text)
{
    return strstr(text, "Failed to get") && strstr(text, "lock");
}

bool
endpoint_check(struct folder *folder, const char *name, bool mend_leaks, const atomic_bool *abort,
               struct error **err)
{
    const struct child_limits limits = { .output_size = QEMU_IMG_OUTPUT_MAX, .abort = abort };
    int dirfd;
    _cleanup_free_ char *file = folder_program_name(folder, name, &dirfd);
    const char *const look[] = { "qemu-img", "check", "-q", "-f", "qcow2", "--", file, NULL };
    const char *const mend[] = { "qemu-img", "check", "-q", "-r", "leaks",
                                 "-f",       "qcow2", "--", file, NULL };
    _cleanup_text_ struct text output = TEXT_INIT;
    const char *code;
    struct stat status;

    WORKER_ONLY();
    if (!folder_stat(folder, name, &status) || !S_ISREG(status.st_mode))
        return error_set(err, ERROR_VERIFY_FAILED, "there is no file '%s'", name);
    if (child_run(mend_leaks ? mend : look, dirfd, &limits, &output, err))
        return true;
    /* A program that could not be run, or was killed, has found nothing. */
    code = (*err)->data ? strstr((*err)->data, CODE_MEMBER) : NULL;
    if ((*err)->code != ERROR_BACKEND_FAILED || !code || atoi(code + strlen(CODE_MEMBER)) <= 0)
        return false;
    if (atoi(code + strlen(CODE_MEMBER)) == CHECK_LEAKS) { /* space is wasted, nothing else */
        error_free(TAKE(*err));
        return true;
    }
    (*err)->code =
        endpoint_text_tells_lock((*err)->data) ? ERROR_IMAGE_IN_USE : ERROR_VERIFY_FAILED;
    return error_wrap(err, "qemu-img check");
}
