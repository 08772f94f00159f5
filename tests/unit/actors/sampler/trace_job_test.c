/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    spans of decided traces, read from the log again, go on whole traces at a time: weighed, counted or left, with
 *          permits of just these, and a tracestate that says by which threshold they were kept.
 * Method:  a real log on the faulty disk. Each of its requests holds spans of nine traces, each trace stands in three
 *          requests that follow one another; a job is run by hand.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "actors/sampler/sampler.h"
#include "ox/journal.h"
#include "ox/otlp_wire.h"
#include "ox/tracestate.h"
#include "tests/harness/fault_disk.h"

#define ENTRIES 12
#define SPANS   9               /* of a request */
#define APART   3               /* requests that a trace stands in, in each at another place */
#define BEGIN   (SPANS / APART) /* traces that begin in a request */
#define TRACES  (ENTRIES * BEGIN)
#define TEXT                                                                                                 \
    6000 /* the journal reads some 4 KiB at a time: what is spoilt behind them is one entry's alone */
#define SPOILT  5000
#define QUARTER 0xc0000000000000ull /* of the traces is kept by it: a weight of 4 */

/* What a request's spans come with, and what they go on with when they are kept by QUARTER. */
static const struct {
    const char *in, *out;
    double weight;
} states[SPANS] = {
    {"", "ot=th:c", 4},
    {"ot=th:e", "ot=th:e", 8}, /* kept by less before */
    {"a=b,ot=th:8", "ot=th:c,a=b", 4},
    {"a=1,a=2", "a=1,a=2", 4},   /* cannot be read */
    {"ot=rv:zz", "ot=rv:zz", 4}, /* nor this R */
    {"ot=rv:ffffffffffffff;th:4;x:y", "ot=rv:ffffffffffffff;th:c;x:y", 4},
    {"ot=rv:80000000000000;th:f", "ot=rv:80000000000000;th:c", 4}, /* it was not kept by this th */
    {"ot=th:c", "ot=th:c", 4},
    {"ot=x:y", "ot=x:y;th:c", 4},
};

static struct fault_disk *disk;
static struct ox_node node;
static struct ox_tenant *tenant;
static uint64_t seqs[ENTRIES];

/* The last requests go on with the first. */
static uint32_t
trace_of(uint32_t entry, uint32_t ordinal)
{
    return (entry + ENTRIES - ordinal % APART) % ENTRIES * BEGIN + ordinal / APART;
}

/* R is as high as can be. */
static void
id_of(uint32_t trace, uint8_t id[16])
{
    memset(id, 0xff, 16);
    id[0] = (uint8_t)trace;
}

static void
put_span(struct ox_buf *b, uint32_t entry, uint32_t ordinal)
{
    static char text[TEXT];
    uint8_t id[16];
    memset(text, 'x', sizeof(text));
    id_of(trace_of(entry, ordinal), id);
    size_t mark = ox_wire_begin(b, 2);
    ox_wire_put_bytes(b, 1, (struct ox_str){(const char *)id, 16});
    id[1] = (uint8_t)entry;
    ox_wire_put_bytes(b, 2, (struct ox_str){(const char *)id, 8});
    ox_wire_put_bytes(b, 3, ox_str_of(states[ordinal].in));
    ox_wire_put_bytes(b, 5, (struct ox_str){text, ordinal == 0 ? TEXT : 1});
    ox_wire_put_fixed64(b, 7, 1000);
    ox_wire_put_fixed64(b, 8, 2000);
    ox_wire_end(b, mark);
}

static void
write_entry(uint32_t entry)
{
    struct ox_buf body = {0}, header = {0};
    size_t resource = ox_wire_begin(&body, 1), scope = ox_wire_begin(&body, 2);
    for (uint32_t i = 0; i < SPANS; i++)
        put_span(&body, entry, i);
    ox_wire_end(&body, scope);
    ox_wire_end(&body, resource);
    struct ox_wal_entry w = {.tenant = {"t"},
                             .signal = OX_SIGNAL_TRACES,
                             .encoding = OX_WAL_OTLP_PROTOBUF,
                             .received_ns = 1,
                             .request_hash = {entry, entry},
                             .n_records = SPANS,
                             .body = ox_buf_str(&body)};
    cr_assert_eq(ox_wal_entry_encode(&w, &header), OX_OK);
    struct iovec parts[2] = {{header.data, header.len}, {body.data, body.len}};
    cr_assert_eq(ox_journal_append(node.log, parts, 2, 1, &seqs[entry]), OX_OK);
    cr_assert_eq(ox_journal_commit(node.log, NULL), OX_OK);
    ox_buf_fini(&header);
    ox_buf_fini(&body);
}

static void
up(void)
{
    static const struct ox_tenants_limits limits = {10,   1000000, 1000000, 1000000,
                                                    NULL, NULL,    1 << 30, 1 << 30};
    const struct ox_journal_options options = {.kind = OX_JOURNAL_WAL, .segment_bytes = 4 << 20};
    const struct ox_tenant_id id = {"t"};
    struct ox_diag diag;
    disk = fault_disk_new(1);
    node = (struct ox_node){.disk = fault_disk_seam(disk), .tenants = ox_tenants_new(&limits)};
    cr_assert_eq(ox_journal_open(node.disk, "d", &options, &node.log, NULL, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_tenants_get(node.tenants, &id, &tenant), OX_OK);
    for (uint32_t i = 0; i < ENTRIES; i++)
        write_entry(i);
}

static void
down(void)
{
    cr_assert_eq(ox_tenants_in_flight(node.tenants), 0, "each permit came back");
    cr_assert_eq(atomic_load(&node.replayed.used_bytes), 0, "and all memory");
    ox_journal_close(node.log);
    ox_tenants_free(node.tenants);
    fault_disk_free(disk);
}

TestSuite(trace_job, .init = up, .fini = down, .timeout = 60);

/* Two of three are kept. */
static bool
is_kept(uint32_t trace)
{
    return trace % 3 != 0;
}

static struct ox__verdict *
verdict_of(uint32_t trace)
{
    struct ox__verdict *v = calloc(1, sizeof(*v) + APART * sizeof(v->spans[0]));
    cr_assert_not_null(v);
    v->decision.kept = is_kept(trace);
    v->decision.threshold = is_kept(trace) ? QUARTER : OX_THRESHOLD_NEVER;
    id_of(trace, v->decision.trace_id);
    v->n = APART;
    for (uint32_t i = 0; i < APART; i++) {
        v->spans[i].wal_seq = seqs[(trace / BEGIN + i) % ENTRIES];
        v->spans[i].ordinal = trace % BEGIN * APART + i;
    }
    return v;
}

/* A job for the traces of a set, the last first: order must not matter. */
static struct ox__trace_job *
job_of(uint64_t traces)
{
    struct ox__trace_job *job = calloc(1, sizeof(*job));
    cr_assert_not_null(job);
    job->node = &node;
    job->tenant = tenant;
    for (uint32_t t = 0; t < TRACES; t++) {
        if ((traces >> t & 1) == 0)
            continue;
        struct ox__verdict *v = verdict_of(t);
        v->next = job->todo;
        job->todo = v;
    }
    return job;
}

static uint64_t
set_of(const struct ox__verdict *list)
{
    uint64_t set = 0;
    for (; list != NULL; list = list->next)
        set |= 1ull << list->decision.trace_id[0];
    return set;
}

static void
check_span(const struct ox_span *span, bool decided)
{
    uint32_t trace = span->trace_id[0];
    cr_assert_eq(span->reject, decided ? OX_REJECT_NONE : OX_REJECT_DISPOSED, "trace %u", trace);
    if (!decided)
        return;
    cr_assert_eq(span->sampled_out, !is_kept(trace), "trace %u", trace);
    struct ox_str out = ox_str_of(is_kept(trace) ? states[span->ordinal].out : states[span->ordinal].in);
    cr_assert(ox_str_eq(span->trace_state, out), "span %u of trace %u says %.*s", span->ordinal, trace,
              (int)span->trace_state.n, span->trace_state.p);
    cr_assert_float_eq(span->weight, is_kept(trace) ? states[span->ordinal].weight : 0, 1e-9,
                       "span %u of trace %u: %g", span->ordinal, trace, span->weight);
}

/* The chain holds each span of these traces once, and of no others; its permits are of just these. */
static void
check_chain(const struct ox__trace_job *job, uint64_t traces)
{
    uint64_t spans = 0, decided = 0;
    for (const struct ox_parcel *p = job->chain; p != NULL; p = p->together) {
        uint32_t here = 0;
        cr_assert_eq(p->batch->n_spans, SPANS);
        for (uint32_t i = 0; i < SPANS; i++) {
            bool wanted = (traces >> p->batch->spans[i].trace_id[0] & 1) != 0;
            check_span(&p->batch->spans[i], wanted);
            here += wanted;
        }
        cr_assert_gt(here, 0, "what goes on has spans that go on");
        cr_assert_eq(p->permit.records, here);
        spans += here;
    }
    cr_assert_eq(spans, APART * (uint64_t)__builtin_popcountll(traces), "%llu spans",
                 (unsigned long long)spans);
    cr_assert_eq(ox_tenants_in_flight(node.tenants), spans);
    for (size_t i = 0; job->chain != NULL && i < job->chain->decided.n; i++)
        decided |= 1ull << job->chain->decided.items[i].decision.trace_id[0];
    cr_assert_eq(decided, traces, "each decision goes with its spans");
    cr_assert_eq(set_of(job->done), traces);
}

#define ALL ((1ull << TRACES) - 1)

Test(trace_job, whole_traces_over_several_entries)
{
    static const uint64_t sets[] = {ALL, 1, 2, 0x0f0f0f0f, 0x800000000, 0x123456789, 0xff00};
    for (size_t i = 0; i < OX_COUNT(sets); i++) {
        struct ox__trace_job *job = job_of(sets[i]);
        ox__trace_job_run(job);
        cr_assert_null(job->todo);
        cr_assert_null(job->failed);
        check_chain(job, sets[i]);
        ox__trace_job_free(job);
    }
}

/* Of the nine traces that stand in an entry that cannot be read nothing goes on, not from the entries beside it either;
 * when it can be read they go on as if nothing had been. */
Test(trace_job, a_trace_that_cannot_be_read_is_left_whole)
{
    for (uint32_t bad = 0; bad < ENTRIES; bad++) {
        uint64_t touched = 0;
        for (uint32_t i = 0; i < SPANS; i++)
            touched |= 1ull << trace_of(bad, i);
        struct ox__trace_job *job = job_of(ALL), *again = job_of(0);
        fault_disk_bad_sector(disk, "d/0000000000000001.seg", seqs[bad] + SPOILT, seqs[bad] + SPOILT + 1);
        ox__trace_job_run(job);
        cr_assert_eq(set_of(job->failed), touched, "entry %u", bad);
        check_chain(job, ALL & ~touched);
        again->todo = job->failed;
        job->failed = NULL;
        ox__trace_job_free(job);
        fault_disk_bad_sector(disk, NULL, 0, 0);
        ox__trace_job_run(again);
        cr_assert_null(again->failed);
        check_chain(again, touched);
        ox__trace_job_free(again);
    }
}

/* Nothing of what was asked for can be read: no chain, and nothing in flight. */
Test(trace_job, nothing_can_be_read)
{
    struct ox__trace_job *job = job_of(ALL);
    fault_disk_bad_sector(disk, "d/0000000000000001.seg", 0, 1 << 20);
    ox__trace_job_run(job);
    cr_assert_null(job->chain);
    cr_assert_null(job->done);
    cr_assert_eq(set_of(job->failed), ALL);
    fault_disk_bad_sector(disk, NULL, 0, 0);
    ox__trace_job_free(job);
}
