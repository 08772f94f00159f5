/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/parts.c - questions about ClickHouse's parts.
 *
 * Owns:    nothing.
 * Threads: see include/ox/parts.h.
 * Bounds:  RECENT_S of parts are looked at; PARTS_MAX of them.
 * Fails:   see include/ox/parts.h.
 * Flow:    mend_job.c, outbox_jobs.c -> here -> storage.c.
 */
#include "ox/parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/buf.h"
#include "ox/storage.h"

#define STATEMENT_MS 60000
/* Longer than the parts that went into a merge are kept (eight minutes): what is older cannot come back anyway. */
#define RECENT_S   "600"
#define SET_ASIDE  "broken-on-start_"
#define LOST_FILE  "observex-lost"
#define FIELDS_MAX 8

/* ClickHouse's codes for bytes that are not what they should be. Some of them a question can provoke by itself, so
 * they count only beside the words that name a part. */
static bool
is_damage(int code)
{
    static const int codes[] = {
        32,  /* ATTEMPT_TO_READ_AFTER_EOF */
        33,  /* CANNOT_READ_ALL_DATA */
        40,  /* CHECKSUM_DOESNT_MATCH */
        107, /* FILE_DOESNT_EXIST */
        226, /* NO_FILE_IN_DATA_PART */
        228, /* BAD_SIZE_OF_FILE_IN_DATA_PART */
        246, /* CORRUPTED_DATA */
        271, /* CANNOT_DECOMPRESS */
        432, /* UNKNOWN_CODEC */
    };
    for (size_t i = 0; i < OX_COUNT(codes); i++) {
        if (codes[i] == code)
            return true;
    }
    return false;
}

/* Names are put into statements: nothing but what ClickHouse calls tables, parts and partitions. */
static bool
is_word(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_'))
            return false;
    }
    return *text != '\0';
}

static bool
copy_word(const char *from, const char *to, char *out, size_t size)
{
    size_t n = (size_t)(to - from);
    if (to < from || n >= size)
        return false;
    memcpy(out, from, n);
    out[n] = '\0';
    return is_word(out);
}

static const char *
find(const char *p, const char *end, const char *what)
{
    return p != NULL && p < end ? memmem(p, (size_t)(end - p), what, strlen(what)) : NULL;
}

/* "(while reading from part /DIR/all_3_3_0/ in table observex.otel_logs (UUID) located on ..." */
bool
ox_part_of_text(int code, struct ox_str text, struct ox_part *out)
{
    static const char before[] = "while reading from part ", between[] = "/ in table ";
    const char *end = text.p + text.n;
    memset(out, 0, sizeof(*out));
    if (!is_damage(code) || text.n == 0)
        return false;
    const char *path = find(text.p, end, before), *name_end = find(path, end, between);
    if (name_end == NULL)
        return false;
    const char *name = name_end, *table = name_end + sizeof(between) - 1, *table_end = find(table, end, " (");
    while (name > path && name[-1] != '/')
        name--;
    const char *dot = table_end != NULL ? memchr(table, '.', (size_t)(table_end - table)) : NULL;
    return dot != NULL && copy_word(name, name_end, out->name, sizeof(out->name)) &&
           copy_word(dot + 1, table_end, out->table, sizeof(out->table));
}

struct ox_part *
ox_parts_find(struct ox_parts *parts, const struct ox_part *part)
{
    for (size_t i = 0; i < parts->n; i++) {
        if (strcmp(parts->items[i].name, part->name) == 0 && strcmp(parts->items[i].table, part->table) == 0)
            return &parts->items[i];
    }
    return NULL;
}

void
ox_parts_add(struct ox_parts *parts, const struct ox_part *part)
{
    if (parts->n < OX_PARTS_MAX)
        parts->items[parts->n++] = *part;
}

/* ---- asking ---- */

OX_PRINTF(4, 5)
static ox_err
ask(struct ox_storage *storage, struct ox_buf *answer, struct ox_diag *diag, const char *fmt, ...)
{
    char sql[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(sql, sizeof(sql), fmt, ap);
    va_end(ap);
    OX_ASSERT(n > 0 && (size_t)n < sizeof(sql));
    struct ox_storage_query q = {
        .sql = {sql, (size_t)n}, .format = "TSVRaw", .max_execution_ms = STATEMENT_MS};
    ox_buf_reset(answer);
    ox_err err = ox_storage_query(storage, &q, answer, NULL, diag);
    if (err == OX_OK)
        ox_buf_append(answer, "", 1); /* lines are taken apart in place */
    return err == OX_OK && answer->failed ? OX_E_NOMEM : err;
}

static ox_err
ask_number(struct ox_storage *storage, uint64_t *out, struct ox_diag *diag, const char *sql)
{
    struct ox_buf answer = {0};
    ox_err err = ask(storage, &answer, diag, "%s", sql);
    if (err == OX_OK)
        *out = strtoull((const char *)answer.data, NULL, 10);
    ox_buf_fini(&answer);
    return err;
}

/* The next line's fields; false at the end, or of a line that has another number of them. */
static bool
next_line(char **at, char *fields[], int n)
{
    char *line = strsep(at, "\n");
    for (int i = 0; i < n; i++) {
        fields[i] = line != NULL ? strsep(&line, "\t") : NULL;
        if (fields[i] == NULL)
            return false;
    }
    return true;
}

/* table, name, partition, first and last block, level, rows */
static bool
take_part(char *fields[], struct ox_part *out)
{
    memset(out, 0, sizeof(*out));
    if (strlen(fields[0]) >= sizeof(out->table) || strlen(fields[1]) >= sizeof(out->name) ||
        strlen(fields[2]) >= sizeof(out->partition) || !is_word(fields[0]) || !is_word(fields[1]) ||
        !is_word(fields[2]))
        return false;
    strcpy(out->table, fields[0]);
    strcpy(out->name, fields[1]);
    strcpy(out->partition, fields[2]);
    out->min_block = strtoll(fields[3], NULL, 10);
    out->max_block = strtoll(fields[4], NULL, 10);
    out->level = (uint32_t)strtoul(fields[5], NULL, 10);
    out->rows = strtoull(fields[6], NULL, 10);
    return true;
}

static void
take_parts(struct ox_buf *answer, struct ox_parts *out)
{
    char *at = (char *)answer->data, *fields[FIELDS_MAX];
    struct ox_part part;
    while (next_line(&at, fields, 7)) {
        if (take_part(fields, &part) && ox_parts_find(out, &part) == NULL)
            ox_parts_add(out, &part);
    }
}

ox_err
ox_parts_errors(struct ox_storage *storage, uint64_t *errors, struct ox_diag *diag)
{
    /* writes, opens and syncs that the disk refuses; then what is found to be broken */
    return ask_number(
        storage, errors, diag,
        "SELECT sum(value) FROM system.errors WHERE code IN (75, 76, 204, 40, 226, 228, 246, 271, 432)");
}

#define PART_COLUMNS "table, name, partition_id, min_block_number, max_block_number, level, rows"

/* Whether the part is what its checksums say; OK also when it is gone. */
static ox_err
check(struct ox_storage *storage, const char *table, const char *name, bool *broken, struct ox_diag *diag)
{
    struct ox_buf answer = {0};
    char *at, *fields[2];
    *broken = false;
    ox_err err = ask(storage, &answer, diag,
                     "CHECK TABLE %s PART '%s' SETTINGS check_query_single_value_result = 0", table, name);
    if (err == OX_OK) {
        at = (char *)answer.data;
        *broken = next_line(&at, fields, 2) && strcmp(fields[1], "0") == 0;
    } else if (!ox_err_info(err)->retryable) { /* merged or dropped meanwhile */
        err = OX_OK;
    }
    ox_buf_fini(&answer);
    return err;
}

static ox_err
list_recent(struct ox_storage *storage, struct ox_parts *out, struct ox_diag *diag)
{
    struct ox_buf answer = {0};
    ox_err err =
        ask(storage, &answer, diag,
            "SELECT " PART_COLUMNS " FROM system.parts WHERE active AND database = currentDatabase() AND "
            "modification_time > now() - " RECENT_S " ORDER BY modification_time DESC LIMIT %d",
            OX_PARTS_MAX);
    if (err == OX_OK)
        take_parts(&answer, out);
    ox_buf_fini(&answer);
    return err;
}

static ox_err
list_named(struct ox_storage *storage, const struct ox_parts *named, struct ox_parts *out,
           struct ox_diag *diag)
{
    ox_err err = OX_OK;
    for (size_t i = 0; i < named->n && err == OX_OK; i++) {
        struct ox_buf answer = {0};
        err = ask(storage, &answer, diag,
                  "SELECT " PART_COLUMNS " FROM system.parts WHERE active AND database = currentDatabase() "
                  "AND table = '%s' AND name = '%s'",
                  named->items[i].table, named->items[i].name);
        if (err == OX_OK)
            take_parts(&answer, out);
        ox_buf_fini(&answer);
    }
    return err;
}

ox_err
ox_parts_broken(struct ox_storage *storage, const struct ox_parts *named, struct ox_parts *broken,
                struct ox_diag *diag)
{
    struct ox_parts *all = calloc(1, sizeof(*all));
    if (all == NULL)
        return OX_E_NOMEM;
    ox_err err = list_named(storage, named, all, diag);
    if (err == OX_OK)
        err = list_recent(storage, all, diag);
    broken->n = 0;
    for (size_t i = 0; i < all->n && err == OX_OK; i++) {
        bool bad;
        err = check(storage, all->items[i].table, all->items[i].name, &bad, diag);
        if (err == OX_OK && bad)
            ox_parts_add(broken, &all->items[i]);
    }
    free(all);
    return err;
}

ox_err
ox_parts_block_sound(struct ox_storage *storage, const char *table, uint64_t block_id, struct ox_diag *diag)
{
    struct ox_buf answer = {0};
    uint64_t errors = 0;
    bool bad = false;
    ox_err err = ox_parts_errors(storage, &errors, diag);
    if (err == OX_OK && errors > 0)
        err = ask(storage, &answer, diag, "SELECT DISTINCT _part FROM %s WHERE block_id = %" PRIu64, table,
                  block_id);
    char *at = (char *)answer.data, *name[1];
    while (err == OX_OK && !bad && next_line(&at, name, 1)) {
        if (is_word(name[0]))
            err = check(storage, table, name[0], &bad, diag);
    }
    if (err == OX_OK && bad)
        err = ox_diag_set(diag, OX_E_STORAGE_DAMAGED, table, -1,
                          "the part that holds rows of block %" PRIu64 " is not what its checksums say",
                          block_id);
    ox_buf_fini(&answer);
    return err;
}

/* ---- what a start has set aside ---- */

/* The part's own count of its rows; damage may have spared it. */
static uint64_t
count_file(const char *dir)
{
    char path[1024], text[32] = "", *end = text;
    snprintf(path, sizeof(path), "%s/count.txt", dir);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return UINT64_MAX;
    uint64_t rows = fgets(text, sizeof(text), f) != NULL ? strtoull(text, &end, 10) : 0;
    fclose(f);
    return end != text && *end == '\0' ? rows : UINT64_MAX;
}

static bool
is_marked(const char *dir)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/" LOST_FILE, dir);
    return access(path, F_OK) == 0;
}

ox_err
ox_parts_mark_lost(struct ox_storage *storage, const struct ox_part *part, struct ox_diag *diag)
{
    struct ox_buf answer = {0};
    char path[1024], *at, *dir[1];
    ox_err err = ask(storage, &answer, diag,
                     "SELECT path FROM system.detached_parts WHERE database = currentDatabase() AND table = "
                     "'%s' AND name = '" SET_ASIDE "%s'",
                     part->table, part->name);
    at = (char *)answer.data;
    if (err == OX_OK && next_line(&at, dir, 1)) {
        snprintf(path, sizeof(path), "%s/" LOST_FILE, dir[0]);
        FILE *f = fopen(path, "we");
        if (f != NULL)
            fclose(f);
    }
    ox_buf_fini(&answer);
    return err;
}

ox_err
ox_parts_set_aside(struct ox_storage *storage, struct ox_parts *out, struct ox_diag *diag)
{
    struct ox_buf answer = {0};
    ox_err err =
        ask(storage, &answer, diag,
            "SELECT table, substring(name, length('" SET_ASIDE "') + 1), partition_id, min_block_number, "
            "max_block_number, level, 0, path FROM system.detached_parts WHERE database = currentDatabase() "
            "AND startsWith(name, '" SET_ASIDE "') AND level IS NOT NULL ORDER BY table, name LIMIT %d",
            OX_PARTS_MAX);
    char *at = (char *)answer.data, *fields[FIELDS_MAX];
    struct ox_part part;
    out->n = 0;
    while (err == OX_OK && next_line(&at, fields, 8)) {
        if (!take_part(fields, &part))
            continue;
        part.rows = count_file(fields[7]);
        part.lost = is_marked(fields[7]);
        ox_parts_add(out, &part);
    }
    ox_buf_fini(&answer);
    return err;
}

/* Those that others of them were merged into, since the start, are not counted again. */
ox_err
ox_parts_between(struct ox_storage *storage, const struct ox_part *part, uint64_t *rows, struct ox_diag *diag)
{
    struct ox_buf answer = {0};
    ox_err err =
        ask(storage, &answer, diag,
            "WITH c AS (SELECT name, rows, level, min_block_number AS a, max_block_number AS z "
            "FROM system.parts WHERE database = currentDatabase() AND table = '%s' AND partition_id = '%s' "
            "AND a >= %" PRId64 " AND z <= %" PRId64 ") SELECT sum(rows) FROM c WHERE name NOT IN (SELECT "
            "l.name FROM c AS l CROSS JOIN c AS r WHERE r.a <= l.a AND r.z >= l.z AND r.level > l.level)",
            part->table, part->partition, part->min_block, part->max_block);
    if (err == OX_OK)
        *rows = strtoull((const char *)answer.data, NULL, 10);
    ox_buf_fini(&answer);
    return err;
}

ox_err
ox_parts_remove(struct ox_storage *storage, const struct ox_part *part, struct ox_diag *diag)
{
    struct ox_buf answer = {0};
    ox_err err = ask(storage, &answer, diag,
                     "ALTER TABLE %s DROP DETACHED PART '" SET_ASIDE "%s' SETTINGS allow_drop_detached = 1",
                     part->table, part->name);
    ox_buf_fini(&answer);
    return err;
}
