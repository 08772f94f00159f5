/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/message_bench.c - what a message between actors costs, against a bounded queue between two threads; and
 * what an idle actor costs.
 *
 *   message_bench [--messages N] [--actors N] [--rounds N]
 *
 * Method:  in each round, one after the other: ping-pong (two actors, one message on the way), stream (one actor
 *          sends to another, at most WINDOW on the way) and fan-in (FAN senders, one receiver), each with both ends
 *          on one scheduler and on two; and the floor: the same with threads around a ring of pointers under a
 *          mutex with two condition variables, each message allocated and freed as a message of the runtime is.
 *          The median of the rounds is printed in ns per message and as a ratio to the floor of the same round.
 *          Then N idle actors, spawned and started: bytes of resident memory for each; and one that is woken
 *          among them.
 *
 * Owns:    nothing that outlives main.
 * Threads: the runtime's two; the floor's two.
 */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/server.h"
#include "ox/actor.h"
#include "ox/log.h"
#include "ox/runtime.h"

#define WINDOW     1024u
#define FAN        8u
#define ROUNDS_MAX 15u
#define RSS_MAX    (1ull << 30) /* what 100,000 idle actors may take */

enum { KIND_GO = 1, KIND_BALL, KIND_CREDIT };

static uint64_t messages = 400000;
static sem_t done;

/* ---- actors ---- */

struct end {
    ox_pid peer;
    uint64_t left;   /* to send; of a receiver: to receive */
    uint64_t unsaid; /* received since the last credit */
    uint64_t credit;
};

static void
send_ball(ox_pid to)
{
    ox_err err = ox_cast(to, KIND_BALL, 0);
    OX_ASSERT(err == OX_OK);
}

static void
ping(struct ox_actor *self, struct ox_msg *msg)
{
    struct end *e = ox_actor_state(self);
    if (msg->kind == KIND_GO) {
        e->left = msg->num;
        e->peer = *(ox_pid *)msg->data;
    } else if (--e->left == 0) {
        sem_post(&done);
        return;
    }
    send_ball(e->peer);
}

static void
pong(struct ox_actor *self, struct ox_msg *msg)
{
    send_ball(msg->from);
}

/* Sends while it has credit; the receiver gives some back for each half window. */
static void
source(struct ox_actor *self, struct ox_msg *msg)
{
    struct end *e = ox_actor_state(self);
    if (msg->kind == KIND_GO) {
        e->left = msg->num;
        e->peer = *(ox_pid *)msg->data;
        e->credit = WINDOW;
    } else {
        e->credit += msg->num;
    }
    for (; e->credit > 0 && e->left > 0; e->credit--, e->left--)
        send_ball(e->peer);
}

static void
sink(struct ox_actor *self, struct ox_msg *msg)
{
    struct end *e = ox_actor_state(self);
    if (msg->kind == KIND_GO) {
        e->left = msg->num;
        return;
    }
    if (--e->left == 0)
        sem_post(&done);
    if (++e->unsaid < WINDOW / 2)
        return;
    e->unsaid = 0;
    ox_err err = ox_cast(msg->from, KIND_CREDIT, WINDOW / 2);
    OX_ASSERT(err == OX_OK);
}

/* FAN senders with a window of their own each: counted by sender. */
struct gather {
    uint64_t left;
    struct {
        ox_pid pid;
        uint64_t unsaid;
    } from[FAN];
};

static void
gather(struct ox_actor *self, struct ox_msg *msg)
{
    struct gather *g = ox_actor_state(self);
    if (msg->kind == KIND_GO) {
        g->left = msg->num;
        return;
    }
    uint32_t i = 0;
    while (!ox_pid_eq(g->from[i].pid, msg->from) && !ox_pid_is_none(g->from[i].pid))
        i++;
    g->from[i].pid = msg->from;
    if (--g->left == 0)
        sem_post(&done);
    if (++g->from[i].unsaid < WINDOW / 2)
        return;
    g->from[i].unsaid = 0;
    ox_err err = ox_cast(msg->from, KIND_CREDIT, WINDOW / 2);
    OX_ASSERT(err == OX_OK);
}

#define CLASS(fn, state)                                                                                     \
    {                                                                                                        \
        .name = #fn, .state_size = sizeof(state), .on_message = fn, .flags = OX_ACTOR_PINNED,                \
        .mailbox_msgs_max = 65536                                                                            \
    }
static const struct ox_actor_class ping_class = CLASS(ping, struct end), pong_class = CLASS(pong, struct end),
                                   source_class = CLASS(source, struct end),
                                   sink_class = CLASS(sink, struct end),
                                   gather_class = CLASS(gather, struct gather);

static ox_pid
spawn(const struct ox_actor_class *class, uint32_t loop)
{
    ox_pid pid;
    ox_err err = ox_spawn_wait(&(struct ox_spawn){.class = class, .loop = OX_LOOP(loop)}, &pid, NULL);
    OX_ASSERT(err == OX_OK);
    return pid;
}

static void
go(ox_pid to, ox_pid peer, uint64_t n)
{
    ox_pid *p = malloc(sizeof(*p));
    OX_ASSERT(p != NULL);
    *p = peer;
    struct ox_msg *msg = ox_msg_new(KIND_GO, p, 0, free);
    OX_ASSERT(msg != NULL);
    msg->num = n;
    ox_err err = ox_send(to, &msg);
    OX_ASSERT(err == OX_OK);
}

static double
per_message(uint64_t t0, uint64_t n)
{
    return (double)(bench_now_ns() - t0) / (double)n;
}

static double
actors_ping_pong(uint32_t other_loop)
{
    ox_pid a = spawn(&ping_class, 0), b = spawn(&pong_class, other_loop);
    uint64_t n = messages / 4, t0 = bench_now_ns();
    go(a, b, n);
    sem_wait(&done);
    double ns = per_message(t0, 2 * n);
    ox_kill(a);
    ox_kill(b);
    return ns;
}

static double
actors_stream(uint32_t other_loop)
{
    ox_pid to = spawn(&sink_class, 0), from = spawn(&source_class, other_loop);
    go(to, OX_PID_NONE, messages);
    uint64_t t0 = bench_now_ns();
    go(from, to, messages);
    sem_wait(&done);
    double ns = per_message(t0, messages);
    ox_kill(from);
    ox_kill(to);
    return ns;
}

static double
actors_fan_in(uint32_t other_loop)
{
    ox_pid to = spawn(&gather_class, 0), from[FAN];
    go(to, OX_PID_NONE, messages / FAN * FAN);
    for (uint32_t i = 0; i < FAN; i++)
        from[i] = spawn(&source_class, other_loop);
    uint64_t t0 = bench_now_ns();
    for (uint32_t i = 0; i < FAN; i++)
        go(from[i], to, messages / FAN);
    sem_wait(&done);
    double ns = per_message(t0, messages / FAN * FAN);
    for (uint32_t i = 0; i < FAN; i++)
        ox_kill(from[i]);
    ox_kill(to);
    return ns;
}

/* ---- the floor ---- */

struct ring {
    pthread_mutex_t lock;
    pthread_cond_t some, room;
    void *at[WINDOW];
    uint32_t first, n;
};

struct floor_arg {
    struct ring *in, *out;
    uint64_t n;
};

static void
ring_put(struct ring *r, void *p)
{
    pthread_mutex_lock(&r->lock);
    while (r->n == WINDOW)
        pthread_cond_wait(&r->room, &r->lock);
    r->at[(r->first + r->n++) % WINDOW] = p;
    pthread_cond_signal(&r->some);
    pthread_mutex_unlock(&r->lock);
}

static void *
ring_get(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    while (r->n == 0)
        pthread_cond_wait(&r->some, &r->lock);
    void *p = r->at[r->first];
    r->first = (r->first + 1) % WINDOW;
    r->n--;
    pthread_cond_signal(&r->room);
    pthread_mutex_unlock(&r->lock);
    return p;
}

static void
ring_init(struct ring *r)
{
    memset(r, 0, sizeof(*r));
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->some, NULL);
    pthread_cond_init(&r->room, NULL);
}

static void *
floor_source(void *arg)
{
    struct floor_arg *f = arg;
    for (uint64_t i = 0; i < f->n; i++)
        ring_put(f->out, ox_msg_new(KIND_BALL, NULL, 0, NULL));
    return NULL;
}

static void *
floor_pong(void *arg)
{
    struct floor_arg *f = arg;
    for (uint64_t i = 0; i < f->n; i++) {
        ox_msg_free(ring_get(f->in));
        ring_put(f->out, ox_msg_new(KIND_BALL, NULL, 0, NULL));
    }
    return NULL;
}

static double
floor_stream(uint32_t senders)
{
    static struct ring ring;
    pthread_t threads[FAN];
    struct floor_arg arg = {.out = &ring, .n = messages / senders};
    ring_init(&ring);
    uint64_t t0 = bench_now_ns();
    for (uint32_t i = 0; i < senders; i++)
        OX_ASSERT(pthread_create(&threads[i], NULL, floor_source, &arg) == 0);
    for (uint64_t i = 0; i < arg.n * senders; i++)
        ox_msg_free(ring_get(&ring));
    double ns = per_message(t0, arg.n * senders);
    for (uint32_t i = 0; i < senders; i++)
        pthread_join(threads[i], NULL);
    return ns;
}

static double
floor_ping_pong(void)
{
    static struct ring there, back;
    pthread_t thread;
    uint64_t n = messages / 16; /* two wake-ups of the kernel each */
    struct floor_arg arg = {.in = &there, .out = &back, .n = n};
    ring_init(&there);
    ring_init(&back);
    OX_ASSERT(pthread_create(&thread, NULL, floor_pong, &arg) == 0);
    uint64_t t0 = bench_now_ns();
    for (uint64_t i = 0; i < n; i++) {
        ring_put(&there, ox_msg_new(KIND_BALL, NULL, 0, NULL));
        ox_msg_free(ring_get(&back));
    }
    double ns = per_message(t0, 2 * n);
    pthread_join(thread, NULL);
    return ns;
}

/* ---- rounds ---- */

enum { PING, STREAM, FAN_IN, SHAPES };
static const char *const shape_names[SHAPES] = {"ping-pong", "stream", "fan-in of 8"};

struct figures {
    double floor[ROUNDS_MAX], one[ROUNDS_MAX], two[ROUNDS_MAX], one_ratio[ROUNDS_MAX], two_ratio[ROUNDS_MAX];
};

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
median(double *v, uint32_t n)
{
    qsort(v, n, sizeof(*v), by_value);
    return v[n / 2];
}

static void
take_round(struct figures *f, uint32_t round)
{
    f[PING].floor[round] = floor_ping_pong();
    f[PING].one[round] = actors_ping_pong(0);
    f[PING].two[round] = actors_ping_pong(1);
    f[STREAM].floor[round] = floor_stream(1);
    f[STREAM].one[round] = actors_stream(0);
    f[STREAM].two[round] = actors_stream(1);
    f[FAN_IN].floor[round] = floor_stream(FAN);
    f[FAN_IN].one[round] = actors_fan_in(0);
    f[FAN_IN].two[round] = actors_fan_in(1);
    for (int s = 0; s < SHAPES; s++) {
        f[s].one_ratio[round] = f[s].one[round] / f[s].floor[round];
        f[s].two_ratio[round] = f[s].two[round] / f[s].floor[round];
    }
}

static void
rates(uint32_t rounds)
{
    static struct figures f[SHAPES];
    for (uint32_t r = 0; r < rounds; r++)
        take_round(f, r);
    printf("ns per message       floor   one scheduler  (ratio)   two schedulers  (ratio)\n");
    for (int s = 0; s < SHAPES; s++)
        printf("  %-14s %9.0f %15.0f  (%.2f) %17.0f  (%.2f)\n", shape_names[s], median(f[s].floor, rounds),
               median(f[s].one, rounds), median(f[s].one_ratio, rounds), median(f[s].two, rounds),
               median(f[s].two_ratio, rounds));
}

/* ---- idle actors ---- */

struct idle {
    void *node; /* as a tenant's actor: a pointer, a queue, a timer */
    void *head, *tail;
    uint64_t retry;
};

static void
idle_message(struct ox_actor *self, struct ox_msg *msg)
{
    sem_post(&done);
}

static const struct ox_actor_class idle_class = {
    .name = "idle", .state_size = sizeof(struct idle), .on_message = idle_message};

static int
idle_actors(uint32_t n)
{
    char name[32];
    ox_pid pid = OX_PID_NONE, first = OX_PID_NONE;
    malloc_trim(0);
    double before = bench_rss_mib(getpid());
    uint64_t t0 = bench_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        struct ox_tenant_id id;
        snprintf(name, sizeof(name), "tenant-%u", i);
        snprintf(id.name, sizeof(id.name), "%s", name);
        struct ox_spawn spec = {
            .class = &idle_class, .name = name, .cause = {.tenant = ox_tenant_index(&id)}};
        OX_ASSERT(spec.cause.tenant != 0);
        ox_err err = i + 1 < n ? ox_spawn(&spec, &pid, NULL) : ox_spawn_wait(&spec, &pid, NULL);
        OX_ASSERT(err == OX_OK);
        first = i == 0 ? pid : first;
    }
    double spawn_us = (double)(bench_now_ns() - t0) / 1e3 / n;
    for (int i = 0; i < 100; i++) { /* every queue has run dry */
        OX_ASSERT(ox_cast(i % 2 ? first : pid, KIND_GO, 0) == OX_OK);
        sem_wait(&done);
    }
    t0 = bench_now_ns();
    for (int i = 0; i < 1000; i++) {
        OX_ASSERT(ox_cast(i % 2 ? first : pid, KIND_GO, 0) == OX_OK);
        sem_wait(&done);
    }
    double wake_us = (double)(bench_now_ns() - t0) / 1e6;
    double after = bench_rss_mib(getpid());
    printf("%u idle actors, each with a name and a tenant: %.0f bytes each, %.0f MiB resident in all; %.1f "
           "us to "
           "spawn one, %.1f us to wake one and hear of it\n",
           n, (after - before) * 1048576 / n, after, spawn_us, wake_us);
    bool holds = after * 1048576 <= (double)RSS_MAX;
    printf("  %-6s %u idle actors within 1 GiB\n", holds ? "ok" : "FAILED", n);
    return holds ? 0 : 1;
}

int
main(int argc, char **argv)
{
    struct ox_diag diag;
    uint32_t actors = 100000, rounds = 7;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--messages") == 0)
            messages = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--actors") == 0)
            actors = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--rounds") == 0)
            rounds = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    }
    rounds = rounds < 1 ? 1 : rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
    sem_init(&done, 0, 0);
    ox_log_set_level(OX_LOG_ERROR);
    struct ox_runtime_options options = {.loops = 2, .actors_max = actors + 64, .names_max = actors + 64};
    if (ox_runtime_start(&options, &diag) != OX_OK) {
        fprintf(stderr, "message_bench: %s\n", diag.text);
        return 1;
    }
    if (messages >= 16 * FAN)
        rates(rounds);
    int code = actors > 1 ? idle_actors(actors) : 0;
    ox_runtime_stop();
    return code;
}
