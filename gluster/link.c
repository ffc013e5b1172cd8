/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/base/cleanup.h"
#include "agent/base/thread.h"
#include "gluster/watched-fd.h"

/* glusterd binds its socket some time before it listens. */
#define AGAIN_MS 100
#define TRIES_MAX 100

static void try_once(struct gluster_link *link);

static void
again(struct timer *timer)
{
    try_once(CONTAINER_OF(timer, struct gluster_link, again));
}

void
gluster_link_open(struct gluster_link *link, struct loop *loop)
{
    LOOP_ONLY();
    link->loop = loop;
    link->again.fire = again;
    gluster_link_try(link);
}

/* glusterd has nothing to say to who asks nothing: what can be read is its end. */
static void
end_or_word(void *context, int fd)
{
    struct gluster_link *link = context;
    char bytes[256];
    ssize_t size = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    watched_fd_free(link->connection);
    link->connection = NULL;
    link->changed(link->context, false);
    gluster_link_try(link); /* it may be back already, and its new socket not be told again */
}

/* 0, or why not. */
static int
connect_to(const char *path, int *ret_fd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return errno;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int reason = errno;

        (void)close(fd);
        return reason;
    }
    *ret_fd = fd;
    return 0;
}

static void
try_once(struct gluster_link *link)
{
    int fd = -1, reason;

    if (link->connection)
        return;
    reason = connect_to(link->path, &fd);
    if (reason == 0)
        link->connection = watched_fd_new(link->loop, fd, end_or_word, link);
    if (link->connection)
        link->changed(link->context, true);
    else if ((reason == ECONNREFUSED || reason == EAGAIN) && link->tries++ < TRIES_MAX)
        timer_arm(link->loop, &link->again, AGAIN_MS);
}

void
gluster_link_try(struct gluster_link *link)
{
    LOOP_ONLY();
    timer_disarm(link->loop, &link->again);
    link->tries = 0;
    try_once(link);
}

bool
gluster_link_alive(const struct gluster_link *link)
{
    return link->connection != NULL;
}

void
gluster_link_close(struct gluster_link *link)
{
    timer_disarm(link->loop, &link->again);
    watched_fd_free(link->connection);
    link->connection = NULL;
}
