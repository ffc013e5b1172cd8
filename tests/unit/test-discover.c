/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document is read with jansson, as a client would.
 */
#include <config.h>

#include "rpc/server.h"

#include <jansson.h>
#include <string.h>

#include "tests/unit/fake-agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static json_t *document;

static int
begin(void **state)
{
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)state;
    fake_open();
    discover_write(fake->agent.verbs, &writer);
    assert_int_equal(writer.depth, 0);
    document = json_loadb(writer.text.bytes, writer.text.length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(document);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    json_decref(document);
    fake_close();
    return 0;
}

static const json_t *
find(const json_t *list, const char *name)
{
    size_t i;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)list, i,
                       entry) if (strcmp(json_string_value(json_object_get(entry, "name")), name) ==
                                  0) return entry;
    fail_msg("there is no '%s'", name);
    return NULL;
}

static const json_t *
method_named(const char *name)
{
    return find(json_object_get(document, "methods"), name);
}

static void
assert_json(const json_t *value, const char *expected)
{
    json_t *other = json_loads(expected, JSON_DECODE_ANY, NULL);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);

    if (!json_equal(value, other))
        fail_msg("%s, not %s", text, expected);
    free(text);
    json_decref(other);
}

static void
document_has_what_openrpc_asks_for(void **state)
{
    (void)state;
    assert_json(json_object_get(document, "openrpc"), "\"1.2.6\"");
    assert_json(json_object_get(json_object_get(document, "info"), "title"), "\"Hostler\"");
    assert_json(json_object_get(json_object_get(document, "info"), "version"),
                "\"" PACKAGE_VERSION "\"");
}

static void
every_verb_is_a_method_once(void **state)
{
    const json_t *methods = json_object_get(document, "methods");
    size_t count = 0;

    (void)state;
    for (const struct verb *verb = fake_verbs; verb->name; verb++, count++) {
        const json_t *method = method_named(verb->name);

        assert_json(json_object_get(method, "paramStructure"), "\"either\"");
        assert_json(json_object_get(json_object_get(method, "result"), "schema"),
                    "{\"$ref\":\"#/components/schemas/Fake\"}");
        assert_true(json_is_array(json_object_get(method, "errors")));
    }
    assert_int_equal(json_array_size(methods), count);
}

static void
method_tells_role_kind_and_aliases(void **state)
{
    const json_t *method = method_named("get_data");

    (void)state;
    assert_json(json_object_get(method, "x-role"), "\"viewer\"");
    assert_json(json_object_get(method, "x-kind"), "\"reads\"");
    assert_json(json_object_get(method, "x-aliases"), "[\"getData\",\"data\"]");
    assert_json(json_object_get(method_named("early"), "x-kind"), "\"answersEarly\"");
    assert_json(json_object_get(method_named("rule"), "x-role"), "\"admin\"");
    assert_json(json_object_get(method_named("rule"), "x-aliases"), "[]");
}

#define INNER_SCHEMA                                                                               \
    "\"type\":\"object\",\"properties\":{\"rate\":{\"description\":\"In bytes.\","                 \
    "\"type\":\"integer\",\"minimum\":0,\"maximum\":1000,\"x-type\":\"size\"},"                    \
    "\"note\":{\"description\":\"A line.\",\"type\":\"string\",\"x-type\":\"text\"}},"             \
    "\"required\":[],\"additionalProperties\":false"

static void
parameters_have_schemas_by_their_type(void **state)
{
    static const char *const expected[][3] = {
        { "name", "name",
          "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$\"}" },
        { "text", "text", "{\"type\":\"string\",\"minLength\":1,\"maxLength\":8}" },
        { "path", "path", "{\"type\":\"string\",\"pattern\":\"^/\"}" },
        { "task", "task", "{\"type\":[\"string\",\"number\"]}" },
        { "size", "size", "{\"type\":\"integer\",\"minimum\":1,\"default\":512}" },
        { "integer", "integer", "{\"type\":\"integer\",\"minimum\":-5,\"maximum\":5}" },
        { "any", "integer", "{\"type\":\"integer\"}" },
        { "flag", "bool", "{\"type\":\"boolean\"}" },
        { "choice", "choice",
          "{\"type\":\"string\",\"enum\":[\"red\",\"green\",\"blue\"],\"default\":\"green\"}" },
        { "object", "object", "{\"type\":\"object\"}" },
        { "texts", "texts", "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}" },
        { "record", "record", "{" INNER_SCHEMA "}" },
        { "parts", "records",
          "{\"type\":\"array\",\"minItems\":0,\"maxItems\":4,\"items\":{\"type\":\"object\","
          "\"properties\":{\"name\":{\"description\":\"A name.\",\"type\":\"string\","
          "\"pattern\":\"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$\",\"x-type\":\"name\"},"
          "\"bus\":{\"description\":\"A bus.\",\"type\":\"string\",\"enum\":[\"virtio\",\"scsi\"],"
          "\"default\":\"virtio\",\"x-type\":\"choice\"},"
          "\"order\":{\"description\":\"An order.\",\"type\":\"integer\",\"minimum\":1,"
          "\"maximum\":9,\"x-type\":\"integer\"},"
          "\"inner\":{\"description\":\"A record within.\"," INNER_SCHEMA
          ",\"x-type\":\"record\"},\"tags\":{\"description\":\"Tags.\",\"type\":\"array\","
          "\"items\":{\"type\":\"string\"},\"x-type\":\"texts\"}},"
          "\"required\":[\"name\"],\"additionalProperties\":false}}" },
    };
    const json_t *params = json_object_get(method_named("every"), "params");

    (void)state;
    assert_int_equal(json_array_size(params), ARRAY_COUNT(expected));
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        const json_t *param = json_array_get(params, i);

        assert_string_equal(json_string_value(json_object_get(param, "name")), expected[i][0]);
        assert_string_equal(json_string_value(json_object_get(param, "x-type")), expected[i][1]);
        assert_json(json_object_get(param, "schema"), expected[i][2]);
        assert_json(json_object_get(param, "required"), "false");
        assert_true(json_is_string(json_object_get(param, "description")));
    }
}

static void
required_parameters_are_marked(void **state)
{
    const json_t *params = json_object_get(method_named("subtract"), "params");

    (void)state;
    assert_json(json_object_get(find(params, "minuend"), "required"), "true");
    assert_json(json_object_get(find(params, "minuend"), "schema"), "{\"type\":\"integer\"}");
}

static void
shapes_are_components_once(void **state)
{
    (void)state;
    assert_json(json_object_get(json_object_get(document, "components"), "schemas"),
                "{\"Fake\":{}}");
}

static void
every_error_and_topic_is_told(void **state)
{
    const json_t *errors = json_object_get(document, "x-errors");
    const json_t *topics = json_object_get(document, "x-topics");
    size_t count = 0;

    (void)state;
    while (error_code_at((unsigned)count) != ERROR_NONE)
        count++;
    assert_int_equal(json_array_size(errors), count);
    assert_json(json_object_get(find(errors, "TaskIdInUse"), "code"), "1001");
    assert_json(json_array_get(topics, 0), "\"task.started\"");
}

static void
common_parameters_are_told_once(void **state)
{
    const json_t *common = json_object_get(document, "x-common-params");

    (void)state;
    assert_int_equal(json_array_size(common), 3);
    assert_json(json_object_get(find(common, "once"), "schema"), "{\"type\":\"boolean\"}");
    assert_non_null(find(common, "taskId"));
    assert_non_null(find(common, "ifInstance"));
}

int
main(void)
{
#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)
    const struct CMUnitTest tests[] = {
        CLAIM(document_has_what_openrpc_asks_for), CLAIM(every_verb_is_a_method_once),
        CLAIM(method_tells_role_kind_and_aliases), CLAIM(parameters_have_schemas_by_their_type),
        CLAIM(required_parameters_are_marked),     CLAIM(shapes_are_components_once),
        CLAIM(every_error_and_topic_is_told),      CLAIM(common_parameters_are_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
