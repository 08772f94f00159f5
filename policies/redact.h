/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/redact.h - what the two files of redaction share.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#ifndef OX_POLICIES_REDACT_H
#define OX_POLICIES_REDACT_H

#include "ox/redact.h"

enum ox__redact_action { OX__REDACT_KEEP, OX__REDACT_DROP, OX__REDACT_HASH };

/* What becomes of an attribute with this key. */
enum ox__redact_action ox__redact_of(const struct ox_redact *redact, const struct ox_tenant_id *tenant,
                                     enum ox_signal signal, struct ox_str key);
/* "h:" and 32 hex digits of a value's wire bytes. */
#define OX__REDACT_HASH_LEN 34
void ox__redact_hash(const struct ox_redact *redact, struct ox_str value, char out[OX__REDACT_HASH_LEN + 1]);

#endif
