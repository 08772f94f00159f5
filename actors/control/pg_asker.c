/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/pg_asker.c - see pg_asker.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Fails:   see there.
 */
#include "actors/control/pg_asker.h"

#include <stdio.h>

#include "actors/control/control_record.h"

enum statement { SAY = PG_ASKER_STATEMENTS, HOLD_KEY, HOLD_USER, HOLD_TENANT, STATEMENT__END };
_Static_assert(STATEMENT__END <= PG_STATEMENTS_MAX, "a bit for each");

static const char say[] =
    "SELECT set_config('app.asker_tenant', $1, true), set_config('app.asker_key', $2, true),"
    " set_config('app.asker_user', $3, true)";
static const char hold_key[] =
    "SELECT 1 FROM observex.api_keys k JOIN observex.tenants t ON t.tenant_id = k.tenant_id"
    " WHERE k.tenant_id = $1 AND k.key_id = $2 AND k.revoked_at = 0"
    " AND (k.expires_at = 0 OR k.expires_at > $3::bigint) AND t.state = 'active'"
    " FOR NO KEY UPDATE OF k FOR SHARE OF t";
static const char hold_user[] =
    "SELECT 1 FROM observex.users u JOIN observex.tenants t ON t.tenant_id = u.tenant_id"
    " WHERE u.tenant_id = $1 AND u.name = $2 AND u.state = 'active' AND u.role = $3 AND t.state = 'active'"
    " FOR NO KEY UPDATE OF u FOR SHARE OF t";
static const char hold_tenant[] =
    "SELECT 1 FROM observex.tenants WHERE tenant_id = $1 AND state = 'active' FOR SHARE";

static ox_err
hold(struct pg_conn *c, const struct ox_control_asker *asker, PGresult **r, struct ox_diag *diag)
{
    char now[24];
    snprintf(now, sizeof(now), "%lld", (long long)asker->now_s);
    if (asker->key_id[0] != '\0') {
        const char *params[] = {asker->tenant.name, asker->key_id, now};
        return pg_conn_run(c, HOLD_KEY, hold_key, 3, params, r, diag);
    }
    const char *params[] = {asker->tenant.name, asker->user, ox_role_name(asker->role)};
    return asker->user[0] != '\0' ? pg_conn_run(c, HOLD_USER, hold_user, 3, params, r, diag)
                                  : pg_conn_run(c, HOLD_TENANT, hold_tenant, 1, params, r, diag);
}

ox_err
pg_asker_hold(struct pg_conn *c, const struct ox_control_asker *asker, struct ox_diag *diag)
{
    PGresult *r = NULL;
    if (asker == NULL)
        return OX_OK;
    const char *params[] = {asker->tenant.name, asker->key_id, asker->user};
    ox_err err = pg_conn_run(c, SAY, say, 3, params, NULL, diag);
    if (err == OX_OK)
        err = hold(c, asker, &r, diag);
    if (err == OX_OK && PQntuples(r) != 1)
        err = ox__control_no_asker(diag);
    PQclear(r);
    return err;
}
