/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/api_pages.c - the API port's own pages, and how answers and refusals leave.
 *
 * Owns:    the answer's bytes until the server has them.
 * Threads: the port's loop.
 * Bounds:  the number of metric series (ox/metric.h).
 * Fails:   always answers.
 * Flow:    api_actor.c -> here -> runtime/net.
 */
#include <stdio.h>

#include "actors/query/api_internal.h"
#include "actors/query/query_json.h"
#include "ox/keystore.h"
#include "ox/metric.h"

void
ox__api_send(const struct ox_api *api, struct ox_http_request *req, struct ox_query_response *answer)
{
    char retry[16], cookie[160], pending[320];
    struct ox_http_header headers[7];
    size_t n = 0;
    headers[n++] = (struct ox_http_header){OX_STR("content-type"), ox_str_of(answer->content_type)};
    headers[n++] = (struct ox_http_header){OX_STR("cache-control"), OX_STR("no-store")};
    if (answer->allow != NULL)
        headers[n++] = (struct ox_http_header){OX_STR("allow"), ox_str_of(answer->allow)};
    if (answer->retry_after_s != 0) {
        snprintf(retry, sizeof(retry), "%u", answer->retry_after_s);
        headers[n++] = (struct ox_http_header){OX_STR("retry-after"), ox_str_of(retry)};
    }
    if (answer->session != NULL) {
        ox__api_cookie(api, answer->session, cookie, sizeof(cookie));
        headers[n++] = (struct ox_http_header){OX_STR("set-cookie"), ox_str_of(cookie)};
    }
    if (answer->pending != NULL) {
        ox__api_pending_cookie(api, answer->pending, pending, sizeof(pending));
        headers[n++] = (struct ox_http_header){OX_STR("set-cookie"), ox_str_of(pending)};
    }
    if (answer->location != NULL)
        headers[n++] = (struct ox_http_header){OX_STR("location"), ox_str_of(answer->location)};
    struct ox_http_response resp = {.status = answer->status, .headers = headers, .headers_len = n};
    if (answer->body.failed)
        resp.status = 429;
    else
        resp.body = &answer->body;
    ox_http_respond(req, &resp);
    ox_query_response_fini(answer);
}

void
ox__api_refuse(struct ox_http_request *req, ox_err err, const char *message, const char *hint)
{
    struct ox_query_response answer;
    ox_query_response_init(&answer);
    ox_query_respond_error(&answer, err, message, hint);
    if (err == OX_E_METHOD)
        answer.allow = "GET, HEAD";
    ox__api_send(NULL, req, &answer);
}

static void
page_health(struct ox_api *api, struct ox_query_response *answer)
{
    ox_buf_append_cstr(&answer->body, "{\"status\":\"ok\"}");
}

/* One string per line of `text`. */
static void
write_lines(struct ox__json *j, struct ox_str text)
{
    while (text.n > 0) {
        const char *stop = memchr(text.p, '\n', text.n);
        size_t n = stop != NULL ? (size_t)(stop - text.p) : text.n;
        if (n > 0)
            ox__qjson_str(j, (struct ox_str){text.p, n});
        n += stop != NULL;
        text.p += n;
        text.n -= n;
    }
}

static void
page_ready(struct ox_api *api, struct ox_query_response *answer)
{
    struct ox_buf reasons, notes;
    struct ox__json j;
    ox_buf_init(&reasons);
    ox_buf_init(&notes);
    if (api->options.notes != NULL)
        api->options.notes(api->options.ctx, &notes);
    if (api->options.not_ready != NULL)
        api->options.not_ready(api->options.ctx, &reasons);
    bool ready = reasons.len == 0 && !reasons.failed;
    answer->status = ready ? 200 : 503;
    answer->retry_after_s = ready ? 0 : 1;
    ox__qjson_init(&j, &answer->body);
    ox__qjson_begin(&j, '{');
    ox__qjson_kbool(&j, "ready", ready);
    ox__qjson_open(&j, "reasons", '[');
    write_lines(&j, ox_buf_str(&reasons));
    ox__qjson_end(&j, ']');
    if (notes.len > 0) {
        ox__qjson_open(&j, "notes", '[');
        write_lines(&j, ox_buf_str(&notes));
        ox__qjson_end(&j, ']');
    }
    ox__qjson_end(&j, '}');
    ox_buf_fini(&notes);
    ox_buf_fini(&reasons);
}

static void
page_metrics(struct ox_api *api, struct ox_query_response *answer)
{
    answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    ox_metric_text(&answer->body);
}

static void
write_route(struct ox__json *j, const char *method, const char *path, const char *doc)
{
    ox__qjson_begin(j, '{');
    ox__qjson_kcstr(j, "method", method);
    ox__qjson_kcstr(j, "path", path);
    ox__qjson_kcstr(j, "doc", doc);
    ox__qjson_end(j, '}');
}

static void
page_index(struct ox_api *api, struct ox_query_response *answer)
{
    size_t n;
    const struct ox_query_route *routes = ox_query_routes(&n);
    struct ox__json j;
    ox__qjson_init(&j, &answer->body);
    ox__qjson_begin(&j, '{');
    ox__qjson_kcstr(&j, "name", "ObserveX");
    ox__qjson_kcstr(&j, "version",
                    api->options.query->version != NULL ? api->options.query->version : "unknown");
    ox__qjson_open(&j, "routes", '[');
    for (size_t i = 0; i < n; i++)
        write_route(&j, routes[i].method, routes[i].pattern, routes[i].doc);
    write_route(&j, "GET", "/health", "whether the process lives");
    write_route(&j, "GET", "/ready", "whether it takes traffic, and why not");
    ox__qjson_end(&j, ']');
    ox__qjson_end(&j, '}');
}

static const struct {
    const char *path;
    void (*write)(struct ox_api *api, struct ox_query_response *answer);
} pages[] = {
    {"/", NULL}, /* the console */
    {"/api/v1", page_index},
    {"/api", page_index},
    {"/health", page_health},
    {"/ready", page_ready},
    {"/metrics", page_metrics},
};

bool
ox__api_page(struct ox_api *api, struct ox_http_request *req)
{
    struct ox_query_response answer;
    for (size_t i = 0; i < OX_COUNT(pages); i++) {
        if (!ox_str_eq(req->path, ox_str_of(pages[i].path)) || ox_query_is_route(req->path, req->query))
            continue;
        if (req->method != OX_HTTP_GET && req->method != OX_HTTP_HEAD) {
            ox__api_refuse(req, OX_E_METHOD, "this path is read with GET", NULL);
            return true;
        }
        if (pages[i].write == NULL) {
            ox__api_console(req);
            return true;
        }
        ox_query_response_init(&answer);
        pages[i].write(api, &answer);
        ox__api_send(api, req, &answer);
        return true;
    }
    return false;
}

ox_err
ox__api_identify(struct ox_api *api, const struct ox_http_request *req, struct ox_identity *who,
                 struct ox_diag *diag)
{
    struct ox_credential credential = ox__api_credential(api, req);
    *who = (struct ox_identity){.role = OX_ROLE_NONE};
    return api->options.keys->identify(api->options.keys, &credential, who, diag);
}
