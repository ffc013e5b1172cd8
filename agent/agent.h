/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of one agent, made once by main() and never taken down: the agent ends by dying.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdint.h>

#include "agent/base/name.h"
#include "agent/verb.h"

struct agent {
    struct loop *loop;
    struct ring *ring;              /* events/ring.h; loop only */
    struct workers *workers;        /* loop only */
    struct task_table *tasks;       /* loop only */
    struct backends *backends;      /* loop only */
    struct snapshots *snapshots;    /* loop only */
    struct resources *resources;    /* agent/resource.h; loop only; NULL while there are none */
    struct gauges *gauges;          /* agent/gauge.h; loop only; NULL while there are none */
    struct facts *facts;            /* agent/facts.h; loop only; NULL while there are none */
    struct samplings *samplings;    /* agent/sampling.h; loop only */
    const struct config *config;    /* read only, any thread */
    const struct verb_index *verbs; /* read only, any thread */
    char instance[UUID_TEXT_SIZE];  /* fresh at each start */
    char host_id[UUID_TEXT_SIZE];   /* of this machine and --name: the same after a restart */
    int64_t started_ns;             /* wall clock */
};

/* host.ping, host.info. */
extern const struct verb host_verbs[];

#endif
