/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-off from any thread to the loop: one multi-producer queue, one wake-up.
 *
 * To send is to give up: after post() the sender keeps no pointer to the message.  Order is kept
 * per sender.  A message is embedded in what it carries; 'deliver' gets it on the loop and owns it.
 * Idea: dbus-broker's and Open vSwitch's mpsc queues (a Treiber stack, turned on receipt).
 */
#ifndef AGENT_BASE_POST_H
#define AGENT_BASE_POST_H

#include <stdatomic.h>
#include <stdbool.h>

struct message {
    struct message *next;
    void (*deliver)(struct message *message); /* loop; takes ownership */
};

struct post_queue {
    _Atomic(struct message *) head; /* newest first */
    void (*wake)(void *context);    /* any thread: makes the loop call post_deliver() soon */
    void *wake_context;
};

void post_queue_init(struct post_queue *queue, void (*wake)(void *context), void *wake_context);
/* Any thread.  Takes ownership of 'message'; wakes the loop when the queue was empty. */
void post(struct post_queue *queue, struct message *message);
/* Loop: delivers all that was posted, oldest first. */
void post_deliver(struct post_queue *queue);

#endif
