/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/edges.h - what the spans of one trace say about services calling one another.
 *
 * Owns:    its scratch memory, which grows to the largest trace.
 * Threads: one at a time; depends on the spans alone, not on the order in which they came.
 * Fails:   NOMEM.
 * Flow:    decide.c: spans of a trace -> ox__edges_find -> calls, entries, keys for policies/sampling_memory.c.
 *
 * A call is counted once, from the side that knows most:
 *   client -> server      a SERVER span and its parent, a CLIENT span (or, not instrumented, any span of another
 *   service) producer -> consumer  a CONSUMER span and its parent; or, where the parent is no producer, each PRODUCER
 *   that it links to service -> service    any other span whose parent belongs to another service
 *   client -> peer        a CLIENT span without a child in another service: a database, a messaging system or anything
 *   else that
 *                         its attributes name; a PRODUCER that nobody consumed in this trace. Of two such spans, one
 *                         around the other, the outer
 * It is in error when either side is. A span that was sent twice counts once.
 */
#ifndef OX_SAMPLER_EDGES_H
#define OX_SAMPLER_EDGES_H

#include "actors/sampler/span_features.h"
#include "ox/sampling.h"

enum ox_edge_type { OX_EDGE_CALL, OX_EDGE_MESSAGING, OX_EDGE_DATABASE, OX_EDGE_EXTERNAL, OX_EDGE__COUNT };
/* "", "messaging_system", "database", "external": connection_type of otel_service_dependencies_1h. */
const char *ox_edge_type_name(enum ox_edge_type type);

struct ox_edge_call {
    struct ox_str client, server; /* views into the table of names */
    uint8_t type;                 /* enum ox_edge_type */
    bool error;
    bool has_client, has_server; /* which side was seen, and so which duration there is */
    uint64_t client_ns, server_ns;
    uint64_t time_ns;       /* when the call began, by the client's clock where it was seen */
    uint64_t request_bytes; /* 0 = not said */
};

struct ox__edges {
    const struct ox__span_features **spans; /* of the trace, in an order of their own; links apart */
    const struct ox__span_features **links;
    struct ox_edge_call *calls;
    struct ox_sampling_entry *entries;
    uint64_t *keys;  /* one per distinct edge */
    uint32_t *slots; /* span id -> position + 1 */
    uint8_t *marks;  /* per span */
    uint32_t n_spans, n_links, n_calls, n_entries, n_keys;
    uint32_t cap, n_slots;
    uint64_t seed; /* what senders do not know; set it before */
};

/* Room for a trace of so many spans and links; keeps what it has. */
OX_MUST_USE ox_err ox__edges_reserve(struct ox__edges *e, uint32_t n);
void ox__edges_fini(struct ox__edges *e);
/* Begins a trace; then every span and link of it is added; then it is found what they say. complete: a span without a
 * child in the trace has none, so that its peer is taken from its attributes. */
void ox__edges_begin(struct ox__edges *e);
void ox__edges_add(struct ox__edges *e, const struct ox__span_features *span);
void ox__edges_find(struct ox__edges *e, const struct ox__services *names, bool complete);
/* The span's parent among the spans, or NULL. After _find. */
const struct ox__span_features *ox__edges_parent(const struct ox__edges *e,
                                                 const struct ox__span_features *span);

#endif
