/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/stress/runtime_stress.c - messages between actors on several loops.
 *
 * Goal:    no message lost, doubled or reordered, no race, while actors on several loops send to each other,
 *          time out, crash, watch each other and use dirty threads.
 * Method:  players pass balls with a running number per pair; a plain program without Criterion, so that it
 *          also runs under TSan.
 * Owns:    nothing.
 * Threads: main waits; all else is the runtime's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ox/actor.h"
#include "ox/log.h"
#include "ox/runtime.h"

enum { KIND_BALL = 1, KIND_SERVE, KIND_JOB, KIND_TICK, KIND_ECHO, KIND_ECHOED, KIND_CRASH };

#define PLAYERS 16u
#define ROUNDS  400u
#define TENANTS 4u

static ox_pid players[PLAYERS];
static uint32_t tenants[TENANTS]; /* the first is nobody */
static _Atomic uint32_t balls, jobs, ticks, echoes, dropped_jobs, downs;
static _Atomic uint32_t finished;

struct player {
    uint32_t me, sent;
    uint64_t last[PLAYERS];
};

static void
bump(_Atomic uint32_t *n)
{
    atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static void
check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "stress: %s\n", what);
        abort();
    }
}

static void
job_run(void *arg)
{
    ++*(uint64_t *)arg;
}

static void
job_drop(void *arg)
{
    bump(&dropped_jobs);
    free(arg);
}

static void
start_side_work(struct ox_actor *self, struct player *p)
{
    uint64_t ref;
    uint64_t *n = calloc(1, sizeof(*n));
    check(n != NULL, "memory");
    if (ox_dirty_submit(self, NULL, job_run, n, KIND_JOB, job_drop, NULL) != OX_OK)
        free(n);
    check(ox_timer_start(self, p->sent % 3, KIND_TICK, 0, &ref) == OX_OK, "timer refused");
    if (p->sent % 5 == 0)
        ox_timer_cancel(self, ref);
    struct ox_msg *msg = ox_msg_new(KIND_ECHO, NULL, 0, NULL);
    check(msg != NULL, "memory");
    if (ox_call(self, players[(p->me + 7) % PLAYERS], &msg, 5000, &ref) != OX_OK)
        ox_msg_free(msg);
}

static void
serve(struct ox_actor *self, struct player *p)
{
    if (p->sent == ROUNDS) {
        bump(&finished);
        return;
    }
    p->sent++;
    for (uint32_t i = 0; i < PLAYERS; i++) {
        struct ox_msg *ball = ox_msg_new(KIND_BALL, NULL, 0, NULL);
        check(ball != NULL, "memory");
        ball->num = (uint64_t)p->me << 32 | p->sent;
        ball->cause.tenant = tenants[p->me % TENANTS];
        while (ox_send(players[i], &ball) != OX_OK)
            check(false, "the mailbox is large enough");
    }
    if (p->sent % 4 == 0)
        start_side_work(self, p);
    check(ox_cast(ox_actor_pid(self), KIND_SERVE, 0) == OX_OK, "own mailbox");
}

static void
on_ball(struct player *p, uint64_t num)
{
    uint32_t from = (uint32_t)(num >> 32);
    uint64_t n = (uint32_t)num;
    check(n == p->last[from] + 1, "a message is missing or out of order");
    p->last[from] = n;
    bump(&balls);
}

static void
player_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct player *p = ox_actor_state(self);
    switch (msg->kind) {
    case KIND_BALL:
        on_ball(p, msg->num);
        break;
    case KIND_SERVE:
        serve(self, p);
        break;
    case KIND_JOB:
        check(*(uint64_t *)msg->data == 1, "a job ran once");
        bump(&jobs);
        break;
    case KIND_TICK:
        bump(&ticks);
        break;
    case KIND_ECHO:
        ox_reply_num(ox_call_from(msg), KIND_ECHOED, OX_OK, 0);
        break;
    case KIND_ECHOED:
        bump(&echoes);
        break;
    default:
        check(msg->kind == OX_MSG_CALL_FAILED, "unknown message");
    }
}

static ox_err
player_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct player *p = ox_actor_state(self);
    p->me = (uint32_t)(uintptr_t)arg;
    return OX_OK;
}

static const struct ox_actor_class player_class = {
    .name = "player",
    .state_size = sizeof(struct player),
    .on_start = player_start,
    .on_message = player_message,
    .mailbox_msgs_max = PLAYERS * ROUNDS + 16,
    .turn_msgs_max = 16,
};

/* The same; its mailbox serves tenants by turns. No tenant may have more in it than what is free. */
static const struct ox_actor_class fair_player_class = {
    .name = "fair_player",
    .state_size = sizeof(struct player),
    .flags = OX_ACTOR_FAIR,
    .on_start = player_start,
    .on_message = player_message,
    .mailbox_msgs_max = 2 * PLAYERS * ROUNDS + 16,
    .turn_msgs_max = 16,
};

/* Lives shortly: watches its forerunner, starts a job that may outlive it, then crashes or leaves. */
struct mayfly {
    ox_pid before;
    uint32_t left;
};
static const struct ox_actor_class mayfly_class;

static ox_err
mayfly_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct mayfly *m = ox_actor_state(self);
    struct mayfly *from = arg;
    uint64_t ref;
    *m = *from;
    free(from);
    uint64_t *n = calloc(1, sizeof(*n));
    if (ox_dirty_submit(self, NULL, job_run, n, KIND_JOB, job_drop, NULL) != OX_OK)
        free(n);
    return ox_monitor(self, m->before, &ref);
}

static void
mayfly_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct mayfly *m = ox_actor_state(self);
    if (msg->kind == KIND_CRASH && m->left % 2 == 0)
        ox_panic("mayfly %u", m->left);
    if (msg->kind == KIND_CRASH)
        ox_exit(self, OX_EXIT_NORMAL);
    if (msg->kind != OX_MSG_DOWN)
        return;
    bump(&downs);
    if (m->left == 0) {
        bump(&finished);
        ox_exit(self, OX_EXIT_NORMAL);
        return;
    }
    struct mayfly *next = malloc(sizeof(*next));
    ox_pid pid;
    check(next != NULL, "memory");
    *next = (struct mayfly){ox_actor_pid(self), m->left - 1};
    check(ox_spawn(&(struct ox_spawn){.class = &mayfly_class, .arg = next}, &pid, NULL) == OX_OK, "spawn");
    check(ox_cast(ox_actor_pid(self), KIND_CRASH, 0) == OX_OK, "own mailbox");
}

static const struct ox_actor_class mayfly_class = {
    .name = "mayfly",
    .state_size = sizeof(struct mayfly),
    .on_start = mayfly_start,
    .on_message = mayfly_message,
};

#define CHAINS       4u
#define CHAIN_LENGTH 100u

int
main(void)
{
    struct ox_runtime_options options = {.loops = 2, .dirty_threads = 2};
    struct ox_diag diag;
    ox_log_set_level(OX_LOG_FATAL);
    check(ox_runtime_start(&options, &diag) == OX_OK, "start");
    for (uint32_t i = 1; i < TENANTS; i++) {
        struct ox_tenant_id id = {{(char)('a' + i)}};
        tenants[i] = ox_tenant_index(&id);
    }
    for (uint32_t i = 0; i < PLAYERS; i++) {
        struct ox_spawn spec = {.class = i % 3 == 0 ? &fair_player_class : &player_class,
                                .arg = (void *)(uintptr_t)i,
                                .loop = i < 4 ? OX_LOOP(i % 2) : 0,
                                .cause = {.tenant = tenants[i % TENANTS]}};
        check(ox_spawn_wait(&spec, &players[i], &diag) == OX_OK, "spawn");
    }
    for (uint32_t i = 0; i < CHAINS; i++) {
        struct mayfly *first = calloc(1, sizeof(*first));
        first->left = CHAIN_LENGTH;
        check(ox_spawn(&(struct ox_spawn){.class = &mayfly_class, .arg = first}, NULL, &diag) == OX_OK,
              "spawn");
    }
    for (uint32_t i = 0; i < PLAYERS; i++)
        check(ox_cast(players[i], KIND_SERVE, 0) == OX_OK, "serve");
    while (atomic_load_explicit(&finished, memory_order_relaxed) < PLAYERS + CHAINS) {
        struct ox_msg *msg = ox_msg_new(KIND_ECHO, NULL, 0, NULL);
        struct ox_msg *reply;
        check(ox_ask(players[0], &msg, 20000, &reply) == OX_OK, "an answer from outside");
        ox_msg_free(reply);
    }
    /* More questions: whatever was sent before them is handled at last, also where tenants take turns. */
    for (uint32_t i = 0; balls < PLAYERS * PLAYERS * ROUNDS; i = (i + 1) % PLAYERS) {
        struct ox_msg *msg = ox_msg_new(KIND_ECHO, NULL, 0, NULL);
        struct ox_msg *reply;
        check(ox_ask(players[i], &msg, 20000, &reply) == OX_OK, "an answer from outside");
        ox_msg_free(reply);
    }
    check(balls == PLAYERS * PLAYERS * ROUNDS, "every ball arrives once");
    check(downs == CHAINS * (CHAIN_LENGTH + 1), "every end is heard of once");
    ox_runtime_stop();
    printf("balls %u jobs %u dropped %u ticks %u echoes %u downs %u\n", balls, jobs, dropped_jobs, ticks,
           echoes, downs);
    return 0;
}
