/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/verbs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/text.h"
#include "ctl/help.h"
#include "tests/unit/ctl-document.h"

static struct verbs *
load(void)
{
    struct error *error = NULL;
    struct verbs *verbs = NULL;

    if (!verbs_new(document, sizeof(document) - 1, own_commands, ARRAY_COUNT(own_commands), &verbs,
                   &error))
        fail_msg("%s", error->message);
    return verbs;
}

static void
camel_case_becomes_kebab_case(void **state)
{
    _cleanup_free_ char *two = verbs_kebab("targetRepository"), *one = verbs_kebab("image");

    (void)state;
    assert_string_equal(two, "target-repository");
    assert_string_equal(one, "image");
}

static void
a_method_is_found_by_resource_in_any_case_and_command(void **state)
{
    _cleanup_(verbs_freep) struct verbs *verbs = load();
    const struct command *command = verbs_find(verbs, "IMAGE", "copy");

    (void)state;
    assert_non_null(command);
    assert_string_equal(command->method, "image.copy");
    assert_string_equal(command->role, "operator");
    assert_string_equal(command->aliases, "copyImage");
    assert_string_equal(command->errors[0], "ImageNotFound");
    assert_int_equal(command->kind, COMMAND_EARLY);
    assert_null(verbs_find(verbs, "image", "Copy"));
    assert_string_equal(verbs_resource(verbs, "Task"), "task");
    assert_null(verbs_resource(verbs, "volume"));
}

static void
a_parameter_becomes_a_flag_with_its_schema(void **state)
{
    _cleanup_(verbs_freep) struct verbs *verbs = load();
    const struct command *command = verbs_find(verbs, "image", "copy");
    const struct flag *level = command_flag(command, "level");
    const struct flag *format = command_flag(command, "format");

    (void)state;
    assert_true(command_flag(command, "repository")->required);
    assert_ptr_equal(command_flag(command, "target-repository"),
                     command_param(command, "targetRepository"));
    assert_null(command_flag(command, "targetRepository"));
    assert_int_equal(level->type, FLAG_INTEGER);
    assert_int_equal(level->minimum, -1);
    assert_int_equal(level->maximum, 9);
    assert_string_equal(format->choices[1], "qcow2");
    assert_null(format->choices[2]);
    assert_string_equal(command_flag(command, "bytes-per-second")->fallback, "0");
}

static void
commands_of_a_resource_stand_side_by_side_own_ones_among_them(void **state)
{
    _cleanup_(verbs_freep) struct verbs *verbs = load();
    const char *expected[] = { "copy", "list", "define", "status", "top", "" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++)
        assert_string_equal(verbs_at(verbs, i)->name, expected[i]);
    assert_null(verbs_at(verbs, ARRAY_COUNT(expected)));
    assert_string_equal(verbs_resource_at(verbs, 3), "shell");
    assert_null(verbs_resource_at(verbs, 4));
}

static void
a_value_is_named_by_choices_or_type(void **state)
{
    _cleanup_(verbs_freep) struct verbs *verbs = load();
    const struct command *command = verbs_find(verbs, "image", "copy");
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    flag_append_value(command_flag(command, "format"), &text);
    text_append_char(&text, ' ');
    flag_append_value(command_flag(command, "bytes-per-second"), &text);
    text_append_char(&text, ' ');
    flag_append_value(command_flag(command, "image"), &text);
    assert_string_equal(text.bytes, "raw|qcow2 SIZE NAME");
}

static void
a_record_has_its_members(void **state)
{
    _cleanup_(verbs_freep) struct verbs *verbs = load();
    const struct flag *disks = command_flag(verbs_find(verbs, "vm", "define"), "disks");
    const struct flag *tuning = &disks->members[6];

    (void)state;
    assert_int_equal(disks->type, FLAG_RECORDS);
    assert_int_equal(disks->member_count, 7);
    assert_true(disks->members[0].required);
    assert_string_equal(disks->members[1].name, "boot-order");
    assert_string_equal(disks->members[1].param, "bootOrder");
    assert_false(disks->members[1].required);
    assert_int_equal(tuning->type, FLAG_RECORD);
    assert_string_equal(tuning->members[0].fallback, "0");
}

static void
help_and_manual_tell_the_members(void **state)
{
    _cleanup_(verbs_freep) struct verbs *verbs = load();
    const struct invocation invocation = { .command = verbs_find(verbs, "vm", "define") };
    _cleanup_text_ struct text help = TEXT_INIT, manual = TEXT_INIT;

    (void)state;
    help_write(verbs, &invocation, 80, &help);
    assert_non_null(strstr(help.bytes, "  --disks MEMBER=VALUE[,...]... | JSON\n      The disks.\n"
                                       "      repository=NAME   (needed)\n"));
    assert_non_null(strstr(help.bytes, "      readonly\n          Its readonly.\n"));
    assert_non_null(strstr(help.bytes, "      tuning.read-rate=SIZE\n"
                                       "          Its readRate. K, M, G, T (of 1024) may "
                                       "follow. Default 0.\n"));
    assert_non_null(strstr(help.bytes, "      kind=vnc|spice\n"));
    manual_write(verbs, &manual);
    assert_non_null(strstr(manual.bytes, "tuning.read\\-rate"));
}

static void
what_is_no_document_is_an_error(void **state)
{
    static const char *const wrong[] = {
        "",
        "[]",
        "{\"methods\":{}}",
        "{\"methods\":[{}]}",
        "{\"methods\":[{\"name\":\"image\"}]}",
        "{\"methods\":[{\"name\":\"image.\"}]}",
        "{\"methods\":[{\"name\":\"a.b\",\"params\":[{\"name\":\"x\"}]}]}",
        "{\"methods\":[{\"name\":\"a.b\",\"params\":[{\"name\":\"x\",\"x-type\":\"record\","
        "\"schema\":{\"properties\":{\"y\":{}}}}]}]}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        _cleanup_(error_freep) struct error *error = NULL;
        struct verbs *verbs = NULL;

        assert_false(verbs_new(wrong[i], strlen(wrong[i]), NULL, 0, &verbs, &error));
        assert_non_null(error);
        assert_null(verbs);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(camel_case_becomes_kebab_case),
        cmocka_unit_test(a_method_is_found_by_resource_in_any_case_and_command),
        cmocka_unit_test(a_parameter_becomes_a_flag_with_its_schema),
        cmocka_unit_test(commands_of_a_resource_stand_side_by_side_own_ones_among_them),
        cmocka_unit_test(a_value_is_named_by_choices_or_type),
        cmocka_unit_test(a_record_has_its_members),
        cmocka_unit_test(help_and_manual_tell_the_members),
        cmocka_unit_test(what_is_no_document_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
