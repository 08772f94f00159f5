/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/pg_pool.c - who has which connection.
 *
 * Owns:    see pg_pool.h.
 * Threads: `lock` guards who has what; connecting and asking happen outside of it.
 * Bounds:  see there.
 * Fails:   see there.
 */
#include "actors/control/pg_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "actors/control/pg_schema.h"
#include "ox/lock.h"

struct pooled {
    struct pg_conn conn; /* first: a taker's connection is its place */
    bool busy;
};

struct pg_pool {
    const struct pg_target *target;
    bool as_owner;
    pthread_mutex_t lock;
    pthread_cond_t returned;
    uint32_t n;
    struct pooled places[]; /* those that are kept stand first, by their purpose */
};

struct pg_pool *
pg_pool_new(const struct pg_target *target, uint32_t n, bool as_owner)
{
    pthread_condattr_t monotonic;
    n += PG_PURPOSE__COUNT - 1;
    struct pg_pool *pool = calloc(1, sizeof(*pool) + n * sizeof(pool->places[0]));
    if (pool == NULL)
        return NULL;
    pool->target = target;
    pool->as_owner = as_owner;
    pool->n = n;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->returned, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return pool;
}

void
pg_pool_free(struct pg_pool *pool)
{
    if (pool == NULL)
        return;
    for (uint32_t i = 0; i < pool->n; i++)
        pg_conn_close(&pool->places[i].conn);
    pthread_cond_destroy(&pool->returned);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static void
until_after(struct timespec *until, uint32_t ms)
{
    clock_gettime(CLOCK_MONOTONIC, until);
    uint64_t ns = (uint64_t)until->tv_nsec + (uint64_t)ms * 1000000;
    until->tv_sec += (time_t)(ns / 1000000000);
    until->tv_nsec = (long)(ns % 1000000000);
}

/* Its own one, else one that is connected rather than one that is not. Under the lock. */
static struct pooled *
idle(struct pg_pool *pool, enum pg_purpose purpose)
{
    struct pooled *found = NULL;
    if (purpose != PG_ANY && !pool->places[purpose - 1].busy)
        return &pool->places[purpose - 1];
    for (uint32_t i = PG_PURPOSE__COUNT - 1; i < pool->n; i++) {
        struct pooled *p = &pool->places[i];
        if (!p->busy && (found == NULL || (found->conn.pg == NULL && p->conn.pg != NULL)))
            found = p;
    }
    return found;
}

static struct pooled *
wait_for_place(struct pg_pool *pool, enum pg_purpose purpose)
{
    struct timespec until;
    struct pooled *p;
    until_after(&until, pool->target->statement_timeout_ms);
    ox_lock(&pool->lock);
    while ((p = idle(pool, purpose)) == NULL &&
           pthread_cond_timedwait(&pool->returned, &pool->lock, &until) == 0) {
    }
    if (p != NULL)
        p->busy = true;
    ox_unlock(&pool->lock);
    return p;
}

static void
give(struct pg_pool *pool, struct pooled *p, bool broken)
{
    if (broken)
        pg_conn_close(&p->conn);
    ox_lock(&pool->lock);
    p->busy = false;
    for (uint32_t i = 0; broken && i < pool->n; i++) {
        if (!pool->places[i].busy)
            pg_conn_close(&pool->places[i].conn);
    }
    pthread_cond_broadcast(&pool->returned); /* not everybody may have this one */
    ox_unlock(&pool->lock);
}

ox_err
pg_pool_take(struct pg_pool *pool, enum pg_purpose purpose, struct pg_conn **out, bool *fresh,
             struct ox_diag *diag)
{
    struct pooled *p = wait_for_place(pool, purpose);
    if (p == NULL)
        return ox_diag_set(diag, OX_E_OVERLOAD, "control.connections", -1,
                           "all connections to PostgreSQL are in use; retry later");
    *out = &p->conn;
    *fresh = p->conn.pg == NULL;
    if (!*fresh)
        return OX_OK;
    ox_err err = pg_conn_open(&p->conn, pool->target, diag);
    if (err == OX_OK)
        err = pg_schema_check(&p->conn, pool->as_owner, diag);
    if (err != OX_OK)
        give(pool, p, true);
    return err;
}

void
pg_pool_give(struct pg_pool *pool, struct pg_conn *c)
{
    give(pool, (struct pooled *)c, c->broken);
}
