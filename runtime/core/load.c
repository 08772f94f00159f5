/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/load.c - how busy the schedulers are and what waits in mailboxes, looked up when somebody asks.
 *
 * Owns:    the kinds of actors that were ever seen waiting.
 * Threads: the scraping one, one at a time.
 * Bounds:  KINDS_MAX kinds; one lock per slot in use, one after the other (some 5 ms for 100,000 actors).
 * Fails:   kinds beyond the bound are left out.
 */
#include <stdio.h>

#include "runtime/core/internal.h"

#define KINDS_MAX 64u

struct kind {
    const char *name;
    uint64_t msgs, bytes, deepest;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* before all others */
static struct kind kinds[KINDS_MAX];
static uint32_t kinds_n;

static struct kind *
kind_of(const char *name)
{
    for (uint32_t i = 0; i < kinds_n; i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    if (kinds_n == KINDS_MAX)
        return NULL;
    kinds[kinds_n] = (struct kind){.name = name};
    return &kinds[kinds_n++];
}

static void
count_actor(ox_pid pid)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return;
    struct kind *kind = kind_of(actor->class->name); /* classes live for ever */
    if (kind != NULL) {
        kind->msgs += actor->msgs;
        kind->bytes += actor->bytes;
        kind->deepest = actor->msgs > kind->deepest ? actor->msgs : kind->deepest;
    }
    ox__actor_unlock(actor);
}

static void
look_at_mailboxes(struct ox__runtime *rt)
{
    for (uint32_t i = 0; i < kinds_n; i++)
        kinds[i] = (struct kind){.name = kinds[i].name};
    ox__lock(&rt->slots_lock);
    uint32_t n = rt->slots_used;
    ox__unlock(&rt->slots_lock);
    for (uint32_t i = 0; i < n; i++) {
        ox_pid pid = ox__slot_pid(i);
        if (!ox_pid_is_none(pid))
            count_actor(pid);
    }
    for (uint32_t i = 0; i < kinds_n; i++) {
        struct ox_str name = ox_str_of(kinds[i].name);
        OX_METRIC_SET_L(OX_M_actor_mailbox_depth, (double)kinds[i].msgs, name);
        OX_METRIC_SET_L(OX_M_actor_mailbox_bytes, (double)kinds[i].bytes, name);
        OX_METRIC_SET_L(OX_M_actor_mailbox_deepest, (double)kinds[i].deepest, name);
    }
}

static double
utilisation(struct ox__loop *loop)
{
    uint64_t idle_ns = loop->uv_ready ? uv_metrics_idle_time(&loop->uv) : 0;
    uint64_t now_ns = uv_hrtime();
    uint64_t passed = now_ns - loop->asked_ns, idle = idle_ns - loop->idle_ns;
    loop->asked_ns = now_ns;
    loop->idle_ns = idle_ns;
    return passed == 0 || idle >= passed ? 0 : 1 - (double)idle / (double)passed;
}

static void
look_at_loop(struct ox__loop *loop)
{
    char name[16];
    snprintf(name, sizeof(name), "%u", loop->index);
    uint64_t longest = atomic_load_explicit(&loop->longest_ns, memory_order_relaxed);
    OX_METRIC_SET_L(OX_M_runtime_turn_longest, (double)longest * 1e-9, ox_str_of(name));
    OX_METRIC_SET_L(OX_M_runtime_utilisation, utilisation(loop), ox_str_of(name));
    OX_METRIC_SET_L(OX_M_runtime_ready, atomic_load_explicit(&loop->ready_n, memory_order_relaxed),
                    ox_str_of(name));
}

static void
look(void)
{
    ox__lock(&lock);
    struct ox__runtime *rt = ox__rt;
    for (uint32_t i = 0; rt != NULL && i < rt->loops_n; i++)
        look_at_loop(&rt->loops[i]);
    if (rt != NULL)
        look_at_mailboxes(rt);
    ox__unlock(&lock);
}

void
ox__load_start(void)
{
    for (uint32_t i = 0; i < ox__rt->loops_n; i++)
        ox__rt->loops[i].asked_ns = uv_hrtime();
    ox_metric_before(look);
}

void
ox__load_stop(void)
{
    ox_metric_before(NULL);
    ox__lock(&lock); /* whoever is in the middle of it finishes first */
    ox__unlock(&lock);
}
