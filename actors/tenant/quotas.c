/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/tenant/quotas.c - see include/ox/quotas.h.
 *
 * Owns:    see there.
 * Threads: see there. A value of 0 in an entry means: the default. Relaxed throughout: who is late takes one request more
 *          or less by the old value.
 * Bounds:  see there.
 * Fails:   see there.
 */
#include "ox/quotas.h"

#include <stdio.h>
#include <stdlib.h>

#include "ox/lock.h"
#include "ox/log.h"
#include "ox/metric.h"

#define BUCKETS      4096
#define WARN_EVERY_S 60

struct ox_quota_entry {
    struct ox_quota_entry *next;
    struct ox_tenant_id tenant;
    char key_id[OX_KEY_ID_MAX + 1];
    _Atomic uint64_t own[OX_QUOTA__COUNT]; /* 1 + value; 0 = the default */
    uint32_t own_round[OX_QUOTA__COUNT];   /* in which it was set last; of who replaces, alone */
    struct ox_rate rate[OX_QUOTA_RATES];
    _Atomic bool keys;         /* of a tenant: some of its keys have had quotas of their own */
    _Atomic uint64_t warned_s; /* monotonic */
};

struct ox_quotas {
    const struct ox_clock *clock;
    _Atomic uint64_t defaults[OX_QUOTA__COUNT];
    _Atomic uint32_t burst_ms, warn_permille;
    pthread_rwlock_t lock; /* of the table; not of what is in it */
    struct ox_quota_entry *buckets[BUCKETS];
    size_t n;
    uint32_t round;               /* of ox_quotas_replace, which one thread at a time calls */
    struct ox_quota_entry others; /* of whom there is no room for */
};

struct ox_quotas *
ox_quotas_new(const struct ox_clock *clock)
{
    struct ox_quotas *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return NULL;
    q->clock = clock;
    pthread_rwlock_init(&q->lock, NULL);
    return q;
}

void
ox_quotas_free(struct ox_quotas *q)
{
    if (q == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (q->buckets[i] != NULL) {
            struct ox_quota_entry *e = q->buckets[i];
            q->buckets[i] = e->next;
            free(e);
        }
    }
    pthread_rwlock_destroy(&q->lock);
    free(q);
}

void
ox_quotas_set_defaults(struct ox_quotas *q, const struct ox_quota_defaults *d)
{
    for (int i = 0; i < OX_QUOTA__COUNT; i++)
        atomic_store_explicit(&q->defaults[i], d->value[i], memory_order_relaxed);
    atomic_store_explicit(&q->burst_ms, d->burst_ms, memory_order_relaxed);
    atomic_store_explicit(&q->warn_permille, d->warn_permille, memory_order_relaxed);
}

/* ---- entries ---- */

static size_t
bucket_of(const char *tenant, const char *key_id)
{
    uint32_t h = 2166136261u;
    for (; *tenant != '\0'; tenant++)
        h = (h ^ (unsigned char)*tenant) * 16777619u;
    for (h ^= 0xff; *key_id != '\0'; key_id++)
        h = (h ^ (unsigned char)*key_id) * 16777619u;
    return h % BUCKETS;
}

static struct ox_quota_entry *
search(struct ox_quotas *q, const char *tenant, const char *key_id)
{
    struct ox_quota_entry *e = q->buckets[bucket_of(tenant, key_id)];
    while (e != NULL && (strcmp(e->tenant.name, tenant) != 0 || strcmp(e->key_id, key_id) != 0))
        e = e->next;
    return e;
}

static struct ox_quota_entry *
find(struct ox_quotas *q, const char *tenant, const char *key_id)
{
    ox_lock_read(&q->lock);
    struct ox_quota_entry *e = search(q, tenant, key_id);
    ox_unlock_rw(&q->lock);
    return e;
}

/* NULL without room or memory. */
static struct ox_quota_entry *
make(struct ox_quotas *q, const struct ox_tenant_id *tenant, const char *key_id)
{
    struct ox_quota_entry *e = find(q, tenant->name, key_id);
    if (e != NULL)
        return e;
    struct ox_quota_entry *fresh = calloc(1, sizeof(*fresh));
    ox_lock_write(&q->lock);
    e = search(q, tenant->name, key_id);
    if (e == NULL && fresh != NULL && q->n < OX_QUOTAS_MAX) {
        size_t b = bucket_of(tenant->name, key_id);
        e = fresh;
        fresh = NULL;
        e->tenant = *tenant;
        snprintf(e->key_id, sizeof(e->key_id), "%s", key_id);
        e->next = q->buckets[b];
        q->buckets[b] = e;
        q->n++;
    }
    ox_unlock_rw(&q->lock);
    free(fresh);
    return e;
}

struct ox_quota_entry *
ox_quotas_tenant(struct ox_quotas *q, const struct ox_tenant_id *tenant)
{
    struct ox_quota_entry *e = make(q, tenant, "");
    return e != NULL ? e : &q->others;
}

struct ox_quota_entry *
ox_quotas_key(struct ox_quotas *q, struct ox_quota_entry *tenant, const char *key_id)
{
    if (key_id[0] == '\0' || !atomic_load_explicit(&tenant->keys, memory_order_relaxed))
        return NULL;
    return find(q, tenant->tenant.name, key_id);
}

/* What was not set in this round is a default again. */
static void
forget_others(struct ox_quotas *q)
{
    ox_lock_read(&q->lock);
    for (size_t b = 0; b < BUCKETS; b++) {
        for (struct ox_quota_entry *e = q->buckets[b]; e != NULL; e = e->next) {
            for (int i = 0; i < OX_QUOTA__COUNT; i++) {
                if (e->own_round[i] != q->round)
                    atomic_store_explicit(&e->own[i], 0, memory_order_relaxed);
            }
        }
    }
    ox_unlock_rw(&q->lock);
}

void
ox_quotas_replace(struct ox_quotas *q, const struct ox_quota_row *rows, size_t n)
{
    q->round++;
    for (size_t r = 0; r < n; r++) {
        struct ox_quota_entry *tenant = make(q, &rows[r].tenant, "");
        struct ox_quota_entry *e = make(q, &rows[r].tenant, rows[r].key_id);
        if (tenant == NULL || e == NULL) {
            OX_LOG_WARN("quota", "there is no room for the quotas of a tenant: the defaults hold for it",
                        OX_F_STR("tenant", rows[r].tenant.name));
            continue;
        }
        e->own_round[rows[r].quota] = q->round;
        atomic_store_explicit(&e->own[rows[r].quota], rows[r].value + 1, memory_order_relaxed);
        if (e != tenant)
            atomic_store_explicit(&tenant->keys, true, memory_order_relaxed);
    }
    forget_others(q);
}

uint64_t
ox_quotas_value(struct ox_quotas *q, const struct ox_quota_entry *e, enum ox_quota quota)
{
    uint64_t own = atomic_load_explicit(&e->own[quota], memory_order_relaxed);
    if (own != 0)
        return own - 1;
    /* A key without one of its own is bounded by its tenant's alone. */
    return e->key_id[0] != '\0' ? 0 : atomic_load_explicit(&q->defaults[quota], memory_order_relaxed);
}

bool
ox_quotas_is_own(const struct ox_quota_entry *e, enum ox_quota quota)
{
    return atomic_load_explicit(&e->own[quota], memory_order_relaxed) != 0;
}

static uint64_t
burst_ns(struct ox_quotas *q)
{
    uint32_t ms = atomic_load_explicit(&q->burst_ms, memory_order_relaxed);
    return (uint64_t)(ms > 0 ? ms : 1) * 1000000;
}

uint32_t
ox_quotas_used(struct ox_quotas *q, struct ox_quota_entry *e, enum ox_quota quota)
{
    uint64_t now = ox_clock_monotonic_ns(q->clock), burst = burst_ns(q);
    uint64_t full = atomic_load_explicit(&e->rate[quota].full_ns, memory_order_relaxed);
    uint64_t debt = full > now ? full - now : 0;
    return debt >= burst ? 1000 : (uint32_t)(debt * 1000 / burst);
}

/* ---- taking ---- */

/* The four rates that a request meets, those without a bound left out. */
struct meter {
    struct ox_quota_entry *entry;
    enum ox_quota quota;
    uint64_t per_s, n;
};

static size_t
meters_of(struct ox_quotas *q, struct ox_quota_entry *tenant, struct ox_quota_entry *key,
          enum ox_signal signal, uint64_t records, uint64_t bytes, struct meter out[4])
{
    size_t n = 0;
    struct ox_quota_entry *const entries[2] = {tenant, key};
    for (size_t i = 0; i < 2 && entries[i] != NULL; i++) {
        for (int of_bytes = 0; of_bytes < 2; of_bytes++) {
            enum ox_quota quota = of_bytes ? OX_QUOTA_BYTES_OF(signal) : OX_QUOTA_RECORDS_OF(signal);
            uint64_t per_s = ox_quotas_value(q, entries[i], quota);
            if (per_s > 0)
                out[n++] = (struct meter){entries[i], quota, per_s, of_bytes ? bytes : records};
        }
    }
    return n;
}

static ox_err
refuse(const struct meter *m, uint64_t retry_ns, struct ox_quota_verdict *out, struct ox_diag *diag)
{
    const char *key = m->entry->key_id;
    out->quota = m->quota;
    out->retry_ms = (uint32_t)(retry_ns / 1000000 + 1 < 3600000 ? retry_ns / 1000000 + 1 : 3600000);
    OX_METRIC_ADD_L(OX_M_quota_refused, 1, ox_str_of(m->entry->tenant.name),
                    ox_str_of(ox_quota_name(m->quota)));
    ox_diag_set(diag, OX_E_QUOTA, ox_quota_name(m->quota), -1,
                "%s%s%stenant %s may send %llu %s (quota %s) and has sent more; retry in %u ms",
                key[0] != '\0' ? "key " : "", key, key[0] != '\0' ? " of " : "", m->entry->tenant.name,
                (unsigned long long)m->per_s, ox_quota_unit(m->quota), ox_quota_name(m->quota),
                out->retry_ms);
    if (diag != NULL)
        diag->retry_ms = out->retry_ms;
    return OX_E_QUOTA;
}

ox_err
ox_quotas_look(struct ox_quotas *q, struct ox_quota_entry *tenant, struct ox_quota_entry *key,
               enum ox_signal signal, struct ox_quota_verdict *out, struct ox_diag *diag)
{
    struct meter m[4];
    uint64_t now = ox_clock_monotonic_ns(q->clock), retry = 0;
    size_t n = meters_of(q, tenant, key, signal, 0, 0, m);
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        if (!ox_rate_look(&m[i].entry->rate[m[i].quota], m[i].per_s, burst_ns(q), now, &retry))
            return refuse(&m[i], retry, out, diag);
    }
    return OX_OK;
}

/* Once a minute and tenant. */
static void
say_warning(struct ox_quotas *q, const struct meter *m, uint32_t used)
{
    uint64_t now_s = ox_clock_monotonic_ns(q->clock) / 1000000000 + WARN_EVERY_S;
    uint64_t last = atomic_load_explicit(&m->entry->warned_s, memory_order_relaxed);
    OX_METRIC_ADD_L(OX_M_quota_warned, 1, ox_str_of(m->entry->tenant.name),
                    ox_str_of(ox_quota_name(m->quota)));
    if (now_s - last < WARN_EVERY_S ||
        !atomic_compare_exchange_strong_explicit(&m->entry->warned_s, &last, now_s, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;
    OX_LOG_WARN("quota", "a tenant comes near to its quota", OX_F_STR("tenant", m->entry->tenant.name),
                OX_F_STR("quota", ox_quota_name(m->quota)), OX_F_U64("per_second", m->per_s),
                OX_F_U64("permille_of_burst", used));
}

ox_err
ox_quotas_take(struct ox_quotas *q, struct ox_quota_entry *tenant, struct ox_quota_entry *key,
               enum ox_signal signal, uint64_t records, uint64_t bytes, struct ox_quota_verdict *out,
               struct ox_diag *diag)
{
    struct meter m[4];
    uint64_t now = ox_clock_monotonic_ns(q->clock), retry = 0;
    uint32_t warn = atomic_load_explicit(&q->warn_permille, memory_order_relaxed);
    size_t n = meters_of(q, tenant, key, signal, records, bytes, m);
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        uint32_t used = 0;
        if (!ox_rate_take(&m[i].entry->rate[m[i].quota], m[i].n, m[i].per_s, burst_ns(q), now, &used,
                          &retry)) {
            for (size_t k = 0; k < i; k++)
                ox_rate_give(&m[k].entry->rate[m[k].quota], m[k].n, m[k].per_s);
            return refuse(&m[i], retry, out, diag);
        }
        if (used >= warn && !out->warn) {
            out->warn = true;
            out->quota = m[i].quota;
            say_warning(q, &m[i], used);
        }
    }
    return OX_OK;
}
