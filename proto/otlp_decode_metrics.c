/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_decode_metrics.c - Metric and its five kinds of data; the points are in otlp_decode_points.c.
 *
 * Owns:    nothing; rows go to batch->metrics.
 * Threads: any.
 * Bounds:  as otlp_decode.h.
 * Fails:   as otlp_decode.h; what breaks a bound in the metric marks all its points.
 *
 * `data` is a oneof: the last one on the wire wins. The others are read too, since a malformed one refuses
 * the request, and then forgotten, points and ordinals included.
 */
#include "proto/otlp_decode.h"

#define TEMPORALITY_MAX 2
#define METRIC_KNOWN                                                                                         \
    (OX__BIT(1) | OX__BIT(2) | OX__BIT(3) | OX__BIT(5) | OX__BIT(7) | OX__BIT(9) | OX__BIT(10) |             \
     OX__BIT(11) | OX__BIT(12))

struct data_kind {
    uint8_t field; /* of Metric */
    uint8_t type;  /* enum ox_metric_type */
    bool temporality;
    bool monotonic;
    ox__record_fn point;
};

static const struct data_kind kinds[] = {
    {5, OX_METRIC_GAUGE, false, false, ox__dec_number_point},
    {7, OX_METRIC_SUM, true, true, ox__dec_number_point},
    {9, OX_METRIC_HISTOGRAM, true, false, ox__dec_histogram_point},
    {10, OX_METRIC_EXP_HISTOGRAM, true, false, ox__dec_exp_histogram_point},
    {11, OX_METRIC_SUMMARY, false, false, ox__dec_summary_point},
};

static const struct data_kind *
kind_of(uint64_t tag)
{
    if ((tag & 7) != OX_WIRE_BYTES)
        return NULL;
    for (size_t i = 0; i < OX_COUNT(kinds); i++) {
        if (kinds[i].field == tag >> 3)
            return &kinds[i];
    }
    return NULL;
}

static bool
metric_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_metric *metric)
{
    switch (f->tag) {
    case OX__TAG(1, OX_WIRE_BYTES):
        ox__dec_text(d, f->s, &metric->name);
        return true;
    case OX__TAG(2, OX_WIRE_BYTES):
        ox__dec_text(d, f->s, &metric->description);
        return true;
    case OX__TAG(3, OX_WIRE_BYTES):
        ox__dec_text(d, f->s, &metric->unit);
        return true;
    case OX__TAG(12, OX_WIRE_BYTES):
        return ox__dec_attr(d, f->s, &metric->metadata);
    default:
        return kind_of(f->tag) != NULL || ox__dec_other(d, f->tag, METRIC_KNOWN, at);
    }
}

/* Gauge, Sum, ...: points in field 1, then what only some kinds have. */
static bool
data(struct ox__dec *d, const struct data_kind *kind, struct ox_str wire, uint32_t index, uint8_t reject)
{
    const uint32_t known =
        OX__BIT(1) | (kind->temporality ? OX__BIT(2) : 0) | (kind->monotonic ? OX__BIT(3) : 0);
    uint64_t temporality = 0, monotonic = 0;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = true;
        d->reject = reject;
        if (f.tag == OX__TAG(1, OX_WIRE_BYTES))
            ok = kind->point(d, f.s, index);
        else if (kind->temporality && f.tag == OX__TAG(2, OX_WIRE_VARINT))
            temporality = (uint32_t)f.v;
        else if (kind->monotonic && f.tag == OX__TAG(3, OX_WIRE_VARINT))
            monotonic = f.v;
        else
            ok = ox__dec_other(d, f.tag, known, at);
        if (!ok)
            return false;
    }
    struct ox_metric *metric = &d->b->metrics[index];
    metric->type = kind->type;
    metric->temporality = ox__dec_enum(d, temporality, TEMPORALITY_MAX);
    metric->monotonic = monotonic != 0;
    return true;
}

/* What the batch held before a metric's data, to forget data that a later one replaces. */
struct mark {
    uint32_t attrs, points, mores, exemplars, u64s, f64s, records;
};

static struct mark
mark_of(const struct ox__dec *d)
{
    const struct ox_batch *b = d->b;
    return (struct mark){b->n_attrs, b->n_points, b->n_mores, b->n_exemplars,
                         b->n_u64s,  b->n_f64s,   d->records};
}

static void
forget(struct ox__dec *d, const struct mark *to)
{
    d->b->n_attrs = to->attrs;
    d->b->n_points = to->points;
    d->b->n_mores = to->mores;
    d->b->n_exemplars = to->exemplars;
    d->b->n_u64s = to->u64s;
    d->b->n_f64s = to->f64s;
    d->records = to->records;
}

/* One walk over a metric. `data_too`: reads its data where it comes upon it; *late: a field that concerns the
 * points stood behind it. Without: everything else. */
static bool
walk_metric(struct ox__dec *d, struct ox_str wire, uint32_t index, bool data_too, bool *late)
{
    const struct mark before = mark_of(d);
    bool seen = false;
    uint8_t reject = d->reject;
    struct ox__cur c = ox__cur_of(wire);
    *late = false;
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        const struct data_kind *kind = kind_of(f.tag);
        if (kind != NULL && data_too) {
            if (seen)
                forget(d, &before);
            if (!data(d, kind, f.s, index, reject))
                return false;
            seen = true;
            d->reject = reject;
            continue;
        }
        if (!metric_field(d, &f, at, &d->b->metrics[index]))
            return false;
        *late = seen && ox__tag_known(f.tag, METRIC_KNOWN);
        if (OX_UNLIKELY(*late))
            return true;
        reject = d->reject;
    }
    return true;
}

/* Each data of the oneof, when all else is known. */
static bool
walk_data(struct ox__dec *d, struct ox_str wire, uint32_t index)
{
    const uint8_t reject = d->reject;
    const struct mark before = mark_of(d);
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (!ox__dec_field(d, &c, &f))
            return false;
        const struct data_kind *kind = kind_of(f.tag);
        if (kind == NULL)
            continue;
        forget(d, &before);
        if (!data(d, kind, f.s, index, reject))
            return false;
    }
    return true;
}

/* Encoders write name, description and unit before the data, so one walk reads all; a metric that does it otherwise is
 * begun again and walked twice. */
bool
ox__dec_metric(struct ox__dec *d, struct ox_str wire, uint32_t scope)
{
    struct ox_metric *metric;
    OX__PUSH(d, metrics, n_metrics, cap_metrics, metric);
    if (metric == NULL)
        return false;
    const uint32_t index = d->b->n_metrics - 1;
    const uint8_t reject = d->reject;
    const struct mark before = mark_of(d);
    bool late;
    metric->scope = scope;
    if (!walk_metric(d, wire, index, true, &late))
        return false;
    if (OX_LIKELY(!late))
        return true;
    forget(d, &before);
    *metric = (struct ox_metric){.scope = scope};
    d->reject = reject;
    return walk_metric(d, wire, index, false, &late) && walk_data(d, wire, index);
}
