/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/sqlite_asker.c - see sqlite_asker.h.
 *
 * Owns:    nothing.
 * Threads: see there.
 * Fails:   see there.
 */
#include "actors/control/sqlite_asker.h"

#include "actors/control/control_record.h"

/* ?1 tenant, ?2 key or user, ?3 time or role */
static const char *
question(const struct ox_control_asker *asker)
{
    if (asker->key_id[0] != '\0')
        return "SELECT 1 FROM api_keys k JOIN tenants t ON t.tenant_id = k.tenant_id"
               " WHERE k.key_id = ?2 AND k.tenant_id = ?1 AND k.revoked_at = 0"
               " AND (k.expires_at = 0 OR k.expires_at > ?3) AND t.state = 'active'";
    if (asker->user[0] != '\0')
        return "SELECT 1 FROM users u JOIN tenants t ON t.tenant_id = u.tenant_id"
               " WHERE u.name = ?2 AND u.tenant_id = ?1 AND u.state = 'active' AND u.role = ?3"
               " AND t.state = 'active'";
    return "SELECT 1 FROM tenants WHERE tenant_id = ?1 AND state = 'active'";
}

ox_err
ox__sqlite_check_asker(sqlite3 *db, const struct ox_control_asker *asker, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    if (asker == NULL)
        return OX_OK;
    if (sqlite3_prepare_v2(db, question(asker), -1, &q, NULL) != SQLITE_OK)
        return ox_diag_set(diag, OX_E_UNAVAILABLE, "control.db", -1,
                           "the control plane's file does not answer: %s", sqlite3_errmsg(db));
    /* Binding fails for lack of memory, or because the statement has no such place. */
    (void)sqlite3_bind_text(q, 1, asker->tenant.name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, asker->key_id[0] != '\0' ? asker->key_id : asker->user, -1, SQLITE_STATIC);
    if (asker->key_id[0] != '\0')
        (void)sqlite3_bind_int64(q, 3, asker->now_s);
    else
        (void)sqlite3_bind_text(q, 3, ox_role_name(asker->role), -1, SQLITE_STATIC);
    int code = sqlite3_step(q);
    ox_err err = OX_OK;
    if (code == SQLITE_DONE)
        err = ox__control_no_asker(diag);
    else if (code != SQLITE_ROW)
        err = ox_diag_set(diag, OX_E_UNAVAILABLE, "control.db", -1,
                          "the control plane's file does not answer: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    return err;
}
