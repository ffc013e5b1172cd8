/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/rate.h"

#include <stdio.h>
#include <string.h>

#include "agent/config.h"
#include "rpc/rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static struct config config;
static struct agent agent;
static struct rpc rpc;

static int
begin(void **state)
{
    (void)state;
    agent.config = &config;
    rpc.agent = &agent;
    rates_open(&rpc);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    free(rpc.rates);
    return 0;
}

static bool
may(const char *caller)
{
    _cleanup_(error_freep) struct error *error = NULL;

    return rate_take(&rpc, caller, &error);
}

static void
burst_is_twice_the_rate(void **state)
{
    unsigned count = 0;

    (void)state;
    config.limits.caller_rate = 1000;
    while (may("uid:0"))
        count++;
    assert_true(count >= 2000); /* and those that came in while it was emptied */
}

static void
each_caller_has_its_own_bucket(void **state)
{
    (void)state;
    config.limits.caller_rate = 1;
    while (may("uid:0"))
        ;
    assert_true(may("uid:1"));
}

static void
refusal_says_when_to_try_again(void **state)
{
    struct error *error = NULL;
    int milliseconds = 0;

    (void)state;
    config.limits.caller_rate = 1;
    while (rate_take(&rpc, "uid:0", &error))
        ;
    assert_int_equal(error->code, ERROR_RATE_LIMITED);
    assert_int_equal(sscanf(error->data, "\"retryAfterMs\":%d", &milliseconds), 1);
    assert_in_range(milliseconds, 1, 1001);
    error_free(error);
}

static void
time_fills_the_bucket_again(void **state)
{
    (void)state;
    config.limits.caller_rate = 1000;
    while (may("uid:0"))
        ;
    while (!may("uid:0")) /* a millisecond at most */
        ;
}

static void
crowd_does_not_give_a_refused_caller_a_fresh_bucket(void **state)
{
    (void)state;
    config.limits.caller_rate = 1;
    while (may("uid:0"))
        ;
    for (int i = 0; i < 4096; i++) {
        char caller[32];

        (void)snprintf(caller, sizeof(caller), "cert:%d", i);
        assert_true(may(caller));
    }
    /* Should all that have taken a second, there is one token: a fresh bucket would have two. */
    assert_false(may("uid:0") && may("uid:0"));
}

int
main(void)
{
#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)
    const struct CMUnitTest tests[] = {
        CLAIM(burst_is_twice_the_rate),
        CLAIM(each_caller_has_its_own_bucket),
        CLAIM(refusal_says_when_to_try_again),
        CLAIM(time_fills_the_bucket_again),
        CLAIM(crowd_does_not_give_a_refused_caller_a_fresh_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
