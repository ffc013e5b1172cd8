/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a request object, as slices of its text: read and validated in one pass.
 */
#ifndef RPC_ENVELOPE_H
#define RPC_ENVELOPE_H

#include "agent/base/error.h"
#include "rpc/scan.h"

#define ENVELOPE_OTHERS_MAX 16 /* members that JSON-RPC does not know, which are ignored */

/* Each as it was written; a text of NULL: absent. */
struct envelope {
    struct slice whole; /* the value itself, which need not be an object */
    struct slice version, method, params, result, error;
    struct slice id;                          /* absent: a notification */
    struct slice twice;                       /* the first key that is there a second time */
    struct slice others[ENVELOPE_OTHERS_MAX]; /* the keys of all other members */
    size_t other_count;                       /* may be more than there is room for */
};

/* Reads one value where the scan stands.  False: not JSON, or nested too deeply. */
bool envelope_scan(struct scan *scan, struct envelope *ret_envelope) _must_check_;
/* Whether it looks like a response: to be ignored, never answered, for answering could go on for
   ever (the npm client simple-jsonrpc-js answers notifications with errors). */
bool envelope_is_response(const struct envelope *envelope);
/* Whether it is a request, by the letter of JSON-RPC 2.0 and our own bounds of the id.  Error:
   InvalidRequest {param, reason}. */
bool envelope_check(const struct envelope *envelope, struct error **err) _must_check_;
/* What the answer of a refused request carries as its id: its own where it has a usable one. */
struct slice envelope_answer_id(const struct envelope *envelope);

#endif
