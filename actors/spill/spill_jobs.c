/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/spill/spill_jobs.c - notes, copies and reads of one tenant's backlog.
 *
 * Owns:    the job's argument while it runs.
 * Threads: the spill lane.
 * Bounds:  OX_SPILL_JOB_*; spill.nats_job_time of waiting for a NATS server.
 * Fails:   each item and the job carry their errors; what failed is tried again by the actor.
 * Flow:    actors/spill/divert.c -> here -> actors/spill/backlog.c, runtime/journal.
 */
#include "actors/spill/spill_jobs.h"

#include <stdlib.h>

#include "actors/wal/wal_internal.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/stream.h"

void
ox__spill_job_free(void *arg)
{
    struct ox__spill_job *job = arg;
    for (uint32_t i = 0; i < job->n_items; i++) {
        ox_parcel_free(job->items[i].parcel);
        ox_ranges_fini(&job->items[i].owed);
    }
    while (job->head != NULL) {
        struct ox_append *append = job->head;
        job->head = append->next;
        ox_append_free(append);
    }
    ox_journal_close(job->retired);
    ox_journal_close(job->journal);
    free(job);
}

static ox_err
open_backlog(struct ox__spill_job *job)
{
    if (job->journal != NULL)
        return OX_OK;
    return ox_backlog_open(job->node->disk, job->node->config->data, &job->tenant->id, 0, job->next_seq,
                           &job->journal, &job->diag);
}

/* ---- notes ---- */

static ox_err
write_note(struct ox__spill_job *job)
{
    struct ox_buf bytes;
    uint64_t seq;
    ox_buf_init(&bytes);
    ox_err err = ox_backlog_encode_note(job->consumed, &bytes);
    struct iovec part = {bytes.data, bytes.len};
    if (err == OX_OK)
        err =
            ox_journal_append(job->journal, &part, 1, (int64_t)ox_clock_realtime_ns(job->node->clock), &seq);
    if (err == OX_OK)
        err = ox_journal_commit(job->journal, NULL);
    ox_buf_fini(&bytes);
    /* A segment that cannot be removed now goes with a later note. */
    if (err == OX_OK && ox_backlog_trim(job->journal, job->consumed[OX_WAL_ORIGIN_BACKLOG]) != OX_OK)
        OX_LOG_WARN("spill", "a segment of a backlog cannot be removed",
                    OX_F_STR("tenant", job->tenant->id.name));
    return err;
}

/* ---- copies ---- */

struct copy {
    struct ox_buf head, place; /* lent to the journal until the commit, as is the batch's body */
};

/* The entry's head in the backlog and that of the log entry in it, made anew from the batch. It is not read back from the
 * log: what the log cannot give back (a bad sector) would pin its segment and hold up all that follows. */
static ox_err
encode_head(struct ox_batch *batch, const struct ox_ranges *owed, struct ox_buf *head)
{
    struct ox_str body = {(const char *)batch->body->data, batch->body->len};
    struct ox_wal_entry entry = {.tenant = batch->tenant,
                                 .signal = batch->signal,
                                 .encoding = OX_WAL_OTLP_PROTOBUF,
                                 .received_ns = batch->received_ns,
                                 .request_hash = ox_wal_hash_of(body),
                                 .n_records = batch->n_records,
                                 .body = body};
    ox_err err = ox_backlog_encode_moved(batch->wal_seq, owed, head);
    if (err == OX_OK)
        err = ox_ranges_complement(owed, batch->n_records, &entry.rejected);
    if (err == OX_OK)
        err = ox_wal_entry_encode(&entry, head);
    ox_ranges_fini(&entry.rejected);
    return err;
}

/* Into the stream, when there is one that takes it; *place then stands in the journal for it. */
static bool
publish(struct ox__spill_job *job, struct ox__spill_item *item, struct copy *copy)
{
    struct ox_stream *stream = job->node->stream;
    const struct ox_batch *batch = item->parcel->batch;
    struct ox_str body = {(const char *)batch->body->data, batch->body->len};
    uint64_t seq = 0;
    if (stream == NULL || !ox_stream_ready(stream))
        return false;
    ox_err err = ox_stream_publish(stream, &job->tenant->id, batch->wal_seq, ox_buf_str(&copy->head), body,
                                   &seq, &job->diag);
    if (err == OX_OK)
        err = ox_backlog_encode_streamed(batch->wal_seq, &item->owed, seq,
                                         (uint32_t)(copy->head.len + body.n), &copy->place);
    if (err != OX_OK)
        return false;
    OX_METRIC_ADD_L(OX_M_spill_published, 1, ox_str_of(job->tenant->id.name));
    item->streamed = true;
    return true;
}

static ox_err
copy_one(struct ox__spill_job *job, struct ox__spill_item *item, struct copy *copy)
{
    struct ox_batch *batch = item->parcel->batch;
    ox_err err = ox_batch_owed(batch, &item->owed);
    if (err != OX_OK || item->owed.n == 0)
        return err;
    err = encode_head(batch, &item->owed, &copy->head);
    if (err != OX_OK)
        return err;
    struct iovec parts[2] = {{copy->head.data, copy->head.len}, {batch->body->data, batch->body->len}};
    int n = 2;
    if (publish(job, item, copy)) {
        parts[0] = (struct iovec){copy->place.data, copy->place.len};
        n = 1;
    }
    err = ox_journal_append(job->journal, parts, n, (int64_t)batch->received_ns, &item->seq);
    if (err == OX_OK)
        item->cost = ox_backlog_cost(copy->head.len + batch->body->len);
    return err;
}

/* All in order or, from the first that fails on, none. */
static void
copy_all(struct ox__spill_job *job)
{
    struct copy *copies = calloc(job->n_items, sizeof(*copies));
    ox_err err = copies != NULL ? job->err : OX_E_NOMEM;
    uint64_t durable_seq = 0;
    for (uint32_t i = 0; i < job->n_items; i++) {
        if (err == OX_OK)
            err = copy_one(job, &job->items[i], &copies[i]);
        job->items[i].err = err;
    }
    err = job->journal != NULL ? ox_journal_commit(job->journal, &durable_seq) : job->err;
    for (uint32_t i = 0; i < job->n_items; i++) {
        struct ox__spill_item *item = &job->items[i];
        if (item->err == OX_OK && err != OX_OK && item->seq >= durable_seq)
            item->err = err;
        if (copies != NULL) {
            ox_buf_fini(&copies[i].head);
            ox_buf_fini(&copies[i].place);
        }
    }
    free(copies);
}

/* ---- reading back ---- */

static ox_err
set_ranges(struct ox_append *append, const struct ox_ranges *rejected)
{
    const struct ox_range *r = ox_ranges_at(rejected);
    append->ranges = rejected->n > 0 ? malloc((size_t)rejected->n * 2 * sizeof(*append->ranges)) : NULL;
    if (append->ranges == NULL && rejected->n > 0)
        return OX_E_NOMEM;
    for (uint32_t i = 0; i < rejected->n; i++) {
        append->ranges[2 * i] = r[i].from;
        append->ranges[2 * i + 1] = r[i].to;
    }
    append->n_ranges = rejected->n;
    return OX_OK;
}

/* The copy as a request to the log. What it does not owe counts as refused there: it is no part of that promise. */
static ox_err
append_of(struct ox__spill_job *job, uint64_t seq, const struct ox_backlog_entry *entry,
          struct ox_append **out)
{
    struct ox_wal_entry w;
    struct ox_ranges rejected = {0};
    struct ox_append *append = calloc(1, sizeof(*append));
    if (append == NULL)
        return OX_E_NOMEM;
    ox_err err = ox_wal_entry_decode(entry->payload, &w, &job->diag);
    if (err == OX_OK) {
        const struct ox_range *r = ox_ranges_at(&entry->owed);
        if (r[entry->owed.n - 1].to > w.n_records || strcmp(w.tenant.name, job->tenant->id.name) != 0)
            err = ox_diag_set(&job->diag, OX_E_DECODE, "owed", -1, "it is not what its head says");
        if (err == OX_OK)
            err = ox_ranges_complement(&entry->owed, w.n_records, &rejected);
        if (err == OX_OK)
            err = set_ranges(append, &rejected);
        if (err == OX_OK)
            err = ox__wal_parcel_of(job->node, &w, 0, &append->parcel, &job->diag);
        append->n_records = w.n_records;
        append->hash[0] = w.request_hash.lo;
        append->hash[1] = w.request_hash.hi;
        append->origin = OX_WAL_ORIGIN_BACKLOG;
        append->origin_seq = seq;
        ox_wal_entry_fini(&w);
    }
    ox_ranges_fini(&rejected);
    if (err == OX_OK) {
        append->parcel->again = true;
        *out = append;
        return OX_OK;
    }
    ox_append_free(append);
    return err;
}

static uint64_t
cost_of(const struct ox_journal_entry *info, const struct ox_backlog_entry *entry)
{
    return ox_backlog_cost(entry->kind == OX_BACKLOG_STREAMED ? entry->stream_len : info->len);
}

/* Its bytes are not what was written: what it owed is lost, and the rest goes on. */
static void
lose(struct ox__spill_job *job, const struct ox_journal_entry *info, const struct ox_backlog_entry *entry)
{
    struct ox__spill_lost *lost = &job->lost[job->n_lost++];
    const struct ox_range *r = ox_ranges_at(&entry->owed);
    *lost = (struct ox__spill_lost){.seq = info->seq, .cost = cost_of(info, entry)};
    for (uint32_t i = 0; i < entry->owed.n; i++)
        lost->records += r[i].to - r[i].from;
    OX_LOG_ERROR("spill", "an entry of a backlog cannot be read back and is lost",
                 OX_F_STR("tenant", job->tenant->id.name), OX_F_U64("backlog_seq", info->seq),
                 OX_F_U64("records", lost->records), OX_F_DIAG(&job->diag));
}

/* The entry that a place in the stream stands for, as if it had been in the journal. bytes: keeps what it views. */
static ox_err
fetch(struct ox__spill_job *job, struct ox_backlog_entry *entry, struct ox_buf *bytes)
{
    struct ox_backlog_entry got;
    struct ox_stream *stream = job->node->stream;
    if (stream == NULL)
        return ox_diag_set(&job->diag, OX_E_UNAVAILABLE, "spill.nats_url", -1,
                           "the backlog has entries in the stream of a NATS server; name it again");
    if (!ox_stream_ready(stream))
        return ox_diag_set(&job->diag, OX_E_UNAVAILABLE, "spill.nats_url", -1,
                           "the NATS server does not answer");
    ox_err err = ox_stream_read(stream, entry->stream_seq, bytes, &job->diag);
    if (err == OX_OK)
        err = ox_backlog_entry_decode(ox_buf_str(bytes), &got, &job->diag);
    if (err != OX_OK)
        return err;
    bool same = got.kind == OX_BACKLOG_MOVED && got.wal_seq == entry->wal_seq;
    entry->payload = got.payload;
    ox_backlog_entry_fini(&got);
    return same ? OX_OK
                : ox_diag_set(&job->diag, OX_E_CORRUPT, "stream", -1, "message %llu is another entry",
                              (unsigned long long)entry->stream_seq);
}

/* One entry; OVERLOAD, NOMEM or UNAVAILABLE: later. */
static ox_err
read_one(struct ox__spill_job *job, const struct ox_journal_entry *info, struct ox_str payload)
{
    struct ox_backlog_entry entry;
    struct ox_append *append = NULL;
    struct ox_buf bytes;
    ox_err err = ox_backlog_entry_decode(payload, &entry, &job->diag);
    if (err != OX_OK) /* recovery did not count it either */
        return err == OX_E_NOMEM ? err : OX_OK;
    ox_buf_init(&bytes);
    if (entry.kind != OX_BACKLOG_NOTE) {
        err = entry.kind == OX_BACKLOG_STREAMED ? fetch(job, &entry, &bytes) : OX_OK;
        if (err == OX_OK)
            err = append_of(job, info->seq, &entry, &append);
        if (err == OX_OK) {
            append->origin_cost = cost_of(info, &entry);
            append->origin_stream = entry.stream_seq;
            *job->tail = append;
            job->tail = &append->next;
            job->n_appends++;
            job->n_records += append->n_records;
        } else if (ox_err_info(err)->class != OX_CLASS_busy) {
            lose(job, info, &entry);
            err = OX_OK;
        }
    }
    ox_buf_fini(&bytes);
    ox_backlog_entry_fini(&entry);
    return err;
}

/* The server is slow: what is read already goes on, and other tenants' jobs come in between. */
static bool
waited_enough(const struct ox__spill_job *job)
{
    return job->n_appends > 0 && job->node->stream != NULL && ox_stream_spent(job->node->stream);
}

static ox_err
read_entries(struct ox__spill_job *job)
{
    struct ox_journal_cursor *cursor = ox_journal_cursor_new(job->journal, job->from);
    ox_err err = cursor != NULL ? OX_OK : OX_E_NOMEM;
    uint64_t bytes = 0;
    while (err == OX_OK && job->n_appends + job->n_lost < OX_SPILL_JOB_ENTRIES &&
           bytes < OX_SPILL_JOB_BYTES && job->n_records < job->records_max && !waited_enough(job)) {
        struct ox_journal_entry info;
        struct ox_str payload;
        err = ox_journal_cursor_next(cursor, &info, &payload, &job->diag);
        if (err ==
            OX_E_CORRUPT) { /* said when the journal was opened, or by this read: what it was is not known */
            OX_LOG_ERROR("spill", "a backlog is damaged", OX_F_STR("tenant", job->tenant->id.name),
                         OX_F_DIAG(&job->diag));
            err = OX_OK;
            continue;
        }
        if (err != OX_OK || info.seq > job->upto)
            break;
        if (info.seq <= job->from)
            continue;
        err = read_one(job, &info, payload);
        if (err == OX_OK)
            job->passed = info.seq;
        bytes += info.len;
    }
    ox_journal_cursor_free(cursor);
    job->end = err == OX_E_END;
    return err == OX_E_END ? OX_OK : err;
}

void
ox__spill_job_run(void *arg)
{
    struct ox__spill_job *job = arg;
    ox_diag_clear(&job->diag);
    job->tail = &job->head;
    job->passed = job->from;
    ox_journal_close(job->retired);
    job->retired = NULL;
    if (job->node->stream != NULL)
        ox_stream_begin(job->node->stream);
    job->err = open_backlog(job);
    job->note_err = job->err;
    if (job->err == OX_OK && job->note)
        job->note_err = write_note(job);
    /* Only what a durable note covers; what cannot be removed now goes later. */
    if (job->note_err == OX_OK && job->purge_upto != 0 && job->node->stream != NULL &&
        ox_stream_ready(job->node->stream))
        job->purged = ox_stream_purge(job->node->stream, &job->tenant->id, job->purge_upto) == OX_OK;
    if (job->n_items > 0)
        copy_all(job);
    if (job->err == OX_OK && job->read)
        job->err = read_entries(job);
    if (job->close && job->note_err == OX_OK) {
        ox_journal_close(job->journal);
        job->journal = NULL;
    }
}
