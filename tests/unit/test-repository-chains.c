/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/repository-chains.h"

#include "tests/unit/repository-fixture.h"

static void
layers_are_counted_down_to_the_last_base(void **state)
{
    (void)state;
    make_image("a");
    make_overlay("b", "a");
    make_overlay("c", "b");
    assert_int_equal(image_count_layers(repository, "a", 9), 1);
    assert_int_equal(image_count_layers(repository, "c", 9), 3);
    assert_int_equal(image_count_layers(repository, "c", 2), 2);
    assert_int_equal(image_count_layers(repository, "none", 9), 0);
    put_file("a/image.json", "{}");
    assert_int_equal(image_count_layers(repository, "c", 9), 2);
}

static void
a_chain_without_an_end_is_not_walked_for_ever(void **state)
{
    (void)state;
    make_overlay("a", "b");
    make_overlay("b", "a");
    assert_int_equal(image_count_layers(repository, "a", 9), 9);
}

static void
what_something_stands_on_is_known(void **state)
{
    static const char *const ids[] = { "c", "b", "d" };
    struct bases bases = { 0 };

    (void)state;
    make_image("a");
    make_overlay("b", "a");
    make_overlay("c", "b");
    make_overlay("d", "a");
    for (size_t i = 0; i < 200; i++) {
        struct error *error = NULL;
        struct image *image;

        succeed(image_open(repository, i < 3 ? ids[i] : "a", &image, &error), error);
        bases_note(&bases, image);
        image_close(image);
    }
    bases_sort(&bases);
    assert_int_equal(bases.count, 3);
    assert_true(bases_have(&bases, "a") && bases_have(&bases, "b"));
    assert_false(bases_have(&bases, "c") || bases_have(&bases, "d"));
    bases_done(&bases);
    bases_sort(&bases);
    assert_false(bases_have(&bases, "a"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(layers_are_counted_down_to_the_last_base),
        TEST(a_chain_without_an_end_is_not_walked_for_ever),
        TEST(what_something_stands_on_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
