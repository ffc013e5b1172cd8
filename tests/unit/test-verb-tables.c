/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables are the only declaration of a verb: what is missing there is missing everywhere.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/host-figures.h"
#include "agent/task.h"
#include "gluster/gluster.h"
#include "rpc/server.h"
#include "storage/storage.h"
#include "virt/virt.h"

/* A line each, so that changes do not meet. */
/* clang-format off */
static const struct verb *const tables[] = {
    backup_left_verbs,
    backup_verbs,
    brick_offline_verbs,
    brick_verbs,
    checkpoint_verbs,
    clone_verbs,
    event_verbs,
    georep_verbs,
    guest_verbs,
    heal_verbs,
    host_figure_verbs,
    host_verbs,
    image_check_verbs,
    image_copy_verbs,
    image_export_verbs,
    image_merge_verbs,
    image_optimize_verbs,
    image_release_verbs,
    image_resize_verbs,
    image_serve_verbs,
    image_snapshot_verbs,
    image_verbs,
    migration_verbs,
    option_verbs,
    peer_verbs,
    profile_verbs,
    quota_verbs,
    rebalance_verbs,
    removal_verbs,
    repository_verbs,
    roll_verbs,
    rpc_verbs,
    snapshot_verbs,
    status_verbs,
    task_verbs,
    ticket_verbs,
    top_verbs,
    vm_attach_verbs,
    vm_console_verbs,
    vm_define_verbs,
    vm_detach_verbs,
    vm_jobs_verbs,
    vm_life_verbs,
    vm_media_verbs,
    vm_merge_verbs,
    vm_move_verbs,
    vm_read_verbs,
    vm_resize_verbs,
    vm_save_verbs,
    vm_screenshot_verbs,
    vm_settle_verbs,
    vm_size_verbs,
    vm_snapshot_verbs,
    vm_stats_verbs,
    vm_tune_verbs,
    vm_undefine_verbs,
    volume_life_verbs,
    volume_verbs,
};
/* clang-format on */

#define FOR_EACH_VERB(verb)                                                                        \
    for (size_t i_ = 0; i_ < ARRAY_COUNT(tables); i_++)                                            \
        for (const struct verb *verb = tables[i_]; verb->name; verb++)

static void
each_verb_says_what_it_is_and_who_may_call_it(void **state)
{
    (void)state;
    FOR_EACH_VERB(verb)
    {
        print_message("%s\n", verb->name);
        assert_non_null(strchr(verb->name, '.'));
        assert_true(verb->role >= ROLE_VIEWER && verb->role <= ROLE_ADMIN);
        assert_true(verb->kind >= VERB_READS && verb->kind <= VERB_READS_LONG);
        assert_non_null(verb->summary);
        assert_int_equal(verb->summary[strlen(verb->summary) - 1], '.');
        if (verb->kind == VERB_READS || verb->kind == VERB_READS_LONG)
            assert_int_equal(verb->role, ROLE_VIEWER);
    }
}

static void
check_params(const struct param *params, const char *owner, size_t size)
{
    for (const struct param *param = params; param && param->name; param++) {
        bool holds_records = param->type == PARAM_RECORD || param->type == PARAM_RECORDS;

        print_message("%s %s\n", owner, param->name);
        assert_non_null(param->about);
        assert_true(param->type > PARAM_TYPE_UNSET && param->type <= PARAM_RECORDS);
        assert_true(param->offset < size);
        assert_true(param->present <= size);
        if (param->type == PARAM_SIZE)
            assert_non_null(strstr(param->about, "bytes"));
        if (param->type == PARAM_CHOICE)
            assert_true(param->choices && param->choices[0]);
        assert_false(param->required && (param->fallback || param->make_uuid));
        if (param->make_uuid)
            assert_int_equal(param->type, PARAM_NAME);
        if (param->one_line)
            assert_int_equal(param->type, PARAM_TEXT);
        if (param->type == PARAM_RECORDS)
            assert_true(param->minimum >= 0 && param->maximum > 0);
        assert_true(holds_records == (param->members != NULL));
        if (holds_records)
            check_params(param->members, param->name, param->member_size);
    }
}

static void
each_parameter_has_a_text_and_lies_within_its_struct(void **state)
{
    (void)state;
    FOR_EACH_VERB(verb)
    check_params(verb->params, verb->name, verb->args_size);
}

static void
each_result_has_a_schema_that_is_json(void **state)
{
    (void)state;
    FOR_EACH_VERB(verb)
    {
        json_t *schema;

        assert_non_null(verb->result);
        assert_non_null(verb->result->name);
        schema = json_loads(verb->result->schema, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(schema))
            fail_msg("the schema of %s is no JSON object", verb->result->name);
        json_decref(schema);
    }
}

static void
shapes_of_one_name_are_one_shape(void **state)
{
    (void)state;
    FOR_EACH_VERB(verb)
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++)
        for (const struct verb *other = tables[i]; other->name; other++)
            if (strcmp(verb->result->name, other->result->name) == 0)
                assert_string_equal(verb->result->schema, other->result->schema);
}

/* Whether 'shape' is that of 'name', or any of its parts is. */
static bool
has_shape(const struct shape *shape, const char *name, size_t length)
{
    if (strlen(shape->name) == length && strncmp(shape->name, name, length) == 0)
        return true;
    for (size_t i = 0; shape->parts && shape->parts[i]; i++)
        if (has_shape(shape->parts[i], name, length))
            return true;
    return false;
}

static void
each_shape_that_another_names_is_told(void **state)
{
    static const char reference[] = "#/components/schemas/";

    (void)state;
    FOR_EACH_VERB(verb)
    for (const char *at = verb->result->schema; (at = strstr(at, reference));) {
        size_t length = strcspn(at += strlen(reference), "\"");
        bool found = false;

        for (size_t i = 0; i < ARRAY_COUNT(tables); i++)
            for (const struct verb *other = tables[i]; other->name; other++)
                found |= has_shape(other->result, at, length);
        if (!found)
            fail_msg("%s names %.*s, which nothing tells", verb->result->name, (int)length, at);
    }
}

static void
each_verb_has_steps_and_an_early_one_answers_at_exactly_one(void **state)
{
    (void)state;
    FOR_EACH_VERB(verb)
    {
        unsigned responds = 0;

        print_message("%s\n", verb->name);
        assert_non_null(verb->steps);
        assert_non_null(verb->steps[0].name);
        for (const struct step *step = verb->steps; step->name; step++) {
            assert_non_null(step->run);
            assert_true(step->pool < POOL_COUNT);
            responds += step->responds;
        }
        assert_int_equal(responds,
                         verb->kind == VERB_ANSWERS_EARLY || verb->kind == VERB_READS_LONG ? 1 : 0);
        assert_true(!verb->state_done || verb->state_size > 0);
    }
}

static void
each_named_error_is_of_the_table(void **state)
{
    (void)state;
    FOR_EACH_VERB(verb)
    for (const enum error_code *code = verb->errors; code && *code != ERROR_NONE; code++) {
        bool found = false;

        for (unsigned n = 0; error_code_at(n) != ERROR_NONE; n++)
            found |= error_code_at(n) == *code;
        assert_true(found);
    }
}

static void
every_name_and_alias_finds_its_verb(void **state)
{
    struct verb_table list[ARRAY_COUNT(tables)];
    _cleanup_(verb_index_freep) struct verb_index *index = NULL;
    void *context;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++)
        list[i] = (struct verb_table){ tables[i], &list[i] };
    index = verb_index_new(list, ARRAY_COUNT(list));
    FOR_EACH_VERB(verb)
    {
        assert_ptr_equal(verb_find(index, verb->name, strlen(verb->name), &context), verb);
        assert_non_null(context);
    }
    assert_string_equal(verb_find(index, "getTaskStatus", 13, &context)->name, "task.status");
    assert_string_equal(verb_find(index, "copyImage", 9, &context)->name, "image.copy");
    assert_string_equal(verb_find(index, "getImageStatus", 14, &context)->name, "image.status");
    assert_null(verb_find(index, "image.cop", 9, &context));
    assert_null(verb_find(index, "", 0, &context));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_verb_says_what_it_is_and_who_may_call_it),
        cmocka_unit_test(each_parameter_has_a_text_and_lies_within_its_struct),
        cmocka_unit_test(each_result_has_a_schema_that_is_json),
        cmocka_unit_test(shapes_of_one_name_are_one_shape),
        cmocka_unit_test(each_shape_that_another_names_is_told),
        cmocka_unit_test(each_verb_has_steps_and_an_early_one_answers_at_exactly_one),
        cmocka_unit_test(each_named_error_is_of_the_table),
        cmocka_unit_test(every_name_and_alias_finds_its_verb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
