/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/parts.h - parts of ClickHouse's tables: which cannot be read, and which a start of the engine set aside.
 *
 * Owns:    nothing.
 * Threads: dirty threads: every function but ox_part_of_text blocks.
 * Bounds:  OX_PARTS_MAX parts at a time.
 * Fails:   those of ox_storage_query.
 *
 * When the disk refuses writes, ClickHouse may name a part all the same whose files are empty or short, inserted or
 * merged. Each question that comes upon it fails; a start finds it by the sizes of its files, moves it to the table's
 * directory `detached`, and takes the parts that it was merged of back, if they are still there.
 */
#ifndef OX_PARTS_H
#define OX_PARTS_H

#include "ox/base.h"

#define OX_PARTS_MAX      256
#define OX_PART_TABLE_MAX 64
#define OX_PART_NAME_MAX  160

struct ox_storage;

struct ox_part {
    char table[OX_PART_TABLE_MAX];
    char name[OX_PART_NAME_MAX]; /* as in system.parts, without what a start puts before it */
    char partition[64];          /* its id */
    int64_t min_block, max_block;
    uint32_t level; /* 0: by an insert; else merged */
    uint64_t rows;
    bool lost; /* set aside, and said to be lost: ox_parts_mark_lost */
};

struct ox_parts {
    struct ox_part items[OX_PARTS_MAX];
    size_t n;
};

/* Whether an exception says that a part cannot be read; out: its table and name, which may still be what somebody
 * wrote into his question. Pure. */
bool ox_part_of_text(int code, struct ox_str text, struct ox_part *out);
/* The place of `part` in the list by table and name; NULL when it is not there. Pure. */
struct ox_part *ox_parts_find(struct ox_parts *parts, const struct ox_part *part);
/* Appends a copy; a full list stays as it is. Pure. */
void ox_parts_add(struct ox_parts *parts, const struct ox_part *part);

/* How often this process of ClickHouse has met a disk that refuses, or a part that is not what it should be, merges
 * included. Counts up until it ends. */
OX_MUST_USE ox_err ox_parts_errors(struct ox_storage *storage, uint64_t *errors, struct ox_diag *diag);
/* Those of the last minutes, and of `named` those that still are, whose files are not what their checksums say.
 * broken: out. Reads all of them. */
OX_MUST_USE ox_err ox_parts_broken(struct ox_storage *storage, const struct ox_parts *named,
                                   struct ox_parts *broken, struct ox_diag *diag);
/* STORAGE_DAMAGED when a part that holds rows of the block is not what its checksums say. Asked only when this
 * process of ClickHouse has met trouble at all. */
OX_MUST_USE ox_err ox_parts_block_sound(struct ox_storage *storage, const char *table, uint64_t block_id,
                                        struct ox_diag *diag);
/* What starts have set aside as broken and nobody has removed. rows: what the part itself still says, UINT64_MAX
 * when it does not. */
OX_MUST_USE ox_err ox_parts_set_aside(struct ox_storage *storage, struct ox_parts *out, struct ox_diag *diag);
/* Notes in the set aside part's directory that its rows are lost: whoever looks after a restart knows it. OK also
 * when the note cannot be written. */
OX_MUST_USE ox_err ox_parts_mark_lost(struct ox_storage *storage, const struct ox_part *part,
                                      struct ox_diag *diag);
/* Rows of the parts between the part's first and last block number. */
OX_MUST_USE ox_err ox_parts_between(struct ox_storage *storage, const struct ox_part *part, uint64_t *rows,
                                    struct ox_diag *diag);
/* Removes what ox_parts_set_aside listed, for good. */
OX_MUST_USE ox_err ox_parts_remove(struct ox_storage *storage, const struct ox_part *part,
                                   struct ox_diag *diag);

#endif
