/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    an entry is copied into a backlog whatever has become of its bytes in the log, and comes back as it was.
 * Method:  the jobs of the spill lane called in turn, on the faulty disk; the node is what such a job looks at.
 */
#include "tests/unit/runtime/core/kit.h"

#include "actors/spill/spill_jobs.h"
#include "actors/wal/wal_internal.h"
#include "ox/random.h"
#include "tests/harness/fault_disk.h"
#include "tests/harness/random_otlp.h"

#define WAL_FILE "d/wal/0000000000000001.seg"

static struct ox_config config = {.data = "d", .gateway_records_max = 65536};
static struct ox_node node;
static struct fault_disk *disk;
static struct ox_journal *wal;
static struct ox_tenant *tenant;
static struct ox_buf request;

static void
begin(void)
{
    static const struct ox_tenants_limits limits = {10,   1000000, 1000000, 1000000,
                                                    NULL, NULL,    1 << 30, 1 << 30};
    struct ox_journal_options options = {.kind = OX_JOURNAL_WAL, .segment_bytes = 1 << 20};
    struct ox_tenant_id id = {"t"};
    struct ox_random rnd;
    struct ox_diag diag;
    kit_start(1);
    disk = fault_disk_new(1);
    node = (struct ox_node){.config = &config,
                            .clock = &kit_clock.clock,
                            .disk = fault_disk_seam(disk),
                            .tenants = ox_tenants_new(&limits)};
    cr_assert_eq(ox_disk_ensure_dir(node.disk, "d"), OX_OK);
    cr_assert_eq(ox_journal_open(node.disk, "d/wal", &options, &wal, NULL, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_tenants_get(node.tenants, &id, &tenant), OX_OK);
    ox_random_seed(&rnd, 7);
    do {
        ox_buf_reset(&request);
        random_request(&rnd, OX_SIGNAL_LOGS, &request);
    } while (request.len < 100);
}

static void
end(void)
{
    ox_journal_close(wal);
    ox_buf_fini(&request);
    ox_runtime_stop();
    ox_tenants_free(node.tenants);
    fault_disk_free(disk);
}

static struct ox_parcel *
parcel_of_request(void)
{
    struct ox_diag diag;
    struct ox_parcel *parcel;
    struct ox_wal_entry entry = {.tenant = tenant->id,
                                 .signal = OX_SIGNAL_LOGS,
                                 .encoding = OX_WAL_OTLP_PROTOBUF,
                                 .received_ns = 1700000000,
                                 .n_records = 1,
                                 .request_hash = ox_wal_hash_of(ox_buf_str(&request)),
                                 .body = ox_buf_str(&request)};
    cr_assert_eq(ox__wal_parcel_of(&node, &entry, 0, &parcel, &diag), OX_OK, "%s", diag.text);
    cr_assert_gt(parcel->batch->n_records, 1, "another seed");
    return parcel;
}

/* As the log's actor commits it. */
static struct ox_parcel *
logged(void)
{
    struct ox_parcel *parcel = parcel_of_request();
    struct ox_append append = {.parcel = parcel, .n_records = parcel->batch->n_records};
    struct ox_wal_group group = {.journal = wal, .clock = node.clock, .node = &node, .head = &append, .n = 1};
    ox__wal_commit_job(&group);
    cr_assert_eq(append.err, OX_OK);
    parcel->batch->wal_seq = append.seq;
    return parcel;
}

static struct ox__spill_job *
job_new(struct ox_journal *backlog)
{
    struct ox__spill_job *job = calloc(1, sizeof(*job));
    job->node = &node;
    job->tenant = tenant;
    job->next_seq = 1;
    job->journal = backlog;
    return job;
}

/* The journal, for the next job. */
static struct ox_journal *
job_end(struct ox__spill_job *job)
{
    struct ox_journal *backlog = job->journal;
    job->journal = NULL;
    ox__spill_job_free(job);
    return backlog;
}

static void
check_same(const struct ox_append *back)
{
    const struct ox_batch *batch = back->parcel->batch;
    cr_assert_eq(batch->body->len, request.len);
    cr_assert_eq(memcmp(batch->body->data, request.data, request.len), 0);
    cr_assert_eq(batch->received_ns, 1700000000);
    struct ox_wal_hash hash = ox_wal_hash_of(ox_buf_str(&request));
    cr_assert(back->hash[0] == hash.lo && back->hash[1] == hash.hi, "a client's repeat is still recognised");
    cr_assert_eq(back->n_records, batch->n_records);
}

Test(spill_jobs, an_entry_that_the_log_cannot_give_back_is_copied_all_the_same)
{
    begin();
    struct ox_parcel *parcel = logged();
    uint32_t records = parcel->batch->n_records, gone;
    *ox_batch_row(parcel->batch, 0, &gone) = OX_REJECT_DISPOSED; /* what a writer had of it */
    fault_disk_bad_sector(disk, WAL_FILE, 0, 1 << 20);
    struct ox_buf bytes = {0};
    cr_assert_neq(ox_journal_read(wal, parcel->batch->wal_seq, &bytes, NULL), OX_OK, "the log has lost it");
    ox_buf_fini(&bytes);

    struct ox__spill_job *job = job_new(NULL);
    job->items[job->n_items++].parcel = parcel;
    ox__spill_job_run(job);
    cr_assert_eq(job->items[0].err, OX_OK, "%s", ox_err_text(job->items[0].err));
    uint64_t seq = job->items[0].seq;

    job = job_new(job_end(job));
    job->read = true;
    job->upto = UINT64_MAX;
    job->records_max = 1000000;
    ox__spill_job_run(job);
    cr_assert_eq(job->err, OX_OK);
    cr_assert_eq(job->n_appends, 1);
    cr_assert_eq(job->head->origin_seq, seq);
    cr_assert_eq(job->head->n_records, records);
    cr_assert_eq(job->head->n_ranges, 1, "what was not owed is not owed again");
    cr_assert(job->head->ranges[0] == gone && job->head->ranges[1] == gone + 1);
    check_same(job->head);
    ox_journal_close(job_end(job));
    end();
}
