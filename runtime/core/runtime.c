/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/runtime.c - starting, stopping, and driving the runtime by hand.
 *
 * Owns:    the one runtime of the process.
 * Threads: main.
 * Bounds:  stop_ms for an orderly stop, then KILL_MS for the rest.
 * Fails:   NOMEM, STATE; a thread that never returns at the stop ends the process.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/core/internal.h"

#define LOOPS_MAX 256u  /* the watchdog's table */
#define KILL_MS   2000u /* after which an actor that was killed still has not come back from its turn */

struct ox__runtime *ox__rt;

static sem_t quit_sem;
static volatile int quit_code;
static pthread_once_t quit_once = PTHREAD_ONCE_INIT;

static void
quit_init(void)
{
    sem_init(&quit_sem, 0, 0);
}

static void
fill_options(struct ox_runtime_options *o)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    o->loops = o->loops != 0 ? o->loops : cpus > 0 ? (uint32_t)cpus : 1;
    o->loops = o->single_thread ? 1 : o->loops < LOOPS_MAX ? o->loops : LOOPS_MAX;
    o->actors_max = o->actors_max != 0 ? o->actors_max : 65536;
    o->names_max = o->names_max != 0 ? o->names_max : 65536;
    o->dirty_threads = o->dirty_threads != 0 ? o->dirty_threads : 4;
    o->dirty_queue_max = o->dirty_queue_max != 0 ? o->dirty_queue_max : 1024;
    o->turn_warn_ms = o->turn_warn_ms != 0 ? o->turn_warn_ms : 100;
    o->turn_fault_ms = o->turn_fault_ms != 0 ? o->turn_fault_ms : 1000;
    o->stop_ms = o->stop_ms != 0 ? o->stop_ms : 10000;
}

void
ox_runtime_watch(uint32_t turn_warn_ms, uint32_t turn_fault_ms)
{
    struct ox_runtime_options o = {.turn_warn_ms = turn_warn_ms, .turn_fault_ms = turn_fault_ms};
    fill_options(&o);
    ox__watch_limits(ox__rt, o.turn_warn_ms, o.turn_fault_ms);
}

static double
actors_now(void *arg)
{
    return ox_runtime_actors();
}

static ox_err
init_parts(struct ox__runtime *rt)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&rt->death_lock, NULL);
    pthread_cond_init(&rt->death, &attr);
    pthread_condattr_destroy(&attr);
    ox_random_seed(&rt->random, rt->opt.seed);
    ox_err err = ox__slots_init(rt);
    if (err == OX_OK)
        err = ox__names_init(rt->opt.names_max);
    rt->loops = calloc(rt->opt.loops, sizeof(*rt->loops));
    if (rt->loops == NULL)
        return OX_E_NOMEM;
    for (uint32_t i = 0; i < rt->opt.loops && err == OX_OK; i++) {
        err = ox__loop_init(&rt->loops[i], i, !rt->opt.single_thread);
        rt->loops_n = i + 1;
    }
    if (err == OX_OK)
        err = ox__lanes_init(rt);
    return err;
}

static ox_err
start_threads(struct ox__runtime *rt)
{
    if (rt->opt.single_thread)
        return OX_OK;
    for (uint32_t i = 0; i < rt->loops_n; i++) {
        int rc = pthread_create(&rt->loops[i].thread, NULL, ox__loop_main, &rt->loops[i]);
        OX_UNHANDLED(rc == 0); /* threads that did start cannot be taken back */
        char name[32];
        snprintf(name, sizeof(name), "ox-loop-%u", i % 1000);
        pthread_setname_np(rt->loops[i].thread, name);
    }
    return ox__watch_start(rt);
}

ox_err
ox_runtime_start(const struct ox_runtime_options *options, struct ox_diag *diag)
{
    if (ox__rt != NULL)
        return ox_diag_set(diag, OX_E_STATE, NULL, -1, "the runtime is already running");
    struct ox__runtime *rt = calloc(1, sizeof(*rt));
    if (rt == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the runtime");
    rt->opt = *options;
    fill_options(&rt->opt);
    ox__watch_limits(rt, rt->opt.turn_warn_ms, rt->opt.turn_fault_ms);
    rt->clock = options->clock != NULL ? options->clock : ox_clock_real();
    ox__rt = rt;
    pthread_once(&quit_once, quit_init);
    ox_log_set_clock(options->clock);
    ox_err err = init_parts(rt);
    if (err == OX_OK)
        err = start_threads(rt);
    if (err != OX_OK) {
        ox_runtime_stop();
        return ox_diag_set(diag, err, NULL, -1, "the runtime cannot start: %s", ox_err_text(err));
    }
    ox_metric_probe(OX_M_runtime_actors, actors_now, NULL);
    ox__load_start();
    return OX_OK;
}

int
ox_runtime_run(void)
{
    pthread_once(&quit_once, quit_init);
    while (sem_wait(&quit_sem) != 0 && errno == EINTR) {
    }
    return quit_code;
}

void
ox_runtime_quit(int code)
{
    /* The semaphore orders the write before the read behind sem_wait. */
    quit_code = code;
    sem_post(&quit_sem);
}

/* ---- stopping ---- */

static uint64_t
real_now(void)
{
    return ox_clock_monotonic_ns(ox_clock_real());
}

static bool
gone(ox_pid pid)
{
    return ox_pid_is_none(pid) ? ox_runtime_actors() == 0 : !ox_alive(pid);
}

bool
ox__wait_gone(ox_pid pid, uint64_t deadline_ns)
{
    struct ox__runtime *rt = ox__rt;
    if (rt->opt.single_thread) {
        while (!gone(pid) && ox_runtime_step()) {
        }
        return gone(pid);
    }
    struct timespec until = {(time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000)};
    bool done = gone(pid);
    while (!done) {
        /* A burial between the check and the wait would be missed without the second check under the lock;
         * the slot's lock may not be taken under death_lock, so the wait is cut into pieces instead. */
        struct timespec piece;
        uint64_t piece_ns = real_now() + 20 * NS_PER_MS;
        piece.tv_sec = (time_t)(piece_ns / 1000000000);
        piece.tv_nsec = (long)(piece_ns % 1000000000);
        bool last = piece_ns >= deadline_ns;
        ox__lock(&rt->death_lock);
        pthread_cond_timedwait(&rt->death, &rt->death_lock, last ? &until : &piece);
        ox__unlock(&rt->death_lock);
        done = gone(pid);
        if (!done && real_now() >= deadline_ns)
            return false;
    }
    return true;
}

static void
each_actor(ox_err (*fn)(ox_pid pid))
{
    ox__lock(&ox__rt->slots_lock);
    uint32_t n = ox__rt->slots_used;
    ox__unlock(&ox__rt->slots_lock);
    for (uint32_t i = 0; i < n; i++) {
        ox_pid pid = ox__slot_pid(i);
        if (!ox_pid_is_none(pid))
            (void)fn(pid);
    }
}

static ox_err
bury_waiting(ox_pid pid)
{
    ox__actor_bury(pid); /* those that a supervisor left behind: held, down or quarantined */
    return OX_OK;
}

static void
stop_actors(struct ox__runtime *rt)
{
    uint64_t deadline = real_now() + rt->opt.stop_ms * NS_PER_MS;
    ox__roots_stop(deadline);
    each_actor(bury_waiting);
    each_actor(ox_stop);
    if (ox__wait_gone(OX_PID_NONE, deadline))
        return;
    each_actor(ox_kill);
    (void)ox__wait_gone(OX_PID_NONE, real_now() + KILL_MS * NS_PER_MS);
    each_actor(bury_waiting);
    if (ox_runtime_actors() > 0) {
        OX_LOG_FATAL("runtime", "an actor does not return from its turn at the stop",
                     OX_F_U64("actors", ox_runtime_actors()));
        abort(); /* its thread cannot be joined, its memory not freed */
    }
}

static void
close_own_handles(struct ox__loop *loop)
{
    /* release: pairs with the loop's acquire, so that it sees all that was done before */
    atomic_store_explicit(&loop->quit, true, memory_order_release);
    ox__loop_wake(loop);
    pthread_join(loop->thread, NULL);
}

void
ox_runtime_stop(void)
{
    struct ox__runtime *rt = ox__rt;
    if (rt == NULL)
        return;
    OX_ASSERT(ox__loop_now == NULL);
    ox__load_stop();
    bool threads = rt->watchdog_runs || rt->opt.single_thread;
    if (threads)
        stop_actors(rt);
    ox__lanes_stop();
    ox__watch_stop(rt);
    for (uint32_t i = 0; i < rt->loops_n; i++) {
        if (threads && !rt->opt.single_thread)
            close_own_handles(&rt->loops[i]);
        ox__loop_fini(&rt->loops[i]);
    }
    ox_log_set_clock(NULL);
    ox__names_fini();
    ox__slots_fini(rt);
    free(rt->loops);
    pthread_mutex_destroy(&rt->death_lock);
    pthread_cond_destroy(&rt->death);
    ox__rt = NULL;
    free(rt);
}

/* ---- questions ---- */

uint32_t
ox_runtime_loops(void)
{
    return ox__rt != NULL ? ox__rt->loops_n : 0;
}

uint32_t
ox_runtime_actors(void)
{
    return ox__rt != NULL ? atomic_load_explicit(&ox__rt->actors, memory_order_relaxed) : 0;
}

ox_err
ox_mailbox_depth(ox_pid pid, uint32_t *msgs, uint64_t *bytes)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return OX_E_GONE;
    *msgs = actor->msgs;
    *bytes = actor->bytes;
    ox__actor_unlock(actor);
    return OX_OK;
}

double
ox_mailbox_fill(ox_pid pid)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return 1;
    double msgs = (double)actor->msgs / (double)actor->limits.mailbox_msgs_max;
    double bytes = (double)actor->bytes / (double)actor->limits.mailbox_bytes_max;
    double fill = actor->run == OX__RUN_QUARANTINED ? 1 : msgs > bytes ? msgs : bytes;
    ox__actor_unlock(actor);
    return fill < 1 ? fill : 1;
}

/* ---- single-thread mode ---- */

static void
tell(const struct ox_step *step)
{
    const struct ox_runtime_hooks *hooks = &ox__rt->opt.hooks;
    if (hooks->step != NULL)
        hooks->step(hooks->arg, step);
}

static void
step_turn(struct ox__loop *loop, uint32_t nth)
{
    struct ox_actor *actor = ox__rt->opt.fair_order ? ox__ready_pop(loop) : ox__ready_pick(loop, nth);
    struct ox_step step = {.what = OX_STEP_TURN,
                           .pid = actor->pid,
                           .class_name = actor->class->name,
                           .name = actor->name,
                           .msg_kind = actor->head != NULL ? actor->head->kind : 0,
                           .msgs = actor->msgs + actor->controls};
    tell(&step);
    ox__loop_now = loop;
    ox__dispatch(loop, actor);
    ox__loop_now = NULL;
}

bool
ox_runtime_step(void)
{
    struct ox__runtime *rt = ox__rt;
    OX_ASSERT(rt != NULL && rt->opt.single_thread && ox__turn_now == NULL);
    struct ox__loop *loop = &rt->loops[0];
    uint32_t actors = atomic_load_explicit(&loop->ready_n, memory_order_relaxed);
    uint32_t jobs = ox__lanes_ready();
    bool due = ox__timer_next(loop) <= ox_now_ns();
    uint32_t choices = actors + jobs + (due ? 1 : 0);
    if (choices == 0)
        return false;
    uint32_t pick = (uint32_t)ox_random_below(&rt->random, choices);
    struct ox_step step = {.class_name = "", .name = ""};
    if (pick < actors) {
        step_turn(loop, pick);
        return true;
    }
    if (pick < actors + jobs) {
        step.what = OX_STEP_JOB;
        step.name = ox__lanes_run(pick - actors);
    } else {
        step.what = OX_STEP_TIMER;
        ox__timer_fire(loop, ox_now_ns());
    }
    tell(&step);
    return true;
}

uint64_t
ox_runtime_drain(uint64_t max)
{
    uint64_t n = 0;
    while (n < max && ox_runtime_step())
        n++;
    return n;
}

uint64_t
ox_runtime_next_timer_ns(void)
{
    OX_ASSERT(ox__rt != NULL && ox__rt->opt.single_thread);
    uint64_t timer = ox__timer_next(&ox__rt->loops[0]), job = ox__lanes_next_ns();
    return timer < job ? timer : job;
}
