/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/resource.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/agent.h"
#include "agent/base/cleanup.h"

static void
a_path_leads_to_the_resource_of_its_prefix(void **state)
{
    struct agent agent = { 0 };
    struct resource images = { .prefix = "/images/" }, tapes = { .prefix = "/tapes/" };

    (void)state;
    assert_null(resource_find(&agent, "/images/1"));
    resource_register(&agent, &images);
    resource_register(&agent, &tapes);
    assert_ptr_equal(resource_find(&agent, "/images/1"), &images);
    assert_ptr_equal(resource_find(&agent, "/images/"), &images);
    assert_ptr_equal(resource_find(&agent, "/tapes/images/"), &tapes);
    assert_null(resource_find(&agent, "/images"));
    assert_null(resource_find(&agent, "/rpc"));
    resources_free(agent.resources);
}

static void
where_they_are_served_is_kept_in_order(void **state)
{
    struct agent agent = { 0 };

    (void)state;
    assert_null(resource_urls(&agent));
    resource_listen(&agent, xstrdup("http://127.0.0.1:1"));
    resource_listen(&agent, xstrdup("https://[::1]:2"));
    assert_string_equal(resource_urls(&agent)[0], "http://127.0.0.1:1");
    assert_string_equal(resource_urls(&agent)[1], "https://[::1]:2");
    assert_null(resource_urls(&agent)[2]);
    assert_null(resource_unix_path(&agent));
    resource_listen_unix(&agent, xstrdup("/run/one"));
    resource_listen_unix(&agent, xstrdup("/run/other"));
    assert_string_equal(resource_unix_path(&agent), "/run/other");
    resources_free(agent.resources);
}

static void
an_argument_is_found_by_its_whole_name(void **state)
{
    char flush[] = "flush=n", empty[] = "close=", bare[] = "context", like[] = "flushes=1";
    struct resource_request request = { .arguments = { like, flush, empty, bare, NULL } };

    (void)state;
    assert_string_equal(resource_argument(&request, "flush"), "n");
    assert_string_equal(resource_argument(&request, "close"), "");
    assert_null(resource_argument(&request, "context"));
    assert_null(resource_argument(&request, "flus"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_leads_to_the_resource_of_its_prefix),
        cmocka_unit_test(where_they_are_served_is_kept_in_order),
        cmocka_unit_test(an_argument_is_found_by_its_whole_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
