/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/dispatch.h"

#include <string.h>

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

static bool
prepare(const char *method, const char *id, const char *params, struct dispatched *ret_dispatched,
        struct error **err)
{
    struct envelope envelope = { .method = { method, strlen(method) },
                                 .id = { id, id ? strlen(id) : 0 },
                                 .params = { params, params ? strlen(params) : 0 } };

    return dispatch_prepare(&fake->connections[0], &envelope, ret_dispatched, err);
}

/* The key of the task, as CONNECTION:TEXT. */
static void
assert_key(const char *id, const char *params, const char *expected)
{
    struct dispatched dispatched;
    struct error *error = NULL;
    char *key;

    if (!prepare("\"get_data\"", id, params, &dispatched, &error))
        fail_msg("%s", error->message);
    key = xprintf("%" PRIu64 ":%.*s", dispatched.request.key.connection,
                  (int)dispatched.request.key.length,
                  dispatched.request.key.text ? dispatched.request.key.text : "(fresh)");
    if (!dispatched.request.key.text)
        assert_string_equal(expected, "fresh");
    else
        assert_string_equal(key, expected);
    free(key);
    dispatch_done(&dispatched);
}

static void
assert_refused(const char *method, const char *params, enum error_code code, const char *data)
{
    struct dispatched dispatched;
    struct error *error = NULL;

    if (prepare(method, "1", params, &dispatched, &error))
        fail_msg("%s was let through", method);
    assert_int_equal(error->code, code);
    if (data && (!error->data || !strstr(error->data, data)))
        fail_msg("data is '%s', not '%s'", error->data, data);
    error_free(error);
}

static void
string_id_is_host_wide_and_number_id_the_connections(void **state)
{
    (void)state;
    assert_key("\"7\"", NULL, "0:7");
    assert_key("7", NULL, "7:7");
    assert_key("-1.50e1", NULL, "7:-1.50e1");
    assert_key("\"\\u0061\\/\"", NULL, "0:a/");
    assert_key("null", NULL, "fresh");
    assert_key(NULL, NULL, "fresh");
}

static void
task_id_wins_over_the_id(void **state)
{
    (void)state;
    assert_key("7", "{\"taskId\":\"t\"}", "0:t");
    assert_key("\"\\u0061\"", "{\"taskId\":\"t\"}", "0:t");
    assert_key(NULL, "{\"taskId\":\"t\"}", "0:t");
    assert_key("7", "{\"taskId\":null}", "7:7");
}

static void
request_carries_who_asks(void **state)
{
    struct dispatched dispatched;
    struct error *error = NULL;

    (void)state;
    assert_true(prepare("\"getData\"", "1", "{\"once\":true}", &dispatched, &error));
    assert_string_equal(dispatched.request.verb->name, "get_data");
    assert_string_equal(dispatched.request.caller, "uid:0");
    assert_int_equal(dispatched.request.role, ROLE_OPERATOR);
    assert_int_equal(dispatched.request.connection, fake->connections[0].number);
    assert_true(dispatched.request.once);
    assert_null(dispatched.request.args);
    dispatch_done(&dispatched);
}

static void
unknown_method_is_refused(void **state)
{
    struct text method = TEXT_INIT;

    (void)state;
    assert_refused("\"nothing\"", NULL, ERROR_METHOD_NOT_FOUND, NULL);
    assert_refused("\"\"", NULL, ERROR_METHOD_NOT_FOUND, NULL);
    assert_refused("\"sum\\u0000\"", NULL, ERROR_METHOD_NOT_FOUND, NULL);
    text_printf(&method, "\"%0100000d\"", 1);
    assert_refused(method.bytes, NULL, ERROR_METHOD_NOT_FOUND, NULL);
    text_done(&method);
}

static void
role_that_is_too_low_is_told_what_is_needed(void **state)
{
    (void)state;
    assert_refused("\"rule\"", NULL, ERROR_FORBIDDEN, "\"role\":\"operator\",\"needs\":\"admin\"");
    fake->connections[0].role = ROLE_VIEWER;
    assert_refused("\"change\"", NULL, ERROR_FORBIDDEN,
                   "\"role\":\"viewer\",\"needs\":\"operator\"");
    /* The role before the parameters: who may not ask learns nothing of them. */
    assert_refused("\"change\"", "{\"x\":1}", ERROR_FORBIDDEN, NULL);
    assert_key("1", NULL, "7:1");
}

static void
calls_in_flight_are_limited(void **state)
{
    (void)state;
    fake->connections[0].tasks = fake->config.limits.connection_tasks;
    assert_refused("\"get_data\"", NULL, ERROR_LIMIT_EXCEEDED,
                   "\"limit\":\"connectionTasks\",\"max\":6");
    fake->connections[0].tasks = 0;
    assert_key("1", NULL, "7:1");
}

static void
only_verbs_that_change_are_limited_in_rate(void **state)
{
    struct dispatched dispatched;
    struct error *error = NULL;

    (void)state;
    fake->config.limits.caller_rate = 1;
    while (prepare("\"change\"", "1", NULL, &dispatched, &error))
        dispatch_done(&dispatched);
    assert_int_equal(error->code, ERROR_RATE_LIMITED);
    assert_non_null(strstr(error->data, "\"retryAfterMs\":"));
    error_free(TAKE(error));
    for (int i = 0; i < 100; i++)
        assert_key("1", NULL, "7:1");
}

static void
other_instance_is_refused(void **state)
{
    (void)state;
    assert_refused("\"every\"", "{\"name\":\"n\",\"ifInstance\":\"x\"}", ERROR_WRONG_INSTANCE,
                   "\"instance\":\"" FAKE_INSTANCE "\"");
    assert_key("1", "{\"ifInstance\":\"" FAKE_INSTANCE "\"}", "7:1");
}

static void
wrong_parameters_are_refused(void **state)
{
    (void)state;
    assert_refused("\"subtract\"", "[1,\"2\"]", ERROR_INVALID_PARAMS, "\"param\":\"subtrahend\"");
}

int
main(void)
{
#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)
    const struct CMUnitTest tests[] = {
        CLAIM(string_id_is_host_wide_and_number_id_the_connections),
        CLAIM(task_id_wins_over_the_id),
        CLAIM(request_carries_who_asks),
        CLAIM(unknown_method_is_refused),
        CLAIM(role_that_is_too_low_is_told_what_is_needed),
        CLAIM(calls_in_flight_are_limited),
        CLAIM(only_verbs_that_change_are_limited_in_rate),
        CLAIM(other_instance_is_refused),
        CLAIM(wrong_parameters_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
