/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/sockets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/hostler-sockets-XXXXXX";

/* A connection to a server of that name: both ends. */
static void
make_pair(const char *name, int *ret_client, int *ret_server)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", folder, name);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    *ret_client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_client, (struct sockaddr *)&address, sizeof(address)), 0);
    *ret_server = accept(listener, NULL, NULL);
    assert_true(*ret_server >= 0);
    assert_int_equal(close(listener), 0);
    assert_int_equal(unlink(address.sun_path), 0);
}

static int
begin(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int
end(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void
new_sockets_of_libvirtd_are_found_and_shut_and_no_others(void **state)
{
    int old[2], ours[2], other[2];
    struct sockets before, found;
    char byte;

    (void)state;
    make_pair("libvirt-sock-old", &old[0], &old[1]);
    sockets_find(&(struct sockets){ .count = 0 }, &before);
    assert_int_equal(before.count, 1);
    make_pair("libvirt-sock", &ours[0], &ours[1]);
    make_pair("glusterd.socket", &other[0], &other[1]);
    sockets_find(&before, &found);
    assert_int_equal(found.count, 1);
    sockets_shut(&found);
    assert_int_equal(read(ours[0], &byte, 1), 0); /* at once: its end */
    assert_int_equal(write(old[1], "x", 1), 1);
    assert_int_equal(read(old[0], &byte, 1), 1);
    assert_int_equal(write(other[1], "x", 1), 1);
    assert_int_equal(read(other[0], &byte, 1), 1);
    sockets_done(&before);
    sockets_done(&found);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(close(old[i]), 0);
        assert_int_equal(close(ours[i]), 0);
        assert_int_equal(close(other[i]), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_sockets_of_libvirtd_are_found_and_shut_and_no_others),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
