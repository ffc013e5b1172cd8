/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two verbs and the table behind them, with a real qemu-nbd.  Skipped where there is none.
 */
#include <config.h>

#include "storage/image-serve-table.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/storage-fixture.h"
#include "tests/unit/serve-fixture.h"

#define NAME(image) "{\"repository\":\"fast\",\"image\":\"" image "\"}"
#define WITH(image, more) "{\"repository\":\"fast\",\"image\":\"" image "\"," more "}"

static int
begin_image(void **state)
{
    (void)state;
    run_quietly("image.create", WITH("web1", "\"size\":4096"));
    return 0;
}

static int
remove_image(void **state)
{
    (void)state;
    run_quietly("image.remove", NAME("web1"));
    return 0;
}

static int
end_all(void **state)
{
    thread_mark(THREAD_UNMARKED);
    end_what_serves();
    return close_storage(state);
}

static void
served_it_has_an_entry_and_an_address_until_it_is_ended(void **state)
{
    (void)state;
    need_qemu_nbd();
    assert_answer_has("image.serve", NAME("web1"), "\"uri\":\"nbd+unix:///web1?socket=/tmp/");
    assert_non_null(storage->servings);
    assert_false(storage->servings->busy);
    assert_answer_has("image.serve", NAME("web1"), "\"writable\":false,\"tls\":false");
    assert_null(storage->servings->next);
    assert_answer_has("image.status", NAME("web1"), "\"reason\":\"served read-only at nbd+unix:");
    assert_call_refused("image.serve", WITH("web1", "\"writable\":true"), ERROR_WRONG_STATE,
                        "read-only");
    assert_call_refused("repository.disconnect", "{\"repository\":\"fast\"}", ERROR_WRONG_STATE,
                        "image.unserve");
    assert_answer_has("image.unserve", NAME("web1"), "\"generation\":1");
    assert_null(storage->servings);
}

static void
what_was_writable_is_of_the_next_generation(void **state)
{
    (void)state;
    need_qemu_nbd();
    run_quietly("image.serve", WITH("web1", "\"writable\":true"));
    assert_call_refused("image.fence", NAME("web1"), ERROR_IMAGE_IN_USE, "image.unserve");
    assert_call_refused("image.unserve", WITH("web1", "\"ifGeneration\":9"), ERROR_CONFLICT, "9");
    assert_answer_has("image.unserve", NAME("web1"), "\"generation\":2");
    run_quietly("image.fence", WITH("web1", "\"ifGeneration\":2"));
}

static void
what_is_not_served_or_not_there_cannot_be_ended(void **state)
{
    (void)state;
    need_qemu_nbd();
    assert_call_refused("image.unserve", NAME("web1"), ERROR_WRONG_STATE, "not served");
    assert_call_refused("image.unserve", NAME("web2"), ERROR_IMAGE_NOT_FOUND, "web2");
    assert_call_refused("image.serve", NAME("web2"), ERROR_IMAGE_NOT_FOUND, "web2");
    assert_call_refused("image.serve", WITH("web1", "\"tls\":true"), ERROR_INVALID_PARAMS, "tls");
    assert_null(storage->servings);
}

static void
two_calls_at_once_do_it_once(void **state)
{
    struct answered one, two;

    (void)state;
    need_qemu_nbd();
    begin_call("one", "image.serve", NAME("web1"), &one);
    begin_call("two", "image.serve", NAME("web1"), &two);
    fixture_wait(&one);
    fixture_wait(&two);
    assert_non_null(one.result);
    assert_non_null(two.result);
    assert_string_equal(one.result, two.result);
    answered_done(&one);
    answered_done(&two);
    run_quietly("image.unserve", NAME("web1"));
    assert_null(storage->servings);
}

static void
one_that_ends_by_itself_is_forgotten(void **state)
{
    int64_t deadline = clock_monotonic_ns() + 60 * NS_PER_S;

    (void)state;
    need_qemu_nbd();
    run_quietly("image.serve", WITH("web1", "\"writable\":true"));
    assert_int_equal(kill(storage->servings->record.pid, SIGKILL), 0);
    while (storage->servings) {
        assert_true(clock_monotonic_ns() < deadline);
        loop_turn(fixture.loop, true);
    }
    assert_answer_has("image.status", NAME("web1"), "\"reason\":null");
    assert_call_refused("image.unserve", NAME("web1"), ERROR_WRONG_STATE, "not served");
}

static void
an_image_that_went_away_is_ended_all_the_same(void **state)
{
    _cleanup_free_ char *there = path_of("fast/images/web1"), *away = path_of("away");

    (void)state;
    need_qemu_nbd();
    run_quietly("image.serve", NAME("web1"));
    assert_int_equal(rename(there, away), 0);
    assert_call_refused("image.unserve", NAME("web1"), ERROR_IMAGE_NOT_FOUND, "served no more");
    assert_null(storage->servings);
    assert_int_equal(rename(away, there), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(served_it_has_an_entry_and_an_address_until_it_is_ended,
                                        begin_image, remove_image),
        cmocka_unit_test_setup_teardown(what_was_writable_is_of_the_next_generation, begin_image,
                                        remove_image),
        cmocka_unit_test_setup_teardown(what_is_not_served_or_not_there_cannot_be_ended,
                                        begin_image, remove_image),
        cmocka_unit_test_setup_teardown(two_calls_at_once_do_it_once, begin_image, remove_image),
        cmocka_unit_test_setup_teardown(one_that_ends_by_itself_is_forgotten, begin_image,
                                        remove_image),
        cmocka_unit_test_setup_teardown(an_image_that_went_away_is_ended_all_the_same, begin_image,
                                        remove_image),
    };

    return cmocka_run_group_tests(tests, open_storage, end_all);
}
