/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection that commands share: one for a command line, one for all lines of the shell.
 */
#ifndef CTL_SESSION_H
#define CTL_SESSION_H

#include <jansson.h>
#include <stdint.h>

#include "ctl/arguments.h"
#include "ctl/client.h"
#include "ctl/status.h"

struct session {
    const struct verbs *verbs;
    struct client *client; /* owned; NULL: none yet, or lost */
    bool kept;             /* the shell: the connection outlives a command */
    int64_t last_number;   /* of our own requests: numbers are private to the connection */
};

void session_done(struct session *session);
/* Connects if it is not connected.  Error: BackendUnavailable, or InvalidParams for a bad URL. */
bool session_connect(struct session *session, const struct settings *settings, struct error **err)
    _must_check_;
/* What exit status a failure of session_connect() has. */
enum status session_status(const struct error *error);
void session_disconnect(struct session *session);

/* Sends a call; 'id' is taken, 'params' borrowed. */
bool session_send(struct session *session, json_t *id, const char *method, json_t *params,
                  struct error **err) _must_check_;
/* A fresh id for a request of our own. */
json_t *session_number(struct session *session);

/*
 * Makes a request of our own and waits for its answer.  '*ret_result' is the caller's.  What else
 * comes meanwhile goes to 'other' (borrowed; may be NULL).  Errors: BackendUnavailable,
 * TaskAborted for Control-C, and the agent's own with its code and message.
 */
bool session_ask(struct session *session, const char *method, json_t *params,
                 void (*other)(void *context, json_t *message), void *context, json_t **ret_result,
                 struct error **err) _must_check_;
/* Sleeps; Control-C ends it early. */
void session_pause(unsigned ms);

#endif
