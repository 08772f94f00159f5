/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/node.c - the node of cmd/cmd_node.c, put together from the same parts on the world's disk and clock.
 *
 * Owns:    struct sim_node, from the opening of its journals to its end.
 * Threads: one.
 * Fails:   a disk that dies while it starts ends that life; anything else that refuses is a broken promise.
 *
 * What differs from cmd_node: no API, one loop without sockets (fakes.c stands for the HTTP server), a development
 * secret that is known, and storage that is scripted.
 */
#include <stdio.h>

#include "chaos/sim/sim.h"
#include "ox/breaker.h"
#include "ox/config_table.h"
#include "ox/dead_letter.h"
#include "ox/gateway.h"
#include "ox/log.h"
#include "ox/sampling.h"
#include "ox/supervisor.h"
#include "ox/tenants.h"
#include "tests/harness/runtime_check.h"

#define DRAIN_TICK_MS 20u

static const char data_dir[] = "d", refused_dir[] = "d/dlq/blocks", set_aside_dir[] = "d/set-aside",
                  suspects_path[] = "d/crash/suspects";

/* Small bounds, so that they are reached. */
void
sim_node_config(struct sim *s)
{
    struct ox_config *c = &s->n.config;
    static const int levels[] = {0, 0, -3, 1};
    ox_config_defaults(c);
    snprintf(c->data, sizeof(c->data), "%s", data_dir);
    c->gateway_records_max = (int64_t)sim_between(64, 4096);
    c->writer_block_rows = (int64_t)sim_between(4, 400);
    c->writer_flush_ms = (int64_t)sim_between(20, 1000);
    c->writer_compression_level = levels[sim_between(0, OX_COUNT(levels) - 1)];
    c->writer_partitions_max = (int64_t)sim_between(2, 8);
    c->writer_blocks_in_flight = (int64_t)sim_between(1, 8);
    c->wal_commit_interval_ms = (int64_t)(sim_chance(500000) ? 0 : sim_between(1, 5));
    c->wal_total_bytes = sim_between(512, 4096) << 10;
    c->outbox_total_bytes = sim_between(512, 4096) << 10;
    c->wal_disk_reserve_bytes = 128u << 10;
    c->tenant_backlog_bytes = sim_between(16, 512) << 10;
    c->spill_total_bytes = sim_between(64, 1024) << 10;
    c->spill_open_journals = (int64_t)sim_between(1, 4);
    c->storage_insert_timeout_ms = (int64_t)sim_between(1000, 120000);
    /* Inserts that hang must leave a thread: as in the defaults, where they are 4 of 16. */
    c->runtime_dirty_threads = c->writer_blocks_in_flight + (int64_t)sim_between(2, 6);
    if (s->opt.broken == SIM_BREAK_ACK_EARLY)
        c->wal_ack = OX_ACK_INTERVAL;
    if (s->opt.broken == SIM_BREAK_NO_REPEATS)
        c->gateway_duplicate_window_ms = 0;
}

/* ---- opening ---- */

static uint64_t
smallest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static ox_err
open_storage(struct sim *s, struct ox_diag *diag)
{
    const struct ox_config *c = &s->n.config;
    struct ox_breaker_config breaker;
    ox_breaker_config_default(&breaker);
    breaker.failures = (uint32_t)c->storage_breaker_failures;
    breaker.calls_min = (uint32_t)c->storage_breaker_calls;
    breaker.window_ns = (uint64_t)c->storage_breaker_window_ms * SIM_MS;
    breaker.wait_max_ns = (uint64_t)c->storage_breaker_wait_ms * SIM_MS;
    struct ox_storage_options so = {
        .url = "http://script", .database = "observex", .breaker = &breaker, .clock = &s->clock.clock};
    return ox_storage_open(&so, &s->n.node.storage, diag);
}

/* A rate of half, and a rule that keeps every other trace: nothing is lost to the counts of this world, and everything
 * waits, is read again, comes late and is decided once. */
static ox_err
open_sampling(struct sim *s)
{
    static const char rules[] =
        "sampling: {default: {rates: [{probability: 0.5}], keep: [{name: bad, if: {status: "
        "error}}, {name: good, if: {not: {status: error}}}]}}\n";
    struct ox_config_report report;
    ox_config_report_init(&report);
    ox_err err = ox_sampling_read(OX_STR(rules), "rules", &s->n.sampling, &report);
    ox_config_report_fini(&report);
    atomic_store(&s->n.node.sampling, s->n.sampling);
    return err;
}

static ox_err
open_parts(struct sim *s, struct ox_diag *diag)
{
    static const char secret[] = "the secret of a simulated node";
    struct ox_node *node = &s->n.node;
    const struct ox_config *c = &s->n.config;
    struct ox_tenants_limits limits = {.tenants_max = 64,
                                       .node_records_max = (uint64_t)c->gateway_records_max,
                                       .tenant_records_max = (uint64_t)c->gateway_records_max / 2,
                                       .tenant_requests_max = 4096,
                                       .tenant_backlog_bytes_max = c->tenant_backlog_bytes,
                                       .node_backlog_bytes_max = c->spill_total_bytes,
                                       .bodies = &node->bodies,
                                       .clock = node->clock};
    struct ox_dead_letter_config dc = {
        .file_bytes_max = 1 << 20, .total_bytes_max = 8 << 20, .keep_ns = 3600 * SIM_S};
    node->config = c;
    node->clock = &s->clock.clock;
    node->disk = fault_disk_seam(s->disk);
    node->bodies.limit_bytes = c->gateway_memory_bytes;
    node->tenants = ox_tenants_new(&limits);
    node->keys = ox_keystore_dev_new(ox_str_of(secret), (struct ox_str){0});
    if (node->tenants == NULL || node->keys == NULL)
        return OX_E_NOMEM;
    ox_err err = open_storage(s, diag);
    if (err == OX_OK && s->plan.sampling)
        err = open_sampling(s);
    if (err != OX_OK)
        return err;
    err = ox_warden_open(&s->n.warden, node, data_dir, diag);
    if (err != OX_OK)
        return err;
    return ox_dead_letter_open(node->disk, "d/dlq", &dc, &node->dead_letters, diag);
}

static ox_err
open_journals(struct sim *s, struct ox_diag *diag)
{
    struct sim_node *n = &s->n;
    const struct ox_config *c = &n->config;
    uint64_t wal_eighth = c->wal_total_bytes / 8, outbox_eighth = c->outbox_total_bytes / 8;
    ox_err err = ox_suspects_load(n->node.disk, suspects_path, &n->suspects);
    struct ox_recovery_options ro = {.data_dir = data_dir,
                                     .wal_segment_bytes =
                                         smallest(64 << 10, smallest(wal_eighth, outbox_eighth)),
                                     .outbox_segment_bytes = smallest(64 << 10, outbox_eighth),
                                     .wal_total_bytes = c->wal_total_bytes,
                                     .outbox_total_bytes = c->outbox_total_bytes,
                                     .suspects = &n->suspects,
                                     .set_aside_dir = set_aside_dir,
                                     .crashes = n->node.crashes,
                                     .clock = &s->clock.clock};
    if (err == OX_OK)
        err = ox_recover(n->node.disk, &ro, &n->recovered, diag);
    n->wal = n->recovered.wal;
    n->outbox = n->recovered.outbox;
    if (err != OX_OK)
        return err;
    n->open = true;
    atomic_store(&n->node.next_block_id, ox_journal_next_seq(n->outbox));
    return ox_random_os(&n->node.boot_nonce, sizeof(n->node.boot_nonce));
}

/* ---- starting ---- */

static ox_err
start_sup(struct sim *s, const char *name, enum ox_past_intensity past, ox_pid parent, ox_pid *pid,
          struct ox_diag *diag)
{
    const struct ox_config *c = &s->n.config;
    struct ox_sup_spec spec = {.name = name,
                               .parent = parent,
                               .max_restarts = (uint32_t)c->supervisor_max_restarts,
                               .window_ms = (uint32_t)c->supervisor_restart_window_ms,
                               .backoff_min_ms = (uint32_t)c->supervisor_backoff_min_ms,
                               .backoff_max_ms = (uint32_t)c->supervisor_backoff_max_ms,
                               .past_intensity = past};
    return ox_sup_start(&spec, pid, diag);
}

static ox_err
add(struct sim *s, const char *id, const struct ox_actor_class *class, void *arg, ox_pid *pid,
    struct ox_diag *diag)
{
    struct ox_child_spec spec = {.id = id,
                                 .class = class,
                                 .arg = arg,
                                 .name = id,
                                 .restart = OX_RESTART_PERMANENT,
                                 .shutdown_ms = (uint32_t)s->n.config.supervisor_shutdown_ms,
                                 .past_intensity = OX_SUP_ESCALATE};
    return ox_sup_add_wait(s->n.root, &spec, pid, diag);
}

static ox_err
start_spine(struct sim *s, struct ox_diag *diag)
{
    static const char *const names[OX_SIGNAL__COUNT] = {"writer/traces", "writer/logs", "writer/metrics"};
    struct sim_node *n = &s->n;
    struct ox_node *node = &n->node;
    n->outbox_arg = (struct ox_outbox_arg){.node = node,
                                           .recovered = &n->recovered,
                                           .journal = n->outbox,
                                           .refused_dir = refused_dir,
                                           .doubts_path = "d/rollups-in-doubt"};
    n->wal_arg =
        (struct ox_wal_arg){.node = node, .recovered = &n->recovered, .set_aside_dir = set_aside_dir};
    ox_err err = ox_lane_new("wal", 4, &n->wal_arg.lane);
    if (err == OX_OK)
        err = ox_lane_new("outbox", 4, &n->outbox_arg.lane);
    if (err == OX_OK)
        err = ox_lane_new("spill", 4, &n->wal_arg.spill_lane);
    if (err == OX_OK)
        err = start_sup(s, "node", OX_SUP_ESCALATE, OX_PID_NONE, &n->root, diag);
    if (err == OX_OK)
        err = ox_lane_new("warden", 4096, &n->warden.lane);
    if (err == OX_OK)
        err = add(s, "warden", &ox_warden_class, &n->warden, &n->warden.pid, diag);
    if (err == OX_OK)
        err = start_sup(s, "tenants", OX_SUP_QUARANTINE, n->root, &node->tenants_sup, diag);
    if (err == OX_OK)
        err = ox_warden_restore(&n->warden, diag);
    if (err == OX_OK)
        err = add(s, "outbox", &ox_outbox_class, &n->outbox_arg, &node->outbox, diag);
    for (int i = 0; i < OX_SIGNAL__COUNT && err == OX_OK; i++) {
        n->writer_args[i] = (struct ox_writer_arg){node, (enum ox_signal)i};
        err = add(s, names[i], &ox_writer_class, &n->writer_args[i], &node->writers[i], diag);
    }
    if (err == OX_OK)
        err = add(s, "wal", &ox_wal_class, &n->wal_arg, &node->wal, diag);
    return err == OX_OK ? ox_gateway_start(node, n->root, -1, -1, &n->gateway, diag) : err;
}

static ox_err
start_runtime(struct sim *s, struct ox_diag *diag)
{
    const struct ox_config *c = &s->n.config;
    struct ox_runtime_options ro = {.single_thread = true,
                                    .seed = ox_random_u64(&s->rnd),
                                    .actors_max = 256,
                                    .names_max = 256,
                                    .dirty_threads = (uint32_t)c->runtime_dirty_threads,
                                    .dirty_queue_max = 64,
                                    .clock = &s->clock.clock};
    sim_hooks(&ro.hooks);
    ox_err err = ox_runtime_start(&ro, diag);
    s->n.running = err == OX_OK;
    return err;
}

static void
close_node(struct sim *s)
{
    struct sim_node *n = &s->n;
    struct ox_config config = n->config;
    ox_gateway_free(n->gateway);
    ox_dead_letter_close(n->node.dead_letters);
    ox_storage_close(n->node.storage);
    if (n->node.keys != NULL)
        n->node.keys->free(n->node.keys);
    ox_recovery_fini(&n->recovered);
    ox_warden_close(&n->warden);
    sim_clients_deaf();
    sim_batches_forget();
    ox_tenants_free(n->node.tenants);
    ox_sampling_free(n->sampling);
    memset(n, 0, sizeof(*n));
    n->config = config;
}

static void
end_runtime(struct sim *s)
{
    if (s->n.running)
        ox_runtime_stop();
    s->n.running = false;
}

bool
sim_node_start(struct sim *s)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    s->ghost = s->fell = false;
    s->life++;
    sim_supervision_reset();
    ox_err err = open_parts(s, &diag);
    if (err == OX_OK)
        err = open_journals(s, &diag);
    if (err == OX_OK) {
        sim_clients_new_life(s);
        err = start_runtime(s, &diag);
    }
    if (err == OX_OK)
        err = start_spine(s, &diag);
    if (err != OX_OK && !fault_disk_fired(s->disk) && !s->fell)
        sim_fail("the node does not start: %s: %s %s", ox_err_text(err), diag.field, diag.text);
    if (err == OX_OK && !s->fell)
        atomic_store_explicit(&s->n.node.phase, OX_NODE_RUNNING, memory_order_release);
    sim_note("life %u begins: %s", s->life, err == OX_OK ? "ok" : ox_err_text(err));
    return err == OX_OK && !s->fell;
}

/* ---- running ---- */

bool
sim_node_step(struct sim *s)
{
    char why[512];
    if (!ox_runtime_step())
        return false;
    s->result.steps++;
    ox_clock_virtual_advance(&s->clock, sim_between(0, 30) * 1000);
    if (!runtime_check(why, sizeof(why)))
        sim_fail("%s", why);
    return true;
}

bool
sim_node_idle(struct sim *s)
{
    struct ox_node *node = &s->n.node;
    if (atomic_load(&node->spill_tenants) != 0 || atomic_load(&node->spill_entries) != 0)
        return false;
    return !sim_clients_waiting() && ox_tenants_in_flight(node->tenants) == 0 &&
           atomic_load(&node->sampler_held) == 0 && atomic_load(&node->writer_records) == 0 &&
           atomic_load(&node->outbox_blocks) == 0 && atomic_load(&node->outbox_notes) == 0 &&
           atomic_load(&node->replay_done);
}

void
sim_node_check_idle(struct sim *s)
{
    struct ox_node *node = &s->n.node;
    unsigned long long bodies = atomic_load(&node->bodies.used_bytes),
                       again = atomic_load(&node->replayed.used_bytes);
    if (bodies != 0 || again != 0 || sim_batches() != 0)
        sim_fail(
            "the node is idle, and %llu bytes of requests, %llu of replayed ones and %u batches are alive",
            bodies, again, sim_batches());
    for (uint32_t i = 0; i < ox_tenants_count(node->tenants); i++) {
        const struct ox_tenant *t = ox_tenants_at(node->tenants, i);
        if (t->requests_in_flight != 0 || t->records_in_flight != 0 || t->parked != 0 ||
            t->bodies.used_bytes != 0)
            sim_fail("the node is idle, and tenant %s has %u requests and %llu records in flight, %u parked",
                     t->id.name, t->requests_in_flight, (unsigned long long)t->records_in_flight, t->parked);
        if (t->backlog_bytes != 0)
            sim_fail("the node is idle, and tenant %s has %llu bytes of a backlog reserved", t->id.name,
                     (unsigned long long)t->backlog_bytes);
    }
}

/* As an operator does it, who has read the number of crashes. */
void
sim_node_revoke(struct sim *s)
{
    static const struct ox_asker who = {"the simulation", "127.0.0.1", "operator"};
    struct ox_node *node = &s->n.node;
    for (uint32_t i = 0; i < ox_tenants_count(node->tenants); i++) {
        struct ox_tenant *t = ox_tenants_at(node->tenants, i);
        char id[OX_TENANT_CHILD_ID_MAX];
        struct ox_child_spec spec;
        struct ox_diag diag;
        uint32_t crashes = atomic_load(&t->quarantined);
        if (crashes == 0)
            continue;
        ox_tenant_child_spec(node, t, id, &spec);
        ox_diag_clear(&diag);
        ox_err err = ox_warden_revoke(&s->n.warden, OX_ROLE_OPERATOR, &who, t->id.name, crashes, &diag);
        sim_note("the quarantine of %s is revoked: %s %s", id, ox_err_text(err), diag.text);
        if (err == OX_OK)
            sim_supervision_revoked(ox_whereis(id));
        else if (err != OX_E_UNAVAILABLE && !s->fell &&
                 !fault_disk_dead(s->disk)) /* asked again until it is lifted */
            sim_fail("the quarantine of %s after %u crashes cannot be revoked: %s %s", id, crashes,
                     ox_err_text(err), diag.text);
    }
}

/* ---- ending ---- */

void
sim_node_kill(struct sim *s, bool power)
{
    sim_note("life %u is killed%s", s->life, power ? ", the power goes" : "");
    s->result.kills++;
    s->ghost = true;
    fault_disk_die(s->disk, 1);
    end_runtime(s);
    close_node(s);
    if (power)
        fault_disk_cut(s->disk, sim_chance(500000) ? FAULT_CUT_RANDOM : FAULT_CUT_CLEAN);
    else
        fault_disk_restart(s->disk);
    s->ghost = false;
}

static bool
all_stored(struct sim *s)
{
    return ox_gateway_drained(s->n.gateway) && sim_node_idle(s);
}

/* As node_control.c does it. */
void
sim_node_stop(struct sim *s)
{
    struct ox_node *node = &s->n.node;
    uint64_t limit_ns = sim_time() + (uint64_t)s->n.config.heart_drain_ms * SIM_MS / 4 * 3, ask_ns = 0;
    sim_note("life %u is asked to stop", s->life);
    s->result.stops++;
    atomic_store_explicit(&node->phase, OX_NODE_STOPPING, memory_order_release);
    while (!s->fell && !all_stored(s) && sim_time() < limit_ns) {
        if (sim_time() >= ask_ns) {
            ask_ns = sim_time() + DRAIN_TICK_MS * SIM_MS;
            ox_gateway_drain(s->n.gateway);
            for (int i = 0; i < OX_SIGNAL__COUNT; i++)
                (void)!ox_cast(node->writers[i], OX_K_flush, 0);
        }
        if (sim_node_step(s))
            continue;
        uint64_t next = ox_runtime_next_timer_ns();
        uint64_t to = next < ask_ns ? next : ask_ns;
        if (to > sim_time())
            ox_clock_virtual_advance(&s->clock, to - sim_time());
    }
    if (s->fell) {
        sim_node_kill(s, false);
        return;
    }
    end_runtime(s);
    close_node(s);
    fault_disk_restart(s->disk); /* what is left of handles would be a leak of the node's */
}
