/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/gauge.h"

#include "agent/agent.h"
#include "agent/base/thread.h"

void
gauges_register(struct agent *agent, struct gauges *gauges)
{
    struct gauges **end = &agent->gauges;

    LOOP_ONLY();
    while (*end)
        end = &(*end)->next;
    gauges->next = NULL;
    *end = gauges;
}

void
gauges_write(const struct agent *agent, struct text *text)
{
    LOOP_ONLY();
    for (const struct gauges *gauges = agent->gauges; gauges; gauges = gauges->next)
        gauges->write(gauges->context, text);
}
