/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_replay.c - what the log owed when the node started goes through the pipeline again.
 *
 * Owns:    the list of entries, until each was read or is left for the next start.
 * Threads: the wal actor's turns; reading on a dirty thread, one job at a time.
 * Bounds:  a job's (OX_WAL_REPLAY_MAX); none is begun while OX_WAL_REPLAYED_MAX bytes or many records are on their way.
 * Fails:   what cannot be read for a reason that may pass is tried again, REPLAY_TRIES_MAX rounds at most.
 * Flow:    recovery.c -> here -(dirty thread)-> wal_replayed -> wal_actor.c -> tenants.
 *
 * Entries that were in hand when the node died come last, one by one.
 */
#include <stdlib.h>

#include "actors/wal/wal_internal.h"
#include "ox/log.h"
#include "ox/recovery.h"

#define ALONE_WAIT_MS    10000 /* how long a suspect waits for an empty pipeline */
#define REPLAY_RETRY_MS  20
#define REPLAY_AGAIN_MS  1000 /* before those that could not be read are tried once more */
#define REPLAY_TRIES_MAX 10   /* rounds in which none of them could */

void
ox__replay_init(struct ox__replay *r, struct ox_node *node, struct ox_recovery *rec)
{
    *r = (struct ox__replay){.node = node,
                             .journal = rec->wal,
                             .seqs = rec->replay,
                             .n = rec->n_replay,
                             .n_suspects = rec->n_suspects,
                             .round_left = rec->n_replay - rec->n_suspects};
    rec->replay = NULL;
}

void
ox__replay_fini(struct ox__replay *r)
{
    free(r->seqs);
}

static void
replay_end(struct ox__replay *r)
{
    if (r->n > 0)
        OX_LOG_INFO("wal", "replay is complete", OX_F_U64("entries", r->n));
    free(r->seqs);
    r->seqs = NULL;
    r->n = r->at = 0;
    atomic_store_explicit(&r->node->replay_done, true,
                          memory_order_release); /* pairs with /ready's acquire */
}

/* Little is in flight, in records and in bytes. */
static bool
has_room(const struct ox__replay *r)
{
    return ox_tenants_has_room(r->node->tenants) &&
           atomic_load_explicit(&r->node->replayed.used_bytes, memory_order_relaxed) < OX_WAL_REPLAYED_MAX;
}

/* A suspect goes alone, so that a crash names it for sure; but it does not wait for ever for a pause. */
static bool
is_alone(struct ox__replay *r)
{
    uint64_t now_ns = ox_now_ns();
    if (r->alone_since_ns == 0)
        r->alone_since_ns = now_ns;
    bool idle = ox_tenants_in_flight(r->node->tenants) == 0 &&
                atomic_load_explicit(&r->node->writer_records, memory_order_relaxed) == 0;
    if (!idle && now_ns - r->alone_since_ns < (uint64_t)ALONE_WAIT_MS * 1000000)
        return false;
    r->alone_since_ns = 0;
    return true;
}

/* How many entries the next job may take; 0 = not now. */
static size_t
batch_of(struct ox__replay *r)
{
    size_t left = r->n - r->at;
    if (!has_room(r))
        return 0;
    if (left <= r->n_suspects) /* not before the others are served: should it end this node too, they were */
        return ox_node_phase(r->node) == OX_NODE_RUNNING && is_alone(r) ? 1 : 0;
    return r->round_left < OX_WAL_REPLAY_MAX ? r->round_left : OX_WAL_REPLAY_MAX;
}

void
ox__replay_next(struct ox_actor *self, struct ox__replay *r)
{
    if (r->reading)
        return;
    if (r->at == r->n) {
        replay_end(r);
        return;
    }
    size_t batch = batch_of(r);
    struct ox_wal_replay *job = batch > 0 ? calloc(1, sizeof(*job)) : NULL;
    if (job != NULL) {
        job->journal = r->journal;
        job->node = r->node;
        while (job->n < batch) {
            job->seqs[job->n] = r->seqs[r->at + job->n];
            job->n++;
        }
        r->reading = ox_dirty_submit(self, NULL, ox__wal_replay_job, job, OX_K_wal_replayed,
                                     ox__wal_replay_free, NULL) == OX_OK;
        if (r->reading)
            return;
        free(job);
    }
    uint64_t ref;
    if (ox_timer_start(self, REPLAY_RETRY_MS, OX_K_wal_replay, 0, &ref) != OX_OK)
        ox_panic("no timer for the replay");
}

/* Entries that could not be read for a reason that may pass (memory, a disk that hiccups) go behind all others but the
 * suspects, in the order of the log, and are read again; how many. */
static size_t
read_later(struct ox__replay *r, const struct ox_wal_replay *job)
{
    uint64_t *at = r->seqs + r->at;
    size_t later = 0, left = r->n - r->at;
    for (uint32_t i = 0; i < job->n; i++)
        later += job->parcels[i] == NULL && job->later[i];
    size_t put = job->n - later, behind = left > r->n_suspects + job->n ? left - r->n_suspects - job->n : 0;
    r->at += put;
    if (later == 0)
        return 0;
    memmove(at + put, at + job->n, behind * sizeof(*at));
    put += behind;
    for (uint32_t i = 0; i < job->n; i++) {
        if (job->parcels[i] == NULL && job->later[i])
            at[put++] = job->seqs[i];
    }
    return later;
}

/* Not for ever: a sector that is gone must not keep the node from being ready. */
static void
leave_unread(struct ox__replay *r, size_t n)
{
    OX_LOG_ERROR("wal", "entries of the log cannot be read; they stay there and the next start tries again",
                 OX_F_U64("entries", n), OX_F_U64("first_wal_seq", r->seqs[r->at]));
    r->at += n;
    r->tries = 0;
}

/* After a job: true when everything was tried once more, and what is left shall rest before it is tried again. A suspect
 * is a round of its own. */
static bool
round_is_over(struct ox__replay *r, uint32_t tried, size_t later)
{
    size_t left = r->n - r->at, clean = left > r->n_suspects ? left - r->n_suspects : 0;
    r->round_read |= later < tried;
    r->round_left -= tried < r->round_left ? tried : r->round_left;
    if (r->round_left > 0)
        return false;
    r->tries = r->round_read ? 0 : r->tries + 1;
    r->round_read = false;
    r->round_left = clean;
    if (clean == 0 && later == 0)
        return false;
    if (r->tries <= REPLAY_TRIES_MAX)
        return true;
    leave_unread(r, clean > 0 ? clean : 1);
    r->round_left = 0;
    return false;
}

bool
ox__replay_read(struct ox__replay *r, const struct ox_wal_replay *job)
{
    r->reading = false;
    return round_is_over(r, job->n, read_later(r, job));
}

void
ox__replay_go_on(struct ox_actor *self, struct ox__replay *r, bool rest)
{
    uint64_t ref;
    if (!rest || ox_timer_start(self, REPLAY_AGAIN_MS, OX_K_wal_replay, 0, &ref) != OX_OK)
        ox__replay_next(self, r);
}
