/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "events/ring.h"

#include <jansson.h>

#include "events/topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define INSTANCE "11111111-2222-4333-8444-555555555555"
#define AMPLE (1024 * 1024)

static uint64_t
publish(struct ring *ring, const char *topic, const char *subject, const char *data)
{
    return ring_publish(ring, topic, subject, data, strlen(data));
}

static void
numbers_are_contiguous_from_one(void **state)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new(INSTANCE, 8, AMPLE);

    (void)state;
    assert_int_equal(ring_newest(ring), 0);
    assert_int_equal(ring_oldest(ring), 1);
    assert_null(ring_get(ring, 1));
    for (uint64_t seq = 1; seq <= 20; seq++)
        assert_int_equal(publish(ring, "task.started", "a", "{}"), seq);
    assert_int_equal(ring_newest(ring), 20);
}

static void
an_event_is_a_whole_frame_of_valid_json(void **state)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new(INSTANCE, 8, AMPLE);
    const struct event *event;
    unsigned char header[10];
    json_t *message, *params;

    (void)state;
    (void)publish(ring, "image.changed", "fast/\"web\\1\"", "{\"size\":4096}");
    event = ring_get(ring, 1);
    assert_int_equal(event->frame_size, event->json_size + frame_header(header, event->json_size));
    assert_memory_equal(event->frame, header, event->frame_size - event->json_size);
    assert_ptr_equal(event->frame + event->frame_size, event->json + event->json_size);
    message = json_loadb(event->json, event->json_size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(message);
    assert_string_equal(json_string_value(json_object_get(message, "jsonrpc")), "2.0");
    assert_string_equal(json_string_value(json_object_get(message, "method")), "event");
    params = json_object_get(message, "params");
    assert_string_equal(json_string_value(json_object_get(params, "instance")), INSTANCE);
    assert_int_equal(json_integer_value(json_object_get(params, "seq")), 1);
    assert_int_equal(strlen(json_string_value(json_object_get(params, "time"))), 24);
    assert_string_equal(json_string_value(json_object_get(params, "topic")), "image.changed");
    assert_string_equal(json_string_value(json_object_get(params, "subject")), "fast/\"web\\1\"");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(params, "data"), "size")),
                     4096);
    json_decref(message);
    message = json_loadb(event->params, event->params_size, 0, NULL);
    assert_int_equal(json_object_size(message), 6);
    json_decref(message);
}

static void
an_event_knows_its_parts(void **state)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new(INSTANCE, 8, AMPLE);
    static const char *const subjects[] = { "plain", "a \"data\": b", "\\", "", NULL };
    static const char data[] = "{\"a\":[1,\"}}\"]}";

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(subjects); i++) {
        const struct event *event = ring_get(ring, publish(ring, "task.ended", subjects[i], data));

        assert_string_equal(event->topic, "task.ended");
        assert_int_equal(event->topic_index, topic_index("task.ended"));
        assert_string_equal(event->subject, subjects[i] ? subjects[i] : "");
        assert_int_equal(event->data_size, strlen(data));
        assert_memory_equal(event->data, data, strlen(data));
    }
}

static void
the_count_bounds_the_ring(void **state)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new(INSTANCE, 4, AMPLE);

    (void)state;
    for (unsigned i = 0; i < 11; i++)
        (void)publish(ring, "task.started", "a", "{}");
    assert_int_equal(ring_oldest(ring), 8);
    assert_null(ring_get(ring, 7));
    for (uint64_t seq = 8; seq <= 11; seq++)
        assert_int_equal(ring_get(ring, seq)->seq, seq);
    assert_null(ring_get(ring, 12));
}

static void
the_bytes_bound_the_ring(void **state)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new(INSTANCE, 1000, 4096);

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        (void)publish(ring, "task.started", "a", "{\"some\":\"text\"}");
        assert_true(ring_size(ring) <= 4096);
    }
    assert_true(ring_oldest(ring) > 80);
    assert_int_equal(ring_get(ring, ring_oldest(ring))->seq, ring_oldest(ring));
}

static char *
long_text(size_t size)
{
    char *text = xalloc(size + 1);

    memset(text, 'x', size);
    text[0] = text[size - 1] = '"';
    return text;
}

static void
one_event_larger_than_the_bound_is_held_alone(void **state)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new(INSTANCE, 1000, 4096);
    _cleanup_free_ char *text = long_text(8000);

    (void)state;
    (void)publish(ring, "task.started", "a", "{}");
    (void)publish(ring, "task.ended", "a", text);
    assert_int_equal(ring_oldest(ring), 2);
    assert_int_equal(ring_get(ring, 2)->data_size, 8000);
    (void)publish(ring, "task.started", "a", "{}");
    assert_int_equal(ring_oldest(ring), 3);
}

static void
data_too_large_for_a_frame_is_told_as_null(void **state)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new(INSTANCE, 1000, 8 * AMPLE);
    _cleanup_free_ char *text = long_text(EVENT_FRAME_MAX);
    const struct event *event = ring_get(ring, publish(ring, "task.ended", "a", text));

    (void)state;
    assert_int_equal(event->data_size, 4);
    assert_memory_equal(event->data, "null", 4);
}

static void
frame_headers_are_as_the_protocol_has_them(void **state)
{
    unsigned char header[10];

    (void)state;
    assert_int_equal(frame_header(header, 0), 2);
    assert_memory_equal(header, "\x81\x00", 2);
    assert_int_equal(frame_header(header, 125), 2);
    assert_memory_equal(header, "\x81\x7d", 2);
    assert_int_equal(frame_header(header, 126), 4);
    assert_memory_equal(header, "\x81\x7e\x00\x7e", 4);
    assert_int_equal(frame_header(header, 65535), 4);
    assert_memory_equal(header, "\x81\x7e\xff\xff", 4);
    assert_int_equal(frame_header(header, 65536), 10);
    assert_memory_equal(header, "\x81\x7f\0\0\0\0\0\x01\0\0", 10);
}

static void
count_up(void *context)
{
    ++*(unsigned *)context;
}

static void
the_watcher_is_called_after_each_event(void **state)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new(INSTANCE, 8, AMPLE);
    unsigned count = 0;

    (void)state;
    (void)publish(ring, "task.started", "a", "{}");
    ring_watch(ring, count_up, &count);
    (void)publish(ring, "task.started", "a", "{}");
    (void)publish(ring, "task.ended", "a", "{}");
    assert_int_equal(count, 2);
    ring_watch(ring, NULL, NULL);
    (void)publish(ring, "task.ended", "a", "{}");
    assert_int_equal(count, 2);
}

static void
count_change(void *context)
{
    ++*(unsigned *)context;
}

static void
what_somebody_wants_is_known_until_the_last_has_gone(void **state)
{
    _cleanup_(ring_freep) struct ring *ring = ring_new(INSTANCE, 8, AMPLE);
    uint64_t images = topic_mask("image.*"), changes = topic_mask("image.changed");
    unsigned changed = 0;
    struct ring_wish_watcher watcher = { .changed = count_change, .context = &changed };

    (void)state;
    ring_watch_wishes(ring, &watcher);
    ring_want(ring, images, 1);
    ring_want(ring, changes, 1);
    assert_true(ring_wanted(ring) == images);
    assert_int_equal(changed, 1);
    ring_want(ring, images, -1);
    assert_true(ring_wanted(ring) == changes);
    ring_want(ring, UINT64_MAX, 1);
    assert_true(ring_wanted(ring) == UINT64_MAX);
    ring_want(ring, UINT64_MAX, -1);
    ring_want(ring, changes, -1);
    assert_true(ring_wanted(ring) == 0);
    assert_int_equal(changed, 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_contiguous_from_one),
        cmocka_unit_test(an_event_is_a_whole_frame_of_valid_json),
        cmocka_unit_test(an_event_knows_its_parts),
        cmocka_unit_test(the_count_bounds_the_ring),
        cmocka_unit_test(the_bytes_bound_the_ring),
        cmocka_unit_test(one_event_larger_than_the_bound_is_held_alone),
        cmocka_unit_test(data_too_large_for_a_frame_is_told_as_null),
        cmocka_unit_test(frame_headers_are_as_the_protocol_has_them),
        cmocka_unit_test(the_watcher_is_called_after_each_event),
        cmocka_unit_test(what_somebody_wants_is_known_until_the_last_has_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
