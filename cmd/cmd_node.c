/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_node.c - the node: opens the journals, starts the actors, tells the heart, stops in good order.
 *
 * Owns:    struct ox_node and everything in it; both journals from recovery to the end.
 * Threads: main starts and ends everything; one thread listens to the heart.
 * Fails:   a sentence on stderr and exit code 1 (64 for the configuration).
 * Flow:    heart -fds-> here -> runtime, supervisors, actors -> "ready".
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/heart.h"
#include "cmd/node_internal.h"
#include "ox/dead_letter.h"
#include "ox/disk.h"
#include "ox/fault.h"
#include "ox/gateway.h"
#include "ox/log.h"
#include "ox/mender.h"
#include "ox/outbox.h"
#include "ox/prune.h"
#include "ox/query.h"
#include "ox/random.h"
#include "ox/runtime.h"
#include "ox/storage.h"
#include "ox/stream.h"
#include "ox/supervisor.h"
#include "ox/wal.h"
#include "ox/weights.h"

/* ---- what the node owns ---- */

static ox_err
open_storage(struct node_main *m, struct ox_diag *diag)
{
    static char url[OX_CONFIG_STRING_MAX], key[OX_SECRET_HEX + 1];
    const struct ox_config *cfg = &m->config;
    struct ox_breaker_config breaker;
    ox_breaker_config_default(&breaker);
    breaker.failures = (uint32_t)cfg->storage_breaker_failures;
    breaker.calls_min = (uint32_t)cfg->storage_breaker_calls;
    breaker.window_ns = (uint64_t)cfg->storage_breaker_window_ms * 1000000;
    breaker.wait_max_ns = (uint64_t)cfg->storage_breaker_wait_ms * 1000000;
    struct ox_storage_options so = {
        .url = url,
        .database = cfg->storage_database,
        .user = cfg->storage_user,
        .ca_file = cfg->storage_ca_file[0] != '\0' ? cfg->storage_ca_file : NULL,
        .connect_timeout_ms = (unsigned)cfg->storage_connect_timeout_ms,
        .breaker = &breaker,
        .clock = m->node.clock,
    };
    ox_config_storage_url(cfg, url, sizeof(url));
    if (ox_config_embedded(cfg)) {
        ox_err err = ox_secret_read(cfg->data, key, diag);
        if (err != OX_OK)
            return err;
        so.key = key;
    } else {
        ox_err err = node_password(cfg, m->password, sizeof(m->password), diag);
        if (err != OX_OK)
            return err;
        so.key = m->password[0] != '\0' ? m->password : NULL;
        so.walled = true;
    }
    return ox_storage_open(&so, &m->node.storage, diag);
}

void
node_tenants_limits(const struct ox_config *cfg, struct ox_tenants_limits *out)
{
    *out = (struct ox_tenants_limits){
        .tenants_max = (uint32_t)cfg->tenant_max,
        .node_records_max = (uint64_t)cfg->gateway_records_max,
        .tenant_records_max =
            (uint64_t)cfg->gateway_records_max / 2, /* whoever floods leaves the others room */
        .tenant_requests_max = (uint32_t)cfg->runtime_mailbox_messages,
        .tenant_backlog_bytes_max = cfg->tenant_backlog_bytes,
        .node_backlog_bytes_max = cfg->spill_total_bytes,
    };
}

void
node_tenant_weights(const struct ox_config *cfg)
{
    struct ox_weights weights;
    ox_err err = ox_weights_parse(cfg->tenant_weights, &weights, NULL);
    OX_ASSERT(err == OX_OK); /* ox_config_check has seen it */
    ox_weights_apply(&weights);
}

void
node_dead_letter_config(const struct ox_config *cfg, struct ox_dead_letter_config *out)
{
    *out = (struct ox_dead_letter_config){.file_bytes_max = cfg->dlq_file_bytes,
                                          .total_bytes_max = cfg->dlq_total_bytes,
                                          .keep_ns = (uint64_t)cfg->dlq_keep_ms * 1000000};
}

static ox_err
open_dead_letters(struct node_main *m, struct ox_diag *diag)
{
    char dir[OX_DISK_PATH_MAX];
    const struct ox_config *cfg = &m->config;
    struct ox_dead_letter_config dc;
    node_dead_letter_config(cfg, &dc);
    snprintf(dir, sizeof(dir), "%s/dlq", cfg->data);
    snprintf(m->refused_dir, sizeof(m->refused_dir), "%s/dlq/blocks", cfg->data);
    snprintf(m->doubts_path, sizeof(m->doubts_path), "%s/rollups-in-doubt", cfg->data);
    return ox_dead_letter_open(m->node.disk, dir, &dc, &m->node.dead_letters, diag);
}

static uint64_t
smallest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static ox_err
open_node(struct node_main *m, struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    struct ox_node *node = &m->node;
    node->config = cfg;
    node->clock = ox_clock_real();
    node->disk = ox_disk_real();
    node->bodies.limit_bytes = cfg->gateway_memory_bytes;
    node->strangers.whole = &node->bodies;
    node_read_only_load(m);
    struct ox_tenants_limits tl;
    node_tenants_limits(cfg, &tl);
    node_tenant_weights(cfg);
    tl.bodies = &node->bodies;
    tl.clock = node->clock;
    node->tenants = ox_tenants_new(&tl);
    if (node->tenants == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the directory of tenants");
    ox_err err = node_keystore(m, diag);
    if (err == OX_OK)
        err = node_tls_open(m, diag);
    if (err == OX_OK)
        err = node_jwt_open(m, diag);
    if (err == OX_OK)
        err = node_quotas_open(m, diag);
    if (err == OX_OK)
        err = node_redact_open(m, diag);
    if (err == OX_OK)
        err = node_sampling_open(m, diag);
    if (err == OX_OK)
        err = open_storage(m, diag);
    if (err == OX_OK)
        err = open_dead_letters(m, diag);
    /* Segments are the steps in which room comes back: too few of them, and the newest ones alone fill a journal. What
     * one segment of the log holds also keeps its blocks in the outbox. */
    uint64_t wal_eighth = cfg->wal_total_bytes / 8, outbox_eighth = cfg->outbox_total_bytes / 8;
    snprintf(m->set_aside_dir, sizeof(m->set_aside_dir), "%s/set-aside", cfg->data);
    if (err == OX_OK)
        err = ox_warden_open(&m->warden, node, cfg->data, diag);
    if (err != OX_OK)
        return err;
    node_suspects_load(m, &m->suspects);
    node_starts_note(m);
    struct ox_recovery_options ro = {
        .data_dir = cfg->data,
        .wal_segment_bytes = smallest(cfg->wal_segment_bytes, smallest(wal_eighth, outbox_eighth)),
        .outbox_segment_bytes = smallest(cfg->outbox_segment_bytes, outbox_eighth),
        .wal_total_bytes = cfg->wal_total_bytes,
        .outbox_total_bytes = cfg->outbox_total_bytes,
        .suspects = &m->suspects,
        .set_aside_dir = m->set_aside_dir,
        .crashes = node->crashes,
        .clock = node->clock,
    };
    if (err == OX_OK)
        err = ox_recover(node->disk, &ro, &m->recovered, diag);
    m->wal = m->recovered.wal;
    m->outbox = m->recovered.outbox;
    if (err != OX_OK)
        return err;
    /* A server elsewhere has not lost its tokens with this machine's power. */
    node->machine_restarted = node_machine_restarted(node->disk, cfg->data) && ox_config_embedded(cfg);
    err = node_stream_open(m, diag);
    if (err != OX_OK)
        return err;
    node_suspects_settle(cfg, &m->suspects, ox_journal_first_seq(m->wal));
    atomic_store_explicit(&node->next_block_id, ox_journal_next_seq(m->outbox), memory_order_relaxed);
    return ox_random_os(&node->boot_nonce, sizeof(node->boot_nonce));
}

static void
close_node(struct node_main *m)
{
    struct ox_node *node = &m->node;
    ox_gateway_free(m->gateway);
    ox_api_free(m->api);
    ox_dead_letter_close(node->dead_letters);
    ox_storage_close(node->storage);
    ox_stream_free(node->stream);
    if (node->keys != NULL)
        node->keys->free(node->keys);
    node_users_close(m);
    ox_tls_free(node->tls);
    node_quotas_close(m);
    node_redact_close(m);
    node_sampling_close(m);
    ox_recovery_fini(&m->recovered); /* closes both journals */
    ox_tenants_free(node->tenants);
    ox_warden_close(&m->warden);
}

/* ---- runtime ---- */

#define ACTORS_BESIDE_TENANTS 4096u /* loops, followers of the API, callers that wait: some hundreds */

/* Log, outbox and writers hold accounts that only a replay rebuilds: when one of them crashes, the process does. */
static bool
is_bookkeeper(const char *class_name)
{
    return strcmp(class_name, "wal") == 0 || strcmp(class_name, "outbox") == 0 ||
           strcmp(class_name, "writer") == 0;
}

static void
on_obituary(void *arg, const struct ox_obituary *ob)
{
    struct node_main *m = arg;
    node_crash_note(m, ob);
    ox_warden_crashed(&m->warden);
    if (is_bookkeeper(ob->class_name)) {
        node_crash_save(m);
        node_suspects_charge(&m->config, ob->cause.wal_seq, ox_tenant_name(ob->cause.tenant));
        OX_LOG_AT(OX_LOG_FATAL, "runtime", "the node restarts: its journals rebuild what this actor knew",
                  OX_F_STR("class", ob->class_name));
        _exit(OX_EXIT_CRASHING);
    }
}

/* What stood in the mailbox of a tenant's actor that was put aside. */
static void
on_undelivered(void *arg, ox_pid to, struct ox_msg *msg)
{
    struct node_main *m = arg;
    ox_tenant_give_back(&m->node, msg, false);
}

/* What an actor had in hand before it took it out of its message: what it took it gives back itself. */
static void
on_set_aside(void *arg, const struct ox_obituary *ob, struct ox_msg *msg)
{
    struct node_main *m = arg;
    if (strcmp(ob->class_name, "tenant") == 0)
        ox_tenant_give_back(&m->node, msg, true);
    else if (strcmp(ob->class_name, "gateway") == 0)
        ox_gateway_set_aside(msg);
}

static void
on_quarantined(void *arg, const char *supervisor, const char *child_id, ox_pid pid, uint32_t crashes,
               struct ox_cause cause)
{
    struct node_main *m = arg;
    if (ox_tenant_of_child(child_id) != NULL)
        ox_warden_quarantined(&m->warden, ox_tenant_of_child(child_id), crashes);
}

/* Room for the actor of every tenant that admission lets in: what is acknowledged must find one. */
static uint32_t
actors_max(const struct ox_config *cfg)
{
    uint64_t needed = (uint64_t)cfg->tenant_max + ACTORS_BESIDE_TENANTS;
    return (uint32_t)(needed > (uint64_t)cfg->runtime_actors_max ? needed
                                                                 : (uint64_t)cfg->runtime_actors_max);
}

static ox_err
start_runtime(struct node_main *m, struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    struct ox_runtime_options ro = {
        .loops = (uint32_t)cfg->runtime_schedulers,
        .actors_max = actors_max(cfg),
        .names_max = actors_max(cfg),
        .dirty_threads = (uint32_t)cfg->runtime_dirty_threads,
        .dirty_queue_max = (uint32_t)cfg->runtime_dirty_queue,
        .turn_warn_ms = (uint32_t)cfg->runtime_turn_warn_ms,
        .turn_fault_ms = (uint32_t)cfg->runtime_turn_fault_ms,
        .turn_hung_ms = (uint32_t)cfg->runtime_turn_hung_ms,
        .hung_ends = true,
        .hooks = {.arg = m,
                  .obituary = on_obituary,
                  .set_aside = on_set_aside,
                  .undelivered = on_undelivered,
                  .kind_name = ox_kind_name,
                  .before = ox_fault_may_arm() ? ox_fault_before : NULL,
                  .quarantined = on_quarantined},
    };
    return ox_runtime_start(&ro, diag);
}

static ox_err
start_sup(struct node_main *m, const char *name, enum ox_past_intensity past, ox_pid parent, ox_pid *pid,
          struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    struct ox_sup_spec spec = {
        .name = name,
        .parent = parent,
        .max_restarts = (uint32_t)cfg->supervisor_max_restarts,
        .window_ms = (uint32_t)cfg->supervisor_restart_window_ms,
        .backoff_min_ms = (uint32_t)cfg->supervisor_backoff_min_ms,
        .backoff_max_ms = (uint32_t)cfg->supervisor_backoff_max_ms,
        .past_intensity = past,
        .children_max = actors_max(cfg),
    };
    return ox_sup_start(&spec, pid, diag);
}

static ox_err
add(struct node_main *m, const char *id, const struct ox_actor_class *class, void *arg, ox_pid *pid,
    struct ox_diag *diag)
{
    struct ox_child_spec spec = {
        .id = id,
        .class = class,
        .arg = arg,
        .name = id,
        .restart = OX_RESTART_PERMANENT,
        .shutdown_ms = (uint32_t)m->config.supervisor_shutdown_ms,
        .past_intensity = OX_SUP_ESCALATE,
    };
    return ox_sup_add_wait(m->root, &spec, pid, diag);
}

/* The path of a record from its end: whoever is sent to exists before the sender. */
static ox_err
start_spine(struct node_main *m, struct ox_diag *diag)
{
    struct ox_node *node = &m->node;
    ox_pid control;
    ox_err err = ox_lane_new("wal", 4, &m->wal_arg.lane);
    if (err == OX_OK)
        err = ox_lane_new("outbox", 4, &m->outbox_arg.lane);
    if (err == OX_OK)
        err = ox_lane_new("spill", 4, &m->wal_arg.spill_lane);
    if (err == OX_OK)
        err = start_sup(m, "node", OX_SUP_ESCALATE, OX_PID_NONE, &m->root, diag);
    if (err == OX_OK)
        err = ox_lane_new("warden", 4096, &m->warden.lane);
    if (err == OX_OK)
        err = add(m, "warden", &ox_warden_class, &m->warden, &m->warden.pid, diag);
    if (err == OX_OK)
        err = ox_lane_new("keys", 1024, &node->keys_lane);
    if (err == OX_OK)
        err = ox_lane_new("control", 4, &m->control_arg.lane);
    if (err == OX_OK)
        err = add(m, "control", &ox_control_class, &m->control_arg, &control, diag);
    if (err == OX_OK)
        err = start_sup(m, "tenants", OX_SUP_QUARANTINE, m->root, &node->tenants_sup, diag);
    if (err == OX_OK)
        err = ox_warden_restore(&m->warden, diag);
    m->outbox_arg.node = node;
    m->outbox_arg.recovered = &m->recovered;
    m->outbox_arg.journal = m->outbox;
    m->outbox_arg.refused_dir = m->refused_dir;
    m->outbox_arg.doubts_path = m->doubts_path;
    if (err == OX_OK)
        err = add(m, "outbox", &ox_outbox_class, &m->outbox_arg, &node->outbox, diag);
    for (int s = 0; s < OX_SIGNAL__COUNT && err == OX_OK; s++) {
        static const char *const names[OX_SIGNAL__COUNT] = {"writer/traces", "writer/logs", "writer/metrics"};
        m->writer_args[s] = (struct ox_writer_arg){node, (enum ox_signal)s};
        err = add(m, names[s], &ox_writer_class, &m->writer_args[s], &node->writers[s], diag);
    }
    m->wal_arg.node = node;
    m->wal_arg.recovered = &m->recovered;
    m->wal_arg.set_aside_dir = m->set_aside_dir;
    if (err == OX_OK)
        err = add(m, "wal", &ox_wal_class, &m->wal_arg, &node->wal, diag);
    return err;
}

static void
restart_engine(void *ctx)
{
    struct node_main *m = ctx;
    pid_t pid = (pid_t)atomic_load_explicit(&m->engine_pid, memory_order_relaxed);
    if (!ox_child_say_line(m->fds.fd_control, (struct ox_heart_line){OX_HEART_MEND, pid, 0}))
        OX_LOG_ERROR("node", "the heart does not hear that the engine is to be restarted");
}

/* The node goes on without one that crashes again and again: at worst the disk fills up, and requests are refused; or
 * storage cannot read what it has until somebody restarts it. */
static ox_err
start_keeper(struct node_main *m, const char *id, const struct ox_actor_class *class, void *arg, ox_pid *pid,
             struct ox_diag *diag)
{
    struct ox_child_spec spec = {
        .id = id,
        .class = class,
        .arg = arg,
        .name = id,
        .restart = OX_RESTART_PERMANENT,
        .shutdown_ms = (uint32_t)m->config.supervisor_shutdown_ms,
        .past_intensity = OX_SUP_QUARANTINE,
    };
    return ox_sup_add_wait(m->root, &spec, pid, diag);
}

static ox_err
start_keepers(struct node_main *m, struct ox_diag *diag)
{
    ox_pid pruner;
    m->mender_arg = (struct ox_mender_arg){&m->node, restart_engine, m};
    ox_err err = start_keeper(m, "pruner", &ox_pruner_class, &m->node, &pruner, diag);
    return err == OX_OK ? start_keeper(m, "mender", &ox_mender_class, &m->mender_arg, &m->mender, diag) : err;
}

static ox_err
start_all(struct node_main *m, struct ox_diag *diag)
{
    ox_err err = start_runtime(m, diag);
    if (err != OX_OK)
        return err;
    m->runtime_started = true;
    err = start_spine(m, diag);
    if (err == OX_OK)
        err =
            ox_gateway_start(&m->node, m->root, m->fds.fd_otlp_http, m->fds.fd_otlp_grpc, &m->gateway, diag);
    if (err == OX_OK)
        err = node_api_start(m, diag);
    if (err == OX_OK)
        err = node_debug_start(m, diag);
    if (err == OX_OK)
        err = start_keepers(m, diag);
    if (err == OX_OK)
        err = node_tls_watch(m, diag);
    if (err == OX_OK)
        err = node_jwt_watch(m, diag);
    if (err == OX_OK)
        err = node_quotas_watch(m, diag);
    if (err == OX_OK)
        err = node_reload_start(m, diag);
    return err;
}

/* ---- the command ---- */

/* Faults for tests, and only where nobody else sends. */
static ox_err
load_faults(const struct ox_config *cfg, struct ox_diag *diag)
{
    const char *spec = getenv("OBSERVE_X_TEST_FAULTS");
    if (spec == NULL || spec[0] == '\0')
        return OX_OK;
    if (cfg->mode != OX_MODE_DEVELOPMENT)
        return ox_diag_set(diag, OX_E_CONFIG, "OBSERVE_X_TEST_FAULTS", -1,
                           "faults on request exist in development mode only; remove the variable");
    OX_LOG_WARN("node", "a test asks for faults: this node will crash", OX_F_STR("faults", spec));
    return ox_fault_load(spec, diag);
}

static int
run(struct node_main *m)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = load_faults(&m->config, &diag);
    if (err == OX_OK)
        err = open_node(m, &diag);
    if (err == OX_OK)
        err = start_all(m, &diag);
    pthread_t control;
    bool listening = false;
    if (err == OX_OK) {
        atomic_store_explicit(&m->node.phase, OX_NODE_RUNNING, memory_order_release);
        listening = pthread_create(&control, NULL, node_control, m) == 0;
        if (!listening)
            err = OX_E_NOMEM;
    }
    int code = OX_EXIT_FAILED;
    if (err == OX_OK)
        code = ox_runtime_run();
    else
        ox_complain("the node cannot start: %s%s%s", diag.field[0] != '\0' ? diag.field : "",
                    diag.field[0] != '\0' ? ": " : "", diag.text[0] != '\0' ? diag.text : ox_err_text(err));
    if (listening)
        pthread_join(control, NULL);
    if (m->runtime_started)
        ox_runtime_stop();
    close_node(m);
    return code;
}

/* A fault leaves DIR/crash/node.json behind: who ran, for whom, and where. */
static void
install_crash_record(const struct ox_config *cfg)
{
    char path[OX_DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%s/crash", cfg->data);
    ox_err err = ox_disk_ensure_dir(ox_disk_real(), path);
    snprintf(path, sizeof(path), "%s/crash/node.json", cfg->data);
    if (err == OX_OK)
        err = ox_crash_install(path);
    if (err != OX_OK)
        OX_LOG_WARN("node", "a crash will leave no record", OX_F_STR("path", path), OX_F_ERR(err));
}

/* Memory follows the load down again: few heaps for the many dirty threads, whose freed pieces would lie scattered, and
 * blocks and large bodies mapped by themselves. Measured by bench/full_bench. */
static void
tame_malloc(void)
{
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

int
ox_cmd_node(int argc, char **argv)
{
    static struct node_main m; /* zeroed; too large for a stack that readers step through */
    tame_malloc();
    node_block_signals(); /* before the first thread: the control thread reads them */
    if (ox_child_args_take(&argc, argv, &m.fds) != OX_OK || ox_cmd_load(argc, argv, &m.config) != OX_OK)
        return OX_EXIT_USAGE;
    if (m.fds.fd_otlp_http < 0 || m.fds.fd_otlp_grpc < 0 || m.fds.fd_api < 0)
        return ox_complain_usage("serve",
                                 "`node` is started by `observex serve`, which hands it its sockets");
    ox_log_set_level((enum ox_log_level)m.config.log_level);
    install_crash_record(&m.config);
    return run(&m);
}
