/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/transport.h"

#include "tests/unit/fake-lws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

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

/* ---- the handshake ---- */

/* A sound handshake but for one header: the status it is refused with, or 101; 0: without a word. */
static unsigned
handshake(enum lws_token_indexes token, const char *value)
{
    struct session *session = fake_session(ENDPOINT_UNIX);
    struct lws *wsi = session->wsi;
    unsigned status = 0;

    wsi->headers[WSI_TOKEN_GET_URI] = "/rpc";
    wsi->headers[WSI_TOKEN_UPGRADE] = "websocket";
    wsi->headers[WSI_TOKEN_CONNECTION] = "Upgrade";
    wsi->headers[WSI_TOKEN_VERSION] = "13";
    wsi->headers[WSI_TOKEN_KEY] = KEY;
    wsi->headers[token] = value;
    if (websocket_confirm(session) == 0) {
        assert_non_null(session->connection);
        assert_int_equal(wsi->written.length, 0);
        status = 101;
    } else {
        assert_null(session->connection);
        if (wsi->written.length)
            assert_int_equal(sscanf(wsi->written.bytes, "HTTP/1.1 %u", &status), 1);
    }
    fake_end_session(session);
    return status;
}

static void
handshake_is_taken_in_each_of_its_spellings(void **state)
{
    (void)state;
    assert_int_equal(handshake(WSI_TOKEN_UPGRADE, "WebSocket"), 101);
    assert_int_equal(handshake(WSI_TOKEN_CONNECTION, "keep-alive, upgrade"), 101);
    assert_int_equal(handshake(WSI_TOKEN_CONNECTION, "keep-alive,\tUPGRADE ,x"), 101);
    assert_int_equal(handshake(WSI_TOKEN_PROTOCOL, "jsonrpc"), 101);
    assert_int_equal(handshake(WSI_TOKEN_PROTOCOL, "other, jsonrpc"), 101);
}

static void
handshake_is_refused_by_what_is_wrong_with_it(void **state)
{
    (void)state;
    assert_int_equal(handshake(WSI_TOKEN_GET_URI, "/"), 404);
    assert_int_equal(handshake(WSI_TOKEN_GET_URI, "/rpc/"), 404);
    assert_int_equal(handshake(WSI_TOKEN_GET_URI, NULL), 404);
    assert_int_equal(handshake(WSI_TOKEN_VERSION, "8"), 426);
    assert_int_equal(handshake(WSI_TOKEN_VERSION, NULL), 426);
    assert_int_equal(handshake(WSI_TOKEN_CONNECTION, "keep-alive"), 400);
    assert_int_equal(handshake(WSI_TOKEN_CONNECTION, "upgrades"), 400);
    assert_int_equal(handshake(WSI_TOKEN_CONNECTION, NULL), 400);
    assert_int_equal(handshake(WSI_TOKEN_KEY, "short"), 400);
    assert_int_equal(handshake(WSI_TOKEN_KEY, NULL), 400);
    assert_int_equal(handshake(WSI_TOKEN_PROTOCOL, "jsonrpc2"), 400);
    assert_int_equal(handshake(WSI_TOKEN_PROTOCOL, ","), 400);
    assert_int_equal(handshake(WSI_TOKEN_UPGRADE, "h2c"), 400);
    assert_int_equal(handshake(WSI_TOKEN_UPGRADE, "bogus"), 0); /* answered by libwebsockets */
    assert_int_equal(handshake(WSI_TOKEN_UPGRADE, NULL), 0);
    assert_int_equal(handshake(WSI_TOKEN_ORIGIN, "http://evil.example"), 403);
}

static void
socket_whose_post_ended_early_may_still_be_upgraded(void **state)
{
    struct session *session = fake_session(ENDPOINT_UNIX);
    struct identity identity = { ROLE_VIEWER, xstrdup("uid:1") };

    (void)state;
    session_connect(session, &identity, true);
    session->wsi->headers[WSI_TOKEN_GET_URI] = "/rpc";
    session->wsi->headers[WSI_TOKEN_UPGRADE] = "websocket";
    session->wsi->headers[WSI_TOKEN_CONNECTION] = "Upgrade";
    session->wsi->headers[WSI_TOKEN_VERSION] = "13";
    session->wsi->headers[WSI_TOKEN_KEY] = KEY;
    assert_int_equal(websocket_confirm(session), 0);
    assert_int_equal(fake->rpc.connection_count, 1);
    assert_false(session->connection->http);
    assert_int_equal(session->connection->number, 2);
}

/* ---- messages in ---- */

/* A piece as libwebsockets hands it over; 'remaining' of its frame is still to come. */
static void
receive_piece(struct session *session, const char *text, size_t size, size_t remaining, bool final)
{
    _cleanup_free_ char *bytes = xalloc(size ? size : 1);

    if (size)
        memcpy(bytes, text, size);
    session->wsi->remaining = remaining;
    session->wsi->final = final;
    assert_int_equal(websocket_event(session, LWS_CALLBACK_RECEIVE, bytes, size), 0);
}

static void
assert_received(const char *expected)
{
    assert_int_equal(fake->received.length, strlen(expected));
    assert_memory_equal(fake->received.bytes ? fake->received.bytes : "", expected,
                        strlen(expected));
    text_clear(&fake->received);
}

static void
assert_closed_with(struct session *session, unsigned status)
{
    const unsigned char *bytes;

    assert_true(session->closing);
    fake_turn();
    bytes = (const unsigned char *)session->wsi->written.bytes;
    assert_int_equal(bytes[0], 0x88);
    assert_int_equal(bytes[2] << 8 | bytes[3], status);
}

static void
message_is_handed_on_when_its_last_piece_is_there(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    receive_piece(session, "[1]", 3, 0, true);
    assert_received("[1]\n");
    receive_piece(session, "[1", 2, 1, true); /* half a frame */
    receive_piece(session, "]", 1, 0, true);
    assert_received("[1]\n");
    receive_piece(session, "[", 1, 0, false); /* a fragment */
    receive_piece(session, "1", 1, 0, false);
    assert_received("");
    assert_int_equal(fake->transport.joined_size, 2);
    receive_piece(session, "]", 1, 0, true);
    assert_received("[1]\n");
    assert_int_equal(fake->transport.joined_size, 0);
    receive_piece(session, "", 0, 0, true);
    assert_received("\n");
}

static void
message_over_the_limit_is_refused_by_what_it_announces(void **state)
{
    struct session *session = fake_websocket();
    _cleanup_free_ char *bytes = xalloc(FAKE_FRAME_SIZE);

    (void)state;
    memset(bytes, ' ', FAKE_FRAME_SIZE);
    receive_piece(session, bytes, FAKE_FRAME_SIZE, 0, true);
    assert_int_equal(fake->received.length, FAKE_FRAME_SIZE + 1);
    receive_piece(session, bytes, 1, FAKE_FRAME_SIZE, true);
    assert_closed_with(session, 1009);
    session = fake_websocket();
    receive_piece(session, bytes, 1, SIZE_MAX, true);
    assert_closed_with(session, 1009);
    session = fake_websocket();
    receive_piece(session, bytes, FAKE_FRAME_SIZE, 0, false);
    receive_piece(session, bytes, 1, 0, true);
    assert_closed_with(session, 1009);
    assert_int_equal(fake->transport.joined_size, 0);
    text_clear(&fake->received);
    receive_piece(session, "[1]", 3, 0, true); /* nothing more is taken from it */
    assert_received("");
}

static void
message_that_is_not_utf8_closes(void **state)
{
    struct session *whole = fake_websocket(), *joined = fake_websocket();

    (void)state;
    receive_piece(whole, "\"\xc3\"", 3, 0, true);
    assert_closed_with(whole, 1007);
    receive_piece(joined, "\"\xc3", 2, 0, false); /* cut within a character: no matter */
    receive_piece(joined, "\xa4\"", 2, 0, true);
    assert_false(joined->closing);
    assert_received("\"\xc3\xa4\"\n");
    receive_piece(joined, "\xed\xa0", 2, 0, false);
    receive_piece(joined, "\x80", 1, 0, true);
    assert_closed_with(joined, 1007);
}

static void
too_many_unfinished_messages_close_the_next(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    fake->transport.joined_size += JOINED_MAX_SIZE;
    receive_piece(session, "[", 1, 0, false);
    assert_closed_with(session, 1013);
    fake->transport.joined_size -= JOINED_MAX_SIZE;
}

/* ---- frames out ---- */

static void
one_who_does_not_read_is_not_read_from(void **state)
{
    struct session *session = fake_websocket();
    _cleanup_free_ char *answer = xalloc(1 << 20);

    (void)state;
    session->wsi->fills = true;
    for (int i = 0; i < 5; i++)
        connection_send(session->connection, answer, 1 << 20);
    receive_piece(session, "[1]", 3, 0, true);
    assert_false(session->wsi->reading);
    while (session->connection->out.length - session->written >= OUT_PAUSE_SIZE / 2) {
        assert_false(session->wsi->reading);
        fake_turn();
        fake_drain(session);
    }
    assert_true(session->wsi->reading);
}

static void
events_are_taken_no_faster_than_the_socket_takes_them(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    fake->due = 10 << 20;
    session->wsi->fills = true;
    connection_wake(session->connection);
    for (int i = 0; i < 10; i++)
        fake_turn(); /* full since the first */
    assert_int_equal(session->wsi->writes, 1);
    assert_in_range((10 << 20) - fake->due, 1, 128 * 1024);
    session->wsi->fills = false;
    fake_drain(session);
    for (int i = 0; i < 1000 && fake->due; i++)
        fake_turn();
    assert_int_equal(fake->due, 0);
    assert_int_equal(session->wsi->written.length, 10 << 20);
    assert_in_range(session->wsi->largest, 1, WRITE_SIZE);
}

static void
writes_end_between_frames(void **state)
{
    static const size_t sizes[] = { 100000, 150000, 10, 300000, 125, 126, 65535, 65536 };
    struct session *session = fake_websocket();
    _cleanup_free_ char *bytes = xalloc(300000);
    size_t before = 0;

    (void)state;
    session->wsi->fills = true; /* one write a turn */
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        connection_send(session->connection, bytes, sizes[i]);
    while (session->connection->out.length > session->written) {
        fake_turn();
        assert_int_equal((unsigned char)session->wsi->written.bytes[before], 0x81);
        before = session->wsi->written.length;
        fake_drain(session);
    }
    assert_int_equal(session->wsi->writes, 3); /* 100000 + 150000 + 10, 300000, all others */
    assert_in_range(session->wsi->largest, 300000, 300010); /* one frame is never cut */
}

static void
close_is_answered_as_it_deserves(void **state)
{
    char sound[] = "\x03\xe8"
                   "bye",
         short_one[] = "\x03", bad_reason[] = "\x03\xe8\xff";
    struct session *session = fake_websocket();
    const enum lws_callback_reasons closes = LWS_CALLBACK_WS_PEER_INITIATED_CLOSE;

    (void)state;
    assert_int_equal(websocket_event(session, closes, sound, 5), 0);
    connection_send(session->connection, "{}", 2); /* nothing may come behind a close */
    fake_turn();
    assert_int_equal(session->wsi->written.length, 0);
    session = fake_websocket();
    assert_int_equal(websocket_event(session, closes, NULL, 0), 0);
    session = fake_websocket();
    assert_int_equal(websocket_event(session, closes, short_one, 1), -1);
    assert_int_equal(session->wsi->status, LWS_CLOSE_STATUS_PROTOCOL_ERR);
    session = fake_websocket();
    assert_int_equal(websocket_event(session, closes, bad_reason, 3), -1);
    assert_int_equal(session->wsi->status, LWS_CLOSE_STATUS_PROTOCOL_ERR);
    session = fake_websocket();
    connection_close(session->connection, 1009, "too large");
    fake_turn();
    assert_int_equal(websocket_event(session, closes, sound, 5), -1); /* its answer to ours */
    assert_int_equal(session->wsi->status, 0);
}

#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(handshake_is_taken_in_each_of_its_spellings),
        CLAIM(handshake_is_refused_by_what_is_wrong_with_it),
        CLAIM(socket_whose_post_ended_early_may_still_be_upgraded),
        CLAIM(message_is_handed_on_when_its_last_piece_is_there),
        CLAIM(message_over_the_limit_is_refused_by_what_it_announces),
        CLAIM(message_that_is_not_utf8_closes),
        CLAIM(too_many_unfinished_messages_close_the_next),
        CLAIM(one_who_does_not_read_is_not_read_from),
        CLAIM(events_are_taken_no_faster_than_the_socket_takes_them),
        CLAIM(writes_end_between_frames),
        CLAIM(close_is_answered_as_it_deserves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
