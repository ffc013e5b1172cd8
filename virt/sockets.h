/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets below connections to libvirtd, so that they can be shut.
 *
 * libvirt (6.1 up to 9.0 at least) has a flaw: when its keep-alive gives up a libvirtd that is silent, only the
 * first of the calls that wait on that connection is told; it passes the turn to the next, which polls the socket
 * without a limit, for the limit that is worked out there (virNetClientIOEventLoop) is not used any more.  A
 * socket that is shut ends every poll.  libvirt hands out no descriptor, so it is found in /proc/self/fd: what
 * is new there, and leads to a socket of libvirtd's.  A connection by TCP is not found, and then has the flaw.
 */
#ifndef VIRT_SOCKETS_H
#define VIRT_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

#define SOCKETS_MAX 16

struct sockets {
    int fds[SOCKETS_MAX]; /* duplicates: their numbers stay ours, whatever libvirt closes */
    uint64_t inodes[SOCKETS_MAX];
    size_t count;
};

/* Those of libvirtd's that there are now and that 'known' has not. */
void sockets_find(const struct sockets *known, struct sockets *ret_found);
void sockets_shut(const struct sockets *found);
void sockets_done(struct sockets *sockets);

#endif
