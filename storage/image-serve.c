/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu-nbd --fork says by its status when it serves, or by its words why not, and leaves a daemon that
 * is nobody's child: one that this agent has started and one that it has found are the same to it.
 *
 * Its socket is made here and handed over, so a client that has the URI can connect at once, and no
 * port is lost between choosing it and listening.  It is known by its command line, which has a random
 * word in it, together with its number and the moment of its start.
 */
#include <config.h>

#include "storage/image-serve.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "agent/base/child.h"
#include "agent/base/durable.h"
#include "agent/base/json-writer.h"
#include "agent/base/thread.h"
#include "storage/endpoint-kind.h"
#include "storage/url.h"

#define START_TIMEOUT_MS 30000
#define END_PATIENCE_MS 10000 /* what clients wrote is flushed by then, or was not asked to last */
#define KILL_PATIENCE_MS 10000
#define STRAY_PATIENCE_MS 1000
#define BACKLOG 128
#define COMMAND_LINE_MAX 16384
#define PROCESS_STAT_MAX 1024

/* ---- processes ---- */

static bool
read_process_file(pid_t pid, const char *name, char *ret_bytes, size_t size, size_t *ret_length)
{
    _cleanup_free_ char *path = xprintf("/proc/%d/%s", (int)pid, name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, ret_bytes, size - 1);

    if (got < 0)
        return false;
    ret_bytes[got] = '\0';
    *ret_length = (size_t)got;
    return true;
}

static bool
read_start(pid_t pid, uint64_t *ret_started)
{
    char text[PROCESS_STAT_MAX];
    unsigned long long started;
    const char *rest;
    size_t length;

    if (!read_process_file(pid, "stat", text, sizeof(text), &length))
        return false;
    rest = strrchr(text, ')'); /* its name may hold anything */
    if (!rest || sscanf(rest + 1,
                        " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                        "%*s %llu",
                        &started) != 1)
        return false;
    *ret_started = started;
    return true;
}

/* Nobody else's command line has it; one that has ended has none. */
static char *
mark_of(const struct serve_record *record)
{
    _cleanup_(error_freep) struct error *ignored = NULL;
    _cleanup_free_ char *path = NULL;

    return serve_path(record->token, "pid", &path, &ignored) ? xprintf("--pid-file=%s", path)
                                                             : NULL;
}

static bool
has_argument(pid_t pid, const char *wanted)
{
    _cleanup_free_ char *line = xalloc(COMMAND_LINE_MAX);
    size_t length;

    if (!read_process_file(pid, "cmdline", line, COMMAND_LINE_MAX, &length))
        return false;
    for (size_t i = 0; i < length; i += strlen(line + i) + 1)
        if (strcmp(line + i, wanted) == 0)
            return true;
    return false;
}

static int
open_process(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0U);
}

static bool
has_ended(int pidfd, unsigned patience_ms)
{
    struct pollfd fd = { .fd = pidfd, .events = POLLIN };
    int ready;

    do
        ready = poll(&fd, 1, (int)patience_ms);
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* Whatever has the mark, for what it is called is not known, or not yet. */
static void
kill_all(const struct serve_record *record)
{
    _cleanup_free_ char *mark = mark_of(record);
    DIR *processes = opendir("/proc");
    struct dirent *entry;

    while (mark && processes && (entry = readdir(processes))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        _cleanup_close_ int pidfd = pid > 0 && has_argument(pid, mark) ? open_process(pid) : -1;

        if (pidfd >= 0 && has_argument(pid, mark)) {
            (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U);
            (void)has_ended(pidfd, STRAY_PATIENCE_MS);
        }
    }
    if (processes)
        (void)closedir(processes);
}

bool
serve_adopt(const struct serve_record *record, int *ret_pidfd)
{
    _cleanup_free_ char *mark = mark_of(record);
    _cleanup_close_ int pidfd = record->pid > 0 ? open_process(record->pid) : -1;
    uint64_t started;

    *ret_pidfd = -1;
    if (pidfd >= 0 && mark && read_start(record->pid, &started) && started == record->started &&
        has_argument(record->pid, mark) && !has_ended(pidfd, 0)) {
        *ret_pidfd = TAKE_FD(pidfd);
        return true;
    }
    if (record->pid == 0)
        kill_all(record);
    return false;
}

bool
serve_end(int pidfd, struct error **err)
{
    WORKER_ONLY();
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0U);
    if (has_ended(pidfd, END_PATIENCE_MS))
        return true;
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U);
    return has_ended(pidfd, KILL_PATIENCE_MS) ||
           error_set(err, ERROR_TIMEOUT,
                     "qemu-nbd does not end: what holds the image does not answer it");
}

struct image_lock *
serve_take_lock(int pidfd)
{
    _cleanup_close_ int fd = (int)syscall(SYS_pidfd_getfd, pidfd, CHILD_HELD_FD, 0U);

    return fd < 0 ? NULL : image_lock_of(TAKE_FD(fd));
}

/* ---- where it listens ---- */

static bool
listen_locally(const struct image *image, struct serve_record *record, int *ret_listener,
               struct error **err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_free_ char *path = NULL;

    if (!serve_path(record->token, "sock", &path, err))
        return false;
    if (strlen(path) >= sizeof(address.sun_path)) {
        error_set(err, ERROR_LIMIT_EXCEEDED,
                  "the socket's path '%s' is too long: use a shorter run-time directory, or tls",
                  path);
        error_data_text(err, "limit", "socket path");
        return error_data_number(err, "max", sizeof(address.sun_path) - 1);
    }
    memcpy(address.sun_path, path, strlen(path));
    if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, 0600) < 0 || listen(listener, BACKLOG) < 0)
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot listen at '%s'", path);
    free(record->uri);
    record->uri = url_of_socket(image->id, path);
    *ret_listener = TAKE_FD(listener);
    return true;
}

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

/* The address of "ADDR:PORT" or "[ADDR]:PORT", with any free port; 0: it is none. */
static socklen_t
address_of(const char *text, union address *ret_address, char **ret_host)
{
    const char *colon = strrchr(text, ':');
    _cleanup_free_ char *host = !colon         ? xstrdup(text)
                                : *text == '[' ? xstrndup(text + 1, (size_t)(colon - text) - 2)
                                               : xstrndup(text, (size_t)(colon - text));

    *ret_address = (union address){ 0 };
    if (inet_pton(AF_INET, host, &ret_address->four.sin_addr) == 1) {
        ret_address->any.sa_family = AF_INET;
        *ret_host = ret_address->four.sin_addr.s_addr == INADDR_ANY ? NULL : TAKE(host);
        return sizeof(ret_address->four);
    }
    if (inet_pton(AF_INET6, host, &ret_address->six.sin6_addr) == 1) {
        ret_address->any.sa_family = AF_INET6;
        *ret_host =
            IN6_IS_ADDR_UNSPECIFIED(&ret_address->six.sin6_addr) ? NULL : xprintf("[%s]", host);
        return sizeof(ret_address->six);
    }
    return 0;
}

static bool
listen_for_tls(const struct image *image, const struct config *config, struct serve_record *record,
               int *ret_listener, struct error **err)
{
    _cleanup_close_ int listener = -1;
    _cleanup_free_ char *host = NULL;
    union address address;
    socklen_t size;

    if (!config->tls_listen || !config->tls_listen[0] || !config->tls_cert || !config->tls_key ||
        !config->tls_ca)
        return error_param(err, "tls",
                           "needs an agent that serves TLS itself: start it with --tls-listen, "
                           "--tls-cert, --tls-key and --tls-ca");
    size = address_of(config->tls_listen[0], &address, &host);
    listener = size ? socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (listener < 0 || bind(listener, &address.any, size) < 0 || listen(listener, BACKLOG) < 0 ||
        getsockname(listener, &address.any, &size) < 0)
        return error_errno(err, ERROR_BACKEND_FAILED, size ? errno : EINVAL,
                           "cannot listen for NBD at the address of '%s'", config->tls_listen[0]);
    free(record->uri);
    /* The port is in the same place of both. */
    record->uri = xprintf("nbds://%s:%u/%s", host ? host : config->name,
                          (unsigned)ntohs(address.four.sin_port), image->id);
    *ret_listener = TAKE_FD(listener);
    return true;
}

/* QEMU wants its files under names of its own. */
static bool
link_certificates(const struct config *config, char **ret_folder, struct error **err)
{
    const char *const links[][2] = { { "server-cert.pem", config->tls_cert },
                                     { "server-key.pem", config->tls_key },
                                     { "ca-cert.pem", config->tls_ca } };
    _cleanup_free_ char *folder = NULL;

    if (!serve_path("tls", "d", &folder, err))
        return false;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot make '%s'", folder);
    for (size_t i = 0; i < ARRAY_COUNT(links); i++) {
        _cleanup_free_ char *target = realpath(links[i][1], NULL);
        _cleanup_free_ char *link = xprintf("%s/%s", folder, links[i][0]);
        char random[UUID_TEXT_SIZE];
        _cleanup_free_ char *fresh = NULL;

        uuid_make(random);
        fresh = xprintf("%s.%s", link, random);
        /* By a rename: another call may be reading it. */
        if (!target || symlink(target, fresh) < 0 || rename(fresh, link) < 0)
            return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot use '%s' for TLS",
                               links[i][1]);
    }
    *ret_folder = TAKE(folder);
    return true;
}

static char *
describe_credentials(const char *folder)
{
    struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_string(&writer, "qom-type", "tls-creds-x509");
    writer_member_string(&writer, "id", "tls");
    writer_member_string(&writer, "endpoint", "server");
    writer_member_string(&writer, "dir", folder);
    writer_member_bool(&writer, "verify-peer", true);
    writer_end_object(&writer);
    return text_take(&writer.text);
}

static void
add_rule(struct writer *rules, const char *before, const char *role, const char *after, bool allow)
{
    writer_object(rules);
    writer_key(rules, "match");
    writer_printf(rules, "%sOU=%s%s", before, role, after);
    writer_member_string(rules, "policy", allow ? "allow" : "deny");
    writer_member_string(rules, "format", "glob");
    writer_end_object(rules);
}

/* Whom the agent itself would let read and write images: a certificate whose OU is operator or admin.  The
   first rule that matches decides, and '*' is the only thing in them that is not taken as it stands.  A
   comma that is a part of a name, and begins no other, has a backslash before it. */
static char *
describe_clients(void)
{
    static const char *const roles[] = { "operator", "admin" };
    struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_string(&writer, "qom-type", "authz-list");
    writer_member_string(&writer, "id", "clients");
    writer_member_string(&writer, "policy", "deny");
    writer_key(&writer, "rules");
    writer_array(&writer);
    for (size_t i = 0; i < ARRAY_COUNT(roles); i++)
        add_rule(&writer, "*\\,", roles[i], "*", false);
    for (size_t i = 0; i < ARRAY_COUNT(roles); i++) {
        add_rule(&writer, "", roles[i], "", true);
        add_rule(&writer, "", roles[i], ",*", true);
        add_rule(&writer, "*,", roles[i], "", true);
        add_rule(&writer, "*,", roles[i], ",*", true);
    }
    writer_end_array(&writer);
    writer_end_object(&writer);
    return text_take(&writer.text);
}

/* ---- starting ---- */

/* As in endpoint-nbd.c: a descriptor of ours, or with a base, which is named "../BASE/data", the file in
   a directory of ours.  The outer layer ends where the image does: behind that a resize that was
   interrupted may have left more. */
static bool
name_for_qemu(const struct image *image, int *ret_data, char **ret_file, struct error **err)
{
    const struct image_record *record = &image->record;
    const char *name = image_record_data(record);
    uint64_t size = image_format_size(IMAGE_QCOW2, record->size);
    int folder = folder_fd(image->folder);
    _cleanup_close_ int data =
        folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    _cleanup_free_ char *path = NULL, *file = NULL;
    struct stat status;

    if (data < 0)
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot open the data of image '%s'",
                           image->id);
    if (fstat(data, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(err, ERROR_IMAGE_BROKEN, "the data of image '%s' is not a regular file",
                         image->id);
    path = record->base ? xprintf("/proc/%d/fd/%d/%s", (int)getpid(), folder, name)
                        : xprintf("/proc/%d/fd/%d", (int)getpid(), data);
    file = xprintf("{\"driver\":\"file\",\"filename\":\"%s\"}", path);
    if (record->format == IMAGE_QCOW2) {
        char *plain = TAKE(file);

        file = xprintf("{\"driver\":\"qcow2\"%s,\"file\":%s}",
                       record->base ? "" : ",\"backing\":null", plain);
        free(plain);
    }
    *ret_file = xprintf("json:{\"driver\":\"raw\",\"size\":%" PRIu64 ",\"file\":%s}", size, file);
    *ret_data = TAKE_FD(data);
    return true;
}

static bool
run_server(const struct image *image, const struct serve_options *options,
           const struct serve_record *record, int listener, const char *file,
           const atomic_bool *abort, struct error **err)
{
    const struct child_limits limits = { .timeout_ms = START_TIMEOUT_MS, .abort = abort };
    _cleanup_free_ char *mark = mark_of(record);
    _cleanup_free_ char *name = xprintf("--export-name=%s", image->id);
    _cleanup_free_ char *credentials = NULL, *clients = NULL, *folder = NULL;
    const char *argv[24] = { "qemu-nbd", "--fork", "--persistent", mark, name, "--discard=unmap" };
    size_t n = 6;

    if (options->tls) {
        if (!link_certificates(options->config, &folder, err))
            return false;
        argv[n++] = "--object";
        argv[n++] = credentials = describe_credentials(folder);
        argv[n++] = "--object";
        argv[n++] = clients = describe_clients();
        argv[n++] = "--tls-creds=tls";
        argv[n++] = "--tls-authz=clients";
    }
    /* Two writers of one disk damage it; readers are as many as there are. */
    argv[n++] = options->writable ? "--shared=1" : "--shared=0";
    if (!options->writable)
        argv[n++] = "--read-only";
    argv[n++] = "--";
    argv[n++] = file;
    if (child_leave_daemon(argv, listener, image_lock_descriptor(image->lock), &limits, err))
        return true;
    if ((*err)->code == ERROR_BACKEND_FAILED && endpoint_text_tells_lock((*err)->message))
        (*err)->code = ERROR_IMAGE_IN_USE;
    return error_wrap(err, "cannot serve image '%s'", image->id);
}

/* Which process it is by now. */
static bool
find_server(struct serve_record *record, int *ret_pidfd, struct error **err)
{
    _cleanup_free_ char *path = NULL, *mark = mark_of(record);
    _cleanup_close_ int fd = -1, pidfd = -1;
    char text[32];
    ssize_t got;

    if (!serve_path(record->token, "pid", &path, err))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[got > 0 ? got : 0] = '\0';
    record->pid = (pid_t)strtol(text, NULL, 10);
    pidfd = record->pid > 0 ? open_process(record->pid) : -1;
    if (pidfd < 0 || !read_start(record->pid, &record->started) ||
        !has_argument(record->pid, mark)) {
        error_set(err, ERROR_BACKEND_FAILED, "qemu-nbd has ended as soon as it served image '%s'",
                  record->image);
        return error_data_text(err, "backend", "qemu-nbd");
    }
    *ret_pidfd = TAKE_FD(pidfd);
    return true;
}

/* What is written down first lets the next agent find all that is begun here. */
static bool
start(const struct image *image, const struct serve_options *options, const atomic_bool *abort,
      struct serve_record *record, int *ret_pidfd, struct error **err)
{
    _cleanup_free_ char *file = NULL;
    _cleanup_close_ int data = -1, listener = -1;

    return serve_record_write(record, err) &&
           (options->tls ? listen_for_tls(image, options->config, record, &listener, err)
                         : listen_locally(image, record, &listener, err)) &&
           name_for_qemu(image, &data, &file, err) &&
           run_server(image, options, record, listener, file, abort, err) &&
           find_server(record, ret_pidfd, err) && serve_record_write(record, err);
}

static void
make_token(char ret_token[SERVE_TOKEN_SIZE])
{
    char uuid[UUID_TEXT_SIZE];

    uuid_make(uuid);
    memcpy(ret_token, uuid, SERVE_TOKEN_SIZE - 1);
    ret_token[SERVE_TOKEN_SIZE - 1] = '\0';
}

static bool
unavailable(const char *reason, struct error **err)
{
    error_set(err, ERROR_BACKEND_UNAVAILABLE, "the image cannot be served: %s", reason);
    error_data_text(err, "backend", "qemu-nbd");
    return error_data_text(err, "reason", "%s", reason);
}

static bool
require_means(const struct image *image, struct error **err)
{
    _cleanup_close_ int pidfd = open_process(getpid());

    if (folder_fd(image->folder) < 0 || image_lock_descriptor(image->lock) < 0)
        return unavailable("its repository is on no local file system: copy it to one of kind dir "
                           "or nfs",
                           err);
    return pidfd >= 0 || unavailable("this system has no pidfd_open(), which Linux 5.3 has", err);
}

bool
serve_start(const struct image *image, const struct serve_options *options,
            const atomic_bool *abort, struct serve_record *ret_record, int *ret_pidfd,
            struct error **err)
{
    struct serve_record record = { .image = xstrdup(image->id),
                                   .uri = xstrdup(""),
                                   .writable = options->writable,
                                   .tls = options->tls };
    _cleanup_(error_freep) struct error *ignored = NULL; /* the next start removes it then */
    _cleanup_free_ char *folder = NULL;
    _cleanup_close_ int pidfd = -1;

    WORKER_ONLY();
    if (!require_means(image, err)) {
        serve_record_done(&record);
        return false;
    }
    memcpy(record.repository, image->repository->uuid, UUID_TEXT_SIZE);
    make_token(record.token);
    if (!serve_path(NULL, NULL, &folder, err)) {
        serve_record_done(&record);
        return false;
    }
    if (start(image, options, abort, &record, &pidfd, err)) {
        *ret_record = record;
        *ret_pidfd = TAKE_FD(pidfd);
        return true;
    }
    kill_all(&record);
    (void)!serve_record_remove(&record, &ignored);
    serve_record_done(&record);
    return false;
}
