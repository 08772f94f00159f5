/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    every span that goes in comes out once, with a decision for its whole trace that does not depend on the
 *          order of arrival; the edges are those of the traces; nothing waits longer than it should, or takes more room
 *          than it may.
 * Method:  generated traces with known edges, arriving in seeded random orders and batches on a virtual clock; small
 *          cases by hand for each reason to decide. Oracle of decisions: the rule of the test, worked out from the ids.
 */
#include "actors/sampler/trace_buffer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/sampler/wheel.h"
#include "made_spans.h"
#include "ox/random.h"

enum { INTERNAL = 1, SERVER, CLIENT, PRODUCER, CONSUMER };
#define MS        1000000ull
#define S         (1000 * MS)
#define T0        (1000 * S)
#define RATE      0.25
#define THRESHOLD 0xc0000000000000ull

/* ---- what came out ---- */

#define OUT_MAX   40000
#define EDGES_MAX 128

struct edge {
    char name[64];
    uint64_t calls, errors, client_ns, server_ns, bytes;
};
struct out {
    uint8_t trace_id[16];
    bool kept, biased, promoted;
    uint8_t why, winner;
    uint64_t threshold, waited_ns;
    uint32_t spans;
};
static struct world {
    struct ox_trace_buffer *buffer;
    struct ox_sampling_set *set;
    struct out outs[OUT_MAX];
    uint32_t n_outs;
    uint8_t *seen; /* per position: how often it came out */
    uint32_t n_seen;
    struct edge edges[EDGES_MAX];
    uint32_t n_edges;
} w;

/* A position's number: sequence * 16 + ordinal; the tests send at most 16 spans in a request. */
static void
decided(void *arg, const struct ox_trace_decided *d)
{
    cr_assert_eq(arg, &w);
    cr_assert_lt(w.n_outs, OUT_MAX);
    struct out *o = &w.outs[w.n_outs++];
    *o = (struct out){.kept = d->decision.kept,
                      .biased = d->biased,
                      .promoted = d->promoted,
                      .why = d->why,
                      .winner = d->decision.winner,
                      .threshold = d->decision.threshold,
                      .waited_ns = d->waited_ns,
                      .spans = d->n_spans};
    memcpy(o->trace_id, d->trace_id, 16);
    for (uint32_t i = 0; i < d->n_spans; i++) {
        uint64_t at = d->spans[i].wal_seq * 16 + d->spans[i].ordinal;
        cr_assert_lt(at, w.n_seen);
        w.seen[at]++;
        cr_assert(i == 0 || d->spans[i - 1].wal_seq * 16 + d->spans[i - 1].ordinal < at, "in order");
    }
    for (uint32_t i = 0; i < d->n_calls; i++) {
        const struct ox_edge_call *c = &d->calls[i];
        char name[64];
        uint32_t e = 0;
        snprintf(name, sizeof(name), "%s>%s %s", c->client.p, c->server.p,
                 ox_edge_type_name((enum ox_edge_type)c->type));
        while (e < w.n_edges && strcmp(w.edges[e].name, name) != 0)
            e++;
        if (e == w.n_edges) {
            cr_assert_lt(w.n_edges, EDGES_MAX);
            w.edges[w.n_edges] = (struct edge){.calls = 0};
            memcpy(w.edges[w.n_edges++].name, name, sizeof(name));
        }
        w.edges[e].calls++;
        w.edges[e].errors += c->error;
        w.edges[e].client_ns += c->client_ns;
        w.edges[e].server_ns += c->server_ns;
        w.edges[e].bytes += c->request_bytes;
    }
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct edge *)a)->name, ((const struct edge *)b)->name);
}

static int
by_id(const void *a, const void *b)
{
    return memcmp(((const struct out *)a)->trace_id, ((const struct out *)b)->trace_id, 16);
}

/* Without a score: that learns from the traces before, and so from their order. */
#define RULES                                                                                                \
    "sampling: {default: {rates: [{probability: 0.25}], keep: [{name: errors, if: {status: error}}], "       \
    "score: {z: 0}}}"

static struct ox_sampling_set *
read_rules(const char *text)
{
    struct ox_config_report report;
    struct ox_sampling_set *set;
    ox_config_report_init(&report);
    cr_assert_eq(ox_sampling_read(ox_str_of(text), "f", &set, &report), OX_OK, "%.*s", (int)report.text.len,
                 (const char *)report.text.data);
    ox_config_report_fini(&report);
    return set;
}

static const struct ox_sampling *
of(const struct ox_sampling_set *set)
{
    static const struct ox_tenant_id acme = {.name = "acme"};
    return ox_sampling_of(set, &acme);
}

/* Waits a second after a root, ten without, unless `o` says otherwise. */
static struct ox_trace_buffer_options
plain_options(void)
{
    struct ox_trace_buffer_options o;
    ox_trace_buffer_options_default(&o);
    o.spans_max = 50000;
    o.traces_max = 10000;
    o.decisions_max = 20000;
    o.quiet_min_ns = o.quiet_max_ns = S;
    o.wait_min_ns = o.wait_max_ns = 10 * S;
    return o;
}

static void
begin(const struct ox_trace_buffer_options *o, const char *rules, uint32_t requests)
{
    w.set = read_rules(rules);
    w.n_outs = w.n_edges = 0;
    w.n_seen = 16 * (requests + 1);
    w.seen = calloc(w.n_seen, 1);
    cr_assert_eq(ox_trace_buffer_new(o, of(w.set), T0, decided, &w, &w.buffer), OX_OK);
}

static void
end(void)
{
    ox_trace_buffer_free(w.buffer);
    ox_sampling_free(w.set);
    free(w.seen);
}

static void
send(uint64_t wal_seq, const struct made_span *spans, uint32_t n, uint64_t now_ns)
{
    struct ox_batch *b = made_batch(wal_seq, now_ns);
    for (uint32_t i = 0; i < n; i++)
        made_add(b, &spans[i]);
    ox_trace_buffer_add(w.buffer, b, now_ns);
    ox_batch_free(b);
}

static void
tick(uint64_t now_ns)
{
    cr_assert(ox_trace_buffer_tick(w.buffer, now_ns, UINT32_MAX));
}

/* ---- generated traces ---- */

#define TRACES    2000
#define GEN_SPANS 30000

static struct made_span gen[GEN_SPANS];
static uint32_t n_gen;
static bool has_error[TRACES + 1];
static struct edge truth[EDGES_MAX];
static uint32_t n_truth;

static void
true_call(const char *client, const char *server, const char *type, bool error, uint64_t client_ns,
          uint64_t server_ns, uint64_t bytes)
{
    char name[64];
    uint32_t e = 0;
    snprintf(name, sizeof(name), "%s>%s %s", client, server, type);
    while (e < n_truth && strcmp(truth[e].name, name) != 0)
        e++;
    if (e == n_truth) {
        cr_assert_lt(n_truth, EDGES_MAX);
        truth[n_truth] = (struct edge){.calls = 0};
        memcpy(truth[n_truth++].name, name, sizeof(name));
    }
    truth[e].calls++;
    truth[e].errors += error;
    truth[e].client_ns += client_ns;
    truth[e].server_ns += server_ns;
    truth[e].bytes += bytes;
}

static struct made_span *
gen_span(uint64_t trace, uint64_t parent, const char *service, uint8_t kind, struct ox_random *rnd)
{
    cr_assert_lt(n_gen, GEN_SPANS);
    struct made_span *s = &gen[n_gen++];
    *s = (struct made_span){.trace = trace,
                            .id = n_gen,
                            .parent = parent,
                            .service = service,
                            .kind = kind,
                            .status = ox_random_below(rnd, 60) == 0 ? 2 : 0,
                            .start_ns = T0 + ox_random_below(rnd, 100) * MS,
                            .duration_ns = 1 + ox_random_below(rnd, S / 10)};
    has_error[trace] |= s->status == 2;
    return s;
}

/* What a service does when it is called: some of all that makes an edge. */
static void
gen_work(uint64_t trace, const struct made_span *in, int depth, struct ox_random *rnd)
{
    static const char *const services[] = {"web", "cart", "stock", "mail", "pay"};
    for (uint64_t n = ox_random_below(rnd, 3); n > 0; n--) {
        const char *next = services[ox_random_below(rnd, 5)];
        struct made_span *out = gen_span(trace, in->id, in->service, CLIENT, rnd), *s;
        uint64_t bytes = ox_random_below(rnd, 3) == 0 ? 100 : 0;
        switch (depth > 3 ? 1 : ox_random_below(rnd, 5)) {
        case 0:
            out->kind = INTERNAL; /* not instrumented */
            if (strcmp(next, in->service) == 0)
                break;
            s = gen_span(trace, out->id, next, SERVER, rnd);
            true_call(in->service, next, "", s->status == 2, 0, s->duration_ns, 0);
            gen_work(trace, s, depth + 1, rnd);
            break;
        case 1:
            out->attrs[0] = "db.system.name", out->attrs[1] = "postgresql";
            true_call(in->service, "postgresql", "database", out->status == 2, out->duration_ns, 0, 0);
            break;
        case 2:
            out->kind = PRODUCER;
            s = gen_span(trace, ox_random_below(rnd, 2) == 0 ? out->id : 0, next, CONSUMER, rnd);
            s->link_trace = s->parent == 0 ? trace : 0;
            s->link_id = s->parent == 0 ? out->id : 0;
            true_call(in->service, next, "messaging_system", out->status == 2 || s->status == 2,
                      out->duration_ns, s->duration_ns, 0);
            gen_work(trace, s, depth + 1, rnd);
            break;
        default:
            if (bytes > 0)
                out->attrs[0] = "http.request.body.size", out->attrs[1] = "100";
            s = gen_span(trace, out->id, next, SERVER, rnd);
            true_call(in->service, next, "", out->status == 2 || s->status == 2, out->duration_ns,
                      s->duration_ns, bytes);
            gen_work(trace, s, depth + 1, rnd);
        }
    }
}

static void
generate(void)
{
    struct ox_random rnd;
    ox_random_seed(&rnd, 41);
    n_gen = n_truth = 0;
    memset(has_error, 0, sizeof(has_error));
    for (uint64_t trace = 1; trace <= TRACES; trace++)
        gen_work(trace, gen_span(trace, 0, "web", SERVER, &rnd), 0, &rnd);
    qsort(truth, n_truth, sizeof(*truth), by_name);
}

/* Each trace somewhere in a minute, its spans within 900 ms in any order, requests of up to 16 spans. A tenth of the
 * spans is sent again in the same second, as after a lost answer, under other positions: `again` says so. */
struct arrival {
    uint64_t at_ns;
    uint32_t span;
};

static int
by_arrival(const void *a, const void *b)
{
    const struct arrival *x = a, *y = b;
    return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

static uint32_t
arrange(struct arrival *list, bool again, uint64_t seed)
{
    static uint64_t base[TRACES + 1];
    struct ox_random rnd;
    uint32_t n = 0;
    ox_random_seed(&rnd, seed);
    for (uint32_t t = 0; t <= TRACES; t++)
        base[t] = T0 + S + ox_random_below(&rnd, 60 * S);
    for (uint32_t i = 0; i < n_gen; i++) {
        list[n++] = (struct arrival){base[gen[i].trace] + ox_random_below(&rnd, 900 * MS), i};
        if (again && ox_random_below(&rnd, 10) == 0)
            list[n++] = (struct arrival){base[gen[i].trace] + ox_random_below(&rnd, 900 * MS), i};
    }
    qsort(list, n, sizeof(*list), by_arrival);
    return n;
}

static uint32_t
replay(const struct arrival *list, uint32_t n, uint64_t seed)
{
    struct ox_random rnd;
    uint64_t seq = 1;
    ox_random_seed(&rnd, seed);
    for (uint32_t i = 0; i < n; seq++) {
        uint32_t k = 1 + (uint32_t)ox_random_below(&rnd, 16);
        uint64_t now = list[i].at_ns;
        struct ox_batch *b = made_batch(seq, now);
        for (; k > 0 && i < n && list[i].at_ns < now + 20 * MS; k--)
            made_add(b, &gen[list[i++].span]);
        ox_trace_buffer_add(w.buffer, b, now);
        tick(now);
        ox_batch_free(b);
    }
    return (uint32_t)seq;
}

static uint64_t
threshold_of(uint64_t trace)
{
    return has_error[trace] ? 0 : THRESHOLD;
}

static void
must_have_come_out_once(uint32_t spans)
{
    uint32_t once = 0;
    for (uint32_t i = 0; i < w.n_seen; i++) {
        cr_assert_leq(w.seen[i], 1, "position %u came out %u times", i, w.seen[i]);
        once += w.seen[i];
    }
    cr_assert_eq(once, spans);
    cr_assert_eq(ox_trace_buffer_spans(w.buffer), 0);
    cr_assert_eq(ox_trace_buffer_traces(w.buffer), 0);
}

static void
must_be_the_truth(void)
{
    cr_assert_eq(w.n_edges, n_truth);
    qsort(w.edges, w.n_edges, sizeof(*w.edges), by_name);
    for (uint32_t e = 0; e < n_truth; e++) {
        const struct edge *is = &w.edges[e], *want = &truth[e];
        cr_assert_str_eq(is->name, want->name);
        cr_assert(is->calls == want->calls && is->errors == want->errors && is->bytes == want->bytes &&
                      is->client_ns == want->client_ns && is->server_ns == want->server_ns,
                  "%s: %llu calls, want %llu", is->name, (unsigned long long)is->calls,
                  (unsigned long long)want->calls);
    }
}

Test(trace_buffer, any_order_of_arrival_gives_the_same_decisions_and_edges)
{
    static struct arrival list[2 * GEN_SPANS];
    struct ox_trace_buffer_options o = plain_options();
    generate();
    cr_assert(n_gen > 10000 && n_truth >= 20, "%u spans, %u edges", n_gen, n_truth);
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint32_t n = arrange(list, seed % 2 == 0, seed);
        begin(&o, RULES, n);
        replay(list, n, seed);
        tick(T0 + 100 * S);
        must_have_come_out_once(n);
        must_be_the_truth();
        cr_assert_eq(w.n_outs, TRACES, "seed %llu", (unsigned long long)seed);
        qsort(w.outs, w.n_outs, sizeof(*w.outs), by_id);
        for (uint64_t t = 1; t <= TRACES; t++) {
            struct out key = {0};
            made_trace_id(t, key.trace_id);
            const struct out *is = bsearch(&key, w.outs, w.n_outs, sizeof(*w.outs), by_id);
            cr_assert_not_null(is);
            cr_assert_eq(is->threshold, threshold_of(t), "trace %llu", (unsigned long long)t);
            cr_assert_eq(is->kept, ox_trace_randomness(key.trace_id) >= threshold_of(t));
            cr_assert(is->why == OX_WHY_ROOT && !is->biased);
        }
        end();
    }
}

Test(trace_buffer, without_room_it_decides_the_oldest_and_says_so)
{
    static struct arrival list[2 * GEN_SPANS];
    struct ox_trace_buffer_options o = plain_options();
    generate();
    o.spans_max = 100;
    o.traces_max = 30;
    uint32_t n = arrange(list, false, 5), biased = 0, errors_kept = 0;
    begin(&o, RULES, n);
    replay(list, n, 5);
    cr_assert_leq(ox_trace_buffer_spans(w.buffer), 100);
    tick(T0 + 100 * S);
    must_have_come_out_once(n);
    for (uint32_t i = 0; i < w.n_outs; i++) {
        biased += w.outs[i].biased;
        errors_kept += w.outs[i].winner == OX_WON_KEEP && w.outs[i].kept;
        cr_assert_eq(w.outs[i].biased, w.outs[i].why == OX_WHY_PRESSURE);
    }
    cr_assert_gt(biased, 100);
    cr_assert_gt(errors_kept, 0);
    cr_assert_leq(ox_trace_buffer_bytes(w.buffer), 4u << 20);
    end();
}

/* ---- one by one ---- */

/* A trace that is dropped by its rate, and one that is kept. */
static uint64_t
a_trace(bool kept)
{
    uint8_t id[16];
    for (uint64_t t = 1;; t++) {
        made_trace_id(t, id);
        if ((ox_trace_randomness(id) >= THRESHOLD) == kept)
            return t;
    }
}

static const struct out *
last_out(uint32_t n)
{
    cr_assert_eq(w.n_outs, n, "%u decisions", w.n_outs);
    return n > 0 ? &w.outs[n - 1] : NULL;
}

Test(trace_buffer, a_trace_waits_for_quiet_after_its_root)
{
    struct ox_trace_buffer_options o = plain_options();
    struct made_span child = {1, 2, 1, "web", .kind = CLIENT}, root = {1, 1, 0, "web", .kind = SERVER};
    begin(&o, RULES, 10);
    cr_assert_eq(ox_trace_buffer_next_ns(w.buffer), UINT64_MAX);
    send(1, &child, 1, T0);
    tick(T0 + 9 * S);
    last_out(0);
    send(2, &root, 1, T0 + 9 * S - 500 * MS);
    tick(T0 + 9 * S);
    last_out(0);
    child.id = 3;
    send(3, &child, 1, T0 + 9 * S);
    cr_assert_leq(ox_trace_buffer_next_ns(w.buffer), T0 + 10 * S);
    tick(T0 + 10 * S - OX__WHEEL_TICK_NS);
    last_out(0);
    tick(T0 + 10 * S);
    const struct out *d = last_out(1);
    cr_assert(d->spans == 3 && d->waited_ns == 10 * S && d->why == OX_WHY_ROOT);
    end();
}

Test(trace_buffer, a_trace_without_its_root_waits_for_the_limit)
{
    struct ox_trace_buffer_options o = plain_options();
    struct made_span child = {1, 2, 1, "web", .kind = CLIENT};
    begin(&o, RULES, 300);
    for (uint64_t i = 0; i < 20; i++) { /* and no longer, however much keeps coming */
        child.id = 10 + i;
        send(1 + i, &child, 1, T0 + i * S / 2);
        tick(T0 + i * S / 2);
    }
    tick(T0 + 10 * S);
    cr_assert_eq(last_out(1)->why, OX_WHY_WAIT);
    end();
}

/* Traces that begin with `web` are whole after 300 ms: then one does not wait ten seconds for the root of another. */
Test(trace_buffer, the_limit_and_the_quiet_follow_what_is_usual)
{
    struct ox_trace_buffer_options o = plain_options();
    uint64_t now = T0;
    o.wait_min_ns = 500 * MS;
    o.quiet_min_ns = 100 * MS;
    begin(&o, RULES, 3000);
    for (uint64_t t = 1; t <= 400; t++) {
        struct made_span child = {t, 2, 1, "web", .kind = CLIENT, .start_ns = now - 50 * MS},
                         root = {t, 1, 0, "web", .kind = SERVER, .start_ns = now + 250 * MS};
        send(2 * t, &child, 1, now);
        send(2 * t + 1, &root, 1, now + 300 * MS);
        now += 2 * S;
        tick(now);
    }
    cr_assert_eq(last_out(400)->why, OX_WHY_ROOT);
    struct made_span lone = {900, 2, 1, "web", .kind = CLIENT, .start_ns = now},
                     root = {901, 1, 0, "web", .kind = SERVER, .start_ns = now};
    send(1000, &lone, 1, now);
    send(1001, &root, 1, now);
    tick(now + 110 * MS);
    last_out(401);
    cr_assert_eq(w.outs[400].why, OX_WHY_ROOT, "quiet for 100 ms");
    tick(now + 510 * MS);
    cr_assert_eq(last_out(402)->why, OX_WHY_WAIT, "half a second, not ten");
    end();
}

Test(trace_buffer, late_spans_go_the_way_of_their_trace)
{
    struct ox_trace_buffer_options o = plain_options();
    begin(&o, RULES, 20);
    for (int kept = 0; kept < 2; kept++) {
        uint64_t trace = a_trace(kept), now = T0 + (uint64_t)kept * 100 * S, seq = 1 + 5 * (uint64_t)kept;
        struct made_span root = {trace, 1, 0, "web", .kind = SERVER},
                         late = {trace, 2, 1, "cart", .kind = SERVER};
        w.n_outs = 0;
        send(seq, &root, 1, now);
        tick(now + 2 * S);
        cr_assert_eq(last_out(1)->kept, kept);
        send(seq + 1, &late, 1, now + 50 * S);
        tick(now + 52 * S);
        const struct out *d = last_out(2);
        cr_assert(d->why == OX_WHY_LATE && d->kept == kept && d->threshold == THRESHOLD && !d->promoted);
    }
    cr_assert_eq(ox_trace_buffer_stats(w.buffer)->late_spans, 2);
    end();
}

/* Of whatever the trace was: the error's probability counts for it, and for all that comes after it or waits with it.
 * */
Test(trace_buffer, a_late_error_promotes_what_waits_with_it)
{
    struct ox_trace_buffer_options o = plain_options();
    begin(&o, RULES, 30);
    for (int kept = 0; kept < 2; kept++) {
        uint64_t trace = a_trace(kept), now = T0 + (uint64_t)kept * 100 * S, seq = 1 + 10 * (uint64_t)kept;
        struct made_span root = {trace, 1, 0, "web", .kind = SERVER},
                         late = {trace, 2, 1, "cart", .kind = SERVER};
        w.n_outs = 0;
        send(seq, &root, 1, now);
        tick(now + 2 * S);
        send(seq + 1, &late, 1, now + 20 * S);
        late.id = 3;
        late.status = 2;
        send(seq + 2, &late, 1, now + 20 * S + 500 * MS);
        tick(now + 23 * S);
        const struct out *d = last_out(2);
        cr_assert(d->kept && d->threshold == 0 && d->spans == 2 && d->promoted == !kept,
                  "p is 1 in both cases");
        late.id = 4;
        late.status = 0;
        send(seq + 3, &late, 1, now + 50 * S);
        tick(now + 52 * S);
        cr_assert(last_out(3)->kept && w.outs[2].threshold == 0 && !w.outs[2].promoted);
    }
    end();
}

Test(trace_buffer, a_decision_that_is_forgotten_is_made_anew)
{
    struct ox_trace_buffer_options o = plain_options();
    o.decisions_max = 1;
    begin(&o, RULES, 30);
    struct made_span a = {1, 1, 0, "web", .kind = SERVER}, b = {2, 1, 0, "web", .kind = SERVER};
    send(1, &a, 1, T0);
    tick(T0 + 2 * S);
    send(2, &b, 1, T0 + 2 * S);
    tick(T0 + 4 * S);
    a.id = 2;
    send(3, &a, 1, T0 + 5 * S);
    tick(T0 + 7 * S);
    cr_assert_eq(last_out(3)->why, OX_WHY_ROOT);
    cr_assert_eq(w.outs[2].kept, w.outs[0].kept, "by the same R and the same rules");
    end();
}

Test(trace_buffer, errors_are_the_last_to_leave_for_want_of_room)
{
    struct ox_trace_buffer_options o = plain_options();
    o.traces_max = 4;
    begin(&o, RULES, 30);
    for (uint64_t t = 1; t <= 7; t++) {
        struct made_span s = {t, 1, 9, "web", .kind = SERVER, .status = t <= 2 ? 2 : 0};
        send(t, &s, 1, T0 + t * MS);
    }
    uint8_t id[16];
    for (uint32_t i = 0; i < 3; i++) {
        made_trace_id(3 + i, id);
        cr_assert_eq(memcmp(w.outs[i].trace_id, id, 16), 0, "the oldest without an error: %u", i);
        cr_assert(w.outs[i].why == OX_WHY_PRESSURE && w.outs[i].biased);
    }
    for (uint64_t t = 8; t <= 11; t++) {
        struct made_span s = {t, 1, 9, "web", .kind = SERVER, .status = 2};
        send(t, &s, 1, T0 + t * MS);
    }
    made_trace_id(1, id);
    cr_assert_eq(memcmp(w.outs[5].trace_id, id, 16), 0, "then the oldest at all");
    end();
}

Test(trace_buffer, a_trace_without_end_is_decided_at_its_bound)
{
    struct ox_trace_buffer_options o = plain_options();
    o.trace_spans_max = 100;
    begin(&o, RULES, 1000);
    for (uint64_t i = 1; i <= 250; i++) {
        struct made_span s = {1, i, 999, "web", .kind = SERVER};
        send(i, &s, 1, T0 + i * MS);
    }
    cr_assert_eq(w.outs[0].why, OX_WHY_SIZE);
    cr_assert(w.outs[0].biased && w.outs[0].spans == 100);
    ox_trace_buffer_flush(w.buffer, T0 + S);
    must_have_come_out_once(250);
    end();
}

Test(trace_buffer, thresholds_and_random_numbers_of_the_head)
{
    struct ox_trace_buffer_options o = plain_options();
    begin(&o, "sampling: {default: {rates: [{probability: 0.25}], keep: [{name: head, if: {head: true}}]}}",
          30);
    uint64_t dropped = a_trace(false), kept = a_trace(true);
    struct made_span s = {dropped, 1, 0, "web", .kind = SERVER, .tracestate = "ot=rv:ffffffffffffff"};
    send(1, &s, 1, T0);
    tick(T0 + 2 * S);
    cr_assert(last_out(1)->kept, "by rv, not by its id");
    s = (struct made_span){kept, 1, 0, "web", .kind = SERVER, .tracestate = "ot=rv:00000000000000"};
    send(2, &s, 1, T0 + 3 * S);
    tick(T0 + 5 * S);
    cr_assert_not(last_out(2)->kept);
    s = (struct made_span){77, 1, 0, "web", .kind = SERVER, .tracestate = "ot=th:8;rv:80000000000000"};
    send(3, &s, 1, T0 + 6 * S);
    tick(T0 + 8 * S);
    cr_assert(last_out(3)->kept && w.outs[2].winner == OX_WON_KEEP);
    s = (struct made_span){78, 1, 0, "web", .kind = SERVER, .tracestate = "ot=th:8;rv:00000000000001"};
    send(4, &s, 1, T0 + 9 * S);
    tick(T0 + 11 * S);
    cr_assert_eq(ox_trace_buffer_stats(w.buffer)->faults[OX_TRACESTATE_INCONSISTENT], 1);
    cr_assert_not(last_out(4)->kept, "a threshold that it did not pass honours nothing");
    end();
}

Test(trace_buffer, what_waits_is_decided_by_the_rules_it_came_under)
{
    struct ox_trace_buffer_options o = plain_options();
    struct made_span s = {a_trace(false), 1, 0, "web", .kind = SERVER};
    begin(&o, RULES, 30);
    struct ox_sampling_set *all = ox_sampling_default();
    send(1, &s, 1, T0);
    ox_trace_buffer_set_rules(w.buffer, of(all), T0 + MS);
    cr_assert(last_out(1)->why == OX_WHY_FLUSH && !w.outs[0].kept);
    s.trace = 1000;
    send(2, &s, 1, T0 + S);
    tick(T0 + 3 * S);
    cr_assert(last_out(2)->kept);
    end();
    ox_sampling_free(all);
}

Test(trace_buffer, refused_spans_and_links_elsewhere)
{
    struct ox_trace_buffer_options o = plain_options();
    struct made_span s = {1, 1, 0, "web", .kind = CONSUMER, .link_trace = 2, .link_id = 9};
    begin(&o, RULES, 30);
    struct ox_batch *b = made_batch(1, T0);
    made_add(b, &s);
    made_add(b, &s);
    b->spans[0].reject = OX_REJECT_NAME;
    ox_trace_buffer_add(w.buffer, b, T0);
    ox_batch_free(b);
    cr_assert_eq(ox_trace_buffer_spans(w.buffer), 1);
    cr_assert_eq(ox_trace_buffer_stats(w.buffer)->links_elsewhere, 1);
    tick(T0 + 2 * S);
    cr_assert(w.seen[16] == 0 && w.seen[17] == 1);
    end();
}

/* Unbiased through late spans, promotion, pressure and a budget: sums of weights against all spans that came. */
Test(trace_buffer, weights_estimate_the_truth)
{
    static struct arrival list[2 * GEN_SPANS];
    struct ox_trace_buffer_options o = plain_options();
    double estimate = 0, variance = 0;
    generate();
    o.spans_max = 120;
    o.traces_max = 15; /* many are decided too early, and so many spans are late */
    uint32_t n = arrange(list, false, 3);
    begin(&o, RULES, n);
    replay(list, n, 3);
    ox_trace_buffer_flush(w.buffer, T0 + 100 * S);
    must_have_come_out_once(n);
    for (uint32_t i = 0; i < w.n_outs; i++) {
        double weight = ox_sampling_weight(w.outs[i].threshold, 0);
        estimate += w.outs[i].kept ? weight * w.outs[i].spans : 0;
        variance += w.outs[i].spans * (double)w.outs[i].spans * (weight - 1);
    }
    cr_assert_gt(ox_trace_buffer_stats(w.buffer)->late_spans, 1000);
    cr_assert_gt(ox_trace_buffer_stats(w.buffer)->promoted_spans, 10);
    cr_assert_lt(fabs(estimate - n), 6 * sqrt(variance), "%g, want %u, deviation %g", estimate, n,
                 sqrt(variance));
    end();
}
