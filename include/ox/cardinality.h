/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/cardinality.h - how many metric series, and values of a label, each tenant has made of late, and no more of them.
 *
 * Owns:    per tenant that has such a quota the hashes of today's and yesterday's series and values.
 * Threads: any; one lock per tenant, held for one request.
 * Bounds:  8 bytes per series and value and day at a load of one half to three quarters: a tenant with a quota of 1,000,000
 *          series takes 16 MiB for each of two days at most. OX_CARDINALITY_VALUES_MAX values, OX_CARDINALITY_LABELS_MAX labels.
 *          Tenants without a quota cost nothing.
 * Fails:   without memory nothing is refused.
 * Flow:    gateway: ox_validate_batch -> here -> partial success.
 *
 * Exact and not an estimate (HyperLogLog), because it has to tell a known series from a new one: those go on, these are
 * refused. A day is one of UTC by the time of arrival; what was known yesterday is known today. A restart forgets it all: who
 * sends first is in then.
 */
#ifndef OX_CARDINALITY_H
#define OX_CARDINALITY_H

#include "ox/batch.h"
#include "ox/validate.h"

#define OX_CARDINALITY_VALUES_MAX 4194304u /* of one tenant, all labels together */
#define OX_CARDINALITY_LABELS_MAX                                                                            \
    65536u /* pairs of metric and label; beyond it further ones are not bounded */
#define OX_CARDINALITY_NAME_MAX 96

struct ox_cardinality;

/* tenants_max: as of the directory of tenants. NULL on lack of memory. */
struct ox_cardinality *ox_cardinality_new(uint32_t tenants_max);
void ox_cardinality_free(struct ox_cardinality *c);

/* 0 = no bound. */
struct ox_cardinality_limits {
    uint64_t series;
    uint64_t label_values;
};

/* Marks the points of a metrics batch that would make more than the tenant may have; counts and batch->n_rejected with them.
 * tenant: its index in the directory. day: days since 1970-01-01 UTC. Other signals are left alone. */
void ox_cardinality_judge(struct ox_cardinality *c, uint32_t tenant, struct ox_batch *batch,
                          const struct ox_cardinality_limits *limits, uint32_t day,
                          struct ox_validate_counts *counts);

struct ox_cardinality_status {
    uint64_t series;         /* today's, as far as they are counted */
    uint64_t refused_series; /* points refused today */
    uint64_t refused_values;
    char metric[OX_CARDINALITY_NAME_MAX],
        label[OX_CARDINALITY_NAME_MAX]; /* the last label that was refused a value */
};
/* Zero for a tenant that is not counted. */
void ox_cardinality_status(struct ox_cardinality *c, uint32_t tenant, struct ox_cardinality_status *out);

#endif
