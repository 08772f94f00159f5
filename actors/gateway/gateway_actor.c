/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/gateway_actor.c - takes ingest requests of one loop: who may send, is there room, is it durable.
 *
 * Owns:    nothing between turns; a request travels as struct ox_intake.
 * Threads: pinned to the loop of its HTTP server.
 * Bounds:  permits (records and requests in flight), the account of request bytes, the fill of both journals.
 * Fails:   each request gets its own answer, see docs/api.md.
 * Flow:    HTTP server -request-> here -append-> wal -appended-> here -> answer.
 *
 * What is cheap to know is checked when the headers are complete, before the body is read: path, method,
 * media type, credential, phase and room.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/gateway/gateway_internal.h"
#include "ox/gateway.h"
#include "ox/grpc.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/quotas.h"
#include "ox/read_only.h"
#include "ox/runtime.h"
#include "ox/supervisor.h"

#define FILL_REFUSE 950 /* permille of a journal's bound */
#define ENTRY_HEADS 256 /* what an entry of a backlog has besides the request's bytes, ample */

struct ox_gateway {
    struct ox_letters letters;
    struct ox_http_census *census;
    uint32_t n_ports;
    struct ox_gateway_port *ports;
};

struct gateway {
    struct ox_gateway_port *port;
    struct ox_intake *hand; /* until it is answered or has left: a crash in this turn must answer it, too */
    struct ox_http_request *request; /* likewise, before there is an intake for it */
};

/* ---- before the body ---- */

static ox_err
check_room(struct ox_node *node, struct ox_diag *diag)
{
    if (ox_node_phase(node) != OX_NODE_RUNNING)
        return ox_diag_set(diag, OX_E_UNAVAILABLE, NULL, -1, "the node is starting or stopping; retry later");
    if (atomic_load_explicit(&node->wal_fill, memory_order_relaxed) >= FILL_REFUSE)
        return ox_diag_set(diag, OX_E_OVERLOAD, "wal.total_bytes", -1,
                           "the write-ahead log has reached 95 %% of its bound; retry later");
    if (atomic_load_explicit(&node->outbox_fill, memory_order_relaxed) >= FILL_REFUSE)
        return ox_diag_set(
            diag, OX_E_OVERLOAD, "outbox.total_bytes", -1,
            "storage takes less than arrives and the outbox has reached 95 %% of its bound; retry later");
    uint32_t reasons = atomic_load_explicit(&node->read_only, memory_order_relaxed);
    for (uint32_t reason = 1; reason < OX_READ_ONLY_ALL; reason <<= 1) {
        if ((reasons & reason) != 0)
            return ox_diag_set(diag, OX_E_READ_ONLY, "storage", -1, "%s",
                               ox_read_only_text((enum ox_read_only)reason));
    }
    return OX_OK;
}

/* Room that is left, and this tenant's part of it: what can be refused is refused before its body is read. */
static ox_err
check_part(struct ox_node *node, struct ox_tenant *tenant, struct ox_diag *diag)
{
    uint32_t wal = atomic_load_explicit(&node->wal_fill, memory_order_relaxed);
    uint32_t outbox = atomic_load_explicit(&node->outbox_fill, memory_order_relaxed);
    ox_err err = ox_permit_look(node->tenants, tenant, diag);
    if (err == OX_OK && !ox_tenants_may_fill(node->tenants, tenant, wal > outbox ? wal : outbox, FILL_REFUSE))
        err = ox_diag_set(
            diag, OX_E_QUOTA, wal > outbox ? "wal.total_bytes" : "outbox.total_bytes", -1,
            "storage takes less than arrives, and of what waits for it tenant %s has sent more than "
            "its part; retry later",
            tenant->id.name);
    return err;
}

/* Whether its quota lets it send anything now. The answer says when to come again. */
static ox_err
check_rate(struct ox_node *node, struct ox_http_request *req, enum ox_signal signal, struct ox_diag *diag)
{
    struct ox_quota_verdict verdict;
    const struct ox_tenant *tenant = req->user;
    if (node->quotas == NULL)
        return OX_OK;
    return ox_quotas_look(node->quotas, ox_quotas_tenant(node->quotas, &tenant->id), req->more, signal,
                          &verdict, diag);
}

/* Who sends is known: may he send this? Then the request is his. */
static ox_err
admit_sender(struct ox_node *node, struct ox_http_request *req, const struct ox_identity *who,
             struct ox_diag *diag)
{
    enum ox_signal signal = OX_SIGNAL_TRACES;
    struct ox_tenant *tenant;
    bool grpc;
    bool routed = ox__gateway_route(req->path, &signal, &grpc);
    OX_ASSERT(routed); /* check_headers has seen it */
    ox_err err = ox_scope_may(who->scopes, ox_scope_of_signal(signal), diag);
    if (err != OX_OK)
        return err;
    err = ox_tenants_get(node->tenants, &who->tenant, &tenant);
    if (err != OX_OK)
        return ox_diag_set(diag, err, "tenant.max", -1,
                           "the node serves as many tenants as it may; retry later");
    req->user = tenant;
    if (node->quotas != NULL)
        req->more = ox_quotas_key(node->quotas, ox_quotas_tenant(node->quotas, &tenant->id), who->key_id);
    return OX_OK;
}

/* A key that is not known yet leaves req->user empty: the body is read meanwhile, and then the key store is asked. */
static ox_err
identify(struct ox_node *node, struct ox_http_request *req, struct ox_diag *diag)
{
    struct ox_credential cred = ox_credential_of(req);
    struct ox_identity who;
    ox_err err = node->keys->identify(node->keys, &cred, &who, diag);
    if (err == OX_E_AGAIN) {
        ox_http_request_account(req, &node->strangers);
        return OX_OK;
    }
    if (err == OX_OK)
        err = admit_sender(node, req, &who, diag);
    if (err == OX_OK)
        ox_http_request_account(req, &((struct ox_tenant *)req->user)->bodies);
    return err;
}

static bool
starts_with(struct ox_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && ox_str_caseeq((struct ox_str){s.p, n}, ox_str_of(prefix)) &&
           (s.n == n || s.p[n] == ';' || s.p[n] == ' ');
}

static ox_err
form_of(const struct ox_http_request *req, bool grpc, enum ox_intake_form *form, struct ox_diag *diag)
{
    struct ox_str type = ox_http_header(req, OX_STR("content-type"));
    if (grpc) {
        *form = OX_FORM_GRPC;
        if (req->version == OX_HTTP_2 && ox_grpc_content_type(type))
            return OX_OK;
        return ox_diag_set(diag, OX_E_MEDIA_TYPE, "content-type", -1,
                           "gRPC needs HTTP/2 and content-type application/grpc; got '%.*s'", (int)type.n,
                           type.p);
    }
    if (starts_with(type, "application/x-protobuf"))
        *form = OX_FORM_PROTOBUF;
    else if (starts_with(type, "application/json"))
        *form = OX_FORM_JSON;
    else
        return ox_diag_set(diag, OX_E_MEDIA_TYPE, "content-type", -1,
                           "OTLP/HTTP is application/x-protobuf or application/json; got '%.*s'", (int)type.n,
                           type.p);
    return OX_OK;
}

static ox_err
check_headers(struct ox_gateway_port *port, struct ox_http_request *req, struct ox_diag *diag)
{
    enum ox_signal signal;
    enum ox_intake_form form;
    bool grpc;
    if (!ox__gateway_route(req->path, &signal, &grpc))
        return ox_diag_set(
            diag, OX_E_NO_ROUTE, NULL, -1,
            "no such path: '%.*s'; ingest is /v1/traces, /v1/logs, /v1/metrics and their gRPC services",
            (int)(req->path.n < 100 ? req->path.n : 100), req->path.p);
    if (req->method != OX_HTTP_POST)
        return ox_diag_set(diag, OX_E_METHOD, NULL, -1, "ingest takes POST");
    ox_err err = form_of(req, grpc, &form, diag);
    if (err == OX_OK)
        err = identify(port->node, req, diag);
    if (err == OX_OK)
        err = check_room(port->node, diag);
    if (err == OX_OK && req->user != NULL)
        err = check_part(port->node, req->user, diag);
    if (err == OX_OK && req->user != NULL)
        err = check_rate(port->node, req, signal, diag);
    return err;
}

static void
on_headers(void *ctx, struct ox_http_request *req)
{
    struct ox_gateway_port *port = ctx;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = check_headers(port, req, &diag);
    if (err != OX_OK)
        ox__gateway_reply_error(port->node, req, err, &diag);
}

static void
on_refused(void *ctx, struct ox_http_request *req, ox_err err, const struct ox_diag *diag)
{
    struct ox_gateway_port *port = ctx;
    ox__gateway_reply_error(port->node, req, err, diag);
}

/* The queue owned this request; its message is dropped with the server closing. */
static void
drop_request(void *arg)
{
    ox_http_request_abort(arg);
}

static void
on_request(void *ctx, struct ox_http_request *req)
{
    struct ox_gateway_port *port = ctx;
    struct ox_diag diag;
    struct ox_msg *msg = ox_msg_new(OX_K_request, req, req->body->len, drop_request);
    ox_err err = OX_E_NOMEM;
    if (msg != NULL) {
        const struct ox_tenant *tenant = req->user;
        if (tenant != NULL)
            msg->cause.tenant = ox_tenant_index(&tenant->id);
        err = ox_send(port->actor, &msg);
        if (err == OX_OK)
            return;
        msg->data = NULL;
        ox_msg_free(msg);
    }
    ox_diag_set(&diag, err, NULL, -1, "the gateway is overloaded; retry later");
    ox__gateway_reply_error(port->node, req, err, &diag);
}

/* ---- the actor ---- */

static void
count_dropped(const struct ox_intake *in)
{
    struct ox_str tenant = ox_str_of(in->tenant->id.name), type = ox_str_of(ox_signal_name(in->signal));
    uint32_t by_reason[OX_DROP__COUNT] = {0};
    for (int r = OX_REJECT_NONE + 1; r < OX_REJECT__COUNT; r++) {
        if (in->counts.by_reject[r] > 0)
            by_reason[ox_reject_drop_reason((enum ox_reject)r)] += in->counts.by_reject[r];
    }
    for (int d = 0; d < OX_DROP__COUNT; d++) {
        if (by_reason[d] > 0)
            OX_METRIC_ADD_L(OX_M_ingest_dropped, by_reason[d], tenant, type,
                            ox_str_of(ox_drop_reason_name((enum ox_drop_reason)d)));
    }
}

static const char *
drop_reason(ox_err err)
{
    switch (err) {
    case OX_E_QUOTA:
        return "quota";
    case OX_E_QUARANTINED:
        return "quarantined";
    case OX_E_MAILBOX_FULL:
        return "actor_full";
    default:
        return ox_err_info(err)->class == OX_CLASS_io ? "wal_error" : "overload";
    }
}

/* The whole request is refused after it was decoded: its records are received and dropped. */
static void
refuse(struct ox_node *node, struct ox_intake *in, ox_err err, const struct ox_diag *diag)
{
    if (in->n_accepted > 0)
        OX_METRIC_ADD_L(OX_M_ingest_dropped, in->n_accepted, ox_str_of(in->tenant->id.name),
                        ox_str_of(ox_signal_name(in->signal)), ox_str_of(drop_reason(err)));
    struct ox_http_request *req = in->req;
    in->req = NULL;
    ox__gateway_reply_error(node, req, err, diag);
    ox__intake_free(in);
}

/* However the actor ends: its request hears of it, its memory and its connection do not stay behind. */
static void
abandon(void *arg)
{
    struct gateway *gw = arg;
    struct ox_intake *in = gw->hand;
    struct ox_http_request *req = gw->request;
    gw->hand = NULL;
    gw->request = NULL;
    if (req != NULL)
        ox__gateway_reply_error(gw->port->node, req, OX_E_INTERNAL, NULL);
    if (in == NULL)
        return;
    if (in->req == NULL) { /* answered already */
        ox__intake_free(in);
        return;
    }
    if (in->logged) { /* neither a yes nor a no would be true for sure: the client asks again and is recognised */
        ox_http_request_abort(in->req);
        ox__intake_free(in);
        return;
    }
    if (!in->received)
        in->n_accepted = 0; /* not counted as received, so not as dropped either */
    refuse(gw->port->node, in, OX_E_INTERNAL, NULL);
}

/* Prepared for an actor that has crashed meanwhile: its next incarnation, which has its pid, goes on with it. */
static void
prepared_late(void *arg)
{
    struct ox_intake *in = arg;
    struct ox_msg *msg = ox_msg_new(OX_K_prepared, in, 0, ox__intake_free);
    if (msg == NULL) {
        ox__intake_free(in);
        return;
    }
    msg->flags |= OX_MSG_F_CONTROL;
    if (ox_send(in->gateway, &msg) != OX_OK) /* it is gone for good: the node stops */
        ox_msg_free(msg);
}

static void
accepted(struct ox_intake *in, bool duplicate)
{
    ox__gateway_reply_ok(
        in); /* first: who counts as acknowledged must not count as dropped by a crash in here */
    OX_METRIC_ADD_L(duplicate ? OX_M_ingest_duplicate : OX_M_ingest_accepted, in->n_accepted,
                    ox_str_of(in->tenant->id.name), ox_str_of(ox_signal_name(in->signal)));
    ox__intake_free(in);
}

/* While the tenant's data goes to its backlog, room there is promised before anything else is. */
static ox_err
reserve_backlog(struct ox_node *node, struct ox_intake *in, struct ox_diag *diag)
{
    uint64_t n = ENTRY_HEADS + in->batch->body->len;
    if (!ox_tenant_spilling(in->tenant))
        return OX_OK;
    ox_err err = ox_backlog_take(node->tenants, in->tenant, n, false, diag);
    if (err == OX_OK)
        in->reserved = n;
    else
        OX_METRIC_ADD_L(OX_M_spill_refused, in->n_accepted, ox_str_of(in->tenant->id.name),
                        ox_str_of(drop_reason(err)));
    return err;
}

/* in: take on OX_OK: it comes back with `appended`. */
static ox_err
send_append(struct ox_actor *self, struct ox_node *node, struct ox_intake *in)
{
    ox_err err = ox__intake_append(in, ox_actor_pid(self));
    struct ox_msg *msg = err == OX_OK ? ox_msg_new(OX_K_append, in->append, 0, ox_append_free) : NULL;
    if (msg == NULL)
        return OX_E_NOMEM;
    err = ox_send(node->wal, &msg);
    if (err == OX_OK) {
        in->append = NULL;
        return OX_OK;
    }
    msg->data = NULL;
    ox_msg_free(msg);
    return err;
}

/* Records and bytes, of the tenant and of its key. What comes near to a bound is told so with its answer. */
static ox_err
take_quota(struct ox_node *node, struct ox_intake *in, struct ox_diag *diag)
{
    struct ox_quota_verdict verdict;
    if (node->quotas == NULL)
        return OX_OK;
    ox_err err = ox_quotas_take(node->quotas, ox_quotas_tenant(node->quotas, &in->tenant->id), in->req->more,
                                in->signal, in->n_accepted, in->batch->body->len, &verdict, diag);
    in->warned = err == OX_OK && verdict.warn ? ox_quota_name(verdict.quota) : NULL;
    return err;
}

/* A judged request: counted, then into the log. */
static void
admit(struct ox_actor *self, struct gateway *gw, struct ox_intake *in)
{
    struct ox_node *node = gw->port->node;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    OX_METRIC_ADD_L(OX_M_ingest_received, in->n_records, ox_str_of(in->tenant->id.name),
                    ox_str_of(ox_signal_name(in->signal)));
    if (in->batch->n_unknown > 0)
        OX_METRIC_ADD_L(OX_M_ingest_unknown_enum, in->batch->n_unknown, ox_str_of(in->tenant->id.name),
                        ox_str_of(ox_signal_name(in->signal)));
    in->received = true;
    count_dropped(in);
    ox__letters_write(self, gw->port->letters, in);
    if (in->n_accepted == 0) { /* nothing to promise: an empty request, or all refused */
        accepted(in, false);
        return;
    }
    ox_err err = ox_permit_take(node->tenants, in->tenant, in->n_accepted, false, &in->permit, &diag);
    if (err == OX_OK)
        err = reserve_backlog(node, in, &diag);
    if (err == OX_OK) /* last: what is refused for want of room uses up nobody's quota */
        err = take_quota(node, in, &diag);
    if (err != OX_OK) {
        refuse(node, in, err, &diag);
        return;
    }
    err = send_append(self, node, in);
    if (err == OX_OK)
        gw->hand = NULL;
    else
        refuse(node, in, err == OX_E_GONE ? OX_E_UNAVAILABLE : err, NULL);
}

static void
on_prepared(struct ox_actor *self, struct gateway *gw, struct ox_intake *in)
{
    gw->hand = in;
    if (in->err == OX_OK)
        admit(self, gw, in);
    else
        refuse(gw->port->node, in, in->err, &in->diag);
    gw->hand = NULL;
}

static struct ox_intake *
intake_new(struct ox_gateway_port *port, struct ox_http_request *req)
{
    struct ox_intake *in = calloc(1, sizeof(*in));
    const struct ox_config *cfg = port->config;
    bool grpc;
    if (in == NULL)
        return NULL;
    in->node = port->node;
    in->gateway = port->actor;
    in->req = req;
    in->tenant = req->user;
    in->limits = port->limits;
    in->body_bytes_max = (size_t)cfg->gateway_body_bytes_max;
    in->window = (struct ox_validate_policy){.past_max_ns = (uint64_t)cfg->validate_past_ms * 1000000,
                                             .future_max_ns = (uint64_t)cfg->validate_future_ms * 1000000,
                                             .check_window = true};
    ox__gateway_route(req->path, &in->signal, &grpc);
    ox_err err = form_of(req, grpc, &in->form, NULL);
    OX_ASSERT(err == OX_OK); /* on_headers has seen it */
    return in;
}

/* The request begins anew, under its tenant. */
static void
on_identified(struct gateway *gw, struct ox_msg *msg)
{
    struct ox_node *node = gw->port->node;
    struct ox_http_request *req;
    struct ox_identity who;
    struct ox_diag diag;
    ox_err err = ox__stranger_found(msg->data, &req, &who, &diag);
    msg->data = NULL;
    gw->request = req;
    if (err == OX_OK)
        err = admit_sender(node, req, &who, &diag);
    gw->request = NULL;
    if (err == OX_OK)
        on_request(gw->port, req);
    else
        ox__gateway_reply_error(node, req, err, &diag);
}

static void
on_request_message(struct ox_actor *self, struct gateway *gw, struct ox_msg *msg)
{
    struct ox_http_request *req = msg->data;
    msg->data = NULL;
    if (ox_http_request_gone(
            req)) { /* nobody hears the answer, and whoever floods must not have us work for it */
        ox_http_request_abort(req);
        return;
    }
    if (req->user == NULL) {
        ox__stranger_ask(self, gw->port->node, req);
        return;
    }
    gw->request = req;
    struct ox_intake *in = intake_new(gw->port, req);
    gw->hand = in;
    gw->request = NULL;
    if (in == NULL) {
        ox__gateway_reply_error(gw->port->node, req, OX_E_NOMEM, NULL);
        return;
    }
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (check_part(gw->port->node, in->tenant, &diag) != OX_OK) { /* it may have waited for long */
        gw->hand = NULL;
        refuse(gw->port->node, in, OX_E_QUOTA, &diag);
        return;
    }
    if (ox__intake_is_heavy(in)) {
        gw->hand = NULL;
        ox_err err = ox_dirty_submit(self, NULL, ox__intake_prepare, in, OX_K_prepared, prepared_late, NULL);
        if (err != OX_OK)
            refuse(gw->port->node, in, OX_E_OVERLOAD, NULL);
        return;
    }
    ox__intake_prepare(in);
    ox_reductions(self, in->n_records);
    on_prepared(self, gw, in);
}

static void
on_appended(struct ox_actor *self, struct gateway *gw, struct ox_msg *msg)
{
    struct ox_append *append = msg->data;
    struct ox_intake *in = append->ticket;
    append->ticket = NULL;
    gw->hand = in;
    in->logged = append->err == OX_OK;
    if (append->err == OX_OK)
        accepted(in, append->duplicate);
    else
        refuse(gw->port->node, in, append->err, NULL);
    gw->hand = NULL;
}

/* Nobody has looked at it, so nobody says yes or no: the client asks again and is recognised. */
void
ox_gateway_set_aside(struct ox_msg *msg)
{
    struct ox_intake *in = NULL;
    if (msg->kind == OX_K_appended && msg->data != NULL) {
        struct ox_append *append = msg->data;
        in = append->ticket;
        append->ticket = NULL;
    } else if (msg->kind == OX_K_prepared) {
        in = msg->data;
        msg->data = NULL;
    } else if (msg->kind == OX_K_identified && msg->data != NULL) {
        ox__stranger_abort(msg->data);
        msg->data = NULL;
    }
    if (in == NULL)
        return;
    ox_http_request_abort(in->req);
    ox__intake_free(in);
}

static void
server_options(struct ox_gateway_port *port, struct ox_http_server_options *o)
{
    const struct ox_config *cfg = port->config;
    *o = (struct ox_http_server_options){
        .ctx = port,
        .on_headers = on_headers,
        .on_request = on_request,
        .on_refused = on_refused,
        .body_bytes_max = (size_t)cfg->gateway_body_bytes_max,
        .header_bytes_max = (size_t)cfg->gateway_header_bytes_max,
        .headers_max = (uint32_t)cfg->gateway_headers_max,
        .header_timeout_ms = (uint32_t)cfg->gateway_header_timeout_ms,
        .body_timeout_ms = (uint32_t)cfg->gateway_body_timeout_ms,
        .idle_timeout_ms = (uint32_t)cfg->gateway_idle_timeout_ms,
        .connections_max = (uint32_t)cfg->gateway_connections_max,
        .connections_per_address_max = (uint32_t)cfg->gateway_connections_per_address,
        .h2_streams_max = (uint32_t)cfg->gateway_streams_max,
        .tls = port->node->tls,
        .tls_handshake_ms = (uint32_t)cfg->tls_handshake_timeout_ms,
        .body_account = &port->node->bodies,
        .census = port->census,
    };
}

/* Everything of the port that follows from the configuration in force. */
static void
take_config(struct ox_gateway_port *port)
{
    const struct ox_config *cfg = ox_node_config(port->node);
    port->config = cfg;
    ox_decode_limits_default(&port->limits);
    port->limits.any_depth_max = (uint32_t)cfg->decode_depth_max;
    port->limits.attrs_per_record_max = (uint32_t)cfg->decode_attributes_max;
    port->limits.key_bytes_max = (uint32_t)cfg->decode_key_bytes_max;
    port->limits.value_bytes_max = (uint32_t)cfg->decode_value_bytes_max;
    port->limits.events_per_span_max = (uint32_t)cfg->decode_events_max;
    port->limits.links_per_span_max = (uint32_t)cfg->decode_events_max;
    port->limits.records_max = (uint32_t)cfg->decode_records_max;
}

static void
on_configure(struct gateway *gw, struct ox_msg *msg)
{
    struct ox_gateway_port *port = gw->port;
    struct ox_http_server_options options;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    take_config(port);
    server_options(port, &options);
    ox_err err = port->server != NULL ? ox_http_server_limit(port->server, &options, &diag) : OX_OK;
    if (err != OX_OK)
        OX_LOG_ERROR("gateway", "the server keeps its limits", OX_F_ERR(err), OX_F_DIAG(&diag));
    ox_reply_num(ox_call_from(msg), OX_K_configured, err, msg->num);
}

static void
on_drained(void *ctx)
{
    struct ox_gateway_port *port = ctx;
    atomic_store_explicit(&port->drained, true, memory_order_release);
}

static void
gateway_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct gateway *gw = ox_actor_state(self);
    struct ox_intake *in;
    switch (msg->kind) {
    case OX_K_request:
        on_request_message(self, gw, msg);
        break;
    case OX_K_identified:
        on_identified(gw, msg);
        break;
    case OX_K_prepared:
        in = msg->data;
        msg->data = NULL;
        on_prepared(self, gw, in);
        break;
    case OX_K_appended:
        on_appended(self, gw, msg);
        break;
    case OX_K_letters_written:
        break;
    case OX_K_letters_tick:
        ox__on_letters_tick(self, gw->port->letters);
        break;
    case OX_K_letters_aged:
        ox__letters_watch(self, gw->port->letters);
        break;
    case OX_K_configure:
        on_configure(gw, msg);
        break;
    case OX_K_drain:
        if (gw->port->server != NULL)
            ox_http_server_drain(gw->port->server, on_drained, gw->port);
        break;
    default:
        OX_LOG_WARN("gateway", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

/* ---- start and stop ---- */

static ox_err
gateway_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct gateway *gw = ox_actor_state(self);
    gw->port = arg;
    gw->port->actor = ox_actor_pid(self);
    take_config(gw->port);
    if (ox_actor_defer(self, abandon, gw) != OX_OK)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for a gateway");
    if (gw->port->keeps_letters)
        ox__on_letters_tick(self, gw->port->letters);
    if (gw->port->server != NULL) /* the server outlives its actor's crashes */
        return OX_OK;
    struct ox_http_server_options options;
    server_options(gw->port, &options);
    ox_err err =
        ox_http_server_start(ox_actor_loop(self), gw->port->fds[0], &options, &gw->port->server, diag);
    if (err == OX_OK)
        err = ox_http_server_listen(gw->port->server, gw->port->fds[1], diag);
    return err;
}

/* Asked to end: the node has drained already, or its time is up. */
static void
gateway_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct gateway *gw = ox_actor_state(self);
    if (gw->port->server != NULL)
        ox_http_server_close(gw->port->server, NULL, NULL);
    gw->port->server = NULL;
}

const struct ox_actor_class ox_gateway_class = {
    .name = "gateway",
    .state_size = sizeof(struct gateway),
    .flags = OX_ACTOR_PINNED | OX_ACTOR_FAIR, /* no tenant's requests wait behind all of another's */
    .on_start = gateway_start,
    .on_message = gateway_message,
    .on_stop = gateway_stop,
    .mailbox_msgs_max = 4096,
    .mailbox_bytes_max = 1u << 30, /* bodies are charged to the node's account already */
    .control_msgs_max = 65536,     /* one per request in the log */
    .turn_msgs_max = 8,
};

static void
port_init(struct ox_gateway_port *port, struct ox_node *node, struct ox_http_census *census,
          struct ox_letters *letters, int fd_http, int fd_grpc)
{
    port->node = node;
    port->census = census;
    port->letters = letters;
    port->fds[0] = fd_http;
    port->fds[1] = fd_grpc;
}

static ox_err
add_port(struct ox_gateway_port *port, ox_pid sup, uint32_t loop, struct ox_diag *diag)
{
    char name[32];
    snprintf(name, sizeof(name), "gateway/%u", loop);
    struct ox_child_spec spec = {
        .id = name,
        .class = &ox_gateway_class,
        .arg = port,
        .name = name,
        .loop = OX_LOOP(loop),
        .restart = OX_RESTART_PERMANENT,
        .past_intensity = OX_SUP_ESCALATE,
    };
    ox_pid pid;
    return ox_sup_add_wait(sup, &spec, &pid, diag);
}

/* Asked when somebody scrapes. */
static double
open_connections(void *census)
{
    return ox_http_census_open(census);
}

static double
records_in_flight(void *tenants)
{
    return (double)ox_tenants_in_flight(tenants);
}

static double
body_bytes(void *account)
{
    const struct ox_account *acc = account;
    return (double)atomic_load_explicit(&acc->used_bytes, memory_order_relaxed);
}

ox_err
ox_gateway_start(struct ox_node *node, ox_pid sup, int fd_otlp_http, int fd_otlp_grpc,
                 struct ox_gateway **out, struct ox_diag *diag)
{
    struct ox_gateway *gw = calloc(1, sizeof(*gw));
    ox_err err = gw != NULL ? ox__letters_init(&gw->letters, node) : OX_E_NOMEM;
    if (err == OX_OK) {
        gw->n_ports = ox_runtime_loops();
        gw->ports = calloc(gw->n_ports, sizeof(*gw->ports));
        gw->census = ox_http_census_new();
        err = gw->ports != NULL && gw->census != NULL ? OX_OK : OX_E_NOMEM;
    }
    if (err == OX_OK) {
        ox_metric_probe(OX_M_ingest_connections, open_connections, gw->census);
        ox_metric_probe(OX_M_ingest_queue_depth, records_in_flight, node->tenants);
        ox_metric_probe(OX_M_ingest_body_bytes, body_bytes, &node->bodies);
    }
    for (uint32_t i = 0; err == OX_OK && i < gw->n_ports; i++) {
        port_init(&gw->ports[i], node, gw->census, &gw->letters, fd_otlp_http, fd_otlp_grpc);
        gw->ports[i].keeps_letters = i == 0 && node->dead_letters != NULL;
        err = add_port(&gw->ports[i], sup, i, diag);
    }
    *out = gw; /* also after a failure: ports that started refer to it until the runtime has stopped */
    return err;
}

void
ox_gateway_drain(struct ox_gateway *gw)
{
    for (uint32_t i = 0; i < gw->n_ports; i++) {
        struct ox_gateway_port *port = &gw->ports[i];
        port->asked = port->asked || ox_cast(port->actor, OX_K_drain, 0) == OX_OK;
    }
}

bool
ox_gateway_drained(struct ox_gateway *gw)
{
    for (uint32_t i = 0; i < gw->n_ports; i++) {
        if (!atomic_load_explicit(&gw->ports[i].drained, memory_order_acquire))
            return false;
    }
    return true;
}

void
ox_gateway_free(struct ox_gateway *gw)
{
    if (gw == NULL)
        return;
    ox_http_census_free(gw->census);
    free(gw->ports);
    free(gw);
}
