/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/user_store.h - users of tenants and their sessions, in the control plane's store.
 *
 * Owns:    connections of its own to that store, which exists and has its schema already.
 * Threads: every call blocks: dirty threads and lanes only, any number at once.
 * Bounds:  OX_USERS_MAX of one tenant; OX_SESSIONS_MAX of one user, beyond which the oldest ends.
 * Fails:   NOT_FOUND, EXISTS, STATE, UNAUTHENTICATED, UNAVAILABLE, CORRUPT with a sentence.
 * Flow:    API -> here; actors/control/session_keys.c -> session. What ends a session is a change of its tenant, which every
 *          node hears of.
 *
 * A name is of its tenant: two tenants may have the same, and neither learns of the other's.
 */
#ifndef OX_USER_STORE_H
#define OX_USER_STORE_H

#include "ox/control.h"

#define OX_USER_NAME_MAX OX_SUBJECT_MAX
#define OX_USER_PEER_MAX 63
#define OX_USERS_MAX     1000
#define OX_SESSIONS_MAX  20

/* Times are Unix seconds; 0 = never. */
struct ox_user {
    struct ox_tenant_id tenant;
    char name[OX_USER_NAME_MAX + 1];
    enum ox_role role;
    bool active;
    char password[OX_KEY_FINGERPRINT_MAX]; /* Argon2id */
    int64_t created_s;
    int64_t changed_s;
    int64_t password_s;
    int64_t login_s;                       /* the last one that was right */
    char login_peer[OX_USER_PEER_MAX + 1]; /* from where */
};

struct ox_session {
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    struct ox_tenant_id tenant;
    char user[OX_USER_NAME_MAX + 1];
    int64_t created_s;
    int64_t seen_s; /* coarse: at most once in OX_SESSION_SEEN_S */
    int64_t expires_s;
};

#define OX_SESSION_SEEN_S 60

/* What is to be another; NULL = stays. */
struct ox_user_change {
    const enum ox_role *role;
    const bool *active;
    const char *password;
    int64_t now_s;
};

/* 1 to OX_USER_NAME_MAX of a-z, 0-9 and . _ @ + -; what looks alike is one. */
bool ox_user_name_ok(struct ox_str name);

struct ox_user_store {
    /* asker, of everything that writes by an order: as of struct ox_control_store. */

    /* user: lend. NOT_FOUND (its tenant), STATE (its tenant is disabled, or has OX_USERS_MAX), EXISTS. */
    ox_err (*create)(struct ox_user_store *self, const struct ox_control_asker *asker,
                     const struct ox_user *user, struct ox_diag *diag);
    ox_err (*get)(struct ox_user_store *self, const struct ox_tenant_id *tenant, const char *name,
                  struct ox_user *out, struct ox_diag *diag);
    /* Of one tenant, or of all for operators (NULL), behind the user `after_name` of `after_tenant`, in order; *n: room in
     * `out`, then what it holds. */
    ox_err (*list)(struct ox_user_store *self, const struct ox_tenant_id *tenant, const char *after_tenant,
                   const char *after_name, struct ox_user *out, size_t *n, struct ox_diag *diag);
    /* His sessions end, on every node. */
    ox_err (*change)(struct ox_user_store *self, const struct ox_control_asker *asker,
                     const struct ox_tenant_id *tenant, const char *name, const struct ox_user_change *change,
                     struct ox_user *out, struct ox_diag *diag);

    /* A user whom somebody else vouches for: made, or given this role, if `password` (the mark of who it is) is what is kept and he
     * is active. FORBIDDEN: he is another of that name, or disabled. When his role changes his sessions end. */
    ox_err (*keep)(struct ox_user_store *self, const struct ox_user *user, struct ox_diag *diag);
    /* Begins a session of a user whose password was verified, if it is that one still and he may log in still:
     * UNAUTHENTICATED. Sessions of his tenant that have ended, or were not seen since seen_after_s, go. */
    ox_err (*login)(struct ox_user_store *self, const struct ox_session *session, const char *password,
                    const char *peer, int64_t seen_after_s, struct ox_diag *diag);
    /* The session of a cookie, and its user: NOT_FOUND when there is none, it has ended, was not seen since seen_after_s, or
     * its user or tenant is disabled. Notes that it was seen. */
    ox_err (*session)(struct ox_user_store *self, const uint8_t digest[OX_KEY_DIGEST_BYTES], int64_t now_s,
                      int64_t seen_after_s, struct ox_session *out, struct ox_user *user,
                      struct ox_diag *diag);
    /* Ends it, on every node. One that is there no more is no error. */
    ox_err (*logout)(struct ox_user_store *self, const struct ox_tenant_id *tenant,
                     const uint8_t digest[OX_KEY_DIGEST_BYTES], struct ox_diag *diag);
    void (*close)(struct ox_user_store *self);
};

/* path: of the control.db that a control store has open. *out is set with OK alone. */
OX_MUST_USE ox_err ox_user_store_sqlite(const char *path, struct ox_user_store **out, struct ox_diag *diag);
/* Connects with the first call. options: strings are copied. */
OX_MUST_USE ox_err ox_user_store_postgres(const struct ox_control_postgres *options,
                                          struct ox_user_store **out, struct ox_diag *diag);

#endif
