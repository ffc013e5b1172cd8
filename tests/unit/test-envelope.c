/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/envelope.h"

#include <string.h>

#include "agent/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static struct envelope
envelope_of(const char *text)
{
    struct envelope envelope;
    struct scan scan;

    scan_init(&scan, text, strlen(text), 64);
    assert_true(envelope_scan(&scan, &envelope));
    assert_true(scan_at_end(&scan));
    return envelope;
}

static void
assert_slice(struct slice slice, const char *expected)
{
    if (!expected) {
        assert_null(slice.text);
        return;
    }
    assert_non_null(slice.text);
    assert_int_equal(slice.size, strlen(expected));
    assert_memory_equal(slice.text, expected, slice.size);
}

static void
assert_valid(const char *text)
{
    struct envelope envelope = envelope_of(text);
    struct error *error = NULL;

    if (!envelope_check(&envelope, &error))
        fail_msg("'%s': %s", text, error->message);
}

/* 'data' stands in the error's data; 'id' is what the answer carries. */
static void
assert_invalid(const char *text, const char *data, const char *id)
{
    struct envelope envelope = envelope_of(text);
    struct error *error = NULL;

    assert_false(envelope_is_response(&envelope));
    if (envelope_check(&envelope, &error))
        fail_msg("'%s' was found valid", text);
    assert_int_equal(error->code, ERROR_INVALID_REQUEST);
    if (data && (!error->data || !strstr(error->data, data)))
        fail_msg("'%s': data is '%s', not '%s'", text, error->data, data);
    assert_slice(envelope_answer_id(&envelope), id);
    error_free(error);
}

static void
members_are_slices_of_the_text(void **state)
{
    struct envelope envelope =
        envelope_of(" { \"id\" : 1.10 , \"params\" : [ 1 ] , \"method\":\"a.b\", "
                    "\"jsonrpc\":\"2.0\" } ");

    (void)state;
    assert_slice(envelope.id, "1.10");
    assert_slice(envelope.params, "[ 1 ]");
    assert_slice(envelope.method, "\"a.b\"");
    assert_slice(envelope.version, "\"2.0\"");
    assert_slice(envelope.result, NULL);
    assert_slice(envelope.twice, NULL);
    assert_int_equal(envelope.other_count, 0);
}

static void
keys_may_be_escaped(void **state)
{
    struct envelope envelope =
        envelope_of("{\"\\u0069d\":7,\"m\\u0065thod\":\"x\",\"jsonrpc\":\"2\\u002e0\"}");
    struct error *error = NULL;

    (void)state;
    assert_slice(envelope.id, "7");
    assert_slice(envelope.method, "\"x\"");
    assert_true(envelope_check(&envelope, &error));
}

static void
requests_are_valid(void **state)
{
    (void)state;
    assert_valid("{\"jsonrpc\":\"2.0\",\"method\":\"m\"}");
    assert_valid("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":null}");
    assert_valid("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":0,\"params\":{}}");
    assert_valid(
        "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"a\",\"params\":[],\"x\":1,\"y\":2}");
    assert_valid("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"\\ud83d\\ude00\"}");
}

static void
what_is_no_request_is_told_by_its_place(void **state)
{
    (void)state;
    assert_invalid("1", NULL, NULL);
    assert_invalid("[]", NULL, NULL);
    assert_invalid("null", NULL, NULL);
    assert_invalid("{}", "\"param\":\"jsonrpc\"", NULL);
    assert_invalid("{\"jsonrpc\":2.0,\"method\":\"m\",\"id\":1}", "\"param\":\"jsonrpc\"", "1");
    assert_invalid("{\"jsonrpc\":\"2.1\",\"method\":\"m\",\"id\":1}", "\"param\":\"jsonrpc\"", "1");
    assert_invalid("{\"jsonrpc\":\"2.0\",\"id\":1}", "\"param\":\"method\"", "1");
    assert_invalid("{\"jsonrpc\":\"2.0\",\"method\":1,\"id\":1}", "\"param\":\"method\"", "1");
    assert_invalid("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"a\",\"params\":1}",
                   "\"param\":\"params\"", "\"a\"");
    assert_invalid("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":null}", "\"param\":\"params\"",
                   NULL);
}

static void
id_must_be_able_to_name_a_task(void **state)
{
    _cleanup_free_ char *number = NULL;
    struct text text = TEXT_INIT;
    size_t digits;

    (void)state;
#define WITH_ID(id) "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":" id "}"
    assert_invalid(WITH_ID("{}"), "\"param\":\"id\"", NULL);
    assert_invalid(WITH_ID("[1]"), "\"param\":\"id\"", NULL);
    assert_invalid(WITH_ID("false"), "\"param\":\"id\"", NULL);
    assert_invalid(WITH_ID("\"\""), "\"param\":\"id\"", "\"\"");
    assert_invalid(WITH_ID("\"a\\u0000\""), "\"param\":\"id\"", "\"a\\u0000\"");
    assert_invalid(WITH_ID("\"a\\u001f\""), "\"param\":\"id\"", "\"a\\u001f\"");
    assert_invalid(WITH_ID("\"\x7f\""), "\"param\":\"id\"", "\"\x7f\"");
    text_append_string(&text, "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":");
    digits = text.length;
    for (int i = 0; i < 256; i++)
        text_append_char(&text, '7');
    number = xstrndup(text.bytes + digits, 256);
    text_append_char(&text, '}');
    assert_invalid(text.bytes, "\"param\":\"id\"", number);
    text_done(&text);
}

static void
key_given_twice_is_named(void **state)
{
    (void)state;
    assert_invalid("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"method\":\"m\",\"id\":1}",
                   "\"param\":\"method\",\"reason\":\"is given twice\"", "1");
    assert_invalid("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"x\":1,\"y\":1,\"\\u0078\":1}",
                   "given twice", NULL);
    assert_valid("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{\"a\":1,\"a\":1}}");
}

static void
members_that_nobody_knows_are_ignored_up_to_a_bound(void **state)
{
    struct text text = TEXT_INIT;

    (void)state;
    for (int count = ENVELOPE_OTHERS_MAX; count <= ENVELOPE_OTHERS_MAX + 1; count++) {
        text_clear(&text);
        text_append_string(&text, "{\"jsonrpc\":\"2.0\",\"method\":\"m\"");
        for (int i = 0; i < count; i++)
            text_printf(&text, ",\"member%d\":%d", i, i);
        text_append_char(&text, '}');
        if (count == ENVELOPE_OTHERS_MAX)
            assert_valid(text.bytes);
        else
            assert_invalid(text.bytes, NULL, NULL);
    }
    text_done(&text);
}

static void
responses_are_recognised(void **state)
{
    static const char *const texts[] = {
        "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":1}",
        "{\"error\":{}}",
        "{\"result\":1,\"result\":2}",
    };
    struct envelope envelope;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        envelope = envelope_of(texts[i]);
        assert_true(envelope_is_response(&envelope));
    }
    envelope = envelope_of("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"result\":1}");
    assert_false(envelope_is_response(&envelope));
    envelope = envelope_of("{\"foo\":\"boo\"}");
    assert_false(envelope_is_response(&envelope));
}

static void
what_is_not_json_is_no_envelope(void **state)
{
    static const char *const texts[] = { "",           "{",         "{\"id\":1", "{\"id\":1,}",
                                         "{\"id\" 1}", "{\"id\":x}" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct envelope envelope;
        struct scan scan;

        scan_init(&scan, texts[i], strlen(texts[i]), 64);
        assert_false(envelope_scan(&scan, &envelope));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_slices_of_the_text),
        cmocka_unit_test(keys_may_be_escaped),
        cmocka_unit_test(requests_are_valid),
        cmocka_unit_test(what_is_no_request_is_told_by_its_place),
        cmocka_unit_test(id_must_be_able_to_name_a_task),
        cmocka_unit_test(key_given_twice_is_named),
        cmocka_unit_test(members_that_nobody_knows_are_ignored_up_to_a_bound),
        cmocka_unit_test(responses_are_recognised),
        cmocka_unit_test(what_is_not_json_is_no_envelope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
