/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/guest-info.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static virTypedParameter
text_param(const char *field, const char *value)
{
    virTypedParameter param = { .type = VIR_TYPED_PARAM_STRING,
                                .value.s = (char *)(uintptr_t)value };

    (void)snprintf(param.field, sizeof(param.field), "%s", field);
    return param;
}

static virTypedParameter
number_param(const char *field, unsigned value)
{
    virTypedParameter param = { .type = VIR_TYPED_PARAM_UINT, .value.ui = value };

    (void)snprintf(param.field, sizeof(param.field), "%s", field);
    return param;
}

static void
assert_becomes(const virTypedParameter *params, size_t count, const char *wanted)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_free_ char *json = NULL;

    assert_true(guest_info_json(params, (int)count, &json, &err));
    assert_string_equal(json, wanted);
}

static void
a_flat_list_becomes_a_tree(void **unused)
{
    const virTypedParameter params[] = {
        number_param("if.count", 2),
        text_param("if.0.name", "lo"),
        text_param("if.1.name", "eth0"),
        text_param("if.1.hwaddr", "52:54:00:00:00:01"),
        number_param("if.1.addr.count", 1),
        text_param("if.1.addr.0.type", "ipv4"),
        text_param("if.1.addr.0.addr", "10.0.0.2"),
        number_param("if.1.addr.0.prefix", 24),
        text_param("os.id", "debian"),
        text_param("os.pretty-name", "Debian 12"),
        text_param("hostname", "guest"),
        number_param("user.count", 0),
        number_param("timezone.offset", 0),
    };

    (void)unused;
    assert_becomes(
        params, ARRAY_COUNT(params),
        "{\"hostname\":\"guest\",\"interfaces\":[{\"name\":\"lo\"},{\"addresses\":[{\"address\":"
        "\"10.0.0.2\",\"prefix\":24,\"type\":\"ipv4\"}],\"mac\":\"52:54:00:00:00:01\",\"name\":"
        "\"eth0\"}],\"os\":{\"id\":\"debian\",\"prettyName\":\"Debian 12\"},\"timezone\":{\"offset\":0}}");
}

static void
what_makes_no_sense_is_left_out(void **unused)
{
    const virTypedParameter params[] = {
        text_param("fs.5.name", "gap"),        text_param("fs.99999999.name", "far"),
        text_param("fs.x.name", "no number"),  text_param("", "no name"),
        text_param("hostname", "\xff\xfe"),    text_param("os.id", "one"),
        text_param("os.id.more", "of a text"), text_param("fs.0", "of a list"),
    };

    (void)unused;
    assert_becomes(params, ARRAY_COUNT(params),
                   "{\"\":\"no name\",\"fileSystems\":[],\"os\":{\"id\":\"one\"}}");
}

static void
too_much_is_refused(void **unused)
{
    enum { COUNT = 2000 };
    static virTypedParameter params[COUNT];
    static char big[1024];
    _cleanup_(error_freep) struct error *err = NULL, *second = NULL;
    char *json = NULL;

    (void)unused;
    memset(big, 'x', sizeof(big) - 1);
    for (int i = 0; i < COUNT; i++) {
        char field[64];

        (void)snprintf(field, sizeof(field), "user.%d.name", i);
        params[i] = text_param(field, big);
    }
    assert_false(guest_info_json(params, COUNT, &json, &err));
    assert_int_equal(err->code, ERROR_LIMIT_EXCEEDED);
    assert_false(guest_info_json(params, 1000000, &json, &second));
    assert_int_equal(second->code, ERROR_LIMIT_EXCEEDED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flat_list_becomes_a_tree),
        cmocka_unit_test(what_makes_no_sense_is_left_out),
        cmocka_unit_test(too_much_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
