/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/source.c - requests from the generator's batches.
 *
 * Owns:    see source.h.
 * Threads: one owner at a time.
 * Fails:   ends the process: a benchmark without its input measures nothing.
 */
#include "bench/source.h"

#include "bench/batch_wire.h"
#include "ox/clock.h"
#include "ox/encode.h"

#define STEP_NS        1000000ull
#define POINTS_STEP_NS 50000000ull /* 24 services to a round */
#define HOUR_NS        3600000000000ull

void
bench_source_init(struct bench_source *s, enum ox_signal signal, uint32_t per_request,
                  enum ox_encoding encoding, uint64_t seed, uint64_t start_ns)
{
    memset(s, 0, sizeof(*s));
    s->signal = signal;
    s->per_request = per_request;
    s->encoding = encoding;
    gen_init(&s->gen, seed, start_ns);
}

void
bench_source_fini(struct bench_source *s)
{
    ox_buf_fini(&s->wire);
}

/* The beginning of the past hour: every record lies in one partition, in the window that the gateway accepts. */
uint64_t
bench_source_start(void)
{
    uint64_t now = ox_clock_realtime_ns(ox_clock_real());
    return now - now % HOUR_NS - HOUR_NS + 60 * 1000000000ull;
}

struct ox_batch *
bench_source_batch(struct bench_source *s)
{
    switch (s->signal) {
    case OX_SIGNAL_TRACES:
        return gen_spans(&s->gen, s->per_request, STEP_NS);
    case OX_SIGNAL_LOGS:
        return gen_logs(&s->gen, s->per_request, STEP_NS);
    default:
        return gen_points(&s->gen, POINTS_STEP_NS);
    }
}

/* Several export requests in a row are one request: repeated fields append. */
static uint32_t
wire_of(struct bench_source *s, struct ox_buf *out)
{
    struct ox_buf one = {0};
    uint32_t records = 0;
    ox_buf_reset(out);
    while (records < s->per_request) {
        struct ox_batch *batch = bench_source_batch(s);
        batch_wire(batch, &one);
        records += ox_encode_rows(batch);
        ox_batch_free(batch);
        ox_buf_append_str(out, ox_buf_str(&one));
    }
    ox_buf_fini(&one);
    s->wire_bytes += out->len;
    return records;
}

uint32_t
bench_source_request(struct bench_source *s, struct ox_buf *out)
{
    if (s->encoding == OX_ENCODING_IDENTITY)
        return wire_of(s, out);
    uint32_t records = wire_of(s, &s->wire);
    ox_buf_reset(out);
    OX_ASSERT(ox_compress(s->encoding, s->wire.data, s->wire.len, out) == OX_OK);
    return records;
}

enum ox_signal
bench_signal(const char *name)
{
    return name[0] == 't' ? OX_SIGNAL_TRACES : name[0] == 'l' ? OX_SIGNAL_LOGS : OX_SIGNAL_METRICS;
}
