/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_jobs.c - what the wal actor does on dirty threads: commit a group, remove segments, read old
 * entries again.
 *
 * Owns:    the job's argument while it runs.
 * Threads: dirty threads; commits run one at a time on the log's own lane.
 * Bounds:  OX_WAL_REPLAY_MAX entries and OX_WAL_REPLAY_BYTES_MAX bytes per replay job.
 * Fails:   each request carries its own error.
 */
#include <stdlib.h>

#include "actors/wal/disk_guard.h"
#include "actors/wal/wal_internal.h"
#include "ox/log.h"
#include "ox/otlp.h"
#include "ox/read_only.h"
#include "ox/wal.h"
#include "ox/wal_entry.h"

void
ox__wal_group_free(void *arg)
{
    struct ox_wal_group *group = arg;
    while (group->head != NULL) {
        struct ox_append *append = group->head;
        group->head = append->next;
        ox_append_free(append);
    }
    free(group);
}

static ox_err
fill_rejected(const struct ox_append *append, struct ox_ranges *out)
{
    for (uint32_t i = 0; i < append->n_ranges; i++) {
        ox_err err = ox_ranges_add(out, append->ranges[2 * i], append->ranges[2 * i + 1], NULL);
        if (err != OX_OK)
            return err;
    }
    return OX_OK;
}

/* Appends one request; its bytes stay lent to the journal until the commit. header: empty, kept until then. */
static ox_err
append_one(struct ox_wal_group *group, struct ox_append *append, struct ox_buf *header)
{
    const struct ox_batch *batch = append->parcel->batch;
    struct ox_wal_entry entry = {
        .tenant = batch->tenant,
        .signal = batch->signal,
        .encoding = OX_WAL_OTLP_PROTOBUF,
        .received_ns = batch->received_ns,
        .request_hash = {append->hash[0], append->hash[1]},
        .n_records = append->n_records,
        .origin = append->origin,
        .origin_seq = append->origin_seq,
        .body = {(const char *)batch->body->data, batch->body->len},
    };
    ox_err err = fill_rejected(append, &entry.rejected);
    if (err == OX_OK)
        err = ox_wal_entry_encode(&entry, header);
    ox_ranges_fini(&entry.rejected);
    if (err != OX_OK)
        return err;
    struct iovec parts[2] = {{header->data, header->len}, {batch->body->data, batch->body->len}};
    return ox_journal_append(group->journal, parts, 2, (int64_t)batch->received_ns, &append->seq);
}

void
ox__wal_space_job(void *arg)
{
    struct ox_wal_space *job = arg;
    ox__disk_guard_probe(job->node);
    job->err = ox__disk_guard_look(job->node, job->reserve_bytes);
}

void
ox_wal_look_again(struct ox_node *node)
{
    /* From nothing known: the way back wants no more than the reserve. */
    atomic_fetch_and_explicit(&node->read_only, ~(uint32_t)OX_READ_ONLY_SPACE, memory_order_relaxed);
    ox__disk_guard_probe(node);
    if (ox__disk_guard_look(node, ox_node_config(node)->wal_disk_reserve_bytes) != OX_OK)
        OX_LOG_WARN("wal", "the free space of the data disk is not known");
}

void
ox__wal_commit_job(void *arg)
{
    struct ox_wal_group *group = arg;
    uint64_t start_ns = ox_clock_monotonic_ns(group->clock);
    struct ox_buf *headers = calloc(group->n, sizeof(*headers));
    uint32_t i = 0;
    ox_err failed = OX_OK; /* of the first that was read back: none behind it may pass it, see ox/backlog.h */
    for (struct ox_append *a = group->head; a != NULL; a = a->next, i++) {
        bool again = a->origin != OX_WAL_ORIGIN_NONE;
        if (again && failed != OX_OK)
            a->err = failed;
        else
            a->err = headers != NULL ? append_one(group, a, &headers[i]) : OX_E_NOMEM;
        if (again && failed == OX_OK)
            failed = a->err;
    }
    uint64_t durable_seq = 0;
    group->err = ox_journal_commit(group->journal, &durable_seq);
    for (struct ox_append *a = group->head; a != NULL; a = a->next) {
        if (a->err == OX_OK && group->err != OX_OK && a->seq >= durable_seq)
            a->err = group->err;
    }
    for (i = 0; headers != NULL && i < group->n; i++)
        ox_buf_fini(&headers[i]);
    free(headers);
    group->seconds = (double)(ox_clock_monotonic_ns(group->clock) - start_ns) / 1e9;
    for (struct ox_append *a = group->head; a != NULL; a = a->next)
        ox__disk_guard_failed(group->node, a->err);
    if (ox__disk_guard_look(group->node, group->reserve_bytes) != OX_OK)
        OX_LOG_WARN("wal", "the free space of the data disk is not known");
}

void
ox__wal_release_job(void *arg)
{
    struct ox_wal_release *rel = arg;
    if (rel->wal_segment != 0)
        rel->wal_err = ox_journal_release(rel->wal, rel->wal_segment, NULL);
    if (rel->outbox_segment != 0)
        rel->outbox_err = ox_journal_release(rel->outbox, rel->outbox_segment, NULL);
}

void
ox__wal_replay_free(void *arg)
{
    struct ox_wal_replay *replay = arg;
    for (uint32_t i = replay->next; i < replay->n; i++)
        ox_parcel_free(replay->parcels[i]);
    free(replay);
}

/* What was accepted under other limits is accepted again: nothing is judged twice. */
static const struct ox_decode_limits replay_limits = {
    .records_max = UINT32_MAX,
    .batch_bytes_max = UINT64_MAX,
    .any_depth_max = 64, /* the decoder's own ceiling */
    .attrs_per_record_max = UINT32_MAX,
    .key_bytes_max = UINT32_MAX,
    .value_bytes_max = UINT32_MAX,
    .text_bytes_max = UINT32_MAX,
    .log_body_bytes_max = UINT32_MAX,
    .events_per_span_max = UINT32_MAX,
    .links_per_span_max = UINT32_MAX,
    .exemplars_per_point_max = UINT32_MAX,
    .buckets_per_point_max = UINT32_MAX,
};

/* The entry's request bytes as a batch, its refused records marked. */
static ox_err
decode_again(struct ox_node *node, uint64_t seq, const struct ox_wal_entry *entry, struct ox_batch *batch,
             struct ox_diag *diag)
{
    /* An account without limit: what was acknowledged must get in whatever the budget says; the actor feeds no more
     * while much is on its way. */
    struct ox_body *body = ox_body_new(entry->body.n, &node->replayed);
    if (body == NULL)
        return OX_E_NOMEM;
    memcpy(body->data, entry->body.p, entry->body.n);
    body->len = entry->body.n;
    ox_err err = ox_otlp_decode(entry->signal, body, &replay_limits, batch, diag);
    ox_body_drop(body);
    batch->tenant = entry->tenant;
    batch->wal_seq = seq;
    batch->received_ns = entry->received_ns;
    return err;
}

ox_err
ox__wal_parcel_of(struct ox_node *node, const struct ox_wal_entry *entry, uint64_t seq,
                  struct ox_parcel **out, struct ox_diag *diag)
{
    struct ox_parcel *parcel = calloc(1, sizeof(*parcel));
    struct ox_tenant *tenant = NULL;
    if (parcel != NULL)
        parcel->batch = ox_batch_new();
    ox_err err = parcel == NULL || parcel->batch == NULL
                     ? OX_E_NOMEM
                     : ox_tenants_get(node->tenants, &entry->tenant, &tenant);
    if (err == OX_OK)
        err = decode_again(node, seq, entry, parcel->batch, diag);
    if (err == OX_OK)
        err = ox_permit_take(node->tenants, tenant, entry->n_records, true, &parcel->permit, diag);
    if (err != OX_OK) {
        ox_parcel_free(parcel);
        return err;
    }
    *out = parcel;
    return OX_OK;
}

ox_err
ox__wal_read_parcel(struct ox_node *node, struct ox_journal *journal, uint64_t seq, bool all,
                    struct ox_buf *payload, struct ox_parcel **out)
{
    struct ox_wal_entry entry;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = ox_journal_read(journal, seq, payload, NULL);
    if (err == OX_OK)
        err = ox_wal_entry_decode(ox_buf_str(payload), &entry, &diag);
    if (err == OX_OK) {
        uint32_t n_records = entry.n_records;
        entry.n_records = all ? n_records : 0;
        err = ox__wal_parcel_of(node, &entry, seq, out, &diag);
        if (err == OX_OK) /* what came back from a backlog once does not go behind what waits there now */
            (*out)->again = entry.origin != OX_WAL_ORIGIN_NONE;
        entry.n_records = n_records;
        ox_wal_entry_fini(&entry);
    }
    if (err != OX_OK)
        OX_LOG_ERROR("wal", "an acknowledged entry cannot be read again", OX_F_U64("wal_seq", seq),
                     OX_F_ERR(err), OX_F_DIAG(&diag));
    return err;
}

static ox_err
read_again(struct ox_wal_replay *replay, uint32_t i, struct ox_buf *payload)
{
    return ox__wal_read_parcel(replay->node, replay->journal, replay->seqs[i], true, payload,
                               &replay->parcels[i]);
}

void
ox__wal_replay_job(void *arg)
{
    struct ox_wal_replay *replay = arg;
    struct ox_buf payload;
    ox_buf_init(&payload);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < replay->n; i++) {
        ox_err err = read_again(replay, i, &payload);
        if (err != OX_OK) {
            replay->parcels[i] = NULL;
            replay->later[i] = ox_err_info(err)->retryable || ox_err_info(err)->class == OX_CLASS_io;
        }
        bytes += payload.len;
        if (bytes >= OX_WAL_REPLAY_BYTES_MAX)
            replay->n = i + 1;
    }
    ox_buf_fini(&payload);
}
