/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/rollup.c - compares a view's target with the rows that it is made of, and adds what is missing between.
 *
 * Owns:    the texts of one check.
 * Threads: see rollup.h.
 * Bounds:  see rollup.h.
 * Fails:   see rollup.h.
 * Flow:    outbox_verify.c -> here -> storage.
 *
 * A block that was sent before a crash and after it may be in a view twice, or not at all (docs/durability.md). Here the
 * view's own statement, read from storage, is run over the rows of the raw table, for those parts of the target that the
 * blocks' rows fall into, and held against the target. Where a key disagrees, one row is added for it: its sums are the
 * difference, its minima, maxima and states what the rows say. Sums of whole numbers are modulo 2^64, so the difference may
 * be negative: a row that was counted twice is taken back by it.
 *
 * Not by deleting and filling again: a mutation waits for the threads that merge (7 to 10 s on a busy machine, an insert
 * 0.4 s), questions would see a hole meanwhile, and a crash would leave it. An insert is there as a whole or not at all,
 * and a repeat of the check after a crash finds whatever is left to do.
 */
#include "actors/writer/rollup.h"

#include <inttypes.h>
#include <stdio.h>

#include "ox/storage.h"

#define STATEMENT_MS 60000
/* Sums of floating point numbers depend on their order. */
#define FLOAT_SLACK "1e-9"

/* One column of the target. */
struct column {
    char name[64];
    char type[192];
};

#define COLUMNS_MAX 24

/* A check under way. */
struct check {
    struct ox_storage *storage;
    const struct ox_schema_rollup *rollup;
    const uint64_t *ids;
    size_t n_ids;
    struct column columns[COLUMNS_MAX];
    size_t n_columns;
    struct ox_buf select; /* the view's statement */
    struct ox_buf from;   /* "FROM (raw) AS w LEFT JOIN (target) AS h ...": the keys that disagree */
    struct ox_buf may;    /* condition on w and h: this key may be mended */
    struct ox_diag *diag;
};

static ox_err
ask(struct ox_storage *storage, const struct ox_buf *sql, struct ox_buf *answer, struct ox_diag *diag)
{
    /* The rows that are added may be the same as an earlier check has added. */
    static const struct ox_storage_setting settings[] = {{"insert_deduplicate", "0"}};
    if (sql->failed)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for a statement about a rollup");
    struct ox_storage_query q = {.sql = ox_buf_str(sql),
                                 .format = "TSVRaw",
                                 .settings = settings,
                                 .settings_n = OX_COUNT(settings),
                                 .max_execution_ms = STATEMENT_MS};
    return ox_storage_query(storage, &q, answer, NULL, diag);
}

/* ---- the view's statement ---- */

static const struct ox_schema_rollup *
rollup_of(const char *target)
{
    for (size_t i = 0; i < ox_schema_rollups_count; i++) {
        if (strcmp(ox_schema_rollups[i].target, target) == 0)
            return &ox_schema_rollups[i];
    }
    OX_ASSERT(false);
    return NULL;
}

static ox_err
read_select(struct ox_storage *storage, const struct ox_schema_rollup *rollup, struct ox_buf *out,
            struct ox_diag *diag)
{
    struct ox_buf sql = {0};
    ox_buf_printf(&sql,
                  "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = '%s'",
                  rollup->view);
    ox_err err = ask(storage, &sql, out, diag);
    ox_buf_fini(&sql);
    while (out->len > 0 && out->data[out->len - 1] == '\n')
        out->len--;
    if (err == OX_OK && out->len == 0)
        return ox_diag_set(diag, OX_E_NOT_FOUND, rollup->view, -1, "storage has no such view");
    return err;
}

static const char from_word[] = " FROM ";

ox_err
ox__rollup_narrow(struct ox_str select, const char *source, struct ox_str filter, struct ox_buf *out,
                  struct ox_diag *diag)
{
    const char *at = memmem(select.p, select.n, from_word, sizeof(from_word) - 1), *end = select.p + select.n;
    const char *table = at != NULL ? at + sizeof(from_word) - 1 : end, *stop = table;
    while (stop < end && *stop != ' ')
        stop++;
    size_t n = strlen(source), len = (size_t)(stop - table);
    bool named =
        len >= n && memcmp(stop - n, source, n) == 0 && (len == n || (len > n && stop[-(long)n - 1] == '.'));
    if (!named || memmem(stop, (size_t)(end - stop), from_word, sizeof(from_word) - 1) != NULL)
        return ox_diag_set(diag, OX_E_STATE, source, at != NULL ? at - select.p : -1,
                           "the view's statement does not read that one table and no other");
    ox_buf_append(out, select.p, (size_t)(table - select.p));
    ox_buf_append_cstr(out, "(SELECT * FROM ");
    ox_buf_append(out, table, len);
    ox_buf_append_cstr(out, " WHERE ");
    ox_buf_append_str(out, filter);
    ox_buf_printf(out, ") AS %s", source);
    ox_buf_append(out, stop, (size_t)(end - stop));
    return OX_OK;
}

static void
add_block_filter(const struct check *c, struct ox_buf *out)
{
    ox_buf_append_cstr(out, "block_id IN (");
    for (size_t i = 0; i < c->n_ids; i++)
        ox_buf_printf(out, "%s%" PRIu64, i > 0 ? "," : "", c->ids[i]);
    ox_buf_append_cstr(out, ")");
}

/* "(tenant_id, time) IN (...)": the parts of the target that the blocks' rows fall into, through the view's own statement;
 * for a view of a view through both. */
static ox_err
add_window(const struct check *c, const struct ox_schema_rollup *rollup, struct ox_str select,
           struct ox_buf *out)
{
    struct ox_buf filter = {0}, narrow = {0}, parent_select = {0};
    ox_err err = OX_OK;
    if (rollup->parent == NULL) {
        add_block_filter(c, &filter);
    } else {
        const struct ox_schema_rollup *parent = rollup_of(rollup->parent);
        err = read_select(c->storage, parent, &parent_select, c->diag);
        if (err == OX_OK)
            err = add_window(c, parent, ox_buf_str(&parent_select), &filter);
    }
    if (err == OX_OK)
        err = ox__rollup_narrow(select, rollup->source, ox_buf_str(&filter), &narrow, c->diag);
    if (err == OX_OK) {
        ox_buf_printf(out, "(%s) IN (SELECT DISTINCT %s FROM (", rollup->group, rollup->group);
        ox_buf_append_str(out, ox_buf_str(&narrow));
        ox_buf_append_cstr(out, "))");
    }
    out->failed |= filter.failed || narrow.failed || parent_select.failed;
    ox_buf_fini(&filter);
    ox_buf_fini(&narrow);
    ox_buf_fini(&parent_select);
    return err;
}

/* ---- the target's columns ---- */

enum kind { KEY, SUM_WHOLE, SUM_FLOAT, SUM_MAP, EXTREME, OTHER };

static bool
begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static enum kind
kind_of(const struct column *column)
{
    const char *type = column->type;
    if (strstr(type, "AggregateFunction") == NULL)
        return KEY;
    if (begins(type, "SimpleAggregateFunction(sumMap, "))
        return SUM_MAP;
    if (begins(type, "SimpleAggregateFunction(sum, UInt64"))
        return SUM_WHOLE;
    if (begins(type, "SimpleAggregateFunction(sum, Float64"))
        return SUM_FLOAT;
    bool extreme =
        begins(type, "SimpleAggregateFunction(min, ") || begins(type, "SimpleAggregateFunction(max, ");
    /* NaN is not equal to itself. */
    return extreme && strstr(type, "Float") == NULL ? EXTREME : OTHER;
}

static ox_err
take_columns(struct check *c, const struct ox_buf *answer)
{
    const char *p = (const char *)answer->data, *end = p + answer->len;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        char line[sizeof(struct column)];
        int n = snprintf(line, sizeof(line), "%.*s", (int)((stop != NULL ? stop : end) - p), p);
        char *tab = strchr(line, '\t');
        if (c->n_columns == COLUMNS_MAX || tab == NULL || n >= (int)sizeof(line) ||
            tab - line >= (long)sizeof(c->columns[0].name) || strlen(tab + 1) >= sizeof(c->columns[0].type))
            return ox_diag_set(c->diag, OX_E_STATE, c->rollup->target, -1,
                               "a column that is too long to be one of ours, or more than %d", COLUMNS_MAX);
        *tab = '\0';
        snprintf(c->columns[c->n_columns].name, sizeof(c->columns[0].name), "%.63s", line);
        snprintf(c->columns[c->n_columns++].type, sizeof(c->columns[0].type), "%.191s", tab + 1);
        p = stop != NULL ? stop + 1 : end;
    }
    return OX_OK;
}

static ox_err
read_columns(struct check *c)
{
    struct ox_buf sql = {0}, answer = {0};
    ox_buf_printf(&sql,
                  "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '%s' "
                  "AND default_kind != 'ALIAS' ORDER BY position",
                  c->rollup->target);
    ox_err err = ask(c->storage, &sql, &answer, c->diag);
    if (err == OX_OK)
        err = take_columns(c, &answer);
    ox_buf_fini(&sql);
    ox_buf_fini(&answer);
    return err;
}

/* ---- the statements ---- */

static void
add_keys(const struct check *c, struct ox_buf *out)
{
    const char *comma = "";
    for (size_t i = 0; i < c->n_columns; i++) {
        if (kind_of(&c->columns[i]) != KEY)
            continue;
        ox_buf_printf(out, "%s%s", comma, c->columns[i].name);
        comma = ", ";
    }
}

/* The target's columns, each key once: "h_NAME". */
static void
add_have(const struct check *c, struct ox_buf *out)
{
    add_keys(c, out);
    for (size_t i = 0; i < c->n_columns; i++) {
        const struct column *k = &c->columns[i];
        enum kind kind = kind_of(k);
        if (kind == KEY || kind == OTHER)
            continue;
        const char *function = kind == SUM_MAP                                    ? "sumMap"
                               : kind != EXTREME                                  ? "sum"
                               : begins(k->type, "SimpleAggregateFunction(min, ") ? "min"
                                                                                  : "max";
        ox_buf_printf(out, ", %s(%s.%s) AS h_%s", function, c->rollup->target, k->name, k->name);
    }
}

/* "w and h disagree". */
static void
add_differs(const struct check *c, struct ox_buf *out)
{
    const char * or = "";
    for (size_t i = 0; i < c->n_columns; i++) {
        const char *name = c->columns[i].name;
        enum kind kind = kind_of(&c->columns[i]);
        if (kind == SUM_WHOLE || kind == EXTREME)
            ox_buf_printf(out, "%sw.%s != h_%s", or, name, name);
        else if (kind == SUM_FLOAT)
            ox_buf_printf(out, "%sabs(w.%s - h_%s) > " FLOAT_SLACK " * (abs(w.%s) + abs(h_%s))", or, name,
                          name, name, name);
        else
            continue;
        or = " OR ";
    }
}

/* Rows of the raw table leave by age and for room, and the rollup keeps what they were. So where it says more than is
 * there, that is wrong only while none can have left; where it says less it is wrong at any age. */
static void
add_may(const struct check *c, uint64_t young_s, struct ox_buf *out)
{
    ox_buf_printf(out, "(%s >= now() - %" PRIu64, c->rollup->since, young_s);
    const char *word = " OR (";
    for (size_t i = 0; i < c->n_columns; i++) {
        if (kind_of(&c->columns[i]) != SUM_WHOLE)
            continue;
        ox_buf_printf(out, "%sw.%s >= h_%s", word, c->columns[i].name, c->columns[i].name);
        word = " AND ";
    }
    ox_buf_append_cstr(out, "))");
}

static ox_err
make_from(struct check *c, uint64_t young_s)
{
    struct ox_buf window = {0};
    ox_err err = add_window(c, c->rollup, ox_buf_str(&c->select), &window);
    if (err == OX_OK) {
        ox_buf_append_cstr(&c->from, "FROM (SELECT * FROM (");
        ox_buf_append_str(&c->from, ox_buf_str(&c->select));
        ox_buf_append_cstr(&c->from, ") WHERE ");
        ox_buf_append_str(&c->from, ox_buf_str(&window));
        ox_buf_append_cstr(&c->from, ") AS w LEFT JOIN (SELECT ");
        add_have(c, &c->from);
        ox_buf_printf(&c->from, " FROM %s WHERE ", c->rollup->target);
        ox_buf_append_str(&c->from, ox_buf_str(&window));
        ox_buf_append_cstr(&c->from, " GROUP BY ");
        add_keys(c, &c->from);
        ox_buf_append_cstr(&c->from, ") AS h USING (");
        add_keys(c, &c->from);
        ox_buf_append_cstr(&c->from, ") WHERE (");
        add_differs(c, &c->from);
        ox_buf_append_cstr(&c->from, ")");
        add_may(c, young_s, &c->may);
    }
    c->from.failed |= window.failed;
    ox_buf_fini(&window);
    return err;
}

/* How many keys disagree: those that may be mended, and the others. */
static ox_err
count_wrong(const struct check *c, uint64_t *may, uint64_t *may_not)
{
    struct ox_buf sql = {0}, answer = {0};
    ox_buf_append_cstr(&sql, "SELECT countIf(");
    ox_buf_append_str(&sql, ox_buf_str(&c->may));
    ox_buf_append_cstr(&sql, "), count() ");
    ox_buf_append_str(&sql, ox_buf_str(&c->from));
    sql.failed |= c->may.failed || c->from.failed;
    uint64_t all = 0;
    char line[64];
    ox_err err = ask(c->storage, &sql, &answer, c->diag);
    snprintf(line, sizeof(line), "%.*s", (int)answer.len, (const char *)answer.data);
    if (err == OX_OK && sscanf(line, "%" SCNu64 "\t%" SCNu64, may, &all) != 2)
        err = ox_diag_set(c->diag, OX_E_DECODE, c->rollup->target, -1, "storage gives no two numbers: %s",
                          line);
    *may_not = all - *may;
    ox_buf_fini(&sql);
    ox_buf_fini(&answer);
    return err;
}

static void
add_difference(const struct column *k, struct ox_buf *out)
{
    const char *name = k->name;
    switch (kind_of(k)) {
    case SUM_WHOLE: /* of two UInt64 an Int64; back again */
        ox_buf_printf(out, "toUInt64(w.%s - h_%s)", name, name);
        break;
    case SUM_FLOAT: /* infinities stay what they are */
        ox_buf_printf(out, "if(isNaN(w.%s - h_%s), 0, w.%s - h_%s)", name, name, name, name);
        break;
    case SUM_MAP:
        ox_buf_printf(out, "CAST(mapSubtract(w.%s, h_%s), toTypeName(w.%s))", name, name, name);
        break;
    default:
        ox_buf_printf(out, "w.%s", name);
    }
}

static ox_err
mend(const struct check *c)
{
    struct ox_buf sql = {0}, none = {0};
    ox_buf_printf(&sql, "INSERT INTO %s (", c->rollup->target);
    for (size_t i = 0; i < c->n_columns; i++)
        ox_buf_printf(&sql, "%s%s", i > 0 ? ", " : "", c->columns[i].name);
    ox_buf_append_cstr(&sql, ") SELECT ");
    for (size_t i = 0; i < c->n_columns; i++) {
        ox_buf_append_cstr(&sql, i > 0 ? ", " : "");
        add_difference(&c->columns[i], &sql);
    }
    ox_buf_append_cstr(&sql, " ");
    ox_buf_append_str(&sql, ox_buf_str(&c->from));
    ox_buf_append_cstr(&sql, " AND ");
    ox_buf_append_str(&sql, ox_buf_str(&c->may));
    sql.failed |= c->may.failed || c->from.failed;
    ox_err err = ask(c->storage, &sql, &none, c->diag);
    ox_buf_fini(&sql);
    ox_buf_fini(&none);
    return err;
}

static ox_err
prepare(struct check *c, uint64_t young_s)
{
    ox_err err = read_select(c->storage, c->rollup, &c->select, c->diag);
    if (err == OX_OK)
        err = read_columns(c);
    return err == OX_OK ? make_from(c, young_s) : err;
}

ox_err
ox__rollup_check(struct ox_storage *storage, const struct ox_schema_rollup *rollup, const uint64_t *ids,
                 size_t n, uint64_t young_s, struct ox__rollup_found *out, struct ox_diag *diag)
{
    struct check c = {.storage = storage, .rollup = rollup, .ids = ids, .n_ids = n, .diag = diag};
    *out = (struct ox__rollup_found){0};
    ox_err err = prepare(&c, young_s);
    if (err == OX_OK)
        err = count_wrong(&c, &out->wrong, &out->left);
    if (err == OX_OK && out->wrong > 0)
        err = mend(&c);
    if (err == OX_OK && out->wrong > 0)
        err = count_wrong(&c, &out->still, &out->left);
    ox_buf_fini(&c.select);
    ox_buf_fini(&c.from);
    ox_buf_fini(&c.may);
    return err;
}
