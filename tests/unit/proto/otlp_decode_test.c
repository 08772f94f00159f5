/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/proto/otlp_decode_test.c - the hot decoder: with protobuf-c on random requests, and by hand.
 *
 * Goal:    whatever the bytes, the decoder and protobuf-c agree (tests/harness/otlp_oracle.h).
 * Method:  random valid requests, the same written otherwise, harmed ones, and noise, all from a seed; then the
 *          rules that have a name, each with the smallest request that shows it.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

#include "ox/any.h"
#include "ox/otlp_wire.h"
#include "tests/harness/otlp_oracle.h"
#include "tests/harness/otlp_random.h"

/* OTLP_SEED=n and OTLP_ROUNDS=n repeat or prolong a run. */
#define ROUNDS    2500u /* times three signals, times four inputs */
#define SEED      20251u
#define NOISE_MAX 64u

static struct ox_decode_limits limits;

static void
setup(void)
{
    ox_decode_limits_default(&limits);
}

TestSuite(otlp_decode, .init = setup, .timeout = 120);

static uint64_t
env_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static struct otlp_verdict
must_agree(enum ox_signal signal, struct ox_str wire, const char *what, uint64_t seed)
{
    struct otlp_verdict v;
    bool agree = otlp_oracle_agrees(signal, wire, &limits, &v);
    cr_assert(agree, "%s, %s, seed %" PRIu64 ": %s", what, ox_signal_name(signal), seed, v.why);
    return v;
}

static void
limits_small(void)
{
    ox_decode_limits_default(&limits);
    limits.any_depth_max = 2;
    limits.attrs_per_record_max = 2;
    limits.key_bytes_max = limits.value_bytes_max = 12;
    limits.text_bytes_max = limits.log_body_bytes_max = 16;
    limits.events_per_span_max = limits.links_per_span_max = limits.exemplars_per_point_max = 1;
    limits.buckets_per_point_max = 2;
}

/* One seed: valid, rewritten, under small limits, harmed. Returns the records of the valid request. */
static uint32_t
round_of(enum ox_signal signal, uint64_t seed, uint32_t *refused)
{
    struct otlp_random r = {seed};
    struct ox_buf wire, other;
    ox_buf_init(&wire);
    ox_buf_init(&other);
    otlp_random_request(&r, signal, &wire);
    struct otlp_verdict v = must_agree(signal, ox_buf_str(&wire), "valid", seed);
    cr_assert(v.err == OX_OK && v.rejected == 0, "seed %" PRIu64 ": %s, %u marked", seed, ox_err_text(v.err),
              v.rejected);
    otlp_random_rewrite(&r, signal, ox_buf_str(&wire), &other);
    cr_assert_eq(must_agree(signal, ox_buf_str(&other), "rewritten", seed).err, OX_OK, "seed %" PRIu64, seed);
    limits_small();
    must_agree(signal, ox_buf_str(&other), "small limits", seed);
    setup();
    otlp_random_harm(&r, &other);
    *refused += must_agree(signal, ox_buf_str(&other), "harmed", seed).err != OX_OK;
    ox_buf_fini(&other);
    ox_buf_fini(&wire);
    return v.records;
}

Test(otlp_decode, agrees_with_protobuf_c)
{
    const uint64_t seed = env_number("OTLP_SEED", SEED), rounds = env_number("OTLP_ROUNDS", ROUNDS);
    for (int signal = 0; signal < OX_SIGNAL__COUNT; signal++) {
        uint64_t records = 0;
        uint32_t refused = 0;
        for (uint64_t i = 0; i < rounds; i++)
            records += round_of((enum ox_signal)signal, seed + i, &refused);
        /* The generator must not degenerate to empty requests, nor the harm to nothing or to refusals only. */
        cr_assert_gt(records, rounds / 2, "%s", ox_signal_name((enum ox_signal)signal));
        cr_assert(refused > 0 && refused < rounds, "%s: %u", ox_signal_name((enum ox_signal)signal), refused);
    }
}

Test(otlp_decode, agrees_on_noise)
{
    const uint64_t seed = env_number("OTLP_SEED", SEED);
    struct otlp_random r = {seed};
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < 30000; i++) {
        uint8_t noise[NOISE_MAX];
        const uint32_t n = otlp_random_below(&r, NOISE_MAX);
        /* Mostly small bytes: tags, lengths and values that exist. */
        for (uint32_t k = 0; k < n; k++)
            noise[k] = (uint8_t)(otlp_random_next(&r) >> otlp_random_below(&r, 8));
        const struct ox_str wire = {(const char *)noise, n};
        accepted += must_agree((enum ox_signal)(i % 3), wire, "noise", seed).err == OX_OK;
    }
    cr_assert_gt(accepted, 0);
}

/* A request with one record in the making: begin, fill with ox_wire_*, end. */
struct making {
    struct ox_buf buf;
    size_t marks[3];
};

static void
begin(struct making *m)
{
    ox_buf_init(&m->buf);
    for (int i = 0; i < 3; i++)
        m->marks[i] = ox_wire_begin(&m->buf, i == 0 ? 1 : 2);
}

static struct ox_str
end(struct making *m)
{
    for (int i = 3; i-- > 0;)
        ox_wire_end(&m->buf, m->marks[i]);
    cr_assert_not(m->buf.failed);
    return ox_buf_str(&m->buf);
}

static struct otlp_verdict
finish(enum ox_signal signal, struct making *m, const char *what)
{
    struct otlp_verdict v = must_agree(signal, end(m), what, 0);
    ox_buf_fini(&m->buf);
    return v;
}

static struct ox_batch *
decoded(enum ox_signal signal, struct ox_str wire)
{
    struct ox_batch *batch = ox_batch_new();
    struct ox_body *body = ox_body_new(wire.n, NULL);
    cr_assert(batch != NULL && body != NULL);
    if (wire.n != 0)
        memcpy(body->data, wire.p, wire.n);
    body->len = wire.n;
    struct ox_diag diag;
    cr_assert_eq(ox_otlp_decode(signal, body, &limits, batch, &diag), OX_OK, "%s", diag.text);
    ox_body_drop(body);
    return batch;
}

Test(otlp_decode, cut_at_every_byte)
{
    for (int signal = 0; signal < OX_SIGNAL__COUNT; signal++) {
        struct ox_buf wire;
        struct otlp_random r = {SEED};
        uint32_t refused = 0;
        ox_buf_init(&wire);
        while (wire.len < 400) {
            ox_buf_reset(&wire);
            otlp_random_request(&r, (enum ox_signal)signal, &wire);
        }
        for (size_t n = 0; n < wire.len; n++) {
            const struct ox_str part = {(const char *)wire.data, n};
            refused += must_agree((enum ox_signal)signal, part, "cut", n).err == OX_E_DECODE;
        }
        /* All but the cuts between two groups. */
        cr_assert_gt(refused, wire.len - 5);
        ox_buf_fini(&wire);
    }
}

Test(otlp_decode, empty_request)
{
    for (int signal = 0; signal < OX_SIGNAL__COUNT; signal++) {
        struct otlp_verdict v = must_agree((enum ox_signal)signal, (struct ox_str){NULL, 0}, "empty", 0);
        cr_assert(v.err == OX_OK && v.records == 0);
    }
}

Test(otlp_decode, wrong_wire_types)
{
    /* Every field of a span and every wire type: only the right one is accepted. */
    static const uint8_t right[17] = {0, 2, 2, 2, 2, 2, 0, 1, 1, 2, 0, 2, 0, 2, 0, 2, 5};
    for (uint32_t field = 1; field < OX_COUNT(right); field++) {
        for (uint32_t type = 0; type < 8; type++) {
            struct making m;
            begin(&m);
            ox_wire_tag(&m.buf, field, (enum ox_wire_type)type);
            ox_buf_append(&m.buf, "\0\0\0\0\0\0\0\0", type == 1 ? 8 : type == 5 ? 4 : 1);
            ox_err err = finish(OX_SIGNAL_TRACES, &m, "wire type").err;
            cr_assert_eq(err, type == right[field] ? OX_OK : OX_E_DECODE, "field %u, wire type %u", field,
                         type);
        }
    }
}

Test(otlp_decode, a_field_number_zero_is_refused)
{
    static const char *const tags[] = {"\x00", "\x80\x00", "\x80\x80\x80\x80\x00"};
    static const size_t sizes[] = {1, 2, 5};
    for (size_t i = 0; i < OX_COUNT(tags); i++) {
        struct making m;
        begin(&m);
        ox_buf_append(&m.buf, tags[i], sizes[i]);
        ox_buf_append(&m.buf, "\x01", 1);
        cr_assert_eq(finish(OX_SIGNAL_LOGS, &m, "number zero").err, OX_E_DECODE);
    }
}

Test(otlp_decode, what_only_the_decoder_refuses)
{
    struct making m;
    begin(&m); /* a varint of 65 bits */
    ox_wire_tag(&m.buf, 10, OX_WIRE_VARINT);
    ox_buf_append(&m.buf, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
    cr_assert_eq(finish(OX_SIGNAL_TRACES, &m, "overflow").err, OX_E_DECODE);
    begin(&m); /* a log's body whose bool is a fixed32 */
    size_t body = ox_wire_begin(&m.buf, 5);
    ox_wire_put_fixed32(&m.buf, 2, 1);
    ox_wire_end(&m.buf, body);
    cr_assert_eq(finish(OX_SIGNAL_LOGS, &m, "bool").err, OX_E_DECODE);
}

Test(otlp_decode, ids_of_every_length)
{
    static const char bytes[17] = "abcdefghijklmnopq";
    static const uint8_t fields[3] = {1, 2, 4};
    static const uint8_t sizes[3] = {16, 8, 8};
    static const uint8_t reasons[3] = {OX_REJECT_TRACE_ID, OX_REJECT_SPAN_ID, OX_REJECT_PARENT_ID};
    for (size_t i = 0; i < OX_COUNT(fields); i++) {
        for (size_t n = 0; n <= sizeof(bytes); n++) {
            struct making m;
            begin(&m);
            ox_wire_put_bytes(&m.buf, fields[i], (struct ox_str){bytes, n});
            struct ox_str wire = end(&m);
            must_agree(OX_SIGNAL_TRACES, wire, "id length", n);
            struct ox_batch *b = decoded(OX_SIGNAL_TRACES, wire);
            bool fits = n == 0 || n == sizes[i];
            cr_assert_eq(b->spans[0].reject, fits ? OX_REJECT_NONE : reasons[i], "field %u, %zu bytes",
                         fields[i], n);
            ox_batch_free(b);
            ox_buf_fini(&m.buf);
        }
    }
}

Test(otlp_decode, an_enum_number_that_otlp_does_not_know_is_kept_and_counted)
{
    static const struct {
        enum ox_signal signal;
        uint8_t field;
        uint64_t value;
        uint8_t kept;
        uint32_t unknown;
    } cases[] = {
        {OX_SIGNAL_TRACES, 6, 5, 5, 0},          {OX_SIGNAL_TRACES, 6, 6, 6, 1},
        {OX_SIGNAL_TRACES, 6, 255, 255, 1},      {OX_SIGNAL_TRACES, 6, 256, 0, 1},
        {OX_SIGNAL_TRACES, 6, UINT64_MAX, 0, 1}, {OX_SIGNAL_LOGS, 2, 24, 24, 0},
        {OX_SIGNAL_LOGS, 2, 25, 25, 1},          {OX_SIGNAL_LOGS, 2, 1u << 20, 0, 1},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct making m;
        begin(&m);
        ox_wire_put_varint(&m.buf, cases[i].field, cases[i].value);
        struct ox_str wire = end(&m);
        must_agree(cases[i].signal, wire, "enum", i);
        struct ox_batch *b = decoded(cases[i].signal, wire);
        uint8_t got = cases[i].signal == OX_SIGNAL_TRACES ? b->spans[0].kind : b->logs[0].severity;
        cr_assert_eq(got, cases[i].kept, "case %zu", i);
        cr_assert_eq(b->n_unknown, cases[i].unknown, "case %zu", i);
        ox_batch_free(b);
        ox_buf_fini(&m.buf);
    }
}

/* A log whose body is `depth` AnyValues deep. */
static ox_err
nested(uint32_t depth)
{
    struct making m;
    size_t marks[2 * OX_ANY_DEPTH_MAX + 4];
    size_t n = 0;
    begin(&m);
    marks[n++] = ox_wire_begin(&m.buf, 5);
    for (uint32_t i = 1; i < depth; i++) {
        marks[n++] = ox_wire_begin(&m.buf, 5);
        marks[n++] = ox_wire_begin(&m.buf, 1);
    }
    ox_wire_put_varint(&m.buf, 3, 1);
    while (n > 0)
        ox_wire_end(&m.buf, marks[--n]);
    return finish(OX_SIGNAL_LOGS, &m, "depth").err;
}

Test(otlp_decode, depth_limit)
{
    for (uint32_t max = 1; max <= OX_ANY_DEPTH_MAX; max += 21) {
        limits.any_depth_max = max;
        cr_assert_eq(nested(max), OX_OK, "%u", max);
        cr_assert_eq(nested(max + 1), OX_E_TOO_DEEP, "%u", max);
    }
}

/* A span with `n` attributes, the last with a value of that many bytes. */
static uint8_t
reject_with(uint32_t n, size_t value_bytes, uint32_t *kept)
{
    static const char text[64] = "................................................................";
    struct making m;
    begin(&m);
    for (uint32_t i = 0; i < n; i++)
        ox_wire_put_attr_str(&m.buf, 9, OX_STR("key"), (struct ox_str){text, i + 1 < n ? 1 : value_bytes});
    struct ox_str wire = end(&m);
    must_agree(OX_SIGNAL_TRACES, wire, "attributes", n);
    struct ox_batch *b = decoded(OX_SIGNAL_TRACES, wire);
    uint8_t reject = b->spans[0].reject;
    *kept = b->spans[0].attrs.count;
    cr_assert_eq(b->n_rejected, reject != OX_REJECT_NONE);
    ox_batch_free(b);
    ox_buf_fini(&m.buf);
    return reject;
}

Test(otlp_decode, attribute_limits_mark_the_row)
{
    uint32_t kept;
    limits.attrs_per_record_max = 3;
    limits.value_bytes_max = 20;
    cr_assert_eq(reject_with(3, 20, &kept), OX_REJECT_NONE);
    cr_assert_eq(kept, 3);
    cr_assert_eq(reject_with(4, 20, &kept), OX_REJECT_ATTRIBUTES);
    cr_assert_eq(kept, 3);
    cr_assert_eq(reject_with(3, 21, &kept), OX_REJECT_ATTRIBUTES);
    limits.key_bytes_max = 2;
    cr_assert_eq(reject_with(1, 1, &kept), OX_REJECT_ATTRIBUTES);
}

Test(otlp_decode, service_name_and_ordinals)
{
    struct ox_buf wire;
    ox_buf_init(&wire);
    for (int group = 0; group < 2; group++) {
        size_t resource_spans = ox_wire_begin(&wire, 1);
        size_t scope_spans = ox_wire_begin(&wire, 2);
        for (int i = 0; i < 3; i++)
            ox_wire_put_bytes(&wire, 2, (struct ox_str){NULL, 0});
        ox_wire_end(&wire, scope_spans);
        size_t resource = ox_wire_begin(&wire, 1); /* behind what it describes */
        if (group == 1)
            ox_wire_put_attr_str(&wire, 1, OX_STR("service.name"), OX_STR("cart"));
        ox_wire_end(&wire, resource);
        ox_wire_end(&wire, resource_spans);
    }
    must_agree(OX_SIGNAL_TRACES, ox_buf_str(&wire), "two groups", 0);
    struct ox_batch *b = decoded(OX_SIGNAL_TRACES, ox_buf_str(&wire));
    cr_assert(ox_str_eq(b->resources[0].service_name, OX_STR("unknown_service")));
    cr_assert(ox_str_eq(b->resources[1].service_name, OX_STR("cart")));
    cr_assert_eq(b->n_spans, 6);
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert_eq(b->spans[i].ordinal, i);
        cr_assert_eq(b->spans[i].scope, i / 3);
    }
    ox_batch_free(b);
    ox_buf_fini(&wire);
}

/* A request of one resource and one scope around `records`, whose own fields stand behind them. */
static struct ox_buf
behind(struct ox_str records, struct ox_str scope_url)
{
    struct ox_buf wire;
    ox_buf_init(&wire);
    size_t resource_group = ox_wire_begin(&wire, 1);
    size_t scope_group = ox_wire_begin(&wire, 2);
    ox_buf_append_str(&wire, records);
    size_t scope = ox_wire_begin(&wire, 1);
    ox_wire_put_bytes(&wire, 1, OX_STR("library"));
    ox_wire_put_attr_str(&wire, 3, OX_STR("scope.key"), OX_STR("scope value"));
    ox_wire_end(&wire, scope);
    ox_wire_put_bytes(&wire, 3, scope_url);
    ox_wire_end(&wire, scope_group);
    ox_wire_end(&wire, resource_group);
    return wire;
}

static void
put_span(struct ox_buf *records, struct ox_str value)
{
    size_t span = ox_wire_begin(records, 2);
    ox_wire_put_bytes(records, 5, OX_STR("op"));
    ox_wire_put_attr_str(records, 9, OX_STR("key"), OX_STR("plain"));
    ox_wire_put_attr_str(records, 9, OX_STR("key"), value);
    size_t event = ox_wire_begin(records, 11);
    ox_wire_put_attr_str(records, 3, OX_STR("event.key"), OX_STR("event value"));
    ox_wire_end(records, event);
    ox_wire_end(records, span);
}

Test(otlp_decode, what_a_group_says_behind_its_records_holds_for_them)
{
    struct ox_buf records;
    ox_buf_init(&records);
    put_span(&records, OX_STR("a"));
    put_span(&records, OX_STR("\xff"));
    put_span(&records, OX_STR("gr\xc3\xbc\xc3\x9f"));
    struct ox_buf good = behind(ox_buf_str(&records), OX_STR("http://schema"));
    must_agree(OX_SIGNAL_TRACES, ox_buf_str(&good), "behind", 0);
    struct ox_batch *b = decoded(OX_SIGNAL_TRACES, ox_buf_str(&good));
    cr_assert_eq(b->n_spans, 3);
    cr_assert_eq(b->n_scopes, 1);
    cr_assert_eq(b->n_events, 3);
    cr_expect(ox_str_eq(b->scopes[0].name, OX_STR("library")));
    cr_expect_eq(b->scopes[0].attrs.count, 1);
    cr_expect_eq(b->spans[2].ordinal, 2);
    cr_expect_eq(b->spans[0].reject, OX_REJECT_NONE);
    cr_expect_eq(b->spans[1].reject, OX_REJECT_UTF8, "one byte above 127 in a run of short attributes");
    cr_expect_eq(b->spans[2].reject, OX_REJECT_NONE, "UTF-8 beyond ASCII is fine");
    ox_batch_free(b);
    struct ox_buf bad = behind(ox_buf_str(&records), OX_STR("\xff"));
    b = decoded(OX_SIGNAL_TRACES, ox_buf_str(&bad));
    cr_assert_eq(b->n_spans, 3);
    cr_assert_eq(b->n_records, 3);
    cr_assert_eq(b->n_attrs, 3 * 3 + 1);
    for (uint32_t i = 0; i < 3; i++)
        cr_expect_eq(b->spans[i].reject, OX_REJECT_UTF8, "%u", i);
    ox_batch_free(b);
    ox_buf_fini(&records);
    ox_buf_fini(&good);
    ox_buf_fini(&bad);
}

Test(otlp_decode, a_metric_may_say_its_name_behind_its_points)
{
    struct ox_buf records;
    ox_buf_init(&records);
    size_t metric = ox_wire_begin(&records, 2);
    for (unsigned field = 5; field <= 7; field += 2) { /* a gauge, which the sum behind it replaces */
        size_t data = ox_wire_begin(&records, field);
        for (unsigned i = 0; i < field; i++) {
            size_t point = ox_wire_begin(&records, 1);
            ox_wire_put_fixed64(&records, 3, 100 + i);
            ox_wire_put_attr_str(&records, 7, OX_STR("key"), OX_STR("value"));
            ox_wire_put_fixed64(&records, 6, i);
            ox_wire_end(&records, point);
        }
        ox_wire_end(&records, data);
        ox_wire_put_bytes(&records, 1, OX_STR("name"));
    }
    ox_wire_put_attr_str(&records, 12, OX_STR("about"), OX_STR("it"));
    ox_wire_end(&records, metric);
    struct ox_buf wire = behind(ox_buf_str(&records), OX_STR(""));
    must_agree(OX_SIGNAL_METRICS, ox_buf_str(&wire), "behind", 0);
    struct ox_batch *b = decoded(OX_SIGNAL_METRICS, ox_buf_str(&wire));
    cr_assert_eq(b->n_metrics, 1);
    cr_assert_eq(b->n_points, 7);
    cr_assert_eq(b->n_records, 7);
    cr_expect_eq(b->metrics[0].type, OX_METRIC_SUM);
    cr_expect(ox_str_eq(b->metrics[0].name, OX_STR("name")));
    cr_expect_eq(b->metrics[0].metadata.count, 1);
    cr_expect_eq(b->points[6].int_value, 6);
    cr_expect_eq(b->points[6].ordinal, 6);
    ox_batch_free(b);
    ox_buf_fini(&records);
    ox_buf_fini(&wire);
}
