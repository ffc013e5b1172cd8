/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of struct rpc, for the files of rpc/ only.
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include "agent/agent.h"
#include "agent/facts.h"
#include "rpc/connection.h"
#include "rpc/server.h"

struct rpc_transport;     /* rpc/server.c: libwebsockets context, listeners, tokens */
struct rpc_rates;         /* rpc/rate.c: token buckets by caller */
struct rpc_subscriptions; /* rpc/subscription.c: who subscribed, shared gather buffers */

struct rpc {
    struct agent *agent;
    struct connection *connections; /* all open ones */
    size_t connection_count;
    uint64_t last_number;
    struct rpc_transport *transport;
    struct rpc_rates *rates;
    struct rpc_subscriptions *subscriptions;
    uint64_t request_count, error_count, event_count; /* for metrics */
    struct facts facts;
};

/* Each part's beginning, called by rpc_open() in this order. */
void rates_open(struct rpc *rpc);
void subscriptions_open(struct rpc *rpc);
void metrics_open(struct rpc *rpc);

#endif
