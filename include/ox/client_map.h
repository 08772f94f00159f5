/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/client_map.h - whose a client's certificate is: a table of names, from a file.
 *
 * Owns:    its rows.
 * Threads: any; it does not change once it is made.
 * Bounds:  OX_CLIENT_MAP_MAX rows.
 * Fails:   CONFIG with the line and what would be right there.
 * Flow:    tls.clients_file -> here -> actors/control/cert_keys.c.
 *
 * A line is NAME TENANT ROLE SCOPES, separated by blanks: `uri:spiffe://prod/acme acme viewer ingest,query`. NAME is
 * "dns:", "uri:", "email:" or "cn:" and what stands in the certificate, letter by letter: no patterns, because a pattern that
 * is a little too wide opens another tenant. '#' begins a comment.
 */
#ifndef OX_CLIENT_MAP_H
#define OX_CLIENT_MAP_H

#include "ox/permission.h"
#include "ox/tls.h"

#define OX_CLIENT_MAP_MAX 10000

struct ox_client {
    char *name;
    struct ox_tenant_id tenant;
    enum ox_role role;
    uint32_t scopes;
};

struct ox_client_map {
    size_t n;
    struct ox_client *of; /* by name */
};

/* text: lend. *out is empty after an error. */
OX_MUST_USE ox_err ox_client_map_parse(struct ox_str text, struct ox_client_map *out, struct ox_diag *diag);
void ox_client_map_fini(struct ox_client_map *map);
/* The row of a certificate: that of its names. NULL when none of them has one. names may be NULL. FORBIDDEN when two of
 * its names belong to different rows: nobody knows who it is then. */
OX_MUST_USE ox_err ox_client_map_find(const struct ox_client_map *map, const struct ox_tls_names *names,
                                      const struct ox_client **out, struct ox_diag *diag);

#endif
