/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/timer-heap.h"
#include "tests/unit/agent-fixture.h"

static char order[64];

struct named {
    struct timer timer;
    char letter;
};

static void
fire(struct timer *timer)
{
    char text[2] = { CONTAINER_OF(timer, struct named, timer)->letter, '\0' };

    strncat(order, text, sizeof(order) - strlen(order) - 1);
}

static void
timers_fire_in_the_order_of_their_time(void **state)
{
    struct named late = { .timer = { .fire = fire }, .letter = 'c' },
                 soon = { .timer = { .fire = fire }, .letter = 'a' },
                 middle = { .timer = { .fire = fire }, .letter = 'b' },
                 never = { .timer = { .fire = fire }, .letter = 'x' };
    struct loop *loop;
    struct error *error = NULL;

    (void)state;
    order[0] = '\0';
    assert_true(loop_new(&loop, &error));
    timer_arm(loop, &late.timer, 30);
    timer_arm(loop, &never.timer, 5);
    timer_arm(loop, &soon.timer, 1);
    timer_arm(loop, &middle.timer, 10);
    timer_disarm(loop, &never.timer);
    timer_disarm(loop, &never.timer);
    while (strlen(order) < 3)
        loop_turn(loop, true);
    assert_string_equal(order, "abc");
    assert_int_equal(late.timer.place, 0);
    loop_free(loop);
}

static void
a_timer_armed_again_fires_once_at_the_new_time(void **state)
{
    struct named one = { .timer = { .fire = fire }, .letter = 'o' },
                 last = { .timer = { .fire = fire }, .letter = 'l' };
    struct loop *loop;
    struct error *error = NULL;

    (void)state;
    order[0] = '\0';
    assert_true(loop_new(&loop, &error));
    timer_arm(loop, &one.timer, 10000);
    timer_arm(loop, &one.timer, 1);
    timer_arm(loop, &last.timer, 20);
    while (!strchr(order, 'l'))
        loop_turn(loop, true);
    assert_string_equal(order, "ol");
    loop_free(loop);
}

static void
the_heap_gives_its_timers_back_sorted_whatever_leaves_early(void **state)
{
    struct timer timers[200] = { 0 };
    struct timer_heap heap = { 0 };
    int64_t before = -1;
    size_t left = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(timers); i++) {
        timers[i].due_ns = (int64_t)(i * 7919 % 1009);
        timer_heap_add(&heap, &timers[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(timers); i += 3)
        timer_heap_remove(&heap, &timers[i]);
    while (timer_heap_first(&heap)) {
        struct timer *timer = timer_heap_first(&heap);

        assert_true(timer->due_ns >= before);
        before = timer->due_ns;
        timer_heap_remove(&heap, timer);
        left++;
    }
    assert_int_equal(left, 133);
    timer_heap_done(&heap);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_the_order_of_their_time),
        cmocka_unit_test(a_timer_armed_again_fires_once_at_the_new_time),
        cmocka_unit_test(the_heap_gives_its_timers_back_sorted_whatever_leaves_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
