/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/facts.h"

#include "agent/agent.h"
#include "agent/base/thread.h"

void
facts_register(struct agent *agent, struct facts *facts)
{
    struct facts **end = &agent->facts;

    LOOP_ONLY();
    while (*end)
        end = &(*end)->next;
    facts->next = NULL;
    *end = facts;
}

void
facts_write(const struct agent *agent, enum facts_of of, struct writer *writer)
{
    LOOP_ONLY();
    for (const struct facts *facts = agent->facts; facts; facts = facts->next)
        if (facts->of == of) {
            writer_key(writer, facts->name);
            facts->write(facts->context, writer);
        }
}
