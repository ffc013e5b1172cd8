/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/post.h"

#include <pthread.h>
#include <stdlib.h>

#include "agent/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define SENDERS 4
#define MESSAGES 20000

struct numbered {
    struct message message;
    unsigned sender, number;
};

static unsigned delivered_count;
static unsigned last_number[SENDERS];
static atomic_uint wake_count;
static struct post_queue queue;

static void
count_wake(void *context)
{
    atomic_fetch_add((atomic_uint *)context, 1);
}

static void
deliver(struct message *message)
{
    struct numbered *numbered = CONTAINER_OF(message, struct numbered, message);

    assert_int_equal(numbered->number, last_number[numbered->sender] + 1);
    last_number[numbered->sender] = numbered->number;
    delivered_count++;
    free(numbered);
}

static void
send_number(unsigned sender, unsigned number)
{
    struct numbered *numbered = xalloc(sizeof(*numbered));

    numbered->message.deliver = deliver;
    numbered->sender = sender;
    numbered->number = number;
    post(&queue, &numbered->message);
}

static int
begin(void **state)
{
    (void)state;
    delivered_count = 0;
    for (unsigned i = 0; i < SENDERS; i++)
        last_number[i] = 0;
    atomic_store(&wake_count, 0);
    post_queue_init(&queue, count_wake, &wake_count);
    return 0;
}

static void
messages_are_delivered_in_the_order_they_were_sent(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 100; i++)
        send_number(0, i);
    post_deliver(&queue);
    assert_int_equal(delivered_count, 100);
}

static void
the_loop_is_woken_once_for_all_that_waits(void **state)
{
    (void)state;
    send_number(0, 1);
    send_number(0, 2);
    assert_int_equal(atomic_load(&wake_count), 1);
    post_deliver(&queue);
    send_number(0, 3);
    assert_int_equal(atomic_load(&wake_count), 2);
    post_deliver(&queue);
    assert_int_equal(delivered_count, 3);
}

static void
delivering_nothing_is_allowed(void **state)
{
    (void)state;
    post_deliver(&queue);
    assert_int_equal(delivered_count, 0);
}

static void
answer_by_sending(struct message *message)
{
    struct numbered *numbered = CONTAINER_OF(message, struct numbered, message);

    send_number(1, 1);
    free(numbered);
}

static void
a_message_sent_while_delivering_wakes_again(void **state)
{
    struct numbered *first = xalloc(sizeof(*first));

    (void)state;
    first->message.deliver = answer_by_sending;
    post(&queue, &first->message);
    assert_int_equal(atomic_load(&wake_count), 1);
    post_deliver(&queue);
    assert_int_equal(delivered_count, 0);
    assert_int_equal(atomic_load(&wake_count), 2);
    post_deliver(&queue);
    assert_int_equal(delivered_count, 1);
}

static void *
sender_thread(void *context)
{
    for (unsigned i = 1; i <= MESSAGES; i++)
        send_number((unsigned)(uintptr_t)context, i);
    return NULL;
}

static void
many_senders_lose_nothing_and_keep_their_order(void **state)
{
    pthread_t threads[SENDERS];
    unsigned seen_wakes = 0;

    (void)state;
    for (uintptr_t i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sender_thread, (void *)i), 0);
    /* Delivers only when woken: a wake-up that is missing would end this never. */
    while (delivered_count < SENDERS * MESSAGES) {
        unsigned wakes = atomic_load(&wake_count);

        if (wakes != seen_wakes)
            post_deliver(&queue);
        else
            sched_yield();
        seen_wakes = wakes;
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(last_number[i], MESSAGES);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(messages_are_delivered_in_the_order_they_were_sent, begin),
        cmocka_unit_test_setup(the_loop_is_woken_once_for_all_that_waits, begin),
        cmocka_unit_test_setup(delivering_nothing_is_allowed, begin),
        cmocka_unit_test_setup(a_message_sent_while_delivering_wakes_again, begin),
        cmocka_unit_test_setup(many_senders_lose_nothing_and_keep_their_order, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
