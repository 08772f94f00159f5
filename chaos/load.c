/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/load.c - the senders.
 *
 * Owns:    see load.h.
 * Threads: one per lane.
 * Bounds:  a request is given up after OX_CLIENT_TIMEOUT_S, a retried one after RETRY_S.
 */
#include "chaos/load.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "chaos/body.h"
#include "tests/harness/http_client.h"

#define RETRY_S      90
#define RETRY_MS     15
#define REFUSED_MS   50 /* patience after a 429, so that refusals do not become the load */
#define REJECTED_TAG 0x08

struct sender {
    struct chaos_load *load;
    struct chaos_lane *lane;
    struct ox_client1 client;
    bool open;
};

static bool
connect_sender(struct sender *s)
{
    if (s->open)
        return true;
    ox_client1_init(&s->client, ox_client_connect(atomic_load(&s->load->server->otlp_port)));
    s->open = s->client.fd >= 0;
    return s->open;
}

static void
disconnect(struct sender *s)
{
    if (s->open)
        ox_client1_fini(&s->client);
    s->open = false;
}

/* Status and body of the answer; false when none came. */
static bool
exchange(struct sender *s, struct ox_str body, struct ox_client_response *r)
{
    char head[512];
    int n = snprintf(head, sizeof(head),
                     "POST /v1/%s HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: %s\r\n"
                     "content-type: application/x-protobuf\r\ncontent-length: %zu\r\n\r\n",
                     ox_signal_name(s->lane->signal), s->load->server->keys[s->lane->tenant], body.n);
    if (!connect_sender(s))
        return false;
    ox_buf_reset(&s->client.in);
    s->client.at = 0;
    /* Who refuses by the headers alone may have closed before the body was out: the answer still counts. */
    (void)(ox_client_send(s->client.fd, head, (size_t)n) && ox_client_send(s->client.fd, body.p, body.n));
    bool ok = ox_client1_read(&s->client, false, r);
    if (!ok || r->closed)
        disconnect(s);
    return ok;
}

/* An answer without a body accepts everything; partial_success { rejected > 0 } is field 1 in field 1. */
static bool
rejects_some(const struct ox_client_response *r)
{
    const struct ox_buf *b = &r->body;
    return b->len >= 4 && b->data[0] == 0x0a && b->data[2] == REJECTED_TAG && b->data[3] != 0;
}

/* The text of a google.rpc.Status in the body, which has few bytes that cannot be printed beside it. */
static void
note_refusal(struct chaos_load *l, const struct ox_client_response *r)
{
    size_t n = 0;
    pthread_mutex_lock(&l->lock);
    l->last_refusal = r->status;
    for (size_t i = 0; i < r->body.len && n + 1 < sizeof(l->last_reason); i++) {
        if (r->body.data[i] >= ' ' && r->body.data[i] < 0x7f)
            l->last_reason[n++] = (char)r->body.data[i];
    }
    l->last_reason[n] = '\0';
    pthread_mutex_unlock(&l->lock);
}

void
chaos_load_why(struct chaos_load *l, char *out, size_t n)
{
    pthread_mutex_lock(&l->lock);
    if (l->last_refusal == 0)
        snprintf(out, n, "none was refused");
    else
        snprintf(out, n, "the last refusal was %d: %s", l->last_refusal, l->last_reason);
    pthread_mutex_unlock(&l->lock);
}

static enum chaos_fate
judge(struct chaos_load *l, const struct ox_client_response *r)
{
    if (r->status != 200) {
        atomic_fetch_add(&l->refused, 1);
        note_refusal(l, r);
        return CHAOS_REFUSED;
    }
    if (rejects_some(r)) {
        atomic_fetch_add(&l->partial, 1);
        return CHAOS_REFUSED;
    }
    atomic_fetch_add(&l->acked, 1);
    return CHAOS_ACKED;
}

static void
note_time(struct chaos_load *l, uint64_t began)
{
    uint64_t now = chaos_now_ns(), took = now - began, max = atomic_load(&l->wait_max_ns);
    while (took > max && !atomic_compare_exchange_weak(&l->wait_max_ns, &max, took)) {
    }
    atomic_store(&l->last_ack_ns, now);
}

/* Sends, and where the scenario wants it sends the same bytes again until there is an answer. */
static enum chaos_fate
send_one(struct sender *s, struct ox_str body)
{
    struct chaos_load *l = s->load;
    struct ox_client_response r;
    uint64_t began = chaos_now_ns();
    enum chaos_fate fate = CHAOS_UNKNOWN;
    ox_client_response_init(&r);
    for (;;) {
        if (exchange(s, body, &r)) {
            fate = judge(l, &r);
            break;
        }
        atomic_fetch_add(&l->broken, 1);
        chaos_nap_ms(RETRY_MS);
        if (!l->scenario->retry || atomic_load(&l->abandon) ||
            chaos_now_ns() - began > RETRY_S * UINT64_C(1000000000))
            break;
        atomic_fetch_add(&l->retried, 1);
    }
    if (fate == CHAOS_ACKED)
        note_time(l, began);
    ox_client_response_fini(&r);
    return fate;
}

/* False when it is time to end. */
static bool
may_send(struct chaos_load *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->paused && !l->stop) {
        l->resting++;
        pthread_cond_broadcast(&l->change);
        while (l->paused && !l->stop)
            pthread_cond_wait(&l->change, &l->lock);
        l->resting--;
    }
    bool stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    return !stop;
}

static void *
sender_loop(void *arg)
{
    struct sender *s = arg;
    struct chaos_load *l = s->load;
    struct ox_buf body = {0};
    uint32_t n = l->scenario->records;
    while (may_send(l)) {
        uint64_t first = chaos_lane_take(s->lane, n);
        chaos_body(s->lane, first, n, chaos_unix_ns(), &body);
        enum chaos_fate fate = send_one(s, ox_buf_str(&body));
        chaos_lane_set(s->lane, first, n, fate);
        chaos_nap_ms(fate == CHAOS_REFUSED ? REFUSED_MS : l->scenario->pace_ms);
    }
    disconnect(s);
    ox_buf_fini(&body);
    free(s);
    return NULL;
}

void
chaos_load_start(struct chaos_load *l)
{
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->change, NULL);
    l->paused = true;
    for (l->n = 0; l->n < l->ids->n_lanes; l->n++) {
        struct sender *s = calloc(1, sizeof(*s));
        OX_ASSERT(s != NULL);
        s->load = l;
        s->lane = &l->ids->lanes[l->n];
        OX_ASSERT(pthread_create(&l->threads[l->n], NULL, sender_loop, s) == 0);
    }
}

void
chaos_load_resume(struct chaos_load *l)
{
    pthread_mutex_lock(&l->lock);
    l->paused = false;
    atomic_store(&l->wait_max_ns, 0);
    pthread_cond_broadcast(&l->change);
    pthread_mutex_unlock(&l->lock);
}

void
chaos_load_pause(struct chaos_load *l)
{
    pthread_mutex_lock(&l->lock);
    l->paused = true;
    while (l->resting < l->n)
        pthread_cond_wait(&l->change, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

void
chaos_load_abandon(struct chaos_load *l)
{
    atomic_store(&l->abandon, true);
    chaos_load_pause(l);
    atomic_store(&l->abandon, false);
}

void
chaos_load_stop(struct chaos_load *l)
{
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->change);
    pthread_mutex_unlock(&l->lock);
    for (uint32_t i = 0; i < l->n; i++)
        pthread_join(l->threads[i], NULL);
}
