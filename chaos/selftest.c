/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/selftest.c - does the harness see what it is there to see?
 *
 * After a second of load without any fault everything must be found good. Then rows are removed, repeated and moved to
 * another tenant by SQL, as a bug would do it, and each time the verification has to name exactly that.
 *
 * Owns:    the run.
 * Threads: main.
 */
#include <stdio.h>

#include "chaos/body.h"
#include "chaos/run.h"
#include "ox/storage.h"

#define LOAD_MS  1000
#define SETTLE_S 3

static bool
expect(bool holds, const char *what)
{
    printf("  %-6s %s\n", holds ? "ok" : "FAILED", what);
    return holds;
}

static void
tell(struct chaos_run *run, const char *sql)
{
    struct ox_buf out = {0};
    struct ox_diag diag;
    struct ox_storage *st = chaos_server_storage(&run->server);
    struct ox_storage_query q = {.sql = ox_str_of(sql), .max_execution_ms = 60000};
    ox_diag_clear(&diag);
    if (st == NULL || ox_storage_query(st, &q, &out, NULL, &diag) != OX_OK)
        printf("  %s: %s\n", sql, diag.text);
    ox_storage_close(st);
    ox_buf_fini(&out);
}

/* The id of the n-th acknowledged record of a lane. */
static uint64_t
acked_id(const struct chaos_lane *lane, uint32_t n)
{
    for (uint64_t i = 0; i < lane->n; i++) {
        if (lane->fates[i] == CHAOS_ACKED && n-- == 0)
            return i;
    }
    OX_ASSERT(!"the load acknowledged too little");
    return 0;
}

/* sql has one %s for the condition that finds the row. */
OX_PRINTF(3, 0)
static void
harm_row(struct chaos_run *run, const struct chaos_lane *lane, const char *sql, uint32_t n)
{
    char where[128], text[640];
    size_t n_sources;
    snprintf(where, sizeof(where), "%s = %llu", chaos_sources(lane->signal, &n_sources)[0].key,
             (unsigned long long)chaos_key(lane, acked_id(lane, n)));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof(text), sql, where);
#pragma GCC diagnostic pop
    tell(run, text);
}

static struct chaos_verdict
look(struct chaos_run *run, bool all)
{
    struct chaos_verify v = {&run->server, &run->ids, run->round++, SETTLE_S};
    struct chaos_verdict out = {0};
    if (all)
        chaos_verify_all(&v, &out);
    else
        chaos_verify_round(&v, chaos_unix_ns() - 60000000000, &out);
    printf("%.*s", (int)out.lines.len, (const char *)out.lines.data);
    chaos_verdict_fini(&out);
    return out;
}

static bool
clean(const struct chaos_verdict *v)
{
    return v->lost == 0 && v->doubled == 0 && v->misplaced == 0;
}

static bool
test_rows(struct chaos_run *run)
{
    struct chaos_lane *logs = chaos_ids_lane(&run->ids, 0, OX_SIGNAL_LOGS);
    struct chaos_lane *spans = chaos_ids_lane(&run->ids, 1, OX_SIGNAL_TRACES);
    struct chaos_lane *points = chaos_ids_lane(&run->ids, 0, OX_SIGNAL_METRICS);
    struct chaos_verdict v = look(run, true);
    bool good =
        expect(clean(&v) && v.views == 0 && v.checked > 0 && v.rows > 0, "without harm nothing is found");
    harm_row(run, logs, "ALTER TABLE otel_logs DELETE WHERE %s SETTINGS mutations_sync = 1", 3);
    v = look(run, false);
    good &= expect(v.lost == 1 && v.doubled == 0 && v.misplaced == 0,
                   "a removed log record is lost, and only it");
    harm_row(run, spans, "INSERT INTO otel_traces SELECT * FROM otel_traces WHERE %s", 5);
    v = look(run, false);
    good &=
        expect(v.doubled == 1 && v.lost == 0 && v.misplaced == 0, "a repeated span is doubled, and only it");
    harm_row(run, points, "INSERT INTO otel_metrics SELECT * FROM otel_metrics WHERE %s", 8);
    v = look(run, true);
    good &= expect(v.doubled == 1 && v.lost == 0, "verifying everything finds a repeated point");
    tell(run, "INSERT INTO otel_metric_histograms SELECT * FROM otel_metric_histograms LIMIT 1");
    v = look(run, false);
    good &= expect(v.doubled == 1 && v.lost == 0, "a repeated histogram is doubled");
    tell(run, "INSERT INTO otel_metric_exemplars SELECT * FROM otel_metric_exemplars LIMIT 1");
    v = look(run, false);
    good &= expect(v.doubled == 1 && v.lost == 0, "so is a repeated exemplar");
    harm_row(run, spans,
             "INSERT INTO otel_traces SELECT * REPLACE('chaos-a' AS tenant_id) FROM otel_traces WHERE %s", 9);
    v = look(run, false);
    good &= expect(v.misplaced == 1 && v.lost == 0 && v.doubled == 0, "a row in another tenant is misplaced");
    tell(run, "INSERT INTO otel_trace_index SELECT * REPLACE(toFixedString('sixteen-byte-id!', 16) AS "
              "trace_id) FROM "
              "otel_trace_index LIMIT 1");
    v = look(run, true);
    good &= expect(v.views > 0, "a view that counts too much is found");
    return good;
}

static bool
test_counters(struct chaos_run *run, struct chaos_counts *before)
{
    struct chaos_verify v = {&run->server, &run->ids, run->round, SETTLE_S};
    struct chaos_verdict out = {0};
    chaos_verify_counters(&v, before, &out);
    bool good = expect(out.counters == 0, "without harm the counters add up");
    before[0].acknowledged += 1;
    chaos_verify_counters(&v, before, &out);
    good &= expect(out.counters == 1, "an acknowledgement that was not counted is found");
    chaos_verdict_fini(&out);
    return good;
}

int
chaos_selftest(struct chaos_run *run)
{
    struct chaos_counts before[CHAOS_LANES_MAX];
    memset(before, 0, sizeof(before));
    if (!chaos_run_begin(run, false)) {
        printf("  FAILED %s\n", run->failure);
        return 1;
    }
    chaos_load_start(&run->load);
    chaos_load_resume(&run->load);
    for (int i = 0; i < 600 && atomic_load(&run->load.acked) < 200; i++)
        chaos_nap_ms(LOAD_MS / 10);
    chaos_load_pause(&run->load);
    chaos_load_stop(&run->load);
    bool good = test_counters(run, before);
    good &= test_rows(run);
    chaos_run_end(run, false);
    printf("chaos: self-test %s\n", good ? "passed" : "FAILED");
    return good ? 0 : 1;
}
