/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/control.h - the control plane's records (tenants, API keys), and the one interface of its two stores.
 *
 * Owns:    a store owns its connections; the records are plain values.
 * Threads: every call of a store blocks: dirty threads and lanes only, any number at once. Opening and closing: main.
 * Bounds:  OX_CONTROL_PAGE_MAX rows per list; the store's own time-outs.
 * Fails:   NOT_FOUND, EXISTS, STATE, INVALID with a sentence; UNAVAILABLE when the store does not answer, OVERLOAD when it is
 *          too busy to (nothing is known about the record then), CORRUPT when it answers nonsense.
 * Flow:    API, key cache and CLI -> here -> actors/control/store_sqlite.c or store_postgres.c.
 *
 * No call takes a tenant from what a request says without being told on whose behalf: writes name the tenant whose row
 * they change, and the store refuses rows of any other (in PostgreSQL by row-level security, docs/security.md).
 */
#ifndef OX_CONTROL_H
#define OX_CONTROL_H

#include "ox/permission.h"

#define OX_CONTROL_NAME_MAX    64  /* bytes of UTF-8 of a name for people */
#define OX_CONTROL_PAGE_MAX    500 /* rows of one list */
#define OX_KEY_ID_MAX          16
#define OX_KEY_DIGEST_BYTES    32  /* BLAKE3-256 */
#define OX_KEY_FINGERPRINT_MAX 128 /* Argon2id in its own notation */
#define OX_SUBJECT_MAX         64  /* bytes of a user's name, or of what an issuer calls somebody */

/* The tenant of the platform's operators: theirs are the only keys of role operator, and it has no telemetry. */
#define OX_CONTROL_PLATFORM "platform"

enum ox_tenant_state { OX_TENANT_ACTIVE, OX_TENANT_DISABLED };
/* "active", "disabled" */
const char *ox_tenant_state_name(enum ox_tenant_state state);

/* Times are Unix seconds; 0 = never. */
struct ox_control_tenant {
    struct ox_tenant_id id;
    char name[OX_CONTROL_NAME_MAX + 1];
    enum ox_tenant_state state;
    int64_t created_s;
    int64_t changed_s;
};

struct ox_control_key {
    char id[OX_KEY_ID_MAX + 1]; /* short and public: what lists, logs and the audit name */
    struct ox_tenant_id tenant;
    char name[OX_CONTROL_NAME_MAX + 1];
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    char fingerprint[OX_KEY_FINGERPRINT_MAX];
    uint32_t scopes; /* OX_SCOPE_* */
    enum ox_role role;
    int64_t created_s;
    int64_t expires_s;
    int64_t revoked_s;
    int64_t last_used_s; /* coarse: at most once a minute */
    char rotated_from[OX_KEY_ID_MAX + 1];
};

/* What happened to tenants and keys since a node looked last. */
struct ox_control_change {
    struct ox_tenant_id tenant;
    bool whole_tenant; /* its state; otherwise the key with this digest */
    uint8_t digest[OX_KEY_DIGEST_BYTES];
};

/* A key as a node knows it. */
struct ox_control_seen {
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    int64_t expires_s;
};

#define OX_CONTROL_FROM_NOW UINT64_MAX

struct ox_control_use {
    struct ox_tenant_id tenant;
    char key_id[OX_KEY_ID_MAX + 1];
    int64_t used_s;
};

/* On whose order something is written: a key, or a user, or with neither somebody of whom the store knows the tenant alone (by a
 * token or a certificate). What the node knows may be a moment old, so the store looks once more. */
struct ox_control_asker {
    struct ox_tenant_id tenant;
    char key_id[OX_KEY_ID_MAX + 1];
    char user[OX_SUBJECT_MAX + 1]; /* "" = none; of this role */
    enum ox_role role;
    int64_t now_s;
};

struct ox_control_store {
    const char *kind; /* "sqlite", "postgresql" */
    /* Keys of one tenant that are good, or were made within the last day; 0 = any number. Set by who opens the store. */
    uint32_t keys_max;

    /*
     * asker, of everything that writes: lend. In the transaction that writes, its key or user must be good and its tenant
     * active, and stay so until it ends: UNAUTHENTICATED, and nothing was written. NULL: nobody to look at (who is on this machine in
     * development mode, `observex control init`).
     */

    /* The same question alone, for an order that is carried out elsewhere. */
    ox_err (*may_still)(struct ox_control_store *self, const struct ox_control_asker *asker,
                        struct ox_diag *diag);

    /* tenant: lend. EXISTS. */
    ox_err (*tenant_create)(struct ox_control_store *self, const struct ox_control_asker *asker,
                            const struct ox_control_tenant *tenant, struct ox_diag *diag);
    ox_err (*tenant_get)(struct ox_control_store *self, const struct ox_tenant_id *id,
                         struct ox_control_tenant *out, struct ox_diag *diag);
    /* All tenants (for operators) whose id is behind `after`, in order; *n: room in `out`, then what it holds. */
    ox_err (*tenant_list)(struct ox_control_store *self, const char *after, struct ox_control_tenant *out,
                          size_t *n, struct ox_diag *diag);
    ox_err (*tenant_set)(struct ox_control_store *self, const struct ox_control_asker *asker,
                         const struct ox_tenant_id *id, enum ox_tenant_state state, int64_t now_s,
                         struct ox_control_tenant *out, struct ox_diag *diag);

    /* key: lend. NOT_FOUND (its tenant), STATE (its tenant is disabled), EXISTS; STATE also for one more than keys_max. */
    ox_err (*key_create)(struct ox_control_store *self, const struct ox_control_asker *asker,
                         const struct ox_control_key *key, struct ox_diag *diag);
    /* tenant NULL: of all tenants, for operators. NOT_FOUND also when the key is another tenant's. */
    ox_err (*key_get)(struct ox_control_store *self, const struct ox_tenant_id *tenant, const char *key_id,
                      struct ox_control_key *out, struct ox_diag *diag);
    /* Of one tenant, or of all of them for operators (tenant NULL); as tenant_list. */
    ox_err (*key_list)(struct ox_control_store *self, const struct ox_tenant_id *tenant, const char *after,
                       struct ox_control_key *out, size_t *n, struct ox_diag *diag);
    /* Revoking twice is no error, keeps the first time and is no change that others hear of. */
    ox_err (*key_revoke)(struct ox_control_store *self, const struct ox_control_asker *asker,
                         const struct ox_tenant_id *tenant, const char *key_id, int64_t now_s,
                         struct ox_control_key *out, struct ox_diag *diag);
    /* In one step `fresh` (which names the old key in rotated_from) exists, and the old one ends at old_expires_s, or
     * when it would have before. STATE: the old one is revoked, has ended by now_s, or somebody revoked or rotated it at
     * the same moment, or it would be one more than keys_max. */
    ox_err (*key_rotate)(struct ox_control_store *self, const struct ox_control_asker *asker,
                         const struct ox_control_key *fresh, int64_t now_s, int64_t old_expires_s,
                         struct ox_diag *diag);
    /* The key that a request showed, whosever it is; revoked and expired ones too. *state: of its tenant. */
    ox_err (*key_by_digest)(struct ox_control_store *self, const uint8_t digest[OX_KEY_DIGEST_BYTES],
                            struct ox_control_key *out, enum ox_tenant_state *state, struct ox_diag *diag);
    /* same[i]: key i is there, not revoked, ends when it is thought to, and its tenant is active. seen: lend; at most
     * OX_CONTROL_PAGE_MAX. */
    ox_err (*keys_same)(struct ox_control_store *self, const struct ox_control_seen *seen, size_t n,
                        bool *same, struct ox_diag *diag);
    /* uses: lend, sorted by tenant; written in one transaction. Times only grow. Keys that are gone, or that somebody is
     * changing at the moment, are passed over. */
    ox_err (*keys_used)(struct ox_control_store *self, const struct ox_control_use *uses, size_t n,
                        struct ox_diag *diag);

    /* Changes behind *cursor in the order in which they were committed; *cursor moves behind them. *n: room, then what
     * there is. *lost: so much was missed that everything may have changed; *cursor is then the newest.
     * OX_CONTROL_FROM_NOW as *cursor: only moves it there. */
    ox_err (*changes)(struct ox_control_store *self, uint64_t *cursor, struct ox_control_change *out,
                      size_t *n, bool *lost, struct ox_diag *diag);
    /* Returns when something may have changed, or after timeout_ms. One thread at a time. An error: there is nobody to
     * hear from; asking again is all one can do. */
    ox_err (*wait)(struct ox_control_store *self, uint32_t timeout_ms, struct ox_diag *diag);

    /* Ends a wait() of now, or else the next one, at once. Any thread; does not block. */
    void (*wake)(struct ox_control_store *self);

    void (*close)(struct ox_control_store *self);
};

/*
 * Opens DIR/control.db, makes it on first use (mode 0600) and brings it to the schema of this release.
 * *out is set when it can be used, now or later: with OK, or with UNAVAILABLE when the disk refuses now (each call tries
 * again). STATE (the file is of a newer release) and CORRUPT leave *out NULL. path: copied.
 */
OX_MUST_USE ox_err ox_control_open_sqlite(const char *path, struct ox_control_store **out,
                                          struct ox_diag *diag);

/* Lends; copied. */
struct ox_control_postgres {
    const char *url;      /* postgresql://user@host/database, or what else libpq takes */
    const char *password; /* NULL or "": what the url or libpq's own environment says */
    uint32_t connect_timeout_ms;
    uint32_t statement_timeout_ms; /* of one statement, as it is felt here */
    uint32_t
        connections; /* at one time for orders and questions, beside three: look-ups, changes, listening */
    bool
        as_owner; /* `observex control init` alone: the role need not be one that row-level security holds back */
};

/*
 * A store in PostgreSQL. *out is set when it can be used, now or later: with OK, or with UNAVAILABLE when the server does not
 * answer yet (each call tries again). STATE (no schema yet, or that of another release) and CONFIG (a role that
 * row-level security does not hold back, an unusable url) leave *out NULL: each with the sentence that says what to do.
 */
OX_MUST_USE ox_err ox_control_open_postgres(const struct ox_control_postgres *options,
                                            struct ox_control_store **out, struct ox_diag *diag);

/*
 * What `observex control init` does, as the owner of the database: migrations under a lock, then `role` may do what a node
 * needs and no more; it is made when there is none. role_password: NULL = none is set. *applied: migrations; may be
 * NULL. Repeating it is harmless.
 */
OX_MUST_USE ox_err ox_control_init_postgres(const struct ox_control_postgres *owner, const char *role,
                                            const char *role_password, unsigned *applied,
                                            struct ox_diag *diag);

#endif
