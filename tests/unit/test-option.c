/* SPDX-License-Identifier: Apache-2.0 */
/* By what a real glusterd printed: tests/unit/gluster. */
#include <config.h>

#include "gluster/option.h"

#include <string.h>

#include "gluster/volume.h"
#include "tests/unit/recorded-fixture.h"

/* Of a volume that has some set, of the pool, or of nothing: whichever files there are. */
static struct gluster_options
options_of(const char *values, const char *info)
{
    _cleanup_(xml_freep) struct xml_document *help = recorded_document("volume-set-help-xml.xml");
    _cleanup_(xml_freep) struct xml_document *got = values ? recorded_document(values) : NULL;
    _cleanup_(xml_freep) struct xml_document *described = info ? recorded_document(info) : NULL;
    _cleanup_volumes_ struct volumes volumes = { 0 };
    struct gluster_options options = { 0 };
    struct error *error = NULL;

    if (described && !volumes_read(described, &volumes, &error))
        fail_msg("%s: %s", info, error->message);
    if (!options_read(help, got, described ? &volumes.all[0] : NULL, &options, &error))
        fail_msg("%s", error->message);
    return options;
}

static void
assert_option(const struct gluster_options *options, const char *name, const char *value, bool set,
              const char *default_value)
{
    const struct gluster_option *option = options_find(options, name);

    if (!option)
        fail_msg("no '%s'", name);
    if (set != option->set || !value != !option->value || (value && strcmp(value, option->value)))
        fail_msg("%s is '%s'%s", name, option->value, option->set ? ", set" : "");
    if (!default_value != !option->default_value ||
        (default_value && strcmp(default_value, option->default_value)))
        fail_msg("%s has default '%s'", name, option->default_value);
}

static void
assert_sorted(const struct gluster_options *options)
{
    for (size_t i = 1; i < options->count; i++)
        if (strcmp(options->all[i - 1].name, options->all[i].name) >= 0)
            fail_msg("'%s' before '%s'", options->all[i - 1].name, options->all[i].name);
}

static void
a_volumes_options_have_values_defaults_and_meanings(void **unused)
{
    _cleanup_options_ struct gluster_options options =
        options_of("volume-get-all.xml", "volume-info-with-options.xml");

    (void)unused;
    assert_int_equal(options.count, 338); /* 336 of "volume get", and two of users' own */
    assert_sorted(&options);
    assert_option(&options, "performance.cache-size", "32MB", true, NULL);
    assert_option(&options, "network.ping-timeout", "20", true, "42");
    assert_option(&options, "cluster.lookup-unhashed", "on", false, "on");
    assert_option(&options, "cluster.subvols-per-directory", NULL, false, NULL);
    assert_option(&options, "auth.allow", "*", false, "*");
    assert_option(&options, "user.owner", "somebody", true, NULL);
    assert_non_null(
        strstr(options_find(&options, "cluster.min-free-disk")->description, "Percentage"));
    assert_null(options_find(&options, "user.owner")->description);
    assert_null(options_find(&options, "no.such-option"));
}

static void
the_pools_options_are_its_own(void **unused)
{
    _cleanup_options_ struct gluster_options options = options_of("volume-get-of-all.xml", NULL);
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    (void)unused;
    assert_int_equal(options.count, 10);
    assert_option(&options, "cluster.brick-multiplex", "disable", false, "disable");
    assert_option(&options, "cluster.op-version", "100000", true, NULL);
    options_write_set(&options, &writer);
    assert_string_equal(
        writer.text.bytes,
        "{\"volume\":\"all\",\"options\":{\"cluster.max-op-version\":\"100000\","
        "\"cluster.op-version\":\"100000\",\"cluster.server-quorum-ratio\":\"51%\"}}");
}

static void
without_a_volume_there_are_no_values(void **unused)
{
    _cleanup_options_ struct gluster_options options = options_of(NULL, NULL);

    (void)unused;
    assert_int_equal(options.count, 254); /* of 255: features.ctime comes twice */
    assert_sorted(&options);
    assert_option(&options, "cluster.min-free-disk", NULL, false, "10%");
}

static void
other_answers_are_refused(void **unused)
{
    _cleanup_(xml_freep) struct xml_document *help = recorded_document("volume-set-help-xml.xml");
    _cleanup_(xml_freep) struct xml_document *other = recorded_document("volume-info.xml");
    _cleanup_(error_freep) struct error *err = NULL, *second = NULL;
    struct gluster_options options = { 0 };

    (void)unused;
    assert_false(options_read(other, NULL, NULL, &options, &err));
    assert_false(options_read(help, other, NULL, &options, &second));
    assert_int_equal(second->code, ERROR_BACKEND_FAILED);
    assert_int_equal(options.count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volumes_options_have_values_defaults_and_meanings),
        cmocka_unit_test(the_pools_options_are_its_own),
        cmocka_unit_test(without_a_volume_there_are_no_values),
        cmocka_unit_test(other_answers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
