/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_api.c - what the API shows of the node: why it is not ready, and its status.
 *
 * Owns:    nothing.
 * Threads: not_ready on scheduler threads, status on dirty threads; both read atomics only.
 */
#include <stdlib.h>
#include <time.h>

#include "cmd/node_internal.h"
#include "ox/cardinality.h"
#include "ox/control_api.h"
#include "ox/metric.h"
#include "ox/net.h"
#include "ox/read_only.h"
#include "ox/schema.h"
#include "ox/session_keys.h"
#include "ox/storage.h"

static void
not_ready(void *ctx, struct ox_buf *reasons)
{
    struct node_main *m = ctx;
    struct ox_node *node = &m->node;
    enum ox_node_phase phase = ox_node_phase(node);
    if (phase != OX_NODE_RUNNING)
        ox_buf_printf(reasons, "the node is %s\n", phase == OX_NODE_STARTING ? "starting" : "stopping");
    if (!atomic_load_explicit(&node->storage_migrated, memory_order_acquire))
        ox_buf_append_cstr(reasons, "storage has not taken the schema yet: ingest works, questions do not\n");
    uint32_t missing = atomic_load_explicit(&node->tables_missing, memory_order_relaxed);
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        if ((missing & (uint32_t)1 << i) != 0)
            ox_buf_printf(
                reasons,
                "table %s is missing in storage: what belongs there waits in the outbox; docs/storage.md, "
                "\"A table is missing\", says how it comes back\n",
                ox_schema_tables[i].name);
    }
    uint32_t read_only = atomic_load_explicit(&node->read_only, memory_order_relaxed);
    for (uint32_t reason = 1; reason < OX_READ_ONLY_ALL; reason <<= 1) {
        if ((read_only & reason) != 0)
            ox_buf_printf(reasons, "%s\n", ox_read_only_text((enum ox_read_only)reason));
    }
    if (atomic_load_explicit(&node->wal_fill, memory_order_relaxed) >= 950)
        ox_buf_append_cstr(reasons, "the write-ahead log has reached 95 % of wal.total_bytes\n");
    if (atomic_load_explicit(&node->outbox_fill, memory_order_relaxed) >= 950)
        ox_buf_append_cstr(
            reasons, "the outbox has reached 95 % of outbox.total_bytes: storage takes less than arrives\n");
}

static bool
remote_damage(struct ox_node *node)
{
    uint64_t told = atomic_load_explicit(&node->damage_told_ns, memory_order_relaxed);
    return told != 0 && ox_clock_realtime_ns(node->clock) < told + UINT64_C(600000000000);
}

/* What does not keep traffic away and should be known all the same. */
static void
notes(void *ctx, struct ox_buf *lines)
{
    struct node_main *m = ctx;
    struct ox_key_cache_status keys;
    ox_key_cache_status(m->control_arg.cache, &keys);
    uint32_t damaged = atomic_load_explicit(&m->node.damaged_parts, memory_order_relaxed);
    if (damaged > 0)
        ox_buf_printf(lines,
                      "stored data is damaged: %u parts cannot be read, and their rows are nowhere else or "
                      "nobody can tell; docs/runbooks/damaged-data.md says what to do\n",
                      damaged);
    if (remote_damage(&m->node))
        ox_buf_append_cstr(lines,
                           "storage said within the last ten minutes that it cannot read a part of what "
                           "it holds; docs/runbooks/damaged-data.md\n");
    if (!keys.up)
        ox_buf_printf(lines,
                      "the control plane (%s) has not answered for %llu s: the %llu API keys that are known "
                      "here go on, "
                      "others are refused with 503\n",
                      m->control->kind, (unsigned long long)(keys.stale_ms / 1000),
                      (unsigned long long)keys.keys);
}

static void
write_control(struct node_main *m, struct ox_buf *json)
{
    struct ox_key_cache_status keys;
    ox_key_cache_status(m->control_arg.cache, &keys);
    ox_buf_printf(json,
                  "\"control\":{\"store\":\"%s\",\"up\":%s,\"stale_seconds\":%llu,\"keys_cached\":%llu},",
                  m->control->kind, keys.up ? "true" : "false", (unsigned long long)(keys.stale_ms / 1000),
                  (unsigned long long)keys.keys);
}

/* Where senders can reach this node; the console shows it. */
static void
write_listeners(const struct ox_child_args *fds, struct ox_buf *json)
{
    char grpc[OX_NET_ADDR_MAX] = "", http[OX_NET_ADDR_MAX] = "";
    if (ox_net_local_text(fds->fd_otlp_grpc, grpc) == OX_OK &&
        ox_net_local_text(fds->fd_otlp_http, http) == OX_OK)
        ox_buf_printf(json, "\"listen\":{\"otlp_grpc\":\"%s\",\"otlp_http\":\"%s\"},", grpc, http);
}

#define SPILLING_MAX 20 /* tenants that status names */

/* Who spills, since when and why; to a tenant only whether it is he. */
static void
write_spilling(struct ox_node *node, const struct ox_query_request *req, struct ox_buf *json)
{
    bool all = ox_role_is_operator(req->role);
    uint32_t n = ox_tenants_count(node->tenants), listed = 0;
    ox_buf_append_cstr(json, "\"spilling\":[");
    for (uint32_t i = 0; i < n && listed < SPILLING_MAX; i++) {
        struct ox_tenant *t = ox_tenants_at(node->tenants, i);
        uint64_t since_ns = atomic_load_explicit(&t->spilling_since_ns, memory_order_relaxed);
        if (since_ns == 0 || (!all && strcmp(t->id.name, req->tenant.name) != 0))
            continue;
        ox_buf_printf(json, "%s{\"tenant\":\"%s\",\"since_unix\":%llu,\"bytes\":%llu,\"quarantined\":%s}",
                      listed++ > 0 ? "," : "", t->id.name, (unsigned long long)(since_ns / 1000000000),
                      (unsigned long long)atomic_load_explicit(&t->backlog_bytes, memory_order_relaxed),
                      ox_tenant_quarantined(t) ? "true" : "false");
    }
    ox_buf_append_cstr(json, "]");
}

static void
write_spill(struct node_main *m, const struct ox_query_request *req, struct ox_buf *json)
{
    struct ox_node *node = &m->node;
    uint64_t oldest_ns = atomic_load_explicit(&node->spill_oldest_ns, memory_order_relaxed);
    uint64_t now_ns = ox_clock_realtime_ns(node->clock);
    ox_buf_printf(
        json,
        "\"spill\":{\"tenants\":%u,\"entries\":%llu,\"bytes\":%llu,\"limit_bytes\":%llu,\"oldest_seconds\":%"
        "llu,",
        atomic_load_explicit(&node->spill_tenants, memory_order_relaxed),
        (unsigned long long)atomic_load_explicit(&node->spill_entries, memory_order_relaxed),
        (unsigned long long)ox_tenants_backlog_bytes(node->tenants),
        (unsigned long long)m->config.spill_total_bytes,
        (unsigned long long)(oldest_ns != 0 && now_ns > oldest_ns ? (now_ns - oldest_ns) / 1000000000 : 0));
    write_spilling(node, req, json);
    ox_buf_append_cstr(json, "},");
}

/* The end of "storage". */
static void
write_missing(struct ox_node *node, struct ox_buf *json)
{
    uint32_t missing = atomic_load_explicit(&node->tables_missing, memory_order_relaxed);
    const char *comma = "";
    ox_buf_printf(json, "\"damaged_parts\":%u,",
                  atomic_load_explicit(&node->damaged_parts, memory_order_relaxed));
    ox_buf_append_cstr(json, "\"missing_tables\":[");
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        if ((missing & (uint32_t)1 << i) == 0)
            continue;
        ox_buf_printf(json, "%s\"%s\"", comma, ox_schema_tables[i].name);
        comma = ",";
    }
    ox_buf_append_cstr(json, "]},");
}

/* What was removed to make room, since the start. */
static void
write_pruned(struct ox_node *node, struct ox_buf *json)
{
    char when[32] = "never";
    struct tm tm;
    time_t last = (time_t)(atomic_load_explicit(&node->pruned_ns, memory_order_relaxed) / 1000000000);
    if (last != 0 && gmtime_r(&last, &tm) != NULL)
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    ox_buf_printf(json, "\"pruned\":{\"rows\":%llu,\"bytes\":%llu,\"last\":\"%s\"},",
                  (unsigned long long)atomic_load_explicit(&node->pruned_rows, memory_order_relaxed),
                  (unsigned long long)atomic_load_explicit(&node->pruned_bytes, memory_order_relaxed), when);
}

static void
status(void *ctx, const struct ox_query_request *req, struct ox_buf *json)
{
    struct node_main *m = ctx;
    struct ox_node *node = &m->node;
    static const char *const phases[] = {"starting", "running", "stopping"};
    struct ox_journal_stats wal, outbox;
    ox_journal_stats(m->wal, &wal);
    ox_journal_stats(m->outbox, &outbox);
    ox_buf_printf(json, "\"phase\":\"%s\",\"mode\":\"%s\",", phases[ox_node_phase(node)],
                  m->config.mode == OX_MODE_DEVELOPMENT ? "development" : "production");
    write_listeners(&m->fds, json);
    write_control(m, json);
    ox_buf_printf(json, "\"storage\":{\"schema_ready\":%s,\"up\":%s,\"breaker\":\"%s\",\"read_only\":%s,",
                  atomic_load_explicit(&node->storage_migrated, memory_order_acquire) ? "true" : "false",
                  ox_metric_value(OX_M_storage_up, NULL) > 0 ? "true" : "false",
                  ox_breaker_state_name(ox_storage_breaker(node->storage)),
                  atomic_load_explicit(&node->read_only, memory_order_relaxed) != 0 ? "true" : "false");
    write_missing(node, json);
    write_pruned(node, json);
    ox_buf_printf(json, "\"replay\":{\"done\":%s},",
                  atomic_load_explicit(&node->replay_done, memory_order_acquire) ? "true" : "false");
    ox_buf_printf(json, "\"in_flight\":{\"records\":%llu,\"body_bytes\":%llu,\"tenants\":%u},",
                  (unsigned long long)ox_tenants_in_flight(node->tenants),
                  (unsigned long long)atomic_load_explicit(&node->bodies.used_bytes, memory_order_relaxed),
                  ox_tenants_count(node->tenants));
    ox_buf_printf(json, "\"quarantined_tenants\":%zu,", ox_quarantine_count(m->warden.quarantine));
    ox_buf_printf(json, "\"wal\":{\"bytes\":%llu,\"segments\":%llu,\"limit_bytes\":%llu},",
                  (unsigned long long)wal.bytes, (unsigned long long)wal.segments,
                  (unsigned long long)ox_node_config(node)->wal_total_bytes);
    write_spill(m, req, json);
    ox_buf_printf(
        json,
        "\"outbox\":{\"bytes\":%llu,\"segments\":%llu,\"limit_bytes\":%llu,\"blocks\":%llu,\"rows\":%llu}",
        (unsigned long long)outbox.bytes, (unsigned long long)outbox.segments,
        (unsigned long long)ox_node_config(node)->outbox_total_bytes,
        (unsigned long long)atomic_load_explicit(&node->outbox_blocks, memory_order_relaxed),
        (unsigned long long)atomic_load_explicit(&node->outbox_rows, memory_order_relaxed));
}

void
node_query_limits(const struct ox_config *cfg, struct ox_query_limits *out)
{
    *out = (struct ox_query_limits){.timeout_ms = (uint32_t)cfg->query_timeout_ms,
                                    .read_rows_max = (uint64_t)cfg->query_rows_max,
                                    .read_bytes_max = cfg->query_bytes_max,
                                    .memory_bytes_max = cfg->query_memory_bytes,
                                    .result_bytes_max = cfg->query_result_bytes_max,
                                    .results_default = (uint32_t)cfg->query_limit_default,
                                    .traces_max = (uint32_t)cfg->query_traces_limit_max,
                                    .logs_max = (uint32_t)cfg->query_logs_limit_max,
                                    .tenant_running_max = (uint32_t)cfg->query_tenant_concurrency,
                                    .tenant_waiting_max = (uint32_t)cfg->query_tenant_waiting,
                                    .wait_ms = (uint32_t)cfg->query_wait_ms};
    ox_query_limits_defaults(out);
}

static void
limits_now(void *ctx, struct ox_query_limits *out)
{
    struct node_main *m = ctx;
    node_query_limits(ox_node_config(&m->node), out);
}

/* A tenant's own query budgets, where it has some. */
static void
limits_of(void *ctx, const struct ox_tenant_id *tenant, struct ox_query_limits *l)
{
    struct node_main *m = ctx;
    struct ox_quotas *q = m->node.quotas;
    struct ox_quota_entry *e = ox_quotas_tenant(q, tenant);
    if (ox_quotas_is_own(e, OX_QUOTA_QUERY_CONCURRENCY))
        l->tenant_running_max = (uint32_t)ox_quotas_value(q, e, OX_QUOTA_QUERY_CONCURRENCY);
    if (ox_quotas_is_own(e, OX_QUOTA_QUERY_ROWS))
        l->read_rows_max = ox_quotas_value(q, e, OX_QUOTA_QUERY_ROWS);
    if (ox_quotas_is_own(e, OX_QUOTA_QUERY_BYTES))
        l->read_bytes_max = ox_quotas_value(q, e, OX_QUOTA_QUERY_BYTES);
    if (ox_quotas_is_own(e, OX_QUOTA_QUERY_MEMORY))
        l->memory_bytes_max = ox_quotas_value(q, e, OX_QUOTA_QUERY_MEMORY);
    if (ox_quotas_is_own(e, OX_QUOTA_QUERY_TIME))
        l->timeout_ms = (uint32_t)ox_quotas_value(q, e, OX_QUOTA_QUERY_TIME);
}

static void
guard(void *ctx, const struct ox_tenant_id *tenant, struct ox_buf *json)
{
    struct node_main *m = ctx;
    struct ox_quotas *q = m->node.quotas;
    struct ox_quota_entry *e = ox_quotas_tenant(q, tenant);
    struct ox_tenant *t = NULL;
    struct ox_cardinality_status s = {0};
    if (ox_tenants_get(m->node.tenants, tenant, &t) == OX_OK)
        ox_cardinality_status(m->node.cardinality, t->index, &s);
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "series_quota",
                          (json_int_t)ox_quotas_value(q, e, OX_QUOTA_SERIES), "label_values_quota",
                          (json_int_t)ox_quotas_value(q, e, OX_QUOTA_LABEL_VALUES), "series_counted",
                          (json_int_t)s.series, "points_refused_for_series", (json_int_t)s.refused_series,
                          "points_refused_for_label_values", (json_int_t)s.refused_values,
                          "last_refused_metric", s.metric, "last_refused_label", s.label);
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL; /* NULL: a name that is no text */
    ox_buf_append_cstr(json, text != NULL ? text : "{}");
    free(text);
    json_decref(o);
}

static void
quotas_changed(void *ctx)
{
    node_quotas_wanted(ctx);
}

static void
users_changed(void *ctx, const struct ox_tenant_id *tenant)
{
    struct node_main *m = ctx;
    ox_session_keys_changed(m->sessions, tenant);
}

/* An order that the control plane does not carry out itself (a quarantine, a reload, read-only): whoever gives it may have been
 * revoked since this node heard of him last. Operators alone, since others are refused anyway. */
static bool
is_too_late(struct node_main *m, const struct ox_query_request *req, struct ox_query_response *res)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (!ox_str_eq(req->method, OX_STR("POST")) || !ox_role_is_operator(req->role))
        return false;
    int64_t now_s = (int64_t)(ox_clock_realtime_ns(m->node.clock) / 1000000000);
    ox_err err = ox_control_may_still(m->control, req, now_s, &diag);
    if (err == OX_OK)
        return false;
    struct ox_audit_entry entry = {.who = {req->credential, req->peer, ox_role_name(req->role)},
                                   .action = "order",
                                   .tenant = "",
                                   .outcome = "refused",
                                   .detail = diag.text,
                                   .unauthorised = true};
    (void)!ox_audit_write(m->warden.audit, &entry); /* refused all the same */
    ox_query_respond_error(res, err, diag.text, NULL);
    return true;
}

static bool
operate(void *ctx, const struct ox_query_request *req, struct ox_query_response *res)
{
    struct node_main *m = ctx;
    const struct ox_control_api control = {.store = m->control,
                                           .audit = m->warden.audit,
                                           .clock = m->node.clock,
                                           .quota_store = m->quota_store,
                                           .quotas = m->node.quotas,
                                           .quotas_changed = quotas_changed,
                                           .users = m->users,
                                           .limits = m->login_limit,
                                           .oidc = m->oidc,
                                           .oidc_name = m->config.oidc_name,
                                           .users_changed = users_changed,
                                           .session_idle_s = m->config.session_idle_ms / 1000,
                                           .session_max_s = m->config.session_max_ms / 1000,
                                           .development = m->config.mode == OX_MODE_DEVELOPMENT,
                                           .ctx = m};
    if (ox_control_answer(&control, req, res) || is_too_late(m, req, res))
        return true;
    if (ox_str_eq(req->path, OX_STR("/admin/storage/readonly")))
        node_read_only_answer(m, req, res);
    else if (ox_str_eq(req->path, OX_STR("/api/v1/config/reload")) ||
             ox_str_eq(req->path, OX_STR("/api/config/reload")))
        node_reload_answer(m, req, res);
    else
        return false;
    return true;
}

static enum ox_api_kind
kind(void *ctx, struct ox_str method, struct ox_str path)
{
    return ox_control_kind(method, path);
}

/* Not visible yet are at most the blocks that the outbox holds and those that the writers have in hand; each pack takes
 * OX_ENCODED_BLOCKS_MAX ids. */
#define PACKS_IN_HAND 16

static void
blocks(void *ctx, uint64_t *next, uint64_t *visible_below)
{
    struct node_main *m = ctx;
    struct ox_node *node = &m->node;
    uint64_t unsent = atomic_load_explicit(&node->outbox_blocks, memory_order_relaxed) + PACKS_IN_HAND;
    *next = atomic_load_explicit(&node->next_block_id, memory_order_relaxed);
    *visible_below = *next > unsent * OX_ENCODED_BLOCKS_MAX ? *next - unsent * OX_ENCODED_BLOCKS_MAX : 0;
}

ox_err
node_api_start(struct node_main *m, struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    m->query = (struct ox_query){
        .storage = m->node.storage,
        .clock = m->node.clock,
        .warden = &m->warden,
        .schema_ready = &m->node.storage_migrated,
        .status = status,
        .guard = guard,
        .status_ctx = m,
        .blocks = blocks,
        .version = OX_VERSION,
    };
    node_query_limits(cfg, &m->query.limits);
    struct ox_api_options options = {
        .query = &m->query,
        .keys = m->node.keys,
        .listen_fd = m->fds.fd_api,
        .tls = m->node.tls,
        .concurrency = (uint32_t)cfg->query_concurrency,
        .not_ready = not_ready,
        .notes = notes,
        .limits = limits_now,
        .limits_of = limits_of,
        .operate = operate,
        .kind = kind,
        .secure = m->node.tls != NULL || cfg->tls_plaintext,
        .ctx = m,
    };
    return ox_api_start(&options, m->root, &m->api, diag);
}
