/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /metrics: the agent's counters in Prometheus' text format.
 */
#ifndef RPC_METRICS_H
#define RPC_METRICS_H

#include "agent/base/text.h"

struct rpc;

void metrics_write(const struct rpc *rpc, struct text *text);

#endif
