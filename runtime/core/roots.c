/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/roots.c - the supervisors without a parent, in the order of their start.
 *
 * Owns:    their pids.
 * Threads: any adds; the stopping thread stops.
 * Bounds:  ROOTS_MAX.
 * Fails:   OVERLOAD.
 */
#include "runtime/core/internal.h"

ox_err
ox__root_add(ox_pid pid)
{
    struct ox__runtime *rt = ox__rt;
    ox__lock(&rt->death_lock);
    ox_err err = rt->roots_n < OX_COUNT(rt->roots) ? OX_OK : OX_E_OVERLOAD;
    if (err == OX_OK)
        rt->roots[rt->roots_n++] = pid;
    ox__unlock(&rt->death_lock);
    return err;
}

void
ox__roots_stop(uint64_t deadline_ns)
{
    struct ox__runtime *rt = ox__rt;
    for (uint32_t i = rt->roots_n; i > 0; i--) {
        ox_pid pid = rt->roots[i - 1];
        if (ox_stop(pid) == OX_OK)
            (void)ox__wait_gone(pid, deadline_ns);
    }
    rt->roots_n = 0;
}
