/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a NATS server that is slow, not dead, holds up the spill lane of all tenants for a bounded time per job: what it
 *          has not taken by then stands in the journal, in order, and after some such jobs it is left alone.
 * Method:  the jobs of the spill lane called in turn, a real nats-server behind chaos/proxy.c. What is asserted is who
 *          holds the entries, never how long something took.
 */
#include <criterion/criterion.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/spill/spill_jobs.h"
#include "actors/wal/wal_internal.h"
#include "chaos/proxy.h"
#include "ox/stream.h"
#include "tests/harness/broker.h"
#include "tests/harness/fault_disk.h"

#define ITEMS 100
#define TEXT  4096 /* 16 pieces of the slow proxy, 2 ms each: 100 entries are 3 s */

static struct ox_config config = {.data = "d", .gateway_records_max = 65536};
static struct ox_node node;
static struct fault_disk *disk;
static struct ox_tenant *tenant;
static struct chaos_proxy proxy;
static _Atomic uint16_t to_port;
static char url[64];
static uint8_t request[TEXT + 64];
static size_t request_len;

/* An ExportLogsServiceRequest with one record, whose body is a long string. */
static void
make_request(void)
{
    size_t n = TEXT;
    uint8_t *at = request + sizeof(request);
    static const uint8_t tags[] = {0x0a, 0x2a, 0x12, 0x12,
                                   0x0a}; /* string, body, log record, scope, resource */
    memset(at -= n, 'x', n);
    for (size_t i = 0; i < sizeof(tags); i++) {
        *--at = (uint8_t)(n >> 7);
        *--at = (uint8_t)(n & 0x7f) | 0x80;
        *--at = tags[i];
        n += 3;
    }
    memmove(request, at, n);
    request_len = n;
}

static void
setup(void)
{
    static const struct ox_tenants_limits limits = {10,   1000000, 1000000, 1000000,
                                                    NULL, NULL,    1 << 30, 1 << 30};
    struct ox_tenant_id id = {"t"};
    if (!broker_exists())
        cr_skip_test("NOT TESTED: a slow NATS server, since nats-server is not installed");
    broker_setup();
    make_request();
    atomic_store(&to_port, broker_port);
    snprintf(url, sizeof(url), "nats://127.0.0.1:%u", chaos_proxy_open_tcp(&proxy, &to_port));
    disk = fault_disk_new(1);
    node = (struct ox_node){.config = &config,
                            .clock = ox_clock_real(),
                            .disk = fault_disk_seam(disk),
                            .tenants = ox_tenants_new(&limits)};
    cr_assert_eq(ox_disk_ensure_dir(node.disk, "d"), OX_OK);
    cr_assert_eq(ox_tenants_get(node.tenants, &id, &tenant), OX_OK);
}

static void
teardown(void)
{
    ox_stream_free(node.stream);
    nats_CloseAndWait(2000);
    chaos_proxy_close(&proxy);
    ox_tenants_free(node.tenants);
    fault_disk_free(disk);
    broker_teardown();
}

TestSuite(spill_slow, .init = setup, .fini = teardown, .timeout = 100);

static void
stream_new(uint32_t job_ms)
{
    struct ox_stream_options options = {.url = url,
                                        .credentials = "",
                                        .node_id = "0123456789abcdef",
                                        .bytes_max = 64 << 20,
                                        .replicas = 1,
                                        .timeout_ms = 20000,
                                        .job_ms = job_ms};
    node.stream = ox_stream_new(&options);
}

static struct ox_parcel *
parcel_new(uint64_t seq)
{
    struct ox_diag diag;
    struct ox_parcel *parcel;
    struct ox_wal_entry entry = {.tenant = tenant->id,
                                 .signal = OX_SIGNAL_LOGS,
                                 .encoding = OX_WAL_OTLP_PROTOBUF,
                                 .received_ns = 1,
                                 .n_records = 1,
                                 .body = {(const char *)request, request_len}};
    cr_assert_eq(ox__wal_parcel_of(&node, &entry, seq, &parcel, &diag), OX_OK, "%s", diag.text);
    return parcel;
}

/* One job that copies ITEMS entries; how many the server took. */
static uint32_t
copy(struct ox_journal **backlog, uint64_t *seq)
{
    struct ox__spill_job *job = calloc(1, sizeof(*job));
    uint32_t streamed = 0;
    job->node = &node;
    job->tenant = tenant;
    job->next_seq = 1;
    job->journal = *backlog;
    for (uint32_t i = 0; i < ITEMS; i++)
        job->items[job->n_items++].parcel = parcel_new(++*seq);
    ox__spill_job_run(job);
    for (uint32_t i = 0; i < ITEMS; i++) {
        cr_assert_eq(job->items[i].err, OX_OK);
        cr_assert(i == 0 || job->items[i].seq > job->items[i - 1].seq, "in order");
        streamed += job->items[i].streamed;
    }
    *backlog = job->journal;
    job->journal = NULL;
    ox__spill_job_free(job);
    return streamed;
}

Test(spill_slow, what_a_slow_server_does_not_take_in_time_stands_in_the_journal)
{
    struct ox_journal *backlog = NULL;
    uint64_t seq = 0;
    uint32_t streamed = 0;
    stream_new(200);
    cr_assert(ox_stream_ready(node.stream));
    atomic_store(&proxy.mode, CHAOS_PROXY_SLOW);
    for (int job = 0; job < OX_STREAM_SLOW_JOBS; job++) {
        cr_assert(ox_stream_ready(node.stream), "job %d", job);
        streamed = copy(&backlog, &seq);
        cr_assert_lt(streamed, ITEMS);
    }
    cr_assert_not(ox_stream_ready(node.stream), "three such jobs: it is left alone");
    cr_assert_eq(copy(&backlog, &seq), 0);
    ox_journal_close(backlog);
}

Test(spill_slow, a_server_that_answers_within_the_time_takes_all)
{
    struct ox_journal *backlog = NULL;
    uint64_t seq = 0;
    stream_new(60000);
    cr_assert_eq(copy(&backlog, &seq), ITEMS);
    atomic_store(&proxy.mode, CHAOS_PROXY_SLOW);
    cr_assert_eq(copy(&backlog, &seq), ITEMS, "slow, and within the time");
    ox_journal_close(backlog);
}
