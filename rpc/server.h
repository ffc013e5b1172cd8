/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's endpoints: JSON-RPC over WebSocket and HTTP, on the agent's loop.
 */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/verb.h"

struct agent;
struct rpc;

/* Made first, for it is the context of the two tables below. */
struct rpc *rpc_new(void);
/* Opens every endpoint of agent->config, or those that systemd passed; serves from the first turn
   of the loop on. */
bool rpc_open(struct rpc *rpc, struct agent *agent, struct error **err) _must_check_;
/* Prints the "listening" lines and tells systemd READY=1. */
void rpc_ready(struct rpc *rpc);

/* event.*, rpc.*; their context is the struct rpc. */
extern const struct verb event_verbs[];
extern const struct verb rpc_verbs[];

/* Writes the OpenRPC document of 'index': rpc.discover and --print-openrpc. */
void discover_write(const struct verb_index *index, struct writer *writer);

#endif
