/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/weights.h - tenant.weights: which tenants have more than one part of what all wait for.
 *
 * Owns:    nothing; the weights themselves are the runtime's (ox_tenant_set_weight).
 * Threads: parsing on any; applying on one at a time.
 * Bounds:  OX_WEIGHTS_MAX tenants; the length of a string of the configuration is the smaller bound.
 * Fails:   INVALID, with a sentence.
 * Flow:    configuration -> here -> runtime/core/share.c.
 */
#ifndef OX_WEIGHTS_H
#define OX_WEIGHTS_H

#include "ox/base.h"

#define OX_WEIGHTS_MAX 128

struct ox_weight {
    struct ox_tenant_id tenant;
    uint32_t weight;
};
struct ox_weights {
    uint32_t n;
    struct ox_weight of[OX_WEIGHTS_MAX];
};

/* "acme=3, globex=2", "" for none: each tenant once, weights 1 to OX_TENANT_WEIGHT_MAX. text: lend. */
OX_MUST_USE ox_err ox_weights_parse(const char *text, struct ox_weights *out, struct ox_diag *diag);
/* They are the weights from now on; a tenant that is not among them has 1. weights: lend. */
void ox_weights_apply(const struct ox_weights *weights);

#endif
