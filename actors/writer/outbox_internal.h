/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_internal.h - what the files of the outbox actor share.
 *
 * Owns:    jobs own what they carry while they run on a dirty thread.
 * Threads: jobs on dirty threads; the rest on the actor's turns.
 */
#ifndef OX_OUTBOX_INTERNAL_H
#define OX_OUTBOX_INTERNAL_H

#include "actors/writer/doubts.h"
#include "actors/writer/rollup.h"
#include "ox/journal.h"
#include "ox/random.h"
#include "ox/spine.h"

struct ox_storage;
struct ox_disk;
struct ox_outbox_split; /* outbox_split.h */

/* "ox-<nonce of the run>-<block id>-<table>": what storage recognises a repeated block by. Made once, when the block is
 * written to the outbox, and read back from there. */
#define OX_OUTBOX_TOKEN_BYTES 64
void ox__outbox_token(uint64_t nonce, uint64_t block_id, enum ox_table table,
                      char out[OX_OUTBOX_TOKEN_BYTES]);

/* One durable block that storage has not confirmed. */
/* Tries of storage that answers, but not what it is asked for: which blocks it has. */
#define OX__OUTBOX_ASK_MAX 5

struct ox_outbound {
    uint64_t block_id;
    uint64_t outbox_seq;
    uint32_t index; /* in the outbox entry */
    enum ox_table table;
    uint32_t rows;
    uint32_t tries;      /* refusals */
    uint32_t unreadable; /* reads that gave damaged bytes */
    bool zstd;
    bool held;     /* bytes are kept in memory, and counted; else they are read for each try */
    bool in_doubt; /* an insert of it failed in this run: it may have happened, or have left its token only */
    bool doubtful; /* once it is stored its rollups are looked at (outbox_verify.c) */
    bool unsure;   /* it counts among those that may be in storage and are not counted yet */
    bool recovered;     /* from the previous run: may be in storage already, as a whole or split */
    uint64_t arrived;   /* recovered: rows of it that storage held at the start */
    bool marked;        /* recovered: a previous run had begun to split it */
    uint32_t uncounted; /* questions that storage answered, but not with a number */
    struct ox_buf bytes;
    char token[OX_OUTBOX_TOKEN_BYTES]; /* known with the bytes */
    struct ox_outbox_split *split;     /* refused for its content and being taken apart; else NULL */
    struct ox_outbound *next;
};
void ox__outbound_free(struct ox_outbound *block);

/* The marker of a split block that is settled: it goes once the block is noted as stored. */
struct ox_outbox_mark {
    char token[OX_OUTBOX_TOKEN_BYTES];
    struct ox_outbox_mark *next;
};

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
    struct ox_outbox_mark *marks; /* of blocks among the stored ones; removed behind a durable note */
    struct ox_disk *disk;
    const char *refused_dir;
    /* Blocks in doubt, those among `stored` included: on disk before the note, or there is none. */
    bool save_doubts;
    struct ox__doubts doubts;
    const char *doubts_path;
    ox_err doubts_err;
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
    unsigned timeout_ms;
    struct ox_journal *journal;
    const char *refused_dir;
    struct ox_outbound *block;
    bool take_apart; /* a refusal is final: the block is split into what storage takes and what it does not */
    uint32_t dropped; /* rows that are kept apart instead of stored */
    bool unread;      /* the journal did not give the block's bytes back: damaged or not there */
    double seconds;
    ox_err err;
    struct ox_diag diag;
};
void ox__outbox_send_free(void *send);
void ox__outbox_send_job(void *send);
/* Keeps the block as a file below refused_dir, the reason and the numbers of its rows concerned beside it, durably. */
OX_MUST_USE ox_err ox__outbox_keep_block(struct ox_outbox_send *send, const char *reason, const char *rows);
/* Whether rows of the table are records of their own (series and exemplars are not), and of which signal. */
bool ox__outbox_is_record(enum ox_table table);
const char *ox__outbox_signal_name(enum ox_table table);

/* outbox_check.c. How many rows of each block storage holds. rows: out, n of them. Blocks. */
OX_MUST_USE ox_err ox__outbox_arrived(struct ox_storage *storage, enum ox_table table, const uint64_t *ids,
                                      size_t n, uint64_t *rows, struct ox_diag *diag);
struct ox_outbox_checked {
    struct ox_outbound *block; /* in its queue; not touched by the job */
    uint64_t block_id;
    enum ox_table table;
    uint32_t rows;
    uint64_t arrived;
    bool marked; /* the previous run had begun to split it */
};
struct ox_outbox_check {
    struct ox_node *node;
    const char *refused_dir;
    struct ox_outbox_checked *items;
    size_t n;
    ox_err err;
    struct ox_diag diag;
};
void ox__outbox_check_free(void *check);
void ox__outbox_check_job(void *check);
/* outbox_mark.c. Removes the marker of a block that is noted as stored. */
void ox__outbox_split_unmark(struct ox_disk *disk, const char *dir, const char *token);

/* outbox_verify.c. A look at the rollups of blocks in doubt. */
#define OX__ROLLUPS_MAX 16
struct ox_outbox_verify {
    struct ox_storage *storage;
    enum ox_table table;
    bool embedded;    /* the engine is ours: parts that cannot be read are mended by others, and waited for */
    uint64_t young_s; /* see rollup.h */
    uint64_t *ids;
    size_t n;
    struct ox__rollup_found found[OX__ROLLUPS_MAX]; /* as in ox_schema_rollups */
    bool looked[OX__ROLLUPS_MAX];
    ox_err err;
    struct ox_diag diag;
};
void ox__outbox_verify_free(void *verify);
void ox__outbox_verify_job(void *verify);

struct ox_outbox_migration {
    struct ox_storage *storage;
    unsigned applied;
    ox_err err;
    struct ox_diag diag;
};
void ox__outbox_migrate_job(void *migration);

/* What a tick of the actor is for. */
enum ox__outbox_tick { TICK_SEND, TICK_NOTE, TICK_COMMIT, TICK_MIGRATE, TICK_CHECK, TICK_PUBLISH };

#define OX__OUTBOX_NOTE_MS  200 /* stored ids gather so long before they cost an fdatasync of their own */
#define OX__OUTBOX_RETRY_MS 100 /* after a want of memory, room or threads */

/* The actor's state: only its turns touch it. */
struct ox__outbox {
    struct ox_node *node;
    const struct ox_config *config; /* in force for this turn */
    struct ox_journal *journal;
    struct ox_lane *lane;
    const char *refused_dir;
    struct ox_random random; /* jitter */
    struct ox_pack *put_head, *put_tail;
    uint32_t n_put;
    bool committing;
    bool warned_full;
    struct ox_outbound *queue_head[OX_TABLE__COUNT], *queue_tail[OX_TABLE__COUNT];
    uint32_t sending[OX_TABLE__COUNT];
    uint32_t sending_all;
    uint64_t blocks, rows; /* not confirmed */
    uint64_t
        unsure[OX_TABLE__COUNT]; /* of these: may be in storage, and are counted before they are let go */
    uint64_t unsure_rows[OX_TABLE__COUNT]; /* of all that ever were */
    uint64_t bytes;                        /* of blocks in memory */
    uint64_t *stored;
    uint32_t n_stored, cap_stored;
    uint32_t noting;              /* ids in the commit that runs */
    struct ox_outbox_mark *marks; /* of blocks among `stored` */
    bool migrated, migrating;
    uint32_t migrate_failures; /* in a row */
    bool checked, checking;    /* what arrived of the previous run's blocks is known */
    uint32_t check_failures;
    uint32_t check_refusals; /* of those: answers of storage itself */
    /* A block that is being split, and how many others of its table were sent since: a bound, so that its parts' tokens
     * stay in the tables' deduplication window. */
    uint64_t splitting[OX_TABLE__COUNT]; /* block id + 1; 0 = none */
    uint32_t beside[OX_TABLE__COUNT];
    /* Blocks whose rollups may be wrong: not stored yet, by table; and stored ones, which stand in the file. */
    const char *doubts_path;
    uint32_t doubtful[OX_TABLE__COUNT];
    struct ox__doubts doubts;
    bool doubts_changed; /* the file says something else, and no commit is under way that writes it */
    bool verifying[OX_TABLE__COUNT];
    uint32_t verify_failures[OX_TABLE__COUNT];
    uint64_t verify_at_ns[OX_TABLE__COUNT];
    /* Each table backs off by itself: a block that storage cannot take must not hold the other tables back. */
    uint32_t failures[OX_TABLE__COUNT]; /* in a row */
    uint64_t retry_at_ns[OX_TABLE__COUNT];
    int next_table; /* who is looked at first */
    uint64_t send_timer, note_timer, commit_timer;
};

/* Shows in node, metrics and log how full the outbox is. */
void ox__outbox_publish(struct ox__outbox *o);
/* A tick `what` after after_ms; none when *timer already runs. timer: NULL or where its reference is kept. */
void ox__outbox_tick(struct ox_actor *self, uint64_t after_ms, int what, uint64_t *timer);

/* outbox_commit.c. Commits what waits; note: also when that is nothing but ids of stored blocks. */
void ox__outbox_commit(struct ox_actor *self, struct ox__outbox *o, bool note);
/* The block is in storage: its id is written down with a later commit. */
void ox__outbox_note(struct ox_actor *self, struct ox__outbox *o, uint64_t block_id);
void ox__on_outbox_put(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg);
void ox__on_outbox_committed(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg);

/* The block may be in storage, and nobody has counted it. */
void ox__outbox_unsure(struct ox__outbox *o, struct ox_outbound *block);
/* Whether this answer of storage is its last word, as one of OX__OUTBOX_ASK_MAX: not when nobody was asked, and not
 * while the embedded engine, which is restarted for it, cannot read what it has; but when that did not help, it is.
 * */
bool ox__outbox_answered(const struct ox_node *node, ox_err err);
/* Whether the engine is the embedded one. */
bool ox__outbox_embedded(const struct ox_node *node);

/* outbox_send.c. block: take. */
void ox__outbox_push(struct ox__outbox *o, struct ox_outbound *block);
/* The first block of the table, which must have one: now the caller's. */
struct ox_outbound *ox__outbox_pop(struct ox__outbox *o, enum ox_table table);
/* Starts as many inserts as may run. */
void ox__outbox_pump(struct ox_actor *self, struct ox__outbox *o);
/* Brings the schema up to date, unless that is done or under way. */
void ox__outbox_migrate(struct ox_actor *self, struct ox__outbox *o);
/* How long to wait after so many failures in a row, and while the endpoint's breaker is open. */
uint64_t ox__outbox_wait_ms(struct ox__outbox *o, uint32_t failures);
void ox__on_outbox_sent(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg);
void ox__on_outbox_migrated(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg);
/* The engine was started anew: what waits for its next try waits no longer. */
void ox__on_engine_up(struct ox_actor *self, struct ox__outbox *o);

/* outbox_check.c. Asks storage what arrived of the previous run's blocks, unless that is known or under way. */
void ox__outbox_check(struct ox_actor *self, struct ox__outbox *o);
void ox__on_outbox_checked(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg);
/* observex_outbox_blocks_checked_total */
void ox__outbox_count_found(enum ox_table table, const char *found);

/* outbox_verify.c. The block may have been sent twice. */
void ox__outbox_doubt(struct ox__outbox *o, struct ox_outbound *block);
/* Those of a previous run that may have been sent. */
void ox__outbox_doubt_recovered(struct ox__outbox *o, const struct ox_outbox_check *check);
/* The block is in storage; before it is noted. */
void ox__outbox_settled(struct ox__outbox *o, struct ox_outbound *block);
void ox__outbox_load_doubts(struct ox__outbox *o);
/* Looks at the rollups of the table's blocks in doubt, when it is time. True: no insert of this table may begin now.
 * again_ns: lowered to when it is time. */
OX_MUST_USE bool ox__outbox_verify(struct ox_actor *self, struct ox__outbox *o, enum ox_table table,
                                   uint64_t now, uint64_t *again_ns);
void ox__on_outbox_verified(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg);

#endif
