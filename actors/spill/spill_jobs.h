/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/spill/spill_jobs.h - what is done to one tenant's backlog on the spill lane.
 *
 * Owns:    a job owns what it carries while it runs.
 * Threads: the spill lane, one job at a time; the journal belongs to the job meanwhile.
 */
#ifndef OX_SPILL_JOBS_H
#define OX_SPILL_JOBS_H

#include "ox/backlog.h"
#include "ox/spine.h"

/* Entries and bytes of one job: some milliseconds of disk, and little memory beside what the parcels hold anyway. One
 * entry may overshoot. */
#define OX_SPILL_JOB_ENTRIES 128u
#define OX_SPILL_JOB_BYTES   (8u << 20)

/* One parcel to be copied, and what became of it. */
struct ox__spill_item {
    struct ox_parcel *parcel;
    struct ox_ranges owed;
    uint64_t seq; /* in the backlog; 0 = nothing of it is owed */
    uint64_t cost;
    bool streamed; /* its bytes are in the stream */
    ox_err err;
};

/* An entry that cannot be read back. */
struct ox__spill_lost {
    uint64_t seq;
    uint64_t records;
    uint64_t cost;
};

struct ox__spill_job {
    struct ox_node *node;
    struct ox_tenant *tenant;
    struct ox_journal *journal; /* opened when NULL; goes back to the tenant's account */
    struct ox_journal *retired; /* another tenant's, to be closed first; NULL = none */
    uint64_t next_seq;          /* for the opening: no sequence below it is given out */
    uint64_t consumed[OX_WAL_ORIGIN__COUNT];
    bool note;  /* write down `consumed` first */
    bool close; /* in the end */
    /* Messages of the stream that are not needed any more once the note is durable: up to this; 0 = none. */
    uint64_t purge_upto;
    bool purged;
    /* copy */
    struct ox__spill_item items[OX_SPILL_JOB_ENTRIES];
    uint32_t n_items;
    /* read: entries behind `from` up to `upto` */
    bool read;
    uint64_t from, upto;
    uint64_t records_max;           /* what the tenant's actor has room for; one entry may overshoot */
    struct ox_append *head, **tail; /* to be logged again, in order */
    uint32_t n_appends;
    uint64_t n_records;
    struct ox__spill_lost lost[OX_SPILL_JOB_ENTRIES]; /* likewise; the actor counts them */
    uint32_t n_lost;
    bool end;        /* nothing is behind what was read */
    uint64_t passed; /* everything up to it is in `head`, lost, or no entry */
    /* outcome */
    ox_err note_err;
    ox_err err; /* of opening and reading; items have their own */
    struct ox_diag diag;
};

void ox__spill_job_run(void *job);
void ox__spill_job_free(void *job);

#endif
