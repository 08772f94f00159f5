/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tls.h - what listeners need for TLS: certificate, key, whom to trust. It may change while they serve.
 *
 * Owns:    the certificate in force; a connection keeps the one that it began with.
 * Threads: _new, _reload and _changed read files: not on a scheduler. Everything else from any thread.
 * Bounds:  OX_TLS_NAMES_MAX names of OX_TLS_NAME_BYTES_MAX bytes of a client's certificate.
 * Fails:   CONFIG with a sentence that names the file; what was in force stays so.
 * Flow:    configuration -> here -> ox/http.h.
 *
 * TLS 1.2 with forward secrecy and an AEAD, and TLS 1.3; no renegotiation, no compression, no early data. ALPN: h2 and
 * http/1.1; a client that offers neither is refused.
 */
#ifndef OX_TLS_H
#define OX_TLS_H

#include <stdatomic.h>

#include "ox/base.h"

#define OX_TLS_NAMES_MAX      16
#define OX_TLS_NAME_BYTES_MAX 256

enum ox_tls_client {
    OX_TLS_CLIENT_NONE,     /* is not asked for a certificate */
    OX_TLS_CLIENT_OPTIONAL, /* may show one, which must be good then */
    OX_TLS_CLIENT_REQUIRED  /* must show a good one */
};

/* Paths of PEM files; lent for the call. */
struct ox_tls_options {
    const char *cert_file; /* the certificate and those between it and the root */
    const char *key_file;
    const char *ca_file; /* of clients' certificates; NULL or "" = none, and then client must be NONE */
    enum ox_tls_client client;
    bool only_1_3;
    const char *also; /* a file of the caller's whose change counts as well (ox_tls_changed); NULL = none */
};

struct ox_tls;

OX_MUST_USE ox_err ox_tls_new(const struct ox_tls_options *options, struct ox_tls **out,
                              struct ox_diag *diag);
/* NULL is allowed. Connections that use it keep what they need. */
void ox_tls_free(struct ox_tls *tls);
/* Reads the files of `options` (others than before are allowed) and uses them for new connections. On an error everything
 * stays as it was, also for ox_tls_changed, which then waits for the next change. */
OX_MUST_USE ox_err ox_tls_reload(struct ox_tls *tls, const struct ox_tls_options *options,
                                 struct ox_diag *diag);
/* Whether one of the files is another one than at the last look (size, inode or time of change). */
bool ox_tls_changed(struct ox_tls *tls);
/* When the certificate in force ends, as Unix seconds. */
int64_t ox_tls_expires_s(struct ox_tls *tls);

/* The names in a client's certificate, once it was verified: "dns:NAME", "uri:NAME", "email:NAME", "cn:NAME". */
struct ox_tls_names {
    _Atomic uint32_t refs; /* relaxed up, release down: as of struct ox_body */
    uint32_t n;
    char *name[OX_TLS_NAMES_MAX];
};
struct ox_tls_names *ox_tls_names_hold(struct ox_tls_names *names);
/* NULL is allowed. */
void ox_tls_names_drop(struct ox_tls_names *names);

#endif
