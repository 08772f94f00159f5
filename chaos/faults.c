/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/faults.c - how each fault of include/ox/tbl/faults.h is done to living processes.
 *
 * Owns:    nothing.
 * Threads: main; the load goes on meanwhile.
 * Fails:   false with server.why when the server does not come back.
 */
#include <signal.h>

#include "chaos/run.h"

static bool
strike_kill_node(struct chaos_run *run)
{
    pid_t node = run->server.node;
    chaos_server_signal(&run->server, node, SIGKILL);
    return chaos_server_replaced(&run->server, &run->server.node, node);
}

static bool
strike_kill_engine(struct chaos_run *run)
{
    pid_t engine = run->server.engine;
    chaos_server_signal(&run->server, engine, SIGKILL);
    return chaos_server_replaced(&run->server, &run->server.engine, engine);
}

static bool
strike_kill_both(struct chaos_run *run)
{
    pid_t node = run->server.node, engine = run->server.engine;
    chaos_server_signal(&run->server, node, SIGKILL);
    chaos_server_signal(&run->server, engine, SIGKILL);
    return chaos_server_replaced(&run->server, &run->server.node, node) &&
           chaos_server_replaced(&run->server, &run->server.engine, engine);
}

static bool
strike_kill_heart(struct chaos_run *run)
{
    return chaos_server_behead(&run->server) && chaos_server_start(&run->server);
}

static bool
strike_kill_all(struct chaos_run *run)
{
    chaos_server_kill(&run->server);
    return chaos_server_start(&run->server);
}

static bool
freeze(struct chaos_run *run, pid_t pid)
{
    chaos_server_signal(&run->server, pid, SIGSTOP);
    chaos_nap_ms(run->scenario.down_ms);
    chaos_server_signal(&run->server, pid, SIGCONT);
    return true;
}

static bool
strike_stop_engine(struct chaos_run *run)
{
    return freeze(run, run->server.engine);
}

static bool
strike_stop_node(struct chaos_run *run)
{
    return freeze(run, run->server.node);
}

bool
chaos_strike(struct chaos_run *run)
{
    static bool (*const strikes[CHAOS_FAULT__COUNT])(struct chaos_run *) = {
#define OX_FAULT(id, name, hits, needs, does, promise) strike_##id,
#include "ox/tbl/faults.h"
#undef OX_FAULT
    };
    chaos_server_refresh(&run->server);
    run->totals.struck[run->fault]++;
    return strikes[run->fault](run);
}
