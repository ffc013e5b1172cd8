/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict, validating scanner of JSON text: it builds nothing, it only tells where values end.
 *
 * The response's id is the request's own bytes, so slices of the text are needed anyway; and a
 * parser that builds trees (jansson: 3.4 µs for a 200-byte request, measured) would be most of what
 * a call costs.  It accepts exactly RFC 8259 in UTF-8, with surrogates in pairs only.  jansson is
 * the oracle in tests/unit/test-scan.c and tests/fuzz/fuzz-request.c, which list where it differs.
 */
#ifndef RPC_SCAN_H
#define RPC_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/cleanup.h"

/* A piece of the text: one JSON value as it was written. */
struct slice {
    const char *text; /* borrowed; NULL: absent */
    size_t size;
};

struct scan {
    const char *at, *end; /* where it stands: after a failure, where the text is wrong */
    unsigned depth, depth_max;
    bool too_deep; /* why a scan failed: nesting, not syntax */
};

void scan_init(struct scan *scan, const char *text, size_t size, unsigned depth_max);
/* Skips white space. */
void scan_space(struct scan *scan);
/* One whole value; '*ret_slice' is it.  False: not JSON, or nested too deeply. */
bool scan_value(struct scan *scan, struct slice *ret_slice) _must_check_;
/* Whether nothing but white space is left. */
bool scan_at_end(struct scan *scan);

/* As scan_value(), for a value that is an object or nothing: false otherwise too.  Each member is
   told to 'member' as it is met, also those before a fault. */
bool scan_object(struct scan *scan,
                 void (*member)(void *context, struct slice key, struct slice value), void *context)
    _must_check_;

/* Walks an object or an array that was found valid: false at its end. */
void scan_inside(struct scan *scan, struct slice container);
bool scan_member(struct scan *scan, struct slice *ret_key, struct slice *ret_value);
bool scan_element(struct scan *scan, struct slice *ret_value);

/* A string's content.  Without escapes it is borrowed from the slice; else decoded into
   '*ret_owned', to be freed (NULL otherwise).  It can hold NULs. */
void slice_string(struct slice string, const char **ret_text, size_t *ret_size, char **ret_owned);
/* Whether two strings have the same content, however it is written. */
bool slice_same_string(struct slice one, struct slice other);
/* Whether a string's content is 'text'. */
bool slice_is_string(struct slice string, const char *text, size_t size);
bool slice_is_number(struct slice value);
/* What a value is, with its article, for messages: "a string", "null". */
const char *slice_kind(struct slice value);

#endif
