/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/nbd-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "storage/endpoint.h"

static char *socket_folder; /* NULL: /tmp */

void
endpoint_use_folder(const char *path)
{
    free(socket_folder);
    socket_folder = xstrdup(path);
}

bool
nbd_socket_make(int *ret_listener, int *ret_connection, struct error **err)
{
    _cleanup_free_ char *folder =
        xprintf("%s/hostler-nbd-XXXXXX", socket_folder ? socket_folder : "/tmp");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int folder_fd = -1;
    bool connected;
    int errnum;

    if (!mkdtemp(folder))
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot make '%s'", folder);
    folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* By its descriptor: the folder's own name may be longer than a socket's may be. */
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/socket",
                   folder_fd);
    connected = listener >= 0 && connection >= 0 && folder_fd >= 0 &&
                bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
                listen(listener, 1) == 0 &&
                connect(connection, (const struct sockaddr *)&address, sizeof(address)) == 0;
    errnum = errno;
    if (folder_fd >= 0)
        (void)unlinkat(folder_fd, "socket", 0);
    (void)rmdir(folder);
    if (!connected)
        return error_errno(err, ERROR_BACKEND_FAILED, errnum, "cannot make a socket for qemu-nbd");
    *ret_listener = TAKE_FD(listener);
    *ret_connection = TAKE_FD(connection);
    return true;
}
