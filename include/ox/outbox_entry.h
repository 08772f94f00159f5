/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/outbox_entry.h - the payload of one entry of the outbox: blocks with the dispositions they carry
 * out, or the news that blocks are stored.
 *
 * Owns:    a builder owns its header bytes, a decoded entry its arrays; block bytes are always lent.
 * Threads: one owner at a time.
 * Bounds:  OX_OUTBOX_*.
 * Fails:   OX_E_DECODE, OX_E_TRUNCATED, OX_E_UNIMPLEMENTED (newer version or unknown section), OX_E_NOMEM.
 * Flow:    actors/writer appends; restart reads them into the ledger and sends unstored blocks again.
 *          Layout: actors/writer/outbox_entry.c.
 *
 * There is no watermark of what was derived: counts of calls are blocks of the same entry as the spans that they count, so a
 * replay derives exactly what no entry disposes of (docs/architecture.md, Exactly once).
 */
#ifndef OX_OUTBOX_ENTRY_H
#define OX_OUTBOX_ENTRY_H

#include <sys/uio.h>

#include "ox/base.h"
#include "ox/buf.h"

#define OX_OUTBOX_ENTRY_VERSION 1
#define OX_OUTBOX_BLOCKS_MAX    256u
#define OX_OUTBOX_TOKEN_MAX     255u
/* Dispositions and stored ids in one entry: what one block of 100,000 rows can need, and headroom. */
#define OX_OUTBOX_DISPOSITIONS_MAX (1u << 20)
#define OX_OUTBOX_STORED_MAX       (1u << 16)
#define OX_OUTBOX_DECISIONS_MAX    (1u << 20)

enum ox_outbox_kind { OX_OUTBOX_BLOCKS = 1, OX_OUTBOX_STORED = 2 };

enum ox_outbox_compression { OX_OUTBOX_PLAIN = 0, OX_OUTBOX_ZSTD = 1 };

/* What became of records. The names are those of the drop reasons where records do not reach a table. */
enum ox_disposition {
    OX_DISPOSED_STORED = 1,    /* in a block of the same entry */
    OX_DISPOSED_SAMPLED_OUT,   /* by the tenant's own policy */
    OX_DISPOSED_DEAD_LETTERED, /* in the dead-letter file, durable before the entry */
    OX_DISPOSED_SET_ASIDE,     /* kept apart for an operator */
    OX_DISPOSED_REJECTED,      /* refused before the append (the rejected ordinals of the WAL entry) */
    OX_DISPOSED_MOVED,         /* copied durably into a backlog journal */
    OX_DISPOSED__COUNT
};
/* "stored", "sampled_out", ... */
const char *ox_disposition_name(enum ox_disposition how);

struct ox_outbox_block {
    uint16_t table;      /* id of the target table (schema.h) */
    uint8_t compression; /* enum ox_outbox_compression */
    uint64_t partition;  /* the partition that all its rows lie in */
    uint64_t block_id;   /* in every row of it */
    uint32_t rows;
    uint64_t raw_len;    /* Native bytes before compression */
    struct ox_str token; /* insert_deduplication_token */
    struct ox_str bytes; /* Native block, compressed as said */
};

struct ox_outbox_disposition {
    uint64_t wal_seq;
    uint32_t from; /* ordinals [from, to) */
    uint32_t to;
    uint8_t how; /* enum ox_disposition */
};

/* What the sampler decided of a trace of which this entry disposes of spans. Spans that come later go the same way. */
struct ox_outbox_decision {
    uint8_t trace_id[16];
    uint64_t threshold; /* ox/tracestate.h */
    uint8_t kept;       /* 0 or 1 */
    uint8_t winner;     /* enum ox_sampling_winner */
    uint8_t rule;
};

/* Collects one entry. Zeroed and ox_outbox_builder_init before use; reusable after reset. */
struct ox_outbox_builder {
    enum ox_outbox_kind kind;
    struct ox_buf header; /* all bytes but the blocks' */
    struct ox_outbox_part {
        uint64_t header_upto; /* header bytes that come before `bytes` */
        struct ox_str bytes;
    } * parts;
    uint32_t n_parts, cap_parts;
    struct ox_outbox_disposition *dispositions;
    uint32_t n_dispositions, cap_dispositions;
    uint64_t *stored;
    uint32_t n_stored, cap_stored;
    struct ox_buf decided; /* the content of a section DECISIONS */
    uint32_t n_decided;    /* of its last tenant */
    size_t decided_at;     /* where that tenant's number stands */
    uint8_t n_decided_name;
    bool decides;
    struct iovec *iov;
    uint32_t cap_iov;
    bool finished;
};

void ox_outbox_builder_init(struct ox_outbox_builder *b, enum ox_outbox_kind kind);
void ox_outbox_builder_fini(struct ox_outbox_builder *b);
/* Empties for the next entry, keeps memory. */
void ox_outbox_builder_reset(struct ox_outbox_builder *b, enum ox_outbox_kind kind);
/* block: lend; block->bytes stays lent until the entry is written. INVALID: a field out of bounds. */
OX_MUST_USE ox_err ox_outbox_add_block(struct ox_outbox_builder *b, const struct ox_outbox_block *block);
/* Adjacent ranges of one wal_seq and the same fate, added in order, are merged. INVALID: empty or unknown
 * how. */
OX_MUST_USE ox_err ox_outbox_add_disposition(struct ox_outbox_builder *b, uint64_t wal_seq, uint32_t from,
                                             uint32_t to, enum ox_disposition how);
/* tenant: lend; those of one tenant are best added together. INVALID: no name, or more than can be. */
OX_MUST_USE ox_err ox_outbox_add_decision(struct ox_outbox_builder *b, struct ox_str tenant,
                                          const struct ox_outbox_decision *decision);
OX_MUST_USE ox_err ox_outbox_add_stored(struct ox_outbox_builder *b, uint64_t block_id);
/* Ends the entry: *iov (lend, valid until reset or fini) are its parts in order, at most 2 * blocks + 1, for
 * ox_journal_append. *bytes (may be NULL): their sum. INVALID: nothing in it. */
OX_MUST_USE ox_err ox_outbox_builder_finish(struct ox_outbox_builder *b, const struct iovec **iov, int *n_iov,
                                            uint64_t *bytes);

/* A decoded entry: the arrays belong to it, strings are views into the payload. */
struct ox_outbox_entry {
    enum ox_outbox_kind kind;
    struct ox_outbox_block *blocks;
    uint32_t n_blocks;
    struct ox_outbox_disposition *dispositions;
    uint32_t n_dispositions;
    uint64_t *stored;
    uint32_t n_stored;
    struct ox_outbox_decided {
        struct ox_str tenant;
        struct ox_outbox_decision decision;
    } * decisions;
    uint32_t n_decisions;
};

/* Reads a payload, every field checked. On OX_OK call ox_outbox_entry_fini; on failure there is nothing to
 * free. */
OX_MUST_USE ox_err ox_outbox_entry_decode(struct ox_str payload, struct ox_outbox_entry *out,
                                          struct ox_diag *diag);
void ox_outbox_entry_fini(struct ox_outbox_entry *entry);

#endif
