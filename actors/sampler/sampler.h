/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/sampler.h - the part of a tenant's actor that decides which traces are kept.
 *
 * Owns:    the trace buffer, the custody of what waits in it, traces that are decided and not read again yet.
 * Threads: the tenant's actor's turns; entries of the log are read again on dirty threads, one job at a time.
 * Bounds:  ox_trace_buffer_options; a job's entries TRACE_JOB_BYTES, one trace may overshoot.
 * Fails:   no memory is a panic of the tenant's actor: what waits is read from the log again.
 * Flow:    parcel of spans -> ox__sampler_take -> ... decided -> (dirty thread: read again) -> ox__sampler_read ->
 *          parcels that belong together, to the writer.
 *
 * Spans that wait are in no message: the log holds them, unaccounted for, and custody says which. A decision goes into
 * the same entry of the outbox as the spans that it is about (ox/outbox_entry.h), so no trace is decided twice.
 */
#ifndef OX_SAMPLER_SAMPLER_H
#define OX_SAMPLER_SAMPLER_H

#include "ox/spine.h"

struct ox__sampler;
struct ox__trace_job;

/* node, tenant: lend. NULL without memory. */
struct ox__sampler *ox__sampler_new(struct ox_node *node, struct ox_tenant *tenant);
void ox__sampler_free(struct ox__sampler *s);
/* The custody (steal), for the last words; NULL when nothing waits. */
struct ox_custody *ox__sampler_custody(struct ox__sampler *s);

/* Whether the tenant's spans have to wait for a decision: its rules may drop some. Looks whether there are new rules; what
 * waits is then decided by the old ones. */
bool ox__sampler_wants(struct ox__sampler *s);
/* All spans of a parcel wait from now on. parcel: lend; the caller frees it. */
void ox__sampler_take(struct ox_actor *self, struct ox__sampler *s, const struct ox_parcel *parcel);
/* `traces_due`: decides what is due. room: the writers take more; otherwise nothing is read again now. */
void ox__sampler_due(struct ox_actor *self, struct ox__sampler *s, bool room);
/* `traces_read`: the parcels of decided traces, first of a chain (steal), or NULL. */
struct ox_parcel *ox__sampler_read(struct ox_actor *self, struct ox__sampler *s, struct ox__trace_job *job);

/* ---- trace_job.c ---- */

struct ox_trace_decided;
/* A decided trace that is to be read again. */
struct ox__verdict {
    struct ox__verdict *next;
    struct ox_outbox_decision decision;
    uint32_t tries;
    uint32_t n;
    struct ox__verdict_span {
        uint64_t wal_seq;
        uint32_t ordinal;
    } spans[];
};
struct ox__trace_job {
    struct ox_node *node;
    struct ox_tenant *tenant;
    struct ox__verdict *todo; /* in order; what is left is for the next job */
    struct ox__verdict *done, *failed;
    struct ox_parcel **parcels;
    size_t n_parcels, cap_parcels;
    uint64_t bytes;
    struct ox_parcel *chain; /* of all parcels with spans in them, what was decided in the first */
    bool nomem;
};
/* Reads and marks; a job function. */
void ox__trace_job_run(void *job);
void ox__trace_job_free(void *job);

#endif
