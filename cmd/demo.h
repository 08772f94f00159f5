/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/demo.h - a shop of twelve services that tells one story: checkout goes slow because the payment database runs
 * out of connections.
 *
 * Owns:    struct ox_demo: the random generator and the shop's cumulative metrics.
 * Threads: one.
 * Bounds:  OX_DEMO_SPANS_MAX spans per trace.
 *
 * The same seed, rate and ticks give the same bytes: ids, durations, logs and values come from the seed alone.
 */
#ifndef OX_DEMO_H
#define OX_DEMO_H

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/random.h"

#define OX_DEMO_SPANS_MAX 64
#define OX_DEMO_SERVICES  12

struct ox_demo_options {
    uint64_t seed;
    double traces_per_s;
    uint32_t story_s; /* length of one round of the story: healthy, pool fills, exhausted, recovered */
};

/* Where the story is: 0..1 of a round decides the phase, `pool` is the share of database connections in use. */
enum ox_demo_phase { OX_DEMO_HEALTHY, OX_DEMO_FILLING, OX_DEMO_EXHAUSTED, OX_DEMO_RECOVERED };
struct ox_demo_state {
    enum ox_demo_phase phase;
    double pool;
};
/* The state `at_ns` after the begin of the demo. Pure. */
struct ox_demo_state ox_demo_state_at(const struct ox_demo_options *options, uint64_t at_ns);

/* One span of a trace; a node of the call tree below. */
struct ox_demo_span {
    uint8_t span_id[8];
    uint8_t parent_id[8]; /* all zero = root */
    uint32_t service;
    const char *name;
    uint8_t kind; /* OTLP SpanKind */
    uint64_t start_ns, end_ns;
    bool error;
    const char *status_message;
    const char *db_statement; /* NULL = none */
    const char *peer;         /* peer.service; NULL = none */
    const char *route;        /* http.route; NULL = none */
    uint32_t http_status;     /* 0 = none */
};

struct ox_demo_trace {
    uint8_t trace_id[16];
    const char *journey; /* "checkout", "browse", ... */
    uint32_t n_spans;
    struct ox_demo_span spans[OX_DEMO_SPANS_MAX];
};

struct ox_demo_log {
    uint64_t time_ns;
    uint32_t service;
    uint8_t severity; /* OTLP number */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    char body[192];
};

extern const char *const ox_demo_services[OX_DEMO_SERVICES];

/* One trace that begins at start_ns; logs (at most cap) of it are appended behind *n_logs. */
void ox_demo_trace_make(struct ox_random *rnd, struct ox_demo_state state, uint64_t start_ns,
                        struct ox_demo_trace *trace, struct ox_demo_log *logs, size_t cap, size_t *n_logs);

struct ox_demo;
/* options: lend. NULL on lack of memory. */
struct ox_demo *ox_demo_new(const struct ox_demo_options *options);
void ox_demo_free(struct ox_demo *demo);

/* What one tick produced: an Export…ServiceRequest per signal (empty when there is nothing) and its records. */
struct ox_demo_output {
    struct ox_buf requests[OX_SIGNAL__COUNT];
    uint64_t records[OX_SIGNAL__COUNT];
};

/*
 * The telemetry of [from_ns, to_ns) Unix time, in the shop's begin at begin_ns. Replaces the content of `out`.
 * NOMEM.
 */
OX_MUST_USE ox_err ox_demo_tick(struct ox_demo *demo, uint64_t begin_ns, uint64_t from_ns, uint64_t to_ns,
                                struct ox_demo_output *out);
void ox_demo_output_fini(struct ox_demo_output *out);

#endif
