/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/services.h - names of services and peers as small numbers, and how long one waits for their spans.
 *
 * Owns:    copies of the names, until _fini.
 * Threads: one at a time.
 * Bounds:  the number given to _init, OX__SERVICE_BYTES_MAX bytes of each. What comes after is OX__SERVICE_OTHER.
 * Fails:   NOMEM.
 * Flow:    span_features.c asks for numbers, edges.c for names, trace_buffer.c for delays.
 */
#ifndef OX_SAMPLER_SERVICES_H
#define OX_SAMPLER_SERVICES_H

#include "ox/base.h"

#define OX__SERVICE_NONE      0u /* "" */
#define OX__SERVICE_OTHER     1u /* "(other services)": there was no room */
#define OX__SERVICES_MAX      UINT16_MAX
#define OX__SERVICE_BYTES_MAX 255u
#define OX__DELAY_BUCKETS     36 /* half doublings of a millisecond: to 2^17.5 ms, three minutes */

struct ox__delays {
    uint32_t total;
    uint16_t counts[OX__DELAY_BUCKETS];
};

struct ox__service {
    struct ox_str text;
    uint64_t hash;             /* the same in every process */
    struct ox__delays arrival; /* of a service's spans, behind their ends */
    struct ox__delays
        whole; /* of the last span of a trace, behind the first, where that was of this service */
};

struct ox__services {
    struct ox__service *list;
    uint32_t n, max;
    uint16_t *slots; /* number + 1, 0 = free; open addressing, at most half full */
    uint32_t n_slots;
    uint64_t seed;
};

/* max: at most OX__SERVICES_MAX. seed: what senders do not know. fini is allowed on zeroed memory. */
OX_MUST_USE ox_err ox__services_init(struct ox__services *names, uint32_t max, uint64_t seed);
void ox__services_fini(struct ox__services *names);
/* The number of a name, from now on; OTHER without room. */
uint16_t ox__services_get(struct ox__services *names, struct ox_str name);
/* Lend, as long as the table. */
struct ox__service *ox__services_at(const struct ox__services *names, uint16_t number);

/* Counts a delay. A service whose clock is ahead sends spans before their end: those have none. */
void ox__delays_add(struct ox__delays *delays, uint64_t delay_ns);
/* Within what 95 % of them lie, rounded up to a half doubling and to at most max_ns; max_ns while too little is known.
 * */
uint64_t ox__delays_p95(const struct ox__delays *delays, uint64_t max_ns);

#endif
