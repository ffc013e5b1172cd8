/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a certificate makes its holder: handshakes in memory, with certificates of the test's own.
 */
#include <config.h>

#include "rpc/tls.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

struct party {
    EVP_PKEY *key;
    X509 *certificate;
};

static struct party authority, stranger, server;
static char folder[] = "/tmp/hostler-tls-XXXXXX";
static char *ca_file, *cert_file, *key_file, *other_key_file;

/* 'units': the OU entries, NULL-terminated.  'issuer' NULL: signed by itself. */
static struct party
make_party(const char *name, size_t name_size, const char *const *units, const struct party *issuer)
{
    struct party party = { EVP_EC_gen("P-256"), X509_new() };
    X509_NAME *subject = X509_get_subject_name(party.certificate);
    static long serial;

    assert_non_null(party.key);
    assert_int_equal(X509_set_version(party.certificate, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(party.certificate), ++serial), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(party.certificate), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(party.certificate), 3600));
    assert_int_equal(X509_set_pubkey(party.certificate, party.key), 1);
    for (; units && *units; units++)
        assert_int_equal(X509_NAME_add_entry_by_txt(subject, "OU", MBSTRING_UTF8,
                                                    (const unsigned char *)*units, -1, -1, 0),
                         1);
    if (name)
        assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                                    (const unsigned char *)name, (int)name_size, -1,
                                                    0),
                         1);
    assert_int_equal(
        X509_set_issuer_name(party.certificate,
                             issuer ? X509_get_subject_name(issuer->certificate) : subject),
        1);
    if (!issuer) {
        X509_EXTENSION *is_ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");

        assert_int_equal(X509_add_ext(party.certificate, is_ca, -1), 1);
        X509_EXTENSION_free(is_ca);
    }
    assert_true(X509_sign(party.certificate, issuer ? issuer->key : party.key, EVP_sha256()) > 0);
    return party;
}

static struct party
make_named(const char *name, const char *const *units, const struct party *issuer)
{
    return make_party(name, name ? strlen(name) : 0, units, issuer);
}

static void
free_party(struct party *party)
{
    EVP_PKEY_free(party->key);
    X509_free(party->certificate);
}

static char *
write_pem(const char *name, X509 *certificate, EVP_PKEY *key)
{
    char *path = xprintf("%s/%s", folder, name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    if (certificate)
        assert_int_equal(PEM_write_X509(file, certificate), 1);
    if (key)
        assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    return path;
}

static int
begin(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    authority = make_named("authority", NULL, NULL);
    stranger = make_named("authority", NULL, NULL); /* of the same name */
    server = make_named("server", NULL, &authority);
    ca_file = write_pem("ca.pem", authority.certificate, NULL);
    cert_file = write_pem("cert.pem", server.certificate, NULL);
    key_file = write_pem("key.pem", NULL, server.key);
    other_key_file = write_pem("other-key.pem", NULL, stranger.key);
    return 0;
}

static int
end(void **state)
{
    char *const files[] = { ca_file, cert_file, key_file, other_key_file };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        (void)unlink(files[i]);
        free(files[i]);
    }
    (void)rmdir(folder);
    free_party(&authority);
    free_party(&stranger);
    free_party(&server);
    return 0;
}

/* A handshake with the client's certificate (NULL: none), whose TLS is 'version' at most.  What the
   server makes of it: "cert:NAME role", or "refused". */
static void
assert_identity(const struct party *client, int version, const char *expected)
{
    SSL_CTX *server_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX *client_context = SSL_CTX_new(TLS_client_method());
    SSL *server_end, *client_end;
    BIO *server_bio, *client_bio;
    _cleanup_(identity_done) struct identity identity = { 0 };
    char found[512] = "refused";
    int accepted = -1;

    assert_int_equal(SSL_CTX_use_certificate(server_context, server.certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server_context, server.key), 1);
    assert_true(tls_harden(server_context, ca_file));
    SSL_CTX_set_verify(server_context, SSL_VERIFY_PEER, NULL); /* as if none were required */
    SSL_CTX_set_security_level(client_context, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(client_context, 0), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(client_context, version), 1);
    if (client) {
        assert_int_equal(SSL_CTX_use_certificate(client_context, client->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(client_context, client->key), 1);
    }
    server_end = SSL_new(server_context);
    client_end = SSL_new(client_context);
    assert_int_equal(BIO_new_bio_pair(&server_bio, 0, &client_bio, 0), 1);
    SSL_set_bio(server_end, server_bio, server_bio);
    SSL_set_bio(client_end, client_bio, client_bio);
    for (int i = 0; i < 20 && accepted != 1; i++) {
        (void)SSL_connect(client_end);
        accepted = SSL_accept(server_end);
    }
    if (accepted == 1 && tls_identify(server_end, &identity))
        (void)snprintf(found, sizeof(found), "%s %s", identity.caller, role_name(identity.role));
    assert_string_equal(found, expected);
    SSL_free(server_end);
    SSL_free(client_end);
    SSL_CTX_free(server_context);
    SSL_CTX_free(client_context);
}

#define UNITS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
assert_role(const char *const *units, const char *expected)
{
    struct party client = make_named("web", units, &authority);

    assert_identity(&client, TLS1_3_VERSION, expected);
    free_party(&client);
}

static void
unit_names_the_role(void **state)
{
    (void)state;
    assert_role(UNITS("admin"), "cert:web admin");
    assert_role(UNITS("operator"), "cert:web operator");
    assert_role(UNITS("viewer"), "cert:web viewer");
}

static void
without_a_role_in_its_units_it_is_a_viewer(void **state)
{
    (void)state;
    assert_role(NULL, "cert:web viewer");
    assert_role(UNITS("Department of Admins"), "cert:web viewer");
    assert_role(UNITS("ADMIN"), "cert:web viewer");
    assert_role(UNITS("admin "), "cert:web viewer");
    assert_role(UNITS("admin\n"), "cert:web viewer");
}

static void
first_unit_that_names_a_role_counts(void **state)
{
    (void)state;
    assert_role(UNITS("Storage", "operator"), "cert:web operator");
    assert_role(UNITS("operator", "admin"), "cert:web operator");
}

static void
assert_name(const char *name, size_t size, const char *expected)
{
    struct party client = make_party(name, size, NULL, &authority);

    assert_identity(&client, TLS1_3_VERSION, expected);
    free_party(&client);
}

static void
name_that_is_not_plain_text_is_not_shown(void **state)
{
    (void)state;
    assert_name("J\xc3\xb6rg", 5, "cert:J\xc3\xb6rg viewer");
    assert_name(NULL, 0, "cert:unnamed viewer");
    assert_name("web\nadmin", 9, "cert:unnamed viewer");
    assert_name("web\x7f", 4, "cert:unnamed viewer");
    assert_name("web\0admin", 9, "cert:unnamed viewer");
}

static void
certificate_of_nobody_or_of_another_ca_is_refused(void **state)
{
    struct party by_stranger = make_named("web", UNITS("admin"), &stranger);
    struct party by_itself = make_named("web", UNITS("admin"), NULL);
    struct party by_server = make_named("web", UNITS("admin"), &server); /* which is no CA */

    (void)state;
    assert_identity(NULL, TLS1_3_VERSION, "refused");
    assert_identity(&by_stranger, TLS1_3_VERSION, "refused");
    assert_identity(&by_itself, TLS1_3_VERSION, "refused");
    assert_identity(&by_server, TLS1_3_VERSION, "refused");
    free_party(&by_stranger);
    free_party(&by_itself);
    free_party(&by_server);
}

static void
tls_before_1_2_is_refused(void **state)
{
    struct party client = make_named("web", NULL, &authority);

    (void)state;
    assert_identity(&client, TLS1_2_VERSION, "cert:web viewer");
    assert_identity(&client, TLS1_1_VERSION, "refused");
    assert_identity(&client, TLS1_VERSION, "refused");
    free_party(&client);
}

static void
assert_check(char *cert, char *key, char *ca, const char *words)
{
    struct config config = { .tls_cert = cert, .tls_key = key, .tls_ca = ca };
    _cleanup_(error_freep) struct error *error = NULL;

    assert_int_equal(tls_check(&config, &error), words == NULL);
    if (words)
        assert_non_null(strstr(error->message, words));
}

static void
wrong_file_is_named(void **state)
{
    char nothing[] = "/dev/null";

    (void)state;
    assert_check(cert_file, key_file, ca_file, NULL);
    assert_check(nothing, key_file, ca_file, "the certificate '/dev/null'");
    assert_check(cert_file, nothing, ca_file, "the key '/dev/null'");
    assert_check(cert_file, key_file, nothing, "the CA '/dev/null'");
    assert_check(cert_file, other_key_file, ca_file, "other-key.pem'");
    assert_check(key_file, key_file, ca_file, "key.pem'");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unit_names_the_role),
        cmocka_unit_test(without_a_role_in_its_units_it_is_a_viewer),
        cmocka_unit_test(first_unit_that_names_a_role_counts),
        cmocka_unit_test(name_that_is_not_plain_text_is_not_shown),
        cmocka_unit_test(certificate_of_nobody_or_of_another_ca_is_refused),
        cmocka_unit_test(tls_before_1_2_is_refused),
        cmocka_unit_test(wrong_file_is_named),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
