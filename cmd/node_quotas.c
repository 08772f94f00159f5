/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_quotas.c - the quotas in force on this node: the configuration's defaults, and what the control plane says of single
 * tenants and keys.
 *
 * Owns:    the store's connection.
 * Threads: reading: main at the start, then dirty threads, one at a time (the actor `quotas` begins the next when one has
 *          ended). quotas_wanted from any.
 * Bounds:  a look per TICK_MS.
 * Fails:   a store that does not answer leaves what was in force, at the start the defaults, and is asked again.
 * Flow:    control plane -changes-> node_keys.c -> here -> ox/quotas.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/node_internal.h"
#include "ox/cardinality.h"
#include "ox/log.h"
#include "ox/supervisor.h"

#define TICK_MS  200
#define AGAIN_MS 1000

void
node_quotas_wanted(struct node_main *m)
{
    atomic_store_explicit(&m->quotas_wanted, true, memory_order_release);
}

void
node_quota_defaults(const struct ox_config *cfg, struct ox_quotas *q)
{
    struct ox_quota_defaults d = {
        .burst_ms = (uint32_t)cfg->quota_burst_ms,
        .warn_permille = (uint32_t)cfg->quota_warn * 10,
        .value = {[OX_QUOTA_TRACES_RECORDS] = (uint64_t)cfg->quota_traces_records,
                  [OX_QUOTA_TRACES_BYTES] = cfg->quota_traces_bytes,
                  [OX_QUOTA_LOGS_RECORDS] = (uint64_t)cfg->quota_logs_records,
                  [OX_QUOTA_LOGS_BYTES] = cfg->quota_logs_bytes,
                  [OX_QUOTA_METRICS_RECORDS] = (uint64_t)cfg->quota_metrics_records,
                  [OX_QUOTA_METRICS_BYTES] = cfg->quota_metrics_bytes,
                  [OX_QUOTA_SERIES] = (uint64_t)cfg->quota_series,
                  [OX_QUOTA_LABEL_VALUES] = (uint64_t)cfg->quota_label_values,
                  [OX_QUOTA_QUERY_CONCURRENCY] = (uint64_t)cfg->query_tenant_concurrency,
                  [OX_QUOTA_QUERY_ROWS] = (uint64_t)cfg->query_rows_max,
                  [OX_QUOTA_QUERY_BYTES] = cfg->query_bytes_max,
                  [OX_QUOTA_QUERY_MEMORY] = cfg->query_memory_bytes,
                  [OX_QUOTA_QUERY_TIME] = (uint64_t)cfg->query_timeout_ms},
    };
    ox_quotas_set_defaults(q, &d);
}

static ox_err
load(struct node_main *m, struct ox_diag *diag)
{
    struct ox_quota_row *rows;
    size_t n;
    ox_err err = m->quota_store->list(m->quota_store, NULL, &rows, &n, diag);
    if (err != OX_OK)
        return err;
    ox_quotas_replace(m->node.quotas, rows, n);
    free(rows);
    return OX_OK;
}

static ox_err
open_store(struct node_main *m, struct ox_diag *diag)
{
    const struct ox_config *cfg = &m->config;
    char path[OX_DISK_PATH_MAX], password[OX_CONFIG_STRING_MAX];
    snprintf(path, sizeof(path), "%s/control.db", cfg->data);
    if (cfg->control_url[0] == '\0')
        return ox_quota_store_sqlite(path, &m->quota_store, diag);
    struct ox_control_postgres o;
    ox_err err = node_postgres_options(cfg, password, sizeof(password), &o, diag);
    if (err == OX_OK)
        err = ox_quota_store_postgres(&o, &m->quota_store, diag);
    explicit_bzero(password, sizeof(password));
    return err;
}

ox_err
node_quotas_open(struct node_main *m, struct ox_diag *diag)
{
    m->node.quotas = ox_quotas_new(m->node.clock);
    m->node.cardinality = ox_cardinality_new((uint32_t)m->config.tenant_max);
    if (m->node.quotas == NULL || m->node.cardinality == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for quotas");
    node_quota_defaults(&m->config, m->node.quotas);
    ox_err err = open_store(m, diag);
    if (err != OX_OK)
        return err;
    if (load(m, diag) != OX_OK) {
        OX_LOG_WARN("node", "quotas of single tenants cannot be read yet: the defaults hold until they can",
                    OX_F_DIAG(diag));
        ox_diag_clear(diag);
        node_quotas_wanted(m);
    }
    return OX_OK;
}

void
node_quotas_close(struct node_main *m)
{
    if (m->quota_store != NULL)
        m->quota_store->close(m->quota_store);
    ox_quotas_free(m->node.quotas);
    ox_cardinality_free(m->node.cardinality);
}

/* ---- the actor ---- */

static void
load_job(void *arg)
{
    struct node_main *m = arg;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    m->quotas_failed = load(m, &diag) != OX_OK;
    if (m->quotas_failed) {
        OX_LOG_WARN("quota", "quotas that have changed cannot be read: those before hold", OX_F_DIAG(&diag));
        node_quotas_wanted(m);
    }
}

static void
look_later(struct ox_actor *self, uint32_t ms)
{
    if (ox_timer_start(self, ms, OX_K_retry, 0, NULL) != OX_OK)
        ox_panic("no timer to look for changed quotas by"); /* the next incarnation begins anew */
}

static ox_err
quotas_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    *(struct node_main **)ox_actor_state(self) = arg;
    look_later(self, TICK_MS);
    return OX_OK;
}

static void
quotas_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct node_main *m = *(struct node_main **)ox_actor_state(self);
    if (msg->kind != OX_K_retry) { /* a job has ended */
        look_later(self, m->quotas_failed ? AGAIN_MS : TICK_MS);
        return;
    }
    if (!atomic_exchange_explicit(&m->quotas_wanted, false, memory_order_acquire)) {
        look_later(self, TICK_MS);
    } else if (ox_dirty_submit(self, NULL, load_job, m, OX_K_quotas_read, NULL, NULL) != OX_OK) {
        node_quotas_wanted(m);
        look_later(self, TICK_MS);
    }
}

static const struct ox_actor_class quotas_class = {
    .name = "quotas",
    .state_size = sizeof(struct node_main *),
    .on_start = quotas_start,
    .on_message = quotas_message,
};

ox_err
node_quotas_watch(struct node_main *m, struct ox_diag *diag)
{
    ox_pid pid;
    struct ox_child_spec spec = {
        .id = "quotas", .class = &quotas_class, .arg = m, .name = "quotas", .restart = OX_RESTART_PERMANENT};
    return ox_sup_add_wait(m->root, &spec, &pid, diag);
}
