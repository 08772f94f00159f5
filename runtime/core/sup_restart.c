/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/sup_restart.c - how often and how soon a child may be restarted. Pure.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  SUP_INTENSITY_MAX restarts are remembered.
 */
#include "runtime/core/sup.h"

static void
forget_old(struct ox__intensity *in, uint64_t window_ns, uint64_t now_ns)
{
    uint32_t old = 0;
    while (old < in->n && now_ns - in->times_ns[old] >= window_ns)
        old++;
    in->n -= old;
    memmove(in->times_ns, in->times_ns + old, in->n * sizeof(in->times_ns[0]));
}

uint64_t
ox__intensity_backoff(struct ox__intensity *in, const struct ox__restart_policy *policy, uint64_t now_ns)
{
    forget_old(in, policy->window_ns, now_ns);
    uint64_t wait = policy->backoff_min_ms;
    for (uint32_t i = 0; i < in->n && wait < policy->backoff_max_ms; i++)
        wait *= 2;
    if (in->n == SUP_INTENSITY_MAX) { /* the wait is at its longest long before */
        memmove(in->times_ns, in->times_ns + 1, (in->n - 1) * sizeof(in->times_ns[0]));
        in->n--;
    }
    in->times_ns[in->n++] = now_ns;
    return wait < policy->backoff_max_ms ? wait : policy->backoff_max_ms;
}

bool
ox__intensity_admits(struct ox__intensity *in, const struct ox__restart_policy *policy, uint64_t now_ns,
                     uint64_t *backoff_ms)
{
    forget_old(in, policy->window_ns, now_ns);
    if (in->n >= policy->max_restarts)
        return false;
    *backoff_ms = ox__intensity_backoff(in, policy, now_ns);
    return true;
}
