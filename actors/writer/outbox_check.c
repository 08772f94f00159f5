/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_check.c - what of the previous run's blocks is in storage already.
 *
 * Owns:    the list while the job runs.
 * Threads: the job on a dirty thread; its result on the outbox actor's turn.
 * Bounds:  IDS_PER_QUERY ids in a query; OX__OUTBOX_ASK_MAX tries of storage that answers, but not this.
 * Fails:   storage that does not answer is asked again for ever, since it takes no blocks either; one that refuses the
 *          question, or has no time or memory for it, leaves the blocks unchecked.
 * Flow:    outbox_send.c, once the schema is there -> here -> nothing is sent before.
 *
 * Relied on is the token: a block that is sent again adds nothing. Checked is the block_id, which stands in every row:
 * it tells what did arrive, and a number that cannot be is an error that somebody must hear of. What arrived as a whole is
 * sent again all the same, because a crash may have left a view behind it without its rows; and then counted again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/writer/outbox_internal.h"
#include "ox/disk.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/storage.h"

#define IDS_PER_QUERY    500
#define QUERY_TIMEOUT_MS 60000

static void
take_counts(struct ox_str answer, const uint64_t *ids, size_t n, uint64_t *rows)
{
    const char *p = answer.p, *end = answer.p + answer.n;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        char line[64];
        uint64_t id, count;
        snprintf(line, sizeof(line), "%.*s", (int)((stop != NULL ? stop : end) - p), p);
        for (size_t i = 0; sscanf(line, "%" SCNu64 "\t%" SCNu64, &id, &count) == 2 && i < n; i++) {
            if (ids[i] == id)
                rows[i] = count;
        }
        p = stop != NULL ? stop + 1 : end;
    }
}

ox_err
ox__outbox_arrived(struct ox_storage *storage, enum ox_table table, const uint64_t *ids, size_t n,
                   uint64_t *rows, struct ox_diag *diag)
{
    struct ox_buf sql = {0}, answer = {0};
    memset(rows, 0, n * sizeof(*rows));
    if (n == 0 ||
        ox_schema_tables[table].idempotent) /* its rows may be merged away, and may be there twice */
        return OX_OK;
    ox_buf_printf(&sql, "SELECT block_id, count() FROM %s WHERE block_id IN (", ox_table_name(table));
    for (size_t i = 0; i < n; i++)
        ox_buf_printf(&sql, "%s%" PRIu64, i > 0 ? "," : "", ids[i]);
    ox_buf_append_cstr(&sql, ") GROUP BY block_id");
    struct ox_storage_query q = {.sql = ox_buf_str(&sql), .max_execution_ms = QUERY_TIMEOUT_MS};
    ox_err err = sql.failed ? OX_E_NOMEM : ox_storage_query(storage, &q, &answer, NULL, diag);
    if (err == OX_OK)
        take_counts(ox_buf_str(&answer), ids, n, rows);
    ox_buf_fini(&sql);
    ox_buf_fini(&answer);
    return err;
}

/* ---- the job ---- */

struct markers {
    struct ox_outbox_check *check;
    struct ox_disk *disk;
};

/* "ox-NONCE-ID-TABLE.split": of one of our blocks, or of one that is settled since long. */
static bool
on_marker(void *arg, const char *name)
{
    struct markers *m = arg;
    size_t n = strlen(name), suffix = sizeof(".split") - 1;
    char token[OX_OUTBOX_TOKEN_BYTES];
    uint64_t nonce, id;
    int table, len = 0;
    if (n < suffix || n - suffix >= sizeof(token) || strcmp(name + n - suffix, ".split") != 0)
        return true;
    snprintf(token, sizeof(token), "%.*s", (int)(n - suffix), name);
    if (sscanf(token, "ox-%" SCNx64 "-%" SCNx64 "-%d%n", &nonce, &id, &table, &len) != 3 ||
        token[len] != '\0')
        return true;
    for (size_t i = 0; i < m->check->n; i++) {
        struct ox_outbox_checked *item = &m->check->items[i];
        if (item->block_id == id && (int)item->table == table) {
            item->marked = true;
            return true;
        }
    }
    ox__outbox_split_unmark(m->disk, m->check->refused_dir, token);
    return true;
}

/* Items are in order of tables: as many of one as fit into a query. */
static ox_err
ask(struct ox_outbox_check *check, size_t *at)
{
    uint64_t ids[IDS_PER_QUERY], rows[IDS_PER_QUERY];
    enum ox_table table = check->items[*at].table;
    size_t n = 0;
    while (n < IDS_PER_QUERY && *at + n < check->n && check->items[*at + n].table == table) {
        ids[n] = check->items[*at + n].block_id;
        n++;
    }
    ox_err err = ox__outbox_arrived(check->node->storage, table, ids, n, rows, &check->diag);
    for (size_t i = 0; i < n && err == OX_OK; i++)
        check->items[*at + i].arrived = rows[i];
    *at += n;
    return err;
}

void
ox__outbox_check_job(void *arg)
{
    struct ox_outbox_check *check = arg;
    struct markers m = {check, check->node->disk};
    ox_diag_clear(&check->diag);
    (void)!ox_disk_list(check->node->disk, check->refused_dir, on_marker, &m); /* none yet: no directory */
    check->err = OX_OK;
    for (size_t at = 0; at < check->n && check->err == OX_OK;)
        check->err = ask(check, &at);
}

void
ox__outbox_check_free(void *arg)
{
    struct ox_outbox_check *check = arg;
    free(check->items);
    free(check);
}

/* ---- the actor ---- */

static struct ox_outbox_check *
list_blocks(struct ox__outbox *o)
{
    struct ox_outbox_check *check = calloc(1, sizeof(*check));
    size_t n = 0;
    if (check == NULL || (check->items = calloc((size_t)o->blocks + 1, sizeof(*check->items))) == NULL) {
        free(check);
        return NULL;
    }
    check->node = o->node;
    check->refused_dir = o->refused_dir;
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        for (struct ox_outbound *b = o->queue_head[t]; b != NULL; b = b->next) {
            if (b->recovered)
                check->items[n++] = (struct ox_outbox_checked){b, b->block_id, b->table, b->rows, 0, false};
        }
    }
    check->n = n;
    return check;
}

void
ox__outbox_check(struct ox_actor *self, struct ox__outbox *o)
{
    if (o->checked || o->checking)
        return;
    struct ox_outbox_check *check = list_blocks(o);
    if (check == NULL || ox_dirty_submit(self, NULL, ox__outbox_check_job, check, OX_K_outbox_checked,
                                         ox__outbox_check_free, NULL) != OX_OK) {
        if (check != NULL)
            ox__outbox_check_free(check);
        ox__outbox_tick(self, OX__OUTBOX_RETRY_MS, TICK_CHECK, NULL);
        return;
    }
    o->checking = true;
}

void
ox__outbox_count_found(enum ox_table table, const char *found)
{
    OX_METRIC_ADD_L(OX_M_outbox_checked, 1, ox_str_of(ox_table_name(table)), ox_str_of(found));
}

static void
judge(const struct ox_outbox_checked *item)
{
    bool part = item->arrived > 0 && item->arrived != item->rows;
    ox__outbox_count_found(item->table, item->arrived == 0           ? "none"
                                        : !part                      ? "all"
                                        : item->marked               ? "split"
                                        : item->arrived > item->rows ? "more"
                                                                     : "part");
    if (part && !(item->marked && item->arrived < item->rows))
        OX_LOG_ERROR("outbox", "storage holds another number of rows of a block than it has",
                     OX_F_STR("table", ox_table_name(item->table)), OX_F_U64("block_id", item->block_id),
                     OX_F_U64("rows", item->rows), OX_F_U64("rows_in_storage", item->arrived));
}

static bool
again(struct ox__outbox *o, ox_err err)
{
    if (err == OX_OK || !ox_err_info(err)->retryable)
        return false;
    o->check_failures++;
    if (!ox__outbox_answered(o->node, err))
        return true;
    return ++o->check_refusals < OX__OUTBOX_ASK_MAX;
}

void
ox__on_outbox_checked(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg)
{
    struct ox_outbox_check *check = msg->data;
    uint64_t arrived = 0;
    o->checking = false;
    if (again(o, check->err)) {
        OX_LOG_WARN("outbox", "storage cannot say yet which blocks of the previous run arrived",
                    OX_F_ERR(check->err), OX_F_DIAG(&check->diag));
        ox__outbox_tick(self, ox__outbox_wait_ms(o, o->check_failures), TICK_CHECK, NULL);
        return;
    }
    o->checked = true;
    if (check->err != OX_OK)
        OX_LOG_ERROR("outbox",
                     "storage does not say which blocks of the previous run arrived; their tokens decide",
                     OX_F_ERR(check->err), OX_F_DIAG(&check->diag));
    for (size_t i = 0; i < check->n && check->err == OX_OK; i++) {
        check->items[i].block->arrived = check->items[i].arrived;
        check->items[i].block->marked = check->items[i].marked;
        arrived += check->items[i].arrived > 0;
        judge(&check->items[i]);
    }
    ox__outbox_doubt_recovered(o, check);
    if (check->n > 0 && check->err == OX_OK)
        OX_LOG_INFO(
            "outbox",
            o->node->machine_restarted
                ? "blocks of the previous run are sent again, but for those that storage has: the machine "
                  "has restarted"
                : "blocks of the previous run are sent again",
            OX_F_U64("blocks", check->n), OX_F_U64("found_in_storage", arrived));
    ox__outbox_pump(self, o);
}
