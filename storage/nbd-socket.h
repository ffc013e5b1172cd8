/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets for NBD servers of our own, of which no name is left when they begin to serve.
 */
#ifndef STORAGE_NBD_SOCKET_H
#define STORAGE_NBD_SOCKET_H

#include "agent/base/error.h"

/* Two ends of a connection, of which a server is to accept the one.  Only we can have connected: the
   folder is ours alone, and gone at once.  Made in the folder of endpoint_use_folder(). */
bool nbd_socket_make(int *ret_listener, int *ret_connection, struct error **err) _must_check_;

#endif
