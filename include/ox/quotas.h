/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/quotas.h - the quotas in force on this node: what each tenant, and each key with quotas of its own, may have, and
 * what it has used.
 *
 * Owns:    an entry per tenant that sent or was named, and per key with quotas of its own; entries live until the whole is
 *          freed, so a pointer to one may be kept.
 * Threads: any. Values and rates are atomics; finding an entry takes a read lock.
 * Bounds:  OX_QUOTAS_MAX entries; beyond it a tenant has the defaults, and shares what they allow with others like it.
 * Fails:   QUOTA with the name of the quota, whose it is, and when to come again.
 * Flow:    configuration and control plane -> here <- gateway, API, cardinality.
 */
#ifndef OX_QUOTAS_H
#define OX_QUOTAS_H

#include "ox/clock.h"
#include "ox/quota.h"
#include "ox/quota_store.h"

#define OX_QUOTAS_MAX 262144

struct ox_quotas;
struct ox_quota_entry;

/* What holds for whoever has none of its own. 0 of a rate, of series and label_values: no bound. */
struct ox_quota_defaults {
    uint64_t value[OX_QUOTA__COUNT];
    uint32_t burst_ms;
    uint32_t warn_permille; /* of a burst in use, from which on a sender is warned */
};

/* NULL on lack of memory. clock: lend. */
struct ox_quotas *ox_quotas_new(const struct ox_clock *clock);
void ox_quotas_free(struct ox_quotas *q);
void ox_quotas_set_defaults(struct ox_quotas *q, const struct ox_quota_defaults *defaults);
/* These rows, and no others, are all that differ from the defaults. rows: lend. One thread at a time. */
void ox_quotas_replace(struct ox_quotas *q, const struct ox_quota_row *rows, size_t n);

/* The tenant's entry. Never NULL. */
struct ox_quota_entry *ox_quotas_tenant(struct ox_quotas *q, const struct ox_tenant_id *tenant);
/* The key's entry, or NULL when it has no quotas of its own. */
struct ox_quota_entry *ox_quotas_key(struct ox_quotas *q, struct ox_quota_entry *tenant, const char *key_id);
/* What is in force: the entry's own, else the default. 0 as in the defaults. */
uint64_t ox_quotas_value(struct ox_quotas *q, const struct ox_quota_entry *entry, enum ox_quota quota);
/* Whether it is the entry's own. */
bool ox_quotas_is_own(const struct ox_quota_entry *entry, enum ox_quota quota);
/* Permille of a rate's burst in use now. */
uint32_t ox_quotas_used(struct ox_quotas *q, struct ox_quota_entry *entry, enum ox_quota quota);

/* What a refusal or a warning has to say. */
struct ox_quota_verdict {
    enum ox_quota quota;
    uint32_t retry_ms; /* when it is worth trying again */
    bool warn;         /* taken, and more than warn_permille is in use: of `quota` */
};
/* What a request of this signal would hear before it is read; takes nothing. key may be NULL. QUOTA. */
OX_MUST_USE ox_err ox_quotas_look(struct ox_quotas *q, struct ox_quota_entry *tenant,
                                  struct ox_quota_entry *key, enum ox_signal signal,
                                  struct ox_quota_verdict *out, struct ox_diag *diag);
/* Takes records and bytes from the tenant's rates and the key's, or nothing. A tenant that comes near to a bound is named in
 * the log, once a minute. */
OX_MUST_USE ox_err ox_quotas_take(struct ox_quotas *q, struct ox_quota_entry *tenant,
                                  struct ox_quota_entry *key, enum ox_signal signal, uint64_t records,
                                  uint64_t bytes, struct ox_quota_verdict *out, struct ox_diag *diag);

#endif
