/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/timer.c - a heap of due times per loop.
 *
 * Owns:    the heap, and each timer until it is taken out of it; then whoever took it out frees it.
 * Threads: any, under timers_lock; firing on the loop's thread.
 * Bounds:  one timer per pending place, so pending_max per actor.
 * Fails:   NOMEM, OVERLOAD.
 *
 * A timer taken out to be fired may be cancelled at the same moment: the canceller holds the owner's slot and
 * finds it OX__TIMER_OUT, so he leaves it alone; the firing side then locks the slot, finds no wait, and
 * frees it.
 */
#include <stdlib.h>

#include "runtime/core/internal.h"

#define HEAP_MIN 64u

static bool
earlier(const struct ox__timer *a, const struct ox__timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void
put_at(struct ox__loop *loop, uint32_t i, struct ox__timer *timer)
{
    loop->heap[i] = timer;
    timer->at = i;
}

static void
sift_up(struct ox__loop *loop, uint32_t i, struct ox__timer *timer)
{
    while (i > 0 && earlier(timer, loop->heap[(i - 1) / 2])) {
        put_at(loop, i, loop->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put_at(loop, i, timer);
}

static void
sift_down(struct ox__loop *loop, uint32_t i, struct ox__timer *timer)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= loop->heap_n)
            break;
        if (child + 1 < loop->heap_n && earlier(loop->heap[child + 1], loop->heap[child]))
            child++;
        if (!earlier(loop->heap[child], timer))
            break;
        put_at(loop, i, loop->heap[child]);
        i = child;
    }
    put_at(loop, i, timer);
}

static void
take_out(struct ox__loop *loop, struct ox__timer *timer)
{
    uint32_t i = timer->at;
    struct ox__timer *last = loop->heap[--loop->heap_n];
    timer->at = OX__TIMER_OUT;
    if (last == timer)
        return;
    if (i > 0 && earlier(last, loop->heap[(i - 1) / 2]))
        sift_up(loop, i, last);
    else
        sift_down(loop, i, last);
}

static bool
heap_room(struct ox__loop *loop)
{
    if (loop->heap_n < loop->heap_cap)
        return true;
    uint32_t cap = loop->heap_cap == 0 ? HEAP_MIN : loop->heap_cap * 2;
    struct ox__timer **heap = realloc(loop->heap, cap * sizeof(struct ox__timer *));
    if (heap == NULL)
        return false;
    loop->heap = heap;
    loop->heap_cap = cap;
    return true;
}

ox_err
ox__timer_add(uint32_t loop_index, uint64_t due_ns, ox_pid pid, uint64_t ref, struct ox__timer **out)
{
    struct ox__loop *loop = &ox__rt->loops[loop_index];
    struct ox__timer *timer = malloc(sizeof(*timer));
    if (timer == NULL)
        return OX_E_NOMEM;
    *timer = (struct ox__timer){.due_ns = due_ns, .pid = pid, .ref = ref, .loop = loop_index};
    *out = timer; /* before it is in the heap: from then on it may fire */
    ox__lock(&loop->timers_lock);
    bool room = heap_room(loop);
    bool first = false;
    if (room) {
        timer->seq = loop->timer_seq++;
        sift_up(loop, loop->heap_n++, timer);
        first = loop->heap[0] == timer;
    }
    ox__unlock(&loop->timers_lock);
    if (!room) {
        *out = NULL;
        free(timer);
        return OX_E_NOMEM;
    }
    if (first)
        ox__loop_wake(loop);
    return OX_OK;
}

void
ox__timer_remove(struct ox__timer *timer)
{
    struct ox__loop *loop = &ox__rt->loops[timer->loop];
    ox__lock(&loop->timers_lock);
    bool in_heap = timer->at != OX__TIMER_OUT;
    if (in_heap)
        take_out(loop, timer);
    ox__unlock(&loop->timers_lock);
    if (in_heap)
        free(timer);
}

static void
fire(struct ox__timer *timer)
{
    struct ox_actor *actor = ox__actor_lock(timer->pid);
    if (actor != NULL) {
        struct ox__pend *pend = ox__pend_find(actor, timer->ref);
        if (pend != NULL && pend->state == OX__PEND_WAITING && pend->timer == timer) {
            pend->timer = NULL;
            ox__pend_fire_locked(actor, pend, pend->type == OX__PEND_CALL ? OX_E_TIMEOUT : OX_OK, 0, NULL);
        }
        ox__actor_unlock(actor);
    }
    free(timer);
}

bool
ox__timer_fire(struct ox__loop *loop, uint64_t now_ns)
{
    struct ox__timer *timer = NULL;
    ox__lock(&loop->timers_lock);
    if (loop->heap_n > 0 && loop->heap[0]->due_ns <= now_ns) {
        timer = loop->heap[0];
        take_out(loop, timer);
    }
    ox__unlock(&loop->timers_lock);
    if (timer == NULL)
        return false;
    fire(timer);
    ox_metric_add(OX_M_runtime_timers, 1);
    return true;
}

uint64_t
ox__timer_next(struct ox__loop *loop)
{
    ox__lock(&loop->timers_lock);
    uint64_t due = loop->heap_n > 0 ? loop->heap[0]->due_ns : UINT64_MAX;
    ox__unlock(&loop->timers_lock);
    return due;
}

void
ox__timers_fini(struct ox__loop *loop)
{
    for (uint32_t i = 0; i < loop->heap_n; i++)
        free(loop->heap[i]);
    free(loop->heap);
    loop->heap = NULL;
    loop->heap_n = loop->heap_cap = 0;
}

uint64_t
ox_now_ns(void)
{
    return ox_clock_monotonic_ns(ox__rt != NULL ? ox__rt->clock : ox_clock_real());
}

uint64_t
ox_realtime_ns(void)
{
    return ox_clock_realtime_ns(ox__rt != NULL ? ox__rt->clock : ox_clock_real());
}

/* Gives the wait `ref` of `self` a due time. */
static ox_err
arm(struct ox_actor *self, uint64_t ref, uint64_t after_ms)
{
    uint64_t after_ns;
    uint64_t due_ns;
    if (__builtin_mul_overflow(after_ms, NS_PER_MS, &after_ns) ||
        __builtin_add_overflow(ox_now_ns(), after_ns, &due_ns))
        due_ns = UINT64_MAX - 1;
    struct ox__timer *timer = NULL;
    /* The slot stays locked until the wait knows its timer: else it could fire before. */
    ox__lock(&self->slot->lock);
    struct ox__pend *pend = ox__pend_find(self, ref);
    ox_err err = ox__timer_add(self->home, due_ns, self->pid, ref, &timer);
    if (err == OX_OK)
        pend->timer = timer;
    ox__unlock(&self->slot->lock);
    return err;
}

ox_err
ox_timer_start(struct ox_actor *self, uint64_t after_ms, uint32_t kind, uint64_t num, uint64_t *ref)
{
    uint64_t own_ref;
    struct ox_msg *msg = ox_msg_new(kind, NULL, 0, NULL);
    if (msg == NULL)
        return OX_E_NOMEM;
    msg->num = num;
    if (ox__turn_now != NULL && ox__turn_now->msg != NULL)
        msg->cause = ox__turn_now->msg->cause;
    ox_err err = ox__pend_new(self, OX__PEND_TIMER, OX_PID_NONE, msg, &own_ref);
    if (err != OX_OK) {
        ox_msg_free(msg);
        return err;
    }
    err = arm(self, own_ref, after_ms);
    if (err != OX_OK)
        ox__pend_cancel(self, own_ref, OX__PEND_TIMER);
    else if (ref != NULL)
        *ref = own_ref;
    return err;
}

void
ox_timer_cancel(struct ox_actor *self, uint64_t ref)
{
    ox__pend_cancel(self, ref, OX__PEND_TIMER);
}

ox_err
ox__call_arm(struct ox_actor *self, uint64_t ref, uint32_t timeout_ms)
{
    return arm(self, ref, timeout_ms);
}
