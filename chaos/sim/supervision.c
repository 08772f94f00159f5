/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/supervision.c - a second account of restarts: not too many, not too soon, quarantine only after them.
 *
 * Owns:    the crashes of each pid in this life of the node.
 * Threads: one.
 * Bounds:  CHILDREN_MAX pids, CRASHES_MAX crashes of each.
 */
#include "chaos/sim/sim.h"

#define CHILDREN_MAX 256u
#define CRASHES_MAX  64u

static struct child {
    ox_pid pid;
    uint64_t crashes_ns[CRASHES_MAX];
    uint32_t n;
    bool quarantined;
    bool per_progress;  /* counts crashes since the last progress, not those of a window */
    uint32_t fruitless; /* of those */
    bool on_trial;      /* what crashes now has crashed before, and counts no more */
} children[CHILDREN_MAX];
static uint32_t n_children;

void
sim_supervision_reset(void)
{
    memset(children, 0, sizeof(children));
    n_children = 0;
}

static struct child *
child_of(ox_pid pid)
{
    for (uint32_t i = 0; i < n_children; i++) {
        if (ox_pid_eq(children[i].pid, pid))
            return &children[i];
    }
    return NULL;
}

static uint32_t
in_window(const struct child *c)
{
    uint64_t window_ns = (uint64_t)sim_now->n.config.supervisor_restart_window_ms * SIM_MS;
    uint32_t n = 0;
    if (c->per_progress)
        return c->fruitless;
    for (uint32_t i = 0; i < c->n; i++)
        n += sim_time() - c->crashes_ns[i] < window_ns;
    return n;
}

void
sim_supervision_died(const struct ox_obituary *ob)
{
    struct child *c = child_of(ob->pid);
    if (c == NULL) {
        OX_ASSERT(n_children < CHILDREN_MAX);
        c = &children[n_children++];
        c->pid = ob->pid;
    }
    if (c->n == CRASHES_MAX)
        memmove(c->crashes_ns, c->crashes_ns + 1, --c->n * sizeof(c->crashes_ns[0]));
    c->crashes_ns[c->n++] = sim_time();
    c->per_progress = strcmp(ob->class_name, "tenant") == 0;
    c->fruitless += !c->on_trial;
    c->on_trial = false; /* the next incarnation says so anew */
}

void
sim_supervision_trial(ox_pid pid, bool on)
{
    struct child *c = child_of(pid);
    if (c != NULL)
        c->on_trial = on;
}

void
sim_supervision_progress(ox_pid pid)
{
    struct child *c = child_of(pid);
    if (c != NULL)
        c->fruitless = 0;
}

void
sim_supervision_revoked(ox_pid pid)
{
    struct child *c = child_of(pid);
    if (c != NULL)
        *c = (struct child){.pid = pid};
}

/* A turn of who has crashed: it was restarted, within the intensity and after the backoff. */
void
sim_supervision_step(const struct ox_step *step)
{
    struct child *c = step->what == OX_STEP_TURN ? child_of(step->pid) : NULL;
    if (c == NULL)
        return;
    const struct ox_config *cfg = &sim_now->n.config;
    uint32_t recent = in_window(c);
    if (c->quarantined)
        sim_fail("%s %s is quarantined and has a turn", step->class_name, step->name);
    if (recent > (uint32_t)cfg->supervisor_max_restarts)
        sim_fail("%s %s was restarted after %u crashes in a window that admits %u", step->class_name,
                 step->name, recent, (uint32_t)cfg->supervisor_max_restarts);
    if (c->n > 0 && sim_time() < c->crashes_ns[c->n - 1] + (uint64_t)cfg->supervisor_backoff_min_ms * SIM_MS)
        sim_fail("%s %s was restarted before its backoff", step->class_name, step->name);
}

void
sim_supervision_quarantined(ox_pid pid, const char *name)
{
    struct child *c = child_of(pid);
    uint32_t recent = c != NULL ? in_window(c) : 0;
    if (recent <= (uint32_t)sim_now->n.config.supervisor_max_restarts)
        sim_fail("%s is quarantined after %u crashes in the window", name, recent);
    c->quarantined = true;
}
