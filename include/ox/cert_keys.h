/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/cert_keys.h - a key store that also knows clients by their certificates.
 *
 * Owns:    the key store below it, and the table of certificates' names.
 * Threads: as of any key store. _take: one at a time, may block.
 * Fails:   see include/ox/keystore.h. FORBIDDEN: the key that came along is another tenant's than the certificate.
 * Flow:    gateway, API -> here -> the key cache.
 *
 * Who has a name in the table is its tenant, as with a key of that role and those scopes, as long as the control plane knows
 * the tenant and has not disabled it; without news of it from there, as known keys (control.stale_max). A certificate that
 * the table does not name is nobody's: a key decides, as without a certificate.
 */
#ifndef OX_CERT_KEYS_H
#define OX_CERT_KEYS_H

#include "ox/client_map.h"
#include "ox/keystore.h"

/* inner: take, also on failure; store: lend, that of `inner`. NULL on lack of memory. */
struct ox_keystore *ox_cert_keys_new(struct ox_keystore *inner, struct ox_control_store *store);
/* Another table from now on. map: take. */
void ox_cert_keys_take(struct ox_keystore *certs, struct ox_client_map *map);
/* Something has changed of this tenant, or of any (NULL). Any thread. */
void ox_cert_keys_changed(struct ox_keystore *certs, const struct ox_tenant_id *tenant);

#endif
