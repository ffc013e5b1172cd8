/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One WebSocket connection to the agent, with a synchronous face: send, then take the next message.
 *
 * Single-threaded: nothing moves but inside these functions, so whoever waits elsewhere (the
 * shell's prompt) calls client_service() now and then, that the agent's pings are answered.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>

#include "agent/base/error.h"
#include "ctl/address.h"

struct client;

enum client_outcome {
    CLIENT_MESSAGE,
    CLIENT_NOTHING, /* the time is over, or a signal came: interrupt_seen() tells */
    CLIENT_CLOSED   /* client_reason() says why */
};

/* Connects within 'timeout_ms'.  Error: BackendUnavailable, with what to try. */
bool client_open(const struct address *address, unsigned timeout_ms, struct client **ret_client,
                 struct error **err) _must_check_;
void client_close(struct client *client);
DEFINE_CLEANUP(struct client, client_close)

/* Queues one message.  Error: BackendUnavailable when the connection is gone. */
bool client_send(struct client *client, const json_t *message, struct error **err) _must_check_;
/* '*ret_message' (for CLIENT_MESSAGE only) is the caller's. */
enum client_outcome client_next(struct client *client, unsigned wait_ms, json_t **ret_message);
/* What is due, without waiting; messages that come now are dropped, as nobody waits for them. */
void client_service(struct client *client);
bool client_is_open(const struct client *client);
/* Why it was closed, for people; borrowed. */
const char *client_reason(const struct client *client);

#endif
