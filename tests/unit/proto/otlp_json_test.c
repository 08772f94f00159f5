/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    OTLP/JSON becomes the protobuf request that it means and comes back from it, what is wrong is refused
 *          with its place, and replies are what OTLP says.
 * Method:  one request per signal with every field set, read by the generated types; tables of forms and errors;
 *          random requests there and back byte by byte.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb-c.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "ox/otlp.h"
#include "ox/otlp_wire.h"
#include "tests/harness/random_otlp.h"

#define SEED   0x6a736f6e
#define ROUNDS 2000

static ox_err
from_json(enum ox_signal signal, struct ox_str json, struct ox_body **body, struct ox_diag *diag)
{
    struct ox_decode_limits limits;
    ox_decode_limits_default(&limits);
    ox_diag_clear(diag);
    *body = NULL;
    return ox_otlp_from_json(signal, json, &limits, NULL, body, diag);
}

/* The request as the generated types see it. */
static void *
unpacked(enum ox_signal signal, const ProtobufCMessageDescriptor *type, const char *json)
{
    struct ox_body *body;
    struct ox_diag diag;
    ox_err err = from_json(signal, ox_str_of(json), &body, &diag);
    cr_assert_eq(err, OX_OK, "%s at %s, byte %lld", diag.text, diag.field, (long long)diag.offset);
    ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, body->len, body->data);
    cr_assert_not_null(m);
    ox_body_drop(body);
    return m;
}

static void
bytes_are(ProtobufCBinaryData got, const char *want, size_t n)
{
    cr_assert_eq(got.len, n);
    cr_assert_eq(memcmp(got.data, want, n), 0);
}

#define TRACE_ID "\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c"
#define SPAN_ID  "\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74"

static const char traces_json[] =
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":["
    "{\"key\":\"s\",\"value\":{\"stringValue\":\"\\u00e9\\ud83d\\ude00\\n\"}},"
    "{\"key\":\"b\",\"value\":{\"boolValue\":true}},"
    "{\"key\":\"i\",\"value\":{\"intValue\":\"-9223372036854775808\"}},"
    "{\"key\":\"i2\",\"value\":{\"intValue\":9007199254740993}},"
    "{\"key\":\"d\",\"value\":{\"doubleValue\":\"-Infinity\"}},"
    "{\"key\":\"d2\",\"value\":{\"doubleValue\":1}},"
    "{\"key\":\"a\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":1},{}]}}},"
    "{\"key\":\"k\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"x\",\"value\":{\"bytesValue\":\"AP/"
    "+\"}}]}}},"
    "{\"key\":\"n\",\"value\":null}],\"droppedAttributesCount\":4294967295,"
    "\"entityRefs\":[{\"schemaUrl\":\"es\",\"type\":\"host\",\"idKeys\":[\"a\",\"b\"],\"descriptionKeys\":["
    "\"c\"]}]},"
    "\"scopeSpans\":[{\"scope\":{\"name\":\"lib\",\"version\":\"1\",\"attributes\":[{\"key\":\"sa\"}],"
    "\"droppedAttributesCount\":\"2\"},\"spans\":[{\"traceId\":\"5B8EFFF798038103D269B633813FC60C\","
    "\"spanId\":\"eee19b7ec3c1b174\",\"traceState\":\"a=b\",\"parentSpanId\":\"EEE19B7EC3C1B174\",\"name\":"
    "\"op\","
    "\"kind\":\"SPAN_KIND_SERVER\",\"startTimeUnixNano\":\"1544712660000000001\","
    "\"endTimeUnixNano\":18446744073709551615,\"attributes\":[{\"key\":\"ka\"}],\"droppedAttributesCount\":3,"
    "\"events\":[{\"timeUnixNano\":\"9007199254740993\",\"name\":\"e\",\"attributes\":[{\"key\":\"ea\"}],"
    "\"droppedAttributesCount\":4}],\"droppedEventsCount\":5,\"links\":["
    "{\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\",\"traceState\":\"l\","
    "\"attributes\":[{\"key\":\"la\"}],\"droppedAttributesCount\":6,\"flags\":4294967295}],"
    "\"droppedLinksCount\":7,\"status\":{\"message\":\"bad\",\"code\":2},\"flags\":257}],"
    "\"schemaUrl\":\"ss\"}],\"schemaUrl\":\"rs\"}]}";

static void
check_values(Opentelemetry__Proto__Resource__V1__Resource *r)
{
    Opentelemetry__Proto__Common__V1__KeyValue **a = r->attributes;
    cr_assert_eq(r->n_attributes, 9);
    cr_assert_str_eq(a[0]->key, "s");
    cr_assert_str_eq(a[0]->value->string_value, "\xc3\xa9\xf0\x9f\x98\x80\n");
    cr_assert(a[1]->value->bool_value);
    cr_assert_eq(a[2]->value->int_value, INT64_MIN);
    cr_assert_eq(a[3]->value->int_value, 9007199254740993);
    cr_assert(isinf(a[4]->value->double_value) && a[4]->value->double_value < 0);
    cr_assert_eq(a[5]->value->value_case, OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_DOUBLE_VALUE);
    cr_assert_eq(a[5]->value->double_value, 1.0);
    cr_assert_eq(a[6]->value->array_value->n_values, 2);
    cr_assert_eq(a[6]->value->array_value->values[0]->int_value, 1);
    cr_assert_eq(a[6]->value->array_value->values[1]->value_case,
                 OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE__NOT_SET);
    bytes_are(a[7]->value->kvlist_value->values[0]->value->bytes_value, "\0\xff\xfe", 3);
    cr_assert_null(a[8]->value);
    cr_assert_eq(r->dropped_attributes_count, UINT32_MAX);
    cr_assert_str_eq(r->entity_refs[0]->schema_url, "es");
    cr_assert_str_eq(r->entity_refs[0]->type, "host");
    cr_assert_str_eq(r->entity_refs[0]->id_keys[1], "b");
    cr_assert_str_eq(r->entity_refs[0]->description_keys[0], "c");
}

static void
check_span(Opentelemetry__Proto__Trace__V1__Span *s)
{
    bytes_are(s->trace_id, TRACE_ID, 16);
    bytes_are(s->span_id, SPAN_ID, 8);
    bytes_are(s->parent_span_id, SPAN_ID, 8);
    cr_assert_str_eq(s->trace_state, "a=b");
    cr_assert_str_eq(s->name, "op");
    cr_assert_eq(s->kind, OPENTELEMETRY__PROTO__TRACE__V1__SPAN__SPAN_KIND__SPAN_KIND_SERVER);
    cr_assert_eq(s->start_time_unix_nano, 1544712660000000001u);
    cr_assert_eq(s->end_time_unix_nano, UINT64_MAX);
    cr_assert_str_eq(s->attributes[0]->key, "ka");
    cr_assert_eq(s->dropped_attributes_count, 3);
    cr_assert_eq(s->events[0]->time_unix_nano, 9007199254740993u);
    cr_assert_str_eq(s->events[0]->name, "e");
    cr_assert_str_eq(s->events[0]->attributes[0]->key, "ea");
    cr_assert_eq(s->events[0]->dropped_attributes_count, 4);
    cr_assert_eq(s->dropped_events_count, 5);
    bytes_are(s->links[0]->trace_id, TRACE_ID, 16);
    bytes_are(s->links[0]->span_id, SPAN_ID, 8);
    cr_assert_str_eq(s->links[0]->trace_state, "l");
    cr_assert_str_eq(s->links[0]->attributes[0]->key, "la");
    cr_assert_eq(s->links[0]->dropped_attributes_count, 6);
    cr_assert_eq(s->links[0]->flags, UINT32_MAX);
    cr_assert_eq(s->dropped_links_count, 7);
    cr_assert_str_eq(s->status->message, "bad");
    cr_assert_eq(s->status->code, 2);
    cr_assert_eq(s->flags, 257);
}

Test(otlp_json, every_field_of_traces)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest *r = unpacked(
        OX_SIGNAL_TRACES,
        &opentelemetry__proto__collector__trace__v1__export_trace_service_request__descriptor, traces_json);
    Opentelemetry__Proto__Trace__V1__ResourceSpans *rs = r->resource_spans[0];
    check_values(rs->resource);
    cr_assert_str_eq(rs->schema_url, "rs");
    cr_assert_str_eq(rs->scope_spans[0]->schema_url, "ss");
    cr_assert_str_eq(rs->scope_spans[0]->scope->name, "lib");
    cr_assert_str_eq(rs->scope_spans[0]->scope->version, "1");
    cr_assert_str_eq(rs->scope_spans[0]->scope->attributes[0]->key, "sa");
    cr_assert_eq(rs->scope_spans[0]->scope->dropped_attributes_count, 2);
    check_span(rs->scope_spans[0]->spans[0]);
    protobuf_c_message_free_unpacked(&r->base, NULL);
}

/* Names as in the .proto files, unknown fields of every type, nulls, white space, the body as a list. */
static const char logs_json[] =
    "{ \"resource_logs\" : [ { \"resource\" : null , \"unknown\" : [ { \"a\" : [ 1e5 , true , \"]\" ] } , "
    "null ] ,\n"
    "\t\"scope_logs\":[{\"scope\":{},\"log_records\":[{\"time_unix_nano\":\"1\",\"severity_number\":"
    "\"SEVERITY_NUMBER_FATAL4\",\"severity_text\":\"F\",\"body\":{\"kvlist_value\":{\"values\":[{\"key\":"
    "\"k\","
    "\"value\":{\"double_value\":\"NaN\"}}]}},\"attributes\":[{\"key\":\"la\",\"value\":{\"string_value\":"
    "\"\"}}],"
    "\"dropped_attributes_count\":1.0,\"flags\":1e2,\"trace_id\":\"5b8efff798038103d269b633813fc60c\",\"span_"
    "id\":"
    "\"eee19b7ec3c1b174\",\"observed_time_unix_nano\":\"18446744073709551615\",\"event_name\":\"ev\","
    "\"\":1,\"traceid\":5,\"body\\u0000x\":7}],\"schema_url\":\"sl\"}],\"schema_url\":\"rl\"}]}";

Test(otlp_json, every_field_of_logs)
{
    Opentelemetry__Proto__Collector__Logs__V1__ExportLogsServiceRequest *r = unpacked(
        OX_SIGNAL_LOGS, &opentelemetry__proto__collector__logs__v1__export_logs_service_request__descriptor,
        logs_json);
    Opentelemetry__Proto__Logs__V1__ResourceLogs *rl = r->resource_logs[0];
    Opentelemetry__Proto__Logs__V1__LogRecord *l = rl->scope_logs[0]->log_records[0];
    cr_assert_null(rl->resource);
    cr_assert_not_null(rl->scope_logs[0]->scope);
    cr_assert_str_eq(rl->schema_url, "rl");
    cr_assert_str_eq(rl->scope_logs[0]->schema_url, "sl");
    cr_assert_eq(l->time_unix_nano, 1);
    cr_assert_eq(l->severity_number, 24);
    cr_assert_str_eq(l->severity_text, "F");
    cr_assert(isnan(l->body->kvlist_value->values[0]->value->double_value));
    cr_assert_str_eq(l->attributes[0]->value->string_value, "");
    cr_assert_eq(l->dropped_attributes_count, 1);
    cr_assert_eq(l->flags, 100);
    bytes_are(l->trace_id, TRACE_ID, 16);
    bytes_are(l->span_id, SPAN_ID, 8);
    cr_assert_eq(l->observed_time_unix_nano, UINT64_MAX);
    cr_assert_str_eq(l->event_name, "ev");
    protobuf_c_message_free_unpacked(&r->base, NULL);
}

static const char metrics_json[] =
    "{\"resourceMetrics\":[{\"schemaUrl\":\"rm\",\"scopeMetrics\":[{\"schemaUrl\":\"sm\",\"metrics\":["
    "{\"name\":\"g\",\"description\":\"d\",\"unit\":\"By\",\"metadata\":[{\"key\":\"md\"}],\"gauge\":{"
    "\"dataPoints\":["
    "{\"startTimeUnixNano\":\"1\",\"timeUnixNano\":\"2\",\"asDouble\":\"Infinity\",\"flags\":1,"
    "\"attributes\":[{\"key\":\"pa\"}],\"exemplars\":[{\"timeUnixNano\":\"3\",\"asInt\":\"-4\","
    "\"spanId\":\"eee19b7ec3c1b174\",\"traceId\":\"5b8efff798038103d269b633813fc60c\","
    "\"filteredAttributes\":[{\"key\":\"fa\"}]},{\"asDouble\":0.5}]},{\"asInt\":-9223372036854775808}]}},"
    "{\"name\":\"s\",\"sum\":{\"dataPoints\":[{\"asInt\":\"9007199254740993\"}],"
    "\"aggregationTemporality\":\"AGGREGATION_TEMPORALITY_CUMULATIVE\",\"isMonotonic\":true}},"
    "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":1,\"dataPoints\":[{\"startTimeUnixNano\":"
    "\"1\","
    "\"timeUnixNano\":\"2\",\"count\":\"3\",\"sum\":-0.0,\"bucketCounts\":[\"1\",18446744073709551615],"
    "\"explicitBounds\":[1.5,\"NaN\"],\"exemplars\":[{}],\"attributes\":[{\"key\":\"ha\"}],\"flags\":1,"
    "\"min\":0,"
    "\"max\":7}]}},"
    "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"attributes\":["
    "{\"key\":\"xa\"}],\"startTimeUnixNano\":\"1\",\"timeUnixNano\":\"2\",\"count\":\"3\",\"sum\":4,"
    "\"scale\":-5,"
    "\"zeroCount\":\"6\",\"positive\":{\"offset\":-2147483648,\"bucketCounts\":[\"300\"]},"
    "\"negative\":{\"offset\":2147483647,\"bucketCounts\":[]},\"flags\":1,\"exemplars\":[{}],\"min\":-1,"
    "\"max\":8,"
    "\"zeroThreshold\":0.25}]}},"
    "{\"name\":\"q\",\"summary\":{\"dataPoints\":[{\"startTimeUnixNano\":\"1\",\"timeUnixNano\":\"2\","
    "\"count\":\"3\","
    "\"sum\":4.5,\"quantileValues\":[{\"quantile\":0.99,\"value\":5}],\"attributes\":[{\"key\":\"qa\"}],"
    "\"flags\":1}]}}]}]}]}";

static void
check_gauge_and_sum(Opentelemetry__Proto__Metrics__V1__Metric **m)
{
    Opentelemetry__Proto__Metrics__V1__NumberDataPoint *p = m[0]->gauge->data_points[0];
    cr_assert_str_eq(m[0]->name, "g");
    cr_assert_str_eq(m[0]->description, "d");
    cr_assert_str_eq(m[0]->unit, "By");
    cr_assert_str_eq(m[0]->metadata[0]->key, "md");
    cr_assert(p->start_time_unix_nano == 1 && p->time_unix_nano == 2 && p->flags == 1);
    cr_assert(isinf(p->as_double));
    cr_assert_str_eq(p->attributes[0]->key, "pa");
    cr_assert_eq(p->exemplars[0]->time_unix_nano, 3);
    cr_assert_eq(p->exemplars[0]->as_int, -4);
    bytes_are(p->exemplars[0]->span_id, SPAN_ID, 8);
    bytes_are(p->exemplars[0]->trace_id, TRACE_ID, 16);
    cr_assert_str_eq(p->exemplars[0]->filtered_attributes[0]->key, "fa");
    cr_assert_eq(p->exemplars[1]->as_double, 0.5);
    cr_assert_eq(m[0]->gauge->data_points[1]->as_int, INT64_MIN);
    cr_assert_eq(m[1]->sum->data_points[0]->as_int, 9007199254740993);
    cr_assert_eq(m[1]->sum->aggregation_temporality, 2);
    cr_assert(m[1]->sum->is_monotonic);
}

static void
check_histograms(Opentelemetry__Proto__Metrics__V1__Metric **m)
{
    Opentelemetry__Proto__Metrics__V1__HistogramDataPoint *h = m[2]->histogram->data_points[0];
    Opentelemetry__Proto__Metrics__V1__ExponentialHistogramDataPoint *e =
        m[3]->exponential_histogram->data_points[0];
    Opentelemetry__Proto__Metrics__V1__SummaryDataPoint *q = m[4]->summary->data_points[0];
    cr_assert_eq(m[2]->histogram->aggregation_temporality, 1);
    cr_assert(h->start_time_unix_nano == 1 && h->time_unix_nano == 2 && h->count == 3 && h->flags == 1);
    cr_assert(h->sum == 0 && signbit(h->sum) && h->min == 0 && h->max == 7);
    cr_assert_eq(h->_min_case, OPENTELEMETRY__PROTO__METRICS__V1__HISTOGRAM_DATA_POINT___MIN_MIN);
    cr_assert(h->n_bucket_counts == 2 && h->bucket_counts[0] == 1 && h->bucket_counts[1] == UINT64_MAX);
    cr_assert(h->n_explicit_bounds == 2 && h->explicit_bounds[0] == 1.5 && isnan(h->explicit_bounds[1]));
    cr_assert_eq(h->n_exemplars, 1);
    cr_assert_str_eq(h->attributes[0]->key, "ha");
    cr_assert_eq(m[3]->exponential_histogram->aggregation_temporality, 2);
    cr_assert(e->start_time_unix_nano == 1 && e->time_unix_nano == 2 && e->count == 3 && e->flags == 1);
    cr_assert(e->sum == 4 && e->min == -1 && e->max == 8 && e->zero_threshold == 0.25);
    cr_assert(e->scale == -5 && e->zero_count == 6 && e->n_exemplars == 1);
    cr_assert(e->positive->offset == INT32_MIN && e->positive->bucket_counts[0] == 300);
    cr_assert(e->negative->offset == INT32_MAX && e->negative->n_bucket_counts == 0);
    cr_assert_str_eq(e->attributes[0]->key, "xa");
    cr_assert(q->start_time_unix_nano == 1 && q->time_unix_nano == 2 && q->count == 3 && q->flags == 1);
    cr_assert(q->sum == 4.5 && q->quantile_values[0]->quantile == 0.99 && q->quantile_values[0]->value == 5);
    cr_assert_str_eq(q->attributes[0]->key, "qa");
}

Test(otlp_json, every_field_of_metrics)
{
    Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceRequest *r =
        unpacked(OX_SIGNAL_METRICS,
                 &opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__descriptor,
                 metrics_json);
    cr_assert_str_eq(r->resource_metrics[0]->schema_url, "rm");
    cr_assert_str_eq(r->resource_metrics[0]->scope_metrics[0]->schema_url, "sm");
    cr_assert_eq(r->resource_metrics[0]->scope_metrics[0]->n_metrics, 5);
    check_gauge_and_sum(r->resource_metrics[0]->scope_metrics[0]->metrics);
    check_histograms(r->resource_metrics[0]->scope_metrics[0]->metrics);
    protobuf_c_message_free_unpacked(&r->base, NULL);
}

Test(otlp_json, empty_requests_are_requests)
{
    static const char *const empty[] = {"{}", " { } ", "{\"resourceSpans\":[]}", "{\"resourceSpans\":null}"};
    for (size_t i = 0; i < OX_COUNT(empty); i++) {
        struct ox_body *body;
        struct ox_diag diag;
        cr_assert_eq(from_json(OX_SIGNAL_TRACES, ox_str_of(empty[i]), &body, &diag), OX_OK, "%s", empty[i]);
        cr_assert_eq(body->len, 0, "%s", empty[i]);
        ox_body_drop(body);
    }
}

#define SPAN(members) "{\"resourceSpans\":[{\"scopeSpans\":[{},{\"spans\":[{" members "}]}]}]}"
#define AT_SPAN       "resourceSpans[0].scopeSpans[1].spans[0]"

Test(otlp_json, what_is_wrong_is_named_with_its_place)
{
    static const struct {
        const char *json, *field, *says;
    } bad[] = {
        {SPAN("\"traceId\":\"5g\""), AT_SPAN ".traceId", "hex"},
        {SPAN("\"traceId\":\"5b8\""), AT_SPAN ".traceId", "hex"},
        {SPAN("\"traceId\":5"), AT_SPAN ".traceId", "string"},
        {SPAN("\"trace_id\":[]"), AT_SPAN ".trace_id", "string"},
        {SPAN("\"name\":1"), AT_SPAN ".name", "string"},
        {SPAN("\"kind\":\"SERVER\""), AT_SPAN ".kind", "enum"},
        {SPAN("\"kind\":\"SPAN_KIND_SERVER\\u0000\""), AT_SPAN ".kind", "enum"},
        {SPAN("\"kind\":2147483648"), AT_SPAN ".kind", "range"},
        {SPAN("\"startTimeUnixNano\":\"-1\""), AT_SPAN ".startTimeUnixNano", "range"},
        {SPAN("\"startTimeUnixNano\":18446744073709551616"), AT_SPAN ".startTimeUnixNano", "integer"},
        {SPAN("\"startTimeUnixNano\":\"\""), AT_SPAN ".startTimeUnixNano", "integer"},
        {SPAN("\"startTimeUnixNano\":1.5"), AT_SPAN ".startTimeUnixNano", "integer"},
        {SPAN("\"startTimeUnixNano\":true"), AT_SPAN ".startTimeUnixNano", "integer"},
        {SPAN("\"startTimeUnixNano\":{}"), AT_SPAN ".startTimeUnixNano", "integer"},
        {SPAN("\"flags\":4294967296"), AT_SPAN ".flags", "range"},
        {SPAN("\"flags\":01"), AT_SPAN ".flags", "zero"},
        {SPAN("\"status\":[]"), AT_SPAN ".status", "object"},
        {SPAN("\"events\":{}"), AT_SPAN ".events", "array"},
        {SPAN("\"events\":[{},null]"), AT_SPAN ".events[1]", "object"},
        {SPAN("\"attributes\":[{\"key\":\"k\",\"value\":{\"boolValue\":\"true\"}}]"),
         AT_SPAN ".attributes[0].value.boolValue", "true"},
        {SPAN("\"attributes\":[{\"value\":{\"bytesValue\":\"A\"}}]"),
         AT_SPAN ".attributes[0].value.bytesValue", "base64"},
        {SPAN("\"attributes\":[{\"value\":{\"doubleValue\":\"nan\"}}]"),
         AT_SPAN ".attributes[0].value.doubleValue", "NaN"},
        {SPAN("\"attributes\":[{\"value\":{\"doubleValue\":1e999}}]"),
         AT_SPAN ".attributes[0].value.doubleValue", "number"},
        {SPAN("\"name\":\"\\x\""), AT_SPAN ".name", "escape"},
        {SPAN("\"name\":\"\t\""), AT_SPAN ".name", "control"},
        {SPAN("") " x", "", "follows"},
        {SPAN("") "{}", "", "follows"},
        {"[]", "", "object"},
        {"", "", "object"},
    };
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        struct ox_body *body;
        struct ox_diag diag;
        cr_assert_eq(from_json(OX_SIGNAL_TRACES, ox_str_of(bad[i].json), &body, &diag), OX_E_DECODE, "%s",
                     bad[i].json);
        cr_assert_null(body);
        cr_assert_str_eq(diag.field, bad[i].field, "%s", bad[i].json);
        cr_assert_not_null(strstr(diag.text, bad[i].says), "%s: %s", bad[i].json, diag.text);
        cr_assert(diag.offset >= 0 && (size_t)diag.offset <= strlen(bad[i].json), "%s", bad[i].json);
    }
}

Test(otlp_json, the_offset_points_to_the_place)
{
    struct ox_body *body;
    struct ox_diag diag;
    const char *json = SPAN("\"name\":  7");
    cr_assert_eq(from_json(OX_SIGNAL_TRACES, ox_str_of(json), &body, &diag), OX_E_DECODE);
    cr_assert_eq(diag.offset, strchr(json, '7') - json);
}

Test(otlp_json, a_cut_request_is_refused_at_every_byte)
{
    const char *const all[OX_SIGNAL__COUNT] = {
        [OX_SIGNAL_TRACES] = traces_json, [OX_SIGNAL_LOGS] = logs_json, [OX_SIGNAL_METRICS] = metrics_json};
    for (unsigned signal = 0; signal < OX_SIGNAL__COUNT; signal++) {
        for (size_t n = 0; n < strlen(all[signal]); n++) {
            struct ox_body *body;
            struct ox_diag diag;
            char *copy = malloc(n + 1); /* a sanitizer watches its end */
            char *at = n != 0 ? copy + 1 : copy;
            memcpy(at, all[signal], n);
            ox_err err = from_json(signal, (struct ox_str){at, n}, &body, &diag);
            cr_assert_eq(err, OX_E_DECODE, "signal %u, %zu bytes", signal, n);
            cr_assert_leq((uint64_t)diag.offset, n);
            free(copy);
        }
    }
}

/* A log record whose body has this depth. */
static void
nested_body(struct ox_buf *json, unsigned depth)
{
    ox_buf_append_cstr(json, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":");
    for (unsigned i = 1; i < depth; i++)
        ox_buf_append_cstr(json, "{\"arrayValue\":{\"values\":[");
    ox_buf_append_cstr(json, "{}");
    for (unsigned i = 1; i < depth; i++)
        ox_buf_append_cstr(json, "]}}");
    ox_buf_append_cstr(json, "}]}]}]}");
}

Test(otlp_json, depth_is_bounded)
{
    struct ox_decode_limits limits;
    struct ox_buf json;
    struct ox_body *body;
    struct ox_diag diag;
    ox_decode_limits_default(&limits);
    ox_buf_init(&json);
    nested_body(&json, limits.any_depth_max);
    cr_assert_eq(from_json(OX_SIGNAL_LOGS, ox_buf_str(&json), &body, &diag), OX_OK);
    ox_body_drop(body);
    ox_buf_reset(&json);
    nested_body(&json, limits.any_depth_max + 1);
    cr_assert_eq(from_json(OX_SIGNAL_LOGS, ox_buf_str(&json), &body, &diag), OX_E_TOO_DEEP);
    cr_assert_not_null(strstr(diag.text, "deeper than 32 levels, the limit decode.depth"), "%s", diag.text);
    ox_buf_reset(&json);
    ox_buf_append_cstr(&json, "{\"unknown\":");
    for (int i = 0; i < 100000; i++)
        ox_buf_append_cstr(&json, "[");
    cr_assert_eq(from_json(OX_SIGNAL_LOGS, ox_buf_str(&json), &body, &diag), OX_E_TOO_DEEP);
    ox_buf_fini(&json);
}

Test(otlp_json, size_and_account_are_bounds)
{
    struct ox_decode_limits limits;
    struct ox_account account = {.limit_bytes = 1};
    struct ox_body *body = NULL;
    struct ox_diag diag;
    ox_decode_limits_default(&limits);
    ox_err err = ox_otlp_from_json(OX_SIGNAL_TRACES, OX_STR(traces_json), &limits, &account, &body, &diag);
    cr_assert_eq(err, OX_E_NOMEM);
    cr_assert_null(body);
    cr_assert_eq(atomic_load(&account.used_bytes), 0);
    limits.batch_bytes_max = 100;
    err = ox_otlp_from_json(OX_SIGNAL_TRACES, OX_STR(traces_json), &limits, NULL, &body, &diag);
    cr_assert_eq(err, OX_E_TOO_LARGE);
    cr_assert_null(body);
    cr_assert_not_null(strstr(diag.text, "batch_bytes_max"));
}

Test(otlp_json, a_list_of_numbers_is_not_read_past_the_bound)
{
    struct ox_decode_limits limits;
    struct ox_body *body = NULL;
    struct ox_diag diag;
    struct ox_buf json;
    ox_decode_limits_default(&limits);
    limits.batch_bytes_max = 1000;
    ox_buf_init(&json);
    ox_buf_append_cstr(&json, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"histogram\":"
                              "{\"dataPoints\":[{\"bucketCounts\":[0");
    for (int i = 0; i < 10000; i++)
        ox_buf_append_cstr(&json, ",0");
    ox_buf_append_cstr(&json, "]}]}}]}]}]}");
    ox_err err = ox_otlp_from_json(OX_SIGNAL_METRICS, ox_buf_str(&json), &limits, NULL, &body, &diag);
    cr_assert_eq(err, OX_E_TOO_LARGE);
    cr_assert_null(body);
    cr_assert_lt(diag.offset, 1000);
    ox_buf_fini(&json);
}

static void
must_be_json(const struct ox_buf *text)
{
    json_error_t error;
    json_t *tree = json_loadb((const char *)text->data, text->len, JSON_ALLOW_NUL, &error);
    cr_assert_not_null(tree, "%s", error.text);
    json_decref(tree);
}

/* Wire to JSON and back; returns the new wire. */
static struct ox_body *
there_and_back(enum ox_signal signal, struct ox_str wire, unsigned round)
{
    struct ox_decode_limits limits;
    struct ox_body *body = NULL;
    struct ox_diag diag;
    struct ox_buf json;
    ox_decode_limits_default(&limits);
    ox_buf_init(&json);
    cr_assert_eq(ox_otlp_to_json(signal, wire, &json, &diag), OX_OK, "round %u: %s", round, diag.text);
    must_be_json(&json);
    ox_err err = ox_otlp_from_json(signal, ox_buf_str(&json), &limits, NULL, &body, &diag);
    cr_assert_eq(err, OX_OK, "seed %#x, round %u: %s %s", SEED, round, diag.field, diag.text);
    ox_buf_fini(&json);
    return body;
}

Test(otlp_json, random_requests_come_back_byte_by_byte)
{
    struct ox_random rnd;
    struct ox_buf wire;
    size_t total = 0;
    ox_random_seed(&rnd, SEED);
    ox_buf_init(&wire);
    for (unsigned round = 0; round < ROUNDS; round++) {
        enum ox_signal signal = (enum ox_signal)(round % OX_SIGNAL__COUNT);
        ox_buf_reset(&wire);
        random_request(&rnd, signal, &wire);
        total += wire.len;
        struct ox_body *body = there_and_back(signal, ox_buf_str(&wire), round);
        cr_assert_eq(body->len, wire.len, "seed %#x, round %u", SEED, round);
        cr_assert(body->len == 0 || memcmp(body->data, wire.data, wire.len) == 0, "seed %#x, round %u", SEED,
                  round);
        ox_body_drop(body);
    }
    cr_assert_gt(total, ROUNDS * 100);
    ox_buf_fini(&wire);
}

Test(otlp_json, a_message_in_parts_is_one_message)
{
    struct ox_buf wire, want;
    ox_buf_init(&wire);
    ox_buf_init(&want);
    size_t rl = ox_wire_begin(&wire, 1), sl = ox_wire_begin(&wire, 2);
    for (unsigned part = 0; part < 2; part++) {
        size_t scope = ox_wire_begin(&wire, 1);
        ox_wire_put_bytes(&wire, part == 0 ? 1 : 2, part == 0 ? OX_STR("lib") : OX_STR("2"));
        ox_wire_end(&wire, scope);
    }
    ox_wire_end(&wire, sl);
    ox_wire_end(&wire, rl);
    cr_assert_eq(ox_otlp_to_json(OX_SIGNAL_LOGS, ox_buf_str(&wire), &want, NULL), OX_OK);
    cr_assert(
        ox_str_eq(ox_buf_str(&want), OX_STR("{\"resourceLogs\":[{\"scopeLogs\":[{\"scope\":{\"name\":\"lib\","
                                            "\"version\":\"2\"}}]}]}")));
    ox_buf_fini(&wire);
    ox_buf_fini(&want);
}

Test(otlp_json, damaged_wire_bytes_are_refused_or_become_json)
{
    struct ox_random rnd;
    struct ox_buf wire, json;
    unsigned refused = 0;
    ox_random_seed(&rnd, SEED + 1);
    ox_buf_init(&wire);
    ox_buf_init(&json);
    for (unsigned round = 0; round < ROUNDS; round++) {
        enum ox_signal signal = (enum ox_signal)(round % OX_SIGNAL__COUNT);
        struct ox_diag diag;
        ox_buf_reset(&wire);
        random_request(&rnd, signal, &wire);
        for (unsigned hits = 0; wire.len != 0 && hits < 3; hits++)
            wire.data[ox_random_below(&rnd, wire.len)] = (uint8_t)ox_random_u64(&rnd);
        ox_buf_reset(&json);
        ox_diag_clear(&diag);
        if (ox_otlp_to_json(signal, ox_buf_str(&wire), &json, &diag) == OX_OK) {
            must_be_json(&json);
            continue;
        }
        cr_assert_neq(diag.text[0], '\0');
        refused++;
    }
    cr_assert(refused > ROUNDS / 10 && refused < ROUNDS);
    ox_buf_fini(&wire);
    ox_buf_fini(&json);
}

static void
json_reply_is(enum ox_signal signal, uint64_t rejected, struct ox_str message, const char *want)
{
    struct ox_buf out;
    ox_buf_init(&out);
    ox_otlp_response(OX_OTLP_JSON, signal, rejected, message, &out);
    cr_assert(ox_str_eq(ox_buf_str(&out), ox_str_of(want)), "%.*s", (int)out.len, (const char *)out.data);
    ox_buf_fini(&out);
}

Test(otlp_json, responses_in_json)
{
    json_reply_is(OX_SIGNAL_TRACES, 0, OX_STR(""), "{}");
    json_reply_is(OX_SIGNAL_TRACES, 3, OX_STR(""), "{\"partialSuccess\":{\"rejectedSpans\":\"3\"}}");
    json_reply_is(OX_SIGNAL_LOGS, 1, OX_STR("a \"b\""),
                  "{\"partialSuccess\":{\"rejectedLogRecords\":\"1\",\"errorMessage\":\"a \\\"b\\\"\"}}");
    json_reply_is(
        OX_SIGNAL_METRICS, 9007199254740993u, OX_STR("m"),
        "{\"partialSuccess\":{\"rejectedDataPoints\":\"9007199254740993\",\"errorMessage\":\"m\"}}");
    json_reply_is(OX_SIGNAL_LOGS, 0, OX_STR("warning"),
                  "{\"partialSuccess\":{\"errorMessage\":\"warning\"}}");
}

Test(otlp_json, responses_in_protobuf)
{
    struct ox_buf out;
    ox_buf_init(&out);
    ox_otlp_response(OX_OTLP_PROTOBUF, OX_SIGNAL_LOGS, 0, OX_STR(""), &out);
    cr_assert_eq(out.len, 0);
    ox_otlp_response(OX_OTLP_PROTOBUF, OX_SIGNAL_TRACES, 300, OX_STR("why"), &out);
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse *t =
        opentelemetry__proto__collector__trace__v1__export_trace_service_response__unpack(NULL, out.len,
                                                                                          out.data);
    cr_assert_eq(t->partial_success->rejected_spans, 300);
    cr_assert_str_eq(t->partial_success->error_message, "why");
    protobuf_c_message_free_unpacked(&t->base, NULL);
    ox_buf_reset(&out);
    ox_otlp_response(OX_OTLP_PROTOBUF, OX_SIGNAL_LOGS, 2, OX_STR(""), &out);
    Opentelemetry__Proto__Collector__Logs__V1__ExportLogsServiceResponse *l =
        opentelemetry__proto__collector__logs__v1__export_logs_service_response__unpack(NULL, out.len,
                                                                                        out.data);
    cr_assert_eq(l->partial_success->rejected_log_records, 2);
    protobuf_c_message_free_unpacked(&l->base, NULL);
    ox_buf_reset(&out);
    ox_otlp_response(OX_OTLP_PROTOBUF, OX_SIGNAL_METRICS, 0, OX_STR("note"), &out);
    Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceResponse *m =
        opentelemetry__proto__collector__metrics__v1__export_metrics_service_response__unpack(NULL, out.len,
                                                                                              out.data);
    cr_assert_eq(m->partial_success->rejected_data_points, 0);
    cr_assert_str_eq(m->partial_success->error_message, "note");
    protobuf_c_message_free_unpacked(&m->base, NULL);
    ox_buf_fini(&out);
}

static void
protobuf_status_is(int code, const char *message, uint32_t retry_ms, int64_t seconds, int32_t nanos)
{
    struct ox_buf out;
    ox_buf_init(&out);
    ox_otlp_status(OX_OTLP_PROTOBUF, code, ox_str_of(message), retry_ms, &out);
    Google__Rpc__Status *s = google__rpc__status__unpack(NULL, out.len, out.data);
    cr_assert_not_null(s);
    cr_assert_eq(s->code, code);
    cr_assert_str_eq(s->message, message);
    cr_assert_eq(s->n_details, retry_ms != 0);
    if (retry_ms != 0) {
        cr_assert_str_eq(s->details[0]->type_url, "type.googleapis.com/google.rpc.RetryInfo");
        Google__Rpc__RetryInfo *r =
            google__rpc__retry_info__unpack(NULL, s->details[0]->value.len, s->details[0]->value.data);
        cr_assert_eq(r->retry_delay->seconds, seconds);
        cr_assert_eq(r->retry_delay->nanos, nanos);
        google__rpc__retry_info__free_unpacked(r, NULL);
    }
    google__rpc__status__free_unpacked(s, NULL);
    ox_buf_fini(&out);
}

Test(otlp_json, status_in_protobuf)
{
    protobuf_status_is(3, "bad \xc3\xa9", 0, 0, 0);
    protobuf_status_is(0, "", 0, 0, 0);
    protobuf_status_is(8, "slow", 1500, 1, 500000000);
    protobuf_status_is(14, "", 5, 0, 5000000);
    protobuf_status_is(14, "later", 4294967295u, 4294967, 295000000);
}

Test(otlp_json, status_in_json)
{
    struct ox_buf out;
    ox_buf_init(&out);
    ox_otlp_status(OX_OTLP_JSON, 3, OX_STR("a\n"), 0, &out);
    cr_assert(ox_str_eq(ox_buf_str(&out), OX_STR("{\"code\":3,\"message\":\"a\\n\"}")));
    ox_buf_reset(&out);
    ox_otlp_status(OX_OTLP_JSON, 8, OX_STR("slow"), 12005, &out);
    cr_assert(
        ox_str_eq(ox_buf_str(&out),
                  OX_STR("{\"code\":8,\"message\":\"slow\",\"details\":[{\"@type\":\"type.googleapis.com/"
                         "google.rpc.RetryInfo\",\"retryDelay\":\"12.005s\"}]}")));
    ox_buf_fini(&out);
}
