/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/sampler.c - see sampler.h.
 *
 * Owns, Threads, Bounds, Fails, Flow: see there.
 */
#include "actors/sampler/sampler.h"

#include <stdlib.h>

#include "actors/sampler/trace_buffer.h"
#include "ox/custody.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/sampling.h"
#include "ox/trace_decisions.h"

#define TRACES_PER_TURN 512
#define VERDICTS_MAX    50000 /* decided and not read again: nothing more is decided until they are fewer */
#define AGAIN_MS        5     /* before more is decided when a turn did not decide all */
#define RETRY_MS        500   /* before entries that could not be read are tried again */
#define TRIES_MAX       20
#define FILL_FLUSH      800 /* permille of the log: from here on nothing waits */
#define LOOK_MS         250 /* while something waits: whether the node stops or the log fills up */
#define DECISIONS_MAX   (1u << 17)
#define SPANS_MAX       (1u << 18) /* of one tenant */
#define PART            16 /* of sampling.spans_max, from which on a tenant is one of those that fill it */

struct ox__sampler {
    struct ox_node *node;
    struct ox_tenant *tenant;
    const struct ox_sampling_set *set; /* in force */
    const struct ox_sampling *rules;   /* of this tenant; NULL = everything is kept */
    struct ox_trace_buffer *buffer;
    struct ox_custody *custody;
    struct ox__verdict *head, **end;
    uint32_t n_verdicts;
    bool reading;
    uint64_t timer, due_ns;
};

struct ox__sampler *
ox__sampler_new(struct ox_node *node, struct ox_tenant *tenant)
{
    struct ox__sampler *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->node = node;
    s->tenant = tenant;
    s->end = &s->head;
    return s;
}

void
ox__sampler_free(struct ox__sampler *s)
{
    if (s == NULL)
        return;
    while (s->head != NULL) {
        struct ox__verdict *v = s->head;
        s->head = v->next;
        free(v);
    }
    ox_trace_buffer_free(s->buffer);
    if (s->custody != NULL)
        atomic_fetch_sub_explicit(&s->node->sampler_held, ox_custody_records(s->custody),
                                  memory_order_relaxed);
    ox_custody_free(s->custody);
    free(s);
}

struct ox_custody *
ox__sampler_custody(struct ox__sampler *s)
{
    struct ox_custody *c = s != NULL ? s->custody : NULL;
    if (c == NULL || ox_custody_records(c) == 0)
        return NULL;
    s->custody = NULL;
    return c;
}

/* ---- decisions ---- */

static struct ox_str
tenant_name(const struct ox__sampler *s)
{
    return ox_str_of(s->tenant->id.name);
}

static void
count(const struct ox__sampler *s, const struct ox_trace_decided *d)
{
    struct ox_str policy = ox_str_of(ox_sampling_winner_name(d->decision.winner));
    OX_METRIC_ADD_L(OX_M_sampler_spans, d->n_spans, tenant_name(s),
                    d->decision.kept ? OX_STR("kept") : OX_STR("dropped"), policy);
    if (d->why != OX_WHY_LATE)
        OX_METRIC_ADD_L(OX_M_sampler_traces, 1, tenant_name(s), ox_str_of(ox_decided_why_name(d->why)));
    if (d->biased)
        OX_METRIC_ADD_L(OX_M_sampler_biased, 1, tenant_name(s));
    ox_metric_observe(OX_M_sampler_wait, (double)d->waited_ns / 1e9);
}

static void
on_decided(void *arg, const struct ox_trace_decided *d)
{
    struct ox__sampler *s = arg;
    struct ox__verdict *v = malloc(sizeof(*v) + d->n_spans * sizeof(v->spans[0]));
    if (v == NULL)
        ox_panic("no memory for a decided trace");
    *v = (struct ox__verdict){.n = d->n_spans,
                              .decision = {.threshold = d->decision.threshold,
                                           .kept = d->decision.kept,
                                           .winner = d->decision.winner,
                                           .rule = d->decision.rule}};
    memcpy(v->decision.trace_id, d->trace_id, sizeof(v->decision.trace_id));
    for (uint32_t i = 0; i < d->n_spans; i++)
        v->spans[i] = (struct ox__verdict_span){d->spans[i].wal_seq, d->spans[i].ordinal};
    *s->end = v;
    s->end = &v->next;
    s->n_verdicts++;
    count(s, d);
}

/* ---- what waits ---- */

/* What became of its last traces before a crash, as far as the outbox remembers. */
static void
load_decisions(struct ox__sampler *s)
{
    struct ox_buf saved;
    if (s->tenant->decisions == NULL)
        return;
    ox_buf_init(&saved);
    ox_trace_decisions_save(s->tenant->decisions, &saved);
    if (saved.failed ||
        ox_trace_decisions_load(ox_trace_buffer_decisions(s->buffer), ox_buf_str(&saved)) != OX_OK)
        ox_panic("no memory for the decisions of tenant %s", s->tenant->id.name);
    ox_buf_fini(&saved);
}

static void
open_buffer(struct ox__sampler *s)
{
    struct ox_trace_buffer_options options;
    ox_trace_buffer_options_default(&options);
    options.seed = s->node->boot_nonce;
    options.decisions_max = DECISIONS_MAX;
    options.spans_max = SPANS_MAX;
    s->custody = ox_custody_new();
    if (s->custody == NULL ||
        ox_trace_buffer_new(&options, s->rules, ox_now_ns(), on_decided, s, &s->buffer) != OX_OK)
        ox_panic("no memory for the traces of tenant %s that wait", s->tenant->id.name);
    load_decisions(s);
}

bool
ox__sampler_wants(struct ox__sampler *s)
{
    /* acquire: pairs with the release of who published the rules */
    const struct ox_sampling_set *set = atomic_load_explicit(&s->node->sampling, memory_order_acquire);
    if (set != s->set) {
        s->set = set;
        s->rules = set != NULL ? ox_sampling_of(set, &s->tenant->id) : NULL;
        if (s->buffer != NULL && s->rules != NULL)
            ox_trace_buffer_set_rules(s->buffer, s->rules, ox_now_ns());
    }
    return s->rules != NULL && ox_sampling_can_drop(s->rules);
}

static void
arm(struct ox_actor *self, struct ox__sampler *s, uint64_t at_ns)
{
    uint64_t now = ox_now_ns();
    if (at_ns == UINT64_MAX || (s->timer != 0 && s->due_ns <= at_ns))
        return;
    if (s->timer != 0)
        ox_timer_cancel(self, s->timer);
    s->due_ns = at_ns;
    uint64_t ms = at_ns > now ? (at_ns - now) / 1000000 + 1 : 0;
    if (ox_timer_start(self, ms, OX_K_traces_due, 0, &s->timer) != OX_OK)
        ox_panic("no timer for traces that wait");
}

static uint64_t
next_ns(const struct ox__sampler *s, uint64_t now)
{
    uint64_t next = ox_trace_buffer_next_ns(s->buffer), look = now + LOOK_MS * 1000000ull;
    return next == UINT64_MAX || next < look ? next : look;
}

/* A panic before the end leaves nothing of the parcel in custody: it is given back as a whole then. */
static void
take_custody(struct ox__sampler *s, const struct ox_batch *batch)
{
    uint32_t i = 0;
    ox_err err = OX_OK;
    for (; i < batch->n_spans && err == OX_OK; i++) {
        if (batch->spans[i].reject == OX_REJECT_NONE)
            err = ox_custody_take(s->custody, batch->wal_seq, batch->spans[i].ordinal);
    }
    if (err == OX_OK)
        return;
    for (i--; i-- > 0;) {
        if (batch->spans[i].reject == OX_REJECT_NONE)
            (void)ox_custody_give(s->custody, batch->wal_seq, batch->spans[i].ordinal);
    }
    ox_panic("spans of log entry %llu cannot wait: %s", (unsigned long long)batch->wal_seq, ox_err_text(err));
}

void
ox__sampler_take(struct ox_actor *self, struct ox__sampler *s, const struct ox_parcel *parcel)
{
    if (s->buffer == NULL)
        open_buffer(s);
    uint64_t before = ox_custody_records(s->custody);
    ox_trace_buffer_add(s->buffer, parcel->batch, ox_now_ns());
    arm(self, s, s->head != NULL ? ox_now_ns() : next_ns(s, ox_now_ns()));
    take_custody(s, parcel->batch); /* the last: a panic before gives the parcel back as a whole */
    atomic_fetch_add_explicit(&s->node->sampler_held, ox_custody_records(s->custody) - before,
                              memory_order_relaxed);
}

/* ---- from decided to read ---- */

static void
start_job(struct ox_actor *self, struct ox__sampler *s)
{
    if (s->reading || s->head == NULL)
        return;
    struct ox__trace_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        ox_panic("no memory to read decided traces");
    job->node = s->node;
    job->tenant = s->tenant;
    job->todo = s->head;
    s->reading = ox_dirty_submit(self, NULL, ox__trace_job_run, job, OX_K_traces_read, ox__trace_job_free,
                                 NULL) == OX_OK;
    if (s->reading) {
        s->head = NULL;
        s->end = &s->head;
        return;
    }
    job->todo = NULL; /* still ours */
    free(job);
    arm(self, s, ox_now_ns() + AGAIN_MS * 1000000ull);
}

/* Whoever has much of it waiting makes room first. */
static bool
too_many_wait(const struct ox__sampler *s)
{
    uint64_t max = (uint64_t)ox_node_config(s->node)->sampling_spans_max;
    uint64_t all = atomic_load_explicit(&s->node->sampler_held, memory_order_relaxed);
    return all >= 2 * max || (all >= max && ox_custody_records(s->custody) >= max / PART);
}

/* The log must not fill up with what waits, and a node that stops in good order leaves nothing undecided. */
static bool
may_not_wait(const struct ox__sampler *s)
{
    return too_many_wait(s) || atomic_load_explicit(&s->node->wal_fill, memory_order_relaxed) >= FILL_FLUSH ||
           ox_node_phase(s->node) == OX_NODE_STOPPING;
}

void
ox__sampler_due(struct ox_actor *self, struct ox__sampler *s, bool room)
{
    s->timer = 0;
    if (s->buffer == NULL)
        return;
    uint64_t now = ox_now_ns(), again_ns = now + AGAIN_MS * 1000000ull;
    if (s->n_verdicts < VERDICTS_MAX) {
        if (may_not_wait(s))
            ox_trace_buffer_flush(s->buffer, now);
        bool all = ox_trace_buffer_tick(s->buffer, now, TRACES_PER_TURN);
        arm(self, s, all ? next_ns(s, now) : again_ns);
    }
    if (room)
        start_job(self, s);
    if (s->head != NULL && !s->reading)
        arm(self, s, again_ns);
}

/* They are in the hands of the writer's queue from now on, and no longer in ours. */
static void
give_custody(struct ox__sampler *s, const struct ox__verdict *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        bool had = ox_custody_give(s->custody, v->spans[i].wal_seq, v->spans[i].ordinal);
        OX_ASSERT(had);
    }
    atomic_fetch_sub_explicit(&s->node->sampler_held, v->n, memory_order_relaxed);
    s->n_verdicts--;
}

/* Memory that is missing makes a late span after a crash go its own way, and nothing else. */
static void
settle(struct ox__sampler *s, struct ox__verdict *list)
{
    while (list != NULL) {
        struct ox__verdict *v = list;
        list = v->next;
        give_custody(s, v);
        (void)!ox_tenant_remember(s->tenant, &v->decision, s->node->boot_nonce);
        free(v);
    }
}

/* Back to the front of those that wait. */
static void
put_back(struct ox__sampler *s, struct ox__verdict *list)
{
    struct ox__verdict **end = &list;
    if (list == NULL)
        return;
    while (*end != NULL)
        end = &(*end)->next;
    *end = s->head;
    if (s->head == NULL)
        s->end = end;
    s->head = list;
}

/* Not for ever: they stay in the log, and the next start tries again. */
static struct ox__verdict *
give_up(struct ox__sampler *s, struct ox__verdict *list)
{
    struct ox__verdict **at = &list;
    uint32_t traces = 0;
    while (*at != NULL) {
        struct ox__verdict *v = *at;
        if (++v->tries <= TRIES_MAX) {
            at = &v->next;
            continue;
        }
        *at = v->next;
        give_custody(s, v);
        free(v);
        traces++;
    }
    if (traces > 0)
        OX_LOG_ERROR(
            "sampler",
            "decided traces cannot be read from the log; they stay there and the next start tries again",
            OX_F_STR("tenant", s->tenant->id.name), OX_F_U64("traces", traces));
    return list;
}

struct ox_parcel *
ox__sampler_read(struct ox_actor *self, struct ox__sampler *s, struct ox__trace_job *job)
{
    struct ox_parcel *chain = job->chain;
    s->reading = false;
    struct ox__verdict *done = job->done, *failed = give_up(s, job->failed);
    job->chain = NULL;
    job->done = job->failed = NULL;
    put_back(s, job->todo);
    job->todo = NULL;
    bool wait = failed != NULL;
    put_back(s, failed);
    arm(self, s, wait ? ox_now_ns() + RETRY_MS * 1000000ull : ox_now_ns());
    settle(s, done); /* the last: from here on to the caller's queue nothing may panic */
    return chain;
}
