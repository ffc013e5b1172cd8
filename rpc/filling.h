/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A struct filled from JSON by its table of parameters: a verb's arguments, or one of the records
 * that they hold.
 */
#ifndef RPC_FILLING_H
#define RPC_FILLING_H

#include "agent/base/error.h"
#include "agent/verb.h"
#include "rpc/scan.h"

#define PARAMS_MAX 64 /* of one table */

struct filling {
    const struct param *params; /* borrowed; NULL: none */
    char *args;                 /* the struct */
    const char *place;          /* what faults are named under: "disks[1]"; NULL: at the top */
    bool seen[PARAMS_MAX];
};

/* Which parameter has that name; false: none. */
bool filling_find(const struct filling *filling, const char *name, size_t size, size_t *ret_n)
    _must_check_;
/* The n-th parameter's value.  Error: InvalidParams. */
bool filling_take(struct filling *filling, size_t n, struct slice value, struct error **err)
    _must_check_;
/* Defaults for what was not given.  Error: InvalidParams, when that was required. */
bool filling_complete(struct filling *filling, struct error **err) _must_check_;
/* InvalidParams: 'owner' has no parameter of that name, and which it has. */
bool filling_unknown(const struct filling *filling, const char *owner, const char *text,
                     size_t size, struct error **err);

/*
 * A record at 'place' from a valid JSON object.  'memory' is zero before and params_done()'s after;
 * with an error it owns nothing.  Error: InvalidParams.
 */
bool filling_record(const struct param *members, const char *place, struct slice object,
                    void *memory, struct error **err) _must_check_;

#endif
