/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/spill/divert.c - which tenants' entries go to their backlog, and their way back into the log.
 *
 * Owns:    an account per tenant that ever spilled; parcels that wait to be copied; moves that the outbox does not know.
 * Threads: the wal actor's turns; the journals themselves are used by one job at a time on the spill lane.
 * Bounds:  spill.open_journals open at a time, an account per tenant; parcels by permits; bytes by tenant.backlog_bytes and spill.total_bytes,
 *          which admission reserves before the append; one batch per tenant on its way back.
 * Fails:   what cannot be written or read is tried again every RETRY_MS; a copy is made from what is in memory, so that
 *          bytes that the log cannot give back hold nothing up.
 * Flow:    wal (a parcel whose tenant cannot take it) -> here -(spill lane)-> backlog -outbox_put-> outbox -disposed->
 *          here; backlog -(spill lane)-> here -> the log's next group -> here -> tenant.
 *
 * A tenant is in one of three states:
 *
 *   DIRECT     its parcels go to its actor
 *   DIVERTING  all of them go to its backlog: it is quarantined, or its actor did not take one for PARKED_MAX_MS
 *   DRAINING   its actor takes again. What arrives still goes to the backlog, behind what waits there, and the backlog
 *              comes back in order; when nothing is left the tenant is DIRECT again
 *
 * So a tenant's entries keep their order. Two exceptions, both harmless to the accounts: what was on its way back when
 * the tenant is diverted again goes behind the others, and so does what an actor held when it ended.
 *
 * An entry is read back only when the outbox has noted it as moved (`moving`): else the log would owe it twice.
 */
#include "actors/spill/divert.h"

#include <stdlib.h>

#include "actors/spill/spill_jobs.h"
#include "actors/wal/wal_internal.h"
#include "ox/log.h"
#include "ox/metric.h"

#define TICK_MS       50
#define RETRY_MS      1000
#define OLD_NS        3600000000000u /* an hour in a backlog is worth a warning */
#define PENDING_ITEMS 4096u          /* moves per outbox entry when a start completes them */
#define FILL_MAX      900            /* permille of a journal's bound; below where new requests are refused */

enum state { DIRECT, DIVERTING, DRAINING };

/* Entries that the outbox has yet to note as moved. */
struct moving {
    uint64_t tag;
    uint64_t first_seq; /* in the backlog */
    struct moving *next;
};

struct ox__diverted {
    struct ox_tenant *tenant;
    enum state state;
    struct ox_parcel *head, *tail; /* to be copied, in order */
    struct ox_journal *journal;    /* while no job has it */
    struct ox_backlog_marks marks;
    uint64_t read_upto; /* passed by the last batch that came back whole; at least marks.consumed */
    uint64_t last_seq;
    uint64_t entries, bytes; /* not consumed */
    uint64_t oldest_ns;      /* Unix time: none of them is older */
    bool busy;               /* a job has it */
    uint64_t used_ns;        /* when the last job was given it */
    uint64_t read_empty;     /* up to there nothing was found behind read_upto; 0 = not known */
    bool warned_old;
    uint64_t retry_at_ns;
    uint64_t stream_upto; /* messages up to it came back and are still in the stream; 0 = none */
    bool stream_used;     /* messages may be there that no entry names: all go when nothing waits */
    /* the batch on its way back */
    uint32_t again_left;
    bool again_failed;
    uint64_t again_passed;
    struct ox__spill_lost *lost; /* n_lost of it, in order */
    uint32_t n_lost;
    /* Lost for good: counted when a note says so, for else a start would find, and count, them again. */
    uint64_t lost_records, lost_upto;
    struct moving *moving_head, *moving_tail;
    struct ox__diverted *next;
};

struct ox__divert {
    struct wal *w;
    struct ox_node *node;
    struct ox_journal *log;
    struct ox_lane *lane;
    struct ox__diverted *all;
    struct ox__diverted *turn;                 /* whose jobs are looked at first */
    uint32_t n_active;                         /* not DIRECT */
    uint32_t n_open;                           /* journals, those that jobs have counted */
    struct ox_pack *unsent_head, *unsent_tail; /* moves that the outbox had no room for */
    uint64_t next_tag;
    bool busy;      /* the lane has a job of ours */
    uint64_t timer; /* tick */
};

static void pump(struct ox_actor *self, struct ox__divert *d);

static void
tick_later(struct ox_actor *self, struct ox__divert *d)
{
    if (d->timer == 0 && ox_timer_start(self, TICK_MS, OX_K_spill_tick, 0, &d->timer) != OX_OK)
        ox_panic("no timer for the backlogs");
}

/* ---- accounts ---- */

struct ox__divert *
ox__divert_new(struct wal *w, const struct ox_wal_arg *arg, struct ox_journal *log)
{
    struct ox__divert *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->w = w;
    d->node = arg->node;
    d->lane = arg->spill_lane;
    d->log = log;
    d->next_tag = 1;
    return d;
}

static void
account_free(struct ox__diverted *t)
{
    while (t->head != NULL) {
        struct ox_parcel *p = t->head;
        t->head = p->next;
        ox_parcel_free(p);
    }
    while (t->moving_head != NULL) {
        struct moving *m = t->moving_head;
        t->moving_head = m->next;
        free(m);
    }
    ox_journal_close(t->journal);
    t->tenant->diverted = NULL;
    free(t->lost);
    free(t);
}

void
ox__divert_free(struct ox__divert *d)
{
    if (d == NULL)
        return;
    while (d->all != NULL) {
        struct ox__diverted *t = d->all;
        d->all = t->next;
        account_free(t);
    }
    while (d->unsent_head != NULL) {
        struct ox_pack *pack = d->unsent_head;
        d->unsent_head = pack->next;
        ox_pack_free(pack);
    }
    free(d);
}

static struct ox__diverted *
account_of(struct ox__divert *d, struct ox_tenant *tenant)
{
    if (tenant->diverted == NULL) {
        struct ox__diverted *t = calloc(1, sizeof(*t));
        if (t == NULL)
            ox_panic("no memory for the account of a backlog");
        t->tenant = tenant;
        t->next = d->all;
        d->all = t;
        tenant->diverted = t;
    }
    return tenant->diverted;
}

/* Relaxed: for pages and metrics. */
static void
publish(struct ox__divert *d)
{
    uint64_t entries = 0, oldest = 0, now_ns = ox_realtime_ns();
    for (const struct ox__diverted *t = d->all; t != NULL; t = t->next) {
        entries += t->entries;
        if (t->entries > 0 && (oldest == 0 || t->oldest_ns < oldest))
            oldest = t->oldest_ns;
    }
    atomic_store_explicit(&d->node->spill_tenants, d->n_active, memory_order_relaxed);
    atomic_store_explicit(&d->node->spill_entries, entries, memory_order_relaxed);
    atomic_store_explicit(&d->node->spill_oldest_ns, oldest, memory_order_relaxed);
    ox_metric_set(OX_M_spill_tenants, d->n_active);
    ox_metric_set(OX_M_spill_oldest, oldest != 0 && now_ns > oldest ? (double)(now_ns - oldest) / 1e9 : 0);
}

static void
publish_tenant(const struct ox__diverted *t)
{
    struct ox_str name = ox_str_of(t->tenant->id.name);
    OX_METRIC_SET_L(OX_M_spill_entries, (double)t->entries, name);
    OX_METRIC_SET_L(OX_M_spill_bytes, (double)t->bytes, name);
}

static void
enter(struct ox__divert *d, struct ox__diverted *t, enum state state)
{
    static const char *const texts[] = {"a tenant's backlog is empty: its entries go straight to it again",
                                        "a tenant's entries go to its backlog",
                                        "a tenant's backlog comes back"};
    d->n_active += (state != DIRECT) - (t->state != DIRECT);
    if (t->state == DIRECT)
        atomic_store_explicit(&t->tenant->spilling_since_ns, ox_realtime_ns(), memory_order_relaxed);
    if (state == DIRECT)
        atomic_store_explicit(&t->tenant->spilling_since_ns, 0, memory_order_relaxed);
    t->state = state;
    OX_LOG_AT(state == DIVERTING ? OX_LOG_WARN : OX_LOG_INFO, "spill", texts[state],
              OX_F_STR("tenant", t->tenant->id.name),
              OX_F_STR("why", ox_tenant_quarantined(t->tenant) ? "quarantined" : "its actor is slow"),
              OX_F_U64("entries", t->entries), OX_F_U64("bytes", t->bytes));
    publish(d);
}

/* ---- towards the backlog ---- */

static void
push(struct ox__diverted *t, struct ox_parcel *parcel)
{
    parcel->next = NULL;
    if (t->tail != NULL)
        t->tail->next = parcel;
    else
        t->head = parcel;
    t->tail = parcel;
}

void
ox__divert_begin(struct ox_actor *self, struct ox__divert *d, struct ox_tenant *tenant)
{
    struct ox__diverted *t = account_of(d, tenant);
    if (t->state != DIVERTING)
        enter(d, t, DIVERTING);
    for (struct ox_parcel *p = ox__wal_unpark(d->w, tenant), *next; p != NULL; p = next) {
        next = p->next;
        push(t, p);
    }
    pump(self, d);
}

bool
ox__divert_takes(struct ox_actor *self, struct ox__divert *d, struct ox_parcel *parcel)
{
    struct ox_tenant *tenant = parcel->permit.tenant;
    struct ox__diverted *t = tenant->diverted;
    bool quarantined = ox_tenant_quarantined(tenant);
    if (!quarantined && (t == NULL || t->state == DIRECT || (t->state == DRAINING && parcel->again)))
        return false;
    if (quarantined && (t == NULL || t->state != DIVERTING))
        ox__divert_begin(self, d, tenant);
    push(tenant->diverted, parcel);
    pump(self, d);
    return true;
}

static void
send_moves(struct ox_actor *self, struct ox__divert *d)
{
    while (d->unsent_head != NULL) {
        struct ox_pack *pack = d->unsent_head, *next = pack->next;
        struct ox_msg *msg = ox_msg_new(OX_K_outbox_put, pack, 0, ox_pack_free);
        if (msg == NULL || ox_send(d->node->outbox, &msg) != OX_OK) {
            if (msg != NULL)
                msg->data = NULL;
            ox_msg_free(msg);
            tick_later(self, d);
            return;
        }
        d->unsent_head = next;
    }
    d->unsent_tail = NULL;
}

/* A pack without blocks: the outbox notes, durably, that these records are elsewhere now. */
static struct ox_pack *
move_new(struct ox__divert *d, struct ox__diverted *t, uint64_t first_seq)
{
    struct ox_pack *pack = calloc(1, sizeof(*pack));
    struct moving *m = calloc(1, sizeof(*m));
    if (pack == NULL || m == NULL)
        ox_panic("no memory for the accounts of a backlog");
    *m = (struct moving){.tag = d->next_tag++, .first_seq = first_seq};
    if (t->moving_tail != NULL)
        t->moving_tail->next = m;
    else
        t->moving_head = m;
    t->moving_tail = m;
    pack->how = OX_DISPOSED_MOVED;
    pack->tag = m->tag;
    return pack;
}

static void
move_add(struct ox_pack *pack, uint32_t tenant, uint64_t wal_seq, const struct ox_ranges *owed)
{
    const struct ox_range *r = ox_ranges_at(owed);
    for (uint32_t i = 0; i < owed->n; i++) {
        struct ox_contribution c = {wal_seq, r[i].from, r[i].to, tenant};
        if (ox_contributions_add(&pack->rows, c) != OX_OK)
            ox_panic("no memory for the accounts of a backlog");
        pack->records += r[i].to - r[i].from;
    }
}

static void
move_send(struct ox_actor *self, struct ox__divert *d, struct ox_pack *pack)
{
    pack->next = NULL;
    if (d->unsent_tail != NULL)
        d->unsent_tail->next = pack;
    else
        d->unsent_head = pack;
    d->unsent_tail = pack;
    send_moves(self, d);
}

void
ox__divert_moved(struct ox_actor *self, struct ox__divert *d, const struct ox_disposed *disposed)
{
    struct ox_tenant *tenant = ox_tenants_at(d->node->tenants, disposed->rows.items[0].tenant);
    struct ox__diverted *t = tenant->diverted;
    struct moving **at = &t->moving_head, *before = NULL;
    while (*at != NULL && (*at)->tag != disposed->tag) {
        before = *at;
        at = &(*at)->next;
    }
    OX_ASSERT(*at != NULL);
    struct moving *m = *at;
    *at = m->next;
    if (t->moving_tail == m)
        t->moving_tail = before;
    free(m);
    pump(self, d);
}

/* ---- jobs ---- */

static bool
tenant_takes(const struct ox__divert *d, struct ox_tenant *tenant)
{
    uint64_t queued = atomic_load_explicit(&tenant->records_queued, memory_order_relaxed);
    return !ox_tenant_quarantined(tenant) && tenant->parked == 0 && tenant->returns == NULL &&
           queued < (uint64_t)ox_node_config(d->node)->gateway_records_max / 16;
}

/* What comes back needs room like what is new, and goes behind what a start replays. */
static bool
node_takes(const struct ox__divert *d)
{
    struct ox_node *node = d->node;
    return ox_node_phase(node) == OX_NODE_RUNNING &&
           atomic_load_explicit(&node->replay_done, memory_order_acquire) &&
           atomic_load_explicit(&node->wal_fill, memory_order_relaxed) < FILL_MAX &&
           atomic_load_explicit(&node->outbox_fill, memory_order_relaxed) < FILL_MAX &&
           !atomic_load_explicit(&node->disk_low, memory_order_relaxed) &&
           ox_tenants_has_room(node->tenants) &&
           atomic_load_explicit(&node->replayed.used_bytes, memory_order_relaxed) < OX_WAL_REPLAYED_MAX;
}

/* What the outbox has not noted as moved is not read yet. */
static uint64_t
readable_upto(const struct ox__diverted *t)
{
    return t->moving_head != NULL ? t->moving_head->first_seq - 1 : UINT64_MAX;
}

static bool
wants_read(const struct ox__divert *d, const struct ox__diverted *t)
{
    uint64_t upto = readable_upto(t);
    return t->state == DRAINING && t->entries > 0 && t->again_left == 0 && upto > t->read_upto &&
           upto != t->read_empty && tenant_takes(d, t->tenant) && node_takes(d);
}

static bool
wants_close(const struct ox__diverted *t)
{
    return t->state == DIRECT && t->journal != NULL;
}

static bool
wants_note(const struct ox__diverted *t)
{
    return t->marks.consumed > t->marks.noted;
}

static void
fill_copies(struct ox__diverted *t, struct ox__spill_job *job)
{
    uint64_t bytes = 0;
    while (t->head != NULL && job->n_items < OX_SPILL_JOB_ENTRIES && bytes < OX_SPILL_JOB_BYTES) {
        struct ox_parcel *p = t->head;
        t->head = p->next;
        if (t->head == NULL)
            t->tail = NULL;
        p->next = NULL;
        bytes += p->batch->body->len;
        job->items[job->n_items++].parcel = p;
    }
}

/* A journal that this job shall close, when it opens one and too many are open: that which was not used for longest. */
static struct ox_journal *
retire(struct ox__divert *d, const struct ox__diverted *opening)
{
    struct ox__diverted *oldest = NULL;
    if (opening->journal != NULL || d->n_open < (uint32_t)d->node->config->spill_open_journals)
        return NULL;
    for (struct ox__diverted *t = d->all; t != NULL; t = t->next) {
        if (t->journal != NULL && (oldest == NULL || t->used_ns < oldest->used_ns))
            oldest = t;
    }
    if (oldest == NULL)
        return NULL;
    struct ox_journal *journal = oldest->journal;
    oldest->journal = NULL;
    d->n_open--;
    return journal;
}

/* False: nothing to do for this tenant now. */
static bool
start_job(struct ox_actor *self, struct ox__divert *d, struct ox__diverted *t)
{
    bool read = wants_read(d, t);
    if (t->busy || ox_now_ns() < t->retry_at_ns ||
        (t->head == NULL && !read && !wants_close(t) && !wants_note(t)))
        return false;
    struct ox__spill_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return false; /* the tick asks again */
    job->node = d->node;
    job->tenant = t->tenant;
    job->next_seq = (t->last_seq > t->marks.consumed ? t->last_seq : t->marks.consumed) + 1;
    job->retired = retire(d, t);
    d->n_open += t->journal == NULL;
    job->journal = t->journal;
    t->journal = NULL;
    t->used_ns = ox_now_ns();
    job->consumed[OX_WAL_ORIGIN_BACKLOG] = t->marks.consumed;
    job->note = wants_note(t);
    fill_copies(t, job);
    job->read = read;
    job->from = t->read_upto;
    job->upto = readable_upto(t);
    if (job->n_items > 0 &&
        t->last_seq < job->upto) /* nor what this job copies: the outbox has yet to hear of it */
        job->upto = t->last_seq;
    job->records_max =
        (uint64_t)ox_node_config(d->node)->gateway_records_max / 8; /* half of what may be queued */
    job->close = t->state == DIRECT && job->n_items == 0;
    job->purge_upto = job->close && t->stream_used ? UINT64_MAX : t->stream_upto;
    if (ox_dirty_submit(self, d->lane, ox__spill_job_run, job, OX_K_spill_done, ox__spill_job_free, NULL) !=
        OX_OK)
        ox_panic("the spill lane refused a job"); /* it has a place for us and we are one */
    t->busy = d->busy = true;
    return true;
}

/* One job at a time, tenants in turn. */
static void
pump(struct ox_actor *self, struct ox__divert *d)
{
    if (d->busy || d->all == NULL)
        return;
    struct ox__diverted *first = d->turn != NULL ? d->turn : d->all, *t = first;
    bool later = d->n_active > 0;
    do {
        struct ox__diverted *next = t->next != NULL ? t->next : d->all;
        d->turn = next;
        if (start_job(self, d, t))
            return;
        later |= wants_note(t) || wants_close(t);
        t = next;
    } while (t != first);
    if (later)
        tick_later(self, d);
}

static void
count_copied(struct ox__divert *d, struct ox__diverted *t, const struct ox__spill_item *item,
             uint64_t records)
{
    if (t->entries == 0)
        t->oldest_ns = item->parcel->batch->received_ns;
    t->entries++;
    t->bytes += item->cost;
    t->last_seq = item->seq;
    t->stream_used |= item->streamed;
    t->read_empty = 0;
    ox_err err =
        ox_backlog_take(d->node->tenants, t->tenant, item->cost, true, NULL); /* its reservation goes */
    OX_ASSERT(err == OX_OK);
    OX_METRIC_ADD_L(OX_M_spill_moved, records, ox_str_of(t->tenant->id.name));
}

/* What was copied is the outbox's to note, the rest goes back to the head of the queue. */
static void
settle_copies(struct ox_actor *self, struct ox__divert *d, struct ox__diverted *t, struct ox__spill_job *job)
{
    struct ox_pack *pack = NULL;
    struct ox_parcel *again = NULL, **again_tail = &again;
    ox_err err = OX_OK;
    for (uint32_t i = 0; i < job->n_items; i++) {
        struct ox__spill_item *item = &job->items[i];
        struct ox_parcel *parcel = item->parcel;
        if (item->err != OX_OK) {
            err = item->err;
            *again_tail = parcel;
            again_tail = &parcel->next;
            item->parcel = NULL;
        } else if (item->owed.n > 0) {
            uint64_t before;
            if (pack == NULL)
                pack = move_new(d, t, item->seq);
            before = pack->records;
            move_add(pack, t->tenant->index, parcel->batch->wal_seq, &item->owed);
            count_copied(d, t, item, pack->records - before);
        }
    }
    if (pack != NULL)
        move_send(self, d, pack);
    if (err == OX_OK)
        return;
    *again_tail = t->head;
    t->head = again;
    for (t->tail = again; t->tail->next != NULL;)
        t->tail = t->tail->next;
    t->retry_at_ns = ox_now_ns() + (uint64_t)RETRY_MS * 1000000;
    OX_LOG_ERROR("spill", "a tenant's entries cannot be copied to its backlog; tried again",
                 OX_F_STR("tenant", t->tenant->id.name), OX_F_ERR(err), OX_F_DIAG(&job->diag));
}

static void
drop_entry(struct ox__divert *d, struct ox__diverted *t, uint64_t n, uint64_t cost)
{
    n = n < t->entries ? n : t->entries;
    cost = cost < t->bytes ? cost : t->bytes;
    t->entries -= n;
    t->bytes -= cost;
    ox_backlog_give(d->node->tenants, t->tenant, cost);
}

/* Those of the batch that nobody will look at again. The others are found once more. */
static void
settle_lost(struct ox__divert *d, struct ox__diverted *t)
{
    for (uint32_t i = 0; i < t->n_lost && t->lost[i].seq <= t->marks.consumed; i++) {
        drop_entry(d, t, 1, t->lost[i].cost);
        t->lost_records += t->lost[i].records;
        t->lost_upto = t->lost[i].seq;
    }
    free(t->lost);
    t->lost = NULL;
    t->n_lost = 0;
}

static void
count_lost(struct ox__diverted *t)
{
    if (t->lost_records == 0 || t->lost_upto > t->marks.noted)
        return;
    OX_METRIC_ADD_L(OX_M_ingest_dropped, t->lost_records, ox_str_of(t->tenant->id.name), OX_STR("unknown"),
                    OX_STR("wal_error"));
    t->lost_records = 0;
}

/* Everything that was passed is in the log, was lost, or was no entry. */
static void
batch_done(struct ox__divert *d, struct ox__diverted *t)
{
    if (!t->again_failed)
        ox_backlog_passed(&t->marks, t->again_passed);
    settle_lost(d, t);
    t->read_upto = t->again_failed ? t->marks.consumed : t->again_passed;
    if (t->again_failed)
        t->retry_at_ns = ox_now_ns() + (uint64_t)RETRY_MS * 1000000;
    t->again_failed = false;
}

/* Until the batch is done. */
static void
keep_lost(struct ox__diverted *t, struct ox__spill_job *job)
{
    t->lost = job->n_lost > 0 ? malloc(job->n_lost * sizeof(*t->lost)) : NULL;
    if (t->lost == NULL && job->n_lost > 0)
        ox_panic("no memory for the accounts of a backlog");
    t->n_lost = job->n_lost;
    if (t->n_lost > 0)
        memcpy(t->lost, job->lost, job->n_lost * sizeof(*t->lost));
}

static void
settle_reads(struct ox_actor *self, struct ox__divert *d, struct ox__diverted *t, struct ox__spill_job *job)
{
    if (job->err != OX_OK) {
        t->retry_at_ns = ox_now_ns() + (uint64_t)RETRY_MS * 1000000;
        OX_LOG_ERROR("spill", "a tenant's backlog cannot be read; tried again",
                     OX_F_STR("tenant", t->tenant->id.name), OX_F_ERR(job->err), OX_F_DIAG(&job->diag));
    }
    keep_lost(t, job);
    t->again_left = job->n_appends;
    t->again_passed = job->passed;
    /* Nothing is left, whatever the accounts say: what they miss was damaged. */
    if (job->end && job->upto == UINT64_MAX && job->n_appends == 0 && t->last_seq <= job->passed)
        drop_entry(d, t, t->entries, t->bytes);
    if (job->n_appends == 0) {
        batch_done(d, t);
        t->read_empty = job->err == OX_OK ? job->upto : 0;
    }
    if (job->head != NULL)
        ox__wal_enqueue(self, d->w, job->head);
    job->head = NULL;
}

/* Nothing waits, nothing is under way: the tenant's next entry may pass. */
static void
settle_state(struct ox__divert *d, struct ox__diverted *t)
{
    if (t->state == DIVERTING && !t->busy && tenant_takes(d, t->tenant))
        enter(d, t, DRAINING);
    if (t->state == DRAINING && t->entries == 0 && t->head == NULL && t->moving_head == NULL &&
        t->again_left == 0 && !t->busy)
        enter(d, t, DIRECT);
}

void
ox__on_spill_done(struct ox_actor *self, struct ox__divert *d, struct ox_msg *msg)
{
    struct ox__spill_job *job = msg->data;
    struct ox__diverted *t = job->tenant->diverted;
    t->busy = d->busy = false;
    t->journal = job->journal;
    job->journal = NULL;
    d->n_open -= t->journal == NULL;
    if (job->note && job->note_err == OX_OK) {
        ox_backlog_noted(&t->marks, job->consumed[OX_WAL_ORIGIN_BACKLOG]);
        count_lost(t);
    } else if (job->note_err != OX_OK) {
        t->retry_at_ns = ox_now_ns() + (uint64_t)RETRY_MS * 1000000;
        OX_LOG_ERROR("spill", "a tenant's backlog cannot be written; tried again",
                     OX_F_STR("tenant", t->tenant->id.name), OX_F_ERR(job->note_err), OX_F_DIAG(&job->diag));
    }
    if (job->purged && t->stream_upto <= job->purge_upto)
        t->stream_upto = 0;
    if (job->purged && job->purge_upto == UINT64_MAX)
        t->stream_used = false;
    if (job->n_items > 0)
        settle_copies(self, d, t, job);
    if (job->read)
        settle_reads(self, d, t, job);
    settle_state(d, t);
    publish_tenant(t);
    publish(d);
    pump(self, d);
}

/* ---- back in the log ---- */

void
ox__divert_logged(struct ox_actor *self, struct ox__divert *d, const struct ox_append *append,
                  uint64_t wal_segment)
{
    struct ox__diverted *t = append->parcel->permit.tenant->diverted;
    OX_ASSERT(t != NULL && t->again_left > 0);
    if (append->err != OX_OK) {
        t->again_failed = true;
    } else {
        ox_backlog_consumed(&t->marks, append->origin_seq, wal_segment);
        t->oldest_ns = append->parcel->batch->received_ns;
        if (append->origin_stream > t->stream_upto)
            t->stream_upto = append->origin_stream;
        drop_entry(d, t, 1, append->origin_cost);
        OX_METRIC_ADD_L(OX_M_spill_reinjected, append->n_records - append->parcel->batch->n_rejected,
                        ox_str_of(t->tenant->id.name));
    }
    if (--t->again_left > 0)
        return;
    if (t->again_failed)
        OX_LOG_ERROR("spill", "entries of a backlog cannot be logged again; tried again later",
                     OX_F_STR("tenant", t->tenant->id.name), OX_F_ERR(append->err));
    batch_done(d, t);
    publish_tenant(t);
    tick_later(self, d); /* not at once: the group's parcels are being handed on */
}

uint64_t
ox__divert_pin(const struct ox__divert *d)
{
    uint64_t pin = 0;
    for (const struct ox__diverted *t = d->all; t != NULL; t = t->next) {
        if (t->marks.pin != 0 && (pin == 0 || t->marks.pin < pin))
            pin = t->marks.pin;
    }
    return pin;
}

void
ox__on_quarantine_changed(struct ox_actor *self, struct ox__divert *d, const struct ox_msg *msg)
{
    struct ox_tenant *tenant = ox_tenants_at(d->node->tenants, (uint32_t)msg->num);
    if (tenant == NULL)
        return;
    if (ox_tenant_quarantined(tenant))
        ox__divert_begin(self, d, tenant);
    else if (tenant->diverted != NULL)
        tick_later(self, d);
}

static void
warn_old(struct ox__diverted *t)
{
    uint64_t now_ns = ox_realtime_ns();
    bool old = t->entries > 0 && now_ns > t->oldest_ns && now_ns - t->oldest_ns > OLD_NS;
    if (old && !t->warned_old)
        OX_LOG_WARN("spill", "entries wait in a tenant's backlog for more than an hour",
                    OX_F_STR("tenant", t->tenant->id.name), OX_F_U64("entries", t->entries),
                    OX_F_U64("age_s", (now_ns - t->oldest_ns) / 1000000000),
                    OX_F_STR("why", ox_tenant_quarantined(t->tenant) ? "quarantined" : "its actor is slow"));
    t->warned_old = old;
}

void
ox__on_spill_tick(struct ox_actor *self, struct ox__divert *d)
{
    d->timer = 0;
    send_moves(self, d);
    for (struct ox__diverted *t = d->all; t != NULL; t = t->next) {
        settle_state(d, t);
        warn_old(t);
    }
    publish(d);
    pump(self, d);
}

/* ---- after a start ---- */

/* Copies that the previous run made and the outbox does not know are completed. */
static void
complete_moves(struct ox_actor *self, struct ox__divert *d, struct ox__diverted *t,
               const struct ox_recovered_backlog *b)
{
    struct ox_pack *pack = NULL;
    for (size_t i = 0; i < b->n_pending; i++) {
        if (pack == NULL)
            pack = move_new(d, t, b->pending[i].backlog_seq);
        move_add(pack, t->tenant->index, b->pending[i].wal_seq, &b->pending[i].owed);
        if (pack->rows.n >= PENDING_ITEMS || i + 1 == b->n_pending) {
            move_send(self, d, pack);
            pack = NULL;
        }
    }
    if (b->n_pending > 0)
        OX_LOG_INFO("spill", "copies of the previous run are completed",
                    OX_F_STR("tenant", t->tenant->id.name), OX_F_U64("entries", b->n_pending));
}

static ox_err
take_recovered(struct ox_actor *self, struct ox__divert *d, const struct ox_recovered_backlog *b,
               uint64_t segment)
{
    struct ox_tenant *tenant;
    ox_err err = ox_tenants_get(d->node->tenants, &b->tenant, &tenant);
    if (err != OX_OK)
        return err;
    struct ox__diverted *t = account_of(d, tenant);
    t->marks.consumed = t->read_upto = b->consumed[OX_WAL_ORIGIN_BACKLOG];
    t->marks.noted = b->noted[OX_WAL_ORIGIN_BACKLOG];
    t->marks.pin = wants_note(t) ? segment : 0;
    t->last_seq = b->last_seq;
    t->entries = b->entries;
    t->bytes = b->bytes;
    t->stream_used = b->streamed > 0;
    t->oldest_ns = (uint64_t)b->oldest_ns;
    err = ox_backlog_take(d->node->tenants, tenant, b->bytes, true, NULL);
    if (err == OX_OK && b->entries > 0)
        enter(d, t, ox_tenant_quarantined(tenant) ? DIVERTING : DRAINING);
    complete_moves(self, d, t, b);
    publish_tenant(t);
    return err;
}

ox_err
ox__divert_recovered(struct ox_actor *self, struct ox__divert *d, struct ox_recovery *rec)
{
    struct ox_journal_segment first = {0};
    ox_err err = OX_OK;
    (void)ox_journal_segments(d->log, &first, 1);
    for (size_t i = 0; i < rec->n_backlogs && err == OX_OK; i++)
        err = take_recovered(self, d, &rec->backlogs[i], first.number);
    pump(self, d);
    return err;
}
