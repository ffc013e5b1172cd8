/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/transport.h"

#include "tests/unit/fake-lws.h"

#include <fcntl.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#define OPERATOR "operators-token-01"
#define VIEWER "viewers+token/0002"

static int
begin(void **state)
{
    char path[] = "/tmp/hostler-admission-XXXXXX";
    struct error *error = NULL;
    int fd = mkstemp(path); /* mode 0600 */

    (void)state;
    fake_open();
    assert_int_not_equal(fd, -1);
    assert_true(dprintf(fd, "operator %s\nviewer %s\n", OPERATOR, VIEWER) > 0);
    (void)close(fd);
    assert_true(tokens_read(path, &fake->transport.tokens, &error));
    (void)unlink(path);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    tokens_free(fake->transport.tokens);
    fake_close();
    return 0;
}

/* 'expected': "token:operator:1 operator", or the status it is refused with. */
static void
assert_admission(struct session *session, const char *expected)
{
    _cleanup_(identity_done) struct identity identity = { 0 };
    struct refusal refusal = { 0 };
    char found[128];

    if (admission_check(session, &identity, &refusal))
        (void)snprintf(found, sizeof(found), "%s %s", identity.caller, role_name(identity.role));
    else
        (void)snprintf(found, sizeof(found), "%u", refusal.status);
    assert_string_equal(found, expected);
}

static void
assert_token(const char *authorization, const char *argument, const char *expected)
{
    struct session *session = fake_session(ENDPOINT_TCP);

    session->wsi->headers[WSI_TOKEN_HTTP_AUTHORIZATION] = authorization;
    session->wsi->argument = argument;
    assert_admission(session, expected);
    fake_end_session(session);
}

static void
token_opens_tcp_by_header_or_address(void **state)
{
    (void)state;
    assert_token("Bearer " OPERATOR, NULL, "token:operator:1 operator");
    assert_token("bearer   " OPERATOR, NULL, "token:operator:1 operator");
    assert_token("BEARER " VIEWER, NULL, "token:viewer:2 viewer");
    assert_token(NULL, "token=" VIEWER, "token:viewer:2 viewer");
}

static void
nothing_else_opens_tcp(void **state)
{
    char long_one[2000];

    (void)state;
    memset(long_one, 'a', sizeof(long_one));
    memcpy(long_one, "Bearer ", 7);
    long_one[sizeof(long_one) - 1] = '\0';
    assert_token(NULL, NULL, "401");
    assert_token("Bearer", NULL, "401");
    assert_token("Bearer ", NULL, "401");
    assert_token("Bearer " OPERATOR " ", NULL, "401");
    assert_token("Bearer " OPERATOR "x", NULL, "401");
    assert_token("Basic " OPERATOR, NULL, "401");
    assert_token(OPERATOR, NULL, "401");
    assert_token(long_one, NULL, "401");
    assert_token(NULL, "tokens=" OPERATOR, "401");
    assert_token(NULL, "token=", "401");
    /* A header that is no token is not made up for by the address. */
    assert_token("Basic " OPERATOR, "token=" OPERATOR, "401");
}

static void
without_tokens_nobody_comes_in_by_tcp(void **state)
{
    (void)state;
    tokens_free(fake->transport.tokens);
    fake->transport.tokens = NULL;
    assert_token("Bearer " OPERATOR, NULL, "401");
    assert_token("Bearer ", NULL, "401");
}

static void
unix_socket_asks_the_kernel_and_no_token(void **state)
{
    struct session *session = fake_session(ENDPOINT_UNIX);
    char expected[64];

    (void)state;
    (void)snprintf(expected, sizeof(expected), "uid:%u %s", (unsigned)geteuid(),
                   geteuid() == 0 ? "admin" : "viewer");
    assert_admission(session, expected);
    session->wsi->headers[WSI_TOKEN_HTTP_AUTHORIZATION] = "Bearer " OPERATOR;
    assert_admission(session, expected);
    fake->transport.admin_group = getegid();
    (void)snprintf(expected, sizeof(expected), "uid:%u admin", (unsigned)geteuid());
    assert_admission(session, expected);
}

static void
tls_asks_for_a_certificate_and_no_token(void **state)
{
    struct session *session = fake_session(ENDPOINT_TLS);

    (void)state;
    session->wsi->headers[WSI_TOKEN_HTTP_AUTHORIZATION] = "Bearer " OPERATOR;
    assert_admission(session, "403");
}

static void
assert_origin(enum endpoint endpoint, const char *origin, const char *host, const char *expected)
{
    struct session *session = fake_session(endpoint);

    session->wsi->headers[WSI_TOKEN_ORIGIN] = origin;
    session->wsi->headers[WSI_TOKEN_HOST] = host;
    session->wsi->headers[WSI_TOKEN_HTTP_AUTHORIZATION] = "Bearer " VIEWER;
    assert_admission(session, expected);
    fake_end_session(session);
}

static void
page_from_elsewhere_is_refused_whatever_its_proof(void **state)
{
    char *origins[] = { "https://console.example", NULL };
    char long_one[2000];

    (void)state;
    memset(long_one, 'a', sizeof(long_one));
    memcpy(long_one, "http://", 7);
    long_one[sizeof(long_one) - 1] = '\0';
    assert_origin(ENDPOINT_TCP, "http://localhost:1", "localhost:1", "token:viewer:2 viewer");
    assert_origin(ENDPOINT_TCP, "http://evil.example", "localhost:1", "403");
    assert_origin(ENDPOINT_TCP, "http://evil.example", NULL, "403");
    assert_origin(ENDPOINT_TCP, "null", "localhost:1", "403");
    assert_origin(ENDPOINT_TCP, long_one, long_one, "403");
    assert_origin(ENDPOINT_UNIX, "http://evil.example", "localhost", "403");
    assert_origin(ENDPOINT_TCP, "https://console.example", "localhost:1", "403");
    fake->config.origins = origins;
    assert_origin(ENDPOINT_TCP, "https://console.example", "localhost:1", "token:viewer:2 viewer");
}

static void
header_that_does_not_fit_is_none(void **state)
{
    struct session *session = fake_session(ENDPOINT_TCP);
    char text[4];

    (void)state;
    assert_false(header_copy(session->wsi, WSI_TOKEN_HOST, text, sizeof(text)));
    session->wsi->headers[WSI_TOKEN_HOST] = "abc";
    assert_true(header_copy(session->wsi, WSI_TOKEN_HOST, text, sizeof(text)));
    assert_string_equal(text, "abc");
    session->wsi->headers[WSI_TOKEN_HOST] = "abcd";
    assert_false(header_copy(session->wsi, WSI_TOKEN_HOST, text, sizeof(text)));
}

#define CLAIM(function) cmocka_unit_test_setup_teardown(function, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(token_opens_tcp_by_header_or_address),
        CLAIM(nothing_else_opens_tcp),
        CLAIM(without_tokens_nobody_comes_in_by_tcp),
        CLAIM(unix_socket_asks_the_kernel_and_no_token),
        CLAIM(tls_asks_for_a_certificate_and_no_token),
        CLAIM(page_from_elsewhere_is_refused_whatever_its_proof),
        CLAIM(header_that_does_not_fit_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
