/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/quota_store.h - quotas that differ from the defaults, in the control plane's store.
 *
 * Owns:    a connection of its own to that store, which exists and has its schema already.
 * Threads: every call blocks: dirty threads and lanes only, one at a time.
 * Fails:   NOT_FOUND, UNAVAILABLE, CORRUPT with a sentence.
 * Flow:    API -> here; node -> list -> ox/quotas.h. A change is one of its tenant, which every node hears of.
 */
#ifndef OX_QUOTA_STORE_H
#define OX_QUOTA_STORE_H

#include "ox/control.h"
#include "ox/quota.h"

struct ox_quota_row {
    struct ox_tenant_id tenant;
    char key_id[OX_KEY_ID_MAX + 1]; /* "" = the tenant's */
    enum ox_quota quota;
    uint64_t value;
    int64_t changed_s;
};

struct ox_quota_store {
    /* asker, of both: as of struct ox_control_store. */

    /* NOT_FOUND: there is no such tenant. */
    ox_err (*set)(struct ox_quota_store *self, const struct ox_control_asker *asker,
                  const struct ox_quota_row *row, struct ox_diag *diag);
    /* NOT_FOUND: it has none of its own. */
    ox_err (*clear)(struct ox_quota_store *self, const struct ox_control_asker *asker,
                    const struct ox_quota_row *row, struct ox_diag *diag);
    /* Of one tenant, or of all for operators (NULL). *rows: free it. */
    ox_err (*list)(struct ox_quota_store *self, const struct ox_tenant_id *tenant, struct ox_quota_row **rows,
                   size_t *n, struct ox_diag *diag);
    void (*close)(struct ox_quota_store *self);
};

/* path: of the control.db that a control store has open. *out is set with OK alone. */
OX_MUST_USE ox_err ox_quota_store_sqlite(const char *path, struct ox_quota_store **out, struct ox_diag *diag);
/* Connects with the first call. options: strings are copied. */
OX_MUST_USE ox_err ox_quota_store_postgres(const struct ox_control_postgres *options,
                                           struct ox_quota_store **out, struct ox_diag *diag);

/* Of a row as it stands in a store. False when it is of no quota that this release knows, or damaged. */
bool ox__quota_row(struct ox_quota_row *row, const char *tenant, const char *key_id, const char *quota,
                   int64_t value, int64_t changed_s);

#endif
