/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/faults.c - how each fault of include/ox/tbl/faults.h is done to living processes.
 *
 * Owns:    nothing.
 * Threads: main; the load goes on meanwhile.
 * Fails:   false with server.why when the server does not come back.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "chaos/damage.h"
#include "chaos/power.h"
#include "chaos/run.h"

#define FULL_BYTES (256u << 10)
#define JUMP_S     1200
#define SEALED_S   20
#define ASK_MS     50

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

/* ---- inside the node ---- */

static bool
strike_panic_actor(struct chaos_run *run)
{
    static const char *const kinds[] = {"tenant", "gateway", "api", "debug", "config", "warden"};
    for (uint32_t i = 0; i < run->scenario.burst; i++) {
        if (!chaos_arm(run, kinds[ox_random_below(&run->rnd, OX_COUNT(kinds))], "panic"))
            return false;
    }
    return chaos_replay_set_aside(run);
}

static bool
strike_panic_keeper(struct chaos_run *run)
{
    static const char *const kinds[] = {"wal", "outbox", "writer", "supervisor"};
    pid_t node = run->server.node;
    return chaos_arm(run, kinds[ox_random_below(&run->rnd, OX_COUNT(kinds))], "panic") &&
           chaos_server_replaced(&run->server, &run->server.node, node) && chaos_replay_set_aside(run);
}

static bool
strike_fault_actor(struct chaos_run *run)
{
    static const char *const kinds[] = {"tenant", "gateway", "api",    "debug",  "config",
                                        "warden", "wal",     "outbox", "writer", "supervisor"};
    static const char *const faults[] = {"segv", "abort", "hang", "stall"};
    pid_t node = run->server.node;
    return chaos_arm(run, kinds[ox_random_below(&run->rnd, OX_COUNT(kinds))],
                     faults[ox_random_below(&run->rnd, OX_COUNT(faults))]) &&
           chaos_server_replaced(&run->server, &run->server.node, node) && chaos_replay_set_aside(run);
}

/* ---- journals at rest ---- */

/* Dead, and no client waits for an answer any more. */
static struct chaos_damage
lay_out(struct chaos_run *run)
{
    chaos_server_kill(&run->server);
    chaos_load_abandon(&run->load);
    return (struct chaos_damage){.data = run->server.data, .ids = &run->ids, .rnd = &run->rnd};
}

static bool
strike_torn_tail(struct chaos_run *run)
{
    struct chaos_damage d = lay_out(run);
    chaos_damage_tail(&d);
    printf("  torn: %s\n", d.what);
    bool ok = chaos_server_start(&run->server);
    chaos_load_resume(&run->load);
    return ok;
}

static long
log_size(const struct chaos_run *run)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof(path), "%s/serve.log", run->dir);
    return stat(path, &st) == 0 ? (long)st.st_size : 0;
}

/* Damage has to be told with its segment. */
static bool
is_told(struct chaos_run *run, long from, uint64_t segment)
{
    char path[300], line[2048], want[64];
    bool told = false;
    snprintf(path, sizeof(path), "%s/serve.log", run->dir);
    snprintf(want, sizeof(want), "\"segment\":%llu,", (unsigned long long)segment);
    FILE *f = fopen(path, "re");
    if (f != NULL && fseek(f, from, SEEK_SET) == 0) {
        while (!told && fgets(line, sizeof(line), f) != NULL)
            told = strstr(line, "\"journal finding\"") != NULL && strstr(line, want) != NULL &&
                   strstr(line, "\"level\":\"error\"") != NULL;
    }
    if (f != NULL)
        fclose(f);
    if (!told)
        snprintf(run->server.why, sizeof(run->server.why), "%s says nothing of the damage in segment %llu",
                 path, (unsigned long long)segment);
    return told;
}

static unsigned
segments_in(const struct chaos_run *run, const char *sub)
{
    char path[300];
    unsigned n = 0;
    struct dirent *e;
    snprintf(path, sizeof(path), "%s/%s", run->server.data, sub);
    DIR *dir = opendir(path);
    while (dir != NULL && (e = readdir(dir)) != NULL)
        n += strstr(e->d_name, ".seg") != NULL;
    if (dir != NULL)
        closedir(dir);
    return n;
}

/* Until a segment is full, however slow the machine is. */
static void
wait_sealed(const struct chaos_run *run)
{
    for (int i = 0; i < SEALED_S * 20 && segments_in(run, "wal") < 2 && segments_in(run, "outbox") < 2; i++)
        chaos_nap_ms(50);
}

static bool
strike_bit_flip(struct chaos_run *run)
{
    long from = log_size(run);
    chaos_server_signal(&run->server, run->server.engine, SIGSTOP);
    chaos_nap_ms(run->scenario.down_ms);
    wait_sealed(run);
    struct chaos_damage d = lay_out(run);
    bool done = chaos_damage_flip(&d);
    printf("  flip: %s\n", done ? d.what : "no sealed segment holds an entry");
    run->totals.hits += done;
    bool ok = chaos_server_start(&run->server) && (!done || is_told(run, from, d.segment));
    uint64_t aside = ok ? chaos_damage_aside(&d) : 0;
    if (aside > 0)
        printf("  set aside because of it, listed and not stored by itself: %llu records\n",
               (unsigned long long)aside);
    chaos_load_resume(&run->load);
    return ok;
}

/* ---- with the shim ---- */

/* The machine did not really restart: what the node compares with the kernel's boot_id is made to say so. */
static bool
another_boot(const char *data)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/boot", data);
    FILE *f = fopen(path, "w");
    return f != NULL && fputs("the boot before the power went", f) >= 0 && fclose(f) == 0;
}

static bool
strike_power_loss(struct chaos_run *run)
{
    struct chaos_power p = {.data = run->server.data,
                            .shim = run->server.shim_dir,
                            .strict = run->scenario.names_strict,
                            .rnd = run->scenario.survivors ? &run->rnd : NULL};
    chaos_server_kill(&run->server);
    if (!chaos_power_cut(&p) || !another_boot(run->server.data)) {
        snprintf(run->server.why, sizeof(run->server.why), "%s", p.why);
        return false;
    }
    printf("  power: forgotten %llu writes, %llu bytes, %llu names; kept %llu; %llu written back by age; "
           "%llu removed "
           "files could not be brought back\n",
           (unsigned long long)p.writes_forgotten, (unsigned long long)p.bytes_forgotten,
           (unsigned long long)p.names_forgotten, (unsigned long long)p.kept, (unsigned long long)p.aged,
           (unsigned long long)p.files_gone);
    run->totals.hits += p.writes_forgotten + p.names_forgotten;
    return chaos_server_start(&run->server);
}

struct trouble {
    uint32_t who, where, what, percent, delay_us;
    int32_t error;
};

/* Lasts for `down` ms. */
static bool
trouble(struct chaos_run *run, struct trouble t)
{
    struct shim_control *c = run->server.shim;
    atomic_store(&c->who, t.who);
    atomic_store(&c->where, t.where);
    atomic_store(&c->what, t.what);
    atomic_store(&c->delay_us, t.delay_us);
    atomic_store(&c->error, t.error);
    uint64_t before = atomic_load(&c->fired);
    atomic_store(&c->percent, t.percent);
    chaos_nap_ms(run->scenario.down_ms);
    atomic_store(&c->percent, 0);
    run->totals.hits += atomic_load(&c->fired) - before;
    return true;
}

static bool
strike_disk_slow(struct chaos_run *run)
{
    return trouble(run, (struct trouble){SHIM_NODE | SHIM_ENGINE, SHIM_WAL | SHIM_OUTBOX | SHIM_STORE,
                                         SHIM_WRITE | SHIM_SYNC, 33, 40000, 0});
}

static bool
strike_sync_fails(struct chaos_run *run)
{
    return trouble(run, (struct trouble){SHIM_NODE, SHIM_WAL | SHIM_OUTBOX, SHIM_SYNC, 50, 0, EIO});
}

static bool
strike_write_fails(struct chaos_run *run)
{
    return trouble(run, (struct trouble){SHIM_NODE, SHIM_WAL | SHIM_OUTBOX, SHIM_WRITE, 50, 0, EIO});
}

static bool
strike_store_fails(struct chaos_run *run)
{
    return trouble(run, (struct trouble){SHIM_ENGINE, SHIM_STORE, SHIM_WRITE | SHIM_SYNC, 50, 0, EIO});
}

static bool
strike_disk_full(struct chaos_run *run)
{
    uint64_t before = atomic_load(&run->server.shim->refused_growth);
    atomic_store(&run->server.shim->room, (int64_t)ox_random_below(&run->rnd, FULL_BYTES));
    chaos_nap_ms(run->scenario.down_ms);
    atomic_store(&run->server.shim->room, -1);
    run->totals.hits += atomic_load(&run->server.shim->refused_growth) - before;
    return true;
}

static bool
strike_clock_jump(struct chaos_run *run)
{
    struct shim_control *c = run->server.shim;
    atomic_store(&c->clock_ns,
                 ((int64_t)ox_random_below(&run->rnd, 2 * JUMP_S) - JUMP_S) * INT64_C(1000000000));
    atomic_store(&c->who_clock, SHIM_NODE);
    chaos_nap_ms(run->scenario.down_ms);
    atomic_store(&c->who_clock, 0);
    return true;
}

/* ---- with the proxy ---- */

static bool
bad_network(struct chaos_run *run, enum chaos_proxy_mode mode, uint32_t percent)
{
    struct chaos_proxy *p = &run->server.proxy;
    uint64_t before = atomic_load(&p->struck);
    atomic_store(&p->seed, ox_random_u64(&run->rnd));
    atomic_store(&p->percent, percent);
    atomic_store(&p->mode, (int)mode);
    chaos_nap_ms(run->scenario.down_ms);
    atomic_store(&p->mode, CHAOS_PROXY_PASS);
    run->totals.hits += atomic_load(&p->struck) - before;
    return true;
}

static bool
strike_reply_lost(struct chaos_run *run)
{
    return bad_network(run, CHAOS_PROXY_LOSE_REPLY, 33);
}

static bool
strike_request_cut(struct chaos_run *run)
{
    return bad_network(run, CHAOS_PROXY_CUT_BODY, 33);
}

static bool
strike_network_slow(struct chaos_run *run)
{
    return bad_network(run, CHAOS_PROXY_SLOW, 100);
}

static bool
strike_storage_down(struct chaos_run *run)
{
    return bad_network(run, CHAOS_PROXY_DOWN, 100);
}

static bool
strike_storage_hang(struct chaos_run *run)
{
    return bad_network(run, CHAOS_PROXY_HANG, 100);
}

static bool
strike_storage_cut(struct chaos_run *run)
{
    return bad_network(run, CHAOS_PROXY_LOSE_REPLY, 50);
}

static bool
strike_insert_cut(struct chaos_run *run)
{
    return bad_network(run, CHAOS_PROXY_CUT_BODY, 50);
}

/* ---- the control store ---- */

/* Whoever is known goes on, and nobody else gets in. */
static bool
goes_on(struct chaos_run *run)
{
    struct chaos_server *s = &run->server;
    uint64_t before = atomic_load(&run->load.acked),
             end = chaos_now_ns() + UINT64_C(1000000) * run->scenario.down_ms;
    bool kept_out = true;
    do {
        kept_out = kept_out && chaos_postgres_keeps_out(s);
        chaos_nap_ms(ASK_MS);
    } while (kept_out && chaos_now_ns() < end);
    if (kept_out && atomic_load(&run->load.acked) == before) {
        snprintf(s->why, sizeof(s->why), "known keys do not go on while PostgreSQL is away");
        return false;
    }
    return kept_out;
}

static bool
strike_kill_postgres(struct chaos_run *run)
{
    chaos_postgres_kill(&run->server.postgres);
    return goes_on(run) && chaos_postgres_resume(&run->server) && chaos_postgres_keeps_out(&run->server);
}

static bool
strike_halt_postgres(struct chaos_run *run)
{
    chaos_postgres_halt(&run->server.postgres);
    return goes_on(run) && chaos_postgres_resume(&run->server) && chaos_postgres_keeps_out(&run->server);
}

static bool
strike_stop_postgres(struct chaos_run *run)
{
    chaos_postgres_freeze(&run->server.postgres, true);
    bool ok = goes_on(run);
    chaos_postgres_freeze(&run->server.postgres, false);
    return ok && chaos_postgres_keeps_out(&run->server);
}

static bool
strike_kill_node_postgres(struct chaos_run *run)
{
    struct chaos_server *s = &run->server;
    pid_t node = s->node;
    chaos_postgres_kill(&s->postgres);
    chaos_server_signal(s, node, SIGKILL);
    chaos_nap_ms(run->scenario.down_ms);
    bool ok = chaos_postgres_keeps_out(s);
    return ok && chaos_postgres_resume(s) && chaos_server_replaced(s, &s->node, node) &&
           chaos_postgres_keeps_out(s);
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
