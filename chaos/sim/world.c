/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/world.c - from a seed to a plan, from the plan to a story of lives, and its end.
 *
 * Owns:    struct sim and the queue of what happens from outside.
 * Threads: one.
 * Bounds:  PATIENCE_S of virtual time for the end to become quiet.
 * Flow:    main.c -> here -> node.c, clients.c, storage.c.
 *
 * Each fault is in or out of a world by its plan: a world with a few kinds of trouble goes deeper into them than one
 * with all of them at once.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "chaos/sim/sim.h"
#include "ox/log.h"

#define PATIENCE_S  900u
#define AUDIT_STEPS 512u
#define INSIST_MAX  60u

struct sim_event {
    uint64_t at_ns, seq;
    void (*fn)(uint64_t arg);
    uint64_t arg;
};

struct sim *sim_now;

/* ---- words ---- */

const char *
sim_break_name(enum sim_break b)
{
    static const char *const names[SIM_BREAK__COUNT] = {
        "none",        "ack-early", "no-token",     "drop-parcel", "no-fsync",
        "lost-wakeup", "eager",     "forget-block", "no-repeats",  "double-owner"};
    return names[b];
}

void
sim_fail(const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "FAILED seed %llu, life %u, step %llu, second %.6f: ", (unsigned long long)sim_now->seed,
            sim_now->life, (unsigned long long)sim_now->result.steps,
            (double)(sim_time() - sim_now->born_ns) / 1e9);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nrepeat: make sim SEED=%llu\n", (unsigned long long)sim_now->seed);
    exit(1);
}

void
sim_note(const char *fmt, ...)
{
    va_list ap;
    if (!sim_now->opt.verbose)
        return;
    printf("%12.6f  ", (double)(sim_time() - sim_now->born_ns) / 1e9);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void
sim_hash_bytes(const void *bytes, size_t n)
{
    sim_now->result.hash = XXH64(bytes, n, sim_now->result.hash);
}

void
sim_hash(uint64_t value)
{
    sim_hash_bytes(&value, sizeof(value));
}

uint64_t
sim_time(void)
{
    return ox_clock_monotonic_ns(&sim_now->clock.clock);
}

bool
sim_chance(uint32_t ppm)
{
    return ox_random_below(&sim_now->rnd, 1000000) < ppm;
}

uint64_t
sim_between(uint64_t from, uint64_t to)
{
    return from + ox_random_below(&sim_now->rnd, to - from + 1);
}

/* ---- what happens from outside: a heap by time, equal times in the order of asking ---- */

static bool
earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void
swap(struct sim_event *a, struct sim_event *b)
{
    struct sim_event t = *a;
    *a = *b;
    *b = t;
}

void
sim_at(uint64_t at_ns, void (*fn)(uint64_t arg), uint64_t arg)
{
    struct sim *s = sim_now;
    if (s->n_events == s->cap_events) {
        s->cap_events = s->cap_events != 0 ? s->cap_events * 2 : 256;
        s->events = realloc(s->events, s->cap_events * sizeof(*s->events));
        OX_ASSERT(s->events != NULL);
    }
    uint32_t i = s->n_events++;
    s->events[i] = (struct sim_event){at_ns, s->event_seq++, fn, arg};
    for (; i > 0 && earlier(&s->events[i], &s->events[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&s->events[i], &s->events[(i - 1) / 2]);
}

static struct sim_event
event_pop(struct sim *s)
{
    struct sim_event first = s->events[0];
    s->events[0] = s->events[--s->n_events];
    for (uint32_t i = 0;;) {
        uint32_t least = i, child = 2 * i + 1;
        for (uint32_t c = child; c < child + 2 && c < s->n_events; c++)
            least = earlier(&s->events[c], &s->events[least]) ? c : least;
        if (least == i)
            break;
        swap(&s->events[i], &s->events[least]);
        i = least;
    }
    return first;
}

/* ---- the plan ---- */

static void
make_plan(struct sim *s)
{
    struct sim_plan *p = &s->plan;
    p->length_ns = sim_between(5, 120) * SIM_S;
    p->tenants = (uint32_t)sim_between(1, SIM_TENANTS_MAX);
    p->requests = (uint32_t)sim_between(20, 300);
    p->records = (uint32_t)sim_between(1, SIM_RECORDS_MAX);
    p->repeat_permille = sim_chance(500000) ? (uint32_t)sim_between(0, 300) : 0;
    p->panic_ppm = sim_chance(300000) ? (uint32_t)sim_between(1000, 200000) : 0;
    p->cursed = sim_chance(150000) ? (uint32_t)sim_between(0, p->tenants - 1) : SIM_TENANTS_MAX;
    p->bookkeeper_ppm = sim_chance(200000) ? (uint32_t)sim_between(100, 10000) : 0;
    p->slow_ppm = sim_chance(300000) ? (uint32_t)sim_between(1000, 50000) : 0;
    p->job_refused_ppm = sim_chance(300000) ? (uint32_t)sim_between(1000, 200000) : 0;
    p->storage_weather = sim_chance(700000);
    p->disk_faults = sim_chance(300000);
    p->disk_full = sim_chance(150000);
    p->kills = sim_chance(700000);
    p->graceful = sim_chance(300000);
    p->floods = sim_chance(400000);
    p->poison = sim_chance(100000);
    p->clock_jumps = sim_chance(100000);
    p->sampling =
        s->seed * 0x9e3779b97f4a7c15ull >> 62 == 0; /* undrawn: seeds of before stay what they were */
    sim_note("plan: %llu s, %u tenants, %u requests of up to %u records; repeats %u, panics %u, bookkeepers "
             "%u, slow %u, "
             "jobs refused %u%s%s%s%s%s%s%s%s",
             (unsigned long long)(p->length_ns / SIM_S), p->tenants, p->requests, p->records,
             p->repeat_permille, p->panic_ppm, p->bookkeeper_ppm, p->slow_ppm, p->job_refused_ppm,
             p->storage_weather ? ", storage" : "", p->disk_faults ? ", disk" : "",
             p->disk_full ? ", full" : "", p->kills ? ", kills" : "", p->graceful ? ", stops" : "",
             p->floods ? ", floods" : "", p->poison ? ", poison" : "", p->clock_jumps ? ", jumps" : "");
}

/* ---- trouble ---- */

static bool kill_due, kill_power, stop_due;

static void
on_kill(uint64_t arg)
{
    struct sim *s = sim_now;
    if (s->calm)
        return;
    kill_power = sim_chance(600000);
    if (sim_chance(400000)) /* in the middle of what the disk is asked to do */
        fault_disk_die(s->disk, sim_between(1, 60));
    else
        kill_due = true;
    sim_at(sim_time() + sim_between(1, s->plan.length_ns / SIM_MS / 3) * SIM_MS, on_kill, 0);
}

static void
on_stop(uint64_t arg)
{
    stop_due = !sim_now->calm;
    sim_at(sim_time() + sim_between(1, sim_now->plan.length_ns / SIM_MS) * SIM_MS, on_stop, 0);
}

static void
on_disk(uint64_t arg)
{
    static const int errnums[] = {EIO, EIO, ENOSPC};
    struct sim *s = sim_now;
    if (s->calm)
        return;
    if (!fault_disk_fired(s->disk) || sim_chance(500000)) {
        fault_disk_fail(s->disk, sim_between(1, 40), errnums[sim_between(0, 2)], sim_chance(500000));
        s->result.disk_faults++;
    }
    fault_disk_short_writes(s->disk, sim_chance(200000) ? sim_between(1, 4096) : 0);
    sim_at(sim_time() + sim_between(10, 5000) * SIM_MS, on_disk, 0);
}

static void
on_full(uint64_t arg)
{
    if (sim_now->calm)
        return;
    fault_disk_limit(sim_now->disk, arg != 0 ? sim_between(300, 1500) << 10 : 0);
    sim_note("the disk is %s", arg != 0 ? "small" : "large");
    sim_at(sim_time() + sim_between(500, 20000) * SIM_MS, on_full, !arg);
}

static void
on_jump(uint64_t arg)
{
    if (!sim_now->calm)
        ox_clock_virtual_jump(&sim_now->clock,
                              (int64_t)sim_between(0, 6000) * (int64_t)SIM_S - 3000 * (int64_t)SIM_S);
}

static void
on_weather(uint64_t arg)
{
    if (!sim_now->calm)
        sim_storage_weather(sim_now->storage);
    sim_at(sim_time() + sim_between(50, 15000) * SIM_MS, on_weather, 0);
}

static void
make_trouble(struct sim *s)
{
    uint64_t now = sim_time(), third_ms = s->plan.length_ns / SIM_MS / 3;
    kill_due = stop_due = false;
    if (s->plan.kills)
        sim_at(now + sim_between(0, third_ms) * SIM_MS, on_kill, 0);
    if (s->plan.graceful)
        sim_at(now + sim_between(0, third_ms * 2) * SIM_MS, on_stop, 0);
    if (s->plan.disk_faults)
        sim_at(now + sim_between(0, 5000) * SIM_MS, on_disk, 0);
    if (s->plan.disk_full)
        sim_at(now + sim_between(0, third_ms) * SIM_MS, on_full, 1);
    if (s->plan.storage_weather)
        sim_at(now, on_weather, 0);
    if (s->plan.clock_jumps)
        sim_at(now + sim_between(0, third_ms * 3) * SIM_MS, on_jump, 0);
}

/* ---- lives ---- */

/* Until a node stands. A disk that dies again while it starts ends that life, too. */
static void
begin_life(struct sim *s)
{
    while (!sim_node_start(s))
        sim_node_kill(s, sim_chance(500000));
    sim_audit(s);
}

/* True when the node had to end. */
static bool
ended(struct sim *s)
{
    bool died = fault_disk_dead(s->disk);
    if (!s->fell && !kill_due && !died && !stop_due)
        return false;
    if (stop_due && !s->fell && !kill_due && !died)
        sim_node_stop(s);
    else
        sim_node_kill(s, !s->fell && kill_power);
    kill_due = stop_due = false;
    begin_life(s);
    return true;
}

/* Whatever is next: something from outside, a step inside, or the time until either. */
static void
go_on(struct sim *s)
{
    uint64_t now = sim_time();
    uint64_t outside = s->n_events > 0 ? s->events[0].at_ns : UINT64_MAX;
    if (outside <= now && sim_chance(300000)) {
        struct sim_event e = event_pop(s);
        e.fn(e.arg);
        return;
    }
    if (sim_node_step(s)) {
        if (s->result.steps % AUDIT_STEPS == 0 && !s->ghost && !s->fell && !fault_disk_dead(s->disk))
            sim_audit(s);
        return;
    }
    if (outside <= now)
        return;
    uint64_t inside = ox_runtime_next_timer_ns();
    uint64_t next = inside < outside ? inside : outside;
    if (next == UINT64_MAX)
        sim_fail("nothing will ever happen again");
    ox_clock_virtual_advance(&s->clock, next - now);
}

static void
run_until(struct sim *s, uint64_t until_ns)
{
    while (sim_time() < until_ns) {
        go_on(s);
        (void)ended(s);
    }
}

static void
calm_down(struct sim *s)
{
    sim_note("all trouble ends");
    s->calm = true;
    s->plan.panic_ppm = s->plan.bookkeeper_ppm = s->plan.slow_ppm = s->plan.job_refused_ppm = 0;
    kill_due = stop_due = false;
    if (!fault_disk_dead(s->disk)) {
        fault_disk_fail(s->disk, 0, 0, false);
        fault_disk_short_writes(s->disk, 0);
    }
    fault_disk_limit(s->disk, 0);
    s->plan.cursed = SIM_TENANTS_MAX;
    sim_storage_calm(s->storage);
}

static void
until_quiet(struct sim *s)
{
    uint64_t until = sim_time() + PATIENCE_S * SIM_S;
    while (!sim_node_idle(s)) {
        go_on(s);
        (void)ended(s);
        sim_node_revoke(s); /* a quarantine that was decided before the calm may be in force only now */
        if (sim_time() > until)
            sim_fail("not quiet after %u s: %llu records in flight, %llu in writers, %llu blocks, %llu "
                     "notes, replay %s",
                     PATIENCE_S, (unsigned long long)ox_tenants_in_flight(s->n.node.tenants),
                     (unsigned long long)atomic_load(&s->n.node.writer_records),
                     (unsigned long long)atomic_load(&s->n.node.outbox_blocks),
                     (unsigned long long)atomic_load(&s->n.node.outbox_notes),
                     atomic_load(&s->n.node.replay_done) ? "done" : "not done");
    }
}

/* What was refused must be taken now that nothing is wrong any more. */
static void
until_taken(struct sim *s)
{
    for (uint32_t tries = 0; !sim_clients_all_acked(); tries++) {
        if (tries == INSIST_MAX)
            sim_fail("requests are refused for ever although nothing is wrong any more");
        sim_clients_insist();
        until_quiet(s);
        uint64_t pause_ns = sim_time() + SIM_S;
        run_until(s, pause_ns);
    }
}

static void
finish(struct sim *s)
{
    calm_down(s);
    if (sim_chance(300000)) {
        sim_node_kill(s, sim_chance(500000));
        begin_life(s);
    }
    sim_node_revoke(s);
    until_quiet(s);
    until_taken(s);
    sim_node_check_idle(s);
    sim_counters_check();
    sim_audit(s);
    sim_clients_check_end(s);
    sim_node_stop(s);
    begin_life(s);
    if (s->n.recovered.n_blocks != 0)
        sim_fail("after everything was stored and noted, %zu blocks are to be sent again",
                 s->n.recovered.n_blocks);
    until_quiet(s);
    sim_clients_check_end(s);
}

void
sim_world_run(uint64_t seed, const struct sim_options *opt, struct sim_result *out)
{
    struct sim *s = calloc(1, sizeof(*s));
    OX_ASSERT(s != NULL);
    sim_now = s;
    s->seed = seed;
    s->opt = *opt;
    ox_random_seed(&s->rnd, seed);
    ox_random_seed(&s->os, seed ^ UINT64_C(0x5bd1e9955bd1e995));
    ox_clock_virtual_init(&s->clock, 1000 * SIM_S, UINT64_C(1790000000) * SIM_S);
    s->born_ns = sim_time();
    s->disk = fault_disk_new(seed);
    fault_disk_lie(s->disk, opt->broken == SIM_BREAK_NO_FSYNC);
    s->storage = sim_storage_new();
    make_plan(s);
    sim_node_config(s);
    s->clients = sim_clients_new(s);
    sim_counters_begin();
    make_trouble(s);
    begin_life(s);
    run_until(s, s->born_ns + s->plan.length_ns);
    finish(s);
    s->result.virtual_ns = sim_time() - s->born_ns;
    s->ghost = true;
    sim_node_kill(s, false);
    s->result.kills--;
    sim_hash(fault_disk_calls(s->disk));
    *out = s->result;
    sim_clients_free(s->clients);
    sim_storage_free(s->storage);
    fault_disk_free(s->disk);
    free(s->events);
    free(s);
    sim_now = NULL;
}
