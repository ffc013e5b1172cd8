/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/unit/storage-fixture.h"

#define SIZE (1 << 20)
#define COPY(target, more)                                                                         \
    "{\"repository\":\"slow\",\"image\":\"web1\",\"targetRepository\":\"fast\","                   \
    "\"targetImage\":\"" target "\"" more "}"
#define NAME(image) "{\"repository\":\"fast\",\"image\":\"" image "\"}"

/* The source of all: a MiB of which the first 200,000 bytes are 'a'. */
static int
make_source(void **state)
{
    if (open_storage(state) < 0)
        return -1;
    run_quietly(
        "image.create",
        "{\"repository\":\"slow\",\"image\":\"web1\",\"size\":1048576,\"userData\":{\"a\":1}}");
    write_bytes("slow/images/web1/data", 'a', 200000);
    return 0;
}

static void
assert_equal_to_source(const char *below)
{
    _cleanup_text_ struct text source = TEXT_INIT, copy = TEXT_INIT;

    read_text("slow/images/web1/data", &source);
    read_text(below, &copy);
    assert_int_equal(copy.length, SIZE);
    assert_int_equal(source.length, SIZE);
    assert_memory_equal(copy.bytes, source.bytes, SIZE);
}

static void
assert_file_has(const char *below, const char *wanted)
{
    _cleanup_text_ struct text text = TEXT_INIT;

    read_text(below, &text);
    if (!strstr(text.bytes, wanted))
        fail_msg("'%s' is not in %s: %s", wanted, below, text.bytes);
}

static void
a_copy_ends_complete_and_equal_with_its_record_gone(void **state)
{
    (void)state;
    run_quietly("image.copy", COPY("whole", ""));
    assert_equal_to_source("fast/images/whole/data");
    assert_false(is_there("fast/images/whole/copy.json"));
    assert_answer_has("image.status", NAME("whole"), "\"state\":\"optimized\"");
    assert_answer_has("image.status", NAME("whole"), "\"generation\":1,\"userData\":{\"a\":1}");
}

/* A copy at a byte a second, as it stands when it has answered. */
static void
begin_slowly(const char *params, struct answered *answered)
{
    begin_call("slowly", "image.copy", params, answered);
    wait_for_answer(answered);
    assert_non_null(answered->result);
    assert_int_equal(answered->ends, 0);
}

static struct task *
slow_task(void)
{
    return task_find(fixture.tasks, &(struct task_key){ .text = "slowly", .length = 6 });
}

/* To be aborted or let go on by the caller; 'part' is what it had to leave. */
static void
abort_slowly(struct answered *answered)
{
    task_abort(slow_task());
    fixture_wait(answered);
    assert_status_has("slowly", "\"status\":\"aborted\"");
    answered_done(answered);
}

static void
an_aborted_copy_takes_its_on_crash_back(void **state)
{
    struct answered answered;

    (void)state;
    begin_slowly(COPY("part", ",\"bytesPerSecond\":1,\"onCrash\":\"resume\""), &answered);
    assert_file_has("fast/images/part/copy.json", "\"resumeOnCrash\":true");
    assert_answer_has("image.status", NAME("part"), "\"active\":true");
    abort_slowly(&answered);
    assert_file_has("fast/images/part/copy.json", "\"resumeOnCrash\":false");
    assert_answer_has("image.status", NAME("part"), "\"active\":false");
    assert_answer_has("image.status", NAME("part"), "\"onCrash\":\"leave\"");
}

static void
a_copy_that_fails_otherwise_keeps_it(void **state)
{
    struct answered answered;

    (void)state;
    run_quietly("image.copy",
                "{\"repository\":\"slow\",\"image\":\"web1\",\"targetRepository\":\"slow\","
                "\"targetImage\":\"changing\"}");
    begin_slowly("{\"repository\":\"slow\",\"image\":\"changing\",\"targetRepository\":\"fast\","
                 "\"bytesPerSecond\":1,\"onCrash\":\"resume\"}",
                 &answered);
    write_bytes("slow/images/changing/data", 'b', 1);
    call_throttle(&slow_task()->call, 0);
    fixture_wait(&answered);
    assert_status_has("slowly", "\"name\":\"Conflict\"");
    assert_file_has("fast/images/changing/copy.json", "\"resumeOnCrash\":true");
    assert_answer_has("image.status", NAME("changing"), "\"state\":\"broken\"");
    answered_done(&answered);
    assert_call_refused("image.resume", NAME("changing"), ERROR_CONFLICT, "has changed");
}

static void
what_was_left_is_resumed_whatever_was_said_of_its_source(void **state)
{
    struct answered answered;

    (void)state;
    begin_slowly(COPY("rest", ",\"bytesPerSecond\":1"), &answered);
    abort_slowly(&answered);
    write_bytes("fast/images/rest/data", 'x', SIZE); /* behind the record: anything */
    run_quietly("image.update",
                "{\"repository\":\"slow\",\"image\":\"web1\",\"userData\":{\"b\":2}}");
    begin_call("slowly", "image.resume", NAME("rest"), &answered);
    call_throttle(&slow_task()->call, 0); /* the recorded rate is found later */
    fixture_wait(&answered);
    assert_null(answered.error);
    answered_done(&answered);
    assert_equal_to_source("fast/images/rest/data");
    assert_call_refused("image.resume", NAME("rest"), ERROR_NOTHING_TO_RESUME, "complete");
}

static void
a_target_that_vanishes_is_the_repositorys_fault(void **state)
{
    _cleanup_free_ char *from = path_of("fast/images/lost"), *to = path_of("elsewhere");
    struct answered answered;

    (void)state;
    begin_slowly(COPY("lost", ",\"bytesPerSecond\":1"), &answered);
    assert_int_equal(rename(from, to), 0);
    call_throttle(&slow_task()->call, 0);
    fixture_wait(&answered);
    /* It is written to its open directory, wherever that is: nothing is lost. */
    assert_equal_to_source("elsewhere/data");
    answered_done(&answered);
    assert_int_equal(rename(to, from), 0);
    assert_answer_has("image.status", NAME("lost"), "\"state\":\"optimized\"");
}

static void
a_checksum_goes_along_only_while_it_is_the_datas(void **state)
{
    (void)state;
    run_quietly("image.copy",
                "{\"repository\":\"slow\",\"image\":\"web1\",\"targetRepository\":\"slow\","
                "\"targetImage\":\"summed\"}");
    run_quietly("image.checksum", "{\"repository\":\"slow\",\"image\":\"summed\"}");
    run_quietly("image.copy",
                "{\"repository\":\"slow\",\"image\":\"summed\",\"targetRepository\":\"fast\"}");
    assert_answer_has("image.status", NAME("summed"), "\"checksum\":{\"algorithm\"");
    write_bytes("slow/images/summed/data", 'c', 9);
    run_quietly("image.copy",
                "{\"repository\":\"slow\",\"image\":\"summed\",\"targetRepository\":\"fast\","
                "\"targetImage\":\"later\"}");
    assert_answer_has("image.status", NAME("later"), "\"checksum\":null");
}

static void
what_cannot_be_a_copy_is_refused_and_leaves_nothing(void **state)
{
    struct answered answered;

    (void)state;
    assert_call_refused(
        "image.copy", "{\"repository\":\"slow\",\"image\":\"web1\",\"targetRepository\":\"slow\"}",
        ERROR_INVALID_PARAMS, "another id");
    assert_call_refused(
        "image.copy",
        "{\"repository\":\"slow\",\"image\":\"nobody\",\"targetRepository\":\"fast\"}",
        ERROR_IMAGE_NOT_FOUND, "nobody");
    assert_call_refused(
        "image.copy", "{\"repository\":\"slow\",\"image\":\"web1\",\"targetRepository\":\"none\"}",
        ERROR_REPOSITORY_NOT_FOUND, "none");
    run_quietly("image.copy", COPY("there", ""));
    assert_call_refused("image.copy", COPY("there", ""), ERROR_IMAGE_EXISTS, "there");
    begin_slowly(COPY("half", ",\"bytesPerSecond\":1"), &answered);
    assert_call_refused(
        "image.copy", "{\"repository\":\"fast\",\"image\":\"half\",\"targetRepository\":\"slow\"}",
        ERROR_IMAGE_IN_USE, "in use");
    assert_call_refused("image.resume", NAME("half"), ERROR_IMAGE_IN_USE, "in use");
    abort_slowly(&answered);
    assert_call_refused(
        "image.copy", "{\"repository\":\"fast\",\"image\":\"half\",\"targetRepository\":\"slow\"}",
        ERROR_IMAGE_BROKEN, "incomplete");
    assert_false(is_there("slow/images/half"));
    run_quietly("image.remove", NAME("half"));
    assert_answer_has("repository.check", "{\"repository\":\"slow\"}", "\"problems\":[]");
}

static void
an_import_is_of_one_state_of_its_file(void **state)
{
    _cleanup_free_ char *path = path_of("disk.raw"), *params = NULL;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct answered answered;

    (void)state;
    assert_int_equal(ftruncate(fd, SIZE), 0);
    write_bytes("disk.raw", 'd', 70000);
    params = xprintf("{\"repository\":\"fast\",\"image\":\"disk\",\"path\":\"%s\","
                     "\"sourceFormat\":\"raw\",\"bytesPerSecond\":1}",
                     path);
    begin_call("slowly", "image.import", params, &answered);
    wait_for_answer(&answered);
    write_bytes("disk.raw", 'e', 1);
    call_throttle(&slow_task()->call, 0);
    fixture_wait(&answered);
    assert_status_has("slowly", "\"name\":\"Conflict\"");
    answered_done(&answered);
    assert_answer_has("image.status", NAME("disk"), "\"source\":{\"path\":");
    run_quietly("image.remove", NAME("disk"));
}

static void
an_export_appears_whole_or_not_at_all(void **state)
{
    _cleanup_free_ char *path = path_of("out.raw"), *params = NULL;

    (void)state;
    params = xprintf("{\"repository\":\"slow\",\"image\":\"web1\",\"path\":\"%s\"}", path);
    run_quietly("image.export", params);
    assert_equal_to_source("out.raw");
    assert_call_refused("image.export", params, ERROR_ALREADY_EXISTS, "nothing is replaced");
    assert_equal_to_source("out.raw");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_ends_complete_and_equal_with_its_record_gone),
        cmocka_unit_test(an_aborted_copy_takes_its_on_crash_back),
        cmocka_unit_test(a_copy_that_fails_otherwise_keeps_it),
        cmocka_unit_test(what_was_left_is_resumed_whatever_was_said_of_its_source),
        cmocka_unit_test(a_target_that_vanishes_is_the_repositorys_fault),
        cmocka_unit_test(a_checksum_goes_along_only_while_it_is_the_datas),
        cmocka_unit_test(what_cannot_be_a_copy_is_refused_and_leaves_nothing),
        cmocka_unit_test(an_import_is_of_one_state_of_its_file),
        cmocka_unit_test(an_export_appears_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, make_source, close_storage);
}
