/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/host-read.h"

#include "tests/unit/host-fixture.h"

static void
a_file_is_read_and_one_that_is_not_there_is_null(void **state)
{
    _cleanup_free_ char *all = NULL, *head = NULL, *line = NULL;
    uint64_t value = 7;

    (void)state;
    host_file("/proc/x", "  first line \t\nsecond\n");
    host_file("/proc/empty", "\n");
    host_file("/proc/number", "123 kB\n");
    host_file("/proc/minus", "-1\n");
    all = host_read(host_root, 1000, "/proc/%s", "x");
    head = host_read(host_root, 4, "/proc/x");
    line = host_read_line(host_root, "/proc/x");
    assert_string_equal(all, "  first line \t\nsecond\n");
    assert_string_equal(head, "  fi");
    assert_string_equal(line, "first line");
    assert_null(host_read(host_root, 1000, "/proc/none"));
    assert_null(host_read_line(host_root, "/proc/none"));
    assert_null(host_read_line(host_root, "/proc/empty"));
    assert_false(host_read_number(host_root, &value, "/proc/minus"));
    assert_false(host_read_number(host_root, &value, "/proc/x"));
    assert_int_equal(value, 7);
    assert_true(host_read_number(host_root, &value, "/proc/number"));
    assert_int_equal(value, 123);
}

static void
a_text_is_longer_than_one_read(void **state)
{
    _cleanup_free_ char *long_text = xalloc(50001), *all = NULL;

    (void)state;
    memset(long_text, 'x', 50000);
    host_file("/proc/long", long_text);
    all = host_read(host_root, 1000000, "/proc/long");
    assert_string_equal(all, long_text);
}

static void
names_are_sorted_as_people_count(void **state)
{
    _cleanup_(strings_freep) char **names = NULL;
    _cleanup_(strings_freep) char **none = host_list(host_root, "/none");

    (void)state;
    host_file("/sys/cpu10", "");
    host_file("/sys/cpu2", "");
    host_file("/sys/cpu1", "");
    host_file("/sys/.hidden", "");
    names = host_list(host_root, "/sys");
    assert_string_equal(names[0], "cpu1");
    assert_string_equal(names[1], "cpu2");
    assert_string_equal(names[2], "cpu10");
    assert_null(names[3]);
    assert_null(none[0]);
}

static void
lists_of_cpus_are_read_as_the_kernel_writes_them(void **state)
{
    const char *bad = "3-1";
    unsigned first, last;

    (void)state;
    assert_int_equal(cpu_list_count("0"), 1);
    assert_int_equal(cpu_list_count("0-3,8,10-11\n"), 7);
    assert_int_equal(cpu_list_count(""), 0);
    assert_int_equal(cpu_list_count(NULL), 0);
    assert_int_equal(cpu_list_count("0-4294967295"), 4294967296);
    assert_true(cpu_list_has("0-3,8", 8));
    assert_false(cpu_list_has("0-3,8", 4));
    assert_false(cpu_list_next(&bad, &first, &last));
}

static void
a_value_is_found_behind_its_name_at_the_begin_of_a_line(void **state)
{
    static const char text[] =
        "SwapCached:  1 kB\nCached:     22 kB\npswpin_more 5\npswpin 6\nlast 7";
    uint64_t value = 0;

    (void)state;
    assert_true(text_number_after(text, "Cached:", &value));
    assert_int_equal(value, 22);
    assert_true(text_number_after(text, "pswpin ", &value));
    assert_int_equal(value, 6);
    assert_true(text_number_after(text, "last ", &value));
    assert_int_equal(value, 7);
    assert_false(text_number_after(text, "none", &value));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_read_and_one_that_is_not_there_is_null,
                                        host_begin, host_end),
        cmocka_unit_test_setup_teardown(a_text_is_longer_than_one_read, host_begin, host_end),
        cmocka_unit_test_setup_teardown(names_are_sorted_as_people_count, host_begin, host_end),
        cmocka_unit_test(lists_of_cpus_are_read_as_the_kernel_writes_them),
        cmocka_unit_test(a_value_is_found_behind_its_name_at_the_begin_of_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
