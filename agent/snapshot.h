/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Present state for event.subscribe's 'snapshot': who can tell it, by topic.
 *
 * rpc/ never sees a backend: a backend registers a provider for the topics that it publishes.
 */
#ifndef AGENT_SNAPSHOT_H
#define AGENT_SNAPSHOT_H

#include <stddef.h>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/worker.h"

struct agent;
struct snapshots;

/* Takes one item: the event that would tell this state. 'data' is copied. */
typedef void snapshot_item(void *context, const char *topic, const char *subject,
                           const struct text *data);

struct snapshot_provider {
    const char
        *topic;     /* what its items are, e.g. "image.changed": asked when a filter matches it */
    enum pool pool; /* where 'write' runs */
    /* Loop, first: what 'write' needs (references taken), or NULL. */
    void *(*begin)(void *provider_context);
    /* Tells every item; on its pool's thread. */
    bool (*write)(void *begun, snapshot_item *item, void *item_context, struct error **err);
    /* Loop, last: gives back what begin() took. */
    void (*end)(void *begun);
    void *provider_context;
};

struct snapshots *snapshots_new(void);
void snapshots_free(struct snapshots *snapshots);
void snapshot_register(struct agent *agent,
                       const struct snapshot_provider *provider); /* borrowed */

/*
 * For who has its items ready: begin() makes one of these and adds them, snapshot_texts_write() and
 * snapshot_texts_free() are the other two.
 */
struct snapshot_texts;
struct snapshot_texts *snapshot_texts_new(const char *topic); /* static text */
void snapshot_texts_add(struct snapshot_texts *texts, const char *subject, const char *json);
bool snapshot_texts_write(void *texts, snapshot_item *item, void *item_context, struct error **err)
    _must_check_;
void snapshot_texts_free(void *texts);

/* The n-th, or NULL. */
const struct snapshot_provider *snapshot_provider_at(const struct agent *agent, size_t n);

#endif
