/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/unit/storage-fixture.h"

#define NAME(image) "{\"repository\":\"fast\",\"image\":\"" image "\"}"
#define WITH(image, more) "{\"repository\":\"fast\",\"image\":\"" image "\"," more "}"

static void
an_image_is_made_shown_changed_and_removed(void **state)
{
    (void)state;
    assert_answer_has("image.create", WITH("web1", "\"size\":4097,\"userData\":{\"a\":0.1}"),
                      "\"state\":\"optimized\",\"reason\":null,\"mutable\":true,\"format\":\"raw\","
                      "\"size\":4097");
    assert_answer_has("image.status", NAME("web1"), "\"generation\":1,\"userData\":{\"a\":0.1}");
    assert_answer_has("image.update", WITH("web1", "\"userData\":{\"b\":1}"),
                      "\"generation\":2,\"userData\":{\"b\":1}");
    assert_answer_has("image.update", WITH("web1", "\"immutable\":true"), "\"mutable\":false");
    assert_answer_has("image.fence", WITH("web1", "\"ifGeneration\":3"), "\"generation\":4");
    run_quietly("image.remove", NAME("web1"));
    assert_call_refused("image.status", NAME("web1"), ERROR_IMAGE_NOT_FOUND, "web1");
    assert_false(is_there("fast/images/web1"));
}

static void
an_operation_of_another_generation_does_nothing(void **state)
{
    static const char *const methods[] = { "image.update", "image.fence", "image.remove" };

    (void)state;
    run_quietly("image.create", WITH("g", "\"size\":1"));
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        assert_call_refused(methods[i], WITH("g", "\"ifGeneration\":0"), ERROR_CONFLICT,
                            "at generation 1, not 0");
        assert_answer_has("image.status", NAME("g"), "\"generation\":1");
    }
    run_quietly("image.remove", NAME("g"));
}

static void
what_is_there_or_cannot_be_is_not_made(void **state)
{
    (void)state;
    run_quietly("image.create", WITH("one", "\"size\":1"));
    assert_call_refused("image.create", WITH("one", "\"size\":2"), ERROR_IMAGE_EXISTS, "one");
    assert_answer_has("image.status", NAME("one"), "\"size\":1,");
    assert_call_refused("image.create", WITH("two", "\"size\":1,\"base\":\"one\""),
                        ERROR_WRONG_STATE, "mutable");
    assert_call_refused("image.create", WITH("two", "\"size\":1,\"base\":\"zero\""),
                        ERROR_IMAGE_NOT_FOUND, "zero");
    run_quietly("image.update", WITH("one", "\"immutable\":true"));
    assert_call_refused("image.create",
                        WITH("two", "\"size\":1,\"base\":\"one\",\"format\":\"raw\""),
                        ERROR_INVALID_PARAMS, "format");
    assert_call_refused("image.status", NAME("two"), ERROR_IMAGE_NOT_FOUND, "two");
    assert_answer_has("repository.check", "{\"repository\":\"fast\"}", "\"problems\":[]");
    run_quietly("image.remove", NAME("one"));
}

static void
a_base_is_kept_as_long_as_something_stands_on_it(void **state)
{
    (void)state;
    run_quietly("image.create", WITH("base", "\"size\":65536"));
    run_quietly("image.update", WITH("base", "\"immutable\":true"));
    run_quietly("image.create", WITH("layer", "\"size\":65536,\"base\":\"base\""));
    assert_answer_has("image.status", NAME("layer"), "\"base\":\"base\"");
    assert_call_refused("image.remove", NAME("base"), ERROR_IMAGE_HAS_DEPENDENTS, "the base of 1");
    assert_call_refused("image.update", WITH("base", "\"immutable\":false"),
                        ERROR_IMAGE_HAS_DEPENDENTS, "cannot make it mutable");
    run_quietly("image.remove", NAME("layer"));
    run_quietly("image.remove", NAME("base"));
}

static void
a_list_is_sorted_filtered_and_comes_in_pages(void **state)
{
    (void)state;
    run_quietly("image.create", WITH("b", "\"size\":1"));
    run_quietly("image.create", WITH("a", "\"size\":1"));
    run_quietly("image.create", WITH("c", "\"size\":1"));
    assert_answer_has("image.list", "{\"repository\":\"fast\",\"limit\":2}", "\"next\":\"b\"}");
    assert_answer_has("image.list", "{\"repository\":\"fast\",\"after\":\"b\"}",
                      "{\"images\":[{\"repository\":\"fast\",\"image\":\"c\"");
    assert_answer_has("image.list", "{\"repository\":\"fast\",\"after\":\"c\"}", "{\"images\":[]}");
    assert_answer_has("image.list", "{\"repository\":\"fast\",\"state\":\"broken\"}",
                      "{\"images\":[]}");
    run_quietly("image.remove", NAME("a"));
    run_quietly("image.remove", NAME("b"));
    run_quietly("image.remove", NAME("c"));
}

static void
a_checksum_is_taken_compared_and_missed(void **state)
{
    (void)state;
    run_quietly("image.create", WITH("sum", "\"size\":100000"));
    run_quietly("image.verify", NAME("sum")); /* nothing to compare with, but it can be read */
    run_quietly("image.checksum", NAME("sum"));
    assert_answer_has("image.status", NAME("sum"), "\"generation\":2");
    assert_answer_has("image.status", NAME("sum"), "\"algorithm\":\"sha256-tree-1m\"");
    run_quietly("image.verify", NAME("sum"));
    run_quietly("image.update", WITH("sum", "\"immutable\":true"));
    write_bytes("fast/images/sum/data", 'x', 1);
    run_quietly("image.verify", NAME("sum")); /* what it found is the task's end, not its answer */
    assert_answer_has("image.status", NAME("sum"), "\"state\":\"broken\",\"reason\":\"damaged: ");
    write_bytes("fast/images/sum/data", '\0', 1);
    run_quietly("image.verify", NAME("sum"));
    assert_answer_has("image.status", NAME("sum"), "\"state\":\"optimized\"");
    run_quietly("image.remove", NAME("sum"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_is_made_shown_changed_and_removed),
        cmocka_unit_test(an_operation_of_another_generation_does_nothing),
        cmocka_unit_test(what_is_there_or_cannot_be_is_not_made),
        cmocka_unit_test(a_base_is_kept_as_long_as_something_stands_on_it),
        cmocka_unit_test(a_list_is_sorted_filtered_and_comes_in_pages),
        cmocka_unit_test(a_checksum_is_taken_compared_and_missed),
    };

    return cmocka_run_group_tests(tests, open_storage, close_storage);
}
