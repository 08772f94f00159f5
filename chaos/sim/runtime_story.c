/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/runtime_story.c - the runtime alone: peers that send, call, wait, watch, work and crash at random.
 *
 * Owns:    the peers' books, which live longer than any of their incarnations.
 * Threads: one.
 * Bounds:  PEERS_MAX peers; `budget` things that they do together, then the story ends.
 *
 * Held against the books: notes of one sender arrive in order, each is dropped once; a call has one answer, a time-out
 * not before its time; a timer fires once, not early, and never when it was cancelled; a job completes once and not
 * before it is done; DOWN comes once, and only for the dead. In every step tests/harness/runtime_check.c looks at the
 * runtime's own structures.
 */
#include <stdio.h>
#include <stdlib.h>

#include "chaos/sim/sim.h"
#include "ox/supervisor.h"
#include "tests/harness/runtime_check.h"

#define PEERS_MAX 12u
#define WAITS_MAX 64u
#define QUIET_S   600u

enum kind { NOTE = 1, QUESTION, REPLY, TIMER, JOB, POKE };

struct note {
    uint32_t from, to;
    uint64_t seq;
    bool alive;
};

/* Something that a peer waits for. */
struct wait {
    uint64_t ref;
    enum kind kind; /* QUESTION, TIMER, JOB; NOTE = a monitor */
    uint64_t not_before_ns;
};

static struct peer {
    ox_pid pid;
    struct wait waits[WAITS_MAX]; /* of the present incarnation */
    uint32_t n_waits;
    uint64_t sent[PEERS_MAX], heard[PEERS_MAX];
    uint32_t deaths;
} peers[PEERS_MAX];
static uint32_t n_peers;
static uint64_t budget, notes_made, notes_dropped;

struct job {
    uint64_t takes_ns;
    bool done;
};

/* ---- the books ---- */

static struct wait *
expect(struct peer *p, uint64_t ref, enum kind kind, uint64_t not_before_ns)
{
    if (p->n_waits == WAITS_MAX)
        sim_fail("more waits than pending_max admits");
    p->waits[p->n_waits] = (struct wait){ref, kind, not_before_ns};
    return &p->waits[p->n_waits++];
}

static void
settle(struct peer *p, uint64_t ref, enum kind kind, bool early_is_fine)
{
    for (uint32_t i = 0; i < p->n_waits; i++) {
        struct wait *w = &p->waits[i];
        if (w->ref != ref || w->kind != kind)
            continue;
        if (!early_is_fine && sim_time() < w->not_before_ns)
            sim_fail("a wait of kind %d ended %llu ns early", kind,
                     (unsigned long long)(w->not_before_ns - sim_time()));
        *w = p->waits[--p->n_waits];
        return;
    }
    sim_fail("an answer (kind %d) that nobody waits for", kind);
}

static void
note_drop(void *arg)
{
    struct note *n = arg;
    if (!n->alive)
        sim_fail("a note is dropped twice");
    n->alive = false;
    notes_dropped++;
    free(n);
}

/* ---- what peers do ---- */

static struct peer *
someone(void)
{
    return &peers[sim_between(0, n_peers - 1)];
}

static uint32_t
index_of(const struct peer *p)
{
    return (uint32_t)(p - peers);
}

static void
do_note(struct peer *p)
{
    struct peer *to = someone();
    struct note *n = calloc(1, sizeof(*n));
    OX_ASSERT(n != NULL);
    *n = (struct note){index_of(p), index_of(to), ++p->sent[index_of(to)], true};
    notes_made++;
    struct ox_msg *msg = ox_msg_new(NOTE, n, (size_t)sim_between(0, 2000), note_drop);
    OX_ASSERT(msg != NULL);
    msg->flags |= sim_chance(100000) ? OX_MSG_F_CONTROL : 0;
    if (ox_send(to->pid, &msg) != OX_OK)
        ox_msg_free(msg);
}

static void
do_call(struct ox_actor *self, struct peer *p)
{
    uint32_t timeout_ms = (uint32_t)sim_between(1, 2000);
    uint64_t ref, due = sim_time() + timeout_ms * SIM_MS;
    struct ox_msg *msg = ox_msg_new(QUESTION, NULL, 0, NULL);
    OX_ASSERT(msg != NULL);
    if (ox_call(self, someone()->pid, &msg, timeout_ms, &ref) == OX_OK)
        expect(p, ref, QUESTION, due);
    else
        ox_msg_free(msg);
}

static void
do_timer(struct ox_actor *self, struct peer *p)
{
    uint64_t ref, after_ms = sim_between(0, 5000), due = sim_time() + after_ms * SIM_MS;
    if (ox_timer_start(self, after_ms, TIMER, 0, &ref) == OX_OK)
        expect(p, ref, TIMER, due);
}

static void
do_cancel(struct ox_actor *self, struct peer *p)
{
    for (uint32_t i = 0; i < p->n_waits; i++) {
        struct wait *w = &p->waits[i];
        if (w->kind == TIMER)
            ox_timer_cancel(self, w->ref);
        else if (w->kind == QUESTION)
            ox_call_cancel(self, w->ref);
        else if (w->kind == NOTE)
            ox_demonitor(self, w->ref);
        else
            continue;
        *w = p->waits[--p->n_waits];
        return;
    }
}

static void
job_run(void *arg)
{
    struct job *job = arg;
    job->done = true;
    if (job->takes_ns > 0)
        ox_runtime_job_takes(job->takes_ns);
}

static void
do_job(struct ox_actor *self, struct peer *p)
{
    struct job *job = calloc(1, sizeof(*job));
    uint64_t ref;
    OX_ASSERT(job != NULL);
    job->takes_ns = sim_chance(500000) ? sim_between(0, 3000) * SIM_MS : 0;
    uint64_t due = sim_time() + job->takes_ns;
    if (ox_dirty_submit(self, NULL, job_run, job, JOB, free, &ref) == OX_OK)
        expect(p, ref, JOB, due);
    else
        free(job);
}

static void
do_monitor(struct ox_actor *self, struct peer *p)
{
    uint64_t ref;
    if (ox_monitor(self, someone()->pid, &ref) == OX_OK)
        expect(p, ref, NOTE, 0);
}

static void
do_something(struct ox_actor *self, struct peer *p)
{
    if (budget == 0)
        return;
    budget--;
    switch (sim_between(0, 9)) {
    case 0:
    case 1:
    case 2:
    case 3:
        do_note(p);
        break;
    case 4:
        do_call(self, p);
        break;
    case 5:
    case 6:
        do_timer(self, p);
        break;
    case 7:
        do_cancel(self, p);
        break;
    case 8:
        do_job(self, p);
        break;
    default:
        do_monitor(self, p);
    }
    if (sim_chance(sim_now->plan.panic_ppm))
        ox_panic("a panic of the simulation");
}

/* ---- the actor ---- */

static ox_err
peer_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct peer *p = arg;
    *(struct peer **)ox_actor_state(self) = p;
    p->n_waits = 0; /* what an earlier incarnation waited for is forgotten */
    p->pid = ox_actor_pid(self);
    uint64_t ref;
    ox_err err = ox_timer_start(self, sim_between(0, 100), TIMER, 0, &ref);
    if (err == OX_OK)
        expect(p, ref, TIMER, 0);
    return err;
}

static void
on_note(struct peer *p, const struct ox_msg *msg)
{
    const struct note *n = msg->data;
    if (!n->alive || n->to != index_of(p))
        sim_fail("a note that is not for its reader");
    if (n->seq <= p->heard[n->from])
        sim_fail("note %llu of peer %u comes after note %llu", (unsigned long long)n->seq, n->from,
                 (unsigned long long)p->heard[n->from]);
    p->heard[n->from] = n->seq;
}

static void
on_job(struct peer *p, const struct ox_msg *msg)
{
    const struct job *job = msg->data;
    if (!job->done)
        sim_fail("a job completes that has not run");
    settle(p, msg->ref, JOB, false);
}

static void
peer_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct peer *p = *(struct peer **)ox_actor_state(self);
    switch (msg->kind) {
    case NOTE:
        on_note(p, msg);
        break;
    case QUESTION:
        if (sim_chance(800000)) /* else never: the time-out answers */
            ox_reply_num(ox_call_from(msg), REPLY, OX_OK, 1);
        break;
    case REPLY:
        settle(p, msg->ref, QUESTION, true);
        break;
    case OX_MSG_CALL_FAILED:
        settle(p, msg->ref, QUESTION, msg->err != OX_E_TIMEOUT);
        break;
    case TIMER:
        settle(p, msg->ref, TIMER, false);
        break;
    case JOB:
        on_job(p, msg);
        break;
    case OX_MSG_DOWN:
        settle(p, msg->ref, NOTE, true);
        break;
    case POKE:
        break;
    default:
        sim_fail("a message of kind %u that nobody sends", msg->kind);
    }
    for (uint64_t n = sim_between(0, 2); n > 0; n--)
        do_something(self, p);
}

static const struct ox_actor_class peer_class = {
    .name = "peer",
    .state_size = sizeof(struct peer *),
    .on_start = peer_start,
    .on_message = peer_message,
    .mailbox_msgs_max = 16,
    .mailbox_bytes_max = 8000,
    .control_msgs_max = 4,
    .pending_max = 32,
    .turn_msgs_max = 3,
};

/* ---- the story ---- */

static void
add_peers(struct sim *s)
{
    ox_pid sup;
    struct ox_diag diag;
    const struct ox_config *cfg = &s->n.config;
    struct ox_sup_spec spec = {.name = "peers",
                               .max_restarts = (uint32_t)cfg->supervisor_max_restarts,
                               .window_ms = (uint32_t)cfg->supervisor_restart_window_ms,
                               .backoff_min_ms = (uint32_t)cfg->supervisor_backoff_min_ms,
                               .backoff_max_ms = (uint32_t)cfg->supervisor_backoff_max_ms};
    if (ox_sup_start(&spec, &sup, &diag) != OX_OK)
        sim_fail("no supervisor: %s", diag.text);
    for (uint32_t i = 0; i < n_peers; i++) {
        char id[16];
        snprintf(id, sizeof(id), "peer/%u", i);
        struct ox_child_spec child = {.id = id,
                                      .class = &peer_class,
                                      .arg = &peers[i],
                                      .name = id,
                                      .past_intensity = OX_SUP_QUARANTINE};
        if (ox_sup_add(sup, &child, sim_chance(500000), &peers[i].pid, &diag) != OX_OK)
            sim_fail("no peer: %s", diag.text);
    }
}

/* False: nothing is ready and nothing will be. */
static bool
step(struct sim *s)
{
    char why[512];
    if (ox_runtime_step()) {
        s->result.steps++;
        ox_clock_virtual_advance(&s->clock, sim_between(0, 200) * 1000);
        if (!runtime_check(why, sizeof(why)))
            sim_fail("%s", why);
        return true;
    }
    uint64_t next = ox_runtime_next_timer_ns();
    if (next != UINT64_MAX)
        ox_clock_virtual_advance(&s->clock, next > sim_time() ? next - sim_time() : 0);
    if (budget > 0 && (next == UINT64_MAX || sim_chance(300000))) {
        budget--;
        (void)!ox_cast(someone()->pid, POKE, 0); /* refused by the quarantined */
        return true;
    }
    return next != UINT64_MAX;
}

/* Whoever lives must have had all that he waits for, monitors of the living aside. */
static void
check_quiet(void)
{
    for (uint32_t i = 0; i < n_peers; i++) {
        for (uint32_t w = 0; w < peers[i].n_waits; w++) {
            if (peers[i].waits[w].kind != NOTE && ox_mailbox_fill(peers[i].pid) < 1)
                sim_fail("peer %u waits (kind %d) for what never comes", i, peers[i].waits[w].kind);
        }
    }
}

static void
set_up(struct sim *s, uint64_t seed, const struct sim_options *opt)
{
    s->seed = seed;
    s->opt = *opt;
    ox_random_seed(&s->rnd, ~seed);
    ox_clock_virtual_init(&s->clock, 1000 * SIM_S, UINT64_C(1790000000) * SIM_S);
    s->born_ns = sim_time();
    ox_config_defaults(&s->n.config);
    s->n.config.supervisor_max_restarts = (int64_t)sim_between(1, 8);
    s->plan.panic_ppm = sim_chance(700000) ? (uint32_t)sim_between(0, 50000) : 0;
    memset(peers, 0, sizeof(peers));
    n_peers = (uint32_t)sim_between(2, PEERS_MAX);
    budget = sim_between(50, 3000);
    notes_made = notes_dropped = 0;
    sim_supervision_reset();
}

void
sim_story_run(uint64_t seed, const struct sim_options *opt, struct sim_result *out)
{
    struct sim *s = calloc(1, sizeof(*s));
    struct ox_diag diag;
    OX_ASSERT(s != NULL);
    sim_now = s;
    set_up(s, seed, opt);
    struct ox_runtime_options ro = {.single_thread = true,
                                    .seed = ox_random_u64(&s->rnd),
                                    .actors_max = 64,
                                    .names_max = 64,
                                    .dirty_threads = (uint32_t)sim_between(1, 4),
                                    .dirty_queue_max = 8,
                                    .clock = &s->clock.clock};
    sim_hooks(&ro.hooks);
    if (ox_runtime_start(&ro, &diag) != OX_OK)
        sim_fail("the runtime does not start: %s", diag.text);
    add_peers(s);
    uint64_t until = UINT64_MAX;
    while (step(s)) {
        if (budget == 0 && until == UINT64_MAX)
            until = sim_time() + QUIET_S * SIM_S;
        if (sim_time() > until)
            sim_fail("the peers do not come to rest");
    }
    check_quiet();
    s->ghost = true;
    ox_runtime_stop();
    if (notes_made != notes_dropped)
        sim_fail("%llu notes were made and %llu dropped", (unsigned long long)notes_made,
                 (unsigned long long)notes_dropped);
    s->result.virtual_ns = sim_time() - s->born_ns;
    *out = s->result;
    free(s);
    sim_now = NULL;
}
