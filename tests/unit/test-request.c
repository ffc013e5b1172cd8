/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The examples of the JSON-RPC 2.0 specification case by case, and our own rules.  The verbs are
 * tests/unit/fake-agent.h's.
 */
#include <config.h>

#include "rpc/connection.h"

#include <jansson.h>

#include "tests/unit/fake-agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

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

/* What stands in an answer, in short: its id and its result or code.  "1:19", "null:-32600". */
static char *
in_short(const char *text)
{
    json_t *answer = json_loads(text, JSON_DECODE_ANY, NULL);
    json_t *id, *result, *error;
    char *short_id, *short_result, *whole;

    assert_non_null(answer);
    assert_int_equal(json_object_size(answer), 3);
    assert_string_equal(json_string_value(json_object_get(answer, "jsonrpc")), "2.0");
    id = json_object_get(answer, "id");
    result = json_object_get(answer, "result");
    error = json_object_get(answer, "error");
    assert_non_null(id);
    assert_true(!result != !error);
    if (error) {
        assert_true(json_is_string(json_object_get(error, "message")));
        assert_true(json_is_string(json_object_get(json_object_get(error, "data"), "name")));
        result = json_object_get(error, "code");
    }
    short_id = json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);
    short_result = json_dumps(result, JSON_ENCODE_ANY | JSON_COMPACT);
    whole = xprintf("%s:%s", short_id, short_result);
    free(short_id);
    free(short_result);
    json_decref(answer);
    return whole;
}

static void
assert_answer(const char *message, const char *expected)
{
    const char *answer = fake_ask(0, message);
    char *shortened;

    if (*answer == '\0') {
        assert_string_equal("", expected);
        return;
    }
    shortened = in_short(answer);
    assert_string_equal(shortened, expected);
    free(shortened);
}

/* 'expected': the answers of one array, in short, separated by blanks. */
static void
assert_batch_text(const char *text, const char *expected)
{
    json_t *answers = json_loads(text, 0, NULL);
    struct text all = TEXT_INIT;
    json_t *answer;
    size_t i;

    assert_true(json_is_array(answers));
    text_append(&all, "", 0);
    json_array_foreach(answers, i, answer)
    {
        char *dumped = json_dumps(answer, JSON_COMPACT), *shortened = in_short(dumped);

        text_printf(&all, "%s%s", i ? " " : "", shortened);
        free(dumped);
        free(shortened);
    }
    assert_string_equal(all.bytes, expected);
    text_done(&all);
    json_decref(answers);
}

static void
assert_batch(const char *message, const char *expected)
{
    assert_batch_text(fake_ask(0, message), expected);
}

static void
call_with_positional_parameters(void **state)
{
    (void)state;
    assert_string_equal(
        fake_ask(
            0, "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [42, 23], \"id\": 1}"),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":19}");
    assert_answer(
        "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [23, 42], \"id\": 2}",
        "2:-19");
}

static void
call_with_named_parameters(void **state)
{
    (void)state;
    assert_answer(
        "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": {\"subtrahend\": 23, "
        "\"minuend\": 42}, \"id\": 3}",
        "3:19");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": {\"minuend\": 42, "
                  "\"subtrahend\": 23}, \"id\": 4}",
                  "4:19");
}

static void
notification_is_never_answered(void **state)
{
    (void)state;
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"update\", \"params\": [1,2,3,4,5]}", "");
    assert_int_equal(fake->started_count, 1);
    assert_string_equal(fake->last_key, "");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"foobar\"}", "");
    assert_answer(
        "{\"jsonrpc\": \"2.0\", \"method\": \"$/cancelRequest\", \"params\": {\"id\": 1}}", "");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [\"x\"]}", "");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"rule\"}", "");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"fail\"}", "");
    assert_int_equal(fake->started_count, 2);
    assert_int_equal(fake->connections[0].unanswered, 0);
}

static void
call_of_a_method_that_is_not_there(void **state)
{
    (void)state;
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"foobar\", \"id\": \"1\"}", "\"1\":-32601");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"$/foobar\", \"id\": 1}", "1:-32601");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"\", \"id\": 1}", "1:-32601");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"sum\\u0000\", \"id\": 1}", "1:-32601");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"s\\u0075m\", \"id\": 1}", "1:0");
    assert_answer("{\"jsonrpc\": \"2.0\", \"method\": \"getData\", \"id\": 1}", "1:[\"hello\",5]");
}

static void
message_that_is_not_json(void **state)
{
    static const char *const messages[] = {
        "{\"jsonrpc\": \"2.0\", \"method\": \"foobar, \"params\": \"bar\", \"baz]",
        "[{\"jsonrpc\": \"2.0\", \"method\": \"sum\", \"params\": [1,2,4], \"id\": \"1\"},"
        "{\"jsonrpc\": \"2.0\", \"method\"]",
        "",
        " ",
        "{",
        "}",
        "nul",
        "\"",
        "\xef\xbb\xbf{}",
        "{} {}",
        "[1] 2",
        "[1,]",
        "{\"a\":1,}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":1}x",
        "{\"a\":\"\\ud800\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":01}",
        "{\"a\":\"\xff\"}",
        "{'a':1}",
        "{\"a\":\"\t\"}",
    };
    static const char with_nul[] = "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":1}";

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(messages); i++)
        assert_answer(messages[i], "null:-32700");
    fake_receive_sized(0, with_nul, sizeof(with_nul));
    assert_non_null(strstr(fake_sent(0), "-32700"));
    assert_int_equal(fake->started_count, 0);
}

static void
nesting_beyond_the_limit_says_so(void **state)
{
    const char *answer;

    (void)state;
    answer = fake_ask(0, "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]");
    assert_non_null(strstr(answer, "\"code\":1013,"));
    assert_non_null(strstr(answer, "\"limit\":\"jsonDepth\",\"max\":16"));
    assert_batch("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", "null:-32600");
}

static void
json_that_is_no_request(void **state)
{
    static const char *const messages[] = {
        "{\"jsonrpc\": \"2.0\", \"method\": 1, \"params\": \"bar\"}",
        "{\"foo\": \"boo\"}",
        "{}",
        "1",
        "\"x\"",
        "null",
        "true",
        "{\"method\":\"sum\"}",
        "{\"jsonrpc\":\"1.0\",\"method\":\"sum\"}",
        "{\"jsonrpc\":2.0,\"method\":\"sum\"}",
        "{\"jsonrpc\":\"2.0\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"params\":\"bar\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"params\":null}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":[1]}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":true}",
        "[]",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(messages); i++)
        assert_answer(messages[i], "null:-32600");
    assert_answer("{\"jsonrpc\":\"1.0\",\"method\":\"sum\",\"id\":\"a\"}", "\"a\":-32600");
    assert_answer("{\"id\":7}", "7:-32600");
    assert_int_equal(fake->started_count, 0);
}

static void
invalid_members_of_a_batch_are_each_answered(void **state)
{
    (void)state;
    assert_batch("[1]", "null:-32600");
    assert_batch(" [ 1 ,2, 3 ] ", "null:-32600 null:-32600 null:-32600");
}

static void
mixed_batch_is_answered_in_one_message(void **state)
{
    (void)state;
    assert_batch(
        "[{\"jsonrpc\": \"2.0\", \"method\": \"sum\", \"params\": [1,2,4], \"id\": \"1\"},"
        "{\"jsonrpc\": \"2.0\", \"method\": \"notify_hello\", \"params\": [7]},"
        "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [42,23], \"id\": \"2\"},"
        "{\"foo\": \"boo\"},"
        "{\"jsonrpc\": \"2.0\", \"method\": \"foo.get\", \"params\": {\"name\": \"myself\"},"
        " \"id\": \"5\"},"
        "{\"jsonrpc\": \"2.0\", \"method\": \"get_data\", \"id\": \"9\"}]",
        "\"1\":7 \"2\":19 null:-32600 \"5\":-32601 \"9\":[\"hello\",5]");
}

static void
batch_of_notifications_is_not_answered(void **state)
{
    (void)state;
    assert_answer("[{\"jsonrpc\": \"2.0\", \"method\": \"sum\", \"params\": [1,2,4]},"
                  "{\"jsonrpc\": \"2.0\", \"method\": \"notify_hello\", \"params\": [7]}]",
                  "");
    assert_int_equal(fake->started_count, 2);
    assert_answer("[{\"jsonrpc\": \"2.0\", \"result\": 1, \"id\": 1}]", "");
}

static void
response_is_ignored(void **state)
{
    (void)state;
    assert_answer("{\"jsonrpc\": \"2.0\", \"result\": 7, \"id\": \"1\"}", "");
    assert_answer(
        "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -1, \"message\": \"x\"}, \"id\": null}", "");
    assert_answer("{\"error\": {\"code\": -32601}}", "");
    assert_answer("{\"error\": 1, \"error\": 2}", "");
    assert_int_equal(fake->connections[0].unanswered, 0);
}

static void
id_is_echoed_as_it_was_written(void **state)
{
    static const char *const ids[] = {
        "0",
        "-0",
        "7",
        "1.5",
        "1.10",
        "1e2",
        "9007199254740993",
        "123456789012345678901234567890",
        "null",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\xc3\xa9\"",
        "\"\\/x\"",
        "\"\\ud83d\\ude00\"",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        _cleanup_free_ char *message =
            xprintf("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":%s}", ids[i]);
        _cleanup_free_ char *answer =
            xprintf("{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":0}", ids[i]);

        assert_string_equal(fake_ask(0, message), answer);
    }
}

static void
id_names_the_task(void **state)
{
    (void)state;
    fake_ask(0, "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":\"n\\u00e9\\/x\"}");
    assert_string_equal(fake->last_key, "n\xc3\xa9/x");
    assert_int_equal(fake->last_connection, 0);
    fake_ask(1, "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":1.50}");
    assert_string_equal(fake->last_key, "1.50");
    assert_int_equal(fake->last_connection, fake->connections[1].number);
    fake_ask(0, "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":null}");
    assert_string_equal(fake->last_key, "");
    fake_ask(0,
             "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"params\":{\"taskId\":\"t1\",\"once\":true},"
             "\"id\":5}");
    assert_string_equal(fake->last_key, "t1");
    assert_int_equal(fake->last_connection, 0);
    assert_true(fake->last_once);
}

static void
id_that_cannot_name_a_task_is_refused_under_it(void **state)
{
    struct text id = TEXT_INIT;

    (void)state;
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":\"\"}", "\"\":-32600");
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":\"a\\nb\"}", "\"a\\nb\":-32600");
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":\"\x7f\"}", "\"\x7f\":-32600");
    for (int size = 255; size <= 256; size++) {
        text_clear(&id);
        text_printf(&id, "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":\"%0*d\"}", size, 7);
        fake_ask(0, id.bytes);
    }
    assert_int_equal(fake->started_count, 1);
    assert_int_equal(strlen(fake->last_key), 255);
    text_done(&id);
}

static void
id_too_long_to_be_one_is_answered_as_null(void **state)
{
    struct text message = TEXT_INIT;
    char *shortened;

    (void)state;
    text_printf(&message, "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":\"%05000d\"}", 7);
    shortened = in_short(fake_ask(0, message.bytes));
    assert_string_equal(shortened, "null:-32600");
    free(shortened);
    text_done(&message);
}

static void
key_given_twice_is_refused(void **state)
{
    (void)state;
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"method\":\"fail\",\"id\":1}",
                  "1:-32600");
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":1,\"\\u0069d\":2}", "1:-32600");
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":1,\"x\":2,\"x\":2}", "1:-32600");
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":1,\"x\":2,\"y\":2}", "1:0");
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":1,\"params\":{\"a\":1,\"a\":1}}",
                  "1:-32602");
    assert_int_equal(fake->started_count, 1);
}

static void
batch_beyond_the_limit_is_one_error(void **state)
{
    const char *answer;

    (void)state;
    assert_batch("[1,2,3,4,5,6,7,8]", "null:-32600 null:-32600 null:-32600 null:-32600 null:-32600 "
                                      "null:-32600 null:-32600 null:-32600");
    answer = fake_ask(0, "[1,2,3,4,5,6,7,8,9]");
    assert_non_null(
        strstr(answer, "\"name\":\"LimitExceeded\",\"limit\":\"batchCount\",\"max\":8"));
}

static void
answers_come_in_the_order_in_which_tasks_answer(void **state)
{
    (void)state;
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"slow\"}", "");
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":2}", "");
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":3}", "3:0");
    assert_int_equal(fake->connections[0].tasks, 2);
    assert_int_equal(fake->connections[0].unanswered, 2);
    fake_end("2");
    assert_string_equal(fake_sent(0), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"held\"}");
    fake_end("slow");
    assert_string_equal(fake_sent(0), "{\"jsonrpc\":\"2.0\",\"id\":\"slow\",\"result\":\"held\"}");
    assert_int_equal(fake->connections[0].tasks, 0);
    assert_int_equal(fake->connections[0].unanswered, 0);
}

static void
two_connections_with_one_id_get_their_own_answers(void **state)
{
    (void)state;
    fake_ask(0, "{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":1}");
    fake_ask(1, "{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":1}");
    assert_int_equal(fake->tasks[0].request.key.connection, fake->connections[0].number);
    assert_int_equal(fake->tasks[1].request.key.connection, fake->connections[1].number);
    fake_end_at(1);
    assert_string_equal(fake_sent(0), "");
    assert_string_equal(fake_sent(1), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"held\"}");
}

static void
batch_waits_for_its_slowest_call(void **state)
{
    (void)state;
    assert_answer("[{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"a\"},"
                  "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":2},"
                  "{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"b\"},"
                  "{\"jsonrpc\":\"2.0\",\"method\":\"hold\"}]",
                  "");
    fake_end("b");
    assert_string_equal(fake_sent(0), "");
    fake_end("a");
    assert_batch_text(fake_sent(0), "2:0 \"b\":\"held\" \"a\":\"held\"");
    assert_int_equal(fake->connections[0].tasks, 1); /* the notification's */
}

static void
call_that_answers_early_counts_as_answered_in_a_batch(void **state)
{
    (void)state;
    assert_batch("[{\"jsonrpc\":\"2.0\",\"method\":\"early\",\"id\":\"e\"},"
                 "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":2}]",
                 "\"e\":{} 2:0");
    assert_int_equal(fake->connections[0].tasks, 1);
    assert_int_equal(fake->connections[0].unanswered, 0);
    fake_end("e");
    assert_string_equal(fake_sent(0), "");
    assert_int_equal(fake->connections[0].tasks, 0);
}

static void
batch_whose_answers_are_too_large_comes_in_several_frames(void **state)
{
    char *answers, *line;
    unsigned count = 0;

    (void)state;
    answers = xstrdup(fake_ask(0, "[{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":1},"
                                  "{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":2},"
                                  "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":3}]"));
    for (char *at = answers; (line = strsep(&at, "\n"));) {
        json_t *array = json_loads(line, 0, NULL);

        assert_true(json_is_array(array));
        assert_true(strlen(line) < 1024 * 1024);
        count += (unsigned)json_array_size(array);
        json_decref(array);
    }
    assert_int_equal(count, 3);
    free(answers);
}

static void
unfinished_batches_hold_back_no_more_than_one_frame(void **state)
{
    const struct connection *connection = &fake->connections[0];
    char message[256];

    (void)state;
    for (int i = 0; i < 4; i++) {
        (void)snprintf(message, sizeof(message),
                       "[{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":%d},"
                       "{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"%d\"}]",
                       i, i);
        fake_receive_sized(0, message, strlen(message));
        assert_in_range(connection->gathered, 0, 1000 * 1024);
        /* Every other one has no room any more: its first answer goes ahead. */
        assert_int_equal(strlen(fake_sent(0)) > 0, i > 0);
    }
    for (int i = 0; i < 4; i++) {
        (void)snprintf(message, sizeof(message), "%d", i);
        fake_end(message);
        assert_non_null(strstr(fake_sent(0), "\"held\""));
    }
    assert_int_equal(connection->gathered, 0);
    assert_int_equal(connection->unanswered, 0);
}

static void
batch_of_a_closed_connection_holds_nothing(void **state)
{
    (void)state;
    fake_ask(0, "[{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":1},"
                "{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"a\"},"
                "{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"b\"}]");
    assert_in_range(fake->connections[0].gathered, 500000, 600000);
    request_forget(&fake->connections[0]);
    assert_int_equal(fake->connections[0].gathered, 0);
    fake->connections[0].closed = true;
    fake_end("a");
    fake_end("b");
    assert_string_equal(fake_sent(0), "");
}

static void
closed_connection_takes_no_task_with_it(void **state)
{
    (void)state;
    fake_ask(0, "{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"single\"}");
    fake_ask(0, "[{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"one\"},"
                "{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"two\"},"
                "{\"jsonrpc\":\"2.0\",\"method\":\"early\",\"id\":\"early\"}]");
    fake_end("one");
    request_forget(&fake->connections[0]);
    fake->connections[0].closed = true;
    assert_int_equal(fake->connections[0].tasks, 0);
    assert_null(fake->connections[0].replies);
    fake_end("single");
    fake_end("two");
    fake_end("early");
    assert_string_equal(fake_sent(0), "");
}

static void
post_is_finished_when_all_is_answered(void **state)
{
    static const char message[] = "[{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"a\"},1]";

    (void)state;
    fake->connections[0].http = true;
    fake_receive_sized(0, message, sizeof(message) - 1);
    assert_int_equal(fake->finished[0], 0);
    fake_end("a");
    assert_int_equal(fake->finished[0], 1);
    assert_batch_text(fake_sent(0), "null:-32600 \"a\":\"held\"");
    fake_ask(0, "{\"jsonrpc\":\"2.0\",\"method\":\"early\",\"id\":\"e\"}");
    assert_int_equal(fake->finished[0], 2);
    fake_ask(0, "{");
    assert_int_equal(fake->finished[0], 3);
}

static void
post_of_notifications_is_finished_with_nothing(void **state)
{
    (void)state;
    fake->connections[0].http = true;
    assert_answer("{\"jsonrpc\":\"2.0\",\"method\":\"hold\"}", "");
    assert_int_equal(fake->finished[0], 1);
    assert_answer("[{\"jsonrpc\":\"2.0\",\"method\":\"hold\"}]", "");
    assert_int_equal(fake->finished[0], 2);
}

static void
post_of_a_batch_has_one_body_however_large(void **state)
{
    json_t *array;

    (void)state;
    fake->connections[0].http = true;
    array = json_loads(fake_ask(0, "[{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":1},"
                                   "{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":2},"
                                   "{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":3}]"),
                       0, NULL);
    assert_int_equal(json_array_size(array), 3);
    json_decref(array);
}

static void
many_calls_come_and_go(void **state)
{
    (void)state;
    for (int turn = 0; turn < 50; turn++) {
        for (int i = 0; i < 6; i++) {
            _cleanup_free_ char *message =
                xprintf("{\"jsonrpc\":\"2.0\",\"method\":\"hold\",\"id\":\"%0*d\"}", 1 + i * 40, i);

            assert_string_equal(fake_ask(0, message), "");
        }
        while (fake->task_count)
            fake_end_at((size_t)turn % fake->task_count);
        assert_int_equal(fake->connections[0].tasks, 0);
        assert_true(strlen(fake_sent(0)) > 6 * 40);
    }
}

int
main(void)
{
#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)
    const struct CMUnitTest tests[] = {
        CLAIM(call_with_positional_parameters),
        CLAIM(call_with_named_parameters),
        CLAIM(notification_is_never_answered),
        CLAIM(call_of_a_method_that_is_not_there),
        CLAIM(message_that_is_not_json),
        CLAIM(nesting_beyond_the_limit_says_so),
        CLAIM(json_that_is_no_request),
        CLAIM(invalid_members_of_a_batch_are_each_answered),
        CLAIM(mixed_batch_is_answered_in_one_message),
        CLAIM(batch_of_notifications_is_not_answered),
        CLAIM(response_is_ignored),
        CLAIM(id_is_echoed_as_it_was_written),
        CLAIM(id_names_the_task),
        CLAIM(id_that_cannot_name_a_task_is_refused_under_it),
        CLAIM(id_too_long_to_be_one_is_answered_as_null),
        CLAIM(key_given_twice_is_refused),
        CLAIM(batch_beyond_the_limit_is_one_error),
        CLAIM(answers_come_in_the_order_in_which_tasks_answer),
        CLAIM(two_connections_with_one_id_get_their_own_answers),
        CLAIM(batch_waits_for_its_slowest_call),
        CLAIM(call_that_answers_early_counts_as_answered_in_a_batch),
        CLAIM(batch_whose_answers_are_too_large_comes_in_several_frames),
        CLAIM(unfinished_batches_hold_back_no_more_than_one_frame),
        CLAIM(batch_of_a_closed_connection_holds_nothing),
        CLAIM(closed_connection_takes_no_task_with_it),
        CLAIM(post_is_finished_when_all_is_answered),
        CLAIM(post_of_notifications_is_finished_with_nothing),
        CLAIM(post_of_a_batch_has_one_body_however_large),
        CLAIM(many_calls_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
