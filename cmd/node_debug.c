/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_debug.c - the debug port: who runs in this node, and how its mailboxes stand. Loopback only.
 *
 * Owns:    one HTTP server on loop 0, for the life of the process.
 * Threads: the server on loop 0; the supervision tree is asked on a dirty thread, since supervisors answer by message.
 * Bounds:  CHILDREN_SHOWN children per supervisor, ASK_MS per question.
 * Fails:   a supervisor that does not answer is shown as such.
 */
#include <malloc.h>
#include <stdlib.h>

#include "cmd/node_internal.h"
#include "ox/fault.h"
#include "ox/http.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/otlp.h"
#include "ox/runtime.h"
#include "ox/supervisor.h"

#define CHILDREN_SHOWN 1000
#define ASK_MS         2000
#define KIND_TREE      0x10000u /* beside tbl/messages.h: the node's hooks see messages of all actors */

struct debug_port {
    struct node_main *main;
    ox_pid actor;
    struct ox_http_server *server;
};

/* One question on its way to a dirty thread and back. */
struct tree_job {
    struct debug_port *port;
    struct ox_http_request *req;
    struct ox_buf json;
};

static struct debug_port debug;

static void
tree_job_free(void *arg)
{
    struct tree_job *job = arg;
    if (job->req != NULL)
        ox_http_request_abort(job->req);
    ox_buf_fini(&job->json);
    free(job);
}

static void show_supervisor(ox_pid sup, struct ox_buf *json);

static void
show_child(const struct ox_child_info *child, struct ox_buf *json)
{
    uint32_t msgs = 0;
    uint64_t bytes = 0;
    ox_err err = ox_mailbox_depth(child->pid, &msgs, &bytes);
    ox_buf_append_cstr(json, "{\"id\":");
    ox_json_string(json, ox_str_of(child->id));
    ox_buf_printf(json, ",\"class\":\"%s\",\"state\":\"%s\",\"restarts\":%u,\"crashes\":%u",
                  child->class_name, ox_child_state_name(child->state), child->restarts, child->crashes);
    ox_buf_printf(
        json, ",\"restart\":\"%s\",\"shutdown_ms\":%lld,\"past_intensity\":\"%s\",\"crashes_count\":\"%s\"",
        ox_restart_name(child->restart),
        child->shutdown_ms == OX_SHUTDOWN_BRUTAL ? 0LL : (long long)child->shutdown_ms,
        child->past_intensity == OX_SUP_ESCALATE ? "escalate" : "quarantine",
        child->intensity == OX_SUP_PER_PROGRESS ? "since progress" : "in the window");
    if (child->cause.tenant != 0)
        ox_buf_printf(json, ",\"weight\":%u", ox_tenant_weight(child->cause.tenant));
    if (err == OX_OK)
        ox_buf_printf(json, ",\"mailbox\":{\"messages\":%u,\"bytes\":%llu,\"fill\":%.3f}", msgs,
                      (unsigned long long)bytes, ox_mailbox_fill(child->pid));
    if (child->type == OX_CHILD_SUPERVISOR) {
        ox_buf_append_cstr(json, ",");
        show_supervisor(child->pid, json);
    }
    ox_buf_append_cstr(json, "}");
}

/* The members "counts" and "children" of a supervisor. */
static void
show_supervisor(ox_pid sup, struct ox_buf *json)
{
    struct ox_msg *reply = NULL;
    ox_err err = ox_sup_ask(sup, OX_SUP_WHICH, NULL, 0, ASK_MS, &reply);
    if (err != OX_OK || reply == NULL || reply->data == NULL) {
        ox_buf_printf(json, "\"error\":\"%s\"", ox_err_text(err));
        ox_msg_free(reply);
        return;
    }
    const struct ox_children *c = reply->data;
    ox_buf_printf(
        json, "\"counts\":{\"specs\":%u,\"active\":%u,\"supervisors\":%u,\"workers\":%u,\"quarantined\":%u},",
        c->counts.specs, c->counts.active, c->counts.supervisors, c->counts.workers, c->counts.quarantined);
    ox_buf_append_cstr(json, "\"children\":[");
    for (uint32_t i = 0; i < c->n && i < CHILDREN_SHOWN; i++) {
        if (i > 0)
            ox_buf_append_cstr(json, ",");
        show_child(&c->child[i], json);
    }
    ox_buf_printf(json, "],\"truncated\":%s", c->n > CHILDREN_SHOWN ? "true" : "false");
    ox_msg_free(reply);
}

static void
tree_run(void *arg)
{
    struct tree_job *job = arg;
    ox_buf_printf(&job->json, "{\"actors\":%u,\"loops\":%u,\"supervisor\":\"node\",", ox_runtime_actors(),
                  ox_runtime_loops());
    const struct ox_config *cfg = &job->port->main->config;
    ox_buf_printf(&job->json, "\"max_restarts\":%lld,\"window_ms\":%lld,\"backoff_ms\":[%lld,%lld],",
                  (long long)cfg->supervisor_max_restarts, (long long)cfg->supervisor_restart_window_ms,
                  (long long)cfg->supervisor_backoff_min_ms, (long long)cfg->supervisor_backoff_max_ms);
    show_supervisor(job->port->main->root, &job->json);
    ox_buf_append_cstr(&job->json, "}\n");
}

static void
answer(struct ox_http_request *req, int status, const char *type, struct ox_buf *body)
{
    struct ox_http_header header = {OX_STR("content-type"), ox_str_of(type)};
    struct ox_http_response resp = {.status = status, .headers = &header, .headers_len = 1, .body = body};
    ox_http_respond(req, &resp);
    ox_buf_fini(body);
}

/* What malloc has given out. */
static void
show_memory(struct ox_http_request *req, struct ox_buf *body)
{
    struct mallinfo2 m = mallinfo2();
    ox_buf_printf(body, "{\"malloc_bytes\":%llu}\n", (unsigned long long)(m.uordblks + m.hblkhd));
    answer(req, 200, "application/json", body);
}

static bool
starts_with(struct ox_str path, const char *head)
{
    size_t n = strlen(head);
    return path.n > n && memcmp(path.p, head, n) == 0;
}

/* POST /debug/fault/KIND/FAULT arms it, GET /debug/fault/KIND tells whether it has struck; see ox/fault.h. */
static void
on_fault(struct ox_http_request *req, struct ox_str what)
{
    const char *slash = memchr(what.p, '/', what.n);
    struct ox_str kind = {what.p, slash != NULL ? (size_t)(slash - what.p) : what.n};
    if (req->method != OX_HTTP_POST || slash == NULL) {
        ox_http_respond_text(req, 200, NULL, ox_fault_is_armed(kind) ? OX_STR("armed\n") : OX_STR("no\n"));
        return;
    }
    ox_err err = ox_fault_arm(kind, (struct ox_str){slash + 1, what.n - kind.n - 1});
    ox_http_respond_text(req, ox_err_info(err)->http_status, NULL,
                         err == OX_OK ? OX_STR("armed\n")
                                      : OX_STR("not armed: include/ox/fault.h says how\n"));
}

/* Its message was not handled: the actor crashed, or the node stops. */
static void
drop_request(void *arg)
{
    ox_http_request_abort(arg);
}

static void
on_request(void *ctx, struct ox_http_request *req)
{
    static const char fault[] = "/debug/fault/";
    struct debug_port *port = ctx;
    struct ox_buf body;
    ox_buf_init(&body);
    if (!req->is_loopback) {
        ox_http_respond_text(req, 403, NULL, OX_STR("the debug port answers this machine only\n"));
    } else if (ox_str_eq(req->path, OX_STR("/metrics"))) {
        ox_metric_text(&body);
        answer(req, 200, "text/plain; version=0.0.4", &body);
    } else if (ox_str_eq(req->path, OX_STR("/debug/memory"))) {
        show_memory(req, &body);
    } else if (ox_fault_may_arm() && starts_with(req->path, fault)) {
        on_fault(req, (struct ox_str){req->path.p + strlen(fault), req->path.n - strlen(fault)});
    } else if (ox_str_eq(req->path, OX_STR("/debug/actors"))) {
        struct ox_msg *msg = ox_msg_new(KIND_TREE, req, 0, drop_request);
        if (msg == NULL || ox_send(port->actor, &msg) != OX_OK) {
            if (msg != NULL)
                msg->data = NULL;
            ox_msg_free(msg);
            ox_http_respond_text(req, 503, NULL, OX_STR("the debug actor is not there; try again\n"));
        }
    } else {
        ox_http_respond_text(
            req, 404, NULL,
            OX_STR("/debug/actors  the supervision tree with states, restarts and mailboxes (JSON)\n"
                   "/debug/memory  bytes that malloc has given out (JSON)\n"
                   "/metrics       the same text as on the API port\n"));
    }
}

static ox_err
debug_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct debug_port *port = arg;
    *(struct debug_port **)ox_actor_state(self) = port;
    port->actor = ox_actor_pid(self);
    if (port->server != NULL) /* outlives the actor's crashes */
        return OX_OK;
    struct ox_http_server_options options = {.ctx = port, .on_request = on_request, .connections_max = 64};
    return ox_http_server_start(ox_actor_loop(self), port->main->fds.fd_debug, &options, &port->server, diag);
}

static void
on_tree(struct ox_actor *self, struct debug_port *port, struct ox_http_request *req)
{
    struct tree_job *job = calloc(1, sizeof(*job));
    if (job != NULL) {
        job->port = port;
        job->req = req;
        if (ox_dirty_submit(self, NULL, tree_run, job, KIND_TREE + 1, tree_job_free, NULL) == OX_OK)
            return;
        job->req = NULL;
        tree_job_free(job);
    }
    ox_http_respond_text(req, 503, NULL, OX_STR("no thread is free; try again\n"));
}

static void
debug_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct debug_port *port = *(struct debug_port **)ox_actor_state(self);
    if (msg->kind == KIND_TREE) {
        struct ox_http_request *req = msg->data;
        msg->data = NULL;
        on_tree(self, port, req);
    } else if (msg->kind == KIND_TREE + 1) {
        struct tree_job *job = msg->data;
        struct ox_http_request *req = job->req;
        job->req = NULL;
        answer(req, 200, "application/json", &job->json);
    }
}

static void
debug_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct debug_port *port = *(struct debug_port **)ox_actor_state(self);
    if (port->server != NULL)
        ox_http_server_close(port->server, NULL, NULL);
    port->server = NULL;
}

static const struct ox_actor_class debug_class = {
    .name = "debug",
    .state_size = sizeof(struct debug_port *),
    .flags = OX_ACTOR_PINNED,
    .on_start = debug_start,
    .on_message = debug_message,
    .on_stop = debug_stop,
};

ox_err
node_debug_start(struct node_main *m, struct ox_diag *diag)
{
    ox_pid pid;
    if (m->fds.fd_debug < 0)
        return OX_OK;
    debug.main = m;
    struct ox_child_spec spec = {.id = "debug",
                                 .class = &debug_class,
                                 .arg = &debug,
                                 .name = "debug",
                                 .loop = OX_LOOP(0),
                                 .restart = OX_RESTART_PERMANENT};
    return ox_sup_add_wait(m->root, &spec, &pid, diag);
}
