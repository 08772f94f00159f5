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
#include "ox/recent.h"
#include "ox/spine.h"
#include "ox/suspects.h"
#include "ox/wal_entry.h"

struct ox_crashes;

/* One group commit: what waited when the previous one ended, see wal_group.c. */
struct ox_wal_group {
    struct ox_journal *journal;
    const struct ox_clock *clock;
    struct ox_node *node;
    uint64_t reserve_bytes; /* of the data disk */
    struct ox_append *head;
    uint32_t n;
    uint64_t bytes;
    double seconds;
    ox_err err;
};

/* Bytes of the requests in one group, one of which may overshoot; and what they shall cost, see wal_pace.c. */
#define OX_WAL_GROUP_MIN     (256u << 10)
#define OX_WAL_GROUP_FIRST   (1u << 20)
#define OX_WAL_GROUP_MAX     (4u << 20)
#define OX_WAL_GROUP_SECONDS 0.005

/* What group commits cost, as a line over their bytes. Zeroed: nothing known. */
struct ox__wal_pace {
    double sync_s; /* of a group without bytes */
    double mib_s;  /* of each MiB */
    double weight; /* of the past */
    double mean_x, mean_y, var_x, cov_xy;
    uint32_t groups;
};
/* Takes note of a group of so many bytes that took so long. */
void ox__wal_pace_learn(struct ox__wal_pace *pace, uint64_t bytes, double seconds);
/* How many bytes the next one may hold. */
uint64_t ox__wal_pace_bytes(struct ox__wal_pace *pace);

/* Moves the next group, of room > 0 bytes, from the list of those that wait (in the order of arrival, which each tenant's
 * keep) to a list of its own; returns how many. waiting: steal, what is left stays. */
uint32_t ox__wal_group_take(struct ox_append **waiting, uint64_t room, struct ox_append **group);
/* Bytes of the requests in it. */
uint64_t ox__wal_group_bytes(const struct ox_append *group);
/* Of a group that was committed: when one of it that was read back from a backlog could not be logged, those that wait to
 * follow are taken out and fail with it; they are returned, in order. waiting: steal, what is left stays. */
struct ox_append *ox__wal_group_recall(const struct ox_append *group, struct ox_append **waiting);

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
    bool later[OX_WAL_REPLAY_MAX];                /* ...for a reason that may pass */
    uint32_t n;                                   /* asked for; the job lowers it when the bytes are many */
    uint32_t next;                                /* parcels before it are handed on */
};

/* Reads entry seq of the log again, for records that are still owed; blocks. payload: lend, scratch. With `all` the permit is
 * of all its records, otherwise of none, and the caller's to change. */
OX_MUST_USE ox_err ox__wal_read_parcel(struct ox_node *node, struct ox_journal *journal, uint64_t seq,
                                       bool all, struct ox_buf *payload, struct ox_parcel **out);

/* A look at the data disk. */
struct ox_wal_space {
    struct ox_node *node;
    uint64_t reserve_bytes;
    ox_err err;
};

/* ---- wal_replay.c ---- */

struct ox_recovery;
/* The entries that were owed at the start; zeroed = none. */
struct ox__replay {
    struct ox_node *node;
    struct ox_journal *journal;
    uint64_t *seqs; /* to be read, from `at` on; suspects at the end */
    size_t n, at, n_suspects;
    uint64_t alone_since_ns; /* a suspect waits for the pipeline to be empty */
    bool reading;
    size_t round_left; /* entries, suspects apart, that were not tried in this round */
    bool round_read;   /* one of those that were could be read */
    uint32_t tries;    /* rounds in a row in which none could */
};
/* Takes the list out of rec. */
void ox__replay_init(struct ox__replay *r, struct ox_node *node, struct ox_recovery *rec);
void ox__replay_fini(struct ox__replay *r);
/* `wal_replay`: reads what there is room for, or says that all was read. */
void ox__replay_next(struct ox_actor *self, struct ox__replay *r);
/* `wal_replayed`, before its parcels are handed on, and after. Between them goes what the first returned. */
bool ox__replay_read(struct ox__replay *r, const struct ox_wal_replay *job);
void ox__replay_go_on(struct ox_actor *self, struct ox__replay *r, bool rest);

/* ---- wal_held.c: records that waited in a tenant's actor when it crashed ---- */

/* What crashed actors held, entry by entry; zeroed = nothing. */
struct ox__held {
    struct ox__held_case *head, **end;
    bool reading;
    uint64_t retry; /* timer */
    uint32_t tries; /* in a row that read nothing */
};
/* custody: take. */
void ox__held_begin(struct ox_actor *self, struct ox__held *h, struct ox_node *node, struct ox_tenant *tenant,
                    struct ox_custody *custody);
/* Of a job's parcels: those records that were not held are marked; the rest of the job is the caller's. */
void ox__held_read(struct ox_actor *self, struct ox__held *h, struct ox_node *node,
                   struct ox_wal_replay *job);
void ox__held_retry(struct ox_actor *self, struct ox__held *h, struct ox_node *node);
void ox__held_fini(struct ox__held *h);

/* ---- wal_seal.c ---- */

/* Permille of a journal's bound from which on its oldest segment is not kept by the log's newest. */
#define OX_WAL_FILL_SEAL 800
struct ox__wal_seal {
    struct ox_journal *journal;
    uint64_t newest; /* segment, after the seal: an empty one */
    ox_err err;
};
/* Seals the newest segment; *newest: the number of the empty one behind it. END: there is none. The journal's writer. */
OX_MUST_USE ox_err ox__wal_seal_newest(struct ox_journal *j, uint64_t *newest);
/* Whether the log's newest segment is in the way of room, with these fills (permille) of log and outbox. Own turn. */
bool ox__wal_must_seal(const struct ox_ledger *ledger, uint32_t wal_fill, uint32_t outbox_fill);
void ox__wal_seal_job(void *seal);

/* The entry's request as a parcel on its way again, in any case admitted. entry: lend. NOMEM, OVERLOAD, or what was wrong
 * with its bytes. Any thread. */
OX_MUST_USE ox_err ox__wal_parcel_of(struct ox_node *node, const struct ox_wal_entry *entry, uint64_t seq,
                                     struct ox_parcel **out, struct ox_diag *diag);

/* What the diversion (actors/spill/divert.c) asks of the actor that it is part of. */
struct wal;
/* appends: take, a list. Into the next groups, in order. */
void ox__wal_enqueue(struct ox_actor *self, struct wal *w, struct ox_append *appends);
/* The tenant's parcels that wait for its actor, in order; no longer the wal's. */
struct ox_parcel *ox__wal_unpark(struct wal *w, struct ox_tenant *tenant);

/* Jobs (dirty threads) and how their arguments are freed. */
void ox__wal_commit_job(void *group);
void ox__wal_group_free(void *group);
void ox__wal_release_job(void *release);
void ox__wal_space_job(void *space);
void ox__wal_replay_job(void *replay);
void ox__wal_replay_free(void *replay);

/* ---- wal_forward.c ---- */

/* The tenant's actor, or none yet. */
ox_pid ox__tenant_pid(const struct ox_tenant *tenant);
/* Hands the parcel to its tenant's actor as `kind`; false: not now (it is still the caller's). */
bool ox__wal_forward(struct ox_node *node, struct ox_parcel *parcel, uint32_t kind);

/* ---- wal_returned.c, wal_aside.c: tenants whose actor crashed ---- */

#define OX__PARKED_RETRY_MS 5
#define OX__RETRY_RETURNED  100 /* what a `retry` is for, beside those of wal_actor.c */
#define OX__RETRY_HELD      101

struct ox__aside_options {
    struct ox_disk *disk;
    struct ox_journal *journal; /* the log */
    const char *dir;            /* DIR/set-aside */
    struct ox_crashes *crashes; /* for the obituary beside it; NULL = none */
};

/* Zeroed and filled in by the wal actor. */
struct ox__returns {
    struct ox_node *node;
    struct ox_ledger *ledger;
    struct ox_recent *recent;
    struct ox__aside_options options;
    struct ox__case *cases;
    struct ox__aside *asides;
    uint64_t retry; /* timer */
};
void ox__returns_fini(struct ox__returns *r);
/* parcel: take on true: its tenant's entries wait here. */
bool ox__returns_take(struct ox_actor *self, struct ox__returns *r, struct ox_parcel *parcel);
/* The parcels that wait here for the tenant's actor, suspects last: now the caller's. */
struct ox_parcel *ox__returns_give(struct ox__returns *r, struct ox_tenant *tenant);
void ox__on_returned(struct ox_actor *self, struct ox__returns *r, struct ox_msg *msg);
/* The timer: what could not go on is offered again. */
void ox__returns_retry(struct ox_actor *self, struct ox__returns *r);
/* parcel: take. Its entry goes out of the way. */
void ox__aside_begin(struct ox_actor *self, struct ox__returns *r, struct ox_parcel *parcel);
void ox__aside_retry(struct ox_actor *self, struct ox__returns *r);
void ox__on_set_aside_written(struct ox_actor *self, struct ox__returns *r, struct ox_msg *msg);
/* These records are durably disposed of as set aside. */
void ox__aside_disposed(struct ox__returns *r, const struct ox_contributions *rows);
void ox__aside_fini(struct ox__returns *r);

#endif
