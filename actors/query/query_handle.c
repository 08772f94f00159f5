/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_handle.c - finds the route of a question, runs its handler, turns errors into answers.
 *
 * Owns:    the call's parameters and notes for the time of one question.
 * Threads: dirty threads, any number at once.
 * Bounds:  struct ox_query_limits.
 * Fails:   always answers; see ox/query.h.
 * Flow:    api_actor.c -> ox_query_handle -> query_trace.c and its siblings.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/query/query_call.h"
#include "ox/clock.h"
#include "ox/net.h"

/* method, path, handler, who may ask, one sentence. READ: whoever may read the telemetry of his tenant; SELF: the handler
 * decides, because it writes down who was refused, or everybody may. */
/* clang-format off */
#define ROUTES(R) \
    R("GET", "/api/v1/traces/{trace_id}", trace, READ, "one trace: its spans in tree order; correlate=true adds logs and exemplars") \
    R("GET", "/api/v1/traces", traces, READ, "traces by service, operation, duration, status and tags, newest first") \
    R("GET", "/api/v1/logs", logs, READ, "log records by service, level, words and trace, newest first") \
    R("GET", "/api/v1/metrics", metrics, READ, "one metric's series and points, or the names of all metrics") \
    R("GET", "/api/v1/services", services, READ, "the services that sent something") \
    R("GET", "/api/v1/services/stats", service_stats, READ, "per service: spans, logs, points, errors and latency") \
    R("GET", "/api/v1/operations", operations, READ, "per operation: calls, errors and latency, exact whatever is sampled") \
    R("GET", "/api/v1/cardinality", cardinality, READ, "metric series and label values of today and yesterday, those that grew first") \
    R("GET", "/api/v1/crashes", crashes, SELF, "operators: what crashed, newest first, and to whom it is charged") \
    R("GET", "/api/v1/quarantine", quarantine, SELF, "operators: which tenants are quarantined, and why") \
    R("POST", "/api/v1/quarantine/{tenant}/revoke", revoke, SELF, "operators: lifts a quarantine; {\"acknowledge_crashes\":N}") \
    R("GET", "/api/v1/status", status, SELF, "how the server is") \
    R("GET", "/traces", traces, READ, "short for /api/v1/traces; with trace_id: that trace") \
    R("GET", "/logs", logs, READ, "short for /api/v1/logs") \
    R("GET", "/metrics", metrics, READ, "with a query: short for /api/v1/metrics; without: Prometheus text")
/* clang-format on */

enum access { READ, SELF };

#define NEAR_MAX 3 /* letters that may be wrong in a misspelt path */

static const struct ox_query_route routes[] = {
#define R(method, pattern, handler, access, doc) {method, pattern, doc},
    ROUTES(R)
#undef R
};

static const struct {
    ox__handler_fn run;
    enum access access;
} handlers[] = {
#define R(method, pattern, handler, access, doc) {ox__handle_##handler, access},
    ROUTES(R)
#undef R
};

const struct ox_query_route *
ox_query_routes(size_t *n)
{
    *n = OX_COUNT(routes);
    return routes;
}

/* /api/traces is an alias of /api/v1/traces. */
static struct ox_str
canonical(struct ox_str path, char *text, size_t cap)
{
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    struct ox_str prefix = OX_STR("/api/"), v1 = OX_STR("/api/v1/");
    if (path.n < prefix.n || memcmp(path.p, prefix.p, prefix.n) != 0 || path.n + 3 >= cap)
        return path;
    if (path.n >= v1.n - 1 && memcmp(path.p, v1.p, v1.n - 1) == 0 &&
        (path.n == v1.n - 1 || path.p[v1.n - 1] == '/'))
        return path;
    int n = snprintf(text, cap, "/api/v1/%.*s", (int)(path.n - prefix.n), path.p + prefix.n);
    return (struct ox_str){text, (size_t)n};
}

/* Matches a pattern with at most one {…}; *arg is what stands for it. */
static bool
match(const char *pattern, struct ox_str path, struct ox_str *arg)
{
    struct ox_str p = ox_str_of(pattern);
    const char *brace = strchr(pattern, '{'), *close = strchr(pattern, '}');
    *arg = (struct ox_str){NULL, 0};
    if (brace == NULL || close == NULL)
        return ox_str_eq(p, path);
    size_t before = (size_t)(brace - pattern), after = strlen(close + 1);
    if (path.n <= before + after || memcmp(path.p, pattern, before) != 0 ||
        memcmp(path.p + path.n - after, close + 1, after) != 0)
        return false;
    *arg = (struct ox_str){path.p + before, path.n - before - after};
    return memchr(arg->p, '/', arg->n) == NULL;
}

/* The index of the route, or that behind the last. */
static size_t
find_route(struct ox_str path, struct ox_str *arg)
{
    size_t i = 0;
    while (i < OX_COUNT(routes) && !match(routes[i].pattern, path, arg))
        i++;
    return i;
}

bool
ox_query_is_route(struct ox_str path, struct ox_str query)
{
    char text[256];
    struct ox_str arg;
    if (ox_str_eq(path, OX_STR("/metrics")))
        return query.n > 0;
    return find_route(canonical(path, text, sizeof(text)), &arg) < OX_COUNT(routes);
}

void
ox_query_response_init(struct ox_query_response *res)
{
    memset(res, 0, sizeof(*res));
    res->status = 200;
    res->content_type = "application/json";
    ox_buf_init(&res->body);
}

void
ox_query_response_fini(struct ox_query_response *res)
{
    ox_buf_fini(&res->body);
    free(res->session);
    free(res->pending);
    free(res->location);
    res->session = res->pending = res->location = NULL;
}

void
ox_query_respond_error(struct ox_query_response *res, ox_err err, const char *message, const char *hint)
{
    const struct ox_err_info *info = ox_err_info(err);
    struct ox__json j;
    ox_buf_reset(&res->body);
    ox__qjson_init(&j, &res->body);
    ox__qjson_begin(&j, '{');
    ox__qjson_open(&j, "error", '{');
    ox__qjson_kcstr(&j, "code", info->symbol);
    ox__qjson_kcstr(&j, "message", message != NULL && message[0] != 0 ? message : info->text);
    if (hint != NULL)
        ox__qjson_kcstr(&j, "hint", hint);
    ox__qjson_kbool(&j, "retryable", info->retryable);
    ox__qjson_end(&j, '}');
    ox__qjson_end(&j, '}');
    res->status = info->http_status;
    res->content_type = "application/json";
    res->retry_after_s = info->http_status == 429 || info->http_status == 503 ? 1 : 0;
}

/* Where OTLP goes when it is sent to the wrong port. */
static bool
is_otlp(struct ox_str path)
{
    struct ox_str otlp = OX_STR("/v1/");
    return path.n > otlp.n && memcmp(path.p, otlp.p, otlp.n) == 0;
}

/* The route that `path` is a misspelling of, or short for; NULL: none is like it. */
static const char *
nearest_route(struct ox_str path)
{
    const char *nearest = NULL;
    unsigned best = NEAR_MAX + 1;
    char in_api[256];
    snprintf(in_api, sizeof(in_api), "/api/v1%.*s", (int)(path.n < 200 ? path.n : 200), path.p);
    for (size_t i = 0; i < OX_COUNT(routes); i++) {
        struct ox_str pattern = ox_str_of(routes[i].pattern);
        if (ox_str_eq(ox_str_of(in_api), pattern))
            return routes[i].pattern;
        unsigned distance = ox__params_distance(path, pattern);
        if (distance < best && distance < path.n / 2) {
            best = distance;
            nearest = routes[i].pattern;
        }
    }
    return nearest;
}

static void
no_route(struct ox_query_response *res, struct ox_str path)
{
    char message[200], hint[160] = "GET /api/v1 lists what there is, docs/api.md tells more";
    const char *nearest = nearest_route(path);
    if (is_otlp(path))
        snprintf(hint, sizeof(hint),
                 "this port answers questions; OTLP is received on others, /api/v1/status "
                 "names them under `listen` (4318 over HTTP, 4317 over gRPC)");
    else if (nearest != NULL)
        snprintf(hint, sizeof(hint), "the nearest is %s; GET /api/v1 lists all", nearest);
    snprintf(message, sizeof(message), "no such path: %.*s", (int)(path.n < 120 ? path.n : 120), path.p);
    ox_query_respond_error(res, OX_E_NO_ROUTE, message, hint);
}

void
ox_query_limits_defaults(struct ox_query_limits *l)
{
#define DEFAULT(member, value)                                                                               \
    if (l->member == 0)                                                                                      \
    l->member = (value)
    DEFAULT(timeout_ms, 30000);
    DEFAULT(read_rows_max, 2000000000);
    DEFAULT(read_bytes_max, 200ull << 30);
    DEFAULT(memory_bytes_max, 1ull << 30);
    DEFAULT(result_bytes_max, 64ull << 20);
    DEFAULT(results_default, 100);
    DEFAULT(traces_max, 1000);
    DEFAULT(logs_max, 10000);
    DEFAULT(trace_spans_max, 100000);
    DEFAULT(correlated_max, 1000);
    DEFAULT(series_max, 1000);
    DEFAULT(metric_points_max, 500000);
    DEFAULT(range_default_ns, 3600 * OX__NS_PER_S);
    DEFAULT(tenant_running_max, 4);
    DEFAULT(tenant_waiting_max, 32);
    DEFAULT(wait_ms, 10000);
#undef DEFAULT
}

static ox_err
run(struct ox__call *c, ox__handler_fn handler, struct ox_query_response *res)
{
    struct ox__json j;
    ox__qjson_init(&j, &res->body);
    ox__qjson_begin(&j, '{');
    ox_err err = handler(c, &j);
    if (err != OX_OK)
        return err;
    ox__call_meta(c, &j);
    ox__qjson_end(&j, '}');
    return res->body.failed ? OX_E_NOMEM : OX_OK;
}

static void
answer(struct ox__call *c, ox__handler_fn handler, enum access access, struct ox_query_response *res)
{
    ox_err err = ox__params_parse(&c->params, c->req->query, &c->diag);
    if (err == OX_OK && access == READ)
        err = ox_may(c->req->role, c->req->scopes, OX_ACTION_READ_OWN, &c->diag);
    if (err == OX_OK)
        err = run(c, handler, res);
    if (err != OX_OK) {
        res->body.failed = false;
        ox_query_respond_error(res, err, c->diag.text, c->hint);
    }
    ox__params_fini(&c->params);
    ox_buf_fini(&c->cursor);
}

static bool
has_method(struct ox_str method, const char *wanted)
{
    return ox_str_eq(method, ox_str_of(wanted)) ||
           (strcmp(wanted, "GET") == 0 && ox_str_eq(method, OX_STR("HEAD")));
}

static void
wrong_method(struct ox_query_response *res, const char *wanted)
{
    bool get = strcmp(wanted, "GET") == 0;
    ox_query_respond_error(res, OX_E_METHOD, get ? "this path is read with GET" : "this path takes a POST",
                           NULL);
    res->allow = get ? "GET, HEAD" : wanted;
}

bool
ox_query_refuses_order(struct ox_str path, struct ox_query_response *res)
{
    char text[256];
    struct ox_str arg;
    size_t route = find_route(canonical(path, text, sizeof(text)), &arg);
    if (route < OX_COUNT(routes) && strcmp(routes[route].method, "GET") == 0)
        wrong_method(res, "GET");
    else if (is_otlp(path))
        no_route(res, path);
    else
        return false;
    return true;
}

void
ox_query_handle(const struct ox_query *q, const struct ox_query_request *req, struct ox_query_response *res)
{
    char path_text[256];
    struct ox__call c = {.q = q, .req = req, .limits = q->limits};
    struct ox_str path = canonical(req->path, path_text, sizeof(path_text));
    size_t route = find_route(path, &c.path_arg);
    ox_buf_reset(&res->body);
    if (route == OX_COUNT(routes)) {
        no_route(res, req->path);
        return;
    }
    if (!has_method(req->method, routes[route].method)) {
        wrong_method(res, routes[route].method);
        return;
    }
    ox_query_limits_defaults(&c.limits);
    c.started_ns = ox_clock_monotonic_ns(q->clock);
    c.now_ns = ox_clock_realtime_ns(q->clock);
    answer(&c, handlers[route].run, handlers[route].access, res);
}
