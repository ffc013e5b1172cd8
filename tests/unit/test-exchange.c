/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/transport.h"

#include "agent/resource.h"
#include "rpc/metrics.h"
#include "tests/unit/fake-lws.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define CHUNK_SIZE 1000

void
metrics_write(const struct rpc *rpc, struct text *text)
{
    (void)rpc;
    (void)text;
}

/* A backend that keeps what it is told. */
static struct backend {
    struct exchange *exchange; /* the one that is under way */
    unsigned begun, ended, chunks_sent;
    struct resource_request request; /* its pointers are gone */
    char *path, *flush;              /* owned */
    struct text received;
    bool last;
    size_t lend;         /* chunks lent at the beginning */
    bool refuses, keeps; /* answers 416 at once; keeps the chunks that it gets */
    struct chunk *kept;  /* the last of them */
} backend;

static void
begun(void *context, struct exchange *exchange, const struct resource_request *request)
{
    static const struct resource_answer refusal = { .status = 416, .type = "text/plain" };

    assert_ptr_equal(context, &backend);
    backend.begun++;
    backend.exchange = exchange;
    backend.request = *request;
    backend.path = xstrdup(request->path);
    if (resource_argument(request, "flush"))
        backend.flush = xstrdup(resource_argument(request, "flush"));
    if (backend.refuses)
        exchange_answer_text(exchange, &refusal, "no\n", 3);
    for (size_t i = 0; i < backend.lend; i++)
        exchange_receive(exchange, chunk_new(CHUNK_SIZE));
}

static void
received(struct exchange *exchange, struct chunk *chunk, bool last)
{
    assert_ptr_equal(exchange, backend.exchange);
    assert_false(backend.last);
    text_append(&backend.received, chunk->bytes, chunk->size);
    backend.last = last;
    if (!last && !backend.keeps) {
        exchange_receive(exchange, chunk);
        return;
    }
    chunks_free(backend.kept);
    backend.kept = chunk;
}

static void
sent(struct exchange *exchange, struct chunk *chunk)
{
    assert_ptr_equal(exchange, backend.exchange);
    backend.chunks_sent++;
    chunks_free(chunk);
}

static void
ended(struct exchange *exchange)
{
    assert_ptr_equal(exchange, backend.exchange);
    backend.ended++;
    backend.exchange = NULL;
}

static struct resource resource = { .prefix = "/things/",
                                    .context = &backend,
                                    .begin = begun,
                                    .received = received,
                                    .sent = sent,
                                    .ended = ended };

static int
begin(void **state)
{
    (void)state;
    fake_open();
    backend = (struct backend){ 0 };
    resource_register(&fake->agent, &resource);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    fake_close();
    free(backend.path);
    free(backend.flush);
    text_done(&backend.received);
    chunks_free(backend.kept);
    assert_int_equal(backend.begun, backend.ended);
    return 0;
}

static int
event(struct session *session, enum lws_callback_reasons reason, const void *bytes, size_t size)
{
    _cleanup_free_ char *copy = xalloc(size + 1);

    if (size)
        memcpy(copy, bytes, size);
    return http_event(session, reason, copy, size);
}

static int
ask(struct session *session, enum lws_token_indexes method, const char *path)
{
    session->wsi->headers[method] = path;
    return event(session, LWS_CALLBACK_HTTP, path, strlen(path));
}

/* libwebsockets' handle of the socket: the loop calls it only when the exchange has taken it. */
static uv_poll_t watcher;

static void
not_ours(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
    fail_msg("libwebsockets is called while it should be deaf");
}

static void
watch(struct session *session)
{
    assert_int_equal(uv_poll_init(loop_uv(fake->agent.loop), &watcher, session->wsi->fd), 0);
    watcher.data = session->wsi;
    assert_int_equal(uv_poll_start(&watcher, UV_READABLE, not_ours), 0);
}

static void
unwatch(void)
{
    uv_close((uv_handle_t *)&watcher, NULL);
    fake_turn();
}

/* What the client has got by now. */
static void
read_peer(struct session *session, struct text *text)
{
    char bytes[65536];
    ssize_t got;

    while ((got = recv(session->wsi->peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        text_append(text, bytes, (size_t)got);
    text_append(text, "", 0);
}

static void
assert_got(struct session *session, const char *status, const char *header, const char *body)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    const char *found;

    fake_turn();
    read_peer(session, &text);
    assert_memory_equal(text.bytes, "HTTP/1.1 ", 9);
    assert_memory_equal(text.bytes + 9, status, strlen(status));
    if (header && !strstr(text.bytes, header))
        fail_msg("there is no '%s' in '%s'", header, text.bytes);
    found = strstr(text.bytes, "\r\n\r\n");
    assert_non_null(found);
    assert_string_equal(found + 4, body);
}

static struct chunk *
chunk_of(const char *text)
{
    struct chunk *chunk = chunk_new(strlen(text));

    memcpy(chunk->bytes, text, strlen(text));
    chunk->size = strlen(text);
    return chunk;
}

static struct session *
put(const char *length, const char *range)
{
    struct session *session = fake_session(ENDPOINT_TCP);

    session->wsi->headers[WSI_TOKEN_HTTP_CONTENT_LENGTH] = length;
    session->wsi->headers[WSI_TOKEN_HTTP_CONTENT_RANGE] = range;
    assert_int_equal(ask(session, WSI_TOKEN_PUT_URI, "/things/one"), 0);
    return session;
}

static void
a_request_reaches_the_backend_with_no_token_and_its_answer_the_client(void **state)
{
    struct session *session = fake_session(ENDPOINT_TCP);

    (void)state;
    session->wsi->argument = "flush=n";
    session->wsi->headers[WSI_TOKEN_HTTP_RANGE] = "bytes=3-5";
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/things/one"), 0);
    assert_string_equal(backend.path, "one");
    assert_string_equal(backend.flush, "n");
    assert_int_equal(backend.request.method, RESOURCE_GET);
    assert_true(backend.request.range.given);
    assert_int_equal(backend.request.range.first, 3);
    assert_false(session->wsi->reading); /* what comes behind it waits */
    exchange_answer(backend.exchange,
                    &(struct resource_answer){
                        .status = 206, .type = "x/y", .size = 6, .headers = "a: b\r\n" });
    exchange_send(backend.exchange, chunk_of("abc"));
    fake_turn();
    assert_int_equal(backend.chunks_sent, 1);
    assert_false(session->wsi->completed);
    exchange_send(backend.exchange, chunk_of("def"));
    assert_got(session, "206 Partial Content", "a: b\r\n", "abcdef");
    assert_true(session->wsi->completed); /* the socket may carry the next */
    assert_true(session->wsi->reading);
    assert_int_equal(backend.ended, 1);
    assert_null(session->exchange);
}

static void
a_head_has_the_length_and_no_body(void **state)
{
    struct session *session = fake_session(ENDPOINT_UNIX);

    (void)state;
    assert_int_equal(ask(session, WSI_TOKEN_HEAD_URI, "/things/one"), 0);
    exchange_answer(backend.exchange, &(struct resource_answer){ .status = 200, .size = 1 << 30 });
    assert_got(session, "200 OK", "content-length: 1073741824\r\n", "");
    assert_true(session->wsi->completed);
    assert_int_equal(backend.ended, 1);
}

static void
a_body_fills_the_chunks_that_are_lent_and_then_waits(void **state)
{
    _cleanup_free_ char *bytes = xalloc(2500);
    struct session *session;

    (void)state;
    for (size_t i = 0; i < 2500; i++)
        bytes[i] = (char)(i * 7);
    backend.lend = 1;
    backend.keeps = true;
    session = put("2500", "bytes 100-2599/*");
    assert_int_equal(backend.request.content_range.first, 100);
    assert_int_equal(backend.request.body_size, 2500);
    assert_true(session->wsi->reading);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, bytes, 1600), 0);
    fake_turn();
    assert_int_equal(backend.received.length, 1000);
    assert_int_equal(session->in.length, 600); /* a piece comes whole: what is over is kept, */
    assert_false(session->wsi->reading);       /* and no more of it is read */
    exchange_receive(backend.exchange, TAKE(backend.kept));
    fake_turn();
    assert_int_equal(session->in.length, 0);
    assert_true(session->wsi->reading);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, bytes + 1600, 900), 0);
    assert_int_equal(backend.received.length, 2000);
    assert_false(backend.last);
    exchange_receive(backend.exchange, TAKE(backend.kept));
    fake_turn();
    assert_true(backend.last); /* the last is as short as it is */
    assert_int_equal(backend.received.length, 2500);
    assert_memory_equal(backend.received.bytes, bytes, 2500);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL, 0), 0);
    assert_false(session->wsi->reading); /* what comes behind it waits */
    exchange_answer(backend.exchange, &(struct resource_answer){ .status = 200 });
    assert_got(session, "200 OK", "content-length: 0\r\n", "");
    assert_true(session->wsi->completed);
}

static void
a_body_is_asked_for_when_somebody_takes_it(void **state)
{
    struct session *session = fake_session(ENDPOINT_TCP);
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    session->wsi->headers[WSI_TOKEN_HTTP_EXPECT] = "100-continue";
    session->wsi->headers[WSI_TOKEN_HTTP_CONTENT_LENGTH] = "3";
    assert_int_equal(ask(session, WSI_TOKEN_PUT_URI, "/things/one"), 0);
    fake_turn();
    read_peer(session, &text);
    assert_int_equal(text.length, 0);
    exchange_receive(backend.exchange, chunk_new(CHUNK_SIZE));
    fake_turn();
    read_peer(session, &text);
    assert_string_equal(text.bytes, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, "abc", 3), 0);
    assert_true(backend.last);
    exchange_answer(backend.exchange, &(struct resource_answer){ .status = 200 });
    assert_got(session, "200 OK", NULL, "");
}

static void
of_a_refused_body_the_rest_is_dropped_before_the_socket_is_closed(void **state)
{
    struct session *session;

    (void)state;
    backend.refuses = true;
    session = put("3000", NULL);
    session->wsi->headers[WSI_TOKEN_HTTP_EXPECT] = NULL;
    assert_got(session, "416 Range Not Satisfiable", "connection: close\r\n", "no\n");
    assert_true(session->wsi->reading);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, "abc", 3), 0);
    fake_turn();
    assert_int_equal(session->dropped, 3);
    assert_false(session->wsi->completed);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL, 0), -1);
}

static void
a_client_that_does_not_read_holds_one_chunk_and_is_gone_on_with(void **state)
{
    struct session *session = fake_session(ENDPOINT_TCP);
    struct chunk *chunk = chunk_new(4 << 20);
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    watch(session);
    chunk->size = chunk->capacity;
    for (size_t i = 0; i < chunk->size; i++)
        chunk->bytes[i] = (char)(i * 31 >> 3);
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/things/one"), 0);
    exchange_answer(backend.exchange, &(struct resource_answer){
                                          .status = 200, .size = (4 << 20) + 1, .headers = NULL });
    exchange_send(backend.exchange, chunk);
    fake_turn();
    assert_true(session->blocked);
    assert_int_equal(backend.chunks_sent, 0);
    assert_false(session->woken); /* nothing turns over it, also not the next request */
    assert_int_equal(send(session->wsi->peer, "GET ", 4, MSG_NOSIGNAL), 4);
    fake_turn();
    assert_true(session->blocked);
    while (backend.chunks_sent == 0) {
        read_peer(session, &text);
        fake_turn();
    }
    exchange_send(backend.exchange, chunk_of("z"));
    fake_turn();
    read_peer(session, &text);
    assert_int_equal(text.bytes[text.length - 1], 'z');
    assert_true(text.length > 4 << 20);
    for (size_t i = 0; i < 4 << 20; i += 4099)
        assert_int_equal(strstr(text.bytes, "\r\n\r\n")[4 + i], (char)(i * 31 >> 3));
    assert_true(session->wsi->completed);
    unwatch();
}

static void
an_answer_of_unknown_size_comes_in_chunks(void **state)
{
    struct session *session = fake_session(ENDPOINT_TCP);

    (void)state;
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/things/one"), 0);
    exchange_answer(backend.exchange,
                    &(struct resource_answer){ .status = 200, .size = RESOURCE_LENGTH_UNKNOWN });
    exchange_send(backend.exchange, chunk_of("0123456789abcdef"));
    exchange_send(backend.exchange, chunk_of("x"));
    exchange_end(backend.exchange);
    assert_got(session, "200 OK", "transfer-encoding: chunked\r\n",
               "10\r\n0123456789abcdef\r\n1\r\nx\r\n0\r\n\r\n");
    assert_true(session->wsi->completed);
}

static void
an_old_client_gets_it_without_and_the_end_by_the_sockets(void **state)
{
    struct session *session = fake_session(ENDPOINT_TCP);

    (void)state;
    session->wsi->headers[WSI_TOKEN_HTTP] = "HTTP/1.0";
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/things/one"), 0);
    exchange_answer(backend.exchange,
                    &(struct resource_answer){ .status = 200, .size = RESOURCE_LENGTH_UNKNOWN });
    exchange_send(backend.exchange, chunk_of("ab"));
    exchange_end(backend.exchange);
    assert_got(session, "200 OK", "connection: close\r\n", "ab");
    assert_false(session->wsi->completed);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_WRITEABLE, NULL, 0), -1);
}

static void
an_answer_that_is_broken_off_does_not_look_whole(void **state)
{
    struct session *session = fake_session(ENDPOINT_TCP);
    char byte;

    (void)state;
    assert_int_equal(ask(session, WSI_TOKEN_GET_URI, "/things/one"), 0);
    exchange_answer(backend.exchange, &(struct resource_answer){ .status = 200, .size = 10 });
    exchange_send(backend.exchange, chunk_of("ab"));
    fake_turn();
    exchange_break_off(backend.exchange);
    fake_turn();
    assert_int_equal(backend.ended, 1);
    assert_false(session->wsi->completed);
    while (recv(session->wsi->peer, &byte, 1, MSG_DONTWAIT) == 1)
        continue;
    assert_int_equal(recv(session->wsi->peer, &byte, 1, MSG_DONTWAIT), 0); /* its end */
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_WRITEABLE, NULL, 0), -1);
}

static void
a_client_that_goes_is_told_of_at_once(void **state)
{
    struct session *session;

    (void)state;
    backend.lend = 2;
    session = put("3000", NULL);
    assert_int_equal(event(session, LWS_CALLBACK_HTTP_BODY, "abc", 3), 0);
    assert_int_equal(event(session, LWS_CALLBACK_CLOSED_HTTP, NULL, 0), 0);
    assert_int_equal(backend.ended, 1);
    assert_int_equal(backend.received.length, 0);
    fake_turn();
}

/* The status that a request is refused with before any backend sees it. */
static unsigned
refusal(enum lws_token_indexes method, enum lws_token_indexes header, const char *value,
        const char *length)
{
    struct session *session = fake_session(ENDPOINT_TCP);
    _cleanup_text_ struct text text = TEXT_INIT;
    unsigned status = 0, before = backend.begun;

    session->wsi->headers[header] = value;
    session->wsi->headers[WSI_TOKEN_HTTP_CONTENT_LENGTH] = length;
    assert_int_equal(ask(session, method, "/things/one"), 0);
    fake_turn();
    read_peer(session, &text);
    if (backend.begun == before) {
        assert_int_equal(sscanf(text.bytes, "HTTP/1.1 %u", &status), 1);
        assert_non_null(strstr(text.bytes, "{\"status\":"));
        assert_non_null(strstr(text.bytes, "connection: close\r\n"));
    }
    fake_end_session(session);
    free(TAKE(backend.path));
    return status;
}

static void
what_is_no_request_is_refused_before_the_backend_sees_it(void **state)
{
    const enum lws_token_indexes get = WSI_TOKEN_GET_URI, put_uri = WSI_TOKEN_PUT_URI;
    static const char *const none[] = { NULL };

    (void)state;
    fake->config.origins = (char **)(uintptr_t)none;
    assert_int_equal(refusal(get, WSI_TOKEN_HTTP_RANGE, "bytes=0-1", NULL), 0);
    assert_int_equal(refusal(get, WSI_TOKEN_HTTP_RANGE, "bytes=x", NULL), 400);
    assert_int_equal(refusal(get, WSI_TOKEN_HTTP_RANGE, "bytes=0-1,3-4", NULL), 416);
    assert_int_equal(refusal(put_uri, WSI_TOKEN_HTTP_RANGE, NULL, NULL), 411);
    assert_int_equal(refusal(WSI_TOKEN_PATCH_URI, WSI_TOKEN_HTTP_RANGE, NULL, NULL), 411);
    assert_int_equal(refusal(put_uri, WSI_TOKEN_HTTP_TRANSFER_ENCODING, "chunked", NULL), 411);
    assert_int_equal(refusal(put_uri, WSI_TOKEN_HTTP_RANGE, NULL, "-1"), 400);
    assert_int_equal(refusal(put_uri, WSI_TOKEN_HTTP_CONTENT_RANGE, "bytes 0-1/*", "3"), 400);
    assert_int_equal(refusal(put_uri, WSI_TOKEN_HTTP_CONTENT_RANGE, "bytes 0-2/*", "3"), 0);
    assert_int_equal(refusal(get, WSI_TOKEN_ORIGIN, "http://elsewhere", NULL), 403);
    assert_int_equal(refusal(WSI_TOKEN_HTTP_COLON_METHOD, WSI_TOKEN_HTTP_RANGE, NULL, NULL), 405);
}

static void
a_page_of_a_named_origin_may_see_the_answer(void **state)
{
    static const char *const origins[] = { "https://page.example", NULL };
    struct session *session = fake_session(ENDPOINT_TCP);

    (void)state;
    fake->config.origins = (char **)(uintptr_t)origins;
    session->wsi->headers[WSI_TOKEN_ORIGIN] = "https://page.example";
    assert_int_equal(ask(session, WSI_TOKEN_OPTIONS_URI, "/things/one"), 0);
    exchange_answer(backend.exchange, &(struct resource_answer){ .status = 200 });
    assert_got(session, "200 OK",
               "access-control-allow-origin: https://page.example\r\nvary: origin\r\n", "");
    assert_true(session->wsi->completed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_request_reaches_the_backend_with_no_token_and_its_answer_the_client, begin, end),
        cmocka_unit_test_setup_teardown(a_head_has_the_length_and_no_body, begin, end),
        cmocka_unit_test_setup_teardown(a_body_fills_the_chunks_that_are_lent_and_then_waits, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_body_is_asked_for_when_somebody_takes_it, begin, end),
        cmocka_unit_test_setup_teardown(
            of_a_refused_body_the_rest_is_dropped_before_the_socket_is_closed, begin, end),
        cmocka_unit_test_setup_teardown(
            a_client_that_does_not_read_holds_one_chunk_and_is_gone_on_with, begin, end),
        cmocka_unit_test_setup_teardown(an_answer_of_unknown_size_comes_in_chunks, begin, end),
        cmocka_unit_test_setup_teardown(an_old_client_gets_it_without_and_the_end_by_the_sockets,
                                        begin, end),
        cmocka_unit_test_setup_teardown(an_answer_that_is_broken_off_does_not_look_whole, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_client_that_goes_is_told_of_at_once, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_request_is_refused_before_the_backend_sees_it,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_page_of_a_named_origin_may_see_the_answer, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
