/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/quota.c - see include/ox/quota.h.
 *
 * Owns:    nothing.
 * Threads: see there.
 * Fails:   INVALID.
 */
#include "ox/quota.h"

#include <stdio.h>

#define NS_PER_S 1000000000ull

static const struct {
    const char *name, *unit, *text;
    bool of_key;
} rows[OX_QUOTA__COUNT] = {
#define OX_QUOTA(id, name, unit, of_key, text) {name, unit, text, of_key},
#include "ox/tbl/quotas.h"
#undef OX_QUOTA
};

_Static_assert(OX_QUOTA_TRACES_RECORDS == 2 * OX_SIGNAL_TRACES &&
                   OX_QUOTA_LOGS_BYTES == 2 * OX_SIGNAL_LOGS + 1 &&
                   OX_QUOTA_METRICS_BYTES == 2 * OX_SIGNAL_METRICS + 1,
               "the rates stand in the order of the signals");

const char *
ox_quota_name(enum ox_quota quota)
{
    OX_ASSERT(quota < OX_QUOTA__COUNT);
    return rows[quota].name;
}

const char *
ox_quota_unit(enum ox_quota quota)
{
    OX_ASSERT(quota < OX_QUOTA__COUNT);
    return rows[quota].unit;
}

const char *
ox_quota_text(enum ox_quota quota)
{
    OX_ASSERT(quota < OX_QUOTA__COUNT);
    return rows[quota].text;
}

bool
ox_quota_of_key(enum ox_quota quota)
{
    OX_ASSERT(quota < OX_QUOTA__COUNT);
    return rows[quota].of_key;
}

ox_err
ox_quota_parse(struct ox_str name, enum ox_quota *out, struct ox_diag *diag)
{
    char names[300];
    size_t n = 0;
    for (int q = 0; q < OX_QUOTA__COUNT; q++) {
        if (ox_str_eq(name, ox_str_of(rows[q].name))) {
            *out = (enum ox_quota)q;
            return OX_OK;
        }
        n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n > 0 ? ", " : "", rows[q].name);
    }
    return ox_diag_set(diag, OX_E_INVALID, "quota", -1, "there is no quota '%.*s'; they are %s",
                       (int)(name.n < 40 ? name.n : 40), name.n > 0 ? name.p : "", names);
}

__extension__ typedef unsigned __int128 wide;

/* How long the bucket takes to refill by n. */
static uint64_t
cost_ns(uint64_t n, uint64_t per_s)
{
    return (uint64_t)((wide)n * NS_PER_S / per_s);
}

static uint64_t
later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

bool
ox_rate_look(const struct ox_rate *rate, uint64_t per_s, uint64_t burst_ns, uint64_t now_ns,
             uint64_t *retry_ns)
{
    uint64_t debt_ns = later(atomic_load_explicit(&rate->full_ns, memory_order_relaxed), now_ns) - now_ns;
    if (debt_ns < burst_ns)
        return true;
    if (retry_ns != NULL)
        *retry_ns = debt_ns - burst_ns + 1;
    return false;
}

bool
ox_rate_take(struct ox_rate *rate, uint64_t n, uint64_t per_s, uint64_t burst_ns, uint64_t now_ns,
             uint32_t *used, uint64_t *retry_ns)
{
    uint64_t full = atomic_load_explicit(&rate->full_ns, memory_order_relaxed), next;
    do {
        uint64_t debt_ns = later(full, now_ns) - now_ns;
        if (debt_ns >= burst_ns) {
            if (retry_ns != NULL)
                *retry_ns = debt_ns - burst_ns + 1;
            return false;
        }
        next = later(full, now_ns) + cost_ns(n, per_s);
    } while (!atomic_compare_exchange_weak_explicit(&rate->full_ns, &full, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    if (used != NULL)
        *used = next - now_ns >= burst_ns ? 1000 : (uint32_t)((next - now_ns) * 1000 / burst_ns);
    return true;
}

void
ox_rate_give(struct ox_rate *rate, uint64_t n, uint64_t per_s)
{
    atomic_fetch_sub_explicit(&rate->full_ns, cost_ns(n, per_s), memory_order_relaxed);
}
