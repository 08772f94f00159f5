/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http_census.c - counts open connections, in all and per peer address, over several loops.
 *
 * Owns:    one entry per address with an open connection.
 * Threads: any; one mutex, taken once when a connection opens and once when it closes.
 * Bounds:  entries never outnumber open connections, which connections_max bounds.
 * Fails:   OX_E_OVERLOAD at a limit, OX_E_NOMEM.
 */
#include <pthread.h>
#include <stdlib.h>

#include "ox/lock.h"
#include "runtime/net/http_internal.h"

#define BUCKETS 1024

struct entry {
    struct entry *next;
    uint8_t key[16];
    uint32_t open;
};

struct ox_http_census {
    pthread_mutex_t lock;
    uint32_t refs; /* the owner's, and one per server */
    uint32_t open;
    struct entry *buckets[BUCKETS];
};

struct ox_http_census *
ox_http_census_new(void)
{
    struct ox_http_census *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    c->refs = 1;
    return c;
}

struct ox_http_census *
ox__http_census_hold(struct ox_http_census *c)
{
    ox_lock(&c->lock);
    c->refs++;
    ox_unlock(&c->lock);
    return c;
}

void
ox_http_census_free(struct ox_http_census *c)
{
    if (c == NULL)
        return;
    ox_lock(&c->lock);
    uint32_t left = --c->refs;
    ox_unlock(&c->lock);
    if (left > 0)
        return;
    OX_ASSERT(c->open == 0);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

uint32_t
ox_http_census_open(struct ox_http_census *c)
{
    ox_lock(&c->lock);
    uint32_t n = c->open;
    ox_unlock(&c->lock);
    return n;
}

static struct entry **
find(struct ox_http_census *c, const uint8_t key[16])
{
    uint32_t h = 2166136261u; /* FNV-1a: an attacker gains nothing by collisions, entries are bounded */
    for (int i = 0; i < 16; i++)
        h = (h ^ key[i]) * 16777619u;
    struct entry **e = &c->buckets[h % BUCKETS];
    while (*e != NULL && memcmp((*e)->key, key, 16) != 0)
        e = &(*e)->next;
    return e;
}

static ox_err
enter_address(struct ox_http_census *c, const uint8_t key[16], uint32_t max)
{
    struct entry **at = find(c, key);
    if (*at == NULL) {
        *at = calloc(1, sizeof(**at));
        if (*at == NULL)
            return OX_E_NOMEM;
        memcpy((*at)->key, key, 16);
    }
    if ((*at)->open >= max)
        return OX_E_OVERLOAD;
    (*at)->open++;
    return OX_OK;
}

ox_err
ox__http_census_enter(struct ox_http_census *c, const uint8_t key[16], bool per_address, uint32_t max,
                      uint32_t per_address_max)
{
    ox_err err = OX_OK;
    ox_lock(&c->lock);
    if (c->open >= max)
        err = OX_E_OVERLOAD;
    else if (per_address)
        err = enter_address(c, key, per_address_max);
    if (err == OX_OK)
        c->open++;
    ox_unlock(&c->lock);
    return err;
}

void
ox__http_census_leave(struct ox_http_census *c, const uint8_t key[16], bool per_address)
{
    ox_lock(&c->lock);
    OX_ASSERT(c->open > 0);
    c->open--;
    if (per_address) {
        struct entry **at = find(c, key);
        OX_ASSERT(*at != NULL);
        if (--(*at)->open == 0) {
            struct entry *dead = *at;
            *at = dead->next;
            free(dead);
        }
    }
    ox_unlock(&c->lock);
}
