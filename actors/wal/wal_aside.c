/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_aside.c - setting log entries aside while the node runs: they crashed their tenant's actor twice.
 *
 * Owns:    their parcels, and with them the permits, until the outbox has disposed of the records.
 * Threads: the wal actor's turns; files are written on a dirty thread.
 * Bounds:  the parcels' permits.
 * Fails:   a full disk, no free thread or a full outbox: tried again until it works; the entry stays owed until then.
 * Flow:    wal_returned.c -> here -(dirty)-> DIR/set-aside -outbox_put-> outbox -disposed-> here.
 *
 * First the files are durable, then the outbox entry that disposes of the records, then they are counted: a crash in
 * between leaves the entry owed and the files to be written again, never a record that is nowhere.
 */
#include <stdlib.h>

#include "actors/wal/set_aside.h"
#include "actors/wal/wal_internal.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/outbox_entry.h"

#define FAILED_WAIT_MS 1000

enum stage { TO_WRITE, WRITING, TO_DISPOSE, DISPOSING };

struct ox__aside {
    struct ox__aside *next;
    struct ox_parcel *parcel;
    enum stage stage;
    uint64_t hash[2]; /* of the request, from TO_DISPOSE on */
    uint64_t not_before_ns;
};

/* The dirty thread's part: owns nothing of the parcel. */
struct aside_job {
    struct ox__aside_options options;
    struct ox_clock const *clock;
    uint64_t seq;
    uint64_t records;
    uint32_t crashes;
    bool doubtful; /* some of its records are stored already, or will be */
    uint64_t hash[2];
    ox_err err;
};

static void
write_job(void *arg)
{
    struct aside_job *job = arg;
    struct ox_set_aside_note note = {.seq = job->seq,
                                     .records = job->records,
                                     .crashes = job->crashes,
                                     .doubtful = job->doubtful,
                                     .time_ns = ox_clock_realtime_ns(job->clock),
                                     .deaths = job->options.crashes};
    job->err =
        ox__set_aside_write(job->options.disk, job->options.journal, job->options.dir, &note, job->hash);
}

/* How many records it owes. *others (may be NULL): some of its entry are accounted for elsewhere, maybe stored. */
static uint64_t
records_of(struct ox_batch *batch, bool *others)
{
    uint32_t rows = ox_encode_rows(batch), ordinal;
    uint64_t n = 0;
    for (uint32_t row = 0; row < rows; row++) {
        uint8_t reject = *ox_batch_row(batch, row, &ordinal);
        n += reject == OX_REJECT_NONE;
        if (reject == OX_REJECT_DISPOSED && others != NULL)
            *others = true;
    }
    return n;
}

static void
write_begin(struct ox_actor *self, struct ox__returns *r, struct ox__aside *a)
{
    struct aside_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return;
    job->options = r->options;
    job->clock = r->node->clock;
    job->seq = a->parcel->batch->wal_seq;
    job->records = records_of(a->parcel->batch, &job->doubtful);
    job->crashes = a->parcel->crashes;
    if (ox_dirty_submit(self, NULL, write_job, job, OX_K_set_aside_written, free, NULL) == OX_OK)
        a->stage = WRITING;
    else
        free(job);
}

/* Of one entry there may be several, with other spans each: then any of those at that stage. */
static struct ox__aside **
find(struct ox__returns *r, uint64_t seq, enum stage stage)
{
    struct ox__aside **at = &r->asides;
    while (*at != NULL && ((*at)->parcel->batch->wal_seq != seq || (*at)->stage != stage))
        at = &(*at)->next;
    return at;
}

/* The records are disposed of, durably: now they are counted, and the permit goes back. */
static void
finish(struct ox__returns *r, struct ox__aside **at)
{
    struct ox__aside *a = *at;
    const struct ox_batch *batch = a->parcel->batch;
    uint64_t records = records_of(a->parcel->batch, NULL);
    *at = a->next;
    OX_METRIC_ADD_L(OX_M_ingest_set_aside, records, ox_str_of(batch->tenant.name),
                    ox_str_of(ox_signal_name(batch->signal)));
    OX_LOG_ERROR("wal", "an entry that crashed its tenant's actor twice is set aside",
                 OX_F_STR("tenant", batch->tenant.name), OX_F_STR("signal", ox_signal_name(batch->signal)),
                 OX_F_U64("wal_seq", batch->wal_seq), OX_F_U64("records", records),
                 OX_F_STR("dir", r->options.dir));
    ox_parcel_free(a->parcel);
    free(a);
}

/* What the parcel owes, as rows of a pack that holds no block. Not all that its entry owes: other spans of it may be with
 * the writer. NOT_FOUND: nothing. */
static ox_err
disposition(struct ox_batch *batch, struct ox_pack **out)
{
    struct ox_ranges owed = {0};
    struct ox_pack *pack = calloc(1, sizeof(*pack));
    ox_err err = pack != NULL ? ox_batch_owed(batch, &owed) : OX_E_NOMEM;
    if (err == OX_OK && owed.n == 0)
        err = OX_E_NOT_FOUND;
    const struct ox_range *range = ox_ranges_at(&owed);
    for (uint32_t i = 0; err == OX_OK && i < owed.n; i++)
        err = ox_contributions_add(
            &pack->rows,
            (struct ox_contribution){.seq = batch->wal_seq, .from = range[i].from, .to = range[i].to});
    ox_ranges_fini(&owed);
    if (err == OX_OK)
        pack->how = OX_DISPOSED_SET_ASIDE;
    else
        ox_pack_free(pack);
    *out = err == OX_OK ? pack : NULL;
    return err;
}

static void
dispose_begin(struct ox__returns *r, struct ox__aside *a)
{
    struct ox_pack *pack;
    ox_err err = disposition(a->parcel->batch, &pack);
    if (err == OX_E_NOT_FOUND)
        finish(r, find(r, a->parcel->batch->wal_seq, TO_DISPOSE));
    if (err != OX_OK)
        return;
    struct ox_msg *msg = ox_msg_new(OX_K_outbox_put, pack, 0, ox_pack_free);
    if (msg == NULL)
        ox_pack_free(pack);
    else if (ox_send(r->node->outbox, &msg) == OX_OK)
        a->stage = DISPOSING;
    ox_msg_free(msg);
}

static void
advance(struct ox_actor *self, struct ox__returns *r, struct ox__aside *a)
{
    if (a->stage == TO_WRITE && ox_now_ns() >= a->not_before_ns)
        write_begin(self, r, a);
    bool later = a->stage == TO_WRITE || a->stage == TO_DISPOSE;
    if (a->stage == TO_DISPOSE)
        dispose_begin(r, a); /* it may be gone after this */
    if (later && r->retry == 0 &&
        ox_timer_start(self, OX__PARKED_RETRY_MS, OX_K_retry, OX__RETRY_RETURNED, &r->retry) != OX_OK)
        ox_panic("no timer for entries to be set aside");
}

void
ox__aside_begin(struct ox_actor *self, struct ox__returns *r, struct ox_parcel *parcel)
{
    struct ox__aside *a = calloc(1, sizeof(*a));
    if (a == NULL)
        ox_panic("no memory to set an entry aside");
    a->parcel = parcel;
    a->next = r->asides;
    r->asides = a;
    advance(self, r, a);
}

void
ox__aside_retry(struct ox_actor *self, struct ox__returns *r)
{
    for (struct ox__aside *a = r->asides, *next; a != NULL; a = next) {
        next = a->next;
        advance(self, r, a);
    }
}

void
ox__on_set_aside_written(struct ox_actor *self, struct ox__returns *r, struct ox_msg *msg)
{
    const struct aside_job *job = msg->data;
    struct ox__aside *a = *find(r, job->seq, WRITING);
    if (a == NULL)
        return;
    if (job->err == OX_OK) {
        memcpy(a->hash, job->hash, sizeof(a->hash));
        a->stage = TO_DISPOSE;
    } else {
        OX_LOG_ERROR("wal", "an entry cannot be set aside; tried again", OX_F_U64("wal_seq", job->seq),
                     OX_F_ERR(job->err));
        a->stage = TO_WRITE;
        a->not_before_ns = ox_now_ns() + (uint64_t)FAILED_WAIT_MS * 1000000;
    }
    advance(self, r, a);
}

/* Its repeat is a new request: what was acknowledged is not stored, and an operator may send it again. Not earlier: until
 * its disposition is durable a crash would replay the entry, and the repeat would be stored beside it. */
static void
forget_recent(struct ox__returns *r, const struct ox__aside *a)
{
    const struct ox_batch *batch = a->parcel->batch;
    ox_recent_drop(r->recent, ox_recent_key_of(&batch->tenant, batch->signal, a->hash[0], a->hash[1]));
}

void
ox__aside_disposed(struct ox__returns *r, const struct ox_contributions *rows)
{
    struct ox__aside **at = find(r, rows->items[0].seq, DISPOSING); /* a pack is one parcel's */
    if (*at == NULL)
        return;
    forget_recent(r, *at);
    finish(r, at);
}

void
ox__aside_fini(struct ox__returns *r)
{
    while (r->asides != NULL) {
        struct ox__aside *a = r->asides;
        r->asides = a->next;
        ox_parcel_free(a->parcel);
        free(a);
    }
}
