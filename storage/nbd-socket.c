/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/nbd-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "storage/endpoint.h"

#define BACKLOG 8

static char *socket_folder; /* NULL: /tmp */

void
endpoint_use_folder(const char *path)
{
    free(socket_folder);
    socket_folder = xstrdup(path);
}

bool
nbd_socket_open(struct nbd_socket *ret_socket, struct error **err)
{
    struct nbd_socket made = { .folder = xprintf("%s/hostler-nbd-XXXXXX",
                                                 socket_folder ? socket_folder : "/tmp"),
                               .folder_fd = -1,
                               .listener = -1 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int errnum;

    if (!mkdtemp(made.folder)) {
        error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot make '%s'", made.folder);
        free(made.folder);
        return false;
    }
    made.folder_fd = open(made.folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    made.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* By its descriptor: the folder's own name may be longer than a socket's may be. */
    made.path = xprintf("/proc/%d/fd/%d/socket", (int)getpid(), made.folder_fd);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", made.path);
    if (made.folder_fd >= 0 && made.listener >= 0 &&
        bind(made.listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(made.listener, BACKLOG) == 0) {
        *ret_socket = made;
        return true;
    }
    errnum = errno;
    nbd_socket_close(&made);
    return error_errno(err, ERROR_BACKEND_FAILED, errnum, "cannot make a socket for NBD");
}

void
nbd_socket_close(struct nbd_socket *socket)
{
    if (!socket->folder)
        return;
    if (socket->folder_fd >= 0)
        (void)unlinkat(socket->folder_fd, "socket", 0);
    (void)rmdir(socket->folder);
    cleanup_close_fd(&socket->folder_fd);
    cleanup_close_fd(&socket->listener);
    free(TAKE(socket->folder));
    free(TAKE(socket->path));
}

bool
nbd_socket_make(int *ret_listener, int *ret_connection, struct error **err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int connection = -1;
    struct nbd_socket made;
    bool connected;
    int errnum;

    if (!nbd_socket_open(&made, err))
        return false;
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", made.path);
    connected = connection >= 0 &&
                connect(connection, (const struct sockaddr *)&address, sizeof(address)) == 0;
    errnum = errno;
    if (connected) {
        *ret_listener = TAKE_FD(made.listener);
        *ret_connection = TAKE_FD(connection);
    }
    nbd_socket_close(&made);
    return connected ||
           error_errno(err, ERROR_BACKEND_FAILED, errnum, "cannot make a socket for qemu-nbd");
}
