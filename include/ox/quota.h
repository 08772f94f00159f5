/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/quota.h - quotas of tenants and keys: their names, and the rate at which somebody may send.
 *
 * Owns:    nothing.
 * Threads: any; a rate is one atomic.
 * Fails:   INVALID with the legal names.
 * Flow:    control plane (overrides), configuration (defaults) -> ox/quotas.h -> gateway, API.
 */
#ifndef OX_QUOTA_H
#define OX_QUOTA_H

#include <stdatomic.h>

#include "ox/base.h"

enum ox_quota {
#define OX_QUOTA(id, name, unit, of_key, text) OX_QUOTA_##id,
#include "ox/tbl/quotas.h"
#undef OX_QUOTA
    OX_QUOTA__COUNT
};

/* The rates come first: two per signal, records and bytes. */
#define OX_QUOTA_RATES           (2 * OX_SIGNAL__COUNT)
#define OX_QUOTA_RECORDS_OF(sig) ((enum ox_quota)(2 * (int)(sig)))
#define OX_QUOTA_BYTES_OF(sig)   ((enum ox_quota)(2 * (int)(sig) + 1))
/* No quota is larger: a rate of so many is none. */
#define OX_QUOTA_VALUE_MAX 1000000000000000

const char *ox_quota_name(enum ox_quota quota);
const char *ox_quota_unit(enum ox_quota quota);
const char *ox_quota_text(enum ox_quota quota);
bool ox_quota_of_key(enum ox_quota quota);
/* INVALID: "there is no quota x; they are ...". */
OX_MUST_USE ox_err ox_quota_parse(struct ox_str name, enum ox_quota *out, struct ox_diag *diag);

/*
 * A token bucket, kept as the moment at which it will be full again (GCRA). Zeroed: full. What is taken may be more than is
 * left, as long as something is: so that a request larger than the burst passes, and those after it wait.
 */
struct ox_rate {
    _Atomic uint64_t full_ns; /* relaxed: a bound, not an order; changed by compare-and-swap alone */
};
/* Whether something is left; else *retry_ns (may be NULL) until it is. per_s > 0. */
bool ox_rate_look(const struct ox_rate *rate, uint64_t per_s, uint64_t burst_ns, uint64_t now_ns,
                  uint64_t *retry_ns);
/* Takes n; false as above, and nothing is taken. *used: permille of the burst in use afterwards, up to 1000; may be NULL. */
bool ox_rate_take(struct ox_rate *rate, uint64_t n, uint64_t per_s, uint64_t burst_ns, uint64_t now_ns,
                  uint32_t *used, uint64_t *retry_ns);
/* Gives back what was taken of the same rate. */
void ox_rate_give(struct ox_rate *rate, uint64_t n, uint64_t per_s);

#endif
