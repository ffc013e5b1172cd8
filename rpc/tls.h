/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutual TLS: which certificates are believed, and what a client's says of its role.
 */
#ifndef RPC_TLS_H
#define RPC_TLS_H

#include <openssl/ssl.h>

#include "agent/base/error.h"
#include "rpc/auth.h"

struct config;

/* Whether --tls-cert, --tls-key and --tls-ca can be read and belong together.  Asked before
   libwebsockets sees them: where it finds no certificate it goes on without TLS.
   Errors: InvalidParams, naming the file. */
bool tls_check(const struct config *config, struct error **err) _must_check_;
/* TLS 1.2 or newer, clients of this CA alone, no session taken up again without its certificate. */
bool tls_harden(SSL_CTX *context, const char *ca);
/* Role by the certificate's OU (viewer where it names none), caller "cert:" and its CN.  False: no
   certificate, or one that was not verified. */
bool tls_identify(SSL *ssl, struct identity *ret_identity) _must_check_;

#endif
