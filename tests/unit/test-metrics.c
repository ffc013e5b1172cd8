/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/metrics.h"

#include <stdio.h>

#include "agent/base/clock.h"
#include "agent/task.h"
#include "events/ring.h"
#include "rpc/rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

size_t
task_count_active(const struct agent *agent)
{
    (void)agent;
    return 3;
}

size_t
task_count_remembered(const struct agent *agent)
{
    (void)agent;
    return 100000;
}

uint64_t
task_count_started(const struct agent *agent)
{
    (void)agent;
    return 9007199254740;
}

/* What the text says of 'name'; it must stand there once. */
static double
value_of(const struct text *text, const char *name)
{
    _cleanup_free_ char *line = xprintf("\n%s ", name);
    const char *at = strstr(text->bytes, line);

    assert_non_null(at);
    assert_null(strstr(at + 1, line));
    return strtod(at + strlen(line), NULL);
}

static void
write_metrics(struct text *text)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new("i", 4, 1 << 20);
    struct agent agent = { .ring = ring, .started_ns = 1700000000 * NS_PER_S };
    struct rpc rpc = { .agent = &agent,
                       .connection_count = 2,
                       .last_number = 17,
                       .request_count = 12345678,
                       .error_count = 5,
                       .event_count = 42 };

    for (int i = 0; i < 6; i++)
        (void)ring_publish(ring, "task.started", "t", "{}", 2);
    metrics_write(&rpc, text);
    assert_int_equal(value_of(text, "hostler_event_ring_bytes"), ring_size(ring));
}

static void
figures_are_the_agents(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    write_metrics(&text);
    assert_true(value_of(&text, "hostler_tasks_active") == 3);
    assert_true(value_of(&text, "hostler_tasks_remembered") == 100000);
    assert_true(value_of(&text, "hostler_tasks_started_total") == 9007199254740);
    assert_true(value_of(&text, "hostler_connections") == 2);
    assert_true(value_of(&text, "hostler_connections_total") == 17);
    assert_true(value_of(&text, "hostler_requests_total") == 12345678);
    assert_true(value_of(&text, "hostler_errors_total") == 5);
    assert_true(value_of(&text, "hostler_events_total") == 6); /* published, not remembered */
    assert_true(value_of(&text, "hostler_events_delivered_total") == 42);
    assert_true(value_of(&text, "process_start_time_seconds") == 1700000000);
    assert_true(value_of(&text, "process_resident_memory_bytes") > 100000);
    assert_true(value_of(&text, "process_cpu_seconds_total") >= 0);
}

/* Prometheus' own rules: HELP, TYPE, value of each, and counters are called _total. */
static void
text_is_what_prometheus_reads(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    char name[64], other[64], type[16], rest[128];
    unsigned count = 0;

    (void)state;
    write_metrics(&text);
    for (char *at = text.bytes, *line; (line = strsep(&at, "\n")) && *line; count++) {
        bool counter;

        assert_int_equal(sscanf(line, "# HELP %63s %127[^\n]", name, rest), 2);
        line = strsep(&at, "\n");
        assert_int_equal(sscanf(line, "# TYPE %63s %15s", other, type), 2);
        assert_string_equal(name, other);
        counter = strcmp(type, "counter") == 0;
        assert_true(counter || strcmp(type, "gauge") == 0);
        assert_int_equal(counter, strstr(name, "_total") != NULL);
        line = strsep(&at, "\n");
        assert_int_equal(sscanf(line, "%63s %127s", other, rest), 2);
        assert_string_equal(name, other);
    }
    assert_int_equal(count, 13);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_the_agents),
        cmocka_unit_test(text_is_what_prometheus_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
