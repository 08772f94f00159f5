/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/verify.c - the invariants.
 *
 * Owns:    see verify.h.
 * Threads: see verify.h.
 */
#include "chaos/verify.h"

#include <stdio.h>
#include <stdlib.h>

#include "chaos/body.h"
#include "ox/storage.h"

#define NAP_FIRST_MS 20
#define NAP_MAX_MS   400
#define SQL_MAX      1024
#define ROW_BYTES    16 /* key u64, count u64 */
#define CLOCK_SLACK  UINT64_C(5000000000)

/* One lane under examination. */
struct view {
    struct chaos_lane *lane;
    uint64_t first;
    uint8_t *seen; /* of ids from first on, up to 255 */
    uint64_t misplaced, missing;
    bool asked;
};

static void
finding(struct chaos_verdict *out, const struct chaos_verify *v, const char *what, const char *text)
{
    uint32_t lines = 0;
    for (size_t i = 0; i < out->lines.len; i++)
        lines += out->lines.data[i] == '\n';
    if (lines < CHAOS_FINDINGS)
        ox_buf_printf(&out->lines, "round %u: %s: %s\n", v->round, what, text);
}

static void
finding_id(struct chaos_verdict *out, const struct chaos_verify *v, const char *what, const struct view *w,
           uint64_t i)
{
    char text[160];
    snprintf(text, sizeof(text), "%s of %s, id %llu, key %llu, stored %u times",
             ox_signal_name(w->lane->signal), chaos_tenant(w->lane->tenant),
             (unsigned long long)(w->first + i), (unsigned long long)chaos_key(w->lane, w->first + i),
             w->seen[i]);
    finding(out, v, what, text);
}

static bool
ask(struct ox_storage *st, const char *sql, const char *format, struct ox_buf *out)
{
    struct ox_diag diag;
    struct ox_storage_query q = {.sql = ox_str_of(sql), .format = format, .max_execution_ms = 120000};
    ox_diag_clear(&diag);
    ox_buf_reset(out);
    ox_err err = ox_storage_query(st, &q, out, NULL, &diag);
    if (err != OX_OK)
        fprintf(stderr, "chaos: storage does not answer %s: %s %s\n", sql, ox_err_text(err), diag.text);
    return err == OX_OK;
}

static void
take_rows(struct chaos_ids *ids, struct view *w, const struct ox_buf *rows)
{
    uint64_t n = w->lane->n - w->first;
    memset(w->seen, 0, n + 1);
    w->misplaced = w->missing = 0;
    for (size_t at = 0; at + ROW_BYTES <= rows->len; at += ROW_BYTES) {
        uint64_t key, count, id = 0;
        memcpy(&key, rows->data + at, 8);
        memcpy(&count, rows->data + at + 8, 8);
        if (chaos_ids_find(ids, key, &id) != w->lane)
            w->misplaced += count;
        else if (id >= w->first)
            w->seen[id - w->first] = count > 255 ? 255 : (uint8_t)count;
    }
    for (uint64_t i = 0; i < n; i++)
        w->missing += w->seen[i] == 0 && w->lane->fates[w->first + i] == CHAOS_ACKED;
    w->asked = true;
}

static void
ask_lane(const struct chaos_verify *v, struct ox_storage *st, struct view *w, uint64_t since_ns)
{
    struct ox_buf rows = {0}, sql = {0};
    size_t n;
    const struct chaos_source *sources = chaos_sources(w->lane->signal, &n);
    ox_buf_append_cstr(&sql, "SELECT key, count() FROM (");
    for (size_t i = 0; i < n; i++) {
        ox_buf_printf(&sql, "%sSELECT %s AS key FROM %s WHERE tenant_id = '%s'", i > 0 ? " UNION ALL " : "",
                      sources[i].key, sources[i].table, chaos_tenant(w->lane->tenant));
        if (since_ns > 0)
            ox_buf_printf(&sql, " AND %s AND %s >= fromUnixTimestamp64Nano(toInt64(%llu), 'UTC')",
                          sources[i].ours, sources[i].time, (unsigned long long)(since_ns - CLOCK_SLACK));
    }
    ox_buf_append(&sql, ") GROUP BY key", sizeof(") GROUP BY key"));
    OX_ASSERT(!sql.failed);
    if (ask(st, (const char *)sql.data, "RowBinary", &rows))
        take_rows(v->ids, w, &rows);
    ox_buf_fini(&rows);
    ox_buf_fini(&sql);
}

/* Everything is handed over: no block waits, no record is in the pipeline, and no rollup is in doubt. */
static bool
quiet(const struct chaos_verify *v)
{
    double blocks, depth, doubts;
    return chaos_metric(v->server, "observex_outbox_blocks", &blocks) && blocks == 0 &&
           chaos_metric(v->server, "observex_ingest_pipeline_queue_depth", &depth) && depth == 0 &&
           chaos_metric(v->server, "observex_rollup_pending_blocks", &doubts) && doubts == 0;
}

static bool
complete(const struct view *views, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!views[i].asked || views[i].missing > 0)
            return false;
    }
    return true;
}

static void
ask_all(const struct chaos_verify *v, struct view *views, uint64_t since_ns, bool again)
{
    struct ox_storage *st = chaos_server_storage(v->server);
    for (uint32_t i = 0; st != NULL && i < v->ids->n_lanes; i++) {
        if (again || !views[i].asked || views[i].missing > 0)
            ask_lane(v, st, &views[i], since_ns);
    }
    ox_storage_close(st);
}

/* Asks until everything acknowledged is there and nothing is on its way, or time is up; then once more for what was
 * complete early, since a double may have come later. */
static void
settle(const struct chaos_verify *v, struct view *views, uint64_t since_ns, struct chaos_verdict *out)
{
    uint64_t began = chaos_now_ns(), nap = NAP_FIRST_MS,
             limit_s = v->settle_s != 0 ? v->settle_s : CHAOS_SETTLE_S;
    uint64_t end = began + limit_s * UINT64_C(1000000000);
    uint64_t late = 0;
    bool quiet_seen = false, looked_late = false;
    for (;;) {
        quiet_seen = quiet(v);
        ask_all(v, views, since_ns, false);
        out->settle_ms = (chaos_now_ns() - began) / 1000000;
        if (!looked_late && out->settle_ms > CHAOS_DELAYED_MS) {
            looked_late = true;
            for (uint32_t i = 0; i < v->ids->n_lanes; i++)
                late += views[i].missing;
        }
        if ((complete(views, v->ids->n_lanes) && quiet_seen) || chaos_now_ns() > end)
            break;
        chaos_nap_ms(nap);
        nap = nap * 2 > NAP_MAX_MS ? NAP_MAX_MS : nap * 2;
    }
    ask_all(v, views, since_ns, true);
    out->delayed += late;
}

static void
judge_id(const struct chaos_verify *v, const struct view *w, uint64_t i, struct chaos_verdict *out)
{
    uint8_t *fate = &w->lane->fates[w->first + i];
    uint8_t seen = w->seen[i];
    out->checked++;
    out->rows += seen;
    if (seen > 1 && *fate != CHAOS_DOUBLED) {
        out->doubled++;
        finding_id(out, v, "doubled", w, i);
        *fate = CHAOS_DOUBLED;
    } else if (seen == 0 && *fate == CHAOS_ACKED) {
        out->lost++;
        finding_id(out, v, "lost", w, i);
        *fate = CHAOS_LOST;
    }
    out->unanswered_stored += seen > 0 && (*fate == CHAOS_UNKNOWN || *fate == CHAOS_TORN);
    out->damaged += seen == 0 && *fate == CHAOS_DAMAGED;
    out->refused_stored += seen > 0 && *fate == CHAOS_REFUSED;
}

static void
judge(const struct chaos_verify *v, struct view *w, struct chaos_verdict *out)
{
    char text[160];
    if (!w->asked) {
        finding(out, v, "not verified", "storage does not answer");
        out->lost += chaos_lane_count(w->lane, w->first, CHAOS_ACKED);
        return;
    }
    for (uint64_t i = 0; i < w->lane->n - w->first; i++)
        judge_id(v, w, i, out);
    out->misplaced += w->misplaced;
    if (w->misplaced > 0) {
        snprintf(text, sizeof(text), "%llu rows of %s of %s that were not sent there",
                 (unsigned long long)w->misplaced, ox_signal_name(w->lane->signal),
                 chaos_tenant(w->lane->tenant));
        finding(out, v, "misplaced", text);
    }
}

static void
verify(const struct chaos_verify *v, bool all, uint64_t since_ns, struct chaos_verdict *out)
{
    struct view views[CHAOS_LANES_MAX];
    memset(views, 0, sizeof(views));
    for (uint32_t i = 0; i < v->ids->n_lanes; i++) {
        views[i].lane = &v->ids->lanes[i];
        views[i].first = all ? 0 : v->ids->lanes[i].round_first;
        views[i].seen = malloc(views[i].lane->n - views[i].first + 1);
        OX_ASSERT(views[i].seen != NULL);
    }
    settle(v, views, since_ns, out);
    for (uint32_t i = 0; i < v->ids->n_lanes; i++) {
        judge(v, &views[i], out);
        free(views[i].seen);
    }
}

void
chaos_verify_round(const struct chaos_verify *v, uint64_t since_ns, struct chaos_verdict *out)
{
    verify(v, false, since_ns, out);
}

/* Two statements that must give the same number. */
static void
same(const struct chaos_verify *v, struct ox_storage *st, const char *what, const char *left,
     const char *right, struct chaos_verdict *out)
{
    struct ox_buf a = {0}, b = {0};
    char text[256];
    bool ok = ask(st, left, NULL, &a) && ask(st, right, NULL, &b);
    ok = ok && a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
    if (!ok) {
        snprintf(text, sizeof(text), "%s: %.*s and %.*s", what, (int)(a.len > 0 ? a.len - 1 : 0),
                 (const char *)a.data, (int)(b.len > 0 ? b.len - 1 : 0), (const char *)b.data);
        finding(out, v, "view", text);
        out->views++;
    }
    ox_buf_fini(&a);
    ox_buf_fini(&b);
}

static void
verify_views(const struct chaos_verify *v, struct ox_storage *st, struct chaos_verdict *out)
{
    same(v, st, "spans and their index", "SELECT count() FROM otel_traces",
         "SELECT sum(spans) FROM otel_trace_index", out);
    same(v, st, "spans and the calls counted of them", "SELECT count() FROM otel_traces",
         "SELECT sum(calls) FROM otel_span_stats", out);
    same(v, st, "calls and their minutes", "SELECT count() FROM otel_traces",
         "SELECT sum(calls) FROM otel_span_stats_1m", out);
    same(v, st, "calls and their hours", "SELECT count() FROM otel_traces",
         "SELECT sum(calls) FROM otel_span_stats_1h", out);
    same(v, st, "errors and their hours", "SELECT count() FROM otel_logs WHERE severity_number >= 17",
         "SELECT sum(count) FROM otel_logs_errors_1h", out);
    same(v, st, "points and their 5 minutes", "SELECT count() FROM otel_metrics",
         "SELECT sum(count) FROM otel_metrics_5m", out);
    same(v, st, "points and their hours", "SELECT count() FROM otel_metrics",
         "SELECT sum(count) FROM otel_metrics_1h", out);
}

static void
no_strangers(const struct chaos_verify *v, struct ox_storage *st, const char *table,
             struct chaos_verdict *out)
{
    char sql[SQL_MAX];
    struct ox_buf n = {0};
    snprintf(sql, sizeof(sql), "SELECT count() FROM %s WHERE NOT startsWith(tenant_id, 'chaos-')", table);
    if (!ask(st, sql, NULL, &n) || n.len != 2 || n.data[0] != '0') {
        out->misplaced++;
        finding(out, v, "misplaced", "rows of a tenant that does not exist");
    }
    ox_buf_fini(&n);
}

/* Rows of tenants that do not exist. */
static void
verify_strangers(const struct chaos_verify *v, struct ox_storage *st, struct chaos_verdict *out)
{
    for (int signal = 0; signal < OX_SIGNAL__COUNT; signal++) {
        size_t n;
        const struct chaos_source *sources = chaos_sources((enum ox_signal)signal, &n);
        for (size_t i = 0; i < n; i++)
            no_strangers(v, st, sources[i].table, out);
    }
}

void
chaos_verify_all(const struct chaos_verify *v, struct chaos_verdict *out)
{
    verify(v, true, 0, out);
    struct ox_storage *st = chaos_server_storage(v->server);
    if (st == NULL)
        return;
    verify_views(v, st, out);
    verify_strangers(v, st, out);
    ox_storage_close(st);
}

void
chaos_verdict_fini(struct chaos_verdict *out)
{
    ox_buf_fini(&out->lines);
}
