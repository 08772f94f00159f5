/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/weights.c - see include/ox/weights.h.
 *
 * Owns:    nothing.
 * Threads: see there.
 * Fails:   INVALID.
 */
#include "ox/weights.h"

#include <stdlib.h>

#include "ox/actor.h"

#define SEPARATORS " ,\t"

_Static_assert(OX_TENANT_WEIGHT_MAX == 100 && OX_WEIGHTS_MAX == 128, "the sentences below name them");

static ox_err
bad(const char *entry, size_t n, const char *why, struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_INVALID, "tenant.weights", -1, "'%.*s' %s", (int)(n < 80 ? n : 80), entry,
                       why);
}

static const struct ox_weight *
find(const struct ox_weights *weights, const char *tenant)
{
    for (uint32_t i = 0; i < weights->n; i++) {
        if (strcmp(weights->of[i].tenant.name, tenant) == 0)
            return &weights->of[i];
    }
    return NULL;
}

/* One "name=weight" of n bytes. */
static ox_err
take(const char *entry, size_t n, struct ox_weights *out, struct ox_diag *diag)
{
    struct ox_weight w;
    const char *equals = memchr(entry, '=', n);
    if (equals == NULL ||
        ox_tenant_id_parse((struct ox_str){entry, (size_t)(equals - entry)}, &w.tenant, NULL) != OX_OK)
        return bad(entry, n, "is not a tenant and its weight: write acme=3", diag);
    char *end;
    unsigned long weight = strtoul(equals + 1, &end, 10);
    if (equals[1] < '0' || equals[1] > '9' || end != entry + n || weight == 0 ||
        weight > OX_TENANT_WEIGHT_MAX)
        return bad(entry, n, "has no weight from 1 to 100", diag);
    if (find(out, w.tenant.name) != NULL)
        return bad(entry, n, "names a tenant that has a weight already", diag);
    if (out->n == OX_WEIGHTS_MAX)
        return bad(entry, n, "is one tenant more than may have a weight (128)", diag);
    w.weight = (uint32_t)weight;
    out->of[out->n++] = w;
    return OX_OK;
}

ox_err
ox_weights_parse(const char *text, struct ox_weights *out, struct ox_diag *diag)
{
    ox_err err = OX_OK;
    out->n = 0;
    for (const char *at = text + strspn(text, SEPARATORS); *at != '\0' && err == OX_OK;) {
        size_t n = strcspn(at, SEPARATORS);
        err = take(at, n, out, diag);
        at += n;
        at += strspn(at, SEPARATORS);
    }
    return err;
}

static void
set(uint32_t index, uint32_t weight)
{
    ox_err err = ox_tenant_set_weight(index, weight);
    OX_ASSERT(err == OX_OK || index == 0); /* index 0: the node knows as many tenants as it can */
}

void
ox_weights_apply(const struct ox_weights *weights)
{
    for (uint32_t index = 1; ox_tenant_name(index)[0] != '\0'; index++) {
        if (ox_tenant_weight(index) != 1 && find(weights, ox_tenant_name(index)) == NULL)
            set(index, 1);
    }
    for (uint32_t i = 0; i < weights->n; i++)
        set(ox_tenant_index(&weights->of[i].tenant), weights->of[i].weight);
}
