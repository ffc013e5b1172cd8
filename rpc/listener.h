/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets, and accepting from them.
 *
 * libwebsockets never binds here: 4.1 cannot take a socket from systemd, and spins when descriptors
 * run out.
 */
#ifndef RPC_LISTENER_H
#define RPC_LISTENER_H

#include "agent/base/error.h"

struct rpc_transport;

/* Opens --socket and each --listen, or in their place what systemd passed, and each --tls-listen.
   Errors: InvalidParams, AlreadyExists (somebody listens there). */
bool listeners_open(struct rpc_transport *transport, struct error **err) _must_check_;
/* Whether a TCP socket without TLS is among them, or will be: those need tokens. */
bool listeners_need_tokens(const struct rpc_transport *transport);
/* One line "listening URL" each, on standard output. */
void listeners_print(const struct rpc_transport *transport);

#endif
