/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's OpenRPC document, built in: ctl/openrpc.c is made from 'hostlerd --print-openrpc'.
 */
#ifndef CTL_OPENRPC_H
#define CTL_OPENRPC_H

#include <stddef.h>

extern const unsigned char openrpc_document[]; /* JSON, no NUL at its end */
extern const size_t openrpc_document_size;

#endif
