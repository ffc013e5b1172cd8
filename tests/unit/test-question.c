/* SPDX-License-Identifier: Apache-2.0 */
/* By questions whose answers the tests give, when they want to. */
#include <config.h>

#include "gluster/question.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "agent/base/thread.h"
#include "agent/verb.h"
#include "gluster/gluster-internal.h"
#include "tests/unit/agent-fixture.h"

struct wish_args {
    char *subject, *volume;
    bool fresh;
};

static struct gluster *gluster;
static sem_t begun, go;            /* a worker has begun to ask; it may go on */
static atomic_uint asked;          /* also of those who had to come again */
static atomic_uint busy_times;     /* so many are Busy first */
static atomic_bool broken;         /* glusterd does not answer */
static atomic_uint changes_so_far; /* told in the answer */

static bool
ask(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    struct gluster_item *item;

    (void)sem_post(&begun);
    while (sem_wait(&go) < 0 && errno == EINTR)
        continue;
    atomic_fetch_add(&asked, 1);
    if (atomic_load(&busy_times) > 0) {
        atomic_fetch_sub(&busy_times, 1);
        return error_set(err, ERROR_BUSY, "another transaction");
    }
    if (atomic_load(&broken))
        return error_set(err, ERROR_BACKEND_UNAVAILABLE, "glusterd does not answer");
    item = gluster_items_add(ret_items);
    item->id = xstrdup("gv0");
    item->volume = xstrdup("gv0");
    item->json = xprintf("{\"subject\":\"%s\",\"changes\":%u}", subject ? subject : "all",
                         atomic_load(&changes_so_far));
    return true;
}

static const struct gluster_question question = { .name = "test", .member = "items", .ask = ask };
static const struct gluster_question each = {
    .name = "each", .member = "items", .of_each_volume = true, .ask = ask
};

static sem_t beside_go; /* what is told beside may go on */
static atomic_uint beside_asked;

static bool
ask_beside(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    struct gluster_item *item;

    (void)err;
    assert_null(subject);
    while (sem_wait(&beside_go) < 0 && errno == EINTR)
        continue;
    item = gluster_items_add(ret_items);
    item->id = xstrdup("beside");
    item->volume = xstrdup("gv0");
    item->json = xprintf("{\"beside\":%u}", atomic_fetch_add(&beside_asked, 1));
    return true;
}

static const struct gluster_question beside = {
    .name = "beside", .member = "items", .ask = ask_beside, .slow = true
};
static const struct gluster_question with_beside = {
    .name = "with beside", .member = "items", .ask = ask, .beside = &beside
};

static enum outcome
answer_question(struct call *call)
{
    const struct wish_args *args = call->args;

    call->context = gluster;
    if (args->subject && strcmp(args->subject, "beside") == 0)
        return gluster_answer(call, &with_beside, NULL, args->volume, args->fresh, call->state);
    return gluster_answer(call, args->volume ? &each : &question, args->subject, args->volume,
                          args->fresh, call->state);
}

static enum outcome
change(struct call *call)
{
    call->context = gluster;
    atomic_fetch_add(&changes_so_far, 1);
    return gluster_forget_step(call);
}

static const struct verb ask_verb = {
    .name = "test.ask",
    .summary = "Ask.",
    .role = ROLE_VIEWER,
    .kind = VERB_READS,
    .args_size = sizeof(struct wish_args),
    .params = PARAMS(PARAM(wish_args, subject, "subject", .type = PARAM_NAME, .about = "It."),
                     PARAM(wish_args, volume, "volume", .type = PARAM_NAME, .about = "It."),
                     GLUSTER_FRESH_PARAM(wish_args)),
    .result = &empty_shape,
    .steps = STEPS({ "answer", answer_question, .pool = POOL_LOOP }),
    .state_size = sizeof(struct gluster_wish),
};

static const struct verb change_verb = {
    .name = "test.change",
    .summary = "Change.",
    .role = ROLE_OPERATOR,
    .kind = VERB_CHANGES,
    .result = &empty_shape,
    .steps = STEPS({ "change", change, .pool = POOL_LOOP }),
};

static int
begin(void **state)
{
    (void)fixture_begin(state);
    gluster = xalloc(sizeof(*gluster));
    gluster->agent = &fixture;
    gluster->questions = (struct lane){ .name = "gluster", .limit = 1 };
    gluster->slow_questions = gluster->questions;
    assert_int_equal(sem_init(&beside_go, 0, 0), 0);
    atomic_store(&beside_asked, 0);
    assert_int_equal(sem_init(&begun, 0, 0), 0);
    assert_int_equal(sem_init(&go, 0, 0), 0);
    atomic_store(&asked, 0);
    atomic_store(&busy_times, 0);
    atomic_store(&broken, false);
    atomic_store(&changes_so_far, 0);
    return 0;
}

static int
end(void **state)
{
    gluster_questions_done(gluster);
    (void)fixture_end(state);
    free(gluster);
    (void)sem_destroy(&begun);
    (void)sem_destroy(&go);
    (void)sem_destroy(&beside_go);
    return 0;
}

static void
wish(const char *subject, const char *volume, bool fresh, struct answered *answered)
{
    struct wish_args *args = xalloc(sizeof(*args));

    args->subject = subject ? xstrdup(subject) : NULL;
    args->volume = volume ? xstrdup(volume) : NULL;
    args->fresh = fresh;
    fixture_start(&ask_verb, NULL, args, false, answered);
}

static void
await_worker(void)
{
    while (sem_wait(&begun) < 0)
        assert_int_equal(errno, EINTR);
}

static void
allow(unsigned count)
{
    while (count-- > 0)
        (void)sem_post(&go);
}

static void
assert_answer(const struct answered *answered, const char *part)
{
    if (answered->error)
        fail_msg("failed: %s", answered->error->message);
    if (!strstr(answered->result, part))
        fail_msg("'%s' is not in %s", part, answered->result);
}

/* Asks alone, and has the answer. */
static void
ask_once(const char *subject, bool fresh, const char *part)
{
    struct answered answered = { 0 };

    allow(1);
    wish(subject, NULL, fresh, &answered);
    fixture_wait(&answered);
    assert_answer(&answered, part);
    answered_done(&answered);
    while (sem_trywait(&begun) == 0)
        continue;
    while (sem_trywait(&go) == 0) /* it was answered from memory */
        continue;
}

static void
change_something(void)
{
    struct answered answered = { 0 };

    fixture_start(&change_verb, NULL, NULL, false, &answered);
    fixture_wait(&answered);
    answered_done(&answered);
}

static void
many_who_wait_share_one_question(void **state)
{
    static struct answered all[500];
    uint64_t questions, answers;

    (void)state;
    memset(all, 0, sizeof(all));
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        wish(NULL, NULL, false, &all[i]);
    await_worker();
    allow(1);
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        fixture_wait(&all[i]);
        assert_answer(&all[i], "{\"items\":[{\"subject\":\"all\",\"changes\":0}],\"asked\":\"");
        answered_done(&all[i]);
    }
    assert_int_equal(atomic_load(&asked), 1);
    gluster_question_counts(gluster, &questions, &answers);
    assert_int_equal(questions, 1);
    assert_int_equal(answers, ARRAY_COUNT(all));
}

/* Polled as fast as can be, and asked once a second. */
static void
a_young_answer_is_given_again_until_it_is_a_second_old(void **state)
{
    int64_t first_ns = clock_monotonic_ns();
    unsigned polls = 0;

    (void)state;
    for (; atomic_load(&asked) < 2; polls++)
        ask_once(NULL, false, "\"ageMs\":");
    assert_true(clock_monotonic_ns() - first_ns >= GLUSTER_ANSWER_AGE_MS * NS_PER_MS);
    assert_true(polls > 10);
}

static void
who_wants_a_fresh_one_waits_for_one_begun_later(void **state)
{
    struct answered early = { 0 }, fresh[2] = { 0 };

    (void)state;
    wish(NULL, NULL, false, &early);
    await_worker();
    wish(NULL, NULL, true, &fresh[0]);
    wish(NULL, NULL, true, &fresh[1]);
    allow(1);
    fixture_wait(&early);
    assert_int_equal(fresh[0].answers + fresh[1].answers, 0);
    atomic_fetch_add(&changes_so_far, 1);
    allow(1);
    for (size_t i = 0; i < 2; i++) {
        fixture_wait(&fresh[i]);
        assert_answer(&fresh[i], "\"changes\":1");
        answered_done(&fresh[i]);
    }
    assert_answer(&early, "\"changes\":0");
    assert_int_equal(atomic_load(&asked), 2);
    answered_done(&early);
}

static void
after_a_change_nothing_older_is_told(void **state)
{
    struct answered early = { 0 }, late = { 0 };

    (void)state;
    ask_once(NULL, false, "\"changes\":0");
    change_something();
    ask_once(NULL, false, "\"changes\":1");
    /* Nor what was asked before it and comes after it. */
    wish(NULL, NULL, true, &early);
    await_worker();
    change_something();
    wish(NULL, NULL, false, &late);
    allow(2);
    fixture_wait(&early);
    fixture_wait(&late);
    assert_answer(&late, "\"changes\":2");
    assert_int_equal(atomic_load(&asked), 4);
    answered_done(&early);
    answered_done(&late);
}

static void
an_error_goes_to_all_who_wait_and_is_forgotten_as_answers_are(void **state)
{
    struct answered all[3] = { 0 };

    (void)state;
    atomic_store(&broken, true);
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        wish(NULL, NULL, false, &all[i]);
    allow(1);
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        fixture_wait(&all[i]);
        assert_non_null(all[i].error);
        assert_int_equal(all[i].error->code, ERROR_BACKEND_UNAVAILABLE);
        answered_done(&all[i]);
    }
    assert_int_equal(atomic_load(&asked), 1);
    atomic_store(&broken, false);
    ask_once(NULL, true, "\"changes\":0");
}

static void
a_busy_glusterd_is_asked_again(void **state)
{
    struct answered answered = { 0 };

    (void)state;
    atomic_store(&busy_times, 2);
    wish(NULL, NULL, false, &answered);
    allow(3);
    fixture_wait(&answered);
    assert_answer(&answered, "\"changes\":0");
    assert_int_equal(atomic_load(&asked), 3);
    answered_done(&answered);
}

static void
a_volume_without_an_item_is_not_there(void **state)
{
    struct answered known = { 0 }, unknown = { 0 };

    (void)state;
    allow(1);
    wish(NULL, "gv0", false, &known);
    fixture_wait(&known);
    assert_answer(&known, "\"changes\":0");
    /* What is known may be older than the volume: it is asked again first. */
    allow(1);
    wish(NULL, "gv1", false, &unknown);
    fixture_wait(&unknown);
    assert_non_null(unknown.error);
    assert_int_equal(unknown.error->code, ERROR_NOT_FOUND);
    assert_non_null(strstr(unknown.error->data, "\"kind\":\"volume\",\"id\":\"gv1\""));
    assert_int_equal(atomic_load(&asked), 2);
    answered_done(&known);
    answered_done(&unknown);
}

/* The answer to a fresh question that something is told beside; the caller's. */
static char *
ask_with_beside(const char *volume)
{
    struct answered answered = { 0 };
    char *result;

    allow(1);
    wish("beside", volume, true, &answered);
    fixture_wait(&answered);
    assert_answer(&answered, "\"items\":[");
    result = xstrdup(answered.result);
    answered_done(&answered);
    return result;
}

static void
what_is_told_beside_holds_nobody_up(void **state)
{
    _cleanup_free_ char *without = ask_with_beside(NULL), *with = NULL, *other = NULL;

    (void)state;
    assert_non_null(strstr(without, "\"changes\":0"));
    assert_null(strstr(without, "beside")); /* it hangs */
    (void)sem_post(&beside_go);
    while (atomic_load(&beside_asked) == 0)
        loop_turn(fixture.loop, true);
    free(ask_with_beside(NULL));
    /* Told as it was last, with its volume, and not asked again so soon. */
    atomic_fetch_add(&changes_so_far, 1);
    with = ask_with_beside("gv0");
    assert_non_null(strstr(with, "\"changes\":1"));
    assert_non_null(strstr(with, "{\"beside\":0}"));
    other = ask_with_beside("gv1");
    assert_non_null(strstr(other, "\"items\":[]"));
    assert_int_equal(atomic_load(&beside_asked), 1);
}

static void
subjects_that_nobody_asks_for_are_dropped(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        _cleanup_free_ char *subject = xprintf("s%u", i);
        _cleanup_free_ char *part = xprintf("\"subject\":\"%s\"", subject);

        ask_once(subject, false, part);
    }
    assert_true(gluster->known_count <= 256);
    for (unsigned i = 0; i < 2; i++) {
        ask_once("s599", false, "\"subject\":\"s599\"");
        assert_int_equal(atomic_load(&asked), 600);
    }
    ask_once("s0", false, "\"subject\":\"s0\"");
    assert_int_equal(atomic_load(&asked), 601);
}

/* ---- watchers ---- */

static unsigned answers_seen, failures_seen, differences_seen, questions_to_ask;

static void
see_answer(void *context, const struct gluster_question *asked_question, const char *subject,
           const struct gluster_items *before, const struct gluster_items *now)
{
    (void)context;
    (void)subject;
    assert_ptr_equal(asked_question, &question);
    answers_seen++;
    if (!before || strcmp(before->all[0].json, now->all[0].json) != 0)
        differences_seen++;
    for (; questions_to_ask > 0; questions_to_ask--)
        gluster_ask(gluster, &question, NULL);
}

static void
see_failure(void *context, const struct gluster_question *asked_question, const struct error *error)
{
    (void)context;
    (void)asked_question;
    assert_int_equal(error->code, ERROR_BACKEND_UNAVAILABLE);
    failures_seen++;
}

static void
watchers_see_each_answer_beside_the_one_before(void **state)
{
    struct gluster_watcher watcher = { .answered = see_answer, .failed = see_failure };
    struct answered failed = { 0 };

    (void)state;
    answers_seen = failures_seen = differences_seen = questions_to_ask = 0;
    gluster_watch(gluster, &watcher);
    ask_once(NULL, true, "\"changes\":0");
    ask_once(NULL, true, "\"changes\":0");
    assert_int_equal(answers_seen, 2);
    assert_int_equal(differences_seen, 1);
    atomic_store(&broken, true);
    allow(1);
    wish(NULL, NULL, true, &failed);
    fixture_wait(&failed);
    answered_done(&failed);
    assert_int_equal(failures_seen, 1);
    /* An error leaves what was known to compare with. */
    atomic_store(&broken, false);
    ask_once(NULL, true, "\"changes\":0");
    assert_int_equal(differences_seen, 1);
    atomic_fetch_add(&changes_so_far, 1);
    ask_once(NULL, true, "\"changes\":1");
    assert_int_equal(differences_seen, 2);
}

static void
a_watcher_may_ask_and_so_may_others_meanwhile(void **state)
{
    struct gluster_watcher watcher = { .answered = see_answer, .failed = see_failure };
    struct answered first = { 0 }, fresh = { 0 };

    (void)state;
    answers_seen = failures_seen = 0;
    questions_to_ask = 2;
    gluster_watch(gluster, &watcher);
    wish(NULL, NULL, false, &first);
    await_worker();
    wish(NULL, NULL, true, &fresh);
    allow(3);
    fixture_wait(&first);
    fixture_wait(&fresh);
    while (answers_seen < 3)
        loop_turn(fixture.loop, true);
    assert_int_equal(atomic_load(&asked), 3);
    answered_done(&first);
    answered_done(&fresh);
}

int
main(void)
{
#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)
    static const struct CMUnitTest tests[] = {
        CLAIM(many_who_wait_share_one_question),
        CLAIM(a_young_answer_is_given_again_until_it_is_a_second_old),
        CLAIM(who_wants_a_fresh_one_waits_for_one_begun_later),
        CLAIM(after_a_change_nothing_older_is_told),
        CLAIM(an_error_goes_to_all_who_wait_and_is_forgotten_as_answers_are),
        CLAIM(a_busy_glusterd_is_asked_again),
        CLAIM(a_volume_without_an_item_is_not_there),
        CLAIM(what_is_told_beside_holds_nobody_up),
        CLAIM(subjects_that_nobody_asks_for_are_dropped),
        CLAIM(watchers_see_each_answer_beside_the_one_before),
        CLAIM(a_watcher_may_ask_and_so_may_others_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
