/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures that a backend adds to GET /metrics.  rpc/ never sees a backend: a backend registers who
 * writes them.  Loop only.
 */
#ifndef AGENT_GAUGE_H
#define AGENT_GAUGE_H

#include "agent/base/text.h"

struct agent;

struct gauges {
    /* Appends whole families, HELP and TYPE included, in Prometheus' text format; must not block. */
    void (*write)(void *context, struct text *text);
    void *context;
    struct gauges *next; /* private */
};

void gauges_register(struct agent *agent, struct gauges *gauges); /* borrowed */
void gauges_write(const struct agent *agent, struct text *text);

#endif
