/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_internal.h - what the files of the wal actor share.
 *
 * Owns:    struct ox_wal_state is the actor's; jobs own what they carry while they run on a dirty thread.
 * Threads: state on the actor's turns only; jobs on one dirty thread.
 */
#ifndef OX_WAL_INTERNAL_H
#define OX_WAL_INTERNAL_H

#include "ox/journal.h"
#include "ox/ledger.h"
#include "ox/spine.h"

/* One group commit: what waited when the previous one ended, see wal_group.c. */
struct ox_wal_group {
    struct ox_journal *journal;
    const struct ox_clock *clock;
    struct ox_node *node;
    struct ox_append *head;
    uint32_t n;
    struct ox_append **failed_tail; /* unused outside the job */
    double seconds;
    ox_err err;
};

/* Of the requests in one group; one may overshoot. A disk that syncs this in 20 ms is busy by bytes, not by syncs. */
#define OX_WAL_GROUP_BYTES (4u << 20)
/* Moves the next group from the list of those that wait (in the order of arrival, which each tenant's keep) to a list
 * of its own; returns how many. waiting: steal, what is left stays. */
uint32_t ox__wal_group_take(struct ox_append **waiting, struct ox_append **group);

/* Segments to remove: one of each journal at most. 0 = none. */
struct ox_wal_release {
    struct ox_journal *wal;
    struct ox_journal *outbox;
    uint64_t wal_segment;
    uint64_t outbox_segment;
    ox_err wal_err;
    ox_err outbox_err;
};

/* A handful of old entries read and decoded again. */
#define OX_WAL_REPLAY_MAX       64
#define OX_WAL_REPLAY_BYTES_MAX (8u << 20)  /* of one job's entries; one may overshoot */
#define OX_WAL_REPLAYED_MAX     (32u << 20) /* request bytes on their way again, beyond which no job starts */
struct ox_wal_replay {
    struct ox_journal *journal;
    struct ox_node *node;
    uint64_t seqs[OX_WAL_REPLAY_MAX];
    struct ox_parcel *parcels[OX_WAL_REPLAY_MAX]; /* NULL where the entry could not be read */
    uint32_t n;                                   /* asked for; the job lowers it when the bytes are many */
    uint32_t next;                                /* parcels before it are handed on */
};

/* A look at the data disk. */
struct ox_wal_space {
    struct ox_node *node;
    ox_err err;
};

/* Jobs (dirty threads) and how their arguments are freed. */
void ox__wal_commit_job(void *group);
void ox__wal_group_free(void *group);
void ox__wal_release_job(void *release);
void ox__wal_space_job(void *space);
void ox__wal_replay_job(void *replay);
void ox__wal_replay_free(void *replay);

#endif
