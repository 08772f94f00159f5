/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    with real threads: libuv handles on the actor's loop, real timers, dirty threads, idle actors
 *          that move, slow turns that are noticed, and a stop that leaves nothing behind.
 * Method:  a threaded runtime; waiting by questions (ox_ask) and semaphores, never by sleeping.
 */
#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "ox/log.h"
#include "ox/metric.h"
#include "ox/runtime.h"
#include "ox/supervisor.h"

enum { KIND_WHERE = 1, KIND_BUSY, KIND_DONE, KIND_FIRED, KIND_SLOW };

static sem_t reached;

static void
start(uint32_t loops)
{
    struct ox_diag diag;
    struct ox_runtime_options options = {
        .loops = loops, .dirty_threads = 2, .turn_warn_ms = 20, .turn_fault_ms = 60};
    ox_log_set_level(OX_LOG_FATAL);
    sem_init(&reached, 0, 0);
    cr_assert_eq(ox_runtime_start(&options, &diag), OX_OK, "%s", diag.text);
}

static void
wait_reached(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    cr_assert_eq(sem_timedwait(&reached, &until), 0, "nothing came within 20 s");
}

/* ---- a pinned actor with a libuv handle that survives its owner's end correctly ---- */

struct port {
    uv_timer_t *timer;
    struct ox_actor *self;
};

static void
on_closed(uv_handle_t *handle)
{
    free(handle);
    sem_post(&reached);
}

static void
close_timer(void *arg)
{
    uv_close(arg, on_closed);
}

static void
on_uv_timer(uv_timer_t *timer)
{
    struct ox_actor *self = timer->data;
    ox_err err = ox_cast(ox_actor_pid(self), KIND_FIRED, 0);
    cr_assert_eq(err, OX_OK);
}

static ox_err
port_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct port *p = ox_actor_state(self);
    cr_assert_not_null(ox_actor_loop(self));
    p->timer = malloc(sizeof(*p->timer));
    uv_timer_init(ox_actor_loop(self), p->timer);
    p->timer->data = self;
    cr_assert_eq(ox_actor_defer(self, close_timer, p->timer), OX_OK);
    uv_timer_start(p->timer, on_uv_timer, 1, 0);
    return OX_OK;
}

static void
port_message(struct ox_actor *self, struct ox_msg *msg)
{
    if (msg->kind == KIND_FIRED)
        ox_panic("with an open handle");
}

static const struct ox_actor_class port_class = {.name = "port",
                                                 .state_size = sizeof(struct port),
                                                 .flags = OX_ACTOR_PINNED,
                                                 .on_start = port_start,
                                                 .on_message = port_message};

Test(threads, a_handle_of_a_crashed_actor_is_closed_on_its_loop)
{
    start(2);
    ox_pid pid;
    struct ox_spawn spec = {.class = &port_class, .loop = OX_LOOP(1)};
    cr_assert_eq(ox_spawn_wait(&spec, &pid, NULL), OX_OK);
    wait_reached();
    ox_runtime_stop();
}

/* ---- workers ---- */

static void
work(void *arg)
{
    *(uint64_t *)arg = 42;
}

static void
worker_message(struct ox_actor *self, struct ox_msg *msg)
{
    uint64_t until;
    switch (msg->kind) {
    case KIND_WHERE:
        ox_reply_num(ox_call_from(msg), KIND_WHERE, OX_OK, ox_actor_loop_index(self));
        break;
    case KIND_BUSY: {
        uint64_t *n = calloc(1, sizeof(*n));
        cr_assert_eq(ox_dirty_submit(self, NULL, work, n, KIND_DONE, free, NULL), OX_OK);
        cr_assert_eq(ox_timer_start(self, 5, KIND_FIRED, 0, NULL), OX_OK);
        break;
    }
    case KIND_DONE:
        cr_assert_eq(*(uint64_t *)msg->data, 42);
        sem_post(&reached);
        break;
    case KIND_FIRED:
        sem_post(&reached);
        break;
    case KIND_SLOW: /* until the watchdog has spoken */
        until = ox_now_ns() + 20000000000ull;
        while (sem_trywait(&reached) != 0 && ox_now_ns() < until) {
        }
        break;
    }
}

static const struct ox_actor_class worker_class = {.name = "worker", .on_message = worker_message};

Test(threads, timers_and_dirty_jobs_come_back)
{
    start(2);
    ox_pid pid;
    cr_assert_eq(ox_spawn_wait(&(struct ox_spawn){.class = &worker_class}, &pid, NULL), OX_OK);
    cr_assert_eq(ox_cast(pid, KIND_BUSY, 0), OX_OK);
    wait_reached();
    wait_reached();
    ox_runtime_stop();
}

static _Atomic uint32_t stalls;
static char stalled[64];

static void
on_stall(void *arg, ox_pid pid, const char *class_name, uint32_t kind, uint64_t turn_ns,
         const char *backtrace)
{
    snprintf(stalled, sizeof(stalled), "%s/%u/%d", class_name, kind, backtrace[0] != '\0');
    stalls++;
    sem_post(&reached);
}

Test(threads, a_turn_that_takes_too_long_is_noticed_while_it_runs)
{
    struct ox_runtime_options options = {
        .loops = 1, .turn_warn_ms = 20, .turn_fault_ms = 60, .hooks = {.stall = on_stall}};
    ox_log_set_level(OX_LOG_FATAL);
    sem_init(&reached, 0, 0);
    cr_assert_eq(ox_runtime_start(&options, NULL), OX_OK);
    ox_pid pid;
    struct ox_msg *reply;
    cr_assert_eq(ox_spawn_wait(&(struct ox_spawn){.class = &worker_class}, &pid, NULL), OX_OK);
    cr_assert_eq(ox_cast(pid, KIND_SLOW, 0), OX_OK);
    struct ox_msg *msg = ox_msg_new(KIND_WHERE, NULL, 0, NULL);
    cr_assert_eq(ox_ask(pid, &msg, 20000, &reply), OX_OK);
    ox_msg_free(reply);
    cr_assert_eq(stalls, 1, "one report for one turn");
    cr_assert_str_eq(stalled, "worker/5/1");
    cr_assert_eq(ox_metric_value(OX_M_runtime_turn_fault, (struct ox_str[]){OX_STR("worker")}), 1);
    ox_runtime_stop();
}

/* ---- moving ---- */

static sem_t gate;

static void
blocker_message(struct ox_actor *self, struct ox_msg *msg)
{
    sem_post(&reached);
    while (sem_wait(&gate) != 0) {
    }
}

static void
idler_message(struct ox_actor *self, struct ox_msg *msg)
{
    if (msg->kind == KIND_WHERE)
        ox_reply_num(ox_call_from(msg), KIND_WHERE, OX_OK, ox_actor_loop_index(self));
}

static const struct ox_actor_class blocker_class = {
    .name = "blocker", .flags = OX_ACTOR_PINNED, .on_message = blocker_message};
static const struct ox_actor_class idler_class = {.name = "idler", .on_message = idler_message};
static const struct ox_actor_class pinned_class = {
    .name = "pinned", .flags = OX_ACTOR_PINNED, .on_message = idler_message};

Test(threads, an_idle_actor_wakes_elsewhere_when_its_loop_is_busy)
{
    ox_pid blocker, pid;
    ox_pid others[8];
    struct ox_msg *reply;
    start(2);
    sem_init(&gate, 0, 0);
    cr_assert_eq(
        ox_spawn_wait(&(struct ox_spawn){.class = &blocker_class, .loop = OX_LOOP(0)}, &blocker, NULL),
        OX_OK);
    cr_assert_eq(ox_spawn_wait(&(struct ox_spawn){.class = &idler_class, .loop = OX_LOOP(0)}, &pid, NULL),
                 OX_OK);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(
            ox_spawn_wait(&(struct ox_spawn){.class = &pinned_class, .loop = OX_LOOP(0)}, &others[i], NULL),
            OX_OK);
    cr_assert_eq(ox_cast(blocker, KIND_BUSY, 0), OX_OK);
    wait_reached(); /* loop 0 now stands still */
    for (int i = 0; i < 8; i++)
        cr_assert_eq(ox_cast(others[i], KIND_BUSY, 0), OX_OK);
    struct ox_msg *msg = ox_msg_new(KIND_WHERE, NULL, 0, NULL);
    cr_assert_eq(ox_ask(pid, &msg, 20000, &reply), OX_OK, "it did not move");
    cr_assert_eq(reply->num, 1);
    ox_msg_free(reply);
    sem_post(&gate);
    ox_runtime_stop();
}

static void
quitter_message(struct ox_actor *self, struct ox_msg *msg)
{
    ox_runtime_quit((int)msg->num);
}

static const struct ox_actor_class quitter_class = {.name = "quitter", .on_message = quitter_message};

Test(threads, run_returns_what_quit_said_and_supervised_children_stop)
{
    ox_pid sup, pid;
    struct ox_diag diag;
    start(2);
    cr_assert_eq(ox_sup_start(&(struct ox_sup_spec){.name = "root"}, &sup, &diag), OX_OK);
    struct ox_child_spec spec = {
        .id = "port", .class = &port_class, .name = "port/0", .restart = OX_RESTART_TEMPORARY};
    cr_assert_eq(ox_sup_add_wait(sup, &spec, &pid, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_spawn_wait(&(struct ox_spawn){.class = &quitter_class}, &pid, NULL), OX_OK);
    cr_assert_eq(ox_cast(pid, KIND_BUSY, 3), OX_OK);
    cr_assert_eq(ox_runtime_run(), 3);
    ox_runtime_stop();
    cr_assert_eq(ox_runtime_actors(), 0);
}
