/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/gateway_bench.c - the gateway alone: HTTP, decompression, decoding, judging, log with fdatasync, answer;
 * the writers are replaced by one that counts and forgets. Beside it the disk's own floor.
 *
 *   gateway_bench [--signal traces|logs|metrics --encoding identity|gzip|zstd] [--records N]
 *
 * Without a signal it runs traces and logs in each encoding, each in a process of its own.
 *
 * Method:  the node's parts run in this process, the client in a child, so getrusage tells them apart. The floor
 *          writes as many bytes as the log did, in groups of the same mean size, each with fdatasync, into a
 *          file beside it. Request bodies carry 1,000 records.
 *
 * Owns:    the data directory, removed at the end.
 * Threads: main, the runtime's.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load.h"
#include "bench/server.h"
#include "ox/disk.h"
#include "ox/gateway.h"
#include "ox/journal.h"
#include "ox/log.h"
#include "ox/net.h"
#include "ox/random.h"
#include "ox/runtime.h"
#include "ox/supervisor.h"
#include "ox/wal.h"

#define PER_REQUEST 1000u
#define CONNECTIONS 8u
#define DRAIN_S     20

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

struct node_part {
    struct ox_config config;
    struct ox_node node;
    struct ox_recovery recovered;
    struct ox_journal *wal;
    struct ox_wal_arg wal_arg;
    struct ox_gateway *gateway;
};

static void
must(ox_err err, const struct ox_diag *diag)
{
    if (err == OX_OK)
        return;
    fprintf(stderr, "gateway_bench: %s %s\n", ox_err_text(err), diag->text);
    exit(1);
}

static void
open_parts(struct node_part *p, const char *dir)
{
    struct ox_diag diag;
    struct ox_node *n = &p->node;
    ox_diag_clear(&diag);
    ox_config_defaults(&p->config);
    snprintf(p->config.data, sizeof(p->config.data), "%s", dir);
    n->config = &p->config;
    n->clock = ox_clock_real();
    n->disk = ox_disk_real();
    n->bodies.limit_bytes = p->config.gateway_memory_bytes;
    struct ox_tenants_limits tl = {.tenants_max = 16,
                                   .node_records_max = (uint64_t)p->config.gateway_records_max,
                                   .tenant_records_max = (uint64_t)p->config.gateway_records_max,
                                   .tenant_requests_max = (uint32_t)p->config.runtime_mailbox_messages};
    n->tenants = ox_tenants_new(&tl);
    n->keys = ox_keystore_dev_new(OX_STR("0123456789abcdef0123456789abcdef"));
    OX_ASSERT(n->tenants != NULL && n->keys != NULL);
    struct ox_recovery_options ro = {.data_dir = dir,
                                     .wal_segment_bytes = p->config.wal_segment_bytes,
                                     .outbox_segment_bytes = p->config.outbox_segment_bytes};
    must(ox_recover(n->disk, &ro, &p->recovered, &diag), &diag);
    p->wal = p->recovered.wal;
}

static ox_pid
add(ox_pid sup, const char *id, const struct ox_actor_class *class, void *arg)
{
    struct ox_child_spec spec = {.id = id, .class = class, .arg = arg, .name = id};
    struct ox_diag diag;
    ox_pid pid;
    ox_diag_clear(&diag);
    must(ox_sup_add_wait(sup, &spec, &pid, &diag), &diag);
    return pid;
}

static void
start_parts(struct node_part *p, const int fds[2])
{
    struct ox_runtime_options ro = {.dirty_threads = (uint32_t)p->config.runtime_dirty_threads};
    struct ox_sup_spec root = {.name = "node"}, tenants = {.name = "tenants"};
    struct ox_diag diag;
    ox_pid sup;
    ox_diag_clear(&diag);
    must(ox_runtime_start(&ro, &diag), &diag);
    must(ox_lane_new("wal", 4, &p->wal_arg.lane), &diag);
    must(ox_sup_start(&root, &sup, &diag), &diag);
    tenants.parent = sup;
    must(ox_sup_start(&tenants, &p->node.tenants_sup, &diag), &diag);
    ox_pid sink = add(sup, "sink", &sink_class, NULL);
    for (int s = 0; s < OX_SIGNAL__COUNT; s++)
        p->node.writers[s] = sink;
    p->wal_arg.node = &p->node;
    p->wal_arg.recovered = &p->recovered;
    p->node.wal = add(sup, "wal", &ox_wal_class, &p->wal_arg);
    must(ox_gateway_start(&p->node, sup, fds[0], fds[1], &p->gateway, &diag), &diag);
    atomic_store_explicit(&p->node.phase, OX_NODE_RUNNING, memory_order_release);
}

static double
own_cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* The same bytes in the same groups by write and fdatasync alone. */
static double
disk_floor_s(const char *dir, uint64_t bytes, uint64_t groups, double *wall_s)
{
    char path[96];
    size_t n = (size_t)(bytes / (groups > 0 ? groups : 1));
    char *group = malloc(n);
    snprintf(path, sizeof(path), "%s/floor", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    OX_ASSERT(group != NULL && fd >= 0);
    memset(group, 'x', n);
    double cpu0 = own_cpu_s();
    uint64_t t0 = bench_now_ns();
    for (uint64_t i = 0; i < groups; i++)
        OX_ASSERT(write(fd, group, n) == (ssize_t)n && fdatasync(fd) == 0);
    double cpu = own_cpu_s() - cpu0;
    *wall_s = (double)(bench_now_ns() - t0) / 1e9;
    close(fd);
    free(group);
    return cpu;
}

/* The client waits for a byte, so that what the parts need to start is not measured. */
static int
client(const char *host, enum ox_signal signal, enum ox_encoding encoding, uint64_t records, int go[2])
{
    static struct bench_load l;
    char byte;
    OX_ASSERT(pipe(go) == 0);
    bench_source_init(&l.source, signal, PER_REQUEST, encoding, 5, bench_source_start());
    snprintf(l.host, sizeof(l.host), "%s", host);
    l.connections = CONNECTIONS;
    l.records = records;
    int pid = fork();
    if (pid != 0)
        return pid;
    if (read(go[0], &byte, 1) == 1) {
        bench_load_start(&l);
        bench_load_join(&l);
    }
    _exit(l.made >= records ? 0 : 1);
}

static void
run(enum ox_signal signal, enum ox_encoding encoding, uint64_t records)
{
    static struct node_part p;
    char dir[] = "/tmp/ox-bench-XXXXXX", host[OX_NET_ADDR_MAX], unused[OX_NET_ADDR_MAX], cmd[96];
    struct ox_diag diag;
    int fds[2], go[2], status = 0;
    ox_log_set_level(OX_LOG_ERROR);
    if (mkdtemp(dir) == NULL)
        bench_die("mkdtemp");
    must(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fds[0], host, &diag), &diag);
    must(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fds[1], unused, &diag), &diag);
    int pid = client(host, signal, encoding, records, go);
    open_parts(&p, dir);
    start_parts(&p, fds);
    double cpu0 = own_cpu_s();
    uint64_t t0 = bench_now_ns();
    OX_ASSERT(write(go[1], "g", 1) == 1);
    waitpid(pid, &status, 0);
    for (int i = 0; i < DRAIN_S * 100 && atomic_load(&rows_seen) < records; i++)
        bench_nap_ms(10);
    double cpu = own_cpu_s() - cpu0, wall = (double)(bench_now_ns() - t0) / 1e9, floor_wall;
    struct ox_journal_stats st;
    ox_journal_stats(p.wal, &st);
    uint64_t rows = atomic_load(&rows_seen);
    double m = 1e6 / (double)rows;
    double floor = disk_floor_s(dir, st.appended_bytes, st.commits, &floor_wall);
    printf("gateway %-8s %-9s %5.2f CPU s per million, disk floor %5.2f   (%.0f records/s; %llu commits of "
           "%.0f KB)\n",
           ox_signal_name(signal), ox_encoding_name(encoding), cpu * m, floor * m, (double)rows / wall,
           (unsigned long long)st.commits, (double)st.appended_bytes / 1e3 / (double)st.commits);
    fflush(stdout);
    ox_runtime_stop();
    ox_gateway_free(p.gateway);
    ox_recovery_fini(&p.recovered);
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
    if (system(cmd) != 0)
        bench_die(cmd);
    _exit(status != 0 || rows < records ? 1 : 0);
}

static int
run_apart(enum ox_signal signal, enum ox_encoding encoding, uint64_t records)
{
    int status = 1, pid = fork();
    if (pid == 0)
        run(signal, encoding, records);
    waitpid(pid, &status, 0);
    return status != 0;
}

int
main(int argc, char **argv)
{
    static const enum ox_encoding encodings[] = {OX_ENCODING_IDENTITY, OX_ENCODING_GZIP, OX_ENCODING_ZSTD};
    enum ox_signal only = OX_SIGNAL__COUNT;
    enum ox_encoding encoding = OX_ENCODING_IDENTITY;
    uint64_t records = 400000;
    int failed = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--signal") == 0)
            only = bench_signal(argv[i + 1]);
        else if (strcmp(argv[i], "--records") == 0)
            records = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--encoding") == 0)
            must(ox_encoding_parse(ox_str_of(argv[i + 1]), &encoding, NULL), &(struct ox_diag){0});
    }
    if (only != OX_SIGNAL__COUNT)
        return run_apart(only, encoding, records);
    for (int s = OX_SIGNAL_TRACES; s <= OX_SIGNAL_LOGS; s++) {
        for (size_t e = 0; e < OX_COUNT(encodings); e++)
            failed |= run_apart((enum ox_signal)s, encodings[e], records);
    }
    return failed;
}
