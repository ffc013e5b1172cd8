/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/sampling.h"

#include <sched.h>

#include "agent/facts.h"
#include "agent/verb.h"
#include "tests/unit/agent-fixture.h"

/* A sampling whose samples are numbers: 1, 2, ... */
struct source {
    struct sampling sampling;
    struct lane lane;
    atomic_uint taken; /* by the worker */
    atomic_bool hold;  /* the first take does not come back */
    atomic_bool holding;
    atomic_bool fail; /* the next take */
    atomic_uint base; /* the number of the sample that the last was relative to; 0: none */
};

static struct source source;

static void *
take_number(void *context, void *prepared, const void *before, int64_t interval_ns,
            struct error **err)
{
    unsigned *number;

    (void)context;
    (void)prepared;
    assert_int_equal(!before, interval_ns == 0);
    source.base = before ? *(const unsigned *)before : 0;
    if (source.fail) {
        error_set(err, ERROR_BACKEND_UNAVAILABLE, "nobody there");
        return NULL;
    }
    if (source.hold && !atomic_exchange(&source.holding, true))
        while (source.hold)
            sched_yield();
    number = xalloc(sizeof(*number));
    *number = ++source.taken;
    return number;
}

struct number_args {
    bool fresh;
};

static enum outcome
write_number(struct call *call, const struct sample *now)
{
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_unsigned(writer, "number", *(const unsigned *)now->data);
    writer_member_bool(writer, "rates", now->interval_ns > 0);
    sampling_write(now, writer);
    writer_end_object(writer);
    return call_complete(call, NULL);
}

static enum outcome
answer_number(struct call *call)
{
    const struct number_args *args = call->args;

    return sampling_answer(call, &source.sampling, call->state, args->fresh, write_number);
}

static const struct verb number_verb = {
    .name = "number.tell",
    .role = ROLE_VIEWER,
    .kind = VERB_READS,
    .args_size = sizeof(struct number_args),
    .result = &empty_shape,
    .steps = STEPS({ "answer", answer_number, .pool = POOL_LOOP }),
    .state_size = sizeof(struct sampling_wish),
};

static int
begin(void **state)
{
    fixture_begin(state);
    source = (struct source){ .lane = { .name = "numbers", .limit = 2 } };
    source.sampling = (struct sampling){ .name = "numbers",
                                         .lane = &source.lane,
                                         .pool = POOL_REPOSITORY,
                                         .take = take_number,
                                         .free = free };
    sampling_register(&fixture, &source.sampling);
    return 0;
}

static char *
ask(bool fresh)
{
    struct number_args *args = xalloc(sizeof(*args));
    struct answered answered = { 0 };
    char *result;

    args->fresh = fresh;
    fixture_start(&number_verb, NULL, args, false, &answered);
    fixture_wait(&answered);
    result =
        answered.result ? TAKE(answered.result) : xstrdup(error_code_name(answered.error->code));
    answered_done(&answered);
    return result;
}

#define ASSERT_ASKED(fresh, wanted)                                                                \
    do {                                                                                           \
        _cleanup_free_ char *answer_ = ask(fresh);                                                 \
        if (strncmp(answer_, wanted, strlen(wanted)) != 0)                                         \
            fail_msg("%s is not %s", answer_, wanted);                                             \
    } while (0)

/* As if the samples that there are had been taken so long ago. */
static void
age_ms(int64_t ms)
{
    struct sample *samples[] = { source.sampling.marks[0], source.sampling.marks[1],
                                 source.sampling.extra };

    for (size_t i = 0; i < ARRAY_COUNT(samples); i++)
        if (samples[i])
            samples[i]->monotonic_ns -= ms * NS_PER_MS;
    source.sampling.begun_ns -= ms * NS_PER_MS;
    source.sampling.ended_ns -= ms * NS_PER_MS;
}

static void
many_who_ask_cost_one_sample(void **state)
{
    struct answered answered[50] = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(answered); i++)
        fixture_start(&number_verb, NULL, xalloc(sizeof(struct number_args)), false, &answered[i]);
    for (size_t i = 0; i < ARRAY_COUNT(answered); i++) {
        fixture_wait(&answered[i]);
        assert_non_null(strstr(answered[i].result, "{\"number\":1,\"rates\":false,"));
        answered_done(&answered[i]);
    }
    ASSERT_ASKED(false, "{\"number\":1,\"rates\":false,");
    assert_int_equal(source.taken, 1);
}

static void
who_wants_a_fresh_one_gets_it_and_rates_are_of_samples_that_are_apart(void **state)
{
    (void)state;
    ASSERT_ASKED(true, "{\"number\":1,\"rates\":false,");
    ASSERT_ASKED(true, "{\"number\":2,\"rates\":false,"); /* too near to the first */
    assert_int_equal(source.base, 0);
    age_ms(SAMPLING_APART_MS);
    ASSERT_ASKED(true, "{\"number\":3,\"rates\":true,");
    assert_int_equal(source.base, 1);
    ASSERT_ASKED(true, "{\"number\":4,\"rates\":true,");
    assert_int_equal(source.base, 1); /* 3 is too near */
    age_ms(SAMPLING_APART_MS);
    ASSERT_ASKED(true, "{\"number\":5,\"rates\":true,");
    assert_int_equal(source.base, 3);
}

static void
after_a_rest_it_is_taken_anew_and_compared_with_the_last(void **state)
{
    (void)state;
    ASSERT_ASKED(false, "{\"number\":1,\"rates\":false,");
    source.sampling.asked_ns -= 2 * SAMPLING_LEASE_MS * NS_PER_MS;
    age_ms(2 * (int64_t)SAMPLING_LEASE_MS);
    ASSERT_ASKED(false, "{\"number\":2,\"rates\":true,");
    assert_int_equal(source.base, 1);
}

/* The loop's clock cannot be moved, so the sample is made older, and then the timer is due. */
static void
the_timer_takes_samples_while_somebody_asks(void **state)
{
    int64_t deadline = clock_monotonic_ns() + 60 * NS_PER_S;

    (void)state;
    ASSERT_ASKED(false, "{\"number\":1,\"rates\":false,");
    age_ms(SAMPLING_INTERVAL_MS);
    ASSERT_ASKED(false,
                 "{\"number\":1,\"rates\":false,"); /* still young; and arms the timer anew */
    while (source.taken < 2) {
        assert_true(clock_monotonic_ns() < deadline);
        loop_turn(fixture.loop, true);
    }
    assert_int_equal(source.base, 1);
}

static void
an_error_is_told_and_the_next_who_asks_tries_again(void **state)
{
    (void)state;
    ASSERT_ASKED(false, "{\"number\":1,");
    source.fail = true;
    ASSERT_ASKED(true, "BackendUnavailable");
    ASSERT_ASKED(false, "BackendUnavailable");
    source.fail = false;
    ASSERT_ASKED(false, "{\"number\":2,");
}

/* The first take does not come back until the test lets it. */
static void
one_that_is_stuck_does_not_hold_up_the_next(void **state)
{
    struct answered first = { 0 };

    (void)state;
    source.sampling.at_once = 2;
    source.hold = true;
    fixture_start(&number_verb, NULL, xalloc(sizeof(struct number_args)), false, &first);
    while (!source.holding)
        loop_turn(fixture.loop, false);
    source.sampling.begun_ns -= SAMPLING_STUCK_MS * NS_PER_MS;
    ASSERT_ASKED(false, "{\"number\":1,\"rates\":false,"); /* arms the timer, which is due */
    fixture_wait(&first);
    assert_non_null(strstr(first.result, "{\"number\":1,"));
    answered_done(&first);
    assert_int_equal(source.sampling.under_way, 1);
    source.hold = false;
    while (source.sampling.under_way > 0)
        loop_turn(fixture.loop, true);
    ASSERT_ASKED(false, "{\"number\":1,"); /* what was stuck is older, and dropped */
}

static void
while_all_are_stuck_the_last_sample_is_told_at_once(void **state)
{
    (void)state;
    ASSERT_ASKED(false, "{\"number\":1,");
    age_ms(10 * (int64_t)SAMPLING_INTERVAL_MS);
    source.hold = true;
    ASSERT_ASKED(false, "{\"number\":1,"); /* young enough while the next is under way */
    while (!source.holding)
        loop_turn(fixture.loop, true);
    age_ms(SAMPLING_PATIENCE_MS);
    ASSERT_ASKED(false, "{\"number\":1,");
    ASSERT_ASKED(true, "Timeout");
    source.hold = false;
    while (source.sampling.under_way > 0)
        loop_turn(fixture.loop, true);
    ASSERT_ASKED(false, "{\"number\":3,"); /* the third is the one that was wanted fresh */
}

static void
write_text(void *context, struct writer *writer)
{
    writer_string(writer, context);
}

static void
facts_are_members_of_the_answer_that_they_are_of(void **state)
{
    static char one[] = "one", two[] = "two", other[] = "other";
    struct facts facts[] = {
        { .of = FACTS_STATS, .name = "a", .write = write_text, .context = one },
        { .of = FACTS_CAPABILITIES, .name = "x", .write = write_text, .context = other },
        { .of = FACTS_STATS, .name = "b", .write = write_text, .context = two },
    };
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(facts); i++)
        facts_register(&fixture, &facts[i]);
    writer_object(&writer);
    facts_write(&fixture, FACTS_STATS, &writer);
    writer_end_object(&writer);
    assert_string_equal(writer.text.bytes, "{\"a\":\"one\",\"b\":\"two\"}");
}

#define SAMPLING_TEST(test) cmocka_unit_test_setup_teardown(test, begin, fixture_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SAMPLING_TEST(many_who_ask_cost_one_sample),
        SAMPLING_TEST(who_wants_a_fresh_one_gets_it_and_rates_are_of_samples_that_are_apart),
        SAMPLING_TEST(after_a_rest_it_is_taken_anew_and_compared_with_the_last),
        SAMPLING_TEST(the_timer_takes_samples_while_somebody_asks),
        SAMPLING_TEST(an_error_is_told_and_the_next_who_asks_tries_again),
        SAMPLING_TEST(one_that_is_stuck_does_not_hold_up_the_next),
        SAMPLING_TEST(while_all_are_stuck_the_last_sample_is_told_at_once),
        SAMPLING_TEST(facts_are_members_of_the_answer_that_they_are_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
