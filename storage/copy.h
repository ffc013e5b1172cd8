/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy engine: from one endpoint to another, sparse, many chunks at a time, throttled, durable at
 * intervals.
 *
 * From 'from' up to the size of the source.  After about every 64 MiB (or 2 s) the target is
 * flushed and then 'checkpoint' told how far the data is durable, while the copy goes on; a copy that
 * is killed repeats at most one interval.  Holes are not read; blocks of zeros are not written
 * where the target is known to be zero, else zeroed.  doc/copy.md tells why it is built like this.
 */
#ifndef STORAGE_COPY_H
#define STORAGE_COPY_H

#include <stdatomic.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "storage/endpoint.h"

#define COPY_CHECKPOINT_SIZE                                                                       \
    (UINT64_C(64) << 20) /* bytes, holes not counted, between two checkpoints */
/* What a kill may cost: a checkpoint that has not ended when the next is due holds the copy up. */
#define COPY_INTERVAL_SIZE (2 * COPY_CHECKPOINT_SIZE)
#define COPY_CHUNK_SIZE (UINT64_C(1) << 20)  /* bytes of one read */
#define COPY_CHUNKS 16                       /* at a time */
#define COPY_CLONE_SIZE (UINT64_C(1) << 30)  /* bytes of one reflink, or hole */
#define COPY_BLOCK_SIZE (UINT64_C(64) << 10) /* bytes: the grain of zero detection */

struct copy {
    struct endpoint *source, *target;
    uint64_t from;        /* bytes that are durable already */
    bool target_is_zero;  /* beyond 'from', all that was not written by this copy reads as zeros */
    bool only_difference; /* the target shows a base: read it, and write only what differs */
    bool
        only_changed; /* the target shows a base: write only what the source tells has changed since */
    bool compact;     /* share nothing (no reflink), so that zeros that are stored become holes */
    uint64_t *shared; /* gets the bytes that were shared (reflinks), not copied; or NULL */
    /* On a thread of the copy's own, one at a time; NULL: nothing is recorded, only flushed. */
    bool (*checkpoint)(void *context, uint64_t done, struct error **err);
    /* All three on the calling thread. */
    void (*progress)(void *context, uint64_t done, uint64_t total);
    bool (*aborted)(void *context);
    uint64_t (*rate)(void *context); /* bytes a second; 0: none */
    void *context;
};

/* Errors: TaskAborted (the last checkpoint stands), NoSpace, BackendFailed, those of 'checkpoint'.
   After an error the endpoints can only be closed. */
bool copy_run(const struct copy *copy, struct error **err) _must_check_;
/* Compares what the two show; VerifyFailed {offset} at the first difference. */
bool copy_compare(const struct copy *copy, struct error **err) _must_check_;

#endif
