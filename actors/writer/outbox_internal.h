/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_internal.h - what the files of the outbox actor share.
 *
 * Owns:    jobs own what they carry while they run on a dirty thread.
 * Threads: jobs on dirty threads; the rest on the actor's turns.
 */
#ifndef OX_OUTBOX_INTERNAL_H
#define OX_OUTBOX_INTERNAL_H

#include "ox/journal.h"
#include "ox/spine.h"

struct ox_storage;

/* "ox-<nonce of the run>-<block id>-<table>": what storage recognises a repeated block by. Made once, when the block is
 * written to the outbox, and read back from there. */
#define OX_OUTBOX_TOKEN_BYTES 64
void ox__outbox_token(uint64_t nonce, uint64_t block_id, enum ox_table table,
                      char out[OX_OUTBOX_TOKEN_BYTES]);

/* One durable block that storage has not confirmed. */
struct ox_outbound {
    uint64_t block_id;
    uint64_t outbox_seq;
    uint32_t index; /* in the outbox entry */
    enum ox_table table;
    uint32_t rows;
    uint32_t tries;      /* refusals */
    uint32_t unreadable; /* reads that gave damaged bytes */
    bool zstd;
    bool held; /* bytes are kept in memory, and counted; else they are read for each try */
    struct ox_buf bytes;
    char token[OX_OUTBOX_TOKEN_BYTES]; /* known with the bytes */
    struct ox_outbound *next;
};
void ox__outbound_free(struct ox_outbound *block);

/* Blocks and notes that become durable together. */
struct ox_outbox_group {
    struct ox_journal *journal;
    const struct ox_clock *clock;
    uint64_t nonce;
    struct ox_pack *packs; /* each carries its own err */
    uint32_t n_packs;
    uint64_t *seqs;   /* of each pack's entry */
    uint64_t *stored; /* ids to note as stored */
    uint32_t n_stored;
    uint64_t stored_seq;
    ox_err stored_err;
    double seconds;
    ox_err err;
};
void ox__outbox_group_free(void *group);
/* Appends one entry per pack and one for the stored ids, then commits. What failed may be tried again: a refused
 * entry is gone for good as soon as a later one is durable (ox/journal.h). */
void ox__outbox_commit_job(void *group);

/* One insert. */
struct ox_outbox_send {
    struct ox_node *node;
    struct ox_journal *journal;
    const char *refused_dir;
    struct ox_outbound *block;
    bool give_up; /* a refusal is final: keep the block apart */
    bool unread;  /* the journal did not give the block's bytes back: damaged or not there */
    double seconds;
    ox_err err;
    struct ox_diag diag;
};
void ox__outbox_send_free(void *send);
void ox__outbox_send_job(void *send);

struct ox_outbox_migration {
    struct ox_storage *storage;
    unsigned applied;
    ox_err err;
    struct ox_diag diag;
};
void ox__outbox_migrate_job(void *migration);

#endif
