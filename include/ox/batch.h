/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/batch.h - one decoded OTLP request: rows of fixed fields and views into the request's bytes.
 *
 * Owns:    the arrays below; holds one reference to the body that the views point into.
 * Threads: one owner at a time; moved between actors by message, never shared.
 * Bounds:  every array grows to at most the limits given to the decoder (struct ox_decode_limits).
 * Flow:    proto/otlp_decode.c fills it, policies/validate.c marks rows, actors/writer encodes it.
 *
 * Strings are views into `body` (protobuf wire bytes of ExportTraceServiceRequest and its two siblings,
 * opentelemetry-proto 1.x). Slices {first,count} index the batch's own arrays, so that growing an array
 * invalidates nothing. Whatever OTLP leaves unset is zero or empty here.
 */
#ifndef OX_BATCH_H
#define OX_BATCH_H

#include "ox/base.h"
#include "ox/buf.h"

struct ox_slice {
    uint32_t first;
    uint32_t count;
};

/* AnyValue. ARRAY and KVLIST keep the wire bytes of ArrayValue / KeyValueList (already checked by the decoder). */
enum ox_any_type {
    OX_ANY_NONE, /* an AnyValue without a value */
    OX_ANY_STRING,
    OX_ANY_BOOL,
    OX_ANY_INT,
    OX_ANY_DOUBLE,
    OX_ANY_ARRAY,
    OX_ANY_KVLIST,
    OX_ANY_BYTES
};

struct ox_any {
    enum ox_any_type type;
    union {
        struct ox_str str; /* STRING, BYTES, ARRAY, KVLIST */
        int64_t i;         /* INT */
        double d;          /* DOUBLE */
        bool b;            /* BOOL */
    };
};

/* A key and its value, in 24 bytes where two views would need 40: a span has a dozen of them, and what a request writes
 * into its batch decides whether it stays in the cache. Read and made by the functions below only. */
struct ox_attr {
    const char *key_p;
    union {
        const char *p; /* STRING, BYTES, ARRAY, KVLIST */
        int64_t i;
        double d;
        bool b;
    } v;
    uint32_t key_n;
    uint32_t type_n; /* enum ox_any_type above OX_ATTR_TYPE_SHIFT, below it the bytes at v.p */
};
#define OX_ATTR_TYPE_SHIFT 29
#define OX_ATTR_BYTES_MAX  ((1u << OX_ATTR_TYPE_SHIFT) - 1)
_Static_assert(OX_ANY_BYTES < 8, "the type has three bits");

static inline struct ox_str
ox_attr_key(const struct ox_attr *attr)
{
    return (struct ox_str){attr->key_p, attr->key_n};
}

static inline enum ox_any_type
ox_attr_type(const struct ox_attr *attr)
{
    return (enum ox_any_type)(attr->type_n >> OX_ATTR_TYPE_SHIFT);
}

/* The bytes of a value that has bytes. */
static inline struct ox_str
ox_attr_str(const struct ox_attr *attr)
{
    return (struct ox_str){attr->v.p, attr->type_n & OX_ATTR_BYTES_MAX};
}

static inline struct ox_any
ox_attr_value(const struct ox_attr *attr)
{
    switch (ox_attr_type(attr)) {
    case OX_ANY_NONE:
        return (struct ox_any){.type = OX_ANY_NONE};
    case OX_ANY_BOOL:
        return (struct ox_any){.type = OX_ANY_BOOL, .b = attr->v.b};
    case OX_ANY_INT:
        return (struct ox_any){.type = OX_ANY_INT, .i = attr->v.i};
    case OX_ANY_DOUBLE:
        return (struct ox_any){.type = OX_ANY_DOUBLE, .d = attr->v.d};
    default:
        return (struct ox_any){.type = ox_attr_type(attr), .str = ox_attr_str(attr)};
    }
}

/* Neither key nor value may be longer than OX_ATTR_BYTES_MAX; the decoder takes no longer body. */
static inline struct ox_attr
ox_attr_of(struct ox_str key, struct ox_any value)
{
    struct ox_attr attr = {.key_p = key.p, .key_n = (uint32_t)key.n};
    uint32_t n = 0;
    switch (value.type) {
    case OX_ANY_NONE:
        break;
    case OX_ANY_BOOL:
        attr.v.b = value.b;
        break;
    case OX_ANY_INT:
        attr.v.i = value.i;
        break;
    case OX_ANY_DOUBLE:
        attr.v.d = value.d;
        break;
    default:
        attr.v.p = value.str.p;
        n = (uint32_t)value.str.n;
    }
    attr.type_n = (uint32_t)value.type << OX_ATTR_TYPE_SHIFT | n;
    return attr;
}

/* Bytes of the batch's body: see ox_batch_piece. */
struct ox_piece {
    uint32_t at;
    uint32_t n;
};

struct ox_resource {
    struct ox_slice attrs; /* in batch->attrs */
    uint32_t dropped_attrs;
    struct ox_str schema_url;
    struct ox_str service_name; /* attribute service.name, or "unknown_service" */
    struct ox_str wire;         /* the Resource message itself (its last occurrence), for dead letters */
    struct ox_slice entities;   /* in batch->entities */
};

struct ox_scope {
    uint32_t resource; /* index into resources */
    struct ox_str name;
    struct ox_str version;
    struct ox_slice attrs;
    uint32_t dropped_attrs;
    struct ox_str schema_url; /* of ScopeSpans/ScopeLogs/ScopeMetrics */
    struct ox_str wire;       /* the InstrumentationScope message itself */
};

struct ox_span_event {
    uint64_t time_ns;
    struct ox_str name;
    struct ox_slice attrs;
    uint32_t dropped_attrs;
};

struct ox_span_link {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    struct ox_str trace_state;
    struct ox_slice attrs;
    uint32_t dropped_attrs;
    uint32_t flags;
};

/* Why a row was refused; OX_REJECT_NONE rows go on. Names are those of drop reasons and dead letters. */
enum ox_reject {
    OX_REJECT_NONE,
    OX_REJECT_TRACE_ID,      /* not 16 bytes, or all zero */
    OX_REJECT_SPAN_ID,       /* not 8 bytes, or all zero */
    OX_REJECT_PARENT_ID,     /* neither empty nor 8 bytes, or equal to the span's own id */
    OX_REJECT_NAME,          /* a span or metric without a name */
    OX_REJECT_TIME_MISSING,  /* a required timestamp is zero */
    OX_REJECT_TIME_TOO_OLD,  /* earlier than the accepted window */
    OX_REJECT_TIME_FUTURE,   /* later than the accepted window */
    OX_REJECT_TIME_REVERSED, /* end before start */
    OX_REJECT_VALUE,         /* NaN or infinite where a number is needed, or no value at all */
    OX_REJECT_HISTOGRAM,     /* bounds and counts do not fit together */
    OX_REJECT_ATTRIBUTES,    /* more attributes, or longer ones, than the limit */
    OX_REJECT_UTF8,          /* a string field is not UTF-8 */
    OX_REJECT_DISPOSED, /* replay only: the record is accounted for already, and must not be stored again */
    OX_REJECT_SERIES,   /* a new series beyond the tenant's quota; see ox/cardinality.h */
    OX_REJECT_LABEL_VALUES, /* a new value of a label beyond it */
    OX_REJECT__COUNT
};

struct ox_span {
    uint32_t scope;   /* index into scopes */
    uint32_t ordinal; /* position of the record in its request, 0-based, refused ones counted */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8]; /* all zero = root */
    struct ox_str trace_state;
    struct ox_str name;
    uint64_t start_ns; /* Unix time */
    uint64_t end_ns;
    uint32_t flags;
    uint8_t kind;        /* OTLP SpanKind: 0..5, or a number that OTLP does not know */
    uint8_t status_code; /* 0 unset, 1 ok, 2 error, or such a number */
    uint8_t reject;      /* enum ox_reject */
    bool sampled_out;    /* by the tenant's sampling policy: it is counted, and not stored */
    double weight; /* how many spans it stands for when others were sampled out; 0 = itself alone, as 1 */
    struct ox_str status_message;
    struct ox_slice attrs;
    struct ox_slice events; /* in batch->events */
    struct ox_slice links;  /* in batch->links */
    uint32_t dropped_attrs;
    uint32_t dropped_events;
    uint32_t dropped_links;
    struct ox_piece wire; /* the Span message itself, for dead letters */
};

struct ox_log {
    uint32_t scope;
    uint32_t ordinal;
    uint64_t time_ns;     /* 0 = unknown: observed time stands in when stored */
    uint64_t observed_ns; /* 0 = unknown: time of arrival stands in when stored */
    uint8_t trace_id[16]; /* all zero = none */
    uint8_t span_id[8];   /* all zero = none */
    uint8_t severity;     /* OTLP severity_number: 0..24, or a number that OTLP does not know */
    uint8_t reject;
    uint32_t flags;
    struct ox_str severity_text;
    struct ox_str event_name;
    struct ox_any body;
    struct ox_slice attrs;
    uint32_t dropped_attrs;
    struct ox_piece wire; /* the LogRecord message itself */
};

enum ox_metric_type {
    OX_METRIC_GAUGE = 1,
    OX_METRIC_SUM,
    OX_METRIC_HISTOGRAM,
    OX_METRIC_EXP_HISTOGRAM,
    OX_METRIC_SUMMARY
};

struct ox_metric {
    uint32_t scope;
    struct ox_str name;
    struct ox_str description;
    struct ox_str unit;
    struct ox_slice metadata; /* in batch->attrs */
    uint8_t type;             /* enum ox_metric_type */
    uint8_t temporality;      /* 0 unspecified, 1 delta, 2 cumulative */
    bool monotonic;
};

struct ox_exemplar {
    uint64_t time_ns;
    bool is_int;
    int64_t int_value;
    double value; /* also set for integers */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    struct ox_slice attrs; /* filtered_attributes */
};

/* Which optional fields of a point were present. */
enum {
    OX_POINT_HAS_SUM = 1,
    OX_POINT_HAS_MIN = 2,
    OX_POINT_HAS_MAX = 4,
    OX_POINT_IS_INT = 8, /* number point: int_value, not value */
    OX_POINT_HAS_VALUE = 16
};

/* What only histograms, summaries and points with exemplars have; see ox_point_more. */
struct ox_point_more {
    struct ox_slice exemplars; /* in batch->exemplars */
    uint64_t count;
    double sum;
    double min;
    double max;
    struct ox_slice bounds;   /* in batch->f64s: explicit bounds; summary: quantiles */
    struct ox_slice values;   /* in batch->f64s: summary: value of each quantile */
    struct ox_slice counts;   /* in batch->u64s: bucket counts; exponential: positive buckets */
    struct ox_slice negative; /* in batch->u64s: exponential: negative buckets */
    int32_t scale;
    int32_t positive_offset;
    int32_t negative_offset;
    uint64_t zero_count;
    double zero_threshold;
};

/* One cache line: most points are a number with a time. */
struct ox_point {
    uint32_t metric; /* index into metrics */
    uint32_t ordinal;
    uint64_t start_ns;
    uint64_t time_ns;
    uint32_t flags; /* OTLP DataPointFlags; bit 0 = no recorded value */
    uint8_t has;    /* OX_POINT_* */
    uint8_t reject;
    uint32_t more; /* index into mores plus 1; 0 = nothing of it */
    union {        /* gauge, sum: which of the two says OX_POINT_IS_INT */
        double value;
        int64_t int_value;
    };
    struct ox_slice attrs;
    struct ox_piece wire; /* the data point message itself */
};

#define OX_BATCH_MAGIC 0x4f584241u

struct ox_batch {
    uint32_t magic;
    enum ox_signal signal;
    struct ox_tenant_id tenant;
    uint64_t wal_seq;     /* 0 until the request is in the log */
    uint64_t received_ns; /* Unix time of arrival, from the node's clock (on replay: of the log entry) */
    struct ox_body *body; /* the views below point into it */

    uint32_t n_records;  /* records in the request: ordinals are 0..n_records-1 */
    uint32_t n_rejected; /* rows whose reject is set */
    uint32_t n_unknown;  /* enum numbers that OTLP does not know (span kind, status, severity, temporality):
                          * kept as they are up to 255, beyond it read as 0 */

    struct ox_resource *resources;
    uint32_t n_resources, cap_resources;
    struct ox_scope *scopes;
    uint32_t n_scopes, cap_scopes;
    struct ox_attr *attrs;
    uint32_t n_attrs, cap_attrs;
    struct ox_str *entities; /* each the wire bytes of an EntityRef, already checked by the decoder */
    uint32_t n_entities, cap_entities;
    /* OX_SIGNAL_TRACES */
    struct ox_span *spans;
    uint32_t n_spans, cap_spans;
    struct ox_span_event *events;
    uint32_t n_events, cap_events;
    struct ox_span_link *links;
    uint32_t n_links, cap_links;
    /* OX_SIGNAL_LOGS */
    struct ox_log *logs;
    uint32_t n_logs, cap_logs;
    /* OX_SIGNAL_METRICS */
    struct ox_metric *metrics;
    uint32_t n_metrics, cap_metrics;
    struct ox_point *points;
    uint32_t n_points, cap_points;
    struct ox_point_more *mores;
    uint32_t n_mores, cap_mores;
    struct ox_exemplar *exemplars;
    uint32_t n_exemplars, cap_exemplars;
    uint64_t *u64s;
    uint32_t n_u64s, cap_u64s;
    double *f64s;
    uint32_t n_f64s, cap_f64s;
};

/* A point's rarer parts; all zero where it has none. Lend. */
static inline const struct ox_point_more *
ox_point_more(const struct ox_batch *batch, const struct ox_point *point)
{
    static const struct ox_point_more none;
    return point->more != 0 ? &batch->mores[point->more - 1] : &none;
}

/* The value of a gauge or sum as a double. */
static inline double
ox_point_double(const struct ox_point *point)
{
    return (point->has & OX_POINT_IS_INT) != 0 ? (double)point->int_value : point->value;
}

/* The bytes of a piece; they live as long as the batch holds its body. */
static inline struct ox_str
ox_batch_piece(const struct ox_batch *batch, struct ox_piece piece)
{
    return (struct ox_str){(const char *)batch->body->data + piece.at, piece.n};
}

/* An empty batch on the heap, or NULL. */
struct ox_batch *ox_batch_new(void);
/* Drops the body and frees everything; NULL is allowed. */
void ox_batch_free(struct ox_batch *batch);
/* Back to empty for the next request: drops the body, keeps the arrays' memory. */
void ox_batch_reset(struct ox_batch *batch);
/* Bytes of memory that the arrays occupy (not the body). */
size_t ox_batch_memory(const struct ox_batch *batch);

#endif
