/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <string.h>

#include "ctl/visible.h"

static struct progress
read_from(const char *status)
{
    json_t *json = json_loads(status, 0, NULL);
    struct progress progress;

    progress_read(json, &progress);
    json_decref(json);
    return progress;
}

static const char half_way[] =
    "{\"progress\":{\"done\":2147483648,\"total\":4294967296,\"unit\":\"bytes\",\"perSecond\":1048576,"
    "\"etaSeconds\":65},\"steps\":[{\"name\":\"create target\",\"outcome\":\"complete\"},"
    "{\"name\":\"copy\",\"outcome\":\"running\"}]}";

static void
a_status_says_how_far_it_is(void **state)
{
    struct progress progress = read_from(half_way);
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    assert_int_equal(progress_percent(&progress), 50);
    assert_string_equal(progress.step, "copy");
    progress_line(&progress, &text);
    assert_string_equal(text.bytes, "50 %, 2 GiB of 4 GiB, 1 MiB/s, 1:05 left");
}

static void
what_is_not_told_is_not_shown(void **state)
{
    struct progress none = read_from("{\"progress\":null,\"steps\":[]}");
    struct progress things =
        read_from("{\"progress\":{\"done\":3,\"total\":0,\"unit\":\"files\",\"perSecond\":null,"
                  "\"etaSeconds\":null}}");
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    progress_line(&none, &text);
    assert_int_equal(text.length, 0);
    assert_int_equal(progress_percent(&none), -1);
    progress_line(&things, &text);
    assert_string_equal(text.bytes, "3");
}

static void
the_bar_fits_any_width(void **state)
{
    struct progress progress = read_from(half_way);

    (void)state;
    for (size_t width = 1; width < 200; width++) {
        _cleanup_text_ struct text text = TEXT_INIT;

        progress_bar(&progress, "image copy", width, false, &text);
        if (visible_width(text.bytes) > width)
            fail_msg("%zu columns for %zu: '%s'", visible_width(text.bytes), width, text.bytes);
    }
}

static void
the_bar_is_filled_by_its_share(void **state)
{
    struct progress progress = read_from(half_way);
    _cleanup_text_ struct text text = TEXT_INIT;

    (void)state;
    progress_bar(&progress, "image copy", 120, false, &text);
    assert_string_equal(text.bytes, "image copy: copy  [####################....................]"
                                    "   50 %  2 GiB of 4 GiB  1 MiB/s  1:05 left");
}

static void
more_than_all_is_all(void **state)
{
    struct progress progress =
        read_from("{\"progress\":{\"done\":5,\"total\":4,\"unit\":\"bytes\",\"etaSeconds\":-3}}");

    (void)state;
    assert_int_equal(progress_percent(&progress), 100);
    assert_int_equal(progress.eta_s, -1);
}

static void
names_of_steps_are_neutralised(void **state)
{
    struct progress progress =
        read_from("{\"steps\":[{\"name\":\"a\\u001b[2J\",\"outcome\":\"running\"}]}");

    (void)state;
    assert_null(strchr(progress.step, '\033'));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_says_how_far_it_is),
        cmocka_unit_test(what_is_not_told_is_not_shown),
        cmocka_unit_test(the_bar_fits_any_width),
        cmocka_unit_test(the_bar_is_filled_by_its_share),
        cmocka_unit_test(more_than_all_is_all),
        cmocka_unit_test(names_of_steps_are_neutralised),
    };

    visible_open();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
