/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/rate.h"

#include "agent/base/clock.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "rpc/rpc.h"

#define SETS 256 /* a power of two */
#define WAYS 8

struct bucket {
    uint64_t caller; /* hash of the name, never 0; 0: nobody's */
    double tokens;
    int64_t filled_ns; /* monotonic */
};

struct rpc_rates {
    struct bucket sets[SETS][WAYS];
};

void
rates_open(struct rpc *rpc)
{
    rpc->rates = xalloc(sizeof(*rpc->rates));
}

static uint64_t
hash_caller(const char *caller)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *caller; caller++)
        hash = (hash ^ (unsigned char)*caller) * UINT64_C(1099511628211);
    return (hash ^ hash >> 32) | 1;
}

static void
fill(struct bucket *bucket, double rate, int64_t now)
{
    bucket->tokens += (double)(now - bucket->filled_ns) / NS_PER_S * rate;
    if (bucket->tokens > rate * 2)
        bucket->tokens = rate * 2;
    bucket->filled_ns = now;
}

static struct bucket *
bucket_of(struct rpc_rates *rates, const char *caller, double rate)
{
    uint64_t hash = hash_caller(caller);
    struct bucket *set = rates->sets[hash >> 8 & (SETS - 1)], *place = set;
    int64_t now = clock_monotonic_ns();

    for (struct bucket *bucket = set; bucket < set + WAYS; bucket++) {
        if (bucket->caller)
            fill(bucket, rate, now);
        if (bucket->caller == hash)
            return bucket;
        if (place->caller && (!bucket->caller || bucket->tokens > place->tokens))
            place = bucket;
    }
    *place = (struct bucket){ .caller = hash, .tokens = rate * 2, .filled_ns = now };
    return place;
}

bool
rate_take(struct rpc *rpc, const char *caller, struct error **err)
{
    double rate = (double)rpc->agent->config->limits.caller_rate;
    struct bucket *bucket;

    LOOP_ONLY();
    bucket = bucket_of(rpc->rates, caller, rate);
    if (bucket->tokens >= 1) {
        bucket->tokens -= 1;
        return true;
    }
    error_set(err, ERROR_RATE_LIMITED,
              "'%s' changes things more often than %.0f times a second: wait a little", caller,
              rate);
    return error_data_number(err, "retryAfterMs",
                             (int64_t)((1 - bucket->tokens) / rate * 1000) + 1);
}
