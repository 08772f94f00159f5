/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/counters.c - /metrics of the node, and the equations that must hold in it.
 *
 * Owns:    nothing.
 * Threads: main.
 * Bounds:  QUIET_S for requests whose client is gone to be answered all the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "chaos/body.h"
#include "chaos/verify.h"
#include "tests/harness/http_client.h"

#define QUIET_S 10
#define LOOK_MS 50

static bool
fetch(struct chaos_server *server, struct ox_buf *text)
{
    struct ox_client_response r;
    ox_client_response_init(&r);
    bool ok = ox_client1_request(server->api_port, "GET", "/metrics", NULL, NULL, 0, &r) && r.status == 200;
    ox_buf_reset(text);
    if (ok) {
        ox_buf_append(text, r.body.data, r.body.len);
        ox_buf_append(text, "", 1);
    }
    ox_client_response_fini(&r);
    return ok;
}

bool
chaos_metric(struct chaos_server *server, const char *name, double *out)
{
    struct ox_buf text = {0};
    bool ok = fetch(server, &text), found = false;
    size_t n = strlen(name);
    for (const char *p = ok ? (const char *)text.data : NULL; p != NULL && !found; p = strchr(p, '\n')) {
        p += *p == '\n';
        found = strncmp(p, name, n) == 0 && p[n] == ' ';
        if (found)
            *out = atof(p + n);
    }
    ox_buf_fini(&text);
    return found;
}

/* The value of a label inside {...}, compared. */
static bool
labelled(const char *line, const char *label, const char *value)
{
    char want[96];
    snprintf(want, sizeof(want), "%s=\"%s\"", label, value);
    const char *end = strchr(line, '}'), *at = strstr(line, want);
    return at != NULL && end != NULL && at < end;
}

static void
take_line(const struct chaos_verify *v, const char *line, struct chaos_counts *of)
{
    static const struct {
        const char *name;
        size_t at;
    } counters[] = {
        {"observex_ingest_signals_received_total{", offsetof(struct chaos_counts, received)},
        {"observex_ingest_signals_acknowledged_total{", offsetof(struct chaos_counts, acknowledged)},
        {"observex_ingest_signals_duplicate_total{", offsetof(struct chaos_counts, duplicate)},
        {"observex_ingest_signals_dropped_total{", offsetof(struct chaos_counts, dropped)},
    };
    for (size_t c = 0; c < OX_COUNT(counters); c++) {
        if (strncmp(line, counters[c].name, strlen(counters[c].name)) != 0)
            continue;
        for (uint32_t i = 0; i < v->ids->n_lanes; i++) {
            const struct chaos_lane *lane = &v->ids->lanes[i];
            const char *value = strchr(line, '}');
            if (value != NULL && labelled(line, "tenant", chaos_tenant(lane->tenant)) &&
                labelled(line, "type", ox_signal_name(lane->signal)))
                *(uint64_t *)((char *)&of[i] + counters[c].at) += (uint64_t)atof(value + 1);
        }
    }
}

bool
chaos_counts_read(const struct chaos_verify *v, struct chaos_counts *of)
{
    struct ox_buf text = {0};
    bool ok = fetch(v->server, &text);
    memset(of, 0, sizeof(*of) * v->ids->n_lanes);
    for (const char *p = ok ? (const char *)text.data : NULL; p != NULL; p = strchr(p, '\n')) {
        p += *p == '\n';
        take_line(v, p, of);
    }
    ox_buf_fini(&text);
    return ok;
}

/* A request whose gateway was made to panic is received and nothing else; its client has no answer. What a start
 * found damaged was received by an earlier process, and is counted as dropped by this one; of an entry at the end
 * that is rubbish it cannot know that no client was told of it. */
static bool
lane_adds_up(const struct chaos_verify *v, uint32_t lane, const struct chaos_counts *c)
{
    uint64_t accounted = c->acknowledged + c->duplicate + c->dropped;
    uint64_t unanswered =
        v->server->scenario->takes_faults ? chaos_lane_unanswered(&v->ids->lanes[lane], 0) : 0;
    uint64_t damaged = chaos_lane_count(&v->ids->lanes[lane], 0, CHAOS_DAMAGED) +
                       chaos_lane_count(&v->ids->lanes[lane], 0, CHAOS_TORN);
    return accounted <= c->received + damaged && c->received <= accounted + unanswered;
}

static bool
adds_up(const struct chaos_verify *v, const struct chaos_counts *of)
{
    for (uint32_t i = 0; i < v->ids->n_lanes; i++) {
        if (!lane_adds_up(v, i, &of[i]))
            return false;
    }
    return true;
}

static void
complain(const struct chaos_verify *v, const char *what, uint32_t lane, const struct chaos_counts *c,
         uint64_t told, struct chaos_verdict *out)
{
    out->counters++;
    ox_buf_printf(
        &out->lines,
        "round %u: counters: %s: %s of %s: received %llu, acknowledged %llu, duplicate %llu, dropped "
        "%llu; clients were told of %llu\n",
        v->round, what, ox_signal_name(v->ids->lanes[lane].signal), chaos_tenant(v->ids->lanes[lane].tenant),
        (unsigned long long)c->received, (unsigned long long)c->acknowledged,
        (unsigned long long)c->duplicate, (unsigned long long)c->dropped, (unsigned long long)told);
}

/* Of this round, acknowledged, as the node counts them. */
static uint64_t
count_records(const struct chaos_lane *lane)
{
    uint64_t n = 0;
    for (uint64_t id = lane->round_first; id < lane->n; id++)
        n += lane->fates[id] == CHAOS_ACKED && chaos_is_record(lane->signal, id);
    return n;
}

static void
compare(const struct chaos_verify *v, const struct chaos_counts *before, const struct chaos_counts *now,
        struct chaos_verdict *out)
{
    for (uint32_t i = 0; i < v->ids->n_lanes; i++) {
        const struct chaos_lane *lane = &v->ids->lanes[i];
        if (!lane_adds_up(v, i, &now[i]))
            complain(v, "received is not acknowledged + duplicate + dropped", i, &now[i], 0, out);
        if (before == NULL)
            continue;
        uint64_t told = count_records(lane);
        uint64_t unknown = chaos_lane_unanswered(lane, lane->round_first);
        uint64_t counted = now[i].acknowledged - before[i].acknowledged;
        if (counted < told || counted > told + unknown)
            complain(v, "acknowledged in this round is not what clients were told", i, &now[i], told, out);
    }
}

void
chaos_verify_counters(const struct chaos_verify *v, const struct chaos_counts *before,
                      struct chaos_verdict *out)
{
    struct chaos_counts now[CHAOS_LANES_MAX];
    bool ok = false;
    for (int i = 0; i < QUIET_S * 1000 / LOOK_MS; i++, chaos_nap_ms(LOOK_MS)) {
        ok = chaos_counts_read(v, now);
        if (ok && adds_up(v, now))
            break;
    }
    if (ok) {
        compare(v, before, now, out);
        return;
    }
    out->counters++;
    ox_buf_printf(&out->lines, "round %u: counters: /metrics does not answer\n", v->round);
}
