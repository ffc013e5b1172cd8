/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/transport.h"

#include "rpc/metrics.h"
#include "tests/unit/fake-lws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

void
metrics_write(const struct rpc *rpc, struct text *text)
{
    (void)rpc;
    text_append_string(text, "hostler_up 1\n");
}

static int
begin(void **state)
{
    (void)state;
    fake_open();
    return 0;
}

static int
end(void **state)
{
    (void)state;
    fake_close();
    return 0;
}

static int
event(struct session *session, enum lws_callback_reasons reason, const char *text)
{
    _cleanup_free_ char *bytes = text ? xstrdup(text) : NULL;

    return http_event(session, reason, bytes, text ? strlen(text) : 0);
}

static int
ask(struct session *session, enum lws_token_indexes method, const char *path)
{
    session->wsi->headers[WSI_TOKEN_GET_URI] = session->wsi->headers[WSI_TOKEN_POST_URI] =
        session->wsi->headers[WSI_TOKEN_HEAD_URI] = NULL;
    session->wsi->headers[method] = path;
    return event(session, LWS_CALLBACK_HTTP, path);
}

static void
assert_answer(struct session *session, const char *status, const char *body)
{
    struct text *written = &session->wsi->written;
    const char *found;

    text_append(written, "", 0);
    assert_memory_equal(written->bytes, "HTTP/1.1 ", 9);
    assert_memory_equal(written->bytes + 9, status, strlen(status));
    found = strstr(written->bytes, "\r\n\r\n");
    assert_non_null(found);
    assert_string_equal(found + 4, body);
    text_clear(written);
}

/* The status that a POST with these headers is refused with; 0: its body is waited for. */
static unsigned
refusal(const char *path, const char *length, const char *encoding)
{
    struct session *session = fake_session(ENDPOINT_UNIX);
    unsigned status = 0;

    session->wsi->headers[WSI_TOKEN_HTTP_CONTENT_LENGTH] = length;
    session->wsi->headers[WSI_TOKEN_HTTP_TRANSFER_ENCODING] = encoding;
    /* Also a refused one is not closed at once: that would take the reply with it. */
    assert_int_equal(ask(session, WSI_TOKEN_POST_URI, path), 0);
    if (session->wsi->written.length) {
        assert_int_equal(sscanf(session->wsi->written.bytes, "HTTP/1.1 %u", &status), 1);
        assert_non_null(strstr(session->wsi->written.bytes, "connection: close\r\n"));
        assert_null(session->connection);
        assert_true(session->closing);
        assert_int_not_equal(session->wsi->timeout_s, 0);
    } else {
        assert_true(session->connection->http);
    }
    fake_end_session(session);
    return status;
}

static struct session *
post_body(const char *body)
{
    struct session *session = fake_session(ENDPOINT_UNIX);
    char length[24];

    (void)snprintf(length, sizeof(length), "%zu", strlen(body));
    session->wsi->headers[WSI_TOKEN_HTTP_CONTENT_LENGTH] = length;
    assert_int_equal(ask(session, WSI_TOKEN_POST_URI, "/rpc"), 0);
    session->wsi->headers[WSI_TOKEN_HTTP_CONTENT_LENGTH] = NULL;
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, body), 0);
    return session;
}

static void
get_serves_health_and_metrics_and_no_more(void **state)
{
    struct session *session = fake_session(ENDPOINT_UNIX);

    (void)state;
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/healthz"), 0);
    assert_true(session->wsi->completed); /* the socket may carry the next */
    assert_answer(session, "200 OK", "ok\n");
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/metrics"), 0);
    assert_answer(session, "200 OK", "hostler_up 1\n");
    assert_int_equal(ask(session, WSI_TOKEN_HEAD_URI, "/healthz"), 0);
    assert_non_null(strstr(session->wsi->written.bytes, "content-length: 3\r\n"));
    assert_answer(session, "200 OK", "");
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/rpc"), -1);
    assert_answer(session, "426 Upgrade Required", "upgrade to a WebSocket, or POST\n");
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/"), -1);
    assert_answer(session, "404 Not Found", "there are /rpc, /healthz and /metrics\n");
}

static void
health_needs_no_token_and_the_rest_does(void **state)
{
    struct session *session = fake_session(ENDPOINT_TCP);

    (void)state;
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/healthz"), 0);
    assert_answer(session, "200 OK", "ok\n");
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/metrics"), -1);
    assert_non_null(strstr(session->wsi->written.bytes, "www-authenticate: Bearer"));
    text_clear(&session->wsi->written);
    assert_int_equal(ask(session, WSI_TOKEN_POST_URI, "/rpc"), 0);
    assert_memory_equal(session->wsi->written.bytes, "HTTP/1.1 401", 12);
    assert_null(session->connection);
}

static void
post_is_refused_by_what_is_wrong_with_it(void **state)
{
    (void)state;
    assert_int_equal(refusal("/rpc", "2", NULL), 0);
    assert_int_equal(refusal("/rpc", "65536", NULL), 0);
    assert_int_equal(refusal("/rpc", "65537", NULL), 413);
    assert_int_equal(refusal("/rpc", "18446744073709551615", NULL), 413);
    assert_int_equal(refusal("/rpc", "18446744073709551616", NULL), 411);
    assert_int_equal(refusal("/rpc", "99999999999999999999999999", NULL), 411);
    assert_int_equal(refusal("/rpc", "0", NULL), 400);
    assert_int_equal(refusal("/rpc", "-1", NULL), 411);
    assert_int_equal(refusal("/rpc", "+1", NULL), 411);
    assert_int_equal(refusal("/rpc", " 1", NULL), 411);
    assert_int_equal(refusal("/rpc", "1, 1", NULL), 411);
    assert_int_equal(refusal("/rpc", "0x10", NULL), 411);
    assert_int_equal(refusal("/rpc", NULL, NULL), 411);
    assert_int_equal(refusal("/rpc", NULL, "chunked"), 411);
    assert_int_equal(refusal("/rpc", "2", "chunked"), 411);
    assert_int_equal(refusal("/rpcs", "2", NULL), 404);
    assert_int_equal(refusal("/healthz", "2", NULL), 404);
}

static void
other_methods_are_told_which_there_are(void **state)
{
    struct session *session = fake_session(ENDPOINT_UNIX);

    (void)state;
    assert_int_equal(ask(session, WSI_TOKEN_PUT_URI, "/rpc"), 0);
    assert_non_null(strstr(session->wsi->written.bytes, "allow: GET, HEAD, POST\r\n"));
    assert_answer(session, "405 Method Not Allowed", "GET, HEAD and POST are served\n");
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/healthz"), -1); /* it ends */
}

static void
post_is_answered_when_it_is_finished(void **state)
{
    struct session *session = post_body("[1]");

    (void)state;
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL), 0);
    assert_string_equal(fake->received.bytes, "[1]\n");
    assert_int_equal(session->wsi->timeout_s, 0); /* it may take hours */
    connection_send(session->connection, "[2", 2);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_WRITEABLE, NULL), 0);
    assert_int_equal(session->wsi->written.length, 0);
    connection_send(session->connection, "]", 1);
    connection_finish(session->connection);
    assert_int_equal(session->wsi->wishes, 1);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_WRITEABLE, NULL), 0);
    assert_answer(session, "200 OK", "[2]");
    assert_null(session->connection);
    assert_true(session->wsi->completed);
    assert_int_equal(session->wsi->timeout_s, 0);
}

/* libwebsockets 4.1 tells of the end again for each turn that the next request waits. */
static void
end_that_is_told_again_is_no_message(void **state)
{
    struct session *session = post_body("[1]");

    (void)state;
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL), 0);
    connection_finish(session->connection);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL), 0);
    assert_string_equal(fake->received.bytes, "[1]\n");
    connection_send(session->connection, "[2]", 3);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_WRITEABLE, NULL), 0);
    assert_answer(session, "200 OK", "[2]");
    session = post_body("[3]");
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL), 0);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL), -1); /* no spinning */
    assert_string_equal(fake->received.bytes, "[1]\n[3]\n");
}

static void
post_that_asks_for_no_answer_gets_204(void **state)
{
    struct session *session = post_body("{}");

    (void)state;
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL), 0);
    connection_finish(session->connection);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_WRITEABLE, NULL), 0);
    assert_null(strstr(session->wsi->written.bytes, "content-length"));
    assert_answer(session, "204 No Content", "");
}

static void
answer_that_is_not_read_has_its_time_and_is_counted(void **state)
{
    enum { SIZE = 10 << 20 };
    _cleanup_free_ char *answer = xalloc(SIZE);
    struct session *session = post_body("{}");

    (void)state;
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL), 0);
    connection_send(session->connection, answer, SIZE);
    connection_finish(session->connection);
    session->wsi->fills = true;
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_WRITEABLE, NULL), 0);
    assert_int_equal(session->wsi->timeout_s, 60 + SIZE / 16384);
    assert_in_range(fake->transport.out_size, SIZE, SIZE + 1000);
    session->wsi->full = session->wsi->fills = false;
    text_clear(&session->wsi->written);
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/healthz"), 0); /* it was read */
    assert_int_equal(fake->transport.out_size, 0);
}

static void
post_that_rpc_gave_up_says_why(void **state)
{
    struct session *session = post_body("{}");

    (void)state;
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL), 0);
    connection_close(session->connection, 1013, "the answers are too large together");
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_WRITEABLE, NULL), -1);
    assert_answer(session, "503 Service Unavailable", "the answers are too large together\n");
}

static void
body_that_is_not_utf8_is_refused(void **state)
{
    struct session *session = post_body("\"\xff\"");

    (void)state;
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL), -1);
    assert_answer(session, "400 Bad Request", "the message is not UTF-8\n");
    assert_int_equal(fake->received.length, 0);
}

static void
body_that_is_longer_than_it_said_is_refused(void **state)
{
    struct session *session = post_body("{}");
    _cleanup_free_ char *more = xalloc(FAKE_FRAME_SIZE);

    (void)state;
    memset(more, ' ', FAKE_FRAME_SIZE - 1);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, more), 0);
    assert_answer(session, "413 Content Too Large", "the message is over the limit\n");
    assert_null(session->connection);
    assert_int_equal(fake->transport.joined_size, 0);
    /* The rest is dropped, for a while. */
    for (int i = 0; i < 1024; i++)
        assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, more), 0);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, more), -1);
}

static void
body_beyond_what_all_may_send_is_refused(void **state)
{
    struct session *session = post_body("{");

    (void)state;
    fake->transport.joined_size += JOINED_MAX_SIZE;
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, "}"), 0);
    assert_answer(session, "503 Service Unavailable", "too many unfinished messages\n");
    fake->transport.joined_size -= JOINED_MAX_SIZE;
}

static void
client_that_asks_for_leave_gets_it_or_not(void **state)
{
    struct session *session = fake_session(ENDPOINT_UNIX);

    (void)state;
    session->wsi->headers[WSI_TOKEN_HTTP_EXPECT] = "100-continue";
    session->wsi->headers[WSI_TOKEN_HTTP_CONTENT_LENGTH] = "2";
    assert_int_equal(ask(session, WSI_TOKEN_POST_URI, "/rpc"), 0);
    assert_answer(session, "100 Continue", "");
    session->wsi->headers[WSI_TOKEN_HTTP_CONTENT_LENGTH] = "1000000";
    assert_int_equal(ask(session, WSI_TOKEN_POST_URI, "/rpc"), 0);
    assert_answer(session, "413 Content Too Large", "the message is over the limit\n");
}

static void
client_that_goes_leaves_nothing(void **state)
{
    struct session *session = post_body("{");

    (void)state;
    assert_int_equal(fake->transport.joined_size, 1);
    assert_int_equal(event(session, LWS_CALLBACK_CLOSED_HTTP, NULL), 0);
    assert_null(session->connection);
    assert_int_equal(fake->transport.joined_size, 0);
}

#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(get_serves_health_and_metrics_and_no_more),
        CLAIM(health_needs_no_token_and_the_rest_does),
        CLAIM(post_is_refused_by_what_is_wrong_with_it),
        CLAIM(other_methods_are_told_which_there_are),
        CLAIM(post_is_answered_when_it_is_finished),
        CLAIM(end_that_is_told_again_is_no_message),
        CLAIM(post_that_asks_for_no_answer_gets_204),
        CLAIM(answer_that_is_not_read_has_its_time_and_is_counted),
        CLAIM(post_that_rpc_gave_up_says_why),
        CLAIM(body_that_is_not_utf8_is_refused),
        CLAIM(body_that_is_longer_than_it_said_is_refused),
        CLAIM(body_beyond_what_all_may_send_is_refused),
        CLAIM(client_that_asks_for_leave_gets_it_or_not),
        CLAIM(client_that_goes_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
