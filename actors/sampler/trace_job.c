/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/trace_job.c - spans of decided traces, read from the log again.
 *
 * Owns:    the job while it runs.
 * Threads: a dirty thread.
 * Bounds:  TRACE_JOB_BYTES of log entries, PARCELS_MAX of them; one trace may overshoot.
 * Fails:   a trace of which an entry cannot be read is left to the next job, whole.
 * Flow:    sampler.c -> here -> sampler.c.
 *
 * Of an entry all spans are marked as accounted for but those of the traces at hand: what is kept gets its weight and
 * its threshold, what is dropped is counted. The permit is of these spans only.
 */
#include <stdlib.h>

#include "actors/sampler/sampler.h"
#include "actors/wal/wal_internal.h"
#include "ox/arena.h"
#include "ox/log.h"
#include "ox/sampling.h"
#include "ox/tracestate.h"

#define TRACE_JOB_BYTES (8u << 20)
#define PARCELS_MAX     2048 /* of a job: they are searched one by one; one trace may overshoot */
/* "ot=" "th:" 14 digits, ";" or ",", and a zero. */
#define THRESHOLD_ROOM 32

static void
free_verdicts(struct ox__verdict *list)
{
    while (list != NULL) {
        struct ox__verdict *v = list;
        list = v->next;
        free(v);
    }
}

void
ox__trace_job_free(void *arg)
{
    struct ox__trace_job *job = arg;
    if (job == NULL)
        return;
    for (size_t i = 0; i < job->n_parcels; i++)
        ox_parcel_free(job->parcels[i]);
    free(job->parcels);
    ox_parcel_free(job->chain);
    free_verdicts(job->todo);
    free_verdicts(job->done);
    free_verdicts(job->failed);
    free(job);
}

static void
mark_all(struct ox_batch *batch)
{
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        if (batch->spans[i].reject == OX_REJECT_NONE)
            batch->spans[i].reject = OX_REJECT_DISPOSED;
    }
}

/* The parcel of a log entry, read when it is not there yet. NULL = *err. */
static struct ox_parcel *
parcel_of(struct ox__trace_job *job, uint64_t seq, struct ox_buf *payload, ox_err *err)
{
    for (size_t i = job->n_parcels; i-- > 0;) {
        if (job->parcels[i]->batch->wal_seq == seq)
            return job->parcels[i];
    }
    if (job->n_parcels == job->cap_parcels) {
        size_t cap = job->cap_parcels != 0 ? 2 * job->cap_parcels : 32;
        struct ox_parcel **more = realloc(job->parcels, cap * sizeof(struct ox_parcel *));
        *err = more == NULL ? OX_E_NOMEM : OX_OK;
        if (more == NULL)
            return NULL;
        job->parcels = more;
        job->cap_parcels = cap;
    }
    struct ox_parcel *parcel = NULL;
    *err = ox__wal_read_parcel(job->node, job->node->log, seq, false, payload, &parcel);
    if (*err != OX_OK)
        return NULL;
    mark_all(parcel->batch);
    job->bytes += payload->len;
    job->parcels[job->n_parcels++] = parcel;
    return parcel;
}

static struct ox_span *
span_at(struct ox_batch *batch, uint32_t ordinal)
{
    uint32_t from = 0, to = batch->n_spans;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (batch->spans[middle].ordinal < ordinal)
            from = middle + 1;
        else
            to = middle;
    }
    OX_ASSERT(from < batch->n_spans && batch->spans[from].ordinal == ordinal);
    return &batch->spans[from];
}

/* A tracestate with the threshold in it, as text of the parcel's. What cannot be read stays as it is, and so does one
 * whose `rv` cannot: nobody could compare a threshold with it. */
static ox_err
write_threshold(struct ox__trace_job *job, struct ox_parcel *parcel, const struct ox_tracestate *state,
                uint64_t threshold, struct ox_str *text)
{
    size_t size = state->text.n + THRESHOLD_ROOM, n;
    if (state->fault == OX_TRACESTATE_BAD_RV)
        return OX_OK;
    if (parcel->texts == NULL)
        parcel->texts = ox_arena_new(SIZE_MAX, &job->node->replayed);
    char *out = parcel->texts != NULL ? ox_arena_alloc(parcel->texts, size) : NULL;
    if (out == NULL)
        return OX_E_NOMEM;
    if (ox_tracestate_write(state, threshold, out, size, &n) == OX_OK)
        *text = (struct ox_str){out, n};
    return OX_OK;
}

/* For how many a kept span stands, and in its tracestate by which threshold it was kept. */
static ox_err
weigh(struct ox__trace_job *job, struct ox_parcel *parcel, struct ox_span *span, uint64_t threshold)
{
    struct ox_tracestate state;
    ox_tracestate_read(span->trace_state, &state);
    (void)ox_tracestate_check(&state, span->trace_id);
    uint64_t came_with = state.has_th ? state.th : 0;
    span->weight = ox_sampling_weight(threshold, came_with);
    return threshold > came_with ? write_threshold(job, parcel, &state, threshold, &span->trace_state)
                                 : OX_OK;
}

/* All entries of the trace and all that may fail first, then its marks: a trace is done or it is not. */
static ox_err
do_trace(struct ox__trace_job *job, const struct ox__verdict *v, struct ox_buf *payload)
{
    ox_err err = OX_OK;
    for (uint32_t i = 0; i < v->n && err == OX_OK; i++) {
        struct ox_parcel *parcel = parcel_of(job, v->spans[i].wal_seq, payload, &err);
        if (parcel != NULL && v->decision.kept)
            err = weigh(job, parcel, span_at(parcel->batch, v->spans[i].ordinal), v->decision.threshold);
    }
    if (err != OX_OK)
        return err;
    for (uint32_t i = 0; i < v->n; i++) {
        struct ox_parcel *parcel = parcel_of(job, v->spans[i].wal_seq, payload, &err);
        struct ox_span *span = span_at(parcel->batch, v->spans[i].ordinal);
        span->reject = OX_REJECT_NONE;
        span->sampled_out = !v->decision.kept;
        parcel->permit.records++; /* counted here, taken below */
    }
    return OX_OK;
}

/* Its permit was of nothing; it becomes one of the spans that go on. */
static ox_err
permit(struct ox__trace_job *job, struct ox_parcel *parcel)
{
    uint32_t n = parcel->permit.records;
    parcel->permit.records = 0;
    ox_permit_give(&parcel->permit);
    return ox_permit_take(job->node->tenants, job->tenant, n, true, &parcel->permit, NULL);
}

/* Parcels with spans that go on become a chain, the others go. */
static ox_err
make_chain(struct ox__trace_job *job)
{
    struct ox_parcel **end = &job->chain;
    ox_err err = OX_OK;
    size_t n = job->n_parcels;
    job->n_parcels = 0;
    for (size_t i = 0; i < n; i++) {
        struct ox_parcel *parcel = job->parcels[i];
        bool wanted = parcel->permit.records > 0;
        if (wanted && err == OX_OK)
            err = permit(job, parcel);
        if (!wanted || err != OX_OK) {
            parcel->permit.records = 0;
            ox_parcel_free(parcel);
            continue;
        }
        *end = parcel;
        end = &parcel->together;
    }
    for (const struct ox__verdict *v = job->done; v != NULL && err == OX_OK; v = v->next) {
        struct ox_decided item = {.tenant = job->tenant, .decision = v->decision};
        err = ox_decided_add(&job->chain->decided, &item);
    }
    return err;
}

void
ox__trace_job_run(void *arg)
{
    struct ox__trace_job *job = arg;
    struct ox__verdict **done = &job->done, **failed = &job->failed;
    struct ox_buf payload;
    ox_buf_init(&payload);
    while (job->todo != NULL && job->bytes < TRACE_JOB_BYTES && job->n_parcels < PARCELS_MAX) {
        struct ox__verdict *v = job->todo;
        job->todo = v->next;
        v->next = NULL;
        bool ok = do_trace(job, v, &payload) == OX_OK;
        struct ox__verdict ***to = ok ? &done : &failed;
        **to = v;
        *to = &v->next;
    }
    ox_buf_fini(&payload);
    if (make_chain(job) == OX_OK)
        return;
    ox_parcel_free(job->chain); /* no memory for the last step: all of it once more */
    job->chain = NULL;
    *failed = job->done;
    job->done = NULL;
}
