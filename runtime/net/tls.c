/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/tls.c - the certificate in force: reading it, changing it, and what is agreed upon with a client.
 *
 * Owns:    one SSL_CTX; sessions hold the one that they began with.
 * Threads: `lock` guards the pointer and what was seen of the files; nothing slow happens under it.
 * Bounds:  see include/ox/tls.h; CHAIN_BYTES_MAX of a client's certificates.
 * Fails:   CONFIG.
 * Flow:    include/ox/tls.h -> here; http_tls.c -> ox__tls_session.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ox/lock.h"
#include "runtime/net/tls_internal.h"

/* A chain of four with RSA-4096 has some 8 KiB; OpenSSL would take 100 KiB from anybody. */
#define CHAIN_BYTES_MAX 16384
#define CHAIN_DEPTH_MAX 4
/* Of TLS 1.2: an ephemeral key exchange and an AEAD, which HTTP/2 asks for as well. Those of 1.3 are all good. */
#define SUITES_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"

enum file { CERT, KEY, CA, ALSO, FILE__COUNT };

/* What a file looked like. */
struct look {
    struct timespec changed;
    uint64_t inode, size;
};

struct ox_tls {
    pthread_mutex_t lock;
    SSL_CTX *ctx;
    int64_t expires_s;
    char *path[FILE__COUNT]; /* NULL = none */
    struct look look[FILE__COUNT];
};

/* ---- files ---- */

static struct look
look_at(const char *path)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0)
        return (struct look){{0, 0}, 0, 0};
    return (struct look){st.st_mtim, (uint64_t)st.st_ino, (uint64_t)st.st_size};
}

static bool
same_look(const struct look *a, const struct look *b)
{
    return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
           a->inode == b->inode && a->size == b->size;
}

/* Takes note of the files as they are now; true when one of them is another one. */
static bool
note_looks(struct ox_tls *tls)
{
    bool changed = false;
    for (int i = 0; i < FILE__COUNT; i++) {
        struct look now = look_at(tls->path[i]);
        changed |= !same_look(&now, &tls->look[i]);
        tls->look[i] = now;
    }
    return changed;
}

/* ---- what is agreed upon ---- */

static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool
set_rules(SSL_CTX *ctx, bool only_1_3)
{
    static const unsigned char context[] = "observex";
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Resumption by tickets alone: a cache of sessions would be memory that clients fill. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, CHAIN_BYTES_MAX);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    return SSL_CTX_set_min_proto_version(ctx, only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, SUITES_1_2) == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
           SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1) == 1;
}

/* OpenSSL's reason, without its numbers. */
static ox_err
bad_file(struct ox_diag *diag, const char *key, const char *path, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    ox_diag_set(diag, OX_E_CONFIG, key, -1, "%.200s %s: %s", path, what,
                reason != NULL ? reason : "the file cannot be read");
    ERR_clear_error();
    return OX_E_CONFIG;
}

static ox_err
set_clients(SSL_CTX *ctx, const struct ox_tls_options *o, struct ox_diag *diag)
{
    bool has_ca = o->ca_file != NULL && o->ca_file[0] != '\0';
    if (o->client == OX_TLS_CLIENT_NONE)
        return OX_OK;
    if (!has_ca)
        return ox_diag_set(diag, OX_E_CONFIG, "tls.ca_file", -1,
                           "certificates of clients cannot be verified without tls.ca_file");
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(o->ca_file);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, o->ca_file) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return bad_file(diag, "tls.ca_file", o->ca_file, "has no certificates to trust");
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH_MAX);
    SSL_CTX_set_verify(
        ctx, SSL_VERIFY_PEER | (o->client == OX_TLS_CLIENT_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    return OX_OK;
}

static int64_t
ends_s(const SSL_CTX *ctx)
{
    struct tm tm;
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    return cert != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static ox_err
build(const struct ox_tls_options *o, SSL_CTX **out, struct ox_diag *diag)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ox_err err = OX_OK;
    ERR_clear_error();
    if (ctx == NULL || !set_rules(ctx, o->only_1_3))
        err = ox_diag_set(diag, OX_E_NOMEM, "tls", -1, "OpenSSL does not take our rules");
    else if (SSL_CTX_use_certificate_chain_file(ctx, o->cert_file) != 1)
        err = bad_file(diag, "tls.cert_file", o->cert_file, "is no certificate in PEM form");
    else if (SSL_CTX_use_PrivateKey_file(ctx, o->key_file, SSL_FILETYPE_PEM) != 1)
        err = bad_file(diag, "tls.key_file", o->key_file, "is no key in PEM form for this certificate");
    else if (SSL_CTX_check_private_key(ctx) != 1)
        err = bad_file(diag, "tls.key_file", o->key_file, "does not belong to the certificate");
    else
        err = set_clients(ctx, o, diag);
    if (err != OX_OK) {
        SSL_CTX_free(ctx);
        return err;
    }
    *out = ctx;
    return OX_OK;
}

/* ---- life ---- */

static char *
copy_path(const char *path)
{
    return path != NULL && path[0] != '\0' ? strdup(path) : NULL;
}

/* Before the files are read, so that a change meanwhile is seen at the next look. */
static void
take_paths(struct ox_tls *tls, const struct ox_tls_options *o)
{
    const char *paths[FILE__COUNT] = {o->cert_file, o->key_file, o->ca_file, o->also};
    for (int i = 0; i < FILE__COUNT; i++) {
        free(tls->path[i]);
        tls->path[i] = copy_path(paths[i]);
    }
    (void)note_looks(tls);
}

ox_err
ox_tls_reload(struct ox_tls *tls, const struct ox_tls_options *options, struct ox_diag *diag)
{
    SSL_CTX *ctx = NULL;
    ox_lock(&tls->lock);
    take_paths(tls, options);
    ox_unlock(&tls->lock);
    ox_err err = build(options, &ctx, diag);
    if (err != OX_OK)
        return err;
    ox_lock(&tls->lock);
    SSL_CTX *old = tls->ctx;
    tls->ctx = ctx;
    tls->expires_s = ends_s(ctx);
    ox_unlock(&tls->lock);
    SSL_CTX_free(old);
    return OX_OK;
}

ox_err
ox_tls_new(const struct ox_tls_options *options, struct ox_tls **out, struct ox_diag *diag)
{
    *out = NULL;
    struct ox_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return OX_E_NOMEM;
    pthread_mutex_init(&tls->lock, NULL);
    ox_err err = ox_tls_reload(tls, options, diag);
    if (err == OX_OK)
        *out = tls;
    else
        ox_tls_free(tls);
    return err;
}

void
ox_tls_free(struct ox_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->ctx);
    for (int i = 0; i < FILE__COUNT; i++)
        free(tls->path[i]);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

bool
ox_tls_changed(struct ox_tls *tls)
{
    ox_lock(&tls->lock);
    bool changed = note_looks(tls);
    ox_unlock(&tls->lock);
    return changed;
}

int64_t
ox_tls_expires_s(struct ox_tls *tls)
{
    ox_lock(&tls->lock);
    int64_t at_s = tls->expires_s;
    ox_unlock(&tls->lock);
    return at_s;
}

SSL *
ox__tls_session(struct ox_tls *tls)
{
    ox_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->ctx);
    ox_unlock(&tls->lock);
    return ssl;
}

/* ---- a client's names ---- */

struct ox_tls_names *
ox_tls_names_hold(struct ox_tls_names *names)
{
    /* relaxed: who holds one reference may make another */
    if (names != NULL)
        atomic_fetch_add_explicit(&names->refs, 1, memory_order_relaxed);
    return names;
}

void
ox_tls_names_drop(struct ox_tls_names *names)
{
    /* acq_rel: the last one frees what the others have read */
    if (names == NULL || atomic_fetch_sub_explicit(&names->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < names->n; i++)
        free(names->name[i]);
    free(names);
}

/* One with a zero or a control character in it, or that is too long, is not what it seems: left out. */
static void
add_name(struct ox_tls_names *names, const char *kind, const ASN1_STRING *value)
{
    unsigned char *text = NULL;
    int n = value == NULL ? -1 : ASN1_STRING_to_UTF8(&text, value);
    bool good = n > 0 && n < OX_TLS_NAME_BYTES_MAX - 8 && names->n < OX_TLS_NAMES_MAX;
    for (int i = 0; good && i < n; i++)
        good = text[i] > 0x20 && text[i] != 0x7f;
    if (good && asprintf(&names->name[names->n], "%s:%.*s", kind, n, (const char *)text) > 0)
        names->n++;
    OPENSSL_free(text);
}

static void
add_alternatives(struct ox_tls_names *names, const X509 *cert)
{
    GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
        if (name->type == GEN_DNS)
            add_name(names, "dns", name->d.dNSName);
        else if (name->type == GEN_URI)
            add_name(names, "uri", name->d.uniformResourceIdentifier);
        else if (name->type == GEN_EMAIL)
            add_name(names, "email", name->d.rfc822Name);
    }
    GENERAL_NAMES_free(list);
}

/* The subject's CN, when there is exactly one: of several nobody knows which was meant. */
static void
add_common_name(struct ox_tls_names *names, const X509 *cert)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0 && X509_NAME_get_index_by_NID(subject, NID_commonName, at) < 0)
        add_name(names, "cn", X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

struct ox_tls_names *
ox__tls_names_of(SSL *ssl)
{
    const X509 *cert = SSL_get0_peer_certificate(ssl);
    if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
        return NULL;
    struct ox_tls_names *names = calloc(1, sizeof(*names));
    if (names == NULL)
        return NULL;
    names->refs = 1;
    add_alternatives(names, cert);
    add_common_name(names, cert);
    return names;
}
