/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "agent/base/name.h"
#include "agent/config.h"

#define NAME_SIZE_MAX 256 /* bytes of a CN that are shown */

DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free)
DEFINE_CLEANUP(X509, X509_free)
DEFINE_CLEANUP(X509_STORE, X509_STORE_free)

/* What OpenSSL last complained of, put behind the message. */
static bool
fail(struct error **err, const char *what, const char *file)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);

    ERR_clear_error();
    return error_set(err, ERROR_INVALID_PARAMS, "cannot use the %s '%s': %s", what, file,
                     reason ? reason : "no reason given");
}

bool
tls_check(const struct config *config, struct error **err)
{
    _cleanup_(SSL_CTX_freep) SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    ERR_clear_error();
    if (!context)
        return error_set(err, ERROR_INTERNAL, "cannot set up TLS");
    if (SSL_CTX_use_certificate_chain_file(context, config->tls_cert) != 1)
        return fail(err, "certificate", config->tls_cert);
    if (SSL_CTX_use_PrivateKey_file(context, config->tls_key, SSL_FILETYPE_PEM) != 1)
        return fail(err, "key", config->tls_key);
    if (SSL_CTX_check_private_key(context) != 1)
        return fail(err, "certificate's key", config->tls_key);
    if (SSL_CTX_load_verify_locations(context, config->tls_ca, NULL) != 1)
        return fail(err, "CA", config->tls_ca);
    return true;
}

bool
tls_harden(SSL_CTX *context, const char *ca)
{
    _cleanup_(X509_STORE_freep) X509_STORE *store = X509_STORE_new();
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);

    if (!store || !names || X509_STORE_load_locations(store, ca, NULL) != 1 ||
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return false;
    }
    /* A store of this CA alone: nobody's public CA can ever let a client in. */
    SSL_CTX_set_cert_store(context, TAKE(store));
    SSL_CTX_set_client_CA_list(context, names);
    /* A session taken up again would come without its certificate being verified again. */
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(context, 0);
    (void)SSL_CTX_set_options(context,
                              SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* An idle connection keeps no buffers: 34 KB each otherwise. */
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    return true;
}

/* The n-th entry of that kind as text, or NULL; the caller's. */
static char *
entry_text(X509_NAME *subject, int kind, int *place)
{
    unsigned char *bytes = NULL;
    char *text = NULL;
    int size;

    *place = X509_NAME_get_index_by_NID(subject, kind, *place);
    if (*place < 0)
        return NULL;
    size =
        ASN1_STRING_to_UTF8(&bytes, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, *place)));
    /* It goes to logs and statuses: what is not plain text is not shown. */
    if (size > 0 && size <= NAME_SIZE_MAX && utf8_valid((char *)bytes, (size_t)size)) {
        bool plain = true;

        for (int i = 0; i < size; i++)
            plain = plain && bytes[i] >= ' ' && bytes[i] != 0x7f;
        text = plain ? xstrndup((char *)bytes, (size_t)size) : NULL;
    }
    OPENSSL_free(bytes);
    return text ? text : xstrdup("");
}

static enum role
role_of(X509_NAME *subject)
{
    int place = -1;

    for (;;) {
        _cleanup_free_ char *unit = entry_text(subject, NID_organizationalUnitName, &place);
        enum role role;

        if (!unit)
            return ROLE_VIEWER;
        if (role_parse(unit, &role))
            return role;
    }
}

bool
tls_identify(SSL *ssl, struct identity *ret_identity)
{
    _cleanup_(X509_freep) X509 *certificate = ssl ? SSL_get_peer_certificate(ssl) : NULL;
    _cleanup_free_ char *name = NULL;
    int place = -1;

    /* Without a certificate the result is "verified" too. */
    if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK)
        return false;
    name = entry_text(X509_get_subject_name(certificate), NID_commonName, &place);
    ret_identity->role = role_of(X509_get_subject_name(certificate));
    ret_identity->caller = xprintf("cert:%s", name && *name ? name : "unnamed");
    return true;
}
