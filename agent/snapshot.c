/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/snapshot.h"

#include <string.h>

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

/* ---- items that are ready ---- */

struct ready_item {
    char *subject, *json; /* owned */
};

struct snapshot_texts {
    const char *topic;
    struct ready_item *all; /* owned */
    size_t count;
};

struct snapshot_texts *
snapshot_texts_new(const char *topic)
{
    struct snapshot_texts *texts = xalloc(sizeof(*texts));

    texts->topic = topic;
    return texts;
}

void
snapshot_texts_add(struct snapshot_texts *texts, const char *subject, const char *json)
{
    texts->all = xrealloc(texts->all, (texts->count + 1) * sizeof(texts->all[0]));
    texts->all[texts->count++] =
        (struct ready_item){ .subject = xstrdup(subject), .json = xstrdup(json) };
}

bool
snapshot_texts_write(void *begun, snapshot_item *item, void *item_context, struct error **err)
{
    const struct snapshot_texts *texts = begun;

    (void)err;
    for (size_t i = 0; i < texts->count; i++) {
        const struct text data = { .bytes = texts->all[i].json,
                                   .length = strlen(texts->all[i].json) };

        item(item_context, texts->topic, texts->all[i].subject, &data);
    }
    return true;
}

void
snapshot_texts_free(void *begun)
{
    struct snapshot_texts *texts = begun;

    for (size_t i = 0; i < texts->count; i++) {
        free(texts->all[i].subject);
        free(texts->all[i].json);
    }
    free(texts->all);
    free(texts);
}
