/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    rules are understood as documented; what they name stands nowhere in the request that goes on, in whatever part of
 *          it and however deep, and everything else is as it was.
 * Method:  requests of every signal with words that must not remain, from JSON; the decoder reads the result. Random requests,
 *          rewritten by rules that match nothing, decode to the same.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/otlp.h"
#include "policies/redact.h"

static const uint8_t secret[OX_REDACT_SECRET] = {7};
static struct ox_tenant_id acme = {.name = "acme"}, other = {.name = "other"};
static struct ox_diag diag;

static struct ox_redact *
rules(const char *text)
{
    struct ox_redact *r;
    cr_assert_eq(ox_redact_parse(ox_str_of(text), secret, &r, &diag), OX_OK, "%s", diag.text);
    return r;
}

Test(redact, patterns_and_whom_they_concern)
{
    static const struct {
        const char *key;
        enum ox__redact_action logs, traces;
    } cases[] = {
        {"user.email", OX__REDACT_HASH, OX__REDACT_HASH},
        {"user.", OX__REDACT_HASH, OX__REDACT_HASH},
        {"user", OX__REDACT_KEEP, OX__REDACT_KEEP},
        {"my.user.email", OX__REDACT_KEEP, OX__REDACT_KEEP},
        {"User.email", OX__REDACT_KEEP, OX__REDACT_KEEP},
        {"http.request.header.cookie", OX__REDACT_KEEP, OX__REDACT_DROP},
        {"a.secret.b", OX__REDACT_DROP, OX__REDACT_DROP},
        {"secret", OX__REDACT_DROP, OX__REDACT_DROP},
        {"user.secret", OX__REDACT_HASH, OX__REDACT_HASH},
        {"abcabd", OX__REDACT_DROP, OX__REDACT_DROP},
        {"abcab", OX__REDACT_KEEP, OX__REDACT_KEEP},
        {"", OX__REDACT_KEEP, OX__REDACT_KEEP},
    };
    struct ox_redact *r = rules("# first wins\n\nall acme hash user.*\r\n"
                                "traces\tacme drop http.request.header.cookie # never\n"
                                "logs,traces * drop *secret*\nall * drop ab*abd");
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_str key = ox_str_of(cases[i].key);
        cr_assert_eq(ox__redact_of(r, &acme, OX_SIGNAL_LOGS, key), cases[i].logs, "%s", cases[i].key);
        cr_assert_eq(ox__redact_of(r, &acme, OX_SIGNAL_TRACES, key), cases[i].traces, "%s", cases[i].key);
    }
    cr_assert_eq(ox__redact_of(r, &other, OX_SIGNAL_LOGS, OX_STR("user.email")), OX__REDACT_KEEP);
    cr_assert_eq(ox__redact_of(r, &other, OX_SIGNAL_LOGS, OX_STR("user.secret")), OX__REDACT_DROP);
    cr_assert_eq(ox__redact_of(r, &other, OX_SIGNAL_METRICS, OX_STR("user.secret")), OX__REDACT_KEEP);
    ox_redact_free(r);
    r = rules("logs acme drop x");
    cr_assert(ox_redact_applies(r, &acme, OX_SIGNAL_LOGS));
    cr_assert_not(ox_redact_applies(r, &acme, OX_SIGNAL_TRACES));
    cr_assert_not(ox_redact_applies(r, &other, OX_SIGNAL_LOGS));
    cr_assert_not(ox_redact_applies(NULL, &acme, OX_SIGNAL_LOGS));
    ox_redact_free(r);
    cr_assert_null(rules("# nothing\n"));
}

Test(redact, mistakes_are_named_with_their_line)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"\nlogs acme drop", "line 2: a line is SIGNALS"},
        {"logs acme drop a b", "line 1: a line is"},
        {"log acme drop a", "'log' is none of traces"},
        {"logs, acme drop a b", "line 1"},
        {"logs Acme drop a", "line 1: a tenant name"},
        {"logs acme mask a", "'mask' is neither drop nor hash"},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_redact *r;
        cr_assert_eq(ox_redact_parse(ox_str_of(cases[i].text), secret, &r, &diag), OX_E_CONFIG, "%s",
                     cases[i].text);
        cr_assert_not_null(strstr(diag.text, cases[i].says), "%s: %s", cases[i].text, diag.text);
        cr_assert_null(r);
    }
}

/* What a JSON request becomes. Must be freed. */
static struct ox_buf
rewritten(enum ox_signal signal, const char *json, const struct ox_redact *r, struct ox_redact_counts *counts)
{
    struct ox_decode_limits limits;
    struct ox_body *body = NULL;
    struct ox_buf out = {0};
    ox_decode_limits_default(&limits);
    cr_assert_eq(ox_otlp_from_json(signal, ox_str_of(json), &limits, NULL, &body, &diag), OX_OK, "%s",
                 diag.text);
    struct ox_str request = {(const char *)body->data, body->len};
    cr_assert_eq(ox_redact_body(r, &acme, signal, request, &out, counts, &diag), OX_OK, "%s", diag.text);
    ox_body_drop(body);
    return out;
}

static bool
holds(const struct ox_buf *b, const char *word)
{
    return memmem(b->data, b->len, word, strlen(word)) != NULL;
}

static void
must_decode(enum ox_signal signal, const struct ox_buf *b, uint32_t records)
{
    struct ox_decode_limits limits;
    struct ox_batch *batch = ox_batch_new();
    struct ox_body *body = ox_body_new(b->len, NULL);
    ox_decode_limits_default(&limits);
    memcpy(body->data, b->data, b->len);
    body->len = b->len;
    cr_assert_eq(ox_otlp_decode(signal, body, &limits, batch, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(batch->n_records, records);
    cr_assert_eq(batch->n_rejected, 0);
    ox_batch_free(batch);
    ox_body_drop(body);
}

#define BAD(key)                                                                                             \
    "{\"key\":\"" key                                                                                        \
    "\",\"value\":{\"stringValue\":\"zqbad\"}},{\"key\":\"k\",\"value\":{\"stringValue\":\"zqgood\"}}"
#define DEEP                                                                                                 \
    "{\"key\":\"m\",\"value\":{\"kvlistValue\":{\"values\":[" BAD(                                           \
        "x.secret") ",{\"key\":\"a\",\"value\":{\"arrayValue\":{"                                            \
                    "\"values\":[{\"kvlistValue\":{\"values\":[" BAD(                                        \
                        "x.secret") "]}},{\"stringValue\":\"zqgood\"}]}}}]}}}"
#define ATTRS "\"attributes\":[" BAD("x.secret") "," DEEP "]"

static const struct {
    enum ox_signal signal;
    const char *json;
    unsigned places; /* x.secret */
} requests[] = {
    {OX_SIGNAL_TRACES,
     "{\"resourceSpans\":[{\"resource\":{" ATTRS "},\"scopeSpans\":[{\"scope\":{\"name\":\"s\"," ATTRS
     "},\"spans\":[{"
     "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0102030405060708\",\"name\":\"n\","
     "\"kind\":1,"
     "\"startTimeUnixNano\":\"5\",\"endTimeUnixNano\":\"6\"," ATTRS
     ",\"events\":[{\"name\":\"e\",\"timeUnixNano\":\"5\"," ATTRS
     "}],\"links\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0102030405060708\"," ATTRS
     "}]}]}]}]}",
     15},
    {OX_SIGNAL_LOGS,
     "{\"resourceLogs\":[{\"resource\":{" ATTRS "},\"scopeLogs\":[{\"scope\":{" ATTRS
     "},\"logRecords\":[{\"timeUnixNano\":\"5\"," ATTRS ",\"body\":{\"kvlistValue\":{\"values\":[" DEEP
     "]}}},{\"timeUnixNano\":\"5\",\"body\":{\"stringValue\":\"zqgood\"}}]}]}]}",
     11},
    {OX_SIGNAL_METRICS,
     "{\"resourceMetrics\":[{\"resource\":{" ATTRS "},\"scopeMetrics\":[{\"scope\":{" ATTRS "},\"metrics\":["
     "{\"name\":\"g\",\"metadata\":[" DEEP
     "],\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"5\",\"asInt\":\"1\"," ATTRS
     ",\"exemplars\":[{\"timeUnixNano\":\"5\",\"asInt\":\"1\",\"filteredAttributes\":[" DEEP "]}]}]}},"
     "{\"name\":\"s\",\"sum\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"timeUnixNano\":\"5\","
     "\"asInt\":\"1\"," ATTRS "}]}},"
     "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"timeUnixNano\":\"5\","
     "\"count\":\"1\","
     "\"bucketCounts\":[\"1\"]," ATTRS
     ",\"exemplars\":[{\"timeUnixNano\":\"5\",\"asInt\":\"1\",\"filteredAttributes\":[" DEEP "]}]}]}},"
     "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{"
     "\"timeUnixNano\":\"5\",\"count\":"
     "\"1\",\"zeroCount\":\"1\"," ATTRS
     ",\"exemplars\":[{\"timeUnixNano\":\"5\",\"asInt\":\"1\",\"filteredAttributes\":[" DEEP "]}]}]}},"
     "{\"name\":\"u\",\"summary\":{\"dataPoints\":[{\"timeUnixNano\":\"5\",\"count\":\"1\",\"sum\":1," ATTRS
     "}]}}]}]}]}",
     29},
};
static const uint32_t records_of[] = {1, 2, 5};

Test(redact, what_is_dropped_remains_nowhere)
{
    struct ox_redact *r = rules("all * drop *.secret");
    for (size_t i = 0; i < OX_COUNT(requests); i++) {
        struct ox_redact_counts counts;
        struct ox_buf out = rewritten(requests[i].signal, requests[i].json, r, &counts);
        cr_assert_not(holds(&out, "zqbad"), "%zu", i);
        cr_assert_not(holds(&out, "x.secret"), "%zu", i);
        cr_assert(holds(&out, "zqgood"));
        cr_assert_eq(counts.dropped, requests[i].places, "%zu: %llu", i, (unsigned long long)counts.dropped);
        must_decode(requests[i].signal, &out, records_of[i]);
        ox_buf_fini(&out);
    }
    ox_redact_free(r);
}

Test(redact, a_hash_is_equal_for_equal_values_and_tells_nothing_else)
{
    struct ox_redact *r = rules("all * hash *.secret");
    for (size_t i = 0; i < OX_COUNT(requests); i++) {
        struct ox_redact_counts counts;
        struct ox_buf out = rewritten(requests[i].signal, requests[i].json, r, &counts);
        cr_assert_not(holds(&out, "zqbad"), "%zu", i);
        cr_assert(holds(&out, "x.secret"));
        cr_assert_eq(counts.hashed, requests[i].places, "%zu: %llu", i, (unsigned long long)counts.hashed);
        must_decode(requests[i].signal, &out, records_of[i]);
        ox_buf_fini(&out);
    }
    char a[OX__REDACT_HASH_LEN + 1], b[OX__REDACT_HASH_LEN + 1], c[OX__REDACT_HASH_LEN + 1];
    ox__redact_hash(r, OX_STR("one"), a);
    ox__redact_hash(r, OX_STR("one"), b);
    ox__redact_hash(r, OX_STR("two"), c);
    cr_assert_str_eq(a, b);
    cr_assert_str_neq(a, c);
    cr_assert_eq(strlen(a), OX__REDACT_HASH_LEN);
    static const uint8_t another[OX_REDACT_SECRET] = {8};
    struct ox_redact *r2;
    cr_assert_eq(ox_redact_parse(OX_STR("all * hash x"), another, &r2, &diag), OX_OK);
    ox__redact_hash(r2, OX_STR("one"), b);
    cr_assert_str_neq(a, b, "another secret, another hash");
    ox_redact_free(r);
    ox_redact_free(r2);
}

/* A KeyValue whose key comes last, or twice, is judged by the key that readers take. */
Test(redact, keys_that_stand_elsewhere_are_found)
{
    /* ExportLogsServiceRequest{ResourceLogs{Resource{KeyValue}}}; payload: the KeyValue. */
    static const struct {
        const char *pair;
        size_t n;
    } pairs[] = {
        {"\x12\x07\x0a\x05"
         "zqbad"
         "\x0a\x08"
         "x.secret",
         9 + 10},
        {"\x0a\x01"
         "k"
         "\x12\x07\x0a\x05"
         "zqbad"
         "\x0a\x08"
         "x.secret",
         3 + 9 + 10},
    };
    struct ox_redact *r = rules("all * drop *.secret");
    for (size_t i = 0; i < OX_COUNT(pairs); i++) {
        uint8_t wire[64] = {0x0a, (uint8_t)(pairs[i].n + 4), 0x0a, (uint8_t)(pairs[i].n + 2),
                            0x0a, (uint8_t)pairs[i].n};
        struct ox_redact_counts counts;
        struct ox_buf out = {0};
        memcpy(wire + 6, pairs[i].pair, pairs[i].n);
        cr_assert_eq(ox_redact_body(r, &acme, OX_SIGNAL_LOGS, (struct ox_str){(char *)wire, pairs[i].n + 6},
                                    &out, &counts, &diag),
                     OX_OK);
        cr_assert_eq(counts.dropped, 1, "%zu", i);
        cr_assert_not(holds(&out, "zqbad"), "%zu", i);
        ox_buf_fini(&out);
    }
    ox_redact_free(r);
}

Test(redact, what_cannot_be_read_is_refused_and_never_passed_on)
{
    struct ox_redact *r = rules("all * drop *.secret");
    struct ox_redact_counts counts;
    struct ox_buf whole = rewritten(OX_SIGNAL_TRACES, requests[0].json, r, &counts);
    for (size_t n = 1; n < whole.len; n++) {
        struct ox_buf out = {0};
        ox_err err = ox_redact_body(r, &acme, OX_SIGNAL_TRACES, (struct ox_str){(char *)whole.data, n}, &out,
                                    &counts, &diag);
        cr_assert_eq(err, OX_E_DECODE, "cut at %zu", n);
        ox_buf_fini(&out);
    }
    ox_buf_fini(&whole);
    ox_redact_free(r);
}

/* Rules that match nothing: the request comes out byte for byte, since ours are the shortest lengths. */
Test(redact, what_no_rule_names_is_as_it_was)
{
    struct ox_redact *r = rules("all * drop nothing.has.this.key");
    for (size_t i = 0; i < OX_COUNT(requests); i++) {
        struct ox_decode_limits limits;
        struct ox_body *body = NULL;
        struct ox_redact_counts counts;
        struct ox_buf out = {0};
        ox_decode_limits_default(&limits);
        cr_assert_eq(
            ox_otlp_from_json(requests[i].signal, ox_str_of(requests[i].json), &limits, NULL, &body, &diag),
            OX_OK);
        struct ox_str request = {(const char *)body->data, body->len};
        cr_assert_eq(ox_redact_body(r, &acme, requests[i].signal, request, &out, &counts, &diag), OX_OK);
        cr_assert_eq(counts.dropped + counts.hashed, 0);
        cr_assert(ox_str_eq(ox_buf_str(&out), request), "%zu: %zu bytes became %zu", i, request.n, out.len);
        ox_buf_fini(&out);
        ox_body_drop(body);
    }
    ox_redact_free(r);
}
