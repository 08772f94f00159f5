/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/suspects.h - which log entries were in hand when the node crashed, durable across its restarts.
 *
 * Owns:    nothing; a small file below DIR/crash.
 * Threads: one at a time; blocking.
 * Bounds:  OX_SUSPECTS_MAX entries; the oldest gives way.
 * Flow:    crash (obituary or crash record) -> charge -> save; next start: load -> recovery.
 *
 * Attribution is a heuristic: what was in hand is charged. An entry that was charged once is replayed last and alone;
 * one that was charged OX_SUSPECT_CRASHES times is set aside, so that it cannot stop the node for ever.
 */
#ifndef OX_SUSPECTS_H
#define OX_SUSPECTS_H

#include "ox/disk.h"

#define OX_SUSPECTS_MAX    64
#define OX_SUSPECT_CRASHES 2

struct ox_suspect {
    uint64_t wal_seq;
    uint32_t crashes;
    struct ox_tenant_id tenant;
};

struct ox_suspects {
    uint32_t n;
    struct ox_suspect list[OX_SUSPECTS_MAX];
};

/* Reads the file; one that is not there, or a line that cannot be read, counts as nothing. IO. */
OX_MUST_USE ox_err ox_suspects_load(struct ox_disk *disk, const char *path, struct ox_suspects *out);
/* Replaces the file atomically and durably; its directory exists. IO, DISK_FULL. */
OX_MUST_USE ox_err ox_suspects_save(struct ox_disk *disk, const char *path, const struct ox_suspects *s);
/* One more crash for an entry. wal_seq 0 (nobody was in hand) is ignored. tenant: lend, may be "". */
void ox_suspects_charge(struct ox_suspects *s, uint64_t wal_seq, const char *tenant);
/* Crashes charged to an entry; 0 = none. */
uint32_t ox_suspects_crashes(const struct ox_suspects *s, uint64_t wal_seq);
/* Forgets entries below `first_seq`: they are gone from the log. */
void ox_suspects_forget_below(struct ox_suspects *s, uint64_t first_seq);

#endif
