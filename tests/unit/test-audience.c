/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/audience.h"

#include <stdio.h>

#include "events/topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define AMPLE (1 << 20)

static struct audiences audiences;
static struct ring *ring;

static int
begin(void **state)
{
    (void)state;
    audiences = (struct audiences){ 0 };
    ring = ring_new("i", 100, 1 << 20);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    for (size_t i = 0; i < GATHERED_COUNT; i++)
        text_done(&audiences.gathered[i].text);
    ring_free(ring);
    return audiences.first != NULL; /* the last subscriber takes its audience away */
}

static struct wish
wish(const char *pattern, const char *subject, bool by_topic)
{
    return (struct wish){ topic_mask(pattern), subject, by_topic };
}

static struct audience *
join(struct wish *wishes, size_t count)
{
    return audience_join(&audiences, wishes, count);
}

static struct audience *
join_one(const char *pattern, const char *subject, bool by_topic)
{
    struct wish one = wish(pattern, subject, by_topic);

    return join(&one, 1);
}

static void
leave(struct audience *audience)
{
    audience_leave(&audiences, audience);
}

static const struct event *
publish(const char *topic, const char *subject)
{
    return ring_get(ring, ring_publish(ring, topic, subject, "{}", 2));
}

/* The events that were gathered, in short: "1 3@ ": the numbers, with @ by topic. */
static char *
in_short(const struct text *frames)
{
    struct text text = TEXT_INIT;
    const char *at = frames->bytes;

    text_append(&text, "", 0);
    while (at && at < frames->bytes + frames->length) {
        unsigned char length = (unsigned char)at[1];
        size_t head = length < 126 ? 2 : 4;
        size_t size =
            length < 126 ? length : (size_t)((unsigned char)at[2] << 8 | (unsigned char)at[3]);
        _cleanup_free_ char *json = xstrndup(at + head, size);
        unsigned seq;

        assert_int_equal((unsigned char)at[0], 0x81);
        assert_true(length <= 126);
        assert_int_equal(sscanf(strstr(json, "\"seq\":"), "\"seq\":%u", &seq), 1);
        text_printf(&text, "%u%s ", seq, strstr(json, "\"method\":\"event\"") ? "" : "@");
        at += head + size;
    }
    return text_take(&text);
}

static void
assert_gathered(const struct audience *audience, uint64_t *cursor, size_t size, uint64_t count,
                const char *expected)
{
    _cleanup_text_ struct text out = TEXT_INIT;
    _cleanup_free_ char *found = NULL;

    assert_int_equal(audience_gather(&audiences, audience, ring, cursor, size, &out), count);
    found = in_short(&out);
    assert_string_equal(found, expected);
}

static void
equal_sets_of_wishes_share_an_audience(void **state)
{
    struct wish one[] = { wish("task.*", NULL, false), wish("image.*", "a", false),
                          wish("image.*", NULL, true) };
    struct wish other[] = { wish("image.changed", NULL, true), wish("image.removed", "a", false),
                            wish("task.started", NULL, false), wish("task.progress", NULL, false),
                            wish("image.changed", "a", false), wish("task.ended", NULL, false),
                            wish("image.removed", NULL, true), wish("task.ended", "b", false) };
    char subject[] = "a";
    struct audience *first = join(one, ARRAY_COUNT(one)), *second;

    (void)state;
    other[1].subject = subject; /* equal, not the same memory */
    second = join(other, ARRAY_COUNT(other));
    assert_ptr_equal(first, second);
    assert_int_equal(first->subscriber_count, 2);
    assert_int_equal(first->wish_count, 3);
    subject[0] = 'x'; /* it was copied */
    leave(first);
    assert_int_equal(audience_match(second, publish("image.changed", "a")),
                     FORM_EVENT | FORM_BY_TOPIC);
    leave(second);
}

static void
different_wishes_do_not(void **state)
{
    struct audience *some[] = {
        join_one("task.*", NULL, false),      join_one("task.*", "", false),
        join_one("task.*", "a", false),       join_one("task.*", "b", false),
        join_one("task.*", NULL, true),       join_one("*", NULL, false),
        join_one("task.started", NULL, false)
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(some); i++)
        for (size_t j = i + 1; j < ARRAY_COUNT(some); j++)
            assert_ptr_not_equal(some[i], some[j]);
    for (size_t i = 0; i < ARRAY_COUNT(some); i++)
        leave(some[i]);
}

static void
wish_for_any_subject_covers_those_for_one_in_its_form_alone(void **state)
{
    struct wish wishes[] = { wish("task.ended", "a", true), wish("task.*", NULL, false),
                             wish("task.ended", "a", false), wish("*", "a", false) };
    struct audience *audience = join(wishes, ARRAY_COUNT(wishes));

    (void)state;
    assert_int_equal(audience->wish_count, 3); /* the third says nothing new */
    assert_int_equal(audience_match(audience, publish("task.ended", "a")),
                     FORM_EVENT | FORM_BY_TOPIC);
    assert_int_equal(audience_match(audience, publish("task.ended", "b")), FORM_EVENT);
    assert_int_equal(audience_match(audience, publish("image.changed", "a")), FORM_EVENT);
    assert_int_equal(audience_match(audience, publish("image.changed", "b")), 0);
    leave(audience);
}

static void
many_audiences_come_and_go(void **state)
{
    enum { COUNT = 3000 };
    struct audience *all[COUNT];
    char subject[16];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            (void)snprintf(subject, sizeof(subject), "s%zu", i);
            all[i] = join_one("task.*", subject, false);
            assert_int_equal(all[i]->subscriber_count, 1);
        }
        for (size_t i = 0; i < COUNT; i++) { /* neither in the order they came nor against it */
            size_t n = i * 7 % COUNT;

            (void)snprintf(subject, sizeof(subject), "s%zu", n);
            assert_int_equal(audience_match(all[n], publish("task.ended", subject)), FORM_EVENT);
            leave(all[n]);
        }
        assert_null(audiences.first);
    }
}

static void
gathering_takes_what_is_wanted_from_its_place_on(void **state)
{
    struct audience *audience = join_one("task.*", NULL, false);
    uint64_t cursor = 2;

    (void)state;
    publish("task.started", "a");
    publish("image.changed", "a");
    publish("task.ended", "a");
    publish("image.removed", "a");
    assert_gathered(audience, &cursor, AMPLE, 1, "3 ");
    assert_int_equal(cursor, 5);
    assert_gathered(audience, &cursor, AMPLE, 0, "");
    leave(audience);
}

static void
both_forms_of_an_event_are_sent_to_whom_wants_both(void **state)
{
    struct wish wishes[] = { wish("task.ended", NULL, true), wish("*", NULL, false) };
    struct audience *audience = join(wishes, ARRAY_COUNT(wishes));
    _cleanup_text_ struct text out = TEXT_INIT;
    uint64_t cursor = 1;

    (void)state;
    publish("task.started", "a");
    publish("task.ended", "a");
    assert_gathered(audience, &cursor, AMPLE, 3, "1 2 2@ ");
    assert_int_equal(event_append(&out, ring_get(ring, 2), FORM_BY_TOPIC), 1);
    text_append(&out, "", 0);
    assert_non_null(
        strstr(out.bytes + 4, "{\"jsonrpc\":\"2.0\",\"method\":\"task.ended\",\"params\":{"));
    assert_string_equal(out.bytes + out.length - 2, "}}");
    leave(audience);
}

static void
gathering_ends_at_about_its_bound(void **state)
{
    struct audience *audience = join_one("*", NULL, false);
    uint64_t cursor = 1;

    (void)state;
    for (int i = 0; i < 10; i++)
        publish("task.started", "a");
    assert_gathered(audience, &cursor, 1, 1, "1 "); /* at least one, or nobody gets on */
    assert_gathered(audience, &cursor, ring_get(ring, 2)->frame_size + 1, 2, "2 3 ");
    assert_int_equal(cursor, 4);
    leave(audience);
}

static void
what_was_gathered_for_one_is_the_same_for_the_next(void **state)
{
    struct audience *audience = join_one("task.*", NULL, false);
    struct audience *other = join_one("image.*", NULL, false);
    uint64_t one = 1, two = 1, three = 2, four = 1, five = 1;

    (void)state;
    (void)join_one("task.*", NULL, false);
    (void)join_one("image.*", NULL, false);
    publish("task.started", "a");
    publish("image.changed", "a");
    assert_gathered(audience, &one, AMPLE, 1, "1 ");
    assert_gathered(audience, &two, AMPLE, 1, "1 ");
    assert_int_equal(audiences.gathered_next, 1); /* kept, not gathered again */
    /* Another place, audience, bound or newest event is another matter. */
    assert_gathered(audience, &three, AMPLE, 0, "");
    assert_gathered(other, &four, AMPLE, 1, "2 ");
    publish("task.ended", "a");
    assert_gathered(audience, &five, AMPLE, 2, "1 3 ");
    five = 1;
    assert_gathered(audience, &five, 1, 1, "1 ");
    assert_gathered(audience, &two, AMPLE, 1, "3 ");
    assert_int_equal(two, 4);
    leave(audience);
    leave(audience);
    leave(other);
    leave(other);
}

static void
nothing_is_kept_for_an_audience_that_is_gone(void **state)
{
    struct audience *audience = join_one("task.*", NULL, false);
    uint64_t cursor = 1;

    (void)state;
    (void)join_one("task.*", NULL, false);
    publish("task.started", "a");
    assert_gathered(audience, &cursor, AMPLE, 1, "1 ");
    leave(audience);
    leave(audience);
    for (size_t i = 0; i < GATHERED_COUNT; i++)
        assert_null(audiences.gathered[i].audience);
}

#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(equal_sets_of_wishes_share_an_audience),
        CLAIM(different_wishes_do_not),
        CLAIM(wish_for_any_subject_covers_those_for_one_in_its_form_alone),
        CLAIM(many_audiences_come_and_go),
        CLAIM(gathering_takes_what_is_wanted_from_its_place_on),
        CLAIM(both_forms_of_an_event_are_sent_to_whom_wants_both),
        CLAIM(gathering_ends_at_about_its_bound),
        CLAIM(what_was_gathered_for_one_is_the_same_for_the_next),
        CLAIM(nothing_is_kept_for_an_audience_that_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
