/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/journal_bench.c - what the promise of an acknowledgement costs, and what a start on a full log costs.
 *
 *   journal_bench [--seconds N] [--rounds N] [--mib N] [--dir DIR]
 *
 * Method:  as gateway_bench: gateway and log in a process of their own, writers that count and forget, the client in another
 *          process, over HTTP on loopback. Log records, 100 to a request, from one connection (what one sender waits for) and
 *          from sixteen (what the node takes). The three kinds of acknowledgement take turns, so that the machine's other
 *          work hits all of them; the median round is printed. "none" answers from memory: the floor of everything but the
 *          journal.
 *          Recovery: a log of --mib MiB of the same requests, none of them stored; the best time of three of ox_recover with the files in
 *          the page cache and after they were dropped from it, then of their way through the pipeline to the writers.
 *
 * Owns:    a directory below --dir (/tmp), removed at the end.
 * Threads: main, the runtime's, the client's.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load.h"
#include "bench/node_part.h"
#include "bench/server.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/net.h"
#include "ox/wal_entry.h"

#define PER_REQUEST   100u
#define LATENCIES_MAX 2000000u
#define ROUNDS_MAX    15
#define DRAIN_S       30
#define REQUESTS_MADE 64u /* different ones in the log of the recovery */
#define REPLAY_WAIT_S 300
#define RECOVERIES    3

enum ack { ACK_DURABLE, ACK_INTERVAL, ACK_NONE, ACK__COUNT };

static const char *const ack_names[] = {"durable", "interval", "none"};

/* What a child hands back. */
struct figures {
    double records_per_s, p50_ms, p99_ms, max_ms;
    double commits_per_s; /* 0 without a journal */
};

static const char *base_dir = "/tmp";

/* ---- no journal at all ---- */

/* The gateway's request comes back as durable at once; its records go on as they would. */
static void
on_append(const struct ox_node *node, struct ox_append *append)
{
    struct ox_msg *rows = ox_msg_new(OX_K_rows, append->parcel, 0, ox_parcel_free);
    OX_ASSERT(rows != NULL);
    append->parcel->batch->wal_seq = 1;
    append->parcel = NULL;
    append->err = OX_OK;
    if (ox_send(node->writers[0], &rows) != OX_OK)
        ox_msg_free(rows);
    struct ox_msg *msg = ox_msg_new(OX_K_appended, append, 0, ox_append_free);
    OX_ASSERT(msg != NULL);
    msg->flags |= OX_MSG_F_CONTROL;
    if (ox_send(append->reply_to, &msg) != OX_OK)
        ox_msg_free(msg);
}

static ox_err
no_log_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    *(struct ox_node **)ox_actor_state(self) = arg;
    return OX_OK;
}

static void
no_log_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct ox_append *append = msg->data;
    if (msg->kind != OX_K_append)
        return;
    msg->data = NULL;
    on_append(*(struct ox_node **)ox_actor_state(self), append);
}

static const struct ox_actor_class no_log_class = {.name = "no_log",
                                                   .state_size = sizeof(struct ox_node *),
                                                   .on_start = no_log_start,
                                                   .on_message = no_log_message,
                                                   .mailbox_msgs_max = 65536,
                                                   .mailbox_bytes_max = 1u << 30};

/* ---- acknowledgement ---- */

static void *
shared(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("mmap");
    return p;
}

static int
by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The client's process: waits for a byte, sends for `seconds`, leaves its figures in `l`. */
static pid_t
client(struct bench_load *l, const char *host, uint32_t connections, int seconds, int go[2])
{
    char byte;
    OX_ASSERT(pipe(go) == 0);
    bench_source_init(&l->source, OX_SIGNAL_LOGS, PER_REQUEST, OX_ENCODING_IDENTITY, 5, bench_source_start());
    snprintf(l->host, sizeof(l->host), "%s", host);
    l->connections = connections;
    l->records = UINT64_MAX;
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    close(go[1]); /* so that the end of the node's process is seen */
    if (read(go[0], &byte, 1) == 1) {
        bench_load_start(l);
        bench_nap_ms(seconds * 1000);
        bench_load_end(l);
        bench_load_join(l);
    }
    _exit(0);
}

static void
judge(struct bench_load *l, double wall_s, struct figures *f)
{
    uint32_t n = l->n_latency < l->latency_max ? l->n_latency : l->latency_max;
    OX_ASSERT(n > 0);
    qsort(l->latency_us, n, sizeof(*l->latency_us), by_value);
    f->records_per_s = (double)l->n_latency * PER_REQUEST / wall_s;
    f->p50_ms = l->latency_us[n / 2] / 1e3;
    f->p99_ms = l->latency_us[(uint64_t)n * 99 / 100] / 1e3;
    f->max_ms = l->latency_us[n - 1] / 1e3;
}

static void
remove_dir(const char *dir)
{
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
    if (system(cmd) != 0)
        bench_die(cmd);
}

static void
make_dir(char *dir, size_t size)
{
    snprintf(dir, size, "%s/ox-bench-XXXXXX", base_dir);
    if (mkdtemp(dir) == NULL)
        bench_die(dir);
}

/* In a process of its own: one runtime, one kind of acknowledgement. */
static void
run_ack(enum ack ack, uint32_t connections, int seconds, struct bench_load *l, struct figures *f)
{
    static struct bench_node p;
    char dir[96], host[OX_NET_ADDR_MAX], unused[OX_NET_ADDR_MAX];
    struct ox_diag diag;
    struct ox_journal_stats st = {0};
    int fds[2], go[2], status = 0;
    ox_log_set_level(OX_LOG_ERROR);
    make_dir(dir, sizeof(dir));
    bench_must(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fds[0], host, &diag), &diag);
    bench_must(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fds[1], unused, &diag), &diag);
    pid_t pid = client(l, host, connections, seconds, go);
    bench_node_open(&p, dir, ack == ACK_INTERVAL);
    bench_node_start(&p, fds, ack == ACK_NONE ? &no_log_class : NULL);
    uint64_t t0 = bench_now_ns();
    OX_ASSERT(write(go[1], "g", 1) == 1);
    waitpid(pid, &status, 0);
    double wall_s = (double)(bench_now_ns() - t0) / 1e9;
    uint64_t sent = (uint64_t)l->n_latency * PER_REQUEST;
    for (int i = 0; i < DRAIN_S * 100 && bench_node_rows() < sent; i++)
        bench_nap_ms(10);
    judge(l, wall_s, f);
    if (ack != ACK_NONE)
        ox_journal_stats(p.wal, &st);
    f->commits_per_s = (double)st.commits / wall_s;
    bool lost = bench_node_rows() < sent;
    bench_node_stop(&p);
    remove_dir(dir);
    _exit(status != 0 || lost ? 1 : 0);
}

static int
by_rate(const void *a, const void *b)
{
    double x = ((const struct figures *)a)->records_per_s, y = ((const struct figures *)b)->records_per_s;
    return x < y ? -1 : x > y;
}

static int
by_p99(const void *a, const void *b)
{
    double x = ((const struct figures *)a)->p99_ms, y = ((const struct figures *)b)->p99_ms;
    return x < y ? -1 : x > y;
}

static int
acknowledgements(uint32_t connections, int seconds, int rounds)
{
    struct figures(*all)[ROUNDS_MAX] = shared(sizeof(*all) * ACK__COUNT);
    struct bench_load *l = shared(sizeof(*l));
    uint32_t *latency_us = shared(LATENCIES_MAX * sizeof(*latency_us));
    int failed = 0;
    for (int r = 0; r < rounds; r++) {
        for (int a = 0; a < ACK__COUNT; a++) {
            int status = 1;
            memset(l, 0, sizeof(*l));
            l->latency_us = latency_us;
            l->latency_max = LATENCIES_MAX;
            pid_t pid = fork();
            if (pid == 0)
                run_ack((enum ack)a, connections, seconds, l, &all[a][r]);
            waitpid(pid, &status, 0);
            failed |= status != 0;
        }
    }
    for (int a = 0; a < ACK__COUNT && !failed; a++) {
        double worst = 0;
        for (int r = 0; r < rounds; r++)
            worst = all[a][r].max_ms > worst ? all[a][r].max_ms : worst;
        qsort(all[a], (size_t)rounds, sizeof(all[a][0]), by_rate);
        struct figures rate = all[a][rounds / 2];
        qsort(all[a], (size_t)rounds, sizeof(all[a][0]), by_p99);
        struct figures wait = all[a][rounds / 2];
        printf("ack %-8s %2u connections: %7.0f records/s, p50 %6.2f ms, p99 %7.2f ms, max %7.1f ms, %5.0f "
               "commits/s\n",
               ack_names[a], connections, rate.records_per_s, wait.p50_ms, wait.p99_ms, worst,
               rate.commits_per_s);
    }
    fflush(stdout);
    munmap(all, sizeof(*all) * ACK__COUNT);
    munmap(l, sizeof(*l));
    munmap(latency_us, LATENCIES_MAX * sizeof(*latency_us));
    return failed;
}

/* ---- recovery ---- */

struct made {
    struct ox_buf header, body;
};

static void
make_requests(struct made *made)
{
    static struct bench_source source;
    bench_source_init(&source, OX_SIGNAL_LOGS, 1000, OX_ENCODING_IDENTITY, 5, bench_source_start());
    for (uint32_t i = 0; i < REQUESTS_MADE; i++) {
        struct ox_wal_entry e = {.signal = OX_SIGNAL_LOGS, .encoding = OX_WAL_OTLP_PROTOBUF};
        ox_buf_init(&made[i].header);
        ox_buf_init(&made[i].body);
        e.n_records = bench_source_request(&source, &made[i].body);
        e.received_ns = bench_source_start();
        e.body = ox_buf_str(&made[i].body);
        e.request_hash = ox_wal_hash_of(e.body);
        bench_must(ox_tenant_id_parse(OX_STR("default"), &e.tenant, NULL), &(struct ox_diag){0});
        bench_must(ox_wal_entry_encode(&e, &made[i].header), &(struct ox_diag){0});
    }
    bench_source_fini(&source);
}

/* Returns how many records the log holds. */
static uint64_t
fill_log(const char *dir, uint64_t bytes)
{
    static struct made made[REQUESTS_MADE];
    struct ox_journal_options options = {.kind = OX_JOURNAL_WAL};
    struct ox_journal *wal;
    struct ox_diag diag;
    char path[128];
    uint64_t seq, records = 0, written = 0;
    ox_diag_clear(&diag);
    make_requests(made);
    snprintf(path, sizeof(path), "%s/wal", dir);
    bench_must(ox_journal_open(ox_disk_real(), path, &options, &wal, NULL, &diag), &diag);
    for (uint32_t i = 0; written < bytes; i++) {
        const struct made *m = &made[i % REQUESTS_MADE];
        struct iovec parts[2] = {{m->header.data, m->header.len}, {m->body.data, m->body.len}};
        bench_must(ox_journal_append(wal, parts, 2, (int64_t)bench_source_start(), &seq), &diag);
        written += m->header.len + m->body.len + OX_JOURNAL_ENTRY_OVERHEAD;
        records += 1000;
        if (i % 16 == 15)
            bench_must(ox_journal_commit(wal, NULL), &diag);
    }
    bench_must(ox_journal_commit(wal, NULL), &diag);
    ox_journal_close(wal);
    for (uint32_t i = 0; i < REQUESTS_MADE; i++) {
        ox_buf_fini(&made[i].header);
        ox_buf_fini(&made[i].body);
    }
    return records;
}

static void
drop_from_cache(const char *dir)
{
    char path[128], file[512];
    snprintf(path, sizeof(path), "%s/wal", dir);
    DIR *d = opendir(path);
    OX_ASSERT(d != NULL);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        int fd = open(file, O_RDONLY);
        if (fd >= 0 && e->d_name[0] != '.')
            (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        if (fd >= 0)
            close(fd);
    }
    closedir(d);
}

static double
recover_s(const char *dir)
{
    static struct ox_recovery recovered;
    struct ox_recovery_options ro = {.data_dir = dir};
    struct ox_diag diag;
    ox_diag_clear(&diag);
    uint64_t t0 = bench_now_ns();
    bench_must(ox_recover(ox_disk_real(), &ro, &recovered, &diag), &diag);
    double s = (double)(bench_now_ns() - t0) / 1e9;
    ox_recovery_fini(&recovered);
    return s;
}

/* The best of several: what the machine's other work adds is not the recovery's. */
static double
best_recover_s(const char *dir, bool drop)
{
    double best = 1e9;
    for (int i = 0; i < RECOVERIES; i++) {
        if (drop)
            drop_from_cache(dir);
        double s = recover_s(dir);
        best = s < best ? s : best;
    }
    return best;
}

static void
run_recovery(uint64_t mib)
{
    static struct bench_node p;
    char dir[96], unused[OX_NET_ADDR_MAX];
    struct ox_diag diag;
    int fds[2];
    ox_log_set_level(OX_LOG_ERROR);
    make_dir(dir, sizeof(dir));
    uint64_t records = fill_log(dir, mib << 20);
    double gib = (double)mib / 1024, warm = best_recover_s(dir, false), cold = best_recover_s(dir, true);
    for (int i = 0; i < 2; i++)
        bench_must(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fds[i], unused, &diag), &diag);
    bench_node_open(&p, dir, false);
    uint64_t t0 = bench_now_ns();
    bench_node_start(&p, fds, NULL);
    for (int i = 0; i < REPLAY_WAIT_S * 100 && bench_node_rows() < records; i++)
        bench_nap_ms(10);
    double replay = (double)(bench_now_ns() - t0) / 1e9;
    bool lost = bench_node_rows() < records;
    printf("recovery of %llu MiB, %llu records owed: %.2f s per GiB to check (in the page cache), %.2f s "
           "(read from the "
           "disk); %.1f s per GiB through the pipeline to the writers, %.0f records/s\n",
           (unsigned long long)mib, (unsigned long long)records, warm / gib, cold / gib, replay / gib,
           (double)records / replay);
    fflush(stdout);
    bench_node_stop(&p);
    remove_dir(dir);
    _exit(lost ? 1 : 0);
}

static int
recovery(uint64_t mib)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0)
        run_recovery(mib);
    waitpid(pid, &status, 0);
    return status != 0;
}

int
main(int argc, char **argv)
{
    int seconds = 3, rounds = 3;
    uint64_t mib = 512;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--rounds") == 0)
            rounds = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--mib") == 0)
            mib = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0)
            base_dir = argv[i + 1];
    }
    if (seconds < 1 || rounds < 1 || rounds > ROUNDS_MAX || mib < 1 || strlen(base_dir) > 64) {
        fprintf(stderr, "usage: journal_bench [--seconds N] [--rounds 1..%d] [--mib N] [--dir DIR]\n",
                ROUNDS_MAX);
        return 64;
    }
    int failed = acknowledgements(1, seconds, rounds);
    failed |= acknowledgements(16, seconds, rounds);
    failed |= recovery(mib);
    return failed;
}
