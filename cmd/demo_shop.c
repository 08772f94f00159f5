/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/demo_shop.c - the shop: who calls whom, how long it takes, and what the story does to it.
 *
 * Owns:    the call trees (constant).
 * Threads: any; pure but for the random generator it is given.
 * Bounds:  OX_DEMO_SPANS_MAX.
 */
#include <math.h>
#include <stdio.h>

#include "cmd/demo.h"

enum service {
    FRONTEND,
    GATEWAY,
    AUTH,
    CATALOG,
    SEARCH,
    CART,
    CHECKOUT,
    INVENTORY,
    PRICING,
    PAYMENT,
    SHIPPING,
    NOTIFICATION
};

const char *const ox_demo_services[OX_DEMO_SERVICES] = {
    "frontend", "api-gateway", "auth",    "catalog", "search",   "cart",
    "checkout", "inventory",   "pricing", "payment", "shipping", "notification",
};

enum { KIND_INTERNAL = 1, KIND_SERVER = 2, KIND_CLIENT = 3 };

/* What a step is apart from its latency. */
enum trait {
    PLAIN,
    DATABASE,    /* a query: a client span without a server behind it */
    PAYMENT_POOL /* a query that first needs a connection of the payment database */
};

/* A step of a journey: calls its children one after the other. Children follow their parent; depth tells whose. */
struct step {
    uint8_t depth;
    uint8_t service;
    uint8_t trait;
    const char *name;
    float own_ms;       /* median of the step's own work */
    const char *detail; /* route, or statement of a query */
};

static const struct step browse[] = {
    {0, FRONTEND, PLAIN, "GET /products", 3, "/products"},
    {1, GATEWAY, PLAIN, "GET /api/products", 1, "/api/products"},
    {2, CATALOG, PLAIN, "ListProducts", 4, "/products"},
    {3, CATALOG, DATABASE, "SELECT products", 6,
     "SELECT id, name, price FROM products WHERE category = $1 LIMIT 50"},
    {2, PRICING, PLAIN, "PriceList", 2, "/prices"},
};

static const struct step search[] = {
    {0, FRONTEND, PLAIN, "GET /search", 3, "/search"},
    {1, GATEWAY, PLAIN, "GET /api/search", 1, "/api/search"},
    {2, SEARCH, PLAIN, "Query", 18, "/query"},
    {2, CATALOG, PLAIN, "GetProducts", 3, "/products:batch"},
    {3, CATALOG, DATABASE, "SELECT products", 5, "SELECT id, name, price FROM products WHERE id = ANY($1)"},
};

static const struct step add_to_cart[] = {
    {0, FRONTEND, PLAIN, "POST /cart", 2, "/cart"},
    {1, GATEWAY, PLAIN, "POST /api/cart", 1, "/api/cart"},
    {2, AUTH, PLAIN, "CheckToken", 2, "/token"},
    {2, CART, PLAIN, "AddItem", 3, "/items"},
    {3, CART, DATABASE, "HSET cart", 1, "HSET cart:{id} item"},
    {3, INVENTORY, PLAIN, "Available", 3, "/available"},
};

static const struct step checkout[] = {
    {0, FRONTEND, PLAIN, "POST /checkout", 4, "/checkout"},
    {1, GATEWAY, PLAIN, "POST /api/checkout", 1, "/api/checkout"},
    {2, AUTH, PLAIN, "CheckToken", 2, "/token"},
    {2, CHECKOUT, PLAIN, "PlaceOrder", 6, "/orders"},
    {3, CART, PLAIN, "GetCart", 2, "/cart"},
    {3, INVENTORY, PLAIN, "Reserve", 6, "/reservations"},
    {4, INVENTORY, DATABASE, "UPDATE stock", 4, "UPDATE stock SET reserved = reserved + $1 WHERE sku = $2"},
    {3, PRICING, PLAIN, "Total", 3, "/total"},
    {3, PAYMENT, PLAIN, "Charge", 8, "/charges"},
    {4, PAYMENT, PAYMENT_POOL, "SELECT transactions", 9, "SELECT * FROM transactions WHERE customer_id = $1"},
    {4, PAYMENT, DATABASE, "POST card-network", 42, "card-network authorize"},
    {3, SHIPPING, PLAIN, "Quote", 7, "/quotes"},
    {3, NOTIFICATION, PLAIN, "OrderPlaced", 2, "/events"},
};

static const struct {
    const char *name;
    const struct step *steps;
    size_t n;
    double share;
} journeys[] = {
    {"browse", browse, OX_COUNT(browse), 0.50},
    {"search", search, OX_COUNT(search), 0.20},
    {"add-to-cart", add_to_cart, OX_COUNT(add_to_cart), 0.16},
    {"checkout", checkout, OX_COUNT(checkout), 0.14},
};

/* Rounds of the story: the first 40 % are healthy, the pool fills over 20 %, is exhausted for 25 %, then recovers. */
struct ox_demo_state
ox_demo_state_at(const struct ox_demo_options *options, uint64_t at_ns)
{
    double round_s = options->story_s > 0 ? options->story_s : 600;
    double at = fmod((double)at_ns / 1e9, round_s) / round_s;
    if (at < 0.40)
        return (struct ox_demo_state){OX_DEMO_HEALTHY, 0.20 + 0.05 * sin(at * 60)};
    if (at < 0.60)
        return (struct ox_demo_state){OX_DEMO_FILLING, 0.25 + 0.70 * (at - 0.40) / 0.20};
    if (at < 0.85)
        return (struct ox_demo_state){OX_DEMO_EXHAUSTED, 1.0};
    return (struct ox_demo_state){OX_DEMO_RECOVERED, 0.30};
}

/* Durations of services are skewed to the right: median times a log-normal factor. */
static uint64_t
latency_ns(struct ox_random *rnd, double median_ms)
{
    double u = ox_random_double(rnd), v = ox_random_double(rnd);
    double normal = sqrt(-2 * log(u > 0 ? u : 1e-12)) * cos(6.283185307179586 * v);
    return (uint64_t)(median_ms * exp(0.35 * normal) * 1e6);
}

struct making {
    struct ox_random *rnd;
    struct ox_demo_state state;
    struct ox_demo_trace *trace;
    struct ox_demo_log *logs;
    size_t cap, *n_logs;
};

static void
say(struct making *m, const struct ox_demo_span *span, uint64_t time_ns, uint8_t severity, const char *body)
{
    if (*m->n_logs == m->cap)
        return;
    struct ox_demo_log *log = &m->logs[(*m->n_logs)++];
    log->time_ns = time_ns;
    log->service = span->service;
    log->severity = severity;
    memcpy(log->trace_id, m->trace->trace_id, 16);
    memcpy(log->span_id, span->span_id, 8);
    snprintf(log->body, sizeof(log->body), "%s", body);
}

static struct ox_demo_span *
new_span(struct making *m, const struct ox_demo_span *parent, uint32_t service, const char *name,
         uint8_t kind, uint64_t start_ns)
{
    struct ox_demo_span *s = &m->trace->spans[m->trace->n_spans++];
    memset(s, 0, sizeof(*s));
    do
        ox_random_bytes(m->rnd, s->span_id, 8);
    while (memcmp(s->span_id, (uint8_t[8]){0}, 8) == 0);
    if (parent != NULL)
        memcpy(s->parent_id, parent->span_id, 8);
    s->service = service;
    s->name = name;
    s->kind = kind;
    s->start_ns = start_ns;
    return s;
}

/* Waiting for a connection: nothing while the pool has room, seconds once it is exhausted, sometimes in vain. */
static uint64_t
pool_wait(struct making *m, struct ox_demo_span *span)
{
    if (m->state.pool < 0.8)
        return 0;
    if (m->state.pool < 1.0)
        return latency_ns(m->rnd, 400 * (m->state.pool - 0.75));
    uint64_t wait = latency_ns(m->rnd, 1900);
    if (ox_random_double(m->rnd) < 0.12) {
        span->error = true;
        span->status_message = "connection pool exhausted: no connection within 3 s";
        say(m, span, span->start_ns + wait, 17,
            "Database connection pool exhausted: 100 of 100 connections in use");
        return wait + 1000000000;
    }
    say(m, span, span->start_ns + wait, 13, "Slow query: SELECT * FROM transactions WHERE customer_id = $1");
    return wait;
}

static uint64_t run_step(struct making *m, const struct step *steps, size_t n, size_t at,
                         const struct ox_demo_span *parent, uint64_t start_ns, bool *failed);

/* Runs the children of step `at` one after the other; returns when the last has ended. */
static uint64_t
run_children(struct making *m, const struct step *steps, size_t n, size_t at, const struct ox_demo_span *self,
             uint64_t now_ns, bool *failed)
{
    for (size_t i = at + 1; i < n && steps[i].depth > steps[at].depth; i++) {
        if (steps[i].depth == steps[at].depth + 1)
            now_ns = run_step(m, steps, n, i, self, now_ns, failed);
    }
    return now_ns;
}

static uint64_t
run_query(struct making *m, const struct step *step, const struct ox_demo_span *parent, uint64_t start_ns,
          bool *failed)
{
    struct ox_demo_span *s = new_span(m, parent, step->service, step->name, KIND_CLIENT, start_ns);
    s->db_statement = step->detail;
    s->peer = step->trait == PAYMENT_POOL ? "payment-db" : NULL;
    uint64_t wait = step->trait == PAYMENT_POOL ? pool_wait(m, s) : 0;
    s->end_ns = start_ns + wait + latency_ns(m->rnd, step->own_ms);
    *failed |= s->error;
    return s->end_ns;
}

/* One call: a client span at the caller (unless it is the root) and a server span behind it. */
static uint64_t
run_step(struct making *m, const struct step *steps, size_t n, size_t at, const struct ox_demo_span *parent,
         uint64_t start_ns, bool *failed)
{
    const struct step *step = &steps[at];
    if (step->trait != PLAIN)
        return run_query(m, step, parent, start_ns, failed);
    struct ox_demo_span *client = NULL;
    uint64_t net_ns = 0;
    if (parent != NULL) {
        client = new_span(m, parent, parent->service, step->name, KIND_CLIENT, start_ns);
        client->peer = ox_demo_services[step->service];
        net_ns = latency_ns(m->rnd, 0.4);
    }
    struct ox_demo_span *s = new_span(m, client, step->service, step->name, KIND_SERVER, start_ns + net_ns);
    s->route = step->detail;
    bool child_failed = false;
    uint64_t own_ns = latency_ns(m->rnd, step->own_ms);
    uint64_t now_ns = run_children(m, steps, n, at, s, s->start_ns + own_ns / 2, &child_failed);
    s->end_ns = now_ns + own_ns / 2;
    s->error = child_failed;
    s->http_status = child_failed ? 503 : 200;
    if (client != NULL) {
        client->end_ns = s->end_ns + net_ns;
        client->error = child_failed;
        client->http_status = s->http_status;
    }
    *failed |= child_failed;
    return client != NULL ? client->end_ns : s->end_ns;
}

/* What the services say when nothing is wrong, and the root's last word. */
static void
talk(struct making *m, const struct step *steps, bool failed)
{
    char text[192];
    const struct ox_demo_span *root = &m->trace->spans[0];
    uint64_t order = ox_random_below(m->rnd, 90000) + 10000;
    for (uint32_t i = 0; i < m->trace->n_spans; i++) {
        const struct ox_demo_span *s = &m->trace->spans[i];
        if (s->service == PAYMENT && s->kind == KIND_SERVER) {
            snprintf(text, sizeof(text), "Payment processing started for order #%llu",
                     (unsigned long long)order);
            say(m, s, s->start_ns, 9, text);
            if (failed)
                say(m, s, s->end_ns, 13, "Using fallback payment processor");
        }
    }
    snprintf(text, sizeof(text), "%s %u in %.1f ms", steps[0].name, root->http_status,
             (double)(root->end_ns - root->start_ns) / 1e6);
    say(m, root, root->end_ns, failed ? 17 : 9, text);
}

void
ox_demo_trace_make(struct ox_random *rnd, struct ox_demo_state state, uint64_t start_ns,
                   struct ox_demo_trace *trace, struct ox_demo_log *logs, size_t cap, size_t *n_logs)
{
    struct making m = {rnd, state, trace, logs, cap, n_logs};
    double pick = ox_random_double(rnd);
    size_t j = 0;
    while (j + 1 < OX_COUNT(journeys) && pick >= journeys[j].share)
        pick -= journeys[j++].share;
    bool failed = false;
    ox_random_bytes(rnd, trace->trace_id, 16);
    /* Another run of the same seed at another time has other ids: else its traces would grow into the earlier. */
    for (int i = 0; i < 8; i++)
        trace->trace_id[i] ^= (uint8_t)(start_ns >> (8 * i));
    trace->journey = journeys[j].name;
    trace->n_spans = 0;
    run_step(&m, journeys[j].steps, journeys[j].n, 0, NULL, start_ns, &failed);
    talk(&m, journeys[j].steps, failed);
}
