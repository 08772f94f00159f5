/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/server.c - one connection: requests in, each with its key, one reply each.
 *
 * Owns:    the connection.
 * Threads: one per connection.
 * Bounds:  see http.h.
 * Flow:    engine_main.c accepts -> here -> statement.c.
 *
 * Nothing but /ping is answered without the secret: the socket is private to the owner of the directory, and
 * the key keeps it so even where the socket is reached by other means.
 */
#include "engine/engine.h"

#include <stdlib.h>

#define IO_TIMEOUT_MS 60000

static const char text_plain[] = "text/plain; charset=UTF-8";

static bool
is_ping(const struct ox__request *request)
{
    return ox_str_eq(request->path, OX_STR("/ping")) || ox_str_eq(request->path, OX_STR("/replicas_status"));
}

/* Answers what never reaches a statement; false when it did. */
static bool
passes_the_door(struct ox__engine *engine, struct ox__conn *conn, struct ox__request *request,
                enum ox__role *role)
{
    struct ox_str comment = ox__http_param(request, "log_comment");
    if (!ox__secret_equal(request->key, engine->options->secret)) {
        ox__reply_refusal(conn, OX__CODE_AUTHENTICATION, "AUTHENTICATION_FAILED",
                          "Authentication failed: the header " OX_ENGINE_KEY_HEADER
                          " must carry this boot's secret");
    } else if (ox__role_of(comment, engine->options->secret, role) != OX_OK) {
        ox__reply_refusal(conn, OX__CODE_AUTHENTICATION, "AUTHENTICATION_FAILED",
                          "log_comment must be t:<tenant> or s:<secret>");
    } else if (!ox_str_eq(request->path, OX_STR("/"))) {
        ox__conn_reply(conn, 404, text_plain, NULL, OX_STR("There is / and /ping.\n"));
    } else if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "POST") != 0) {
        ox__conn_reply(conn, 405, text_plain, NULL, OX_STR("GET and POST are understood.\n"));
    } else if (atomic_load_explicit(&engine->stopping, memory_order_acquire)) {
        /* acquire: pairs with the main thread's store before it starts to wait for running statements */
        ox__reply_refusal(conn, OX__CODE_ABORTED, "ABORTED", "The engine is stopping");
    } else {
        return true;
    }
    return false;
}

static void
serve_ping(struct ox__conn *conn, int *status, struct ox_diag *diag)
{
    /* A ping without body keeps the connection; one with a body loses it, unread. */
    if (!ox__conn_has_body(conn) && ox__conn_read_body(conn, status, diag) != OX__HTTP_OK)
        return;
    ox__conn_reply(conn, 200, text_plain, NULL, OX_STR("Ok.\n"));
}

static void
serve_request(struct ox__engine *engine, struct ox__conn *conn)
{
    struct ox__request *request;
    struct ox_diag diag;
    enum ox__role role;
    int status;
    ox_diag_clear(&diag);
    enum ox__http_step step = ox__conn_read_head(conn, &request, &status, &diag);
    if (step == OX__HTTP_OK && is_ping(request)) {
        serve_ping(conn, &status, &diag);
        return;
    }
    if (step == OX__HTTP_OK && !passes_the_door(engine, conn, request, &role))
        return;
    if (step == OX__HTTP_OK)
        step = ox__conn_read_body(conn, &status, &diag);
    if (step == OX__HTTP_OK) {
        ox__statement_run(engine, conn, request, role);
    } else if (step == OX__HTTP_BAD && status != 0) {
        struct ox_buf body = {0};
        ox_buf_printf(&body, "%s\n", diag.text);
        ox__conn_reply(conn, status, text_plain, NULL, ox_buf_str(&body));
        ox_buf_fini(&body);
    }
}

void
ox__serve_connection(struct ox__engine *engine, int fd)
{
    struct ox__conn_limits limits = {
        .body_bytes_max = engine->limits.body_bytes_max,
        .idle_timeout_ms = (int)engine->limits.idle_timeout_ms,
        .io_timeout_ms = IO_TIMEOUT_MS,
        .stop_fd = engine->stop_fd,
    };
    struct ox__conn *conn = ox__conn_new(fd, &limits);
    if (conn == NULL)
        return;
    while (ox__conn_alive(conn))
        serve_request(engine, conn);
    ox__conn_free(conn);
}
