/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Present state, then what is newer: event.subscribe with 'snapshot'.
 *
 * Providers (agent/snapshot.h) tell the present state, some of them on worker threads, while events
 * go on.  Each provider's items are made into frames, stamped with the number of the newest event
 * when it began: its base.  When all providers are done the newest event is the end, and the filter
 * counts from the one after.  The subscriber is sent, in this order:
 *
 *     what it missed (with 'since')  |  the items  |  the covered events from the lowest base to
 *     the end, marked as part of the snapshot  |  event.synced with the end  |  what is newer
 *
 * An item that was read before a change is thus followed by the change's event; one read after it
 * is followed by the same state again, which does no harm.  Nothing is lost and nothing is old at
 * event.synced.  Items are kept once however many subscribers ask at the same time, and a slow
 * subscriber takes them in its own time.  Loop only, but for the providers.
 */
#ifndef RPC_SNAPSHOT_STREAM_H
#define RPC_SNAPSHOT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "rpc/subscription.h"

/* Registers what rpc/ itself can tell: the running tasks. */
void snapshot_streams_open(struct rpc *rpc);

/*
 * Begins a snapshot for a held filter of 'subscriber'; 'missed' is the first event that is to be
 * sent before it, or newest + 1.  The filter is released when the providers are done.
 * Errors: Busy, LimitExceeded; nothing has begun then.
 */
bool snapshot_stream_open(struct subscriber *subscriber, struct filter *filter, uint64_t missed,
                          struct error **err) _must_check_;
/* Ends the snapshot of 'filter', if there is one. */
void snapshot_stream_forget(struct subscriber *subscriber, const struct filter *filter);
/* Appends what is due to the connection's 'out' until it is 'end' bytes long; true: there is more,
   and newer events must wait. */
bool snapshot_stream_fill(struct subscriber *subscriber, size_t end);

#endif
