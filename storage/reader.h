/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an endpoint from its first byte to its last, in order, a MiB at a time and several ahead, and
 * without reading what is known to be zero: for checksums and comparisons.
 *
 * One thread.
 */
#ifndef STORAGE_READER_H
#define STORAGE_READER_H

#include <stdint.h>

#include "agent/base/error.h"
#include "storage/endpoint.h"

#define READER_LEAF_SIZE ((size_t)1 << 20) /* bytes */

struct reader;

struct leaf {
    uint64_t offset;   /* a multiple of READER_LEAF_SIZE */
    size_t size;       /* READER_LEAF_SIZE, but of the last */
    const char *bytes; /* the reader's, until more is asked for; NULL: all zeros */
};

/* 'source' outlives it. */
bool reader_new(struct endpoint *source, struct reader **ret_reader, struct error **err)
    _must_check_;
/* What is under way is given up. */
void reader_free(struct reader *reader);
DEFINE_CLEANUP(struct reader, reader_free)

#define READER_LEAVES_MAX 8 /* at once: as many again are read meanwhile */

/* The next, and as many behind it as are there already, at most 'most'; '*ret_count' is 0 at the end.
   Errors: those of reading, with 'offset'; after one the source can only be closed. */
bool reader_next(struct reader *reader, struct leaf *ret_leaves, size_t most, size_t *ret_count,
                 struct error **err) _must_check_;

/* Whether all of the bytes are zero; size > 0. */
bool reader_is_zero(const char *bytes, size_t size);

#endif
