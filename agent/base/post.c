/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/post.h"

#include <stddef.h>

void
post_queue_init(struct post_queue *queue, void (*wake)(void *context), void *wake_context)
{
    atomic_init(&queue->head, NULL);
    queue->wake = wake;
    queue->wake_context = wake_context;
}

void
post(struct post_queue *queue, struct message *message)
{
    struct message *head = atomic_load_explicit(&queue->head, memory_order_relaxed);

    /* Release: what the sender wrote into the message is there when the loop takes it.  After the
       exchange the message is the loop's, so 'head', not message->next, tells whether to wake. */
    do
        message->next = head;
    while (!atomic_compare_exchange_weak_explicit(&queue->head, &head, message,
                                                  memory_order_release, memory_order_relaxed));
    if (!head)
        queue->wake(queue->wake_context);
}

void
post_deliver(struct post_queue *queue)
{
    struct message *newest = atomic_exchange_explicit(&queue->head, NULL, memory_order_acquire);
    struct message *oldest = NULL;

    while (newest) { /* the stack holds the newest first: turn it */
        struct message *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct message *message = oldest;

        oldest = oldest->next; /* before: 'deliver' owns the message */
        message->next = NULL;
        message->deliver(message);
    }
}
