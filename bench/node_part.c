/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/node_part.c - gateway and log without storage.
 *
 * Owns:    see node_part.h.
 * Threads: see node_part.h.
 * Fails:   ends the process: a benchmark that cannot start measures nothing.
 */
#include "bench/node_part.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/dead_letter.h"
#include "ox/disk.h"
#include "ox/random.h"
#include "ox/runtime.h"
#include "ox/supervisor.h"

static _Atomic uint64_t rows_seen;

/* In the place of the writers: the permit goes back, the rows go nowhere. */
static void
sink_message(struct ox_actor *self, struct ox_msg *msg)
{
    const struct ox_parcel *parcel = msg->data;
    if (msg->kind == OX_K_rows)
        atomic_fetch_add(&rows_seen, ox_encode_rows(parcel->batch));
}

static const struct ox_actor_class sink_class = {
    .name = "sink", .on_message = sink_message, .mailbox_msgs_max = 65536, .mailbox_bytes_max = 1u << 30};

void
bench_must(ox_err err, const struct ox_diag *diag)
{
    if (err == OX_OK)
        return;
    fprintf(stderr, "bench: %s %s\n", ox_err_text(err), diag->text);
    exit(1);
}

void
bench_node_open(struct bench_node *p, const char *dir, bool interval)
{
    struct ox_diag diag;
    struct ox_node *n = &p->node;
    ox_diag_clear(&diag);
    ox_config_defaults(&p->config);
    snprintf(p->config.data, sizeof(p->config.data), "%s", dir);
    p->config.wal_ack = interval ? OX_ACK_INTERVAL : OX_ACK_DURABLE;
    n->config = &p->config;
    n->clock = ox_clock_real();
    n->disk = ox_disk_real();
    n->bodies.limit_bytes = p->config.gateway_memory_bytes;
    struct ox_tenants_limits tl = {.tenants_max = 16,
                                   .node_records_max = (uint64_t)p->config.gateway_records_max,
                                   .tenant_records_max = (uint64_t)p->config.gateway_records_max,
                                   .tenant_requests_max = (uint32_t)p->config.runtime_mailbox_messages};
    n->tenants = ox_tenants_new(&tl);
    n->keys = ox_keystore_dev_new(OX_STR("0123456789abcdef0123456789abcdef"), (struct ox_str){0});
    OX_ASSERT(n->tenants != NULL && n->keys != NULL);
    struct ox_recovery_options ro = {.data_dir = dir,
                                     .wal_segment_bytes = p->config.wal_segment_bytes,
                                     .outbox_segment_bytes = p->config.outbox_segment_bytes};
    bench_must(ox_recover(n->disk, &ro, &p->recovered, &diag), &diag);
    p->wal = p->recovered.wal;
    struct ox_dead_letter_config dc;
    char dlq[OX_DISK_PATH_MAX];
    ox_dead_letter_config_default(&dc);
    snprintf(dlq, sizeof(dlq), "%s/dlq", dir);
    bench_must(ox_dead_letter_open(n->disk, dlq, &dc, &n->dead_letters, &diag), &diag);
}

static ox_pid
add(ox_pid sup, const char *id, const struct ox_actor_class *class, void *arg)
{
    struct ox_child_spec spec = {.id = id, .class = class, .arg = arg, .name = id};
    struct ox_diag diag;
    ox_pid pid;
    ox_diag_clear(&diag);
    bench_must(ox_sup_add_wait(sup, &spec, &pid, &diag), &diag);
    return pid;
}

void
bench_node_start(struct bench_node *p, const int fds[2], const struct ox_actor_class *log)
{
    struct ox_runtime_options ro = {.dirty_threads = (uint32_t)p->config.runtime_dirty_threads};
    struct ox_sup_spec root = {.name = "node"}, tenants = {.name = "tenants"};
    struct ox_diag diag;
    ox_pid sup;
    ox_diag_clear(&diag);
    bench_must(ox_runtime_start(&ro, &diag), &diag);
    bench_must(ox_lane_new("wal", 4, &p->wal_arg.lane), &diag);
    bench_must(ox_sup_start(&root, &sup, &diag), &diag);
    tenants.parent = sup;
    bench_must(ox_sup_start(&tenants, &p->node.tenants_sup, &diag), &diag);
    ox_pid sink = add(sup, "sink", &sink_class, NULL);
    for (int s = 0; s < OX_SIGNAL__COUNT; s++)
        p->node.writers[s] = sink;
    p->wal_arg.node = &p->node;
    p->wal_arg.recovered = &p->recovered;
    p->node.wal = log != NULL ? add(sup, "wal", log, &p->node) : add(sup, "wal", &ox_wal_class, &p->wal_arg);
    bench_must(ox_gateway_start(&p->node, sup, fds[0], fds[1], &p->gateway, &diag), &diag);
    atomic_store_explicit(&p->node.phase, OX_NODE_RUNNING, memory_order_release);
}

uint64_t
bench_node_rows(void)
{
    return atomic_load(&rows_seen);
}

void
bench_node_stop(struct bench_node *p)
{
    ox_runtime_stop();
    ox_gateway_free(p->gateway);
    ox_recovery_fini(&p->recovered);
    ox_dead_letter_close(p->node.dead_letters);
}
