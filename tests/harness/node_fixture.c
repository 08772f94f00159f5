/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/node_fixture.c - see node_fixture.h.
 */
#include "tests/harness/node_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ox/keystore.h"

static uint8_t acked[NODE_RECORDS_MAX];
static uint32_t n_records;
static time_t began_s;

void
node_setup(void)
{
    serve_setup();
    began_s = time(NULL);
}

/* ---- traffic ---- */

/* "x-api-key: ...\r\n" of a development key. */
static void
key_header(const char *tenant, char *out, size_t size)
{
    char path[128], hex[65] = "", key[OX_DEV_KEY_MAX];
    struct ox_tenant_id id;
    out[0] = '\0';
    if (tenant == NULL)
        return;
    snprintf(path, sizeof(path), "%s/dev.secret", serve.dir);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f);
    cr_assert_eq(fread(hex, 1, 64, f), 64);
    fclose(f);
    cr_assert_eq(ox_tenant_id_parse(ox_str_of(tenant), &id, NULL), OX_OK);
    ox_keystore_dev_key(ox_str_of(hex), &id, key);
    snprintf(out, size, "x-api-key: %s\r\n", key);
}

/* A request of `n` records, the first of which has the id `first`. */
static void
put_records(struct ox_buf *body, uint32_t first, uint32_t n, const char *words)
{
    cr_assert(first + n <= NODE_RECORDS_MAX);
    ox_buf_reset(body);
    ox_buf_append_cstr(body, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[");
    for (uint32_t i = 0; i < n; i++)
        ox_buf_printf(body,
                      "%s{\"timeUnixNano\":\"%lld000000000\",\"body\":{\"stringValue\":\"uid=%07u; %s\"}}",
                      i > 0 ? "," : "", (long long)began_s, first + i, words);
    ox_buf_append_cstr(body, "]}]}]}");
}

int
node_send(const char *tenant, uint32_t n, const char *words, uint32_t *first)
{
    struct ox_buf body;
    struct ox_client_response r;
    char headers[256] = "Content-Type: application/json\r\n";
    key_header(tenant, headers + strlen(headers), sizeof(headers) - strlen(headers));
    ox_buf_init(&body);
    put_records(&body, n_records, n, words);
    ox_client_response_init(&r);
    bool ok = ox_client1_request(serve.http_port, "POST", "/v1/logs", headers, body.data, body.len, &r);
    int status = ok ? r.status : 0;
    if (first != NULL)
        *first = n_records;
    for (uint32_t i = 0; i < n; i++)
        acked[n_records++] = status == 200;
    ox_client_response_fini(&r);
    ox_buf_fini(&body);
    return status;
}

/* The request's bytes leave; its answer is read later. */
static void
send_one_of_many(struct ox_client1 *c, const char *tenant, uint32_t first, uint32_t n, const char *words)
{
    struct ox_buf body;
    char key[192] = "", head[384];
    key_header(tenant, key, sizeof(key));
    ox_buf_init(&body);
    put_records(&body, first, n, words);
    int len = snprintf(head, sizeof(head),
                       "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s"
                       "Content-Length: %zu\r\n\r\n",
                       key, body.len);
    ox_client1_init(c, ox_client_connect(serve.http_port));
    cr_assert(ox_client_send(c->fd, head, (size_t)len) && ox_client_send(c->fd, body.data, body.len));
    ox_buf_fini(&body);
}

uint32_t
node_send_at_once(const char *tenant, uint32_t requests, uint32_t n, const char *words)
{
    struct ox_client1 *clients = calloc(requests, sizeof(*clients));
    uint32_t taken = 0;
    cr_assert_not_null(clients);
    for (uint32_t k = 0; k < requests; k++)
        send_one_of_many(&clients[k], tenant, n_records + k * n, n, words);
    for (uint32_t k = 0; k < requests; k++) {
        struct ox_client_response r;
        ox_client_response_init(&r);
        cr_assert(ox_client1_read(&clients[k], false, &r), "request %u of %u", k, requests);
        cr_assert(r.status == 200 || r.status == 429, "%d", r.status);
        taken += r.status == 200;
        for (uint32_t i = 0; i < n; i++)
            acked[n_records++] = r.status == 200;
        ox_client_response_fini(&r);
        ox_client1_fini(&clients[k]);
    }
    free(clients);
    return taken;
}

bool
node_all_stored_but(uint32_t from, uint32_t to)
{
    for (uint32_t id = 0; id < n_records; id++) {
        uint32_t seen = fake_seen(id);
        cr_assert(seen <= 1, "record %u is stored %u times", id, seen);
        if (acked[id] && seen == 0 && (id < from || id >= to))
            return false;
    }
    return true;
}

uint32_t
node_missing(void)
{
    uint32_t missing = 0;
    for (uint32_t id = 0; id < n_records; id++) {
        uint32_t seen = fake_seen(id);
        cr_assert(seen <= 1, "record %u is stored %u times", id, seen);
        missing += acked[id] && seen == 0;
    }
    return missing;
}

int
node_api(const char *path, const char *tenant, const char *body, struct ox_buf *answer)
{
    struct ox_client_response r;
    char headers[256] = "";
    if (body != NULL)
        strcpy(headers, "Content-Type: application/json\r\n");
    key_header(tenant, headers + strlen(headers), sizeof(headers) - strlen(headers));
    ox_client_response_init(&r);
    bool ok = ox_client1_request(serve.api_port, body != NULL ? "POST" : "GET", path, headers, body,
                                 body != NULL ? strlen(body) : 0, &r);
    int status = ok ? r.status : 0;
    if (answer != NULL) {
        ox_buf_reset(answer);
        ox_buf_append(answer, r.body.data, r.body.len);
        ox_buf_append(answer, "", 1);
    }
    ox_client_response_fini(&r);
    return status;
}

/* What an operator must repeat; 0: the tenant is not on the list. */
static int
crashes_of(const char *tenant)
{
    struct ox_buf answer;
    char member[96];
    ox_buf_init(&answer);
    snprintf(member, sizeof(member), "\"tenant\":\"%s\",\"crashes\":", tenant);
    int status = node_api("/api/v1/quarantine", NULL, NULL, &answer);
    const char *at = status == 200 ? strstr((char *)answer.data, member) : NULL;
    int crashes = at != NULL ? atoi(at + strlen(member)) : 0;
    ox_buf_fini(&answer);
    return crashes;
}

void
node_lift_quarantine(const char *tenant)
{
    char path[128], body[64];
    int crashes = 0;
    eventually((crashes = crashes_of(tenant)) > 0);
    snprintf(path, sizeof(path), "/api/v1/quarantine/%s/revoke", tenant);
    snprintf(body, sizeof(body), "{\"acknowledge_crashes\":%d}", crashes);
    cr_assert_eq(node_api(path, NULL, body, NULL), 200);
}

double
node_metric(const char *line)
{
    struct ox_buf text;
    ox_buf_init(&text);
    double value = -1;
    size_t n = strlen(line);
    if (node_api("/metrics", NULL, NULL, &text) == 200) {
        for (const char *at = (const char *)text.data; at != NULL; at = strchr(at, '\n')) {
            at += *at == '\n';
            if (strncmp(at, line, n) == 0) {
                const char *space = strchr(at + n - 1, ' ');
                value = space != NULL ? strtod(space, NULL) : -1;
                break;
            }
        }
    }
    ox_buf_fini(&text);
    return value;
}

int
node_run(const char *const *args, struct ox_buf *out)
{
    const char *argv[32] = {OX_OBSERVEX};
    int n = 1, pipe_fd[2], status = 0;
    char chunk[4096];
    for (; *args != NULL && n < 29; args++)
        argv[n++] = *args;
    argv[n++] = "--data";
    argv[n++] = serve.dir;
    cr_assert_eq(pipe(pipe_fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_fd[1], 1);
        dup2(pipe_fd[1], 2);
        close(pipe_fd[0]);
        execv(OX_OBSERVEX, (char *const *)argv);
        _exit(127);
    }
    close(pipe_fd[1]);
    ox_buf_reset(out);
    for (ssize_t got; (got = read(pipe_fd[0], chunk, sizeof(chunk))) > 0;)
        ox_buf_append(out, chunk, (size_t)got);
    ox_buf_append(out, "", 1);
    close(pipe_fd[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
