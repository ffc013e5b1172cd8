/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies behind an NBD server (nbdkit, with files of the test's own), read through another nbdkit.
 * Skipped where there is none.
 */
#include <config.h>

#include "tests/unit/endpoint-fixture.h"

#include "storage/nbd-socket.h"

struct far {
    struct nbd_socket socket;
    struct child_server *server;
    char *url;
};

/* Serves 'name' until far_end(). */
static struct far
serve(const char *name)
{
    _cleanup_free_ char *path = path_of(name);
    const char *const argv[] = { "nbdkit", "--readonly", "file", path, NULL };
    _cleanup_(error_freep) struct error *err = NULL;
    struct far far;

    if (!nbd_socket_open(&far.socket, &err) ||
        !child_serve(argv, far.socket.listener, &far.server, &err))
        fail_msg("%s", err->message);
    far.url = xprintf("nbd+unix:///?socket=%s", far.socket.path);
    return far;
}

static void
far_end(struct far *far)
{
    child_server_end(far->server, 0, NULL);
    nbd_socket_close(&far->socket);
    free(far->url);
}

static void
need_nbdkit(void)
{
    need_qemu();
    if (!child_exists("nbdkit"))
        skip();
}

static struct endpoint *
must_open_url(const char *url, enum image_format format)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct endpoint *endpoint = NULL;

    if (!endpoint_open_url(url, format, NULL, &endpoint, &err))
        fail_msg("%s", err->message);
    return endpoint;
}

/* The error of an inspection that finds fault; to be freed. */
static struct error *
find_fault(const char *url, enum image_format format, uint64_t size_max)
{
    struct error *err = NULL;
    uint64_t size;

    assert_false(endpoint_inspect_url(url, format, size_max, NULL, &size, &err));
    return err;
}

static void
the_visible_contents_are_read_whatever_the_format(void **state)
{
    static const enum image_format formats[] = { IMAGE_RAW, IMAGE_QCOW2 };

    (void)state;
    need_nbdkit();
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
        const char *name = image_format_name(formats[i]);
        _cleanup_(error_freep) struct error *err = NULL;
        struct endpoint *endpoint;
        uint64_t size;
        struct far far;

        create(name, formats[i], 4 * MIB);
        endpoint = must_open(place, name, formats[i], ENDPOINT_WRITE, false);
        put(endpoint, MIB, 'x', MIB);
        flush(endpoint);
        endpoint_close(endpoint);
        far = serve(name);
        assert_true(endpoint_inspect_url(far.url, formats[i], UINT64_MAX, NULL, &size, &err));
        assert_int_equal(size, 4 * MIB);
        endpoint = must_open_url(far.url, formats[i]);
        assert_int_equal(endpoint_size(endpoint), 4 * MIB);
        assert_extent(endpoint, 0, MIB, true);
        assert_shows(endpoint, MIB, 'x', MIB);
        assert_shows(endpoint, 2 * MIB, '\0', 2 * MIB);
        endpoint_close(endpoint);
        far_end(&far);
    }
}

static void
what_is_more_than_a_disk_is_refused(void **state)
{
    struct error *err;
    struct far far;

    (void)state;
    need_nbdkit();
    make_overlay();
    far = serve("over");
    err = find_fault(far.url, IMAGE_QCOW2, UINT64_MAX);
    assert_int_equal(err->code, ERROR_INVALID_PARAMS);
    assert_non_null(strstr(err->message, "backing file"));
    error_free(err);
    far_end(&far);
}

static void
what_is_too_large_or_nothing_is_refused(void **state)
{
    struct error *err;
    struct far far;

    (void)state;
    need_nbdkit();
    create("raw", IMAGE_RAW, 2 * MIB);
    far = serve("raw");
    err = find_fault(far.url, IMAGE_RAW, MIB);
    assert_int_equal(err->code, ERROR_INVALID_PARAMS);
    error_free(err);
    err = find_fault(far.url, IMAGE_QCOW2, UINT64_MAX); /* which it is not */
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    error_free(err);
    far_end(&far);
}

static void
a_server_that_is_not_there_is_told_in_its_own_words(void **state)
{
    static const enum image_format formats[] = { IMAGE_RAW, IMAGE_QCOW2 };

    (void)state;
    need_nbdkit();
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
        struct error *err =
            find_fault("nbd+unix:///?socket=/nowhere/at/all", formats[i], UINT64_MAX);

        assert_int_equal(err->code, ERROR_BACKEND_FAILED);
        if (!strstr(err->message, "No such file or directory") ||
            !strstr(err->data, "\"backend\":\"nbdkit\""))
            fail_msg("%s (%s)", err->message, err->data);
        error_free(err);
    }
}

static void
certificates_are_handed_to_nbdkit_and_no_key_is_told(void **state)
{
    struct error *err;

    (void)state;
    need_nbdkit();
    err = find_fault("nbds+unix:///?tls-certificates=%2Fno%20certificates&socket=/nowhere",
                     IMAGE_RAW, UINT64_MAX);
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    if (strstr(err->message, "local file access") || !strstr(err->message, "nbdkit"))
        fail_msg("%s", err->message);
    error_free(err);
    err = find_fault("http://127.0.0.1:1/disk?key=secret", IMAGE_RAW, UINT64_MAX);
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    if (strstr(err->message, "secret") || strstr(err->data, "secret") ||
        !strstr(err->message, "/disk?..."))
        fail_msg("%s (%s)", err->message, err->data);
    error_free(err);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_visible_contents_are_read_whatever_the_format),
        TEST(what_is_more_than_a_disk_is_refused),
        TEST(what_is_too_large_or_nothing_is_refused),
        TEST(a_server_that_is_not_there_is_told_in_its_own_words),
        TEST(certificates_are_handed_to_nbdkit_and_no_key_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
