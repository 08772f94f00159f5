/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/otlp_oracle.c - does the hot decoder say the same as protobuf-c? Request, spans and logs.
 *
 * Owns:    nothing; metrics are in otlp_oracle_metrics.c.
 * Threads: any.
 * Fails:   by verdict; out of memory ends the test.
 */
#include "tests/harness/otlp_oracle.h"

#include "ox/any.h"
#include "tests/harness/otlp_same.h"
#include "tests/harness/otlp_wire.h"

static bool
inside(const struct otlp_same *s, struct ox_str view)
{
    const char *from = (const char *)s->b->body->data;
    return view.n == 0 || (view.p >= from && view.p + view.n <= from + s->b->body->len);
}

static void
same_string(struct otlp_same *s, struct ox_str ours, const char *theirs)
{
    size_t n = strlen(theirs);
    OTLP_SAME(s, inside(s, ours));
    OTLP_SAME(s, n == (ours.n != 0 ? strnlen(ours.p, ours.n) : 0));
    OTLP_SAME(s, s->differs || n == 0 || memcmp(ours.p, theirs, n) == 0);
    s->bad |= !ox_utf8_valid((struct ox_str){theirs, n});
}

void
otlp_same_text(struct otlp_same *s, struct ox_str ours, const char *theirs)
{
    same_string(s, ours, theirs);
    s->bad |= strlen(theirs) > s->limits->text_bytes_max;
}

void
otlp_same_id(struct otlp_same *s, const uint8_t *ours, ProtobufCBinaryData theirs, size_t n)
{
    static const uint8_t none[16];
    OTLP_SAME(s, memcmp(ours, theirs.len == n ? theirs.data : none, n) == 0);
    s->bad |= theirs.len != n && theirs.len != 0;
}

void
otlp_same_double(struct otlp_same *s, double ours, double theirs)
{
    OTLP_SAME(s, memcmp(&ours, &theirs, sizeof(ours)) == 0);
}

size_t
otlp_same_count(struct otlp_same *s, uint32_t ours, size_t n, uint32_t max)
{
    s->bad |= n > max;
    OTLP_SAME(s, ours == (n > max ? max : n));
    return s->differs ? 0 : ours;
}

static void
same_array(struct otlp_same *s, struct ox_str ours, const COMMON(ArrayValue) * theirs)
{
    struct ox_any any;
    for (size_t i = 0; i < theirs->n_values && !s->differs; i++) {
        OTLP_SAME(s, ox_any_array_next(&ours, &any) == OX_OK);
        if (!s->differs)
            otlp_same_any(s, &any, theirs->values[i]);
    }
    OTLP_SAME(s, ox_any_array_next(&ours, &any) == OX_E_END);
}

static void
same_pair(struct otlp_same *s, const struct ox_any_pair *ours, const COMMON(KeyValue) * theirs)
{
    static const COMMON(AnyValue) none = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__INIT;
    same_string(s, ours->key, theirs->key);
    otlp_same_any(s, &ours->value, theirs->value != NULL ? theirs->value : &none);
}

static void
same_kvlist(struct otlp_same *s, struct ox_str ours, const COMMON(KeyValueList) * theirs)
{
    struct ox_any_pair attr;
    for (size_t i = 0; i < theirs->n_values && !s->differs; i++) {
        OTLP_SAME(s, ox_any_kvlist_next(&ours, &attr) == OX_OK);
        if (!s->differs)
            same_pair(s, &attr, theirs->values[i]);
    }
    OTLP_SAME(s, ox_any_kvlist_next(&ours, &attr) == OX_E_END);
}

void
otlp_same_any(struct otlp_same *s, const struct ox_any *ours, const COMMON(AnyValue) * theirs)
{
    /* enum ox_any_type counts as the members of the oneof do. */
    OTLP_SAME(s, (int)ours->type == (int)theirs->value_case);
    if (s->differs)
        return;
    switch (ours->type) {
    case OX_ANY_NONE:
        break;
    case OX_ANY_STRING:
        same_string(s, ours->str, theirs->string_value);
        break;
    case OX_ANY_BOOL:
        OTLP_SAME(s, ours->b == (theirs->bool_value != 0));
        break;
    case OX_ANY_INT:
        OTLP_SAME(s, ours->i == theirs->int_value);
        break;
    case OX_ANY_DOUBLE:
        otlp_same_double(s, ours->d, theirs->double_value);
        break;
    case OX_ANY_ARRAY:
        same_array(s, ours->str, theirs->array_value);
        break;
    case OX_ANY_KVLIST:
        same_kvlist(s, ours->str, theirs->kvlist_value);
        break;
    case OX_ANY_BYTES:
        OTLP_SAME(s, inside(s, ours->str) && ours->str.n == theirs->bytes_value.len);
        OTLP_SAME(s, ours->str.n == 0 || memcmp(ours->str.p, theirs->bytes_value.data, ours->str.n) == 0);
        break;
    }
}

static size_t
any_bytes(const struct ox_any *any)
{
    return any->type == OX_ANY_STRING || any->type >= OX_ANY_ARRAY ? any->str.n : 0;
}

void
otlp_same_attrs(struct otlp_same *s, struct ox_slice ours, size_t n, COMMON(KeyValue) * *theirs)
{
    n = otlp_same_count(s, ours.count, n, s->limits->attrs_per_record_max);
    OTLP_SAME(s, ours.first + n <= s->b->n_attrs);
    for (size_t i = 0; i < n && !s->differs; i++) {
        const struct ox_attr *attr = &s->b->attrs[ours.first + i];
        const struct ox_any_pair pair = {ox_attr_key(attr), ox_attr_value(attr)};
        same_pair(s, &pair, theirs[i]);
        s->bad |= pair.key.n > s->limits->key_bytes_max;
        s->bad |= any_bytes(&pair.value) > s->limits->value_bytes_max;
    }
}

void
otlp_same_row(struct otlp_same *s, uint8_t reject, uint32_t ordinal, struct ox_piece wire)
{
    OTLP_SAME(s, ordinal == s->records);
    OTLP_SAME(s, (uint64_t)wire.at + wire.n <= s->b->body->len);
    OTLP_SAME(s, !s->bad || reject != OX_REJECT_NONE);
    s->records++;
}

static void
same_events(struct otlp_same *s, struct ox_slice ours, const TRACE(Span) * theirs)
{
    size_t n = otlp_same_count(s, ours.count, theirs->n_events, s->limits->events_per_span_max);
    for (size_t i = 0; i < n; i++) {
        const struct ox_span_event *ev = &s->b->events[ours.first + i];
        const TRACE(Span__Event) *t = theirs->events[i];
        OTLP_SAME(s, ev->time_ns == t->time_unix_nano);
        otlp_same_text(s, ev->name, t->name);
        otlp_same_attrs(s, ev->attrs, t->n_attributes, t->attributes);
        OTLP_SAME(s, ev->dropped_attrs == t->dropped_attributes_count);
    }
}

static void
same_links(struct otlp_same *s, struct ox_slice ours, const TRACE(Span) * theirs)
{
    size_t n = otlp_same_count(s, ours.count, theirs->n_links, s->limits->links_per_span_max);
    for (size_t i = 0; i < n; i++) {
        const struct ox_span_link *link = &s->b->links[ours.first + i];
        const TRACE(Span__Link) *t = theirs->links[i];
        otlp_same_id(s, link->trace_id, t->trace_id, 16);
        otlp_same_id(s, link->span_id, t->span_id, 8);
        otlp_same_text(s, link->trace_state, t->trace_state);
        otlp_same_attrs(s, link->attrs, t->n_attributes, t->attributes);
        OTLP_SAME(s, link->dropped_attrs == t->dropped_attributes_count);
        OTLP_SAME(s, link->flags == t->flags);
    }
}

static uint32_t
in_a_byte(uint32_t value)
{
    return value <= UINT8_MAX ? value : 0;
}

static void
same_span(struct otlp_same *s, const TRACE(Span) * t, uint32_t scope)
{
    OTLP_SAME(s, s->records < s->b->n_spans);
    if (s->differs)
        return;
    const struct ox_span *span = &s->b->spans[s->records];
    OTLP_SAME(s, span->scope == scope);
    otlp_same_id(s, span->trace_id, t->trace_id, 16);
    otlp_same_id(s, span->span_id, t->span_id, 8);
    otlp_same_id(s, span->parent_span_id, t->parent_span_id, 8);
    otlp_same_text(s, span->trace_state, t->trace_state);
    otlp_same_text(s, span->name, t->name);
    OTLP_SAME(s, span->start_ns == t->start_time_unix_nano);
    OTLP_SAME(s, span->end_ns == t->end_time_unix_nano);
    OTLP_SAME(s, span->flags == t->flags);
    OTLP_SAME(s, span->kind == in_a_byte((uint32_t)t->kind));
    OTLP_SAME(s, span->status_code == (t->status != NULL ? in_a_byte((uint32_t)t->status->code) : 0));
    otlp_same_text(s, span->status_message, t->status != NULL ? t->status->message : "");
    otlp_same_attrs(s, span->attrs, t->n_attributes, t->attributes);
    same_events(s, span->events, t);
    same_links(s, span->links, t);
    OTLP_SAME(s, span->dropped_attrs == t->dropped_attributes_count);
    OTLP_SAME(s, span->dropped_events == t->dropped_events_count);
    OTLP_SAME(s, span->dropped_links == t->dropped_links_count);
    otlp_same_row(s, span->reject, span->ordinal, span->wire);
}

static void
same_log(struct otlp_same *s, const Opentelemetry__Proto__Logs__V1__LogRecord *t, uint32_t scope)
{
    static const COMMON(AnyValue) none = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__INIT;
    OTLP_SAME(s, s->records < s->b->n_logs);
    if (s->differs)
        return;
    const struct ox_log *log = &s->b->logs[s->records];
    OTLP_SAME(s, log->scope == scope);
    OTLP_SAME(s, log->time_ns == t->time_unix_nano);
    OTLP_SAME(s, log->observed_ns == t->observed_time_unix_nano);
    otlp_same_id(s, log->trace_id, t->trace_id, 16);
    otlp_same_id(s, log->span_id, t->span_id, 8);
    OTLP_SAME(s, log->severity == in_a_byte((uint32_t)t->severity_number));
    OTLP_SAME(s, log->flags == t->flags);
    otlp_same_text(s, log->severity_text, t->severity_text);
    otlp_same_text(s, log->event_name, t->event_name);
    otlp_same_any(s, &log->body, t->body != NULL ? t->body : &none);
    s->bad |= any_bytes(&log->body) > s->limits->log_body_bytes_max;
    otlp_same_attrs(s, log->attrs, t->n_attributes, t->attributes);
    OTLP_SAME(s, log->dropped_attrs == t->dropped_attributes_count);
    otlp_same_row(s, log->reject, log->ordinal, log->wire);
}

/* The first service.name that is a text, of attributes that were compared already. */
static bool
service_name_right(const struct ox_batch *b, const struct ox_resource *res)
{
    struct ox_str name = OX_STR("unknown_service");
    for (uint32_t i = res->attrs.count; i-- > 0;) {
        const struct ox_attr *attr = &b->attrs[res->attrs.first + i];
        if (ox_str_eq(ox_attr_key(attr), OX_STR("service.name")) && ox_attr_type(attr) == OX_ANY_STRING &&
            ox_attr_str(attr).n > 0)
            name = ox_attr_str(attr);
    }
    return ox_str_eq(name, res->service_name);
}

static void
same_keys(struct otlp_same *s, size_t n, char **ours, size_t n_theirs, char **theirs)
{
    OTLP_SAME(s, n == n_theirs);
    for (size_t i = 0; i < n && !s->differs; i++) {
        OTLP_SAME(s, strcmp(ours[i], theirs[i]) == 0);
        s->bad |= strlen(theirs[i]) > s->limits->text_bytes_max;
    }
}

/* That its texts are UTF-8 was judged on the wire. */
static void
same_entity(struct otlp_same *s, struct ox_str wire, const COMMON(EntityRef) * t)
{
    COMMON(EntityRef) *ours =
        opentelemetry__proto__common__v1__entity_ref__unpack(NULL, wire.n, (const uint8_t *)wire.p);
    OTLP_SAME(s, inside(s, wire));
    OTLP_SAME(s, ours != NULL);
    if (ours == NULL)
        return;
    same_keys(s, 1, &ours->schema_url, 1, (char **)&t->schema_url);
    same_keys(s, 1, &ours->type, 1, (char **)&t->type);
    same_keys(s, ours->n_id_keys, ours->id_keys, t->n_id_keys, t->id_keys);
    same_keys(s, ours->n_description_keys, ours->description_keys, t->n_description_keys,
              t->description_keys);
    opentelemetry__proto__common__v1__entity_ref__free_unpacked(ours, NULL);
}

static void
same_entities(struct otlp_same *s, struct ox_slice ours,
              const Opentelemetry__Proto__Resource__V1__Resource *t)
{
    size_t n = otlp_same_count(s, ours.count, t->n_entity_refs, s->limits->attrs_per_record_max);
    for (size_t i = 0; i < n && !s->differs; i++)
        same_entity(s, s->b->entities[ours.first + i], t->entity_refs[i]);
}

static void
same_resource(struct otlp_same *s, uint32_t at, const Opentelemetry__Proto__Resource__V1__Resource *t,
              const char *schema_url)
{
    OTLP_SAME(s, at < s->b->n_resources);
    if (s->differs)
        return;
    const struct ox_resource *res = &s->b->resources[at];
    otlp_same_text(s, res->schema_url, schema_url);
    otlp_same_attrs(s, res->attrs, t != NULL ? t->n_attributes : 0, t != NULL ? t->attributes : NULL);
    OTLP_SAME(s, res->dropped_attrs == (t != NULL ? t->dropped_attributes_count : 0));
    if (t != NULL)
        same_entities(s, res->entities, t);
    OTLP_SAME(s, inside(s, res->wire));
    OTLP_SAME(s, s->differs || service_name_right(s->b, res));
}

static void
same_scope(struct otlp_same *s, uint32_t at, uint32_t resource, const COMMON(InstrumentationScope) * t,
           const char *schema_url)
{
    OTLP_SAME(s, at < s->b->n_scopes);
    if (s->differs)
        return;
    const struct ox_scope *scope = &s->b->scopes[at];
    OTLP_SAME(s, scope->resource == resource);
    otlp_same_text(s, scope->schema_url, schema_url);
    otlp_same_text(s, scope->name, t != NULL ? t->name : "");
    otlp_same_text(s, scope->version, t != NULL ? t->version : "");
    otlp_same_attrs(s, scope->attrs, t != NULL ? t->n_attributes : 0, t != NULL ? t->attributes : NULL);
    OTLP_SAME(s, scope->dropped_attrs == (t != NULL ? t->dropped_attributes_count : 0));
    OTLP_SAME(s, inside(s, scope->wire));
}

/* The three requests have the same shape in different types. */
#define SAME_REQUEST(function, request_type, groups, scopes, rows, same_one)                                 \
    static void function(struct otlp_same *s, const request_type *t)                                         \
    {                                                                                                        \
        uint32_t scope = 0;                                                                                  \
        for (uint32_t i = 0; i < t->n_##groups && !s->differs; i++) {                                        \
            s->bad = false;                                                                                  \
            same_resource(s, i, t->groups[i]->resource, t->groups[i]->schema_url);                           \
            const bool bad_resource = s->bad;                                                                \
            for (size_t j = 0; j < t->groups[i]->n_##scopes && !s->differs; j++, scope++) {                  \
                s->bad = bad_resource;                                                                       \
                same_scope(s, scope, i, t->groups[i]->scopes[j]->scope,                                      \
                           t->groups[i]->scopes[j]->schema_url);                                             \
                const bool bad_scope = s->bad;                                                               \
                for (size_t k = 0; k < t->groups[i]->scopes[j]->n_##rows && !s->differs; k++) {              \
                    s->bad = bad_scope;                                                                      \
                    same_one(s, t->groups[i]->scopes[j]->rows[k], scope);                                    \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        OTLP_SAME(s, s->b->n_resources == t->n_##groups);                                                    \
        OTLP_SAME(s, s->b->n_scopes == scope);                                                               \
    }

SAME_REQUEST(same_traces, Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest,
             resource_spans, scope_spans, spans, same_span)
SAME_REQUEST(same_logs, Opentelemetry__Proto__Collector__Logs__V1__ExportLogsServiceRequest, resource_logs,
             scope_logs, log_records, same_log)
SAME_REQUEST(same_metrics, Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceRequest,
             resource_metrics, scope_metrics, metrics, otlp_same_metric)

static void
same_request(struct otlp_same *s, const ProtobufCMessage *theirs)
{
    const struct ox_batch *b = s->b;
    if (b->signal == OX_SIGNAL_TRACES)
        same_traces(s, (const void *)theirs);
    else if (b->signal == OX_SIGNAL_LOGS)
        same_logs(s, (const void *)theirs);
    else
        same_metrics(s, (const void *)theirs);
    OTLP_SAME(s, b->n_spans == (b->signal == OX_SIGNAL_TRACES ? s->records : 0));
    OTLP_SAME(s, b->n_logs == (b->signal == OX_SIGNAL_LOGS ? s->records : 0));
    OTLP_SAME(s, b->n_points == (b->signal == OX_SIGNAL_METRICS ? s->records : 0));
    OTLP_SAME(s, b->n_metrics == s->metrics);
    OTLP_SAME(s, b->n_records == s->records);
}

static bool
disagree(struct otlp_verdict *verdict, const char *why)
{
    snprintf(verdict->why, sizeof(verdict->why), "%s (decoder: %s)", why, ox_err_info(verdict->err)->symbol);
    return false;
}

static ProtobufCMessage *
unpack(enum ox_signal signal, struct ox_str wire, bool joined)
{
    const ProtobufCMessageDescriptor *type = otlp_wire_request(signal);
    if (!joined)
        return protobuf_c_message_unpack(type, NULL, wire.n, (const uint8_t *)wire.p);
    struct ox_buf whole;
    ox_buf_init(&whole);
    otlp_wire_join(type, wire, &whole);
    ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, whole.len, whole.data);
    ox_buf_fini(&whole);
    return message;
}

/* The refusals: each side must do what the wire says. */
static bool
refusals_agree(const struct otlp_wire *w, const ProtobufCMessage *theirs, uint32_t depth_max,
               struct otlp_verdict *verdict)
{
    const bool deep = w->depth > depth_max;
    const bool wrong = w->malformed || w->overflow || w->bool_type || w->zero_tag;
    if (w->malformed && theirs != NULL)
        return disagree(verdict, "protobuf-c accepts what is malformed");
    if (!w->malformed && theirs == NULL)
        return disagree(verdict, "protobuf-c refuses what is well-formed");
    if (verdict->err == OX_OK)
        return !wrong && !deep ? true : disagree(verdict, "accepted what must be refused");
    if ((verdict->err == OX_E_DECODE && wrong) || (verdict->err == OX_E_TOO_DEEP && deep))
        return true;
    return disagree(verdict, "refused without such a reason");
}

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t
text_min(const struct ox_decode_limits *l)
{
    return least(least(l->key_bytes_max, l->value_bytes_max),
                 least(l->text_bytes_max, l->log_body_bytes_max));
}

static size_t
list_min(const struct ox_decode_limits *l)
{
    return least(least(l->attrs_per_record_max, l->events_per_span_max),
                 least(least(l->links_per_span_max, l->exemplars_per_point_max), l->buckets_per_point_max));
}

static bool
accepted_agrees(const struct ox_batch *b, const ProtobufCMessage *theirs, const struct otlp_wire *w,
                const struct ox_decode_limits *limits, struct otlp_verdict *verdict)
{
    struct otlp_same s = {.b = b, .limits = limits, .why = verdict->why, .why_size = sizeof(verdict->why)};
    same_request(&s, theirs);
    verdict->records = b->n_records;
    verdict->rejected = b->n_rejected;
    if (s.differs)
        return false;
    if (b->n_rejected != 0 && !w->suspect && w->items <= list_min(limits))
        return disagree(verdict, "rows are marked although nothing is wrong with any");
    return true;
}

bool
otlp_oracle_agrees(enum ox_signal signal, struct ox_str wire, const struct ox_decode_limits *limits,
                   struct otlp_verdict *verdict)
{
    struct otlp_wire w = {.text_max = text_min(limits)};
    struct ox_diag diag;
    struct ox_body *body = ox_body_new(wire.n, NULL);
    struct ox_batch *batch = ox_batch_new();
    OX_ASSERT(body != NULL && batch != NULL);
    if (wire.n != 0)
        memcpy(body->data, wire.p, wire.n);
    body->len = wire.n;
    memset(verdict, 0, sizeof(*verdict));
    ox_diag_clear(&diag);
    otlp_wire_judge(otlp_wire_request(signal), wire, &w);
    ProtobufCMessage *theirs = unpack(signal, wire, w.joined && !w.malformed);
    verdict->err = ox_otlp_decode(signal, body, limits, batch, &diag);
    bool agree = refusals_agree(&w, theirs, limits->any_depth_max, verdict);
    if (agree && verdict->err == OX_OK)
        agree = accepted_agrees(batch, theirs, &w, limits, verdict);
    else if (agree && (diag.text[0] == '\0' || batch->body != NULL || batch->n_resources != 0))
        agree = disagree(verdict, "refused without a sentence, or the batch is not empty");
    if (theirs != NULL)
        protobuf_c_message_free_unpacked(theirs, NULL);
    ox_batch_free(batch);
    ox_body_drop(body);
    return agree;
}
