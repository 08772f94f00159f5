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
        log->severity = ox__dec_enum(d, f->v, SEVERITY_MAX);
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

/* Takes fields from p on as long as they are short; returns where they end, NULL when it failed. */
static const uint8_t *
log_short_fields(struct ox__dec *d, const uint8_t *p, const uint8_t *end, struct ox_log *log,
                 struct log_seen *seen)
{
    for (size_t left; (left = (size_t)(end - p)) >= 2;) {
        const uint8_t *at = p;
        switch (p[0]) {
        case OX__TAG(1, OX_WIRE_FIXED64):
            if (left < 9)
                return p;
            log->time_ns = ox__load64(p + 1);
            p += 9;
            break;
        case OX__TAG(2, OX_WIRE_VARINT):
            if (p[1] > SEVERITY_MAX)
                return p;
            log->severity = p[1];
            p += 2;
            break;
        case OX__TAG(3, OX_WIRE_BYTES):
            if (!ox__short_bytes(p, left))
                return p;
            ox__dec_short_text(d, p, &log->severity_text);
            p += 2 + p[1];
            break;
        case OX__TAG(5, OX_WIRE_BYTES): /* a body that is a text */
            if (!ox__short_bytes(p, left) || p[1] < 2 || p[2] != OX__TAG(1, OX_WIRE_BYTES) ||
                p[3] != p[1] - 2)
                return p;
            log->body.type = OX_ANY_STRING;
            ox__dec_short_text(d, p + 2, &log->body.str);
            p += 2 + p[1];
            break;
        case OX__TAG(6, OX_WIRE_BYTES):
            p = ox__dec_attrs_short(d, p, end, OX__TAG(6, OX_WIRE_BYTES), &log->attrs);
            if (p == NULL || p == at)
                return p;
            break;
        case OX__TAG(8, OX_WIRE_FIXED32):
            if (left < 5)
                return p;
            log->flags = ox__load32(p + 1);
            p += 5;
            break;
        case OX__TAG(9, OX_WIRE_BYTES):
            if (!ox__short_id(p, left, 16))
                return p;
            memcpy(log->trace_id, p + 2, 16);
            seen->bad_trace = false;
            p += 18;
            break;
        case OX__TAG(10, OX_WIRE_BYTES):
            if (!ox__short_id(p, left, 8))
                return p;
            memcpy(log->span_id, p + 2, 8);
            seen->bad_span = false;
            p += 10;
            break;
        case OX__TAG(11, OX_WIRE_FIXED64):
            if (left < 9)
                return p;
            log->observed_ns = ox__load64(p + 1);
            p += 9;
            break;
        default:
            return p;
        }
    }
    return p;
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
    log->wire = ox__dec_piece(d, wire);
    struct log_seen seen = {0};
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (OX_LIKELY(d->short_ok)) {
            c.p = log_short_fields(d, c.p, c.end, log, &seen);
            if (c.p == NULL)
                return false;
            if (c.p == c.end)
                break;
        }
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
