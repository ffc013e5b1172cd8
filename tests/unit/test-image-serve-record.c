/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-serve-record.h"

#include "tests/unit/repository-fixture.h"

#define UUID "22222222-2222-4222-8222-222222222222"
#define FILE_NAME "serve/" UUID "-web1.json"

static struct serve_record
sample(void)
{
    return (struct serve_record){ .repository = UUID,
                                  .image = (char *)(uintptr_t) "web1",
                                  .uri = (char *)(uintptr_t) "nbd+unix:///web1?socket=/x",
                                  .token = "12345678-1234",
                                  .writable = true,
                                  .pid = 4711,
                                  .started = UINT64_C(1) << 40 };
}

static bool
is_in_folder(const char *name)
{
    _cleanup_free_ char *path = xprintf("%s/%s", folder, name);

    return access(path, F_OK) == 0;
}

static void
put_in_folder(const char *name, const char *contents)
{
    _cleanup_free_ char *path = xprintf("%s/%s", folder, name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, contents, strlen(contents)), strlen(contents));
}

static void
open_folder(void)
{
    struct error *error = NULL;

    succeed(serve_open_folder(folder, &error), error);
}

/* How many there are; the first is '*ret_first', to be done. */
static size_t
list(struct serve_record *ret_first)
{
    struct serve_record *records;
    struct error *error = NULL;
    size_t count;

    succeed(serve_record_list(&records, &count, &error), error);
    for (size_t i = 1; i < count; i++)
        serve_record_done(&records[i]);
    if (count > 0)
        *ret_first = records[0];
    free(records);
    return count;
}

static void
without_a_folder_nothing_can_be_served(void **state)
{
    struct error *error = NULL;
    char *path;

    (void)state;
    refused(serve_path("12345678-1234", "sock", &path, &error), &error, ERROR_BACKEND_UNAVAILABLE);
    assert_null(serve_reason(UUID, "web1"));
}

static void
what_was_written_is_found_again(void **state)
{
    _cleanup_(serve_record_done) struct serve_record found = { 0 };
    const struct serve_record record = sample();
    struct error *error = NULL;

    (void)state;
    open_folder();
    succeed(serve_record_write(&record, &error), error);
    assert_true(is_in_folder(FILE_NAME));
    open_folder(); /* another agent's start */
    assert_int_equal(list(&found), 1);
    assert_string_equal(found.repository, record.repository);
    assert_string_equal(found.image, record.image);
    assert_string_equal(found.uri, record.uri);
    assert_string_equal(found.token, record.token);
    assert_true(found.writable && !found.tls);
    assert_int_equal(found.pid, record.pid);
    assert_true(found.started == record.started);
}

static void
a_status_tells_of_what_serves_and_not_of_what_is_begun(void **state)
{
    struct serve_record record = sample();
    _cleanup_free_ char *before = NULL, *after = NULL, *other = NULL;
    struct error *error = NULL;

    (void)state;
    open_folder();
    record.pid = 0;
    succeed(serve_record_write(&record, &error), error);
    before = serve_reason(UUID, "web1");
    assert_null(before);
    record.pid = 4711;
    succeed(serve_record_write(&record, &error), error);
    after = serve_reason(UUID, "web1");
    assert_string_equal(after, "served for writing at nbd+unix:///web1?socket=/x");
    other = serve_reason(UUID, "web2");
    assert_null(other);
}

static void
removed_it_leaves_nothing(void **state)
{
    const struct serve_record record = sample();
    struct error *error = NULL;

    (void)state;
    open_folder();
    succeed(serve_record_write(&record, &error), error);
    put_in_folder("serve/12345678-1234.sock", "");
    put_in_folder("serve/12345678-1234.pid", "4711\n");
    put_in_folder("serve/87654321-4321.sock", "");
    succeed(serve_record_remove(&record, &error), error);
    assert_false(is_in_folder("serve/12345678-1234.sock"));
    assert_false(is_in_folder("serve/12345678-1234.pid"));
    assert_false(is_in_folder(FILE_NAME));
    assert_true(is_in_folder("serve/87654321-4321.sock"));
    succeed(serve_record_remove(&record, &error), error); /* again: a kill came in between */
}

static void
what_is_no_record_is_removed_and_keeps_nothing_from_being_found(void **state)
{
    static const char *const damaged[] = {
        "",
        "[]",
        "{\"version\":1}",
        "{\"version\":2,\"repository\":\"" UUID "\",\"image\":\"a\",\"token\":\"12345678-1234\","
        "\"uri\":\"\",\"writable\":true,\"tls\":false,\"pid\":1,\"started\":1}",
        "{\"version\":1,\"repository\":\"" UUID "\",\"image\":\"../a\",\"token\":\"12345678-1234\","
        "\"uri\":\"\",\"writable\":true,\"tls\":false,\"pid\":1,\"started\":1}",
        "{\"version\":1,\"repository\":\"" UUID "\",\"image\":\"a\",\"token\":\"../../../../x\","
        "\"uri\":\"\",\"writable\":true,\"tls\":false,\"pid\":1,\"started\":1}",
        "{\"version\":1,\"repository\":\"" UUID "\",\"image\":\"a\",\"token\":\"12345678-1234\","
        "\"uri\":\"\",\"writable\":true,\"tls\":false,\"pid\":-1,\"started\":1}"
    };
    _cleanup_(serve_record_done) struct serve_record found = { 0 };
    const struct serve_record record = sample();
    struct error *error = NULL;

    (void)state;
    open_folder();
    succeed(serve_record_write(&record, &error), error);
    put_in_folder("serve/.tmp-something.json", "{");
    for (size_t i = 0; i < ARRAY_COUNT(damaged); i++) {
        serve_record_done(&found);
        put_in_folder("serve/damaged.json", damaged[i]);
        assert_int_equal(list(&found), 1);
        assert_false(is_in_folder("serve/damaged.json"));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_folder_nothing_can_be_served),
        cmocka_unit_test_setup_teardown(what_was_written_is_found_again, begin, end),
        cmocka_unit_test_setup_teardown(a_status_tells_of_what_serves_and_not_of_what_is_begun,
                                        begin, end),
        cmocka_unit_test_setup_teardown(removed_it_leaves_nothing, begin, end),
        cmocka_unit_test_setup_teardown(
            what_is_no_record_is_removed_and_keeps_nothing_from_being_found, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
