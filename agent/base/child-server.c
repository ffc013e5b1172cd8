/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/child-internal.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/thread.h"

struct child_server {
    struct child child;
};

bool
child_serve(const char *const argv[], int listener, struct child_server **ret_server,
            struct error **err)
{
    static const struct child_limits none;
    struct child_server *server = xalloc(sizeof(*server));

    WORKER_ONLY();
    server->child =
        (struct child){ .name = argv[0], .limits = &none, .pidfd = -1, .output = -1, .errors = -1 };
    if (!child_start(&server->child, argv, -1, listener, -1, err)) {
        free(server);
        return false;
    }
    server->child.name = NULL; /* the caller's; it may not last as long */
    (void)close(TAKE_FD(server->child.output));
    *ret_server = server;
    return true;
}

/* Whether that descriptor of another process is the file of 'ours', or none on a disk at all. */
static bool
is_harmless(int folder, const char *name, const struct stat *ours)
{
    struct stat status;

    if (fstatat(folder, name, &status, 0) < 0)
        return errno == ENOENT; /* closed meanwhile */
    if (S_ISCHR(status.st_mode))
        return status.st_rdev == makedev(1, 3); /* /dev/null */
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode) && !S_ISDIR(status.st_mode))
        return true;
    return status.st_dev == ours->st_dev && status.st_ino == ours->st_ino;
}

bool
child_server_holds_only(const struct child_server *server, int fd)
{
    _cleanup_free_ char *path = xprintf("/proc/%d/fd", (int)server->child.pid);
    DIR *folder = opendir(path);
    struct dirent *entry;
    struct stat ours = { 0 };
    bool only = folder && (fd < 0 || fstat(fd, &ours) == 0);

    WORKER_ONLY();
    while (only && (entry = readdir(folder)))
        only = entry->d_name[0] == '.' || is_harmless(dirfd(folder), entry->d_name, &ours);
    if (folder)
        (void)closedir(folder);
    return only;
}

/* Until it has ended, or for 'patience_ms'. */
static void
child_await(struct child *child, unsigned patience_ms)
{
    int64_t deadline_ns = clock_monotonic_ns() + patience_ms * NS_PER_MS;
    bool ended = false;

    while (child_look(child, &ended) && !ended) {
        int64_t left_ms = (deadline_ns - clock_monotonic_ns()) / NS_PER_MS;
        struct pollfd fd = { .fd = child->pidfd, .events = POLLIN };

        if (left_ms <= 0)
            return;
        (void)poll(&fd, 1,
                   left_ms < CHILD_LOOK_INTERVAL_MS ? (int)left_ms : CHILD_LOOK_INTERVAL_MS);
    }
}

void
child_server_end(struct child_server *server, unsigned patience_ms, struct text *ret_errors)
{
    struct child *child = &server->child;
    int status;

    WORKER_ONLY();
    child_await(child, patience_ms);
    (void)kill(-child->pid, SIGKILL);
    child_reap(child->pid, &status);
    child_drain_errors(child);
    if (ret_errors) {
        *ret_errors = child->error_text;
        child->error_text = TEXT_INIT;
    }
    child_done(child);
    free(server);
}
