/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/storage_wall.c - the second wall between tenants on a server whose row policies are not ours.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Fails:   the buffer's flag.
 * Flow:    storage.c -> here -> the setting additional_table_filters of each question of a tenant.
 *
 * The embedded engine compares log_comment with tenant_id by itself (engine/config_xml.c). A server elsewhere gets the same
 * comparison with each question, for every table that we know: it is added to whatever the statement says, also behind a
 * view, so that a forgotten predicate shows nothing of others.
 */
#include <stdio.h>

#include "actors/storage/storage.h"
#include "ox/schema.h"

static void
append_table(struct ox_buf *out, const char *database, const char *table, const char *filter)
{
    ox_buf_printf(out, "%c'%s.%s': '%s'", out->len == 0 ? '{' : ',', database, table, filter);
}

void
ox__storage_wall(struct ox_buf *out, const char *database, const struct ox_tenant_id *tenant)
{
    char own[OX_TENANT_MAX + 32];
    /* Names are of a-z, 0-9, '_' and '-': nothing in them needs escaping. */
    snprintf(own, sizeof(own), "tenant_id = \\'%s\\'", tenant->name);
    ox_buf_reset(out);
    for (size_t i = 0; i < ox_schema_tables_count; i++)
        append_table(out, database, ox_schema_tables[i].name, ox_schema_tables[i].tenant_owned ? own : "0");
    ox_buf_append_cstr(out, "}");
}
