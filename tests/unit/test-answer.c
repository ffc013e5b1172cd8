/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/answer.h"

#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void
result_carries_the_id_as_it_was_written(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    answer_result(&text, (struct slice){ "1.10", 4 }, "{\"a\":1}", 7);
    assert_string_equal(text.bytes, "{\"jsonrpc\":\"2.0\",\"id\":1.10,\"result\":{\"a\":1}}");
    assert_int_equal(strlen(text.bytes), text.length);
}

static void
absent_id_is_null(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    answer_result(&text, (struct slice){ 0 }, "[]", 2);
    assert_string_equal(text.bytes, "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":[]}");
}

static void
answers_are_appended(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    _cleanup_(error_freep) struct error *error = NULL;

    (void)state;
    text_append_char(&text, '[');
    answer_result(&text, (struct slice){ "1", 1 }, "1", 1);
    text_append_char(&text, ',');
    error_set(&error, ERROR_CONFLICT, "changed");
    answer_error(&text, (struct slice){ "2", 1 }, error);
    assert_string_equal(text.bytes, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1},"
                                    "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":1053,"
                                    "\"message\":\"changed\",\"data\":{\"name\":\"Conflict\"}}}");
}

static void
error_carries_code_message_name_and_data(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    _cleanup_(error_freep) struct error *error = NULL;
    json_t *answer;
    json_t *member;

    (void)state;
    (void)error_param(&error, "size", "must be at least %d, not \"\xff\n\"", 1);
    answer_error(&text, (struct slice){ "\"x\"", 3 }, error);
    answer = json_loadb(text.bytes, text.length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(answer);
    member = json_object_get(answer, "error");
    assert_int_equal(json_integer_value(json_object_get(member, "code")), -32602);
    assert_string_equal(json_string_value(json_object_get(member, "message")),
                        "parameter 'size' must be at least 1, not \"\xef\xbf\xbd\n\"");
    member = json_object_get(member, "data");
    assert_string_equal(json_string_value(json_object_get(member, "name")), "InvalidParams");
    assert_string_equal(json_string_value(json_object_get(member, "param")), "size");
    assert_non_null(json_object_get(member, "reason"));
    json_decref(answer);
}

static void
large_result_is_copied_whole(void **state)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    size_t size = 1 << 20;
    char *result = xalloc(size);

    (void)state;
    memset(result, '7', size);
    answer_result(&text, (struct slice){ "1", 1 }, result, size);
    assert_int_equal(text.length, size + strlen("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":}"));
    assert_int_equal(text.bytes[text.length - 1], '}');
    free(result);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_carries_the_id_as_it_was_written),
        cmocka_unit_test(absent_id_is_null),
        cmocka_unit_test(answers_are_appended),
        cmocka_unit_test(error_carries_code_message_name_and_data),
        cmocka_unit_test(large_result_is_copied_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
