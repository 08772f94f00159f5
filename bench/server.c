/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/server.c - starts and ends `observex serve`, reads its costs from /proc and its own metrics.
 *
 * Owns:    see server.h.
 * Threads: see server.h.
 * Bounds:  START_S until it accepts traffic.
 * Fails:   ends the process with a sentence.
 */
#include "bench/server.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/post.h"
#include "ox/clock.h"
#include "ox/storage.h"

#define START_S 60

void
bench_die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

uint64_t
bench_now_ns(void)
{
    return ox_clock_monotonic_ns(ox_clock_real());
}

void
bench_nap_ms(int ms)
{
    poll(NULL, 0, ms);
}

double
bench_cpu_s(int pid)
{
    char path[64], line[2048];
    unsigned long ut = 0, st = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(line, sizeof(line), f) == NULL)
        bench_die(path);
    fclose(f);
    sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut, &st);
    return (double)(ut + st) / (double)sysconf(_SC_CLK_TCK);
}

static double
status_mib(int pid, const char *field)
{
    char path[64], line[256];
    double mib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0)
            mib = atof(line + strlen(field) + 1) / 1024;
    }
    if (f != NULL)
        fclose(f);
    return mib;
}

double
bench_peak_mib(int pid)
{
    return status_mib(pid, "VmHWM");
}

double
bench_rss_mib(int pid)
{
    return status_mib(pid, "VmRSS");
}

void
bench_server_refresh(struct bench_server *s)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/ready.json", s->dir);
    for (int i = 0; i < START_S * 20; i++, bench_nap_ms(50)) {
        json_t *j = json_load_file(path, 0, NULL);
        if (j == NULL && waitpid(s->heart, NULL, WNOHANG) == s->heart)
            break;
        if (j == NULL)
            continue;
        s->node = (int)json_integer_value(json_object_get(j, "node_pid"));
        s->engine = (int)json_integer_value(json_object_get(j, "engine_pid"));
        snprintf(s->otlp, sizeof(s->otlp), "%s", json_string_value(json_object_get(j, "otlp_http")));
        snprintf(s->api, sizeof(s->api), "%s", json_string_value(json_object_get(j, "api")));
        json_decref(j);
        return;
    }
    fprintf(stderr, "bench: the server does not become ready, see %s/serve.log\n", s->dir);
    exit(1);
}

void
bench_server_start(struct bench_server *s, const char *exe, const char *config)
{
    char ready[96];
    snprintf(s->dir, sizeof(s->dir), "/tmp/ox-bench-XXXXXX");
    if (mkdtemp(s->dir) == NULL)
        bench_die("mkdtemp");
    snprintf(ready, sizeof(ready), "%s/ready.json", s->dir);
    s->heart = fork();
    if (s->heart == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        char log[96];
        snprintf(log, sizeof(log), "%s/serve.log", s->dir);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2); /* stays behind when the start fails */
        execl(exe, exe, "serve", "--data", s->dir, "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0",
              "--api", "127.0.0.1:0", "--debug", "127.0.0.1:0", "--ready-file", ready, "--log-level", "error",
              config != NULL ? "--config" : (char *)NULL, config, (char *)NULL);
        _exit(127);
    }
    bench_server_refresh(s);
}

static void
end_by(struct bench_server *s, int sig)
{
    char cmd[128];
    kill(s->heart, sig);
    waitpid(s->heart, NULL, 0);
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", s->dir);
    if (system(cmd) != 0)
        bench_die(cmd);
}

void
bench_server_stop(struct bench_server *s)
{
    end_by(s, SIGTERM);
}

void
bench_server_kill(struct bench_server *s)
{
    int node = s->node, engine = s->engine;
    kill(s->heart, SIGSTOP); /* so that it restarts nothing */
    kill(node, SIGKILL);
    kill(engine, SIGKILL);
    end_by(s, SIGKILL);
}

struct ox_storage *
bench_server_engine(const struct bench_server *s)
{
    char url[128], path[128], key[128] = "";
    struct ox_storage *st;
    struct ox_diag diag;
    snprintf(url, sizeof(url), "unix:%s/engine.sock", s->dir);
    snprintf(path, sizeof(path), "%s/secret", s->dir);
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(key, sizeof(key), f) == NULL)
        bench_die(path);
    fclose(f);
    key[strcspn(key, "\n")] = '\0';
    struct ox_storage_options so = {.url = url, .key = key};
    if (ox_storage_open(&so, &st, &diag) != OX_OK)
        bench_die(diag.text);
    return st;
}

double
bench_server_metric(const struct bench_server *s, const char *sample)
{
    struct bench_post c;
    bench_post_open(&c, s->api);
    struct bench_reply r = bench_post_get(&c, "/metrics");
    bench_post_close(&c);
    size_t n = strlen(sample);
    for (const char *p = r.status == 200 ? r.body.p : NULL; p != NULL; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, sample, n) == 0 && p[n] == ' ')
            return atof(p + n);
    }
    return 0;
}

uint64_t
bench_server_stored(const struct bench_server *s, enum ox_signal signal)
{
    char sample[96];
    snprintf(sample, sizeof(sample), "observex_ingest_signals_stored_total{type=\"%s\"}",
             ox_signal_name(signal));
    return (uint64_t)bench_server_metric(s, sample);
}

double
bench_query(struct ox_storage *st, const char *sql)
{
    struct ox_buf out = {0};
    struct ox_diag diag;
    struct ox_storage_query q = {.sql = ox_str_of(sql), .max_execution_ms = 120000};
    ox_diag_clear(&diag);
    if (ox_storage_query(st, &q, &out, NULL, &diag) != OX_OK) {
        fprintf(stderr, "bench: %s: %s\n", sql, diag.text);
        exit(1);
    }
    ox_buf_append(&out, "", 1);
    double v = atof((const char *)out.data);
    ox_buf_fini(&out);
    return v;
}
