/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-use.h"

#include "tests/unit/repository-fixture.h"

#define WEB "aaaaaaaa-0000-4000-8000-000000000001"
#define DB "aaaaaaaa-0000-4000-8000-000000000002"
#define HERE "11111111-1111-4111-8111-111111111111"
#define THERE "22222222-2222-4222-8222-222222222222"

static enum use_verdict verdict; /* of all that are asked about */
static unsigned asked;

static enum use_verdict
judge_use(void *context, const struct image *image, const struct use_record *use)
{
    (void)context;
    (void)image;
    assert_string_equal(use->host, HERE);
    asked++;
    return verdict;
}

static int
begin_uses(void **state)
{
    static const struct use_judge judge = { judge_use, NULL };

    if (begin(state) < 0)
        return -1;
    image_use_open(HERE);
    image_use_set_judge(&judge);
    verdict = USE_IDLE;
    asked = 0;
    make_image("web1");
    return 0;
}

static struct use_record
use_of(const char *vm, const char *host, bool writable)
{
    struct use_record use = { .name = (char *)(uintptr_t)(strcmp(vm, WEB) == 0 ? "web" : "db"),
                              .since_ns = INT64_C(1795000000000000000),
                              .writable = writable };

    memcpy(use.vm, vm, sizeof(use.vm));
    memcpy(use.host, host, sizeof(use.host));
    return use;
}

static struct image *
open_web1(void)
{
    struct error *error = NULL;
    struct image *image;

    succeed(image_open_locked(repository, "web1", IMAGE_LOCK_EXCLUSIVE, HOLDER, &image, &error),
            error);
    return image;
}

static bool
try_claim(const char *vm, const char *host, bool writable, bool migrating, struct error **err)
{
    _cleanup_(image_closep) struct image *image = open_web1();
    _cleanup_(image_claim_done) struct image_claim claim = { 0 };
    const struct use_record use = use_of(vm, host, writable);

    return image_claim(image, &use, migrating, &claim, err);
}

static void
claim(const char *vm, const char *host, bool writable)
{
    struct error *error = NULL;

    succeed(try_claim(vm, host, writable, false, &error), error);
}

static size_t
count_uses(void)
{
    _cleanup_(image_closep) struct image *image = open_web1();
    _cleanup_(image_uses_done) struct image_uses uses = { 0 };
    struct error *error = NULL;

    succeed(image_read_uses(image, &uses, &error), error);
    return uses.count;
}

static bool
try_change(const char *vm, struct error **err)
{
    _cleanup_(image_closep) struct image *image = open_web1();

    return image_require_unused(image, vm, "do something else", err);
}

static void
a_machine_that_needs_it_keeps_changes_away_and_is_named(void **state)
{
    struct error *error = NULL;

    (void)state;
    succeed(try_change(NULL, &error), error);
    claim(WEB, HERE, true);
    assert_status_has("web1", "\"uses\":[{\"vm\":\"" WEB "\",\"name\":\"web\",\"host\":\"" HERE
                              "\",\"since\":\"2026-11-18T11:06:40.000Z\",\"writable\":true}]");
    assert_false(try_change(NULL, &error));
    assert_int_equal(error->code, ERROR_IMAGE_IN_USE);
    assert_has(error->message, "is a disk of VM 'web' on this host: do something else");
    assert_has(error->data, "\"holder\":\"VM web on host " HERE "\"");
    error_free(TAKE(error));
    refused(try_change(DB, &error), &error, ERROR_IMAGE_IN_USE);
    succeed(try_change(WEB, &error), error);
}

static void
one_writes_or_several_read(void **state)
{
    struct error *error = NULL;

    (void)state;
    claim(WEB, HERE, false);
    claim(DB, THERE, false);
    refused(try_claim(DB, HERE, true, false, &error), &error, ERROR_IMAGE_IN_USE);
    assert_int_equal(count_uses(), 2);
    refused(try_change(WEB, &error), &error, ERROR_IMAGE_IN_USE);
}

static void
writers_share_what_all_of_them_call_shareable(void **state)
{
    _cleanup_(image_closep) struct image *image = open_web1();
    struct use_record use = use_of(WEB, HERE, true);
    struct image_claim claimed = { 0 };
    struct error *error = NULL;

    (void)state;
    use.shareable = true;
    succeed(image_claim(image, &use, false, &claimed, &error), error);
    image_claim_done(&claimed);
    use = use_of(DB, THERE, true);
    refused(image_claim(image, &use, false, &claimed, &error), &error, ERROR_IMAGE_IN_USE);
    use.shareable = true;
    succeed(image_claim(image, &use, false, &claimed, &error), error);
    image_claim_done(&claimed);
}

static void
the_same_machine_is_on_two_hosts_only_while_it_migrates(void **state)
{
    struct error *error = NULL;

    (void)state;
    claim(WEB, HERE, true);
    refused(try_claim(WEB, THERE, true, false, &error), &error, ERROR_IMAGE_IN_USE);
    succeed(try_claim(WEB, THERE, true, true, &error), error);
    assert_int_equal(count_uses(), 2);
    refused(try_claim(DB, HERE, true, true, &error), &error, ERROR_IMAGE_IN_USE);
}

static void
a_record_of_this_host_goes_when_its_machine_is_gone(void **state)
{
    struct error *error = NULL;

    (void)state;
    claim(WEB, HERE, true);
    verdict = USE_UNKNOWN;
    assert_false(try_change(NULL, &error));
    assert_has(error->message, "libvirt does not tell now");
    error_free(TAKE(error));
    verdict = USE_GONE;
    succeed(try_claim(DB, HERE, true, false, &error), error);
    assert_int_equal(count_uses(), 1);
    verdict = USE_RUNNING;
    refused(try_change(NULL, &error), &error, ERROR_IMAGE_IN_USE);
    verdict = USE_GONE;
    succeed(try_change(NULL, &error), error);
    assert_int_equal(count_uses(), 0);
}

/* The machine that comes is not known here yet: what stands for it is not dropped for nothing. */
static void
nothing_is_dropped_while_another_host_is_in_the_way(void **state)
{
    struct error *error = NULL;

    (void)state;
    claim(WEB, THERE, true);
    succeed(try_claim(WEB, HERE, true, true, &error), error);
    verdict = USE_GONE;
    assert_false(try_change(NULL, &error));
    assert_has(error->message, "on host " THERE);
    assert_has(error->message, "image.release");
    error_free(TAKE(error));
    assert_int_equal(count_uses(), 2);
}

static void
what_was_claimed_in_vain_is_put_back(void **state)
{
    _cleanup_(image_closep) struct image *image = open_web1();
    const struct use_record reads = use_of(WEB, HERE, false), writes = use_of(WEB, HERE, true);
    struct image_claim first = { 0 }, second = { 0 };
    struct error *error = NULL;

    (void)state;
    succeed(image_claim(image, &reads, false, &first, &error), error);
    succeed(image_claim(image, &writes, false, &second, &error), error);
    assert_true(second.was_there);
    succeed(image_unclaim(image, &second, &error), error);
    assert_status_has("web1", "\"writable\":false");
    succeed(image_unclaim(image, &first, &error), error);
    assert_status_has("web1", "\"uses\":[]");
    succeed(image_release(image, WEB, HERE, &error), error);
    image_claim_done(&first);
    image_claim_done(&second);
}

static void
what_cannot_be_read_counts_as_a_writers(void **state)
{
    struct error *error = NULL;

    (void)state;
    claim(WEB, THERE, false);
    put_file("web1/uses/" WEB "-" THERE ".json", "{\"version\":7}");
    put_file("web1/uses/.tmp-" WEB "-" THERE ".json", "");
    put_file("web1/uses/something", "");
    assert_false(try_claim(DB, HERE, false, false, &error));
    assert_has(error->message, "VM '" WEB "' on host " THERE);
    error_free(TAKE(error));
    assert_status_has("web1", "\"uses\":[{\"vm\":\"" WEB "\",\"name\":null,\"host\":\"" THERE "\"");
}

static void
what_an_interrupted_write_leaves_is_found_and_dropped(void **state)
{
    _cleanup_(image_closep) struct image *image = NULL;
    struct error *error = NULL;

    (void)state;
    claim(WEB, HERE, true);
    image = open_web1();
    assert_false(image_has_use_left_over(image));
    put_file("web1/uses/.tmp-" DB "-" HERE ".json", "{");
    assert_true(image_has_use_left_over(image));
    succeed(image_drop_use_left_overs(image, &error), error);
    assert_false(image_has_use_left_over(image));
    assert_false(image_has_stale_uses(image));
    assert_true(image_is_used(image));
    verdict = USE_GONE;
    assert_true(image_has_stale_uses(image));
    assert_false(image_is_used(image));
    succeed(image_drop_stale_uses(image, &error), error);
    assert_false(there_is("web1/uses/" WEB "-" HERE ".json"));
}

static void
a_planted_link_is_not_followed(void **state)
{
    struct error *error = NULL;

    (void)state;
    assert_int_equal(symlinkat("/tmp", folder_fd(repository->images), "web1/uses"), 0);
    refused(try_change(NULL, &error), &error, ERROR_REPOSITORY_UNAVAILABLE);
    refused(try_claim(WEB, HERE, true, false, &error), &error, ERROR_REPOSITORY_UNAVAILABLE);
}

int
main(void)
{
#define USE_TEST(f) cmocka_unit_test_setup_teardown(f, begin_uses, end)
    const struct CMUnitTest tests[] = {
        USE_TEST(a_machine_that_needs_it_keeps_changes_away_and_is_named),
        USE_TEST(one_writes_or_several_read),
        USE_TEST(writers_share_what_all_of_them_call_shareable),
        USE_TEST(the_same_machine_is_on_two_hosts_only_while_it_migrates),
        USE_TEST(a_record_of_this_host_goes_when_its_machine_is_gone),
        USE_TEST(nothing_is_dropped_while_another_host_is_in_the_way),
        USE_TEST(what_was_claimed_in_vain_is_put_back),
        USE_TEST(what_cannot_be_read_counts_as_a_writers),
        USE_TEST(what_an_interrupted_write_leaves_is_found_and_dropped),
        USE_TEST(a_planted_link_is_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
