/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/clients.c - the senders: what they send, how they take an answer or none, and what they were promised.
 *
 * Owns:    every request ever made, the HTTP requests that wait for their answer.
 * Threads: one.
 * Bounds:  SIM_REQUESTS_MAX requests.
 * Flow:    world.c -> here -> the hooks of the gateway's server -> ... -> ox_http_respond (fakes.c) -> here.
 *
 * A record's id is its request's number * SIM_RECORDS_MAX + its ordinal, and stands in its text or value. A request is
 * stored once for all its repeats, as far as docs/durability.md promises that: the model knows until when a repeat is
 * recognised, and allows one copy more for each that came later.
 */
#include <stdio.h>
#include <stdlib.h>

#include "chaos/sim/sim.h"
#include "ox/http.h"
#include "ox/outbox_entry.h"
#include "ox/wal_entry.h"

#define WINDOW_NS (UINT64_C(55) * SIM_S) /* gateway.duplicate_window, with a margin for what is on its way */

#define ANSWER_NS (UINT64_C(60) * SIM_S) /* whatever happens, a request is answered, or its node dies */

struct request {
    uint32_t tenant, n, bad; /* bit = a record that must be refused */
    enum ox_signal signal;
    struct ox_buf body;
    bool acked;
    bool durable;            /* surely or perhaps: acknowledged, or found when this life began */
    uint32_t waiting, sends; /* waiting: of this life */
    uint32_t copies;         /* that there may be at most */
    uint64_t known_until_ns; /* a repeat until then is recognised */
};

struct http {
    struct ox_http_request req; /* first */
    struct ox_http_header headers[2];
    uint32_t request;
    struct ox_account *account; /* that its body is charged to */
    uint64_t sent_ns;
    struct http *next;
};

struct sim_clients {
    struct request requests[SIM_REQUESTS_MAX];
    uint32_t n;
    struct http *waiting;
    char keys[SIM_TENANTS_MAX][OX_DEV_KEY_MAX];
    struct ox_http_server_options server;
    bool listening;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

static void send_request(uint64_t i);

/* ---- bodies ---- */

static uint64_t
time_of(struct request *r, uint32_t i)
{
    uint64_t now = ox_clock_realtime_ns(&sim_now->clock.clock);
    if (sim_chance(30000)) {
        r->bad |= 1u << i;
        return now - 10 * 86400 * SIM_S;
    }
    return now - (sim_chance(100000) ? sim_between(0, 20 * 3600) * SIM_S : sim_between(0, 60) * SIM_S);
}

static void
add_record(struct request *r, uint32_t i, uint32_t uid, const char *more)
{
    struct ox_buf *b = &r->body;
    unsigned long long t = time_of(r, i);
    ox_buf_append_cstr(b, i > 0 ? "," : "");
    switch (r->signal) {
    case OX_SIGNAL_LOGS:
        ox_buf_printf(b, "{\"timeUnixNano\":\"%llu\",\"body\":{\"stringValue\":\"uid=%u;%s\"}}", t, uid,
                      more);
        break;
    case OX_SIGNAL_TRACES:
        ox_buf_printf(b,
                      "{\"traceId\":\"0102030405060708090a0b0c%08x\",\"spanId\":\"01020304%08x\",\"name\":"
                      "\"uid=%u;%s\","
                      "\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\"}",
                      uid + 1, uid + 1, uid, more, t, t + 5);
        break;
    default:
        ox_buf_printf(b, "{\"timeUnixNano\":\"%llu\",\"asDouble\":%u}", t, uid);
    }
}

static void
make_body(struct sim_clients *c, struct request *r)
{
    static const char *const before[OX_SIGNAL__COUNT] = {
        [OX_SIGNAL_TRACES] = "{\"resourceSpans\":[{%s,\"scopeSpans\":[{\"spans\":[",
        [OX_SIGNAL_LOGS] = "{\"resourceLogs\":[{%s,\"scopeLogs\":[{\"logRecords\":[",
        [OX_SIGNAL_METRICS] = ("{\"resourceMetrics\":[{%s,\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\","
                               "\"gauge\":{\"dataPoints\":["),
    };
    static const char *const behind[OX_SIGNAL__COUNT] = {
        [OX_SIGNAL_TRACES] = "]}]}]}", [OX_SIGNAL_LOGS] = "]}]}]}", [OX_SIGNAL_METRICS] = "]}}]}]}]}"};
    uint32_t index = (uint32_t)(r - c->requests);
    char resource[160], head[400];
    const char *more = sim_now->plan.poison && sim_chance(30000) ? "poison" : "";
    snprintf(resource, sizeof(resource),
             "\"resource\":{\"attributes\":[{\"key\":\"rid\",\"value\":{\"stringValue\":\"rid=%u;\"}}]}",
             index);
    snprintf(head, sizeof(head), before[r->signal], resource);
    ox_buf_append_cstr(&r->body, head);
    for (uint32_t i = 0; i < r->n; i++)
        add_record(r, i, index * SIM_RECORDS_MAX + i, more);
    ox_buf_append_cstr(&r->body, behind[r->signal]);
    OX_ASSERT(!r->body.failed);
}

static void
on_new(uint64_t tenant)
{
    struct sim_clients *c = sim_now->clients;
    if (c->n == SIM_REQUESTS_MAX || sim_now->calm)
        return;
    struct request *r = &c->requests[c->n];
    r->tenant = (uint32_t)tenant;
    r->n = (uint32_t)sim_between(1, sim_now->plan.records);
    r->signal = sim_chance(500000) ? OX_SIGNAL_LOGS : (enum ox_signal)sim_between(0, OX_SIGNAL__COUNT - 1);
    r->copies = 1;
    make_body(c, r);
    sim_now->result.requests++;
    sim_now->result.records += r->n;
    send_request(c->n++);
}

/* ---- sending ---- */

/* Beyond its time a repeat is a new request. */
static void
note_send(struct request *r)
{
    uint64_t now = sim_time();
    if (r->sends++ > 0)
        sim_now->result.repeats++;
    if (now > r->known_until_ns) {
        r->copies += r->durable || r->waiting > 0;
        r->known_until_ns = now + WINDOW_NS;
    }
    r->waiting++;
}

static struct http *
http_new(struct sim_clients *c, uint32_t i)
{
    static const char *const paths[OX_SIGNAL__COUNT] = {[OX_SIGNAL_TRACES] = "/v1/traces",
                                                        [OX_SIGNAL_LOGS] = "/v1/logs",
                                                        [OX_SIGNAL_METRICS] = "/v1/metrics"};
    struct http *h = calloc(1, sizeof(*h));
    OX_ASSERT(h != NULL);
    h->request = i;
    h->sent_ns = sim_time();
    h->account = c->server.body_account;
    h->headers[0] = (struct ox_http_header){OX_STR("content-type"), OX_STR("application/json")};
    h->headers[1] = (struct ox_http_header){OX_STR("x-api-key"), ox_str_of(c->keys[c->requests[i].tenant])};
    h->req.method = OX_HTTP_POST;
    h->req.version = OX_HTTP_1_1;
    h->req.method_name = OX_STR("POST");
    h->req.path = ox_str_of(paths[c->requests[i].signal]);
    h->req.headers = h->headers;
    h->req.headers_len = 2;
    h->req.content_length = (int64_t)c->requests[i].body.len;
    h->req.is_loopback = true;
    h->next = c->waiting;
    c->waiting = h;
    return h;
}

static void
send_request(uint64_t i)
{
    struct sim_clients *c = sim_now->clients;
    struct request *r = &c->requests[i];
    struct ox_diag diag;
    if (!c->listening)
        return; /* cannot be: the world lets nobody send between two lives */
    note_send(r);
    struct http *h = http_new(c, (uint32_t)i);
    c->server.on_headers(c->server.ctx, &h->req);
    if (c->waiting != h)
        return; /* answered already */
    h->req.body = ox_body_new(r->body.len, h->account);
    if (h->req.body == NULL) {
        ox_diag_set(&diag, OX_E_NOMEM, NULL, -1, "no room for the body");
        c->server.on_refused(c->server.ctx, &h->req, OX_E_NOMEM, &diag);
        return;
    }
    memcpy(h->req.body->data, r->body.data, r->body.len);
    h->req.body->len = r->body.len;
    c->server.on_request(c->server.ctx, &h->req);
}

static void
send_again(uint64_t i)
{
    if (!sim_now->calm)
        send_request(i);
}

void
sim_clients_charge(struct ox_http_request *req, struct ox_account *account)
{
    ((struct http *)req)->account = account;
}

/* ---- answers ---- */

static void
http_free(struct sim_clients *c, struct http *h)
{
    struct http **at = &c->waiting;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    ox_body_drop(h->req.body);
    free(h);
}

static void
acknowledged(struct request *r, uint32_t i)
{
    sim_now->result.acked += !r->acked;
    r->acked = r->durable = true;
    if (sim_between(0, 999) >= sim_now->plan.repeat_permille)
        return;
    uint64_t wait_s = sim_chance(100000) ? sim_between(60, 200) : sim_between(0, 50);
    sim_at(sim_time() + wait_s * SIM_S, send_again, i);
}

void
sim_clients_answer(struct ox_http_request *req, int status)
{
    struct sim_clients *c = sim_now->clients;
    struct http *h = (struct http *)req;
    struct request *r = &c->requests[h->request];
    uint32_t i = h->request;
    http_free(c, h);
    if (sim_now->ghost)
        return; /* nobody hears the dead */
    r->waiting--;
    sim_hash((uint64_t)status << 32 | i);
    sim_note("request %u of tenant %u: %d", i, r->tenant, status);
    if (status == 200) {
        acknowledged(r, i);
    } else if (status == 0) { /* the connection broke: nobody knows */
        r->durable = true;
        sim_at(sim_time() + sim_between(0, 20000) * SIM_MS, send_again, i);
    } else {
        if (status != 429 && status != 503 && status != 500 && status != 507)
            sim_fail("request %u is answered with %d", i, status);
        sim_now->result.refused++;
        if (r->waiting == 0 && !r->durable)
            r->known_until_ns = 0; /* refused is refused: nothing of it is there */
        if (sim_chance(800000))
            sim_at(sim_time() + sim_between(200, 10000) * SIM_MS, send_again, i);
    }
    if (c->waiting == NULL && c->drained != NULL)
        c->drained(c->drained_ctx);
}

/* ---- the server ---- */

void
sim_clients_listen(const struct ox_http_server_options *options)
{
    struct sim_clients *c = sim_now->clients;
    c->server = *options;
    c->listening = true;
}

void
sim_clients_drain(void (*drained)(void *ctx), void *ctx)
{
    struct sim_clients *c = sim_now->clients;
    c->drained = drained;
    c->drained_ctx = ctx;
    if (c->waiting == NULL)
        drained(ctx);
}

void
sim_clients_deaf(void)
{
    struct sim_clients *c = sim_now->clients;
    c->listening = false;
    c->drained = NULL;
    while (c->waiting != NULL)
        http_free(c, c->waiting);
}

bool
sim_clients_waiting(void)
{
    return sim_now->clients->waiting != NULL;
}

/* ---- where records are ---- */

struct looking {
    struct sim *s;
    struct sim_where *w;
};

static void
in_outbox(void *arg, uint32_t uid)
{
    ((struct sim_where *)arg)->outbox[uid] = 1;
}

static void
in_file(void *arg, uint32_t uid)
{
    ((struct sim_where *)arg)->kept[uid] = 1;
}

/* The number behind "rid=" in a request's bytes; SIM_REQUESTS_MAX = none. */
static uint32_t
rid_of(const void *bytes, size_t n)
{
    const char *at = memmem(bytes, n, "rid=", 4);
    uint32_t rid = 0;
    if (at == NULL)
        return SIM_REQUESTS_MAX;
    for (at += 4; at < (const char *)bytes + n && *at >= '0' && *at <= '9'; at++)
        rid = rid * 10 + (uint32_t)(*at - '0');
    return rid < SIM_REQUESTS_MAX ? rid : SIM_REQUESTS_MAX;
}

static void
look_at_log_entry(struct sim_where *w, struct ox_str payload)
{
    uint32_t rid = rid_of(payload.p, payload.n);
    if (rid < SIM_REQUESTS_MAX)
        w->wal[rid] = 1;
}

static void
look_at_outbox_entry(struct sim_where *w, struct ox_str payload)
{
    struct ox_outbox_entry e;
    struct ox_diag diag;
    if (ox_outbox_entry_decode(payload, &e, &diag) != OX_OK)
        sim_fail("an outbox entry that cannot be read: %s", diag.text);
    for (uint32_t i = 0; i < e.n_blocks; i++)
        sim_block_uids(ox_table_name((enum ox_table)e.blocks[i].table), e.blocks[i].bytes.p,
                       e.blocks[i].bytes.n, e.blocks[i].compression == OX_OUTBOX_ZSTD, in_outbox, w);
    ox_outbox_entry_fini(&e);
}

static void
walk(struct ox_journal *j, struct sim_where *w, void (*each)(struct sim_where *w, struct ox_str payload))
{
    struct ox_journal_cursor *cursor = ox_journal_cursor_new(j, 0);
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    ox_err err;
    while ((err = ox_journal_cursor_next(cursor, &info, &payload, &diag)) != OX_E_END) {
        if (err == OX_OK)
            each(w, payload);
        else if (err != OX_E_CORRUPT)
            sim_fail("a journal cannot be read: %s", ox_err_text(err));
    }
    ox_journal_cursor_free(cursor);
}

static void
in_letters(struct sim_where *w, uint32_t uid)
{
    if (uid < sizeof(w->kept))
        w->kept[uid] = 1;
}

static void
in_aside(struct sim_where *w, uint32_t rid)
{
    for (uint32_t i = 0; rid < SIM_REQUESTS_MAX && i < SIM_RECORDS_MAX; i++)
        w->kept[rid * SIM_RECORDS_MAX + i] = 1;
    if (rid < SIM_REQUESTS_MAX)
        w->aside[rid] = 1;
}

static void
in_backlog(struct sim_where *w, uint32_t rid)
{
    if (rid < SIM_REQUESTS_MAX)
        w->backlog[rid] = 1;
}

/* Calls each(w, n) for every `name` that is followed by a number. */
static void
each_number(struct ox_str bytes, const char *name, void (*each)(struct sim_where *w, uint32_t n),
            struct sim_where *w)
{
    const char *at = bytes.p, *end = bytes.p + bytes.n;
    while ((at = memmem(at, (size_t)(end - at), name, strlen(name))) != NULL) {
        uint32_t n = 0;
        for (at += strlen(name); at < end && *at >= '0' && *at <= '9'; at++)
            n = n * 10 + (uint32_t)(*at - '0');
        each(w, n);
    }
}

static void
look_at_file(void *arg, const char *path)
{
    struct looking *l = arg;
    bool exists;
    struct ox_str bytes = fault_disk_peek(l->s->disk, path, &exists);
    if (!exists || bytes.n == 0)
        return;
    if (strncmp(path, "d/dlq/blocks/", 13) == 0)
        sim_file_uids(bytes.p, bytes.n, in_file, l->w);
    else if (strncmp(path, "d/dlq/", 6) == 0)
        each_number(bytes, "uid=", in_letters, l->w);
    else if (strncmp(path, "d/set-aside/", 12) == 0)
        each_number(bytes, "rid=", in_aside, l->w);
    else if (strncmp(path, "d/backlog/", 10) == 0)
        each_number(bytes, "rid=", in_backlog, l->w);
}

void
sim_look(struct sim *s, struct sim_where *w)
{
    struct looking l = {s, w};
    memset(w, 0, sizeof(*w));
    fault_disk_quiet(s->disk, true);
    walk(s->n.wal, w, look_at_log_entry);
    walk(s->n.outbox, w, look_at_outbox_entry);
    fault_disk_each(s->disk, look_at_file, &l);
    fault_disk_quiet(s->disk, false);
}

/* ---- what was promised ---- */

static struct sim_where where;

static bool
is_owed(const struct request *r, uint32_t i)
{
    return (r->bad & (1u << i)) == 0;
}

static void
check_answers(const struct sim_clients *c)
{
    for (const struct http *h = c->waiting; h != NULL; h = h->next) {
        if (sim_time() - h->sent_ns > ANSWER_NS)
            sim_fail("request %u has no answer after %llu s", h->request,
                     (unsigned long long)((sim_time() - h->sent_ns) / SIM_S));
    }
}

void
sim_audit(struct sim *s)
{
    struct sim_clients *c = s->clients;
    check_answers(c);
    sim_look(s, &where);
    for (uint32_t q = 0; q < c->n; q++) {
        const struct request *r = &c->requests[q];
        for (uint32_t i = 0; r->acked && i < r->n; i++) {
            uint32_t uid = q * SIM_RECORDS_MAX + i;
            if (is_owed(r, i) && sim_storage_count(s->storage, uid) == 0 && !where.wal[q] &&
                !where.outbox[uid] && !where.kept[uid] && !where.backlog[q])
                sim_fail("record %u of request %u (tenant %u) was acknowledged and is nowhere: not stored, "
                         "in neither "
                         "journal, in no backlog, in no file of what was refused",
                         i, q, r->tenant);
        }
    }
}

static bool
is_anywhere(const struct sim *s, uint32_t q, const struct request *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t uid = q * SIM_RECORDS_MAX + i;
        if (sim_storage_count(s->storage, uid) > 0 || where.outbox[uid] || where.kept[uid])
            return true;
    }
    return where.wal[q] || where.backlog[q];
}

/* What had no answer is sent again, most of it; what the log still holds is recognised for a while. */
void
sim_clients_new_life(struct sim *s)
{
    struct sim_clients *c = s->clients;
    uint64_t now = sim_time();
    sim_look(s, &where);
    for (uint32_t q = 0; q < c->n; q++) {
        struct request *r = &c->requests[q];
        r->known_until_ns = where.wal[q] ? now + WINDOW_NS : 0;
        r->durable = is_anywhere(s, q, r);
        if (r->waiting > 0 && sim_chance(800000))
            sim_at(now + sim_between(0, 20000) * SIM_MS, send_again, q);
        r->waiting = 0;
    }
}

void
sim_clients_insist(void)
{
    struct sim_clients *c = sim_now->clients;
    for (uint32_t q = 0; q < c->n; q++) {
        if (!c->requests[q].acked && c->requests[q].waiting == 0)
            send_request(q);
    }
}

bool
sim_clients_all_acked(void)
{
    const struct sim_clients *c = sim_now->clients;
    for (uint32_t q = 0; q < c->n; q++) {
        if (!c->requests[q].acked)
            return false;
    }
    return true;
}

static void
check_record(struct sim *s, const struct request *r, uint32_t q, uint32_t i)
{
    uint32_t uid = q * SIM_RECORDS_MAX + i, count = sim_storage_count(s->storage, uid);
    s->result.kept += where.kept[uid];
    if (!is_owed(r, i)) {
        if (count > 0) /* an entry that was set aside is kept whole, with what was refused of it */
            sim_fail("record %u of request %u was refused and is stored %u times", i, q, count);
        return;
    }
    if (r->acked && count == 0 && !where.kept[uid])
        sim_fail("record %u of request %u (tenant %u) was acknowledged and is not stored", i, q, r->tenant);
    /* What a repeat of a request that was set aside brings is stored anew, with what was stored of the first. */
    if (count > r->copies + (where.aside[q] ? r->sends - 1 : 0))
        sim_fail(
            "record %u of request %u (tenant %u, sent %u times) is stored %u times, %u at most are right", i,
            q, r->tenant, r->sends, count, r->copies);
}

void
sim_clients_check_end(struct sim *s)
{
    struct sim_clients *c = s->clients;
    sim_look(s, &where);
    s->result.kept = 0;
    for (uint32_t q = 0; q < c->n; q++) {
        for (uint32_t i = 0; i < c->requests[q].n; i++)
            check_record(s, &c->requests[q], q, i);
    }
}

/* ---- life ---- */

struct sim_clients *
sim_clients_new(struct sim *s)
{
    static const char secret[] = "the secret of a simulated node";
    struct sim_clients *c = calloc(1, sizeof(*c));
    OX_ASSERT(c != NULL);
    for (uint32_t t = 0; t < SIM_TENANTS_MAX; t++) {
        struct ox_tenant_id id;
        snprintf(id.name, sizeof(id.name), "tenant%u", t);
        ox_keystore_dev_key(ox_str_of(secret), &id, c->keys[t]);
    }
    uint64_t flood_ns = s->plan.floods ? sim_between(0, s->plan.length_ns) : 0;
    for (uint32_t i = 0; i < s->plan.requests; i++) {
        bool flood = s->plan.floods && i % 2 == 0;
        uint64_t at = flood ? flood_ns + sim_between(0, 20) * SIM_MS : sim_between(0, s->plan.length_ns);
        sim_at(sim_time() + at, on_new, flood ? 0 : sim_between(0, s->plan.tenants - 1));
    }
    return c;
}

void
sim_clients_free(struct sim_clients *c)
{
    for (uint32_t q = 0; q < c->n; q++)
        ox_buf_fini(&c->requests[q].body);
    free(c);
}
