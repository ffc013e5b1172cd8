/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/base/cleanup.h"

static void
urls_of_each_kind_are_understood(void **state)
{
    static const struct {
        const char *url, *socket, *host;
        int port;
        bool tls;
        const char *path;
    } good[] = {
        { "unix:/run/x", "/run/x", NULL, 0, false, "/rpc" },
        { "unix:///run/x", "/run/x", NULL, 0, false, "/rpc" },
        { "unix:here", "here", NULL, 0, false, "/rpc" },
        { "ws://localhost", NULL, "localhost", ADDRESS_DEFAULT_PORT, false, "/rpc" },
        { "ws://127.0.0.1:8080/", NULL, "127.0.0.1", 8080, false, "/rpc" },
        { "wss://[::1]:443/x/rpc", NULL, "::1", 443, true, "/x/rpc" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        _cleanup_(address_done) struct address address = { 0 };
        struct error *error = NULL;

        if (!address_parse(good[i].url, &address, &error))
            fail_msg("%s", error->message);
        if (good[i].socket)
            assert_string_equal(address.socket, good[i].socket);
        else
            assert_string_equal(address.host, good[i].host);
        assert_int_equal(address.port, good[i].port);
        assert_int_equal(address.tls, good[i].tls);
        assert_string_equal(address.path, good[i].path);
    }
}

static void
other_urls_are_refused(void **state)
{
    static const char *const bad[] = {
        "",          "x",         "http://h", "unix:",
        "ws://",     "ws://:80",  "ws://h:0", "ws://h:65536",
        "ws://h:x",  "ws://[::1", "ws://[]",  "ws://h?x",
        "ws://h:1x", "ws://u@h",  "ws://a b", "ws://[::1]x",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        _cleanup_(address_done) struct address address = { 0 };
        _cleanup_(error_freep) struct error *error = NULL;

        if (address_parse(bad[i], &address, &error))
            fail_msg("'%s' was taken", bad[i]);
    }
}

static bool
read_token(const char *url, const char *content, char **ret_token, struct error **err)
{
    _cleanup_(address_done) struct address address = { 0 };
    char name[] = "/tmp/test-ctl-address-XXXXXX";
    int fd = mkstemp(name);
    bool done;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    assert_int_equal(close(fd), 0);
    assert_true(address_parse(url, &address, err));
    done = address_read_token(&address, name, err);
    *ret_token = address.token ? xstrdup(address.token) : NULL;
    assert_int_equal(unlink(name), 0);
    return done;
}

static void
a_token_is_the_last_word_of_the_first_line(void **state)
{
    static const char *const files[] = { "T0ken", "admin T0ken\n",
                                         "# x\n\n  admin\tT0ken \r\nviewer y\n" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        _cleanup_free_ char *token = NULL;
        struct error *error = NULL;

        assert_true(read_token("ws://127.0.0.1", files[i], &token, &error));
        assert_string_equal(token, "T0ken");
    }
}

static void
a_token_is_neither_empty_nor_sent_in_clear_text(void **state)
{
    static const char *const cases[][2] = {
        { "ws://127.0.0.1", "\n# x\n" },
        { "ws://192.0.2.1", "token" },
        { "ws://h", "token" },
        { "ws://127.0.0.1", "to\x01ken" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        _cleanup_free_ char *token = NULL;
        _cleanup_(error_freep) struct error *error = NULL;

        if (read_token(cases[i][0], cases[i][1], &token, &error))
            fail_msg("case %zu was taken", i);
    }
}

static void
a_socket_needs_no_token(void **state)
{
    _cleanup_free_ char *token = NULL;
    struct error *error = NULL;

    (void)state;
    assert_true(read_token("unix:/x", "token", &token, &error));
    assert_null(token);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_of_each_kind_are_understood),
        cmocka_unit_test(other_urls_are_refused),
        cmocka_unit_test(a_token_is_the_last_word_of_the_first_line),
        cmocka_unit_test(a_token_is_neither_empty_nor_sent_in_clear_text),
        cmocka_unit_test(a_socket_needs_no_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
