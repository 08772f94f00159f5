/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/prune.h - what is removed from storage so that the data disk does not fill up.
 *
 * Owns:    nothing; pure decisions over numbers that others measure, and the class of the actor that carries them out.
 * Threads: the decisions on any.
 * Flow:    policies/prune.c decides, actors/storage/pruner.c does.
 */
#ifndef OX_PRUNE_H
#define OX_PRUNE_H

#include "ox/base.h"

/* Points of a percent that are freed below the edge, so that it does not prune again with the next block. */
#define OX_PRUNE_SLACK 5

/* Bytes to be freed for the disk to be OX_PRUNE_SLACK below `above` percent; 0 = it is not above it. above 0 = never. */
uint64_t ox_prune_excess(uint64_t free_bytes, uint64_t total_bytes, uint32_t above);

/* One partition of one table, as system.parts tells of it. */
struct ox_prune_partition {
    char table[64];
    char id[32];
    uint64_t end_s; /* Unix time: everything in it is older */
    uint64_t rows;
    uint64_t bytes;
};

/* The end of a partition by its name: "2026-11-25" is that day, "2026-11-25 10:00:00" that hour, in UTC. False: neither. */
bool ox_prune_partition_end(struct ox_str name, uint64_t *end_s);

/* Sorts the partitions, oldest first; how many of the first to remove so that at least `bytes` are freed. None that ended
 * less than min_age_s before now_s is among them, so they may be too few. parts: lend. */
size_t ox_prune_choose(struct ox_prune_partition *parts, size_t n, uint64_t now_s, uint64_t min_age_s,
                       uint64_t bytes);

/* The actor; its argument is the struct ox_node. It does nothing unless the engine is embedded: another server has its own
 * disk. */
struct ox_actor_class;
extern const struct ox_actor_class ox_pruner_class;

#endif
