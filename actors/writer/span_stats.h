/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/span_stats.h - calls, errors and durations of the spans of one block, per operation and minute.
 *
 * Owns:    the counts, until they are written or forgotten.
 * Threads: the builder's.
 * Bounds:  OX__SPAN_STATS_NAMED operations by name; calls of further ones are counted under OX__SPAN_STATS_OTHER, per
 *          service, kind, status and minute. Never more rows than spans.
 * Fails:   `failed` sticks when there is no memory.
 * Flow:    encode_spans.c counts every span -> encode_builder.c writes the rows of otel_span_stats when the block ends.
 *
 * A span is counted in the block that disposes of it, and that block and these rows become durable in one entry of
 * the outbox: a replay after a crash counts exactly the spans that no entry holds.
 */
#ifndef OX_WRITER_SPAN_STATS_H
#define OX_WRITER_SPAN_STATS_H

#include "native.h"

#define OX__NONE UINT32_MAX

#define OX__SPAN_STATS_NAMED 10000u
#define OX__SPAN_STATS_OTHER "(other operations)"

/* What is counted together. Names are entries of the dictionaries of the block that will hold the rows. */
struct ox__span_stat_key {
    uint32_t tenant;
    uint32_t service;
    uint32_t name;
    uint16_t minute; /* since the start of the partition */
    uint8_t kind;
    uint8_t status;
};

struct ox__span_stat {
    struct ox__span_stat_key key;
    uint64_t calls;
    uint64_t sum_ns; /* wraps at 584 years of calls */
    uint64_t min_ns, max_ns;
    uint8_t slowest[16]; /* trace id of a call that took max_ns */
};

struct ox__span_stats {
    struct ox_block *block; /* lend: of OX_TABLE_SPAN_STATS; its dictionaries are filled while counting */
    uint32_t resource;      /* whose tenant and service stand below, in the batch; OX__NONE = none */
    uint32_t tenant, service;
    struct ox__span_stat *list;
    uint32_t n, cap;
    uint32_t *slots; /* position in list + 1, 0 = free; open addressing, at most half full */
    uint32_t n_slots;
    uint64_t
        *buckets; /* position in list + 1 in the upper 32 bits, bucket in the lower 16; 0 = free; likewise */
    uint32_t *counts; /* of the bucket in the same place */
    uint32_t n_buckets, cap_buckets;
    bool failed;
};

/* block: lend, must outlive the counts. fini is allowed on zeroed memory. */
void ox__span_stats_init(struct ox__span_stats *stats, struct ox_block *block);
void ox__span_stats_fini(struct ox__span_stats *stats);
/* Before another batch: tenant and service are looked up anew. */
void ox__span_stats_forget(struct ox__span_stats *stats);
/* Counts a span that started in minute `minute` of the partition. batch, span: lend. */
void ox__span_stats_count(struct ox__span_stats *stats, const struct ox_batch *batch,
                          const struct ox_span *span, uint32_t minute);
/* Puts the rows into the block, where from_s is the start of the partition in Unix seconds, and forgets the counts. */
void ox__span_stats_write(struct ox__span_stats *stats, uint32_t from_s);
/* Memory in use. */
size_t ox__span_stats_bytes(const struct ox__span_stats *stats);

#endif
