/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/tenants.c - small numbers for tenants' names, so that every message can carry one.
 *
 * Owns:    the names, for the life of the process.
 * Threads: any; names are only ever added.
 * Bounds:  OX_TENANTS_MAX.
 * Fails:   index 0.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

#include "ox/actor.h"
#include "ox/lock.h"

#define BUCKETS 4096u

struct tenant {
    struct tenant *next;
    uint32_t index;
    struct ox_tenant_id id;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tenant *buckets[BUCKETS]; /* under lock */
static uint32_t tenants_n;              /* under lock */
/* release when a tenant is complete, acquire by readers without the lock */
static struct tenant *_Atomic by_index[OX_TENANTS_MAX];
static _Atomic uint8_t weights[OX_TENANTS_MAX]; /* 0 = 1; relaxed: each is a number of its own */

static struct tenant *
add(const struct ox_tenant_id *id, struct tenant **bucket)
{
    if (tenants_n + 1 >= OX_TENANTS_MAX)
        return NULL;
    struct tenant *tenant = calloc(1, sizeof(*tenant));
    if (tenant == NULL)
        return NULL;
    tenant->id = *id;
    tenant->index = ++tenants_n;
    tenant->next = *bucket;
    *bucket = tenant;
    atomic_store_explicit(&by_index[tenant->index], tenant, memory_order_release);
    return tenant;
}

uint32_t
ox_tenant_index(const struct ox_tenant_id *id)
{
    if (id->name[0] == '\0')
        return 0;
    ox_lock(&lock);
    struct tenant **bucket = &buckets[XXH64(id->name, strlen(id->name), 0) & (BUCKETS - 1)];
    struct tenant *tenant = *bucket;
    while (tenant != NULL && strcmp(tenant->id.name, id->name) != 0)
        tenant = tenant->next;
    if (tenant == NULL)
        tenant = add(id, bucket);
    uint32_t index = tenant != NULL ? tenant->index : 0;
    ox_unlock(&lock);
    return index;
}

const char *
ox_tenant_name(uint32_t index)
{
    if (index == 0 || index >= OX_TENANTS_MAX)
        return "";
    struct tenant *tenant = atomic_load_explicit(&by_index[index], memory_order_acquire);
    return tenant != NULL ? tenant->id.name : "";
}

ox_err
ox_tenant_set_weight(uint32_t index, uint32_t weight)
{
    if (index == 0 || index >= OX_TENANTS_MAX || weight == 0 || weight > OX_TENANT_WEIGHT_MAX)
        return OX_E_INVALID;
    atomic_store_explicit(&weights[index], (uint8_t)weight, memory_order_relaxed);
    return OX_OK;
}

uint32_t
ox_tenant_weight(uint32_t index)
{
    uint32_t weight =
        index < OX_TENANTS_MAX ? atomic_load_explicit(&weights[index], memory_order_relaxed) : 0;
    return weight != 0 ? weight : 1;
}
