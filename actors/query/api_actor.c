/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/api_actor.c - the API port: takes questions from HTTP, has them answered on query threads.
 *
 * Owns:    one HTTP server per loop, and each request from on_request until it is answered.
 * Threads: a port lives on its loop; ox_query_handle runs on lanes, threads for queries only, so that a long
 *          question never stands before a journal's or a writer's work.
 * Bounds:  options.concurrency questions run, options.waiting_max wait; one order that hashes a secret runs, SLOW_WAITING
 *          wait; beyond them 429 with Retry-After. Of one tenant: api_wait.c.
 * Fails:   UNAUTHENTICATED, OVERLOAD, UNAVAILABLE (the actor is being restarted), what the question's answer says.
 * Flow:    runtime/net -> on_request -> api_wait.c -> lane: query_handle.c -> DONE -> ox__api_send. A key that is not known
 *          yet is looked up on a lane first.
 *
 * The server outlives a crash of its actor. A question that was on a query thread then comes back by way of
 * `orphans` and is answered by the next incarnation.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/query/api_internal.h"
#include "ox/lock.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/runtime.h"
#include "ox/supervisor.h"

#define CONCURRENCY_DEFAULT 8
#define WAITING_DEFAULT     64
#define SLOW_WAITING        16 /* some two seconds' worth */
/* A question is its URL, an order has a few bytes of JSON. */
#define BODY_BYTES_MAX (64 * 1024)
#define SHUTDOWN_MS    5000

/* ---- questions ---- */

static void
job_free(struct api_job *job)
{
    ox_query_response_fini(&job->answer);
    free(job);
}

/* In words, for the audit log. */
static void
describe(struct api_job *job, const struct ox_identity *who)
{
    if (who->role == OX_ROLE_NONE)
        snprintf(job->credential, sizeof(job->credential), "nobody who has logged in");
    else if (who->way == OX_WAY_SESSION)
        snprintf(job->credential, sizeof(job->credential), "user %s of tenant %s", who->subject,
                 who->tenant.name);
    else if (who->way == OX_WAY_TOKEN)
        snprintf(job->credential, sizeof(job->credential), "token of %s, tenant %s",
                 who->subject[0] != '\0' ? who->subject : "nobody by name", who->tenant.name);
    else if (who->way == OX_WAY_CERTIFICATE)
        snprintf(job->credential, sizeof(job->credential), "certificate %s of tenant %s",
                 job->req->client->name[0], who->tenant.name);
    else if (who->key_id[0] != '\0')
        snprintf(job->credential, sizeof(job->credential), "key %s of tenant %s", who->key_id,
                 who->tenant.name);
    else if (ox_credential_of(job->req).key.n > 0)
        snprintf(job->credential, sizeof(job->credential), "key of tenant %s", who->tenant.name);
    else
        snprintf(job->credential, sizeof(job->credential), "no key, from this machine");
}

static void
take_asker(struct api_job *job, const struct ox_identity *who)
{
    describe(job, who);
    job->question.tenant = who->tenant;
    job->question.role = who->role;
    job->question.scopes = who->scopes;
    job->question.way = who->way;
    memcpy(job->key_id, who->key_id, sizeof(job->key_id));
    if (who->way == OX_WAY_SESSION)
        memcpy(job->user, who->subject, sizeof(job->user));
    const struct ox_api_options *o = &job->port->api->options;
    if (o->limits_of != NULL)
        o->limits_of(o->ctx, &who->tenant, &job->query.limits);
}

/* An order with a session's cookie that may be another page's. */
static ox_err
no_csrf(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_FORBIDDEN, OX_CSRF_HEADER, -1,
                       "an order of a session shows the header " OX_CSRF_HEADER
                       ": GET /api/v1/session says which");
}

static const struct ox_identity nobody = {.role = OX_ROLE_NONE};

/* Query thread. False: nobody, and that is the answer. */
static bool
look_up(struct api_job *job)
{
    const struct ox_api *api = job->port->api;
    struct ox_keystore *keys = api->options.keys;
    struct ox_credential cred = ox__api_credential(api, job->req);
    struct ox_identity who;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = keys->look_up(keys, &cred, &who, &diag);
    if (err == OX_E_UNAUTHENTICATED && ox__api_kind(api, job->req) == OX_API_OPEN) {
        who = nobody;
        err = OX_OK;
    }
    if (err == OX_OK && who.way == OX_WAY_SESSION && job->is_order && !job->csrf)
        err = no_csrf(&diag);
    if (err == OX_OK)
        take_asker(job, &who);
    else
        ox_query_respond_error(&job->answer, err, diag.text, err == OX_E_FORBIDDEN ? NULL : OX__KEY_HINT);
    return err == OX_OK;
}

void
ox__api_run(void *arg)
{
    struct api_job *job = arg;
    const struct ox_api_options *o = &job->port->api->options;
    if (job->stranger) {
        job->found = look_up(job);
        return;
    }
    if (o->operate == NULL || !o->operate(o->ctx, &job->question, &job->answer))
        ox_query_handle(&job->query, &job->question, &job->answer);
}

void
ox__api_orphan(void *arg)
{
    struct api_job *job = arg;
    ox_lock(&job->port->lock);
    job->next = job->port->orphans;
    job->port->orphans = job;
    ox_unlock(&job->port->lock);
}

static void
stop_if_idle(struct api_port *port)
{
    if (port->stopping && port->jobs == 0 && port->self != NULL) {
        port->stopping = false;
        ox_stop_done(port->self);
    }
}

void
ox__api_finish(struct api_job *job)
{
    struct api_port *port = job->port;
    ox__api_leave(job);
    job->req->on_gone = NULL;
    job->req->user = NULL;
    ox__api_send(port->api, job->req, &job->answer);
    job_free(job);
    port->jobs--;
    stop_if_idle(port);
}

/* Back from a query thread: answered, or known whose it is. */
static void
job_done(struct api_job *job)
{
    atomic_fetch_sub_explicit(&job->lane->jobs, 1, memory_order_relaxed);
    job->lane = NULL;
    if (!job->found) {
        ox__api_finish(job);
        return;
    }
    job->stranger = job->found = false;
    job->passes = job->is_order;
    ox__api_admit(job);
}

static void
finish_orphans(struct api_port *port)
{
    ox_lock(&port->lock);
    struct api_job *job = port->orphans;
    port->orphans = NULL;
    ox_unlock(&port->lock);
    while (job != NULL) {
        struct api_job *next = job->next;
        job_done(job);
        job = next;
    }
}

static void
on_gone(struct ox_http_request *req)
{
    struct api_job *job = req->user;
    atomic_store_explicit(&job->cancel, true, memory_order_relaxed);
}

static struct ox_str
body_of(const struct ox_http_request *req)
{
    return req->body != NULL ? (struct ox_str){(const char *)req->body->data, req->body->len}
                             : (struct ox_str){0};
}

/* who: NULL while it is not known. */
static void
question_init(struct api_job *job, struct ox_http_request *req, const struct ox_identity *who)
{
    job->req = req;
    job->query = job->port->query;
    job->csrf = ox__api_csrf_ok(job->port->api, req);
    job->question = (struct ox_query_request){.key_id = job->key_id,
                                              .user = job->user,
                                              .session = ox__api_credential(job->port->api, req).session,
                                              .pending = ox__api_pending(job->port->api, req),
                                              .credential = job->credential,
                                              .peer = req->peer,
                                              .body = body_of(req),
                                              .method = req->method_name,
                                              .path = req->path,
                                              .query = req->query,
                                              .accept = ox_http_header(req, OX_STR("accept")),
                                              .cancel = &job->cancel};
    ox_query_response_init(&job->answer);
    job->stranger = who == NULL;
    if (who != NULL)
        take_asker(job, who);
}

static void
ask(struct api_port *port, struct ox_http_request *req, const struct ox_identity *who, bool is_order)
{
    struct api_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        ox__api_refuse(req, OX_E_NOMEM, NULL, NULL);
        return;
    }
    job->port = port;
    question_init(job, req, who);
    job->is_order = is_order;
    job->passes = is_order || job->stranger;
    req->user = job;
    req->on_gone = on_gone;
    port->jobs++;
    ox__api_admit(job);
    job = NULL; /* it may be answered already */
}

/* ---- the server's hooks ---- */

static void
on_headers(void *ctx, struct ox_http_request *req)
{
    ox_http_request_limit(req, BODY_BYTES_MAX);
}

/* A browser sends this type to another site only after asking it, which is not answered: so a page that an operator
 * happens to look at cannot give orders in the name of this machine. */
static bool
is_json(const struct ox_http_request *req)
{
    struct ox_str type = ox_http_header(req, OX_STR("content-type")), json = OX_STR("application/json");
    return type.n >= json.n && ox_str_caseeq((struct ox_str){type.p, json.n}, json) &&
           (type.n == json.n || type.p[json.n] == ';' || type.p[json.n] == ' ');
}

/* An order that is all in its address needs no type, unless a page may have sent it: browsers put Origin on each POST. */
static bool
is_bare(const struct ox_http_request *req)
{
    return (req->body == NULL || req->body->len == 0) && ox_http_header(req, OX_STR("origin")).n == 0 &&
           ox_http_header(req, OX_STR("sec-fetch-site")).n == 0 &&
           ox_http_header(req, OX_STR("cookie")).n == 0 && ox_http_header(req, OX_STR("content-type")).n == 0;
}

/* Whoever needs no key because he is on this machine must also have asked for this machine: not for a name that another
 * site has made lead here, and not through a proxy that runs here and speaks for others. */
static bool
asks_for_this_machine(const struct ox_http_request *req)
{
    struct ox_str host = req->authority;
    const char *bracket = host.n > 0 && host.p[0] == '[' ? memchr(host.p, ']', host.n) : NULL;
    const char *colon = bracket == NULL ? memchr(host.p != NULL ? host.p : "", ':', host.n) : NULL;
    if (bracket != NULL)
        host.n = (size_t)(bracket + 1 - host.p);
    else if (colon != NULL)
        host.n = (size_t)(colon - host.p);
    return host.n == 0 || ox_str_caseeq(host, OX_STR("localhost")) || ox_str_eq(host, OX_STR("[::1]")) ||
           (host.n > 4 && memcmp(host.p, "127.", 4) == 0);
}

/* The methods that change something; the others get their answer, or that they are not known here. */
static bool
is_order(const struct ox_http_request *req)
{
    return req->method == OX_HTTP_POST || req->method == OX_HTTP_PATCH;
}

/* Whether an order may be looked at at all; else it is answered. is_somebody: it does not come merely from this machine. */
static bool
order_is_sound(struct ox_http_request *req, bool is_somebody)
{
    struct ox_query_response refusal;
    ox_query_response_init(&refusal);
    if (ox_query_refuses_order(req->path, &refusal)) {
        ox__api_send(NULL, req, &refusal);
        return false;
    }
    if (!is_json(req) && !is_bare(req)) {
        ox__api_refuse(req, OX_E_MEDIA_TYPE, "an order is sent as JSON",
                       "send it with content-type: application/json; no page of another site can do that");
        return false;
    }
    if (!is_somebody && !asks_for_this_machine(req)) {
        ox__api_refuse(req, OX_E_FORBIDDEN,
                       "an order without a key is taken only under the name of this machine",
                       "ask http://127.0.0.1 or http://localhost directly, or send an operator's key");
        return false;
    }
    return true;
}

/* Not merely from this machine. Who logs in is nobody yet, and what he shows is his password. */
static bool
is_somebody(const struct ox_http_request *req, const struct ox_identity *who)
{
    return ox_credential_of(req).key.n > 0 || who->way != OX_WAY_KEY || who->role == OX_ROLE_NONE;
}

static ox_err
identify(struct ox_api *api, const struct ox_http_request *req, struct ox_identity *who, struct ox_diag *diag)
{
    enum ox_api_kind kind = ox__api_kind(api, req);
    *who = nobody;
    if (kind == OX_API_LOGIN)
        return OX_OK;
    ox_err err = ox__api_identify(api, req, who, diag);
    if (err == OX_E_UNAUTHENTICATED && kind == OX_API_OPEN) {
        *who = nobody;
        return OX_OK;
    }
    if (err == OX_OK && who->way == OX_WAY_SESSION && is_order(req) && !ox__api_csrf_ok(api, req))
        return no_csrf(diag);
    return err;
}

static void
on_request(void *ctx, struct ox_http_request *req)
{
    struct api_port *port = ctx;
    struct ox_identity who;
    struct ox_diag diag = {0};
    finish_orphans(port);
    if (ox__api_page(port->api, req))
        return;
    ox_err err = identify(port->api, req, &who, &diag);
    if (err != OX_OK && err != OX_E_AGAIN)
        ox__api_refuse(req, err, diag.text, err == OX_E_FORBIDDEN ? NULL : OX__KEY_HINT);
    else if (is_order(req) && !order_is_sound(req, err == OX_E_AGAIN || is_somebody(req, &who)))
        return;
    else if (port->self == NULL || port->stopping)
        ox__api_refuse(req, OX_E_UNAVAILABLE, NULL, NULL);
    else
        ask(port, req, err == OX_OK ? &who : NULL, is_order(req));
}

static void
on_refused(void *ctx, struct ox_http_request *req, ox_err err, const struct ox_diag *diag)
{
    ox__api_refuse(req, err, diag->text, NULL);
}

/* ---- the actor ---- */

static void
forget_self(void *arg)
{
    struct api_port *port = arg;
    port->self = NULL;
    port->stopping = false;
    port->tick = 0;
}

static void
take_limits(struct api_port *port)
{
    const struct ox_api_options *o = &port->api->options;
    port->query = *o->query;
    if (o->limits != NULL)
        o->limits(o->ctx, &port->query.limits);
}

static ox_err
api_on_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct api_port *port = arg;
    *(struct api_port **)ox_actor_state(self) = port;
    ox_err err = ox_actor_defer(self, forget_self, port);
    if (err != OX_OK)
        return err;
    port->self = self;
    port->actor = ox_actor_pid(self);
    take_limits(port);
    finish_orphans(port);
    ox__api_tick(port); /* those that waited when the last incarnation crashed */
    if (port->server != NULL)
        return OX_OK;
    struct ox_http_server_options options = {
        .ctx = port,
        .on_headers = on_headers,
        .on_request = on_request,
        .on_refused = on_refused,
        .census = port->api->census,
        .tls = port->api->options.tls,
    };
    return ox_http_server_start(ox_actor_loop(self), port->api->options.listen_fd, &options, &port->server,
                                diag);
}

static void
on_drained(void *ctx)
{
    struct api_port *port = ctx;
    atomic_store_explicit(&port->drained, true, memory_order_release);
}

static void
api_on_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct api_port *port = *(struct api_port **)ox_actor_state(self);
    if (msg->kind == OX__API_DONE) {
        struct api_job *job = msg->data;
        msg->data = NULL;
        job_done(job);
    } else if (msg->kind == OX__API_GO) {
        ox__api_take_granted(port);
    } else if (msg->kind == OX__API_TICK) {
        ox__api_tick(port);
    } else if (msg->kind == OX_K_configure) {
        take_limits(port);
        ox_reply_num(ox_call_from(msg), OX_K_configured, OX_OK, msg->num);
    } else if (msg->kind == OX__API_DRAIN && port->server != NULL) {
        ox_http_server_drain(port->server, on_drained, port);
    }
}

/* Questions on query threads hold requests: the server goes first, which makes them gone, then they come back. */
static void
api_on_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct api_port *port = *(struct api_port **)ox_actor_state(self);
    if (port->server != NULL)
        ox_http_server_close(port->server, NULL, NULL);
    port->server = NULL;
    finish_orphans(port);
    ox__api_turn_away(port);
    if (port->jobs > 0) {
        port->stopping = true;
        ox_stop_hold(self);
    }
}

static const struct ox_actor_class api_class = {
    .name = "api",
    .state_size = sizeof(struct api_port *),
    .flags = OX_ACTOR_PINNED,
    .on_start = api_on_start,
    .on_message = api_on_message,
    .on_stop = api_on_stop,
};

/* ---- starting and stopping ---- */

static ox_err
add_lanes(struct ox_api *api)
{
    ox_err err = OX_OK;
    api->n_lanes = api->options.concurrency;
    api->lanes = calloc(api->n_lanes, sizeof(*api->lanes));
    if (api->lanes == NULL)
        return OX_E_NOMEM;
    uint32_t waiting = api->options.waiting_max / api->n_lanes;
    for (uint32_t i = 0; err == OX_OK && i < api->n_lanes; i++)
        err = ox_lane_new("query", waiting > 0 ? waiting : 1, &api->lanes[i].lane);
    if (err == OX_OK)
        err = ox_lane_new("secrets", SLOW_WAITING, &api->slow.lane);
    if (err == OX_OK)
        err = ox_lane_new("logins", SLOW_WAITING, &api->logins.lane);
    return err;
}

static ox_err
add_port(struct ox_api *api, uint32_t index, ox_pid sup, struct ox_diag *diag)
{
    struct api_port *port = &api->ports[index];
    char name[32];
    port->api = api;
    pthread_mutex_init(&port->lock, NULL);
    snprintf(name, sizeof(name), "api/%u", index);
    struct ox_child_spec spec = {.id = name,
                                 .class = &api_class,
                                 .arg = port,
                                 .name = name,
                                 .loop = OX_LOOP(index),
                                 .restart = OX_RESTART_PERMANENT,
                                 .shutdown_ms = SHUTDOWN_MS,
                                 /* nobody could lift a quarantine of the port that lifts quarantines */
                                 .past_intensity = OX_SUP_ESCALATE};
    return ox_sup_add_wait(sup, &spec, &port->actor, diag);
}

/* Asked when somebody scrapes. */
static double
questions_waiting(void *gate)
{
    return ox__gate_waiting(gate);
}

ox_err
ox_api_start(const struct ox_api_options *options, ox_pid sup, struct ox_api **out, struct ox_diag *diag)
{
    struct ox_api *api = calloc(1, sizeof(*api));
    *out = api;
    if (api == NULL)
        return OX_E_NOMEM;
    api->options = *options;
    if (api->options.concurrency == 0)
        api->options.concurrency = CONCURRENCY_DEFAULT;
    if (api->options.waiting_max == 0)
        api->options.waiting_max = WAITING_DEFAULT;
    api->census = ox_http_census_new();
    api->gate = ox__gate_new();
    api->ports = calloc(ox_runtime_loops(), sizeof(*api->ports));
    if (api->census == NULL || api->ports == NULL || api->gate == NULL)
        return OX_E_NOMEM;
    ox_metric_probe(OX_M_query_waiting, questions_waiting, api->gate);
    ox_err err = add_lanes(api);
    for (uint32_t i = 0; err == OX_OK && i < ox_runtime_loops(); i++) {
        err = add_port(api, i, sup, diag);
        api->n_ports++;
    }
    return err;
}

void
ox_api_drain(struct ox_api *api)
{
    for (uint32_t i = 0; i < api->n_ports; i++)
        if (ox_cast(api->ports[i].actor, OX__API_DRAIN, 0) != OX_OK)
            OX_LOG_WARN("api", "an API port cannot be asked to finish; it is closed with the node");
}

bool
ox_api_drained(struct ox_api *api)
{
    for (uint32_t i = 0; i < api->n_ports; i++)
        if (!atomic_load_explicit(&api->ports[i].drained, memory_order_acquire))
            return false;
    return true;
}

void
ox_api_free(struct ox_api *api)
{
    if (api == NULL)
        return;
    for (uint32_t i = 0; i < api->n_ports; i++)
        pthread_mutex_destroy(&api->ports[i].lock);
    ox_http_census_free(api->census);
    ox__gate_free(api->gate);
    free(api->lanes);
    free(api->ports);
    free(api);
}
