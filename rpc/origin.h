/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which web pages may make their browser talk to the agent.
 *
 * A browser tells in Origin whose page asks, and lends it what lets the browser's user in (a client
 * certificate); any page may open a WebSocket to any server.  So only pages of this server, and of
 * origins that --origin names, come in.
 */
#ifndef RPC_ORIGIN_H
#define RPC_ORIGIN_H

#include <stdbool.h>

/*
 * 'origin' is the header as it stands: "http://host:port".  'host' is the Host header, or NULL.
 * 'allowed' is NULL or NULL-terminated.  Names are compared without regard to case, ports with
 * their defaults.
 */
bool origin_allowed(const char *origin, const char *host, char *const *allowed);

#endif
