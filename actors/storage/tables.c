/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/tables.c - which tables of the schema are not there.
 *
 * Owns:    nothing.
 * Threads: any that may block.
 * Fails:   those of ox_storage_query.
 * Flow:    prune_job.c, with each look -> here -> storage.c; /ready and status say what was found.
 *
 * A migration that was applied is not applied again, so a table that somebody dropped does not come back by itself.
 */
#include "ox/schema.h"
#include "ox/storage.h"

#define TIMEOUT_MS 10000

/* One name per line. */
static bool
has_line(struct ox_str text, const char *name)
{
    struct ox_str wanted = ox_str_of(name);
    while (text.n > 0) {
        const char *stop = memchr(text.p, '\n', text.n);
        size_t n = stop != NULL ? (size_t)(stop - text.p) : text.n;
        if (ox_str_eq((struct ox_str){text.p, n}, wanted))
            return true;
        n += stop != NULL;
        text.p += n;
        text.n -= n;
    }
    return false;
}

ox_err
ox_storage_missing_tables(struct ox_storage *st, uint32_t *missing, struct ox_diag *diag)
{
    struct ox_buf names = {0};
    struct ox_storage_query q = {
        .sql = OX_STR("SELECT name FROM system.tables WHERE database = currentDatabase()"),
        .max_execution_ms = TIMEOUT_MS};
    OX_ASSERT(ox_schema_tables_count <= 32);
    ox_err err = ox_storage_query(st, &q, &names, NULL, diag);
    *missing = 0;
    for (size_t i = 0; err == OX_OK && i < ox_schema_tables_count; i++) {
        if (!has_line(ox_buf_str(&names), ox_schema_tables[i].name))
            *missing |= (uint32_t)1 << i;
    }
    ox_buf_fini(&names);
    return err;
}
