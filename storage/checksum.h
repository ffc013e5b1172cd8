/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checksum of an image's visible contents, equal whatever the format, chain or sparseness.
 *
 * "sha256-tree-1m": SHA-256 over, in order, the SHA-256 of each MiB of the contents (the last one
 * as short as it is), then the size as 8 bytes big endian.  A MiB known to be zero costs no reading
 * and no hashing: its digest is a constant.  From OpenSSL's libcrypto.
 */
#ifndef STORAGE_CHECKSUM_H
#define STORAGE_CHECKSUM_H

#include <stdatomic.h>

#include "agent/base/error.h"
#include "storage/endpoint.h"

#define CHECKSUM_ALGORITHM "sha256-tree-1m"
#define CHECKSUM_TEXT_SIZE 65 /* hex and NUL */

/* 'progress' may be NULL.  Errors: those of reading, TaskAborted. */
bool checksum_run(struct endpoint *source,
                  void (*progress)(void *context, uint64_t done, uint64_t total),
                  bool (*aborted)(void *context), void *context,
                  char ret_checksum[CHECKSUM_TEXT_SIZE], struct error **err) _must_check_;

#endif
