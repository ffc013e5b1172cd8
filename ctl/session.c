/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/session.h"

#include <poll.h>

#include "ctl/interrupt.h"

#define CONNECT_TIMEOUT_MS 10000
#define ASK_WAIT_MS 30000 /* our own requests only read: an agent that does not answer is stuck */

void
session_done(struct session *session)
{
    session_disconnect(session);
}

void
session_disconnect(struct session *session)
{
    client_close(session->client);
    session->client = NULL;
}

bool
session_connect(struct session *session, const struct settings *settings, struct error **err)
{
    _cleanup_(address_done) struct address address = { 0 };
    unsigned timeout_ms = CONNECT_TIMEOUT_MS;

    if (session->client)
        client_service(session->client); /* whether it broke while nobody looked */
    if (session->client && client_is_open(session->client))
        return true;
    session_disconnect(session);
    if (!address_parse(settings->url, &address, err) ||
        !address_read_token(&address, settings->token_file, err))
        return false;
    address.tls_ca = settings->tls_ca;
    address.tls_certificate = settings->tls_certificate;
    address.tls_key = settings->tls_key;
    if (settings->timeout_s > 0 && settings->timeout_s * 1000 < timeout_ms)
        timeout_ms = (unsigned)(settings->timeout_s * 1000) + 1;
    return client_open(&address, timeout_ms, &session->client, err);
}

enum status
session_status(const struct error *error)
{
    if (interrupt_seen())
        return STATUS_INTERRUPTED;
    return error->code == ERROR_INVALID_PARAMS ? STATUS_USAGE : STATUS_NO_CONNECTION;
}

json_t *
session_number(struct session *session)
{
    return json_integer(++session->last_number);
}

bool
session_send(struct session *session, json_t *id, const char *method, json_t *params,
             struct error **err)
{
    json_t *message =
        json_pack("{ssso*sssO*}", "jsonrpc", "2.0", "id", id, "method", method, "params", params);
    bool sent;

    if (!message)
        return error_set(err, ERROR_INVALID_PARAMS, "the request cannot be written as JSON");
    sent = client_send(session->client, message, err);
    json_decref(message);
    return sent;
}

/* The agent's error as one of ours. */
static bool
take_error(const json_t *error, struct error **err)
{
    json_t *code = json_object_get(error, "code");
    const char *message = json_string_value(json_object_get(error, "message"));

    return error_set(err, (enum error_code)json_integer_value(code), "%s: %s",
                     error_code_name((enum error_code)json_integer_value(code)),
                     message ? message : "no message");
}

static bool
is_answer_to(const json_t *message, json_int_t number)
{
    json_t *id = json_object_get(message, "id");

    return json_is_integer(id) && json_integer_value(id) == number &&
           !json_object_get(message, "method");
}

bool
session_ask(struct session *session, const char *method, json_t *params,
            void (*other)(void *context, json_t *message), void *context, json_t **ret_result,
            struct error **err)
{
    json_t *id = session_number(session), *message = NULL;
    json_int_t number = json_integer_value(id);

    if (!session_send(session, id, method, params, err))
        return false;
    for (;;) {
        json_t *error;

        switch (client_next(session->client, ASK_WAIT_MS, &message)) {
        case CLIENT_CLOSED:
            return error_set(err, ERROR_BACKEND_UNAVAILABLE, "%s", client_reason(session->client));
        case CLIENT_NOTHING:
            if (interrupt_seen())
                return error_set(err, ERROR_TASK_ABORTED, "interrupted");
            return error_set(err, ERROR_BACKEND_UNAVAILABLE, "the agent does not answer");
        case CLIENT_MESSAGE: break;
        }
        if (!is_answer_to(message, number)) {
            if (other)
                other(context, message);
            json_decref(message);
            continue;
        }
        error = json_object_get(message, "error");
        if (error)
            take_error(error, err);
        else
            *ret_result = json_incref(json_object_get(message, "result"));
        json_decref(message);
        return !*err;
    }
}

void
session_pause(unsigned ms)
{
    if (!interrupt_seen())
        (void)poll(NULL, 0, (int)ms);
}
