/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a copy's progress, written beside the stream: on a thread of their own, so that the
 * copy goes on meanwhile.
 *
 * What is recorded was flushed before; that, and when, is storage/copy.c's.  One record at a time.
 */
#ifndef STORAGE_COPY_RECORD_H
#define STORAGE_COPY_RECORD_H

#include <stdint.h>

#include "agent/base/error.h"

struct recorder;

/* Starts its thread; on it, 'record' is called. */
bool recorder_new(bool (*record)(void *context, uint64_t done, struct error **err), void *context,
                  struct recorder **ret_recorder, struct error **err) _must_check_;
/* Waits for the record that is being written. */
void recorder_free(struct recorder *recorder);
DEFINE_CLEANUP(struct recorder, recorder_free)

/* Only while it is idle. */
void recorder_begin(struct recorder *recorder, uint64_t done);
/* Whether nothing is being written, without waiting. */
bool recorder_is_idle(struct recorder *recorder);
/* Waits until it is idle; the error is that of a record that could not be written, told once. */
bool recorder_finish(struct recorder *recorder, struct error **err) _must_check_;

#endif
