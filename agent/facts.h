/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What backends add to host.capabilities and host.stats: a member of the answer each, which the backend
 * that registered it writes.  agent/ never sees a backend.  Loop only.
 */
#ifndef AGENT_FACTS_H
#define AGENT_FACTS_H

#include "agent/base/json-writer.h"

struct agent;

enum facts_of { FACTS_CAPABILITIES, FACTS_STATS };

struct facts {
    enum facts_of of;
    const char *name; /* of the member, unlike all others of the answer: "repositories" */
    /* One JSON value from what is in memory: must not block.  What is not known yet is null or absent,
       never made up. */
    void (*write)(void *context, struct writer *writer);
    void *context;
    struct facts *next; /* private */
};

void facts_register(struct agent *agent, struct facts *facts); /* borrowed */
/* The members of one answer, in the order of their registration. */
void facts_write(const struct agent *agent, enum facts_of of, struct writer *writer);

#endif
