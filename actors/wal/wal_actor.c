/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_actor.c - the write-ahead log's owner: group commits, accounts, release, replay.
 *
 * Owns:    the ledger, requests that wait for a commit, parcels that their tenant could not take yet.
 * Threads: one actor; the journal itself is written on the log's lane, one job at a time.
 * Bounds:  mailbox_msgs_max requests waiting; wal.total_bytes on disk (above 95 % new work is refused).
 * Fails:   each request carries its own error back to the gateway.
 * Flow:    gateway -append-> here -(lane)-> durable -appended-> gateway, -parcel-> tenant, or its backlog
 *          (actors/spill/divert.c);
 *          outbox -disposed, stored-> here -> segments go.
 *
 * Requests gather while a commit runs and form the next group, so the group's size follows the load and the
 * wait is one fdatasync at most. A group that failed is refused as a whole and never tried again: after a
 * failed fdatasync the kernel's word on those bytes is worth nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/spill/divert.h"
#include "actors/wal/wal_internal.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/recent.h"
#include "ox/wal.h"

/* A parcel that its tenant's actor did not take for so long goes to the backlog, with all that follow. Until then it
 * waits here, under its permit: a copy costs two more writes of each record and an fdatasync, which the hiccups of a
 * busy machine (a turn is a fault after a second) are not worth. */
#define PARKED_MAX_MS    1000
#define SAY_REFUSED_NS   10000000000ull
#define RELEASE_RETRY_MS 1000   /* after a removal that failed */
#define KEEP_HOUSE_MS    1000   /* looks for segments to remove when nothing else makes it look */
#define FILL_WARN        800    /* permille */
#define RECENT_MAX       131072 /* keys of requests, of all tenants: 60 s of 2,000 a second */

/* What a retry is for. */
enum { RETRY_PARKED, RETRY_RELEASE, RETRY_COMMIT, RETRY_KEEP_HOUSE };

/* Segments of the outbox that remember decisions of the sampler stay for a while, so that spans that come late go the way
 * of their trace also after a crash. Not when the outbox fills up. */
#define DECIDED_SEGMENTS 64
#define DECIDED_KEEP_MS  60000
#define DECIDED_FILL_MAX 500 /* permille */
struct decided_segment {
    uint64_t segment, until_ns;
};

struct wal {
    struct ox_node *node;
    const struct ox_config *config; /* in force for this turn */
    struct ox_journal *journal;
    struct ox_journal *outbox_journal;
    struct ox_ledger *ledger;
    struct ox_lane *lane;
    /* requests for the next group */
    struct ox_append *waiting_head, *waiting_tail;
    struct ox_recent *recent;
    struct ox_append *joiners; /* repeats of requests that wait for their commit */
    struct ox__wal_pace pace;
    bool committing;
    uint64_t commit_timer; /* requests gather until it fires (wal.commit_interval) */
    bool releasing;
    bool sealing; /* the newest segment */
    bool warned_full;
    uint64_t release_retry; /* timer */
    struct ox__divert *divert;
    /* parcels whose tenant is full, in order */
    struct ox_parcel *parked_head, *parked_tail;
    uint64_t parked_retry;                            /* timer */
    struct ox__returns returns;                       /* tenants whose actor crashed */
    struct ox__held held;                             /* what those held */
    struct decided_segment decided[DECIDED_SEGMENTS]; /* the latest that remember decisions; a ring */
    uint32_t n_decided;
    struct ox__replay replay;
    uint64_t said_refused_ns; /* monotonic; 0 = never */
};

static void note_decided(struct wal *w, uint64_t segment);

/* What the outbox remembers of traces goes to their tenants, whose actors look when they start. */
static ox_err
take_decisions(struct wal *w, struct ox_recovery *rec)
{
    for (size_t i = 0; i < rec->n_decided; i++) {
        struct ox_tenant *tenant;
        ox_err err = ox_tenants_get(w->node->tenants, &rec->decided[i].tenant, &tenant);
        if (err == OX_OK)
            err = ox_tenant_remember(tenant, &rec->decided[i].decision, w->node->boot_nonce);
        if (err == OX_E_NOMEM)
            return err;
        if (err == OX_OK)
            note_decided(w, rec->decided[i].segment);
    }
    return OX_OK;
}

static ox_err
wal_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct wal *w = ox_actor_state(self);
    struct ox_wal_arg *a = arg;
    /* A second incarnation finds its accounts gone: only a restart of the node rebuilds them. */
    if (a->recovered->ledger == NULL)
        return ox_diag_set(diag, OX_E_STATE, "wal", -1, "the accounts of the log end with their actor");
    w->node = a->node;
    w->lane = a->lane;
    w->journal = a->recovered->wal;
    w->outbox_journal = a->recovered->outbox;
    w->ledger = a->recovered->ledger;
    w->node->log = w->journal;
    w->config = ox_node_config(w->node);
    w->divert = ox__divert_new(w, a, w->journal);
    if (w->divert == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, "wal", -1, "no memory for the backlogs");
    w->recent = ox_recent_new(RECENT_MAX, (uint64_t)w->config->gateway_duplicate_window_ms * 1000000);
    if (w->recent == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, "wal", -1, "no memory for the keys of recent requests");
    w->returns = (struct ox__returns){
        .node = a->node,
        .ledger = w->ledger,
        .recent = w->recent,
        .options = {a->node->disk, w->journal, a->set_aside_dir, a->node->crashes},
    };
    for (size_t i = 0; i < a->recovered->n_recent; i++)
        ox_recent_put(w->recent, a->recovered->recent[i], OX_RECENT_DURABLE, ox_now_ns());
    ox_err decided = take_decisions(w, a->recovered);
    free(a->recovered->decided); /* may be many: not kept for the life of the node */
    a->recovered->decided = NULL;
    a->recovered->n_decided = a->recovered->cap_decided = 0;
    if (decided != OX_OK)
        return ox_diag_set(diag, decided, "wal", -1, "no memory for what the sampler has decided");
    a->recovered->ledger = NULL;
    ox__replay_init(&w->replay, w->node, a->recovered);
    uint64_t ref;
    ox_err err = ox__divert_recovered(self, w->divert, a->recovered);
    if (err != OX_OK)
        return ox_diag_set(diag, err, "wal", -1, "the backlogs cannot be taken over: %s", ox_err_text(err));
    err = ox_timer_start(self, 0, OX_K_wal_replay, 0, &ref);
    /* What the previous run settled and did not remove goes now. */
    return err == OX_OK ? ox_timer_start(self, 0, OX_K_retry, RETRY_KEEP_HOUSE, &ref) : err;
}

static void
wal_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct wal *w = ox_actor_state(self);
    while (w->waiting_head != NULL) {
        struct ox_append *a = w->waiting_head;
        w->waiting_head = a->next;
        ox_append_free(a);
    }
    while (w->parked_head != NULL) {
        struct ox_parcel *p = w->parked_head;
        w->parked_head = p->next;
        ox_parcel_free(p);
    }
    while (w->joiners != NULL) {
        struct ox_append *a = w->joiners;
        w->joiners = a->next;
        ox_append_free(a);
    }
    ox__returns_fini(&w->returns);
    ox__held_fini(&w->held);
    ox__replay_fini(&w->replay);
    ox__divert_free(w->divert);
    ox_recent_free(w->recent);
    ox_ledger_free(w->ledger);
}

/* ---- towards the tenants ---- */

static void
park(struct ox_actor *self, struct wal *w, struct ox_parcel *parcel)
{
    parcel->next = NULL;
    if (w->parked_tail != NULL)
        w->parked_tail->next = parcel;
    else
        w->parked_head = parcel;
    w->parked_tail = parcel;
    if (parcel->parked_ns == 0)
        parcel->parked_ns = ox_now_ns();
    parcel->permit.tenant->parked++;
    if (w->parked_retry == 0 &&
        ox_timer_start(self, OX__PARKED_RETRY_MS, OX_K_retry, RETRY_PARKED, &w->parked_retry) != OX_OK)
        ox_panic("no timer for parcels that wait");
}

static bool
waited_too_long(const struct ox_parcel *parcel)
{
    return parcel->parked_ns != 0 && ox_now_ns() - parcel->parked_ns >= (uint64_t)PARKED_MAX_MS * 1000000;
}

/* A tenant's entries keep their order; a full or quarantined tenant holds back nobody but itself. */
static void
deliver(struct ox_actor *self, struct wal *w, struct ox_parcel *parcel)
{
    struct ox_tenant *tenant = parcel->permit.tenant;
    if (ox__divert_takes(self, w->divert, parcel))
        return;
    if (ox__returns_take(self, &w->returns, parcel))
        return;
    if (tenant->parked == 0 && ox__wal_forward(w->node, parcel, OX_K_parcel))
        return;
    if (waited_too_long(parcel)) {
        ox__divert_begin(self, w->divert, tenant);
        if (ox__divert_takes(self, w->divert, parcel))
            return;
    }
    park(self, w, parcel);
}

struct ox_parcel *
ox__wal_unpark(struct wal *w, struct ox_tenant *tenant)
{
    struct ox_parcel *list = w->parked_head, *out = ox__returns_give(&w->returns, tenant), **out_tail = &out;
    if (tenant->parked == 0)
        return out;
    while (*out_tail != NULL)
        out_tail = &(*out_tail)->next;
    w->parked_head = w->parked_tail = NULL;
    while (list != NULL) {
        struct ox_parcel *p = list;
        list = p->next;
        p->next = NULL;
        if (p->permit.tenant == tenant) {
            p->permit.tenant->parked--;
            *out_tail = p;
            out_tail = &p->next;
            continue;
        }
        if (w->parked_tail != NULL)
            w->parked_tail->next = p;
        else
            w->parked_head = p;
        w->parked_tail = p;
    }
    return out;
}

static void
forward_parked(struct ox_actor *self, struct wal *w)
{
    w->parked_retry = 0;
    struct ox_parcel *list = w->parked_head;
    w->parked_head = w->parked_tail = NULL;
    for (struct ox_parcel *p = list; p != NULL; p = p->next)
        p->permit.tenant->parked = 0;
    while (list != NULL) {
        struct ox_parcel *p = list;
        list = p->next;
        deliver(self, w, p);
    }
}

/* ---- append and commit ---- */

/* The gateway hears of its request. Freed here when nobody can hear it any more. */
static void
answer(struct ox_append *append)
{
    struct ox_msg *msg = ox_msg_new(OX_K_appended, append, 0, ox_append_free);
    if (msg == NULL) {
        ox_append_free(append);
        return;
    }
    msg->flags |= OX_MSG_F_CONTROL;
    if (ox_pid_is_none(append->reply_to) || ox_send(append->reply_to, &msg) != OX_OK)
        ox_msg_free(msg);
}

static void
find_waiting_tail(struct wal *w)
{
    w->waiting_tail = w->waiting_head;
    while (w->waiting_tail != NULL && w->waiting_tail->next != NULL)
        w->waiting_tail = w->waiting_tail->next;
}

static void
commit_next(struct ox_actor *self, struct wal *w)
{
    if (w->committing || w->waiting_head == NULL)
        return;
    struct ox_wal_group *group = calloc(1, sizeof(*group));
    if (group == NULL)
        ox_panic("no memory for a group commit");
    group->journal = w->journal;
    group->clock = w->node->clock;
    group->node = w->node;
    group->reserve_bytes = w->config->wal_disk_reserve_bytes;
    group->n = ox__wal_group_take(&w->waiting_head, ox__wal_pace_bytes(&w->pace), &group->head);
    group->bytes = ox__wal_group_bytes(group->head);
    ox_err err = ox_dirty_submit(self, w->lane, ox__wal_commit_job, group, OX_K_wal_committed,
                                 ox__wal_group_free, NULL);
    if (err != OX_OK) /* the lane has one place for us and we are one */
        ox_panic("the log's lane refused a commit: %s", ox_err_text(err));
    find_waiting_tail(w);
    w->committing = true;
}

static struct ox_recent_key
key_of(const struct ox_append *append)
{
    const struct ox_batch *batch = append->parcel->batch;
    return ox_recent_key_of(&batch->tenant, batch->signal, append->hash[0], append->hash[1]);
}

/* A repeat of what is logged already, or about to be: true when it is dealt with here. */
static bool
is_repeat(struct wal *w, struct ox_append *append)
{
    struct ox_recent_key key = key_of(append);
    switch (ox_recent_look(w->recent, key, ox_now_ns())) {
    case OX_RECENT_DURABLE:
        append->duplicate = true;
        answer(append);
        return true;
    case OX_RECENT_PENDING:
        append->next = w->joiners;
        w->joiners = append;
        return true;
    default:
        ox_recent_put(w->recent, key, OX_RECENT_PENDING, ox_now_ns());
        return false;
    }
}

/* Requests that joined others hear what became of those. */
static void
answer_joiners(struct wal *w)
{
    struct ox_append *list = w->joiners;
    w->joiners = NULL;
    while (list != NULL) {
        struct ox_append *append = list;
        list = append->next;
        enum ox_recent_state state = ox_recent_look(w->recent, key_of(append), ox_now_ns());
        if (state == OX_RECENT_PENDING) {
            append->next = w->joiners;
            w->joiners = append;
            continue;
        }
        append->duplicate = true;
        append->err = state == OX_RECENT_DURABLE ? OX_OK : OX_E_IO;
        answer(append);
    }
}

/* wal.ack interval: the client hears at once; its ticket leaves the request, which is committed all the same. */
static void
answer_early(struct ox_append *append)
{
    struct ox_append *early = calloc(1, sizeof(*early));
    if (early == NULL)
        return; /* then it is answered when it is durable */
    early->reply_to = append->reply_to;
    early->ticket = append->ticket;
    append->reply_to = OX_PID_NONE;
    append->ticket = NULL;
    answer(early);
}

/* What was answered early and could not be made durable is lost, and counted. */
static void
count_lost(const struct ox_append *append)
{
    const struct ox_batch *batch = append->parcel->batch;
    if (ox_pid_is_none(append->reply_to) &&
        append->origin == OX_WAL_ORIGIN_NONE) /* a backlog keeps its own */
        OX_METRIC_ADD_L(OX_M_ingest_dropped, append->n_records - batch->n_rejected,
                        ox_str_of(batch->tenant.name), ox_str_of(ox_signal_name(batch->signal)),
                        OX_STR("wal_error"));
}

/* The next group starts now, or when more requests have had time to join it. */
static void
commit_soon(struct ox_actor *self, struct wal *w)
{
    uint64_t wait_ms = (uint64_t)w->config->wal_commit_interval_ms;
    if (wait_ms == 0) {
        commit_next(self, w);
    } else if (!w->committing && w->commit_timer == 0 &&
               ox_timer_start(self, wait_ms, OX_K_retry, RETRY_COMMIT, &w->commit_timer) != OX_OK) {
        w->commit_timer = 0;
        commit_next(self, w);
    }
}

static void
on_append(struct ox_actor *self, struct wal *w, struct ox_msg *msg)
{
    struct ox_append *append = msg->data;
    msg->data = NULL;
    append->next = NULL;
    if (is_repeat(w, append))
        return;
    if (w->config->wal_ack == OX_ACK_INTERVAL)
        answer_early(append);
    ox__wal_enqueue(self, w, append); /* from here on it may be the lane's */
}

void
ox__wal_enqueue(struct ox_actor *self, struct wal *w, struct ox_append *appends)
{
    if (w->waiting_tail != NULL)
        w->waiting_tail->next = appends;
    else
        w->waiting_head = appends;
    for (; appends != NULL; appends = appends->next)
        w->waiting_tail = appends;
    commit_soon(self, w);
}

static void
account_logged(struct wal *w, const struct ox_append *append)
{
    uint64_t segment = ox_journal_segment_of(w->journal, append->seq);
    ox_err err = ox_ledger_entry_logged(w->ledger, append->seq, segment, append->n_records);
    for (uint32_t i = 0; i < append->n_ranges && err == OX_OK; i++)
        err = ox_ledger_disposed(w->ledger, append->seq, append->ranges[2 * i], append->ranges[2 * i + 1],
                                 OX_DISPOSED_REJECTED, 0);
    if (err != OX_OK)
        ox_panic("the accounts refused a log entry: %s", ox_err_text(err));
}

static void
publish_fill(struct wal *w)
{
    struct ox_journal_stats stats;
    ox_journal_stats(w->journal, &stats);
    uint64_t total = w->config->wal_total_bytes;
    uint32_t fill = total != 0 ? (uint32_t)(stats.bytes * 1000 / total) : 0;
    atomic_store_explicit(&w->node->wal_fill, fill, memory_order_relaxed);
    ox_metric_set(OX_M_wal_bytes, (double)stats.bytes);
    ox_metric_set(OX_M_wal_segments, (double)stats.segments);
    ox_metric_set(OX_M_sampler_waiting,
                  (double)atomic_load_explicit(&w->node->sampler_held, memory_order_relaxed));
    bool full = fill >= FILL_WARN;
    if (full && !w->warned_full)
        OX_LOG_WARN("wal", "the log fills up", OX_F_U64("bytes", stats.bytes), OX_F_U64("limit", total));
    w->warned_full = full;
}

/* Rows that are still owed keep their place, all others are marked. */
static void
mark_disposed(struct wal *w, struct ox_batch *batch)
{
    struct ox_ranges missing = {0};
    ox_err err = ox_ledger_missing(w->ledger, batch->wal_seq, &missing);
    batch->n_rejected = 0;
    uint32_t rows = ox_encode_rows(batch);
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t ordinal;
        uint8_t *reject = ox_batch_row(batch, i, &ordinal);
        *reject = err == OX_OK && ox_ranges_has(&missing, ordinal) ? OX_REJECT_NONE : OX_REJECT_DISPOSED;
        batch->n_rejected += *reject != OX_REJECT_NONE;
    }
    ox_ranges_fini(&missing);
}

/* One request of a group: its client hears, its parcel goes on. */
/* Of requests that the log does not take, one in ten seconds is said: the others would fill the log of a node in trouble. */
static void
say_refused(struct wal *w, const struct ox_append *append)
{
    uint64_t now_ns = ox_now_ns();
    if (w->said_refused_ns != 0 && now_ns - w->said_refused_ns < SAY_REFUSED_NS)
        return;
    w->said_refused_ns = now_ns;
    OX_LOG_ERROR("wal", "a request cannot be logged; it is refused, as others may be", OX_F_ERR(append->err),
                 OX_F_DIAG(&append->diag), OX_F_STR("tenant", append->parcel->batch->tenant.name));
}

static void
settle_append(struct ox_actor *self, struct wal *w, struct ox_append *append)
{
    struct ox_parcel *parcel = NULL;
    struct ox_recent_key key = key_of(append);
    if (append->err != OX_OK) {
        say_refused(w, append);
        ox_recent_drop(w->recent, key);
        count_lost(append);
    } else {
        ox_recent_put(w->recent, key, OX_RECENT_DURABLE, ox_now_ns());
        account_logged(w, append);
        parcel = append->parcel;
        append->parcel = NULL;
        parcel->batch->wal_seq = append->seq;
    }
    answer(append);
    if (parcel != NULL)
        deliver(self, w, parcel);
}

/* One that was read back from a backlog. When it could not be logged it is read again: nothing is lost. */
static void
settle_again(struct ox_actor *self, struct wal *w, struct ox_append *append)
{
    struct ox_parcel *parcel = append->parcel;
    if (append->err == OX_OK) {
        account_logged(w, append);
        parcel->batch->wal_seq = append->seq;
        mark_disposed(w, parcel->batch);
    }
    ox__divert_logged(self, w->divert, append, ox_journal_segment_of(w->journal, append->seq));
    if (append->err == OX_OK) {
        append->parcel = NULL;
        deliver(self, w, parcel);
    }
    ox_append_free(append);
}

static void
on_wal_committed(struct ox_actor *self, struct wal *w, struct ox_msg *msg)
{
    struct ox_wal_group *group = msg->data;
    struct ox_append *recalled = ox__wal_group_recall(group->head, &w->waiting_head);
    w->committing = false;
    if (group->err == OX_OK)
        ox__wal_pace_learn(&w->pace, group->bytes, group->seconds);
    find_waiting_tail(w);
    commit_next(self, w); /* the disk works while we account */
    ox_metric_observe(OX_M_wal_write, group->seconds);
    if (group->err != OX_OK)
        OX_LOG_ERROR("wal", "a group commit failed; its requests are refused", OX_F_ERR(group->err),
                     OX_F_U64("requests", group->n));
    while (group->head != NULL) {
        struct ox_append *append = group->head;
        group->head = append->next;
        if (append->origin == OX_WAL_ORIGIN_NONE)
            settle_append(self, w, append);
        else
            settle_again(self, w, append);
    }
    while (recalled != NULL) {
        struct ox_append *append = recalled;
        recalled = append->next;
        settle_again(self, w, append);
    }
    if (w->joiners != NULL)
        answer_joiners(w);
    publish_fill(w);
}

/* ---- release ---- */

static void
note_decided(struct wal *w, uint64_t segment)
{
    uint64_t until_ns = ox_now_ns() + (uint64_t)DECIDED_KEEP_MS * 1000000;
    struct decided_segment *last = &w->decided[(w->n_decided + DECIDED_SEGMENTS - 1) % DECIDED_SEGMENTS];
    if (w->n_decided == 0 || last->segment != segment)
        last = &w->decided[w->n_decided++ % DECIDED_SEGMENTS];
    *last = (struct decided_segment){segment, until_ns};
}

static bool
still_remembers(const struct wal *w, uint64_t segment)
{
    uint64_t now_ns = ox_now_ns();
    if (atomic_load_explicit(&w->node->outbox_fill, memory_order_relaxed) >= DECIDED_FILL_MAX)
        return false;
    for (uint32_t i = 0; i < DECIDED_SEGMENTS; i++) {
        if (w->decided[i].segment == segment && w->decided[i].until_ns > now_ns)
            return true;
    }
    return false;
}

static void
release_next(struct ox_actor *self, struct wal *w)
{
    uint64_t wal_segment = 0, outbox_segment = 0;
    if (w->releasing || w->release_retry != 0)
        return;
    uint64_t pin = ox__divert_pin(w->divert);
    bool wal = ox_ledger_wal_releasable(w->ledger, &wal_segment) && (pin == 0 || wal_segment < pin);
    bool outbox =
        ox_ledger_outbox_releasable(w->ledger, &outbox_segment) && !still_remembers(w, outbox_segment);
    if (!wal && !outbox)
        return;
    struct ox_wal_release *rel = calloc(1, sizeof(*rel));
    if (rel == NULL)
        return; /* asked again when the house is kept */
    *rel = (struct ox_wal_release){.wal = w->journal,
                                   .outbox = w->outbox_journal,
                                   .wal_segment = wal ? wal_segment : 0,
                                   .outbox_segment = outbox ? outbox_segment : 0};
    if (ox_dirty_submit(self, NULL, ox__wal_release_job, rel, OX_K_wal_released, free, NULL) != OX_OK) {
        free(rel);
        return;
    }
    w->releasing = true;
}

static void
on_wal_released(struct ox_actor *self, struct wal *w, struct ox_msg *msg)
{
    const struct ox_wal_release *rel = msg->data;
    w->releasing = false;
    if (rel->wal_segment != 0 && rel->wal_err == OX_OK)
        ox_ledger_wal_gone(w->ledger, rel->wal_segment);
    if (rel->outbox_segment != 0 && rel->outbox_err == OX_OK)
        ox_ledger_outbox_gone(w->ledger, rel->outbox_segment);
    if (rel->wal_err != OX_OK || rel->outbox_err != OX_OK) {
        OX_LOG_ERROR("wal", "a journal segment cannot be removed", OX_F_U64("wal_segment", rel->wal_segment),
                     OX_F_U64("outbox_segment", rel->outbox_segment),
                     OX_F_ERR(rel->wal_err != OX_OK ? rel->wal_err : rel->outbox_err));
        if (ox_timer_start(self, RELEASE_RETRY_MS, OX_K_retry, RETRY_RELEASE, &w->release_retry) != OX_OK)
            w->release_retry = 0;
    }
    publish_fill(w);
    release_next(self, w);
}

/* The log's newest segment must not be what keeps full journals full. */
static void
seal_if_in_the_way(struct ox_actor *self, struct wal *w)
{
    uint32_t wal = atomic_load_explicit(&w->node->wal_fill, memory_order_relaxed);
    uint32_t outbox = atomic_load_explicit(&w->node->outbox_fill, memory_order_relaxed);
    if (w->sealing || !ox__wal_must_seal(w->ledger, wal, outbox))
        return;
    struct ox__wal_seal *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return; /* looked at again when the house is kept */
    job->journal = w->journal;
    w->sealing = ox_dirty_submit(self, w->lane, ox__wal_seal_job, job, OX_K_wal_sealed, free, NULL) == OX_OK;
    if (!w->sealing)
        free(job);
}

static void
on_wal_sealed(struct ox_actor *self, struct wal *w, struct ox_msg *msg)
{
    const struct ox__wal_seal *job = msg->data;
    w->sealing = false;
    if (job->err == OX_OK)
        ox_ledger_wal_sealed_below(w->ledger, job->newest);
    else
        OX_LOG_WARN("wal", "a journal is full and the log's segment cannot be sealed", OX_F_ERR(job->err));
    release_next(self, w);
}

/* Here and not where it was decided: a decision that a crash forgets is taken again. */
static void
count_sampled_out(struct wal *w, const struct ox_contribution *c)
{
    const struct ox_tenant *tenant = ox_tenants_at(w->node->tenants, c->tenant);
    OX_METRIC_ADD_L(OX_M_ingest_dropped, c->to - c->from, ox_str_of(tenant->id.name),
                    ox_str_of(ox_signal_name(OX_SIGNAL_TRACES)), OX_STR("sampled_out"));
}

static void
on_disposed(struct ox_actor *self, struct wal *w, struct ox_msg *msg)
{
    const struct ox_disposed *d = msg->data;
    for (uint32_t i = 0; i < d->n_blocks; i++) {
        ox_err err = ox_ledger_block_appended(w->ledger, d->block_ids[i], d->outbox_segment);
        if (err != OX_OK)
            ox_panic("the accounts refused a block: %s", ox_err_text(err));
    }
    for (size_t i = 0; i < d->rows.n; i++) {
        const struct ox_contribution *c = &d->rows.items[i];
        enum ox_disposition how = c->how != 0 ? c->how : d->how;
        ox_err err = ox_ledger_disposed(w->ledger, c->seq, c->from, c->to, how, d->outbox_segment);
        if (err != OX_OK)
            ox_panic("records %u..%u of log entry %llu are accounted for twice: %s", c->from, c->to,
                     (unsigned long long)c->seq, ox_err_text(err));
        if (how == OX_DISPOSED_SAMPLED_OUT)
            count_sampled_out(w, c);
    }
    if (d->decides)
        note_decided(w, d->outbox_segment);
    if (d->how == OX_DISPOSED_SET_ASIDE)
        ox__aside_disposed(&w->returns, &d->rows);
    if (d->how == OX_DISPOSED_MOVED)
        ox__divert_moved(self, w->divert, d);
    release_next(self, w);
}

static void
on_stored(struct ox_actor *self, struct wal *w, struct ox_msg *msg)
{
    const struct ox_stored *s = msg->data;
    ox_err err = s->outbox_segment != 0 ? ox_ledger_outbox_seen(w->ledger, s->outbox_segment) : OX_OK;
    for (uint32_t i = 0; i < s->n && (err == OX_OK || err == OX_E_NOT_FOUND); i++)
        err = ox_ledger_block_stored(w->ledger, s->block_ids[i]);
    if (err != OX_OK && err != OX_E_NOT_FOUND)
        ox_panic("the accounts refused the news of a stored block: %s", ox_err_text(err));
    release_next(self, w);
}

/* ---- replay ---- */

static void
on_wal_replayed(struct ox_actor *self, struct wal *w, struct ox_msg *msg)
{
    struct ox_wal_replay *job = msg->data;
    bool rest = ox__replay_read(&w->replay, job);
    while (job->next < job->n) {
        struct ox_parcel *parcel = job->parcels[job->next++];
        if (parcel == NULL) /* said in the log; its records stay owed, so the segment stays */
            continue;
        mark_disposed(w, parcel->batch);
        deliver(self, w, parcel);
    }
    ox__replay_go_on(self, &w->replay, rest);
}

/* Space comes back while no commit would notice. A full queue of dirty threads is asked again in a second. */
static void
look_at_disk(struct ox_actor *self, struct wal *w)
{
    struct ox_wal_space *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return;
    job->node = w->node;
    job->reserve_bytes = w->config->wal_disk_reserve_bytes;
    if (ox_dirty_submit(self, NULL, ox__wal_space_job, job, OX_K_wal_space, free, NULL) != OX_OK)
        free(job);
}

static void
on_configure(struct wal *w, struct ox_msg *msg)
{
    w->config = ox_node_config(w->node);
    ox_recent_window(w->recent, (uint64_t)w->config->gateway_duplicate_window_ms * 1000000);
    publish_fill(w);
    ox_reply_num(ox_call_from(msg), OX_K_configured, OX_OK, msg->num);
}

static void
on_retry(struct ox_actor *self, struct wal *w, uint64_t what)
{
    uint64_t ref;
    switch (what) {
    case OX__RETRY_RETURNED:
        ox__returns_retry(self, &w->returns);
        break;
    case OX__RETRY_HELD:
        ox__held_retry(self, &w->held, w->node);
        break;
    case RETRY_PARKED:
        forward_parked(self, w);
        break;
    case RETRY_COMMIT:
        w->commit_timer = 0;
        commit_next(self, w);
        break;
    case RETRY_RELEASE:
        w->release_retry = 0;
        release_next(self, w);
        break;
    default:
        publish_fill(w);
        seal_if_in_the_way(self, w);
        release_next(self, w);
        look_at_disk(self, w);
        if (ox_timer_start(self, KEEP_HOUSE_MS, OX_K_retry, RETRY_KEEP_HOUSE, &ref) != OX_OK)
            ox_panic("no timer to keep house");
    }
}

/* Of a quarantined tenant everything goes to its backlog, also what comes back late. */
static void
on_returned(struct ox_actor *self, struct wal *w, struct ox_msg *msg)
{
    struct ox_returned *ret = msg->data;
    struct ox_tenant *tenant = ret->tenant;
    struct ox_custody *held = ret->held;
    ret->held = NULL;
    ox__on_returned(self, &w->returns, msg);
    if (held != NULL)
        ox__held_begin(self, &w->held, w->node, tenant, held);
    if (ox_tenant_quarantined(tenant))
        ox__divert_begin(self, w->divert, tenant);
}

static void
on_held_read(struct ox_actor *self, struct wal *w, struct ox_msg *msg)
{
    struct ox_wal_replay *job = msg->data;
    ox__held_read(self, &w->held, w->node, job);
    while (job->next < job->n) {
        struct ox_parcel *parcel = job->parcels[job->next++];
        if (parcel != NULL)
            deliver(self, w, parcel);
    }
}

static void
wal_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct wal *w = ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_append:
        on_append(self, w, msg);
        break;
    case OX_K_wal_committed:
        on_wal_committed(self, w, msg);
        break;
    case OX_K_disposed:
        on_disposed(self, w, msg);
        break;
    case OX_K_stored:
        on_stored(self, w, msg);
        break;
    case OX_K_wal_sealed:
        on_wal_sealed(self, w, msg);
        break;
    case OX_K_wal_released:
        on_wal_released(self, w, msg);
        break;
    case OX_K_wal_replay:
        ox__replay_next(self, &w->replay);
        break;
    case OX_K_wal_replayed:
        on_wal_replayed(self, w, msg);
        break;
    case OX_K_returned:
        on_returned(self, w, msg);
        break;
    case OX_K_held_read:
        on_held_read(self, w, msg);
        break;
    case OX_K_set_aside_written:
        ox__on_set_aside_written(self, &w->returns, msg);
        break;
    case OX_K_quarantine_changed:
        ox__on_quarantine_changed(self, w->divert, msg);
        break;
    case OX_K_spill_done:
        ox__on_spill_done(self, w->divert, msg);
        release_next(self, w); /* a note may have let a segment go */
        break;
    case OX_K_spill_tick:
        ox__on_spill_tick(self, w->divert);
        break;
    case OX_K_configure:
        on_configure(w, msg);
        break;
    case OX_K_wal_space: /* the job has published what it saw */
        break;
    case OX_K_retry:
        on_retry(self, w, msg->num);
        break;
    default:
        OX_LOG_WARN("wal", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

const struct ox_actor_class ox_wal_class = {
    .name = "wal",
    .state_size = sizeof(struct wal),
    .on_start = wal_start,
    .on_message = wal_message,
    .on_stop = wal_stop,
    .mailbox_msgs_max = 65536, /* requests are bounded by permits; this is only the ceiling of last resort */
    .control_msgs_max = 65536, /* one per block and one per note of stored blocks */
    .mailbox_bytes_max = 1u << 30, /* bodies are charged to their own account */
};
