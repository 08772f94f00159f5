/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/doubts.h - blocks that are stored, and of which nobody knows yet whether their rollups have them once.
 *
 * Owns:    DIR/rollups-in-doubt.
 * Threads: load at the start, save on the outbox's lane.
 * Bounds:  OX__DOUBTS_MAX blocks.
 * Fails:   those of the disk; CORRUPT for lines that nobody wrote.
 *
 * The file is text: a line "observex rollups in doubt 1", then one "TABLE BLOCK" for each block, in decimals, TABLE as
 * in enum ox_table. It is replaced as a whole; no file is no block.
 */
#ifndef OX_DOUBTS_H
#define OX_DOUBTS_H

#include "ox/disk.h"
#include "ox/schema.h"

/* More are not looked at: some seconds of blocks at full load, while at most writer.blocks_in_flight are in doubt with each
 * crash, and those of 200 ms whose notes were not durable. */
#define OX__DOUBTS_MAX 4096

struct ox__doubt {
    enum ox_table table;
    uint64_t block_id;
};

struct ox__doubts {
    struct ox__doubt *items;
    size_t n, cap;
};

void ox__doubts_free(struct ox__doubts *doubts);
/* Once, however often it is added. OVERLOAD at OX__DOUBTS_MAX, NOMEM. */
OX_MUST_USE ox_err ox__doubts_add(struct ox__doubts *doubts, enum ox_table table, uint64_t block_id);
size_t ox__doubts_count(const struct ox__doubts *doubts, enum ox_table table);
/* Those of the table, at most `max`. */
size_t ox__doubts_ids(const struct ox__doubts *doubts, enum ox_table table, uint64_t *ids, size_t max);
void ox__doubts_remove(struct ox__doubts *doubts, enum ox_table table, const uint64_t *ids, size_t n);
/* An independent copy; NOMEM. */
OX_MUST_USE ox_err ox__doubts_copy(const struct ox__doubts *from, struct ox__doubts *to);

/* Adds what the file says. Of a damaged one what can be read, and CORRUPT. */
OX_MUST_USE ox_err ox__doubts_load(struct ox_disk *disk, const char *path, struct ox__doubts *out,
                                   struct ox_diag *diag);
/* Durable and as a whole, or not at all. */
OX_MUST_USE ox_err ox__doubts_save(struct ox_disk *disk, const char *path, const struct ox__doubts *doubts);

#endif
