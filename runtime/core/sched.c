/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/sched.c - scheduler threads: one libuv loop each, and the queue of actors that are ready.
 *
 * Owns:    loops and their ready queues.
 * Threads: any pushes; a loop pops its own.
 * Bounds:  an actor is in at most one ready queue, once; tenants have turns in proportion to their weights (share.h).
 * Fails:   NOMEM at start.
 *
 * A wake-up means "look", not "one message". On its own thread a loop is kept from blocking in poll by an idle handle;
 * other threads poke it, which costs a system call only when it sleeps (uv_async_send always makes one, and its
 * receiver spins while the sender is preempted in it). Ready actors run in the check
 * phase, after the sockets were polled, for at most ROUND_TURNS turns or ROUND_NS; then sockets have their
 * turn again.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runtime/core/internal.h"

#define ROUND_TURNS 64u
#define ROUND_NS    (5 * NS_PER_MS) /* no socket waits longer because of ready actors, but for one long turn */
#define ROUND_FIRE  1024u           /* timers per round */
#define MOVE_MARGIN 4u              /* queue lengths closer than this are not worth cold caches */

__thread struct ox__loop *ox__loop_now;

static void
on_busy(uv_idle_t *busy)
{
    /* Being active is its effect: poll does not block. */
}

static void
poke(struct ox__loop *loop)
{
    static const uint64_t one = 1;
    if (atomic_exchange(&loop->poked, true) || !atomic_exchange(&loop->asleep, false))
        return;
    while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

void
ox__loop_wake(struct ox__loop *loop)
{
    if (!loop->uv_ready)
        return;
    if (ox__loop_now != loop) {
        poke(loop);
    } else if (!loop->busy_active) {
        loop->busy_active = true;
        uv_idle_start(&loop->busy, on_busy);
    }
}

/* ---- ready queues ---- */

void
ox__ready_push(struct ox_actor *actor)
{
    struct ox__loop *loop = &ox__rt->loops[actor->home];
    ox__lock(&loop->ready_lock);
    actor->ready_ns = ox_now_ns();
    ox_share_push(&loop->ready, actor->cause.tenant, actor, 0);
    atomic_fetch_add_explicit(&loop->ready_n, 1, memory_order_relaxed);
    ox__unlock(&loop->ready_lock);
    ox__loop_wake(loop);
}

static struct ox_actor *
picked(struct ox__loop *loop, struct ox_actor *actor)
{
    if (actor != NULL)
        atomic_fetch_sub_explicit(&loop->ready_n, 1, memory_order_relaxed);
    return actor;
}

struct ox_actor *
ox__ready_pick(struct ox__loop *loop, uint32_t nth)
{
    uint32_t tenant;
    ox__lock(&loop->ready_lock);
    struct ox_actor *actor = picked(loop, ox_share_pick(&loop->ready, nth, &tenant));
    ox__unlock(&loop->ready_lock);
    return actor;
}

struct ox_actor *
ox__ready_pop(struct ox__loop *loop)
{
    uint32_t tenant;
    ox__lock(&loop->ready_lock);
    struct ox_actor *actor = picked(loop, ox_share_pop(&loop->ready, &tenant, NULL));
    ox__unlock(&loop->ready_lock);
    return actor;
}

void
ox__ready_charge(struct ox__loop *loop, const struct ox_actor *actor, uint32_t tenant, uint64_t cost_ns)
{
    uint32_t payer = tenant != 0 ? tenant : actor->cause.tenant;
    ox__lock(&loop->ready_lock);
    ox_share_spent(&loop->ready, actor->cause.tenant == 0, cost_ns);
    ox_share_charge(&loop->ready, payer, cost_ns);
    ox__unlock(&loop->ready_lock);
    if (payer != 0)
        OX_METRIC_ADD_L(OX_M_tenant_turn_ns, cost_ns, ox_str_of(ox_tenant_name(payer)));
}

static uint32_t
ready_n(uint32_t loop)
{
    return atomic_load_explicit(&ox__rt->loops[loop].ready_n, memory_order_relaxed);
}

/* An idle, unpinned actor wakes on another loop when its own has clearly more to do. */
static void
choose_home(struct ox_actor *actor)
{
    uint32_t best = actor->home;
    if ((actor->limits.flags & OX_ACTOR_PINNED) || ox__rt->loops_n < 2 || ready_n(best) < MOVE_MARGIN)
        return;
    for (uint32_t i = 0; i < ox__rt->loops_n; i++) {
        if (ready_n(i) < ready_n(best))
            best = i;
    }
    if (ready_n(best) + MOVE_MARGIN <= ready_n(actor->home)) {
        actor->home = best;
        ox_metric_add(OX_M_runtime_moved, 1);
    }
}

void
ox__wake_locked(struct ox_actor *actor)
{
    if (actor->run != OX__RUN_IDLE)
        return;
    actor->run = OX__RUN_READY;
    choose_home(actor);
    ox__ready_push(actor);
}

/* ---- the loop ---- */

/* The check phase behind this poll looks. */
static void
on_wake(uv_poll_t *wake, int status, int events)
{
    const struct ox__loop *loop = wake->data;
    uint64_t n;
    while (read(loop->wake_fd, &n, sizeof(n)) < 0 && errno == EINTR) {
    }
}

/* The last thing before poll. */
static void
on_sleep(uv_prepare_t *sleep)
{
    struct ox__loop *loop = sleep->data;
    if (loop->busy_active)
        return; /* poll will not block: nobody needs to wake us */
    atomic_store(&loop->asleep, true);
    if (!atomic_load(&loop->poked))
        return;
    atomic_store(&loop->asleep, false);
    ox__loop_wake(loop); /* on its own thread: keeps poll from blocking */
}

static void
on_clock(uv_timer_t *clock)
{
    /* Timers run before poll, looking comes behind it. */
    struct ox__loop *loop = clock->data;
    ox__loop_wake(loop);
}

static void
set_clock(struct ox__loop *loop)
{
    uint64_t due = ox__timer_next(loop);
    if (due == UINT64_MAX) {
        uv_timer_stop(&loop->clock);
        return;
    }
    uint64_t now = ox_now_ns();
    uint64_t wait_ms = due <= now ? 0 : (due - now + NS_PER_MS - 1) / NS_PER_MS;
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->clock, on_clock, wait_ms, 0);
}

static void
on_look(uv_check_t *look)
{
    struct ox__loop *loop = look->data;
    atomic_store(&loop->asleep, false);
    /* Before looking: what comes later pokes again. An exchange, to see what was done before it was poked. */
    (void)atomic_exchange(&loop->poked, false);
    uint64_t began = ox_now_ns();
    for (uint32_t i = 0; i < ROUND_FIRE && ox__timer_fire(loop, began); i++) {
    }
    for (uint32_t i = 0; i < ROUND_TURNS; i++) {
        struct ox_actor *actor = ox__ready_pop(loop);
        if (actor == NULL)
            break;
        ox__dispatch(loop, actor);
        if (ox_now_ns() - began > ROUND_NS)
            break;
    }
    if (ready_n(loop->index) == 0 && loop->busy_active) {
        loop->busy_active = false;
        uv_idle_stop(&loop->busy);
    }
    set_clock(loop);
    if (ready_n(loop->index) > 0)
        ox__loop_wake(loop);
    if (atomic_load_explicit(&loop->quit, memory_order_acquire))
        uv_stop(&loop->uv);
}

static void
close_left_over(uv_handle_t *handle, void *arg)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void *
ox__loop_main(void *arg)
{
    struct ox__loop *loop = arg;
    ox__loop_now = loop;
    void *stack = ox__crash_stack_new();
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    /* All actors have ended; handles still open belong to nobody. */
    uv_walk(&loop->uv, close_left_over, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    ox__crash_stack_free(stack);
    ox__loop_now = NULL;
    return NULL;
}

ox_err
ox__loop_init(struct ox__loop *loop, uint32_t index, bool with_uv)
{
    loop->index = index;
    pthread_mutex_init(&loop->ready_lock, NULL);
    pthread_mutex_init(&loop->timers_lock, NULL);
    if (ox_share_init(&loop->ready, offsetof(struct ox_actor, ready_next)) != OX_OK)
        return OX_E_NOMEM;
    if (!with_uv)
        return OX_OK;
    if (uv_loop_init(&loop->uv) != 0)
        return OX_E_NOMEM;
    uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME); /* the loop's utilisation, see load.c */
    loop->uv.data = loop;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return ox_err_from_errno(errno);
    if (uv_poll_init(&loop->uv, &loop->wake, loop->wake_fd) != 0)
        return OX_E_NOMEM;
    loop->wake.data = loop;
    uv_poll_start(&loop->wake, UV_READABLE, on_wake);
    uv_prepare_init(&loop->uv, &loop->sleep);
    loop->sleep.data = loop;
    uv_prepare_start(&loop->sleep, on_sleep);
    uv_idle_init(&loop->uv, &loop->busy);
    uv_timer_init(&loop->uv, &loop->clock);
    loop->clock.data = loop;
    uv_check_init(&loop->uv, &loop->look);
    loop->look.data = loop;
    uv_check_start(&loop->look, on_look);
    loop->uv_ready = true;
    return OX_OK;
}

void
ox__loop_fini(struct ox__loop *loop)
{
    if (loop->wake_fd > 0)
        close(loop->wake_fd);
    if (loop->uv_ready && uv_loop_close(&loop->uv) != 0)
        OX_LOG_ERROR("runtime", "a loop still had open handles at its end", OX_F_U64("loop", loop->index));
    ox__timers_fini(loop);
    if (loop->ready.heap != NULL)
        ox_share_fini(&loop->ready);
    pthread_mutex_destroy(&loop->ready_lock);
    pthread_mutex_destroy(&loop->timers_lock);
}
