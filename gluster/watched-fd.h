/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor that the loop watches: libuv's poll handle, which outlives its close, and the descriptor
 * that must be closed after it has been given up.  Loop only.
 */
#ifndef GLUSTER_WATCHED_FD_H
#define GLUSTER_WATCHED_FD_H

#include <stdbool.h>

#include "agent/loop.h"

struct watched_fd;

/* Takes ownership of 'fd'.  'ready' is called whenever it can be read, or is at its end.  NULL: the kernel
   has no way to watch it, and it is closed. */
struct watched_fd *watched_fd_new(struct loop *loop, int fd, void (*ready)(void *context, int fd),
                                  void *context);
void watched_fd_pause(struct watched_fd *watched, bool paused);
int watched_fd_number(const struct watched_fd *watched);
void watched_fd_free(struct watched_fd *watched);

#endif
