/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/spine_node.c - see spine_node.h.
 *
 * Owns:    nothing; the processes are serve.c's.
 * Threads: the test's.
 */
#include "tests/harness/spine_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint8_t spine_acked[SPINE_REQUESTS_MAX];
uint32_t spine_n_requests;
bool spine_error_logs;
static time_t began_s;

void
spine_setup(void)
{
    serve_setup();
    began_s = time(NULL);
}

/* ---- traffic ---- */

/* Request n of PER_REQUEST log records (the same bytes each time), each padded to `pad` bytes; the status, 0 = no answer. */
int
spine_send_request(uint32_t n, size_t pad, char *retry_after, size_t cap)
{
    struct ox_buf body;
    struct ox_client_response r;
    ox_buf_init(&body);
    ox_buf_printf(&body, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[");
    for (uint32_t i = 0; i < SPINE_PER_REQUEST; i++) {
        ox_buf_printf(&body, "%s{%s\"timeUnixNano\":\"%lld000000000\",\"body\":{\"stringValue\":\"uid=%07u;",
                      i > 0 ? "," : "", spine_error_logs ? "\"severityNumber\":17," : "", (long long)began_s,
                      n * SPINE_PER_REQUEST + i);
        memset(ox_buf_reserve(&body, pad), 'x', pad);
        body.len += pad;
        ox_buf_append_cstr(&body, "\"}}");
    }
    ox_buf_append_cstr(&body, "]}]}]}");
    ox_client_response_init(&r);
    bool ok = ox_client1_request(serve.http_port, "POST", "/v1/logs", "Content-Type: application/json\r\n",
                                 body.data, body.len, &r);
    int status = ok ? r.status : 0;
    if (retry_after != NULL && !ox_client_header(&r.headers, "retry-after", retry_after, cap))
        retry_after[0] = '\0';
    ox_client_response_fini(&r);
    ox_buf_fini(&body);
    return status;
}

int
spine_send_next(size_t pad)
{
    int status = spine_send_request(spine_n_requests, pad, NULL, 0);
    spine_acked[spine_n_requests++] = status == 200;
    return status;
}

static bool
all_stored(void)
{
    for (uint32_t id = 0; id < spine_n_requests * SPINE_PER_REQUEST; id++) {
        if (spine_acked[id / SPINE_PER_REQUEST] && fake_seen(id) == 0)
            return false;
    }
    return true;
}

/* Exactly once what was acknowledged, at most once what was not. */
void
spine_check_all(void)
{
    eventually(all_stored());
    for (uint32_t id = 0; id < spine_n_requests * SPINE_PER_REQUEST; id++)
        cr_assert(fake_seen(id) <= 1, "record %u is stored %u times", id, fake_seen(id));
    struct fake_counts c = fake_counts();
    cr_assert_eq(c.different, 0, "a token was used again for other bytes");
    cr_assert_eq(c.tokenless, 0);
}

/* The value behind the first `line`, "\n" and a name and a space, of /metrics; or -1. */
double
spine_metric(const char *line)
{
    struct ox_client_response r;
    ox_client_response_init(&r);
    double value = -1;
    if (ox_client1_request(serve.api_port, "GET", "/metrics", NULL, NULL, 0, &r)) {
        ox_buf_append(&r.body, "", 1);
        const char *at = strstr((char *)r.body.data, line);
        const char *space = at != NULL ? strchr(at, ' ') : NULL;
        value = space != NULL ? strtod(space, NULL) : -1;
    }
    ox_client_response_fini(&r);
    return value;
}

/* As a client that heard nothing: the same bytes until they are acknowledged. */
void
spine_send_unanswered_again(void)
{
    for (uint32_t n = 0; n < spine_n_requests; n++) {
        if (!spine_acked[n])
            eventually(spine_send_request(n, 0, NULL, 0) == 200);
        spine_acked[n] = true;
    }
}

uint64_t
spine_resident_kib(pid_t pid)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        sscanf(line, "VmRSS: %llu", &kib);
    if (f != NULL)
        fclose(f);
    return kib;
}

int
spine_api(const char *method, const char *path, char *body, size_t cap)
{
    struct ox_client_response r;
    ox_client_response_init(&r);
    bool ok =
        ox_client1_request(serve.api_port, method, path, "Content-Type: application/json\r\n", NULL, 0, &r);
    int status = ok ? r.status : 0;
    if (body != NULL)
        snprintf(body, cap, "%.*s", (int)r.body.len, r.body.len != 0 ? (char *)r.body.data : "");
    ox_client_response_fini(&r);
    return status;
}
