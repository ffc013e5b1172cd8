/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository-health.h"
#include "agent/gauge.h"
#include "storage/repository-table.h"
#include "tests/unit/storage-fixture.h"

static struct repository_look
look_with(uint64_t free_percent, int64_t latency_ms)
{
    return (struct repository_look){ .capacity = 1000000,
                                     .free = free_percent * 10000,
                                     .latency_ns = latency_ms * NS_PER_MS };
}

/* Whether that look changed something, and what is warned of then. */
static void
judge(struct repository_warnings *warnings, uint64_t free_percent, int64_t latency_ms, bool changed,
      const char *wanted)
{
    const struct repository_look look = look_with(free_percent, latency_ms);
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    if (repository_judge(warnings, &look) != changed)
        fail_msg("%d %% free, %d ms: %s", (int)free_percent, (int)latency_ms,
                 changed ? "nothing changed" : "something changed");
    repository_warnings_write(warnings, &writer);
    assert_string_equal(writer.text.bytes, wanted);
}

static void
space_is_warned_of_once_and_until_there_is_clearly_more(void **state)
{
    struct repository_warnings warnings = { 0 };

    (void)state;
    judge(&warnings, 10, 1, false, "[]");
    judge(&warnings, 9, 1, true, "[\"lowSpace\"]");
    judge(&warnings, 11, 1, false, "[\"lowSpace\"]");
    judge(&warnings, 9, 1, false, "[\"lowSpace\"]");
    judge(&warnings, 12, 1, true, "[]");
    judge(&warnings, 11, 1, false, "[]");
    judge(&warnings, 0, 1, true, "[\"almostFull\"]");
    judge(&warnings, 1, 1, false, "[\"almostFull\"]");
    judge(&warnings, 2, 1, true, "[\"lowSpace\"]");
    judge(&warnings, 50, 1, true, "[]");
}

static void
a_size_that_is_not_known_is_no_shortage(void **state)
{
    struct repository_warnings warnings = { 0 };
    const struct repository_look none = { 0 },
                                 huge = { .capacity = UINT64_MAX, .free = UINT64_MAX / 2 };

    (void)state;
    assert_false(repository_judge(&warnings, &none));
    assert_false(repository_judge(&warnings, &huge));
    assert_null(repository_warnings_text(&warnings));
}

static void
three_looks_in_a_row_make_it_slow_and_three_quick_again(void **state)
{
    struct repository_warnings warnings = { 0 };

    (void)state;
    judge(&warnings, 50, 1001, false, "[]");
    judge(&warnings, 50, 1001, false, "[]");
    judge(&warnings, 50, 1000, false, "[]"); /* from the beginning */
    judge(&warnings, 50, 1001, false, "[]");
    judge(&warnings, 50, 5000, false, "[]");
    judge(&warnings, 50, 1001, true, "[\"slow\"]");
    judge(&warnings, 9, 1001, true, "[\"lowSpace\",\"slow\"]");
    judge(&warnings, 9, 10, false, "[\"lowSpace\",\"slow\"]");
    judge(&warnings, 9, 2000, false, "[\"lowSpace\",\"slow\"]");
    judge(&warnings, 9, 10, false, "[\"lowSpace\",\"slow\"]");
    judge(&warnings, 9, 10, false, "[\"lowSpace\",\"slow\"]");
    judge(&warnings, 9, 10, true, "[\"lowSpace\"]");
}

static const struct event *
newest_event(void)
{
    return ring_get(fixture.ring, ring_newest(fixture.ring));
}

static void
a_warning_is_told_by_an_event_and_shown_in_the_status(void **state)
{
    struct repository *fast = repository_table_get(storage, "fast");
    struct repository_look before = fast->look, low = look_with(5, 1), plenty = look_with(50, 1);
    uint64_t count = ring_newest(fixture.ring);

    (void)state;
    repository_change_look(fast, &plenty);
    count = ring_newest(fixture.ring);
    repository_change_look(fast, &low);
    assert_int_equal(ring_newest(fixture.ring), count + 1);
    assert_string_equal(newest_event()->topic, "repository.health");
    repository_change_look(fast, &low); /* no news */
    assert_int_equal(ring_newest(fixture.ring), count + 1);
    assert_answer_has("repository.list", "{}",
                      "\"health\":\"ok\",\"reason\":\"little of its space is free\","
                      "\"warnings\":[\"lowSpace\"]");
    repository_change_health(fast, "unavailable", "its disk is away");
    assert_answer_has("repository.list", "{}", "\"reason\":\"its disk is away\",\"warnings\":[]");
    count = ring_newest(fixture.ring);
    repository_change_look(fast, &plenty); /* both at once are one event */
    assert_int_equal(ring_newest(fixture.ring), count + 1);
    assert_answer_has("repository.list", "{}", "\"health\":\"ok\",\"reason\":null,\"warnings\":[]");
    fast->look = before;
}

static void
figures_of_every_repository_are_told_to_prometheus(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    struct repository *fast = repository_table_get(storage, "fast");
    struct repository_look before = fast->look, look = look_with(50, 250);

    (void)state;
    fast->look = look;
    repository_change_health(repository_table_get(storage, "slow"), "unavailable", "away");
    gauges_write(&fixture, &text);
    fast->look = before;
    repository_change_health(repository_table_get(storage, "slow"), "ok", NULL);
    for (
        const char *const *line =
            (const char *const[]){
                "# TYPE hostler_repository_up gauge\n",
                "\nhostler_repository_up{repository=\"fast\",kind=\"dir\"} 1\n",
                "\nhostler_repository_up{repository=\"slow\",kind=\"dir\"} 0\n",
                "\nhostler_repository_capacity_bytes{repository=\"fast\",kind=\"dir\"} 1000000\n",
                "\nhostler_repository_free_bytes{repository=\"fast\",kind=\"dir\"} 500000\n",
                "\nhostler_repository_read_latency_seconds{repository=\"fast\",kind=\"dir\"} 0.25\n",
                NULL };
        *line; line++)
        if (!strstr(text.bytes, *line))
            fail_msg("'%s' is not in %s", *line, text.bytes);
}

static void
space_and_latency_of_every_repository_are_told_to_host_stats(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;
    struct repository *fast = repository_table_get(storage, "fast");
    struct repository_look before = fast->look, look = look_with(50, 250);

    (void)state;
    fast->look = look;
    writer_object(&writer);
    facts_write(&fixture, FACTS_STATS, &writer);
    writer_end_object(&writer);
    fast->look = before;
    if (!strstr(writer.text.bytes,
                "{\"repositories\":[{\"repository\":\"fast\",\"kind\":\"dir\",\"health\":\"ok\","
                "\"capacity\":1000000,\"free\":500000,"))
        fail_msg("no 'fast' in %s", writer.text.bytes);
    if (!strstr(writer.text.bytes, "\"readLatencyMs\":250}"))
        fail_msg("no latency in %s", writer.text.bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(space_is_warned_of_once_and_until_there_is_clearly_more),
        cmocka_unit_test(a_size_that_is_not_known_is_no_shortage),
        cmocka_unit_test(three_looks_in_a_row_make_it_slow_and_three_quick_again),
        cmocka_unit_test(a_warning_is_told_by_an_event_and_shown_in_the_status),
        cmocka_unit_test(figures_of_every_repository_are_told_to_prometheus),
        cmocka_unit_test(space_and_latency_of_every_repository_are_told_to_host_stats),
    };

    return cmocka_run_group_tests(tests, open_storage, close_storage);
}
