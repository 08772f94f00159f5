/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/certs.c - see certs.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Fails:   asserts.
 */
#include "tests/harness/certs.h"

#include <dirent.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define VALID_S (24 * 3600)

static void
add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    OX_ASSERT(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static X509 *
make_cert(EVP_PKEY *key, const char *cn, const char *alternatives, bool is_ca)
{
    static long serial;
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial + getpid() * 1000L);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"observex tests", -1, -1, 0);
    if (cn != NULL)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_set_subject_name(cert, name);
    X509_NAME_free(name);
    add_extension(cert, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (alternatives != NULL)
        add_extension(cert, NID_subject_alt_name, alternatives);
    return cert;
}

static void
write_pem(const char *path, X509 *cert, EVP_PKEY *key)
{
    char tmp[CERTS_PATH_MAX + 8];
    snprintf(tmp, sizeof(tmp), "%s.new", path);
    FILE *f = fopen(tmp, "we");
    OX_ASSERT(f != NULL);
    if (cert != NULL)
        OX_ASSERT(PEM_write_X509(f, cert) == 1);
    else
        OX_ASSERT(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    OX_ASSERT(fclose(f) == 0 && rename(tmp, path) == 0);
}

static void
ca_key_path(const struct certs *c, char path[CERTS_PATH_MAX])
{
    snprintf(path, CERTS_PATH_MAX, "%s/ca.key", c->dir);
}

/* Signed by the authority, or by itself. */
static void
issue(const struct certs *c, const char *cn, const char *alternatives, bool by_ca, const char *cert_path,
      const char *key_path)
{
    char path[CERTS_PATH_MAX];
    EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = NULL;
    X509 *cert = make_cert(key, cn, alternatives, false), *ca = NULL;
    if (by_ca) {
        ca_key_path(c, path);
        FILE *f = fopen(path, "re");
        OX_ASSERT(f != NULL && (ca_key = PEM_read_PrivateKey(f, NULL, NULL, NULL)) != NULL);
        fclose(f);
        f = fopen(c->ca, "re");
        OX_ASSERT(f != NULL && (ca = PEM_read_X509(f, NULL, NULL, NULL)) != NULL);
        fclose(f);
    }
    X509_set_issuer_name(cert, X509_get_subject_name(by_ca ? ca : cert));
    OX_ASSERT(X509_sign(cert, by_ca ? ca_key : key, EVP_sha256()) > 0);
    write_pem(key_path, NULL, key);
    write_pem(cert_path, cert, NULL);
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

void
certs_make(struct certs *c)
{
    char path[CERTS_PATH_MAX];
    snprintf(c->dir, sizeof(c->dir), "/tmp/ox-certs-XXXXXX");
    OX_ASSERT(mkdtemp(c->dir) != NULL);
    snprintf(c->ca, sizeof(c->ca), "%s/ca.crt", c->dir);
    snprintf(c->cert, sizeof(c->cert), "%s/server.crt", c->dir);
    snprintf(c->key, sizeof(c->key), "%s/server.key", c->dir);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *ca = make_cert(key, "authority", NULL, true);
    X509_set_issuer_name(ca, X509_get_subject_name(ca));
    OX_ASSERT(X509_sign(ca, key, EVP_sha256()) > 0);
    ca_key_path(c, path);
    write_pem(path, NULL, key);
    write_pem(c->ca, ca, NULL);
    X509_free(ca);
    EVP_PKEY_free(key);
    certs_renew(c, "first");
}

void
certs_renew(struct certs *c, const char *cn)
{
    issue(c, cn, "DNS:localhost,IP:127.0.0.1", true, c->cert, c->key);
}

static void
paths_of(const struct certs *c, const char *file, char *cert, char *key)
{
    snprintf(cert, CERTS_PATH_MAX, "%s/%s.crt", c->dir, file);
    snprintf(key, CERTS_PATH_MAX, "%s/%s.key", c->dir, file);
}

void
certs_client(const struct certs *c, const char *file, const char *cn, const char *alternatives, char *cert,
             char *key)
{
    paths_of(c, file, cert, key);
    issue(c, cn, alternatives, true, cert, key);
}

void
certs_stranger(const struct certs *c, const char *file, const char *cn, char *cert, char *key)
{
    paths_of(c, file, cert, key);
    issue(c, cn, NULL, false, cert, key);
}

void
certs_remove(struct certs *c)
{
    char path[CERTS_PATH_MAX + 256];
    struct dirent *entry;
    DIR *dir = opendir(c->dir);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", c->dir, entry->d_name);
        (void)unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
    (void)rmdir(c->dir);
}
