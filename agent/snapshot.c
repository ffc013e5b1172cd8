/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/snapshot.h"

#include "agent/agent.h"
#include "agent/base/thread.h"

struct snapshots {
    const struct snapshot_provider **providers; /* borrowed */
    size_t count;
};

struct snapshots *
snapshots_new(void)
{
    return xalloc(sizeof(struct snapshots));
}

void
snapshots_free(struct snapshots *snapshots)
{
    if (!snapshots)
        return;
    free(snapshots->providers);
    free(snapshots);
}

void
snapshot_register(struct agent *agent, const struct snapshot_provider *provider)
{
    struct snapshots *snapshots = agent->snapshots;

    LOOP_ONLY();
    snapshots->providers =
        xrealloc(snapshots->providers, (snapshots->count + 1) * sizeof(snapshots->providers[0]));
    snapshots->providers[snapshots->count++] = provider;
}

const struct snapshot_provider *
snapshot_provider_at(const struct agent *agent, size_t n)
{
    return n < agent->snapshots->count ? agent->snapshots->providers[n] : NULL;
}
