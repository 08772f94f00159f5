/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the storage client talks to a ClickHouse server over TCP as it does to the engine.
 * Method:  Debian's clickhouse-server (18.16) on a free loopback port. It is too old for the schema, so only
 *          the transport is tried: Native bodies, compression, exceptions, time-outs. Skipped when it is not
 *          installed.
 */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "ox/storage.h"

#define SERVER "/usr/sbin/clickhouse-server"

static char dir[64];
static pid_t pid;
static unsigned http_port;
static struct ox_storage *st;

static unsigned
free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void
write_config(unsigned tcp_port)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/config.xml", dir);
    FILE *out = fopen(path, "w");
    fprintf(out,
            "<yandex><logger><level>none</level><log>%s/log</log><errorlog>%s/err</errorlog></logger>"
            "<http_port>%u</http_port><tcp_port>%u</tcp_port><listen_host>127.0.0.1</listen_host>"
            "<path>%s/data/</path><tmp_path>%s/tmp/</tmp_path><users_config>%s/users.xml</users_config>"
            "<default_profile>default</default_profile><default_database>default</default_database>"
            "<mark_cache_size>5368709</mark_cache_size><timezone>UTC</timezone></yandex>\n",
            dir, dir, http_port, tcp_port, dir, dir, dir);
    fclose(out);
    snprintf(path, sizeof(path), "%s/users.xml", dir);
    out = fopen(path, "w");
    fprintf(out,
            "<yandex><profiles><default></default></profiles><users><default><password>pw</password>"
            "<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default>"
            "</users><quotas><default></default></quotas></yandex>\n");
    fclose(out);
}

static pid_t
spawn_server(void)
{
    char option[160];
    snprintf(option, sizeof(option), "--config-file=%s/config.xml", dir);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the test, however that ends */
        if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
            _exit(126);
        execl(SERVER, SERVER, option, (char *)NULL);
        _exit(127);
    }
    return child;
}

static void
up(void)
{
    char url[64];
    if (access(SERVER, X_OK) != 0)
        cr_skip_test("clickhouse-server is not installed: the transport over TCP was not tried");
    snprintf(dir, sizeof(dir), "/tmp/ox-clickhouse-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    http_port = free_port();
    write_config(free_port());
    pid = spawn_server();
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", http_port);
    struct ox_storage_options o = {.url = url, .database = "default", .key = "pw", .plain = true};
    cr_assert_eq(ox_storage_open(&o, &st, NULL), OX_OK);
    /* Asks until it answers; the test's time limit ends it otherwise. */
    while (ox_storage_ping(st, 500, NULL) != OX_OK)
        cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0, "clickhouse-server did not start");
}

static void
down(void)
{
    char command[128];
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ox_storage_close(st);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    if (system(command) != 0)
        fprintf(stderr, "%s is left behind\n", dir);
}

TestSuite(clickhouse, .init = up, .fini = down, .timeout = 60);

static ox_err
ask(const char *sql, struct ox_buf *out, struct ox_storage_stats *stats, struct ox_diag *diag)
{
    struct ox_storage_query q = {.sql = ox_str_of(sql)};
    return ox_storage_query(st, &q, out, stats, diag);
}

static void
expect(const char *sql, const char *want)
{
    struct ox_buf out = {0};
    struct ox_diag diag;
    ox_err err = ask(sql, &out, NULL, &diag);
    cr_assert_eq(err, OX_OK, "%s: %s", sql, diag.text);
    cr_assert(ox_str_eq(ox_buf_str(&out), ox_str_of(want)), "%s: %.*s", sql, (int)out.len, (char *)out.data);
    ox_buf_fini(&out);
}

/* u64 columns, rows, then per column its name, type and values. */
static void
native_block(struct ox_buf *out, unsigned rows)
{
    uint8_t head[] = {
        1, (uint8_t)(rows & 127) | 128, (uint8_t)(rows >> 7), 1, 'n', 6, 'U', 'I', 'n', 't', '6', '4'};
    ox_buf_append(out, head, sizeof(head));
    for (uint64_t i = 0; i < rows; i++)
        ox_buf_append(out, &i, sizeof(i));
}

Test(clickhouse, native_bodies_in_and_out)
{
    struct ox_buf block = {0};
    struct ox_buf back = {0};
    uint8_t packed[16384];
    expect("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", "");
    native_block(&block, 1000);
    struct ox_storage_insert in = {.table = "t", .columns = "n", .data = block.data, .len = block.len};
    struct ox_diag diag;
    cr_assert_eq(ox_storage_insert(st, &in, NULL, &diag), OX_OK, "%s", diag.text);
    expect("SELECT count(), sum(n) FROM t", "1000\t499500\n");
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = block.data;
    z.avail_in = (uInt)block.len;
    z.next_out = packed;
    z.avail_out = sizeof(packed);
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    in.len = z.total_out;
    deflateEnd(&z);
    in.data = packed;
    in.encoding = OX_STORAGE_GZIP;
    cr_assert_eq(ox_storage_insert(st, &in, NULL, &diag), OX_OK, "%s", diag.text);
    expect("SELECT count(), sum(n) FROM t", "2000\t999000\n");
    struct ox_storage_query q = {.sql = OX_STR("SELECT n FROM t GROUP BY n ORDER BY n"), .format = "Native"};
    cr_assert_eq(ox_storage_query(st, &q, &back, NULL, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(back.len, block.len);
    cr_assert_eq(memcmp(back.data, block.data, block.len), 0);
    in.encoding = OX_STORAGE_PLAIN;
    in.data = block.data;
    in.len = block.len / 2;
    cr_assert_eq(ox_storage_insert(st, &in, NULL, &diag), OX_E_STORAGE_REFUSED, "%s", diag.text);
    ox_buf_fini(&block);
    ox_buf_fini(&back);
}

Test(clickhouse, exceptions_before_and_behind_the_first_rows)
{
    struct ox_buf out = {0};
    struct ox_diag diag;
    struct ox_storage_stats stats;
    cr_assert_eq(ask("SELECT * FROM nowhere", &out, &stats, &diag), OX_E_NOT_FOUND);
    cr_assert_eq(stats.code, 60);
    cr_assert_eq(ask("SELEKT", &out, &stats, &diag), OX_E_STORAGE_REFUSED);
    ox_err err =
        ask("SELECT number, throwIf(number = 900000) FROM system.numbers LIMIT 1000000", &out, &stats, &diag);
    cr_assert_eq(err, OX_E_STORAGE_REFUSED);
    cr_assert_eq(stats.code, 395);
    cr_assert_eq(out.len, 0);
    expect("SELECT 1", "1\n");
}

Test(clickhouse, limits_of_time)
{
    struct ox_buf out = {0};
    struct ox_diag diag;
    struct ox_storage_query q = {.sql = OX_STR("SELECT sum(cityHash64(number)) FROM system.numbers")};
    q.max_execution_ms = 900;
    cr_assert_eq(ox_storage_query(st, &q, &out, NULL, &diag), OX_E_STORAGE_BUDGET, "%s", diag.text);
    _Atomic bool cancel = true;
    q.max_execution_ms = 0;
    q.cancel = &cancel;
    cr_assert_eq(ox_storage_query(st, &q, &out, NULL, &diag), OX_E_CANCELLED, "%s", diag.text);
    ox_buf_fini(&out);
}

Test(clickhouse, a_wrong_password_and_a_dead_server)
{
    struct ox_storage *other;
    struct ox_buf out = {0};
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", http_port);
    struct ox_storage_options o = {.url = url, .database = "default", .key = "wrong", .plain = true};
    struct ox_storage_query q = {.sql = OX_STR("SELECT 1")};
    cr_assert_eq(ox_storage_open(&o, &other, NULL), OX_OK);
    cr_assert_eq(ox_storage_query(other, &q, &out, NULL, NULL), OX_E_UNAUTHENTICATED);
    ox_storage_close(other);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert_eq(ask("SELECT 1", &out, NULL, NULL), OX_E_STORAGE_DOWN);
}
