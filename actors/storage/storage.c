/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/storage.c - the client: opening, the pool of connections, queries.
 *
 * Owns:    options and idle connections.
 * Threads: dirty threads; the pool is behind a lock that is never held while anything blocks.
 * Bounds:  connections_max idle connections.
 * Fails:   see include/ox/storage.h.
 * Flow:    actors/writer, actors/query, cmd/ -> here -> storage_gate.c, storage_call.c.
 */
#include "actors/storage/storage.h"
#include "ox/lock.h"

#include <stdio.h>
#include <stdlib.h>

#define RESULT_BYTES_MAX   (256u << 20)
#define CONNECT_TIMEOUT_MS 5000
#define REQUEST_TIMEOUT_MS 60000
#define CONNECTIONS_MAX    16
/* How much longer than the statement itself its answer is waited for. */
#define ANSWER_GRACE_MS 1000

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void
init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *
copy_or(const char *text, const char *fallback)
{
    return strdup(text != NULL ? text : fallback);
}

/* unix:PATH, http://HOST[:PORT][/], https://... */
static ox_err
parse_url(struct ox_storage *st, const char *url, struct ox_diag *diag)
{
    if (url != NULL && strncmp(url, "unix:", 5) == 0 && url[5] != '\0') {
        st->socket_path = strdup(url + 5);
        st->base = strdup("http://localhost/");
        return st->socket_path != NULL && st->base != NULL ? OX_OK : OX_E_NOMEM;
    }
    size_t scheme = url == NULL                        ? 0
                    : strncmp(url, "http://", 7) == 0  ? 7
                    : strncmp(url, "https://", 8) == 0 ? 8
                                                       : 0;
    const char *host = url != NULL ? url + scheme : "";
    size_t n = strcspn(host, "/");
    if (scheme == 0 || n == 0 || (host[n] != '\0' && host[n + 1] != '\0') || strchr(host, '@') != NULL)
        return ox_diag_set(
            diag, OX_E_CONFIG, "storage.url", -1,
            "\"%s\" is not unix:/path/to/socket, http://host:port or https://host:port (user and "
            "password are settings of their own)",
            url != NULL ? url : "");
    struct ox_buf base = {0};
    ox_buf_append(&base, url, scheme + n);
    ox_buf_append(&base, "/", 2);
    st->base = (char *)base.data;
    return base.failed ? OX_E_NOMEM : OX_OK;
}

ox_err
ox_storage_open(const struct ox_storage_options *options, struct ox_storage **out, struct ox_diag *diag)
{
    pthread_once(&curl_once, init_curl);
    *out = NULL;
    struct ox_storage *st = calloc(1, sizeof(*st));
    if (st == NULL)
        return OX_E_NOMEM;
    pthread_mutex_init(&st->lock, NULL);
    ox_err err = parse_url(st, options->url, diag);
    ox__gate_init(st, options); /* which shows the breaker under the address */
    st->database = copy_or(options->database, "observex");
    st->user = copy_or(options->user, "default");
    st->key = copy_or(options->key, "");
    st->system_secret = copy_or(options->system_secret, options->key != NULL ? options->key : "");
    st->ca_file = options->ca_file != NULL ? strdup(options->ca_file) : NULL;
    st->connect_timeout_ms =
        options->connect_timeout_ms != 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    st->request_timeout_ms =
        options->request_timeout_ms != 0 ? options->request_timeout_ms : REQUEST_TIMEOUT_MS;
    st->plain = options->plain;
    st->walled = options->walled;
    st->idle_max = options->connections_max != 0 ? options->connections_max : CONNECTIONS_MAX;
    st->idle = calloc(st->idle_max, sizeof(*st->idle));
    bool complete = st->database != NULL && st->user != NULL && st->key != NULL &&
                    st->system_secret != NULL && st->idle != NULL &&
                    (st->ca_file != NULL || options->ca_file == NULL);
    if (err == OX_OK && !complete)
        err = ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the storage client");
    if (err != OX_OK) {
        ox_storage_close(st);
        return err;
    }
    *out = st;
    return OX_OK;
}

static void
link_close(struct ox__link link)
{
    if (link.easy != NULL)
        curl_easy_cleanup(link.easy);
    if (link.multi != NULL)
        curl_multi_cleanup(link.multi);
}

void
ox_storage_abandon(struct ox_storage *st)
{
    atomic_store_explicit(&st->abandoned, true, memory_order_relaxed);
}

void
ox_storage_close(struct ox_storage *st)
{
    if (st == NULL)
        return;
    for (size_t i = 0; i < st->idle_n; i++)
        link_close(st->idle[i]);
    free(st->idle);
    free(st->base);
    free(st->socket_path);
    free(st->database);
    free(st->user);
    free(st->key);
    free(st->system_secret);
    free(st->ca_file);
    pthread_mutex_destroy(&st->lock);
    free(st);
}

ox_err
ox__storage_acquire(struct ox_storage *st, struct ox__link *out)
{
    *out = (struct ox__link){NULL, NULL, false};
    ox_lock(&st->lock);
    if (st->idle_n > 0)
        *out = st->idle[--st->idle_n];
    ox_unlock(&st->lock);
    if (out->easy != NULL)
        return OX_OK;
    out->easy = curl_easy_init();
    out->multi = curl_multi_init();
    if (out->easy != NULL && out->multi != NULL)
        return OX_OK;
    link_close(*out);
    return OX_E_NOMEM;
}

void
ox__storage_release(struct ox_storage *st, struct ox__link link, bool broken)
{
    if (!broken) {
        ox_lock(&st->lock);
        if (st->idle_n < st->idle_max) {
            link.used = true;
            st->idle[st->idle_n++] = link;
            link = (struct ox__link){NULL, NULL, false};
        }
        ox_unlock(&st->lock);
    }
    link_close(link);
}

ox_err
ox_storage_ping(struct ox_storage *st, unsigned timeout_ms, struct ox_diag *diag)
{
    struct ox__call call = {.st = st, .timeout_ms = timeout_ms != 0 ? timeout_ms : 1000, .ping = true};
    ox_buf_append_cstr(&call.url, st->base);
    ox_buf_append_cstr(&call.url, "ping");
    ox_err err = ox__call_perform(&call, diag);
    ox__call_fini(&call);
    return err;
}

static void
add_limit(struct ox__call *call, const char *name, uint64_t value)
{
    if (value != 0)
        ox__call_number(call, name, value);
}

static void
add_limits(struct ox__call *call, const struct ox_storage_query *q)
{
    char seconds[32];
    if (q->max_execution_ms != 0) {
        unsigned ms = q->max_execution_ms;
        int n = call->st->plain
                    ? snprintf(seconds, sizeof(seconds), "%u", (ms + 999) / 1000) /* no fractions */
                    : snprintf(seconds, sizeof(seconds), "%u.%03u", ms / 1000, ms % 1000);
        ox__call_param(call, "", "max_execution_time", (struct ox_str){seconds, (size_t)n});
        call->timeout_ms = (call->st->plain ? (ms + 999) / 1000 * 1000 : ms) + ANSWER_GRACE_MS;
    }
    add_limit(call, "max_rows_to_read", q->max_rows_to_read);
    add_limit(call, "max_bytes_to_read", q->max_bytes_to_read);
    add_limit(call, "max_memory_usage", q->max_memory_bytes);
    if (q->max_result_rows != 0) {
        ox__call_number(call, "max_result_rows", q->max_result_rows);
        ox__call_param(call, "", "result_overflow_mode", OX_STR("throw"));
    }
    /* A server cancels a reading statement of a client that is gone only when asked to; the engine always. */
    if (!call->st->plain)
        ox__call_number(call, "cancel_http_readonly_queries_on_client_close", 1);
}

static void
add_params(struct ox__call *call, const struct ox_storage_query *q)
{
    struct ox_buf escaped = {0};
    for (size_t i = 0; i < q->params_n; i++) {
        ox_buf_reset(&escaped);
        if (ox__storage_param_is_compound(q->sql, q->params[i].name))
            ox_buf_append_str(&escaped, q->params[i].value);
        else
            ox__storage_escape_param(&escaped, q->params[i].value);
        ox__call_param(call, "param_", q->params[i].name, ox_buf_str(&escaped));
        call->url.failed |= escaped.failed;
    }
    ox_buf_fini(&escaped);
}

/* libcurl stops on a URL beyond 8 MB, the engine at 256 KiB, other servers at 1 MiB: say it before they do. */
static ox_err
check_url(const struct ox__call *call, struct ox_diag *diag)
{
    if (call->url.failed)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the request");
    if (call->url.len > 200 * 1024)
        return ox_diag_set(diag, OX_E_TOO_LARGE, NULL, -1,
                           "the parameters and settings of the query take %zu bytes, more than 200 KiB",
                           call->url.len);
    return OX_OK;
}

/* Behind everything that the caller may have set, so that it stands last. */
static void
add_wall(struct ox__call *call, const struct ox_tenant_id *tenant)
{
    struct ox_buf wall = {0};
    if (!call->st->walled || tenant == NULL)
        return;
    ox__storage_wall(&wall, call->st->database, tenant);
    ox__call_param(call, "", "additional_table_filters", ox_buf_str(&wall));
    call->url.failed |= wall.failed;
    ox_buf_fini(&wall);
}

ox_err
ox_storage_stream(struct ox_storage *st, const struct ox_storage_query *query, ox_storage_chunk_fn on_chunk,
                  void *arg, struct ox_storage_stats *stats, struct ox_diag *diag)
{
    struct ox__call call;
    ox__call_begin(&call, st, query->tenant);
    ox__call_param(&call, "", "default_format",
                   ox_str_of(query->format != NULL ? query->format : "TabSeparated"));
    add_limits(&call, query);
    add_params(&call, query);
    for (size_t i = 0; i < query->settings_n; i++)
        ox__call_param(&call, "", query->settings[i].name, ox_str_of(query->settings[i].value));
    add_wall(&call, query->tenant);
    if (query->query_id != NULL)
        ox__call_param(&call, "", "query_id", ox_str_of(query->query_id));
    call.body = query->sql.p;
    call.body_len = query->sql.n;
    call.cancel = query->cancel;
    call.exception = query->exception;
    call.sink = on_chunk;
    call.sink_arg = arg;
    ox_err err = check_url(&call, diag);
    if (err == OX_OK)
        err = ox__gate_perform(&call, diag);
    /* With a budget of its own, "241" is the query's fault, not the server's state. */
    if (err == OX_E_STORAGE_BUSY && call.stats.code == 241 && query->max_memory_bytes != 0)
        err = OX_E_STORAGE_BUDGET;
    if (stats != NULL)
        *stats = call.stats;
    ox__call_fini(&call);
    return err;
}

struct collector {
    struct ox_buf *out;
    size_t start;
    size_t max;
    bool too_large;
};

static bool
collect(void *arg, const void *bytes, size_t n)
{
    struct collector *c = arg;
    if (n > c->max - (c->out->len - c->start)) {
        c->too_large = true;
        return false;
    }
    ox_buf_append(c->out, bytes, n);
    return !c->out->failed;
}

ox_err
ox_storage_query(struct ox_storage *st, const struct ox_storage_query *query, struct ox_buf *out,
                 struct ox_storage_stats *stats, struct ox_diag *diag)
{
    struct collector c = {out, out->len,
                          query->max_result_bytes != 0 ? query->max_result_bytes : RESULT_BYTES_MAX, false};
    ox_err err = ox_storage_stream(st, query, collect, &c, stats, diag);
    if (c.too_large)
        err = ox_diag_set(diag, OX_E_TOO_LARGE, NULL, -1,
                          "the result is larger than %zu bytes: narrow the query or lower its limit of rows",
                          c.max);
    else if (out->failed)
        err = ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the result");
    if (err != OX_OK)
        out->len = c.start;
    return err;
}
