/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <malloc.h>

#include "tests/unit/agent-fixture.h"

static const struct verb verb = {
    .name = "test.change",
    .steps = STEPS({ "one", NULL, .pool = POOL_LOOP }, { "two", NULL, .pool = POOL_LOOP }),
};

static struct step_report reports[2];
static char result[161];

/* A view as a task's end makes it: an id, two lines of report, a result of 160 bytes. */
static struct task_view
view_of(const char *id, uint64_t sequence, int64_t ended_ns)
{
    memset(result, 'x', 160);
    reports[0] = (struct step_report){ .outcome = REPORT_COMPLETE, .attempts = 1, .elapsed_ms = 3 };
    reports[1] = (struct step_report){
        .outcome = REPORT_RETRYING, .attempts = 4, .message = "again", .message_size = 5
    };
    return (struct task_view){ .key = { .text = id, .length = strlen(id) },
                               .verb = &verb,
                               .status = TASK_DONE,
                               .caller = "uid:0",
                               .object_kind = "image",
                               .object_repository = "fast",
                               .object_id = "web1",
                               .created_ns = ended_ns - 5 * NS_PER_MS,
                               .started_ns = ended_ns - 4 * NS_PER_MS,
                               .ended_ns = ended_ns,
                               .sequence = sequence,
                               .responded = true,
                               .reports = reports,
                               .report_count = 1,
                               .result = result,
                               .result_size = 160 };
}

static void
a_task_is_remembered_whole(void **state)
{
    _cleanup_(history_freep) struct history *history = history_new(60, 10);
    struct error error = { .code = ERROR_NO_SPACE,
                           .message = (char *)(uintptr_t) "full",
                           .data = (char *)(uintptr_t) "\"needed\":1" };
    struct task_view view = view_of("t1", 7, 1000 * NS_PER_S), found;

    (void)state;
    view.report_count = 2;
    view.error = &error;
    view.has_progress = true;
    view.progress_done = 3;
    view.progress_total = UINT64_MAX;
    view.progress_unit = "bytes";
    history_add(history, &view);
    assert_true(history_find(history, &view.key, &found));
    assert_memory_equal(found.key.text, "t1", 2);
    assert_ptr_equal(found.verb, &verb);
    assert_string_equal(found.caller, "uid:0");
    assert_string_equal(found.object_kind, "image");
    assert_string_equal(found.object_repository, "fast");
    assert_string_equal(found.object_id, "web1");
    assert_int_equal(found.sequence, 7);
    assert_int_equal(found.ended_ns, view.ended_ns);
    assert_int_equal(found.created_ns, view.created_ns);
    assert_int_equal(found.started_ns, view.started_ns);
    assert_int_equal(found.result_size, 160);
    assert_int_equal(found.error->code, ERROR_NO_SPACE);
    assert_string_equal(found.error->message, "full");
    assert_string_equal(found.error->data, "\"needed\":1");
    assert_int_equal(found.progress_total, UINT64_MAX);
    assert_string_equal(found.progress_unit, "bytes");
    assert_int_equal(found.report_count, 2);
    assert_int_equal(found.reports[0].outcome, REPORT_COMPLETE);
    assert_int_equal(found.reports[0].elapsed_ms, 3);
    assert_int_equal(found.reports[1].attempts, 4);
    assert_memory_equal(found.reports[1].message, "again", 5);
}

static void
keys_of_strings_numbers_and_uuids_never_meet(void **state)
{
    _cleanup_(history_freep) struct history *history = history_new(60, 10);
    const char *uuid = "0b5a7cf0-1111-4222-8333-00000000000a";
    struct task_view string = view_of("7", 1, NS_PER_S), number = view_of("7", 2, NS_PER_S),
                     long_id = view_of(uuid, 3, NS_PER_S), found;

    (void)state;
    number.key.connection = 12;
    history_add(history, &string);
    history_add(history, &number);
    history_add(history, &long_id);
    assert_int_equal(history_count(history), 3);
    assert_true(history_find(history, &string.key, &found) && found.sequence == 1);
    assert_true(history_find(history, &number.key, &found) && found.sequence == 2 &&
                found.key.connection == 12);
    assert_true(history_find(history, &long_id.key, &found) && found.sequence == 3);
    assert_memory_equal(found.key.text, uuid, found.key.length);
}

static void
a_task_of_the_same_id_takes_the_place_of_the_older(void **state)
{
    _cleanup_(history_freep) struct history *history = history_new(60, 10);
    struct task_view view = view_of("same", 1, NS_PER_S), found;

    (void)state;
    history_add(history, &view);
    view.sequence = 2;
    history_add(history, &view);
    assert_int_equal(history_count(history), 1);
    assert_true(history_find(history, &view.key, &found) && found.sequence == 2);
    history_forget(history, &view.key);
    assert_false(history_find(history, &view.key, &found));
}

static void
the_oldest_fade_by_count_and_by_age(void **state)
{
    _cleanup_(history_freep) struct history *history = history_new(60, 3);
    struct task_view found;
    char id[8];

    (void)state;
    for (uint64_t i = 0; i < 5; i++) {
        struct task_view view;

        (void)snprintf(id, sizeof(id), "t%u", (unsigned)i);
        view = view_of(id, i, (int64_t)(100 + i) * NS_PER_S);
        history_add(history, &view);
    }
    assert_int_equal(history_count(history), 3);
    assert_false(history_find(history, &(struct task_key){ .text = "t1", .length = 2 }, &found));
    assert_true(history_find(history, &(struct task_key){ .text = "t2", .length = 2 }, &found));
    history_fade(history, 163 * NS_PER_S + 1);
    assert_int_equal(history_count(history), 1);
    history_fade(history, 1000 * NS_PER_S);
    assert_int_equal(history_count(history), 0);
}

static bool
gather(void *context, uint64_t place, const struct task_view *view)
{
    uint64_t **next = context;

    (void)place;
    *(*next)++ = view->sequence;
    return true;
}

static void
the_walk_is_from_the_newest_to_the_oldest_over_chunks(void **state)
{
    _cleanup_(history_freep) struct history *history = history_new(60, 10000);
    uint64_t *seen = xalloc(2000 * sizeof(*seen)), *next = seen;
    char id[16];

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        struct task_view view;

        (void)snprintf(id, sizeof(id), "t%u", (unsigned)i);
        view = view_of(id, i, NS_PER_S);
        history_add(history, &view);
    }
    history_walk(history, 0, gather, &next);
    assert_int_equal(next - seen, 2000);
    for (size_t i = 0; i < 2000; i++)
        assert_int_equal(seen[i], 1999 - i);
    free(seen);
}

/* The target of issue 2: 250 bytes with a result of 160, everything counted. */
static void
an_id_used_again_and_again_takes_no_more_memory_than_others(void **state)
{
    _cleanup_(history_freep) struct history *history = history_new(600, 1000);
    struct task_view first = view_of("first", 1, 1000 * NS_PER_S), found;
    size_t most = 0;

    (void)state;
    history_add(history, &first);
    for (uint64_t n = 2; n < 100000; n++) {
        struct task_view view = view_of("again", n, 1000 * NS_PER_S);

        history_add(history, &view);
        if (history_size(history) > most)
            most = history_size(history);
    }
    assert_int_equal(history_count(history), 1);
    assert_false(history_find(history, &first.key, &found)); /* the price: it was the oldest */
    assert_true(most < 2 * 1000 * 400 + 3 * 65536);
}

static void
results_take_a_bounded_amount_of_memory(void **state)
{
    _cleanup_(history_freep) struct history *history = history_new(600, 100000);
    _cleanup_free_ char *large = xalloc(8 << 20);

    (void)state;
    for (uint64_t n = 1; n < 100; n++) {
        _cleanup_free_ char *id = xprintf("t%u", (unsigned)n);
        struct task_view view = view_of(id, n, 1000 * NS_PER_S), found;

        memset(large, 'x', 8 << 20);
        view.result = large;
        view.result_size = 8 << 20;
        history_add(history, &view);
        assert_true(history_find(history, &view.key, &found)); /* the newest always */
        assert_true(history_size(history) <= (size_t)300 << 20);
    }
    assert_true(history_count(history) >= 30);
}

static void
a_hundred_thousand_cost_at_most_250_bytes_each(void **state)
{
    _cleanup_(history_freep) struct history *history = history_new(600, 100000);
    char id[UUID_TEXT_SIZE];

    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        struct task_view view;

        uuid_make(id);
        view = view_of(id, i, NS_PER_S);
        history_add(history, &view);
    }
    print_message("%zu bytes a remembered task\n", history_size(history) / 100000);
    assert_int_equal(history_count(history), 100000);
    assert_true(history_size(history) / 100000 <= 250);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_is_remembered_whole),
        cmocka_unit_test(keys_of_strings_numbers_and_uuids_never_meet),
        cmocka_unit_test(a_task_of_the_same_id_takes_the_place_of_the_older),
        cmocka_unit_test(the_oldest_fade_by_count_and_by_age),
        cmocka_unit_test(the_walk_is_from_the_newest_to_the_oldest_over_chunks),
        cmocka_unit_test(an_id_used_again_and_again_takes_no_more_memory_than_others),
        cmocka_unit_test(results_take_a_bounded_amount_of_memory),
        cmocka_unit_test(a_hundred_thousand_cost_at_most_250_bytes_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
