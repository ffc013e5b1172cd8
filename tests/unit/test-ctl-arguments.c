/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <string.h>

#include "ctl/completion.h"
#include "ctl/suggestion.h"
#include "ctl/values.h"
#include "ctl/words.h"
#include "tests/unit/ctl-document.h"

/* One line, parsed; what it gave lives until forget(). */
static struct {
    struct verbs *verbs;
    struct words words;
    struct settings defaults;
    struct invocation invocation;
    struct error *error;
} here;

static bool
parse(const char *line)
{
    struct error *error = NULL;

    if (!here.verbs)
        assert_true(verbs_new(document, sizeof(document) - 1, own_commands,
                              ARRAY_COUNT(own_commands), &here.verbs, &error));
    assert_true(words_split(line, &here.words, &error));
    here.defaults = (struct settings){ .url = "unix:/run/x" };
    return arguments_parse(here.verbs, &here.defaults, (const char *const *)here.words.all,
                           here.words.count, &here.invocation, &here.error);
}

static int
forget(void **state)
{
    (void)state;
    invocation_done(&here.invocation);
    words_done(&here.words);
    verbs_free(here.verbs);
    error_free(here.error);
    memset(&here, 0, sizeof(here));
    return 0;
}

static void
assert_refused(const char *line, const char *part)
{
    if (parse(line))
        fail_msg("'%s' was taken", line);
    if (!strstr(here.error->message, part))
        fail_msg("'%s' says '%s', not '%s'", line, here.error->message, part);
    (void)forget(NULL);
}

static void
assert_params(const char *line, const char *expected)
{
    char *json;

    if (!parse(line))
        fail_msg("'%s': %s", line, here.error->message);
    json = json_dumps(here.invocation.params, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(json, expected);
    free(json);
    (void)forget(NULL);
}

static void
flags_of_each_type_become_json(void **state)
{
    (void)state;
    assert_params("IMAGE copy --repository slow --image=web1 --target-repository fast",
                  "{\"image\":\"web1\",\"repository\":\"slow\",\"targetRepository\":\"fast\"}");
    assert_params(
        "image copy --repository a --image b --bytes-per-second 10M --level -1",
        "{\"bytesPerSecond\":10485760,\"image\":\"b\",\"level\":-1,\"repository\":\"a\"}");
    assert_params("image copy --repository a --image b --verify --user-data '{\"k\": 1}'",
                  "{\"image\":\"b\",\"repository\":\"a\",\"userData\":{\"k\":1},\"verify\":true}");
    assert_params(
        "image copy --repository a --image b --verify=false --servers x --servers=y",
        "{\"image\":\"b\",\"repository\":\"a\",\"servers\":[\"x\",\"y\"],\"verify\":false}");
    assert_params("task status --task 7", "{\"task\":\"7\"}");
    assert_params("image copy --repository a --image b --path /x",
                  "{\"image\":\"b\",\"path\":\"/x\",\"repository\":\"a\"}");
}

static void
flags_of_several_values_take_them_in_a_row(void **state)
{
    (void)state;
    assert_params("image copy --repository a --servers x y --image b --servers z",
                  "{\"image\":\"b\",\"repository\":\"a\",\"servers\":[\"x\",\"y\",\"z\"]}");
    assert_params("image copy --repository a --image b --user-data k.l=1 m==2= --user-data n=",
                  "{\"image\":\"b\",\"repository\":\"a\",\"userData\":{\"k.l\":\"1\",\"m\":\"=2=\","
                  "\"n\":\"\"}}");
    assert_params("image copy --repository a --image b --user-data '{\"k\": 1}' l=2 --verify",
                  "{\"image\":\"b\",\"repository\":\"a\",\"userData\":{\"k\":1,\"l\":\"2\"},"
                  "\"verify\":true}");
    assert_refused("image copy --repository a --image b --user-data k=1 k=2", "gives 'k' twice");
    assert_refused("image copy --repository a --image b --user-data k", "neither NAME=VALUE nor");
    assert_refused("image copy --repository a --image b --user-data =k", "neither NAME=VALUE nor");
    assert_refused("image copy --repository a --image b c", "stands alone");
    assert_refused("image copy --repository a --image b --servers=x y", "stands alone");
}

static void
records_are_written_as_members(void **state)
{
    (void)state;
    assert_params("vm define --disks repository=fast,boot-order=1,readonly "
                  "repository=slow,bootOrder=2,readonly=false --disks repository=x",
                  "{\"disks\":[{\"bootOrder\":1,\"readonly\":true,\"repository\":\"fast\"},"
                  "{\"bootOrder\":2,\"readonly\":false,\"repository\":\"slow\"},"
                  "{\"repository\":\"x\"}]}");
    assert_params("vm define --disks repository=a,tuning.read-rate=1K,tags=x,tags=y,,z=",
                  "{\"disks\":[{\"repository\":\"a\",\"tags\":[\"x\",\"y,z=\"],"
                  "\"tuning\":{\"readRate\":1024}}]}");
    assert_params("vm define --console kind=vnc listen=::1",
                  "{\"console\":{\"kind\":\"vnc\",\"listen\":\"::1\"}}");
    assert_params("vm define --console '{\"kind\": \"vnc\"}' --disks '[{\"a\": 1}]' '{\"b\": 2}' "
                  "repository=c",
                  "{\"console\":{\"kind\":\"vnc\"},\"disks\":[{\"a\":1},{\"b\":2},"
                  "{\"repository\":\"c\"}]}");
    assert_params("vm define --disks path=/x --url wss://h", "{\"disks\":[{\"path\":\"/x\"}]}");
    assert_true(parse("vm define --disks path=disk.raw"));
    assert_int_equal(
        json_string_value(json_object_get(
            json_array_get(json_object_get(here.invocation.params, "disks"), 0), "path"))[0],
        '/');
}

static void
mistakes_in_records_are_told_with_what_was_meant(void **state)
{
    (void)state;
    assert_refused("vm define --disks bootorder=1", "did you mean 'boot-order'?");
    assert_refused("vm define --disks tuning.read=1", "did you mean 'tuning.read-rate'?");
    assert_refused("vm define --disks xxxxxxxx=1", "there are repository, boot-order, readonly");
    assert_refused("vm define --disks repository", "'repository' needs a value: repository=…");
    assert_refused("vm define --disks repository=a,repository=b",
                   "--disks repository is given twice");
    assert_refused("vm define --disks repository=a,", "neither MEMBER=VALUE");
    assert_refused("vm define --disks boot-order=x", "--disks boot-order: 'x' is not a whole");
    assert_refused("vm define --disks boot-order=0", "--disks boot-order: 0 is too small");
    assert_refused("vm define --disks tuning=1", "NAME.MEMBER=VALUE");
    assert_refused("vm define --disks parts=1", "write it within JSON");
    assert_refused("vm define --disks repository.x=1", "no member 'repository.x'");
    assert_refused("vm define --disks {", "--disks: not JSON");
    assert_refused("vm define --console kind=vnv",
                   "--console kind: 'vnv' is not one of vnc, spice");
    assert_refused("vm define --console kind=vnc kind=spice", "--console kind is given twice");
    assert_refused("vm define --console kind=vnc {}", "--console is given twice");
    assert_refused("vm define --console '{\"tls\": 5}' tls.port=1",
                   "--console tls.port is given twice");
    assert_refused("vm define --console '{\"names\": 5}' names=a",
                   "--console names is given twice");
}

static void
common_flags_stand_anywhere(void **state)
{
    (void)state;
    assert_true(parse("--url ws://h image --format=json list --repository a --id n7 --wait "
                      "--timeout 1.5 --once"));
    assert_string_equal(here.invocation.settings.url, "ws://h");
    assert_string_equal(here.invocation.settings.id, "n7");
    assert_true(here.invocation.settings.json && here.invocation.settings.wait);
    assert_true(here.invocation.settings.once && here.invocation.settings.timeout_s == 1.5);
    assert_string_equal(here.invocation.command->method, "image.list");
}

static void
an_own_flag_hides_the_common_one_but_for_its_values(void **state)
{
    (void)state;
    assert_true(parse("image copy --repository a --image b --format qcow2 --format json"));
    assert_true(here.invocation.settings.json);
    assert_string_equal(json_string_value(json_object_get(here.invocation.params, "format")),
                        "qcow2");
    (void)forget(NULL);
    assert_true(parse("image copy --repository a --image b --url nbd://h/x --url unix:/y"));
    assert_string_equal(here.invocation.settings.url, "unix:/y");
    assert_string_equal(json_string_value(json_object_get(here.invocation.params, "url")),
                        "nbd://h/x");
    (void)forget(NULL);
    assert_refused("image copy --repository a --image b --format qcow3", "did you mean 'qcow2'?");
}

static void
help_is_known_at_each_level_and_needs_no_flags(void **state)
{
    (void)state;
    assert_true(parse("--help") && here.invocation.help && !here.invocation.resource);
    (void)forget(NULL);
    assert_true(parse("help Image copy") && here.invocation.help);
    assert_string_equal(here.invocation.command->name, "copy");
    (void)forget(NULL);
    assert_true(parse("image copy -h") && here.invocation.help);
    (void)forget(NULL);
    assert_true(parse("shell") && here.invocation.command);
}

static void
mistakes_are_told_with_what_was_meant(void **state)
{
    (void)state;
    assert_refused("imge list", "did you mean 'image'?");
    assert_refused("image copi", "did you mean 'copy'?");
    assert_refused("image list --repositroy x", "did you mean '--repository'?");
    assert_refused("image list --repo x", "did you mean '--repository'?");
    assert_refused("nonsense", "there are image, vm, task, shell");
    assert_refused("image list web1", "did you mean --repository web1?");
    assert_refused("image copy web1", "did you mean --image web1?");
    assert_refused("image copy --repository a", "needs --image");
    assert_refused("image copy", "needs --repository, --image");
    assert_refused("image list --repository", "needs a value");
    assert_refused("image list --repository --wait", "needs a value");
    assert_refused("image list --repository a --repository b", "given twice");
    assert_refused("image list --repository a --wait --wait", "given twice");
    assert_refused("image copy --repository a --image b --verify true", "--flag=true");
    assert_refused("image copy --repository a --image b --verify=yes", "neither true nor false");
    assert_refused("image copy --repository a --image b --level 10", "at most 9");
    assert_refused("image copy --repository a --image b --level x", "not a whole number");
    assert_refused("image copy --repository a --image b --user-data []", "must be an object");
    assert_refused("image copy --repository a --image b --user-data {", "not JSON");
    assert_refused("image list --repository a --timeout 0", "number of seconds");
    assert_refused("image list --repository a --timeout nan", "number of seconds");
    assert_refused("image list --repository a --url=", "is empty");
    assert_refused("image list -x", "no flag");
}

static void
a_relative_path_is_made_absolute_for_an_agent_on_this_machine_only(void **state)
{
    _cleanup_free_ char *path = value_absolute_path("./disk.raw");

    (void)state;
    assert_int_equal(path[0], '/');
    assert_null(strstr(path, "./"));
    assert_true(parse("image copy --repository a --image b --path disk.raw"));
    assert_int_equal(json_string_value(json_object_get(here.invocation.params, "path"))[0], '/');
    (void)forget(NULL);
    assert_params("image copy --repository a --image b --path disk.raw --url wss://h",
                  "{\"image\":\"b\",\"path\":\"disk.raw\",\"repository\":\"a\"}");
}

static void
sizes_take_units_of_1024(void **state)
{
    static const struct {
        const char *text;
        int64_t size;
    } good[] = {
        { "0", 0 },
        { "4096", 4096 },
        { "1K", 1024 },
        { "4MiB", 4194304 },
        { "10G", 10737418240 },
        { "1.5T", 1649267441664 },
        { "2g", 2147483648 },
        { "7B", 7 },
        { "9223372036854775807", INT64_MAX },
        { "0.5K", 512 },
        { "1Ki", 1024 },
        { "7E", 8070450532247928832 },
    };
    static const char *const bad[] = {
        "",
        "-1",
        "x",
        "10X",
        "1KB",
        "1.K",
        ".5K",
        "9223372036854775808",
        "8E",
        "1.0001",
        "99999999999999999999",
        "1 G",
        "0x10",
        "1.9999999K",
        "7.999999999E",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        struct error *error = NULL;
        int64_t size = -1;

        if (!value_size(good[i].text, &size, &error))
            fail_msg("%s", error->message);
        assert_int_equal(size, good[i].size);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        _cleanup_(error_freep) struct error *error = NULL;
        int64_t size;

        if (value_size(bad[i], &size, &error))
            fail_msg("'%s' was taken as %lld", bad[i], (long long)size);
    }
}

static void
distance_counts_inserts_deletes_replacements_and_swaps(void **state)
{
    (void)state;
    assert_int_equal(suggestion_distance("image", "image"), 0);
    assert_int_equal(suggestion_distance("imge", "image"), 1);
    assert_int_equal(suggestion_distance("baker", "abker"), 1);
    assert_int_equal(suggestion_distance("", "abc"), 3);
    assert_int_equal(suggestion_distance("kitten", "sitting"), 3);
}

static void
a_line_is_split_as_sh_would(void **state)
{
    struct error *error = NULL;
    struct words words = { 0 };

    (void)state;
    assert_true(words_split("  a 'b c'  \"d\\\"e\"f\\ g '' ", &words, &error));
    assert_int_equal(words.count, 4);
    assert_string_equal(words.all[1], "b c");
    assert_string_equal(words.all[2], "d\"ef g");
    assert_string_equal(words.all[3], "");
    words_done(&words);
    assert_false(words_split("a 'b", &words, &error));
    error_free(error);
}

static void
assert_candidates(const char *before, const char *partial, const char *expected)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    bool files;

    assert_true(parse("help"));
    words_done(&here.words);
    assert_true(words_split(before, &here.words, &here.error));
    completion_candidates(here.verbs, (const char *const *)here.words.all, here.words.count,
                          partial, &text, &files);
    assert_string_equal(text.bytes ? text.bytes : "", expected);
    (void)forget(NULL);
}

static void
completion_offers_what_may_stand_there(void **state)
{
    (void)state;
    assert_candidates("", "im", "image\n");
    assert_candidates("", "IM", "image\n");
    assert_candidates("--url x", "ta", "task\n");
    assert_candidates("image", "", "copy\nlist\n");
    assert_candidates("help image", "c", "copy\n");
    assert_candidates("image copy", "--ta", "--target-repository\n");
    assert_candidates("image copy --format", "q", "qcow2\n");
    assert_candidates("image copy", "--format=q", "qcow2\n");
    assert_candidates("image list --format", "", "table\njson\n");
    assert_candidates("image list", "--tim", "--timeout\n");
    assert_candidates("nonsense", "x", "");
    assert_candidates("vm define --disks", "rep", "repository=\n");
    assert_candidates("vm define --disks", "repository=a,re",
                      "repository=a,repository=\nrepository=a,readonly\n");
    assert_candidates("vm define --disks repository=a", "tun", "tuning.read-rate=\n");
    assert_candidates("vm define --disks repository=a", "--con", "--console\n");
    assert_candidates("vm define --console", "kind=v", "kind=vnc\n");
    assert_candidates("vm define --console",
                      "listen=x,kind=", "listen=x,kind=vnc\nlisten=x,kind=spice\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(flags_of_each_type_become_json, forget),
        cmocka_unit_test_teardown(flags_of_several_values_take_them_in_a_row, forget),
        cmocka_unit_test_teardown(records_are_written_as_members, forget),
        cmocka_unit_test_teardown(mistakes_in_records_are_told_with_what_was_meant, forget),
        cmocka_unit_test_teardown(common_flags_stand_anywhere, forget),
        cmocka_unit_test_teardown(an_own_flag_hides_the_common_one_but_for_its_values, forget),
        cmocka_unit_test_teardown(help_is_known_at_each_level_and_needs_no_flags, forget),
        cmocka_unit_test_teardown(mistakes_are_told_with_what_was_meant, forget),
        cmocka_unit_test_teardown(
            a_relative_path_is_made_absolute_for_an_agent_on_this_machine_only, forget),
        cmocka_unit_test(sizes_take_units_of_1024),
        cmocka_unit_test(distance_counts_inserts_deletes_replacements_and_swaps),
        cmocka_unit_test(a_line_is_split_as_sh_would),
        cmocka_unit_test_teardown(completion_offers_what_may_stand_there, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
