/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/keystore.h - from a credential to its tenant, behind one interface.
 *
 * Owns:    nothing; the implementation owns its state.
 * Threads: any; a look-up never blocks (an implementation that must ask elsewhere answers from its cache).
 */
#ifndef OX_KEYSTORE_H
#define OX_KEYSTORE_H

#include "ox/base.h"
#include "ox/control.h"
#include "ox/permission.h"
#include "ox/tls.h"

struct ox_credential {
    struct ox_str key;  /* from x-api-key or Authorization: Bearer; empty = none was sent */
    bool from_loopback; /* the peer's address is 127.0.0.0/8, ::1 or a Unix socket */
    const char *peer;   /* its address; lend. NULL = unknown */
    /* names of the client's certificate, which was verified; lend. NULL = it has shown none */
    const struct ox_tls_names *client;
    /* the name that was asked for, with or without port, where a page in a browser may be asking; empty = it is none */
    struct ox_str host;
    struct ox_str session; /* of the console's cookie; on the API port only */
};

struct ox_http_request;
/*
 * What a request says of itself: x-api-key, else Authorization. Another scheme than Bearer gives its whole value as the
 * key, which is then unknown: a credential that is not understood is never taken for none. Lend: the request's bytes.
 */
struct ox_credential ox_credential_of(const struct ox_http_request *req);

struct ox_identity {
    struct ox_tenant_id tenant;
    enum ox_role role;
    uint32_t scopes;                  /* OX_SCOPE_* */
    char key_id[OX_KEY_ID_MAX + 1];   /* "" = no key, or a development key */
    char subject[OX_SUBJECT_MAX + 1]; /* of a token, or a user's name; "" otherwise */
    enum ox_way way;
};

struct ox_keystore {
    const char *name;
    /* OX_OK and *out; FORBIDDEN (development, below); or UNAUTHENTICATED with a sentence that does not tell whether the key ever existed; UNAVAILABLE when
     * nobody can tell now; OVERLOAD for an address that shows too many unknown keys; AGAIN: not known yet, look_up does. */
    ox_err (*identify)(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
                       struct ox_diag *diag);
    /* The same and asks whoever knows, so it is never AGAIN. Blocks: lanes and dirty threads only. NULL: identify is never
     * AGAIN. */
    ox_err (*look_up)(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
                      struct ox_diag *diag);
    void (*free)(struct ox_keystore *self);
};

/* The tenant of requests without a key. */
#define OX_DEV_TENANT "default"

/*
 * Development only: a request without a key from loopback is tenant `default` and role local operator; keys are derived from
 * one secret, `ox_dev_<tenant>_<32 hex digits of HMAC-SHA-256(secret, tenant)>`, and are of role editor with the scopes ingest
 * and query. Whoever learns the secret can speak for every tenant, which is why production refuses this store.
 *
 * A page of another site whose name was made to lead to this machine asks under that name, so a request without a key that
 * a page may have sent is FORBIDDEN unless it names localhost, a loopback address, or one of `names`.
 *
 * secret, names ("" or "a.example,10.0.0.7"): lend; copied. The secret has at least 16 bytes. NULL on lack of memory.
 */
struct ox_keystore *ox_keystore_dev_new(struct ox_str secret, struct ox_str names);
/* The development key of `tenant`; `out` has room for at least OX_DEV_KEY_MAX bytes. */
#define OX_DEV_KEY_MAX (8 + OX_TENANT_MAX + 1 + 32 + 1)
void ox_keystore_dev_key(struct ox_str secret, const struct ox_tenant_id *tenant, char *out);

#endif
