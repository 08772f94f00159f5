/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_reload.c - the node's side of a reload: from the heart's DIR/config.json to every actor that lives by it.
 *
 * The heart has validated and decided. Here its file is read on a dirty thread and becomes an immutable snapshot.
 * Single numbers that many threads look at (permits, the account of bodies, the watchdog, the log's level, the bounds
 * of dead letters) are stored where they are used; everything else reaches its actor by the message `configure`, in
 * answer to which it looks at the snapshot (ox_node_config). Nobody sees half of a change within one turn, and
 * nothing is closed, stopped or dropped by it.
 *
 * Snapshots are kept until the node ends, because a job on another thread may hold any of them: some KiB each, at
 * most SNAPSHOTS_MAX, after which a reload asks for a restart of the node.
 *
 * Owns:    struct ox_node's config_now and the snapshots; the request that waits for an answer.
 * Threads: the actor `config`; reading on a dirty thread; node_operate on query threads.
 * Bounds:  one reload at a time, further requests get 429; HEART_MS for the heart, TAKER_MS for an actor.
 * Fails:   with the answer's sentence; what was in force stays so.
 * Flow:    API -reload_asked-> here -> heart -> node_control.c -reload-> here -configure-> actors -> the answer.
 */
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/node_internal.h"
#include "ox/dead_letter.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/permission.h"
#include "ox/runtime.h"
#include "ox/supervisor.h"

#define SNAPSHOTS_MAX 4096
#define HEART_MS                                                                                             \
    15000 /* reading a file and checking it takes milliseconds; the heart may have much else to reap */
#define TAKER_MS   10000
#define RETRY_MS   20
#define ASK_MS     (HEART_MS + 2 * TAKER_MS)
#define TAKERS_MAX (5 + 2 * 256)

enum taker_state { TO_SEND, SENT, TAKEN, LATE };

struct taker {
    char name[24];
    enum taker_state state;
    uint64_t ref;
};

/* One reading of DIR/config.json. */
struct reading {
    struct node_main *main;
    uint64_t version; /* in force at the heart */
    char *report;     /* JSON object: what the heart says of the reload */
    bool refused;
    struct ox_config *config; /* NULL: `version` is ours already */
    uint64_t ours;
    ox_err err;
    struct ox_diag diag;
};

struct reloader {
    struct node_main *main;
    uint64_t version;
    unsigned snapshots;
    bool reading, again; /* again: the heart spoke meanwhile */
    struct taker takers[TAKERS_MAX];
    unsigned n_takers, open; /* open: not TAKEN or LATE */
    uint64_t give_up_ns, retry_timer;
    /* who asked, if anybody */
    bool asked;
    bool heard;   /* the heart has done what was asked for */
    bool answers; /* the reading under way, and its round, came after that */
    struct ox_from asker;
    uint64_t number, asked_timer;
    char *report; /* of the reading that is being applied */
};

/* ---- reading ---- */

static void
reading_free(void *arg)
{
    struct reading *r = arg;
    free(r->report);
    free(r->config);
    free(r);
}

/* "OBSERVE_X_...=value" for each value of the file, as the heart would put it into our environment. */
static ox_err
load_values(json_t *values, struct ox_config *out, struct ox_diag *diag)
{
    struct ox_buf text;
    struct ox_config_report report;
    char **env = calloc(ox_config_rows.count + 1, sizeof(*env));
    size_t n = 0;
    ox_buf_init(&text);
    ox_config_report_init(&report);
    for (size_t i = 0; i < ox_config_rows.count; i++) {
        const struct ox_config_key *row = &ox_config_rows.keys[i];
        const char *value = json_string_value(json_object_get(json_object_get(values, row->key), "value"));
        if (value == NULL || value[0] == '\0')
            continue; /* empty is the default of every string that may be empty */
        ox_config_key_env(&ox_config_rows, row, &text);
        ox_buf_printf(&text, "=%s", value);
        ox_buf_append(&text, "", 1);
    }
    ox_err err = env == NULL || text.failed ? OX_E_NOMEM : OX_OK;
    for (size_t at = 0; err == OX_OK && at < text.len; at += strlen(env[n - 1]) + 1)
        env[n++] = (char *)text.data + at;
    if (err == OX_OK)
        err = ox_config_load(out, &(struct ox_config_sources){.env = env}, NULL, &report);
    if (err != OX_OK)
        ox_diag_set(diag, err, "config.json", -1, "%.*s",
                    (int)(report.text.len < 300 ? report.text.len : 300),
                    report.text.len > 0 ? (const char *)report.text.data : ox_err_text(err));
    ox_config_report_fini(&report);
    ox_buf_fini(&text);
    free(env);
    return err;
}

/* What stands in files beside the configuration. */
static void
reload_files(struct node_main *m, const struct ox_config *cfg)
{
    node_tls_reload(m, cfg);
    node_redact_reload(m, cfg);
    node_sampling_reload(m, cfg);
    node_jwt_reload(m, cfg);
}

static void
apply_numbers(struct node_main *m, const struct ox_config *cfg)
{
    struct ox_node *node = &m->node;
    struct ox_tenants_limits limits;
    struct ox_dead_letter_config letters;
    node_tenants_limits(cfg, &limits);
    node_dead_letter_config(cfg, &letters);
    ox_tenants_limit(node->tenants, &limits);
    node_tenant_weights(cfg);
    node_quota_defaults(cfg, node->quotas);
    atomic_store_explicit(&node->bodies.limit_bytes, cfg->gateway_memory_bytes, memory_order_relaxed);
    ox_runtime_watch((uint32_t)cfg->runtime_turn_warn_ms, (uint32_t)cfg->runtime_turn_fault_ms);
    ox_cmd_set_log_level(cfg);
    ox_dead_letter_limit(node->dead_letters, &letters);
    reload_files(m, cfg);
}

static void
read_file(void *arg)
{
    struct reading *r = arg;
    char path[OX_DISK_PATH_MAX];
    json_error_t error;
    snprintf(path, sizeof(path), "%s/config.json", r->main->config.data);
    json_t *file = json_load_file(path, 0, &error);
    if (file == NULL) {
        r->err = ox_diag_set(&r->diag, OX_E_IO, "config.json", -1, "%s cannot be read: %s", path, error.text);
        return;
    }
    json_t *reload = json_object_get(file, "reload");
    r->version = (uint64_t)json_integer_value(json_object_get(file, "version"));
    const char *outcome = json_string_value(json_object_get(reload, "outcome"));
    r->refused = outcome != NULL && strcmp(outcome, "refused") == 0;
    r->report = reload != NULL ? json_dumps(reload, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    if (r->version == r->ours)
        reload_files(r->main, ox_node_config(&r->main->node)); /* asked for, and the files may have changed */
    if (r->version != r->ours) {
        r->config = calloc(1, sizeof(*r->config));
        r->err = r->config != NULL ? load_values(json_object_get(file, "values"), r->config, &r->diag)
                                   : OX_E_NOMEM;
        if (r->err == OX_OK)
            apply_numbers(r->main, r->config);
    }
    json_decref(file);
}

static void
start_reading(struct ox_actor *self, struct reloader *a)
{
    struct reading *r = calloc(1, sizeof(*r));
    a->again = a->reading || a->open > 0;
    if (a->again || r == NULL) {
        free(r);
        return;
    }
    a->answers = a->heard;
    r->main = a->main;
    r->ours = a->version;
    ox_diag_clear(&r->diag);
    if (ox_dirty_submit(self, NULL, read_file, r, OX_K_reload_read, reading_free, NULL) == OX_OK) {
        a->reading = true;
        return;
    }
    free(r);
    a->again = true; /* no thread is free: the timer asks again */
    if (a->retry_timer == 0 && ox_timer_start(self, RETRY_MS, OX_K_retry, 0, &a->retry_timer) != OX_OK)
        OX_LOG_ERROR("config", "no timer to read the configuration again");
}

/* ---- the answer ---- */

static void
answer_free(void *arg)
{
    free(arg);
}

/* text: take. err OK: a JSON object; else a sentence. */
static void
answer(struct ox_actor *self, struct reloader *a, ox_err err, char *text)
{
    bool waits = a->asked && a->answers;
    struct ox_msg *msg = waits && text != NULL ? ox_msg_new(OX_K_reload, text, 0, answer_free) : NULL;
    if (waits) {
        ox_timer_cancel(self, a->asked_timer);
        a->asked = a->heard = a->answers = false;
    }
    if (msg == NULL) {
        free(text);
        return;
    }
    msg->err = err;
    if (ox_reply(a->asker, &msg) != OX_OK)
        ox_msg_free(msg); /* nobody waits any more */
}

/* The heart's report with the version and those who have not taken it yet. */
static void
finish(struct ox_actor *self, struct reloader *a)
{
    json_t *report = a->report != NULL ? json_loads(a->report, 0, NULL) : NULL;
    json_t *late = json_array();
    for (unsigned i = 0; i < a->n_takers; i++) {
        if (a->takers[i].state == LATE)
            json_array_append_new(late, json_string(a->takers[i].name));
    }
    if (report == NULL)
        report = json_object();
    json_object_del(report, "number");
    json_object_set_new(report, "version", json_integer((json_int_t)a->version));
    json_object_set_new(report, "late", late);
    answer(self, a, OX_OK, json_dumps(report, JSON_COMPACT | JSON_PRESERVE_ORDER));
    json_decref(report);
    free(a->report);
    a->report = NULL;
    if (a->again)
        start_reading(self, a);
}

/* ---- a round of all actors ---- */

static void
add_taker(struct reloader *a, const char *fmt, unsigned index)
{
    OX_ASSERT(a->n_takers < TAKERS_MAX);
    struct taker *t = &a->takers[a->n_takers++];
    *t = (struct taker){.state = TO_SEND};
    snprintf(t->name, sizeof(t->name), fmt, index);
}

static void
send_rest(struct ox_actor *self, struct reloader *a)
{
    bool later = false;
    for (unsigned i = 0; i < a->n_takers; i++) {
        struct taker *t = &a->takers[i];
        if (t->state != TO_SEND)
            continue;
        struct ox_msg *msg = ox_msg_new(OX_K_configure, NULL, 0, NULL);
        ox_err err = OX_E_NOMEM;
        if (msg != NULL) {
            msg->num = a->version;
            err = ox_call(self, ox_whereis(t->name), &msg, TAKER_MS, &t->ref);
        }
        ox_msg_free(msg);
        if (err == OX_OK) {
            t->state = SENT;
        } else if (ox_now_ns() < a->give_up_ns) { /* a full mailbox, or between crash and restart */
            later = true;
        } else {
            OX_LOG_ERROR("config", "an actor cannot be told of the new configuration",
                         OX_F_STR("actor", t->name), OX_F_ERR(err));
            t->state = LATE;
            a->open--;
        }
    }
    if (later && a->retry_timer == 0 &&
        ox_timer_start(self, RETRY_MS, OX_K_retry, 0, &a->retry_timer) != OX_OK)
        OX_LOG_ERROR("config", "no timer to tell actors of the new configuration");
}

static void
start_round(struct ox_actor *self, struct reloader *a)
{
    static const char *const singles[] = {"wal", "outbox", "writer/traces", "writer/logs", "writer/metrics"};
    a->n_takers = 0;
    for (size_t i = 0; i < OX_COUNT(singles); i++)
        add_taker(a, singles[i], 0);
    for (uint32_t i = 0; i < ox_runtime_loops(); i++) {
        add_taker(a, "gateway/%u", i);
        add_taker(a, "api/%u", i);
    }
    a->open = a->n_takers;
    a->give_up_ns = ox_now_ns() + TAKER_MS * 1000000ull;
    send_rest(self, a);
}

/* err OK: it has taken it. Else it crashed (its restart looks by itself) or is slow (the message still waits there). */
static void
on_taken(struct ox_actor *self, struct reloader *a, uint64_t ref, ox_err err)
{
    for (unsigned i = 0; i < a->n_takers; i++) {
        struct taker *t = &a->takers[i];
        if (t->state != SENT || t->ref != ref)
            continue;
        t->state = err == OX_OK ? TAKEN : LATE;
        a->open--;
        if (err != OX_OK)
            OX_LOG_WARN("config", "an actor takes the new configuration later", OX_F_STR("actor", t->name),
                        OX_F_ERR(err));
        if (a->open == 0)
            finish(self, a);
        return;
    }
}

/* ---- messages ---- */

static void
count_outcome(const struct reloader *a, const char *outcome)
{
    if (a->version == 0)
        return; /* the first reading is no reload */
    OX_METRIC_ADD_L(OX_M_config_reloads, 1, ox_str_of(outcome));
}

static void
publish(struct reloader *a, struct reading *r)
{
    /* release: whoever sees the pointer sees the values behind it */
    atomic_store_explicit(&a->main->node.config_now, r->config, memory_order_release);
    r->config = NULL; /* kept until the node ends */
    a->snapshots++;
    a->version = r->version;
    ox_metric_set(OX_M_config_version, (double)a->version);
}

static void
on_reload_read(struct ox_actor *self, struct reloader *a, struct reading *r)
{
    a->reading = false;
    if (r->err != OX_OK) {
        count_outcome(a, "failed");
        OX_LOG_ERROR("config", "the heart's configuration cannot be taken", OX_F_ERR(r->err),
                     OX_F_DIAG(&r->diag));
        answer(self, a, r->err, strdup(r->diag.text));
    } else if (r->refused) {
        json_t *report = json_loads(r->report, 0, NULL);
        const char *problems = json_string_value(json_object_get(report, "problems"));
        count_outcome(a, "refused");
        answer(self, a, OX_E_CONFIG, strdup(problems != NULL ? problems : ""));
        json_decref(report);
        if (r->config != NULL) { /* what was applied before it, and not read yet, holds all the same */
            publish(a, r);
            start_round(self, a);
            return;
        }
    } else if (r->config == NULL) {
        count_outcome(a, "unchanged");
        a->report = r->report;
        r->report = NULL;
        a->n_takers = 0;
        finish(self, a);
        return;
    } else {
        count_outcome(a, "applied");
        a->report = r->report;
        r->report = NULL;
        publish(a, r);
        start_round(self, a);
        return;
    }
    if (a->again)
        start_reading(self, a);
}

static void
refuse_call(const struct ox_msg *msg, ox_err err, const char *why)
{
    struct ox_msg *reply = ox_msg_new(OX_K_reload, strdup(why), 0, answer_free);
    if (reply == NULL)
        return; /* the asker's time runs out */
    reply->err = err;
    if (ox_reply(ox_call_from(msg), &reply) != OX_OK)
        ox_msg_free(reply);
}

static void
on_reload_asked(struct ox_actor *self, struct reloader *a, struct ox_msg *msg)
{
    int fd = a->main->fds.fd_control;
    if (fd < 0) {
        refuse_call(msg, OX_E_STATE,
                    "this node was started without `observex serve`, which reads the configuration");
    } else if (a->asked) {
        refuse_call(msg, OX_E_OVERLOAD, "another reload is under way");
    } else if (a->snapshots >= SNAPSHOTS_MAX) {
        refuse_call(msg, OX_E_STATE,
                    "this node has taken as many configurations as it may; restart ObserveX");
    } else if (ox_timer_start(self, HEART_MS, OX_K_retry, a->number + 1, &a->asked_timer) != OX_OK ||
               !ox_child_say_line(fd,
                                  (struct ox_heart_line){.event = OX_HEART_RELOAD, .num = a->number + 1})) {
        refuse_call(msg, OX_E_UNAVAILABLE, "the heart cannot be asked");
    } else {
        a->number++;
        a->asked = true;
        a->heard = a->answers = false;
        a->asker = ox_call_from(msg);
    }
}

/* num 0: something is to be tried again; else the heart has not answered request num. */
static void
on_retry(struct ox_actor *self, struct reloader *a, uint64_t num)
{
    if (num == 0) {
        a->retry_timer = 0;
        if (a->open > 0) {
            send_rest(self, a);
            if (a->open == 0)
                finish(self, a);
        } else if (a->again) {
            start_reading(self, a);
        }
    } else if (a->asked && num == a->number && !a->heard) {
        a->answers = true;
        answer(self, a, OX_E_TIMEOUT, strdup("the heart does not answer"));
    }
}

static void
config_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct reloader *a = *(struct reloader **)ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_reload:
        a->heard = a->heard || (a->asked && msg->num == a->number);
        start_reading(self, a);
        break;
    case OX_K_reload_asked:
        on_reload_asked(self, a, msg);
        break;
    case OX_K_reload_read:
        on_reload_read(self, a, msg->data);
        break;
    case OX_K_configured:
    case OX_MSG_CALL_FAILED:
        on_taken(self, a, msg->ref, msg->err);
        break;
    case OX_K_retry:
        on_retry(self, a, msg->num);
        break;
    default:
        OX_LOG_WARN("config", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

/* What a crash leaves is the version, 0 before the first reading: the rest begins anew. */
static ox_err
config_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct reloader *a = arg;
    *(struct reloader **)ox_actor_state(self) = a;
    free(a->report);
    a->report = NULL;
    a->reading = a->again = a->asked = a->heard = a->answers = false;
    a->n_takers = a->open = 0;
    a->retry_timer = 0;
    /* The environment that we were started with may be older than what the heart has written down since. */
    return a->main->fds.fd_control >= 0 ? ox_cast(ox_actor_pid(self), OX_K_reload, 0) : OX_OK;
}

static const struct ox_actor_class config_class = {
    .name = "config",
    .state_size = sizeof(struct reloader *),
    .on_start = config_start,
    .on_message = config_message,
    .pending_max = TAKERS_MAX + 16,
};

ox_err
node_reload_start(struct node_main *m, struct ox_diag *diag)
{
    static struct reloader reloader;
    reloader.main = m;
    struct ox_child_spec spec = {.id = "config",
                                 .class = &config_class,
                                 .arg = &reloader,
                                 .name = "config",
                                 .restart = OX_RESTART_PERMANENT};
    return ox_sup_add_wait(m->root, &spec, &m->reloader, diag);
}

/* ---- POST /api/v1/config/reload, on a query thread ---- */

static void
respond(struct ox_query_response *res, ox_err err, const char *text)
{
    if (err == OX_OK) {
        ox_buf_reset(&res->body);
        ox_buf_append_cstr(&res->body, text);
        return;
    }
    ox_query_respond_error(res, err, text,
                           err == OX_E_CONFIG ? "nothing has changed; mend it and reload again" : NULL);
}

/* Written before the act, as for every order. */
static ox_err
audit(struct node_main *m, const struct ox_query_request *req, bool granted)
{
    struct ox_audit_entry entry = {.who = {req->credential, req->peer, ox_role_name(req->role)},
                                   .action = ox_action_name(OX_ACTION_CONFIG_RELOAD),
                                   .tenant = "",
                                   .outcome = granted ? "granted" : "refused",
                                   .detail = "",
                                   .unauthorised = !granted};
    return ox_audit_write(m->warden.audit, &entry);
}

void
node_reload_answer(struct node_main *m, const struct ox_query_request *req, struct ox_query_response *res)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (ox_may(req->role, req->scopes, OX_ACTION_CONFIG_RELOAD, &diag) != OX_OK) {
        (void)!audit(m, req, false); /* refused all the same */
        ox_query_respond_error(res, OX_E_FORBIDDEN, diag.text,
                               "in development mode a request from this machine without a key has it");
        return;
    }
    struct ox_msg *msg = ox_msg_new(OX_K_reload_asked, NULL, 0, NULL), *reply = NULL;
    if (!ox_str_eq(req->method, OX_STR("POST"))) {
        ox_msg_free(msg);
        ox_query_respond_error(res, OX_E_METHOD, "a reload is asked for with POST", NULL);
        res->allow = "POST";
        return;
    }
    ox_err err = audit(m, req, true);
    if (err != OX_OK) {
        ox_msg_free(msg);
        ox_query_respond_error(res, err, "the order cannot be written to the audit log; nothing has changed",
                               NULL);
        return;
    }
    err = msg != NULL ? ox_ask(m->reloader, &msg, ASK_MS, &reply) : OX_E_NOMEM;
    ox_msg_free(msg);
    if (err == OX_OK)
        respond(res, reply->err, reply->data != NULL ? reply->data : ox_err_text(reply->err));
    else
        ox_query_respond_error(res, err, "the configuration's actor does not answer", NULL);
    ox_msg_free(reply);
}
