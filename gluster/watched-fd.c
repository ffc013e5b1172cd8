/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/watched-fd.h"

#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "agent/base/cleanup.h"

struct watched_fd {
    uv_poll_t poll;
    int fd;
    void (*ready)(void *context, int fd);
    void *context;
};

static void
closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void
become_ready(uv_poll_t *poll, int status, int events)
{
    struct watched_fd *watched = poll->data;

    (void)status; /* an error shows when it is read */
    (void)events;
    watched->ready(watched->context, watched->fd);
}

struct watched_fd *
watched_fd_new(struct loop *loop, int fd, void (*ready)(void *context, int fd), void *context)
{
    struct watched_fd *watched = xalloc(sizeof(*watched));

    if (uv_poll_init(loop_uv(loop), &watched->poll, fd) != 0) {
        (void)close(fd);
        free(watched);
        return NULL;
    }
    watched->poll.data = watched;
    watched->fd = fd;
    watched->ready = ready;
    watched->context = context;
    watched_fd_pause(watched, false);
    return watched;
}

void
watched_fd_pause(struct watched_fd *watched, bool paused)
{
    if (paused)
        (void)uv_poll_stop(&watched->poll);
    else
        (void)uv_poll_start(&watched->poll, UV_READABLE | UV_DISCONNECT, become_ready);
}

int
watched_fd_number(const struct watched_fd *watched)
{
    return watched->fd;
}

void
watched_fd_free(struct watched_fd *watched)
{
    if (!watched)
        return;
    uv_close((uv_handle_t *)&watched->poll, closed);
    (void)close(watched->fd);
}
