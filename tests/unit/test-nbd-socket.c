/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/nbd-socket.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/endpoint-fixture.h"

/* Longer than a socket's path may be. */
static int
begin_deep(void **state)
{
    _cleanup_free_ char *deep = NULL;

    if (begin(state) < 0)
        return -1;
    deep = xprintf("%s/%0120d", folder, 0);
    if (mkdir(deep, 0700) < 0)
        return -1;
    endpoint_use_folder(deep);
    return 0;
}

/* How many sockets are in the folder, or folders of them. */
static unsigned
count_left(void)
{
    _cleanup_free_ char *deep = xprintf("%s/%0120d", folder, 0);
    DIR *entries = opendir(deep);
    unsigned count = 0;

    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries));)
        count += entry->d_name[0] != '.';
    (void)closedir(entries);
    return count;
}

static void
assert_talk(int one, int other)
{
    char byte = 'x';

    assert_int_equal(write(one, &byte, 1), 1);
    byte = '\0';
    assert_int_equal(read(other, &byte, 1), 1);
    assert_int_equal(byte, 'x');
}

static void
a_connection_leaves_no_name(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    _cleanup_close_ int listener = -1, connection = -1, accepted = -1;

    (void)state;
    if (!nbd_socket_make(&listener, &connection, &err))
        fail_msg("%s", err->message);
    assert_int_equal(count_left(), 0);
    accepted = accept(listener, NULL, NULL);
    assert_true(accepted >= 0);
    assert_talk(connection, accepted);
}

static void
a_socket_can_be_connected_to_until_it_is_closed(void **state)
{
    _cleanup_(error_freep) struct error *err = NULL;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct nbd_socket made;

    (void)state;
    if (!nbd_socket_open(&made, &err))
        fail_msg("%s", err->message);
    assert_int_equal(count_left(), 1);
    assert_true(strlen(made.path) < sizeof(address.sun_path));
    memcpy(address.sun_path, made.path, strlen(made.path));
    for (int i = 0; i < 2; i++) {
        _cleanup_close_ int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_close_ int accepted = -1;

        assert_int_equal(connect(connection, (struct sockaddr *)&address, sizeof(address)), 0);
        accepted = accept(made.listener, NULL, NULL);
        assert_talk(connection, accepted);
    }
    nbd_socket_close(&made);
    assert_int_equal(count_left(), 0);
    nbd_socket_close(&(struct nbd_socket){ 0 });
}

static void
where_no_folder_can_be_made_there_is_no_socket(void **state)
{
    struct error *err = NULL;
    struct nbd_socket made;
    int listener, connection;

    (void)state;
    endpoint_use_folder("/nowhere/at/all");
    assert_false(nbd_socket_open(&made, &err));
    assert_int_equal(err->code, ERROR_BACKEND_FAILED);
    error_free(TAKE(err));
    assert_false(nbd_socket_make(&listener, &connection, &err));
    error_free(err);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_connection_leaves_no_name, begin_deep, end),
        cmocka_unit_test_setup_teardown(a_socket_can_be_connected_to_until_it_is_closed, begin_deep,
                                        end),
        cmocka_unit_test_setup_teardown(where_no_folder_can_be_made_there_is_no_socket, begin_deep,
                                        end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
