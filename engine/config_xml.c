/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/config_xml.c - the texts of engine.xml and users.xml.
 *
 * Owns:    nothing; pure functions.
 * Threads: any.
 * Fails:   OX_E_INVALID, OX_E_NOMEM.
 * Flow:    engine_main.c -> here -> the two files that libchdb reads at its first connect.
 *
 * Row policies are the second wall between tenants. ClickHouse shows the rows of a table without a policy to
 * everybody, so each table that holds a tenant_id must be named, materialised views and their targets included
 * (a SELECT from the view itself passes by the policy of its target: tried). The
 * setting log_comment carries who asks: 't:<tenant>' or, for writers and migrations, 's:<secret>'. The two
 * prefixes keep a tenant from being called like the secret.
 */
#include "ox/engine.h"

/* Written by the migrations runner, actors/storage/migrate.c. */
#define MIGRATIONS_TABLE "schema_migrations"

#define DEFAULT_MEMORY_BYTES     (1536ull << 20)
#define DEFAULT_MARK_CACHE_BYTES (64ull << 20)
#define DEFAULT_BACKGROUND       2
/* Below this a merge or a wide insert fails with MEMORY_LIMIT_EXCEEDED under normal load (measured: 350 MB).
 */
#define MEMORY_BYTES_MIN (400ull << 20)

static bool
word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Word characters only: then neither XML nor SQL needs escaping. */
static bool
table_name_ok(const char *name)
{
    if (name[0] == '\0' || (name[0] >= '0' && name[0] <= '9'))
        return false;
    while (word_char(*name))
        name++;
    return *name == '\0';
}

static bool
secret_ok(const char *secret)
{
    if (secret == NULL)
        return false;
    size_t n = strlen(secret);
    for (size_t i = 0; i < n; i++) {
        if (!word_char(secret[i]) && secret[i] != '-')
            return false;
    }
    return n >= 16 && n <= 128;
}

static void
append_policy(struct ox_buf *out, const char *table, bool tenant_owned, const char *secret)
{
    ox_buf_printf(out, "<%s><filter>getSetting('log_comment') = 's:%s'", table, secret);
    if (tenant_owned)
        ox_buf_append_cstr(out, " OR concat('t:', tenant_id) = getSetting('log_comment')");
    ox_buf_printf(out, "</filter></%s>\n", table);
}

static ox_err
append_policies(const struct ox_schema_table *tables, size_t n, const char *secret, struct ox_buf *out,
                struct ox_diag *diag)
{
    for (size_t i = 0; i < n; i++) {
        if (!table_name_ok(tables[i].name))
            return ox_diag_set(diag, OX_E_INVALID, "tables", (int64_t)i,
                               "the table name \"%s\" does not consist of letters, digits and underscores",
                               tables[i].name);
        if (strcmp(tables[i].name, MIGRATIONS_TABLE) != 0)
            append_policy(out, tables[i].name, tables[i].tenant_owned, secret);
    }
    append_policy(out, MIGRATIONS_TABLE, false, secret);
    return OX_OK;
}

ox_err
ox_engine_users_xml(const struct ox_schema_table *tables, size_t n, const char *secret, struct ox_buf *out,
                    struct ox_diag *diag)
{
    if (!secret_ok(secret))
        return ox_diag_set(diag, OX_E_INVALID, "secret", -1,
                           "the secret must be 16 to 128 characters of 0-9, A-Z, a-z, '_' and '-'");
    ox_buf_append_cstr(out, "<clickhouse>\n<profiles><default></default></profiles>\n"
                            "<quotas><default></default></quotas>\n<users><default>\n<password></password>\n"
                            "<networks><ip>::/0</ip></networks>\n<profile>default</profile>\n"
                            "<quota>default</quota>\n<databases><" OX_ENGINE_DATABASE ">\n");
    ox_err err = append_policies(tables, n, secret, out, diag);
    if (err != OX_OK)
        return err;
    ox_buf_append_cstr(out, "</" OX_ENGINE_DATABASE "></databases>\n</default></users>\n</clickhouse>\n");
    return out->failed ? OX_E_NOMEM : OX_OK;
}

/* Paths come from our own start-up, but a directory may be called anything. */
static void
append_escaped(struct ox_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            ox_buf_append_cstr(out, "&amp;");
            break;
        case '<':
            ox_buf_append_cstr(out, "&lt;");
            break;
        case '>':
            ox_buf_append_cstr(out, "&gt;");
            break;
        default:
            ox_buf_append(out, text, 1);
        }
    }
}

static uint64_t
or_default(uint64_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

static void
append_number(struct ox_buf *out, const char *tag, uint64_t value)
{
    ox_buf_printf(out, "<%s>%llu</%s>\n", tag, (unsigned long long)value, tag);
}

ox_err
ox_engine_config_xml(const struct ox_engine_options *options, const char *users_path, struct ox_buf *out)
{
    uint64_t memory = or_default(options->memory_bytes_max, DEFAULT_MEMORY_BYTES);
    uint64_t marks = or_default(options->mark_cache_bytes, DEFAULT_MARK_CACHE_BYTES);
    ox_buf_append_cstr(out, "<clickhouse>\n<users_config>");
    append_escaped(out, users_path);
    ox_buf_append_cstr(out, "</users_config>\n");
    append_number(out, "max_server_memory_usage", memory < MEMORY_BYTES_MIN ? MEMORY_BYTES_MIN : memory);
    append_number(out, "mark_cache_size", marks);
    append_number(out, "primary_index_cache_size", marks);
    append_number(out, "index_mark_cache_size", marks / 4);
    append_number(out, "uncompressed_cache_size", 0);
    append_number(out, "background_pool_size", or_default(options->background_threads, DEFAULT_BACKGROUND));
    append_number(out, "background_merges_mutations_concurrency_ratio", 2);
    append_number(out, "max_thread_pool_size", 1000);
    append_number(out, "max_concurrent_queries", 0); /* the limit is ours, see slots.c */
    /* An insert that was answered is on the platter, whatever the table's own settings say. */
    ox_buf_append_cstr(out, "<merge_tree>\n");
    append_number(out, "fsync_after_insert", 1);
    append_number(out, "fsync_part_directory", 1);
    /* So is what a merge made of it: after a restart the parts that were merged may be removed at once. */
    append_number(out, "min_rows_to_fsync_after_merge", 1);
    append_number(out, "min_compressed_bytes_to_fsync_after_merge", 1);
    /* The defaults suit a pool of 16; with a small pool they would stop mutations and large merges. */
    append_number(out, "number_of_free_entries_in_pool_to_execute_mutation", 1);
    append_number(out, "number_of_free_entries_in_pool_to_lower_max_size_of_merge", 1);
    append_number(out, "number_of_free_entries_in_pool_to_execute_optimize_entire_partition", 1);
    ox_buf_append_cstr(out, "</merge_tree>\n</clickhouse>\n");
    return out->failed ? OX_E_NOMEM : OX_OK;
}
