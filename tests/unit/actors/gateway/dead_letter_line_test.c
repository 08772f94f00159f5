/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a refused record can be read, mended and posted again.
 * Method:  a request of each signal goes through decoder and validation, its lines back through both.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/dead_letter.h"
#include "ox/otlp.h"
#include "ox/validate.h"

#define NOW 1700000000000000000ull

#define RESOURCE                                                                                             \
    "{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]},"      \
    "\"schemaUrl\":\"http://r\","
#define SCOPE                                                                                                \
    "\"scope\":{\"name\":\"lib\",\"version\":\"1.2\",\"attributes\":[{\"key\":\"k\",\"value\":{"             \
    "\"intValue\":\"7\"}}]},"                                                                                \
    "\"schemaUrl\":\"http://s\","
#define IDS   "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0102030405060708\","
#define START "\"startTimeUnixNano\":\"1700000000000000000\","

/* Of each signal three records: accepted, refused by validation, refused for UTF-8 (after the byte 0xc3 of its
 * string was spoiled). Fields stand in the order of their numbers, as in the lines: so bytes can be compared. */
static const char *const requests[OX_SIGNAL__COUNT] = {
    [OX_SIGNAL_TRACES] =
        "{\"resourceSpans\":[" RESOURCE "\"scopeSpans\":[{" SCOPE "\"spans\":["
        "{" IDS "\"name\":\"fine\"," START "\"endTimeUnixNano\":\"1700000000000000001\"},"
        "{" IDS "\"name\":\"a \\u2028\\\"\\\\\\n\\u0001\"," START "\"endTimeUnixNano\":\"1\"},"
        "{" IDS "\"name\":\"caf\xc3\xa9\"," START "\"endTimeUnixNano\":\"1700000000000000001\"}]}]}]}",
    [OX_SIGNAL_LOGS] =
        "{\"resourceLogs\":[" RESOURCE "\"scopeLogs\":[{" SCOPE "\"logRecords\":["
        "{\"timeUnixNano\":\"1700000000000000000\",\"body\":{\"stringValue\":\"fine\"}},"
        "{\"timeUnixNano\":\"1\",\"body\":{\"stringValue\":\"a \\u2028\\\"\\\\\\n\\u0001\"}},"
        "{\"timeUnixNano\":\"1700000000000000000\",\"body\":{\"stringValue\":\"caf\xc3\xa9\"}}]}]}]}",
    [OX_SIGNAL_METRICS] =
        "{\"resourceMetrics\":[" RESOURCE "\"scopeMetrics\":[{" SCOPE "\"metrics\":["
        "{\"name\":\"m\",\"unit\":\"By\",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,"
        "\"dataPoints\":[{\"timeUnixNano\":\"1700000000000000000\",\"asInt\":\"1\"},"
        "{\"timeUnixNano\":\"1700000000000000000\",\"asDouble\":\"NaN\"},"
        "{\"timeUnixNano\":\"1700000000000000000\",\"asInt\":\"1\",\"attributes\":["
        "{\"key\":\"k\",\"value\":{\"stringValue\":\"caf\xc3\xa9\"}}]}]}}]}]}]}",
};
static const enum ox_reject second_reject[OX_SIGNAL__COUNT] = {[OX_SIGNAL_TRACES] = OX_REJECT_TIME_REVERSED,
                                                               [OX_SIGNAL_LOGS] = OX_REJECT_TIME_TOO_OLD,
                                                               [OX_SIGNAL_METRICS] = OX_REJECT_VALUE};

/* The batch of a request in JSON; `spoil` breaks its UTF-8. */
static struct ox_batch *
decode(enum ox_signal signal, struct ox_str json, bool spoil)
{
    struct ox_decode_limits limits;
    struct ox_diag diag;
    struct ox_body *body = NULL;
    struct ox_batch *batch = ox_batch_new();
    ox_decode_limits_default(&limits);
    cr_assert_not_null(batch);
    cr_assert_eq(ox_otlp_from_json(signal, json, &limits, NULL, &body, &diag), OX_OK, "%s", diag.text);
    uint8_t *at = spoil ? memchr(body->data, 0xc3, body->len) : NULL;
    cr_assert_eq(at != NULL, spoil);
    if (spoil)
        *at = 0xff;
    cr_assert_eq(ox_otlp_decode(signal, body, &limits, batch, &diag), OX_OK, "%s", diag.text);
    ox_body_drop(body);
    return batch;
}

static struct ox_batch *
refused_batch(enum ox_signal signal)
{
    struct ox_validate_policy policy;
    struct ox_batch *b = decode(signal, ox_str_of(requests[signal]), true);
    ox_validate_policy_default(&policy);
    ox_validate_batch(b, &policy, NOW, NULL);
    cr_assert_eq(ox_batch_rows(b), 3);
    cr_assert_eq(ox_batch_row_reject(b, 0), OX_REJECT_NONE);
    cr_assert_eq(ox_batch_row_reject(b, 1), second_reject[signal]);
    cr_assert_eq(ox_batch_row_reject(b, 2), OX_REJECT_UTF8);
    snprintf(b->tenant.name, sizeof(b->tenant.name), "acme");
    b->wal_seq = UINT64_MAX;
    return b;
}

static struct ox_str
wire_of(const struct ox_batch *b, uint32_t row)
{
    return ox_batch_piece(b, b->signal == OX_SIGNAL_TRACES ? b->spans[row].wire
                             : b->signal == OX_SIGNAL_LOGS ? b->logs[row].wire
                                                           : b->points[row].wire);
}

static void
same_bytes(struct ox_str a, struct ox_str b)
{
    cr_expect(a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0), "%zu and %zu bytes: %.*s / %.*s", a.n,
              b.n, (int)a.n, a.p, (int)b.n, b.p);
}

static void
same_metric(const struct ox_batch *a, const struct ox_batch *b)
{
    if (a->signal != OX_SIGNAL_METRICS)
        return;
    same_bytes(a->metrics[0].name, b->metrics[0].name);
    same_bytes(a->metrics[0].unit, b->metrics[0].unit);
    cr_expect_eq(a->metrics[0].type, b->metrics[0].type);
    cr_expect_eq(a->metrics[0].temporality, b->metrics[0].temporality);
    cr_expect_eq(a->metrics[0].monotonic, b->metrics[0].monotonic);
}

/* `request` decodes to this one record with its resource and scope. */
static void
check_request(const struct ox_batch *b, uint32_t row, const json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    struct ox_batch *again = decode(b->signal, ox_str_of(text), false);
    cr_assert_eq(again->n_records, 1);
    cr_assert_eq(ox_batch_rows(again), 1);
    cr_assert_eq(again->n_resources, 1);
    cr_assert_eq(again->n_scopes, 1);
    same_bytes(again->resources[0].wire, b->resources[0].wire);
    same_bytes(again->resources[0].service_name, ox_str_of("shop"));
    same_bytes(again->resources[0].schema_url, ox_str_of("http://r"));
    same_bytes(again->scopes[0].wire, b->scopes[0].wire);
    same_bytes(again->scopes[0].version, ox_str_of("1.2"));
    same_bytes(again->scopes[0].schema_url, ox_str_of("http://s"));
    same_metric(again, b);
    if (ox_batch_row_reject(b, row) != OX_REJECT_UTF8)
        same_bytes(wire_of(again, 0), wire_of(b, row));
    ox_batch_free(again);
    free(text);
}

static const char *
text_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    cr_assert_not_null(text, "%s", name);
    return text;
}

static void
check_line(const struct ox_batch *b, uint32_t row, const char *line, size_t n)
{
    json_error_t error;
    enum ox_reject why = ox_batch_row_reject(b, row);
    json_t *o = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(o, "%s", error.text);
    cr_expect_str_eq(text_at(o, "time"), "2023-11-14T22:13:20.000000000Z");
    cr_expect_str_eq(text_at(o, "time_ns"), "1700000000000000000");
    cr_expect_str_eq(text_at(o, "tenant"), "acme");
    cr_expect_str_eq(text_at(o, "signal"), ox_signal_name(b->signal));
    cr_expect_str_eq(text_at(o, "reason"), ox_reject_name(why));
    cr_expect_str_eq(text_at(o, "detail"), ox_reject_text(why));
    cr_expect_str_eq(text_at(o, "wal"), "18446744073709551615");
    cr_expect_eq(json_integer_value(json_object_get(o, "ordinal")), row);
    check_request(b, row, json_object_get(o, "request"));
    cr_expect_eq(json_object_get(o, "wire") != NULL, why == OX_REJECT_UTF8);
    if (why == OX_REJECT_UTF8) {
        struct ox_buf bytes;
        ox_buf_init(&bytes);
        cr_expect_eq(ox_base64_decode(&bytes, ox_str_of(text_at(o, "wire"))), OX_OK);
        same_bytes(ox_buf_str(&bytes), wire_of(b, row));
        ox_buf_fini(&bytes);
    }
    json_decref(o);
}

Test(dead_letter_line, lines_hold_a_request_that_can_be_posted_again)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        struct ox_batch *b = refused_batch((enum ox_signal)s);
        struct ox_buf out;
        uint32_t n = 99, left_out = 99;
        ox_buf_init(&out);
        cr_assert_eq(ox_dead_letter_lines(b, NOW, SIZE_MAX, &out, &n, &left_out), OX_OK);
        cr_assert_eq(n, 2);
        cr_assert_eq(left_out, 0);
        const char *at = (const char *)out.data, *end = at + out.len;
        for (uint32_t row = 1; row < 3; row++) {
            const char *newline = memchr(at, '\n', (size_t)(end - at));
            cr_assert_not_null(newline);
            check_line(b, row, at, (size_t)(newline - at));
            at = newline + 1;
        }
        cr_expect_eq(at, end, "one line per refused record");
        ox_buf_fini(&out);
        ox_batch_free(b);
    }
}

/* Each line repeats the resource: the bound is what keeps a small request from filling the memory. */
Test(dead_letter_line, lines_end_at_the_bound_and_the_rest_is_counted)
{
    struct ox_batch *b = refused_batch(OX_SIGNAL_LOGS);
    struct ox_buf out;
    uint32_t n, left_out;
    ox_buf_init(&out);
    cr_assert_eq(ox_dead_letter_lines(b, NOW, SIZE_MAX, &out, &n, &left_out), OX_OK);
    const size_t both = out.len, first = (size_t)((uint8_t *)memchr(out.data, '\n', out.len) - out.data) + 1;
    const struct {
        size_t bytes_max, len;
        uint32_t n, left_out;
    } cases[] = {{both, both, 2, 0}, {both - 1, first, 1, 1}, {first, first, 1, 1}, {first - 1, 0, 0, 2}};
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        ox_buf_reset(&out);
        cr_assert_eq(ox_dead_letter_lines(b, NOW, cases[i].bytes_max, &out, &n, &left_out), OX_OK);
        cr_expect_eq(out.len, cases[i].len, "case %zu: %zu bytes", i, out.len);
        cr_expect_eq(n, cases[i].n, "case %zu", i);
        cr_expect_eq(left_out, cases[i].left_out, "case %zu", i);
    }
    ox_buf_fini(&out);
    ox_batch_free(b);
}

Test(dead_letter_line, a_line_may_lack_detail_and_log_position)
{
    struct ox_batch *b = decode(OX_SIGNAL_LOGS, ox_str_of(requests[OX_SIGNAL_LOGS]), true);
    struct ox_buf out;
    json_error_t error;
    ox_buf_init(&out);
    ox_buf_append_cstr(&out, "before\n");
    cr_assert_eq(ox_dead_letter_line(b, 0, "writer \"x\"", NULL, 0, &out), OX_OK);
    cr_expect_eq(memcmp(out.data, "before\n", 7), 0);
    json_t *o = json_loadb((const char *)out.data + 7, out.len - 7, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(o, "%s", error.text);
    cr_expect_str_eq(text_at(o, "reason"), "writer \"x\"");
    cr_expect_null(json_object_get(o, "detail"));
    cr_expect_null(json_object_get(o, "wal"));
    json_decref(o);
    ox_buf_fini(&out);
    ox_batch_free(b);
}
