/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is queued for clients and when it is too much, who is looked for and who is found dead: with
 * a clock that the test turns, and sockets that are full when it says so.
 */
#include <config.h>

#include "rpc/transport.h"

#include "tests/unit/fake-lws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define PING "\x89\x04idle"

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

/* One tick of the patrol so many seconds later, and what is written then. */
static void
patrol_after(unsigned seconds)
{
    struct timer *timer = &fake->transport.patrol;

    fake_now_ms += seconds * UINT64_C(1000);
    timer_disarm(fake->agent.loop, timer);
    timer->fire(timer);
    fake_turn();
}

static void
assert_written(const struct session *session, const char *expected)
{
    const struct text *written = &session->wsi->written;

    assert_int_equal(written->length, strlen(expected));
    assert_memory_equal(written->bytes ? written->bytes : "", expected, strlen(expected));
}

/* The agent has shut it down: its client reads the end. */
static bool
is_shut(const struct session *session)
{
    char byte;

    return recv(session->wsi->peer, &byte, 1, MSG_DONTWAIT) == 0;
}

/* One message of 'size' bytes. */
static void
send_size(const struct session *session, size_t size)
{
    _cleanup_free_ char *bytes = xalloc(size);

    connection_send(session->connection, bytes, size);
}

static size_t
waiting(const struct session *session)
{
    return session->connection->out.length - session->written;
}

static void
silent_client_is_pinged_once_and_then_given_up(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    patrol_after(29);
    assert_written(session, "");
    patrol_after(1);
    assert_written(session, PING);
    patrol_after(29);
    assert_written(session, PING);
    assert_false(is_shut(session));
    patrol_after(1);
    assert_true(is_shut(session));
    assert_true(session->dead);
    assert_int_equal(websocket_event(session, LWS_CALLBACK_SERVER_WRITEABLE, NULL, 0), -1);
}

static void
after_a_stall_clients_are_asked_before_they_are_given_up(void **state)
{
    struct session *session = fake_websocket(), *gone = fake_websocket();

    (void)state;
    patrol_after(1000);
    assert_written(session, PING);
    assert_written(gone, PING);
    (void)websocket_event(session, LWS_CALLBACK_RECEIVE_PONG, NULL, 0);
    patrol_after(1);
    assert_false(session->dead);
    assert_true(gone->dead);
}

static void
pong_a_message_or_a_read_are_signs_of_life(void **state)
{
    struct session *session = fake_websocket();
    char message[] = "{}";

    (void)state;
    patrol_after(59);
    (void)websocket_event(session, LWS_CALLBACK_RECEIVE_PONG, NULL, 0);
    patrol_after(59);
    (void)websocket_event(session, LWS_CALLBACK_RECEIVE, message, 2);
    patrol_after(58);
    session->wsi->fills = true;
    send_size(session, 10);
    fake_turn();
    patrol_after(1);
    fake_drain(session);
    patrol_after(59);
    assert_false(session->dead);
    patrol_after(1);
    assert_true(session->dead);
}

static void
closed_one_has_ten_seconds_to_say_so_too(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    patrol_after(50);
    connection_close(session->connection, 1008, "no");
    fake_turn();
    patrol_after(9);
    assert_false(session->dead);
    (void)websocket_event(session, LWS_CALLBACK_RECEIVE_PONG, NULL, 0); /* no help any more */
    patrol_after(1);
    assert_true(session->dead);
}

static void
patrol_looks_at_all_of_many_some_at_a_time(void **state)
{
    enum { COUNT = 400 };
    const struct connection *connection;
    size_t pinged, before = 0, turns = 0;

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        (void)fake_websocket();
    fake_now_ms += 30000;
    do {
        patrol_after(0);
        pinged = 0;
        for (connection = fake->rpc.connections; connection; connection = connection->next)
            pinged += ((struct session *)connection->transport)->pinged;
        assert_in_range(pinged - before, 1, COUNT / 4);
        before = pinged;
        /* The next in turn goes: the round goes on behind it. */
        if (turns++ == 0)
            fake_end_session(fake->transport.patrolled->transport);
    } while (pinged < fake->rpc.connection_count);
    assert_in_range(turns, 4, 8);
}

static void
many_messages_go_out_in_one_write(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    for (int i = 0; i < 1000; i++)
        connection_send(session->connection, "{}", 2);
    fake_turn();
    assert_int_equal(session->wsi->writes, 1);
    assert_int_equal(session->wsi->written.length, 4000);
    assert_memory_equal(session->wsi->written.bytes, "\x81\x02{}\x81\x02{}", 8);
}

static void
idle_client_keeps_no_buffer(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    connection_send(session->connection, "{}", 2);
    assert_non_null(session->connection->out.bytes);
    fake_turn();
    assert_null(session->connection->out.bytes);
    assert_int_equal(fake->transport.spare_count, 1);
    send_size(session, 100000); /* its buffer is too large to be kept for the next */
    fake_turn();
    assert_null(session->connection->out.bytes);
}

static void
one_who_never_reads_all_does_not_make_us_keep_what_it_read(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    send_size(session, 2 << 20);
    for (int i = 0; i < 1000; i++) {
        session->wsi->fills = true; /* it takes one write a turn, and never the last */
        send_size(session, 250 * 1024);
        fake_turn();
        fake_drain(session);
        text_clear(&session->wsi->written);
        assert_in_range(waiting(session), 1, 4 << 20);
    }
    assert_in_range(session->connection->out.capacity, 1, 16 << 20);
}

static void
what_is_written_comes_in_order_and_once(void **state)
{
    struct session *session = fake_websocket();
    _cleanup_text_ struct text sent = TEXT_INIT;
    _cleanup_free_ char *bytes = xalloc(70000);
    unsigned char header[10];

    (void)state;
    for (int i = 0; i < 200; i++) {
        memset(bytes, 'a' + i % 26, 70000);
        text_append(&sent, header, frame_header(header, 70000));
        text_append(&sent, bytes, 70000);
        connection_send(session->connection, bytes, 70000);
        session->wsi->fills = i % 3 != 0;
        fake_turn();
        if (i % 5)
            fake_drain(session);
    }
    do
        fake_drain(session), fake_turn();
    while (waiting(session));
    assert_int_equal(session->wsi->written.length, sent.length);
    assert_memory_equal(session->wsi->written.bytes, sent.bytes, sent.length);
    assert_in_range(session->wsi->largest, 1, WRITE_SIZE);
}

static void
one_who_reads_nothing_is_closed_with_1013(void **state)
{
    static const char close_frame[] = "\x88\x16\x03\xf5"
                                      "answers are not read";
    struct session *session = fake_websocket();
    unsigned sent = 0;

    (void)state;
    session->wsi->fills = true;
    for (; !session->closing; sent++) {
        send_size(session, 1 << 20);
        fake_turn();
        assert_in_range(waiting(session), 0, OUT_MAX_SIZE);
    }
    assert_in_range(sent, OUT_MAX_SIZE >> 20, (OUT_MAX_SIZE >> 20) + 2);
    assert_in_range(waiting(session), 1, 1000); /* what was queued is forgotten */
    send_size(session, 10);
    text_clear(&session->wsi->written);
    fake_drain(session);
    fake_turn();
    assert_int_equal(session->wsi->written.length, sizeof(close_frame) - 1);
    assert_memory_equal(session->wsi->written.bytes, close_frame, sizeof(close_frame) - 1);
}

static void
when_all_leave_too_much_unread_only_the_hoarders_go(void **state)
{
    struct session *hoarder = fake_websocket(), *reader = fake_websocket();

    (void)state;
    hoarder->wsi->fills = reader->wsi->fills = true;
    for (int i = 0; i < 2; i++) {
        send_size(hoarder, OUT_SHARE_SIZE);
        send_size(reader, 1000);
    }
    fake->transport.out_size += OUT_ALL_SIZE; /* others', in theory */
    send_size(reader, 100000);
    assert_false(reader->closing);
    send_size(hoarder, 10);
    assert_true(hoarder->closing);
    fake->transport.out_size -= OUT_ALL_SIZE;
}

static void
what_is_unread_is_counted_as_it_comes_and_goes(void **state)
{
    struct session *one = fake_websocket(), *other = fake_websocket();
    const size_t *all = &fake->transport.out_size;

    (void)state;
    send_size(one, 996); /* and four bytes of header */
    send_size(other, 100);
    assert_int_equal(*all, 1000 + 102);
    fake_turn();
    assert_int_equal(*all, 0);
    one->wsi->fills = true;
    send_size(one, 996);
    fake_turn();
    assert_int_equal(*all, 1000); /* libwebsockets has it, and it is our memory */
    send_size(one, 996);
    assert_int_equal(*all, 2000);
    one->wsi->fills = false;
    fake_drain(one);
    fake_turn();
    assert_int_equal(*all, 0);
    other->wsi->fills = true;
    send_size(other, 100);
    fake_turn();
    send_size(other, 100);
    assert_int_equal(*all, 204);
    fake_end_session(other); /* fake_close() sees that nothing is left */
}

static void
answer_that_is_too_large_for_http_says_so(void **state)
{
    struct session *session = fake_session(ENDPOINT_UNIX);
    struct identity identity = { ROLE_VIEWER, xstrdup("uid:1") };

    (void)state;
    session_connect(session, &identity, true);
    for (int i = 0; i <= OUT_MAX_SIZE >> 20; i++)
        send_size(session, 1 << 20);
    assert_true(session->finished);
    assert_string_equal(session->close_reason, "the answers are too large together");
}

static void
connections_are_found_by_number(void **state)
{
    enum { COUNT = 300 };
    struct session *sessions[COUNT];

    (void)state;
    assert_null(connection_find(&fake->rpc, 1));
    for (size_t i = 0; i < COUNT; i++)
        sessions[i] = fake_websocket();
    for (size_t i = 0; i < COUNT; i += 3) {
        uint64_t number = sessions[i]->connection->number;

        fake_end_session(sessions[i]);
        sessions[i] = NULL;
        assert_null(connection_find(&fake->rpc, number));
    }
    for (size_t i = 0; i < COUNT; i++)
        if (sessions[i])
            assert_ptr_equal(connection_find(&fake->rpc, sessions[i]->connection->number),
                             sessions[i]->connection);
    assert_int_equal(fake->rpc.connection_count, COUNT - COUNT / 3);
}

static void
pieces_of_all_clients_together_are_bounded(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    assert_true(session_join(session, "abc", 3));
    fake->transport.joined_size += JOINED_MAX_SIZE - 5;
    assert_true(session_join(session, "de", 2));
    assert_false(session_join(session, "f", 1));
    assert_int_equal(session->in.length, 5);
    fake->transport.joined_size -= JOINED_MAX_SIZE - 5;
}

static void
socket_that_fails_is_shut_down(void **state)
{
    struct session *session = fake_websocket();

    (void)state;
    session->wsi->fails = true;
    connection_send(session->connection, "{}", 2);
    fake_turn();
    assert_true(is_shut(session));
    session_kill(session); /* once is enough */
    connection_send(session->connection, "{}", 2);
    fake_turn();
    assert_written(session, "");
}

#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(silent_client_is_pinged_once_and_then_given_up),
        CLAIM(after_a_stall_clients_are_asked_before_they_are_given_up),
        CLAIM(pong_a_message_or_a_read_are_signs_of_life),
        CLAIM(closed_one_has_ten_seconds_to_say_so_too),
        CLAIM(patrol_looks_at_all_of_many_some_at_a_time),
        CLAIM(many_messages_go_out_in_one_write),
        CLAIM(idle_client_keeps_no_buffer),
        CLAIM(one_who_never_reads_all_does_not_make_us_keep_what_it_read),
        CLAIM(what_is_written_comes_in_order_and_once),
        CLAIM(one_who_reads_nothing_is_closed_with_1013),
        CLAIM(when_all_leave_too_much_unread_only_the_hoarders_go),
        CLAIM(what_is_unread_is_counted_as_it_comes_and_goes),
        CLAIM(answer_that_is_too_large_for_http_says_so),
        CLAIM(connections_are_found_by_number),
        CLAIM(pieces_of_all_clients_together_are_bounded),
        CLAIM(socket_that_fails_is_shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
