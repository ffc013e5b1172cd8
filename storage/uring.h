/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, writes and flushes of one file by io_uring, several at a time.
 *
 * One thread at a time.  The requests are those of storage/endpoint.h.
 */
#ifndef STORAGE_URING_H
#define STORAGE_URING_H

#include "agent/base/error.h"
#include "storage/endpoint.h"

struct uring;

/* NULL where there is none to be had: built without, an old kernel, forbidden. */
struct uring *uring_new(void);
/* Waits for what is under way. */
void uring_free(struct uring *uring);
DEFINE_CLEANUP(struct uring, uring_free)

/* False: it could not be begun. */
bool uring_begin(struct uring *uring, int fd, struct endpoint_request *request) _must_check_;
/* What poll() is to wait for; -1: nothing is under way. */
int uring_poll(struct uring *uring);
/* The next that has ended, with what read(2), write(2) or fdatasync(2) would give, or -errno; that need
   not be all of its size.  NULL: none has. */
struct endpoint_request *uring_next(struct uring *uring, int *ret_result);
/* Waits until at least one has ended; false: nothing is under way. */
bool uring_wait(struct uring *uring);

#endif
