/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/url.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/text.h"

#define PART "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n"
#define EMPTY "Content-Length: 0\r\nConnection: close\r\n\r\n"

static void
schemes_that_can_be_read_are_taken(void **state)
{
    static const char *const good[] = {
        "http://host", "https://host:1/a%20b?c=d@e",     "nbd://[::1]/export",
        "nbds://host", "nbd+unix:///export?socket=/a/b", "nbds+unix:///?socket=/a"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        struct error *error = NULL;

        if (!url_check(good[i], &error))
            fail_msg("%s: %s", good[i], error->message);
        assert_true(url_is(good[i]));
        assert_int_equal(url_is_http(good[i]), i < 2);
    }
    assert_false(url_is("/a/path"));
}

static void
others_are_refused_without_repeating_what_is_secret(void **state)
{
    static const char *const bad[] = { "",
                                       "/path",
                                       "file:///etc/passwd",
                                       "HTTP://host",
                                       "http:/host",
                                       "http://",
                                       "http:///path",
                                       "http://?query",
                                       "http://user@host/",
                                       "http://user:secret@host/",
                                       "nbd://secret@host",
                                       "http://ho st/",
                                       "http://host/\n",
                                       "http://host/\xc3\xa4",
                                       "nbd+unix:///",
                                       "nbd+unix:///?socket=relative",
                                       "nbd+unix://host/?socket=/a",
                                       "ssh://host/" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct error *error = NULL;

        if (url_check(bad[i], &error))
            fail_msg("'%s' was taken", bad[i]);
        assert_int_equal(error->code, ERROR_INVALID_PARAMS);
        assert_non_null(strstr(error->data, "\"param\":\"url\""));
        assert_null(strstr(error->message, "secret"));
        error_free(error);
    }
}

static void
a_query_of_http_is_not_shown(void **state)
{
    _cleanup_free_ char *key = url_show("https://host/disk?key=secret");
    _cleanup_free_ char *none = url_show("http://host/disk");
    _cleanup_free_ char *nbd = url_show("nbd+unix:///?socket=/a");

    (void)state;
    assert_string_equal(key, "https://host/disk?...");
    assert_string_equal(none, "http://host/disk");
    assert_string_equal(nbd, "nbd+unix:///?socket=/a");
}

static void
https_leads_to_https_only(void **state)
{
    (void)state;
    assert_string_equal(url_protocols("http://host/"), "http,https");
    assert_string_equal(url_protocols("https://host/"), "https");
}

/* A server that gives one answer, word by word as it stands; its URL is to be freed. */
static char *
answer_with(const char *answer, pid_t *ret_pid)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    *ret_pid = fork();
    if (*ret_pid == 0) {
        int connection = accept(listener, NULL, NULL);
        char request[4096];
        ssize_t got = read(connection, request, sizeof(request) - 1);

        request[got > 0 ? got : 0] = '\0';
        if (!strstr(request, "Range: bytes=0-0\r\n"))
            _exit(1);
        got = write(connection, answer, strlen(answer));
        _exit(got < 0);
    }
    (void)close(listener);
    return xprintf("http://127.0.0.1:%u/disk", (unsigned)ntohs(address.sin_port));
}

/* What is made of an answer; the error is the caller's. */
static char *
identify(const char *answer, struct error **err)
{
    char *identity = NULL;
    int status = -1;
    pid_t pid;
    _cleanup_free_ char *url = answer_with(answer, &pid);

    if (!url_identify(url, NULL, &identity, err))
        assert_null(identity);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return identity;
}

static void
need_curl(void)
{
#ifndef HAVE_LIBCURL
    skip();
#endif
}

static void
a_server_is_known_by_size_tag_and_time(void **state)
{
    struct error *error = NULL;
    _cleanup_free_ char *all = NULL, *little = NULL;

    (void)state;
    need_curl();
    all = identify(PART "content-RANGE: bytes 0-0/1234567890123\r\nETag:  W/\"x y\" \r\n"
                        "Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\nx",
                   &error);
    assert_non_null(all);
    assert_string_equal(all, "size 1234567890123, ETag W/\"x y\", modified Sat, 21 Nov 2026 "
                             "12:00:00 GMT");
    little = identify(PART "Content-Range: bytes 0-0/7\r\n\r\nx", &error);
    assert_string_equal(little, "size 7, ETag none, modified unknown");
}

static void
what_cannot_be_read_in_pieces_is_refused(void **state)
{
    static const struct {
        const char *answer;
        enum error_code code;
        const char *words;
    } cases[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", ERROR_INVALID_PARAMS, "ranges" },
        { PART "\r\nx", ERROR_INVALID_PARAMS, "ranges" },
        { PART "Content-Range: bytes 0-0/*\r\n\r\nx", ERROR_INVALID_PARAMS, "ranges" },
        { PART "Content-Range: nonsense\r\n\r\nx", ERROR_INVALID_PARAMS, "ranges" },
        { "HTTP/1.1 416 No\r\nContent-Range: bytes */0\r\n" EMPTY, ERROR_INVALID_PARAMS, "empty" },
        { "HTTP/1.1 404 No\r\n" EMPTY, ERROR_NOT_FOUND, "404" },
        { "HTTP/1.1 410 No\r\n" EMPTY, ERROR_NOT_FOUND, "410" },
        { "HTTP/1.1 503 No\r\n" EMPTY, ERROR_BACKEND_FAILED, "503" },
        { "HTTP/1.1 302 No\r\nLocation: file:///etc/passwd\r\n" EMPTY, ERROR_INVALID_PARAMS,
          "leads to" },
        { "nonsense", ERROR_INVALID_PARAMS, "HTTP" },
        { "", ERROR_BACKEND_FAILED, "cannot read" },
    };

    (void)state;
    need_curl();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error *error = NULL;

        if (identify(cases[i].answer, &error))
            fail_msg("%zu was taken", i);
        if (error->code != cases[i].code || !strstr(error->message, cases[i].words))
            fail_msg("%zu: %s: %s", i, error_code_name(error->code), error->message);
        error_free(error);
    }
}

static void
who_aborts_does_not_wait_for_a_server(void **state)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    _cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_free_ char *url = NULL;
    const atomic_bool abort = true;
    char *identity = NULL;

    (void)state;
    need_curl();
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0); /* and never accepts */
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    url = xprintf("http://127.0.0.1:%u/", (unsigned)ntohs(address.sin_port));
    assert_false(url_identify(url, &abort, &identity, &error));
    assert_int_equal(error->code, ERROR_TASK_ABORTED);
}

static void
of_nbd_nothing_is_known_before_it_is_read(void **state)
{
    _cleanup_free_ char *identity = NULL;
    struct error *error = NULL;

    (void)state;
    assert_true(url_identify("nbd://host", NULL, &identity, &error));
    assert_string_equal(identity, "an NBD export");
}

static void
a_socket_may_have_any_path(void **state)
{
    _cleanup_free_ char *plain = url_of_socket("web1", "/run/a-b_c.1~/x"),
                        *other = url_of_socket("", "/a b&c?d%e\303\244");
    struct error *error = NULL;

    (void)state;
    assert_string_equal(plain, "nbd+unix:///web1?socket=/run/a-b_c.1~/x");
    assert_string_equal(other, "nbd+unix:///?socket=/a%20b%26c%3Fd%25e%C3%A4");
    assert_true(url_check(other, &error));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemes_that_can_be_read_are_taken),
        cmocka_unit_test(others_are_refused_without_repeating_what_is_secret),
        cmocka_unit_test(a_query_of_http_is_not_shown),
        cmocka_unit_test(a_socket_may_have_any_path),
        cmocka_unit_test(https_leads_to_https_only),
        cmocka_unit_test(a_server_is_known_by_size_tag_and_time),
        cmocka_unit_test(what_cannot_be_read_in_pieces_is_refused),
        cmocka_unit_test(who_aborts_does_not_wait_for_a_server),
        cmocka_unit_test(of_nbd_nothing_is_known_before_it_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
