/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_decode_logs.c - LogRecord.
 *
 * Owns:    nothing; rows go to batch->logs.
 * Threads: any.
 * Bounds:  attrs_per_record_max, log_body_bytes_max, text_bytes_max.
 * Fails:   as otlp_decode.h; what breaks a bound marks the record.
 */
#include "proto/otlp_decode.h"

#define SEVERITY_MAX 24
/* 1 to 3 and 5 to 12; 4 was a name long ago and is skipped. */
#define LOG_KNOWN 0x1feeu

struct log_seen {
    bool bad_trace;
    bool bad_span;
};

static bool
log_rare_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_log *log)
{
    switch (f->tag) {
    case OX__TAG(7, OX_WIRE_VARINT):
        log->dropped_attrs = (uint32_t)f->v;
        return true;
    case OX__TAG(8, OX_WIRE_FIXED32):
        log->flags = (uint32_t)f->v;
        return true;
    case OX__TAG(11, OX_WIRE_FIXED64):
        log->observed_ns = f->v;
        return true;
    case OX__TAG(12, OX_WIRE_BYTES):
        ox__dec_text(d, f->s, &log->event_name);
        return true;
    default:
        return ox__dec_other(d, f->tag, LOG_KNOWN, at);
    }
}

static bool
log_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_log *log,
          struct log_seen *seen)
{
    switch (f->tag) {
    case OX__TAG(1, OX_WIRE_FIXED64):
        log->time_ns = f->v;
        return true;
    case OX__TAG(2, OX_WIRE_VARINT):
        log->severity = (uint32_t)f->v <= SEVERITY_MAX ? (uint8_t)f->v : 0;
        return true;
    case OX__TAG(3, OX_WIRE_BYTES):
        ox__dec_text(d, f->s, &log->severity_text);
        return true;
    case OX__TAG(5, OX_WIRE_BYTES):
        return ox__dec_any(d, f->s, &log->body, 1);
    case OX__TAG(6, OX_WIRE_BYTES):
        return ox__dec_attr(d, f->s, &log->attrs);
    case OX__TAG(9, OX_WIRE_BYTES):
        seen->bad_trace = !ox__dec_id(f->s, log->trace_id, 16);
        return true;
    case OX__TAG(10, OX_WIRE_BYTES):
        seen->bad_span = !ox__dec_id(f->s, log->span_id, 8);
        return true;
    default:
        return log_rare_field(d, f, at, log);
    }
}

static bool
body_too_long(const struct ox__dec *d, const struct ox_any *body)
{
    bool has_bytes = body->type == OX_ANY_STRING || body->type >= OX_ANY_ARRAY;
    return has_bytes && body->str.n > d->limits->log_body_bytes_max;
}

bool
ox__dec_log(struct ox__dec *d, struct ox_str wire, uint32_t scope)
{
    struct ox_log *log;
    OX__PUSH(d, logs, n_logs, cap_logs, log);
    if (log == NULL || !ox__dec_ordinal(d, &log->ordinal))
        return false;
    log->scope = scope;
    log->wire = wire;
    struct log_seen seen = {0};
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f) || !log_field(d, &f, at, log, &seen))
            return false;
    }
    if (OX_UNLIKELY(seen.bad_trace))
        ox__dec_reject(d, OX_REJECT_TRACE_ID);
    if (OX_UNLIKELY(seen.bad_span))
        ox__dec_reject(d, OX_REJECT_SPAN_ID);
    if (OX_UNLIKELY(body_too_long(d, &log->body)))
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES);
    log->reject = d->reject;
    return true;
}
