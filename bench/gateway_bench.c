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
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load.h"
#include "bench/node_part.h"
#include "bench/server.h"
#include "ox/log.h"
#include "ox/net.h"

#define PER_REQUEST 1000u
#define CONNECTIONS 8u
#define DRAIN_S     20

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
    close(go[1]); /* so that the end of the node's process is seen */
    if (read(go[0], &byte, 1) == 1) {
        bench_load_start(&l);
        bench_load_join(&l);
    }
    _exit(l.made >= records ? 0 : 1);
}

static void
run(enum ox_signal signal, enum ox_encoding encoding, uint64_t records)
{
    static struct bench_node p;
    char dir[] = "/tmp/ox-bench-XXXXXX", host[OX_NET_ADDR_MAX], unused[OX_NET_ADDR_MAX], cmd[96];
    struct ox_diag diag;
    int fds[2], go[2], status = 0;
    ox_log_set_level(OX_LOG_ERROR);
    if (mkdtemp(dir) == NULL)
        bench_die("mkdtemp");
    bench_must(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fds[0], host, &diag), &diag);
    bench_must(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fds[1], unused, &diag), &diag);
    int pid = client(host, signal, encoding, records, go);
    bench_node_open(&p, dir, false);
    bench_node_start(&p, fds, NULL);
    double cpu0 = own_cpu_s();
    uint64_t t0 = bench_now_ns();
    OX_ASSERT(write(go[1], "g", 1) == 1);
    waitpid(pid, &status, 0);
    for (int i = 0; i < DRAIN_S * 100 && bench_node_rows() < records; i++)
        bench_nap_ms(10);
    double cpu = own_cpu_s() - cpu0, wall = (double)(bench_now_ns() - t0) / 1e9, floor_wall;
    struct ox_journal_stats st;
    ox_journal_stats(p.wal, &st);
    uint64_t rows = bench_node_rows();
    double m = 1e6 / (double)rows;
    double floor = disk_floor_s(dir, st.appended_bytes, st.commits, &floor_wall);
    printf("gateway %-8s %-9s %5.2f CPU s per million, disk floor %5.2f   (%.0f records/s; %llu commits of "
           "%.0f KB)\n",
           ox_signal_name(signal), ox_encoding_name(encoding), cpu * m, floor * m, (double)rows / wall,
           (unsigned long long)st.commits, (double)st.appended_bytes / 1e3 / (double)st.commits);
    fflush(stdout);
    bench_node_stop(&p);
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
            bench_must(ox_encoding_parse(ox_str_of(argv[i + 1]), &encoding, NULL), &(struct ox_diag){0});
    }
    if (only != OX_SIGNAL__COUNT)
        return run_apart(only, encoding, records);
    for (int s = OX_SIGNAL_TRACES; s <= OX_SIGNAL_LOGS; s++) {
        for (size_t e = 0; e < OX_COUNT(encodings); e++)
            failed |= run_apart((enum ox_signal)s, encodings[e], records);
    }
    return failed;
}
