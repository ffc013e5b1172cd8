/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a peer's glusterd is still the one that it was: told by a connection to it that does nothing.
 *
 * glusterd tells nobody when it was started, and a restart by systemd takes less time than it would be
 * polled in.  But a process that ends closes its connections, so one that is held open is a proof of
 * identity that costs one recv(2) to look at.  glusterd 10.3 leaves idle connections open (watched for a
 * quarter of an hour).  A host that has fallen silent for 15 s is taken for one that has ended.
 */
#ifndef GLUSTER_PEER_WATCH_H
#define GLUSTER_PEER_WATCH_H

#include "agent/base/error.h"

/*
 * Connects to the glusterd of 'host' (NULL: of this host, by its own socket, which has one name wherever
 * glusterd listens).  '*ret_fd' is the caller's.  Error: WrongState {state, needs}: unreachable.  Worker; some
 * seconds at most.
 */
bool peer_watch_open(const char *host, int *ret_fd, struct error **err) _must_check_;
/* Whether it has ended meanwhile.  One thread at a time; at once. */
bool peer_watch_ended(int fd);

#endif
