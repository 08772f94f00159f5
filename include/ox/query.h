/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/query.h - the read API: questions over HTTP in, JSON from storage out.
 *
 * Owns:    nothing; struct ox_query lends what the node owns (storage client, clock).
 * Threads: ox_query_handle blocks on storage: dirty threads only, any number at once with one struct
 *          ox_query. ox_query_request_* are pure. ox_api_* belong to the runtime's start and stop.
 * Bounds:  struct ox_query_limits; every answer says in `meta` when one of them cut it.
 * Fails:   errors become HTTP answers {"error":{"code","message","hint"}}; an engine error is never an empty
 *          result.
 * Flow:    API connection -> actors/query/api_actor.c -> dirty thread -> here -> actors/storage -> engine.
 *
 * The endpoints, their parameters and answers are described in docs/api.md.
 */
#ifndef OX_QUERY_H
#define OX_QUERY_H

#include <stdatomic.h>

#include "ox/actor.h"
#include "ox/base.h"
#include "ox/buf.h"
#include "ox/permission.h"

struct ox_clock;
struct ox_storage;
struct ox_warden;

/* Budgets of one question. Zero takes the default that stands behind each. */
struct ox_query_limits {
    uint32_t timeout_ms;        /* 30,000: for the whole answer, all its statements together */
    uint64_t read_rows_max;     /* 2,000,000,000 rows scanned per statement */
    uint64_t read_bytes_max;    /* 200 GiB scanned per statement */
    uint64_t memory_bytes_max;  /* 1 GiB of the engine's memory per statement */
    uint64_t result_bytes_max;  /* 64 MiB of result per statement */
    uint32_t results_default;   /* 100: `limit` when the caller names none */
    uint32_t traces_max;        /* 1,000: largest `limit` of a trace search */
    uint32_t logs_max;          /* 10,000: largest `limit` of a log search */
    uint32_t trace_spans_max;   /* 100,000: spans of one trace in one answer */
    uint32_t correlated_max;    /* 1,000: logs, and exemplars, beside one trace */
    uint32_t series_max;        /* 1,000: series of one metric answer */
    uint32_t metric_points_max; /* 500,000: points of one metric answer */
    uint64_t range_default_ns;  /* 1 hour: the time range when the caller names none */
    /* Of one tenant, at the API port: */
    uint32_t tenant_running_max; /* 4 questions at one time */
    uint32_t tenant_waiting_max; /* 32 further ones that wait for their turn */
    uint32_t wait_ms;            /* 10,000: how long one of them waits */
};

struct ox_query_request;
/*
 * Writes the members of the status object, without its braces: "\"mode\":\"development\",\"queues\":[...]".
 * An empty text is allowed. Called on a dirty thread. req: who asks; other tenants are named to operators only.
 */
typedef void (*ox_query_status_fn)(void *ctx, const struct ox_query_request *req, struct ox_buf *json);

/* What every question shares; filled once by the node, read by all threads. Lends everything. */
struct ox_query {
    struct ox_storage *storage;
    const struct ox_clock *clock;
    struct ox_query_limits limits;
    /* The schema was applied: a table that is not there is not on its way. NULL = not known. */
    const _Atomic bool *schema_ready;
    ox_query_status_fn status; /* NULL = none */
    void *status_ctx;
    /* Writes what the guard of series knows of the tenant, as a JSON object; with status_ctx. Dirty threads. NULL = none. */
    void (*guard)(void *ctx, const struct ox_tenant_id *tenant, struct ox_buf *json);
    struct ox_warden *warden; /* crashes and quarantine, for operators; NULL = not here */
    /* Ids of blocks, which rise: the next one, and one below which every block is visible in storage by all
     * appearance, or 0 while there is none. With status_ctx; any thread. NULL = not known. */
    void (*blocks)(void *ctx, uint64_t *next, uint64_t *visible_below);
    const char *version; /* of the program, for /api/v1/status; NULL = "unknown" */
};

/* One question. Every view is lent until ox_query_handle returns. */
struct ox_query_request {
    struct ox_tenant_id tenant;
    enum ox_role role;          /* of the asker */
    uint32_t scopes;            /* of its key, OX_SCOPE_* */
    const char *key_id;         /* of its key; NULL or "" = it showed none, or one of development */
    const char *credential;     /* what it showed, in words, for the audit log */
    enum ox_way way;            /* what told who it is */
    const char *user;           /* of a session; NULL or "" = it is none */
    struct ox_str session;      /* what its cookie holds, if it is one */
    struct ox_str pending;      /* what the cookie of a login through a provider holds */
    const char *peer;           /* its address */
    struct ox_str body;         /* of a POST */
    struct ox_str method;       /* "GET" */
    struct ox_str path;         /* "/api/v1/traces", as received, not decoded */
    struct ox_str query;        /* "service=shop&limit=5", without the '?', not decoded */
    struct ox_str accept;       /* the Accept header; only JSON is offered, so it may be empty */
    const _Atomic bool *cancel; /* true: the asker is gone, stop; NULL = never */
};

/* The answer. `body` belongs to the caller from ox_query_response_init to _fini. */
struct ox_query_response {
    int status; /* HTTP */
    const char *content_type;
    const char *allow;      /* value of the Allow header of a 405; NULL otherwise */
    char *location;         /* of a redirection; NULL otherwise */
    char *pending;          /* as `session`, of a login through a provider */
    char *session;          /* the cookie is to hold this from now on; "" = nothing. NULL = it stays */
    uint32_t retry_after_s; /* Retry-After of a 429 or 503; 0 = none */
    struct ox_buf body;
};

void ox_query_response_init(struct ox_query_response *res);
void ox_query_response_fini(struct ox_query_response *res);

/* Fills zero members of `limits` with their defaults and lowers impossible combinations. */
void ox_query_limits_defaults(struct ox_query_limits *limits);

/*
 * Answers one question. Always leaves a complete answer in `res`, whatever goes wrong.
 * q, req: lend. Blocks for at most limits.timeout_ms plus the storage client's own connect time-out.
 */
void ox_query_handle(const struct ox_query *q, const struct ox_query_request *req,
                     struct ox_query_response *res);

/*
 * Whether the read API has a route for `path` asked with `query`: the API port asks before it takes a request
 * for its own pages. "/metrics" belongs here only when there is a query (else it is the Prometheus text).
 */
bool ox_query_is_route(struct ox_str path, struct ox_str query);

/*
 * Whether `path` takes no order, whatever is sent and by whom: it is only read, or is one of OTLP's, which has ports of
 * its own. Then `res` (lend, initialised) is the answer that says so. Any thread.
 */
bool ox_query_refuses_order(struct ox_str path, struct ox_query_response *res);

/* Replaces the content of `res` by an error answer. hint may be NULL. */
void ox_query_respond_error(struct ox_query_response *res, ox_err err, const char *message, const char *hint);

/* One row per route: how docs/api.md and the 404 answer list them. */
struct ox_query_route {
    const char *method;
    const char *pattern; /* "/api/v1/traces/{trace_id}" */
    const char *doc;     /* one sentence */
};
/* All routes; *n receives their number. */
const struct ox_query_route *ox_query_routes(size_t *n);

/* ---- the API port: one actor and one HTTP server per loop ---- */

struct ox_keystore;
struct ox_tls;
struct ox_api;

enum ox_api_kind {
    OX_API_ORDINARY,
    /* Hashes a secret: it runs on a thread for those, one after the other, and a few may wait; so no question waits for one. */
    OX_API_SLOW,
    /* The same on a thread of its own; whoever asks is nobody, whatever he shows. */
    OX_API_LOGIN,
    /* Whoever is nobody may ask, too. */
    OX_API_OPEN,
};

/* The cookie of a session. */
#define OX_COOKIE_SECURE "__Host-observex"
#define OX_COOKIE_PLAIN  "observex"
#define OX_COOKIE_OIDC   "-oidc" /* behind one of them: of a login through a provider */
/* What orders show that come with one: docs/api.md. */
#define OX_CSRF_HEADER "x-observex-csrf"

/* Lends everything for as long as the API runs. */
struct ox_api_options {
    const struct ox_query *query;
    struct ox_keystore *keys;
    int listen_fd;        /* stays the caller's */
    struct ox_tls *tls;   /* NULL = plain */
    uint32_t concurrency; /* questions at one time, each on a thread of its own; 0 = 8 */
    uint32_t waiting_max; /* questions waiting for one of them; beyond it 429. 0 = 64 */
    /* Appends one sentence per line for each reason why the node takes no traffic; nothing = ready. Scheduler
     * threads, must not block. NULL = always ready. */
    void (*not_ready)(void *ctx, struct ox_buf *reasons);
    /* The same for what does not keep traffic away: /ready stays 200 and shows it. NULL = nothing. */
    void (*notes)(void *ctx, struct ox_buf *lines);
    /* The limits in force, when they can change: asked at each port's start and at the message `configure`, then
     * used instead of query->limits. Scheduler threads. NULL = those of `query`, for ever. */
    void (*limits)(void *ctx, struct ox_query_limits *out);
    /* Puts this tenant's own limits into those in force. Any thread, must not block. NULL = all have the same. */
    void (*limits_of)(void *ctx, const struct ox_tenant_id *tenant, struct ox_query_limits *limits);
    /* Answers what is no question but an order to this node (and says who may give it): true when the path is
     * one, and `res` then has the answer. On query threads, may block. NULL = there are none. */
    bool (*operate)(void *ctx, const struct ox_query_request *req, struct ox_query_response *res);
    /* What kind of request it is. Scheduler threads, must not block. NULL = all are ordinary. */
    enum ox_api_kind (*kind)(void *ctx, struct ox_str method, struct ox_str path);
    /* Browsers come by TLS, ours or a proxy's: cookies are for it alone. */
    bool secure;
    void *ctx;
};

/*
 * Starts the API on every loop under supervisor `sup` (an ox_pid). /health, /ready, /metrics and / are answered
 * on the loop, questions on threads of their own. options: lend, copied. The runtime runs already. Not on a
 * scheduler thread. *out is set after a failure too. IO, NOMEM, or what on_start said.
 */
OX_MUST_USE ox_err ox_api_start(const struct ox_api_options *options, ox_pid sup, struct ox_api **out,
                                struct ox_diag *diag);
/* Stops accepting and finishes what is there; ox_api_drained tells when. Any thread. */
void ox_api_drain(struct ox_api *api);
bool ox_api_drained(struct ox_api *api);
/* After ox_runtime_stop. NULL is allowed. */
void ox_api_free(struct ox_api *api);

#endif
