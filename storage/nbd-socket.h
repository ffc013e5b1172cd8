/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets for NBD servers of our own.
 */
#ifndef STORAGE_NBD_SOCKET_H
#define STORAGE_NBD_SOCKET_H

#include "agent/base/error.h"

/* Two ends of a connection, of which a server is to accept the one.  Only we can have connected: the
   folder is ours alone, and gone at once.  Made in the folder of endpoint_use_folder(). */
bool nbd_socket_make(int *ret_listener, int *ret_connection, struct error **err) _must_check_;

/* One that can be connected to as long as it is there: by us, and by programs that we run. */
struct nbd_socket {
    char *folder; /* owned: a folder of its own, and of ours alone */
    int folder_fd;
    int listener; /* owned; -1 when it was handed on */
    char *path;   /* owned: how it can be named while we live, however long the folder's path is */
};
bool nbd_socket_open(struct nbd_socket *ret_socket, struct error **err) _must_check_;
void nbd_socket_close(struct nbd_socket *socket); /* also one that is all zero */

#endif
