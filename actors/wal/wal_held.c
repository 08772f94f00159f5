/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_held.c - records that waited in a tenant's actor for a decision when it crashed: read from the log again.
 *
 * Owns:    one case per crash, with the custody that came with the last words.
 * Threads: the wal actor's turns; reading on a dirty thread, one job at a time.
 * Bounds:  a job's, see OX_WAL_REPLAY_MAX; none is begun while OX_WAL_REPLAYED_MAX bytes are on their way again.
 * Fails:   what cannot be read is tried again TRIES_MAX times, then stays in the log for the next start, which is said.
 * Flow:    tenant -returned-> wal_actor -> here -(dirty thread)-> held_read -> as any parcel to its tenant.
 *
 * An entry may have records that are in nobody's custody: they went on to the writer before the crash. Only the others come
 * again.
 */
#include <stdlib.h>

#include "actors/wal/wal_internal.h"
#include "ox/custody.h"
#include "ox/log.h"

#define RETRY_MS  200
#define TRIES_MAX 20

struct ox__held_case {
    struct ox__held_case *next;
    struct ox_tenant *tenant;
    struct ox_custody *custody;
    uint64_t *seqs; /* still to be read, from `at` on */
    size_t n, at;
};

static void
free_case(struct ox__held_case *c)
{
    ox_custody_free(c->custody);
    free(c->seqs);
    free(c);
}

void
ox__held_fini(struct ox__held *h)
{
    while (h->head != NULL) {
        struct ox__held_case *c = h->head;
        h->head = c->next;
        free_case(c);
    }
}

static void
retry_later(struct ox_actor *self, struct ox__held *h)
{
    if (h->retry == 0 && ox_timer_start(self, RETRY_MS, OX_K_retry, OX__RETRY_HELD, &h->retry) != OX_OK)
        ox_panic("no timer for records that wait to be read again");
}

static void
drop_read(struct ox__held *h)
{
    while (h->head != NULL && h->head->at == h->head->n) {
        struct ox__held_case *c = h->head;
        h->head = c->next;
        free_case(c);
    }
    if (h->head == NULL)
        h->end = &h->head;
}

static void
read_next(struct ox_actor *self, struct ox__held *h, struct ox_node *node)
{
    drop_read(h);
    if (h->reading || h->head == NULL)
        return;
    struct ox__held_case *c = h->head;
    bool room = atomic_load_explicit(&node->replayed.used_bytes, memory_order_relaxed) < OX_WAL_REPLAYED_MAX;
    struct ox_wal_replay *job = room ? calloc(1, sizeof(*job)) : NULL;
    if (job != NULL) {
        job->journal = node->log;
        job->node = node;
        while (job->n < OX_WAL_REPLAY_MAX && c->at + job->n < c->n) {
            job->seqs[job->n] = c->seqs[c->at + job->n];
            job->n++;
        }
        h->reading = ox_dirty_submit(self, NULL, ox__wal_replay_job, job, OX_K_held_read, ox__wal_replay_free,
                                     NULL) == OX_OK;
    }
    if (h->reading)
        return;
    free(job);
    retry_later(self, h);
}

void
ox__held_begin(struct ox_actor *self, struct ox__held *h, struct ox_node *node, struct ox_tenant *tenant,
               struct ox_custody *custody)
{
    struct ox__held_case *c = calloc(1, sizeof(*c));
    size_t n = ox_custody_entries(custody);
    uint64_t *seqs = n > 0 ? malloc(n * sizeof(*seqs)) : NULL;
    if (c == NULL || (n > 0 && seqs == NULL))
        ox_panic("no memory for the records that a crashed actor held");
    atomic_fetch_sub_explicit(&node->sampler_held, ox_custody_records(custody), memory_order_relaxed);
    *c = (struct ox__held_case){.tenant = tenant, .custody = custody, .seqs = seqs, .n = n};
    if (n > 0)
        ox_custody_seqs(custody, seqs);
    if (h->head == NULL)
        h->end = &h->head;
    *h->end = c;
    h->end = &c->next;
    read_next(self, h, node);
}

/* Only what was in custody comes again. */
static void
mark_others(const struct ox__held_case *c, struct ox_batch *batch)
{
    uint32_t rows = ox_encode_rows(batch);
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t ordinal;
        uint8_t *reject = ox_batch_row(batch, i, &ordinal);
        if (*reject == OX_REJECT_NONE && !ox_custody_has(c->custody, batch->wal_seq, ordinal))
            *reject = OX_REJECT_DISPOSED;
    }
}

/* Those that could not be read, for a reason that may pass, stand where the next job begins; how many. */
static size_t
keep_unread(struct ox__held_case *c, const struct ox_wal_replay *job)
{
    size_t end = c->at + job->n, kept = 0;
    for (uint32_t i = job->n; i-- > 0;) {
        if (job->parcels[i] == NULL && job->later[i])
            c->seqs[end - ++kept] = job->seqs[i];
    }
    c->at = end - kept;
    return kept;
}

void
ox__held_read(struct ox_actor *self, struct ox__held *h, struct ox_node *node, struct ox_wal_replay *job)
{
    struct ox__held_case *c = h->head;
    h->reading = false;
    for (uint32_t i = 0; i < job->n; i++) {
        if (job->parcels[i] != NULL)
            mark_others(c, job->parcels[i]->batch);
    }
    size_t unread = keep_unread(c, job);
    h->tries = unread == job->n ? h->tries + 1 : 0;
    if (h->tries > TRIES_MAX) {
        OX_LOG_ERROR("wal",
                     "entries of the log cannot be read; they stay there and the next start tries again",
                     OX_F_U64("entries", unread), OX_F_U64("first_wal_seq", c->seqs[c->at]),
                     OX_F_STR("tenant", c->tenant->id.name));
        c->at += unread;
        h->tries = unread = 0;
    }
    if (unread > 0)
        retry_later(self, h);
    else
        read_next(self, h, node);
}

void
ox__held_retry(struct ox_actor *self, struct ox__held *h, struct ox_node *node)
{
    h->retry = 0;
    read_next(self, h, node);
}
