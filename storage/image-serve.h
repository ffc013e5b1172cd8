/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving images by NBD: the qemu-nbd of each, which outlives the agent.
 *
 * It inherits the descriptor that the image's lock is on, so the image is in use as long as somebody
 * can read or write it, whatever becomes of the agent.  doc/serve.md has the argument.
 */
#ifndef STORAGE_IMAGE_SERVE_H
#define STORAGE_IMAGE_SERVE_H

#include <stdatomic.h>

#include "agent/config.h"
#include "storage/image-serve-record.h"
#include "storage/image.h"

struct serve_options {
    bool writable;
    bool tls;                    /* by TCP, to whoever has a certificate of an operator */
    const struct config *config; /* where TLS listens, and by which certificate */
};

/*
 * Starts a qemu-nbd that shows the locked 'image' until serve_end(); it answers when it returns.
 * '*ret_record' is to be done, '*ret_pidfd' to be closed; both are the caller's.  The image's lock is held
 * by it from then on, beside image->lock.
 * Errors: InvalidParams (no TLS here), LimitExceeded (the socket's path), ImageInUse (by another program),
 * BackendUnavailable, BackendFailed, TaskAborted, Timeout.  Worker thread.
 */
bool serve_start(const struct image *image, const struct serve_options *options,
                 const atomic_bool *abort, struct serve_record *ret_record, int *ret_pidfd,
                 struct error **err) _must_check_;
/* Ends it, politely at first, and waits; its record stays.  Error: Timeout.  Worker thread. */
bool serve_end(int pidfd, struct error **err) _must_check_;
/* The lock that it holds, for the caller, so that nobody comes in between when it ends; NULL where the
   system does not allow it. */
struct image_lock *serve_take_lock(int pidfd);
/* Whether the process of the record lives: '*ret_pidfd' is to be closed, or -1.  What is left of one that
   never came to be is ended.  At the start. */
bool serve_adopt(const struct serve_record *record, int *ret_pidfd);

#endif
