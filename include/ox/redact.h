/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/redact.h - attributes that must not be stored: dropped, or replaced by a keyed hash, before anything is.
 *
 * Owns:    its rules and the secret of its hashes.
 * Threads: any; it does not change once it is made.
 * Bounds:  OX_REDACT_RULES_MAX rules.
 * Fails:   CONFIG with the line and what would be right there; DECODE for a request that is none.
 * Flow:    redact.file -> ox_redact_parse; gateway: protobuf body -> ox_redact_body -> decoder, log, dead letters.
 *
 * A line is SIGNALS TENANT ACTION PATTERN: `traces,logs acme hash user.*`. SIGNALS: traces, logs, metrics with commas, or all.
 * TENANT: one, or * for every one. ACTION: drop or hash. PATTERN: the whole key, * for any characters, case counts. '#' begins a
 * comment. The first rule that matches holds. Keys are those of resource, scope, record, event, link, exemplar and metadata, and
 * those inside of maps, each by itself, in attributes and in the bodies of logs.
 */
#ifndef OX_REDACT_H
#define OX_REDACT_H

#include "ox/buf.h"

#define OX_REDACT_RULES_MAX 1000
#define OX_REDACT_SECRET    32

struct ox_redact;

/* text: lend. *out is NULL when there is no rule. secret: OX_REDACT_SECRET bytes, copied. */
OX_MUST_USE ox_err ox_redact_parse(struct ox_str text, const uint8_t *secret, struct ox_redact **out,
                                   struct ox_diag *diag);
void ox_redact_free(struct ox_redact *redact);

/* Whether any rule concerns this tenant's signal: without one nothing else has to be done. redact may be NULL. */
bool ox_redact_applies(const struct ox_redact *redact, const struct ox_tenant_id *tenant,
                       enum ox_signal signal);

/* How often each was done. */
struct ox_redact_counts {
    uint64_t dropped, hashed;
};
/* The request without what must not be stored, in `out` (empty before). A hash is the string "h:" and 32 hex digits, equal for
 * equal values. DECODE: it cannot be read, and is not to be stored; NOMEM. */
OX_MUST_USE ox_err ox_redact_body(const struct ox_redact *redact, const struct ox_tenant_id *tenant,
                                  enum ox_signal signal, struct ox_str request, struct ox_buf *out,
                                  struct ox_redact_counts *counts, struct ox_diag *diag);

#endif
