/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository-table.h"
#include "tests/unit/storage-fixture.h"

static char *
connect_params(const char *name, const char *below, bool create)
{
    return xprintf("{\"repository\":\"%s\",\"kind\":\"dir\",\"path\":\"%s/%s\",\"create\":%s}",
                   name, storage_folder, below, create ? "true" : "false");
}

static void
refuse_to_connect(const char *name, const char *below, bool create, enum error_code code,
                  const char *part)
{
    _cleanup_free_ char *params = connect_params(name, below, create);

    assert_call_refused("repository.connect", params, code, part);
}

static void
assert_remembered(const char *name, bool is)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    _cleanup_free_ char *member = xprintf("\"repository\":\"%s\"", name);

    read_text("repositories.json", &text);
    if (!strstr(text.bytes, member) == is)
        fail_msg("%s of '%s': %s", is ? "nothing is said" : "it is told", name, text.bytes);
}

static void
a_connection_is_remembered_until_it_is_ended(void **state)
{
    (void)state;
    connect_repository("third");
    assert_remembered("third", true);
    assert_answer_has("repository.list", "{}", "\"repository\":\"third\"");
    assert_answer_has("repository.status", "{\"repository\":\"third\"}", "\"health\":\"ok\"");
    run_quietly("repository.disconnect", "{\"repository\":\"third\"}");
    assert_remembered("third", false);
    assert_remembered("fast", true);
    assert_call_refused("repository.status", "{\"repository\":\"third\"}",
                        ERROR_REPOSITORY_NOT_FOUND, "third");
    assert_true(is_there("third/hostler.json")); /* what is in it stays */
}

static void
connecting_again_is_no_error_but_another_place_is(void **state)
{
    (void)state;
    connect_repository("fast");
    refuse_to_connect("fast", "slow", false, ERROR_REPOSITORY_EXISTS, "the name is taken");
    refuse_to_connect("quick", "fast", false, ERROR_REPOSITORY_EXISTS, "another name here");
    assert_call_refused("repository.status", "{\"repository\":\"quick\"}",
                        ERROR_REPOSITORY_NOT_FOUND, "quick");
}

static void
what_is_no_repository_is_not_made_one_unasked(void **state)
{
    _cleanup_free_ char *path = path_of("plain");

    (void)state;
    refuse_to_connect("none", "missing", false, ERROR_REPOSITORY_UNAVAILABLE, "missing");
    assert_int_equal(mkdir(path, 0755), 0);
    refuse_to_connect("none", "plain", false, ERROR_REPOSITORY_UNAVAILABLE, "is no repository");
    assert_false(is_there("plain/hostler.json"));
    assert_false(is_there("plain/images"));
}

static void
a_directory_that_holds_something_is_not_taken(void **state)
{
    _cleanup_free_ char *path = path_of("full"), *file = path_of("full/precious");
    int fd;

    (void)state;
    assert_int_equal(mkdir(path, 0755), 0);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    (void)close(fd);
    refuse_to_connect("full", "full", true, ERROR_REPOSITORY_UNAVAILABLE, "not empty");
    assert_false(is_there("full/hostler.json"));
    assert_true(is_there("full/precious"));
}

static void
one_that_tasks_use_is_not_left(void **state)
{
    struct repository *held = NULL;
    struct error *error = NULL;

    (void)state;
    assert_true(repository_find(storage, "slow", &held, &error));
    assert_call_refused("repository.disconnect", "{\"repository\":\"slow\"}", ERROR_WRONG_STATE,
                        "use repository 'slow'");
    repository_unref(held);
    run_quietly("repository.disconnect", "{\"repository\":\"slow\"}");
    connect_repository("slow");
}

static void
one_that_is_left_by_force_is_asked_for_nothing_more(void **state)
{
    struct repository *held = NULL;
    struct error *error = NULL;

    (void)state;
    assert_true(repository_find(storage, "slow", &held, &error));
    assert_false(atomic_load(&held->shut));
    run_quietly("repository.disconnect", "{\"repository\":\"slow\",\"force\":true}");
    assert_true(atomic_load(&held->shut));
    assert_null(repository_table_get(storage, "slow"));
    connect_repository("slow"); /* while a task still has the one of before */
    assert_answer_has("repository.status", "{\"repository\":\"slow\"}", "\"health\":\"ok\"");
    repository_unref(held);
}

static void
the_table_is_in_order_and_finds_by_name_and_uuid(void **state)
{
    struct repository *fast = repository_table_get(storage, "fast"), *found = NULL;
    struct error *error = NULL;

    (void)state;
    assert_non_null(fast);
    for (struct repository *one = storage->first; one->next; one = one->next)
        assert_true(strcmp(one->name, one->next->name) < 0);
    assert_true(repository_find_uuid(storage, fast->uuid, &found, &error));
    assert_ptr_equal(found, fast);
    repository_unref(found);
    assert_false(
        repository_find_uuid(storage, "00000000-0000-4000-8000-000000000000", &found, &error));
    assert_int_equal(error->code, ERROR_REPOSITORY_NOT_FOUND);
    error_free(TAKE(error));
    repository_change_health(fast, "unavailable", "its disk is away");
    assert_false(repository_find(storage, "fast", &found, &error));
    assert_int_equal(error->code, ERROR_REPOSITORY_UNAVAILABLE);
    assert_non_null(strstr(error->message, "its disk is away"));
    error_free(TAKE(error));
    assert_string_equal(ring_get(fixture.ring, ring_newest(fixture.ring))->topic,
                        "repository.health");
    repository_change_health(fast, "ok", NULL);
}

static void
problems_are_found_and_mended_by_their_fix(void **state)
{
    _cleanup_free_ char *path = path_of("fast/images/stray");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    assert_answer_has("repository.check", "{\"repository\":\"fast\"}",
                      "\"fix\":{\"action\":\"unlinkStray\",\"name\":\"stray\"}");
    assert_true(is_there("fast/images/stray")); /* looking mends nothing */
    run_quietly("repository.fix", "{\"repository\":\"fast\",\"fix\":{\"action\":\"unlinkStray\","
                                  "\"name\":\"stray\"}}");
    assert_false(is_there("fast/images/stray"));
    assert_call_refused("repository.fix",
                        "{\"repository\":\"fast\",\"fix\":{\"action\":\"unlinkStray\","
                        "\"name\":\"stray\"}}",
                        ERROR_CONFLICT, "not there any more");
    assert_call_refused("repository.fix",
                        "{\"repository\":\"fast\",\"fix\":{\"action\":\"unlinkStray\","
                        "\"name\":\"../hostler.json\"}}",
                        ERROR_INVALID_PARAMS, "repository.check");
    assert_true(is_there("fast/hostler.json"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_remembered_until_it_is_ended),
        cmocka_unit_test(connecting_again_is_no_error_but_another_place_is),
        cmocka_unit_test(what_is_no_repository_is_not_made_one_unasked),
        cmocka_unit_test(a_directory_that_holds_something_is_not_taken),
        cmocka_unit_test(one_that_tasks_use_is_not_left),
        cmocka_unit_test(one_that_is_left_by_force_is_asked_for_nothing_more),
        cmocka_unit_test(the_table_is_in_order_and_finds_by_name_and_uuid),
        cmocka_unit_test(problems_are_found_and_mended_by_their_fix),
    };

    return cmocka_run_group_tests(tests, open_storage, close_storage);
}
