/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/tenants_bench.c - what a tenant who has nothing to say costs a node.
 *
 *   tenants_bench [OBSERVEX] [--tenants N] [--connections N]
 *
 * Method:  `observex serve` with room for N tenants. Each sends one request of one log record, with its own key; when all
 *          is stored, every tenant has an actor, an entry in the directory and nothing to do. Resident memory of the node
 *          before the first and after the last, per tenant. Then the first tenant sends again, 200 times: what an
 *          acknowledgement takes among so many.
 *
 * Owns:    the server.
 * Threads: one per connection.
 * Fails:   exit code 1 when a record is missing, or the node takes more than 1 GiB for 100,000 tenants or fewer.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/post.h"
#include "bench/server.h"
#include "ox/clock.h"
#include "ox/keystore.h"
#include "ox/otlp_wire.h"
#include "ox/storage.h"

#define CONNECTIONS_MAX 64
#define RSS_MIB_MAX     1024.0
#define RETRY_MS        20
#define DRAIN_S         300
#define AGAIN           200

static struct bench_server server;
static char secret[256];
static uint32_t tenants_n = 100000;
static _Atomic uint32_t next_tenant;
static uint64_t time_ns;

/* One log record that says who sent it. */
static void
request(struct ox_buf *out, uint32_t tenant, uint32_t serial)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "tenant %u says %u", tenant, serial);
    ox_buf_reset(out);
    size_t resource = ox_wire_begin(out, 1), scope = ox_wire_begin(out, 2), record = ox_wire_begin(out, 2);
    ox_wire_put_fixed64(out, 1, time_ns);
    size_t body = ox_wire_begin(out, 5);
    ox_wire_put_bytes(out, 1, (struct ox_str){text, (size_t)n});
    ox_wire_end(out, body);
    ox_wire_end(out, record);
    ox_wire_end(out, scope);
    ox_wire_end(out, resource);
}

static void
key_of(uint32_t tenant, char *key, size_t size)
{
    struct ox_tenant_id id = {{0}};
    char made[OX_DEV_KEY_MAX];
    snprintf(id.name, sizeof(id.name), "tenant-%u", tenant);
    ox_keystore_dev_key(ox_str_of(secret), &id, made);
    snprintf(key, size, "%s", made);
}

static void
post(struct bench_post *c, uint32_t tenant, uint32_t serial, struct ox_buf *body)
{
    key_of(tenant, c->key, sizeof(c->key));
    request(body, tenant, serial);
    for (;;) {
        struct bench_reply r = bench_post_send(c, OX_SIGNAL_LOGS, OX_ENCODING_IDENTITY, ox_buf_str(body));
        if (r.status == 200)
            return;
        if (r.status != 429 && r.status != 503 && r.status != 0) {
            fprintf(stderr, "tenants_bench: status %d: %.*s\n", r.status, (int)r.body.n, r.body.p);
            exit(1);
        }
        bench_nap_ms(RETRY_MS);
    }
}

static void *
introduce(void *arg)
{
    struct bench_post c;
    struct ox_buf body = {0};
    bench_post_open(&c, server.otlp);
    for (uint32_t i; (i = atomic_fetch_add(&next_tenant, 1)) < tenants_n;)
        post(&c, i, 0, &body);
    bench_post_close(&c);
    ox_buf_fini(&body);
    return NULL;
}

static uint64_t
stored(uint64_t want)
{
    struct ox_storage *engine = bench_server_engine(&server);
    uint64_t rows = 0;
    for (int i = 0; i < DRAIN_S * 2 && rows < want; i++, bench_nap_ms(500))
        rows = (uint64_t)bench_query(engine, "SELECT uniqExact(tenant_id) FROM otel_logs");
    ox_storage_close(engine);
    return rows;
}

static double
again_ms(void)
{
    struct bench_post c;
    struct ox_buf body = {0};
    bench_post_open(&c, server.otlp);
    uint64_t t0 = bench_now_ns();
    for (uint32_t i = 1; i <= AGAIN; i++)
        post(&c, 0, i, &body);
    double ms = (double)(bench_now_ns() - t0) / 1e6 / AGAIN;
    bench_post_close(&c);
    ox_buf_fini(&body);
    return ms;
}

static void
read_secret(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/dev.secret", server.dir);
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(secret, sizeof(secret), f) == NULL)
        bench_die(path);
    fclose(f);
    secret[strcspn(secret, "\n")] = '\0';
}

static void
write_config(char *path, size_t size)
{
    snprintf(path, size, "/tmp/ox-bench-config-XXXXXX");
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL)
        bench_die("mkstemp");
    fprintf(f, "tenant:\n  max: %u\n", tenants_n + 16);
    fclose(f);
}

int
main(int argc, char **argv)
{
    char config[64];
    pthread_t threads[CONNECTIONS_MAX];
    const char *exe = argc > 1 && argv[1][0] != '-' ? argv[1] : "build/observex";
    uint32_t connections = 16;
    for (int i = argc > 1 && argv[1][0] != '-' ? 2 : 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--tenants") == 0)
            tenants_n = (uint32_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--connections") == 0)
            connections = (uint32_t)atoi(argv[i + 1]);
    }
    connections = connections < CONNECTIONS_MAX ? connections : CONNECTIONS_MAX;
    time_ns = ox_clock_realtime_ns(ox_clock_real());
    write_config(config, sizeof(config));
    bench_server_start(&server, exe, config);
    read_secret();
    double before = bench_rss_mib(server.node), alone = again_ms();
    uint64_t t0 = bench_now_ns();
    for (uint32_t i = 0; i < connections; i++)
        OX_ASSERT(pthread_create(&threads[i], NULL, introduce, NULL) == 0);
    for (uint32_t i = 0; i < connections; i++)
        pthread_join(threads[i], NULL);
    double s = (double)(bench_now_ns() - t0) / 1e9;
    uint64_t seen = stored(tenants_n);
    double after = bench_rss_mib(server.node), among = again_ms();
    printf("%u tenants, one request each in %.0f s; %llu of them are stored\n", tenants_n, s,
           (unsigned long long)seen);
    printf("  node %.0f MiB before, %.0f MiB with all of them idle: %.0f bytes a tenant; peak %.0f MiB\n",
           before, after, (after - before) * 1048576 / tenants_n, bench_peak_mib(server.node));
    printf("  an acknowledgement took %.1f ms before, %.1f ms among them\n", alone, among);
    bool holds = seen == tenants_n && (tenants_n > 100000 || after < RSS_MIB_MAX);
    printf("  %-6s all of them stored, the node below 1 GiB\n", holds ? "ok" : "FAILED");
    bench_server_kill(&server);
    unlink(config);
    return holds ? 0 : 1;
}
