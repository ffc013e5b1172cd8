/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/args.h"

#include <string.h>

#include "tests/unit/fake-agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static const struct verb *
verb_named(const char *name)
{
    for (const struct verb *verb = fake_verbs; verb->name; verb++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    fail();
    return NULL;
}

static void *
fill(const char *verb, const char *params, struct common_args *ret_common)
{
    struct error *error = NULL;
    void *args = NULL;

    if (!args_fill(verb_named(verb), (struct slice){ params, params ? strlen(params) : 0 }, &args,
                   ret_common, &error))
        fail_msg("'%s': %s", params, error->message);
    return args;
}

static void
assert_refused(const char *verb, const char *params, const char *param, const char *reason)
{
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_free_ char *expected = xprintf("\"param\":\"%s\",\"reason\":\"%s", param, reason);
    struct common_args common;
    void *args;

    if (args_fill(verb_named(verb), (struct slice){ params, params ? strlen(params) : 0 }, &args,
                  &common, &error))
        fail_msg("'%s' was taken", params);
    assert_int_equal(error->code, ERROR_INVALID_PARAMS);
    if (strncmp(error->data, expected, strlen(expected)) != 0)
        fail_msg("'%s': %s, not %s", params, error->data, expected);
}

static void
named_parameters_fill_their_members(void **state)
{
    struct common_args common;
    struct every_args *args;

    (void)state;
    args = fill(
        "every",
        "{\"name\":\"n\",\"text\":\"text\",\"path\":\"/p\",\"task\":7,\"size\":1,\"integer\":-5,"
        "\"any\":-9,\"flag\":true,\"choice\":\"blue\",\"object\":{\"a\": 1},\"texts\":[\"x\"]}",
        &common);
    assert_string_equal(args->name, "n");
    assert_string_equal(args->text, "text");
    assert_string_equal(args->path, "/p");
    assert_string_equal(args->task.text, "7");
    assert_true(args->task.number);
    assert_int_equal(args->size, 1);
    assert_true(args->has_size);
    assert_int_equal(args->integer, -5);
    assert_int_equal(args->any, -9);
    assert_true(args->flag);
    assert_string_equal(args->choice, "blue");
    assert_string_equal(args->object, "{\"a\":1}");
    assert_string_equal(args->texts[0], "x");
    assert_null(args->texts[1]);
    verb_args_free(verb_named("every"), args);
    common_args_done(&common);
}

static void
positional_parameters_follow_the_table(void **state)
{
    struct common_args common;
    struct every_args *args;
    struct numbers_args *numbers;

    (void)state;
    numbers = fill("subtract", "[42,23]", &common);
    assert_int_equal(numbers->numbers[0], 42);
    assert_int_equal(numbers->numbers[1], 23);
    free(numbers);
    args = fill("every", "[null,\"text\",null,\"t\"]", &common);
    assert_int_equal(strlen(args->name), 36);
    assert_string_equal(args->text, "text");
    assert_null(args->path);
    assert_string_equal(args->task.text, "t");
    assert_false(args->task.number);
    verb_args_free(verb_named("every"), args);
}

static void
absent_parameters_have_their_defaults(void **state)
{
    static const char *const params[] = { NULL, "{}", "[]",
                                          "{\"size\":null,\"choice\":null,\"name\":null}" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(params); i++) {
        struct common_args common;
        struct every_args *args = fill("every", params[i], &common);

        assert_int_equal(strlen(args->name), 36);
        assert_int_equal(args->size, 512);
        assert_false(args->has_size);
        assert_string_equal(args->choice, "green");
        assert_null(args->text);
        assert_null(args->texts);
        verb_args_free(verb_named("every"), args);
    }
}

static void
verb_without_arguments_needs_no_struct(void **state)
{
    static const char *const params[] = { NULL, "{}", "[]" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(params); i++) {
        struct common_args common;

        assert_null(fill("get_data", params[i], &common));
        assert_null(common.task_id);
    }
}

static void
common_parameters_are_taken_out(void **state)
{
    struct common_args common;

    (void)state;
    assert_null(
        fill("get_data", "{\"taskId\":\"t\\u00e9\",\"once\":true,\"ifInstance\":\"i\"}", &common));
    assert_string_equal(common.task_id, "t\xc3\xa9");
    assert_string_equal(common.if_instance, "i");
    assert_true(common.once);
    common_args_done(&common);
    assert_null(fill("get_data", "{\"taskId\":null,\"once\":false}", &common));
    assert_null(common.task_id);
    assert_false(common.once);
}

static void
wrong_common_parameters_are_refused(void **state)
{
    (void)state;
    assert_refused("get_data", "{\"taskId\":\"\"}", "taskId", "must be at least 1 byte");
    assert_refused("get_data", "{\"taskId\":7}", "taskId", "must be a string, not a number");
    assert_refused("get_data", "{\"taskId\":\"a\\nb\"}", "taskId",
                   "must hold no control characters");
    assert_refused("get_data", "{\"taskId\":\"a\\u0000b\"}", "taskId",
                   "must hold no NUL character");
    assert_refused("get_data", "{\"once\":1}", "once", "must be true or false, not a number");
    assert_refused("get_data", "{\"once\":true,\"once\":true}", "once", "is given twice");
    assert_refused("get_data", "{\"taskId\":\"a\",\"taskId\":\"b\"}", "taskId", "is given twice");
    assert_refused("get_data", "{\"ifInstance\":{}}", "ifInstance",
                   "must be a string, not an object");
}

static void
place_of_a_fault_is_named(void **state)
{
    (void)state;
    assert_refused("every", "{\"text\":\"text\",\"size\":0}", "size", "must be at least 1");
    assert_refused("every", "{\"size\":\"10G\"}", "size",
                   "must be an integer of bytes, not a string");
    assert_refused("every", "[null,\"text\",\"/p\",\"t\",0]", "size", "must be at least 1");
    assert_refused("every", "{\"integer\":99999999999999999999999}", "integer",
                   "must be at most 5");
    assert_refused("subtract", "{\"minuend\":1}", "subtrahend", "is missing");
    assert_refused("subtract", "{\"minuend\":null,\"subtrahend\":1}", "minuend",
                   "must be an integer, not null");
    assert_refused("subtract", NULL, "minuend", "is missing");
    assert_refused("subtract", "[1]", "subtrahend", "is missing");
}

static void
unknown_parameter_is_told_what_there_are(void **state)
{
    (void)state;
    assert_refused("subtract", "{\"minuent\":1}", "minuent",
                   "is unknown: 'subtract' takes 'minuend', 'subtrahend'");
    assert_refused("get_data", "{\"x\":1}", "x", "is unknown: 'get_data' takes none");
    assert_refused("get_data", "[1]", "1", "is one too many: 'get_data' takes 0");
    assert_refused("subtract", "[1,2,3]", "3", "is one too many: 'subtract' takes 2");
    assert_refused("get_data", "{\"\":1}", "", "is unknown");
    assert_refused("get_data", "{\"once\\u0000\":true}", "once", "is unknown");
}

static void
key_given_twice_is_refused_however_it_is_written(void **state)
{
    (void)state;
    assert_refused("sum", "{\"a\":1,\"a\":2}", "a", "is given twice");
    assert_refused("sum", "{\"a\":1,\"\\u0061\":2}", "a", "is given twice");
    assert_refused("sum", "{\"a\":null,\"a\":2}", "a", "is given twice");
}

static void
one_list_is_taken_by_position_too(void **state)
{
    const struct verb verb = {
        .name = "on",
        .args_size = sizeof(char **),
        .params =
            (const struct param[]){ { .name = "topics", .type = PARAM_TEXTS, .required = true },
                                    { 0 } },
    };
    static const char *const good[] = { "[\"a\",\"b\"]", "[[\"a\",\"b\"]]",
                                        "{\"topics\":[\"a\",\"b\"]}" };
    static const char *const bad[] = { "[]", "[1]", "[\"a\",1]", "[[\"a\"],1]" };
    struct common_args common;
    struct error *error = NULL;
    void *args;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_true(
            args_fill(&verb, (struct slice){ good[i], strlen(good[i]) }, &args, &common, &error));
        assert_string_equal((*(char ***)args)[1], "b");
        assert_null((*(char ***)args)[2]);
        verb_args_free(&verb, args);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(
            args_fill(&verb, (struct slice){ bad[i], strlen(bad[i]) }, &args, &common, &error));
        error_free(TAKE(error));
    }
}

static void
records_fill_structs_of_their_own(void **state)
{
    struct common_args common;
    struct every_args *args =
        fill("every",
             "{\"record\":{\"rate\":7},\"parts\":[{\"name\":\"a\",\"order\":2,\"tags\":[\"x\"],"
             "\"inner\":{\"note\":\"n\"}},{\"n\\u0061me\":\"b\",\"bus\":\"scsi\",\"inner\":null}]}",
             &common);
    const struct part_record *parts = args->parts.all;

    (void)state;
    assert_int_equal(args->record->rate, 7);
    assert_null(args->record->note);
    assert_int_equal(args->parts.count, 2);
    assert_string_equal(parts[0].name, "a");
    assert_string_equal(parts[0].bus, "virtio");
    assert_true(parts[0].has_order && parts[0].order == 2);
    assert_string_equal(parts[0].inner->note, "n");
    assert_string_equal(parts[0].tags[0], "x");
    assert_string_equal(parts[1].name, "b");
    assert_string_equal(parts[1].bus, "scsi");
    assert_false(parts[1].has_order);
    assert_null(parts[1].inner);
    verb_args_free(verb_named("every"), args);
}

static void
absent_records_are_none(void **state)
{
    static const char *const params[] = { "{}", "{\"record\":null,\"parts\":null}",
                                          "{\"parts\":[]}" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(params); i++) {
        struct common_args common;
        struct every_args *args = fill("every", params[i], &common);

        assert_null(args->record);
        assert_null(args->parts.all);
        assert_int_equal(args->parts.count, 0);
        verb_args_free(verb_named("every"), args);
    }
}

static void
records_are_taken_by_position_too(void **state)
{
    struct common_args common;
    struct every_args *args =
        fill("every",
             "[null,\"text\",null,null,null,null,null,null,null,null,null,{\"rate\":1},"
             "[{\"name\":\"a\"}]]",
             &common);

    (void)state;
    assert_int_equal(args->record->rate, 1);
    assert_int_equal(args->parts.count, 1);
    verb_args_free(verb_named("every"), args);
}

static void
place_of_a_fault_within_a_record_is_named(void **state)
{
    (void)state;
    assert_refused("every", "{\"record\":[]}", "record", "must be an object, not an array");
    assert_refused("every", "{\"record\":{\"rate\":1001}}", "record.rate", "must be at most 1000");
    assert_refused("every", "{\"record\":{\"note\":\"a\\nb\"}}", "record.note",
                   "must hold no control characters");
    assert_refused("every", "{\"record\":{\"size\":1}}", "record.size",
                   "is unknown: 'record' takes 'rate', 'note'");
    assert_refused("every", "{\"record\":{\"rate\":1,\"r\\u0061te\":2}}", "record.rate",
                   "is given twice");
    assert_refused("every", "{\"parts\":{}}", "parts",
                   "must be an array of objects, not an object");
    assert_refused("every", "{\"parts\":[{\"name\":\"a\"},7]}", "parts[1]",
                   "must be an object, not a number");
    assert_refused("every", "{\"parts\":[{\"name\":\"a\"},{\"tags\":[\"x\"]}]}", "parts[1].name",
                   "is missing");
    assert_refused("every", "{\"parts\":[{\"name\":\"a\"},{\"name\":\"b\",\"bus\":\"ide\"}]}",
                   "parts[1].bus", "must be 'virtio' or 'scsi'");
    assert_refused("every",
                   "{\"parts\":[{\"name\":\"a\",\"inner\":{\"note\":\"n\"}},"
                   "{\"name\":\"b\",\"inner\":{\"note\":\"n\",\"rate\":true}}]}",
                   "parts[1].inner.rate", "must be an integer of bytes, not a boolean");
    assert_refused("every", "{\"parts\":[{},{},{},{},{}]}", "parts", "must hold at most 4");
    assert_refused("every", "{\"parts\":[{\"name\":null}]}", "parts[0].name",
                   "must be a string, not null");
    assert_refused("every", "{\"parts\":[{\"name\":\"a\",\"once\":true}]}", "parts[0].once",
                   "is unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_parameters_fill_their_members),
        cmocka_unit_test(positional_parameters_follow_the_table),
        cmocka_unit_test(absent_parameters_have_their_defaults),
        cmocka_unit_test(verb_without_arguments_needs_no_struct),
        cmocka_unit_test(common_parameters_are_taken_out),
        cmocka_unit_test(wrong_common_parameters_are_refused),
        cmocka_unit_test(place_of_a_fault_is_named),
        cmocka_unit_test(unknown_parameter_is_told_what_there_are),
        cmocka_unit_test(key_given_twice_is_refused_however_it_is_written),
        cmocka_unit_test(one_list_is_taken_by_position_too),
        cmocka_unit_test(records_fill_structs_of_their_own),
        cmocka_unit_test(absent_records_are_none),
        cmocka_unit_test(records_are_taken_by_position_too),
        cmocka_unit_test(place_of_a_fault_within_a_record_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
