/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/redact_wire.c - a request written anew without what must not be stored.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  depth: that of OTLP's messages and DEPTH_MAX of values in values.
 * Fails:   DECODE, TOO_DEEP, NOMEM.
 * Flow:    gateway -> here -> the decoder, which sees what the log will hold.
 *
 * What is not known to hold attributes is copied byte for byte. A message that is rewritten gets a length of its own, so all
 * those around it are written anew as well.
 */
#include "ox/any.h"
#include "policies/redact.h"
#include "proto/wire.h"

#define DEPTH_MAX OX_ANY_DEPTH_MAX

enum what { MESSAGE, ATTRIBUTE, VALUE };

struct node;
struct hop {
    uint32_t field;
    enum what what;
    const struct node *next; /* of a MESSAGE */
};
struct node {
    struct hop hops[6];
};

/* opentelemetry/proto: the numbers are those of the .proto files. */
static const struct node resource = {{{1, ATTRIBUTE, NULL}}};
static const struct node scope = {{{3, ATTRIBUTE, NULL}}};
static const struct node event = {{{3, ATTRIBUTE, NULL}}};
static const struct node span_link = {{{4, ATTRIBUTE, NULL}}};
static const struct node span = {{{9, ATTRIBUTE, NULL}, {11, MESSAGE, &event}, {13, MESSAGE, &span_link}}};
static const struct node scope_spans = {{{1, MESSAGE, &scope}, {2, MESSAGE, &span}}};
static const struct node resource_spans = {{{1, MESSAGE, &resource}, {2, MESSAGE, &scope_spans}}};
static const struct node log_record = {{{5, VALUE, NULL}, {6, ATTRIBUTE, NULL}}};
static const struct node scope_logs = {{{1, MESSAGE, &scope}, {2, MESSAGE, &log_record}}};
static const struct node resource_logs = {{{1, MESSAGE, &resource}, {2, MESSAGE, &scope_logs}}};
static const struct node exemplar = {{{7, ATTRIBUTE, NULL}}};
static const struct node number_point = {{{5, MESSAGE, &exemplar}, {7, ATTRIBUTE, NULL}}};
static const struct node histogram_point = {{{8, MESSAGE, &exemplar}, {9, ATTRIBUTE, NULL}}};
static const struct node exponential_point = {{{1, ATTRIBUTE, NULL}, {11, MESSAGE, &exemplar}}};
static const struct node summary_point = {{{7, ATTRIBUTE, NULL}}};
static const struct node numbers = {{{1, MESSAGE, &number_point}}};
static const struct node histograms = {{{1, MESSAGE, &histogram_point}}};
static const struct node exponentials = {{{1, MESSAGE, &exponential_point}}};
static const struct node summaries = {{{1, MESSAGE, &summary_point}}};
static const struct node metric = {{{5, MESSAGE, &numbers},
                                    {7, MESSAGE, &numbers},
                                    {9, MESSAGE, &histograms},
                                    {10, MESSAGE, &exponentials},
                                    {11, MESSAGE, &summaries},
                                    {12, ATTRIBUTE, NULL}}};
static const struct node scope_metrics = {{{1, MESSAGE, &scope}, {2, MESSAGE, &metric}}};
static const struct node resource_metrics = {{{1, MESSAGE, &resource}, {2, MESSAGE, &scope_metrics}}};
static const struct node roots[OX_SIGNAL__COUNT] = {
    [OX_SIGNAL_TRACES] = {{{1, MESSAGE, &resource_spans}}},
    [OX_SIGNAL_LOGS] = {{{1, MESSAGE, &resource_logs}}},
    [OX_SIGNAL_METRICS] = {{{1, MESSAGE, &resource_metrics}}}};

/* AnyValue: array_value 5, kvlist_value 6; their elements are field 1. KeyValue: key 1, value 2. */
#define ANY_STRING 1
#define ANY_ARRAY  5
#define ANY_KVLIST 6

struct job {
    const struct ox_redact *redact;
    const struct ox_tenant_id *tenant;
    enum ox_signal signal;
    struct ox_buf *out;
    struct ox_redact_counts *counts;
};

static ox_err rewrite_value(struct job *j, struct ox_str wire, int depth);

/* ---- writing ---- */

static void
put_varint(struct ox_buf *out, uint64_t v)
{
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v > 0);
    ox_buf_append(out, bytes, n);
}

/* Tag and a place for the length; where the content begins. */
static size_t
open_field(struct ox_buf *out, uint32_t field)
{
    put_varint(out, OX__TAG(field, OX_WIRE_BYTES));
    ox_buf_append(out, "\0\0\0\0\0", 5);
    return out->len;
}

/* The length as short as it is; the content moves up. */
static void
close_field(struct ox_buf *out, size_t start)
{
    size_t n = out->len - start, digits = 1;
    if (out->failed)
        return;
    while (n >> (7 * digits) > 0)
        digits++;
    size_t to = start - 5 + digits;
    memmove(out->data + to, out->data + start, n);
    for (size_t i = 0; i < digits; i++)
        out->data[start - 5 + i] = (uint8_t)((n >> (7 * i) & 0x7f) | (i + 1 < digits ? 0x80 : 0));
    out->len = to + n;
}

static void
put_bytes(struct ox_buf *out, uint32_t field, struct ox_str bytes)
{
    put_varint(out, OX__TAG(field, OX_WIRE_BYTES));
    put_varint(out, bytes.n);
    ox_buf_append(out, bytes.p, bytes.n);
}

/* ---- attributes ---- */

/* Key and value of a KeyValue, the last of each, as every reader takes them. */
static ox_err
read_pair(struct ox_str wire, struct ox_str *key, struct ox_str *value)
{
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f;
    *key = *value = (struct ox_str){NULL, 0};
    while (c.p < c.end) {
        if (ox__field_next(&c, &f) != OX__WIRE_OK)
            return OX_E_DECODE;
        if (f.tag == OX__TAG(1, OX_WIRE_BYTES))
            *key = f.s;
        else if (f.tag == OX__TAG(2, OX_WIRE_BYTES))
            *value = f.s;
    }
    return OX_OK;
}

static void
put_hashed(struct job *j, uint32_t field, struct ox_str key, struct ox_str value)
{
    char hash[OX__REDACT_HASH_LEN + 1];
    ox__redact_hash(j->redact, value, hash);
    size_t pair = open_field(j->out, field);
    put_bytes(j->out, 1, key);
    size_t any = open_field(j->out, 2);
    put_bytes(j->out, ANY_STRING, (struct ox_str){hash, OX__REDACT_HASH_LEN});
    close_field(j->out, any);
    close_field(j->out, pair);
    j->counts->hashed++;
}

/* One KeyValue, as `field` of the message around it. */
static ox_err
rewrite_pair(struct job *j, uint32_t field, struct ox_str wire, int depth)
{
    struct ox_str key, value;
    ox_err err = read_pair(wire, &key, &value);
    if (err != OX_OK)
        return err;
    switch (ox__redact_of(j->redact, j->tenant, j->signal, key)) {
    case OX__REDACT_DROP:
        j->counts->dropped++;
        return OX_OK;
    case OX__REDACT_HASH:
        put_hashed(j, field, key, value);
        return OX_OK;
    case OX__REDACT_KEEP:
        break;
    }
    size_t pair = open_field(j->out, field);
    put_bytes(j->out, 1, key);
    if (value.p != NULL) {
        size_t any = open_field(j->out, 2);
        err = rewrite_value(j, value, depth);
        close_field(j->out, any);
    }
    close_field(j->out, pair);
    return err;
}

/* The elements of an array or a map. */
static ox_err
rewrite_elements(struct job *j, struct ox_str wire, bool pairs, int depth)
{
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f;
    ox_err err = OX_OK;
    while (err == OX_OK && c.p < c.end) {
        const uint8_t *at = c.p;
        if (ox__field_next(&c, &f) != OX__WIRE_OK)
            return OX_E_DECODE;
        if (f.tag != OX__TAG(1, OX_WIRE_BYTES)) {
            ox_buf_append(j->out, at, (size_t)(c.p - at));
        } else if (pairs) {
            err = rewrite_pair(j, 1, f.s, depth);
        } else {
            size_t start = open_field(j->out, 1);
            err = rewrite_value(j, f.s, depth);
            close_field(j->out, start);
        }
    }
    return err;
}

static ox_err
rewrite_value(struct job *j, struct ox_str wire, int depth)
{
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f;
    ox_err err = OX_OK;
    if (depth >= DEPTH_MAX)
        return OX_E_TOO_DEEP;
    while (err == OX_OK && c.p < c.end) {
        const uint8_t *at = c.p;
        if (ox__field_next(&c, &f) != OX__WIRE_OK)
            return OX_E_DECODE;
        bool map = f.tag == OX__TAG(ANY_KVLIST, OX_WIRE_BYTES);
        if (!map && f.tag != OX__TAG(ANY_ARRAY, OX_WIRE_BYTES)) {
            ox_buf_append(j->out, at, (size_t)(c.p - at));
            continue;
        }
        size_t start = open_field(j->out, map ? ANY_KVLIST : ANY_ARRAY);
        err = rewrite_elements(j, f.s, map, depth + 1);
        close_field(j->out, start);
    }
    return err;
}

/* ---- messages ---- */

static const struct hop *
hop_of(const struct node *node, uint64_t tag)
{
    for (size_t i = 0; i < OX_COUNT(node->hops) && node->hops[i].field != 0; i++) {
        if (tag == OX__TAG(node->hops[i].field, OX_WIRE_BYTES))
            return &node->hops[i];
    }
    return NULL;
}

static ox_err
rewrite_message(struct job *j, const struct node *node, struct ox_str wire)
{
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f;
    ox_err err = OX_OK;
    while (err == OX_OK && c.p < c.end) {
        const uint8_t *at = c.p;
        if (ox__field_next(&c, &f) != OX__WIRE_OK)
            return OX_E_DECODE;
        const struct hop *hop = hop_of(node, f.tag);
        if (hop == NULL) {
            ox_buf_append(j->out, at, (size_t)(c.p - at));
        } else if (hop->what == ATTRIBUTE) {
            err = rewrite_pair(j, hop->field, f.s, 0);
        } else {
            size_t start = open_field(j->out, hop->field);
            err = hop->what == MESSAGE ? rewrite_message(j, hop->next, f.s) : rewrite_value(j, f.s, 0);
            close_field(j->out, start);
        }
    }
    return err;
}

ox_err
ox_redact_body(const struct ox_redact *redact, const struct ox_tenant_id *tenant, enum ox_signal signal,
               struct ox_str request, struct ox_buf *out, struct ox_redact_counts *counts,
               struct ox_diag *diag)
{
    struct job j = {redact, tenant, signal, out, counts};
    memset(counts, 0, sizeof(*counts));
    ox_err err = rewrite_message(&j, &roots[signal], request);
    if (err == OX_OK && out->failed)
        err = OX_E_NOMEM;
    return err == OX_OK
               ? err
               : ox_diag_set(diag, err, NULL, -1, "the request cannot be read: %s", ox_err_text(err));
}
