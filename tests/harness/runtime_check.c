/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/runtime_check.c - whether the runtime's own structures agree with one another.
 *
 * Owns:    nothing; reads what runtime/core/internal.h declares.
 * Threads: single-thread mode, between two steps.
 * Bounds:  PAYLOADS_MAX payloads are compared with one another, the rest is passed over.
 */
#include "tests/harness/runtime_check.h"

#include <stdio.h>

#include "runtime/core/internal.h"

#define PAYLOADS_MAX 8192u /* a power of two */

/* The payloads of one walk; the table is never cleared, its walk's number tells what counts. */
static struct {
    const void *data;
    uint64_t walk;
} payloads[PAYLOADS_MAX];
static uint32_t payloads_n;
static uint64_t walk;

/* False when it was there already. */
static bool
payload_is_new(const void *data)
{
    uint32_t i = (uint32_t)(((uintptr_t)data >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (PAYLOADS_MAX - 1);
    while (payloads[i].walk == walk && payloads[i].data != data)
        i = (i + 1) & (PAYLOADS_MAX - 1);
    if (payloads[i].walk == walk)
        return false;
    if (payloads_n < PAYLOADS_MAX / 2) {
        payloads[i].data = data;
        payloads[i].walk = walk;
        payloads_n++;
    }
    return true;
}

struct found {
    uint32_t msgs, controls, owed;
    uint64_t bytes;
    const char *wrong;
};

static void
count_list(struct found *f, const struct ox_msg *head, const struct ox_msg *tail)
{
    const struct ox_msg *last = NULL;
    for (const struct ox_msg *m = head; m != NULL; last = m, m = m->next) {
        bool owed = (m->flags & OX_MSG_F_OWED) != 0, control = (m->flags & OX_MSG_F_CONTROL) != 0;
        f->owed += owed;
        f->controls += !owed && control;
        f->msgs += !owed && !control;
        f->bytes += owed || control ? 0 : m->bytes;
        if (m->data != NULL && m->drop != NULL && !payload_is_new(m->data))
            f->wrong = "a payload lies in two messages";
    }
    if (head != NULL && last != tail)
        f->wrong = "a queue's tail is not its last message";
}

static const char *
check_mailbox(const struct ox_actor *a, struct found *f)
{
    *f = (struct found){0};
    count_list(f, a->head, a->tail);
    if (a->fair != NULL) {
        count_list(f, a->fair->nobody.head, a->fair->nobody.tail);
        for (uint32_t i = 0; i < a->fair->heap_n; i++)
            count_list(f, a->fair->heap[i]->head, a->fair->heap[i]->tail);
    }
    if (f->wrong != NULL)
        return f->wrong;
    if (f->msgs != a->msgs || f->controls != a->controls || f->bytes != a->bytes)
        return "the mailbox is counted wrongly";
    if (f->msgs > a->limits.mailbox_msgs_max || f->controls > a->limits.control_msgs_max)
        return "the mailbox holds more messages than its bound";
    if (f->bytes > a->limits.mailbox_bytes_max && f->msgs > 1)
        return "the mailbox holds more bytes than its bound";
    return NULL;
}

static const char *
check_waits(const struct ox_actor *a)
{
    uint32_t waits = 0;
    for (uint32_t i = 0; i < a->pends.used; i++) {
        const struct ox__pend *p = &a->pends.at[i];
        if (p->type == OX__PEND_FREE)
            continue;
        waits++;
        if (p->type == OX__PEND_TIMER && p->state == OX__PEND_WAITING &&
            (p->timer == NULL || p->timer->at == OX__TIMER_OUT))
            return "a wait for a timer that nobody will fire";
    }
    return waits > a->limits.pending_max ? "more waits than pending_max" : NULL;
}

static bool
in_ready_queue(const struct ox_actor *a, uint32_t *times)
{
    const struct ox_share *ready = &ox__rt->loops[a->home].ready;
    *times = 0;
    for (const struct ox_actor *r = ready->nobody.head; r != NULL; r = r->ready_next)
        *times += r == a;
    for (uint32_t i = 0; i < ready->heap_n; i++) {
        for (const struct ox_actor *r = ready->heap[i]->head; r != NULL; r = r->ready_next)
            *times += r == a;
    }
    return *times > 0;
}

static const char *
check_run(const struct ox_actor *a)
{
    uint32_t times;
    bool queued = in_ready_queue(a, &times);
    bool work = ox__mailbox_some(a) || a->kill_asked || (a->stop_asked && !a->stopping);
    if (times > 1)
        return "an actor stands twice in a ready queue";
    if (queued != (a->run == OX__RUN_READY))
        return "an actor's state and the ready queue disagree";
    if (a->run == OX__RUN_IDLE && work)
        return "a lost wake-up: it has something to do and nobody will run it";
    if (a->run == OX__RUN_QUARANTINED && ox__mailbox_some(a))
        return "a message waits for a quarantined actor";
    return a->run == OX__RUN_RUNNING ? "an actor runs between two steps" : NULL;
}

bool
runtime_check(char *why, size_t size)
{
    walk++;
    payloads_n = 0;
    for (uint32_t i = 0; i < ox__rt->slots_used; i++) {
        ox_pid pid = ox__slot_pid(i);
        struct ox_actor *a = ox_pid_is_none(pid) ? NULL : ox__actor_lock(pid);
        if (a == NULL)
            continue;
        struct found f;
        const char *wrong = check_mailbox(a, &f);
        wrong = wrong != NULL ? wrong : check_waits(a);
        wrong = wrong != NULL ? wrong : check_run(a);
        if (wrong != NULL)
            snprintf(
                why, size, "actor %s %s (slot %u): %s; %u ordinary, %u control, %u owed messages, %llu bytes",
                a->class->name, a->name, i, wrong, f.msgs, f.controls, f.owed, (unsigned long long)f.bytes);
        ox__actor_unlock(a);
        if (wrong != NULL)
            return false;
    }
    return true;
}
