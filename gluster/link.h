/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether glusterd lives: a connection to the socket that its command line uses, through which nothing is
 * ever sent.  Its end is glusterd's, told by the kernel at once and at no cost while it lasts.
 */
#ifndef GLUSTER_LINK_H
#define GLUSTER_LINK_H

#include <stdbool.h>

#include "agent/loop.h"

/* Where a glusterd listens for its own host: gluster's default. */
#define GLUSTERD_SOCKET "/run/glusterd.socket"

/* Loop only, all of it.  Zeroed but for what the owner sets. */
struct gluster_link {
    void (*changed)(void *context, bool alive); /* owner's, as the next two */
    void *context;
    const char *path;  /* of the socket; borrowed */
    struct loop *loop; /* private, as all below */
    struct watched_fd *connection;
    struct timer again;
    unsigned tries;
};

void gluster_link_open(struct gluster_link *link, struct loop *loop);
/* The socket may have been made: connects, unless it is connected. */
void gluster_link_try(struct gluster_link *link);
bool gluster_link_alive(const struct gluster_link *link);
/* For tests. */
void gluster_link_close(struct gluster_link *link);

#endif
