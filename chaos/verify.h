/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/verify.h - asks storage what is there, and holds it against what the clients were told.
 *
 * Owns:    nothing between calls.
 * Threads: main, while the load is paused.
 * Bounds:  CHAOS_SETTLE_S of waiting for acknowledged records to appear.
 */
#ifndef CHAOS_VERIFY_H
#define CHAOS_VERIFY_H

#include "chaos/load.h"
#include "ox/buf.h"

/* After that an acknowledged record that is not there is lost. */
#define CHAOS_SETTLE_S 90
/* Later than that it is delayed. */
#define CHAOS_DELAYED_MS 5000

struct chaos_verdict {
    uint64_t checked; /* ids looked at */
    uint64_t rows;    /* rows found for them */
    uint64_t lost, doubled;
    uint64_t misplaced; /* rows in a tenant or table that is not theirs, or that nobody sent */
    uint64_t views;     /* aggregates that disagree with their rows */
    uint64_t counters;  /* equations of /metrics that do not hold */
    uint64_t unanswered_stored, refused_stored;
    uint64_t damaged;    /* not there, and harm outside the promise hit them */
    uint64_t delayed;    /* acknowledged ids that took longer than CHAOS_DELAYED_MS after the load paused */
    uint64_t settle_ms;  /* until everything acknowledged was there */
    struct ox_buf lines; /* one finding a line, at most CHAOS_FINDINGS of them */
};

#define CHAOS_FINDINGS 100

struct chaos_verify {
    struct chaos_server *server;
    struct chaos_ids *ids;
    uint32_t round;    /* for the findings */
    uint32_t settle_s; /* how long to wait for what is missing; 0 = CHAOS_SETTLE_S */
};

/* The ids of this round, whose records are not older than since_ns (Unix time). Fates of what is lost or doubled change. */
void chaos_verify_round(const struct chaos_verify *v, uint64_t since_ns, struct chaos_verdict *out);
/* Every id since the first round, rows of unknown tenants, and the views. */
void chaos_verify_all(const struct chaos_verify *v, struct chaos_verdict *out);
void chaos_verdict_fini(struct chaos_verdict *out);

/* A sample of /metrics without labels; false while nobody answers or there is none. */
OX_MUST_USE bool chaos_metric(struct chaos_server *server, const char *name, double *out);

/* What a node counts of one signal of one tenant. */
struct chaos_counts {
    uint64_t received, acknowledged, duplicate, dropped;
};
/* Reads /metrics; false while nobody answers. of[lane] as in chaos/ids.h. */
OX_MUST_USE bool chaos_counts_read(const struct chaos_verify *v, struct chaos_counts *of);
/*
 * received = acknowledged + duplicate + dropped for every lane; and where `before` is not NULL (the same node has run
 * all along), what it counted as acknowledged since is at least what clients were told in this round and at most
 * that plus what they do not know of.
 */
void chaos_verify_counters(const struct chaos_verify *v, const struct chaos_counts *before,
                           struct chaos_verdict *out);

#endif
